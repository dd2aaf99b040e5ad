"""The smallest batches: one example has no variance, two are told apart by their order alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from experiments.catalog.batch_norm.common import UNITS, digits, layered, lively, single, spread
from experiments.experiment import Tables, backends
from scratch import initializers
from scratch.contract import Batch, Job
from scratch.errors import InvalidInput
from scratch.losses import CrossEntropy, SquaredError
from scratch.network import Network
from scratch.normalization import BatchNorm


def pairs(*, scales: list[float], seeds: int, device: str) -> Tables:
    """What batch norm makes of two examples, and what it lets through of the difference of their gradients, unit by unit.

    ``distance`` d of the two inputs, ``output`` (γ and β taken out, the sign of z₁ − z₂ too), ``passed``: σ times the input's
    gradient over half the difference of the output's. ``examples`` 3: the same two and another one, which is the control.
    """
    layers, norm = layered(BatchNorm()), BatchNorm()
    first, *rest = spread(lively(single(Network(layers, 64), initializers.lecun, seeds)), (len(scales),))
    scaled = {"W": np.array(scales)[:, None, None, None] * first["W"]}
    rows = []
    for examples in (2, 3):
        job = Job(layers, CrossEntropy(), (scaled, *rest), digits(examples))
        for name, backend in backends(device).items():
            shot = backend.snapshot(job)
            z, a, dz = shot.outputs[0], shot.outputs[1], shot.output_gradients[0]
            gamma, beta = (shot.parameters[1][k][..., 0] for k in ("gamma", "beta"))
            g = gamma[..., None] * shot.output_gradients[1]
            sign, deviation = np.sign(z[..., 0] - z[..., 1]), np.sqrt(z.var(-1) + norm.epsilon)
            half = (g[..., 0] - g[..., 1]) / 2
            reach = np.sqrt(64) * np.linalg.norm(scaled["W"], axis=-1) * np.linalg.norm(job.data.x, axis=0).max()
            found = {
                "distance": abs(z[..., 0] - z[..., 1]),
                "output": sign * (a[..., 0] - beta) / gamma,
                "output_size": (abs(a[..., 0]) + abs(beta)) / abs(gamma),
                "passed": deviation * dz[..., 0] / half,
                "gradient_size": abs(g).max(-1) / abs(half),
                "reach": reach,  # what rounding of z is in proportion to
            }
            axes = {"scale": scales, "seed": range(seeds), "unit": range(UNITS)}
            index = pd.MultiIndex.from_product(axes.values(), names=axes)
            flat = {k: np.broadcast_to(v, z.shape[:-1]).reshape(-1) for k, v in found.items()}
            rows.append(
                pd.DataFrame(flat, index).reset_index().assign(backend=name, examples=examples, epsilon=norm.epsilon)
            )
    return {"pairs": pd.concat(rows, ignore_index=True)}


def refusal(*, device: str) -> Tables:
    """Whether training on so few examples is refused, and in what words: by scratch, and by PyTorch's own module."""
    from torch import float64

    from torchref.conventions import device_of
    from torchref.conventions import rows as rows_of
    from torchref.normalization import twin

    norm, rows = BatchNorm(affine=False), []
    ours, where = backends(device)["scratch"], device_of(device, np.dtype(float))
    module = twin(norm, 3).to(where, float64)
    for examples in (1, 2):
        x = np.arange(3.0 * examples).reshape(3, examples)
        job = Job((norm,), SquaredError(), ({},), Batch(x, x))
        calls: dict[str, Callable[[], Any]] = {
            "scratch": partial(ours.snapshot, job),
            "torchref": partial(module, rows_of(x, where)),
        }
        for name, call in calls.items():
            said = refused(call)
            rows.append({"backend": name, "examples": examples, "refused": float(bool(said)), "message": said})
    return {"refusal": pd.DataFrame(rows)}


def refused(call: Callable[[], Any]) -> str:
    """In what words; nothing if it goes through."""
    try:
        call()
    except (InvalidInput, ValueError) as error:
        return str(error)
    return ""
