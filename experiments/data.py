"""Data sets as (features, examples): standardised, split, checked; none of them needs a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from experiments import reading
from experiments.reading import Column, Held
from scratch.checks import remedy
from scratch.contract import Batch
from scratch.errors import InvalidInput, unknown
from scratch.files import check_file
from scratch.layers import Array
from scratch.options import kind_of
from scratch.randomness import based, generator

SHIPPED = {  # those that scikit-learn brings along: file, lines before the data
    "digits": ("digits.csv.gz", 0),
    "breast_cancer": ("breast_cancer.csv", 1),
    "wine": ("wine_data.csv", 1),
    "iris": ("iris.csv", 1),
}
TEST_SHARE = 0.2
FEWEST = 5  # examples: one of them is to test on
LARGEST = 1e300  # beyond, differences and sums overflow; what stands there is no measurement
COPIES: dict[str, Path] = {}  # on another machine: where a file lies there, by the name that it goes by
BY_LABEL = "?label="  # between a file's name and its label's column, where one string has to say both


@dataclass(frozen=True)
class Dataset:
    """x is standardised by the training part's mean and deviation; y holds labels 0 … classes−1.

    ``labels``: what each class was called in the source; ``notes``: what was made of the source without being asked for.
    """

    name: str
    classes: int
    train: Batch
    test: Batch
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def features(self) -> int:
        return self.train.x.shape[0]


def load(
    source: Any, dtype: str = "float64", label: Column = None, *, rows: bool | None = None, labels: Any = None
) -> Dataset:
    """The data set of that name, that in a file, or that in a DataFrame or an array.

    .csv, .tsv, .txt, also .gz: one example a row, the label last or in column ``label``: a name, a number from 1 as text, or an
    index. A DataFrame: the same. .npz: arrays x (features, examples) and y (examples), or under a few other names. An array
    (features, examples) with ``labels`` beside it; with ``rows`` (examples, features), where a column may hold the labels; .npy.
    Labels 0, 1 …; 1, 2 …; −1 and 1, or words are taken as classes in increasing order.

    Raises InvalidInput, before any work, for what cannot be read, a value that is missing or not finite, lengths that differ,
    labels that are no classes, too few examples.
    """
    if dtype not in ("float64", "float32"):
        raise InvalidInput(f"data: dtype must be 'float64' or 'float32', got {dtype!r}")
    if not isinstance(label, (str, int, NoneType)) and not hasattr(source, "iloc"):
        raise InvalidInput(f"label must be the name or the number of a column, got {kind_of(label)}")
    if not isinstance(source, (str, Path)):
        return _dataset("data", _held(source, label, rows, labels), dtype)
    name, chosen = parts(str(source))
    label = chosen if label is None else label
    if name not in SHIPPED and reading.suffix(Path(name)) not in (*reading.TEXT, *reading.ARRAYS):
        raise unknown("data set", name, (*SHIPPED, *(f"FILE{kind}" for kind in (*reading.ARRAYS, *reading.TEXT))))
    if name in SHIPPED:
        if any(given is not None for given in (label, rows, labels)):
            raise InvalidInput(f"{name} has its labels: a column is chosen in a file of your own")
        return _load(name, dtype, None, None, None)
    if labels is not None:
        return _dataset(_stem(name), reading.read(Path(name), label, rows, labels), dtype, name)
    path = COPIES.get(name, Path(name))
    check_file(path)
    at = path.stat()
    return _load(name, dtype, label, rows, (at.st_mtime_ns, at.st_size))


def with_label(name: str, label: str) -> str:
    """One string for a data set and, where it is given, the column of its labels: what a cell's settings hold."""
    return f"{name}{BY_LABEL}{label}" if label else name


def parts(source: str) -> tuple[str, str | None]:
    """The name, and the label's column if ``source`` says one."""
    name, said, label = source.partition(BY_LABEL)
    return name, label if said else None


@lru_cache(maxsize=4)
def _load(name: str, dtype: str, label: Column, rows: bool | None, changed: tuple[int, int] | None) -> Dataset:
    held = _shipped(name) if name in SHIPPED else reading.read(COPIES.get(name, Path(name)), label, rows)
    return _dataset(_stem(name), held, dtype, name)


def _stem(name: str) -> str:
    path = Path(name)
    return path.name[: -len(reading.suffix(path))] if reading.suffix(path) else path.name


def _held(source: Any, label: Column, rows: bool | None, labels: Any) -> Held:
    if isinstance(source, np.ndarray):
        return reading.array(source, label, bool(rows), labels)
    if not hasattr(source, "iloc") or getattr(source, "ndim", 0) != 2:
        kinds = "a name, a file, a DataFrame or a NumPy array"
        raise InvalidInput(f"data must be {kinds}, got {kind_of(source)}{remedy(source)}")
    if rows is False:
        raise InvalidInput("in a DataFrame an example is a row")
    return reading.frame(source, label, labels)


def _dataset(stem: str, held: Held, dtype: str, name: str = "data") -> Dataset:
    """Everything that is asked of a data set, whatever it came from. ``stem`` names the stream that splits it."""
    try:
        _check(held)
        y, called = classes(held.y)
        train, test = _split(stem, y)
        x = standardise(held.x, train, held.features, dtype)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from None
    notes = [f"{name}: {note}" for note in held.notes]
    if called != tuple(map(str, range(len(called)))):
        shown = ", ".join(f"{' '.join(word.split())} → {k}" for k, word in enumerate(called[:8])) + (
            ", …" if len(called) > 8 else ""
        )
        notes.append(f"{name}: the labels are taken as classes: {shown}")
    return Dataset(stem, len(called), Batch(x[:, train], y[train]), Batch(x[:, test], y[test]), called, tuple(notes))


