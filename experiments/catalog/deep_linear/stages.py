"""In what order does a deep linear network learn, and when?

The strongest mode first, each after a plateau and then in a quick rise: stages. A shallow network has none. From a balanced start
theory (Saxe, McClelland & Ganguli 2014) says when to the step.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from experiments.lab import COLOURS, Claim, Cost, Lab, cells, claims, compare, facets, figure, stacked, table
from experiments.lab.types import Array, Claims, Figure, Frame
from . import laws
from .shared import (
    EXAMPLES,
    INPUTS,
    SAXE,
    TERMS,
    UNIT,
    balanced,
    crossing,
    growing_looks,
    job,
    layers,
    one_panel,
    product,
    whitened,
)

LEVELS = (0.1, 0.5, 0.9)


def grid(options: Any) -> list[dict[str, Any]]:
    """Every depth at every rate, until the slowest mode is learned."""
    return [
        {"depth": depth, "rate": rate,
         "steps": max(laws.steps_until(0.97, options.start, s, depth, rate) for s in options.modes)}
        for depth in sorted(options.depths)
        for rate in options.rates
    ]  # fmt: skip


@cells(grid, makes=("curves", "crossings", "maps"), cost=Cost(7.2, 100))
def balanced_runs(
    lab: Lab, depth: int, rate: float, steps: int, modes: tuple[float, ...], start: float, seeds: int
) -> dict[str, Frame]:
    """Balanced networks: every mode's strength along training, when it passes each level, and how far from its own map."""
    bases, weights, target = balanced(modes, start, depth, seeds)
    x, looks = whitened(INPUTS, EXAMPLES), growing_looks(steps, rate)
    trained = lab.train(job(weights, x, target @ x, rate, steps, looks))
    left, right = (np.stack([r[k] for r in bases]) for k in (-1, 0))
    times, found = rate * np.array(looks), []
    own, wrong = (recursion(start, modes, n, rate, looks) for n in (depth, depth + 1))
    for name, shots in trained.items():
        strengths = np.array([left.mT @ product(shot) @ right for shot in shots])  # (looks, seeds, modes, modes)
        distances = {"difference": apart(strengths, own), "wrong_map": apart(strengths, wrong)}
        tables = {
            "curves": drawn(times, modes, strengths),
            "crossings": passed(times, modes, strengths),
            "maps": Frame({"seed": range(seeds), **distances}),
        }
        found.append({made: table.assign(backend=name, **lab.settings) for made, table in tables.items()})
    return {made: stacked([tables[made] for tables in found]) for made in found[0]}


def recursion(start: float, modes: Sequence[float], depth: int, rate: float, looks: Sequence[int]) -> Array:
    """u at ``looks`` (looks, modes) of descent's own one-dimensional map a ← a + η a^{N−1}(s − a^N)."""
    a, s = np.full(len(modes), start ** (1 / depth)), np.array(modes)
    found, wanted = [], set(looks)
    for step in range(max(looks) + 1):
        if step in wanted:
            found.append(a**depth)
        a = a + rate * a ** (depth - 1) * (s - a**depth)
    return np.array(found)


def drawn(times: Array, modes: Sequence[float], strengths: Array) -> Frame:
    """Each mode's strength, the mean over seeds, at the times that are worth drawing."""
    found = []
    for k, s in enumerate(modes):
        u = strengths[:, :, k, k]
        at = worth_drawing(times, u[:, 0], s)
        found.append(Frame({"mode": s, "time": times[at], "value": u[at].mean(1)}))
    return stacked(found)


def worth_drawing(times: Array, u: Array, s: float) -> list[int]:
    """The looks nearest to some strengths, and to some times after: a dozen points that show the rise however steep it is."""
    rising = [int(np.abs(u - level * s).argmin()) for level in (0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97)]
    later = np.linspace(times[rising[-1]], times[-1], 4)
    return sorted({0, *rising, *(int(np.abs(times - time).argmin()) for time in later)})


def passed(times: Array, modes: Sequence[float], strengths: Array) -> Frame:
    """When each mode passes each level, seed by seed."""
    return Frame(
        {"seed": seed, "mode": s, "level": level, **crossing(times, strengths[:, seed, k, k], s, level)}
        for seed in range(strengths.shape[1])
        for k, s in enumerate(modes)
        for level in LEVELS
    )


def apart(strengths: Array, u: Array) -> Array:
    """The largest distance (seeds,) of any entry, at any look, from diag(u)."""
    return abs(strengths - (u[..., None] * np.eye(u.shape[-1]))[:, None]).max((0, 2, 3))


@table
def times(crossings: Frame, start: float) -> Frame:
    """Mean time over seeds at which each mode passes each level, with the law, that of a wrong depth, and rounding's share.

    Rounding: a relative error √k·u a step moves a by as much, so the time by that times a/f(a), which is largest at the start.
    """
    rows, key = [], ["depth", "rate", "mode", "level", "backend"]
    for condition, group in crossings.groupby(key, sort=False):
        depth, rate, s, level, _ = condition
        law = partial(laws.descent_time, level * s, start, s, rate=rate)
        predicted, second = law(depth=depth)
        begun = start ** (1 / depth)
        rounding = np.sqrt(TERMS) * UNIT * group.time.mean() / rate * begun / laws.speed(begun, s, depth)
        rows.append(
            dict(zip(key, condition, strict=True))
            | {"measured": group.time.mean(), "standard_error": rounding, "spread": np.ptp(group.time), "predicted": predicted,
               "flow": laws.flow_time(level * s, start, s, depth), "tolerance": 2 * (second + group.doubt.max()),
               "wrong_depth": law(depth=2 if depth == 1 else 1)[0]}
        )  # fmt: skip
    return Frame(rows)


