"""From measured errors to claims: worst cases, random models, what is lost below the range and between two weights."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.catalog.precision.claims_of_sums import casts, dots, stagnation
from experiments.catalog.precision.claims_of_training import gaps, learning, range_claims, still, underflow, weights
from experiments.catalog.precision.formats import FORMATS
from experiments.claims import Claim
from experiments.experiment import Analysis, Tables

if TYPE_CHECKING:
    from experiments.catalog.precision import Options

NEXT_STEPS = (
    "`--device cuda`: TF32 in real tensor cores, bf16 and fp16 in a GPU's own kernels, whose order of sums is another.",
    "`--depth 60 --seeds 6`: does the error go on growing like the square root of the depth?",
    "`--rate 0.005 --steps 1600`: smaller steps, and bf16 weights stand still at a higher loss; a master copy does not notice.",
    "`--lengths 1000000 --trials 50`: one by one, float32 loses three digits of a million positive terms; in pairs none.",
)
BITS = "a format with one bit less"
SHOWN = ("activation", "gradient")
COLUMNS: dict[str, list[str]] = {  # of the tables that cells make, if all of those fail; parts.py itself would import PyTorch
    "casts": ["format", "kind", "backend", "numbers", "measured", "control_measured"],
    "dots": ["order", "format", "kind", "n", "backend", "trials", "measured", "predicted", "standard_error", "worst", "of_root",
             "beyond"],
    "growth": ["backend", "mode", "n", "measured", "standard_error", "predicted"],
    "ends": ["total", "exact", "spread", "terms", "backend", "mode"],
    "measurements": ["signal", "layer", "seed", "measured", "modelled", "bound", "of_bound", "probable", "of_probable", "backend",
                     "format"],
    "apart": ["signal", "layer", "seed", "scratch", "torchref", "apart", "alike", "format"],
    "mistaken": ["backend", "signal", "layer", "seed", "apart", "format"],
    "underflow": ["layer", "seed", "zero", "flushed", "near", "abrupt", "numbers", "measured", "size", "modelled", "backend", "format",
                  "scale"],
    "training": ["part", "step", "seed", "loss", "accuracy", "way", "backend"],
    "unmoved": ["layer", "step", "seed", "numbers", "measured", "predicted", "coarser", "backend"],
}  # fmt: skip


def analyse(tables: Tables, options: Options) -> Analysis:
    """Cells that failed leave their tables out, and their claims without data."""
    given = {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in COLUMNS.items()}
    layers, lost, curves = by_layer(given["measurements"]), underflow(given["underflow"]), learning(given["training"])
    pairs = distances(given["apart"], given["mistaken"], given["measurements"])
    claims = [
        casts(given["casts"]),
        *dots(given["dots"], given["ends"]),
        *stagnation(given["ends"]),
        *depth(layers, given["measurements"]),
        rounding_or_mistake(pairs),
        *range_claims(lost),
        *weights(given["unmoved"], given["training"]),
    ]
    derived = {"layers": layers, "pairs": pairs, "flushed": lost, "curves": curves, "gaps": gaps(given["training"]),
               "still": still(given["unmoved"]),
               "costs": costs(layers)}  # fmt: skip
    return Analysis(derived, claims, partial(finding, derived=derived), NEXT_STEPS, printed="costs")


def by_layer(found: pd.DataFrame) -> pd.DataFrame:
    """Mean squares over the networks: measured and modelled, their difference's standard error, and the bounds."""
    order = found.format.map({name: k for k, name in enumerate(FORMATS)})
    frame = found.assign(apart=found.measured - found.modelled, order=order).sort_values("order", kind="stable")
    grouped = frame.groupby(["format", "signal", "layer", "backend"], sort=False)
    table = grouped[["measured", "modelled", "bound", "probable"]].mean()
    table["standard_error"], table["seeds"] = grouped["apart"].sem(), grouped.size()
    table[["of_bound", "of_probable"]] = grouped[["of_bound", "of_probable"]].max()
    table["unit"] = [FORMATS[name].unit for name in table.index.get_level_values("format")]
    return table.reset_index()


