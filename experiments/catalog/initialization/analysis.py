"""Measurements beside their predictions, and the finding; ``claims`` says what is claimed of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.agreement import unit_roundoff
from experiments.catalog.initialization import claims, laws, parts, spectra, trained
from experiments.catalog.initialization.shared import first_digits
from experiments.experiment import Analysis, Tables
from scratch.layers import Array

if TYPE_CHECKING:
    from experiments.catalog.initialization import Options

UNIT = unit_roundoff(np.dtype(np.float64))
LEVEL = 1e-3  # the root mean square difference between units that counts as broken symmetry

BREAKING = ["backend", "power", "measured", "predicted", "allowance", "rounding"]
COLUMNS = {  # of the tables that the parts make: what is left of one if all its cells fail
    "symmetry": ["units", "backend", "step", "start", "apart", "second", "loss"],
    "silenced": ["start", "backend", "step", "seed", "silent", "moved", "loss"],
    "dead_sets": ["backend", "width", "depth", "inputs", "count", "measured"],
    "biased": ["backend", "width", "depth", "bias", "count", "measured", "predicted", "standard_error", "symmetric"],
    "singular": ["backend", "n", "scheme", "measured", "standard_error", "count"],
    "products": ["backend", "init", "width", "depth", "index", "measured", "standard_error", "count", "farthest"],
    "sizes": ["backend", "shape", "reading", "layer", "measured", "standard_error", "count"],
    "ratios": ["backend", "shape", "reading", "signal", "layer", "measured"],
    "unit": ["backend", "activation", "layer", "scheme", "seed", "variance", "gain"],
    "raw": ["backend", "rate", "step", "scheme", "seed", "loss"],
    "scales": ["backend", "depth", "scale", "seed", "accuracy", "loss", "predicted", "unscaled", "size"],
    "waits": ["backend", "depth", "scale", "seed", "largest", "steps"],
}  # fmt: skip

NEXT_STEPS = (
    "`--units 8 5 12 16`: which units a matrix product rounds otherwise, and so breaks their symmetry, is the machine's affair.",
    "`--product-widths 64 --draws 200`: the condition number grows faster, and 64-bit numbers end after a few layers.",
    "`--scale-depths 2 4 8 16`: the deeper the network, the narrower the range of scales from which it learns.",
    "`--activations silu mish hardtanh`: the n·Var W that an activation needs, where no table has it.",
    "`python -m experiments.run vanishing_gradient`: He's rule against Xavier's in networks of 22 and 30 layers, as a race of losses.",
)


def analyse(tables: Tables, options: Options) -> Analysis:
    held = {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in COLUMNS.items()}
    growth, breaking = symmetry(held["symmetry"], options)
    derived = {
        "symmetry": growth,
        "breaking": breaking,
        "silenced": silenced(held["silenced"], options),
        "singular": singular(held["singular"]),
        "products": products(held["products"]),
        "sizes": sizes(held["sizes"]),
        "ratios": ratios(held["ratios"]),
        "gains": trained.gains(held["unit"], options),
        "variances": trained.variances(held["unit"]),
        "raw_pairs": trained.raw_pairs(held["raw"]),
        "raw_ends": trained.raw_ends(held["raw"]),
        "dead_sets": dead_sets(held["dead_sets"]),
        "biased": held["biased"],
        "delays": trained.waits(held["waits"]),
        "slopes": trained.slopes(held["waits"]),
        "accuracies": trained.accuracies(held["scales"]),
        "windows": trained.windows(held["scales"]),
    }
    made = claims.every(held | derived | {"growth": growth})
    return Analysis(derived, made, partial(finding, tables=held | derived), NEXT_STEPS)


def symmetry(table: pd.DataFrame, options: Options) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Differences between units beside the linearised growth; and the steps until symmetry is broken, for each 10^−k."""
    growth, breaking = [table.assign(predicted=0.0)[:0]], [pd.DataFrame(columns=BREAKING)]
    batch, classes = first_digits(options.source, 100)
    for units, group in table.groupby("units", sort=False):
        into, out = (parts.CONSTANT * a for a in parts.symmetry_noise(units, len(batch.x), classes))
        sizes, shares = laws.tangent(into, out, parts.CONSTANT, batch.x, batch.y, parts.RATE, options.breaking_steps)
        start = pd.to_numeric(group.start, errors="coerce")
        # each step rounds anew, and each rounding grows as a start does
        rounding = 4 * np.sqrt(len(batch.x) * (1 + group.step)) * UNIT
        growth.append(group.assign(predicted=start.where(group.start != "constant", rounding) * sizes[group.step]))
        moved = group[start.notna()]
        if not moved.empty:
            breaking.append(passings(moved, sizes, shares, np.sqrt(len(batch.x)) * UNIT))
    return pd.concat([frame for frame in growth if len(frame)] or growth), pd.concat(breaking[1:] or breaking)


