"""The figures of the report, drawn from its tables alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.experiment import Plot, Tables
from experiments.figures import COLOURS, RING, key, panels, series


def figures(tables: Tables) -> list[Plot]:
    """Each figure's caption is the docstring of the function that draws it."""
    curves, lines = tables["curves"], tables["predicted_curves"]
    drawn = [
        plot("learning_curves", "Learning in stages", partial(learning_curves, lines=lines), curves),
        plot("half_times", "When half of a mode is learned", half_times, tables["times"]),
        plot("plateaus", "The wait of y = w1 w2 … wn x", plateaus, tables["plateaus"]),
        plot("landscape", "A saddle and a hyperbola of minima", partial(landscape, tables=tables), tables["surface"]),
        plot("random", "What depth costs, from random weights", random, tables["depth_costs"]),
        plot("conservation", "What descent nearly conserves", partial(conservation, drift=tables["drift"]), tables["conservation"]),
    ]  # fmt: skip
    return [found for found in drawn if found is not None]


def plot(name: str, title: str, draw: Callable[[pd.DataFrame], Figure], table: pd.DataFrame) -> Plot | None:
    """The figure of a table; none of an empty one."""
    if table.empty:
        return None
    said = getattr(draw, "func", draw).__doc__ or ""
    return Plot(name, title, " ".join(said.split()), partial(draw, table))


def layers(depth: float) -> str:
    return f"{depth:.0f} layer{'' if depth == 1 else 's'}"


def learning_curves(curves: pd.DataFrame, lines: pd.DataFrame) -> Figure:
    """The strength of each mode in the network's product of matrices, along training. A shallow network (left) learns all
    modes at once. A deep one waits, then learns them one after the other, strongest first; the more layers, the longer the
    wait and the steeper the step. Lines are gradient flow, u̇ = N u^(2−2/N)(s − u), nothing fitted; points are gradient
    descent at the smallest rate.
    """
    depths, chosen = sorted(curves.depth.unique()), curves[curves.rate == curves.rate.min()].assign(standard_error=0.0)
    figure, axes = panels([layers(depth) for depth in depths], width=2.75)
    for ax, depth in zip(axes, depths, strict=True):
        for index, mode in enumerate(sorted(chosen["mode"].unique(), reverse=True)):
            line = lines[(lines.depth == depth) & (lines["mode"] == mode)]
            ax.plot(line.time, line.u, color=COLOURS[index], zorder=2)
            one = chosen[(chosen.depth == depth) & (chosen["mode"] == mode)]
            series(ax, one, f"strength {mode:g}", index, x="time", y="value")
        ax.set_xlabel("time t = η × steps")
    axes[0].set_ylabel("learned strength u(t)")
    key(figure, axes)
    return figure


def half_times(times: pd.DataFrame) -> Figure:
    """The time at which half of a mode is learned, against its strength, for each number of layers. Two layers: a mode twice as
    strong needs half the time (slope −1). One layer: the same time for all.
    """
    chosen = times[np.isclose(times.level, 0.5) & (times.rate == times.rate.min())]
    figure, (ax,) = panels(["half-times"], width=4.6, height=3.2)
    for index, depth in enumerate(sorted(chosen.depth.unique())):
        series(ax, chosen[chosen.depth == depth], layers(depth), index, x="mode")
    ax.set(xscale="log", yscale="log", xlabel="strength s of the mode", ylabel="time to half, t = η × steps")
    modes = sorted(chosen["mode"].unique())
    ax.set_xticks(modes, [f"{mode:g}" for mode in modes])
    ax.minorticks_off()
    plain(ax.yaxis, chosen.measured)
    key(figure, [ax])
    return figure


def plateaus(waits: pd.DataFrame) -> Figure:
    """The notes' product of n weights, all equal at first, that should become 1: the time until it is ½, against its start u₀.
    Two factors wait by the logarithm of 1/u₀; with more the wait is a power of 1/u₀, steeper with every factor.
    """
    figure, (ax,) = panels(["y = w1 w2 … wn x"], width=4.6, height=3.2)
    for index, depth in enumerate(sorted(waits.depth.unique())):
        one = waits[waits.depth == depth].assign(standard_error=0.0)
        series(ax, one, f"{depth} factors", index, x="start")
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="product u₀ of the weights at the start",
        ylabel="time to half, t = η × steps",
    )
    plain(ax.yaxis, waits.measured)
    key(figure, [ax])
    return figure


