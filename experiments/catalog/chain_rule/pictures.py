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
from experiments.figures import COLOURS, MARKERS, RING, panels, series

BLUE, ORANGE, GREEN = COLOURS[:3]
PLACES: dict[str, dict[str, tuple[float, float]]] = {  # of the notes' nodes: across, up
    "one": {"x": (0, 1), "y": (1.5, 1), "z": (3, 1)},
    "two": {"x1": (0, 2), "x2": (0, 1), "x3": (0, 0), "y1": (1.5, 1.6), "y2": (1.5, 0.4), "z": (3, 1)},
}
TITLES = {"one": "y = x²,   z = 2y + 1", "two": "y₁ = x₁ + x₂²,   y₂ = x₂ + x₃²,   z = y₁² + y₂²"}
SUBSCRIPTS = str.maketrans("123", "₁₂₃")
RADIUS = 0.23


def figures(tables: Tables) -> list[Plot]:
    """Each figure's caption is the docstring of the function that draws it."""
    drawn = [
        plot("graph", "Shares flow back along the edges and add up", graph, tables, "nodes", "edges"),
        plot("paths", "Two paths, one sum", paths, tables, "paths"),
        plot("dropped", "The dropped +1", dropped, tables, "dropped"),
        plot("cost", "All derivatives in one pass", cost, tables, "cost"),
        plot("tape", "The tape, line by line", tape, tables, "tape"),
    ]
    return [plot for plot in drawn if plot is not None]


def plot(name: str, title: str, draw: Callable[..., Figure], tables: Tables, *needed: str) -> Plot | None:
    """The figure of some tables; none where one is missing or empty."""
    if any(table not in tables or tables[table].empty for table in needed):
        return None
    return Plot(
        name, title, " ".join((draw.__doc__ or "").split()), partial(draw, *(tables[table] for table in needed))
    )


