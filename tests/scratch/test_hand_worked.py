"""Numbers worked by hand: what the notes write down, and one published example of back-propagation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from scratch import (
    SGD,
    Batch,
    BatchNorm,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Dropout,
    Identity,
    Job,
    LayerNorm,
    Network,
    Residual,
    Sigmoid,
    SquaredError,
    Tanh,
)
from scratch import training as ours
from torchref import training as theirs

BACKENDS = pytest.mark.parametrize("backend", [ours, theirs], ids=["scratch", "torchref"])
ROUNDING = {"rtol": 1e-14, "atol": 1e-15}  # a few dozen operations of 1.1e-16


def columns(*rows):
    return np.array(rows, float)


@pytest.mark.parametrize("examples", [1, 5])
def test_shapes_of_the_notes(examples):
    """(2×3)(3×n) = 2×n and (1×2)(2×n) = 1×n: each column is the output of one example."""
    network = Network((Dense(2, bias=False), Dense(1, bias=False)), 3)
    assert network.shapes == ({"W": (2, 3)}, {"W": (1, 2)}) and network.widths == (2, 1)
    w, v = columns([1, 2, 3], [4, 5, 6]), columns([10, -1])
    x = np.arange(3.0 * examples).reshape(3, examples)
    (a1, a2), _ = network.forward(({"W": w}, {"W": v}), x)
    assert a1.shape == (2, examples) and a2.shape == (1, examples)
    for j in range(examples):
        first = [sum(w[i, k] * x[k, j] for k in range(3)) for i in range(2)]
        assert [a1[0, j], a1[1, j]] == first and a2[0, j] == 10 * first[0] - first[1]  # whole numbers: exact


def test_each_row_is_a_neuron_each_column_an_example():
    """Row i of W must meet column j of X in Z[i, j], and its own bias."""
    z, _ = Dense(2).forward(
        {"W": columns([1, 0, 2], [0, 3, 1]), "b": columns([10], [20])}, columns([1, 4], [2, 5], [3, 6])
    )
    assert np.array_equal(z, columns([1 + 6 + 10, 4 + 12 + 10], [6 + 3 + 20, 15 + 6 + 20]))


W1, B1 = [[0.5, -0.25, 1.0], [-1.5, 0.75, 0.25]], [0.1, -0.2]
W2, B2 = [2.0, -1.0], 0.3
X, Y = [[1.0, -2.0], [0.5, 0.25], [-1.0, 1.5]], [1.0, 0.0]


def tanh_sigmoid_by_hand():
    """Loss and gradients of the notes' tanh-sigmoid network under binary cross-entropy, from scalars alone."""
    loss, n = 0.0, 2
    dw2, db2, dw1, db1, hidden, outputs = (
        [0.0, 0.0],
        0.0,
        [[0.0] * 3, [0.0] * 3],
        [0.0, 0.0],
        [[0.0] * 2 for _ in range(2)],
        [],
    )
    for j in range(n):
        a1 = [math.tanh(sum(W1[i][k] * X[k][j] for k in range(3)) + B1[i]) for i in range(2)]
        a2 = 1 / (1 + math.exp(-(sum(W2[i] * a1[i] for i in range(2)) + B2)))
        loss -= (Y[j] * math.log(a2) + (1 - Y[j]) * math.log(1 - a2)) / n
        dz2 = (a2 - Y[j]) / n  # the chain rule: (−y/a + (1−y)/(1−a)) · a(1−a) = a − y
        db2 += dz2
        outputs.append(a2)
        for i in range(2):
            hidden[i][j] = a1[i]
            dw2[i] += dz2 * a1[i]
            dz1 = dz2 * W2[i] * (1 - a1[i] ** 2)
            db1[i] += dz1
            for k in range(3):
                dw1[i][k] += dz1 * X[k][j]
    return loss, hidden, outputs, dw1, db1, dw2, db2


