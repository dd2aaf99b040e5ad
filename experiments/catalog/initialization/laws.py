"""What theory predicts about the start: how symmetry breaks, singular values, sizes of signals, units born dead.

Notation: n width, L depth, ψ the digamma function, κ the excess kurtosis of a weight, s the factor on He's scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.special import ndtr, psi

from experiments import theory
from scratch.activations import Activation
from scratch.layers import Array

QUARTER_CIRCLE = 8 / (3 * np.pi)  # mean of the density √(4 − s²)/π on [0, 2]
SCALES = {"xavier_uniform": 1.0, "standard": 1 / np.sqrt(3), "xavier": 1.0}  # √(n Var W) of a square matrix
KURTOSIS = {"xavier_uniform": -1.2, "standard": -1.2, "xavier": 0.0}
READINGS = {  # of the notes' √(2/(n−1)), as Var W of (n_out, n_in)
    "he": lambda n_out, n_in: 2 / n_in,
    "literal": lambda n_out, n_in: 2 / (n_in - 1),
    "xavier": lambda n_out, n_in: 2 / (n_in + n_out),
}


# --- symmetry --------------------------------------------------------------------------------------------------------------


def tangent(
    noise_in: Array, noise_out: Array, value: float, x: Array, y: Array, rate: float, steps: int
) -> tuple[Array, Array]:
    """Growth of a small difference between the units of y = V tanh(Wx + b) + c, all of whose weights start at ``value``.

    Equal units move alike, so one of them, (w, b, v), stands for all h, and q = h·v tanh(w·x + b) + c. Differences δ that
    sum to 0 over the units change no output to first order, and each unit's obeys the linearised step in the fields of
    the others: with e = vᵀr, r = ∂J/∂q, a = tanh z, δz = δw·x + δb

        δw ← δw − η Σ (φ″(z) e δz + φ′(z) δvᵀr) xᵀ,    δv ← δv − η Σ r φ′(z) δz.

    ``noise_in`` (h, features), ``noise_out`` (classes, h): the difference at the start. Returns, for each step, the root
    mean square of δw, and the largest |δ|/|θ| over units: how far from linear it is, for a difference of that size.
    """
    units, (classes, m) = len(noise_in), (len(noise_out), x.shape[1])
    target = np.eye(classes)[:, y]
    w, b, v, c = np.full((1, len(x)), value), np.zeros((1, 1)), np.full((classes, 1), value), np.zeros((classes, 1))
    dw, db = noise_in - noise_in.mean(0), np.zeros((units, 1))
    dv = noise_out - noise_out.mean(1, keepdims=True)
    sizes, shares = np.empty(steps + 1), np.empty(steps + 1)
    for step in range(steps + 1):
        sizes[step] = np.sqrt((dw**2).mean())
        moved, own = (dw**2).sum(1) + (dv**2).sum(0), (w**2).sum() + (v**2).sum()
        shares[step] = np.sqrt(moved.max() / own)
        a = np.tanh(w @ x + b)
        q = units * v @ a + c
        p = np.exp(q - q.max(0))
        r = (p / p.sum(0) - target) / m
        slope, error, dz = 1 - a * a, v.T @ r, dw @ x + db
        gdz = -2 * a * slope * error * dz + slope * (dv.T @ r)
        dw, db, dv = dw - rate * gdz @ x.T, db - rate * gdz.sum(1, keepdims=True), dv - rate * r @ (slope * dz).T
        gz = slope * error
        w, b = w - rate * gz @ x.T, b - rate * gz.sum(1, keepdims=True)
        v, c = v - rate * r @ a.T, c - rate * r.sum(1, keepdims=True)
    return sizes, shares


def passing(looks: Sequence[int], sizes: Array, level: float) -> float:
    """The step at which ``sizes`` first passes ``level``, log-linear between looks; NaN if it does not, or begins above."""
    above = np.flatnonzero(sizes >= level)
    if not len(above) or above[0] == 0:
        return float("nan")
    k = int(above[0])
    low, high = np.log(sizes[k - 1 : k + 1])
    return float(looks[k - 1] + (looks[k] - looks[k - 1]) * (np.log(level) - low) / (high - low))


def bias_alone(labels: Array, classes: int, rate: float, steps: int) -> Array:
    """Cross-entropy at each step of a network that sees nothing of x: descent on its output bias, c ← c − η(softmax(c) − f).

    f: the classes' shares. The loss falls to their entropy, what guessing gives.
    """
    share = np.bincount(labels, minlength=classes) / len(labels)
    c, found = np.zeros(classes), []
    for _ in range(steps + 1):
        log_p = c - c.max() - np.log(np.exp(c - c.max()).sum())
        found.append(-float(share @ log_p))
        c = c - rate * (np.exp(log_p) - share)
    return np.array(found)


# --- singular values -------------------------------------------------------------------------------------------------------


def mean_singular_value(n: int, scheme: str) -> float:
    """Of a square matrix of n² independent weights: σ√n (8/3π + (½ − 2/π − 4κ/15π)/n), up to log n/n².

    The quarter-circle law of the limit; at order 1/n a real Gaussian square matrix adds to Σ f(s²) the amount
    ¼f(4) + ¼f(0) − (1/2π)∫ f(x)/√(x(4−x)) dx, and a kurtosis κ adds κ/2π ∫ f(s²)(s⁴ − 4s² + 2)/√(4 − s²) ds; f = √.
    """
    first = 0.5 - 2 / np.pi - 4 * KURTOSIS[scheme] / (15 * np.pi)
    return float(SCALES[scheme] * (QUARTER_CIRCLE + first / n))


def lyapunov(n: int) -> Array:
    """λ_i = ½[ln(2/n) + ψ((n−i+1)/2)]: growth per layer of the logs of a product's singular values, W ~ N(0, 1/n) (Newman 1986)."""
    return (np.log(2 / n) + psi(np.arange(n, 0, -1) / 2)) / 2


