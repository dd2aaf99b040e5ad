"""The figures of the report, drawn from its tables alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.experiment import Plot, Tables
from experiments.figures import COLOURS, RING, key, panels, series

NOTHING = 3.0  # where ∞ and NaN are drawn: above every relative error
FLOOR = 1e-19  # errors of 0 are drawn here


def figures(tables: Tables) -> list[Plot]:
    """Each figure's caption is the docstring of the function that draws it."""
    signal, times, curves = (tables.get(name, pd.DataFrame()) for name in ("signal", "times", "curves"))
    found = []
    if len(signal) and len(times):
        found.append(plot("wrong", "Surely wrong: what is taught, and how long it takes", wrong, signal, times))
    if len(accuracy := tables.get("accuracy", pd.DataFrame())):
        found.append(plot("digits", "The formula as written, and from logits", digits, accuracy))
    if len(starts := tables.get("random_starts", pd.DataFrame())):
        found.append(plot("starts", "Random starts", random_starts, starts))
    if len(curves):
        found.append(plot("training", "Real networks", training, curves))
    return found


def plot(name: str, title: str, draw: Any, *tables: pd.DataFrame) -> Plot:
    return Plot(name, title, " ".join((draw.__doc__ or "").split()), partial(draw, *tables))


def wrong(signal: pd.DataFrame, times: pd.DataFrame) -> Figure:
    """A sigmoid unit whose answer should be 1. Left: the learning signal −∂J/∂z. Far on the wrong side (left) cross-entropy's is 1
    and squared error's fades as e^z; where the answer is right (right) both fade. Right: the time, learning rate × steps, until a
    unit that starts at z = −s has come to 0. The lines are the closed forms a − y and 2(a − y)a(1 − a), and 1 + s − e^−s
    and about e^s/2 with the correction for steps of finite size; nothing is fitted.
    """
    figure, axes = panels(
        ["what is taught", "how long it takes"], width=3.7, share_y=False, margins=(0.95, 2.5, 0.6, 0.4)
    )
    shown = signal.assign(measured=signal.measured.abs(), predicted=signal.predicted.abs(), standard_error=0.0)
    for index, loss in enumerate(shown.loss.unique()):
        series(axes[0], shown[shown.loss == loss], loss, index, x="z")
        series(axes[1], times[times.loss == loss], loss, index, x="wrong")
    axes[0].set(xlabel="logit z (wrong on the left)", ylabel="size of ∂J/∂z", yscale="log", ylim=(1e-9, 5))
    axes[1].set(xlabel="s: how far on the wrong side it starts", ylabel="time to z = 0 (rate × steps)", yscale="log")
    decades(axes[1].yaxis, times.measured)
    key(figure, axes)
    return figure


def digits(accuracy: pd.DataFrame) -> Figure:
    """Relative error of the loss of one example in float64, over the size of its logit, for both answers, right and wrong. Grey
    line: u·e^|z|/√3 and its like, what the rounding of 1 + e^−z or of 1 − σ does. Above the break the naive formula gives 0 (an
    error of 1), ∞ or NaN (crosses at the top); the dotted lines are the predicted breaks. From logits the error stays at u,
    except in PyTorch for a right "no", where the tiny loss is the difference of two numbers as large as z. Errors of 0 lie on
    the bottom.
    """
    cases = accuracy[["y", "side"]].drop_duplicates().itertuples(index=False, name=None)
    kinds = [(y, side) for y, side in cases]
    figure, axes = panels(
        [f"answer y = {y}, logit {side}" for y, side in kinds], width=2.6, margins=(0.95, 2.3, 0.6, 0.4)
    )
    chosen = accuracy[accuracy.dtype == "float64"]
    for ax, (y, side) in zip(axes, kinds, strict=True):
        one = chosen[(chosen.y == y) & (chosen.side == side)]
        for index, form in enumerate(("naive", "stable")):
            errors(ax, one[one.form == form], {"naive": "as written", "stable": "from logits"}[form], index)
        law(ax, y, side)
        ax.set(xlabel="size of the logit |z|", xscale="log", yscale="log", ylim=(FLOOR / 3, 40), xlim=(0.08, 1.4e4))
        ax.set_xticks([1e-1, 1e1, 1e3], ["0.1", "10", "1000"])
    axes[0].set_ylabel("relative error of the loss")
    axes[0].set_yticks([1e-18, 1e-12, 1e-6, 1, NOTHING * 4], ["10⁻¹⁸", "10⁻¹²", "10⁻⁶", "1", "∞, NaN"])
    key(figure, axes)
    return figure


