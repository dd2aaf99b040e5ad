"""Is the objective convex, and if not, are there bad minima?

Not even that of two weights is convex: at 0 it has a saddle. But all of its minima w2w1 = 1 are equally good, and the start says
in which of them descent ends, as it moves along a hyperbola.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.lab import COLOURS, RING, Claim, Cost, Lab, cells, claims, compare, figure, key, panels, stacked, table
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Job
from . import laws
from .shared import UNIT, job

STARTS = ((0.1, 0.05), (-0.1, -0.3), (2.0, 0.2), (-1.6, 0.5), (1.4, -1.0), (-0.3, 1.9), (-1.9, -1.3), (1.2, -1.2))
GRID = 41
RATE, STEPS = 0.05, 400
NEAR = 0.125  # ε: how far from the saddle its curvature is taken
MARKED = {
    "along": (NEAR / np.sqrt(2), NEAR / np.sqrt(2)),
    "across": (NEAR / np.sqrt(2), -NEAR / np.sqrt(2)),
    "saddle": (0.0, 0.0),
    "minimum": (1.0, 1.0),
    "other minimum": (-1.0, -1.0),
}


def two_weights(points: Array, steps: int = 0, looks: Sequence[int] = (0,)) -> Job:
    """J = (w2w1 − 1)²/2, a network for each of the points (points, 2)."""
    one = np.ones((1, 1))
    return job([w[:, None, None] for w in points.T], one, one, RATE, steps, looks)


@cells(cost=Cost(0.1, 40))
def surface(lab: Lab) -> Frame:
    """J = (w2w1 − 1)²/2 on a grid."""
    axis = np.linspace(-2.4, 2.4, GRID)
    points = np.array([(a, b) for a in axis for b in axis])
    shots = lab.look(two_weights(points), f"{len(points)} networks of two weights", members=len(points))
    return Frame({"w1": points[:, 0], "w2": points[:, 1], "loss": shots["scratch"].loss / 2})


@cells(cost=Cost(0.1, 40))
def marks(lab: Lab) -> Frame:
    """J = (w2w1 − 1)²/2 and its slopes near the saddle, on it, and in two minima."""
    shots = lab.look(two_weights(np.array(list(MARKED.values()))), f"{len(MARKED)} networks of two weights")
    found = []
    for name, shot in shots.items():
        slope1, slope2 = (named["W"][:, 0, 0] / 2 for named in shot.gradients)
        told = {"point": list(MARKED), "loss": shot.loss / 2, "slope1": slope1, "slope2": slope2, "backend": name}
        found.append(Frame(told))
    return stacked(found)


@cells(cost=Cost(1.4, 40))
def paths(lab: Lab) -> Frame:
    """Descents on it from many starts."""
    looks = (*range(0, 100, 4), *range(100, STEPS, 20), STEPS)
    found = []
    for name, shots in lab.train(two_weights(np.array(STARTS), STEPS, looks)).items():
        for shot in shots:
            w1, w2 = (named["W"][:, 0, 0] for named in shot.parameters)
            at = {"start": range(len(STARTS)), "w1": w1, "w2": w2, "loss": shot.loss / 2}
            found.append(Frame(at).assign(step=shot.step, backend=name))
    return stacked(found)


@table
def ends(paths: Frame) -> Frame:
    """Where each descent ends, and where it should: at w1w2 = s, with c = w2² − w1² as far as steps have carried it."""
    rows = []
    for (start, backend), group in paths.groupby(["start", "backend"], sort=False):
        w1, w2 = STARTS[start]
        last = group.sort_values("step").iloc[-1]
        stuck = w1 == -w2
        c, open_ = (0.0, 0.0) if stuck else laws.carried(w1, w2, 1.0, RATE)
        rows.append({"start": start, "backend": backend, "w1": w1, "w2": w2, "steps": last.step, "end1": last.w1, "end2": last.w2,
                     "loss": last.loss, "stuck": stuck, "before": w2**2 - w1**2, "predicted": c, "open": open_})  # fmt: skip
    return Frame(rows)


@table
def flow_paths() -> Frame:
    """The hyperbolas along which the flow goes from every start, and that of the minima (start −1)."""
    found = []
    for start, (w1, w2) in enumerate(STARTS):
        side = -1.0 if (w1 + w2 if w1 != -w2 else w1) < 0 else 1.0
        p = np.linspace(w1 * w2, 0.0 if w1 == -w2 else 1.0, 120)
        a, b = laws.on_hyperbola(p, w2**2 - w1**2)
        crossing = w1 * side < 0  # w1 changes its sign on the way, and w2 does not
        first, second = (a * np.sign(p), abs(b)) if crossing else (a, b)
        found.append(Frame({"start": start, "w1": side * first, "w2": side * second}))
    minima = [laws.on_hyperbola(1.0, c) for c in np.linspace(-6, 6, 81)]
    return stacked([*found, Frame(minima, columns=["w1", "w2"], dtype=float).assign(start=-1)])


@claims
def not_convex(marks: Frame) -> Claims:
    """Curvatures from slopes at a distance ε: J along (1, 1)/√2 is (ε²/2 − s)²/2, along (1, −1)/√2 (ε²/2 + s)²/2."""
    rows = []
    for backend, group in marks.groupby("backend", sort=False):
        at = group.set_index("point")
        along, across, loss = at.loc["along"], at.loc["across"], at.loss
        hill = loss["saddle"] - (loss["minimum"] + loss["other minimum"]) / 2
        rows += [
            (backend, "curvature along w1 = w2", (along.slope1 + along.slope2) / np.sqrt(2) / NEAR, NEAR**2 / 2 - 1, 1.0),
            (backend, "curvature along w1 = −w2", (across.slope1 - across.slope2) / np.sqrt(2) / NEAR, NEAR**2 / 2 + 1, 1.0),
            (backend, "J halfway between two minima, above their mean", hill, 0.5, 0.0),
        ]  # fmt: skip
    found = Frame(rows, columns=["backend", "what", "measured", "predicted", "control_predicted"])
    yield Claim(
        "non-convex: a saddle",
        "J = (w2w1 − s)²/2 is not convex: at 0 it bends down along w1 = w2 (−s), up across (+s), and between two minima is a hill.",
        "notes: objective is non-convex; derived",
        "Exact: slopes at ε from 0 give ε²/2 ∓ s; the hill is s²/2, here s = 1. A few roundings, divided by ε.",
        "a convex objective: no negative curvature, no hill",
        compare(found, "{what}", standard_error=8 * UNIT / NEAR),
    )


@claims
def descents(ends: Frame) -> Claims:
    free, stuck = ends[~ends.stuck], ends[ends.stuck]
    yield Claim(
        "descent keeps to its hyperbola",
        "Descent on (w2w1 − s)²/2 moves along w2² − w1² = const, so the start says at which of the minima w1w2 = s it ends.",
        "the conservation law for two numbers; derived in laws.py",
        "A step multiplies w2² − w1² by 1 − η²e² (e = s − w1w2): by exp(−η∫e²dt) in all, the integral by quadrature; open in η².",
        "w1² + w2², which is not conserved",
        compare(free, "from ({w1:g}, {w2:g})", measured=free.end2**2 - free.end1**2, tolerance=free.open,
                standard_error=UNIT * free.steps * 4, control_measured=free.end2**2 + free.end1**2,
                control_predicted=free.w2**2 + free.w1**2),
    )  # fmt: skip
    yield Claim(
        "no bad minimum",
        "Non-convex, yet no local optimum but the global ones: every start off the line w1 = −w2 reaches J = 0.",
        "notes: non-convex, many local optima; Baldi & Hornik 1989, Kawaguchi 2016 for linear networks",
        "At w1w2 = s to rounding, J is the square of a few roundings.",
        "the start (1.2, −1.2) on that line, which leads to the saddle: J = s²/2 for ever",
        compare(free, "from ({w1:g}, {w2:g})", measured=free.loss, predicted=0.0, standard_error=(8 * UNIT) ** 2,
                control_measured=free.backend.map(stuck.set_index("backend").loss)),
        "at most",
    )  # fmt: skip


@figure("A saddle and a hyperbola of minima")
def landscape(surface: Frame, flow_paths: Frame, paths: Frame) -> Figure:
    """J = (w2w1 − 1)²/2, the smallest deep network there is: contours as scratch measures it, with a saddle at 0 (×) and, for minima,
    a hyperbola of two branches (green), all of them equally good. Lines from the squares are where gradient flow must go,
    along w2² − w1² = const; points are gradient descent at η = 0.05, whose steps carry it a little to the side, by the
    predicted amount. Only the start on the line w2 = −w1 (orange) runs into the saddle.
    """
    grid = surface.pivot(index="w2", columns="w1", values="loss")
    figure, (ax,) = panels(["J(w1, w2) = (w2w1 − 1)²/2"], width=5.0, height=5.0, margins=(0.9, 3.2, 0.6, 0.4))
    levels = [0.02, 0.1, 0.3, 0.5, 1, 2, 4, 8, 16]
    lines = ax.contour(grid.columns, grid.index, grid.to_numpy(), levels, colors="#999999", linewidths=0.8)
    ax.clabel(lines, fmt="%g", fontsize=8)
    minima = flow_paths[flow_paths.start < 0]
    for sign, label in ((1, "minima, w1w2 = 1"), (-1, None)):
        ax.plot(sign * minima.w1, sign * minima.w2, color=COLOURS[2], linewidth=3, alpha=0.5, label=label)
    for start, one in paths.groupby("start"):
        line = flow_paths[flow_paths.start == start]
        colour = COLOURS[1] if one.loss.iloc[-1] > 0.1 else COLOURS[0]
        ax.plot(line.w1, line.w2, color=colour, zorder=2)
        ours, theirs = (one[one.backend == name].sort_values("step") for name in ("scratch", "torchref"))
        ax.plot(ours.w1, ours.w2, color=colour, zorder=3, marker=".", linestyle="none", markersize=7)
        rings = theirs[theirs.step % 16 == 0]
        ax.plot(rings.w1, rings.w2, color=colour, zorder=3, **RING)
        ax.plot(one.w1.iloc[0], one.w2.iloc[0], color="black", marker="s", fillstyle="none", markersize=8, zorder=5)
    ax.plot([], [], color="black", marker="s", fillstyle="none", linestyle="none", label="start")
    cross: Any = {"marker": "x", "markersize": 9, "markeredgewidth": 2, "linestyle": "none"}
    ax.plot([0], [0], color="black", zorder=6, label="saddle", **cross)
    reach = float(grid.columns.max())
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="w1", ylabel="w2", aspect="equal")
    ax.grid(False)
    return key(figure, [ax])
