"""Cells about networks on data: unit variance layer by layer, inputs that nobody standardised, the scale of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from experiments import agreement
from experiments.catalog.initialization import laws
from experiments.catalog.initialization.shared import agreed, first_digits, hidden
from experiments.data import load
from experiments.experiment import Tables, backends
from experiments.randomness import batches, generator, stack
from scratch import activations, initializers, metrics
from scratch.activations import ReLU, Tanh
from scratch.contract import Batch, Job
from scratch.layers import Array, Dense, Layer
from scratch.losses import CrossEntropy
from scratch.network import Network, Parameters
from scratch.optimizers import SGD

TOLERANCE = 0.01
DEPTH = 6  # hidden layers of the networks whose variances are looked at
SHIFT, STRETCH = 5.0, 6.0  # the digits' pixels are about 5 ± 6 before they are standardised
BATCH = 60
GROWTH = 4.0  # a network has waited until its outputs are so many times what they were
WAIT_WIDTH, WAIT_RATE, WAIT_EVERY = 24, 0.4, 10


def unit_job(activation: str, width: int, seeds: int, data: str) -> Job:
    """Orthogonal weights, rescaled by LSUV; and, second in the stack, He's."""
    batch, classes = first_digits(data, 300)
    network = Network(
        (*hidden(activations.by_name()[activation](), (width,) * DEPTH, bias=True), Dense(classes)), len(batch.x)
    )
    drawn = stack(network, [initializers.orthogonal, initializers.he], seeds, "float64")
    first = tuple({name: array[0] for name, array in named.items()} for named in drawn)
    settled = initializers.lsuv(network, first, batch.x, tolerance=TOLERANCE)
    parameters = paired(settled, tuple({name: array[1] for name, array in named.items()} for named in drawn))
    return Job(network.layers, CrossEntropy(), parameters, batch)


def paired(*parameters: Parameters) -> Parameters:
    """Parameters of several networks on a new first axis."""
    return tuple(
        {name: np.stack([named[name] for named in layer]) for name in layer[0]}
        for layer in zip(*parameters, strict=True)
    )


def unit_variance(*, activation: str, width: int, seeds: int, data: str, device: str) -> Tables:
    """Var(Wx + b) of every Dense layer, and n·Var W by what the layer does: Var z over the mean square of its input."""
    job, rows = unit_job(activation, width, seeds, data), []
    for name, backend in backends(device).items():
        shot = backend.snapshot(job)
        outputs = [np.broadcast_to(job.data.x, (2, seeds, *job.data.x.shape)), *shot.outputs]
        for layer in range(DEPTH + 1):
            z, x = outputs[2 * layer + 1], outputs[2 * layer]
            variance, gain = z.var((-2, -1)), z.var((-2, -1)) / (x**2).mean((-2, -1))
            rows += [
                {"backend": name, "activation": activation, "layer": layer + 1, "scheme": scheme, "seed": seed,
                 "variance": variance[k, seed], "gain": gain[k, seed]}
                for k, scheme in enumerate(("lsuv", "he"))
                for seed in range(seeds)
            ]  # fmt: skip
    return {"unit": pd.DataFrame(rows)} | agreed("unit variance", activation, job, device)


def data_sizes(data: str) -> Array:
    """‖x‖² of the examples on which the variances are looked at."""
    return (first_digits(data, 300)[0].x ** 2).sum(0)


