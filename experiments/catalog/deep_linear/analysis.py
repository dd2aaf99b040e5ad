"""Measured times beside the predicted ones, and what is claimed of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.catalog.deep_linear import parts
from experiments.catalog.deep_linear.curves import (
    SAXE,
    curves_claim,
    maps_claim,
    named,
    plateaus_claim,
    predicted_curves,
    predicted_times,
    predicted_waits,
    stages_claim,
)
from experiments.catalog.deep_linear.geometry import (
    conservation_claims,
    descent_claims,
    drifts,
    flow_paths,
    reached,
    saddle_claim,
)
from experiments.catalog.deep_linear.parts import COLUMNS
from experiments.claims import Claim
from experiments.experiment import Analysis, Tables

if TYPE_CHECKING:
    from experiments.catalog.deep_linear import Options

NEXT_STEPS = (
    "`--depths 2 --start 1e-6 --modes 4 2 1 0.5`: longer plateaus, sharper stages.",
    "`--depths 8 --start 0.1 --rates 0.002`: the deeper, the more the curve resembles a step.",
    "`--random-depths 2 4 8 16 --random-time 400`: how far the orthogonal start stays flat.",
    "`--rates 0.02 0.01 0.005`: what finite steps add to the flow's times, order by order.",
)


def analyse(tables: Tables, options: Options) -> Analysis:
    tables = {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in COLUMNS.items()}
    times, waits = predicted_times(tables["crossings"], options), predicted_waits(tables["waits"])
    trend, drift = trends(tables["learned"]), drifts(tables["conservation"])
    ends = reached(tables["paths"])
    claims = [
        curves_claim(times),
        maps_claim(tables["maps"], options),
        stages_claim(times),
        plateaus_claim(waits),
        *random_claims(trend),
        *conservation_claims(tables["conservation"], drift),
        saddle_claim(tables["marks"]),
        *descent_claims(ends),
    ]
    derived = {
        "times": times,
        "predicted_curves": predicted_curves(tables["curves"], options),
        "plateaus": waits,
        "depth_costs": costs(tables["learned"]),
        "trends": trend,
        "drift": drift,
        "ends": ends,
        "flow_paths": flow_paths(),
    }
    return Analysis(
        derived, [c for c in claims if c is not None], partial(finding, times=times, waits=waits), NEXT_STEPS
    )


# --- random weights ----------------------------------------------------------------------------------------------------------


def costs(learned: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard error over seeds of ln(N·t) for every start and depth."""
    grouped = (
        learned.assign(log=np.log(learned.time.astype(float))).groupby(["init", "depth", "backend"], sort=False).log
    )
    return pd.DataFrame(
        {"measured": grouped.mean(), "standard_error": grouped.sem(), "never": grouped.size() - grouped.count()}
    ).reset_index()


def trends(learned: pd.DataFrame) -> pd.DataFrame:
    """Slope of ln(N·t) per layer, seed by seed: its mean and standard error; and the small Gaussian's less the orthogonal's.

    One network that never learns leaves no number.
    """
    columns = ["init", "backend", "shallowest", "deepest", "measured", "standard_error", "seeds"]
    depths = np.sort(learned.depth.unique().astype(float))
    if len(depths) < 2:
        return pd.DataFrame(columns=columns)
    away, rows = (depths - depths.mean()) / ((depths - depths.mean()) ** 2).sum(), []
    for backend, group in learned.groupby("backend", sort=False):
        logs = np.log(group.pivot(index=["init", "seed"], columns="depth", values="time").astype(float))
        slopes = {init: logs.loc[init].to_numpy() @ away for init in parts.INITS}
        slopes["difference"] = slopes[parts.INITS[-1]] - slopes["orthogonal"]
        for init, slope in slopes.items():
            error = slope.std(ddof=1) / np.sqrt(len(slope))
            rows.append((init, backend, int(depths[0]), int(depths[-1]), slope.mean(), error, len(slope)))
    return pd.DataFrame(rows, columns=columns)


def random_claims(trend: pd.DataFrame) -> list[Claim]:
    if trend.empty:
        return []
    by_init = {str(init): group.set_index("backend") for init, group in trend.groupby("init")}
    flat, small = by_init["orthogonal"], by_init[parts.INITS[-1]]
    low, high = flat.shallowest.min(), flat.deepest.max()
    limit = (2 / low - 2 / high) * np.log(max(parts.RANDOM_MODES)) / (high - low)
    depths = {"condition": f"{low} to {high} layers"}
    frame = pd.DataFrame({"measured": flat.measured, "standard_error": flat.standard_error, "dof": flat.seeds - 1})
    frame = frame.assign(**depths, predicted=limit, control_measured=small.measured, control_error=small.standard_error)
    apart = by_init["difference"]
    rising = pd.DataFrame({"measured": apart.measured, "standard_error": apart.standard_error, "dof": apart.seeds - 1})
    rising = rising.assign(**depths, predicted=0.0, control_measured=-apart.measured)
    return [
        Claim(
            "orthogonal starts do not pay for depth",
            "From orthogonal weights the time to learn, at a rate ∝ 1/N, stays bounded: ln(N·t) grows as far as 2/N₁ − 2/N₂ allows.",
            SAXE,
            "du/d(Nt) = u^(2−2/N)(s − u): with u between 1/s₁ and s₁, the strongest mode, more layers change it by s₁^(2/N₁−2/N₂) at most, "
            "for aligned modes; random ones must turn first, so this is a scale and no theorem. Student's t over seeds.",
            f"{parts.INITS[-1]} weights",
            frame.reset_index(),
            "at most",
        ),
        Claim(
            "small Gaussian starts do",
            f"From Gaussian weights of deviation {parts.SMALL}/√n ln(N·t) grows with every layer, by more than from orthogonal ones.",
            f"{SAXE}; a product of N factors shrinks (notes: vanishing gradient)",
            "Slope over depth less that of orthogonal weights, paired by seed (the target is the same); Student's t over seeds.",
            "the two starts exchanged",
            rising.reset_index(),
            "at least",
        ),
    ]


def finding(claims: pd.DataFrame, *, times: pd.DataFrame, waits: pd.DataFrame) -> str:
    """Three sentences."""
    verdict = f"{(claims.verdict == 'holds').sum()} of {len(claims)} claims hold in both implementations."
    chosen = times[(times.backend == "scratch") & np.isclose(times.level, 0.5) & (times.rate == times.rate.min())]
    deep = chosen[chosen.depth > 1]
    if deep.empty:
        return f"Without a deep network among the depths there are no stages to see. {verdict}"
    two = deep[deep.depth == deep.depth.min()].sort_values("mode", ascending=False)
    listed = " and ".join(
        f"{r.measured:.2f} (strength {r.mode:g}; predicted {r.predicted:.2f})" for r in two.iloc[[0, -1]].itertuples()
    )
    said = (
        f"A deep linear network learns in stages, the strongest mode first: with {named(two.depth.iloc[0])}, half of a mode is learned "
        f"at time {listed}, after a plateau; a shallow network has neither."
    )
    longest = waits[waits.backend == "scratch"].dropna(subset="longer") if "longer" in waits else waits[:0]
    if not longest.empty:
        row = longest.sort_values(["depth", "start"]).groupby("depth").first().reset_index().iloc[-1]
        said += (
            f" The more factors, the longer the plateau: from u₀ = {row.start:g}, y = w1…w{row.depth:.0f}x waits {row.measured:.1f}, "
            f"predicted {row.predicted:.1f}."
        )
    return f"{said} {verdict}"
