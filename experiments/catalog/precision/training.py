"""Do networks learn whose weights are kept in bf16?

Less than others: their spacing is larger than most updates, which are then not felt. A float32 copy of the weights repairs it, and so
does rounding at random.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

import scratch as s
from experiments.compare import probes
from experiments.compare.backends import backends
from experiments.data import load
from experiments.lab import (
    Claim,
    Cost,
    Lab,
    cells,
    claims,
    compare,
    each,
    fan,
    figure,
    looks,
    matched,
    over_seeds,
    stacked,
    table,
)
from experiments.lab.figures import key, panels, series
from experiments.lab.types import Claims, Figure, Frame
from scratch import Batch, Job, Network, Snapshot
from scratch.initializers import lecun
from scratch.network import Parameters
from scratch.randomness import batches, stack
from . import arithmetic, native
from .formats import BF16, FLOAT32, FORMATS, Format, defined, rounded, spacing
from .shared import averages, seen

HIDDEN, BATCH = 32, 60
LOOKS = 8  # how often a training run is looked at, if it is long enough
TRACKED = 10  # steps over which the two implementations are followed
WAYS: dict[str, tuple[Format, str]] = {  # the arithmetic of the passes, and where the weights are kept
    "float32": (FLOAT32, "master"),
    "tf32": (FORMATS["tf32"], "master"),
    "fp16": (FORMATS["fp16"], "master"),
    "bf16": (BF16, "master"),
    "bf16 weights": (BF16, "nearest"),
    "bf16 weights, at random": (BF16, "stochastic"),
}
SHOWN = {
    "bf16": "bf16, float32 copy of weights",
    "bf16 weights": "bf16 weights, to nearest",
    "bf16 weights, at random": "bf16 weights, at random",
}


def looked(steps: int) -> tuple[int, ...]:
    return looks(steps, min(LOOKS, steps // 15))


def run(way: str, seeds: int, steps: int, rate: float, seen_at: Sequence[int]) -> Job:
    """Digits, one hidden tanh layer, SGD. fp16's loss is scaled by 2¹⁰ and its rate divided by it."""
    to, kept = WAYS[way]
    held = load("digits", "float32")
    layers = (s.Dense(HIDDEN), s.Tanh(), s.Dense(held.classes))
    network = Network((*layers, arithmetic.Cast("float32")), held.features)
    start = arithmetic.put(stack(network, [lecun], seeds, "float32"), lambda name, a: rounded(a[0], BF16))
    order = np.stack([batches(seed, held.train.x.shape[1], BATCH, steps + 1) for seed in range(seeds)], axis=1)
    scale = 2.0**10 if way == "fp16" else 1.0
    optimizer = s.SGD(rate / scale) if kept == "master" else arithmetic.Kept(rate, mode=kept)
    loss, scored = arithmetic.Scaled(scale=scale), {"training": plain(held.train), "test": plain(held.test)}
    return Job(arithmetic.shortened(layers, to), loss, start, held.train, order, optimizer, tuple(seen_at), scored)


def plain(batch: Batch) -> Batch:
    """Row after row in memory: NumPy multiplies a stack by columns after columns ten times as slowly."""
    return Batch(np.ascontiguousarray(batch.x), batch.y)


def trained(lab: Lab, job: Job, way: str) -> dict[str, list[Snapshot]]:
    """float32 is followed number by number; the bound on rounding knows no shorter formats."""
    with native.tensor_cores(WAYS[way][0].name):
        if way == "float32":
            return {backend: list(shots) for backend, shots in lab.train(job, steps=TRACKED).items()}
        return {backend: list(side.train(job)) for backend, side in backends(lab.device).items()}


@cells(each(way=WAYS), makes=("training",), cost=Cost(4.2, 100))
def learning(lab: Lab, way: str, seeds: int, steps: int, rate: float) -> Frame:
    """Loss, by the plain formula in float64, and accuracy on training and test set; ∞ for a network that has diverged."""
    job, rows = run(way, seeds, steps, rate, looked(steps)), []
    for backend, shots in trained(lab, job, way).items():
        for part, batch in job.evaluate.items():
            for shot in shots:
                z = shot.scores[part].astype(np.float64)
                loss, _ = s.CrossEntropy()(z, batch.y)
                loss = np.where(np.isnan(loss), np.inf, loss)  # a mean would pass over what is no number
                named = {"part": part, "step": shot.step, "seed": range(seeds), "loss": loss}
                right = {"accuracy": probes.answered(z, batch.y), "way": way, "backend": backend}
                rows.append(Frame(named | right))
    return stacked(rows)


@table
def curves(training: Frame) -> Frame:
    by = ["way", "part", "backend", "step"]
    return averages(training, by, ["loss", "accuracy"], training.loss).drop(columns="seeds")


@table
def gaps(training: Frame) -> Frame:
    """How far the training loss lies above float32's, of the same seed at the same step."""
    own, at = training[training.part == "training"], ["backend", "seed", "step"]
    apart = own.loss - matched(own, own[own.way == "float32"], at).loss
    found = over_seeds(own.assign(apart=apart), ["way", "backend", "step"], "apart")
    return found.drop(columns=["seeds", "dof"])


