"""A toy: means of random numbers, with faults on demand.

Each cell draws numbers about its own; the folder named by TOY_FOLDER says which cell is to have which fault.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from experiments.compare.agreement import Difference
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, facets, figure, over_seeds, table
from experiments.lab.options import Drawn, Ints, option
from experiments.lab.types import Claims, Figure, Frame
from scratch.randomness import generator


@dataclass(frozen=True)
class Options(Drawn):
    """A toy experiment."""

    numbers: Ints = option((1, 2, 3, 4), "one cell for each", (-(10**6), 10**6), quick=(1, 2))
    seeds: int = option(8, "draws in each cell", (1, 10**9))
    factor: float = option(1.0, "what the claim predicts, in units of the truth: wrong unless 1", (-1000, 1000))
    note: str = option("", "anything")


NEXT_STEPS = ("`--numbers 5 6`: more of the same.",)


def finding(claims: Frame) -> str:
    return f"Numbers are about what they are, a < b & c. {(claims.verdict == 'holds').sum()} claims hold."


@cells(lambda options: [{"number": number} for number in options.numbers], cost=Cost(0.01, 1, {"number": 0}))
def values(lab: Lab, number: int, seeds: int) -> Frame:
    trouble(number)
    drawn = number + generator(number, "toy").standard_normal(seeds) / 10
    for part in ("toy", "trajectory"):
        lab.enter([Difference(0, 1, "mean", 0.0, 0.0, 1e-15)], part)
    return lab.rows({"scratch": drawn, "torchref": drawn.copy()}, lambda shot: shot, {"seed": range(seeds)})


@table
def means(values: Frame, factor: float) -> Frame:
    found = over_seeds(values, ["number", "backend"])
    return found.assign(predicted=factor * found.number, standard_error=0.1 / found.seeds**0.5).drop(columns="dof")


@table
def even(values: Frame) -> Frame | None:
    rows = values[values.number % 2 == 0]
    return rows if len(rows) else None


@claims
def about(means: Frame) -> Claims:
    frame = compare(means, "number {number}", control_predicted=2.0 * means.number)
    yield Claim("mean", "The mean |x| < 2x & is x.", "the toy", "Sample.", "twice the number", frame)
    sign = frame.assign(predicted=0.0, control_predicted=0.0, control_measured=-frame.measured)
    yield Claim("positive", "The mean is above 0.", "the toy", "Sample.", "the other sign", sign, "at least")
    below = frame.assign(predicted=1.5 * means.number, control_predicted=0.5 * means.number)
    yield Claim("small", "The mean is below 3x/2.", "the toy", "Sample.", "x/2", below, "at most")


@figure("Means", name="means")
def of_means(means: Frame) -> Figure:
    """The mean of every cell."""
    return draw(means, "measured")


@figure("Errors", name="errors")
def of_errors(means: Frame) -> Figure:
    """Its error."""
    return draw(means, "standard_error")


@figure("Even", name="even")
def of_even(even: Frame, means: Frame) -> Figure:
    """Some are even."""
    return draw(means, "measured")


def draw(means: Frame, y: str) -> Figure:
    return facets(means, x="number", y=y, title="toy")


def trouble(number: int) -> None:
    """Notes that the cell was measured, and has the faults asked for; all but fail and always-kill only once."""
    if "TOY_FOLDER" not in os.environ:
        return
    folder = Path(os.environ["TOY_FOLDER"])
    with open(folder / "calls", "a") as calls:
        calls.write(f"{number}\n")
    if (folder / f"fail-{number}").exists():
        raise ValueError("no | good\nat all")
    if (folder / f"always-kill-{number}").exists() or once(folder / f"kill-{number}"):
        os.kill(os.getpid(), signal.SIGKILL)
    if once(folder / f"interrupt-{number}"):
        raise KeyboardInterrupt
    if once(folder / f"sleep-{number}"):
        (folder / "asleep").touch()
        time.sleep(60)


def once(path: Path) -> bool:
    found = path.exists()
    path.unlink(missing_ok=True)
    return found
