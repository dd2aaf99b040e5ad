"""Whole networks of scratch against complex-step differences of a forward pass written here, which shares no code with it.

f(θ + ih)'s imaginary part is h·f′(θ) with an error of h² = 1e-60: nothing is subtracted, so only rounding is left.
Single activations and losses: test_activations.py, test_losses.py.
"""

from __future__ import annotations

import helpers
import numpy as np
import pytest
from scipy import special

from scratch import (
    BatchNorm,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Dropout,
    Identity,
    LayerNorm,
    LogSoftmax,
    Residual,
    Softmax,
)
from scratch import training as ours
from scratch.randomness import generator

H = 1e-30
ROUNDING = 1e-12  # some hundred operations of 1.1e-16 each, relative to the largest entry
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772
ELEMENTWISE = {  # identities other than those that scratch's code and formulas use; kinked ones take the branch of the real part
    "identity": lambda z: z,
    "sigmoid": lambda z: (1 + np.tanh(z / 2)) / 2,
    "tanh": lambda z: np.sinh(z) / np.cosh(z),
    "relu": lambda z: z * (z.real > 0),
    "leakyrelu": lambda z: z * np.where(z.real > 0, 1, 0.01),
    "elu": lambda z: np.where(z.real > 0, z, 2 * np.sinh(z / 2) * np.exp(z / 2)),
    "selu": lambda z: SCALE * np.where(z.real > 0, z, 2 * ALPHA * np.sinh(z / 2) * np.exp(z / 2)),
    "gelu": lambda z: z * special.erfc(-z / np.sqrt(2)) / 2,
    "softplus": lambda z: z / 2 + np.log(2 * np.cosh(z / 2)),
    "silu": lambda z: z * (1 + np.tanh(z / 2)) / 2,
    "mish": lambda z: z * (1 - 2 / ((1 + np.exp(z)) ** 2 + 1)),
    "hardtanh": lambda z: np.where(abs(z.real) < 1, z, np.sign(z.real)),
}
KINKS = {"relu": [0], "leakyrelu": [0], "selu": [0], "hardtanh": [-1, 1]}
VALUES = {
    "squared": lambda z, y: ((z - y) ** 2).sum() / z.size,
    "absolute": lambda z, y: ((z - y) * np.sign((z - y).real)).sum() / z.size,
    "huber": lambda z, y: (
        sum(e * e / 2 if abs(e.real) < 0.5 else (np.sign(e.real) * e - 0.25) / 2 for e in (z - y).flat) / z.size
    ),
    "binary": lambda z, y: (np.log(1 + np.exp(z)) - z * y).sum() / z.size,
    "binary of probabilities": lambda p, y: -np.log((p / (1 - p)) ** y * (1 - p)).sum() / p.size,
    "labels": lambda z, y: sum(np.log(np.exp(z[:, j]).sum()) - z[y[j], j] for j in range(z.shape[1])) / z.shape[1],
    "probabilities": lambda z, y: -(y * (z - np.log(np.exp(z).sum(0)))).sum() / z.shape[1],
    "likelihood": lambda z, y: -sum(z[y[j], j] for j in range(z.shape[1])) / z.shape[1],
    "inner": lambda z, y: (y * z).sum() / z.shape[1],
}
LAYERS = {
    Dense: lambda layer, p, x: np.einsum("oi,im->om", p["W"], x) + p.get("b", 0),
    BatchNorm: lambda layer, p, x: scaled(p, centred(x, layer.eps)),
    LayerNorm: lambda layer, p, x: scaled(p, centred(x.T, layer.eps).T),
    Softmax: lambda layer, p, x: 1 / across(x),
    LogSoftmax: lambda layer, p, x: -np.log(across(x)),
    Dropout: lambda layer, p, x: np.where(p["mask"], x / (1 - layer.rate), 0),
    Residual: lambda layer, p, x: x + forward(layer.layers, [within(p, k) for k in range(len(layer.layers))], x),
}


def centred(x, eps):
    """Rows of mean 0 and variance 1, the variance being half the mean square distance of two examples."""
    variance = ((x[:, :, None] - x[:, None, :]) ** 2).sum((1, 2)) / (2 * x.shape[1] ** 2)
    return (x - (x @ np.ones(x.shape[1]) / x.shape[1])[:, None]) / np.sqrt(variance + eps)[:, None]


def scaled(p, x):
    return p["gamma"] * x + p["beta"] if p else x


def across(z):
    """Σ_k e^(z_k − z_i)."""
    return np.exp(z[:, None] - z[None]).sum(0)


