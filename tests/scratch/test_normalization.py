"""Normalization far from 0, of constants, and of the largest numbers: against exact arithmetic and PyTorch."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from scratch import BatchNorm, Dense, LayerNorm, Network
from scratch.gradcheck import complex_step
from scratch.lsuv import lsuv
from scratch.normalization import centred
from scratch.randomness import generator

NORMS = {"batch": (BatchNorm(affine=False), -1), "layer": (LayerNorm(affine=False), -2)}
both = pytest.mark.parametrize("layer, axis", NORMS.values(), ids=NORMS)
precision = pytest.mark.parametrize("dtype", ["float64", "float32"])


def passed(layer, x, g=None):
    """The output, the buffers after it, and ∂J/∂x."""
    p = {name: a.astype(x.dtype) for name, a in layer.buffers(x.shape[-2]).items()}
    a, cache = layer.forward(p, x)
    return a, p, layer.backward(p, cache, np.ones_like(a) if g is None else g)[0]


def along(rows, axis):
    """Groups that are normalized, one a row, as ``axis`` wants them."""
    return rows if axis == -1 else np.ascontiguousarray(rows.T)


def far(dtype, m, place, size=50):
    """Whole numbers, held exactly, whose mean is many times as large as their spread."""
    return (place + generator(m, "far").integers(-size, size, (4, m))).astype(dtype)


@both
@precision
def test_the_issues_example(layer, axis, dtype):
    """[1e8, 1e8+8, 1e8+16]: float32 gave 0, 0.77 and 1.55, because the rounded mean was 8 too small."""
    x = along(np.array([[1e8, 1e8 + 8, 1e8 + 16]], dtype), axis)
    a, buffers, _ = passed(layer, x)
    u = np.finfo(dtype).eps
    np.testing.assert_allclose(along(a, axis)[0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=4 * u + 2e-7, atol=0)
    if buffers:  # a tenth of the mean, and of the unbiased variance 64
        np.testing.assert_allclose(buffers["running_mean"], [[1e7 + 0.8]], rtol=2 * u)
        np.testing.assert_allclose(buffers["running_var"], [[0.9 + 6.4]], rtol=4 * u)


@both
@precision
@pytest.mark.parametrize("m", [3, 64, 1000])
def test_far_from_zero(layer, axis, dtype, m):
    """Value, statistics and gradient against the same in whole numbers' exact sums; x and g have large means, as sums see them."""
    place = 1e7 if dtype == "float32" else 1e15
    x, g = far(dtype, m, place), far(dtype, m, place / 8)[::-1]
    a, buffers, dx = passed(layer, along(x, axis), along(g, axis))
    exact = [[int(value) for value in row] for row in x.tolist()]
    apart = np.array([[float(Fraction(m * value - sum(row), m)) for value in row] for row in exact])
    pull = [[int(value) for value in row] for row in g.tolist()]
    pulled = np.array([[float(Fraction(m * value - sum(row), m)) for value in row] for row in pull])
    variance = (apart**2).mean(-1, keepdims=True)
    normal = apart / np.sqrt(variance + layer.eps)
    expected = (pulled - normal * (pulled * normal).mean(-1, keepdims=True)) / np.sqrt(variance + layer.eps)
    room = 8 * np.sqrt(m) * np.finfo(dtype).eps  # sums one after the other, along axis −2
    np.testing.assert_allclose(along(a, axis), normal, rtol=0, atol=room)
    np.testing.assert_allclose(along(dx, axis), expected, rtol=0, atol=room * abs(expected).max())
    if buffers:
        u = np.finfo(dtype).eps
        mean = np.array([float(Fraction(sum(row), 10 * m)) for row in exact])
        np.testing.assert_allclose(buffers["running_mean"][:, 0], mean, rtol=2 * u)
        np.testing.assert_allclose(buffers["running_var"], 0.9 + 0.1 * variance * m / (m - 1), rtol=room)


