"""Runs jobs: a single look at a network, or mini-batch training as a stream of snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scratch.contract import Batch, Job, Snapshot
from scratch.errors import InvalidInput
from scratch.layers import Array, Tensors
from scratch.losses import Loss
from scratch.network import Network, Parameters, Trace
from scratch.optimizers import Optimizer


@dataclass
class State:
    """θ and ∂J/∂θ (…, P), the layers' views of them, and the optimizer's memory: all changed in place by ``step``."""

    theta: Array
    gradient: Array
    parameters: Parameters
    gradients: Parameters
    memory: Tensors
    trace: Trace | None = None  # of the last step: room for the next


def start(network: Network, optimizer: Optimizer, parameters: Parameters) -> State:
    """A state of its own, with the given parameters copied into it."""
    theta = network.flatten(parameters)
    gradient = np.zeros_like(theta)
    return State(theta, gradient, network.views(theta), network.views(gradient), optimizer.start(theta))


def step(network: Network, loss: Loss, optimizer: Optimizer, state: State, x: Array, y: Array) -> Array:
    """One update on one batch; the loss (…,) before it."""
    room = state.trace if state.trace and state.trace.outputs[0].shape[-1] == x.shape[-1] else None
    value, state.trace = network.differentiate(loss, state.parameters, state.gradients, x, y, room)
    optimizer.update(state.theta, state.gradient, state.memory)
    return value


def snapshot(job: Job) -> Snapshot:
    """One forward and backward pass over all of the job's data, at its parameters."""
    theta = next((a for named in job.parameters for a in named.values()), np.zeros((0, 0)))
    gradient = np.zeros((*theta.shape[:-2], job.network.size), theta.dtype)
    return _look(job, job.parameters, job.network.views(gradient), 0, job.data)


def train(job: Job) -> Iterator[Snapshot]:
    """Trains on the job's batches in turn; yields the snapshots that it asks for."""
    if job.batches is None:
        raise InvalidInput("to train, a job needs batches: job.batches is None")
    network = job.network
    state = start(network, job.optimizer, job.parameters)
    for number, columns in enumerate(job.batches):
        batch = job.data.columns(columns)
        if number in job.snapshots:
            yield _look(
                job, network.views(state.theta.copy()), network.views(np.zeros_like(state.gradient)), number, batch
            )
        if number < len(job.batches) - 1:
            step(network, job.loss, job.optimizer, state, batch.x, batch.y)


def _look(job: Job, parameters: Parameters, gradients: Parameters, number: int, batch: Batch) -> Snapshot:
    network = job.network
    value, trace = network.differentiate(job.loss, parameters, gradients, batch.x, batch.y)
    scores = {name: network.predict(parameters, data.x) for name, data in job.evaluate.items()}
    return Snapshot(number, value, tuple(trace.outputs), tuple(trace.douts), parameters, gradients, scores)
