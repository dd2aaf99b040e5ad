"""The vocabulary of a page. What it names is imported when it is asked for: the command line must read its options at once."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.lab.bench import Lab, Shots, looks
    from experiments.lab.figures import COLOURS, MARKERS, RING, facets, heatmap, key, panels, runs, series
    from experiments.lab.frames import compare, over_seeds, stacked
    from experiments.lab.judge import Claim
    from experiments.lab.page import Cost, cells, claims, figure, table
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
    "facets",
    "figure",
    "heatmap",
    "key",
    "looks",
    "over_seeds",
    "panels",
    "runs",
    "series",
    "stacked",
    "table",
]
ROOMS = {
    "experiments.lab.bench": ("Lab", "Shots", "looks"),
    "experiments.lab.figures": ("COLOURS", "MARKERS", "RING", "facets", "heatmap", "key", "panels", "runs", "series"),
    "experiments.lab.frames": ("compare", "over_seeds", "stacked"),
    "experiments.lab.judge": ("Claim",),
    "experiments.lab.page": ("Cost", "cells", "claims", "figure", "table"),
    "experiments.lab.types": ("Array", "Axes", "Claims", "Figure", "Frame"),
}


def __getattr__(name: str) -> Any:
    for room, words in ROOMS.items():
        if name in words:
            return getattr(import_module(room), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
