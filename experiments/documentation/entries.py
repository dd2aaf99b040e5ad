"""One class or function -> its part of a page."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cached_property
from math import inf
from types import ModuleType
from typing import Any

import numpy as np

from experiments.documentation.examples import GIVEN, N_IN, SYMBOLS, children, example, refusals
from experiments.documentation.markdown import blocks, docstring, prose, shown, signature
from experiments.documentation.twins import counterpart
from scratch.layers import Layer
from scratch.optimizers import Optimizer

EVERYTHING = {"momentum": 0.9, "centered": True, "amsgrad": True}  # options with which an update rule remembers most


def public(module: ModuleType) -> list[Any]:
    """Its own classes and functions, in the order of the file."""
    own = [
        thing
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", "") == module.__name__ and not name.startswith("_") and name != "main"
    ]
    return [thing for thing in own if inspect.isclass(thing) or inspect.isfunction(thing)]


def entry(thing: Any, name: str) -> str:
    """Heading, signature, formula, text, facts."""
    first, rest = docstring(thing)
    facts = "\n".join(f"- **{what}**: {text}" for what, text in _facts(thing) if text)
    parts = (
        f"### {name}",
        f"```python\n{signature(thing, thing.__name__)}\n```",
        f"> {prose(first)}",
        blocks(rest),
        facts,
    )
    return "\n\n".join(part for part in parts if part)


def _facts(thing: Any) -> Iterator[tuple[str, str]]:
    if inspect.isclass(thing):
        if kinds := children(thing):
            yield "subclasses", ", ".join(kind.__name__ for kind in kinds)
        elif issubclass(thing, Layer):
            yield from _of_layer(thing)
        elif issubclass(thing, Optimizer):
            yield _memory(thing)
        yield from ((f"`{line}`", prose(text)) for line, text in _methods(thing))
        if is_dataclass(thing) and not _handed(thing):
            yield "refuses, for example", "; ".join(f"`{message}`" for message in refusals(thing))
    yield "PyTorch", counterpart(thing)


def _handed(kind: Any) -> bool:
    """Whether it needs more than options: arrays, layers."""
    try:
        example(kind)
    except TypeError:
        return True
    return False


def _of_layer(kind: Any) -> Iterator[tuple[str, str]]:
    layer = example(kind)
    shapes = {name: _shape(*shape) for name, shape in layer.shapes(N_IN).items()}
    buffers = {name: f"{_shape(*a.shape)}, first {a.flat[0]:g}" for name, a in layer.buffers(N_IN).items()}
    noise = {
        name: f"{_shape(rows, 'm')}, True with probability {share:g}"
        for name, (rows, share) in layer.noise(N_IN).items()
    }
    if kind in GIVEN:
        yield "here", f"`{shown(layer)}`, {', '.join(f'{name} = {size}' for size, name in SYMBOLS.items())}"
    yield "outputs", SYMBOLS[layer.width(N_IN)]
    yield "parameters", _listed(shapes)
    yield "buffers", _listed(buffers)
    yield "handed in at each training step", _listed(noise)


def _listed(named: dict[str, str]) -> str:
    return "; ".join(f"`{name}` {text}" for name, text in named.items())


def _shape(*sizes: Any) -> str:
    return f"({', '.join(str(SYMBOLS.get(size, size)) for size in sizes)})"


def _memory(kind: Any) -> tuple[str, str]:
    """Arrays of θ's size that the update rule keeps; the scratch room for one step is among them."""
    rule = kind(**{name: value for name, value in EVERYTHING.items() if name in kind.__dataclass_fields__})
    names = [f"`{name}`" for name, value in rule.start(np.zeros(3)).items() if np.shape(value) == (3,)]
    return f"memory of `{shown(rule)}`", f"{', '.join(names)}, each (…, P)"


def _methods(kind: Any) -> Iterator[tuple[str, str]]:
    """Its own methods and properties that have a docstring."""
    for name, member in vars(kind).items():
        if name.startswith("_") and name != "__call__":
            continue
        if inspect.isfunction(member) and member.__doc__:
            yield signature(member, f".{name}", inf), docstring(member)[0]
        elif isinstance(member, property | cached_property) and member.__doc__:
            yield f".{name}", docstring(member)[0]
