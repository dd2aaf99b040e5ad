"""The witnesses themselves: on gradients known in closed form, on planted errors, at kinks, on stacks of networks."""

from __future__ import annotations

import numpy as np
import pytest

from scratch import BatchNorm, CrossEntropy, Dense, Job, Tanh, gradcheck, training
from scratch.autodiff import Var, gradient
from scratch.contract import Batch
from scratch.errors import InvalidInput
from scratch.gradcheck import central_difference, compare, complex_step, kinks, rounding, taylor_slope

SHAPES = [(3, 2), (4, 3, 2), (2, 4, 3, 2), (1, 5), (5, 1)]  # stacks of 0, 1 and 2 axes


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def weights(shape):
    """A weight for every coordinate, and for every network a factor of its own: no two entries of the gradient are alike."""
    return drawn(shape[-2:], 1) * (1 + np.arange(np.prod(shape[:-2])).reshape(*shape[:-2], 1, 1))


def smooth(w):
    return lambda x: (w * np.exp(np.sin(x))).sum((-2, -1))


def smooth_gradient(w, x):
    return w * np.exp(np.sin(x)) * np.cos(x)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("entries", [1, 37, gradcheck.ENTRIES])
def test_complex_step_and_central_difference(monkeypatch, shape, entries):
    """Every coordinate in its place, whatever the stack and however the points are cut into chunks."""
    monkeypatch.setattr(gradcheck, "ENTRIES", entries)
    x, w = drawn(shape), weights(shape)
    expected = smooth_gradient(w, x)
    found = complex_step(smooth(w), x)
    assert found.dtype == np.float64 and np.max(abs(found - expected)) <= 4e-16 * 4 * np.max(
        abs(expected)
    )  # 3 functions
    # ∛ε² = 4e-11 from h², and rounding u·Σ|terms|/h: about 1e-10 for the sums of some ten terms here
    assert compare(central_difference(smooth(w), x), expected) <= 1e-9
    assert np.array_equal(x, drawn(shape)), "x itself is never moved"


def test_networks_of_a_stack_do_not_mix():
    """One network's gradient a million times another's: each is right by its own size."""
    x, w = drawn((3, 2, 2)), drawn((2, 2), 1) * np.array([1, 1e6, 1e-6])[:, None, None]
    expected = smooth_gradient(w, x)
    for found, bound in ((complex_step(smooth(w), x), 2e-15), (central_difference(smooth(w), x), 1e-9)):
        assert all(compare(a, b) <= bound for a, b in zip(found, expected, strict=True))


def test_points_are_few_at_a_time(monkeypatch):
    """Memory: no call sees more than ENTRIES numbers, every call at least one point, together one for each coordinate."""
    monkeypatch.setattr(gradcheck, "ENTRIES", 100)
    seen = []

    def function(x):
        seen.append(x.shape)
        return (x**2).sum((-2, -1))

    complex_step(function, drawn((3, 5, 4)))
    assert [shape[1:] for shape in seen] == [(3, 5, 4)] * len(seen)
    assert [shape[0] for shape in seen[:20]] == [1] * 20 and max(shape[0] for shape in seen) == 1
    seen.clear()
    complex_step(function, drawn((5, 4)))
    assert [shape[0] for shape in seen[:4]] == [5, 5, 5, 5] and max(shape[0] for shape in seen) == 5


def test_vectors_and_numbers():
    """x with one axis or none; ``axes=1``: a stack of vectors θ (…, P)."""
    theta = drawn((3, 4))
    for witness, bound in ((complex_step, 1e-15), (central_difference, 1e-9)):
        assert compare(witness(lambda x: (x**3).sum(-1), theta[0]), 3 * theta[0] ** 2) <= bound
        assert compare(witness(lambda x: (x**3).sum(-1), theta, axes=1), 3 * theta**2, axes=1) <= bound
        assert compare(witness(lambda x: x**3, np.array(2.0)), np.array(12.0)) <= bound
    assert taylor_slope(lambda x: (x**3).sum(-1), theta, 3 * theta**2, np.ones((3, 4)), axes=1).shape == (3,)


def test_float32_points_are_witnessed_in_double():
    """A witness is no use at 1e-3: float32 is widened."""
    x = drawn((2, 3)).astype(np.float32)
    exact = smooth_gradient(np.ones((2, 3)), x.astype(float))
    assert compare(complex_step(smooth(np.ones((2, 3))), x), exact) <= 1e-15
    assert compare(central_difference(smooth(np.ones((2, 3))), x), exact) <= 1e-9


