"""Cells -> executor -> store -> one result. What is stored is not computed again."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.lab import executors, folder, work
from experiments.lab.cell import Analysis, Cell, Tables
from experiments.lab.executors import Failure
from experiments.lab.experiment import Experiment
from experiments.lab.options import require
from experiments.lab.result import Result
from experiments.lab.store import Store
from scratch.errors import InvalidInput

AGREED = ["part", "condition", "step", "layer", "quantity", "difference", "relative", "bound", "ratio"]


def run(
    experiment: Experiment,
    options: Any,
    write: Callable[[Result, Path], None],
    *,
    out: str | Path | None = None,
    jobs: int = 1,
    cluster: str = "",
    fresh: bool = False,
) -> Result:
    """Runs the cells that are not stored, on ``jobs`` processes (0: one a core) or on a ``cluster``, judges the claims; ``write``s the
    report to ``out``.

    Raises InvalidInput if ``out`` cannot be written, or is not empty and holds no results of this experiment, and for what would
    take too long or too much memory. A cell that fails becomes a row of the table "failures".
    """
    require(jobs in range(1025), "jobs", "a whole number from 0 to 1024", jobs)
    jobs = jobs or executors.default_jobs()
    cells = experiment.definition.cells(options)
    with tempfile.TemporaryDirectory() as nowhere:
        place = Path(nowhere if out is None else out)
        store = Store(place / "cells", experiment.definition.version)
        pending = [cell for cell in cells if fresh or not os.path.lexists(store.path(cell))]
        work.refuse(experiment, options, pending, *hands(cluster, jobs))
        with folder.reserved(place, experiment.name):
            outcomes, seconds = compute(experiment, cells, store, jobs, cluster, fresh)
            result = assemble(experiment, options, cells, outcomes, seconds)
            if out is not None:
                write(result, place)
    return result


def compute(
    experiment: Experiment, cells: Sequence[Cell], store: Store, jobs: int, cluster: str, fresh: bool
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
    left = {n: cells[n] for n in pending}
    computed = executor(cluster, jobs)(experiment.name, left)
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


def hands(cluster: str, jobs: int) -> tuple[int, float | None]:
    """How many processes will compute, and the memory that they have, where it is not this machine's."""
    if cluster in ("", "local"):
        return jobs, None
    from experiments.lab.cluster import capacity

    return capacity(cluster)


def executor(cluster: str, jobs: int) -> Callable[[str, dict[int, Cell]], Iterator[executors.Outcome]]:
    if cluster:
        from experiments.lab.cluster import cluster as distributed

        return partial(distributed, address=cluster, jobs=jobs)
    return executors.here if jobs == 1 else partial(executors.workers, jobs=jobs)


def assemble(
    experiment: Experiment, options: Any, cells: Sequence[Cell], outcomes: dict[int, Any], seconds: dict[str, float]
) -> Result:
    """Joins the cells' tables in the order of the cells, whatever the order in which they finished, and judges."""
    import pandas as pd

    from experiments.lab.judge import judge

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
