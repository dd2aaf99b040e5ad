"""What several pages share: the notes' examples, derivatives by autodiff and by torch.autograd, and how both are drawn."""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from matplotlib.lines import Line2D

from experiments.lab import COLOURS, MARKERS, RING, Array, Axes, Figure, Frame
from scratch.autodiff import Var, gradient, hessian_vector
from scratch.tape import notes_example_one, notes_example_two

BACKENDS = ("scratch", "torchref")
EXAMPLES: dict[str, Callable[..., dict[str, Any]]] = {"one": notes_example_one, "two": notes_example_two}
AT = {"one": (3.0,), "two": (1.0, 2.0, 3.0)}  # where the tape is printed: whole numbers, to be checked by hand
GRID = np.arange(-24, 25) / 8  # on these points no operation of the first example is rounded
Program = Callable[..., Any]


def z_of(example: str) -> Program:
    return lambda *x: EXAMPLES[example](*x)["z"]


def multiplied(factors: Iterable[Any], x: Any, times: Callable[[Any, Any], Any] = lambda a, b: a * b) -> Any:
    """w_n (… (w2 (w1 x)))."""
    return reduce(lambda below, w: times(w, below), factors, x)


def gradients(backend: str, program: Program, x: Array) -> Array:
    """∂z/∂x_k at every point: x (variables, points), each point on its own."""
    if backend == "scratch":
        variables = [Var(row) for row in x]
        z = program(*variables)
        return np.array(gradient(z, variables, seed=np.ones(z.shape)))
    tensors = leaves(x)
    return np.stack([g.numpy() for g in torch.autograd.grad(program(*tensors).sum(), tensors)])


def curved(backend: str, program: Program, x: Array, v: Array) -> Array:
    """H v at one point in two passes: the gradient of ⟨∇z, v⟩."""
    if backend == "scratch":
        return hessian_vector(lambda a: program(*(a[k] for k in range(len(x)))), [x], [v])[0]
    return torch.autograd.functional.hvp(lambda a: program(*a), torch.from_numpy(x), torch.from_numpy(v))[1].numpy()


def leaves(x: Sequence[Any] | Array) -> list[torch.Tensor]:
    return [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in x]


def drawn(ax: Axes, table: Frame, index: int, label: str, x: str, y: str, predicted: str, first: int = 0) -> None:
    """The predicted line, and on it scratch's points and torchref's rings, every fourth."""
    ours, theirs = (table[table.backend == name].sort_values(x) for name in BACKENDS)
    look: Any = {"color": COLOURS[index], "marker": MARKERS[index], "markersize": 5, "linestyle": "none"}
    shown, ring = ours.iloc[first::4], theirs.iloc[first::4]
    ax.plot(ours[x], ours[predicted], color=COLOURS[index])
    ax.plot(shown[x], shown[y], label=label, zorder=3, **look)
    ax.plot(ring[x], ring[y], color=COLOURS[index], zorder=4, **RING)


def legend(figure: Figure, ax: Axes) -> None:
    """Beside the panel: the conditions, and what points, rings and lines mean."""
    grey = "#555555"
    meaning = [
        Line2D([], [], color=grey, label="predicted"),
        Line2D([], [], color=grey, marker="o", linestyle="none", markersize=5, label="scratch"),
        Line2D([], [], color=grey, label="torchref", **RING),
    ]
    handles = [*ax.get_legend_handles_labels()[0], *meaning]
    figure.legend(handles=handles, loc="center right", bbox_to_anchor=(1, 0.5), fontsize=10, frameon=False)
