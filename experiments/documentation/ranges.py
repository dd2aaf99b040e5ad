"""Which numbers scratch refuses as an option though PyTorch takes them: found by trying, not remembered."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from copy import copy
from dataclasses import fields, replace
from functools import singledispatch
from math import inf, nan
from numbers import Real
from typing import Any

import numpy as np
import torch

from experiments.documentation.examples import children, example
from experiments.documentation.witness import number, said, taken, weight
from scratch import CrossEntropy, Dropout, NegativeLogLikelihood, initializers
from scratch.clipping import Clip
from scratch.layers import Layer
from scratch.losses import Loss
from scratch.optimizers import Optimizer
from scratch.penalties import MaxNorm
from scratch.randomness import generator
from scratch.schedules import Constant, InverseTime, ReduceOnPlateau, Schedule
from torchref import activations, layers, losses, normalization, optimizers, penalties, schedules  # noqa: F401
from torchref import initializers as theirs

ODD = (-inf, -1, 0, 0.5, 1, 2, 3, inf, nan)
NOT_PYTORCHS = (Constant, InverseTime)  # their twins are made from parts that check nothing
NO_END = "truncated_normal"  # PyTorch may draw until one gives up
GIVEN = {  # where the options of the other pages' examples would not show it
    Dropout: Dropout(0.5).inference(),  # in training its twin is handed a mask, and not PyTorch's own
    CrossEntropy: CrossEntropy((1.0, 1.0, 1.0)),
    NegativeLogLikelihood: NegativeLogLikelihood((1.0, 1.0, 1.0)),
}


def table() -> str:
    """One row for each option of which PyTorch takes some of ``ODD`` that is refused here."""
    rows = ((place, [odd for odd, *answers in tried if answers == ["refused", "taken"]]) for place, tried in options())
    lines = [f"| `{place}` | {', '.join(map(number, refused))} |" for place, refused in rows if refused]
    return "\n".join(["| option | refused here, taken by PyTorch |", "|---|---|", *lines])


def options() -> Iterator[tuple[str, list[tuple[float, str, str]]]]:
    """Every option that is a number, or begins with one, and what scratch and PyTorch say to each of ``ODD``."""
    seen = set()
    for thing in _descriptions():
        for field in fields(thing):
            value, place = getattr(thing, field.name), f"{_owner(type(thing), field.name)}({field.name})"
            if place not in seen and _numeric(value):
                seen.add(place)
                yield place, [(odd, *_described(thing, field.name, _begun(value, odd))) for odd in ODD]
    for name, scheme in initializers.by_name().items():
        numbers = {k: v for k, v in (scheme.__kwdefaults__ or {}).items() if _numeric(v) and name != NO_END}
        for option in numbers:
            yield f"{name}({option})", [(odd, *_drawn(name, {option: float(odd)})) for odd in ODD]


def _descriptions() -> list[Any]:
    kinds = [kind for base in (Layer, Loss, Optimizer, Clip, Schedule) for kind in _leaves(base)] + [MaxNorm]
    return [GIVEN[kind] if kind in GIVEN else example(kind) for kind in kinds if kind not in NOT_PYTORCHS]


def _leaves(kind: Any) -> list[Any]:
    below = children(kind)
    return [leaf for child in below for leaf in _leaves(child)] if below else [kind]


def _owner(kind: type, name: str) -> str:
    """The most general class that has the option."""
    return [base for base in kind.__mro__ if name in getattr(base, "__dataclass_fields__", {})][-1].__name__


def _numeric(value: Any) -> bool:
    first = value[0] if isinstance(value, tuple) and value else value
    return isinstance(first, Real) and not isinstance(first, bool)


def _begun(value: Any, odd: float) -> Any:
    return (odd, *value[1:]) if isinstance(value, tuple) else odd


def _described(thing: Any, name: str, value: Any) -> tuple[str, str]:
    bare = copy(thing)
    object.__setattr__(bare, name, value)  # as if scratch did not check: what PyTorch says to it
    return said(lambda: taken(replace(thing, **{name: value}))), said(lambda: taken(_quietly(used, bare)))


def _drawn(name: str, given: dict[str, float]) -> tuple[str, str]:
    scheme, twin = initializers.by_name()[name], getattr(theirs, name)
    draw = generator(0, "documentation")
    said_by_torch = said(lambda: taken(_quietly(twin, torch.empty(3, 4), **given)))
    return said(lambda: taken(scheme(draw, (3, 4), **given))), said_by_torch


def _quietly(call: Any, *arguments: Any, **given: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **given)


@singledispatch
def used(thing: Any) -> Any:
    """The twin of a description, made and used once: some of PyTorch's modules check when they are made, some when they run."""
    raise NotImplementedError


@used.register
def _(thing: Layer) -> Any:
    return layers.twin(thing, 3)(torch.ones(4, 3))


@used.register
def _(thing: Loss) -> Any:
    y = torch.tensor([0, 1]) if thing.takes_labels else torch.full((2, 3), 0.5, dtype=torch.float64)
    return losses.twin(thing)(torch.full((2, 3), 0.5, dtype=torch.float64), y)


@used.register
def _(thing: Optimizer) -> Any:
    return optimizers.twin(thing, [_moved()]).step()


@used.register
def _(thing: Clip) -> Any:
    return optimizers.clip(thing, [_moved()])


@used.register
def _(thing: Schedule) -> Any:
    optimizer = torch.optim.SGD([_moved()], 1.0)
    optimizer.step()
    scheduler: Any = schedules.twin(thing, optimizer)
    return scheduler.step(1.0) if isinstance(thing, ReduceOnPlateau) else scheduler.step()


@used.register
def _(thing: MaxNorm) -> Any:
    return penalties.project(thing, {"weight": torch.ones(2, 2)})


def _moved() -> torch.Tensor:
    tensor = weight(2)
    tensor.grad = torch.tensor(np.ones(2))
    return tensor
