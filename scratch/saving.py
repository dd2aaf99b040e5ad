"""Networks on disk: ``save(path, network, parameters, buffers)`` and ``load(path)``, as .safetensors or .npz, never pickle.

Both formats hold plain numbers under PyTorch's names and in its shapes ("layers.0.weight" (…, o, i), "layers.0.bias" (…, o),
"layers.1.num_batches_tracked" as int64, "layers.2.layers.0.weight" inside Residual): whoever gets a network from here most likely
wants it in PyTorch, where ``torchref.network.Network(network).load_state_dict(safetensors.torch.load_file(path))`` takes it as it is.
The description of the network, class and fields of every layer, is JSON beside them, under the name "network".

.safetensors: 8 bytes, the header's length N, little-endian; N bytes of JSON, {name: {dtype, shape, data_offsets}}, padded with
spaces to a multiple of 8; then the arrays, little-endian, rows first, without holes, the larger types first, so that each is
aligned (https://huggingface.co/docs/safetensors). .npz: NumPy's own, a zip of .npy files.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from scratch import activations, normalization  # noqa: F401  so that their layers are known
from scratch.errors import InvalidInput, unknown
from scratch.layers import Array, Layer, Shape, Tensors
from scratch.network import Network, Parameters

NAMES = {  # array of a layer -> its name in a file, which is PyTorch's
    "W": "weight",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "mean": "running_mean",
    "variance": "running_var",
    "batches": "num_batches_tracked",
}
AXES = {"W": 2, "batches": 0}  # how many of (rows, columns) are left in a file: of all others the rows
DTYPES = {"F64": "<f8", "I64": "<i8", "F32": "<f4", "F16": "<f2"}  # safetensors' names, the largest first


def save(path: str | Path, network: Network, parameters: Parameters, buffers: Parameters | None = None) -> None:
    """Writes the network by atomic replace: a kill at any moment leaves the old file or the new one.

    Stacked parameters keep their leading axes; without ``buffers`` fresh ones are written. Raises InvalidInput for another
    suffix, shapes that do not fit, types other than one of float64, float32 and float16, a file that cannot be written.
    """
    path = Path(path)
    pack, _ = _format(path)
    network.check(parameters)
    leading = _leading(parameters, buffers or ())
    buffers = buffers or network.buffers(leading, next((a.dtype for p in parameters for a in p.values()), None))
    network.check_buffers(buffers, leading)
    _write(path, pack(dict(_to_file(parameters, buffers)), describe(network)))


def load(path: str | Path, network: Network | None = None) -> tuple[Network, Parameters, Parameters]:
    """Network, parameters and buffers from a file that ``save`` wrote.

    A file without a description, such as a ``state_dict`` of the torch twin written by safetensors, needs the ``network``.
    Raises InvalidInput for whatever is wrong with a file; nothing in it is executed.
    """
    path = Path(path)
    _, unpack = _format(path)
    try:
        tensors, text = unpack(path.read_bytes())
        if network is None:
            _require(text is not None, "it holds no description of a network: hand the network over as well")
            network = _network(text or "")
        return network, *_from_file(tensors, network)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from None
    except Exception as error:  # a broken file may raise anything on its way through zipfile, zlib, NumPy and JSON
        reason = " ".join(str(error).split())
        raise InvalidInput(f"{path}: cannot be read as a network: {type(error).__name__}: {reason}") from error


# names and shapes


def _in_file(layer: int, name: str) -> str:
    """``k.W`` inside residual layer 2 is ``layers.2.layers.k.weight``."""
    *inside, last = name.split(".")
    return "".join(f"layers.{k}." for k in (layer, *inside)) + NAMES.get(last, last)


def _axes(name: str) -> int:
    return AXES.get(name.rpartition(".")[2], 1)


def _to_file(*parts: Parameters) -> Iterator[tuple[str, Array]]:
    named = [(k, name, array) for part in parts for k, layer in enumerate(part) for name, array in layer.items()]
    kinds = {str(array.dtype) for _, _, array in named}
    if len(kinds) > 1 or not kinds <= {"float64", "float32", "float16"}:
        raise InvalidInput(f"save: all arrays must be of one type, float64, float32 or float16; got {sorted(kinds)}")
    for k, name, array in named:
        given = array.reshape(array.shape[: array.ndim - 2 + _axes(name)])
        if name.rpartition(".")[2] == "batches":
            if (given != np.floor(given)).any() or not np.isfinite(given).all():
                raise InvalidInput(f"save: layer {k}: {name} counts batches, but is {array.reshape(-1)}")
            given = given.astype(np.int64)
        yield _in_file(k, name), given


def _from_file(tensors: Tensors, network: Network) -> tuple[Parameters, Parameters]:
    """Parameters and buffers of the network. Raises InvalidInput unless the tensors are these and no others."""
    kinds = [a.dtype for a in tensors.values() if a.dtype.kind == "f"]
    _require(len(set(kinds)) <= 1, f"expected arrays of one type, got {sorted(set(map(str, kinds)))}")
    taken: set[str] = set()

    def layer(k: int, names: Any) -> Tensors:
        found = {}
        for name in names:
            key = _in_file(k, name)
            _require(key in tensors, f"expected {key}, got {sorted(tensors)}")
            array, counts = tensors[key], name.rpartition(".")[2] == "batches"
            kind = "int64" if counts else "floating point"
            _require((array.dtype == np.int64) == counts, f"{key} must be {kind}, got {array.dtype}")
            found[name] = array.reshape(array.shape + (1,) * (2 - _axes(name))).astype(kinds[0])
            taken.add(key)
        return found

    parameters = tuple(layer(k, shapes) for k, shapes in enumerate(network.shapes))
    network.check(parameters)
    buffers = tuple(layer(k, fresh) for k, fresh in enumerate(network.buffers()))
    network.check_buffers(buffers, _leading(parameters, buffers))
    left = sorted(tensors.keys() - taken)
    _require(not left, f"{left} belong to no layer of the network")
    return parameters, buffers


def _leading(*parts: Parameters) -> Shape:
    return next((a.shape[:-2] for part in parts for named in part for a in named.values()), ())


# the description of a network


def describe(network: Network) -> str:
    """The network as JSON: its inputs, and every layer's class ("kind") and fields."""
    held = {"inputs": network.inputs, "layers": _plain(network.layers)}
    return json.dumps(held)


