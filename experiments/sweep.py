"""Cells -> executor -> store -> one result. What is stored is not computed again."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.claims import NOT_TESTED
from experiments.experiment import Analysis, Cell, Experiment, Plot, Tables
from experiments.options import require
from experiments.store import Store
from scratch.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

AGREED = ["part", "condition", "step", "layer", "quantity", "difference", "relative", "bound", "ratio"]
ATTEMPTS = 2  # a cell whose worker dies this many times while it runs alone is given up
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
WATCH = 1.0  # seconds between a worker's looks at whether its parent still lives, where the system does not tell it


@dataclass(frozen=True)
class Failure:
    """Why a cell has no tables."""

    reason: str


@dataclass(frozen=True)
class Result:
    """What a run gives back, in a notebook as on the command line."""

    experiment: Experiment
    options: Any
    tables: Tables  # everything measured and derived, by name; among them "claims", "comparisons" and "agreement"
    finding: str
    next_steps: Sequence[str]
    seconds: dict[str, float] = field(compare=False)
    printed: str = ""  # the table that the command line shows

    @property
    def claims(self) -> pd.DataFrame:
        return self.tables["claims"]

    @property
    def holds(self) -> bool:
        """Every claim that could be tested holds, both implementations agree everywhere, no cell failed."""
        return bool(
            self.claims.verdict.isin(["holds", NOT_TESTED]).all() and self.agrees and self.tables["failures"].empty
        )

    @property
    def agrees(self) -> bool:
        return bool((self.tables["agreement"].ratio <= 1).all())

    def plots(self) -> list[Plot]:
        return self.experiment.definition.figures(self.tables)

    def figures(self) -> dict[str, Figure]:
        """Every figure of the report, by name, drawn anew."""
        return {plot.name: plot.draw() for plot in self.plots()}


def run(
    experiment: Experiment, options: Any, *, out: str | Path | None = None, jobs: int = 1, fresh: bool = False
) -> Result:
    """Runs the cells that are not stored, on ``jobs`` processes (0: one a core), judges the claims, writes the report to ``out``.

    Raises InvalidInput if ``out`` cannot be written, or is not empty and holds no results of this experiment, and for what would
    take too long or too much memory. A cell that fails becomes a row of the table "failures".
    """
    from experiments import folder, report, work

    require(jobs in range(1025), "jobs", "a whole number from 0 to 1024", jobs)
    jobs = jobs or default_jobs()
    cells = experiment.definition.cells(options)
    with tempfile.TemporaryDirectory() as nowhere:
        place = Path(nowhere if out is None else out)
        store = Store(place / "cells", experiment.definition.version)
        pending = [cell for cell in cells if fresh or not os.path.lexists(store.path(cell))]
        work.refuse(experiment, options, pending, jobs)
        with folder.reserved(place, experiment.name):
            outcomes, seconds = compute(experiment, cells, store, jobs, fresh)
            result = assemble(experiment, options, cells, outcomes, seconds)
            if out is not None:
                report.write(result, place)
    return result


def compute(
    experiment: Experiment, cells: Sequence[Cell], store: Store, jobs: int, fresh: bool
) -> tuple[dict[int, Tables | Failure], dict[str, float]]:
    """The outcome of every cell by its number, stored or computed now, and the seconds of those computed now."""
    from tqdm import tqdm

    outcomes: dict[int, Tables | Failure] = {}
    for number, cell in enumerate(cells):
        stored = None if fresh else store.load(cell)
        if stored is not None:
            outcomes[number] = stored
    pending = [number for number in range(len(cells)) if number not in outcomes]
    seconds: dict[str, float] = {}
    if not pending:
        return outcomes, seconds
    computed = (_here if jobs == 1 else _workers)(experiment, {n: cells[n] for n in pending}, jobs)
    with tqdm(total=len(cells), initial=len(outcomes), unit="cell", disable=None, leave=False) as bar:
        for number, outcome, took in computed:
            outcomes[number], seconds[cells[number].label] = outcome, took
            if isinstance(outcome, Failure):
                tqdm.write(f"cell failed: {cells[number].label}: {outcome.reason}", file=sys.stderr)
            else:
                outcomes[number] = store.save(cells[number], outcome)
            bar.set_postfix_str(cells[number].part)
            bar.update()
    return outcomes, seconds


Outcome = tuple[int, Tables | Failure, float]


def measure(name: str, number: int, cell: Cell) -> Outcome:
    """One cell, on one thread whatever the machine has: the number of threads changes the order of sums."""
    import numpy as np
    import torch
    from threadpoolctl import threadpool_limits

    begin, before = time.perf_counter(), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with (
            threadpool_limits(1),
            np.errstate(over="ignore", invalid="ignore"),
        ):  # a network that diverges shows in its rows
            outcome: Tables | Failure = Experiment(name).definition.measure(cell)
    except InvalidInput:
        raise
    except Exception as error:  # any fault of one cell is that cell's: the others go on
        outcome = Failure(f"{type(error).__name__}: {error}")
    finally:
        torch.set_num_threads(before)
    return number, outcome, time.perf_counter() - begin


def _here(experiment: Experiment, pending: dict[int, Cell], jobs: int) -> Iterator[Outcome]:
    for number, cell in pending.items():
        yield measure(experiment.name, number, cell)


def _workers(experiment: Experiment, pending: dict[int, Cell], jobs: int) -> Iterator[Outcome]:
    """The cells on at most ``jobs`` processes, or in this one where none can be started.

    If a worker is killed, the cells that ran at that moment are suspected, and wait until the others are done, in parallel as
    before; then they run alone, where each has as much memory as there is and is known by name if it kills again.
    """
    left, suspects, deaths = dict(pending), dict[int, Cell](), Counter[int]()
    try:
        while left or suspects:
            cells, running = left or suspects, set[int]()
            try:
                yield from _pool(experiment, cells, min(jobs, len(cells)) if left else 1, running)
            except BrokenProcessPool:
                if left:
                    print("a worker was killed: what ran at that moment runs again later, alone", file=sys.stderr)
                    suspects |= {number: left.pop(number) for number in sorted(running)}
                    continue
                for number in running:
                    deaths[number] += 1
                    if deaths[number] == ATTEMPTS:
                        del suspects[number]
                        yield number, Failure(f"its worker was killed {ATTEMPTS} times (out of memory?)"), 0.0
    except _NoWorkers as error:
        print(f"no worker process can be started ({error}): going on in this one", file=sys.stderr)
        yield from _here(experiment, left | suspects, 1)


class _NoWorkers(Exception):
    """The system refuses what worker processes need: semaphores in /dev/shm, or processes."""


def _begin_worker(parent: int, catalog: Sequence[str]) -> None:
    """Ctrl-C reaches every process of the terminal; the parent alone answers it, and ends its workers. They end with it, and have its
    catalog of experiments."""
    import experiments.catalog

    experiments.catalog.__path__[:] = catalog
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: sent when the parent is gone, however it went
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(1)


def _pool(experiment: Experiment, left: dict[int, Cell], jobs: int, running: set[int]) -> Iterator[Outcome]:
    """Each outcome as it comes; its cell is taken out of ``left``. No more cells are handed out than there are workers, so
    that ``running`` holds, whenever a worker dies, the numbers of those that it may have been busy with."""
    from loky import ProcessPoolExecutor

    from experiments import catalog

    # a pool that is interrupted leaves semaphores to loky's tracker, which cleans up, but loudly and after the last word
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    # the longest cells tend to come last in a catalog's list: begun first, they do not hold up the end
    pool, waiting, futures, prepared = None, sorted(left), set[Future[Outcome]](), False
    try:
        while waiting or futures:
            try:
                pool = pool or ProcessPoolExecutor(
                    jobs, initializer=_begin_worker, initargs=(os.getpid(), list(catalog.__path__)), env=ONE_THREAD
                )
                while waiting and len(futures) < jobs:
                    running.add(number := waiting.pop())
                    futures.add(pool.submit(measure, experiment.name, number, left[number]))
            except (OSError, ImportError) as error:
                raise _NoWorkers(error) from None
            if not prepared:
                _prepare(experiment)
                prepared = True
            done, futures = wait(futures, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = future.result()
                running.discard(outcome[0])
                del left[outcome[0]]
                yield outcome
    finally:
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=True)


def _prepare(experiment: Experiment) -> None:
    """Imports what comes after the cells: the workers are starting anyway, and matplotlib takes a while."""
    import jinja2  # noqa: F401
    import tabulate  # noqa: F401

    import experiments.figures  # noqa: F401


def assemble(
    experiment: Experiment, options: Any, cells: Sequence[Cell], outcomes: dict[int, Any], seconds: dict[str, float]
) -> Result:
    """Joins the cells' tables in the order of the cells, whatever the order in which they finished, and judges."""
    import pandas as pd

    from experiments.claims import judge

    done = [outcomes[n] for n in range(len(cells)) if not isinstance(outcomes[n], Failure)]
    failed = [(cells[n].label, outcomes[n].reason) for n in range(len(cells)) if isinstance(outcomes[n], Failure)]
    joined: Tables = {
        name: pd.concat([tables[name] for tables in done if name in tables], ignore_index=True)
        for name in dict.fromkeys(name for tables in done for name in tables)
    }
    if not done:
        raise InvalidInput(f"every cell failed; the first: {failed[0][0]}: {failed[0][1]}")
    analysis: Analysis = experiment.definition.analyse(joined, options)
    claims, comparisons = judge(analysis.claims)
    tables = joined | analysis.tables | {"claims": claims, "comparisons": comparisons}
    tables.setdefault("agreement", pd.DataFrame(columns=AGREED))
    tables["failures"] = pd.DataFrame(failed, columns=["cell", "reason"])
    return Result(experiment, options, tables, analysis.finding(claims), analysis.next_steps, seconds, analysis.printed)


def default_jobs() -> int:
    """One worker a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
