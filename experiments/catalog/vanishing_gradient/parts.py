"""What each kind of cell of this experiment measures, on both backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from experiments import agreement, probes, theory
from experiments.data import load
from experiments.experiment import Tables, backends
from experiments.randomness import batches, generator, stack
from scratch import activations, initializers, metrics
from scratch.contract import Batch, Job, Snapshot
from scratch.initializers import Scheme
from scratch.layers import Array, Dense, Layer
from scratch.losses import CrossEntropy, InnerProduct
from scratch.network import Network, Parameters
from scratch.optimizers import SGD

EXAMPLES = 16  # of the training set, on which the networks of the depth study are looked at
COMPARED = 600_000  # parameters, and 500 networks: the part of a large stack that is compared number by number
BATCH = 60
OPTIMIZER = SGD(0.01, momentum=0.9)
SIGMA_B2 = 0.05  # variance of the biases in the study of depth scales, as in Schoenholz 2017


def product(*, depth: int, draws: int, device: str, dtype: str) -> Tables:
    """y = w1 w2 … wn x, w ~ N(0, 1), as a network of width 1: log|y/x| and log|∂y/∂x| at every depth."""
    network = Network(tuple(Dense(1, bias=False) for _ in range(depth)), 1)
    job = exact_job(network, draws, dtype, initializers.lecun)

    def logs(shot: Snapshot) -> dict[str, list[Array]]:
        return {
            "activation": growth(shot.outputs, job.data.x, 0.5),
            "gradient": growth(shot.output_gradients[-2::-1], job.data.y, 0.5),
        }

    return laws("product", "N(0, 1)", job, device, logs)


def linear(*, init: str, draws: int, device: str, dtype: str) -> Tables:
    """Fifty linear layers of width 10: log ‖h_L‖²/‖h₀‖² forward, and the same of the gradient backward."""
    network = Network(tuple(Dense(10, bias=False) for _ in range(50)), 10)
    job = exact_job(network, draws, dtype, initializers.by_name()[init])

    def logs(shot: Snapshot) -> dict[str, list[Array]]:
        return {
            "activation": growth(shot.outputs, job.data.x),
            "gradient": growth(shot.output_gradients[-2::-1], job.data.y),
        }

    return laws("linear", init, job, device, logs)


def narrow(*, draws: int, device: str, dtype: str) -> Tables:
    """Ten ReLU layers of width 10, He: log ‖h_L‖²/‖h₀‖² of the networks that are alive. Forward only: there the law is exact."""
    network = Network(hidden(activations.ReLU(), 10, 10), 10)
    job = exact_job(network, draws, dtype, initializers.he)
    return laws("narrow", "he", job, device, lambda shot: {"activation": growth(shot.outputs[1::2], job.data.x)})


def dead(*, width: int, depth: int, draws: int, device: str, dtype: str) -> Tables:
    """The share of ReLU networks, He, whose last hidden layer gives out nothing but zeros for one input."""
    job = exact_job(Network(hidden(activations.ReLU(), width, depth), width), draws, dtype, initializers.he)

    def share(shot: Snapshot) -> dict[str, list[Array]]:
        silent = [np.all(h == 0, axis=(-2, -1)) for h in shot.outputs[1::2]]
        silent[-1] &= np.all(shot.gradients[0]["W"] == 0, axis=(-2, -1))  # dead: no signal up and no gradient down
        return {"dead": [found.astype(float) for found in silent]}

    return laws("dead", f"width {width}", job, device, share)


def ratio(*, depths: Sequence[int], seeds: int, data: str, device: str, dtype: str) -> Tables:
    """‖∂J/∂W₁‖ under He over that under Xavier, from the same draws and a fixed gradient at the output."""
    batch = first_examples(data, dtype)
    upstream = generator(0, "upstream").standard_normal(batch.x.shape).astype(dtype)
    found: list[Tables] = []
    for depth in depths:
        network = Network((*hidden(activations.ReLU(), len(batch.x), depth - 1), Dense(len(batch.x))), len(batch.x))
        parameters = stack(network, [initializers.he, initializers.xavier], seeds, dtype)
        job = Job(network.layers, InnerProduct(), parameters, Batch(batch.x, upstream))

        def shares(shot: Snapshot, depth: int = depth) -> dict[str, list[Array]]:
            he, xavier = probes.rms(shot.gradients[0]["W"])
            alive = xavier > 0  # in narrow networks some are born dead under both
            return {"weight gradient": [he[alive] / xavier[alive] / 2 ** ((depth - 1) / 2)]}

        found.append(laws("ratio", f"width {len(batch.x)}", job, device, shares, depths=[depth]))
    return joined(found)


def depth_scale(*, sigma_w2: float, width: int, seeds: int, data: str, device: str, dtype: str) -> Tables:
    """Slope per layer of log ‖∂J/∂z‖² in a wide tanh network whose signal starts at its fixed point q*."""
    depth, sigma_b2 = 20, SIGMA_B2
    q, _ = theory.fixed_point(activations.Tanh(), sigma_w2, sigma_b2)
    batch = first_examples(data, dtype)
    to_fixed_point = np.sqrt((q - sigma_b2) / sigma_w2 / (batch.x**2).mean(0))  # scales each example
    x = (batch.x * to_fixed_point).astype(dtype)
    upstream = generator(0, "upstream").standard_normal((width, x.shape[1])).astype(dtype)
    network = Network(hidden(activations.Tanh(), width, depth), len(x))
    parameters = stack(
        network,
        [gaussian(sigma_w2)],
        seeds,
        dtype,
        biases=lambda g, shape: g.standard_normal(shape) * np.sqrt(sigma_b2),
    )
    job = Job(network.layers, InnerProduct(), parameters, Batch(x, upstream))

    def slopes(shot: Snapshot) -> dict[str, list[Array]]:
        logs = 2 * np.log([probes.rms(g)[0] for g in shot.output_gradients[::2]])  # (layers, seeds)
        return {"gradient": [-np.polyfit(np.arange(depth), logs, 1)[0]]}

    return laws("depth scale", f"σ_w²={sigma_w2}, width {width}", job, device, slopes, depths=[depth])


def signals(
    *, depth: int, activation: str, init: str, width: int, seeds: int, data: str, device: str, dtype: str
) -> Tables:
    """Gradient and activation size at every layer of real networks on real data, at initialization."""
    batch, chosen = first_examples(data, dtype), activations.by_name()[activation]()
    network = classifier(chosen, width, depth, batch, data, dtype)
    job = Job(network.layers, CrossEntropy(), stack(network, [initializers.by_name()[init]], seeds, dtype), batch)
    shots = {name: backend.snapshot(job) for name, backend in backends(device).items()}
    rows = []
    for name, shot in shots.items():
        sizes = probes.signals(job, shot)
        values = np.array([size[:, 0] for size in sizes.values()])  # (quantities, layers, seeds)
        axes = {"quantity": list(sizes), "layer": range(1, values.shape[1] + 1), "seed": range(seeds)}
        rows.append(probes.rows(values, axes, depth=depth, activation=activation, init=init, backend=name))
    condition = f"{activation} {init}, depth {depth}"
    return joined([{"measurements": frame} for frame in rows] + [compared(job, shots, "signals", condition)])


def training(
    *,
    activation: str,
    inits: Sequence[str],
    depth: int,
    width: int,
    steps: int,
    seeds: int,
    data: str,
    device: str,
    dtype: str,
    part: str = "training",
) -> Tables:
    """Loss and accuracy on the test set along the way, for a stack of (init, seed)."""
    looked_at = looks(steps, max(2, min(15, steps // 15)))
    job = trained_job(activation, inits, depth, width, steps, seeds, data, dtype, looked_at)
    labels, rows = job.evaluate["test"].y, []
    axes = {"quantity": ["loss", "accuracy"], "step": job.snapshots, "init": inits, "seed": range(seeds)}
    for name, backend in backends(device).items():
        outputs = (shot.scores["test"] for shot in backend.train(job))  # (inits, seeds, classes, examples) each
        seen = [(CrossEntropy()(output, labels)[0], metrics.accuracy(output, labels)) for output in outputs]
        rows.append(
            probes.rows(
                np.moveaxis(np.array(seen), 1, 0), axes, part=part, backend=name, activation=activation, depth=depth
            )
        )
    return joined([{"training": frame} for frame in rows])


def trajectory(*, activation: str, depth: int, width: int, steps: int, data: str, device: str, dtype: str) -> Tables:
    """How far the parameters of the two implementations drift apart while each trains alone."""
    job = trained_job(
        activation, ["xavier", "he"], depth, width, steps, 1, data, dtype, looks(steps, max(1, min(10, steps // 2)))
    )
    ours, theirs = (list(backend.train(job)) for backend in backends(device).values())
    found = agreement.trajectory(job, ours, theirs, generator(0, "shadows"))
    return {"agreement": agreement.table(found, "trajectory", f"{activation} xavier and he, depth {depth}")}


def hidden(activation: Layer, width: int, depth: int) -> tuple[Layer, ...]:
    """``depth`` hidden layers: Dense and activation in turn."""
    return (Dense(width), activation) * depth


def classifier(activation: Layer, width: int, depth: int, batch: Batch, data: str, dtype: str) -> Network:
    """``depth`` hidden layers and a softmax layer over the classes of the data."""
    return Network((*hidden(activation, width, depth), Dense(load(data, dtype).classes)), len(batch.x))


def first_examples(data: str, dtype: str) -> Batch:
    """The first examples of the training set, all of them at most."""
    whole = load(data, dtype).train
    return whole.columns(np.arange(min(EXAMPLES, whole.x.shape[1])))


def trained_job(
    activation: str,
    inits: Sequence[str],
    depth: int,
    width: int,
    steps: int,
    seeds: int,
    data: str,
    dtype: str,
    snapshots: tuple[int, ...],
) -> Job:
    """A stack of (init, seed) classifiers of ``depth`` weight layers; the members of one seed see the same batches."""
    held = load(data, dtype)
    network = classifier(activations.by_name()[activation](), width, depth - 1, held.train, data, dtype)
    parameters = stack(network, [initializers.by_name()[init] for init in inits], seeds, dtype)
    examples = held.train.x.shape[1]
    order = np.stack([batches(seed, examples, min(BATCH, examples), steps + 1) for seed in range(seeds)], axis=1)
    order = np.repeat(order[:, None], len(inits), axis=1)
    return Job(network.layers, CrossEntropy(), parameters, held.train, order, OPTIMIZER, snapshots, {"test": held.test})


def looks(steps: int, count: int) -> tuple[int, ...]:
    """The steps at which training is looked at: evenly spread, the first and the last among them."""
    return tuple(sorted({round(steps * k / count) for k in range(count + 1)}))


def exact_job(network: Network, draws: int, dtype: str, scheme: Scheme) -> Job:
    """A stack of ``draws`` networks without biases' influence, one input column and a fixed gradient at the output."""
    parameters = network.initialize(scheme, lambda k: generator(0, "draws", k), leading=(draws,))
    typed = tuple({name: array.astype(dtype) for name, array in named.items()} for named in parameters)
    column = np.linspace(0.5, 1.5, network.inputs).reshape(-1, 1).astype(dtype)
    upstream = np.linspace(1.2, -0.7, network.widths[-1]).reshape(-1, 1).astype(dtype)
    return Job(network.layers, InnerProduct(), typed, Batch(column, upstream))


