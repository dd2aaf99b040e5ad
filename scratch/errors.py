"""The one exception that means: the input is wrong, not the code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class InvalidInput(ValueError):
    """Says in one line which place is wrong, what was expected there and what came."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InvalidInput:
    """The error for a misspelt ``name``, with the nearest ``known`` one as a suggestion."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InvalidInput(f"there is no {kind} {name!r}.{hint} There are: {', '.join(names)}")


def known(kind: str, name: Any, among: Mapping[str, Any]) -> Any:
    """What goes by a name; an ``unknown`` one raises InvalidInput."""
    if not isinstance(name, str) or name not in among:
        raise unknown(kind, str(name), among)
    return among[name]
