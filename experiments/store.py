"""Finished cells on disk: each under the hash of its definition and of the code that computed it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.data import parts
from scratch.errors import InvalidInput

if TYPE_CHECKING:
    from experiments.experiment import Cell, Tables

ROOT = Path(__file__).resolve().parent.parent
NUMERICS = ("scratch/*.py", "torchref/*.py", "experiments/agreement.py", "experiments/data.py", "experiments/probes.py",
            "experiments/randomness.py", "experiments/reading/*.py", "experiments/theory.py", "experiments/witnesses.py")  # fmt: skip

# of an experiment's folder: what only makes something of the tables, and every file with claims in its name
DERIVING = ("__init__.py", "analysis.py", "pictures.py")


class Store:
    """The cells of one experiment in ``folder``; the folder is made when the first cell is saved."""

    def __init__(self, folder: Path, experiment: str) -> None:
        self.folder, self.experiment = folder, experiment

    def path(self, cell: Cell) -> Path:
        data = Path(parts(str(cell.settings.get("data", "")))[0])
        content = hashlib.sha256(data.read_bytes()).hexdigest() if data.is_file() else None  # a file may change
        key = [cell.part, dict(cell.settings), content, code_version(self.experiment)]
        definition = json.dumps(key, sort_keys=True)
        return self.folder / f"{cell.part}-{hashlib.sha256(definition.encode()).hexdigest()[:20]}.json"

    def load(self, cell: Cell) -> Tables | None:
        """The stored tables, or None if there are none; a corrupt file is named on stderr and counts as none."""
        import pandas as pd

        path = self.path(cell)
        if not path.exists():
            return None
        try:
            held = json.loads(path.read_text())
            if held["sha256"] != _digest(held["tables"]):
                raise ValueError("its checksum does not match")
            return {name: pd.DataFrame(columns) for name, columns in held["tables"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            print(f"stored cell {path} is corrupt ({error}): computing it again", file=sys.stderr)
            return None

    def save(self, cell: Cell, tables: Tables) -> None:
        """Writes by atomic replace: a kill at any moment leaves the whole cell or none."""
        columns = {name: frame.to_dict("list") for name, frame in tables.items()}
        held = {"part": cell.part, "settings": dict(cell.settings), "sha256": _digest(columns), "tables": columns}
        write(self.path(cell), json.dumps(held))


def write(path: Path, text: str) -> None:
    """The text in a file, by atomic replace. Raises InvalidInput where it cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        raise InvalidInput(
            f"{path.parent} cannot be written: {error.strerror}. Choose another folder with --out"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _digest(columns: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()


@cache
def code_version(experiment: str) -> str:
    """A hash of everything that a measured number depends on: both implementations, the probes, the experiment, versions."""
    digest = hashlib.sha256()
    for pattern in (*NUMERICS, f"experiments/catalog/{experiment}.py", f"experiments/catalog/{experiment}/*.py"):
        for path in sorted(ROOT.glob(pattern)):
            if path.name not in DERIVING and "claims" not in path.stem:
                digest.update(path.read_bytes())
    digest.update("/".join(version(name) for name in ("numpy", "torch", "scikit-learn")).encode())
    return digest.hexdigest()
