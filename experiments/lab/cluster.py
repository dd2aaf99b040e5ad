"""Cells on the workers of a ``distributed`` cluster: of this machine, or of many that have no checkout of their own.

Code and data travel as one parcel, which a worker unpacks before its first cell. No more cells are handed out than there are
workers, so that one who dies takes a single attempt with it.
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import platform
import signal
import sys
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing import resource_tracker
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from experiments import catalog
from experiments.data import parts
from experiments.lab.cell import Cell
from experiments.lab.code import COMPUTING, ROOT
from experiments.lab.executors import ATTEMPTS, ONE_THREAD, Failure, Outcome
from scratch.errors import InvalidInput

PATIENCE = 60.0  # seconds without a worker after which nobody will come any more
ANSWER = 10.0  # seconds in which a scheduler answers
PACKAGES = ("scratch", "torchref", "experiments")
INSTALL = "pip install -c constraints.txt -e '.[cluster]'"


def cluster(name: str, pending: dict[int, Cell], address: str, jobs: int) -> Iterator[Outcome]:
    """The cells on the workers of the scheduler at ``address``; "local": on ``jobs`` processes that are started here.

    Raises InvalidInput where ``distributed`` is missing, nobody answers, there are no workers, or one computes other versions.
    """
    with connected(address, min(jobs, len(pending))) as client:
        luggage = _luggage(pending.values())
        client.register_plugin(luggage, name="laboratory")
        expected = {"code": hashlib.sha256(luggage.parcel).hexdigest(), **versions()}
        measured = _on_a_worker()
        waiting, running, done = sorted(pending), dict[Any, int](), SimpleQueue[Any]()
        while waiting or running:
            while waiting and len(running) < max(1, len(_workers(client))):
                number = waiting.pop()  # the longest cells tend to come last in a catalog's list
                task = pickle.dumps((name, number, pending[number]))
                future = client.submit(measured, task, expected, pure=False)
                running[future] = number
                future.add_done_callback(done.put)
            yield _outcome(future := _next(client, done), running.pop(future))


def capacity(address: str) -> tuple[int, float]:
    """How many workers the scheduler has now, and the bytes of memory that they may use."""
    with connected(address, 1) as client:
        held = _workers(client).values()
        if not held:
            raise InvalidInput(f"--cluster {address}: that scheduler has no worker; `dask worker {address}` starts one")
        return len(held), sum(worker["memory_limit"] or float("inf") for worker in held)


@contextmanager
def connected(address: str, jobs: int) -> Iterator[Any]:
    """A client of the scheduler, which ends with its own workers if there are any."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InvalidInput(f"--cluster needs the package {error.name}: {INSTALL}") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    quiet = {"logging": {"distributed": "critical"}, "distributed.scheduler.allowed-failures": ATTEMPTS}
    quiet |= {f"distributed.nanny.pre-spawn-environ.{name}": one for name, one in ONE_THREAD.items()}
    with dask.config.set(quiet):
        if address != "local":
            try:
                client = Client(address, timeout=ANSWER, set_as_default=False)
            except (OSError, ValueError, TimeoutError) as error:
                raise InvalidInput(
                    f"--cluster {address}: no scheduler answers there ({_line(error)}); `dask scheduler` starts one"
                ) from None
            with client:
                yield client
            return
        one_each = {"threads_per_worker": 1, "processes": True, "dashboard_address": None}
        with _deaf():
            own = LocalCluster(n_workers=jobs, silence_logs=logging.CRITICAL, **one_each)
        with own, Client(own, set_as_default=False) as client:
            yield client


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C reaches every process of the terminal; this one alone answers it: who is started in here does not hear it."""
    resource_tracker.ensure_running()  # started later, it would unblock what is blocked here
    unheard = {signal.SIGINT, signal.SIGHUP} if hasattr(signal, "pthread_sigmask") else ()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, unheard) if unheard else set()
    try:
        yield
    finally:
        if unheard:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _luggage(cells: Iterable[Cell]) -> Any:
    """What unpacks the three packages, other folders of the catalog, and the user's files on every worker, also on those who come later."""
    from distributed import WorkerPlugin

    class Luggage(WorkerPlugin):
        def __init__(self, parcel: bytes, places: list[str], files: dict[str, str]) -> None:
            self.parcel, self.places, self.files = parcel, places, files

        def setup(self, worker: Any) -> None:
            folder = Path(worker.local_directory) / "laboratory"
            with zipfile.ZipFile(io.BytesIO(self.parcel)) as archive:
                archive.extractall(folder)
            for name in [
                name for name in sys.modules if name.partition(".")[0] in ("scratch", "torchref", "experiments")
            ]:
                del sys.modules[name]  # those of a checkout that this process has begun with
            sys.path.insert(0, str(folder))
            from experiments import catalog, data
            from experiments.lab import cluster

            catalog.__path__[:] = [str(folder / place) for place in self.places]
            data.COPIES.update({name: folder / copy for name, copy in self.files.items()})
            cluster.BROUGHT = hashlib.sha256(self.parcel).hexdigest()

    return Luggage(*_packed(cells))


