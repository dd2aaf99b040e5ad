"""Summaries over seeds with the theory beside them, and what is claimed of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments import theory
from experiments.agreement import unit_roundoff
from experiments.catalog.vanishing_gradient import STALLS
from experiments.catalog.vanishing_gradient.parts import SIGMA_B2, digits_batch
from experiments.claims import Claim
from experiments.data import load
from experiments.experiment import Analysis, Tables
from scratch import activations
from scratch.layers import Array

if TYPE_CHECKING:
    from experiments.catalog.vanishing_gradient import Options

PLATEAU = 0.9  # a network has begun to learn when its loss falls below this share of guessing's
FINITE_WIDTH = 2.5  # the mean-field law is of infinite width; log sizes may be off by about this times depth/width:
#                     it is the exact first-order term for ReLU (−5L/2n), and the scale for the others
CONDITION = ["depth", "activation", "init"]

NEXT_STEPS = (
    "`--depths 50 100 --activations tanh --inits lecun orthogonal`: at the edge of chaos signals travel a long way.",
    "`--width 30`: the finite-width terms grow, and the wide-network theory begins to miss.",
    "`--dtype float32 --inits small_normal --depths 30 50`: gradients underflow, and the agreement is measured in float32's own rounding.",
    "`--activations leakyrelu relu`: a small slope on the other side keeps units from being born dead.",
)


def analyse(tables: Tables, options: Options) -> Analysis:
    laws = predicted_laws(tables["laws"], options.dtype)
    layers, ratios = mean_field(tables["measurements"], options)
    training = tables["training"]
    guessing = label_entropy(load(options.data, options.dtype).test.y)
    starts = start_times(training.query("part == 'race'"), guessing)
    claims = [*law_claims(laws), *mean_field_claims(ratios), *notes_claims(tables["measurements"]), *race_claims(training, starts, guessing)]
    race = training.query("part == 'race'").drop(columns=["part", "activation"]).assign(guessing=guessing)
    derived = {"laws": laws, "layers": layers, "ratios": ratios, "race": race, "starts": starts, "reached": reached(training)}
    return Analysis(derived, claims, partial(finding, ratios=ratios, reached=derived["reached"]), NEXT_STEPS)


# --- exact laws ---------------------------------------------------------------------------------------------------------


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
            return np.ones(len(depth)), np.full(len(depth), np.sqrt(2)), np.sqrt(int(condition.split()[-1]) * depth) * unit
        case "depth scale" if mean:
            sigma_w2 = float(condition.split("=")[-1])
            _, chi = theory.fixed_point(activations.Tanh(), sigma_w2, SIGMA_B2)
            return np.full(len(depth), np.log(chi)), np.full(len(depth), np.log(sigma_w2)), None
    return nothing, nothing, None


def law_claims(laws: pd.DataFrame) -> list[Claim]:
    """Claims on random products, linear, narrow, dead and wide networks. All are exact but the last."""

    def of(part: str, statistic: str, condition: str | None = None, dof: bool = False, allowance: float = 0.0) -> pd.DataFrame:
        rows = laws.query("part == @part and statistic == @statistic")
        rows = rows[rows.condition == condition] if condition else rows
        frame = rows.assign(control_predicted=rows.control, allowance=allowance, dof=rows["count"] - 1 if dof else np.inf)
        frame["condition"] = rows.condition + ", " + rows.signal + ", depth " + rows.depth.astype(str)
        return frame[["backend", "condition", "measured", "standard_error", "predicted", "control_predicted", "allowance", "dof"]]

    exact = "Exact law of independent draws; standard error of the sample."
    return [
        Claim("product, mean", "A product of n random weights shrinks: the mean of log|w1 w2 … wn| is −0.6352 n for w ~ N(0, 1).",
              "notes: y = w1 w2 … wn x; derived: E log|N(0,1)| = −(γ + ln 2)/2", exact,
              "weights of size 1 leave the size of the product at 1 (log 0)", of("product", "mean")),
        Claim("product, spread", "The variance of log|w1 w2 … wn| grows with every factor, by π²/8.",
              "derived: Var log|N(0,1)| = π²/8", exact, "the spread of one factor", of("product", "variance")),
        Claim("deep linear, mean", "A deep linear network of width 10 shrinks signal and gradient even where E‖h‖² is kept (n·Var W = 1).",
              "derived: each layer multiplies ‖h‖² by χ²_n/n; E log = ln(2/n) + ψ(n/2)", exact,
              "what keeps the mean keeps the log", of("linear", "mean", "lecun")),
        Claim("deep linear, spread", "… and their log spreads by ψ′(n/2) a layer.", "derived: Var log χ²_n = ψ′(n/2)", exact,
              "the spread of one layer", of("linear", "variance", "lecun")),
        Claim("orthogonal", "Orthogonal weights repair the linear case: every norm is kept at every depth, forward and backward.",
              "Saxe 2014", "An identity; n·√depth roundings of size u are its error. The farthest of all networks is shown.",
              "the law of Gaussian weights", of("linear", "farthest", "orthogonal")),
        Claim("narrow ReLU, mean", "He's rule keeps E‖h‖², but in a narrow ReLU network (10 × 10) the typical signal still shrinks.",
              "derived: K ~ Bin(n, ½) active units, (2/n)χ²_K; about −5L/2n; cf. Hanin 2018", exact,
              "the law of infinite width: nothing is lost", of("narrow", "mean")),
        Claim("narrow ReLU, spread", "… and its log spreads with depth.", "derived as above", exact, "the spread of one layer", of("narrow", "variance")),
        Claim("born dead", "Narrow deep ReLU networks are born dead with probability 1 − (1 − 2⁻ⁿ)^L: their gradient is exactly 0.",
              "derived: a layer is dead if n signs are negative", "Exact law; binomial standard error.",
              "one layer's 2⁻ⁿ, whatever the depth", of("dead", "mean")),
        Claim("He over Xavier", "From the same draws, He's first-layer gradient is exactly 2^((D−1)/2) times Xavier's in D layers of equal width.",
              "derived: W_He = √2 W_Xavier and ReLU(ax) = a ReLU(x)", "An identity; √(n·D) roundings of size u are its error.",
              "2^(D/2): one factor more", of("ratio", "farthest")),
        Claim("depth scale, ordered", "Tanh with σ_w² = 1.3, σ_b² = 0.05: log ‖gradient‖² falls by ln χ₁ a layer on its way down.",
              "Schoenholz 2017, χ₁ at the fixed point q* of Poole 2016",
              f"Mean-field law (width → ∞), open by {FINITE_WIDTH}/n a layer; Student's t over seeds.",
              "ln σ_w²: the weights without the slope of tanh", of("depth scale", "mean", "σ_w²=1.3", True, FINITE_WIDTH / 300)),
        Claim("depth scale, chaotic", "… with σ_w² = 2.5 it grows by ln χ₁ a layer: the gradient explodes.", "as above", "as above",
              "ln σ_w²: the weights without the slope of tanh", of("depth scale", "mean", "σ_w²=2.5", True, FINITE_WIDTH / 300)),
    ]  # fmt: skip


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
    layers = pd.DataFrame({"mean": grouped.mean(), "standard_error": grouped.sem(), "seeds": grouped.count()}).reset_index()
    predictions = {condition: predict(*condition, options) for condition in layers[CONDITION].drop_duplicates().itertuples(index=False, name=None)}
    layers["predicted"] = [
        predictions[row.depth, row.activation, row.init].get((row.quantity, row.layer), np.nan) for row in layers.itertuples()
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


def predict(depth: int, activation: str, init: str, options: Options) -> dict[tuple[str, int], float]:
    """log10 sizes of gradient and activation at every hidden layer, by the mean-field recursion from the data's own norms."""
    if init not in theory.VARIANCES or init == "zeros":
        return {}
    batch, chosen = digits_batch(options.data, options.dtype), activations.by_name()[activation]()
    features, width = len(batch.x), options.width
    q = theory.VARIANCES[init](width, features) * (batch.x.astype(np.float64) ** 2).sum(0)  # of layer 1, example by example
    sizes, log_chi = theory.mean_field(chosen, q, width * theory.VARIANCES[init](width, width), 0.0, depth)
    slope = log_chi[-1]  # the gradient at the last pre-activation carries its slope: examples weigh by it
    below = np.array([log_chi[k:-1].sum(0) for k in range(depth)]) + slope
    gradient = (np.logaddexp.reduce(below, axis=1) - np.logaddexp.reduce(below[-1])) / (2 * np.log(10))
    activation_size = np.log10(sizes.mean(1)) / 2
    return {("gradient", k + 1): gradient[k] for k in range(depth)} | {("activation", k + 1): activation_size[k] for k in range(depth)}


