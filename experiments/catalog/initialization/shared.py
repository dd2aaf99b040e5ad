"""What the cells of this experiment share: stacks of random networks, a few digits, the agreement of the two implementations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from experiments import agreement
from experiments.data import load
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch.contract import Batch, Job
from scratch.initializers import Scheme, zeros
from scratch.layers import Array, Dense, Layer
from scratch.losses import InnerProduct
from scratch.network import Network

COMPARED = 200_000  # parameters, and 50 networks: the part of a stack that is compared number by number


def hidden(activation: Layer, widths: Sequence[int], bias: bool = False) -> tuple[Layer, ...]:
    """Dense and activation in turn."""
    return tuple(layer for n in widths for layer in (Dense(n, bias), activation))


def first_digits(data: str, count: int) -> tuple[Batch, int]:
    """The first examples of the training set, all of them at most; and the number of classes."""
    held = load(data)
    return held.train.columns(np.arange(min(count, held.train.x.shape[1]))), held.classes


def drawn(layers: tuple[Layer, ...], data: Batch, scheme: Scheme, draws: int, biases: Scheme = zeros) -> Job:
    """A look at ``draws`` networks; every scheme is handed the same streams."""
    network = Network(layers, data.x.shape[-2])
    parameters = network.initialize(scheme, partial(generator, 0, "draws"), biases, leading=(draws,))
    return Job(layers, InnerProduct(), parameters, data)


def moments(values: Array) -> dict[str, float]:
    """Mean of a sample, its standard error, its size."""
    count, center = len(values), values - values.mean()
    variance = (center**2).sum() / (count - 1)
    return {"measured": values.mean(), "standard_error": np.sqrt(variance / count), "count": count}


def agreed(part: str, condition: str, job: Job, device: str) -> Tables:
    """The two implementations held against each other on the first networks of the job's stack, as they start."""
    members = min(50, max(1, COMPARED // max(1, job.network.size)))

    def first(array: Array) -> Array:
        return array.reshape(-1, *array.shape[-2:])[:members]

    few = tuple({name: first(array) for name, array in named.items()} for named in job.parameters)
    look = replace(job, parameters=few, batches=None, snapshots=(), evaluate={})
    ours, theirs = (backend.snapshot(look) for backend in backends(device).values())
    found = agreement.pointwise(look, ours, theirs, generator(0, "shadows"))
    return {"agreement": agreement.table(found, part, condition)}


def joined(tables: Sequence[Tables]) -> Tables:
    """Tables of the same name, one under the other."""
    names = dict.fromkeys(name for held in tables for name in held)
    return {name: pd.concat([held[name] for held in tables if name in held], ignore_index=True) for name in names}
