"""Reverse mode against torch.autograd, the complex step and sympy; erf and Φ against mpmath, math and SciPy.

Gradients here are short sums of products: they agree with torch's to some tens of roundings of 1.1e-16 of the largest entry.
"""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
import scipy.special
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch import autodiff, derivatives, special
from scratch.autodiff import FUNCTIONS, Var, erf, gradient, hessian, hessian_vector, normal_cdf, plain
from scratch.errors import InvalidInput
from scratch.gradcheck import compare, complex_step
from scratch.tape import notes_example_one, notes_example_two, tape

ROUNDING = 1e-13


def drawn(*shapes, low=0.4, high=1.7, seed=0):
    """Arrays away from 0, 1 and each other, where no function here has a kink or a pole."""
    random = np.random.default_rng(seed)
    return [random.uniform(low, high, shape) for shape in shapes]


def signed(*shapes, seed=0):
    return [
        a * np.where(np.random.default_rng(seed + 1).random(a.shape) < 0.5, -1, 1) for a in drawn(*shapes, seed=seed)
    ]


def close(found, expected, name=""):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{name}: shape {found.shape}, expected {expected.shape}"
    error, size = np.max(abs(found - expected), initial=0), np.max(abs(expected), initial=0)
    assert error <= ROUNDING * max(size, 1e-3), f"{name}: {error:.2e} of {size:.2e}"


def check_twice(ours, theirs, arrays, name=""):
    """Value, gradient from a random seed, and gradient of a random combination of the gradient."""
    random = np.random.default_rng(5)
    variables = [Var(a) for a in arrays]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    z, t = ours(*variables), theirs(*tensors)
    close(z.value, t.detach().numpy(), f"{name} value")
    close(z.value, ours(*arrays), f"{name}: the function runs unchanged on arrays")
    seed = random.uniform(0.5, 2, z.shape)
    vs = [random.uniform(0.5, 2, a.shape) for a in arrays]
    gs = gradient(z, variables, again=True, seed=seed)
    ts = torch.autograd.grad(t, tensors, torch.tensor(seed), create_graph=True)
    for k, (g, expected, array) in enumerate(zip(gs, ts, arrays, strict=True)):
        close(g.value, expected.detach().numpy(), f"{name}: ∂/∂argument {k}")
        assert np.array_equal(g.value, gradient(z, variables, seed=seed)[k]), "again=True must not change the numbers"
        assert g.value.shape == array.shape
    inner = sum(np.sum(g * v) for g, v in zip(gs, vs, strict=True))
    combined = sum((g * torch.tensor(v)).sum() for g, v in zip(ts, vs, strict=True))
    if combined.requires_grad:
        seconds = torch.autograd.grad(combined, tensors, allow_unused=True, materialize_grads=True)
    else:
        seconds = [torch.zeros_like(a) for a in tensors]
    for k, (g, expected) in enumerate(zip(gradient(inner, variables), seconds, strict=True)):
        close(g, expected.numpy(force=True), f"{name}: second derivative, argument {k}")


