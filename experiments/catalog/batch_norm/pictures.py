"""The figures of the report, drawn from its tables alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.experiment import Plot, Tables
from experiments.figures import COLOURS, MARKERS, RING, key, panels, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LIMIT = float(np.log(np.pi / (np.pi - 1)))
PLACES = {"none": "without", "hidden": "below every ReLU", "everywhere": "over every layer"}
NAMES = {"batch": "with batch norm", "none": "without"}


def figures(tables: Tables) -> list[Plot]:
    """Each figure's caption is the docstring of the function that draws it."""
    drawn = [
        plot("moments", "Zero mean and unit variance", moments, tables["units"]),
        plot("race", "Ioffe & Szegedy's first figure, on digits", race, tables["learning"], tables["inputs"]),
        plot("rates", "Larger learning rates", rates, tables["span"]),
        plot("outgrown", "Weights outgrow the rate", outgrown, tables["limited"], tables["outgrown"]),
        plot("threshold", "The largest rate of a linear unit", threshold, tables["threshold"]),
        plot("pairs", "Batches of two", pairs, tables["pairs"]),
        plot("explosion", "Gradients at the start", explosion, tables["profile"], tables["rates"]),
        plot("growth", "Weights only grow", growth, tables["growth"]),
        plot("running", "Running statistics", running, tables["running"]),
        plot("gap", "Training and use differ", gap, tables["gap"]),
    ]
    return [plot for plot in drawn if plot is not None]


def plot(name: str, title: str, draw: Callable[..., Figure], *tables: pd.DataFrame) -> Plot | None:
    """The figure of some tables; none where one is empty."""
    if any(table.empty for table in tables):
        return None
    return Plot(name, title, " ".join((draw.__doc__ or "").split()), partial(plain, draw, *tables))


def plain(draw: Callable[..., Figure], *tables: pd.DataFrame) -> Figure:
    """Without the small ticks of logarithmic axes, which say little and take a quarter of the time."""
    figure = draw(*tables)
    for ax in figure.axes:
        ax.minorticks_off()
    return figure


def moments(units: pd.DataFrame) -> Figure:
    """Every point is one unit over one batch of digits, γ and β taken out; weights of several sizes below. Batch norm gives
    mean 0 exactly, and the variance σ²/(σ² + ε) that is drawn: 1 where the unit's own variance is far above ε. Layer norm, which
    looks at one example's units instead, leaves a unit whatever mean and variance it has among the others.
    """
    figure, axes = panels(["mean over the batch", "variance over the batch"], width=3.7, height=3.1, share_y=False)
    sigma2 = np.geomspace(units.variance_before.min(), units.variance_before.max(), 200)
    axes[0].axhline(0, color=COLOURS[0], zorder=2)
    axes[1].plot(sigma2, sigma2 / (sigma2 + units.epsilon.iloc[0]), color=COLOURS[0], zorder=2)
    for index, (layer, label) in enumerate({"batch": "batch norm", "layer": "layer norm"}.items()):
        for backend in ("scratch", "torchref"):
            few = units[(units.layer == layer) & (units.backend == backend)].iloc[::3]
            centred = ((few["mean"] - few.beta) / few.gamma, few.variance / few.gamma**2)
            look = RING if backend == "torchref" else {"marker": MARKERS[index], "linestyle": "none", "markersize": 4}
            for ax, y in zip(axes, centred, strict=True):
                ax.plot(
                    few.variance_before, y, color=COLOURS[index], label=label if backend == "scratch" else None, **look
                )
    for ax, name in zip(axes, ("mean", "variance"), strict=True):
        ax.set(xscale="log", xlabel="variance before, σ²", ylabel=f"{name} after, γ and β taken out")
    axes[1].set_yscale("log")
    key(figure, axes)
    return figure


