"""The figures of the report, drawn from its tables alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.experiment import Plot, Tables
from experiments.figures import COLOURS, MARKERS, key, panels, series

READINGS = {"he": "2/n", "literal": "2/(n−1)", "xavier": "2/(n_in+n_out)"}
GLOROT = {"xavier_uniform": "Glorot, uniform", "xavier": "Glorot, Gaussian", "standard": "standard"}


def figures(tables: Tables) -> list[Plot]:
    """Each figure's caption is the docstring of the function that draws it."""
    drawn = [
        plot("scales", "The scale of the weights", partial(scales, waits=tables["delays"]), tables["accuracies"]),
        plot("symmetry", "Breaking symmetry", symmetry, tables["symmetry"]),
        plot("readings", "The notes' rule, read three ways", readings, tables["sizes"]),
        plot("spectra", "Singular values", partial(spectra, singular=tables["singular"]), tables["products"]),
        plot("lsuv", "Unit variance without a table", partial(lsuv, tables=tables), tables["gains"]),
        plot("dead", "Born dead", partial(dead, biased=tables["biased"]), tables["dead_sets"]),
    ]
    return [found for found in drawn if found is not None]


def plot(name: str, title: str, draw: Callable[[pd.DataFrame], Figure], table: pd.DataFrame) -> Plot | None:
    """The figure of a table; none of an empty one."""
    if table.empty:
        return None
    said = getattr(draw, "func", draw).__doc__ or ""
    return Plot(name, title, " ".join(said.split()), partial(draw, table))


