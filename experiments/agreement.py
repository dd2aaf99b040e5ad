"""How well two implementations agree, in units of what rounding may do.

The bound is worked out, never a constant. A backward stable sum of k products is the exact result for inputs moved
relatively by about √k·u (Higham & Mary 2019; u the unit roundoff). So scratch is run again on parameters, inputs and
targets moved at random by that much ("shadows"), and what that does to a quantity is what rounding may do to it:

    bound = LIMIT · ( spread of the shadows + √k·u · size of the quantity )

``pointwise`` holds both against each other at the same parameters; ``trajectory`` after each has trained alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from scratch import training
from scratch.contract import Batch, Job, Snapshot
from scratch.layers import Array
from scratch.network import Parameters

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 4.0  # four standard deviations, as for every other statistical statement here
NUMBERS = 32  # a spread is estimated from at least so many: small layers need more shadows than wide ones
AMPLIFIED = 1e-10  # shadows move at least this much, so that their spread is not rounding itself; it is scaled back after


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
        return self.difference / self.bound if self.bound else (0.0 if self.difference == 0 else np.inf)


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
    examples = job.data.x.shape[-1] if job.batches is None else job.batches.shape[-1]
    return max(job.data.x.shape[-2], *job.network.widths, examples)


def shadow_count(job: Job) -> int:
    return max(2, -(-NUMBERS // min(job.network.widths)))


def pointwise(job: Job, ours: Snapshot, theirs: Snapshot, generator: Generator) -> list[Difference]:
    """Every layer's output, gradient at the output and parameter gradients, at the same parameters on the same data."""
    scale = np.sqrt(longest_sum(job)) * unit_roundoff(job.data.x.dtype)
    moved = max(scale, AMPLIFIED)
    exact = _widened(job)
    center = dict(_named(training.snapshot(exact)))
    count = shadow_count(job)
    shadows = [dict(_named(training.snapshot(_moved(exact, moved, generator)))) for _ in range(count)]
    found = []
    for (key, a), (_, b) in zip(_named(ours), _named(theirs), strict=True):
        spread = np.sqrt(sum(_norm(s[key] - center[key]) ** 2 for s in shadows) / count) * (scale / moved)
        longer = np.sqrt(max(1.0, job.network.widths[-1] * ours.outputs[-1].shape[-1] / longest_sum(job))) if key[1] == "loss" else 1.0  # it sums over everything
        found.append(_worst(0, *key, a, b, spread * longer, scale * longer))
    return found


def trajectory(job: Job, ours: Sequence[Snapshot], theirs: Sequence[Snapshot], generator: Generator) -> list[Difference]:
    """Each layer's parameters at every snapshot, each implementation having trained alone from the same start."""
    spreads, scale = _shadow_training(job, generator), np.sqrt(longest_sum(job)) * unit_roundoff(job.data.x.dtype)
    found = []
    for mine, other, spread in zip(ours, theirs, spreads, strict=True):
        for key, a in _parameters(mine.parameters, ""):
            b = other.parameters[key[0] - 1][key[1]]
            found.append(_worst(mine.step, *key, a, b, spread[key], scale))
    return found


def _shadow_training(job: Job, generator: Generator) -> Iterator[dict[tuple[int, str], Array]]:
    """At each snapshot, how far rounding may have carried every parameter: the root mean square of the shadows' distance.

    In every step a shadow sees its gradient at parameters moved by √k·u, and its update is rounded (moved by u).
    """
    assert job.batches is not None
    unit = unit_roundoff(job.data.x.dtype)
    scale = np.sqrt(longest_sum(job)) * unit
    larger = max(1.0, AMPLIFIED / scale)
    exact, network = _widened(job), job.network
    center = training.start(network, job.optimizer, exact.parameters)
    stacked = network.views(np.stack([center.theta] * shadow_count(job)))
    shadow = training.start(network, job.optimizer, stacked)
    for number, chosen in enumerate(job.batches):
        if number in job.snapshots:
            distance = dict(_parameters(network.views(shadow.theta - center.theta), ""))
            yield {key: np.sqrt((_norm(d) ** 2).mean(0)) / larger for key, d in distance.items()}
        batch = exact.data.columns(chosen)
        training.step(network, job.loss, job.optimizer, center, batch.x, batch.y)
        looked_at = network.views(_jitter(shadow.theta, scale * larger, generator))
        network.differentiate(job.loss, looked_at, shadow.gradients, batch.x, batch.y)
        job.optimizer.update(shadow.theta, shadow.gradient, shadow.memory)
        shadow.theta[...] = _jitter(shadow.theta, unit * larger, generator)


def _worst(step: int, layer: int, quantity: str, a: Array, b: Array, spread: Array, scale: float) -> Difference:
    """The network of the stack in which the difference is largest in units of its bound."""
    size, difference = _norm(a), _norm(a.astype(np.float64) - b)
    floor = np.finfo(a.dtype).smallest_subnormal * np.sqrt(a.shape[-2] * a.shape[-1])  # underflow is rounding too
    bound = LIMIT * (spread + scale * size + floor)
    ratio = np.where(np.isfinite(difference), difference / bound, np.inf).reshape(-1)
    k = int(ratio.argmax())
    one, whole = float(difference.reshape(-1)[k]), float(size.reshape(-1)[k])
    return Difference(step, layer, quantity, one, one / whole if whole else 0.0, float(bound.reshape(-1)[k]))


def _named(shot: Snapshot) -> Iterator[tuple[tuple[int, str], Array]]:
    """Everything in a snapshot under (layer counted from 1, quantity), as (…, rows, columns)."""
    yield (len(shot.outputs), "loss"), shot.loss[..., None, None]
    for k, (output, gradient) in enumerate(zip(shot.outputs, shot.output_gradients, strict=True), 1):
        yield (k, "output"), output
        yield (k, "gradient at output"), gradient
    yield from _parameters(shot.gradients, "gradient of ")


def _parameters(parameters: Parameters, prefix: str) -> Iterator[tuple[tuple[int, str], Array]]:
    for k, named in enumerate(parameters, 1):
        for name, array in named.items():
            yield (k, prefix + name), array


def _norm(array: Array) -> Array:
    """Frobenius norm over the last two axes, in float64, scaled against underflow."""
    wide = np.asarray(array, np.float64)
    top = np.abs(wide).max((-2, -1), keepdims=True)
    unit = np.divide(wide, top, out=np.zeros_like(wide), where=top > 0)
    return top[..., 0, 0] * np.sqrt((unit * unit).sum((-2, -1)))


def _widened(job: Job) -> Job:
    """The job in float64, its targets as the matrix that the loss multiplies."""
    classes = job.network.widths[-1]
    data = Batch(job.data.x.astype(np.float64), job.loss.targets(job.data.y, classes).astype(np.float64))
    wide = tuple({name: array.astype(np.float64) for name, array in named.items()} for named in job.parameters)
    return replace(job, parameters=wide, data=data, evaluate={})


def _moved(job: Job, scale: float, generator: Generator) -> Job:
    moved = tuple({name: _jitter(array, scale, generator) for name, array in named.items()} for named in job.parameters)
    return replace(job, parameters=moved, data=Batch(_jitter(job.data.x, scale, generator), _jitter(job.data.y, scale, generator)))


def _jitter(array: Array, scale: float, generator: Generator) -> Array:
    return array * (1 + scale * generator.standard_normal(array.shape))
