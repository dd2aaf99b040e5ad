"""Initialization: networks are sensitive to it, and the notes' sqrt(2/(n−1)) can be read in three ways.

What a start must not be (symmetric, dead, of the wrong scale), what each remedy achieves exactly (random weights, He's rule,
orthogonal ones, LSUV, a positive bias), and what it costs in training to begin elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING

from experiments.lab.options import DataOptions, Floats, Ints, Words, option, require
from experiments.lab.words import held, raised
from scratch import activations

if TYPE_CHECKING:
    import pandas as pd

LEARNED = 0.5  # the accuracy from which a network counts as trained


@dataclass(frozen=True)
class Options(DataOptions):
    """Initialization: how a start breaks symmetry, keeps signals alive or kills them, each against a prediction."""

    units: Ints = option(
        (8, 7),
        "hidden units of networks whose weights start equal; the first are also moved apart",
        (2, 1000),
        quick=(8,),
    )
    powers: Ints = option((2, 4, 6, 8, 11), "k of the starts moved by 10^−k of themselves", (1, 15), quick=(3, 6))
    breaking_steps: int = option(400, "steps for which these are trained", (20, 10**6), quick=220)
    silent_seeds: int = option(
        64, "narrow networks that are looked at for being dead for all of the data", (2, 10_000), quick=24
    )
    silent_steps: int = option(200, "steps for which they are trained", (4, 10**6), quick=40)
    sizes: Ints = option(
        (25, 50, 100, 200, 400), "n of the n × n layers whose singular values are taken", (2, 5000), quick=(25, 50, 100)
    )
    seeds: int = option(6, "seeds of the largest of these, and of the networks that are trained", (2, 10_000), quick=4)
    product_widths: Ints = option((2, 4, 16), "widths of the products of matrices", (2, 1000), quick=(2, 4))
    draws: int = option(1000, "random networks of which means are taken", (100, 10**7), quick=300)
    activations: Words = option(
        ("relu", "leakyrelu", "elu", "selu", "gelu", "tanh", "sigmoid"),
        "of the networks given unit variance, any of: ",
        of=("activation", activations.by_name()),
        quick=("relu", "tanh"),
    )
    width: int = option(128, "units in each hidden layer of those", (2, 4096), quick=64)
    dead_widths: Ints = option((1, 2, 3, 4), "widths of the networks that may be born dead", (1, 1000), quick=(1, 2, 3))
    dead_draws: int = option(10_000, "networks of each of these widths", (100, 10**8), quick=2000)
    biases: Floats = option(
        (0.0, 0.1, 0.3, 1.0), "b ≥ 0 of all units, to keep them from it", (0, 1000), quick=(0.0, 0.3, 1.0)
    )
    raw_rates: Floats = option(
        (0.003, 0.01, 0.03, 0.1),
        "learning rates tried on inputs that are not standardised",
        (1e-6, 1000),
        quick=(0.01,),
    )
    raw_seeds: int = option(16, "seeds of these networks", (2, 10_000), quick=8)
    raw_steps: int = option(60, "steps for which these networks are trained", (16, 10**6), quick=20)
    scales: Floats = option(
        (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
        "factors on He's weights; 1 must be among them",
        (1e-6, 1e6),
        quick=(0.125, 1.0, 8.0),
    )
    scale_depths: Ints = option((2, 4, 8), "weight layers of the networks so scaled", (1, 100), quick=(2, 6))
    scale_steps: int = option(200, "steps for which they are trained", (1, 10**6), quick=40)
    wait_depths: Ints = option((3, 4), "weight layers of the networks whose wait is measured", (3, 100), quick=(3,))
    wait_steps: int = option(
        400, "steps for which they are trained; the smallest scale is chosen by it", (100, 10**6), quick=220
    )
    device: str = option("cpu", "where PyTorch computes: cpu or cuda")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1.0 in self.scales, "scales", "1, He's own scale, among them", self.scales)


PAGES = ("scale", "waits", "symmetry", "silent", "readings", "spectra", "lsuv", "raw_inputs", "born_dead")
NEXT_STEPS = (
    "`--units 8 5 12 16`: which units a matrix product rounds otherwise, and so breaks their symmetry, is the machine's affair.",
    "`--product-widths 64 --draws 200`: the condition number grows faster, and 64-bit numbers end after a few layers.",
    "`--scale-depths 2 4 8 16`: the deeper the network, the narrower the range of scales from which it learns.",
    "`--activations silu mish hardtanh`: the n·Var W that an activation needs, where no table has it.",
    "`python -m experiments.run vanishing_gradient`: He's rule against Xavier's in networks of 22 and 30 layers, as a race of losses.",
)


def finding(
    claims: pd.DataFrame,
    accuracies: pd.DataFrame | None = None,
    breaking: pd.DataFrame | None = None,
    signals: pd.DataFrame | None = None,
) -> str:
    """What came out, for whoever reads no further."""
    verdict = held(claims)
    found = ((accuracies, of_scales), (breaking, of_symmetry), (signals, of_readings))
    ours = [(told, table[table.backend == "scratch"]) for table, told in found if table is not None]
    said = [told(rows) for told, rows in ours if len(rows)]
    return " ".join([sentence for sentence in said if sentence] + [verdict])


def of_symmetry(breaking: pd.DataFrame) -> str:
    last = breaking.iloc[-1]
    return (
        f"Hidden units that start equal stay equal: moved apart by one part in 10{raised(last.power)}, they need "
        f"{last.measured:.0f} steps to become different (predicted: {last.predicted:.0f})."
    )


def of_readings(signals: pd.DataFrame) -> str:
    last = signals[signals.layer == signals.layer.max()].set_index(["shape", "reading"]).measured
    shape = "funnel" if "funnel" in signals["shape"].values else signals["shape"].iloc[0]
    he, literal, xavier = (exp(last[shape, reading] / 2) for reading in ("he", "literal", "xavier"))
    return (
        f"Of three readings of the notes' rule, 2/n with n the layer before keeps a ReLU network's signal and n − 1 nearly as well: "
        f"a {shape} typically leaves {he:.2f} and {literal:.2f} of it; with Xavier's {xavier:.2f} is left."
    )


def of_scales(accuracies: pd.DataFrame) -> str:
    learned = accuracies[accuracies.measured >= LEARNED].groupby("depth").scale.agg(["min", "max"])
    spans = [f"with {depth} layers {span(*row)}" for depth, *row in learned.itertuples(name=None)]
    return f"The deeper a network, the more its start matters: {', '.join(spans)}." if spans else ""


def span(low: float, high: float) -> str:
    return (
        "it learns from He's weights alone" if low == high else f"it learns from {low:g} to {high:g} times He's weights"
    )
