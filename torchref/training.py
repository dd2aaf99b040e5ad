"""Runs jobs in PyTorch: the same two functions as scratch.training, for single networks and, through vmap, for stacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from scratch.categorical import CrossEntropy, NegativeLogLikelihood
from scratch.clipping import ClipNorm
from scratch.contract import Batch, Job, Snapshot
from scratch.errors import InvalidInput
from scratch.layers import Array
from scratch.network import Network as Description
from scratch.network import Parameters
from scratch.schedules import ReduceOnPlateau
from torchref import conventions, losses, optimizers, penalties, schedules
from torchref.network import Network

Named = dict[str, Tensor]


class Trainee:
    """The network of a job on a device: PyTorch's modules, a state with at most one stack axis, PyTorch's optimizer."""

    def __init__(self, job: Job, device: str = "cpu") -> None:
        self.job, self.leading = job, job.leading
        self.device = conventions.device_of(device, job.data.x.dtype)
        self.model = _shell(job.network)
        _check_classes(job)
        self.criterion = losses.twin(job.loss).to(self.device, conventions.dtype_of(job.data.x))
        self.penalty = None if job.penalty is None else penalties.twin(job.penalty)
        self.state = conventions.state(job.parameters, self.device)
        self.started = job.start_buffers()
        self.buffers = conventions.tensors(self.started, self.device)

    def load(self, data: Batch) -> tuple[Tensor, Tensor]:
        """The batch as row tensors; a stack of data is spread over all the leading axes of the parameters."""
        return self._rows(data.x, 2), self._rows(data.y, 1 if data.labelled else 2)

    def _rows(self, array: Array, core: int) -> Tensor:
        spread = np.broadcast_to(array, self.leading + array.shape[-core:]) if array.ndim > core else array
        return conventions.rows(spread, self.device)

    def noise(self, number: int, examples: int) -> Named:
        """What the layers are handed at this step."""
        self.job.network.check_examples(examples)
        handed = self.job.noise_at(number, examples)
        spread = tuple(
            {name: np.broadcast_to(a, (self.leading if a.ndim > 2 else ()) + a.shape[-2:]) for name, a in named.items()}
            for named in handed
        )
        return conventions.tensors(spread, self.device)

    def objective(
        self, x: Tensor, y: Tensor, others: Named, taps: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """J of each network (S,) or (), and its outputs: every layer's if there are taps, else the last's.

        ``others``: buffers, which change in place, and noise.
        """

        def single(
            state: Named, others: Named, x: Tensor, y: Tensor, taps: Sequence[Tensor] | None
        ) -> tuple[Tensor, list[Tensor]]:
            outputs = functional_call(self.model, {**state, **others}, (x, taps))
            value = self.criterion(outputs[-1], y)
            return (value if self.penalty is None else value + self.penalty(state)), outputs

        if not self.leading:
            return single(self.state, others, x, y, taps)
        axes = (
            0,
            {name: self._axis(name, tensor) for name, tensor in others.items()},
            0 if x.ndim > 2 else None,
            0 if y.ndim > (1 if y.dtype == torch.int64 else 2) else None,
            None if taps is None else 0,
        )
        return vmap(single, in_dims=axes)(self.state, others, x, y, taps)

    def _axis(self, name: str, tensor: Tensor) -> int | None:
        """0 where each network of the stack has its own: counts never, masks only if they have a third axis."""
        own = {"num_batches_tracked": False, "mask": tensor.ndim > 2}
        return 0 if own.get(name.rpartition(".")[2], True) else None

    @cached_property
    def settled(self) -> nn.Module:
        """The network as it is used after training."""
        return _shell(self.job.network.inference).eval()

    @cached_property
    def advance(self) -> Advance:
        return Advance(self.job, self.state)

    def step(self, number: int, x: Tensor, y: Tensor) -> Tensor:
        """One update on one batch; J before it."""
        others = self.buffers | self.noise(number, x.shape[-2])
        value, _ = self.objective(x, y, others)
        if not self.state:  # nothing to learn, though running statistics have changed
            return value.detach()
        found = torch.autograd.grad(value.sum(), list(self.state.values()))  # members share nothing: each has its own
        self.advance(dict(zip(self.state, found, strict=True)), value.detach())
        return value.detach()

    def look(self, number: int, x: Tensor, y: Tensor, parameters: Parameters | None = None) -> Snapshot:
        """Everything that a snapshot shows, at the present parameters; those are copied unless handed in."""
        stack = (prod(self.leading),) if self.leading else ()
        sizes = [(*stack, x.shape[-2], width) for width in self.job.network.widths]
        taps = [torch.zeros(size, dtype=x.dtype, device=self.device, requires_grad=True) for size in sizes]
        wanted = [*taps, *self.state.values()]
        others = {name: t.clone() for name, t in self.buffers.items()} | self.noise(number, x.shape[-2])
        value, outputs = self.objective(x, y, others, taps)
        found = torch.autograd.grad(value.sum(), wanted)
        gradients = dict(zip(self.state, found[len(taps) :], strict=True))
        return Snapshot(
            number,
            conventions.scalars(value, self.leading),
            tuple(conventions.columns(a, self.leading) for a in outputs),
            tuple(conventions.columns(g, self.leading) for g in found[: len(taps)]),
            conventions.parameters(_copy(self.state), self.job.parameters) if parameters is None else parameters,
            conventions.parameters(gradients, self.job.parameters),
            conventions.parameters(_copy(self.buffers), self.started),
            {name: self.score(data) for name, data in self.job.evaluate.items()},
        )

    @torch.no_grad()
    def score(self, data: Batch) -> Array:
        """The network's output on ``data``, as after training."""
        x, settled = self._rows(data.x, 2), self.settled  # made outside of vmap, which cannot

        def single(state: Named, others: Named, x: Tensor) -> Tensor:
            return functional_call(settled, {**state, **others}, (x,))[-1]

        if self.leading:
            axes = (0, {name: self._axis(name, t) for name, t in self.buffers.items()}, 0 if x.ndim > 2 else None)
            return conventions.columns(vmap(single, in_dims=axes)(self.state, self.buffers, x), self.leading)
        return conventions.columns(single(self.state, self.buffers, x), self.leading)


