"""Twins of the losses: ``twin(loss) -> nn.Module`` that takes (output, target).

Output is (m, k); target is labels (m,) or numbers (m, k). Weights are float64 until the module is moved to another type.
"""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor, nn

from scratch import categorical, losses
from scratch.errors import InvalidInput


@singledispatch
def twin(loss: losses.Loss) -> nn.Module:
    """The criterion that ``loss`` describes. Raises InvalidInput for a loss that has no twin yet."""
    raise InvalidInput(f"{type(loss).__name__} has no torch twin: register one in torchref/losses.py")


@twin.register
def _(loss: losses.SquaredError) -> nn.Module:
    return nn.MSELoss(reduction=loss.reduction)


@twin.register
def _(loss: losses.AbsoluteError) -> nn.Module:
    return nn.L1Loss(reduction=loss.reduction)


@twin.register
def _(loss: losses.Huber) -> nn.Module:
    return nn.HuberLoss(reduction=loss.reduction, delta=loss.delta)


@twin.register
def _(loss: losses.BinaryCrossEntropy) -> nn.Module:
    weights = None if loss.pos_weight == 1 else torch.tensor(loss.pos_weight, dtype=torch.float64)
    return nn.BCEWithLogitsLoss(reduction=loss.reduction, pos_weight=weights)


@twin.register
def _(loss: losses.BinaryCrossEntropyFromProbabilities) -> nn.Module:
    return nn.BCELoss(reduction=loss.reduction)


@twin.register
def _(loss: categorical.CrossEntropy) -> nn.Module:
    weight, ignored, smoothing = _weights(loss), loss.ignore_index, loss.label_smoothing
    if loss.reduction == "mean" and weight is not None and smoothing:
        return _SmoothedMean(weight, ignored, smoothing)
    return nn.CrossEntropyLoss(weight, ignore_index=ignored, reduction=loss.reduction, label_smoothing=smoothing)


@twin.register
def _(loss: categorical.NegativeLogLikelihood) -> nn.Module:
    return nn.NLLLoss(_weights(loss), ignore_index=loss.ignore_index, reduction=loss.reduction)


@twin.register
def _(loss: losses.InnerProduct) -> nn.Module:
    return _InnerProduct(loss.reduction)


def _weights(loss: categorical.Categorical) -> Tensor | None:
    return None if loss.weight is None else torch.tensor(loss.weight, dtype=torch.float64)


class _SmoothedMean(nn.Module):
    """The mean with weights and smoothing. Of labels it is PyTorch's sum over their weights: vmap refuses PyTorch's mean.

    That is NaN, not ∞, where the labels weigh nothing.
    """

    def __init__(self, weight: Tensor, ignored: int, smoothing: float) -> None:
        super().__init__()
        self.mean = nn.CrossEntropyLoss(weight, label_smoothing=smoothing)
        self.sum = nn.CrossEntropyLoss(weight, ignore_index=ignored, reduction="sum", label_smoothing=smoothing)
        self.weights = nn.NLLLoss(weight, ignore_index=ignored, reduction="sum")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if target.is_floating_point():
            return self.mean(output, target)
        total = self.weights(-torch.ones_like(output), target)
        return self.sum(output, target) / torch.where(total == 0, torch.nan, total)


class _InnerProduct(nn.Module):
    """Σ y z, of which PyTorch has no module."""

    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        products = output * target
        if self.reduction == "none":
            return products
        return products.sum() / (output.shape[0] if self.reduction == "mean" else 1)
