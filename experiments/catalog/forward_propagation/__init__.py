"""Forward propagation: one product WX carries every example through a layer, rows are neurons, columns are examples.

The notes' shapes and their tanh-sigmoid network, worked by hand, and then random sizes: the product against exact sums, against a
loop over the examples, against the convention with an example a row; and what a transpose in the wrong place does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from experiments.lab.options import Drawn, Ints, option, require
from experiments.lab.words import held

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Options(Drawn):
    """Shapes, products and columns."""

    examples: int = option(6, "n of the notes' 3×n", (2, 10_000))
    inputs: Ints = option((1, 2, 5, 20, 100, 500), "of a layer: terms of each sum", (1, 10**6), quick=(2, 20, 200))
    trials: int = option(10, "random shapes for each number of inputs, and for each width", (2, 10_000), quick=4)
    largest: int = option(24, "most neurons and most examples of a random shape", (3, 1000), quick=12)
    squares: Ints = option(
        (1, 2, 3, 5, 10, 30), "sizes n of a square W, transposed by mistake", (1, 1000), quick=(1, 3, 10)
    )
    draws: int = option(4000, "random W for each of these sizes", (100, 10**7), quick=1000)
    widths: Ints = option((1, 3, 10, 40), "most units a layer in the network by hand", (1, 1000), quick=(1, 10))
    dtype: Literal["float64", "float32"] = option("float64", "float64 or float32")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            max(self.squares) >= 2, "squares", "at least one size above 1: a number is its own transpose", self.squares
        )


PAGES = ("shapes", "columns", "one_product", "transpose", "by_hand")
PRINTED = "shapes"
NEXT_STEPS = (
    "`--dtype float32`: the same bounds in units of float32's own, 5e8 times larger rounding.",
    "`--inputs 10 100 1000 10000 --largest 8`: the error of a sum grows far more slowly than its bound, n roundings.",
    "`--squares 2 4 8 16 32 64 128 256`: how a transposed matrix's numbers part from the right ones, 1/n, while their size stays.",
    "`python -m timeit -s 'import numpy as n; W, X = n.ones((2, 3)), n.ones((3, 1000))' 'W @ X'`, and then "
    "`'[W @ X[:, j] for j in range(1000)]'`: the multiplications are as many; what the one product saves is 999 calls.",
)


def finding(claims: pd.DataFrame, products: pd.DataFrame | None = None) -> str:
    verdict = held(claims)
    if products is None:
        return verdict
    roundings = products[products.comparison == "a loop"].measured.max()
    return (
        f"One product WX does for all examples what a loop does for one at a time: the numbers differ by {roundings:.1f} "
        "roundings at most. With neurons as rows and examples as columns nothing is transposed; a transpose in the wrong place is "
        "refused unless W is square, and there it goes unnoticed, with numbers of the right size that overlap with the right ones "
        f"only by 1/n. For one input the notes' [1×2][2×1] = 1×n is a slip, their ⇒ 1×1 is right. {verdict}"
    )
