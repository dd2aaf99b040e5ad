"""Update rules, each on the one vector θ (…, P) that holds all parameters, and gradient clipping.

g is the gradient, η the learning rate, λ ``weight_decay``: PyTorch's formulas and defaults. Weight decay reaches all of θ,
biases too; it is added to the gradient (g + λθ) everywhere but in AdamW. Products, squares and roots are elementwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import frexp, inf, sqrt
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scratch.errors import InvalidInput
from scratch.layers import Array
from scratch.options import Description, require

Memory = dict[str, Any]  # arrays of θ's size, and a count
Rates: TypeAlias = "float | tuple[Rates, ...]"  # one learning rate, or (nested) one for each member of a stack
Rate: TypeAlias = "float | NDArray[np.float64]"
SHARES = {"momentum", "decay", "rho"}  # fields that lie in [0, 1)
AMOUNTS = {"weight_decay", "lr_decay", "initial_accumulator_value", "eps"}  # fields that are not negative


@dataclass(frozen=True)
class Optimizer(Description):
    """What every update rule answers. ``update`` makes no array of θ's size: ``start`` has made room for all it needs."""

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
        coupled = self.weight_decay and not self.decoupled
        names = ("step", *(("decayed",) if coupled else ()), *self.remembers())
        return {"updates": 0} | {name: np.zeros_like(theta) for name in names}

    def remembers(self) -> tuple[str, ...]:
        """Names of what starts at zero and lasts from step to step."""
        return ()

    def update(self, theta: Array, gradient: Array, memory: Memory, rate: Any = None) -> None:
        """Changes θ and the memory in place, never the gradient; ``rate`` (a number or (…)) stands for ``learning_rate``."""
        memory["updates"] += 1
        if (decayed := memory.get("decayed")) is not None:
            gradient = np.add(np.multiply(theta, self.weight_decay, out=decayed), gradient, out=decayed)
        rate = self.learning_rate if rate is None else rate
        if type(rate) is not float:  # with a float64 scalar NumPy would compute float32 θ in float64
            rate = np.asarray(rate, float)
            rate = rate if rate.ndim else float(rate)
        self.descend(theta, gradient, memory, rate)

    def descend(self, theta: Array, gradient: Array, memory: Memory, rate: Rate) -> None:
        """``update``, the weight decay being part of the gradient (or left to AdamW)."""
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

    def descend(self, theta: Array, gradient: Array, memory: Memory, rate: Rate) -> None:
        direction = self._accelerate(gradient, memory) if self.momentum else gradient
        _move(theta, direction, rate, memory["step"])

    def _accelerate(self, gradient: Array, memory: Memory) -> Array:
        velocity, room = memory["velocity"], memory["step"]
        velocity *= self.momentum
        dampened = self.dampening and memory["updates"] > 1
        velocity += np.multiply(gradient, 1 - self.dampening, out=room) if dampened else gradient
        return np.add(np.multiply(velocity, self.momentum, out=room), gradient, out=room) if self.nesterov else velocity


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s ← s + g², θ ← θ − η/(1+kt) · g/(√s + ε) after t steps (Duchi, Hazan & Singer 2011); k is ``lr_decay``."""

    learning_rate: Rates = 1e-2
    lr_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10

    def start(self, theta: Array) -> Memory:
        return super().start(theta) | {"squares": np.full_like(theta, self.initial_accumulator_value)}

    def descend(self, theta: Array, gradient: Array, memory: Memory, rate: Rate) -> None:
        squares, room = memory["squares"], memory["step"]
        squares += np.multiply(gradient, gradient, out=room)
        rate = rate / (1 + (memory["updates"] - 1) * self.lr_decay)
        _move(theta, _quotient(gradient, squares, self.eps, room), rate, room)


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

    def descend(self, theta: Array, gradient: Array, memory: Memory, rate: Rate) -> None:
        room = memory["step"]
        _average_square(memory["square"], gradient, self.decay, room)
        variance = self._variance(gradient, memory) if self.centered else memory["square"]
        direction = _quotient(gradient, variance, self.eps, room)
        if self.momentum:
            direction = memory["velocity"]
            direction *= self.momentum
            direction += room
        _move(theta, direction, rate, room)

    def _variance(self, gradient: Array, memory: Memory) -> Array:
        mean, room = memory["mean"], memory["step"]
        _average(mean, gradient, self.decay, room)
        np.multiply(mean, mean, out=room)
        np.minimum(room, np.finfo(room.dtype).max, out=room)  # an s that overflows stays ∞, where ∞ − ∞ would be NaN
        np.subtract(memory["square"], room, out=room)
        return np.maximum(room, 0, out=room)


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """s ← ρs + (1−ρ)g², Δ = g √(d+ε)/√(s+ε), d ← ρd + (1−ρ)Δ², θ ← θ − ηΔ (Zeiler 2012)."""

    learning_rate: Rates = 1.0
    rho: float = 0.9
    eps: float = 1e-6

    def remembers(self) -> tuple[str, ...]:
        return "square", "square_step", "root"

    def descend(self, theta: Array, gradient: Array, memory: Memory, rate: Rate) -> None:
        step, root = memory["step"], memory["root"]
        _average_square(memory["square"], gradient, self.rho, root)
        np.sqrt(np.add(memory["square"], self.eps, out=root), out=root)
        np.sqrt(np.add(memory["square_step"], self.eps, out=step), out=step)
        step /= root
        step *= gradient
        _average_square(memory["square_step"], step, self.rho, root)
        _move(theta, step, rate, step)


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

    def descend(self, theta: Array, gradient: Array, memory: Memory, rate: Rate) -> None:
        room, square = memory["step"], memory["square"]
        corrections = [1 - beta ** memory["updates"] for beta in self.betas]  # m and s start at 0, too small by these
        _average(memory["mean"], gradient, self.betas[0], room)
        _average_square(square, gradient, self.betas[1], room)
        if self.amsgrad:
            square = np.maximum(memory["largest"], square, out=memory["largest"])
        np.divide(np.sqrt(square, out=room), sqrt(corrections[1]), out=room)
        room += self.eps
        _move(theta, np.divide(memory["mean"], room, out=room), rate / corrections[0], room)


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

    def descend(self, theta: Array, gradient: Array, memory: Memory, rate: Rate) -> None:
        theta *= _column(1 - rate * self.weight_decay, theta)
        super().descend(theta, gradient, memory, rate)


def _column(rate: Rate, theta: Array) -> Any:
    """One rate for each member as (…, 1), in θ's dtype; a number as it is."""
    return rate if isinstance(rate, float) else rate.astype(theta.dtype)[..., None]


