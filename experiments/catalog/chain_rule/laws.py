"""What is exactly so, with fifty digits, and how far from it the largest of many numbers is.

Distances are in units of u times the sum of the terms' sizes, so that a bound is a number of roundings.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, localcontext
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import sympy  # type: ignore[import-untyped]

from experiments.lab import Frame, compare
from scratch.gradcheck import U
from .shared import AT, z_of

SHARE = 5  # a fifth of a bound counts as standard error: the limit, 4.0 to 4.9 of them, is a little inside the bound
BOUNDED = "Largest difference from fifty digits, in roundings u·Σ|terms|; a fifth of the bound counts as standard error"
Exact = tuple[Decimal, Decimal]  # a value, and the sum of its terms' sizes
Numbers = Mapping[str, Iterable[float]]  # by quantity


@contextmanager
def fifty_digits() -> Iterator[None]:
    """What exact values lose with so many is nothing beside 1e-16."""
    with localcontext(prec=50):
        yield


@cache
def symbolic(example: str) -> tuple[list[Callable], list[list[Callable]]]:
    """sympy's gradient and Hessian of the example as functions, to be called with fifty digits."""
    symbols = sympy.symbols(f"x1:{len(AT[example]) + 1}")
    function = partial(sympy.lambdify, symbols)
    found = [sympy.expand(sympy.diff(z_of(example)(*symbols), x)) for x in symbols]
    return [function(g) for g in found], [[function(sympy.diff(g, x)) for x in symbols] for g in found]


def exactly(function: Callable, point: Sequence[float]) -> Exact:
    """The value of a polynomial with positive coefficients at a point, and the sum of its terms' sizes."""
    numbers = [Decimal(x) for x in point]
    return Decimal(function(*numbers)), Decimal(function(*map(abs, numbers)))


def summed(terms: Sequence[Decimal]) -> Exact:
    return sum(terms, Decimal()), sum(map(abs, terms), Decimal())


def off(measured: float, exact: Exact) -> float:
    """How far from the exact value, in roundings of the terms; an exact 0 without terms allows no difference."""
    value, size = exact
    apart = abs(Decimal(float(measured)) - value)
    return float(apart / (size * Decimal(U))) if size else (0.0 if not apart else np.inf)


def farthest(found: Iterable[float], exact: Sequence[Exact]) -> float:
    return max(off(a, e) for a, e in zip(found, exact, strict=True))


def distances(exact: Mapping[str, Sequence[Exact]], found: Numbers, wrong: Numbers, **columns: Any) -> Frame:
    """For each quantity how far the numbers found are from the exact ones, "measured", and how far wrong ones are, "control"."""
    pairs = [(farthest(found[name], numbers), farthest(wrong[name], numbers)) for name, numbers in exact.items()]
    return Frame(pairs, columns=["measured", "control"]).assign(**columns, quantity=list(exact))


def largest(found: Sequence[Frame]) -> Frame:
    """Of many distances of the same quantities."""
    table = pd.concat(found)
    return (
        table.groupby([name for name in table if name not in ("measured", "control")], sort=False).max().reset_index()
    )


def bounded(rows: Frame, condition: str, roundings: Any) -> Frame:
    """Differences that are to be 0 within so many roundings."""
    error = roundings / SHARE
    return compare(rows, condition, predicted=0.0, standard_error=error, control_measured=rows.control)
