"""The pieces of the library, each put into jobs of random shapes: what the witnesses are asked about."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

import scratch as s
from experiments.compare.witnesses import observed
from experiments.lab import Array
from scratch import Batch, InnerProduct, Job, Layer, Network
from scratch.layers import Shape
from scratch.losses import Loss
from scratch.penalties import Penalty
from scratch.randomness import generator, noise

STACKS: tuple[Shape, ...] = ((), (2,), (3, 2))
Drawn = Callable[[Generator, Shape], Array]  # (generator, shape) -> numbers
Make = Callable[[Generator, int], Job]  # (generator, the widest layer) -> a job of random shapes


def asked(options: Any) -> list[dict[str, Any]]:
    """The settings of a cell for each piece."""
    return [
        {"family": family, "piece": piece}
        for family in FAMILIES
        if family in options.families
        for piece in FAMILIES[family]
    ]


def tried(options: Any) -> list[dict[str, Any]]:
    """The same with the number of random shapes; random networks get five times as many."""
    return [one | {"trials": options.trials * (5 if one["family"] == "networks" else 1)} for one in asked(options)]


def drawn(family: str, piece: str, trial: int, largest: int, seed: int) -> tuple[Job, Generator]:
    """The job of one trial, and the generator that drew it."""
    random = generator(seed, "gradients", family, piece, trial)
    return observed(FAMILIES[family][piece](random, largest)), random


def normal(random: Generator, shape: Shape) -> Array:
    return 2 * random.standard_normal(shape)


def uniform(random: Generator, shape: Shape) -> Array:
    """Probabilities, none of them so near to 0 or 1 that the logarithm's clamp would be met."""
    return random.uniform(0.02, 0.98, shape)


def labels(random: Generator, shape: Shape) -> Array:
    *leading, classes, examples = shape
    return random.integers(0, classes, (*leading, examples))


def without(ignored: int) -> Callable[[Generator, Shape], Array]:
    """Labels of which some count: the mean over none is 0/0."""

    def drawn(random: Generator, shape: Shape) -> Array:
        y = labels(random, shape)
        y[..., 0] = np.where((y == ignored).all(-1), (ignored + 1) % shape[-2], y[..., 0])
        return y

    return drawn


def build(
    random: Generator,
    largest: int,
    layers: Callable[[int], tuple[Layer, ...]],
    loss: Loss = InnerProduct(),  # noqa: B008  frozen
    target: Drawn = normal,
    penalty: Penalty | None = None,
) -> Job:
    """A job of random shapes: features, examples and stack axes; ``layers`` are made for so many features."""
    features, examples = int(random.integers(1, largest + 1)), int(random.integers(2, 2 * largest))
    leading = STACKS[random.integers(len(STACKS))]
    network = Network(layers(features), features)
    parameters = tuple(
        {name: started(random, name, (*leading, *shape)) for name, shape in named.items()} for named in network.shapes
    )
    stacked = leading if any(parameters) else ()
    buffers = tuple(
        {
            name: a + (0 if name.endswith("num_batches_tracked") else random.uniform(0, 1, a.shape))
            for name, a in named.items()
        }
        for named in network.buffers(stacked)
    )
    y = target(random, (*stacked, network.widths[-1], examples))
    handed = noise(network, int(random.integers(1 << 30)), np.zeros((1, examples), int), stacked)
    data = Batch(normal(random, (features, examples)), y)
    return Job(network.layers, loss, parameters, data, buffers=buffers, noise=handed, penalty=penalty)


def started(random: Generator, name: str, shape: Shape) -> Array:
    """Parameters that hide nothing: no bias is zero, no γ is one."""
    drawn = random.standard_normal(shape)
    return drawn / np.sqrt(shape[-1]) if name.endswith("W") else 0.5 * drawn + name.endswith("gamma")


def of(*layers: Layer, **more: Any) -> Make:
    """A piece whose layers do not depend on the number of features."""
    return lambda random, largest: build(random, largest, lambda features: layers, **more)


def residual(random: Generator, largest: int) -> Job:
    def layers(features: int) -> tuple[Layer, ...]:
        return (s.Residual((s.Dense(4), s.BatchNorm(), s.Tanh(), s.Dropout(0.2), s.Dense(features, bias=False))),)

    return build(random, largest, layers)


def whole(random: Generator, largest: int) -> Job:
    """A random network: up to six blocks of any layers, any loss that takes labels or numbers, any penalty."""

    def layers(features: int) -> tuple[Layer, ...]:
        found: list[Layer] = []
        for _ in range(random.integers(1, 7)):
            width = int(random.integers(1, largest + 1))
            block = [s.Dense(width, bias=bool(random.integers(2))), chosen(random, NORMS), chosen(random, ELEMENTWISE)]
            if random.integers(3) == 0:
                block = [block[0], s.Residual((s.Dense(3), chosen(random, ELEMENTWISE), s.Dense(width))), block[1]]
            found += [layer for layer in (*block, chosen(random, DROPOUTS)) if layer is not None]
        return (*found, s.Dense(int(random.integers(2, largest + 2))))

    loss, target = chosen(random, ((s.CrossEntropy(), labels), (s.BinaryCrossEntropy(), uniform), (s.Huber(), normal)))
    return build(random, largest, layers, loss, target, chosen(random, (None, s.L2(0.1), s.L1(0.1, reach="all"))))


