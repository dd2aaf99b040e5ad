"""What is measured: each function is one kind of cell and gives rows. Shapes: S networks, o units, n inputs, m examples."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from experiments import agreement, data, probes, randomness
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch import initializers, metrics
from scratch.activations import ReLU, Sigmoid, Tanh
from scratch.contract import Batch, Job, Snapshot
from scratch.layers import Array, Dense, Layer
from scratch.losses import CrossEntropy, SquaredError
from scratch.network import Network, Parameters
from scratch.normalization import BatchNorm, LayerNorm
from scratch.optimizers import SGD

BATCH = 60  # Ioffe & Szegedy's
UNITS = 20  # in the layer whose moments and gradients are looked at
TINY = 1e-30  # an ε that is nothing beside any variance here
FOLLOWED = (1, 2, 3, 5, 8, 12, 20, 35, 60)  # batches after which running statistics are looked at
POPULATION = (3.0, 4.0)  # mean and variance of the numbers that they are fed
FAR = 1e3  # targets so far off that the gradient at the output is what they are, drawn independently of the network
LEARNING_RATE, WEIGHT = 0.1, 0.1  # of the race; the standard deviation of its first weights
HIDDEN, LAYERS = 100, 3
PERCENTILES = (15, 50, 85)


def single(network: Network, scheme: initializers.Scheme, seeds: int) -> Parameters:
    """A stack over seeds alone."""
    held = randomness.stack(network, [scheme], seeds, "float64")
    return tuple({name: array[0] for name, array in named.items()} for named in held)


def closeness(job: Job, part: str, condition: str, device: str) -> pd.DataFrame:
    """Both implementations on the job, held against each other number by number."""
    ours, theirs = (backend.snapshot(job) for backend in backends(device).values())
    return agreement.table(agreement.pointwise(job, ours, theirs, generator(0, "shadows")), part, condition)


def members(job: Job, chosen: slice) -> Job:
    """Some networks of a stack with one axis."""
    return replace(job, parameters=tuple({name: a[chosen] for name, a in p.items()} for p in job.parameters))


def digits(examples: int) -> Batch:
    return data.load("digits").train.columns(np.arange(examples))


# --- one layer, exactly ----------------------------------------------------------------------------------------------------


def layered(norm: Layer | None, bias: bool = False) -> tuple[Layer, ...]:
    between = () if norm is None else (norm,)
    return Dense(UNITS, bias), *between, Tanh(), Dense(10)


def lively(parameters: Parameters) -> Parameters:
    """γ and β drawn instead of 1 and 0, whatever the seed: an identity is to hold for any."""
    random = generator(0, "affine")
    drawn = {"gamma": random.normal(1, 0.5, (UNITS, 1)), "beta": random.normal(0, 1, (UNITS, 1))}
    return tuple({k: a * 0 + drawn[k] if k in drawn else a for k, a in p.items()} for p in parameters)


def moments(*, layer: str, scales: list[float], seeds: int, device: str) -> Tables:
    """Mean and variance of every unit over a batch of digits, before the normalization layer and after it."""
    norm = BatchNorm() if layer == "batch" else LayerNorm()
    layers = layered(norm, bias=True)
    network, batch = Network(layers, 64), digits(BATCH)
    first, *rest = lively(single(network, initializers.lecun, seeds))
    shift = generator(0, "shift").standard_normal((UNITS, 1))
    factors = np.array(scales)[:, None, None, None]
    wide = {name: np.broadcast_to(a, (len(scales), *a.shape)).copy() for named in rest for name, a in named.items()}
    scaled = {"W": factors * first["W"], "b": factors * (first["b"] + shift)}
    others = tuple({name: wide[name] for name in named} for named in rest[:-1])
    last = {name: np.broadcast_to(a, (len(scales), *a.shape)).copy() for name, a in rest[-1].items()}
    job, rows = Job(layers, CrossEntropy(), (scaled, *others, last), batch), []
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


def norms(x: Array, shot: Snapshot) -> dict[str, Array]:
    """What the identities speak of, unit by unit (S, o): z before batch norm, g the gradient after it, times γ.

    ``size`` and ``tension`` are what rounding is in proportion to: of w·∂L/∂w, and of z's own error against its deviation.
    """
    z, dz, w, dw = shot.outputs[0], shot.output_gradients[0], shot.parameters[0]["W"], shot.gradients[0]["W"]
    normed = "gamma" in shot.parameters[1]
    deviation = z.std(-1) if normed else np.ones(z.shape[:-1])
    g = shot.output_gradients[1] * shot.parameters[1]["gamma"] if normed else dz
    length = partial(np.linalg.norm, axis=-1)
    tension = 1 + length(z) / (np.sqrt(z.shape[-1]) * deviation)
    inside = length(g) / deviation * tension
    return {
        "z": (z - z.mean(-1, keepdims=True)) / deviation[..., None],
        "g": g,
        "slope": length(g) / deviation,
        "gradient": length(dz),
        "product": (w * dw).sum(-1),
        "cosine": (w * dw).sum(-1) / np.maximum(length(w) * length(dw), TINY),
        "size": length(z) * inside + length(w) * length(dw),
        "tension": tension,
        "reach": np.linalg.norm(x) * inside,
        "w": length(w),
        "dw": length(dw),
    }


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


# --- many layers, at the start ---------------------------------------------------------------------------------------------


def deep(kind: str, norm: str, width: int, depth: int) -> tuple[Layer, ...]:
    """Depth times: weights, batch norm, ReLU; the last two only where they are asked for."""
    block: list[Layer] = [Dense(width, bias=False)]
    block += [BatchNorm(TINY, affine=False)] * (norm == "batch") + [ReLU()] * (kind == "relu")
    return tuple(block * depth)


def drawn(kind: str, norm: str, batch: int, width: int, depth: int, seed: int) -> Job:
    """One network at its start; the same weights for all batch sizes, with and without batch norm."""
    layers = deep(kind, norm, width, depth)
    scheme = initializers.he if kind == "relu" else initializers.lecun  # which keep gradients without batch norm
    random, draw = generator(seed, "weights", kind, width), generator(seed, "examples", batch, width)
    parameters: Parameters = tuple(
        {"W": scheme(random, (width, width))} if isinstance(layer, Dense) else {} for layer in layers
    )
    data = Batch(draw.standard_normal((width, batch)), FAR * draw.standard_normal((width, batch)))
    return Job(layers, SquaredError(), parameters, data)


def explosion(*, kind: str, width: int, batches: list[int], depth: int, draws: int, device: str) -> Tables:
    """log ‖∂J/∂h‖² at the end of every layer; between the first and the last but one of them each step is like the next."""
    rows, held = [], []
    for norm, batch, seed in [(norm, b, s) for norm in ("batch", "none") for b in batches for s in range(draws)]:
        job = drawn(kind, norm, batch, width, depth, seed)
        ends = range(len(job.layers) // depth - 1, len(job.layers), len(job.layers) // depth)
        for name, backend in backends(device).items():
            shot = backend.snapshot(job)
            logs = [2 * np.log(np.linalg.norm(shot.output_gradients[k])) for k in ends]
            named = {"backend": name, "kind": kind, "norm": norm, "batch": batch, "width": width, "seed": seed}
            rows.append(pd.DataFrame({**named, "layer": range(1, depth + 1), "value": logs}))
    small = drawn(kind, "batch", batches[0], min(width, 64), depth, 0)
    held.append(closeness(small, "explosion", f"{kind}, batch norm, {depth} layers", device))
    return {"measurements": pd.concat(rows, ignore_index=True), "agreement": pd.concat(held, ignore_index=True)}


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


# --- Ioffe & Szegedy's first figure ----------------------------------------------------------------------------------------


def classifier(norm: str, width: int = HIDDEN) -> tuple[Layer, ...]:
    between = (BatchNorm(),) if norm == "batch" else ()
    return (*(Dense(width), *between, Sigmoid()) * LAYERS, Dense(10))


def racing(norm: str, steps: int, seeds: int, width: int = HIDDEN) -> Job:
    """Networks that learn the digits: the same weights and batches with batch norm and without."""
    held, layers = data.load("digits"), classifier(norm, width)
    examples = held.train.x.shape[1]
    order = np.stack([randomness.batches(seed, examples, BATCH, steps + 1) for seed in range(seeds)], axis=1)
    scheme = partial(initializers.normal, std=WEIGHT)
    parameters = single(Network(layers, held.features), scheme, seeds)
    return Job(
        layers, CrossEntropy(), parameters, held.train, order, SGD(LEARNING_RATE), looks(steps), {"test": held.test}
    )


def looks(steps: int) -> tuple[int, ...]:
    """Every tenth step up to 200, and 25 at equal distances."""
    return tuple(sorted({*range(0, min(200, steps) + 1, 10), *evenly(steps)}))


def evenly(steps: int) -> tuple[int, ...]:
    return tuple(sorted({steps * k // 25 for k in range(26)}))


def race(*, norm: str, backend: str, steps: int, seeds: int, device: str) -> Tables:
    """Test accuracy, and percentiles over the test digits of what goes into each sigmoid of the last hidden layer.

    The drift of a unit: how much the median moves while it trains (standard deviation over equally distant steps) in units of
    the distribution's mean width (85th less 15th percentile). The mean of that over the units is reported, and one unit as a whole.
    """
    job, rows, inputs, seen = racing(norm, steps, seeds), [], [], []
    ours, test = backends(device)[backend], job.evaluate["test"]
    named = {"backend": backend, "norm": norm}
    for shot in ours.train(job):
        right = metrics.accuracy(shot.scores["test"], test.y)
        rows.append(probes.rows(right, {"seed": range(seeds)}, step=shot.step, **named))
        settled = Job(job.network.inference.layers, job.loss, shot.parameters, test, buffers=shot.buffers)
        spread = np.percentile(ours.snapshot(settled).outputs[-3], PERCENTILES, axis=-1)  # (3, S, o)
        inputs.append(probes.rows(spread[:, 0, 0], {"percentile": PERCENTILES}, step=shot.step, **named))
        seen += [spread] * (shot.step in evenly(steps))
    low, median, high = np.stack(seen, axis=1)
    drift = (median.std(0) / (high - low).mean(0)).mean(-1)
    moved = probes.rows(drift, {"seed": range(seeds)}, **named)
    return {
        "accuracy": pd.concat(rows, ignore_index=True),
        "inputs": pd.concat(inputs, ignore_index=True),
        "drift": moved,
    }


def trajectory(*, device: str) -> Tables:
    """Both implementations trained alone, step by step side by side: parameters and running statistics."""
    job = replace(racing("batch", 40, 2, 20), snapshots=tuple(range(0, 41, 8)), evaluate={})
    ours, theirs = (list(backend.train(job)) for backend in backends(device).values())
    found = agreement.trajectory(job, ours, theirs, generator(0, "shadows"))
    return {"agreement": agreement.table(found, "trajectory", "64-20-20-20-10 sigmoid, batch norm")}
