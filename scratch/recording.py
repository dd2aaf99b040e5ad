"""Arrays that write down every calculation that is done with them.

    recording = Recording()
    x, w = recording.input(x), recording.lasting(w)     # x is handed in anew each time, w changes in place
    y = calculation(x, w)                               # really calculated, on arrays that write down every call
    replay = Replay(recording, y)                       # of scratch.replay: from another x the same bits in w and y

A calculation that asks for a value in Python (a branch, ``float``) may go another way next time, and one that calls what
cannot be written down would be incomplete: it goes on unharmed, but its recording is not ``complete``. What is drawn, or
counted, in Python is a constant of the recording; ``same`` tells whether two recordings agree in all that is constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from operator import setitem
from typing import Any

import numpy as np

from scratch.layers import Array

Where = Callable[[Any], Any]  # from what was recorded to what is replayed


@dataclass(eq=False)
class Memory:
    """What arrays share: handed in or lasting, or a result's, which needs it until its last use."""

    array: Array
    lasts: bool


@dataclass
class Call:
    """A function that writes ``out`` and nothing else. ``elementwise``: each number comes from those in its place."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    out: Array
    named: dict[str, Any] = field(default_factory=dict)
    elementwise: bool = False

    def read(self) -> list[Array]:
        return [a for a in _flat((self.args, *self.named.values())) if isinstance(a, np.ndarray)]

    def bound(self, where: Where) -> Callable[[], Any]:
        """The call on the arrays of the replay. Names cost NumPy time: what can be told by position is."""
        args, out, named = where(self.args), where(self.out), {name: where(a) for name, a in self.named.items()}
        named.pop("order", None)  # the result has its place
        if self.function in (np.maximum, np.minimum):  # they refuse a third argument
            return partial(self.function, *args, out=out, **named)
        if isinstance(self.function, np.ufunc):
            return partial(self.function, *args, out, **named)
        if isinstance(getattr(self.function, "__self__", None), np.ufunc):
            axis, dtype, keep = named.pop("axis", 0), named.pop("dtype", None), named.pop("keepdims", False)
            return partial(self.function, *args, axis, dtype, out, keep, **named)
        if self.function is np.ndarray.take:
            return partial(args[0].take, args[1], None, out)
        return partial(self.function, out, *args, **named)


class Recording:
    """Calls in their order, and the memory of every array that they know."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.memories: dict[int, Memory] = {}
        self.inputs: list[Array] = []
        self.complete = True

    def input(self, array: Array) -> Recorded:
        """A copy, to be written over at each replay."""
        self.inputs.append(np.array(array, order="C"))
        return self.lasting(self.inputs[-1])

    def lasting(self, array: Array) -> Recorded:
        """The array itself: its numbers outlive the calculation, which may change them."""
        return self.known(array, lasts=True)

    def known(self, array: Array, lasts: bool = False) -> Recorded:
        """The array as one that writes down what is done with it."""
        whole = owner(array)
        self.memories.setdefault(id(whole), Memory(whole, lasts))
        recorded = array.view(Recorded)
        recorded.recording = self
        return recorded

    def call(self, function: Callable[..., Any], args: tuple, out: Any, elementwise: bool = False, **named: Any) -> Any:
        """Writes down a call that was made; ``out`` is what it wrote."""
        call = Call(function, args, out, named, elementwise)
        unknown = (
            id(owner(a)) not in self.memories for a in (out, *call.read()) if a is out or isinstance(a, Recorded)
        )
        self.complete &= not any(unknown)  # else something made it that was not written down
        self.calls.append(call)
        return out

    def ufunc(self, ufunc: np.ufunc, method: str, args: tuple, named: dict[str, Any]) -> Any:
        (out,) = named.pop("out", (None,))
        if method == "__call__":
            function, args = ufunc, _strong(ufunc, args) if "dtype" not in named else args
        else:
            function = getattr(ufunc, method)
        given = {} if out is None else {"out": plain(out)}
        found = function(*plain(args), **given, **{name: plain(a) for name, a in named.items()})
        out = self.known(np.asarray(found)) if out is None else out
        return self.call(function, args, out, method == "__call__" and ufunc.signature is None, **named)

    def knows(self, result: Array) -> bool:
        """Whether the calls say all of how the result was made."""
        return self.complete and id(owner(result)) in self.memories

    def same(self, other: Recording) -> bool:
        """Whether both wrote down the same calls on the same arrays, with the same constants."""
        return len(self.calls) == len(other.calls) and self._said() == other._said()

    def _said(self) -> list[Any]:
        numbers = {key: number for number, key in enumerate(self.memories)}

        def said(thing: Any) -> Any:
            if isinstance(thing, (tuple, list)):
                return tuple(map(said, thing))
            if not isinstance(thing, np.ndarray):
                return repr(thing)
            place = numbers.get(id(owner(thing)))
            held = thing.tobytes() if place is None else offset(thing)
            return place, held, thing.shape, thing.strides, thing.dtype.str

        return [(repr(c.function), said(c.args), said(c.out), said(sorted(c.named.items()))) for c in self.calls]


