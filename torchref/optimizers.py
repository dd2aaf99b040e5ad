"""Twins of the optimizers and of clipping: ``twin(optimizer, tensors) -> torch.optim.Optimizer``, ``clip(clip, tensors)``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import cache, singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from scratch import clipping, optimizers
from scratch.errors import InvalidInput


@singledispatch
def twin(optimizer: optimizers.Optimizer, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    """PyTorch's optimizer for these tensors.

    Raises InvalidInput for an update rule that has no twin yet, and for one learning rate for each member of a stack.
    """
    raise InvalidInput(f"{type(optimizer).__name__} has no torch twin: register one in torchref/optimizers.py")


@twin.register
def _(optimizer: optimizers.SGD, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    options: dict[str, Any] = {
        "momentum": optimizer.momentum,
        "dampening": optimizer.dampening,
        "nesterov": optimizer.nesterov,
    }
    return _plain(torch.optim.SGD)(tensors, **_common(optimizer), **options)


@twin.register
def _(optimizer: optimizers.Adagrad, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    first = optimizer.initial_accumulator_value
    options: dict[str, Any] = {"lr_decay": optimizer.lr_decay, "initial_accumulator_value": first, "eps": optimizer.eps}
    return _plain(torch.optim.Adagrad)(tensors, **_common(optimizer), **options)


@twin.register
def _(optimizer: optimizers.RMSProp, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"alpha": optimizer.decay, "centered": optimizer.centered, "eps": optimizer.eps}
    return _plain(torch.optim.RMSprop)(tensors, **_common(optimizer), **options, momentum=optimizer.momentum)


@twin.register
def _(optimizer: optimizers.Adadelta, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    return _plain(torch.optim.Adadelta)(tensors, **_common(optimizer), rho=optimizer.rho, eps=optimizer.eps)


@twin.register
def _(optimizer: optimizers.Adam, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    return _plain(torch.optim.Adam)(tensors, **_common(optimizer), **_moments(optimizer))


@twin.register
def _(optimizer: optimizers.AdamW, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    return _plain(torch.optim.AdamW)(tensors, **_common(optimizer), **_moments(optimizer))


@cache
def _plain(kind: type[torch.optim.Optimizer]) -> Any:
    """PyTorch's optimizer, with the methods inside of the wrappers that import its compiler at the first call, 2 s of a worker's time."""
    step, add = (inspect.unwrap(method) for method in (kind.step, kind.add_param_group))
    return type(kind.__name__, (kind,), {"step": torch.no_grad()(step), "add_param_group": add})


def _common(optimizer: optimizers.Optimizer) -> dict[str, Any]:
    name, rate = type(optimizer).__name__, optimizer.learning_rate
    if isinstance(rate, tuple):
        raise InvalidInput(
            f"{name}(learning_rate={rate}): PyTorch takes one number; make one optimizer for each member"
        )
    return {"lr": float(rate), "weight_decay": optimizer.weight_decay}


def _moments(optimizer: optimizers.Moments) -> dict[str, Any]:
    return {"betas": tuple(map(float, optimizer.betas)), "eps": optimizer.eps, "amsgrad": optimizer.amsgrad}


@singledispatch
def clip(clip: clipping.Clip, tensors: Iterable[Tensor]) -> None:
    """Clips the tensors' gradients in place, as those of one network. Raises InvalidInput for a clip without a twin."""
    raise InvalidInput(f"{type(clip).__name__} has no torch twin: register one in torchref/optimizers.py")


@clip.register
def _(clip: clipping.ClipNorm, tensors: Iterable[Tensor]) -> None:
    nn.utils.clip_grad_norm_(tensors, clip.max_norm)


@clip.register
def _(clip: clipping.ClipValue, tensors: Iterable[Tensor]) -> None:
    nn.utils.clip_grad_value_(tensors, clip.clip_value)
