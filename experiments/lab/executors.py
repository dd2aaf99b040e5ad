"""Where cells are computed: in this process, or on workers that survive a killed one.

An executor is a function of an experiment's name and numbered cells that yields each cell's outcome as it comes, in any order; nothing
else about a run depends on which it is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from experiments import catalog
from experiments.lab.cell import Cell, Tables
from experiments.lab.experiment import Experiment
from scratch.errors import InvalidInput

ATTEMPTS = 2  # a cell whose worker dies this many times while it runs alone is given up
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
WATCH = 1.0  # seconds between a worker's looks at whether its parent still lives, where the system does not tell it


@dataclass(frozen=True)
class Failure:
    """Why a cell has no tables."""

    reason: str


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


def here(name: str, pending: dict[int, Cell]) -> Iterator[Outcome]:
    for number, cell in pending.items():
        yield measure(name, number, cell)


def workers(name: str, pending: dict[int, Cell], jobs: int) -> Iterator[Outcome]:
    """The cells on at most ``jobs`` processes, or in this one where none can be started.

    If a worker is killed, the cells that ran at that moment are suspected, and wait until the others are done, in parallel as
    before; then they run alone, where each has as much memory as there is and is known by name if it kills again.
    """
    left, suspects, deaths = dict(pending), dict[int, Cell](), Counter[int]()
    try:
        while left or suspects:
            cells, running = left or suspects, set[int]()
            try:
                yield from _pool(name, cells, min(jobs, len(cells)) if left else 1, running)
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
        yield from here(name, left | suspects)


class _NoWorkers(Exception):
    """The system refuses what worker processes need: semaphores in /dev/shm, or processes."""


def _begin_worker(parent: int, folders: Sequence[str]) -> None:
    """Ctrl-C reaches every process of the terminal; the parent alone answers it, and ends its workers. They end with it, and have its
    catalog of experiments."""
    catalog.__path__[:] = folders
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: sent when the parent is gone, however it went
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(1)


def _pool(name: str, left: dict[int, Cell], jobs: int, running: set[int]) -> Iterator[Outcome]:
    """Each outcome as it comes; its cell is taken out of ``left``. No more cells are handed out than there are workers, so
    that ``running`` holds, whenever a worker dies, the numbers of those that it may have been busy with."""
    from loky import ProcessPoolExecutor

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
                    futures.add(pool.submit(measure, name, number, left[number]))
            except (OSError, ImportError) as error:
                raise _NoWorkers(error) from None
            if not prepared:
                _prepare()
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


def _prepare() -> None:
    """Imports what comes after the cells: the workers are starting anyway, and matplotlib takes a while."""
    import jinja2  # noqa: F401
    import tabulate  # noqa: F401

    import experiments.lab.figures  # noqa: F401


def default_jobs() -> int:
    """One worker a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
