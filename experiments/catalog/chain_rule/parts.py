"""The notes' two worked examples, each by scratch.autodiff and by torch.autograd: slopes, paths, the tape, second derivatives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, localcontext
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import sympy  # type: ignore[import-untyped]
import torch

from experiments import agreement
from experiments.catalog.chain_rule.derivatives import (
    BACKENDS,
    DIGITS,
    Program,
    apart,
    curvature,
    curved,
    exactly,
    farthest,
    fixed,
    leaves,
    off,
    slopes,
    stepped,
)
from experiments.catalog.chain_rule.products import chains
from experiments.experiment import Tables
from experiments.randomness import generator
from scratch.autodiff import Var, gradient
from scratch.tape import notes_example_one, notes_example_two, tape

EXAMPLES: dict[str, Callable[..., dict[str, Any]]] = {"one": notes_example_one, "two": notes_example_two}
AT = {"one": (3.0,), "two": (1.0, 2.0, 3.0)}  # where the tape is printed: whole numbers, to be checked by hand
GRID = np.arange(-24, 25) / 8  # on these points no operation of the first example is rounded
ROUNDINGS = {"slope": 8, "second": 16, "H v": 24}  # no number of the examples comes from a longer row of operations


def measure(part: str, settings: Mapping[str, Any]) -> Tables:
    with localcontext(prec=DIGITS):
        return chains(**settings) if part == "chains" else examples(**settings)


@cache
def symbolic(example: str) -> tuple[list[Callable], list[list[Callable]]]:
    """sympy's gradient and Hessian of the example as functions, to be called with fifty digits."""
    symbols = sympy.symbols(f"x1:{len(AT[example]) + 1}")
    z = EXAMPLES[example](*symbols)["z"]
    function = partial(sympy.lambdify, symbols)
    found = [sympy.expand(sympy.diff(z, x)) for x in symbols]
    return [function(g) for g in found], [[function(sympy.diff(g, x)) for x in symbols] for g in found]


def last(example: Program, *x: Any) -> Any:
    return example(*x)["z"]


def examples(*, points: int, seed: int) -> Tables:
    """Gradients at random points, the dropped +1, the two paths of x2, the tape, second derivatives."""
    found, differences = [], []
    for example, at in AT.items():
        x = 2 * generator(seed, "points", example).standard_normal((len(at), points))
        program = partial(last, EXAMPLES[example])
        exact = [[exactly(g, point) for point in x.T.tolist()] for g in symbolic(example)[0]]
        by_both = {}
        for backend in BACKENDS:
            cut = slopes(backend, partial(without, example), x)
            for witness, g in {
                "autodiff": slopes(backend, program, x),
                "complex step": stepped(backend, program, x),
            }.items():
                by_both[backend, witness] = g
                found += [
                    {"backend": backend, "example": example, "witness": witness, "variable": f"x{k + 1}"}
                    | {"measured": farthest(g[k], exact[k]), "control": farthest(cut[k], exact[k]), "points": points}
                    for k in range(len(at))
                ]
        size = [[float(b) for _, b in row] for row in exact]
        for witness in ("autodiff", "complex step"):
            ours, theirs = (by_both[backend, witness] for backend in BACKENDS)
            differences.append(apart(f"gradient, {witness}", ours, theirs, 2 * ROUNDINGS["slope"], size))
    return {
        "slopes": pd.DataFrame(found),
        "dropped": pd.DataFrame([row for backend in BACKENDS for row in dropped(backend)]),
        "paths": pd.DataFrame([row for backend in BACKENDS for row in paths(backend)]),
        "seconds": pd.DataFrame([row for backend in BACKENDS for row in seconds(backend, min(points, 20), seed)]),
        **graph(),
        "agreement": agreement.table(differences, "examples", "the notes' two examples"),
    }


def without(example: str, *x: Any) -> Any:
    """The example with something left out: in the first, ∂y/∂x (y is taken for x); in the second, the way of x2 through y2."""
    if example == "one":
        return 2 * x[0] + 1
    y1, y2 = x[0] + x[1] ** 2, fixed(x[1]) + x[2] ** 2
    return y1**2 + y2**2


def dropped(backend: str) -> list[dict[str, Any]]:
    """z = 2y + 1 and the notes' z = 2x² on the grid: values and slopes."""
    programs: dict[str, Program] = {"2y + 1": partial(last, notes_example_one), "2x²": lambda x: 2 * x**2}
    found = []
    for name, program in programs.items():
        points = GRID if backend == "scratch" else torch.from_numpy(GRID)
        columns = zip(
            GRID.tolist(), program(points).tolist(), slopes(backend, program, GRID[None])[0].tolist(), strict=True
        )
        found += [{"backend": backend, "program": name, "x": x, "value": z, "slope": slope} for x, z, slope in columns]
    return found


