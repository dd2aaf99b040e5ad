"""Networks in a short format: scratch's own layers with their numbers rounded, and a model in which each rounding is random.

A matrix product reads short numbers, adds exact products in float32 and rounds once, as tensor cores do. TF32 rounds what a
product reads and nothing else.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from experiments.lab import Array
from scratch import SGD, CrossEntropy, Dense, Layer
from scratch.categorical import indicator
from scratch.layers import Shape, Tensors
from scratch.network import Parameters
from scratch.optimizers import Memory
from scratch.randomness import generator
from .formats import BF16, FLOAT32, FORMATS, Format, jittered, rounded, spacing, stochastic, unheld


class InFormat:
    """Whoever has a format by its name."""

    name: str

    @property
    def format(self) -> Format:
        return FORMATS[self.name]


@dataclass(frozen=True)
class Around(Layer):
    """A layer inside another that changes what it reads, gives out and hands down."""

    layer: Layer
    lowest: bool = field(default=False, kw_only=True)  # nobody asks for the gradient below

    def width(self, n_in: int) -> int:
        return self.layer.width(n_in)

    def shapes(self, n_in: int) -> dict[str, Shape]:
        return self.layer.shapes(n_in)

    def read(self, a: Array) -> Array:
        """What a matrix product makes of a number that it reads."""
        return a

    def held(self, p: Tensors) -> Tensors:
        """What it makes of the parameters."""
        return p

    def kept(self, a: Array, terms: Array | None = None) -> Array:
        """What is kept of a result; ``terms``: for a product, the mean square of each of its sums' rounding errors."""
        return a

    def forward(self, p: Tensors, x: Array) -> tuple[Array, Any]:
        if isinstance(self.layer, Dense):
            p, x = self.held(p), self.read(x)
            z = self.kept(p["W"] @ x, self.sums(p["W"], x))
            return (self.kept(z + p["b"]) if self.layer.bias else z), x
        out, cache = self.layer.forward(p, x)
        out[...] = self.kept(out)  # in place: it may be what the layer remembers
        return out, cache

    def backward(self, p: Tensors, cache: Any, dout: Array) -> tuple[Array, Tensors]:
        if not isinstance(self.layer, Dense):
            dx, gradients = self.layer.backward(p, cache, dout)
            return dx if self.lowest else self.kept(dx), gradients
        p, dout = self.held(p), self.read(dout)
        dx, gradients = self.layer.backward(p, cache, dout)
        seen = {"W": cache.mT, "b": np.ones((dout.shape[-1], 1))}  # each gradient is a product with this
        kept = {name: self.kept(g, self.sums(dout, seen[name])) for name, g in gradients.items()}
        return dx if self.lowest else self.kept(dx, self.sums(p["W"].mT, dout)), kept

    def sums(self, a: Array, b: Array) -> Array | None:
        """The mean square of the rounding error of each sum in AB, where that is to be known."""
        return None


@dataclass(frozen=True)
class Short(Around, InFormat):
    """A layer in the format of that name: what a product reads and, but for TF32, whatever is kept, is rounded to it."""

    name: str

    def read(self, a: Array) -> Array:
        return rounded(a, self.format)

    def held(self, p: Tensors) -> Tensors:
        return {key: self.read(a) if key == "W" or self.format.stored else a for key, a in p.items()}

    def kept(self, a: Array, terms: Array | None = None) -> Array:
        return rounded(a, self.format) if self.format.stored else a


@dataclass(frozen=True)
class Cast(Layer, InFormat):
    """Z = X: the last layer. Its output goes on to the loss in float32; the gradient that comes back is rounded."""

    name: str

    def forward(self, p: Tensors, x: Array) -> tuple[Array, None]:
        return x, None

    def backward(self, p: Tensors, cache: None, dout: Array) -> tuple[Array, Tensors]:
        return (rounded(dout, self.format) if self.format.stored else dout), {}


