"""Does the notes' network give what its four lines give by hand?

z1 = w1 x + b1, a1 = tanh z1, z2 = w2 a1 + b2, ŷ = a2 = σ(z2) on random shapes, number by number with Python's math, within a bound that
follows the roundings from layer to layer.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from experiments.compare.agreement import unit_roundoff
from experiments.lab import Array, Claim, Claims, Cost, Frame, Lab, cells, claims, each
from scratch.layers import Tensors
from scratch.network import Parameters
from .shared import FIFTH, bounded, case, gamma, keep_worst, network

FUNCTION = 8  # roundings in tanh or σ: 4 in the exponential, 4 in the sum, the quotient and the result
STEEPEST = (1.0, 0.25)  # slopes of tanh and σ, both at 0


def scalars(parameters: Parameters, x: Array, squashed: bool = True) -> list[Array]:
    """z1, a1, z2, a2 number by number with Python's math alone; ``squashed`` False forgets tanh."""
    first, second = parameters[0], parameters[2]
    columns = [four_lines(first, second, column, math.tanh if squashed else float) for column in x.T.tolist()]
    return [np.array(signal).T for signal in zip(*columns, strict=True)]


def four_lines(
    first: Tensors, second: Tensors, x: Sequence[float], squash: Callable[[float], float]
) -> list[list[float]]:
    """The notes' network for one example."""
    z1 = affine(first, x)
    a1 = [squash(z) for z in z1]
    z2 = affine(second, a1)
    return [z1, a1, z2, [1 / (1 + math.exp(-z)) for z in z2]]


def affine(p: Tensors, x: Sequence[float]) -> list[float]:
    """One number a neuron: the products of its row, and its bias."""
    biases = p["b"][:, 0].tolist()
    return [math.fsum([*map(float.__mul__, row, x), b]) for row, b in zip(p["W"].tolist(), biases, strict=True)]


def bounds(parameters: Parameters, x: Array, signals: Sequence[Array]) -> list[Array]:
    """How far two computations of the same signals may lie apart, entry by entry.

    Each rounds a sum of i products and a bias i + 1 times; what they differ by below passes through |W|, and through the steepest slope
    of the function, which rounds its own result.
    """
    unit, found, below, above = unit_roundoff(x.dtype), [], np.zeros(x.shape), x.astype(float)
    for p, slope, result in zip((parameters[0], parameters[2]), STEEPEST, signals[1::2], strict=True):
        w, b = np.abs(p["W"].astype(float)), np.abs(p["b"])
        z = w @ below + 2 * gamma(w.shape[1] + 1, unit) * (w @ (np.abs(above) + below) + b)
        below, above = slope * z + 2 * gamma(FUNCTION, unit) * np.abs(result), result
        found += [z, below]
    return found


def nearest(a: Array, b: Array, limit: Array, unit: float) -> dict[str, float]:
    """The entry that comes nearest to its bound, both in units of u."""
    apart = np.abs(a.astype(float) - b)
    at = np.unravel_index((apart / limit).argmax(), apart.shape)
    return {"measured": float(apart[at] / unit), "predicted": float(limit[at] / unit)}


@cells(each(widest="widths"), cost=Cost(0.3, 13, {"widest": 2}))
def by_hand(lab: Lab, widest: int, trials: int, seed: int, dtype: str) -> Frame:
    """Of each signal on all random shapes, the number that comes nearest to its bound; and by hand without tanh."""
    found, unit = [], unit_roundoff(np.dtype(dtype))
    for trial in range(trials):
        units, x, *_ = case(widest, trial, seed, dtype)
        job = network(units, x, trial)
        expected, without = (scalars(job.parameters, x, squashed) for squashed in (True, False))
        limits = bounds(job.parameters, x, expected)
        for backend, shot in lab.look(job).items():
            for k, signal in enumerate(("z1", "a1", "z2", "a2")):
                row = nearest(shot.outputs[k], expected[k], limits[k], unit)
                wrong = np.abs(without[k] - expected[k]).max() / unit
                at = {"backend": backend, "widest": widest, "trial": trial, "signal": signal}
                found.append(at | row | {"control": wrong})
    keep_worst(lab)
    table = Frame(found)
    signals = table.assign(ratio=table.measured / table.predicted).groupby(["backend", "signal"], sort=False)
    return table.loc[signals.ratio.idxmax()].assign(control=signals.control.max().to_numpy())


@claims
def of_the_network(by_hand: Frame) -> Claims:
    yield Claim(
        name="the notes' network by hand",
        statement="z1 = w1 x + b1, a1 = tanh z1, z2 = w2 a1 + b2, ŷ = a2 = σ(z2): number by number with Python's math, the same numbers.",
        source="notes, Forward Propagation",
        basis="Difference in units of u where it comes nearest to its bound, which follows the roundings from layer to layer: i + 1 for "
        f"every sum of i products and a bias, 8 for tanh and σ, whose slopes are at most 1 and ¼. {FIFTH}",
        control="by hand without tanh",
        comparisons=bounded(by_hand, "{signal}, up to {widest} units a layer"),
    )
