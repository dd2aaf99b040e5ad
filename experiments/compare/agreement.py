"""How well two implementations agree, in units of what rounding may do.

The bound is worked out, never a constant. A backward stable sum of k products is the exact result for inputs moved
relatively by about √k·u (Higham & Mary 2019; u the unit roundoff). So scratch is run again with parameters, inputs,
targets and what passes between layers moved at random by that much ("shadows"), and what that does to a quantity is
what rounding may do to it:

    bound = LIMIT · ( spread of the shadows + √k·u · size of the quantity + what underflow may lose )

The shadows move by more than that (AMPLIFIED) and their spread is scaled back; as it is estimated from few numbers, it is
divided by what such an estimate rarely falls below.

``pointwise`` holds both against each other at the same parameters; ``trajectory`` after each has trained alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from scipy.special import gammaincinv

from scratch import training
from scratch.contract import Batch, Job, Snapshot
from scratch.layers import Array, Layer, Residual, Shape, Tensors
from scratch.network import Parameters
from scratch.normalization import BatchNorm

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 4.0  # four standard deviations, as for every other statistical statement here
NUMBERS = 16  # a spread is estimated from at least so many: small layers need more shadows than wide ones
AMPLIFIED = (
    1e-10  # shadows move at least this much, so that their spread is not rounding itself; it is scaled back after
)


@dataclass(frozen=True)
class Difference:
    """One quantity of one layer: the norm of its difference in the network where it is worst, and the bound there."""

    step: int
    layer: int
    quantity: str
    difference: float
    relative: float
    bound: float

    @property
    def ratio(self) -> float:
        """Difference in units of the bound: above 1, the two do not agree."""
        if self.bound == 0:
            return 0.0 if self.difference == 0 else np.inf
        ratio = self.difference / self.bound
        return np.inf if np.isnan(ratio) else ratio


def table(found: Sequence[Difference], part: str, condition: str) -> pd.DataFrame:
    """One row for each quantity and step: the layer where it is worst. Layers count from 1, activations among them."""
    import pandas as pd

    rows = [{"part": part, "condition": condition, **asdict(d), "ratio": d.ratio} for d in found]
    frame = pd.DataFrame(rows)
    return frame.loc[frame.groupby(["step", "quantity"], sort=False).ratio.idxmax()].reset_index(drop=True)


def unit_roundoff(dtype: np.dtype) -> float:
    return float(np.finfo(dtype).eps) / 2


def longest_sum(job: Job) -> int:
    """k: the most products that any one number of a pass adds up."""
    examples = job.data.x.shape[-1] if job.batches is None else max(chosen.shape[-1] for chosen in job.batches)
    return max(job.data.x.shape[-2], *job.network.widths, examples)


def shadow_count(job: Job) -> int:
    return max(2, -(-NUMBERS // min(job.network.widths)))


Key = tuple[int, str]  # layer, counted from 1, and quantity


class Rounding:
    """What rounding may do to every quantity of one look at a job."""

    def __init__(self, job: Job, generator: Generator) -> None:
        self.scale = np.sqrt(longest_sum(job)) * unit_roundoff(job.data.x.dtype)
        moved = max(self.scale, AMPLIFIED)
        shadows = training.snapshot(_shadowed(job, moved, generator))
        self.spreads = {key: _spread(a) * (self.scale / moved) for key, a in quantities(shadows)}
        whole = job.network.widths[-1] * job.data.x.shape[-1]  # what the loss adds up
        self.longer = np.sqrt(max(1.0, whole / longest_sum(job)))

    def difference(self, key: Key, a: Array, b: Array, own: Array | float = 0.0) -> Difference:
        """Two implementations' arrays (…, rows, columns) of that quantity, in the network where they differ most.

        ``own``: what rounding does to one of them beyond what it must do to any algorithm.
        """
        longer = self.longer if key[1] == "loss" else 1.0
        return _worst(0, *key, a, b, self.spreads[key] * longer + own, self.scale * longer)


def pointwise(job: Job, ours: Snapshot, theirs: Snapshot, generator: Generator) -> list[Difference]:
    """Every layer's output, gradient at the output and parameter gradients, at the same parameters on the same data."""
    rounding = Rounding(job, generator)
    pairs = zip(quantities(ours), quantities(theirs), strict=True)
    return [rounding.difference(key, a, b) for (key, a), (_, b) in pairs]


def trajectory(
    job: Job, ours: Sequence[Snapshot], theirs: Sequence[Snapshot], generator: Generator
) -> list[Difference]:
    """Losses, parameters and buffers at every snapshot, each implementation having trained alone from the same start."""
    spreads, scale = _shadow_training(job, generator), np.sqrt(longest_sum(job)) * unit_roundoff(job.data.x.dtype)
    found = []
    for mine, other, spread in zip(ours, theirs, spreads, strict=True):
        if not (_finite(mine) or _finite(other)):
            break  # both have diverged: there is nothing left to compare
        for (key, a), (_, b) in zip(_trained(mine), _trained(other), strict=True):
            found.append(_worst(mine.step, *key, a, b, spread[key], scale))
    return found


