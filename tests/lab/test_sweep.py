"""What is stored is not computed again, whatever stopped the run, and it makes no difference to a single byte."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toybox import TESTS, Toy, listing

from experiments.lab import paged, store
from experiments.lab.cell import Cell
from experiments.lab.experiment import load
from experiments.lab.store import Store
from experiments.run import main
from scratch.errors import InvalidInput

RESULTS = Path("results/toy")
KEPT_APART = ("cells/",)


def stored() -> list[int]:
    return sorted(json.loads(path.read_text())["settings"]["number"] for path in (RESULTS / "cells").glob("*.json"))


def same_as(toy_results: Path) -> bool:
    """Whether tables, figures and reports are those of the undisturbed run; the cells' own bytes too."""
    assert listing(RESULTS) == listing(toy_results)
    return True


def start(*arguments: str) -> subprocess.Popen[str]:
    """The toy on the command line, as the leader of a process group of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS / "support")))}
    command = [sys.executable, str(TESTS / "support" / "toybox.py"), "toy", *arguments]
    pipe = subprocess.PIPE

    def hear_interrupts() -> (
        None
    ):  # a shell's background job begins deaf to Ctrl-C, nohup's to SIGHUP, and hands that on
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    return subprocess.Popen(
        command,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )


def wait_until_asleep(toy: Toy) -> None:
    for _ in range(600):
        if (toy.folder / "asleep").exists():
            return
        time.sleep(0.1)
    raise AssertionError("the cell never began")


def alive(group: int) -> list[str]:
    """What still runs in a process group, after it had a few seconds to end (where /proc tells)."""
    for _ in range(50):
        found = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
        states = [text.rpartition(") ")[2].split() for text in found]  # state, parent, group
        running = [
            text
            for text, (state, _, its, *_) in zip(found, states, strict=True)
            if its == str(group) and state not in "ZX"
        ]
        if not running:
            break
        time.sleep(0.1)
    return running


def test_an_interrupted_run_goes_on_where_it_stopped(toy, toy_results, capsys):
    """Cells that are saved only at the end; a table whose order is that of computing."""
    toy.plan("interrupt", 3)
    assert main(["toy", "--jobs", "1"]) == 130
    out, err = capsys.readouterr()
    assert err.startswith("interrupted") and err.count("\n") == 1 and out == ""
    assert toy.calls() == [1, 2, 3] and stored() == [1, 2]
    assert not (RESULTS / "report.md").exists()
    assert main(["toy", "--jobs", "1"]) == 0
    assert toy.calls() == [3, 4]
    assert same_as(toy_results)


def test_kill_9_in_the_middle(toy, toy_results):
    """A store that is whole only if the process ends well; half a file, or a temporary one, left behind."""
    toy.plan("sleep", 3)
    process = start("--jobs", "1")
    wait_until_asleep(toy)
    process.kill()
    process.communicate()
    assert toy.calls() == [1, 2, 3] and stored() == [1, 2]
    assert main(["toy", "--jobs", "1"]) == 0
    assert toy.calls() == [3, 4]
    assert same_as(toy_results)


@pytest.mark.experiments
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_control_c(toy, toy_results, jobs):
    """A traceback, from the run or from its workers; workers that live on; finished cells that are lost."""
    toy.plan("sleep", 3)
    process = start("--jobs", jobs)
    wait_until_asleep(toy)
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - begin < 15
    assert process.returncode == 130 and out == ""
    assert err.startswith("interrupted") and err.count("\n") == 1, err
    toy.calls()
    held = stored()
    assert 3 not in held and (jobs == "2" or held == [1, 2])
    assert not alive(process.pid)
    assert main(["toy", "--jobs", "1"]) == 0
    assert toy.calls() == [number for number in (1, 2, 3, 4) if number not in held]
    assert same_as(toy_results)


@pytest.mark.experiments
def test_a_killed_worker_does_not_end_the_run(toy, toy_results, capsys):
    """The out-of-memory killer takes one worker: the run must go on, with the same numbers."""
    shutil.copytree(toy_results, RESULTS)
    for path in (RESULTS / "cells").iterdir():
        if json.loads(path.read_text())["settings"]["number"] in (2, 3):
            path.unlink()
    toy.plan("kill", 2)
    assert main(["toy", "--jobs", "2"]) == 0
    assert "worker was killed" in capsys.readouterr().err
    assert same_as(toy_results)


@pytest.mark.experiments
def test_a_cell_that_always_kills_its_worker_is_a_row(toy, capsys):
    """A cell that needs more memory than there is: without a limit it would be tried for ever."""
    assert main(["toy", "--numbers", "1", "--jobs", "1"]) == 0
    toy.plan("always-kill", 2)
    assert main(["toy", "--numbers", "1", "2", "--jobs", "2"]) == 1
    capsys.readouterr()
    failures = pd.read_csv(RESULTS / "tables/failures.csv")
    assert list(failures.cell) == ["values number=2 seeds=8"] and "killed" in failures.reason[0]
    assert set(pd.read_csv(RESULTS / "tables/values.csv").number) == {1}


def test_a_failing_cell_is_a_row_and_is_tried_again(toy, toy_results, capsys):
    """One cell's fault that ends the run or is stored as its result."""
    fault = toy.plan("fail", 2)
    assert main(["toy", "--jobs", "1"]) == 1
    assert toy.calls() == [1, 2, 3, 4] and stored() == [1, 3, 4]
    failures = pd.read_csv(RESULTS / "tables/failures.csv")
    assert failures.cell.tolist() == ["values number=2 seeds=8"]
    assert failures.reason[0].startswith("ValueError: no | good")
    fault.unlink()
    assert main(["toy", "--jobs", "1"]) == 0
    assert toy.calls() == [2]
    assert same_as(toy_results)


