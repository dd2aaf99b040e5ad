"""Are the short formats emulated to the bit?

TF32, fp16 and bf16, which scratch rounds to on float32's bits, against the definition and against PyTorch's own types.
"""

from collections.abc import Iterator

import numpy as np
import torch

from experiments.lab import Array, Claim, Cost, Frame, cells, claims, compare
from scratch.randomness import generator
from . import native
from .formats import SHORT, Format, defined, rounded, spacing


@cells(cost=Cost(0.35, 35))
def casts(draws: int, device: str) -> Frame:
    """How many float32 numbers each implementation rounds otherwise than the definition says, in any bit but a NaN's."""
    rows = []
    for to in SHORT:
        for kind, x in chosen(to, draws):
            right = defined(x, to)
            wrong = unlike(toward_zero(x, to), right)
            for backend, found in (("scratch", rounded(x, to)), ("torchref", cast(x, to, device))):
                rows.append({"format": to.name, "kind": kind, "backend": backend, "numbers": len(x),
                             "measured": unlike(found, right), "control_measured": wrong})  # fmt: skip
    return Frame(rows)


def cast(x: Array, to: Format, device: str) -> Array:
    """PyTorch's conversion and back."""
    tensor = torch.tensor(x, device=device)
    infinite = torch.where(tensor.isfinite(), native.cast(tensor, to.name), tensor)  # ∞ and NaN are no number to round
    return infinite.cpu().numpy()


def chosen(to: Format, draws: int) -> Iterator[tuple[str, Array]]:
    """Numbers of the format, what lies half-way between two neighbours and a bit beside it, and random ones of every size."""
    bits = generator(0, "casts", to.name).integers(0, 2**32, draws, np.uint32)
    high = np.arange(2**16, dtype=np.uint32) << 16
    held = np.unique(rounded(np.concatenate([high, bits]).view(np.float32), to).view(np.uint32)).view(np.float32)
    yield "numbers of the format", held
    finite = held[np.isfinite(held)].astype(np.float64)
    with np.errstate(over="ignore"):
        half = (finite + spacing(finite, to) / 2).astype(np.float32)
    beside = np.concatenate([half, np.nextafter(half, np.float32(0)), np.nextafter(half, np.float32(np.inf))])
    yield "half-way and beside", beside
    random = generator(0, "sizes", to.name)
    size = random.uniform(to.lowest - to.bits - 1, min(to.highest + 2, 128), draws)
    with np.errstate(over="ignore", under="ignore"):
        yield "every size", (np.exp2(size) * random.choice([-1.0, 1.0], draws)).astype(np.float32)
    yield "random bits", bits.view(np.float32)


def toward_zero(x: Array, to: Format) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        wide = x.astype(np.float64)
        gap = spacing(wide, to)
        return np.where(np.isfinite(wide), np.trunc(wide / gap) * gap, wide)


def unlike(a: Array, b: Array) -> int:
    """In how many places they differ; −0 is not 0, and NaN is NaN."""
    same = (a == b) & (np.signbit(a) == np.signbit(b)) | (np.isnan(a) & np.isnan(b))
    return int((~same).sum())


@claims
def to_the_bit(casts: Frame) -> Iterator[Claim]:
    yield Claim(
        "to the bit",
        "Emulated on float32's bits, TF32, fp16 and bf16 are what the definition says, and PyTorch's own types are too: on all numbers "
        "of the format, half-way between them, subnormal, too large, ∞ and NaN.",
        "IEEE 754: to nearest, ties to even",
        "On the CPU scratch emulates all three, PyTorch has bfloat16 and float16 of its own. The number of float32 "
        "numbers that are rounded otherwise than by scaling, rounding to a whole number and scaling back. Not one "
        "may differ. TF32, which the CPU has not, is rounded by each implementation in its own way.",
        "rounding towards 0",
        compare(casts, "{format}, {kind}", predicted=0.0, standard_error=0.0),
    )