class Advance:
    """The update that follows a gradient, with PyTorch's own parts: clip, optimizer, constraint, scheduler.

    One of each for the whole stack, or, where one of them looks at a network as a whole, one of each for every network.
    """

    def __init__(self, job: Job, state: Named) -> None:
        self.job = job
        self.apart = bool(job.leading) and (
            isinstance(job.optimizer.learning_rate, tuple)
            or isinstance(job.clip, ClipNorm)
            or isinstance(job.schedule, ReduceOnPlateau)
            or job.constraint is not None
        )
        rates = np.broadcast_to(job.optimizer.base, job.leading).reshape(-1).tolist()
        held = {name: t.detach() for name, t in state.items()}  # the same memory: what changes here changes there
        if self.apart:
            self.members = [
                self._member({name: t[s] for name, t in held.items()}, rate) for s, rate in enumerate(rates)
            ]
        else:
            self.members = [self._member(held, rates[0])]

    def _member(self, tensors: Named, rate: float) -> tuple[Named, torch.optim.Optimizer, Any]:
        optimizer = optimizers.twin(replace(self.job.optimizer, learning_rate=rate), tensors.values())
        plan = self.job.schedule
        return tensors, optimizer, None if plan is None else schedules.twin(plan, optimizer)

    def __call__(self, gradients: Named, value: Tensor) -> None:
        for s, (tensors, optimizer, scheduler) in enumerate(self.members):
            for name, tensor in tensors.items():
                tensor.grad = gradients[name][s] if self.apart else gradients[name]
            if self.job.clip is not None:
                optimizers.clip(self.job.clip, tensors.values())
            optimizer.step()
            if self.job.constraint is not None:
                penalties.project(self.job.constraint, tensors)
            if isinstance(self.job.schedule, ReduceOnPlateau):
                scheduler.step(value[s] if self.apart else value)
            elif scheduler is not None:
                scheduler.step()


def _shell(description: Description) -> nn.Module:
    """The modules without numbers: the state is handed in at every call, so none are drawn and PyTorch's own generator stays as it is."""
    with torch.device("meta"):
        return Network(description)


def _check_classes(job: Job) -> None:
    """Raises InvalidInput where Y holds class probabilities and PyTorch's loss takes labels alone."""
    ignoring = isinstance(job.loss, CrossEntropy) and job.loss.ignore_index >= 0
    if not job.data.labelled and (ignoring or isinstance(job.loss, NegativeLogLikelihood)):
        raise InvalidInput(f"{job.loss}: PyTorch computes it of integer labels alone, and Y is {job.data.y.dtype}")


def _copy(tensors: Named) -> Named:
    return {name: t.detach().clone() for name, t in tensors.items()}


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
    for number, columns in enumerate(job.batches):
        chosen = torch.tensor(columns.reshape(-1, columns.shape[-1]).astype(np.int64, "C"), device=trainee.device)
        x, y = (xs[chosen], ys[chosen]) if columns.ndim > 1 else (xs[..., chosen[0], :], _pick(ys, chosen[0]))
        if number in job.snapshots:
            yield trainee.look(number, x, y)
        if number < len(job.batches) - 1:
            trainee.step(number, x, y)


def _pick(ys: Tensor, chosen: Tensor) -> Tensor:
    return ys[..., chosen] if ys.dtype == torch.int64 else ys[..., chosen, :]
