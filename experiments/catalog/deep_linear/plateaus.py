"""How long does y = w1 w2 … wn x wait before it learns?

With two factors by the logarithm of 1/u₀, with more by a power of it: small weights cost a deep product dear.
"""

from typing import Any

import numpy as np

from experiments.lab import Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, compare, figure, table
from . import laws
from .shared import UNIT, crossing, growing_looks, job, one_panel, product

RATE = 0.05  # where nothing is steep


def grid(options: Any) -> list[dict[str, Any]]:
    """Every depth but 1, and 2 always, until the longest wait is over."""
    return [
        {"depth": depth, "rate": RATE, "steps": laws.steps_until(0.75, min(options.plateaus), 1.0, depth, RATE)}
        for depth in sorted({2, *options.depths} - {1})
    ]


@cells(grid, cost=Cost(4, 40))
def waits(lab: Lab, depth: int, rate: float, steps: int, plateaus: tuple[float, ...]) -> Frame:
    """The notes' y = w1 w2 … wn x, all weights equal at first and y = x wanted: when the product passes one half."""
    looks, one = growing_looks(steps, rate), np.ones((1, 1))
    first = np.array(plateaus)[:, None, None] ** (1 / depth)
    rows = []
    for name, shots in lab.train(job([first] * depth, one, one, rate, steps, looks)).items():
        u = np.array([product(shot)[:, 0, 0] for shot in shots])
        for k, start in enumerate(plateaus):
            found = lab.settings | {"start": start, "backend": name}
            rows.append(found | crossing(rate * np.array(looks), u[:, k], 1.0, 0.5))
    return Frame(rows)


@table
def plateau_times(waits: Frame) -> Frame:
    """Each wait for the half, with the flow's law; and how much longer it is than from the next larger start."""
    rows = []
    for _, group in waits.groupby(["depth", "backend"], sort=False):
        upper = None
        for row in group.sort_values("start", ascending=False).itertuples():
            predicted, _ = laws.descent_time(0.5, row.start, 1.0, row.depth, row.rate)
            found = {"depth": row.depth, "backend": row.backend, "start": row.start, "rate": row.rate}
            found |= {"measured": row.time, "predicted": predicted}
            rows.append(found if upper is None else found | prolonged(row, upper))
            upper = row
    return Frame(rows)


def prolonged(row: Any, upper: Any) -> dict[str, float]:
    """How much longer the one waits than the other, which begins higher; with the law, a wrong one, and rounding."""
    depth, rate = row.depth, row.rate
    predicted, tolerance = laws.longer(row.start, upper.start, 1.0, depth, rate)
    wrong, _ = laws.longer(row.start, upper.start, 1.0, 3 if depth == 2 else 2, rate)
    first = row.start ** (1 / depth)
    rounding = 2 * UNIT * row.steps * first / laws.speed(first, 1.0, depth)
    tolerance += 2 * (row.doubt + upper.doubt)
    return {"upper": upper.start, "longer": row.time - upper.time, "longer_predicted": predicted, "tolerance": tolerance,
            "wrong": wrong, "rounding": rounding}  # fmt: skip


@claims
def by_a_power(plateau_times: Frame) -> Claims:
    if "longer" not in plateau_times:
        return
    rows = plateau_times.dropna(subset="upper")
    yield Claim(
        "plateaus",
        "y = w1 w2 … wn x from small weights waits: two factors by ln(1/u₀)/2s, more by u₀^(2/N−1)/((N−2)s), no logarithm but a power.",
        "notes: y = w1 w2 … wn x; derived in laws.py",
        "How much a smaller start prolongs the time to the half. Open by u₀/(s−u₀), the plateau's own end, and twice the term in η².",
        "the logarithm for N > 2, the power of three layers for N = 2",
        compare(rows, "{depth} layers, u₀ from {upper:g} to {start:g}", measured=rows.longer, standard_error=rows.rounding,
                predicted=rows.longer_predicted, control_predicted=rows.wrong),
    )  # fmt: skip


@figure("The wait of y = w1 w2 … wn x")
def plateaus(plateau_times: Frame) -> Figure:
    """The notes' product of n weights, all equal at first, that should become 1: the time until it is ½, against its start u₀.
    Two factors wait by the logarithm of 1/u₀; with more the wait is a power of 1/u₀, steeper with every factor.
    """
    return one_panel(
        plateau_times.assign(factors=plateau_times.depth.map("{} factors".format), standard_error=0.0),
        "start",
        ticked=False,
        colour="factors",
        title="y = w1 w2 … wn x",
        xlabel="product u₀ of the weights at the start",
        ylabel="time to half, t = η × steps",
        xscale="log",
    )
