"""Tables -> figures. Nothing here computes, nothing knows a backend: what is drawn stands in a table.

One look throughout: lines are predictions, filled points are scratch, rings around them are torchref.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd

# Okabe & Ito's palette: told apart by the colour-blind; the marker repeats what the colour says
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
RING: Any = {"marker": "o", "linestyle": "none", "markersize": 8.5, "fillstyle": "none", "markeredgewidth": 0.8}
STYLE: Any = {
    "svg.hashsalt": "experiments",  # same tables, same bytes
    "svg.fonttype": "none",  # text stays text: small files, and it can be searched and read aloud
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def panels(
    titles: Sequence[str],
    *,
    width: float = 3.0,
    height: float = 2.7,
    share_y: bool = True,
    margins: tuple[float, float, float, float] = (0.95, 2.4, 0.6, 0.4),
) -> tuple[Figure, list[Axes]]:
    """A row of small multiples, one for each title. Inches: each panel's width and height, margins left, right, bottom, top.

    The margins are given, not found: a layout engine draws every figure twice or thrice to find them.
    """
    left, right, bottom, top = margins
    gap = 0.2 if share_y else 0.85
    across, up = left + len(titles) * width + (len(titles) - 1) * gap + right, bottom + height + top
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(across, up))
        axes = figure.subplots(1, len(titles), sharey=share_y, squeeze=False)[0]
        figure.subplots_adjust(left / across, bottom / up, 1 - right / across, 1 - top / up, wspace=gap / width)
        for ax, title in zip(axes, titles, strict=True):
            ax.set_title(title, y=1.0)  # where it would go anyway: finding that out costs a sixth of the drawing
    return figure, list(axes)


def series(ax: Axes, table: pd.DataFrame, label: str, index: int, *, x: str, y: str = "measured") -> None:
    """One condition: the predicted line, scratch's points with error bars, torchref's rings."""
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    ours, theirs = (table[table.backend == name].sort_values(x) for name in ("scratch", "torchref"))
    if "predicted" in ours and ours.predicted.notna().any():
        ax.plot(ours[x], ours.predicted, color=colour, zorder=2)
    every = max(1, len(ours) // 12)
    first = index % every  # lines that lie on each other show their markers in turn
    shown, ring = ours.iloc[first::every], theirs.iloc[first::every]
    ax.vlines(
        shown[x],
        shown[y] - shown.standard_error,
        shown[y] + shown.standard_error,
        color=colour,
        linewidth=1.2,
        zorder=3,
    )
    ax.plot(shown[x], shown[y], color=colour, marker=marker, linestyle="none", markersize=5, label=label, zorder=3)
    ax.plot(ring[x], ring[y], color=colour, zorder=4, **RING)


def joined(ax: Axes, table: pd.DataFrame, label: str, index: int, *, x: str, **line: Any) -> None:
    """A series whose points, scratch's, are joined by a thin line: there is no prediction, or one of something else."""
    series(ax, table, label, index, x=x)
    ours = table[table.backend == "scratch"].sort_values(x)
    look: Any = {"color": COLOURS[index], "linewidth": 0.8, "alpha": 0.6} | line
    ax.plot(ours[x], ours.measured, **look)


def fan(
    ax: Axes,
    table: pd.DataFrame,
    by: str,
    label: str = "{}",
    *,
    x: str,
    first: int = 0,
    draw: Callable[..., None] = series,
) -> None:
    """A series for each value of the column ``by``, in order, called ``label`` of it; colours from the one numbered ``first``."""
    for index, value in enumerate(sorted(table[by].unique()), first):
        draw(ax, table[table[by] == value], label.format(value), index, x=x)