def _check(held: Held) -> None:
    x = held.x
    if not x.size:
        raise InvalidInput(f"X is empty: {x.shape[0]} features, {x.shape[1]} examples")
    if x.shape[1] < FEWEST:
        raise InvalidInput(f"{x.shape[1]} examples are too few to train on some and test on others: at least {FEWEST}")
    for wrong, expected in ((~np.isfinite(x), "be finite"), (np.abs(x) > LARGEST, f"lie within ±{LARGEST:g}")):
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            place = f"{held.features[row]}, example {column}"
            raise InvalidInput(f"X holds {x[row, column]} at {place}: every number must {expected}")


def classes(y: Array) -> tuple[Array, tuple[str, ...]]:
    """Labels as classes 0, 1 … in int64, and what each was called. Raises InvalidInput where they are none."""
    if y.dtype.kind == "O":
        y = _typed(y)
    if y.dtype.kind not in "iufbUT":
        raise InvalidInput(f"labels must be whole numbers or words, got {y.dtype}")
    if y.dtype.kind == "f" and (wrong := ~(np.isfinite(y) & (y == np.round(y)))).any():
        raise InvalidInput(f"labels must be whole numbers or words; found {y[wrong][0]}. Is it the right column?")
    values, labels = np.unique(y, return_inverse=True)
    count = len(values)
    if count < 2:
        raise InvalidInput(f"there must be two classes at least; every label is {str(values[0])[:40]}")
    words = y.dtype.kind in "bUT"
    if words and count == len(y):
        raise InvalidInput("every example is a class of its own: is it the right column?")
    found = [str(value) if words else int(value) for value in values]
    if not words and found not in ([*range(count)], [*range(1, count + 1)], [-1, 1]):
        raise InvalidInput(
            "labels must be 0, 1 …, or 1, 2 …, every class with an example, or −1 and 1, or words; "
            f"found {', '.join(map(str, found[:6]))}{', …' if count > 6 else ''}"
        )
    return labels.astype(np.int64), tuple(map(str, found))


def _typed(y: Array) -> Array:
    """Python objects as words, or as whole numbers."""
    if all(isinstance(label, str) for label in y):
        return y.astype(str)
    if all(isinstance(label, (int, np.integer)) for label in y):
        return np.array(y.tolist())
    kinds = sorted({kind_of(label) for label in y})
    raise InvalidInput(f"labels must be whole numbers or words, got objects: {', '.join(kinds[:4])}")


def _split(stem: str, y: Array) -> tuple[Array, Array]:
    """Columns to train and to test on, from a stream of the data set's name."""
    with based(0):  # the same examples, whatever else is drawn anew
        order = generator(0, "split", stem).permutation(len(y))
    cut = round(len(y) * TEST_SHARE)
    test, train = order[:cut], order[cut:]
    if len(np.unique(y[train])) < 2:
        raise InvalidInput(f"of {len(train)} examples to train on all are of one class: give more of the others")
    return train, test


def standardise(x: Array, train: Array, features: Sequence[str], dtype: str) -> Array:
    """x (features, examples) less the mean of the columns ``train``, over their deviation; what is constant there only centred.

    It is computed in units of a power of two, so that no square overflows, which changes no digit. Raises InvalidInput
    where the result is too large for ``dtype``.
    """
    power = np.frexp(np.abs(x[:, train]).max(axis=1, keepdims=True))[1]
    with np.errstate(over="ignore"):  # of an example that is not in the training part; it is named below
        units = np.ldexp(x, -power)
        known = units[:, train]
        mean, deviation = known.mean(axis=1, keepdims=True), known.std(axis=1, keepdims=True)
        least, rounding = known.min(axis=1, keepdims=True), 2 * np.finfo(float).eps  # four last places below 1
        constant = known.max(axis=1, keepdims=True) - least <= rounding
        off = np.where(np.abs(units - least) <= rounding, 0.0, np.ldexp(units - least, power))
        scaled = np.where(constant, off, (units - mean) / np.where(constant, 1, deviation)).astype(dtype)
    if constant.all():
        raise InvalidInput("every feature is constant in the examples to train on: nothing can be learned from them")
    if not np.isfinite(scaled).all():
        row, column = np.argwhere(~np.isfinite(scaled))[0]
        place = f"{features[row]}, example {column}"
        raise InvalidInput(f"X holds {x[row, column]} at {place}: standardised, it is too large for {dtype}")
    return scaled


def _shipped(name: str) -> Held:
    """The file inside scikit-learn, read without importing it: that takes two seconds, reading it a tenth of one."""
    found = find_spec("sklearn")
    assert found is not None and found.submodule_search_locations
    file, header = SHIPPED[name]
    rows = np.loadtxt(
        Path(found.submodule_search_locations[0], "datasets", "data", file), delimiter=",", skiprows=header
    )
    return Held(rows[:, :-1].T, rows[:, -1], tuple(f"feature {k}" for k in range(rows.shape[1] - 1)))
