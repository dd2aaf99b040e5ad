"""Dropout: regularization and dropout reduce overfitting. What dropout does exactly, what nearly, and what it is good for.

Exact, by going through all masks: a linear model with dropout is ridge regression, and scaling instead of dropping is the
geometric mean of all thinned networks. Nearly: Wager's penalty. Measured: networks that overfit, from no dropout to almost all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.lab.options import Drawn, Floats, option, require

if TYPE_CHECKING:
    import pandas as pd

PATIENTS, LARGEST = 442, 14  # in the diabetes data; features of which all masks still fit into memory


@dataclass(frozen=True)
class Options(Drawn):
    """Dropout: ridge regression and a geometric mean exactly, Wager's penalty nearly, less overfitting by measurement."""

    keeps: Floats = option(
        (0.05, 0.1, 0.2, 0.35, 0.5, 0.8, 1.0),
        "probabilities of keeping a unit in the networks that overfit",
        (1e-6, 1),
        quick=(0.05, 0.5, 1.0),
    )
    wrong: Floats = option((0.0, 0.2), "shares of their training labels that are wrong", (0, 0.999), quick=(0.3,))
    examples: int = option(200, "digits that each of them is trained on", (50, 1000))
    width: int = option(128, "units in their hidden layer", (2, 4096), quick=64)
    steps: int = option(300, "training steps of 50 digits each", (2, 100_000), quick=200)
    seeds: int = option(
        16, "how many of them, counted from 0: each its own weights, digits and masks", (2, 1000), quick=10
    )
    ridge_keeps: Floats = option(
        (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0),
        "probabilities of keeping a feature in linear regression",
        (1e-6, 1),
        quick=(0.5, 1.0),
    )
    patients: int = option(PATIENTS, "diabetes patients of the linear regression, up to 442", (20, PATIENTS), quick=40)
    runs: int = option(64, "linear regressions trained with masks that are drawn", (3, 10_000), quick=16)
    rates: Floats = option(
        (0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
        "dropout rates δ at which logistic regression is penalized",
        (1e-6, 0.999),
        quick=(0.1, 0.5),
    )
    features: int = option(
        10, "pixels n of the digits in the parts that go through all 2ⁿ masks", (2, LARGEST), quick=6
    )
    images: int = option(100, "digits in those parts", (10, 300), quick=30)
    device: str = option("cpu", "where PyTorch computes: cpu or cuda")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("keeps", "ridge_keeps"):
            values = getattr(self, name)
            require(1.0 in values, name, "1.0 among them (no dropout, to compare with)", values)
            require(len(values) > 1, name, "two or more different values", values)


PAGES = ("overfitting", "in_use", "ridge", "averages", "thinned", "wager", "together")
PRINTED = "chosen"
NEXT_STEPS = (
    "`--examples 1000`: more digits overfit less, and dropout has less to mend.",
    "`--wrong 0 0.1 0.2 0.4`: the more labels are wrong, the more there is to forget, and the fewer units should be kept.",
    "`--steps 2000`: without dropout the test loss goes on rising; early stopping is the rival to compare with.",
    "`--features 14`: 16 384 masks. Dropout's noise is a sum over more features, and Wager's approximation improves.",
)


def finding(
    claims: pd.DataFrame,
    chosen: pd.DataFrame | None = None,
    coefficients: pd.DataFrame | None = None,
    penalty: pd.DataFrame | None = None,
) -> str:
    """In plain words, from whatever was measured."""
    said = [] if chosen is None else helped(chosen[chosen.backend == "scratch"])
    if coefficients is not None:
        said += in_disguise(coefficients[(coefficients.backend == "scratch") & (coefficients.keep == 0.5)])
    if penalty is not None:
        said += nearly(penalty[(penalty.rate == penalty.rate.min()) & (penalty.backend == "scratch")])
    return " ".join(said) or f"{(claims.verdict == 'holds').sum()} claims hold; too little was measured to say more."


def helped(chosen: pd.DataFrame) -> list[str]:
    said: list[str] = []
    for share, rows in sorted(chosen.groupby("labels wrong"), reverse=True):
        loss, error = (rows.set_index("quantity").loc[name] for name in ("test loss", "test error"))
        if not said:
            told = "helps" if loss.gain > 4 * loss.standard_error else "does not measurably help"
            said.append(f"Dropout {told} a network that can learn its training set by heart.")
        said.append(
            f"With {share:.0%} of the training labels wrong, keeping {loss.keep:.0%} of the hidden units takes the test loss from "
            f"{loss.none:.2f} to {loss.dropout:.2f} (gain {loss.gain:.3f} ± {loss.standard_error:.3f}) and, at its own best keep, the test "
            f"error from {error.none:.1%} to {error.dropout:.1%}."
        )
    return said


def in_disguise(half: pd.DataFrame) -> list[str]:
    if half.empty:
        return []
    off, near = (((half[c] - half.predicted) ** 2).sum() ** 0.5 for c in ("least_squares", "value"))
    size = (half.predicted**2).sum() ** 0.5
    return [
        f"It is a penalty in disguise: a linear model trained with p = ½ ends at ridge regression's closed form (to {near / size:.0e}), "
        f"where least squares is {off / size:.0%} off."
    ]


def nearly(rare: pd.DataFrame) -> list[str]:
    if rare.empty:
        return []
    strong, weak = rare.loc[rare.stretch.idxmax()], rare.loc[rare.stretch.idxmin()]
    return [
        f"Wager's penalty is an approximation for small weights, not for rare dropout: at δ = {strong.rate:g} the true one is "
        f"{strong.ratio:.2f} times as large, with weights a quarter as large {weak.ratio:.2f} times."
    ]
