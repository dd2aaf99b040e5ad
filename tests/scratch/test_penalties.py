"""Penalties against PyTorch, complex steps, numbers worked by hand; the max-norm constraint against torch.renorm."""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch
from torch.func import vmap

from scratch import InvalidInput, autodiff
from scratch.penalties import L1, L2, ElasticNet, MaxNorm, Penalty
from scratch.randomness import generator
from torchref import penalties as theirs

PENALTIES = {"l1": L1(0.3), "l2": L2(0.7), "elastic": ElasticNet(0.3, 0.7), "nothing": L2(0.0)}
SHAPES = (
    {"W": (5, 3), "b": (5, 1)},
    {},
    {"gamma": (5, 1), "beta": (5, 1)},
    {"0.W": (2, 5), "0.b": (2, 1), "1.gamma": (2, 1)},
)
TORCH = {"W": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}  # batch norm calls its scale a weight
WEIGHTS = {(0, "W"), (3, "0.W")}
STACKS = {"alone": (), "stack": (4,), "grid": (2, 3)}
H = 1e-30
every = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
reach = pytest.mark.parametrize("reach", ["weights", "all"])
stacked = pytest.mark.parametrize("leading", STACKS.values(), ids=STACKS)


def parameters(leading=(), dtype="float64"):
    """Parameters of four layers, one of them nested, with an exact 0 in every array."""
    random, layers = generator(0, "test penalties", len(leading)), []
    for shapes in SHAPES:
        layers.append(
            {name: random.standard_normal((*leading, *shape)).astype(dtype) for name, shape in shapes.items()}
        )
        for array in layers[-1].values():
            array[..., 1, 0] = 0
    return tuple(layers)


def ones(p):
    """Gradients that hold something already."""
    return tuple({name: np.ones_like(a) for name, a in named.items()} for named in p)


def entries(p):
    return {(k, name): a for k, named in enumerate(p) for name, a in named.items()}


def tensors(p):
    """One network's parameters, or a stack's, as PyTorch names and shapes them."""
    found = {}
    for (k, name), a in entries(p).items():
        inner, _, last = name.rpartition(".")
        a = a if last == "W" else a[..., 0]
        found[f"layers.{k}.{f'layers.{inner}.' if inner else ''}{TORCH[last]}"] = torch.tensor(a, requires_grad=True)
    return found


def member(p, index):
    return tuple({name: a[index] for name, a in named.items()} for named in p)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@reach
@every
def test_value_and_gradient_are_torchs(penalty, reach, dtype):
    """A lost ½, a sign at 0 other than 0, a bias or a scale that is reached, or is not; an array of another type."""
    penalty, p = replace(penalty, reach=reach), parameters(dtype=dtype)
    gradients, named = ones(p), tensors(p)
    value = penalty(p)
    penalty.add_gradient(p, gradients)
    expected = theirs.twin(penalty)(named)
    expected.backward()
    unit = 64 * np.finfo(dtype).eps  # sums of at most 15 terms, all positive
    assert value.dtype == dtype and expected.numpy(force=True).dtype == dtype
    np.testing.assert_allclose(value, expected.item(), rtol=unit)
    for (key, g), t in zip(entries(gradients).items(), named.values(), strict=True):
        assert g.dtype == dtype
        slope = np.zeros(t.shape) if t.grad is None else t.grad.numpy()
        np.testing.assert_allclose(g.reshape(t.shape), 1 + slope, rtol=unit, err_msg=str(key))
        assert penalty == replace(L2(0.0), reach=reach) or (g != 1).any() == (reach == "all" or key in WEIGHTS)


@reach
@every
def test_gradient_is_the_values(penalty, reach):
    """A gradient that belongs to another function: complex steps through the value, and autodiff of the definition."""
    penalty, p = replace(penalty, reach=reach), parameters()
    gradients, variables = ones(p), tuple({name: autodiff.Var(a) for name, a in named.items()} for named in p)
    penalty.add_gradient(p, gradients)
    wanted = {key: v for key, v in entries(variables).items() if penalty.reaches(key[1])}
    formula = penalty.formula(variables)
    np.testing.assert_allclose(formula.value, penalty(p), rtol=1e-14)  # a few dozen positive terms
    by_autodiff = dict(zip(wanted, autodiff.gradient(formula, list(wanted.values())), strict=True))
    for key, g in entries(gradients).items():
        slope = by_autodiff.get(key, np.zeros(g.shape))
        np.testing.assert_allclose(g - 1, slope, rtol=0, atol=1e-15)  # 1 was added and taken away
        away = entries(p)[key] != 0  # at the kink of |w| a step goes to one side
        np.testing.assert_allclose((g - 1)[away], slope_by_steps(penalty, p, key)[away], rtol=0, atol=1e-15)


