"""How a claim about both implementations is run: scratch and its torch twin on the same numbers, what each says as text."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from scratch.errors import InvalidInput
from scratch.layers import Array, Layer
from scratch.losses import Loss
from scratch.optimizers import SGD
from scratch.schedules import Schedule
from torchref import layers, losses, optimizers, schedules

Both = tuple[str, str]


def said(call: Callable[[], Any]) -> str:
    """What comes of a call: numbers in three digits, or that it is refused."""
    try:
        with np.errstate(all="ignore"):
            found = call()
    except InvalidInput:
        return "refused"
    except Exception as error:  # whatever PyTorch raises
        return f"refused ({type(error).__name__})"
    if isinstance(found, str):
        return found
    values = found.detach().numpy() if isinstance(found, torch.Tensor) else np.asarray(found)
    return ", ".join(map(number, values.reshape(-1)))


def taken(result: Any) -> str:
    """What is said where something is not refused."""
    return "taken"


def number(value: float) -> str:
    """Three digits, typeset."""
    text = f"{value:.3g}"
    for plain, sign in (("nan", "NaN"), ("inf", "∞"), ("-", "−")):
        text = text.replace(plain, sign)
    return text


def both(ours: Callable[[], Any], theirs: Callable[[], Any]) -> Both:
    return said(ours), said(theirs)


def weight(size: int = 1) -> torch.Tensor:
    return torch.ones(size, dtype=torch.float64, requires_grad=True)


def activation(layer: Layer, z: float) -> Both:
    row = torch.tensor([[z]], dtype=torch.float64)
    return both(lambda: layer.forward({}, np.array([[z]]))[0], lambda: layers.twin(layer, 1)(row))


def slope(layer: Layer, z: float, upstream: float, count: int = 1) -> Both:
    """∂J/∂z where ``upstream`` is ∂J/∂a, the first of ``count`` numbers that are all z."""

    def ours() -> Array:
        _, cache = layer.forward({}, np.full((1, count), z))
        return layer.backward({}, cache, np.full((1, count), upstream))[0][0, :1]

    def theirs() -> torch.Tensor:
        x = torch.full((count, 1), z, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(layers.twin(layer, 1)(x), x, torch.full_like(x, upstream))[0][0]

    return both(ours, theirs)


def column(loss: Loss, z: Sequence[float], y: Sequence[float] | int, part: int = 0) -> Both:
    """The loss of one example, a label or numbers; its gradient where ``part`` is 1."""
    outputs = torch.tensor([z], dtype=torch.float64, requires_grad=True)
    wanted = np.array([y]) if isinstance(y, int) else np.array([y]).T

    def theirs() -> torch.Tensor:
        value = losses.twin(loss)(outputs, torch.tensor(wanted.T))
        return torch.autograd.grad(value, outputs)[0] if part else value

    return both(lambda: loss(np.array([z]).T, wanted)[part], theirs)


def joined(*found: Both) -> Both:
    ours, theirs = zip(*found, strict=True)
    return ", ".join(ours), ", ".join(theirs)


def rates(schedule: Schedule, steps: Sequence[int]) -> Both:
    def theirs() -> list[float]:
        optimizer = torch.optim.SGD([weight()], 1.0)
        with warnings.catch_warnings():  # that it is stepped without the optimizer
            warnings.simplefilter("ignore")
            scheduler, seen = schedules.twin(schedule, optimizer), []
            for _ in range(max(steps) + 1):
                seen.append(optimizer.param_groups[0]["lr"])
                scheduler.step()
        return [seen[step] for step in steps]

    return both(lambda: [schedule(1.0, step) for step in steps], theirs)


def decayed(torch_too: bool) -> Array:
    """How far weight decay 0.1 at rate 1 moves a bias of 1 whose gradient is 0."""
    rule = SGD(1.0, weight_decay=0.1)
    if torch_too:
        bias = weight()
        bias.grad = torch.zeros_like(bias)
        optimizers.twin(rule, [bias]).step()
        return 1 - bias.detach().numpy()
    theta = np.ones(1)
    rule.update(theta, np.zeros(1), rule.start(theta))
    return 1 - theta