UNARY = {
    np.positive: torch.positive,
    np.negative: torch.neg,
    np.reciprocal: torch.reciprocal,
    np.square: torch.square,
    np.sqrt: torch.sqrt,
    np.exp: torch.exp,
    np.exp2: torch.exp2,
    np.expm1: torch.expm1,
    np.log: torch.log,
    np.log2: torch.log2,
    np.log10: torch.log10,
    np.log1p: torch.log1p,
    np.sinh: torch.sinh,
    np.cosh: torch.cosh,
    np.tanh: torch.tanh,
    np.sin: torch.sin,
    np.cos: torch.cos,
    np.tan: torch.tan,
    np.arctan: torch.arctan,
    special.erf: torch.erf,
    special.normal_cdf: torch.special.ndtr,
}
BINARY = {
    np.add: torch.add,
    np.subtract: torch.sub,
    np.multiply: torch.mul,
    np.divide: torch.div,
    np.power: torch.pow,
    np.maximum: torch.maximum,
    np.minimum: torch.minimum,
    np.logaddexp: torch.logaddexp,
}
DOMAIN = {np.reciprocal, np.sqrt, np.log, np.log2, np.log10, np.log1p, np.power}  # these see positive numbers only
ON_ARRAYS = {special.erf: erf, special.normal_cdf: normal_cdf}  # what a formula calls
ARRAY_FUNCTIONS = {  # name: ours, theirs, shapes
    "clip": (lambda x: np.clip(x, 0.7, 1.2), lambda x: torch.clamp(x, 0.7, 1.2), [(3, 4)]),
    "clip low": (lambda x: np.clip(x, 0.7, None), lambda x: torch.clamp(x, 0.7), [(3, 4)]),
    "clip high": (lambda x: np.clip(x, a_min=None, a_max=1.2), lambda x: torch.clamp(x, max=1.2), [(3, 4)]),
    "reshape": (lambda x: np.reshape(x, (2, -1)) ** 2, lambda x: x.reshape(2, -1) ** 2, [(3, 4)]),
    "ravel": (lambda x: np.ravel(x) * x.flatten(), lambda x: x.ravel() ** 2, [(3, 4)]),
    "expand_dims": (lambda x: np.expand_dims(x, -2) ** 2, lambda x: x.unsqueeze(-2) ** 2, [(3, 4)]),
    "squeeze": (lambda x: np.squeeze(x) ** 2, lambda x: x.squeeze() ** 2, [(3, 1, 2, 1)]),
    "squeeze axis": (lambda x: np.squeeze(x, -1) ** 2, lambda x: x.squeeze(-1) ** 2, [(3, 1, 2, 1)]),
    "sum": (lambda x: np.sum(x**2), lambda x: (x**2).sum(), [(3, 4)]),
    "sum axis": (lambda x: np.sum(x**2, axis=-2), lambda x: (x**2).sum(-2), [(2, 3, 4)]),
    "sum axes": (lambda x: (x**2).sum((0, -1), keepdims=True), lambda x: (x**2).sum((0, -1), True), [(2, 3, 4)]),
    "add.reduce": (lambda x: np.add.reduce(x**2), lambda x: (x**2).sum(0), [(2, 3)]),
    "mean": (lambda x: np.mean(x**2), lambda x: (x**2).mean(), [(3, 4)]),
    "mean axis": (lambda x: (x**2).mean(-1, keepdims=True), lambda x: (x**2).mean(-1, True), [(2, 3, 4)]),
    "var": (lambda x: np.var(x, axis=-1, keepdims=True), lambda x: x.var(-1, False, keepdim=True), [(2, 3, 4)]),
    "max": (lambda x: np.max(x**2, axis=-2), lambda x: torch.amax(x**2, -2), [(2, 3, 4)]),
    "amax": (lambda x: np.amax(x**2), lambda x: torch.amax(x**2), [(3, 4)]),
    "maximum.reduce": (
        lambda x: np.maximum.reduce(x**2, axis=-1, keepdims=True),
        lambda x: torch.amax(x**2, -1, True),
        [(3, 4)],
    ),
    "min": (lambda x: np.min(x**2, axis=(0, 2)), lambda x: torch.amin(x**2, (0, 2)), [(2, 3, 4)]),
    "transpose": (lambda x: np.transpose(x) ** 2, lambda x: x.permute(2, 1, 0) ** 2, [(2, 3, 4)]),
    "transpose axes": (lambda x: np.transpose(x, (1, -1, 0)) ** 2, lambda x: x.permute(1, 2, 0) ** 2, [(2, 3, 4)]),
    "T": (lambda x: x.T**2, lambda x: x.T**2, [(3, 4)]),
    "mT": (lambda x: x.mT**2, lambda x: x.mT**2, [(2, 3, 4)]),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1) ** 2, lambda x: x.swapaxes(0, -1) ** 2, [(2, 3, 4)]),
    "matrix_transpose": (lambda x: np.matrix_transpose(x) ** 2, lambda x: x.mT**2, [(2, 3, 4)]),
    "moveaxis": (lambda x: np.moveaxis(x, 0, 2) ** 2, lambda x: x.movedim(0, 2) ** 2, [(2, 3, 4)]),
    "where": (lambda x, y: np.where(x > y, x**2, x * y), lambda x, y: torch.where(x > y, x**2, x * y), [(3, 1), (4,)]),
    "where constant": (lambda x: np.where(x > 1, x**2, 0), lambda x: torch.where(x > 1, x**2, 0), [(3, 4)]),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 3, 4)) ** 2, lambda x: x.broadcast_to(2, 3, 4) ** 2, [(3, 1)]),
    "concatenate": (
        lambda x, y: np.concatenate([x, y**2, x], axis=-2),
        lambda x, y: torch.cat([x, y**2, x], -2),
        [(2, 3, 4), (2, 1, 4)],
    ),
    "stack": (lambda x, y: np.stack([x, y**2], axis=-1), lambda x, y: torch.stack([x, y**2], -1), [(3, 4), (3, 4)]),
    "take_along_axis": (
        lambda x: np.take_along_axis(x**2, np.array([[1, 1, 0, 2]]), axis=-2),
        lambda x: torch.take_along_dim(x**2, torch.tensor([[1, 1, 0, 2]]), -2),
        [(3, 4)],
    ),
    "matmul": (np.matmul, torch.matmul, [(2, 3), (3, 4)]),
    "clip names": (lambda x: np.clip(x, min=0.7, max=1.2), lambda x: torch.clamp(x, 0.7, 1.2), [(3, 4)]),
    "amin": (lambda x: np.amin(x**2, -1, keepdims=True), lambda x: torch.amin(x**2, -1, True), [(3, 4)]),
    "minimum.reduce": (lambda x: np.minimum.reduce(x**2), lambda x: torch.amin(x**2, 0), [(3, 4)]),
    "prod": (lambda x: np.prod(x), torch.prod, [(3, 3)]),
    "prod axis": (lambda x: np.prod(x, -2, keepdims=True), lambda x: torch.prod(x, -2, True), [(2, 5, 3)]),
    "prod axes": (lambda x: x.prod((0, -1)), lambda x: x.prod(2).prod(0), [(2, 3, 4)]),
    "prod of nothing": (lambda x: np.prod(x, 1), lambda x: torch.prod(x, 1), [(2, 0)]),
    "multiply.reduce": (np.multiply.reduce, lambda x: torch.prod(x, 0), [(3, 4)]),
    "cumsum": (lambda x: np.cumsum(x**2), lambda x: (x**2).ravel().cumsum(0), [(3, 4)]),
    "cumsum axis": (lambda x: (x**2).cumsum(-2), lambda x: (x**2).cumsum(-2), [(2, 3, 4)]),
    "add.accumulate": (lambda x: np.add.accumulate(x**2), lambda x: (x**2).cumsum(0), [(3, 4)]),
    "cumprod": (np.cumprod, lambda x: x.ravel().cumprod(0), [(3, 2)]),
    "cumprod axis": (lambda x: np.cumprod(x, axis=1), lambda x: x.cumprod(1), [(2, 4, 3)]),
    "cumprod of nothing": (lambda x: np.cumprod(x, 1), lambda x: x.cumprod(1), [(2, 0)]),
    "multiply.accumulate": (np.multiply.accumulate, lambda x: x.cumprod(0), [(3, 4)]),
    "var ddof": (lambda x: np.var(x, (0, -1), ddof=1), lambda x: x.var((0, -1)), [(2, 3, 4)]),
    "std": (np.std, lambda x: x.std(correction=0), [(3, 4)]),
    "std ddof": (lambda x: x.std(-1, ddof=1, keepdims=True), lambda x: x.std(-1, keepdim=True), [(2, 3, 4)]),
    "norm": (np.linalg.norm, torch.linalg.vector_norm, [(2, 3, 4)]),
    "norm axis": (lambda x: np.linalg.norm(x, axis=-1), lambda x: torch.linalg.vector_norm(x, dim=-1), [(3, 4)]),
    "norm keepdims": (
        lambda x: np.linalg.norm(x, None, (0, 2), True),
        lambda x: torch.linalg.vector_norm(x, 2, (0, 2), True),
        [(2, 3, 4)],
    ),
    "dot": (np.dot, torch.matmul, [(2, 3), (3, 4)]),
    "dot vectors": (lambda x, y: x.dot(y) ** 2, lambda x, y: torch.dot(x, y) ** 2, [(3,), (3,)]),
    "dot numbers": (np.dot, torch.mul, [(), (2, 3)]),
    "dot stacks": (np.dot, lambda x, y: torch.einsum("abc,dce->abde", x, y), [(2, 4, 3), (5, 3, 2)]),
    "inner": (np.inner, torch.inner, [(2, 3), (4, 3)]),
    "outer": (np.outer, lambda x, y: torch.outer(x.ravel(), y), [(2, 3), (4,)]),
    "multiply.outer": (np.multiply.outer, lambda x, y: torch.tensordot(x, y, 0), [(2, 3), (4, 2)]),
    "subtract.outer": (np.subtract.outer, lambda x, y: x[:, None] - y, [(3,), (4,)]),
    "tensordot": (np.tensordot, torch.tensordot, [(2, 3, 4), (3, 4, 5)]),
    "tensordot axes": (
        lambda x, y: np.tensordot(x, y, axes=([0, -1], [1, 0])),
        lambda x, y: torch.tensordot(x, y, dims=([0, 2], [1, 0])),
        [(2, 3, 4), (4, 2, 5)],
    ),
    "tensordot axis": (
        lambda x, y: np.tensordot(x, y, (1, 0)),
        lambda x, y: torch.tensordot(x, y, ([1], [0])),
        [(2, 3), (3, 4)],
    ),
    "einsum": (
        lambda x, y: np.einsum("bij,bjk->bik", x, y),
        lambda x, y: torch.einsum("bij,bjk->bik", x, y),
        [(2, 3, 4), (2, 4, 5)],
    ),
    "einsum implicit": (
        lambda x, y: np.einsum("ba, cb", x, y),
        lambda x, y: torch.einsum("ba, cb", x, y),
        [(3, 2), (4, 3)],
    ),
    "einsum one": (lambda x: np.einsum("abc->ca", x), lambda x: torch.einsum("abc->ca", x), [(2, 3, 4)]),
    "einsum three": (
        lambda x, y, z: np.einsum("ij,jk,kj->i", x, y, z),
        lambda x, y, z: torch.einsum("ij,jk,kj->i", x, y, z),
        [(2, 3), (3, 4), (4, 3)],
    ),
    "einsum repeated": (
        lambda x, y: np.einsum("ij,ij->", x, y),
        lambda x, y: torch.einsum("ij,ij->", x, y),
        [(1, 3), (2, 3)],
    ),
    "einsum lost": (lambda x, y: np.einsum("ij,k->k", x, y), lambda x, y: x.sum() * y, [(2, 3), (4,)]),
    "diagonal": (lambda x: np.diagonal(x, 1, -2, -1) ** 2, lambda x: torch.diagonal(x, 1, -2, -1) ** 2, [(2, 3, 4)]),
    "trace": (lambda x: np.trace(x**2), lambda x: torch.trace(x**2), [(3, 4)]),
    "trace offset": (lambda x: (x**2).trace(-1), lambda x: torch.diagonal(x**2, -1).sum(), [(3, 4)]),
    "vstack": (lambda x, y: np.vstack([x, y**2]), lambda x, y: torch.vstack([x, y**2]), [(3,), (2, 3)]),
    "hstack": (lambda x, y: np.hstack([x, y**2]), lambda x, y: torch.hstack([x, y**2]), [(2, 3), (2, 1)]),
    "hstack vectors": (lambda x, y: np.hstack([x, y**2]), lambda x, y: torch.hstack([x, y**2]), [(3,), (2,)]),
    "concatenate flat": (
        lambda x, y: np.concatenate([x, y**2], axis=None),
        lambda x, y: torch.cat([x.ravel(), y.ravel() ** 2]),
        [(2, 3), (2,)],
    ),
    "split": (
        lambda x: np.split(x, [1, 3], axis=-1)[1] * np.split(x, 2, axis=-1)[0],
        lambda x: x[:, 1:3] * x[:, :2],
        [(3, 4)],
    ),
    "flip": (lambda x: np.flip(x, -1) * x, lambda x: torch.flip(x, (-1,)) * x, [(3, 4)]),
    "flip all": (lambda x: np.flip(x) * x, lambda x: torch.flip(x, (0, 1)) * x, [(3, 4)]),
    "take": (
        lambda x: np.take(x, [1, 1, 0], axis=1) ** 2 + x.take([5, 0, 5]),
        lambda x: x[:, [1, 1, 0]] ** 2 + x.ravel()[[5, 0, 5]],
        [(3, 4)],
    ),
    "sum one": (lambda x: np.sum(x**2, (), keepdims=True), lambda x: x**2, [(3, 4)]),
    "mean axes": (lambda x: np.mean(x**2, (0, 2), keepdims=True), lambda x: (x**2).mean((0, 2), True), [(2, 3, 4)]),
    "square": (np.square, torch.square, [(3, 4)]),
}
SHAPES = [
    ((), (2, 3)),
    ((3,), (2, 3)),
    ((2, 1), (1, 3)),
    ((2, 1, 3), (4, 1)),
    ((1,), ()),
    ((2, 3), (2, 3)),
    ((2, 0), (1,)),
]


