"""Four witnesses for every gradient: by hand, autodiff, complex steps and PyTorch agree to rounding, piece by piece.

Every layer, activation, loss and penalty, and random whole networks, on many random shapes: the loss, its gradient at the
input and at every parameter. A witness that is wrong disagrees with the three others, and so is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables
from experiments.options import Checked, Range
from experiments.work import Cost
from scratch.errors import unknown

FAMILIES = ("layers", "activations", "losses", "penalties", "networks")


@dataclass(frozen=True)
class Options(Checked):
    """Four witnesses for every gradient."""

    families: Annotated[tuple[str, ...], arg(help="any of: " + ", ".join(FAMILIES))] = FAMILIES
    trials: Annotated[
        int, Range(1, 10**6), arg(help="random shapes for each piece; random networks get five times as many")
    ] = 12
    largest: Annotated[int, Range(2, 1000), arg(help="the widest layer; batches go up to twice that")] = 8
    seed: Annotated[int, Range(0, 10**9), arg(help="of shapes and numbers")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.families:
            if name not in FAMILIES:
                raise unknown("family", name, FAMILIES)


QUICK = Options(trials=2, largest=5)

COSTS = {  # of the largest cell of each part at the default options: seconds and megabytes
    "witnesses": Cost(7.7, 50, {"largest": 3}),
}


def cells(options: Options) -> list[Cell]:
    from experiments.catalog.gradients.parts import FAMILIES as PIECES

    shared = {"largest": options.largest, "seed": options.seed}
    found = []
    for family in (name for name in FAMILIES if name in options.families):
        trials = options.trials * (5 if family == "networks" else 1)
        found += [
            Cell("witnesses", {"family": family, "piece": piece, "trials": trials, **shared})
            for piece in PIECES[family]
        ]
    return found


def measure(cell: Cell) -> Tables:
    from experiments.catalog.gradients.parts import measure

    return measure(**cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.gradients.analysis import analyse

    return analyse(tables)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.gradients.pictures import figures

    return figures(tables)
