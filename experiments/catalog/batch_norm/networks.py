"""What is measured of whole networks: exploding gradients at the start, and Ioffe & Szegedy's first figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd

from experiments import agreement, data, probes, randomness
from experiments.catalog.batch_norm.common import BATCH, TINY, closeness, single
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch import initializers
from scratch.activations import ReLU, Sigmoid
from scratch.contract import Batch, Job
from scratch.layers import Array, Dense, Layer
from scratch.losses import CrossEntropy, SquaredError
from scratch.network import Network, Parameters
from scratch.normalization import BatchNorm
from scratch.optimizers import SGD

FAR = 1e3  # targets so far off that the gradient at the output is what they are, drawn independently of the network
ROOM = 2**23  # weights that are in memory at once, as a stack
WEIGHT, LAYERS = 0.1, 3  # of the race: the standard deviation of its first weights, and its hidden layers
PERCENTILES = (15, 50, 85)


# --- many layers, at the start ---------------------------------------------------------------------------------------------


def deep(kind: str, norm: str, width: int, depth: int) -> tuple[Layer, ...]:
    """Depth times: weights, batch norm, ReLU; the last two only where they are asked for."""
    block: list[Layer] = [Dense(width, bias=False)]
    block += [BatchNorm(TINY, affine=False)] * (norm == "batch") + [ReLU()] * (kind == "relu")
    return tuple(block * depth)


def weights(kind: str, width: int, depth: int, seeds: Sequence[int]) -> list[Array]:
    """Layer by layer (S, o, i), the same for all batch sizes, with and without batch norm: without it gradients stay as they are."""
    scheme = initializers.he if kind == "relu" else initializers.lecun
    random = [generator(seed, "weights", kind, width) for seed in seeds]
    return [np.stack([scheme(r, (width, width)) for r in random]) for _ in range(depth)]


def drawn(held: list[Array], kind: str, norm: str, batch: int, seeds: Sequence[int]) -> Job:
    """A stack of networks of these weights at their start, each with inputs and targets of its own."""
    width, left = held[0].shape[-1], iter(held)
    layers = deep(kind, norm, width, len(held))
    parameters: Parameters = tuple({"W": next(left)} if isinstance(layer, Dense) else {} for layer in layers)
    draws = [generator(seed, "examples", batch, width).standard_normal((2, width, batch)) for seed in seeds]
    x, y = np.stack(draws, axis=1)
    return Job(layers, SquaredError(), parameters, Batch(x, FAR * y))


def explosion(*, kind: str, width: int, batches: list[int], depth: int, draws: int, device: str) -> Tables:
    """log ‖∂J/∂h‖² at the end of every layer; between the first and the last but one of them each step is like the next."""
    rows, several = [], max(1, ROOM // (depth * width**2))
    for seeds in [range(s, min(s + several, draws)) for s in range(0, draws, several)]:
        held = weights(kind, width, depth, seeds)  # drawing them takes as long as what follows
        for norm, batch in product(("batch", "none"), batches):
            job = drawn(held, kind, norm, batch, seeds)
            ends = range(len(job.layers) // depth - 1, len(job.layers), len(job.layers) // depth)
            named = {"kind": kind, "norm": norm, "batch": batch, "width": width}
            for name, backend in backends(device).items():
                shot = backend.snapshot(job)
                logs = [2 * np.log(np.linalg.norm(shot.output_gradients[k], axis=(-2, -1))) for k in ends]
                axes: dict[str, Sequence[int]] = {"layer": range(1, depth + 1), "seed": seeds}
                rows.append(probes.rows(np.array(logs), axes, backend=name, **named))
    small = drawn(weights(kind, min(width, 64), depth, [0]), kind, "batch", batches[0], [0])
    agreed = closeness(small, "explosion", f"{kind}, batch norm, {depth} layers", device)
    return {"measurements": pd.concat(rows, ignore_index=True), "agreement": agreed}


# --- Ioffe & Szegedy's first figure ----------------------------------------------------------------------------------------


def classifier(norm: str, width: int) -> tuple[Layer, ...]:
    between = (BatchNorm(),) if norm == "batch" else ()
    return (*(Dense(width), *between, Sigmoid()) * LAYERS, Dense(10))


def racing(norm: str, steps: int, seeds: int, width: int, rate: float) -> Job:
    """Networks that learn the digits: the same weights and batches with batch norm and without."""
    held, layers = data.load("digits"), classifier(norm, width)
    examples = held.train.x.shape[1]
    order = np.stack([randomness.batches(seed, examples, BATCH, steps + 1) for seed in range(seeds)], axis=1)
    scheme = partial(initializers.normal, std=WEIGHT)
    parameters = single(Network(layers, held.features), scheme, seeds)
    return Job(layers, CrossEntropy(), parameters, held.train, order, SGD(rate), looks(steps), {"test": held.test})


def looks(steps: int) -> tuple[int, ...]:
    """Every tenth step up to 200, and up to 25 at equal distances."""
    return tuple(sorted({*range(0, min(200, steps) + 1, 10), *evenly(steps)}))


def evenly(steps: int) -> tuple[int, ...]:
    parts = min(25, steps // 10)
    return tuple(steps * k // parts for k in range(parts + 1))


def race(*, norm: str, backend: str, rate: float, steps: int, seeds: int, width: int, device: str) -> Tables:
    """Test accuracy, and percentiles over the test digits of what goes into each sigmoid of the last hidden layer.

    The drift of a unit: how much the median moves while it trains (standard deviation over equally distant steps) in units of
    the distribution's mean width (85th less 15th percentile). The mean of that over the units is reported, and one unit as a whole.
    """
    job, rows, inputs, seen = racing(norm, steps, seeds, width, rate), [], [], []
    ours, test = backends(device)[backend], job.evaluate["test"]
    named = {"backend": backend, "norm": norm}
    for shot in ours.train(job):
        right = probes.answered(shot.scores["test"], test.y)
        rows.append(probes.rows(right, {"seed": range(seeds)}, step=shot.step, **named))
        settled = Job(job.network.inference.layers, job.loss, shot.parameters, test, buffers=shot.buffers)
        spread = np.percentile(ours.snapshot(settled).outputs[-3], PERCENTILES, axis=-1)  # (3, S, o)
        inputs.append(probes.rows(spread[:, 0, 0], {"percentile": PERCENTILES}, step=shot.step, **named))
        seen += [spread] * (shot.step in evenly(steps))
    low, median, high = np.stack(seen, axis=1)
    drift = (median.std(0) / (high - low).mean(0)).mean(-1)
    moved = probes.rows(drift, {"seed": range(seeds)}, **named)
    return {
        "accuracy": pd.concat(rows, ignore_index=True),
        "inputs": pd.concat(inputs, ignore_index=True),
        "drift": moved,
    }


def trajectory(*, device: str) -> Tables:
    """Both implementations trained alone, step by step side by side: parameters and running statistics."""
    job = replace(racing("batch", 40, 2, 20, 0.1), snapshots=tuple(range(0, 41, 8)), evaluate={})
    ours, theirs = (list(backend.train(job)) for backend in backends(device).values())
    found = agreement.trajectory(job, ours, theirs, generator(0, "shadows"))
    return {"agreement": agreement.table(found, "trajectory", "64-20-20-20-10 sigmoid, batch norm")}
