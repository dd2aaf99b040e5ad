"""What several pages share: networks, jobs, and moments of what a stack of networks shows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.compare import probes
from experiments.data import load
from experiments.lab import Array, Frame, Lab, looks
from scratch import SGD, Batch, CrossEntropy, Dense, InnerProduct, Job, Layer, Network, Snapshot, activations
from scratch.initializers import Scheme
from scratch.network import Parameters
from scratch.randomness import batches, generator, stack

EXAMPLES = 16  # of the training set, on which the networks of the depth study are looked at
FINITE_WIDTH = 2.5  # a mean-field law is of infinite width; log sizes may be off by about this times depth/width:
#                     it is the exact first-order term for ReLU (−5L/2n), and the scale for the others
MEAN_FIELD = f"Mean-field law (width → ∞), open by {FINITE_WIDTH}/n a layer; Student's t over seeds."
EXACT = "Exact law of independent draws; standard error of the sample."
BATCH = 60
OPTIMIZER = SGD(0.01, momentum=0.9)
PLATEAU = 0.9  # a network has begun to learn when its loss falls below this share of guessing's


def hidden(activation: Layer, width: int, depth: int) -> tuple[Layer, ...]:
    """``depth`` hidden layers: Dense and activation in turn."""
    return (Dense(width), activation) * depth


def first_examples(data: str, dtype: str) -> Batch:
    """The first examples of the training set, all of them at most."""
    whole = load(data, dtype).train
    return whole.columns(np.arange(min(EXAMPLES, whole.x.shape[1])))


def gaussian(sigma_w2: float) -> Scheme:
    return lambda g, shape: g.standard_normal(shape) * np.sqrt(sigma_w2 / shape[-1])


def exact_job(network: Network, draws: int, dtype: str, scheme: Scheme) -> Job:
    """A stack of ``draws`` networks without biases' influence, one input column and a fixed gradient at the output."""
    parameters = network.initialize(scheme, lambda k: generator(0, "draws", k), leading=(draws,))
    typed = tuple({name: array.astype(dtype) for name, array in named.items()} for named in parameters)
    column = np.linspace(0.5, 1.5, network.inputs).reshape(-1, 1).astype(dtype)
    upstream = np.linspace(1.2, -0.7, network.widths[-1]).reshape(-1, 1).astype(dtype)
    return Job(network.layers, InnerProduct(), typed, Batch(column, upstream))


def growth(arrays: Sequence[Array], start: Array, factor: float = 1.0) -> list[Array]:
    """factor · log(‖array‖²/‖start‖²) of each, (…,); −∞ where nothing is left."""
    with np.errstate(divide="ignore"):
        return [factor * 2 * np.log(probes.rms(a) / probes.rms(start)) for a in arrays]


def moments(
    shots: Mapping[str, Snapshot],
    observe: Callable[[Snapshot], dict[str, list[Array]]],
    depths: Sequence[int] = (),
    **columns: Any,
) -> Frame:
    """Mean and variance over the stack of what ``observe`` sees of each signal at each depth, with their standard errors."""
    rows: list[dict[str, Any]] = []
    for name, shot in shots.items():
        for signal, observed in observe(shot).items():
            for depth, values in zip(depths or range(1, len(observed) + 1), observed, strict=True):
                named = {**columns, "backend": name, "signal": signal, "depth": depth}
                rows += [named | statistic for statistic in statistics(values[np.isfinite(values)])]
    return Frame(rows)


def statistics(values: Array) -> list[dict[str, Any]]:
    """Mean and variance (N − 1) with their standard errors, and the value farthest from the mean; of no values nothing."""
    if not len(values):
        return []  # every network is dead here
    centre, count = values - values.mean(), len(values)
    square = (centre**2).mean()
    error = np.sqrt(max((centre**4).mean() - square**2, 0) / count)
    found = {
        "mean": (values.mean(), np.sqrt(square / max(count - 1, 1))),
        "variance": (square * count / max(count - 1, 1), error),
        "farthest": (values[np.abs(centre).argmax()], 0.0),
    }
    return [
        {"count": count, "statistic": name, "measured": value, "standard_error": error}
        for name, (value, error) in found.items()
    ]


def classifying(
    layers: tuple[Layer, ...],
    schemes: Sequence[Scheme],
    steps: int,
    seeds: int,
    data: str,
    dtype: str,
    looked_at: int = 10,
    change: Callable[[Parameters], Parameters] = lambda parameters: parameters,
) -> Job:
    """A stack (schemes, seeds) to be trained; the members of one seed see the same batches."""
    held = load(data, dtype)
    parameters = change(stack(Network(layers, held.features), schemes, seeds, dtype))
    examples = held.train.x.shape[1]
    order = np.stack([batches(seed, examples, min(BATCH, examples), steps + 1) for seed in range(seeds)], axis=1)
    order = np.repeat(order[:, None], len(schemes), axis=1)
    snapshots = looks(steps, looked_at)
    return Job(layers, CrossEntropy(), parameters, held.train, order, OPTIMIZER, snapshots, {"test": held.test})


def classifiers(
    activation: str,
    schemes: Sequence[Scheme],
    depth: int,
    width: int,
    steps: int,
    seeds: int,
    data: str,
    dtype: str,
    looked_at: int,
) -> Job:
    """The same of plain networks of ``depth`` weight layers."""
    layers = (*hidden(activations.by_name()[activation](), width, depth - 1), Dense(load(data, dtype).classes))
    return classifying(layers, schemes, steps, seeds, data, dtype, looked_at)


def followed(lab: Lab, job: Job, names: Sequence[str], condition: str | None = None, **columns: Any) -> Frame:
    """Loss and accuracy on the test set at every look; a loss that is not a number is infinite, its network at chance."""
    labels = job.evaluate["test"].y
    axes = {"quantity": ["loss", "accuracy"], "step": job.snapshots, "init": names, "seed": range(job.leading[-1])}

    def scores(shots: Iterable[Snapshot]) -> Array:
        return np.stack([np.stack(scored(shot.scores["test"], labels)) for shot in shots], axis=1)

    return lab.rows(lab.train(job, condition), scores, axes, **columns)


def scored(output: Array, labels: Array) -> tuple[Array, Array]:
    loss = CrossEntropy()(output, labels)[0]
    return np.where(np.isnan(loss), np.inf, loss), probes.answered(output, labels)


def guessing(data: str, dtype: str) -> float:
    """The loss on the test set of the best guess that does not look at x: −Σ f ln f over the classes' shares f."""
    labels = load(data, dtype).test.y
    share = np.bincount(labels) / len(labels)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())
