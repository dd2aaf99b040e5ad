"""Update rules, each on the one vector θ (…, P) that holds all parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scratch.errors import InvalidInput
from scratch.layers import Array, Tensors


class Optimizer:
    """What every update rule answers."""

    def start(self, theta: Array) -> Tensors:
        """The memory that ``update`` keeps between steps."""
        return {}

    def update(self, theta: Array, gradient: Array, memory: Tensors) -> None:
        """Changes θ and the memory in place."""
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """v ← μv + g, θ ← θ − ηv (Polyak 1964, in PyTorch's form: g enters v with weight one)."""

    learning_rate: float
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise InvalidInput(f"SGD(learning_rate={self.learning_rate}): must be positive")
        if not 0 <= self.momentum < 1:
            raise InvalidInput(f"SGD(momentum={self.momentum}): must lie in [0, 1)")

    def start(self, theta: Array) -> Tensors:
        memory = {"step": np.empty_like(theta)}  # a place for ηv: no new array at every step
        return memory | ({"velocity": np.zeros_like(theta)} if self.momentum else {})

    def update(self, theta: Array, gradient: Array, memory: Tensors) -> None:
        direction = gradient
        if self.momentum:
            direction = memory["velocity"]
            direction *= self.momentum
            direction += gradient
        np.multiply(direction, self.learning_rate, out=memory["step"])
        theta -= memory["step"]