def _move(theta: Array, direction: Array, rate: Rate, room: Array) -> None:
    theta -= np.multiply(direction, _column(rate, theta), out=room)


def _quotient(gradient: Array, square: Array, eps: float, room: Array) -> Array:
    np.sqrt(square, out=room)
    room += eps
    return np.divide(gradient, room, out=room)


def _average(mean: Array, new: Array, decay: float, room: Array) -> None:
    """mean ← decay·mean + (1 − decay)·new, from that of the two which weighs more: what outweighs the other must not cancel."""
    np.subtract(new, mean, out=room)
    if decay > 0.5:
        room *= 1 - decay
        mean += room
    else:
        room *= decay
        np.subtract(new, room, out=mean)


def _average_square(square: Array, new: Array, decay: float, room: Array) -> None:
    """square ← decay·square + (1 − decay)·new²; new² may overflow where the product does not, so a power of two goes ahead."""
    share, exponent = frexp(1 - decay)
    np.multiply(new, 2.0 ** (exponent - 1), out=room)
    room *= new
    room *= 2 * share
    square *= decay
    square += room


@dataclass(frozen=True)
class Clip(Description):
    """Changes ∂J/∂θ (…, P) in place so that it does not exceed ``limit``, in each member of a stack by itself."""

    limit: float

    def __post_init__(self) -> None:
        require(0 < self.limit < inf, self, "limit", "be positive and finite")

    def __call__(self, gradient: Array) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class ClipNorm(Clip):
    """g ← g · min(1, limit/(‖g‖ + 10⁻⁶)) (Pascanu, Mikolov & Bengio 2013); 0 where ‖g‖ overflows, NaN where g is not finite."""

    def __call__(self, gradient: Array) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.sqrt(np.vecdot(gradient, gradient))[..., None]
            gradient *= np.minimum(self.limit / (norm + 1e-6), 1)


@dataclass(frozen=True)
class ClipValue(Clip):
    """g ← min(max(g, −limit), limit), number by number."""

    def __call__(self, gradient: Array) -> None:
        np.clip(gradient, -self.limit, self.limit, out=gradient)
