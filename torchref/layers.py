"""The torch.nn twin of each layer description: ``twin(layer, n_in) -> nn.Module``."""

from __future__ import annotations

from functools import singledispatch

from torch import nn

from scratch import layers
from scratch.errors import InvalidInput


@singledispatch
def twin(layer: layers.Layer, n_in: int) -> nn.Module:
    """A module that computes what ``layer`` describes. Raises InvalidInput for a layer that has no twin yet."""
    raise InvalidInput(
        f"{type(layer).__name__} has no torch twin: register one in torchref/layers.py or torchref/activations.py"
    )


@twin.register
def _(layer: layers.Dense, n_in: int) -> nn.Module:
    return nn.Linear(n_in, layer.units, bias=layer.bias)
