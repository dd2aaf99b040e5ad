"""What if the weights are too large, and does clipping help?

The gradient explodes by as many factors as there are layers, and training ends in its first steps. Clipping bounds each step and so
keeps training alive, but it does not repair the network.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from experiments.compare import probes
from experiments.compare.agreement import unit_roundoff
from experiments.compare.backends import backends
from experiments.data import load
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, figure, over_seeds, stacked, table
from experiments.lab.figures import facets, key, panels, runs
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Batch, ClipNorm, Dense, InnerProduct, Job, Network, Snapshot, activations
from scratch.randomness import generator, stack
from .shared import EXAMPLES, FINITE_WIDTH, OPTIMIZER, classifying, followed, gaussian, guessing, hidden, moments

FACTORS = (2.0, 4.0)  # times He's variance, before training
HIDDEN = 10  # layers of the ReLU networks whose training explodes
FACTOR = 4.0  # times He's variance
LIMIT = 3.0  # to which their gradient's norm is clipped
WILD, TAMED = f"{FACTOR:g} × he", f"{FACTOR:g} × he, clipped"


@cells(cost=Cost(2.6, 660))
def explosions(lab: Lab, depths: tuple[int, ...], width: int, seeds: int, dtype: str) -> Frame:
    """ReLU networks with so many times He's variance: log ‖∂J/∂z_first‖²/‖∂J/∂z_last‖², and the same draws against He's own.

    "share" is the first layer's gradient over He's, as a share of factor^((L−1)/2).
    """
    draw, found = generator(0, "exploding"), []
    x, upstream = draw.standard_normal((2, width, EXAMPLES)).astype(dtype)
    for depth in sorted(depths):
        network = Network(hidden(activations.ReLU(), width, depth), width)
        parameters = stack(network, [gaussian(2 * factor) for factor in (1, *FACTORS)], seeds, dtype)
        shots = lab.look(
            Job(network.layers, InnerProduct(), parameters, Batch(x, upstream)), f"width {width}, depth {depth}"
        )
        for k, factor in enumerate((1, *FACTORS)):

            def sizes(shot: Snapshot, depth: int = depth, k: int = k, factor: float = factor) -> dict[str, list[Array]]:
                first, last = (probes.rms(shot.output_gradients[at]) for at in (0, -2))  # (1 + factors, seeds)
                grown = {"gradient": [2 * np.log(first / last)[k]]}
                return grown | ({"share": [first[k] / first[0] / factor ** ((depth - 1) / 2)]} if k else {})

            found.append(moments(shots, sizes, [depth], factor=float(factor), width=width))
    return stacked(found)


@table
def exploded(explosions: Frame, dtype: str) -> Frame:
    """Mean log ratios by the mean-field law; shares, the farthest of all networks, by the identity, open by √(n·L) roundings."""
    wanted = np.where(explosions.signal == "share", "farthest", "mean")
    rows = explosions[explosions.statistic == wanted]
    share = rows.signal == "share"
    log = (rows.depth - 1) * np.log(rows.factor)
    rounding = np.sqrt(rows.width * rows.depth) * unit_roundoff(np.dtype(dtype))
    return rows.assign(
        predicted=np.where(share, 1.0, log),
        control=np.where(share, np.sqrt(rows.factor), 0.0),
        standard_error=np.where(share, rounding, rows.standard_error),
        dof=np.where(share, np.inf, rows["count"] - 1),
        tolerance=np.where(share, 0.0, FINITE_WIDTH / rows.width * (rows.depth - 1)),
    )


@claims
def of_explosions(exploded: Frame) -> Claims:
    """Nothing to explode where there is one layer."""
    rows = exploded[exploded.depth > 1]
    said = "width {width}, {factor:g} × he"
    grown, shares = rows[rows.signal == "gradient"], rows[rows.signal == "share"]
    yield Claim(
        name="exploding",
        statement="ReLU with k times He's variance: the first layer's squared gradient is k^(L−1) times the last's.",
        source="Schoenholz 2017: χ = σ_w²/2 for ReLU; He 2015, Eq. 14",
        basis=f"Mean-field law (width → ∞), open by {FINITE_WIDTH}·(L−1)/n; Student's t over seeds.",
        control="He's variance: no explosion (log 0)",
        comparisons=compare(grown, said + ", depth {depth}", control_predicted=grown.control),
    )
    yield Claim(
        name="exploding, exactly",
        statement="From the same draws, k times He's variance gives the first layer exactly k^((L−1)/2) times He's gradient.",
        source="derived: ReLU(ax) = a ReLU(x), as for He over Xavier",
        basis="An identity; √(n·L) roundings of size u are its error. Shown as a share of the predicted factor.",
        control="k^(L/2): one factor more",
        comparisons=compare(shares, said + ", share, depth {depth}", control_predicted=shares.control),
    )


@figure("Exploding gradients before training")
def exploding(exploded: Frame) -> Figure:
    """ReLU networks with once, twice and four times He's variance, before training: a straight line upwards is an explosion."""
    rows = exploded[exploded.signal == "gradient"]
    return facets(
        rows.assign(weights=[f"{factor:g} × he" for factor in rows.factor]),
        x="depth",
        colour="weights",
        title="ReLU",
        xlabel="hidden layers",
        ylabel="ln (‖∂J/∂z_first‖² / ‖∂J/∂z_last‖²)",
        size={"width": 4.4},
    )


