"""What changes not a single bit?

Integer labels instead of one-hot targets, and the same number added to all logits.
"""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

import scratch as s
from experiments.lab import Array, Claim, Claims, Cost, Frame, Lab, cells, claims, compare, each
from scratch import Snapshot
from scratch.categorical import indicator
from scratch.randomness import generator
from .shared import NOTES, PRECISIONS, alone

BITS = "Not one bit may differ."


@cells(cost=Cost(0.09, 8))
def one_hot(lab: Lab, trials: int) -> Frame:
    """Integer labels and the indicator matrix: the share of examples whose loss or gradient differs in any bit."""
    random, rows = generator(0, "one-hot"), []
    z, labels = 3 * random.standard_normal((10 * trials, 5, 1)), random.integers(0, 5, (10 * trials, 1))
    matrix = indicator(labels, 5).astype(float)
    neighbours = np.roll(matrix, 1, axis=-2)
    theirs = functional.one_hot(torch.tensor(labels), 5).double().numpy().swapaxes(-1, -2)
    targets = {"labels": labels, "matrix": matrix, "neighbours": neighbours}
    shots = {kind: alone(lab, s.CrossEntropy(), z, y, kind) for kind, y in targets.items()}
    for name, made in {"scratch": matrix, "torchref": theirs}.items():
        one, two, other = (shots[kind][name] for kind in targets)
        ours, same, wrong = (shot.output_gradients[0] for shot in (one, two, other))
        unlike = np.eye(5)[labels[:, 0]][..., None] != made
        rows += [
            share(unlike, neighbours != made, backend=name, quantity="the matrix"),
            share(one.loss != two.loss, one.loss != other.loss, backend=name, quantity="loss of an example"),
            share(ours != same, ours != wrong, backend=name, quantity="its gradient"),
        ]
    return Frame(rows)


def share(unlike: Array, control: Array, **columns: Any) -> dict[str, Any]:
    """The share of what differs, which should be none."""
    shares = {"measured": float(unlike.mean()), "control_measured": float(control.mean())}
    return columns | shares | {"predicted": 0.0, "standard_error": 0.0}


@cells(each(precision=PRECISIONS), cost=Cost(0.09, 9))
def shift(lab: Lab, precision: str, trials: int) -> Frame:
    """Logits with a number added to all classes, chosen so that the sums are exact: the share of examples that change in any bit."""
    random, rows = generator(0, "shift"), []
    z = np.round(random.uniform(-8, 8, (10 * trials, 5, 1)) * 256).astype(precision) / np.asarray(256, precision)
    labels = random.integers(0, 5, (10 * trials, 1))
    still = alone(lab, s.CrossEntropy(), z, labels, precision)
    for moved in (1024.0, -1024.0):
        at = z + np.asarray(moved, precision)
        for name, shot in alone(lab, s.CrossEntropy(), at, labels, f"{precision}, {moved:+.0f}").items():
            unlike = differs(shot, still[name])
            rows.append(share(unlike, naive_moves(name, z, at), backend=name, precision=precision, moved=moved))
    return Frame(rows)


def differs(one: Snapshot, other: Snapshot) -> Array:
    gradients = one.output_gradients[0] != other.output_gradients[0]
    return (one.loss != other.loss) | gradients.any((-2, -1))


def naive_moves(backend: str, *logits: Array) -> Array:
    """Whether the softmax as the notes write it gives another result (NaN is another) for shifted logits."""
    with np.errstate(all="ignore"):
        up = [np.exp(z) if backend == "scratch" else torch.exp(torch.tensor(z)) for z in logits]
        before, after = (np.asarray(e / e.sum(-2)[..., None, :]) for e in up)
    return ~np.isclose(before, after, rtol=1e-3)


@claims
def of_one_hot(one_hot: Frame) -> Claims:
    yield Claim(
        name="one-hot",
        statement="Integer labels and the indicator matrix are the same target: the same loss and gradient of every example, bit for bit.",
        source=NOTES,
        basis="The share of what differs. " + BITS,
        control="the indicator of the neighbouring class",
        comparisons=compare(one_hot, "{quantity}"),
    )


@claims
def of_shifts(shift: Frame) -> Claims:
    yield Claim(
        name="shift",
        statement="The same number added to all logits changes neither loss nor gradient, even ±1024, where e^z overflows or is 0.",
        source="e^(z+c)/Σ e^(z+c) = e^z/Σ e^z",
        basis="The sums z + c are exact, and the largest logit is subtracted before e^z is taken. " + BITS,
        control="softmax as the notes write it",
        comparisons=compare(shift, "{precision}, {moved:+.0f}"),
    )
