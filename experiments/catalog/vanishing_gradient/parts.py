"""What each kind of cell of this experiment measures, on both backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from experiments import agreement, probes
from experiments.catalog.vanishing_gradient import exact, repairs
from experiments.catalog.vanishing_gradient.common import classifier, compared, first_examples, hidden, joined
from experiments.catalog.vanishing_gradient.repairs import classifying, followed
from experiments.data import load
from experiments.experiment import Tables, backends
from experiments.randomness import generator, stack
from scratch import activations, initializers
from scratch.contract import Job
from scratch.layers import Dense
from scratch.losses import CrossEntropy


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
    """Loss and accuracy on the test set along the way, for a stack (init, seed) of networks of ``depth`` layers."""
    job = trained_job(activation, inits, depth, width, steps, seeds, data, dtype, max(2, min(15, steps // 15)))
    return {"training": followed(job, inits, part, activation, depth, device)}


def trajectory(*, activation: str, depth: int, width: int, steps: int, data: str, device: str, dtype: str) -> Tables:
    """How far the parameters of the two implementations drift apart while each trains alone."""
    job = trained_job(activation, ["xavier", "he"], depth, width, steps, 1, data, dtype, max(1, min(10, steps // 2)))
    ours, theirs = (list(backend.train(job)) for backend in backends(device).values())
    found = agreement.trajectory(job, ours, theirs, generator(0, "shadows"))
    return {"agreement": agreement.table(found, "trajectory", f"{activation} xavier and he, depth {depth}")}


def trained_job(
    activation: str,
    inits: Sequence[str],
    depth: int,
    width: int,
    steps: int,
    seeds: int,
    data: str,
    dtype: str,
    looked_at: int,
) -> Job:
    """A stack of (init, seed) classifiers of ``depth`` weight layers."""
    layers = (*hidden(activations.by_name()[activation](), width, depth - 1), Dense(load(data, dtype).classes))
    schemes = [initializers.by_name()[init] for init in inits]
    return classifying(layers, schemes, steps, seeds, data, dtype, looked_at=looked_at)


PARTS: dict[str, Callable[..., Tables]] = {
    "product": exact.product,
    "linear": exact.linear,
    "narrow": exact.narrow,
    "dead": exact.dead,
    "ratio": exact.ratio,
    "depth scale": exact.depth_scale,
    "exploding": exact.exploding,
    "lookalike": exact.lookalike,
    "signals": signals,
    "repairs": repairs.repairs,
    "training": training,
    "mended": repairs.mended,
    "clipping": repairs.clipping,
    "race": partial(training, part="race"),
    "trajectory": trajectory,
}

COLUMNS = {  # of the tables that the parts make: what is left of one if all its cells fail
    "measurements": ["quantity", "layer", "seed", "depth", "activation", "init", "backend", "value"],
    "laws": ["part", "condition", "backend", "signal", "depth", "count", "statistic", "measured", "standard_error"],
    "repaired": [
        *("init", "layer", "measured", "standard_error", "seeds"),
        *("backend", "kind", "activation", "depth", "examples"),
    ],
    "training": ["quantity", "step", "init", "seed", "part", "backend", "activation", "depth", "value"],
    "first_steps": ["init", "seed", "gradient", "measured", "predicted", "standard_error", "backend"],
}
