"""The notes' losses: cross-entropy unlearns a wrong answer in linear time, squared error in exponential time.

Binary cross-entropy and cross-entropy as the notes write them, one-hot targets, p − y, naive against stable formulas, the loss
of guessing, and what squared error does to a unit that begins surely wrong.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables, require, require_device

DATA = {"breast_cancer": 1, "digits": 2}  # two classes and ten; how many times fewer seeds: the effect is large


@dataclass(frozen=True)
class Options:
    """The notes' losses: identities, rounding, the loss of guessing, and what is learned from a wrong start."""

    trials: Annotated[int, arg(help="random batches on which identities are tested")] = 100
    draws: Annotated[int, arg(help="random logits from which the rounding of the naive formula is measured")] = 4000
    scales: Annotated[
        tuple[float, ...], arg(help="scales of random weights at which the learning signal is measured")
    ] = (
        0.5,
        2.0,
        8.0,
        32.0,
    )
    starts: Annotated[int, arg(help="random starts at each of those scales")] = 400
    wrong: Annotated[tuple[float, ...], arg(help="how far on the wrong side a single unit starts: −z")] = (
        1,
        2,
        3,
        4,
        5,
        6,
    )
    rate: Annotated[float, arg(help="learning rate of that unit: small, for gradient flow")] = 0.2
    seeds: Annotated[int, arg(help="trained networks of each kind")] = 20
    steps: Annotated[int, arg(help="steps of their training")] = 150
    saturation: Annotated[float, arg(help="by how much their output weights are larger in the saturated start")] = 30.0
    device: Annotated[str, arg(help="where PyTorch computes: cpu, cuda or mps")] = "cpu"

    def __post_init__(self) -> None:
        for name, least in {"trials": 2, "draws": 100, "starts": 10, "seeds": 2, "steps": 1}.items():
            require(getattr(self, name) >= least, name, f"whole numbers from {least} up", getattr(self, name))
        for name, value in asdict(self).items():
            if isinstance(value, tuple):
                require(len(value) > 0, name, "at least one value", "none")
                require(len(set(value)) == len(value), name, "different values", " ".join(map(str, value)))
        require(all(0 < scale <= 100 for scale in self.scales), "scales", "numbers above 0, up to 100", self.scales)
        require(
            all(0 < s <= 8 for s in self.wrong), "wrong", "numbers above 0, up to 8: the time grows as e^s", self.wrong
        )
        require(0 < self.rate <= 0.5, "rate", "a number above 0, up to 0.5", self.rate)
        require(1 <= self.saturation <= 1e3, "saturation", "a number from 1 to 1000", self.saturation)


QUICK = Options(trials=20, draws=500, scales=(0.5, 8.0), starts=200, wrong=(1, 3), seeds=20, steps=20)


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
