"""What several pages share: the networks and their examples, both implementations in a format, relative errors and the random model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

import scratch as s
from experiments.compare import probes
from experiments.compare.backends import backends
from experiments.data import load
from experiments.lab import Array, Frame, Lab, Shots, stacked
from scratch import Batch, CrossEntropy, Job, Layer, Network, Snapshot
from scratch.initializers import lecun, small_normal
from scratch.network import Parameters
from scratch.randomness import generator, stack
from . import arithmetic, native
from .formats import BF16, FLOAT32, FLOAT64, FORMATS, Format, jittered, rounded

EXAMPLES = 40  # more than classes, fewer than units
CLASSES = 10
PLAIN = CrossEntropy()
NUMBERS = 2_000_000  # random numbers at a time: long sums are tried less often
LONG = ("float64",) if np.finfo(np.longdouble).nmant > 60 else ()  # held against long double, which may be no longer
GREY: Any = {"color": "#555555", "linewidth": 1.2, "zorder": 1}
Signals = dict[str, list[Array]]  # "activation": the output of every Dense layer; "gradient": ∂J/∂ of it


@dataclass(frozen=True)
class Nets:
    """A stack of networks, each with examples of its own; the inputs are bf16 numbers, which every format holds."""

    layers: tuple[Layer, ...]
    parameters: Parameters
    data: Batch

    def job(self, to: Format, loss: CrossEntropy = PLAIN) -> Job:
        """The networks in that format, parameters rounded."""
        kind = "float64" if to == FLOAT64 else "float32"

        def held(name: str, a: Array) -> Array:
            return (rounded(a, to) if name == "W" or to.stored else a).astype(kind)

        parameters = arithmetic.put(self.parameters, held)
        data = Batch(self.data.x.astype(kind), self.data.y)
        return Job(arithmetic.shortened(self.layers, to), loss, parameters, data)

    def modelled(self, to: Format, scale: float, random: np.random.Generator) -> Job:
        """In float64 with random errors: parameters' own, where the format is shorter than theirs, and those of every layer."""

        def held(name: str, a: Array) -> Array:
            wide = a.astype(np.float64)
            return jittered(wide, to, random) if to.bits < 24 and (name == "W" or to.stored) else wide

        layers = arithmetic.noisy(self.layers, to, random)
        data = Batch(self.data.x.astype(np.float64), self.data.y)
        loss = arithmetic.NoisyLoss(scale=scale, random=random)
        return Job(layers, loss, arithmetic.put(self.parameters, held), data)


def nets(depth: int, width: int, seeds: int, dtype: str = "float32", gain: float = 1.0) -> Nets:
    """tanh networks on digits, ``gain`` times LeCun's weights, small biases."""
    held = load("digits", "float32")
    layers = (*(s.Dense(width), s.Tanh()) * depth, s.Dense(CLASSES))
    network = Network((*layers, arithmetic.Cast("float32")), held.features)
    drawn = stack(network, [lecun], seeds, dtype, small_normal)
    parameters = arithmetic.put(drawn, lambda name, a: a[0] * a.dtype.type(gain if name == "W" else 1))
    m = held.train.x.shape[1]
    chosen = np.stack([generator(seed, "examples").choice(m, EXAMPLES, replace=False) for seed in range(seeds)])
    return Nets(layers, parameters, replace(picked := held.train.columns(chosen), x=rounded(picked.x, BF16)))


def study(name: str, depth: int, width: int, seeds: int) -> tuple[Nets, Job, Signals]:
    """The networks, their job in that format, and what a more exact run gives."""
    to = FORMATS[name]
    made = nets(depth, width, seeds, "float64" if to == FLOAT64 else "float32")
    return made, made.job(to), longer(made) if to == FLOAT64 else signals(*seen(made.job(FLOAT64)))


def both(lab: Lab, job: Job, name: str) -> Shots:
    """What both make of it. float64 and float32 are compared number by number; the bound knows no shorter ones."""
    with native.tensor_cores(name):
        if FORMATS[name].bits >= 24:
            return lab.look(job)
        return {backend: side.snapshot(job) for backend, side in backends(lab.device).items()}


