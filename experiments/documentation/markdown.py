"""Docstrings and signatures as Markdown."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

LINE = 100  # a signature that is longer gets one line for each parameter


def prose(text: str) -> str:
    """A docstring's text: ``code`` stays code, and nothing else means anything to Markdown."""
    parts = re.split(r"``(.+?)``", text)
    return "".join(f"`{part}`" if k % 2 else re.sub(r"([\\*_|<~$`])", r"\\\1", part) for k, part in enumerate(parts))


def blocks(text: str) -> str:
    """Paragraphs, each on one line, so that none of its own lines begins like a list; indented ones are code."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        code = block.startswith("    ")
        found.append(
            f"```python\n{textwrap.dedent(block).rstrip()}\n```" if code else prose(" ".join(block.split("\n")))
        )
    return "\n\n".join(found)


def docstring(thing: Any) -> tuple[str, str]:
    """Its first line, the formula, and the rest."""
    written = (vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__) or ""  # not an inherited one
    first, _, rest = inspect.cleandoc(written).partition("\n")
    return first, rest.strip("\n")


def signature(thing: Callable[..., Any], name: str, width: float = LINE) -> str:
    """Name, parameters with types and defaults, result, on one line if ``width`` allows; a dataclass has its fields as parameters."""
    if isinstance(thing, type) and issubclass(thing, (Exception, np.ndarray)):  # made by others' constructors
        return f"class {name}({thing.__mro__[1].__name__})"
    described = inspect.signature(thing)
    terms, starred = [], False
    for parameter in described.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            terms.append("*")
        starred |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        terms.append(_parameter(thing, parameter))
    result = described.return_annotation
    arrow = "" if inspect.isclass(thing) or result is inspect.Signature.empty else f" -> {_type(result)}"
    line = f"{name}({', '.join(terms)}){arrow}"
    return line if len(line) <= width else f"{name}(\n" + "".join(f"    {term},\n" for term in terms) + f"){arrow}"


def _parameter(thing: Any, parameter: inspect.Parameter) -> str:
    stars: dict[Any, str] = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
    text = f"{stars.get(parameter.kind, '')}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    made = {f.name: f.default_factory for f in fields(thing)} if is_dataclass(thing) else {}
    factory: Any = made.get(parameter.name)
    default = factory() if repr(parameter.default) == "<factory>" else parameter.default
    return f"{text} = {shown(default)}"


def _type(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    return str(getattr(annotation, "__forward_arg__", None) or getattr(annotation, "__name__", annotation))


def shown(value: Any) -> str:
    """A value as one would write it: of a description only what differs from its defaults."""
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}({', '.join(_given(value))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, float):
        return repr(value) if len(repr(value)) < 10 else f"{value:.4g}"
    if callable(value):
        return value.__name__ if value.__module__ == "builtins" else f"{value.__module__}.{value.__name__}"
    return repr(value)


def _given(value: Any) -> Iterator[str]:
    """Its options that are not the default; the first one, and those that have none, without their names."""
    for k, (name, parameter) in enumerate(inspect.signature(type(value)).parameters.items()):
        option = getattr(value, name)
        if option != parameter.default:
            bare = k == 0 or parameter.default is parameter.empty
            yield shown(option) if bare else f"{name}={shown(option)}"