def within(p, k):
    return {name[2:]: a for name, a in p.items() if name.startswith(f"{k}.")}


def forward(layers, given, x):
    """The independent witness in complex numbers; ``given``: parameters and masks."""
    for layer, p in zip(layers, given, strict=True):
        apply = LAYERS.get(type(layer))
        x = apply(layer, p, x) if apply else ELEMENTWISE[type(layer).__name__.lower()](x)
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


def assert_gradients(kind, layers):
    """At the input, at every layer's output and at every parameter."""
    job = helpers.job(kind, layers=(Identity(), *layers), seed=1)
    look = helpers.at(job, next(iter(ours.train(job))))
    shot, layers, masks = ours.snapshot(look), look.layers, look.noise_at(0, helpers.SIZE)

    def value(p, x, first=0):
        given = [held | handed for held, handed in zip(p, masks, strict=True)]
        return VALUES[kind](forward(layers[first:], given[first:], x), look.data.y)

    assert_close(shot.loss, value(look.parameters, look.data.x.astype(complex)).real, "loss")
    assert_close(shot.output_gradients[0], complex_step(lambda x: value(look.parameters, x), look.data.x), "input")
    for k, output in enumerate(shot.outputs):
        gradient = complex_step(lambda a, k=k: value(look.parameters, a, k + 1), output)
        assert_close(shot.output_gradients[k], gradient, f"output of layer {k}")
    for k, name, array in helpers.entries(look.parameters):

        def moved(a, k=k, name=name):
            return value([{**p, name: a} if j == k else p for j, p in enumerate(look.parameters)], look.data.x)

        assert_close(shot.gradients[k][name], complex_step(moved, array), f"layer {k} {name}")
    return shot


KIND_OF = dict(zip(helpers.ACTIVATIONS, 2 * list(helpers.LOSSES), strict=False))


def test_everything_has_a_formula_here():
    """An activation or a layer without an independent formula would go unchecked."""
    assert set(helpers.ACTIVATIONS) == set(ELEMENTWISE), "write the formula of the missing activation in ELEMENTWISE"
    assert set(helpers.LOSSES) == set(VALUES) == set(KIND_OF.values())
    assert set(LAYERS) | set(helpers.ACTIVATIONS.values()) >= set(helpers.leaves(helpers.Layer)), "write it in LAYERS"


@pytest.mark.parametrize("activation", helpers.ACTIVATIONS)
def test_gradients_through_every_activation_and_loss(activation):
    """Any wrong term in any backward pass."""
    shot = assert_gradients(KIND_OF[activation], helpers.deep(helpers.ACTIVATIONS[activation]()))
    for kink in KINKS.get(activation, ()):  # no number so near the kink that rounding chooses the side
        assert all(abs(shot.outputs[k] - kink).min() > 1e-6 for k in (1, 3))


@pytest.mark.parametrize("name", [name for name, (_, changes) in helpers.PARTS.items() if "layers" in changes])
def test_gradients_through_every_layer(name):
    """A mean or a variance held fixed on the way back, a mask applied once, a skip that carries no gradient."""
    kind, changes = helpers.PARTS[name]
    assert_gradients(kind, changes["layers"])


def test_binary_is_the_two_class_special_case():
    """BCE of one logit z is cross-entropy of the logits (z, 0) with the probabilities (y, 1 − y), in value and slope."""
    for z in (-30.0, -1.0, 0.0, 2.0, 30.0):
        for y in (0.0, 0.3, 1.0):
            value, slope = BinaryCrossEntropy()(np.array([[z]]), np.array([[y]]))
            both, slopes = CrossEntropy()(np.array([[z], [0.0]]), np.array([[y], [1 - y]]))
            np.testing.assert_allclose(value, both, rtol=1e-14, atol=1e-16)  # a handful of roundings
            np.testing.assert_allclose(slope[0], slopes[0], rtol=1e-14, atol=1e-15)


def test_cross_entropy_ignores_a_common_shift():
    """Softmax of z + c is softmax of z: without subtracting the largest logit it overflows or is 0/0."""
    random = generator(4, "shift")
    z, y = random.standard_normal((3, 6)), random.integers(0, 3, 6)
    for shift in (1e3, -1e3):
        for moved, plain in zip(CrossEntropy()(z + shift, y), CrossEntropy()(z, y), strict=True):
            np.testing.assert_allclose(moved, plain, rtol=0, atol=4e-13)  # z + c is rounded to 1e3·u = 1.1e-13 absolute