@table
def predicted_curves(curves: Frame, start: float) -> Frame:
    """The flow's curve of every depth and mode at the smallest rate: when it passes each of many strengths, and then stays."""
    chosen = curves[(curves.backend == "scratch") & (curves.rate == curves.rate.min())]
    share = np.sin(np.linspace(0, np.pi / 2, 80)) ** 2  # dense at both ends, where curves bend
    found = []
    for (depth, s), group in chosen.groupby(["depth", "mode"], sort=False):
        end, u = group.time.max(), start + (0.9995 * s - start) * share
        times = np.array([laws.flow_time(value, start, s, depth) for value in u])
        times, u = times[times < end], u[times < end]
        if len(u) == len(share):
            times, u = np.append(times, end), np.append(u, s)
        found.append(Frame({"depth": depth, "mode": s, "time": times, "u": u}))
    return stacked(found)


@claims
def on_time(times: Frame) -> Claims:
    shares = ", ".join(f"{level:.0%}" for level in LEVELS)
    named = times.assign(layers=times.depth.map(layers))
    yield Claim(
        "learning curves",
        f"A mode of strength s passes {shares} of it when the flow u̇ = N u^(2−2/N)(s − u) of a network of N layers says.",
        f"{SAXE}, Eq. 12 (N = 2); any N: derived in laws.py",
        "Closed form (N ≤ 2) or quadrature, plus (η/2) ln(f/f₀), what finite steps add; open by twice the term in η² and "
        "what interpolation may miss. Standard error: rounding. The random bases change nothing but rounding.",
        "the shallow network's time (for the shallow network: that of two layers)",
        compare(named, "{layers}, η = {rate:g}, s = {mode:g}, {level:.0%}", control_predicted=times.wrong_depth),
    )


@claims
def strongest_first(times: Frame) -> Claims:
    """The order of the half-times; in a shallow network ln((s − u₀)/(s/2)) is even a little later for the stronger mode."""
    half = times[times.level == 0.5]
    pairs = [closest(group) for _, group in half.groupby(["depth", "rate", "backend"], sort=False) if len(group) > 1]
    if not any(pair["depth"] > 1 for pair in pairs):
        return
    gaps = Frame(pairs)
    shallow = gaps[gaps.depth == 1].rename(columns={"measured": "control_measured"})
    deep = gaps[gaps.depth > 1].merge(shallow[["rate", "backend", "control_measured"]], "left", ["rate", "backend"])
    yield Claim(
        "stages",
        "Deep networks learn one mode after the other, strongest first: the log of the half-time from one mode to the next weaker grows "
        "by no less than predicted.",
        SAXE,
        "The smallest gap of neighbouring modes, from the times of the claim above with their tolerances.",
        "the shallow network, whose modes all take ln 2: no stages",
        compare(deep.fillna({"control_measured": 0.0}), "{depth} layers, η = {rate:g}"),
        "at least",
    )


def closest(half: Frame) -> dict[str, Any]:
    """Of the neighbouring modes those whose half-times lie closest: the log of the later over the earlier."""
    ordered = half.sort_values("mode", ascending=False)
    gaps = np.diff(np.log(ordered.measured))
    k = int(gaps.argmin())
    pair = ordered.iloc[k : k + 2]
    return {
        **ordered.iloc[0][["depth", "rate", "backend"]],
        "measured": gaps[k],
        "predicted": np.diff(np.log(ordered.predicted))[k],
        "standard_error": (pair.standard_error / pair.measured).sum(),
        "tolerance": (pair.tolerance / pair.predicted).sum(),
    }


@figure("Learning in stages")
def learning_curves(curves: Frame, predicted_curves: Frame) -> Figure:
    """The strength of each mode in the network's product of matrices, along training. A shallow network (left) learns all
    modes at once. A deep one waits, then learns them one after the other, strongest first; the more layers, the longer the
    wait and the steeper the step. Lines are gradient flow, u̇ = N u^(2−2/N)(s − u), nothing fitted; points are gradient
    descent at the smallest rate.
    """
    chosen = curves[curves.rate == curves.rate.min()].sort_values(["depth", "mode"], ascending=[True, False])
    named = chosen.assign(
        layers=chosen.depth.map(layers), strength=chosen["mode"].map("strength {:g}".format), standard_error=0.0
    )
    figure = facets(
        named,
        x="time",
        y="value",
        panel="layers",
        colour="strength",
        xlabel="time t = η × steps",
        ylabel="learned strength u(t)",
        size={"width": 2.75},
    )
    for ax, depth in zip(figure.axes, chosen.depth.unique(), strict=True):
        for colour, mode in zip(COLOURS, chosen["mode"].unique(), strict=False):
            line = predicted_curves[(predicted_curves.depth == depth) & (predicted_curves["mode"] == mode)]
            ax.plot(line.time, line.u, color=colour, zorder=2)
    return figure


@figure("When half of a mode is learned")
def half_times(times: Frame) -> Figure:
    """The time at which half of a mode is learned, against its strength, for each number of layers. Two layers: a mode twice as
    strong needs half the time (slope −1). One layer: the same time for all.
    """
    chosen = times[(times.level == 0.5) & (times.rate == times.rate.min())]
    return one_panel(
        chosen.assign(layers=chosen.depth.map(layers)),
        "mode",
        colour="layers",
        title="half-times",
        xlabel="strength s of the mode",
        ylabel="time to half, t = η × steps",
        xscale="log",
    )
