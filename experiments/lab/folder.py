"""A folder of results as one whole, an old run's or a new one's; only what its run.json lists is ever replaced or removed.

A run writes everything into an inner folder. Renaming that to READY is the moment from which the new results count; then each
file takes its place, run.json last. A kill before that moment leaves the old results, a kill after it a folder that readers
refuse and the next writer finishes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from experiments.lab.store import clean, parsed, reason
from scratch.errors import InvalidInput

try:
    import fcntl
except ImportError:  # Windows locks no folders: two runs at once are not noticed there
    fcntl = None  # type: ignore[assignment]

# every run's own, though no list names them: the list itself, and what is never the same
RUN, TIMES = "run.json", "timings.json"
NAME = re.compile(r"tables/\w+\.csv|figures/\w+\.svg|report\.(md|html)")
PARTS = ("tables", "figures")
WRITING, READY = ".results-being-written", ".results-ready"
OTHER = "choose another folder with --out"


@contextmanager
def reserved(folder: Path, experiment: str) -> Iterator[None]:
    """``folder``, made if need be, for a run of that experiment alone; what a killed run left in it is finished or cleaned.

    Raises InvalidInput where it cannot be written, another run is at it, or it holds what no run of this experiment wrote.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{folder} cannot be written: {reason(error)}; {OTHER}") from None
    with locked(folder):
        owned(folder, experiment)
        clean(folder / "cells")
        yield


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other writers out and settles what a killed one left. The system frees the lock of a process that ends in any way.

    Raises InvalidInput if the folder cannot be opened or another process, or thread, has it.
    """
    if fcntl is None:
        settle(folder)
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{folder} cannot be opened as a folder of results: {reason(error)}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidInput(f"{folder}: another run writes there now: wait for its end, or {OTHER}") from None
        except OSError:  # a file system without locks
            pass
        settle(folder)
        yield
    finally:
        os.close(descriptor)


def settle(folder: Path) -> None:
    """Brings to its end what was written whole, however often that was stopped, and throws away what was not."""
    ready = folder / READY
    try:
        if (ready / RUN).is_file():
            old = listed(folder)["files"] if os.path.lexists(folder / RUN) else {}
            new = listed(ready)["files"]
            # run.json is the last: until then it says what is old
            moving = [name for name in (*new, TIMES, RUN) if (ready / name).is_file()]
            refuse_in_the_way(folder, moving, old)
            for name in without(old, new):
                if not (folder / name).is_dir():  # which no run made
                    (folder / name).unlink(missing_ok=True)
            for name in moving:
                (folder / name).parent.mkdir(exist_ok=True)
                (ready / name).replace(folder / name)
        for inner in (ready, folder / WRITING):
            discard(inner)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {reason(error)}") from None


def discard(inner: Path) -> None:
    """Removes an inner folder with the files that are a run's by their names; OSError if it holds anything else."""
    for path in (*(path for part in PARTS for path in (inner / part).glob("*")), *inner.glob("*.*")):
        name = path.relative_to(inner).as_posix()
        if NAME.fullmatch(name) or name in (RUN, TIMES):
            path.unlink()
    for path in (*(inner / part for part in PARTS), inner):
        with suppress(FileNotFoundError):
            path.rmdir()


def owned(folder: Path, experiment: str) -> dict[str, str]:
    """The files that an earlier run of the experiment listed as its own. Raises InvalidInput if the folder is anything else's."""
    for part in (*PARTS, "cells"):
        if os.path.lexists(path := folder / part) and (not path.is_dir() or (path.is_symlink() and part in PARTS)):
            raise InvalidInput(f"{path} is in the way: expected a folder of its own; move it, or {OTHER}")
    if os.path.lexists(folder / RUN):
        run = listed(folder)
        if run["experiment"] != experiment:
            raise InvalidInput(f"{folder} holds results of {run['experiment']!r}, not of {experiment!r}: {OTHER}")
        return run["files"]
    empty = {part for part in PARTS if not any((folder / part).glob("*"))}
    foreign = sorted({path.name for path in folder.iterdir()} - {"cells"} - empty)
    if foreign:
        raise InvalidInput(f"{folder} holds {foreign[0]!r} and no run.json that lists it as an earlier run's: {OTHER}")
    return {}


