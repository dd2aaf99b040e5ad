"""Runs jobs: a single look at a network, or mini-batch training as a stream of snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratch.contract import Batch, Job, Snapshot
from scratch.errors import InvalidInput
from scratch.layers import Array, Tensors
from scratch.network import Parameters, Trace, merge


@dataclass
class State:
    """θ and ∂J/∂θ (…, P), the layers' views of them, buffers, and the memories of optimizer and schedule: changed in place."""

    theta: Array
    gradient: Array
    parameters: Parameters
    gradients: Parameters
    buffers: Parameters
    given: Parameters  # parameters, buffers and noise, as the layers want them
    memory: Tensors
    plan: Tensors  # the schedule's memory
    rate: Any = None  # of the next update; None: the optimizer's own
    number: int = 0  # updates done
    trace: Trace | None = None  # of the last step: room for the next
    loss: Any = None  # J (…,) of the last step


def start(job: Job) -> State:
    """A state of its own, with the job's parameters copied into it."""
    network = job.network
    theta = network.flatten(job.parameters)
    gradient = np.zeros_like(theta)
    parameters, buffers = network.views(theta), job.start_buffers()
    memory, given = job.optimizer.start(theta), merge(parameters, buffers)
    state = State(theta, gradient, parameters, network.views(gradient), buffers, given, memory, {})
    if job.schedule is not None:
        state.plan = job.schedule.start(job.optimizer.base)
        state.rate = job.schedule.rate(state.plan, 0, None)
    return state


def step(job: Job, state: State, batch: Batch) -> Array:
    """One update on one batch; J (…,) before it."""
    differentiate(job, state, batch)
    return advance(job, state)


def differentiate(job: Job, state: State, batch: Batch) -> None:
    """J and its gradient on one batch, into ``state``."""
    before = state.trace
    room = before if before is not None and before.outputs[0].shape[-1] == batch.x.shape[-1] else None
    if job.noise is not None:
        for p, handed in zip(state.given, job.noise_at(state.number, batch.x.shape[-1]), strict=True):
            p.update(handed)
    state.loss, state.trace = job.network.differentiate(job.loss, state.given, state.gradients, batch.x, batch.y, room)
    if job.penalty is not None:
        state.loss = state.loss + job.penalty(state.parameters)
        job.penalty.add_gradient(state.parameters, state.gradients)


def advance(job: Job, state: State) -> Array:
    """The update that follows ``differentiate``; J (…,) before it."""
    if job.clip is not None:
        job.clip(state.gradient)
    job.optimizer.update(state.theta, state.gradient, state.memory, state.rate)
    if job.constraint is not None:
        job.constraint.project(state.parameters)
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
    for number, columns in enumerate(job.batches):
        batch = job.data.columns(columns)
        if number in job.snapshots:
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
