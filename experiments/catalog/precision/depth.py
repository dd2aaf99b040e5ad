"""Error against layer: deep networks in every format on both implementations, the random model of it, and the worst case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

import scratch as s
from experiments import agreement
from experiments.catalog.precision import arithmetic, native
from experiments.catalog.precision.formats import BF16, FLOAT32, FLOAT64, FORMATS, Format, jittered, rounded
from experiments.catalog.precision.laws import Worst
from experiments.data import load
from experiments.experiment import Tables, backends
from experiments.randomness import generator, stack
from scratch.contract import Batch, Job, Snapshot
from scratch.initializers import lecun, small_normal
from scratch.layers import Array, Layer
from scratch.losses import CrossEntropy
from scratch.network import Network, Parameters

EXAMPLES = 40  # more than classes, fewer than units
CLASSES = 10
PLAIN = CrossEntropy()
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
        parameters = arithmetic.put(self.parameters, lambda name, a: self._held(name, a, to).astype(kind))
        return Job(
            arithmetic.shortened(self.layers, to), loss, parameters, Batch(self.data.x.astype(kind), self.data.y)
        )

    @staticmethod
    def _held(name: str, a: Array, to: Format) -> Array:
        return rounded(a, to) if name == "W" or to.stored else a

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
    layers = (*(layer for _ in range(depth) for layer in (s.Dense(width), s.Tanh())), s.Dense(CLASSES))
    network = Network((*layers, arithmetic.Cast("float32")), held.features)
    drawn = stack(network, [lecun], seeds, dtype, small_normal)
    parameters = arithmetic.put(drawn, lambda name, a: a[0] * a.dtype.type(gain if name == "W" else 1))
    m = held.train.x.shape[1]
    chosen = np.stack([generator(seed, "examples").choice(m, EXAMPLES, replace=False) for seed in range(seeds)])
    return Nets(layers, parameters, replace(picked := held.train.columns(chosen), x=rounded(picked.x, BF16)))


def signals(job: Job, shot: Snapshot) -> Signals:
    """What is looked at: pre-activations, the gradients there, and the gradients of the weights."""
    dense = [k for k, named in enumerate(job.parameters) if named]
    return {
        "activation": [shot.outputs[k] for k in dense],
        "gradient": [shot.output_gradients[k] for k in dense],
        "weight gradient": [shot.gradients[k]["W"] for k in dense],
    }


def errors(*, name: str, depth: int, width: int, seeds: int, shadows: int, device: str) -> Tables:
    """Relative mean square error (of the whole layer) against a more exact run, for every network, layer and signal.

    "modelled" is the same of float64 networks with random errors, the mean over ``shadows``; "bound" the worst case.
    """
    to = FORMATS[name]
    made = nets(depth, width, seeds, "float64" if to == FLOAT64 else "float32")
    job = made.job(to)
    truth = longer(made) if to == FLOAT64 else signals(*seen(made.job(FLOAT64)))
    expected = model(made, to, truth, shadows)
    bounds = {name: worst_case(made, Worst(to, probable)) for name, probable in (("bound", False), ("probable", True))}
    shots = {}
    for backend, side in backends(device).items():
        with native.tensor_cores(name):
            shots[backend] = side.snapshot(job)
    frames = [
        _rows(signals(job, shot), truth, bounds).merge(expected, how="left").assign(backend=backend, format=name)
        for backend, shot in shots.items()
    ]
    tables = {"measurements": pd.concat(frames, ignore_index=True)}
    if to in (FLOAT32, FLOAT64):
        ours, theirs = (signals(job, shot) for shot in shots.values())
        tables["apart"] = apart(ours, theirs, truth).assign(format=name)
        tables["mistaken"] = mistaken(job, shots, truth, device).assign(format=name)
        few = _first(job, 2)
        mine, other = (side.snapshot(few) for side in backends(device).values())
        found = agreement.pointwise(few, mine, other, generator(0, "shadows"))
        tables["agreement"] = agreement.table(found, "depth", f"{depth} tanh layers, {name}")
    return tables


def seen(job: Job) -> tuple[Job, Snapshot]:
    return job, backends("cpu")["scratch"].snapshot(job)


def _first(job: Job, count: int) -> Job:
    data = Batch(job.data.x[:count], job.data.y[:count])
    return replace(job, parameters=arithmetic.put(job.parameters, lambda name, a: a[:count]), data=data)


def longer(made: Nets) -> Signals:
    """scratch's own layers in NumPy's long double, of 64 bits on x86."""
    job = made.job(FLOAT64)
    wide = arithmetic.put(job.parameters, lambda name, a: a.astype(np.longdouble))
    gradients = arithmetic.put(wide, lambda name, a: np.zeros_like(a))
    _, trace = job.network.differentiate(job.loss, wide, gradients, job.data.x.astype(np.longdouble), job.data.y)
    dense = [k for k, named in enumerate(wide) if named]
    return {
        "activation": [trace.outputs[k] for k in dense],
        "gradient": [trace.douts[k] for k in dense],
        "weight gradient": [gradients[k]["W"] for k in dense],
    }


def relative(a: Array, truth: Array) -> Array:
    """‖a − truth‖²/‖truth‖² of each network; ∞ where it is no number, which a mean would pass over."""
    found = (((a - truth) ** 2).sum((-1, -2)) / (truth**2).sum((-1, -2))).astype(np.float64)
    return np.where(np.isnan(found), np.inf, found)


def _rows(found: Signals, truth: Signals, bounds: dict[str, Signals]) -> pd.DataFrame:
    rows = []
    for signal, arrays in found.items():
        for layer, array in enumerate(arrays, 1):
            exact = truth[signal][layer - 1]
            named = {"signal": signal, "layer": layer, "seed": range(len(array)), "measured": relative(array, exact)}
            for name, limits in bounds.items():
                if signal in limits:
                    limit, size = limits[signal][layer - 1], (exact**2).sum((-1, -2))
                    named[name] = ((limit**2).sum((-1, -2)) / size).astype(np.float64)
                    named[f"of_{name}"] = (np.abs(array - exact) / limit).max((-1, -2)).astype(np.float64)
            rows.append(pd.DataFrame(named))
    return pd.concat(rows, ignore_index=True)


def model(made: Nets, to: Format, truth: Signals, shadows: int, scale: float = 1.0) -> pd.DataFrame:
    """The mean square over random errors. float64 rounds as float32 does, 2²⁹ times as finely: there it is float32's model."""
    short, factor = (FLOAT32, 2.0**-58) if to == FLOAT64 else (to, 1.0)
    random, total = generator(0, "model", short.name), None
    for _ in range(shadows):
        found = signals(*seen(made.modelled(short, scale, random)))
        one = {key: np.array([relative(a, b) for a, b in zip(found[key], truth[key], strict=True)]) for key in found}
        total = one if total is None else {key: total[key] + one[key] for key in one}
    assert total is not None
    rows = []
    for signal, sums in total.items():
        for layer, values in enumerate(sums * factor / shadows, 1):
            rows.append(
                pd.DataFrame({"signal": signal, "layer": layer, "seed": range(len(values)), "modelled": values})
            )
    return pd.concat(rows, ignore_index=True)


