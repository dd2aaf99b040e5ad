"""What each kind of cell of this experiment measures, on both backends; this file: identities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import one_hot

import scratch as s
from experiments.catalog.losses.common import compared, joined, looked, worst
from experiments.catalog.losses.formulas import Literal, binary_exact, cross_exact, naive_softmax
from experiments.catalog.losses.rounding import stability
from experiments.catalog.losses.saturation import escape, random_starts, signal, training
from experiments.data import load
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch.contract import Batch, Job, Snapshot
from scratch.layers import Array
from scratch.losses import Loss, indicator

UNIT = 2.0**-53
EXAMPLES = 7  # of the small batches; with 5 classes
STEP = 2.0**-16  # of difference quotients


def identities(claim: str, rows: Iterator[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{"identity": claim, **row} for row in rows])


def definitions(*, trials: int, device: str) -> Tables:
    """Value and gradient of both losses against the notes' formulas to fifty digits; BCE against two-class cross-entropy."""
    random = generator(0, "definitions")
    z = 3 * random.standard_normal((trials, 1, EXAMPLES))
    answers = random.integers(0, 2, z.shape).astype(float)
    soft = random.uniform(0, 1, z.shape)
    logits = 3 * random.standard_normal((trials, 5, EXAMPLES))
    labels = random.integers(0, 5, (trials, EXAMPLES))
    shares = np.moveaxis(random.dirichlet(np.ones(5), (trials, EXAMPLES)), -1, -2)
    binary, cross = s.BinaryCrossEntropy(), s.CrossEntropy()
    given: list[tuple[str, str, Loss, Array, Array, Array]] = [
        ("binary cross-entropy", "answers 0 and 1", binary, z, answers, answers),
        ("binary cross-entropy", "soft answers", binary, z, soft, soft),
        ("cross-entropy", "labels", cross, logits, labels, indicator(labels, 5).astype(float)),
        ("cross-entropy", "class probabilities", cross, logits, shares, shares),
    ]
    found, agreed = [], []
    for name, kind, loss, at, y, matrix in given:
        job, shots = looked(loss, at, y, device)
        agreed.append(compared(job, shots, "definitions", f"{name}, {kind}"))
        found.append(identities(f"value, {name}", _values(kind, at, matrix, shots)))
        found.append(identities(f"gradient, {name}", _gradients(kind, at, matrix, shots)))
        found.append(identities(f"gradient, {name}", _quotients(kind, loss, at[0], y[0], matrix[0], device)))
    found.append(identities("two classes", _two_classes(z, soft, device)))
    return {"identities": joined(found), "agreement": joined(agreed)}


def spread(z: Array) -> Array:
    """How large the numbers are that the loss of each example subtracts, (…, m)."""
    return np.ptp(z, axis=-2) if z.shape[-2] > 1 else np.abs(z[..., 0, :])


def probabilities(z: Array) -> Array:
    """σ(z), or softmax over several units."""
    return s.Softmax().forward({}, z)[0] if z.shape[-2] > 1 else s.Sigmoid().forward({}, z)[0]


def _values(kind: str, z: Array, y: Array, shots: dict[str, Snapshot]) -> Iterator[dict[str, Any]]:
    """Rounding: each example's loss is off by some u times the numbers that it subtracts. The control is the literal reading."""
    classes, n = z.shape[1:]
    if classes > 1:
        exact = np.array(
            [float(sum(cross_exact(a[:, i], b[:, i]) for i in range(n)) / n) for a, b in zip(z, y, strict=True)]
        )
        other = exact * n  # without 1/n
    else:
        exact = np.array([float(sum(map(binary_exact, a[0], b[0])) / n) for a, b in zip(z, y, strict=True)])
        other = Literal()(z, y)[0]
    error = UNIT * (spread(z).mean(-1) + 1)
    for name, shot in shots.items():
        yield {"backend": name, "condition": kind} | worst(shot.loss, exact, error, other)


def _gradients(kind: str, z: Array, y: Array, shots: dict[str, Snapshot]) -> Iterator[dict[str, Any]]:
    """p − y over n. Rounding: p is off by u times the exponent, and numbers near 1 by u. The control lacks 1/n."""
    p, n = probabilities(z), z.shape[-1]
    error = UNIT * (p * spread(z)[..., None, :] + 1) / n
    for name, shot in shots.items():
        row = worst(shot.output_gradients[0], (p - y) / n, error, p - y)
        yield {"backend": name, "condition": f"{kind}, ∂J/∂z"} | row


