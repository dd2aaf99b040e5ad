"""What is measured, each by scratch.autodiff and by torch.autograd, against fifty digits. Differences are in units of u times the
sum of the terms' sizes, so that a bound is a number of roundings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from functools import cache, partial
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import sympy  # type: ignore[import-untyped]
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from experiments import agreement
from experiments.agreement import Difference
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch import Dense, InnerProduct
from scratch.autodiff import Var, gradient, hessian, hessian_vector, upstream
from scratch.contract import Batch, Job
from scratch.gradcheck import U, complex_step
from scratch.layers import Array
from scratch.tape import notes_example_one, notes_example_two, tape

BACKENDS = ("scratch", "torchref")
EXAMPLES: dict[str, Callable[..., dict[str, Any]]] = {"one": notes_example_one, "two": notes_example_two}
AT = {"one": (3.0,), "two": (1.0, 2.0, 3.0)}  # where the tape is printed: whole numbers, to be checked by hand
GRID = np.arange(-24, 25) / 8  # on these points no operation of the first example is rounded
DIGITS = 50  # of the exact values: what they lose is nothing beside 1e-16
ROUNDINGS = {"slope": 8, "second": 16, "H v": 24}  # no number of the examples comes from a longer row of operations
Program = Callable[..., Any]


def measure(part: str, settings: Mapping[str, Any]) -> Tables:
    with localcontext(prec=DIGITS):
        return chains(**settings) if part == "chains" else examples(**settings)


# --- derivatives, by each implementation -----------------------------------------------------------------------------------


def slopes(backend: str, program: Program, x: Array) -> Array:
    """∂z/∂x_k at every point: x (variables, points), each point on its own."""
    if backend == "scratch":
        variables = [Var(row) for row in x]
        z = program(*variables)
        return np.array(gradient(z, variables, seed=np.ones(z.shape)))
    tensors = leaves(x)
    return stacked(torch.autograd.grad(program(*tensors).sum(), tensors))


def stepped(backend: str, program: Program, x: Array) -> Array:
    """The same by complex steps: of NumPy's arrays, of PyTorch's complex tensors."""

    def values(points: Array) -> Array:  # (N, points, variables) -> (N, points)
        moved = np.moveaxis(points, -1, 0)
        return program(*moved) if backend == "scratch" else program(*map(torch.from_numpy, moved.copy())).numpy()

    return complex_step(values, x.T, axes=1).T


def curvature(backend: str, program: Program, x: Array) -> Array:
    """∂²z/∂x∂x at one point x (variables,)."""
    if backend == "scratch":
        return hessian(lambda v: program(*(v[k] for k in range(len(x)))), x)
    return torch.autograd.functional.hessian(lambda v: program(*v), torch.from_numpy(x)).numpy()


def curved(backend: str, program: Program, x: Array, v: Array) -> Array:
    """H v at one point in two passes: the gradient of ⟨∇z, v⟩."""
    if backend == "scratch":
        return hessian_vector(lambda a: program(*(a[k] for k in range(len(x)))), [x], [v])[0]
    return torch.autograd.functional.hvp(lambda a: program(*a), torch.from_numpy(x), torch.from_numpy(v))[1].numpy()


def leaves(x: Sequence[Any] | Array) -> list[torch.Tensor]:
    return [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in x]


def stacked(found: Sequence[torch.Tensor]) -> Array:
    return np.stack([a.numpy() for a in found])


def fixed(x: Any) -> Any:
    """The number without its past: no share flows back through it."""
    return x.value if isinstance(x, Var) else x.detach()


# --- exact derivatives -----------------------------------------------------------------------------------------------------


@cache
def symbolic(example: str) -> tuple[list[Callable], list[list[Callable]]]:
    """sympy's gradient and Hessian of the example as functions, to be called with fifty digits."""
    symbols = sympy.symbols(f"x1:{len(AT[example]) + 1}")
    z = EXAMPLES[example](*symbols)["z"]
    function = partial(sympy.lambdify, symbols)
    found = [sympy.expand(sympy.diff(z, x)) for x in symbols]
    return [function(g) for g in found], [[function(sympy.diff(g, x)) for x in symbols] for g in found]


def exactly(function: Callable, point: Sequence[float]) -> tuple[Decimal, Decimal]:
    """The value of a polynomial with positive coefficients at a point, and the sum of its terms' sizes."""
    numbers = [Decimal(x) for x in point]
    return Decimal(function(*numbers)), Decimal(function(*map(abs, numbers)))


