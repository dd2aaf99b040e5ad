"""Twins of the penalties: ``twin(penalty)`` maps PyTorch's named parameters to the penalty's value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatch

import torch
from torch import Tensor

from scratch import penalties
from scratch.errors import InvalidInput

Named = Mapping[str, Tensor]


@singledispatch
def twin(penalty: penalties.Penalty) -> Callable[[Named], Tensor]:
    """The penalty's value of one network's parameters. Raises InvalidInput for a penalty that has no twin yet."""
    raise InvalidInput(f"{type(penalty).__name__} has no torch twin: register one in torchref/penalties.py")


@twin.register
def _(penalty: penalties.L1) -> Callable[[Named], Tensor]:
    return _sum(penalty, lambda w: penalty.strength * w.abs().sum())


@twin.register
def _(penalty: penalties.L2) -> Callable[[Named], Tensor]:
    return _sum(penalty, lambda w: penalty.strength / 2 * w.square().sum())


@twin.register
def _(penalty: penalties.ElasticNet) -> Callable[[Named], Tensor]:
    return _sum(penalty, lambda w: penalty.l1 * w.abs().sum() + penalty.l2 / 2 * w.square().sum())


def is_weight(name: str, tensor: Tensor) -> bool:
    """Whether one network's tensor is a matrix of weights: the "weight" of a normalization is a vector."""
    return name.rpartition(".")[2] == "weight" and tensor.ndim == 2


def project(constraint: penalties.MaxNorm, tensors: Named) -> None:
    """Shrinks the rows of one network's weights in place."""
    with torch.no_grad():
        for tensor in (t for name, t in tensors.items() if is_weight(name, t)):
            tensor.copy_(torch.renorm(tensor, 2, 0, constraint.max_norm))


def _sum(penalty: penalties.Penalty, cost: Callable[[Tensor], Tensor]) -> Callable[[Named], Tensor]:
    """The sum of ``cost`` over what the penalty reaches."""

    def value(tensors: Named) -> Tensor:
        reached = [t for name, t in tensors.items() if penalty.reach == "all" or is_weight(name, t)]
        zero = next(iter(tensors.values())).new_zeros(()) if tensors else torch.zeros((), dtype=torch.float64)
        return sum(map(cost, reached), start=zero)

    return value
