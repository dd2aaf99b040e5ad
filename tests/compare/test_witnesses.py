"""An error in one of the four witnesses must be seen, and show who made it: the three pairs with the culprit turn red, the others stay.

The table is that of the experiment "gradients". Without an error nothing is red, and everything that scratch offers is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import helpers
import numpy as np
import pytest

import scratch as s
from experiments.catalog.gradients.pieces import FAMILIES
from experiments.catalog.gradients.witnesses import witnesses as measure
from experiments.compare import witnesses
from experiments.compare.witnesses import INPUT, WITNESSES
from experiments.lab import Lab
from scratch import derivatives, gradcheck, normalization
from scratch.layers import Layer
from scratch.losses import Loss
from scratch.penalties import Penalty
from scratch.randomness import generator
from torchref import layers, penalties

PIECES = {piece: family for family, pieces in FAMILIES.items() for piece in pieces}
SAMPLE = ("Dense", "LayerNorm", "Residual", "Tanh()", "CE, smoothed", "L1, all", "random networks")
WRONG = 1e-9  # relatively, of one number


def red(piece, trials=2, largest=5, seed=11):
    """The pairs that differ by more than rounding."""
    ledger = measure(Lab("witnesses", {}), PIECES[piece], piece, trials, largest, seed)
    assert len(ledger) == 6
    return {pair for pair, ratio in zip(ledger.pair, ledger.ratio, strict=True) if not ratio <= 1}


def pairs_with(*culprits):
    """The pairs in which exactly one is a culprit: two that make the same mistake agree."""
    return {" – ".join(p) for p in combinations(WITNESSES, 2) if len(set(culprits) & set(p)) == 1}


@pytest.mark.parametrize("piece", PIECES)
def test_nothing_is_red(piece):
    assert red(piece, trials=1) == set()


def test_the_pairs_are_named():
    assert pairs_with("torch") == {"by hand – torch", "autodiff – torch", "complex step – torch"}
    assert pairs_with("by hand", "complex step") == {
        *("by hand – autodiff", "by hand – torch", "autodiff – complex step", "complex step – torch")
    }


def of_pieces(kind):
    """The classes of layers, losses or penalties that appear in some piece; inside residual layers as well."""
    jobs = [
        build(generator(0, piece), 4)
        for pieces in FAMILIES.values()
        for piece, build in pieces.items()
        if piece != "random networks"
    ]
    held = [part for job in jobs for part in (*job.layers, job.loss, job.penalty)]
    held += [inside for part in held if isinstance(part, s.Residual) for inside in part.layers]
    return {type(part) for part in held if isinstance(part, kind)}


@pytest.mark.parametrize("kind", [Layer, Loss, Penalty], ids=lambda kind: kind.__name__)
def test_everything_has_witnesses(kind):
    """A layer, loss or penalty that is added to scratch and to no piece."""
    assert set(helpers.leaves(kind)) == of_pieces(kind)


def twisted(witness, key):
    """The witness, with the largest number of that quantity wrong in every network."""

    def wrong(job):
        said = witness(job)
        array = said[key(said)]
        largest = np.abs(array) == np.abs(array).max((-2, -1), keepdims=True)
        return said | {key(said): np.where(largest, array * array.dtype.type(1 + WRONG), array)}

    return wrong


QUANTITIES: dict[str, Callable] = {"input": lambda said: INPUT, "last": lambda said: list(said)[-1]}


@pytest.mark.parametrize(
    "piece, quantity", [*((piece, "input") for piece in SAMPLE), ("Dense", "last"), ("L1, all", "last")]
)
@pytest.mark.parametrize("culprit", WITNESSES)
def test_one_wrong_number_names_the_witness(monkeypatch, culprit, piece, quantity):
    monkeypatch.setitem(WITNESSES, culprit, twisted(WITNESSES[culprit], QUANTITIES[quantity]))
    assert red(piece, trials=1) == pairs_with(culprit)


def tanh_backward(self, p, a, da):
    return da * (1 - a), {}


def through_norm(dnormal, normal, factor, axis):
    """Without the mean of g: μ held fixed."""
    n = normal.shape[axis]
    return (dnormal - normal * (np.add.reduce(dnormal * normal, axis=axis, keepdims=True) / n)) * factor


def without_the_count(loss):
    value = loss.differentiate

    def wrong(self, z, *prepared):
        j, dz = value(self, z, *prepared)
        return j, dz * z.shape[-1]

    return wrong


def doubled(self, parameters, gradients):
    for _ in range(2):
        RIGHT_PENALTY(self, parameters, gradients)


RIGHT_PENALTY = Penalty.add_gradient


def weights_transposed(self, p, x, dz):
    return RIGHT_DENSE(self, p, np.roll(x, 1, axis=-1), dz)


def forgetful(self, p, caches, dout):
    """The gradient of the branch alone."""
    dx, gradients = RIGHT_RESIDUAL(self, p, caches, dout)
    return dx - dout, gradients


RIGHT_DENSE = s.Dense.backward


RIGHT_RESIDUAL = s.Residual.backward
BY_HAND = {  # what is replaced, by what, and a piece that shows it
    "tanh: 1 − a for 1 − a²": (s.Tanh, "backward", tanh_backward, "Tanh()"),
    "layer norm: μ held fixed": (normalization, "_through_norm", through_norm, "LayerNorm"),
    "batch norm: μ held fixed": (normalization, "_through_norm", through_norm, "BatchNorm"),
    "cross-entropy: 1/m lost": (s.CrossEntropy, "differentiate", without_the_count(s.CrossEntropy), "CE, labels"),
    "penalty added twice": (Penalty, "add_gradient", doubled, "L2, weights"),
    "dense: examples shifted": (s.Dense, "backward", weights_transposed, "Dense"),
    "residual: no way past": (s.Residual, "backward", forgetful, "Residual"),
}


@pytest.mark.parametrize("bug", BY_HAND)
def test_a_wrong_backward_pass_is_by_hand_alone(monkeypatch, bug):
    """The forward code stays right, and with it the complex step."""
    place, name, wrong, piece = BY_HAND[bug]
    monkeypatch.setattr(place, name, wrong)
    assert red(piece) == pairs_with("by hand")


def rule(wrong):
    return derivatives.chained((wrong,))


AUTODIFF = {
    "exp: e^x + 1": (np.exp, rule(lambda z, x: z + 1), "Sigmoid()"),
    "log: 1/x²": (np.log, rule(lambda z, x: 1 / x**2), "CE, labels"),
    "sqrt: 1/√x": (np.sqrt, rule(lambda z, x: 1 / z), "LayerNorm"),
}


@pytest.mark.parametrize("bug", AUTODIFF)
def test_a_wrong_rule_is_autodiff_alone(monkeypatch, bug):
    function, wrong, piece = AUTODIFF[bug]
    monkeypatch.setitem(derivatives.RULES, function, wrong)
    assert red(piece) == pairs_with("autodiff")


@pytest.mark.parametrize(
    "piece, formula",
    [("SiLU()", lambda self, p, z: z / (1 + np.exp(-1.001 * z))), ("Tanh()", lambda self, p, z: np.tanh(1.001 * z))],
)
def test_a_wrong_definition_is_autodiff_alone(monkeypatch, piece, formula):
    monkeypatch.setattr(getattr(s, piece.removesuffix("()")), "formula", formula)
    assert red(piece) == pairs_with("autodiff")


RIGHT_STEP = gradcheck.complex_step
STEPS = {
    "divided by another step": lambda f, x, **known: RIGHT_STEP(f, x, **known) * (1 + 1e-6),
    "so long that h² counts": lambda f, x, **known: RIGHT_STEP(f, x, 1e-3, **known),
    "only the real part": lambda f, x, **known: gradcheck.central_difference(lambda moved: f(moved + 0j).real, x),
}


@pytest.mark.parametrize("bug", STEPS)
@pytest.mark.parametrize("piece", ["Sigmoid()", "BatchNorm", "CE, class weights"])
def test_a_wrong_step_is_the_complex_step_alone(monkeypatch, piece, bug):
    monkeypatch.setattr(gradcheck, "complex_step", STEPS[bug])
    assert red(piece) == pairs_with("complex step")


TWINS = {
    "slope 0.02": (layers.twin, s.LeakyReLU, lambda layer, n: layers.nn.LeakyReLU(0.02), "LeakyReLU(slope=0.01)"),
    "another ε": (layers.twin, s.LayerNorm, lambda layer, n: layers.nn.LayerNorm(n, 2e-5), "LayerNorm"),
    "no bias": (layers.twin, s.ELU, lambda layer, n: layers.nn.CELU(layer.alpha), "ELU(alpha=0.4)"),
    "half the penalty": (
        penalties.twin,
        s.L1,
        lambda p: penalties._sum(p, lambda w: p.strength / 2 * w.abs().sum()),
        "L1, all",
    ),
}


@pytest.mark.parametrize("bug", TWINS)
def test_a_wrong_twin_is_torch_alone(monkeypatch, bug):
    table, kind, wrong, piece = TWINS[bug]
    right = table.dispatch(kind)
    table.register(kind, wrong)
    try:
        assert red(piece) == pairs_with("torch")
    finally:
        table.register(kind, right)


def shifted(layer, factor):
    """The layer's forward code, which gives a little too much; its backward pass is told nothing of it."""
    forward = layer.forward

    def wrong(self, p, x):
        a, cache = forward(self, p, x)
        return a * factor, cache

    return wrong