@BACKENDS
def test_tanh_sigmoid_network_of_the_notes(backend):
    """z1 = W1 x + b1, a1 = tanh z1, z2 = W2 a1 + b2, a2 = σ(z2), J_BCE and its gradients by the chain rule."""
    layers = (Dense(2), Tanh(), Dense(1))
    parameters = ({"W": np.array(W1), "b": np.array(B1)[:, None]}, {}, {"W": np.array([W2]), "b": np.array([[B2]])})
    shot = backend.snapshot(Job(layers, BinaryCrossEntropy(), parameters, Batch(np.array(X), np.array([Y]))))
    loss, hidden, outputs, dw1, db1, dw2, db2 = tanh_sigmoid_by_hand()
    np.testing.assert_allclose(shot.loss, loss, **ROUNDING)
    np.testing.assert_allclose(shot.outputs[1], hidden, **ROUNDING)
    np.testing.assert_allclose(1 / (1 + np.exp(-shot.outputs[2])), [outputs], **ROUNDING)
    np.testing.assert_allclose(
        shot.output_gradients[2], [[(a - y) / 2 for a, y in zip(outputs, Y, strict=True)]], **ROUNDING
    )  # p − y
    np.testing.assert_allclose(shot.gradients[0]["W"], dw1, **ROUNDING)
    np.testing.assert_allclose(shot.gradients[0]["b"][:, 0], db1, **ROUNDING)
    np.testing.assert_allclose(shot.gradients[2]["W"], [dw2], **ROUNDING)
    np.testing.assert_allclose(shot.gradients[2]["b"], [[db2]], **ROUNDING)


def test_cross_entropy_of_a_small_table():
    """−(1/n) Σ y ln p with p = (1, 2, 3)/6 and (4, 1, 5)/10, and the gradient (p − y)/n."""
    p = columns([1 / 6, 4 / 10], [2 / 6, 1 / 10], [3 / 6, 5 / 10])
    labels, onehot = np.array([2, 0]), columns([0, 1], [0, 0], [1, 0])
    for y in (labels, onehot):
        value, gradient = CrossEntropy()(np.log(p), y)
        np.testing.assert_allclose(value, -(math.log(3 / 6) + math.log(4 / 10)) / 2, **ROUNDING)
        np.testing.assert_allclose(gradient, (p - onehot) / 2, **ROUNDING)


def test_binary_cross_entropy_is_the_two_class_case():
    """σ(z) is softmax of (z, 0), so both losses are −ln 0.8 here; the slopes p − y are −0.2 and +0.2."""
    z = math.log(4.0)  # σ = 4/5
    value, slope = BinaryCrossEntropy()(columns([z]), columns([1]))
    both, slopes = CrossEntropy()(columns([z], [0]), np.array([0]))
    np.testing.assert_allclose([value, both], -math.log(0.8), **ROUNDING)
    np.testing.assert_allclose([slope[0, 0], slopes[0, 0], slopes[1, 0]], [-0.2, -0.2, 0.2], **ROUNDING)


def test_squared_error_by_hand():
    """Errors 1, −2, 3, 0 over four numbers: mean square 14/4, slopes 2e/4."""
    value, gradient = SquaredError()(columns([1, 0], [3, 5]), columns([0, 2], [0, 5]))
    assert value == 3.5 and np.array_equal(gradient, columns([0.5, -1.0], [1.5, 0.0]))


@BACKENDS
def test_momentum_by_hand(backend):
    """v = μv + g from v = 0 and θ −= ηv: not (1−μ)g, not Nesterov, the first step a full one."""
    eta, mu, w, x, y = 0.25, 0.5, 3.0, 2.0, 1.0  # J = (2w − 1)², g = 4(2w − 1)
    batches = np.zeros((5, 1), int)
    job = Job(
        (Dense(1, bias=False),),
        SquaredError(),
        ({"W": columns([w])},),
        Batch(columns([x]), columns([y])),
        batches,
        SGD(eta, mu),
        range(5),
    )
    v, path = 0.0, []
    for _ in range(5):
        path.append(w)
        v = mu * v + 2 * (x * w - y) * x
        w -= eta * v
    assert path[:3] == [3.0, -2.0, 0.5]  # g = 20, then −20 with v = −10: all powers of two, so exact
    assert [shot.parameters[0]["W"].item() for shot in backend.train(job)] == path


