"""Summaries over seeds with the theory beside them, and what is claimed of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments import theory
from experiments.catalog.vanishing_gradient import STALLS
from experiments.catalog.vanishing_gradient.laws import FINITE_WIDTH, law_claims, predicted_laws
from experiments.catalog.vanishing_gradient.parts import COLUMNS, first_examples
from experiments.claims import Claim
from experiments.data import load
from experiments.experiment import Analysis, Tables
from scratch import activations
from scratch.layers import Array

if TYPE_CHECKING:
    from experiments.catalog.vanishing_gradient import Options

SHALLOW = 5  # layers; below, the two schemes hardly differ
PLATEAU = 0.9  # a network has begun to learn when its loss falls below this share of guessing's
CONDITION = ["depth", "activation", "init"]

NEXT_STEPS = (
    "`--depths 50 100 --activations tanh --inits lecun orthogonal`: at the edge of chaos signals travel a long way.",
    "`--width 30`: the finite-width terms grow, and the wide-network theory begins to miss.",
    "`--dtype float32 --inits small_normal --depths 30 50`: gradients underflow; agreement is in float32's own rounding.",
    "`--activations leakyrelu relu`: a small slope on the other side keeps units from being born dead.",
)


def analyse(tables: Tables, options: Options) -> Analysis:
    tables = {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in COLUMNS.items()}
    laws = predicted_laws(tables["laws"], options.dtype)
    layers, ratios = mean_field(tables["measurements"], options)
    training = tables["training"]
    guessing = label_entropy(load(options.data, options.dtype).test.y)
    starts = start_times(training.query("part == 'race'"), guessing)
    claims = [
        *law_claims(laws),
        *mean_field_claims(ratios, options.activations),
        *notes_claims(tables["measurements"]),
        *race_claims(training, starts, guessing),
    ]
    race = training.query("part == 'race'").drop(columns=["part", "activation"]).assign(guessing=guessing)
    gains = reached(training)
    derived = {
        "laws": laws,
        "layers": layers,
        "ratios": ratios,
        "race": race,
        "starts": starts,
        "reached": gains,
        "stalls": stalls(gains, guessing),
    }
    return Analysis(derived, claims, partial(finding, ratios=ratios), NEXT_STEPS)


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
    batch, chosen = first_examples(options.data, options.dtype), activations.by_name()[activation]()
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


# --- training --------------------------------------------------------------------------------------------------------------


def label_entropy(labels: Array) -> float:
    """The loss of the best guess that does not look at x: −Σ f ln f over the classes' shares f."""
    share = np.bincount(labels) / len(labels)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())


def reached(training: pd.DataFrame) -> pd.DataFrame:
    """Loss and accuracy on the test set at the last step, mean and standard error over seeds."""
    last = training[training.step == training.groupby(["part", "depth", "activation"]).step.transform("max")]
    grouped = last.groupby(["part", "activation", "depth", "init", "backend", "step", "quantity"], sort=False).value
    return pd.DataFrame(
        {"mean": grouped.mean(), "standard_error": grouped.sem(), "seeds": grouped.size()}
    ).reset_index()


def stalls(reached: pd.DataFrame, guessing: float) -> pd.DataFrame:
    """The number of layers from which each combination gains less than 1 % on guessing in these steps; NaN: none of them."""
    final = reached[(reached.part == "training") & (reached.quantity == "loss")]
    from_depth = final.depth.where(final["mean"] > 0.99 * guessing)
    key = ["activation", "init", "backend"]
    return final.assign(from_depth=from_depth).groupby(key, sort=False).from_depth.min().reset_index()


def start_times(race: pd.DataFrame, guessing: float) -> pd.DataFrame:
    """The step at which each network of the race begins to learn, interpolated between looks; NaN if it never does."""
    rows = []
    for (depth, init, backend, seed), run in race.query("quantity == 'loss'").groupby(
        ["depth", "init", "backend", "seed"], sort=False
    ):
        steps, loss = run.step.to_numpy(), run.value.to_numpy()
        below = np.flatnonzero(loss < PLATEAU * guessing)
        step = np.nan
        if len(below) and below[0] > 0:
            k = below[0]
            step = steps[k - 1] + (steps[k] - steps[k - 1]) * (loss[k - 1] - PLATEAU * guessing) / (
                loss[k - 1] - loss[k]
            )
        rows.append({"depth": depth, "init": init, "backend": backend, "seed": seed, "step": step})
    return pd.DataFrame(rows, columns=["depth", "init", "backend", "seed", "step"])


