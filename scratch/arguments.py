"""What a user hands over, checked where it comes in: each function gives it back, or raises InvalidInput that names the argument."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.random import Generator

from scratch.errors import InvalidInput
from scratch.layers import Array
from scratch.options import is_plain, kind_of

T = TypeVar("T")


def array(place: str, value: Any, expected: str = "an array of numbers", kinds: str = "iuf") -> Array:
    """``value`` itself, or the array that lists or NumPy's numbers mean; ``kinds``: NumPy's letters for what it may hold."""
    if isinstance(value, (list, tuple, np.generic)):
        try:
            value = np.array(value)
        except (ValueError, TypeError, OverflowError, RuntimeError):  # ragged, or of things that are no numbers
            raise InvalidInput(f"{place}: expected {expected}, got a {kind_of(value)} that makes none") from None
    if not is_plain(value) or value.dtype.kind not in kinds:
        came = f"{value.dtype} {value.shape}" if is_plain(value) else kind_of(value)
        raise InvalidInput(f"{place}: expected {expected}, got {came}")
    return value


def whole(place: str, name: str, value: Any, low: int | None = None) -> int:
    """A whole number of 64 bits, from ``low`` up; a truth value is none."""
    low, number = -(2**63) if low is None else low, isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    right = number and low <= value < 2**63
    require(right, place, name, value, "a whole number" + (f" from {low} up" if low > -(2**63) else ""))
    return int(value)


def real(place: str, name: str, value: Any) -> float:
    """A real number, not NaN; infinities are for the caller to judge."""
    right = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    try:
        found = float(value) if right else np.nan
    except OverflowError:
        found = np.nan
    require(not np.isnan(found), place, name, value, "a number")
    return found


def truth(place: str, name: str, value: Any) -> bool:
    """True or False, Python's or NumPy's."""
    require(isinstance(value, (bool, np.bool_)), place, name, value, "True or False")
    return bool(value)


def kind(place: str, name: str, value: Any, expected: type[T]) -> T:
    """An object of the class ``expected``."""
    require(isinstance(value, expected), place, name, value, f"of the kind {expected.__name__}")
    return value


def generator(place: str, value: Any) -> Generator:
    """NumPy's generator; of a seed, a whole number from 0 up, a fresh one."""
    seed = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= 0)
    require(
        seed or isinstance(value, Generator), place, "generator", value, "a numpy.random.Generator, or a seed from 0 up"
    )
    return np.random.default_rng(value)


def require(right: bool, place: str, name: str, value: Any, expected: str) -> None:
    """Raises InvalidInput, ``place(name=value): must be expected``, unless it is ``right``."""
    if not right:
        raise InvalidInput(f"{place}({name}={shown(value)}): must be {expected}")


def shown(value: Any) -> str:
    """A value in few characters of one line: what is longer, or no number or word, by its kind."""
    if (
        isinstance(value, (bool, float, complex, str, np.generic))
        or value is None
        or (isinstance(value, int) and abs(value) < 1e30)
    ):
        text = str(value) if isinstance(value, np.generic) else repr(value)
        return text if len(text) <= 60 and "\n" not in text else f"{text.splitlines()[0][:57]}…"
    return kind_of(value)
