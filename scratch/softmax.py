"""Softmax and its logarithm as layers. Shapes are (…, units, m) in and out; the loss CrossEntropy contains its own softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scratch.layers import Array, Layer, Tensors, silent


class AcrossUnits(Layer):
    """A layer without parameters that mixes the units of each example, and no example with another.

    An example that holds NaN or +∞, or only −∞, gives NaN throughout, as in PyTorch.
    """


@dataclass(frozen=True)
class Softmax(AcrossUnits):
    """a_i = e^z_i / Σ_k e^z_k over the units of each example; ∂J/∂z = a(g − Σ_k g_k a_k) with g = ∂J/∂a."""

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        a = np.exp(below_largest(z))
        a /= np.add.reduce(a, axis=-2, keepdims=True)
        return a, a

    @silent
    def backward(self, p: Tensors, a: Array, da: Array) -> tuple[Array, Tensors]:
        return (da - np.add.reduce(da * a, axis=-2, keepdims=True)) * a, {}

    def formula(self, p: Tensors, z: Any) -> Any:
        return np.exp(z) / np.sum(np.exp(z), axis=-2, keepdims=True)


@dataclass(frozen=True)
class LogSoftmax(AcrossUnits):
    """a_i = z_i − ln Σ_k e^z_k over the units of each example; ∂J/∂z = g − e^a Σ_k g_k with g = ∂J/∂a."""

    @silent
    def forward(self, p: Tensors, z: Array) -> tuple[Array, Array]:
        shifted = below_largest(z)
        a = shifted - np.log(np.add.reduce(np.exp(shifted), axis=-2, keepdims=True))
        return a, a

    @silent
    def backward(self, p: Tensors, a: Array, da: Array) -> tuple[Array, Tensors]:
        return da - np.exp(a) * np.add.reduce(da, axis=-2, keepdims=True), {}

    def formula(self, p: Tensors, z: Any) -> Any:
        return z - np.log(np.sum(np.exp(z), axis=-2, keepdims=True))


def below_largest(z: Array) -> Array:
    """z less the largest of its example: e^z cannot overflow, and softmax does not see the difference."""
    return z - np.maximum.reduce(z, axis=-2, keepdims=True)
