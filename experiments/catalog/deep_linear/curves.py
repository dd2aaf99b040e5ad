"""Balanced networks and the notes' product: when a mode is learned, and how long it waits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.agreement import unit_roundoff
from experiments.catalog.deep_linear import laws, parts
from experiments.catalog.deep_linear.parts import LEVELS
from experiments.claims import Claim

if TYPE_CHECKING:
    from experiments.catalog.deep_linear import Options

UNIT = unit_roundoff(np.dtype("float64"))
TERMS = max(parts.HIDDEN, parts.OUTPUTS, parts.EXAMPLES)  # of the longest sum
SAXE = "Saxe, McClelland & Ganguli 2014"


# --- balanced networks: the learning curves ----------------------------------------------------------------------------------


def predicted_times(crossings: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Mean time over seeds at which each mode passes each level, with the law, that of a wrong depth, and rounding's share.

    Rounding: a relative error √k·u a step moves a by as much, so the time by that times a/f(a), which is largest at the start.
    """
    rows = []
    for key, group in crossings.groupby(["depth", "rate", "mode", "level", "backend"], sort=False):
        depth, rate, s, level, _ = key
        law = partial(laws.descent_time, level * s, options.start, s, rate=rate)
        predicted, second = law(depth=depth)
        begun = options.start ** (1 / depth)
        rounding = np.sqrt(TERMS) * UNIT * group.time.mean() / rate * begun / laws.speed(begun, s, depth)
        rows.append(
            dict(zip(("depth", "rate", "mode", "level", "backend"), key, strict=True))
            | {"measured": group.time.mean(), "standard_error": rounding, "spread": np.ptp(group.time), "predicted": predicted,
               "flow": laws.flow_time(level * s, options.start, s, depth), "allowance": 2 * (second + group.doubt.max()),
               "wrong_depth": law(depth=2 if depth == 1 else 1)[0]}
        )  # fmt: skip
    columns = ["depth", "rate", "mode", "level", "backend", "measured", "standard_error", "spread", "predicted", "flow",
               "allowance", "wrong_depth"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def predicted_curves(curves: pd.DataFrame, options: Options) -> pd.DataFrame:
    """The flow's curve of every depth and mode at the smallest rate: when it passes each of many strengths, and then stays."""
    chosen = curves[(curves.backend == "scratch") & (curves.rate == curves.rate.min())]
    found = []
    for (depth, s), group in chosen.groupby(["depth", "mode"], sort=False):
        end, share = (
            group.time.max(),
            np.sin(np.linspace(0, np.pi / 2, 80)) ** 2,
        )  # dense at both ends, where curves bend
        u = options.start + (0.9995 * s - options.start) * share
        times = np.array([laws.flow_time(value, options.start, s, depth) for value in u])
        times, u = times[times < end], u[times < end]
        if len(u) == len(share):
            times, u = np.append(times, end), np.append(u, s)
        found.append(pd.DataFrame({"depth": depth, "mode": s, "time": times, "u": u}))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["depth", "mode", "time", "u"])


def named(depth: object, one: str = "layer") -> str:
    return f"{depth} {one}{'' if depth == 1 else 's'}"


def curves_claim(times: pd.DataFrame) -> Claim:
    frame = times.assign(
        condition=[f"{named(r.depth)}, η = {r.rate:g}, s = {r.mode:g}, {r.level:.0%}" for r in times.itertuples()],
        control_predicted=times.wrong_depth,
    )
    shares = ", ".join(f"{level:.0%}" for level in LEVELS)
    return Claim(
        "learning curves",
        f"A mode of strength s passes {shares} of it when the flow u̇ = N u^(2−2/N)(s − u) of a network of N layers says.",
        f"{SAXE}, Eq. 12 (N = 2); any N: derived in laws.py",
        "Closed form (N ≤ 2) or quadrature, plus (η/2) ln(f/f₀), what finite steps add; open by twice the term in η² and "
        "what interpolation may miss. Standard error: rounding. The random bases change nothing but rounding.",
        "the shallow network's time (for the shallow network: that of two layers)",
        frame.drop(columns=["depth", "rate", "mode", "level", "spread", "flow", "wrong_depth"]),
    )


