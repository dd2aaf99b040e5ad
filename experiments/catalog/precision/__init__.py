"""Precision: what float32, TF32, fp16 and bf16 cost, from one dot product to a deep network and its training.

Rounding errors against the worst case and against a model in which they are random; sums that stand still; gradients that
underflow; updates too small for the weights. TF32, fp16 and bf16 are emulated on the CPU, and PyTorch's own types stand beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables, require_device
from experiments.options import Checked, Range
from experiments.work import Cost

FORMATS = ("float64", "float32", "tf32", "fp16", "bf16")
WAYS = ("float32", "tf32", "fp16", "bf16", "bf16 weights", "bf16 weights, at random")
LOOKS = 8  # how often a training run is looked at, if it is long enough
LONGEST = 10_000  # terms of a sum in a short format: every step is a step of Python's


@dataclass(frozen=True)
class Options(Checked):
    """Precision: rounding errors of sums, of deep networks layer by layer, and in training, in five formats."""

    draws: Annotated[
        int, Range(1000, 10**8), arg(help="random float32 numbers that are rounded to every short format")
    ] = 200_000
    lengths: Annotated[tuple[int, ...], Range(2, 10**6), arg(help="terms of the dot products")] = (
        100,
        1000,
        10_000,
        100_000,
    )
    trials: Annotated[int, Range(50, 10**6), arg(help="dot products of each kind; fewer of the long ones")] = 400
    growth: Annotated[int, Range(2500, 10**6), arg(help="terms of the bf16 sums that stand still after about 1400")] = (
        4000
    )
    # deeper, the worst case overflows
    depth: Annotated[int, Range(2, 100), arg(help="hidden layers of the networks whose errors are followed")] = 20
    width: Annotated[int, Range(2, 4096), arg(help="units in each hidden layer")] = 48
    seeds: Annotated[int, Range(3, 1000), arg(help="networks of each kind")] = 12
    shadows: Annotated[
        int, Range(1, 1000), arg(help="networks with random errors, for each, that make the prediction")
    ] = 8
    fading: Annotated[int, Range(2, 100), arg(help="hidden layers of the networks whose gradients underflow")] = 12
    steps: Annotated[int, Range(15, 10**6), arg(help="steps of training")] = 400
    rate: Annotated[
        float, Range(1e-6, 1), arg(help="its learning rate; the smaller, the more updates bf16 weights do not feel")
    ] = 0.02
    device: Annotated[str, arg(help="where PyTorch computes: cpu, or cuda with TF32 in its tensor cores")] = "cpu"


QUICK = Options(
    draws=20_000,
    lengths=(100, 1000),
    trials=100,
    growth=2500,
    depth=8,
    width=32,
    seeds=6,
    shadows=3,
    fading=9,
    steps=30,
)

COSTS = {  # of the largest cell of each part at the default options: seconds and megabytes
    "casts": Cost(0.35, 35),
    "underflow": Cost(1.5, 60),
    "stagnation": Cost(0.58, 130),
    "dots": Cost(3.5, 210),
    "learning": Cost(4.2, 100),
    "depth": Cost(4.5, 160),
}


def cells(options: Options) -> list[Cell]:
    """The short ones first: whoever runs them in parallel begins from the end."""
    require_device(options.device, "float64")
    where = {"device": options.device}
    found = [Cell("casts", where | {"draws": options.draws})]
    deep = where | {"width": options.width, "seeds": options.seeds, "shadows": options.shadows}
    found += [Cell("underflow", deep | {"depth": options.fading})]
    found += [Cell("stagnation", where | {"n": options.growth, "trials": max(50, options.trials // 2)})]
    found += [
        Cell("dots", where | {"n": n, "trials": options.trials, "longest": LONGEST}) for n in sorted(options.lengths)
    ]
    trained = where | {
        "seeds": options.seeds,
        "steps": options.steps,
        "rate": options.rate,
        "looks": min(LOOKS, options.steps // 15),
    }
    found += [Cell("learning", trained | {"way": way}) for way in WAYS]
    longer = np.finfo(np.longdouble).nmant > 60  # what float64 is held against; not every machine has it
    formats = FORMATS[::-1] if longer else FORMATS[:0:-1]
    return found + [Cell("depth", deep | {"depth": options.depth, "name": name}) for name in formats]


def measure(cell: Cell) -> Tables:
    from experiments.catalog.precision.parts import PARTS

    return PARTS[cell.part](**cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.precision.analysis import analyse

    return analyse(tables, options)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.precision.pictures import figures

    return figures(tables)
