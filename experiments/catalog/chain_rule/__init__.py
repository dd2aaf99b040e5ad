"""The chain rule: shares flow back along every path and add up, in one pass for all variables.

The notes' two worked examples by autodiff, torch.autograd, complex steps and sympy; then long products, y = w1 w2 … wn x, second
derivatives, and what a gradient costs forwards and backwards, in multiplications counted one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.lab.options import Drawn, Ints, option, require
from experiments.lab.words import held

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Options(Drawn):
    """The notes' examples and long chains."""

    points: int = option(300, "random points at which the notes' examples are differentiated", (1, 10**6), quick=50)
    factors: Ints = option((1, 2, 3, 5, 10, 20, 50, 100), "n of y = w1 w2 … wn x", (1, 1000), quick=(1, 2, 5, 20, 50))
    draws: int = option(30, "random products of each length", (1, 10**6), quick=6)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            max(self.factors) >= 2, "factors", "at least one value above 1: one factor makes no product", self.factors
        )


PAGES = ("graph", "paths", "dropped", "cost", "products", "twice")
PRINTED = "tape"
NEXT_STEPS = (
    "`python -m scratch.tape`: the tape of both examples, node by node.",
    "`--factors 10 100 400 --draws 3`: one pass stays one pass, while the complex steps pay for every factor again.",
    "Change a line of `notes_example_two` in `scratch/tape.py` and look at the graph: sympy differentiates what stands there.",
    "`python -m experiments.run vanishing_gradient`: what such products of many factors do to the gradient of a deep network.",
)


def finding(claims: pd.DataFrame, cost: pd.DataFrame | None = None) -> str:
    verdict = held(claims)
    if cost is None:
        return verdict
    most = cost[cost.backend == "scratch"].pivot(index="n", columns="mode", values="multiplications").iloc[-1]
    return (
        "A derivative is a sum over paths of products along each path: so say the notes, and so say autodiff, torch.autograd, complex "
        "steps and sympy at every point. Walking back from z finds all derivatives in one pass: for a product of "
        f"{most.name} factors {most['reverse']} multiplications, against {most['complex step']} for a pass each. The notes' "
        f"z = 2y + 1 = 2x² drops the 1: the value is wrong by 1, the slope is right all the same. {verdict}"
    )
