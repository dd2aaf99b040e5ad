"""Does dropout reduce overfitting?

Networks that can learn their training digits by heart, wrong labels and all, from no dropout to almost all units dropped. Every keep
probability sees the same digits, weights and batches.
"""

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from experiments import data
from experiments.compare.backends import Backend, backends
from experiments.lab import Claim, Cost, Lab, cells, claims, each, figure, over_seeds, stacked, table
from experiments.lab.bench import STEPS
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Batch, Job, Snapshot, metrics
from scratch.network import Parameters
from scratch.randomness import generator
from .shared import (
    BATCH,
    after_training,
    basis,
    beside_each_other,
    digit_networks,
    final,
    handed,
    most_wrong,
    paired,
    rising,
    titles,
)

SOURCE = "the notes; Srivastava 2014"
RARE = 5  # examples of a batch for which a unit is kept: where it is fewer, its gradient rests on two or three numbers, may cancel,
#           and Adam divides by what is left; rounding is then known too badly to follow it through training


@cells(each(wrong="wrong", keep="keeps"), cost=Cost(5.4, 190))
def measurements(lab: Lab, wrong: float, keep: float, examples: int, width: int, steps: int, seeds: int) -> Frame:
    """Loss and error on training and test digits, and what comes of using dropout wrongly after training."""
    job, seen = digit_networks(wrong, keep, examples, width, steps, seeds)
    test, found = data.load("digits").test, []
    quantities = ["train loss", "train error", "test loss", "test error"]
    axes = {"step": job.snapshots, "quantity": quantities, "seed": range(seeds)}

    def scores(shots: list[Snapshot]) -> Array:
        looks = [(shot.scores["train"], shot.scores["test"]) for shot in shots]
        return np.array([[*scored(train, seen.y), *scored(other, test.y)] for train, other in looks])

    followed = STEPS if keep * BATCH >= RARE else 0
    for name, trained in lab.train(job, f"wrong {wrong}, keep {keep}", steps=followed).items():
        shots = list(trained)
        used = uses(backends(lab.device)[name], job, shots[-1].parameters, test, keep)
        ended = {"step": job.snapshots[-1:], "quantity": list(used), "seed": range(seeds)}
        found.append(lab.rows({name: shots}, scores, axes, wrong=wrong))
        found.append(lab.rows({name: used}, lambda used: np.array(list(used.values())), ended, wrong=wrong))
    return stacked(found)


def scored(output: Array, labels: Array) -> tuple[Array, Array]:
    """Cross-entropy and error (S,) of outputs (S, 10, m)."""
    right = np.take_along_axis(output, np.broadcast_to(labels, output[:, 0].shape)[:, None], -2)[:, 0]
    return (logsumexp(output, axis=-2) - right).mean(-1), 1 - metrics.accuracy(output, labels)


def uses(backend: Backend, job: Job, parameters: Parameters, test: Batch, keep: float) -> dict[str, Array]:
    """The test loss with dropout left on, and as if trained without 1/p; how active the hidden units are after training."""
    width, examples, seeds = job.network.widths[0], test.x.shape[1], job.leading[0]
    left_on = generator(0, "left on").random((seeds, width, examples)) < keep
    every = np.ones((width, examples), bool)  # all units, times 1/p: as much as if learned without the factor
    losses = {}
    for name, mask in {"left on": left_on, "factor lost": every}.items():
        looked = Job(job.layers, job.loss, parameters, test, noise=handed(job.layers, job.network.inputs, mask))
        losses[f"test loss, {name}"] = backend.snapshot(looked).loss
    hidden = backend.snapshot(after_training(job.layers, job.loss, parameters, test)).outputs[1]
    return losses | {"mean activation": hidden.mean((-2, -1)), "active share": (hidden > 0).mean((-2, -1))}


@table
def regularized(measurements: Frame) -> Frame:
    """Means over seeds in the end, for every keep."""
    ended = final(measurements).melt(["backend", "wrong", "keep", "seed"], var_name="quantity")
    return over_seeds(ended, ["backend", "wrong", "keep", "quantity"]).drop(columns=["seeds", "dof"])


@table
def curves(measurements: Frame) -> Frame:
    """Means over seeds along the training."""
    return over_seeds(measurements, ["backend", "wrong", "keep", "quantity", "step"]).drop(columns=["seeds", "dof"])


def chosen_by_others(losses: Frame) -> pd.Series:
    """For each seed, the keep below 1 at which the other seeds' mean is lowest (or 1): the seed itself has no say."""
    dropped = losses[[keep for keep in losses if keep < 1] or [1.0]]
    return (dropped.sum() - dropped).idxmin(axis=1)


