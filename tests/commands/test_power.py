"""The judge's false alarms and power: the simulation against the laws, and the committed table against both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments import power
from experiments.lab.judge import LIMIT
from experiments.lab.store import ROOT

TABLE = pd.read_csv(ROOT / "results" / "judge" / "power.csv")
ALARM = 2 * stats.norm.sf(LIMIT)  # of one comparison, whose claims fail as seldom whatever their number


def within(row, name, expected):
    return row[f"{name}_low"] <= expected <= row[f"{name}_high"]


def test_the_table_has_every_case():
    assert list(zip(TABLE.comparisons, TABLE.dof, strict=True)) == [
        (n, d) for n in power.COMPARISONS for d in power.DOFS
    ]


@pytest.mark.parametrize("row", TABLE.to_dict("records"), ids=lambda row: f"{row['comparisons']} of {row['dof']}")
def test_rates_are_what_the_laws_say(row):
    """A limit that is no Bonferroni bound; a t taken for normal; power that is promised and not there."""
    n, dof, limit = row["comparisons"], row["dof"], row["critical_value"]
    assert limit == pytest.approx(stats.norm.isf(stats.norm.sf(LIMIT) / n), rel=1e-12)
    alarm = 1 - (1 - 2 * stats.norm.sf(limit)) ** n
    assert ALARM * 0.99 < alarm <= ALARM * (1 + 1e-9)
    # twenty rows, each outside of its 99 % interval once in a hundred: a 99.99 % one would be about 1.5 times as wide
    wide = {
        f"{name}_{side}": row[f"{name}_{side}"]
        for name in ("false_alarms", "power_at_that", "all_off_by_2")
        for side in ("low", "high")
    }
    law = stats.norm if np.isinf(dof) else stats.t(dof)
    bound = law.isf(stats.norm.sf(limit))
    shifted = (lambda e: stats.norm.sf(bound - e) + stats.norm.cdf(-bound - e)) if np.isinf(dof) else (
        lambda e: stats.nct.sf(bound, dof, e) + np.nan_to_num(stats.nct.cdf(-bound, dof, e))
    )  # fmt: skip
    assert shifted(row["noticed_95"]) == pytest.approx(0.95, abs=1e-3)
    for name, expected in (
        ("false_alarms", alarm),
        ("power_at_that", 1 - (1 - shifted(row["noticed_95"])) * (1 - alarm / n) ** (n - 1)),
        ("all_off_by_2", 1 - (1 - shifted(power.BIAS)) ** n),
    ):
        low, high = wide[f"{name}_low"], wide[f"{name}_high"]
        assert low - (high - low) / 3 <= expected <= high + (high - low) / 3, name


def test_the_table_is_what_the_command_makes():
    """A table that somebody else's judge has made."""
    n, dof = 6, 4.0
    row = TABLE[(TABLE.comparisons == n) & (TABLE.dof == dof)].iloc[0]
    failed, claims = power.failing(n, dof, np.full(n, power.BIAS), power.DRAWN // 200 // n + 1000, "all")
    assert failed / claims == row.all_off_by_2


def test_a_rate_has_an_exact_interval():
    assert power.rate("x", 0, 100)["x_low"] == 0 and power.rate("x", 0, 100)["x_high"] == pytest.approx(
        1 - 0.005 ** (1 / 100)
    )
    assert power.rate("x", 100, 100)["x_high"] == 1
