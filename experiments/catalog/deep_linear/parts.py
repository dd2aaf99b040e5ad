"""What each kind of cell of this experiment measures, on both backends.

Networks are stacks of Dense layers without biases: the activation is the identity. The flow's objective is
J = ‖W X − Y‖²/2m; the loss of the library is the mean over all k·m numbers, (2/k) J, so its rate is ηk/2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from experiments import agreement, probes
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch.activations import Identity
from scratch.contract import Batch, Job, Snapshot
from scratch.initializers import orthogonal
from scratch.layers import Array, Dense, Layer
from scratch.losses import SquaredError
from scratch.optimizers import SGD

INPUTS, HIDDEN, OUTPUTS, EXAMPLES = 5, 6, 7, 8
LEVELS = (0.1, 0.5, 0.9)
LEARNED = 0.01  # of the loss of a network that gives out 0: what counts as learned
RANDOM_MODES = (1.5, 1.25, 1.0, 0.75)
RANDOM_INPUTS = 16
SMALL = 0.8  # gain of the small Gaussian weights: standard deviation 0.8/√n
INITS = ("orthogonal", "Gaussian 1/√n", "Gaussian 0.8/√n")
STARTS = ((0.1, 0.05), (-0.1, -0.3), (2.0, 0.2), (-1.6, 0.5), (1.4, -1.0), (-0.3, 1.9), (-1.9, -1.3), (1.2, -1.2))
NEAR = 0.125  # ε: how far from the saddle its curvature is taken
GRID = 41
LANDSCAPE_RATE = 0.05
CONSERVED_TIME, CONSERVED_WIDTHS = 1.0, (6, 4, 7)  # after 5 inputs


def widths(depth: int) -> tuple[int, ...]:
    return (HIDDEN,) * (depth - 1) + (OUTPUTS,)


def job(
    weights: Sequence[Array], x: Array, y: Array, rate: float, steps: int, looks: Sequence[int], identity: bool = False
) -> Job:
    """Full-batch descent at rate η of the flow's objective."""
    layers: list[Layer] = []
    parameters: list[dict[str, Array]] = []
    for w in weights:
        layers += [Dense(w.shape[-2], bias=False), Identity()] if identity else [Dense(w.shape[-2], bias=False)]
        parameters += [{"W": w}, {}] if identity else [{"W": w}]
    batches = np.tile(np.arange(x.shape[-1]), (steps + 1, 1))
    optimizer = SGD(rate * y.shape[-2] / 2)
    return Job(tuple(layers), SquaredError(), tuple(parameters), Batch(x, y), batches, optimizer, tuple(looks))


def orthonormal(seed: int, name: str | int, rows: int, columns: int) -> Array:
    """Orthonormal columns (rows, columns)."""
    return orthogonal(generator(seed, "basis", name), (rows, columns))


def whitened(features: int, examples: int) -> Array:
    """X (features, examples) with XXᵀ/m = I."""
    return np.sqrt(examples) * orthonormal(0, "inputs", examples, features).T


def balanced(
    modes: Sequence[float], start: float, depth: int, seeds: int
) -> tuple[list[list[Array]], list[Array], Array]:
    """For each seed bases R_1 … R_{N+1}; W_l = R_{l+1} diag(u₀^{1/N}) R_lᵀ, stacked; A = R_{N+1} diag(s) R_1ᵀ, stacked."""
    sizes = (INPUTS, *widths(depth))
    bases = [[orthonormal(seed, k, n, len(modes)) for k, n in enumerate(sizes)] for seed in range(seeds)]
    weights = [np.stack([r[k + 1] @ r[k].T for r in bases]) * start ** (1 / depth) for k in range(depth)]
    return bases, weights, np.stack([r[-1] * np.array(modes) @ r[0].T for r in bases])


def product(shot: Snapshot) -> Array:
    """W_N … W_1 (…, outputs, inputs)."""
    held = [named["W"] for named in shot.parameters if named]
    whole = held[0]
    for w in held[1:]:
        whole = w @ whole
    return whole


def recursion(start: float, modes: Sequence[float], depth: int, rate: float, looks: Sequence[int]) -> Array:
    """u at ``looks`` (looks, modes) of descent's own one-dimensional map a ← a + η a^{N−1}(s − a^N)."""
    a, s = np.full(len(modes), start ** (1 / depth)), np.array(modes)
    found, wanted = [], set(looks)
    for step in range(max(looks) + 1):
        if step in wanted:
            found.append(a**depth)
        a = a + rate * a ** (depth - 1) * (s - a**depth)
    return np.array(found)


def growing_looks(steps: int, rate: float) -> tuple[int, ...]:
    """Every step at first, then at times that grow by half a percent: fast modes rise early, slow ones late."""
    times, step = [0], 1
    while step < steps:
        times.append(step)
        step = max(step + 1, int(step * 1.005))
    return (*times, steps)


