"""Results on disk: tables, run.json and the report, which is rendered from them alone, now or later.

``python -m experiments.report results/NAME`` renders it again, say after a figure's drawing has changed.
"""

from __future__ import annotations

from experiments.command import Parser, begin

if __name__ == "__main__":
    begin("experiments.report")

import io
import json
import os
import platform
import shlex
import subprocess
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.lab import folder as disk
from experiments.lab.store import ROOT, reason
from scratch.command import answer
from scratch.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from experiments.lab.cell import Plot, Tables
    from experiments.lab.result import Result

UNRENDERED = ("measurements",)  # tables for whoever wants every number: large, and not needed to render the report
PACKAGES = ("numpy", "torch", "pandas", "scikit-learn", "scipy", "matplotlib")

OTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")  # set where a hook of one runs this
KEYS = {"summary": str, "command": str, "finding": str, "next_steps": list, "holds": bool, "large_tables": list,
        "device": str, "python": str, "platform": str, "versions": dict}  # fmt: skip
OWN = {"claims", "comparisons", "agreement", "failures"}  # tables of every run
COLUMNS = {"claims": {"claim", "verdict"}, "failures": {"cell", "reason"},
           "agreement": {"part", "condition", "step", "layer", "quantity", "relative", "ratio"}}  # fmt: skip


def write(result: Result, folder: Path) -> None:
    """Tables as CSV, run.json, timings.json apart, and the rendered report, in place of an earlier run's: all of it or nothing.

    The caller has the folder ``reserved``. Raises InvalidInput where it cannot write.
    """
    files = {
        f"tables/{name}.csv": frame.to_csv(index=False, lineterminator="\n") for name, frame in result.tables.items()
    }
    run = described(result)
    tables = parsed({Path(name).stem: text for name, text in files.items()})
    times = json.dumps(result.seconds, indent=1) + "\n" if result.seconds else ""
    disk.replace(folder, run, files | rendered(run, tables), {}, times)


def described(result: Result) -> dict[str, Any]:
    """Everything that says what was run and on what; times are not part of it."""
    options = asdict(result.options)
    return {
        "experiment": result.experiment.name,
        "only": result.experiment.only,
        "summary": result.experiment.summary,
        "command": command(result),
        "finding": result.finding,
        "next_steps": list(result.next_steps),
        "holds": result.holds,
        "large_tables": [name for name in UNRENDERED if name in result.tables],
        "options": options,
        "device": device_name(options.get("device", "cpu")),
        "threads": 1,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in PACKAGES},
        "git_commit": git_commit(),
    }


def git_commit() -> str | None:
    """The commit of the code, with "-dirty" where files other than results have changed since.

    None without git, and where the code merely lies in a repository: its commit says nothing of the code.
    """
    environment = {name: value for name, value in os.environ.items() if name not in OTHER_REPOSITORY}

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        if not ROOT.samefile(git("rev-parse", "--show-toplevel")):
            return None
        git("ls-files", "--error-unmatch", "experiments/report.py")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def command(result: Result) -> str:
    """The command line that asks for these options: only what differs from the defaults."""
    defaults = asdict(result.experiment.options())
    changed = {name: value for name, value in asdict(result.options).items() if value != defaults[name]}
    only = ["--only", result.experiment.only] if result.experiment.only else []
    words = ["python", "-m", "experiments.run", result.experiment.name, *only]
    for name, value in changed.items():
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)


def device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return f"{device}: {torch.cuda.get_device_name(device)}"
    return device


def read(folder: Path) -> tuple[dict[str, Any], Tables]:
    """run.json and the tables. Raises InvalidInput where the folder holds no results, or not those of one whole run."""
    run, texts = disk.read(folder, UNRENDERED)
    for key, kind in KEYS.items():
        if not isinstance(run.get(key), kind):
            came = type(run[key]).__name__ if key in run else "nothing"
            raise InvalidInput(f"{folder}/run.json: expected {kind.__name__} at {key!r}, got {came}")
    try:
        tables = parsed(texts)
    except ValueError as error:
        raise InvalidInput(f"{folder}/tables cannot be read: {reason(error)}") from None
    for name, columns in COLUMNS.items():
        if name not in tables:
            raise InvalidInput(f"{folder}/tables lacks {name}.csv: run the experiment again")
        if missing := columns - set(tables[name]):
            lacks = ", ".join(sorted(missing))
            raise InvalidInput(f"{folder}/tables/{name}.csv lacks the columns {lacks}: run the experiment again")
    return run, tables


