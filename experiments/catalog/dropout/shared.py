"""What several pages share: masks, data, and networks that overfit. Shapes: M masks, n features, m examples."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import data
from experiments.lab import Array, Figure, Frame, Lab, Shots, compare, joined, key, panels
from scratch import (
    Adam,
    Batch,
    CrossEntropy,
    Dense,
    Dropout,
    Job,
    Layer,
    Network,
    ReLU,
    initializers,
    randomness,
    training,
)
from scratch.contract import Noise
from scratch.losses import Loss
from scratch.network import Parameters
from scratch.randomness import generator

ROUNDING = 2.0**-53
MASKS = 2**10  # of the ten measurements of a patient
SAMPLE = 16  # masks under which every number of both implementations is compared
BATCH = 50
KEEP = "probability of keeping a unit, p"


def all_masks(features: int) -> Array:
    """Every mask there is, (2ⁿ, n, 1)."""
    return np.array(list(product([False, True], repeat=features)))[..., None]


def chances(masks: Array, keep: float) -> Array:
    """The probability of each mask, (M,)."""
    kept = masks.sum((-2, -1))
    return keep**kept * (1 - keep) ** (masks.shape[-2] - kept)


def handed(layers: tuple[Layer, ...], features: int, masks: Array) -> Noise:
    """The masks (…, n, m) for every dropout layer, at every step."""
    noise = tuple(dict.fromkeys(named, masks) for named in Network(layers, features).noise)
    return lambda step: noise


def under_all(
    lab: Lab, layers: tuple[Layer, ...], loss: Loss, parameters: Parameters, batch: Batch, condition: str | None = None
) -> Shots:
    """Loss (M,) and outputs (M, units, m) of both under every mask: the same parameters under each, all examples alike.

    A sample of the masks, evenly apart, comes first in the stack: that part is compared number by number.
    """
    masks = all_masks(len(batch.x))
    masks = np.concatenate([masks[np.linspace(0, len(masks) - 1, SAMPLE).astype(int)], masks])
    spread = tuple({k: np.broadcast_to(a, (len(masks), *a.shape)).copy() for k, a in p.items()} for p in parameters)
    features, examples = batch.x.shape
    noise = handed(layers, features, np.broadcast_to(masks, (*masks.shape[:-1], examples)))
    shots = lab.look(Job(layers, loss, spread, batch, noise=noise), condition, members=SAMPLE)
    outputs = {name: tuple(a[SAMPLE:] for a in shot.outputs) for name, shot in shots.items()}
    return {name: replace(shot, loss=shot.loss[SAMPLE:], outputs=outputs[name]) for name, shot in shots.items()}


def after_training(layers: tuple[Layer, ...], loss: Loss, parameters: Parameters, batch: Batch) -> Job:
    """The same network as it is used then: without dropout."""
    return Job(Network(layers, len(batch.x)).inference.layers, loss, parameters, batch)


@lru_cache(maxsize=1)
def diabetes() -> tuple[Array, Array]:
    """Ten measurements (10, 442) of diabetes patients and the disease's progress (1, 442), as scikit-learn ships them."""
    found = find_spec("sklearn")
    assert found is not None and found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0], "datasets", "data")
    return np.loadtxt(folder / "diabetes_data_raw.csv.gz").T, np.loadtxt(folder / "diabetes_target.csv.gz")[None]


def standardised(patients: int) -> Batch:
    """The first patients, every row with mean 0 and variance 1: then no bias is needed."""
    x, y = (a[:, :patients] for a in diabetes())
    return Batch(*((a - a.mean(1, keepdims=True)) / a.std(1, keepdims=True) for a in (x, y)))


def linear(keep: float) -> tuple[Layer, ...]:
    return Dropout(1 - keep), Dense(1, bias=False)


def pixels(features: int, images: int, classes: tuple[int, ...] = tuple(range(10))) -> Batch:
    """Digits of these classes by the pixels in which the classes' means differ most; labels count from 0."""
    held = data.load("digits").train
    chosen = np.isin(held.y, classes)
    x, y = held.x[:, chosen], np.searchsorted(classes, held.y[chosen])
    means = np.array([x[:, y == k].mean(1) for k in range(len(classes))])
    best = np.sort(np.argsort(-means.var(0), kind="stable")[:features])
    return Batch(x[best, :images], y[:images])


def learned(layers: tuple[Layer, ...], loss: Loss, batch: Batch) -> Parameters:
    """Parameters after a hundred steps of training with dropout."""
    network, examples = Network(layers, len(batch.x)), batch.x.shape[1]
    columns = np.broadcast_to(np.arange(examples), (101, examples))
    start = network.initialize(initializers.lecun, partial(generator, 0, "weights"))
    noise = randomness.noise(network, 0, columns)
    (trained,) = training.train(Job(layers, loss, start, batch, columns, Adam(0.03), (100,), noise=noise))
    return trained.parameters


