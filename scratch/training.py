"""Runs jobs: a single look at a network, or mini-batch training as a stream of snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scratch.contract import Batch, Job, Snapshot
from scratch.errors import InvalidInput
from scratch.layers import Array, Tensors, silent
from scratch.network import Network, Parameters, merge
from scratch.optimizers import Memory
from scratch.recording import cannot_replay
from scratch.replay import Repeat


@dataclass
class State:
    """θ and ∂J/∂θ (…, P), the layers' views of them, buffers, and the memories of optimizer and schedule: changed in place."""

    theta: Array
    gradient: Array
    parameters: Parameters
    gradients: Parameters
    buffers: Parameters
    memory: Memory
    plan: Tensors  # the schedule's memory
    rate: Any = None  # of the next update; None: the optimizer's own
    number: int = 0  # updates done
    loss: Any = None  # J (…,) of the last step
    repeat: Repeat = field(default_factory=Repeat)

    def held(self, hold: Callable[[Array], Array], network: Network) -> State:
        """The same arrays, each as ``hold`` gives it back."""
        theta, gradient = hold(self.theta), hold(self.gradient)
        buffers = tuple({name: hold(a) for name, a in named.items()} for named in self.buffers)
        memory = {name: hold(a) if isinstance(a, np.ndarray) else a for name, a in self.memory.items()}
        views = network.views(theta), network.views(gradient)
        return State(theta, gradient, *views, buffers, memory, self.plan, number=self.number)


def start(job: Job) -> State:
    """A state of its own, with the job's parameters copied into it."""
    network = job.network
    theta = network.flatten(job.parameters)
    gradient = np.zeros_like(theta)
    views, memory = (network.views(theta), network.views(gradient)), job.optimizer.start(theta)
    state = State(theta, gradient, *views, job.start_buffers(), memory, {})
    if job.schedule is not None:
        state.plan = job.schedule.start(job.optimizer.base)
        state.rate = job.schedule.rate(state.plan, 0, None)
    return state


def step(job: Job, state: State, batch: Batch) -> Array:
    """One update on one batch; J (…,) before it. The same bits as ``differentiate`` and ``advance``, but recorded and replayed."""
    target, noise = _given(job, state, batch)
    rates = job.optimizer.count(state.memory, state.rate, state.theta.dtype)
    masks = [mask for named in noise for mask in named.values()]
    end = 1 + len(target)

    def calculation(given: list[Array], hold: Callable[[Array], Array]) -> Array:
        held, left = state.held(hold, job.network), iter(given[end + len(rates) :])
        own_noise = tuple({name: next(left) for name in named} for named in noise)
        loss = _differentiate(job, held, given[0], given[1:end], own_noise)
        before = dict(held.memory)
        _descend(job, held, given[end : end + len(rates)])
        if changed := {name: a for name, a in held.memory.items() if a is not before.get(name)}:
            state.memory.update({name: _plain(a) for name, a in changed.items()})
            cannot_replay(held.theta)  # the next step begins with other arrays
        return loss

    state.loss = state.repeat.run(calculation, [batch.x, *target, *rates, *masks])
    return _count(job, state)


@silent
def differentiate(job: Job, state: State, batch: Batch) -> None:
    """J and its gradient on one batch, into ``state``."""
    state.loss = _differentiate(job, state, batch.x, *_given(job, state, batch))


@silent
def advance(job: Job, state: State) -> Array:
    """The update that follows ``differentiate``; J (…,) before it."""
    _descend(job, state, job.optimizer.count(state.memory, state.rate, state.theta.dtype))
    return _count(job, state)


def _given(job: Job, state: State, batch: Batch) -> tuple[tuple[Array, ...], Parameters]:
    """The prepared targets, and the noise, if any: what a step depends on beside X and its state."""
    noise = () if job.noise is None else job.noise_at(state.number, batch.x.shape[-1])
    if batch.origin is job.data and job.settled:
        return (batch.y,), noise
    return job.loss.prepare(batch.y, job.network.widths[-1], batch.x.dtype), noise


def _differentiate(job: Job, state: State, x: Array, target: Sequence[Array], noise: Parameters) -> Array:
    given = merge(state.parameters, state.buffers, noise if len(noise) else ({},) * len(job.layers))
    loss, _ = job.network.differentiate(job.loss.differentiate, given, state.gradients, x, *target)
    if job.penalty is not None:
        loss = loss + job.penalty(state.parameters)
        job.penalty.add_gradient(state.parameters, state.gradients)
    return loss


def _descend(job: Job, state: State, rates: Sequence[Any]) -> None:
    if job.clip is not None:
        job.clip(state.gradient)
    job.optimizer.apply(state.theta, state.gradient, state.memory, *rates)
    if job.constraint is not None:
        job.constraint.project(state.parameters)


def _count(job: Job, state: State) -> Array:
    state.number += 1
    if job.schedule is not None:
        state.rate = job.schedule.rate(state.plan, state.number, state.loss)
    return state.loss


def snapshot(job: Job) -> Snapshot:
    """One forward and backward pass over all of the job's data, at its parameters."""
    return _look(job, job.parameters, job.start_buffers(), 0, job.data)


def train(job: Job) -> Iterator[Snapshot]:
    """Trains on the job's batches in turn; yields the snapshots that it asks for."""
    if job.batches is None:
        raise InvalidInput("to train, a job needs batches: job.batches is None")
    state = start(job)
    shown = set(job.snapshots)
    for number, columns in enumerate(job.batches):
        batch = job.data.columns(columns)
        if number in shown:
            yield _look(job, job.network.views(state.theta.copy()), _copy(state.buffers), number, batch)
        if number < len(job.batches) - 1:
            step(job, state, batch)


def _look(job: Job, parameters: Parameters, buffers: Parameters, number: int, batch: Batch) -> Snapshot:
    network = job.network
    gradients = network.views(np.zeros((*job.leading, network.size), job.data.x.dtype))
    given = merge(parameters, _copy(buffers), job.noise_at(number, batch.x.shape[-1]))  # looking changes no buffer
    value, trace = network.differentiate(job.loss, given, gradients, batch.x, batch.y)
    if job.penalty is not None:
        value = value + job.penalty(parameters)
        job.penalty.add_gradient(parameters, gradients)
    settled = merge(parameters, buffers)
    scores = {name: network.inference.predict(settled, data.x) for name, data in job.evaluate.items()}
    outputs, douts = (tuple(_stacked(job, a) for a in signals) for signals in trace)
    return Snapshot(number, value, outputs, douts, parameters, gradients, buffers, scores)


def _stacked(job: Job, signal: Array) -> Array:
    """With the stack's axes also where no layer has brought them in yet: before the first that learns, on shared data."""
    shape = job.leading + signal.shape[-2:]
    return signal if signal.shape == shape else np.broadcast_to(signal, shape)


def _copy(buffers: Parameters) -> Parameters:
    return tuple({name: array.copy() for name, array in named.items()} for named in buffers)


def _plain(thing: Any) -> Any:
    return np.asarray(thing) if isinstance(thing, np.ndarray) else thing
