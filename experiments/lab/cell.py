"""What is handed on: a cell, its tables, what an analysis makes of them, a figure that can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from experiments.lab.judge import Claim

Tables = dict[str, "pd.DataFrame"]


@dataclass(frozen=True)
class Cell:
    """One independent piece of work: which part of the experiment, with which settings (numbers, strings, lists), from which base seed."""

    part: str
    settings: Mapping[str, Any]
    base: int = 0

    @property
    def label(self) -> str:
        shown = [f"{k}={v}" for k, v in self.settings.items() if k not in ("device", "dtype", "data")]
        return " ".join([self.part, *shown])


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
