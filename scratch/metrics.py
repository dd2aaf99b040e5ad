"""Metrics of classifiers, from outputs (…, classes, m) and integer labels (m,) or (…, m): one number for each network.

Leading axes … are a stack of networks. An example labelled ``ignore_index`` counts nowhere. A network may diverge: where an output
that counts is NaN or infinite, the example has no class, and the network's metric is NaN. Raises InvalidInput for labels that do not
fit, for arguments of the wrong kind (lists that mean an array are taken), and where no example is left: a share of nothing is no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scratch.arguments import array, real, shown, whole
from scratch.errors import InvalidInput, unknown
from scratch.layers import Array, Shape

Average = Literal["macro", "micro", "weighted"]
NO_CLASS = -1  # of an example whose outputs are not all finite


def largest(output: Array) -> Array:
    """The class of the largest output, (…, m); of equal outputs the first, and −1 where one is NaN or infinite."""
    output = _outputs("largest", output)
    return np.where(np.isfinite(output).all(-2), output.argmax(-2), NO_CLASS)


def accuracy(output: Array, labels: Array, *, ignore_index: int | None = None) -> Array:
    """Share of examples whose largest output is their label's, (…,); of equal outputs the first counts."""
    output = _outputs("accuracy", output)
    taken = largest(output)
    labels, counted = _labels("accuracy", labels, taken.shape, output.shape[-2], ignore_index)
    return _share(taken == labels, counted, taken != NO_CLASS)


def top_k(output: Array, labels: Array, k: int, *, ignore_index: int | None = None) -> Array:
    """Share of examples whose label is among the ``k`` largest outputs, (…,); of equal outputs the first count.

    k = 1 is ``accuracy``; k ≥ classes gives 1.
    """
    output = _outputs("top_k", output)
    shape, last = (*output.shape[:-2], output.shape[-1]), output.shape[-2] - 1
    labels, counted = _labels("top_k", labels, shape, output.shape[-2], ignore_index)
    k = whole("top_k", "k", k, 1)
    # sorted upwards from the last class to the first, then read backwards: equal outputs come in the order of classes
    order = last - np.flip(np.argsort(np.flip(output, -2), axis=-2, kind="stable"), -2)
    return _share((order[..., :k, :] == labels[..., None, :]).any(-2), counted, np.isfinite(output).all(-2))


def confusion_matrix(labels: Array, predicted: Array, classes: int, *, ignore_index: int | None = None) -> Array:
    """C_ij = number of examples of class i that were taken for class j, (…, classes, classes): rows true, columns predicted.

    ``predicted`` (…, m): classes, such as ``largest(output)`` or ``above(output)``. Where one that counts is −1, no class, the network's
    whole matrix is NaN, and all are floating point.
    """
    classes = whole("confusion_matrix", "classes", classes, 1)
    predicted = array("confusion_matrix, predicted", predicted, "integer labels (…, m)", "iu")
    _check_range("confusion_matrix, predicted", predicted, NO_CLASS, classes)
    return _confusion("confusion_matrix", labels, predicted, classes, ignore_index)


def _confusion(place: str, labels: Any, predicted: Array, classes: int, ignore_index: Any) -> Array:
    labels, counted = _labels(place, labels, predicted.shape, classes, ignore_index)
    stack, lost = predicted.shape[:-1], np.asarray((counted & (predicted == NO_CLASS)).any(-1))
    member = np.arange(np.prod(stack, dtype=int)).reshape(*stack, 1)
    cell = (member * classes + labels.astype(np.intp)) * classes + predicted.astype(np.intp)
    kept = np.broadcast_to(counted, predicted.shape) & (predicted != NO_CLASS)
    matrix = np.bincount(cell[kept], minlength=member.size * classes**2).reshape(*stack, classes, classes)
    return np.where(lost[..., None, None], np.nan, matrix) if lost.any() else matrix


@dataclass(frozen=True)
class Scores:
    """P = TP/(TP + FP), R = TP/(TP + FN), F1 = 2PR/(P + R) = 2TP/(2TP + FP + FN): per class (…, classes), or one number (…,).

    ``support``: true examples, TP + FN, per class, or all. A quotient 0/0 is 0: of a class that is never predicted P, of one
    that never occurs R, and F1 of one that does neither.
    """

    precision: Array
    recall: Array
    f1: Array
    support: Array