def gaussian(sigma_w2: float) -> Scheme:
    return lambda g, shape: g.standard_normal(shape) * np.sqrt(sigma_w2 / shape[-1])


def growth(arrays: Sequence[Array], start: Array, factor: float = 1.0) -> list[Array]:
    """factor · log(‖array‖²/‖start‖²) of each, (…,); −∞ where nothing is left."""
    with np.errstate(divide="ignore"):
        return [factor * 2 * np.log(probes.rms(a) / probes.rms(start)) for a in arrays]


def laws(
    part: str,
    condition: str,
    job: Job,
    device: str,
    observe: Callable[[Snapshot], dict[str, list[Array]]],
    depths: Sequence[int] | None = None,
) -> Tables:
    """Mean and variance over the stack of what ``observe`` sees at each depth, with standard errors; and the agreement."""
    shots = {name: backend.snapshot(job) for name, backend in backends(device).items()}
    rows = []
    for name, shot in shots.items():
        for signal, observed in observe(shot).items():
            for depth, values in zip(depths or range(1, len(observed) + 1), observed, strict=True):
                finite = values[np.isfinite(values)]
                if not len(finite):
                    continue  # every network is dead here
                center = finite - finite.mean()
                variance, count = (center**2).mean(), len(finite)
                error = np.sqrt(max((center**4).mean() - variance**2, 0) / count)
                farthest = finite[np.abs(center).argmax()]
                common = {
                    "part": part,
                    "condition": condition,
                    "backend": name,
                    "signal": signal,
                    "depth": depth,
                    "count": count,
                }
                rows += [
                    common
                    | {
                        "statistic": "mean",
                        "measured": finite.mean(),
                        "standard_error": np.sqrt(variance / max(count - 1, 1)),
                    },
                    common
                    | {
                        "statistic": "variance",
                        "measured": variance * count / max(count - 1, 1),
                        "standard_error": error,
                    },
                    common | {"statistic": "farthest", "measured": farthest, "standard_error": 0.0},
                ]
    return {"laws": pd.DataFrame(rows)} | compared(
        job, shots, part, condition + (f", depth {depths[0]}" if depths else "")
    )