def paths(backend: str) -> list[dict[str, Any]]:
    """∂z/∂x2 of the second example along x2: whole, and what comes through y1 and through y2 alone."""
    x = np.stack([np.full(GRID.shape, AT["two"][0]), GRID, np.full(GRID.shape, AT["two"][2])])
    programs: dict[str, Program] = {
        "both paths": partial(last, notes_example_two),
        "through y1": partial(without, "two"),
        "through y2": lambda x1, x2, x3: (x1 + fixed(x2) ** 2) ** 2 + (x2 + x3**2) ** 2,
    }
    return [
        {"backend": backend, "path": name, "x2": at, "share": share}
        for name, program in programs.items()
        for at, share in zip(GRID.tolist(), slopes(backend, program, x)[1].tolist(), strict=True)
    ]


def seconds(backend: str, points: int, seed: int) -> list[dict[str, Any]]:
    """The Hessians, and H v, at random points; the control's Hessian has its diagonal alone."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for example, at in AT.items():
        random = generator(seed, "seconds", example)
        program, functions = partial(last, EXAMPLES[example]), symbolic(example)[1]
        for _ in range(points):
            x, v = random.standard_normal((2, len(at)))
            exact = [[exactly(h, x.tolist()) for h in row] for row in functions]
            mine, product = curvature(backend, program, x), curved(backend, program, x, v)
            for i, row in enumerate(exact):
                off_diagonal = [off(mine[i, j] if i == j else 0.0, row[j]) for j in range(len(at))]
                entries = [off(mine[i, j], row[j]) for j in range(len(at))]
                found.setdefault((example, "second"), []).append((max(entries), max(off_diagonal)))
                both = weighed(row, v.tolist())
                alone = float(row[i][0]) * v[i]
                found.setdefault((example, "H v"), []).append((off(product[i], both), off(alone, both)))
    return [
        {
            "backend": backend,
            "example": example,
            "quantity": quantity,
            "predicted": ROUNDINGS[quantity],
            "points": points,
        }
        | dict(zip(("measured", "control"), np.max(pairs, axis=0).tolist(), strict=True))
        for (example, quantity), pairs in found.items()
    ]


def weighed(row: Sequence[tuple[Decimal, Decimal]], v: Sequence[float]) -> tuple[Decimal, Decimal]:
    """Σ_j H_ij v_j exactly, and the sum of its terms' sizes."""
    value = sum((h * Decimal(a) for (h, _), a in zip(row, v, strict=True)), Decimal())
    return value, sum((size * abs(Decimal(a)) for (_, size), a in zip(row, v, strict=True)), Decimal())


# --- the tape --------------------------------------------------------------------------------------------------------------


def graph() -> Tables:
    """The tape as scratch prints it; the notes' nodes with their shares; the edges between them with their local derivatives."""
    lines, nodes, edges = [], [], []
    for example, at in AT.items():
        for backend in BACKENDS:
            held = EXAMPLES[example](*(map(Var, at) if backend == "scratch" else leaves(at)))
            share = {name: float(derivative(backend, held["z"], node)) for name, node in held.items()}
            named = {"backend": backend, "example": example}
            nodes += [
                named | {"node": name, "value": number(node), "share": share[name]} for name, node in held.items()
            ]
            edges += [
                named | {"from": low, "to": high, "slope": float(derivative(backend, held[high], held[low]))}
                for low, high in direct(backend, held)
            ]
        held = EXAMPLES[example](*map(Var, at))
        rows = [re.split(r"\s{2,}", line.strip()) for line in tape(held["z"], held).splitlines()[1:]]
        lines += [{"example": example} | told(row) for row in rows]
    return {"tape": pd.DataFrame(lines), "nodes": pd.DataFrame(nodes), "edges": pd.DataFrame(edges)}


def told(row: Sequence[str]) -> dict[str, Any]:
    """A line of the tape; a node that is given has no derivatives of its own."""
    name, made, value, *derivatives, share = row
    return {"node": name, "made of": made, "value": value, "its derivatives": "".join(derivatives), "share": share}


def number(node: Any) -> float:
    return float(node.value) if isinstance(node, Var) else float(node.detach())


def derivative(backend: str, high: Any, low: Any) -> Any:
    """∂high/∂low, 0 where there is no way."""
    if high is low:
        return 1.0
    if backend == "scratch":
        return gradient(high, [low])[0]
    if high.grad_fn is None:
        return 0.0
    return torch.autograd.grad(high, low, retain_graph=True, allow_unused=True, materialize_grads=True)[0]


def direct(backend: str, held: dict[str, Any]) -> list[tuple[str, str]]:
    """The notes' edges: x into y, y into z, where there is a way."""
    steps = [(a, b) for a, b in product(held, held) if a[0] + b[0] in ("xy", "yz")]
    return [(a, b) for a, b in steps if float(derivative(backend, held[b], held[a]))]
