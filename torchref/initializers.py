"""PyTorch's own initializer for each scheme of scratch.initializers that it has, under the same name and options.

Both implementations are handed scratch's draws; these twins are the witness for their distribution. ``lsuv`` has no
original in PyTorch.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def zeros(tensor: Tensor) -> Tensor:
    return nn.init.zeros_(tensor)


def ones(tensor: Tensor) -> Tensor:
    return nn.init.ones_(tensor)


def constant(tensor: Tensor, *, value: float = 0.1) -> Tensor:
    return nn.init.constant_(tensor, value)


def identity(tensor: Tensor) -> Tensor:
    return nn.init.eye_(tensor)


def normal(tensor: Tensor, *, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return nn.init.normal_(tensor, mean, std)


def small_normal(tensor: Tensor) -> Tensor:
    return nn.init.normal_(tensor, std=0.01)


def truncated_normal(
    tensor: Tensor, *, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0
) -> Tensor:
    return nn.init.trunc_normal_(tensor, mean, std, low, high)


def uniform(tensor: Tensor, *, low: float = 0.0, high: float = 1.0) -> Tensor:
    return nn.init.uniform_(tensor, low, high)


def standard(tensor: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(tensor, a=5**0.5)  # what nn.Linear does by itself


def lecun(tensor: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(tensor, nonlinearity="linear")


def lecun_uniform(tensor: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(tensor, nonlinearity="linear")


def xavier(tensor: Tensor, *, gain: float = 1.0) -> Tensor:
    return nn.init.xavier_normal_(tensor, gain)


def xavier_uniform(tensor: Tensor, *, gain: float = 1.0) -> Tensor:
    return nn.init.xavier_uniform_(tensor, gain)


def he(tensor: Tensor, *, mode: Any = "fan_in", nonlinearity: Any = "relu", slope: float = 0.01) -> Tensor:
    return nn.init.kaiming_normal_(tensor, slope, mode, nonlinearity)


def he_uniform(tensor: Tensor, *, mode: Any = "fan_in", nonlinearity: Any = "relu", slope: float = 0.01) -> Tensor:
    return nn.init.kaiming_uniform_(tensor, slope, mode, nonlinearity)


def notes(tensor: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(tensor, nonlinearity="relu")


def orthogonal(tensor: Tensor, *, gain: float = 1.0) -> Tensor:
    return nn.init.orthogonal_(tensor, gain)


def gain(nonlinearity: Any, slope: float = 0.01) -> float:
    return nn.init.calculate_gain(nonlinearity, slope)
