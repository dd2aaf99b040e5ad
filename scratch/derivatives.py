"""The table of derivatives: ∂z/∂argument of every elementwise function, from z and the arguments. autodiff.py does the rest.

The entries are written in NumPy's functions, so that they can be differentiated themselves. At a kink they follow PyTorch: |x|
has slope 0 at 0; of two equal variables each is half their maximum, but a constant equal to a variable is all of it (relu);
clip passes at its bounds (clamp).
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi, prod, sqrt
from typing import Any

import numpy as np

from scratch import special

Derivatives = tuple[Callable[..., Any], ...]  # for each argument: (z, *arguments) -> ∂z/∂argument
Rule = Callable[..., Any]  # (∂J/∂z, z, *arguments) -> ∂J/∂argument, in z's shape if the argument was broadcast


def less_one(p: Any) -> Any:
    """p − 1, but 1 where p is 0: there p·x^(p−1) is 0, at x = 0 too."""
    return np.where(p == 0, 1, p - 1) if np.ndim(p) else p - 1 if p != 0 else 1


DERIVATIVES: dict[Any, Derivatives] = {
    np.add: (lambda z, x, y: 1, lambda z, x, y: 1),
    np.subtract: (lambda z, x, y: 1, lambda z, x, y: -1),
    np.multiply: (lambda z, x, y: y, lambda z, x, y: x),
    np.divide: (lambda z, x, y: 1 / y, lambda z, x, y: -z / y),
    np.power: (lambda z, x, y: y * x ** less_one(y), lambda z, x, y: z * np.log(np.where(x == 0, 1, x))),
    np.maximum: (lambda z, x, y: np.where(x == y, 0.5, x > y), lambda z, x, y: np.where(x == y, 0.5, y > x)),
    np.minimum: (lambda z, x, y: np.where(x == y, 0.5, x < y), lambda z, x, y: np.where(x == y, 0.5, y < x)),
    np.logaddexp: (lambda z, x, y: np.exp(x - z), lambda z, x, y: np.exp(y - z)),
    np.clip: (lambda z, x, low, high: (x >= low) & (x <= high),),
    np.positive: (lambda z, x: 1,),
    np.negative: (lambda z, x: -1,),
    np.absolute: (lambda z, x: np.sign(x),),
    np.reciprocal: (lambda z, x: -z * z,),
    np.square: (lambda z, x: 2 * x,),
    np.sqrt: (lambda z, x: 0.5 / z,),
    np.exp: (lambda z, x: z,),
    np.exp2: (lambda z, x: z * log(2),),
    np.expm1: (lambda z, x: np.exp(x),),
    np.log: (lambda z, x: 1 / x,),
    np.log2: (lambda z, x: 1 / (x * log(2)),),
    np.log10: (lambda z, x: 1 / (x * log(10)),),
    np.log1p: (lambda z, x: 1 / (1 + x),),
    np.sinh: (lambda z, x: np.cosh(x),),
    np.cosh: (lambda z, x: np.sinh(x),),
    np.tanh: (lambda z, x: 1 - z * z,),
    np.sin: (lambda z, x: np.cos(x),),
    np.cos: (lambda z, x: -np.sin(x),),
    np.tan: (lambda z, x: 1 + z * z,),
    np.arctan: (lambda z, x: 1 / (1 + x * x),),
    special.erf: (lambda z, x: np.exp(-x * x) * (2 / sqrt(pi)),),
    special.normal_cdf: (lambda z, x: np.exp(-x * x / 2) / sqrt(2 * pi),),
}
BESIDE_A_CONSTANT: dict[Any, Derivatives] = {
    np.maximum: (lambda z, x, y: x > y, lambda z, x, y: y > x),
    np.minimum: (lambda z, x, y: x < y, lambda z, x, y: y < x),
}


def chained(derivatives: Derivatives) -> tuple[Rule, ...]:
    """The chain rule, ∂J/∂argument = ∂J/∂z · ∂z/∂argument."""
    return tuple(lambda g, *known, d=d: g * d(*known) for d in derivatives)


RULES = {function: chained(derivatives) for function, derivatives in DERIVATIVES.items()}
RULES_BESIDE_A_CONSTANT = {function: chained(derivatives) for function, derivatives in BESIDE_A_CONSTANT.items()}
PIECEWISE_CONSTANT = {  # nothing flows back: of a variable they give plain arrays
    *(np.sign, np.floor, np.ceil, np.rint, np.trunc, np.heaviside, np.isfinite, np.isnan, np.isinf, np.signbit),
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
    *(np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.full_like, np.empty_like),
    *(np.argmax, np.argmin, np.argsort, np.count_nonzero, np.any, np.all, np.array_equal, np.isclose, np.allclose),
}
INSTEAD: dict[Any, str] = {
    np.linalg.vector_norm: "np.linalg.norm(x, ord, axis)",
    np.linalg.matrix_norm: "np.linalg.norm(x, ord, axis)",
    np.vdot: "np.dot(np.ravel(x), np.ravel(y))",
    np.fmax: "np.maximum",
    np.fmin: "np.minimum",
    np.nansum: "np.sum(np.where(np.isnan(x), 0, x))",
    np.copyto: "np.where",
    np.put: "np.where",
}
OPTIONS = {  # what to do without them
    "out": "a result is a new Var and cannot be written into an array: for a += b write a = a + b",
    "where": "use np.where(condition, x, what it is elsewhere)",
    "initial": "combine it with the result",
    "dtype": "give the type to Var",
}


def all_but_one(x: Any, axes: tuple[int, ...]) -> Any:
    """For each entry the product of all others along ``axes``, by products of pairs of pairs: a zero takes nothing with it."""
    last = tuple(range(-len(axes), 0))
    moved = np.moveaxis(x, axes, last)
    kept = moved.shape[: moved.ndim - len(axes)]
    others = _all_but_one(np.reshape(moved, (*kept, prod(moved.shape[len(kept) :]))))
    return np.moveaxis(np.reshape(others, moved.shape), last, axes)


def _all_but_one(x: Any) -> Any:
    n = x.shape[-1]
    if n < 2:
        return np.ones_like(x)
    if n % 2:
        return _all_but_one(np.concatenate([x, np.ones_like(x[..., :1])], -1))[..., :n]
    first, second = x[..., ::2], x[..., 1::2]
    outside = _all_but_one(first * second)
    return np.reshape(np.stack([outside * second, outside * first], -1), x.shape)


def cumulated(g: Any, z: Any, x: Any, axis: int) -> Any:
    """The rule of z = cumprod x: what lies before x_i, times s_i = g_i + x_{i+1} s_{i+1}; nothing is divided by x."""
    g, z, x = (np.moveaxis(a, axis, 0) for a in (g, z, x))
    after, s = [], 0
    for k in reversed(range(len(x))):
        after.append(g[k : k + 1] + s)
        s = x[k : k + 1] * after[-1]
    before = np.concatenate([np.ones_like(x[:1]), z[:-1]])
    return np.moveaxis(before * np.concatenate([z[:0], *reversed(after)]), 0, axis)
