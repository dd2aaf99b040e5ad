"""Where scratch differs from PyTorch on purpose; each line is run, not remembered. The docstring of a function is the claim.

Other numbers at NaN, at ±∞ and below rounding are in extremes.py, options out of range in ranges.py.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

import scratch as s
from experiments.documentation import ranges
from experiments.documentation.agreements import ALIKE
from experiments.documentation.extremes import EXTREME
from experiments.documentation.markdown import docstring, prose
from experiments.documentation.witness import Both, both, column, decayed, joined, number, rates, said, taken, weight
from scratch import initializers, metrics
from scratch.layers import Array
from scratch.randomness import generator
from torchref import schedules


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


def leaky() -> Both:
    """``LeakyReLU(slope=nan)`` and ``ELU(alpha=inf)``: an option that is not finite."""
    z = torch.tensor(-1.0)
    first = both(lambda: s.LeakyReLU(math.nan), lambda: taken(nn.LeakyReLU(math.nan)(z)))
    return joined(first, both(lambda: s.ELU(math.inf), lambda: taken(nn.ELU(math.inf)(z))))


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


def targets() -> Both:
    """Binary targets must lie in [0, 1], ``BinaryCrossEntropy``'s too: y = 2, z = 0."""
    return both(lambda: s.BinaryCrossEntropy().check(np.array([[2.0]]), 1), lambda: _binary(2.0))


def _binary(y: float) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(torch.zeros(1), torch.tensor([y]))


def likelihoods() -> Both:
    """``NegativeLogLikelihood`` also takes class probabilities: z = −1, −2, y = 0.5, 0.5."""
    return column(s.NegativeLogLikelihood(), [-1.0, -2.0], [0.5, 0.5])


def ignoring() -> Both:
    """``CrossEntropy(ignore_index=1)`` takes class probabilities, and ignores none of them: z = 0, 0, y = 0.5, 0.5."""
    return column(s.CrossEntropy(ignore_index=1), [0.0, 0.0], [0.5, 0.5])


def equal_bounds() -> Both:
    """``truncated_normal(low=1, high=1)``: the lower bound must be below the upper one."""
    draw = partial(initializers.truncated_normal, generator(0, "documentation"), (2, 2))
    tensor = torch.empty(2, 2)
    return both(lambda: draw(low=1.0, high=1.0), lambda: taken(nn.init.trunc_normal_(tensor, a=1.0, b=1.0)))


DIFFERENT: tuple[Callable[[], Both], ...] = (
    *(learning_rate, rate_for_each, one_cycle_end, one_cycle_momentum, plateau, milestones, penalized, dropout),
    *(leaky, targets, likelihoods, ignoring, ties, he, truncated, equal_bounds),
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

## At NaN, at ±∞, and where rounding or overflow is all that is left

{table(EXTREME)}

## Options out of range

An option that cannot be meant is refused before it is used. Of {", ".join(map(number, ranges.ODD))}, one at a time (the first number
where there are several), these are refused here and taken by PyTorch:

{ranges.table()}

## As in PyTorch, though one might think otherwise

{table(ALIKE)}
"""
