"""Which reading of the notes' sqrt(2/(n−1)) keeps the signal?

2/n with n the layer before (He's rule), 2/(n−1) to the letter, or 2/(n_in+n_out) (Xavier's): the same draws, scaled by each.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from experiments import theory
from experiments.compare import probes
from experiments.lab import Array, Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, compare, each, figure, table
from experiments.lab.figures import key, panels, series
from scratch import Batch, Job, ReLU, Snapshot, initializers
from scratch.initializers import Scheme
from .shared import UNIT, drawn, hidden, measured, moments

SHAPES = {  # the input's width first
    "narrow": (3, 3, 3, 3, 3, 3),
    "hourglass": (48, 24, 8, 8, 24, 48),
    "funnel": (96, 64, 40, 24, 16, 10),
}
READINGS = {  # as Var W of (n_out, n_in)
    "he": lambda n_out, n_in: 2 / n_in,
    "literal": lambda n_out, n_in: 2 / (n_in - 1),
    "xavier": lambda n_out, n_in: 2 / (n_in + n_out),
}
NAMES = {"he": "2/n", "literal": "2/(n−1)", "xavier": "2/(n_in+n_out)"}


def literal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """The notes' √(2/(n−1)) to the letter, n the width of the layer before. A layer with one input has none."""
    return generator.standard_normal(shape) * np.sqrt(2 / (shape[-1] - 1))


SCHEMES: dict[str, Scheme] = {"he": initializers.he, "literal": literal, "xavier": initializers.xavier}
Logs = Mapping[str, Mapping[str, Array]]  # by reading and signal


@cells(each(shape=SHAPES), makes=("rescaled_sizes", "rescaled_ratios"), cost=Cost(1.6, 700))
def rescaled(lab: Lab, shape: str, draws: int) -> dict[str, Frame]:
    """ReLU networks of unequal widths from the same draws, scaled by each reading.

    Sizes: the mean over networks of ln(h̄²_l/h̄²_0); ratios: the median over networks of ln of a signal's mean square over He's.
    """
    widths, found = SHAPES[shape], {}
    data = Batch(np.linspace(0.5, 1.5, widths[0]).reshape(-1, 1), np.linspace(1.2, -0.7, widths[-1]).reshape(-1, 1))
    for reading, scheme in SCHEMES.items():
        job = drawn(hidden(ReLU(), widths[1:]), data, scheme, draws)
        looked = lab.look(job, f"{shape}, {reading}")
        found[reading] = {backend: log_sizes(job, shot) for backend, shot in looked.items()}
    logs = {backend: {reading: found[reading][backend] for reading in found} for backend in found["he"]}
    axes = {"reading": list(SCHEMES), "signal": ["signal", "gradient"], "layer": range(1, len(widths))}
    forward = {name: labels for name, labels in axes.items() if name != "signal"}
    return {
        "rescaled_sizes": measured(lab, logs, sizes, forward),
        "rescaled_ratios": measured(lab, logs, over_he, axes),
    }


def log_sizes(job: Job, shot: Snapshot) -> dict[str, Array]:
    """ln of the mean square, relative to the input's, of every ReLU layer's output (layers, draws), and of the gradient there."""
    with np.errstate(divide="ignore"):  # a dead network
        signal = 2 * np.log([probes.rms(h) / probes.rms(job.data.x) for h in shot.outputs[1::2]])
        gradient = 2 * np.log([probes.rms(g) / probes.rms(job.data.y) for g in shot.output_gradients[1::2]])
    return {"signal": signal, "gradient": gradient}


def alive(logs: Logs) -> Array:
    return np.isfinite(logs["he"]["signal"][-1])


def sizes(logs: Logs) -> dict[str, Any]:
    return moments(np.array([held["signal"][:, alive(logs)] for held in logs.values()]))


def over_he(logs: Logs) -> dict[str, Array]:
    living = np.array([[values[:, alive(logs)] for values in held.values()] for held in logs.values()])
    return {"measured": np.median(living - living[0], axis=-1)}


def log_variance(reading: str, widths: Sequence[int]) -> Array:
    """ln Var W of every layer of a network of these ``widths``, the input's first."""
    return np.log([READINGS[reading](n_out, n_in) for n_in, n_out in pairwise(widths)])


