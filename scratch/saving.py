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
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from scratch import activations, normalization  # noqa: F401  so that their layers are known
from scratch.arguments import kind, require
from scratch.errors import InvalidInput, known, unknown
from scratch.files import check_file, check_npz
from scratch.layers import Array, Layer, Tensors
from scratch.matching import assign, axes_of, check_types, leading_of, path_of
from scratch.network import Network, Parameters

DTYPES = {"F64": "<f8", "I64": "<i8", "F32": "<f4", "I32": "<i4", "F16": "<f2", "BF16": "<u2"}  # safetensors' names
HEADER = 100_000_000  # bytes of JSON at most, safetensors' own limit


def save(path: str | Path, network: Network, parameters: Parameters, buffers: Parameters | None = None) -> None:
    """Writes the network by atomic replace: a kill at any moment leaves the old file or the new one.

    Stacked parameters keep their leading axes; without ``buffers`` fresh ones are written. Raises InvalidInput for another
    suffix, shapes that do not fit, types other than one of float64, float32 and float16, a file that cannot be written.
    """
    path = _path("save", path)
    pack, _ = _format(path)
    kind("save", "network", network, Network).check(parameters)
    leading = leading_of(parameters, buffers)
    if buffers is None:
        buffers = network.buffers(leading, next((a.dtype for p in parameters for a in p.values()), np.float64))
    network.check_buffers(buffers, leading)
    _write(path, pack(dict(_to_file(parameters, buffers)), describe(network)))


def load(
    path: str | Path, network: Network | None = None, *, names: Sequence[str] | None = None
) -> tuple[Network, Parameters, Parameters]:
    """Network, parameters and buffers from a file that ``save`` wrote, or from any whose arrays have PyTorch's names.

    A file without a description, such as a ``state_dict`` written by safetensors, needs the ``network``. Modules may have any names:
    ``names`` gives them in the network's order where numbers in them do not ("0.weight", "fc1.weight"). bfloat16 becomes float32, and
    of several types all arrays get the widest. Raises InvalidInput for whatever is wrong with a file; nothing in it is executed.
    """
    path = _path("load", path)
    _, unpack = _format(path)
    if network is not None:
        kind("load", "network", network, Network)
    check_file(path)
    try:
        tensors, text = unpack(path)
        if network is None:
            _require(text is not None, "it holds no description of a network: hand the network over as well")
            network = _network(text or "")
        return network, *assign(tensors, network, names, stacked=True)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from None
    except Exception as error:  # a broken file may raise anything on its way through zipfile, zlib, NumPy and JSON
        reason = " ".join(str(error).split())
        raise InvalidInput(f"{path}: cannot be read as a network: {type(error).__name__}: {reason}") from error


def _path(place: str, value: Any) -> Path:
    require(isinstance(value, (str, Path)), place, "path", value, "a path")
    return Path(value)


def _to_file(*parts: Parameters) -> Iterator[tuple[str, Array]]:
    check_types("save", *parts)
    for k, name, array in [(k, n, a) for part in parts for k, layer in enumerate(part) for n, a in layer.items()]:
        given = array.reshape(array.shape[: array.ndim - 2 + axes_of(name)])
        if axes_of(name) == 0:
            if (given != np.floor(given)).any() or not np.isfinite(given).all():
                raise InvalidInput(f"save: layer {k}: {name} counts batches, but is {array.reshape(-1)[:9]}")
            given = given.astype(np.int64)
        yield path_of(k, name), given


# the description of a network


def describe(network: Network) -> str:
    """The network as JSON: its inputs, and every layer's class ("kind") and fields."""
    kind("describe", "network", network, Network)
    held = {"inputs": network.inputs, "layers": _plain(network.layers)}
    try:
        return json.dumps(held)
    except TypeError as error:
        raise InvalidInput(f"save: a layer's field must be numbers, words, truth values or layers: {error}") from None


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


def _unpack_safetensors(path: Path) -> tuple[Tensors, str | None]:
    with path.open("rb") as file:
        total = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        _require(8 < 8 + length <= total, f"its header takes {length} bytes of {total}: cut off, or no such file")
        _require(length <= HEADER, f"its header takes {length} bytes: expected at most {HEADER}, as the format has it")
        header, size = json.loads(file.read(length), object_pairs_hook=_once), total - 8 - length
        _require(isinstance(header, dict), "its header must be a JSON object")
        text = header.pop("__metadata__", {}).get("network")
        _require(text is None or isinstance(text, str), "its description of a network must be a text")
        entries = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
        _check_entries(entries, size)
        data = memoryview(file.read(size))
    tensors = {}
    for name, entry in entries:
        begin, stop = entry["data_offsets"]
        kept = np.frombuffer(data[begin:stop], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        wide = (
            (kept.astype("<u4") << 16).view("<f4") if entry["dtype"] == "BF16" else kept
        )  # the upper half of a float32
        tensors[name] = wide.astype(wide.dtype.newbyteorder("="))
    return tensors, text


def _check_entries(entries: list[tuple[str, Any]], size: int) -> None:
    """Raises InvalidInput unless the arrays fill the ``size`` bytes of data, one after the other; before any is read."""
    start = 0
    for name, entry in entries:
        dtype, shape, (begin, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if dtype not in DTYPES:
            raise unknown(f"type of {name}", str(dtype), DTYPES)
        counts = all(type(n) is int and n >= 0 for n in (*shape, begin, stop))
        _require(counts, f"{name}: a shape or an offset is no count")
        _require(
            begin == start, f"{name} should begin at byte {start} of the data, after the last; it begins at {begin}"
        )
        taken = prod(shape) * np.dtype(DTYPES[dtype]).itemsize
        _require(stop - begin == taken, f"{name}: {dtype} {shape} takes {taken} bytes, but it is given {stop - begin}")
        _require(stop <= size, f"{name} ends at byte {stop} of {size}: the file is cut off")
        start = stop
    _require(start == size, f"the last array ends at byte {start}, but there are {size}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    _require(len(names) == len(set(names)), f"its header names something twice: {names}")
    return dict(pairs)


def _pack_npz(tensors: Tensors, text: str) -> bytes:
    data = io.BytesIO()
    held: dict[str, Any] = {**tensors, "network": np.array(text)}
    np.savez(data, **held)
    return data.getvalue()


def _unpack_npz(path: Path) -> tuple[Tensors, str | None]:
    check_npz(path)
    with np.load(path, allow_pickle=False) as held:
        tensors = {name: held[name] for name in held.files}
    text = tensors.pop("network", None)
    for name, array in tensors.items():
        _require(array.dtype.kind in "fi" and array.dtype.isnative, f"{name} must be numbers, got {array.dtype}")
    return tensors, None if text is None else str(text)


Pack = Callable[[Tensors, str], bytes]
Unpack = Callable[[Path], tuple[Tensors, str | None]]


def _format(path: Path) -> tuple[Pack, Unpack]:
    formats = {".safetensors": (_pack_safetensors, _unpack_safetensors), ".npz": (_pack_npz, _unpack_npz)}
    return known(f"format of {path.name!r}, suffix", path.suffix, formats)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(
        f".{os.getpid()}.{path.name[:50]}"
    )  # a name that is as long as the system takes may not grow
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except (OSError, ValueError) as error:  # ValueError: a name that no system takes
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(f"{str(path)!r:.200}: cannot be written: {reason}") from None
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)


def _require(right: bool, expected: str) -> None:
    if not right:
        raise InvalidInput(expected)