def errors(ax: Any, rows: pd.DataFrame, label: str, index: int) -> None:
    """scratch's points and torchref's rings; ∞ and NaN as crosses."""
    for backend, style in (("scratch", {"marker": "o", "linestyle": "none", "markersize": 3.5}), ("torchref", RING)):
        one = rows[rows.backend == backend].iloc[:: 1 if backend == "scratch" else 4]
        size, relative = one.z.abs().to_numpy(), (one.error.abs() / one.exact).mask(one.error == 0, 0.0).to_numpy()
        finite = np.isfinite(relative)
        shown: Any = {"color": COLOURS[index], "label": label if backend == "scratch" else None} | style
        ax.plot(size[finite], np.maximum(relative[finite], FLOOR), **shown)
        if backend == "scratch" and not finite.all():
            ax.plot(size[~finite], np.full((~finite).sum(), NOTHING * 4), "x", color=COLOURS[index], markersize=4)


def law(ax: Any, y: int, side: str) -> None:
    """What rounding does, up to where the formula breaks, and the break."""
    unit, one, none, over = 2.0**-53, 53 * np.log(2), 54 * np.log(2), 709.78
    z = np.geomspace(3, one, 50)
    if (y, side) != (1, "wrong"):
        small = np.log1p(np.exp(-z))
        size = unit / np.sqrt(12 if (y, side) == (0, "right") else 3)
        ax.plot(z, size * np.exp(z) / (z + small) if side == "wrong" else size / small, color="#444444", zorder=4)
    for at in {(1, "right"): (one,), (0, "right"): (none, over), (0, "wrong"): (one,), (1, "wrong"): (over,)}[y, side]:
        ax.axvline(at, color="#444444", linestyle=":", linewidth=1.2)


def random_starts(starts: pd.DataFrame) -> Figure:
    """Logistic regression on breast_cancer with normal random weights: the mean square of the examples' learning signals, over the
    scale of the weights. With large weights every example is surely right or surely wrong; by cross-entropy the wrong half
    teaches with full strength, by squared error only the few near z = 0 teach at all. The lines are the exact expectation.
    """
    figure, axes = panels(["before the first step"], width=4.2)
    for index, loss in enumerate(starts.loss.unique()):
        series(axes[0], starts[starts.loss == loss], loss, index, x="scale")
    axes[0].set(
        xlabel="scale of the random weights, √(n·Var W)", ylabel="mean square of n·∂J/∂z", xscale="log", yscale="log"
    )
    scales = sorted(set(starts.scale))
    axes[0].set_xticks(scales, [f"{scale:g}" for scale in scales])
    axes[0].xaxis.minorticks_off()
    decades(axes[0].yaxis, starts.measured)
    key(figure, axes)
    return figure


def decades(axis: Any, values: pd.Series) -> None:
    """A logarithmic axis with plain numbers: 1, 2 and 5 of each power of ten that is met."""
    ticks = [m * 10.0**k for k in range(-9, 9) for m in (1, 2, 5)]
    shown = [tick for tick in ticks if values.min() / 2 <= tick <= values.max() * 2]
    axis.set_ticks(shown)
    axis.set_ticklabels([f"{tick:g}" for tick in shown])
    axis.minorticks_off()


def training(curves: pd.DataFrame) -> Figure:
    """Accuracy on the training set of networks with one hidden layer of tanh units, mean over seeds ± one standard error; the rates
    are such that both losses begin equally fast where no class is preferred. Saturated: the same starts with larger output
    weights. From plain starts squared error is no slower at these rates, on digits even faster. "Read literally" is the notes'
    formula with the minus before its first term alone. Where points and rings part (squared error, saturated digits, large
    rates), training magnifies rounding.
    """
    own = curves[curves.part == "training"]
    cases = [(data, start) for data in own.on.unique() for start in ("plain", "saturated")]
    names = list(dict.fromkeys(own.loss))
    figure, axes = panels([f"{data.replace('_', ' ')}, {start}" for data, start in cases], width=2.7)
    for ax, (data, start) in zip(axes, cases, strict=True):
        for index, loss in enumerate(names):
            one = own[(own.on == data) & (own.start == start) & (own.loss == loss)]
            if len(one):
                series(ax, one, loss, index, x="step")
                ours = one[one.backend == "scratch"].sort_values("step")
                ax.plot(ours.step, ours.measured, color=COLOURS[index], linewidth=0.8, alpha=0.6)
        ax.set(xlabel="step", ylim=(0, 1.02))
    axes[0].set_ylabel("accuracy, training set")
    key(figure, axes, predicted=False)
    return figure
