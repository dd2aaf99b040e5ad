"""Replications: other draws from every base seed, counts that are right, a status that says whether chance explains them."""

from __future__ import annotations

import pandas as pd
import pytest
from toybox import listing

from experiments import replicate
from experiments.replicate import by_run, counted, excessive, main


def replicated(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["replicate", "toy", *arguments])
    return main()


def test_every_base_seed_draws_anew_and_is_stored(toy, monkeypatch, capsys):
    """One run counted twice; cells of one base seed taken for another's; a second command that computes everything again."""
    assert replicated(monkeypatch, "--times", "2", "--jobs", "1") == 0
    assert toy.calls() == [1, 1, 2, 2, 3, 3, 4, 4]
    before = listing(replicate.OUT, "runs/")
    assert set(before) == {"claims.csv", "runs.csv", "README.md"}
    claims = pd.read_csv(replicate.OUT / "claims.csv")
    assert (
        (claims.runs == 2).all()
        and (claims.held == 2).all()
        and "base seed 5002: 3 of 3 hold" in capsys.readouterr().out
    )
    assert replicated(monkeypatch, "--times", "2", "--jobs", "1") == 0
    assert toy.calls() == [] and listing(replicate.OUT, "runs/") == before
    assert replicated(monkeypatch, "--times", "3", "--jobs", "1") == 0
    assert toy.calls() == [1, 2, 3, 4]


def test_a_quick_replication_lies_apart(toy, monkeypatch):
    assert replicated(monkeypatch, "--times", "1", "--jobs", "1", "--quick") == 0
    assert (replicate.OUT / "quick" / "claims.csv").exists() and toy.calls() == [1, 2]


@pytest.mark.parametrize("wrong", [("--times", "0"), ("--first", "-1"), ("--times", "x"), ("nothing",)])
def test_bad_input_is_refused(toy, monkeypatch, wrong):
    with pytest.raises(ValueError, match=r"times|first|nothing"):
        replicated(monkeypatch, *wrong)


def judged(*verdicts):
    rows = [
        ("e", f"claim {k}", seed, "here", verdict) for k, row in enumerate(verdicts) for seed, verdict in enumerate(row)
    ]
    table = pd.DataFrame(rows, columns=["experiment", "claim", "seed", "condition", "verdict"])
    return table.assign(worst_difference=0.5, failed_cells=0)


def test_verdicts_are_counted():
    """A verdict that is forgotten: then the counts do not add up; untested runs that count as chances to fail."""
    table = counted(judged(["holds", "fails", "cannot tell"], ["holds", "not tested", "not tested"]))
    assert table[["held", "failed", "could_not_tell", "not_tested", "runs"]].to_numpy().tolist() == [
        [1, 1, 1, 0, 3],
        [1, 0, 0, 2, 3],
    ]
    assert table.expected.tolist() == pytest.approx([3 * 6.334e-5, 6.334e-5], rel=1e-3)  # 2 (1 − Φ(4)) a run


def test_what_did_not_hold_is_named():
    first, second, _ = by_run(judged(["holds", "fails", "holds"])).itertuples()
    assert (first.others, second.others) == ("", "claim 0 (here): fails") and (first.held, second.held) == (1, 0)


def test_chance_explains_few_failures():
    """One failure in ten runs of a claim is already too many: its chance is 6 in ten thousand."""
    assert excessive(counted(judged(["holds"] * 10))).tolist() == [False]
    assert excessive(counted(judged(["holds"] * 9 + ["fails"]))).tolist() == [True]