def raw_job(rate: float, seeds: int, steps: int, data: str) -> Job:
    """Tanh networks on inputs 5 + 6x: He's weights, and LSUV's from orthogonal ones; the same batches."""
    held = load(data)
    train, test = (Batch(SHIFT + STRETCH * part.x, part.y) for part in (held.train, held.test))
    network = Network((*hidden(Tanh(), (32,) * 5, bias=True), Dense(held.classes)), held.features)
    drawn = stack(network, [initializers.he, initializers.orthogonal], seeds, "float64")
    he, orthogonal = (tuple({name: a[k] for name, a in named.items()} for named in drawn) for k in (0, 1))
    settled = initializers.lsuv(network, orthogonal, train.x[:, :300], tolerance=TOLERANCE)
    order = np.repeat(batch_order(seeds, train.x.shape[1], steps)[:, None], 2, axis=1)
    looks = (0, steps // 2, steps)
    optimizer = SGD(rate, momentum=0.9)
    parameters = paired(he, settled)
    return Job(network.layers, CrossEntropy(), parameters, train, order, optimizer, looks, {"test": test})


def batch_order(seeds: int, examples: int, steps: int) -> Array:
    """Mini-batches (steps + 1, seeds, b)."""
    return np.stack([batches(seed, examples, min(BATCH, examples), steps + 1) for seed in range(seeds)], axis=1)


def not_standardised(*, rate: float, seeds: int, steps: int, data: str, device: str) -> Tables:
    """Loss on the test set along the way, and how far the two implementations drift apart over the first steps."""
    job, rows = raw_job(rate, seeds, steps, data), []
    assert isinstance(job.batches, np.ndarray)
    for name, backend in backends(device).items():
        for shot in backend.train(job):
            loss = CrossEntropy()(shot.scores["test"], job.evaluate["test"].y)[0]
            rows += [
                {"backend": name, "rate": rate, "step": shot.step, "scheme": scheme, "seed": seed, "loss": loss[k, seed]}
                for k, scheme in enumerate(("he", "lsuv"))
                for seed in range(seeds)
            ]  # fmt: skip
    short = replace(job, batches=job.batches[:11], snapshots=(0, 5, 10), evaluate={})
    ours, theirs = (list(backend.train(short)) for backend in backends(device).values())
    found = agreement.trajectory(short, ours, theirs, generator(0, "shadows"))
    return {
        "raw": pd.DataFrame(rows),
        "agreement": agreement.table(found, "trajectory", f"tanh on 5 + 6x, rate {rate:g}"),
    }


# --- the scale of the weights ------------------------------------------------------------------------------------------------


def relu_layers(width: int, depth: int, classes: int) -> tuple[Layer, ...]:
    """``depth`` weight layers without biases: f(sθ) = s^depth f(θ) for s > 0."""
    return (*hidden(ReLU(), (width,) * (depth - 1)), Dense(classes, bias=False))


def scaled(network: Network, scales: Sequence[float], seeds: int) -> Parameters:
    """He's weights times each of ``scales``, from the same draws."""
    schemes = [lambda g, shape, s=s: s * initializers.he(g, shape) for s in scales]
    return stack(network, schemes, seeds, "float64")


def scales(
    *, depth: int, scales: Sequence[float], seeds: int, steps: int, width: int, data: str, device: str
) -> Tables:
    """The first loss on the test set beside what homogeneity predicts of He's own outputs; the accuracy after ``steps``."""
    held = load(data)
    layers = relu_layers(width, depth, held.classes)
    parameters = scaled(Network(layers, held.features), scales, seeds)
    order = np.repeat(batch_order(seeds, held.train.x.shape[1], steps)[:, None], len(scales), axis=1)
    job = Job(layers, CrossEntropy(), parameters, held.train, order, SGD(0.05, momentum=0.9), (0, steps), {"test": held.test})  # fmt: skip
    rows, labels, he = [], held.test.y, list(scales).index(1.0)
    for name, backend in backends(device).items():
        with np.errstate(over="ignore", invalid="ignore"):  # weights that are too large diverge: that is the point
            first, last = (shot.scores["test"] for shot in backend.train(job))
        accuracy = metrics.accuracy(np.nan_to_num(last), labels)
        rows += [
            {"backend": name, "depth": depth, "scale": scale, "seed": seed, "accuracy": accuracy[k, seed],
             "loss": log_loss(first[k, seed], labels), "predicted": log_loss(scale**depth * first[he, seed], labels),
             "unscaled": log_loss(scale * first[he, seed], labels), "size": np.abs(first[k, seed]).max()}
            for k, scale in enumerate(scales)
            for seed in range(seeds)
        ]  # fmt: skip
    look = replace(job, data=first_digits(data, 60)[0], batches=None)
    return {"scales": pd.DataFrame(rows)} | agreed("scales", f"{depth} layers", look, device)


def log_loss(outputs: Array, labels: Array) -> float:
    """Cross-entropy of outputs (classes, m), written out here."""
    z = outputs - outputs.max(0)
    return float((np.log(np.exp(z).sum(0)) - z[labels, np.arange(len(labels))]).mean())


def waits(*, depth: int, scales: Sequence[float], seeds: int, steps: int, data: str, device: str) -> Tables:
    """From small weights: the steps until the outputs are four times as large, and how large they are then."""
    batch, classes = first_digits(data, 60)
    layers = relu_layers(WAIT_WIDTH, depth, classes)
    parameters = scaled(Network(layers, len(batch.x)), scales, seeds)
    order, looks = np.tile(np.arange(batch.x.shape[1]), (steps + 1, 1)), tuple(range(0, steps + 1, WAIT_EVERY))
    job, rows = Job(layers, CrossEntropy(), parameters, batch, order, SGD(WAIT_RATE), looks), []
    for name, backend in backends(device).items():
        sizes = np.array([np.abs(shot.outputs[-1]).max((-2, -1)) for shot in backend.train(job)])
        rows += [
            {"backend": name, "depth": depth, "scale": scale, "seed": seed, "largest": GROWTH * sizes[0, k, seed],
             "steps": laws.passing(looks, sizes[:, k, seed], GROWTH * sizes[0, k, seed])}
            for k, scale in enumerate(scales)
            for seed in range(seeds)
        ]  # fmt: skip
    return {"waits": pd.DataFrame(rows)} | agreed("waits", f"{depth} layers", job, device)
