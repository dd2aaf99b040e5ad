"""What is left of a batch of two examples, or of one?

One example has no variance: training on it is refused. Two are told apart by their order alone, and nothing below can learn.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from experiments.compare.backends import backends
from experiments.lab import COLOURS, Claim, Cost, Lab, cells, claims, compare, figure, panels, stacked, table
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Batch, BatchNorm, CrossEntropy, InvalidInput, Job, SquaredError
from .shared import (
    INPUTS,
    ROUNDING,
    beside,
    by_unit,
    digits,
    farthest,
    finished,
    glance,
    layered,
    lively,
    scattered,
    spread,
)


@cells(cost=Cost(0.5, 90))
def twos_and_threes(lab: Lab, scales: tuple[float, ...], seeds: int) -> Frame:
    """What batch norm makes of two examples, and what it lets through of the difference of their gradients, unit by unit.

    ``distance`` d of the two inputs, ``output`` (γ and β taken out, the sign of z₁ − z₂ too), ``passed``: σ times the input's
    gradient over half the difference of the output's. ``examples`` 3: the same two and another one, which is the control.
    """
    norm, rows = BatchNorm(), []
    layers = layered(norm)
    first, *rest = spread(lively(layers, seeds), (len(scales),))
    scaled = {"W": np.array(scales)[:, None, None, None] * first["W"]}
    for examples in (2, 3):
        job = Job(layers, CrossEntropy(), (scaled, *rest), digits(examples))
        # of two, next to nothing of the gradient is left, by cancellation: the claim knows its rounding, and replicas do not
        shots = glance(lab, job) if examples == 2 else lab.look(job, "3 examples")
        for name, shot in shots.items():
            z, a, dz = shot.outputs[0], shot.outputs[1], shot.output_gradients[0]
            gamma, beta = (shot.parameters[1][k][..., 0] for k in ("gamma", "beta"))
            g = gamma[..., None] * shot.output_gradients[1]
            sign, deviation = np.sign(z[..., 0] - z[..., 1]), np.sqrt(z.var(-1) + norm.eps)
            half = (g[..., 0] - g[..., 1]) / 2
            length = np.linalg.norm(scaled["W"], axis=-1)
            found = {
                "distance": abs(z[..., 0] - z[..., 1]),
                "output": sign * (a[..., 0] - beta) / gamma,
                "output_size": (abs(a[..., 0]) + abs(beta)) / abs(gamma),
                "passed": deviation * dz[..., 0] / half,
                "gradient_size": abs(g).max(-1) / abs(half),
                # what rounding of z is in proportion to
                "reach": np.sqrt(INPUTS) * length * np.linalg.norm(job.data.x, axis=0).max(),
            }
            named = {"backend": name, "examples": examples, "eps": norm.eps}
            rows.append(by_unit(found, "scale", scales, seeds, **named))
    return stacked(rows)


@cells(cost=Cost(0.04, 19))
def refusal(lab: Lab) -> Frame:
    """Whether training on so few examples is refused, and in what words: by scratch, and by PyTorch's own module."""
    from torch import float64

    from torchref.conventions import device_of
    from torchref.conventions import rows as rows_of
    from torchref.normalization import twin

    norm, rows = BatchNorm(affine=False), []
    ours, where = backends(lab.device)["scratch"], device_of(lab.device, np.dtype(float))
    module = twin(norm, 3).to(where, float64)
    for examples in (1, 2):
        x = np.arange(3.0 * examples).reshape(3, examples)
        job = Job((norm,), SquaredError(), ({},), Batch(x, x))
        calls: dict[str, Callable[[], Any]] = {
            "scratch": partial(ours.snapshot, job),
            "torchref": partial(module, rows_of(x, where)),
        }
        for name, call in calls.items():
            said = refused(call)
            rows.append({"backend": name, "examples": examples, "refused": float(bool(said)), "message": said})
    return Frame(rows)


def refused(call: Callable[[], Any]) -> str:
    """In what words; nothing if it goes through."""
    try:
        call()
    except (InvalidInput, ValueError) as error:
        return str(error)
    return ""


