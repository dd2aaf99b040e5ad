"""The witnesses themselves: on gradients known in closed form, on planted errors, at kinks, on stacks of networks."""

from __future__ import annotations

import numpy as np
import pytest

from scratch import gradcheck
from scratch.autodiff import Var, gradient
from scratch.errors import InvalidInput
from scratch.gradcheck import central_difference, compare, complex_step, kinks, taylor_slope

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
    assert sum(shape[0] for shape in seen) == 20 and max(shape[0] for shape in seen) == 1
    seen.clear()
    complex_step(function, drawn((5, 4)))
    assert [shape[0] for shape in seen] == [5, 5, 5, 5]


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
