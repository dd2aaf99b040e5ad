"""Two implementations differ by 10⁻⁷: is that rounding, or a mistake?

Of two correct ones the difference is predicted, from one's own rounding errors; beside it stands what a planted mistake does.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from experiments.compare.backends import backends
from experiments.lab import Claim, Claims, Cost, Frame, cells, claims, compare, stacked, table
from scratch import Job, Snapshot
from .shared import LONG, Signals, averages, relative, signals, study

KEY = ["format", "signal", "layer"]


def formats(options: Any) -> list[dict[str, str]]:
    return [{"format": name} for name in ("float32", *LONG)]


@cells(formats, makes=("apart", "mistaken"), cost=Cost(1, 210))
def distances(format: str, depth: int, width: int, seeds: int, device: str) -> dict[str, Frame]:
    """The distance of the two implementations, as they are and with a mistake in one of them."""
    _, job, truth = study(format, depth, width, seeds)
    shots = {name: side.snapshot(job) for name, side in backends(device).items()}
    ours, theirs = (signals(job, shot) for shot in shots.values())
    wrong = mistaken(job, shots, truth, device)
    return {"apart": distance(ours, theirs, truth).assign(format=format), "mistaken": wrong.assign(format=format)}


def distance(ours: Signals, theirs: Signals, truth: Signals) -> Frame:
    """How far the implementations are from each other and from the truth, and how alike their errors are (cosine): three layers."""
    top, rows = len(truth["activation"]), []
    for signal, layer in product(ours, (1, (1 + top) // 2, top)):
        a, b, exact = (side[signal][layer - 1] for side in (ours, theirs, truth))
        size, left, right = (exact**2).sum((-1, -2)), a - exact, b - exact
        far = relative(a, exact), relative(b, exact)
        between = (((left - right) ** 2).sum((-1, -2)) / size).astype(np.float64)
        alike = ((left * right).sum((-1, -2)) / size).astype(np.float64) / np.maximum(np.sqrt(far[0] * far[1]), 1e-300)
        named = {"signal": signal, "layer": layer, "seed": range(len(a)), "scratch": far[0], "torchref": far[1]}
        rows.append(Frame(named | {"apart": between, "alike": alike}))
    return stacked(rows)


def mistaken(job: Job, shots: Mapping[str, Snapshot], truth: Signals, device: str) -> Frame:
    """The same distance with a mistake planted in one implementation: weights of the first layer too large by 256 roundings."""
    large = 1 + 256 * np.finfo(job.data.x.dtype).eps / 2
    first = {name: a * a.dtype.type(large) if name == "W" else a for name, a in job.parameters[0].items()}
    wrong = replace(job, parameters=(first, *job.parameters[1:]))
    rows = []
    for (backend, side), other in zip(backends(device).items(), list(shots.values())[::-1], strict=True):
        pair = signals(job, side.snapshot(wrong)), signals(job, other)
        rows.append(distance(*pair, truth).assign(backend=backend))
    return stacked(rows)[["backend", "signal", "layer", "seed", "apart"]]


@table
def pairs(apart: Frame, mistaken: Frame, measurements: Frame) -> Frame:
    """How far the implementations lie apart beside each one's error and the model's, and how far a mistake puts them."""
    ours = measurements[measurements.backend == "scratch"]
    frame = apart.merge(ours[[*KEY, "seed", "modelled"]], how="left")
    means = ["scratch", "torchref", "apart", "alike", "modelled"]
    found = averages(frame, KEY, means, frame.apart - 2 * frame.modelled).set_index(KEY)
    for backend, rows in mistaken.groupby("backend"):
        found[f"mistake in {backend}"] = rows.groupby(KEY).apart.mean()
    return found.reset_index()


@claims
def rounding_or_mistake(pairs: Frame) -> Claims:
    top = pairs.layer.max()
    middle = (1 + top) // 2
    low = (pairs.signal == "activation") | ((pairs.signal == "gradient") & (pairs.layer <= middle))
    rows = pairs[low & pairs.layer.isin([1, middle, top])]
    expected = 2 * rows.modelled
    units = {"measured": rows.apart / expected, "standard_error": rows.standard_error / expected, "dof": rows.seeds - 1}

    def against(backend: str) -> Frame:
        wrong = rows[f"mistake in {backend}"] / expected
        said = "{format}, {signal}, layer {layer}"
        return compare(rows, said, backend=backend, predicted=1.0, control_measured=wrong, **units)

    yield Claim(
        "rounding or a mistake?",
        "Two implementations in the same format lie no farther apart than √2 times the predicted error of one; more is no rounding.",
        "the difference of two independent errors",
        "Mean square distance in units of twice the modelled mean square; Student's t over networks. Their errors are alike (the "
        "table `pairs`), so they lie closer than independent ones would.",
        "weights of the first layer too large by 256 roundings (float32: 1.5e-5) in that implementation",
        stacked([against("scratch"), against("torchref")]),
        "at most",
    )