def asymptotes(n: int, depth: int) -> Array:
    """E ln s_i of a product of ``depth`` Gaussian layers, for great depth: L λ_i + c_i − c_{i−1}.

    k directions span a volume that grows by L(λ₁ + … + λ_k), and it is the volume s₁…s_k times a k × k minor of a random
    orthogonal matrix: c_k = −E ln|minor| = ½Σ_{j≤k} [ψ((n−j+1)/2) − ψ((k−j+1)/2)].
    """
    volumes = [(psi((n - np.arange(k)) / 2) - psi((k - np.arange(k)) / 2)).sum() / 2 for k in range(n + 1)]
    return depth * lyapunov(n) + np.diff(volumes)


def log_condition(n: int, depth: Array) -> tuple[Array, Array]:
    """Middle and half-width of what E ln(s₁/s_n) must lie in after ``depth`` Gaussian layers: from L·g to (L+2)·g.

    g = ½[ψ(n/2) − ψ(½)] = λ₁ − λ_n. A fixed direction e is stretched by L λ₁ on average and by no more than s₁, which
    gives the lower end; and by at least s₁|u₁·e|, u₁ uniform on the sphere, E ln|u₁·e| = −g, which gives the upper
    one. The same holds for the inverse. As L grows the upper end is reached.
    """
    gap = (psi(n / 2) - psi(0.5)) / 2
    return (np.asarray(depth) + 1) * gap, np.full(np.shape(depth), gap)


# --- three readings of the notes' rule ---------------------------------------------------------------------------------------


def log_variance(reading: str, widths: Sequence[int]) -> Array:
    """ln Var W of every layer of a network of these ``widths``, the input's first."""
    return np.log([READINGS[reading](n_out, n_in) for n_in, n_out in pairwise(widths)])


def relu_log_size(reading: str, widths: Sequence[int]) -> tuple[Array, Array]:
    """Mean and variance of ln(h̄²_l/h̄²_0), h̄² the mean square over units, after each ReLU layer that is alive, no bias.

    ‖h_l‖² is ‖h_{l−1}‖² Var W times χ²_K, K ~ Bin(n_l, ½); so a layer adds ln(n_in Var W/2) and ``theory.relu_moments``.
    """
    layer = np.array([theory.relu_moments(n, np.array(1.0)) for n in widths[1:]])
    gain = log_variance(reading, widths) + np.log(np.array(widths[:-1]) / 2)
    return np.cumsum(gain + layer[:, 0]), np.cumsum(layer[:, 1])


# --- unit variance -----------------------------------------------------------------------------------------------------------


def gains(activation: Activation, sizes: Array, layers: int) -> Array:
    """What a layer's n·Var W must be so that its output has variance 1, for layers 2 … ``layers``: 1/E φ(z)² (wide networks).

    ``sizes``: ‖x‖² of every example, which set the spread of z in layer 1; a layer hands on how they differ.
    """
    q, found = sizes / sizes.mean(), []
    for _ in range(layers - 1):
        after = theory.moments(activation, q)[0]
        found.append(1 / after.mean())
        q = after * found[-1]
    return np.array(found)


# --- born dead -----------------------------------------------------------------------------------------------------------------


def both_dead(n: int, depth: int) -> tuple[Array, Array]:
    """Bounds on P(x and −x are both dead) after 1 … ``depth`` ReLU layers of width n, no bias; exact in the first two.

    A unit is off for a living input with probability ½, for both at an angle θ with q = (π − θ)/2π. In layer 1, θ = π:
    q = 0. What it hands on has no unit in common, θ = π/2: q = ¼. From then on 0 ≤ θ ≤ π/2, and the more two inputs
    look alike the likelier they die together, so q = ¼ and q = ½ are the bounds.
    """
    found = []
    for later in (0.25, 0.5):
        both, one, dead = 1.0, 0.0, [0.0]
        for layer in range(1, depth + 1):
            off, together = 0.5**n, {1: 0.0, 2: 0.25**n}.get(layer, later**n)
            dead.append(dead[-1] + both * together + one * off)
            one = one * (1 - off) + both * 2 * (off - together)
            both *= 1 - 2 * off + together
        found.append(np.array(dead[1:]))
    return found[0], found[1]


def off(bias: float, norm: Array, n: int, n_in: int) -> Array:
    """P(all n units of a ReLU layer are off) = Φ(−b/(σ‖h‖))ⁿ given its input's norm, He's σ² = 2/n_in; 0 where h = 0."""
    alive = norm > 0
    return np.where(alive, ndtr(-bias / (np.sqrt(2 / n_in) * np.where(alive, norm, 1))) ** n, 0.0)


def deepest(n: int) -> int:
    """The depth to which the smallest singular value of a Gaussian product stands clear of rounding in nearly every draw.

    ln(s₁/s_n) has about the mean (L + 2)g and a variance of 1.5 L at most; six deviations above it must stay below 10¹³.
    """
    depths = np.arange(1, 60)
    middle, half = log_condition(n, depths)
    return int(depths[middle + half + 6 * np.sqrt(1.5 * depths) < np.log(1e13)].max(initial=1))
