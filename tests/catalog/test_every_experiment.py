"""What holds of every experiment: its claims, their controls, both implementations, its figures, and what is left when cells fail.

What is particular to one, its laws and its ways to be wrong, is in the file of its name, with the options of its small run.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from experiments.lab import store
from experiments.lab.executors import default_jobs
from experiments.lab.experiment import load, names
from experiments.lab.judge import NOT_TESTED, judge
from experiments.lab.page import Cells, Claims
from experiments.run import run

every = pytest.mark.parametrize("name", [name for name in names() if name != "toy"])
FAIL = {("batch_norm", "far fewer steps"), ("batch_norm", "less drift")}  # in a small run: twenty steps get nowhere
LEFT_OUT = {
    "vanishing_gradient": {"He sooner at 22", "mean field, sigmoid", "repaired, it learns", "unrepaired, it does not"}
}


def analysed(result, tables):
    return load(result.experiment.name).definition.analyse(tables, result.options)


@every
def test_every_claim_is_made_and_holds(ran, name):
    """A claim that is lost, or that one of the implementations does not bear out."""
    result, _ = ran(name)
    said = dict(result.claims.set_index("claim").verdict)
    committed = pd.read_csv(store.ROOT / "results" / name / "tables" / "claims.csv").claim
    assert set(said) == set(committed) - LEFT_OUT.get(name, set())
    assert {claim for claim, verdict in said.items() if verdict != "holds"} == {c for n, c in FAIL if n == name}
    assert result.agrees and result.tables["failures"].empty and result.finding and len(result.tables["agreement"])


@every
def test_every_claim_says_all_that_it_must(ran, name):
    """A claim without a source, a basis or a control, which nobody could check."""
    result, _ = ran(name)
    for row in result.claims.itertuples():
        assert all(len(said) > 2 for said in (row.statement, row.source, row.basis, row.control)), row.claim


@every
def test_the_control_fails_the_same_test(ran, name):
    """A test so weak that it would let the control pass, were the control what was measured and predicted."""
    result, _ = ran(name)
    control = {"measured": "measured", "predicted": "predicted", "standard_error": "error"}
    for claim in analysed(result, result.tables).claims:
        if (name, claim.name) in FAIL:
            continue
        frame = claim.comparisons
        instead = {new: frame[f"control_{old}"] for new, old in control.items() if f"control_{old}" in frame}
        assert instead, f"{claim.name} has no control"
        assert judge([replace(claim, comparisons=frame.assign(**instead))])[0].verdict[0] == "fails", claim.name


@every
def test_both_implementations_have_every_row(ran, name):
    """A condition that only one of the two has measured."""
    result, _ = ran(name)
    seen = 0
    for part in load(name).definition.parts(Cells):
        for table in part.makes:
            frame = result.tables.get(table)
            if frame is not None and "backend" in frame:
                counts = frame.groupby("backend").size()
                assert set(counts.index) == {"scratch", "torchref"} and counts.nunique() == 1, table
                seen += 1
    assert seen or name == "gradients"  # whose rows are pairs of witnesses


@every
def test_every_figure_is_drawn_and_has_a_caption(ran, name):
    """A figure that needs more conditions than were asked for, or that leaves the reader to guess."""
    result, _ = ran(name)
    plots = load(name).definition.figures(result.tables)
    assert len({plot.name for plot in plots}) == len(plots) > 0
    for plot in plots:
        assert plot.draw().axes and len(plot.caption) > 50, plot.name


def lost(definition, part):
    """The claims functions that cannot do without what the part makes."""
    makers, parts = definition.wiring.makers, set()
    for claims in definition.parts(Claims):
        waiting, found = [claims], set()
        while waiting:
            one = waiting.pop()
            if one.place not in found and not (found.add(one.place) or isinstance(one, Cells)):
                waiting += [makers[n] for n, required in one.needs.items() if required and n in makers]
        if part.place in found:
            parts.add(claims.name.replace("_", " "))
    return parts


@every
def test_a_part_that_fails_loses_no_other(ran, name):
    """An analysis or a figure that needs every part; a claim that silently is not there."""
    result, _ = ran(name)
    definition, whole = load(name).definition, set(result.claims.claim)
    for part in (part for part in definition.parts(Cells) if part.grid(result.options)):
        tables = {table: frame for table, frame in result.tables.items() if table not in part.makes}
        analysis = analysed(result, tables)
        judged, _ = judge(analysis.claims)
        said = dict(judged.set_index("claim").verdict)
        untested = {claim for claim, verdict in said.items() if verdict == NOT_TESTED}
        assert lost(definition, part) <= untested <= lost(definition, part) | whole, part.name
        kept = {claim for claim in said if claim in whole}
        assert all(said[claim] in ("holds", NOT_TESTED) or (name, claim) in FAIL for claim in kept), part.name
        assert analysis.finding(judged)
        for plot in definition.figures(
            {**{t: f for t, f in tables.items() if t in definition.wiring.makers}, **analysis.tables}
        ):
            plot.draw()


@every
def test_what_is_left_when_all_cells_fail(ran, name):
    """Without cells nothing is claimed, everything is said not to be tested, and nothing breaks."""
    result, _ = ran(name)
    left = analysed(result, {})
    judged, _ = judge(left.claims)
    assert set(judged.verdict) == {NOT_TESTED} and left.finding(judged)
    assert load(name).definition.figures(left.tables) == []


AGREEMENT, CLAIMED = ["part", "condition", "step", "quantity"], ["claim", "verdict"]
EXACT = {  # columns that another machine must give too; the rest of these tables is rounding, or a difference of near numbers
    "batch_norm": {"comparisons": ["claim", "backend", "condition", "measured", "predicted"]},
    "chain_rule": {
        "comparisons": ["claim", "backend", "condition", "standard_error"], "chains": ["backend", "n", "quantity"],
        "slopes": ["backend", "example", "witness", "variable"], "seconds": ["backend", "example", "quantity"],
    },
    "deep_linear": {"comparisons": ["claim", "backend", "condition", "measured", "predicted"]},
    "dropout": {
        "comparisons": ["claim", "backend", "condition", "predicted"], "geometric": ["backend", "network", "keep", "arithmetic"],
    },
    "forward_propagation": {
        "comparisons": ["claim", "backend", "condition"], "products": ["backend", "comparison", "inputs", "predicted"],
        "by_hand": ["backend", "widest", "signal"],
    },
    "gradients": {
        "comparisons": ["claim", "backend", "condition"], "matrix": ["family", "piece", "culprit", "kinks"], "ledger": ["family", "piece"],
        "kinks": ["family", "piece", "kinks"], "slopes": ["family", "piece"], "orders": [],
    },
    "initialization": {"comparisons": ["claim", "backend", "condition", "measured", "predicted"]},
    "losses": {
        "comparisons": ["claim", "backend", "condition"], "definitions": ["loss", "targets", "quantity", "backend"],
        "two_classes": ["quantity", "backend"], "entropy": ["what", "backend"],
        "accuracy": ["dtype", "backend", "form", "y", "side", "z", "kind"], "training": ["on", "loss"], "curves": [],
    },
    "precision": {
        "comparisons": ["claim", "backend", "condition"], "costs": ["format", "u", "range up to"], "dots": ["order", "format", "n"],
        "layers": ["format", "signal", "layer", "backend"], "pairs": ["format", "signal", "layer"], "casts": ["measured"],
        "apart": ["format"], "mistaken": ["format"], "underflow": ["layer", "flushed"], "flushed": ["layer", "flushed"],
        "unmoved": ["layer", "step"], "still": ["layer", "step"], "gaps": ["way", "step"],
    },
    "vanishing_gradient": {"comparisons": ["claim", "backend", "condition", "measured", "predicted"]},
}  # fmt: skip
TOLERANCE = {"precision": (1e-3, 1e-6)}  # float32's last digits, magnified by training; else float64's


@pytest.mark.slow
@every
def test_the_default_run_gives_the_committed_tables(name, tmp_path):
    """Committed numbers of other code, other options or another machine's luck."""
    assert run(load(name), out=str(tmp_path), jobs=default_jobs()).holds
    committed = sorted((store.ROOT / "results" / name / "tables").glob("*.csv"))
    assert committed
    columns, (rtol, atol) = EXACT[name] | {"agreement": AGREEMENT, "claims": CLAIMED}, TOLERANCE.get(name, (1e-6, 1e-9))
    for path in committed:
        theirs, ours = pd.read_csv(path), pd.read_csv(tmp_path / "tables" / path.name)
        if name == "initialization" and "start" in theirs and path.stem not in ("silent_runs", "silenced"):
            # whether units that start equal round alike is the machine's affair
            theirs, ours = (frame[frame.start != "constant"].reset_index(drop=True) for frame in (theirs, ours))
        if path.stem in columns:
            theirs, ours = (frame[columns[path.stem]] for frame in (theirs, ours))
        pd.testing.assert_frame_equal(ours, theirs, check_exact=False, rtol=rtol, atol=atol, obj=path.name)
