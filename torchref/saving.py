"""scratch's parameters as PyTorch's ``state_dict``, and back. Files in that format: scratch.saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scratch.arguments import kind, kind_of, shown
from scratch.errors import InvalidInput
from scratch.layers import Array
from scratch.matching import assign, check_types, leading_of
from scratch.network import Network, Parameters, merge
from torchref import conventions

CPU = torch.device("cpu")
State = dict[str, Tensor]


def state_dict(
    network: Network,
    parameters: Parameters,
    buffers: Parameters | None = None,
    *,
    prefix: str = "layers.",
    member: int | tuple[int, ...] | None = None,
) -> State:
    """What ``torchref.network.Network(network).load_state_dict`` takes, a copy; with ``prefix=""`` it fits nn.Sequential.

    Of a stack it is one ``member`` that is asked for. Without ``buffers`` there are fresh ones. Raises InvalidInput where a shape does
    not fit, or a stack comes without a member.
    """
    kind("state_dict", "network", network, Network).check(parameters)
    kind("state_dict", "prefix", prefix, str)
    leading = leading_of(parameters, buffers)
    if buffers is None:
        buffers = network.buffers(leading, next((a.dtype for named in parameters for a in named.values()), float))
    network.check_buffers(buffers, leading)
    check_types("state_dict", parameters, buffers)
    chosen = _member(member, leading)
    both = tuple({name: a[chosen] for name, a in named.items()} for named in merge(parameters, buffers))
    named = conventions.tensors(both, CPU)
    return {prefix + name.removeprefix("layers."): tensor for name, tensor in named.items()}


def from_state_dict(
    network: Network, state: Mapping[str, Any] | nn.Module, *, names: Sequence[str] | None = None
) -> tuple[Parameters, Parameters]:
    """Parameters and buffers, copies, from the state of any module that holds the network's layers.

    ``state``: a state_dict of tensors or arrays, a module, or a checkpoint with one such state inside. The order of its keys does not
    matter: numbers in the modules' names are their order ("0", "fc2", "layer1.0.conv"), and where they and the shapes leave two,
    ``names`` gives the modules in the network's order, ("encoder", "net.bn", "decoder"). bfloat16 becomes float32; of several
    types all arrays get the widest. Raises InvalidInput, with PyTorch's name, where number, contents, order or a shape does not fit.
    """
    kind("state_dict", "network", network, Network)
    try:
        return assign({key: _array(key, value) for key, value in _state(state).items()}, network, names)
    except InvalidInput as error:
        raise InvalidInput(f"state_dict: {error}") from None


def _member(member: Any, leading: tuple[int, ...]) -> tuple[int, ...]:
    chosen = () if member is None else member if isinstance(member, tuple) else (member,)
    whole = all(isinstance(k, int) and not isinstance(k, bool) for k in chosen)
    if not whole or len(chosen) != len(leading) or any(not -n <= k < n for k, n in zip(chosen, leading, strict=True)):
        came = f"({', '.join(map(shown, chosen))})" if isinstance(member, tuple) else shown(member)
        raise InvalidInput(f"state_dict(member={came}): must name one network of a stack {leading}")
    return chosen


def _state(given: Any) -> Mapping[str, Any]:
    """The state in a module, or the only one in a checkpoint; a state itself as it is."""
    if isinstance(given, nn.Module):
        return given.state_dict()
    if not isinstance(given, Mapping):
        raise InvalidInput(f"expected names with tensors, or a module; got {kind_of(given)}")
    inside = {key: value for key, value in given.items() if isinstance(value, nn.Module) or _is_state(value)}
    if not inside:
        return given
    if len(inside) > 1:
        raise InvalidInput(f"there are states under {sorted(map(str, inside))}: hand one of them over")
    return _state(next(iter(inside.values())))


def _is_state(value: Any) -> bool:
    arrays = isinstance(value, Mapping) and all(isinstance(a, (Tensor, np.ndarray)) for a in value.values())
    return arrays and len(value) > 0


def _array(key: Any, value: Any) -> Array:
    """A tensor as an array that may share its memory, bfloat16 as float32; anything else is for ``assign`` to judge."""
    if not isinstance(value, Tensor):
        return value
    try:
        return (value.float() if value.dtype == torch.bfloat16 else value).detach().cpu().numpy()
    except (
        RuntimeError,
        TypeError,
        ValueError,
    ):  # on the meta device, sparse, not made yet, of a type that NumPy lacks
        raise InvalidInput(
            f"{key}: expected a tensor of numbers in memory, got {value.dtype} on {value.device}"
        ) from None
