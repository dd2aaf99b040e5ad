"""Summaries over seeds with the theory beside them, and what is claimed of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments import theory
from experiments.catalog.vanishing_gradient import repair_claims
from experiments.catalog.vanishing_gradient.common import first_examples
from experiments.catalog.vanishing_gradient.law_claims import law_claims
from experiments.catalog.vanishing_gradient.laws import FINITE_WIDTH, predicted_laws
from experiments.catalog.vanishing_gradient.parts import COLUMNS
from experiments.catalog.vanishing_gradient.training_claims import (
    PLATEAU,
    label_entropy,
    race_claims,
    reached,
    stalls,
    start_times,
)
from experiments.claims import Claim
from experiments.experiment import Analysis, Tables
from scratch import activations

if TYPE_CHECKING:
    from experiments.catalog.vanishing_gradient import Options

CONDITION = ["depth", "activation", "init"]

NEXT_STEPS = (
    "`--depths 50 100 --activations tanh --inits lecun orthogonal`: at the edge of chaos signals travel a long way.",
    "`--width 30`: the finite-width terms grow, and the wide-network theory begins to miss.",
    "`--dtype float32 --inits small_normal --depths 30 50`: gradients underflow; agreement is in float32's own rounding.",
    "`--train-depths 60 --repair-steps 300 --activations relu`: at twice the depth batch norm's explosion is squared; does it learn?",
    "`--activations leakyrelu relu`: a small slope on the other side keeps units from being born dead.",
)


def analyse(tables: Tables, options: Options) -> Analysis:
    tables = {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in COLUMNS.items()}
    laws = predicted_laws(tables["laws"], options.dtype)
    layers, ratios = mean_field(tables["measurements"], options)
    repaired = repair_claims.predicted_repairs(tables["repaired"], options.width)
    training = tables["training"]
    guessing = label_entropy(options.dataset().test.y)
    starts = start_times(training.query("part == 'race'"), guessing)
    mended = repair_claims.mended(training, guessing)
    claims = [
        *law_claims(laws),
        *mean_field_claims(ratios, options.activations),
        *notes_claims(tables["measurements"]),
        *race_claims(training, starts, guessing),
        *repair_claims.repair_claims(repaired),
        *repair_claims.mended_claims(mended),
        *repair_claims.clipping_claims(training, tables["first_steps"], guessing),
    ]
    gains = reached(training)
    derived = {
        "laws": laws,
        "layers": layers,
        "ratios": ratios,
        "repaired": repaired,
        "mended": mended,
        "race": training.query("part == 'race'").drop(columns=["part", "activation"]).assign(guessing=guessing),
        "clipped": training.query("part == 'exploding'").drop(columns=["part", "activation"]).assign(guessing=guessing),
        "starts": starts,
        "reached": gains,
        "stalls": stalls(gains, guessing),
    }
    return Analysis(derived, claims, partial(finding, ratios=ratios, mended=mended), NEXT_STEPS)


# --- wide networks on real data --------------------------------------------------------------------------------------------


def mean_field(measurements: pd.DataFrame, options: Options) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean size at every layer over seeds beside the prediction; and the first layer's gradient against the last's.

    "layers": log10 of each quantity's root mean square, gradients relative to the last hidden layer's.
    "ratios": natural log of ‖∂J/∂z_first‖²/‖∂J/∂z_last‖², from the hidden layers.
    """
    frame = measurements[measurements.layer <= measurements.depth]
    normal = frame.value > np.finfo(options.dtype).tiny  # below it a number keeps few digits or none: it is left out
    frame = frame.assign(log=np.log10(frame.value.where(normal)))
    key = [*CONDITION, "backend", "seed", "quantity"]
    last = frame[frame.layer == frame.depth].set_index(key).log
    reference = last.reindex(pd.MultiIndex.from_frame(frame[key])).to_numpy()
    frame["log"] -= np.where(frame.quantity == "activation", 0, reference)
    grouped = frame.groupby([*CONDITION, "backend", "quantity", "layer"], sort=False).log
    layers = pd.DataFrame(
        {"mean": grouped.mean(), "standard_error": grouped.sem(), "seeds": grouped.count()}
    ).reset_index()
    predictions = {
        condition: predict(condition, options)
        for condition in layers[CONDITION].drop_duplicates().itertuples(index=False, name=None)
    }
    layers["predicted"] = [
        predictions[row.depth, row.activation, row.init].get((row.quantity, row.layer), np.nan)
        for row in layers.itertuples()
    ]
    first = layers.query("quantity == 'gradient' and layer == 1 and depth > 1 and seeds > 1")
    to_log = 2 * np.log(10)
    ratios = first[CONDITION].assign(
        backend=first.backend,
        measured=first["mean"] * to_log,
        standard_error=first.standard_error * to_log,
        dof=first.seeds - 1,
        predicted=first.predicted * to_log,
        allowance=FINITE_WIDTH * (first.depth - 1) / options.width,
    )
    return layers, ratios.reset_index(drop=True)


