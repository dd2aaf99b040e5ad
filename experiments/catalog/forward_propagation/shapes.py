"""Which way do rows and columns run?

W 2×3 and V 1×2 on one input and on n, in whole numbers: a row is a neuron, a column an example. For one input the notes write
[1×2][2×1] = 1×n and, below it, ⇒ 1×1: only one of them can be right.
"""

import numpy as np
from matplotlib.patches import Rectangle

from experiments.lab import Axes, Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, compare, figure, table
from experiments.lab.figures import COLOURS, panels
from scratch import Dense
from scratch.randomness import generator
from .shared import job

BLUE, ORANGE = COLOURS[0], COLOURS[1]
PALE = {BLUE: "#CFE3F1", ORANGE: "#F7DCC8", "": "white"}
EXAMPLE = 1  # the column that is followed


@cells(makes=("sizes", "matrices"), cost=Cost(0.1, 11))
def notes(lab: Lab, examples: int, seed: int, dtype: str) -> dict[str, Frame]:
    """The sizes of a1 = Wx and a2 = V a1, and the numbers in all five matrices."""
    random = generator(seed, "notes")
    shapes = ((2, 3), (1, 2), (3, examples))
    w, v, x = (random.choice((-3.0, -2.0, -1.0, 1.0, 2.0, 3.0), shape).astype(dtype) for shape in shapes)
    layers, parameters = (Dense(2, bias=False), Dense(1, bias=False)), ({"W": w}, {"W": v})
    one, many = (
        lab.look(job(layers, parameters, chosen), f"3×{chosen.shape[1]} through W 2×3, V 1×2")
        for chosen in (x[:, :1], x)
    )
    sizes = [
        {"backend": backend, "x": name, "product": product, "side": side, "measured": size}
        for backend in one
        for name, shots in {"3 × 1": one, "3 × n": many}.items()
        for product, a in zip(("a1", "a2"), shots[backend].outputs, strict=True)
        for side, size in zip(("rows", "columns"), a.shape, strict=True)
    ]
    a1, a2 = many["torchref"].outputs
    matrices = [
        {"matrix": name, "row": row, "column": column, "value": value}
        for name, matrix in {"W": w, "X": x, "A1": a1, "V": v, "A2": a2}.items()
        for (row, column), value in np.ndenumerate(matrix.astype(float))
    ]
    return {"sizes": Frame(sizes), "matrices": Frame(matrices)}


@table
def shapes(sizes: Frame, examples: int) -> Frame:
    """Every size beside the notes', and beside what the slip there makes of it."""
    columns = sizes.side == "columns"
    size = sizes["product"].map({"a1": 2, "a2": 1}).mask(columns, sizes.x.map({"3 × 1": 1, "3 × n": examples}))
    slip = size.mask(columns & (sizes.x == "3 × 1") & (sizes["product"] == "a2"), examples)
    return sizes.assign(predicted=size, slip=slip)


@claims
def of_the_notes(shapes: Frame) -> Claims:
    rows = shapes.sort_values("slip", ascending=False, kind="stable")
    yield Claim(
        name="shapes",
        statement="W 2×3 and V 1×2 turn one input 3×1 into 2×1 and 1×1, and n inputs 3×n into 2×n and 1×n: each column is one example's "
        "output.",
        source="notes, Forward Propagation",
        basis="Whole numbers, so any difference is infinitely many standard errors. The notes write [1×2][2×1] = 1×n for one input and "
        "⇒ 1×1 below it: the first is a slip, the second is right",
        control="the slip: [1×2][2×1] = 1×n",
        comparisons=compare(rows, "{product} of x {x}: {side}", standard_error=0.0, control_predicted=rows.slip),
    )


@figure("Rows are neurons, columns are examples")
def rows_and_columns(matrices: Frame) -> Figure:
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
    ax: Axes, matrix: Frame, corner: tuple[float, float], name: str, row: int | None = None, column: int | None = None
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