def listed(folder: Path) -> dict[str, Any]:
    """run.json. Raises InvalidInput where there is none, or one that does not say whose results it lists, and which files."""
    path = folder / RUN
    if not os.path.lexists(path):
        raise InvalidInput(f"{folder} holds no results (no run.json): run an experiment first")
    try:
        run = parsed(path)
    except ValueError as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    if not isinstance(run, dict) or not isinstance(run.get("experiment"), str):
        raise InvalidInput(f"{path}: expected an object with 'experiment', a name, got {type(run).__name__} without it")
    files = run.get("files")
    if not isinstance(files, dict) or not all(NAME.fullmatch(name) and isinstance(files[name], str) for name in files):
        raise InvalidInput(f"{path}: expected at 'files' the run's own, with their sha256: move these results away")
    return run


def read(folder: Path, unread: Iterable[str] = ()) -> tuple[dict[str, Any], dict[str, str]]:
    """run.json, and the text of every table that it lists but those ``unread``, by name.

    Raises InvalidInput where there are no results, or where they are not whole: what run.json says would not be true of the tables.
    """
    if os.path.lexists(folder / READY):
        raise InvalidInput(f"{folder}: a run was stopped while it wrote: python -m experiments.report {folder} ends it")
    run, texts = listed(folder), {}
    for name, digest in run["files"].items():
        path = folder / name
        if path.suffix == ".csv" and path.stem not in unread:
            try:
                content = path.read_bytes() if path.is_file() else b""  # a pipe would be waited for
                if sha256(content) != digest:
                    raise ValueError("it is missing, or not the one that run.json lists")
                texts[path.stem] = content.decode()
            except (OSError, ValueError) as error:
                raise InvalidInput(f"{path} cannot be read: {reason(error)}; run the experiment again") from None
    return run, texts


def replace(
    folder: Path, run: Mapping[str, Any], files: Mapping[str, str], kept: Mapping[str, str], times: str = ""
) -> None:
    """Puts ``files`` (name -> text) and those ``kept`` (name -> sha256) in the place of all that run.json lists; all of it or nothing.

    The caller has it ``locked``. Raises InvalidInput for a name that is taken by what no run listed, and for a disk that is full.
    """
    content = {name: text.encode("utf-8", "backslashreplace") for name, text in files.items()}
    refuse_in_the_way(folder, (*content, TIMES), owned(folder, run["experiment"]))
    digests = {name: sha256(data) for name, data in content.items()} | dict(kept)
    described = json.dumps(dict(run) | {"files": dict(sorted(digests.items()))}, indent=1, ensure_ascii=False) + "\n"
    content[RUN] = described.encode("utf-8", "backslashreplace")
    if times:
        content[TIMES] = times.encode()
    inner = folder / WRITING
    try:
        for part in PARTS:
            (folder / part).mkdir(exist_ok=True)
            (inner / part).mkdir(parents=True)
        for name, data in content.items():
            (inner / name).write_bytes(data)
        inner.rename(folder / READY)
    except OSError as error:
        with suppress(OSError):
            discard(inner)
        raise InvalidInput(f"{folder} cannot be written: {reason(error)}") from None
    settle(folder)


def refuse_in_the_way(folder: Path, names: Iterable[str], own: Iterable[str]) -> None:
    foreign = set(without(names, (*own, RUN, TIMES)))
    for name in names:
        if os.path.lexists(path := folder / name) and (name in foreign or path.is_dir()):
            raise InvalidInput(f"{path} is in the way, and in no earlier run's list: move it, or {OTHER}")


def without(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Some file systems take a name in capitals for the same file."""
    folded = {name.casefold() for name in others}
    return [name for name in names if name.casefold() not in folded]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