def shortened(layers: tuple[Layer, ...], to: Format) -> tuple[Layer, ...]:
    """The network in that format; float64 and float32 are what the layers compute in anyway. The same number of layers, and one."""
    if to.bits >= 24:
        return (*layers, Cast(to.name))
    return (*(Short(layer, to.name) for layer in layers), Cast(to.name))


@dataclass(frozen=True)
class Scaled(CrossEntropy):
    """s·J, s a power of two: gradients that a format would lose are lifted into its range (Micikevicius 2018)."""

    scale: float = 1.0

    def differentiate(self, z: Array, *prepared: Array) -> tuple[Array, Array]:
        value, gradient = super().differentiate(z, *prepared)
        return value * z.dtype.type(self.scale), gradient * z.dtype.type(self.scale)


@dataclass(frozen=True)
class Kept(SGD):
    """θ ← bf16(θ − ηg): the weights themselves are bf16, rounded to nearest or, with the right probability, either way."""

    mode: str = "nearest"

    def start(self, theta: Array) -> Memory:
        return super().start(theta) | {"random": generator(0, "kept", "scratch")}

    def descend(self, theta: Array, gradient: Array, memory: Memory, *rates: Any) -> None:
        super().descend(theta, gradient, memory, *rates)
        theta[...] = rounded(theta, BF16) if self.mode == "nearest" else stochastic(theta, BF16, memory["random"])


@dataclass(frozen=True)
class Noisy(Around, InFormat):
    """A layer in float64 with a random error wherever the format would round; parameters and data have theirs already."""

    name: str
    random: Generator

    def read(self, a: Array) -> Array:
        return a if self.format.stored else unheld(a, self.format, self.random)

    def kept(self, a: Array, terms: Array | None = None) -> Array:
        if terms is not None:
            a = a + np.sqrt(terms) * self.random.standard_normal(a.shape)
        return jittered(a, self.format if self.format.stored else FLOAT32, self.random)

    def sums(self, a: Array, b: Array) -> Array | None:
        """Σ_k spacing(s_k)²/12 over the partial sums s_k of a product that adds in float32, one term after the other."""
        if self.format.bits < 24:
            return None  # 2⁻¹³ of what the short format does, or less
        found, partial = np.zeros(1), np.zeros(1)
        for k in range(a.shape[-1] - 1):  # the last one is rounded by ``kept``
            partial = partial + a[..., k : k + 1] * b[..., k : k + 1, :]
            found = found + spacing(partial, self.format) ** 2 / 12
        return found


@dataclass(frozen=True)
class NoisyCast(Cast):
    random: Generator

    def backward(self, p: Tensors, cache: None, dout: Array) -> tuple[Array, Tensors]:
        noisy = self.format.stored and self.format.bits < 24
        return (jittered(dout, self.format, self.random) if noisy else dout), {}


@dataclass(frozen=True)
class NoisyLoss(CrossEntropy):
    """s·(softmax(z) − y)/m with float32's roundings, one after the other as scratch makes them."""

    scale: float = 1.0
    random: Generator | None = None

    def differentiate(self, z: Array, *prepared: Array) -> tuple[Array, Array]:
        assert self.random is not None
        wrong = partial(jittered, to=FLOAT32, random=self.random)
        e = wrong(np.exp(wrong(z - z.max(-2, keepdims=True))))
        p = wrong(e / wrong(e.sum(-2, keepdims=True)))
        value, hits = super().differentiate(z, *prepared)[0], indicator(prepared[0], z.shape[-2])
        return value, wrong(wrong(p - hits) / z.shape[-1]) * self.scale


def noisy(layers: tuple[Layer, ...], to: Format, random: Generator) -> tuple[Layer, ...]:
    inner = (Noisy(layer, to.name, random, lowest=not k) for k, layer in enumerate(layers))
    return (*inner, NoisyCast(to.name, random))


def put(parameters: Parameters, change: Any) -> Parameters:
    """Every array of the parameters changed by a function of its name and itself."""
    return tuple({name: change(name, a) for name, a in named.items()} for named in parameters)
