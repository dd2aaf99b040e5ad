"""The notes' network number by number, and how far two computations of it may lie apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from experiments.agreement import unit_roundoff
from scratch.layers import Array, Tensors
from scratch.network import Parameters

FUNCTION = 8  # roundings in tanh or σ: 4 in the exponential, 4 in the sum, the quotient and the result
STEEPEST = (1.0, 0.25)  # slopes of tanh and σ, both at 0


def gamma(roundings: Array | int, unit: float) -> Array:
    """γ_k = ku/(1 − ku): what k roundings in a row may do, relatively (Higham 2002, lemma 3.1)."""
    return np.asarray(roundings * unit / (1 - roundings * unit))


def scalars(parameters: Parameters, x: Array, squashed: bool = True) -> list[Array]:
    """z1, a1, z2, a2 number by number with Python's math alone; ``squashed`` False forgets tanh."""
    first, second = parameters[0], parameters[2]
    columns = [by_hand(first, second, column, math.tanh if squashed else float) for column in x.T.tolist()]
    return [np.array(signal).T for signal in zip(*columns, strict=True)]


def by_hand(first: Tensors, second: Tensors, x: Sequence[float], squash: Callable[[float], float]) -> list[list[float]]:
    """The notes' four lines for one example."""
    z1 = affine(first, x)
    a1 = [squash(z) for z in z1]
    z2 = affine(second, a1)
    return [z1, a1, z2, [1 / (1 + math.exp(-z)) for z in z2]]


def affine(p: Tensors, x: Sequence[float]) -> list[float]:
    """One number a neuron: the products of its row, and its bias."""
    biases = p["b"][:, 0].tolist()
    return [math.fsum([*map(float.__mul__, row, x), b]) for row, b in zip(p["W"].tolist(), biases, strict=True)]


def bounds(parameters: Parameters, x: Array, signals: Sequence[Array]) -> list[Array]:
    """How far two computations of the same signals may lie apart, entry by entry.

    Each rounds a sum of i products and a bias i + 1 times; what they differ by below passes through |W|, and through the steepest slope
    of the function, which rounds its own result.
    """
    unit, found, below, above = unit_roundoff(x.dtype), [], np.zeros(x.shape), x.astype(float)
    for p, slope, result in zip((parameters[0], parameters[2]), STEEPEST, signals[1::2], strict=True):
        w, b = np.abs(p["W"].astype(float)), np.abs(p["b"])
        z = w @ below + 2 * gamma(w.shape[1] + 1, unit) * (w @ (np.abs(above) + below) + b)
        below, above = slope * z + 2 * gamma(FUNCTION, unit) * np.abs(result), result
        found += [z, below]
    return found


def nearest(a: Array, b: Array, limit: Array, unit: float) -> dict[str, float]:
    """The entry that comes nearest to its bound, both in units of u."""
    apart = np.abs(a.astype(float) - b)
    at = np.unravel_index((apart / limit).argmax(), apart.shape)
    return {"measured": float(apart[at] / unit), "predicted": float(limit[at] / unit)}
