"""Each scheme's law and scale, against what its docstring says and what PyTorch draws; statistics at four standard errors."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from scipy import stats

from experiments import theory
from scratch import Dense, InvalidInput, Network, Tanh, initializers
from scratch.randomness import generator
from torchref import initializers as twins

SHAPE = (150, 400)  # (n_out, n_in): far from square, so that the two fans cannot be confused
SCHEMES = initializers.by_name()
VARIANCES = {  # of one weight, written out from the papers for this shape
    "normal": 1,
    "small_normal": 1e-4,
    "truncated_normal": stats.truncnorm(-2, 2).var(),
    "standard": 1 / 1200,
    "lecun": 1 / 400,
    "lecun_uniform": 1 / 400,
    "xavier": 2 / 550,
    "xavier_uniform": 2 / 550,
    "he": 2 / 400,
    "he_uniform": 2 / 400,
    "notes": 2 / 400,
    "orthogonal": 1 / 400,
}
SHIFTED = {
    "zeros",
    "ones",
    "constant",
    "identity",
    "uniform",
}  # not random, or not of mean zero: no theory but for zeros
UNIFORM = ["standard", "lecun_uniform", "xavier_uniform", "he_uniform"]
# variance of w² over (Var w)²: 2 for a Gaussian, 4/5 for a uniform; an orthogonal matrix has Σw² fixed
SQUARES = {"orthogonal": 0.0, "truncated_normal": stats.truncnorm(-2, 2).stats("k") + 2, **dict.fromkeys(UNIFORM, 0.8)}
FOUR_SIGMA = 2 * stats.norm.sf(4)


def draw(name, shape=SHAPE, seed=0, **options):
    return SCHEMES[name](generator(seed, "draws"), shape, **options)


def drawn_by_torch(name, shape=SHAPE, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(twins, name)(torch.empty(shape, dtype=torch.float64), **options).numpy()


def test_every_scheme_is_known_here():
    """A scheme whose law nobody checks; a helper that passes for a scheme; mean-field theory without its variance."""
    assert set(SCHEMES) == set(VARIANCES) | SHIFTED
    assert set(theory.VARIANCES) == set(VARIANCES) | {"zeros"}


@pytest.mark.parametrize("name", SCHEMES)
def test_a_twin_takes_the_same_options(name):
    """An option or a default of one side alone; an option that could be taken for another by its position."""
    first, second, *mine = inspect.signature(SCHEMES[name]).parameters.values()
    _, *theirs = inspect.signature(getattr(twins, name)).parameters.values()
    assert (first.name, second.name) == ("generator", "shape")
    assert [(p.name, p.kind, p.default) for p in mine] == [(p.name, p.kind, p.default) for p in theirs]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in mine)


@pytest.mark.parametrize("name", VARIANCES)
def test_variance(name):
    """A lost factor 2, the wrong fan, a standard deviation taken for a variance."""
    w = draw(name)
    error = np.sqrt(SQUARES.get(name, 2.0) / w.size)
    assert abs((w**2).mean() - VARIANCES[name]) <= VARIANCES[name] * (4 * error + 1e-13)
    assert abs(w.mean()) <= 4 * np.sqrt(VARIANCES[name] / w.size)


@pytest.mark.parametrize("name", VARIANCES)
@pytest.mark.parametrize("shape", [(3, 7), (7, 3)], ids=str)
def test_theory_knows_the_variance(name, shape):
    """The predictions would be about other weights than those that are drawn."""
    w = draw(name, (4000, *shape))
    squares = (w**2).mean((-2, -1))  # one number for each matrix; an orthogonal matrix has always the same
    error = squares.std(ddof=1) / np.sqrt(len(squares))
    assert abs(squares.mean() - theory.VARIANCES[name](*shape)) <= 4 * error + 1e-14


def test_theory_knows_the_truncated_variance_to_its_digits():
    """The number that stands there, beside scipy's."""
    assert theory.VARIANCES["truncated_normal"](3, 7) == pytest.approx(VARIANCES["truncated_normal"], rel=1e-14)


def normal(mean, variance):
    return stats.norm(mean, np.sqrt(variance))


def uniform(variance):
    return stats.uniform(-np.sqrt(3 * variance), 2 * np.sqrt(3 * variance))


def truncated(mean, std, low, high):
    return stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)