NORM = BatchNorm(eps=0.0625)
BATCHES = np.array([[0, 1, 2, 3], [0, 0, 4, 4], [1, 1, 1, 3]])


def normalised(backend, momentum):
    """Three looks at one unit under batch norm, at a rate so small that γ stays 2 and β stays 1 in all digits compared."""
    layers = (replace(NORM, momentum=momentum),)
    data = Batch(columns([1, 3, 5, 7, 9]), columns([0, 0, 0, 0, 0]))
    unseen = {"unseen": Batch(columns([4]), columns([0]))}
    start = ({"gamma": columns([2]), "beta": columns([1])},)
    return list(backend.train(Job(layers, SquaredError(), start, data, BATCHES, SGD(1e-300), (0, 1, 2), unseen)))


@BACKENDS
@pytest.mark.parametrize("momentum, means, variances", [
    # batch 0: 1 3 5 7, mean 4, sum of squares 20: σ² = 5 (biased), 20/3 (unbiased); batch 1: 1 1 9 9, mean 5, sum 64: 16, 64/3
    (0.25, [0, 1, 2], [1, 29 / 12, 343 / 48]),  # r ← ¾ r + ¼ new
    (None, [0, 4, 4.5], [1, 20 / 3, 14]),  # the average of what has come
])  # fmt: skip
def test_batch_norm_by_hand(backend, momentum, means, variances):
    """Normalised by the biased variance, remembered unbiased, ``momentum`` the weight of the new; after training by what is remembered."""
    shots = normalised(backend, momentum)
    factor = 2 / math.sqrt(5 + 0.0625)
    np.testing.assert_allclose(shots[0].outputs[0], [[1 + factor * (x - 4) for x in (1, 3, 5, 7)]], **ROUNDING)
    factor = 2 / math.sqrt(16 + 0.0625)
    np.testing.assert_allclose(shots[1].outputs[0], [[1 + factor * (x - 5) for x in (1, 1, 9, 9)]], **ROUNDING)
    for k, shot in enumerate(shots):
        held = shot.buffers[0]
        assert held["num_batches_tracked"].item() == k
        np.testing.assert_allclose(
            [held["running_mean"].item(), held["running_var"].item()], [means[k], variances[k]], **ROUNDING
        )
        settled = 1 + 2 * (4 - means[k]) / math.sqrt(variances[k] + 0.0625)
        np.testing.assert_allclose(shot.scores["unseen"], [[settled]], **ROUNDING)


@BACKENDS
def test_layer_norm_by_hand(backend):
    """Each example over its units, whatever the others are: 1 and 5 have mean 3 and variance 4, 0 and 1 mean ½ and ¼."""
    layers = (LayerNorm(eps=0.25),)
    start = ({"gamma": columns([2], [3]), "beta": columns([1], [-1])},)
    data = Batch(columns([1, 0], [5, 1]), columns([0, 0], [0, 0]))
    shot = backend.snapshot(Job(layers, SquaredError(), start, data))
    first, second = 2 / math.sqrt(4.25), 0.5 / math.sqrt(0.5)
    expected = columns([1 - 2 * first, 1 - 2 * second], [-1 + 3 * first, -1 + 3 * second])
    np.testing.assert_allclose(shot.outputs[0], expected, **ROUNDING)


@BACKENDS
def test_dropout_by_hand(backend):
    """What is kept is divided by its probability 3/4, in value and gradient; after training nothing is dropped."""
    mask = np.array([[True, False], [True, True]])
    data = Batch(columns([3, 6], [9, 12]), columns([0, 0], [0, 0]))
    layers = (Identity(), Dropout(0.25))
    job = Job(layers, SquaredError(), ({}, {}), data, evaluate={"all": data}, noise=lambda step: ({}, {"mask": mask}))
    shot = backend.snapshot(job)
    np.testing.assert_allclose(shot.outputs[1], columns([4, 0], [12, 16]), **ROUNDING)
    # mean of four squares: slope 2a/4, and another 4/3 on the way down
    np.testing.assert_allclose(shot.output_gradients[0], columns([8 / 3, 0], [8, 32 / 3]), **ROUNDING)
    assert np.array_equal(shot.scores["all"], data.x)


