"""What every experiment's options have in common: each says which values it takes, and is held to it in one place."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from scratch.errors import InvalidInput, unknown

if TYPE_CHECKING:
    from experiments.data import Dataset

KINDS = {int: "whole number", float: "number", str: "word", bool: "True or False"}
# the base seed of the committed results: settings were chosen on others, and it stays whatever comes out
PUBLISHED = 2027
LONGEST = 60  # characters of a wrong value that a message shows


Ints = tuple[int, ...]
Floats = tuple[float, ...]
Words = tuple[str, ...]
Known = tuple[str, Collection[str]]  # what the names are of, and all that there are


class Range(NamedTuple):
    """The numbers that an option takes, both ends included; for a tuple, each of its numbers."""

    low: float
    high: float


class Option(NamedTuple):
    """What a field says: the type of a value, whether there are several, and what is allowed."""

    kind: type
    several: bool
    choices: tuple[Any, ...]  # of a Literal; none: any
    range: Range | None
    known: Known | None


def option(
    default: Any, said: str, span: tuple[float, float] | None = None, *, of: Known | None = None, **quick: Any
) -> Any:
    """A field of ``Options``: its default, its help, the numbers it takes, and ``quick=``, its value in a quick run if another.

    ``of`` lists the names it takes; they complete the help.
    """
    assert quick.keys() <= {"quick"}
    said += "" if of is None else ", ".join(of[1])
    return field(
        default=default, metadata={"help": said, "range": None if span is None else Range(*span), "known": of} | quick
    )


Chosen = TypeVar("Chosen")


def quick(options: type[Chosen]) -> Chosen:
    """The options of a quick run."""
    return options(**{f.name: f.metadata["quick"] for f in fields(options) if "quick" in f.metadata})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Checked:
    """Options that are checked wherever they are made: ``width: int = option(128, "units", (2, 4096), quick=48)``.

    Raises InvalidInput for a value of another type or outside of its range, for NaN, infinities and numbers so small that
    they have lost digits, for a name that is not known, and for a tuple that is empty or names a value twice. Lists and
    NumPy's numbers become plain ones.
    """

    def __post_init__(self) -> None:
        for name, said in declared(type(self)).items():
            value = plain(getattr(self, name))
            object.__setattr__(self, name, value)
            values = value if said.several and isinstance(value, tuple) else (value,)
            require(len(values) > 0, name, "at least one value", "none")
            for each in values:
                require(takes(said, each), name, expected(said), each)
                if said.known is not None and each not in said.known[1]:
                    raise unknown(said.known[0], each, said.known[1])
            require(len(set(values)) == len(values), name, "different values", value)


def declared(options: type) -> dict[str, Option]:
    """Every option of a class, by name."""
    hints = get_type_hints(options)
    return {f.name: _read(hints[f.name], f.metadata) for f in fields(options)}


def _read(hint: Any, said: Mapping[str, Any]) -> Option:
    several = get_origin(hint) is tuple
    item = get_args(hint)[0] if several else hint
    choices = get_args(item) if get_origin(item) is Literal else ()
    kind = type(choices[0]) if choices else item
    return Option(kind, several, choices, said.get("range"), said.get("known"))


def takes(option: Option, value: Any) -> bool:
    """Whether a single value is one that the option takes."""
    allowed = (int, float) if option.kind is float else option.kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and option.kind is not bool):
        return False
    if option.choices and value not in option.choices:
        return False
    if option.kind not in (int, float):
        return True
    number: Any = value
    normal = number == 0 or abs(number) >= sys.float_info.min
    return normal and (option.range is None or option.range.low <= number <= option.range.high)  # NaN is in no range


def expected(option: Option) -> str:
    kind = KINDS[option.kind] + "s" * option.several
    article = "" if option.several or option.kind is bool else "a "
    if option.choices:
        return " or ".join(map(str, option.choices))
    span = f" from {option.range.low:.10g} to {option.range.high:.10g}" if option.range is not None else ""
    return f"{article}{kind}{span}"


def plain(value: Any) -> Any:
    """NumPy's numbers and arrays, and lists, as Python's numbers and tuples."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value


def require(condition: bool, option: str, expected: str, came: object) -> None:
    """Raises InvalidInput in one wording for every option."""
    if not condition:
        raise InvalidInput(f"--{option.replace('_', '-')}: expected {expected}, got {shown(came)}")


def shown(value: object) -> str:
    """A value as a message shows it: in one line, and not too long."""
    if isinstance(value, tuple):
        return " ".join(map(shown, value))
    if isinstance(value, int) and value.bit_length() > 64:  # Python itself refuses to print the longest ones
        return f"a number of about {round(value.bit_length() * 0.30103)} digits"
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


@dataclass(frozen=True)
class Drawn(Checked):
    """The options of an experiment: with another base seed all that is random is drawn anew."""

    seed: int = option(PUBLISHED, "base seed: with another one everything random is drawn anew", (0, 10**9))


@dataclass(frozen=True)
class DataOptions(Drawn):
    """The options of an experiment on a data set of the user's choice: its own options inherit them."""

    data: str = option(
        "digits", "digits, breast_cancer, wine, iris, or a file of your own: FILE.csv .tsv .txt (also .gz) .npz .npy"
    )
    label: str = option(
        "", "the column of your file that holds the labels, by name or by number from 1 (default: the last)"
    )

    @property
    def source(self) -> str:
        """What the settings of a cell hold, and ``data.load`` takes."""
        from experiments.data import with_label

        return with_label(self.data, self.label)

    def dataset(self) -> Dataset:
        """Raises InvalidInput, before any work, for whatever is wrong with it."""
        from experiments.data import load

        return load(self.source, getattr(self, "dtype", "float64"))


def require_device(device: str, dtype: str) -> None:
    """Raises InvalidInput unless PyTorch can compute there in ``dtype``."""
    if device != "cpu":  # which is always there; PyTorch takes two seconds to import
        from torchref.conventions import device_of

        device_of(device, np.dtype(dtype))