LAWS = [  # scheme, options, the law of one weight given (n_out, n_in)
    ("small_normal", {}, lambda o, i: normal(0, 1e-4)),
    ("standard", {}, lambda o, i: uniform(1 / (3 * i))),
    ("lecun", {}, lambda o, i: normal(0, 1 / i)),
    ("lecun_uniform", {}, lambda o, i: uniform(1 / i)),
    ("notes", {}, lambda o, i: normal(0, 2 / i)),
    ("normal", {}, lambda o, i: normal(0, 1)),
    ("normal", {"mean": 0.3, "std": 0.02}, lambda o, i: normal(0.3, 0.02**2)),
    ("uniform", {}, lambda o, i: stats.uniform(0, 1)),
    ("uniform", {"low": -0.3, "high": 0.1}, lambda o, i: stats.uniform(-0.3, 0.4)),
    ("truncated_normal", {}, lambda o, i: truncated(0, 1, -2, 2)),
    # by normal draws, cut on one side; by uniform draws: narrow, in the upper tail, in the lower tail
    ("truncated_normal", {"mean": 0.1, "std": 0.2, "low": 0.0}, lambda o, i: truncated(0.1, 0.2, 0, 2)),
    ("truncated_normal", {"mean": 0.2, "low": -0.1, "high": 0.7}, lambda o, i: truncated(0.2, 1, -0.1, 0.7)),
    ("truncated_normal", {"std": 0.5, "low": 1.0, "high": 3.0}, lambda o, i: truncated(0, 0.5, 1, 3)),
    ("truncated_normal", {"std": 0.5, "low": -1.5, "high": -1.0}, lambda o, i: truncated(0, 0.5, -1.5, -1)),
    ("xavier", {}, lambda o, i: normal(0, 2 / (o + i))),
    ("xavier", {"gain": 1.7}, lambda o, i: normal(0, 1.7**2 * 2 / (o + i))),
    ("xavier_uniform", {}, lambda o, i: uniform(2 / (o + i))),
    ("xavier_uniform", {"gain": 0.6}, lambda o, i: uniform(0.36 * 2 / (o + i))),
    ("he", {}, lambda o, i: normal(0, 2 / i)),
    ("he", {"mode": "fan_out"}, lambda o, i: normal(0, 2 / o)),
    ("he", {"nonlinearity": "leaky_relu", "slope": 0.5}, lambda o, i: normal(0, 1.6 / i)),
    ("he", {"nonlinearity": "tanh", "mode": "fan_out", "slope": 3.0}, lambda o, i: normal(0, 25 / 9 / o)),
    ("he_uniform", {}, lambda o, i: uniform(2 / i)),
    ("he_uniform", {"mode": "fan_out", "nonlinearity": "selu"}, lambda o, i: uniform(9 / 16 / o)),
    ("he_uniform", {"nonlinearity": "leaky_relu", "slope": 0.5}, lambda o, i: uniform(1.6 / i)),
]


BOTH = [law for law in LAWS if law[2](*SHAPE).std() != law[2](*SHAPE[::-1]).std()]  # the fans make a difference
CASES = [(SHAPE, *law) for law in LAWS] + [(SHAPE[::-1], *law) for law in BOTH]


@pytest.mark.parametrize("shape, name, options, law", CASES, ids=[f"{c[1]} {c[2]} {c[0]}" for c in CASES])
def test_law(shape, name, options, law):
    """The right variance from the wrong distribution; an option that is ignored; a fan mistaken, here or in the twin."""
    expected = law(*shape)
    mean, variance, kurtosis = expected.stats("mvk")
    low, high = expected.support()
    for w in (draw(name, shape, **options), drawn_by_torch(name, shape, **options)):
        w = w.ravel()
        # bounds are products of a few roundings of their own
        slack = 4 * np.finfo(float).eps * max(abs(w))
        assert low - slack <= w.min() and w.max() <= high + slack
        assert abs(w.mean() - mean) <= 4 * np.sqrt(variance / w.size)
        assert abs(w.var() / variance - 1) <= 4 * np.sqrt((kurtosis + 2) / w.size)
        assert stats.kstest(w, expected.cdf).pvalue > FOUR_SIGMA