@BACKENDS
def test_residual_by_hand(backend):
    """x + 3x with w = 3: the slope of the skip is 1, that of the branch 3."""
    layers, start = (Identity(), Residual((Dense(1, bias=False),))), ({}, {"0.W": columns([3])})
    shot = backend.snapshot(Job(layers, SquaredError(), start, Batch(columns([2]), columns([1]))))
    assert shot.outputs[1].item() == 2 + 6 and shot.loss == 49
    assert shot.output_gradients[0].item() == 14 * (1 + 3) and shot.gradients[1]["0.W"].item() == 14 * 2


def mazur(backend, rate=0.5):
    """The snapshots before and after one step of Mazur's "A step by step backpropagation example" (2015)."""
    layers = (Dense(2), Sigmoid(), Dense(2), Sigmoid())
    parameters = (
        {"W": columns([0.15, 0.20], [0.25, 0.30]), "b": columns([0.35], [0.35])},
        {},
        {"W": columns([0.40, 0.45], [0.50, 0.55]), "b": columns([0.60], [0.60])},
        {},
    )
    data = Batch(columns([0.05], [0.10]), columns([0.01], [0.99]))
    job = Job(layers, SquaredError(), parameters, data, np.zeros((2, 1), int), SGD(rate), (0, 1))
    return job, *backend.train(job)


@BACKENDS
def test_mazurs_forward_pass(backend):
    """His printed outputs and total error. ½ Σ(t − o)² over two outputs is the mean of both squares: SquaredError itself."""
    _, before, _ = mazur(backend)
    np.testing.assert_allclose(before.outputs[0][:, 0], [0.3775, 0.3925], **ROUNDING)
    # he prints nine digits: half a unit of the last one
    np.testing.assert_allclose(before.outputs[1][:, 0], [0.593269992, 0.596884378], rtol=0, atol=5e-10)
    np.testing.assert_allclose(before.outputs[3][:, 0], [0.75136507, 0.772928465], rtol=0, atol=5e-9)
    np.testing.assert_allclose(before.loss, 0.298371109, rtol=0, atol=5e-10)
    np.testing.assert_allclose(before.gradients[2]["W"][0, 0], 0.082167041, rtol=0, atol=5e-10)
    np.testing.assert_allclose(before.gradients[0]["W"][0, 0], 0.000438568, rtol=0, atol=5e-10)


@BACKENDS
def test_mazurs_weights_after_one_step(backend):
    """All eight of his new weights; a hidden gradient taken with the new output weights would differ in the seventh digit."""
    _, _, after = mazur(backend)
    hidden, output = after.parameters[0]["W"], after.parameters[2]["W"]
    np.testing.assert_allclose(hidden, [[0.149780716, 0.19956143], [0.24975114, 0.29950229]], rtol=0, atol=5e-9)
    np.testing.assert_allclose(output, [[0.35891648, 0.408666186], [0.511301270, 0.561370121]], rtol=0, atol=5e-9)


@BACKENDS
def test_mazurs_error_after_one_step(backend):
    """0.291027774 is with the biases where they were, as he leaves them; our step moves them too and ends lower."""
    job, _, after = mazur(backend)
    mixed = tuple(
        {**named, **({"b": old["b"]} if "b" in named else {})}
        for named, old in zip(after.parameters, job.parameters, strict=True)
    )
    fixed = backend.snapshot(Job(job.layers, job.loss, mixed, job.data))
    # he prints nine digits, but computes with weights that he rounded to about nine: 1e-8 is what that leaves
    np.testing.assert_allclose(fixed.loss, 0.291027774, rtol=0, atol=1e-8)
    assert after.loss < fixed.loss - 0.005
