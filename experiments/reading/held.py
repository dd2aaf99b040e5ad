"""What every kind of source becomes, and how the column of the labels is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scratch.errors import InvalidInput, unknown
from scratch.layers import Array

EXACT = 2**53  # from here up float64 does not hold every whole number
Column = str | int | None


@dataclass(frozen=True)
class Held:
    """``x`` (features, examples) and ``y`` (examples), numbers or words; ``features``: what each is called in a message."""

    x: Array
    y: Array
    features: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what was made of the input without being asked for


def chosen(label: Column, names: Sequence[Any], width: int) -> int:
    """The place of the label's column: the last unless given by name, by number from 1 as text, or by index as Python counts."""
    if label is None:
        return width - 1
    if label in names:
        if names.count(label) > 1:
            raise InvalidInput(
                f"label: {names.count(label)} columns are called {label!r}: give the number of one, from 1"
            )
        return names.index(label)
    if not is_position(label):
        raise unknown("column", str(label), map(str, names)) if names else InvalidInput(f"there is no column {label!r}")
    at = label if isinstance(label, int) else int(label) - 1
    if not (-width if isinstance(label, int) else 0) <= at < width:
        counted = f"1 … {width}" if isinstance(label, str) else f"0 … {width - 1}"
        raise InvalidInput(f"label: there is no column {label}: they are {counted}")
    return at % width


def is_unnamed(cell: str) -> bool:
    """What pandas writes over its index, and reads that as."""
    return not cell or cell.startswith("Unnamed: ")


def counts_rows(names: list[str], cells: Sequence[str]) -> bool:
    """Whether a first column is an index: it has no name where the others do, or it holds 0 … m−1 or 1 … m, in any order."""
    if names and is_unnamed(names[0]):
        return True
    if not all(cell.isdecimal() for cell in cells):
        return False
    found = sorted(map(int, cells))
    return len(found) > 2 and found in (list(range(len(found))), list(range(1, len(found) + 1)))


def is_position(label: Column) -> bool:
    return isinstance(label, int) or (isinstance(label, str) and label.isdecimal())


@contextmanager
def opened() -> Iterator[None]:
    """A broken file may raise anything on its way through zipfile, zlib, gzip and NumPy: InvalidInput instead."""
    try:
        yield
    except InvalidInput:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(f"cannot be read as data: {reason or type(error).__name__}") from None
