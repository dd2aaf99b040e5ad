"""Batch normalization: inputs have zero mean and unit variance. What that does to gradients, weights and training.

Exact: the moments that it gives every unit, and what follows from them for gradients. In the limit of wide networks: how fast
gradients explode where it is used at every layer. Measured: the digits version of Ioffe & Szegedy's first figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from experiments.lab.options import Drawn, Range, require_device

if TYPE_CHECKING:
    import pandas as pd

NORMS = ("batch", "none")  # of a network: batch norm below each activation, or nothing
BATCH = 60  # Ioffe & Szegedy's
GOAL = 0.9  # share of the test digits to be got right
WIDE = Range(1e-6, 1e6)  # of rates and scales


@dataclass(frozen=True)
class Options(Drawn):
    """Batch norm: its moments and its algebra exactly, exploding gradients, faster training, statistics after training."""

    scales: Annotated[tuple[float, ...], WIDE, arg(help="sizes of the weights below the layer that is looked at")] = (
        1e-4,
        1e-3,
        1e-2,
        0.1,
        1.0,
        10.0,
    )
    stretches: Annotated[tuple[float, ...], WIDE, arg(help="factors a by which weights are multiplied")] = (
        0.003,
        3.0,
        700.0,
    )
    rates: Annotated[tuple[float, ...], WIDE, arg(help="learning rates at which weights grow")] = (0.1, 0.5, 2.0)
    steps: Annotated[int, Range(1, 1000), arg(help="how many steps they grow")] = 60
    pushes: Annotated[tuple[float, ...], WIDE, arg(help="learning rates of a single step")] = tuple(
        10.0**k for k in range(-3, 4)
    )
    seeds: Annotated[int, Range(1, 100), arg(help="networks, each with its own weights, in those exact parts")] = 4
    rounds: Annotated[
        int, Range(1, 6), arg(help="rounds of closing in on the largest learning rate of a linear unit")
    ] = 6
    noise_rates: Annotated[tuple[float, ...], WIDE, arg(help="learning rates of a unit that is fed noise")] = (
        0.03,
        0.3,
        1.0,
        10.0,
    )
    noise_steps: Annotated[int, Range(1, 10_000), arg(help="steps that it takes")] = 300
    chains: Annotated[int, Range(2, 10_000), arg(help="such units, each with its own noise")] = 48
    tried: Annotated[tuple[float, ...], WIDE, arg(help="learning rates at which digits are learnt")] = tuple(
        float(f"{10 ** (k / 3):.4g}") for k in range(-6, 13)
    )
    places: Annotated[
        tuple[Literal["hidden", "everywhere"], ...],
        arg(help="where batch norm stands there: below every ReLU, or over every layer"),
    ] = ("hidden", "everywhere")
    tried_steps: Annotated[int, Range(1, 10_000), arg(help="steps at each of those rates")] = 150
    tried_seeds: Annotated[int, Range(2, 100), arg(help="networks at each of those rates")] = 8
    batches: Annotated[
        tuple[int, ...], Range(5, 4096), arg(help="batch sizes at which gradients explode, from 5 up")
    ] = (  # E 1/σ² needs five to have a variance
        8,
        16,
        32,
        64,
        128,
    )
    width: Annotated[
        int, Range(16, 4096), arg(help="units a layer there; half as many are measured too, to extrapolate")
    ] = 512
    depth: Annotated[int, Range(4, 60), arg(help="layers there")] = 12
    draws: Annotated[int, Range(2, 1000), arg(help="networks drawn there")] = 16
    averaged: Annotated[
        tuple[int, ...], Range(2, 4096), arg(help="batch sizes whose running statistics are followed")
    ] = (4, 16, 64)
    compared: Annotated[
        tuple[int, ...], Range(2, 4096), arg(help="batch sizes at which training and use afterwards are compared")
    ] = (2, 4, 8, 16, 32, 64, 128, 256)
    units: Annotated[int, Range(10, 100_000), arg(help="independent units in those two parts")] = 2000
    train_width: Annotated[
        int, Range(1, 4096), arg(help="sigmoids in each hidden layer of the race to 90 %% of the test digits")
    ] = 100
    train_rate: Annotated[float, WIDE, arg(help="learning rate of the race")] = 0.1
    train_steps: Annotated[int, Range(20, 100_000), arg(help="steps of the race")] = 2500
    train_seeds: Annotated[int, Range(2, 100), arg(help="networks in the race, with and without batch norm")] = 6
    device: Annotated[str, arg(help="where PyTorch computes: cpu or cuda")] = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_device(self.device, "float64")


QUICK = Options(
    scales=(1e-4, 1e-2, 1.0),
    rates=(0.5,),
    steps=10,
    pushes=(1e-2, 1.0, 100.0),
    seeds=2,
    rounds=2,
    noise_rates=(0.1, 1.0),
    noise_steps=40,
    chains=32,
    tried=(0.1, 3.0, 300.0),
    places=("everywhere",),
    tried_steps=60,
    tried_seeds=4,
    batches=(8, 16),
    width=96,
    depth=6,
    draws=12,
    averaged=(4, 32),
    compared=(2, 8, 32),
    units=500,
    train_width=30,
    train_rate=1.0,
    train_steps=250,
    train_seeds=5,
)

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