def off(measured: float, exact: tuple[Decimal, Decimal]) -> float:
    """How far from the exact value, in roundings of the terms; an exact 0 without terms allows no difference."""
    value, size = exact
    apart = abs(Decimal(float(measured)) - value)
    return float(apart / (size * Decimal(U))) if size else (0.0 if not apart else np.inf)


# --- the notes' two examples -----------------------------------------------------------------------------------------------


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


def last(example: Program, *x: Any) -> Any:
    return example(*x)["z"]


def without(example: str, *x: Any) -> Any:
    """The example with something left out: in the first, ∂y/∂x (y is taken for x); in the second, the way of x2 through y2."""
    if example == "one":
        return 2 * x[0] + 1
    y1, y2 = x[0] + x[1] ** 2, fixed(x[1]) + x[2] ** 2
    return y1**2 + y2**2


def farthest(g: Array, exact: Sequence[tuple[Decimal, Decimal]]) -> float:
    return max(off(a, e) for a, e in zip(g.tolist(), exact, strict=True))


def apart(quantity: str, a: Array, b: Array, roundings: float, size: Any) -> Difference:
    """Both implementations' numbers; ``roundings`` of ``size`` may lie between them."""
    difference, whole = float(np.linalg.norm(a - b)), float(np.linalg.norm(a))
    return Difference(
        0, 1, quantity, difference, difference / whole if whole else 0.0, roundings * U * float(np.linalg.norm(size))
    )


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


# --- long products ---------------------------------------------------------------------------------------------------------


def chains(*, n: int, draws: int, seed: int) -> Tables:
    """y = w1 w2 … wn x: every ∂y/∂w_i, the product rule, H v, and what the gradient costs."""
    random = generator(seed, "factors", n)
    w, x, v = random.standard_normal((draws, n)), random.uniform(0.5, 1.5, draws), random.standard_normal((draws, n))
    job = chain_job(w, x)
    found = []
    for backend in BACKENDS:
        ready = layered(backend, job)
        for draw in range(draws):
            rows = single(backend, w[draw], x[draw], v[draw], ready[draw])
            found += [
                {"backend": backend, "n": n, "quantity": name, "measured": a, "control": b}
                for name, (a, b) in rows.items()
            ]
    worst = (
        pd.DataFrame(found)
        .groupby(["backend", "n", "quantity"], sort=False)[["measured", "control"]]
        .max()
        .reset_index()
    )
    ours, theirs = (backend.snapshot(job) for backend in backends("cpu").values())
    differences = agreement.pointwise(job, ours, theirs, generator(0, "shadows"))
    cost = [
        {"backend": b, "n": n, "mode": mode, "multiplications": count(b, w[0], x[0])}
        for b in BACKENDS
        for mode, count in COUNTS.items()
    ]
    return {
        "chains": worst.assign(predicted=[most(n)[name] for name in worst.quantity], draws=draws),
        "cost": pd.DataFrame(cost),
        "agreement": agreement.table(differences, "chains", f"{n} factors"),
    }


def most(n: int) -> dict[str, int]:
    """Roundings on the longest way: n factors of a product; each of a sum of n products of n factors or sums; and of n(n − 1) of them."""
    return {"autodiff": n + 1, "layers": n + 1, "product rule": 3 * n + 1, "H v": 4 * n + 1}


def single(backend: str, w: Array, x: float, v: Array, by_layers: Array) -> dict[str, tuple[float, float]]:
    """For one product the farthest number of each kind from the exact one, and the same for what is wrong."""
    factors, start = [Decimal(a) for a in w.tolist()], Decimal(float(x))
    others = [start * a for a in without_each(factors)]
    whole = float(prod(factors) * start)
    g = slopes(backend, lambda *factors: multiplied(factors, x), w[:, None])[:, 0]
    exact = [(a, abs(a)) for a in others]
    wrong = farthest(np.full(len(w), whole), exact)
    return {
        "autodiff": (farthest(g, exact), wrong),
        "layers": (farthest(by_layers, exact), wrong),
        "product rule": leibniz(backend, factors, w, x),
        "H v": products_curved(backend, factors, start, w, x, v),
    }


def multiplied(factors: Iterable[Any], x: Any, times: Callable[[Any, Any], Any] = lambda a, b: a * b) -> Any:
    """w_n (… (w2 (w1 x)))."""
    for w in factors:
        x = times(w, x)
    return x


