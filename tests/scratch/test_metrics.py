"""Metrics against scikit-learn's, and against tables worked by hand; no metric rounds more than a division and a mean."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from scratch import InvalidInput, metrics
from scratch.randomness import generator

M, CLASSES = 23, 5
NAMES = ("precision", "recall", "f1")
# quotients of small whole numbers, and means of 5: a few roundings each, of numbers up to 1
CLOSE = {"rtol": 0, "atol": 8 * 2.0**-53}

#           true 0: one right, one taken for 2; true 1: both right; true 2: one right, two for 1; class 3 only predicted
TRUE = np.array([0, 0, 1, 1, 2, 2, 2, 0])
TAKEN = np.array([0, 2, 1, 1, 2, 1, 1, 3])
TABLE = [[1, 0, 1, 1, 0], [0, 2, 0, 0, 0], [0, 2, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def outputs(*leading, classes=CLASSES, purpose="outputs"):
    return generator(0, "metrics", purpose).standard_normal((*leading, classes, M))


def labels(*leading, classes=CLASSES):
    return generator(0, "metrics", "labels").integers(0, classes, (*leading, M))


def one_hot(predicted, classes):
    return (predicted == np.arange(classes)[:, None]).astype(float)


def test_confusion_by_hand():
    """Rows and columns exchanged; classes cut off that never occur."""
    matrix = metrics.confusion_matrix(TRUE, TAKEN, 5)
    assert matrix.dtype == np.intp and matrix.tolist() == TABLE


def test_scores_by_hand():
    """0/0 anything but 0: class 0 is predicted once and rightly, 3 never occurs, 4 is neither."""
    each = metrics.scores(np.array(TABLE))
    np.testing.assert_allclose(each.precision, [1, 1 / 2, 1 / 2, 0, 0], **CLOSE)
    np.testing.assert_allclose(each.recall, [1 / 3, 1, 1 / 3, 0, 0], **CLOSE)
    np.testing.assert_allclose(each.f1, [1 / 2, 2 / 3, 2 / 5, 0, 0], **CLOSE)
    assert each.support.tolist() == [3, 2, 3, 0, 0]


AVERAGES = {  # of the table above, worked by hand: precision, recall, F1
    "macro": (2 / 5, 1 / 3, 47 / 150),
    "weighted": (11 / 16, 1 / 2, (3 / 2 + 4 / 3 + 6 / 5) / 8),
    "micro": (1 / 2, 1 / 2, 1 / 2),
}


@pytest.mark.parametrize("average", AVERAGES)
def test_averages_by_hand(average):
    """A mean over the classes that occur only; F1 of the averages in place of the average of F1."""
    found = metrics.scores(np.array(TABLE), average)
    np.testing.assert_allclose([getattr(found, name) for name in NAMES], AVERAGES[average], **CLOSE)
    assert found.support == 8


def reference(true, predicted, classes, average):
    """Scikit-learn's numbers; macro with the absent classes, as ``labels`` asks for."""
    return sk.precision_recall_fscore_support(true, predicted, labels=range(classes), average=average, zero_division=0)


@pytest.mark.parametrize("average", [None, "macro", "weighted", "micro"])
@pytest.mark.parametrize("true_classes, taken_classes", [(5, 5), (3, 5), (5, 2), (1, 1), (1, 4)])
def test_scores_are_scikit_learns(average, true_classes, taken_classes):
    """Any disagreement with the usual definitions, also where classes are absent or never predicted."""
    random = generator(0, "metrics", "pairs", true_classes, taken_classes)
    true, predicted = random.integers(0, true_classes, M), random.integers(0, taken_classes, M)
    matrix = metrics.confusion_matrix(true, predicted, CLASSES)
    assert np.array_equal(matrix, sk.confusion_matrix(true, predicted, labels=range(CLASSES)))
    found = metrics.scores(matrix, average)
    *theirs, support = reference(true, predicted, CLASSES, average)
    for name, expected in zip(NAMES, theirs, strict=True):
        np.testing.assert_allclose(getattr(found, name), expected, **CLOSE)
    assert np.array_equal(found.support, support if average is None else M)


def test_accuracy_is_scikit_learns():
    """The wrong axis, or a sum in place of a mean, or ties that go to the last."""
    z, y = outputs(), labels()
    expected = sk.accuracy_score(y, z.argmax(0))
    assert 0 < expected < 1
    assert metrics.accuracy(z, y) == pytest.approx(expected, abs=1e-15)
    assert metrics.accuracy(z, y) == np.mean(
        [column.tolist().index(max(column)) == label for column, label in zip(z.T, y, strict=True)]
    )
    matrix = metrics.confusion_matrix(y, z.argmax(-2), CLASSES)
    assert metrics.scores(matrix, "micro").f1 == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("k", range(1, CLASSES))
