"""Reverse mode on arrays: the notes' chain rule, ∂z/∂x = Σ ∂z/∂y·∂y/∂x over all y that x goes into, for programs in NumPy.

A ``Var`` remembers the function that made it and its arguments; ``gradient`` walks back from z, visits each Var once and hands every
argument its share. The rules are themselves written in NumPy's functions, so on Vars they can be differentiated again (the idea of
HIPS autograd: Maclaurin, Duvenaud & Adams 2015). derivatives.py has the elementwise ones, composed.py the functions that are said in
others. The largest along an axis shares its gradient equally between ties, as torch.amax does. ``python -m scratch.tape``
prints the notes' two examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from scratch import special
from scratch.composed import COMPOSED
from scratch.derivatives import RULES, RULES_BESIDE_A_CONSTANT, Rule, all_but_one, cumulated
from scratch.errors import InvalidInput
from scratch.layers import Array
from scratch.variables import FUNCTIONS, Var, plain, record


def upstream(z: Var) -> list[Var]:
    """z and every Var that it came from, each once, arguments before what was made of them."""
    order: list[Var] = []
    seen: set[int] = set()
    stack = [(z, False)]
    while stack:  # no recursion: a graph may be deeper than Python's stack
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack += [(a, False) for a in reversed(node.arguments) if isinstance(a, Var)]
    return order


def shares(z: Var, again: bool = False, seed: Any = None) -> dict[int, Any]:
    """∂z/∂node under id(node), for z and every Var that it came from. Nothing is kept on the Vars."""
    if seed is None and z.size != 1:
        raise InvalidInput(f"gradient: z must be one number unless a seed (its ∂J/∂z) is given, got shape {z.shape}")
    if seed is not None and np.shape(seed) != z.shape:
        raise InvalidInput(f"gradient: the seed must have z's shape {z.shape}, got {np.shape(seed)}")
    start = np.ones_like(z.value) if seed is None else seed if isinstance(seed, Var) else np.array(seed, z.dtype)
    share = {id(z): start}
    for node in reversed(upstream(z)):
        known = (node, *node.arguments) if again else (node.value, *map(plain, node.arguments))
        for argument, rule in zip(node.arguments, node.rules, strict=False):
            if isinstance(argument, Var):
                part = _fit(rule(share[id(node)], *known), argument)
                share[id(argument)] = share[id(argument)] + part if id(argument) in share else part
    return share


def _fit(g: Any, x: Var) -> Any:
    """g summed over the axes along which x was repeated, in x's type."""
    if g.shape != x.shape:
        extra = g.ndim - x.ndim
        repeated = (*range(extra), *(extra + k for k, n in enumerate(x.shape) if n == 1))
        g = np.reshape(np.sum(g, axis=repeated), x.shape)
    return g if g.dtype == x.dtype else record(np.asarray, (lambda g, *_: g,), g, x.dtype)


def gradient(z: Any, xs: Sequence[Var], again: bool = False, seed: Any = None) -> list[Any]:
    """∂z/∂x for each x, in its shape and type; zeros where z does not depend on it.

    z is one number, or any array with ``seed`` ∂J/∂z; the results are then ∂J/∂x. With ``again`` they are Vars, to be
    differentiated once more. Raises InvalidInput where an x is not a Var or a shape does not fit.
    """
    if isinstance(xs, Var) or not all(isinstance(x, Var) for x in xs):
        raise InvalidInput("gradient: xs must be a list of Vars")
    share = shares(z, again, seed) if isinstance(z, Var) else {}
    found = [share.get(id(x), np.zeros_like(x.value)) for x in xs]
    return [g if isinstance(g, Var) else Var(g) for g in found] if again else [np.array(plain(g)) for g in found]


def hessian_vector(f: Callable[..., Any], xs: Sequence[Array], vs: Sequence[Array]) -> list[Array]:
    """Σ_j ∂²f/∂x_i∂x_j · v_j for each i: the gradient of ⟨∇f, v⟩, two passes whatever the size (Pearlmutter 1994)."""
    variables = [Var(x) for x in xs]
    slopes = gradient(f(*variables), variables, again=True)
    return gradient(sum(np.sum(g * v) for g, v in zip(slopes, vs, strict=True)), variables)


def hessian(f: Callable[[Any], Any], x: Array) -> Array:
    """∂²f/∂x∂x of shape (*x.shape, *x.shape), one pass for each entry of x: for small x."""
    variable = Var(x)
    (slope,) = gradient(f(variable), [variable], again=True)
    units = np.eye(variable.size, dtype=variable.dtype).reshape(variable.size, *variable.shape)
    rows = [gradient(slope, [variable], seed=unit)[0] for unit in units]
    return np.reshape(rows, variable.shape * 2)


def _elementwise(function: Any, *inputs: Any) -> Any:
    kinked = function in RULES_BESIDE_A_CONSTANT and not all(isinstance(x, Var) for x in inputs)
    return record(function, (RULES_BESIDE_A_CONSTANT if kinked else RULES)[function], *inputs)