def crossing(times: Array, u: Array, s: float, level: float) -> dict[str, float]:
    """When u (looks,) passes level·s, and how far to doubt it: what a fifth point changes. NaN where it does not.

    Inverse cubic interpolation in ln u/(s−u), in which two layers are a straight line.
    """
    above = np.flatnonzero(u >= level * s)
    if not len(above) or not 2 <= above[0] <= len(u) - 3:
        return {"time": float("nan"), "doubt": float("nan")}
    near = slice(above[0] - 2, above[0] + 3)
    held = np.minimum(u[near], s * (1 - 1e-12))
    odds, wanted = np.log(held / (s - held)), np.log(level / (1 - level))
    four, five = (lagrange(odds[:count], times[near][:count], wanted) for count in (4, 5))
    return {"time": four, "doubt": abs(five - four)}


def lagrange(x: Array, y: Array, wanted: float) -> float:
    """The polynomial through the points, at ``wanted``."""
    weights = [np.prod((wanted - np.delete(x, k)) / (x[k] - np.delete(x, k))) for k in range(len(x))]
    return float(np.dot(weights, y))


def worth_drawing(times: Array, u: Array, s: float) -> list[int]:
    """The looks nearest to some strengths, and to some times after: a dozen points that show the rise however steep it is."""
    rising = [int(np.abs(u - level * s).argmin()) for level in (0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97)]
    later = np.linspace(times[rising[-1]], times[-1], 4)
    return sorted({0, *rising, *(int(np.abs(times - time).argmin()) for time in later)})


def modes(
    *, depth: int, rate: float, steps: int, modes: Sequence[float], start: float, seeds: int, device: str
) -> Tables:
    """Balanced networks: every mode's strength along training, when it passes each level, and how far from its own map."""
    bases, weights, target = balanced(modes, start, depth, seeds)
    x, looks = whitened(INPUTS, EXAMPLES), growing_looks(steps, rate)
    work = job(weights, x, target @ x, rate, steps, looks)
    times = rate * np.array(looks)
    left, right = (np.stack([r[k] for r in bases]) for k in (-1, 0))
    own = recursion(start, modes, depth, rate, looks)
    wrong = recursion(start, modes, depth + 1, rate, looks)
    common = {"depth": depth, "rate": rate}
    curves, crossings, farthest = [], [], []
    for name, backend in backends(device).items():
        seen = np.array(
            [left.mT @ product(shot) @ right for shot in backend.train(work)]
        )  # (looks, seeds, modes, modes)
        u = np.diagonal(seen, axis1=-2, axis2=-1)
        for seed in range(seeds):
            found = common | {"backend": name, "seed": seed}
            for k, s in enumerate(modes):
                crossings += [
                    found | {"mode": s, "level": level} | crossing(times, u[:, seed, k], s, level) for level in LEVELS
                ]
            apart = [abs(seen[:, seed] - map_[..., None] * np.eye(len(modes))).max() for map_ in (own, wrong)]
            farthest.append(found | {"steps": steps, "difference": apart[0], "wrong_map": apart[1]})
        for k, s in enumerate(modes):
            drawn = worth_drawing(times, u[:, 0, k], s)
            curves.append(
                pd.DataFrame({"time": times[drawn], "value": u[drawn].mean(1)[:, k]}).assign(
                    **common, mode=s, backend=name
                )
            )
    return {"curves": pd.concat(curves), "crossings": pd.DataFrame(crossings), "maps": pd.DataFrame(farthest)}


def plateau(*, depth: int, starts: Sequence[float], rate: float, steps: int, device: str) -> Tables:
    """The notes' y = w1 w2 … wn x, all weights equal at first and y = x wanted: when the product passes one half."""
    looks = growing_looks(steps, rate)
    first = np.array(starts)[:, None, None] ** (1 / depth)
    work = job([first] * depth, np.ones((1, 1)), np.ones((1, 1)), rate, steps, looks)
    rows = []
    for name, backend in backends(device).items():
        u = np.array([product(shot)[:, 0, 0] for shot in backend.train(work)])
        for k, start in enumerate(starts):
            found = {"depth": depth, "rate": rate, "start": start, "backend": name, "steps": steps}
            rows.append(found | crossing(rate * np.array(looks), u[:, k], 1.0, 0.5))
    return {"waits": pd.DataFrame(rows)}