@pytest.mark.parametrize("kind, piece", [(s.Dense, "Dense"), (s.Dense, "CE, labels"), (s.BatchNorm, "L2, all")])
def test_wrong_forward_code_is_by_hand_and_the_complex_step(monkeypatch, kind, piece):
    """Both run it: they disagree with the two that do not, and these with nobody but them."""
    monkeypatch.setattr(kind, "forward", shifted(kind, 1.001))
    found = red(piece)
    assert "autodiff – torch" not in found
    assert found >= pairs_with("by hand", "complex step")


def test_what_forward_and_backward_share_deceives_both(monkeypatch):
    """A wrong constant that both use: by hand and complex step agree with each other, and the two others tell."""
    monkeypatch.setattr(s.activations, "GELU_CUBE", 0.05)
    formula = s.GELU.formula

    def right(self, p, z):
        return z * (1 + np.tanh(s.activations.GELU_SCALE * (z + 0.044715 * z**3))) / 2

    assert formula is s.GELU.formula
    monkeypatch.setattr(s.GELU, "formula", right)
    assert red("GELU(approximate='tanh')") == pairs_with("by hand", "complex step")


def test_a_testimony_is_complete():
    """A witness that says nothing of a quantity would be right about it."""
    for piece in SAMPLE:
        job = witnesses.observed(FAMILIES[PIECES[piece]][piece](generator(0, piece), 5))
        said = [witness(job) for witness in WITNESSES.values()]
        parameters = {(k, "gradient of " + name) for k, named in enumerate(job.parameters, 1) for name in named}
        for testimony in said:
            assert set(testimony) == parameters | {INPUT, (len(job.layers), "loss")}
            assert {key: a.shape for key, a in testimony.items()} == {key: a.shape for key, a in said[0].items()}
