"""Layers: frozen descriptions with forward and backward side by side.

Notation: … leading axes (a stack of networks), o out, i in, m examples. An example is a column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratch.errors import InvalidInput

Array = NDArray[Any]
Tensors = dict[str, Array]  # the named arrays of one layer
Shape = tuple[int, ...]


class Layer:
    """What every layer answers. Without parameters only ``forward`` and ``backward`` have to be written."""

    def width(self, n_in: int) -> int:
        """Number of outputs per example, given ``n_in`` inputs."""
        return n_in

    def shapes(self, n_in: int) -> dict[str, Shape]:
        """Shape (rows, columns) of each parameter, in the order in which they lie in θ."""
        return {}

    def forward(self, p: Tensors, x: Array, out: Array | None = None) -> tuple[Array, Any]:
        """The output (…, o, m), in ``out`` where that is given, and what ``backward`` has to remember."""
        raise NotImplementedError

    def backward(self, p: Tensors, cache: Any, dout: Array, out: Array | None = None) -> Array:
        """∂J/∂x (…, i, m) from ∂J/∂output (…, o, m), in ``out`` where that is given."""
        raise NotImplementedError

    def gradients(self, p: Tensors, cache: Any, dout: Array, into: Tensors) -> None:
        """Writes ∂J/∂parameter into the arrays of ``into``."""


@dataclass(frozen=True)
class Dense(Layer):
    """Z = WX + b: one row of W for each of the ``units`` neurons, one column of X for each example."""

    units: int
    bias: bool = True

    def __post_init__(self) -> None:
        if self.units < 1:
            raise InvalidInput(f"Dense(units={self.units}): a layer needs at least one unit")

    def width(self, n_in: int) -> int:
        return self.units

    def shapes(self, n_in: int) -> dict[str, Shape]:
        weights: dict[str, Shape] = {"W": (self.units, n_in)}
        return weights | ({"b": (self.units, 1)} if self.bias else {})

    def forward(self, p: Tensors, x: Array, out: Array | None = None) -> tuple[Array, Array]:
        z = np.matmul(p["W"], x, out=out)  # (…, o, m)
        if self.bias:
            z += p["b"]
        return z, x

    def backward(self, p: Tensors, x: Array, dz: Array, out: Array | None = None) -> Array:
        return np.matmul(p["W"].mT, dz, out=out)  # (…, i, m)

    def gradients(self, p: Tensors, x: Array, dz: Array, into: Tensors) -> None:
        np.matmul(dz, x.mT, out=into["W"])  # (…, o, i): the sum over examples is the product's own
        if self.bias:
            np.add.reduce(dz, axis=-1, keepdims=True, out=into["b"])
