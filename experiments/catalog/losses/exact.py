"""Claims of identities, of what guessing costs, and of how binary cross-entropy is rounded."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.catalog.losses import laws
from experiments.claims import Claim

UNIT = 2.0**-53
ROUNDING = "Some units of rounding, u = 1.1e-16, times the numbers that are subtracted on the way, count as the standard error."
BITS = "Not one bit may differ."
NOTES = "the notes"
IDENTITIES = {  # name of the claim, then: identity in the table, statement, source, basis, control
    "binary cross-entropy": (
        "value, binary cross-entropy",
        "J = −(1/n) Σ [y ln a + (1−y) ln(1−a)], the brackets being meant: both implementations give it.",
        NOTES,
        "The formula to fifty digits. " + ROUNDING,
        "the notes' line read literally: the minus before the first term alone",
    ),
    "cross-entropy": (
        "value, cross-entropy",
        "J = −(1/n) Σ_i Σ_k y_ki ln ŷ_ki, of labels and of class probabilities.",
        NOTES,
        "The formula to fifty digits. " + ROUNDING,
        "without 1/n",
    ),
    "one-hot": (
        "one-hot",
        "Integer labels and the indicator matrix are the same target: the same loss and gradient of every example, bit for bit.",
        NOTES,
        "The share of what differs. " + BITS,
        "the indicator of the neighbouring class",
    ),
    "two classes": (
        "two classes",
        "Binary cross-entropy is cross-entropy of two classes with logits (z, 0), for σ(z) is softmax(z, 0).",
        "e^z/(e^z + 1) = 1/(1 + e^−z)",
        "Each implementation's one loss against its other. " + ROUNDING,
        "logits (z, −z), which is σ(2z)",
    ),
    "p − y, sigmoid": (
        "gradient, binary cross-entropy",
        "∂J/∂z = (σ(z) − y)/n: the gradients that the implementations give, and difference quotients of their losses.",
        "chain rule: (a−y)/(a(1−a)) · a(1−a)",
        ROUNDING + " A quotient leaves out h²/6 times a third derivative of 1/(6√3) at most, which is allowed for.",
        "p − y without 1/n",
    ),
    "p − y, softmax": (
        "gradient, cross-entropy",
        "∂J/∂z = (softmax(z) − y)/n: the gradients that the implementations give, and difference quotients of their losses.",
        "chain rule, Σ_k y_k = 1",
        ROUNDING + " A quotient leaves out h²/6 times a third derivative of 1/(6√3) at most, which is allowed for.",
        "p − y without 1/n",
    ),
    "least loss": (
        "entropy",
        "Of soft answers y the least cross-entropy is their entropy, at p = y, where the gradient is 0; elsewhere it is more by KL(y‖p).",
        "Gibbs' inequality",
        "Entropy and divergence from their own formulas. " + ROUNDING,
        "the loss at the other of the two places",
    ),
    "shift": (
        "shift",
        "The same number added to all logits changes neither loss nor gradient, even ±1024, where e^z overflows or is 0.",
        "e^(z+c)/Σ e^(z+c) = e^z/Σ e^z",
        "The sums z + c are exact, and the largest logit is subtracted before e^z is taken. " + BITS,
        "softmax as the notes write it",
    ),
}
KEY = ["backend", "dtype", "y", "side"]


def claims(given: dict[str, pd.DataFrame]) -> list[Claim]:
    """All of them, from the tables by name."""
    return [
        *(identity(name, given["identities"]) for name in IDENTITIES),
        guessing(given["guessing"]),
        thresholds(given["thresholds"]),
        digits(given["digits"]),
        outcomes(given["accuracy"]),
        stable(given["accuracy"]),
        tails(given["digits"]),
    ]


def identity(name: str, identities: pd.DataFrame) -> Claim:
    which, statement, source, basis, control = IDENTITIES[name]
    rows = identities[identities.identity == which].dropna(axis=1, how="all")
    rows = rows.fillna({"allowance": 0.0})
    return Claim(name, statement, source, basis, control, rows.drop(columns="identity", errors="ignore"))


def guessing(guesses: pd.DataFrame) -> Claim:
    """Rounding: a sum of n numbers, √n·u of it."""
    rows = guesses.copy()
    shares = [np.array(one.split(), float) / n for one, n in zip(rows.shares, rows.examples, strict=True)]
    entropy, even = np.array([-(p * np.log(p)).sum() for p in shares]), np.log(rows.classes.astype(float))
    known = rows.kind == "class shares"
    rows["predicted"], rows["control_predicted"] = np.where(known, entropy, even), np.where(known, even, entropy)
    rows["standard_error"] = UNIT * np.sqrt(rows.examples.astype(float)) * rows.predicted
    return Claim(
        "guessing",
        "With all weights zero the loss is ln K, perplexity K: ln 10 on digits; who knows only the class shares pays their entropy.",
        "p = 1/K; Gibbs' inequality",
        "Closed forms; √n·u of the loss counts as the standard error.",
        "the other of the two: on digits they differ by 0.0004",
        rows.assign(condition=rows.data + ", " + rows.kind),
    )


def thresholds(found: pd.DataFrame) -> Claim:
    other = found.dtype.map({"float64": "float32", "float32": "float64"})
    rows = found.assign(
        condition=found.dtype + ", " + found.step,
        standard_error=found.spacing,
        predicted=[laws.breaks(*pair) for pair in zip(found.step, found.dtype, strict=True)],
        control_predicted=[laws.breaks(*pair) for pair in zip(found.step, other, strict=True)],
    )
    return Claim(
        "where it breaks",
        "σ(z) is 1 from z = 36.74 on (float32: 16.64); e^z overflows from 709.78 on (88.72), and e^−z is 0 from 745.13 on (103.97).",
        "IEEE 754: p bits and the largest exponent",
        "Half a spacing of the numbers around 1, above the largest and below the smallest; the spacing of z counts as the standard error.",
        "the other precision's",
        rows,
    )


def digits(measured: pd.DataFrame) -> Claim:
    rows = measured[measured.form == "naive"]
    law = np.array([laws.lost(*pair) for pair in zip(rows.y, rows.side, strict=True)])
    return Claim(
        "digits lost",
        "Before that, the naive formula loses digits as e^|z|: the rounding of 1 + e^−z (±u) or of 1 − σ (±u/2) is all that is wrong.",
        "a uniform rounding error: mean square 1/3 or 1/12 in units of u²",
        "Mean square of J's error over random z, divided by u² (and by e^2z where the answer is wrong).",
        "one rounding just below 1 for all (±u/2), or above 1 for all (±u)",
        rows.assign(condition=conditions(rows), predicted=law, control_predicted=5 / 12 - law),
    )


def conditions(rows: pd.DataFrame) -> pd.Series:
    return rows.dtype + ", y = " + rows.y.astype(str) + ", " + rows.side


def outcomes(accuracy: pd.DataFrame) -> Claim:
    """The share of the grid on which each form gives what the naive one should."""
    expected = [
        laws.outcome(y, side, abs(z), dtype)
        for y, side, z, dtype in accuracy[["y", "side", "z", "dtype"]].itertuples(index=False)
    ]
    met = accuracy.assign(met=(accuracy.kind == expected).astype(float)).groupby([*KEY, "form"], sort=False).met.mean()
    rows = met.unstack("form").reindex(columns=["naive", "stable"]).reset_index()
    rows = rows.assign(
        condition=conditions(rows), measured=rows.naive, control_measured=rows.stable, predicted=1.0, standard_error=0.0
    )
    return Claim(
        "what it gives then",
        "From −10⁴ to 10⁴ the naive formula gives a number, 0, ∞ or NaN exactly where predicted: NaN (0·ln 0) even for right answers.",
        "IEEE 754: ln 0 = −∞, 0·∞ = NaN",
        "The share of 121 logits of each kind; none may be otherwise.",
        "the stable formula, which never gives ∞ or NaN",
        rows,
    )


def stable(accuracy: pd.DataFrame) -> Claim:
    """The worst logit of each kind, and the naive formula's worst; where it is NaN it counts as ∞."""
    rows = []
    for key, group in accuracy.groupby(KEY, sort=False):
        unit = UNIT if key[1] == "float64" else 2.0**-24
        forms = {form: one.assign(scale=unit * (one.z.abs() + one.exact)) for form, one in group.groupby("form")}
        at, bad = ((f.error.fillna(np.inf).abs() / f.scale).idxmax() for f in (forms["stable"], forms["naive"]))
        one, other = forms["stable"].loc[at], forms["naive"].loc[bad]
        rows.append({
            **dict(zip(KEY, key, strict=True)), "measured": one.error, "predicted": 0.0, "standard_error": one.scale,
            "control_measured": np.inf if np.isnan(other.error) else other.error, "control_error": other.scale,
        })  # fmt: skip
    table = pd.DataFrame(rows, columns=None if rows else [*KEY, "measured"])
    return Claim(
        "stable",
        "From logits, max(z, 0) − zy + ln(1 + e^−|z|): right from −10⁴ to 10⁴ to some roundings of the largest number in it.",
        "the same formula, rearranged",
        "Errors against fifty digits; u(|z| + J) counts as the standard error.",
        "the naive formula",
        table.assign(condition=conditions(table)) if rows else table,
    )


