"""The figures of the report, drawn from its tables alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.catalog.vanishing_gradient import LEARNS, REPAIRED, STUCK
from experiments.experiment import Plot, Tables
from experiments.figures import COLOURS, MARKERS, RING, heatmap, key, panels, series

LN_100 = 2 * np.log(10)  # from the natural logarithm of a square to the power of ten
LABELS = {init if kind == "plain" else f"{init}, {kind}": label for label, (kind, init) in REPAIRED.items()}
PRODUCTS = {"product": "y = w1 w2 … wn x", "linear": "deep linear, width 10", "narrow": "ReLU, width 10, He"}


def figures(tables: Tables) -> list[Plot]:
    """Each figure's caption is the docstring of the function that draws it."""
    layers, laws, reached = tables["layers"], tables["laws"], tables["reached"]
    drawn = [
        plot("gradient_by_layer", "The gradient, layer by layer", gradient_by_layer, layers),
        plot("activation_by_layer", "The activations, layer by layer", activation_by_layer, layers),
        plot("gradient_by_depth", "The price of depth", gradient_by_depth, tables["ratios"]),
        plot("random_products", "A product of many factors", random_products, laws[laws.part.isin(PRODUCTS)]),
        plot("born_dead", "Born dead", born_dead, laws[laws.part == "dead"]),
        plot("repairs", "What repairs it", repairs, tables["repaired"]),
        plot("who_learns", "Who learns", who_learns, tables["mended"]),
        plot("exploding", "Exploding gradients before training", exploding, laws[laws.part == "exploding"]),
        plot("clipping", "Exploding gradients, clipped", clipping, tables["clipped"]),
        plot("lookalike", "All inputs look alike", lookalike, laws[laws.part == "lookalike"]),
        plot("trained", "What it costs", trained, reached[reached.part == "training"]),
        plot("race", "He against Xavier", race, tables["race"]),
        plot("agreement", "How well the two implementations agree", agreement, tables["agreement"]),
    ]
    return [plot for plot in drawn if plot is not None]


def plot(name: str, title: str, draw: Callable[[pd.DataFrame], Figure], table: pd.DataFrame) -> Plot | None:
    """The figure of a table; none of an empty one."""
    if table.empty:
        return None
    return Plot(name, title, " ".join((draw.__doc__ or "").split()), partial(draw, table))


def by_group(
    ax: Axes, rows: pd.DataFrame, column: str, names: Sequence[str] | None = None, x: str = "depth", y: str = "measured"
) -> None:
    """A series for each name in that column, in the colour of its place among ``names``."""
    for index, name in enumerate(rows[column].unique() if names is None else names):
        series(ax, rows[rows[column] == name], str(name), index, x=x, y=y)


def gradient_by_layer(layers: pd.DataFrame) -> Figure:
    """Size of the gradient at every hidden layer's pre-activation, relative to the last hidden layer's, at initialization.
    Read it from right (the output) to left (the input): a line that falls to the left is a vanishing gradient, one that rises an
    exploding one, a flat one is repaired. The lines are not fitted: they are the mean-field recursion, from the data's norms and
    the init scheme's variance alone. Schemes of equal variance lie on one line.
    """
    return by_layer(layers[layers.quantity == "gradient"], "‖∂J/∂z‖ relative to the last layer's")


def activation_by_layer(layers: pd.DataFrame) -> Figure:
    """Size of the activations of the same networks. Where a signal dies on its way up (ReLU and tanh with small weights), the
    gradient dies on its way down; sigmoid's activations settle near ½ whatever the scheme: only the gradient shows the trouble.
    """
    return by_layer(layers[layers.quantity == "activation"], "root mean square activation")


def by_layer(layers: pd.DataFrame, what: str) -> Figure:
    chosen = layers[layers.depth == layers.depth.max()]
    names, inits = list(chosen.activation.unique()), list(chosen.init.unique())
    figure, axes = panels([f"{name}, {chosen.depth.max()} hidden layers" for name in names])
    for ax, activation in zip(axes, names, strict=True):
        by_group(ax, chosen[chosen.activation == activation], "init", inits, "layer", "mean")
        ax.set_xlabel("layer (1 is next to the input)")
    axes[0].set_ylabel(f"log₁₀ of {what}")
    key(figure, axes)
    return figure


