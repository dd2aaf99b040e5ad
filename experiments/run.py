"""The command line: ``python -m experiments.run NAME [options]``. Everything slow is imported after it has been read."""

from __future__ import annotations

from experiments.command import begin

if __name__ == "__main__":
    begin("experiments.run")

import io
import re
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes

from experiments.lab.experiment import Experiment, load, names
from experiments.lab.options import Checked, DataOptions, option
from scratch.command import answer
from scratch.errors import InvalidInput, unknown

if TYPE_CHECKING:
    import pandas as pd

    from experiments.lab.result import Result

HELP = """usage: python -m experiments.run NAME [options]
       python -m experiments.run NAME --help     every option of that experiment
       python -m experiments.run --list [NAME]   the experiments there are, or the pages of one

Runs the experiment on both implementations, judges its claims and writes results/NAME/report.html.
Exit status: 0 no claim fails and the implementations agree, 1 something does not, 2 bad input, 70 a fault of the program,
74 something cannot be read or written, 130 interrupted (128 + n: ended by signal n).
"""


STORED = "what was finished is stored, the same command goes on from there"


@dataclass(frozen=True)
class Running(Checked):
    """How to run it."""

    quick: bool = option(False, "a small version of everything, in seconds")
    jobs: int = option(0, "worker processes; 1: none beside this one; 0: one a core", (0, 1024))
    cluster: str = option(
        "",
        "run the cells on a distributed cluster: its scheduler's address (tcp://host:8786), or local for --jobs workers here",
    )
    only: str = option("", "one page alone, see --list NAME: its cells, its claims, its section")
    out: str = option(
        "", "folder for the results (default: results/NAME; results/quick/NAME for --quick; results/only/NAME/PAGE)"
    )
    fresh: bool = option(False, "compute everything again, whatever is stored")
    dry_run: bool = option(False, "say what would be run and what is stored already, and stop")


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    return answer(lambda: dispatch(arguments), STORED)


def dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP)
        return 0 if arguments else 2
    if arguments[0] == "--list":
        return listed(arguments[1:])
    if arguments[0].startswith("-"):
        near = unknown("option before an experiment's name", arguments[0], ("--list", "--help"))
        raise InvalidInput(f"{near}; the options of an experiment come after its name")
    experiment = load(arguments[0])
    options, running = parse(experiment, arguments[1:])
    usual = Path("results", *(["quick"] if running.quick else []), experiment.name)
    out = Path(usual if running.out == "" else running.out)
    if running.only:
        experiment = load(experiment.name, running.only)
        out = Path("results", "only", *usual.parts[1:], running.only) if running.out == "" else out
    if isinstance(options, DataOptions):
        for note in options.dataset().notes:
            print(note, file=sys.stderr)
    return show_plan(experiment, options, out, running) if running.dry_run else show(experiment, options, out, running)


def listed(chosen: list[str]) -> int:
    """The experiments with what they are about; of a single one, its pages with their questions."""
    for name in [load(name).name for name in chosen] or names():
        experiment = load(name)
        print(f"{name:24}{experiment.summary}")
        for page in experiment.definition.pages if chosen else ():
            print(f"  {page.name:22}{page.question}")
    return 0


def parse(experiment: Experiment, arguments: list[str]) -> tuple[Any, Running]:
    """The experiment's options and how to run it. Raises InvalidInput, in one line, for what tyro would show as a box."""
    defaults = experiment.options(quick="--quick" in arguments)
    both = make_dataclass(
        "Arguments",
        [("experiment", type(defaults), field(default=defaults)), ("run", Running, field(default=Running()))],
    )
    shown = io.StringIO()
    try:
        with redirect_stderr(shown):
            read: Any = tyro.cli(
                both,
                args=arguments,
                prog=f"python -m experiments.run {experiment.name}",
                description=experiment.module.__doc__,
                config=(OmitArgPrefixes, FlagCreatePairsOff),
            )
            return read.experiment, read.run
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise InvalidInput(one_line(shown.getvalue())) from None


