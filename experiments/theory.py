"""What theory predicts: exact laws of random products, and mean-field recursions for wide networks.

Notation: n width, L depth, σ_w² = n·Var W, σ_b² = Var b, q_l the variance of a pre-activation z of layer l, φ an
activation. Logarithms are natural; "size" is a squared norm or a mean square.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import gammaln, polygamma, psi

from scratch.activations import Activation, HardTanh, Softplus
from scratch.errors import InvalidInput
from scratch.layers import Array

LOG_NORMAL_MEAN = -(np.euler_gamma + np.log(2)) / 2  # E log|N(0, 1)| = −0.6352

VARIANCES: dict[str, Callable[[int, int], float]] = {  # Var W of each init scheme, from (n_out, n_in)
    "zeros": lambda n_out, n_in: 0.0,
    "normal": lambda n_out, n_in: 1.0,
    "small_normal": lambda n_out, n_in: 0.01**2,
    "truncated_normal": lambda n_out, n_in: 0.7737413035499232,  # 1 − 4φ(2)/(Φ(2) − Φ(−2))
    "standard": lambda n_out, n_in: 1 / (3 * n_in),
    "lecun": lambda n_out, n_in: 1 / n_in,
    "lecun_uniform": lambda n_out, n_in: 1 / n_in,
    "xavier": lambda n_out, n_in: 2 / (n_in + n_out),
    "xavier_uniform": lambda n_out, n_in: 2 / (n_in + n_out),
    "he": lambda n_out, n_in: 2 / n_in,
    "he_uniform": lambda n_out, n_in: 2 / n_in,
    "notes": lambda n_out, n_in: 2 / n_in,
    "orthogonal": lambda n_out, n_in: 1 / max(n_in, n_out),
}


NOT_CENTRED = {"ones", "constant", "identity", "uniform"}  # schemes that mean field does not describe


def variance(init: str) -> Callable[[int, int], float] | None:
    """Var W of the scheme, from (n_out, n_in); None where mean field says nothing. Raises InvalidInput for one that is not listed here."""
    if init in VARIANCES:
        return VARIANCES[init] if init != "zeros" else None
    if init in NOT_CENTRED:
        return None
    raise InvalidInput(f"theory.VARIANCES does not say the variance of the init scheme {init!r}")


def product_moments(depth: Array) -> tuple[Array, Array]:
    """Mean and variance of log|w₁…w_n| for independent w ~ N(0, 1): n(−γ−ln 2)/2 and nπ²/8."""
    return depth * LOG_NORMAL_MEAN, depth * np.pi**2 / 8


def linear_moments(width: int, depth: Array) -> tuple[Array, Array]:
    """Mean and variance of log(‖h_L‖²/‖h₀‖²), W ~ N(0, 1/n): each layer multiplies by an independent χ²_n/n."""
    return depth * (np.log(2 / width) + psi(width / 2)), depth * polygamma(1, width / 2)


def relu_moments(width: int, depth: Array) -> tuple[Array, Array]:
    """The same for ReLU and W ~ N(0, 2/n), given that no layer died.

    A layer multiplies by (2/n)·χ²_K, where K ~ Bin(n, ½) units are active; K ≥ 1 if the signal survives.
    """
    active = np.arange(1, width + 1)
    log_choices = gammaln(width + 1) - gammaln(active + 1) - gammaln(width - active + 1)
    weight = np.exp(log_choices - width * np.log(2)) / (1 - 0.5**width)
    log_mean = np.log(4 / width) + psi(active / 2)
    mean = weight @ log_mean
    variance = weight @ (polygamma(1, active / 2) + (log_mean - mean) ** 2)
    return depth * mean, depth * variance


def born_dead(width: int, depth: Array) -> Array:
    """P(all units of some layer are 0) = 1 − (1 − 2⁻ⁿ)^L for one input, ReLU, symmetric weights, no bias."""
    return 1 - (1 - 0.5**width) ** depth


_REACH = 12.0  # beyond so many deviations lies 1e-32
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
_KINKS: dict[type, Callable[[Any], tuple[float, ...]]] = {  # of φ or φ′, apart from those at 0
    HardTanh: lambda layer: (layer.low, layer.high),
    Softplus: lambda layer: (layer.threshold / layer.beta,),
}


def _quadrature(kinks: Array) -> tuple[Array, Array]:
    """Nodes z and weights (…, N) for E f(z), z ~ N(0, 1): Gauss–Legendre between the ``kinks`` (…, K) and 0, each piece apart."""
    ends = np.broadcast_to([-_REACH, 0.0, _REACH], (*kinks.shape[:-1], 3))
    edges = np.sort(np.concatenate([ends, np.clip(kinks, -_REACH, _REACH)], axis=-1))[..., None]
    half, middle = (edges[..., 1:, :] - edges[..., :-1, :]) / 2, (edges[..., 1:, :] + edges[..., :-1, :]) / 2
    nodes = half * (_NODES + np.divide(middle, half, out=np.zeros_like(half), where=half > 0))
    weights = half * _WEIGHTS * np.exp(-nodes * nodes / 2) / np.sqrt(2 * np.pi)
    return nodes.reshape(*kinks.shape[:-1], -1), weights.reshape(*kinks.shape[:-1], -1)


_Z, _DENSITY = _quadrature(np.empty(0))


def moments(activation: Activation, q: Array) -> tuple[Array, Array]:
    """E φ(√q z)² and E φ′(√q z)² for z ~ N(0, 1), for every entry of ``q``."""
    root, kinks = np.sqrt(np.asarray(q, float))[..., None], _KINKS.get(type(activation))
    z, density = _Z, _DENSITY
    if kinks:
        with np.errstate(divide="ignore", invalid="ignore"):  # q = 0
            z, density = _quadrature(np.nan_to_num(np.array(kinks(activation)) / root))
    value, cache = activation.forward({}, root * z)
    slope, _ = activation.backward({}, cache, np.ones_like(value))
    return _expected(value**2, density), _expected(slope**2, density)


def _expected(values: Array, density: Array) -> Array:
    return values @ density if density.ndim == 1 else (values * density).sum(-1)


def mean_field(activation: Activation, q: Array, sigma_w2: float, sigma_b2: float, depth: int) -> tuple[Array, Array]:
    """E φ² (depth, …) and log χ (depth, …) of every layer, from the first layer's q (…).

    q_{l+1} = σ_w² E φ(√q_l z)² + σ_b² (Poole 2016, Eq. 3); χ_l = σ_w² E φ′(√q_l z)² multiplies the squared gradient on
    its way from layer l+1 to layer l (Schoenholz 2017, Eq. 5).
    """
    sizes, logs = [], []
    for _ in range(depth):
        size, slope = moments(activation, q)
        sizes.append(size)
        logs.append(np.log(sigma_w2 * slope))
        q = sigma_w2 * size + sigma_b2
    return np.array(sizes), np.array(logs)


def fixed_point(activation: Activation, sigma_w2: float, sigma_b2: float) -> tuple[float, float]:
    """q* to which the recursion of ``mean_field`` settles, and χ₁ there: below 1 gradients vanish, above they explode."""
    q = np.array(1.0)
    for _ in range(10_000):
        before, q = q, sigma_w2 * moments(activation, q)[0] + sigma_b2
        if abs(q - before) <= 1e-14 * q:
            break
    return float(q), float(sigma_w2 * moments(activation, q)[1])