def gradient_by_depth(ratios: pd.DataFrame) -> Figure:
    """The first hidden layer's gradient against the last's, for every depth: straight where each layer multiplies by the
    same factor, bent for tanh with n·Var W near 1, where the factor tends to 1 as the signal shrinks.
    """
    names, inits = list(ratios.activation.unique()), list(ratios.init.unique())
    figure, axes = panels(names)
    for ax, activation in zip(axes, names, strict=True):
        by_group(ax, ratios[ratios.activation == activation], "init", inits)
        ax.set_xlabel("hidden layers")
    axes[0].set_ylabel("ln (‖∂J/∂z_first‖² / ‖∂J/∂z_last‖²)")
    key(figure, axes)
    return figure


def random_products(laws: pd.DataFrame) -> Figure:
    """Left: log|w1 w2 … wn x| and its gradient for standard normal weights; middle: log(‖h_L‖²/‖h₀‖²) of deep linear
    networks of width 10; right: the same for narrow ReLU networks with He's weights. Points are means over the draws,
    lines the exact laws. The schemes of the middle and the right keep the mean square, yet the typical signal shrinks.
    """
    means = laws[laws.statistic == "mean"]
    parts = [part for part in PRODUCTS if part in set(means.part)]
    figure, axes = panels([PRODUCTS[part] for part in parts], share_y=False, margins=(0.8, 0.2, 0.6, 0.4))
    for ax, part in zip(axes, parts, strict=True):
        chosen = means[means.part == part]
        label = chosen.signal if part == "product" else chosen.condition + ", " + chosen.signal
        by_group(ax, chosen.assign(label=label), "label")
        ax.set_xlabel("factors n" if part == "product" else "layers")
        ax.set_ylabel("mean of log |y/x|" if part == "product" else "mean of log (‖h_L‖²/‖h₀‖²)")
        ax.legend(fontsize=8, loc="lower left")
    return figure


def born_dead(laws: pd.DataFrame) -> Figure:
    """The share of narrow ReLU networks through which no signal of one input passes: their gradient is 0, it teaches them nothing."""
    figure, axes = panels(["Born dead"], width=4.0)
    by_group(axes[0], laws[laws.statistic == "mean"], "condition")
    axes[0].set(xlabel="hidden layers", ylabel="share of networks that are dead", ylim=(0, None))
    key(figure, axes)
    return figure


def repairs(table: pd.DataFrame) -> Figure:
    """One thing changed at a time, beginning from the standard weights of 2010: the gradient at every hidden layer, relative to
    the last one's. Lines that leave the panel below have vanished. Batch norm and skip connections repair every activation,
    other weights only where the activation's slope allows it. The price of batch norm is a mild explosion, that of plain skip
    connections with He's weights a strong one; branches scaled by 1/√L cost next to nothing.
    """
    names = list(table.activation.unique())
    figure, axes = panels([f"{name}, {table.depth.max()} hidden layers" for name in names])
    powers = table.assign(**{column: table[column] / LN_100 for column in ("measured", "predicted", "standard_error")})
    for ax, activation in zip(axes, names, strict=True):
        for index, (label, (kind, init)) in enumerate(REPAIRED.items()):
            one = powers[(powers.activation == activation) & (powers.kind == kind) & (powers.init == init)]
            series(ax, one[one.measured > -7], label, index, x="layer")
        ax.set(xlabel="layer (1 is next to the input)", ylim=(-7, 5))
    axes[0].set_ylabel("log₁₀ of ‖∂J/∂z‖ rel. to the last layer's")
    key(figure, axes)
    return figure


