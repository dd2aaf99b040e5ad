"""Twins of the normalization layers."""

from __future__ import annotations

from torch import nn

from scratch import normalization
from torchref.layers import twin


@twin.register
def _(layer: normalization.BatchNorm, n_in: int) -> nn.Module:
    return nn.BatchNorm1d(n_in, layer.eps, layer.momentum, layer.affine).train(not layer.running)


@twin.register
def _(layer: normalization.LayerNorm, n_in: int) -> nn.Module:
    return nn.LayerNorm(n_in, layer.eps, layer.affine)
