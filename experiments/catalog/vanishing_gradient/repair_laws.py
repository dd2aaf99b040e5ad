"""What theory says of repaired networks: how the squared gradient changes from layer to layer, and how inputs come to look alike.

Wide networks, weights of variance σ_w²/n, no biases. J is the loss, l a layer, L the last; "kind" is what is between two layers:
nothing, batch norm below the activation, or a skip connection h + αWφ(h) with α = 1 or 1/√L.
"""

import numpy as np
from scipy.special import roots_gegenbauer

from experiments import theory
from experiments.lab import Array
from scratch.activations import Activation

KINDS = ("plain", "batch norm", "skip", "skip/√L")
_NODES = 200  # of the quadrature over a sphere, in each of two directions


def scale(kind: str, depth: int) -> float:
    """α, by which a skip connection's branch is multiplied."""
    return depth**-0.5 if kind == "skip/√L" else 1.0


def gradient(kind: str, activation: Activation, sigma_w2: float, depth: int, batch: int) -> tuple[Array, Array]:
    """log ‖∂J/∂z_l‖²/‖∂J/∂z_L‖² (depth,), l = 1 … L, and how much of it went through weights, as a number of layers.

    ``batch`` is the number of examples, which matters to batch norm alone. The first layer's inputs are such that every
    example has E z² = σ_w², and with batch norm such that layer 1 is like the others.
    """
    if kind == "batch norm":
        factors, shares = np.full(depth - 1, np.log(batch_norm(activation, batch)[0])), np.ones(depth - 1)
    elif kind == "plain":
        factors = theory.mean_field(activation, np.array(sigma_w2), sigma_w2, 0.0, depth)[1][:-1]
        shares = np.ones(depth - 1)
    else:
        factors, shares = skip(activation, sigma_w2, scale(kind, depth), depth)
    return tuple(np.append(np.cumsum(a[::-1])[::-1], 0.0) for a in (factors, shares))  # type: ignore[return-value]


def skip(activation: Activation, sigma_w2: float, alpha: float, depth: int) -> tuple[Array, Array]:
    """Of each block h + αWφ(h): log(1 + α²χ), χ = σ_w² E φ′(√q z)², and the share α²χ/(1 + α²χ) that went through W.

    W is drawn independently of all below it and has mean 0, so cross terms vanish: q grows by α²σ_w² E φ(√q z)² a block, the
    squared gradient by the factor 1 + α²χ (Yang & Schoenholz 2017; He's ReLU: χ = 1, 2^(L−1); α² = 1/L: (1 + 1/L)^(L−1) < e).
    """
    q, through = sigma_w2, []
    for _ in range(depth - 1):
        size, slope = theory.moments(activation, np.array(q))
        through.append(alpha**2 * sigma_w2 * float(slope))
        q += alpha**2 * sigma_w2 * float(size)
    weights = np.array(through)
    return np.log1p(weights), weights / (1 + weights)


def batch_norm(activation: Activation, batch: int) -> tuple[float, float]:
    """Factor by which E‖∂J/∂z‖² grows a layer on its way down, φ(batch norm(z)) in each; and A − C. B ≥ 5 examples.

    After Yang et al. 2019, for any φ. Over the batch, x̂ is uniform on a sphere of radius √B in the B − 1 dimensions that sum to 0,
    whatever the weights. A = E φ(x̂₁)², C = E φ(x̂₁)φ(x̂₂). Then z has independent deviations of variance a = σ_w²(A − C), and
    dz = (1/σ)M D dh, D = diag φ′(x̂), M = P − x̂x̂ᵀ/B a projection, P = I − 11ᵀ/B. dh has covariance tP, so the factor is

        σ_w² E[1/σ²] E tr(M D P D)/(B − 1),   E 1/σ² = B/(a(B − 3)),

    and σ_w² cancels. tr(M D P D) = tr(M D²) − 1ᵀD M D1/B is written out in sums over one and over two examples.
    """
    x, y, weight = _two_examples(batch)

    def mean(values: Array) -> float:
        return float((weight * values).sum())

    (fx, dx), (fy, dy) = _both(activation, x), _both(activation, y)
    gap = mean(fx * fx) - mean(fx * fy)
    one, one_x = batch * mean(dx * dx), batch * mean((dx * x) ** 2)  # Σ d², Σ d²x̂²
    pairs = batch * (batch - 1)
    two, two_x = one + pairs * mean(dx * dy), one_x + pairs * mean(dx * x * dy * y)  # (Σ d)², (Σ d x̂)²
    trace = (1 - 1 / batch) * one - one_x / batch - (one - two / batch - two_x / batch) / batch
    return batch * trace / (gap * (batch - 3) * (batch - 1)), gap


def _two_examples(batch: int) -> tuple[Array, Array, Array]:
    """Nodes and weights for two entries of x̂: t, s are two coordinates of a uniform direction in n = B − 1 dimensions.

    A coordinate has density ∝ (1 − t²)^((n−3)/2), the next, given it, the same with n − 1; two entries correlate by c = −1/n.
    """
    n = batch - 1
    t, across = roots_gegenbauer(_NODES, (n - 2) / 2)
    s, along = roots_gegenbauer(_NODES, (n - 3) / 2)
    weight = across[:, None] * along
    x, c = np.sqrt(n) * t[:, None], -1 / n
    y = c * x + np.sqrt(n * (1 - c * c)) * np.sqrt(1 - t[:, None] ** 2) * s
    return np.broadcast_to(x, y.shape), y, weight / weight.sum()


def _both(activation: Activation, x: Array) -> tuple[Array, Array]:
    """φ and φ′."""
    value, cache = activation.forward({}, x.copy())
    return value, activation.backward({}, cache, np.ones_like(x))[0]


def correlations(start: float, depth: int) -> Array:
    """Correlation of two inputs' ReLU outputs at layers 1 … depth: c → (√(1−c²) + (π − arccos c)c)/π (Cho & Saul 2009)."""
    found, c = [], start
    for _ in range(depth):
        c = (np.sqrt(max(0.0, 1 - c * c)) + (np.pi - np.arccos(c)) * c) / np.pi
        found.append(c)
    return np.array(found)
