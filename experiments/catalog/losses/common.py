"""What every cell of this experiment does: look at a loss alone, and keep the entry that lies farthest from its prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

import scratch as s
from experiments import agreement
from experiments.experiment import backends
from experiments.randomness import generator
from scratch.contract import Batch, Job, Snapshot
from scratch.layers import Array
from scratch.losses import Loss


def looked(loss: Loss, z: Array, y: Array, device: str) -> tuple[Job, dict[str, Snapshot]]:
    """What both backends say of a loss alone, at outputs z (…, k, m)."""
    job = Job((s.Identity(),), loss, ({},), Batch(z, y))
    return job, {name: backend.snapshot(job) for name, backend in backends(device).items()}


def worst(measured: Array, predicted: Array, error: Array, control: Array) -> dict[str, float]:
    """How far the entry lies off that is farthest from its prediction, in units of its error; the control is another prediction."""
    apart, other, unit = (
        np.reshape(a, -1) for a in np.broadcast_arrays(measured - predicted, measured - control, error)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        k = int(np.where(apart == 0, 0, np.abs(apart) / unit).argmax())
    return {"measured": apart[k], "predicted": 0.0, "standard_error": unit[k], "control_measured": other[k]}


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


def compared(job: Job, shots: dict[str, Snapshot], part: str, condition: str) -> pd.DataFrame:
    ours, theirs = shots.values()
    return agreement.table(agreement.pointwise(job, ours, theirs, generator(0, "shadows")), part, condition)