def plain(axis, ticks: list[float]) -> None:
    """These ticks of a logarithmic axis, in plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def joined(ax: Axes, table: pd.DataFrame, label: str, index: int, *, x: str) -> None:
    """Points joined by a thin dotted line, where there is no prediction."""
    ours = table[table.backend == "scratch"].sort_values(x)
    ax.plot(ours[x], ours.measured, color=COLOURS[index], linewidth=0.8, linestyle=":")
    series(ax, table, label, index, x=x)


def band(ax: Axes, table: pd.DataFrame, index: int) -> None:
    """From ``low`` to ``high``, over the depth."""
    ours = table[table.backend == "scratch"].sort_values("depth")
    ends = (ours[name].astype(float) for name in ("depth", "low", "high"))
    ax.fill_between(*ends, color=COLOURS[index], alpha=0.25, linewidth=0.5)


def scales(accuracies: pd.DataFrame, waits: pd.DataFrame) -> Figure:
    """He's weights times s, ReLU networks. Left: accuracy on the test set after a few steps, mean over seeds; bars are the standard
    deviation from seed to seed. A shallow network learns from almost any scale; the deeper it is, the narrower the window
    around He's. Right: how long small weights wait until the outputs have grown fourfold; the lines have the predicted
    slope −(D−2) and one fitted height each.
    """
    figure, (left, right) = panels(["after training", "before anything happens"], width=3.6, height=3.0, share_y=False)
    for index, depth in enumerate(sorted(accuracies.depth.unique())):
        joined(left, accuracies[accuracies.depth == depth], f"{depth} layers", index, x="scale")
    for index, depth in enumerate(sorted(waits.depth.unique()), 3):
        one = waits[waits.depth == depth]
        spread = one.assign(measured=np.exp(one.measured), standard_error=np.exp(one.measured) * one.standard_error)
        slope = (2 - depth) * np.log(one.scale.astype(float))
        series(
            right,
            spread.assign(predicted=np.exp(slope + (one.measured - slope).mean())),
            f"{depth} layers, small weights",
            index,
            x="scale",
        )
    left.set(xscale="log", ylim=(0, 1), xlabel="s: weights relative to He's", ylabel="accuracy on the test set")
    plain(
        left.xaxis,
        sorted(accuracies.scale.unique())[::2] if accuracies.scale.nunique() > 4 else sorted(accuracies.scale.unique()),
    )
    right.set(
        xscale="log", yscale="log", xlabel="s: weights relative to He's", ylabel="steps until outputs are fourfold"
    )
    plain(right.xaxis, [0.01, 0.02, 0.05, 0.1, 0.2])
    plain(right.yaxis, [20, 30, 50, 70, 100, 150, 200, 300, 500])
    key(figure, [left, right])
    return figure


def symmetry(growth: pd.DataFrame) -> Figure:
    """A tanh network whose weights all start at 0.1, or are moved from it by a part in 10^k. Left: how different its hidden units
    are; lines are the linearised equations (they end where differences are no longer small). Units that were not moved stay
    equal to the last digit, unless the machine's matrix product rounds some of them otherwise than others (7 units): then rounding
    is the first difference, and grows by the same law. Right: the loss. As long as the
    units are equal they are worth a single one, and the loss stays on its plateau; each power of ten in the first
    difference costs the same number of steps.
    """
    figure, (left, right) = panels(
        ["hidden units become different", "and only then it learns"], width=3.6, height=3.0, share_y=False
    )
    starts = [name for name in growth.start.unique() if name not in ("constant", "random")]
    equal, growth = growth[growth.start == "constant"], growth[growth.units == growth.units.iloc[0]]
    first = growth.units.iloc[0]
    others = {"constant": f"not moved, {first} units", "random": "random weights"}
    for index, start in enumerate([*starts, *others]):
        one = growth[growth.start == start].assign(standard_error=0.0)
        index = -1 if start == "random" else index % len(COLOURS)
        label = others.get(start, f"moved by {start}")
        if start in starts:
            shown = one.assign(predicted=one.predicted.where(one.predicted < 0.05), measured=one.apart)
            series(left, shown, label, index, x="step")
        ours = one[one.backend == "scratch"].sort_values("step")
        right.plot(ours.step, ours.loss, color=COLOURS[index], linestyle="-" if start in starts else "--", label=label)
        right.plot(
            ours.step[::8], ours.loss[::8], color=COLOURS[index], marker=MARKERS[index], linestyle="none", markersize=4
        )
    for index, units in enumerate(equal.units.unique(), len(starts)):
        one = equal[equal.units == units].assign(measured=equal.apart, standard_error=0.0)
        series(left, one.drop(columns="predicted"), f"not moved, {units} units", index, x="step")
    bound = equal[(equal.units == units) & (equal.backend == "scratch") & (equal.predicted < 1e-3)].sort_values("step")
    left.plot(bound.step, bound.predicted, color="#555555", linestyle="--", label="what rounding may grow to")
    left.set(yscale="log", xlabel="training steps", ylabel="rms difference between units")
    right.set(xlabel="training steps", ylabel="loss", ylim=(0, None))
    key(figure, [left, right])
    return figure


def readings(sizes: pd.DataFrame) -> Figure:
    """ReLU networks of unequal widths, the same random draws scaled by each reading: how large the typical signal is, in units of the
    input's; lines are the exact law. 2/n (the layer before: He's rule) only loses what narrow layers cost. 2/(n−1) is
    nearly the same where n is large, and makes up for some of that loss where it is small (about 2/(n − 2.5) would make up for
    all of it). Xavier's rule loses half the mean square a layer, more where widths grow. Widths: 96 64 40 24 16 10; 48 24 8 8 24
    48; 3 throughout.
    """
    shapes = list(sizes["shape"].unique())[::-1]
    figure, axes = panels(shapes, width=2.75, height=3.0, margins=(0.95, 2.6, 0.6, 0.4))
    for ax, shape in zip(axes, shapes, strict=True):
        for index, (reading, label) in enumerate(READINGS.items()):
            one = sizes[(sizes["shape"] == shape) & (sizes.reading == reading)]
            half = {name: one[name] / (2 * np.log(10)) for name in ("measured", "predicted", "standard_error")}
            series(ax, one.assign(**half), f"Var W = {label}", index, x="layer")
        ax.set_xlabel("layer")
        ax.set_xticks(sorted(sizes.layer.unique()))
    axes[0].set_ylabel("log₁₀ of signal / input")
    key(figure, axes)
    return figure


def spectra(products: pd.DataFrame, singular: pd.DataFrame) -> Figure:
    """Left: the mean singular value of one square layer; lines are the quarter-circle law's 8/3π and 8/(3π√3) with the next term
    in 1/n. Middle: each singular value of a product of Gaussian matrices runs away at a rate of its own (lines: what it tends to
    as the depth grows, from Lyapunov exponents), while those of orthogonal ones stay 1. Right: so the condition number
    grows; the bands are exact bounds.
    """
    titles = ["one layer", "products, width 4", "condition number"]
    figure, (left, middle, right) = panels(titles, width=2.75, height=3.0, share_y=False)
    for index, (scheme, label) in enumerate(GLOROT.items()):
        series(left, singular[singular.scheme == scheme], label, index, x="n")
    left.set(xscale="log", xlabel="n, of n × n weights", ylabel="mean singular value", ylim=(0.4, 0.9))
    plain(left.xaxis, sorted(singular.n.unique())[::2])
    gaussian = products[products.init != "orthogonal"]
    width = 4 if (gaussian.width == 4).any() else gaussian.width.min()
    chosen = products[products.width == width]
    depth = gaussian[gaussian.width == width].depth.max()
    middle.set_title(f"products, width {width}")
    for init, label, index in (("lecun", "Gaussian", 3), ("orthogonal", "orthogonal", 4)):
        for k in range(1, width + 1):
            one = chosen[(chosen.init == init) & (chosen["index"] == k) & (chosen.depth <= depth)]
            series(middle, one, label, index, x="depth")
    middle.set(xlabel="layers multiplied", ylabel="mean ln of singular values")
    for index, n in enumerate(sorted(gaussian.width.unique()), 5):
        one = gaussian[(gaussian.width == n) & (gaussian["index"] == 0)]
        tens = one.assign(**{c: one[c] / np.log(10) for c in ("measured", "predicted", "allowance", "standard_error")})
        band(right, tens.assign(low=tens.predicted - tens.allowance, high=tens.predicted + tens.allowance), index)
        series(right, tens.drop(columns="predicted"), f"Gaussian, n = {n}", index, x="depth")
    right.set(xlabel="layers multiplied", ylabel="mean log₁₀ of s₁/s_n")
    key(figure, [left, middle, right])
    return figure


def lsuv(gains: pd.DataFrame, tables: Tables) -> Figure:
    """Left: n·Var W by which LSUV gives every layer unit variance: found from data alone, and what theory says each activation needs
    (bars); He's 2 is right for ReLU and not for the others. Middle: variance layer by layer with He's weights; LSUV's is 1.
    Right: tanh networks on inputs that nobody standardised (5 + 6x): test loss after training, at several learning rates.
    """
    figure, (left, middle, right) = panels(["what it finds", "with He's weights", "not standardised"], width=2.9, height=3.0,
                                           share_y=False, margins=(0.95, 2.4, 1.0, 0.4))  # fmt: skip
    names = list(gains.activation.unique())
    at = gains.assign(x=gains.activation.map(names.index), **{c: np.exp(gains[c]) for c in ("measured", "predicted")})
    at["standard_error"] *= at.measured
    for index, name in enumerate(names):
        one = at[at.activation == name]
        left.plot([index - 0.35, index + 0.35], one.predicted.iloc[:1].repeat(2), color=COLOURS[index], zorder=2)
        series(left, one.drop(columns="predicted"), name, index, x="x")
        spread = tables["variances"][(tables["variances"].activation == name) & (tables["variances"].scheme == "he")]
        joined(middle, spread, name, index, x="layer")
    left.axhline(2, color="#555555", linestyle="--", linewidth=1)
    left.set_xticks(range(len(names)), names, rotation=40, ha="right")
    left.set(ylabel="n · Var W", ylim=(0, 1.1 * max(2, at.predicted.max())))
    middle.set(yscale="log", xlabel="layer", ylabel="variance of z = Wx + b")
    plain(middle.yaxis, [0.2, 0.5, 1, 2, 5, 10, 20])
    ends = tables["raw_ends"]
    for (scheme, label), colour, marker in zip(
        (("he", "He's"), ("lsuv", "LSUV's")), COLOURS[-2:], MARKERS[-2:], strict=True
    ):
        one = ends[(ends.scheme == scheme) & (ends.backend == "scratch")].sort_values("rate")
        right.errorbar(
            one.rate,
            one.measured,
            one.standard_error,
            color=colour,
            marker=marker,
            markersize=5,
            label=label + " weights",
        )
    right.set(xscale="log", xlabel="learning rate", ylabel="test loss at the end", ylim=(0, None))
    plain(right.xaxis, sorted(ends.rate.unique()))
    key(figure, [left, middle, right])
    return figure


def dead(sets: pd.DataFrame, biased: pd.DataFrame) -> Figure:
    """Narrow ReLU networks with He's weights. Left: the share that give nothing but zeros for every input, of either sign; their
    gradients are exactly 0, and they will never learn anything but a bias. The bands are bounds, exact for the first two
    layers. Right: the share of the layers reached by a signal that switch it off, when all biases start at b: 2⁻ⁿ without bias,
    fewer with one; and what comes after a dead layer wakes up again, though no gradient passes.
    """
    figure, (left, right) = panels(
        ["dead for all of the data", "and a bias against it"], width=3.6, height=3.0, share_y=False
    )
    both = sets[sets.inputs == "both signs"].assign(predicted=np.nan)
    for index, width in enumerate(sorted(both.width.unique())):
        one = both[both.width == width]
        band(left, one, index)
        series(left, one, f"width {width}", index, x="depth")
    for width in sorted(biased.width.unique()):
        index = sorted(both.width.unique()).index(width) if width in both.width.unique() else 6
        one = biased[biased.width == width]
        series(right, one, f"width {width}", index, x="bias")
    left.set(xlabel="ReLU layers", ylabel="share of networks", ylim=(-0.03, 1.03))
    right.set(xlabel="bias b of every unit at the start", ylabel="share of layers switched off", ylim=(0, None))
    key(figure, [left, right])
    return figure
