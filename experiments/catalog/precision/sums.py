"""Dot products: their rounding errors in every format, order of summation and implementation, and bf16 sums that stand still."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from experiments.catalog.precision import laws, native
from experiments.catalog.precision.formats import BF16, FLOAT32, FORMATS, Format, rounded, stochastic, truncated
from experiments.experiment import Tables
from experiments.randomness import generator
from scratch.layers import Array

NUMBERS = 2_000_000  # random numbers at a time: long sums are tried less often
CURVE = 16  # points at which a growing sum is looked at
Sum = Callable[[Array, Array, Format, str], Array]


def operands(kind: str, trials: int, n: int) -> tuple[Array, Array]:
    """x, y (trials, n), float32 from U[0, 1] ("positive") or U[−1, 1] ("signs")."""
    low = 0.0 if kind == "positive" else -1.0
    x, y = generator(0, "operands", kind, n).uniform(low, 1, (2, max(2, min(trials, NUMBERS // n)), n))
    return x.astype(np.float32), y.astype(np.float32)


# --- scratch ----------------------------------------------------------------------------------------------------------------


def one_by_one(x: Array, y: Array, to: Format, device: str) -> Array:
    """((p₁ + p₂) + p₃) + …, each sum rounded to the format."""
    products = rounded(x * y, to)
    if to == FLOAT32:
        return np.cumsum(products, axis=-1, dtype=np.float32)[:, -1]
    terms = np.ascontiguousarray(products.T)
    total = terms[0]
    for term in terms[1:]:
        total = rounded(total + term, to)
    return total


def in_pairs(x: Array, y: Array, to: Format, device: str) -> Array:
    """Neighbours first, then neighbouring sums."""
    level = rounded(x * y, to)
    while level.shape[-1] > 1:
        level = np.pad(level, ((0, 0), (0, level.shape[-1] % 2)))
        level = rounded(level[:, ::2] + level[:, 1::2], to)
    return level[:, 0]


def chopped(x: Array, y: Array, to: Format, device: str) -> Array:
    """One by one, but towards 0 instead of to nearest: every error has the same sign."""
    terms = np.ascontiguousarray(rounded(x * y, to).T)
    total = terms[0]
    for term in terms[1:]:
        total = truncated(total + term, to)
    return total


def tensor_core(x: Array, y: Array, to: Format, device: str) -> Array:
    """Inputs rounded to the format, products and sums in float32."""
    return one_by_one(rounded(x, to), rounded(y, to), FLOAT32, device)


def library(x: Array, y: Array, to: Format, device: str) -> Array:
    """NumPy's own product of float32 vectors."""
    return np.matmul(x[:, None, :], y[:, :, None])[:, 0, 0]


# --- PyTorch, in its own types ----------------------------------------------------------------------------------------------


def torch_terms(x: Array, y: Array, to: Format, device: str) -> Tensor:
    """Products (n, trials), in the format's own type."""
    kind = native.NATIVE.get(to.name, torch.float32)
    a, b = (torch.tensor(v.T.copy(), device=device).to(kind) for v in (x, y))
    return a * b


def torch_one_by_one(x: Array, y: Array, to: Format, device: str) -> Array:
    """A loop: torch.cumsum adds in a wider type."""
    terms = torch_terms(x, y, to, device).unbind()
    total = terms[0].clone()
    for term in terms[1:]:
        total += term
    return total.float().cpu().numpy()


def torch_in_pairs(x: Array, y: Array, to: Format, device: str) -> Array:
    level = torch_terms(x, y, to, device)
    while len(level) > 1:
        if len(level) % 2:
            level = torch.cat([level, torch.zeros_like(level[:1])])
        level = level[::2] + level[1::2]
    return level[0].float().cpu().numpy()


def torch_chopped(x: Array, y: Array, to: Format, device: str) -> Array:
    a, b = (torch.tensor(v.T.copy(), device=device) for v in (x, y))
    terms = native.tf32(a * b).unbind()
    total = terms[0]
    for term in terms[1:]:
        total = ((total + term).view(torch.int32) & -(1 << to.dropped)).view(torch.float32)
    return total.cpu().numpy()


def torch_tensor_core(x: Array, y: Array, to: Format, device: str) -> Array:
    a, b = (torch.tensor(v) for v in (x, y))
    short = [native.tf32(v) if to.name == "tf32" else v.to(native.NATIVE[to.name]).float() for v in (a, b)]
    return torch_one_by_one(short[0].numpy(), short[1].numpy(), FLOAT32, device)


def torch_library(x: Array, y: Array, to: Format, device: str) -> Array:
    a, b = (torch.tensor(v, device=device) for v in (x, y))
    return torch.linalg.vecdot(a, b).cpu().numpy()


ORDERS: dict[str, dict[str, Sum]] = {
    "scratch": {
        "one by one": one_by_one,
        "in pairs": in_pairs,
        "chopped": chopped,
        "tensor core": tensor_core,
        "library": library,
    },
    "torchref": {
        "one by one": torch_one_by_one,
        "in pairs": torch_in_pairs,
        "chopped": torch_chopped,
        "tensor core": torch_tensor_core,
        "library": torch_library,
    },
}
ASKED = (  # order of summation, format, kinds of numbers
    ("one by one", "float32", ("positive", "signs")),
    ("one by one", "fp16", ("positive", "signs")),
    ("one by one", "bf16", ("positive", "signs")),
    ("in pairs", "float32", ("positive", "signs")),
    ("in pairs", "bf16", ("positive",)),
    ("tensor core", "tf32", ("positive",)),  # fp16 would read the same numbers
    ("tensor core", "bf16", ("positive", "signs")),
    ("library", "float32", ("positive",)),
    ("chopped", "tf32", ("positive",)),
)


