"""What theory says of batch norm. B is the batch's number of examples; everything is one number, or an array of them.

Where wide networks have batch norm at every layer, the units' inputs at one layer are, unit by unit, independent Gaussian vectors over
the batch, with equal variances and equal correlations. Taking the mean away leaves a vector in B − 1 dimensions, dividing by its
length a direction: x̂ is uniform on a sphere of radius √B there, whatever the weights, and any two of its entries correlate by
c = −1/(B − 1). So one layer is like the next, and the exact rate below is a matter of averaging over that sphere.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from scratch.layers import Array


def correlation(c: float) -> float:
    """J(c) = (√(1−c²) + (π − arccos c)c)/π: 2 E ReLU(x)ReLU(y) for standard normals that correlate by c (Cho & Saul 2009)."""
    return float((np.sqrt(1 - c * c) + (np.pi - np.arccos(c)) * c) / np.pi)


def both_active(c: float) -> float:
    """J′(c) = (π − arccos c)/π: twice the probability that both are positive."""
    return float((np.pi - np.arccos(c)) / np.pi)


def explosion(kind: str, batch: int) -> float:
    """Factor by which E‖∂J/∂h‖² grows from one layer to the one below (Yang et al. 2019, Theorem 8), B ≥ 4.

    dz = (1/σ)(P − x̂x̂ᵀ/B) D dh, with P = I − 11ᵀ/B and D the ReLU's slopes, 0 or 1. One layer further down, dh has the covariance
    tP over the batch. Then E tr (P − x̂x̂ᵀ/B) D P D = (B−1)/2B · (B − 1 + J′ − (1 − J)), E 1/σ² = B/(a(B − 3)) from a χ² with
    B − 1 degrees of freedom, and a, a diagonal entry less one beside it of the covariance of z, is proportional to (1 − J)/2.
    The weights' variance cancels. Linear: D = I, the trace is B − 2, a is proportional to B/(B − 1).
    """
    if kind == "linear":
        return (batch - 2) / (batch - 3)
    c = -1 / (batch - 1)
    return (both_active(c) + batch - 1) / ((batch - 3) * (1 - correlation(c))) - 1 / (batch - 3)


LIMIT = np.pi / (np.pi - 1)  # of ReLU's factor for B → ∞: J(0) = 1/π


def shrunk(variance: Array, epsilon: float) -> Array:
    """σ²/(σ² + ε): the variance that batch norm gives a unit instead of 1."""
    return variance / (variance + epsilon)


def gap(batch: int) -> float:
    """E (x̂ in training − x̂ after it)² for Gaussian inputs whose mean and variance are known: 2(1 − E s), about 3/(2B).

    With g standard normal, x̂ is (g − ḡ)/s in training and g after. Σ(g − ḡ)g = Bs², so the mean square is 1 − 2s + mean g², and s is
    √(χ²/B) with B − 1 degrees of freedom: E s = √(2/B) Γ(B/2)/Γ((B−1)/2).
    """
    return float(2 * (1 - np.sqrt(2 / batch) * np.exp(gammaln(batch / 2) - gammaln((batch - 1) / 2))))


def weights(momentum: float, steps: int) -> Array:
    """What an exponential average gives to each of the batches so far, the newest first: μ(1 − μ)ᵏ."""
    return momentum * (1 - momentum) ** np.arange(steps)


def average(momentum: float, steps: int, start: float, truth: float) -> float:
    """Expected running average after so many batches: (1 − μ)ᵗ of its first value is left."""
    left = (1 - momentum) ** steps
    return left * start + (1 - left) * truth


def spread(momentum: float, steps: int, variance: float) -> float:
    """Its variance, if a batch's value has ``variance``: μ/(2 − μ)·(1 − (1 − μ)²ᵗ) of that."""
    return momentum / (2 - momentum) * (1 - (1 - momentum) ** (2 * steps)) * variance


def of_one_batch(sigma2: float, batch: int) -> dict[str, float]:
    """Variance of a Gaussian batch's mean, σ²/B, and of its unbiased variance, 2σ⁴/(B − 1)."""
    return {"mean": sigma2 / batch, "variance": 2 * sigma2**2 / (batch - 1)}


def excess(statistic: str, momentum: float, steps: int, batch: int) -> float:
    """Excess kurtosis of the running average: 0 for the mean; 12/(B−1)·Σw⁴/(Σw²)² for the variance, a sum of χ²."""
    w2 = weights(momentum, steps) ** 2
    return 0.0 if statistic == "mean" else float(12 / (batch - 1) * (w2**2).sum() / w2.sum() ** 2)
