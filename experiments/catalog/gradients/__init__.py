"""Four witnesses for every gradient: by hand, autodiff, complex steps and PyTorch agree to rounding, piece by piece.

Every layer, activation, loss and penalty, and random whole networks, on many random shapes: the loss, its gradient at the
input and at every parameter. A witness that is wrong disagrees with the three others, and so is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.lab.options import Drawn, Words, option

if TYPE_CHECKING:
    import pandas as pd

FAMILIES = ("layers", "activations", "losses", "penalties", "networks")


@dataclass(frozen=True)
class Options(Drawn):
    """Four witnesses for every gradient."""

    families: Words = option(FAMILIES, "any of: ", of=("family", FAMILIES))
    trials: int = option(
        12, "random shapes for each piece; random networks get five times as many", (1, 10**6), quick=2
    )
    largest: int = option(8, "the widest layer; batches go up to twice that", (2, 1000), quick=5)


PAGES = ("witnesses", "taylor")
PRINTED = "matrix"
NEXT_STEPS = (
    "`--trials 100`: more shapes. The worst ratio creeps up slowly, as the largest of more random numbers does.",
    "Write a wrong sign into any `backward`, `formula` or twin and run it again: the three pairs with the culprit turn red.",
    "`python -m scratch.tape`: the chain rule on the notes' own examples, node by node.",
)


def finding(ledger: pd.DataFrame) -> str:
    pieces, worst = ledger.drop_duplicates(["family", "piece"]), ledger.loc[ledger.ratio.idxmax()]
    right = bool((ledger.ratio <= 1).all())
    return (
        f"{len(pieces)} pieces on {pieces.trials.sum()} random shapes: four witnesses "
        f"{'give the same gradients to rounding everywhere' if right else 'do NOT agree everywhere'}. The pair farthest apart, "
        f"{worst.pair} on {worst.piece}, differs by {worst.ratio:.2f} of what rounding may do."
    )
