"""Variables: arrays that remember how they were made, and what NumPy's functions do with them. autodiff.py has the way back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import cache
from operator import getitem
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from scratch.derivatives import INSTEAD, OPTIONS, PIECEWISE_CONSTANT, Rule
from scratch.errors import InvalidInput
from scratch.layers import Array, Shape

FUNCTIONS: dict[Any, Callable[..., Any]] = {}  # what each of NumPy's does with Vars; autodiff.py fills it
METHODS: dict[tuple[np.ufunc, str], Any] = {  # of a ufunc
    (np.add, "reduce"): np.sum,
    (np.multiply, "reduce"): np.prod,
    (np.maximum, "reduce"): np.max,
    (np.minimum, "reduce"): np.min,
    (np.add, "accumulate"): np.cumsum,
    (np.multiply, "accumulate"): np.cumprod,
}


def _placed(g: Array, key: Any, shape: Shape) -> Array:
    """Zeros with g added at ``key``: what indexing does, backwards."""
    into = np.zeros(shape, g.dtype)
    np.add.at(into, key, g)
    return into


PLACED = (lambda h, z, g, key, shape: h[key],)
ITEM = (lambda g, z, x, key: record(_placed, PLACED, g, key, x.shape),)


class Var(NDArrayOperatorsMixin):
    """value = function(*arguments): a real array that remembers where it came from; a leaf has no function.

    A Var never changes: it holds copies of what it was given, its value is read-only, and x += y makes a new one. Comparisons,
    signs and roundings of Vars are plain arrays: nothing flows back through them. Raises InvalidInput for complex values and for
    NumPy functions without a rule.
    """

    __slots__ = ("_value", "arguments", "function", "rules")

    def __init__(self, value: Any, function: Any = None, arguments: tuple = (), rules: Sequence[Rule] = ()) -> None:
        value = np.array(value) if function is None else np.asarray(value)
        if value.dtype.kind not in "fiub":
            raise InvalidInput(f"Var: expected real numbers, got {value.dtype}")
        self._value: Array = value if value.dtype.kind == "f" else value.astype(float)
        self._value.flags.writeable = False
        self.function, self.arguments, self.rules = function, arguments, rules

    value = property(lambda self: self._value)
    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.matrix_transpose(self))

    def __getitem__(self, key: Any) -> Any:
        return record(getitem, ITEM, self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise InvalidInput("x[...] = y: a Var never changes: use np.where or np.concatenate")

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.value)

    def __repr__(self) -> str:
        return f"Var({self.value!r})"

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise InvalidInput(
            "np.asarray of a Var would lose where it came from: np.stack joins Vars; take .value if a plain array is meant"
        )

    def __float__(self) -> float:
        raise InvalidInput(
            "float() of a Var would lose where it came from: use np.exp, not math.exp; take .value if a number is meant"
        )

    def reshape(self, *shape: Any) -> Any:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        inputs = tuple(np.asarray(a) if isinstance(a, (list, tuple)) else a for a in inputs)
        if method == "__call__":
            return _dispatch(ufunc, inputs, options)
        if (ufunc, method) in METHODS:
            return _dispatch(METHODS[ufunc, method], inputs, {"axis": 0} | options)
        if method == "outer":
            x, y = inputs
            return _dispatch(ufunc, (np.reshape(x, np.shape(x) + (1,) * np.ndim(y)), y), options)
        there = ", ".join(sorted(f"{u.__name__}.{m}" for u, m in METHODS))
        raise InvalidInput(f"np.{ufunc.__name__}.{method} of a Var has no rule: there are {there} and every outer")

    def __array_function__(self, function: Any, types: Any, inputs: tuple, options: dict[str, Any]) -> Any:
        return _dispatch(function, inputs, options)


def _method(name: str) -> Callable[..., Any]:
    return lambda self, *how, **named: getattr(np, name)(self, *how, **named)


for _name in (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"),
):
    setattr(Var, f"__i{_name}__", getattr(Var, f"__{_name}__"))  # x += y is x = x + y: the old x stays in its graphs
for _name in (
    *("sum", "prod", "mean", "var", "std", "max", "min", "cumsum", "cumprod", "argmax", "argmin", "any", "all"),
    *("ravel", "squeeze", "swapaxes", "clip", "dot", "trace", "diagonal", "take"),
):
    setattr(Var, _name, _method(_name))
Var.flatten = _method("ravel")  # type: ignore[attr-defined]


def plain(x: Any) -> Any:
    """The array in a Var; anything else as it is."""
    return x.value if isinstance(x, Var) else x


def record(function: Callable[..., Any], rules: Sequence[Rule], *arguments: Any) -> Any:
    """function(*arguments), as a Var if one of them is a Var; ``rules[k]`` gives the k-th argument its share.

    The Var holds copies of the others, so that their owner may change them before the way back.
    """
    value = function(*map(plain, arguments))
    if not any(isinstance(a, Var) for a in arguments):
        return value
    return Var(value, function, tuple(a if isinstance(a, Var) else deepcopy(a) for a in arguments), rules)


def _dispatch(function: Any, inputs: tuple, options: dict[str, Any]) -> Any:
    if function in PIECEWISE_CONSTANT:
        return function(*map(plain, inputs), **options)
    if function not in FUNCTIONS:
        use = INSTEAD.get(function) or ", ".join(sorted({f.__name__ for f in FUNCTIONS}))
        raise InvalidInput(f"{_called(function)} of a Var has no rule: use {use}")
    try:
        _signature(FUNCTIONS[function]).bind(*inputs, **options)
    except TypeError as problem:
        advice = "".join(f"; {OPTIONS[name]}" for name in options if name in OPTIONS)
        raise InvalidInput(f"{_called(function)} of a Var: {problem}{advice}") from None
    return FUNCTIONS[function](*inputs, **options)


def _called(function: Any) -> str:
    return f"{getattr(function, '__module__', 'numpy').replace('numpy', 'np')}.{function.__name__}"


_signature = cache(inspect.signature)
