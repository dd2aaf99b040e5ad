"""The types that a page's functions take and give back."""

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame as Frame

from experiments.lab.judge import Claim
from scratch.layers import Array

Claims = Iterator[Claim]

__all__ = ["Array", "Axes", "Claims", "Figure", "Frame"]