def slope_by_steps(penalty, p, key):
    found = np.zeros(entries(p)[key].shape)
    for index in np.ndindex(found.shape):
        moved = tuple({name: a.astype(complex) for name, a in named.items()} for named in p)
        moved[key[0]][key[1]][index] += 1j * H
        found[index] = penalty(moved).imag / H
    return found


@stacked
@reach
@every
def test_members_of_a_stack_are_as_alone(penalty, reach, leading):
    """A sum that takes the leading axes along; PyTorch's under vmap, where a member's tensors have their own axes only."""
    penalty, p = replace(penalty, reach=reach), parameters(leading)
    gradients, values = ones(p), penalty(p)
    penalty.add_gradient(p, gradients)
    assert np.shape(values) == leading
    for index in np.ndindex(leading):
        alone = ones(member(p, index))
        penalty.add_gradient(member(p, index), alone)
        assert values[index] == penalty(member(p, index))
        for key, g in entries(alone).items():
            assert np.array_equal(entries(gradients)[key][index], g)
    if len(leading) == 1:
        np.testing.assert_allclose(vmap(theirs.twin(penalty))(tensors(p)).detach(), values, rtol=1e-14)


@pytest.mark.parametrize("lines", [(), (4,)], ids=["alone", "stack"])
def test_where_nothing_is_reached(lines):
    """Networks without weights, and without anything, still have a penalty: 0 of the right shape and type."""
    biases = ({}, {"b": np.ones((*lines, 3, 1), "f4")})
    for value in (L2(1.0)(biases), L1(1.0)(biases)):
        assert np.shape(value) == lines and value.dtype == "f4" and not value.any()
    gradients = ones(biases)
    L2(1.0).add_gradient(biases, gradients)
    assert (gradients[1]["b"] == 1).all()
    assert L2(1.0, reach="all")(({},)) == 0 and np.shape(L2(1.0)(({},))) == ()
    assert L2(1.0).formula(({},)) == 0
    assert theirs.twin(L2(1.0))({}) == 0


def test_numbers_worked_by_hand():
    """A mistake that both implementations share."""
    p = ({"W": np.array([[3.0, -4.0], [0.0, 1.0]]), "b": np.array([[-2.0], [5.0]])},)
    for penalty, value, dw, db in (
        (L1(0.5), 4.0, [[0.5, -0.5], [0.0, 0.5]], [[0.0], [0.0]]),
        (L2(0.5), 6.5, [[1.5, -2.0], [0.0, 0.5]], [[0.0], [0.0]]),
        (ElasticNet(1.0, 0.5), 14.5, [[2.5, -3.0], [0.0, 1.5]], [[0.0], [0.0]]),
        (L1(0.5, reach="all"), 7.5, [[0.5, -0.5], [0.0, 0.5]], [[-0.5], [0.5]]),
        (L2(0.5, reach="all"), 13.75, [[1.5, -2.0], [0.0, 0.5]], [[-1.0], [2.5]]),
    ):
        gradients = tuple({name: np.zeros_like(a) for name, a in named.items()} for named in p)
        penalty.add_gradient(p, gradients)
        assert penalty(p) == value
        assert np.array_equal(gradients[0]["W"], dw) and np.array_equal(gradients[0]["b"], db)