def test_every_supported_function_is_tested_here():
    """A rule without a witness; a row of the table that nobody can reach."""
    words = {name.split()[0] for name in ARRAY_FUNCTIONS}
    named = {getattr(np, word) for word in words if hasattr(np, word)} | {np.linalg.norm}
    assert set(UNARY) | set(BINARY) | {np.absolute} | named == set(FUNCTIONS)
    assert set(UNARY) | set(BINARY) | {np.absolute, np.clip} == set(derivatives.RULES)


@pytest.mark.parametrize("function", UNARY, ids=lambda f: f.__name__)
def test_unary(function):
    """Each line of the table, on both signs where it has both, against torch and against the complex step."""
    called = ON_ARRAYS.get(function, function)
    (x,) = drawn((3, 4)) if function in DOMAIN else signed((3, 4))
    check_twice(called, UNARY[function], [x], function.__name__)
    (found,) = gradient(np.sum(called(v := Var(x))), [v])
    close(found, complex_step(lambda x: called(x).sum((-2, -1)), x), "complex step")


def test_absolute():
    """|x|, the one unary function with a kink: slope sign x, and |x|·x has 2|x| and then 2 sign x."""
    (x,) = signed((3, 4))
    assert np.array_equal(gradient(np.sum(np.abs(v := Var(x))), [v])[0], np.sign(x))
    assert np.array_equal(gradient(np.sum(abs(v) * v), [v])[0], 2 * abs(x))
    assert np.array_equal(hessian(lambda x: np.sum(abs(x) * x), x).reshape(12, 12), np.diag(2 * np.sign(x.ravel())))


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_binary(function, shapes):
    """Each line of the table in every kind of broadcasting, both ways round, and beside a constant."""
    for first, second in (shapes, shapes[::-1]):
        x, y = drawn(first, second) if function in DOMAIN else signed(first, second)
        check_twice(function, BINARY[function], [x, y], function.__name__)
        check_twice(lambda a, y=y: function(a, y), lambda a, y=y: BINARY[function](a, torch.tensor(y)), [x], "x alone")
        check_twice(lambda a, x=x: function(x, a), lambda a, x=x: BINARY[function](torch.tensor(x), a), [y], "y alone")


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
def test_array_functions(name):
    """Axes from either end, several at once, with and without keepdims; arguments that appear twice."""
    ours, theirs, shapes = ARRAY_FUNCTIONS[name]
    check_twice(ours, theirs, drawn(*shapes), name)


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (6, 3, 4)),
        ((3,), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 4)),
        ((1, 2, 1), (4, 1, 3)),
        ((2, 0), (0, 3)),
    ],
    ids=str,
)
def test_matmul(shapes):
    """Stacks on one side, on both, of different depth; vectors; sums over nothing."""
    x, y = signed(*shapes)
    check_twice(lambda x, y: x @ y, torch.matmul, [x, y])
    check_twice(lambda a: a @ y, lambda a: a @ torch.tensor(y), [x])
    check_twice(lambda a: x @ a, lambda a: torch.tensor(x) @ a, [y])


@pytest.mark.parametrize(
    "key",
    [
        1,
        -1,
        slice(1, None, 2),
        (0, slice(None)),
        (..., None, 1),
        (slice(None), [2, 2, 0]),
        ([0, 1, 0], [3, 3, 3]),
        np.arange(12).reshape(3, 4) % 5 < 2,
    ],
    ids=str,
)
def test_indexing(key):
    """What is taken twice gets both shares; what is not taken gets 0."""
    as_torch = torch.tensor(key) if isinstance(key, np.ndarray) else key
    check_twice(lambda x: x[key] ** 3, lambda x: x[as_torch] ** 3, drawn((3, 4)))


OPERATORS = {
    "+": lambda x, y: (x + y) + (2 + x) + (y + 2.5),
    "-": lambda x, y: (x - y) * (2 - x) - (y - 2.5),
    "*": lambda x, y: (x * y) * (2 * x) * (y * 2.5),
    "/": lambda x, y: (x / y) + (2 / x) + (y / 2.5),
    "**": lambda x, y: x**y + 2**x + y**2.5 + x**0 + y**1,
    "unary": lambda x, y: -x * +y - (-y),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name):
    """Both orders, with numbers on either side."""
    check_twice(OPERATORS[name], OPERATORS[name], drawn((2, 3), (3,)), name)


def test_comparisons_and_roundings_are_plain_arrays():
    """Nothing flows back through them, and ``if``, masks and np.where can use them."""
    array = np.array([-1.5, 0.0, 2.0])
    x = Var(array)
    for function in (
        np.sign,
        np.floor,
        np.isfinite,
        np.argmax,
        np.zeros_like,
        lambda x: x > 0,
        lambda x: x >= 1,
        lambda x: x == x,
    ):
        assert type(function(x)) is type(function(array)) and np.array_equal(function(x), function(array))