def maps_claim(maps: pd.DataFrame, options: Options) -> Claim:
    """Rounding in u is that in time, times the steepest rise of u."""
    grouped = (
        maps.groupby(["depth", "rate", "steps", "backend"], sort=False)[["difference", "wrong_map"]].max().reset_index()
    )
    errors = []
    for row in grouped.itertuples():
        start, weakest = options.start ** (1 / row.depth), min(options.modes)
        share = np.linspace(0, max(options.modes), 500)
        rise = (row.depth * share ** (2 - 2 / row.depth) * (max(options.modes) - share)).max()
        errors.append(np.sqrt(TERMS) * UNIT * row.steps * start / laws.speed(start, weakest, row.depth) * rise)
    frame = pd.DataFrame(
        {"backend": grouped.backend, "measured": grouped.difference, "standard_error": errors, "predicted": 0.0,
         "control_measured": grouped.wrong_map,
         "condition": [f"{named(r.depth)}, η = {r.rate:g}, {r.steps} steps" for r in grouped.itertuples()]}
    )  # fmt: skip
    return Claim(
        "modes do not see each other",
        "From a balanced start UᵀW_N…W_1V stays diagonal, and each entry follows a ← a + η a^(N−1)(s − a^N), u = a^N, step by step.",
        f"derived in laws.py, after {SAXE}",
        "An identity: a rounding √k·u a step, as time lost where a mode is slowest, times the steepest rise. Worst entry, step and seed.",
        "the same recursion for one layer more",
        frame,
    )


def stages_claim(times: pd.DataFrame) -> Claim | None:
    """The order of the half-times; in a shallow network ln((s − u₀)/(s/2)) is even a little later for the stronger mode."""
    half = times[np.isclose(times.level, 0.5)]
    rows, shallow = [], {}
    for (depth, rate, backend), group in half.groupby(["depth", "rate", "backend"], sort=False):
        ordered = group.sort_values("mode", ascending=False)
        gaps = np.diff(np.log(ordered.measured))
        if not len(gaps):
            return None
        if depth == 1:
            shallow[rate, backend] = gaps.min()
            continue
        predicted = np.diff(np.log(ordered.predicted))
        k = int(gaps.argmin())
        allowed = (ordered.allowance / ordered.predicted).to_numpy()[k : k + 2].sum()
        error = (ordered.standard_error / ordered.measured).to_numpy()[k : k + 2].sum()
        rows.append({"backend": backend, "condition": f"{named(depth)}, η = {rate:g}", "measured": gaps[k], "rate": rate,
                     "standard_error": error, "predicted": predicted[k], "allowance": allowed})  # fmt: skip
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    frame["control_measured"] = [shallow.get((r.rate, r.backend), 0.0) for r in frame.itertuples()]
    return Claim(
        "stages",
        "Deep networks learn one mode after the other, strongest first: the log of the half-time from one mode to the next weaker grows "
        "by no less than predicted.",
        SAXE,
        "The smallest gap of neighbouring modes, from the times of the claim above with their allowances.",
        "the shallow network, whose modes all take ln 2: no stages",
        frame.drop(columns="rate"),
        "at least",
    )


# --- the notes' product: plateaus --------------------------------------------------------------------------------------------


def predicted_waits(waits: pd.DataFrame) -> pd.DataFrame:
    """Each wait for the half, with the flow's law; and how much longer it is than from the next larger start."""
    rows = []
    for key, group in waits.groupby(["depth", "backend"], sort=False):
        depth, backend = key
        ordered, upper = group.sort_values("start", ascending=False), None
        for row in ordered.itertuples():
            flow, _ = laws.descent_time(0.5, row.start, 1.0, depth, row.rate)
            found = {
                "depth": depth,
                "backend": backend,
                "start": row.start,
                "rate": row.rate,
                "measured": row.time,
                "predicted": flow,
            }
            if upper is not None:
                longer, allowance = laws.longer(row.start, upper.start, 1.0, depth, row.rate)
                allowance += 2 * (row.doubt + upper.doubt)
                wrong = 3 if depth == 2 else 2
                first = row.start ** (1 / depth)
                rounding = 2 * UNIT * row.steps * first / laws.speed(first, 1.0, depth)
                found |= {"upper": upper.start, "longer": row.time - upper.time, "longer_predicted": longer, "allowance": allowance,
                          "wrong": laws.longer(row.start, upper.start, 1.0, wrong, row.rate)[0], "rounding": rounding}  # fmt: skip
            rows.append(found)
            upper = row
    return pd.DataFrame(rows)


def plateaus_claim(waits: pd.DataFrame) -> Claim | None:
    if "longer" not in waits:
        return None
    rows = waits.dropna(subset="upper")
    frame = pd.DataFrame(
        {"backend": rows.backend, "measured": rows.longer, "standard_error": rows.rounding, "predicted": rows.longer_predicted,
         "allowance": rows.allowance, "control_predicted": rows.wrong,
         "condition": [f"{named(r.depth)}, u₀ from {r.upper:g} to {r.start:g}" for r in rows.itertuples()]}
    )  # fmt: skip
    return Claim(
        "plateaus",
        "y = w1 w2 … wn x from small weights waits: two factors by ln(1/u₀)/2s, more by u₀^(2/N−1)/((N−2)s), no logarithm but a power.",
        "notes: y = w1 w2 … wn x; derived in laws.py",
        "How much a smaller start prolongs the time to the half. Open by u₀/(s−u₀), the plateau's own end, and twice the term in η².",
        "the logarithm for N > 2, the power of three layers for N = 2",
        frame,
    )
