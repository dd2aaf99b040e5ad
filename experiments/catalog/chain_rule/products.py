"""Long products y = w1 w2 … wn x: every derivative against fifty digits, and the multiplications that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from experiments import agreement
from experiments.catalog.chain_rule.derivatives import BACKENDS, curved, farthest, leaves, off, slopes
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch import Dense, InnerProduct
from scratch.autodiff import Var, gradient, upstream
from scratch.contract import Batch, Job
from scratch.layers import Array


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

    values(w + 1e-30j * np.eye(len(w)))  # not gradcheck's, which also looks whether it may
    return sum(tally)


COUNTS = {"reverse": reverse_mode, "complex step": forward_mode}
