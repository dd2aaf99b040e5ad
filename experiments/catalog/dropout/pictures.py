"""The figures of the report, drawn from its tables alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.experiment import Plot, Tables
from experiments.figures import COLOURS, MARKERS, RING, key, panels, series

KEEP = "probability of keeping a unit, p"
MEASUREMENTS = ("age", "sex", "body mass", "blood pressure", "s1", "s2", "s3", "s4", "s5", "s6")


def figures(tables: Tables) -> list[Plot]:
    """Each figure's caption is the docstring of the function that draws it."""
    regularized = tables["regularized"]
    drawn = [
        plot("overfitting", "Less overfitting", overfitting, regularized),
        plot("errors", "Fewer errors", errors, regularized),
        plot("training", "While it trains", training, tables["curves"]),
        plot("misuse", "Dropout after training", misuse, regularized),
        plot("activity", "What becomes of the hidden units", activity, regularized),
        plot(
            "ridge",
            "Linear regression with dropout is ridge regression",
            ridge,
            *(tables[name] for name in ("path", "coefficients", "sampled")),
        ),
        plot("geometric", "One network for all thinned ones", geometric, tables["geometric"]),
        plot("penalty", "Wager's penalty", penalty, tables["penalty"]),
    ]
    return [plot for plot in drawn if plot is not None]


def plot(name: str, title: str, draw: Callable[..., Figure], *tables: pd.DataFrame) -> Plot | None:
    """The figure of some tables; none where one is empty."""
    if any(table.empty for table in tables):
        return None
    return Plot(name, title, " ".join((draw.__doc__ or "").split()), partial(draw, *tables))