def kink_of(ours, theirs, *arrays):
    variables, tensors = [Var(a) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = torch.autograd.grad(theirs(*tensors).sum(), tensors)
    for found, wanted in zip(gradient(np.sum(ours(*variables)), variables), expected, strict=True):
        assert np.array_equal(found, wanted.numpy())


POINTS = np.array([-1.0, -0.0, 0.0, 1.0, 2.0, 0.5])


def test_kinks_follow_torch():
    """relu's 0 at 0 from maximum and from where; ties of two variables and along an axis; |x| at 0; the ends of clip."""
    relu = torch.nn.functional.relu
    kink_of(lambda x: np.maximum(x, 0), relu, POINTS)
    kink_of(lambda x: np.maximum(0, x), relu, POINTS)
    kink_of(lambda x: np.maximum(np.zeros((2, 1)), x), lambda x: relu(x) * 2, POINTS)
    kink_of(lambda x: np.where(x > 0, x, 0), relu, POINTS)
    kink_of(lambda x: np.minimum(x, 0), lambda x: -relu(-x), POINTS)
    kink_of(lambda x: np.minimum(np.maximum(x, -1), 1), torch.nn.functional.hardtanh, POINTS)
    kink_of(lambda x: np.clip(x, -1, 1), lambda x: torch.clamp(x, -1, 1), POINTS)
    kink_of(np.abs, torch.abs, POINTS)
    others = np.array([-1.0, 0.0, 3.0, 1.0, -2.0, 0.5])
    kink_of(np.maximum, torch.maximum, POINTS, others)
    kink_of(np.minimum, torch.minimum, POINTS, others)
    ties = np.array([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    kink_of(lambda x: np.max(x, axis=-1), lambda x: torch.amax(x, -1), ties)
    kink_of(lambda x: np.min(x), lambda x: torch.amin(x), ties)


@pytest.mark.parametrize("power", [0, 1, 2, 3])
def test_powers_at_zero(power):
    """x⁰, x¹, x² have derivatives of every order at 0; p·x^(p−1) taken literally gives 0·∞."""
    x = Var(np.array([0.0, 2.0]))
    z, expected = x**power, np.polynomial.Polynomial.basis(power)
    for order in range(1, 4):
        (z,) = gradient(np.sum(z), [x], again=True)
        assert np.array_equal(z.value, expected.deriv(order)(x.value)), f"order {order}"
    (slope,) = gradient(np.sum(np.array([0.0, 3.0]) ** (p := Var(np.array([2.0, 2.0])))), [p])
    assert slope[0] == 0 and slope[1] == 9 * np.log(3)


@pytest.mark.parametrize(
    "row",
    [
        [3.0, 0.0, -2.0, 5.0],
        [0.0, 3.0, 0.0, -2.0],
        [0.0, 0.0, 0.0, 0.0],
        [-1.5, -2.0, 3.0, -0.5, 2.0],
        [0.0],
        [4.0, -0.0, 2.0],
    ],
    ids=str,
)
def test_products_of_zeros_and_negatives(row):
    """No zero, one, two or more, with signs: what exp Σ ln x or a division by x turns into NaN; second derivatives too."""
    for shape in ((-1,), (-1, 1), (1, -1)):
        x = np.reshape(row, shape)
        axis = int(np.argmax(x.shape))
        check_twice(lambda x, a=axis: np.prod(x, a), lambda x, a=axis: torch.prod(x, a), [x], "prod")
        check_twice(lambda x: np.prod(x), torch.prod, [x], "prod of all")
        check_twice(lambda x, a=axis: np.cumprod(x, a), lambda x, a=axis: torch.cumprod(x, a), [x], "cumprod")
    table = np.array([row, row[::-1]])
    both = hessian(lambda x: np.sum(np.prod(x, 1) * np.array([1.0, 3.0])), table)
    others = [
        [np.prod(np.delete(r, [i, j])) * (i != j) for i in range(len(row))] for r in table for j in range(len(row))
    ]
    found = np.concatenate([both[0, :, 0], 1 / 3 * both[1, :, 1]])
    close(found, np.array(others), "∂²prod/∂x_i∂x_j is the product of all but two")


def test_products_do_not_overflow_on_the_way():
    """The value is NumPy's, 1, and the slopes come without dividing by it."""
    x = Var([1e200, 1e-200, 1e200, 1e-200])
    close(gradient(np.prod(x), [x])[0] * x.value, np.ones(4))


NORMS = [None, 1, 2, 3, 0.5, 2.5, 4, np.inf, -np.inf, -1, 0]
ROWS = np.array([[3.0, -4.0, 0.0], [1.0, 1.0, -1.0], [-2.0, 2.0, 0.5]])


@pytest.mark.parametrize("order", NORMS, ids=str)
def test_vector_norms_follow_torch(order):
    """Signs, zeros among the entries, ties of the largest and the smallest; each over one axis, with and without keepdims."""
    theirs = 2 if order is None else order
    entries = ROWS if order not in (0.5, -1) else np.where(ROWS == 0, 1.5, ROWS)  # else an infinite slope
    for axis, keep in ((0, False), (-1, True)):
        kink_close(
            lambda x, axis=axis, keep=keep: np.linalg.norm(x, order, axis, keep),
            lambda x, axis=axis, keep=keep: torch.linalg.vector_norm(x, theirs, axis, keep),
            entries,
        )
    if order not in (0, np.inf, -np.inf):
        twice = signed((3, 4))
        check_twice(
            lambda x: np.linalg.norm(x, order, -1), lambda x: torch.linalg.vector_norm(x, theirs, -1), twice, str(order)
        )


@pytest.mark.parametrize("order", [None, "fro", 1, -1, np.inf, -np.inf], ids=str)
def test_matrix_norms_follow_torch(order):
    """The largest or smallest sum of sizes along a column or a row, in every pair of axes; all of it without axes."""
    stack, theirs = signed((2, 3, 4)), "fro" if order is None else order
    for axes in ((0, 1), (2, 1), (-1, 0)):
        check_twice(
            lambda x, a=axes: np.linalg.norm(x, order, a), lambda x, a=axes: torch.linalg.norm(x, theirs, a), stack
        )
    check_twice(
        lambda x: np.linalg.norm(x, order, keepdims=True),
        lambda x: torch.linalg.norm(x, theirs, (0, 1), True),
        signed((3, 4)),
    )


def kink_close(ours, theirs, *arrays):
    """As kink_of, but for rounding."""
    variables, tensors = [Var(a) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]
    z, t = ours(*variables), theirs(*tensors)
    close(plain(z), ours(*arrays), "value")
    expected = torch.autograd.grad(t.sum(), tensors, allow_unused=True, materialize_grads=True)
    for found, wanted in zip(gradient(np.sum(z), variables), expected, strict=True):
        close(found, wanted.numpy())


def test_norms_and_deviations_at_zero():
    """Slope 0 where a root is taken of 0, as in PyTorch, whose autograd of √Σx² gives NaN; beside rows that are not 0."""
    rows = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, -4.0]])
    for order in (None, 1, 2, 3, 2.5, np.inf):
        theirs = 2 if order is None else order
        kink_close(
            lambda x, order=order: np.linalg.norm(x, order, axis=1),
            lambda x, theirs=theirs: torch.linalg.vector_norm(x, theirs, 1),
            rows,
        )
    kink_close(np.linalg.norm, torch.linalg.norm, np.zeros(3))
    equal = np.array([[2.0, 2.0, 2.0], [1.0, -1.0, 3.0]])
    for ddof in (0, 1):
        kink_close(
            lambda x, ddof=ddof: np.std(x, -1, ddof=ddof), lambda x, ddof=ddof: x.std(-1, correction=ddof), equal
        )
    for function in (np.linalg.norm, np.std):
        assert not hessian(lambda x, function=function: function(x) ** 2 * 0 + function(x), np.zeros(3)).any()
    close(hessian(lambda x: np.linalg.norm(x) ** 2, np.array([1.0, 0.0])), 2 * np.eye(2))


MEMORY = {  # what a graph holds on to beside its Vars; each entry: the array that its owner changes, and the program
    "leaf": (np.array([1.0, 2.0]), lambda x, a: Var(a) * x),
    "factor": (np.array([1.0, 2.0]), lambda x, a: x * a),
    "view of it": (np.array([1.0, 2.0]), lambda x, a: x * a[::-1]),
    "power": (np.array([1.0, 2.0]), lambda x, a: x**a),
    "matrix": (np.array([[1.0, 2.0]]), lambda x, a: a @ x),
    "list": ([1.0, 2.0], lambda x, a: np.maximum(x, a) * (x / a) ** a),
    "indices": (np.array([0, 1]), lambda x, a: x[a] * x),
    "indices in a tuple": (np.array([0, 1]), lambda x, a: x[(a,)] * x),
    "list of indices": ([0, 1], lambda x, a: x[a] * x),
    "mask": (np.array([True, False]), lambda x, a: x[a]),
    "indices along": (np.array([0, 1]), lambda x, a: np.take_along_axis(x, a, 0) * x),
    "take": (np.array([0, 1]), lambda x, a: np.take(x, a) * x),
    "condition": (np.array([True, False]), lambda x, a: np.where(a, x, x * x)),
    "bounds": (np.array([0.5, 4.0]), lambda x, a: np.clip(x, a, 5)),
    "sum": (np.array([1.0, 2.0]), lambda x, a: np.einsum("i,i->", x, a) * np.dot(x, a)),
    "repeated": (np.array([1.0]), lambda x, a: x * np.broadcast_to(a, (2,))),
}