def test_every_option_is_moved_from_its_default():
    """A new option whose effect no law above shows."""
    tried = {(name, option) for name, options, _ in LAWS for option in options}
    tried |= {("constant", "value"), ("orthogonal", "gain")}  # below
    assert tried >= {(name, option) for name, f in SCHEMES.items() for option in [*inspect.signature(f).parameters][2:]}
    assert {name for name, _, _ in LAWS} == set(SCHEMES) - {"zeros", "ones", "constant", "identity", "orthogonal"}


@pytest.mark.parametrize("name", VARIANCES)
def test_weights_are_uncorrelated(name):
    """Rows or columns drawn once and repeated."""
    w = draw(name) / np.sqrt(VARIANCES[name])
    for a, b in ((w[:-1], w[1:]), (w[:, :-1], w[:, 1:])):
        products = (a * b).ravel()
        assert abs(products.mean()) <= 4 / np.sqrt(products.size)


@pytest.mark.parametrize("options", [{"low": -0.1, "high": 0.3}, {"low": -0.5}], ids=["uniform", "normal"])
def test_redrawn_weights_are_uncorrelated(options):
    """Replacements put in the wrong places, or one for all."""
    w = draw("truncated_normal", **options)
    assert len(np.unique(w)) == w.size
    z = (w - w.mean()) / w.std()
    for a, b in ((z[:-1], z[1:]), (z[:, :-1], z[:, 1:])):
        assert abs((a * b).mean()) <= 4 / np.sqrt(a.size)


@pytest.mark.parametrize("low, high", [(10, 10.1), (-10.1, -10)])
def test_truncated_normal_reaches_far_tails(low, high):
    """Φ(10) = 1 in floating point: a share of draws worked out there would be 0. (PyTorch warns, and draws.)"""
    w = draw("truncated_normal", low=low, high=high).ravel()
    assert stats.kstest(w, stats.truncnorm(low, high).cdf).pvalue > FOUR_SIGMA


def test_truncated_draws_keep_their_bounds_under_rounding():
    """mean + std·z an ulp outside; a bound at infinity, on either side."""
    low, high = 0.3, 0.3 + 1e-13  # 470 values of z apart: more than 100 of 60 000 draws are a bound's
    assert -0.9 + 1.9 * ((low + 0.9) / 1.9) < low
    w = draw("truncated_normal", mean=-0.9, std=1.9, low=low, high=high)
    assert w.min() >= low and w.max() <= high and len(np.unique(w)) > 300
    for sign in (1, -1):
        low, high = sorted((sign * 0.5, sign * math.inf))
        w = sign * draw("truncated_normal", low=low, high=high).ravel()
        assert stats.kstest(w, stats.truncnorm(0.5, np.inf).cdf).pvalue > FOUR_SIGMA


@pytest.mark.parametrize(
    "name, options, value",
    [("zeros", {}, 0.0), ("ones", {}, 1.0), ("constant", {}, 0.1), ("constant", {"value": -3}, -3.0)],
)
def test_constants(name, options, value):
    """A symmetric start that is not symmetric."""
    for w in (draw(name, **options), drawn_by_torch(name, **options)):
        assert w.dtype == np.float64 and np.array_equal(w, np.full(SHAPE, value))


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (4, 2, 3), (2, 2, 3, 2)], ids=str)
def test_identity(shape):
    """Ones of one member only, or memory that the members of a stack share."""
    w = draw("identity", shape)
    assert w.shape == shape and w.flags.writeable and w.flags.c_contiguous
    expected = drawn_by_torch("identity", shape[-2:])
    for at in np.ndindex(shape[:-2]):
        assert np.array_equal(w[at], expected)
    assert w.sum() == math.prod(shape[:-2]) * min(shape[-2:])
    w[..., 0, 1] = 7
    assert (w == 7).sum() == math.prod(shape[:-2])


@pytest.mark.parametrize("name", ["normal", "xavier", "he", "notes", "lecun"])
def test_gaussian_schemes_draw_the_same_numbers(name):
    """Comparing two schemes on different draws: a race between seeds, not schemes."""
    # four roundings: two scales, two products
    np.testing.assert_allclose(draw(name) / np.sqrt(VARIANCES[name]), draw("small_normal") / 0.01, rtol=1e-15)


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_schemes_draw_the_same_numbers(name):
    """The same for the uniform law."""
    expected = draw("uniform", low=-1, high=1)
    np.testing.assert_allclose(draw(name) / np.sqrt(3 * VARIANCES[name]), expected, rtol=1e-15)


