"""Signals, streams, terminals and workers: no traceback, a status that says what happened, and nobody left behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pandas as pd
import pytest
from test_sweep import RESULTS, alive, same_as, start, stored, wait_until_asleep
from toybox import TESTS

from experiments.lab import executors
from experiments.lab.cell import Cell
from experiments.run import main, run
from scratch.command import SIGNALS, answer
from scratch.errors import InvalidInput

TOY = f"{shlex.quote(sys.executable)} {shlex.quote(str(TESTS / 'support' / 'toybox.py'))} toy"
RUN = f"{shlex.quote(sys.executable)} -m experiments.run"
PATHS = os.pathsep.join((str(TESTS.parent), str(TESTS / "support")))
linux = pytest.mark.skipif(sys.platform != "linux", reason="tested by way of /proc and /dev")


def shell(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command as a shell runs it, in a group of its own; the status of a pipe is that of its first failing part."""
    words = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | {"PYTHONPATH": PATHS} | variables,
        timeout=120,
        start_new_session=True,
    )


# what stops a command


def broken() -> int:
    raise ZeroDivisionError("division by zero")


def full() -> int:
    raise OSError(28, "No space left on device", "docs/index.md")


def out_of_memory() -> int:
    raise MemoryError


def refused() -> int:
    raise InvalidInput("--depth: expected a whole number")


def interrupted() -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "work, status, last",
    [
        (lambda: None, 0, ""),
        (lambda: 1, 1, ""),
        (refused, 2, "error: --depth: expected a whole number"),
        (broken, 70, "error: this is a fault of the program"),
        (out_of_memory, 70, "error: out of memory"),
        (full, 74, "error: [Errno 28] No space left on device"),
        (interrupted, 130, "interrupted: go on"),
    ],
)
def test_what_stops_a_command_has_a_status_of_its_own(work, status, last, capsys):
    """Python's own 1 for every exception: a script takes a full disk for a claim that fails."""
    assert answer(work, "go on") == status
    err = capsys.readouterr().err
    assert (err.splitlines() or [""])[-1].startswith(last)
    assert ("Traceback" in err) == (work is broken) and (work is broken or err.count("\n") == bool(last))


# streams and terminals; a run of the toy takes seconds because of torch, a refusal or a plan does not


HOSTILE_STREAMS = {  # after a command whose status would be ``{}``: that of the whole, and a word on stderr
    "| true": ("{}", ""),
    "2>&1 | true": ("{}", ""),
    "> /dev/full": ("74", "standard output cannot be written: No space left"),
    "2> /dev/full": ("{}", ""),
    ">&-": ("{}", ""),
    "2>&-": ("{}", ""),
    "<&- >&- 2>&-": ("{}", ""),
}


@linux
@pytest.mark.parametrize("streams", HOSTILE_STREAMS)
def test_streams_that_cannot_be_written(streams):
    """BrokenPipeError, "Exception ignored in", status 120 or 1, or an error line among the output because stderr is closed."""
    expected, word = HOSTILE_STREAMS[streams]
    done = shell(f"{sys.executable} -m scratch.tape {streams}")
    assert done.returncode == int(expected.format(0)), done.stderr
    assert word in done.stderr and done.stderr.count("\n") == bool(word), done.stderr


@linux
def test_an_error_is_not_printed_where_results_belong(toy):
    """With stderr closed Python prints to stdout what was meant for it."""
    done = shell(f"{TOY} --factor nan 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@linux
@pytest.mark.experiments
@pytest.mark.parametrize("streams", HOSTILE_STREAMS)
@pytest.mark.parametrize("factor, status", [("1", 0), ("1.5", 1)], ids=["holds", "fails"])
def test_a_run_whose_words_nobody_hears_is_stored_and_judged(toy, streams, factor, status):
    """A verdict that is lost with the pipe it should have gone to, or that turns into a failing claim."""
    expected, word = HOSTILE_STREAMS[streams]
    done = shell(f"{TOY} --numbers 1 2 --jobs 2 --factor {factor} {streams}")
    assert done.returncode == int(expected.format(status)), done.stderr
    assert word in done.stderr and "Traceback" not in done.stderr and "ignored" not in done.stderr
    assert Path("results/toy/report.html").exists() and toy.calls() == [1, 2]


TERMINALS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "latin-1": {"PYTHONIOENCODING": "latin-1:strict"},
    **{f"{columns} columns": {"COLUMNS": columns} for columns in ("20", "1", "0", "-3", "many")},
}
WORDS = {
    f"{RUN} deep_linear --help": (0, "--random-time"),
    f"{RUN} deep_linear --rates 1": (2, "--rates"),  # its message has η and ≤
    f"{sys.executable} -m scratch.tape": (0, "made of"),
    f"{sys.executable} -m experiments.report --help": (0, "folder"),
}


