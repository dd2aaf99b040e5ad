"""From rows to claims: what holds for wide networks, in the mean, or by measurement. What is exact stands in exact.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.catalog.batch_norm import laws, training
from experiments.catalog.batch_norm.common import POPULATION
from experiments.catalog.batch_norm.exact import (
    algebra_claims,
    growth_claim,
    limited_claim,
    moment_claims,
    pair_claims,
    refusal_claim,
)
from experiments.claims import Claim
from experiments.experiment import Analysis, Tables

if TYPE_CHECKING:
    from experiments.catalog.batch_norm import Options

COLUMNS = {
    "units": [
        *("backend", "layer", "scale", "seed", "unit", "epsilon", "gamma", "beta"),
        *("mean_before", "variance_before", "mean", "variance"),
    ],
    "algebra": ["backend", "identity", "stretch", "seed", "value", "error", "control"],
    "growth": ["backend", "norm", "rate", "step", "seed", "value", "predicted", "error"],
    "measurements": ["backend", "kind", "norm", "batch", "width", "seed", "layer", "value"],
    "pairs": [
        *("scale", "seed", "unit", "distance", "output", "output_size", "passed", "gradient_size", "reach"),
        *("backend", "examples", "epsilon"),
    ],
    "refusal": ["backend", "examples", "refused", "message"],
    "limited": ["rate", "seed", "unit", "push", "share", "error", "backend", "norm"],
    "threshold": ["mean", "seed", "backend", "norm", "sharpness", "low", "high"],
    "tuned": ["backend", "norm", "rate", "step", "chains", "fourth", "fourth_error"],
    "span": ["rate", "seed", "backend", "kind", "value"],
    "running": ["backend", "batch", "step", "statistic", "units", "momentum", "average", "spread"],
    "gap": ["backend", "batch", "measured", "standard_error", "dof"],
    "accuracy": ["backend", "norm", "step", "seed", "value"],
    "inputs": ["backend", "norm", "step", "percentile", "value"],
    "drift": ["backend", "norm", "seed", "value"],
    "agreement": ["part", "condition", "step", "layer", "quantity", "difference", "relative", "bound", "ratio"],
}
NEXT_STEPS = (
    "`--tried-steps 1500`: rates that are far too large should only take longer, where batch norm stands over every layer.",
    "`--width 1024 --batches 256`: large batches need still wider layers; the rate goes on to π/(π − 1).",
    "`--depth 40`: the rate holds from the first layer to the last; at what depth do such networks stop learning?",
    "`--train-steps 8000`: with batch norm the digits are learnt sooner; who ends higher?",
    "`--averaged 2`: an unbiased variance of two examples is so scattered that ten batches' average still is.",
)


def analyse(tables: Tables, options: Options) -> Analysis:
    tables = {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in COLUMNS.items()}
    slopes = slopes_of(tables["measurements"], options.depth)
    rates, profile = extrapolated(slopes, options.width), profiles(tables["measurements"], options)
    followed = predicted_averages(tables["running"])
    gaps = tables["gap"].assign(predicted=[laws.gap(batch) for batch in tables["gap"].batch])
    times = training.reached(tables["accuracy"], options.train_steps)
    ends, outgrown = training.working(tables["span"]), training.outgrown(tables["tuned"])
    claims = [
        *moment_claims(tables["units"]),
        *pair_claims(tables["pairs"]),
        refusal_claim(tables["refusal"]),
        *algebra_claims(tables["algebra"]),
        growth_claim(tables["growth"], options.steps),
        limited_claim(tables["limited"]),
        training.outgrown_claim(outgrown),
        training.threshold_claim(tables["threshold"]),
        training.larger_claim(ends),
        *explosion_claims(rates, options),
        *running_claims(followed),
        gap_claim(gaps),
        training.faster_claim(times),
        training.drift_claim(tables["drift"]),
    ]
    derived = {
        name: tables[name][tables[name].seed == 0]  # one network, to draw
        for name in ("units", "growth", "pairs", "limited")
    }
    derived |= {"algebra": tables["algebra"], "agreement": tables["agreement"]}
    derived |= {"rates": rates, "profile": profile, "running": followed, "gap": gaps, "times": times}
    derived |= {"learning": training.means(tables["accuracy"]), "inputs": tables["inputs"], "drift": tables["drift"]}
    derived |= {"pairs": pairs_shown(derived["pairs"]), "ends": ends, "outgrown": outgrown}
    derived |= {"span": training.averaged(tables["span"]), "threshold": training.closed_in(tables["threshold"])}
    return Analysis(derived, claims, partial(finding, rates, times, ends, options), NEXT_STEPS, "times")


# --- many layers, at the start ---------------------------------------------------------------------------------------------


def slopes_of(measurements: pd.DataFrame, depth: int) -> pd.DataFrame:
    """Growth of log ‖∂J/∂h‖² per layer, from the last layer but one down to the first, for every network."""
    key = ["backend", "kind", "norm", "batch", "width", "seed"]
    ends = {layer: measurements[measurements.layer == layer].set_index(key).value for layer in (1, depth - 1)}
    return ((ends[1] - ends[depth - 1]) / (depth - 2)).reset_index()


def extrapolated(slopes: pd.DataFrame, width: int) -> pd.DataFrame:
    """Rates at both widths and, as what is left at width n goes like 1/n, 2·rate(n) − rate(n/2): infinitely wide."""
    grouped = slopes.groupby(["kind", "norm", "batch", "backend", "width"], sort=False).value
    table = pd.DataFrame(
        {"mean": grouped.mean().astype(float), "sem": grouped.sem().astype(float), "n": grouped.count()}
    )
    wide, half = table.unstack("width").reindex(columns=pd.MultiIndex.from_product([["mean", "sem", "n"], [width, width // 2]])).pipe(
        lambda t: (t.xs(width, axis=1, level=1), t.xs(width // 2, axis=1, level=1))
    )  # fmt: skip
    columns = {
        "wide": wide["mean"],
        "half": half["mean"],
        "measured": 2 * wide["mean"] - half["mean"],
        "standard_error": np.hypot(2 * wide["sem"], half["sem"]),
        "dof": np.minimum(wide["n"], half["n"]) - 1,
    }
    found = pd.DataFrame(columns).reset_index()
    law = [np.log(laws.explosion(r.kind, r.batch)) if r.norm == "batch" else 0.0 for r in found.itertuples()]
    return found.assign(predicted=np.array(law, float))


def profiles(measurements: pd.DataFrame, options: Options) -> pd.DataFrame:
    """log₁₀ of the squared gradient at every layer over that at the last but one; mean over the widest networks."""
    key = ["backend", "kind", "norm", "batch", "seed"]
    widest = measurements[(measurements.width == options.width) & (measurements.layer < options.depth)]
    top = widest[widest.layer == options.depth - 1].set_index(key).value
    ratio = (widest.set_index([*key, "layer"]).value - top) / np.log(10)
    grouped = ratio.groupby(level=[*key[:-1], "layer"], sort=False)
    table = pd.DataFrame({"measured": grouped.mean().astype(float), "standard_error": grouped.sem().astype(float)})
    found = table.reset_index()
    law = [np.log10(laws.explosion(r.kind, r.batch)) if r.norm == "batch" else 0.0 for r in found.itertuples()]
    return found.assign(predicted=(options.depth - 1 - found.layer).astype(float) * np.array(law, float))


def explosion_claims(rates: pd.DataFrame, options: Options) -> list[Claim]:
    key, claims = ["backend", "batch"], []
    for kind, name, formula in (
        ("relu", "ReLU", "(J′ + B − 1)/((B − 3)(1 − J)) − 1/(B − 3)"),
        ("linear", "linear", "(B − 2)/(B − 3)"),
    ):
        chosen = rates[rates.kind == kind]
        ours, plain = (chosen[chosen.norm == norm].set_index(key) for norm in ("batch", "none"))
        frame = ours[["measured", "standard_error", "predicted", "dof"]].copy()
        frame[["control_measured", "control_error"]] = plain.reindex(ours.index)[["measured", "standard_error"]]
        frame = frame.reset_index()
        frame["condition"] = [f"batch of {batch}" for batch in frame.batch]
        claims.append(
            Claim(
                f"explosion, {name}",
                f"At the start, batch norm at every layer makes squared gradients grow by {formula} a layer (its logarithm is shown).",
                "Yang et al. 2019, Theorem 8",
                f"{options.draws} networks of {options.depth} layers, mean of the logarithm, widths {options.width // 2} and "
                f"{options.width} extrapolated to infinity (error ∝ 1/width); Student's t over networks.",
                "the same weights without batch norm (He for ReLU, variance 1/n for linear): nothing grows",
                frame.drop(columns=["batch"]),
            )
        )
    return claims


# --- after training --------------------------------------------------------------------------------------------------------


def predicted_averages(running: pd.DataFrame) -> pd.DataFrame:
    """Mean and variance that an exponential average is to have, with their standard errors over the units; and the wrong ones."""
    known = [averages(row) for row in running.itertuples()]
    columns = ["law", "law_error", "wrong", "spread_law", "spread_error", "spread_wrong"]
    return running.join(pd.DataFrame(known, index=running.index, columns=columns))


def averages(row) -> tuple[float, ...]:
    mean, variance = POPULATION
    start, truth = {"mean": (0.0, mean), "variance": (1.0, variance)}[row.statistic]
    one = laws.of_one_batch(variance, row.batch)[row.statistic]
    spread = laws.spread(row.momentum, row.step, one)
    error = spread * np.sqrt((2 + laws.excess(row.statistic, row.momentum, row.step, row.batch)) / row.units)
    other = 1 - row.momentum  # what "momentum" means in other libraries: the weight of the old value
    return (
        laws.average(row.momentum, row.step, start, truth), np.sqrt(spread / row.units), laws.average(other, row.step, start, truth),
        spread, error, laws.spread(other, row.step, one),
    )  # fmt: skip


def running_claims(followed: pd.DataFrame) -> list[Claim]:
    condition = [f"{r.statistic}, {r.step} batches of {r.batch}" for r in followed.itertuples()]
    names = {
        "average": ("law", "law_error", "wrong"),
        "spread": ("spread_law", "spread_error", "spread_wrong"),
    }
    said = {
        "average": (
            "running statistics arrive",
            "After t batches the running mean and variance have forgotten their first values up to 0.9ᵗ, and are unbiased.",
            "E rₜ = 0.9ᵗ r₀ + (1 − 0.9ᵗ) of the population's",
        ),
        "spread": (
            "and go on wavering",
            "However long one trains, their variance stays μ/(2 − μ) = 1/19 of one batch's: σ²/B for means, 2σ⁴/(B − 1) for variances.",
            "a sum with weights μ(1 − μ)ᵏ",
        ),
    }
    claims = []
    for column, (law, error, wrong) in names.items():
        frame = pd.DataFrame(
            {"backend": followed.backend, "condition": condition, "measured": followed[column], "predicted": followed[law],
             "standard_error": followed[error], "control_predicted": followed[wrong]}
        )  # fmt: skip
        basis = "Independent Gaussian units. Standard error: the average's own variance, with its kurtosis, over the number of units."
        claims.append(Claim(*said[column], basis, "momentum as the weight of the old value", frame))
    return claims


def gap_claim(gaps: pd.DataFrame) -> Claim:
    frame = gaps.assign(condition=[f"batch of {b}" for b in gaps.batch], control_predicted=1 / gaps.batch.astype(float))
    return Claim(
        "training and use differ",
        "Even with the true mean and variance, the output after training differs: mean square 2(1 − √(2/B) Γ(B/2)/Γ((B−1)/2)) ≈ 3/(2B).",
        "the mean of a χ variable",
        "Independent Gaussian units, one batch each; Student's t over units.",
        "1/B: as if only the batch's mean strayed, not its variance",
        frame.drop(columns="batch"),
    )


def pairs_shown(pairs: pd.DataFrame) -> pd.DataFrame:
    """Batches of two with what is predicted of them, from the closest inputs to the farthest."""
    two = pairs[pairs.examples == 2].astype({"distance": float, "epsilon": float})
    law = laws.pair(two.distance, two.epsilon)
    columns = ["backend", "scale", "unit", "distance", "output", "passed"]
    return two[columns].assign(output_law=law, passed_law=1 - law**2).sort_values("distance", ignore_index=True)


# --- in plain words --------------------------------------------------------------------------------------------------------


def finding(
    rates: pd.DataFrame, times: pd.DataFrame, ends: pd.DataFrame, options: Options, claims: pd.DataFrame
) -> str:
    """In plain words, from whatever was measured."""
    verdict = dict(zip(claims.claim, claims.verdict, strict=True))
    said = [
        "Batch norm gives every unit mean 0 and variance σ²/(σ² + ε) over the batch, to the last digit; layer norm does not. After "
        "training it holds for no single batch any more: outputs differ from those in training by about 3/(2B) in mean square."
    ] * (verdict.get("zero mean") == verdict.get("unit variance") == "holds")
    parts = (sooner(of_scratch(times), options.train_steps), larger(of_scratch(ends)), no_cure(of_scratch(rates)))
    said += [part for part in parts if part]
    return " ".join(said) or f"{(claims.verdict == 'holds').sum()} claims hold; too little was measured to say more."


def of_scratch(table: pd.DataFrame) -> pd.DataFrame:
    return table[table.backend == "scratch"]


def sooner(times: pd.DataFrame, steps: int) -> str:
    fast, slow = (times[times.norm == norm] for norm in ("batch", "none"))
    if not (len(fast) and len(slow)):
        return ""
    never = slow.by.isna().sum()
    late = f"not within {steps} ({never} of {len(slow)})" if never else f"after {slow.after.median():.0f}"
    return (
        f"A sigmoid network gets {training.GOAL:.0%} of the test digits right within {fast.by.median():.0f} steps with batch norm, "
        f"without it {late}."
    )


def larger(ends: pd.DataFrame) -> str:
    """The largest learning rates, as medians over the networks."""
    largest = ends.groupby("kind").largest.median()
    if not {"none", "everywhere"} <= {*largest.index}:
        return ""
    usual = f" {largest['hidden']:.3g} with it below every ReLU, and" if "hidden" in largest else ""
    return (
        f"ReLU networks learn at rates up to {largest['none']:.3g} without it,{usual} {largest['everywhere']:.4g} where it stands over "
        "every layer and nothing but weights is learnt: they outgrow a rate that is too large."
    )


def no_cure(rates: pd.DataFrame) -> str:
    deep = rates[(rates.norm == "batch") & (rates.kind == "relu")]
    if deep.empty:
        return ""
    row = deep.loc[deep.batch.idxmax()]
    return (
        f"It is no cure for exploding gradients at the start: with ReLU and batches of {row.batch} squared gradients grow by "
        f"{np.exp(row.measured):.3f} a layer (predicted {np.exp(row.predicted):.3f}), where He's weights alone keep them."
    )