@both
@precision
@pytest.mark.parametrize("value", [0.1, 1 / 3, 123.456, 1e8 + 8, -3e30])
@pytest.mark.parametrize("m", [3, 7, 100, 1000])
def test_a_constant_is_zero(layer, axis, dtype, value, m):
    """The rounding of a sum of equal numbers, divided by √ε, was as much as 0.3 of a deviation."""
    a, buffers, _ = passed(layer, along(np.full((2, m), value, dtype), axis))
    assert not a.any()
    if buffers:
        assert (buffers["running_var"] == np.dtype(dtype).type(1 - 0.1)).all()


@precision
def test_centred_one_by_one(dtype):
    """The mean is kept as an axis of length 1; a stack's members do not feel each other."""
    x = far(dtype, 12, 1e6).reshape(2, 2, 12)
    apart, mean = centred(x, -1)
    assert mean.shape == (2, 2, 1) and apart.dtype == mean.dtype == x.dtype
    for k in range(2):
        alone, its = centred(x[k], -1)
        assert np.array_equal(alone, apart[k]) and np.array_equal(its, mean[k])


@both
def test_complex_step_far_from_zero(layer, axis):
    """Forward on complex numbers: the second pass has to carry the imaginary part as well."""
    random = generator(1, "step")
    x, g = 100 + random.standard_normal((4, 5)), random.standard_normal((4, 5))
    x, g = along(x, axis), along(g, axis)

    def value(points):
        a = np.array(
            [layer.forward({k: v.astype(complex) for k, v in layer.buffers(x.shape[0]).items()}, z)[0] for z in points]
        )
        return (a * g).sum((-2, -1))

    np.testing.assert_allclose(passed(layer, x, g)[2], complex_step(value, x), rtol=1e-11, atol=1e-13)


@both
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
@pytest.mark.parametrize("eps", [1e-5, 1e-300])
def test_nothing_warns(layer, axis, dtype, eps):
    """∞ and NaN speak for themselves: a RuntimeWarning is an error here, forward and backward."""
    layer, random, most = type(layer)(eps), generator(8, "silent"), np.finfo(dtype).max
    odd = np.array([0, 1, -1, 1e-30, most, -most, most / 2, np.inf, -np.inf, np.nan])
    for kind in (layer, layer.inference()):
        for trial in range(40):
            x, g = random.choice(odd[: 7 if trial % 2 else None], (2, 3, 4)).astype(dtype)
            p = {name: a.astype(dtype) for name, a in layer.buffers(3).items()}
            p |= {"gamma": np.full((3, 1), most, dtype), "beta": np.ones((3, 1), dtype)}
            a, cache = kind.forward(p, x)
            assert a.shape == x.shape
            if dtype != "complex128":
                kind.backward(p, cache, g)


@both
def test_as_near_to_exact_as_pytorch(layer, axis):
    """PyTorch adds float32 up in float64; where the sum is what rounds, scratch must not be worse by more than a few roundings."""
    x = far("float32", 100, 1e7)
    a = along(passed(layer, along(x, axis))[0], axis)
    theirs = torch.nn.functional.layer_norm(torch.tensor(x), (100,)).numpy()
    exact = passed(layer, along(x.astype(float), axis))[0]
    error, other = abs(a - along(exact, axis)).max(), abs(theirs - along(exact, axis)).max()
    assert error <= max(other, 64 * np.finfo("f4").eps)


def test_lsuv_far_from_zero():
    """Its variance is that of the outputs there are: around a rounded mean it looked like 1 and was not."""
    x, network = np.array([[5e7, 5e7 + 8, 5e7 + 16]], "f4"), Network((Dense(1, bias=False),), 1)
    (found,) = lsuv(network, ({"W": np.ones((1, 1), "f4")},), x, tolerance=0.2)
    assert abs((found["W"] @ x).astype(float).var() - 1) < 0.2