def chosen(random: Generator, among: tuple) -> Any:
    return among[random.integers(len(among))]


ELEMENTWISE: tuple[Layer, ...] = (
    s.Identity(), s.Sigmoid(), s.Tanh(), s.ReLU(), s.LeakyReLU(), s.LeakyReLU(0.3), s.ELU(), s.ELU(0.4), s.SELU(), s.GELU(),
    s.GELU("tanh"), s.Softplus(), s.Softplus(3.0), s.SiLU(), s.Mish(), s.HardTanh(), s.HardTanh(-0.5, 1.5),
)  # fmt: skip
NORMS = (None, s.BatchNorm(), s.BatchNorm(affine=False), s.BatchNorm(running=True), s.LayerNorm())
DROPOUTS = (None, None, s.Dropout(0.3), s.Dropout(active=False))
LAYERS: dict[str, Make] = {
    "Dense": of(s.Dense(5)),
    "Dense, no bias": of(s.Dense(5, bias=False)),
    "BatchNorm": of(s.BatchNorm()),
    "BatchNorm, not affine": of(s.BatchNorm(affine=False, eps=1e-3)),
    "BatchNorm, cumulative": of(s.BatchNorm(momentum=None)),
    "BatchNorm, after training": of(s.BatchNorm(running=True)),
    "LayerNorm": of(s.LayerNorm()),
    "LayerNorm, not affine": of(s.LayerNorm(affine=False, eps=1e-3)),
    "Dropout": of(s.Dropout(0.3)),
    "Dropout, after training": of(s.Dropout(active=False)),
    "Residual": residual,
    "Softmax": of(s.Softmax()),
    "LogSoftmax": of(s.LogSoftmax()),
}
WEIGHTS = (0.5, 2.0, 1.5, 0.25, 3.0)
LABELLED = (s.Dense(5),)  # five classes
LOSSES: dict[str, Make] = {
    "squared error": of(s.Identity(), loss=s.SquaredError()),
    "squared error, sum": of(s.Identity(), loss=s.SquaredError(reduction="sum")),
    "absolute error": of(s.Identity(), loss=s.AbsoluteError()),
    "Huber": of(s.Identity(), loss=s.Huber()),
    "Huber, δ = 0.3, sum": of(s.Identity(), loss=s.Huber(0.3, reduction="sum")),
    "BCE of logits": of(s.Identity(), loss=s.BinaryCrossEntropy(), target=uniform),
    "BCE of logits, positives × 3": of(s.Identity(), loss=s.BinaryCrossEntropy(3.0), target=uniform),
    "BCE of logits, a weight each": of(*LABELLED, loss=s.BinaryCrossEntropy(WEIGHTS), target=uniform),
    "BCE of probabilities": of(s.Sigmoid(), loss=s.BinaryCrossEntropyFromProbabilities(), target=uniform),
    "CE, labels": of(*LABELLED, loss=s.CrossEntropy(), target=labels),
    "CE, labels, sum": of(*LABELLED, loss=s.CrossEntropy(reduction="sum"), target=labels),
    "CE, soft labels": of(*LABELLED, loss=s.CrossEntropy(), target=uniform),
    "CE, class weights": of(*LABELLED, loss=s.CrossEntropy(WEIGHTS), target=labels),
    "CE, soft, class weights": of(*LABELLED, loss=s.CrossEntropy(WEIGHTS), target=uniform),
    "CE, smoothed": of(*LABELLED, loss=s.CrossEntropy(label_smoothing=0.1), target=labels),
    "CE, smoothed, weights": of(*LABELLED, loss=s.CrossEntropy(WEIGHTS, label_smoothing=0.2), target=labels),
    "CE, label 2 ignored": of(*LABELLED, loss=s.CrossEntropy(ignore_index=2), target=without(2)),
    "NLL": of(*LABELLED, s.LogSoftmax(), loss=s.NegativeLogLikelihood(), target=labels),
    "NLL, weights, one ignored": of(
        *LABELLED, s.LogSoftmax(), loss=s.NegativeLogLikelihood(WEIGHTS, ignore_index=0), target=without(0)
    ),
}
REGULARIZED = (s.Dense(4), s.BatchNorm(), s.Dense(3))
PENALTIES = {
    f"{name}, {reach}": of(*REGULARIZED, penalty=penalty)
    for reach in ("weights", "all")
    for name, penalty in {
        "L1": s.L1(0.3, reach=reach),
        "L2": s.L2(0.3, reach=reach),
        "elastic net": s.ElasticNet(0.2, 0.3, reach=reach),
    }.items()
}
FAMILIES: dict[str, dict[str, Make]] = {
    "layers": LAYERS,
    "activations": {repr(layer): of(layer) for layer in ELEMENTWISE},
    "losses": LOSSES,
    "penalties": PENALTIES,
    "networks": {"random networks": whole},
}
