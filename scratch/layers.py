"""Layers: frozen descriptions with forward and backward side by side.

Notation: … leading axes (a stack of networks), o out, i in, m examples. An example is a column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratch.errors import InvalidInput
from scratch.options import Description, require

Array = NDArray[Any]
Tensors = dict[str, Array]  # the named arrays of one layer
Shape = tuple[int, ...]
silent = np.errstate(all="ignore")  # ∞ and NaN speak for themselves, as in PyTorch


class Layer(Description):
    """What every layer answers. Without parameters only ``forward``, ``backward`` and ``formula`` have to be written.

    ``p`` holds the layer's named arrays: learned parameters, buffers (what training remembers: ``forward`` changes them in
    place) and noise (what each training step hands in, such as a dropout mask).
    """

    def width(self, n_in: int) -> int:
        """Number of outputs per example, given ``n_in`` inputs."""
        return n_in

    def shapes(self, n_in: int) -> dict[str, Shape]:
        """Shape (rows, columns) of each parameter, in the order in which they lie in θ."""
        return {}

    def buffers(self, n_in: int) -> dict[str, Array]:
        """Initial value (rows, columns) of each buffer."""
        return {}

    def noise(self, n_in: int) -> dict[str, tuple[int, float]]:
        """What each training step hands in, as (rows, probability of True)."""
        return {}

    def inference(self) -> Layer:
        """The layer as it is used after training."""
        return self

    def check_examples(self, examples: int) -> None:
        """Raises InvalidInput where a batch of so many examples is too small for the layer."""

    def forward(self, p: Tensors, x: Array) -> tuple[Array, Any]:
        """The output (…, o, m), and what ``backward`` has to remember."""
        raise NotImplementedError

    def backward(self, p: Tensors, cache: Any, dout: Array) -> tuple[Array, Tensors]:
        """∂J/∂x (…, i, m) and ∂J/∂parameter, by name, from ∂J/∂output (…, o, m)."""
        raise NotImplementedError

    def formula(self, p: Tensors, x: Any) -> Any:
        """The textbook definition in NumPy's functions: it runs on real and complex arrays and on autodiff's variables."""
        raise NotImplementedError


@dataclass(frozen=True)
class Dense(Layer):
    """Z = WX + b: one row of W for each of the ``units`` neurons, one column of X for each example."""

    units: int
    bias: bool = True

    def __post_init__(self) -> None:
        require(self.units >= 1, self, "units", "be at least one unit")

    def width(self, n_in: int) -> int:
        return self.units

    def shapes(self, n_in: int) -> dict[str, Shape]:
        weights: dict[str, Shape] = {"W": (self.units, n_in)}
        return weights | ({"b": (self.units, 1)} if self.bias else {})

    def forward(self, p: Tensors, x: Array) -> tuple[Array, Array]:
        z = p["W"] @ x  # (…, o, m)
        return z + p["b"] if self.bias else z, x

    def backward(self, p: Tensors, x: Array, dz: Array) -> tuple[Array, Tensors]:
        dW = dz @ x.mT  # (…, o, i): the sum over examples is the product's own
        db = {"b": dz @ np.ones((dz.shape[-1], 1), dz.dtype)} if self.bias else {}
        return p["W"].mT @ dz, {"W": dW} | db  # (…, i, m)

    def formula(self, p: Tensors, x: Any) -> Any:
        return p["W"] @ x + p["b"] if self.bias else p["W"] @ x


@dataclass(frozen=True)
class Dropout(Layer):
    """A = X ∗ mask/(1 − rate), each entry of the mask 1 with probability 1 − rate; after training A = X (Srivastava 2014, inverted).

    The mask (…, i, m) is handed in: randomness belongs to whoever trains. Raises InvalidInput where it is missing or of another shape.
    """

    rate: float = 0.5
    active: bool = True  # False after training

    def __post_init__(self) -> None:
        require(0 <= self.rate <= 1, self, "rate", "lie in [0, 1]")

    @property
    def scale(self) -> float:
        return 1 / (1 - self.rate) if self.rate < 1 else 0.0

    def noise(self, n_in: int) -> dict[str, tuple[int, float]]:
        return {"mask": (n_in, 1 - self.rate)} if self.active else {}

    def inference(self) -> Layer:
        return replace(self, active=False)

    def forward(self, p: Tensors, x: Array) -> tuple[Array, Any]:
        kept = self._kept(p, x) if self.active else 1
        return (x * kept if self.active else x), kept

    def backward(self, p: Tensors, kept: Any, dout: Array) -> tuple[Array, Tensors]:
        return (dout * kept if self.active else dout), {}

    def _kept(self, p: Tensors, x: Array) -> Array:
        """mask/(1 − rate), in X's type."""
        mask = p.get("mask")
        if mask is None:
            raise InvalidInput(
                f"{self}: training needs a mask: give the job its noise, or use the network's inference()"
            )
        if mask.shape[-2:] != x.shape[-2:]:
            raise InvalidInput(f"{self}: the mask must be (…, {x.shape[-2]}, {x.shape[-1]}), got {mask.shape}")
        return np.multiply(mask, self.scale, dtype=x.dtype)

    def formula(self, p: Tensors, x: Any) -> Any:
        return x * p["mask"] * self.scale if self.active else x


