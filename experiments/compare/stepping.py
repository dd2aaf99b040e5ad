"""The two implementations, each as a job that is trained batch by batch by whoever hands them in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scratch import fitting, training
from scratch.contract import Batch, Job
from scratch.layers import Array
from scratch.losses import SquaredError
from scratch.network import Network, Parameters
from scratch.penalties import Penalty
from torchref import conventions, penalties
from torchref.training import Trainee


class Scratch:
    """The job in NumPy; each step may have a penalty of its own, and ``number`` counts them."""

    def __init__(self, job: Job) -> None:
        self.job, self.state, self.jobs, self.number = job, training.start(job), dict[Penalty, Job](), 0

    def step(self, data: Batch, penalty: Penalty) -> float:
        """One update; J before it."""
        self.number += 1
        if penalty not in self.jobs:
            self.jobs[penalty] = replace(self.job, penalty=penalty)
        return float(training.step(self.jobs[penalty], self.state, data))

    def reached(self) -> tuple[Parameters, Parameters]:
        """Parameters and buffers, copied."""
        return _copied(self.state.parameters), _copied(self.state.buffers)

    @staticmethod
    def output(network: Network, parameters: Parameters, buffers: Parameters, x: Array) -> Array:
        """What the network gives out for x (features, m) as after training: (outputs, m)."""
        return fitting.predict(network, parameters, buffers, x)


class Torch:
    """The same in PyTorch."""

    def __init__(self, job: Job) -> None:
        self.trainee, self.number = Trainee(job), 0

    def step(self, data: Batch, penalty: Penalty) -> float:
        self.trainee.penalty, self.number = penalties.twin(penalty), self.number + 1
        return float(self.trainee.step(self.number - 1, *self.trainee.load(data)))

    def reached(self) -> tuple[Parameters, Parameters]:
        held, arrays = self.trainee, conventions.parameters
        return _copied(arrays(held.state, held.job.parameters)), _copied(arrays(held.buffers, held.started))

    @staticmethod
    def output(network: Network, parameters: Parameters, buffers: Parameters, x: Array) -> Array:
        settled, data = network.inference.layers, Batch(x, np.zeros((network.widths[-1], x.shape[1]), x.dtype))
        return Trainee(Job(settled, SquaredError(), parameters, data, buffers=buffers)).score(data)


BACKENDS: dict[str, type[Scratch] | type[Torch]] = {"scratch": Scratch, "torch": Torch}


def _copied(arrays: Parameters) -> Parameters:
    return tuple({name: np.array(array) for name, array in named.items()} for named in arrays)