def test_complex_step_has_no_cancellation():
    """Squire & Trapp's own example: f(x) = e^x/(cos³x + sin³x) at π/4, where f′ has a closed form."""
    x = np.array([[np.pi / 4]])

    def function(x):
        return (np.exp(x) / (np.cos(x) ** 3 + np.sin(x) ** 3)).sum((-2, -1))

    # at π/4 cos = sin: the denominator √½ has slope 3·sin·cos·(sin − cos) = 0, so f′ = f = √2·e^{π/4}
    exact = np.sqrt(2) * np.exp(np.pi / 4)
    assert abs(complex_step(function, x)[0, 0] - exact) <= 1e-15 * 4 * exact
    assert abs(central_difference(function, x)[0, 0] - exact) <= 1e-9
    assert abs(central_difference(function, x, step=1e-13)[0, 0] - exact) >= 1e-5, "which a difference cannot"
    assert abs(central_difference(function, x, step=0.1)[0, 0] - exact) >= 1e-3, "nor with a long step"


def test_central_difference_error_is_quadratic():
    """h²f‴/6: of x³ it is h² itself."""
    x = np.array([[2.0]])
    for h in (0.5, 0.25, 0.125):  # dyadic numbers: no rounding at all
        assert central_difference(lambda x: (x**3).sum((-2, -1)), x, step=h)[0, 0] == 12 + h * h


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_taylor_slopes(shape):
    """2 for the right gradient, 1 for one that is wrong in a single entry, network by network."""
    x, w, d = drawn(shape), weights(shape), drawn(shape, 2)
    right = smooth_gradient(w, x)
    slope = taylor_slope(smooth(w), x, right, d)
    assert slope.shape == shape[:-2] and np.all(abs(slope - 2) < 0.02)  # the h³ term: some h = 1e-3 beside h²
    wrong = right.copy()
    wrong[..., -1, -1] *= 1.01
    assert np.all(abs(taylor_slope(smooth(w), x, wrong, d) - 1) < 0.02)
    assert np.all(abs(taylor_slope(smooth(w), x, -right, d) - 1) < 0.02)
    assert np.all(abs(taylor_slope(smooth(w), x, right * (1 + 1e-4), d) - 1) < 0.2), "a small error"


def test_taylor_slope_tells_networks_apart():
    """One network's gradient planted wrong in a stack of three."""
    x, w, d = drawn((3, 2, 2)), weights((3, 2, 2)), drawn((3, 2, 2), 2)
    g = smooth_gradient(w, x)
    g[1] *= 0.9
    assert np.array_equal(np.round(taylor_slope(smooth(w), x, g, d)), [2, 1, 2])


def test_taylor_slope_of_special_functions():
    """Straight: nothing but rounding, inf; a wrong gradient of it still 1. Cubic without a second derivative: 3. Not finite: NaN."""
    x, w, d = drawn((2, 3)), drawn((2, 3), 1), drawn((2, 3), 2)

    def straight(x):
        return (w * x).sum((-2, -1))

    assert taylor_slope(straight, x, w, d) == np.inf
    assert abs(taylor_slope(straight, x, w + 0.01, d) - 1) < 0.01
    zero = np.zeros((2, 3))
    assert abs(taylor_slope(lambda x: (x**3).sum((-2, -1)), zero, zero, d) - 3) < 0.01
    assert np.isnan(taylor_slope(lambda x: (x * np.nan).sum((-2, -1)), x, w, d))
    # a kink that the first steps cross: the remainder falls to rounding at once, the gradient on this side is right
    relu = np.array([[1e-2, 2.0]])
    assert (
        taylor_slope(lambda x: np.where(x > 0, x, 0).sum((-2, -1)), relu, np.ones((1, 2)), -np.ones((1, 2))) == np.inf
    )


def test_kinks_are_found_where_they_are():
    """|x| at 0, also beside smooth terms a thousand times larger; LeakyReLU's; two of them; nothing at smooth points."""
    x = drawn((2, 3, 4))
    x[0, 1, 2] = x[1, 0, 0] = 0
    expected = [(0, 1, 2), (1, 0, 0)]

    def absolute(x):
        return abs(x).sum((-2, -1))

    def leaky(x):
        return np.where(x > 0, x, 0.99 * x).sum((-2, -1)) + np.exp(x[..., 0, :]).sum(-1) + 1000

    assert kinks(absolute, x) == expected
    assert kinks(leaky, x) == expected
    assert kinks(lambda x: absolute(x) + 1000 * (x**2).sum((-2, -1)), x) == expected
    assert kinks(smooth(np.ones((3, 4))), x) == []
    assert kinks(lambda x: (x**3 + 1e6 * x**2).sum((-2, -1)), x) == []
    assert kinks(lambda x: np.zeros(x.shape[:-2]), x) == []
    assert all(type(k) is int for index in kinks(absolute, x) for k in index)