def test_top_k_is_scikit_learns(k):
    """The k smallest, or k+1; without ties, where the two differ."""
    z, y = outputs(), labels()
    expected = sk.top_k_accuracy_score(y, z.T, k=k, labels=range(CLASSES))
    assert metrics.top_k(z, y, k) == pytest.approx(expected, abs=1e-15)


def test_top_k_at_its_ends():
    """k = 1 that is not the accuracy; k of all classes and more that leaves one out or fails."""
    z, y = outputs(3), labels()
    assert np.array_equal(metrics.top_k(z, y, 1), metrics.accuracy(z, y))
    for k in (CLASSES, CLASSES + 1, np.int64(100)):
        assert np.array_equal(metrics.top_k(z, y, k), np.ones(3))


def test_ties_go_to_the_first():
    """A network that gives out the same for every class must not be right every time."""
    z, y = np.zeros((3, 6)), np.array([0, 1, 1, 2, 2, 2])
    assert metrics.accuracy(z, y) == 1 / 6
    assert [metrics.top_k(z, y, k) for k in (1, 2, 3)] == [1 / 6, 3 / 6, 1]
    z = np.array([[1.0, 2, 0], [3, 2, 5], [3, 2, 5]])  # two largest: classes 1 and 2, 0 and 1, 1 and 2
    for k, hits in ((1, ([0, 1, 0], [1, 0, 1], [0, 0, 0])), (2, ([0, 1, 0], [1, 1, 1], [1, 0, 1]))):
        for label, hit in enumerate(hits):
            assert metrics.top_k(z, np.full(3, label), k) == np.mean(hit)


def every_metric(z, y, ignore=None, classes=CLASSES):
    """All metrics of outputs (…, classes, m) and of their first row alone, as floating point arrays by name."""
    two = None if ignore is None else y == ignore
    binary = np.where(two, ignore, y % 2) if ignore is not None else y % 2
    matrix = metrics.confusion_matrix(y, metrics.largest(z), classes, ignore_index=ignore)
    found = {"accuracy": metrics.accuracy(z, y, ignore_index=ignore), "matrix": matrix,
             "top_k": metrics.top_k(z, y, 2, ignore_index=ignore)}  # fmt: skip
    several = {str(average): metrics.scores(matrix, average) for average in (None, "macro", "micro", "weighted")}
    if ignore != 0:  # else every even label would be ignored
        found["binary"] = metrics.binary_accuracy(z[..., :1, :], binary, ignore_index=ignore)
        several["one"] = metrics.binary_scores(z[..., :1, :], binary, ignore_index=ignore)
    return found | {f"{name} {part}": a for name, s in several.items() for part, a in vars(s).items()}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("own_labels", [False, True])
def test_a_diverged_network_is_nan_and_the_others_as_alone(value, own_labels):
    """argmax takes NaN for the largest: a network that blew up would answer class 0, and be right where that is the label."""
    z, y = outputs(3), labels(3) if own_labels else labels()
    before = every_metric(z, y)
    z = z.copy()
    z[1, 0, 4] = value
    after = every_metric(z, y)
    assert after.keys() == before.keys() and len(after) == 4 + 4 * 5
    for name, a in after.items():
        assert np.isnan(a[1]).all() and not np.isnan(before[name][1]).any(), name
        assert np.array_equal(a[[0, 2]], before[name][[0, 2]]), name
    for name, a in every_metric(z[1], y[1] if own_labels else y).items():
        assert np.isnan(a).all(), name
    assert metrics.largest(z)[1, 4] == metrics.above(z[..., :1, :])[1, 4] == -1
    assert (metrics.largest(z) == -1).sum() == 1
    assert np.isnan(metrics.accuracy(np.full((2, 3), np.nan), np.zeros(3, int)))


@pytest.mark.parametrize("ignore", [-100, -1, 0, 3, 255])
@pytest.mark.parametrize("own_labels", [False, True])
def test_an_ignored_label_counts_nowhere(ignore, own_labels):
    """As if its examples were not there, whatever the network gives out for them; scikit-learn's numbers of the rest."""
    z, y = outputs(3), labels(3) if own_labels else labels()
    y = y.astype(np.uint8 if ignore == 255 else np.int64)
    y[..., [2, 5, 11]] = ignore
    z[1][:, y[1] == ignore if own_labels else y == ignore] = np.nan
    found = every_metric(z, y, ignore)
    for k in range(3):
        own = y[k] if own_labels else y
        left = own != ignore
        assert 0 < left.sum() < M
        alone = every_metric(z[k][:, left], own[left])
        for name, a in found.items():
            assert np.array_equal(a[k], alone[name]), name
        true, predicted = own[left], z[k][:, left].argmax(0)
        assert found["accuracy"][k] == pytest.approx(sk.accuracy_score(true, predicted), abs=1e-15)
        assert np.array_equal(found["matrix"][k], sk.confusion_matrix(true, predicted, labels=range(CLASSES)))
        for average in ("macro", "weighted", "micro"):
            *theirs, _ = reference(true, predicted, CLASSES, average)
            for name, expected in zip(NAMES, theirs, strict=True):
                np.testing.assert_allclose(found[f"{average} {name}"][k], expected, **CLOSE)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)], ids=str)
