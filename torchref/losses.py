"""Twins of the losses: ``twin(loss) -> nn.Module`` that takes (output, target)."""

from __future__ import annotations

from functools import singledispatch

from torch import Tensor, nn

from scratch import losses
from scratch.errors import InvalidInput


@singledispatch
def twin(loss: losses.Loss) -> nn.Module:
    """The criterion that ``loss`` describes. Raises InvalidInput for a loss that has no twin yet."""
    raise InvalidInput(f"{type(loss).__name__} has no torch twin: register one in torchref/losses.py")


@twin.register
def _(loss: losses.SquaredError) -> nn.Module:
    return nn.MSELoss()


@twin.register
def _(loss: losses.BinaryCrossEntropy) -> nn.Module:
    return nn.BCEWithLogitsLoss()


@twin.register
def _(loss: losses.CrossEntropy) -> nn.Module:
    return nn.CrossEntropyLoss()


class _InnerProduct(nn.Module):
    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return (output * target).sum() / output.shape[0]


@twin.register
def _(loss: losses.InnerProduct) -> nn.Module:
    return _InnerProduct()