def digit_networks(wrong: float, keep: float, examples: int, width: int, steps: int, seeds: int) -> tuple[Job, Batch]:
    """A stack of seeds, each with its own digits, weights and masks, whatever ``keep``; and what each was trained on.

    A share ``wrong`` of the training labels is another digit's. Snapshots at six steps, with the outputs on the digits of
    the training ("train") and on others ("test").
    """
    held, layers = data.load("digits"), (Dense(width), ReLU(), Dropout(1 - keep), Dense(10))
    network, random, labels = Network(layers, held.features), generator(0, "wrong"), held.train.y.copy()
    flipped = random.random(len(labels)) < wrong
    labels[flipped] = (labels[flipped] + random.integers(1, 10, flipped.sum())) % 10
    own = [generator(seed, "digits").permutation(len(labels))[:examples] for seed in range(seeds)]
    order = [own[seed][randomness.batches(seed, examples, BATCH, steps + 1)] for seed in range(seeds)]
    batches = np.stack(order, axis=1)
    stack = randomness.stack(network, [initializers.he], seeds, "float64")
    seen = Batch(np.stack([held.train.x[:, one] for one in own]), np.stack([labels[one] for one in own]))
    job = Job(
        layers,
        CrossEntropy(),
        tuple({name: a[0] for name, a in p.items()} for p in stack),
        Batch(held.train.x, labels),
        batches,
        Adam(3e-3),
        tuple(sorted({steps * k // 6 for k in range(1, 7)})),
        {"train": seen, "test": held.test},
        noise=randomness.noise(network, 0, batches, (seeds,)),
    )
    return job, seen


def final(measurements: Frame) -> Frame:
    """The last step, one column for each quantity; "gap" is test loss less training loss."""
    ended = measurements[measurements.step == measurements.step.max()]
    wide = ended.pivot(index=["backend", "wrong", "keep", "seed"], columns="quantity", values="value")
    wide.columns.name = None
    return wide.assign(gap=wide["test loss"] - wide["train loss"]).reset_index()


def most_wrong(measurements: Frame, wrong: tuple[float, ...]) -> Frame:
    """The end of the networks whose labels are wrong most often: a row for each backend and seed, columns: quantity, keep."""
    finals = final(measurements)
    return finals[finals.wrong == max(wrong)].pivot(index=["backend", "seed"], columns="keep")


def basis(wrong: tuple[float, ...]) -> str:
    return (
        f"{max(wrong):.0%} of the labels wrong. Seeds paired: the same digits, weights, batches. Mean difference over seeds, "
        "Student's t, must not lie below 0."
    )


def rising(values: Frame) -> Frame:
    """The comparisons of each keep with the next, whose values are to be at least as large."""
    steps = {(low, high): values[high] - values[low] for low, high in pairwise(values)}
    return paired(steps, "keep {keep[0]:g} and {keep[1]:g}")


def paired(differences: Mapping[Any, pd.Series], condition: str) -> Frame:
    """Mean differences over seeds against 0; the control has the opposite sign: it fails where 0 lies far off."""
    rows = []
    for keep, difference in differences.items():
        for backend, one in difference.groupby(level="backend"):
            told = {"keep": keep, "backend": backend, "measured": one.mean(), "standard_error": one.sem()}
            rows.append(told | {"predicted": 0.0, "dof": len(one) - 1, "control_measured": -one.mean()})
    return compare(Frame(rows), condition)


def titles(table: Frame) -> dict[Any, str]:
    """The shares of wrong labels, in words."""
    return {share: f"{share:.0%} of labels wrong" for share in sorted(table.wrong.unique())}


def beside_each_other(
    table: Frame,
    panel: tuple[str, Mapping[Any, str]],
    colour: tuple[str, Mapping[Any, str]],
    *,
    x: str = "keep",
    xlabel: str = KEEP,
    ylabel: str = "{}",
    from_zero: bool = True,
) -> Figure:
    """Points, rings, and thin lines from point to point, as there is no prediction; panels and colours: column, values in words."""
    figure, axes = panels(list(panel[1].values()), share_y=False)
    for ax, value in zip(axes, panel[1], strict=True):
        for index, (shade, label) in enumerate(colour[1].items()):
            one = table[(table[panel[0]] == value) & (table[colour[0]] == shade)]
            joined(ax, one, label, index, x=x)
        ax.set(xlabel=xlabel, ylabel=ylabel.format(value))
        if from_zero:
            ax.set_ylim(0, 1.08 * max(float(np.max(np.asarray(line.get_ydata()))) for line in ax.lines))
    return key(figure, axes, predicted=False)
