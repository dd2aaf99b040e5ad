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
from scratch.autodiff import FUNCTIONS, Var, erf, gradient, hessian, hessian_vector, normal_cdf
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
        close(g, expected.numpy(), f"{name}: second derivative, argument {k}")


UNARY = {
    np.positive: torch.positive,
    np.negative: torch.neg,
    np.reciprocal: torch.reciprocal,
    np.square: torch.square,
    np.sqrt: torch.sqrt,
    np.exp: torch.exp,
    np.expm1: torch.expm1,
    np.log: torch.log,
    np.log1p: torch.log1p,
    np.sinh: torch.sinh,
    np.cosh: torch.cosh,
    np.tanh: torch.tanh,
    np.sin: torch.sin,
    np.cos: torch.cos,
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
DOMAIN = {np.reciprocal, np.sqrt, np.log, np.log1p, np.power}  # these see positive numbers only
ON_ARRAYS = {special.erf: erf, special.normal_cdf: normal_cdf}  # what a formula calls
ARRAY_FUNCTIONS = {  # name: ours, theirs, shapes
    "clip": (lambda x: np.clip(x, 0.7, 1.2), lambda x: torch.clamp(x, 0.7, 1.2), [(3, 4)]),
    "clip low": (lambda x: np.clip(x, 0.7, None), lambda x: torch.clamp(x, 0.7), [(3, 4)]),
    "clip high": (lambda x: np.clip(x, a_min=None, a_max=1.2), lambda x: torch.clamp(x, max=1.2), [(3, 4)]),
    "reshape": (lambda x: np.reshape(x, (2, -1)) ** 2, lambda x: x.reshape(2, -1) ** 2, [(3, 4)]),
    "ravel": (lambda x: np.ravel(x) ** 2, lambda x: x.ravel() ** 2, [(3, 4)]),
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
    named = {getattr(np, name.split()[0]) for name in ARRAY_FUNCTIONS if hasattr(np, name.split()[0])}
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
        (lambda: np.einsum("ij->", X), r"np.einsum of a Var has no rule: use np.matmul, np.sum and np.transpose"),
        (lambda: np.cbrt(X), r"np.cbrt of a Var has no rule: use absolute, add, .*where"),
        (lambda: np.multiply.reduce(X), r"np.multiply.reduce of a Var"),
        (lambda: np.exp(X, out=np.ones((2, 3))), r"np.exp of a Var: .*'out'"),
        (lambda: X.__iadd__(1), r"np.add of a Var: .*'out'"),
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
    """python -m scratch.autodiff, and the remark on the notes' dropped +1."""
    root = Path(autodiff.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "scratch.autodiff"],
        cwd=root,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
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
