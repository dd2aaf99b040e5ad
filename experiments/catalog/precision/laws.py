"""What is predicted of rounding errors: worst-case bounds, random errors from the partial sums themselves, stagnation."""

from functools import cache

import numpy as np

from experiments.lab import Array
from .formats import BF16, FLOAT32, Format, defined, spacing

CHANCE = 0.01  # how often the probabilistic bound may be exceeded
LAMBDA = float(np.sqrt(2 * np.log(2 / CHANCE)))  # 2·exp(−λ²/2) is that chance
RESOLVED = 4.0  # terms at least so many spacings of the sum large: smaller ones are not rounded at random
TANH = 4.0  # units in the last place that either library's tanh, σ or exp may be off by


def addition(a: Array, b: Array, to: Format) -> Array:
    """Mean square of the rounding error of a + b, numbers of the format, the last bits being random.

    The sum has j bits more than fit: its error is one of 2^j multiples of gap/2^j, so gap²/12·(1 + 2·4⁻ʲ), and 0 for j = 0.
    """
    gap, fine = spacing(a + b, to), np.minimum(spacing(a, to), spacing(b, to))
    return np.where((gap > fine) & (a != 0) & (b != 0), gap**2 / 12 * (1 + 2 * (fine / gap) ** 2), 0.0)


def sequential(products: Array, to: Format) -> Array:
    """Mean square error of p₁ + p₂ + … from left to right, (trials, n) -> (trials,)."""
    partial = np.cumsum(products, axis=-1)
    return addition(partial[:, :-1], products[:, 1:], to).sum(-1)


def pairwise(products: Array, to: Format) -> Array:
    """The same where neighbours are added, then neighbouring sums, and so on: numbers about as large, so every second sum is a tie.

    A tie goes to the even number, so fewer of the next sums are ties: ``odd`` is the chance of an odd last bit.
    """
    total, level, odd = np.zeros(len(products)), products, np.full(products.shape, 0.5)
    while level.shape[-1] > 1:
        level, odd = (np.pad(v, ((0, 0), (0, level.shape[-1] % 2))) for v in (level, odd))
        a, b, one, two = level[:, ::2], level[:, 1::2], odd[:, ::2], odd[:, 1::2]
        level, odd = a + b, one + two - 2 * one * two  # odd in units of the finer spacing, if that is both numbers'
        fine, gap, alike = (
            np.minimum(spacing(a, to), spacing(b, to)),
            spacing(level, to),
            spacing(a, to) == spacing(b, to),
        )
        carried = alike & (gap > fine)
        total += np.where(carried, odd * gap**2 / 4, addition(a, b, to)).sum(-1)
        odd = np.where(carried, (1 - odd) / 2, np.where(alike | (b == 0), odd, (1 - fine / gap) / 2))
    return total


def multiplied(products: Array, to: Format) -> Array:
    """Mean square error that rounding the products themselves brings in."""
    return (spacing(products, to) ** 2 / 12).sum(-1)


def tensor_core(x: Array, y: Array, to: Format) -> Array:
    """Inputs rounded, exact products, sums in float32."""
    inputs = ((spacing(x, to) * y) ** 2 + (spacing(y, to) * x) ** 2).sum(-1) / 12
    return inputs + sequential(x * y, FLOAT32)


def resolved(products: Array, to: Format, paired: bool) -> bool:
    """Whether sums still see the last bits of what they add; in pairs they always do: both are about as large."""
    last = spacing(np.cumsum(products, axis=-1)[:, -1], to)
    return paired or bool(np.sqrt((products**2).mean()) >= RESOLVED * np.sqrt((last**2).mean()))


def by_chance(products: Array, to: Format) -> Array:
    """Stochastic rounding: a term that covers the fraction f of a gap is rounded up with probability f, so f(1 − f)·gap²."""
    partial = np.cumsum(products, axis=-1)
    gap = spacing(partial[:, 1:], to)
    fraction = np.mod(products[:, 1:], gap) / gap
    return (gap**2 * fraction * (1 - fraction)).sum(-1)


@cache
def terms() -> tuple[Array, Array]:
    """Every value that a product of two bf16 numbers, rounded from U[0, 1], takes after rounding to bf16, and how often."""
    values = np.append(
        np.ldexp(np.arange(128, 256) / 256.0, np.arange(-12, 1)[:, None]).reshape(-1), 1.0
    )  # from 2⁻¹³ on
    share = np.diff(np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [1.0]]))
    products = defined(np.multiply.outer(values, values), BF16).reshape(-1)
    place = products.view(np.uint64) >> np.uint64(45)  # bf16 numbers differ in float64's first nineteen bits
    least = int(place.min())
    weight = np.bincount((place - np.uint64(least)).astype(np.int64), np.multiply.outer(share, share).reshape(-1))
    held = np.flatnonzero(weight)
    return ((held + least).astype(np.uint64) << np.uint64(45)).view(np.float64), weight[held]


