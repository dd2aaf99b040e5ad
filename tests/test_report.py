"""The report: complete, self-contained, the same every time, and made from the tables alone."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from conftest import SMALL
from toybox import listing

from experiments import report
from experiments.experiment import load
from experiments.run import main, parse

HEADER = "| claim |"


@pytest.fixture(params=["toy", "vanishing_gradient"])
def results(request):
    """The folder of a finished run."""
    return request.getfixturevalue("toy_results") if request.param == "toy" else request.getfixturevalue("small")[1]


def columns(row: str) -> int:
    """How many cells a row of a Markdown table has: escaped bars are text."""
    return len(re.findall(r"(?<!\\)\|", row)) - 1


def text(html: str) -> str:
    return re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)


def test_markdown_names_figures_and_tables_that_exist(results):
    """A figure or table of which the report speaks, but which was not written."""
    markdown = (results / "report.md").read_text()
    figures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", markdown)
    assert sorted(figures) == sorted(f"figures/{path.name}" for path in (results / "figures").iterdir())
    for name in set(figures) | set(re.findall(r"tables/\w+\.csv", markdown)):
        assert (results / name).is_file(), name


def test_the_page_stands_alone(results):
    """A page that needs the network, or a figure that is only linked."""
    html = (results / "report.html").read_text()
    assert not re.search(r"<(script|link|img|iframe|object)\b|@import|url\(\s*['\"]?http|(src|href)=['\"]https?:", html)
    assert html.count("<svg") == html.count("</svg>") == len(list((results / "figures").glob("*.svg")))
    assert "<?xml" not in html and html.count("<!DOCTYPE") + html.count("<!doctype") == 1
    for link in re.findall(r'<a href="([^"#]+)"', html):
        assert (results / link).is_file(), link


def test_the_page_closes_what_it_opens(results):
    """A figure or a table that swallows the rest of the page."""
    html = text((results / "report.html").read_text())
    for tag in ("table", "tr", "td", "th", "figure", "ul", "li", "p", "div", "h2", "pre"):
        assert len(re.findall(rf"<{tag}[ >]", html)) == html.count(f"</{tag}>"), tag


def test_special_characters_are_text(toy_results):
    """A "<" in a finding or a claim that becomes markup."""
    html = text((toy_results / "report.html").read_text())
    assert "a &lt; b &amp; c" in html and "a < b & c" in (toy_results / "report.md").read_text()


def test_one_row_for_each_claim(results):
    """A claim that is left out, or a bar in a statement that breaks the table."""
    lines = (results / "report.md").read_text().splitlines()
    begin = next(k for k, line in enumerate(lines) if line.startswith(HEADER))
    rows = [line for line in lines[begin + 2 :] if line]
    rows = rows[: next(k for k, line in enumerate(rows) if not line.startswith("|"))]
    claims = pd.read_csv(results / "tables/claims.csv").claim
    assert len(rows) == len(claims)
    for row, claim in zip(rows, claims, strict=True):
        assert claim in row and columns(row) == columns(lines[begin]), row
    assert text((results / "report.html").read_text()).count("<tr><td><b>") == len(claims)


def test_the_finding_comes_first(results):
    """A report that begins with machinery."""
    finding = json.loads((results / "run.json").read_text())["finding"]
    heading, empty, first = (results / "report.md").read_text().splitlines()[:3]
    assert heading.startswith("# ") and (empty, first) == ("", finding)
    assert (results / "report.html").read_text().split("<p")[1].startswith(' class="finding">')


def test_the_command_gives_these_options_again(results):
    """A command in the report that runs something else."""
    run = json.loads((results / "run.json").read_text())
    for name in ("report.md", "report.html"):
        assert run["command"] in (results / name).read_text()
    experiment = load(run["experiment"])
    options, _ = parse(experiment, shlex.split(run["command"])[4:])
    expected = SMALL if run["experiment"] == "vanishing_gradient" else {}
    assert options == experiment.options(**expected)


@pytest.mark.parametrize(
    "changed", [{"note": "two words"}, {"note": "$HOME; 'x'"}, {"factor": -0.5}, {"numbers": (7, 8)}]
)
def test_the_command_is_quoted_for_a_shell(changed):
    """A file's name with a space, which would be two arguments."""
    experiment = load("toy")
    command = shlex.split(report.command(experiment.run(**changed)))
    assert command[:4] == ["python", "-m", "experiments.run", "toy"]
    assert parse(experiment, command[4:])[0] == experiment.options(**changed)


def test_run_json_says_what_was_run_and_on_what(results):
    """A number in the report that nobody can repeat."""
    run = json.loads((results / "run.json").read_text())
    options = load(run["experiment"]).options()
    assert set(run["options"]) == set(options.__dataclass_fields__)
    assert {"numpy", "torch", "pandas", "scikit-learn"} <= set(run["versions"])
    assert run["device"] == "cpu" and run["threads"] == 1 and run["holds"] is True
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", run["git_commit"] or "0" * 40)
    assert not re.search(r"\d\d:\d\d|\b20\d\d-\d\d-\d\d", json.dumps(run)), "a time of day"


def test_times_stand_apart(results):
    """Seconds among the results, which would then differ from run to run."""
    times = json.loads((results / "timings.json").read_text())
    assert times and all(seconds > 0 for seconds in times.values())
    assert len(times) == len(list((results / "cells").iterdir()))


