"""Cells on a cluster's workers: the same bytes, and nothing lost, whoever computes and whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_sweep import RESULTS, alive, same_as, start, stored, wait_until_asleep
from toybox import TESTS

from experiments.lab import cluster, executors
from experiments.lab.cell import Cell
from experiments.lab.experiment import load
from experiments.run import main, run
from scratch.errors import InvalidInput

pytest.importorskip("distributed", reason="needs the extra cluster")
# distributed closes its sockets and loops in threads of its own, some after the test
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
LOCAL = ("--cluster", "local", "--jobs", "2")
STRANGER = """
import asyncio, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", repr(finder))]
try:
    import scratch
    sys.exit("this worker has a checkout")
except ImportError:
    pass
from distributed import Scheduler, Worker
async def main(address=None):
    made = Worker(address, nthreads=2) if address else Scheduler(port=0, dashboard_address=":0")
    async with made:
        print(made.address, flush=True)
        await made.finished()
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def strangers(tmp_path):
    """Starts a scheduler and workers that lack the project, in another folder; gives its address."""
    started = []

    def begin(*address):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        options = {
            "cwd": tmp_path / "elsewhere",
            "env": environment,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        started.append(subprocess.Popen([sys.executable, "-c", STRANGER, *address], text=True, **options))
        found = started[-1].stdout.readline().strip()
        assert found.startswith("tcp://"), started[-1].stderr.read()
        return found

    def cluster(workers=1):
        (tmp_path / "elsewhere").mkdir()
        address = begin()
        for _ in range(workers):
            begin(address)
        return address

    yield cluster
    for process in started:
        process.kill()
        process.communicate()


def test_the_same_bytes(toy, toy_results):
    """Tables in the order of computing; numbers that depend on the process."""
    assert main(["toy", *LOCAL]) == 0
    assert toy.calls() == [1, 2, 3, 4]
    assert same_as(toy_results)


def test_a_killed_worker_loses_an_attempt(toy, toy_results):
    """The run ends, or waits for ever, or other cells are computed again."""
    toy.plan("kill", 3)
    assert main(["toy", *LOCAL]) == 0
    calls = toy.calls()
    assert calls.count(3) == 2 and set(calls) == {1, 2, 3, 4}
    assert same_as(toy_results)


@pytest.mark.experiments
def test_a_cell_that_always_kills_its_worker_is_a_row(toy):
    """Without a limit it would be tried for ever."""
    toy.plan("always-kill", 2)
    assert main(["toy", *LOCAL]) == 1
    failures = pd.read_csv(RESULTS / "tables/failures.csv")
    assert list(failures.cell) == ["values number=2 seeds=8"] and "killed" in failures.reason[0]
    assert stored() == [1, 3, 4] and toy.calls().count(2) == executors.ATTEMPTS + 1


@pytest.mark.experiments
def test_control_c(toy, toy_results):
    """A traceback, of the run, its workers or the library; workers that live on; finished cells that are lost."""
    toy.plan("sleep", 1)
    process = start(*LOCAL)
    wait_until_asleep(toy)
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - begin < 30
    assert (process.returncode, out) == (130, "")
    assert err.startswith("interrupted") and err.count("\n") == 1, err
    assert 1 not in stored() and not alive(process.pid)
    assert main(["toy", "--jobs", "1"]) == 0
    assert same_as(toy_results)


def test_workers_without_a_checkout(toy, toy_results, strangers):
    """Code that is taken from where the run began; a catalog's folder that stayed there."""
    assert main(["toy", "--cluster", strangers(2)]) == 0
    assert same_as(toy_results)


def test_data_travels_too(strangers, tmp_path, monkeypatch):
    """A file that lies beside the run alone."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(40, 3)), columns=list("abc")).assign(kind=random.integers(0, 2, 40))
    table.to_csv("mine.csv", index=False)
    experiment = load("initialization")
    cells = experiment.definition.cells(experiment.options(quick=True, data="mine.csv"))
    number, cell = next((n, cell) for n, cell in enumerate(cells) if "data" in cell.settings)
    ((_, there, _),) = cluster.cluster("initialization", {number: cell}, strangers(), 1)
    _, here, _ = executors.measure("initialization", number, cell)
    assert there.keys() == here.keys()
    for name in here:
        pd.testing.assert_frame_equal(there[name], here[name], check_exact=True)


def test_other_versions_are_refused(toy, strangers, monkeypatch, capsys):
    """Tables that hold two versions' digits."""
    known = cluster.versions()
    monkeypatch.setattr(cluster, "versions", lambda: known | {"numpy": "1.26.4"})
    assert main(["toy", "--cluster", strangers()]) == 2
    err = capsys.readouterr().err
    assert (
        err.startswith("error: a worker on ")
        and f"numpy {np.__version__} instead of 1.26.4" in err
        and err.count("\n") == 1
    )


def test_code_that_another_run_has_brought_is_refused(strangers, monkeypatch):
    """Two runs of different code on one cluster: the second one's code computes the first one's cells."""
    address = strangers()
    first = cluster.cluster("deep_linear", {n: Cell("nowhere", {}) for n in range(2)}, address, 1)
    next(first)
    packed = cluster._packed([])
    monkeypatch.setattr(cluster, "_packed", lambda cells: (packed[0] + b"\n", *packed[1:]))
    next(cluster.cluster("deep_linear", {0: Cell("nowhere", {})}, address, 1))
    with pytest.raises(InvalidInput, match="code"):
        next(first)


def test_nobody_answers(monkeypatch, capsys):
    """A wait without an end, a traceback of ten screens."""
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    for address in ("tcp://127.0.0.1:1", "nonsense://x", "localhost"):
        assert main(["toy", "--cluster", address]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: --cluster {address}: no scheduler answers") and err.count("\n") == 1, err


def test_a_cluster_without_workers(strangers, monkeypatch, capsys):
    """A wait without an end, where there are none, or where they are gone."""
    address = strangers(0)
    assert main(["toy", "--cluster", address]) == 2
    assert f"has no worker; `dask worker {address}` starts one" in capsys.readouterr().err
    monkeypatch.setattr(cluster, "ANSWER", 0.2)
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with pytest.raises(InvalidInput, match="has had no worker"):
        next(cluster.cluster("deep_linear", {0: Cell("nowhere", {})}, address, 1))


def test_more_than_a_cluster_has_is_refused(strangers, monkeypatch):
    """Hours, or memory, that this machine has and the cluster has not."""
    monkeypatch.setattr(cluster, "capacity", lambda address: (2, 1e5))
    with pytest.raises(InvalidInput, match=r"the cluster's 0\.0001 GB"):
        run("deep_linear", cluster="tcp://any")


def test_a_missing_library_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["toy", "--cluster", "local"]) == 2
    assert "pip install" in capsys.readouterr().err


def test_what_is_sent():
    """A parcel that is another each time, or holds what nobody needs."""
    parcel, places, files = cluster._packed([])
    assert parcel == cluster._packed([])[0] and files == {}
    assert places[0] == "experiments/catalog" and len(places) == 2  # the toy's folder is the other
    assert len(parcel) < 1_000_000 and Path(TESTS / "toy").is_dir()
