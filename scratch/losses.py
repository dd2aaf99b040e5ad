"""Losses: value and gradient together, and the only place where 1/m stands.

Each is called as ``value, gradient = loss(z, y)``: z (…, k, m) is what the network gives out, value is (…), gradient
∂J/∂z is (…, k, m). That is ``differentiate(z, *prepare(y, …))``: what depends on the targets alone, their check too, goes
first. ``reduction`` is PyTorch's: the mean, the sum, or "none", every term apart (the gradient is then the
sum's). Elementwise losses average over all k·m numbers, as PyTorch's do; with one output (k = 1) that is the notes' 1/n.
Targets may lack the leading axes of z. What overflows is ∞ and what is undefined NaN, in silence, as in PyTorch.
``formula(z, y)`` is the value by its definition, for moderate numbers only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, final

import numpy as np

from scratch.errors import InvalidInput
from scratch.layers import Array
from scratch.options import Description, require

Reduction = Literal["mean", "sum", "none"]
GUARD = float(np.float32(1e-12))  # PyTorch's, which is a float32 in its code
SILENT = np.errstate(all="ignore")  # a decorator: numbers that are not finite are an answer
SLACK = 1e-3  # rounding, and agreement's shadows, may carry a probability this far past 0 or 1; what is farther is no probability


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
class Loss(Description):
    """Value and gradient of one objective."""

    reduction: Reduction = field(default="mean", kw_only=True)

    takes_labels = False  # whether y may be integer labels (…, m); otherwise it is numbers (…, k, m)

    @final
    @SILENT
    def __call__(self, z: Array, y: Array) -> tuple[Array, Array]:
        return self.differentiate(z, *self.prepare(y, z.shape[-2], z.dtype))

    def prepare(self, y: Array, outputs: int, dtype: np.dtype) -> tuple[Array, ...]:
        """What ``differentiate`` wants for the targets y. Raises InvalidInput where a label is out of range."""
        return (y,)

    def differentiate(self, z: Array, *prepared: Array) -> tuple[Array, Array]:
        """Value and gradient."""
        raise NotImplementedError

    def formula(self, z: Any, y: Array) -> Any:
        """The value by its definition; z may be complex or a variable of autodiff."""
        raise NotImplementedError

    def check(self, y: Array, outputs: int) -> None:
        """Raises InvalidInput where y, or an option, does not fit a network of so many outputs."""

    def targets(self, y: Array, classes: int) -> Array:
        """``y`` as the matrix (…, classes, m) that the formula multiplies: with it ``with_matrix()`` loses what this does with y."""
        return y

    def with_matrix(self) -> Loss:
        """The same loss for what ``targets`` gives: labels, weights and smoothing are in that matrix already."""
        return self

    def require_weights(self, name: str) -> None:
        given = getattr(self, name)
        weights = given if isinstance(given, tuple) else (given,)
        require(all(0 <= w < np.inf for w in weights), self, name, "be finite and not negative")

    def column(self, name: str, rows: int, dtype: np.dtype) -> Array:
        """The option ``name``, one number for all outputs or one for each, as (1 or ``rows``, 1)."""
        values = np.asarray(getattr(self, name), dtype)
        require(values.shape in ((), (rows,)), self, name, f"hold one number for each of {rows} outputs")
        return values.reshape(-1, 1)


class Elementwise(Loss):
    """J = mean over all numbers of a loss that each has alone."""

    def each(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Every number's loss and its derivative, (…, k, m); the latter may be overwritten."""
        raise NotImplementedError

    def definition(self, z: Any, y: Array) -> Any:
        """Every number's loss (…, k, m), by its definition."""
        raise NotImplementedError

    def count(self, z: Any) -> int:
        """What the mean divides by."""
        return z.shape[-2] * z.shape[-1]

    def differentiate(self, z: Array, *prepared: Array) -> tuple[Array, Array]:
        losses, slopes = self.each(z, *prepared)
        if self.reduction == "none":
            return losses, slopes
        value = np.add.reduce(losses, axis=(-2, -1))
        count = self.count(z) if self.reduction == "mean" else 1
        return value / count, slopes / count

    def formula(self, z: Any, y: Array) -> Any:
        losses = self.definition(z, y)
        if self.reduction == "none":
            return losses
        return np.sum(losses, axis=(-2, -1)) / (self.count(z) if self.reduction == "mean" else 1)


@dataclass(frozen=True)
class SquaredError(Elementwise):
    """J = mean (z − y)²."""

    def each(self, z: Array, y: Array) -> tuple[Array, Array]:
        error = z - y
        return error * error, 2 * error

    def definition(self, z: Any, y: Array) -> Any:
        return (z - y) ** 2


