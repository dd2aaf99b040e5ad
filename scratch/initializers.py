"""Initial weights: one function per scheme, ``scheme(generator, shape) -> W`` for shape (…, n_out, n_in).

Schemes of one distribution draw the same numbers from the same generator and differ in scale alone, so that
two of them can be compared on the same draws.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from scratch.layers import Array, Shape

Scheme = Callable[[Generator, Shape], Array]


def zeros(generator: Generator, shape: Shape) -> Array:
    """All weights 0: hidden units never become different."""
    return np.zeros(shape)


def constant(generator: Generator, shape: Shape) -> Array:
    """All weights 0.1: as symmetric as zeros, though signals pass."""
    return np.full(shape, 0.1)


def small_normal(generator: Generator, shape: Shape) -> Array:
    """N(0, 0.01²), the habit before 2010."""
    return generator.standard_normal(shape) * 0.01


def standard(generator: Generator, shape: Shape) -> Array:
    """U(−1/√n_in, 1/√n_in), so n_in·Var W = 1/3: the "standard" that Glorot & Bengio (2010, Eq. 1) begin from."""
    return generator.uniform(-1, 1, shape) / np.sqrt(shape[-1])


def lecun(generator: Generator, shape: Shape) -> Array:
    """N(0, 1/n_in) (LeCun 1998)."""
    return generator.standard_normal(shape) * np.sqrt(1 / shape[-1])


def xavier(generator: Generator, shape: Shape) -> Array:
    """N(0, 2/(n_in + n_out)) (Glorot & Bengio 2010, Eq. 12)."""
    return generator.standard_normal(shape) * np.sqrt(2 / (shape[-1] + shape[-2]))


def he(generator: Generator, shape: Shape) -> Array:
    """N(0, 2/n_in) (He 2015, Eq. 10)."""
    return generator.normal(0, np.sqrt(2 / shape[-1]), shape)


def notes(generator: Generator, shape: Shape) -> Array:
    """The notes' "random weights * sqrt(2/n)", n the width of the layer before."""
    return generator.standard_normal(shape) * np.sqrt(2 / shape[-1])


def orthogonal(generator: Generator, shape: Shape) -> Array:
    """Orthonormal rows or columns, whichever are fewer, uniformly distributed (Saxe 2014)."""
    *leading, n_out, n_in = shape
    tall = generator.standard_normal((*leading, max(n_out, n_in), min(n_out, n_in)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diagonal(r, axis1=-2, axis2=-1))[
        ..., None, :
    ]  # without it, q depends on the signs LAPACK happens to choose
    return np.ascontiguousarray(q if n_out >= n_in else q.mT)


def by_name() -> dict[str, Scheme]:
    """Every scheme of this file under its own name: the definition is the registration."""
    functions = inspect.getmembers(sys.modules[__name__], inspect.isfunction)
    return {name: f for name, f in functions if f.__module__ == __name__ and name != "by_name"}
