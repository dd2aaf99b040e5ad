"""Twins of the optimizers: ``twin(optimizer, tensors) -> torch.optim.Optimizer``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

import torch
from torch import Tensor

from scratch import optimizers
from scratch.errors import InvalidInput


@singledispatch
def twin(optimizer: optimizers.Optimizer, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    """PyTorch's optimizer for these tensors. Raises InvalidInput for an update rule that has no twin yet."""
    raise InvalidInput(f"{type(optimizer).__name__} has no torch twin: register one in torchref/optimizers.py")


@twin.register
def _(optimizer: optimizers.SGD, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(tensors, lr=optimizer.learning_rate, momentum=optimizer.momentum)