@cells(makes=("clipping_runs", "first_steps"), cost=Cost(7.5, 140))
def clipping_runs(
    lab: Lab, repair_width: int, repair_steps: int, seeds: int, data: str, dtype: str
) -> dict[str, Frame]:
    """ReLU networks with He's variance and with FACTOR times it, each as it is and with its gradient clipped."""
    layers = (*hidden(activations.ReLU(), repair_width, HIDDEN), Dense(load(data, dtype).classes))
    whole = classifying(layers, [gaussian(2.0), gaussian(2.0 * FACTOR)], repair_steps, seeds, data, dtype)
    curves, steps = [], []
    for clip, said in ((None, ""), (ClipNorm(LIMIT), ", clipped")):
        job, names = replace(whole, clip=clip), [f"{name}{said}" for name in ("he", f"{FACTOR:g} × he")]
        curves.append(followed(lab, job, names, f"ReLU{said}", depth=HIDDEN + 1))
        steps.append(first_steps_of(lab, job, names))
    return {"clipping_runs": stacked(curves), "first_steps": stacked(steps)}


def first_steps_of(lab: Lab, job: Job, names: list[str]) -> Frame:
    """How far the first update moves θ, what it should be, and what rounding may do to it, for each network.

    The step is η·‖g‖ without clipping, η·limit·‖g‖/(‖g‖ + 10⁻⁶) where the norm exceeds the limit.
    """
    assert job.batches is not None
    short, found = replace(job, batches=job.batches[:2], snapshots=(0, 1), evaluate={}), []
    for backend, side in backends(lab.device).items():
        begin, after = side.train(short)
        flat = [job.network.flatten(p) for p in (begin.parameters, after.parameters, begin.gradients)]
        theta, moved, gradient = (a.astype(np.float64) for a in flat)
        size, rate = np.linalg.norm(gradient, axis=-1), float(OPTIMIZER.base)
        unit = np.finfo(job.data.x.dtype).eps / 2
        rounding = unit * (np.linalg.norm(theta, axis=-1) / (rate * LIMIT) + np.sqrt(gradient.shape[-1]))
        columns = {"gradient": size, "measured": np.linalg.norm(moved - theta, axis=-1) / (rate * LIMIT),
                   "predicted": size / (size + 1e-6), "standard_error": rounding}  # fmt: skip
        seeds = size.shape[-1]
        frame = Frame({"init": np.repeat(names, seeds), "seed": list(range(seeds)) * len(names)})
        found.append(frame.assign(**{name: a.reshape(-1) for name, a in columns.items()}, backend=backend))
    return stacked(found)


@table
def clipped(clipping_runs: Frame, data: str, dtype: str) -> Frame:
    return clipping_runs.assign(guessing=guessing(data, dtype))


