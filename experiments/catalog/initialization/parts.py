"""What each kind of cell measures, on both backends: symmetry, and units born dead. ``spectra`` and ``learning`` have the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from experiments.catalog.initialization import laws, learning, spectra
from experiments.catalog.initialization.shared import agreed, drawn, first_digits, hidden
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch import initializers
from scratch.activations import ReLU, Tanh
from scratch.contract import Batch, Job, Snapshot
from scratch.layers import Array, Dense, Layer
from scratch.losses import CrossEntropy
from scratch.network import Network, Parameters
from scratch.optimizers import SGD

CONSTANT = 0.1  # every weight of the symmetric start
RATE = 0.2
EVERY = 10  # steps between looks
NARROW = (2, 10)  # width and hidden layers of the ReLU networks of which many are born dead
NARROW_RATE = 0.1


def symmetry_noise(units: int, features: int, classes: int) -> tuple[Array, Array]:
    """The direction in which the symmetric start is moved: in W (units, features), in V (classes, units)."""
    stream = generator(0, "perturbation")
    return stream.standard_normal((units, features)), stream.standard_normal((classes, units))


def symmetry_job(units: int, powers: Sequence[int], steps: int, data: str) -> Job:
    """A stack of tanh networks: constant weights, then moved by 10^−k of themselves for each of ``powers``, then random."""
    batch, classes = first_digits(data, 100)
    features = len(batch.x)
    noise_in, noise_out = symmetry_noise(units, features, classes)
    sizes = CONSTANT * np.array([0.0, *(10.0**-k for k in powers)])[:, None, None]
    layers = (Dense(units), Tanh(), Dense(classes))
    drawn = Network(layers, features).initialize(initializers.xavier, partial(generator, 0, "weights"))
    w = np.concatenate([CONSTANT + sizes * noise_in, drawn[0]["W"][None]])
    v = np.concatenate([CONSTANT + sizes * noise_out, drawn[2]["W"][None]])
    zeros = [np.zeros((len(w), n, 1)) for n in (units, classes)]
    parameters: Parameters = ({"W": w, "b": zeros[0]}, {}, {"W": v, "b": zeros[1]})
    order = np.tile(np.arange(batch.x.shape[1]), (steps + 1, 1))
    return Job(layers, CrossEntropy(), parameters, batch, order, SGD(RATE), tuple(range(0, steps + 1, EVERY)))


def symmetry(*, units: int, powers: Sequence[int], steps: int, data: str, device: str) -> Tables:
    """How far the hidden units of each start are apart, the second singular value of their weights, the loss."""
    job, starts = symmetry_job(units, powers, steps, data), ["constant", *(f"1e-{k}" for k in powers), "random"]
    rows = []
    for name, backend in backends(device).items():
        for shot in backend.train(job):
            w = shot.parameters[0]["W"]
            apart = np.sqrt(((w - w.mean(-2, keepdims=True)) ** 2).mean((-2, -1)))
            singular = np.linalg.svd(w, compute_uv=False)
            numbers = np.stack([apart, singular[:, 1] / singular[:, 0], shot.loss], axis=-1)
            rows += [(units, name, shot.step, start, *row) for start, row in zip(starts, numbers.tolist(), strict=True)]
    columns = ["units", "backend", "step", "start", "apart", "second", "loss"]
    random = tuple({name: array[-1:] for name, array in named.items()} for named in job.parameters)
    # of the others, bounds estimated from units that are all equal rest on a number or two
    compared = agreed("symmetry", f"{units} tanh units", replace(job, parameters=random), device)
    return {"symmetry": pd.DataFrame(rows, columns=columns)} | compared


def silenced_job(start: str, seeds: int, steps: int, data: str) -> Job:
    """Full-batch descent from all weights 0 (tanh), or from He's in networks so narrow that many are dead."""
    batch, classes = first_digits(data, 80)
    layers: tuple[Layer, ...] = (*hidden(Tanh(), (8, 8), bias=True), Dense(classes))
    scheme = initializers.zeros
    if start == "narrow":
        layers, scheme = (*hidden(ReLU(), (NARROW[0],) * NARROW[1], bias=True), Dense(classes)), initializers.he
    network = Network(layers, len(batch.x))
    parameters = network.initialize(scheme, partial(generator, 0, start), leading=(seeds,))
    order = np.tile(np.arange(batch.x.shape[1]), (steps + 1, 1))
    looks = tuple(range(0, steps + 1, max(1, steps // 4)))
    return Job(layers, CrossEntropy(), parameters, batch, order, SGD(NARROW_RATE), looks)


def silenced(*, start: str, seeds: int, steps: int, data: str, device: str) -> Tables:
    """Of each network: whether it is dead for all of the data, how far anything but the output's bias has moved, its loss."""
    job, rows = silenced_job(start, seeds, steps, data), []
    for name, backend in backends(device).items():
        shots = list(backend.train(job))
        silent = np.all(shots[0].outputs[-2] == 0, axis=(-2, -1))
        for shot in shots[1:]:
            moved = others_moved(shots[0], shot)
            found = zip(range(seeds), silent.tolist(), moved.tolist(), shot.loss.tolist(), strict=True)
            rows += [(start, name, shot.step, *row) for row in found]
    columns = ["start", "backend", "step", "seed", "silent", "moved", "loss"]
    return {"silenced": pd.DataFrame(rows, columns=columns)} | agreed("silenced", start, job, device)


def others_moved(before: Snapshot, after: Snapshot) -> Array:
    """The largest change (…,) of any parameter but the output layer's bias."""
    pairs = [
        abs(after.parameters[k][key] - array).max((-2, -1))
        for k, named in enumerate(before.parameters)
        for key, array in named.items()
        if (k, key) != (len(before.parameters) - 1, "b")
    ]
    return np.max(pairs, axis=0)


def dead_sets(*, width: int, depth: int, draws: int, device: str) -> Tables:
    """The share of ReLU networks (He, no bias) of one input that are dead for all numbers of both signs, and for those above 0.

    A network without biases does to every positive number what it does to 1: two inputs, 1 and −1, stand for all.
    """
    x = np.array([[1.0, -1.0]])
    job = drawn(hidden(ReLU(), (width,) * depth), Batch(x, np.ones((width, 2))), initializers.he, draws)
    rows = []
    for name, backend in backends(device).items():
        for layer, h in enumerate(backend.snapshot(job).outputs[1::2], 1):
            silent = np.all(h == 0, axis=-2)
            rows += [
                {"backend": name, "width": width, "depth": layer, "inputs": inputs, "count": draws, "measured": share.mean()}
                for inputs, share in (("both signs", silent.all(-1)), ("one sign", silent[..., 0]))
            ]  # fmt: skip
    return {"dead_sets": pd.DataFrame(rows)} | agreed("dead sets", f"width {width}", job, device)


def biased(*, width: int, depth: int, biases: Sequence[float], draws: int, device: str) -> Tables:
    """Every bias at b: the share of the layers reached by a signal that are switched off as a whole; what Φ gives for it."""
    x, rows = np.linspace(0.5, 1.5, width).reshape(-1, 1), []
    for bias in biases:
        layers = hidden(ReLU(), (width,) * depth, bias=True)
        job = drawn(layers, Batch(x, np.ones((width, 1))), initializers.he, draws, partial(full, value=bias))
        for name, backend in backends(device).items():
            outputs = backend.snapshot(job).outputs[1::2]
            norms = np.array([np.full(draws, np.linalg.norm(x)), *(np.linalg.norm(h, axis=(-2, -1)) for h in outputs)])
            reached = norms[:-1] > 0
            switched, chance = reached & (norms[1:] == 0), laws.off(bias, norms[:-1], width, width)
            count = int(reached.sum())
            rows.append(
                {"backend": name, "width": width, "depth": depth, "bias": bias, "count": count,
                 "measured": switched.sum() / count, "predicted": chance.sum() / count,
                 "standard_error": np.sqrt((chance * (1 - chance)).sum()) / count, "symmetric": 0.5**width}
            )  # fmt: skip
    return {"biased": pd.DataFrame(rows)} | agreed("biased", f"width {width}, b = {biases[-1]:g}", job, device)


def full(generator: np.random.Generator, shape: tuple[int, ...], *, value: float) -> Array:
    return np.full(shape, value)


PARTS: dict[str, Callable[..., Tables]] = {
    "symmetry": symmetry,
    "silenced": silenced,
    "dead sets": dead_sets,
    "biased": biased,
    "singular values": spectra.singular_values,
    "products": spectra.products,
    "readings": spectra.readings,
    "unit variance": learning.unit_variance,
    "not standardised": learning.not_standardised,
    "scales": learning.scales,
    "waits": learning.waits,
}