def worst_case(made: Nets, bound: Worst) -> Signals:
    """The bound on every entry of every layer, forward and backward."""
    job, shot = seen(made.job(FLOAT64))
    dense = [k for k, named in enumerate(job.parameters) if named]
    x, e = job.data.x, np.zeros_like(job.data.x)
    kept: list[tuple[Array, Array]] = []  # what each Dense layer reads
    found: Signals = {"activation": [], "gradient": []}
    for k in dense:
        p = job.parameters[k]
        kept.append((x, e))
        e = bound.dense(p["W"], p["b"], x, e)
        found["activation"].append(e)
        x, e = shot.outputs[k + 1], bound.tanh(shot.outputs[k + 1], e)
    logits = shot.outputs[dense[-1]]
    shares, _ = s.Softmax().forward({}, logits)
    g, eg = shot.output_gradients[dense[-1]], bound.loss(shares, logits, found["activation"][-1])
    for k, (a, ea) in zip(dense[::-1], kept[::-1], strict=True):
        found["gradient"].insert(0, eg)
        if k == 0:
            break
        w = job.parameters[k]["W"].mT
        down = w @ g
        eg = bound.keep(down, bound.product(w, bound.held(w, "W"), g, bound.read(g, eg)), 0)
        eg = bound.through(a, ea, down, eg)
        g = shot.output_gradients[k - 2]
    return found


def apart(ours: Signals, theirs: Signals, truth: Signals) -> pd.DataFrame:
    """How far the implementations are from each other and from the truth, and how alike their errors are (cosine): three layers."""
    top, rows = len(truth["activation"]), []
    for signal, layer in product(ours, (1, (1 + top) // 2, top)):
        a, b, exact = (side[signal][layer - 1] for side in (ours, theirs, truth))
        size, left, right = (exact**2).sum((-1, -2)), a - exact, b - exact
        far = relative(a, exact), relative(b, exact)
        distance = (((left - right) ** 2).sum((-1, -2)) / size).astype(np.float64)
        alike = ((left * right).sum((-1, -2)) / size).astype(np.float64) / np.maximum(np.sqrt(far[0] * far[1]), 1e-300)
        named = {"signal": signal, "layer": layer, "seed": range(len(a)), "scratch": far[0], "torchref": far[1]}
        rows.append(pd.DataFrame(named | {"apart": distance, "alike": alike}))
    return pd.concat(rows, ignore_index=True)


def mistaken(job: Job, shots: dict[str, Snapshot], truth: Signals, device: str) -> pd.DataFrame:
    """The same distance with a mistake planted in one implementation: weights of the first layer too large by 256 roundings."""
    large = 1 + 256 * np.finfo(job.data.x.dtype).eps / 2
    first = {name: a * a.dtype.type(large) if name == "W" else a for name, a in job.parameters[0].items()}
    wrong = replace(job, parameters=(first, *job.parameters[1:]))
    rows = []
    for (backend, side), other in zip(backends(device).items(), list(shots.values())[::-1], strict=True):
        pair = signals(job, side.snapshot(wrong)), signals(job, other)
        rows.append(apart(*pair, truth).assign(backend=backend))
    return pd.concat(rows, ignore_index=True)[["backend", "signal", "layer", "seed", "apart"]]
