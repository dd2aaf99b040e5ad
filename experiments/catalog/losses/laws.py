"""What is predicted of a wrong answer: the signal that a sigmoid unit is sent, and the time that it takes to unlearn it."""

import numpy as np

from experiments.lab import Array


def slope(loss: str, z: Array) -> Array:
    """∂J/∂z of a sigmoid unit that should answer 1: a − 1, or 2(a − 1)·a(1 − a) for (a − 1)²."""
    a, rest = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
    return -rest if loss == "cross-entropy" else -2 * a * rest**2


def slope_error(loss: str, z: Array) -> Array:
    """What rounding does to it: a is off by u·a, which 1 − a does not forget."""
    a, rest = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
    carried = a if loss == "cross-entropy" else 4 * a * a * rest
    return 2.0**-53 * (5 * np.abs(slope(loss, z)) + carried)


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