@claims
def what_is_learned(training: Frame) -> Claims:
    last = training[(training.part == "training") & (training.step == training.step.max())]
    final = last.pivot_table(index=["backend", "seed"], columns="way", values="loss").reindex(columns=list(WAYS))
    final = np.log(final)  # of one that has diverged the loss says little, and scatters much
    behind = final.sub(final["float32"], axis=0)
    loss, source = "log of the training loss", "Micikevicius 2018, § 3.1"
    basis = (
        "Log of the loss on the training set after the last step, against float32 from the same start on the same batches; Student's t "
        "over seeds."
    )
    without = final["bf16 weights"] - final["bf16"]
    yield Claim(
        "bf16 weights fall behind",
        "So networks whose weights are kept in bf16 learn less than those that compute in bf16 and keep the weights in float32.",
        source,
        basis,
        "the two exchanged",
        paired(loss, without, -without),
        "at least",
    )
    yield Claim(
        "a master copy repairs it",
        "With a float32 copy of the weights, TF32, fp16 and bf16 learn what float32 learns.",
        source,
        basis,
        "bf16 weights without a copy",
        stacked([paired(way, behind[way], behind["bf16 weights"]) for way in ("tf32", "fp16", "bf16")]),
    )
    yield Claim(
        "rounding at random repairs it too",
        "bf16 weights that are rounded up or down at random, with the right mean, learn what float32 learns.",
        "Gupta 2015",
        basis,
        "bf16 weights rounded to nearest",
        paired(loss, behind["bf16 weights, at random"], behind["bf16 weights"]),
    )


def paired(condition: str, values: pd.Series, control: pd.Series) -> Frame:
    """Mean and standard error over seeds of each difference, against 0; the control has its own error."""
    found, other = (over_seeds(v.rename("value").reset_index(), ["backend"]) for v in (values, control))
    wrong = {"control_measured": other.measured, "control_error": other.standard_error}
    return compare(found, condition, predicted=0.0, **wrong)


@cells(cost=Cost(4.2, 100))
def unmoved(lab: Lab, seeds: int, steps: int, rate: float) -> Frame:
    """The share of bf16 weights that an update leaves as they were, and of those that float64's gradient would leave, or a coarser bf16."""
    seen_at = looked(steps)[:-1]
    both = sorted({*seen_at, *(k + 1 for k in seen_at)})  # an update shows between two looks
    job = replace(run("bf16 weights", seeds, steps, rate, both), evaluate={})
    found = trained(lab, job, "bf16 weights")
    return stacked([still_ones(job, shots, rate).assign(backend=backend) for backend, shots in found.items()])


def still_ones(job: Job, shots: list[Snapshot], rate: float) -> Frame:
    rows = []
    for before, after in zip(shots[::2], shots[1::2], strict=True):
        gradients = exact(job, before)
        for layer, old in enumerate(before.parameters):
            if "W" not in old:
                continue
            w = old["W"].astype(np.float64)
            moved = w - rate * gradients[layer]["W"]
            shares = {
                "measured": after.parameters[layer]["W"] == old["W"],
                "predicted": defined(moved, BF16) == w,
                "coarser": np.abs(moved - w) < spacing(w, BF16),  # a whole spacing instead of half
            }
            named = {"layer": layer // 2 + 1, "step": before.step, "seed": range(len(w)), "numbers": w[0].size}
            rows.append(Frame(named | {name: share.mean((-1, -2)) for name, share in shares.items()}))
    return stacked(rows)


def exact(job: Job, shot: Snapshot) -> Parameters:
    """∂J/∂W of float64 at the snapshot's parameters, on its batch."""
    assert job.batches is not None
    batch = job.data.columns(job.batches[shot.step])
    wide = arithmetic.put(shot.parameters[:-1], lambda name, a: a.astype(np.float64))  # without the cast at the end
    layers = tuple(layer.layer if isinstance(layer, arithmetic.Around) else layer for layer in job.layers[:-1])
    data = Batch(batch.x.astype(np.float64), batch.y)
    return seen(Job(layers, s.CrossEntropy(), wide, data))[1].gradients


@table
def still(unmoved: Frame) -> Frame:
    excess = unmoved.measured - unmoved.predicted
    return averages(unmoved, ["layer", "step", "backend"], ["measured", "predicted", "coarser"], excess)


@claims
def not_felt(still: Frame) -> Claims:
    yield Claim(
        "updates that are not felt",
        "A bf16 weight stays what it was where |η∂J/∂w| is below half its spacing, some 2⁻⁹|w|: that share of the weights is predicted "
        "at every step.",
        "w + Δ = w",
        "float64's gradient at the same weights on the same batch. Student's t over networks; one weight of them all counts as an "
        "error as well.",
        "a whole spacing for half of one",
        compare(still, "layer {layer}, step {step}", dof=still.seeds - 1, control_predicted=still.coarser),
    )


@figure("Updates that are not felt")
def training(gaps: Frame, still: Frame) -> Figure:
    """Left: how far the training loss on digits lies above that of float32 networks of the same seeds, mean over seeds. Who computes in
    bf16 and keeps a float32 copy of the weights stays with float32, and so do bf16 weights rounded at random; bf16 weights rounded
    to nearest fall behind. Right: the share of those weights that an update leaves exactly as they were, because it is below
    half their spacing; lines: as float64's gradient at the same weights predicts it.
    """
    figure, axes = panels(
        ["behind float32", "weights that do not move"], width=3.7, share_y=False, margins=(0.95, 3.0, 0.6, 0.4)
    )
    for index, (way, said) in enumerate(SHOWN.items()):
        series(axes[0], gaps[gaps.way == way], said, index, x="step")
    fan(axes[1], still, "layer", "weights of layer {}", x="step", first=len(SHOWN))
    axes[1].set(ylabel="share unchanged by an update", ylim=(0, 1))
    return key(figure, axes, xlabel="step", ylabel="loss minus float32's")
