"""Which array of a file or a state belongs to which layer.

PyTorch names an array by its module and what it is there: "layers.0.weight", "net.bn.running_mean". What it is decides; the module's
name may be any, and the order in which the names come says nothing: files are sorted as text, and modules may be declared in
another order than they run. Numbers that stand in the same place of otherwise equal names are an order (fc1, fc2, fc10); where
these, and what the modules hold, leave one order that fits the network, it is taken; where they leave two, the caller has to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from scratch.arguments import array, kind_of
from scratch.errors import InvalidInput, unknown
from scratch.layers import Array, Shape, Tensors
from scratch.network import Network, Parameters

NAMES = {  # array of a layer -> its name in a file, which is PyTorch's; buffers are called so here, too
    "W": "weight",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
}
AXES = {"W": 2, "num_batches_tracked": 0}  # how many of (rows, columns) are left in a file: of all others the rows
FLOATS = ("float64", "float32", "float16")
TRIES = 20_000  # steps of the search for an order; it needs more only where names say next to nothing
ROOM = 2**24  # a layer may be so wide though no array of the file has as many numbers
Modules = dict[str, Tensors]


def path_of(layer: int, name: str) -> str:
    """``k.W`` inside residual layer 2 is ``layers.2.layers.k.weight``."""
    *inside, last = name.split(".")
    return "".join(f"layers.{k}." for k in (layer, *inside)) + NAMES.get(last, last)


def axes_of(name: str) -> int:
    """How many axes an array of that name has in a file, of a single network."""
    return AXES.get(name.rpartition(".")[2], 1)


def assign(
    tensors: Mapping[str, Any], network: Network, names: Sequence[str] | None = None, *, stacked: bool = False
) -> tuple[Parameters, Parameters]:
    """Parameters and buffers, copies of one floating point type, the widest that there is; what counts batches is 0 unless given.

    ``names``: the modules' names in the network's order. ``stacked``: arrays under the network's own names may have leading axes.
    Raises InvalidInput unless the tensors are the network's and no others, and in one way.
    """
    held = {key: _numbers(key, value) for key, value in tensors.items()}
    dtype = (
        np.result_type(*found)
        if (found := {a.dtype for a in held.values() if a.dtype.kind == "f"})
        else np.dtype(float)
    )
    ours, theirs = _expected(network, held), _modules(held)
    if names is None and theirs.keys() == ours.keys():
        order = list(ours)
    else:
        order, stacked = _found(theirs, ours) if names is None else _said(names, theirs), False
    placed: Tensors = {}
    for (place, shapes), prefix in zip(ours.items(), order, strict=True):
        _check(prefix, theirs[prefix], place, shapes, stacked)
        placed |= {f"{place}.{name}": a for name, a in theirs[prefix].items()}
    return _layers(placed, network, dtype)


def leading_of(*parts: Any) -> Shape:
    """The stack axes of the first array in parameters or buffers; whether these are any is for the network to check."""
    layers = (named for part in parts if isinstance(part, Sequence) for named in part if isinstance(named, Mapping))
    return next((a.shape[:-2] for named in layers for a in named.values() if isinstance(a, np.ndarray)), ())


def check_types(place: str, *parts: Parameters) -> None:
    """Raises InvalidInput unless all arrays are of one floating point type that files and PyTorch have."""
    kinds = {str(a.dtype) for part in parts for named in part for a in named.values()}
    if len(kinds) > 1 or not kinds <= set(FLOATS):
        raise InvalidInput(f"{place}: all arrays must be of one type, float64, float32 or float16; got {sorted(kinds)}")


def _numbers(key: Any, value: Any) -> Array:
    if not isinstance(key, str):
        raise InvalidInput(f"expected names of arrays, such as '0.weight'; got the {kind_of(key)} {key!r:.60}")
    found = array(key, value, "an array of floating point numbers, or a count")
    if found.dtype.kind == "f" and str(found.dtype) not in FLOATS:
        raise InvalidInput(
            f"{key}: expected float64, float32 or float16 in this machine's byte order, got {found.dtype}"
        )
    return found


def _expected(network: Network, held: Tensors) -> dict[str, dict[str, Shape]]:
    """Module -> name -> shape, in the network's order."""
    most = max(
        (*(a.size for a in held.values()), ROOM)
    )  # before buffers are made for a width that somebody has written
    widest = max((network.inputs, *(n for named in network.shapes for shape in named.values() for n in shape)))
    if widest > most:
        raise InvalidInput(f"the network has a layer of {widest} units, and no array has as many numbers")
    found: dict[str, dict[str, Shape]] = {}
    for k, (shapes, buffers) in enumerate(zip(network.shapes, network.buffers(), strict=True)):
        for name, shape in {**shapes, **{name: a.shape for name, a in buffers.items()}}.items():
            place, _, last = path_of(k, name).rpartition(".")
            found.setdefault(place, {})[last] = shape[: axes_of(name)]
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".") if part.isdigit()]))


