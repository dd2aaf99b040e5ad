"""The chain rule: shares flow back along every path and add up, in one pass for all variables.

The notes' two worked examples by autodiff, torch.autograd, complex steps and sympy; then long products, y = w1 w2 … wn x, second
derivatives, and what a gradient costs forwards and backwards, in multiplications counted one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables
from experiments.options import Checked, Range, require
from experiments.work import Cost


@dataclass(frozen=True)
class Options(Checked):
    """The notes' examples and long chains."""

    points: Annotated[
        int, Range(1, 10**6), arg(help="random points at which the notes' examples are differentiated")
    ] = 300
    factors: Annotated[tuple[int, ...], Range(1, 1000), arg(help="n of y = w1 w2 … wn x")] = (
        1,
        2,
        3,
        5,
        10,
        20,
        50,
        100,
    )
    draws: Annotated[int, Range(1, 10**6), arg(help="random products of each length")] = 30
    seed: Annotated[int, Range(0, 10**9), arg(help="of points and factors")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            max(self.factors) >= 2, "factors", "at least one value above 1: one factor makes no product", self.factors
        )


QUICK = Options(points=50, factors=(1, 2, 5, 20, 50), draws=6)

COSTS = {  # of the largest cell of each part at the default options: seconds and megabytes
    "examples": Cost(0.42, 11),
    "chains": Cost(2.5, 19, {"n": 3}),
}


def cells(options: Options) -> list[Cell]:
    return [
        Cell("examples", {"points": options.points, "seed": options.seed}),
        *(Cell("chains", {"n": n, "draws": options.draws, "seed": options.seed}) for n in options.factors),
    ]


def measure(cell: Cell) -> Tables:
    from experiments.catalog.chain_rule import parts

    return parts.measure(cell.part, cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.chain_rule.analysis import analyse

    return analyse(tables)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.chain_rule.pictures import figures

    return figures(tables)