def test_tables_are_rounded_nowhere(toy_results):
    """Numbers cut to a few digits on their way into CSV, and back."""
    _, tables = report.read(toy_results)
    means = tables["values"].groupby(["number", "backend"]).value.mean()
    assert (means.to_numpy() == tables["means"].measured.to_numpy()).all()


def test_rendering_again_gives_the_same_bytes_from_the_tables_alone(toy_results, small, tmp_path, python):
    """A picture that computes, needs a backend or the data, or holds a date; a table that is read back otherwise."""
    folders = {"toy": toy_results, "real": small[1]}
    for name, folder in folders.items():
        for kept in ("tables", "run.json", "timings.json"):
            copy = shutil.copytree if (folder / kept).is_dir() else shutil.copyfile
            (tmp_path / name).mkdir(exist_ok=True)
            copy(folder / kept, tmp_path / name / kept)
    code = (
        "import sys\nfor name in ('torch', 'torchref', 'sklearn', 'loky'): sys.modules[name] = None\n"
        f"import toybox\nfrom experiments.report import main\nsys.argv = ['report', {str(tmp_path / 'toy')!r}, "
        f"{str(tmp_path / 'real')!r}]\nsys.exit(main())"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    for name, folder in folders.items():
        assert listing(tmp_path / name) == listing(folder, "cells/")


@pytest.mark.parametrize(
    "spoil", ["nothing", "no run.json", "no tables", "bad run.json", "empty table", "unknown experiment"]
)
def test_a_folder_that_cannot_be_rendered_is_one_line(toy_results, tmp_path, monkeypatch, capsys, spoil):
    """A traceback for a folder that was mistyped or half deleted."""
    folder = tmp_path / "results"
    if spoil != "nothing":
        shutil.copytree(toy_results, folder)
    match spoil:
        case "no run.json":
            (folder / "run.json").unlink()
        case "no tables":
            shutil.rmtree(folder / "tables")
        case "bad run.json":
            (folder / "run.json").write_text("{")
        case "empty table":
            (folder / "tables/claims.csv").write_text("")
        case "unknown experiment":
            path = folder / "run.json"
            path.write_text(path.read_text().replace('"toy"', '"tow"'))
    monkeypatch.setattr(sys, "argv", ["report", str(folder)])
    assert report.main() == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_a_figure_is_the_same_bytes_every_time(toy_results):
    """Random identifiers or a date in the SVG."""
    from experiments import figures

    _, tables = report.read(toy_results)
    plots = load("toy").module.figures(tables)
    for plot in plots:
        assert (
            figures.svg(plot.draw())
            == figures.svg(plot.draw())
            == (toy_results / f"figures/{plot.name}.svg").read_text()
        )
    assert len({figures.svg(plot.draw()) for plot in plots}) > 1


def test_failures_are_shown(toy):
    """A report of a run that lacks a cell and does not say so; a reason of two lines that breaks the table."""
    toy.plan("fail", 2)
    assert main(["toy", "--jobs", "1", "--out", "out"]) == 1
    with open("out/report.md") as file:
        lines = file.read().splitlines()
    begin = lines.index("## Cells that failed") + 2
    header, _, row, after = lines[begin : begin + 4]
    assert "number=2" in row and "good" in row and "at all" in row and after == ""
    assert columns(row) == columns(header) == 2
    with open("out/report.html") as file:
        assert "Cells that failed" in file.read()


@pytest.mark.parametrize("verdict", ["fails", "control passes"])
def test_a_verdict_that_is_not_holds_is_seen(toy, verdict):
    """A failed claim that looks like the others."""
    assert (
        main(["toy", "--jobs", "1", "--out", "out", "--factor", {"fails": "1.5", "control passes": "2"}[verdict]]) == 1
    )
    with open("out/report.md") as markdown, open("out/report.html") as html:
        assert "NOT everything holds" in markdown.read()
        assert '<td class="fails">' in html.read()


@pytest.mark.parametrize(
    "value, shown",
    [(0.0, "0"), (3.0, "3"), (-2, "-2"), (0.123456, "0.1235"), (1e-9, "1e-9"), (-1.5e-16, "-1.5e-16"), (2.5e20, "2.5e20"),
     (math.nan, "–"), ("text", "text")],
)  # fmt: skip
def test_numbers_are_short(value, shown):
    """Trailing noise, or a number that is written wrongly."""
    assert report.number(value) == shown


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_is_a_number_too(value):
    """z is infinite where nothing was measured: a report of a failed claim that is never written."""
    assert report.number(value).startswith("-" if value < 0 else ("inf", "∞")) or report.number(value) == "−∞"


@pytest.mark.parametrize("changed, suffix", [("", ""), (" M scratch/layers.py", "-dirty")])
def test_the_commit_says_whether_the_code_was_changed(monkeypatch, changed, suffix):
    """A clean commit named for results that an edited tree made."""

    def git(words, **options):
        return subprocess.CompletedProcess(words, 0, stdout=changed if "status" in words else "abc\n")

    monkeypatch.setattr(report.subprocess, "run", git)
    assert report.git_commit() == "abc" + suffix


def test_without_git_there_is_no_commit(monkeypatch):
    """A run on a machine without git would end in a traceback after all its work."""

    def absent(words, **options):
        raise FileNotFoundError(words[0])

    monkeypatch.setattr(report.subprocess, "run", absent)
    assert report.git_commit() is None
