"""Twins of the activations."""

from __future__ import annotations

from torch import nn

from scratch import activations
from torchref.layers import twin


@twin.register
def _(layer: activations.Identity, n_in: int) -> nn.Module:
    return nn.Identity()


@twin.register
def _(layer: activations.Sigmoid, n_in: int) -> nn.Module:
    return nn.Sigmoid()


@twin.register
def _(layer: activations.Tanh, n_in: int) -> nn.Module:
    return nn.Tanh()


@twin.register
def _(layer: activations.ReLU, n_in: int) -> nn.Module:
    return nn.ReLU()


@twin.register
def _(layer: activations.LeakyReLU, n_in: int) -> nn.Module:
    return nn.LeakyReLU(layer.slope)
