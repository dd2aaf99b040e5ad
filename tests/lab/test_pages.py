"""Pages: parts wired by their names, errors before anything runs, and one page alone."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from experiments.lab import compare, over_seeds
from experiments.lab.judge import judge
from experiments.lab.paged import Paged
from scratch.errors import InvalidInput

HOUSE = '''
"""A house: what pages are for."""
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    seed: int = 0
    draws: int = 3
    widths: tuple = (1, 2)
    device: str = "cpu"

PAGES = ("walls", "roof")
NEXT_STEPS = ("`--draws 9`: more.",)

def finding(claims, share, nothing=None):
    return f"Share {share.measured.sum():g}, {nothing}."
'''
WALLS = '''
"""Do walls stand?

They do, mostly.
"""
import numpy as np
import pandas as pd
from experiments.lab import Claim, cells, claims, compare, figure, over_seeds, table

def helper(x):
    return x

@cells(lambda o: [{"width": width} for width in o.widths])
def stones(lab, width, draws):
    return lab.rows({"scratch": 1.0, "torchref": 1.0}, lambda shot: width * shot * np.arange(draws), {"seed": range(draws)})

@table
def share(stones):
    return over_seeds(stones, ["width", "backend"])

@claims
def law(share, draws):
    yield Claim("stand", "They stand.", "s", "b", "c", compare(share, "width {width}", predicted=(draws - 1) / 2 * share.width,
                control_predicted=99.0, dof=np.inf))

@figure("Stones")
def picture(share):
    """How many
    stones."""
    from experiments.lab.figures import facets
    return facets(share, x="width", panel="backend", colour="dof")
'''
ROOF = '''
"""Does the roof hold?"""
from experiments.lab import cells, figure, table
from catalogue.house.walls import share

@cells()
def tiles():
    import pandas as pd
    return pd.DataFrame({"tile": [1]})

@table
def slates(tiles, share):
    return tiles.assign(walls=len(share))
'''


@pytest.fixture
def house(monkeypatch):
    """Makes an experiment of sources: changes are by page."""

    def build(**changes: str) -> Paged:
        sources = {"": HOUSE, ".walls": WALLS, ".roof": ROOF} | {f".{name}": text for name, text in changes.items()}
        for name in ("catalogue", "catalogue.house"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
            sys.modules[name].__path__ = []
        for name, text in sources.items():
            module = sys.modules.get(f"catalogue.house{name}") if not name else ModuleType(f"catalogue.house{name}")
            monkeypatch.setitem(sys.modules, module.__name__, module)
            exec(compile(text, name, "exec"), vars(module))
        return Paged(sys.modules["catalogue.house"])

    return build


def measured(paged: Paged, options) -> dict[str, pd.DataFrame]:
    tables: dict[str, list] = {}
    for cell in paged.cells(options):
        for name, frame in paged.measure(cell).items():
            tables.setdefault(name, []).append(frame)
    return {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}


def test_names_are_the_wiring(house):
    """A table, an option or a claim that does not reach who asks for it."""
    paged = house()
    options = paged.module.Options()
    cells = paged.cells(options)
    assert [(cell.part, dict(cell.settings)) for cell in cells] == [
        ("stones", {"width": 1, "draws": 3, "device": "cpu"}),
        ("stones", {"width": 2, "draws": 3, "device": "cpu"}),
        ("tiles", {}),
    ]
    tables = measured(paged, options)
    assert list(tables["stones"].columns) == ["seed", "backend", "width", "value"]
    analysis = paged.analyse(tables, options)
    assert list(analysis.tables) == ["share", "slates"] and analysis.tables["slates"].walls.tolist() == [4]
    claims, comparisons = judge(analysis.claims)
    assert claims.verdict.tolist() == ["holds"] and set(comparisons.condition) == {"width 1", "width 2"}
    assert analysis.finding(claims) == "Share 6, None." and analysis.next_steps == ["`--draws 9`: more."]
    (plot,) = paged.figures(tables | analysis.tables)
    assert (plot.name, plot.title, plot.caption) == ("picture", "Stones", "How many stones.")
    assert len(plot.draw().axes) == 2
    walls, roof = paged.pages
    assert (walls.name, walls.question, walls.text) == ("walls", "Do walls stand?", "They do, mostly.")
    assert [part.name for part in roof.parts] == ["tiles", "slates"], "what is imported is another page's"


def test_one_page_alone(house):
    """A page that runs cells of others, or lacks those that its tables need."""
    paged = house()
    alone = Paged(paged.module, only="walls")
    assert {cell.part for cell in alone.cells(paged.module.Options())} == {"stones"}
    roof = Paged(paged.module, only="roof")
    options = paged.module.Options()
    assert {cell.part for cell in roof.cells(options)} == {"stones", "tiles"}
    analysis = roof.analyse(measured(roof, options), options)
    assert analysis.claims == [] and "slates" in analysis.tables
    with pytest.raises(InvalidInput, match=r"no page of house 'rof'\. Did you mean 'roof'"):
        Paged(paged.module, only="rof").cells(options)


def test_what_is_not_there_is_left_out(house):
    """A run that ends in a KeyError because one cell failed."""
    paged = house()
    options = paged.module.Options()
    tables = {name: t for name, t in measured(paged, options).items() if name != "stones"}
    analysis = paged.analyse(tables, options)
    assert analysis.tables == {} and paged.figures(tables) == []
    claims, _ = judge(analysis.claims)
    assert claims[["claim", "condition", "verdict"]].values.tolist() == [
        ["law", "no cell of 'stones' was measured", "not tested"]
    ]
    assert analysis.finding(claims).startswith("0 of 1 claims hold")


def test_what_the_options_leave_out_claims_nothing(house):
    """A claim that is not tested, as if something had failed."""
    paged = house()
    options = paged.module.Options(widths=())
    assert paged.analyse(measured(paged, options), options).claims == []


@pytest.mark.parametrize(
    "page, old, new, message",
    [
        ("walls", "def share(stones)", "def share(stone)", r"share wants 'stone': .*Did you mean 'stones'"),
        ("walls", "def law(share, draws)", "def law(share, drawz)", r"law wants 'drawz': .*Did you mean 'draws'"),
        ("roof", "def slates", "def stones", r"two make the table 'stones': .*walls.stones and .*roof.stones"),
        ("roof", "def slates", "def draws", r"roof.draws: a table cannot be called 'draws'"),
        ("roof", "def tiles():", "def tiles(depth):", r"tiles wants 'depth': "),
        ("walls", "lab, width, draws", "lab, wide, draws", r"stones: its grid sets 'width'"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_anything_runs(house, page, old, new, message):
    """A KeyError after an hour."""
    source = {"walls": WALLS, "roof": ROOF}[page]
    assert old in source
    with pytest.raises(InvalidInput, match=message) as caught:
        paged = house(**{page: source.replace(old, new)})
        paged.cells(paged.module.Options())
    assert "\n" not in str(caught.value)


def test_a_circle_is_named(house):
    """An endless recursion."""
    circle = ROOF + "\n@table\ndef beam(post):\n    return post\n\n@table\ndef post(beam):\n    return beam\n"
    paged = house(roof=circle)
    with pytest.raises(InvalidInput, match=r"circle: .*beam → .*post → .*beam"):
        paged.cells(paged.module.Options())


def test_a_function_that_makes_other_tables_says_so(house):
    """A table that silently goes missing."""
    paged = house(roof=ROOF.replace("@cells()", '@cells(makes=("tiles", "nails"))'))
    cell = paged.cells(paged.module.Options())[-1]
    with pytest.raises(TypeError, match=r"tiles should make tiles, nails; it made tiles"):
        paged.measure(cell)


def test_means_over_seeds_and_comparisons():
    """A standard error of n instead of n − 1, and columns that a claim does not know."""
    frame = pd.DataFrame({"depth": [1, 1, 2, 2], "backend": "scratch", "value": [1.0, 3.0, 5.0, 5.5]})
    found = over_seeds(frame, ["depth", "backend"])
    assert found.measured.tolist() == [2.0, 5.25] and found.dof.tolist() == [1, 1]
    assert found.standard_error.tolist() == [np.std([1, 3], ddof=1) / 2**0.5, np.std([5, 5.5], ddof=1) / 2**0.5]
    compared = compare(found, "depth {depth}, {measured:.1f}", predicted=1.0, noise=3)
    assert compared.condition.tolist() == ["depth 1, 2.0", "depth 2, 5.2"]
    assert set(compared.columns) == {"backend", "measured", "standard_error", "dof", "predicted", "condition"}