@pytest.mark.parametrize("own_labels", [False, True])
def test_a_stack_is_its_members(leading, own_labels):
    """Counts of one network among another's; labels shared or not."""
    z, y = outputs(*leading), labels(*(leading if own_labels else ()))
    predicted = z.argmax(-2)
    each_y = np.broadcast_to(y, (*leading, M))
    matrix = metrics.confusion_matrix(y, predicted, CLASSES)
    stacked = {
        "accuracy": metrics.accuracy(z, y),
        "top_k": metrics.top_k(z, y, 2),
        "matrix": matrix,
        "f1": metrics.scores(matrix).f1,
        "macro": metrics.scores(matrix, "macro").precision,
        "weighted": metrics.scores(matrix, "weighted").recall,
        "micro": metrics.scores(matrix, "micro").f1,
        "support": metrics.scores(matrix, "micro").support,
    }
    assert matrix.shape == (*leading, CLASSES, CLASSES)
    for at in np.ndindex(leading):
        one = metrics.confusion_matrix(each_y[at], predicted[at], CLASSES)
        alone = {
            "accuracy": metrics.accuracy(z[at], each_y[at]),
            "top_k": metrics.top_k(z[at], each_y[at], 2),
            "matrix": one,
            "f1": metrics.scores(one).f1,
            "macro": metrics.scores(one, "macro").precision,
            "weighted": metrics.scores(one, "weighted").recall,
            "micro": metrics.scores(one, "micro").f1,
            "support": M,
        }
        for name, values in stacked.items():
            assert np.array_equal(values[at], alone[name]), name
    assert all(np.shape(stacked[name]) == leading for name in ("accuracy", "top_k", "macro", "weighted", "micro"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64])
def test_every_integer_type_counts_alike(dtype):
    """A cell's number that overflows uint8, or turns into a float with uint64."""
    classes = 100
    y, predicted = labels(7, classes=classes), generator(1, "metrics").integers(0, classes, (7, M))
    found = metrics.confusion_matrix(y.astype(dtype), predicted.astype(dtype), classes)
    assert np.array_equal(found, metrics.confusion_matrix(y, predicted, classes)) and found.sum() == 7 * M
    assert (
        metrics.accuracy(one_hot(predicted[0], classes).astype(np.float32), y[0].astype(dtype))
        == (predicted[0] == y[0]).mean()
    )


@pytest.mark.parametrize("threshold", [-0.7, 0.0, 0.5, 10.0])
def test_binary_scores_are_scikit_learns(threshold):
    """Scores of class 0, or a threshold that is not used; at 10 nothing is predicted to be 1."""
    z, y = outputs(3, classes=1), labels(classes=2)
    found, shares = metrics.binary_scores(z, y, threshold), metrics.binary_accuracy(z, y, threshold)
    assert found.f1.shape == shares.shape == (3,)
    for s in range(3):
        predicted = (z[s, 0] > threshold).astype(int)
        *theirs, _ = sk.precision_recall_fscore_support(y, predicted, average="binary", zero_division=0)
        np.testing.assert_allclose([getattr(found, name)[s] for name in NAMES], theirs, **CLOSE)
        assert shares[s] == pytest.approx(sk.accuracy_score(y, predicted), abs=1e-15)
        assert found.support[s] == y.sum()


def test_logits_and_probabilities_agree():
    """0 for logits and 0.5 for probabilities are one threshold; what lies on it is class 0, as a tie is for argmax."""
    z = np.array([[-3.0, 0.0, 2.0, -0.1, 7.0, np.nan]])
    assert metrics.above(z).tolist() == metrics.above(1 / (1 + np.exp(-z)), 0.5).tolist() == [0, 0, 1, 0, 1, -1]
    both = np.concatenate([np.zeros_like(z), z])
    assert np.array_equal(metrics.above(z), metrics.largest(both))
    assert metrics.binary_accuracy(z[:, :5], np.array([0, 1, 1, 0, 0])) == 3 / 5


