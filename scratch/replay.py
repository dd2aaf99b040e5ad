"""Makes the calls of a recording again, alone, in memory that they share; and decides when that may be done.

A result lives from the call that makes it to the last that reads it. From then on its memory serves another, so that a deep
network works in a few arrays that stay in the cache; fresh ones cost more than the arithmetic, as the system hands out their
pages anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scratch.layers import Array
from scratch.recording import Call, Memory, Recording, Where, offset, owner, plain

Calculation = Callable[[list[Array], Callable[[Array], Array]], Array]


class Replay:
    """The calls that lasting numbers and results depend on; what is not needed at the same time lies in the same memory."""

    def __init__(self, recording: Recording, result: Array) -> None:
        self.inputs, memories = recording.inputs, recording.memories
        memories[id(owner(result))].lasts = True
        calls = _in_place(_needed(recording.calls, memories), memories)
        where = _placed(calls, memories)
        self.calls = [call.bound(where) for call in calls]
        self.result = where(result)
        self.silence = copy_context()  # entering it costs a tenth of what np.errstate does
        self.silence.run(np.seterr, all="ignore")

    def run(self, inputs: Iterable[Any]) -> Array:
        """Takes the inputs and makes all calls in turn; gives back the result, which the next run writes over."""
        for place, array in zip(self.inputs, inputs, strict=True):
            place[...] = array
        self.silence.run(self._make)
        return self.result

    def _make(self) -> None:
        for call in self.calls:
            call()


@dataclass
class Repeat:
    """Does the same calculation again and again: twice recorded, and from then on replayed if both said the same."""

    known: dict[Any, Recording | Replay | None] = field(
        default_factory=dict
    )  # by the shapes and types of what is given

    def run(self, calculation: Calculation, given: list[Array]) -> Any:
        """``calculation(given, hold)``, one array: from what changes each time, and ``hold(a)`` for an array a that lasts."""
        key = tuple([(a.shape, a.dtype.num) for a in given])
        known = self.known.get(key, self)
        if isinstance(known, Replay):
            return +known.run(given)
        with np.errstate(all="ignore"):
            if known is None:
                return calculation(given, lambda array: array)
            recording = Recording()
            result = calculation([recording.input(a) for a in given], recording.lasting)
        if not isinstance(known, Recording):
            self.known[key] = recording
        else:
            self.known[key] = Replay(recording, result) if known.same(recording) and recording.knows(result) else None
        return +np.asarray(result)


def _needed(calls: list[Call], memories: dict[int, Memory]) -> list[Call]:
    """The calls without those whose results nobody reads."""
    needed, kept = {key for key, memory in memories.items() if memory.lasts}, []
    for call in reversed(calls):
        if id(owner(call.out)) in needed:
            needed |= {id(owner(array)) for array in call.read()}
            kept.append(call)
    return kept[::-1]


def _in_place(calls: list[Call], memories: dict[int, Memory]) -> list[Call]:
    """The calls, a result that is only made to be copied being made where it is copied to."""
    touching: dict[int, list[int]] = {}
    for n, call in enumerate(calls):
        for key in {id(owner(a)) for a in (call.out, *call.read())}:
            touching.setdefault(key, []).append(n)
    dropped = set()
    for n, call in enumerate(calls):
        if (
            call.function is np.copyto
            and "where" not in call.named
            and (source := next(iter(call.read()), None)) is not None
        ):
            uses, memory = touching[id(owner(source))], memories.get(id(owner(source)))
            if (
                memory is not None
                and not memory.lasts
                and len(uses) == 2
                and _movable(calls[uses[0] : n], source, call.out)
            ):
                calls[uses[0]].out = call.out
                dropped.add(n)
    return [call for n, call in enumerate(calls) if n not in dropped]


def _movable(calls: list[Call], source: Array, out: Array) -> bool:
    """Whether the first of the calls may write ``source`` to ``out``, which nothing touches until it is copied there."""
    made = calls[0]
    core = source.ndim - 2 if made.function is np.matmul else 0  # a stack's matrices need not be neighbours
    free = not any(np.may_share_memory(a, out) for call in calls for a in (call.out, *call.read()))
    return free and _alike(made.out, source) and _alike(source, out, core)


def _placed(calls: list[Call], memories: dict[int, Memory]) -> Where:
    """Gives every result that does not last a place in memory, from its first call to its last, and says where an array lies."""
    last = {id(owner(a)): n for n, call in enumerate(calls) for a in (call.out, *call.read())}
    homes: dict[int, Array] = {}
    free: dict[int, list[Array]] = {}
    for n, call in enumerate(calls):
        ending = {key for a in call.read() if last[key := id(owner(a))] == n and key in homes}
        key = id(owner(call.out))
        if key in memories and not memories[key].lasts and key not in homes:
            size = memories[key].array.nbytes
            heir = next((id(owner(a)) for a in call.read() if id(owner(a)) in ending and _overwritable(a, call)), None)
            if heir is not None:
                homes[key] = homes[heir]
                ending.remove(heir)
            else:
                homes[key] = free[size].pop() if free.get(size) else _aligned(size)
        for old in ending | ({key} if last[key] == n and key in homes else set()):
            free.setdefault(memories[old].array.nbytes, []).append(homes[old])

    def where(thing: Any) -> Any:
        if isinstance(thing, (tuple, list)):
            return type(thing)(map(where, thing))
        if isinstance(thing, np.ndarray) and (home := homes.get(id(owner(thing)))) is not None:
            return np.ndarray(thing.shape, thing.dtype, home, offset(thing), thing.strides)
        return plain(thing)

    return where


def _overwritable(array: Array, call: Call) -> bool:
    """Whether the call may write its result where it reads this array: number by number, and nothing else of it."""
    whole = owner(array)
    return call.elementwise and all(
        _alike(a, call.out) for a in (whole, *(b for b in call.read() if owner(b) is whole))
    )


def _alike(a: Array, b: Array, core: int = 0) -> bool:
    """Whether both are laid out alike, from axis ``core`` on."""
    return a.shape == b.shape and a.strides[core:] == b.strides[core:] and a.dtype == b.dtype


def _aligned(size: int) -> Array:
    """Fresh memory that begins where a cache line does."""
    room = np.empty(size + 64, np.uint8)
    begin = -room.__array_interface__["data"][0] % 64
    return room[begin : begin + size]
