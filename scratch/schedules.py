"""Learning-rate schedules: η(t) for the update after t updates, counted from 0, out of the optimizer's own rate η₀.

A rate is a number, or an array (…) with one for each member of a stack. Training asks ``start`` and then ``rate`` once
for each update; ``schedule(base, step)`` gives η(t) at once where it depends on t alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, inf, pi
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scratch.options import Description, require

Memory = dict[str, Any]


class Schedule(Description):
    """What every schedule answers. Rates are numbers or arrays (…); ``step`` is t."""

    def __call__(self, base: Any, step: int) -> Any:
        """η(t) where it depends on t alone."""
        raise NotImplementedError

    def start(self, base: Any) -> Memory:
        """What ``rate`` remembers, for the optimizer's own rate ``base``."""
        return {"base": base}

    def rate(self, memory: Memory, step: int, loss: Any = None) -> Any:
        """η(t), asked for once at each t = 0, 1, …; ``loss`` (…) is that of the step before, None at t = 0."""
        return self(memory["base"], step)


@dataclass(frozen=True)
class Constant(Schedule):
    """η(t) = η₀."""

    def __call__(self, base: Any, step: int) -> Any:
        return base


@dataclass(frozen=True)
class StepDecay(Schedule):
    """η(t) = η₀ factor^⌊t/every⌋."""

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _require_count(self, "every")
        _require_positive(self, "factor")

    def __call__(self, base: Any, step: int) -> Any:
        return base * self.factor ** (step // self.every)


@dataclass(frozen=True)
class MultiStep(Schedule):
    """η(t) = η₀ factor^n, n the number of ``milestones`` that t has reached."""

    milestones: tuple[int, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((0, *self.milestones), self.milestones, strict=False))
        require(rising, self, "milestones", "rise, the first being at least 1")
        _require_positive(self, "factor")

    def __call__(self, base: Any, step: int) -> Any:
        return base * self.factor ** sum(step >= milestone for milestone in self.milestones)


@dataclass(frozen=True)
class Exponential(Schedule):
    """η(t) = η₀ factorᵗ."""

    factor: float

    def __post_init__(self) -> None:
        _require_positive(self, "factor")

    def __call__(self, base: Any, step: int) -> Any:
        return base * self.factor**step


@dataclass(frozen=True)
class InverseTime(Schedule):
    """η(t) = η₀/(1 + decay·t): falls slowly enough for Robbins & Monro (1951): Ση = ∞, Ση² < ∞."""

    decay: float

    def __post_init__(self) -> None:
        _require_amount(self, "decay")

    def __call__(self, base: Any, step: int) -> Any:
        return base / (1 + self.decay * step)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """η(t) = η₀ (1 − t/steps)^power, 0 from t = steps on."""

    steps: int
    power: float = 1.0

    def __post_init__(self) -> None:
        _require_count(self, "steps")
        _require_positive(self, "power")

    def __call__(self, base: Any, step: int) -> Any:
        return base * (1 - min(step, self.steps) / self.steps) ** self.power


@dataclass(frozen=True)
class Cosine(Schedule):
    """η(t) = minimum + (η₀ − minimum)(1 + cos(πt/steps))/2; rises again after t = steps, as PyTorch's does."""

    steps: int
    minimum: float = 0.0

    def __post_init__(self) -> None:
        _require_count(self, "steps")
        _require_amount(self, "minimum")

    def __call__(self, base: Any, step: int) -> Any:
        return _cosine(base, self.minimum, step / self.steps)


@dataclass(frozen=True)
class WarmRestarts(Schedule):
    """The cosine from η₀ to ``minimum`` over ``first`` steps, then anew over ``growth`` times as many each time (SGDR).

    Loshchilov & Hutter 2017, with T₀ = first and T_mult = growth.
    """

    first: int
    growth: int = 1
    minimum: float = 0.0

    def __post_init__(self) -> None:
        _require_count(self, "first", "growth")
        _require_amount(self, "minimum")

    def __call__(self, base: Any, step: int) -> Any:
        length = self.first
        while step >= length:
            step, length = step - length, length * self.growth
        return _cosine(base, self.minimum, step / length)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from η₀/divisor to η₀, then down to η₀/(divisor·final_divisor) at t = steps − 1, where it stays (Smith & Topin 2019).

    The rise takes the share ``rise`` of the steps; ``anneal`` is "cos" or "linear". In three phases the fall first takes as
    long as the rise and ends where that began. η₀ is the peak, PyTorch's ``max_lr``; momentum is not cycled.
    """

    steps: int
    rise: float = 0.3
    anneal: Literal["cos", "linear"] = "cos"
    divisor: float = 25.0
    final_divisor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        _require_count(self, "steps")
        fits = 1 / self.steps < self.rise and (self.rise <= 0.5 if self.three_phase else self.rise < 1)
        require(fits, self, "rise", "take more than one step, and leave some (in three phases half of them)")
        _require_positive(self, "divisor", "final_divisor")

    def __call__(self, base: Any, step: int) -> Any:
        low = base / self.divisor
        peak, last = self.rise * self.steps - 1, self.steps - 1
        turns = [(0, low), (peak, base), *([(2 * peak, low)] if self.three_phase else [])]
        turns.append((last, low / self.final_divisor))
        step = min(step, last)
        phase = next(k for k, (end, _) in enumerate(turns[1:]) if step <= end)
        (begin, start), (end, goal) = turns[phase : phase + 2]
        share = (step - begin) / (end - begin)
        return _cosine(start, goal, share) if self.anneal == "cos" else start + (goal - start) * share


@dataclass(frozen=True)
class Warmup(Schedule):
    """η(t) = η₀(start + (1 − start)t/steps) for t < steps; after it ``then`` begins, as if at t = 0 (Goyal et al. 2017)."""

    steps: int
    then: Schedule = Constant()
    beginning: float = 1 / 3

    def __post_init__(self) -> None:
        _require_count(self, "steps")
        require(0 < self.beginning <= 1, self, "beginning", "lie in (0, 1]")
        alone = not isinstance(self.then, Warmup | OneCycle | ReduceOnPlateau)
        require(alone, self, "then", "be a schedule that depends on the step alone and does not warm up itself")

    def __call__(self, base: Any, step: int) -> Any:
        if step >= self.steps:
            return self.then(base, step - self.steps)
        return base * (self.beginning + (1 - self.beginning) * step / self.steps)


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """η ← max(factor·η, minimum) when the loss has not improved for more than ``patience`` updates; each member by itself.

    ``mode``: "min" or "max". Improved: below best·(1 − threshold), or best − threshold if ``threshold_mode`` is "abs" (above
    and + for "max"); NaN never is. For ``cooldown`` updates after a reduction nothing counts; one of ``eps`` or less is left out.
    """

    mode: Literal["min", "max"] = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: int = 0
    minimum: float = 0.0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        require(0 < self.factor < 1, self, "factor", "lie in (0, 1)")
        most = 1 if self.threshold_mode == "rel" else inf
        require(0 <= self.threshold < most, self, "threshold", f"lie in [0, {most})")
        for name in ("patience", "cooldown"):
            require(getattr(self, name) >= 0, self, name, "be 0 or more")
        _require_amount(self, "minimum", "eps")

    def start(self, base: Any) -> Memory:
        return {"rate": base, "best": inf if self.mode == "min" else -inf, "bad": 0, "cooling": 0}

    def rate(self, memory: Memory, step: int, loss: Any = None) -> Any:
        if loss is not None:
            self._watch(memory, np.asarray(loss, float))
        return memory["rate"]

    def _watch(self, memory: Memory, loss: NDArray[np.float64]) -> None:
        better = self._better(loss, memory["best"])
        cooling = np.asarray(memory["cooling"])
        bad = np.where(better | (cooling > 0), 0, memory["bad"] + 1)
        reduce = bad > self.patience
        lower = np.maximum(memory["rate"] * self.factor, self.minimum)
        memory["rate"] = np.where(reduce & (memory["rate"] - lower > self.eps), lower, memory["rate"])
        memory["best"] = np.where(better, loss, memory["best"])
        memory["bad"] = np.where(reduce, 0, bad)
        memory["cooling"] = np.where(reduce, self.cooldown, np.maximum(cooling - 1, 0))

    def _better(self, loss: NDArray[np.float64], best: Any) -> Any:
        sign = 1 if self.mode == "min" else -1
        limit = best * (1 - sign * self.threshold) if self.threshold_mode == "rel" else best - sign * self.threshold
        return sign * loss < sign * limit


def _cosine(start: Any, goal: Any, share: float) -> Any:
    """From ``start`` to ``goal`` along half a cosine."""
    return goal + (start - goal) * ((1 + cos(pi * share)) / 2)


def _require_count(schedule: Schedule, *names: str) -> None:
    for name in names:
        require(getattr(schedule, name) >= 1, schedule, name, "be 1 or more")


def _require_positive(schedule: Schedule, *names: str) -> None:
    for name in names:
        require(0 < getattr(schedule, name) < inf, schedule, name, "be positive and finite")


def _require_amount(schedule: Schedule, *names: str) -> None:
    for name in names:
        require(0 <= getattr(schedule, name) < inf, schedule, name, "be 0 or more, and finite")
