"""Files, data frames and arrays -> ``Held``: features (features, examples) and one label an example, as they were given.

Nothing is guessed where a guess would lose an example or a feature: it is asked for, or said in ``notes``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.reading import arrays, text
from experiments.reading.arrays import array, frame
from experiments.reading.held import Column, Held, opened
from scratch.errors import InvalidInput
from scratch.files import check_file, check_npz

__all__ = ["ARRAYS", "TEXT", "Column", "Held", "array", "frame", "read", "suffix"]

TEXT, ARRAYS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"), (".npz", ".npy")


def suffix(path: Path) -> str:
    """Its kind, in small letters: the last suffix, or with .gz the last two."""
    *_, before, last = ("", "", *(part.lower() for part in path.suffixes))
    return before + last if last == ".gz" else last


def read(path: Path, label: Column = None, rows: bool | None = None, labels: Any = None) -> Held:
    """What a file holds. Raises InvalidInput that begins with the path for whatever is wrong with it or in it."""
    check_file(path)
    try:
        if suffix(path) == ".npz":
            check_npz(path, arrays.LIMIT)
            with opened(), path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                return arrays.archive(held, label, rows, labels)
        if suffix(path) == ".npy":
            return array(arrays.single(path), label, rows is not False, labels)
        if rows is False or labels is not None:
            raise InvalidInput("in a text file an example is a row, and its label is in a column of that row")
        return text.table(path, label)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from None
