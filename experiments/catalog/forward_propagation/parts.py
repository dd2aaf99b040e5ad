"""What is measured, each part on both implementations. An example is a column; o neurons, i inputs, m examples."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from numpy.random import Generator

from experiments import agreement
from experiments.agreement import Difference, unit_roundoff
from experiments.catalog.forward_propagation.by_hand import bounds, gamma, nearest, scalars
from experiments.experiment import Tables, backends
from experiments.randomness import generator
from scratch import BatchNorm, Dense, InnerProduct, Sigmoid, Tanh
from scratch.contract import Batch, Job
from scratch.initializers import lecun, normal
from scratch.layers import Array, Layer
from scratch.network import Network, Parameters

BACKENDS = ("scratch", "torchref")


def outputs(backend: str, layers: tuple[Layer, ...], parameters: Parameters, x: Array) -> tuple[Array, ...]:
    """Every layer's output (…, units, m)."""
    return backends("cpu")[backend].snapshot(looked(layers, parameters, x)).outputs


def looked(layers: tuple[Layer, ...], parameters: Parameters, x: Array) -> Job:
    """The job of one look; the gradient at the output is no ones, lest agreement be easy."""
    network = Network(layers, x.shape[-2])
    upstream = generator(0, "upstream").standard_normal((network.widths[-1], x.shape[-1]))
    return Job(layers, InnerProduct(), parameters, Batch(x, upstream.astype(x.dtype)))


def agreed(job: Job) -> list[Difference]:
    ours, theirs = (backend.snapshot(job) for backend in backends("cpu").values())
    return agreement.pointwise(job, ours, theirs, generator(0, "shadows"))


# --- the notes' own shapes -------------------------------------------------------------------------------------------------


def notes(*, examples: int, seed: int, dtype: str) -> Tables:
    """W 2×3, V 1×2 on one input and on n, in whole numbers; and which columns one changed example touches."""
    random = generator(seed, "notes")
    w, v, x = (
        random.choice((-3.0, -2.0, -1.0, 1.0, 2.0, 3.0), shape).astype(dtype)
        for shape in ((2, 3), (1, 2), (3, examples))
    )
    layers, parameters = (Dense(2, bias=False), Dense(1, bias=False)), ({"W": w}, {"W": v})
    shapes: list[dict] = []
    for backend in BACKENDS:
        for name, chosen in {"3 × 1": x[:, :1], "3 × n": x}.items():
            found = dict(zip(("a1", "a2"), outputs(backend, layers, parameters, chosen), strict=True))
            shapes += [
                {
                    "backend": backend,
                    "x": name,
                    "product": product,
                    "n": examples,
                    "rows": a.shape[0],
                    "columns": a.shape[1],
                }
                for product, a in found.items()
            ]
    drawn = dict(zip(("W", "X", "A1", "V", "A2"), (w, x, found["a1"], v, found["a2"]), strict=True))
    matrices = [
        {"matrix": name, "row": row, "column": column, "value": value}
        for name, matrix in drawn.items()
        for (row, column), value in np.ndenumerate(matrix.astype(float))
    ]
    touched = [row for backend in BACKENDS for row in touches(backend, examples, seed, dtype)]
    compared = agreement.table(
        agreed(looked(layers, parameters, x)), "notes' shapes", f"3×{examples} through W 2×3, V 1×2"
    )
    return {
        "shapes": pd.DataFrame(shapes),
        "matrices": pd.DataFrame(matrices),
        "touched": pd.DataFrame(touched),
        "agreement": compared,
    }


def touches(backend: str, examples: int, seed: int, dtype: str) -> Iterator[dict]:
    """|change| of every number of the notes' network, and of the same with batch norm, when the second example is another."""
    random = generator(seed, "touched")
    x = random.standard_normal((3, examples)).astype(dtype)
    for name, layers in {
        "the notes' network": tanh_sigmoid(2, 1),
        "with batch norm": tanh_sigmoid(2, 1, BatchNorm()),
    }.items():
        parameters = started(layers, 3, seed, dtype)
        changes = change(backend, layers, parameters, x, moved(x, 1, random))
        shown = {"z1, neuron 1": changes[0][0], "z1, neuron 2": changes[0][1], "a2 = ŷ": changes[-1][0]}
        for signal, numbers in shown.items():
            for column, moves in enumerate(numbers.tolist()):
                yield {"backend": backend, "network": name, "signal": signal, "column": column, "change": moves}


# --- one product, exact sums, a loop, rows ---------------------------------------------------------------------------------


