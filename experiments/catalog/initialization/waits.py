"""How long does a network wait that begins with small weights?

Its gradient is of order s^(D−1): until the outputs grow, nothing seems to happen, the longer the deeper the network is.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from experiments.lab import Array, Claim, Claims, Cost, Frame, Lab, cells, claims, compare, over_seeds, table
from scratch import SGD, CrossEntropy, Job, Network, Snapshot
from .shared import STUDENT, first_digits, he_times, measured, passing, relu_layers

WAIT = 4  # about what steps × s^(D−2) a network of D layers at scale s waits for: the smallest scale must fit in
GROWTH = 4.0  # a network has waited until its outputs are so many times what they were
WIDTH, RATE, EVERY = 24, 0.4, 10


def small_scales(options: Any) -> list[Mapping[str, Any]]:
    """For each depth, three scales whose wait ends within the steps."""
    return [
        {"depth": depth, "scales": [(WAIT * k / options.wait_steps) ** (1 / (depth - 2)) for k in (1, 2**0.5, 2)]}
        for depth in sorted(options.wait_depths)
    ]


@cells(small_scales, cost=Cost(3.1, 400))
def waits(lab: Lab, depth: int, scales: Sequence[float], seeds: int, wait_steps: int, data: str) -> Frame:
    """The steps until the outputs are four times as large, and how large they are then."""
    batch, classes = first_digits(data, 60)
    layers = relu_layers(WIDTH, depth, classes)
    parameters = he_times(scales, Network(layers, len(batch.x)), seeds)
    order, looks = np.tile(np.arange(batch.x.shape[1]), (wait_steps + 1, 1)), tuple(range(0, wait_steps + 1, EVERY))
    job = Job(layers, CrossEntropy(), parameters, batch, order, SGD(RATE), looks)
    lab.look(job, f"{depth} layers")

    def seen(shots: Iterable[Snapshot]) -> dict[str, Array]:
        sizes = np.array([np.abs(shot.outputs[-1]).max((-2, -1)) for shot in shots])
        steps = np.apply_along_axis(lambda run: passing(looks, run, GROWTH * run[0]), 0, sizes)
        return {"largest": GROWTH * sizes[0], "steps": steps}

    return measured(lab, lab.train(job), seen, {"scale": scales, "seed": range(seeds)})


@table
def delays(waits: Frame) -> Frame:
    """ln of the steps, mean over seeds."""
    found = over_seeds(waits.assign(value=np.log(waits.steps)), ["depth", "scale", "backend"])
    return found.drop(columns=["seeds", "dof"])


@table
def slopes(waits: Frame) -> Frame:
    """d ln T/d ln s from one scale to the next, paired by seed, and what is open: outputs that are not small, steps, looks.

    Outputs of size z change the gradient's size by about z; a step more or less is 1/T; log-linear interpolation over h
    steps is off by about (h/T)²/8.
    """
    rows = []
    for (depth, backend), group in waits.groupby(["depth", "backend"], sort=False):
        steps = group.pivot(index="seed", columns="scale", values="steps")
        largest = group.groupby("scale").largest.max()
        for low, high in pairwise(steps):
            apart, least = np.log(high / low), steps[high].min()
            values = (np.log(steps[high]) - np.log(steps[low])) / apart
            mean, error = values.mean(skipna=False), values.sem()
            left = largest[high] + 1 / least + (EVERY / least) ** 2 / 8
            rows.append((depth, backend, low, high, mean, error, len(values) - 1, 2.0 - depth, left / apart))
    columns = ["depth", "backend", "low", "high", "measured", "standard_error", "dof", "predicted", "tolerance"]
    return Frame(rows, columns=columns)


@claims
def of_waits(slopes: Frame) -> Claims:
    said = "{depth} layers, s = {low:.3g} and {high:.3g}"
    yield Claim(
        "the wait of small weights",
        "From small weights of scale s a ReLU network of D layers waits for a time that grows as s^−(D−2) before its outputs grow.",
        "derived: the gradient flow of a function homogeneous of degree D; compare deep_linear's plateaus",
        f"d ln T/d ln s, paired by seed, {STUDENT} Tolerance: outputs that are not small, whole steps, looks.",
        "one layer more",
        compare(slopes, said, control_predicted=slopes.predicted - 1),
    )
