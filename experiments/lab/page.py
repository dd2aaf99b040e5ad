"""A page is one question in one file: cells, tables, claims and figures, in that order, wired by their names.

    @cells(grid)        measures: ``grid(options)`` lists the settings of the cells, as ``each(depth="depths")`` does; arguments are
                        ``lab``, settings and options
    @table              derives a table from others
    @claims             yields what is claimed of tables
    @figure(title)      draws tables, and computes nothing; its docstring is the caption

A table is called what the function is called that makes it (or ``makes`` says the names of several), and whoever needs it has an
argument of that name; so it is with options. An argument with a default may be missing. The docstring's first line is the question.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from types import ModuleType
from typing import Any, NamedTuple

from scratch.errors import InvalidInput, unknown

Grid = Callable[[Any], Sequence[Mapping[str, Any]]]
GIVEN = ("options", "claims", "comparisons", "agreement")  # what every page may ask for beside tables and options


class Cost(NamedTuple):
    """What the largest cell takes at the default options: seconds on one core, megabytes beyond what a process holds anyway.

    ``powers``: of the settings to which its time is not proportional; see work.py.
    """

    seconds: float
    megabytes: float
    powers: Mapping[str, int] = {}


FREE = Cost(0, 0)


@dataclass(frozen=True)
class Part:
    """A function of a page; called, it is that function."""

    function: Callable[..., Any]
    makes: tuple[str, ...] = ()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def place(self) -> str:
        return f"{self.function.__module__.removeprefix('experiments.catalog.')}.{self.function.__name__}"

    @cached_property
    def needs(self) -> dict[str, bool]:
        """Its arguments, and whether it cannot do without."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default is p.empty for p in parameters}


@dataclass(frozen=True)
class Cells(Part):
    """Measures one cell for each of the settings that ``grid(options)`` lists."""

    grid: Grid = lambda options: [{}]
    cost: Cost = FREE


class Table(Part):
    """Derives a table."""


class Claims(Part):
    """Yields claims."""


@dataclass(frozen=True)
class Drawing(Part):
    """Draws a figure."""

    title: str = ""
    called: str = ""  # else as the function is

    @property
    def name(self) -> str:
        return self.called or self.function.__name__

    @property
    def caption(self) -> str:
        return " ".join((self.function.__doc__ or "").split())


def cells(
    grid: Grid = lambda options: [{}], *, makes: Sequence[str] | None = None, cost: Cost = FREE
) -> Callable[[Callable[..., Any]], Cells]:
    """The function measures: it gives back a table, or a dict of those that ``makes`` names."""
    return lambda function: Cells(function, (function.__name__,) if makes is None else tuple(makes), grid, cost)


def each(**axes: str | Collection[Any]) -> Grid:
    """A cell for each combination, the last one changing first: of an option's values, numbers in order, or of those given here."""

    def values(options: Any, of: str | Collection[Any]) -> Collection[Any]:
        found = getattr(options, of) if isinstance(of, str) else of
        return sorted(found) if isinstance(of, str) and not any(isinstance(value, str) for value in found) else found

    return lambda options: [
        dict(zip(axes, point, strict=True)) for point in product(*(values(options, of) for of in axes.values()))
    ]


def table(function: Callable[..., Any]) -> Table:
    """The function derives the table of its name; None: there is nothing to make it of."""
    return Table(function, (function.__name__,))


def claims(function: Callable[..., Any]) -> Claims:
    """The function yields claims."""
    return Claims(function)


def figure(title: str, *, name: str = "") -> Callable[[Callable[..., Any]], Drawing]:
    """The function draws the figure of its name, or of ``name`` where a table is called so."""
    return lambda function: Drawing(function, (), title, name)


@dataclass(frozen=True)
class Page:
    """The parts of one file, in its order."""

    module: ModuleType

    @property
    def name(self) -> str:
        """The word after ``--only``."""
        return self.module.__name__.rpartition(".")[2].replace("_", "-")

    @property
    def question(self) -> str:
        return (self.module.__doc__ or "").strip().partition("\n")[0]

    @property
    def text(self) -> str:
        return inspect.cleandoc(self.module.__doc__ or "").partition("\n")[2].strip()

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Those written here: what a page imports from another is the other's."""
        own = self.module.__name__
        return tuple(p for p in vars(self.module).values() if isinstance(p, Part) and p.function.__module__ == own)

    def of(self, kind: type[Part]) -> list[Any]:
        return [part for part in self.parts if isinstance(part, kind)]


@dataclass(frozen=True)
class Wiring:
    """All pages of an experiment and the names of its options. Raises InvalidInput where names do not fit, before anything runs."""

    pages: tuple[Page, ...]
    options: tuple[str, ...]

    def __post_init__(self) -> None:
        makers: dict[str, Part] = {}
        for part in self.parts:
            for name in part.makes:
                if name in makers:
                    raise InvalidInput(f"two make the table {name!r}: {makers[name].place} and {part.place}")
                if name in (*self.options, *GIVEN):
                    raise InvalidInput(f"{part.place}: a table cannot be called {name!r}: that is an option, or given")
                makers[name] = part
        known = (*makers, *self.options, *GIVEN)
        for part in self.parts:
            for name in () if isinstance(part, Cells) else part.needs:
                if name not in known:
                    raise InvalidInput(f"{part.place} wants {name!r}: {unknown('table or option', name, known)}")
        for part in self.parts:
            self._follow(part, ())

    @property
    def parts(self) -> list[Part]:
        return [part for page in self.pages for part in page.parts]

    @cached_property
    def makers(self) -> dict[str, Part]:
        return {name: part for part in self.parts for name in part.makes}

    def _follow(self, part: Part, way: tuple[Part, ...]) -> None:
        if part in way:
            circle = " → ".join(step.place for step in (*way[way.index(part) :], part))
            raise InvalidInput(f"tables need each other in a circle: {circle}")
        if not isinstance(part, Cells):
            for name in part.needs:
                if name in self.makers:
                    self._follow(self.makers[name], (*way, part))

    def below(self, parts: Iterable[Part]) -> set[str]:
        """The names of all parts that these need, directly or not, and their own."""
        found: set[str] = set()
        waiting = list(parts)
        while waiting:
            part = waiting.pop()
            if part.place not in found:
                found.add(part.place)
                needs = () if isinstance(part, Cells) else part.needs
                waiting += [self.makers[name] for name in needs if name in self.makers]
        return found


class Missing(Exception):
    """A table that no cell has made: the options leave it out, or its cells failed."""


class Tables(dict[str, Any]):
    """The tables of a run by name: those that are measured, and on demand those that derive from them."""

    def __init__(self, wiring: Wiring, measured: Mapping[str, Any], options: Any) -> None:
        super().__init__(measured)
        self.wiring, self.asked = wiring, options

    def __missing__(self, name: str) -> Any:
        part = self.wiring.makers.get(name)
        if part is None or isinstance(part, Cells):
            raise Missing(name)
        if (made := self.call(part)) is None:
            raise Missing(name)
        self[name] = made
        return made

    def call(self, part: Part) -> Any:
        """What the part makes of tables and options. Raises Missing where a table that it cannot do without is not there."""
        given = {}
        for name, required in part.needs.items():
            try:
                given[name] = self._given(name)
            except Missing:
                if required:
                    raise
        return part(**given)

    def _given(self, name: str) -> Any:
        if name == "options":
            return self.asked
        return value_of(self.asked, name) if name in self.wiring.options else self[name]


def value_of(options: Any, name: str) -> Any:
    """The option's value; of "data", with the column of the labels."""
    return options.source if name == "data" and hasattr(options, "source") else getattr(options, name)
