"""Has every unit mean zero and variance one?

Over the batch that it is trained on, to the last digit: mean 0 and variance σ²/(σ² + ε), or what γ and β make of them.
"""

import numpy as np

from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, figure, stacked
from experiments.lab.figures import COLOURS, MARKERS, RING, panels
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import BatchNorm, CrossEntropy, Job, LayerNorm
from scratch.randomness import generator
from . import BATCH
from .shared import ROUNDING, UNITS, beside, by_unit, digits, farthest, finished, layered, lively, spread


@cells(each(layer=("batch", "layer")), cost=Cost(0.5, 94))
def unit_moments(lab: Lab, layer: str, scales: tuple[float, ...], seeds: int) -> Frame:
    """Mean and variance of every unit over a batch of digits, before the normalization layer and after it."""
    norm = BatchNorm() if layer == "batch" else LayerNorm()
    layers = layered(norm, bias=True)
    first, *rest = spread(lively(layers, seeds), (len(scales),))
    shift = generator(0, "shift").standard_normal((UNITS, 1))
    factors = np.array(scales)[:, None, None, None]
    scaled = {"W": factors * first["W"], "b": factors * (first["b"] + shift)}
    job, rows = Job(layers, CrossEntropy(), (scaled, *rest), digits(BATCH)), []
    for name, shot in lab.look(job, f"{layer} norm").items():
        before, after, affine = shot.outputs[0], shot.outputs[1], shot.parameters[1]
        found = {
            "mean_before": before.mean(-1),
            "variance_before": before.var(-1),
            "mean": after.mean(-1),
            "variance": after.var(-1),
            "gamma": affine["gamma"][..., 0],
            "beta": affine["beta"][..., 0],
        }
        rows.append(by_unit(found, "scale", scales, seeds, backend=name, layer=layer, eps=norm.eps))
    return stacked(rows)


def shrunk(variance: Array, eps: float) -> Array:
    """σ²/(σ² + ε): the variance that batch norm gives a unit instead of 1."""
    return variance / (variance + eps)


@claims
def of_moments(unit_moments: Frame) -> Claims:
    """Mean and variance of every unit; the control is the same unit with layer norm in batch norm's place."""
    ours, other = beside(unit_moments, "layer", "batch", "layer", ["backend", "scale", "seed", "unit"])
    deviation = np.sqrt(ours.variance_before + ours.eps)
    length, root = abs(ours.mean_before) + np.sqrt(ours.variance_before), np.sqrt(BATCH)
    affine, width = abs(ours.gamma) + abs(ours.beta), np.sqrt(ours.variance)
    moved = 4 * ours.variance + 2 * width * affine + 2 * width * abs(ours.gamma) * length / deviation
    means = ours.assign(
        measured=ours["mean"] - ours.beta,
        predicted=0.0,
        standard_error=ROUNDING * (root * abs(ours.gamma) * length / deviation + 4 * affine),
        control_measured=other["mean"] - other.beta,
    )
    variances = ours.assign(
        measured=ours.variance / ours.gamma**2,
        predicted=shrunk(ours.variance_before, ours.eps),
        standard_error=ROUNDING * root * moved / ours.gamma**2,
        control_measured=other.variance / other.gamma**2,
    )
    basis = "The unit farthest off, for each size of the weights. Standard error: rounding, √m·u times the sizes of what is added up."
    for name, statement, frame in (
        ("zero mean", "In training every unit has mean 0 over the batch, or β, which is learned in its place.", means),
        ("unit variance", "Its variance is σ²/(σ² + ε), or γ² times that: 1 as long as σ² is far above ε.", variances),
    ):
        compared = compare(farthest(frame, "scale"), "weights × {scale:g}")
        yield Claim(
            name, statement, "the notes; Ioffe & Szegedy 2015, Algorithm 1", basis, "layer norm in its place", compared
        )


@figure("Zero mean and unit variance")
def moments(unit_moments: Frame) -> Figure:
    """Every point is one unit over one batch of digits, γ and β taken out; weights of several sizes below. Batch norm gives
    mean 0 exactly, and the variance σ²/(σ² + ε) that is drawn: 1 where the unit's own variance is far above ε. Layer norm, which
    looks at one example's units instead, leaves a unit whatever mean and variance it has among the others.
    """
    figure, axes = panels(["mean over the batch", "variance over the batch"], width=3.7, height=3.1, share_y=False)
    units = unit_moments[unit_moments.seed == 0]
    sigma2 = np.geomspace(units.variance_before.min(), units.variance_before.max(), 200)
    axes[0].axhline(0, color=COLOURS[0], zorder=2)
    axes[1].plot(sigma2, shrunk(sigma2, units.eps.iloc[0]), color=COLOURS[0], zorder=2)
    for index, layer in enumerate(("batch", "layer")):
        for backend in ("scratch", "torchref"):
            few = units[(units.layer == layer) & (units.backend == backend)].iloc[::3]
            centred = ((few["mean"] - few.beta) / few.gamma, few.variance / few.gamma**2)
            look = RING if backend == "torchref" else {"marker": MARKERS[index], "linestyle": "none", "markersize": 4}
            label = f"{layer} norm" if backend == "scratch" else None
            for ax, y in zip(axes, centred, strict=True):
                ax.plot(few.variance_before, y, color=COLOURS[index], label=label, **look)
    for ax, name in zip(axes, ("mean", "variance"), strict=True):
        ax.set(xscale="log", xlabel="variance before, σ²", ylabel=f"{name} after, γ and β taken out")
    axes[1].set_yscale("log")
    return finished(figure, axes)