def random_start(depth: int, seeds: int) -> tuple[list[Array], Array]:
    """Weights (inits, seeds, rows, columns), the Gaussian ones from the same draws; and the target of each seed."""
    n, k = RANDOM_INPUTS, len(RANDOM_MODES)
    weights = []
    for layer in range(depth):
        shape = (k if layer == depth - 1 else n, n)
        drawn = np.stack(
            [generator(seed, "gaussian", layer).standard_normal(shape) / np.sqrt(n) for seed in range(seeds)]
        )
        turned = np.stack([orthogonal(generator(seed, "orthogonal", layer), shape) for seed in range(seeds)])
        weights.append(np.stack([turned, drawn, SMALL * drawn]))
    target = [
        orthonormal(seed, "left", k, k) * np.array(RANDOM_MODES) @ orthonormal(seed, "right", n, k).T
        for seed in range(seeds)
    ]
    return weights, np.stack(target)


def random(*, depth: int, rate: float, steps: int, seeds: int, device: str) -> Tables:
    """Networks from random weights: N·t until the loss is a hundredth of that of giving out 0. Pointwise agreement at the start."""
    weights, target = random_start(depth, seeds)
    looks = range(0, steps + 1, max(10, steps // 100))
    x = whitened(RANDOM_INPUTS, RANDOM_INPUTS)
    work = job(weights, x, np.broadcast_to(target @ x, (3, *target.shape)).copy(), rate, steps, looks)
    nothing = (np.array(RANDOM_MODES) ** 2).sum() / (len(RANDOM_MODES))  # the loss, 2J/k, of W = 0
    rows: list[pd.DataFrame] = []
    firsts: dict[str, Snapshot] = {}
    for name, backend in backends(device).items():
        losses = []
        for shot in backend.train(work):
            firsts.setdefault(name, shot)
            losses.append(np.log(shot.loss / nothing))
        times = passed(rate * depth * np.array(looks), np.array(losses), np.log(LEARNED))
        rows.append(probes.rows(times, {"init": INITS, "seed": range(seeds)}, depth=depth, backend=name))
    found = agreement.pointwise(work, firsts["scratch"], firsts["torchref"], generator(0, "shadows"))
    learned = pd.concat(rows).rename(columns={"value": "time"})
    return {"learned": learned, "agreement": agreement.table(found, "random", f"{depth} layers, three inits")}


def passed(times: Array, values: Array, level: float) -> Array:
    """When ``values`` (looks, …) first falls below the level, by linear interpolation; NaN where it does not."""
    below = values < level
    k = np.maximum(below.argmax(0), 1)
    after, before = (np.take_along_axis(values, j[None], 0)[0] for j in (k, k - 1))
    time = times[k - 1] + (times[k] - times[k - 1]) * (before - level) / (before - after)
    return np.where(below.any(0), time, np.nan)


def conservation_start(seeds: int) -> tuple[list[Array], Array]:
    """Gaussian weights (seeds, rows, columns), not balanced at all, and a Gaussian target of each seed."""
    sizes = (INPUTS, *CONSERVED_WIDTHS)
    weights = [
        np.stack([generator(seed, "weights", k).standard_normal((o, i)) / np.sqrt(i) for seed in range(seeds)])
        for k, (i, o) in enumerate(pairwise(sizes))
    ]
    target = [generator(seed, "target").standard_normal((sizes[-1], sizes[0])) for seed in range(seeds)]
    return weights, np.stack(target)


def invariants(shot: Snapshot) -> list[Array]:
    """C_l = W_{l+1}ᵀW_{l+1} − W_lW_lᵀ between every two layers."""
    held = [named["W"] for named in shot.parameters]
    return [w.mT @ w - v @ v.mT for v, w in pairwise(held)]


def conservation(*, depth: int, rate: float, seeds: int, device: str) -> Tables:
    """How far C_l is carried by training, by one step beside its exact law, and how far W_lW_lᵀ alone is."""
    weights, target = conservation_start(seeds)
    steps, x = round(CONSERVED_TIME / rate), whitened(INPUTS, EXAMPLES)
    work = job(weights, x, target @ x, rate, steps, (0, 1, steps))
    rows = []
    for name, backend in backends(device).items():
        first, second, last = backend.train(work)
        scale = OUTPUTS / 2  # from the library's gradient to J's
        gradients = [named["W"] * scale for named in first.gradients]
        exact = [rate**2 * (g.mT @ g - h @ h.mT) for h, g in pairwise(gradients)]
        before, after, ended = (invariants(shot) for shot in (first, second, last))
        alone = [(s.parameters[0]["W"] @ s.parameters[0]["W"].mT) for s in (first, last)]
        changed = [b - a for a, b in zip(before, after, strict=True)]
        sizes = {
            "drift": norm([b - a for a, b in zip(before, ended, strict=True)]),
            "unconserved": norm([alone[1] - alone[0]]),
            "step": norm(changed),
            "step residual": norm([a - b for a, b in zip(changed, exact, strict=True)]),
            "size": norm([w for named in first.parameters for w in named.values()]) ** 2,
        }
        axes = {"quantity": list(sizes), "seed": range(seeds)}
        rows.append(probes.rows(np.array(list(sizes.values())), axes, rate=rate, steps=steps, backend=name))
    return {"conservation": pd.concat(rows)}


def norm(arrays: Sequence[Array]) -> Array:
    """The Frobenius norm over all of them, (…,)."""
    return np.sqrt(sum((a * a).sum((-2, -1)) for a in arrays))


def landscape(*, strength: float, steps: int, device: str) -> Tables:
    """J = (w2w1 − s)²/2: its values on a grid, its slopes near the saddle, and descents from many starts."""
    one = np.ones((1, 1))
    axis = np.linspace(-2.4, 2.4, GRID)
    r = NEAR / np.sqrt(2)
    marked = [(r, r), (r, -r), (0.0, 0.0), (np.sqrt(strength),) * 2, (-np.sqrt(strength),) * 2]
    points = np.array([(a, b) for a in axis for b in axis] + marked)
    looks = tuple(sorted({*range(0, 100, 4), *range(100, steps, 20), steps}))

    def of(points: Array, steps: int, looks: Sequence[int]) -> Job:
        return job([p[:, None, None] for p in points.T], one, strength * one, LANDSCAPE_RATE, steps, looks)

    still, moving = of(points, 0, (0,)), of(np.array(STARTS), steps, looks)
    marks, paths = [], []
    shots: dict[str, Snapshot] = {}
    for name, backend in backends(device).items():
        shots[name] = shot = backend.snapshot(still)
        slopes = [named["W"][:, 0, 0] / 2 for named in shot.gradients]
        near = slice(GRID**2, None)
        marks.append(
            pd.DataFrame({"point": ["along", "across", "saddle", "minimum", "other minimum"], "loss": shot.loss[near] / 2,
                          "slope1": slopes[0][near], "slope2": slopes[1][near], "backend": name})
        )  # fmt: skip
        for shot in backend.train(moving):
            w1, w2 = (named["W"][:, 0, 0] for named in shot.parameters)
            held: dict[str, Any] = {"start": range(len(STARTS)), "w1": w1, "w2": w2, "loss": shot.loss / 2}
            paths.append(pd.DataFrame(held).assign(step=shot.step, backend=name))
    few = of(points[::-13], 0, (0,))  # every thirteenth from the last on
    ours, theirs = (backend.snapshot(few) for backend in backends(device).values())
    found = agreement.pointwise(few, ours, theirs, generator(0, "shadows"))
    compared = agreement.table(found, "landscape", f"{len(few.parameters[0]['W'])} networks of two weights")
    grid = pd.DataFrame({"w1": points[:, 0], "w2": points[:, 1], "loss": shots["scratch"].loss / 2})[: GRID**2]
    return {"surface": grid, "marks": pd.concat(marks), "paths": pd.concat(paths), "agreement": compared}


def trajectory(*, depth: int, steps: int, device: str) -> Tables:
    """How far the implementations drift apart, each training alone: two balanced networks and two from Gaussian weights."""
    _, weights, target = balanced((2.0, 1.0), 0.1, depth, 2)
    shapes = [w.shape for w in weights]
    drawn = [generator(0, "drift", k).standard_normal(shape) / np.sqrt(shape[-1]) for k, shape in enumerate(shapes)]
    x = whitened(INPUTS, EXAMPLES)
    looks = range(0, steps + 1, max(1, steps // 5))
    both = [np.concatenate(pair) for pair in zip(weights, drawn, strict=True)]
    work = job(both, x, np.concatenate([target, target]) @ x, 0.02, steps, looks, identity=True)
    ours, theirs = (list(backend.train(work)) for backend in backends(device).values())
    found = agreement.trajectory(work, ours, theirs, generator(0, "shadows"))
    return {"agreement": agreement.table(found, "trajectory", f"{depth} linear layers, balanced and Gaussian")}


PARTS: dict[str, Callable[..., Tables]] = {
    "modes": modes,
    "plateau": plateau,
    "random": random,
    "conservation": conservation,
    "landscape": landscape,
    "trajectory": trajectory,
}

COLUMNS = {  # of the tables that the parts make: what is left of one if all its cells fail
    "curves": ["time", "mode", "depth", "rate", "backend", "value"],
    "crossings": ["depth", "rate", "backend", "seed", "mode", "level", "time", "doubt"],
    "maps": ["depth", "rate", "backend", "seed", "steps", "difference", "wrong_map"],
    "waits": ["depth", "rate", "start", "backend", "steps", "time", "doubt"],
    "learned": ["init", "seed", "depth", "backend", "time"],
    "conservation": ["quantity", "seed", "rate", "steps", "backend", "value"],
    "surface": ["w1", "w2", "loss"],
    "marks": ["point", "loss", "slope1", "slope2", "backend"],
    "paths": ["start", "w1", "w2", "loss", "step", "backend"],
}
