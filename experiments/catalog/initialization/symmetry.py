"""Why must weights be random: what becomes of hidden units that start equal, or nearly so?

Equal units get equal gradients. Moved apart by a part in 10^k, they take as many more steps to become different as k is larger.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from experiments.data import load
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, figure, matched, stacked, table
from experiments.lab.figures import COLOURS, MARKERS, key, panels, series
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import SGD, CrossEntropy, Dense, Job, Network, Snapshot, Tanh, initializers
from scratch.network import Parameters
from scratch.randomness import generator
from .shared import UNIT, first_digits, measured, passing

CONSTANT = 0.1  # every weight of the symmetric start
EXAMPLES, RATE = 100, 0.2
EVERY = 10  # steps between looks
LEVEL = 1e-3  # the root mean square difference between units that counts as broken symmetry
ROUNDING_GROWN = 1e-7  # symmetry is judged as long as rounding, grown as theory says, is below this


def directions(units: int, features: int, classes: int) -> tuple[Array, Array]:
    """In which the symmetric start is moved: in W (units, features), in V (classes, units)."""
    stream = generator(0, "perturbation")
    return stream.standard_normal((units, features)), stream.standard_normal((classes, units))


def nearly_equal(units: int, powers: Sequence[int], steps: int, data: str) -> Job:
    """A stack of tanh networks: constant weights, then moved by 10^−k of themselves for each of ``powers``, then random."""
    batch, classes = first_digits(data, EXAMPLES)
    noise_in, noise_out = directions(units, len(batch.x), classes)
    sizes = CONSTANT * np.array([0.0, *(10.0**-k for k in powers)])[:, None, None]
    layers = (Dense(units), Tanh(), Dense(classes))
    drawn = Network(layers, len(batch.x)).initialize(initializers.xavier, partial(generator, 0, "weights"))
    w = np.concatenate([CONSTANT + sizes * noise_in, drawn[0]["W"][None]])
    v = np.concatenate([CONSTANT + sizes * noise_out, drawn[2]["W"][None]])
    zeros = [np.zeros((len(w), n, 1)) for n in (units, classes)]
    parameters: Parameters = ({"W": w, "b": zeros[0]}, {}, {"W": v, "b": zeros[1]})
    order = np.tile(np.arange(batch.x.shape[1]), (steps + 1, 1))
    return Job(layers, CrossEntropy(), parameters, batch, order, SGD(RATE), tuple(range(0, steps + 1, EVERY)))


@cells(
    lambda options: [{"units": n, "powers": () if k else options.powers} for k, n in enumerate(options.units)],
    cost=Cost(2.2, 150),
)
def units_apart(lab: Lab, units: int, powers: Sequence[int], breaking_steps: int, data: str) -> Frame:
    """How far the hidden units of each start are apart, the second singular value of their weights, the loss."""
    job = nearly_equal(units, powers, breaking_steps, data)
    random = tuple({name: array[-1:] for name, array in named.items()} for named in job.parameters)
    # of the others, bounds estimated from units that are all equal rest on a number or two: steps=0
    lab.look(replace(job, parameters=random), f"{units} tanh units")
    starts, moved = ["constant", *("moved" for _ in powers), "random"], np.array([np.nan, *powers, np.nan])

    def seen(looks: Iterable[Snapshot]) -> dict[str, Array]:
        shots = list(looks)
        w = np.array([shot.parameters[0]["W"] for shot in shots])
        apart = np.sqrt(((w - w.mean(-2, keepdims=True)) ** 2).mean((-2, -1)))
        singular, loss = np.linalg.svd(w, compute_uv=False), np.array([shot.loss for shot in shots])
        return {"power": moved, "apart": apart, "second": singular[..., 1] / singular[..., 0], "loss": loss}

    return measured(lab, lab.train(job, steps=0), seen, {"step": job.snapshots, "start": starts}, units=units)


def tangent(
    noise_in: Array, noise_out: Array, value: float, x: Array, y: Array, rate: float, steps: int
) -> tuple[Array, Array]:
    """Growth of a small difference between the units of y = V tanh(Wx + b) + c, all of whose weights start at ``value``.

    Equal units move alike, so one of them, (w, b, v), stands for all h, and q = h·v tanh(w·x + b) + c. Differences δ that
    sum to 0 over the units change no output to first order, and each unit's obeys the linearised step in the fields of
    the others: with e = vᵀr, r = ∂J/∂q, a = tanh z, δz = δw·x + δb

        δw ← δw − η Σ (φ″(z) e δz + φ′(z) δvᵀr) xᵀ,    δv ← δv − η Σ r φ′(z) δz.

    ``noise_in`` (h, features), ``noise_out`` (classes, h): the difference at the start. Returns, for each step, the root
    mean square of δw, and the largest |δ|/|θ| over units: how far from linear it is, for a difference of that size.
    """
    units, (classes, m) = len(noise_in), (len(noise_out), x.shape[1])
    target = np.eye(classes)[:, y]
    w, b, v, c = np.full((1, len(x)), value), np.zeros((1, 1)), np.full((classes, 1), value), np.zeros((classes, 1))
    dw, db = noise_in - noise_in.mean(0), np.zeros((units, 1))
    dv = noise_out - noise_out.mean(1, keepdims=True)
    sizes, shares = np.empty(steps + 1), np.empty(steps + 1)
    for step in range(steps + 1):
        sizes[step] = np.sqrt((dw**2).mean())
        moved, own = (dw**2).sum(1) + (dv**2).sum(0), (w**2).sum() + (v**2).sum()
        shares[step] = np.sqrt(moved.max() / own)
        a = np.tanh(w @ x + b)
        q = units * v @ a + c
        p = np.exp(q - q.max(0))
        r = (p / p.sum(0) - target) / m
        slope, error, dz = 1 - a * a, v.T @ r, dw @ x + db
        gdz = -2 * a * slope * error * dz + slope * (dv.T @ r)
        dw, db, dv = dw - rate * gdz @ x.T, db - rate * gdz.sum(1, keepdims=True), dv - rate * r @ (slope * dz).T
        gz = slope * error
        w, b = w - rate * gz @ x.T, b - rate * gz.sum(1, keepdims=True)
        v, c = v - rate * r @ a.T, c - rate * r.sum(1, keepdims=True)
    return sizes, shares


def predicted_growth(units: int, steps: int, data: str) -> tuple[Array, Array]:
    """``tangent`` of the networks that are trained here."""
    batch, classes = first_digits(data, EXAMPLES)
    into, out = (CONSTANT * a for a in directions(units, len(batch.x), classes))
    return tangent(into, out, CONSTANT, batch.x, batch.y, RATE, steps)


@table
def symmetry(units_apart: Frame, breaking_steps: int, data: str) -> Frame:
    """With the linearised growth of 10^−k, or of rounding: each step rounds anew, and each rounding grows as a start does."""
    found = []
    for units, group in units_apart.groupby("units", sort=False):
        sizes, _ = predicted_growth(int(units), breaking_steps, data)
        rounding = 4 * np.sqrt(load(data).features * (1 + group.step)) * UNIT
        moved = group.power.map(lambda k: 10.0**-k)
        found.append(group.assign(predicted=moved.where(group.start != "constant", rounding) * sizes[group.step]))
    return stacked(found)


@table
def breaking(units_apart: Frame, breaking_steps: int, data: str) -> Frame:
    """When the difference between units passes LEVEL, of each 10^−k; none for those that are too far apart or never get there."""
    rows, moved = [], units_apart[units_apart.start == "moved"]
    looks, unit = sorted(moved.step.unique()), np.sqrt(load(data).features) * UNIT
    for units, group in moved.groupby("units", sort=False):
        sizes, shares = predicted_growth(int(units), breaking_steps, data)
        for (backend, power), run in group.groupby(["backend", "power"], sort=False):
            epsilon, reached = 10.0**-power, passing(looks, run.apart.to_numpy(), LEVEL)
            predicted = passing(looks, epsilon * sizes[looks], LEVEL)
            if np.isfinite(predicted):
                k = int(np.searchsorted(looks, predicted))
                rate = np.log(sizes[looks[k]] / sizes[looks[k - 1]]) / (looks[k] - looks[k - 1])
                tolerance, rounding = epsilon * shares[looks[k]] / rate, np.sqrt(predicted) * unit / epsilon / rate
                rows.append((backend, int(power), reached, predicted, tolerance, rounding))
    return Frame(rows, columns=["backend", "power", "measured", "predicted", "tolerance", "rounding"])


@claims
def of_symmetry(symmetry: Frame) -> Claims:
    equal = symmetry[(symmetry.start == "constant") & (symmetry.predicted < ROUNDING_GROWN)]
    random = matched(equal, symmetry[symmetry.start == "random"], ["units", "backend", "step"])
    apart = compare(
        equal.rename(columns={"apart": "measured", "predicted": "standard_error"}),
        "{units} units apart, step {step}",
        predicted=0.0,
        control_measured=random.apart,
    )
    rank = compare(
        equal.rename(columns={"second": "measured"}),
        "{units} units, second singular value, step {step}",
        standard_error=equal.predicted / equal.predicted.min() * 1e-15,
        predicted=0.0,
        control_measured=random.second,
    )
    yield Claim(
        "equal units stay equal",
        "Weights that are all the same: the hidden units never differ by more than rounding has grown to, and W keeps rank 1.",
        "derived: equal units get equal gradients; notes: random weights",
        "Standard error: √k·u a step, grown as the linearised equations say. Steps for which that stays below 10⁻⁷.",
        "a random start",
        stacked([apart, rank]),
    )


@claims
def of_breaking(breaking: Frame) -> Claims:
    earliest = breaking.groupby("backend").predicted.transform("min")
    error = breaking.rounding.clip(lower=1e-9)
    yield Claim(
        "the time to break symmetry",
        "Weights moved by 10^−k of themselves: differences grow as linearised equations say; each power of ten costs as many steps.",
        "derived: linearised gradient descent around equal units",
        "One unit stands for all, differences obey its tangent equations. "
        "Tolerance: their own relative size, as steps; standard error: rounding.",
        "the time of the largest displacement",
        compare(breaking, "moved by 10^−{power}", standard_error=error, control_predicted=earliest),
    )


@figure("Breaking symmetry")
def breaking_symmetry(symmetry: Frame) -> Figure:
    """A tanh network whose weights all start at 0.1, or are moved from it by a part in 10^k. Left: how different its hidden units
    are; lines are the linearised equations (they end where differences are no longer small). Units that were not moved stay
    equal to the last digit, unless the machine's matrix product rounds some of them otherwise than others (7 units): then rounding
    is the first difference, and grows by the same law. Right: the loss. As long as the
    units are equal they are worth a single one, and the loss stays on its plateau; each power of ten in the first
    difference costs the same number of steps.
    """
    titles = ["hidden units become different", "and only then it learns"]
    figure, (left, right) = panels(titles, width=3.6, height=3.0, share_y=False)
    whole = symmetry.assign(measured=symmetry.apart, standard_error=0.0)
    first, equal = whole[whole.units == whole.units.iloc[0]], whole[whole.start == "constant"]
    moved = {f"moved by 1e-{power:g}": first[first.power == power] for power in first.power.dropna().unique()}
    still = f"not moved, {first.units.iloc[0]} units"
    others = {still: first[first.start == "constant"], "random weights": first[first.start == "random"]}
    for index, (label, one) in enumerate((moved | others).items()):
        if label in moved:
            series(left, one.assign(predicted=one.predicted.where(one.predicted < 0.05)), label, index, x="step")
        index = -1 if label == "random weights" else index % len(COLOURS)
        ours = one[one.backend == "scratch"].sort_values("step")
        look: Any = {"color": COLOURS[index], "linestyle": "-" if label in moved else "--"}
        right.plot(ours.step, ours.loss, label=label, **look)
        points: Any = {"color": COLOURS[index], "marker": MARKERS[index], "linestyle": "none", "markersize": 4}
        right.plot(ours.step[::8], ours.loss[::8], **points)
    for index, (units, one) in enumerate(equal.groupby("units", sort=False), len(moved)):
        series(left, one.drop(columns="predicted"), f"not moved, {units} units", index, x="step")
    bound = one[(one.backend == "scratch") & (one.predicted < 1e-3)].sort_values("step")
    left.plot(bound.step, bound.predicted, color="#555555", linestyle="--", label="what rounding may grow to")
    left.set(yscale="log", xlabel="training steps", ylabel="rms difference between units")
    right.set(xlabel="training steps", ylabel="loss", ylim=(0, None))
    return key(figure, [left, right])
