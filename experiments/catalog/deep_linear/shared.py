"""What several pages share: the jobs of deep linear networks, balanced starts, and when a curve passes a level.

Networks are stacks of Dense layers without biases: the activation is the identity. The flow's objective is
J = ‖W X − Y‖²/2m; the loss of the library is the mean over all k·m numbers, (2/k) J, so its rate is ηk/2.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.compare.agreement import unit_roundoff
from experiments.lab import Array, Figure, Frame, decades, facets, ticks
from scratch import SGD, Batch, Dense, Identity, Job, Layer, Snapshot, SquaredError
from scratch.initializers import orthogonal
from scratch.randomness import generator

SAXE = "Saxe, McClelland & Ganguli 2014"
INPUTS, HIDDEN, OUTPUTS, EXAMPLES = 5, 6, 7, 8
UNIT = unit_roundoff(np.dtype("float64"))
TERMS = max(HIDDEN, OUTPUTS, EXAMPLES)  # of the longest sum


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
    sizes = (INPUTS, *(HIDDEN,) * (depth - 1), OUTPUTS)
    bases = [[orthonormal(seed, k, n, len(modes)) for k, n in enumerate(sizes)] for seed in range(seeds)]
    weights = [np.stack([r[k + 1] @ r[k].T for r in bases]) * start ** (1 / depth) for k in range(depth)]
    return bases, weights, np.stack([r[-1] * np.array(modes) @ r[0].T for r in bases])


def product(shot: Snapshot) -> Array:
    """W_N … W_1 (…, outputs, inputs)."""
    whole, *others = [named["W"] for named in shot.parameters]
    for w in others:
        whole = w @ whole
    return whole


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


def layers(depth: int) -> str:
    return f"{depth} layer{'' if depth == 1 else 's'}"


def one_panel(table: Frame, x: str, *, right: float = 2.4, ticked: bool = True, **drawn: Any) -> Figure:
    """One panel whose y is logarithmic, in plain numbers: 1, 2 and 5 in every decade. ``ticked``: x, at its values alone."""
    size = {"width": 4.6, "height": 3.2, "margins": (0.95, right, 0.6, 0.4)}
    figure = facets(table, x=x, size=size, yscale="log", **drawn)
    (ax,) = figure.axes
    if ticked:
        ticks(ax.xaxis, sorted(table[x].unique()))
    ticks(ax.yaxis, decades(table.measured))
    return figure
