"""Losses over classes: cross-entropy from logits, and from log-probabilities; of labels, or of class probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from scratch.errors import InvalidInput
from scratch.layers import Array
from scratch.losses import Loss
from scratch.options import require


def indicator(labels: Array, classes: int, ignore: int | None = None) -> Array:
    """The notes' one-hot matrix (…, classes, m) of integer labels (…, m); the column of a label ``ignore`` is zero.

    Raises InvalidInput where another label is not one of 0 … classes−1.
    """
    hits = labels[..., None, :] == np.arange(classes)[:, None]
    if ignore is not None:
        hits &= (labels != ignore)[..., None, :]
        labels = labels[labels != ignore]
    if np.count_nonzero(hits) != labels.size:
        raise InvalidInput(f"labels must lie in 0 … {classes - 1}; found {labels.min()} … {labels.max()}")
    return hits


@dataclass(frozen=True)
class Categorical(Loss):
    """J = −(1/D) Σ T ln p over classes and examples.

    Of labels y (…, m), T is w times the indicator and D the sum of the examples' weights; an example labelled
    ``ignore_index`` counts nowhere. Where D = 0 the mean is NaN, and as in PyTorch its gradient is NaN at the examples whose
    classes weigh nothing and 0 at those ignored. Of class probabilities y (…, k, m), T = w y and D = m. w is ``weight``,
    one number a class. 0 ln 0 is 0.
    """

    weight: tuple[float, ...] | None = None
    ignore_index: int = -100

    takes_labels = True
    label_smoothing = 0.0

    def __post_init__(self) -> None:
        if self.weight is not None:
            self.require_weights("weight")

    def check(self, y: Array, outputs: int) -> None:
        self.weighed(y, outputs, np.dtype(float))

    def targets(self, y: Array, classes: int) -> Array:
        matrix, count = self.weighed(y, classes, np.dtype(float) if y.dtype.kind in "iu" else y.dtype)
        if isinstance(count, int) or self.reduction != "mean":
            return matrix
        with np.errstate(divide="ignore"):
            return np.divide(matrix * y.shape[-1], count, out=matrix, where=matrix != 0)

    def with_matrix(self) -> Categorical:
        return type(self)(reduction=self.reduction)

    def weighed(self, y: Array, classes: int, dtype: np.dtype) -> tuple[Array, Array | int]:
        """T (…, k, m), of Booleans where labels need no more, and what the mean divides by: m or D (…, 1, 1)."""
        if self.plain(y, classes):
            return indicator(y, classes), y.shape[-1]
        labels, smoothing = y.dtype.kind in "iu", self.label_smoothing
        w = np.ones((1, 1), dtype) if self.weight is None else self.column("weight", classes, dtype)
        if not labels:
            soft = self.weight is None and not smoothing
            return y if soft else w * (y * (1 - smoothing) + smoothing / classes), y.shape[-1]
        hits = indicator(y, classes, self.ignore_index)
        weights = w * hits
        count = weights.sum((-2, -1), keepdims=True)
        if self.reduction == "mean":
            np.copyto(weights, np.nan, where=hits & (count == 0))  # their shares w/D are 0/0
        share = w * (y != self.ignore_index)[..., None, :] * (smoothing / classes)
        return weights * (1 - smoothing) + share, count

    def plain(self, y: Array, classes: int) -> bool:
        """Whether y is labels that all count, and all the same."""
        if self.weight is not None or self.label_smoothing or y.dtype.kind not in "iu":
            return False
        unsigned = y.view(f"u{y.dtype.itemsize}")  # in which a negative label is a large one
        return y.size > 0 and np.maximum.reduce(unsigned, axis=None) < classes and not 0 <= self.ignore_index < classes

    def prepare(self, y: Array, outputs: int, dtype: np.dtype) -> tuple[Array, ...]:
        """Labels that count alike as they are; or T, and D where it is not m."""
        if self.plain(y, outputs):
            return (y.astype(np.intp, copy=False),)
        matrix, count = self.weighed(y, outputs, dtype)
        return (matrix,) if isinstance(count, int) else (matrix, count)

    def differentiate(self, z: Array, *prepared: Array) -> tuple[Array, Array]:
        target, count = (*prepared, z.shape[-1])[:2]
        terms, gradient = (self.of_labels if target.dtype.kind in "iu" else self.of_matrix)(z, target)
        if self.reduction == "none":
            return -terms.sum(-2), gradient
        total = np.add.reduce(terms, axis=(-2, -1))
        if self.reduction == "sum":
            return -total, gradient
        if isinstance(count, int):
            return total / -count, gradient / count
        # all examples ignored: the mean is 0/0, but its gradient stays 0
        return -total / count[..., 0, 0], np.divide(gradient, count, out=gradient, where=gradient != 0)

    def of_labels(self, z: Array, y: Array) -> tuple[Array, Array]:
        """ln p of each example's label, (…, 1, m), and the sum's gradient (…, k, m)."""
        raise NotImplementedError

    def of_matrix(self, z: Array, target: Array) -> tuple[Array, Array]:
        """T ln p and the sum's gradient, (…, k, m)."""
        raise NotImplementedError

    def log_p(self, z: Any) -> Any:
        """Log-probabilities of what the network gives out, by their definition."""
        return z

    def formula(self, z: Any, y: Array) -> Any:
        matrix, count = self.weighed(y, z.shape[-2], z.dtype)
        if self.reduction == "none":
            return -np.sum(matrix * self.log_p(z), axis=-2)
        value = -np.sum(matrix * self.log_p(z), axis=(-2, -1))
        return value / np.reshape(count, np.shape(count)[:-2]) if self.reduction == "mean" else value