SPOILT = {
    "truncated": lambda text: text[: len(text) // 2],
    "another number": lambda text: text.replace('"value": [', '"value": [7.5, ', 1),
    "not JSON": lambda text: "results",
    "other JSON": lambda text: "[1, 2]",
    "null": lambda text: "null",
    "empty": lambda text: "",
    "no tables": lambda text: "{}",
    "bytes": lambda text: b"\xff\xfe" * 100,
    "a changed number": lambda text: re.sub(r'"value": \[[^,]+', '"value": [7.5', text, count=1),
    "a changed name": lambda text: text.replace('"toy"', '"troy"', 1),
    "changed settings": lambda text: text.replace('"seeds": 8}', '"seeds": 9}', 1),
    "tables of another kind": lambda text: json.dumps(json.loads(text) | {"tables": [1]}),
    "deep": lambda text: "[" * 200_000,
    "deep inside": lambda text: text[:-2] + ', "x": ' + '{"a":' * 100_000,
    "NUL bytes": lambda text: bytes(1000),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_corrupt_cell_is_named_and_computed_again(toy, toy_results, capsys, kind):
    """A disk that was full: a run that stops at the spoilt file, or believes it."""
    shutil.copytree(toy_results, RESULTS)
    path = sorted((RESULTS / "cells").glob("*.json"))[1]
    number = json.loads(path.read_text())["settings"]["number"]
    spoilt = SPOILT[kind](path.read_text())
    assert spoilt != path.read_text()
    path.write_bytes(spoilt if isinstance(spoilt, bytes) else spoilt.encode())
    assert main(["toy", "--jobs", "1"]) == 0
    err = capsys.readouterr().err
    assert str(path) in err and err.count("\n") == 1
    assert toy.calls() == [number]
    assert same_as(toy_results)


def test_a_cell_under_another_cells_name_is_not_believed(toy, toy_results, capsys):
    """Files that were mixed up: each is whole, and none is what its name says."""
    shutil.copytree(toy_results, RESULTS)
    first, second = sorted((RESULTS / "cells").glob("*.json"))[:2]
    number = json.loads(first.read_text())["settings"]["number"]
    shutil.copyfile(second, first)
    assert main(["toy", "--jobs", "1"]) == 0
    err = capsys.readouterr().err
    assert str(first) in err and err.count("\n") == 1 and toy.calls() == [number]
    assert same_as(toy_results)


def test_a_cell_of_other_code_under_a_new_name_is_not_believed(toy, toy_results, monkeypatch):
    """Yesterday's file renamed to what today's code asks for."""
    shutil.copytree(toy_results, RESULTS)
    (cell, *_), held = (
        load("toy").definition.cells(load("toy").options()),
        Store(RESULTS / "cells", load("toy").definition.version),
    )
    before = held.path(cell)
    monkeypatch.setattr(paged, "fingerprint", lambda function: "tomorrow's")
    before.rename(held.path(cell))
    assert held.load(cell) is None


def test_a_folder_or_a_pipe_for_a_cell_is_one_line(toy, toy_results, capsys):
    """A pipe would be waited for; a folder is not written over."""
    shutil.copytree(toy_results, RESULTS)
    path = next((RESULTS / "cells").glob("*.json"))
    path.unlink()
    os.mkfifo(path)
    assert main(["toy", "--jobs", "1"]) == 0 and len(toy.calls()) == 1
    assert "no file" in capsys.readouterr().err and same_as(toy_results)
    path.unlink()
    path.mkdir()
    assert main(["toy", "--jobs", "1"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {path} cannot be written")


def test_a_cell_that_memory_cannot_hold(toy_results, capsys, monkeypatch):
    """A file of gigabytes under a cell's name."""

    def none_left(text):
        raise MemoryError

    monkeypatch.setattr(store.json, "loads", none_left)
    (cell, *_), held = (
        load("toy").definition.cells(load("toy").options()),
        Store(toy_results / "cells", load("toy").definition.version),
    )
    assert held.load(cell) is None
    assert "(MemoryError)" in (err := capsys.readouterr().err) and err.count("\n") == 1


def test_fresh_computes_everything_again(toy, toy_results):
    """A --fresh that reads what is stored, or does not store."""
    shutil.copytree(toy_results, RESULTS)
    assert main(["toy", "--jobs", "1"]) == 0 and toy.calls() == []
    assert main(["toy", "--jobs", "1", "--fresh"]) == 0 and toy.calls() == [1, 2, 3, 4]
    assert main(["toy", "--jobs", "1"]) == 0 and toy.calls() == []
    assert same_as(toy_results)


@pytest.mark.parametrize(
    "changed, computed", [("--numbers 3 4 5", [5]), ("--factor 0.5", []), ("--seeds 9 --numbers 1 2", [1, 2])]
)
def test_a_changed_option_computes_only_what_it_touches(toy, toy_results, changed, computed):
    """Cells stored under the hash of all options, or of too few."""
    shutil.copytree(toy_results, RESULTS)
    main(["toy", "--jobs", "1", *changed.split()])
    assert toy.calls() == computed


def test_other_options_leave_nothing_of_the_earlier_run(toy, tmp_path):
    """Tables or figures of the earlier options that the report takes for the new run's."""
    main(["toy", "--jobs", "1", "--numbers", "1", "2"])
    main(["toy", "--jobs", "1", "--numbers", "1", "3"])
    main(["toy", "--jobs", "1", "--numbers", "1", "3", "--out", str(tmp_path / "new")])
    assert listing(RESULTS, *KEPT_APART) == listing(tmp_path / "new", *KEPT_APART)


def test_changed_code_computes_again(toy, toy_results, monkeypatch):
    """Numbers of yesterday's code in today's report."""
    shutil.copytree(toy_results, RESULTS)
    monkeypatch.setattr(paged, "fingerprint", lambda function: "tomorrow's")
    assert main(["toy", "--jobs", "1"]) == 0
    assert toy.calls() == [1, 2, 3, 4]


def test_changed_data_computes_again(tmp_path):
    """Cells stored under a file's name: other data under the same name would be given the old results."""
    experiment, keys = load("vanishing_gradient"), []
    for shift in (0, 1):
        x = np.random.default_rng(shift).standard_normal((2, 12))
        np.savez(tmp_path / "data.npz", x=x, y=np.arange(12) % 3)
        cells = experiment.definition.cells(experiment.options(quick=True, data=str(tmp_path / "data.npz")))
        keys.append(
            {Store(tmp_path, experiment.definition.version).path(cell) for cell in cells if "data" in cell.settings}
        )
    assert not keys[0] & keys[1]


def test_saving_replaces_and_leaves_no_temporary_file(tmp_path, monkeypatch):
    """Writing in place: a kill or a full disk in the middle would leave half a cell where a whole one was."""
    held, cell = Store(tmp_path, lambda cell: "today's"), Cell("toy", {"number": 1})
    first, second = ({"values": pd.DataFrame({"value": [number, np.nan, 1 / 3]})} for number in (1.0, 2.0))
    held.save(cell, first)
    assert [path.name for path in tmp_path.iterdir()] == [held.path(cell).name]
    pd.testing.assert_frame_equal(held.load(cell)["values"], first["values"], check_exact=True)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(InvalidInput, match="No space left"):
            held.save(cell, second)
    pd.testing.assert_frame_equal(held.load(cell)["values"], first["values"], check_exact=True)
    assert [path.name for path in tmp_path.iterdir()] == [held.path(cell).name]
    held.save(cell, second)
    pd.testing.assert_frame_equal(held.load(cell)["values"], second["values"], check_exact=True)


def test_a_fresh_cell_is_what_a_stored_one_is(tmp_path):
    """A float32 that a fresh run prints as 0.1, and one that goes on from stored cells as 0.10000000149011612."""
    held, cell = Store(tmp_path, lambda cell: "today's"), Cell("toy", {"number": 1})
    frame = pd.DataFrame(
        {"value": np.array([0.1, np.nan], np.float32), "count": np.array([1, 2], np.int32), "name": ["a", "b"]}
    )
    fresh, stored = held.save(cell, {"values": frame, "none": frame[:0]}), held.load(cell)
    assert fresh.keys() == stored.keys() == {"values", "none"}
    for name in fresh:
        pd.testing.assert_frame_equal(fresh[name], stored[name], check_exact=True)
        assert fresh[name].to_csv() == stored[name].to_csv()


def test_cells_that_differ_are_stored_apart(tmp_path):
    """A setting or the part left out of the key."""
    cells = [Cell("toy", {"n": 1}), Cell("toy", {"n": 2}), Cell("toy", {"n": 1, "m": 0}), Cell("b", {"n": 1})]
    assert len({Store(tmp_path, lambda cell: "today's").path(cell) for cell in cells}) == len(cells)
