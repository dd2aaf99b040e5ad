"""scratch's parameters as PyTorch's ``state_dict``, and back. Files in that format: scratch.saving."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from scratch.errors import InvalidInput
from scratch.network import Network, Parameters, merge
from torchref import conventions

CPU = torch.device("cpu")
DTYPES = {torch.float64: np.float64, torch.float32: np.float32, torch.float16: np.float16}
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
    network.check(parameters)
    given = [a for named in (*parameters, *(buffers or ())) for a in named.values()]
    leading, dtype = (given[0].shape[:-2], given[0].dtype) if given else ((), None)
    buffers = buffers or network.buffers(leading, dtype)
    network.check_buffers(buffers, leading)
    chosen = () if member is None else member if isinstance(member, tuple) else (member,)
    if len(chosen) != len(leading) or any(not -n <= k < n for k, n in zip(chosen, leading, strict=False)):
        raise InvalidInput(f"state_dict(member={member}): must name one network of a stack {leading}")
    both = tuple({name: a[chosen] for name, a in named.items()} for named in merge(parameters, buffers))
    named = conventions.tensors(both, CPU)
    return {prefix + name.removeprefix("layers."): tensor for name, tensor in named.items()}


def from_state_dict(network: Network, state: Mapping[str, Tensor]) -> tuple[Parameters, Parameters]:
    """Parameters and buffers, copies, from the state of any module that holds the network's layers in its order.

    Names before the last dot do not matter ("layers.0.weight", "0.weight", "fc1.weight", "net.bn.running_mean"): modules are
    matched as they come. Raises InvalidInput, with PyTorch's name, where their number, what they hold or a shape differs.
    """
    dtype = _dtype(state)
    parameters = tuple({name: np.zeros(shape, dtype) for name, shape in shapes.items()} for shapes in network.shapes)
    buffers = network.buffers(dtype=dtype)
    expected = conventions.tensors(merge(parameters, buffers), CPU)
    ours = sorted(_modules(expected).items(), key=lambda item: [int(k) for k in item[0].split(".") if k.isdigit()])
    theirs = _modules(state)
    if len(ours) != len(theirs):
        places, came = [place for place, _ in ours], list(theirs)
        raise InvalidInput(
            f"state_dict: expected {len(ours)} modules with a state, as {places}; got {len(came)}: {came}"
        )
    found: State = {}
    for (place, named), (prefix, held) in zip(ours, theirs.items(), strict=True):
        if named.keys() != held.keys():
            raise InvalidInput(
                f"state_dict: {prefix!r} should hold {sorted(named)}, as {place}; it holds {sorted(held)}"
            )
        for name, tensor in held.items():
            if tensor.shape != named[name].shape:
                key, shape = ".".join(filter(None, (prefix, name))), tuple(named[name].shape)
                raise InvalidInput(f"state_dict: {key} must be {shape}, as {place}.{name}; got {tuple(tensor.shape)}")
            found[f"{place}.{name}"] = tensor.detach().clone()
    return conventions.parameters(found, parameters), conventions.parameters(found, buffers)


def _modules(state: Mapping[str, Tensor]) -> dict[str, State]:
    """The tensors of each module under their names in it; modules in order of appearance."""
    modules: dict[str, State] = {}
    for key, tensor in state.items():
        place, _, name = key.rpartition(".")
        modules.setdefault(place, {})[name] = tensor
    return modules


def _dtype(state: Mapping[str, Tensor]) -> type | None:
    """NumPy's type for the one floating point type of all tensors; None, its default, where there is no tensor."""
    kinds = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    if len(kinds) > 1 or not kinds <= DTYPES.keys():
        names = sorted(map(str, kinds))
        raise InvalidInput(f"state_dict: tensors must be of one type, float64, float32 or float16; got {names}")
    return next((DTYPES[kind] for kind in kinds), None)
