"""The figures of the report, drawn from its tables alone."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from experiments.experiment import Plot, Tables
from experiments.figures import COLOURS, MARKERS, heatmap, key, panels, series


def figures(tables: Tables) -> list[Plot]:
    layers, laws = tables["layers"], tables["laws"]
    found = [
        Plot("gradient_by_layer", "The gradient, layer by layer",
             "Size of the gradient at every hidden layer's pre-activation, relative to the last hidden layer's, at initialization. Read from right "
             "(the output) to left (the input): a line that falls to the left is a vanishing gradient, one that rises an exploding one, a flat one is repaired. "
             "The lines are not fitted: they are the mean-field recursion, from the data's norms and the init scheme's variance alone.",
             partial(by_layer, layers, "gradient")),
        Plot("activation_by_layer", "The activations, layer by layer",
             "Size of the activations of the same networks. Where a signal dies on its way up (ReLU and tanh with small weights), the gradient dies on its "
             "way down; sigmoid is different: its activations settle near ½ whatever the scheme, and only the gradient shows the trouble.",
             partial(by_layer, layers, "activation")),
        Plot("gradient_by_depth", "The price of depth",
             "The first layer's gradient against the last's, for every depth: straight lines, so a factor for every layer.", partial(by_depth, tables["ratios"])),
        Plot("random_products", "A product of many factors",
             "Left: log|w1 w2 … wn x| and its gradient for standard normal weights; middle: log(‖h_L‖²/‖h₀‖²) of deep linear networks of width 10; right: the "
             "same for narrow ReLU networks with He's weights. Points are means over the draws, lines the exact laws. The mean square of each network is kept by "
             "its scheme, yet the typical signal shrinks.", partial(products, laws)),
        Plot("born_dead", "Born dead", "The share of narrow ReLU networks through which no signal passes, by depth, for one input. Their gradient is exactly 0.",
             partial(born_dead, laws)),
        Plot("trained", "What it costs",
             "Test accuracy after the same few steps of training (SGD with momentum), by init scheme and number of layers, mean over seeds of scratch. "
             "One in ten is guessing. What repairs a column: a scheme that keeps the gradient's size for that activation.", partial(trained, tables["reached"])),
        Plot("agreement", "How well the two implementations agree",
             "Largest difference between scratch and torchref in units of the rounding bound. Left: at the same parameters, by part and quantity; "
             "right: after each has trained alone for that many steps. Above 1 they would not agree.", partial(agreement, tables["agreement"])),
    ]  # fmt: skip
    if len(tables["race"]):
        found.insert(-1, Plot("race", "He against Xavier",
             "Test loss of deep ReLU networks from the same draws on the same batches; thin lines are seeds of scratch, rings torchref's. The dashed line is the "
             "loss of guessing: where Xavier's line stays on it, nothing is learned.", partial(race, tables["race"])))  # fmt: skip
    return found


def by_layer(layers: pd.DataFrame, quantity: str) -> Figure:
    chosen = layers[(layers.quantity == quantity) & (layers.depth == layers.depth.max())]
    names, inits = list(chosen.activation.unique()), list(chosen.init.unique())
    figure, axes = panels(names)
    for ax, activation in zip(axes, names, strict=True):
        for index, init in enumerate(inits):
            series(ax, chosen[(chosen.activation == activation) & (chosen.init == init)], init, index, x="layer", y="mean")
        ax.set_xlabel("layer (1 is next to the input)")
    unit = "‖∂J/∂z‖ relative to the last layer's" if quantity == "gradient" else "root mean square activation"
    axes[0].set_ylabel(f"log₁₀ of {unit}")
    key(figure, axes)
    return figure


def by_depth(ratios: pd.DataFrame) -> Figure:
    names, inits = list(ratios.activation.unique()), list(ratios.init.unique())
    figure, axes = panels(names)
    for ax, activation in zip(axes, names, strict=True):
        for index, init in enumerate(inits):
            series(ax, ratios[(ratios.activation == activation) & (ratios.init == init)], init, index, x="depth")
        ax.set_xlabel("hidden layers")
    axes[0].set_ylabel("ln (‖∂J/∂z_first‖² / ‖∂J/∂z_last‖²)")
    key(figure, axes)
    return figure


def products(laws: pd.DataFrame) -> Figure:
    means = laws[laws.statistic == "mean"]
    parts = {"product": "y = w1 w2 … wn x", "linear": "deep linear, width 10", "narrow": "ReLU, width 10, He"}
    figure, axes = panels(list(parts.values()), share_y=False)
    for ax, part in zip(axes, parts, strict=True):
        chosen = means[means.part == part]
        for index, (condition, signal) in enumerate(chosen[["condition", "signal"]].drop_duplicates().itertuples(index=False, name=None)):
            label = f"{signal}" if part == "product" else f"{condition}, {signal}"
            series(ax, chosen[(chosen.condition == condition) & (chosen.signal == signal)], label, index, x="depth")
        ax.set_xlabel("factors n" if part == "product" else "layers")
        ax.set_ylabel("mean of log |y/x|" if part == "product" else "mean of log (‖h_L‖²/‖h₀‖²)")
        ax.legend(fontsize=8, loc="lower left")
    return figure


def born_dead(laws: pd.DataFrame) -> Figure:
    chosen = laws[(laws.part == "dead") & (laws.statistic == "mean")]
    figure, axes = panels(["Born dead"], width=4.6)
    for index, condition in enumerate(chosen.condition.unique()):
        series(axes[0], chosen[chosen.condition == condition], condition, index, x="depth")
    axes[0].set(xlabel="hidden layers", ylabel="share of networks that are dead", ylim=(0, None))
    key(figure, axes)
    return figure


def trained(reached: pd.DataFrame) -> Figure:
    chosen = reached[(reached.part == "training") & (reached.quantity == "accuracy") & (reached.backend == "scratch")]
    names, inits, depths = list(chosen.activation.unique()), list(chosen.init.unique()), sorted(chosen.depth.unique())
    figure, axes = panels([f"{name}, {chosen.step.max()} steps" for name in names], width=3.2)
    image = None
    for ax, activation in zip(axes, names, strict=True):
        table = chosen[chosen.activation == activation].pivot(index="init", columns="depth", values="mean").reindex(index=inits, columns=depths)
        image = heatmap(ax, table.to_numpy(), depths, inits, low=0, high=1)
        ax.set_xlabel("layers")
    figure.colorbar(image, ax=axes, label="test accuracy", shrink=0.9)
    return figure


def race(table: pd.DataFrame) -> Figure:
    losses = table[table.quantity == "loss"]
    depths = sorted(losses.depth.unique())
    figure, axes = panels([f"{depth} layers, ReLU" for depth in depths], width=4.4)
    for ax, depth in zip(axes, depths, strict=True):
        for index, init in enumerate(("he", "xavier")):
            chosen = losses[(losses.depth == depth) & (losses.init == init)]
            for seed, run in chosen[chosen.backend == "scratch"].groupby("seed"):
                ax.plot(run.step, run.value, color=COLOURS[index], marker=MARKERS[index], markersize=4, linewidth=1, label=init if seed == 0 else None)
            other = chosen[chosen.backend == "torchref"]
            ax.plot(other.step, other.value, color=COLOURS[index], marker="o", markersize=9, fillstyle="none", markeredgewidth=0.7, linestyle="none")
        ax.axhline(losses.guessing.iloc[0], color="#555555", linestyle="--", linewidth=1)
        ax.set_xlabel("steps")
        ax.set_ylim(0, 1.5 * losses.guessing.iloc[0])
    axes[0].set_ylabel("test loss (cross-entropy)")
    key(figure, axes, predicted=False)
    return figure


def agreement(table: pd.DataFrame) -> Figure:
    figure, axes = panels(["at the same parameters", "each trained alone"], width=4.8)
    pointwise, along = table[table.part != "trajectory"], table[table.part == "trajectory"]
    parts = list(pointwise.part.unique())
    for index, quantity in enumerate(pointwise.quantity.unique()):
        worst = pointwise[pointwise.quantity == quantity].groupby("part", sort=False).ratio.max()
        shift = (index - 2.5) * 0.11
        axes[0].plot([parts.index(part) + shift for part in worst.index], worst.clip(lower=1e-3), linestyle="none", color=COLOURS[index % 8],
                     marker=MARKERS[index % 8], markersize=5, label=quantity)  # fmt: skip
    axes[0].set_xticks(range(len(parts)), parts, rotation=30, ha="right")
    for index, condition in enumerate(along.condition.unique()):
        worst = along[along.condition == condition].groupby("step").ratio.max()
        axes[1].plot(worst.index, worst.clip(lower=1e-3), color=COLOURS[index % 8], marker=MARKERS[index % 8], markersize=4, label=condition)
    axes[1].set_xlabel("steps")
    axes[0].set(yscale="log", ylim=(8e-4, 3), ylabel="difference / rounding bound")
    for ax in axes:
        ax.axhline(1, color="#555555", linestyle="--", linewidth=1)
        ax.legend(fontsize=8, loc="lower right", ncols=2 if ax is axes[0] else 1)
    return figure
