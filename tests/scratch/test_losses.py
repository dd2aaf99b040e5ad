"""Every loss with every option against PyTorch, complex steps, numbers worked by hand, and its own stack members."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext

import helpers
import numpy as np
import pytest
import torch
from torch.func import vmap

from scratch import Batch, Dense, InvalidInput, Job, LogSoftmax, autodiff, training
from scratch.categorical import CrossEntropy, NegativeLogLikelihood, indicator
from scratch.gradcheck import U
from scratch.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    BinaryCrossEntropyFromProbabilities,
    Huber,
    InnerProduct,
    Loss,
    SquaredError,
)
from scratch.randomness import generator
from torchref import training as by_torchref
from torchref.losses import twin

K, M, H = 4, 7, 1e-30  # outputs, examples, the length of a complex step
WEIGHT = (0.5, 2.0, 0.25, 3.0)
PROBABLE = BinaryCrossEntropyFromProbabilities
CASES = {  # name: loss, kind of target
    "squared": (SquaredError(), "numbers"),
    "absolute": (AbsoluteError(), "numbers"),
    "huber": (Huber(), "numbers"),
    "huber 0.3": (Huber(0.3), "numbers"),
    "inner": (InnerProduct(), "numbers"),
    "binary": (BinaryCrossEntropy(), "fractions"),
    "binary, one weight": (BinaryCrossEntropy(2.5), "fractions"),
    "binary, weight 0": (BinaryCrossEntropy(0.0), "fractions"),
    "binary, weights": (BinaryCrossEntropy(WEIGHT), "fractions"),
    "binary of probabilities": (PROBABLE(), "fractions"),
    "labels": (CrossEntropy(), "labels"),
    "labels, weights": (CrossEntropy(WEIGHT), "labels"),
    "labels, smoothed": (CrossEntropy(label_smoothing=0.3), "labels"),
    "labels, all smooth": (CrossEntropy(label_smoothing=1.0), "labels"),
    "labels, weights, smoothed": (CrossEntropy(WEIGHT, label_smoothing=0.3), "labels"),
    "ignored": (CrossEntropy(), "ignored"),
    "ignored, weights": (CrossEntropy(WEIGHT), "ignored"),
    "ignored, smoothed": (CrossEntropy(label_smoothing=0.3), "ignored"),
    "ignored, weights, smoothed": (CrossEntropy(WEIGHT, label_smoothing=0.3), "ignored"),
    "a class ignored": (CrossEntropy(ignore_index=1), "labels"),
    "a class ignored, weights, smoothed": (CrossEntropy(WEIGHT, 1, 0.3), "labels"),
    "fractions": (CrossEntropy(), "fractions"),
    "fractions, weights": (CrossEntropy(WEIGHT), "fractions"),
    "fractions, smoothed": (CrossEntropy(label_smoothing=0.3), "fractions"),
    "fractions, weights, smoothed": (CrossEntropy(WEIGHT, label_smoothing=0.3), "fractions"),
    "likelihood": (NegativeLogLikelihood(), "labels"),
    "likelihood, weights": (NegativeLogLikelihood(WEIGHT), "labels"),
    "likelihood, ignored": (NegativeLogLikelihood(), "ignored"),
    "likelihood, ignored, weights": (NegativeLogLikelihood(WEIGHT), "ignored"),
}
CATEGORICAL = [name for name, (loss, _) in CASES.items() if loss.takes_labels]
REDUCTIONS = ("mean", "sum", "none")
each_case = pytest.mark.parametrize("name", CASES)


def case(name, reduction="mean", dtype="float64", leading=(), own=False):
    """The loss, outputs (…, K, M) and targets, with leading axes of their own if ``own``; fractions do not sum to one."""
    loss, kind = CASES[name]
    random, stack = generator(0, "test losses", name, len(leading)), leading if own else ()
    z = 2 * random.standard_normal((*leading, K, M))
    z = 1 / (1 + np.exp(-z)) if isinstance(loss, PROBABLE) else z
    if kind in ("labels", "ignored"):
        y = random.integers(0, K, (*stack, M))
        y[..., :4] = random.permuted(np.broadcast_to(np.arange(K), (*stack, K)), axis=-1)  # every class appears
        if kind == "ignored":
            y[..., [0, 5]] = -100
    else:
        y = (random.uniform if kind == "fractions" else random.standard_normal)(size=(*stack, K, M)).astype(dtype)
    return replace(loss, reduction=reduction), z.astype(dtype), y


def cases(name, **options):
    """The case with every reduction in turn."""
    return [case(name, reduction, **options) for reduction in REDUCTIONS]


def rows(array):
    return torch.tensor(array if array.dtype.kind in "iu" else np.ascontiguousarray(array.mT))


def by_torch(criterion, z, y):
    """PyTorch's value and gradient of one network, in columns."""
    t = rows(z).requires_grad_()
    value = criterion.to(t.dtype)(t, rows(y))
    value.sum().backward()
    return columns(value, z), t.grad.numpy().T


