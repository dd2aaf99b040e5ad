"""The vocabulary of a page."""

from experiments.claims import Claim
from experiments.lab.bench import Lab, Shots, looks
from experiments.lab.frames import compare, over_seeds, stacked
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