def _shadow_training(job: Job, generator: Generator) -> Iterator[dict[Key, Array]]:
    """At each snapshot, how far rounding may have carried every quantity: the root mean square of the shadows' distance.

    In every step a shadow sees its gradient at parameters moved by √k·u; its step, and θ after it, are rounded (moved by u).
    """
    assert job.batches is not None
    unit = unit_roundoff(job.data.x.dtype)
    scale = np.sqrt(longest_sum(job)) * unit
    larger = max(1.0, AMPLIFIED / scale)
    shadowed = replace(_shadowed(job, scale * larger, generator), loss=job.loss)
    y = job.data.y if job.data.y.dtype.kind in "iu" else job.data.y.astype(np.float64)
    data = Batch(job.data.x.astype(np.float64), y)
    state = training.start(shadowed)
    state.theta[...] = state.theta[:1]  # all from the same start
    for number, chosen in enumerate(job.batches):
        before = {key: _spread(a) / larger for key, a in _named(state.parameters, "") + _named(state.buffers, "")}
        kept = state.theta.copy()
        state.theta[...] = _jitter(kept, scale * larger, generator)
        training.differentiate(shadowed, state, _on_shadow_axis(job, data.columns(chosen), scale * larger, generator))
        state.theta[...] = kept
        if number in job.snapshots:
            last = len(job.layers), "loss"
            yield before | {last: _spread(state.loss[..., None, None]) / larger}
        training.advance(shadowed, state)
        taken = _jitter(state.theta - kept, unit * larger, generator)  # all of θ, or almost, may cancel against it
        state.theta[...] = _jitter(kept + taken, unit * larger, generator)


def _worst(step: int, layer: int, quantity: str, a: Array, b: Array, spread: Array, scale: float) -> Difference:
    """The network of the stack in which the difference is largest in units of its bound."""
    size, difference = _norm(a), _norm(a.astype(np.float64) - b)
    floor = np.finfo(a.dtype).smallest_subnormal * np.sqrt(a.shape[-2] * a.shape[-1])  # underflow is rounding too
    bound = LIMIT * (spread + scale * size + floor)
    with np.errstate(over="ignore"):  # against a bound of nothing but underflow
        ratio = np.where(np.isfinite(difference), difference / bound, np.inf).reshape(-1)
    k = int(ratio.argmax())
    one, whole = float(difference.reshape(-1)[k]), float(size.reshape(-1)[k])
    return Difference(step, layer, quantity, one, one / whole if whole else 0.0, float(bound.reshape(-1)[k]))


def quantities(shot: Snapshot) -> list[tuple[Key, Array]]:
    """Everything that one look shows, as (…, rows, columns)."""
    both = enumerate(zip(shot.outputs, shot.output_gradients, strict=True), 1)
    signals = [
        ((k, name), a) for k, pair in both for name, a in zip(("output", "gradient at output"), pair, strict=True)
    ]
    return [_loss(shot), *signals, *_named(shot.gradients, "gradient of ")]


def _trained(shot: Snapshot) -> list[tuple[Key, Array]]:
    return [_loss(shot), *_named(shot.parameters, ""), *_named(shot.buffers, "")]


def _loss(shot: Snapshot) -> tuple[Key, Array]:
    return (len(shot.outputs), "loss"), shot.loss[..., None, None]


def _named(arrays: Parameters, prefix: str) -> list[tuple[Key, Array]]:
    return [((k, prefix + name), array) for k, named in enumerate(arrays, 1) for name, array in named.items()]


def _finite(shot: Snapshot) -> bool:
    return all(np.isfinite(array).all() for _, array in _trained(shot))


def _norm(array: Array) -> Array:
    """Frobenius norm over the last two axes, in float64, scaled against underflow."""
    wide = np.asarray(array, np.float64)
    top = np.abs(wide).max((-2, -1), keepdims=True)
    with np.errstate(invalid="ignore"):  # ∞/∞ is NaN, and NaN is no agreement
        unit = np.divide(wide, top, out=np.zeros_like(wide), where=top > 0)
    return top[..., 0, 0] * np.sqrt((unit * unit).sum((-2, -1)))


def _spread(shadows: Array) -> Array:
    """Root mean square distance (…,) of the shadows from the network itself, which comes first on the first axis."""
    numbers = (len(shadows) - 1) * shadows.shape[-1] * shadows.shape[-2]
    return np.sqrt((_norm(shadows[1:] - shadows[0]) ** 2).mean(0)) / least(numbers)


