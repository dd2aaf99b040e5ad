"""What is learned from a wrong answer: the signal of one unit and of random starts, the time it takes, and real networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

import scratch as s
from experiments import agreement, probes
from experiments.catalog.losses.common import compared, joined
from experiments.catalog.losses.formulas import Literal
from experiments.catalog.losses.laws import needed
from experiments.data import Dataset, load
from experiments.experiment import Tables, backends
from experiments.randomness import batches, generator, stack
from scratch import metrics
from scratch.contract import Batch, Job
from scratch.initializers import lecun
from scratch.layers import Array, Layer
from scratch.losses import Loss, indicator
from scratch.network import Network, Parameters

BATCH, HIDDEN = 60, 16
RATE = 0.1
BINARY: dict[str, tuple[Loss, tuple[Layer, ...]]] = {
    "cross-entropy": (s.BinaryCrossEntropy(), ()),
    "squared error": (s.SquaredError(), (s.Sigmoid(),)),
}
MULTI: dict[str, tuple[Loss, tuple[Layer, ...]]] = {
    "cross-entropy": (s.CrossEntropy(), ()),
    "squared error": (s.SquaredError(), (s.Softmax(),)),
}


def signal(*, device: str) -> Tables:
    """∂J/∂z of a sigmoid unit whose answer should be 1, over z."""
    z, rows, agreed = np.linspace(-20, 10, 121)[:, None, None], [], []
    for name, (loss, last) in BINARY.items():
        job = Job((s.Identity(), *last), loss, ({},) * (1 + len(last)), Batch(z, np.ones_like(z)))
        shots = {backend: side.snapshot(job) for backend, side in backends(device).items()}
        agreed.append(compared(job, shots, "signal", name))
        for backend, shot in shots.items():
            slopes = shot.output_gradients[0]
            rows.append(
                pd.DataFrame({"loss": name, "backend": backend, "z": z.reshape(-1), "measured": slopes.reshape(-1)})
            )
    return {"signal": joined(rows), "agreement": joined(agreed)}


def random_starts(*, scales: Sequence[float], seeds: int, device: str) -> Tables:
    """Logistic regression on breast_cancer, W ~ N(0, scale²/n): the mean square over the examples of n·∂J/∂z, for every start."""
    held = load("breast_cancer")
    y, m, rows = _answers(held), held.train.x.shape[1], []
    for scale in scales:
        weights = (
            generator(0, "starts", str(scale)).standard_normal((seeds, 1, held.features))
            * scale
            / np.sqrt(held.features)
        )
        for name, (loss, last) in BINARY.items():
            start: Parameters = ({"W": weights}, *({} for _ in last))
            job = Job((s.Dense(1, bias=False), *last), loss, start, Batch(held.train.x, y))
            for backend, side in backends(device).items():
                squares = ((m * side.snapshot(job).output_gradients[0]) ** 2).mean((-2, -1))
                rows.append(probes.rows(squares, {"seed": range(seeds)}, loss=name, backend=backend, scale=scale))
    return {"starts": joined(rows)}


def escape(*, wrong: Sequence[float], rate: float, device: str) -> Tables:
    """Single sigmoid units that should answer 1 and start at z = −s: z after as many steps as they need to come to 0."""
    rows, agreed = [], []
    for name, (loss, last) in BINARY.items():
        steps = [max(1, round(needed(name, far) / rate)) for far in wrong]
        bias = -np.array(wrong, float)[:, None, None]
        start: Parameters = ({"W": np.zeros_like(bias), "b": bias}, *({} for _ in last))
        still = Batch(np.zeros((1, 1)), np.ones((1, 1)))
        order = np.zeros((max(steps) + 1, 1), int)
        job = Job((s.Dense(1), *last), loss, start, still, order, s.SGD(rate), tuple(sorted(set(steps))))
        for backend, side in backends(device).items():
            seen = {shot.step: shot.parameters[0]["b"].reshape(-1) for shot in side.train(job)}
            rows += [{"loss": name, "backend": backend, "wrong": far, "steps": count, "z": seen[count][k]}
                     for k, (far, count) in enumerate(zip(wrong, steps, strict=True))]  # fmt: skip
        shots = {
            backend: side.snapshot(replace(job, batches=None, snapshots=(0,)))
            for backend, side in backends(device).items()
        }
        agreed.append(compared(job, shots, "escape", name))
    return {"escape": pd.DataFrame(rows), "agreement": joined(agreed)}


def training(*, on: str, seeds: int, steps: int, saturation: float, device: str) -> Tables:
    """Loss functions side by side from the same starts on the same batches: accuracy on the training and the test set.

    The stack is (start, seed). Squared error has the rate at which both begin equally fast where no class is preferred:
    its gradient at z is 2(a−y)a(1−a) = (a−y)/2 there, and 2(p−y)/K² with softmax over K classes.
    """
    held = load(on)
    rows, agreed = [], []
    for name, job in jobs(held, seeds, steps, saturation):
        answers = {part: batch.y for part, batch in job.evaluate.items()}
        axes = {"part": list(answers), "step": job.snapshots, "start": ["plain", "saturated"], "seed": range(seeds)}
        ran = {backend: list(side.train(job)) for backend, side in backends(device).items()}
        for backend, shots in ran.items():
            shares = [[right(name, shot.scores[part], y) for shot in shots] for part, y in answers.items()]
            rows.append(probes.rows(np.array(shares), axes, on=on, loss=name, backend=backend))
        agreed.append(_agreement(job, name, on, device))
    return {"training": joined(rows), "agreement": joined(agreed)}


def jobs(held: Dataset, seeds: int, steps: int, saturation: float) -> Iterator[tuple[str, Job]]:
    """One job for each loss."""
    binary, m = held.classes == 2, held.train.x.shape[1]
    outputs = 1 if binary else held.classes
    order = np.stack([batches(seed, m, min(BATCH, m), steps + 1) for seed in range(seeds)], axis=1)
    order = np.repeat(order[:, None], 2, axis=1)
    body = (s.Dense(HIDDEN), s.Tanh(), s.Dense(outputs))
    start = _starts(Network(body, held.features), seeds, saturation)
    parts = max(1, min(15, steps // 4))
    looks = tuple(sorted({round(steps * k / parts) for k in range(parts + 1)}))
    faster = {"cross-entropy": 1.0, "squared error": 2.0 if binary else held.classes**2 / 2, "read literally": 5.0}
    losses = BINARY | {"read literally": (Literal(), ())} if binary else MULTI
    y = _answers(held) if binary else indicator(held.train.y, outputs).astype(float)
    for name, (loss, last) in losses.items():
        whole: Parameters = (*start, *({} for _ in last))
        evaluate = {"training": held.train, "test": held.test}
        data, optimizer = Batch(held.train.x, y), s.SGD(RATE * faster[name])
        yield name, Job((*body, *last), loss, whole, data, order, optimizer, looks, evaluate)


def _starts(network: Network, seeds: int, saturation: float) -> Parameters:
    """LeCun's weights for every seed, and the same with larger output weights: (2, seeds)."""
    parameters = stack(network, [lecun, lecun], seeds, "float64")
    parameters[-1]["W"][1] *= saturation
    return parameters


