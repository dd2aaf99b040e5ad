"""The report: complete, self-contained, the same every time, and made from the tables alone."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import SMALL
from toybox import listing

from experiments import report
from experiments.lab.experiment import load
from experiments.run import main, parse, run
from scratch.errors import InvalidInput

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
    expected = {"seed": 0} | SMALL if run["experiment"] == "vanishing_gradient" else {}
    assert options == experiment.options(**expected)


@pytest.mark.parametrize(
    "changed", [{"note": "two words"}, {"note": "$HOME; 'x'"}, {"factor": -0.5}, {"numbers": (7, 8)}]
)
def test_the_command_is_quoted_for_a_shell(changed):
    """A file's name with a space, which would be two arguments."""
    experiment = load("toy")
    command = shlex.split(report.command(run(experiment, **changed)))
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


def run_json(change):
    """A folder whose run.json says something else."""

    def spoil(folder: Path) -> None:
        path = folder / "run.json"
        run = json.loads(path.read_text())
        path.write_text(json.dumps(change(run) or run))

    return spoil


def table(name: str, change, listed: bool = True):
    """A folder in which a table is another, and ``listed`` as the run's all the same."""

    def spoil(folder: Path) -> None:
        path = folder / "tables" / f"{name}.csv"
        frame = change(pd.read_csv(path))
        path.write_text(frame if isinstance(frame, str) else frame.to_csv(index=False), newline="\n")
        if listed:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            run_json(lambda run: run["files"].update({f"tables/{name}.csv": digest}))(folder)

    return spoil


def of_folder(folder: Path) -> None:
    (folder / "tables/values.csv").unlink()
    (folder / "tables/values.csv").mkdir()


def of_pipe(folder: Path) -> None:
    (folder / "run.json").unlink()
    os.mkfifo(folder / "run.json")


