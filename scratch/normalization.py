"""Normalization: layers that give units, or examples, zero mean and unit variance. Shapes are (…, units, m) in and out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from scratch.errors import InvalidInput
from scratch.layers import Array, Layer, Shape, Tensors, silent
from scratch.options import require


@dataclass(frozen=True)
class BatchNorm(Layer):
    """A = γ (X − μ)/√(σ² + ε) + β, μ and σ² of each unit over the batch's examples (Ioffe & Szegedy 2015, Alg. 1).

    The batch's variance is the biased one; the running one that inference uses is fed the unbiased one. ``momentum``
    weighs the new value (PyTorch's sense); None: the average over all batches so far. Without ``affine`` there are no γ and β.
    Raises InvalidInput for a training batch of fewer than two examples, which has no variance.
    """

    epsilon: float = 1e-5
    momentum: float | None = 0.1
    affine: bool = True
    running: bool = False  # after training: μ and σ² are the running ones

    def __post_init__(self) -> None:
        # a unit without variance would be 0/0
        require(0 < self.epsilon < inf, self, "epsilon", "be positive, as in PyTorch, and finite")
        require(self.momentum is None or 0 <= self.momentum <= 1, self, "momentum", "lie in [0, 1], or be None")

    def shapes(self, n_in: int) -> dict[str, Shape]:
        return {"gamma": (n_in, 1), "beta": (n_in, 1)} if self.affine else {}

    def buffers(self, n_in: int) -> dict[str, Array]:
        return {"mean": np.zeros((n_in, 1)), "variance": np.ones((n_in, 1)), "batches": np.zeros((1, 1))}

    def inference(self) -> Layer:
        return replace(self, running=True)

    def check_examples(self, examples: int) -> None:
        if examples < 2 and not self.running:
            raise InvalidInput(f"{self}: training needs at least two examples in a batch, got {examples}")

    @silent
    def forward(self, p: Tensors, x: Array, out: Array | None = None) -> tuple[Array, tuple[Array, Array]]:
        if self.running:
            normal, variance = x - p["mean"], p["variance"]
        else:
            normal, variance = self._measure(p, x)
        factor = 1 / np.sqrt(variance + self.epsilon)  # (…, o, 1)
        normal *= factor
        return _affine(p, normal, self.affine, out), (normal, factor)

    def _measure(self, p: Tensors, x: Array) -> tuple[Array, Array]:
        """X − μ and σ² of this batch; the running statistics take note of it."""
        m = x.shape[-1]
        self.check_examples(m)
        apart, mean = centred(x, -1)
        variance = np.add.reduce(apart * apart, axis=-1, keepdims=True) / m
        p["batches"] += 1
        weight = self.momentum if self.momentum is not None else 1 / p["batches"]
        for name, new in (("mean", mean), ("variance", variance * (m / (m - 1)))):
            p[name] *= 1 - weight  # not old + weight (new − old): a first value of weight 1 keeps all its digits
            p[name] += weight * new
        return apart, variance

    @silent
    def backward(self, p: Tensors, cache: Any, dout: Array, into: Tensors, out: Array | None = None) -> Array:
        normal, factor = cache
        self.gradients(p, cache, dout, into)
        dx = dout * p["gamma"] if self.affine else dout
        if self.running:
            return np.multiply(dx, factor, out=out)
        return _through_norm(dx, normal, factor, -1, out)

    @silent
    def gradients(self, p: Tensors, cache: Any, dout: Array, into: Tensors) -> None:
        if self.affine:
            _affine_gradients(cache[0], dout, into)

    def formula(self, p: Tensors, x: Any) -> Any:
        self.check_examples(x.shape[-1])
        mean, variance = p["mean"], p["variance"]
        if not self.running:
            mean = np.mean(x, axis=-1, keepdims=True)
            variance = np.mean((x - mean) ** 2, axis=-1, keepdims=True)
        normal = (x - mean) / np.sqrt(variance + self.epsilon)
        return p["gamma"] * normal + p["beta"] if self.affine else normal


@dataclass(frozen=True)
class LayerNorm(Layer):
    """A = γ (X − μ)/√(σ² + ε) + β, μ and σ² (biased) of each example over its units (Ba, Kiros & Hinton 2016, Eq. 3)."""

    epsilon: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        require(0 <= self.epsilon < inf, self, "epsilon", "be 0 or more, and finite")

    def shapes(self, n_in: int) -> dict[str, Shape]:
        return {"gamma": (n_in, 1), "beta": (n_in, 1)} if self.affine else {}

    @silent
    def forward(self, p: Tensors, x: Array, out: Array | None = None) -> tuple[Array, tuple[Array, Array]]:
        normal, _ = centred(x, -2)
        variance = np.add.reduce(normal * normal, axis=-2, keepdims=True) / x.shape[-2]
        factor = 1 / np.sqrt(variance + self.epsilon)  # (…, 1, m)
        normal *= factor
        return _affine(p, normal, self.affine, out), (normal, factor)

    @silent
    def backward(self, p: Tensors, cache: Any, dout: Array, into: Tensors, out: Array | None = None) -> Array:
        normal, factor = cache
        self.gradients(p, cache, dout, into)
        return _through_norm(dout * p["gamma"] if self.affine else dout, normal, factor, -2, out)

    @silent
    def gradients(self, p: Tensors, cache: Any, dout: Array, into: Tensors) -> None:
        if self.affine:
            _affine_gradients(cache[0], dout, into)

    def formula(self, p: Tensors, x: Any) -> Any:
        mean = np.mean(x, axis=-2, keepdims=True)
        normal = (x - mean) / np.sqrt(np.mean((x - mean) ** 2, axis=-2, keepdims=True) + self.epsilon)
        return p["gamma"] * normal + p["beta"] if self.affine else normal


def centred(x: Array, axis: int, out: Array | None = None) -> tuple[Array, Array]:
    """x − mean, in ``out`` where given, and the mean along ``axis`` (kept, of length 1).

    The mean of what is left is taken off once more: far from 0 a sum rounds by more than the numbers differ from each other.
    """
    n = x.shape[axis]
    mean = np.add.reduce(x, axis=axis, keepdims=True) / n
    apart = np.subtract(x, mean, out=out)
    rest = np.add.reduce(apart, axis=axis, keepdims=True) / n
    apart -= rest
    return apart, mean + rest


def _affine(p: Tensors, normal: Array, affine: bool, out: Array | None) -> Array:
    if not affine:
        return normal.copy() if out is None else np.positive(normal, out=out)  # the cache keeps the other
    a = np.multiply(normal, p["gamma"], out=out)
    a += p["beta"]
    return a


def _affine_gradients(normal: Array, dout: Array, into: Tensors) -> None:
    np.add.reduce(dout * normal, axis=-1, keepdims=True, out=into["gamma"])
    np.add.reduce(dout, axis=-1, keepdims=True, out=into["beta"])


def _through_norm(dnormal: Array, normal: Array, factor: Array, axis: int, out: Array | None) -> Array:
    """∂J/∂x of x̂ = (x − μ)/σ along ``axis``: (1/σ)(g − mean g − x̂ mean(g x̂)); μ and σ move with x as well."""
    dx, _ = centred(dnormal, axis, out)
    dx -= normal * (np.add.reduce(dx * normal, axis=axis, keepdims=True) / normal.shape[axis])  # mean x̂ = 0
    dx *= factor
    return dx
