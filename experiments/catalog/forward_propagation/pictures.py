"""The figures of the report, drawn from its tables alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.experiment import Plot, Tables
from experiments.figures import COLOURS, RING, key, panels, series

BLUE, ORANGE = COLOURS[0], COLOURS[1]
PALE = {BLUE: "#CFE3F1", ORANGE: "#F7DCC8", "": "white"}
EXAMPLE = 1  # the column that is followed


def figures(tables: Tables) -> list[Plot]:
    """Each figure's caption is the docstring of the function that draws it."""
    drawn = [
        plot("shapes", "Rows are neurons, columns are examples", shapes, tables.get("matrices")),
        plot("columns", "One example changes one column", columns, tables.get("touched")),
        plot("rounding", "Three ways to the same numbers", rounding, tables.get("products")),
        plot("silent", "A transposed square matrix is wrong in silence", silent, tables.get("squares")),
    ]
    return [plot for plot in drawn if plot is not None]


def plot(name: str, title: str, draw: Callable[[pd.DataFrame], Figure], table: pd.DataFrame | None) -> Plot | None:
    """The figure of a table; none of an empty one."""
    if table is None or table.empty:
        return None
    return Plot(name, title, " ".join((draw.__doc__ or "").split()), partial(draw, table))


def shapes(matrices: pd.DataFrame) -> Figure:
    """The notes' shapes with whole numbers in them. A row of W is a neuron (blue): its weights, one for each of the three inputs. A
    column of X is an example (orange). Their product is one number, that neuron's for that example; the example stays in its column
    all the way to the output. V's only row makes one number of the two.
    """
    held = {
        name: rows.pivot(index="row", columns="column", values="value") for name, rows in matrices.groupby("matrix")
    }
    n = held["X"].shape[1]
    across = 3 + 1.6 + n + 1.6 + n
    figure, (ax,) = panels([""], width=0.52 * (across + 3), height=3.75, margins=(0.1, 0.1, 0.1, 0.1))
    ax.set(xlim=(-2.2, across + 0.6), ylim=(8.0, -0.9), aspect="equal")
    ax.axis("off")
    first, second = 4.6, 6.2 + n
    grid(ax, held["W"], (0, 0.5), "W", row=0)
    grid(ax, held["X"], (first, 0), "X", column=EXAMPLE)
    grid(ax, held["A1"], (second, 0.5), "A₁ = WX", row=0, column=EXAMPLE)
    grid(ax, held["V"], (0.5, 5.5), "V", row=0)
    grid(ax, held["A1"], (first, 5), "A₁", column=EXAMPLE)
    grid(ax, held["A2"], (second, 5.5), "A₂ = VA₁", row=0, column=EXAMPLE)
    for x, y, sign in ((3.8, 1.5, "·"), (first + n + 0.8, 1.5, "="), (3.8, 6, "·"), (first + n + 0.8, 6, "=")):
        ax.text(x, y, sign, ha="center", va="center", fontsize=20)
    ax.text(-0.2, 1, "one neuron", color=BLUE, ha="right", va="center", fontsize=10)
    ax.text(first + EXAMPLE + 0.5, -0.25, "one example", color=ORANGE, ha="center", fontsize=10)
    ax.text(second + EXAMPLE + 0.5, 0.25, "its output", color=ORANGE, ha="center", fontsize=10)
    ax.text(second + EXAMPLE + 0.5, 5.25, "its output", color=ORANGE, ha="center", fontsize=10)
    return figure


def grid(
    ax: Axes,
    matrix: pd.DataFrame,
    corner: tuple[float, float],
    name: str,
    row: int | None = None,
    column: int | None = None,
) -> None:
    """A matrix with its numbers and its shape; a row in blue, a column in orange, where both meet a frame."""
    x, y = corner
    for (i, j), value in np.ndenumerate(matrix.to_numpy()):
        colour = ORANGE if j == column else BLUE if i == row and column is None else ""
        ax.add_patch(Rectangle((x + j, y + i), 1, 1, facecolor=PALE[colour], edgecolor="#999999", linewidth=0.8))
        ax.text(x + j + 0.5, y + i + 0.53, f"{value:g}".replace("-", "−"), ha="center", va="center", fontsize=11)
    if row is not None and column is not None:
        ax.add_patch(Rectangle((x + column, y + row), 1, 1, facecolor="none", edgecolor=BLUE, linewidth=2.5))
    rows, columns = matrix.shape
    ax.text(x + columns / 2, y + rows + 0.55, f"{name}   {rows} × {columns}", ha="center", va="center", fontsize=11)


