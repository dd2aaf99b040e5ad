"""Perturbed replicas of a job: what rounding may do to a network, done to copies of it on purpose.

Parameters, inputs, targets and what passes between layers are moved relatively by ±scale, the signs drawn. The first replica is
the job itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from scratch.contract import Batch, Job
from scratch.layers import Array, Layer, Residual, Shape, Tensors
from scratch.normalization import BatchNorm

NUMBERS = 16  # a spread is estimated from at least so many: small layers need more replicas than wide ones


def replica_count(job: Job) -> int:
    return max(2, -(-NUMBERS // min(job.network.widths)))


def replicated(job: Job, scale: float, generator: Generator) -> Job:
    """The job in float64 on a new first axis: itself, then its perturbed replicas, moved by ``scale`` in parameters, inputs and targets."""

    def spread_out(array: Array) -> Array:
        ones = (1,) * (len(job.leading) + 2 - array.ndim)
        wide = np.broadcast_to(array.astype(np.float64), (1 + replica_count(job), *ones, *array.shape))
        return jitter(wide, scale, generator)

    parameters = tuple({name: spread_out(array) for name, array in named.items()} for named in job.parameters)
    buffers = tuple(
        {name: np.broadcast_to(a, (1 + replica_count(job), *a.shape)).astype(np.float64) for name, a in named.items()}
        for named in job.start_buffers()
    )
    targets = job.loss.targets(job.data.y, job.network.widths[-1])
    data = Batch(spread_out(job.data.x), spread_out(targets))
    optimizer, rates = job.optimizer, job.optimizer.learning_rate
    if isinstance(rates, tuple):  # one for each network: the replicas' as well
        optimizer = replace(optimizer, learning_rate=(rates,) * (1 + replica_count(job)))
    layers = tuple(_jittered(layer, scale, generator, lowest=not k) for k, layer in enumerate(job.layers))
    return replace(
        job,
        loss=job.loss.with_matrix(),
        layers=layers,
        parameters=parameters,
        buffers=buffers,
        data=data,
        optimizer=optimizer,
        batches=None,
        snapshots=(),
        evaluate={},
    )


def _jittered(layer: Layer, scale: float, generator: Generator, lowest: bool = False) -> Layer:
    """The layer, and every layer inside it, with its output and the gradient that it hands down moved as well."""
    if isinstance(layer, Residual):
        layer = Residual(tuple(_jittered(inside, scale, generator) for inside in layer.layers))
    return _Jittered(layer, scale, generator, lowest)


@dataclass(frozen=True)
class _Jittered(Layer):
    """In place where the output is what the layer remembers: near a = 1 a rounding of a is a large part of 1 − a²."""

    layer: Layer
    scale: float
    generator: Generator
    lowest: bool = False  # nobody asks for the gradient below

    def width(self, n_in: int) -> int:
        return self.layer.width(n_in)

    def shapes(self, n_in: int) -> dict[str, Shape]:
        return self.layer.shapes(n_in)

    def buffers(self, n_in: int) -> dict[str, Array]:
        return self.layer.buffers(n_in)

    def noise(self, n_in: int) -> dict[str, tuple[int, float]]:
        return self.layer.noise(n_in)

    def forward(self, p: Tensors, x: Array) -> tuple[Array, Any]:
        out, cache = self.layer.forward(p, x)
        out[...] = jitter(out, self.scale, self.generator)
        return out, cache

    def backward(self, p: Tensors, cache: Any, dout: Array) -> tuple[Array, Tensors]:
        dx, gradients = self.layer.backward(p, cache, dout)
        if self.lowest:
            return dx, gradients
        dx = jitter(dx, self.scale, self.generator)
        return (_shifted(dx, self.scale, self.generator) if isinstance(self.layer, BatchNorm) else dx), gradients


def on_replica_axis(job: Job, batch: Batch, scale: float, generator: Generator) -> Batch:
    """The batch with an axis for the replicas before those of the stack, so that what a layer does to it stays each one's own."""
    ones = (1,) * (len(job.leading) + 2 - batch.x.ndim)
    x = np.broadcast_to(batch.x, (1 + replica_count(job), *ones, *batch.x.shape))
    return Batch(jitter(x, scale, generator), batch.y)


def jitter(array: Array, scale: float, generator: Generator) -> Array:
    """Every entry but those of the first member moved relatively by ±scale, the sign at random."""
    replicas = max(0, array.shape[0] - 1)  # θ has no first axis where there is nothing to learn
    signs = generator.integers(0, 2, (replicas, *array.shape[1:]), np.int8)
    if array.ndim > 2:  # not θ: in every other replica all units of a layer move alike, as units that are copies do
        signs[1::2] = signs[1::2, ..., :1, :]
    factor = np.ones(array.shape)
    factor[1:] += (2 * scale) * signs - scale
    return array * factor


def _shifted(dx: Array, scale: float, generator: Generator) -> Array:
    """A mean over the batch was taken from every example: its rounding is common to all, and a sum over them does not lose it."""
    size = np.sqrt((dx * dx).mean(-1, keepdims=True))
    signs = generator.integers(0, 2, size.shape, np.int8) * 2 - 1
    signs[0] = 0
    return dx + (scale / np.sqrt(dx.shape[-1])) * signs * size