def passings(table: pd.DataFrame, sizes: Array, shares: Array, unit: float) -> pd.DataFrame:
    """When the difference between units passes LEVEL, of each start; none for those that are too far apart or never get there."""
    looks, rows = sorted(table.step.unique()), []
    for (backend, name), run in table.groupby(["backend", "start"], sort=False):
        epsilon = float(name)
        predicted = laws.passing(looks, epsilon * sizes[looks], LEVEL)
        if np.isfinite(predicted):
            k = int(np.searchsorted(looks, predicted))
            rate = np.log(sizes[looks[k]] / sizes[looks[k - 1]]) / (looks[k] - looks[k - 1])
            rows.append(
                {"backend": backend, "power": -round(np.log10(epsilon)), "measured": laws.passing(looks, run.apart.to_numpy(), LEVEL),
                 "predicted": predicted, "allowance": epsilon * shares[looks[k]] / rate,
                 "rounding": np.sqrt(predicted) * unit / epsilon / rate}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=BREAKING)


def silenced(table: pd.DataFrame, options: Options) -> pd.DataFrame:
    """With the loss that a lone output bias reaches."""
    batch, classes = first_digits(options.source, 80)
    alone = laws.bias_alone(batch.y, classes, parts.NARROW_RATE, options.silent_steps)
    return table.assign(predicted=alone[table.step.to_numpy(int)])


def singular(table: pd.DataFrame) -> pd.DataFrame:
    others = {"xavier_uniform": "standard", "standard": "xavier_uniform", "xavier": "standard"}
    pairs = [(int(row.n), row.scheme) for row in table.itertuples()]
    return table.assign(
        predicted=[laws.mean_singular_value(n, scheme) for n, scheme in pairs],
        control=[laws.mean_singular_value(n, others[scheme]) for n, scheme in pairs],
        limit=[laws.SCALES[scheme] * laws.QUARTER_CIRCLE for _, scheme in pairs],
    )


def products(table: pd.DataFrame) -> pd.DataFrame:
    """The asymptotes of the singular values (index 1 …), the bounds' middle for ln(s₁/s_n) (index 0)."""
    predicted, allowance = np.zeros(len(table)), np.zeros(len(table))
    for k, row in enumerate(table.itertuples()):
        if row.init != "orthogonal":
            middle, half = laws.log_condition(row.width, row.depth)
            lines = laws.asymptotes(row.width, row.depth)
            predicted[k], allowance[k] = (middle, half) if row.index == 0 else (lines[row.index - 1], 0)
    return table.assign(predicted=predicted, allowance=allowance)


def sizes(table: pd.DataFrame) -> pd.DataFrame:
    """With the exact law of ln(h̄²_l/h̄²_0), its standard error, and what mean squares alone would give."""
    law = {
        key: laws.relu_log_size(key[1], spectra.SHAPES[key[0]])
        for key in zip(table["shape"], table.reading, strict=True)
    }
    rows = list(zip(table["shape"], table.reading, table.layer, strict=True))
    mean, variance = ([law[shape, reading][k][layer - 1] for shape, reading, layer in rows] for k in (0, 1))
    return table.assign(predicted=mean, standard_error=np.sqrt(np.array(variance) / table["count"].to_numpy(float)))