def columns(touched: pd.DataFrame) -> Figure:
    """How far each number of the notes' network moves when the second example is another one; white is exactly 0, and both
    implementations give the same picture. Left: only that example's own column moves. Right: with batch norm between, the others move
    as well, for a mean is taken over them all.
    """
    names = list(touched.network.unique())
    figure, axes = panels(names, width=3.9, height=1.5, share_y=True, margins=(1.25, 0.3, 0.65, 0.4))
    for ax, name in zip(axes, names, strict=True):
        one = touched[(touched.network == name) & (touched.backend == "scratch")]
        moves = one.pivot(index="signal", columns="column", values="change").reindex(index=one.signal.unique())
        for (i, j), value in np.ndenumerate(moves.to_numpy()):
            face = PALE[ORANGE] if value else "white"
            ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=face, edgecolor="#999999", linewidth=0.8))
            ax.text(j, i, f"{value:.1g}" if value else "0", ha="center", va="center", fontsize=10)
        ax.set(xlim=(-0.5, moves.shape[1] - 0.5), ylim=(len(moves) - 0.5, -0.5), xlabel="example (column)")
        ax.set_xticks(range(moves.shape[1]), [str(j + 1) for j in moves.columns])
        ax.set_yticks(range(len(moves)), list(moves.index))
        ax.grid(False)
        ax.tick_params(length=0)
    return figure


def rounding(products: pd.DataFrame) -> Figure:
    """The largest difference of any number on all random shapes, in units of what one rounding of Σ|w||x| is. The line is the bound,
    as many roundings as there are: the differences stay far below it, since roundings go both ways. Wᵀ in W's place, or a loop that is
    one column late, would stand at about 10¹⁶.
    """
    titles = {"exact sums": "WX and exact sums", "a loop": "WX and a loop over examples", "rows": "WX and (XᵀWᵀ)ᵀ"}
    figure, axes = panels(list(titles.values()), margins=(0.8, 2.5, 0.65, 0.4))
    for index, (ax, comparison) in enumerate(zip(axes, titles, strict=True)):
        chosen = products[products.comparison == comparison].assign(standard_error=0.0)
        series(ax, chosen, "_", index, x="inputs")
        ax.set(xscale="log", xlabel="inputs (terms of a sum)")
        ticks = [n for n in (1, 10, 100, 1000, 10_000) if n <= 2 * products.inputs.max()]
        ax.set_xticks(ticks, [str(n) for n in ticks])
        ax.set_yscale("symlog", linthresh=1)
        ax.set_yticks([0, 1, 10, 100, 1000], ["0", "1", "10", "100", "1000"])
        ax.set_ylim(-0.2, 4000)
    axes[0].set_ylabel("largest difference (roundings)")
    points(figure, "the bound")
    return figure


def points(figure: Figure, line: str) -> None:
    """What points, rings and line mean, where the points are no means."""
    from matplotlib.lines import Line2D

    grey = "#555555"
    handles = [
        Line2D([], [], color=grey, label=line),
        Line2D([], [], color=grey, marker="o", linestyle="none", markersize=5, label="scratch"),
        Line2D([], [], color=grey, label="torchref", **RING),
    ]
    figure.legend(handles=handles, loc="center right", bbox_to_anchor=(1, 0.5), fontsize=10, frameon=False)


def silent(squares: pd.DataFrame) -> Figure:
    """What a square matrix of N(0, 1) weights gives when it is transposed by mistake, mean over the random matrices. The size of the
    numbers is right at every n (nothing looks wrong), but the larger the matrix, the less they have to do with the right ones. Only at
    n = 1 are they the same, and there no claim is made but this one.
    """
    figure, (ax,) = panels([""], width=4.4, margins=(0.9, 2.9, 0.65, 0.2))
    labels = {"size": "size ‖Wᵀx‖²/n‖x‖²", "overlap": "overlap ⟨Wᵀx, Wx⟩/n‖x‖²"}
    for index, (quantity, label) in enumerate(labels.items()):
        series(ax, squares[squares.quantity == quantity], label, index, x="n")
    ax.set(xscale="log", yscale="log", xlabel="n, inputs and neurons", ylabel="of the wrong numbers Wᵀx")
    sizes = sorted(squares.n.unique())
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.set_yticks([0.03, 0.1, 0.3, 1], ["0.03", "0.1", "0.3", "1"])
    ax.minorticks_off()
    key(figure, [ax])
    return figure