def race(learning: pd.DataFrame, inputs: pd.DataFrame) -> Figure:
    """Left: digits of the test set got right while it trains; three hidden layers of sigmoids, weights from N(0, 0.1²), batches of 60.
    The dotted line is 90 %. Middle and right: what goes into one sigmoid of the last hidden layer, 15th, 50th and
    85th percentile over the test digits. With batch norm the distribution is in place after few steps; without, it is a sliver that
    later opens and wanders.
    """
    titles = ["test accuracy", "a sigmoid's input, without", "with batch norm"]
    figure, axes = panels(titles, width=3.1, height=2.9, share_y=False, margins=(0.75, 2.5, 0.6, 0.4))
    for index, (norm, label) in enumerate(NAMES.items()):
        series(axes[0], learning[learning.norm == norm], label, index, x="step")
        ours = learning[(learning.norm == norm) & (learning.backend == "scratch")].sort_values("step")
        axes[0].plot(ours.step, ours.measured, color=COLOURS[index], linewidth=0.8, alpha=0.6)
    axes[0].axhline(0.9, color="black", linewidth=0.8, linestyle=":")
    axes[0].set(ylabel="share of test digits right", ylim=(0, 1))
    low, high = inputs.value.min() - 0.1, inputs.value.max() + 0.1
    for ax, norm in zip(axes[1:], ("none", "batch"), strict=True):
        for index, percentile in enumerate(sorted(inputs.percentile.unique(), reverse=True), 2):
            one = inputs[(inputs.norm == norm) & (inputs.percentile == percentile)].rename(
                columns={"value": "measured"}
            )
            series(ax, one.assign(standard_error=0.0), f"{percentile}th percentile", index, x="step")
            ours = one[one.backend == "scratch"].sort_values("step")
            ax.plot(ours.step, ours.measured, color=COLOURS[index], linewidth=0.8, alpha=0.6)
        ax.set(ylim=(low, high))
    axes[1].set_ylabel("input to the sigmoid")
    for ax in axes:
        ax.set(xlabel="training step", xscale="log")
    key(figure, axes, predicted=False)
    return figure