def predict(condition: tuple[int, str, str], options: Options) -> dict[tuple[str, int], float]:
    """log10 sizes of gradient and activation at every hidden layer, by the mean-field recursion from the data's own norms."""
    depth, activation, init = condition
    if init not in theory.VARIANCES or init == "zeros":
        return {}
    batch, chosen = first_examples(options.source, options.dtype), activations.by_name()[activation]()
    features, width = len(batch.x), options.width
    q = theory.VARIANCES[init](width, features) * (batch.x.astype(np.float64) ** 2).sum(
        0
    )  # of layer 1, example by example
    sizes, log_chi = theory.mean_field(chosen, q, width * theory.VARIANCES[init](width, width), 0.0, depth)
    slope = log_chi[-1]  # the gradient at the last pre-activation carries its slope: examples weigh by it
    below = np.array([log_chi[k:-1].sum(0) for k in range(depth)]) + slope
    gradient = (np.logaddexp.reduce(below, axis=1) - np.logaddexp.reduce(below[-1])) / (2 * np.log(10))
    activation_size = np.log10(sizes.mean(1)) / 2
    return {("gradient", k + 1): gradient[k] for k in range(depth)} | {
        ("activation", k + 1): activation_size[k] for k in range(depth)
    }


def mean_field_claims(ratios: pd.DataFrame, chosen: Sequence[str]) -> list[Claim]:
    """One claim for each activation, over all its init schemes and depths."""
    found = []
    for activation in chosen:
        rows = ratios[np.isfinite(ratios.predicted) & (ratios.activation == activation)]
        frame = rows.assign(
            condition=rows.init + ", depth " + rows.depth.astype(str),
            control_predicted=rows.predicted + (rows.depth - 1) * np.log(2),
        )
        found.append(
            Claim(
                f"mean field, {activation}",
                f"{activation}: the first layer's squared gradient is Π χ_l times the last's, for every init scheme and depth.",
                "Poole 2016, Schoenholz 2017; ReLU: (σ_w²/2)^(L−1)",
                f"Mean-field recursion from the data's own norms (width → ∞), open by {FINITE_WIDTH}·(L−1)/n; Student's t over seeds.",
                "weights of twice the variance",
                frame.drop(columns=CONDITION),
            )
        )
    return found


def notes_claims(measurements: pd.DataFrame) -> list[Claim]:
    """The notes' sqrt(2/n), n the width of the layer before, is He's scheme: not about the same, the same."""
    held = set(measurements.init)
    if not {"notes", "he"} <= held:
        return []
    key = ["depth", "activation", "backend", "quantity", "seed", "layer"]
    sizes = {init: group.set_index(key).value for init, group in measurements.groupby("init")}
    other = next((init for init in ("xavier", "lecun", "standard", "small_normal") if init in held), None)
    apart = abs(sizes["notes"] / sizes["he"] - 1).groupby("backend").max()
    wrong = abs(sizes[other] / sizes["he"] - 1).groupby("backend").max() if other else apart + 1
    frame = pd.DataFrame({"backend": apart.index, "measured": apart.to_numpy(), "control_measured": wrong.to_numpy()})
    return [
        Claim(
            name="the notes' rule is He's",
            statement="The notes' random weights × sqrt(2/n), n the width of the layer before, give every signal that He's scheme gives.",
            source="notes; He 2015, Eq. 10",
            basis="An identity: the same draws on the same scale, so the largest relative difference is exactly 0.",
            control=f"{other or 'twice'} instead of the notes' rule",
            comparisons=frame.assign(condition="every size of every layer", standard_error=1e-16, predicted=0.0),
        )
    ]


# --- the finding -----------------------------------------------------------------------------------------------------------


def finding(claims: pd.DataFrame, *, ratios: pd.DataFrame, mended: pd.DataFrame) -> str:
    """What happens without repair, what repairs it, and the verdict: a sentence each."""
    verdict = f"{repaired_in_words(mended)}{(claims.verdict == 'holds').sum()} of {len(claims)} claims hold in both implementations."
    deepest = ratios[(ratios.depth == ratios.depth.max()) & (ratios.backend == "scratch")]
    power = {(r.activation, r.init): r.measured / (2 * np.log(10)) for r in deepest.itertuples()}
    if not power:
        return (
            "There is no first hidden layer to compare with a last: the networks are too shallow, or their gradients "
            f"underflow. {verdict}"
        )
    low, flat = min(power, key=power.__getitem__), min(power, key=lambda name: abs(power[name]))
    theory = claims.verdict[claims.claim.str.startswith("mean field")]
    predicted = ", and theory predicts its size" if len(theory) and (theory == "holds").all() else ""
    other = "" if flat == low else f", and {flat[0]} with {flat[1]} weights {times(power[flat])}"
    return (
        f"In a network of {deepest.depth.iloc[0]} hidden layers, {low[0]} with {low[1]} weights hands the first layer "
        f"{times(power[low])} the gradient of the last{other}: a product of as many factors as there are "
        f"layers{predicted}. {verdict}"
    )


def repaired_in_words(mended: pd.DataFrame) -> str:
    """How many of the repairs train, and whether the gradient at the start foretold which; nothing where there is one fate only."""
    known = mended[mended.learns.notna() & (mended.backend == "scratch")]
    if set(known.learns) != {0.0, 1.0}:
        return ""
    learned = known.lowest < PLATEAU * known.guessing
    changed, right = known.init != "standard", int((learned == (known.learns == 1)).sum())
    return (
        f"Changing one thing at a time, {(learned & changed).sum()} of {changed.sum()} repairs of {known.depth.max()} layers learn in "
        f"{known.steps.max()} steps, and theory foretells the fate of {right} of {len(known)} networks from the first gradient: batch "
        "norm and skip connections serve every activation, other weights only some, and what explodes too far learns nothing either. "
    )


def times(power: float) -> str:
    """10^power in words that can be read aloud."""
    superscript = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"{10**power:.2g} times" if abs(power) < 3 else f"10{f'{power:.0f}'.translate(superscript)} times"
