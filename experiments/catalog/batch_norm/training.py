"""Claims about networks that are trained: Ioffe & Szegedy's first figure, and how large a learning rate may be."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.catalog.batch_norm import laws
from experiments.catalog.batch_norm.rates import NOISY
from experiments.claims import Claim

GOAL, TIMES = 0.9, 5  # share of the test digits to be got right, and how many times sooner with batch norm
WORKS = 0.8  # share of the test digits that a learning rate which works gets right, after few steps
LARGER = {"hidden": 1.0, "everywhere": 30.0}  # how many times larger at least; 30: Ioffe & Szegedy's boldest
PLACES = {"none": "without batch norm", "hidden": "below every ReLU", "everywhere": "over every layer, weights alone"}


# --- Ioffe & Szegedy's first figure ----------------------------------------------------------------------------------------


def reached(accuracy: pd.DataFrame, steps: int) -> pd.DataFrame:
    """Between which two looks each network got to 90 %: not yet at ``after``, but at ``by`` (none: not until the last step)."""
    rows = []
    for (backend, norm, seed), run in accuracy.sort_values("step").groupby(["backend", "norm", "seed"], sort=False):
        there = run[run.value >= GOAL].step
        by = there.min() if len(there) else np.nan
        before = run[run.step < by].step if len(there) else run.step
        last = {"after": before.max() if len(before) else 0, "by": by, "finally": run.value.iloc[-1]}
        rows.append({"backend": backend, "norm": norm, "seed": seed} | last)
    columns = ["backend", "norm", "seed", "after", "by", "finally"]
    found = pd.DataFrame(rows, columns=columns).sort_values(columns[:3], ignore_index=True)
    return found.astype({"after": float, "by": float})


def faster_claim(times: pd.DataFrame) -> Claim:
    rows = []
    for backend, found in times.groupby("backend", sort=False):
        ours, plain = (found[found.norm == norm].set_index("seed") for norm in ("batch", "none"))
        gain = np.log(plain.after / ours.by)  # the least that it can be
        other = np.roll(plain.by.fillna(plain.after), 1)
        control = np.log(np.maximum(plain.after, 1) / other)
        if len(gain):
            rows.append(
                {"backend": backend, "condition": f"{len(gain)} networks", "measured": gain.mean(skipna=False), "predicted": np.log(TIMES),
                 "standard_error": gain.sem(), "dof": len(gain) - 1, "control_measured": control.mean(), "control_error": control.sem()}
            )  # fmt: skip
    return Claim(
        "far fewer steps",
        f"With batch norm, {GOAL:.0%} of the test digits are right after at most a {TIMES}th of the steps (logarithm of the ratio).",
        "Ioffe & Szegedy 2015, Figure 1 (there: MNIST)",
        "Seeds paired: same weights and batches. Looks are apart in time, and who is not there by the end is counted as there at the "
        "end: so the ratio is a lower bound. Student's t.",
        "networks without batch norm against each other",
        pd.DataFrame(rows),
        "at least",
    )


def drift_claim(drift: pd.DataFrame) -> Claim:
    rows = []
    for backend, found in drift.groupby("backend", sort=False):
        wide = np.log(found.pivot(index="seed", columns="norm", values="value").astype(float))
        if {"batch", "none"} <= {*wide.columns}:
            less = wide["none"] - wide["batch"]
            rows.append(
                {"backend": backend, "condition": f"{len(less)} networks", "measured": less.mean(), "predicted": 0.0,
                 "standard_error": less.sem(), "dof": len(less) - 1, "control_measured": -less.mean()}
            )  # fmt: skip
    return Claim(
        "less drift",
        "The inputs of the last hidden layer's sigmoids drift less with batch norm (logarithm of the ratio of drifts).",
        "Ioffe & Szegedy 2015, Figure 1",
        "Drift: how much a unit's median moves in units of its distribution's width, mean over units. Seeds paired, Student's t.",
        "the two exchanged",
        pd.DataFrame(rows),
        "at least",
    )


def means(accuracy: pd.DataFrame) -> pd.DataFrame:
    grouped = accuracy.groupby(["backend", "norm", "step"], sort=False).value
    table = pd.DataFrame({"measured": grouped.mean().astype(float), "standard_error": grouped.sem().astype(float)})
    return table.reset_index()


# --- how large a learning rate may be --------------------------------------------------------------------------------------


def threshold_claim(table: pd.DataFrame) -> Claim:
    """From the logarithms of both ends of the bracket; its width is the uncertainty."""
    key = ["backend", "mean", "seed"]
    ours, other = (
        table[table.norm == norm].drop(columns="norm").set_index(key).astype(float) for norm in ("none", "batch")
    )
    middle, width = (np.log(ours.low) + np.log(ours.high)) / 2, np.log(ours.high) - np.log(ours.low)
    columns = {"measured": middle, "predicted": np.log(2 / ours.sharpness), "standard_error": width / np.sqrt(12)}
    frame = pd.DataFrame(columns | {"control_measured": np.log(other.high).reindex(ours.index)}).reset_index()
    frame["condition"] = [f"inputs of mean {row.mean:g}, data {row.seed}" for row in frame.itertuples()]
    return Claim(
        "the largest rate",
        "Without batch norm gradient descent on a linear unit diverges above η = 2/λ, λ the loss's largest curvature (logarithm of η).",
        "each step multiplies the error along an eigenvector by 1 − ηλ",
        "λ by power iteration on gradients. The rate by trying many, then many between those two where it begins to diverge: the last two "
        "are the interval, as if the rate were uniform between them.",
        "batch norm after the unit, whose loss does not diverge at any rate tried: the largest",
        frame.drop(columns=["mean", "seed"]),
    )


def closed_in(table: pd.DataFrame) -> pd.DataFrame:
    """The largest rates for each mean of the inputs, geometric means over the data, as measured and as 2/λ."""
    logs = table[["backend", "norm", "mean", "seed"]].assign(
        measured=np.log(table.low * table.high) / 2, predicted=np.log(2 / table.sharpness.astype(float))
    )
    found = np.exp(
        logs.groupby(["backend", "norm", "mean"], sort=False)[["measured", "predicted"]].mean().astype(float)
    )
    return found.reset_index().assign(standard_error=0.0)


def outgrown(table: pd.DataFrame) -> pd.DataFrame:
    """Effective rates η/√E‖w‖⁴, measured and predicted; ``limit``: 1/√(2Gt), what is left of any rate."""
    laws_of = {rate: laws.fourth(rate, int(of.step.max()), *NOISY) for rate, of in table.groupby("rate")}
    law = np.array([laws_of[row.rate][row.step] for row in table.itertuples()], float)
    effective = table.rate / np.sqrt(table.fourth.astype(float))
    found = table[["backend", "norm", "rate", "step"]].assign(measured=effective, predicted=table.rate / np.sqrt(law))
    half = (table.fourth_error / table.fourth).astype(float) / 2
    with np.errstate(divide="ignore"):
        limit = 1 / np.sqrt(2 * laws.noise(*NOISY)[0] * table.step.astype(float))
    return found.assign(standard_error=effective * half, dof=table.chains - 1, limit=limit)


def outgrown_claim(found: pd.DataFrame) -> Claim:
    key = ["backend", "rate", "step"]
    late = found[found.step > 0]
    ours, plain = (late[late.norm == norm].set_index(key) for norm in ("batch", "none"))
    frame = ours[["measured", "predicted", "standard_error", "dof"]].assign(allowance=ours.predicted * laws.JENSEN / 2)
    frame[["control_measured", "control_error"]] = plain.reindex(ours.index)[["measured", "standard_error"]]
    frame = frame.reset_index()
    frame["condition"] = [f"η = {row.rate:g}, step {row.step}" for row in frame.itertuples()]
    return Claim(
        "the rate tunes itself",
        "Fed noise, weights grow like ‖w‖⁴ = 1 + 2η²Gt, and so the effective rate η/‖w‖² becomes 1/√(2Gt), whatever η.",
        "Arora, Li & Lyu 2019, with G worked out for one unit",
        "Mean of ‖w‖⁴ over independent units, Student's t; G from χ² variables. Allowance: the mean of 1/‖w‖⁴ taken for 1 over the mean.",
        "without batch norm",
        frame.drop(columns=["rate", "step"]),
    )


def working(span: pd.DataFrame) -> pd.DataFrame:
    """For each network the largest rate that works, and the first above it that was tried and does not (none: all work)."""
    rows = []
    for (backend, kind, seed), run in span.sort_values("rate").groupby(["backend", "kind", "seed"], sort=False):
        works = run[run.value >= WORKS].rate
        largest = works.max() if len(works) else np.nan
        above = run[run.rate > largest].rate
        ends = {"smallest": works.min(), "largest": largest, "fails": above.min() if len(above) else np.nan}
        rows.append({"backend": backend, "kind": kind, "seed": seed} | ends)
    columns = ["backend", "kind", "seed", "smallest", "largest", "fails"]
    found = pd.DataFrame(rows, columns=columns).sort_values(columns[:3], ignore_index=True)
    return found.astype(dict.fromkeys(columns[3:], float))


def larger_claim(ends: pd.DataFrame) -> Claim:
    rows = []
    for backend, found in ends.groupby("backend", sort=False):
        by_kind = {kind: of.set_index("seed") for kind, of in found.groupby("kind")}
        for kind, ours in by_kind.items():
            if kind in LARGER and "none" in by_kind:
                plain = by_kind["none"]
                gain = np.log10(ours.largest / plain.fails)  # the least that it can be
                other = np.log10(plain.largest / ours.largest)
                shown = {"measured": gain.mean(skipna=False), "standard_error": gain.sem(), "dof": len(gain) - 1}
                held = {
                    "predicted": np.log10(LARGER[kind]),
                    "control_measured": other.mean(),
                    "control_error": other.sem(),
                }
                rows.append({"backend": backend, "condition": PLACES[kind]} | shown | held)
    return Claim(
        "larger learning rates",
        "With batch norm below every ReLU larger rates still train; over every layer, with nothing learnt but weights, rates at least 30 "
        "times as large (log₁₀ of the ratio of the largest).",
        "Ioffe & Szegedy 2015, sections 3.3 and 4.2.1",
        f"Trained: {WORKS:.0%} of the test digits. The largest rate tried that trains, over the first beyond it that does not without "
        "batch norm: a lower bound. Seeds paired, Student's t.",
        "the two exchanged",
        pd.DataFrame(rows),
        "at least",
    )


def averaged(span: pd.DataFrame) -> pd.DataFrame:
    """Share of test digits right at each rate, mean over the networks."""
    grouped = span.groupby(["backend", "kind", "rate"], sort=False).value
    return pd.DataFrame({"measured": grouped.mean(), "standard_error": grouped.sem()}).astype(float).reset_index()