def test_l2_is_coupled_weight_decay():
    """A factor 2 between the strength and PyTorch's weight_decay, which reaches all parameters."""
    p = parameters()
    named, gradients = tensors(p), ones(p)
    optimizer = torch.optim.SGD(named.values(), 0.1, weight_decay=0.7)
    for t in named.values():
        t.grad = torch.ones_like(t)
    optimizer.step()
    L2(0.7, reach="all").add_gradient(p, gradients)
    for w, g, t in zip(entries(p).values(), entries(gradients).values(), named.values(), strict=True):
        np.testing.assert_allclose((w - 0.1 * g).reshape(t.shape), t.detach(), rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("limit", [0.5, 1.5, 100.0])
def test_max_norm_is_torchs(limit, dtype):
    """Columns in place of rows, a bias or a scale that is shrunk, another guard than renorm's 1e-7."""
    p = parameters(dtype=dtype)
    before, named = {key: a.copy() for key, a in entries(p).items()}, tensors(p)
    MaxNorm(limit).project(p)
    theirs.project(MaxNorm(limit), named)
    for (key, a), t in zip(entries(p).items(), named.values(), strict=True):
        assert a.dtype == dtype and t.requires_grad
        # a length of at most 5 numbers, one division, one product: some ten roundings, far below 1e-7 in float64
        np.testing.assert_allclose(a.reshape(t.shape), t.detach(), rtol=16 * np.finfo(dtype).eps, err_msg=str(key))
        if key not in WEIGHTS:
            assert np.array_equal(a, before[key])
            continue
        length, old = np.linalg.norm(a, axis=-1), np.linalg.norm(before[key], axis=-1)
        assert np.array_equal(a[old <= limit], before[key][old <= limit])  # what is short enough stays, bit for bit
        cut = old > limit
        np.testing.assert_allclose(length[cut], limit * old[cut] / (old[cut] + 1e-7), rtol=16 * np.finfo(dtype).eps)


def test_max_norm_cuts_some_rows_and_leaves_others():
    """The limit 1.5 above would prove nothing if all rows lay on one side of it."""
    lengths = np.linalg.norm(parameters()[0]["W"], axis=-1)
    assert lengths.min() < 1.5 < lengths.max()


@stacked
def test_max_norm_of_a_stack(leading):
    """A length that takes the leading axes along."""
    p = parameters(leading)
    alone = {
        index: tuple({n: a[index].copy() for n, a in named.items()} for named in p) for index in np.ndindex(leading)
    }
    MaxNorm(0.9).project(p)
    for index, one in alone.items():
        MaxNorm(0.9).project(one)
        for key, a in entries(one).items():
            assert np.array_equal(entries(p)[key][index], a)


def test_max_norm_by_hand():
    """A row (3, 4) of length 5 under the limit 1 becomes (0.6, 0.8), but for the guard; a row of zeros stays."""
    p = ({"W": np.array([[3.0, 4.0], [0.0, 0.0], [0.6, 0.8]])},)
    MaxNorm(1.0).project(p)
    np.testing.assert_allclose(p[0]["W"], [[0.6, 0.8], [0.0, 0.0], [0.6, 0.8]], rtol=2.1e-8)  # 1e-7/5


@pytest.mark.parametrize("kind", helpers.leaves(Penalty), ids=lambda kind: kind.__name__)
def test_every_penalty_is_here(kind):
    """A penalty without a twin, or one that this file does not know."""
    assert kind in {type(penalty) for penalty in PENALTIES.values()}
    assert callable(theirs.twin(next(p for p in PENALTIES.values() if type(p) is kind)))


def test_missing_twin_is_named():
    """A penalty without a twin must say which one is missing."""
    unheard_of = type("UnheardOf", (Penalty,), {"__module__": "tests"})
    with pytest.raises(InvalidInput, match="UnheardOf has no torch twin"):
        theirs.twin(unheard_of())


BAD = {
    "strength": (lambda: L2(-0.1), r"L2\(strength=-0.1\): must be finite and not negative"),
    "strength NaN": (lambda: L1(float("nan")), r"L1\(strength=nan\)"),
    "strength infinite": (lambda: L1(float("inf")), r"L1\(strength=inf\)"),
    "l1": (lambda: ElasticNet(-1.0, 1.0), r"ElasticNet\(l1=-1.0\)"),
    "l2": (lambda: ElasticNet(1.0, -1.0), r"ElasticNet\(l2=-1.0\)"),
    "reach": (lambda: L2(0.1, reach="biases"), r"L2\(reach='biases'\): must be 'weights' or 'all'"),
    "limit 0": (lambda: MaxNorm(0.0), r"MaxNorm\(max_norm=0.0\): must be positive"),
    "limit NaN": (lambda: MaxNorm(float("nan")), r"MaxNorm\(max_norm=nan\)"),
    "limit infinite": (lambda: MaxNorm(float("inf")), r"MaxNorm\(max_norm=inf\)"),
}


@pytest.mark.parametrize("make, words", BAD.values(), ids=BAD)
def test_bad_option(make, words):
    """An option that would train, wrongly, without a word."""
    with pytest.raises(InvalidInput, match=words):
        make()
