"""Forward propagation: one product WX carries every example through a layer, rows are neurons, columns are examples.

The notes' shapes and their tanh-sigmoid network, worked by hand, and then random sizes: the product against exact sums, against a
loop over the examples, against the convention with an example a row; and what a transpose in the wrong place does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables, require


@dataclass(frozen=True)
class Options:
    """Shapes, products and columns."""

    examples: Annotated[int, arg(help="n of the notes' 3×n")] = 6
    inputs: Annotated[tuple[int, ...], arg(help="of a layer: terms of each sum")] = (1, 2, 5, 20, 100, 500)
    trials: Annotated[int, arg(help="random shapes for each number of inputs, and for each width")] = 10
    largest: Annotated[int, arg(help="most neurons and most examples of a random shape")] = 24
    squares: Annotated[tuple[int, ...], arg(help="sizes n of a square W, transposed by mistake")] = (1, 2, 3, 5, 10, 30)
    draws: Annotated[int, arg(help="random W for each of these sizes")] = 4000
    widths: Annotated[tuple[int, ...], arg(help="most units a layer in the network by hand")] = (1, 3, 10, 40)
    dtype: Annotated[str, arg(help="float64 or float32")] = "float64"
    seed: Annotated[int, arg(help="of shapes and numbers")] = 0

    def __post_init__(self) -> None:
        for name in ("inputs", "squares", "widths"):
            values = getattr(self, name)
            require(len(values) > 0 and min(values) >= 1, name, "whole numbers from 1 up, at least one", values)
            require(len(set(values)) == len(values), name, "each value once", values)
        for name, least in {"examples": 2, "trials": 2, "largest": 3, "draws": 100, "seed": 0}.items():
            require(getattr(self, name) >= least, name, f"a whole number from {least} up", getattr(self, name))
        require(
            max(self.squares) >= 2, "squares", "at least one size above 1: a number is its own transpose", self.squares
        )
        require(self.dtype in ("float64", "float32"), "dtype", "float64 or float32", self.dtype)


QUICK = Options(inputs=(2, 20, 200), trials=4, largest=12, squares=(1, 3, 10), draws=1000, widths=(1, 10))


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