def plain(axis, values: pd.Series) -> None:
    """Ticks of a logarithmic axis in plain numbers, 1, 2 and 5 in every decade."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ticks = [m * 10.0**k for k in range(-2, 5) for m in (1, 2, 5)]
    axis.set_major_locator(FixedLocator([t for t in ticks if values.min() / 2 <= t <= values.max() * 2]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def landscape(surface: pd.DataFrame, tables: Tables) -> Figure:
    """J = (w2w1 − 1)²/2, the smallest deep network there is: contours as scratch measures it, with a saddle at 0 (×) and, for minima,
    a hyperbola of two branches (green), all of them equally good. Lines from the squares are where gradient flow must go,
    along w2² − w1² = const; points are gradient descent at η = 0.05, whose steps carry it a little to the side, by the
    predicted amount. Only the start on the line w2 = −w1 (orange) runs into the saddle.
    """
    grid = surface.pivot(index="w2", columns="w1", values="loss")
    figure, (ax,) = panels(["J(w1, w2) = (w2w1 − 1)²/2"], width=5.0, height=5.0, margins=(0.9, 3.2, 0.6, 0.4))
    levels = [0.02, 0.1, 0.3, 0.5, 1, 2, 4, 8, 16]
    lines = ax.contour(grid.columns, grid.index, grid.to_numpy(), levels, colors="#999999", linewidths=0.8)
    ax.clabel(lines, fmt="%g", fontsize=8)
    flow, paths, reach = tables["flow_paths"], tables["paths"], float(grid.columns.max())
    minima = flow[flow.start < 0]
    for sign in (1, -1):
        ax.plot(
            sign * minima.w1,
            sign * minima.w2,
            color=COLOURS[2],
            linewidth=3,
            alpha=0.5,
            label="minima, w1w2 = 1" if sign > 0 else None,
        )
    for start in sorted(paths.start.unique()):
        line, one = flow[flow.start == start], paths[paths.start == start]
        colour = COLOURS[1] if one.loss.iloc[-1] > 0.1 else COLOURS[0]
        ax.plot(line.w1, line.w2, color=colour, zorder=2)
        for backend, look in (("scratch", {"marker": ".", "linestyle": "none", "markersize": 7}), ("torchref", RING)):
            seen = one[one.backend == backend].sort_values("step")
            seen = seen[seen.step % 16 == 0] if backend == "torchref" else seen
            ax.plot(seen.w1, seen.w2, color=colour, zorder=3, **look)
        ax.plot(one.w1.iloc[0], one.w2.iloc[0], color="black", marker="s", fillstyle="none", markersize=8, zorder=5)
    ax.plot([], [], color="black", marker="s", fillstyle="none", linestyle="none", label="start")
    ax.plot(
        [0], [0], color="black", marker="x", markersize=9, markeredgewidth=2, linestyle="none", zorder=6, label="saddle"
    )
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="w1", ylabel="w2", aspect="equal")
    ax.grid(False)
    key(figure, [ax])
    return figure


def random(costs: pd.DataFrame) -> Figure:
    """Time until the loss is a hundredth of its size without a network, times N (the largest stable rate falls as 1/N, so this
    counts steps), geometric mean over seeds ± standard error. Orthogonal weights hardly pay for depth; Gaussian ones of
    the usual size do, and smaller ones more, because a product of many factors shrinks, and so the plateau grows.
    """
    figure, (ax,) = panels(["from random weights"], width=4.6, height=3.2, margins=(0.95, 2.6, 0.6, 0.4))
    for index, init in enumerate(costs.init.unique()):
        one = costs[costs.init == init]
        spread = one.assign(mean=np.exp(one.measured), standard_error=np.exp(one.measured) * one.standard_error)
        shown = spread.drop(columns="measured")
        ours = shown[shown.backend == "scratch"].sort_values("depth")
        ax.plot(ours.depth, ours["mean"], color=COLOURS[index], linewidth=0.8, linestyle=":")
        series(ax, shown, init, index, x="depth", y="mean")
    depths = sorted(costs.depth.unique())
    ax.set(yscale="log", xlabel="layers N", ylabel="N × time to learn")
    ax.set_xticks(depths)
    plain(ax.yaxis, np.exp(costs.measured))
    key(figure, [ax], predicted=False)
    return figure


def conservation(table: pd.DataFrame, drift: pd.DataFrame) -> Figure:
    """How far W_{l+1}ᵀW_{l+1} − W_lW_lᵀ of a three-layer network has moved after the same time at different learning rates:
    halving the rate halves it, for a flow conserves it; the line is η times an integral along the flow. W₁W₁ᵀ alone
    moves by the same whatever the rate. Means over the starts.
    """
    figure, (ax,) = panels(["after the same time"], width=4.6, height=3.2, margins=(0.95, 2.9, 0.6, 0.4))
    for index, (quantity, label) in enumerate(
        (("drift", "WᵀW of a layer\nless WWᵀ of the one before"), ("unconserved", "W₁W₁ᵀ alone"))
    ):
        grouped = table[table.quantity == quantity].groupby(["backend", "rate"]).value
        shown = pd.DataFrame({"measured": grouped.mean(), "standard_error": grouped.sem()}).reset_index()
        if quantity == "drift" and not drift.empty:
            shown["predicted"] = shown.rate * drift[drift.backend == "scratch"].predicted_drift.mean()
        series(ax, shown, label, index, x="rate")
    rates = sorted(table.rate.unique())
    ax.set(xscale="log", yscale="log", xlabel="learning rate η", ylabel="change of the quantity (norm)")
    ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
    ax.xaxis.set_tick_params(which="minor", bottom=False)
    ax.minorticks_off()
    plain(ax.yaxis, table[table.quantity.isin(["drift", "unconserved"])].value)
    key(figure, [ax])
    return figure