def _packed(cells: Iterable[Cell]) -> tuple[bytes, list[str], dict[str, str]]:
    """The parcel, where in it the catalog's folders lie, and the user's files by the names that cells have for them."""
    named = {parts(str(cell.settings.get("data", "")))[0] for cell in cells}
    files = {
        name: f"data/{k}{''.join(Path(name).suffixes)}" for k, name in enumerate(sorted(named)) if Path(name).is_file()
    }
    code = {
        path: path.relative_to(ROOT).as_posix() for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))
    }
    places = []
    for k, place in enumerate(map(Path, catalog.__path__)):
        inside = place.is_relative_to(ROOT / "experiments")
        places.append(place.relative_to(ROOT).as_posix() if inside else f"catalog/{k}")
        code |= (
            {}
            if inside
            else {path: f"catalog/{k}/{path.relative_to(place).as_posix()}" for path in sorted(place.rglob("*.py"))}
        )
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in (code | {Path(name): copy for name, copy in files.items()}).items():
            archive.writestr(
                zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED
            )  # without a time: the same files, the same parcel
    return held.getvalue(), places, files


def _workers(client: Any) -> Mapping[str, Any]:
    return client.scheduler_info(n_workers=-1)["workers"]


def _next(client: Any, done: SimpleQueue[Any]) -> Any:
    """The future that is done first. Raises InvalidInput once there have been no workers for long."""
    waited = 0.0
    while waited < PATIENCE:
        try:
            return done.get(timeout=ANSWER)
        except Empty:
            waited = 0.0 if _workers(client) else waited + ANSWER
    raise InvalidInput(f"the scheduler has had no worker for {PATIENCE:.0f} seconds: `dask worker ADDRESS` starts one")


def _outcome(future: Any, number: int) -> Outcome:
    from distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        return number, Failure(f"its worker was killed {error.allowed_failures + 1} times (out of memory?)"), 0.0


def versions() -> dict[str, str]:
    """Of everything that computes."""
    return {"python": platform.python_version()} | {name: version(name) for name in COMPUTING}


def _on_a_worker() -> Callable[[bytes, dict[str, str]], Outcome]:
    """The function that measures there; made in here because what is local travels by value, so that a scheduler needs no checkout."""

    def measured(task: bytes, expected: dict[str, str]) -> Outcome:
        from experiments.lab import cluster, executors
        from scratch.errors import InvalidInput

        with cluster.ALONE:
            here = {"code": cluster.BROUGHT, **cluster.versions()}
            other = [
                f"{name} {here[name][:12]} instead of {known[:12]}"
                for name, known in expected.items()
                if here[name] != known
            ]
            if other:
                raise InvalidInput(
                    f"a worker on {platform.node()} has {', '.join(other)}: it would compute other digits"
                )
            return executors.measure(*pickle.loads(task))

    return measured


def _line(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:150]


ALONE = (
    threading.Lock()
)  # a worker of several threads measures one cell at a time: the number of threads is the process's
BROUGHT = ""  # on a worker: the hash of what was unpacked last
