"""What an experiment is: a module of experiments/catalog with a docstring (its first line is the summary), and

    Options     a frozen dataclass, Checked: every option with its default, range and help; ``QUICK``: one for --quick
    PAGES       the names of its files in the order of the report; without it the module itself is the only page
    finding     if wanted: from the judged claims and tables by name, what was found in two plain sentences; NEXT_STEPS, PRINTED

lab/page.py says what a page is.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from tyro.conf import arg

from experiments.options import Checked
from scratch.contract import Job, Snapshot
from scratch.errors import unknown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from experiments.claims import Claim
    from experiments.data import Dataset
    from experiments.lab.paged import Paged
    from experiments.sweep import Result

Tables = dict[str, "pd.DataFrame"]


@dataclass(frozen=True)
class Cell:
    """One independent piece of work: which part of the experiment, with which settings (numbers, strings, lists)."""

    part: str
    settings: Mapping[str, Any]

    @property
    def label(self) -> str:
        shown = [f"{k}={v}" for k, v in self.settings.items() if k not in ("device", "dtype", "data")]
        return " ".join([self.part, *shown])


@dataclass(frozen=True)
class DataOptions(Checked):
    """The options of an experiment on a data set of the user's choice: its own options inherit them."""

    data: Annotated[
        str,
        arg(help="digits, breast_cancer, wine, iris, or a file of your own: FILE.csv .tsv .txt (also .gz) .npz .npy"),
    ] = "digits"
    label: Annotated[
        str, arg(help="the column of your file that holds the labels, by name or by number from 1 (default: the last)")
    ] = ""

    @property
    def source(self) -> str:
        """What the settings of a cell hold, and ``data.load`` takes."""
        from experiments.data import with_label

        return with_label(self.data, self.label)

    def dataset(self) -> Dataset:
        """Raises InvalidInput, before any work, for whatever is wrong with it."""
        from experiments.data import load

        return load(self.source, getattr(self, "dtype", "float64"))


@dataclass(frozen=True)
class Analysis:
    """What came out: ``tables`` to be written and drawn, ``claims`` to be judged, the finding in two plain sentences."""

    tables: Tables
    claims: list[Claim]
    finding: Callable[[pd.DataFrame], str]  # from the judged claims
    next_steps: Sequence[str] = ()
    printed: str = ""  # the table that the command line shows


class Plot(NamedTuple):
    """A figure, its title as a heading, and the text that goes with it."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]


class Backend(NamedTuple):
    snapshot: Callable[[Job], Snapshot]
    train: Callable[[Job], Iterator[Snapshot]]


def backends(device: str) -> dict[str, Backend]:
    """Both implementations; PyTorch's computes on ``device``."""
    from scratch import training as scratch
    from torchref import training as torchref

    return {
        "scratch": Backend(scratch.snapshot, scratch.train),
        "torchref": Backend(partial(torchref.snapshot, device=device), partial(torchref.train, device=device)),
    }


@dataclass(frozen=True)
class Experiment:
    """An experiment by its name on the command line; ``only``: one of its pages alone."""

    name: str
    only: str = ""

    @cached_property
    def module(self) -> ModuleType:
        return importlib.import_module(f"experiments.catalog.{self.name}")

    @cached_property
    def definition(self) -> Paged:
        """Its pages together: what is measured, what is made of it, what is drawn."""
        from experiments.lab.paged import Paged

        return Paged(self.module, self.only)

    @property
    def summary(self) -> str:
        return (self.module.__doc__ or "").strip().splitlines()[0]

    def options(self, quick: bool = False, **changed: Any) -> Any:
        """The options, with defaults for what is not given. Raises InvalidInput for a name that is no option."""
        base = self.module.QUICK if quick else self.module.Options()
        for name in changed:
            if name not in (known := [f.name for f in fields(base)]):
                raise unknown(f"option of {self.name}", name, known)
        return replace(base, **changed)

    def run(
        self, *, quick: bool = False, out: str | None = None, jobs: int = 1, fresh: bool = False, **changed: Any
    ) -> Result:
        """Runs it and gives back tables, claims and figures. ``out``: a folder for the report, and for cells to go on from."""
        from experiments.sweep import run

        return run(self, self.options(quick, **changed), out=out, jobs=jobs, fresh=fresh)


def names() -> list[str]:
    """Every experiment there is: the files of the catalog."""
    from experiments import catalog

    return sorted(found.name for found in pkgutil.iter_modules(catalog.__path__))


def load(name: str, only: str = "") -> Experiment:
    """The experiment of that name, or one page of it. Raises InvalidInput, with a suggestion, if there is none."""
    if name not in names():
        raise unknown("experiment", name, names())
    found = Experiment(name, only)
    if only:
        _ = found.definition.shown  # raises
    return found


def require_device(device: str, dtype: str) -> None:
    """Raises InvalidInput unless PyTorch can compute there in ``dtype``."""
    if device != "cpu":  # which is always there; PyTorch takes two seconds to import
        from torchref.conventions import device_of

        device_of(device, np.dtype(dtype))
