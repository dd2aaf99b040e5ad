"""Metrics of classifiers, from outputs (…, classes, m) and integer labels (m,) or (…, m): one number for each network.

Leading axes … are a stack of networks. No examples, or labels that do not fit, raise InvalidInput: a share of nothing
is no number. Outputs that are not numbers are no error (a network may diverge): NaN counts as the largest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scratch.errors import InvalidInput, unknown
from scratch.layers import Array, Shape

Average = Literal["macro", "micro", "weighted"]


def accuracy(output: Array, labels: Array) -> Array:
    """Share of examples whose largest output is their label's, (…,); of equal outputs the first counts."""
    _check_output("accuracy", output)
    _check_labels("accuracy", labels, (*output.shape[:-2], output.shape[-1]), output.shape[-2])
    return (output.argmax(-2) == labels).mean(-1)


def top_k(output: Array, labels: Array, k: int) -> Array:
    """Share of examples whose label is among the ``k`` largest outputs, (…,); of equal outputs the first count.

    k = 1 is ``accuracy``; k ≥ classes gives 1.
    """
    _check_output("top_k", output)
    _check_labels("top_k", labels, (*output.shape[:-2], output.shape[-1]), output.shape[-2])
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InvalidInput(f"top_k(k={k}): must be a whole number from 1 up")
    last = output.shape[-2] - 1
    # sorted upwards from the last class to the first, then read backwards: equal outputs come in the order of classes
    order = last - np.flip(np.argsort(np.flip(output, -2), axis=-2, kind="stable"), -2)
    return (order[..., :k, :] == labels[..., None, :]).any(-2).mean(-1)


def confusion_matrix(labels: Array, predicted: Array, classes: int) -> Array:
    """C_ij = number of examples of class i that were taken for class j, (…, classes, classes): rows true, columns predicted.

    ``predicted`` (…, m): classes, such as ``output.argmax(-2)`` or ``above(output)``.
    """
    _check_labels("confusion_matrix, predicted", predicted, predicted.shape, classes)
    _check_labels("confusion_matrix", labels, predicted.shape, classes)
    stack = predicted.shape[:-1]
    member = np.arange(np.prod(stack, dtype=int)).reshape(*stack, 1)
    cell = (member * classes + labels.astype(np.intp)) * classes + predicted.astype(np.intp)
    return np.bincount(cell.ravel(), minlength=member.size * classes**2).reshape(*stack, classes, classes)


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
    """Precision, recall and F1 from a confusion matrix (…, classes, classes), per class or averaged.

    macro: the mean over classes, absent ones included; weighted: the mean by support; micro: of the counts summed over classes,
    where each false positive is another class's false negative, so that all three are the accuracy.
    """
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.dtype.kind not in "iu" or (matrix < 0).any():
        raise InvalidInput(f"scores: expected counts (…, classes, classes), got {matrix.dtype} {matrix.shape}")
    hits, support = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1)
    if not support.any(-1).all():
        raise InvalidInput("scores: the confusion matrix holds no examples")
    each = _of_counts(hits, matrix.sum(-2), support)
    if average is None:
        return each
    total = support.sum(-1)
    if average == "micro":
        return _of_counts(hits.sum(-1), total, total)
    weights = {"macro": np.ones_like(support), "weighted": support}.get(average)
    if weights is None:
        raise unknown("average", average, ("macro", "micro", "weighted"))

    def mean(values: Array) -> Array:
        return (values * weights).sum(-1) / weights.sum(-1)

    return Scores(mean(each.precision), mean(each.recall), mean(each.f1), total)


def above(output: Array, threshold: float = 0.0) -> Array:
    """The class, 1 or 0, of one output (…, 1, m): whether it exceeds ``threshold``, (…, m).

    0 is the threshold for logits, 0.5 for probabilities. An output equal to it, or NaN, is class 0.
    """
    _check_output("above", output)
    if output.shape[-2] != 1:
        raise InvalidInput(f"above: expected one output (…, 1, m), got {output.shape}")
    if np.isnan(threshold):
        raise InvalidInput("above(threshold=nan): must be a number")
    return (output[..., 0, :] > threshold).astype(np.intp)


def binary_accuracy(output: Array, labels: Array, threshold: float = 0.0) -> Array:
    """Share of examples for which ``above(output, threshold)`` is the label, 0 or 1, (…,)."""
    predicted = above(output, threshold)
    _check_labels("binary_accuracy", labels, predicted.shape, 2)
    return (predicted == labels).mean(-1)


def binary_scores(output: Array, labels: Array, threshold: float = 0.0) -> Scores:
    """Precision, recall, F1 and support of class 1, (…,), from ``above(output, threshold)``."""
    both = scores(confusion_matrix(labels, above(output, threshold), 2))
    return Scores(both.precision[..., 1], both.recall[..., 1], both.f1[..., 1], both.support[..., 1])


def _of_counts(hits: Array, predicted: Array, support: Array) -> Scores:
    return Scores(_ratio(hits, predicted), _ratio(hits, support), _ratio(2 * hits, predicted + support), support)


def _ratio(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.zeros(np.shape(a)), where=np.asarray(b) > 0)[()]


def _check_output(place: str, output: Array) -> None:
    if output.ndim < 2 or not output.size:
        raise InvalidInput(f"{place}: expected outputs (…, classes, m) of at least one example, got {output.shape}")


def _check_labels(place: str, labels: Array, shape: Shape, classes: int) -> None:
    """Raises InvalidInput unless ``labels`` are whole numbers from 0 to classes−1, in ``shape`` (…, m) or (m,)."""
    if labels.dtype.kind not in "iu" or labels.ndim < 1 or labels.shape not in (shape, shape[-1:]):
        expected = f"integer labels {shape}" + (f" or {shape[-1:]}" if len(shape) > 1 else "")
        raise InvalidInput(f"{place}: expected {expected}, got {labels.dtype} {labels.shape}")
    if not labels.size:
        raise InvalidInput(f"{place}: no examples")
    if labels.min() < 0 or labels.max() >= classes:
        raise InvalidInput(f"{place}: labels must lie in 0 … {classes - 1}; found {labels.min()} … {labels.max()}")
