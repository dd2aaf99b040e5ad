"""Arrays, archives of them and data frames -> ``Held``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.reading.held import EXACT, Column, Held, chosen, counts_rows, opened
from scratch.checks import remedy
from scratch.errors import InvalidInput, unknown
from scratch.layers import Array
from scratch.options import is_plain, kind_of

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 2**29  # bytes, unpacked
PAIRS = (("x", "y"), ("X", "y"), ("X", "Y"), ("x_train", "y_train"), ("X_train", "y_train"))


def single(path: Path) -> Array:
    if path.stat().st_size > LIMIT:
        raise InvalidInput(f"larger than the {LIMIT} bytes that are allowed")
    with opened(), path.open("rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def archive(held: Any, label: Column, rows: bool | None, labels: Any) -> Held:
    """The arrays of an .npz: x is (features, examples); the other names are used for both orientations, so y's length tells."""
    names = [str(name) for name in held.files]
    there = f"it holds {', '.join(names) or 'nothing'}"
    pairs = [(x, y) for x, y in PAIRS if x in names and (label is not None or labels is not None or y in names)]
    if not pairs:
        known = "; ".join(f"{x} and {y}" for x, y in PAIRS)
        raise InvalidInput(f"expected arrays x (features, examples) and y (examples), or named {known}; {there}")
    x_name, y_name = pairs[0][0], pairs[0][1] if label is None else str(label)
    if labels is None and y_name not in names:
        raise unknown("array of labels", y_name, names)
    x, y = held[x_name], one_each(held[y_name] if labels is None else labels)
    notes = []
    if x_name != "x":
        if rows is None and x.ndim == 2 and x.shape[0] == x.shape[1]:
            raise InvalidInput(f"{x_name} is square {x.shape}: name it x if an example is a column, or say rows=True")
        rows = x.ndim == 2 and x.shape[0] == len(y) if rows is None else rows
        left = [name for name in names if name not in (x_name, y_name)]
        unused = f"; {', '.join(left)} not used" if left else ""
        notes = [f"{x_name} and {y_name} are taken, an example is a {'row' if rows is True else 'column'}{unused}"]
    return Held(*columns(x, y, bool(rows)), numbered(x, bool(rows)), tuple(notes))


def array(x: Array, label: Column = None, rows: bool = False, labels: Any = None) -> Held:
    """An array (features, examples), or with ``rows`` (examples, features), with ``labels`` beside it or in a column."""
    if not is_plain(x):
        raise InvalidInput(f"X must be a NumPy array, got {kind_of(x)}{remedy(x)}")
    if labels is not None:
        if label is not None:
            raise InvalidInput("either the labels themselves, or the column that holds them")
        return Held(*columns(x, one_each(labels), rows), numbered(x, rows))
    if rows is False:
        raise InvalidInput("an array needs its labels: labels=y (examples), or rows=True where a column holds them")
    if x.ndim != 2 or x.shape[1] < 2:
        raise InvalidInput(f"expected a row for each example, its label in a column, got {x.shape}")
    at = chosen(label, (), x.shape[1])
    features = tuple(f"column {k + 1}" for k in range(x.shape[1]) if k != at)
    return Held(as_numbers(np.delete(x, at, axis=1)).T, x[:, at], features)


def columns(x: Array, y: Array, rows: bool) -> tuple[Array, Array]:
    """x as float64 with an example a column, and its labels. Raises InvalidInput where the two do not fit."""
    if x.ndim == 2 and rows is True:
        x = x.T
    if x.ndim != 2 or x.shape[1] != len(y):
        turned = x.ndim == 2 and x.shape[0] == len(y)
        hint = ": transpose, an example is a column (x.T, or rows=True)" if turned and rows is False else ""
        hint = f": reshape x to ({len(x)}, …), an example a row" if x.ndim > 2 and len(x) == len(y) else hint
        raise InvalidInput(f"X must be (features, examples) and Y (examples); got X {x.shape}, Y {y.shape}{hint}")
    return as_numbers(x), y


def one_each(labels: Any) -> Array:
    """Labels as an array (examples)."""
    try:
        y = np.asarray(labels)
    except ValueError:
        raise InvalidInput("Y must be (examples), got lists of different lengths") from None
    if y.ndim != 1:
        hint = ": give the class of each example, y.argmax(…)" if y.ndim == 2 and 1 not in y.shape else ": y.ravel()"
        raise InvalidInput(f"Y must be (examples), got {y.shape}{hint if y.ndim else ''}")
    return y


def as_numbers(x: Array) -> Array:
    """x in float64. Raises InvalidInput for what is no number, or would become another one."""
    if x.dtype.kind not in "fiub":
        raise InvalidInput(f"X must be real numbers, got {x.dtype}{remedy(x)}")
    if x.dtype.kind in "iu" and x.size:
        low, high = int(x.min()), int(x.max())
        if max(-low, high) > EXACT:
            beyond = low if -low > high else high
            raise InvalidInput(
                f"X holds {beyond}: float64 rounds whole numbers beyond 2^53. Leave ids out, or subtract an offset"
            )
    return x.astype(np.float64)


def numbered(x: Array, rows: bool) -> tuple[str, ...]:
    return tuple(f"feature {k}" for k in range(x.shape[1] if rows is True and x.ndim == 2 else len(x) if x.ndim else 0))


# --- data frames -----------------------------------------------------------------------------------------------------------


def frame(table: pd.DataFrame, label: Column = None, labels: Any = None) -> Held:
    """A DataFrame, an example a row; the label is its last column, the one named, or ``labels`` beside it."""
    if labels is not None and label is not None:
        raise InvalidInput("either the labels themselves, or the column that holds them")
    names = [str(name) for name in table.columns]
    called = [f"column {k + 1} ({name!r})" for k, name in enumerate(names)]
    target = None if labels is not None else chosen(label, table.columns.tolist(), len(names))
    features, notes = [k for k in range(len(names)) if k != target], []
    if features[:1] == [0] and len(features) > 1 and counts_rows(names, [str(cell) for cell in table.iloc[:, 0]]):
        features, notes = features[1:], [f"{called[0]} numbers the rows: it is left out"]
    if not features or not len(table):
        raise InvalidInput(f"expected features and examples, got a table {table.shape}")
    x = np.stack([_feature(table.iloc[:, k], called[k]) for k in features])
    y = one_each(labels) if target is None else _plain(table.iloc[:, target], called[target])
    return Held(*columns(x, y, rows=False), tuple(called[k] for k in features), tuple(notes))


def _plain(series: pd.Series, place: str) -> Array:
    """A column as NumPy has it. Raises InvalidInput at the first value that is missing."""
    missing = series.isna().to_numpy()
    if missing.any():
        count = int(missing.sum())
        raise InvalidInput(f"row {int(missing.argmax())}, {place}: the value is missing ({count} in this column)")
    return series.to_numpy(dtype=getattr(series.dtype, "numpy_dtype", None))  # pandas' own Int64, boolean …


def _feature(series: pd.Series, place: str) -> Array:
    found = _plain(series, place)
    try:
        return as_numbers(found)
    except InvalidInput as error:
        raise InvalidInput(f"{place}: {error}") from None
