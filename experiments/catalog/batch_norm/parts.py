"""What is measured of one layer: each function is one kind of cell and gives rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from experiments import data, probes, randomness
from experiments.catalog.batch_norm import networks, pairs, rates
from experiments.catalog.batch_norm.common import (
    BATCH,
    POPULATION,
    TINY,
    UNITS,
    closeness,
    digits,
    layered,
    lively,
    members,
    norms,
    single,
    spread,
)
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch import initializers
from scratch.contract import Batch, Job
from scratch.layers import Array
from scratch.losses import CrossEntropy, SquaredError
from scratch.network import Network, Parameters
from scratch.normalization import BatchNorm, LayerNorm
from scratch.optimizers import SGD

FOLLOWED = (1, 2, 3, 5, 8, 12, 20, 35, 60)  # batches after which running statistics are looked at


def moments(*, layer: str, scales: list[float], seeds: int, device: str) -> Tables:
    """Mean and variance of every unit over a batch of digits, before the normalization layer and after it."""
    norm = BatchNorm() if layer == "batch" else LayerNorm()
    layers = layered(norm, bias=True)
    network, batch = Network(layers, 64), digits(BATCH)
    first, *rest = spread(lively(single(network, initializers.lecun, seeds)), (len(scales),))
    shift = generator(0, "shift").standard_normal((UNITS, 1))
    factors = np.array(scales)[:, None, None, None]
    scaled = {"W": factors * first["W"], "b": factors * (first["b"] + shift)}
    job, rows = Job(layers, CrossEntropy(), (scaled, *rest), batch), []
    for name, backend in backends(device).items():
        shot = backend.snapshot(job)
        before, after = shot.outputs[0], shot.outputs[1]
        axes = {"scale": scales, "seed": range(seeds), "unit": range(UNITS)}
        frame = probes.rows(before.mean(-1), axes, backend=name, layer=layer).rename(columns={"value": "mean_before"})
        found = {"variance_before": before.var(-1), "mean": after.mean(-1), "variance": after.var(-1)}
        given = {k: np.broadcast_to(shot.parameters[1][k][..., 0], before.shape[:-1]) for k in ("gamma", "beta")}
        rows.append(frame.assign(epsilon=norm.epsilon, **{k: a.reshape(-1) for k, a in (found | given).items()}))
    held = closeness(job, "moments", f"{layer} norm", device)
    return {"units": pd.concat(rows, ignore_index=True), "agreement": held}


def algebra(*, stretches: list[float], seeds: int, device: str) -> Tables:
    """Three identities, the unit farthest off for each network; ``control``: the same without batch norm, or with a term missing.

    ``error`` is in units of the roundoff u: √(n + m) for the sums, times the sizes of what cancels.
    """
    batch, random, rows, held = digits(BATCH), np.sqrt(64 + BATCH), [], None
    for name, backend in backends(device).items():
        shots: dict[tuple[str, float], dict[str, Array]] = {}
        raw: dict[tuple[str, float], Array] = {}
        for norm, a in [(norm, a) for norm in ("batch", "none") for a in (1.0, *stretches)]:
            layers = layered(BatchNorm(TINY) if norm == "batch" else None)
            first, *rest = lively(single(Network(layers, 64), initializers.lecun, seeds))
            job = Job(layers, CrossEntropy(), ({"W": a * first["W"]}, *rest), batch)
            if norm == "batch" and a == 1:
                held = closeness(members(job, slice(2)), "algebra", "64-20-10 tanh, digits", device)
            shot = backend.snapshot(job)
            shots[norm, a], raw[norm, a] = norms(batch.x, shot), shot.gradients[0]["W"]
        for a in (1.0, *stretches):
            mine, plain = shots["batch", a], shots["none", a]
            found = {"orthogonal": (mine["cosine"], random * mine["size"] / (mine["w"] * mine["dw"]), plain["cosine"])}
            if a != 1:
                apart = {n: np.linalg.norm(a * raw[n, a] - raw[n, 1.0], axis=-1) for n in ("batch", "none")}
                size = {n: shots[n, 1.0]["dw"] for n in ("batch", "none")}
                reach = random * (mine["reach"] * a + shots["batch", 1.0]["reach"])
                found["stretch"] = (apart["batch"] / size["batch"], reach / size["batch"], apart["none"] / size["none"])
            taken = [
                (mine["g"] ** 2).sum(-1),
                mine["g"].sum(-1) ** 2 / BATCH,
                (mine["g"] * mine["z"]).sum(-1) ** 2 / BATCH,
            ]
            share = mine["gradient"] ** 2 / mine["slope"] ** 2
            law = (taken[0] - taken[1] - taken[2]) / taken[0]
            loose = share - (taken[0] - taken[1]) / taken[0]
            found["projection"] = (share - law, 4 * np.sqrt(BATCH) * mine["tension"], loose)
            for identity, (value, error, control) in found.items():
                rows += worst(value, error, control, backend=name, identity=identity, stretch=a)
    assert held is not None
    return {"algebra": pd.DataFrame(rows), "agreement": held}


def worst(value: Array, error: Array, control: Array, **named: Any) -> list[dict[str, Any]]:
    """One row a network: the unit that lies farthest off for its error."""
    chosen = (abs(value) / error).argmax(-1)[:, None]
    picked = (np.take_along_axis(a, chosen, -1)[:, 0].tolist() for a in (value, error, control))
    return [
        {**named, "seed": s, "value": v, "error": e, "control": c}
        for s, (v, e, c) in enumerate(zip(*picked, strict=True))
    ]


def growth(*, rate: float, steps: int, seeds: int, device: str) -> Tables:
    """‖W‖² step by step under gradient descent, and what it was at first plus η² times all squared gradients since.

    ``error`` in units of u: what rounding may have done to w·∂L/∂w in every step, times 2η, and to W itself.
    """
    held, rows = data.load("digits").train, []
    batches = randomness.batches(0, held.x.shape[1], BATCH, steps + 1)
    for norm, name in [(norm, name) for norm in ("batch", "none") for name in backends(device)]:
        layers = layered(BatchNorm(TINY) if norm == "batch" else None)
        parameters = lively(single(Network(layers, 64), initializers.lecun, seeds))
        job = Job(layers, CrossEntropy(), parameters, held, batches, SGD(rate), tuple(range(steps + 1)))
        law, added, error = np.zeros((3, seeds))
        for shot in backends(device)[name].train(job):
            found = norms(held.x[:, batches[shot.step]], shot)
            square = (found["w"] ** 2).sum(-1)
            error = error + square
            law = square if shot.step == 0 else law + added
            columns = {"value": square, "predicted": law, "error": error}
            named = {"backend": name, "norm": norm, "rate": rate, "step": shot.step, "seed": range(seeds)}
            rows.append(pd.DataFrame(named | columns))
            added = rate**2 * (found["dw"] ** 2).sum(-1)
            error = error + 2 * rate * np.sqrt(64 + BATCH) * found["size"].sum(-1)
    return {"growth": pd.concat(rows, ignore_index=True)}


# --- after training --------------------------------------------------------------------------------------------------------


def running(*, batch: int, units: int, device: str) -> Tables:
    """Running statistics of Gaussian numbers: mean and variance over independent units, after some numbers of batches."""
    steps, (mean, variance) = max(FOLLOWED), POPULATION
    x = mean + np.sqrt(variance) * generator(0, "numbers", batch).standard_normal((units, (steps + 1) * batch))
    order = np.arange(x.shape[1]).reshape(steps + 1, batch)
    norm = BatchNorm(affine=False)
    job, rows = Job((norm,), SquaredError(), ({},), Batch(x, np.zeros_like(x)), order, SGD(), FOLLOWED), []
    for name, backend in backends(device).items():
        for shot in backend.train(job):
            for statistic in ("mean", "variance"):
                held = shot.buffers[0][statistic][:, 0]
                named = {"backend": name, "batch": batch, "step": shot.step, "statistic": statistic, "units": units}
                rows.append({**named, "momentum": norm.momentum, "average": held.mean(), "spread": held.var(ddof=1)})
    return {"running": pd.DataFrame(rows)}


def gap(*, batch: int, units: int, device: str) -> Tables:
    """Mean square difference of the output in training and after it, the running statistics being the population's."""
    mean, variance = POPULATION
    x = mean + np.sqrt(variance) * generator(1, "numbers", batch).standard_normal((units, batch))
    buffers: Parameters = (
        {"mean": np.full((units, 1), mean), "variance": np.full((units, 1), variance), "batches": np.ones((1, 1))},
    )
    norm, rows = BatchNorm(TINY, affine=False), []
    for name, backend in backends(device).items():
        job = Job((norm,), SquaredError(), ({},), Batch(x, np.zeros_like(x)), buffers=buffers)
        training, after = (backend.snapshot(replace(job, layers=(kind,))) for kind in (norm, norm.inference()))
        square = ((training.outputs[0] - after.outputs[0]) ** 2).mean(-1)
        rows.append(
            {"backend": name, "batch": batch, "measured": square.mean(), "standard_error": square.std(ddof=1) / np.sqrt(units),
             "dof": units - 1}
        )  # fmt: skip
    return {"gap": pd.DataFrame(rows)}


PARTS: dict[str, Callable[..., Tables]] = {
    "moments": moments,
    "pairs": pairs.pairs,
    "refusal": pairs.refusal,
    "algebra": algebra,
    "growth": growth,
    "limited": rates.limited,
    "tuned": rates.tuned,
    "threshold": rates.threshold,
    "span": rates.span,
    "explosion": networks.explosion,
    "running": running,
    "gap": gap,
    "race": networks.race,
    "trajectory": networks.trajectory,
}
