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
from typing import Any, Literal, final

import numpy as np

from scratch.errors import InvalidInput
from scratch.layers import Array
from scratch.options import Description, require

Reduction = Literal["mean", "sum", "none"]
GUARD = float(np.float32(1e-12))  # PyTorch's, which is a float32 in its code
SILENT = np.errstate(all="ignore")  # a decorator: numbers that are not finite are an answer
SLACK = 1e-3  # rounding, and agreement's replicas, may carry a probability this far past 0 or 1; what is farther is no probability


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


def _check_probabilities(place: str, p: Array) -> None:
    if p.size and (p.min() < -SLACK or p.max() > 1 + SLACK):
        raise InvalidInput(f"{place} must lie in [0, 1]; found {p.min()} … {p.max()}")
