"""Twins of the activations and of softmax."""

from __future__ import annotations

from torch import nn

from scratch import activations, softmax
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


@twin.register
def _(layer: activations.ELU, n_in: int) -> nn.Module:
    return nn.ELU(layer.alpha)


@twin.register
def _(layer: activations.SELU, n_in: int) -> nn.Module:
    return nn.SELU()


@twin.register
def _(layer: activations.GELU, n_in: int) -> nn.Module:
    return nn.GELU(layer.approximate)


@twin.register
def _(layer: activations.Softplus, n_in: int) -> nn.Module:
    return nn.Softplus(layer.beta, layer.threshold)


@twin.register
def _(layer: activations.SiLU, n_in: int) -> nn.Module:
    return nn.SiLU()


@twin.register
def _(layer: activations.Mish, n_in: int) -> nn.Module:
    return nn.Mish()


@twin.register
def _(layer: activations.HardTanh, n_in: int) -> nn.Module:
    return nn.Hardtanh(layer.low, layer.high)


@twin.register
def _(layer: softmax.Softmax, n_in: int) -> nn.Module:
    return nn.Softmax(dim=-1)  # over the features of a row, which is an example


@twin.register
def _(layer: softmax.LogSoftmax, n_in: int) -> nn.Module:
    return nn.LogSoftmax(dim=-1)