@pytest.mark.parametrize("name", MEMORY)
def test_a_graph_does_not_share_memory(name):
    """W -= .5 between the way there and the way back; the second derivative; the constant itself stays writable."""
    held, program = MEMORY[name]
    held = type(held)(held) if isinstance(held, list) else held.copy()
    x = Var(np.array([1.5, 3.0]))
    z = np.sum(program(x, held))
    (before,), (again,) = gradient(z, [x]), gradient(z, [x], again=True)
    second = gradient(np.sum(again), [x])[0]
    held[0], held[-1] = held[-1], held[0]
    assert np.array_equal(gradient(z, [x])[0], before)
    assert np.array_equal(gradient(np.sum(gradient(z, [x], again=True)[0]), [x])[0], second)
    assert np.array_equal(gradient(np.sum(again), [x])[0], second)


def test_leaves_and_seeds_are_copies():
    """What was handed in, changed by its owner; what is handed out, which nobody may change."""
    w, seed = np.array([1.0, 2.0]), np.array([1.0, 1.0])
    x = Var(w)
    (pulled,) = gradient(x * x * x, [x], again=True, seed=seed)
    w -= 0.5
    seed *= 7
    assert np.array_equal(gradient(np.sum(x * x), [x])[0], [2, 4])
    assert np.array_equal(gradient(np.sum(pulled), [x])[0], [6, 12])
    for change in (
        lambda: x.value.__isub__(1),
        lambda: np.reshape(x, (2, 1)).value.fill(0),
        lambda: (x * 1).value.fill(0),
    ):
        with pytest.raises(ValueError, match="read-only"):
            change()
    with pytest.raises(AttributeError):
        x.value = w


def test_in_place_operators_make_a_new_var():
    """total += x*x; the old one keeps its place in the graphs that it is part of."""
    x = Var(np.array([2.0, 3.0]))
    total = start = Var(np.zeros(2))
    total += x * x
    total -= x
    total *= x
    total /= 2
    total **= 2
    expected = np.array([2.0, 3.0])
    close(total.value, ((expected**2 - expected) * expected / 2) ** 2)
    a = expected
    close(gradient(np.sum(total), [x])[0], 2 * ((a**2 - a) * a / 2) * (3 * a**2 - 2 * a) / 2)
    assert not start.value.any() and total is not start
    product = Var(np.eye(2))
    product @= x
    assert np.array_equal(product.value, x.value)
    number = 0.0
    number += x  # a number has no memory to write into
    assert np.array_equal(number.value, x.value)


def test_arrays_cannot_take_a_var_in():
    """array += x would write into an array, which cannot remember: refused, and the array as it was."""
    x, array = Var(np.ones(2)), np.zeros(2)
    calls = {
        "+=": lambda: array.__iadd__(x),
        "**=": lambda: array.__ipow__(x),
        "out": lambda: np.multiply(array, x, out=array),
        "positional": lambda: np.multiply(array, 2 * x, array),
        "var": lambda: np.multiply(array, 2, out=x),
        "sum": lambda: np.sum(x, out=np.zeros(())),
    }
    for name, call in calls.items():
        with pytest.raises(InvalidInput, match=r"of a Var: .*'out'; .* write a = a \+ b$") as caught:
            call()
        assert "\n" not in str(caught.value), name
    for call in (lambda: array.__setitem__(slice(None), x), lambda: np.array([x[0], 1.0]), lambda: float(x[0])):
        with pytest.raises(InvalidInput, match=r"take .value"):
            call()
    with pytest.raises(ValueError) as caught:  # NumPy's own words; ours are the cause
        array[0] = x[0]
    assert isinstance(caught.value.__cause__, InvalidInput)
    with pytest.raises(InvalidInput, match=r"np.add.at of a Var has no rule"):
        np.add.at(array, 0, x[0])
    with pytest.raises(InvalidInput, match=r"a Var never changes"):
        x[0] = 1.0
    assert not array.any()


def test_vars_are_sequences_and_conditions():
    """Rows one by one, their number, sum() of them; a comparison of numbers, and a number alone, decide an ``if``."""
    x = Var(np.array([[1.0, 2.0], [3.0, 4.0]]))
    first, second = x
    close(gradient(np.sum(first * second), [x])[0], [[3, 4], [1, 2]])
    assert len(x) == 2 and np.array_equal(sum(x).value, [4, 6])
    assert not Var(0.0) and Var(2.0) and Var(2.0) > 1
    with pytest.raises(TypeError):
        list(Var(1.0))
    assert np.array_equal(x.transpose(1, 0).value, x.value.T) and np.array_equal(x.transpose().value, x.value.T)


def test_where_keeps_what_is_not_chosen_out():
    """An infinite slope on the side that is not taken must not become NaN in a share of 0·∞."""
    x = Var(np.array([0.25, 0.0]))
    (slope,) = gradient(np.sum(np.where(x > 0, 1, 2) * np.where(x.value > 0, x, 0)), [x])
    assert np.array_equal(slope, [1, 0])
    with np.errstate(divide="ignore"):
        (slope,) = gradient(np.sum(np.where([True, False], np.exp(x), np.where([True, False], 0, 1 / (x + 1)))), [x])
    close(slope, [np.exp(0.25), -1])


@pytest.mark.parametrize("function", [np.absolute, *UNARY, *BINARY], ids=lambda f: f.__name__)
def test_float32_stays(function):
    """A constant of a rule, or a mask, that turns float32 into float64 on the way, in the first or the second derivative."""
    called, arrays = ON_ARRAYS.get(function, function), [a.astype(np.float32) for a in drawn((2, 3), (3,))]
    xs = [Var(a) for a in arrays[: 2 if function in BINARY else 1]]
    z = called(*xs)
    slopes = gradient(np.sum(z), xs, again=True)
    seconds = gradient(sum(np.sum(g) for g in slopes), xs)
    assert z.dtype == np.float32 and {a.dtype for a in [*slopes, *seconds]} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
def test_float32_stays_in_array_functions(name):
    """A count, a power or a number of degrees of freedom that is a float64."""
    ours, _, shapes = ARRAY_FUNCTIONS[name]
    xs = [Var(a.astype(np.float32)) for a in drawn(*shapes)]
    slopes = gradient(np.sum(ours(*xs)), xs, again=True)
    seconds = gradient(sum(np.sum(g) for g in slopes), xs)
    assert {ours(*xs).dtype, *(a.dtype for a in [*slopes, *seconds])} == {np.dtype(np.float32)}


DIFFERENCED = {
    "prod": lambda x: np.prod(x, 1),
    "cumprod": lambda x: np.cumprod(x, 1),
    "cumsum": lambda x: np.cumsum(x, 0) ** 2,
    "std": lambda x: np.std(x, 1, ddof=1),
    "var": lambda x: np.var(x, (0, 1), ddof=1) ** 2,
    "norm": lambda x: np.linalg.norm(x, axis=1),
    "norm 3": lambda x: np.linalg.norm(x, 3, 1),
    "norm 2.5": lambda x: np.linalg.norm(x, 2.5, 1),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x) ** 2,
    "tensordot": lambda x: np.tensordot(x, x, ([0], [0])) ** 2,
}


