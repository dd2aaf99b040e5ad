"""Batch normalization: inputs have zero mean and unit variance. What that does to gradients, weights and training.

Exact: the moments that it gives every unit, and what follows from them for gradients. In the limit of wide networks: how fast
gradients explode where it is used at every layer. Measured: the digits version of Ioffe & Szegedy's first figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Literal

from experiments.lab.options import Checked, Floats, Ints, option, require_device

if TYPE_CHECKING:
    import pandas as pd

NORMS = ("batch", "none")  # of a network: batch norm below each activation, or nothing
BATCH = 60  # Ioffe & Szegedy's
GOAL = 0.9  # share of the test digits to be got right
WIDE = (1e-6, 1e6)  # of rates and scales


@dataclass(frozen=True)
class Options(Checked):
    """Batch norm: its moments and its algebra exactly, exploding gradients, faster training, statistics after training."""

    scales: Floats = option(
        (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0),
        "sizes of the weights below the layer that is looked at",
        WIDE,
        quick=(1e-4, 1e-2, 1.0),
    )
    stretches: Floats = option((0.003, 3.0, 700.0), "factors a by which weights are multiplied", WIDE)
    rates: Floats = option((0.1, 0.5, 2.0), "learning rates at which weights grow", WIDE, quick=(0.5,))
    steps: int = option(60, "how many steps they grow", (1, 1000), quick=10)
    pushes: Floats = option(
        tuple(10.0**k for k in range(-3, 4)), "learning rates of a single step", WIDE, quick=(1e-2, 1.0, 100.0)
    )
    seeds: int = option(4, "networks, each with its own weights, in those exact parts", (1, 100), quick=2)
    rounds: int = option(6, "rounds of closing in on the largest learning rate of a linear unit", (1, 6), quick=2)
    noise_rates: Floats = option(
        (0.03, 0.3, 1.0, 10.0), "learning rates of a unit that is fed noise", WIDE, quick=(0.1, 1.0)
    )
    noise_steps: int = option(300, "steps that it takes", (1, 10_000), quick=40)
    chains: int = option(48, "such units, each with its own noise", (2, 10_000), quick=32)
    tried: Floats = option(
        tuple(float(f"{10 ** (k / 3):.4g}") for k in range(-6, 13)),
        "learning rates at which digits are learnt",
        WIDE,
        quick=(0.1, 3.0, 300.0),
    )
    places: tuple[Literal["hidden", "everywhere"], ...] = option(
        ("hidden", "everywhere"),
        "where batch norm stands there: below every ReLU, or over every layer",
        quick=("everywhere",),
    )
    tried_steps: int = option(150, "steps at each of those rates", (1, 10_000), quick=60)
    tried_seeds: int = option(8, "networks at each of those rates", (2, 100), quick=4)
    batches: Ints = option(
        (8, 16, 32, 64, 128), "batch sizes at which gradients explode, from 5 up", (5, 4096), quick=(8, 16)
    )
    width: int = option(512, "units a layer there; half as many are measured too, to extrapolate", (16, 4096), quick=96)
    depth: int = option(12, "layers there", (4, 60), quick=6)
    draws: int = option(16, "networks drawn there", (2, 1000), quick=12)
    averaged: Ints = option((4, 16, 64), "batch sizes whose running statistics are followed", (2, 4096), quick=(4, 32))
    compared: Ints = option(
        (2, 4, 8, 16, 32, 64, 128, 256),
        "batch sizes at which training and use afterwards are compared",
        (2, 4096),
        quick=(2, 8, 32),
    )
    units: int = option(2000, "independent units in those two parts", (10, 100_000), quick=500)
    train_width: int = option(
        100, "sigmoids in each hidden layer of the race to 90 %% of the test digits", (1, 4096), quick=30
    )
    train_rate: float = option(0.1, "learning rate of the race", WIDE, quick=1.0)
    train_steps: int = option(2500, "steps of the race", (20, 100_000), quick=250)
    train_seeds: int = option(6, "networks in the race, with and without batch norm", (2, 100), quick=5)
    device: str = option("cpu", "where PyTorch computes: cpu or cuda")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_device(self.device, "float64")


PAGES = ("race", "larger_rates", "outgrown", "explosion", "moments", "after_training", "small_batches", "orthogonal")
PRINTED = "times"
NEXT_STEPS = (
    "`--tried-steps 1500`: rates that are far too large should only take longer, where batch norm stands over every layer.",
    "`--width 1024 --batches 256`: large batches need still wider layers; the rate goes on to π/(π − 1).",
    "`--depth 40`: the rate holds from the first layer to the last; at what depth do such networks stop learning?",
    "`--train-steps 8000`: with batch norm the digits are learnt sooner; who ends higher?",
    "`--averaged 2`: an unbiased variance of two examples is so scattered that ten batches' average still is.",
)


def finding(
    claims: pd.DataFrame,
    train_steps: int,
    times: pd.DataFrame | None = None,
    ends: pd.DataFrame | None = None,
    explosion_rates: pd.DataFrame | None = None,
) -> str:
    """In plain words, from whatever was measured."""
    verdict = dict(zip(claims.claim, claims.verdict, strict=True))
    said = [
        "Batch norm gives every unit mean 0 and variance σ²/(σ² + ε) over the batch, to the last digit; layer norm does not. After "
        "training it holds for no single batch any more: outputs differ from those in training by about 3/(2B) in mean square."
    ] * (verdict.get("zero mean") == verdict.get("unit variance") == "holds")
    for table, words in ((times, sooner), (ends, larger), (explosion_rates, no_cure)):
        if table is not None:
            said.append(words(table[table.backend == "scratch"], train_steps))
    return " ".join(filter(None, said))


def sooner(times: pd.DataFrame, steps: int) -> str:
    fast, slow = (times[times.norm == norm] for norm in NORMS)
    if not (len(fast) and len(slow)):
        return ""
    never = slow.by.isna().sum()
    late = f"not within {steps} ({never} of {len(slow)})" if never else f"after {slow.after.median():.0f}"
    return (
        f"A sigmoid network gets {GOAL:.0%} of the test digits right within {fast.by.median():.0f} steps with batch norm, "
        f"without it {late}."
    )


def larger(ends: pd.DataFrame, _: int) -> str:
    """The largest learning rates, as medians over the networks."""
    largest = ends.groupby("kind").largest.median()
    if not {"none", "everywhere"} <= {*largest.index}:
        return ""
    usual = f" {largest['hidden']:.3g} with it below every ReLU, and" if "hidden" in largest else ""
    return (
        f"ReLU networks learn at rates up to {largest['none']:.3g} without it,{usual} {largest['everywhere']:.4g} where it stands over "
        "every layer and nothing but weights is learnt: they outgrow a rate that is too large."
    )


def no_cure(rates: pd.DataFrame, _: int) -> str:
    deep = rates[(rates.norm == "batch") & (rates.kind == "relu")]
    if deep.empty:
        return ""
    row = deep.loc[deep.batch.idxmax()]
    return (
        f"It is no cure for exploding gradients at the start: with ReLU and batches of {row.batch} squared gradients grow by "
        f"{exp(row.measured):.3f} a layer (predicted {exp(row.predicted):.3f}), where He's weights alone keep them."
    )