def mean_field_claims(ratios: pd.DataFrame) -> list[Claim]:
    """One claim for each activation, over all its init schemes and depths."""
    found = []
    for activation, rows in ratios[np.isfinite(ratios.predicted)].groupby("activation", sort=False):
        frame = rows.assign(condition=rows.init + ", depth " + rows.depth.astype(str), control_predicted=rows.predicted + (rows.depth - 1) * np.log(2))
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
    frame = pd.DataFrame({"backend": apart.index, "condition": "every size of every layer", "measured": apart.to_numpy(), "standard_error": 1e-16,
                          "predicted": 0.0, "control_measured": wrong.to_numpy()})  # fmt: skip
    return [
        Claim("the notes' rule is He's", "The notes' random weights × sqrt(2/n), n the width of the layer before, give every signal that He's scheme gives.",
              "notes; He 2015, Eq. 10", "An identity: the same draws on the same scale, so the largest relative difference is exactly 0.",
              f"{other or 'twice'} instead of the notes' rule", frame)
    ]  # fmt: skip


# --- training --------------------------------------------------------------------------------------------------------------


def label_entropy(labels: Array) -> float:
    """The loss of the best guess that does not look at x: −Σ f ln f over the classes' shares f."""
    share = np.bincount(labels) / len(labels)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())


