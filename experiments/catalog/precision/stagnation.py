"""When does a sum stand still?

Where half the spacing of the sum is more than any term that is still to come: bf16 sums of numbers below 1 stop at 256.
"""

from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from experiments.lab import Array, Claim, Claims, Cost, Figure, Frame, cells, claims, compare, facets, figure, stacked
from scratch.randomness import generator
from . import laws
from .formats import BF16, rounded, stochastic
from .shared import GREY, operands

CURVE = 16  # points at which a growing sum is looked at
MODES = {"nearest": "bf16, to nearest", "stochastic": "bf16, at random"}


@cells(makes=("partial_sums", "ends"), cost=Cost(0.58, 130))
def stagnation(growth: int, trials: int, device: str) -> dict[str, Frame]:
    """bf16 sums of products of U[0, 1], rounded to nearest and at random: their growth, where and when they stand still."""
    x, y = (rounded(v, BF16) for v in operands("positive", max(50, trials // 2), growth))
    products = rounded(x * y, BF16)
    wide = products.astype(np.float64)
    means, total = np.cumsum(wide, axis=-1).mean(0), {"exact": wide.sum(-1), "spread": laws.by_chance(wide, BF16)}
    looks = np.linspace(0, growth, CURVE + 1).round().astype(int)[1:]
    curves, ends = [], []
    for backend, grow in {"scratch": growing, "torchref": torch_growing}.items():
        for mode in MODES:
            path, named = grow(products, mode, device), {"backend": backend, "mode": mode}
            expected = laws.drift(looks) if mode == "nearest" else means[looks - 1]
            seen = path[looks - 1]
            error = seen.std(axis=-1, ddof=1) / np.sqrt(len(x))
            columns = {"n": looks, "measured": seen.mean(-1), "standard_error": error, "predicted": expected}
            curves.append(Frame(named | columns))
            ends.append(Frame({"total": path[-1], **total, "terms": _between(path)} | named))
    return {"partial_sums": stacked(curves), "ends": stacked(ends)}


def growing(products: Array, mode: str, device: str) -> Array:
    """Every partial sum, (n, trials)."""
    random, terms = generator(0, "stochastic", "scratch"), np.ascontiguousarray(products.T)
    path = [terms[0]]
    for term in terms[1:]:
        total = path[-1] + term
        path.append(rounded(total, BF16) if mode == "nearest" else stochastic(total, BF16, random))
    return np.stack(path)


def torch_growing(products: Array, mode: str, device: str) -> Array:
    """PyTorch's bfloat16; rounding at random it has none, so that is done on float32's bits."""
    terms = torch.tensor(products.T.copy(), device=device)
    if mode == "nearest":
        return torch.stack(list(accumulate(terms.bfloat16().unbind(), torch.add))).float().cpu().numpy()
    random = generator(0, "stochastic", "torchref").integers(0, 1 << BF16.dropped, products.T.shape, np.int32)
    drawn = iter(torch.tensor(random[1:], device=device).unbind())

    def added(total: Tensor, term: Tensor) -> Tensor:
        return ((total + term).view(torch.int32) + next(drawn) & -(1 << BF16.dropped)).view(torch.float32)

    return torch.stack(list(accumulate(terms.unbind(), added))).cpu().numpy()


def _between(path: Array) -> Array:
    """The number of terms from the first sum of 128 or more to the first of 256 or more; NaN if it has not come so far."""
    low, high = (np.argmax(path >= size, axis=0) for size in (128, 256))
    return np.where(path[-1] >= 256, high - low, np.nan)


@claims
def standing_still(ends: Frame) -> Claims:
    found = ends.assign(error=ends.total - ends.exact)
    near, chance = (found[found["mode"] == mode].groupby("backend") for mode in MODES)
    farthest = near.total.apply(lambda t: t.loc[(t - laws.limit(BF16)).abs().idxmax()])
    stand = Frame({"measured": farthest, "control_measured": chance.total.mean()}).reset_index()
    yield Claim(
        "bf16 sums stand still",
        "A bf16 sum of products of U[0, 1] stops at 2⁸ = 256, however many follow: half its spacing is 1, and no term is larger. "
        "Errors are then neither random nor √n·u.",
        "Connolly, Higham & Mary 2021",
        "s + x = s where x is at most half the spacing of s; the sum farthest from 256 counts. Exact.",
        "rounding at random",
        compare(stand, "final sum", standard_error=0.0, predicted=laws.limit(BF16)),
    )
    terms, variance = laws.passage()
    time = near.terms.agg(measured=lambda t: t.mean(skipna=False), count="size").reset_index()
    error = np.sqrt(variance / time["count"])
    yield Claim(
        "time to stand still",
        f"From 128 to 256 it takes {terms:.0f} terms on average instead of 512: a term above ½ adds 1, all others nothing.",
        "128 waits for a term above ½, P = (1 − ln 2)/2",
        "Geometric waits; the chance by summing over all pairs of bf16 numbers, ties to even included.",
        "a quarter for every term",
        compare(time, "terms from 128 to 256", standard_error=error, predicted=terms, control_predicted=128 * 4.0),
    )
    spread, count = chance.spread.mean(), near.size()

    def square(groups: Any) -> pd.Series:
        return groups.error.apply(lambda e: (e**2).mean()) / spread

    mean = {
        "measured": chance.error.mean(),
        "standard_error": np.sqrt(spread / count),
        "control_measured": near.error.mean(),
    }
    wide = {"measured": square(chance), "standard_error": np.sqrt(2 / count), "control_measured": square(near)}
    yield Claim(
        "rounding at random",
        "Rounded up with the probability that keeps the mean, the same sums neither stand still nor drift: their error has mean 0 and "
        "the predicted mean square.",
        "Connolly, Higham & Mary 2021",
        "Σ f(1 − f)·spacing² over the terms, f the fraction of a spacing that a term covers.",
        "rounding to nearest",
        stacked(
            [
                compare(Frame(mean).reset_index(), "mean error", predicted=0.0),
                compare(Frame(wide).reset_index(), "mean square error", predicted=1.0),
            ]
        ),
    )


@figure("A sum that stands still")
def growth(partial_sums: Frame) -> Figure:
    """Partial sums of products of two random numbers from 0 to 1, in bf16, mean over trials. Rounded to nearest the sum falls behind from
    about 64 on and stops at 256, where half its spacing is 1 and no term is larger; the line is what the chances of each term
    say. Rounded at random, up or down with the right mean, it goes on (line: the exact sum).
    """
    figure = facets(
        partial_sums.assign(mode=partial_sums["mode"].map(MODES)),
        x="n",
        colour="mode",
        xlabel="terms added",
        ylabel="partial sum (dotted: 256)",
        size={"width": 5.0, "height": 3.0},
        xlim=(0, None),
        ylim=(0, None),
    )
    figure.axes[0].axhline(256, linestyle=":", **GREY)
    return figure