def rates(span: pd.DataFrame) -> Figure:
    """Share of test digits right after some steps of gradient descent, over the learning rate, with three hidden layers of 32 ReLUs. With
    batch norm below every ReLU (γ and β learnt, as usual) the last layer is the first to diverge. Where batch norm stands over that layer
    too, and nothing but weights is learnt, no rate diverges: a rate that is far too large only makes the weights so long that the next
    steps turn them little, as a small rate does. The dotted line is a guess, one in ten.
    """
    figure, (ax,) = panels([""], width=5.6, height=3.2, margins=(0.85, 2.9, 0.6, 0.15))
    for index, (kind, label) in enumerate(PLACES.items()):
        one = span[span.kind == kind]
        if len(one):
            series(ax, one, label, index, x="rate")
            ours = one[one.backend == "scratch"].sort_values("rate")
            ax.plot(ours.rate, ours.measured, color=COLOURS[index], linewidth=0.8, alpha=0.6)
    ax.axhline(0.1, color="black", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", xlabel="learning rate", ylabel="share of test digits right", ylim=(0, 1))
    key(figure, [ax], predicted=False)
    return figure


def outgrown(limited: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Left: a single step, every point one unit at one learning rate. What is left of the rate after it, η/‖w‖² in units of its bound
    1/(2‖w‖‖g‖), over how long the step is beside the weights. With batch norm above them every unit lies on the curve 2x/(1 + x²).
    Right: a unit that is fed nothing but noise, so that its gradient never ends. Whatever the learning rate, the effective rate becomes
    1/√(2Gt), the dotted line.
    """
    figure, axes = panels(
        ["one step", "many steps of noise"], width=3.7, height=3.1, share_y=False, margins=(0.95, 2.5, 0.6, 0.4)
    )
    push = np.geomspace(limited["push"].min(), limited["push"].max(), 200)
    axes[0].plot(push, 2 * push / (1 + push**2), color=COLOURS[0], zorder=2)
    normed = limited[limited.norm == "batch"]
    scattered(axes[0], normed.iloc[::3], "a unit after one step", 0, x="push", y="share")
    axes[0].set(xscale="log", yscale="log", ylim=(normed.share.min() / 2, 3))
    axes[0].set(xlabel="length of the step, η‖g‖/‖w‖", ylabel="rate left, of its bound")
    fed = table[(table.norm == "batch") & (table.step > 0)]
    for index, rate in enumerate(sorted(fed.rate.unique()), 1):
        series(axes[1], fed[fed.rate == rate], f"learning rate {rate:g}", index, x="step")
    ours = fed[fed.backend == "scratch"].drop_duplicates("step").sort_values("step")
    axes[1].plot(ours.step, ours.limit, color="black", linewidth=1.2, linestyle=":")
    axes[1].set(xscale="log", yscale="log", xlabel="steps", ylabel="effective rate, η/‖w‖²")
    axes[1].set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
    axes[1].set_yticks([], minor=True)
    key(figure, axes)
    return figure


def scattered(ax: Axes, table: pd.DataFrame, label: str, index: int, *, x: str, y: str) -> None:
    """Single points: one unit each, without an error."""
    for backend in ("scratch", "torchref"):
        one = table[table.backend == backend].sort_values(x)
        look = RING if backend == "torchref" else {"marker": MARKERS[index], "linestyle": "none", "markersize": 4}
        ax.plot(one[x], one[y], color=COLOURS[index], label=label if backend == "scratch" else None, zorder=3, **look)


def threshold(table: pd.DataFrame) -> Figure:
    """A linear unit under gradient descent: the largest learning rate at which its loss does not grow, and 2/λ, λ the loss's largest
    curvature: inputs that lie away from zero make one direction steep. With batch norm above the unit no rate that was tried diverges;
    100 was the largest.
    """
    figure, (ax,) = panels([""], width=4.2, height=3.0, margins=(0.95, 2.5, 0.6, 0.15))
    for index, (norm, label) in enumerate(NAMES.items()):
        one = table[table.norm == norm]
        series(ax, one if norm == "none" else one.assign(predicted=np.nan), label, index, x="mean")
    ax.set(yscale="log", xlabel="mean of the inputs (their variance is 1)", ylabel="largest learning rate")
    key(figure, [ax])
    return figure


def pairs(table: pd.DataFrame) -> Figure:
    """Batches of two examples, every point one unit. Left: the output for the larger input, γ and β taken out: 1, unless the two inputs
    are as close as √ε. Right: the share of the gradients' difference that is let through to the inputs: ε/(d²/4 + ε), next to nothing.
    """
    figure, axes = panels(["output", "gradient let through"], width=3.5, height=3.0, share_y=False)
    for ax, name in zip(axes, ("output", "passed"), strict=True):
        ax.plot(table.distance, table[f"{name}_law"], color=COLOURS[0], zorder=2)
        scattered(ax, table.iloc[::2], "a unit", 0, x="distance", y=name)
        ax.set(xscale="log", xlabel="distance of the two inputs, d")
    axes[0].set(ylim=(0, 1.1), ylabel="x̂ of the larger one")
    axes[1].set(yscale="log", ylabel="share of the gradient below")
    key(figure, axes)
    return figure


def explosion(profile: pd.DataFrame, rates: pd.DataFrame) -> Figure:
    """Networks that have not yet learned anything. Left: the squared gradient at each layer, in units of that at the last layer but one,
    on a logarithmic scale: with batch norm at every layer it grows towards the first layer, the faster the smaller the batch; the grey
    points are the same weights (He's) without batch norm. Right: the rate a layer, extrapolated to infinite width, over the prediction
    for that batch size. The dotted line is the limit for large batches, π/(π − 1).
    """
    figure, axes = panels(["ReLU: gradient by layer", "growth a layer"], width=3.8, height=3.1, share_y=False)
    relu = profile[profile.kind == "relu"]
    sizes = sorted(relu.batch.unique())
    for index, batch in enumerate(sizes):
        series(axes[0], relu[(relu.norm == "batch") & (relu.batch == batch)], f"batch of {batch}", index, x="layer")
    plain = relu[(relu.norm == "none") & (relu.batch == sizes[-1])]
    series(axes[0], plain, "without batch norm", 7, x="layer")
    axes[0].set(xlabel="layer, 1 next to the input", ylabel="log₁₀ of squared gradient ratio")
    for kind, index, label in (("relu", 5, "ReLU"), ("linear", 6, "linear")):
        one = rates[(rates.kind == kind) & (rates.norm == "batch")]
        if len(one):
            series(axes[1], one, f"{label}, all batches", index, x="batch")
    axes[1].axhline(LIMIT, color="black", linewidth=0.8, linestyle=":")
    axes[1].set_xscale("log", base=2)
    axes[1].set_xticks(sorted(rates.batch.unique()), [str(b) for b in sorted(rates.batch.unique())])
    axes[1].set(xlabel="examples in the batch, B", ylabel="ln of squared gradient, per layer", ylim=(0, None))
    key(figure, axes)
    return figure


def growth(table: pd.DataFrame) -> Figure:
    """The squared length of a layer's weights under gradient descent, in units of its first value. Lines: the first value plus η² times
    all squared gradients since. With batch norm above the layer that is what happens, to the last digit; without, gradients are not
    orthogonal to weights and it is wrong.
    """
    figure, axes = panels([NAMES["batch"], "without batch norm"], width=3.6, height=2.9)
    first = table[table.step == 0].set_index(["backend", "norm", "rate", "seed"]).value.rename("first")
    held = table.join(first, on=["backend", "norm", "rate", "seed"])
    held = held.assign(
        measured=held.value / held["first"], predicted=held.predicted / held["first"], standard_error=0.0
    )
    for ax, norm in zip(axes, NAMES, strict=True):
        for index, rate in enumerate(sorted(held.rate.unique())):
            series(ax, held[(held.norm == norm) & (held.rate == rate)], f"learning rate {rate:g}", index, x="step")
        ax.set(xlabel="step of gradient descent")
    axes[0].set_ylabel("‖W‖² / ‖W‖² at first")
    key(figure, axes)
    return figure


def running(table: pd.DataFrame) -> Figure:
    """Running mean and variance of Gaussian numbers, true mean 3 and variance 4, momentum 0.1, over many independent units. Left: how
    the average forgets its first values, 0 and 1. Right: its standard deviation over the units, which does not go to zero: the last ten
    batches or so are all that it remembers.
    """
    titles = ["running mean", "running variance", "deviation of the mean", "of the variance"]
    figure, axes = panels(titles, width=2.6, height=2.8, share_y=False, margins=(0.8, 2.3, 0.6, 0.4))
    for k, (column, law, statistic) in enumerate(
        [("average", "law", "mean"), ("average", "law", "variance"), ("spread", "spread_law", "mean"), ("spread", "spread_law", "variance")]
    ):  # fmt: skip
        for index, batch in enumerate(sorted(table.batch.unique())):
            one = table[(table.batch == batch) & (table.statistic == statistic)]
            power = 1.0 if column == "average" else 0.5
            error = one.law_error if power == 1 else one.spread_error / (2 * np.sqrt(one.spread_law))
            shown = one.assign(measured=one[column] ** power, predicted=one[law] ** power, standard_error=error)
            series(axes[k], shown, f"batches of {batch}", index, x="step")
        axes[k].set(xlabel="batches so far", xscale="log", ylim=(0, None))
    axes[0].set_ylabel("mean over units")
    axes[2].set_ylabel("standard deviation over units")
    key(figure, axes)
    return figure


def gap(table: pd.DataFrame) -> Figure:
    """How far the output in training is from the output after it, mean square, when the running statistics are exactly right. The line
    is 2(1 − E s), about 3/(2B); the dotted line 1/B is what straying of the batch's mean alone would give.
    """
    figure, (ax,) = panels([""], width=4.4, height=3.0, margins=(0.95, 2.3, 0.6, 0.15))
    series(ax, table, "Gaussian units", 0, x="batch")
    ours = table[table.backend == "scratch"].sort_values("batch")
    ax.plot(ours.batch, 1 / ours.batch, color="black", linewidth=0.8, linestyle=":", label="1/B")
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(ours.batch), [str(b) for b in ours.batch])
    ax.set(yscale="log", xlabel="examples in the batch, B", ylabel="mean square difference")
    key(figure, [ax])
    return figure
