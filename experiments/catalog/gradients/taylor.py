"""Does Taylor's remainder fall as h²?

J(x + hd) − J(x) − h⟨gradient, d⟩ does if the gradient is right, and falls only as h if it is wrong, whoever made it. That needs a
function without kinks, so these are searched too.
"""

from functools import partial

import numpy as np

from experiments.compare.witnesses import INPUT, by_hand, by_torch, objective
from experiments.lab import Array, Claim, Claims, Cost, Frame, cells, claims, compare, table
from scratch import Batch, InnerProduct, Job, gradcheck
from scratch.randomness import generator
from .pieces import FAMILIES, asked, drawn, tried


@cells(tried, cost=Cost(1.2, 40, {"largest": 3}))
def slopes(family: str, piece: str, trials: int, largest: int, seed: int) -> Frame:
    """The order at which the remainder falls with h: 2 for the gradient, 1 for any other; the worst network's."""
    found = []
    for trial in range(trials):
        job, random = drawn(family, piece, trial, largest, seed)
        x = job.data.x
        direction, error = random.standard_normal(x.shape), 1 + 0.1 * random.standard_normal(x.shape)
        for name, gradient in (("scratch", by_hand(job)[INPUT]), ("torchref", by_torch(job)[INPUT])):
            right, wrong = (order(job, g, direction) for g in (gradient, gradient * error))
            found.append({"backend": name, "order": right, "wrong": wrong, "family": family, "piece": piece})
    return Frame(found)


def order(job: Job, gradient: Array, direction: Array) -> float:
    theta = job.network.flatten(job.parameters)[..., None, :]
    return float(np.min(gradcheck.taylor_slope(partial(objective, job, theta), job.data.x, gradient, direction)))


@cells(asked, cost=Cost(0.02, 10))
def kinks(family: str, piece: str, largest: int) -> Frame:
    """Where a piece that works on each number alone has kinks, in words."""
    found = bends(FAMILIES[family][piece](generator(0, "kinks"), largest))
    return Frame([{"family": family, "piece": piece, "kinks": found}])


def bends(job: Job) -> str:
    """The kinks, searched on a grid: of a loss against the target 0, of a penalty's weight; of other pieces none."""
    grid = np.arange(-24, 25)[None, :] / 8
    penalty, network = job.penalty, job.network
    if penalty is not None:
        found = gradcheck.kinks(lambda points: penalty(({"W": points},)), grid)
    elif network.size or any((*network.noise, *network.buffers())) or network.widths[-1] != network.inputs:
        return ""
    else:
        y = np.full(grid.shape, float(job.loss == InnerProduct()))
        looked = Job(job.layers, job.loss, ({},) * len(job.layers), Batch(grid, y))
        found = gradcheck.kinks(partial(objective, looked, np.zeros((1, 0))), grid)
    return ", ".join(f"{grid[at]:g}" for at in found)


@table
def orders(slopes: Frame) -> Frame:
    """Mean and standard error of each piece's order over its trials; those whose remainder is all rounding (inf) are left out."""
    finite = slopes.replace([np.inf, -np.inf], np.nan)
    grouped = finite.groupby(["family", "piece", "backend"], sort=False)
    found = {"order": ("order", "mean"), "error": ("order", "sem"), "trials": ("order", "count")}
    return grouped.agg(**found, wrong=("wrong", "mean")).reset_index()


@claims
def remainder(orders: Frame, kinks: Frame) -> Claims:
    """Pieces without kinks, of which enough trials are curved."""
    kinked = kinks.piece[kinks.kinks != ""]
    smooth = orders[(orders.trials >= 2) & ~orders.piece.isin(kinked) & (orders.family != "networks")]
    yield Claim(
        name="Taylor's remainder",
        statement="J(x + hd) − J(x) − h⟨gradient, d⟩ falls as h², in real arithmetic; one that is wrong leaves h¹.",
        source="Taylor's theorem",
        basis="Fitted over steps halved down to where rounding begins. h is not 0, so 0.1 is allowed for the third order. Left out: what "
        "is linear, or has kinks.",
        control="the gradient wrong by a tenth in every number",
        comparisons=compare(
            smooth,
            "{family}: {piece}",
            measured=smooth.order,
            predicted=2.0,
            tolerance=0.1,
            standard_error=smooth.error,
            dof=smooth.trials - 1,
            control_measured=smooth.wrong,
        ),
    )