def dots(*, n: int, trials: int, longest: int, device: str) -> Tables:
    """Mean square rounding errors of dot products of n numbers; steps in short formats are slow, so they go up to ``longest``."""
    rows = []
    for order, name, kinds in ASKED:
        to = FORMATS[name]
        if order in ("one by one", "chopped") and to != FLOAT32 and n > longest:
            continue
        for kind in kinds:
            x, y = operands(kind, trials, n)
            if order != "tensor core":  # what the sum does is asked, not what its numbers lose
                x, y = rounded(x, to), rounded(y, to)
            named = {"order": order, "format": name, "kind": kind, "n": n}
            rows += [named | row for row in errors(order, x, y, to, device)]
    return {"dots": pd.DataFrame(rows)}


def errors(order: str, x: Array, y: Array, to: Format, device: str) -> Iterator[dict[str, Any]]:
    """In units of u·√mean (Σ|ab|)². The standard error is that of squares of normal numbers, of which the errors are sums."""
    wide = x.astype(np.float64), y.astype(np.float64)
    products, n = wide[0] * wide[1], x.shape[-1]
    size = np.abs(products).sum(-1)
    scale = to.unit * np.sqrt((size**2).mean())
    expected = predicted(order, wide, products, to) / scale**2
    roundings = n + 2 if order == "tensor core" else n  # those that one product may go through: its factors' among them
    lost = n * to.smallest  # where products underflow
    for backend, ways in ORDERS.items():
        error = np.abs(ways[order](x, y, to, device) - products.sum(-1))
        root = np.sqrt(n) * to.unit * size + lost
        yield {
            "backend": backend,
            "trials": len(x),
            "measured": ((error / scale) ** 2).mean(),
            "predicted": expected.mean(),
            "standard_error": np.sqrt(2 * (expected**2).sum()) / len(x),
            "worst": (error / (laws.worst_case(roundings, to.unit) * size + lost)).max(),
            "of_root": (error / root).max(),
            "beyond": (error > laws.LAMBDA * root).mean(),  # the probabilistic bound
        }


def predicted(order: str, wide: tuple[Array, Array], products: Array, to: Format) -> Array:
    """Mean square of the error of each trial; NaN where there is no law: a library's order, terms too small for the sum."""
    if order == "tensor core":
        return laws.tensor_core(*wide, to)
    law = {"one by one": laws.sequential, "in pairs": laws.pairwise}.get(order)
    if law is None or not laws.resolved(products, to, order == "in pairs"):
        return np.full(len(products), np.nan)
    return laws.multiplied(products, to) + law(rounded(products.astype(np.float32), to).astype(np.float64), to)


def stagnation(*, n: int, trials: int, device: str) -> Tables:
    """bf16 sums of products of U[0, 1], rounded to nearest and at random: their growth, where and when they stand still."""
    x, y = (rounded(v, BF16) for v in operands("positive", trials, n))
    products = rounded(x * y, BF16)
    exact = products.astype(np.float64).sum(-1)
    spread = laws.by_chance(products.astype(np.float64), BF16)
    looks = np.linspace(0, n, CURVE + 1).round().astype(int)[1:]
    curves, ends = [], []
    for backend, grow in {"scratch": growing, "torchref": torch_growing}.items():
        for mode in ("nearest", "stochastic"):
            path = grow(products, mode, device)
            named = {"backend": backend, "mode": mode}
            curves += [
                named
                | {
                    "n": int(k),
                    "measured": path[k - 1].mean(),
                    "standard_error": path[k - 1].std(ddof=1) / np.sqrt(len(x)),
                }
                for k in looks
            ]
            ends.append(
                pd.DataFrame({"total": path[-1], "exact": exact, "spread": spread, "terms": _between(path)}).assign(
                    **named
                )
            )
    frame = pd.DataFrame(curves)
    means = np.cumsum(products.astype(np.float64), axis=-1).mean(0)
    expected = np.where(frame["mode"] == "nearest", laws.drift(frame.n), means[frame.n - 1])
    return {"growth": frame.assign(predicted=expected), "ends": pd.concat(ends, ignore_index=True)}


def growing(products: Array, mode: str, device: str) -> Array:
    """Every partial sum, (n, trials)."""
    random, terms = generator(0, "stochastic", "scratch"), np.ascontiguousarray(products.T)
    path = np.empty_like(terms)
    path[0] = terms[0]
    for k in range(1, len(terms)):
        total = path[k - 1] + terms[k]
        path[k] = rounded(total, BF16) if mode == "nearest" else stochastic(total, BF16, random)
    return path


def torch_growing(products: Array, mode: str, device: str) -> Array:
    """PyTorch's bfloat16; rounding at random it has none, so that is done on float32's bits."""
    terms = torch.tensor(products.T.copy(), device=device)
    if mode == "nearest":
        path = [terms[0].bfloat16()]
        for term in terms[1:].bfloat16().unbind():
            path.append(path[-1] + term)
        return torch.stack(path).float().cpu().numpy()
    random = generator(0, "stochastic", "torchref").integers(0, 1 << BF16.dropped, products.T.shape, np.int32)
    path, added = [terms[0]], torch.tensor(random, device=device)
    for k in range(1, len(terms)):
        path.append(((path[-1] + terms[k]).view(torch.int32) + added[k] & -(1 << BF16.dropped)).view(torch.float32))
    return torch.stack(path).cpu().numpy()


def _between(path: Array) -> Array:
    """The number of terms from the first sum of 128 or more to the first of 256 or more; NaN if it has not come so far."""
    reached: Sequence[Array] = [np.argmax(path >= size, axis=0) for size in (128, 256)]
    return np.where(path[-1] >= 256, reached[1] - reached[0], np.nan)
