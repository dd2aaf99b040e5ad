"""Every gradient of scratch against complex-step differences of a forward pass written here, which shares no code with it.

f(θ + ih)'s imaginary part is h·f′(θ) with an error of h² = 1e-60: nothing is subtracted, so only rounding is left.
"""

from __future__ import annotations

import warnings

import helpers
import numpy as np
import pytest
import torch

from experiments.randomness import generator
from scratch import (
    Batch,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Identity,
    Job,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SquaredError,
    Tanh,
)
from scratch import training as ours

H = 1e-30
ROUNDING = 1e-12  # some hundred operations of 1.1e-16 each, relative to the largest entry
ELEMENTWISE = {  # kinked ones take the branch of the real part
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": lambda z: np.sinh(z) / np.cosh(z),
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "leakyrelu": lambda z: np.where(z.real > 0, z, 0.01 * z),
}
VALUES = {
    "squared": lambda z, y: ((z - y) ** 2).sum() / z.size,
    "binary": lambda z, y: (np.log(1 + np.exp(z)) - z * y).sum() / z.size,
    "labels": lambda z, y: sum(np.log(np.exp(z[:, j]).sum()) - z[y[j], j] for j in range(z.shape[1])) / z.shape[1],
    "probabilities": lambda z, y: -(y * (z - np.log(np.exp(z).sum(0)))).sum() / z.shape[1],
    "inner": lambda z, y: (y * z).sum() / z.shape[1],
}


def forward(layers, parameters, x):
    """The independent witness: Z = WX + b and the elementwise functions above, in complex numbers."""
    for layer, p in zip(layers, parameters, strict=True):
        if isinstance(layer, Dense):
            x = np.einsum("oi,im->om", p["W"], x) + (p["b"] if layer.bias else 0)
        else:
            x = ELEMENTWISE[type(layer).__name__.lower()](x)
    return x


def complex_step(f, array):
    """∂f/∂array, one entry at a time."""
    found = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        moved = array.astype(complex)
        moved[index] += 1j * H
        found[index] = f(moved).imag / H
    return found


def assert_close(found, expected, name):
    assert abs(expected).max() > 0, f"{name}: nothing to compare"
    error = abs(found - expected).max() / abs(expected).max()
    assert error <= ROUNDING, f"{name}: relative error {error:.2e}"


def test_every_activation_has_a_formula_here():
    """An activation without an independent formula would go unchecked."""
    assert set(helpers.ACTIVATIONS) == set(ELEMENTWISE), "write the formula of the missing activation in ELEMENTWISE"
    assert set(helpers.LOSSES) == set(VALUES)


@pytest.mark.parametrize("activation", helpers.ACTIVATIONS)
@pytest.mark.parametrize("kind", helpers.LOSSES)
def test_network_gradients(kind, activation):
    """Any wrong term in any backward pass: at the input, at every layer's output and at every parameter."""
    random = generator(1, "gradients", kind, activation)
    layers = (Identity(), *helpers.deep(helpers.ACTIVATIONS[activation]()))
    parameters = helpers.parameters(layers, seed=1)
    x, y = (
        random.standard_normal((helpers.FEATURES, helpers.SIZE)),
        helpers.targets(kind, random, helpers.WIDTHS[-1], helpers.SIZE),
    )
    shot = ours.snapshot(Job(layers, helpers.LOSSES[kind], parameters, Batch(x, y)))

    def value(p, x, first=0):
        return VALUES[kind](forward(layers[first:], p[first:], x), y)

    assert_close(shot.loss, value(parameters, x.astype(complex)).real, "loss")
    assert_close(shot.output_gradients[0], complex_step(lambda x: value(parameters, x), x), "input")
    for k, output in enumerate(shot.outputs):
        if (
            activation == "relu" or activation == "leakyrelu"
        ):  # no number so near the kink that rounding chooses the side
            assert abs(output[output != 0]).min() > 1e-6
        gradient = complex_step(lambda a, k=k: value(parameters, a, k + 1), output)
        assert_close(shot.output_gradients[k], gradient, f"output of layer {k}")
    for k, named in enumerate(parameters):
        for name, array in named.items():

            def moved(a, k=k, name=name):
                return value(tuple({**p, name: a} if j == k else p for j, p in enumerate(parameters)), x)

            assert_close(shot.gradients[k][name], complex_step(moved, array), f"layer {k} {name}")


@pytest.mark.parametrize("slope", [0.01, 0.3, -0.5, 0.0])
def test_leaky_slope_is_the_layers_own(slope):
    """A slope that is written into the code, or lost on the way back; outputs on both sides of the kink."""
    z = np.array([[-2.0, -0.5, 0.5, 2.0]])
    layer = LeakyReLU(slope)
    a, cache = layer.forward({}, z)
    np.testing.assert_array_equal(a, [[-2 * slope, -0.5 * slope, 0.5, 2.0]])
    np.testing.assert_array_equal(layer.backward({}, cache, np.full_like(z, 3.0)), [[3 * slope, 3 * slope, 3.0, 3.0]])


@pytest.mark.parametrize("layer, at_zero", [(ReLU(), 0.0), (LeakyReLU(0.01), 0.01)])
def test_derivative_at_the_kink_is_torchs(layer, at_zero):
    """A convention at z = 0 other than PyTorch's makes dead units differ between the two."""
    z = np.array([[0.0, -0.0]])
    _, cache = layer.forward({}, z)
    np.testing.assert_array_equal(layer.backward({}, cache, np.ones_like(z)), [[at_zero, at_zero]])
    t = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.leaky_relu(t, at_zero).sum().backward() if at_zero else torch.relu(t).sum().backward()
    np.testing.assert_array_equal(t.grad.numpy(), [at_zero, at_zero])


