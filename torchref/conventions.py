"""Columns and rows: the only file where scratch's layout turns into PyTorch's and back.

scratch: an example is a column, X (…, features, m), a bias or a scale is (…, units, 1), leading axes are free.
PyTorch: an example is a row, X (S, m, features), a bias is (S, units); a stack has one leading axis S or none.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scratch.errors import InvalidInput
from scratch.layers import Array, Shape, Tensors
from scratch.network import Parameters

NAMES = {"W": "weight", "b": "bias"}  # parameter of a scratch layer -> attribute of its torch twin


def device_of(name: str, dtype: np.dtype) -> torch.device:
    """The device of that name. Raises InvalidInput where this machine has none, or it cannot compute in ``dtype``."""
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = name.split(":")[0]
    if kind not in here:
        raise InvalidInput(f"there is no device {name!r}; there are: {', '.join(here)}")
    if not here[kind]:
        raise InvalidInput(f"device {name!r} was asked for, but PyTorch {torch.__version__} finds none on this machine")
    if kind == "mps" and dtype == np.float64:
        raise InvalidInput("device 'mps' has no float64: ask for --dtype float32 as well")
    return torch.device(name)


def rows(array: Array, device: torch.device) -> Tensor:
    """(…, features, m) as a tensor (S, m, features); integer labels (…, m) as (S, m)."""
    if array.dtype.kind in "iu":
        return _tensor(_one_axis(array, 1).astype(np.int64), device)
    return _tensor(_one_axis(array, 2).swapaxes(-1, -2), device)


def columns(tensor: Tensor, leading: Shape) -> Array:
    """(S, m, units) as (…, units, m), with the stack's ``leading`` axes."""
    array = tensor.detach().cpu().numpy().swapaxes(-1, -2)
    return np.ascontiguousarray(array.reshape(leading + array.shape[-2:]))


def scalars(tensor: Tensor, leading: Shape) -> Array:
    """One number for each network: (S,) as (…,)."""
    return tensor.detach().cpu().numpy().reshape(leading)


def state(parameters: Parameters, device: torch.device) -> dict[str, Tensor]:
    """Parameters as PyTorch's named state, each tensor a leaf of its own that wants a gradient."""
    return {
        f"layers.{k}.{NAMES[name]}": _tensor(
            _one_axis(array[..., 0] if name != "W" else array, 1 + (name == "W")), device
        ).requires_grad_()
        for k, named in enumerate(parameters)
        for name, array in named.items()
    }


def parameters(tensors: dict[str, Tensor], like: Parameters) -> Parameters:
    """The named tensors as NumPy parameters of the shapes in ``like``; on the CPU they share memory."""

    def layer(k: int, named: Tensors) -> Tensors:
        return {
            name: tensors[f"layers.{k}.{NAMES[name]}"].detach().cpu().numpy().reshape(a.shape)
            for name, a in named.items()
        }

    return tuple(layer(k, named) for k, named in enumerate(like))


def _one_axis(array: Array, core: int) -> Array:
    """Folds all leading axes before the last ``core`` ones into one (or leaves none)."""
    return array.reshape(-1, *array.shape[array.ndim - core :]) if array.ndim > core else array


def _tensor(array: Array, device: torch.device) -> Tensor:
    return torch.tensor(np.ascontiguousarray(array), device=device)
