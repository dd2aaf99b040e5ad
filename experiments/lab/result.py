"""What a run gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments.lab.cell import Plot, Tables
from experiments.lab.experiment import Experiment
from experiments.lab.judge import FAILS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Result:
    """What a run gives back, in a notebook as on the command line."""

    experiment: Experiment
    options: Any
    tables: Tables  # everything measured and derived, by name; among them "claims", "comparisons" and "agreement"
    finding: str
    next_steps: Sequence[str]
    seconds: dict[str, float] = field(compare=False)
    printed: str = ""  # the table that the command line shows

    @property
    def claims(self) -> pd.DataFrame:
        return self.tables["claims"]

    @property
    def holds(self) -> bool:
        """No claim fails, both implementations agree everywhere, no cell failed."""
        return bool((self.claims.verdict != FAILS).all() and self.agrees and self.tables["failures"].empty)

    @property
    def agrees(self) -> bool:
        return bool((self.tables["agreement"].ratio <= 1).all())

    def plots(self) -> list[Plot]:
        return self.experiment.definition.figures(self.tables)

    def figures(self) -> dict[str, Figure]:
        """Every figure of the report, by name, drawn anew."""
        return {plot.name: plot.draw() for plot in self.plots()}