def _quotients(kind: str, loss: Loss, z: Array, y: Array, matrix: Array, device: str) -> Iterator[dict[str, Any]]:
    """(J(z + h) − J(z − h))/2h of every number of one batch, from each backend's own values of J.

    What is left out is h²/6 of the third derivative, which is p(1−p)(1−2p)/n and at most 1/(6√3)/n.
    """
    n, moved = z.shape[-1], STEP * np.eye(z.size).reshape(z.size, *z.shape)
    stacked = np.broadcast_to(y, (2 * z.size, *y.shape)).copy()
    _, shots = looked(loss, np.concatenate([z + moved, z - moved]), stacked, device)
    expected = (probabilities(z) - matrix).reshape(-1)
    for name, shot in shots.items():
        ahead, behind = shot.loss.reshape(2, -1)
        quotient = (ahead - behind) / (2 * STEP)
        error = np.full(z.size, UNIT * (spread(z).mean() + 1) / STEP)
        row = worst(quotient, expected / n, error, expected)
        yield {
            "backend": name,
            "condition": f"{kind}, difference quotient",
            "allowance": STEP**2 / (36 * np.sqrt(3) * n),
        } | row


def _two_classes(z: Array, y: Array, device: str) -> Iterator[dict[str, Any]]:
    """σ(z) is softmax (z, 0), so both losses are one. The control takes (z, −z), which is σ(2z)."""
    targets = np.concatenate([y, 1 - y], axis=-2)
    _, single = looked(s.BinaryCrossEntropy(), z, y, device)
    _, double = looked(s.CrossEntropy(), np.concatenate([z, 0 * z], axis=-2), targets, device)
    _, other = looked(s.CrossEntropy(), np.concatenate([z, -z], axis=-2), targets, device)
    value = UNIT * (spread(z).mean(-1) + 1)
    for name, shot in single.items():
        ours, two, wrong = (
            shot.output_gradients[0],
            double[name].output_gradients[0][..., :1, :],
            other[name].output_gradients[0],
        )
        rows = {
            "J": worst(shot.loss, double[name].loss, value, other[name].loss),
            "∂J/∂z": worst(ours, two, UNIT * (np.abs(z) + 2) / z.shape[-1], wrong[..., :1, :]),
        }
        for quantity, row in rows.items():
            yield {"backend": name, "condition": quantity} | row


def hot(*, trials: int, device: str) -> Tables:
    """Integer labels and the indicator matrix: the share of examples whose loss or gradient differs in any bit."""
    random = generator(0, "one-hot")
    z, labels = 3 * random.standard_normal((10 * trials, 5, 1)), random.integers(0, 5, (10 * trials, 1))
    matrix = indicator(labels, 5).astype(float)
    made = {"scratch": matrix, "torchref": np.swapaxes(one_hot(torch.tensor(labels), 5).double().numpy(), -1, -2)}
    kinds = {"labels": labels, "matrix": matrix, "neighbours": np.roll(matrix, 1, axis=-2)}
    shots = {kind: looked(s.CrossEntropy(), z, y, device)[1] for kind, y in kinds.items()}

    def rows() -> Iterator[dict[str, Any]]:
        for name in made:
            one, two, other = (shots[kind][name] for kind in kinds)
            gradients = [shot.output_gradients[0] for shot in (one, two, other)]
            unlike = np.eye(5)[labels[:, 0]][..., None] != made[name]
            yield _share(name, "the matrix", unlike, np.roll(matrix, 1, axis=-2) != made[name])
            yield _share(name, "loss of an example", one.loss != two.loss, one.loss != other.loss)
            yield _share(name, "its gradient", gradients[0] != gradients[1], gradients[0] != gradients[2])

    return {"identities": identities("one-hot", rows())}


def _share(backend: str, condition: str, unlike: Array, control: Array) -> dict[str, Any]:
    """The share of what differs, which should be none."""
    return {
        "backend": backend,
        "condition": condition,
        "measured": float(unlike.mean()),
        "predicted": 0.0,
        "standard_error": 0.0,
        "control_measured": float(control.mean()),
    }


