"""What experiments/theory.py predicts, against draws of its own, quadrature of its own, and published numbers."""

from __future__ import annotations

import itertools

import helpers
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf, erfc

from experiments import theory
from scratch import ELU, GELU, SELU, HardTanh, Identity, LeakyReLU, Mish, ReLU, Sigmoid, SiLU, Softplus, Tanh
from scratch.randomness import generator

DRAWS = 4000


def assert_moments(sample, mean, variance):
    """Mean and variance within four standard errors; that of a variance is √((μ₄ − σ⁴)/n), both from the sample."""
    n, centred = len(sample), sample - sample.mean()
    assert abs(sample.mean() - mean) <= 4 * np.sqrt(variance / n)
    assert abs(sample.var(ddof=1) - variance) <= 4 * np.sqrt(((centred**4).mean() - sample.var() ** 2) / n)


def grown(width, depth, scale, rectified, *purpose):
    """log ‖h_L‖²/‖h₀‖² of random networks without biases, h₀ a unit vector; −∞ for those that died."""
    random = generator(0, "theory", *purpose)
    h = np.zeros((DRAWS, width, 1))
    h[:, 0] = 1
    for _ in range(depth):
        h = random.standard_normal((DRAWS, width, width)) * np.sqrt(scale / width) @ h
        h = np.where(h > 0, h, 0) if rectified else h
    with np.errstate(divide="ignore"):
        return np.log((h**2).sum((-2, -1)))


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_product_of_normal_weights(depth):
    """log|w₁…w_n|: a wrong constant or a variance of π²/4 or π²/6 a factor."""
    sample = np.log(abs(generator(0, "product", depth).standard_normal((depth, DRAWS)).prod(0)))
    assert_moments(sample, *theory.product_moments(depth))


@pytest.mark.parametrize("width, depth", [(3, 2), (10, 5), (6, 12)])
def test_deep_linear_networks(width, depth):
    """χ²_n's logarithm with the wrong degrees of freedom, or half of it."""
    assert_moments(grown(width, depth, 1.0, False, "linear", width, depth), *theory.linear_moments(width, depth))


@pytest.mark.parametrize("width, depth", [(3, 2), (10, 5), (6, 4)])
def test_narrow_relu_networks(width, depth):
    """He's weights at finite width: the number of active units is itself random."""
    sample = grown(width, depth, 2.0, True, "relu", width, depth)
    assert_moments(sample[np.isfinite(sample)], *theory.relu_moments(width, depth))


@pytest.mark.parametrize("width, depth", [(2, 3), (3, 5), (5, 20), (1, 1)])
def test_born_dead(width, depth):
    """The share of networks that give out nothing: a power in the wrong place."""
    share, p = np.isinf(grown(width, depth, 2.0, True, "dead", width, depth)).mean(), theory.born_dead(width, depth)
    assert abs(share - p) <= 4 * np.sqrt(p * (1 - p) / DRAWS)


def test_published_laws():
    """The numbers that were derived and simulated elsewhere, to the digits given there."""
    assert pytest.approx(-0.6352, abs=5e-5) == theory.LOG_NORMAL_MEAN
    assert theory.product_moments(10) == pytest.approx((-6.352, 12.337), abs=5e-4)
    mean, variance = theory.relu_moments(10, 10)
    assert (mean, variance) == (pytest.approx(-3.075, abs=5e-4), pytest.approx(8.67, abs=5e-3))
    mean, variance = theory.linear_moments(10, 50)
    assert (mean, variance) == (pytest.approx(-5.166, abs=5e-4), pytest.approx(11.07, abs=5e-3))
    dead = [theory.born_dead(n, depth) for n, depth in ((2, 3), (3, 5), (5, 20))]
    assert dead == pytest.approx([0.5781, 0.4871, 0.4701], abs=5e-5)


@pytest.mark.parametrize(
    "law", [theory.product_moments, lambda d: theory.linear_moments(7, d), lambda d: theory.relu_moments(7, d)]
)
def test_moments_are_additive_in_depth(law):
    """Layers are independent: both moments grow in proportion, for whole arrays of depths."""
    depth = np.array([1, 2, 50])
    for moment, one in zip(law(depth), law(1), strict=True):
        np.testing.assert_allclose(moment, depth * one, rtol=1e-14)


@pytest.mark.parametrize("width", [100, 400, 1000])
def test_wide_relu_networks_lose_five_over_two_n(width):
    """E log = −5L/2n + O(1/n²): the known limit, and no overflow in the binomial weights on the way there."""
    mean, variance = theory.relu_moments(width, 1)
    assert mean == pytest.approx(-5 / (2 * width), abs=10 / width**2)
    assert variance == pytest.approx(5 / width, abs=40 / width**2)


TABLE = {  # log(‖g_first‖²/‖g_last‖²) over ten layers for n·Var W = 1/3, 1, 2, as predicted elsewhere
    Sigmoid(): (-39.22, -29.10, -23.27),
    Tanh(): (-11.57, -2.64, 0.16),
    ReLU(): (-17.92, -6.93, 0.0),
}