def tails(measured: pd.DataFrame) -> Claim:
    """Right answers y = 0: scratch's error is some u of J itself, which is e^−20 at most, or e^−10 in float32."""
    right = measured[(measured.y == 0) & (measured.side == "right")]
    naive = right[right.form == "naive"].set_index(["dtype", "backend"]).measured
    rows = right[right.form == "stable"].copy()
    theirs = rows.backend == "torchref"
    rows["predicted"] = np.where(theirs, rows.dtype.map(laws.lost_by_pytorch), 0.0)
    largest = rows.dtype.map({"float64": np.exp(-20.0), "float32": np.exp(-10.0)}).astype(float)
    rows["standard_error"] = np.where(theirs, rows.standard_error, (2 * largest) ** 2)
    rows["control_measured"] = [naive[pair] for pair in zip(rows.dtype, rows.backend, strict=True)]
    return Claim(
        "a right no costs nothing",
        "For y = 0 and z ≪ 0 the loss is e^z. scratch keeps all its digits; PyTorch's stable form rounds it as coarsely as z itself, and "
        "loses more digits than the naive formula does.",
        "PyTorch issue 195529; (1−y)z − ln σ(z)",
        "Mean square error in units of u²: a uniform rounding of numbers like z, spacing 32u (float32: 16u), against 2u of J itself.",
        "the naive formula, ±u/2",
        rows.assign(condition=rows.dtype + ", " + rows.backend.map({"scratch": "J", "torchref": "J"})),
    )
