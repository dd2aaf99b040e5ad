"""An experiment made of pages: its cells, what measures them, what is made of their tables, and what is drawn."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from experiments.lab.cell import Analysis, Cell, Plot
from experiments.lab.code import fingerprint
from experiments.lab.judge import Claim
from experiments.lab.options import DataOptions, require_device
from experiments.lab.page import Cells, Claims, Cost, Drawing, Missing, Page, Part, Table, Tables, Wiring, value_of
from experiments.lab.words import held
from scratch.errors import InvalidInput, unknown
from scratch.randomness import based

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Paged:
    """The experiment of a module with Options and either ``PAGES``, the names of its files in order, or a page itself."""

    module: ModuleType
    only: str = ""  # a page's name: nothing else is run and shown

    @cached_property
    def pages(self) -> tuple[Page, ...]:
        if not hasattr(self.module, "PAGES"):
            return (Page(self.module),)
        return tuple(Page(importlib.import_module(f"{self.module.__name__}.{name}")) for name in self.module.PAGES)

    @cached_property
    def wiring(self) -> Wiring:
        return Wiring(self.pages, tuple(field.name for field in fields(self.module.Options)))

    @cached_property
    def shown(self) -> tuple[Page, ...]:
        """The pages that are asked for. Raises InvalidInput if there is none of that name."""
        if not self.only:
            return self.pages
        chosen = tuple(page for page in self.pages if page.name == self.only)
        if not chosen:
            raise unknown(f"page of {self.module.__name__.rpartition('.')[2]}", self.only, [p.name for p in self.pages])
        return chosen

    @cached_property
    def run(self) -> Collection[str]:
        """The places of all parts that the shown pages need."""
        return self.wiring.below(part for page in self.shown for part in page.parts)

    def parts(self, kind: type[Part]) -> list[Any]:
        return [part for part in self.wiring.parts if isinstance(part, kind) and part.place in self.run]

    @cached_property
    def COSTS(self) -> dict[str, Cost]:
        """What the largest cell of each part takes at the default options."""
        return {part.name: part.cost for part in self.wiring.parts if isinstance(part, Cells)}

    @property
    def tables(self) -> set[str]:
        """The names of all that its pages make."""
        return set(self.wiring.makers)

    # ---- measured

    def cells(self, options: Any) -> list[Cell]:
        """The cells of every page that is needed, in the order of the pages. A wrong device or data set is refused here."""
        if "device" in self.wiring.options:
            require_device(options.device, getattr(options, "dtype", "float64"))
        if isinstance(options, DataOptions):
            options.dataset()
        return [self._cell(part, settings, options) for part in self.parts(Cells) for settings in part.grid(options)]

    def _cell(self, part: Cells, settings: Mapping[str, Any], options: Any) -> Cell:
        """The cell with all that it depends on: its settings, and the options that the function has arguments for."""
        if surplus := [name for name in settings if name not in part.needs]:
            raise InvalidInput(f"{part.place}: its grid sets {surplus[0]!r}, which is no argument of it")
        taken = dict(settings)
        for name, required in part.needs.items():
            if name in settings or name == "lab":
                continue
            if name in self.wiring.options:
                taken[name] = value_of(options, name)
            elif required:
                known = ("lab", *settings, *self.wiring.options)
                raise InvalidInput(f"{part.place} wants {name!r}: {unknown('setting or option', name, known)}")
        if "lab" in part.needs and "device" in self.wiring.options:
            taken["device"] = options.device
        return Cell(part.name, taken, options.seed)

    def version(self, cell: Cell) -> str:
        """A hash of the code and of the packages that the cell's numbers depend on."""
        return fingerprint(self._part(cell).function)

    def _part(self, cell: Cell) -> Cells:
        return next(part for part in self.wiring.parts if isinstance(part, Cells) and part.name == cell.part)

    def measure(self, cell: Cell) -> dict[str, pd.DataFrame]:
        """The tables of one cell, and "agreement", whatever its function looked at."""
        import pandas as pd

        from experiments.lab.bench import Lab

        part = self._part(cell)
        told = {name: cell.settings[name] for name in part.needs if name in cell.settings}
        own = {name: value for name, value in told.items() if name not in self.wiring.options}
        lab = Lab(cell.part, own, cell.settings.get("device", "cpu"))
        with based(cell.base):
            found = part(**told, **({"lab": lab} if "lab" in part.needs else {}))
        tables = found if isinstance(found, dict) else dict.fromkeys(part.makes[:1], found)
        if tables.keys() != set(part.makes):
            raise TypeError(f"{part.place} should make {', '.join(part.makes)}; it made {', '.join(tables)}")
        booked = {"agreement": pd.concat(lab.agreement, ignore_index=True)} if lab.agreement else {}
        return tables | booked

    # ---- made of the tables

    def analyse(self, measured: Mapping[str, pd.DataFrame], options: Any) -> Analysis:
        own = {name: table for name, table in measured.items() if isinstance(self.wiring.makers.get(name), Cells)}
        tables = Tables(self.wiring, own, options)
        with based(options.seed):
            return self._made(tables, options)

    def _made(self, tables: Tables, options: Any) -> Analysis:
        claimed = [claim for part in self.parts(Claims) for claim in self._claimed(tables, part)]
        derived = {}
        for part in self.parts(Table):
            made = _called(tables, part, None)
            if made is not None:
                derived[part.name] = made
        finding = partial(self._finding, tables)
        steps = [step for step in getattr(self.module, "NEXT_STEPS", ()) if not self.only]
        printed = getattr(self.module, "PRINTED", "")
        return Analysis(derived, claimed, finding, steps, printed if printed in tables else "")

    def _claimed(self, tables: Tables, part: Claims) -> list[Claim]:
        """Its claims; one that is not tested in their place where cells failed that they need, none where the options leave these out."""
        try:
            return list(tables.call(part))
        except Missing as missing:
            import pandas as pd

            table = str(missing)
            maker = self.wiring.makers[table]
            if not (isinstance(maker, Cells) and maker.grid(tables.asked)):
                return []
            lost = Claim(
                part.name.replace("_", " "), f"All that the page claims from {table!r}.", "", "", "", pd.DataFrame()
            )
            return [replace(lost, otherwise=f"no cell of {table!r} was measured")]

    def _finding(self, tables: Tables, judged: pd.DataFrame) -> str:
        told = getattr(self.module, "finding", None)
        if told is not None and not self.only:
            tables["claims"] = judged
            said = _called(tables, Part(told), "")
            if said:
                return said
        return held(judged)

    def figures(self, tables: Mapping[str, pd.DataFrame]) -> list[Plot]:
        """Of the pages shown, those whose tables are there and not empty."""
        found = []
        for part in self.parts(Drawing):
            given = {name: tables[name] for name in part.needs if name in tables and len(tables[name])}
            if all(name in given for name, required in part.needs.items() if required):
                found.append(Plot(part.name, part.title, part.caption, partial(part, **given)))
        return found


def _called(tables: Tables, part: Part, otherwise: Any) -> Any:
    try:
        return tables.call(part)
    except Missing:
        return otherwise