def relu_log_size(reading: str, widths: Sequence[int]) -> tuple[Array, Array]:
    """Mean and variance of ln(h̄²_l/h̄²_0), h̄² the mean square over units, after each ReLU layer that is alive, no bias.

    ‖h_l‖² is ‖h_{l−1}‖² Var W times χ²_K, K ~ Bin(n_l, ½); so a layer adds ln(n_in Var W/2) and ``theory.relu_moments``.
    """
    layer = np.array([theory.relu_moments(n, np.array(1.0)) for n in widths[1:]])
    gain = log_variance(reading, widths) + np.log(np.array(widths[:-1]) / 2)
    return np.cumsum(gain + layer[:, 0]), np.cumsum(layer[:, 1])


@table
def signals(rescaled_sizes: Frame) -> Frame:
    """With the exact law of ln(h̄²_l/h̄²_0), and its standard error."""
    found = []
    for (shape, reading), group in rescaled_sizes.groupby(["shape", "reading"]):
        mean, variance = (law[group.layer - 1] for law in relu_log_size(reading, SHAPES[shape]))
        found.append(group.assign(predicted=mean, standard_error=np.sqrt(variance / group["count"])))
    return pd.concat(found).sort_index()


@table
def ratios(rescaled_ratios: Frame) -> Frame:
    """ln of a signal's mean square over He's: what scales multiply to, forward below a layer and backward above it.

    Error: √(n·L) roundings, twice over for a square, and twice for a ratio. The median, because rounding is magnified by 1/|cos| where a
    row is nearly orthogonal to the signal: among N networks, up to some N times.
    """
    predicted, widest = [], rescaled_ratios["shape"].map(lambda shape: max(SHAPES[shape]))
    for row in rescaled_ratios.itertuples():
        apart = log_variance(row.reading, SHAPES[row.shape]) - log_variance("he", SHAPES[row.shape])
        predicted.append((apart[: row.layer] if row.signal == "signal" else apart[row.layer :]).sum())
    error = 4 * np.sqrt(widest * rescaled_ratios.layer.max()) * UNIT
    return rescaled_ratios.assign(predicted=predicted, standard_error=error)


@claims
def of_readings(ratios: Frame, signals: Frame) -> Claims:
    others = ratios[ratios.reading != "he"]
    yield Claim(
        "three readings, the same draws",
        "2/n, 2/(n−1) and 2/(n_in+n_out), the same draws: at every layer signal and gradient differ by the product of the scales.",
        "notes: sqrt(2/(n−1)); derived: ReLU(ax) = a ReLU(x)",
        "An identity: ln of mean squares over 2/n's, the median of the networks. Standard error: 4√(nL) roundings.",
        "all three are the same",
        compare(others, "{shape}, {reading}, {signal}, layer {layer}", control_predicted=0.0),
    )
    yield Claim(
        "which of them keeps the signal",
        "ReLU: with 2/n the signal only loses what finite width takes; 2/(n−1) adds ln n/(n−1) a layer, Xavier's ln n_in/(n_in+n_out).",
        "notes; He 2015; derived: a layer multiplies by Var W·χ²_K, K ~ Bin(n, ½) active units",
        "Exact law of E ln h̄² for any widths, of networks that are alive; standard error from the law's variance.",
        "every reading keeps it",
        compare(signals, "{shape}, {reading}, layer {layer}", control_predicted=0.0),
    )


@figure("The notes' rule, read three ways")
def readings(signals: Frame) -> Figure:
    """ReLU networks of unequal widths, the same random draws scaled by each reading: how large the typical signal is, in units of the
    input's; lines are the exact law. 2/n (the layer before: He's rule) only loses what narrow layers cost. 2/(n−1) is
    nearly the same where n is large, and makes up for some of that loss where it is small (about 2/(n − 2.5) would make up for
    all of it). Xavier's rule loses half the mean square a layer, more where widths grow. Widths: 96 64 40 24 16 10; 48 24 8 8 24
    48; 3 throughout.
    """
    shapes = list(signals["shape"].unique())[::-1]
    half = {name: signals[name] / (2 * np.log(10)) for name in ("measured", "predicted", "standard_error")}
    logs = signals.assign(**half)
    figure, axes = panels(shapes, width=2.75, height=3.0, margins=(0.95, 2.6, 0.6, 0.4))
    for ax, shape in zip(axes, shapes, strict=True):
        for index, (reading, label) in enumerate(NAMES.items()):
            one = logs[(logs["shape"] == shape) & (logs.reading == reading)]
            series(ax, one, f"Var W = {label}", index, x="layer")
        ax.set_xlabel("layer")
        ax.set_xticks(sorted(signals.layer.unique()))
    return key(figure, axes, ylabel="log₁₀ of signal / input")
