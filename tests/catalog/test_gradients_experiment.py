"""The ledger of four witnesses: its claims on a small run, and what it says when somebody is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.catalog.gradients import witnesses
from experiments.lab.experiment import load
from experiments.lab.judge import judge
from experiments.run import run
from scratch import InvalidInput, Tanh

EXPERIMENT = load("gradients")
TINY = {"trials": 2, "largest": 4}
PAIRS = ("by hand – autodiff", "by hand – complex step", "by hand – torch")
PAIRS += ("autodiff – complex step", "autodiff – torch", "complex step – torch")


@pytest.fixture(scope="module")
def result(ran):
    return ran("gradients")[0]


def test_everything_holds(result):
    """Any witness that is wrong on any piece, or a control that proves nothing."""
    assert result.holds, result.claims[["claim", "condition", "verdict"]]
    assert (result.tables["matrix"].culprit == "").all()
    assert set(result.claims.claim) >= {f"{family}: within rounding" for family in ("layers", "losses", "networks")}


def test_kinks_are_found_and_said(result):
    """A kink that the search does not see, or one where there is none."""
    kinks = result.tables["kinks"].set_index("piece").kinks
    assert kinks["ReLU()"] == kinks["SELU()"] == kinks["L1, weights"] == "0" and kinks["absolute error"] == "0"
    assert kinks["HardTanh(low=-0.5, high=1.5)"] == "-0.5, 1.5"
    assert kinks["Tanh()"] == kinks["Huber"] == kinks["ELU(alpha=1.0)"] == kinks["L2, all"] == ""


def test_the_orders_tell_right_from_wrong(result):
    """A slope fitted where rounding rules is neither 1 nor 2."""
    orders = result.tables["orders"].query("family == 'activations' and trials == 2").set_index(["piece", "backend"])
    for backend in ("scratch", "torchref"):
        assert orders.loc[("Tanh()", backend), "order"] == pytest.approx(2, abs=0.1)
        assert orders.loc[("Tanh()", backend), "wrong"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("guilty", ["by hand", "autodiff", "complex step", "torch"])
def test_the_culprit_is_named(guilty):
    """Three red pairs name a witness; other patterns name nobody."""
    ratios = pd.Series({pair: 5.0 if guilty in pair.split(" – ") else 0.5 for pair in PAIRS})
    assert witnesses.culprit(ratios) == guilty
    ratios[ratios.index[ratios > 1][0]] = 0.5
    assert witnesses.culprit(ratios) == "?"
    assert witnesses.culprit(ratios * 0) == "" and witnesses.culprit(ratios * np.nan) == "?"


def test_a_wrong_derivative_breaks_the_claims(monkeypatch):
    """A claim about gradients that holds whatever the gradients are."""
    monkeypatch.setattr(Tanh, "backward", lambda self, p, a, da: (da * (1 - a), {}))
    found = run(EXPERIMENT, trials=2, families=("activations",))
    matrix = found.tables["matrix"].set_index("piece")
    assert matrix.culprit["Tanh()"] == "by hand" and (matrix.culprit.drop("Tanh()") == "").all()
    assert not found.holds
    verdicts = found.claims.set_index("claim").verdict
    assert verdicts["activations: within rounding"] == verdicts["activations: to thirteen digits"] == "fails"


def test_controls_catch_what_they_must(result):
    """A bound so wide that a gradient wrong by 1e-9 would pass."""
    ledger = result.tables["ledger"].assign(backend="scratch")
    ledger["control_ratio"] = 0.5  # as if the wrong gradient had passed
    claims, _ = judge([witnesses.within_rounding(ledger[ledger.family == "losses"], "losses")])
    assert claims.verdict[0] == "cannot tell"


@pytest.mark.parametrize(
    "bad", [{"trials": 0}, {"families": ("layer",)}, {"families": ()}, {"largest": 1}, {"seed": -1}]
)
def test_bad_options(bad):
    """An option that would run nothing, or fail in the depths."""
    with pytest.raises(InvalidInput):
        EXPERIMENT.options(**bad)