@dataclass(frozen=True)
class Residual(Layer):
    """A = X + f(X), f the ``layers`` in turn: the gradient has a way past them, ∂A/∂X = 1 + f′ (He 2016, Eq. 1).

    Parameter ``W`` of layer k inside is called ``k.W``. Raises InvalidInput unless f gives back as many units as it is given.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        require(len(self.layers) > 0, self, "layers", "hold at least one layer")

    def _inside(self, n_in: int) -> Iterator[tuple[int, Layer, int]]:
        """Every layer inside, its number and the number of its inputs."""
        for k, layer in enumerate(self.layers):
            yield k, layer, n_in
            n_in = layer.width(n_in)

    def width(self, n_in: int) -> int:
        width = n_in
        for layer in self.layers:
            width = layer.width(width)
        if width != n_in:
            raise InvalidInput(
                f"{self}: the layers inside turn {n_in} units into {width}: X + f(X) needs as many as there were"
            )
        return n_in

    def shapes(self, n_in: int) -> dict[str, Shape]:
        return {f"{k}.{name}": a for k, layer, n in self._inside(n_in) for name, a in layer.shapes(n).items()}

    def buffers(self, n_in: int) -> dict[str, Array]:
        return {f"{k}.{name}": a for k, layer, n in self._inside(n_in) for name, a in layer.buffers(n).items()}

    def noise(self, n_in: int) -> dict[str, tuple[int, float]]:
        return {f"{k}.{name}": a for k, layer, n in self._inside(n_in) for name, a in layer.noise(n).items()}

    def inference(self) -> Layer:
        return Residual(tuple(layer.inference() for layer in self.layers))

    def check_examples(self, examples: int) -> None:
        for layer in self.layers:
            layer.check_examples(examples)

    def forward(self, p: Tensors, x: Array) -> tuple[Array, list[Any]]:
        a, caches = x, []
        for k, layer in enumerate(self.layers):
            a, cache = layer.forward(_of(p, k), a)
            caches.append(cache)
        return a + x, caches

    def backward(self, p: Tensors, caches: list[Any], dout: Array) -> tuple[Array, Tensors]:
        dx, gradients = dout, dict[str, Array]()
        for k in range(len(self.layers) - 1, -1, -1):
            dx, inside = self.layers[k].backward(_of(p, k), caches[k], dx)
            gradients |= {f"{k}.{name}": gradient for name, gradient in inside.items()}
        return dx + dout, gradients

    def formula(self, p: Tensors, x: Any) -> Any:
        a = x
        for k, layer in enumerate(self.layers):
            a = layer.formula(_of(p, k), a)
        return x + a


def _of(p: Tensors, k: int) -> Tensors:
    """The arrays of layer ``k`` inside, under the names that it knows them by."""
    prefix = f"{k}."
    return {name.removeprefix(prefix): array for name, array in p.items() if name.startswith(prefix)}
