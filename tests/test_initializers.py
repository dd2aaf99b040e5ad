"""Each scheme's law and scale, against what its docstring says; statistics at four standard errors."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy import stats

from experiments import theory
from experiments.randomness import generator
from scratch import Dense, Network, Tanh, initializers

SHAPE = (150, 400)  # (n_out, n_in): far from square, so that the two fans cannot be confused
SCHEMES = initializers.by_name()
VARIANCES = {  # of one weight, written out from the papers for this shape
    "small_normal": 1e-4,
    "standard": 1 / 1200,
    "lecun": 1 / 400,
    "xavier": 2 / 550,
    "he": 2 / 400,
    "notes": 2 / 400,
    "orthogonal": 1 / 400,
}
FOUR_SIGMA = 2 * stats.norm.sf(4)


def draw(name, shape=SHAPE, seed=0):
    return SCHEMES[name](generator(seed, "draws"), shape)


def test_every_scheme_is_known_here():
    """A scheme whose law nobody checks; a helper that passes for a scheme; mean-field theory without its variance."""
    assert set(SCHEMES) == set(VARIANCES) | {"zeros", "constant"}
    assert set(theory.VARIANCES) == set(VARIANCES) | {"zeros"}


@pytest.mark.parametrize("name", VARIANCES)
def test_variance(name):
    """A lost factor 2, the wrong fan, a standard deviation taken for a variance."""
    w = draw(name)
    # variance of a mean square: 2s⁴/n for a Gaussian, 4s⁴/5n for a uniform; exactly 1/max(n) for an orthogonal matrix
    squares = {"orthogonal": 0.0, "standard": 0.8}.get(name, 2.0)
    assert abs((w**2).mean() - VARIANCES[name]) <= VARIANCES[name] * (4 * np.sqrt(squares / w.size) + 1e-13)
    assert abs(w.mean()) <= 4 * np.sqrt(VARIANCES[name] / w.size)


@pytest.mark.parametrize("name", VARIANCES)
@pytest.mark.parametrize("shape", [(3, 7), (7, 3)], ids=str)
def test_theory_knows_the_variance(name, shape):
    """The predictions would be about other weights than those that are drawn."""
    w = draw(name, (4000, *shape))
    squares = (w**2).mean((-2, -1))  # one number for each matrix; an orthogonal matrix has always the same
    error = squares.std(ddof=1) / np.sqrt(len(squares))
    assert abs(squares.mean() - theory.VARIANCES[name](*shape)) <= 4 * error + 1e-14


@pytest.mark.parametrize("name", ["small_normal", "lecun", "xavier", "he", "notes"])
def test_gaussian_law(name):
    """The right variance from the wrong distribution."""
    assert stats.kstest(draw(name).ravel() / np.sqrt(VARIANCES[name]), "norm").pvalue > FOUR_SIGMA


def test_uniform_law():
    """Bounds off, or a Gaussian of the same variance."""
    w = draw("standard").ravel() * np.sqrt(SHAPE[1])
    assert abs(w).max() <= 1
    assert stats.kstest(w, "uniform", (-1, 2)).pvalue > FOUR_SIGMA


@pytest.mark.parametrize("name", VARIANCES)
def test_weights_are_uncorrelated(name):
    """Rows or columns drawn once and repeated."""
    w = draw(name) / np.sqrt(VARIANCES[name])
    for a, b in ((w[:-1], w[1:]), (w[:, :-1], w[:, 1:])):
        products = (a * b).ravel()
        assert abs(products.mean()) <= 4 / np.sqrt(products.size)


@pytest.mark.parametrize("name, value", [("zeros", 0.0), ("constant", 0.1)])
def test_constants(name, value):
    """A symmetric start that is not symmetric."""
    assert np.array_equal(draw(name), np.full(SHAPE, value))


@pytest.mark.parametrize("name", ["xavier", "he", "notes", "lecun"])
def test_gaussian_schemes_draw_the_same_numbers(name):
    """Comparing two schemes on different draws: a race between seeds, not schemes."""
    # four roundings: two scales, two products
    np.testing.assert_allclose(draw(name) / np.sqrt(VARIANCES[name]), draw("small_normal") / 0.01, rtol=1e-15)


def test_notes_are_he_bit_for_bit():
    """The notes' "random weights * sqrt(2/n)" and He's N(0, 2/n) are one scheme."""
    assert np.array_equal(draw("notes"), draw("he"))
    assert not np.array_equal(draw("notes"), draw("notes", seed=1))


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (2, 3, 6, 4), (2, 4, 6)], ids=str)
def test_orthogonal(shape):
    """Orthonormal rows where columns are fewer, a stack that shares one matrix, a scale."""
    w = draw("orthogonal", shape)
    assert w.shape == shape and w.flags.c_contiguous
    gram = w @ w.mT if shape[-2] <= shape[-1] else w.mT @ w
    np.testing.assert_allclose(
        gram, np.broadcast_to(np.eye(min(shape[-2:])), gram.shape), rtol=0, atol=2e-15 * max(shape[-2:])
    )
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
    w = draw(name, (2, 3, *SHAPE[:1], 5))
    assert w.shape == (2, 3, SHAPE[0], 5) and w.dtype == np.float64
    assert np.array_equal(w, draw(name, (2, 3, *SHAPE[:1], 5)))
    assert list(inspect.signature(SCHEMES[name]).parameters) == ["generator", "shape"]


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
