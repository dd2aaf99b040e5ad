"""Activations: elementwise layers, each with its derivative. Shapes are (…, units, m) in and out.

±∞, NaN and kinks give what PyTorch gives there, unless a class says otherwise. Where ∞·0 comes up that is NaN, in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, pi, sqrt
from typing import Any, Literal

import numpy as np

from scratch.layers import Array, Layer, Tensors, silent
from scratch.options import require
from scratch.special import normal_cdf

SELU_ALPHA, SELU_LAMBDA = (
    1.6732632423543772848,
    1.0507009873554804934,
)  # closed forms: tests/scratch/test_activations.py
GELU_SCALE, GELU_CUBE = sqrt(2 / pi), 0.044715


class Activation(Layer):
    """A layer that works on each number alone. Unless it overrides ``backward``, ``forward`` remembers da/dz itself."""

    @silent
    def backward(self, p: Tensors, slope: Any, da: Array) -> tuple[Array, Tensors]:
        return da * slope, {}


@dataclass(frozen=True)
class Identity(Activation):
    """a = z."""

    def forward(self, p: Tensors, z: Array) -> tuple[Array, None]:
        return z, None

    def backward(self, p: Tensors, cache: None, da: Array) -> tuple[Array, Tensors]:
        return da, {}

    def formula(self, p: Tensors, z: Any) -> Any:
        return z


@dataclass(frozen=True)
class Sigmoid(Activation):
    """a = 1/(1+e^−z), da/dz = a(1−a)."""

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        a = _sigmoid(z)
        return a, a

    @silent
    def backward(self, p: Tensors, a: Array, da: Array) -> tuple[Array, Tensors]:
        return da * ((1 - a) * a), {}

    def formula(self, p: Tensors, z: Any) -> Any:
        return 1 / (1 + np.exp(-z))


@dataclass(frozen=True)
class Tanh(Activation):
    """a = tanh z, da/dz = 1−a²."""

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        a = np.tanh(z)
        return a, a

    @silent
    def backward(self, p: Tensors, a: Array, da: Array) -> tuple[Array, Tensors]:
        return da * (1 - a * a), {}

    def formula(self, p: Tensors, z: Any) -> Any:
        return (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z))


@dataclass(frozen=True)
class ReLU(Activation):
    """a = max(z, 0), da/dz = 1 where z > 0, else 0 (at 0 too, as PyTorch has it)."""

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        # where real parts tie, np.maximum asks the imaginary ones: for a complex step that is another slope at 0
        a = np.where(z.real > 0, z, 0) if z.dtype.kind == "c" else np.clip(z, 0, inf)  # maximum is several times slower
        return a, a

    @silent
    def backward(self, p: Tensors, a: Array, da: Array) -> tuple[Array, Tensors]:
        return da * (a != 0), {}  # a > 0, but that NaN lets the gradient pass

    def formula(self, p: Tensors, z: Any) -> Any:
        return np.where(_real(z) > 0, z, 0)


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """a = z where z > 0, else slope·z (Maas 2013)."""

    slope: float = 0.01

    def __post_init__(self) -> None:
        require(isfinite(self.slope), self, "slope", "be a finite number")

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        factor = np.where(z.real > 0, z.dtype.type(1), z.dtype.type(self.slope))
        return z * factor, factor

    def formula(self, p: Tensors, z: Any) -> Any:
        return np.where(_real(z) > 0, z, self.slope * z)


@dataclass(frozen=True)
class ELU(Activation):
    """a = z where z > 0, else α(e^z − 1) (Clevert 2016); at 0 the slope is α."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        require(isfinite(self.alpha), self, "alpha", "be a finite number")

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        return _elu(z, self.alpha, 1.0)

    def formula(self, p: Tensors, z: Any) -> Any:
        return np.where(_real(z) > 0, z, self.alpha * (np.exp(z) - 1))


@dataclass(frozen=True)
class SELU(Activation):
    """a = λz where z > 0, else λα(e^z − 1): keeps mean 0 and variance 1 of N(0, 1) (Klambauer 2017, Eq. 2)."""

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        return _elu(z, SELU_ALPHA, SELU_LAMBDA)

    def formula(self, p: Tensors, z: Any) -> Any:
        return SELU_LAMBDA * np.where(_real(z) > 0, z, SELU_ALPHA * (np.exp(z) - 1))


