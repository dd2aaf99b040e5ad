"""Results on disk: tables and run.json are written once; the report is rendered from them alone, now or later.

``python -m experiments.report results/NAME`` renders it again, say after a figure's drawing has changed.
"""

from __future__ import annotations

from experiments.command import Parser, begin

if __name__ == "__main__":
    begin("experiments.report")

import json
import platform
import shlex
import subprocess
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.store import ROOT
from experiments.store import write as write_text
from scratch.command import answer
from scratch.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from experiments.experiment import Plot, Tables
    from experiments.sweep import Result

UNRENDERED = ("measurements",)  # tables for whoever wants every number: large, and not needed to render the report
PACKAGES = ("numpy", "torch", "pandas", "scikit-learn", "scipy", "matplotlib")


def write(result: Result, folder: Path) -> None:
    """Tables as CSV, run.json, timings.json apart, and the rendered report. Raises InvalidInput where it cannot write."""
    for name, table in result.tables.items():
        write_text(folder / "tables" / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    clear(folder / "tables", {f"{name}.csv" for name in result.tables})
    write_text(folder / "run.json", json.dumps(described(result), indent=1, ensure_ascii=False) + "\n")
    if result.seconds:
        write_text(folder / "timings.json", json.dumps(result.seconds, indent=1) + "\n")
    render(folder)


def clear(folder: Path, kept: set[str]) -> None:
    """Removes what an earlier run with other options left in a folder of tables or figures."""
    for path in folder.glob("*.*"):
        if path.suffix in (".csv", ".svg") and path.name not in kept:
            path.unlink()


def described(result: Result) -> dict[str, Any]:
    """Everything that says what was run and on what; times are not part of it."""
    options = asdict(result.options)
    return {
        "experiment": result.experiment.name,
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
    """The commit of the code, with "-dirty" where files other than results have changed since; None without git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def command(result: Result) -> str:
    """The command line that asks for these options: only what differs from the defaults."""
    defaults = asdict(result.experiment.options())
    changed = {name: value for name, value in asdict(result.options).items() if value != defaults[name]}
    words = ["python", "-m", "experiments.run", result.experiment.name]
    for name, value in changed.items():
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)


def device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return f"{device}: {torch.cuda.get_device_name(device)}"
    return device


def read(folder: Path) -> tuple[dict[str, Any], Tables]:
    """run.json and the tables. Raises InvalidInput where the folder holds no results, or spoilt ones."""
    import pandas as pd

    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        paths = sorted((folder / "tables").glob("*.csv"))
        tables = {path.stem: pd.read_csv(path, keep_default_na=True) for path in paths if path.stem not in UNRENDERED}
    except FileNotFoundError:
        raise InvalidInput(f"{folder} holds no results (no run.json): run an experiment first") from None
    except ValueError as error:
        raise InvalidInput(f"{folder}: its tables or run.json cannot be read: {error}") from None
    missing = {"claims", "agreement", "failures"} - set(tables)
    if missing:
        raise InvalidInput(f"{folder}/tables lacks {', '.join(sorted(missing))}: run the experiment again")
    return run, tables


def render(folder: Path) -> None:
    """Draws the figures and writes report.md and report.html from the folder's tables and run.json."""
    import jinja2

    from experiments import figures
    from experiments.experiment import load

    run, tables = read(folder)
    plots: list[Plot] = load(run["experiment"]).module.figures(tables)
    drawn = {plot.name: figures.svg(plot.draw()) for plot in plots}
    for name, text in drawn.items():
        write_text(folder / "figures" / f"{name}.svg", text)
    clear(folder / "figures", {f"{name}.svg" for name in drawn})
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
    for name in ("report.md", "report.html"):
        environment.autoescape = name.endswith(".html")
        write_text(folder / name, environment.get_template(name + ".j2").render(**content).rstrip() + "\n")


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
