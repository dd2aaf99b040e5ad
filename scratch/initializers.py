"""Initial weights: one function per scheme, ``scheme(generator, shape, *, options…) -> W`` for shape (…, n_out, n_in).

Schemes of one distribution draw the same numbers from the same generator and differ in scale alone, so that
two of them can be compared on the same draws. ``functools.partial(he, mode="fan_out")`` is a scheme, too.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.random import Generator

from scratch.errors import InvalidInput, known
from scratch.layers import Array, Shape

Scheme = Callable[[Generator, Shape], Array]
Mode = Literal["fan_in", "fan_out"]
Nonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


def zeros(generator: Generator, shape: Shape) -> Array:
    """All weights 0: hidden units never become different."""
    return np.zeros(shape)


def ones(generator: Generator, shape: Shape) -> Array:
    """All weights 1: symmetric, and every signal grows with the number of inputs."""
    return np.ones(shape)


def constant(generator: Generator, shape: Shape, *, value: float = 0.1) -> Array:
    """All weights ``value``: as symmetric as zeros, though signals pass."""
    _require(math.isfinite(value), f"constant(value={value})", "must be finite")
    return np.full(shape, float(value))


def identity(generator: Generator, shape: Shape) -> Array:
    """W_ij = 1 where i = j, else 0, square or not: units hand their input on as long as there are places for it."""
    return np.broadcast_to(np.eye(shape[-2], shape[-1]), shape).copy()


def normal(generator: Generator, shape: Shape, *, mean: float = 0.0, std: float = 1.0) -> Array:
    """N(mean, std²)."""
    _require_normal("normal", mean, std)
    return mean + std * generator.standard_normal(shape)


def small_normal(generator: Generator, shape: Shape) -> Array:
    """N(0, 0.01²), the habit before 2010."""
    return generator.standard_normal(shape) * 0.01


def truncated_normal(
    generator: Generator, shape: Shape, *, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0
) -> Array:
    """N(mean, std²) given that it lies in [low, high], by rejection; the bounds are weights, not multiples of std.

    Raises InvalidInput where fewer than one draw in 10 000 would be kept, of the normal distribution and of the uniform one.
    """
    _require_normal("truncated_normal", mean, std)
    place = f"truncated_normal(mean={mean}, std={std}, low={low}, high={high})"
    a, b = (low - mean) / std, (high - mean) / std
    _require(a < b, place, "low must be below high, by more than rounding")
    peak = min(max(0.0, a), b)  # where the density is largest
    by_normal, by_uniform = _accepted(a, b, peak)
    _require(max(by_normal, by_uniform) > 1e-4, place, "fewer than one draw in 10 000 would lie in [low, high]")
    z, missing = np.empty(shape), np.ones(shape, bool)
    while count := np.count_nonzero(missing):
        if by_normal >= by_uniform:
            proposed = generator.standard_normal(count)
            kept = (a <= proposed) & (proposed <= b)
        else:
            proposed = generator.uniform(a, b, count)
            kept = generator.uniform(0, 1, count) < np.exp((peak**2 - proposed**2) / 2)
        z[missing] = proposed
        missing[missing] = ~kept
    return np.clip(mean + std * z, low, high)  # rounding may have passed a bound


def _accepted(a: float, b: float, peak: float) -> tuple[float, float]:
    """Share of N(0, 1) in [a, b]; share of U(a, b) that is kept with probability φ(z)/φ(peak)."""
    left, right = (a, b) if a + b > 0 else (-b, -a)  # in the upper tail, where erfc keeps its digits
    share = (math.erfc(left / math.sqrt(2)) - math.erfc(right / math.sqrt(2))) / 2
    return share, share * math.sqrt(2 * math.pi) * math.exp(min(peak**2 / 2, 700)) / (b - a)


def uniform(generator: Generator, shape: Shape, *, low: float = 0.0, high: float = 1.0) -> Array:
    """U(low, high)."""
    finite = math.isfinite(low) and math.isfinite(high)
    _require(finite and low <= high, f"uniform(low={low}, high={high})", "low must not be above high, and both finite")
    return generator.uniform(low, high, shape)


def standard(generator: Generator, shape: Shape) -> Array:
    """U(−1/√n_in, 1/√n_in), so n_in·Var W = 1/3: the "standard" that Glorot & Bengio (2010, Eq. 1) begin from."""
    return generator.uniform(-1, 1, shape) / np.sqrt(shape[-1])


def lecun(generator: Generator, shape: Shape) -> Array:
    """N(0, 1/n_in) (LeCun 1998)."""
    return generator.standard_normal(shape) * np.sqrt(1 / shape[-1])


def lecun_uniform(generator: Generator, shape: Shape) -> Array:
    """U(−√(3/n_in), √(3/n_in)), so Var W = 1/n_in as in ``lecun``."""
    return generator.uniform(-1, 1, shape) * np.sqrt(3 / shape[-1])


def xavier(generator: Generator, shape: Shape, *, gain: float = 1.0) -> Array:
    """N(0, gain²·2/(n_in + n_out)) (Glorot & Bengio 2010, Eq. 12)."""
    _require_gain("xavier", gain)
    return generator.standard_normal(shape) * (gain * np.sqrt(2 / (shape[-1] + shape[-2])))


def xavier_uniform(generator: Generator, shape: Shape, *, gain: float = 1.0) -> Array:
    """U(−r, r), r = gain·√(6/(n_in + n_out)), so Var W is that of ``xavier`` (Glorot & Bengio 2010, Eq. 16)."""
    _require_gain("xavier_uniform", gain)
    return generator.uniform(-1, 1, shape) * (gain * np.sqrt(6 / (shape[-1] + shape[-2])))


def he(
    generator: Generator,
    shape: Shape,
    *,
    mode: Mode = "fan_in",
    nonlinearity: Nonlinearity = "relu",
    slope: float = 0.01,
) -> Array:
    """N(0, gain²/n), with ReLU's gain² 2/n (He 2015, Eq. 10); n is n_in, or n_out: gradients keep their size (Eq. 14)."""
    return generator.normal(0, np.sqrt(_squared_gain(nonlinearity, slope) / _fan(shape, mode)), shape)