Y = np.array([0, 1, 2])
Z = np.eye(3)
BAD = {
    "negative label": (lambda: metrics.accuracy(Z, Y - 1), "accuracy: labels must lie in 0 … 2; found -1 … 1"),
    "label too large": (lambda: metrics.top_k(Z, Y + 1, 2), "top_k: labels must lie in 0 … 2; found 1 … 3"),
    "fractions": (lambda: metrics.accuracy(Z, Y + 0.0), r"accuracy: expected integer labels \(3,\), got float64"),
    "truth values": (lambda: metrics.accuracy(Z, Y > 0), r"expected integer labels \(3,\), got bool"),
    "length": (lambda: metrics.accuracy(Z, Y[:2]), r"expected integer labels \(3,\), got int64 \(2,\)"),
    "one label": (lambda: metrics.accuracy(Z, Y[:1]), r"expected integer labels \(3,\), got int64 \(1,\)"),
    "a column": (lambda: metrics.accuracy(Z, Y[:, None]), r"expected integer labels \(3,\), got int64 \(3, 1\)"),
    "a number": (lambda: metrics.accuracy(Z, np.array(1)), "expected integer labels"),
    "another stack": (
        lambda: metrics.accuracy(np.ones((2, 3, 3)), np.zeros((4, 3), int)),
        r"expected integer labels \(2, 3\) or \(3,\), got int64 \(4, 3\)",
    ),
    "no outputs": (lambda: metrics.accuracy(Y, Y), "expected outputs"),
    "no examples": (lambda: metrics.accuracy(np.ones((3, 0)), Y[:0]), "accuracy: expected outputs .* got"),
    "no examples among k": (lambda: metrics.top_k(np.ones((3, 0)), Y[:0], 2), "top_k: expected outputs"),
    "nothing to count": (lambda: metrics.confusion_matrix(Y[:0], Y[:0], 3), "confusion_matrix.*: no examples"),
    "k = 0": (lambda: metrics.top_k(Z, Y, 0), r"top_k\(k=0\): must be a whole number from 1 up"),
    "k a fraction": (lambda: metrics.top_k(Z, Y, 1.5), "whole number"),
    "k a truth value": (lambda: metrics.top_k(Z, Y, True), "whole number"),
    "true label": (lambda: metrics.confusion_matrix(Y, Y % 2, 2), "confusion_matrix: labels must lie in 0 … 1"),
    "predicted label": (lambda: metrics.confusion_matrix(Y % 2, Y, 2), "predicted: labels must lie in 0 … 1"),
    "outputs as predictions": (lambda: metrics.confusion_matrix(Y, Z, 3), "predicted: expected integer labels"),
    "not square": (lambda: metrics.scores(np.ones((2, 3), int)), r"expected counts .* \(2, 3\)"),
    "shares": (lambda: metrics.scores(Z / 3), "expected counts .* float64"),
    "negative counts": (lambda: metrics.scores(-Z.astype(int)), "expected counts"),
    "one axis": (lambda: metrics.scores(Y), "expected counts"),
    "one empty": (lambda: metrics.scores(np.array([[[1, 0], [0, 0]], [[0, 0], [0, 0]]])), "holds no examples"),
    "average": (lambda: metrics.scores(np.eye(2, dtype=int), "makro"), "no average 'makro'. Did you mean 'macro'"),
    "two outputs": (
        lambda: metrics.binary_scores(Z, Y % 2),
        r"binary_scores: expected one output \(…, 1, m\), got \(3, 3\)",
    ),
    "class 2 of two": (lambda: metrics.binary_accuracy(Z[:1], Y), "binary_accuracy: labels must lie in 0 … 1"),
    "all ignored": (lambda: metrics.accuracy(Z, Y * 0, ignore_index=0), "no examples but those labelled 0"),
    "one network's ignored": (
        lambda: metrics.accuracy(np.ones((2, 3, 3)), np.array([Y, Y * 0]), ignore_index=0),
        "no examples but those labelled 0",
    ),
    "an ignored class": (lambda: metrics.accuracy(Z, Y - 1, ignore_index=1), "labels must lie in 0 … 2; found -1 … 0"),
    "ignored by name": (
        lambda: metrics.accuracy(Z, Y, ignore_index="0"),
        r"accuracy\(ignore_index='0'\): .* whole number",
    ),
    "no class": (lambda: metrics.confusion_matrix(Y, Y - 2, 3), "predicted: labels must lie in 0 … 2; found -2"),
    "infinite counts": (lambda: metrics.scores(np.full((2, 2), np.inf)), "expected counts"),
    "threshold": (lambda: metrics.above(Z[:1], np.nan), r"above\(threshold=nan\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    """A number that looks like a measurement, from labels that never fitted."""
    call, message = BAD[case]
    with pytest.raises(InvalidInput, match=message):
        call()