def seen(job: Job) -> tuple[Job, Snapshot]:
    return job, backends("cpu")["scratch"].snapshot(job)


def signals(job: Job, shot: Snapshot) -> Signals:
    """What is looked at: pre-activations, the gradients there, and the gradients of the weights."""
    return _of_dense(job, shot.outputs, shot.output_gradients, shot.gradients)


def _of_dense(job: Job, outputs: Sequence[Array], above: Sequence[Array], gradients: Parameters) -> Signals:
    dense = [k for k, named in enumerate(job.parameters) if named]
    return {
        "activation": [outputs[k] for k in dense],
        "gradient": [above[k] for k in dense],
        "weight gradient": [gradients[k]["W"] for k in dense],
    }


def longer(made: Nets) -> Signals:
    """scratch's own layers in NumPy's long double, of 64 bits on x86."""
    job = made.job(FLOAT64)
    wide = arithmetic.put(job.parameters, lambda name, a: a.astype(np.longdouble))
    gradients = arithmetic.put(wide, lambda name, a: np.zeros_like(a))
    _, trace = job.network.differentiate(job.loss, wide, gradients, job.data.x.astype(np.longdouble), job.data.y)
    return _of_dense(job, trace.outputs, trace.douts, gradients)


def relative(a: Array, truth: Array) -> Array:
    """‖a − truth‖²/‖truth‖² of each network; ∞ where it is no number, which a mean would pass over."""
    found = (((a - truth) ** 2).sum((-1, -2)) / (truth**2).sum((-1, -2))).astype(np.float64)
    return np.where(np.isnan(found), np.inf, found)


def model(made: Nets, to: Format, truth: Signals, replicas: int, scale: float = 1.0) -> Frame:
    """The mean square over random errors. float64 rounds as float32 does, 2²⁹ times as finely: there it is float32's model."""
    short, factor = (FLOAT32, 2.0**-58) if to == FLOAT64 else (to, 1.0)
    random, total = generator(0, "model", short.name), dict.fromkeys(truth, np.zeros((1, 1)))
    for _ in range(replicas):
        found = signals(*seen(made.modelled(short, scale, random)))
        for key, arrays in found.items():
            errors = [relative(a, b) for a, b in zip(arrays, truth[key], strict=True)]
            total[key] = total[key] + np.array(errors)  # (layers, seeds)
    rows = []
    for signal, sums in total.items():
        count, seeds = sums.shape
        axes: dict[str, Sequence[int]] = {"layer": range(1, count + 1), "seed": range(seeds)}
        rows.append(probes.rows(sums * factor / replicas, axes, signal=signal))
    return stacked(rows).rename(columns={"value": "modelled"})


def averages(table: Frame, by: Sequence[str], means: Sequence[str], excess: pd.Series) -> Frame:
    """Means over networks, and "standard_error" of the mean of ``excess``.

    Where there is a column "numbers", one number of them all counts as an error as well.
    """
    grouped = table.assign(excess=excess).groupby(list(by), sort=False)
    found, error = grouped[list(means)].mean(), grouped.excess.sem()
    if "numbers" in table:
        error = np.hypot(error, 1 / grouped.numbers.sum())
    return found.assign(standard_error=error, seeds=grouped.size()).reset_index()


def roots(rows: Frame, unit: Any = 1.0, predicted: str = "modelled") -> Frame:
    """Root mean squares from mean squares, in units of ``unit``, and their standard error."""
    size = np.sqrt(rows.measured)
    error = np.where(size > 0, rows.standard_error / (2 * size.where(size > 0, 1)), 0)
    return rows.assign(measured=size / unit, predicted=np.sqrt(rows[predicted]) / unit, standard_error=error / unit)


def operands(kind: str, trials: int, n: int) -> tuple[Array, Array]:
    """x, y (trials, n), float32 from U[0, 1] ("positive") or U[−1, 1] ("signs")."""
    low = 0.0 if kind == "positive" else -1.0
    x, y = generator(0, "operands", kind, n).uniform(low, 1, (2, max(2, min(trials, NUMBERS // n)), n))
    return x.astype(np.float32), y.astype(np.float32)