SLOWER = [pytest.param(name, marks=pytest.mark.experiments) for name in list(TERMINALS)[1:]]


@pytest.mark.parametrize("terminal", ["ascii", *SLOWER])
def test_terminals_that_lack_letters_or_columns(terminal, tmp_path, monkeypatch):
    """UnicodeEncodeError at the first σ; a help that is laid out for ever in a column that holds no letter."""
    monkeypatch.chdir(tmp_path)
    for command, (status, word) in WORDS.items():
        done = shell(command, **TERMINALS[terminal])
        assert done.returncode == status and word in done.stdout + done.stderr, done.stderr
        assert "Traceback" not in done.stderr and (status == 0 or done.stderr.count("\n") == 1)


def test_other_commands_refuse_in_one_line_too():
    """argparse's usage, or PyTorch's RuntimeError."""
    for arguments, word in {
        "report": "folders",
        "benchmark --threads 0": "--threads",
        "benchmark --rounds nan": "nan",
    }.items():
        done = shell(f"{sys.executable} -m experiments.{arguments}")
        assert done.returncode == 2 and word in done.stderr and done.stderr.count("\n") == 1, done.stderr


# signals


INTERRUPTER = """
import os, signal, sys
from importlib.abc import MetaPathFinder
class Interrupter(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupter())
"""
IMPORTED = {
    "run chain_rule --quick": ("numpy", "numpy._core.multiarray", "tyro", "torch", "torch._C", "pandas"),
    "statements": ("scratch.command", "experiments.lab.store"),
    "documentation": ("torch",),
}
IN_C = ("numpy", "numpy._core.multiarray")  # the others run where CI runs all


@pytest.mark.parametrize(
    "command, name",
    [
        pytest.param(command, name, marks=() if name in IN_C else pytest.mark.experiments)
        for command, found in IMPORTED.items()
        for name in found
    ],
)
def test_control_c_during_imports(command, name, tmp_path, monkeypatch):
    """A traceback out of the middle of NumPy, or its ImportError, which an interrupt in its C code turns into."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(INTERRUPTER.format(name=name))
    monkeypatch.chdir(tmp_path)
    path = os.pathsep.join((str(tmp_path / "site"), PATHS))
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{command.split()[0]}", *command.split()[1:], *["--jobs", "1"] * ("run" in command)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("interrupted") and done.stderr.count("\n") == 1, done.stderr


@linux
@pytest.mark.experiments
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_the_parent_alone(toy, toy_results, name, jobs):
    """A service that is stopped, a terminal that is closed: workers that live on, cells that are lost, a status of 1."""
    toy.plan("sleep", 3)
    process = start("--jobs", jobs)
    wait_until_asleep(toy)
    number = getattr(signal, name)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number and out == ""
    assert err.startswith(SIGNALS[name]) and err.count("\n") == 1, err
    assert 3 not in stored() and not alive(process.pid)
    assert main(["toy", "--jobs", "1"]) == 0
    assert same_as(toy_results)


@linux
@pytest.mark.experiments
def test_workers_end_with_a_parent_that_is_killed(toy):
    """kill -9, or the system's own when memory is short: workers that go on computing for nobody."""
    toy.plan("sleep", 3)
    process = start("--jobs", "2")
    wait_until_asleep(toy)
    process.kill()
    process.communicate(timeout=60)
    assert not alive(process.pid)


ORPHAN = """
import os, sys, time
from experiments.lab import executors
sys.platform = "elsewhere"  # where no one tells a child that its parent has gone
executors.WATCH = 0.1
if child := os.fork():
    time.sleep(1)
    os.kill(os.getpid(), 9)
executors._begin_worker(os.getppid(), [])
print("begun", flush=True)
time.sleep(60)
"""


@linux
def test_a_worker_watches_its_parent_where_the_system_does_not(python):
    """A worker that ends with its parent on Linux alone. Its end closes the pipe: reading to the end waits for it."""
    begin = time.monotonic()
    done = python("-c", ORPHAN)
    assert done.returncode == -signal.SIGKILL and done.stdout == "begun\n"
    assert time.monotonic() - begin < 50


# workers


