"""The vocabulary of a page. What it names is imported when it is asked for: the command line must read its options at once."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.lab.bench import Lab, Shots, looks
    from experiments.lab.frames import compare, over_seeds, stacked
    from experiments.lab.judge import Claim
    from experiments.lab.page import Cost, cells, claims, figure, table

__all__ = [
    "Claim",
    "Cost",
    "Lab",
    "Shots",
    "cells",
    "claims",
    "compare",
    "figure",
    "looks",
    "over_seeds",
    "stacked",
    "table",
]
ROOMS = {"bench": ("Lab", "Shots", "looks"), "judge": ("Claim",), "frames": ("compare", "over_seeds", "stacked"),
         "page": ("Cost", "cells", "claims", "figure", "table")}  # fmt: skip


def __getattr__(name: str) -> Any:
    for room, words in ROOMS.items():
        if name in words:
            return getattr(import_module(f"experiments.lab.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