def test_truncated_normal_keeps_the_normal_draws_that_fit():
    """Redrawing all for the sake of some."""
    w, untouched = draw("truncated_normal"), draw("normal")
    inside = abs(untouched) <= 2
    assert np.array_equal(w[inside], untouched[inside]) and 0 < (~inside).sum() < 0.06 * w.size


BITS = {
    "small_normal": lambda g, o, i: g.standard_normal((o, i)) * 0.01,
    "standard": lambda g, o, i: g.uniform(-1, 1, (o, i)) / np.sqrt(i),
    "lecun": lambda g, o, i: g.standard_normal((o, i)) * np.sqrt(1 / i),
    "xavier": lambda g, o, i: g.standard_normal((o, i)) * np.sqrt(2 / (i + o)),
    "he": lambda g, o, i: g.normal(0, np.sqrt(2 / i), (o, i)),
    "notes": lambda g, o, i: g.standard_normal((o, i)) * np.sqrt(2 / i),
}


@pytest.mark.parametrize("name", BITS)
def test_committed_results_rest_on_these_bits(name):
    """An option that changes the default's last bit, such as (√2)²/n for 2/n."""
    for shape in (SHAPE, (13, 7), (1, 3)):
        assert np.array_equal(draw(name, shape), BITS[name](generator(0, "draws"), *shape))


def test_notes_are_he_bit_for_bit():
    """The notes' "random weights * sqrt(2/n)" and He's N(0, 2/n) are one scheme."""
    assert np.array_equal(draw("notes"), draw("he"))
    assert not np.array_equal(draw("notes"), draw("notes", seed=1))


@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (2, 3, 6, 4), (2, 4, 6)], ids=str)
def test_orthogonal(shape, gain):
    """Orthonormal rows where columns are fewer, a stack that shares one matrix, a scale."""
    w = draw("orthogonal", shape, gain=gain)
    assert w.shape == shape and w.flags.c_contiguous
    for matrices in (w, drawn_by_torch("orthogonal", shape[-2:], gain=gain)):
        gram = matrices @ matrices.mT if shape[-2] <= shape[-1] else matrices.mT @ matrices
        expected = np.broadcast_to(gain**2 * np.eye(min(shape[-2:])), gram.shape)
        np.testing.assert_allclose(gram, expected, rtol=0, atol=gain**2 * 2e-15 * max(shape[-2:]))
    flat = w.reshape(-1, shape[-2] * shape[-1])
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_orthogonal_is_uniform():
    """QR alone fixes the signs of the diagonal: the first entry would never be positive, and its mean not zero."""
    w = draw("orthogonal", (4000, 3, 3))
    # entries of a uniformly distributed 3×3 orthogonal matrix are uniform on (−1, 1) (Archimedes), and so is det = ±1
    for entry in (w[:, 0, 0], w[:, 1, 2], w[:, 2, 1]):
        assert stats.kstest(entry, "uniform", (-1, 2)).pvalue > FOUR_SIGMA
    assert abs(np.linalg.det(w).round().mean()) <= 4 / np.sqrt(len(w))


@pytest.mark.parametrize("name", SCHEMES)
def test_schemes_take_stacks_and_are_reproducible(name):
    """A scheme that reads its fans from the leading axes, or randomness from elsewhere."""
    shape = (2, 3, SHAPE[0], 5)
    w = draw(name, shape)
    assert w.shape == shape and w.dtype == np.float64
    assert np.array_equal(w, draw(name, shape))
    if name in VARIANCES:
        spread = 4 * np.sqrt(SQUARES.get(name, 2.0) / w[0, 0].size) + 1e-13
        for member in w.reshape(-1, *shape[-2:]):
            assert abs((member**2).mean() / theory.VARIANCES[name](*shape[-2:]) - 1) <= spread
        assert len({member.tobytes() for member in w.reshape(-1, *shape[-2:])}) == 6


@pytest.mark.parametrize("name, options, law", LAWS, ids=[f"{name} {options}" for name, options, _ in LAWS])
def test_a_stack_of_one_is_its_member(name, options, law):
    """An option that takes its fan from a leading axis."""
    assert np.array_equal(draw(name, (1, 1, 13, 7), **options)[0, 0], draw(name, (13, 7), **options))