@pytest.mark.parametrize("activation", TABLE, ids=str)
@pytest.mark.parametrize("column, sigma_w2", [(0, 1 / 3), (1, 1.0), (2, 2.0)])
def test_gradient_table(activation, column, sigma_w2):
    """The 3×3 table of activation × init for inputs of mean square one: a χ too many or too few, q one layer late."""
    _, log_chi = theory.mean_field(activation, np.array(sigma_w2), sigma_w2, 0.0, 10)
    assert log_chi.sum() == pytest.approx(TABLE[activation][column], abs=0.0051)  # two decimals, and a tie in the third


FORMULAS = {
    Identity(): lambda z: z,
    Sigmoid(): lambda z: 1 / (1 + np.exp(-z)),
    Tanh(): np.tanh,
    ReLU(): lambda z: z * (z.real > 0),
    LeakyReLU(): lambda z: z * (1 if z.real > 0 else 0.01),
    ELU(0.4): lambda z: z if z.real > 0 else 0.4 * np.expm1(z),
    SELU(): lambda z: 1.0507009873554805 * (z if z.real > 0 else 1.6732632423543772 * np.expm1(z)),
    GELU(): lambda z: z * erfc(-z / np.sqrt(2)) / 2,
    Softplus(): lambda z: np.log1p(np.exp(z)),
    SiLU(): lambda z: z / (1 + np.exp(-z)),
    Mish(): lambda z: z * np.tanh(np.log1p(np.exp(z))),
    HardTanh(): lambda z: z if abs(z.real) < 1 else np.sign(z.real),
    HardTanh(-0.3, 2.0): lambda z: z if -0.3 < z.real < 2 else np.clip(z.real, -0.3, 2),
    Softplus(2.0, 1.0): lambda z: z if z.real > 0.5 else np.log1p(np.exp(2 * z)) / 2,
}
KINKS = {HardTanh(): (-1, 1), HardTanh(-0.3, 2.0): (-0.3, 2), Softplus(2.0, 1.0): (0.5,)}


def test_every_activation_has_its_moments_checked():
    """An activation whose kink the quadrature does not know loses it most of its digits."""
    assert {type(activation) for activation in FORMULAS} == set(helpers.ACTIVATIONS.values())


@pytest.mark.parametrize("activation", FORMULAS, ids=str)
def test_moments_against_adaptive_quadrature(activation):
    """Nodes too few, a density of another variance, φ′ for φ; derivatives by complex step, kinks told to the integrator."""
    formula, sizes = FORMULAS[activation], np.array([0.1, 1.0, 4.0])

    def expected(f, q):
        ends = sorted({-12, 0, 12} | {kink / np.sqrt(q) for kink in KINKS.get(activation, ())})
        pieces = (
            quad(lambda z: f(np.sqrt(q) * z) ** 2 * np.exp(-z * z / 2), *ends, epsabs=1e-13)[0]
            for ends in itertools.pairwise(ends)
        )
        return sum(pieces) / np.sqrt(2 * np.pi)

    value, slope = theory.moments(activation, sizes)
    for k, q in enumerate(sizes):
        # two quadratures of smooth functions, each good to about 1e-12; beyond 12 deviations lies 1e-31
        np.testing.assert_allclose(value[k], expected(lambda z: np.real(formula(z + 0j)), q), rtol=1e-11)
        np.testing.assert_allclose(slope[k], expected(lambda z: np.imag(formula(z + 1e-30j)) / 1e-30, q), rtol=1e-11)


def test_moments_of_hard_tanh_in_closed_form():
    """P(|z| < 1/√q) for the slope, whatever q is: 1 at q = 0, and almost nothing where nearly all units are saturated."""
    q = np.array([0.0, 1e-8, 0.5, 3.0, 1e6])
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, outside = erf(1 / np.sqrt(2 * q)), erfc(1 / np.sqrt(2 * q))
        density = np.nan_to_num(np.exp(-1 / (2 * q)) / np.sqrt(2 * np.pi * q))
    value, slope = theory.moments(HardTanh(), q)
    np.testing.assert_allclose(slope, inside, rtol=1e-12)
    np.testing.assert_allclose(value, q * (inside - 2 * density) + outside, rtol=1e-12)


@pytest.mark.parametrize("activation", [Tanh(), Sigmoid(), ReLU()], ids=str)
def test_moments_against_draws(activation):
    """Quadrature and its check share the integrand; draws do not."""
    z, q = generator(0, "moments").standard_normal(20_000), 2.0
    value, cache = activation.forward({}, np.sqrt(q) * z)
    for sample, moment in zip(
        (value**2, activation.backward({}, cache, np.ones_like(z))[0] ** 2), theory.moments(activation, q), strict=True
    ):
        assert abs(sample.mean() - moment) <= 4 * sample.std() / np.sqrt(len(z))


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.5, 1.0])
def test_moments_in_closed_form(slope):
    """ReLU halves the mean square: q/2 and 1/2; a leak of s gives (1 + s²)/2; the identity changes nothing."""
    q, share = np.array([1e-8, 0.3, 7.0]), (1 + slope**2) / 2
    for activation in [LeakyReLU(slope)] + [ReLU()] * (slope == 0) + [Identity()] * (slope == 1):
        value, derivative = theory.moments(activation, q)
        np.testing.assert_allclose(value, share * q, rtol=1e-13)  # 400 positive terms
        np.testing.assert_allclose(derivative, share, rtol=1e-13)


