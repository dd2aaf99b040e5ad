"""Does the notes' rule, He's weights, let deep ReLU networks learn where Xavier's do not?

The same draws and batches for both; each layer of He's network hands on √2 times as much.
"""

import numpy as np

from experiments.compare import probes
from experiments.compare.agreement import unit_roundoff
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, figure, over_seeds, stacked, table
from experiments.lab.figures import key, panels, runs
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Batch, Dense, InnerProduct, Job, Network, Snapshot, activations, initializers
from scratch.randomness import generator, stack
from .shared import PLATEAU, classifiers, first_examples, followed, guessing, hidden, moments

DEPTHS = (2, 10, 30)  # at which gradients are compared before training
SHALLOW = 5  # layers; below, the two schemes hardly differ
STALLS = 30  # layers from which Xavier's scheme is expected to stall with ReLU; at fewer both learn, He sooner
SCHEMES = ("xavier", "he")


@cells(cost=Cost(0.58, 150))
def ratio(lab: Lab, seeds: int, data: str, dtype: str) -> Frame:
    """‖∂J/∂W₁‖ under He over that under Xavier, from the same draws and a fixed gradient at the output."""
    batch = first_examples(data, dtype)
    features, found = len(batch.x), []
    upstream = generator(0, "upstream").standard_normal(batch.x.shape).astype(dtype)
    for depth in DEPTHS:
        network = Network((*hidden(activations.ReLU(), features, depth - 1), Dense(features)), features)
        parameters = stack(network, [initializers.he, initializers.xavier], seeds, dtype)
        job = Job(network.layers, InnerProduct(), parameters, Batch(batch.x, upstream))

        def shares(shot: Snapshot, depth: int = depth) -> dict[str, list[Array]]:
            he, xavier = probes.rms(shot.gradients[0]["W"])
            alive = xavier > 0  # in narrow networks some are born dead under both
            return {"weight gradient": [he[alive] / xavier[alive] / 2 ** ((depth - 1) / 2)]}

        found.append(moments(lab.look(job, f"width {features}, depth {depth}"), shares, [depth], width=features))
    return stacked(found)


@claims
def exactly(ratio: Frame, dtype: str) -> Claims:
    rows = ratio[ratio.statistic == "farthest"]
    rounding = np.sqrt(rows.width * rows.depth) * unit_roundoff(np.dtype(dtype))
    yield Claim(
        name="He over Xavier",
        statement="From the same draws, He's first-layer gradient is 2^((D−1)/2) times Xavier's in D layers of equal width.",
        source="derived: W_He = √2 W_Xavier and ReLU(ax) = a ReLU(x)",
        basis="An identity; √(n·D) roundings of size u are its error. Shown as a share of the predicted factor.",
        control="2^(D/2): one factor more",
        comparisons=compare(rows, "width {width}, {signal}, depth {depth}", standard_error=rounding, predicted=1.0,
                            control_predicted=np.sqrt(2)),
    )  # fmt: skip