def at(values: Frame, keeps: pd.Series) -> pd.Series:
    return pd.Series([values.loc[seed, keep] for seed, keep in keeps.items()], values.index)


@table
def chosen(measurements: Frame) -> Frame:
    """Dropout at the keep that other seeds recommend, against none: means over seeds, paired. The gap: at the test loss's keep."""
    rows = []
    for (backend, wrong), one in final(measurements).groupby(["backend", "wrong"], sort=False):
        for quantity in ("test loss", "test error", "gap"):
            values = one.pivot(index="seed", columns="keep", values=quantity)
            if 1.0 not in values or len(values.columns) < 2:
                continue
            judged = one.pivot(index="seed", columns="keep", values="test loss") if quantity == "gap" else values
            keeps = chosen_by_others(judged)
            gain = values[1.0] - at(values, keeps)
            named = {"backend": backend, "labels wrong": wrong, "quantity": quantity, "keep": keeps.median()}
            means = {"none": values[1.0].mean(), "dropout": at(values, keeps).mean(), "gain": gain.mean()}
            rows.append(named | means | {"standard_error": gain.sem(), "seeds": len(gain)})
    columns = ["backend", "labels wrong", "quantity", "keep", "none", "dropout", "gain", "standard_error", "seeds"]
    return Frame(rows, columns=columns)


@claims
def less_overfitting(measurements: Frame, wrong: tuple[float, ...]) -> Claims:
    if max(wrong) == 0:
        return
    held = most_wrong(measurements, wrong)
    for name, statement, values in (
        (
            "dropout reduces overfitting",
            "The fewer units are kept, the smaller the gap between test and training loss, at every step of the sweep.",
            held["gap"],
        ),
        (
            "by fitting less",
            "The fewer units are kept, the higher the loss on the training digits themselves.",
            -held["train loss"],
        ),
    ):
        order = "keep probabilities in reverse order"
        yield Claim(name, statement, SOURCE, basis(wrong), order, rising(values), "at least")
    test = held["test loss"]
    best = pd.concat([at(one, chosen_by_others(one)) for _, one in test.groupby(level="backend")])
    choice = f"{basis(wrong)} Each seed's keep is chosen by the other seeds' test losses."
    for name, statement, control, keep in (
        ("dropout beats none", "At its best keep, dropout lowers the test loss.", "dropout and none exchanged", 1.0),
        (
            "too much of it harms",
            "The best keep has a lower test loss than the smallest one.",
            "the two exchanged",
            min(test),
        ),
    ):
        behind = paired({keep: test[keep] - best} if {keep} < set(test) else {}, "against keep {keep:g}")
        yield Claim(name, statement, SOURCE, choice, control, behind, "at least")


DIGITS = {"test": "other digits", "train": "training digits"}


@figure("Less overfitting")
def overfitting(regularized: Frame) -> Figure:
    """Loss after training, with all units in use: on the digits trained on, and on others. At the right end nothing is
    dropped. The distance between the two curves is the overfitting. With wrong labels it is large, and the fewer units
    are kept in training, the smaller it is; with right ones there is little to gain. Where too few are kept, the network
    no longer fits, and both curves rise.
    """
    lines = {f"{part} loss": label for part, label in DIGITS.items()}
    return beside_each_other(
        regularized, ("wrong", titles(regularized)), ("quantity", lines), ylabel="loss (cross-entropy)"
    )


@figure("Fewer errors")
def errors(regularized: Frame) -> Figure:
    """The share of digits misclassified by the same networks."""
    lines = {f"{part} error": label for part, label in DIGITS.items()}
    return beside_each_other(
        regularized, ("wrong", titles(regularized)), ("quantity", lines), ylabel="share misclassified"
    )


@figure("While it trains")
def training(curves: Frame) -> Figure:
    """The test loss on the way. Without dropout it falls, then rises as the network learns its wrong labels by heart;
    with dropout it falls more slowly, and then stays low.
    """
    keeps = sorted(curves.keep.unique())
    few = [keeps[k] for k in sorted({0, len(keeps) // 3, len(keeps) // 2, len(keeps) - 1})]
    return beside_each_other(
        curves[curves.quantity == "test loss"],
        ("wrong", titles(curves)),
        ("keep", {keep: "none dropped" if keep == 1 else f"p = {keep:g}" for keep in few}),
        x="step",
        xlabel="training step",
        ylabel="test loss (cross-entropy)",
        from_zero=False,
    )
