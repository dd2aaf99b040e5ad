"""LSUV: every layer's output has unit variance, by torch's own forward pass; each member of a stack by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from scratch import Dense, InvalidInput, Network, ReLU, Tanh, initializers
from scratch.layers import Dropout, Residual
from scratch.lsuv import lsuv
from scratch.normalization import BatchNorm
from scratch.randomness import generator

INSIDE = (Dense(4), Tanh(), Dropout(0.4), Dense(6, bias=False))
NETWORKS = {
    "plain": Network((Dense(7), Tanh(), Dense(11), ReLU(), Dense(3, bias=False)), 5),
    "every kind": Network((Dense(6), BatchNorm(), ReLU(), Dropout(0.5), Residual(INSIDE), Dense(3)), 5),
}
X = 3 + 7 * generator(0, "lsuv").standard_normal((5, 40))  # neither centred nor of unit variance


def start(network, leading=(), spread=0.0, dtype=np.float64):
    """Orthogonal weights, biases and β of standard deviation ``spread``."""

    def biases(random, shape):
        return spread * random.standard_normal(shape)

    drawn = network.initialize(initializers.orthogonal, lambda k: generator(3, "lsuv", k), biases, leading)
    return tuple({name: a.astype(dtype) for name, a in named.items()} for named in drawn)


def torch_variances(layers, parameters, x):
    """Variance of every Dense layer's output over units and examples, in order, and the last output: by torch alone."""
    found, h = [], x  # (m, features)
    for k, layer in enumerate(layers):
        p = {name: torch.from_numpy(a) for name, a in parameters[k].items()}
        if isinstance(layer, Dense):
            h = functional.linear(h, p["W"], p["b"][:, 0] if layer.bias else None)
            found.append(float(h.var(unbiased=False)))
        elif isinstance(layer, BatchNorm):
            h = functional.batch_norm(h, None, None, p["gamma"][:, 0], p["beta"][:, 0], training=True)
        elif isinstance(layer, Residual):
            parts = [
                {name[2:]: a for name, a in parameters[k].items() if name[0] == str(j)}
                for j in range(len(layer.layers))
            ]
            inner, f = torch_variances(layer.layers, parts, h)
            found, h = found + inner, h + f
        elif not isinstance(layer, Dropout):
            h = {Tanh: torch.tanh, ReLU: torch.relu}[type(layer)](h)
    return found, h


def variances(network, parameters, x=X):
    return np.array(torch_variances(network.layers, parameters, torch.from_numpy(x).mT)[0])


def member(parameters, at):
    return tuple({name: a[at] for name, a in named.items()} for named in parameters)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("spread", [0.0, 0.3], ids=["no biases", "biases"])
def test_lsuv_gives_every_layer_unit_variance(name, spread):
    """A layer rescaled on what reached it before the layers below were; one that is left out; a standard deviation for a variance."""
    network = NETWORKS[name]
    before = start(network, spread=spread)
    assert (abs(variances(network, before) - 1) > 0.01).all()
    after = lsuv(network, before, X, tolerance=1e-9, iterations=60)
    # torch and NumPy sum in different order: 440 numbers, a relative error of 1e-14 or less
    np.testing.assert_allclose(variances(network, after), 1, rtol=0, atol=1e-9 + 1e-13)
    factors = []
    for old, new in zip(before, after, strict=True):
        assert list(old) == list(new)
        for key in old:
            assert new[key] is not old[key]
            if key.endswith("W"):
                ratio = new[key] / old[key]
                np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-13)  # sixty divisions, two roundings each
                factors.append(ratio.mean())
            else:
                assert np.array_equal(old[key], new[key])
    assert min(factors) > 0 and len(factors) == len(variances(network, after))


