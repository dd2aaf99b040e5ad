"""Runs jobs in PyTorch: the same two functions as scratch.training, for single networks and, through vmap, for stacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from scratch.contract import Batch, Job, Snapshot
from scratch.errors import InvalidInput
from scratch.layers import Array
from scratch.network import Parameters
from torchref import conventions, losses, optimizers
from torchref.network import Network


class Trainee:
    """The network of a job on a device: PyTorch's modules, a state with at most one stack axis, PyTorch's optimizer."""

    def __init__(self, job: Job, device: str = "cpu") -> None:
        self.job, self.leading = job, job.leading
        self.device = conventions.device_of(device, job.data.x.dtype)
        self.model = Network(job.network).to(self.device)
        self.criterion = losses.twin(job.loss)
        self.state = conventions.state(job.parameters, self.device)

    def load(self, data: Batch) -> tuple[Tensor, Tensor]:
        """The batch as row tensors; a stack of data is spread over all the leading axes of the parameters."""
        x, y = data.x, data.y
        core = 1 if y.dtype.kind in "iu" else 2
        if x.ndim > 2:
            x = np.broadcast_to(x, self.leading + x.shape[-2:])
        if y.ndim > core:
            y = np.broadcast_to(y, self.leading + y.shape[-core:])
        return conventions.rows(x, self.device), conventions.rows(y, self.device)

    def objective(self, x: Tensor, y: Tensor, taps: Sequence[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        """The loss of each network (S,) or (), and its outputs: every layer's if there are taps, else the last's."""

        def single(
            state: dict[str, Tensor], x: Tensor, y: Tensor, taps: Sequence[Tensor] | None
        ) -> tuple[Tensor, list[Tensor]]:
            outputs = functional_call(self.model, state, (x, taps))
            return self.criterion(outputs[-1], y), outputs

        if not self.leading:
            return single(self.state, x, y, taps)
        axes = (
            0,
            0 if x.ndim > 2 else None,
            0 if y.ndim > (1 if y.dtype == torch.int64 else 2) else None,
            0 if taps else None,
        )
        return vmap(single, in_dims=axes)(self.state, x, y, taps)

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        return optimizers.twin(self.job.optimizer, self.state.values())

    def step(self, x: Tensor, y: Tensor) -> None:
        """One update on one batch."""
        self.optimizer.zero_grad()
        value, _ = self.objective(x, y)
        value.sum().backward()  # the networks of a stack share nothing: the sum's gradient is each one's own
        self.optimizer.step()

    def look(self, number: int, x: Tensor, y: Tensor, parameters: Parameters | None = None) -> Snapshot:
        """Everything that a snapshot shows, at the present parameters; those are copied unless handed in."""
        stack = (prod(self.leading),) if self.leading else ()
        sizes = [(*stack, x.shape[-2], width) for width in self.job.network.widths]
        taps = [torch.zeros(size, dtype=x.dtype, device=self.device, requires_grad=True) for size in sizes]
        wanted = [*taps, *self.state.values()]
        value, outputs = self.objective(x, y, taps)
        found = torch.autograd.grad(value.sum(), wanted)
        gradients = dict(zip(self.state, found[len(taps) :], strict=True))
        return Snapshot(
            number,
            conventions.scalars(value, self.leading),
            tuple(conventions.columns(a, self.leading) for a in outputs),
            tuple(conventions.columns(g, self.leading) for g in found[: len(taps)]),
            parameters
            or conventions.parameters(
                {name: t.detach().clone() for name, t in self.state.items()}, self.job.parameters
            ),
            conventions.parameters(gradients, self.job.parameters),
            {name: self.score(data) for name, data in self.job.evaluate.items()},
        )

    @torch.no_grad()
    def score(self, data: Batch) -> Array:
        x, y = self.load(data)
        return conventions.columns(self.objective(x, y)[1][-1], self.leading)


def snapshot(job: Job, device: str = "cpu") -> Snapshot:
    """One forward and backward pass over all of the job's data, at its parameters."""
    trainee = Trainee(job, device)
    return trainee.look(0, *trainee.load(job.data), job.parameters)


def train(job: Job, device: str = "cpu") -> Iterator[Snapshot]:
    """Trains on the job's batches in turn; yields the snapshots that it asks for."""
    if job.batches is None:
        raise InvalidInput("to train, a job needs batches: job.batches is None")
    trainee = Trainee(job, device)
    xs, ys = trainee.load(job.data)
    chosen_by_step = job.batches.reshape(len(job.batches), -1, job.batches.shape[-1])
    batches = torch.tensor(chosen_by_step, device=trainee.device)
    for number, chosen in enumerate(batches):
        x, y = (xs[chosen], ys[chosen]) if job.batches.ndim > 2 else (xs[..., chosen[0], :], _pick(ys, chosen[0]))
        if number in job.snapshots:
            yield trainee.look(number, x, y)
        if number < len(batches) - 1:
            trainee.step(x, y)


def _pick(ys: Tensor, chosen: Tensor) -> Tensor:
    return ys[..., chosen] if ys.dtype == torch.int64 else ys[..., chosen, :]
