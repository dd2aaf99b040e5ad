"""Dropout: regularization and dropout reduce overfitting. What dropout does exactly, what nearly, and what it is good for.

Exact, by going through all masks: a linear model with dropout is ridge regression, and scaling instead of dropping is the
geometric mean of all thinned networks. Nearly: Wager's penalty. Measured: networks that overfit, from no dropout to almost all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables, require_device
from experiments.options import Checked, Range, require
from experiments.work import Cost

NETWORKS = ("softmax regression", "last hidden layer", "two linear layers", "below a hidden layer")
STRETCHED = (1.0, 0.5, 0.25)  # Wager's approximation is one for small weights: it is tried on smaller ones too
PATIENTS, LARGEST = 442, 14  # in the diabetes data; features of which all masks still fit into memory


@dataclass(frozen=True)
class Options(Checked):
    """Dropout: ridge regression and a geometric mean exactly, Wager's penalty nearly, less overfitting by measurement."""

    keeps: Annotated[
        tuple[float, ...], Range(1e-6, 1), arg(help="probabilities of keeping a unit in the networks that overfit")
    ] = (
        0.05,
        0.1,
        0.2,
        0.35,
        0.5,
        0.8,
        1.0,
    )
    wrong: Annotated[tuple[float, ...], Range(0, 0.999), arg(help="shares of their training labels that are wrong")] = (
        0.0,
        0.2,
    )
    examples: Annotated[int, Range(50, 1000), arg(help="digits that each of them is trained on")] = 200
    width: Annotated[int, Range(2, 4096), arg(help="units in their hidden layer")] = 128
    steps: Annotated[int, Range(2, 100_000), arg(help="training steps of 50 digits each")] = 300
    seeds: Annotated[
        int, Range(2, 1000), arg(help="how many of them, counted from 0: each its own weights, digits and masks")
    ] = 16
    ridge_keeps: Annotated[
        tuple[float, ...], Range(1e-6, 1), arg(help="probabilities of keeping a feature in linear regression")
    ] = (
        0.1,
        0.2,
        0.35,
        0.5,
        0.65,
        0.8,
        0.9,
        1.0,
    )
    patients: Annotated[int, Range(20, PATIENTS), arg(help="diabetes patients of the linear regression, up to 442")] = (
        PATIENTS
    )
    runs: Annotated[int, Range(3, 10_000), arg(help="linear regressions trained with masks that are drawn")] = 64
    rates: Annotated[
        tuple[float, ...], Range(1e-6, 0.999), arg(help="dropout rates δ at which logistic regression is penalized")
    ] = (
        0.05,
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
    )
    features: Annotated[
        int, Range(2, LARGEST), arg(help="pixels n of the digits in the parts that go through all 2ⁿ masks")
    ] = 10
    images: Annotated[int, Range(10, 300), arg(help="digits in those parts")] = 100
    device: Annotated[str, arg(help="where PyTorch computes: cpu or cuda")] = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("keeps", "ridge_keeps"):
            values = getattr(self, name)
            require(1.0 in values, name, "1.0 among them (no dropout, to compare with)", values)
            require(len(values) > 1, name, "two or more different values", values)
        require_device(self.device, "float64")


QUICK = Options(
    keeps=(0.05, 0.5, 1.0),
    wrong=(0.3,),
    width=64,
    steps=200,
    seeds=10,
    ridge_keeps=(0.5, 1.0),
    patients=40,
    runs=16,
    rates=(0.1, 0.5),
    features=6,
    images=30,
)

COSTS = {  # of the largest cell of each part at the default options: seconds and megabytes
    "identity": Cost(0.7, 280),
    "ridge": Cost(2, 40),
    "sampled": Cost(2, 60),
    "geometric": Cost(0.53, 220),
    "penalty": Cost(0.32, 60),
    "trajectory": Cost(1.6, 60),
    "sweep": Cost(5.4, 190),
}


def cells(options: Options) -> list[Cell]:
    shared = {"device": options.device}
    patients = {"patients": options.patients, **shared}
    images = {"features": options.features, "images": options.images, **shared}
    sizes = {name: getattr(options, name) for name in ("examples", "width", "steps", "seeds")}
    dropped = [keep for keep in options.ridge_keeps if keep < 1]
    found = [Cell("identity", {"keep": keep, **patients}) for keep in dropped]
    found += [Cell("ridge", {"keep": keep, **patients}) for keep in options.ridge_keeps]
    found += [Cell("sampled", {"keep": keep, "runs": options.runs, **patients}) for keep in dropped]
    found += [Cell("geometric", {"network": name, "keep": keep, **images}) for name in NETWORKS for keep in (0.5, 0.8)]
    found += [Cell("penalty", {"rate": rate, **images}) for rate in options.rates]
    found += [Cell("trajectory", shared)]
    return found + [
        Cell("sweep", {"wrong": wrong, "keep": keep, **sizes, **shared})
        for wrong in options.wrong
        for keep in options.keeps
    ]


def measure(cell: Cell) -> Tables:
    from experiments.catalog.dropout import parts

    return getattr(parts, cell.part)(**cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.dropout.analysis import analyse

    return analyse(tables, options)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.dropout.pictures import figures

    return figures(tables)
