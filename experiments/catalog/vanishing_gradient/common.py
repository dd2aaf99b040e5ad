"""What the parts of this experiment share: networks, jobs, and how a stack of networks becomes rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from experiments import agreement, probes
from experiments.data import load
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch.contract import Batch, Job, Snapshot
from scratch.initializers import Scheme
from scratch.layers import Array, Dense, Layer
from scratch.losses import InnerProduct
from scratch.network import Network, Parameters

EXAMPLES = 16  # of the training set, on which the networks of the depth study are looked at
COMPARED = 600_000  # parameters, and 500 networks: the part of a large stack that is compared number by number


def hidden(activation: Layer, width: int, depth: int) -> tuple[Layer, ...]:
    """``depth`` hidden layers: Dense and activation in turn."""
    return (Dense(width), activation) * depth


def classifier(activation: Layer, width: int, depth: int, batch: Batch, data: str, dtype: str) -> Network:
    """``depth`` hidden layers and a softmax layer over the classes of the data."""
    return Network((*hidden(activation, width, depth), Dense(load(data, dtype).classes)), len(batch.x))


def first_examples(data: str, dtype: str) -> Batch:
    """The first examples of the training set, all of them at most."""
    whole = load(data, dtype).train
    return whole.columns(np.arange(min(EXAMPLES, whole.x.shape[1])))


def looks(steps: int, count: int) -> tuple[int, ...]:
    """The steps at which training is looked at: evenly spread, the first and the last among them."""
    return tuple(sorted({round(steps * k / count) for k in range(count + 1)}))


def exact_job(network: Network, draws: int, dtype: str, scheme: Scheme) -> Job:
    """A stack of ``draws`` networks without biases' influence, one input column and a fixed gradient at the output."""
    parameters = network.initialize(scheme, lambda k: generator(0, "draws", k), leading=(draws,))
    typed = tuple({name: array.astype(dtype) for name, array in named.items()} for named in parameters)
    column = np.linspace(0.5, 1.5, network.inputs).reshape(-1, 1).astype(dtype)
    upstream = np.linspace(1.2, -0.7, network.widths[-1]).reshape(-1, 1).astype(dtype)
    return Job(network.layers, InnerProduct(), typed, Batch(column, upstream))


def gaussian(sigma_w2: float) -> Scheme:
    return lambda g, shape: g.standard_normal(shape) * np.sqrt(sigma_w2 / shape[-1])


def growth(arrays: Sequence[Array], start: Array, factor: float = 1.0) -> list[Array]:
    """factor · log(‖array‖²/‖start‖²) of each, (…,); −∞ where nothing is left."""
    with np.errstate(divide="ignore"):
        return [factor * 2 * np.log(probes.rms(a) / probes.rms(start)) for a in arrays]


def laws(
    part: str,
    condition: str,
    job: Job,
    device: str,
    observe: Callable[[Snapshot], dict[str, list[Array]]],
    depths: Sequence[int] | None = None,
) -> Tables:
    """Mean and variance over the stack of what ``observe`` sees at each depth, with standard errors; and the agreement."""
    shots = {name: backend.snapshot(job) for name, backend in backends(device).items()}
    rows: list[dict[str, Any]] = []
    for name, shot in shots.items():
        for signal, observed in observe(shot).items():
            places = range(1, len(observed) + 1) if depths is None else depths
            for depth, values in zip(places, observed, strict=True):
                named = {"part": part, "condition": condition, "backend": name, "signal": signal, "depth": depth}
                rows += [named | statistic for statistic in statistics(values[np.isfinite(values)])]
    return {"laws": pd.DataFrame(rows)} | compared(
        job, shots, part, condition + ("" if depths is None else f", depth {depths[0]}")
    )


def statistics(values: Array) -> list[dict[str, Any]]:
    """Mean and variance (N − 1) with their standard errors, and the value farthest from the mean; of no values nothing."""
    if not len(values):
        return []  # every network is dead here
    centre, count = values - values.mean(), len(values)
    square = (centre**2).mean()
    error = np.sqrt(max((centre**4).mean() - square**2, 0) / count)
    found = {
        "mean": (values.mean(), np.sqrt(square / max(count - 1, 1))),
        "variance": (square * count / max(count - 1, 1), error),
        "farthest": (values[np.abs(centre).argmax()], 0.0),
    }
    return [
        {"count": count, "statistic": name, "measured": value, "standard_error": error}
        for name, (value, error) in found.items()
    ]


def compared(job: Job, shots: dict[str, Snapshot], part: str, condition: str) -> Tables:
    """The two implementations held against each other on the first networks of the job's stack."""
    members = min(500, max(1, COMPARED // job.network.size))

    def first(array: Array) -> Array:
        return array.reshape(-1, *array.shape[len(job.leading) :])[:members]

    def few(parameters: Parameters) -> Parameters:
        return tuple({name: first(array) for name, array in named.items()} for named in parameters)

    def part_of(shot: Snapshot) -> Snapshot:
        return replace(
            shot,
            loss=first(shot.loss),
            outputs=tuple(map(first, shot.outputs)),
            output_gradients=tuple(map(first, shot.output_gradients)),
            parameters=few(shot.parameters),
            gradients=few(shot.gradients),
            buffers=few(shot.buffers),
            scores={},
        )

    ours, theirs = map(part_of, shots.values())
    found = agreement.pointwise(replace(job, parameters=few(job.parameters)), ours, theirs, generator(0, "shadows"))
    return {"agreement": agreement.table(found, part, condition)}


def joined(tables: Sequence[Tables]) -> Tables:
    """Tables of the same name, one under the other."""
    names = dict.fromkeys(name for held in tables for name in held)
    return {name: pd.concat([held[name] for held in tables if name in held], ignore_index=True) for name in names}
