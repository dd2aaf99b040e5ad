"""What a backend is given and gives back, in the notes' convention: an example is a column.

A backend is a module with ``train(job) -> iterator of Snapshot`` and ``snapshot(job, ...) -> Snapshot``; scratch.training
and torchref.training are the two that there are. Everything here is NumPy, whatever the backend computes with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from scratch.errors import InvalidInput
from scratch.layers import Array, Layer, Shape
from scratch.losses import BinaryCrossEntropy, Loss
from scratch.network import Network, Parameters
from scratch.optimizers import SGD, Optimizer


@dataclass(frozen=True)
class Batch:
    """x (…, features, m); y integer labels (…, m), or numbers (…, outputs, m)."""

    x: Array
    y: Array

    def __post_init__(self) -> None:
        if not (isinstance(self.x, np.ndarray) and isinstance(self.y, np.ndarray)):
            raise InvalidInput(f"X and Y must be NumPy arrays, got {type(self.x).__name__} and {type(self.y).__name__}")
        if self.x.ndim < 2 or self.x.dtype.kind != "f":
            raise InvalidInput(f"X must be floating point (…, features, examples), got {self.x.dtype} {self.x.shape}")
        if self.y.ndim < 1 or self.x.shape[-1] != self.y.shape[-1]:
            raise InvalidInput(
                f"X holds {self.x.shape[-1]} examples (its columns), Y {self.y.shape[-1] if self.y.ndim else 'none'}"
            )
        if self.y.dtype.kind not in "iu" and self.y.dtype != self.x.dtype:
            raise InvalidInput(f"Y must be integer labels or of X's type {self.x.dtype}, got {self.y.dtype}")
        for name, array in (("X", self.x), ("Y", self.y)):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
                raise InvalidInput(f"{name} holds {array[where]} at {where}: every number must be finite")

    def columns(self, chosen: Array) -> Batch:
        """The examples ``chosen`` (…, b); a stack of choices gives a stack of batches (…, features, b)."""
        picked = object.__new__(Batch)  # what was checked once need not be checked at every step
        if chosen.ndim == 1:
            x, y = self.x[..., chosen], self.y[..., chosen]
        else:
            x = np.moveaxis(self.x[:, chosen], 0, -2)
            y = self.y[chosen] if self.y.ndim == 1 else np.moveaxis(self.y[:, chosen], 0, -2)
        picked.__dict__.update(x=x, y=y)
        return picked


@dataclass(frozen=True)
class Job:
    """One network, or a stack of them, to be looked at or trained.

    ``batches`` (T+1, …, b) holds the columns of ``data`` that each step sees: T updates, and a last batch that is
    looked at only. A snapshot at step t shows the parameters before update t, on batch t. ``evaluate`` names data sets
    on which every snapshot also reports the network's output.
    """

    layers: tuple[Layer, ...]
    loss: Loss
    parameters: Parameters
    data: Batch
    batches: Array | None = None
    optimizer: Optimizer = field(default_factory=lambda: SGD(0.1))
    snapshots: tuple[int, ...] = (0,)
    evaluate: Mapping[str, Batch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        network = self.network
        network.check(self.parameters)
        for k, named in enumerate(self.parameters):
            for name, array in named.items():
                if array.dtype != self.data.x.dtype:
                    raise InvalidInput(f"layer {k}: {name} is {array.dtype}, but the data is {self.data.x.dtype}")
        for name, data in self.evaluate.items():
            if data.x.dtype != self.data.x.dtype:
                raise InvalidInput(f"evaluate[{name!r}] is {data.x.dtype}, but the data is {self.data.x.dtype}")
            if data.x.shape[-2] != network.inputs:
                raise InvalidInput(f"evaluate[{name!r}] has {data.x.shape[-2]} features, the data {network.inputs}")
        self._check_targets(network.widths[-1])
        if self.batches is not None:
            m = self.data.x.shape[-1]
            if self.batches.dtype.kind not in "iu" or self.batches.ndim < 2:
                raise InvalidInput(
                    f"batches must be whole numbers (steps, …, b), got {self.batches.dtype} {self.batches.shape}"
                )
            if self.batches.ndim > 2 and self.data.x.ndim > 2:
                raise InvalidInput("batches of its own for each network need data without leading axes")
            if not (self.batches.size and self.batches.min() >= 0 and self.batches.max() < m):
                raise InvalidInput(f"batches must name columns 0 … {m - 1} of the data, and at least one")
            if not all(0 <= step < len(self.batches) for step in self.snapshots):
                raise InvalidInput(f"snapshots at {self.snapshots}, but there are steps 0 … {len(self.batches) - 1}")

    def _check_targets(self, outputs: int) -> None:
        y = self.data.y
        if y.dtype.kind in "iu":
            if not self.loss.takes_labels:
                raise InvalidInput(
                    f"{self.loss} needs Y as numbers (…, {outputs}, m) of X's type, got integers {y.shape}"
                )
            if y.ndim > 1 and y.shape[:-1] != self.leading:
                raise InvalidInput(f"integer labels must be (m,) or {(*self.leading, 'm')}, got {y.shape}")
            self.loss.targets(y, outputs)  # raises where a label is out of range
        elif y.shape[-2:-1] != (outputs,):
            raise InvalidInput(f"Y must be (…, {outputs}, m), one row an output, got {y.shape}")
        if isinstance(self.loss, BinaryCrossEntropy) and not ((y >= 0) & (y <= 1)).all():
            raise InvalidInput(f"binary targets must lie in [0, 1]; found {y.min()} … {y.max()}")

    @cached_property
    def leading(self) -> Shape:
        """The stack axes (…) of the parameters; () for a single network or one without parameters."""
        return next((a.shape[:-2] for named in self.parameters for a in named.values()), ())

    @cached_property
    def network(self) -> Network:
        return Network(self.layers, self.data.x.shape[-2])


@dataclass(frozen=True)
class Snapshot:
    """What one backend saw at one step: NumPy arrays, one entry a layer, leading axes as in the job's parameters."""

    step: int
    loss: Array  # (…,), of the step's batch
    outputs: tuple[Array, ...]  # (…, units, m)
    output_gradients: tuple[Array, ...]  # ∂J/∂output, (…, units, m)
    parameters: Parameters
    gradients: Parameters  # ∂J/∂parameter
    scores: dict[str, Array]  # the network's output on each of job.evaluate, (…, outputs, m)
