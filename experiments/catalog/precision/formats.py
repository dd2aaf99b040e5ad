"""Number formats in NumPy: rounding to TF32, bf16 and fp16, emulated on float32's bits, and what the rounding errors are like.

A format has p significant bits; u = 2⁻ᵖ is the largest relative error of rounding to nearest, ties to even.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from experiments.lab import Array


@dataclass(frozen=True)
class Format:
    """Numbers ±m·2^(e−p+1), m < 2ᵖ whole and ``lowest`` ≤ e ≤ ``highest``; ``stored``: whether activations are kept in it."""

    name: str
    bits: int  # p, the hidden one among them
    lowest: int
    highest: int
    stored: bool = True

    @property
    def unit(self) -> float:
        return 2.0**-self.bits

    @property
    def smallest(self) -> float:
        """The smallest subnormal number; half of it rounds to 0."""
        return 2.0 ** (self.lowest - self.bits + 1)

    @property
    def largest(self) -> float:
        return (2 - 2.0 ** (1 - self.bits)) * 2.0**self.highest

    @property
    def dropped(self) -> int:
        """How many of float32's bits it does without."""
        return 24 - self.bits


FLOAT64, FLOAT32 = Format("float64", 53, -1022, 1023), Format("float32", 24, -126, 127)
TF32 = Format("tf32", 11, -126, 127, stored=False)  # what tensor cores read; what they give out is float32
FP16, BF16 = Format("fp16", 11, -14, 15), Format("bf16", 8, -126, 127)
FORMATS = {one.name: one for one in (FLOAT64, FLOAT32, TF32, FP16, BF16)}
SHORT = (TF32, FP16, BF16)


def rounded(x: Array, to: Format) -> Array:
    """float32 numbers rounded to nearest, ties to even, as float32; ∞ where they are too large, NaN stays."""
    if to.name == "fp16":
        with np.errstate(over="ignore"):
            return x.astype(np.float16).astype(np.float32)
    if to.bits >= 24:
        return x
    odd = (x.view(np.uint32) >> to.dropped) & 1
    return _cut(x, odd + np.uint32((1 << (to.dropped - 1)) - 1), to)


def stochastic(x: Array, to: Format, random: Generator) -> Array:
    """float32 numbers rounded up with the probability that makes the mean exact, else down (TF32 and bf16)."""
    return _cut(x, random.integers(0, 1 << to.dropped, x.shape, np.uint32), to)


def truncated(x: Array, to: Format) -> Array:
    """Towards 0: the control."""
    return _cut(x, np.uint32(0), to)


def _cut(x: Array, added: Array | np.uint32, to: Format) -> Array:
    """The bits that ``to`` has none of are cleared, after ``added``, less than one unit of the last bit that stays."""
    kept = (x.view(np.uint32) + added) & np.uint32(0xFFFFFFFF << to.dropped & 0xFFFFFFFF)
    return np.where(np.isfinite(x), kept.view(np.float32), x)


def defined(x: Array, to: Format) -> Array:
    """The same by the definition, in float64: the nearest multiple of the spacing at x, the even one of two as near."""
    with np.errstate(invalid="ignore", over="ignore"):
        wide = np.asarray(x, np.float64)
        gap = spacing(wide, to)
        near = np.where(np.isfinite(wide), np.rint(wide / gap) * gap, wide)
        return np.where(np.abs(near) > to.largest, np.copysign(np.inf, wide), near)


def spacing(x: Array, to: Format) -> Array:
    """The distance of neighbouring numbers of the format where x lies, 2^(e−p+1); 2^e is float64's number without its last bits."""
    power = (np.asarray(x, np.float64).view(np.uint64) & np.uint64(0x7FF0000000000000)).view(np.float64)
    return np.maximum(power, 2.0**to.lowest) * 2.0 ** (1 - to.bits)


def jittered(x: Array, to: Format, random: Generator) -> Array:
    """x and an error such as rounding would make were it random: uniform within half a spacing on either side, in float64."""
    return x + spacing(x, to) * (random.random(x.shape) - 0.5)


def unheld(x: Array, to: Format, random: Generator) -> Array:
    """The same, but numbers that the format holds stay."""
    return np.where(defined(x, to) == x, x, jittered(x, to, random))
