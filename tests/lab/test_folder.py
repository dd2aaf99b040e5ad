"""A results folder is one whole, an old run's or a new one's, and what no run wrote there stays as it is."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from toybox import TESTS, listing

from experiments import report, statements
from experiments.lab import folder as disk
from experiments.lab import store
from experiments.run import main, run
from scratch.errors import InvalidInput

OUT = Path("out")
CHANGING = ("mkdir", "write_bytes", "rename", "replace", "unlink", "rmdir")  # whatever of Path changes a disk


class Killed(BaseException):
    """Nothing catches it, as nothing catches kill -9."""


def one_line(capsys) -> str:
    """What was said on stderr, and that it is one line, with nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1, (out, err)
    return err


def stop_at(
    patch: pytest.MonkeyPatch, k: int, fault: Callable[[], BaseException], only: tuple[str, ...] = CHANGING
) -> list[str]:
    """From the k-th change of the disk on every change fails; a file is first half written. Returns the names of the changes."""
    made: list[str] = []

    def stopping(name: str) -> Callable:
        real = getattr(Path, name)

        def change(path: Path, *arguments, **options):
            nothing = path.exists() if name == "mkdir" else not os.path.lexists(path) and name in ("unlink", "rmdir")
            if nothing:
                return real(path, *arguments, **options)
            made.append(name)
            if len(made) > k:
                if name == "write_bytes":
                    real(path, arguments[0][: len(arguments[0]) // 2])
                raise fault()
            return real(path, *arguments, **options)

        return change

    for name in only:
        patch.setattr(Path, name, stopping(name))
    return made


@pytest.fixture(scope="module")
def drawn():
    """The toy before and after its options changed (tables and figures come and go): results, what is drawn of them, all bytes."""
    found = []
    for numbers in ((1, 2), (1, 3, 5)):
        result = run("toy", numbers=numbers)
        texts = {name: table.to_csv(index=False) for name, table in result.tables.items()}
        found.append((result, report.rendered(report.described(result), report.parsed(texts))))
    return found


@pytest.fixture
def two_runs(drawn, tmp_path, monkeypatch):
    """Both results and the bytes of their folders; nothing is drawn again, which is slow and not what is tested."""
    pages = {report.command(result): files for result, files in drawn}
    monkeypatch.setattr(report, "rendered", lambda run, tables: pages[run["command"]])
    monkeypatch.setattr(report, "git_commit", lambda: None)
    monkeypatch.setattr(report, "version", lambda package: "1.0")  # slow as well
    held = []
    for number, (result, _) in enumerate(drawn):
        written(result, place := tmp_path / f"whole-{number}")
        held.append((result, listing(place)))
    return held


def written(result, place: Path) -> None:
    with disk.reserved(place, "toy"):
        report.write(result, place)


MINE = {
    "notes.txt": b"mine",
    "tables/mine.csv": b"a,b\n1,2\n",
    "figures/mine.svg": b"<svg/>",
    "cells/mine.json": b"{}",
    ".hidden": b"",
}


def with_mine(place: Path) -> None:
    for name, content in MINE.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(content)


def check_whole(place: Path, old: dict[str, bytes], new: dict[str, bytes], capsys, monkeypatch) -> str:
    """What a reader finds: "old" or "new", whole; or it refuses in one line and the report's command makes it one of them."""
    found = "refused"
    try:
        run, tables = report.read(place)
    except InvalidInput as error:
        assert "\n" not in str(error)
        with pytest.raises(InvalidInput):
            statements.verdicts(place.name, place.parent)
        monkeypatch.setattr(sys, "argv", ["report", str(place)])
        assert report.main() == 0
        capsys.readouterr()
    else:
        found = "old" if run["options"]["numbers"] == [1, 2] else "new"
        assert len(tables["values"]) == (32 if found == "old" else 48)
        assert report.read(place)[0]["finding"] == json.loads((old if found == "old" else new)["run.json"])["finding"]
    here = {name: content for name, content in listing(place).items() if not name.startswith(".results-")}
    assert here in (old | MINE, new | MINE)
    assert found == "refused" or here == (old if found == "old" else new) | MINE
    return found


def test_a_kill_at_any_moment_leaves_the_old_results_or_the_new(two_runs, tmp_path, capsys, monkeypatch):
    """A verdict of the old run over tables of the new one; a user's file that is gone; a folder that no run can use again."""
    (before, old), (after, new) = two_runs
    seen, first = [], tmp_path / "first"
    written(before, first)
    with_mine(first)
    for k in range(10_000):
        place = tmp_path / str(k) / "toy"
        shutil.copytree(first, place)
        with pytest.MonkeyPatch.context() as patch:
            made = stop_at(patch, k, Killed)
            with suppress(Killed):
                written(after, place)
        again = tmp_path / "again" / str(k)
        shutil.copytree(place, again)
        seen.append(check_whole(place, old, new, capsys, monkeypatch))
        written(after, again)  # the next run, straight away
        assert listing(again) == new | MINE
        if len(made) <= k:
            break
    order = [found for found, before_it in zip(seen, [None, *seen], strict=False) if found != before_it]
    assert order == ["old", "refused", "new"] and seen[-1] == "new"


def test_a_kill_at_any_moment_of_the_first_run(two_runs, tmp_path, monkeypatch, capsys):
    """What the first run left taken for somebody else's by the next one, which could then never write there."""
    _, (after, new) = two_runs
    refusals = []
    for k in range(10_000):
        place = tmp_path / str(k) / "toy"
        with pytest.MonkeyPatch.context() as patch:
            made = stop_at(patch, k, Killed)
            with suppress(Killed):
                written(after, place)
        try:
            report.read(place)
            assert listing(place) == new
        except InvalidInput as error:
            refusals.append(str(error))
        written(after, place)
        assert listing(place) == new and not list(place.glob(".*"))
        if len(made) <= k:
            break
    assert [any(text in said for said in refusals) for text in ("no results", "was stopped")] == [True, True]


def test_a_kill_while_a_killed_run_is_finished(two_runs, tmp_path):
    """A repair that only works if nothing stops it."""
    (before, _), (after, new) = two_runs
    place = tmp_path / "toy"
    written(before, place)
    with_mine(place)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        stop_at(patch, 0, Killed, ("replace",))
        written(after, place)
    stops = 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, 1, Killed, ("replace", "unlink", "rmdir"))
            try:
                with disk.locked(place):
                    break
            except Killed:
                stops += 1
                with pytest.raises(InvalidInput, match=r"experiments\.report"):
                    report.read(place)
    assert listing(place) == new | MINE and stops > 10


def test_a_full_disk_leaves_the_old_results(two_runs, tmp_path):
    """A traceback after an hour's work; half of the new files beside the old; temporary files that fill the disk for good."""
    (before, old), (after, _) = two_runs
    place = tmp_path / "toy"
    written(before, place)

    def full() -> OSError:
        return OSError(errno.ENOSPC, "No space left on device")

    for k in range(10_000):
        with pytest.MonkeyPatch.context() as patch:
            made = stop_at(patch, k, full, ("mkdir", "write_bytes", "rename"))
            try:
                written(after, place)
            except InvalidInput as error:
                assert "No space left on device" in str(error) and "\n" not in str(error)
        if len(made) <= k:
            break
        assert listing(place) == old and not list(place.glob(".*"))
    assert k > 15


def test_files_of_ones_own_are_kept(toy):
    """--out into a folder of an earlier run beside which somebody put something."""
    assert main(["toy", "--jobs", "1", "--out", "out", "--numbers", "1", "2"]) == 0
    with_mine(OUT)
    assert (OUT / "tables/even.csv").exists() and (OUT / "figures/even.svg").exists()
    assert main(["toy", "--jobs", "1", "--out", "out", "--numbers", "1", "3"]) == 0
    assert main(["toy", "--jobs", "1", "--out", "new", "--numbers", "1", "3"]) == 0
    assert listing(OUT, "cells/values-") == listing(Path("new"), "cells/") | MINE
    assert "mine" not in (OUT / "report.md").read_text()


def test_what_is_in_the_way_is_refused_and_kept(toy, capsys):
    """A table of the user's that has the name of one that the new options make."""
    main(["toy", "--jobs", "1", "--out", "out", "--numbers", "1"])
    (OUT / "tables/even.csv").write_text("mine")
    before = listing(OUT, "cells/")
    capsys.readouterr()
    assert main(["toy", "--jobs", "1", "--out", "out", "--numbers", "1", "2"]) == 2
    assert "even.csv" in (said := one_line(capsys)) and "--out" in said
    assert listing(OUT, "cells/") == before and report.read(OUT)
    (OUT / "tables/even.csv").unlink()
    toy.calls()
    assert main(["toy", "--jobs", "1", "--out", "out", "--numbers", "1", "2"]) == 0
    assert toy.calls() == []  # what had been computed was stored


@pytest.mark.parametrize("name", ["report.md", "tables/values.csv", "timings.json"])
def test_a_folder_that_has_the_name_of_a_file_is_refused(toy, toy_results, capsys, name):
    """A name in the run's list that is now a folder of the user's: found when half of the new results are in their place."""
    shutil.copytree(toy_results, OUT)
    (OUT / name).unlink()
    (OUT / name).mkdir()
    (OUT / name / "thesis.tex").write_text("mine")
    before = listing(OUT)
    assert main(["toy", "--jobs", "1", "--out", "out", "--numbers", "1", "3"]) == 2
    assert str(OUT / name) in one_line(capsys) and listing(OUT) == before and not list(OUT.glob(".*"))


def test_a_folder_that_has_the_name_of_an_old_file_stays(toy, toy_results):
    """Removed with the files that the new options do not make."""
    shutil.copytree(toy_results, OUT)
    (OUT / "tables/even.csv").unlink()
    (OUT / "tables/even.csv").mkdir()
    assert main(["toy", "--jobs", "1", "--out", "out", "--numbers", "1", "3"]) == 0
    assert (OUT / "tables/even.csv").is_dir() and "tables/even.csv" not in report.read(OUT)[0]["files"]


def test_a_link_is_replaced_and_not_what_it_leads_to(toy, toy_results):
    """A report written over the file to which somebody's link leads."""
    shutil.copytree(toy_results, OUT)
    Path("precious.md").write_text("mine")
    (OUT / "report.md").unlink()
    (OUT / "report.md").symlink_to(Path("precious.md").absolute())
    assert main(["toy", "--jobs", "1", "--out", "out"]) == 0
    assert Path("precious.md").read_text() == "mine" and listing(OUT) == listing(toy_results)


def of_another(place: Path) -> None:
    run = json.loads((place / "run.json").read_text()) | {"experiment": "losses"}
    (place / "run.json").write_text(json.dumps(run))


def listing_what_lies_outside(place: Path) -> None:
    run = json.loads((place / "run.json").read_text())
    (place.parent / "precious.csv").write_text("mine")
    run["files"]["tables/../../precious.csv"] = run["files"]["../precious.csv"] = "0" * 64
    (place / "run.json").write_text(json.dumps(run))


def linked(place: Path) -> None:
    (place / "tables").rename(place.parent / "elsewhere")
    (place / "tables").symlink_to(place.parent / "elsewhere", target_is_directory=True)


def folder_for_file(place: Path) -> None:
    (place / "run.json").unlink()
    (place / "run.json").mkdir()


def only(name: str) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        shutil.rmtree(place)
        (place / name).parent.mkdir(parents=True)
        (place / name).write_text("mine")

    return make


def saying(text: str) -> Callable[[Path], None]:
    return lambda place: (place / "run.json").write_text(text) and None


FOREIGN = {
    "a report": only("report.md"),
    "a table": only("tables/x.csv"),
    "a figure": only("figures/x.svg"),
    "a text": only("notes.txt"),
    "a hidden file": only(".profile"),
    "a repository": only(".git/HEAD"),
    "times": only("timings.json"),
    "a file called cells": only("cells"),
    "no run.json": lambda place: (place / "run.json").unlink(),
    "a folder called run.json": folder_for_file,
    "another experiment's results": of_another,
    "a list of files outside": listing_what_lies_outside,
    "tables elsewhere": linked,
    "run.json of an older version": saying('{"experiment": "toy"}'),
    "run.json of something else": saying("{}"),
    "run.json, a list": saying("[]"),
    "run.json, deep": saying("[" * 200_000),
    "run.json, NUL bytes": saying("\0\0\0"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_folder_of_anything_else_is_refused_before_any_work(toy, toy_results, capsys, kind):
    """Files that a run did not write, removed or written over."""
    shutil.copytree(toy_results, OUT)
    FOREIGN[kind](OUT)
    before = listing(Path())
    assert main(["toy", "--out", "out", "--jobs", "1", "--fresh"]) == 2
    said = one_line(capsys)
    assert str(OUT) in said and ("--out" in said or "run.json" in said)
    assert toy.calls() == [] and listing(Path()) == before


def test_the_working_folder_is_refused(toy, capsys):
    """--out . among one's own files."""
    Path("README.md").write_text("mine")
    assert main(["toy", "--out", ".", "--jobs", "1"]) == 2
    assert "README.md" in one_line(capsys)
    assert os.listdir() == ["README.md"] and toy.calls() == []


def test_an_empty_name_is_the_folder_one_is_in(toy):
    """``out=""`` that writes elsewhere than it looked."""
    Path("README.md").write_text("mine")
    with pytest.raises(InvalidInput, match="README"):
        run("toy", out="")


@pytest.mark.parametrize("name", ["file", "file/below", "a\0b"])
def test_a_name_that_can_be_no_folder(toy, name):
    """A traceback of mkdir."""
    Path("file").write_text("mine")
    with pytest.raises(InvalidInput, match="cannot be written"):
        run("toy", out=name)
    assert toy.calls() == []


def test_a_folder_that_cannot_be_written(toy, monkeypatch, capsys):
    """An hour's work for a folder on a read-only disk."""

    def read_only(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(disk.tempfile, "TemporaryFile", read_only)
    assert main(["toy", "--out", "out", "--jobs", "1"]) == 2
    assert "Read-only file system" in (said := one_line(capsys)) and "--out" in said
    assert toy.calls() == []


HOLD = "import sys, time\nfrom experiments.lab.folder import reserved\nfrom pathlib import Path\n"
HOLD += "with reserved(Path('out'), 'toy'): print('held', flush=True); time.sleep(60)"


@pytest.mark.skipif(disk.fcntl is None, reason="the system locks no folders")
def test_two_runs_at_once(toy, capsys, monkeypatch):
    """Two runs that write over each other; a lock that outlives a killed run."""
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent)}
    process = subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    assert main(["toy", "--out", "out", "--jobs", "1"]) == 2
    assert "another run" in one_line(capsys) and toy.calls() == []
    monkeypatch.setattr(sys, "argv", ["report", "out"])
    assert report.main() == 2 and "another run" in one_line(capsys)
    process.kill()
    process.communicate()
    assert main(["toy", "--out", "out", "--jobs", "1"]) == 0
    with disk.locked(OUT), pytest.raises(InvalidInput, match="another run"):
        report.render(OUT)


def test_what_a_killed_run_left_is_cleaned(toy, toy_results):
    """Temporary files for ever; or a user's file that looks a little like one, gone."""
    shutil.copytree(toy_results, OUT)
    inner = OUT / disk.WRITING
    (inner / "tables").mkdir(parents=True)
    (inner / "tables/values.csv").write_text("half")
    (inner / "run.json").write_text("{")
    cell = next((OUT / "cells").iterdir()).name
    (OUT / "cells" / f".{cell}.4711.unfinished").write_text("{")
    for kept in (".notes.4711", "notes.unfinished", ".vimrc"):
        (OUT / "cells" / kept).write_text("mine")
    assert main(["toy", "--out", "out", "--jobs", "1"]) == 0
    mine = dict.fromkeys(("cells/.notes.4711", "cells/notes.unfinished", "cells/.vimrc"), b"mine")
    assert listing(OUT) == listing(toy_results) | mine and toy.calls() == []
    assert not inner.exists()


def test_what_is_not_a_runs_in_an_inner_folder_stays(toy, toy_results, capsys):
    """A folder of the user's that happens to have our name."""
    shutil.copytree(toy_results, OUT)
    (OUT / disk.WRITING).mkdir()
    (OUT / disk.WRITING / "thesis.tex").write_text("mine")
    assert main(["toy", "--out", "out", "--jobs", "1"]) == 2
    one_line(capsys)
    assert (OUT / disk.WRITING / "thesis.tex").read_text() == "mine"


def test_names_in_capitals_may_be_the_same_file():
    """Where MEANS.csv is means.csv, removing the old name would remove the new file."""
    assert disk.without(["tables/MEANS.csv", "tables/old.csv"], ["tables/means.csv"]) == ["tables/old.csv"]


COMMITTED = sorted(path.parent for path in (store.ROOT / "results").glob("*/run.json"))


@pytest.mark.parametrize("place", COMMITTED, ids=lambda place: place.name)
def test_committed_results_are_one_whole(place):
    """A table that was committed without its run.json, or the other way round; two names that some systems take for one."""
    run, _ = report.read(place)
    files = run["files"]
    assert len({name.casefold() for name in files}) == len(files)
    tracked = {name: place / name for name in files if Path(name).stem not in run["large_tables"]}
    assert all(disk.sha256(path.read_bytes()) == files[name] for name, path in tracked.items())


def test_a_page_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    """docs/ on a full or read-only disk: half a page, or a traceback."""
    from experiments.documentation import __main__ as documentation

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "layers.md").write_text("old")
    monkeypatch.setattr(documentation, "DOCS", tmp_path)
    monkeypatch.setattr(statements, "PAGE", tmp_path / "statements.md")
    monkeypatch.setattr(documentation, "documents", lambda: {"layers.md": "new"})
    left = documentation.DOCS / ".layers.md.4711.unfinished"  # by a kill
    left.touch()
    before = listing(documentation.DOCS)
    for attribute in ("write_text", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, attribute, full)
            for command in (documentation.main, statements.main):
                assert command() == 2
                assert "No space left on device" in one_line(capsys)
    assert before.pop(f"{left.name}") == b"" and listing(documentation.DOCS) == before
