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

from scratch.errors import InvalidInput
from scratch.layers import Array, Layer, Shape
from scratch.losses import Loss
from scratch.network import Network, Parameters, fits, merge
from scratch.optimizers import SGD, Clip, Optimizer
from scratch.options import Description, is_plain, kind_of
from scratch.penalties import MaxNorm, Penalty
from scratch.schedules import Schedule


@dataclass(frozen=True)
class Batch:
    """x (…, features, m); y integer labels (…, m), or numbers (…, outputs, m)."""

    x: Array
    y: Array

    def __post_init__(self) -> None:
        if not (is_plain(self.x) and is_plain(self.y)):
            kinds = f"{type(self.x).__name__} and {type(self.y).__name__}"
            hint = remedy(self.y if is_plain(self.x) else self.x)
            raise InvalidInput(f"X and Y must be NumPy arrays, got {kinds}{hint}")
        check_inputs(self.x)
        if self.y.ndim < 1 or self.x.shape[-1] != self.y.shape[-1]:
            held = self.y.shape[-1] if self.y.ndim else "none"
            raise InvalidInput(f"X holds {self.x.shape[-1]} examples (its columns), Y {held}{self._turned()}")
        if not self.labelled and self.y.dtype != self.x.dtype:
            hint = ": y.astype(int)" if self.y.dtype.kind == "b" else remedy(self.y, "y", self.x.dtype)
            raise InvalidInput(f"Y must be integer labels or of X's type {self.x.dtype}, got {self.y.dtype}{hint}")
        if self.y.dtype.kind == "u" and self.y.size and self.y.max() > np.iinfo(np.int64).max:
            raise InvalidInput(f"Y holds {self.y.max()}: a label must fit into int64; labels count classes from 0")
        for name, array in (("X", self.x), ("Y", self.y)):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
                raise InvalidInput(f"{name} holds {array[where]} at {where}: every number must be finite")

    def _turned(self) -> str:
        """What to transpose, where that makes X and Y fit."""
        features, examples = self.x.shape[-2:]
        rows, columns = (None, None, *self.y.shape)[-2:]
        if columns == features:
            return ": transpose, an example is a column (x.T)"
        if rows == examples and (columns == 1 or not self.labelled):
            return ": labels are (m,), y.ravel()" if self.labelled else ": transpose Y, an example is a column (y.T)"
        return ": transpose, an example is a column (x.T, y.T)" if rows == features and not self.labelled else ""

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


def check_inputs(x: Array, name: str = "X") -> None:
    """Raises InvalidInput unless x is float32 or float64, (…, features, examples)."""
    if not is_plain(x):
        raise InvalidInput(f"{name} must be a NumPy array, got {kind_of(x)}{remedy(x)}")
    if x.dtype.kind != "f":
        hint = remedy(x)
        raise InvalidInput(f"{name} must be floating point (…, features, examples), got {x.dtype} {x.shape}{hint}")
    if x.ndim < 2:
        hint = f": x[:, None] is one example, x[None] is {x.size} with one feature" if x.ndim else ""
        raise InvalidInput(f"{name} must be floating point (…, features, examples), got {x.dtype} {x.shape}{hint}")
    if x.dtype not in (np.float32, np.float64):
        raise InvalidInput(f"{name} must be float32 or float64 in this machine's byte order, got {x.dtype}{remedy(x)}")


def turned(x: Array, inputs: int) -> str:
    """The hint for an x that has the features in its last axis."""
    return ": transpose, an example is a column (x.T)" if x.ndim and x.shape[-1] == inputs else ""


def remedy(thing: Any, name: str = "x", dtype: Any = "np.float64") -> str:
    """``: `` and what makes floating-point numbers in a NumPy array of it; nothing where that is not known."""
    if is_plain(thing):
        kind = thing.dtype.kind
        if kind in "mM":
            return f": say in which unit, ({name} - {name}.min()) / np.timedelta64(1, 's')"
        if kind == "c":
            return f": {name}.real, or real and imaginary parts as features of their own"
        return f": {name}.astype({dtype})" if kind in "fiubO" else ": numbers, not text" if kind in "SUT" else ""
    if isinstance(thing, np.ma.MaskedArray):
        return ": fill in or leave out what is masked"
    if isinstance(thing, (list, tuple, np.matrix)):
        return f": np.{'as' if isinstance(thing, np.matrix) else ''}array({name})"
    for method, call in (("toarray", "toarray()"), ("iloc", "to_numpy()"), ("numpy", "numpy()")):
        if hasattr(thing, method):  # SciPy's sparse matrix, pandas, PyTorch
            return f": {name}.{call}"
    return ""


