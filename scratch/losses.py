"""Losses: value and gradient together, and the only place where 1/m stands.

Each is called as ``value, gradient = loss(z, y)``: z (…, k, m) is what the network gives out, value is (…), gradient
∂J/∂z is (…, k, m). Elementwise losses average over all k·m numbers, as PyTorch's do; with one output (k = 1)
that is the notes' 1/n. Targets may lack the leading axes of z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scratch.errors import InvalidInput
from scratch.layers import Array


def indicator(labels: Array, classes: int) -> Array:
    """The notes' one-hot matrix (…, classes, m) of integer labels (…, m).

    Raises InvalidInput where a label is not one of 0 … classes−1.
    """
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise InvalidInput(f"labels must lie in 0 … {classes - 1}; found {labels.min()} … {labels.max()}")
    return labels[..., None, :] == np.arange(classes)[:, None]


class Loss:
    """Value and gradient of one objective."""

    takes_labels = False  # whether y may be integer labels (…, m); otherwise it is numbers (…, k, m)

    def __call__(self, z: Array, y: Array) -> tuple[Array, Array]:
        raise NotImplementedError

    def targets(self, y: Array, classes: int) -> Array:
        """``y`` as the matrix (…, classes, m) that the formula multiplies."""
        return y


@dataclass(frozen=True)
class SquaredError(Loss):
    """J = mean (z − y)²."""

    def __call__(self, z: Array, y: Array) -> tuple[Array, Array]:
        count = z.shape[-2] * z.shape[-1]
        error = z - y
        return (error * error).sum((-2, -1)) / count, error * (2 / count)


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """J = −mean [y ln σ(z) + (1−y) ln(1−σ(z))] from logits z, y in [0, 1]; ∂J/∂z = (σ(z) − y)/count."""

    def __call__(self, z: Array, y: Array) -> tuple[Array, Array]:
        count = z.shape[-2] * z.shape[-1]
        small = np.exp(-np.abs(z))  # never overflows; σ(z) = 1/(1+small) or small/(1+small)
        value = np.maximum(z, 0) - z * y + np.log1p(small)
        sigma = np.where(z >= 0, 1, small) / (1 + small)
        return value.sum((-2, -1)) / count, (sigma - y) / count


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """J = −(1/m) Σ y ln softmax(z) over classes and examples, from logits.

    y is integer labels (…, m) or a matrix of class probabilities (…, k, m); ∂J/∂z = (p Σ_k y − y)/m.
    """

    takes_labels = True

    def targets(self, y: Array, classes: int) -> Array:
        return indicator(y, classes) if y.dtype.kind in "iu" else y

    def __call__(self, z: Array, y: Array) -> tuple[Array, Array]:
        examples = z.shape[-1]
        target = self.targets(y, z.shape[-2])
        shifted = z - np.maximum.reduce(z, axis=-2, keepdims=True)
        p = np.exp(shifted)
        total = np.add.reduce(p, axis=-2, keepdims=True)
        shifted -= np.log(total)  # ln p
        value = -np.multiply(target, shifted).sum((-2, -1)) / examples
        p /= total
        if target is y:  # probabilities handed in need not sum to one; an indicator matrix does
            p *= np.add.reduce(y, axis=-2, keepdims=True)
        p -= target
        p /= examples
        return value, p


@dataclass(frozen=True)
class InnerProduct(Loss):
    """J = (1/m) Σ y z: its gradient y/m is whatever one wants to send down, whatever the network gives out."""

    def __call__(self, z: Array, y: Array) -> tuple[Array, Array]:
        examples = z.shape[-1]
        return (z * y).sum((-2, -1)) / examples, np.broadcast_to(y / examples, z.shape)
