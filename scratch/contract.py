"""What a backend is given and gives back, in the notes' convention: an example is a column.

A backend is a module with ``train(job) -> iterator of Snapshot`` and ``snapshot(job, ...) -> Snapshot``; scratch.training
and torchref.training are the two that there are. Everything here is NumPy, whatever the backend computes with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from scratch import checks
from scratch.clipping import Clip
from scratch.layers import Array, Layer, Shape
from scratch.losses import Loss
from scratch.network import Network, Parameters
from scratch.optimizers import SGD, Optimizer
from scratch.options import Description
from scratch.penalties import MaxNorm, Penalty
from scratch.schedules import Schedule


@dataclass(frozen=True)
class Batch:
    """x (…, features, m); y integer labels (…, m), or numbers (…, outputs, m)."""

    x: Array
    y: Array

    def __post_init__(self) -> None:
        checks.batch(self.x, self.y)

    @cached_property
    def origin(self) -> Batch:
        """What it was picked from by ``columns``; itself where it was made."""
        return self

    @property
    def labelled(self) -> bool:
        """Whether y is integer labels."""
        return self.y.dtype.kind in "iu"

    def columns(self, chosen: Array) -> Batch:
        """The examples ``chosen`` (…, b); a stack of choices gives a stack of batches (…, features, b)."""
        picked = object.__new__(Batch)  # what was checked once need not be checked at every step
        if chosen.ndim == 1:
            x, y = self.x[..., chosen], self.y[..., chosen]
        else:
            x = np.moveaxis(self.x[:, chosen], 0, -2)
            y = self.y[chosen] if self.y.ndim == 1 else np.moveaxis(self.y[:, chosen], 0, -2)
        picked.__dict__.update(x=x, y=y, origin=self.origin)
        return picked


Noise = Callable[[int], Parameters]


def _kinds(noise: Any) -> Any:
    """Names, shapes and types of everything that is handed in; None for what is nothing of the sort."""
    try:
        return tuple(tuple((name, a.shape, a.dtype.char) for name, a in named.items()) for named in noise)
    except AttributeError:
        return None


@dataclass(frozen=True)
class Job(Description):
    """One network, or a stack of them, to be looked at or trained.

    ``batches`` holds the columns of ``data`` that each step sees, an array (T+1, …, b) or, where the last batch of an
    epoch is smaller, a sequence of arrays (b,): T updates, and a last batch that is looked at only. A snapshot at step t
    shows the parameters before update t, on batch t. ``noise(t)`` is what dropout is handed at step t; ``buffers`` are
    fresh ones unless given. ``evaluate`` names data sets on which every snapshot also reports the network's output, as
    after training.

    The objective J is the loss plus the ``penalty``. An update is: gradient, ``clip``, ``optimizer`` at the rate of the
    ``schedule``, ``constraint``.
    """

    layers: tuple[Layer, ...]
    loss: Loss
    parameters: Parameters
    data: Batch
    batches: Array | Sequence[Array] | None = None
    optimizer: Optimizer = field(default_factory=lambda: SGD(0.1))
    snapshots: tuple[int, ...] = (0,)
    evaluate: Mapping[str, Batch] = field(default_factory=dict)
    buffers: Parameters | None = None
    noise: Noise | None = None
    penalty: Penalty | None = None
    schedule: Schedule | None = None
    clip: Clip | None = None
    constraint: MaxNorm | None = None

    def __post_init__(self) -> None:
        checks.job(self)

    @cached_property
    def settled(self) -> bool:
        """Whether the targets of the job's data, which were checked, are what its loss ``differentiate``s as they stand."""
        return (
            len(found := self.loss.prepare(self.data.y, self.network.widths[-1], self.data.x.dtype)) == 1
            and found[0] is self.data.y
        )

    @cached_property
    def leading(self) -> Shape:
        """The stack axes (…) of the parameters, or of the buffers, or, of a network without either, of X."""
        held = (*self.parameters, *(() if self.buffers is None else self.buffers))
        return next((a.shape[:-2] for named in held for a in named.values()), self.data.x.shape[:-2])

    @cached_property
    def network(self) -> Network:
        return Network(self.layers, self.data.x.shape[-2])

    def start_buffers(self) -> Parameters:
        """Buffers of its own for a run, since training changes them in place."""
        if self.buffers is None:
            return self.network.buffers(self.leading, self.data.x.dtype)
        return tuple({name: array.copy() for name, array in named.items()} for named in self.buffers)

    def noise_at(self, step: int, examples: int) -> Parameters:
        """What the layers are handed at this step. Raises InvalidInput where it does not fit."""
        if self.noise is None:
            return ({},) * len(self.layers)
        noise = self.noise(step)
        if not isinstance(noise, tuple) or (examples, _kinds(noise)) not in self._known_noise:
            checks.noise(self.network, noise, examples, self.leading)
            self._known_noise.add((examples, _kinds(noise)))
        return noise

    @cached_property
    def _known_noise(self) -> set[tuple[Any, ...]]:
        """What was checked and needs no second look: it comes at every step, and is nearly always of the same kind."""
        return set()


@dataclass(frozen=True)
class Snapshot:
    """What one backend saw at one step: NumPy arrays, one entry a layer, leading axes as in the job's parameters."""

    step: int
    loss: Array  # J (…,) of the step's batch
    outputs: tuple[Array, ...]  # (…, units, m)
    output_gradients: tuple[Array, ...]  # ∂J/∂output, (…, units, m)
    parameters: Parameters
    gradients: Parameters  # ∂J/∂parameter
    buffers: Parameters  # before the step's batch, as the parameters are
    scores: dict[str, Array]  # the network's output on each of job.evaluate, (…, outputs, m)
