"""Claims about one layer that hold to rounding: u, times what the parts say that it grows by."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.catalog.batch_norm import laws
from experiments.catalog.batch_norm.common import BATCH
from experiments.claims import Claim

ROUNDING = 2.0**-53


def moment_claims(units: pd.DataFrame) -> list[Claim]:
    """Mean and variance of every unit; the control is the same unit with layer norm in batch norm's place."""
    key = ["backend", "scale", "seed", "unit"]
    ours, other = (units[units.layer == layer].set_index(key) for layer in ("batch", "layer"))
    other = other.reindex(ours.index)
    deviation = np.sqrt(ours.variance_before + ours.epsilon)
    length, root = abs(ours.mean_before) + np.sqrt(ours.variance_before), np.sqrt(BATCH)
    affine = abs(ours.gamma) + abs(ours.beta)
    mean_error = ROUNDING * (root * abs(ours.gamma) * length / deviation + 4 * affine)
    spread = np.sqrt(ours.variance)
    moved = 4 * ours.variance + 2 * spread * affine + 2 * spread * abs(ours.gamma) * length / deviation
    law = laws.shrunk(ours.variance_before, ours.epsilon)
    found = {
        "mean": (ours["mean"] - ours.beta, 0.0, mean_error, other["mean"] - other.beta),
        "variance": (ours.variance / ours.gamma**2, law, ROUNDING * root * moved / ours.gamma**2, other.variance / other.gamma**2),
    }  # fmt: skip
    frames = {}
    for name, (measured, predicted, error, control) in found.items():
        columns = {"measured": measured, "predicted": predicted, "standard_error": error, "control_measured": control}
        frame = pd.DataFrame(columns).reset_index()
        chosen = farthest(frame, "scale")
        frames[name] = chosen.assign(condition=[f"weights × {s:g}" for s in chosen.scale]).drop(columns="scale")
    said = {
        "mean": ("zero mean", "In training every unit has mean 0 over the batch, or β, which is learned in its place."),
        "variance": ("unit variance", "Its variance is σ²/(σ² + ε), or γ² times that: 1 as long as σ² is far above ε."),
    }
    basis = "The unit farthest off, for each size of the weights. Standard error: rounding, √m·u times the sizes of what is added up."
    source = "the notes; Ioffe & Szegedy 2015, Algorithm 1"
    return [Claim(*said[name], source, basis, "layer norm in its place", frame) for name, frame in frames.items()]


SAID = {
    "orthogonal": (
        "gradients are orthogonal to weights",
        "With batch norm above it, a unit's weight vector and its gradient are orthogonal: w·∂L/∂w = 0.",
        "the loss does not depend on the length of w (Euler's theorem on homogeneous functions)",
        "the cosine of the two without batch norm",
    ),
    "stretch": (
        "larger weights, smaller gradients",
        "Weights a times as large have gradients 1/a times as large: ‖a ∂L/∂(aw) − ∂L/∂w‖ = 0.",
        "Ioffe & Szegedy 2015, section 3.3",
        "without batch norm",
    ),
    "projection": (
        "what batch norm takes from a gradient",
        "‖∂L/∂z‖² = (γ²/σ²)(‖g‖² − (1ᵀg)²/m − (gᵀx̂)²/m): the parts along 1 and along x̂ are lost.",
        "Santurkar et al. 2018, Theorem 4.1, here an equality",
        "without the last term, as if σ did not depend on the inputs",
    ),
}


def algebra_claims(algebra: pd.DataFrame) -> list[Claim]:
    claims = []
    for identity, (name, statement, source, control) in SAID.items():
        rows = algebra[algebra.identity == identity]
        frame = pd.DataFrame(
            {
                "backend": rows.backend,
                "condition": [f"weights × {row.stretch:g}, network {row.seed}" for row in rows.itertuples()],
                "measured": rows.value,
                "predicted": 0.0,
                "standard_error": ROUNDING * rows.error.astype(float),
                "control_measured": rows.control,
            }
        )
        basis = "The unit farthest off in each network. Standard error: u times √k, k the numbers added up, times the size of what cancels."
        claims.append(Claim(name, statement, source, basis, control, frame))
    return claims