@pytest.mark.parametrize("share", [0, 0.1, 1 / 3, 0.5, 0.9, -0.4, -0.9])
def test_kinks_near_by(share):
    """Any kink within the step is found, on either side, at h/3 as well; one at ten steps is not."""
    x = np.array([[0.5, share * 1e-3]])

    def absolute(x):
        return abs(x).sum((-2, -1))

    assert kinks(absolute, x, step=1e-3) == [(0, 1)]
    assert kinks(absolute, x, step=1e-5) == ([] if share else [(0, 1)])


def test_kink_of_a_network():
    """A hidden unit that is exactly 0: every weight into it has a kink, no other; ∂/∂x is two-sided too."""
    w1, w2 = np.array([[1.0, -1.0], [0.5, 2.0], [1.0, 1.0]]), np.array([[1.0, -2.0, 3.0]])
    x = np.array([[1.0], [1.0]])  # the first unit: 1 − 1 = 0

    def loss(w):
        return np.tanh(w2 @ np.maximum(w @ x, 0)).sum((-2, -1))

    assert kinks(loss, w1) == [(0, 0), (0, 1)]
    v = Var(w1)
    (g,) = gradient(loss(v), [v])
    smooth_part = np.array([[0, 0], [1, 1], [1, 1]], bool)
    assert np.allclose(central_difference(loss, w1)[smooth_part], g[smooth_part], rtol=1e-8, atol=0)
    assert not np.allclose(central_difference(loss, w1)[~smooth_part], g[~smooth_part], rtol=1e-2)


def test_compare():
    """Norm-wise by hand: ‖(3,4) − (3,0)‖/5; the worst network counts; 0 beside 0 is 0; NaN is never small."""
    a, b = np.array([[3.0, 4.0]]), np.array([[3.0, 0.0]])
    assert compare(a, b) == compare(b, a) == 0.8
    assert compare(np.stack([1e6 * a, a]), np.stack([1e6 * a, b])) == 0.8
    assert compare(a * 0, b * 0) == 0 and compare(a * 0, a) == 1
    assert np.isnan(compare(a, a * np.nan))
    assert compare(np.zeros((0, 1, 2)), np.zeros((0, 1, 2))) == 0


def test_errors():
    """A lost imaginary part gives zeros that look like a gradient; a sum over the stack mixes networks."""
    x = drawn((2, 3, 4))
    with pytest.raises(InvalidInput, match=r"complex_step: the function must give complex numbers .* got float64"):
        complex_step(lambda x: np.abs(x).sum((-2, -1)), x)
    for witness in (complex_step, central_difference, kinks):
        with pytest.raises(InvalidInput, match=r"values of shape \(12, 2\) at points \(12, 2, 3, 4\), got \(12,\)"):
            witness(lambda x: x.sum((-3, -2, -1)), x)
    with pytest.raises(InvalidInput, match=r"of shape \(30, 2\) .* got \(\)"):
        taylor_slope(lambda x: x.sum(), x, x, x)
    with pytest.raises(InvalidInput, match=r"one shape, got \(2, 3, 4\) and \(3, 4\)"):
        compare(x, x[0])


NOT_ANALYTIC = {
    "x² + |x|": lambda x: x**2 + np.abs(x),
    "x² + a little |x|": lambda x: x**2 + 1e-4 * np.abs(x),
    "|x|·x": lambda x: np.abs(x) * x,
    "x·x̄": lambda x: x * np.conj(x),
    "√(x·x̄) + 0j": lambda x: np.sqrt(x * np.conj(x)) + 0j,
    "real part": lambda x: np.sin(x) + (x.real) ** 2,
    "largest of |x|": lambda x: np.maximum(np.abs(x), 1e-4) * np.exp(x),
    "linalg.norm": lambda x: np.sqrt(np.abs(x) ** 2 + 1) + 0 * x,
    "sign by division": lambda x: x * x / np.abs(x) + x**3,
}


