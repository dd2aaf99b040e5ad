"""Snapshots -> rows. A probe gives one number for each network of a stack: an array (…,)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from scratch.contract import Job, Snapshot
from scratch.layers import Array, Dense

if TYPE_CHECKING:
    import pandas as pd


def rms(array: Array) -> Array:
    """Root mean square over units and examples, (…,). Scaled first: squares of tiny gradients would underflow."""
    wide = np.asarray(array, np.float64)
    top = np.abs(wide).max((-2, -1), keepdims=True)
    unit = np.divide(wide, top, out=np.zeros_like(wide), where=top > 0)
    return top[..., 0, 0] * np.sqrt((unit * unit).mean((-2, -1)))


def signals(job: Job, shot: Snapshot) -> dict[str, Array]:
    """Size of the gradient at each Dense layer's pre-activation, of its activation, and of ∂J/∂W: each (layers, …)."""
    dense = [k for k, layer in enumerate(job.layers) if isinstance(layer, Dense)]
    after = [
        min(k + 1, len(job.layers) - 1) for k in dense
    ]  # the last Dense layer has no activation: its output is the network's
    return {
        "gradient": np.array([rms(shot.output_gradients[k]) for k in dense]),
        "activation": np.array([rms(shot.outputs[k]) for k in after]),
        "weight gradient": np.array([rms(shot.gradients[k]["W"]) for k in dense]),
    }


def rows(values: Array, axes: dict[str, Sequence[Any]], **fixed: Any) -> pd.DataFrame:
    """One row for each entry of ``values``, whose axes are named and labelled by ``axes``, with the ``fixed`` columns."""
    import pandas as pd

    labels = list(product(*axes.values()))
    frame = pd.DataFrame({name: [label[k] for label in labels] for k, name in enumerate(axes)})
    return frame.assign(**fixed, value=np.asarray(values, np.float64).reshape(-1))


def answered(output: Array, labels: Array) -> Array:
    """Share of examples whose largest output is their label's, (…,); a network that diverged counts NaN as the largest: it is at chance."""
    return (output.argmax(-2) == labels).mean(-1)
