"""Exact laws of random products, linear, narrow and dead networks, and of the depth scale: predictions and claims."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments import theory
from experiments.agreement import unit_roundoff
from experiments.catalog.vanishing_gradient.parts import SIGMA_B2
from experiments.claims import Claim
from scratch import activations
from scratch.layers import Array

FINITE_WIDTH = 2.5  # a mean-field law is of infinite width; log sizes may be off by about this times depth/width:
#                     it is the exact first-order term for ReLU (−5L/2n), and the scale for the others
EXACT = "Exact law of independent draws; standard error of the sample."
MEAN_FIELD = f"Mean-field law (width → ∞), open by {FINITE_WIDTH}/n a layer; Student's t over seeds."


def predicted_laws(laws: pd.DataFrame, dtype: str) -> pd.DataFrame:
    """The table of laws with what each row's statistic should be; rounding stands in where a law is an identity."""
    rows = laws.copy()
    rows["predicted"], rows["control"] = np.nan, np.nan
    unit = unit_roundoff(np.dtype(dtype))
    for (part, condition, statistic), group in rows.groupby(["part", "condition", "statistic"]):
        depth = group.depth.to_numpy()
        predicted, control, error = _law(str(part), str(condition), str(statistic), depth, unit)
        rows.loc[group.index, "predicted"], rows.loc[group.index, "control"] = predicted, control
        if error is not None:
            rows.loc[group.index, "standard_error"] = error
        elif part == "dead":  # the binomial error of the predicted share: a sample's own would be 0 where none died
            rows.loc[group.index, "standard_error"] = np.sqrt(predicted * (1 - predicted) / group["count"])
    return rows


def _law(part: str, condition: str, statistic: str, depth: Array, unit: float) -> tuple[Array, Array, Array | None]:
    """Prediction, the control's prediction, and for identities the error that rounding may make."""
    nothing, mean = np.full(len(depth), np.nan), statistic == "mean"
    if statistic == "farthest" and not (part == "ratio" or condition == "orthogonal"):
        return nothing, nothing, None
    match part:
        case "product":
            law = theory.product_moments(depth)
            return (law[0], 0 * law[0], None) if mean else (law[1], law[1] / depth, None)
        case "linear" if condition == "orthogonal":
            return 0.0 * depth, theory.linear_moments(10, depth)[0], 10 * np.sqrt(depth) * unit
        case "linear" | "narrow":
            law = (theory.linear_moments if part == "linear" else theory.relu_moments)(10, depth)
            return (law[0], 0 * law[0], None) if mean else (law[1], law[1] / depth, None)
        case "dead" if mean:
            width = int(condition.split()[-1])
            return theory.born_dead(width, depth), np.full(len(depth), 0.5**width), None
        case "ratio" if not mean:
            return (
                np.ones(len(depth)),
                np.full(len(depth), np.sqrt(2)),
                np.sqrt(int(condition.split()[-1]) * depth) * unit,
            )
        case "depth scale" if mean:
            sigma_w2 = float(condition.split(",")[0].split("=")[-1])
            _, chi = theory.fixed_point(activations.Tanh(), sigma_w2, SIGMA_B2)
            return np.full(len(depth), np.log(chi)), np.full(len(depth), np.log(sigma_w2)), None
    return nothing, nothing, None


