"""The vocabulary of a page. What it names is imported when it is asked for: the command line must read its options at once."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.lab.bench import Lab, Shots, looks
    from experiments.lab.figures import (
        COLOURS,
        MARKERS,
        RING,
        decades,
        facets,
        fan,
        heatmap,
        joined,
        key,
        logarithmic,
        panels,
        runs,
        series,
        ticks,
    )
    from experiments.lab.frames import compare, matched, over_seeds, stacked
    from experiments.lab.judge import Claim
    from experiments.lab.page import Cost, cells, claims, each, figure, table
    from experiments.lab.types import Array, Axes, Claims, Figure, Frame

__all__ = [
    "COLOURS",
    "MARKERS",
    "RING",
    "Array",
    "Axes",
    "Claim",
    "Claims",
    "Cost",
    "Figure",
    "Frame",
    "Lab",
    "Shots",
    "cells",
    "claims",
    "compare",
    "decades",
    "each",
    "facets",
    "fan",
    "figure",
    "heatmap",
    "joined",
    "key",
    "logarithmic",
    "looks",
    "matched",
    "over_seeds",
    "panels",
    "runs",
    "series",
    "stacked",
    "table",
    "ticks",
]
ROOMS = {
    "experiments.lab.bench": ("Lab", "Shots", "looks"),
    "experiments.lab.figures": (
        "COLOURS",
        "MARKERS",
        "RING",
        "decades",
        "facets",
        "fan",
        "heatmap",
        "joined",
        "key",
        "logarithmic",
        "panels",
        "runs",
        "series",
        "ticks",
    ),
    "experiments.lab.frames": ("matched", "compare", "over_seeds", "stacked"),
    "experiments.lab.judge": ("Claim",),
    "experiments.lab.page": ("Cost", "cells", "claims", "each", "figure", "table"),
    "experiments.lab.types": ("Array", "Axes", "Claims", "Figure", "Frame"),
}


def __getattr__(name: str) -> Any:
    for room, words in ROOMS.items():
        if name in words:
            return getattr(import_module(room), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
