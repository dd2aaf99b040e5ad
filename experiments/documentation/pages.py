"""Every page of docs/ as text: name of the file -> content."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from experiments.documentation import differences, drawings, index
from experiments.documentation.entries import entry, public
from experiments.documentation.markdown import blocks, docstring
from experiments.lab.figures import svg
from scratch import tape

GENERATED = "<!-- made by `python -m experiments.documentation` from the docstrings: change those, and run it again -->"


@dataclass(frozen=True)
class Page:
    """One family: the modules whose docstrings it shows, with a figure or a listing where one helps."""

    title: str
    modules: tuple[str, ...]
    figure: Callable[[], Any] | None = None
    caption: str = ""
    listing: Callable[[], str] | None = None


def worked_examples() -> str:
    """What ``python -m scratch.tape`` prints."""
    with redirect_stdout(io.StringIO()) as printed:
        tape.main()
    return printed.getvalue().strip()


PAGES = {
    "layers": Page("Layers", ("layers",)),
    "normalization": Page("Normalization", ("normalization",)),
    "activations": Page(
        "Activations",
        ("activations",),
        drawings.activations,
        "Every activation a(z), solid, and its derivative da/dz, dashed.",
    ),
    "softmax": Page("Softmax", ("softmax",)),
    "losses": Page(
        "Losses",
        ("losses", "categorical"),
        drawings.losses,
        "What one number costs, and the slope that is sent back, for targets that are numbers and for one that is 1.",
    ),
    "penalties": Page(
        "Penalties", ("penalties",), drawings.penalties, "What one weight costs, and how hard it is pulled to 0."
    ),
    "optimizers": Page(
        "Optimizers and clipping",
        ("optimizers", "clipping"),
        drawings.optimizers,
        "Forty updates of every rule in a valley twenty times steeper across than along; the cross is the lowest point.",
    ),
    "schedules": Page(
        "Schedules",
        ("schedules",),
        drawings.schedules,
        "The rate of a hundred updates, as a share of the optimizer's own. The loss that the last one sees stops falling at 30.",
    ),
    "initializers": Page("Initializers", ("initializers", "lsuv")),
    "networks": Page(
        "Networks and jobs",
        (
            "network",
            "contract",
            "checks",
            "randomness",
            "training",
            "recording",
            "replay",
            "options",
            "errors",
            "arguments",
            "command",
        ),
    ),
    "training": Page("Fitting, metrics, saving", ("fitting", "metrics", "saving", "matching", "files")),
    "autodiff": Page(
        "Autodiff and gradient checks",
        ("autodiff", "variables", "tape", "gradcheck", "derivatives", "composed", "special"),
        listing=worked_examples,
    ),
}


def documents() -> dict[str, str]:
    """All pages and figures, by their path in docs/."""
    pages = {f"{name}.md": _page(name, page) for name, page in PAGES.items()}
    figures = {f"figures/{name}.svg": svg(page.figure()) for name, page in PAGES.items() if page.figure is not None}
    titles = {name: page.title for name, page in PAGES.items()}
    written = {"index.md": index.text(titles), "differences.md": differences.text()}
    return {name: f"{GENERATED}\n\n{text}" for name, text in (pages | written).items()} | figures


def modules(page: Page) -> list[ModuleType]:
    return [import_module(f"scratch.{name}") for name in page.modules]


def _page(name: str, page: Page) -> str:
    picture = f"![{page.caption}](figures/{name}.svg)\n\n*{page.caption}*" if page.figure is not None else ""
    printed = f"```\n{page.listing()}\n```" if page.listing is not None else ""
    parts = [f"# {page.title}", "[All pages](index.md)", picture, printed, *_sections(page)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _sections(page: Page) -> Iterator[str]:
    taken: set[str] = set()
    for module in modules(page):
        first, rest = docstring(module)
        yield f"## {module.__name__}\n\n{blocks(first)}\n\n{blocks(rest)}".rstrip()
        for thing in public(module):
            name = thing.__name__
            yield entry(thing, f"{module.__name__}.{name}" if name in taken else name)
            taken.add(name)
