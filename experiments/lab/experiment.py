"""What an experiment is: a module of experiments/catalog with a docstring (its first line is the summary), and

    Options     a frozen dataclass, Drawn (it has --seed): every option with its default, help, range, and value for --quick
    PAGES       the names of its files in the order of the report; without it the module itself is the only page
    finding     if wanted: from the judged claims and tables by name, what was found in two plain sentences; NEXT_STEPS, PRINTED

lab/page.py says what a page is.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import ModuleType
from typing import Any

from experiments import catalog
from experiments.lab.options import quick as small
from experiments.lab.paged import Paged
from scratch.errors import unknown


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
        return Paged(self.module, self.only)

    @property
    def summary(self) -> str:
        return (self.module.__doc__ or "").strip().splitlines()[0]

    def options(self, quick: bool = False, **changed: Any) -> Any:
        """The options, with defaults for what is not given. Raises InvalidInput for a name that is no option."""
        base = small(self.module.Options) if quick else self.module.Options()
        for name in changed:
            if name not in (known := [f.name for f in fields(base)]):
                raise unknown(f"option of {self.name}", name, known)
        return replace(base, **changed)


def names() -> list[str]:
    """Every experiment there is: the files of the catalog."""
    return sorted(found.name for found in pkgutil.iter_modules(catalog.__path__))


def load(name: str, only: str = "") -> Experiment:
    """The experiment of that name, or one page of it. Raises InvalidInput, with a suggestion, if there is none."""
    if name not in names():
        raise unknown("experiment", name, names())
    found = Experiment(name, only)
    if only:
        _ = found.definition.shown  # raises
    return found
