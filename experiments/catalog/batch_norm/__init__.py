"""Batch normalization: inputs have zero mean and unit variance. What that does to gradients, weights and training.

Exact: the moments that it gives every unit, and what follows from them for gradients. In the limit of wide networks: how fast
gradients explode where it is used at every layer. Measured: the digits version of Ioffe & Szegedy's first figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables, require, require_device

KINDS = ("relu", "linear")
NORMS = ("batch", "none")  # of a network: batch norm below each activation, or nothing


@dataclass(frozen=True)
class Options:
    """Batch norm: its moments and its algebra exactly, exploding gradients, faster training, statistics after training."""

    scales: Annotated[tuple[float, ...], arg(help="sizes of the weights below the layer that is looked at")] = (
        1e-4,
        1e-3,
        1e-2,
        0.1,
        1.0,
        10.0,
    )
    stretches: Annotated[tuple[float, ...], arg(help="factors a by which weights are multiplied")] = (0.003, 3.0, 700.0)
    rates: Annotated[tuple[float, ...], arg(help="learning rates at which weights grow")] = (0.1, 0.5, 2.0)
    steps: Annotated[int, arg(help="how many steps they grow")] = 60
    seeds: Annotated[int, arg(help="networks, each with its own weights, in those exact parts")] = 4
    batches: Annotated[tuple[int, ...], arg(help="batch sizes at which gradients explode, from 5 up")] = (8, 16, 32, 64)
    width: Annotated[int, arg(help="units a layer there; half as many are measured too, to extrapolate")] = 512
    depth: Annotated[int, arg(help="layers there")] = 12
    draws: Annotated[int, arg(help="networks drawn there")] = 16
    averaged: Annotated[tuple[int, ...], arg(help="batch sizes whose running statistics are followed")] = (4, 16, 64)
    compared: Annotated[tuple[int, ...], arg(help="batch sizes at which training and use afterwards are compared")] = (
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
    )
    units: Annotated[int, arg(help="independent units in those two parts")] = 2000
    train_steps: Annotated[int, arg(help="steps of the race to 90 %% of the test digits")] = 2500
    train_seeds: Annotated[int, arg(help="networks in the race, with and without batch norm")] = 6
    device: Annotated[str, arg(help="where PyTorch computes: cpu or cuda")] = "cpu"

    def __post_init__(self) -> None:
        for name, lowest in (
            ("batches", 5),
            ("averaged", 2),
            ("compared", 2),
        ):  # E 1/σ² needs five examples to have a variance
            sizes = getattr(self, name)
            require(
                all(lowest <= b <= 4096 for b in sizes), name, f"whole numbers of examples, {lowest} to 4096", sizes
            )
        for name in ("scales", "stretches", "rates"):
            values = getattr(self, name)
            require(all(1e-6 <= v <= 1e6 for v in values), name, "numbers from 1e-06 to 1e+06", values)
        for name in ("batches", "averaged", "compared", "scales", "stretches", "rates"):
            values = getattr(self, name)
            require(len(set(values)) == len(values) > 0, name, "different values, at least one", values)
        for name, low, high in (
            ("steps", 1, 1000),
            ("seeds", 1, 100),
            ("width", 16, 4096),
            ("depth", 4, 60),
            ("draws", 2, 1000),
            ("units", 10, 100_000),
            ("train_steps", 20, 100_000),
            ("train_seeds", 2, 100),
        ):
            value = getattr(self, name)
            require(low <= value <= high, name, f"a whole number from {low} to {high}", value)
        require_device(self.device, "float64")


QUICK = Options(
    scales=(1e-4, 1e-2, 1.0),
    rates=(0.5,),
    steps=20,
    seeds=2,
    batches=(8, 16),
    width=128,
    depth=6,
    draws=12,
    averaged=(4, 32),
    compared=(2, 8, 32),
    units=500,
    train_steps=350,
    train_seeds=4,
)


def cells(options: Options) -> list[Cell]:
    shared = {"device": options.device}
    race = {"steps": options.train_steps, "seeds": options.train_seeds, **shared}
    sizes = {"batches": list(options.batches), "depth": options.depth, "draws": options.draws, **shared}
    exact = {"seeds": options.seeds, **shared}
    found = [
        Cell("race", {"norm": norm, "backend": name, **race}) for name in ("torchref", "scratch") for norm in NORMS
    ]
    found += [
        Cell("explosion", {"kind": kind, "width": width, **sizes})
        for width in (options.width, options.width // 2)
        for kind in KINDS
    ]
    found += [
        Cell("moments", {"layer": layer, "scales": list(options.scales), **exact}) for layer in ("batch", "layer")
    ]
    found += [Cell("algebra", {"stretches": list(options.stretches), **exact})]
    found += [Cell("growth", {"rate": rate, "steps": options.steps, **exact}) for rate in options.rates]
    found += [Cell("running", {"batch": batch, "units": options.units, **shared}) for batch in options.averaged]
    found += [Cell("gap", {"batch": batch, "units": options.units, **shared}) for batch in options.compared]
    return [*found, Cell("trajectory", shared)]


def measure(cell: Cell) -> Tables:
    from experiments.catalog.batch_norm import parts

    return getattr(parts, cell.part)(**cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.batch_norm.analysis import analyse

    return analyse(tables, options)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.batch_norm.pictures import figures

    return figures(tables)
