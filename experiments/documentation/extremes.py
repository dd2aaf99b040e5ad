"""Where scratch gives other numbers than PyTorch at NaN, at ±∞, and where rounding or overflow is all that is left; each line is run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import scratch as s
from experiments.documentation.witness import Both, activation, both, column, joined, slope, weight
from scratch.layers import Layer
from torchref import layers, losses, optimizers

LARGEST = float(np.finfo(float).max)


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


def gelu() -> Both:
    """``GELU`` keeps its relative accuracy in the negative tail, where 1 + erf cancels: a(−10)."""
    return activation(s.GELU(), -10.0)


def softplus() -> Both:
    """``Softplus(threshold=1000)``: no threshold makes it overflow: a(800)."""
    return activation(s.Softplus(threshold=1000.0), 800.0)


def infinite() -> Both:
    """∂J/∂a = ∞ where the slope is 0 gives ∞·0, NaN: a gradient that has overflowed shows. ``ReLU`` and ``HardTanh``, z = −2."""
    return joined(slope(s.ReLU(), -2.0, math.inf), slope(s.HardTanh(), -2.0, math.inf))


def probabilities() -> Both:
    """``BinaryCrossEntropyFromProbabilities`` lets rounding carry a probability 0.001 past 1, and counts it as 1: J(1.0005), y = 1."""
    loss = s.BinaryCrossEntropyFromProbabilities()
    p, y = np.array([[1.0005]]), np.array([[1.0]])
    return both(lambda: loss(p, y)[0], lambda: losses.twin(loss)(torch.tensor(p), torch.tensor(y)))


def unknown() -> Both:
    """Slopes of ``HardTanh``, ``ELU`` and ``SELU`` at NaN are those of the branch that NaN falls into. PyTorch's depend on how many
    numbers there are; here of 64."""
    found = (slope(layer, math.nan, 1.0, 64) for layer in (s.HardTanh(), s.ELU(), s.SELU()))
    return joined(*found)


def gelu_far() -> Both:
    """``GELU("tanh")``: the slope where z³ overflows, z = ±1e200."""
    return joined(*(slope(s.GELU("tanh"), z, 1.0) for z in (1e200, -1e200)))


def squared() -> Both:
    """``SquaredError``: the gradient 2(z − y)/k overflows where 2(z − y) does. Of two outputs of 1.5e308, y = 0."""
    return column(s.SquaredError(), [1.5e308, 1.5e308], [0.0, 0.0], 1)


def absolute() -> Both:
    """``AbsoluteError`` where an output is NaN: its gradient is NaN too."""
    return column(s.AbsoluteError(), [math.nan], [0.0], 1)


def sure_and_wrong() -> Both:
    """``BinaryCrossEntropy`` at z = −∞ with y = 1 costs ∞."""
    return column(s.BinaryCrossEntropy(), [-math.inf], [1.0])


def stacked() -> Both:
    """The gradient of ``BinaryCrossEntropy`` at z = −∞, y = 1, in a stack: under vmap PyTorch has another formula."""
    loss, z = s.BinaryCrossEntropy(), torch.full((1, 1, 1), -math.inf, requires_grad=True)

    def theirs() -> torch.Tensor:
        return torch.autograd.grad(torch.func.vmap(losses.twin(loss))(z, torch.ones(1, 1, 1)).sum(), z)[0]

    return both(lambda: loss(np.full((1, 1, 1), -math.inf), np.ones((1, 1)))[1], theirs)


def weighed() -> Both:
    """``BinaryCrossEntropy(pos_weight=3)`` has no term that overflows where the sum does not: z = −1.8e308, y = 0.3."""
    return column(s.BinaryCrossEntropy(3.0), [-LARGEST], [0.3])


def not_a_probability() -> Both:
    """``BinaryCrossEntropyFromProbabilities`` of p = NaN, y = 1, is NaN."""
    return column(s.BinaryCrossEntropyFromProbabilities(), [math.nan], [1.0])


def impossible() -> Both:
    """``CrossEntropy``: 0 ln 0 is 0. z = 0, 0, −∞ with class probabilities ½, ½, 0; the sum's reduction with label 2, whose class
    weighs 0."""
    z, weightless = [0.0, 0.0, -math.inf], s.CrossEntropy((1.0, 1.0, 0.0), reduction="sum")
    return joined(column(s.CrossEntropy(), z, [0.5, 0.5, 0.0]), column(weightless, z, 2))


def likely() -> Both:
    """``NegativeLogLikelihood``: a label of weight 0 costs nothing, whatever its log-probability; here −∞, ``reduction="sum"``."""
    return column(s.NegativeLogLikelihood((1.0, 0.0), reduction="sum"), [0.0, -math.inf], 1)


def smoothed() -> Both:
    """``CrossEntropy(label_smoothing=0.1)`` weighs each class before it adds them up: z = 0, 0, 1.8e308, label 0."""
    return column(s.CrossEntropy(label_smoothing=0.1), [0.0, 0.0, LARGEST], 0)


def constant_unit() -> Both:
    """``BatchNorm`` of a unit that is the same in every example gives 0, if the sum of its values is exact: three of 1e5, float32."""
    return _float32(s.BatchNorm(affine=False), np.full((1, 3), 1e5))


def constant_example() -> Both:
    """``LayerNorm`` of units that are all the same, in float32: three of 1e20."""
    return _float32(s.LayerNorm(affine=False), np.full((3, 1), 1e20))


def clipped_alone() -> Both:
    """``ClipNorm(1)`` of a network with a single parameter, whose gradient squared overflows: 1e200."""
    gradient, tensor = np.array([1e200]), weight()
    tensor.grad = torch.tensor(gradient)
    optimizers.clip(s.ClipNorm(1.0), [tensor])
    grad = tensor.grad

    def ours() -> Any:
        s.ClipNorm(1.0)(gradient)
        return gradient

    return both(ours, lambda: grad)


def option_beyond_float32() -> Both:
    """``ELU(alpha=1e300)`` on float32: the option overflows to ∞; a(−1)."""
    return _float32(s.ELU(1e300), np.array([[-1.0]]))


def _float32(layer: Layer, x: np.ndarray) -> Both:
    """The first of what a layer gives of x in float32."""
    x = x.astype(np.float32)
    p = {name: a.astype(np.float32) for name, a in layer.buffers(len(x)).items()}
    rows = torch.tensor(np.ascontiguousarray(x.T))
    return both(lambda: layer.forward(p, x)[0][:1, 0], lambda: layers.twin(layer, len(x))(rows).detach()[0, :1])


EXTREME: tuple[Callable[[], Both], ...] = (
    *(rmsprop, gelu, gelu_far, softplus, infinite, unknown, option_beyond_float32),
    *(
        squared,
        absolute,
        sure_and_wrong,
        stacked,
        weighed,
        probabilities,
        not_a_probability,
        impossible,
        likely,
        smoothed,
    ),
    *(constant_unit, constant_example, clipped_alone),
)