def who_learns(table: pd.DataFrame) -> Figure:
    """Lowest test loss of each network in the same few steps, against what theory says of its gradient before training: the
    start decides. In the green band learning is predicted, in the grey ones that nothing is learned, between them nothing.
    Colours are repairs, shapes activations; the dashed line is the loss of guessing, what is at the upper edge lies far above.
    """
    figure, (ax,) = panels([f"{table.depth.max()} layers, {int(table.steps.max())} steps"], width=6.0, height=3.2)
    ax.set_xscale("symlog", linthresh=1)
    spans = {(-40, STUCK[0]): "#7F7F7F", LEARNS: "#009E73", (STUCK[1], 10): "#7F7F7F"}
    for span, colour in spans.items():
        ax.axvspan(*span, color=colour, alpha=0.15, linewidth=0)
    kinds, shapes = list(REPAIRED), list(table.activation.unique())
    top = 1.1 * table.guessing.max()
    for row in table[table.init.isin(LABELS)].itertuples():
        colour, marker = COLOURS[kinds.index(LABELS[row.init])], MARKERS[shapes.index(row.activation)]
        low, at, high = np.clip(row.lowest + row.standard_error * np.array([-1, 0, 1]), 0, top)
        look: Any = {"marker": marker, "markersize": 6, "linestyle": "none"} if row.backend == "scratch" else RING
        ax.vlines(row.power, low, high, color=colour)
        ax.plot(row.power, at, color=colour, **look)
    for name, colour in zip(kinds, COLOURS, strict=False):
        ax.plot([], [], color=colour, linewidth=5, label=name)
    for name, marker in zip(shapes, MARKERS, strict=False):
        ax.plot([], [], color="#555555", marker=marker, linestyle="none", label=name)
    ax.axhline(table.guessing.max(), color="#555555", linestyle="--", linewidth=1)
    ax.set(xlim=(-40, 10), ylim=(0, 1.15 * table.guessing.max()), ylabel="lowest test loss (cross-entropy)")
    ax.set_xticks([-30, -10, -4, -1, 0, 1, 3], ["−30", "−10", "−4", "−1", "0", "1", "3"])
    ax.minorticks_off()
    ax.set_xlabel("log₁₀ of the first layer's gradient over the last's, predicted")
    key(figure, [ax], predicted=False)
    return figure


def exploding(laws: pd.DataFrame) -> Figure:
    """ReLU networks with once, twice and four times He's variance, before training: a straight line upwards is an explosion."""
    figure, (ax,) = panels(["ReLU"], width=4.4)
    by_group(ax, laws[(laws.statistic == "mean") & ~laws.signal.str.endswith("share")], "signal")
    ax.set(xlabel="hidden layers", ylabel="ln (‖∂J/∂z_first‖² / ‖∂J/∂z_last‖²)")
    key(figure, [ax])
    return figure


def clipping(table: pd.DataFrame) -> Figure:
    """Training with four times He's variance ends in the first steps: the loss is infinite or not a number, only its start is drawn.
    With the gradient's norm clipped the same networks train, but take the whole run to come where He's weights begin. A line is
    a seed of scratch, the first four; rings are torchref's; the dashed line is the loss of guessing.
    """
    figure, (ax,) = panels([f"{table.depth.max()} layers, ReLU"], width=4.4)
    losses = table[(table.quantity == "loss") & (table.seed < 4)]
    losses = losses[losses.value < 100 * losses[losses.step == 0].value.max()]
    for index, init in enumerate(sorted(losses.init.unique(), key=lambda name: "clipped" not in name)):
        runs(ax, losses[losses.init == init], init, index)
    ax.axhline(table.guessing.max(), color="#555555", linestyle="--", linewidth=1)
    ax.set(xlabel="steps", ylabel="test loss (cross-entropy)", yscale="log")
    key(figure, [ax], predicted=False)
    return figure


def lookalike(laws: pd.DataFrame) -> Figure:
    """Correlation of two inputs after every ReLU layer of a network with He's weights, for inputs that begin almost opposite, at
    right angles, or alike: after twenty layers the network sees hardly any difference. Lines are the map of infinite width,
    dashed ones that of a linear network, which keeps every angle.
    """
    figure, (ax,) = panels(["two inputs, ReLU"], width=4.4)
    means = laws[laws.statistic == "mean"]
    by_group(ax, means, "signal")
    for index, start in enumerate(means.groupby("signal", sort=False).control.first()):
        ax.axhline(start, color=COLOURS[index], linestyle="--", linewidth=1)
    ax.set(xlabel="layer", ylabel="correlation of the outputs", ylim=(-1, 1.05), xticks=(1, 5, 10, 15, 20))
    key(figure, [ax])
    return figure