class Recorded(np.ndarray):
    """An array on which every calculation is done, and written down in its ``recording``."""

    recording: Recording | None = None

    def __array_finalize__(self, parent: Any) -> None:
        self.recording = getattr(parent, "recording", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **named: Any) -> Any:
        recording = _recording((args, *named.values()))
        if ufunc.nout == 1 and method in ("__call__", "reduce"):
            return recording.ufunc(ufunc, method, args, named)
        return _unwritten(recording, getattr(ufunc, method), args, named)

    def __array_function__(self, function: Any, types: Any, args: Any, named: Any) -> Any:
        if function in MADE_OF_CALLS:
            return super().__array_function__(function, types, args, named)
        recording = _recording((args, tuple(named.values())))
        if function in WRITTEN:
            return WRITTEN[function](recording, *args, **named)
        return _unwritten(recording, function, args, named)

    def __getitem__(self, index: Any) -> Any:
        recording, found = _recording((self,)), plain(self)[plain(index)]
        if not isinstance(found, np.ndarray):
            return self.asked()[index]
        if owner(found) is owner(self):
            recording.complete &= id(owner(self)) in recording.memories
            return recording.known(found)
        flat = self.ndim == 1 and isinstance(index, np.ndarray) and index.dtype.kind == "i"
        return recording.call(np.ndarray.take if flat else _gather, (self, index), recording.known(found))

    def __setitem__(self, index: Any, value: Any) -> None:
        plain(self)[plain(index)] = plain(value)
        _recording((self,)).call(setitem, (index, value), self)

    def copy(self, order: Any = "C") -> Any:
        return self.astype(self.dtype, order)

    def astype(self, dtype: Any, order: Any = "K") -> Any:  # type: ignore[override]
        out = _recording((self,)).known(plain(self).astype(dtype, order))
        return _recording((self,)).call(np.copyto, (self,), out, casting="unsafe")

    def asked(self) -> Any:
        """The plain array, for a value in Python: from here on the calculation may go another way the next time."""
        _recording((self,)).complete = False
        return plain(self)


def cannot_replay(array: Array) -> None:
    """Says so of the recording that the array belongs to, if any."""
    if isinstance(array, Recorded):
        array.asked()


def _asking(name: str) -> Callable[..., Any]:
    return lambda self, *given: getattr(self.asked(), name)(*given)


for _name in ("__bool__", "__int__", "__index__", "__float__", "__complex__", "__iter__", "__contains__", "__repr__",
              "__format__", "item", "tolist", "tobytes"):  # fmt: skip
    setattr(Recorded, _name, _asking(_name))


def owner(array: Array) -> Array:
    """The array whose memory this one looks at."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def offset(array: Array) -> int:
    """Bytes from where its owner's memory begins."""
    return array.__array_interface__["data"][0] - owner(array).__array_interface__["data"][0]


def _flat(things: Iterable[Any]) -> Iterator[Any]:
    for thing in things:
        if isinstance(thing, (tuple, list)):
            yield from _flat(thing)
        else:
            yield thing


def plain(thing: Any) -> Any:
    """The array, or those in a tuple, without their recording; anything else as it is."""
    if isinstance(thing, (tuple, list)):
        return type(thing)(map(plain, thing))
    return thing.view(np.ndarray) if isinstance(thing, Recorded) else thing


def _strong(ufunc: np.ufunc, args: tuple) -> tuple:
    """Python's numbers as arrays of the type that NumPy would take them for: it need not ask again."""
    if not any(type(a) in (int, float, complex) for a in args):
        return args
    kinds = tuple(type(a) if type(a) in (int, float, complex) else np.asarray(a).dtype for a in args)
    dtypes = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout))
    return tuple(np.array(a, d) if type(a) in (int, float, complex) else a for a, d in zip(args, dtypes, strict=False))


def _recording(things: Iterable[Any]) -> Recording:
    return next(a.recording for a in _flat(things) if isinstance(a, Recorded) and a.recording is not None)


def _unwritten(recording: Recording, function: Callable[..., Any], args: tuple, named: dict[str, Any]) -> Any:
    """What has no place in a recording is done as ever."""
    recording.complete = False
    return function(*plain(args), **{name: plain(a) for name, a in named.items()})


def _copyto(recording: Recording, out: Any, source: Any, casting: str = "same_kind", where: Any = True) -> None:
    np.copyto(plain(out), plain(source), casting, plain(where))  # type: ignore[arg-type]
    recording.call(np.copyto, (source,), out, casting=casting, **({} if where is True else {"where": where}))


def _where(recording: Recording, condition: Any, *choices: Any) -> Any:
    if not choices:
        return _unwritten(recording, np.where, (condition,), {})
    yes, no = choices
    out = recording.known(np.where(plain(condition), plain(yes), plain(no)))
    recording.call(np.copyto, (no,), out)
    return recording.call(np.copyto, (yes,), out, where=condition)


def _empty_like(recording: Recording, prototype: Any, *args: Any, **named: Any) -> Any:
    return recording.known(np.empty_like(plain(prototype), *args, **named))


def _gather(out: Array, source: Array, index: Any) -> None:
    out[...] = source[index]


MADE_OF_CALLS = {np.sum, np.mean, np.max, np.min, np.clip, np.zeros_like, np.ones_like, np.full_like}
WRITTEN: dict[Any, Callable[..., Any]] = {np.where: _where, np.copyto: _copyto, np.empty_like: _empty_like}