@claims
def of_clipping(clipped: Frame, first_steps: Frame) -> Claims:
    """Four times He's variance, with its gradient clipped and without."""
    losses = clipped[clipped.quantity == "loss"]
    ends = losses[losses.step.isin((0, losses.step.max()))].replace({"step": {losses.step.max(): -1}})
    by = ends.pivot(index=["backend", "seed"], columns=["init", "step"], values="value")
    fall = {name: np.log(by[name, -1] / by[name, 0]) for name in (WILD, TAMED)}
    whole = losses.groupby(["init", "backend", "seed"]).value.agg(lambda loss: np.log(loss).mean())
    behind = whole[TAMED] - whole["he"]
    condition = f"{HIDDEN + 1} layers, {losses.step.max()} steps"
    learned = {name: (by[name, -1] < 0.99 * losses.guessing.max()).groupby("backend").mean() for name in (WILD, "he")}
    share = Frame({"measured": learned[WILD], "control_measured": learned["he"]}).reset_index()
    yield Claim(
        "exploding ends training",
        f"ReLU with {FACTOR:g} times He's variance: no network has learned anything after the same steps; its loss is "
        "infinite, or its units have all died.",
        "Pascanu 2013; derived: the first update is 2^(L−1) times He's or more",
        "A count of losses 1 % or more below guessing's: one network that learned would be its share off.",
        "He's variance",
        compare(share, condition, predicted=0.0, standard_error=1e-9),
    )
    own, raw = (first_steps[first_steps.init == which].reset_index(drop=True) for which in (TAMED, WILD))
    yield Claim(
        "clipping bounds the step",
        f"With its norm clipped to {LIMIT:g}, the first update is η·{LIMIT:g}, however much the gradient explodes.",
        "Pascanu 2013, Alg. 1",
        "An identity, up to the 10⁻⁶ in the denominator; the error is the rounding of θ. Shown in units of η·limit.",
        "the update that is not clipped",
        compare(own, "seed {seed}", control_measured=raw.measured),
    )
    yield Claim(
        "clipping keeps training alive",
        "Clipped, the same networks train: their loss falls to a tenth, or further.",
        "Pascanu 2013",
        "Log of the last loss over the first; Student's t over seeds.",
        "the same networks, not clipped",
        against(fall[TAMED], fall[WILD], condition, predicted=-np.log(10.0)),
        "at most",
    )
    yield Claim(
        "clipping is no repair of the weights",
        "Clipping repairs the update, not the network: it trains all the time at a higher loss than one with He's weights.",
        "derived: each step is bounded, and the way back is long",
        "Log of the clipped networks' loss over that of He's, mean over the run; seeds are paired, Student's t.",
        "the two exchanged",
        against(behind, -behind, condition, predicted=0.0),
        "at least",
    )


def against(values: pd.Series, wrong: pd.Series, condition: str, predicted: float) -> Frame:
    """Mean over seeds against a bound; the control's own mean."""
    means = over_seeds(values.rename("value").reset_index(), ["backend"])
    other = wrong.groupby("backend").mean().to_numpy()
    return compare(means, condition, predicted=predicted, control_measured=other)


@figure("Exploding gradients, clipped")
def clipping(clipped: Frame) -> Figure:
    """Training with four times He's variance ends in the first steps: the loss is infinite or not a number, only its start is drawn.
    With the gradient's norm clipped the same networks train, but take the whole run to come where He's weights begin. A line is
    a seed of scratch, the first four; rings are torchref's; the dashed line is the loss of guessing.
    """
    figure, (ax,) = panels([f"{clipped.depth.max()} layers, ReLU"], width=4.4)
    losses = clipped[(clipped.quantity == "loss") & (clipped.seed < 4)]
    losses = losses[losses.value < 100 * losses[losses.step == 0].value.max()]
    for index, init in enumerate(sorted(losses.init.unique(), key=lambda name: "clipped" not in name)):
        runs(ax, losses[losses.init == init], init, index)
    ax.axhline(clipped.guessing.max(), color="#555555", linestyle="--", linewidth=1)
    ax.set(xlabel="steps", ylabel="test loss (cross-entropy)", yscale="log")
    return key(figure, [ax], predicted=False)