def he_uniform(
    generator: Generator,
    shape: Shape,
    *,
    mode: Mode = "fan_in",
    nonlinearity: Nonlinearity = "relu",
    slope: float = 0.01,
) -> Array:
    """U(−r, r), r = gain·√(3/n), so Var W is that of ``he``."""
    return generator.uniform(-1, 1, shape) * np.sqrt(3 * _squared_gain(nonlinearity, slope) / _fan(shape, mode))


def notes(generator: Generator, shape: Shape) -> Array:
    """The notes' "random weights * sqrt(2/n)", n the width of the layer before."""
    return generator.standard_normal(shape) * np.sqrt(2 / shape[-1])


def orthogonal(generator: Generator, shape: Shape, *, gain: float = 1.0) -> Array:
    """Orthonormal rows or columns, whichever are fewer, uniformly distributed (Saxe 2014), times ``gain``."""
    _require_gain("orthogonal", gain)
    *leading, n_out, n_in = shape
    tall = generator.standard_normal((*leading, max(n_out, n_in), min(n_out, n_in)))
    q, r = np.linalg.qr(tall)
    # without these signs, q depends on those that LAPACK happens to choose
    q *= gain * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    return np.ascontiguousarray(q if n_out >= n_in else q.mT)


def gain(nonlinearity: Nonlinearity, slope: float = 0.01) -> float:
    """The factor on √(1/n) that makes up for what an activation takes from a signal: PyTorch's table and its names.

    1 (linear, sigmoid), 5/3 (tanh), √2 (relu), √(2/(1 + slope²)) (leaky_relu), 3/4 (selu). Raises InvalidInput for others.
    """
    return math.sqrt(_squared_gain(nonlinearity, slope))


def _squared_gain(nonlinearity: str, slope: float) -> float:
    """Squared, because (√2)² is not 2 in floating point, and He's σ is √(2/n) to the last bit."""
    _require(math.isfinite(slope), f"gain(slope={slope})", "must be finite")
    leaky = 2 / (1 + slope**2)
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 25 / 9, "relu": 2.0, "leaky_relu": leaky, "selu": 9 / 16}
    return known("gain for the nonlinearity", nonlinearity, gains)


def _fan(shape: Shape, mode: str) -> int:
    return known("mode", mode, {"fan_in": shape[-1], "fan_out": shape[-2]})


def _require(holds: bool, place: str, expected: str) -> None:
    if not holds:
        raise InvalidInput(f"{place}: {expected}")


def _require_gain(scheme: str, gain: float) -> None:
    _require(0 < gain < math.inf, f"{scheme}(gain={gain})", "must be positive and finite")


def _require_normal(scheme: str, mean: float, std: float) -> None:
    _require(math.isfinite(mean), f"{scheme}(mean={mean})", "must be finite")
    _require(0 < std < math.inf, f"{scheme}(std={std})", "must be positive and finite")


def by_name() -> dict[str, Scheme]:
    """Every scheme of this file under its own name: a public function of (generator, shape) is the registration."""
    functions = inspect.getmembers(sys.modules[__name__], inspect.isfunction)
    return {name: f for name, f in functions if [*inspect.signature(f).parameters][:2] == ["generator", "shape"]}
