"""Update rules, each on the one vector θ (…, P) that holds all parameters.

g is the gradient, η the learning rate, λ ``weight_decay``: PyTorch's formulas and defaults. Weight decay reaches all of θ,
biases too; it is added to the gradient (g + λθ) everywhere but in AdamW. Products, squares and roots are elementwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import frexp, inf, sqrt
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from scratch.errors import InvalidInput
from scratch.layers import Array
from scratch.options import Description, require

MANY, BLOCK = 1_000_000, 65_536  # numbers in θ from which on, and in how many at a time, it is updated block by block
Memory = dict[str, Any]  # arrays of θ's size, and a count
Rates: TypeAlias = "float | tuple[Rates, ...]"  # one learning rate, or (nested) one for each member of a stack
Rate: TypeAlias = "float | NDArray[np.float64]"
SHARES = {"momentum", "decay", "rho"}  # fields that lie in [0, 1)
AMOUNTS = {"weight_decay", "lr_decay", "initial_accumulator_value", "eps"}  # fields that are not negative


@dataclass(frozen=True)
class Optimizer(Description):
    """What every update rule answers."""

    learning_rate: Rates = 1e-3
    weight_decay: float = field(default=0.0, kw_only=True)
    decoupled = False  # whether weight decay acts on θ itself instead of the gradient

    def __post_init__(self) -> None:
        require(self._rates_hold(), self, "learning_rate", "be positive and finite, a number or a tuple of them")
        for name, value in vars(self).items():
            require(name not in SHARES or 0 <= value < 1, self, name, "lie in [0, 1)")
            require(name not in AMOUNTS or 0 <= value < inf, self, name, "be 0 or more, and finite")

    def _rates_hold(self) -> bool:
        try:
            low, high = self.base.min(), self.base.max()
        except ValueError:  # no number at all, or a ragged tuple
            return False
        return bool(low > 0 and high < inf)

    @property
    def base(self) -> NDArray[np.float64]:
        """The learning rates as an array: (…) for a tuple, () for a number."""
        return np.array(self.learning_rate, float)

    def start(self, theta: Array) -> Memory:
        """What ``update`` remembers. Raises InvalidInput unless ``learning_rate`` is one number or one for each member."""
        if self.base.ndim and self.base.shape != theta.shape[:-1]:
            sizes = f"{self.base.shape} rates for a stack of shape {theta.shape[:-1]}"
            raise InvalidInput(f"{type(self).__name__}(learning_rate): {sizes}")
        return {"updates": 0} | {name: np.zeros_like(theta) for name in self.remembers()}

    def remembers(self) -> tuple[str, ...]:
        """Names of what starts at zero and lasts from step to step."""
        return ()

    @final
    def update(self, theta: Array, gradient: Array, memory: Memory, rate: Any = None) -> None:
        """Changes θ and the memory in place, never the gradient; ``rate`` (a number or (…)) stands for ``learning_rate``."""
        self.apply(theta, gradient, memory, *self.count(memory, rate, theta.dtype))

    def count(self, memory: Memory, rate: Any, dtype: np.dtype) -> list[Any]:
        """Counts the update; its ``rates`` in θ's type, numbers or (…, 1): with float64 NumPy would compute float32 θ in float64."""
        memory["updates"] += 1
        rate = self.learning_rate if rate is None else rate
        if type(rate) is not float:
            rate = np.asarray(rate, float)
            rate = rate if rate.ndim else float(rate)
        rates = self.rates(memory["updates"], rate)
        return [dtype.type(r) if type(r) is float else np.asarray(r, dtype)[..., None] for r in rates]

    def rates(self, t: int, rate: Rate) -> tuple[Any, ...]:
        """The numbers, or arrays (…), that are others at every update t = 1, 2, …"""
        return (rate,)

    def apply(self, theta: Array, gradient: Array, memory: Memory, *rates: Any) -> None:
        """The rest of ``update``. Many parameters are taken in blocks that stay in the cache from call to call."""
        if theta.size <= MANY:
            return self._apply(theta, gradient, memory, rates)
        width = max(1, BLOCK * theta.shape[-1] // theta.size)
        for first in range(0, theta.shape[-1], width):
            block = np.s_[..., first : first + width]
            parts = {name: a[block] for name, a in memory.items() if isinstance(a, np.ndarray)}
            self._apply(theta[block], gradient[block], own := memory | parts, rates)
            if any(own[name] is not part for name, part in parts.items()):
                raise TypeError(f"{type(self).__name__}.descend must change its memory in place")
        return None

    def _apply(self, theta: Array, gradient: Array, memory: Memory, rates: Sequence[Any]) -> None:
        if self.weight_decay and not self.decoupled:
            gradient = gradient + theta * self.weight_decay
        self.descend(theta, gradient, memory, *rates)

    def descend(self, theta: Array, gradient: Array, memory: Memory, *rates: Any) -> None:
        """The formula, in place, the weight decay being part of the gradient (or left to AdamW)."""
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """v ← μv + (1−τ)g, θ ← θ − ηv; Nesterov's: θ ← θ − η(g + μv) (Polyak 1964; Sutskever et al. 2013).

    μ is the momentum, τ the dampening; v begins as the whole first gradient. PyTorch's form: η stays outside v.
    """

    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.dampening <= 1, self, "dampening", "lie in [0, 1]")
        fits = not self.nesterov or (self.momentum > 0 and self.dampening == 0)
        require(fits, self, "nesterov", "come with momentum and without dampening")

    def remembers(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def rates(self, t: int, rate: Rate) -> tuple[Any, ...]:
        return (rate, 1 - self.dampening if t > 1 else 1.0) if self.dampening else (rate,)

    def descend(self, theta: Array, gradient: Array, memory: Memory, *rates: Any) -> None:
        rate, *undamped = rates
        direction = gradient
        if self.momentum:
            velocity = memory["velocity"]
            velocity *= self.momentum
            velocity += gradient * undamped[0] if undamped else gradient
            direction = velocity * self.momentum + gradient if self.nesterov else velocity
        theta -= direction * rate


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s ← s + g², θ ← θ − η/(1+kt) · g/(√s + ε) after t steps (Duchi, Hazan & Singer 2011); k is ``lr_decay``."""

    learning_rate: Rates = 1e-2
    lr_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10

    def start(self, theta: Array) -> Memory:
        return super().start(theta) | {"squares": np.full_like(theta, self.initial_accumulator_value)}

    def rates(self, t: int, rate: Rate) -> tuple[Any, ...]:
        return (rate / (1 + (t - 1) * self.lr_decay),)

    def descend(self, theta: Array, gradient: Array, memory: Memory, *rates: Any) -> None:
        memory["squares"] += gradient * gradient
        theta -= gradient / (np.sqrt(memory["squares"]) + self.eps) * rates[0]


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """s ← ρs + (1−ρ)g², θ ← θ − η g/(√s + ε), ρ being ``decay`` (Tieleman & Hinton 2012).

    Centered: s − m² for s, with m ← ρm + (1−ρ)g (Graves 2013); where rounding makes it negative it counts as 0 (PyTorch: NaN).
    With momentum μ: v ← μv + g/(√s + ε), θ ← θ − ηv.
    """

    learning_rate: Rates = 1e-2
    decay: float = 0.99
    centered: bool = False
    momentum: float = 0.0
    eps: float = 1e-8

    def remembers(self) -> tuple[str, ...]:
        return "square", *(("mean",) if self.centered else ()), *(("velocity",) if self.momentum else ())

    def descend(self, theta: Array, gradient: Array, memory: Memory, *rates: Any) -> None:
        _average_square(memory["square"], gradient, self.decay)
        variance = self._variance(gradient, memory) if self.centered else memory["square"]
        direction = gradient / (np.sqrt(variance) + self.eps)
        if self.momentum:
            memory["velocity"] *= self.momentum
            memory["velocity"] += direction
            direction = memory["velocity"]
        theta -= direction * rates[0]

    def _variance(self, gradient: Array, memory: Memory) -> Array:
        mean, largest = memory["mean"], np.finfo(gradient.dtype).max
        _average(mean, gradient, self.decay)
        square = np.minimum(mean * mean, largest)  # an s that overflows stays ∞, where ∞ − ∞ would be NaN
        return np.maximum(memory["square"] - square, 0)


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """s ← ρs + (1−ρ)g², Δ = g √(d+ε)/√(s+ε), d ← ρd + (1−ρ)Δ², θ ← θ − ηΔ (Zeiler 2012)."""

    learning_rate: Rates = 1.0
    rho: float = 0.9
    eps: float = 1e-6

    def remembers(self) -> tuple[str, ...]:
        return "square", "square_step"

    def descend(self, theta: Array, gradient: Array, memory: Memory, *rates: Any) -> None:
        _average_square(memory["square"], gradient, self.rho)
        step = np.sqrt(memory["square_step"] + self.eps) / np.sqrt(memory["square"] + self.eps) * gradient
        _average_square(memory["square_step"], step, self.rho)
        theta -= step * rates[0]


@dataclass(frozen=True)
class Moments(Optimizer):
    """Adam and AdamW: m ← β₁m + (1−β₁)g, s ← β₂s + (1−β₂)g², θ ← θ − η m̂/(√ŝ + ε)."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    amsgrad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(all(0 <= beta < 1 for beta in self.betas), self, "betas", "lie in [0, 1)")

    def remembers(self) -> tuple[str, ...]:
        return ("mean", "square", "largest") if self.amsgrad else ("mean", "square")

    def rates(self, t: int, rate: Rate) -> tuple[Any, ...]:
        first, second = (1 - beta**t for beta in self.betas)  # m and s start at 0, too small by these
        return rate / first, sqrt(second)

    def descend(self, theta: Array, gradient: Array, memory: Memory, *rates: Any) -> None:
        square, (rate, correction) = memory["square"], rates[:2]
        _average(memory["mean"], gradient, self.betas[0])
        _average_square(square, gradient, self.betas[1])
        if self.amsgrad:
            square = np.maximum(memory["largest"], square, out=memory["largest"])
        theta -= memory["mean"] / (np.sqrt(square) / correction + self.eps) * rate


@dataclass(frozen=True)
class Adam(Moments):
    """θ ← θ − η m̂/(√ŝ + ε), m̂ = m/(1−β₁ᵗ), ŝ = s/(1−β₂ᵗ), m and s running means of g and g² (Kingma & Ba 2015).

    ``amsgrad``: the largest s so far takes the place of s (Reddi, Kale & Kumar 2018), before the correction, as in PyTorch.
    """


@dataclass(frozen=True)
class AdamW(Moments):
    """θ ← (1 − ηλ)θ, then Adam's step without weight decay (Loshchilov & Hutter 2019)."""

    weight_decay: float = field(default=1e-2, kw_only=True)
    decoupled = True

    def rates(self, t: int, rate: Rate) -> tuple[Any, ...]:
        return *super().rates(t, rate), 1 - rate * self.weight_decay

    def descend(self, theta: Array, gradient: Array, memory: Memory, *rates: Any) -> None:
        theta *= rates[2]
        super().descend(theta, gradient, memory, *rates)


def _average(mean: Array, new: Array, decay: float) -> None:
    """mean ← decay·mean + (1 − decay)·new, from that of the two which weighs more: what outweighs the other must not cancel."""
    if decay > 0.5:
        mean += (new - mean) * (1 - decay)
    else:
        np.subtract(new, (new - mean) * decay, out=mean)


def _average_square(square: Array, new: Array, decay: float) -> None:
    """square ← decay·square + (1 − decay)·new²; new² may overflow where the product does not, so a power of two goes ahead."""
    share, exponent = frexp(1 - decay)
    square *= decay
    square += new * 2.0 ** (exponent - 1) * new * (2 * share)
