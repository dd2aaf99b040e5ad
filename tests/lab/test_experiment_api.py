"""Experiments from Python, as in a notebook."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError

import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.lab.experiment import load, names
from experiments.run import run
from scratch.errors import InvalidInput


def test_a_run_gives_back_tables_claims_and_figures(toy):
    """A notebook that has to read the report's files."""
    result = run("toy", numbers=(1, 2), seeds=5)
    assert all(isinstance(table, pd.DataFrame) for table in result.tables.values())
    assert {"values", "means", "claims", "comparisons", "agreement", "failures"} <= set(result.tables)
    assert list(result.claims.claim) == ["mean", "positive", "small"] and result.holds and result.agrees
    assert set(result.tables["values"].groupby("number").seed.nunique()) == {5}
    figures = result.figures()
    assert list(figures) == ["means", "errors", "even"] and all(isinstance(f, Figure) for f in figures.values())
    assert result.finding and result.options.seeds == 5
    assert toy.calls() == [1, 2]


def test_without_a_folder_nothing_is_written(toy):
    """A notebook that fills the disk, or takes cells that another run left somewhere."""
    run("toy", numbers=(1,))
    run("toy", numbers=(1,))
    assert not os.listdir() and toy.calls() == [1, 1]


def test_with_a_folder_it_goes_on_from_there(toy):
    """An ``out`` that is written, but not read."""
    run("toy", numbers=(1,), out="mine")
    run("toy", numbers=(1, 2), out="mine")
    assert toy.calls() == [1, 2]
    run("toy", numbers=(1, 2), out="mine", fresh=True)
    assert toy.calls() == [1, 2] and os.path.exists("mine/report.html")


@pytest.mark.parametrize(
    "name, changed, suggestion",
    [
        ("toy", {"number": (1,)}, "numbers"),
        ("vanishing_gradient", {"widht": 3}, "width"),
        ("vanishing_gradient", {"activations": ("tahn",)}, "tanh"),
        ("vanishing_gradient", {"data": "digit"}, "digits"),
    ],
)
def test_a_misspelt_option_is_named_with_a_suggestion(name, changed, suggestion):
    """A TypeError of the dataclass, or an option that is silently ignored."""
    with pytest.raises(InvalidInput, match=f"Did you mean '{suggestion}'"):
        run(name, **changed)


def test_a_misspelt_experiment_is_named_with_a_suggestion():
    """A ModuleNotFoundError."""
    with pytest.raises(InvalidInput, match="Did you mean 'vanishing_gradient'"):
        load("vanishing_gradients")


@pytest.mark.parametrize("changed", [{"numbers": ()}])
def test_options_are_checked_where_they_are_made(changed):
    """Options that only the command line checks."""
    with pytest.raises(InvalidInput):
        run("toy", **changed)


@pytest.mark.parametrize("name", names())
def test_every_experiment_has_what_a_catalog_file_needs(name):
    """A file of the catalog that lacks a part is only found out in the middle of a run."""
    experiment = load(name)
    assert experiment.summary and "\n" not in experiment.summary
    assert hasattr(experiment.module, "Options")
    for page in experiment.definition.pages:
        assert page.question and page.parts, page.name
    options = experiment.options()
    with pytest.raises(FrozenInstanceError):
        options.anything = 1
    cells = experiment.definition.cells(experiment.options(quick=True))
    assert len({cell.label for cell in cells}) == len(cells)
    whole = experiment.definition.cells(options)
    assert len(cells) <= len(whole) and cells != whole, "--quick is no smaller"