@pytest.fixture
def pools(monkeypatch) -> list[tuple[int, list[int]]]:
    """Workers asked for and cells of every pool, as they are made."""
    found, pool = [], executors._pool

    def noted(experiment, left, jobs, running):
        found.append((jobs, [cell.settings["number"] for cell in left.values()]))
        return pool(experiment, left, jobs, running)

    monkeypatch.setattr(executors, "_pool", noted)
    return found


def test_after_a_killed_worker_the_others_go_on_in_parallel(monkeypatch):
    """One worker's death that leaves an hour's work to a single process, or that blames cells which never ran."""
    found = []

    def pool(experiment, left, jobs, running):
        """Of eight cells the last is done, and then the worker of one of the next two dies; all goes well after that."""
        found.append((jobs, sorted(left)))
        for number in sorted(left, reverse=True)[: 1 if len(left) == 8 else 8]:
            del left[number]
            yield number, {}, 0.0
        if len(found) == 1:
            running |= {6, 7}
            raise BrokenProcessPool

    monkeypatch.setattr(executors, "_pool", pool)
    cells = {number: Cell("toy", {"number": number}) for number in range(1, 9)}
    assert sorted(number for number, *_ in executors.workers("toy", cells, 2)) == [*range(1, 9)]
    assert found == [(2, [*range(1, 9)]), (2, [1, 2, 3, 4, 5]), (1, [6, 7])]


@pytest.mark.experiments
def test_only_what_ran_is_suspected(toy, pools, capsys):
    """A real worker's death: every cell of the pool that fails with it, or that runs again."""
    toy.plan("kill", 7)
    assert main(["toy", "--jobs", "2", "--numbers", *map(str, range(1, 9))]) == 0
    jobs, suspects = pools[-1]
    assert jobs == 1 and 7 in suspects and len(suspects) <= 2
    calls = toy.calls()
    assert set(calls) == {*range(1, 9)} and len(calls) <= 10
    assert capsys.readouterr().err.count("worker was killed") == 1
    assert pd.read_csv(RESULTS / "tables/failures.csv").empty


@pytest.mark.experiments
def test_a_cell_that_always_kills_costs_no_other_cell(toy, pools, capsys):
    """A suspect that is innocent and fails with the guilty one."""
    toy.plan("always-kill", 3)
    assert main(["toy", "--jobs", "2", "--numbers", "1", "2", "3", "4"]) == 1
    failures = pd.read_csv(RESULTS / "tables/failures.csv")
    assert list(failures.cell) == ["values number=3 seeds=8"] and f"{executors.ATTEMPTS} times" in failures.reason[0]
    assert all(jobs == 1 for jobs, cells in pools[2:]) and toy.calls().count(3) == 1 + executors.ATTEMPTS


@pytest.mark.experiments
def test_no_more_workers_than_cells(toy, pools):
    """Sixty-one processes that import PyTorch to do nothing."""
    assert main(["toy", "--jobs", "64", "--numbers", "1", "2", "3"]) == 0
    assert pools == [(3, [1, 2, 3])]


@pytest.mark.parametrize("jobs", [-1, 1025, 1.5, None, float("nan")])
def test_jobs_from_python_are_checked(toy, jobs):
    """loky's own ValueError, or cells that nobody computes."""
    with pytest.raises(InvalidInput, match="--jobs"):
        run("toy", numbers=(1,), jobs=jobs)
    assert toy.calls() == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(30, "Read-only file system")])
def test_without_semaphores_one_process_does_it_all(toy, toy_results, monkeypatch, capsys, error):
    """A /dev/shm that is full, read-only or missing, as in many containers."""
    import loky.backend.synchronize

    def refuse(*_):
        raise error

    monkeypatch.setattr(loky.backend.synchronize, "_SemLock", refuse)
    assert main(["toy", "--jobs", "2"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("no worker process can be started") and error.strerror in err and err.count("\n") == 1
    assert toy.calls() == [1, 2, 3, 4] and same_as(toy_results)


MOUNTS = {"full": "size=4k", "read-only": "ro"}


@linux
@pytest.mark.experiments
@pytest.mark.parametrize("kind", MOUNTS)
def test_a_spoilt_shared_memory(toy, toy_results, kind):
    """As above, with a real file system in its place; needs the right to mount one."""
    mount = f"mount -t tmpfs -o {MOUNTS[kind]} tmpfs /dev/shm && {{ head -c 4096 /dev/zero > /dev/shm/a; true; }} 2> /dev/null"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    done = shell(f"unshare -m sh -c {shlex.quote(f'{mount}; {TOY} --jobs 2')}")
    assert done.returncode == 0, done.stderr
    assert "no worker process can be started" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert same_as(toy_results)