def _answers(held: Dataset) -> Array:
    return held.train.y[None].astype(float)


def right(loss: str, output: Array, labels: Array) -> Array:
    """Share of examples answered rightly, (…,): a logit is held against 0, a probability against ½."""
    if output.shape[-2] > 1:
        return metrics.accuracy(output, labels)
    return ((output[..., 0, :] > (0.5 if loss == "squared error" else 0)) == labels).mean(-1)


def _agreement(job: Job, name: str, data: str, device: str) -> pd.DataFrame:
    """The first seed of both starts, at the start and while each implementation trains alone for a few steps."""
    assert isinstance(job.batches, np.ndarray)
    few = tuple({k: a[:, :1] for k, a in named.items()} for named in job.parameters)
    steps = min(10, len(job.batches) - 1)
    small = replace(job, parameters=few, batches=job.batches[: steps + 1, :, :1], snapshots=(0, steps), evaluate={})
    still = replace(small, batches=None, snapshots=(0,))
    sides = backends(device)
    at = {backend: side.snapshot(still) for backend, side in sides.items()}
    ours, theirs = (list(side.train(small)) for side in sides.values())
    found = agreement.trajectory(small, ours, theirs, generator(0, "shadows"))
    condition = f"{data}, {name}"
    return joined([compared(still, at, "training", condition), agreement.table(found, "trajectory", condition)])
