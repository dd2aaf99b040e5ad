"""How does a derivative come back through a graph?

From right to left: a node's share, ∂z/∂node, goes back along every edge, times the local derivative, and where edges meet the shares
add up. The tape of autodiff writes the same down line by line.
"""

import re
from itertools import product
from typing import Any

import numpy as np
import torch
from matplotlib.patches import Circle

from experiments.lab import Axes, Claim, Claims, Figure, Frame, cells, claims, compare, each, figure, table
from experiments.lab.figures import COLOURS, panels
from scratch.autodiff import Var, gradient, plain
from scratch.tape import tape as text_of
from .shared import AT, BACKENDS, EXAMPLES, leaves

BLUE, ORANGE = COLOURS[:2]
HEADINGS = ("node", "made of", "value", "its derivatives", "share")
PLACES: dict[str, dict[str, tuple[float, float]]] = {  # of the notes' nodes: across, up
    "one": {"x": (0, 1), "y": (1.5, 1), "z": (3, 1)},
    "two": {"x1": (0, 2), "x2": (0, 1), "x3": (0, 0), "y1": (1.5, 1.6), "y2": (1.5, 0.4), "z": (3, 1)},
}
TITLES = {"one": "y = x²,   z = 2y + 1", "two": "y₁ = x₁ + x₂²,   y₂ = x₂ + x₃²,   z = y₁² + y₂²"}
SUBSCRIPTS = str.maketrans("123", "₁₂₃")
RADIUS = 0.23


@cells(each(example=EXAMPLES), makes=("tape", "nodes", "edges"))
def written_down(example: str) -> dict[str, Frame]:
    """The tape as scratch prints it; the notes' nodes with their shares; the edges between them with their local derivatives."""
    nodes, edges = [], []
    for backend in BACKENDS:
        held = EXAMPLES[example](*(map(Var, AT[example]) if backend == "scratch" else leaves(AT[example])))
        named = {"backend": backend, "example": example}
        for name, node in held.items():
            value = float(plain(node) if backend == "scratch" else node.detach())
            nodes.append(named | {"node": name, "value": value, "share": derivative(backend, held["z"], node)})
        for low, high in product(held, held):
            slope = derivative(backend, held[high], held[low])
            if low[0] + high[0] in ("xy", "yz") and slope:
                edges.append(named | {"from": low, "to": high, "slope": slope})
    return {"tape": printed(example), "nodes": Frame(nodes), "edges": Frame(edges)}


def derivative(backend: str, high: Any, low: Any) -> float:
    """∂high/∂low, 0 where there is no way."""
    if high is low:
        return 1.0
    if backend == "scratch":
        return float(gradient(high, [low])[0])
    if high.grad_fn is None:
        return 0.0
    return float(torch.autograd.grad(high, low, retain_graph=True, allow_unused=True, materialize_grads=True)[0])


def printed(example: str) -> Frame:
    """The lines of the tape; a node that is given has no derivatives of its own."""
    held = EXAMPLES[example](*map(Var, AT[example]))
    rows = [re.split(r"\s{2,}", line.strip()) for line in text_of(held["z"], held).splitlines()[1:]]
    full = [row if len(row) == len(HEADINGS) else [*row[:3], "", row[3]] for row in rows]
    return Frame(full, columns=HEADINGS).assign(example=example)[["example", *HEADINGS]]


@table
def shares(nodes: Frame, edges: Frame) -> Frame:
    """For every node but z: its share, and the shares of what was made of it times the local derivatives, summed."""
    key = ["backend", "example"]
    above = nodes.rename(columns={"node": "to", "share": "above"}).drop(columns="value")
    ways = edges.merge(above, on=[*key, "to"]).rename(columns={"from": "node"})
    terms = ways.assign(term=ways.slope * ways.above).groupby([*key, "node"], sort=False).term
    added = terms.agg(summed="sum", largest="max", ways="count")
    return added.reset_index().merge(nodes, on=[*key, "node"])


@claims
def add_up(shares: Frame) -> Claims:
    rows = shares.sort_values("ways", ascending=False, kind="stable")
    yield Claim(
        name="a node's share",
        statement="At every node of the graph ∂z/∂node is the sum, over the nodes made of it, of their share times the local derivative.",
        source="notes: ∂z/∂x2 = ∂z/∂y1 · ∂y1/∂x2 + ∂z/∂y2 · ∂y2/∂x2",
        basis="Exact: at x = 3 and at (1, 2, 3) every number is whole",
        control="the largest term instead of the sum",
        comparisons=compare(rows, "example {example}, {node}", measured=rows.share, predicted=rows.summed, standard_error=0.0,
                            control_predicted=rows.largest),
    )  # fmt: skip


@figure("Shares flow back along the edges and add up")
def graph(nodes: Frame, edges: Frame) -> Figure:
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
    way = np.subtract(end, start)
    to_rim = way / np.hypot(*way) * RADIUS
    style = {"arrowstyle": "-|>", "color": "#777777", "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end - to_rim, start + to_rim, arrowprops=style)
    ground = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    x, y = np.add(start, end) / 2
    ax.text(x, y, f"× {text}", color=BLUE, ha="center", va="center", fontsize=11, bbox=ground)


def circle(ax: Axes, place: tuple[float, float], node: Any) -> None:
    x, y = place
    ax.add_patch(Circle(place, RADIUS, facecolor="#F2F2F2", edgecolor="black", linewidth=1.2, zorder=3))
    ax.text(x, y, f"{node.value:g}", ha="center", va="center", fontsize=11, zorder=4)
    name = node.node.translate(SUBSCRIPTS)
    ax.text(x, y + RADIUS + 0.06, name, ha="center", va="bottom", fontsize=12, style="italic")
    ax.text(x, y - RADIUS - 0.06, f"{node.share:g}", ha="center", va="top", fontsize=12, color=ORANGE, weight="bold")


@figure("The tape, line by line")
def tape(tape: Frame) -> Figure:
    """What scratch writes down of both examples: every node with what it was made of, its value, its derivatives, and its share, the
    derivative of z with respect to it. Powers and sums are nodes of their own here (v1, v2, …); the last column is found from the bottom
    up, and says what the figure at the top says.
    """
    places = dict(zip(HEADINGS, (0.1, 0.8, 2.1, 2.9, 5.9), strict=True))
    colours = {"share": ORANGE, "its derivatives": BLUE}
    lines = len(tape) + 2 * tape.example.nunique()
    figure, (ax,) = panels([""], width=6.9, height=0.27 * lines, margins=(0.1, 0.1, 0.1, 0.1))
    ax.set(xlim=(0, 6.9), ylim=(lines, 0))
    ax.axis("off")
    y = 0.6
    for _, rows in tape.fillna("").groupby("example", sort=False):
        ax.axhspan(y - 0.5, y + 0.5, color="#EEEEEE")
        for heading, x in places.items():
            ax.text(x, y, heading.replace("share", "∂z/∂node"), va="center", fontsize=10, weight="bold")
        for row in rows.to_dict("records"):
            y += 1
            for heading, x in places.items():
                ax.text(x, y, row[heading], va="center", fontsize=10, color=colours.get(heading, "black"))
        y += 2
    return figure
