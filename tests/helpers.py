"""What several test files build: targets for every loss, small jobs of awkward shapes, and the leaves of a class tree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from experiments.randomness import generator
from scratch import SGD, Batch, BinaryCrossEntropy, CrossEntropy, Dense, InnerProduct, Job, Network, SquaredError
from scratch.activations import by_name
from scratch.initializers import lecun, standard

torch.set_num_threads(1)  # small jobs: threads that wait for each other cost more than the arithmetic

ACTIVATIONS = by_name()
LOSSES = {
    "squared": SquaredError(),
    "binary": BinaryCrossEntropy(),
    "labels": CrossEntropy(),
    "probabilities": CrossEntropy(),
    "inner": InnerProduct(),
}
FEATURES, WIDTHS, EXAMPLES, SIZE, STEPS = (
    5,
    (7, 4, 3),
    11,
    6,
    12,
)  # all different: no layer is square, nothing fits by chance


def targets(kind, random, classes, examples):
    """Y for the loss called ``kind`` in LOSSES; probabilities do not sum to one, which a wrong gradient would need."""
    if kind == "labels":
        return random.integers(0, classes, examples)
    if kind in ("binary", "probabilities"):
        return random.uniform(0, 1, (classes, examples))
    return random.standard_normal((classes, examples))


def deep(activation, widths=WIDTHS):
    """Dense layers of these widths with the activation between them; the second has no bias."""
    layers = []
    for k, width in enumerate(widths):
        layers += [Dense(width, bias=k != 1), activation]
    return tuple(layers[:-1])


def parameters(layers, leading=(), dtype="float64", features=FEATURES, seed=0):
    """Parameters with biases that are not zero."""
    network = Network(layers, features)
    return network.views(
        network.flatten(network.initialize(lecun, lambda k: generator(seed, "weights", k), standard, leading)).astype(
            dtype
        )
    )


def job(
    kind,
    activation,
    leading=(),
    own_batches=False,
    momentum=0.9,
    dtype="float64",
    seed=0,
    steps=STEPS,
    snapshots=None,
    rate=0.02,
):
    """A job of ``steps`` updates, looked at now and then; ``own_batches``: every member of the stack sees batches of its own."""
    random, layers = generator(seed, "test"), deep(activation)
    x = random.standard_normal((FEATURES, EXAMPLES)).astype(dtype)
    y = targets(kind, random, WIDTHS[-1], EXAMPLES)
    y = y.astype(dtype) if y.dtype.kind == "f" else y
    shape = (steps + 1, *(leading if own_batches else ()), EXAMPLES)
    batches = random.permuted(np.broadcast_to(np.arange(EXAMPLES), shape), axis=-1)[..., :SIZE]
    unseen = Batch(random.standard_normal((FEATURES, EXAMPLES - 2)).astype(dtype), y[..., 2:])
    looked = (0, steps // 2, steps) if snapshots is None else snapshots
    optimizer = SGD(rate, momentum)
    return Job(
        layers,
        LOSSES[kind],
        parameters(layers, leading, dtype, seed=seed),
        Batch(x, y),
        batches,
        optimizer,
        looked,
        {"unseen": unseen},
    )


def at(job, shot):
    """The single look at the parameters and on the batch of a snapshot from training."""
    return replace(
        job, parameters=shot.parameters, data=job.data.columns(job.batches[shot.step]), batches=None, snapshots=(0,)
    )


def arrays(shot):
    """Every array of a snapshot, under a name."""
    yield "loss", shot.loss
    for name in ("outputs", "output_gradients"):
        yield from ((f"{name} {k}", a) for k, a in enumerate(getattr(shot, name)))
    for name in ("parameters", "gradients"):
        yield from ((f"{name} {k} {n}", a) for k, named in enumerate(getattr(shot, name)) for n, a in named.items())
    yield from ((f"scores {name}", a) for name, a in shot.scores.items())


def assert_same(one, other):
    """Two snapshots are equal bit for bit, dtype and shape included."""
    first, second = dict(arrays(one)), dict(arrays(other))
    assert first.keys() == second.keys()
    for name, a in first.items():
        b = second[name]
        assert a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b), f"{name} differs at step {one.step}"


def leaves(kind):
    """The classes under ``kind`` that scratch defines and that nothing derives from: those that a user can choose."""
    below = [k for k in kind.__subclasses__() if k.__module__.startswith("scratch.")]
    return [kind] if not below else [leaf for k in below for leaf in leaves(k)]