def columns(value, z):
    return (value.mT if value.shape[-2:] == (z.shape[-1], z.shape[-2]) else value).detach().numpy()


def assert_near(loss, z, y, found, expected, amplified=1.0):
    """Equal but for rounding: 32 operations' worth, relative to the largest term of the sum, times the number of terms summed."""
    terms, _ = replace(loss, reduction="none")(z, y)
    unit = 32 * np.finfo(z.dtype).eps * amplified
    size = abs(terms).max() * (terms.size if loss.reduction == "sum" else 1)
    assert size > 0 and abs(expected[1]).max() > 0, "nothing to compare"
    for mine, other, atol in zip(found, expected, (unit * size, unit * abs(expected[1]).max()), strict=True):
        assert np.shape(mine) == np.shape(other)
        np.testing.assert_allclose(mine, other, rtol=0, atol=atol, err_msg=str(loss))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@each_case
def test_value_and_gradient_are_torchs(name, dtype):
    """A wrong sign, weight or divisor, an option that is dropped, or an array of another type."""
    for loss, z, y in cases(name, dtype=dtype):
        found = loss(z, y)
        assert found[0].dtype == found[1].dtype == dtype
        assert_near(loss, z, y, found, by_torch(twin(loss), z, y))


@each_case
def test_gradient_is_the_values(name):
    """A gradient that belongs to another function than the value: complex steps, and autodiff of the definition."""
    for loss, z, y in cases(name):
        value, gradient = loss(z, y)
        steps = z + 1j * H * np.eye(K * M).reshape(K * M, K, M)  # one member of a stack for every number
        moved = loss(steps, y)[0]
        found = (moved.imag / H).reshape(K * M, -1).sum(-1).reshape(K, M)
        assert_near(loss, z, y, (value, gradient), (moved.real[0], found))
        variable = autodiff.Var(z)
        formula = loss.formula(variable, y)
        (slope,) = autodiff.gradient(np.sum(formula), [variable])
        loses = np.exp(abs(z).max())  # 1 − σ(z), taken literally, has a relative error of u/(1 − σ) ≈ u e^z
        assert_near(loss, z, y, (value, gradient), (formula.value, slope), loses)
        np.testing.assert_allclose(loss.formula(z + 0j, y).real, value, rtol=1e-12)  # it runs on complex numbers too


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@each_case
def test_members_of_a_stack_are_as_alone(name, own):
    """A mean, a divisor or a check that takes the leading axes along; a loss that changes what it is given."""
    for leading in ((), (3,), (2, 3)):
        for loss, z, y in cases(name, leading=leading, own=own):
            before = z.copy(), y.copy()
            value, gradient = loss(z, y)
            assert np.array_equal(z, before[0]) and np.array_equal(y, before[1])
            assert gradient.shape == z.shape
            for index in np.ndindex(leading):
                alone = loss(z[index], y[index] if own else y)
                assert np.array_equal(value[index], alone[0]) and np.array_equal(gradient[index], alone[1])


@each_case
def test_twin_runs_under_vmap(name):
    """A criterion of PyTorch that vmap refuses, or one that mixes the members."""
    for loss, z, y in cases(name, leading=(3,), own=True):
        criterion = twin(loss).to(torch.float64)
        t = rows(z).requires_grad_()
        value = vmap(criterion)(t, rows(y))
        value.sum().backward()
        for s in range(3):
            expected = by_torch(criterion, z[s], y[s])
            assert_near(loss, z[s], y[s], (columns(value, z)[s], t.grad[s].numpy().T), expected)


@pytest.mark.parametrize("kind", ["labels", "ignored", "fractions"])
def test_smoothed_mean_is_torchs_own(kind):
    """The one twin that is put together from PyTorch's parts, because vmap refuses the whole."""
    loss, z, y = case(f"{kind}, weights, smoothed")
    whole = torch.nn.CrossEntropyLoss(torch.tensor(WEIGHT, dtype=torch.float64), label_smoothing=0.3)
    assert_near(loss, z, y, by_torch(twin(loss), z, y), by_torch(whole, z, y))