@pytest.mark.parametrize("kind", helpers.LOSSES)
def test_loss_value_and_gradient(kind):
    """A loss whose value and gradient belong to different functions, or that averages over the wrong count."""
    random = generator(2, "losses", kind)
    z, y = random.standard_normal((3, 6)), helpers.targets(kind, random, 3, 6)
    value, gradient = helpers.LOSSES[kind](z, y)
    assert_close(value, VALUES[kind](z, y), "value")
    assert_close(gradient, complex_step(lambda z: VALUES[kind](z, y), z), "gradient")


@pytest.mark.parametrize("kind", helpers.LOSSES)
def test_loss_of_a_stack_is_each_members_own(kind):
    """A mean that takes the leading axes along."""
    random = generator(3, "losses", kind)
    z, y = random.standard_normal((2, 4, 3, 6)), helpers.targets(kind, random, 3, 6)
    values, gradients = helpers.LOSSES[kind](z, y)
    assert values.shape == (2, 4) and gradients.shape == z.shape
    for index in np.ndindex(2, 4):
        value, gradient = helpers.LOSSES[kind](z[index], y)
        assert values[index] == value and np.array_equal(gradients[index], gradient)


def torch_loss(kind, z, y):
    """PyTorch's value and gradient, rows in and columns back."""
    t = torch.tensor(z.T.copy(), requires_grad=True)
    target = torch.tensor(y if y.ndim == 1 else y.T.copy())
    criterion = torch.nn.BCEWithLogitsLoss() if kind == "binary" else torch.nn.CrossEntropyLoss()
    value = criterion(t, target)
    value.backward()
    return value.item(), t.grad.numpy().T


@pytest.mark.parametrize("kind", ["binary", "labels", "probabilities"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [40.0, 800.0, 1e4])
def test_extreme_logits(kind, dtype, size):
    """e^z that overflows, or ln 0: losses must stay finite, without a warning, and equal PyTorch's."""
    z = (size * np.array([[1, -1, 1, -1, 0, 1], [-1, 1, 1, -1, 0, 0.5], [0, 0, 1, -1, 0, -1]])).astype(dtype)
    y = np.array([0, 2, 1, 1, 0, 2]) if kind == "labels" else np.tile(np.array([[0.0], [1.0], [0.25]], dtype), 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, gradient = helpers.LOSSES[kind](z, y)
    expected, slope = torch_loss(kind, z, y)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    unit = 16 * np.finfo(dtype).eps  # a handful of operations on numbers of the size of the logits
    np.testing.assert_allclose(value, expected, rtol=unit)
    np.testing.assert_allclose(gradient, slope, rtol=unit, atol=unit)


@pytest.mark.parametrize("shift", [1e3, -1e3])
def test_softmax_ignores_a_common_shift(shift):
    """Softmax of z + c is softmax of z: without subtracting the largest logit it overflows or is 0/0."""
    random = generator(4, "shift")
    z, y = random.standard_normal((3, 6)), random.integers(0, 3, 6)
    (value, gradient), (moved, pushed) = CrossEntropy()(z, y), CrossEntropy()(z + shift, y)
    # z + c is rounded to 1e3·u = 1.1e-13 absolute
    np.testing.assert_allclose(moved, value, rtol=0, atol=4e-13)
    np.testing.assert_allclose(pushed, gradient, rtol=0, atol=4e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sigmoid_and_tanh_saturate_quietly(dtype):
    """An overflow warning or a NaN where a unit is saturated."""
    z = np.array([[-1e4, -50, 0, 50, 1e4]], dtype)
    for layer, low, high in ((Sigmoid(), 0, 1), (Tanh(), -1, 1)):
        a, cache = layer.forward({}, z)
        slope = layer.backward({}, cache, np.ones_like(z))
        assert a.dtype == slope.dtype == dtype
        assert a[0, 0] == low and a[0, -1] == high and np.isfinite(slope).all()
        assert slope[0, 0] == slope[0, -1] == 0 and slope[0, 2] == (0.25 if low == 0 else 1)


def test_sigmoid_keeps_its_relative_accuracy():
    """1 − σ computed as σ(−z) would lose the small end: σ(−40) is 4.2e-18, not 0."""
    z = np.linspace(-40, 40, 81)[None, :]
    a, _ = Sigmoid().forward({}, z)
    exact = np.array([[float(torch.sigmoid(torch.tensor(v, dtype=torch.float64))) for v in z[0]]])
    np.testing.assert_allclose(a, exact, rtol=1e-15)  # exp, sum and reciprocal: four roundings


@pytest.mark.parametrize("z", [-30.0, -1.0, 0.0, 2.0, 30.0])
@pytest.mark.parametrize("y", [0.0, 0.3, 1.0])
def test_binary_is_the_two_class_special_case(z, y):
    """BCE of one logit z is cross-entropy of the logits (z, 0) with the probabilities (y, 1 − y), in value and slope."""
    value, slope = BinaryCrossEntropy()(np.array([[z]]), np.array([[y]]))
    both, slopes = CrossEntropy()(np.array([[z], [0.0]]), np.array([[y], [1 - y]]))
    np.testing.assert_allclose(value, both, rtol=1e-14, atol=1e-16)  # a handful of roundings
    np.testing.assert_allclose(slope[0], slopes[0], rtol=1e-14, atol=1e-15)


def test_squared_error_counts_every_number():
    """A mean over examples alone is k times too large for k outputs."""
    value, gradient = SquaredError()(np.full((3, 4), 2.0), np.zeros((3, 4)))
    assert value == 4.0 and np.array_equal(gradient, np.full((3, 4), 4 / 12))