def named(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    return table[table.quantity == quantity]


def shares(table: pd.DataFrame) -> list[float]:
    return sorted(table.wrong.unique())


def joined(ax: Axes, table: pd.DataFrame, label: str, index: int, x: str = "keep") -> None:
    """Points, rings, and a thin line from point to point: there is no prediction here."""
    ours = table[table.backend == "scratch"].sort_values(x)
    ax.plot(ours[x], ours.measured, color=COLOURS[index], linewidth=0.8, alpha=0.6)
    series(ax, table, label, index, x=x)


def from_zero(ax: Axes) -> None:
    """The vertical axis from 0 to a little above the highest point."""
    ax.set_ylim(0, 1.08 * max(float(np.max(np.asarray(line.get_ydata()))) for line in ax.lines))


def overfitting(regularized: pd.DataFrame) -> Figure:
    """Loss after training, with all units in use: on the digits trained on, and on others. At the right end nothing is
    dropped. The distance between the two curves is the overfitting. With wrong labels it is large, and the fewer units
    are kept in training, the smaller it is; with right ones there is little to gain. Where too few are kept, the network
    no longer fits, and both curves rise.
    """
    return sweep(regularized, "loss", "loss (cross-entropy)")


def errors(regularized: pd.DataFrame) -> Figure:
    """The share of digits misclassified by the same networks."""
    return sweep(regularized, "error", "share misclassified")


def sweep(regularized: pd.DataFrame, what: str, label: str) -> Figure:
    figure, axes = panels([f"{share:.0%} of labels wrong" for share in shares(regularized)], share_y=False)
    for ax, share in zip(axes, shares(regularized), strict=True):
        for index, (part, digits) in enumerate({"test": "other digits", "train": "training digits"}.items()):
            joined(ax, named(regularized[regularized.wrong == share], f"{part} {what}"), digits, index)
        ax.set(xlabel=KEEP, ylabel=label)
        from_zero(ax)
    key(figure, axes, predicted=False)
    return figure


def training(curves: pd.DataFrame) -> Figure:
    """The test loss on the way. Without dropout it falls, then rises as the network learns its wrong labels by heart;
    with dropout it falls more slowly, and then stays low.
    """
    figure, axes = panels([f"{share:.0%} of labels wrong" for share in shares(curves)], share_y=False)
    keeps = sorted(curves.keep.unique())
    few = [keeps[k] for k in sorted({0, len(keeps) // 3, len(keeps) // 2, len(keeps) - 1})]
    for ax, share in zip(axes, shares(curves), strict=True):
        for index, keep in enumerate(few):
            chosen = named(curves[(curves.wrong == share) & (curves.keep == keep)], "test loss")
            joined(ax, chosen, "none dropped" if keep == 1 else f"p = {keep:g}", index, x="step")
        ax.set(xlabel="training step", ylabel="test loss (cross-entropy)")
    key(figure, axes, predicted=False)
    return figure


def misuse(regularized: pd.DataFrame) -> Figure:
    """The test loss of the same trained networks, used as they should be (all units, no factor), with dropout left on,
    and as networks that were trained without the factor 1/p would be: all units at once give out 1/p times what the next
    layer is used to.
    """
    uses = {
        "test loss": "right",
        "test loss, left on": "dropout left on",
        "test loss, factor lost": "factor 1/p forgotten",
    }
    figure, axes = panels([f"{share:.0%} of labels wrong" for share in shares(regularized)], share_y=False)
    for ax, share in zip(axes, shares(regularized), strict=True):
        for index, (quantity, label) in enumerate(uses.items()):
            joined(ax, named(regularized[regularized.wrong == share], quantity), label, index)
        ax.set(xlabel=KEEP, ylabel="test loss (cross-entropy)")
        from_zero(ax)
    key(figure, axes, predicted=False)
    return figure


def activity(regularized: pd.DataFrame) -> Figure:
    """Hidden units of the trained networks, all of them in use, on the test digits: their mean activation and the share
    that is above 0.
    """
    figure, axes = panels(["mean activation", "share of active units"], share_y=False)
    for ax, quantity in zip(axes, ("mean activation", "active share"), strict=True):
        for index, share in enumerate(shares(regularized)):
            chosen = named(regularized[regularized.wrong == share], quantity)
            joined(ax, chosen, f"{share:.0%} of labels wrong", index)
        ax.set(xlabel=KEEP, ylabel=quantity)
        from_zero(ax)
    key(figure, axes, predicted=False)
    return figure


def ridge(path: pd.DataFrame, coefficients: pd.DataFrame, sampled: pd.DataFrame) -> Figure:
    """Ten weights of a linear regression (diabetes patients, standardized) trained with dropout on its inputs. Left: by
    descent on the average over all 1024 masks; the lines are ridge regression's closed form, with penalty (1−p)/p, and
    at p = 1 they are least squares. Right: trained with masks drawn at every step, for a while; the lines are the exact
    mean of that, and where little is dropped they have not come to ridge's weights yet.
    """
    figure, axes = panels(["all masks at once", "masks drawn, mean of the runs"], width=3.6, height=3.8)
    for ax, line, table in zip(
        axes, ("ridge", "drawn"), (coefficients.assign(standard_error=0.0), sampled), strict=True
    ):
        for index, name in enumerate(MEASUREMENTS):
            one = path[path.feature == index]
            ax.plot(one.keep, one[line], color=COLOURS[index % 8], linestyle="-" if index < 8 else ":")
            weight(ax, table[table.feature == index], name, index)
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set(xlabel="probability of keeping an input, p", xlim=(0, 1.04))
    axes[0].set_ylabel("weight (standard deviations)")
    key(figure, axes)
    return figure


def weight(ax: Axes, table: pd.DataFrame, name: str, index: int) -> None:
    """One weight's points, error bars and rings: there are more weights than colours, so the marker tells them apart."""
    colour, marker = COLOURS[index % 8], (*MARKERS, "<", ">")[index]
    ours, theirs = (table[table.backend == backend] for backend in ("scratch", "torchref"))
    ax.errorbar(ours.keep, ours.value, ours.standard_error, color=colour, linestyle="none", zorder=3)
    ax.plot(ours.keep, ours.value, color=colour, marker=marker, linestyle="none", markersize=5, label=name, zorder=3)
    ax.plot(theirs.keep, theirs.value, color=colour, zorder=4, **RING)


def geometric(table: pd.DataFrame) -> Figure:
    """How far the network without dropout lies from the mean of all thinned networks: the largest difference of any
    log-probability, on a logarithmic axis. It is their normalized geometric mean to the last digit wherever everything
    above the dropped units is linear up to the softmax, and never their arithmetic mean. Upper points: p = 0.5, lower: 0.8.
    """
    figure, (ax,) = panels([""], width=5.2, height=2.6, margins=(2.2, 2.4, 0.65, 0.15))
    names = list(table.network.unique())[::-1]
    held = table.assign(row=table.network.map(names.index) + np.where(table.keep < table.keep.max(), 0.14, -0.14))
    for index, kind in enumerate(("geometric", "arithmetic")):
        for backend, look in (("scratch", point(index)), ("torchref", RING)):
            one = held[held.backend == backend]
            label = f"{kind} mean" if backend == "scratch" else None
            ax.plot(np.maximum(one[kind], 1e-17), one.row, color=COLOURS[index], label=label, **look)
    ax.set_yticks(range(len(names)), names)
    ax.set(
        xscale="log", xlabel="largest difference in log-probability", ylim=(-0.5, len(names) - 0.5), xlim=(1e-16, 100)
    )
    key(figure, [ax], predicted=False)
    return figure


def point(index: int) -> dict[str, Any]:
    return {"marker": MARKERS[index], "linestyle": "none", "markersize": 5}


def penalty(penalties: pd.DataFrame) -> Figure:
    """What dropout adds to the loss of logistic regression, averaged over all masks, in units of Wager's quadratic
    approximation: at 1 that is exact. The lines add the third-order term; the bands are what Taylor's remainder leaves
    open (for the trained weights more than the panel shows). The approximation gets better as the weights get smaller
    (right), not as dropout gets rarer (towards the left of each panel): a missing input is no small change.
    """
    stretches = sorted(penalties.stretch.unique(), reverse=True)
    figure, axes = panels([f"trained weights × {stretch:g}" for stretch in stretches], width=2.8)
    for index, (ax, stretch) in enumerate(zip(axes, stretches, strict=True)):
        one = penalties[penalties.stretch == stretch]
        line, half = 1 + one.cubic / one.quadratic, one.open / one.quadratic
        one = one.assign(measured=one.ratio, predicted=line, standard_error=0.0, low=line - half, high=line + half)
        ours = one[one.backend == "scratch"].sort_values("rate")
        label = "what Taylor leaves open" if index == 0 else None
        ax.fill_between(ours.rate, ours.low, ours.high, color="#7F7F7F", alpha=0.25, linewidth=0, label=label)
        series(ax, one, "", 0, x="rate")
        ax.axhline(1, color="black", linewidth=0.8, linestyle=":")
        ax.set_xlabel("dropout rate, δ = 1 − p")
    near = penalties.ratio
    axes[0].set(ylabel="penalty / Wager's approximation", ylim=(min(near.min(), 1) - 0.1, max(near.max(), 1) + 0.1))
    key(figure, axes)
    return figure