def graph(nodes: pd.DataFrame, edges: pd.DataFrame) -> Figure:
    """The notes' two examples at x = 3 and at (1, 2, 3). In each circle a node's value; on each edge, in blue, the local derivative; below
    each circle, in orange, its share: the derivative of z. Read it from right to left: a share goes back along every edge, times what
    stands there, and where edges meet the shares add up, as at x₂: 10 · 4 + 22 · 1 = 62.
    """
    figure, axes = panels(list(TITLES.values()), width=4.7, height=3.3, margins=(0.1, 0.1, 0.1, 0.4))
    for ax, (example, places) in zip(axes, PLACES.items(), strict=True):
        ax.set(xlim=(-0.45, 3.45), ylim=(-0.6, 2.5), aspect="equal")
        ax.axis("off")
        for one in edges[(edges.example == example) & (edges.backend == "scratch")].to_dict("records"):
            arrow(ax, places[one["from"]], places[one["to"]], f"{one['slope']:g}")
        for node in nodes[(nodes.example == example) & (nodes.backend == "scratch")].itertuples():
            circle(ax, places[node.node], node)
    return figure


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], text: str) -> None:
    """An edge between the rims of two circles, its local derivative on a white ground in its middle."""
    (x, y), (to_x, to_y) = start, end
    length = float(np.hypot(to_x - x, to_y - y))
    along_x, along_y = (to_x - x) / length * RADIUS, (to_y - y) / length * RADIUS
    style = {"arrowstyle": "-|>", "color": "#777777", "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (to_x - along_x, to_y - along_y), (x + along_x, y + along_y), arrowprops=style)
    ground = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    ax.text((x + to_x) / 2, (y + to_y) / 2, f"× {text}", color=BLUE, ha="center", va="center", fontsize=11, bbox=ground)


def circle(ax: Axes, place: tuple[float, float], node: Any) -> None:
    from matplotlib.patches import Circle

    x, y = place
    ax.add_patch(Circle(place, RADIUS, facecolor="#F2F2F2", edgecolor="black", linewidth=1.2, zorder=3))
    ax.text(x, y, f"{node.value:g}", ha="center", va="center", fontsize=11, zorder=4)
    ax.text(
        x, y + RADIUS + 0.06, node.node.translate(SUBSCRIPTS), ha="center", va="bottom", fontsize=12, style="italic"
    )
    ax.text(x, y - RADIUS - 0.06, f"{node.share:g}", ha="center", va="top", fontsize=12, color=ORANGE, weight="bold")


def paths(table: pd.DataFrame) -> Figure:
    """∂z/∂x₂ of the second example along x₂, at x₁ = 1 and x₃ = 3. The blue line, the derivative, is the sum of the two others: what comes
    through y₁ and what comes through y₂, each measured with the other way cut. Lines are the notes' formulas.
    """
    figure, (ax,) = panels([""], width=5.0, height=3.0, margins=(0.85, 2.5, 0.65, 0.2))
    names = {"both paths": "both: 4y₁x₂ + 2y₂", "through y1": "through y₁: 4y₁x₂", "through y2": "through y₂: 2y₂"}
    for index, (path, label) in enumerate(names.items()):
        measured(ax, table[table.path == path], index, label, "x2", "share", "predicted")
    ax.set(xlabel="x₂", ylabel="∂z/∂x₂")
    legend(figure, ax)
    return figure


def measured(
    ax: Axes, table: pd.DataFrame, index: int, label: str, x: str, y: str, predicted: str, first: int = 0
) -> None:
    """The predicted line, and on it scratch's points and torchref's rings, every fourth."""
    ours, theirs = (table[table.backend == name].sort_values(x) for name in ("scratch", "torchref"))
    colour, shown, ring = COLOURS[index], ours.iloc[first::4], theirs.iloc[first::4]
    ax.plot(ours[x], ours[predicted], color=colour)
    ax.plot(
        shown[x], shown[y], color=colour, marker=MARKERS[index], markersize=5, linestyle="none", label=label, zorder=3
    )
    ax.plot(ring[x], ring[y], color=colour, zorder=4, **RING)


def legend(figure: Figure, ax: Axes, line: str = "predicted") -> None:
    """Beside the panel: the conditions, and what points, rings and lines mean."""
    from matplotlib.lines import Line2D

    grey = "#555555"
    meaning = [
        Line2D([], [], color=grey, label=line),
        Line2D([], [], color=grey, marker="o", linestyle="none", markersize=5, label="scratch"),
        Line2D([], [], color=grey, label="torchref", **RING),
    ]
    handles = [*ax.get_legend_handles_labels()[0], *meaning]
    figure.legend(handles=handles, loc="center right", bbox_to_anchor=(1, 0.5), fontsize=10, frameon=False)


def dropped(table: pd.DataFrame) -> Figure:
    """The notes' z = 2y + 1 and what they make of it, 2x². Left: the values, one apart at every x. Right: the slopes, both on 4x, for a
    constant has none.
    """
    figure, axes = panels(["value z", "slope ∂z/∂x"], share_y=False, width=3.1, margins=(0.6, 2.2, 0.65, 0.4))
    for ax, quantity in zip(axes, ("value", "slope"), strict=True):
        for index, program in enumerate(("2y + 1", "2x²")):
            one = table[table.program == program]
            measured(ax, one, index, f"z = {program}", "x", quantity, f"predicted_{quantity}", 2 * index)
        ax.set(xlabel="x")
    legend(figure, axes[0])
    return figure


def cost(table: pd.DataFrame) -> Figure:
    """Multiplications for all n derivatives of y = w₁ w₂ … wₙ x, counted while they are done. Backwards, one pass serves every factor:
    3n − 1. A complex step knows one direction, so every factor pays for a pass of its own: n². From three factors on, the way back
    is the cheaper one, and a network has a million.
    """
    figure, (ax,) = panels([""], width=4.4, height=3.0, margins=(0.9, 3.0, 0.65, 0.2))
    labels = {"complex step": "n complex steps: n²", "reverse": "one pass back: 3n − 1"}
    for index, (mode, label) in enumerate(labels.items()):
        chosen = table[table["mode"] == mode].assign(standard_error=0.0)
        series(ax, chosen, label, index, x="n", y="multiplications")
    ax.set(xscale="log", yscale="log", xlabel="n, factors", ylabel="multiplications")
    sizes = sorted(table.n.unique())
    ax.set_xticks(sizes, [str(n) for n in sizes])
    top = int(np.ceil(np.log10(table.multiplications.max())))
    ax.set_yticks([10**k for k in range(top + 1)], [f"{10**k:,}".replace(",", " ") for k in range(top + 1)])
    ax.minorticks_off()
    legend(figure, ax)
    return figure


def tape(table: pd.DataFrame) -> Figure:
    """What scratch writes down of both examples: every node with what it was made of, its value, its derivatives, and its share, the
    derivative of z with respect to it. Powers and sums are nodes of their own here (v1, v2, …); the last column is found from the bottom
    up, and says what the figure at the top says.
    """
    headings = ["node", "made of", "value", "its derivatives", "share"]
    at = dict(zip(headings, (0.1, 0.8, 2.1, 2.9, 5.9), strict=True))
    lines = len(table) + 2 * table.example.nunique()
    figure, (ax,) = panels([""], width=6.9, height=0.27 * lines, margins=(0.1, 0.1, 0.1, 0.1))
    ax.set(xlim=(0, 6.9), ylim=(lines, 0))
    ax.axis("off")
    y = 0.6
    for _, rows in table.fillna("").groupby("example", sort=False):
        ax.axhspan(y - 0.5, y + 0.5, color="#EEEEEE")
        for heading in headings:
            ax.text(at[heading], y, heading.replace("share", "∂z/∂node"), va="center", fontsize=10, weight="bold")
        for row in rows.to_dict("records"):
            y += 1
            for heading in headings:
                colour = {"share": ORANGE, "its derivatives": BLUE}.get(heading, "black")
                ax.text(at[heading], y, shown(row[heading]), va="center", fontsize=10, color=colour)
        y += 2
    return figure


def shown(value: Any) -> str:
    """A whole number that came back from CSV as such, or text."""
    return f"{value:g}" if isinstance(value, int | float) else str(value)
