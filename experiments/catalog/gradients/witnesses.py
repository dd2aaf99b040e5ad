"""Do four witnesses give the same gradient?

Each piece of the library, on many random shapes, by hand, by autodiff of the textbook's formula, by complex steps of the forward code
and in PyTorch. A witness that is wrong disagrees with the three others, and so is named.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap

from experiments.compare.agreement import LIMIT, Key, Rounding
from experiments.compare.witnesses import WITNESSES, noise_level
from experiments.lab import Array, Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, compare, figure, table
from experiments.lab.figures import panels
from scratch.randomness import generator
from .pieces import drawn, tried

PLANTED = 1e-9  # the control: a gradient wrong by one part in a thousand million
CONTROL = "one witness's gradient wrong by one part in 10⁹"
WELL = 16.0  # a problem whose rounding is magnified by less than this is well-conditioned
DIGITS = 1e-13  # relative: some hundred roundings of 1.1e-16
ROUNDING = 2.0**-53
AGREEMENT = ["part", "condition", "step", "layer", "quantity", "difference", "relative", "bound", "ratio"]
SHADES = LinearSegmentedColormap.from_list(  # light to dark blue; from the bound on orange
    "ledger", [(0, "#DCEAF4"), (0.4999, "#0072B2"), (0.5, "#F0A060"), (1, "#D55E00")]
)


@cells(tried, makes=["ledger"], cost=Cost(6.5, 50, {"largest": 3}))
def witnesses(lab: Lab, family: str, piece: str, trials: int, largest: int, seed: int) -> Frame:
    """Every pair of witnesses on every trial: the worst difference in units of its rounding bound, and where."""
    found = []
    for trial in range(trials):
        job, _ = drawn(family, piece, trial, largest, seed)
        said = {name: witness(job) for name, witness in WITNESSES.items()}
        replicas = generator(seed, "replicas", family, piece, trial)
        rounding, level = Rounding(job, replicas), noise_level(job, replicas)
        found += [
            {"pair": f"{a} – {b}", "trial": trial} | compared(rounding, key, said[a][key], said[b][key], level[key])
            for a, b in combinations(WITNESSES, 2)
            for key in said["by hand"]
        ]
    ledger = worst(Frame(found)).assign(family=family, piece=piece, trials=trials)
    lab.agreement.append(ledger.assign(part=family, condition=piece + ", " + ledger.pair, step=0)[AGREEMENT])
    return ledger


def compared(rounding: Rounding, key: Key, a: Array, b: Array, level: Array) -> dict[str, Any]:
    """One quantity in two testimonies; ``control_ratio``: the same, had the first one been slightly wrong."""
    seen = rounding.difference(key, a, b, level)
    size = seen.difference / seen.relative if seen.relative else float(np.linalg.norm(a))
    condition = seen.bound / (LIMIT * rounding.scale * size) if size else np.inf
    wrong = rounding.difference(key, a * (1 + PLANTED), b, level)
    return {
        "layer": key[0],
        "quantity": key[1],
        "difference": seen.difference,
        "relative": seen.relative,
        "bound": seen.bound,
        "ratio": seen.ratio,
        "control_ratio": wrong.ratio,
        "well_relative": seen.relative if condition < WELL else 0.0,
        "control_relative": wrong.relative if condition < WELL else 0.0,
    }


def worst(found: Frame) -> Frame:
    """One row for each pair: where it differs most in units of the bound."""
    pairs = found.groupby("pair", sort=False)
    most = pairs[["control_ratio", "well_relative", "control_relative"]].max()
    return found.loc[pairs.ratio.idxmax()].drop(columns=list(most)).join(most, on="pair").reset_index(drop=True)


@table
def matrix(ledger: Frame, kinks: Frame) -> Frame:
    """One row for each piece: every pair's worst difference in units of its bound, the culprit if there is one, the kinks."""
    wide = ledger.pivot(index=["family", "piece"], columns="pair", values="ratio")[list(ledger.pair.unique())]
    wide = wide.reindex(pd.MultiIndex.from_frame(ledger[["family", "piece"]].drop_duplicates()))
    wide["culprit"] = wide.apply(culprit, axis=1)
    return wide.reset_index().merge(kinks, on=["family", "piece"], how="left").fillna({"kinks": ""})


def culprit(ratios: pd.Series) -> str:
    """The witness whose pairs are red while those of the others are not; "" if all agree, "?" if none can be named."""
    red = {pair for pair, ratio in ratios.items() if not ratio <= 1}
    names = {name for pair in ratios.index for name in str(pair).split(" – ")}
    guilty = [name for name in sorted(names) if red == {p for p in ratios.index if name in str(p).split(" – ")}]
    return (guilty[0] if guilty else "?") if red else ""


