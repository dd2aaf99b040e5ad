"""Every number of every experiment: what is no number, or one that no machine could work with, is refused in one line that names it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from time import perf_counter

import pytest
import toybox  # noqa: F401  # puts the toy into the catalog

from experiments.lab import work
from experiments.lab.experiment import load, names
from experiments.lab.options import Checked, Words, declared, option, quick
from scratch.errors import InvalidInput

NAN, INF = math.nan, math.inf
HOSTILE = (NAN, INF, -INF, 1e-320, -1e-320, 10**400, -(10**5000), 1e308, 0, -1, 10**6, 10**9, 0.5, True, "5", None)
NUMERIC = [
    (name, option) for name in names() for option, of in declared(load(name).module.Options).items() if of.kind in (int, float)
]  # fmt: skip


def planned(name: str, jobs: int = 2, **changed) -> None:
    """All that a run does before it computes."""
    experiment = load(name)
    options = experiment.options(**changed)
    work.refuse(experiment, options, experiment.definition.cells(options), jobs)


@pytest.mark.parametrize("name, option", NUMERIC, ids="-".join)
def test_hostile_numbers(name, option, monkeypatch):
    """A traceback, a network of NaN, a run of years, or a line that does not say which option it is about."""
    monkeypatch.setattr(work, "memory", lambda: 16e9)
    of = declared(load(name).module.Options)[option]
    default = getattr(load(name).options(), option)
    for value in HOSTILE:
        for given in ((value,), (*default, value)) if of.several else (value,):
            begin = perf_counter()
            try:
                planned(name, **{option: given})
            except InvalidInput as error:
                message = str(error)
                assert f"--{option.replace('_', '-')}" in message and "\n" not in message, (given, message)
                assert len(message) < 400, message
            else:
                numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
                assert numeric and (value == 0 or 1e-300 < abs(value) < 1e300), f"{given} was taken"
                assert isinstance(value, int) or of.kind is float
            assert perf_counter() - begin < 120, "it was not refused at once"


@pytest.mark.parametrize("name", names(), ids="of {}".format)
def test_every_number_declares_its_range(name):
    """An option added without a range: NaN is in no range, but a missing one refuses nothing."""
    for which, of in declared(load(name).module.Options).items():
        if of.kind in (int, float):
            assert of.range is not None and -1e9 <= of.range.low < of.range.high <= 1e9, which


@pytest.mark.parametrize("name", names(), ids="of {}".format)
def test_every_part_declares_its_cost(name):
    """A part without an estimate is never refused; one that no longer exists misleads."""
    experiment = load(name)
    assert {cell.part for cell in experiment.definition.cells(experiment.options())} == set(experiment.definition.COSTS)


@dataclass(frozen=True)
class Options(Checked):
    width: int = option(9, "units", (1, 10), quick=2)
    names: Words = option(("relu",), "any of: ", of=("activation", ("relu", "tanh")))


def test_an_option_says_all_in_one_place():
    """A help, a range or a quick value that is written elsewhere and forgotten there."""
    assert quick(Options) == Options(width=2) != Options() == Options(9, ("relu",))
    assert [f.metadata["help"] for f in fields(Options)] == ["units", "any of: relu, tanh"]
    with pytest.raises(InvalidInput, match="--width: expected a whole number from 1 to 10, got 11"):
        Options(width=11)
    with pytest.raises(InvalidInput, match="Did you mean 'tanh'"):
        Options(names=("relu", "tahn"))


@pytest.mark.parametrize("name", [name for name in names() if hasattr(load(name).options(), "device")])
def test_a_device_that_is_not_there_is_refused_before_anything_runs(name):
    """An hour of scratch's work before PyTorch says so."""
    experiment = load(name)
    with pytest.raises(InvalidInput, match="abacus"):
        experiment.definition.cells(experiment.options(device="abacus"))
