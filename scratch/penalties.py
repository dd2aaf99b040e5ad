"""Penalties: what large parameters cost, added to the loss; and the constraint that just forbids them.

``penalty(parameters)`` is the value (…,), ``penalty.add_gradient(parameters, gradients)`` adds its gradient in place; both are
tuples of dicts name → array (…, rows, columns), one dict a layer. ``reach`` "weights" leaves out all but the matrices W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np

from scratch.layers import Array, Tensors
from scratch.options import Description, require


def is_weight(name: str) -> bool:
    """Whether the parameter is a matrix W, its own or an inner layer's ("0.W"): no bias, no scale."""
    return name.rpartition(".")[2] == "W"


@dataclass(frozen=True)
class Penalty(Description):
    """R(θ), added to the loss: the same for every example, so nothing here is divided by m."""

    reach: Literal["weights", "all"] = field(default="weights", kw_only=True)

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self) if f.name != "reach"):
            require(0 <= getattr(self, name) < np.inf, self, name, "be finite and not negative")

    def value(self, w: Array) -> Array:
        """What one array (…, rows, columns) costs, (…,)."""
        raise NotImplementedError

    def slope(self, w: Array) -> Array:
        """∂R/∂w of one array."""
        raise NotImplementedError

    def definition(self, w: Any) -> Any:
        """``value`` by its definition."""
        raise NotImplementedError

    def reaches(self, name: str) -> bool:
        return self.reach == "all" or is_weight(name)

    def __call__(self, parameters: Sequence[Tensors]) -> Array:
        """R (…,), of the parameters' type; 0 where nothing is reached, and a plain 0.0 without any parameter."""
        arrays = [w for p in parameters for w in p.values()]
        zero = np.zeros(arrays[0].shape[:-2], arrays[0].dtype) if arrays else np.zeros(())
        reached = (w for p in parameters for name, w in p.items() if self.reaches(name))
        return sum(map(self.value, reached), start=zero)

    def add_gradient(self, parameters: Sequence[Tensors], gradients: Sequence[Tensors]) -> None:
        """Adds ∂R/∂w to what ``gradients`` holds already."""
        for p, into in zip(parameters, gradients, strict=True):
            for name in filter(self.reaches, p):
                into[name] += self.slope(p[name])

    def formula(self, parameters: Sequence[dict[str, Any]]) -> Any:
        """The value by its definition; parameters may be complex or variables of autodiff."""
        return sum(self.definition(w) for p in parameters for name, w in p.items() if self.reaches(name))


@dataclass(frozen=True)
class L2(Penalty):
    """R = (λ/2) Σ w², λ = ``strength``; ∂R/∂w = λw, which is PyTorch's weight_decay λ in SGD and in Adam."""

    strength: float

    def value(self, w: Array) -> Array:
        return (w * w).sum((-2, -1)) * (self.strength / 2)

    def slope(self, w: Array) -> Array:
        return w * self.strength

    def definition(self, w: Any) -> Any:
        return self.strength / 2 * np.sum(w**2, axis=(-2, -1))


@dataclass(frozen=True)
class L1(Penalty):
    """R = λ Σ |w|, λ = ``strength``; ∂R/∂w = λ sign(w), 0 at w = 0 (Tibshirani 1996)."""

    strength: float

    def value(self, w: Array) -> Array:
        return (w * np.sign(w.real)).sum((-2, -1)) * self.strength

    def slope(self, w: Array) -> Array:
        return np.sign(w) * self.strength

    def definition(self, w: Any) -> Any:
        return self.strength * np.sum(np.maximum(w, -w), axis=(-2, -1))


@dataclass(frozen=True)
class ElasticNet(Penalty):
    """R = λ₁ Σ |w| + (λ₂/2) Σ w², λ₁ = ``l1``, λ₂ = ``l2``; ∂R/∂w = λ₁ sign(w) + λ₂w (Zou & Hastie 2005)."""

    l1: float
    l2: float

    @cached_property
    def _parts(self) -> tuple[L1, L2]:
        return L1(self.l1), L2(self.l2)

    def value(self, w: Array) -> Array:
        first, second = self._parts
        return first.value(w) + second.value(w)

    def slope(self, w: Array) -> Array:
        first, second = self._parts
        return first.slope(w) + second.slope(w)

    def definition(self, w: Any) -> Any:
        first, second = self._parts
        return first.definition(w) + second.definition(w)


@dataclass(frozen=True)
class MaxNorm(Description):
    """‖row of W‖ ≤ c: after an update, each unit's incoming weights are shrunk to length c = ``max_norm`` where they are longer.

    Srivastava et al. 2014, with PyTorch's renorm: the length is divided by itself plus 1e-7. Biases and scales stay.
    """

    max_norm: float

    def __post_init__(self) -> None:
        require(0 < self.max_norm < np.inf, self, "max_norm", "be positive and finite")

    def project(self, parameters: Sequence[Tensors]) -> None:
        """Shrinks the rows of every W in place."""
        for w in (w for p in parameters for name, w in p.items() if is_weight(name)):
            length = np.sqrt((w * w).sum(-1, keepdims=True))
            w *= np.where(length > self.max_norm, self.max_norm / (length + 1e-7), 1)