def run(
    experiment: str | Experiment,
    *,
    quick: bool = False,
    out: str | Path | None = None,
    jobs: int = 1,
    cluster: str = "",
    fresh: bool = False,
    **options: Any,
) -> Result:
    """For a notebook: runs an experiment, by its name, and gives back tables, claims and figures.

    ``out``: a folder for the report, and for cells to go on from; ``options``: those of the command line, dashes as underscores.
    """
    from experiments import report
    from experiments.lab import sweep

    chosen = load(experiment) if isinstance(experiment, str) else experiment
    return sweep.run(
        chosen, chosen.options(quick, **options), report.write, out=out, jobs=jobs, cluster=cluster, fresh=fresh
    )


def show(experiment: Experiment, options: Any, out: Path, running: Running) -> int:
    """Runs it, says what came out, and gives the exit status."""
    from experiments import report
    from experiments.lab import sweep
    from experiments.lab.judge import CANNOT_TELL, FAILS, NOT_TESTED

    result = sweep.run(
        experiment, options, report.write, out=out, jobs=running.jobs, cluster=running.cluster, fresh=running.fresh
    )
    claims, failed = result.claims, len(result.tables["failures"])
    untested = (claims.verdict == NOT_TESTED).sum()
    for row in claims[claims.verdict.isin([FAILS, CANNOT_TELL])].itertuples():
        seen = f"predicted {row.predicted:.6g}, scratch {row.scratch:.6g}, torchref {row.torchref:.6g}"
        print(f"{row.verdict}: {row.claim} ({row.condition}): {seen}")
        if row.verdict == CANNOT_TELL:
            print(f"  its control passes the test too; {more(row.more_seeds)}")
    worst = result.tables["agreement"].ratio.max()
    if result.printed:
        print(tabulated(result.tables[result.printed]))
    print(f"{result.finding}")
    print(
        f"{'HOLDS' if result.holds else 'FAILS'}: {(claims.verdict == 'holds').sum()} of {len(claims)} claims hold; the implementations "
        f"{'agree' if result.agrees else 'DISAGREE'} (worst difference {worst:.2g} of the rounding bound)"
        f"{f'; {untested} claims had nothing to compare' if untested else ''}"
        f"{f'; {failed} cells failed' if failed else ''}: {out / 'report.html'}"
    )
    return 0 if result.holds else 1


def more(times: float) -> str:
    """What would give a claim that cannot tell its power."""
    if times == float("inf"):
        return "no number of seeds will tell them apart"
    return f"{times:.2g} times as many seeds would tell them apart (--help names the option)"


def tabulated(table: pd.DataFrame) -> str:
    from tabulate import tabulate

    rows = [
        [f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row] for row in table.itertuples(index=False)
    ]
    return tabulate(rows, headers=list(table.columns), disable_numparse=True, maxheadercolwidths=12)


def show_plan(experiment: Experiment, options: Any, out: Path, running: Running) -> int:
    from experiments.lab import executors, work
    from experiments.lab.store import Store
    from experiments.lab.sweep import hands

    store = Store(out / "cells", experiment.definition.version)
    cells = experiment.definition.cells(options)
    stored = [not running.fresh and store.path(cell).exists() for cell in cells]
    left = [cell for cell, held in zip(cells, stored, strict=True) if not held]
    work.refuse(experiment, options, left, *hands(running.cluster, running.jobs or executors.default_jobs()))
    for cell, held in zip(cells, stored, strict=True):
        print(f"{'stored ' if held else 'to run '} {cell.label}")
    print(f"{len(cells)} cells: {sum(stored)} stored, {len(cells) - sum(stored)} to run; results would go to {out}")
    return 0


def one_line(box: str) -> str:
    """What a boxed message says, in one line."""
    lines = [re.sub(r"[│╭╮╰╯─]", " ", line).strip() for line in box.splitlines()]
    kept = [line for line in lines if line and not set(line) <= set("- ") and not line.startswith("For full helptext")]
    text = " ".join(kept[1:] if len(kept) > 1 else kept).removeprefix("Error parsing experiment: ")
    text = re.sub(r" Argument helptext:.*|(?<=\]) [^-].*", "", text)  # the option's whole help
    return re.sub(r"\s+", " ", text) + "; see --help"