GAINS = {"linear": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": 2**0.5, "leaky_relu": (2 / 1.0001) ** 0.5, "selu": 3 / 4}


@pytest.mark.parametrize("name", GAINS)
def test_gain(name):
    """A factor not squared, or not taken the root of; PyTorch's are one rounding away, for 25/9 is none of ours."""
    assert initializers.gain(name) == pytest.approx(GAINS[name], rel=3e-16)
    assert initializers.gain(name) == pytest.approx(twins.gain(name), rel=3e-16)
    assert initializers.gain(name, 0.7) == pytest.approx(twins.gain(name, 0.7), rel=3e-16)
    assert (initializers.gain(name, 0.7) == initializers.gain(name)) == (name != "leaky_relu")


NAN, INF = math.nan, math.inf
BAD = [
    ("constant", {"value": INF}, r"constant\(value=inf\): must be finite"),
    ("normal", {"mean": NAN}, r"normal\(mean=nan\): must be finite"),
    ("normal", {"std": 0.0}, r"normal\(std=0.0\): must be positive and finite"),
    ("normal", {"std": INF}, r"normal\(std=inf\)"),
    ("uniform", {"low": 2.0}, r"uniform\(low=2.0, high=1.0\): low must not be above high"),
    ("uniform", {"high": INF}, r"uniform\(low=0.0, high=inf\): .* both finite"),
    ("uniform", {"low": NAN}, r"uniform\(low=nan, high=1.0\)"),
    ("truncated_normal", {"mean": INF}, r"truncated_normal\(mean=inf\)"),
    ("truncated_normal", {"std": -1.0}, r"truncated_normal\(std=-1.0\)"),
    ("truncated_normal", {"low": 2.0}, "low=2.0, high=2.0.: low must be below high"),
    ("truncated_normal", {"high": NAN}, "low must be below high"),
    ("truncated_normal", {"mean": 1e20}, "low must be below high, by more than rounding"),
    ("truncated_normal", {"low": 5.0, "high": 1e6}, "fewer than one draw in 10 000"),
    ("truncated_normal", {"low": -200.0, "high": -100.0}, "fewer than one draw in 10 000"),
    ("truncated_normal", {"low": 30.0, "high": INF}, "fewer than one draw in 10 000"),
    ("xavier", {"gain": 0.0}, r"xavier\(gain=0.0\): must be positive and finite"),
    ("xavier_uniform", {"gain": NAN}, r"xavier_uniform\(gain=nan\)"),
    ("orthogonal", {"gain": -1.0}, r"orthogonal\(gain=-1.0\)"),
    ("he", {"mode": "fanout"}, "no mode 'fanout'. Did you mean 'fan_out'?"),
    ("he", {"nonlinearity": "leakyrelu"}, "no gain for the nonlinearity 'leakyrelu'. Did you mean 'leaky_relu'?"),
    ("he_uniform", {"slope": NAN}, r"gain\(slope=nan\): must be finite"),
]


@pytest.mark.parametrize("name, options, message", BAD, ids=[f"{name} {options}" for name, options, _ in BAD])
def test_bad_options_are_refused(name, options, message):
    """Weights that are all NaN, a loop without end, a misspelt name that means the default."""
    with pytest.raises(InvalidInput, match=message):
        draw(name, **options)


def test_initialize_draws_each_layer_from_its_own_stream():
    """A layer's weights must not depend on the layers before it, nor biases follow the weights' scheme."""
    built = (Dense(4), Tanh(), Dense(3))
    asked = []

    def streams(k):
        asked.append(k)
        return generator(7, "weights", k)

    p = Network(built, 5).initialize(initializers.he, streams, leading=(2,))
    assert asked == [0, 1, 2] and [set(named) for named in p] == [{"W", "b"}, set(), {"W", "b"}]
    for k, shape in ((0, (2, 4, 5)), (2, (2, 3, 4))):
        assert np.array_equal(p[k]["W"], initializers.he(generator(7, "weights", k), shape))
        assert np.array_equal(p[k]["b"], np.zeros((*shape[:-1], 1)))
    q = Network(built, 5).initialize(initializers.zeros, streams, initializers.constant)
    assert np.array_equal(q[0]["W"], np.zeros((4, 5))) and np.array_equal(q[0]["b"], np.full((4, 1), 0.1))