@pytest.mark.parametrize("kind", helpers.leaves(Loss), ids=lambda kind: kind.__name__)
def test_every_loss_is_here(kind):
    """A loss without a twin, or one that this file does not know."""
    assert isinstance(twin(kind()), torch.nn.Module)
    assert kind in {type(loss) for loss, _ in CASES.values()}


@pytest.mark.parametrize("name", CATEGORICAL)
def test_matrix_of_targets_stands_for_the_labels(name):
    """Labels and the matrix that they become, which agreement moves a little, must be the same loss."""
    for loss, z, y in cases(name, leading=(3,), own=True):
        matrix = loss.targets(y, K)
        assert matrix.shape == (3, K, M)
        for s in range(3):
            found = loss.with_matrix()(z[s], matrix[s].astype(float))
            assert_near(loss, z[s], y[s], found, loss(z[s], y[s]))


def test_other_targets_are_their_own_matrix():
    """Numbers have nothing to be turned into."""
    for loss, _ in CASES.values():
        if not loss.takes_labels:
            y = np.ones((K, M))
            assert loss.targets(y, K) is y and loss.with_matrix() is loss
    assert not CrossEntropy().targets(np.array([0, -100, 2]), K)[:, 1].any()


@pytest.mark.parametrize("kind", [CrossEntropy, NegativeLogLikelihood])
@pytest.mark.parametrize("options", [{}, {"weight": WEIGHT}], ids=["plain", "weights"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nothing_left_to_average(kind, options, reduction):
    """All examples ignored: PyTorch's mean is NaN and its gradient 0, for that member of the stack alone."""
    loss, z = kind(**options, reduction=reduction), case("labels", leading=(2,))[1]
    y = np.array([np.full(M, -100), np.arange(M) % K])
    value, gradient = loss(z, y)
    for s in range(2):
        expected, slope = by_torch(twin(loss), z[s], y[s])
        np.testing.assert_allclose(value[s], expected, rtol=1e-14)
        np.testing.assert_allclose(gradient[s], slope, rtol=0, atol=1e-15)
    assert not gradient[0].any() and np.isfinite(value[1]).all()
    assert np.isnan(value[0]) if reduction == "mean" else not value[0].any()


WEIGHTLESS = {
    "cross-entropy": (CrossEntropy((0.0, 2.0, 1.0, 0.0)), torch.nn.CrossEntropyLoss, {}),
    "smoothed": (CrossEntropy((0.0, 2.0, 1.0, 0.0), label_smoothing=0.1), torch.nn.CrossEntropyLoss, {"label_smoothing": 0.1}),
    "all smooth": (CrossEntropy((0.0, 2.0, 1.0, 0.0), label_smoothing=1.0), torch.nn.CrossEntropyLoss, {"label_smoothing": 1.0}),
    "likelihood": (NegativeLogLikelihood((0.0, 2.0, 1.0, 0.0)), torch.nn.NLLLoss, {}),
}  # fmt: skip
IGNORED = -100
WEIGHTLESS_LABELS = np.array([[0, 3, 0], [3, IGNORED, 0], [IGNORED] * 3, [0, 1, IGNORED]])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("loss, module, options", WEIGHTLESS.values(), ids=WEIGHTLESS)
def test_labels_that_weigh_nothing(loss, module, options, reduction):
    """0/0 in PyTorch's own modules is NaN in the gradient too, but 0 at ignored examples; a gradient of 0 would hide it."""
    loss, labels = replace(loss, reduction=reduction), WEIGHTLESS_LABELS
    z = generator(0, "test losses", "weightless").standard_normal((4, K, 3))
    own = module(torch.tensor(loss.weight, dtype=torch.float64), reduction=reduction, **options)
    together, t = loss(z, labels), rows(z).requires_grad_()
    value = vmap(twin(loss))(t, rows(labels))
    value.sum().backward()
    stacked = columns(value, z), t.grad.numpy().mT
    for s in range(4):
        expected = by_torch(own, z[s], labels[s])
        matrix = loss.targets(labels[s], K).astype(float)
        alone = [by_torch(twin(loss), z[s], labels[s]), loss(z[s], labels[s])]
        if reduction != "mean" or s != 2:  # with nothing left a matrix is all zeros, and its mean 0
            alone.append(loss.with_matrix()(z[s], matrix))
        for found in (*alone, *((value[s], gradient[s]) for value, gradient in (together, stacked))):
            for mine, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(mine, other, rtol=1e-14, atol=1e-15)
    assert (
        np.isnan(together[0]).tolist() == [True, True, True, False]
        if reduction == "mean"
        else np.isfinite(together[0]).all()
    )
    assert np.isnan(together[1]).any((1, 2)).tolist() == [reduction == "mean"] * 2 + [False] * 2


def test_a_step_of_a_batch_that_weighs_nothing():
    """One implementation would go on, and the other be lost, without a word."""
    for loss in (
        CrossEntropy((0.0, 1.0, 1.0)),
        NegativeLogLikelihood((0.0, 1.0, 1.0)),
        CrossEntropy((0.0, 1.0, 1.0), 1, 0.1),
    ):
        random = generator(0, "test losses", "weightless step")
        parameters = ({"W": random.standard_normal((2, 3, 2)), "b": np.zeros((2, 3, 1))},)
        data = Batch(random.standard_normal((2, 4)), np.array([[0, 0, 0, 0], [0, 2, 2, 0]]))
        job = Job((Dense(3),), loss, parameters, data, batches=np.tile(np.arange(4), (2, 1)), snapshots=(0, 1))
        for mine, other in zip(training.train(job), by_torchref.train(job), strict=True):
            np.testing.assert_allclose(mine.loss, other.loss, rtol=1e-13)
            for name in ("W", "b"):
                for one, two in ((mine.parameters, other.parameters), (mine.gradients, other.gradients)):
                    np.testing.assert_allclose(one[0][name], two[0][name], rtol=1e-12, atol=1e-15)
            assert np.isnan(mine.loss).tolist() == [True, False] and np.isnan(mine.gradients[0]["b"][0]).any()


FAR = np.array([[1, -1, 1, -1, 0, 1, 0], [-1, 1, 1, -1, 0, 0.5, 0], [0, 0, 1, -1, 0, -1, 1], [1, 1, -1, 0, 0.0, 0, 1]])
UNBOUNDED = [name for name, (loss, _) in CASES.items() if not isinstance(loss, PROBABLE)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [40.0, 1e4])
@pytest.mark.parametrize("name", UNBOUNDED)
def test_extreme_outputs(name, size, dtype):
    """e^z that overflows, ln 0, or a warning; the value keeps its relative accuracy."""
    loss, _, y = case(name, dtype=dtype)
    z = (size * FAR).astype(dtype)
    found, expected = loss(z, y), by_torch(twin(loss), z, y)
    assert np.isfinite(found[0]) and np.isfinite(found[1]).all()
    assert_near(loss, z, y, found, expected)


NOTHING = (0.0, 2.0, 0.25, 0.0)
AT_THE_ENDS = CASES | {
    "huber 1e30": (Huber(1e30), "numbers"),
    "labels, weight 0": (CrossEntropy(NOTHING), "labels"),
    "labels, weight 0, smoothed": (CrossEntropy(NOTHING, label_smoothing=0.3), "ignored"),
    "likelihood, weight 0": (NegativeLogLikelihood(NOTHING), "ignored"),
}


def at_the_end(name, dtype, count=150):
    """The loss, and so many examples (count, K, 1) of outputs and targets that are 0, the largest number, ±∞, NaN and between."""
    loss, kind = AT_THE_ENDS[name]
    random, most, least = generator(0, "test losses", "ends", name), np.finfo(dtype).max, np.finfo(dtype).tiny
    ends = [0.0, 1.0, -1.0, least, -least, 800.0, -800.0, 1e30, -1e30, most / 3, most, -most, np.inf, -np.inf, np.nan]
    if isinstance(loss, PROBABLE):
        ends = [0.0, least, 0.5, 1 - np.finfo(dtype).eps, 1.0]
    z = random.choice(ends, (count, K, 1)).astype(dtype)
    z[: count // 5] = 0.5
    if kind in ("labels", "ignored"):
        return loss, z, random.choice([*range(K), *([-100] if kind == "ignored" else [])], (count, 1))
    y = random.choice([0.0, 0.3, 1.0] if kind == "fractions" else ends, (count, K, 1)).astype(dtype)
    y[: count // 10] = 1.0
    return loss, z, y


def told(loss, z, y):
    """The examples (count,) of which docs/differences.md says that the value is another one than PyTorch's."""
    most = np.finfo(z.dtype).max
    if isinstance(loss, BinaryCrossEntropy):
        overflows = (y < 1) & (z == -most) & (loss.pos_weight != 1)
        return ((y > 0) & ((z == -np.inf) | overflows)).any((1, 2))
    if not loss.takes_labels:
        return np.zeros(len(z), bool)
    logs = z if isinstance(loss, NegativeLogLikelihood) else LogSoftmax().forward({}, z)[0]
    matrix = np.stack([loss.weighed(one, K, z.dtype)[0] for one in y])
    overflows = (abs(logs) >= most / 4) & (loss.label_smoothing > 0)
    return ((matrix == 0) & ~np.isfinite(logs) | overflows).any((1, 2))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", AT_THE_ENDS)
def test_silence_and_pytorchs_numbers_at_the_ends(name, dtype, reduction):
    """A warning, or another NaN or ∞ than PyTorch's where docs/differences.md does not tell of it."""
    loss, z, y = at_the_end(name, dtype)
    loss = replace(loss, reduction=reduction)
    with np.errstate(all="raise"):
        value, gradient = loss(z, y)
    criterion, unit = twin(loss), 32 * np.finfo(dtype).eps
    expected, slopes = map(np.stack, zip(*(by_torch(criterion, *one) for one in zip(z, y, strict=True)), strict=True))
    with np.errstate(all="ignore"):
        other = told(loss, z, y)
        if isinstance(loss, AbsoluteError):
            slopes = np.where(np.isnan(z - y), np.nan, slopes)
        if isinstance(loss, SquaredError):
            slopes = np.where(np.isfinite(2 * (z - y)), slopes, 2 * (z - y))
    np.testing.assert_allclose(value[~other], expected[~other], rtol=unit, atol=unit)
    np.testing.assert_allclose(gradient, slopes, rtol=unit, atol=unit)
    assert other.mean() < 0.9 and np.isfinite(expected[~other]).any()


@pytest.mark.parametrize("options", [{}, {"weight": WEIGHT}], ids=["plain", "weights"])
def test_an_impossible_class(options):
    """A logit of −∞, of a class that is not the label: 0·∞ must not spoil the value; of the label, the value is ∞."""
    z, y = case("labels")[1], np.array([0, 2, 2, 3, 3, 0, 2])
    z[1] = -np.inf
    loss = CrossEntropy(**options)
    assert_near(loss, z, y, loss(z, y), by_torch(twin(loss), z, y))
    assert_near(loss, z, y, loss.with_matrix()(z, loss.targets(y, K).astype(float)), loss(z, y))
    assert loss(z, np.array([0, 1, 2, 3, 3, 0, 2]))[0] == np.inf


@pytest.mark.parametrize("wrong", [0.0, 1e-40, 1e-14, 1e-3])
def test_probabilities_at_the_ends(wrong):
    """PyTorch's guards: a logarithm is never below −100, p(1−p) never below 1e-12."""
    p = np.array([[wrong, 1 - wrong, wrong, 1 - wrong, 0.5]])
    y = np.array([[1.0, 0.0, 0.0, 1.0, 0.25]])
    for reduction in REDUCTIONS:
        loss = PROBABLE(reduction=reduction)
        assert_near(loss, p, y, loss(p, y), by_torch(twin(loss), p, y))
    at_zero = PROBABLE(reduction="none")(np.array([[0.0]]), np.array([[1.0]]))
    assert at_zero[0] == 100 and at_zero[1] == -1 / np.float64(np.float32(1e-12))


def test_probabilities_just_past_the_ends():
    """A replica of agreement that rounding carries past 1 is read as 1; logits in place of probabilities are refused."""
    loss, y = PROBABLE(reduction="none"), np.array([[1.0, 0.0]])
    np.testing.assert_array_equal(loss(np.array([[1 + 1e-9, -1e-9]]), y)[0], [[0.0, 0.0]])
    for p in (1.5, -0.2):
        with pytest.raises(InvalidInput, match=r"outputs must lie in \[0, 1\]; found"):
            loss(np.array([[0.5, p]]), y)


@pytest.mark.parametrize("dtype", [f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)])
@pytest.mark.parametrize("name", ["labels", "labels, weights, smoothed", "likelihood", "a class ignored"])
def test_any_integers_are_labels(name, dtype):
    """Unsigned labels that ignore_index = −100 does not fit, or small ones that overflow."""
    loss, z, y = case(name)
    expected, found = loss(z, y), loss(z, y.astype(dtype))
    assert expected[0] == found[0] and np.array_equal(expected[1], found[1])


LN2, LN4, LOW = np.log(2), np.log(4), np.log(4 / 3)  # the logits (ln 3, 0) are the probabilities (3/4, 1/4)
TWO, LABEL = np.array([[np.log(3), np.log(3)], [0.0, 0.0]]), np.array([0, 1])
BY_HAND = {
    "squared": (SquaredError(reduction="sum"), [[3.0, 1.0]], [[1.0, 1.5]], 4.25, [[4.0, -1.0]]),
    "absolute": (AbsoluteError(), [[3.0, 1.0, 2.0]], [[1.0, 1.5, 2.0]], 2.5 / 3, [[1 / 3, -1 / 3, 0.0]]),
    "huber": (Huber(2.0), [[5.0, -1.0]], [[0.0, 0.0]], (2 * 4 + 0.5) / 2, [[1.0, -0.5]]),
    "huber's corners": (Huber(2.0), [[2.0, -2.0]], [[0.0, 0.0]], 2.0, [[1.0, -1.0]]),
    "binary": (BinaryCrossEntropy(3.0), [[0.0, 0.0]], [[1.0, 0.0]], 2 * LN2, [[-0.75, 0.25]]),
    "binary, ln 3": (BinaryCrossEntropy((2.0,)), [[np.log(3)]], [[1.0]], 2 * LOW, [[-0.5]]),
    "probabilities": (PROBABLE(), [[0.25]], [[1.0]], LN4, [[-4.0]]),
    "labels": (CrossEntropy(), TWO, LABEL, (LOW + LN4) / 2, [[-1 / 8, 3 / 8], [1 / 8, -3 / 8]]),
    "weights": (CrossEntropy((1.0, 3.0)), TWO, LABEL, (LOW + 3 * LN4) / 4, [[-1 / 16, 9 / 16], [1 / 16, -9 / 16]]),
    "smoothed": (CrossEntropy(label_smoothing=0.2), TWO[:, :1], LABEL[:1], 0.9 * LOW + 0.1 * LN4, [[-0.15], [0.15]]),
    "ignored": (CrossEntropy(ignore_index=1), TWO, LABEL, LOW, [[-0.25, 0.0], [0.25, 0.0]]),
    "likelihood": (NegativeLogLikelihood((1.0, 3.0)), -TWO, LABEL, np.log(3) / 4, [[-1 / 4, 0.0], [0.0, -3 / 4]]),
    "weighted fractions": (CrossEntropy((1.0, 3.0)), TWO, np.eye(2), (LOW + 3 * LN4) / 2, [[-1 / 8, 9 / 8], [1 / 8, -9 / 8]]),
}  # fmt: skip


@pytest.mark.parametrize("loss, z, y, value, gradient", BY_HAND.values(), ids=BY_HAND)
def test_numbers_worked_by_hand(loss, z, y, value, gradient):
    """A mistake that both implementations share."""
    found = loss(np.array(z), np.array(y))
    np.testing.assert_allclose(found[0], value, rtol=1e-14)  # a handful of roundings
    np.testing.assert_allclose(found[1], gradient, rtol=1e-14, atol=1e-15)


def test_likelihood_of_log_softmax_is_cross_entropy():
    """Two ways to the same value."""
    for name in ("ignored", "ignored, weights"):
        loss, z, y = case(name)
        log_p = z - np.log(np.exp(z).sum(0))
        np.testing.assert_allclose(NegativeLogLikelihood(loss.weight)(log_p, y)[0], loss(z, y)[0], rtol=1e-14)


BAD_OPTIONS = {
    "reduction": (lambda: SquaredError(reduction="average"), r"SquaredError\(reduction='average'\): must be 'mean'"),
    "delta 0": (lambda: Huber(0.0), r"Huber\(delta=0.0\): must be positive"),
    "delta NaN": (lambda: Huber(float("nan")), r"Huber\(delta=nan\)"),
    "delta infinite": (lambda: Huber(float("inf")), r"Huber\(delta=inf\)"),
    "pos_weight": (lambda: BinaryCrossEntropy(-1.0), r"\(pos_weight=-1.0\): must be finite and not negative"),
    "pos_weight NaN": (lambda: BinaryCrossEntropy((1.0, float("nan"))), r"pos_weight=\(1.0, nan\)"),
    "weight": (lambda: CrossEntropy((1.0, -0.5)), r"CrossEntropy\(weight=\(1.0, -0.5\)\)"),
    "weight infinite": (lambda: NegativeLogLikelihood((np.inf,)), r"Likelihood\(weight=\(inf,\)\)"),
    "smoothing": (lambda: CrossEntropy(label_smoothing=1.1), r"label_smoothing=1.1\): must lie in \[0, 1\]"),
    "smoothing NaN": (lambda: CrossEntropy(label_smoothing=float("nan")), r"label_smoothing=nan"),
    "reduction of a loss with options": (lambda: CrossEntropy(reduction="Mean"), r"reduction='Mean'"),
}


@pytest.mark.parametrize("make, words", BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_option(make, words):
    """An option that would train, wrongly, without a word."""
    with pytest.raises(InvalidInput, match=words):
        make()


Y, Z = np.full((3, 2), 0.5), np.zeros((3, 2))
BAD_TARGETS = {
    "label too large": (CrossEntropy(), np.array([0, 3]), r"labels must lie in 0 … 2; found 0 … 3"),
    "label negative": (NegativeLogLikelihood(), np.array([-1, 1]), r"found -1 … 1"),
    "beside an ignored one": (CrossEntropy(), np.array([-100, 5]), r"found 5 … 5"),
    "other than the ignored one": (CrossEntropy(ignore_index=-1), np.array([-1, -100]), r"found -100 … -100"),
    "with weights": (CrossEntropy((1.0, 1.0, 1.0)), np.array([2, 3]), r"found 2 … 3"),
    "too few weights": (CrossEntropy((1.0, 2.0)), np.array([0, 1]), r"one number for each of 3 outputs"),
    "too few weights of fractions": (CrossEntropy((1.0,)), Y, r"weight=\(1.0,\)\): must hold one number for each of 3"),
    "too many weights": (BinaryCrossEntropy((1.0,) * 4), Y, r"pos_weight=.*one number for each of 3 outputs"),
}


@pytest.mark.parametrize("loss, y, words", BAD_TARGETS.values(), ids=BAD_TARGETS)
def test_bad_targets(loss, y, words):
    """Labels without a class, or weights that broadcast: refused beforehand and by the loss itself."""
    for call in (lambda: loss.check(y, 3), lambda: loss(Z, y)):
        with pytest.raises(InvalidInput, match=words):
            call()


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), PROBABLE()], ids=["logits", "probabilities"])
def test_binary_targets_are_checked(loss):
    """Targets outside [0, 1], but not what agreement's replicas make of a 1."""
    for wrong in (1.5, -0.5):
        with pytest.raises(InvalidInput, match=r"binary targets must lie in \[0, 1\]; found"):
            loss.check(np.array([[0.5, wrong]]), 1)
    loss.check(np.array([[0.0, 1 + 1e-9]]), 1)


def test_good_targets_pass():
    """Checks that refuse what is right would make the tests above pass too."""
    for name in CASES:
        loss, _, y = case(name)
        loss.check(y, K)
    CrossEntropy().check(np.array([-100, 2]), 3)
    assert np.array_equal(indicator(np.array([1, 7]), 2, ignore=7), [[False, False], [True, False]])


@pytest.mark.parametrize("q", [0.0, 0.3, 1.0, 7.0])
@pytest.mark.parametrize("y", [0.0, 1e-6, 0.88, 1 - 1e-6, 1.0])
def test_binary_cross_entropy_cancels_nothing(q, y):
    """Against fifty digits: about ten roundings of positive terms, whatever weights and soft targets leave of them."""
    z = np.linspace(-30, 30, 41)
    with localcontext(prec=50):
        d, one = [Decimal(a) for a in z.tolist()], Decimal(1)
        soft = [((one + a.exp()).ln(), (one + (-a).exp()).ln()) for a in d]  # −ln(1 − σ(z)), −ln σ(z)
        expected = [float((one - Decimal(y)) * no + Decimal(q) * Decimal(y) * yes) for no, yes in soft]
    found, _ = BinaryCrossEntropy(q, reduction="none")(z[None], np.full((1, 41), y))
    np.testing.assert_allclose(found[0], expected, rtol=10 * U, atol=0)
