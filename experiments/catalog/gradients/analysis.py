"""From the ledger to claims: within rounding, to thirteen digits, and of the right order."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from experiments.agreement import LIMIT
from experiments.claims import Claim
from experiments.experiment import Analysis, Tables

DIGITS = 1e-13  # relative: some hundred roundings of 1.1e-16
ROUNDING = 2.0**-53
CONTROL = "one witness's gradient wrong by one part in 10⁹"
AGREEMENT = ["part", "condition", "step", "layer", "quantity", "difference", "relative", "bound", "ratio"]


def analyse(tables: Tables) -> Analysis:
    ledger = tables["ledger"]
    backend = ledger.pair.str.contains("torch").map({True: "torchref", False: "scratch"})
    ledger = ledger.assign(backend=backend)
    named = ledger.assign(part=ledger.family, condition=ledger.piece + ", " + ledger.pair, step=0)
    slopes = orders(tables["slopes"])
    families = ledger.family.unique()
    claims = [claim(ledger[ledger.family == family], family) for family in families for claim in (rounding, digits)]
    return Analysis(
        {"matrix": matrix(ledger, tables["kinks"]), "agreement": named[AGREEMENT], "orders": slopes},
        [*claims, taylor(slopes, tables["kinks"])],
        partial(finding, ledger),
        (
            "`--trials 100`: more shapes. The worst ratio creeps up slowly, as the largest of more random numbers does.",
            "Write a wrong sign into any `backward`, `formula` or twin and run it again: the three pairs with the culprit turn red.",
            "`python -m scratch.autodiff`: the chain rule on the notes' own examples, node by node.",
        ),
        printed="matrix",
    )


def matrix(ledger: pd.DataFrame, kinks: pd.DataFrame) -> pd.DataFrame:
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


def rounding(chosen: pd.DataFrame, family: str) -> Claim:
    """The pair of each piece that lies farthest apart, without PyTorch and with it."""
    worst = chosen.loc[chosen.groupby(["piece", "backend"], sort=False).ratio.idxmax()]
    frame = worst.assign(
        condition=worst.piece,
        measured=worst.difference,
        predicted=0.0,
        standard_error=worst.bound / LIMIT,
        control_measured=worst.control_ratio * worst.bound,
    )
    return Claim(
        f"{family}: within rounding",
        "The gradients written by hand, autodiff's, complex steps' and PyTorch's are the same but for rounding.",
        "Griewank & Walther 2008; Squire & Trapp 1998",
        "The bound is measured: what moving all inputs by √k·u does, and what the witnesses themselves show in float32 (scaled) and "
        "when their inputs move by one rounding; a quarter of it counts as the standard error.",
        CONTROL,
        frame,
    )


def digits(chosen: pd.DataFrame, family: str) -> Claim:
    """The largest relative difference where the problem is well-conditioned."""
    most = chosen.groupby(["piece", "backend"], sort=False)[["well_relative", "control_relative"]].max().reset_index()
    frame = most.assign(
        condition=most.piece,
        measured=most.well_relative,
        predicted=DIGITS,
        standard_error=ROUNDING,
        control_measured=most.control_relative,
    )
    return Claim(
        f"{family}: to thirteen digits",
        "Where rounding is hardly magnified, all pairs agree to 1e-13 of the gradient's norm.",
        "float64: unit roundoff 1.1e-16",
        "Well-conditioned: the bound is less than sixteen times √k·u of the norm.",
        CONTROL,
        frame,
        "at most",
    )


def orders(slopes: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard error of each piece's order over its trials; those whose remainder is all rounding (inf) are left out."""
    finite = slopes.replace([np.inf, -np.inf], np.nan)
    grouped = finite.groupby(["family", "piece", "backend"], sort=False)
    table = grouped.agg(
        order=("order", "mean"), error=("order", "sem"), trials=("order", "count"), wrong=("wrong", "mean")
    )
    return table.reset_index()


def taylor(orders: pd.DataFrame, kinks: pd.DataFrame) -> Claim:
    """Pieces without kinks, of which enough trials are curved."""
    kinked = kinks[kinks.kinks != ""]
    smooth = orders[(orders.trials >= 2) & ~orders.piece.isin(kinked.piece) & (orders.family != "networks")]
    frame = smooth.assign(
        condition=smooth.family + ": " + smooth.piece,
        measured=smooth.order,
        predicted=2.0,
        allowance=0.1,
        standard_error=smooth.error,
        dof=smooth.trials - 1,
        control_measured=smooth.wrong,
    )
    return Claim(
        "Taylor's remainder",
        "J(x + hd) − J(x) − h⟨gradient, d⟩ falls as h², in real arithmetic; one that is wrong leaves h¹.",
        "Taylor's theorem",
        "Fitted over steps halved down to where rounding begins. h is not 0, so 0.1 is allowed for the third order. Left out: what is "
        "linear, or has kinks.",
        "the gradient wrong by a tenth in every number",
        frame,
    )


def finding(ledger: pd.DataFrame, claims: pd.DataFrame) -> str:
    pieces, worst = len(ledger[["family", "piece"]].drop_duplicates()), ledger.loc[ledger.ratio.idxmax()]
    right = bool((ledger.ratio <= 1).all())
    return (
        f"{pieces} pieces on {ledger.drop_duplicates(['family', 'piece']).trials.sum()} random shapes: four witnesses "
        f"{'give the same gradients to rounding everywhere' if right else 'do NOT agree everywhere'}. The pair farthest apart, "
        f"{worst.pair} on {worst.piece}, differs by {worst.ratio:.2f} of what rounding may do."
    )