@claims
def same(ledger: Frame) -> Claims:
    """Two for each family; pairs with PyTorch in them are torchref's."""
    backend = np.where(ledger.pair.str.contains("torch"), "torchref", "scratch")
    for family, rows in ledger.assign(backend=backend).groupby("family", sort=False):
        yield within_rounding(rows, family)
        yield to_thirteen_digits(rows, family)


def within_rounding(rows: Frame, family: str) -> Claim:
    """The pair of each piece that lies farthest apart, without PyTorch and with it."""
    farthest = rows.loc[rows.groupby(["piece", "backend"], sort=False).ratio.idxmax()]
    return Claim(
        name=f"{family}: within rounding",
        statement="The gradients written by hand, autodiff's, complex steps' and PyTorch's are the same but for rounding.",
        source="Griewank & Walther 2008; Squire & Trapp 1998",
        basis="The bound is measured: what moving all inputs by √k·u does, and what the witnesses themselves show in float32 (scaled) "
        "and when their inputs move by one rounding; a quarter of it counts as the standard error.",
        control=CONTROL,
        comparisons=compare(
            farthest,
            "{piece}",
            measured=farthest.difference,
            predicted=0.0,
            standard_error=farthest.bound / LIMIT,
            control_measured=farthest.control_ratio * farthest.bound,
        ),
    )


def to_thirteen_digits(rows: Frame, family: str) -> Claim:
    """The largest relative difference where the problem is well-conditioned."""
    most = rows.groupby(["piece", "backend"], sort=False)[["well_relative", "control_relative"]].max().reset_index()
    most = most.rename(columns={"well_relative": "measured", "control_relative": "control_measured"})
    return Claim(
        name=f"{family}: to thirteen digits",
        statement="Where rounding is hardly magnified, all pairs agree to 1e-13 of the gradient's norm.",
        source="float64: unit roundoff 1.1e-16",
        basis="Well-conditioned: the bound is less than sixteen times √k·u of the norm.",
        control=CONTROL,
        comparisons=compare(most, "{piece}", predicted=DIGITS, standard_error=ROUNDING),
        test="at most",
    )


@figure("Four witnesses, pair by pair")
def ledger(matrix: Frame) -> Figure:
    """Every piece of the library (rows) before every pair of witnesses (columns): the largest difference of any gradient, in units
    of what rounding may do to it. Blue is agreement; orange, with a cross, is a difference that rounding does not explain. A
    witness that is wrong spoils its own three columns and no other, so the columns name it. ∧ marks pieces that have kinks: there
    all witnesses follow PyTorch's convention.
    """
    pairs = [name for name in matrix.columns if " – " in name]
    drawing, (ax,) = panels([""], width=4.6, height=0.23 * len(matrix), margins=(3.3, 1.5, 0.15, 1.45))
    ratios = np.maximum(matrix[pairs].to_numpy(float), 1e-3)
    image = ax.imshow(np.clip(np.log10(ratios), -2, 2), cmap=SHADES, vmin=-2, vmax=2, aspect="auto")
    for (i, j), value in np.ndenumerate(ratios):
        shown = "×" if not value <= 1 else f"{value:.2f}".lstrip("0")
        ax.text(j, i, shown, ha="center", va="center", fontsize=7.5, color="white" if value > 0.15 else "black")
    kinked = matrix.kinks.notna() & (matrix.kinks != "")  # empty text comes back from CSV as NaN
    ax.set_yticks(range(len(matrix)), matrix.piece.where(~kinked, matrix.piece + " ∧"), fontsize=8)
    ax.set_xticks(range(len(pairs)), pairs, rotation=35, ha="left", rotation_mode="anchor", fontsize=9)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    ax.grid(False)
    for family, rows in matrix.groupby("family", sort=False):
        first, last = rows.index[[0, -1]]
        if first:
            ax.axhline(first - 0.5, color="black", linewidth=1.2)
        turned = 270 if len(rows) > 3 else 0
        ax.text(len(pairs) - 0.4, (first + last) / 2, family, rotation=turned, va="center", fontsize=9)
    bar = drawing.colorbar(image, ax=ax, fraction=0.03, pad=0.16, shrink=min(1.0, 12 / len(matrix)))
    bar.set_ticks([-2, -1, 0, 1, 2], labels=["≤ 0.01", "0.1", "1: the bound", "10", "≥ 100"])
    return drawing
