"""What several pages share: stacks of random networks, a few digits, rows of what is measured of them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from experiments.compare.agreement import unit_roundoff
from experiments.data import load
from experiments.lab import COLOURS, Array, Axes, Frame, Lab, stacked
from scratch import Batch, Dense, InnerProduct, Job, Layer, Network, ReLU, initializers
from scratch.initializers import Scheme, zeros
from scratch.lsuv import lsuv
from scratch.network import Parameters
from scratch.randomness import batches, generator, stack

UNIT = unit_roundoff(np.dtype(np.float64))
STUDENT = "Student's t over seeds."
BATCH = 60
DOTTED: dict[str, Any] = {"linestyle": ":", "alpha": None}  # from point to point, where there is no prediction
TOLERANCE = 0.01  # of LSUV
SETTLED = 300  # examples on which LSUV looks at variances


def hidden(activation: Layer, widths: Sequence[int], bias: bool = False) -> tuple[Layer, ...]:
    """Dense and activation in turn."""
    return tuple(layer for n in widths for layer in (Dense(n, bias), activation))


def relu_layers(width: int, depth: int, classes: int) -> tuple[Layer, ...]:
    """``depth`` weight layers without biases: f(sθ) = s^depth f(θ) for s > 0."""
    return (*hidden(ReLU(), (width,) * (depth - 1)), Dense(classes, bias=False))


def first_digits(data: str, count: int) -> tuple[Batch, int]:
    """The first examples of the training set, all of them at most; and the number of classes."""
    held = load(data)
    return held.train.columns(np.arange(min(count, held.train.x.shape[1]))), held.classes


def drawn(layers: tuple[Layer, ...], data: Batch, scheme: Scheme, draws: int, biases: Scheme = zeros) -> Job:
    """A look at ``draws`` networks; every scheme is handed the same streams."""
    network = Network(layers, data.x.shape[-2])
    parameters = network.initialize(scheme, partial(generator, 0, "draws"), biases, leading=(draws,))
    return Job(layers, InnerProduct(), parameters, data)


def he_times(scales: Sequence[float], network: Network, seeds: int) -> Parameters:
    """A stack (scales, seeds): He's weights times each of ``scales``, from the same draws."""
    schemes = [lambda g, shape, s=s: s * initializers.he(g, shape) for s in scales]
    return stack(network, schemes, seeds, "float64")


def lsuv_and_he(network: Network, seeds: int, x: Array) -> Parameters:
    """A stack (2, seeds): orthogonal weights rescaled by LSUV, and He's."""
    parameters = stack(network, [initializers.orthogonal, initializers.he], seeds, "float64")
    first = tuple({name: array[0] for name, array in named.items()} for named in parameters)
    for named, settled in zip(first, lsuv(network, first, x, tolerance=TOLERANCE), strict=True):
        for name, array in named.items():
            array[...] = settled[name]
    return parameters


def batch_order(schemes: int, seeds: int, examples: int, steps: int) -> Array:
    """Mini-batches (steps + 1, schemes, seeds, b): the members of one seed see the same."""
    order = [batches(seed, examples, min(BATCH, examples), steps + 1) for seed in range(seeds)]
    return np.repeat(np.stack(order, axis=1)[:, None], schemes, axis=1)


def measured(
    lab: Lab,
    shots: Mapping[str, Any],
    probe: Callable[[Any], Mapping[str, Any]],
    axes: Mapping[str, Sequence[Any]],
    **columns: Any,
) -> Frame:
    """Like ``lab.rows``, with a column for each of the arrays over ``axes`` that ``probe(shot)`` names."""
    places, lengths = list(product(*axes.values())), [len(labels) for labels in axes.values()]
    labels = {name: [place[k] for place in places] for k, name in enumerate(axes)}
    frames = []
    for backend, shot in shots.items():
        numbers = {name: np.broadcast_to(array, lengths).ravel() for name, array in probe(shot).items()}
        frames.append(Frame({"backend": backend} | lab.settings | columns | labels | numbers))
    return stacked(frames)


def moments(values: Array) -> dict[str, Any]:
    """Of samples along the last axis: mean, its standard error, how many."""
    values = np.ascontiguousarray(values)  # the order of a sum depends on how numbers lie
    count, center = values.shape[-1], values - values.mean(-1, keepdims=True)
    variance = (center**2).sum(-1) / (count - 1)
    return {"measured": values.mean(-1), "standard_error": np.sqrt(variance / count), "count": count}


def passing(looks: Sequence[int], sizes: Array, level: float) -> float:
    """The step at which ``sizes`` first passes ``level``, log-linear between looks; NaN if it does not, or begins above."""
    above = np.flatnonzero(sizes >= level)
    if not len(above) or above[0] == 0:
        return float("nan")
    k = int(above[0])
    low, high = np.log(sizes[k - 1 : k + 1])
    return float(looks[k - 1] + (looks[k] - looks[k - 1]) * (np.log(level) - low) / (high - low))


def band(ax: Axes, table: Frame, index: int) -> None:
    """From ``low`` to ``high``, over the depth."""
    ours = table[table.backend == "scratch"].sort_values("depth")
    ax.fill_between(ours.depth, ours.low, ours.high, color=COLOURS[index], alpha=0.25, linewidth=0.5)
