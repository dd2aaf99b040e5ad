"""Every activation with every option against torch.nn, complex steps, its textbook formula and closed forms.

NumPy warnings are errors here: whatever the input, an activation is silent.
"""

from __future__ import annotations

import warnings
from dataclasses import fields, is_dataclass
from functools import partial

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, special

from scratch import activations, softmax
from scratch.activations import (
    ELU,
    GELU,
    SELU,
    Activation,
    HardTanh,
    Identity,
    LeakyReLU,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from scratch.errors import InvalidInput
from scratch.randomness import generator
from scratch.softmax import AcrossUnits, LogSoftmax, Softmax
from torchref import activations as twins  # noqa: F401  they register themselves
from torchref.layers import twin

ELEMENTWISE = [
    Identity(),
    Sigmoid(),
    Tanh(),
    ReLU(),
    LeakyReLU(),
    LeakyReLU(0.3),
    LeakyReLU(-0.5),
    LeakyReLU(0.0),
    LeakyReLU(2.0),
    ELU(),
    ELU(0.4),
    ELU(2.0),
    ELU(-0.5),
    SELU(),
    GELU(),
    GELU("tanh"),
    Softplus(),
    Softplus(2.0),
    Softplus(0.5, 3.0),
    Softplus(1.5, 0.0),
    SiLU(),
    Mish(),
    HardTanh(),
    HardTanh(-2.0, 0.5),
    HardTanh(0.0, 6.0),
]
ACROSS = [Softmax(), LogSoftmax()]
FLOATS = ["float64", "float32"]
H = 1e-30  # f(z + ih) has the imaginary part h·f′(z) up to h²: only rounding is left

elementwise = pytest.mark.parametrize("layer", ELEMENTWISE, ids=str)
everything = pytest.mark.parametrize("layer", ELEMENTWISE + ACROSS, ids=str)
across = pytest.mark.parametrize("layer", ACROSS, ids=str)
precision = pytest.mark.parametrize("dtype", FLOATS)

# Of values and slopes, what does not shrink with the result, in units of u·min(|z|, 40) and u·max(1, min(|z|, 40)); |z| > 40 is
# saturated. Values: PyTorch's z(1 + erf)/2 and z(1 + tanh)/2 round a sum near 0 to u, times z. Slopes: 1 − a near a = 1 is known
# to u (sigmoid, tanh), and is multiplied by z in zσ(1−σ) and z(1 − tanh²), and by another 1.6(1 + 0.13z²), up to 10 before
# tanh is 1, in GELU's tanh form; GELU adds Φ and zφ, which cancel at z = −0.75.
LEFT = {Sigmoid: (0, 2), Tanh: (0, 4), GELU(): (2, 4), GELU("tanh"): (2, 12), SiLU: (0, 4), Mish: (0, 8)}
# Some four operations of u/2 each, and e^x, tanh and erf of two libraries that are good to 1 … 3 u each. The rest only choose
# or multiply once: they round alike.
ULPS = dict.fromkeys([Identity, ReLU, LeakyReLU, HardTanh], 0)


def left(layer):
    return LEFT.get(layer) or LEFT.get(type(layer), (0, 0))


def pulled(layer, z, g):
    """scratch's value and ∂J/∂z for the upstream gradient ``g``."""
    value, cache = layer.forward({}, z)
    return value, layer.backward({}, cache, g)[0]


def slope(layer, z):
    return pulled(layer, z, np.ones_like(z))[1]


def torchs(layer, z, g):
    """PyTorch's, of which an example is a row."""
    t = torch.tensor(z.mT.copy(), requires_grad=True)
    value = twin(layer, z.shape[-2])(t)
    value.backward(torch.tensor(g.mT.copy()))
    return value.detach().numpy().mT, t.grad.numpy().mT


def stepped(function, z):
    """The derivative of an elementwise ``function`` by a complex step at each number."""
    return np.imag(function(z + 1j * H)) / H


def points(dtype, reach=40.0, count=4001):
    """A column of numbers from −reach to reach, with every kink and both zeros."""
    kinks = [-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 6.0]  # 20, 10 and 6 are Softplus' thresholds
    return np.concatenate([np.linspace(-reach, reach, count), kinks]).astype(dtype)[:, None]


def extremes(dtype):
    """Large, tiny, subnormal, infinite and not a number."""
    limits = np.finfo(dtype)
    size = np.array([1e4, 700, 100, limits.tiny, limits.smallest_subnormal, np.inf], dtype)
    return np.concatenate([size, -size, [np.nan]]).astype(dtype)[:, None]


def assert_near(found, expected, relative, absolute=0.0):
    """Equal but for ``relative`` units roundoff of the expected number and as many units as ``absolute`` says; ∞ and NaN alike."""
    limits = np.finfo(expected.dtype)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    size = relative * abs(expected[finite]) + np.broadcast_to(absolute, expected.shape)[finite]
    bound = size * limits.eps + (2 * limits.smallest_subnormal if relative else 0)  # what underflow may lose
    error = abs(found[finite] - expected[finite])
    worst = np.argmax(error - bound) if error.size else 0
    assert (error <= bound).all(), (
        f"{found[finite][worst]} for {expected[finite][worst]}: {error[worst]} > {bound[worst]}"
    )


def test_every_activation_is_tested_with_every_option():
    """An activation, or an option of one, that this file does not try."""
    cases = ELEMENTWISE + ACROSS
    kinds = {k for m in (activations, softmax) for k in vars(m).values() if is_dataclass(k)}
    assert {type(layer) for layer in cases} == kinds
    for kind in kinds:
        for field in fields(kind):
            tried = {getattr(layer, field.name) for layer in cases if type(layer) is kind}
            assert tried - {field.default}, f"{kind.__name__}({field.name}=…) is never tried"


def test_by_name_lists_what_works_on_single_numbers():
    """A hidden layer is chosen by name, and theory integrates over single numbers: softmax is not among them."""
    assert activations.by_name() == {type(layer).__name__.lower(): type(layer) for layer in ELEMENTWISE}
    assert all(issubclass(type(layer), AcrossUnits) and not isinstance(layer, Activation) for layer in ACROSS)


def without_onednn(run):
    """PyTorch's own kernels: oneDNN's float32 GELU(∞) is NaN on some processors and ∞ on others."""

    def alone(*arguments):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # switching it off warns of Intel's GPUs
            with torch.backends.mkldnn.flags(enabled=False):
                return run(*arguments)

    return alone


@elementwise
@precision
@pytest.mark.parametrize("where", [points, extremes])
def test_value_and_gradient_are_torchs(layer, dtype, where):
    """Another definition, constant, branch or limit than PyTorch's, anywhere on the line."""
    z = where(dtype)
    g = generator(0, "upstream").standard_normal(z.shape).astype(dtype)
    (value, dz), (expected, gradient) = pulled(layer, z, g), without_onednn(torchs)(layer, z, g)
    relative, (of_value, of_slope) = ULPS.get(type(layer), 8), left(layer)
    size = np.nan_to_num(np.minimum(abs(z), 40))
    assert_near(value, expected, relative, of_value * size)
    assert_near(dz, gradient, relative, of_slope * np.maximum(size, 1) * abs(g))


@pytest.mark.parametrize(
    "layer, at, expected",
    [
        (ReLU(), 0.0, 0.0),
        (LeakyReLU(0.3), 0.0, 0.3),
        (ELU(2.0), 0.0, 2.0),
        (SELU(), 0.0, 1.0507009873554805 * 1.6732632423543772),
        (HardTanh(-2.0, 0.5), -2.0, 0.0),
        (HardTanh(-2.0, 0.5), 0.5, 0.0),
        (Softplus(1.0, 3.0), 3.0, special.expit(3.0)),
        (Softplus(2.0, 0.0), 0.0, 0.5),
    ],
    ids=str,
)
def test_slope_at_the_kink(layer, at, expected):
    """Another convention at a kink than PyTorch's, in backward, in a complex step through forward or through the formula."""
    z = np.array([[at], [-0.0 if at == 0 else at]])
    for found in (
        slope(layer, z),
        torchs(layer, z, np.ones_like(z))[1],
        stepped(lambda z: layer.forward({}, z)[0], z),
        stepped(lambda z: layer.formula({}, z), z),
    ):
        np.testing.assert_allclose(found, np.full_like(z, expected), rtol=4e-16)  # σ and λα: two roundings


@elementwise
def test_complex_step_through_forward(layer):
    """A branch of forward that is not analytic (a modulus, a dropped imaginary part), or that has another derivative."""
    z = np.concatenate([points("float64"), [[-1e4], [-600.0], [600.0], [1e4], [1e-300], [5e-324]]])
    found = stepped(lambda z: layer.forward({}, z)[0], z)
    # complex products and quotients round a few times more; 1 − a near a = 1 and sums that cancel: as against torch
    assert_near(found, slope(layer, z), 32, 4 * left(layer)[1] * np.minimum(np.maximum(abs(z), 1), 40))


@elementwise
def test_formula_is_the_same_function(layer):
    """The textbook definition and the fast code, in value and derivative, where the naive way neither cancels nor overflows."""
    z = points("float64", 8.0, 801)
    formula = partial(layer.formula, {})
    value, expected = layer.forward({}, z)[0], np.asarray(formula(z))
    # 1 + erf, 1 + tanh, e^z − 1 and ln(1 + e^z) round numbers near 1 to u, and some are multiplied by z
    assert_near(value, expected, 8, 8 * np.maximum(abs(z), 1))
    assert_near(stepped(formula, z), slope(layer, z), 8, 16 * np.maximum(abs(z), 1))


@everything
@pytest.mark.parametrize("units, examples", [(5, 4), (300, 1), (1, 3)])
@precision
def test_stack_is_each_members_own(layer, units, examples, dtype):
    """A maximum or a sum over the wrong axis, or in another order than alone."""
    random = generator(1, "stack", units)
    z, g = 3 * random.standard_normal((2, 2, 3, units, examples)).astype(dtype)
    for stack, upstream in ((z, g), (z[0], g[0])):
        value, dz = pulled(layer, stack, upstream)
        assert value.shape == dz.shape == stack.shape and value.dtype == dz.dtype == dtype
        for index in np.ndindex(stack.shape[:-2]):
            alone, pulled_alone = pulled(layer, stack[index].copy(), upstream[index].copy())
            np.testing.assert_array_equal(value[index], alone, strict=True)
            np.testing.assert_array_equal(dz[index], pulled_alone, strict=True)


@everything
@precision
def test_what_is_given_is_not_written(layer, dtype):
    """An input, or a gradient from above, used as room for the result."""
    random = generator(2, "out")
    z, g = (3 * random.standard_normal((4, 6)).astype(dtype) for _ in "zg")
    kept, upstream = z.copy(), g.copy()
    pulled(layer, z, g)
    np.testing.assert_array_equal(z, kept)
    np.testing.assert_array_equal(g, upstream)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: LeakyReLU(np.nan), r"LeakyReLU\(slope=nan\): must be a finite number"),
        (lambda: LeakyReLU(np.inf), r"LeakyReLU\(slope=inf\): must be a finite number"),
        (lambda: ELU(-np.inf), r"ELU\(alpha=-inf\): must be a finite number"),
        (lambda: GELU("tahn"), r"GELU\(approximate='tahn'\): must be 'none' or 'tanh'"),
        (lambda: Softplus(0.0), r"Softplus\(beta=0.0\): must be positive"),
        (lambda: Softplus(-1.0), r"Softplus\(beta=-1.0\): must be positive"),
        (lambda: Softplus(np.inf), r"Softplus\(beta=inf\): must be positive and finite"),
        (lambda: Softplus(1.0, -1.0), r"Softplus\(threshold=-1.0\): must be 0 or more"),
        (lambda: Softplus(1.0, np.nan), r"Softplus\(threshold=nan\): must be 0 or more"),
        (lambda: HardTanh(1.0, 1.0), r"HardTanh\(low=1.0\): must be below high=1.0"),
        (lambda: HardTanh(high=np.nan), r"HardTanh\(low=-1.0\): must be below high=nan"),
    ],
)
def test_bad_options_are_refused(build, message):
    """An option that turns every output to NaN, or that only torch refuses, much later."""
    with pytest.raises(InvalidInput, match=message):
        build()