def products(*, inputs: int, trials: int, largest: int, seed: int, dtype: str) -> Tables:
    """Z = WX on random shapes, the first of them square, in three comparisons; and whether Wᵀ in W's place is refused."""
    found, refusals, differences, unit = [], [], [], unit_roundoff(np.dtype(dtype))
    for trial in range(trials):
        random = generator(seed, "products", inputs, trial)
        neurons, examples = other(random, largest, inputs) if trial else inputs, int(random.integers(2, largest + 1))
        w, x = (random.standard_normal(shape).astype(dtype) for shape in ((neurons, inputs), (inputs, examples)))
        sums = exact(w, x)
        for backend in BACKENDS:
            found += [{"backend": backend} | row for row in compared(backend, w, x, sums)]
            refusals.append({"backend": backend, "square": neurons == inputs, "refused": refused(backend, w.T, x)})
        differences += agreed(looked((Dense(neurons, bias=False),), ({"W": w},), x))
    most = pd.DataFrame(found).groupby(["backend", "comparison"], sort=False).max().reset_index()
    shares = (
        pd.DataFrame(refusals).groupby(["backend", "square"], sort=False).refused.agg(["mean", "size"]).reset_index()
    )
    limits = {name: float(gamma(k, unit) / unit) for name, k in limited(inputs).items()}
    return {
        "products": most.assign(inputs=inputs, predicted=most.comparison.map(limits), trials=trials),
        "refused": shares.rename(columns={"mean": "measured", "size": "shapes"}).assign(inputs=inputs),
        "agreement": agreement.table(differences, "products", f"{inputs} inputs"),
    }


def compared(backend: str, w: Array, x: Array, sums: Array) -> Iterator[dict]:
    """The product against exact sums, against a loop over examples, against the convention with rows; and what must not agree."""
    unit = unit_roundoff(x.dtype) * (
        np.abs(w).astype(float) @ np.abs(x)
    )  # u·Σ|w||x|: what one rounding of everything may lose
    z = product(backend, w, x)
    looped = np.concatenate([product(backend, w, x[:, j : j + 1]) for j in range(x.shape[1])], axis=1)
    turned = product(backend, w.T.copy(), x) if w.shape[0] == w.shape[1] else np.full(z.shape, np.nan)
    late = np.roll(looped, 1, axis=1)  # every example gets its neighbour's result
    for name, same, wrong in (
        ("exact sums", sums, turned),
        ("a loop", looped, late),
        ("rows", rows(backend, w, x), turned),
    ):
        apart, control = (float((np.abs(a.astype(float) - z) / unit).max()) for a in (same, wrong))
        yield {"comparison": name, "measured": apart, "control": control}


def limited(inputs: int) -> dict[str, int]:
    """How many roundings may lie between the two: i in each product of i terms; of an exact sum, its products' and its own."""
    return {"exact sums": inputs + 2, "a loop": 2 * inputs, "rows": 2 * inputs}


def other(random: Generator, largest: int, than: int) -> int:
    """A random number of neurons that does not make W square."""
    return int(random.choice([n for n in range(1, largest + 1) if n != than]))


def product(backend: str, w: Array, x: Array) -> Array:
    """WX by a Dense layer, by nn.Linear."""
    return outputs(backend, (Dense(len(w), bias=False),), ({"W": w},), x)[0]


def rows(backend: str, w: Array, x: Array) -> Array:
    """What the other convention gives, an example a row: (XᵀWᵀ)ᵀ in NumPy. nn.Linear has it inside: beside it, WX by torch.matmul."""
    if backend == "scratch":
        return (x.T @ w.T).T
    return torch.matmul(torch.from_numpy(w), torch.from_numpy(x)).numpy()


def refused(backend: str, w: Array, x: Array) -> bool:
    """Whether the product of these two is refused for its shapes."""
    try:
        if backend == "scratch":
            Dense(len(w), bias=False).forward({"W": w}, x)
        else:
            torch.nn.functional.linear(torch.from_numpy(x.T), torch.from_numpy(w))
    except (ValueError, RuntimeError):
        return True
    return False


def exact(w: Array, x: Array) -> Array:
    """Σ_k w_ik x_kj, neuron by neuron and example by example, each sum rounded once (math.fsum)."""
    return np.array([[math.fsum(map(float.__mul__, row, column)) for column in x.T.tolist()] for row in w.tolist()])


# --- Wᵀ where W belongs ----------------------------------------------------------------------------------------------------