def without_each(factors: Sequence[Decimal]) -> list[Decimal]:
    """The product of all the others, for each; what is left of it times what is right of it, so a 0 does no harm."""
    left, right = [Decimal(1)], [Decimal(1)]
    for a, b in zip(factors, factors[::-1], strict=True):
        left.append(left[-1] * a)
        right.append(right[-1] * b)
    return [left[i] * right[len(factors) - 1 - i] for i in range(len(factors))]


def leibniz(backend: str, factors: Sequence[Decimal], w: Array, x: float) -> tuple[float, float]:
    """y = (|w1| + x) … (|wn| + x): y′ is the sum, over the factors, of the products of the others, not the product of slopes, 1."""
    total = sum(without_each([abs(a) + Decimal(float(x)) for a in factors]), Decimal())
    found = slopes(backend, lambda x: multiplied([a + x for a in np.abs(w).tolist()], 1.0), np.array([[x]]))
    return off(found.item(), (total, total)), off(1.0, (total, total))


def products_curved(
    backend: str, factors: Sequence[Decimal], start: Decimal, w: Array, x: float, v: Array
) -> tuple[float, float]:
    """(H v)_i = Σ_{j≠i} v_j x Π_{k≠i,j} w_k: the diagonal of H is 0, for y is straight in each factor."""
    found = curved(backend, lambda *factors: multiplied(factors, x), w, v)
    worst = [0.0, 0.0]
    for i, among in enumerate(found.tolist()):
        rest = [*factors[:i], *factors[i + 1 :]]
        weights = [Decimal(a) for a in np.delete(v, i).tolist()]
        terms = [start * a * b for a, b in zip(without_each(rest), weights, strict=True)]
        exact = (sum(terms, Decimal()), sum(map(abs, terms), Decimal()))
        worst = [max(worst[0], off(among, exact)), max(worst[1], off(0.0, exact))]
    return worst[0], worst[1]


def chain_job(w: Array, x: Array) -> Job:
    """The products as a stack of networks of n layers with one unit each."""
    n = w.shape[1]
    parameters = tuple({"W": w[:, k, None, None].copy()} for k in range(n))
    one = np.ones((1, 1))
    return Job((Dense(1, bias=False),) * n, InnerProduct(), parameters, Batch(x[:, None, None].copy(), one))


def layered(backend: str, job: Job) -> Array:
    """∂y/∂w_i (draws, n) by the layers' backward, by nn.Linear."""
    gradients = backends("cpu")[backend].snapshot(job).gradients
    return np.stack([named["W"][:, 0, 0] for named in gradients], axis=1)


# --- what it costs ---------------------------------------------------------------------------------------------------------


class Multiplications(TorchDispatchMode):
    """Counts the numbers that PyTorch multiplies, forwards and backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch loads its compiler, three seconds, only to keep it away from here

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = function(*arguments, **(options or {}))
        if function.overloadpacket is torch.ops.aten.mul:
            self.count += result.numel()
        return result


class Counted:
    """A function that remembers how many numbers it has given."""

    def __init__(self, function: Callable[..., Any], tally: list[int]) -> None:
        self.function, self.tally = function, tally

    def __call__(self, *arguments: Any) -> Any:
        result = self.function(*arguments)
        self.tally.append(int(np.size(result)))
        return result


def reverse_mode(backend: str, w: Array, x: float) -> int:
    """All n derivatives in one pass forwards and one backwards."""
    if backend == "torchref":
        tensors = leaves(w)
        with Multiplications() as counted:
            torch.autograd.grad(multiplied(tensors, x), tensors)
        return counted.count
    tally: list[int] = []
    variables = [Var(a) for a in w]
    y = multiplied(variables, x, Counted(np.multiply, tally))
    for node in upstream(y):
        node.rules = tuple(
            Counted(rule, tally) for rule in node.rules
        )  # of a product: the share times the other factor
    gradient(y, variables)
    return sum(tally)


def forward_mode(backend: str, w: Array, x: float) -> int:
    """One derivative a pass: n complex steps."""
    tally: list[int] = []

    def values(points: Array) -> Array:
        if backend == "scratch":
            return multiplied(points.T, x, Counted(np.multiply, tally))
        with Multiplications() as counted:
            found = multiplied(list(torch.from_numpy(points).T), x)
        tally.append(counted.count)
        return found.numpy()

    complex_step(values, w, axes=1)
    return sum(tally)


COUNTS = {"reverse": reverse_mode, "complex step": forward_mode}