def test_selu_constants_in_closed_form():
    """α and λ of Klambauer 2017 from erfc, not copied digits; u each."""
    one, two = special.erfc(np.sqrt(0.5)) * np.exp(0.5), special.erfc(np.sqrt(2)) * np.exp(2)
    alpha = -np.sqrt(2 / np.pi) / (one - 1)
    scale = (1 - one) * np.sqrt(2 * np.pi)
    scale /= np.sqrt(2 * two + np.pi * one**2 - 2 * (2 + np.pi) * one + np.pi + 2)
    np.testing.assert_allclose([activations.SELU_ALPHA, activations.SELU_LAMBDA], [alpha, scale], rtol=4e-15)


@pytest.mark.parametrize("power, expected", [(1, 0.0), (2, 1.0)])
def test_selu_keeps_mean_and_variance(power, expected):
    """What SELU is for: of N(0, 1) it makes mean 0 and variance 1."""

    def density(z):
        a, _ = SELU().forward({}, np.array([z]))
        return a[0] ** power * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)

    # beyond 12 deviations lies 1e-30
    found = sum(integrate.quad(density, *ends, epsabs=1e-13)[0] for ends in ((-12, 0), (0, 12)))
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "layer, z, value, derivative",
    [  # five or more digits, by hand or from the literature
        (GELU(), 1.0, 0.841344746068543, 0.841344746068543 + 0.24197072451914337),  # Φ(1), Φ(1) + φ(1)
        (SiLU(), 0.0, 0.0, 0.5),
        (Mish(), 0.0, 0.0, 0.6),  # tanh ln 2 = 3/5
        (Softplus(), 0.0, np.log(2), 0.5),
        (Softplus(4.0), 0.0, np.log(2) / 4, 0.5),
        (ELU(2.0), -1.0, 2 / np.e - 2, 2 / np.e),
        (SELU(), -1.0, -1.1113307378125625, 1.7580993408473766 / np.e),
        (GELU("tanh"), 1.0, special.expit(2 * np.sqrt(2 / np.pi) * 1.044715), None),
    ],
    ids=str,
)
def test_known_points(layer, z, value, derivative):
    """A constant or factor that is wrong here and in PyTorch alike."""
    at = np.array([[z]])
    assert layer.forward({}, at)[0][0, 0] == pytest.approx(value, rel=4e-15, abs=1e-300)
    assert derivative is None or slope(layer, at)[0, 0] == pytest.approx(derivative, rel=4e-15)


