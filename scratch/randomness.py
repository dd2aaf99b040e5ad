"""The only file that makes a random generator: every stream has a name, so none depends on the order of the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from scratch.contract import Noise
from scratch.errors import InvalidInput
from scratch.initializers import Scheme, zeros
from scratch.layers import Array, Shape
from scratch.network import Network, Parameters

_base: ContextVar[int] = ContextVar("base seed", default=0)


@contextmanager
def based(seed: int) -> Iterator[None]:
    """In here every stream is another one than with any other base ``seed``: the same work, drawn anew. 0 is what holds outside."""
    before = _base.set(seed)
    try:
        yield
    finally:
        _base.reset(before)


def base() -> int:
    """The base seed that holds here."""
    return _base.get()


def generator(seed: int, *purpose: str | int) -> Generator:
    """The stream of ``seed`` for one purpose, such as ("weights", layer) or ("batches", epoch), under the base seed."""
    words = hashlib.sha256("/".join(map(str, purpose)).encode()).digest()
    return np.random.default_rng([seed, *filter(None, [base()]), *np.frombuffer(words, np.uint32).tolist()])


def batches(seed: int, examples: int, size: int, count: int) -> Array:
    """``count`` mini-batches (count, size) of column numbers: epochs of a fresh order each, the last partial batch dropped."""
    if not 0 < size <= examples:
        raise InvalidInput(f"a batch must hold from 1 to {examples} examples, all that there are; got {size}")
    per_epoch = examples // size
    epochs = -(-count // per_epoch)
    orders = [generator(seed, "batches", epoch).permutation(examples)[: per_epoch * size] for epoch in range(epochs)]
    return np.concatenate(orders).reshape(-1, size)[:count]


def noise(
    network: Network, seed: int, batches: Array | Sequence[Array] | Mapping[int, Array], leading: Shape = ()
) -> Noise:
    """What dropout is handed at each step: masks (rows, b), the same for every network of a stack, or of ``leading`` axes of their own.

    A mask's stream is that of its layer and name, and step t begins t·2⁶⁴ numbers into it: jumping costs a tenth of a new stream.
    """
    streams = [{name: generator(seed, "noise", k, name) for name in named} for k, named in enumerate(network.noise)]
    begun = [{name: stream.bit_generator.state for name, stream in named.items()} for named in streams]

    def at(step: int) -> Parameters:
        examples = batches[step].shape[-1]

        def draw(layer: int, name: str, rows: int, keep: float) -> Array:
            stream = streams[layer][name]
            bits: Any = stream.bit_generator  # NumPy's default, PCG64, whose period is 2¹²⁸
            bits.state = begun[layer][name]
            bits.advance(step << 64)
            return stream.random((*leading, rows, examples)) < keep

        return tuple(
            {name: draw(k, name, rows, keep) for name, (rows, keep) in named.items()}
            for k, named in enumerate(network.noise)
        )

    return at


def stack(network: Network, schemes: Sequence[Scheme], seeds: int, dtype: str, biases: Scheme = zeros) -> Parameters:
    """Initial parameters with leading axes (schemes, seeds): member (i, s) is scheme i with the streams of seed s."""
    theta = np.empty((len(schemes), seeds, network.size), dtype)
    for i, scheme in enumerate(schemes):
        for seed in range(seeds):
            theta[i, seed] = network.flatten(network.initialize(scheme, partial(generator, seed, "weights"), biases))
    return network.views(theta)
