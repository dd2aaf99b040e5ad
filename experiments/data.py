"""Data sets as (features, examples): standardised, split, checked; none of them needs a network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from experiments.randomness import generator
from scratch.contract import Batch
from scratch.errors import InvalidInput, unknown
from scratch.layers import Array

SHIPPED = {  # those that scikit-learn brings along: file, lines before the data
    "digits": ("digits.csv.gz", 0),
    "breast_cancer": ("breast_cancer.csv", 1),
    "wine": ("wine_data.csv", 1),
    "iris": ("iris.csv", 1),
}
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Dataset:
    """x is standardised by the training part's mean and deviation; y holds labels 0 … classes−1."""

    name: str
    classes: int
    train: Batch
    test: Batch

    @property
    def features(self) -> int:
        return self.train.x.shape[0]


def load(name: str, dtype: str = "float64") -> Dataset:
    """The data set of that name, or the one in a .npz or .csv file.

    .npz: arrays ``x`` (features, examples) and ``y`` (examples). .csv: a header, one example a row, the label last.
    Raises InvalidInput for a name or file that does not exist, NaN, lengths that differ, labels that are no classes.
    """
    path = Path(name)
    return _load(name, dtype, path.stat().st_mtime_ns if path.is_file() else None)


@lru_cache(maxsize=4)
def _load(name: str, dtype: str, changed: int | None) -> Dataset:
    x, y = _read(name)
    if x.ndim != 2 or y.ndim != 1 or x.shape[1] != len(y):
        raise InvalidInput(f"{name}: X must be (features, examples) and Y (examples); got X {x.shape}, Y {y.shape}")
    if not x.size:
        raise InvalidInput(f"{name}: X is empty: {x.shape[0]} features, {x.shape[1]} examples")
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise InvalidInput(
            f"{name}: X holds {x[row, column]} at feature {row}, example {column}: every number must be finite"
        )
    wrong = ~((y == np.round(y)) & (y >= 0) & (y < len(y)))
    if wrong.any():
        raise InvalidInput(
            f"{name}: labels must be whole numbers from 0 up, every class with an example; found {y[wrong][0]}"
        )
    labels = y.astype(np.int64)
    counts = np.bincount(labels)
    if len(counts) < 2 or not counts.all():
        raise InvalidInput(
            f"{name}: every class from 0 to {len(counts) - 1} needs an example, and there must be two classes; counts {counts}"
        )
    order = generator(0, "split", Path(name).stem).permutation(len(labels))
    cut = round(len(labels) * TEST_SHARE)
    test, train = order[:cut], order[cut:]
    mean, deviation = x[:, train].mean(axis=1, keepdims=True), x[:, train].std(axis=1, keepdims=True)
    scaled = ((x - mean) / np.where(deviation > 0, deviation, 1)).astype(dtype)
    return Dataset(
        Path(name).stem, len(counts), Batch(scaled[:, train], labels[train]), Batch(scaled[:, test], labels[test])
    )


def _read(name: str) -> tuple[Array, Array]:
    if name in SHIPPED:
        return _shipped(name)
    path = Path(name)
    if path.suffix not in (".npz", ".csv"):
        raise unknown("data set", name, (*SHIPPED, "FILE.npz", "FILE.csv"))
    try:
        if path.suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                return held["x"].astype(np.float64), held["y"].astype(np.float64)
        lines = path.read_text().splitlines()[1:]
        if not any(line.strip() for line in lines):
            raise ValueError("no line after the header")
        rows = np.loadtxt(lines, delimiter=",", ndmin=2)
        return rows[:, :-1].T, rows[:, -1]
    except FileNotFoundError:
        raise InvalidInput(f"{name}: there is no such file") from None
    except (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(f"{name}: cannot be read as data: {reason}") from None


def _shipped(name: str) -> tuple[Array, Array]:
    """The file inside scikit-learn, read without importing it: that takes two seconds, reading it a tenth of one."""
    found = find_spec("sklearn")
    assert found is not None and found.submodule_search_locations
    file, header = SHIPPED[name]
    rows = np.loadtxt(
        Path(found.submodule_search_locations[0], "datasets", "data", file), delimiter=",", skiprows=header
    )
    return rows[:, :-1].T, rows[:, -1]