LAMBERT = special.lambertw(np.exp(-1)).real  # the minimum of zσ(z) is −W(1/e), at −1 − W(1/e)


@pytest.mark.parametrize(
    "layer, at, lowest, digits",
    [(SiLU(), -1 - LAMBERT, -LAMBERT, 1e-14), (Mish(), -1.1924, -0.30884, 5e-5), (GELU(), -0.75179, -0.16997, 5e-5)],
    ids=str,
)
def test_minimum(layer, at, lowest, digits):
    """Value and slope that belong to different functions: where the slope is 0 the value is the known minimum."""
    found = optimize.brentq(lambda z: slope(layer, np.array([z]))[0], -2, -0.5, xtol=1e-15)
    assert found == pytest.approx(at, abs=max(digits, 4e-15))
    assert layer.forward({}, np.array([found]))[0][0] == pytest.approx(lowest, abs=max(digits / 5, 1e-15))


@pytest.mark.parametrize("layer", [GELU(), GELU("tanh"), SiLU(), Softplus(), Softplus(3.0, np.inf)], ids=str)
def test_reflection(layer):
    """a(z) − a(−z) = z, and slopes at ±z that add up to 1: for zΦ(z), zσ(z) and ln(1 + e^z) alike."""
    z = np.linspace(0, 15, 301)[:, None]
    np.testing.assert_allclose(layer.forward({}, z)[0] - layer.forward({}, -z)[0], z, rtol=2e-15)  # some nine roundings
    np.testing.assert_allclose(slope(layer, z) + slope(layer, -z), 1, rtol=1e-14)  # z(1−a): 15 u