@pytest.mark.parametrize("name", NOT_ANALYTIC)
@pytest.mark.parametrize("size", [1e-3, 1.0, 10.0])
def test_complex_step_refuses_what_is_not_analytic(name, size):
    """[2, −4] for [3, −5]: every one of these gave a number that is not the slope."""
    function, x = NOT_ANALYTIC[name], size * np.array([1.0, -2.0, 0.7])
    with pytest.raises(
        InvalidInput, match=r"^complex_step: the function is not analytic at \(0,\): the step gives .*\.real"
    ):
        complex_step(lambda points: function(points).sum(-1), x, axes=1)


def test_complex_step_refuses_one_coordinate_in_one_network():
    """|x| of a single coordinate of a single network; the message names it."""
    x, only = drawn((3, 2, 4)), np.zeros((3, 2, 4))
    only[1, 0, 2] = 1e-3
    with pytest.raises(InvalidInput, match=r"not analytic at \(1, 0, 2\)"):
        complex_step(lambda p: (np.exp(np.sin(p)) + only * np.abs(p)).sum((-2, -1)), x)


@pytest.mark.parametrize(
    "function, slope, x",
    [
        (lambda x: np.sin(x), lambda x: np.cos(x), [1e8, -3e5, 2.0]),
        (lambda x: np.exp(300 * x), lambda x: 300 * np.exp(300 * x), [0.01, -0.02, 0.1]),
        (lambda x: np.log(x), lambda x: 1 / x, [1e-9, 1e-3, 1e9]),
        (lambda x: np.sqrt(x), lambda x: 0.5 / np.sqrt(x), [1e-12, 1.0, 4.0]),
        (lambda x: np.where(x.real > 0, x, 0), lambda x: np.where(x > 0, 1, 0), [0.0, -1.0, 3.0]),
        (lambda x: np.maximum(x, 0) ** 2, lambda x: np.maximum(2 * x, 0), [1e-9, -1e-9, 3.0]),
        (lambda x: np.where(x > 1, x**3, x), lambda x: np.where(x > 1, 3 * x**2, 1), [0.5, 1.5, -2.0]),
        (lambda x: np.log1p(np.exp(-x)), lambda x: -1 / (1 + np.exp(x)), [30.0, 36.0, -5.0]),
        (lambda x: 1e6 + 1e-3 * np.tanh(x), lambda x: 1e-3 / np.cosh(x) ** 2, [0.1, 5.0, -0.3]),
        (lambda x: np.tanh(1e4 * (x - 0.5)), lambda x: 1e4 / np.cosh(1e4 * (x - 0.5)) ** 2, [0.50001, 0.4999, 0.5]),
        (lambda x: 0 * x + 7, lambda x: 0 * x, [1.0, 2.0, 3.0]),
    ],
)
def test_complex_step_lets_the_analytic_pass(function, slope, x):
    """Where a difference is bad and the step right: x huge, sharp, next to a pole, at a kink, branches, cancellation, confident nets."""
    x = np.array(x)
    for one in x:  # alone, so that no other coordinate's size hides it
        found = complex_step(lambda p: function(p).sum(-1), np.array([one]), axes=1)
        np.testing.assert_allclose(found, slope(np.array([one])), rtol=1e-13)
    np.testing.assert_allclose(complex_step(lambda p: function(p).sum(-1), x, axes=1), slope(x), rtol=1e-13)


def test_complex_step_at_the_border_of_a_domain():
    """f refuses x + h: nothing to compare with, and the step itself never leaves the domain."""

    def probability(p):
        if (p.real > 1).any():
            raise InvalidInput("not a probability")
        return (p**2).sum(-1)

    assert np.array_equal(complex_step(probability, np.array([1.0, 0.5]), axes=1), [2, 1])


@pytest.mark.parametrize("x", [[1, 2, -3], np.array([1, 2, -3]), np.array([1, 2, 3], np.uint8), np.float32([1, 2, 3])])
def test_whole_numbers_and_lists_are_points(x):
    for witness, bound in ((complex_step, 1e-15), (central_difference, 1e-9)):
        assert compare(witness(lambda p: (p**3).sum(-1), x, axes=1), 3.0 * np.asarray(x, float) ** 2) <= bound


def single(function):
    """As it is where a weight, or a cast, is float32 or complex64."""

    def inside(x):
        return function(x.astype(np.complex64 if x.dtype.kind == "c" else np.float32))

    return inside


