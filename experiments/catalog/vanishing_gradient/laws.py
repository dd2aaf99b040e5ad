"""What each law predicts: random products; linear, narrow and dead networks; depth scales; explosions; inputs that look alike."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments import theory
from experiments.agreement import unit_roundoff
from experiments.catalog.vanishing_gradient.exact import SIGMA_B2
from experiments.catalog.vanishing_gradient.repair_laws import correlations
from scratch import activations
from scratch.layers import Array

FINITE_WIDTH = 2.5  # a mean-field law is of infinite width; log sizes may be off by about this times depth/width:
#                     it is the exact first-order term for ReLU (−5L/2n), and the scale for the others

Law = tuple[
    Array, Array, Array | None
]  # prediction, the control's, and for identities the error that rounding may make


def predicted_laws(laws: pd.DataFrame, dtype: str) -> pd.DataFrame:
    """The table of laws with what each row's statistic should be; rounding stands in where a law is an identity."""
    rows = laws.copy()
    rows["predicted"], rows["control"] = np.nan, np.nan
    for (part, condition, signal, statistic), group in rows.groupby(["part", "condition", "signal", "statistic"]):
        law = _law(str(part), str(condition), str(signal), str(statistic), group.depth.to_numpy(), dtype)
        if law is None:
            continue
        predicted, control, error = law
        rows.loc[group.index, "predicted"], rows.loc[group.index, "control"] = predicted, control
        if error is not None:
            rows.loc[group.index, "standard_error"] = error
        elif part == "dead":  # the binomial error of the predicted share: a sample's own would be 0 where none died
            rows.loc[group.index, "standard_error"] = np.sqrt(predicted * (1 - predicted) / group["count"])
    return rows


def _law(part: str, condition: str, signal: str, statistic: str, depth: Array, dtype: str) -> Law | None:
    match part, statistic:
        case ("linear", "farthest") if condition == "orthogonal":
            unit = unit_roundoff(np.dtype(dtype))
            return 0.0 * depth, theory.linear_moments(10, depth)[0], 10 * np.sqrt(depth) * unit
        case ("linear", _) if condition == "orthogonal":
            return None
        case ("product" | "linear" | "narrow", "mean" | "variance"):
            return _moments(part, statistic, depth)
        case "dead", "mean":
            width = int(condition.split()[-1])
            return theory.born_dead(width, depth), np.full(len(depth), 0.5**width), None
        case "ratio", "farthest":
            return _identity(depth, np.sqrt(2), int(condition.split()[-1]), dtype)
        case ("exploding", "farthest") if signal.endswith("share"):
            return _identity(depth, np.sqrt(float(signal.split()[0])), int(condition.split()[-1]), dtype)
        case ("exploding", "mean") if not signal.endswith("share") and " × " in signal:
            return (depth - 1) * np.log(float(signal.split()[0])), 0.0 * depth, None
        case "lookalike", "mean":
            start = float(signal.split()[-1])
            return correlations(start, int(depth.max()))[depth - 1], np.full(len(depth), start), None
        case "depth scale", "mean":
            sigma_w2 = float(condition.split(",")[0].split("=")[-1])
            _, chi = theory.fixed_point(activations.Tanh(), sigma_w2, SIGMA_B2)
            return np.full(len(depth), np.log(chi)), np.full(len(depth), np.log(sigma_w2)), None
    return None


def _moments(part: str, statistic: str, depth: Array) -> Law:
    """Mean and variance grow with depth; the controls: nothing is lost, and the spread of one layer."""
    narrow = theory.linear_moments if part == "linear" else theory.relu_moments
    mean, variance = theory.product_moments(depth) if part == "product" else narrow(10, depth)
    return (mean, 0.0 * depth, None) if statistic == "mean" else (variance, variance / depth, None)


def _identity(depth: Array, control: float, width: int, dtype: str) -> Law:
    """1, with √(n·D) roundings as its error; the control is one factor more."""
    ones = np.ones(len(depth))
    return ones, control * ones, np.sqrt(width * depth) * unit_roundoff(np.dtype(dtype))