def trained(reached: pd.DataFrame) -> Figure:
    """Test accuracy after the same few steps of training (SGD with momentum), by init scheme and number of layers, mean
    over the seeds of scratch. Cells at the share of guessing have not begun to learn in these steps (tables/stalls.csv
    names the depth for each combination); some of them begin later, as the race shows, and the schemes that keep the
    gradient's size for their activation begin first.
    """
    chosen = reached[(reached.quantity == "accuracy") & (reached.backend == "scratch")]
    names, inits, depths = list(chosen.activation.unique()), list(chosen.init.unique()), sorted(chosen.depth.unique())
    figure, axes = panels(
        [f"{name}, {chosen.step.max()} steps" for name in names], width=2.9, margins=(1.2, 1.1, 0.6, 0.4)
    )
    for ax, activation in zip(axes, names, strict=True):
        table = (
            chosen[chosen.activation == activation]
            .pivot(index="init", columns="depth", values="mean")
            .reindex(index=inits, columns=depths)
        )
        image = heatmap(ax, table.to_numpy(), depths, inits, low=0, high=1)
        ax.set_xlabel("layers")
    figure.colorbar(image, cax=figure.add_axes((0.925, 0.2, 0.015, 0.65)), label="test accuracy")
    return figure


def runs(ax: Axes, losses: pd.DataFrame, label: str, index: int) -> None:
    """A line a seed of scratch, rings for torchref."""
    look: Any = {"color": COLOURS[index], "marker": MARKERS[index], "markersize": 4, "linewidth": 1}
    for seed, run in losses[losses.backend == "scratch"].groupby("seed"):
        ax.plot(run.step, run.value, label=label if seed == 0 else None, **look)
    other = losses[losses.backend == "torchref"]
    ax.plot(other.step, other.value, color=COLOURS[index], **RING)


def race(table: pd.DataFrame) -> Figure:
    """Test loss of deep ReLU networks from the same draws on the same batches; a line is a seed of scratch, rings are torchref's.
    Where Xavier's line stays on the dashed one, the loss of guessing, nothing is learned. Late in the race a ring may leave its
    line: training has amplified rounding to the size of the numbers themselves.
    """
    losses = table[table.quantity == "loss"]
    depths = sorted(losses.depth.unique())
    figure, axes = panels([f"{depth} layers, ReLU" for depth in depths], width=4.0)
    for ax, depth in zip(axes, depths, strict=True):
        for index, init in enumerate(("he", "xavier")):
            runs(ax, losses[(losses.depth == depth) & (losses.init == init)], init, index)
        ax.axhline(losses.guessing.iloc[0], color="#555555", linestyle="--", linewidth=1)
        ax.set_xlabel("steps")
        ax.set_ylim(0, 1.5 * losses.guessing.iloc[0])
    axes[0].set_ylabel("test loss (cross-entropy)")
    key(figure, axes, predicted=False)
    return figure


def agreement(table: pd.DataFrame) -> Figure:
    """Largest difference between scratch and torchref in units of the rounding bound; below 0.001 it is drawn there. Left:
    at the same parameters, by part and quantity; right: after each has trained alone for that many steps. Above the
    dashed line they would not agree.
    """
    figure, axes = panels(
        ["at the same parameters", "each trained alone"], width=4.6, height=2.9, margins=(0.9, 0.3, 1.0, 1.1)
    )
    pointwise, along = table[table.part != "trajectory"], table[table.part == "trajectory"]
    parts = list(pointwise.part.unique())
    for index, quantity in enumerate(pointwise.quantity.unique()):
        worst = pointwise[pointwise.quantity == quantity].groupby("part", sort=False).ratio.max()
        shift = (index - 2.5) * 0.11
        at = [parts.index(part) + shift for part in worst.index]
        look: Any = {"color": COLOURS[index % 8], "marker": MARKERS[index % 8]}
        axes[0].plot(at, worst.clip(lower=1e-3), label=quantity, markersize=5, linestyle="none", **look)
    axes[0].set_xticks(range(len(parts)), parts, rotation=30, ha="right")
    for index, condition in enumerate(along.condition.unique()):
        worst = along[along.condition == condition].groupby("step").ratio.max()
        look = {"color": COLOURS[index % 8], "marker": MARKERS[index % 8]}
        axes[1].plot(worst.index, worst.clip(lower=1e-3), markersize=4, label=condition, **look)
    axes[1].set_xlabel("steps")
    axes[0].set(yscale="log", ylim=(8e-4, 3), ylabel="difference / rounding bound")
    axes[0].set_yticks([1e-3, 1e-2, 1e-1, 1], ["0.001", "0.01", "0.1", "1"])
    axes[0].minorticks_off()
    for ax in axes:
        ax.axhline(1, color="#555555", linestyle="--", linewidth=1)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=3 if ax is axes[0] else 1)
    return figure