@pytest.mark.parametrize("own_x", [False, True])
@pytest.mark.parametrize("leading", [(3,), (2, 2)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_lsuv_treats_the_members_of_a_stack_alone(name, leading, own_x):
    """A variance over the stack; a member that is rescaled again because another one is not done yet."""
    network = NETWORKS[name]
    before = start(network, leading, spread=0.3)
    scale = np.arange(1, 1 + math.prod(leading)).reshape(*leading, 1, 1) if own_x else 1
    x = X * scale
    after = lsuv(network, before, x, tolerance=1e-4, iterations=60)
    network.check(after)
    for at in np.ndindex(leading):
        alone = lsuv(network, member(before, at), x[at] if own_x else x, tolerance=1e-4, iterations=60)
        for mine, theirs in zip(alone, member(after, at), strict=True):
            assert all(np.array_equal(mine[key], theirs[key]) for key in mine)


def test_lsuv_leaves_alone_what_is_near_enough():
    """A tolerance that is not read; arguments that are changed; running statistics that begin before training."""
    network = NETWORKS["every kind"]
    once = lsuv(network, start(network, spread=0.2), X, tolerance=1e-9, iterations=60)
    shaken = tuple({k: a * (1.02 if k.endswith("W") else 1) for k, a in named.items()} for named in once)
    kept, x = tuple({k: a.copy() for k, a in named.items()} for named in shaken), X.copy()
    off = abs(variances(network, shaken) - 1)
    assert 0.01 < off.max() < 0.1
    again = lsuv(network, shaken, x)
    further = lsuv(network, shaken, x, tolerance=0.01)
    for a, b, c in zip(kept, shaken, again, strict=True):
        assert all(np.array_equal(a[k], b[k]) and np.array_equal(a[k], c[k]) for k in a)
    assert np.array_equal(x, X) and abs(variances(network, further) - 1).max() < 0.01


def test_lsuv_keeps_float32():
    """Weights that come back in another precision than the data's."""
    network = NETWORKS["every kind"]
    after = lsuv(network, start(network, (2,), dtype=np.float32), X.astype(np.float32), tolerance=1e-3)
    assert {a.dtype for named in after for a in named.values()} == {np.dtype(np.float32)}
    for s in range(2):
        assert abs(variances(network, member(after, s), X.astype(np.float32)) - 1).max() < 1.1e-3


def lsuv_on(x=X, spread=0.0, leading=(), weights=None, **options):
    network = NETWORKS["plain"]
    p = start(network, leading, spread)
    if weights is not None:
        p[2]["W"][...] = weights
    return lsuv(network, p, x, **options)


BAD_LSUV = {
    "tolerance": ({"tolerance": 0.0}, r"lsuv\(tolerance=0.0\): must be positive"),
    "iterations": ({"iterations": 0}, r"lsuv\(iterations=0\): must be at least 1"),
    "stack": ({"x": np.stack([X, X])}, r"lsuv\(x of shape \(2, 5, 40\)\): may be stacked as the parameters, \(\)"),
    "dead": ({"weights": 0.0}, "lsuv: layer 2: the output's variance must be positive and finite, got 0"),
    "no number": ({"weights": np.nan}, "layer 2: the output's variance must be positive and finite, got nan"),
    "biases": ({"spread": 5.0, "iterations": 50}, "layer 0: variance 1 ± 0.1 was not reached in 50 iterations, got"),
    "too few": (
        {"spread": 0.5, "iterations": 1, "tolerance": 1e-9},
        "layer 0: variance 1 ± 1e-09 was not reached in 1",
    ),
}


@pytest.mark.parametrize("case", BAD_LSUV)
def test_lsuv_says_where_it_fails(case):
    """A division by zero, or weights handed back that do not do what was asked for."""
    options, message = BAD_LSUV[case]
    with pytest.raises(InvalidInput, match=message):
        lsuv_on(**options)


def test_lsuv_counts_its_iterations():
    """One division too few or too many."""
    network = Network((Dense(4),), 5)
    p = start(network, spread=0.5)
    w, needed = p[0]["W"], 0
    while abs((variance := (w @ X + p[0]["b"]).var()) - 1) >= 1e-6:
        w, needed = w / np.sqrt(variance), needed + 1
    assert needed > 2
    found = lsuv(network, p, X, tolerance=1e-6, iterations=needed)
    assert np.array_equal(found[0]["W"], w)
    with pytest.raises(InvalidInput, match=f"was not reached in {needed - 1} iterations"):
        lsuv(network, p, X, tolerance=1e-6, iterations=needed - 1)


def test_lsuv_needs_the_networks_parameters():
    """An error from deep inside in place of the layer's name."""
    with pytest.raises(InvalidInput, match=r"layer 0 .* expected \['W', 'b'\], got \[\]"):
        lsuv(NETWORKS["plain"], ({},) * 5, X)
