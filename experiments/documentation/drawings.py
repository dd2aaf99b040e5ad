"""The figures of the pages: scratch itself, drawn in the laboratory's one look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from experiments.documentation.examples import children, example
from experiments.documentation.markdown import shown
from experiments.lab.figures import COLOURS, STYLE
from scratch import (
    L1,
    L2,
    SGD,
    AbsoluteError,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    BinaryCrossEntropy,
    ElasticNet,
    Huber,
    ReduceOnPlateau,
    RMSProp,
    SquaredError,
)
from scratch import schedules as rates
from scratch.activations import by_name
from scratch.layers import Array
from scratch.losses import Loss
from scratch.optimizers import Optimizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE = COLOURS[:2]
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)))  # told apart without colours, too
VALLEY = np.array([1.0, 20.0])  # J = (x² + 20 y²)/2
RULES = (
    *(SGD(0.03), SGD(0.09), SGD(0.03, 0.8), SGD(0.03, 0.8, nesterov=True)),
    *(Adagrad(0.5), RMSProp(0.1, 0.9), Adadelta(50.0), Adam(0.2), AdamW(0.2, weight_decay=0.5)),
)
Curves = dict[str, tuple[Array, Array]]  # name -> value and slope


def grid(things: Sequence[Any], columns: int, x: str, y: str = "", key: bool = False) -> tuple[Figure, list[Axes]]:
    """Small multiples in rows of ``columns``, titled by name and options; ``key``: room for a legend above."""
    titles = [shown(thing).removesuffix("()").replace("(", "\n(", 1) for thing in things]
    lines, rows = max(title.count("\n") for title in titles) + 1, -(-len(titles) // columns)
    panel, gap, top = 1.6, 0.25 + 0.2 * lines, 0.1 + 0.2 * lines + 0.35 * key
    across, up = 0.8 + columns * 2.75, 0.65 + rows * panel + (rows - 1) * gap + top
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(across, up))
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten().tolist()
        figure.subplots_adjust(0.75 / across, 0.65 / up, 1 - 0.1 / across, 1 - top / up, wspace=0.1, hspace=gap / panel)
        for ax in axes[len(titles) :]:
            ax.remove()
        for ax, title in zip(axes, titles, strict=False):
            ax.set_title(title, fontsize=11, pad=4)
        figure.supxlabel(x, y=0.08 / up, fontsize=12)
        figure.supylabel(y, x=0.08 / across, fontsize=12)
    return figure, axes[: len(titles)]


def lifted(line: Array) -> Array:
    """The line with NaN where it jumps: a pen that lifts."""
    return np.where(np.abs(np.diff(line, append=line[-1])) > 0.4, np.nan, line)


def activations() -> Figure:
    layers = [kind() for kind in by_name().values()]
    z = np.linspace(-4, 4, 401)[None]
    figure, axes = grid(layers, 3, "z", key=True)
    for ax, layer in zip(axes, layers, strict=True):
        a, cache = layer.forward({}, z.copy())
        slope, _ = layer.backward({}, cache, np.ones_like(z))
        ax.plot(z[0], a[0], color=BLUE, label="a(z)")
        ax.plot(z[0], lifted(slope[0]), color=ORANGE, linestyle=DASHES[1], label="da/dz")
        ax.set(ylim=(-2.1, 4.1), yticks=(-2, 0, 2, 4))
    with matplotlib.rc_context(STYLE):
        figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=2, fontsize=12, borderpad=0)
    return figure


def schedules() -> Figure:
    plans = [example(kind) for kind in children(rates.Schedule) if kind is not ReduceOnPlateau]
    plans.append(ReduceOnPlateau(factor=0.5, patience=9))
    figure, axes = grid(plans, 3, "update t", "η(t)/η₀")
    for ax, plan in zip(axes, plans, strict=True):
        memory, steps = plan.start(1.0), np.arange(100)
        seen = [float(plan.rate(memory, int(t), max(1 - t / 30, 0.0) if t else None)) for t in steps]
        ax.plot(steps, seen, color=BLUE, drawstyle="steps-post")
        ax.set(ylim=(-0.05, 1.1), yticks=(0, 0.5, 1))
    return figure


def losses() -> Figure:
    errors, logits = np.linspace(-3, 3, 301), np.linspace(-6, 6, 301)
    return _pairs(
        (
            "error z − y",
            errors,
            {shown(loss): _loss(loss, errors, 0.0) for loss in (SquaredError(), AbsoluteError(), Huber())},
        ),
        (
            "logit z, target y = 1",
            logits,
            {shown(loss): _loss(loss, logits, 1.0) for loss in (BinaryCrossEntropy(), BinaryCrossEntropy(2.0))},
        ),
    )


def _loss(loss: Loss, z: Array, target: float) -> tuple[Array, Array]:
    value, slope = loss(z[:, None, None], np.full((len(z), 1, 1), target))  # a stack of networks with one output
    return value, slope[:, 0, 0]


def penalties() -> Figure:
    w = np.linspace(-2, 2, 401)
    kinds = (L1(1.0), L2(1.0), ElasticNet(0.5, 0.5))
    return _pairs(("weight w", w, {shown(kind): (kind.value(w[:, None, None]), kind.slope(w)) for kind in kinds}))


def _pairs(*groups: tuple[str, Array, Curves]) -> Figure:
    """A row for each group: value and slope, and its key above them."""
    rows = len(groups)
    up = 3.6 * rows
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.2, up))
        axes = figure.subplots(rows, 2, squeeze=False)
        figure.subplots_adjust(0.06, 0.6 / up, 0.98, 1 - 0.65 / up, wspace=0.18, hspace=1.25 / 2.3)
        for pair, (label, points, curves) in zip(axes, groups, strict=True):
            for k, (name, lines) in enumerate(curves.items()):
                for ax, line in zip(pair, lines, strict=True):
                    ax.plot(points, lifted(line), color=COLOURS[k], linestyle=DASHES[k], label=name)
            for ax, title in zip(pair, ("value", "slope"), strict=True):
                ax.set(title=title, xlabel=label)
            place = (0.5, pair[0].get_position().y1 + 0.65 / up)
            figure.legend(
                *pair[0].get_legend_handles_labels(), loc="upper center", bbox_to_anchor=place, ncols=len(curves)
            )
    return figure


def optimizers() -> Figure:
    figure, axes = grid(RULES, 3, "x", "y")
    around = np.append(np.linspace(0, 2 * np.pi, 100), np.nan)
    sizes = np.sqrt(2 * np.array([0.1, 0.5, 2, 5, 10]))[:, None]  # J = 0.1, 0.5, …
    for ax, rule in zip(axes, RULES, strict=True):
        ax.plot(
            np.ravel(sizes * np.cos(around)),
            np.ravel(sizes * np.sin(around) / np.sqrt(VALLEY[1])),
            color="#AAAAAA",
            linewidth=0.8,
        )
        ax.plot(*zip(*walk(rule, 40), strict=True), color=BLUE, marker="o", markersize=3, linewidth=1.0)
        ax.plot(0, 0, color=ORANGE, marker="+", markersize=13, markeredgewidth=2)
        ax.set(xlim=(-1.2, 3.4), ylim=(-1.3, 1.3))
        ax.grid(False)
    return figure


def walk(rule: Optimizer, steps: int) -> list[Array]:
    """The points that the rule visits from (3, 1)."""
    theta = np.array([3.0, 1.0])
    memory, path = rule.start(theta), [theta.copy()]
    for _ in range(steps):
        rule.update(theta, VALLEY * theta, memory)
        path.append(theta.copy())
    return path
