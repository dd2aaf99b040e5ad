"""What scratch does as PyTorch does, though one might think otherwise; each line is run. The docstring of a function is the claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import scratch as s
from experiments.documentation.witness import Both, both, column, decayed, joined, rates, said, slope, weight
from scratch import autodiff
from torchref import layers, losses, optimizers, schedules


def decay() -> Both:
    """Weight decay reaches biases and scales: how far 0.1 moves a bias of 1 whose gradient is 0, at rate 1."""
    return said(lambda: decayed(False)), said(lambda: decayed(True))


def statistics() -> Both:
    """``BatchNorm`` normalizes by the biased variance and remembers the unbiased one; ``momentum`` weighs the new value. Of x = 0, 2:
    output, running mean, running variance."""
    layer = s.BatchNorm(eps=1e-12)
    p = {name: a.astype(float) for name, a in layer.buffers(1).items()} | {
        "gamma": np.ones((1, 1)),
        "beta": np.zeros((1, 1)),
    }
    twin = layers.twin(layer, 1).double()
    output = layer.forward(p, np.array([[0.0, 2.0]]))[0]
    other = twin(torch.tensor([[0.0], [2.0]], dtype=torch.float64))
    theirs = torch.cat([other.reshape(-1), twin.running_mean, twin.running_var])  # type: ignore[list-item]
    return said(lambda: [*output[0], p["running_mean"].item(), p["running_var"].item()]), said(lambda: theirs)


def single() -> Both:
    """``BatchNorm`` on one example: it has no variance."""
    layer = s.BatchNorm(affine=False)
    return both(
        lambda: layer.forward(layer.buffers(1), np.ones((1, 1))), lambda: layers.twin(layer, 1)(torch.ones(1, 1))
    )


def mean() -> Both:
    """``SquaredError`` averages over all outputs of all examples; with one output that is the notes' 1/n. Errors 1 and 3 of one example."""
    z, y = np.array([[1.0], [3.0]]), np.zeros((2, 1))
    rows = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    return both(lambda: s.SquaredError()(z, y)[0], lambda: losses.twin(s.SquaredError())(rows, torch.zeros_like(rows)))


def ignored() -> Both:
    """``CrossEntropy`` with nothing but ignored labels: the mean is 0/0, its gradient 0."""
    return joined(*(column(s.CrossEntropy(), [0.0, 0.0], -100, part) for part in (0, 1)))


def weightless() -> Both:
    """``CrossEntropy(weight=(0, 1))`` with nothing but labels of class 0: the mean is 0/0, and so is its gradient."""
    return joined(*(column(s.CrossEntropy((0.0, 1.0)), [0.0, 0.0], 0, part) for part in (0, 1)))


def kink() -> Both:
    """``ReLU``'s slope at 0."""
    return slope(s.ReLU(), 0.0, 1.0)


def bounds() -> Both:
    """``HardTanh(low=1, high=1)``: the lower bound must be below the upper one."""
    first, second = both(lambda: s.HardTanh(1.0, 1.0), lambda: nn.Hardtanh(1.0, 1.0))
    return first, second.partition(" ")[0]


def dampened() -> Both:
    """``SGD(momentum=0.9, dampening=0.5)``: the first gradient enters v whole. How far one step at rate 1 goes, gradient 1."""
    rule, theta, tensor = s.SGD(1.0, 0.9, 0.5), np.ones(1), weight()
    rule.update(theta, np.ones(1), rule.start(theta))
    tensor.grad = torch.ones_like(tensor)
    optimizers.twin(rule, [tensor]).step()
    return said(lambda: 1 - theta), said(lambda: 1 - tensor)


def warmup() -> Both:
    """``Warmup(2, Exponential(0.5))``: the inner schedule begins at its own step 0, after the warm-up. η(t)/η₀, t = 0 … 4."""
    return rates(s.Warmup(2, s.Exponential(0.5)), range(5))


def cosine() -> Both:
    """``Cosine(10)`` rises again after its steps: η/η₀ at t = 10 and 20."""
    return rates(s.Cosine(10), (10, 20))


def clipped() -> Both:
    """``ClipNorm`` of a gradient whose norm overflows gives 0."""
    gradient, tensor = np.full(2, 1e200), weight(2)
    tensor.grad = torch.tensor(gradient)
    optimizers.clip(s.ClipNorm(1.0), [tensor])
    grad = tensor.grad
    with np.errstate(all="ignore"):
        s.ClipNorm(1.0)(gradient)
    return said(lambda: gradient), said(lambda: grad)


def overflowing() -> Both:
    """``Adam`` in float32 stands still where (1 − β₂)g² overflows, however large the gradient: one step of size 1, g = 1e20 and 1e21."""

    def step(gradient: float) -> Both:
        rule, theta, tensor = s.Adam(1.0), np.zeros(1, np.float32), torch.zeros(1)
        twin = optimizers.twin(rule, [tensor])
        tensor.grad = torch.full((1,), gradient)
        twin.step()

        def ours() -> np.ndarray:
            rule.update(theta, np.full(1, gradient, np.float32), rule.start(theta))
            return theta

        return both(ours, lambda: tensor)

    return joined(step(1e20), step(1e21))


def flat() -> Both:
    """``ReduceOnPlateau``: a negative loss that stays as it is never counts as a plateau, since −1 is below −1·(1 − threshold)."""
    plan = s.ReduceOnPlateau(patience=0)
    memory, optimizer = plan.start(1.0), torch.optim.SGD([weight()], 1.0)
    scheduler: Any = schedules.twin(plan, optimizer)
    for step, loss in enumerate([None, -1.0, -1.0, -1.0]):
        rate = plan.rate(memory, step, loss)
        if loss:
            scheduler.step(loss)
    return said(lambda: rate), said(lambda: optimizer.param_groups[0]["lr"])


def branches() -> Both:
    """``where`` in autodiff: a branch that is not taken sends back 0 times its slope, NaN if that is. √z where z > 0, else 0, at −1."""
    x, z = autodiff.Var(np.array([-1.0])), torch.tensor([-1.0], requires_grad=True)

    def ours() -> np.ndarray:
        return autodiff.gradient(np.sum(np.where(x > 0, np.sqrt(x), 0.0)), [x])[0]

    return both(ours, lambda: torch.autograd.grad(torch.where(z > 0, z.sqrt(), 0.0).sum(), z)[0])


ALIKE: tuple[Callable[[], Both], ...] = (
    *(decay, statistics, single, mean, ignored, weightless, kink, bounds, dampened, overflowing),
    *(warmup, cosine, flat, clipped, branches),
)
