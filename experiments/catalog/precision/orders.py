"""Every order in which a dot product may be summed, in scratch and in PyTorch's own types: x, y (trials, n) -> (trials,)."""

from collections.abc import Callable
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from experiments.lab import Array
from . import native
from .formats import FLOAT32, Format, rounded, truncated

Sum = Callable[[Array, Array, Format, str], Array]


def one_by_one(x: Array, y: Array, to: Format, device: str) -> Array:
    """((p₁ + p₂) + p₃) + …, each sum rounded to the format."""
    products = rounded(x * y, to)
    if to == FLOAT32:
        return np.cumsum(products, axis=-1, dtype=np.float32)[:, -1]
    return reduce(lambda total, term: rounded(total + term, to), np.ascontiguousarray(products.T))


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
    return reduce(lambda total, term: truncated(total + term, to), terms)


def tensor_core(x: Array, y: Array, to: Format, device: str) -> Array:
    """Inputs rounded to the format, products and sums in float32."""
    return one_by_one(rounded(x, to), rounded(y, to), FLOAT32, device)


def library(x: Array, y: Array, to: Format, device: str) -> Array:
    """NumPy's own product of float32 vectors."""
    return np.matmul(x[:, None, :], y[:, :, None])[:, 0, 0]


def torch_terms(x: Array, y: Array, to: Format, device: str) -> Tensor:
    """Products (n, trials), in the format's own type."""
    kind = native.NATIVE.get(to.name, torch.float32)
    a, b = (torch.tensor(v.T.copy(), device=device).to(kind) for v in (x, y))
    return a * b


def torch_one_by_one(x: Array, y: Array, to: Format, device: str) -> Array:
    """A loop: torch.cumsum adds in a wider type."""
    return reduce(torch.add, torch_terms(x, y, to, device).unbind()).float().cpu().numpy()


def torch_in_pairs(x: Array, y: Array, to: Format, device: str) -> Array:
    level = torch_terms(x, y, to, device)
    while len(level) > 1:
        if len(level) % 2:
            level = torch.cat([level, torch.zeros_like(level[:1])])
        level = level[::2] + level[1::2]
    return level[0].float().cpu().numpy()


def torch_chopped(x: Array, y: Array, to: Format, device: str) -> Array:
    def added(total: Tensor, term: Tensor) -> Tensor:
        return ((total + term).view(torch.int32) & -(1 << to.dropped)).view(torch.float32)

    return reduce(added, native.tf32(torch_terms(x, y, FLOAT32, device)).unbind()).cpu().numpy()


def torch_tensor_core(x: Array, y: Array, to: Format, device: str) -> Array:
    a, b = (native.cast(torch.tensor(v), to.name).numpy() for v in (x, y))
    return torch_one_by_one(a, b, FLOAT32, device)


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