def _plain(value: Any) -> Any:
    """Layers, or tuples of them, as JSON has them; anything else as it is."""
    if isinstance(value, tuple | list):
        return [_plain(inside) for inside in value]
    if not isinstance(value, Layer):
        return value
    name = type(value).__name__
    if _kinds().get(name) is not type(value):
        raise InvalidInput(f"save: {name} is no dataclass, or not the only layer of that name")
    return {"kind": name} | {field.name: _plain(getattr(value, field.name)) for field in fields(_kinds()[name])}


def _kinds() -> dict[str, Any]:
    """Every layer that Python knows at the moment under its class name; of two that share one, scratch's own."""
    found: list[Any] = [kind for kind in _below(Layer) if is_dataclass(kind)]
    return {kind.__name__: kind for kind in sorted(found, key=lambda kind: kind.__module__.startswith("scratch."))}


def _below(kind: Any) -> Iterator[Any]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def _network(text: str) -> Network:
    held = json.loads(text)
    right = isinstance(held, dict) and held.keys() == {"inputs", "layers"}
    _require(right, "the description must have inputs and layers")
    return Network(_built(held["layers"]), held["inputs"])


def _built(value: Any) -> Any:
    """What ``_plain`` made plain. Only classes of layers are called, and they hold each field to its declared type."""
    if isinstance(value, list):
        return tuple(_built(inside) for inside in value)
    if not isinstance(value, dict):
        return value
    name = value.pop("kind", None)
    kind: Any = _kinds().get(name)
    if kind is None:
        raise unknown("layer", str(name), _kinds())
    declared = [field.name for field in fields(kind)]
    for field in value:
        if field not in declared:
            raise unknown(f"field of {name}", field, declared)
    return kind(**{field: _built(inside) for field, inside in value.items()})


# the two formats


def _pack_safetensors(tensors: Tensors, text: str) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"network": text}}
    codes, data = {np.dtype(code): name for name, code in DTYPES.items()}, io.BytesIO()
    for name, array in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        start = data.tell()
        data.write(array.astype(array.dtype.newbyteorder("<")).tobytes())
        header[name] = {"dtype": codes[array.dtype], "shape": array.shape, "data_offsets": (start, data.tell())}
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written + data.getvalue()


def _unpack_safetensors(raw: bytes) -> tuple[Tensors, str | None]:
    length = int.from_bytes(raw[:8], "little")
    _require(8 < 8 + length <= len(raw), f"its header takes {length} bytes of {len(raw)}: cut off, or no such file")
    header, data = json.loads(raw[8 : 8 + length], object_pairs_hook=_once), memoryview(raw)[8 + length :]
    _require(isinstance(header, dict), "its header must be a JSON object")
    text = header.pop("__metadata__", {}).get("network")
    tensors, start = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape, (begin, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if dtype not in DTYPES:
            raise unknown(f"type of {name}", str(dtype), DTYPES)
        counts = all(type(n) is int and n >= 0 for n in (*shape, begin, stop))
        _require(counts, f"{name}: a shape or an offset is no count")
        _require(
            begin == start, f"{name} should begin at byte {start} of the data, after the last; it begins at {begin}"
        )
        size = prod(shape) * np.dtype(DTYPES[dtype]).itemsize
        _require(stop - begin == size, f"{name}: {dtype} {shape} takes {size} bytes, but it is given {stop - begin}")
        _require(stop <= len(data), f"{name} ends at byte {stop} of {len(data)}: the file is cut off")
        kept = np.frombuffer(data[begin:stop], DTYPES[dtype]).reshape(shape)
        tensors[name], start = kept.astype(kept.dtype.newbyteorder("=")), stop
    _require(start == len(data), f"the last array ends at byte {start}, but there are {len(data)}")
    return tensors, text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    _require(len(names) == len(set(names)), f"its header names something twice: {names}")
    return dict(pairs)


def _pack_npz(tensors: Tensors, text: str) -> bytes:
    data = io.BytesIO()
    held: dict[str, Any] = {**tensors, "network": np.array(text)}
    np.savez(data, **held)
    return data.getvalue()


def _unpack_npz(raw: bytes) -> tuple[Tensors, str | None]:
    held = np.load(io.BytesIO(raw), allow_pickle=False)
    _require(isinstance(held, np.lib.npyio.NpzFile), "it is no npz file")
    tensors = {name: held[name] for name in held.files}
    text = tensors.pop("network", None)
    for name, array in tensors.items():
        _require(array.dtype in map(np.dtype, DTYPES.values()), f"{name} must be numbers, got {array.dtype}")
    return tensors, None if text is None else str(text)


def _format(path: Path) -> tuple[Callable[[Tensors, str], bytes], Callable[[bytes], tuple[Tensors, str | None]]]:
    formats = {".safetensors": (_pack_safetensors, _unpack_safetensors), ".npz": (_pack_npz, _unpack_npz)}
    if path.suffix not in formats:
        raise unknown(f"format of {path.name!r}, suffix", path.suffix, formats)
    return formats[path.suffix]


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _require(right: bool, expected: str) -> None:
    if not right:
        raise InvalidInput(expected)
