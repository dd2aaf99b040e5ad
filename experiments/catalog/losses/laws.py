"""What is predicted: where formulas break and how digits go, the signal of a wrong answer, and the time it takes to unlearn it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from experiments.data import load
from scratch.layers import Array

BITS = {"float64": 53, "float32": 24}  # of a significand, p; the unit roundoff u is 2^−p
EXPONENTS = {
    "float64": (1024, 1074),
    "float32": (128, 149),
}  # numbers lie below 2^first, and are multiples of 2^−second


def breaks(step: str, dtype: str) -> float:
    """The z from which a step of the naive formula is rounded to something else than it is.

    1 + e^−z is 1 from e^−z = u on, half the spacing above 1 (a tie goes to even); 1 − σ(−z) is 1 from e^−z = u/2 on, half the
    spacing below 1. e^z overflows half a spacing above the largest number, e^−z is 0 from half the smallest on.
    """
    p, (above, below) = BITS[dtype], EXPONENTS[dtype]
    return {
        "σ(z) becomes 1": p * np.log(2),
        "1 − σ(−z) becomes 1": (p + 1) * np.log(2),
        "e^z overflows": above * np.log(2) + np.log1p(-(2.0 ** -(p + 1))),
        "e^−z becomes 0": (below + 1) * np.log(2),
    }[step]


def lost(y: int, side: str) -> float:
    """Mean square error of J of the naive formula, in units of u where digits are lost.

    For large z > 0 it is 1 + e^−z that is rounded, by a uniform part of ±u, and its inverse is exact but for e^−2z: σ is off by
    ±u, and the mean square of a uniform number is a third. For z < 0 and y = 0 it is 1 − σ, just below 1: ±u/2.
    """
    return 1 / 12 if (y, side) == (0, "right") else 1 / 3


def lost_by_pytorch(dtype: str) -> float:
    """The same of PyTorch's BCEWithLogitsLoss for y = 0, z ≪ 0: it subtracts z − ln(1 + e^z), rounded like |z|, from z.

    Where digits are measured, numbers like z lie 2^(5−p) apart (float64, 16 to 32), or 2^(4−p) (float32, 8 to 16).
    """
    spacing = 32 if dtype == "float64" else 16  # in units of u
    return spacing**2 / 12


def outcome(y: int, side: str, size: float, dtype: str) -> str:
    """What the naive formula gives for a logit of that size: a number, 0, ∞, or NaN, which is 0·ln 0."""
    one, none, over = (breaks(step, dtype) for step in ("σ(z) becomes 1", "1 − σ(−z) becomes 1", "e^z overflows"))
    if side == "wrong":
        return "∞" if size >= (one if y == 0 else over) else "number"
    if y == 1:
        return "NaN" if size >= one else "number"
    return "NaN" if size >= over else "0" if size >= none else "number"


def slope(loss: str, z: Array) -> Array:
    """∂J/∂z of a sigmoid unit that should answer 1: a − 1, or 2(a − 1)·a(1 − a) for (a − 1)²."""
    a, rest = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
    return -rest if loss == "cross-entropy" else -2 * a * rest**2


def slope_error(loss: str, z: Array) -> Array:
    """What rounding does to it: a is off by u·a, which 1 − a does not forget."""
    a, rest = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
    carried = a if loss == "cross-entropy" else 4 * a * a * rest
    return 2.0**-53 * (5 * np.abs(slope(loss, z)) + carried)


@lru_cache
def random_signal(loss: str, scale: float) -> float:
    """E (n·∂J/∂z)² of logistic regression on breast_cancer with W ~ N(0, scale²/n): each z_i is N(0, scale²‖x_i‖²/n) exactly.

    By symmetry it does not matter which answer is right.
    """
    x = load("breast_cancer").train.x
    t = np.linspace(-9, 9, 6001)
    density = np.exp(-t * t / 2)
    deviations = scale * np.sqrt((x * x).mean(0))
    with np.errstate(over="ignore"):
        return float(np.mean([slope(loss, one * t) ** 2 @ density / density.sum() for one in deviations]))


def clock(loss: str, z: Array | float) -> Array | float:
    """Φ(z) = ∫ dz/−slope: gradient flow takes Φ(z) − Φ(z₀) from z₀ to z.

    1/(1 − a) = 1 + e^z for cross-entropy, 1/(2a(1 − a)²) = (1 + e^z)³/(2e^z) for squared error.
    """
    if loss == "cross-entropy":
        return z + np.exp(z)
    return (-np.exp(-z) + 3 * z + 3 * np.exp(z) + np.exp(2 * z) / 2) / 2


def needed(loss: str, wrong: float) -> float:
    """The time from z = −s to 0: 1 + s − e^−s for cross-entropy, about e^s/2 for squared error."""
    return float(clock(loss, 0.0) - clock(loss, -wrong))


def late(loss: str, z: Array, wrong: Array, rate: float) -> Array:
    """How much longer steps of size η take than gradient flow, to first order: (η/2) ln(f(z)/f(z₀)), f = −∂J/∂z.

    One step z → z + ηf moves Φ by η − η²f′/2 + …, and Σ η f′/2 along the way is half of ∫ f′/f dz, times η.
    """
    return rate / 2 * np.log(slope(loss, z) / slope(loss, -wrong))


def late_again(rate: float) -> float:
    """A bound on the second order, η²/12·([f′] + ∫ f′²/f dz) of Euler's modified equation: for both losses that sum is below 0.4."""
    return 0.4 * rate**2 / 12


def share_of_yes() -> float:
    """What is right about always answering yes, on the training part of breast_cancer."""
    return float(load("breast_cancer").train.y.mean())