def squares(*, n: int, draws: int, seed: int, dtype: str) -> Tables:
    """Wᵀx beside Wx for random n×n matrices: size ‖Wᵀx‖²/n‖x‖² and overlap ⟨Wᵀx, Wx⟩/n‖x‖², mean over the draws."""
    w = generator(seed, "squares", n).standard_normal((draws, n, n)).astype(dtype)
    x = np.linspace(0.5, 1.5, n, dtype=dtype)[:, None]
    scale, found = n * float((x * x).sum()), []
    for backend in BACKENDS:
        right, wrong = (stacked(backend, a, x) for a in (w, w.mT.copy()))
        for quantity, values, control in (
            ("size", (wrong * wrong), (right * right)),
            ("overlap", (wrong * right), (right * right)),
        ):
            numbers, beside = (a.sum((-2, -1), dtype=float) / scale for a in (values, control))
            found.append(
                {"backend": backend, "n": n, "quantity": quantity, "measured": numbers.mean(), "draws": draws}
                | {
                    "standard_error": spread(numbers),
                    "control_measured": beside.mean(),
                    "control_error": spread(beside),
                }
            )
    few = looked((Dense(n, bias=False),), ({"W": w[:20].mT.copy()},), x)
    return {
        "squares": pd.DataFrame(found),
        "agreement": agreement.table(agreed(few), "squares", f"{n}×{n}, transposed"),
    }


def stacked(backend: str, w: Array, x: Array) -> Array:
    return outputs(backend, (Dense(w.shape[-2], bias=False),), ({"W": w},), x)[0]


def spread(values: Array) -> float:
    """Standard error of the mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


# --- the notes' network by hand --------------------------------------------------------------------------------------------


def network(*, widest: int, trials: int, seed: int, dtype: str) -> Tables:
    """ŷ = σ(w2 tanh(w1 x + b1) + b2) on random shapes, by hand and by both; and what one changed example does to the others."""
    by_hand, alone, differences = [], [], []
    for trial in range(trials):
        random = generator(seed, "network", widest, trial)
        inputs, hidden, outs = (int(random.integers(1, widest + 1)) for _ in range(3))
        x = random.standard_normal((inputs, int(random.integers(3, widest + 4)))).astype(dtype)
        changed = int(random.integers(x.shape[1]))
        plain, mixed = tanh_sigmoid(hidden, outs), tanh_sigmoid(hidden, outs, BatchNorm())
        parameters, others = (started(layers, inputs, trial, dtype) for layers in (plain, mixed))
        expected, without = (scalars(parameters, x, squashed) for squashed in (True, False))
        limits = bounds(parameters, x, expected)
        after = moved(x, changed, random)
        for backend in BACKENDS:
            signals = outputs(backend, plain, parameters, x)
            at = {"backend": backend, "widest": widest, "trial": trial}
            for k, signal in enumerate(("z1", "a1", "z2", "a2")):
                row = nearest(signals[k], expected[k], limits[k], unit_roundoff(x.dtype))
                wrong = np.abs(without[k] - expected[k]).max() / unit_roundoff(x.dtype)
                by_hand.append(at | {"signal": signal} | row | {"control": wrong})
            elsewhere = np.arange(x.shape[1]) != changed
            same, mixing = (change(backend, *pair, x, after) for pair in ((plain, parameters), (mixed, others)))
            alone.append(
                at
                | {"elsewhere": max(float(a[:, elsewhere].max()) for a in same)}
                | {"itself": min(float(a[:, changed].max()) for a in same)}
                | {"mixed": float(mixing[-1][:, elsewhere].max())}
            )
        differences += agreed(looked(plain, parameters, x))
    table = pd.DataFrame(by_hand)
    closest = table.assign(ratio=table.measured / table.predicted).groupby(["backend", "signal"], sort=False)
    chosen = table.loc[closest.ratio.idxmax()].reset_index(drop=True)
    chosen["control"] = closest.control.max().to_numpy()
    found = (
        pd.DataFrame(alone).groupby(["backend", "widest"]).agg({"elsewhere": "max", "itself": "min", "mixed": "max"})
    )
    return {
        "by_hand": chosen,
        "alone": found.reset_index(),
        "agreement": agreement.table(differences, "network", f"up to {widest} units a layer"),
    }


def tanh_sigmoid(hidden: int, outs: int, *between: Layer) -> tuple[Layer, ...]:
    return (Dense(hidden), *between, Tanh(), Dense(outs), Sigmoid())


def started(layers: tuple[Layer, ...], inputs: int, seed: int, dtype: str) -> Parameters:
    """Normal weights of variance 1/i, standard normal biases."""
    drawn = Network(layers, inputs).initialize(lecun, lambda k: generator(seed, "weights", k), normal)
    return tuple({name: a.astype(dtype) for name, a in named.items()} for named in drawn)


def moved(x: Array, column: int, random: Generator) -> Array:
    """X with another example in one column."""
    other = x.copy()
    other[:, column] += random.uniform(0.5, 1.5, len(x)).astype(x.dtype)
    return other


def change(backend: str, layers: tuple[Layer, ...], parameters: Parameters, x: Array, after: Array) -> list[Array]:
    pairs = zip(*(outputs(backend, layers, parameters, a) for a in (x, after)), strict=True)
    return [np.abs(b - a) for a, b in pairs]
