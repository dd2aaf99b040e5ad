"""PyTorch's own initializer for each scheme of scratch.initializers that it has, under the same name.

Both implementations are handed scratch's draws; these twins are the witness for their distribution.
"""

from __future__ import annotations

from torch import Tensor, nn


def zeros(tensor: Tensor) -> Tensor:
    return nn.init.zeros_(tensor)


def constant(tensor: Tensor) -> Tensor:
    return nn.init.constant_(tensor, 0.1)


def small_normal(tensor: Tensor) -> Tensor:
    return nn.init.normal_(tensor, std=0.01)


def standard(tensor: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(tensor, a=5**0.5)  # what nn.Linear does by itself


def lecun(tensor: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(tensor, nonlinearity="linear")


def xavier(tensor: Tensor) -> Tensor:
    return nn.init.xavier_normal_(tensor)


def he(tensor: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(tensor, nonlinearity="relu")


def notes(tensor: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(tensor, nonlinearity="relu")


def orthogonal(tensor: Tensor) -> Tensor:
    return nn.init.orthogonal_(tensor)
