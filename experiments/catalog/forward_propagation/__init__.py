"""Forward propagation: one product WX carries every example through a layer, rows are neurons, columns are examples.

The notes' shapes and their tanh-sigmoid network, worked by hand, and then random sizes: the product against exact sums, against a
loop over the examples, against the convention with an example a row; and what a transpose in the wrong place does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables
from experiments.options import Checked, Range, require
from experiments.work import Cost


@dataclass(frozen=True)
class Options(Checked):
    """Shapes, products and columns."""

    examples: Annotated[int, Range(2, 10_000), arg(help="n of the notes' 3×n")] = 6
    inputs: Annotated[tuple[int, ...], Range(1, 10**6), arg(help="of a layer: terms of each sum")] = (
        1,
        2,
        5,
        20,
        100,
        500,
    )
    trials: Annotated[
        int, Range(2, 10_000), arg(help="random shapes for each number of inputs, and for each width")
    ] = 10
    largest: Annotated[int, Range(3, 1000), arg(help="most neurons and most examples of a random shape")] = 24
    squares: Annotated[tuple[int, ...], Range(1, 1000), arg(help="sizes n of a square W, transposed by mistake")] = (
        1,
        2,
        3,
        5,
        10,
        30,
    )
    draws: Annotated[int, Range(100, 10**7), arg(help="random W for each of these sizes")] = 4000
    widths: Annotated[tuple[int, ...], Range(1, 1000), arg(help="most units a layer in the network by hand")] = (
        1,
        3,
        10,
        40,
    )
    dtype: Annotated[Literal["float64", "float32"], arg(help="float64 or float32")] = "float64"
    seed: Annotated[int, Range(0, 10**9), arg(help="of shapes and numbers")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            max(self.squares) >= 2, "squares", "at least one size above 1: a number is its own transpose", self.squares
        )


QUICK = Options(inputs=(2, 20, 200), trials=4, largest=12, squares=(1, 3, 10), draws=1000, widths=(1, 10))

COSTS = {  # of the largest cell of each part at the default options: seconds and megabytes
    "notes": Cost(0.11, 11),
    "products": Cost(1.5, 30, {"largest": 2}),
    "squares": Cost(0.51, 140, {"n": 2}),
    "network": Cost(0.42, 13, {"widest": 2}),
}


def cells(options: Options) -> list[Cell]:
    shared = {"seed": options.seed, "dtype": options.dtype}
    several = {"trials": options.trials, **shared}
    return [
        Cell("notes", {"examples": options.examples, **shared}),
        *(Cell("products", {"inputs": n, "largest": options.largest, **several}) for n in options.inputs),
        *(Cell("squares", {"n": n, "draws": options.draws, **shared}) for n in options.squares),
        *(Cell("network", {"widest": n, **several}) for n in options.widths),
    ]


def measure(cell: Cell) -> Tables:
    from experiments.catalog.forward_propagation import parts

    return getattr(parts, cell.part)(**cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.forward_propagation.analysis import analyse

    return analyse(tables)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.forward_propagation.pictures import figures

    return figures(tables)