def gain(gap: float) -> tuple[float, float]:
    """What a term adds on average to a sum whose spacing is ``gap``, a multiple of it: where that is even, and where odd."""
    values, share = terms()
    steps = values / gap
    tie = steps % 1 == 0.5
    up = np.where(tie, np.ceil(steps), np.rint(steps))
    down = np.where(tie, np.floor(steps), np.rint(steps))
    even = np.where(tie & (up % 2 == 1), down, up)  # an even number and a half: to the even one of its neighbours
    odd = np.where(tie & (up % 2 == 0), down, up)
    return float(gap * (even @ share)), float(gap * (odd @ share))


def limit(to: Format) -> float:
    """Where a sum of terms below 1 stands still: half its spacing is 1 there, and a tie goes to the even number."""
    return 2.0**to.bits


def passage() -> tuple[float, float]:
    """Mean and variance of the number of terms that carry a bf16 sum from 128 to 256, where it gains 1 or nothing.

    Every gain changes even to odd or back, so 64 waits of either kind; a wait is geometric.
    """
    chances = np.array(gain(1.0))
    return float((64 / chances).sum()), float((64 * (1 - chances) / chances**2).sum())


def drift(lengths: Array) -> Array:
    """The mean bf16 sum after so many terms: in each binade it grows at its own pace, and beyond 256 not at all."""
    paces = [(2.0**e, np.mean(gain(2.0 ** (e - 7)))) for e in range(-3, 8)]
    times, sums = [0.0], [0.0]
    for start, pace in paces:
        times.append(times[-1] + (2 * start - sums[-1]) / float(pace))
        sums.append(2 * start)
    return np.interp(lengths, times, sums)


class Worst:
    """Bounds |computed − exact| ≤ E, entry by entry, carried through the layers with absolute values (Higham 2002, ch. 3).

    u rounds what is stored or read, v is the unit of the sums; ``tiny`` is what rounding may lose below the normal numbers.
    ``probable``: λ√n roundings of a sum instead of n (Higham & Mary 2019); from layer to layer absolute values add up all the same.
    """

    def __init__(self, to: Format, probable: bool = False) -> None:
        self.to, self.probable = to, probable
        self.short = to.bits < 24
        self.unit = to.unit if self.short else 0.0
        self.sums = FLOAT32.unit if self.short else to.unit
        self.tiny = to.smallest if self.short else 0.0

    def read(self, a: Array, e: Array) -> Array:
        """Error of what a product reads; what is stored has been rounded already."""
        return e if self.to.stored else e + self.unit * (np.abs(a) + e) + self.tiny

    def keep(self, a: Array, e: Array, roundings: float = 1.0) -> Array:
        """After so many roundings in the sums' type and, where results are stored short, another one."""
        e = e + 1.01 * roundings * self.sums * (np.abs(a) + e)
        return e + (self.unit * (np.abs(a) + e) + self.tiny if self.to.stored else 0.0)

    def held(self, a: Array, name: str) -> Array:
        """Error of a parameter."""
        return self.unit * np.abs(a) + self.tiny if name == "W" or self.to.stored else 0.0 * a

    def product(self, a: Array, ea: Array, b: Array, eb: Array) -> Array:
        """Error of AB before it is kept: γ_n of the sums on top of what A and B bring along."""
        n = a.shape[-1]
        roundings = LAMBDA * np.sqrt(n) if self.probable else n
        gamma = roundings * self.sums / (1 - n * self.sums)
        moved = ea @ (np.abs(b) + eb) + np.abs(a) @ eb
        return moved + gamma * (np.abs(a) @ np.abs(b) + moved)

    def dense(self, w: Array, b: Array, x: Array, e: Array) -> Array:
        z = w @ x
        e = self.keep(z, self.product(w, self.held(w, "W"), x, self.read(x, e)), 0)
        return self.keep(z + b, e + self.held(b, "b"))

    def tanh(self, a: Array, e: Array) -> Array:
        """The slope is 1 at most."""
        return self.keep(a, e, 2 * TANH)

    def loss(self, p: Array, logits: Array, e: Array) -> Array:
        """(p − y)/m: softmax moves by half of what its logits move, and by 1 at most; its own roundings count as sixteen."""
        spread = 16 * self.sums * (1 + np.ptp(logits, axis=-2, keepdims=True))
        moved = np.minimum(e.max(-2, keepdims=True) / 2, 1) + spread * p + 4 * self.sums
        moved = moved / p.shape[-1]
        return self.keep(np.ones_like(p), moved, 0) if self.to.stored else moved

    def through(self, a: Array, ea: Array, g: Array, eg: Array) -> Array:
        """g·(1 − a²), whose factor lies in [0, 1] whatever a has become."""
        slope = 1 - a * a
        moved = np.minimum(2 * np.abs(a) * ea + ea**2, 1) + 4 * self.sums
        return self.keep(g * slope, (slope + moved) * eg + moved * np.abs(g))