@precision
def test_gelu_keeps_its_relative_accuracy(dtype):
    """The class says so: zΦ(z) and its slope in the negative tail, where PyTorch's 1 + erf is 0 or noise."""
    z = np.linspace(-8, -1, 57).astype(dtype)[:, None]  # eighths: z² is exact, and e^{−z²/2} as good as exp itself
    exact, unit = z.astype("float64"), np.finfo(dtype).eps
    gauss = np.exp(-exact * exact / 2)
    cdf = gauss * special.erfcx(-exact / np.sqrt(2)) / 2  # scipy's ndtr rounds z/√2 before it squares
    np.testing.assert_allclose(GELU().forward({}, z)[0], exact * cdf, rtol=8 * unit)
    # Φ + zφ is at z = −1 a fifth of its parts, which are good to some four units
    np.testing.assert_allclose(slope(GELU(), z), cdf + exact * gauss / np.sqrt(2 * np.pi), rtol=24 * unit)
    u = np.sqrt(2 / np.pi) * (
        exact + 0.044715 * exact**3
    )  # 2u goes down to −49.3 and is rounded some four times before e^2u
    np.testing.assert_allclose(GELU("tanh").forward({}, z)[0], exact * special.expit(2 * u), rtol=256 * unit)


def test_gelus_differ_by_as_much_as_published():
    """The tanh form is off by at most 4.8e-4 (at 2.7 deviations), and by something."""
    z = np.linspace(-6, 6, 2401)
    assert 4e-4 < abs(GELU().forward({}, z)[0] - GELU("tanh").forward({}, z)[0]).max() < 5e-4