SUM = np.array([0.3, -1.7, 2.2])
COARSE = {
    "float32 comes back": single(lambda x: np.exp(np.sin(x)).sum(-1)),
    "float64 comes back": lambda x: single(lambda y: np.exp(np.sin(y)).sum(-1))(x) * np.float64(1),
    "in the midst": lambda x: np.exp(single(np.sin)(x * SUM) + 0 * x).sum(-1),
    "one of many": lambda x: (x**2).sum(-1) + single(np.sin)(x[..., 0]),
    "beside a large number": lambda x: 1000 + single(lambda y: np.sin(y).sum(-1))(x) * np.float64(1),
}


@pytest.mark.parametrize("name", COARSE)
def test_single_precision_inside_is_noticed(name):
    """float32 within a central difference is 2 % off, within a complex step 1e-7: neither without a word."""
    x = np.array([0.4, -1.1, 2.5])
    for witness in (central_difference, kinks, lambda f, x, axes: taylor_slope(f, x, np.cos(x), x, axes=axes)):
        with pytest.raises(
            InvalidInput, match=r"must have float64's digits, but its values are noise from .*e-.* something inside"
        ):
            witness(COARSE[name], x, axes=1)
    with pytest.raises(
        InvalidInput, match=r"^complex_step: the function must .*(got complex64|is coarser, as float32 is)$"
    ):
        complex_step(COARSE[name], x, axes=1)
    central_difference(COARSE[name], x, 1e-2, axes=1)  # the caller has chosen a step


def test_half_precision_inside_is_noticed():
    """float16 does not feel the step at all: it gave 0."""
    with pytest.raises(InvalidInput, match=r"^central_difference: the function must have float64's digits"):
        central_difference(lambda x: np.sin(x.astype(np.float16)).astype(float).sum(-1), drawn((3,)), axes=1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.maximum(x, 0).sum(-1),
        lambda x: np.abs(x).sum(-1) + 1e3,
        lambda x: (np.tanh(x @ np.ones((3, 500)) * 1e-2) ** 2).sum(-1),
        lambda x: np.exp(50 * np.sin(20 * x)).sum(-1),
        lambda x: (x * 0).sum(-1) + 0.1,
        lambda x: ((x - 0.5).sum(-1) ** 2) * 1e-30,
        lambda x: np.round(x * 4).sum(-1),
        lambda x: np.log(np.exp(x).sum(-1)),
    ],
)
def test_float64_is_not_suspected(function):
    """Kinks at the point, sums, sharp and flat functions, the exact minimum of a square."""
    for x in (np.zeros(3), np.array([0.5, 0.5, 0.5]), drawn((3,)), 1e3 * np.ones(3) / 7e3):
        central_difference(function, x, axes=1)
        kinks(function, x, axes=1)
        taylor_slope(function, x, np.ones(3), np.ones(3), axes=1)


def test_steps_that_are_none():
    """0/0 is no derivative."""
    x = drawn((2,))
    for call in (
        lambda: complex_step(np.sum, x, step=0.0),
        lambda: central_difference(np.sum, x, step=-1e-3),
        lambda: kinks(np.sum, x, step=0),
        lambda: taylor_slope(np.sum, x, x, x, first=np.nan),
    ):
        with pytest.raises(InvalidInput, match=r"the step must be positive, got"):
            call()
    with pytest.raises(InvalidInput, match=r"a step of 1e-30 is lost beside the largest \|x\|"):
        central_difference(lambda p: p.sum(-1), x, step=1e-30, axes=1)
    for witness in (complex_step, central_difference, kinks):
        with pytest.raises(InvalidInput, match=r"x must be real numbers, got complex128"):
            witness(lambda p: p.sum(-1), x + 0j, axes=1)


# what rounding may do to a gradient