@cells(each(depth="race_depths"), cost=Cost(19, 190))
def race_runs(lab: Lab, depth: int, train_width: int, race_steps: int, race_seeds: int, data: str, dtype: str) -> Frame:
    """Loss and accuracy on the test set along the way, ReLU, for a stack (init, seed) of networks of ``depth`` layers."""
    schemes = [initializers.by_name()[init] for init in SCHEMES]
    looked_at = max(2, min(15, race_steps // 15))
    job = classifiers("relu", schemes, depth, train_width, race_steps, race_seeds, data, dtype, looked_at)
    return followed(lab, job, SCHEMES)


@table
def race(race_runs: Frame, data: str, dtype: str) -> Frame:
    return race_runs.assign(guessing=guessing(data, dtype))


@table
def starts(race: Frame) -> Frame:
    """The step at which each network of the race begins to learn, interpolated between looks; NaN if it never does."""
    rows = []
    runs = race[race.quantity == "loss"].groupby(["depth", "init", "backend", "seed"], sort=False)
    for (depth, init, backend, seed), run in runs:
        steps, loss, start = run.step.to_numpy(), run.value.to_numpy(), PLATEAU * run.guessing.max()
        below, step = np.flatnonzero(loss < start), np.nan
        if len(below) and below[0] > 0:
            k = below[0]
            step = steps[k - 1] + (steps[k] - steps[k - 1]) * (loss[k - 1] - start) / (loss[k - 1] - loss[k])
        rows.append({"depth": depth, "init": init, "backend": backend, "seed": seed, "step": step})
    return Frame(rows, columns=["depth", "init", "backend", "seed", "step"])


@claims
def of_the_race(race: Frame, starts: Frame) -> Claims:
    """He against Xavier: at 30 layers Xavier stalls; at 22 both learn, He sooner."""
    losses = race[race.quantity == "loss"]
    lowest = losses.groupby(["depth", "init", "backend", "seed"]).value.min().reset_index()  # late losses jump about
    for depth, group in lowest.groupby("depth"):
        condition = f"{depth} layers, {losses[losses.depth == depth].step.max()} steps"
        if depth >= STALLS:
            stats = group.groupby(["init", "backend"]).value.agg(["mean", "sem"])
            xavier, he = stats.loc["xavier"], stats.loc["he"]
            yield stall(int(depth), xavier, he, race.guessing.max(), condition)
            yield repair(int(depth), xavier, he, race.guessing.max(), condition)
        elif depth >= SHALLOW:
            yield sooner(int(depth), starts[starts.depth == depth], condition)


def beside(own: Frame, other: Frame, condition: str, **columns: float) -> Frame:
    """Means over seeds, and those of the other scheme as their control."""
    frame = own.rename(columns={"mean": "measured", "sem": "standard_error"}).assign(
        control_measured=other["mean"], control_error=np.maximum(other["sem"], 1e-300)
    )
    return compare(frame.reset_index(names="backend"), condition, **columns)


def stall(depth: int, xavier: Frame, he: Frame, guessed: float, condition: str) -> Claim:
    return Claim(
        name=f"Xavier stalls at {depth}",
        statement=f"ReLU, {depth} layers: with Xavier's scheme the test loss never falls below what guessing gives.",
        source="He 2015, Fig. 3",
        basis='Gibbs: no output that ignores x has a lower loss than the labels\' entropy; 1 % of it defines "stalls". '
        "Standard error over seeds.",
        control="He's scheme on the same draws and batches",
        comparisons=beside(xavier, he, condition, predicted=guessed, tolerance=0.01 * guessed),
        test="at least",
    )


def repair(depth: int, xavier: Frame, he: Frame, guessed: float, condition: str) -> Claim:
    return Claim(
        name=f"He learns at {depth}",
        statement=f"ReLU, {depth} layers: the notes' sqrt(2/n), He's scheme, repairs it: the loss falls below {PLATEAU:.0%} of guessing's.",
        source="notes; He 2015, Fig. 3",
        basis="The same draws and batches as Xavier's networks. Standard error over seeds.",
        control="Xavier's scheme",
        comparisons=beside(he, xavier, condition, predicted=PLATEAU * guessed),
        test="at most",
    )


def sooner(depth: int, starts: Frame, condition: str) -> Claim:
    logs = starts.assign(log=np.log(starts.step)).pivot(index=["backend", "seed"], columns="init", values="log")
    paired = over_seeds((logs["xavier"] - logs["he"]).rename("value").reset_index(), ["backend"])
    all_started = paired.seeds == logs.groupby("backend").size().to_numpy()  # one that never did makes the claim fail
    if not all_started.all():
        condition += ": not every network began to learn"
    paired = paired.assign(
        control_measured=-paired.measured, measured=paired.measured.where(all_started), predicted=0.0
    )
    return Claim(
        name=f"He sooner at {depth}",
        statement=f"ReLU, {depth} layers: both schemes learn, He sooner. The log of Xavier's start over He's is above 0.",
        source="He 2015, Fig. 2",
        basis=f"A network starts when its test loss falls below {PLATEAU:.0%} of guessing's; seeds are paired.",
        control="the two schemes exchanged",
        comparisons=compare(paired.drop(columns="dof"), condition),
        test="at least",
    )


@figure("He against Xavier", name="race")
def he_against_xavier(race: Frame) -> Figure:
    """Test loss of deep ReLU networks from the same draws on the same batches; a line is a seed of scratch, rings are torchref's.
    Where Xavier's line stays on the dashed one, the loss of guessing, nothing is learned. Late in the race a ring may leave its
    line: training has amplified rounding to the size of the numbers themselves.
    """
    losses = race[race.quantity == "loss"]
    depths = sorted(losses.depth.unique())
    figure, axes = panels([f"{depth} layers, ReLU" for depth in depths], width=4.0)
    for ax, depth in zip(axes, depths, strict=True):
        for index, init in enumerate(("he", "xavier")):
            runs(ax, losses[(losses.depth == depth) & (losses.init == init)], init, index)
        ax.axhline(losses.guessing.iloc[0], color="#555555", linestyle="--", linewidth=1)
        ax.set_xlabel("steps")
        ax.set_ylim(0, 1.5 * losses.guessing.iloc[0])
    return key(figure, axes, predicted=False, ylabel="test loss (cross-entropy)")
