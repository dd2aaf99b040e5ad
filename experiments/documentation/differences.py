"""Where scratch differs from PyTorch on purpose; each line is run, not remembered. The docstring of a function is the claim."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

import scratch as s
from experiments.documentation.agreements import ALIKE
from experiments.documentation.markdown import docstring, prose
from experiments.documentation.witness import Both, activation, both, decayed, rates, said, slope, taken, weight
from experiments.randomness import generator
from scratch import initializers, metrics
from scratch.layers import Array
from torchref import losses, optimizers, schedules


def rmsprop() -> Both:
    """``RMSProp(centered=True)``: a variance s − m² that rounding makes negative counts as 0, so θ stays a number (constant gradients)."""
    gradient = np.linspace(0.1, 2, 100, dtype=np.float32)
    rule, theta, tensor = s.RMSProp(decay=0.5, centered=True), np.zeros(100, np.float32), torch.zeros(100)
    tensor.grad = torch.tensor(gradient)
    memory, twin = rule.start(theta), optimizers.twin(rule, [tensor])
    for _ in range(60):
        rule.update(theta, gradient, memory)
        twin.step()
    return tuple("NaN" if np.isnan(a).any() else "numbers" for a in (theta, tensor.numpy()))  # type: ignore[return-value]


def learning_rate() -> Both:
    """An optimizer's learning rate must be above 0: a network that stands still by mistake is hard to notice. ``SGD(0.0)``"""
    return both(lambda: s.SGD(0.0), lambda: taken(torch.optim.SGD([weight()], 0.0)))


def rate_for_each() -> Both:
    """``SGD((0.1, 0.2))``: members of a stack may each have a learning rate of their own."""

    def ours() -> Array:
        theta, rule = np.zeros((2, 1)), s.SGD((0.1, 0.2))
        rule.update(theta, np.ones((2, 1)), rule.start(theta))
        return theta

    return both(ours, lambda: torch.optim.SGD([weight()], (0.1, 0.2)))  # type: ignore[arg-type]


def one_cycle_end() -> Both:
    """``OneCycle(10)`` stays at its final rate once its steps are over; here η(15)/η₀."""
    return rates(s.OneCycle(10), (15,))


def one_cycle_momentum() -> Both:
    """``OneCycle`` leaves the momentum alone: here that of SGD(momentum=0.8) before the first step, with PyTorch's defaults."""
    optimizer = torch.optim.SGD([weight()], 1.0, momentum=0.8)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, 10)
    return said(lambda: s.SGD(1.0, momentum=0.8).momentum), said(lambda: optimizer.param_groups[0]["momentum"])


def plateau() -> Both:
    """``ReduceOnPlateau`` looks at each member of a stack by itself, at every update: rates of two, where only the first one improves."""
    plan, seen = s.ReduceOnPlateau(patience=1), [(4.0, 4.0), (3.0, 4.0), (2.0, 4.0), (1.0, 4.0)]
    memory = plan.start(1.0)
    for step, loss in enumerate([None, *seen]):
        rates = plan.rate(memory, step, loss)
    scheduler = schedules.twin(plan, torch.optim.SGD([weight()], 1.0))
    return said(lambda: rates), said(lambda: scheduler.step(torch.tensor(seen[0])))  # type: ignore[arg-type]


def gelu() -> Both:
    """``GELU`` keeps its relative accuracy in the negative tail, where 1 + erf cancels: a(−10)."""
    return activation(s.GELU(), -10.0)


def softplus() -> Both:
    """``Softplus(threshold=1000)``: no threshold makes it overflow: a(800)."""
    return activation(s.Softplus(threshold=1000.0), 800.0)


def leaky() -> Both:
    """``LeakyReLU(slope=nan)`` and ``ELU(alpha=inf)``: an option that is not finite."""
    z = torch.tensor(-1.0)
    first = both(lambda: s.LeakyReLU(math.nan), lambda: taken(nn.LeakyReLU(math.nan)(z)))
    return _joined(first, both(lambda: s.ELU(math.inf), lambda: taken(nn.ELU(math.inf)(z))))


def infinite() -> Both:
    """∂J/∂a = ∞ where the slope is 0 gives ∞·0, NaN: a gradient that has overflowed shows. ``ReLU`` and ``HardTanh``, z = −2."""
    return _joined(slope(s.ReLU(), -2.0, math.inf), slope(s.HardTanh(), -2.0, math.inf))