def erf(x: Any) -> Any:
    """erf x of an array or a Var."""
    return _elementwise(special.erf, x)


def normal_cdf(x: Any) -> Any:
    """Φ(x) of an array or a Var."""
    return _elementwise(special.normal_cdf, x)


def _clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    a_min, a_max = min if a_min is None else a_min, max if a_max is None else a_max
    if isinstance(a_min, Var) or isinstance(a_max, Var):
        raise InvalidInput("np.clip: bounds that are Vars have no rule: use np.minimum(np.maximum(x, low), high)")
    return _elementwise(np.clip, x, -np.inf if a_min is None else a_min, np.inf if a_max is None else a_max)


def _reshaped(function: Any, x: Var, *how: Any) -> Any:
    shape = function(x.value, *how).shape  # NumPy itself checks the arguments
    return record(np.reshape, (lambda g, z, x, shape: np.reshape(g, x.shape),), x, shape)


def _transposed(function: Any, x: Var, *how: Any, **named: Any) -> Any:
    order = function(np.empty(range(x.ndim)), *how, **named).shape  # axis k has length k: the new shape is the order
    return record(np.transpose, (lambda g, z, x, order: np.transpose(g, np.argsort(order)),), x, order)


def _over(function: Any, back: Rule, x: Var, axis: Any, keepdims: bool) -> Any:
    axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    z = record(partial(function, keepdims=True), (back,), x, axes)
    return z if keepdims else np.squeeze(z, axes)


def _sum(x: Var, axis: Any = None, *, keepdims: bool = False) -> Any:
    return _over(np.sum, lambda g, z, x, axes: np.broadcast_to(g, x.shape), x, axis, keepdims)


def _max(x: Var, axis: Any = None, *, keepdims: bool = False) -> Any:
    return _over(np.max, lambda g, z, x, axes: g * (x == z) / np.sum(x == z, axes, keepdims=True), x, axis, keepdims)


def _prod(x: Var, axis: Any = None, *, keepdims: bool = False) -> Any:
    return _over(np.prod, lambda g, z, x, axes: g * all_but_one(x, axes), x, axis, keepdims)


def _along(function: Any, back: Rule, x: Var, axis: int | None) -> Any:
    return record(function, (back,), np.ravel(x) if axis is None else x, 0 if axis is None else axis)


def _cumsum(x: Var, axis: int | None = None) -> Any:
    def back(g: Any, z: Any, x: Any, axis: int) -> Any:
        return np.flip(np.cumsum(np.flip(g, axis), axis), axis)

    return _along(np.cumsum, back, x, axis)


def _cumprod(x: Var, axis: int | None = None) -> Any:
    return _along(np.cumprod, cumulated, x, axis)


def _matmul(x: Any, y: Any) -> Any:
    if np.ndim(y) == 1:
        return np.squeeze(np.matmul(x, y[:, None]), -1)
    if np.ndim(x) == 1:
        return np.squeeze(np.matmul(x[None], y), -2)
    return record(np.matmul, (lambda g, z, x, y: g @ y.mT, lambda g, z, x, y: x.mT @ g), x, y)


def _concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    if axis is None:
        return np.concatenate([np.ravel(a) for a in arrays])
    cuts = np.cumsum([0, *(np.shape(a)[axis] for a in arrays)])
    before = (slice(None),) * (axis % np.ndim(arrays[0]))
    rules = [lambda g, *_, key=(*before, slice(*cut)): g[key] for cut in pairwise(cuts)]

    def concatenate(*parts: Array) -> Array:
        return np.concatenate(parts, axis)

    return record(concatenate, rules, *arrays)


WHERE = (lambda *_: 0, lambda g, z, c, x, y: np.where(c, g, 0), lambda g, z, c, x, y: np.where(c, 0, g))
FUNCTIONS |= {
    **{f: partial(_elementwise, f) for f in RULES},
    **{f: partial(_transposed, f) for f in (np.transpose, np.swapaxes, np.matrix_transpose, np.moveaxis)},
    np.clip: _clip,
    np.reshape: lambda x, shape: _reshaped(np.reshape, x, shape),
    np.ravel: lambda x: _reshaped(np.ravel, x),
    np.expand_dims: lambda x, axis: _reshaped(np.expand_dims, x, axis),
    np.squeeze: lambda x, axis=None: _reshaped(np.squeeze, x, axis),
    np.sum: _sum,
    np.prod: _prod,
    np.max: _max,
    np.amax: _max,
    np.cumsum: _cumsum,
    np.cumprod: _cumprod,
    np.matmul: _matmul,
    np.where: lambda c, x, y: record(np.where, WHERE, plain(c), x, y),
    np.broadcast_to: lambda x, shape: record(np.broadcast_to, (lambda g, *_: g,), x, shape),
    np.concatenate: _concatenate,
    **COMPOSED,
}