@pytest.mark.parametrize("name", DIFFERENCED)
def test_second_derivatives_by_differences(name):
    """Zeros and negatives among the entries: what autodiff says of its own gradient, against differences of the gradient."""
    x, v = np.array([[1.5, 0.0, -2.0], [0.0, 0.0, 3.0]]), signed((2, 3))[0]

    def slope(x):
        return gradient(np.sum(np.sin(DIFFERENCED[name](variable := Var(x)))), [variable])[0]

    (second,) = hessian_vector(lambda x: np.sum(np.sin(DIFFERENCED[name](x))), [x], [v])
    h = (
        1e-5 if "norm" not in name else 1e-7
    )  # |x|^0.5 has an infinite slope at 0: its difference is off by some √h = 3e-4
    difference = (slope(x + h * v) - slope(x - h * v)) / (2 * h)
    assert np.max(abs(second - difference)) <= (1e-3 if name == "norm 2.5" else 1e-6) * np.max(abs(second))


def test_a_gradient_has_the_type_of_its_variable():
    """float32 parameters on float64 data: each gets its own type, through a second derivative too."""
    w, x = Var(np.float32([[1, 2], [3, 4]])), Var(np.array([[0.5], [0.25]]))
    z = np.sum(np.tanh(w @ x))
    slopes = gradient(z, [w, x], again=True)
    assert [z.dtype, *(g.dtype for g in slopes)] == [np.float64, np.float32, np.float64]
    assert [g.dtype for g in gradient(np.sum(slopes[0] * slopes[0]), [w, x])] == [np.float32, np.float64]


EXPRESSIONS = st.recursive(
    st.sampled_from(["x", "y", "c"]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["tanh", "sin", "exp", "square", "softplus", "sum", "mT"]), inner),
        st.tuples(st.sampled_from(["+", "-", "*", "/", "@", "max"]), inner, inner),
    ),
    max_leaves=12,
)


def evaluate(expression, lib, leaves):
    """The expression in NumPy's or torch's functions; exp and / are tamed so that nothing overflows."""
    if isinstance(expression, str):
        return leaves[expression]
    operator, *inner = expression
    a, *rest = (evaluate(e, lib, leaves) for e in inner)
    b = rest[0] if rest else None
    return {
        "tanh": lambda: lib.tanh(a),
        "sin": lambda: lib.sin(a),
        "exp": lambda: lib.exp(lib.sin(a)),
        "square": lambda: lib.square(lib.sin(a)),
        "softplus": lambda: lib.log1p(lib.exp(lib.tanh(a))),
        "sum": lambda: a.sum(-1)[..., None] / 3 + a,
        "mT": lambda: a.mT,
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: lib.tanh(a) * b,
        "/": lambda: a / (2 + lib.sin(b)),
        "@": lambda: lib.tanh(a) @ b,
        "max": lambda: lib.maximum(a, b),
    }[operator]()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(EXPRESSIONS)
def test_random_expressions(expression):
    """Any interplay of rules: shared parts, broadcasting inside products, second derivatives of all that."""
    x, y, c = signed((2, 3, 3), (3, 3), (3, 1), seed=3)
    check_twice(
        lambda x, y: evaluate(expression, np, {"x": x, "y": y, "c": np.broadcast_to(c, (3, 3))}) + 0 * x + 0 * y,
        lambda x, y: evaluate(expression, torch, {"x": x, "y": y, "c": torch.tensor(c).expand(3, 3)}) + 0 * x + 0 * y,
        [x, y],
        str(expression),
    )


def network(lib, x, w1, b1, w2):
    hidden = lib.tanh(w1 @ x + b1)
    z = w2 @ hidden
    return (lib.log(lib.exp(z).sum(-2)) - z[..., 1, :]).sum()


def test_hessian_vector_against_torch():
    """A network of one hidden layer, all parameters at once."""
    x, *parameters = signed((4, 5), (3, 4), (3, 1), (2, 3))
    vs = signed(*(a.shape for a in parameters), seed=9)
    found = hessian_vector(lambda *p: network(np, x, *p), parameters, vs)
    tensors = tuple(torch.tensor(a) for a in parameters)
    _, expected = torch.autograd.functional.hvp(
        lambda *p: network(torch, torch.tensor(x), *p), tensors, tuple(torch.tensor(v) for v in vs)
    )
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        close(a, b.numpy(), f"parameter {k}")


def test_hessian_against_torch_and_by_hand():
    """Shape (*x.shape, *x.shape), and every entry; of a straight line it is 0."""
    (x,) = signed((2, 3))
    found = hessian(lambda x: (np.exp(x[0] * x[1]).sum() + x**3).sum(), x)
    expected = torch.autograd.functional.hessian(
        lambda x: (torch.exp(x[0] * x[1]).sum() + x**3).sum(), torch.tensor(x)
    ).numpy()
    assert found.shape == (2, 3, 2, 3)
    close(found, expected)
    assert not hessian(lambda x: np.sum(3 * x), x).any()
    assert not hessian(lambda x: 7.0, x).any()


def test_third_and_fourth_derivative():
    """Differentiated again and again: x⁵ and tanh, whose derivatives sympy knows."""
    s = sympy.Symbol("s")
    for ours, theirs in ((lambda x: x**5, s**5), (np.tanh, sympy.tanh(s)), (erf, sympy.erf(s))):
        x = Var(0.6)
        z = ours(x)
        for order in range(1, 5):
            (z,) = gradient(z, [x], again=True)
            close(z.value, float(theirs.diff(s, order).subs(s, sympy.Float("0.6", 30))), f"{theirs} order {order}")


def test_deep_chain():
    """No recursion anywhere, in the pass or in what is thrown away after it: 5000 nodes, and a second pass over them."""
    x = Var(0.5)
    z = x
    for _ in range(5000):
        z = np.sin(z)
    (slope,) = gradient(z, [x], again=True)
    value, first, second = 0.5, 1.0, 0.0  # Taylor coefficients carried forward through each sine
    for _ in range(5000):
        value, first, second = (
            math.sin(value),
            math.cos(value) * first,
            math.cos(value) * second - math.sin(value) * first**2,
        )
    assert abs(z.value - value) <= 1e-12 * value  # 5000 roundings of 1.1e-16 each, in these and in the products below
    assert abs(slope.value - first) <= 1e-12 * abs(first)
    assert abs(gradient(slope, [x])[0] - second) <= 1e-12 * abs(second)


def test_shared_parts_are_visited_once():
    """x + x of x + x, 200 times: 2^200 paths, 201 nodes; and arguments before what was made of them."""
    x = Var(1.0)
    z = x
    for _ in range(200):
        z = z + z
    assert gradient(z, [x])[0] == 2.0**200
    assert len(autodiff.upstream(z)) == 201
    a = np.exp(x)
    b, c = a * 2, np.sin(a)
    z = b * c + a  # a diamond with a short cut
    order = [id(node) for node in autodiff.upstream(z)]
    assert len(order) == len(set(order)) == 6 and order[-1] == id(z)
    position = {node: k for k, node in enumerate(order)}
    for node in autodiff.upstream(z):
        assert all(position[id(v)] < position[id(node)] for v in node.arguments if isinstance(v, Var))
    e = np.exp(1.0)
    close(gradient(z, [x])[0], e * (2 * np.sin(e) + 2 * e * np.cos(e) + 1))
    close(gradient(z, [a])[0], 2 * np.sin(e) + 2 * e * np.cos(e) + 1, "a node in the middle")