def ratios(table: pd.DataFrame) -> pd.DataFrame:
    """ln of a signal's mean square over He's: what scales multiply to, forward below a layer and backward above it.

    Error: √(n·L) roundings, twice over for a square, and twice for a ratio. The median, because rounding is magnified by 1/|cos| where a
    row is nearly orthogonal to the signal: among N networks, up to some N times.
    """
    predicted, widest = [], []
    for shape, reading, signal, layer in zip(table["shape"], table.reading, table.signal, table.layer, strict=True):
        widths = spectra.SHAPES[shape]
        apart = laws.log_variance(reading, widths) - laws.log_variance("he", widths)
        predicted.append(apart[:layer].sum() if signal == "signal" else apart[layer:].sum())
        widest.append(max(widths))
    sums = np.sqrt(np.array(widest, float) * table.layer.max())
    return table.assign(predicted=predicted, standard_error=4 * sums * UNIT)


def dead_sets(table: pd.DataFrame) -> pd.DataFrame:
    """Beside the bounds for both signs and the law for one; the standard error is binomial, at the middle of the bounds."""
    rows = []
    for width, depth, inputs in zip(table.width, table.depth, table.inputs, strict=True):
        single = 1 - (1 - 0.5**width) ** depth
        low, high = (
            (bound[-1] for bound in laws.both_dead(width, depth)) if inputs == "both signs" else (single, single)
        )
        rows.append((low, high, single))
    low, high, single = np.array(rows, float).reshape(-1, 3).T
    middle = (low + high) / 2
    error = np.sqrt(np.maximum(middle * (1 - middle), 0) / table["count"].to_numpy(float))
    return table.assign(
        low=low, high=high, predicted=middle, allowance=(high - low) / 2, single=single, standard_error=error
    )


def finding(judged: pd.DataFrame, *, tables: Tables) -> str:
    """What came out, for whoever reads no further."""
    verdict = f"{(judged.verdict == 'holds').sum()} of {len(judged)} claims hold in both implementations."
    said = [sentence for sentence in (scale_said(tables), symmetry_said(tables), reading_said(tables)) if sentence]
    return " ".join([*said, verdict])


def symmetry_said(tables: Tables) -> str:
    breaking = tables["breaking"].query("backend == 'scratch'")
    if breaking.empty:
        return ""
    last = breaking.iloc[-1]
    return (
        f"Hidden units that start equal stay equal: moved apart by one part in 10{superscript(last.power)}, they need "
        f"{last.measured:.0f} steps to become different (predicted: {last.predicted:.0f})."
    )


def reading_said(tables: Tables) -> str:
    held = tables["sizes"].query("backend == 'scratch'")
    if held.empty:
        return ""
    last = held[held.layer == held.layer.max()].set_index(["shape", "reading"]).measured
    shape = "funnel" if "funnel" in held["shape"].values else held["shape"].iloc[0]
    he, literal, xavier = (np.exp(last[shape, reading] / 2) for reading in ("he", "literal", "xavier"))
    return (
        f"Of three readings of the notes' rule, 2/n with n the layer before keeps a ReLU network's signal and n − 1 nearly as well: "
        f"a {shape} typically leaves {he:.2f} and {literal:.2f} of it; with Xavier's {xavier:.2f} is left."
    )


def scale_said(tables: Tables) -> str:
    held = tables["accuracies"].query("backend == 'scratch'")
    if held.empty:
        return ""
    learned = held[held.measured >= trained.LEARNED].groupby("depth").scale.agg(["min", "max"])
    spans = [f"with {depth} layers {span(*row)}" for depth, *row in learned.itertuples(name=None)]
    return f"The deeper a network, the more its start matters: {', '.join(spans)}." if spans else ""


def span(low: float, high: float) -> str:
    return (
        "it learns from He's weights alone" if low == high else f"it learns from {low:g} to {high:g} times He's weights"
    )


def superscript(number: float) -> str:
    return f"{number:.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