@dataclass(frozen=True)
class GELU(Activation):
    """a = zΦ(z), Φ the normal distribution function; with "tanh" a = z(1 + tanh √(2/π)(z + 0.044715z³))/2 (Hendrycks 2016).

    In the negative tail relative accuracy is kept, which PyTorch's 1 + erf and 1 + tanh lose to cancellation.
    """

    approximate: Literal["none", "tanh"] = "none"

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        square = z * z
        if self.approximate == "none":
            gate, density = normal_cdf(z), np.exp(-0.5 * square) / sqrt(2 * pi)
        else:  # (1 + tanh u)/2 = σ(2u)
            square = np.minimum(square, 1e4)  # beyond 100 the gate is 0 or 1, and ∞·0 would be NaN
            gate = _sigmoid(2 * GELU_SCALE * z * (1 + GELU_CUBE * square))
            density = gate * (1 - gate) * (2 * GELU_SCALE * (1 + 3 * GELU_CUBE * square))
        return _gated(z, gate, density)

    def formula(self, p: Tensors, z: Any) -> Any:
        from scratch.autodiff import erf  # here, because a network runs without it

        if self.approximate == "none":
            return z * (1 + erf(z / sqrt(2))) / 2
        return z * (1 + np.tanh(GELU_SCALE * (z + GELU_CUBE * z**3))) / 2


@dataclass(frozen=True)
class Softplus(Activation):
    """a = ln(1 + e^βz)/β, da/dz = σ(βz); a = z exactly where βz > threshold (Dugas 2001; the threshold is PyTorch's).

    With a threshold above 709 (float32: 88) PyTorch's e^βz overflows; here nothing does.
    """

    beta: float = 1.0
    threshold: float = 20.0

    def __post_init__(self) -> None:
        require(0 < self.beta < inf, self, "beta", "be positive and finite")
        require(self.threshold >= 0, self, "threshold", "be 0 or more")

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        t = self.beta * z
        small = np.exp(np.minimum(t, -t))  # e^−|t|
        small = np.where(t.real > self.threshold, 0, small)
        slope = np.where(t.real < 0, small, 1) / (1 + small)
        return np.maximum(z, 0) + np.log1p(small) / self.beta, slope

    def formula(self, p: Tensors, z: Any) -> Any:
        t = self.beta * z
        return np.where(_real(t) > self.threshold, z, np.log(1 + np.exp(t)) / self.beta)


@dataclass(frozen=True)
class SiLU(Activation):
    """a = zσ(z), also called swish (Elfwing 2018)."""

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        gate = _sigmoid(z)
        return _gated(z, gate, (1 - gate) * gate)

    def formula(self, p: Tensors, z: Any) -> Any:
        return z / (1 + np.exp(-z))


@dataclass(frozen=True)
class Mish(Activation):
    """a = z tanh ln(1 + e^z) (Misra 2020)."""

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        low, high = np.exp(np.minimum(z, 0)), np.exp(np.minimum(-z, 0))  # e^z = low/high, and neither overflows
        above = low * (low + 2 * high)  # tanh ln(1+n) = (n²+2n)/(n²+2n+2), with n = low/high
        below = above + 2 * high * high
        density = low * high * high * (low + high) * 4 / (below * below)
        return _gated(z, above / below, density)

    def formula(self, p: Tensors, z: Any) -> Any:
        return z * np.tanh(np.log(1 + np.exp(z)))


@dataclass(frozen=True)
class HardTanh(Activation):
    """a = z held between low and high (Collobert 2004), da/dz = 1 strictly between them, else 0."""

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        require(self.low < self.high, self, "low", f"be below high={self.high}")

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        inside = ~((z.real <= self.low) | (z.real >= self.high))  # NaN counts as inside
        if z.dtype.kind == "c":  # as in ReLU
            return np.where(inside, z, np.clip(z.real, self.low, self.high)), inside
        return np.minimum(np.maximum(z, self.low), self.high), inside

    def formula(self, p: Tensors, z: Any) -> Any:
        return np.where(_real(z) <= self.low, self.low, np.where(_real(z) >= self.high, self.high, z))


def by_name() -> dict[str, type[Activation]]:
    """Every activation that works on each number alone, under its class name in lower case: the definition registers it."""
    return {kind.__name__.lower(): kind for kind in Activation.__subclasses__()}


def _real(z: Any) -> Any:
    """What a formula compares: a complex step must not choose the branch, and autodiff's variables are real already."""
    return getattr(z, "real", z)


def _sigmoid(z: Array) -> Array:
    if z.dtype.kind == "c":  # 1/(∞ + i∞) would be NaN
        z = np.where(z.real < -700, -700, z)
    return np.reciprocal(1 + np.exp(-z))  # ∞ gives the right limit, 0


def _gated(z: Array, gate: Array, slope: Array) -> tuple[Array, Array]:
    """a = z·gate(z) and da/dz = gate + z·gate′, gate′ being ``slope``."""
    return z * gate, slope * z + gate


def _elu(z: Array, alpha: float, scale: float) -> tuple[Array, Array]:
    """λz and λ above 0, λα(e^z − 1) and λαe^z from 0 down."""
    below = z.real <= 0  # NaN counts as above
    half = np.tanh(z / 2)  # what overflows here has z > 0, and is thrown away
    curve = half * (scale * alpha) / ((1 - half) / 2)  # e^z − 1 to the last bits: NumPy's expm1 is many times slower
    slope = np.where(below, np.exp(z) * (scale * alpha), scale)
    return np.where(below, curve, z * scale), slope
