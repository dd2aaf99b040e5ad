"""What several pages share: jobs, the notes' tanh-sigmoid network on random shapes, and rounding bounds. An example is a column."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from experiments.lab import Array, Frame, Lab, compare, stacked
from scratch import Batch, Dense, InnerProduct, Job, Layer, Network, Sigmoid, Tanh
from scratch.initializers import lecun, normal
from scratch.network import Parameters
from scratch.randomness import generator

SHARE = (
    5  # a fifth of a bound counts as the standard error: the limit, 4.0 to 4.9 of them, is a little inside the bound
)
FIFTH = "A fifth of the bound counts as standard error"


def job(layers: tuple[Layer, ...], parameters: Parameters, x: Array) -> Job:
    """The job of one look; the gradient at the output is no ones, lest agreement be easy."""
    network = Network(layers, x.shape[-2])
    upstream = generator(0, "upstream").standard_normal((network.widths[-1], x.shape[-1]))
    return Job(layers, InnerProduct(), parameters, Batch(x, upstream.astype(x.dtype)))


def product(w: Array, x: Array) -> Job:
    """WX by a Dense layer, by nn.Linear; w may be a stack."""
    return job((Dense(w.shape[-2], bias=False),), ({"W": w},), x)


def keep_worst(lab: Lab) -> None:
    """Of several looks under one condition, enters each quantity where it is worst."""
    found = stacked(lab.agreement)
    at = found.groupby(["condition", "step", "quantity"], sort=False).ratio.idxmax()
    lab.agreement[:] = [found.loc[at]]


def factors(inputs: int, trial: int, largest: int, seed: int, dtype: str) -> tuple[Array, Array]:
    """W and X of random shapes; W is square in the first trial, and in no other."""
    random, neurons = generator(seed, "products", inputs, trial), inputs
    if trial:
        neurons = int(random.choice([n for n in range(1, largest + 1) if n != inputs]))
    examples = int(random.integers(2, largest + 1))
    w, x = (random.standard_normal(shape).astype(dtype) for shape in ((neurons, inputs), (inputs, examples)))
    return w, x


class Case(NamedTuple):
    """Units of the notes' network, its examples, and the same with another example in one column."""

    units: tuple[int, int]
    x: Array
    column: int
    after: Array


def case(widest: int, trial: int, seed: int, dtype: str) -> Case:
    random = generator(seed, "network", widest, trial)
    inputs, hidden, outs = (int(random.integers(1, widest + 1)) for _ in range(3))
    x = random.standard_normal((inputs, int(random.integers(3, widest + 4)))).astype(dtype)
    column = int(random.integers(x.shape[1]))
    return Case((hidden, outs), x, column, moved(x, column, random))


def moved(x: Array, column: int, random: Generator) -> Array:
    """X with another example in one column."""
    other = x.copy()
    other[:, column] += random.uniform(0.5, 1.5, len(x)).astype(x.dtype)
    return other


def network(units: tuple[int, int], x: Array, seed: int, *between: Layer) -> Job:
    """The notes' tanh-sigmoid network: normal weights of variance 1/i, standard normal biases."""
    layers = (Dense(units[0]), *between, Tanh(), Dense(units[1]), Sigmoid())
    drawn = Network(layers, len(x)).initialize(lecun, lambda k: generator(seed, "weights", k), normal)
    return job(layers, tuple({name: a.astype(x.dtype) for name, a in named.items()} for named in drawn), x)


def gamma(roundings: Array | int, unit: float) -> Array:
    """γ_k = ku/(1 − ku): what k roundings in a row may do, relatively (Higham 2002, lemma 3.1)."""
    return np.asarray(roundings * unit / (1 - roundings * unit))


def bounded(rows: Frame, condition: str) -> Frame:
    """Differences that are to be 0, within the rounding bound that stands under ``predicted``."""
    error = rows.predicted / SHARE
    return compare(rows, condition, predicted=0.0, standard_error=error, control_measured=rows.control)
