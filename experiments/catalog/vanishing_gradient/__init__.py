"""Vanishing gradients: in deep networks the gradients in the lower layers are very small, y = w1 w2 … wn x.

Random products, deep linear networks, gradients and activations layer by layer for every depth, activation and init scheme, the
theory of wide and of narrow networks, what it costs in training, and what repairs it: weights, activations, batch norm, skip
connections. And the opposite: gradients that explode, with clipping; and inputs that all come to look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from experiments.lab.options import DataOptions, Range
from scratch import activations, initializers
from scratch.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

LEARNED = 0.9  # of guessing's loss


@dataclass(frozen=True)
class Options(DataOptions):
    """Vanishing gradients: from the product of weights to networks that do not train and what repairs them, with the theory."""

    depths: Annotated[
        tuple[int, ...], Range(1, 1000), arg(help="hidden layers of the networks whose signals are measured")
    ] = (2, 5, 10, 20, 30)
    activations: Annotated[tuple[str, ...], arg(help="any of: " + ", ".join(activations.by_name()))] = (
        "sigmoid",
        "tanh",
        "relu",
    )
    inits: Annotated[tuple[str, ...], arg(help="any of: " + ", ".join(initializers.by_name()))] = (
        "small_normal",
        "standard",
        "lecun",
        "xavier",
        "he",
        "notes",
    )
    width: Annotated[int, Range(5, 4096), arg(help="units in each hidden layer of those networks")] = 128
    wide: Annotated[
        int, Range(1, 10_000), arg(help="units of the wide tanh networks whose depth scale is measured")
    ] = 300
    seeds: Annotated[int, Range(2, 10_000), arg(help="how many seeds, counted from 0")] = 10
    draws: Annotated[
        int,
        Range(1000, 10**8),
        arg(help="random products of which the exact laws are taken; small networks in proportion"),
    ] = 20_000
    train_depths: Annotated[tuple[int, ...], Range(1, 1000), arg(help="layers of the networks that are trained")] = (
        5,
        10,
        30,
    )
    train_steps: Annotated[int, Range(1, 10**6), arg(help="steps for which every combination is trained")] = 40
    race_depths: Annotated[
        tuple[int, ...], Range(1, 1000), arg(help="layers at which He is raced against Xavier, ReLU")
    ] = (22, 30)
    race_steps: Annotated[int, Range(1, 10**6), arg(help="steps of that race")] = 450
    train_width: Annotated[int, Range(1, 4096), arg(help="units in each hidden layer of the trained networks")] = 64
    train_seeds: Annotated[int, Range(2, 1000), arg(help="seeds of the trained networks")] = 2
    race_seeds: Annotated[int, Range(2, 1000), arg(help="seeds of the race")] = 3
    repair_steps: Annotated[
        int, Range(1, 10**6), arg(help="steps for which repaired networks of the largest --train-depths train")
    ] = 100
    repair_seeds: Annotated[int, Range(2, 1000), arg(help="seeds of the repaired networks that train")] = 5
    repair_width: Annotated[int, Range(1, 4096), arg(help="units in each of their hidden layers")] = 32
    device: Annotated[str, arg(help="where PyTorch computes: cpu, cuda or mps")] = "cpu"
    dtype: Annotated[
        Literal["float64", "float32"], arg(help="float64 to compare, float32 to see rounding and underflow")
    ] = "float64"

    def __post_init__(self) -> None:
        super().__post_init__()
        for known, chosen, kind in (
            (activations.by_name(), self.activations, "activation"),
            (initializers.by_name(), self.inits, "init scheme"),
        ):
            for name in chosen:
                if name not in known:
                    raise unknown(kind, name, known)


QUICK = Options(
    depths=(10,),
    activations=("sigmoid", "relu"),
    inits=("standard", "he", "notes"),
    width=48,
    wide=80,
    seeds=6,
    draws=1000,
    train_depths=(5,),
    train_steps=4,
    race_depths=(6,),
    race_steps=30,
    repair_steps=16,
    repair_seeds=2,
    repair_width=24,
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
    verdict = f"{repaired_in_words(mended)}{(claims.verdict == 'holds').sum()} of {len(claims)} claims hold in both implementations."
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
    superscript = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"{10**power:.2g} times" if abs(power) < 3 else f"10{f'{power:.0f}'.translate(superscript)} times"
