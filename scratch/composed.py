"""NumPy's functions said in those that have rules: what they are made of is differentiated, as often as one likes.

Where a root is taken of 0, in a norm or a standard deviation, the slope is 0, as PyTorch has it: the middle of those on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from scratch.errors import InvalidInput


def _root(x: Any, power: float = 0.5) -> Any:
    """x^power of x ≥ 0, with slope 0 at 0."""
    positive = np.where(x == 0, 1, x)
    return np.where(x == 0, 0, np.sqrt(positive) if power == 0.5 else positive**power)


def _mean(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    total = np.sum(x, axis, keepdims=keepdims)
    return total / (x.size / total.size if total.size else 1)


def _var(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    total = np.sum(np.square(x - np.mean(x, axis, keepdims=True)), axis, keepdims=keepdims)
    return total / (max(x.size / total.size - ddof, 0) if total.size else 1)


def _std(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    return _root(np.var(x, axis, ddof=ddof, keepdims=keepdims))


def _min(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return -np.max(-x, axis, keepdims=keepdims)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    if ord is None or (len(axes) == 2 and ord == "fro"):
        return _root(np.sum(np.square(x), axes, keepdims=keepdims))
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) != 2 or ord not in (1, -1, np.inf, -np.inf):
        raise InvalidInput(
            f"np.linalg.norm(ord={ord!r}) of a Var over {len(axes)} axes has no rule: over two there are 'fro', 1, -1, inf, -inf, "
            "over one any number"
        )
    first, second = axes if abs(ord) == 1 else axes[::-1]
    sums = np.sum(np.abs(x), first, keepdims=True)
    found = (np.max if ord > 0 else np.min)(sums, second, keepdims=True)
    return found if keepdims else np.squeeze(found, axes)


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise InvalidInput(f"np.linalg.norm(ord={ord!r}) of a Var over one axis: expected a number")
    if ord == 0:
        return np.sum(np.not_equal(x, 0), axes, x.dtype, keepdims=keepdims)
    if abs(ord) == np.inf:
        return (np.max if ord > 0 else np.min)(np.abs(x), axes, keepdims=keepdims)
    if ord == 1:
        return np.sum(np.abs(x), axes, keepdims=keepdims)
    powers = np.square(x) if ord == 2 else np.abs(x) ** ord
    return _root(np.sum(powers, axes, keepdims=keepdims), 1 / ord)


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    if np.ndim(axes) == 0:
        axes = range(np.ndim(a) - axes, np.ndim(a)), range(axes)
    mine, other = (
        [normalize_axis_index(k, np.ndim(x)) for k in np.atleast_1d(ks).tolist()]
        for x, ks in zip((a, b), axes, strict=True)
    )
    summed = [np.shape(a)[k] for k in mine]
    if summed != [np.shape(b)[k] for k in other]:
        raise InvalidInput(
            f"np.tensordot: shapes {np.shape(a)} and {np.shape(b)} do not fit along axes {mine} and {other}"
        )
    left, right = ([k for k in range(np.ndim(x)) if k not in ks] for x, ks in ((a, mine), (b, other)))
    shape = [np.shape(a)[k] for k in left], [np.shape(b)[k] for k in right]
    rows = np.reshape(np.transpose(a, left + mine), (prod(shape[0]), prod(summed)))
    columns = np.reshape(np.transpose(b, other + right), (prod(summed), prod(shape[1])))
    return np.reshape(rows @ columns, (*shape[0], *shape[1]))


def _dot(a: Any, b: Any) -> Any:
    if not (np.ndim(a) and np.ndim(b)):
        return np.multiply(a, b)
    return np.matmul(a, b) if np.ndim(b) <= 2 else np.tensordot(a, b, ([-1], [-2]))


def _inner(a: Any, b: Any) -> Any:
    return np.tensordot(a, b, ([-1], [-1])) if np.ndim(a) and np.ndim(b) else np.multiply(a, b)


def _outer(a: Any, b: Any) -> Any:
    return np.multiply(np.expand_dims(np.ravel(a), 1), np.ravel(b))


def _einsum(subscripts: Any, *operands: Any, optimize: Any = None) -> Any:
    """Two operands at a time, each pair by one product of (stacks of) matrices. ``optimize`` would only change the order."""
    if not isinstance(subscripts, str) or "." in subscripts:
        raise InvalidInput(
            "np.einsum of a Var: expected subscripts of letters alone, such as 'ij,jk->ik', without '...'"
        )
    given, arrow, out = subscripts.replace(" ", "").partition("->")
    names = given.split(",")
    if not arrow:
        out = "".join(sorted(letter for letter in set(given) - {","} if given.count(letter) == 1))
    fits = len(names) == len(operands) and [len(n) for n in names] == [np.ndim(x) for x in operands]
    if not fits or len(set(out)) < len(out) or not set(out) <= set(given):
        shapes = ", ".join(str(np.shape(x)) for x in operands)
        raise InvalidInput(f"np.einsum: {subscripts!r} does not fit operands of shapes {shapes}")
    if any(len(set(n)) < len(n) for n in names):
        raise InvalidInput(
            f"np.einsum({subscripts!r}) of a Var: a letter twice in one operand: use np.diagonal or np.trace"
        )
    sizes: dict[str, int] = {}
    for n, x in zip(names, operands, strict=True):
        sizes |= {letter: size for letter, size in zip(n, np.shape(x), strict=True) if sizes.get(letter, 1) == 1}
    whole = [np.broadcast_to(x, [sizes[letter] for letter in n]) for n, x in zip(names, operands, strict=True)]
    name, z = names[0], whole[0]
    for k, (other, x) in enumerate(zip(names[1:], whole[1:], strict=True), 2):
        name, z = _contracted(name, z, other, x, {*out, *"".join(names[k:])}, sizes)
    summed = tuple(k for k, letter in enumerate(name) if letter not in out)
    left = [letter for letter in name if letter in out]
    return np.transpose(np.sum(z, summed), [left.index(letter) for letter in out])


def _contracted(a: str, x: Any, b: str, y: Any, wanted: set[str], sizes: dict[str, int]) -> tuple[str, Any]:
    """The product of two operands, summed over the letters that both have and nobody wants later."""
    shared = [letter for letter in a if letter in b]
    stack, summed = ([letter for letter in shared if (letter in wanted) == kept] for kept in (True, False))
    rows, columns = ([letter for letter in one if letter not in other] for one, other in ((a, b), (b, a)))

    def laid_out(name: str, z: Any, *groups: list[str]) -> Any:
        order = [name.index(letter) for letter in (*stack, *groups[0], *groups[1])]
        shape = (*(sizes[letter] for letter in stack), *(prod(sizes[letter] for letter in group) for group in groups))
        return np.reshape(np.transpose(z, order), shape)

    product = laid_out(a, x, rows, summed) @ laid_out(b, y, summed, columns)
    names = "".join((*stack, *rows, *columns))
    return names, np.reshape(product, [sizes[letter] for letter in names])


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    rows, columns = (np.diagonal(k, offset) for k in np.indices((np.shape(a)[axis1], np.shape(a)[axis2])))
    return np.moveaxis(a, (axis1, axis2), (-2, -1))[..., rows, columns]


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), -1)


def _stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    return np.concatenate([np.expand_dims(a, axis) for a in arrays], axis)


def _vstack(tup: Sequence[Any]) -> Any:
    return np.concatenate([np.reshape(a, (1, -1)) if np.ndim(a) < 2 else a for a in tup])


def _hstack(tup: Sequence[Any]) -> Any:
    flat = [np.reshape(a, (-1,)) if np.ndim(a) < 1 else a for a in tup]
    return np.concatenate(flat, min(1, np.ndim(flat[0]) - 1))


def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    cuts = np.split(np.arange(np.shape(ary)[axis]), indices_or_sections)  # NumPy itself checks the arguments
    ends = list(accumulate(map(len, cuts), initial=0))
    return [_sliced(ary, slice(*ends[k : k + 2]), (axis,)) for k in range(len(cuts))]


def _flip(m: Any, axis: Any = None) -> Any:
    return _sliced(m, slice(None, None, -1), range(np.ndim(m)) if axis is None else axis)


def _sliced(x: Any, cut: slice, axes: Any) -> Any:
    chosen = normalize_axis_tuple(axes, np.ndim(x))
    return x[tuple(cut if k in chosen else slice(None) for k in range(np.ndim(x)))]


def _take(a: Any, indices: Any, axis: int | None = None) -> Any:
    if axis is None:
        return np.ravel(a)[indices]
    return a[(slice(None),) * normalize_axis_index(axis, np.ndim(a)) + (indices,)]


def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    if axis is None:
        return np.ravel(arr)[indices]
    grid = list(np.ogrid[tuple(slice(n) for n in arr.shape)])
    grid[axis] = indices
    return arr[tuple(grid)]


COMPOSED: dict[Any, Callable[..., Any]] = {
    np.mean: _mean,
    np.var: _var,
    np.std: _std,
    np.min: _min,
    np.amin: _min,
    np.linalg.norm: _norm,
    np.dot: _dot,
    np.inner: _inner,
    np.outer: _outer,
    np.tensordot: _tensordot,
    np.einsum: _einsum,
    np.diagonal: _diagonal,
    np.trace: _trace,
    np.stack: _stack,
    np.vstack: _vstack,
    np.hstack: _hstack,
    np.split: _split,
    np.flip: _flip,
    np.take: _take,
    np.take_along_axis: _take_along_axis,
}
