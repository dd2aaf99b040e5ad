"""How much sooner does a network learn?

Ioffe & Szegedy's first figure, on digits: the same weights and batches with batch norm and without.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from experiments import data
from experiments.compare import probes
from experiments.compare.backends import backends
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, figure, joined, over_seeds, panels, table
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import SGD, BatchNorm, CrossEntropy, Dense, Job, Layer, Network, Sigmoid, Snapshot, initializers
from . import GOAL, NORMS
from .shared import beside, finished, order, over_pairs, single

WEIGHT, LAYERS = 0.1, 3  # the standard deviation of the first weights, and the hidden layers
PERCENTILES = (15, 50, 85)
TIMES = 5  # how many times sooner with batch norm


def classifier(norm: str, width: int) -> tuple[Layer, ...]:
    between = (BatchNorm(),) if norm == "batch" else ()
    return (*(Dense(width), *between, Sigmoid()) * LAYERS, Dense(10))


def racing(norm: str, steps: int, seeds: int, width: int, rate: float) -> Job:
    """Networks that learn the digits: the same weights and batches with batch norm and without."""
    held, layers = data.load("digits"), classifier(norm, width)
    batches = order(held.train.x.shape[1], steps, seeds)
    parameters = single(Network(layers, held.features), partial(initializers.normal, std=WEIGHT), seeds)
    return Job(layers, CrossEntropy(), parameters, held.train, batches, SGD(rate), looks(steps), {"test": held.test})


def looks(steps: int) -> tuple[int, ...]:
    """Every tenth step up to 200, and up to 25 at equal distances."""
    return tuple(sorted({*range(0, min(200, steps) + 1, 10), *evenly(steps)}))


def evenly(steps: int) -> tuple[int, ...]:
    parts = min(25, steps // 10)
    return tuple(steps * k // parts for k in range(parts + 1))


@cells(
    lambda options: [{"norm": norm, "steps": options.train_steps} for norm in NORMS],
    makes=("accuracy", "inputs", "drift"),
    cost=Cost(20, 220, {"train_width": 2}),
)
def racers(lab: Lab, norm: str, steps: int, train_rate: float, train_seeds: int, train_width: int) -> dict[str, Frame]:
    """Test accuracy, and percentiles over the test digits of what goes into each sigmoid of the last hidden layer.

    The drift of a unit: how much the median moves while it trains (standard deviation over equally distant steps) in units of
    the distribution's mean width (85th less 15th percentile). The mean of that over the units is reported, and one unit as a whole.
    """
    job = racing(norm, steps, train_seeds, train_width, train_rate)
    test, seeds, right, spreads = job.evaluate["test"], range(train_seeds), {}, {}
    for name, shots in lab.train(job).items():
        seen, backend = [], backends(lab.device)[name]
        for shot in shots:
            inside = backend.snapshot(settled(job, shot)).outputs[-3]
            seen.append((probes.answered(shot.scores["test"], test.y), np.percentile(inside, PERCENTILES, axis=-1)))
        right[name], spreads[name] = map(np.array, zip(*seen, strict=True))  # (looks, S) and (looks, 3, S, o)
    even = np.isin(job.snapshots, evenly(steps))
    return {
        "accuracy": lab.rows(right, np.asarray, {"step": job.snapshots, "seed": seeds}),
        "inputs": lab.rows(spreads, lambda s: s[..., 0, 0], {"step": job.snapshots, "percentile": PERCENTILES}),
        "drift": lab.rows(spreads, lambda s: drifted(s[even]), {"seed": seeds}),
    }


def settled(job: Job, shot: Snapshot) -> Job:
    """The network as it is used afterwards, on the test digits."""
    return Job(job.network.inference.layers, job.loss, shot.parameters, job.evaluate["test"], buffers=shot.buffers)


def drifted(spreads: Array) -> Array:
    low, median, high = np.stack(list(spreads), axis=1)
    return (median.std(0) / (high - low).mean(0)).mean(-1)


@cells(makes=(), cost=Cost(1.4, 130))
def side_by_side(lab: Lab) -> dict[str, Frame]:
    """Both implementations trained alone, step by step side by side: parameters and running statistics."""
    job = replace(racing("batch", 40, 2, 20, 0.1), snapshots=tuple(range(0, 41, 8)), evaluate={})
    lab.follow(job, "64-20-20-20-10 sigmoid, batch norm")
    return {}


@table
def learning(accuracy: Frame) -> Frame:
    return over_seeds(accuracy, ["backend", "norm", "step"]).drop(columns=["seeds", "dof"])


@table
def times(accuracy: Frame) -> Frame:
    """Between which two looks each network got to 90 %: not yet at ``after``, but at ``by`` (none: not until the last step)."""
    rows, key = [], ["backend", "norm", "seed"]
    for named, run in accuracy.sort_values("step").groupby(key, sort=False):
        there = run[run.value >= GOAL].step
        before = run[run.step < there.min()].step if len(there) else run.step
        found = {"after": before.max() if len(before) else 0, "by": there.min(), "finally": run.value.iloc[-1]}
        rows.append(dict(zip(key, named, strict=True)) | found)
    return Frame(rows).sort_values(key, ignore_index=True).astype({"after": float, "by": float})


@claims
def faster(times: Frame) -> Claims:
    ours, plain = beside(times, "norm", "batch", "none", ["backend", "seed"])
    gain = np.log(plain.after / ours.by)  # the least that it can be
    other = plain.by.fillna(plain.after).groupby("backend", sort=False).transform(lambda each: np.roll(each, 1))
    frame = over_pairs(gain, np.log(np.maximum(plain.after, 1) / other.to_numpy()))
    yield Claim(
        name="far fewer steps",
        statement=f"With batch norm, {GOAL:.0%} of the test digits are right after at most a {TIMES}th of the steps "
        "(logarithm of the ratio).",
        source="Ioffe & Szegedy 2015, Figure 1 (there: MNIST)",
        basis="Seeds paired: same weights and batches. Looks are apart in time, and who is not there by the end is counted as there at the "
        "end: so the ratio is a lower bound. Student's t.",
        control="networks without batch norm against each other",
        comparisons=compare(frame, "{networks} networks", predicted=np.log(TIMES)),
        test="at least",
    )


@claims
def less_drift(drift: Frame) -> Claims:
    ours, plain = beside(drift, "norm", "batch", "none", ["backend", "seed"])
    less = np.log(plain.value) - np.log(ours.value)
    yield Claim(
        name="less drift",
        statement="The inputs of the last hidden layer's sigmoids drift less with batch norm (logarithm of the ratio of drifts).",
        source="Ioffe & Szegedy 2015, Figure 1",
        basis="Drift: how much a unit's median moves in units of its distribution's width, mean over units. Seeds paired, Student's t.",
        control="the two exchanged",
        comparisons=compare(over_pairs(less, -less), "{networks} networks", predicted=0.0),
        test="at least",
    )


@figure("Ioffe & Szegedy's first figure, on digits")
def race(learning: Frame, inputs: Frame) -> Figure:
    """Left: digits of the test set got right while it trains; three hidden layers of sigmoids, weights from N(0, 0.1²), batches of 60.
    The dotted line is 90 %. Middle and right: what goes into one sigmoid of the last hidden layer, 15th, 50th and
    85th percentile over the test digits. With batch norm the distribution is in place after few steps; without, it is a sliver that
    later opens and wanders.
    """
    titles = ["test accuracy", "a sigmoid's input, without", "with batch norm"]
    figure, axes = panels(titles, width=3.1, height=2.9, share_y=False, margins=(0.75, 2.5, 0.6, 0.4))
    for index, (norm, label) in enumerate({"batch": "with batch norm", "none": "without"}.items()):
        joined(axes[0], learning[learning.norm == norm], label, index, x="step")
    axes[0].axhline(GOAL, color="black", linewidth=0.8, linestyle=":")
    axes[0].set(ylabel="share of test digits right", ylim=(0, 1))
    low, high = inputs.value.min() - 0.1, inputs.value.max() + 0.1
    shown = inputs.rename(columns={"value": "measured"}).assign(standard_error=0.0)
    for ax, norm in zip(axes[1:], ("none", "batch"), strict=True):
        for index, percentile in enumerate(sorted(PERCENTILES, reverse=True), 2):
            one = shown[(shown.norm == norm) & (shown.percentile == percentile)]
            joined(ax, one, f"{percentile}th percentile", index, x="step")
        ax.set(ylim=(low, high))
    axes[1].set_ylabel("input to the sigmoid")
    return finished(figure, axes, predicted=False, xlabel="training step", xscale="log")