def before_a_norm(dtype, bias=0.0):
    """A right network with a bias before its batch norm, whose gradient is exactly zero; parameters, input, and its two witnesses."""
    random, layers = np.random.default_rng(3), (Dense(4), BatchNorm(), Tanh(), Dense(3))
    w, v, x = (random.standard_normal(shape).astype(dtype) for shape in ((4, 5), (3, 4), (5, 16)))
    b, labels = np.full((4, 1), bias, dtype), random.integers(0, 3, 16)
    one, zero = np.ones((4, 1), dtype), np.zeros((3, 1), dtype)

    def parameters(w, b):
        return ({"W": w, "b": b}, {"gamma": one, "beta": 0 * one}, {}, {"W": v, "b": zero})

    def by_hand(w, b, x):
        g = training.snapshot(Job(layers, CrossEntropy(), parameters(w, b), Batch(x, labels))).gradients[0]
        return [g["W"], g["b"]]

    def value(w, b, x):
        normal = w @ x + b
        normal = normal - np.mean(normal, -1, keepdims=True)
        normal = normal / np.sqrt(np.mean(normal * normal, -1, keepdims=True) + 1e-5)
        z = v.astype(float) @ np.tanh(normal)
        return np.mean(np.log(np.exp(z).sum(-2)) - z[..., labels, np.arange(16)], -1)

    def stepped(witness):
        return lambda w, b, x: [
            witness(lambda moved: value(moved, b.astype(float), x.astype(float)), w),
            witness(lambda moved: value(w.astype(float), moved, x.astype(float)), b),
        ]

    return [w, b, x], by_hand, stepped


@pytest.mark.parametrize("bias", [0.0, 0.7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("witness", [complex_step, central_difference], ids=lambda f: f.__name__)
def test_a_gradient_that_is_exactly_zero_is_no_alarm(dtype, witness, bias):
    """compare alone cries wolf, 1.1 or so; beyond rounding nothing is left. A planted error is found, in both parameters."""
    random = np.random.default_rng(1)
    arrays, by_hand, stepped = before_a_norm(dtype, bias)
    hand, said = by_hand(*arrays), stepped(witness)(*arrays)
    free = [a + b for a, b in zip(*(rounding(f, arrays, random) for f in (by_hand, stepped(witness))), strict=True)]
    assert compare(hand[1], said[1]) > 0.5, "two noises have nothing in common"
    worst = 1e-4 if dtype is np.float32 else 1e-8 if witness is central_difference else 1e-13
    scale = np.linalg.norm(said[0])
    for a, b, allowed in zip(hand, said, free, strict=True):
        assert compare(a, b, rounding=allowed) == 0 and allowed <= worst * scale
        for size in (10 * float(allowed), 1e-3 * scale, scale):
            wrong = a.astype(float)
            wrong[0, 0] += size
            assert compare(wrong, b, rounding=allowed) > 0.5 * size / max(np.linalg.norm(wrong), np.linalg.norm(b))
    assert compare(hand[0] * dtype(1.001), said[0], rounding=free[0]) > 5e-4


def test_rounding_by_hand():
    """A gradient that does not round: √k·u of it, four times; its inputs' roundings; a stack network by network; types and integers."""
    random = np.random.default_rng(0)
    x = 2.0 + drawn((3, 4, 9)) ** 2
    sizes = np.array([1.0, 1e3, 1e-3])[:, None, None]
    constant, square = rounding(lambda x, k: [np.ones((3, 2, 2)), sizes * x**2], [x, np.array([[7]])], random)
    assert np.allclose(constant, 4 * 3 * 2.0**-53 * 2, rtol=1e-12)
    moved = 4 * (2 * 3 * 2.0**-52 + 3 * 2.0**-53) * np.linalg.norm(sizes * x**2, axis=(-2, -1))  # x² moves by 2·√k·ε
    assert np.all(abs(square / moved - 1) < 0.1)
    (single_,) = rounding(lambda x: [x**2], [x.astype(np.float32)], random)
    assert np.allclose(single_, square / sizes.ravel() * 2.0**29, rtol=0.2)


def test_compare_neither_underflows_nor_overflows():
    """Vanished gradients are as wrong as others: squares of 1e-200, and of 1e-25 in float32, are 0; of 1e200 they are ∞."""
    a, b = np.array([[3.0, 4.0]]), np.array([[3.0, 0.0]])
    for scale in (1e-200, 1e-307, 1e200):
        assert compare(scale * a, scale * b) == pytest.approx(0.8)
    for scale in (1e-25, 1e-38, 1e30):
        assert compare(np.float32(scale) * a.astype("f4"), np.float32(scale) * b.astype("f4")) == pytest.approx(
            0.8, rel=1e-6
        )
    assert compare(np.array([[2]], np.uint8), np.array([[3]], np.uint8)) == pytest.approx(1 / 3)
    assert compare([[3.0, 4.0]], [[3.0, 0.0]]) == 0.8
    assert compare(np.array(2.0), np.array(1.0)) == 0.5
    assert compare(a, b, rounding=4.0) == 0 and compare(a, b, rounding=3.0) == pytest.approx(0.2)
    assert np.isnan(compare(a, a * np.nan, rounding=1.0))