def _joined(first: Both, second: Both) -> Both:
    return f"{first[0]}, {second[0]}", f"{first[1]}, {second[1]}"


def ties() -> Both:
    """``metrics.top_k``: of equal outputs the first classes count. Which of forty zeros are the two largest?"""
    hit = [float(metrics.top_k(np.zeros((40, 1)), np.array([label]), 2)) for label in (0, 1)]
    chosen = torch.topk(torch.zeros(40), 2).indices.tolist()
    return tuple("the first two" if first else "others" for first in (hit == [1.0, 1.0], chosen == [0, 1]))  # type: ignore[return-value]


def he() -> Both:
    """``he(nonlinearity="leaky_relu")`` takes LeakyReLU's own slope 0.01 unless told otherwise, kaiming_normal_ 0; here n·Var W."""
    slopes = [
        inspect.signature(f).parameters[name].default
        for f, name in ((initializers.he, "slope"), (nn.init.kaiming_normal_, "a"))
    ]
    return tuple(f"{initializers.gain('leaky_relu', a) ** 2:.4f}" for a in slopes)  # type: ignore[return-value]


def truncated() -> Both:
    """``truncated_normal(low=10, high=100000)``: so far out, and so wide, that rejection keeps next to nothing."""
    draw = partial(initializers.truncated_normal, generator(0, "documentation"), (2, 2))
    return said(lambda: draw(low=10.0, high=1e5)), "draws for more than a minute (not run here)"


def probabilities() -> Both:
    """``BinaryCrossEntropyFromProbabilities`` lets rounding carry a probability 0.001 past 1, and counts it as 1: J(1.0005), y = 1."""
    loss = s.BinaryCrossEntropyFromProbabilities()
    p, y = np.array([[1.0005]]), np.array([[1.0]])
    return both(lambda: loss(p, y)[0], lambda: losses.twin(loss)(torch.tensor(p), torch.tensor(y)))


def milestones() -> Both:
    """``MultiStep((3, 3))``: a milestone that is named twice."""
    return both(
        lambda: s.MultiStep((3, 3)),
        lambda: taken(torch.optim.lr_scheduler.MultiStepLR(torch.optim.SGD([weight()], 1.0), (3, 3))),
    )


def penalized() -> Both:
    """A penalty reaches weights only, unless ``reach="all"``; weight decay reaches biases too, in both. What pulls at a bias of 1?"""
    parameters, gradients = ({"b": np.ones((1, 1))},), ({"b": np.zeros((1, 1))},)
    s.L2(0.1).add_gradient(parameters, gradients)
    return said(lambda: gradients[0]["b"]), said(lambda: decayed(torch_too=True))


def dropout() -> Both:
    """``Dropout`` is handed its mask, so that two implementations, or two runs, see the same one. Without a mask:"""
    x = torch.ones(1, 1, dtype=torch.float64)
    return both(lambda: s.Dropout(0.0).forward({}, np.ones((1, 1)))[0], lambda: taken(nn.Dropout(0.0)(x)))


DIFFERENT: tuple[Callable[[], Both], ...] = (
    *(
        rmsprop,
        learning_rate,
        rate_for_each,
        one_cycle_end,
        one_cycle_momentum,
        plateau,
        milestones,
        penalized,
        dropout,
    ),
    *(gelu, softplus, leaky, infinite, probabilities, ties, he, truncated),
)


def table(witnesses: Sequence[Callable[[], Both]]) -> str:
    rows = ((prose(" ".join(" ".join(docstring(w)).split())), *w()) for w in witnesses)
    return "\n".join(["| | scratch | PyTorch |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def text() -> str:
    return f"""# Where scratch differs from PyTorch

[All pages](index.md)

Formulas, options, defaults and what happens at kinks and infinities are PyTorch's, unless this page says otherwise. Both columns are
computed when the page is made, unless a cell says that it was not run.
Throughout, scratch has an example in a column where PyTorch has it in a row, and takes stacks of
networks as leading axes. Wrong input is refused with `InvalidInput` and a line that names the place; PyTorch's own exception is in
brackets.

## On purpose

{table(DIFFERENT)}

## As in PyTorch, though one might think otherwise

{table(ALIKE)}
"""