def _modules(held: Tensors) -> Modules:
    """The arrays of each module under their names in it. Running statistics of old files come without their count: it is 0."""
    modules: Modules = {}
    for key, value in held.items():
        place, _, name = key.rpartition(".")
        modules.setdefault(place, {})[name] = value
    for named in modules.values():
        if "running_mean" in named:
            named.setdefault("num_batches_tracked", np.zeros((), np.int64))
    return modules


def _said(names: Any, theirs: Modules) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"names: expected the modules' names in the network's order, got {kind_of(names)}")
    for name in names:
        if name not in theirs:
            raise unknown("module", name, theirs)
    if len(set(names)) != len(names) or len(names) != len(theirs):
        raise InvalidInput(f"names: each of {_list(theirs)} must stand there once, got {_list(names)}")
    return list(names)


def _found(theirs: Modules, ours: Mapping[str, Mapping[str, Shape]]) -> list[str]:
    """The modules in the network's order, where that is certain; where none fits, an order in which to say what does not."""
    if len(ours) != len(theirs):
        raise InvalidInput(
            f"expected {len(ours)} modules with a state, as {_list(ours)}; got {len(theirs)}: {_list(theirs)}"
        )
    wanted = [str(sorted(shapes.items())) for shapes in ours.values()]
    kinds = {prefix: str(sorted((name, a.shape) for name, a in named.items())) for prefix, named in theirs.items()}
    orders = _orders(kinds, wanted)
    first, second = next(orders, None), next(orders, None)
    if first is None:
        by_number = next(_orders(dict.fromkeys(kinds, ""), [""] * len(kinds)))
        if sorted(kinds.values()) == sorted(wanted):
            raise InvalidInput(
                "the modules fit the network, but not in the order of their numbers: "
                f"give them in the network's order as names=(…), from {_list(by_number)}"
            )
        return by_number
    if second is not None:
        one, other = next((a, b) for a, b in zip(first, second, strict=True) if a != b)
        raise InvalidInput(
            f"the names do not say whether {one!r} or {other!r} comes first, and both fit: "
            f"give them in the network's order, such as names={_list(first)}"
        )
    return first


def _orders(kinds: dict[str, str], wanted: list[str]) -> Iterator[list[str]]:
    """Orders of the modules that their numbers allow and in which each is of the kind that is wanted at its place.

    Too long a search ends as if it had found two.
    """
    after: dict[str, list[str]] = {name: [] for name in kinds}
    waits = dict.fromkeys(kinds, 0)  # how many that must come before have not come yet
    for (a, first), (b, second) in permutations([(name, _parsed(name)) for name in kinds], 2):
        if _precedes(first, second):
            after[a].append(b)
            waits[b] += 1

    def candidates(place: int) -> Iterator[str]:
        open_ = [name for name in kinds if not waits[name] and name not in taken]
        return iter([name for name in open_ if place < len(wanted) and kinds[name] == wanted[place]])

    taken: dict[str, int] = {}  # its place
    choices = [candidates(0)]
    for _ in range(TRIES + 2 * len(kinds)):
        if not choices:
            return
        name = next(choices[-1], None)
        if name is not None:
            taken[name] = len(taken)
            for other in after[name]:
                waits[other] -= 1
            if len(taken) == len(wanted):
                yield list(taken)
            choices.append(candidates(len(taken)))
            continue
        choices.pop()
        if taken:
            for other in after[taken.popitem()[0]]:
                waits[other] += 1
    raise InvalidInput("the names do not decide the modules' order: give them in the network's order as names=(…)")


