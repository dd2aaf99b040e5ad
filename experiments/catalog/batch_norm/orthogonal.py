"""What does batch norm do to the gradients of the weights below it?

It takes the part along the weights. So gradients are orthogonal to weights, the smaller the larger these are, and every step of gradient
descent makes the weights longer, by as much as Pythagoras says.
"""

from itertools import product
from typing import Any

import numpy as np

from experiments import data
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, fan, figure, panels, stacked
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import SGD, CrossEntropy, Job, randomness
from . import BATCH, NORMS
from .shared import INPUTS, ROUNDING, beside, digits, finished, lively, normed, norms

SUMS = np.sqrt(INPUTS + BATCH)  # √k, k the numbers that are added up
Seen = dict[str, Array]  # see ``norms``


@cells(cost=Cost(0.57, 88))
def algebra(lab: Lab, stretches: tuple[float, ...], seeds: int) -> Frame:
    """Three identities, the unit farthest off for each network; ``control``: the same without batch norm, or with a term missing.

    ``error`` is in units of the roundoff u: √(n + m) for the sums, times the sizes of what cancels.
    """
    batch, rows = digits(BATCH), []
    seen: dict[tuple[str, str, float], Seen] = {}
    for norm, a in product(NORMS, (1.0, *stretches)):
        layers = normed(norm)
        first, *rest = lively(layers, seeds)
        job = Job(layers, CrossEntropy(), ({"W": a * first["W"]}, *rest), batch)
        for name, shot in lab.look(job, f"64-20-10 tanh, digits, norm {norm}, weights × {a:g}").items():
            seen[name, norm, a] = norms(batch.x, shot)
    for name, a in product(("scratch", "torchref"), (1.0, *stretches)):
        ours, plain = ({b: seen[name, norm, b] for b in (1.0, a)} for norm in NORMS)
        rows += worst(*orthogonal(ours[a], plain[a]), backend=name, identity="orthogonal", stretch=a)
        if a != 1:
            rows += worst(*stretched(ours, plain, a), backend=name, identity="stretch", stretch=a)
        rows += worst(*projected(ours[a]), backend=name, identity="projection", stretch=a)
    return Frame(rows)


def orthogonal(ours: Seen, plain: Seen) -> tuple[Array, Array, Array]:
    return ours["cosine"], SUMS * ours["size"] / (ours["w"] * ours["dw"]), plain["cosine"]


def stretched(ours: dict[float, Seen], plain: dict[float, Seen], a: float) -> tuple[Array, Array, Array]:
    def apart(of: dict[float, Seen]) -> Array:
        return np.linalg.norm(a * of[a]["weight gradient"] - of[1.0]["weight gradient"], axis=-1) / of[1.0]["dw"]

    return apart(ours), SUMS * (ours[a]["reach"] * a + ours[1.0]["reach"]) / ours[1.0]["dw"], apart(plain)


def projected(ours: Seen) -> tuple[Array, Array, Array]:
    g = ours["g"]
    whole, mean, along = (g**2).sum(-1), g.sum(-1) ** 2 / BATCH, (g * ours["z"]).sum(-1) ** 2 / BATCH
    share = ours["gradient"] ** 2 / ours["slope"] ** 2
    law, loose = (whole - mean - along) / whole, (whole - mean) / whole
    return share - law, 4 * np.sqrt(BATCH) * ours["tension"], share - loose


def worst(value: Array, error: Array, control: Array, **named: Any) -> list[dict[str, Any]]:
    """One row a network: the unit that lies farthest off for its error."""
    chosen = (abs(value) / error).argmax(-1)[:, None]
    picked = (np.take_along_axis(a, chosen, -1)[:, 0].tolist() for a in (value, error, control))
    return [
        {**named, "seed": s, "value": v, "error": e, "control": c}
        for s, (v, e, c) in enumerate(zip(*picked, strict=True))
    ]


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


@claims
def of_algebra(algebra: Frame) -> Claims:
    basis = "The unit farthest off in each network. Standard error: u times √k, k the numbers added up, times the size of what cancels."
    for identity, (name, statement, source, control) in SAID.items():
        rows = algebra[algebra.identity == identity]
        compared = compare(rows, "weights × {stretch:g}, network {seed}", measured=rows.value, predicted=0.0,
                           standard_error=ROUNDING * rows.error, control_measured=rows.control)  # fmt: skip
        yield Claim(name, statement, source, basis, control, compared)


@cells(each(rate="rates"), cost=Cost(1.9, 180))
def growth(lab: Lab, rate: float, steps: int, seeds: int) -> Frame:
    """‖W‖² step by step under gradient descent, and what it was at first plus η² times all squared gradients since.

    ``error`` in units of u: what rounding may have done to w·∂L/∂w in every step, times 2η, and to W itself.
    """
    held, rows = data.load("digits").train, []
    batches = randomness.batches(0, held.x.shape[1], BATCH, steps + 1)
    for norm in NORMS:
        layers, looks = normed(norm), tuple(range(steps + 1))
        job = Job(layers, CrossEntropy(), lively(layers, seeds), held, batches, SGD(rate), looks)
        for name, shots in lab.train(job, f"norm {norm}, rate {rate:g}").items():
            law, added, error = np.zeros((3, seeds))
            for shot in shots:
                found = norms(held.x[:, batches[shot.step]], shot)
                square = (found["w"] ** 2).sum(-1)
                error = error + square
                law = square if shot.step == 0 else law + added
                named = {"backend": name, "norm": norm, "rate": rate, "step": shot.step, "seed": range(seeds)}
                rows.append(Frame(named | {"value": square, "predicted": law, "error": error}))
                added = rate**2 * (found["dw"] ** 2).sum(-1)
                error = error + 2 * rate * SUMS * found["size"].sum(-1)
    return stacked(rows)


@claims
def only_grow(growth: Frame, steps: int) -> Claims:
    ended = growth[growth.step == growth.step.max()]
    ours, plain = beside(ended, "norm", "batch", "none", ["backend", "rate", "seed"])
    yield Claim(
        name="weights only grow",
        statement=f"After {steps} steps of gradient descent ‖W‖² is what it was plus η² times the sum of all ‖∂L/∂W‖².",
        source="Pythagoras: each step is orthogonal to the weights",
        basis="Standard error: rounding of the weights, and of w·∂L/∂w in every step, summed.",
        control="without batch norm",
        comparisons=compare(ours, "η = {rate:g}, network {seed}", measured=ours.value, standard_error=ROUNDING * ours.error,
                            control_measured=plain.value, control_predicted=plain.predicted),
    )  # fmt: skip


@figure("Weights only grow")
def weights_grow(growth: Frame) -> Figure:
    """The squared length of a layer's weights under gradient descent, in units of its first value. Lines: the first value plus η² times
    all squared gradients since. With batch norm above the layer that is what happens, to the last digit; without, gradients are not
    orthogonal to weights and it is wrong.
    """
    figure, axes = panels(["with batch norm", "without batch norm"], width=3.6, height=2.9)
    one = growth[growth.seed == 0]
    first = one.groupby(["backend", "norm", "rate"]).value.transform("first")
    held = one.assign(measured=one.value / first, predicted=one.predicted / first, standard_error=0.0)
    for ax, norm in zip(axes, NORMS, strict=True):
        fan(ax, held[held.norm == norm], "rate", "learning rate {:g}", x="step")
    return finished(figure, axes, xlabel="step of gradient descent", ylabel="‖W‖² / ‖W‖² at first")
