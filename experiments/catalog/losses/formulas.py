"""The notes' formulas as they stand: to fifty digits, in the arithmetic of either backend, and read literally."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from scratch.layers import Array
from scratch.losses import Elementwise
from torchref.losses import twin

MANY = Context(prec=70)  # fifty digits are left where ln(1 + 1e-17) is taken


def softplus_exact(z: float) -> Decimal:
    """ln(1 + e^z) to fifty digits; where e^−|z| is small, by its series, since 1 + e^−|z| would not hold it."""
    with localcontext(MANY):
        small = (-abs(Decimal(z))).exp()
        rest = small - small * small / 2 + small**3 / 3 if small < Decimal("1e-17") else (1 + small).ln()
        return max(Decimal(z), Decimal(0)) + rest


def binary_exact(z: float, y: float) -> Decimal:
    """−(y ln a + (1−y) ln(1−a)), a = σ(z): the notes' loss of one example."""
    if y in (0, 1):
        return softplus_exact(-z if y else z)
    with localcontext(MANY):
        return Decimal(y) * softplus_exact(-z) + (1 - Decimal(y)) * softplus_exact(z)


def cross_exact(z: Array, y: Array) -> Decimal:
    """−Σ_k y_k ln ŷ_k, ŷ = softmax(z): the notes' loss of one example."""
    with localcontext(MANY):
        exact = [Decimal(one) for one in z.tolist()]
        log_sum = sum((one.exp() for one in exact), Decimal(0)).ln()
        return sum(
            (Decimal(weight) * (log_sum - one) for weight, one in zip(y.tolist(), exact, strict=True)), Decimal(0)
        )


def naive(z: Any, y: Any, xp: Any) -> Any:
    """The notes' formula as it stands, in NumPy or in PyTorch."""
    with np.errstate(all="ignore"):
        a = 1 / (1 + xp.exp(-z))
        return -(y * xp.log(a) + (1 - y) * xp.log(1 - a))


def naive_softmax(z: Any, xp: Any) -> Any:
    """The notes' ŷ over the units (…, k, m) as it stands."""
    with np.errstate(all="ignore"):
        return xp.exp(z) / xp.exp(z).sum(-2)[..., None, :]


@dataclass(frozen=True)
class Literal(Elementwise):
    """J = −(mean y ln a) + mean (1−y) ln(1−a): the notes' formula where the minus is not carried into the second term."""

    def each(self, z: Array, y: Array) -> tuple[Array, Array]:
        sigma = 1 / (1 + np.exp(-z))
        return y * np.logaddexp(0, -z) - (1 - y) * np.logaddexp(0, z), y * (sigma - 1) - (1 - y) * sigma


@twin.register
def _(loss: Literal) -> nn.Module:
    return _Literal()


class _Literal(nn.Module):
    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return ((1 - target) * logsigmoid(-output) - target * logsigmoid(output)).mean()