Part = tuple[str, list[tuple[int, str]]]


def _parsed(name: str) -> list[Part]:
    """Every part of a name without its numbers, and these, to be compared; not as int, which refuses thousands of digits."""
    numbers = ([digits.lstrip("0") for digits in re.findall("[0-9]+", part)] for part in name.split("."))
    bare = (re.sub("[0-9]+", "0", part) for part in name.split("."))
    return [(text, [(len(digits), digits) for digits in found]) for text, found in zip(bare, numbers, strict=True)]


def _precedes(one: list[Part], other: list[Part]) -> bool:
    """Whether two names are equal up to a part that differs in its numbers alone, and ``one`` has the smaller ones."""
    differing = ((a, b) for a, b in zip(one, other, strict=False) if a != b)
    return next((a[0] == b[0] and a[1] < b[1] for a, b in differing), False)


def _check(prefix: str, held: Tensors, place: str, shapes: Mapping[str, Shape], stacked: bool) -> None:
    if held.keys() != shapes.keys():
        raise InvalidInput(f"{prefix!r} should hold {sorted(shapes)}, as {place}; it holds {sorted(held)}")
    for name, a in held.items():
        key, shape = f"{prefix}.{name}".lstrip("."), shapes[name]
        counts = name == "num_batches_tracked"
        if (a.dtype.kind == "f") == counts:
            raise InvalidInput(f"{key} must be {'whole numbers' if counts else 'floating point'}, got {a.dtype}")
        core = a.shape[a.ndim - len(shape) :] if stacked and a.ndim > len(shape) else a.shape
        if core != shape:
            expected = f"({', '.join(map(str, ('…', *shape)))})" if stacked else shape
            raise InvalidInput(f"{key} must be {expected}, as {place}.{name}; got {a.shape}")


def _layers(placed: Tensors, network: Network, dtype: np.dtype) -> tuple[Parameters, Parameters]:
    def layer(k: int, names: Mapping[str, Any]) -> Tensors:
        found = {}
        for name in names:
            given = placed[path_of(k, name)]
            with np.errstate(over="ignore"):
                a = given.reshape(given.shape + (1,) * (2 - axes_of(name))).astype(dtype)
            if axes_of(name) == 0 and not ((given >= 0) & np.isfinite(a[..., 0, 0])).all():
                raise InvalidInput(f"{path_of(k, name)} counts batches in {dtype}, but is {given.reshape(-1)[:9]}")
            found[name] = a
        return found

    parameters = tuple(layer(k, shapes) for k, shapes in enumerate(network.shapes))
    network.check(parameters)
    buffers = tuple(layer(k, fresh) for k, fresh in enumerate(network.buffers()))
    leading = leading_of(parameters, buffers)
    for named in buffers:
        for name, a in named.items():
            if axes_of(name) == 0 and a.ndim == 2:  # one count for the whole stack
                named[name] = np.broadcast_to(a, leading + a.shape).copy()
    network.check_buffers(buffers, leading)
    return parameters, buffers


def _list(names: Any) -> str:
    """A tuple of names as Python writes it, cut where it is long."""
    shown = [repr(name) for name in list(names)[:24]]
    return f"({', '.join(shown)}{', …' if len(names) > 24 else ',' if len(names) == 1 else ''})"