@pytest.mark.parametrize(
    "layer", [GELU("tanh"), GELU(), SiLU(), Mish(), Softplus(3.0), Softplus(threshold=np.inf)], ids=str
)
@precision
def test_huge_numbers_are_the_identity_or_nothing(layer, dtype):
    """∞·0 or ∞/∞ on the way: far to the right a = z with slope 1, far to the left 0 with slope 0."""
    huge = np.array([1e4, 1e25, 3e38 if dtype == "float32" else 1e308], dtype)[:, None]
    np.testing.assert_array_equal(layer.forward({}, huge)[0], huge)
    np.testing.assert_array_equal(slope(layer, huge), np.ones_like(huge))
    np.testing.assert_array_equal(layer.forward({}, -huge)[0], np.zeros_like(huge))
    np.testing.assert_array_equal(slope(layer, -huge), np.zeros_like(huge))


HUGE = [LeakyReLU(1e300), ELU(1e308), Softplus(1e300), Softplus(1e-300), Softplus(1e-320, 1.0), HardTanh(-1e308, 1e308)]


@pytest.mark.parametrize("layer", ELEMENTWISE + ACROSS + HUGE, ids=str)
@pytest.mark.parametrize("dtype", [*FLOATS, "complex128"])
def test_nothing_warns(layer, dtype):
    """∞ and NaN speak for themselves: a RuntimeWarning is an error here, forward and backward, from ±1.8e308, ±∞ and NaN."""
    random, limits = generator(8, "silent"), np.finfo(dtype)
    odd = np.concatenate([extremes(limits.dtype)[:, 0], limits.dtype.type([0, -1, 1]), [limits.max, limits.min]])
    for trial in range(40):
        z, g = random.choice(odd, (2, 3, 8)).astype(dtype)
        value, cache = layer.forward({}, z)
        assert value.shape == z.shape
        if dtype != "complex128":
            layer.backward({}, cache, g if trial % 2 else np.ones_like(z))


