"""What several pages share: S networks, o units, n inputs, m examples; units held against their controls; and how they are drawn."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from experiments import data
from experiments.compare.backends import backends
from experiments.lab import COLOURS, MARKERS, RING, Array, Axes, Figure, Frame, Lab, Shots, key
from scratch import Batch, BatchNorm, Dense, Job, Layer, Network, Snapshot, Tanh, initializers, randomness
from scratch.layers import Shape
from scratch.network import Parameters
from scratch.randomness import generator
from . import BATCH

INPUTS, UNITS = 64, 20  # pixels of a digit; units in the layer whose moments and gradients are looked at
TINY = 1e-30  # an ε that is nothing beside any variance here
POPULATION = (3.0, 4.0)  # mean and variance of the numbers that running statistics are fed
ROUNDING = 2.0**-53


def single(network: Network, scheme: initializers.Scheme, seeds: int) -> Parameters:
    """A stack over seeds alone."""
    held = randomness.stack(network, [scheme], seeds, "float64")
    return tuple({name: array[0] for name, array in named.items()} for named in held)


def spread(parameters: Parameters, leading: Shape) -> Parameters:
    """The same stack of networks under more leading axes, each with memory of its own."""
    return tuple({k: np.broadcast_to(a, (*leading, *a.shape)).copy() for k, a in p.items()} for p in parameters)


def digits(examples: int) -> Batch:
    return data.load("digits").train.columns(np.arange(examples))


def order(examples: int, steps: int, seeds: int) -> Array:
    """The examples of each step's batch, for every seed its own: (steps + 1, S, m)."""
    return np.stack([randomness.batches(seed, examples, BATCH, steps + 1) for seed in range(seeds)], axis=1)


def layered(norm: Layer | None, bias: bool = False) -> tuple[Layer, ...]:
    between = () if norm is None else (norm,)
    return Dense(UNITS, bias), *between, Tanh(), Dense(10)


def normed(norm: str) -> tuple[Layer, ...]:
    """The same with batch norm of no ε, or without."""
    return layered(BatchNorm(TINY) if norm == "batch" else None)


def fixed(norm: str) -> tuple[Layer, ...]:
    """Batch norm without γ and β, which are not free of scale; or nothing."""
    return (BatchNorm(TINY, affine=False),) if norm == "batch" else ()


def lively(layers: tuple[Layer, ...], seeds: int) -> Parameters:
    """A stack over seeds with γ and β drawn instead of 1 and 0, whatever the seed: an identity is to hold for any."""
    random = generator(0, "affine")
    drawn = {"gamma": random.normal(1, 0.5, (UNITS, 1)), "beta": random.normal(0, 1, (UNITS, 1))}
    parameters = single(Network(layers, INPUTS), initializers.lecun, seeds)
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
        "cosine": (w * dw).sum(-1) / np.maximum(length(w) * length(dw), TINY),
        "size": length(z) * inside + length(w) * length(dw),
        "tension": tension,
        "reach": np.linalg.norm(x) * inside,
        "w": length(w),
        "dw": length(dw),
        "weight gradient": dw,
    }


def glance(lab: Lab, job: Job) -> Shots:
    """Both implementations' look at a job whose agreement is not to be entered."""
    return {name: backend.snapshot(job) for name, backend in backends(lab.device).items()}


def by_unit(found: Mapping[str, Array], name: str, values: Sequence[float], seeds: int, **columns: Any) -> Frame:
    """A row for every unit of a stack (values of ``name``, seeds), with a column for each array (…, o)."""
    axes = {name: values, "seed": range(seeds), "unit": range(UNITS)}
    flat = {k: np.broadcast_to(a, (len(values), seeds, UNITS)).reshape(-1) for k, a in found.items()}
    return Frame(flat, pd.MultiIndex.from_product(axes.values(), names=axes)).reset_index().assign(**columns)


def beside(table: Frame, column: str, own: Any, other: Any, key: Sequence[str]) -> tuple[Frame, Frame]:
    """The rows with one value in the column, and those with the other for the same key: their controls."""
    ours, theirs = (table[table[column] == value].set_index(list(key), drop=False) for value in (own, other))
    return ours, theirs.reindex(ours.index)


def farthest(frame: Frame, condition: str) -> Frame:
    """For each condition the unit of all networks that lies farthest off for its error, in either implementation: two rows."""
    frame, unit = frame.reset_index(drop=True), [condition, "seed", "unit"]
    z = abs(frame.measured - frame.predicted) / frame.standard_error
    worst = z.groupby([frame[name] for name in unit]).max().groupby(level=condition, sort=False).idxmax()
    return frame.set_index(unit).loc[list(worst)].reset_index()


def over_pairs(gain: pd.Series, control: pd.Series) -> Frame:
    """Means over networks that are paired by seed, and their control's; one without a number leaves no number."""
    ours, other = (series.groupby("backend", sort=False) for series in (gain, control))
    count = ours.size()
    columns = {
        "measured": ours.agg(lambda each: each.mean(skipna=False)),
        "standard_error": ours.agg(lambda each: each.sem()),
        "networks": count,
        "dof": count - 1,
        "control_measured": other.agg(lambda each: each.mean()),
        "control_error": other.agg(lambda each: each.sem()),
    }
    return Frame(columns).reset_index()


def scattered(ax: Axes, table: Frame, label: str, index: int, *, x: str, y: str) -> None:
    """Single points: one unit each, without an error."""
    for backend in ("scratch", "torchref"):
        one = table[table.backend == backend].sort_values(x)
        look = RING if backend == "torchref" else {"marker": MARKERS[index], "linestyle": "none", "markersize": 4}
        ax.plot(one[x], one[y], color=COLOURS[index], label=label if backend == "scratch" else None, zorder=3, **look)


def finished(figure: Figure, axes: Sequence[Axes], **said: Any) -> Figure:
    """With its legend, and without the small ticks of logarithmic axes, which say little and take a quarter of the time."""
    key(figure, axes, **said)
    for ax in figure.axes:
        ax.minorticks_off()
    return figure
