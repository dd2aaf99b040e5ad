"""First and second derivatives of a program by scratch.autodiff, by torch.autograd and by complex steps, held against fifty digits.
Differences are in units of u times the sum of the terms' sizes, so that a bound is a number of roundings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import torch

from experiments.agreement import Difference
from scratch.autodiff import Var, gradient, hessian, hessian_vector
from scratch.gradcheck import U, complex_step
from scratch.layers import Array

BACKENDS = ("scratch", "torchref")
DIGITS = 50  # of the exact values: what they lose is nothing beside 1e-16
Program = Callable[..., Any]


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


def exactly(function: Callable, point: Sequence[float]) -> tuple[Decimal, Decimal]:
    """The value of a polynomial with positive coefficients at a point, and the sum of its terms' sizes."""
    numbers = [Decimal(x) for x in point]
    return Decimal(function(*numbers)), Decimal(function(*map(abs, numbers)))


def off(measured: float, exact: tuple[Decimal, Decimal]) -> float:
    """How far from the exact value, in roundings of the terms; an exact 0 without terms allows no difference."""
    value, size = exact
    apart = abs(Decimal(float(measured)) - value)
    return float(apart / (size * Decimal(U))) if size else (0.0 if not apart else np.inf)


def farthest(g: Array, exact: Sequence[tuple[Decimal, Decimal]]) -> float:
    return max(off(a, e) for a, e in zip(g.tolist(), exact, strict=True))


def apart(quantity: str, a: Array, b: Array, roundings: float, size: Any) -> Difference:
    """Both implementations' numbers; ``roundings`` of ``size`` may lie between them."""
    difference, whole = float(np.linalg.norm(a - b)), float(np.linalg.norm(a))
    return Difference(
        0, 1, quantity, difference, difference / whole if whole else 0.0, roundings * U * float(np.linalg.norm(size))
    )