def scores(matrix: Array, average: Average | None = None) -> Scores:
    """Precision, recall and F1 from a confusion matrix (…, classes, classes), per class or averaged; all NaN where the matrix is.

    macro: the mean over classes, absent ones included; weighted: the mean by support; micro: of the counts summed over classes,
    where each false positive is another class's false negative, so that all three are the accuracy.
    """
    matrix = array("scores", matrix, "counts (…, classes, classes)")
    lost = np.asarray(np.isnan(matrix).any((-2, -1)) if matrix.ndim > 1 else False)
    counts = np.where(lost[..., None, None], 1, matrix)
    right = np.isfinite(counts) & (counts >= 0) & (counts == np.floor(counts))
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or not right.all():
        raise InvalidInput(f"scores: expected counts (…, classes, classes), got {matrix.dtype} {matrix.shape}")
    known = ("macro", "micro", "weighted")
    if average is not None and not (isinstance(average, str) and average in known):
        raise unknown("average", average if isinstance(average, str) else shown(average), known)
    hits, support = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1)
    if not support.any(-1).all():
        raise InvalidInput("scores: the confusion matrix holds no examples")
    each, total = _of_counts(hits, counts.sum(-2), support), support.sum(-1)
    if average is None:
        return _known(each, lost[..., None])
    if average == "micro":
        return _known(_of_counts(hits.sum(-1), total, total), lost)
    weights = np.ones_like(support) if average == "macro" else support

    def mean(values: Array) -> Array:
        return (values * weights).sum(-1) / weights.sum(-1)

    return _known(Scores(mean(each.precision), mean(each.recall), mean(each.f1), total), lost)


def above(output: Array, threshold: float = 0.0) -> Array:
    """The class, 1 or 0, of one output (…, 1, m): whether it exceeds ``threshold``, (…, m).

    0 is the threshold for logits, 0.5 for probabilities. An output equal to it is class 0; one that is NaN or infinite is −1, none.
    """
    return _above("above", output, threshold)


def binary_accuracy(output: Array, labels: Array, threshold: float = 0.0, *, ignore_index: int | None = None) -> Array:
    """Share of examples for which ``above(output, threshold)`` is the label, 0 or 1, (…,)."""
    taken = _above("binary_accuracy", output, threshold)
    labels, counted = _labels("binary_accuracy", labels, taken.shape, 2, ignore_index)
    return _share(taken == labels, counted, taken != NO_CLASS)


def binary_scores(output: Array, labels: Array, threshold: float = 0.0, *, ignore_index: int | None = None) -> Scores:
    """Precision, recall, F1 and support of class 1, (…,), from ``above(output, threshold)``."""
    taken = _above("binary_scores", output, threshold)
    both = scores(_confusion("binary_scores", labels, taken, 2, ignore_index))
    return Scores(both.precision[..., 1], both.recall[..., 1], both.f1[..., 1], both.support[..., 1])


def _above(place: str, output: Any, threshold: Any) -> Array:
    output, threshold = _outputs(place, output), real(place, "threshold", threshold)
    if output.shape[-2] != 1:
        raise InvalidInput(f"{place}: expected one output (…, 1, m), got {output.shape}")
    only = output[..., 0, :]
    return np.where(np.isfinite(only), (only > threshold).astype(np.intp), NO_CLASS)


def _of_counts(hits: Array, predicted: Array, support: Array) -> Scores:
    return Scores(_ratio(hits, predicted), _ratio(hits, support), _ratio(2 * hits, predicted + support), support)


def _ratio(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.zeros(np.shape(a)), where=np.asarray(b) > 0)[()]


def _known(found: Scores, lost: Array) -> Scores:
    """The same, but NaN for the networks that are ``lost``."""
    if not lost.any():
        return found
    return Scores(*(np.where(lost, np.nan, a)[()] for a in (found.precision, found.recall, found.f1, found.support)))


def _share(right: Any, counted: Array, known: Any) -> Array:
    """The share of the examples ``counted`` that are ``right``; NaN where one of them is not ``known``."""
    share = (right & counted).sum(-1) / counted.sum(-1)
    return np.where((known | ~counted).all(-1), share, np.nan)[()]


def _outputs(place: str, output: Any) -> Array:
    output = array(place, output, "outputs (…, classes, m)")
    if output.ndim < 2 or not output.size:
        raise InvalidInput(f"{place}: expected outputs (…, classes, m) of at least one example, got {output.shape}")
    return output


def _labels(place: str, labels: Any, shape: Shape, classes: int, ignore_index: Any) -> tuple[Array, Array]:
    """The labels, and which of them count. Raises InvalidInput unless these are 0 … classes−1, in ``shape`` (…, m) or (m,)."""
    expected = f"integer labels {shape}" + (f" or {shape[-1:]}" if len(shape) > 1 else "")
    labels = array(place, labels, expected, "iu")
    if labels.ndim < 1 or labels.shape not in (shape, shape[-1:]):
        raise InvalidInput(f"{place}: expected {expected}, got {labels.dtype} {labels.shape}")
    ignored = None if ignore_index is None else whole(place, "ignore_index", ignore_index)
    counted = np.ones(labels.shape, bool) if ignored is None else labels != ignored
    if not labels.size or not counted.any(-1).all():
        raise InvalidInput(f"{place}: no examples" + ("" if ignored is None else f" but those labelled {ignored}"))
    _check_range(place, labels[counted], 0, classes)
    return labels, counted


def _check_range(place: str, labels: Array, low: int, classes: int) -> None:
    if labels.size and (labels.min() < low or labels.max() >= classes):
        raise InvalidInput(f"{place}: labels must lie in 0 … {classes - 1}; found {labels.min()} … {labels.max()}")
