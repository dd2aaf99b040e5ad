"""Which variance of the weights does an activation need, and can one find it without a table?

LSUV rescales orthogonal weights, layer by layer, until Wx + b has unit variance on data.
"""

from typing import Any

import numpy as np

from experiments import theory
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, figure, matched, over_seeds, table
from experiments.lab.figures import COLOURS, MARKERS, joined, key, panels, series, ticks
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import CrossEntropy, Dense, Job, Network, Snapshot, activations
from scratch.activations import Activation
from .shared import DOTTED, SETTLED, STUDENT, first_digits, hidden, lsuv_and_he, measured

DEPTH = 6  # hidden layers
FINITE_WIDTH = (
    3.5  # ln of a layer's gain is off by about 2.5/n (see theory.relu_moments), and 1/n that Var takes off for its mean
)


@cells(each(activation="activations"), cost=Cost(1.2, 530))
def unit(lab: Lab, activation: str, width: int, seeds: int, data: str) -> Frame:
    """Var(Wx + b) of every Dense layer, and n·Var W by what the layer does: Var z over the mean square of its input."""
    batch, classes = first_digits(data, SETTLED)
    layers = (*hidden(activations.by_name()[activation](), (width,) * DEPTH, bias=True), Dense(classes))
    parameters = lsuv_and_he(Network(layers, len(batch.x)), seeds, batch.x)
    shots = lab.look(Job(layers, CrossEntropy(), parameters, batch), activation)

    def seen(shot: Snapshot) -> dict[str, Array]:
        signals = [batch.x, *shot.outputs]
        variance = np.array([z.var((-2, -1)) for z in signals[1::2]])
        gain = [z.var((-2, -1)) / (x**2).mean((-2, -1)) for x, z in zip(signals[::2], signals[1::2], strict=True)]
        return {"variance": variance, "gain": np.array(gain)}

    axes = {"layer": range(1, DEPTH + 2), "scheme": ["lsuv", "he"], "seed": range(seeds)}
    return measured(lab, shots, seen, axes)


def needed(activation: Activation, sizes: Array, layers: int) -> Array:
    """What a layer's n·Var W must be so that its output has variance 1, for layers 2 … ``layers``: 1/E φ(z)² (wide networks).

    ``sizes``: ‖x‖² of every example, which set the spread of z in layer 1; a layer hands on how they differ.
    """
    q, found = sizes / sizes.mean(), []
    for _ in range(layers - 1):
        after = theory.moments(activation, q)[0]
        found.append(1 / after.mean())
        q = after * found[-1]
    return np.array(found)


@table
def gains(unit: Frame, data: str, width: int) -> Frame:
    """ln of the n·Var W that gives unit variance, averaged over layers 2 … for each seed, beside the mean-field value."""
    inner = unit[(unit.scheme == "lsuv") & unit.layer.between(2, DEPTH)]
    by = ["activation", "backend", "seed"]
    logs = inner.assign(value=np.log(inner.gain)).groupby(by, sort=False).value.mean().reset_index()
    found, sizes = over_seeds(logs, by[:2]).drop(columns="seeds"), (first_digits(data, SETTLED)[0].x ** 2).sum(0)

    def law(activation: str) -> float:
        return float(np.log(needed(activations.by_name()[activation](), sizes, DEPTH)).mean())

    predicted = {name: law(name) for name in found.activation.unique()}
    return found.assign(predicted=found.activation.map(predicted), tolerance=FINITE_WIDTH / width)


@table
def variances(unit: Frame) -> Frame:
    """Var z of every layer: mean over seeds, and the farthest from 1."""
    by = ["activation", "scheme", "layer", "backend"]
    farthest = unit.assign(apart=abs(unit.variance - 1)).groupby(by, sort=False).apart.max().to_numpy()
    return over_seeds(unit, by, "variance").drop(columns=["seeds", "dof"]).assign(farthest=farthest)