def ticks(axis: Axis, at: Sequence[float]) -> None:
    """These ticks alone, in plain numbers: of a logarithmic axis, or where nothing lies between."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.set_major_locator(FixedLocator(list(at)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def decades(values: pd.Series) -> list[float]:
    """1, 2 and 5 of each power of ten that is met, from half the smallest value to twice the largest."""
    every = [m * 10.0**k for k in range(-9, 9) for m in (1, 2, 5)]
    return [tick for tick in every if values.min() / 2 <= tick <= values.max() * 2]


def logarithmic(axis: Axis, values: pd.Series) -> None:
    """A logarithmic axis in plain numbers that reaches from the first of these ticks to the last."""
    shown = decades(values)
    axis.set_ticks(shown, [f"{tick:g}" for tick in shown])
    axis.minorticks_off()


def key(figure: Figure, axes: Sequence[Axes], *, predicted: bool = True, ylabel: str = "", **axis: Any) -> Figure:
    """The figure, finished: the first panel's label, whatever else is given to every axis's ``set``, and the legend.

    That stands outside of the panels, with what points, rings and lines mean.
    """
    from matplotlib.lines import Line2D

    for ax in axes if axis else ():
        ax.set(**axis)
    if ylabel:
        axes[0].set_ylabel(ylabel)
    grey = "#555555"
    meaning = [
        Line2D([], [], color=grey, marker="o", linestyle="none", markersize=5, label="scratch (mean ± s.e.)"),
        Line2D([], [], color=grey, label="torchref", **RING),
    ]
    if predicted:
        meaning.insert(0, Line2D([], [], color=grey, label="predicted"))
    named: dict[str, Any] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        named |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in named}
    with matplotlib.rc_context(STYLE):
        figure.legend(
            [*named.values(), *meaning],
            [*named, *(str(m.get_label()) for m in meaning)],
            loc="center right",
            bbox_to_anchor=(1, 0.5),
            fontsize=10,
        )
    return figure


def runs(ax: Axes, losses: pd.DataFrame, label: str, index: int) -> None:
    """Training curves: a line a seed of scratch, rings for torchref."""
    look: Any = {"color": COLOURS[index], "marker": MARKERS[index], "markersize": 4, "linewidth": 1}
    for seed, run in losses[losses.backend == "scratch"].groupby("seed"):
        ax.plot(run.step, run.value, label=label if seed == 0 else None, **look)
    other = losses[losses.backend == "torchref"]
    ax.plot(other.step, other.value, color=COLOURS[index], **RING)


def facets(
    table: pd.DataFrame,
    *,
    x: str,
    y: str = "measured",
    panel: str | None = None,
    colour: str | None = None,
    title: str = "{}",
    xlabel: str = "",
    ylabel: str = "",
    predicted: bool = True,
    size: Mapping[str, Any] | None = None,
    **axis: Any,
) -> Figure:
    """A panel for each value of the column ``panel``, titled by ``title``, with a series for each value of ``colour``.

    ``size`` goes to ``panels``, whatever else is given to every axis's ``set``.
    """
    names = [""] if panel is None else list(table[panel].unique())
    colours = [""] if colour is None else list(table[colour].unique())
    figure, axes = panels([title.format(name) for name in names], **({} if size is None else size))
    for ax, name in zip(axes, names, strict=True):
        rows = table if panel is None else table[table[panel] == name]
        for index, shade in enumerate(colours):
            series(ax, rows if colour is None else rows[rows[colour] == shade], str(shade), index, x=x, y=y)
    return key(figure, axes, predicted=predicted, ylabel=ylabel, xlabel=xlabel, **axis)


def heatmap(
    ax: Axes, values: np.ndarray, columns: Sequence[Any], rows: Sequence[Any], *, low: float, high: float
) -> Any:
    """A matrix of shares, each written into its cell."""
    image = ax.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect="auto")
    ax.set_xticks(range(len(columns)), [str(c) for c in columns])
    ax.set_yticks(range(len(rows)), [str(r) for r in rows])
    ax.grid(False)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = value < (low + high) / 2
            ax.text(
                column, row, f"{value:.0%}", ha="center", va="center", fontsize=9, color="white" if dark else "black"
            )
    return image


def svg(figure: Figure) -> str:
    """The figure as SVG text, the same bytes for the same figure."""
    with matplotlib.rc_context(STYLE):
        FigureCanvasSVG(figure)
        held = io.StringIO()
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    return held.getvalue()
