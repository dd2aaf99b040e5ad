"""Activations: elementwise layers, each with its derivative. Shapes are (…, units, m) in and out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scratch.layers import Array, Layer, Tensors


class Activation(Layer):
    """A layer without parameters that works on each number alone."""


@dataclass(frozen=True)
class Identity(Activation):
    """a = z."""

    def forward(self, p: Tensors, z: Array, out: Array | None = None) -> tuple[Array, None]:
        return z, None

    def backward(self, p: Tensors, cache: None, da: Array, out: Array | None = None) -> Array:
        return da


@dataclass(frozen=True)
class Sigmoid(Activation):
    """a = 1/(1+e^−z), da/dz = a(1−a)."""

    def forward(self, p: Tensors, z: Array, out: Array | None = None) -> tuple[Array, Array]:
        with np.errstate(over="ignore"):  # e^−z = ∞ gives the right limit, 0
            a = np.exp(np.negative(z, out=out), out=out)
        a += 1
        np.reciprocal(a, out=a)
        return a, a

    def backward(self, p: Tensors, a: Array, da: Array, out: Array | None = None) -> Array:
        return np.multiply(da, (1 - a) * a, out=out)


@dataclass(frozen=True)
class Tanh(Activation):
    """a = tanh z, da/dz = 1−a²."""

    def forward(self, p: Tensors, z: Array, out: Array | None = None) -> tuple[Array, Array]:
        a = np.tanh(z, out=out)
        return a, a

    def backward(self, p: Tensors, a: Array, da: Array, out: Array | None = None) -> Array:
        return np.multiply(da, 1 - a * a, out=out)


@dataclass(frozen=True)
class ReLU(Activation):
    """a = max(z, 0), da/dz = 1 where z > 0, else 0 (at 0 too, as PyTorch has it)."""

    def forward(self, p: Tensors, z: Array, out: Array | None = None) -> tuple[Array, Array]:
        a = np.maximum(z, 0, out=out)
        return a, a

    def backward(self, p: Tensors, a: Array, da: Array, out: Array | None = None) -> Array:
        return np.multiply(da, a > 0, out=out)


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """a = z where z > 0, else slope·z (Maas 2013)."""

    slope: float = 0.01

    def forward(self, p: Tensors, z: Array, out: Array | None = None) -> tuple[Array, Array]:
        factor = np.where(z > 0, z.dtype.type(1), z.dtype.type(self.slope))
        return np.multiply(z, factor, out=out), factor

    def backward(self, p: Tensors, factor: Array, da: Array, out: Array | None = None) -> Array:
        return np.multiply(da, factor, out=out)


def by_name() -> dict[str, type[Activation]]:
    """Every activation under its class name in lower case: the definition is the registration."""
    return {kind.__name__.lower(): kind for kind in Activation.__subclasses__()}
