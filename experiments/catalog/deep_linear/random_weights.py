"""What does depth cost, from random weights?

Hardly anything from orthogonal ones; from Gaussian ones every layer costs, the more the smaller they are.
"""

import numpy as np

from experiments.compare.backends import backends
from experiments.lab import COLOURS, Claim, Cost, Lab, cells, claims, compare, figure, over_seeds, table
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch.initializers import orthogonal
from scratch.randomness import generator
from .shared import SAXE, job, one_panel, orthonormal, whitened

LOOSE = 0.1  # η N s: times are compared in logarithms over seeds
LEARNED = 0.01  # of the loss of a network that gives out 0: what counts as learned
MODES = (1.5, 1.25, 1.0, 0.75)
INPUTS = 16
SMALL = 0.8  # gain of the small Gaussian weights: standard deviation 0.8/√n
INITS = ("orthogonal", "Gaussian 1/√n", "Gaussian 0.8/√n")


@cells(
    lambda options: [
        {"depth": depth, "rate": LOOSE / depth, "steps": round(options.random_time / LOOSE)}
        for depth in sorted(options.random_depths)
    ],
    cost=Cost(6.7, 80),
)
def learned(lab: Lab, depth: int, rate: float, steps: int, random_seeds: int) -> Frame:
    """Networks from random weights: N·t until the loss is a hundredth of that of giving out 0."""
    weights, target = random_start(depth, random_seeds)
    looks = range(0, steps + 1, max(10, steps // 100))
    x = whitened(INPUTS, INPUTS)
    work = job(weights, x, np.broadcast_to(target @ x, (3, *target.shape)).copy(), rate, steps, looks)
    lab.look(work, f"{depth} layers, three inits")
    nothing = (np.array(MODES) ** 2).sum() / len(MODES)  # the loss, 2J/k, of W = 0
    losses = {  # look by look: all looks at once would be hundreds of megabytes
        name: np.array([shot.loss for shot in backend.train(work)]) for name, backend in backends(lab.device).items()
    }

    def when(loss: Array) -> Array:
        return passed(rate * depth * np.array(looks), np.log(loss / nothing), np.log(LEARNED))

    axes = {"init": INITS, "seed": range(random_seeds)}
    return lab.rows(losses, when, axes).rename(columns={"value": "time"})


def random_start(depth: int, seeds: int) -> tuple[list[Array], Array]:
    """Weights (inits, seeds, rows, columns), the Gaussian ones from the same draws; and the target of each seed."""
    n, k = INPUTS, len(MODES)
    weights = []
    for layer in range(depth):
        shape = (k if layer == depth - 1 else n, n)
        drawn = np.stack(
            [generator(seed, "gaussian", layer).standard_normal(shape) / np.sqrt(n) for seed in range(seeds)]
        )
        turned = np.stack([orthogonal(generator(seed, "orthogonal", layer), shape) for seed in range(seeds)])
        weights.append(np.stack([turned, drawn, SMALL * drawn]))
    target = [
        orthonormal(seed, "left", k, k) * np.array(MODES) @ orthonormal(seed, "right", n, k).T for seed in range(seeds)
    ]
    return weights, np.stack(target)


def passed(times: Array, values: Array, level: float) -> Array:
    """When ``values`` (looks, …) first falls below the level, by linear interpolation; NaN where it does not."""
    below = values < level
    k = np.maximum(below.argmax(0), 1)
    after, before = (np.take_along_axis(values, j[None], 0)[0] for j in (k, k - 1))
    time = times[k - 1] + (times[k] - times[k - 1]) * (before - level) / (before - after)
    return np.where(below.any(0), time, np.nan)


@table
def depth_costs(learned: Frame, random_seeds: int) -> Frame:
    """Mean and standard error over seeds of ln(N·t) for every start and depth, and how many never learned."""
    found = over_seeds(learned.assign(log=np.log(learned.time)), ["init", "depth", "backend"], "log")
    return found.drop(columns=["seeds", "dof"]).assign(never=random_seeds - found.seeds)


@table
def trends(learned: Frame) -> Frame:
    """Slope of ln(N·t) per layer, seed by seed: its mean and standard error; and the small Gaussian's less the orthogonal's.

    One network that never learns leaves no number.
    """
    columns = ["init", "backend", "shallowest", "deepest", "measured", "standard_error", "seeds"]
    depths = np.sort(learned.depth.unique())
    if len(depths) < 2:
        return Frame(columns=columns)
    away, rows = (depths - depths.mean()) / ((depths - depths.mean()) ** 2).sum(), []
    for backend, group in learned.groupby("backend", sort=False):
        logs = np.log(group.pivot(index=["init", "seed"], columns="depth", values="time"))
        slopes = {init: logs.loc[init].to_numpy() @ away for init in INITS}
        slopes["difference"] = slopes[INITS[-1]] - slopes["orthogonal"]
        for init, slope in slopes.items():
            error = slope.std(ddof=1) / np.sqrt(len(slope))
            rows.append((init, backend, depths[0], depths[-1], slope.mean(), error, len(slope)))
    return Frame(rows, columns=columns)


@claims
def price_of_depth(trends: Frame) -> Claims:
    if trends.empty:
        return
    said, trends = "{shallowest} to {deepest} layers", trends.assign(dof=trends.seeds - 1)
    flat, small, apart = (trends[trends.init == init].reset_index() for init in ("orthogonal", INITS[-1], "difference"))
    low, high = flat.shallowest.min(), flat.deepest.max()
    limit = (2 / low - 2 / high) * np.log(max(MODES)) / (high - low)
    yield Claim(
        "orthogonal starts do not pay for depth",
        "From orthogonal weights the time to learn, at a rate ∝ 1/N, stays bounded: ln(N·t) grows as far as 2/N₁ − 2/N₂ allows.",
        SAXE,
        "du/d(Nt) = u^(2−2/N)(s − u): with u between 1/s₁ and s₁, the strongest mode, more layers change it by s₁^(2/N₁−2/N₂) at most, "
        "for aligned modes; random ones must turn first, so this is a scale and no theorem. Student's t over seeds.",
        f"{INITS[-1]} weights",
        compare(flat, said, predicted=limit, control_measured=small.measured, control_error=small.standard_error),
        "at most",
    )
    yield Claim(
        "small Gaussian starts do",
        f"From Gaussian weights of deviation {SMALL}/√n ln(N·t) grows with every layer, by more than from orthogonal ones.",
        f"{SAXE}; a product of N factors shrinks (notes: vanishing gradient)",
        "Slope over depth less that of orthogonal weights, paired by seed (the target is the same); Student's t over seeds.",
        "the two starts exchanged",
        compare(apart, said, predicted=0.0, control_measured=-apart.measured),
        "at least",
    )


@figure("What depth costs, from random weights")
def random(depth_costs: Frame) -> Figure:
    """Time until the loss is a hundredth of its size without a network, times N (the largest stable rate falls as 1/N, so this
    counts steps), geometric mean over seeds ± standard error. Orthogonal weights hardly pay for depth; Gaussian ones of
    the usual size do, and smaller ones more, because a product of many factors shrinks, and so the plateau grows.
    """
    time = np.exp(depth_costs.measured)
    shown = depth_costs.assign(measured=time, standard_error=time * depth_costs.standard_error)
    figure = one_panel(
        shown,
        "depth",
        right=2.6,
        colour="init",
        title="from random weights",
        xlabel="layers N",
        ylabel="N × time to learn",
        predicted=False,
    )
    ours = shown[shown.backend == "scratch"]
    for colour, (_, one) in zip(COLOURS, ours.groupby("init", sort=False), strict=False):
        figure.axes[0].plot(one.depth, one.measured, color=colour, linewidth=0.8, linestyle=":")
    return figure
