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


def pair(distance: Array, epsilon: float) -> Array:
    """What batch norm makes of two examples at that distance d: 1/√(1 + 4ε/d²), and less the same. Their variance is d²/4.

    The input's gradient is half the difference h of the output's, over σ, times 1 − x̂²: what batch norm takes away is all of it but
    for ε/(d²/4 + ε), which is 1 less the square of this.
    """
    return 1 / np.sqrt(1 + 4 * epsilon / distance**2)


def limited(push: Array) -> Array:
    """η/‖w′‖² after a step orthogonal to w, in units of 1/(2‖w‖‖g‖): 2x/(1 + x²) with x = η‖g‖/‖w‖, by Pythagoras; at most 1."""
    return 2 * push / (1 + push**2)


def noise(inputs: int, batch: int) -> tuple[float, float]:
    """G = E‖w‖²‖g‖² and E‖w‖⁴‖g‖⁴ of one unit, mean (x̂ − y)², where inputs (n of them) and targets are standard normal noise.

    ∂L/∂z = −(2/B)(1/σ)(y without its parts along 1 and x̂), and ∂L/∂w is its products with the inputs: 0 along w, and in the n − 1
    directions across, where inputs know nothing of z, Gaussian. So ‖g‖² = (4/B²)χ²(n−1)·χ²(B−2)/σ², σ² = ‖w‖²χ²(B−1)/B, and
    E χ⁴(k) = k(k + 2), E 1/χ²(k) = 1/(k − 2), E 1/χ⁴(k) = 1/((k − 2)(k − 4)).
    """
    n, b = inputs, batch
    first = 4 * (n - 1) * (b - 2) / (b * (b - 3))
    return first, 16 * (n - 1) * (n + 1) * (b - 2) / (b * (b - 3) * (b - 5))


def fourth(rate: float, steps: int, inputs: int, batch: int) -> Array:
    """E‖w‖⁴ after 0 … ``steps`` steps on that noise from ‖w‖ = 1: Arora, Li & Lyu's growth, u ← u + 2η²G + η⁴E‖g̃‖⁴/u.

    ‖w′‖² = ‖w‖² + η²‖g̃‖²/‖w‖², g̃ the gradient at length 1; its square, in the mean. 1/E u stands for E 1/u, which is larger: that is
    felt where u scatters most, after one large step, and by JENSEN at most for the numbers here. For many steps u is 2η²Gt, and so the
    effective rate η/√u is 1/√(2Gt), whatever η.
    """
    (first, second), u = noise(inputs, batch), [1.0]
    for _ in range(steps):
        u.append(u[-1] + 2 * rate**2 * first + rate**4 * second / u[-1])
    return np.array(u)


JENSEN = 2e-3  # of E‖w‖⁴, relative; simulated in the tests
