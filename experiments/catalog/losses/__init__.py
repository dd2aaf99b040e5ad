"""The notes' losses: cross-entropy unlearns a wrong answer in linear time, squared error in exponential time.

Binary cross-entropy and cross-entropy as the notes write them, one-hot targets, p − y, naive against stable formulas, the loss
of guessing, and what squared error does to a unit that begins surely wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables, require_device
from experiments.options import Checked, Range
from experiments.work import Cost

DATA = {"breast_cancer": 1, "digits": 2}  # two classes and ten; how many times fewer seeds: the effect is large


@dataclass(frozen=True)
class Options(Checked):
    """The notes' losses: identities, rounding, the loss of guessing, and what is learned from a wrong start."""

    trials: Annotated[int, Range(2, 10**6), arg(help="random batches on which identities are tested")] = 100
    draws: Annotated[
        int, Range(100, 10**8), arg(help="random logits from which the rounding of the naive formula is measured")
    ] = 4000
    scales: Annotated[
        tuple[float, ...],
        Range(1e-6, 100),
        arg(help="scales of random weights at which the learning signal is measured"),
    ] = (
        0.5,
        2.0,
        8.0,
        32.0,
    )
    starts: Annotated[int, Range(10, 10**6), arg(help="random starts at each of those scales")] = 400
    wrong: Annotated[
        tuple[float, ...], Range(1e-6, 8), arg(help="how far on the wrong side a single unit starts: −z")
    ] = (
        1,
        2,
        3,
        4,
        5,
        6,
    )
    rate: Annotated[float, Range(1e-6, 0.5), arg(help="learning rate of that unit: small, for gradient flow")] = 0.2
    seeds: Annotated[int, Range(2, 10_000), arg(help="trained networks of each kind")] = 20
    steps: Annotated[int, Range(1, 10**6), arg(help="steps of their training")] = 150
    saturation: Annotated[
        float, Range(1, 1000), arg(help="by how much their output weights are larger in the saturated start")
    ] = 30.0
    device: Annotated[str, arg(help="where PyTorch computes: cpu, cuda or mps")] = "cpu"


QUICK = Options(trials=20, draws=500, scales=(0.5, 8.0), starts=200, wrong=(1, 3), seeds=20, steps=20)

COSTS = {  # of the largest cell of each part at the default options: seconds and megabytes
    "definitions": Cost(0.54, 16),
    "one-hot": Cost(0.09, 8),
    "entropy": Cost(0.06, 5),
    "guessing": Cost(0.12, 17),
    "signal": Cost(0.07, 11),
    "shift": Cost(0.09, 9),
    "stability": Cost(0.68, 7),
    "random starts": Cost(0.28, 40),
    "escape": Cost(2, 50, {"rate": -1}),
    "training": Cost(3.5, 180),
}


def cells(options: Options) -> list[Cell]:
    """The short ones first: whoever runs them in parallel begins from the end."""
    require_device(options.device, "float64")
    where = {"device": options.device}
    found = [Cell(part, where | {"trials": options.trials}) for part in ("definitions", "one-hot", "entropy")]
    found += [Cell("guessing", where), Cell("signal", where)]
    for dtype in ("float64", "float32"):
        found += [Cell("shift", where | {"trials": options.trials, "precision": dtype})]
        found += [Cell("stability", where | {"draws": options.draws, "precision": dtype})]
    found += [Cell("random starts", where | {"scales": list(options.scales), "seeds": options.starts})]
    found += [Cell("escape", where | {"wrong": list(options.wrong), "rate": options.rate})]
    run = where | {"seeds": options.seeds, "steps": options.steps, "saturation": options.saturation}
    return found + [
        Cell("training", run | {"on": name, "seeds": max(2, options.seeds // n)}) for name, n in DATA.items()
    ]


def measure(cell: Cell) -> Tables:
    from experiments.catalog.losses.parts import PARTS

    return PARTS[cell.part](**cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.losses.analysis import analyse

    return analyse(tables, options)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.losses.pictures import figures

    return figures(tables)
