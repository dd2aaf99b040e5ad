"""The torch.nn twin of each layer description: ``twin(layer, n_in) -> nn.Module``."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor, nn

from scratch import layers
from scratch.errors import InvalidInput


@singledispatch
def twin(layer: layers.Layer, n_in: int) -> nn.Module:
    """A module that computes what ``layer`` describes. Raises InvalidInput for a layer that has no twin yet."""
    raise InvalidInput(
        f"{type(layer).__name__} has no torch twin: register one in the file of torchref that is named as its own in scratch"
    )


@twin.register
def _(layer: layers.Dense, n_in: int) -> nn.Module:
    return nn.Linear(n_in, layer.units, bias=layer.bias)


class MaskedDropout(nn.Module):
    """nn.Dropout in training, with the mask handed in as a buffer instead of drawn: both implementations see the same one."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("mask", torch.ones(0), persistent=False)
        self.mask: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask / (1 - self.rate) if self.rate < 1 else x * self.mask


@twin.register
def _(layer: layers.Dropout, n_in: int) -> nn.Module:
    return MaskedDropout(layer.rate) if layer.active else nn.Dropout(layer.rate).eval()


class Residual(nn.Module):
    """x + the inner modules' output."""

    def __init__(self, inside: nn.Sequential) -> None:
        super().__init__()
        self.layers = inside

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


@twin.register
def _(layer: layers.Residual, n_in: int) -> nn.Module:
    return Residual(nn.Sequential(*chain(layer.layers, n_in)))


def chain(described: tuple[layers.Layer, ...], n_in: int) -> list[nn.Module]:
    """The twins of layers that follow each other."""
    modules = []
    for layer in described:
        modules.append(twin(layer, n_in))
        n_in = layer.width(n_in)
    return modules
