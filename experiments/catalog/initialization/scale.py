"""How far from He's scale may a start be, and does a deeper network take less of it?

ReLU networks without biases from s times He's weights: the outputs are s^D times as large, and the window of scales closes with depth.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from experiments.compare import probes
from experiments.data import load
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, figure, over_seeds, stacked, table
from experiments.lab.figures import joined, key, panels, series, ticks
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import SGD, CrossEntropy, Job, Network, Snapshot
from . import LEARNED
from .shared import DOTTED, STUDENT, UNIT, batch_order, first_digits, he_times, measured, relu_layers

WIDTH, OPTIMIZER = 32, SGD(0.05, momentum=0.9)


@cells(each(depth="scale_depths"), cost=Cost(6.4, 310))
def scaled(lab: Lab, depth: int, scales: tuple[float, ...], seeds: int, scale_steps: int, data: str) -> Frame:
    """The first loss on the test set beside what homogeneity predicts of He's own outputs; the accuracy after training."""
    held, factors = load(data), sorted(scales)
    layers = relu_layers(WIDTH, depth, held.classes)
    parameters = he_times(factors, Network(layers, held.features), seeds)
    order = batch_order(len(factors), seeds, held.train.x.shape[1], scale_steps)
    looks, shown, labels = (0, scale_steps), {"test": held.test}, held.test.y
    job = Job(layers, CrossEntropy(), parameters, held.train, order, OPTIMIZER, looks, shown)
    lab.look(replace(job, data=first_digits(data, 60)[0], batches=None), f"{depth} layers")
    s, he = np.reshape(factors, (-1, 1, 1, 1)), factors.index(1.0)

    def seen(shots: Iterable[Snapshot]) -> dict[str, Array]:
        first, last = (shot.scores["test"] for shot in shots)
        return {
            "accuracy": probes.answered(last, labels),
            "loss": log_loss(first, labels),
            "predicted": log_loss(s**depth * first[he], labels),
            "unscaled": log_loss(s * first[he], labels),
            "size": np.abs(first).max((-2, -1)),
        }

    return measured(lab, lab.train(job), seen, {"scale": factors, "seed": range(seeds)})


def log_loss(outputs: Array, labels: Array) -> Array:
    """Cross-entropy of outputs (…, classes, m), written out here."""
    z = outputs - outputs.max(-2, keepdims=True)
    return (np.log(np.exp(z).sum(-2)) - z[..., labels, np.arange(len(labels))]).mean(-1)


@table
def accuracies(scaled: Frame) -> Frame:
    """Mean and standard deviation over seeds: how much the draw matters."""
    grouped = scaled.groupby(["depth", "scale", "backend"], sort=False).accuracy
    found = {"measured": grouped.mean(), "standard_error": grouped.std(), "seeds": grouped.count()}
    return Frame(found).reset_index()


@table
def windows(scaled: Frame) -> Frame:
    """How many of the scales each seed learns from; the difference to the next deeper network, paired."""
    learned = scaled.assign(value=(scaled.accuracy >= LEARNED).astype(float))
    counts = learned.groupby(["depth", "backend", "seed"]).value.sum()
    found = [
        over_seeds((counts.loc[shallow] - counts.loc[deep]).reset_index(), ["backend"]).assign(
            shallow=shallow, deep=deep
        )
        for shallow, deep in pairwise(sorted(scaled.depth.unique()))
    ]
    columns = ["backend", "measured", "standard_error", "dof", "shallow", "deep"]
    return stacked(found)[columns] if found else Frame(columns=columns)


@claims
def of_scales(scaled: Frame, windows: Frame) -> Claims:
    rounding = 8 * UNIT * np.sqrt(64.0 * scaled.depth) * (scaled["size"] + 1)
    yield Claim(
        "the first loss",
        "s times He's weights, D layers: outputs are s^D times as large, so the first loss is ln K for small s and grows as s^D.",
        "derived: ReLU networks without biases are homogeneous",
        "An identity: cross-entropy of s^D times He's own outputs. Standard error: 8√(nD) roundings of the largest output.",
        "outputs s times as large",
        compare(
            scaled,
            "{depth} layers, s = {scale:g}, seed {seed}",
            measured=scaled.loss,
            standard_error=rounding,
            control_predicted=scaled.unscaled,
        ),
    )
    said = "{shallow} and {deep} layers"
    yield Claim(
        "the deeper, the more sensitive",
        "The deeper the network, the fewer of the scales it learns from.",
        "notes: sensitive to initialization",
        f"Scales from which half of the test set is got right (one learning rate, 0.05), shallow less deep, paired; {STUDENT}",
        "shallow and deep exchanged",
        compare(windows, said, predicted=0.0, control_measured=-windows.measured),
        "at least",
    )


@figure("The scale of the weights")
def scales(accuracies: Frame, delays: Frame) -> Figure:
    """He's weights times s, ReLU networks. Left: accuracy on the test set after a few steps, mean over seeds; bars are the standard
    deviation from seed to seed. A shallow network learns from almost any scale; the deeper it is, the narrower the window
    around He's. Right: how long small weights wait until the outputs have grown fourfold; the lines have the predicted
    slope −(D−2) and one fitted height each.
    """
    figure, (left, right) = panels(["after training", "before anything happens"], width=3.6, height=3.0, share_y=False)
    for index, depth in enumerate(sorted(accuracies.depth.unique())):
        joined(left, accuracies[accuracies.depth == depth], f"{depth} layers", index, x="scale", **DOTTED)
    for index, depth in enumerate(sorted(delays.depth.unique()), 3):
        one = delays[delays.depth == depth]
        slope = (2 - depth) * np.log(one.scale)
        spread = one.assign(
            measured=np.exp(one.measured),
            standard_error=np.exp(one.measured) * one.standard_error,
            predicted=np.exp(slope + (one.measured - slope).mean()),
        )
        series(right, spread, f"{depth} layers, small weights", index, x="scale")
    xlabel, tried = "s: weights relative to He's", sorted(accuracies.scale.unique())
    left.set(xscale="log", ylim=(0, 1), xlabel=xlabel, ylabel="accuracy on the test set")
    ticks(left.xaxis, tried[::2] if len(tried) > 4 else tried)
    right.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="steps until outputs are fourfold")
    ticks(right.xaxis, [0.01, 0.02, 0.05, 0.1, 0.2])
    ticks(right.yaxis, [20, 30, 50, 70, 100, 150, 200, 300, 500])
    return key(figure, [left, right])
