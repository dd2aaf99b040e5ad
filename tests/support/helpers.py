"""What several test files build: targets for every loss, small jobs of awkward shapes, and the leaves of a class tree."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import fields, is_dataclass, replace

import numpy as np
import torch

import scratch
from scratch import (
    L1,
    L2,
    SGD,
    AbsoluteError,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Batch,
    BatchNorm,
    BinaryCrossEntropy,
    BinaryCrossEntropyFromProbabilities,
    ClipNorm,
    ClipValue,
    Constant,
    Cosine,
    CrossEntropy,
    Dense,
    Dropout,
    ElasticNet,
    Exponential,
    Huber,
    InnerProduct,
    InverseTime,
    Job,
    LayerNorm,
    LogSoftmax,
    MaxNorm,
    MultiStep,
    NegativeLogLikelihood,
    Network,
    OneCycle,
    Polynomial,
    ReduceOnPlateau,
    ReLU,
    Residual,
    RMSProp,
    Sigmoid,
    Softmax,
    SquaredError,
    StepDecay,
    Tanh,
    WarmRestarts,
    Warmup,
)
from scratch.activations import by_name
from scratch.clipping import Clip
from scratch.initializers import lecun, standard
from scratch.layers import Layer
from scratch.losses import Loss
from scratch.optimizers import Optimizer
from scratch.penalties import Penalty
from scratch.randomness import generator, noise
from scratch.schedules import Schedule

torch.set_num_threads(1)  # small jobs: threads that wait for each other cost more than the arithmetic

ACTIVATIONS = by_name()
LOSSES = {
    "squared": SquaredError(),
    "absolute": AbsoluteError(),
    "huber": Huber(0.5),
    "binary": BinaryCrossEntropy(),
    "binary of probabilities": BinaryCrossEntropyFromProbabilities(),
    "labels": CrossEntropy(),
    "probabilities": CrossEntropy(),
    "likelihood": NegativeLogLikelihood(),
    "inner": InnerProduct(),
}
LAST = {
    "binary of probabilities": (Sigmoid(),),
    "likelihood": (LogSoftmax(),),
}  # what these losses want above the last Dense
# all different: no layer is square, nothing fits by chance
FEATURES, WIDTHS, EXAMPLES, SIZE, STEPS = 5, (7, 4, 3), 11, 6, 12

NORMED = (Dense(7, bias=False), BatchNorm(), Tanh(), Dense(4, bias=False), BatchNorm(0.5, None, affine=False), Dense(3))
INSIDE = (
    LayerNorm(),
    Tanh(),
    Dense(4, bias=False),
    BatchNorm(momentum=0.3),
    Dropout(0.3),
    Residual((Tanh(), Dense(4))),
    Dense(7),
)
DROPPED = (Dropout(0.2), Dense(7), Tanh(), Dropout(0.5), Dense(3))
PARTS = {  # name: kind of loss, then fields of the job; with ACTIVATIONS and LOSSES every class that scratch defines
    "batch norm": ("labels", {"layers": NORMED}),
    "layer norm": ("squared", {"layers": (LayerNorm(), Dense(7), LayerNorm(0.1, affine=False), ReLU(), Dense(3))}),
    "dropout": ("squared", {"layers": DROPPED}),
    "residual": ("probabilities", {"layers": (Dense(7), Residual((ReLU(), Dense(7, bias=False))), Residual(INSIDE), Dense(3))}),
    "softmax": ("squared", {"layers": (Dense(7), Softmax(), Dense(4), LogSoftmax(), Dense(3))}),
    "nesterov": ("labels", {"optimizer": SGD(0.1, 0.8, nesterov=True, weight_decay=0.1), "schedule": StepDecay(4, 0.5)}),
    "dampening": ("squared", {"optimizer": SGD(0.1, 0.7, 0.4), "clip": ClipNorm(0.3), "schedule": MultiStep((3, 8))}),
    "adagrad": ("labels", {"optimizer": Adagrad(0.1, 0.05, 0.1), "schedule": WarmRestarts(5, 2, 0.01)}),
    "rmsprop": ("labels", {"optimizer": RMSProp(0.01, 0.9, True, 0.5, 1e-3), "clip": ClipValue(0.02), "schedule": Exponential(0.9)}),
    "adadelta": ("squared", {"optimizer": Adadelta(weight_decay=0.1), "schedule": Polynomial(15, 2.0)}),
    "adam": ("labels", {"optimizer": Adam(0.02, amsgrad=True), "schedule": OneCycle(STEPS + 1), "penalty": L2(0.1)}),
    "adamw": ("squared", {"optimizer": AdamW(0.02, weight_decay=0.3), "schedule": Warmup(3, Cosine(6, 0.001))}),
    "lasso": ("squared", {"optimizer": SGD(0.1), "penalty": L1(0.03), "schedule": InverseTime(0.2)}),
    "max-norm": ("labels", {"penalty": L2(0.1, reach="all"), "constraint": MaxNorm(1.0), "schedule": Constant()}),
    "plateau": ("labels", {"optimizer": SGD(0.3), "schedule": ReduceOnPlateau(factor=0.5, patience=1)}),
    "everything": (
        "labels",
        {
            "layers": (Dense(7, bias=False), BatchNorm(), ReLU(), Dropout(0.3), Residual((Dense(7), LayerNorm(), Tanh())), Dense(3)),
            "optimizer": Adam(0.03, eps=1e-3),
            "penalty": ElasticNet(0.01, 0.1),
            "clip": ClipNorm(0.5),
            "constraint": MaxNorm(0.9),
            "schedule": ReduceOnPlateau(factor=0.5, patience=1, cooldown=1),
        },
    ),
}  # fmt: skip


def targets(kind, random, classes, examples):
    """Y for the loss called ``kind`` in LOSSES; probabilities do not sum to one, which a wrong gradient would need."""
    if kind in ("labels", "likelihood"):
        return random.integers(0, classes, examples)
    if kind in ("binary", "binary of probabilities", "probabilities"):
        return random.uniform(0, 1, (classes, examples))
    return random.standard_normal((classes, examples))


def deep(activation, widths=WIDTHS):
    """Dense layers of these widths with the activation between them; the second has no bias."""
    layers = []
    for k, width in enumerate(widths):
        layers += [Dense(width, bias=k != 1), activation]
    return tuple(layers[:-1])


def parameters(layers, leading=(), dtype="float64", features=FEATURES, seed=0):
    """Parameters with biases that are not zero, and scales and shifts that are not those of a start."""
    network = Network(layers, features)
    drawn = network.initialize(lecun, lambda k: generator(seed, "weights", k), standard, leading)
    views = network.views(network.flatten(drawn).astype(dtype))
    for k, name, array in entries(views):
        if name.rpartition(".")[2] in ("gamma", "beta"):
            array += 0.3 * generator(seed, name, k).standard_normal(array.shape)
    return views


def entries(arrays):
    """Every array of a tuple of dicts, with its layer and name."""
    return ((k, name, array) for k, named in enumerate(arrays) for name, array in named.items())


def job(
    kind,
    activation=Tanh(),  # noqa: B008  frozen
    leading=(),
    own_batches=False,
    momentum=0.9,
    dtype="float64",
    seed=0,
    steps=STEPS,
    snapshots=None,
    rate=0.02,
    layers=None,
    **changes,
):
    """A job of ``steps`` updates, looked at now and then; ``own_batches``: batches and masks of its own for every member."""
    random, layers = generator(seed, "test"), (layers or deep(activation)) + LAST.get(kind, ())
    x = random.standard_normal((FEATURES, EXAMPLES)).astype(dtype)
    y = targets(kind, random, WIDTHS[-1], EXAMPLES)
    y = y.astype(dtype) if y.dtype.kind == "f" else y
    own = leading if own_batches else ()
    orders = np.broadcast_to(np.arange(EXAMPLES), (steps + 1, *own, EXAMPLES))
    batches = random.permuted(orders, axis=-1)[..., :SIZE]
    unseen = Batch(random.standard_normal((FEATURES, EXAMPLES - 2)).astype(dtype), y[..., 2:])
    looked = (0, steps // 2, steps) if snapshots is None else snapshots
    network = Network(layers, FEATURES)
    made = {
        "optimizer": SGD(rate, momentum),
        "snapshots": looked,
        "evaluate": {"unseen": unseen},
        "noise": noise(network, seed, batches, own) if any(network.noise) else None,
    }
    start = parameters(layers, leading, dtype, seed=seed)
    return Job(layers, LOSSES[kind], start, Batch(x, y), batches, **(made | changes))


def part(name, leading=(), own=False, **options):
    """The job called ``name`` in PARTS; ``own``: every member of the stack has batches and masks of its own."""
    kind, changes = PARTS[name]
    return job(kind, leading=leading, own_batches=own, **changes, **options)


def with_own_rates(job):
    """The job with rates from half to all of the optimizer's own."""
    rates = np.linspace(0.5, 1, int(np.prod(job.leading))).reshape(job.leading) * job.optimizer.learning_rate
    return replace(job, optimizer=replace(job.optimizer, learning_rate=nested(rates)))