Noise = Callable[[int], Parameters]


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
        if not self.data.x.shape[-1]:
            raise InvalidInput("the data holds no examples")
        network = self.network
        network.check(self.parameters)
        if 0 in self.leading:
            raise InvalidInput(f"parameters are stacked as {self.leading}: a stack needs at least one network")
        if self.buffers is not None:
            network.check_buffers(self.buffers, self.leading)
        for k, named in enumerate(
            merge(self.parameters, ({},) * len(self.layers) if self.buffers is None else self.buffers)
        ):
            for name, array in named.items():
                if array.dtype != self.data.x.dtype:
                    raise InvalidInput(f"layer {k}: {name} is {array.dtype}, but the data is {self.data.x.dtype}")
        for name, data in self.evaluate.items():
            if not isinstance(data, Batch):
                raise InvalidInput(f"evaluate[{name!r}] must be a Batch, got {type(data).__name__}")
            if data.x.dtype != self.data.x.dtype:
                raise InvalidInput(f"evaluate[{name!r}] is {data.x.dtype}, but the data is {self.data.x.dtype}")
            if data.x.shape[-2] != network.inputs:
                came = f"{data.x.shape[-2]} features, the data {network.inputs}{turned(data.x, network.inputs)}"
                raise InvalidInput(f"evaluate[{name!r}] has {came}")
        if any(network.noise) and self.noise is None:
            raise InvalidInput("a layer with dropout needs noise: give the job a function from the step to the masks")
        self._check_targets(network.widths[-1])
        if self.batches is not None:
            self._check_batches(self.batches)
        for name, data in (("data", self.data), *((f"evaluate[{n!r}]", d) for n, d in self.evaluate.items())):
            for letter, shape in (("X", data.x.shape[:-2]), ("Y", data.y.shape[: -1 if data.labelled else -2])):
                if not fits(shape, self.leading):
                    raise InvalidInput(f"{name}: {letter} is stacked as {shape}, the networks as {self.leading}")
        self._check_rates()

    def _check_batches(self, batches: Array | Sequence[Array]) -> None:
        m = self.data.x.shape[-1]
        if not isinstance(batches, np.ndarray):
            if not all(is_plain(chosen) for chosen in batches):
                raise InvalidInput(
                    "batches must be an array (steps, …, b) or a list of arrays (b,), "
                    f"got {kind_of(batches)} of {kind_of(batches[0])}"
                )
            if any(chosen.ndim != 1 for chosen in batches):
                raise InvalidInput(
                    "batches of different sizes must be arrays (b,), the same for every network of a stack"
                )
        elif batches.ndim < 2:
            raise InvalidInput(f"batches must be whole numbers (steps, …, b), got {batches.dtype} {batches.shape}")
        elif batches.ndim > 2 and (self.data.x.ndim > 2 or self.data.y.ndim > (1 if self.data.labelled else 2)):
            raise InvalidInput("batches of its own for each network need data without leading axes")
        elif batches.shape[1:-1] not in ((), self.leading):
            raise InvalidInput(f"batches are stacked as {batches.shape[1:-1]}, the parameters as {self.leading}")
        if not len(batches):
            raise InvalidInput("batches must hold at least one step")
        for chosen in [batches] if isinstance(batches, np.ndarray) else batches:
            if chosen.dtype.kind not in "iu":
                raise InvalidInput(f"batches must be whole numbers (steps, …, b), got {chosen.dtype} {chosen.shape}")
            if not (chosen.size and chosen.min() >= 0 and chosen.max() < m):
                raise InvalidInput(f"batches must name columns 0 … {m - 1} of the data, and at least one")
        if not all(0 <= step < len(batches) for step in self.snapshots):
            raise InvalidInput(f"snapshots at {self.snapshots}, but there are steps 0 … {len(batches) - 1}")

    def _check_targets(self, outputs: int) -> None:
        y = self.data.y
        if self.data.labelled:
            if not self.loss.takes_labels:
                raise InvalidInput(
                    f"{self.loss} needs Y as numbers (…, {outputs}, m) of X's type, got integers {y.shape}"
                )
            if y.ndim > 1 and y.shape[:-1] != self.leading:
                raise InvalidInput(f"integer labels must be (m,) or {(*self.leading, 'm')}, got {y.shape}")
            self.loss.targets(y, outputs)  # raises where a label is out of range
        elif y.shape[-2:-1] != (outputs,):
            raise InvalidInput(f"Y must be (…, {outputs}, m), one row an output, got {y.shape}")
        self.loss.check(y, outputs)
        if self.loss.reduction == "none":
            raise InvalidInput(f"{self.loss}: a network is trained on one number, so reduce by 'mean' or 'sum'")

    def _check_rates(self) -> None:
        shape = self.optimizer.base.shape
        if shape and shape != self.leading:
            raise InvalidInput(
                f"learning rates {shape} for networks stacked as {self.leading}: one a network, or one for all"
            )

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
        self.network.check_noise(noise, examples, self.leading)
        return noise


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