def pair(distance: Array, eps: float) -> Array:
    """What batch norm makes of two examples at that distance d: 1/√(1 + 4ε/d²), and less the same. Their variance is d²/4.

    The input's gradient is half the difference h of the output's, over σ, times 1 − x̂²: what batch norm takes away is all of it but
    for ε/(d²/4 + ε), which is 1 less the square of this.
    """
    return 1 / np.sqrt(1 + 4 * eps / distance**2)


@table
def pairs(twos_and_threes: Frame) -> Frame:
    """One network's batches of two with what is predicted of them, from the closest inputs to the farthest."""
    two = twos_and_threes[(twos_and_threes.examples == 2) & (twos_and_threes.seed == 0)]
    law = pair(two.distance, two.eps)
    columns = ["backend", "scale", "unit", "distance", "output", "passed"]
    return two[columns].assign(output_law=law, passed_law=1 - law**2).sort_values("distance", ignore_index=True)


@claims
def of_pairs(twos_and_threes: Frame) -> Claims:
    """Two examples: their outputs, and what is let through of a gradient; the control is the same two and a third."""
    ours, other = beside(twos_and_threes, "examples", 2, 3, ["backend", "scale", "seed", "unit"])
    law = pair(ours.distance, ours.eps)
    moved = ours.reach / ours.distance  # of d, by rounding of the inputs
    basis = "The unit farthest off. Standard error: u times the sizes of what cancels, and rounding of the inputs over their distance."
    for column, predicted, error, name, statement, source in (
        (
            *("output", law, 4 + 4 * ours.output_size + moved * law),
            "two examples: a sign",
            "In a batch of two a unit gives ±1/√(1 + 4ε/d²), d the distance of its inputs: which of the two is larger, and no more.",
            "mean and variance of two numbers",
        ),
        (
            *("passed", 1 - law**2, 8 + 8 * ours.gradient_size + moved),
            "two examples: no gradient",
            "Of their gradients batch norm lets ε/(d²/4 + ε) through: what lies below it cannot learn.",
            "the parts along 1 and along x̂ are all that two numbers have",
        ),
    ):
        frame = ours.assign(measured=ours[column], predicted=predicted, standard_error=ROUNDING * error)
        chosen = farthest(frame.assign(control_measured=other[column]), "scale")
        compared = compare(chosen, "weights × {scale:g}")
        yield Claim(name, statement, source, basis, "a third example in the batch", compared)


@claims
def of_one(refusal: Frame) -> Claims:
    ours, other = beside(refusal, "examples", 1, 2, ["backend"])
    yield Claim(
        name="one example is refused",
        statement="A batch of one has no variance: its output would be β whatever the input. Training on it is refused (1: yes).",
        source="the definition; nn.BatchNorm1d, which says so too",
        basis="Tried; what both say stands in tables/refusal.csv.",
        control="a batch of two",
        comparisons=compare(ours, "a batch of one", measured=ours.refused, predicted=1.0, standard_error=ROUNDING,
                            control_measured=other.refused),
    )  # fmt: skip


@figure("Batches of two")
def two_examples(pairs: Frame) -> Figure:
    """Batches of two examples, every point one unit. Left: the output for the larger input, γ and β taken out: 1, unless the two inputs
    are as close as √ε. Right: the share of the gradients' difference that is let through to the inputs: ε/(d²/4 + ε), next to nothing.
    """
    figure, axes = panels(["output", "gradient let through"], width=3.5, height=3.0, share_y=False)
    for ax, name in zip(axes, ("output", "passed"), strict=True):
        ax.plot(pairs.distance, pairs[f"{name}_law"], color=COLOURS[0], zorder=2)
        scattered(ax, pairs.iloc[::2], "a unit", 0, x="distance", y=name)
    axes[0].set(ylim=(0, 1.1), ylabel="x̂ of the larger one")
    axes[1].set(yscale="log", ylabel="share of the gradient below")
    return finished(figure, axes, xscale="log", xlabel="distance of the two inputs, d")
