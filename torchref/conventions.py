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

NAMES = {  # array of a scratch layer -> attribute of its torch twin, where that has another name
    "W": "weight",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "mask": "mask",
}


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
    try:
        return torch.empty(0, device=name).device  # the index of one that is not there shows only now
    except RuntimeError:
        raise InvalidInput(f"there is no device {name!r} on this machine") from None


def dtype_of(array: Array) -> torch.dtype:
    return torch.from_numpy(np.empty(0, array.dtype)).dtype


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


def torch_name(layer: int, name: str) -> str:
    """``k.W`` inside residual layer 2 as ``layers.2.layers.k.weight``."""
    *inside, last = name.split(".")
    return "".join(f"layers.{k}." for k in (layer, *inside)) + NAMES.get(last, last)


def state(parameters: Parameters, device: torch.device) -> dict[str, Tensor]:
    """Parameters as PyTorch's named state, each tensor a leaf of its own that wants a gradient."""
    return {name: tensor.requires_grad_() for name, tensor in tensors(parameters, device).items()}


def tensors(arrays: Parameters, device: torch.device) -> dict[str, Tensor]:
    """Parameters, buffers or noise under PyTorch's names and in its shapes, with at most one stack axis.

    Raises InvalidInput where the networks of a stack have seen different numbers of batches: PyTorch keeps one number.
    """
    named: dict[str, Tensor] = {}
    for k, layer in enumerate(arrays):
        for name, array in layer.items():
            kind = name.rpartition(".")[2]
            if kind == "W":
                given = _one_axis(array, 2)
            elif kind == "mask":
                given = _one_axis(array, 2).swapaxes(-1, -2)
            elif kind == "num_batches_tracked":
                given = _shared(array, f"layer {k}: {name}").astype(np.int64)
            else:
                given = _one_axis(array[..., 0], 1)
            named[torch_name(k, name)] = _tensor(given, device)
    return named


def _shared(array: Array, place: str) -> Array:
    """The one number that a whole stack has in common."""
    if array.size and (array != array.flat[0]).any():
        raise InvalidInput(f"{place} differs among the networks of the stack, and PyTorch keeps one number for all")
    return array.reshape(-1)[0] if array.size else np.zeros(())


def parameters(tensors: dict[str, Tensor], like: Parameters) -> Parameters:
    """The named tensors as NumPy arrays of the shapes and types in ``like``; on the CPU they may share memory."""

    def layer(k: int, named: Tensors) -> Tensors:
        found = {}
        for name, a in named.items():
            array = tensors[torch_name(k, name)].detach().cpu().numpy().astype(a.dtype, copy=False)
            found[name] = np.broadcast_to(array, a.shape).copy() if array.ndim == 0 else array.reshape(a.shape)
        return found

    return tuple(layer(k, named) for k, named in enumerate(like))


def _one_axis(array: Array, core: int) -> Array:
    """Folds all leading axes before the last ``core`` ones into one (or leaves none)."""
    return array.reshape(-1, *array.shape[array.ndim - core :]) if array.ndim > core else array


def _tensor(array: Array, device: torch.device) -> Tensor:
    return torch.tensor(np.ascontiguousarray(array).reshape(array.shape), device=device)
