"""Vanishing gradients: in deep networks the gradients in the lower layers are very small, y = w1 w2 … wn x.

Random products, deep linear networks, gradients and activations layer by layer for every depth, activation and init scheme, the
theory of wide and of narrow networks, what it costs in training, and what repairs it: weights, activations, batch norm, skip
connections. And the opposite: gradients that explode, with clipping; and inputs that all come to look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Literal

from experiments.lab.options import DataOptions, Ints, Words, option
from experiments.lab.words import held, raised
from scratch import activations, initializers

if TYPE_CHECKING:
    import pandas as pd

LEARNED = 0.9  # of guessing's loss


@dataclass(frozen=True)
class Options(DataOptions):
    """Vanishing gradients: from the product of weights to networks that do not train and what repairs them, with the theory."""

    depths: Ints = option(
        (2, 5, 10, 20, 30), "hidden layers of the networks whose signals are measured", (1, 1000), quick=(10,)
    )
    activations: Words = option(
        ("sigmoid", "tanh", "relu"), "any of: ", of=("activation", activations.by_name()), quick=("sigmoid", "relu")
    )
    inits: Words = option(
        ("small_normal", "standard", "lecun", "xavier", "he", "notes"),
        "any of: ",
        of=("init scheme", initializers.by_name()),
        quick=("standard", "he", "notes"),
    )
    width: int = option(128, "units in each hidden layer of those networks", (5, 4096), quick=48)
    wide: int = option(300, "units of the wide tanh networks whose depth scale is measured", (1, 10_000), quick=80)
    seeds: int = option(10, "how many seeds, counted from 0", (2, 10_000), quick=6)
    draws: int = option(
        20_000,
        "random products of which the exact laws are taken; small networks in proportion",
        (1000, 10**8),
        quick=1000,
    )
    train_depths: Ints = option((5, 10, 30), "layers of the networks that are trained", (1, 1000), quick=(5,))
    train_steps: int = option(40, "steps for which every combination is trained", (1, 10**6), quick=4)
    race_depths: Ints = option((22, 30), "layers at which He is raced against Xavier, ReLU", (1, 1000), quick=(6,))
    race_steps: int = option(450, "steps of that race", (1, 10**6), quick=30)
    train_width: int = option(64, "units in each hidden layer of the trained networks", (1, 4096))
    train_seeds: int = option(2, "seeds of the trained networks", (2, 1000))
    race_seeds: int = option(3, "seeds of the race", (2, 1000))
    repair_steps: int = option(
        100, "steps for which repaired networks of the largest --train-depths train", (1, 10**6), quick=16
    )
    repair_seeds: int = option(5, "seeds of the repaired networks that train", (2, 1000), quick=2)
    repair_width: int = option(32, "units in each of their hidden layers", (1, 4096), quick=24)
    device: str = option("cpu", "where PyTorch computes: cpu, cuda or mps")
    dtype: Literal["float64", "float32"] = option(
        "float64", "float64 to compare, float32 to see rounding and underflow"
    )


PAGES = (
    "wide",
    "products",
    "born_dead",
    "depth_scale",
    "lookalike",
    "repairs",
    "who_learns",
    "exploding",
    "training",
    "race",
    "together",
)
NEXT_STEPS = (
    "`--depths 50 100 --activations tanh --inits lecun orthogonal`: at the edge of chaos signals travel a long way.",
    "`--width 30`: the finite-width terms grow, and the wide-network theory begins to miss.",
    "`--dtype float32 --inits small_normal --depths 30 50`: gradients underflow; agreement is in float32's own rounding.",
    "`--train-depths 60 --repair-steps 300 --activations relu`: at twice the depth batch norm's explosion is squared; does it learn?",
    "`--activations leakyrelu relu`: a small slope on the other side keeps units from being born dead.",
)


def finding(claims: pd.DataFrame, ratios: pd.DataFrame | None = None, mended: pd.DataFrame | None = None) -> str:
    """What happens without repair, what repairs it, and the verdict: a sentence each."""
    verdict = repaired_in_words(mended) + held(claims)
    power: dict[tuple[str, str], float] = {}
    if ratios is not None:
        deepest = ratios[(ratios.depth == ratios.depth.max()) & (ratios.backend == "scratch")]
        power = {(r.activation, r.init): r.measured / (2 * log(10)) for r in deepest.itertuples()}
    if not power:
        return (
            "There is no first hidden layer to compare with a last: the networks are too shallow, or their gradients "
            f"underflow. {verdict}"
        )
    low, flat = min(power, key=power.__getitem__), min(power, key=lambda name: abs(power[name]))
    theory = claims.verdict[claims.claim.str.startswith("mean field")]
    predicted = ", and theory predicts its size" if len(theory) and (theory == "holds").all() else ""
    other = "" if flat == low else f", and {flat[0]} with {flat[1]} weights {times(power[flat])}"
    return (
        f"In a network of {deepest.depth.iloc[0]} hidden layers, {low[0]} with {low[1]} weights hands the first layer "
        f"{times(power[low])} the gradient of the last{other}: a product of as many factors as there are "
        f"layers{predicted}. {verdict}"
    )


def repaired_in_words(mended: pd.DataFrame | None) -> str:
    """How many of the repairs train, and whether the gradient at the start foretold which; nothing where there is one fate only."""
    if mended is None:
        return ""
    known = mended[mended.learns.notna() & (mended.backend == "scratch")]
    if set(known.learns) != {0.0, 1.0}:
        return ""
    learned = known.lowest < LEARNED * known.guessing
    changed, right = known.init != "standard", int((learned == (known.learns == 1)).sum())
    return (
        f"Changing one thing at a time, {(learned & changed).sum()} of {changed.sum()} repairs of {known.depth.max()} layers learn in "
        f"{known.steps.max()} steps, and theory predicts from the first gradient which learn, rightly for {right} of {len(known)}: batch "
        "norm and skip connections serve every activation, other weights only some, and what explodes too far learns nothing either. "
    )


def times(power: float) -> str:
    """10^power in words that can be read aloud."""
    return f"{10**power:.2g} times" if abs(power) < 3 else f"10{raised(power)} times"