def parsed(texts: Mapping[str, str]) -> Tables:
    """Tables from CSV, in the order of their files' names."""
    import pandas as pd

    names = sorted(set(texts) - set(UNRENDERED), key="{}.csv".format)
    return {name: pd.read_csv(io.StringIO(texts[name]), keep_default_na=True) for name in names}


def render(folder: Path) -> None:
    """Draws the figures and writes report.md and report.html again from the folder's tables and run.json.

    Raises InvalidInput where they are not one whole run's, do not fit the code that draws them, or cannot be written.
    """
    with disk.locked(folder):
        run, tables = read(folder)
        try:
            files = rendered(run, tables)
        except Exception as error:  # whatever code makes of tables that are not as it makes them
            said = f"{folder}: its tables do not fit today's code of {run['experiment']} ({located(error)})"
            raise InvalidInput(f"{said}: run the experiment again") from error
        kept = {name: digest for name, digest in run["files"].items() if name.startswith("tables/")}
        disk.replace(folder, run, files, kept)


def located(error: Exception) -> str:
    """What went wrong and in which line of the project."""
    rooms = [
        str(ROOT / room) for room in ("scratch", "torchref", "experiments", "tests")
    ]  # a virtual environment may lie in ROOT too
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(tuple(rooms))]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: {reason(error)}"


def rendered(run: Mapping[str, Any], tables: Tables) -> dict[str, str]:
    """The figures and both reports, by their names in the folder."""
    import jinja2

    from experiments.lab import figures
    from experiments.lab.experiment import load

    experiment = load(run["experiment"], str(run.get("only", "")))
    if foreign := set(tables) - experiment.definition.tables - OWN:
        raise ValueError(f"{experiment.name} makes no table {min(foreign)!r}")
    plots: list[Plot] = experiment.definition.figures(tables)
    drawn = {plot.name: figures.svg(plot.draw()) for plot in plots}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": number,
        "markdown_table": partial(table, form="github"),
        "html_table": partial(table, form="html"),
        "code": code,
        "cell": escaped,
    }
    worst = tables["agreement"]
    content = {
        "run": run,
        "plots": plots,
        "figures": {name: inline(text) for name, text in drawn.items()},
        "claims": tables["claims"].to_dict("records"),
        "failures": tables["failures"].to_dict("records"),
        "pointwise": by_part(worst[worst.part != "trajectory"]),
        "trajectory": by_part(worst[worst.part == "trajectory"]),
        "tables": {name: len(found) for name, found in tables.items()},
        "reached": tables.get("reached"),
    }
    pages = {}
    for name in ("report.md", "report.html"):
        environment.autoescape = name.endswith(".html")
        pages[name] = environment.get_template(name + ".j2").render(**content).rstrip() + "\n"
    return {f"figures/{name}.svg": text for name, text in drawn.items()} | pages


def by_part(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """For each part of the experiment, the comparison that came nearest to its bound, and how many there were."""
    found = []
    for part, group in rows.groupby("part", sort=False):
        found.append(group.loc[group.ratio.idxmax()].to_dict() | {"part": part, "comparisons": len(group)})
    return found


def number(value: Any, digits: int = 4) -> str:
    """A number as one writes it: few digits, no trailing noise, an exponent only where it helps."""
    if not isinstance(value, int | float):
        return str(value)
    if value != value:
        return "–"
    if abs(value) == float("inf"):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e+").replace("e+", "e")


def table(rows: list[dict[str, Any]], columns: dict[str, str], form: str) -> str:
    """Some columns of the rows under new headings, as a Markdown or HTML table."""
    from tabulate import tabulate

    shown = escaped if form == "github" else number
    body = [[shown(row[name]) for name in columns] for row in rows]
    return tabulate(body, list(columns.values()), tablefmt=form, disable_numparse=True)


def code(text: str) -> str:
    """Markdown's `code` as HTML."""
    import re

    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def escaped(value: Any) -> str:
    """A value as a cell of a Markdown table, which a bar or a line break would end."""
    return " ".join(number(value).split()).replace("|", "\\|")


def inline(svg: str) -> str:
    """The SVG element alone, for a page."""
    return svg[svg.index("<svg") :]


def main() -> int:
    """Renders the report of the folders named on the command line again."""
    parser = Parser(prog="python -m experiments.report", description="Render reports again from their tables alone.")
    parser.add_argument("folders", nargs="+", type=Path, help="result folders, such as results/vanishing_gradient")

    def work() -> None:
        for folder in parser.parse_args().folders:
            render(folder)
            print(folder / "report.html")

    return answer(work)