def reached(training: pd.DataFrame) -> pd.DataFrame:
    """Loss and accuracy on the test set at the last step, mean and standard error over seeds."""
    last = training[training.step == training.groupby(["part", "depth", "activation"]).step.transform("max")]
    grouped = last.groupby(["part", "activation", "depth", "init", "backend", "step", "quantity"], sort=False).value
    return pd.DataFrame({"mean": grouped.mean(), "standard_error": grouped.sem(), "seeds": grouped.size()}).reset_index()


def start_times(race: pd.DataFrame, guessing: float) -> pd.DataFrame:
    """The step at which each network of the race begins to learn, interpolated between looks; NaN if it never does."""
    rows = []
    for (depth, init, backend, seed), run in race.query("quantity == 'loss'").groupby(["depth", "init", "backend", "seed"], sort=False):
        steps, loss = run.step.to_numpy(), run.value.to_numpy()
        below = np.flatnonzero(loss < PLATEAU * guessing)
        step = np.nan
        if len(below) and below[0] > 0:
            k = below[0]
            step = steps[k - 1] + (steps[k] - steps[k - 1]) * (loss[k - 1] - PLATEAU * guessing) / (loss[k - 1] - loss[k])
        rows.append({"depth": depth, "init": init, "backend": backend, "seed": seed, "step": step})
    return pd.DataFrame(rows, columns=["depth", "init", "backend", "seed", "step"])


def race_claims(training: pd.DataFrame, starts: pd.DataFrame, guessing: float) -> list[Claim]:
    """He against Xavier: at 30 layers Xavier stalls; at 22 both learn, He sooner."""
    found, seen = [], training.query("part == 'race' and quantity == 'loss'")
    final = seen[seen.step == seen.groupby("depth").step.transform("max")]
    for depth, group in final.groupby("depth"):
        steps = group.step.max()
        stats = group.groupby(["init", "backend"]).value.agg(["mean", "sem", "size"])
        if depth >= STALLS:
            frame = pd.DataFrame(
                {"backend": stats.loc["xavier"].index, "condition": f"{depth} layers, {steps} steps", "measured": stats.loc["xavier"]["mean"].to_numpy(),
                 "standard_error": stats.loc["xavier"]["sem"].to_numpy(), "dof": stats.loc["xavier"]["size"].to_numpy() - 1, "predicted": guessing,
                 "allowance": 0.01 * guessing, "control_measured": stats.loc["he"]["mean"].to_numpy()})  # fmt: skip
            found.append(
                Claim(f"Xavier stalls at {depth}", f"ReLU, {depth} layers: with Xavier's scheme the loss stays at what guessing gives.", "He 2015, Fig. 3",
                      "Gibbs: no output that ignores x has a lower loss than the labels' entropy; 1 % of it defines \"stalls\". Student's t over seeds.",
                      "He's scheme on the same draws and batches", frame, "at least"))  # fmt: skip
        else:
            logs = np.log(starts[starts.depth == depth].pivot(index=["backend", "seed"], columns="init", values="step"))
            paired = (logs.xavier - logs.he).groupby("backend")
            count = paired.count()
            frame = pd.DataFrame(
                {"backend": count.index, "condition": f"{depth} layers, {steps} steps", "measured": paired.mean().where(paired.size() == count).to_numpy(),
                 "standard_error": paired.sem().to_numpy(), "dof": count.to_numpy() - 1, "predicted": 0.0,
                 "control_measured": -paired.mean().to_numpy()})  # fmt: skip
            found.append(
                Claim(f"He sooner at {depth}", f"ReLU, {depth} layers: both schemes learn, He sooner. Log of Xavier's start over He's is above 0.", "He 2015, Fig. 2",
                      f"A network starts when its test loss falls below {PLATEAU:.0%} of guessing's; seeds are paired; Student's t.",
                      "the two schemes exchanged", frame, "at least"))  # fmt: skip
    return found


def finding(claims: pd.DataFrame, *, ratios: pd.DataFrame, reached: pd.DataFrame) -> str:
    """Two sentences."""
    deepest = ratios[(ratios.depth == ratios.depth.max()) & (ratios.backend == "scratch")]
    power = {(r.activation, r.init): r.measured / (2 * np.log(10)) for r in deepest.itertuples()}
    if not power:
        return "No network was deep enough to compare a first hidden layer with a last."
    low, high = min(power, key=power.__getitem__), min(power, key=lambda k: abs(power[k]))
    depth = int(deepest.depth.max())
    holds = int((claims.verdict == "holds").sum())
    return (
        f"In a network of {depth} hidden layers the gradient that reaches the first layer is {times(power[low])} that of the last "
        f"for {low[0]} with {low[1]} weights, and {times(power[high])} for {high[0]} with {high[1]}: a product of as many factors as there are "
        f"layers, whose size theory predicts. {holds} of {len(claims)} claims hold in both implementations."
    )


def times(power: float) -> str:
    """10^power in words that can be read aloud."""
    return f"{10**power:.2g} times" if abs(power) < 3 else f"10^{power:.0f} times"
