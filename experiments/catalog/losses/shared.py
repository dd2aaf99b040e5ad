"""What several pages share: a loss alone, the entry farthest from its prediction, and the notes' formula in its several forms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

import scratch as s
from experiments.lab import Array, Frame, Lab, Shots
from scratch import Batch, Job, Layer
from scratch.losses import Elementwise, Loss
from torchref.losses import twin

UNIT = 2.0**-53
EXAMPLES = 7  # of the small batches; with 5 classes
NOTES = "the notes"
ROUNDING = "Some units of rounding, u = 1.1e-16, times the numbers that are subtracted on the way, count as the standard error."
BINARY: dict[str, tuple[Loss, tuple[Layer, ...]]] = {
    "cross-entropy": (s.BinaryCrossEntropy(), ()),
    "squared error": (s.SquaredError(), (s.Sigmoid(),)),
}
OTHER = {"cross-entropy": "squared error", "squared error": "cross-entropy"}
PRECISIONS = ("float64", "float32")
CASES = ((1, "right"), (0, "right"), (0, "wrong"), (1, "wrong"))  # the answer y, and what the logit says
MANY = Context(prec=70)  # fifty digits are left where ln(1 + 1e-17) is taken


def alone(lab: Lab, loss: Loss, z: Array, y: Array, condition: str) -> Shots:
    """What both say of a loss alone, at outputs z (…, k, m)."""
    return lab.look(Job((s.Identity(),), loss, ({},), Batch(z, y)), condition)


def farthest(found: Mapping[str, Sequence[Array]], error: Array, **columns: Any) -> Frame:
    """A row for each implementation: how far the entry lies off that is farthest from its prediction, in units of its error.

    ``found``: what it measured, what is predicted, and another prediction, the control.
    """
    rows = []
    for backend, (measured, predicted, control) in found.items():
        apart, other, unit = map(np.ravel, np.broadcast_arrays(measured - predicted, measured - control, error))
        with np.errstate(divide="ignore", invalid="ignore"):
            k = int(np.where(apart == 0, 0, np.abs(apart) / unit).argmax())
        rows.append({"measured": apart[k], "standard_error": unit[k], "control_measured": other[k], "backend": backend})
    return Frame(rows).assign(predicted=0.0, **columns)


def spread(z: Array) -> Array:
    """How large the numbers are that the loss of each example subtracts, (…, m)."""
    return np.ptp(z, axis=-2) if z.shape[-2] > 1 else np.abs(z[..., 0, :])


def probabilities(z: Array) -> Array:
    """σ(z), or softmax over several units."""
    return s.Softmax().forward({}, z)[0] if z.shape[-2] > 1 else s.Sigmoid().forward({}, z)[0]


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


def off(values: Array, exact: Sequence[Decimal]) -> Array:
    """The error of each value; NaN where it is no number."""
    pairs = zip(values.tolist(), exact, strict=True)
    return np.array([float(MANY.subtract(Decimal(a), b)) if np.isfinite(a) else np.nan for a, b in pairs])


def logits(sizes: Array, y: int, side: str) -> Array:
    """Logits of those sizes that answer y rightly or wrongly."""
    return sizes if (y == 1) == (side == "right") else -sizes


def naive(z: Any, y: int, xp: Any) -> Any:
    """The notes' formula as it stands, in NumPy or in PyTorch."""
    with np.errstate(all="ignore"):
        a = 1 / (1 + xp.exp(-z))
        return -(y * xp.log(a) + (1 - y) * xp.log(1 - a))


def both_forms(z: Array, y: int, device: str) -> Iterator[tuple[str, str, Array]]:
    """(implementation, form, losses): as written in either's arithmetic, and each one's own loss, every example's apart.

    Not under vmap, where PyTorch's is another formula.
    """
    loss, at = s.BinaryCrossEntropy(reduction="none"), torch.tensor(z, device=device)
    yield "scratch", "naive", naive(z, y, np)
    yield "scratch", "stable", loss(z[None], np.full_like(z[None], y))[0][0]
    yield "torchref", "naive", naive(at, y, torch).cpu().numpy()
    yield "torchref", "stable", twin(loss)(at, torch.full_like(at, y)).cpu().numpy()


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
