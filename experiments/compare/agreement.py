"""How well two implementations agree, in units of what rounding may do.

The bound is worked out, never a constant. A backward stable sum of k products is the exact result for inputs moved
relatively by about √k·u (Higham & Mary 2019; u the unit roundoff). So scratch is run again with parameters, inputs,
targets and what passes between layers moved at random by that much ("replicas"), and what that does to a quantity is
what rounding may do to it:

    bound = LIMIT · ( spread of the replicas + √k·u · size of the quantity + what underflow may lose )

The replicas move by more than that (AMPLIFIED) and their spread is scaled back; as it is estimated from few numbers, it is
divided by what such an estimate rarely falls below.

``pointwise`` holds both against each other at the same parameters; ``trajectory`` after each has trained alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator
from scipy.special import gammaincinv

from experiments.compare.replicas import jitter, on_replica_axis, replicated
from scratch import training
from scratch.contract import Batch, Job, Snapshot
from scratch.layers import Array
from scratch.network import Parameters

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 4.0  # four standard deviations, as for every other statistical statement here
AMPLIFIED = (
    1e-10  # replicas move at least this much, so that their spread is not rounding itself; it is scaled back after
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


Key = tuple[int, str]  # layer, counted from 1, and quantity


class Rounding:
    """What rounding may do to every quantity of one look at a job."""

    def __init__(self, job: Job, generator: Generator) -> None:
        self.scale = np.sqrt(longest_sum(job)) * unit_roundoff(job.data.x.dtype)
        moved = max(self.scale, AMPLIFIED)
        replicas = training.snapshot(replicated(job, moved, generator))
        self.spreads = {key: _spread(a) * (self.scale / moved) for key, a in quantities(replicas)}
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
    spreads, scale = _replica_training(job, generator), np.sqrt(longest_sum(job)) * unit_roundoff(job.data.x.dtype)
    found = []
    for mine, other, spread in zip(ours, theirs, spreads, strict=True):
        if not (_finite(mine) or _finite(other)):
            break  # both have diverged: there is nothing left to compare
        for (key, a), (_, b) in zip(_trained(mine), _trained(other), strict=True):
            found.append(_worst(mine.step, *key, a, b, spread[key], scale))
    return found


def _replica_training(job: Job, generator: Generator) -> Iterator[dict[Key, Array]]:
    """At each snapshot, how far rounding may have carried every quantity: the root mean square of the replicas' distance.

    In every step a replica sees its gradient at parameters moved by √k·u; its step, and θ after it, are rounded (moved by u).
    """
    assert job.batches is not None
    unit = unit_roundoff(job.data.x.dtype)
    scale = np.sqrt(longest_sum(job)) * unit
    larger = max(1.0, AMPLIFIED / scale)
    copies = replace(replicated(job, scale * larger, generator), loss=job.loss)
    y = job.data.y if job.data.y.dtype.kind in "iu" else job.data.y.astype(np.float64)
    data = Batch(job.data.x.astype(np.float64), y)
    state = training.start(copies)
    state.theta[...] = state.theta[:1]  # all from the same start
    for number, chosen in enumerate(job.batches):
        before = {key: _spread(a) / larger for key, a in _named(state.parameters, "") + _named(state.buffers, "")}
        kept = state.theta.copy()
        state.theta[...] = jitter(kept, scale * larger, generator)
        training.differentiate(copies, state, on_replica_axis(job, data.columns(chosen), scale * larger, generator))
        state.theta[...] = kept
        if number in job.snapshots:
            last = len(job.layers), "loss"
            yield before | {last: _spread(state.loss[..., None, None]) / larger}
        training.advance(copies, state)
        taken = jitter(state.theta - kept, unit * larger, generator)  # all of θ, or almost, may cancel against it
        state.theta[...] = jitter(kept + taken, unit * larger, generator)


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


def _spread(replicas: Array) -> Array:
    """Root mean square distance (…,) of the replicas from the network itself, which comes first on the first axis."""
    numbers = (len(replicas) - 1) * replicas.shape[-1] * replicas.shape[-2]
    return np.sqrt((_norm(replicas[1:] - replicas[0]) ** 2).mean(0)) / least(numbers)


def least(numbers: int) -> float:
    """What a root mean square of so many normal numbers, of variance 1, falls below once in ten thousand times."""
    return float(np.sqrt(2 * gammaincinv(numbers / 2, 1e-4) / numbers))  # of a chi distribution