@claims
def of_lsuv(variances: Frame, gains: Frame) -> Claims:
    ours, he = (variances[variances.scheme == scheme] for scheme in ("lsuv", "he"))
    other = matched(ours, he, ["activation", "layer", "backend"]).farthest
    yield Claim(
        "LSUV: unit variance",
        "LSUV gives Wx + b unit variance over units and digits in every layer, whatever the activation, to its tolerance.",
        "Mishkin & Matas 2016, Algorithm 1",
        "The algorithm's own tolerance of 0.01 is the bound; the farthest seed; standard error: rounding of a mean.",
        "He's rule",
        compare(
            ours,
            "{activation}, layer {layer}",
            measured=ours.farthest,
            predicted=0.01,
            standard_error=1e-13,
            control_measured=other,
        ),
        "at most",
    )
    xavier = np.where(gains.activation == "relu", 0.0, np.log(2))
    yield Claim(
        "LSUV: the variance it finds",
        "Nobody tells it, and it finds n·Var W = 1/E φ(z)²: He's 2 for ReLU, other numbers for other activations.",
        "derived: mean field with unit variance; He 2015 for ReLU",
        f"ln n·Var W over layers 2 … 6; {STUDENT} Tolerance: 3.5/n, what finite width takes.",
        "He's 2 for all, and Xavier's 1 for ReLU",
        compare(gains, "{activation}", control_predicted=xavier),
    )


@figure("Unit variance without a table")
def lsuv(gains: Frame, variances: Frame, raw_ends: Frame) -> Figure:
    """Left: n·Var W by which LSUV gives every layer unit variance: found from data alone, and what theory says each activation needs
    (bars); He's 2 is right for ReLU and not for the others. Middle: variance layer by layer with He's weights; LSUV's is 1.
    Right: tanh networks on inputs that nobody standardised (5 + 6x): test loss after training, at several learning rates.
    """
    figure, (left, middle, right) = panels(
        ["what it finds", "with He's weights", "not standardised"],
        width=2.9,
        height=3.0,
        share_y=False,
        margins=(0.95, 2.4, 1.0, 0.4),
    )
    names, he = list(gains.activation.unique()), variances[variances.scheme == "he"]
    at = gains.assign(x=gains.activation.map(names.index), **{c: np.exp(gains[c]) for c in ("measured", "predicted")})
    at["standard_error"] *= at.measured
    for index, name in enumerate(names):
        one = at[at.activation == name]
        left.plot([index - 0.35, index + 0.35], one.predicted.iloc[:1].repeat(2), color=COLOURS[index], zorder=2)
        series(left, one.drop(columns="predicted"), name, index, x="x")
        joined(middle, he[he.activation == name], name, index, x="layer", **DOTTED)
    left.axhline(2, color="#555555", linestyle="--", linewidth=1)
    left.set_xticks(range(len(names)), names, rotation=40, ha="right")
    left.set(ylabel="n · Var W", ylim=(0, 1.1 * max(2, at.predicted.max())))
    middle.set(yscale="log", xlabel="layer", ylabel="variance of z = Wx + b")
    ticks(middle.yaxis, [0.2, 0.5, 1, 2, 5, 10, 20])
    for index, (scheme, label) in zip((-2, -1), (("he", "He's"), ("lsuv", "LSUV's")), strict=True):
        one = raw_ends[(raw_ends.scheme == scheme) & (raw_ends.backend == "scratch")].sort_values("rate")
        look: Any = {"color": COLOURS[index], "marker": MARKERS[index], "markersize": 5, "label": f"{label} weights"}
        right.errorbar(one.rate, one.measured, one.standard_error, **look)
    right.set(xscale="log", xlabel="learning rate", ylabel="test loss at the end", ylim=(0, None))
    ticks(right.xaxis, sorted(raw_ends.rate.unique()))
    return key(figure, [left, middle, right])
