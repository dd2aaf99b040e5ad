"""Experiments run again from base seeds on which nothing was chosen: ``python -m experiments.replicate [NAME ...] --times N``.

Writes results/replication/: claims.csv, how often each claim held and failed; runs.csv, what came out of each run; README.md, which claims
did not hold every time. Cells are stored, so the same command goes on where it stopped. Exit status 0: no claim failed more
often than chance allows, and the implementations agree everywhere.
"""

from __future__ import annotations

from experiments.command import Parser, begin

if __name__ == "__main__":
    begin("experiments.replicate")

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.lab.experiment import load, names
from experiments.lab.options import require
from scratch.command import answer

if TYPE_CHECKING:
    import pandas as pd

    from experiments.lab.result import Result

FIRST = 5001  # settings were chosen on base seeds below 1000
OUT = Path("results", "replication")
VERDICTS = {"holds": "held", "fails": "failed", "cannot tell": "could_not_tell", "not tested": "not_tested"}


def main() -> int:
    parser = Parser(
        prog="experiments.replicate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments (default: all)")
    parser.add_argument("--times", type=int, default=5, help="base seeds for each (default: 5)")
    parser.add_argument("--first", type=int, default=FIRST, help=f"the first of them (default: {FIRST})")
    parser.add_argument("--quick", action="store_true", help="small runs; results go to results/replication/quick")
    parser.add_argument("--jobs", type=int, default=0, help="worker processes (default: one a core)")
    parser.add_argument("--out", type=Path, help=f"folder for the tables (default: {OUT})")
    asked = parser.parse_args()
    require(1 <= asked.times <= 10_000, "times", "a whole number from 1 to 10000", asked.times)
    require(0 <= asked.first <= 10**9 - 10_000, "first", "a whole number from 0 to 999990000", asked.first)
    chosen = [load(name).name for name in asked.names] or names()
    out = asked.out or (OUT / "quick" if asked.quick else OUT)
    return answer(
        lambda: replicate(chosen, range(asked.first, asked.first + asked.times), asked.quick, asked.jobs, out)
    )


def replicate(chosen: Sequence[str], seeds: range, quick: bool, jobs: int, out: Path) -> int:
    """Runs, judges and writes the tables; the exit status."""
    import pandas as pd

    from experiments.lab.store import write

    judged = pd.concat(
        [claims for name in chosen for claims in runs(name, seeds, quick, jobs, out / "runs")], ignore_index=True
    )
    claims, each = counted(judged), by_run(judged)
    for name, table in (("claims", claims), ("runs", each)):
        write(out / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    write(out / "README.md", told(claims, each, seeds, quick))
    print(f"{len(each)} runs: {claims.held.sum()} of {claims.runs.sum()} verdicts hold, {claims.failed.sum()} fail "
          f"({claims.expected.sum():.2g} expected by chance): {out / 'README.md'}")  # fmt: skip
    return 0 if not excessive(claims).any() and (each.worst_difference <= 1).all() else 1


def runs(name: str, seeds: range, quick: bool, jobs: int, folder: Path) -> Iterator[pd.DataFrame]:
    """The claims of each run, with what the table of runs says about it."""
    from experiments.lab import sweep

    experiment = load(name)
    for seed in seeds:
        place = folder / f"{name}-{seed}"
        result = sweep.run(experiment, experiment.options(quick, seed=seed), _nothing, out=place, jobs=jobs)
        found = result.claims[["claim", "condition", "verdict"]]
        worst = result.tables["agreement"].ratio.max()
        verdict = f"{(found.verdict == 'holds').sum()} of {len(found)} hold"
        print(f"{name}, base seed {seed}: {verdict}; worst difference {worst:.2g} of the rounding bound", flush=True)
        yield found.assign(
            experiment=name, seed=seed, worst_difference=worst, failed_cells=len(result.tables["failures"])
        )


def _nothing(result: Result, folder: Path) -> None:
    """A replication keeps its cells and its verdicts, no report."""


def counted(judged: pd.DataFrame) -> pd.DataFrame:
    """For each claim how often it came to which verdict, and how many failures chance would bring if it were true."""
    import pandas as pd

    counts = pd.crosstab([judged.experiment, judged.claim], judged.verdict).reindex(
        columns=list(VERDICTS), fill_value=0
    )
    table = counts.rename(columns=VERDICTS).reset_index()
    runs = table[list(VERDICTS.values())].sum(axis=1)
    return table.assign(runs=runs, expected=alarm() * (runs - table.not_tested))


def by_run(judged: pd.DataFrame) -> pd.DataFrame:
    """For each run the verdicts, the agreement of the implementations and what did not hold."""
    rows = []
    for (experiment, seed), run in judged.groupby(["experiment", "seed"], sort=False):
        odd = run[~run.verdict.isin(["holds", "not tested"])]
        rows.append(
            {"experiment": experiment, "seed": seed, "claims": len(run), "held": (run.verdict == "holds").sum(),
             "worst_difference": run.worst_difference.iloc[0], "failed_cells": run.failed_cells.iloc[0],
             "others": "; ".join(f"{row.claim} ({row.condition}): {row.verdict}" for row in odd.itertuples())}
        )  # fmt: skip
    import pandas as pd

    return pd.DataFrame(rows)


def alarm() -> float:
    """How often a true claim fails at most: the chance of a normal deviate beyond the limit, whatever the number of comparisons."""
    from scipy.special import ndtr

    from experiments.lab.judge import LIMIT

    return float(2 * ndtr(-LIMIT))


def excessive(claims: pd.DataFrame) -> Any:
    """Whether so many failures of a true claim are less likely than one in a thousand."""
    from scipy.stats import binom

    return binom.sf(claims.failed - 1, claims.runs, alarm()) < 1e-3


def told(claims: pd.DataFrame, each: pd.DataFrame, seeds: range, quick: bool) -> str:
    from tabulate import tabulate

    odd = claims[(claims.failed > 0) | (claims.could_not_tell > 0)]
    shown = odd[["experiment", "claim", "runs", "held", "failed", "could_not_tell"]]
    failing = each[each.others != ""][["experiment", "seed", "others"]]
    size = "--quick" if quick else "default"
    lines = [
        "# Replication",
        f"Every experiment's {size} run again from base seeds {seeds[0]} to {seeds[-1]}, on which nothing was chosen. "
        f"{claims.held.sum()} of {claims.runs.sum()} verdicts hold; {claims.failed.sum()} fail, where chance alone would bring "
        f"{claims.expected.sum():.2g}. The largest difference of the two implementations is {each.worst_difference.max():.2g} of the "
        "rounding bound.",
        f"`python -m experiments.replicate{' --quick' * quick} --times {len(seeds)}`; all claims are in claims.csv, all runs in runs.csv.",
        "## What did not hold every time" if len(odd) else "Every claim held every time.",
        tabulate(shown, headers="keys", tablefmt="github", showindex=False) if len(odd) else "",
        tabulate(failing, headers="keys", tablefmt="github", showindex=False) if len(failing) else "",
    ]
    return "\n\n".join(filter(None, lines)) + "\n"
