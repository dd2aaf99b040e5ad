"""A network: a tuple of layers, and one vector θ of which every parameter is a view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from scratch import checks
from scratch.arguments import generator as seeded
from scratch.initializers import Scheme, ones, zeros
from scratch.layers import Array, Layer, Shape, Tensors
from scratch.options import Description, require

Parameters = tuple[Tensors, ...]  # one dict for each layer, empty where a layer has none
Differentiate = Callable[..., tuple[Array, Array]]  # value and gradient of a loss, from the output and the targets


@dataclass(frozen=True)
class Network(Description):
    """``layers`` applied in turn to ``inputs`` features per example."""

    layers: tuple[Layer, ...]
    inputs: int

    def __post_init__(self) -> None:
        require(len(self.layers) > 0, self, "layers", "hold at least one layer")
        require(self.inputs >= 1, self, "inputs", "be at least one input feature")

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Number of outputs per example of each layer."""
        found = [self.inputs]
        for layer in self.layers:
            found.append(layer.width(found[-1]))
        return tuple(found[1:])

    @cached_property
    def shapes(self) -> tuple[dict[str, Shape], ...]:
        """Parameter shapes, layer by layer."""
        return tuple(layer.shapes(n_in) for layer, n_in in self.with_inputs())

    @cached_property
    def noise(self) -> tuple[dict[str, tuple[int, float]], ...]:
        """What each training step is to be handed, layer by layer: rows, and the probability of True."""
        return tuple(layer.noise(n_in) for layer, n_in in self.with_inputs())

    @cached_property
    def inference(self) -> Network:
        """The network as it is used after training: no dropout, running statistics."""
        return Network(tuple(layer.inference() for layer in self.layers), self.inputs)

    def buffers(self, leading: Shape = (), dtype: Any = np.float64) -> Parameters:
        """Fresh buffers (…, rows, columns), for a stack of ``leading`` axes."""

        def spread(value: Array) -> Array:
            return np.broadcast_to(value, leading + value.shape).astype(dtype)

        return tuple(
            {name: spread(value) for name, value in layer.buffers(n_in).items()} for layer, n_in in self.with_inputs()
        )

    def with_inputs(self) -> Iterator[tuple[Layer, int]]:
        """Every layer with the number of its inputs."""
        return zip(self.layers, (self.inputs, *self.widths[:-1]), strict=True)

    @cached_property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum(prod(shape) for layer in self.shapes for shape in layer.values())

    def views(self, theta: Array) -> Parameters:
        """θ (…, P) cut into parameters (…, *shape) that share its memory."""
        cut, start = [], 0
        for shapes in self.shapes:
            named = {}
            for name, shape in shapes.items():
                stop = start + prod(shape)
                named[name] = theta[..., start:stop].reshape(theta.shape[:-1] + shape)
                start = stop
            cut.append(named)
        return tuple(cut)

    def flatten(self, parameters: Parameters) -> Array:
        """A new θ (…, P) with the given parameters in it. Raises InvalidInput where a shape does not fit."""
        self.check(parameters)
        arrays = [named[name] for named, shapes in zip(parameters, self.shapes, strict=True) for name in shapes]
        return np.concatenate([a.reshape(*a.shape[:-2], -1) for a in arrays], axis=-1) if arrays else np.zeros(0)

    def check(self, parameters: Parameters) -> None:
        """Raises InvalidInput unless every layer has its parameters, in their shapes, under the same leading axes."""
        checks.parameters(self, parameters)

    def check_buffers(self, buffers: Parameters, leading: Shape) -> None:
        """Raises InvalidInput unless every layer has its buffers, in their shapes, under ``leading`` axes."""
        checks.buffers(self, buffers, leading)

    def check_examples(self, examples: int) -> None:
        """Raises InvalidInput where a training batch of so many examples is too small for a layer."""
        for layer in self.layers:
            layer.check_examples(examples)

    def initialize(
        self,
        weights: Scheme,
        generator_of: Callable[[int], Generator | int],
        biases: Scheme = zeros,
        leading: Shape = (),
    ) -> Parameters:
        """Initial parameters (…, *shape) for a stack of ``leading`` axes: γ is 1 and β is 0.

        Layer k draws from ``generator_of(k)``, a generator or a seed: its matrix by ``weights``, then its column by ``biases``.
        """
        schemes = {"W": weights, "b": biases, "gamma": ones, "beta": zeros}

        def draw(k: int, shapes: dict[str, Shape]) -> Tensors:
            generator = seeded("initialize", generator_of(k))
            return {name: schemes[name.rpartition(".")[2]](generator, leading + s) for name, s in shapes.items()}

        return tuple(draw(k, shapes) for k, shapes in enumerate(self.shapes))

    def forward(self, parameters: Parameters, x: Array) -> tuple[list[Array], list[Any]]:
        """Every layer's output (…, units, m), and the caches for ``backward``.

        Layers with buffers or noise find them among the ``parameters`` (see ``merge``), and change the buffers in place.
        """
        outputs, caches = [], []
        for layer, p in zip(self.layers, parameters, strict=True):
            x, cache = layer.forward(p, x)
            outputs.append(x)
            caches.append(cache)
        return outputs, caches

    def formula(self, parameters: Sequence[Mapping[str, Any]], x: Any) -> Any:
        """The last layer's output by the textbook's definitions, on arrays or on autodiff's variables."""
        for layer, p in zip(self.layers, parameters, strict=True):
            x = layer.formula(dict(p), x)
        return x

    def predict(self, parameters: Parameters, x: Array) -> Array:
        """The last layer's output alone, (…, outputs, m)."""
        for layer, p in zip(self.layers, parameters, strict=True):
            x, _ = layer.forward(p, x)
        return x

    def backward(self, parameters: Parameters, caches: list[Any], dout: Array, gradients: Parameters) -> list[Array]:
        """∂J/∂output of every layer, from ∂J/∂output of the last; writes parameter gradients into ``gradients``."""
        douts = [dout]
        for layer, p, cache, into in zip(
            *(part[::-1] for part in (self.layers, parameters, caches, gradients)), strict=True
        ):
            dout, found = layer.backward(p, cache, dout)
            douts.append(dout)
            for name, gradient in found.items():
                np.copyto(into[name], gradient)
        return douts[-2::-1]  # the gradient at the network's input is no layer's

    def differentiate(
        self, loss: Differentiate, parameters: Parameters, gradients: Parameters, x: Array, *targets: Array
    ) -> tuple[Array, Trace]:
        """``loss(output, *targets)`` (…), and the trace of the pass; parameter gradients go into ``gradients``."""
        outputs, caches = self.forward(parameters, x)
        value, dout = loss(outputs[-1], *targets)
        return value, Trace(outputs, self.backward(parameters, caches, dout, gradients))


def merge(*parts: Parameters) -> Parameters:
    """Parameters, buffers and noise of each layer in one dict, as ``forward`` wants them; the arrays are shared."""
    return tuple({name: a for named in layer for name, a in named.items()} for layer in zip(*parts, strict=True))


class Trace(NamedTuple):
    """One pass through a network: every layer's output, and ∂J/∂output, each (…, units, m)."""

    outputs: list[Array]
    douts: list[Array]
