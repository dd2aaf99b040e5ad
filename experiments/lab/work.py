"""What a run will take, estimated before it begins: hours and memory that nobody has are refused while nothing is lost.

Each experiment says in ``COSTS`` what the largest cell of each part takes at the default options. Another cell takes as many
times more as its settings are larger: in proportion, squared where a setting is a width. ``python -m experiments.lab.work NAME``
measures these numbers again.
"""

from __future__ import annotations

from experiments.command import begin

if __name__ == "__main__":
    begin("experiments.lab.work")

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from heapq import nlargest
from pathlib import Path
from typing import Any

from experiments.lab.cell import Cell
from experiments.lab.experiment import Experiment, load
from experiments.lab.options import declared, shown
from experiments.lab.page import FREE, Cost
from scratch.command import answer
from scratch.errors import InvalidInput

HOUR = 3600.0
POWERS = {"width": 2, "wide": 2, "seed": 0}  # of settings to which time is not proportional
ONE_BY_ONE = ("steps", "rounds", "trials")  # take time, but no memory


def refuse(experiment: Experiment, options: Any, cells: Sequence[Cell], jobs: int, room: float | None = None) -> None:
    """Raises InvalidInput where these cells take more than an hour on ``jobs`` processes, or more memory than there is: than this
    machine has, or the ``room`` of a cluster.

    The message names the option that does most about it: whose default, alone, would leave the least to do.
    """
    jobs = max(1, min(jobs, len(cells)))
    seconds, held = estimate(experiment, cells, jobs)
    there = memory() if room is None else room
    if seconds <= HOUR and held <= there:
        return
    name = max(
        (name for name in declared(type(options))), key=lambda name: saved(experiment, options, name, jobs, there)
    )
    value, default = (shown(getattr(o, name)) for o in (options, experiment.options()))
    whose = "this machine's" if room is None else "the cluster's"
    raise InvalidInput(
        f"--{name.replace('_', '-')} {value}: this would take about {duration(seconds)} and {size(held)} on {jobs} "
        f"process{'es' * (jobs > 1)}; at most an hour and {whose} {size(there)} are allowed "
        f"(the default is {default})"
    )


def estimate(experiment: Experiment, cells: Sequence[Cell], jobs: int) -> tuple[float, float]:
    """Seconds on ``jobs`` processes, and the bytes that they hold at a time."""
    costs = [cost(experiment, cell) for cell in cells]
    seconds = [each.seconds for each in costs]
    return max(sum(seconds) / jobs, *seconds, 0.0), 1e6 * sum(nlargest(jobs, (each.megabytes for each in costs)))


def cost(experiment: Experiment, cell: Cell) -> Cost:
    """What a cell takes; of a part of which nothing is known, nothing."""
    known, largest = experiment.definition.COSTS.get(cell.part), defaults(experiment).get(cell.part)
    if known is None or largest is None:
        return FREE
    whole = POWERS | dict(known.powers)
    flat = {name: min(power, 2) for name, power in whole.items()} | dict.fromkeys(ONE_BY_ONE, 0)
    ratio, room = (amount(cell, powers) / amount(largest, powers) for powers in (whole, flat))
    return Cost(known.seconds * ratio, known.megabytes * room)


@cache
def defaults(experiment: Experiment) -> dict[str, Cell]:
    """The largest cell of each part at the default options: what ``COSTS`` says is about these."""
    found: dict[str, Cell] = {}
    for cell in experiment.definition.cells(experiment.options()):
        powers = POWERS | dict(experiment.definition.COSTS.get(cell.part, FREE).powers)
        if cell.part not in found or amount(cell, powers) >= amount(found[cell.part], powers):
            found[cell.part] = cell
    return found


def amount(cell: Cell, powers: Mapping[str, int]) -> float:
    """The product of a cell's sizes: whole numbers, sums of lists of them, lengths of other lists."""
    product = 1.0
    for name, value in cell.settings.items():
        power = powers.get(name, 0 if isinstance(value, float) else 1)
        product *= float(_count(value)) ** power
    return product


def _count(value: Any) -> float:
    if isinstance(value, (list, tuple)):
        return max(1, sum(value) if all(isinstance(each, int) for each in value) else len(value))
    return max(1, value) if isinstance(value, int) else value if isinstance(value, float) and value > 0 else 1


def saved(experiment: Experiment, options: Any, name: str, jobs: int, there: float) -> float:
    """By how many times less would be left to do, if one option had its default; 0 if the others forbid it."""
    default = getattr(experiment.options(), name)
    try:
        changed = experiment.definition.cells(replace(options, **{name: default}))
    except InvalidInput:
        return 0.0
    before, after = (estimate(experiment, cells, jobs) for cells in (experiment.definition.cells(options), changed))
    return max(b / max(a, 1e-9) for b, a, limit in zip(before, after, (HOUR, there), strict=True) if b > limit)


def memory() -> float:
    """Bytes of memory that this process may use: the machine's, or what its container allows."""
    limits = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))] if hasattr(os, "sysconf") else []
    files = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
    texts = [path.read_text().strip() for path in files if path.is_file()]
    return min(limits + [float(text) for text in texts if text.isdigit()], default=float("inf"))


def duration(seconds: float) -> str:
    for unit, length in (("years", 365 * 24 * HOUR), ("days", 24 * HOUR), ("hours", HOUR), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} seconds"


def size(amount: float) -> str:
    return f"{amount / 1e9:.2g} GB"


def measured(experiment: Experiment) -> Iterable[tuple[str, Cost]]:
    """What the largest cell of each part takes now: processor time, and the growth of memory at its peak (Linux only)."""
    import torch  # noqa: F401  # here, and all pages below, so that no cell's measurement holds an import

    from experiments.lab.executors import measure

    for part, cell in defaults(experiment).items():
        reading, writing = os.pipe()
        if not (child := os.fork()):
            Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
            before, begin = _peak(), time.process_time()
            measure(experiment.name, 0, cell)
            os.write(writing, f"{time.process_time() - begin} {_peak() - before}".encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with open(reading) as answered:
            seconds, held = map(float, answered.read().split())
        yield part, Cost(seconds, held)


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))


def main() -> int:
    def work() -> None:
        for name in sys.argv[1:]:
            for part, found in measured(load(name)):
                print(f'{name}: "{part}": Cost({found.seconds:.2g}, {found.megabytes:.0f}),', flush=True)

    return answer(work)
