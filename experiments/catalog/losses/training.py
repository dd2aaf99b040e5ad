"""Do real networks learn sooner by cross-entropy?

From starts whose output weights are large, yes: they begin surely wrong. And what if the minus of the notes' formula stands before
its first term alone?
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

import scratch as s
from experiments.data import load
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, figure, looks, over_seeds, table
from experiments.lab.figures import joined, key, panels
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Batch, Job, Layer, Network, Snapshot, metrics
from scratch.categorical import indicator
from scratch.initializers import lecun
from scratch.losses import Loss
from scratch.network import Parameters
from scratch.randomness import batches, stack
from .shared import BINARY, NOTES, Literal

BATCH, HIDDEN = 60, 16
RATE = 0.1
FEWER = {"breast_cancer": 1, "digits": 2}  # two classes and ten; how many times fewer seeds: the effect is large
# the loss, what stands before it, and its rate in units of RATE: squared error begins as fast where no class is preferred, for its
# gradient at z is 2(a−y)a(1−a) = (a−y)/2 there, and 2(p−y)/K² with softmax over K classes
LOSSES: dict[str, dict[str, tuple[Loss, tuple[Layer, ...], float]]] = {
    "breast_cancer": {
        "cross-entropy": (*BINARY["cross-entropy"], 1.0),
        "squared error": (*BINARY["squared error"], 2.0),
        "read literally": (Literal(), (), 5.0),
    },
    "digits": {
        "cross-entropy": (s.CrossEntropy(), (), 1.0),
        "squared error": (s.SquaredError(), (s.Softmax(),), 10**2 / 2),
    },
}


def networks(options: Any) -> list[dict[str, Any]]:
    seeds = {on: max(2, options.seeds // times) for on, times in FEWER.items()}
    return [{"on": on, "loss": loss, "seeds": seeds[on]} for on in FEWER for loss in LOSSES[on]]


@cells(networks, cost=Cost(1.8, 90))
def training(lab: Lab, on: str, loss: str, seeds: int, steps: int, saturation: float) -> Frame:
    """Accuracy on the training and the test set along the way; loss functions have the same starts and the same batches.

    The stack is (seed, start), so the first two networks, which are followed, are the first seed's two starts.
    """
    job = to_train(on, loss, seeds, steps, saturation)
    lab.look(replace(job, batches=None, snapshots=(0,)), f"{on}, {loss}", members=2)
    trained = lab.train(job, f"{on}, {loss}", steps=10)

    def shares(shots: Iterable[Snapshot]) -> Array:
        looks = [[right(loss, shot.scores[part], batch.y) for part, batch in job.evaluate.items()] for shot in shots]
        return np.swapaxes(np.swapaxes(looks, 0, 1), -1, -2)

    axes = {"part": list(job.evaluate), "step": job.snapshots, "start": ["plain", "saturated"], "seed": range(seeds)}
    return lab.rows(trained, shares, axes)


def to_train(on: str, name: str, seeds: int, steps: int, saturation: float) -> Job:
    """LeCun's weights for every seed, and the same with larger output weights."""
    held, (loss, last, faster) = load(on), LOSSES[on][name]
    x, labels = held.train.x, held.train.y
    y = (labels[None] if held.classes == 2 else indicator(labels, held.classes)).astype(float)
    body = (s.Dense(HIDDEN), s.Tanh(), s.Dense(len(y)))
    plain = stack(Network(body, held.features), [lecun], seeds, "float64")
    start: Parameters = tuple({k: np.repeat(a[0][:, None], 2, axis=1) for k, a in named.items()} for named in plain)
    start[-1]["W"][:, 1] *= saturation
    whole = (*start, *({} for _ in last))
    size = min(BATCH, len(labels))
    order = np.stack([[batches(seed, len(labels), size, steps + 1)] * 2 for seed in range(seeds)])
    by_step = np.moveaxis(order, 2, 0)
    when = looks(steps, max(1, min(15, steps // 4)))
    scored = {"training": held.train, "test": held.test}
    return Job((*body, *last), loss, whole, Batch(x, y), by_step, s.SGD(RATE * faster), when, scored)


def right(loss: str, output: Array, labels: Array) -> Array:
    """Share of examples answered rightly, (…,): a logit is held against 0, a probability against ½."""
    if output.shape[-2] > 1:
        return metrics.accuracy(output, labels)
    return ((output[..., 0, :] > (0.5 if loss == "squared error" else 0)) == labels).mean(-1)


@table
def curves(training: Frame) -> Frame:
    by = ["on", "part", "loss", "start", "backend", "step"]
    return over_seeds(training, by).drop(columns=["seeds", "dof"])


@claims
def of_speed(training: Frame) -> Claims:
    """Accuracy on the training set, averaged over all looks at a run: pairs of the same start and the same batches."""
    own = training[training.part == "training"]
    area = own.groupby(["on", "backend", "start", "seed", "loss"]).value.mean().unstack("loss")
    area = area.reindex(columns=["cross-entropy", "squared error"])  # one may have failed
    gap = (area["cross-entropy"] - area["squared error"]).unstack("start").dropna()
    basis = "Accuracy on the training set, averaged over the run; differences of pairs, Student's t over seeds."
    yield Claim(
        name="slow start",
        statement="From saturated starts networks learn sooner by cross-entropy than by squared error, at rates that are equally fast "
        "at z = 0.",
        source="time to unlearn",
        basis=basis,
        control="the losses exchanged",
        comparisons=paired(gap["saturated"]),
        test="at least",
    )
    yield Claim(
        name="it is the saturation",
        statement="From plain starts of the same seeds the advantage is smaller.",
        source="time to unlearn",
        basis=basis,
        control="the starts exchanged",
        comparisons=paired(gap["saturated"] - gap["plain"]),
        test="at least",
    )


def paired(values: pd.Series) -> Frame:
    """Mean and standard error over seeds, against 0; the control is the opposite difference."""
    means = over_seeds(values.rename("value").reset_index(), ["on", "backend"])
    return compare(means, "{on}", predicted=0.0, control_measured=-means.measured)


def share_of_yes() -> float:
    """What is right about always answering yes, on the training part of breast_cancer."""
    return float(load("breast_cancer").train.y.mean())


@claims
def literally(training: Frame) -> Claims:
    """Accuracy after the last step, against the share of yes, which whoever always says yes gets right."""
    own = training[(training.part == "training") & (training.on == "breast_cancer") & (training.start == "plain")]
    means = over_seeds(own[own.step == own.step.max()], ["backend", "loss"])
    means = means[["backend", "loss", "measured", "standard_error"]]
    beside = {"measured": "control_measured", "standard_error": "control_error"}
    control = means[means.loss == "cross-entropy"].rename(columns=beside).drop(columns="loss")
    rows = means[means.loss == "read literally"].merge(control, on="backend")
    yield Claim(
        name="read literally, it teaches to say yes",
        statement="Where the minus stands before the first term alone, every example pushes towards 1, without end: networks become no "
        "better than one that always says yes.",
        source=NOTES,
        basis="∂J/∂z is a − 1 for yes and −a for no, both negative; the share of yes in the data, standard error over seeds.",
        control="cross-entropy with the brackets",
        comparisons=compare(rows, "breast_cancer", predicted=share_of_yes()),
        test="at most",
    )


@figure("Real networks")
def real_networks(curves: Frame) -> Figure:
    """Accuracy on the training set of networks with one hidden layer of tanh units, mean over seeds ± one standard error; the rates
    are such that both losses begin equally fast where no class is preferred. Saturated: the same starts with larger output
    weights. From plain starts squared error is no slower at these rates, on digits even faster. "Read literally" is the notes'
    formula with the minus before its first term alone. Where points and rings part (squared error, saturated digits, large
    rates), training magnifies rounding.
    """
    own = curves[curves.part == "training"]
    cases = [(data, start) for data in own.on.unique() for start in ("plain", "saturated")]
    names = list(dict.fromkeys(own.loss))
    figure, axes = panels([f"{data.replace('_', ' ')}, {start}" for data, start in cases], width=2.7)
    for ax, (data, start) in zip(axes, cases, strict=True):
        for index, loss in enumerate(names):
            one = own[(own.on == data) & (own.start == start) & (own.loss == loss)]
            if len(one):
                joined(ax, one, loss, index, x="step")
    return key(figure, axes, predicted=False, xlabel="step", ylim=(0, 1.02), ylabel="accuracy, training set")
