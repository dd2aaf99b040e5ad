"""Deep linear networks: y = w1 w2 … wn x learns in stages, after plateaus that theory predicts to the step.

The exact learning curves of Saxe, McClelland & Ganguli (2014), what gradient descent conserves, the saddle at the
origin, and how the start decides whether depth costs time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables, require_device
from experiments.options import Checked, Range, require
from experiments.work import Cost

HALVINGS = 3  # rates at which the conserved quantity's drift is measured, each half of the one before
CONSERVED_SEEDS = 8
LOOSE = 0.1  # η N s of the random networks, of which times are compared in logarithms over seeds
PLATEAU_RATE = 0.05  # of the networks of width 1, where nothing is steep


@dataclass(frozen=True)
class Options(Checked):
    """Deep linear networks: stages, plateaus, a saddle and a conservation law, each against its exact prediction."""

    depths: Annotated[tuple[int, ...], Range(1, 100), arg(help="weight layers N; 1 is the shallow network")] = (
        1,
        2,
        3,
        5,
    )
    modes: Annotated[
        tuple[float, ...], Range(1e-3, 1000), arg(help="strengths s (singular values) of the map to be learned")
    ] = (
        4.0,
        2.0,
        1.0,
        0.5,
    )
    start: Annotated[float, Range(1e-9, 100), arg(help="u₀: every mode's strength in the network before training")] = (
        0.01
    )
    rates: Annotated[tuple[float, ...], Range(1e-6, 1), arg(help="learning rates η; time is t = η × steps")] = (
        0.01,
        0.005,
    )
    seeds: Annotated[int, Range(2, 10_000), arg(help="random bases of the balanced networks")] = 4
    plateaus: Annotated[
        tuple[float, ...], Range(1e-9, 0.1), arg(help="u₀ of the networks of width 1, whose wait is measured")
    ] = (
        1e-2,
        1e-3,
        1e-4,
    )
    random_depths: Annotated[
        tuple[int, ...], Range(2, 100), arg(help="layers of the networks that start from random weights")
    ] = (
        2,
        4,
        6,
        8,
    )
    random_seeds: Annotated[int, Range(2, 10_000), arg(help="seeds of these")] = 16
    random_time: Annotated[float, Range(1, 10**6), arg(help="N·t for which these are trained")] = 100.0
    device: Annotated[str, arg(help="where PyTorch computes: cpu or cuda")] = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.modes) <= 5, "modes", "at most 5, which is what the network can hold", len(self.modes))
        require(self.start < min(self.modes) / 10, "start", "below a tenth of every mode", self.start)
        steepest = max(self.rates) * max(n * max(self.modes) ** (2 - 2 / n) for n in self.depths)
        require(
            steepest <= 1, "rates", "η N s^(2 − 2/N) ≤ 1 for every mode and depth (above 1 it overshoots)", steepest
        )


QUICK = Options(
    depths=(1, 2, 3),
    modes=(2.0, 1.0, 0.5),
    rates=(0.05,),
    seeds=2,
    plateaus=(3e-2, 1e-2),
    random_depths=(2, 5),
    random_seeds=12,
    random_time=25.0,
)

COSTS = {  # of the largest cell of each part at the default options: seconds and megabytes
    "landscape": Cost(1.4, 40),
    "conservation": Cost(1.5, 40),
    "trajectory": Cost(1.5, 40),
    "plateau": Cost(4, 40),
    "random": Cost(6.7, 80),
    "modes": Cost(7.2, 40),
}


def cells(options: Options) -> list[Cell]:
    """The short ones first: whoever runs them in parallel begins from the end."""
    from experiments.catalog.deep_linear.laws import steps_until

    require_device(options.device, "float64")
    where = {"device": options.device}
    found = [Cell("landscape", where | {"strength": 1.0, "steps": 400})]
    rates = [0.02 / 2**k for k in range(HALVINGS)]
    found += [Cell("conservation", where | {"depth": 3, "rate": rate, "seeds": CONSERVED_SEEDS}) for rate in rates]
    found += [Cell("trajectory", where | {"depth": depth, "steps": 100}) for depth in options.depths]
    for depth in sorted({2, *options.depths} - {1}):
        steps = steps_until(0.75, min(options.plateaus), 1.0, depth, PLATEAU_RATE)
        wait = {"depth": depth, "starts": list(options.plateaus), "rate": PLATEAU_RATE, "steps": steps}
        found.append(Cell("plateau", where | wait))
    for depth in sorted(options.random_depths):
        steps = round(options.random_time / LOOSE)
        found.append(
            Cell(
                "random", where | {"depth": depth, "rate": LOOSE / depth, "steps": steps, "seeds": options.random_seeds}
            )
        )
    balanced = where | {"modes": list(options.modes), "start": options.start, "seeds": options.seeds}
    for depth in sorted(options.depths):
        for rate in options.rates:
            steps = max(steps_until(0.97, options.start, s, depth, rate) for s in options.modes)
            found.append(Cell("modes", balanced | {"depth": depth, "rate": rate, "steps": steps}))
    return found


def measure(cell: Cell) -> Tables:
    from experiments.catalog.deep_linear.parts import PARTS

    return PARTS[cell.part](**cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.deep_linear.analysis import analyse

    return analyse(tables, options)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.deep_linear.pictures import figures

    return figures(tables)