def nested(array):
    return tuple(map(nested, array)) if array.ndim else float(array)


def at(job, shot):
    """The single look at the parameters and buffers, and on the batch and with the noise, of a snapshot from training."""
    return replace(
        job,
        parameters=shot.parameters,
        buffers=shot.buffers,
        data=job.data.columns(job.batches[shot.step]),
        noise=job.noise and (lambda _: job.noise(shot.step)),
        batches=None,
        snapshots=(0,),
    )


def settled(job, data):
    """The single look at other data with the layers as they are after training."""
    return replace(job, layers=job.network.inference.layers, data=data, noise=None, evaluate={})


def arrays(shot):
    """Every array of a snapshot, under a name."""
    yield "loss", shot.loss
    for name in ("outputs", "output_gradients"):
        yield from ((f"{name} {k}", a) for k, a in enumerate(getattr(shot, name)))
    for name in ("parameters", "gradients", "buffers"):
        yield from ((f"{name} {k} {n}", a) for k, n, a in entries(getattr(shot, name)))
    yield from ((f"scores {name}", a) for name, a in shot.scores.items())


def assert_same(one, other):
    """Two snapshots are equal bit for bit, dtype and shape included."""
    first, second = dict(arrays(one)), dict(arrays(other))
    assert first.keys() == second.keys()
    for name, a in first.items():
        b = second[name]
        assert a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b), f"{name} differs at step {one.step}"


for module in pkgutil.iter_modules(
    scratch.__path__, "scratch."
):  # a class is under its kind once its file has been read
    importlib.import_module(module.name)


def leaves(kind):
    """The classes under ``kind`` that scratch defines and that nothing derives from: those that a user can choose."""
    below = [k for k in kind.__subclasses__() if k.__module__.startswith("scratch.")]
    return [kind] if not below else [leaf for k in below for leaf in leaves(k)]


KINDS = (*(leaf for kind in (Layer, Loss, Optimizer, Schedule, Penalty, Clip) for leaf in leaves(kind)), MaxNorm)


def described(thing):
    """The classes of all that a job describes, however nested."""
    inside = thing if isinstance(thing, tuple) else ()
    if is_dataclass(thing):
        inside = (getattr(thing, f.name) for f in fields(thing))
    return {type(thing)}.union(*map(described, inside))
