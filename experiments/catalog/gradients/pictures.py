"""The ledger at a glance."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from experiments.experiment import Plot, Tables
from experiments.figures import panels

KNOWN = ("family", "piece", "culprit", "kinks")
CAPTION = (
    "Every piece of the library (rows) before every pair of witnesses (columns): the largest difference of any gradient, in units of "
    "what rounding may do to it. Blue is agreement; orange, with a cross, is a difference that rounding does not explain. A witness "
    "that is wrong spoils its own three columns and no other, so the columns name it. {} marks pieces that have kinks: there all "
    "witnesses follow PyTorch's convention."
)
MARK = "∧"
SHADES = LinearSegmentedColormap.from_list(  # light to dark blue; from the bound on orange
    "ledger", [(0, "#DCEAF4"), (0.4999, "#0072B2"), (0.5, "#F0A060"), (1, "#D55E00")]
)


def figures(tables: Tables) -> list[Plot]:
    matrix = tables["matrix"]
    words = {name: matrix[name].astype(object).where(matrix[name].notna(), "") for name in ("culprit", "kinks")}
    matrix = matrix.assign(**words)  # empty text comes back from CSV as NaN
    return [Plot("ledger", "Four witnesses, pair by pair", CAPTION.format(MARK), partial(ledger, matrix))]


def ledger(matrix: pd.DataFrame) -> Figure:
    pairs = [name for name in matrix.columns if name not in KNOWN]
    row = 0.23
    figure, (ax,) = panels([""], width=4.6, height=row * len(matrix), margins=(3.3, 1.5, 0.15, 1.45))
    ratios = np.maximum(matrix[pairs].to_numpy(float), 1e-3)
    image = ax.imshow(np.clip(np.log10(ratios), -2, 2), cmap=SHADES, vmin=-2, vmax=2, aspect="auto")
    for (i, j), value in np.ndenumerate(ratios):
        shown = "×" if not value <= 1 else f"{value:.2f}".lstrip("0")
        ax.text(j, i, shown, ha="center", va="center", fontsize=7.5, color="white" if value > 0.15 else "black")
    ax.set_yticks(range(len(matrix)), [label(one) for one in matrix.itertuples()], fontsize=8)
    ax.set_xticks(range(len(pairs)), pairs, rotation=35, ha="left", rotation_mode="anchor", fontsize=9)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    ax.grid(False)
    for start in np.flatnonzero(matrix.family.to_numpy()[1:] != matrix.family.to_numpy()[:-1]):
        ax.axhline(start + 0.5, color="black", linewidth=1.2)
    for family, rows in matrix.groupby("family", sort=False):
        middle = rows.index.to_numpy().mean()
        ax.text(len(pairs) - 0.4, middle, family, rotation=270 if len(rows) > 3 else 0, va="center", fontsize=9)
    bar = figure.colorbar(image, ax=ax, fraction=0.03, pad=0.16, shrink=min(1.0, 12 / len(matrix)))
    bar.set_ticks([-2, -1, 0, 1, 2], labels=["≤ 0.01", "0.1", "1: the bound", "10", "≥ 100"])
    return figure


def label(one: tuple) -> str:
    return f"{one.piece} {MARK}" if one.kinks else one.piece  # type: ignore[attr-defined]
