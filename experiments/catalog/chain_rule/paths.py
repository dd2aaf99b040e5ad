"""Does every path to z count, and nothing else?

The notes' two examples at random points, by autodiff, by torch.autograd and by complex steps, against sympy. In the second one x₂ has
two ways to z, and its shares add up.
"""

from typing import Any

import numpy as np
import torch

from experiments.compare import agreement
from experiments.compare.agreement import Difference
from experiments.lab import Array, Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, each, figure, stacked, table
from experiments.lab.figures import panels
from scratch.autodiff import Var
from scratch.gradcheck import U, complex_step
from scratch.randomness import generator
from .laws import BOUNDED, bounded, distances, exactly, fifty_digits, symbolic
from .shared import AT, BACKENDS, GRID, Program, drawn, gradients, legend, z_of

ROUNDINGS = 8  # no number of the examples' gradients comes from a longer row of operations
BOTH, FIRST, SECOND = "both paths", "through y1", "through y2"


def fixed(x: Any) -> Any:
    """The number without its past: no share flows back through it."""
    return x.value if isinstance(x, Var) else x.detach()


WITHOUT: dict[str, Program] = {  # ∂y/∂x, as y is taken for x; the way of x2 through y2
    "one": lambda x: 2 * x + 1,
    "two": lambda x1, x2, x3: (x1 + x2**2) ** 2 + (fixed(x2) + x3**2) ** 2,
}


def stepped(backend: str, program: Program, x: Array) -> Array:
    """∂z/∂x_k at every point by complex steps: of NumPy's arrays, of PyTorch's complex tensors."""

    def values(points: Array) -> Array:  # (N, points, variables) -> (N, points)
        moved = np.moveaxis(points, -1, 0)
        return program(*moved) if backend == "scratch" else program(*map(torch.from_numpy, moved.copy())).numpy()

    return complex_step(values, x.T, axes=1).T


@cells(each(example=AT), cost=Cost(0.3, 11))
@fifty_digits()
def slopes(lab: Lab, example: str, points: int, seed: int) -> Frame:
    """The distance of every ∂z/∂x_k from sympy's, the largest of all points; the control's, without one of the ways."""
    x = 2 * generator(seed, "points", example).standard_normal((len(AT[example]), points))
    exact = {f"x{k}": [exactly(g, p) for p in x.T.tolist()] for k, g in enumerate(symbolic(example)[0], 1)}
    size = float(np.linalg.norm([[float(size) for _, size in numbers] for numbers in exact.values()]))
    found, apart = [], []
    for witness, differentiated in {"autodiff": gradients, "complex step": stepped}.items():
        both = {backend: differentiated(backend, z_of(example), x) for backend in BACKENDS}
        for backend, g in both.items():
            cut = gradients(backend, WITHOUT[example], x)
            by_variable = (dict(zip(exact, numbers, strict=True)) for numbers in (g, cut))
            found.append(distances(exact, *by_variable, backend=backend, example=example, witness=witness))
        difference, whole = (float(np.linalg.norm(a)) for a in (both["scratch"] - both["torchref"], both["scratch"]))
        bound = 2 * ROUNDINGS * U * size
        apart.append(Difference(0, 1, f"gradient, {witness}", difference, difference / whole, bound))
    lab.agreement.append(agreement.table(apart, lab.part, lab.condition))
    return stacked(found).rename(columns={"quantity": "variable"})


@cells()
def ways() -> Frame:
    """∂z/∂x2 of the second example along x2: whole, and what comes through y1 and through y2 alone, the other way cut."""
    programs: dict[str, Program] = {
        BOTH: z_of("two"),
        FIRST: WITHOUT["two"],
        SECOND: lambda x1, x2, x3: (x1 + fixed(x2) ** 2) ** 2 + (x2 + x3**2) ** 2,
    }
    x1, _, x3 = AT["two"]
    x = np.stack([np.full(GRID.shape, x1), GRID, np.full(GRID.shape, x3)])
    return stacked(
        [
            Frame({"backend": backend, "path": name, "x2": GRID, "share": gradients(backend, program, x)[1]})
            for backend in BACKENDS
            for name, program in programs.items()
        ]
    )


@table
def paths(ways: Frame) -> Frame:
    """The notes' terms of ∂z/∂x2 at x1 = 1, x3 = 3: 4y1x2 through y1, 2y2 through y2."""
    x2, path = ways.x2, ways.path
    first, second = 4 * (1 + x2**2) * x2, 2 * (x2 + 9)
    return ways.assign(predicted=first.where(path != SECOND, 0) + second.where(path != FIRST, 0))


@claims
def of_the_notes(slopes: Frame) -> Claims:
    basis = f"at most {ROUNDINGS} roundings away. {BOUNDED}"
    one, two = (slopes[slopes.example == example] for example in ("one", "two"))
    yield Claim(
        name="∂z/∂x = 4x",
        statement="z = 2y + 1 with y = x²: ∂z/∂x = ∂z/∂y · ∂y/∂x = 2 · 2x = 4x at every point, by the chain rule and by complex steps.",
        source="notes, Chain Rule",
        basis=f"sympy's derivative at random points, {basis}",
        control="∂z/∂y alone, without ∂y/∂x",
        comparisons=bounded(one, "{witness}", ROUNDINGS),
    )
    yield Claim(
        name="a sum over paths",
        statement="z = y1² + y2², y1 = x1 + x2², y2 = x2 + x3²: ∇z = (2y1, 4y1x2 + 2y2, 4y2x3); x2 has two ways to z, and its shares "
        "add up.",
        source="notes, Chain Rule",
        basis=f"sympy's gradient at random points, {basis}",
        control="the way of x2 through y2 cut (x1 and x3 keep their shares)",
        comparisons=bounded(two, "{variable}, {witness}", ROUNDINGS),
    )


@figure("Two paths, one sum")
def two_paths(paths: Frame) -> Figure:
    """∂z/∂x₂ of the second example along x₂, at x₁ = 1 and x₃ = 3. The blue line, the derivative, is the sum of the two others: what comes
    through y₁ and what comes through y₂, each measured with the other way cut. Lines are the notes' formulas.
    """
    figure, (ax,) = panels([""], width=5.0, height=3.0, margins=(0.85, 2.5, 0.65, 0.2))
    names = {BOTH: "both: 4y₁x₂ + 2y₂", FIRST: "through y₁: 4y₁x₂", SECOND: "through y₂: 2y₂"}
    for index, (path, label) in enumerate(names.items()):
        drawn(ax, paths[paths.path == path], index, label, "x2", "share", "predicted")
    ax.set(xlabel="x₂", ylabel="∂z/∂x₂")
    legend(figure, ax)
    return figure
