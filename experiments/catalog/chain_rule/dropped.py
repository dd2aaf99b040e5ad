"""What does the notes' dropped +1 change?

The notes go on z = 2y + 1 = 2x². The value is wrong by 1; the slope is right all the same, for a constant has none.
"""

import numpy as np
import torch

from experiments.lab import Claim, Claims, Figure, Frame, cells, claims, compare, figure, panels, stacked, table
from .shared import GRID, Program, drawn, gradients, legend, z_of

WHOLE, SHORT = "2y + 1", "2x²"


@cells()
def programs() -> Frame:
    """Values and slopes of z = 2y + 1 and of the notes' z = 2x²."""
    known: dict[str, Program] = {WHOLE: z_of("one"), SHORT: lambda x: 2 * x**2}
    found = []
    for backend, points in {"scratch": GRID, "torchref": torch.from_numpy(GRID)}.items():
        for name, program in known.items():
            value, slope = np.asarray(program(points)), gradients(backend, program, GRID[None])[0]
            found.append(Frame({"backend": backend, "program": name, "x": GRID, "value": value, "slope": slope}))
    return stacked(found)


@table
def dropped(programs: Frame) -> Frame:
    """What each program's value and slope must be."""
    values = 2 * programs.x**2 + (programs.program == WHOLE)
    return programs.assign(predicted_value=values, predicted_slope=4 * programs.x)


@claims
def apart(programs: Frame) -> Claims:
    one, other = (programs[programs.program == name].set_index(["backend", "x"]) for name in (WHOLE, SHORT))
    differences = (one[["value", "slope"]] - other[["value", "slope"]]).groupby("backend").agg(["min", "max"])
    rows = differences.rename(columns={"min": "smallest", "max": "largest"}).unstack().rename("measured")
    rows = rows.rename_axis(["quantity", "side", "backend"]).reset_index()
    yield Claim(
        name="the dropped +1",
        statement="The notes go on z = 2y + 1 = 2x² and lose the 1: the value is off by exactly 1 at every x, the slope by exactly 0.",
        source="notes, Chain Rule; a constant has no slope",
        basis="Exact: on multiples of ⅛ no operation of either program is rounded",
        control="that the two are the same function: a difference of 0 in the value",
        comparisons=compare(rows, "{quantity}, {side} difference", predicted=1.0 * (rows.quantity == "value"),
                            control_predicted=0.0, standard_error=0.0),
    )  # fmt: skip


@figure("The dropped +1")
def one_apart(dropped: Frame) -> Figure:
    """The notes' z = 2y + 1 and what they make of it, 2x². Left: the values, one apart at every x. Right: the slopes, both on 4x, for a
    constant has none.
    """
    figure, axes = panels(["value z", "slope ∂z/∂x"], share_y=False, width=3.1, margins=(0.6, 2.2, 0.65, 0.4))
    for ax, quantity in zip(axes, ("value", "slope"), strict=True):
        for index, name in enumerate((WHOLE, SHORT)):
            rows = dropped[dropped.program == name]
            drawn(ax, rows, index, f"z = {name}", "x", quantity, f"predicted_{quantity}", 2 * index)
        ax.set(xlabel="x")
    legend(figure, axes[0])
    return figure
