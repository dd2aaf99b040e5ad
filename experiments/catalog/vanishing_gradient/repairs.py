"""What repairs it?

One thing changed at a time: other weights, batch norm, skip connections. Theory predicts the gradient at every layer before training.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments import theory
from experiments.compare import probes
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, figure, key, over_seeds, panels, series, table
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import (
    Batch,
    BatchNorm,
    Dense,
    InnerProduct,
    Job,
    Layer,
    Network,
    Residual,
    Snapshot,
    activations,
    initializers,
)
from scratch.network import Parameters
from scratch.randomness import generator, stack
from . import repair_laws
from .shared import EXAMPLES, FINITE_WIDTH, hidden

TINY = 1e-30  # an ε of batch norm that is nothing beside any variance here
LN_100 = 2 * np.log(10)  # from the natural logarithm of a square to the power of ten
BASIS = f"Wide-network law, open by {FINITE_WIDTH}/n for each layer's share that went through weights; Student's t over seeds."
REPAIRS = {  # one thing changed at a time, beginning from "standard" weights; with batch norm weights do not matter
    "plain": ("standard", "xavier", "he"),
    "batch norm": ("standard", "he"),
    "skip": ("standard", "he"),
    "skip/√L": ("standard", "he"),
}
NAMES = {  # what the figures call them: kind and weights
    "standard weights": ("plain", "standard"),
    "He's weights": ("plain", "he"),
    "batch norm": ("batch norm", "standard"),
    "skip": ("skip", "standard"),
    "skip, He": ("skip", "he"),
    "skip/√L, He": ("skip/√L", "he"),
}


def body(kind: str, activation: Layer, width: int, depth: int, norm: BatchNorm) -> tuple[Layer, ...]:
    """``depth`` hidden layers of one kind of repair; the first Dense layer is never skipped."""
    if kind == "batch norm":
        return (Dense(width, bias=False), norm, activation) * depth
    if kind == "plain":
        return hidden(activation, width, depth)
    return (Dense(width), *(Residual((activation, Dense(width))),) * (depth - 1), activation)


def damped(parameters: Parameters, factor: float) -> Parameters:
    """Branches h + Wφ(h) made h + αWφ(h): α goes into W, where it makes no other network, only other first weights."""
    return tuple({name: a * factor if name == "1.W" else a for name, a in named.items()} for named in parameters)


def of_init(kind: str, activation: str, init: str, depth: int, batch: int) -> tuple[Array, Array]:
    """``repair_laws.gradient`` for an init scheme by its name."""
    chosen = activations.by_name()[activation]()
    return repair_laws.gradient(kind, chosen, theory.VARIANCES[init](1, 1), depth, batch)


@cells(
    lambda options: [
        {"kind": kind, "activation": activation, "depth": max(options.depths)}
        for activation in options.activations
        for kind in REPAIRS
    ],
    cost=Cost(1.5, 660),
)
def repaired_stacks(lab: Lab, kind: str, activation: str, depth: int, width: int, seeds: int, dtype: str) -> Frame:
    """log ‖∂J/∂z_l‖²/‖∂J/∂z_L‖² at every hidden layer l; z is what a Dense layer gives, or the sum after a skip connection.

    Inputs are at right angles to each other and of length √width, or with batch norm of the length that lets layer 1 be like
    the others; the gradient at the top is drawn independently of the network.
    """
    chosen, examples = activations.by_name()[activation](), min(EXAMPLES, width)
    x = np.linalg.qr(generator(0, "examples").standard_normal((width, examples)))[0] * np.sqrt(width)
    if kind == "batch norm":
        x = x * np.sqrt(repair_laws.batch_norm(chosen, examples)[1])
    upstream = generator(0, "upstream").standard_normal((width, examples))
    layers = body(kind, chosen, width, depth, BatchNorm(TINY, affine=False))
    schemes = [initializers.by_name()[init] for init in REPAIRS[kind]]
    parameters = damped(stack(Network(layers, width), schemes, seeds, dtype), repair_laws.scale(kind, depth))
    job = Job(layers, InnerProduct(), parameters, Batch(x.astype(dtype), upstream.astype(dtype)))
    shots = lab.look(job, f"{activation}, {kind}, depth {depth}")
    return pd.concat(
        [
            sizes(job, shot, REPAIRS[kind]).assign(
                backend=name, kind=kind, activation=activation, depth=depth, examples=examples
            )
            for name, shot in shots.items()
        ],
        ignore_index=True,
    )


def sizes(job: Job, shot: Snapshot, inits: Sequence[str]) -> Frame:
    """Mean and standard error over seeds for each init and layer; networks whose gradient underflows are left out."""
    at = [k for k, layer in enumerate(job.layers) if isinstance(layer, (Dense, Residual))]
    rms = np.array([probes.rms(shot.output_gradients[k]) for k in at])  # (layers, inits, seeds)
    normal = rms > np.finfo(job.data.x.dtype).tiny
    logs = 2 * np.log(np.where(normal, rms, np.nan) / rms[-1])
    frame = probes.rows(logs, {"layer": range(1, len(at) + 1), "init": inits, "seed": range(logs.shape[-1])})
    return over_seeds(frame, ["init", "layer"]).drop(columns="dof")


@table
def repaired(repaired_stacks: Frame, width: int) -> Frame:
    """The table with the prediction at every layer, what finite width leaves open, and the predictions that are to fail."""
    key = ["kind", "activation", "init", "depth", "examples"]
    found = []
    for (kind, activation, init, depth, examples), group in repaired_stacks.groupby(key, sort=False):
        at = group.layer.to_numpy() - 1
        logs, shares = of_init(kind, activation, init, depth, examples)
        wrong = control(kind, activation, init, depth, examples)
        found.append(
            group.assign(predicted=logs[at], tolerance=FINITE_WIDTH / width * shares[at], control_predicted=wrong[at])
        )
    return pd.concat(found, ignore_index=True)


def control(kind: str, activation: str, init: str, depth: int, examples: int) -> Array:
    """Prediction without the repair: standard weights; a gradient that is kept; no skip; a skip that is not scaled."""
    match kind:
        case "plain":
            return of_init("plain", activation, "standard", depth, examples)[0]
        case "batch norm":
            return np.zeros(depth)
        case "skip":
            return of_init("plain", activation, init, depth, examples)[0]
        case _:
            return of_init("skip", activation, init, depth, examples)[0]


SAID = {  # of each kind of repair: name, statement, source, control
    "plain": (
        "repair: weights",
        "Xavier's and He's weights repair what their slope allows: the first layer's squared gradient is Π σ_w² E φ′² times the "
        "last's, near 1 for ReLU with He's and tanh with Xavier's weights, but not for sigmoid with either.",
        "Schoenholz 2017",
        "the standard weights' prediction",
    ),
    "batch norm": (
        "repair: batch norm",
        "Batch norm repairs every activation, whatever the weights, at a price: the squared gradient explodes by a factor a layer.",
        "Yang 2019, Theorem 8, derived here for any activation",
        "a gradient that is kept as it is (log 0)",
    ),
    "skip": (
        "repair: skip",
        "A skip connection h + Wφ(h) adds 1 to every factor: the squared gradient never vanishes, and grows by 1 + χ a block.",
        "Yang & Schoenholz 2017; He 2016",
        "the same blocks without their skip: χ a block",
    ),
    "skip/√L": (
        "repair: scaled skip",
        "Branches scaled by 1/√L keep the gradient at every depth: factors 1 + χ/L, at most e^χ together (ReLU, He: below e).",
        "Hanin & Rolnick 2018; derived: (1 + 1/L)^(L−1) < e",
        "branches that are not scaled: 1 + χ a block",
    ),
}


@claims
def of_repairs(repaired: Frame) -> Claims:
    """One for each kind of repair, over activations and weights: the first layer's squared gradient against the last's."""
    rows = repaired[(repaired.layer == 1) & (repaired.depth > 1) & (repaired.seeds > 1)]
    rows = rows[(rows.kind != "plain") | (rows.init != "standard")]
    for kind, (name, statement, source, wrong) in SAID.items():
        one = rows[rows.kind == kind]
        compared = compare(one, "{activation}, {init}, {kind}, depth {depth}", dof=one.seeds - 1)
        yield Claim(name, statement, source, BASIS, wrong, compared)


@figure("What repairs it")
def repairs(repaired: Frame) -> Figure:
    """One thing changed at a time, beginning from the standard weights of 2010: the gradient at every hidden layer, relative to
    the last one's. Lines that leave the panel below have vanished. Batch norm and skip connections repair every activation,
    other weights only where the activation's slope allows it. The price of batch norm is a mild explosion, that of plain skip
    connections with He's weights a strong one; branches scaled by 1/√L cost next to nothing.
    """
    names = list(repaired.activation.unique())
    figure, axes = panels([f"{name}, {repaired.depth.max()} hidden layers" for name in names])
    powers = repaired.assign(**{c: repaired[c] / LN_100 for c in ("measured", "predicted", "standard_error")})
    for ax, activation in zip(axes, names, strict=True):
        for index, (label, (kind, init)) in enumerate(NAMES.items()):
            one = powers[(powers.activation == activation) & (powers.kind == kind) & (powers.init == init)]
            series(ax, one[one.measured > -7], label, index, x="layer")
    return key(
        figure,
        axes,
        xlabel="layer (1 is next to the input)",
        ylim=(-7, 5),
        ylabel="log₁₀ of ‖∂J/∂z‖ rel. to the last layer's",
    )