def depth(layers: pd.DataFrame, found: pd.DataFrame) -> list[Claim]:
    top = layers.layer.max()
    middle = (1 + top) // 2
    rows = layers.assign(
        condition=layers.format + ", " + layers.signal + ", layer " + layers.layer.astype(str),
        dof=layers.seeds - 1,
        predicted=1.0,
        control_predicted=4.0,
    )
    rows["measured"], rows["standard_error"] = rows.measured / rows.modelled, rows.standard_error / rows.modelled
    up = rows[(rows.signal == "activation") & rows.layer.isin([1, middle, top])]
    down = rows[(rows.signal == "gradient") & rows.layer.isin([1, middle])]
    weight = rows[(rows.signal == "weight gradient") & rows.layer.isin([1, middle])]
    basis = (
        "float64 networks with an independent uniform error wherever the format rounds (float32: at every step of a sum). The ratio of "
        "the mean square errors; Student's t over networks with weights and examples of their own."
    )
    largest = np.sqrt(found.measured / found.modelled).groupby([found.format, found.signal, found.backend]).max()
    bounded = layers[layers.signal.isin(SHOWN)].groupby(["format", "signal", "backend"], sort=False)
    limits = bounded[["of_bound", "of_probable"]].max().reset_index()
    limits["beyond"] = largest.reindex(pd.MultiIndex.from_frame(limits[["format", "signal", "backend"]])).to_numpy()
    return [
        Claim(
            "layer by layer, activations",
            "Through a deep network rounding errors grow as if each were random: every format's error at every depth is predicted, "
            "without anything fitted.",
            "first-order error analysis with random errors",
            basis,
            BITS,
            up,
        ),
        Claim(
            "layer by layer, gradients",
            "The same for what comes back: ∂J/∂z and ∂J/∂W, where errors of both directions meet.",
            "first-order error analysis with random errors",
            basis + " The loss is modelled as scratch computes it; PyTorch's, by way of ln softmax, rounds more, which shows in the top "
            "layers only.",
            BITS,
            pd.concat([down, weight]),
        ),
        Claim(
            "layer by layer, worst case",
            "Higham's bound, carried from layer to layer with absolute values, holds for every number; so does its probabilistic form.",
            "Higham 2002, ch. 3; Higham & Mary 2019",
            "The largest error in units of the bound, over all layers, numbers and networks.",
            "the random model taken for a bound",
            pd.concat([
                limits.assign(condition=limits.format + ", " + limits.signal + kind, measured=limits[column], predicted=1.0,
                              standard_error=0.0, control_measured=limits.beyond)
                for kind, column in (("", "of_bound"), (", λ√n", "of_probable"))
            ]),
            "at most",
        ),
    ]  # fmt: skip