def law_claims(laws: pd.DataFrame) -> list[Claim]:
    """All are exact but the last two, which hold for wide networks."""

    def of(part: str, statistic: str, condition: str | None = None) -> pd.DataFrame:
        rows = laws[(laws.part == part) & (laws.statistic == statistic)]
        rows = rows[rows.condition == condition] if condition else rows
        frame = rows[["backend", "measured", "standard_error", "predicted"]].assign(control_predicted=rows.control)
        return frame.assign(condition=rows.condition + ", " + rows.signal + ", depth " + rows.depth.astype(str))

    def wide(sigma_w2: str) -> pd.DataFrame:
        rows = laws[(laws.part == "depth scale") & (laws.statistic == "mean") & laws.condition.str.startswith(sigma_w2)]
        width = rows.condition.str.split().str[-1].astype(int)
        chosen = of("depth scale", "mean").loc[rows.index]
        return chosen.assign(dof=rows["count"] - 1, allowance=FINITE_WIDTH / width)

    return [
        Claim(
            name="product, mean",
            statement="A product of n random weights shrinks: the mean of log|w1 w2 … wn| is −0.6352 n for w ~ N(0, 1).",
            source="notes: y = w1 w2 … wn x; derived: E log|N(0, 1)| = −(γ + ln 2)/2",
            basis=EXACT,
            control="weights of size 1 leave the size of the product at 1 (log 0)",
            comparisons=of("product", "mean"),
        ),
        Claim(
            name="product, spread",
            statement="The variance of log|w1 w2 … wn| grows with every factor, by π²/8.",
            source="derived: Var log|N(0, 1)| = π²/8",
            basis=EXACT,
            control="the spread of one factor",
            comparisons=of("product", "variance"),
        ),
        Claim(
            name="deep linear, mean",
            statement="A linear network of width 10 shrinks signal and gradient with depth, even where E‖h‖² is kept (n·Var W = 1).",
            source="derived: each layer multiplies ‖h‖² by χ²_n/n; E log = ln(2/n) + ψ(n/2)",
            basis=EXACT,
            control="0: what keeps E‖h‖² also keeps E log ‖h‖²",
            comparisons=of("linear", "mean", "lecun"),
        ),
        Claim(
            name="deep linear, spread",
            statement="In a deep linear network the log size of signal and gradient spreads by ψ′(n/2) a layer.",
            source="derived: Var log χ²_n = ψ′(n/2)",
            basis=EXACT,
            control="the spread of one layer",
            comparisons=of("linear", "variance", "lecun"),
        ),
        Claim(
            name="orthogonal",
            statement="Orthogonal weights repair the linear case: every norm is kept at every depth, forward and backward.",
            source="Saxe 2014",
            basis="An identity; n·√depth roundings of size u are its error. The farthest of all networks is shown.",
            control="the law of Gaussian weights",
            comparisons=of("linear", "farthest", "orthogonal"),
        ),
        Claim(
            name="narrow ReLU, mean",
            statement="He's rule keeps E‖h‖², but in a narrow ReLU network (10 × 10) the typical signal still shrinks.",
            source="derived: K ~ Bin(n, ½) active units, a factor (2/n)χ²_K; about −5L/2n; compare Hanin 2018",
            basis=EXACT,
            control="the law of infinite width: nothing is lost",
            comparisons=of("narrow", "mean"),
        ),
        Claim(
            name="narrow ReLU, spread",
            statement="In a narrow ReLU network the log size of the signal spreads with every layer.",
            source="derived as above",
            basis=EXACT,
            control="the spread of one layer",
            comparisons=of("narrow", "variance"),
        ),
        Claim(
            name="born dead",
            statement="Narrow deep ReLU networks are born dead, for one input, with probability 1 − (1 − 2⁻ⁿ)^L: gradient exactly 0.",
            source="derived: a layer is dead if n signs are negative",
            basis="Exact law; binomial standard error.",
            control="one layer's 2⁻ⁿ, whatever the depth",
            comparisons=of("dead", "mean"),
        ),
        Claim(
            name="He over Xavier",
            statement="From the same draws, He's first-layer gradient is 2^((D−1)/2) times Xavier's in D layers of equal width.",
            source="derived: W_He = √2 W_Xavier and ReLU(ax) = a ReLU(x)",
            basis="An identity; √(n·D) roundings of size u are its error. Shown as a share of the predicted factor.",
            control="2^(D/2): one factor more",
            comparisons=of("ratio", "farthest"),
        ),
        Claim(
            name="depth scale, ordered",
            statement="Tanh with σ_w² = 1.3, σ_b² = 0.05: log ‖gradient‖² changes by ln χ₁ < 0 a layer on its way down.",
            source="Schoenholz 2017, χ₁ at the fixed point q* of Poole 2016",
            basis=MEAN_FIELD,
            control="ln σ_w²: the weights without the slope of tanh",
            comparisons=wide("σ_w²=1.3"),
        ),
        Claim(
            name="depth scale, chaotic",
            statement="Tanh with σ_w² = 2.5, σ_b² = 0.05: log ‖gradient‖² grows by ln χ₁ > 0 a layer on its way down, it explodes.",
            source="Schoenholz 2017, χ₁ at the fixed point q* of Poole 2016",
            basis=MEAN_FIELD,
            control="ln σ_w²: the weights without the slope of tanh",
            comparisons=wide("σ_w²=2.5"),
        ),
    ]