def race_claims(training: pd.DataFrame, starts: pd.DataFrame, guessing: float) -> list[Claim]:
    """He against Xavier: at 30 layers Xavier stalls; at 22 both learn, He sooner."""
    found, seen = [], training.query("part == 'race' and quantity == 'loss'")
    lowest = seen.groupby(["depth", "init", "backend", "seed"]).value.min().reset_index()  # late losses jump about
    steps = seen.groupby("depth").step.max()
    for depth, group in lowest.groupby("depth"):
        shared = {"condition": f"{depth} layers, {steps[depth]} steps"}
        if depth >= STALLS:
            stats = group.groupby(["init", "backend"]).value.agg(["mean", "sem"])
            found.append(stall_claim(int(depth), stats.loc["xavier"], stats.loc["he"], guessing, shared))
            found.append(repair_claim(int(depth), stats.loc["xavier"], stats.loc["he"], guessing, shared))
        elif depth >= SHALLOW:
            found.append(sooner_claim(int(depth), starts[starts.depth == depth], shared))
    return found


def stall_claim(depth: int, xavier: pd.DataFrame, he: pd.DataFrame, guessing: float, shared: dict[str, str]) -> Claim:
    frame = pd.DataFrame({"measured": xavier["mean"], "standard_error": xavier["sem"], "predicted": guessing})
    frame = frame.assign(
        **shared, allowance=0.01 * guessing, control_measured=he["mean"], control_error=np.maximum(he["sem"], 1e-300)
    )
    return Claim(
        name=f"Xavier stalls at {depth}",
        statement=f"ReLU, {depth} layers: with Xavier's scheme the test loss never falls below what guessing gives.",
        source="He 2015, Fig. 3",
        basis='Gibbs: no output that ignores x has a lower loss than the labels\' entropy; 1 % of it defines "stalls". '
        "Standard error over seeds.",
        control="He's scheme on the same draws and batches",
        comparisons=frame.reset_index(names="backend"),
        test="at least",
    )


def repair_claim(depth: int, xavier: pd.DataFrame, he: pd.DataFrame, guessing: float, shared: dict[str, str]) -> Claim:
    frame = pd.DataFrame({"measured": he["mean"], "standard_error": he["sem"], "predicted": PLATEAU * guessing})
    frame = frame.assign(**shared, control_measured=xavier["mean"], control_error=np.maximum(xavier["sem"], 1e-300))
    return Claim(
        name=f"He learns at {depth}",
        statement=f"ReLU, {depth} layers: the notes' sqrt(2/n), He's scheme, repairs it: the loss falls below {PLATEAU:.0%} of guessing's.",
        source="notes; He 2015, Fig. 3",
        basis="The same draws and batches as Xavier's networks. Standard error over seeds.",
        control="Xavier's scheme",
        comparisons=frame.reset_index(names="backend"),
        test="at most",
    )


def sooner_claim(depth: int, starts: pd.DataFrame, shared: dict[str, str]) -> Claim:
    logs = starts.assign(log=np.log(starts.step)).pivot(index=["backend", "seed"], columns="init", values="log")
    paired = (logs["xavier"] - logs["he"]).groupby("backend")
    all_started = paired.count() == paired.size()  # one that never did makes the claim fail
    if not all_started.all():
        shared = {"condition": shared["condition"] + ": not every network began to learn"}
    frame = pd.DataFrame({"measured": paired.mean().where(all_started), "standard_error": paired.sem()})
    frame = frame.assign(**shared, predicted=0.0, control_measured=-paired.mean())
    return Claim(
        name=f"He sooner at {depth}",
        statement=f"ReLU, {depth} layers: both schemes learn, He sooner. The log of Xavier's start over He's is above 0.",
        source="He 2015, Fig. 2",
        basis=f"A network starts when its test loss falls below {PLATEAU:.0%} of guessing's; seeds are paired.",
        control="the two schemes exchanged",
        comparisons=frame.reset_index(names="backend"),
        test="at least",
    )


def finding(claims: pd.DataFrame, *, ratios: pd.DataFrame) -> str:
    """Two sentences."""
    verdict = f"{(claims.verdict == 'holds').sum()} of {len(claims)} claims hold in both implementations."
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


def times(power: float) -> str:
    """10^power in words that can be read aloud."""
    superscript = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"{10**power:.2g} times" if abs(power) < 3 else f"10{f'{power:.0f}'.translate(superscript)} times"
