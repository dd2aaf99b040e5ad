"""Initialization: networks are sensitive to it, and the notes' sqrt(2/(n−1)) can be read in three ways.

What a start must not be (symmetric, dead, of the wrong scale), what each remedy achieves exactly (random weights, He's rule,
orthogonal ones, LSUV, a positive bias), and what it costs in training to begin elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, DataOptions, Plot, Tables, require_device
from experiments.options import Range, require
from experiments.work import Cost
from scratch import activations
from scratch.errors import unknown

GLOROT = ("xavier_uniform", "standard", "xavier")
ORTHOGONAL_DEPTH = 50
WAIT = 4  # about what steps × s^(D−2) a network of D layers at scale s waits for: the smallest scale must fit in


@dataclass(frozen=True)
class Options(DataOptions):
    """Initialization: how a start breaks symmetry, keeps signals alive or kills them, each against a prediction."""

    units: Annotated[
        tuple[int, ...],
        Range(2, 1000),
        arg(help="hidden units of networks whose weights start equal; the first are also moved apart"),
    ] = (8, 7)
    powers: Annotated[tuple[int, ...], Range(1, 15), arg(help="k of the starts moved by 10^−k of themselves")] = (
        2,
        4,
        6,
        8,
        11,
    )
    breaking_steps: Annotated[int, Range(20, 10**6), arg(help="steps for which these are trained")] = 400
    silent_seeds: Annotated[
        int, Range(2, 10_000), arg(help="narrow networks that are looked at for being dead for all of the data")
    ] = 64
    silent_steps: Annotated[int, Range(4, 10**6), arg(help="steps for which they are trained")] = 200
    sizes: Annotated[
        tuple[int, ...], Range(2, 5000), arg(help="n of the n × n layers whose singular values are taken")
    ] = (
        25,
        50,
        100,
        200,
        400,
    )
    seeds: Annotated[
        int, Range(2, 10_000), arg(help="seeds of the largest of these, and of the networks that are trained")
    ] = 6
    product_widths: Annotated[tuple[int, ...], Range(2, 1000), arg(help="widths of the products of matrices")] = (
        2,
        4,
        16,
    )
    draws: Annotated[int, Range(100, 10**7), arg(help="random networks of which means are taken")] = 1000
    activations: Annotated[
        tuple[str, ...], arg(help="of the networks given unit variance, any of: " + ", ".join(activations.by_name()))
    ] = ("relu", "leakyrelu", "elu", "selu", "gelu", "tanh", "sigmoid")
    width: Annotated[int, Range(2, 4096), arg(help="units in each hidden layer of those")] = 128
    dead_widths: Annotated[
        tuple[int, ...], Range(1, 1000), arg(help="widths of the networks that may be born dead")
    ] = (1, 2, 3, 4)
    dead_draws: Annotated[int, Range(100, 10**8), arg(help="networks of each of these widths")] = 10_000
    biases: Annotated[tuple[float, ...], Range(0, 1000), arg(help="b ≥ 0 of all units, to keep them from it")] = (
        0.0,
        0.1,
        0.3,
        1.0,
    )
    raw_rates: Annotated[
        tuple[float, ...], Range(1e-6, 1000), arg(help="learning rates tried on inputs that are not standardised")
    ] = (
        0.003,
        0.01,
        0.03,
        0.1,
    )
    raw_seeds: Annotated[int, Range(2, 10_000), arg(help="seeds of these networks")] = 16
    raw_steps: Annotated[int, Range(16, 10**6), arg(help="steps for which these networks are trained")] = 60
    scales: Annotated[
        tuple[float, ...], Range(1e-6, 1e6), arg(help="factors on He's weights; 1 must be among them")
    ] = (
        0.0625,
        0.125,
        0.25,
        0.5,
        1.0,
        2.0,
        4.0,
        8.0,
    )
    scale_depths: Annotated[tuple[int, ...], Range(1, 100), arg(help="weight layers of the networks so scaled")] = (
        2,
        4,
        8,
    )
    scale_steps: Annotated[int, Range(1, 10**6), arg(help="steps for which they are trained")] = 200
    wait_depths: Annotated[
        tuple[int, ...], Range(3, 100), arg(help="weight layers of the networks whose wait is measured")
    ] = (3, 4)
    wait_steps: Annotated[
        int, Range(100, 10**6), arg(help="steps for which they are trained; the smallest scale is chosen by it")
    ] = 400
    device: Annotated[str, arg(help="where PyTorch computes: cpu or cuda")] = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1.0 in self.scales, "scales", "1, He's own scale, among them", self.scales)
        for name in self.activations:
            if name not in activations.by_name():
                raise unknown("activation", name, activations.by_name())


QUICK = Options(
    units=(8,),
    powers=(3, 6),
    breaking_steps=220,
    silent_seeds=24,
    silent_steps=40,
    sizes=(25, 50, 100),
    seeds=4,
    product_widths=(2, 4),
    draws=300,
    activations=("relu", "tanh"),
    width=64,
    dead_widths=(1, 2, 3),
    dead_draws=2000,
    biases=(0.0, 0.3, 1.0),
    raw_rates=(0.01,),
    raw_seeds=8,
    raw_steps=20,
    scales=(0.125, 1.0, 8.0),
    scale_depths=(2, 6),
    scale_steps=40,
    wait_depths=(3,),
    wait_steps=220,
)

COSTS = {  # of the largest cell of each part at the default options: seconds and megabytes
    "dead sets": Cost(0.26, 100),
    "biased": Cost(0.16, 25),
    "products": Cost(0.33, 70),
    "readings": Cost(1.5, 420),
    "singular values": Cost(1.3, 160, {"n": 3}),
    "unit variance": Cost(0.88, 340),
    "silenced": Cost(3.1, 120),
    "waits": Cost(3, 60),
    "not standardised": Cost(3.6, 260),
    "symmetry": Cost(2.2, 50),
    "scales": Cost(6.2, 180),
}


def cells(options: Options) -> list[Cell]:
    """The short ones first: whoever runs them in parallel begins from the end."""
    from experiments.catalog.initialization.laws import deepest

    options.dataset()
    require_device(options.device, "float64")
    where = {"device": options.device}
    data = where | {"data": options.source}
    found = [
        Cell("dead sets", where | {"width": n, "depth": 10, "draws": options.dead_draws}) for n in options.dead_widths
    ]
    kept = where | {"biases": list(options.biases), "draws": options.dead_draws // 2, "depth": 6}
    found += [Cell("biased", kept | {"width": n}) for n in (2, 3)]
    for n in options.product_widths:
        gaussian = {"init": "lecun", "depth": deepest(n), "draws": options.draws}
        orthogonal = {"init": "orthogonal", "depth": ORTHOGONAL_DEPTH, "draws": 8}
        found += [Cell("products", where | {"width": n} | each) for each in (gaussian, orthogonal)]
    found += [
        Cell("readings", where | {"shape": shape, "draws": options.draws}) for shape in ("narrow", "hourglass", "funnel")
    ]  # fmt: skip
    for n in sorted(options.sizes):
        draws = options.seeds * max(1, min(40, max(options.sizes) // n))
        found.append(Cell("singular values", where | {"n": n, "schemes": list(GLOROT), "draws": draws}))
    unit = data | {"width": options.width, "seeds": options.seeds}
    found += [Cell("unit variance", unit | {"activation": name}) for name in options.activations]
    found += [Cell("silenced", data | {"start": "zeros", "seeds": 2, "steps": options.silent_steps})]
    found += [
        Cell("silenced", data | {"start": "narrow", "seeds": options.silent_seeds, "steps": options.silent_steps})
    ]
    for depth in sorted(options.wait_depths):
        small = [(WAIT * k / options.wait_steps) ** (1 / (depth - 2)) for k in (1, 2**0.5, 2)]
        wait = {"depth": depth, "scales": small, "seeds": options.seeds, "steps": options.wait_steps}
        found.append(Cell("waits", data | wait))
    raw = data | {"seeds": options.raw_seeds, "steps": options.raw_steps}
    found += [Cell("not standardised", raw | {"rate": rate}) for rate in sorted(options.raw_rates)]
    for k, units in enumerate(options.units):
        powers = [] if k else list(options.powers)
        found.append(Cell("symmetry", data | {"units": units, "powers": powers, "steps": options.breaking_steps}))
    run = data | {"scales": sorted(options.scales), "seeds": options.seeds, "steps": options.scale_steps, "width": 32}
    found += [Cell("scales", run | {"depth": depth}) for depth in sorted(options.scale_depths)]
    return found


def measure(cell: Cell) -> Tables:
    from experiments.catalog.initialization.parts import PARTS

    return PARTS[cell.part](**cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.initialization.analysis import analyse

    return analyse(tables, options)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.initialization.pictures import figures

    return figures(tables)