@dataclass(frozen=True)
class CrossEntropy(Categorical):
    """J = −(1/D) Σ T ln softmax(z) over classes and examples, from logits; ∂J/∂z = (p Σ_k T − T)/D.

    y is integer labels (…, m) or a matrix of class probabilities (…, k, m), which need not sum to one. Plainly, T is y or
    its indicator and D = m; ``Categorical`` says what class weights make of them. ``label_smoothing`` ε puts (1−ε)y + ε/k
    in y's place (Szegedy et al. 2016).
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.label_smoothing <= 1, self, "label_smoothing", "lie in [0, 1]")

    def of_labels(self, z: Array, y: Array) -> tuple[Array, Array]:
        shifted = _spread(z, y) - np.maximum.reduce(z, axis=-2, keepdims=True)
        p = np.exp(shifted, order="C")
        total = np.add.reduce(p, axis=-2, keepdims=True)
        p /= total
        flat, at = p.reshape(-1), _places(y, p.shape)
        flat[at] = flat[at] - 1  # an indicator's columns sum to one
        return shifted.reshape(-1)[at] - np.log(total), p

    def of_matrix(self, z: Array, target: Array) -> tuple[Array, Array]:
        shifted = z - np.maximum.reduce(z, axis=-2, keepdims=True)
        p = np.exp(shifted)
        total = np.add.reduce(p, axis=-2, keepdims=True)
        gradient = p / total * np.add.reduce(target, axis=-2, keepdims=True) - target
        return _product(target, shifted - np.log(total)), gradient

    def log_p(self, z: Any) -> Any:
        return z - np.log(np.sum(np.exp(z), axis=-2, keepdims=True))


@dataclass(frozen=True)
class NegativeLogLikelihood(Categorical):
    """J = −(1/D) Σ T z over classes and examples, from log-probabilities z; ∂J/∂z = −T/D. T and D: see ``Categorical``."""

    def of_labels(self, z: Array, y: Array) -> tuple[Array, Array]:
        z = _spread(z, y)
        at, gradient = _places(y, z.shape), np.zeros_like(z, order="C")
        gradient.reshape(-1)[at] = -1
        return z.reshape(-1)[at], gradient

    def of_matrix(self, z: Array, target: Array) -> tuple[Array, Array]:
        return _product(target, z), np.zeros_like(z) - target


def _spread(z: Array, labels: Array) -> Array:
    """z with the leading axes of the labels as well."""
    lead = np.broadcast_shapes(z.shape[:-2], labels.shape[:-1])
    return z if lead == z.shape[:-2] else np.broadcast_to(z, lead + z.shape[-2:])


def _places(labels: Array, shape: tuple[int, ...]) -> Array:
    """Where each example's label (…, 1, m) lies in an array (…, k, m) made flat."""
    *lead, classes, m = shape
    first = np.arange(m) + np.arange(0, prod(shape), classes * m).reshape(*lead, 1, 1)
    return labels[..., None, :] * m + first


def _product(target: Array, logs: Array) -> Array:
    """T ln p, and 0 where T is: a class with logit −∞ costs nothing where it is not wanted."""
    return np.multiply(target, logs, out=np.zeros_like(logs), where=target != 0)
