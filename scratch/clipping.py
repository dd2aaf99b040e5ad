"""Gradient clipping: what keeps ∂J/∂θ from exceeding a bound."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from scratch.layers import Array
from scratch.options import Description, require


@dataclass(frozen=True)
class Clip(Description):
    """Changes ∂J/∂θ (…, P) in place so that it does not exceed a bound, in each member of a stack by itself."""

    def __call__(self, gradient: Array) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class ClipNorm(Clip):
    """g ← g · min(1, max_norm/(‖g‖ + 10⁻⁶)) (Pascanu, Mikolov & Bengio 2013); 0 where ‖g‖ overflows, NaN where g is not finite."""

    max_norm: float

    def __post_init__(self) -> None:
        require(0 < self.max_norm < inf, self, "max_norm", "be positive and finite")

    def __call__(self, gradient: Array) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.sqrt(np.vecdot(gradient, gradient))[..., None]
            gradient *= np.minimum(self.max_norm / (norm + 1e-6), 1)


@dataclass(frozen=True)
class ClipValue(Clip):
    """g ← min(max(g, −clip_value), clip_value), number by number."""

    clip_value: float

    def __post_init__(self) -> None:
        require(0 < self.clip_value < inf, self, "clip_value", "be positive and finite")

    def __call__(self, gradient: Array) -> None:
        np.clip(gradient, -self.clip_value, self.clip_value, out=gradient)
