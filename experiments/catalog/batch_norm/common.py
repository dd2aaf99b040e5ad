"""What several kinds of cells share: S networks, o units, n inputs, m examples."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from experiments import agreement, data, randomness
from experiments.experiment import backends
from experiments.randomness import generator
from scratch import initializers
from scratch.activations import Tanh
from scratch.contract import Batch, Job, Snapshot
from scratch.layers import Array, Dense, Layer, Shape
from scratch.network import Network, Parameters

BATCH = 60  # Ioffe & Szegedy's
UNITS = 20  # in the layer whose moments and gradients are looked at
TINY = 1e-30  # an ε that is nothing beside any variance here
POPULATION = (3.0, 4.0)  # mean and variance of the numbers that running statistics are fed


def single(network: Network, scheme: initializers.Scheme, seeds: int) -> Parameters:
    """A stack over seeds alone."""
    held = randomness.stack(network, [scheme], seeds, "float64")
    return tuple({name: array[0] for name, array in named.items()} for named in held)


def spread(parameters: Parameters, leading: Shape) -> Parameters:
    """The same stack of networks under more leading axes, each with memory of its own."""
    return tuple({k: np.broadcast_to(a, (*leading, *a.shape)).copy() for k, a in p.items()} for p in parameters)


def closeness(job: Job, part: str, condition: str, device: str) -> pd.DataFrame:
    """Both implementations on the job, held against each other number by number."""
    ours, theirs = (backend.snapshot(job) for backend in backends(device).values())
    return agreement.table(agreement.pointwise(job, ours, theirs, generator(0, "shadows")), part, condition)


def members(job: Job, chosen: slice) -> Job:
    """Some networks of a stack with one axis."""
    return replace(job, parameters=tuple({name: a[chosen] for name, a in p.items()} for p in job.parameters))


def digits(examples: int) -> Batch:
    return data.load("digits").train.columns(np.arange(examples))


def layered(norm: Layer | None, bias: bool = False) -> tuple[Layer, ...]:
    between = () if norm is None else (norm,)
    return Dense(UNITS, bias), *between, Tanh(), Dense(10)


def lively(parameters: Parameters) -> Parameters:
    """γ and β drawn instead of 1 and 0, whatever the seed: an identity is to hold for any."""
    random = generator(0, "affine")
    drawn = {"gamma": random.normal(1, 0.5, (UNITS, 1)), "beta": random.normal(0, 1, (UNITS, 1))}
    return tuple({k: a * 0 + drawn[k] if k in drawn else a for k, a in p.items()} for p in parameters)


def norms(x: Array, shot: Snapshot) -> dict[str, Array]:
    """What the identities speak of, unit by unit (S, o): z before batch norm, g the gradient after it, times γ.

    ``size`` and ``tension`` are what rounding is in proportion to: of w·∂L/∂w, and of z's own error against its deviation.
    """
    z, dz, w, dw = shot.outputs[0], shot.output_gradients[0], shot.parameters[0]["W"], shot.gradients[0]["W"]
    normed = "gamma" in shot.parameters[1]
    deviation = z.std(-1) if normed else np.ones(z.shape[:-1])
    g = shot.output_gradients[1] * shot.parameters[1]["gamma"] if normed else dz
    length = partial(np.linalg.norm, axis=-1)
    tension = 1 + length(z) / (np.sqrt(z.shape[-1]) * deviation)
    inside = length(g) / deviation * tension
    return {
        "z": (z - z.mean(-1, keepdims=True)) / deviation[..., None],
        "g": g,
        "slope": length(g) / deviation,
        "gradient": length(dz),
        "product": (w * dw).sum(-1),
        "cosine": (w * dw).sum(-1) / np.maximum(length(w) * length(dw), TINY),
        "size": length(z) * inside + length(w) * length(dw),
        "tension": tension,
        "reach": np.linalg.norm(x) * inside,
        "w": length(w),
        "dw": length(dw),
    }