def least(numbers: int) -> float:
    """What a root mean square of so many normal numbers, of variance 1, falls below once in ten thousand times."""
    return float(np.sqrt(2 * gammaincinv(numbers / 2, 1e-4) / numbers))  # of a chi distribution


def _shadowed(job: Job, scale: float, generator: Generator) -> Job:
    """The job in float64 on a new first axis: itself, then its shadows, moved by ``scale`` in parameters, inputs and targets."""

    def spread_out(array: Array) -> Array:
        ones = (1,) * (len(job.leading) + 2 - array.ndim)
        wide = np.broadcast_to(array.astype(np.float64), (1 + shadow_count(job), *ones, *array.shape))
        return _jitter(wide, scale, generator)

    parameters = tuple({name: spread_out(array) for name, array in named.items()} for named in job.parameters)
    buffers = tuple(
        {name: np.broadcast_to(a, (1 + shadow_count(job), *a.shape)).astype(np.float64) for name, a in named.items()}
        for named in job.start_buffers()
    )
    targets = job.loss.targets(job.data.y, job.network.widths[-1])
    data = Batch(spread_out(job.data.x), spread_out(targets))
    optimizer, rates = job.optimizer, job.optimizer.learning_rate
    if isinstance(rates, tuple):  # one for each network: the shadows' as well
        optimizer = replace(optimizer, learning_rate=(rates,) * (1 + shadow_count(job)))
    layers = tuple(_jittered(layer, scale, generator, lowest=not k) for k, layer in enumerate(job.layers))
    return replace(
        job,
        loss=job.loss.with_matrix(),
        layers=layers,
        parameters=parameters,
        buffers=buffers,
        data=data,
        optimizer=optimizer,
        batches=None,
        snapshots=(),
        evaluate={},
    )


def _jittered(layer: Layer, scale: float, generator: Generator, lowest: bool = False) -> Layer:
    """The layer, and every layer inside it, with its output and the gradient that it hands down moved as well."""
    if isinstance(layer, Residual):
        layer = Residual(tuple(_jittered(inside, scale, generator) for inside in layer.layers))
    return _Jittered(layer, scale, generator, lowest)


@dataclass(frozen=True)
class _Jittered(Layer):
    """In place where the output is what the layer remembers: near a = 1 a rounding of a is a large part of 1 − a²."""

    layer: Layer
    scale: float
    generator: Generator
    lowest: bool = False  # nobody asks for the gradient below

    def width(self, n_in: int) -> int:
        return self.layer.width(n_in)

    def shapes(self, n_in: int) -> dict[str, Shape]:
        return self.layer.shapes(n_in)

    def buffers(self, n_in: int) -> dict[str, Array]:
        return self.layer.buffers(n_in)

    def noise(self, n_in: int) -> dict[str, tuple[int, float]]:
        return self.layer.noise(n_in)

    def forward(self, p: Tensors, x: Array) -> tuple[Array, Any]:
        out, cache = self.layer.forward(p, x)
        out[...] = _jitter(out, self.scale, self.generator)
        return out, cache

    def backward(self, p: Tensors, cache: Any, dout: Array) -> tuple[Array, Tensors]:
        dx, gradients = self.layer.backward(p, cache, dout)
        if self.lowest:
            return dx, gradients
        dx = _jitter(dx, self.scale, self.generator)
        return (_shifted(dx, self.scale, self.generator) if isinstance(self.layer, BatchNorm) else dx), gradients


def _on_shadow_axis(job: Job, batch: Batch, scale: float, generator: Generator) -> Batch:
    """The batch with an axis for the shadows before those of the stack, so that what a layer does to it stays each one's own."""
    ones = (1,) * (len(job.leading) + 2 - batch.x.ndim)
    x = np.broadcast_to(batch.x, (1 + shadow_count(job), *ones, *batch.x.shape))
    return Batch(_jitter(x, scale, generator), batch.y)


def _jitter(array: Array, scale: float, generator: Generator) -> Array:
    """Every entry but those of the first member moved relatively by ±scale, the sign at random."""
    shadows = max(0, array.shape[0] - 1)  # θ has no first axis where there is nothing to learn
    signs = generator.integers(0, 2, (shadows, *array.shape[1:]), np.int8)
    if array.ndim > 2:  # not θ: in every other shadow all units of a layer move alike, as units that are copies do
        signs[1::2] = signs[1::2, ..., :1, :]
    factor = np.ones(array.shape)
    factor[1:] += (2 * scale) * signs - scale
    return array * factor


def _shifted(dx: Array, scale: float, generator: Generator) -> Array:
    """A mean over the batch was taken from every example: its rounding is common to all, and a sum over them does not lose it."""
    size = np.sqrt((dx * dx).mean(-1, keepdims=True))
    signs = generator.integers(0, 2, size.shape, np.int8) * 2 - 1
    signs[0] = 0
    return dx + (scale / np.sqrt(dx.shape[-1])) * signs * size
