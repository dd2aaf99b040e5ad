"""Finished cells on disk: each under the hash of its definition and of the code that computed it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.data import parts
from scratch.errors import InvalidInput

if TYPE_CHECKING:
    from experiments.lab.cell import Cell, Tables

TEMPORARY = re.compile(r"\..+\.\d+\.unfinished")  # write's, which only a kill leaves behind
ROOT = Path(__file__).resolve().parents[2]


class Store:
    """The cells of one experiment in ``folder``; the folder is made when the first cell is saved."""

    def __init__(self, folder: Path, version: Callable[[Cell], str]) -> None:
        self.folder, self.version = folder, version  # of the code that computes a cell

    def path(self, cell: Cell) -> Path:
        data = Path(parts(str(cell.settings.get("data", "")))[0])
        content = hashlib.sha256(data.read_bytes()).hexdigest() if data.is_file() else None  # a file may change
        key = [cell.part, dict(cell.settings), cell.base, content, self.version(cell)]
        return self.folder / f"{cell.part}-{_digest(key)[:20]}.json"

    def load(self, cell: Cell) -> Tables | None:
        """The stored tables, or None if there are none; a corrupt file is named on stderr and counts as none."""
        import pandas as pd

        path = self.path(cell)
        if not os.path.lexists(path):
            return None
        try:
            held = parsed(path)
            if _digest([held["part"], held["settings"]]) != _digest([cell.part, dict(cell.settings)]):
                raise ValueError("it is another cell's")
            if held["sha256"] != _digest([path.stem, held["tables"]]):
                raise ValueError("its checksum does not match")
            return {name: pd.DataFrame(columns) for name, columns in held["tables"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            print(f"stored cell {path} is corrupt ({reason(error)}): computing it again", file=sys.stderr)
            return None

    def save(self, cell: Cell, tables: Tables) -> Tables:
        """Writes by atomic replace: a kill at any moment leaves the whole cell or none. Gives back what ``load`` will.

        A float32 is stored as the same number in float64, which is printed with other digits: whoever computed it goes on with that too.
        """
        import pandas as pd

        path, columns = self.path(cell), {name: frame.to_dict("list") for name, frame in tables.items()}
        checksum = _digest([path.stem, columns])  # the name is a hash of all that the numbers depend on
        held = {"part": cell.part, "settings": dict(cell.settings), "sha256": checksum, "tables": columns}
        write(path, json.dumps(held))
        return {name: pd.DataFrame(values) for name, values in columns.items()}


def parsed(path: Path) -> Any:
    """What a JSON file holds. Raises ValueError, in one line, for anything else."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise ValueError("it is no file")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(reason(error)) from None


def reason(error: BaseException) -> str:
    """What went wrong, in one short line."""
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    plain = said if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {said}"
    return " ".join((plain or type(error).__name__).split()).rstrip(":")[:200]


def write(path: Path, text: str) -> None:
    """The text in a file, by atomic replace. Raises InvalidInput where it cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {reason(error)}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def clean(folder: Path) -> None:
    """Removes the temporary files that killed runs left in a folder where nobody else writes."""
    for path in folder.glob(".*"):
        if TEMPORARY.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
