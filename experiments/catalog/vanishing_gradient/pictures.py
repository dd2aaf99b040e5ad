"""The figures of the report, drawn from its tables alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from experiments.experiment import Plot, Tables
from experiments.figures import COLOURS, MARKERS, RING, heatmap, key, panels, series

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


def gradient_by_layer(layers: pd.DataFrame) -> Figure:
    """Size of the gradient at every hidden layer's pre-activation, relative to the last hidden layer's, at
    initialization. Read it from right (the output) to left (the input): a line that falls to the left is a vanishing
    gradient, one that rises an exploding one, a flat one is repaired. The lines are not fitted: they are the mean-field
    recursion, from the data's norms and the init scheme's variance alone. Schemes of equal variance lie on one line:
    he and notes everywhere, lecun and xavier where all layers are equally wide.
    """
    return by_layer(layers[layers.quantity == "gradient"], "‖∂J/∂z‖ relative to the last layer's")


def activation_by_layer(layers: pd.DataFrame) -> Figure:
    """Size of the activations of the same networks. Where a signal dies on its way up (ReLU and tanh with small
    weights), the gradient dies on its way down; sigmoid is different: its activations settle near ½ whatever the
    scheme, and only the gradient shows the trouble.
    """
    return by_layer(layers[layers.quantity == "activation"], "root mean square activation")


def by_layer(layers: pd.DataFrame, what: str) -> Figure:
    chosen = layers[layers.depth == layers.depth.max()]
    names, inits = list(chosen.activation.unique()), list(chosen.init.unique())
    figure, axes = panels([f"{name}, {chosen.depth.max()} hidden layers" for name in names])
    for ax, activation in zip(axes, names, strict=True):
        for index, init in enumerate(inits):
            one = chosen[(chosen.activation == activation) & (chosen.init == init)]
            series(ax, one, init, index, x="layer", y="mean")
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
        for index, init in enumerate(inits):
            series(ax, ratios[(ratios.activation == activation) & (ratios.init == init)], init, index, x="depth")
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
        for index, (condition, signal) in enumerate(
            chosen[["condition", "signal"]].drop_duplicates().itertuples(index=False, name=None)
        ):
            label = f"{signal}" if part == "product" else f"{condition}, {signal}"
            series(ax, chosen[(chosen.condition == condition) & (chosen.signal == signal)], label, index, x="depth")
        ax.set_xlabel("factors n" if part == "product" else "layers")
        ax.set_ylabel("mean of log |y/x|" if part == "product" else "mean of log (‖h_L‖²/‖h₀‖²)")
        ax.legend(fontsize=8, loc="lower left")
    return figure


def born_dead(laws: pd.DataFrame) -> Figure:
    """The share of narrow ReLU networks through which no signal passes, by depth, for one input: their gradient is
    exactly 0, so that input teaches them nothing.
    """
    chosen = laws[laws.statistic == "mean"]
    figure, axes = panels(["Born dead"], width=4.0)
    for index, condition in enumerate(chosen.condition.unique()):
        series(axes[0], chosen[chosen.condition == condition], condition, index, x="depth")
    axes[0].set(xlabel="hidden layers", ylabel="share of networks that are dead", ylim=(0, None))
    key(figure, axes)
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


def race(table: pd.DataFrame) -> Figure:
    """Test loss of deep ReLU networks from the same draws on the same batches; a line is a seed of scratch, the rings are
    torchref's. The dashed line is the loss of guessing: where Xavier's line stays on it, nothing is learned. Late in
    the race a ring may leave its line: training has amplified rounding to the size of the numbers themselves.
    """
    losses = table[table.quantity == "loss"]
    depths = sorted(losses.depth.unique())
    figure, axes = panels([f"{depth} layers, ReLU" for depth in depths], width=4.0)
    for ax, depth in zip(axes, depths, strict=True):
        for index, init in enumerate(("he", "xavier")):
            chosen = losses[(losses.depth == depth) & (losses.init == init)]
            for seed, run in chosen[chosen.backend == "scratch"].groupby("seed"):
                ax.plot(
                    run.step,
                    run.value,
                    color=COLOURS[index],
                    marker=MARKERS[index],
                    markersize=4,
                    linewidth=1,
                    label=init if seed == 0 else None,
                )
            other = chosen[chosen.backend == "torchref"]
            ax.plot(other.step, other.value, color=COLOURS[index], **RING)
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
        look: Any = {"color": COLOURS[index % 8], "marker": MARKERS[index % 8], "markersize": 5, "linestyle": "none"}
        axes[0].plot(at, worst.clip(lower=1e-3), label=quantity, **look)
    axes[0].set_xticks(range(len(parts)), parts, rotation=30, ha="right")
    for index, condition in enumerate(along.condition.unique()):
        worst = along[along.condition == condition].groupby("step").ratio.max()
        axes[1].plot(
            worst.index,
            worst.clip(lower=1e-3),
            color=COLOURS[index % 8],
            marker=MARKERS[index % 8],
            markersize=4,
            label=condition,
        )
    axes[1].set_xlabel("steps")
    axes[0].set(yscale="log", ylim=(8e-4, 3), ylabel="difference / rounding bound")
    axes[0].set_yticks([1e-3, 1e-2, 1e-1, 1], ["0.001", "0.01", "0.1", "1"])
    axes[0].minorticks_off()
    for ax in axes:
        ax.axhline(1, color="#555555", linestyle="--", linewidth=1)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=3 if ax is axes[0] else 1)
    return figure