@across
@precision
def test_largest_numbers_across_units(layer, dtype):
    """−max − max overflows to the right limit."""
    most = np.finfo(dtype).max
    z = np.array([[most, -most, most, 1], [-most, most, most, -most], [1, 0, -most, most]], dtype)
    (value, dz), (expected, gradient) = pulled(layer, z, np.ones_like(z)), torchs(layer, z, np.ones_like(z))
    np.testing.assert_allclose(value, expected, rtol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(dz, gradient, atol=8 * np.finfo(dtype).eps)


@precision
def test_elu_of_the_largest_alpha(dtype):
    """2α overflowed, and ∞·0 made NaN of a = 0 at z = 0."""
    most = float(np.finfo(dtype).max)
    value, _ = ELU(most).forward({}, np.array([[0.0, -1.0, -800.0]], dtype))
    np.testing.assert_allclose(
        value[0].astype(float), [0, -most * (1 - np.exp(-1)), -most], rtol=4 * np.finfo(dtype).eps
    )


COLUMNS = (
    np.array(  # an example each: ordinary, equal, far apart, far from 0, with −∞, only −∞, with ∞, twice ∞, with NaN
        [
            [1.0, 2, 1e4, -1e4, -np.inf, -np.inf, np.inf, np.inf, np.nan],
            [-2.0, 2, -1e4, -1e4 - 1, 0.5, -np.inf, 0.5, np.inf, 0.5],
            [0.5, 2, 0, -1e4 + 2, 1.0, -np.inf, 1.0, -np.inf, 1.0],
        ]
    )
)


@across
@precision
def test_across_units_is_torchs(layer, dtype):
    """A sum over the wrong axis, an overflow, another answer for ∞ or NaN."""
    random = generator(3, "columns")
    usual = 10 * random.standard_normal((3, 40))
    z = np.concatenate([COLUMNS, usual], axis=1).astype(dtype)
    g = random.standard_normal(z.shape).astype(dtype)
    (value, dz), (expected, gradient) = pulled(layer, z, g), torchs(layer, z, g)
    # ln Σ ≤ ln 3 is added to differences as large as z; gradients are differences of g and sums of three of them
    assert_near(value, expected, 8, 4 if isinstance(layer, LogSoftmax) else 0)
    assert_near(dz, gradient, 8, 8 * abs(g).max(axis=0))
    ordinary = [0, 1, 2, 3, 4, *range(9, z.shape[1])]
    assert np.isnan(np.delete(value, ordinary, axis=1)).all() and not np.isnan(value[:, ordinary]).any()


@across
def test_jacobian_of_each_example(layer):
    """Softmax: diag(a) − aaᵀ; its logarithm: I − 1aᵀ; and an example never feels another."""
    z = generator(4, "jacobian").standard_normal((4, 3))
    a = np.exp(z) / np.exp(z).sum(0)
    _, cache = layer.forward({}, z)
    for unit in range(4):
        one = np.zeros((4, 3))
        one[unit, 1] = 1
        row = np.zeros((4, 3))
        row[:, 1] = one[:, 1] * a[:, 1] - a[unit, 1] * a[:, 1] if isinstance(layer, Softmax) else one[:, 1] - a[:, 1]
        found, _ = layer.backward({}, cache, one)
        np.testing.assert_allclose(found, row, rtol=1e-14, atol=1e-16)  # some ten roundings of numbers below 1


@across
@pytest.mark.parametrize("leading", [(), (2,)])
def test_across_units_by_complex_step(layer, leading):
    """Forward and formula moved one number at a time, against backward with a random upstream gradient."""
    random = generator(5, "step")
    z, g = 3 * random.standard_normal((*leading, 4, 3)), random.standard_normal((*leading, 4, 3))
    _, dz = pulled(layer, z, g)
    for function in (lambda z: layer.forward({}, z)[0], lambda z: layer.formula({}, z)):
        found = np.empty_like(z)
        for index in np.ndindex(z.shape):
            moved = z.astype(complex)
            moved[index] += 1j * H
            found[index] = (g * function(moved)).sum().imag / H
        np.testing.assert_allclose(found, dz, rtol=1e-13, atol=1e-15)  # sums of 24 numbers below 10
    np.testing.assert_allclose(layer.forward({}, z)[0], layer.formula({}, z), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e3, 1e4])
def test_softmax_is_a_distribution_and_ignores_a_shift(shift):
    """Columns that do not sum to 1; a common shift that overflows or is felt; a logarithm of something else."""
    z = np.round(3072 * generator(6, "shift").standard_normal((5, 7))) / 1024  # so that z + c is exact
    a, logs = (layer.forward({}, z + shift)[0] for layer in ACROSS)
    np.testing.assert_allclose(a.sum(axis=0), 1, rtol=1e-15)
    np.testing.assert_array_equal(a, Softmax().forward({}, z)[0])
    np.testing.assert_allclose(logs, special.log_softmax(z, axis=0), rtol=1e-14)
    np.testing.assert_allclose(np.exp(logs), a, rtol=1e-14)  # e^x of x down to −20: 20 u