def test_no_gradient_leaks():
    """Two calls give the same; results belong to the caller; seeds and inputs stay as they were."""
    array, seed = np.arange(6.0).reshape(2, 3) + 1, np.full((2, 3), 2.0)
    x = Var(array)
    z = x + 0
    first = gradient(z, [x], seed=seed)[0]
    first += 100
    assert np.array_equal(gradient(z, [x], seed=seed)[0], np.full((2, 3), 2.0))
    assert np.array_equal(gradient(z, [z], seed=seed)[0], seed)
    gradient(z, [z], seed=seed)[0][:] = 7
    gradient(np.sum(x), [x])[0][:] = 7  # a sum's share is one number seen many times: it must be writable all the same
    assert (seed == 2).all() and np.array_equal(array, np.arange(6.0).reshape(2, 3) + 1)
    y = Var(3.0)
    assert gradient(x.sum(), [y])[0] == 0, "z does not depend on y"
    assert gradient(4.0, [y])[0] == 0, "a constant depends on nothing"
    unrelated = gradient(x.sum(), [y], again=True)[0]
    assert isinstance(unrelated, Var) and unrelated.value == 0


def test_seed_can_be_differentiated():
    """⟨seed, Jv⟩ by two reverse passes: the pull-back is linear in its seed."""
    (a,), (v,) = signed((3,)), signed((3,), seed=4)
    x, seed = Var(a), Var(np.ones(3))
    (pulled,) = gradient(np.exp(x) * x[::-1], [x], again=True, seed=seed)
    close(gradient(np.sum(pulled * v), [seed])[0], np.exp(a) * a[::-1] * v + np.exp(a) * v[::-1])


X = Var(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: np.einsum("ii->", X[:, :2]), r"np.einsum\('ii->'\) of a Var: .* np.diagonal or np.trace"),
        (lambda: np.einsum("...i->i", X), r"np.einsum of a Var: expected subscripts of letters alone"),
        (lambda: np.einsum("i->i", X), r"np.einsum: 'i->i' does not fit operands of shapes \(2, 3\)"),
        (lambda: np.einsum("ij->ik", X), r"np.einsum: 'ij->ik' does not fit"),
        (lambda: np.vdot(X, X), r"np.vdot of a Var has no rule: use np.dot\(np.ravel"),
        (lambda: np.linalg.inv(X), r"np.linalg.inv of a Var has no rule: use absolute, add, .*where"),
        (lambda: np.linalg.norm(X, 2), r"norm\(ord=2\) of a Var over 2 axes has no rule: .*'fro'"),
        (lambda: np.linalg.norm(X, "nuc", 0), r"norm\(ord='nuc'\) of a Var over one axis: expected a number"),
        (lambda: np.tensordot(X, X, 1), r"np.tensordot: shapes \(2, 3\) and \(2, 3\) do not fit"),
        (lambda: np.add(X, X, where=np.ones((2, 3), bool)), r"np.add of a Var: .*'where'; use np.where"),
        (lambda: np.sum(X, where=np.ones((2, 3), bool)), r"np.sum of a Var: .*'where'; use np.where"),
        (lambda: np.add.at(X, 0, 1), r"np.add.at of a Var has no rule: .* multiply.reduce and every outer"),
        (lambda: np.cbrt(X), r"np.cbrt of a Var has no rule: use absolute, add, .*where"),
        (lambda: np.divide.reduce(X), r"np.divide.reduce of a Var"),
        (lambda: np.maximum.accumulate(X), r"np.maximum.accumulate of a Var has no rule: there are add.accumulate"),
        (lambda: np.exp(X, out=np.ones((2, 3))), r"np.exp of a Var: .*'out'"),
        (lambda: X.__ifloordiv__(2), r"np.floor_divide of a Var has no rule"),
        (lambda: np.reshape(X, (3, 2), order="F"), r"np.reshape of a Var: .*'order'"),
        (lambda: np.sum(X, dtype=np.float32), r"np.sum of a Var: .*'dtype'"),
        (lambda: np.clip(X, X, 2), r"np.clip: .*use np.minimum\(np.maximum"),
        (lambda: np.asarray(X), r"take .value"),
        (lambda: Var(np.ones(2) * 1j), r"Var: expected real numbers, got complex128"),
        (lambda: X * 1j, r"Var: expected real numbers, got complex128"),
        (lambda: Var("a"), r"Var: expected real numbers"),
        (lambda: gradient(X, [X]), r"z must be one number unless a seed .* got shape \(2, 3\)"),
        (lambda: gradient(X, [X], seed=np.ones(3)), r"seed must have z's shape \(2, 3\), got \(3,\)"),
        (lambda: gradient(X.sum(), X), r"xs must be a list of Vars"),
        (lambda: gradient(X.sum(), [np.ones(2)]), r"xs must be a list of Vars"),
    ],
)
def test_errors_name_the_place(call, message):
    """A function that would lose the gradient must say so, and what to use."""
    with pytest.raises(InvalidInput, match=message):
        call()


def test_vars_of_whole_numbers_and_shapes():
    """Integers become float64; shape, ndim, size and repr are the array's."""
    x = Var([[1, 2, 3]])
    assert x.dtype == np.float64 and (x.shape, x.ndim, x.size) == ((1, 3), 2, 3)
    assert repr(Var(2)) == "Var(array(2.))"
    assert (x.reshape(3, 1).shape, x.reshape((3,)).shape) == ((3, 1), (3,))


def test_notes_examples_against_sympy():
    """Every share on the tape, at the inputs and in between, is the derivative that sympy finds; and the notes' formulas."""
    for example, point in ((notes_example_one, [3]), (notes_example_two, [1, 2, 3]), (notes_example_two, [-2, 5, 7])):
        nodes = example(*map(Var, point))
        symbols = sympy.symbols([name for name in nodes if name[0] == "x"])
        values = dict(zip(symbols, point, strict=True))
        formulas = example(*symbols)
        for name, g in zip(nodes, gradient(nodes["z"], list(nodes.values())), strict=True):
            if name[0] == "x":
                assert float(g) == float(formulas["z"].diff(sympy.Symbol(name)).subs(values)), name
            assert float(nodes[name].value) == float(sympy.sympify(formulas[name]).subs(values)), name
    x = Var(3)
    nodes = notes_example_one(x)
    assert [float(g) for g in gradient(nodes["z"], [nodes["y"], x])] == [2, 4 * 3]
    x1, x2, x3 = 1, 2, 3
    nodes = notes_example_two(*map(Var, (x1, x2, x3)))
    y1, y2 = x1 + x2**2, x2 + x3**2
    found = gradient(nodes["z"], [nodes[name] for name in ("x1", "x2", "x3", "y1", "y2")])
    assert [float(g) for g in found] == [2 * y1, 4 * y1 * x2 + 2 * y2, 4 * y2 * x3, 2 * y1, 2 * y2]


TAPE = """\
node  made of  value  its derivatives           ∂z/∂node
x1    given    1                                10
x2    given    2                                62
v1    x2 ** 2  4      ∂v1/∂x2 = 4               10
y1    x1 + v1  5      ∂y1/∂x1 = 1, ∂y1/∂v1 = 1  10
v2    y1 ** 2  25     ∂v2/∂y1 = 10              1
x3    given    3                                132
v3    x3 ** 2  9      ∂v3/∂x3 = 6               22
y2    x2 + v3  11     ∂y2/∂x2 = 1, ∂y2/∂v3 = 1  22
v4    y2 ** 2  121    ∂v4/∂y2 = 22              1
z     v2 + v4  146    ∂z/∂v2 = 1, ∂z/∂v4 = 1    1"""


def test_tape_of_the_notes_example():
    """Checked by hand: y1 = 5, y2 = 11, ∇z = (2·5, 4·5·2 + 2·11, 4·11·3)."""
    nodes = notes_example_two(*map(Var, (1, 2, 3)))
    assert tape(nodes["z"], nodes) == TAPE


