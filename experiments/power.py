"""What the judge lets pass and what it notices, by simulation: ``python -m experiments.power`` (a minute or two on one core).

Claims of n independent comparisons are made up and judged: true ones, which fail by chance alone; ones of which a single comparison is
wrong, and by how much it has to be; and ones whose comparisons are all wrong by two standard errors.
Writes results/judge/power.csv, power.md.
"""

from __future__ import annotations

from experiments.command import Parser, begin

if __name__ == "__main__":
    begin("experiments.power")

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, stdtrit
from scipy.stats import beta, nct, norm

from experiments.lab.judge import critical_value, z_score
from experiments.lab.store import write
from scratch.command import answer
from scratch.randomness import generator

COMPARISONS, DOFS = (1, 6, 50, 198), (2.0, 4.0, 9.0, 29.0, np.inf)
DRAWN = 4_000_000  # comparisons drawn for false alarms; of claims for the others, a two-hundredth of that
NOTICED, BIAS = 0.95, 2.0
OUT = Path("results", "judge")


def main() -> int:
    parser = Parser(prog="experiments.power", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder for the table (default: {OUT})")
    out = parser.parse_args().out

    def work() -> None:
        import pandas as pd

        found = pd.DataFrame(rows(DRAWN))
        write(out / "power.csv", found.to_csv(index=False, lineterminator="\n"))
        write(out / "power.md", told(found))
        print(told(found))

    return answer(work)


def rows(drawn: int) -> Iterator[dict[str, Any]]:
    """For each number of comparisons and of degrees of freedom: rates with exact 99 % intervals."""
    for n in COMPARISONS:
        for dof in DOFS:
            effect, claims = noticed(n, dof), max(1000, drawn // 200)
            alarms = failing(n, dof, np.zeros(n), drawn // n, "alarms")
            seen = failing(n, dof, np.where(np.arange(n) == 0, effect, 0.0), claims // n + 1000, "one")
            biased = failing(n, dof, np.full(n, BIAS), claims // n + 1000, "all")
            yield {"comparisons": n, "dof": dof, "critical_value": critical_value(n), "noticed_95": effect,
                   **rate("false_alarms", *alarms), **rate("power_at_that", *seen), **rate("all_off_by_2", *biased)}  # fmt: skip


def failing(n: int, dof: float, effects: np.ndarray, claims: int, purpose: str) -> tuple[int, int]:
    """How many of so many claims fail whose comparisons are off by ``effects`` (n,), in standard errors as they really are."""
    random, limit, failed, left = generator(0, "power", purpose, n, str(dof)), critical_value(n), 0, claims
    while left:
        count = min(left, max(1, 1_000_000 // n))
        spread = 1.0 if np.isinf(dof) else np.sqrt(random.chisquare(dof, (count, n)) / dof)  # of the error as estimated
        z = z_score(random.standard_normal((count, n)) + effects, 0.0, spread, dof, 0.0, "equals")
        failed, left = failed + int((np.abs(z) > limit).any(1).sum()), left - count
    return failed, claims


def noticed(n: int, dof: float) -> float:
    """The effect on one comparison that fails the claim in 95 of 100, by the law: Student's t, not central."""
    limit = critical_value(n)
    bound = limit if np.isinf(dof) else -stdtrit(dof, ndtr(-limit))
    law = norm.sf if np.isinf(dof) else lambda x, effect: nct.sf(x, dof, effect)
    return float(brentq(lambda effect: law(bound, effect) - NOTICED, 0, 40 * bound))


def rate(name: str, failed: int, claims: int) -> dict[str, float]:
    """The share with its exact 99 % interval (Clopper & Pearson 1934)."""
    low = beta.ppf(0.005, failed, claims - failed + 1) if failed else 0.0
    high = beta.ppf(0.995, failed + 1, claims - failed) if failed < claims else 1.0
    return {name: failed / claims, f"{name}_low": float(low), f"{name}_high": float(high)}


def told(found: Any) -> str:
    from tabulate import tabulate

    shown = found.assign(
        interval=[f"{row.false_alarms_low:.1e} … {row.false_alarms_high:.1e}" for row in found.itertuples()]
    )[["comparisons", "dof", "critical_value", "interval", "noticed_95", "power_at_that", "all_off_by_2"]]
    heads = ["comparisons", "degrees of freedom", "limit", "a true claim fails (99 % interval)",
             "noticed in 95 of 100: one comparison off by", "simulated", "all off by 2: noticed"]  # fmt: skip
    text = (
        "# What the judge notices\n\n`python -m experiments.power`. A claim fails if one of its n comparisons lies beyond the limit, in "
        "standard errors; with few degrees of freedom (seeds − 1) these are the deviates as improbable as Student's t. Simulated: how "
        "often a true claim fails (at most 6.3e-5 by the law); how far one comparison must be off, in its real standard errors, to fail "
        "in 95 of 100 claims; and how often a bias of two standard errors in *every* comparison is noticed, where it is small beside "
        "each of them.\n\n"
    )
    return (
        text
        + tabulate(shown, heads, tablefmt="github", showindex=False, floatfmt=("", "g", ".2f", "", ".1f", ".3f", ".3f"))
        + "\n"
    )