@dataclass(frozen=True)
class AbsoluteError(Elementwise):
    """J = mean |z − y|; ∂J/∂z is the sign of z − y over the count, 0 where both are equal."""

    def each(self, z: Array, y: Array) -> tuple[Array, Array]:
        error = z - y
        sign = np.sign(error.real)
        return error * sign, sign

    def definition(self, z: Any, y: Array) -> Any:
        return np.maximum(z - y, y - z)


@dataclass(frozen=True)
class Huber(Elementwise):
    """J = mean of e²/2 where |e| ≤ δ, else δ(|e| − δ/2), e = z − y (Huber 1964); ∂J/∂z = e cut to [−δ, δ], over the count."""

    delta: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.delta < np.inf, self, "delta", "be positive and finite")

    def each(self, z: Array, y: Array) -> tuple[Array, Array]:
        error = z - y
        cut = np.minimum(np.maximum(error, -self.delta), self.delta)
        return cut * (error - cut / 2), cut

    def definition(self, z: Any, y: Array) -> Any:
        size = np.maximum(z - y, y - z)
        return np.where(size <= self.delta, size**2 / 2, self.delta * (size - self.delta / 2))


@dataclass(frozen=True)
class BinaryCrossEntropy(Elementwise):
    """J = −mean [q y ln σ(z) + (1−y) ln(1−σ(z))] from logits z, y in [0, 1]; ∂J/∂z = (σ(z)(qy + 1−y) − qy)/count.

    q is ``pos_weight``: the weight of what is positive, for all outputs or for each.
    """

    pos_weight: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        self.require_weights("pos_weight")

    def check(self, y: Array, outputs: int) -> None:
        _check_probabilities("binary targets", y)
        self.column("pos_weight", outputs, y.dtype)

    def each(self, z: Array, y: Array) -> tuple[Array, Array]:
        small = np.exp(np.minimum(z, -z))  # never overflows; σ(z) = 1/(1+small) or small/(1+small)
        rest, sure = np.log1p(small), z >= 0
        sigma = np.where(sure, 1, small) / (1 + small)
        if self.pos_weight == 1:
            return np.where(sure, 1 - y, -y) * z + rest, sigma - y
        yes, no = self.column("pos_weight", z.shape[-2], y.dtype) * y, 1 - y
        loss = np.where(sure, no, -yes) * z + (no + yes) * rest  # no terms that cancel, here or above
        return loss, no * sigma - yes * (np.where(sure, small, 1) / (1 + small))

    def definition(self, z: Any, y: Array) -> Any:
        yes, no = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))  # σ(z) and 1 − σ(z)
        q = self.column("pos_weight", z.shape[-2], y.dtype)
        return -(q * y * np.log(yes) + (1 - y) * np.log(no))


@dataclass(frozen=True)
class BinaryCrossEntropyFromProbabilities(Elementwise):
    """J = −mean [y ln p + (1−y) ln(1−p)] of probabilities p, y in [0, 1]; ∂J/∂p = (p − y)/(p(1−p))/count.

    As in PyTorch's BCELoss no logarithm falls below −100 and p(1−p) counts as 1e-12 at least, so near 0 and 1 the
    gradient is not the value's; from logits there is no such trouble. Raises InvalidInput where p is no probability.
    """

    def check(self, y: Array, outputs: int) -> None:
        _check_probabilities("binary targets", y)

    def each(self, z: Array, y: Array) -> tuple[Array, Array]:
        _check_probabilities("BinaryCrossEntropyFromProbabilities: the network's outputs", z.real)
        p = np.minimum(np.maximum(z, 0), 1)
        log, log_rest = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)  # ln 0 is −∞
        return (y - 1) * log_rest - y * log, (p - y) / np.maximum((1 - p) * p, GUARD)

    def definition(self, z: Any, y: Array) -> Any:
        return -(y * np.log(z) + (1 - y) * np.log(1 - z))


@dataclass(frozen=True)
class InnerProduct(Elementwise):
    """J = (1/m) Σ y z: its gradient y/m is whatever one wants to send down, whatever the network gives out."""

    def count(self, z: Any) -> int:
        return z.shape[-1]

    def each(self, z: Array, y: Array) -> tuple[Array, Array]:
        return z * y, np.zeros_like(z) + y

    def definition(self, z: Any, y: Array) -> Any:
        return z * y


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


def _check_probabilities(place: str, p: Array) -> None:
    if p.size and (p.min() < -SLACK or p.max() > 1 + SLACK):
        raise InvalidInput(f"{place} must lie in [0, 1]; found {p.min()} … {p.max()}")
