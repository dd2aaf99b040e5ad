"""A toy: means of random numbers, with faults on demand.

Each cell draws numbers about its own; the folder named by TOY_FOLDER says which cell is to have which fault.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from toybox import ToyCell
from tyro.conf import arg

from experiments.experiment import Analysis, Cell, Plot, Tables
from experiments.options import Checked, Range
from experiments.work import Cost


@dataclass(frozen=True)
class Options(Checked):
    """A toy experiment."""

    numbers: Annotated[tuple[int, ...], Range(-10**6, 10**6), arg(help="one cell for each")] = (1, 2, 3, 4)
    seeds: Annotated[int, Range(1, 10**9), arg(help="draws in each cell")] = 8
    factor: Annotated[float, Range(-1000, 1000), arg(help="what the claim predicts, in units of the truth: wrong unless 1")] = 1.0
    note: Annotated[str, arg(help="anything")] = ""


QUICK = Options(numbers=(1, 2))
COSTS = {"toy": Cost(0.01, 1, {"number": 0})}


def cells(options: Options) -> list[Cell]:
    return [ToyCell("toy", {"number": number, "seeds": options.seeds}) for number in options.numbers]


def measure(cell: Cell) -> Tables:
    import pandas as pd
    import torch

    from experiments.agreement import Difference, table
    from experiments.randomness import generator

    number, seeds = cell.settings["number"], cell.settings["seeds"]
    trouble(number)
    drawn = number + generator(number, "toy").standard_normal(seeds) / 10
    both = {"scratch": drawn, "torchref": torch.from_numpy(drawn).clone().numpy()}
    rows = [
        {"backend": name, "number": number, "seed": seed, "value": value}
        for name, values in both.items()
        for seed, value in enumerate(values.tolist())
    ]
    found = [Difference(0, 1, "mean", 0.0, 0.0, 1e-15)]
    agreement = pd.concat([table(found, part, f"number {number}") for part in ("toy", "trajectory")], ignore_index=True)
    tables = {"values": pd.DataFrame(rows), "agreement": agreement}
    return tables | ({"even": pd.DataFrame({"number": [number]})} if number % 2 == 0 else {})


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


def analyse(tables: Tables, options: Options) -> Analysis:
    import pandas as pd

    from experiments.claims import Claim

    grouped = tables["values"].groupby(["number", "backend"]).value
    error = 0.1 / grouped.count() ** 0.5
    means = pd.DataFrame({"measured": grouped.mean(), "standard_error": error}).reset_index()
    means["predicted"] = options.factor * means.number
    frame = means.assign(condition="number " + means.number.astype(str), control_predicted=2.0 * means.number)
    sign = frame.assign(predicted=0.0, control_predicted=0.0, control_measured=-frame.measured)
    claims = [
        Claim("mean", "The mean |x| < 2x & is x.", "the toy", "Sample.", "twice the number", frame),
        Claim("positive", "The mean is above 0.", "the toy", "Sample.", "the other sign", sign, "at least"),
    ]
    return Analysis({"means": means}, claims, finding, ("`--numbers 5 6`: more of the same.",))


def finding(claims) -> str:
    return f"Numbers are about what they are, a < b & c. {(claims.verdict == 'holds').sum()} claims hold."


def figures(tables: Tables) -> list[Plot]:
    found = [
        Plot("means", "Means", "The mean of every cell.", lambda: draw(tables["means"], "number", "measured")),
        Plot("errors", "Errors", "Its error.", lambda: draw(tables["means"], "number", "standard_error")),
    ]
    if "even" in tables:
        found.append(Plot("even", "Even", "Some are even.", lambda: draw(tables["means"], "number", "measured")))
    return found


def draw(means, x: str, y: str):
    from experiments.figures import key, panels, series

    figure, axes = panels(["toy"])
    series(axes[0], means, "toy", 0, x=x, y=y)
    key(figure, axes)
    return figure