def growth_claim(growth: pd.DataFrame, steps: int) -> Claim:
    ended = growth[growth.step == growth.step.max()]
    key = ["backend", "rate", "seed"]
    ours, plain = (ended[ended.norm == norm].set_index(key) for norm in ("batch", "none"))
    plain = plain.reindex(ours.index)
    columns = {
        "measured": ours.value,
        "predicted": ours.predicted,
        "standard_error": ROUNDING * ours.error.astype(float),
    }
    frame = pd.DataFrame(
        columns | {"control_measured": plain.value, "control_predicted": plain.predicted}
    ).reset_index()
    frame["condition"] = [f"η = {row.rate:g}, network {row.seed}" for row in frame.itertuples()]
    return Claim(
        "weights only grow",
        f"After {steps} steps of gradient descent ‖W‖² is what it was plus η² times the sum of all ‖∂L/∂W‖².",
        "Pythagoras: each step is orthogonal to the weights",
        "Standard error: rounding of the weights, and of w·∂L/∂w in every step, summed.",
        "without batch norm",
        frame.drop(columns=["rate", "seed"]),
    )


def limited_claim(table: pd.DataFrame) -> Claim:
    """The unit farthest off for each rate, over all networks."""
    key = ["backend", "rate", "seed", "unit"]
    ours, plain = (table[table.norm == norm].set_index(key) for norm in ("batch", "none"))
    plain = plain.reindex(ours.index)
    columns = {
        "measured": ours.share,
        "predicted": laws.limited(ours["push"].astype(float)),
        "standard_error": ROUNDING * ours.error.astype(float),
        "control_measured": plain.share,
        "control_predicted": laws.limited(plain["push"].astype(float)),
    }
    frame = pd.DataFrame(columns).reset_index()
    chosen = farthest(frame, "rate")
    return Claim(
        "a step limits its own rate",
        "After one step η/‖w‖² is 2x/(1 + x²) ≤ 1 in units of 1/(2‖w‖‖g‖), x = η‖g‖/‖w‖: a rate too large makes itself small.",
        "Pythagoras: the step is orthogonal to the weights",
        "The unit farthest off, for each rate. Standard error: rounding of the weights, and of w·∂L/∂w.",
        "without batch norm",
        chosen.assign(condition=[f"η = {rate:g}" for rate in chosen.rate]).drop(columns="rate"),
    )


def farthest(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """For each condition the unit of all networks that lies farthest off for its error, in either implementation: two rows."""
    unit = [condition, "seed", "unit"]
    z = (abs(frame.measured - frame.predicted) / frame.standard_error).astype(float)
    worst = z.groupby([frame[name] for name in unit]).max().groupby(level=condition, sort=False).idxmax()
    return frame.set_index(unit).loc[list(worst)].reset_index().drop(columns=unit[1:])


def pair_claims(pairs: pd.DataFrame) -> list[Claim]:
    """Two examples: their outputs, and what is let through of a gradient; the control is the same two and a third."""
    key = ["backend", "scale", "seed", "unit"]
    ours, other = (pairs[pairs.examples == count].set_index(key).astype(float) for count in (2, 3))
    other = other.reindex(ours.index)
    law = laws.pair(ours.distance, ours.epsilon)
    moved = ours.reach / ours.distance  # of d, by rounding of the inputs
    found = {
        "output": (law, 4 + 4 * ours.output_size + moved * law),
        "passed": (1 - law**2, 8 + 8 * ours.gradient_size + moved),
    }
    said = {
        "output": (
            "two examples: a sign",
            "In a batch of two a unit gives ±1/√(1 + 4ε/d²), d the distance of its inputs: which of the two is larger, and no more.",
            "mean and variance of two numbers",
        ),
        "passed": (
            "two examples: no gradient",
            "Of their gradients batch norm lets ε/(d²/4 + ε) through: what lies below it cannot learn.",
            "the parts along 1 and along x̂ are all that two numbers have",
        ),
    }
    claims = []
    for name, (predicted, error) in found.items():
        columns = {"measured": ours[name], "predicted": predicted, "standard_error": ROUNDING * error}
        frame = pd.DataFrame(columns | {"control_measured": other[name]}).reset_index()
        chosen = farthest(frame, "scale")
        chosen = chosen.assign(condition=[f"weights × {scale:g}" for scale in chosen.scale]).drop(columns="scale")
        basis = "The unit farthest off. Standard error: u times the sizes of what cancels, and rounding of the inputs over their distance."
        claims.append(Claim(*said[name], basis, "a third example in the batch", chosen))
    return claims


def refusal_claim(refusal: pd.DataFrame) -> Claim:
    ours, other = (refusal[refusal.examples == count].set_index("backend").refused for count in (1, 2))
    columns = {"measured": ours, "predicted": 1.0, "standard_error": ROUNDING, "control_measured": other}
    return Claim(
        "one example is refused",
        "A batch of one has no variance: its output would be β whatever the input. Training on it is refused (1: yes).",
        "the definition; nn.BatchNorm1d, which says so too",
        "Tried; what both say stands in tables/refusal.csv.",
        "a batch of two",
        pd.DataFrame(columns).reset_index().assign(condition="a batch of one"),
    )