def entropy(*, trials: int, device: str) -> Tables:
    """Soft targets y: J is the entropy of y where softmax(z) = y, and elsewhere more by the divergence KL(y‖p)."""
    random = generator(0, "entropy")
    y = np.moveaxis(random.dirichlet(np.ones(5), (trials, EXAMPLES)), -1, -2)
    away = np.log(y) + random.standard_normal(y.shape)
    p = probabilities(away)
    least, divergence = -(y * np.log(y)).sum(-2).mean(-1), (y * np.log(y / p)).sum(-2).mean(-1)
    shots = {kind: looked(s.CrossEntropy(), z, y, device)[1] for kind, z in {"at": np.log(y), "away": away}.items()}

    def rows() -> Iterator[dict[str, Any]]:
        for name in backends(device):
            at, far = shots["at"][name], shots["away"][name]
            error = UNIT * (spread(away).mean(-1) + 1)
            zero = UNIT * y * (spread(np.log(y))[..., None, :] + 1) / EXAMPLES
            yield {"backend": name, "condition": "J where p = y"} | worst(at.loss, least, error, least + divergence)
            yield {"backend": name, "condition": "J elsewhere"} | worst(far.loss, least + divergence, error, least)
            slopes = at.output_gradients[0], far.output_gradients[0]
            yield {"backend": name, "condition": "∂J/∂z where p = y"} | worst(slopes[0], 0 * y, zero, slopes[1])

    return {"identities": identities("entropy", rows())}


def shift(*, trials: int, precision: str, device: str) -> Tables:
    """Logits with a number added to all classes, chosen so that the sums are exact: the share of examples that change in any bit."""
    random = generator(0, "shift")
    z = np.round(random.uniform(-8, 8, (10 * trials, 5, 1)) * 256).astype(precision) / np.asarray(256, precision)
    labels = random.integers(0, 5, (10 * trials, 1))
    _, still = looked(s.CrossEntropy(), z, labels, device)

    def rows() -> Iterator[dict[str, Any]]:
        for moved in (1024.0, -1024.0):
            _, shots = looked(s.CrossEntropy(), z + np.asarray(moved, precision), labels, device)
            for name, shot in shots.items():
                unlike = (shot.loss != still[name].loss) | (
                    shot.output_gradients[0] != still[name].output_gradients[0]
                ).any((-2, -1))
                yield _share(name, f"{precision}, {moved:+.0f}", unlike, _naive_moves(name, z, moved))

    return {"identities": identities("shift", rows())}


def _naive_moves(backend: str, z: Array, moved: float) -> Array:
    """Whether the softmax as it stands gives another result (NaN is another) for shifted logits."""
    if backend == "scratch":
        before, after = naive_softmax(z, np), naive_softmax(z + np.asarray(moved, z.dtype), np)
    else:
        rows = torch.tensor(z)
        before, after = naive_softmax(rows, torch).numpy(), naive_softmax(rows + moved, torch).numpy()
    return ~np.isclose(before, after, rtol=1e-3)


def guessing(*, device: str) -> Tables:
    """The loss of real networks whose parameters are all zero, and of those whose biases are the logarithms of the class shares."""
    found, agreed = [], []
    for data in ("digits", "wine", "iris", "breast_cancer"):
        held = load(data)
        job = _zero(data)
        _, counts = np.unique(held.train.y, return_counts=True)
        shares = counts / counts.sum()
        known = replace(job, parameters=({k: a.copy() for k, a in job.parameters[0].items()},))
        known.parameters[0]["b"][:, 0] = np.log(shares) if held.classes > 2 else np.log(shares[1] / shares[0])
        for name, backend in backends(device).items():
            for kind, one in {"zero weights": job, "class shares": known}.items():
                found.append({"data": data, "classes": held.classes, "kind": kind, "backend": name,
                              "examples": counts.sum(), "measured": float(backend.snapshot(one).loss),
                              "shares": " ".join(map(str, counts))})  # fmt: skip
        shots = {name: backend.snapshot(job) for name, backend in backends(device).items()}
        agreed.append(compared(job, shots, "guessing", data))
    return {"guessing": pd.DataFrame(found), "agreement": joined(agreed)}


def _zero(data: str) -> Job:
    """Softmax or logistic regression with every parameter zero, on all of the training set."""
    held = load(data)
    binary = held.classes == 2
    outputs = 1 if binary else held.classes
    y = held.train.y[None].astype(float) if binary else held.train.y
    zero = {"W": np.zeros((outputs, held.features)), "b": np.zeros((outputs, 1))}
    return Job(
        (s.Dense(outputs),), s.BinaryCrossEntropy() if binary else s.CrossEntropy(), (zero,), Batch(held.train.x, y)
    )


PARTS: dict[str, Callable[..., Tables]] = {
    "definitions": definitions,
    "one-hot": hot,
    "entropy": entropy,
    "shift": shift,
    "guessing": guessing,
    "stability": stability,
    "signal": signal,
    "random starts": random_starts,
    "escape": escape,
    "training": training,
}