def test_tape_of_arrays():
    """Arrays, functions, an argument twice, products of matrices, sums, concatenation."""
    x, w = Var([[1.0], [2.0]]), Var([[1.0, 0.5]])
    h = np.maximum(w @ x, 0)
    z = np.sum(np.concatenate([x * x, h]))
    lines = tape(z, {"x": x, "w": w, "h": h, "z": z, "constant": 2}).splitlines()
    cells = {line.split("  ")[0]: [c.strip() for c in line.split("  ") if c.strip()] for line in lines}
    assert cells["x"] == ["x", "given", "[[1.], [2.]]", "[[3. ], [4.5]]"]
    assert cells["v1"] == ["v1", "x * x", "[[1.], [4.]]", "∂v1/∂x = [[1.], [2.]] + [[1.], [2.]]", "[[1.], [1.]]"]
    assert cells["v2"][:4] == ["v2", "w @ x", "[[2.]]", "∂v2/∂w = [[1., 2.]], ∂v2/∂x = [[1. ], [0.5]]"]
    assert cells["h"] == ["h", "maximum(v2, 0)", "[[2.]]", "∂h/∂v2 = [[1.]]", "[[1.]]"]
    assert cells["v3"][:2] == ["v3", "concatenate(v1, h)"] and "∂v3/∂v1 = 3×2 matrix" in cells["v3"][3]
    assert cells["v4"][:4] == ["v4", "sum(v3, (0, 1))", "[[7.]]", "∂v4/∂v3 = [[1.], [1.], [1.]]"]
    assert cells["z"] == ["z", "reshape(v4, ())", "7", "∂z/∂v4 = [[1.]]", "1"]


def test_command_line_prints_both_examples():
    """python -m scratch.tape, and the remark on the notes' dropped +1."""
    root = Path(autodiff.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "scratch.tape"], cwd=root, capture_output=True, encoding="utf-8", timeout=60, check=True
    )
    assert TAPE in done.stdout and "drops the +1" in done.stdout and "∂v1/∂y = 2" in done.stdout


# erf and Φ

mpmath.mp.dps = 40


def ulps(found, true):
    """|found − true| in units of the last place of the true value."""
    return max(
        float(abs(mpmath.mpf(float(a)) - b) / mpmath.mpf(float(np.spacing(abs(float(b))))))
        for a, b in zip(found, true, strict=True)
    )


def exact_cdf(x):
    return mpmath.erfc(-mpmath.mpf(float(x)) / mpmath.sqrt(2)) / 2


def test_erf_to_the_last_places():
    """1.1 ulp as promised; math.erf is good to 1, SciPy's to 2.5: so 2.1 and 3.6 from them."""
    random = np.random.default_rng(0)
    x = np.concatenate(
        [random.uniform(-6.5, 6.5, 800), random.uniform(-1.1, 1.1, 800), 10 ** random.uniform(-300, 0, 200)]
    )
    assert ulps(special.erf(x), [mpmath.erf(mpmath.mpf(float(a))) for a in x]) <= 1.1
    spacing = np.spacing(np.abs(special.erf(x)))
    assert np.max(abs(special.erf(x) - [math.erf(a) for a in x]) / spacing) <= 2.1
    assert np.max(abs(special.erf(x) - scipy.special.erf(x)) / spacing) <= 3.6


def test_normal_cdf_to_the_last_places():
    """4 ulp as promised, relative in the tail: scipy.special.ndtr loses three digits there. Next to 0 and at the join too."""
    random = np.random.default_rng(1)
    x = np.concatenate(
        [random.uniform(-37.5, 9, 1200), random.uniform(-1.5, 1.5, 500), [-37.5, -1e-9, -1e-300, 1e-300]]
    )
    assert ulps(special.normal_cdf(x), [exact_cdf(a) for a in x]) <= 4
    tail = random.uniform(-38.5, -37.5, 100)  # subnormal values: to the last place that there is, and one more
    assert max(abs(special.normal_cdf(tail) - [float(exact_cdf(a)) for a in tail])) <= 2 * 5e-324


def test_special_values():
    """±∞, NaN, signed zeros, subnormals, huge numbers, without a warning; scalars, empty arrays, whole numbers, block borders."""
    awkward = np.array([np.inf, -np.inf, np.nan, 1e300, -1e300])
    assert np.array_equal(special.erf(awkward), [1, -1, np.nan, 1, -1], equal_nan=True)
    assert np.array_equal(special.normal_cdf(awkward), [1, 0, np.nan, 1, 0], equal_nan=True)
    zeros = special.erf(np.array([0.0, -0.0]))
    assert np.array_equal(zeros, [0, 0]) and np.array_equal(np.signbit(zeros), [False, True])
    tiny = np.array([5e-324, -1e-310, 1e-308])
    assert np.array_equal(special.erf(tiny), [math.erf(a) for a in tiny])
    assert np.array_equal(special.normal_cdf(np.array([0.0, -0.0, 5e-324, -5e-324])), np.full(4, 0.5))
    assert special.erf(np.float64(0.5)).shape == () and special.erf(np.zeros((0, 3))).shape == (0, 3)
    assert special.erf(np.arange(3)).dtype == np.float64
    x = np.random.default_rng(2).standard_normal((2, special.BLOCK + 3))[:, ::2]  # not contiguous, more than a block
    for function in (special.erf, special.normal_cdf):
        assert np.array_equal(function(x), [[*function(row[:50]), *function(row[50:])] for row in x])


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_single_precision(dtype):
    """The type stays, and the value is the double one rounded."""
    x = np.linspace(-14, 6, 999).astype(dtype)
    for function in (special.erf, special.normal_cdf):
        wide = function(x.astype(np.result_type(dtype, np.float64)))
        assert function(x).dtype == dtype and np.array_equal(function(x), wide.astype(dtype))


def test_complex_step_of_special_functions():
    """Im f(x + ih)/h is the density, to some roundings of the largest of its terms, at the joins as well."""
    x = np.concatenate([np.linspace(-8, 8, 321), [-1.0, 1.0, 0.0]])
    found = special.erf(x + 1e-30j).imag / 1e-30
    expected = 2 / np.sqrt(np.pi) * np.exp(-x * x)
    assert np.all(abs(found - expected)[abs(x) < 5.9] <= (4e-15 * (1 + x * x) * expected)[abs(x) < 5.9])
    assert np.all(found[abs(x) > 6] == 0), "beyond 6 the value is the constant 1: the slope, below 3e-16, is 0"
    x = np.linspace(-33, 8, 901)  # further out, 1e-30 times the density leaves the range of float64
    found = special.normal_cdf(x + 1e-30j).imag / 1e-30
    # e^{−x²/2} by NumPy has the relative error u·x²/2; here it has not
    expected = np.array([float(mpmath.npdf(mpmath.mpf(float(a)))) for a in x])
    assert np.max(abs(found / expected - 1)) <= 2e-15
    assert compare(special.erf(x + 0j).real, special.erf(x)) <= 4e-16


def test_coefficients_are_the_fits_they_claim_to_be():
    """Both tables again from mpmath; rounding to double is all that may differ."""

    def core(u):
        return mpmath.erf(mpmath.sqrt(u)) / mpmath.sqrt(u) - 1 if u else 2 / mpmath.sqrt(mpmath.pi) - 1

    def tail(t):
        x = 4 * (1 + t) / (1 - t) if t < 1 else mpmath.inf
        if x > 60:  # Mills' ratio: its asymptotic series; terms fall below 1e-40
            series = (
                mpmath.fsum((-1) ** n * mpmath.fac2(2 * n - 1) / x ** (2 * n) for n in range(30))
                if x < mpmath.inf
                else 1
            )
            return (1 + 1 / x) * series / mpmath.sqrt(2 * mpmath.pi)
        return (1 + x) * mpmath.exp(x * x / 2) * mpmath.erfc(x / mpmath.sqrt(2)) / 2

    for function, interval, table in ((core, [0, 1], special.CORE), (tail, [-1, 1], special.TAIL)):
        fitted, error = mpmath.chebyfit(function, interval, len(table), error=True)
        assert error < 2e-17
        assert np.allclose(table, [float(c) for c in fitted], rtol=1e-12, atol=1e-20)
    assert sum(map(abs, special.TAIL)) < 0.7
