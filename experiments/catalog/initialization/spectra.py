"""Cells about matrices and what passes through them: singular values of one layer, of products, three readings of one rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments import probes
from experiments.catalog.initialization.shared import agreed, drawn, hidden, joined, moments
from experiments.experiment import Tables, backends
from scratch import initializers
from scratch.activations import Identity, ReLU, Tanh
from scratch.contract import Batch, Job, Snapshot
from scratch.initializers import Scheme
from scratch.layers import Array, Dense

SHAPES = {  # the input's width first
    "funnel": (96, 64, 40, 24, 16, 10),
    "hourglass": (48, 24, 8, 8, 24, 48),
    "narrow": (3, 3, 3, 3, 3, 3),
}


def literal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """The notes' √(2/(n−1)) to the letter, n the width of the layer before. A layer with one input has none."""
    return generator.standard_normal(shape) * np.sqrt(2 / (shape[-1] - 1))


SCHEMES: dict[str, Scheme] = {"he": initializers.he, "literal": literal, "xavier": initializers.xavier}


def jacobian_job(n: int, scheme: str, draws: int) -> Job:
    """n columns of 0 into n tanh units, and the gradient of one unit each: what comes back is ∂a/∂x, transposed."""
    layers = (Identity(), Dense(n, bias=False), Tanh())
    data = Batch(np.zeros((n, n)), n * np.eye(n))  # the loss divides by its n columns
    return drawn(layers, data, initializers.by_name()[scheme], draws)


def singular_values(*, n: int, schemes: Sequence[str], draws: int, device: str) -> Tables:
    """The mean singular value of a tanh layer's Jacobian at 0, over ``draws`` layers of n units."""
    rows = []
    for scheme in schemes:
        job = jacobian_job(n, scheme, draws)
        for name, backend in backends(device).items():
            values = np.linalg.svd(backend.snapshot(job).output_gradients[0], compute_uv=False)
            rows.append({"backend": name, "n": n, "scheme": scheme} | moments(values.mean(-1)))
    return {"singular": pd.DataFrame(rows)} | agreed("singular values", f"{schemes[0]}, n = {n}", job, device)


def products(*, width: int, init: str, depth: int, draws: int, device: str) -> Tables:
    """Singular values of W_L … W_1 at every depth: the outputs of a linear network for the columns of the identity."""
    layers = tuple(Dense(width, bias=False) for _ in range(depth))
    data = Batch(np.eye(width), np.eye(width))
    job, rows = drawn(layers, data, initializers.by_name()[init], draws), []
    for name, backend in backends(device).items():
        for layer, product in enumerate(backend.snapshot(job).outputs, 1):
            logs = np.log(np.linalg.svd(product, compute_uv=False))
            common = {"backend": name, "init": init, "width": width, "depth": layer}
            rows += [common | {"index": k + 1} | moments(logs[:, k]) for k in range(width)]
            rows.append(common | {"index": 0} | moments(logs[:, 0] - logs[:, -1]))
            rows[-1]["farthest"] = float(np.abs(np.expm1(logs)).max())
    return {"products": pd.DataFrame(rows)} | agreed("products", f"{init}, width {width}", job, device)


def readings(*, shape: str, draws: int, device: str) -> Tables:
    """ReLU networks of unequal widths from the same draws, scaled by each reading of the notes' rule.

    "sizes": the mean over networks of ln(h̄²_l/h̄²_0); "ratios": the median over networks of ln of a signal's mean square over He's.
    """
    widths, found = SHAPES[shape], []
    data = Batch(np.linspace(0.5, 1.5, widths[0]).reshape(-1, 1), np.linspace(1.2, -0.7, widths[-1]).reshape(-1, 1))
    layers = hidden(ReLU(), widths[1:])
    jobs = {reading: drawn(layers, data, scheme, draws) for reading, scheme in SCHEMES.items()}
    for name, backend in backends(device).items():
        logs = {reading: log_sizes(job, backend.snapshot(job)) for reading, job in jobs.items()}
        alive = np.isfinite(logs["he"]["signal"][-1])
        for reading, held in logs.items():
            common = {"backend": name, "shape": shape, "reading": reading}
            for layer, values in enumerate(held["signal"], 1):
                found.append({"sizes": pd.DataFrame([common | {"layer": layer} | moments(values[alive])])})
            for signal, values in held.items():
                ratio = values[:, alive] - logs["he"][signal][:, alive]
                means = {"layer": range(1, len(ratio) + 1), "measured": np.median(ratio, axis=1)}
                found.append({"ratios": pd.DataFrame(common | {"signal": signal} | means)})
    return joined([*found, agreed("readings", f"{shape}, he", jobs["he"], device)])


def log_sizes(job: Job, shot: Snapshot) -> dict[str, Array]:
    """ln of the mean square, relative to the input's, of every ReLU layer's output (layers, draws), and of the gradient there."""
    with np.errstate(divide="ignore"):  # a dead network
        signal = 2 * np.log([probes.rms(h) / probes.rms(job.data.x) for h in shot.outputs[1::2]])
        gradient = 2 * np.log([probes.rms(g) / probes.rms(job.data.y) for g in shot.output_gradients[1::2]])
    return {"signal": signal, "gradient": gradient}