SPOILT = {
    "nothing": (shutil.rmtree, "expected|opened"),
    "a file": (lambda folder: (shutil.rmtree(folder), folder.write_text("")), "opened"),
    "no run.json": (lambda folder: (folder / "run.json").unlink(), "run an experiment"),
    "no tables": (lambda folder: shutil.rmtree(folder / "tables"), "tables/agreement.csv"),
    "bad run.json": (lambda folder: (folder / "run.json").write_text("{"), "run.json"),
    "a list": (lambda folder: (folder / "run.json").write_text("[]"), "run.json"),
    "an empty object": (lambda folder: (folder / "run.json").write_text("{}"), "run.json"),
    "null": (lambda folder: (folder / "run.json").write_text("null"), "run.json"),
    "deep": (lambda folder: (folder / "run.json").write_text('{"a":' * 200_000), "run.json"),
    "long": (lambda folder: (folder / "run.json").write_text("1" * 10_000_000), "run.json"),
    "NUL bytes": (lambda folder: (folder / "run.json").write_bytes(bytes(1000)), "run.json"),
    "no text": (lambda folder: (folder / "run.json").write_bytes(b"\xff\xfe" * 9), "run.json"),
    "a pipe": (of_pipe, "run.json"),
    "no list of files": (run_json(lambda run: run.pop("files") and None), "'files'"),
    "a list of something else": (run_json(lambda run: run | {"files": ["tables/values.csv"]}), "'files'"),
    "files elsewhere": (run_json(lambda run: run["files"].update({"../x.csv": "0"})), "'files'"),
    "no finding": (run_json(lambda run: run.pop("finding") and None), "'finding'"),
    "a verdict in words": (run_json(lambda run: run | {"holds": "yes"}), "'holds'"),
    "versions in a row": (run_json(lambda run: run | {"versions": []}), "'versions'"),
    "unknown experiment": (run_json(lambda run: run | {"experiment": "tow"}), "'toy'"),
    "another experiment": (run_json(lambda run: run | {"experiment": "losses"}), "losses"),
    "an experiment without a name": (run_json(lambda run: run | {"experiment": 1}), "'experiment'"),
    "a table changed": (table("values", lambda frame: frame.assign(value=0.0), listed=False), "tables/values.csv"),
    "verdicts changed": (table("claims", lambda frame: frame.assign(verdict="fails"), listed=False), "tables/claims.csv"),
    "a table missing": (lambda folder: (folder / "tables/means.csv").unlink(), "tables/means.csv"),
    "a folder for a table": (of_folder, "tables/values.csv"),
    "a table not listed": (run_json(lambda run: run["files"].pop("tables/claims.csv") and None), "claims.csv"),
    "an empty table": (table("claims", lambda frame: ""), "tables"),
    "NUL bytes in a table": (table("claims", lambda frame: "\0" * 99), "claims.csv"),
    "no verdict": (table("claims", lambda frame: frame.drop(columns="verdict")), "columns verdict"),
    "no control": (table("claims", lambda frame: frame.drop(columns="control_z")), "control_z"),
    "no ratio": (table("agreement", lambda frame: frame.drop(columns="ratio")), "columns ratio"),
    "no number of any ratio": (table("agreement", lambda frame: frame.assign(ratio=math.nan)), "report.py"),
    "foreign failures": (table("failures", lambda frame: pd.DataFrame({"a": [1]})), "columns cell, reason"),
    "foreign means": (table("means", lambda frame: pd.DataFrame({"a": [1]})), "figures.py"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPOILT)
def test_a_folder_that_cannot_be_rendered_is_one_line(toy_results, tmp_path, monkeypatch, capsys, kind):
    """A traceback for a folder that was mistyped or half deleted, or a report of what is not the run's; and nothing is changed."""
    folder = tmp_path / "results"
    shutil.copytree(toy_results, folder)
    spoil, expected = SPOILT[kind]
    spoil(folder)
    before = listing(folder)
    monkeypatch.setattr(sys, "argv", ["report", str(folder)])
    assert report.main() == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {folder}") and err.count("\n") == 1 and len(err) < 600
    assert re.search(expected, err), err
    assert listing(folder) == before


@pytest.mark.parametrize("name", ["run.json", "tables/claims.csv"])
def test_a_file_that_may_not_be_read_is_one_line(toy_results, monkeypatch, name):
    """Somebody else's results."""

    def forbidden(path, *arguments, **options):
        if path == toy_results / name:
            raise PermissionError(13, "Permission denied")
        return b"" if path.suffix != ".json" else json.dumps(run)

    run = json.loads((toy_results / "run.json").read_text())
    run["files"] = {"tables/claims.csv": "0"}
    monkeypatch.setattr(Path, "read_text", forbidden)
    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(InvalidInput, match=f"{name} cannot be read: Permission denied"):
        report.read(toy_results)


def test_what_lies_beside_the_tables_is_no_table(toy_results, tmp_path):
    """A user's table in the report, or a folder called old.csv that ends it."""
    folder = tmp_path / "results"
    shutil.copytree(toy_results, folder)
    (folder / "tables/old.csv").mkdir()
    (folder / "tables/mine.csv").write_text("a\n1\n")
    report.render(folder)
    assert listing(folder, "tables/mine.csv") == listing(toy_results)


def test_a_figure_is_the_same_bytes_every_time(toy_results):
    """Random identifiers or a date in the SVG."""
    from experiments.lab import figures

    _, tables = report.read(toy_results)
    plots = load("toy").definition.figures(tables)
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


@pytest.mark.parametrize("factor", ["1.5", "2"])
def test_a_claim_that_fails_is_seen(toy, factor):
    """A failed claim that looks like the others."""
    assert main(["toy", "--jobs", "1", "--out", "out", "--factor", factor]) == 1
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


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with the code in it, and what git says there; the user's own settings are left out."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    for name in ("experiments/report.py", "results/toy/report.md", "lib/experiments/report.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("1\n")
    git("init", "-q")
    git("add", "experiments", "results", "lib")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    return git


def test_the_commit_says_whether_the_code_was_changed(repository, tmp_path):
    """A clean commit named for results that an edited tree made."""
    head = repository("rev-parse", "HEAD")
    assert report.git_commit() == head
    (tmp_path / "results/toy/report.md").write_text("2\n")
    assert report.git_commit() == head
    (tmp_path / "experiments/report.py").write_text("2\n")
    assert report.git_commit() == head + "-dirty"


def test_the_commit_of_somebody_elses_repository_is_none(repository, tmp_path, monkeypatch):
    """Code in site-packages, or unpacked, inside of a user's own repository; a hook of another one, which sets GIT_DIR."""
    head = repository("rev-parse", "HEAD")
    (tmp_path / "other").mkdir()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "other", check=True)
    with monkeypatch.context() as patch:
        patch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
        assert report.git_commit() == head
        patch.setattr(report, "ROOT", tmp_path / "other")
        assert report.git_commit() is None
    repository("rm", "-q", "-r", "--cached", "experiments")
    assert report.git_commit() is None
    monkeypatch.setattr(report, "ROOT", tmp_path / "lib")
    assert report.git_commit() is None


def test_without_git_there_is_no_commit(monkeypatch):
    """A run on a machine without git would end in a traceback after all its work."""

    def absent(words, **options):
        raise FileNotFoundError(words[0])

    monkeypatch.setattr(report.subprocess, "run", absent)
    assert report.git_commit() is None


def test_each_part_shows_its_worst_comparison():
    """The best one, under the heading of the worst: a disagreement that nobody sees."""
    ratios = {"a": [0.1, 0.9, 0.3], "b": [7.0, 0.2]}
    rows = [{"part": part, "ratio": ratio, "layer": k} for part, each in ratios.items() for k, ratio in enumerate(each)]
    shown = [
        (row["part"], row["ratio"], row["layer"], row["comparisons"]) for row in report.by_part(pd.DataFrame(rows))
    ]
    assert shown == [("a", 0.9, 1, 3), ("b", 7.0, 0, 2)]


def test_run_json_lists_every_file_of_the_run(results):
    """A file that a later run takes for somebody else's, or one of which nobody would see that it is another's."""
    here = {
        name: hashlib.sha256(content).hexdigest() for name, content in listing(results, "cells/", "run.json").items()
    }
    assert json.loads((results / "run.json").read_text())["files"] == here