def compared(job: Job, shots: dict[str, Snapshot], part: str, condition: str) -> Tables:
    """The two implementations held against each other on the first networks of the job's stack."""
    members = min(500, max(1, COMPARED // job.network.size))

    def first(array: Array) -> Array:
        return array.reshape(-1, *array.shape[len(job.leading) :])[:members]

    def few(parameters: Parameters) -> Parameters:
        return tuple({name: first(array) for name, array in named.items()} for named in parameters)

    ours, theirs = (
        Snapshot(
            shot.step,
            first(shot.loss),
            tuple(map(first, shot.outputs)),
            tuple(map(first, shot.output_gradients)),
            few(shot.parameters),
            few(shot.gradients),
            few(shot.buffers),
            {},
        )
        for shot in shots.values()
    )
    found = agreement.pointwise(replace(job, parameters=few(job.parameters)), ours, theirs, generator(0, "shadows"))
    return {"agreement": agreement.table(found, part, condition)}


def joined(tables: Sequence[Tables]) -> Tables:
    """Tables of the same name, one under the other."""
    names = dict.fromkeys(name for held in tables for name in held)
    return {name: pd.concat([held[name] for held in tables if name in held], ignore_index=True) for name in names}


PARTS: dict[str, Callable[..., Tables]] = {
    "product": product,
    "linear": linear,
    "narrow": narrow,
    "dead": dead,
    "ratio": ratio,
    "depth scale": depth_scale,
    "signals": signals,
    "training": training,
    "race": partial(training, part="race"),
    "trajectory": trajectory,
}

COLUMNS = {  # of the tables that the parts make: what is left of one if all its cells fail
    "measurements": ["quantity", "layer", "seed", "depth", "activation", "init", "backend", "value"],
    "laws": ["part", "condition", "backend", "signal", "depth", "count", "statistic", "measured", "standard_error"],
    "training": ["quantity", "step", "init", "seed", "part", "backend", "activation", "depth", "value"],
}
