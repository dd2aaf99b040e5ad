"""Precision: what float32, TF32, fp16 and bf16 cost, from one dot product to a deep network and its training.

Rounding errors against the worst case and against a model in which they are random; sums that stand still; gradients that
underflow; updates too small for the weights. TF32, fp16 and bf16 are emulated on the CPU, and PyTorch's own types stand beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.lab.options import Drawn, Ints, option
from experiments.lab.words import held

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Options(Drawn):
    """Precision: rounding errors of sums, of deep networks layer by layer, and in training, in five formats."""

    draws: int = option(
        200_000, "random float32 numbers that are rounded to every short format", (1000, 10**8), quick=20_000
    )
    lengths: Ints = option((100, 1000, 10_000, 100_000), "terms of the dot products", (2, 10**6), quick=(100, 1000))
    trials: int = option(400, "dot products of each kind; fewer of the long ones", (50, 10**6), quick=100)
    growth: int = option(4000, "terms of the bf16 sums that stand still after about 1400", (2500, 10**6), quick=2500)
    # deeper, the worst case overflows
    depth: int = option(20, "hidden layers of the networks whose errors are followed", (2, 100), quick=8)
    width: int = option(48, "units in each hidden layer", (2, 4096), quick=32)
    seeds: int = option(12, "networks of each kind", (3, 1000), quick=6)
    replicas: int = option(8, "networks with random errors, for each, that make the prediction", (1, 1000), quick=3)
    fading: int = option(12, "hidden layers of the networks whose gradients underflow", (2, 100), quick=9)
    steps: int = option(400, "steps of training", (15, 10**6), quick=30)
    rate: float = option(0.02, "its learning rate; the smaller, the more updates bf16 weights do not feel", (1e-6, 1))
    device: str = option("cpu", "where PyTorch computes: cpu, or cuda with TF32 in its tensor cores")


PAGES = ("mistake", "layers", "sums", "stagnation", "underflow", "training", "casts")
NEXT_STEPS = (
    "`--device cuda`: TF32 in real tensor cores, bf16 and fp16 in a GPU's own kernels, whose order of sums is another.",
    "`--depth 60 --seeds 6`: does the error go on growing like the square root of the depth?",
    "`--rate 0.005 --steps 1600`: smaller steps, and bf16 weights stand still at a higher loss; a master copy does not notice.",
    "`--lengths 1000000 --trials 50`: one by one, float32 loses three digits of a million positive terms; in pairs none.",
)
PRINTED = "costs"


def finding(claims: pd.DataFrame, pairs: pd.DataFrame | None = None, layers: pd.DataFrame | None = None) -> str:
    """A few plain sentences."""
    verdict = held(claims)
    wrong = (
        "What does go wrong is not random: bf16 sums stand still at 256, fp16 loses small gradients, bf16 weights do not feel small "
        "updates; sums in float32, a scaled loss and a float32 copy of the weights repair each."
    )
    return " ".join([*between_implementations(pairs), *of_short_formats(layers), wrong, verdict])


def between_implementations(pairs: pd.DataFrame | None) -> list[str]:
    if pairs is None:
        return []
    one = pairs[(pairs.format == "float32") & (pairs.signal == "activation")].set_index("layer")
    if one.empty:
        return []
    low, top, depth = one.iloc[0], one.iloc[-1], one.index.max() - 1
    return [
        f"In float32, two correct implementations of a network of {depth} layers differ by {low.apart**0.5:.0e} at the first layer and "
        f"{top.apart**0.5:.0e} at the last, {(2 * top.apart / (top.scratch + top.torchref)) ** 0.5:.2g} times each one's own error: "
        "that is rounding."
    ]


def of_short_formats(layers: pd.DataFrame | None) -> list[str]:
    if layers is None:
        return []
    last = layers[(layers.backend == "scratch") & (layers.signal == "activation")].groupby("format").last()
    if not {"float32", "bf16", "tf32"} <= set(last.index):
        return []
    error, excess = last.measured**0.5, (last.bound["float32"] / last.measured["float32"]) ** 0.5
    return [
        f"TF32 (emulated here) costs {error['tf32']:.1e} there and bf16 {error['bf16']:.1e}. Rounding errors behave as if they were "
        "random, and a model without anything fitted predicts them at every layer. Higham's worst case holds too, but allows "
        f"{excess:.0e} times as much in float32."
    ]