def test_moments_keep_the_shape_of_q():
    """A q for every example: (…,) in, (…,) out, each entry its own."""
    q = np.array([[0.5, 1.0, 2.0], [3.0, 4.0, 5.0]])
    whole = theory.moments(Tanh(), q)
    assert all(m.shape == q.shape for m in whole)
    np.testing.assert_allclose(whole[0][1, 2], theory.moments(Tanh(), 5.0)[0], rtol=1e-14)


def test_mean_field_is_its_recursion():
    """q_{l+1} = σ_w²·Eφ² + σ_b² step by step, in scalars; erf's moments are elementary and stand in for a check by hand."""
    q, sigma_w2, sigma_b2 = 0.7, 1.5, 0.1
    sizes, logs = theory.mean_field(Tanh(), np.array([q, 2 * q]), sigma_w2, sigma_b2, 6)
    assert sizes.shape == logs.shape == (6, 2)
    for layer in range(6):
        size, slope = theory.moments(Tanh(), q)
        np.testing.assert_allclose([sizes[layer, 0], logs[layer, 0]], [size, np.log(sigma_w2 * slope)], rtol=1e-13)
        q = sigma_w2 * size + sigma_b2


class Erf:
    """φ = erf: E φ(√q z)² = (2/π) asin(2q/(1 + 2q)) and E φ′² = (4/π)/√(1 + 4q) (Williams 1997)."""

    def forward(self, p, z):
        return erf(z), z

    def backward(self, p, z, da):
        return da * 2 / np.sqrt(np.pi) * np.exp(-z * z), {}


def test_moments_of_the_error_function():
    """A saturating activation whose moments are known in closed form."""
    q = np.array([0.05, 1.0, 9.0])
    value, slope = theory.moments(Erf(), q)
    np.testing.assert_allclose(value, 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)), rtol=1e-12)
    np.testing.assert_allclose(slope, 4 / np.pi / np.sqrt(1 + 4 * q), rtol=1e-12)


def test_fixed_points_of_tanh():
    """q* and χ₁ at both sides of the critical line σ_w² = 1.7610 for σ_b² = 0.05, to the digits published."""
    q, chi = theory.fixed_point(Tanh(), 1.3, 0.05)
    assert (q, chi) == pytest.approx((0.3153, 0.8802), abs=5e-5)
    assert np.log(chi) == pytest.approx(-0.1276, abs=1e-4)
    assert -1 / np.log(chi) == pytest.approx(7.83, abs=0.01)
    q, chi = theory.fixed_point(Tanh(), 2.5, 0.05)
    assert chi == pytest.approx(1.1335, abs=5e-5) and np.log(chi) == pytest.approx(0.1253, abs=5e-5)
    below, above = (theory.fixed_point(Tanh(), s, 0.05)[1] for s in (1.7605, 1.7615))
    assert below < 1 < above
    for sigma_w2 in (1.3, 2.5):
        q, _ = theory.fixed_point(Tanh(), sigma_w2, 0.05)
        assert q == pytest.approx(sigma_w2 * theory.moments(Tanh(), q)[0] + 0.05, rel=1e-13)


def test_fixed_point_of_the_identity_with_bias():
    """q = σ_w² q + σ_b² has the solution σ_b²/(1 − σ_w²), and χ₁ = σ_w²."""
    assert theory.fixed_point(Identity(), 0.5, 0.3) == pytest.approx((0.6, 0.5), rel=1e-12)


def test_mean_field_against_a_wide_network():
    """The recursion must describe networks, not only itself: width 500, gradient and activation sizes, 20 members."""
    width, depth, sigma_w2, random = 500, 4, 2.0, generator(0, "wide")
    h = np.ones((20, width, 1))
    weights = [random.standard_normal((20, width, width)) * np.sqrt(sigma_w2 / width) for _ in range(depth)]
    slopes, sizes = [], []
    for w in weights:
        h = np.tanh(w @ h)
        slopes.append(1 - h**2)
        sizes.append((h**2).mean((-2, -1)))
    g = slopes[-1] * random.standard_normal((20, width, 1))
    first = [(g**2).sum((-2, -1))]
    for w, slope in zip(weights[:0:-1], slopes[-2::-1], strict=True):
        g = slope * (w.mT @ g)
        first.append((g**2).sum((-2, -1)))
    predicted_sizes, log_chi = theory.mean_field(Tanh(), np.array(sigma_w2), sigma_w2, 0.0, depth)
    for measured, predicted in zip(sizes, predicted_sizes, strict=True):
        assert (
            abs(measured.mean() - predicted) <= 4 * measured.std(ddof=1) / np.sqrt(20) + 2 / width
        )  # 1/n: what mean field leaves open
    growth = np.log(first[-1] / first[0])
    assert abs(growth.mean() - log_chi[:-1].sum()) <= 4 * growth.std(ddof=1) / np.sqrt(20) + 2 * depth / width
