"""Options: every field of a description is of its declared type, or InvalidInput names the field, what was expected, what came.

Taken as well: lists, ranges and arrays for tuples; whole numbers for floats; NumPy's scalars for Python's, which they become, because
a np.float64 among the options would make a float32 network compute in float64.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import wraps
from types import NoneType, UnionType
from typing import Any, ClassVar, ForwardRef, Literal, Union, get_args, get_origin

import numpy as np

from scratch.errors import InvalidInput

INT64 = range(-(2**63), 2**63)  # whole numbers beyond are none in NumPy and PyTorch
WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a string",
    tuple: "a tuple",
    NoneType: "None",
    np.ndarray: "a NumPy array",
    dict: "a dict",
    Mapping: "a dict",
    Sequence: "a list",
    Callable: "a function",
}


class Description:
    """Base of the frozen dataclasses that describe something by their fields.

    A subclass's own ``__post_init__`` runs after the fields' types have been checked, and sees Python's numbers and tuples: only
    ranges are left to it. A type that cannot be known when the program runs is not checked.
    """

    _hints: ClassVar[dict[str, tuple[Any, dict[str, Any]]]]

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        for name in vars(cls):
            above = next((base for base in cls.__mro__[1:] if name in vars(base)), object)
            if getattr(vars(above).get(name), "__final__", False):  # it would not be called everywhere
                raise TypeError(f"{cls.__name__}.{name}: {above.__name__}'s own is final; write what it calls instead")
        if own := vars(cls).get("__post_init__"):  # also where it does not call super's

            @wraps(own)
            def settled_first(self: Description, *given: Any) -> None:
                _settle(self)
                own(self, *given)

            cls.__post_init__ = settled_first  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        _settle(self)


def require(holds: bool, thing: object, name: str, must: str) -> None:
    """Raises InvalidInput that names the option and what it ``must``, unless it ``holds``."""
    if not holds:
        raise InvalidInput(f"{type(thing).__name__}({name}{_shown(getattr(thing, name))}): must {must}")


def is_plain(array: Any) -> bool:
    """Whether it is a NumPy array; a matrix multiplies otherwise, and PyTorch does not see what a masked array hides."""
    return isinstance(array, np.ndarray) and not isinstance(array, (np.matrix, np.ma.MaskedArray))


def kind_of(thing: Any) -> str:
    """What came, in a word or two: where a class was handed over instead of an object, its name."""
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__


class _Unfit(Exception):
    """A value that is not of its declared type: its place in the field, such as [0][2], and what it should have been."""

    def __init__(self, place: str, value: Any, words: str) -> None:
        self.place, self.value, self.words = place, value, words


def _settle(description: Description) -> None:
    """Puts every field into the form that its type declares."""
    kind = type(description)
    if "_hints" not in vars(kind):
        kind._hints = _declared(kind)
    for name in (field.name for field in fields(description)):  # type: ignore[arg-type]
        given, (hint, names) = getattr(description, name), kind._hints[name]
        try:
            object.__setattr__(description, name, _settled(given, hint, names))
        except _Unfit as wrong:
            shown = _shown(wrong.value)
            got = "" if shown else f", got {kind_of(wrong.value)}"
            place = f"{kind.__name__}({name}{wrong.place}{shown})"
            raise InvalidInput(f"{place}: must be {wrong.words}{got}") from None


def _declared(kind: type) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Every field's type, and the names that its words are to be read with."""
    found = {}
    for base in reversed(kind.__mro__):
        names = vars(sys.modules.get(base.__module__, np))
        for name, hint in inspect.get_annotations(base).items():
            found[name] = (_read(hint, names), names)
    return found


def _read(hint: Any, names: dict[str, Any]) -> Any:
    """The type that a hint in words means; Any where only a type checker can read it."""
    while isinstance(hint, str | ForwardRef):
        try:
            hint = eval(hint if isinstance(hint, str) else hint.__forward_arg__, names)
        except (NameError, AttributeError, TypeError):
            return Any
    return hint


def _settled(value: Any, hint: Any, names: dict[str, Any], place: str = "") -> Any:
    """The value in the form that the hint declares. Raises _Unfit where it has none."""
    value, hint = _python(value), _read(hint, names)
    kind, inside = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return _settled_as_one(value, hint, names, place)
    if kind is tuple and (isinstance(value, tuple | list | range) or (is_plain(value) and value.ndim)):
        alike = not inside or inside[1:] == (...,)
        hints = [_read(inside[0] if inside else Any, names)] * len(value) if alike else inside
        if len(hints) == len(value):
            items = enumerate(zip(value, hints, strict=True))
            return tuple(_settled(item, one, names, f"{place}[{k}]") for k, (item, one) in items)
    elif kind is float and type(value) is int and value not in INT64:
        with suppress(OverflowError):
            return float(value)
    elif _is(value, kind, inside):
        return value
    held = {int: " that int64 holds", float: " that float64 holds"} if type(value) is int else {}
    raise _Unfit(place, value, _words(hint, names) + held.get(kind, ""))


def _settled_as_one(value: Any, hint: Any, names: dict[str, Any], place: str) -> Any:
    """As the first of several types that fits; if none does, what is wrong inside the value says more than that it fits none."""
    found = []
    for one in get_args(hint):
        try:
            return _settled(value, one, names, place)
        except _Unfit as wrong:
            found.append(wrong)
    deepest = max(found, key=lambda wrong: len(wrong.place))
    raise deepest if deepest.place != place else _Unfit(place, value, _words(hint, names))


def _python(value: Any) -> Any:
    """Python's own number, Boolean or string for one of NumPy's, an array () of one, or one of a class derived from these."""
    if is_plain(value) and not value.ndim:
        value = value[()]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer) and not isinstance(value, np.timedelta64):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    return str.__str__(value) if isinstance(value, str) else value


def _is(value: Any, kind: Any, inside: tuple[Any, ...]) -> bool:
    """Whether one of Python's own values, or any other thing, is of a type that is neither a union nor a tuple."""
    if kind is Literal:
        return any(type(one) is type(value) and one == value for one in inside)
    if kind is int:
        return type(value) is int and value in INT64
    if kind is float:
        return type(value) in (int, float)
    if kind is np.ndarray:
        return is_plain(value)
    try:
        return isinstance(value, Mapping if kind is dict else kind)
    except TypeError:  # Any, a protocol, a type variable
        return True


def _words(hint: Any, names: dict[str, Any], deep: bool = False) -> str:
    """What was expected. A tuple inside a tuple is just that: types may be recursive."""
    hint = _read(hint, names)
    kind, inside = get_origin(hint) or hint, get_args(hint)
    if kind is Literal:
        return _or([repr(one) for one in inside])
    if kind in (Union, UnionType):
        return _or([_words(one, names, deep) for one in inside])
    if kind is tuple and inside and not deep:
        items = ["…" if one is ... else _words(one, names, deep=True) for one in inside]
        return f"a tuple ({', '.join(items)})"
    return WORDS.get(kind) or f"of the kind {getattr(kind, '__name__', kind)}"


def _or(words: list[str]) -> str:
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _shown(value: Any) -> str:
    """``=value``, or nothing where that would not be a few plain words."""
    simple = isinstance(value, bool | int | float | complex | str | NoneType)
    if not simple and not (isinstance(value, tuple | list) and all(map(_shown, value))):
        return ""
    try:
        text = repr(value)
    except ValueError:  # thousands of digits
        return ""
    return f"={text}" if len(text) <= 60 else ""