def distances(apart: pd.DataFrame, mistaken: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """How far the implementations lie apart beside each one's error and the model's, and how far a mistake puts them."""
    key = ["format", "signal", "layer"]
    modelled = found[found.backend == "scratch"].set_index([*key, "seed"]).modelled
    frame = apart.set_index([*key, "seed"])
    frame["excess"] = frame.apart - 2 * modelled.reindex(frame.index)
    frame["modelled"] = modelled.reindex(frame.index)
    grouped = frame.groupby(key, sort=False)
    table = grouped[["scratch", "torchref", "apart", "alike", "modelled"]].mean()
    table["standard_error"], table["seeds"] = grouped.excess.sem(), grouped.size()
    for backend, rows in mistaken.groupby("backend"):
        table[f"mistake in {backend}"] = rows.groupby(key).apart.mean()
    return table.reset_index()


def rounding_or_mistake(pairs: pd.DataFrame) -> Claim:
    top = pairs.layer.max()
    low = (pairs.signal == "activation") | ((pairs.signal == "gradient") & (pairs.layer <= (1 + top) // 2))
    chosen = pairs[low & pairs.layer.isin([1, (1 + top) // 2, top])]
    rows = [
        chosen.assign(
            backend=backend,
            condition=chosen.format + ", " + chosen.signal + ", layer " + chosen.layer.astype(str),
            measured=chosen.apart / (2 * chosen.modelled),
            standard_error=chosen.standard_error / (2 * chosen.modelled),
            dof=chosen.seeds - 1,
            predicted=1.0,
            control_measured=chosen.get(f"mistake in {backend}", pd.Series(dtype=float)) / (2 * chosen.modelled),
        )
        for backend in ("scratch", "torchref")
    ]
    return Claim(
        "rounding or a mistake?",
        "Two implementations in the same format lie no farther apart than √2 times the predicted error of one; more is no rounding.",
        "the difference of two independent errors",
        "Mean square distance in units of twice the modelled mean square; Student's t over networks. Their errors are alike (the "
        "table `pairs`), so they lie closer than independent ones would.",
        "weights of the first layer too large by 256 roundings (float32: 1.5e-5) in that implementation",
        pd.concat(rows, ignore_index=True),
        "at most",
    )


def costs(layers: pd.DataFrame) -> pd.DataFrame:
    """One row for each format: relative errors (root mean square) of scratch, and what the worst case would allow."""
    rows = []
    ours = layers[layers.backend == "scratch"].set_index(["format", "signal", "layer"])
    for name in dict.fromkeys(layers.format):
        to, top = FORMATS[str(name)], layers.layer.max()
        up, down = ours.loc[(name, "activation", top)], ours.loc[(name, "gradient", 1)]
        values = {"u": to.unit, "first layer": np.sqrt(ours.loc[(name, "activation", 1)].measured), "last layer": np.sqrt(up.measured),
                  "gradient at the first": np.sqrt(down.measured), "worst case, last layer": np.sqrt(up.bound)}  # fmt: skip
        rows.append(
            {"format": name}
            | {key: f"{value:.1e}" for key, value in values.items()}
            | {"range up to": f"2^{to.highest + 1}"}
        )
    return pd.DataFrame(rows)


def finding(claims: pd.DataFrame, *, derived: Tables) -> str:
    """A few plain sentences."""
    verdict = f"{(claims.verdict == 'holds').sum()} of {len(claims)} claims hold in both implementations."
    layers, pairs = derived["layers"], derived["pairs"]
    said = []
    one = pairs[(pairs.format == "float32") & (pairs.signal == "activation")].set_index("layer")
    if len(one):
        low, top, depth = one.iloc[0], one.iloc[-1], one.index.max() - 1
        said.append(
            f"In float32, two correct implementations of a network of {depth} layers differ by {np.sqrt(low.apart):.0e} at the first "
            f"layer and {np.sqrt(top.apart):.0e} at the last, {np.sqrt(2 * top.apart / (top.scratch + top.torchref)):.2g} times each one's "
            "own error: that is rounding."
        )
    short = layers[(layers.backend == "scratch") & (layers.signal == "activation")].groupby("format").last()
    if {"float32", "bf16", "tf32"} <= set(short.index):
        excess = np.sqrt(short.bound["float32"] / short.measured["float32"])
        said.append(
            f"TF32 (emulated here) costs {np.sqrt(short.measured['tf32']):.1e} there and bf16 {np.sqrt(short.measured['bf16']):.1e}. "
            "Rounding errors behave as if they were random, and a model without anything fitted predicts them at every layer. Higham's "
            f"worst case holds too, but allows {excess:.0e} times as much in float32."
        )
    said.append(
        "What does go wrong is not random: bf16 sums stand still at 256, fp16 loses small gradients, bf16 weights do not feel small "
        "updates; sums in float32, a scaled loss and a float32 copy of the weights repair each."
    )
    return " ".join([*said, verdict])
