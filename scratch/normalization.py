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

    eps: float = 1e-5
    momentum: float | None = 0.1
    affine: bool = True
    running: bool = False  # after training: μ and σ² are the running ones

    def __post_init__(self) -> None:
        # a unit without variance would be 0/0
        require(0 < self.eps < inf, self, "eps", "be positive, as in PyTorch, and finite")
        require(self.momentum is None or 0 <= self.momentum <= 1, self, "momentum", "lie in [0, 1], or be None")

    def shapes(self, n_in: int) -> dict[str, Shape]:
        return {"gamma": (n_in, 1), "beta": (n_in, 1)} if self.affine else {}

    def buffers(self, n_in: int) -> dict[str, Array]:
        return {
            "running_mean": np.zeros((n_in, 1)),
            "running_var": np.ones((n_in, 1)),
            "num_batches_tracked": np.zeros((1, 1)),
        }

    def inference(self) -> Layer:
        return replace(self, running=True)

    def check_examples(self, examples: int) -> None:
        if examples < 2 and not self.running:
            raise InvalidInput(f"{self}: training needs at least two examples in a batch, got {examples}")

    @silent
    def forward(self, p: Tensors, x: Array) -> tuple[Array, tuple[Array, Array]]:
        if self.running:
            normal, variance = x - p["running_mean"], p["running_var"]
        else:
            normal, variance = self._measure(p, x)
        factor = 1 / np.sqrt(variance + self.eps)  # (…, o, 1)
        normal *= factor
        return _affine(p, normal, self.affine), (normal, factor)

    def _measure(self, p: Tensors, x: Array) -> tuple[Array, Array]:
        """X − μ and σ² of this batch; the running statistics take note of it."""
        m = x.shape[-1]
        self.check_examples(m)
        apart, mean = centred(x, -1)
        variance = np.add.reduce(apart * apart, axis=-1, keepdims=True) / m
        p["num_batches_tracked"] += 1
        weight = self.momentum if self.momentum is not None else 1 / p["num_batches_tracked"]
        for name, new in (("running_mean", mean), ("running_var", variance * (m / (m - 1)))):
            p[name] *= 1 - weight  # not old + weight (new − old): a first value of weight 1 keeps all its digits
            p[name] += weight * new
        return apart, variance

    @silent
    def backward(self, p: Tensors, cache: Any, dout: Array) -> tuple[Array, Tensors]:
        normal, factor = cache
        dnormal, gradients = _affine_backward(p, normal, dout, self.affine)
        return (dnormal * factor if self.running else _through_norm(dnormal, normal, factor, -1)), gradients

    def formula(self, p: Tensors, x: Any) -> Any:
        self.check_examples(x.shape[-1])
        mean, variance = p["running_mean"], p["running_var"]
        if not self.running:
            mean = np.mean(x, axis=-1, keepdims=True)
            variance = np.mean((x - mean) ** 2, axis=-1, keepdims=True)
        normal = (x - mean) / np.sqrt(variance + self.eps)
        return p["gamma"] * normal + p["beta"] if self.affine else normal


@dataclass(frozen=True)
class LayerNorm(Layer):
    """A = γ (X − μ)/√(σ² + ε) + β, μ and σ² (biased) of each example over its units (Ba, Kiros & Hinton 2016, Eq. 3)."""

    eps: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        require(0 <= self.eps < inf, self, "eps", "be 0 or more, and finite")

    def shapes(self, n_in: int) -> dict[str, Shape]:
        return {"gamma": (n_in, 1), "beta": (n_in, 1)} if self.affine else {}

    @silent
    def forward(self, p: Tensors, x: Array) -> tuple[Array, tuple[Array, Array]]:
        normal, _ = centred(x, -2)
        variance = np.add.reduce(normal * normal, axis=-2, keepdims=True) / x.shape[-2]
        factor = 1 / np.sqrt(variance + self.eps)  # (…, 1, m)
        normal *= factor
        return _affine(p, normal, self.affine), (normal, factor)

    @silent
    def backward(self, p: Tensors, cache: Any, dout: Array) -> tuple[Array, Tensors]:
        normal, factor = cache
        dnormal, gradients = _affine_backward(p, normal, dout, self.affine)
        return _through_norm(dnormal, normal, factor, -2), gradients

    def formula(self, p: Tensors, x: Any) -> Any:
        mean = np.mean(x, axis=-2, keepdims=True)
        normal = (x - mean) / np.sqrt(np.mean((x - mean) ** 2, axis=-2, keepdims=True) + self.eps)
        return p["gamma"] * normal + p["beta"] if self.affine else normal


def centred(x: Array, axis: int) -> tuple[Array, Array]:
    """x − mean, and the mean along ``axis`` (kept, of length 1).

    The mean of what is left is taken off once more: far from 0 a sum rounds by more than the numbers differ from each other.
    """
    n = x.shape[axis]
    mean = np.add.reduce(x, axis=axis, keepdims=True) / n
    apart = x - mean
    rest = np.add.reduce(apart, axis=axis, keepdims=True) / n
    apart -= rest
    return apart, mean + rest


def _affine(p: Tensors, normal: Array, affine: bool) -> Array:
    return normal * p["gamma"] + p["beta"] if affine else normal.copy()  # the cache keeps the other


def _affine_backward(p: Tensors, normal: Array, dout: Array, affine: bool) -> tuple[Array, Tensors]:
    """∂J/∂x̂, and the gradients of γ and β."""
    if not affine:
        return dout, {}
    dgamma, dbeta = (np.add.reduce(a, axis=-1, keepdims=True) for a in (dout * normal, dout))
    return dout * p["gamma"], {"gamma": dgamma, "beta": dbeta}


def _through_norm(dnormal: Array, normal: Array, factor: Array, axis: int) -> Array:
    """∂J/∂x of x̂ = (x − μ)/σ along ``axis``: (1/σ)(g − mean g − x̂ mean(g x̂)); μ and σ move with x as well."""
    dx, _ = centred(dnormal, axis)
    dx -= normal * (np.add.reduce(dx * normal, axis=axis, keepdims=True) / normal.shape[axis])  # mean x̂ = 0
    dx *= factor
    return dx
