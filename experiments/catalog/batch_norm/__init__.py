"""Batch normalization: inputs have zero mean and unit variance. What that does to gradients, weights and training.

Exact: the moments that it gives every unit, and what follows from them for gradients. In the limit of wide networks: how fast
gradients explode where it is used at every layer. Measured: the digits version of Ioffe & Szegedy's first figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables, require_device
from experiments.options import Checked, Range
from experiments.work import Cost

KINDS = ("relu", "linear")
NORMS = ("batch", "none")  # of a network: batch norm below each activation, or nothing
WIDE = Range(1e-6, 1e6)  # of rates and scales


@dataclass(frozen=True)
class Options(Checked):
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
    ] = (
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
    )
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

COSTS = {  # of the largest cell of each part at the default options: seconds and megabytes
    "race": Cost(7.4, 32),
    "span": Cost(3.7, 160),
    "explosion": Cost(16, 450),
    "moments": Cost(0.2, 32),
    "pairs": Cost(0.15, 17),
    "refusal": Cost(0.07, 5),
    "algebra": Cost(0.23, 19),
    "growth": Cost(2.3, 50),
    "limited": Cost(1.6, 60),
    "tuned": Cost(4.1, 140),
    "threshold": Cost(2.4, 40),
    "running": Cost(0.63, 300),
    "gap": Cost(0.17, 70),
    "trajectory": Cost(1.3, 60),
}


def cells(options: Options) -> list[Cell]:
    shared = {"device": options.device}
    exact = {"seeds": options.seeds, **shared}
    race = {"steps": options.train_steps, "seeds": options.train_seeds, "width": options.train_width}
    tried = {"rates": list(options.tried), "steps": options.tried_steps, "seeds": options.tried_seeds, **shared}
    noise = {"rates": list(options.noise_rates), "steps": options.noise_steps, "chains": options.chains, **shared}
    sizes = {"batches": list(options.batches), "depth": options.depth, "draws": options.draws, **shared}
    both = ("torchref", "scratch")
    found = [
        Cell("race", {"norm": norm, "backend": name, "rate": options.train_rate, **race, **shared})
        for name in both
        for norm in NORMS
    ]
    found += [
        Cell("span", {"kind": kind, "backend": name, **tried}) for name in both for kind in ("none", *options.places)
    ]
    found += [
        Cell("explosion", {"kind": kind, "width": width, **sizes})
        for width in (options.width, options.width // 2)
        for kind in KINDS
    ]
    found += [
        Cell("moments", {"layer": layer, "scales": list(options.scales), **exact}) for layer in ("batch", "layer")
    ]
    found += [Cell("pairs", {"scales": list(options.scales), **exact}), Cell("refusal", shared)]
    found += [Cell("algebra", {"stretches": list(options.stretches), **exact})]
    found += [Cell("growth", {"rate": rate, "steps": options.steps, **exact}) for rate in options.rates]
    found += [Cell("limited", {"rates": list(options.pushes), **exact}), Cell("tuned", noise)]
    found += [Cell("threshold", {"rounds": options.rounds, **exact})]
    found += [Cell("running", {"batch": batch, "units": options.units, **shared}) for batch in options.averaged]
    found += [Cell("gap", {"batch": batch, "units": options.units, **shared}) for batch in options.compared]
    return [*found, Cell("trajectory", shared)]


def measure(cell: Cell) -> Tables:
    from experiments.catalog.batch_norm.parts import PARTS

    return PARTS[cell.part](**cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.batch_norm.analysis import analyse

    return analyse(tables, options)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.batch_norm.pictures import figures

    return figures(tables)
