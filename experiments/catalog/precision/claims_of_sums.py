"""What is claimed of the formats and of sums: worst cases, random errors, and where they are not random."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.catalog.precision import laws
from experiments.catalog.precision.formats import BF16
from experiments.claims import Claim


def casts(found: pd.DataFrame) -> Claim:
    return Claim(
        "to the bit",
        "Emulated on float32's bits, TF32, fp16 and bf16 are what the definition says, and PyTorch's own types are too: on all numbers "
        "of the format, half-way between them, subnormal, too large, ∞ and NaN.",
        "IEEE 754: to nearest, ties to even",
        "On the CPU scratch emulates all three, PyTorch has bfloat16 and float16 of its own. The number of float32 "
        "numbers that are rounded otherwise than by scaling, rounding to a whole number and scaling back. Not one "
        "may differ. TF32, which the CPU has not, is rounded by each implementation in its own way.",
        "rounding towards 0",
        found.assign(condition=found.format + ", " + found.kind, predicted=0.0, standard_error=0.0),
    )


def dots(found: pd.DataFrame, ends: pd.DataFrame) -> list[Claim]:
    frame = found.assign(
        condition=found.order + ", " + found.format + ", " + found.kind + ", n = " + found.n.astype(str)
    )
    known = frame[frame.predicted.notna()]
    ratio = known.assign(measured=known.measured / known.predicted, standard_error=known.standard_error / known.predicted,
                         law=known.predicted, predicted=1.0)  # fmt: skip
    one, pairs, core = (ratio[ratio.order == order] for order in ("one by one", "in pairs", "tensor core"))
    key = ["format", "kind", "n", "backend"]
    alone = frame[frame.order == "one by one"].set_index(key)[["measured", "predicted"]]
    return [
        Claim(
            "sums, worst case",
            "The error of a dot product of n numbers is at most γₙ Σ|aᵢbᵢ| = nu/(1 − nu) Σ|aᵢbᵢ|, in every format, for every order of "
            "the sum, even where nu > 1: n·u is enough.",
            "Higham 2002, Eq. 3.5; Jeannerod & Rump 2013",
            "The largest error of all trials in units of n·u Σ|ab|, and of (n + 2)·u where the factors themselves are rounded; a bound, "
            "so there is no standard error.",
            "√n·u for n·u",
            _limits(frame[frame.order != "chopped"]),
            "at most",
        ),
        probabilistic(frame, ends),
        Claim(
            "sums, one by one",
            "Rounding errors are as good as random: the mean square error of a sum is that of independent errors, each uniform in half "
            "a spacing of the partial sum, so the error grows like √n·u while the terms are well above that spacing.",
            "independent errors; Higham & Mary 2019",
            "Σ spacing²/12 over the exact partial sums and products, more where only a few bits are dropped; the standard error is that "
            "of squares of normal numbers. "
            "Of terms ¼ it says 2.5, 7.0, 25.8 and 79 u for n = 10², 10³, 10⁴, 10⁵. Where terms come near the spacing "
            "of their sum there is no such law.",
            "errors that add up: n·u",
            one.assign(control_predicted=one.n**2 / one.law),
        ),
        Claim(
            "sums in pairs",
            "Neighbours first, then neighbouring sums: the error of positive terms hardly grows with n, in bf16 as in float32.",
            "Higham 2002, § 4.2",
            "The same law, along the tree of sums.",
            "the law of sums one by one",
            _against(pairs, alone.predicted, key),
        ),
        Claim(
            "tensor cores",
            "Short factors, exact products, sums in float32: what is lost is the rounding of the factors, which averages out: the "
            "relative error falls like 1/√n.",
            "Blanchard et al. 2020",
            "Σ (spacing(x)²y² + spacing(y)²x²)/12 and the law of float32's sums.",
            "everything in the short format",
            _against(core, alone.measured, key, measured=True),
        ),
    ]  # fmt: skip


def _limits(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(measured=frame.worst, control_measured=frame.of_root, predicted=1.0, standard_error=0.0)


def _against(rows: pd.DataFrame, other: pd.Series, key: list[str], measured: bool = False) -> pd.DataFrame:
    """The same condition's value in another order of summation is the control."""
    instead = other.reindex(pd.MultiIndex.from_frame(rows[key])).to_numpy(float) / rows.law.to_numpy(float)
    return rows.assign(control_measured=instead) if measured else rows.assign(control_predicted=instead)


def probabilistic(frame: pd.DataFrame, ends: pd.DataFrame) -> Claim:
    """The share of sums beyond the bound; what is rounded at random has twice the error at most."""
    chopped = frame[frame.order == "chopped"].set_index(["n", "backend"]).beyond
    rows = frame[(frame.order == "one by one") & frame.predicted.notna()]
    rows = rows.assign(measured=rows.beyond)
    at_random = ends[ends["mode"] == "stochastic"]
    apart = (at_random.total - at_random.exact).abs() > 2 * laws.LAMBDA * BF16.unit * np.sqrt(
        _terms(ends)
    ) * at_random.exact
    more = pd.DataFrame(
        {"measured": apart.groupby(at_random.backend).mean(), "trials": apart.groupby(at_random.backend).size()}
    )
    more = more.reset_index().assign(condition="rounded at random, bf16, positive", n=-1)
    rows = pd.concat([rows, more], ignore_index=True)
    beyond = [chopped.get((n, backend), np.nan) for n, backend in zip(rows.n, rows.backend, strict=True)]
    return Claim(
        "sums, probabilistic",
        f"All but one in a hundred sums have an error below λ√n·u Σ|ab|, λ = {laws.LAMBDA:.2f}.",
        "Higham & Mary 2019; Connolly, Higham & Mary 2021 for rounding at random",
        "2·exp(−λ²/2) = 1 % if errors are independent with mean 0 (a martingale; Azuma's inequality). The bound is generous: none is "
        "beyond it.",
        "rounding towards 0, where every error has the same sign",
        rows.assign(predicted=laws.CHANCE, standard_error=np.sqrt(laws.CHANCE * (1 - laws.CHANCE) / rows.trials.astype(float)),
                    control_measured=beyond),
        "at most",
    )  # fmt: skip


def _terms(ends: pd.DataFrame) -> float:
    """n, from sums of products of U[0, 1]: a quarter each."""
    return 4 * float(ends.exact.mean())


def stagnation(ends: pd.DataFrame) -> list[Claim]:
    found = ends.assign(error=ends.total - ends.exact)
    near, chance = (found[found["mode"] == mode].groupby("backend") for mode in ("nearest", "stochastic"))
    count = near.size()
    farthest = near.total.apply(lambda t: t.loc[(t - laws.limit(BF16)).abs().idxmax()])
    stand = pd.DataFrame({"measured": farthest, "standard_error": 0.0, "control_measured": chance.total.mean()})
    mean, variance = laws.passage()
    time = pd.DataFrame(
        {"measured": near.terms.apply(lambda t: t.mean(skipna=False)), "standard_error": np.sqrt(variance / count)}
    )
    spread = chance.spread.mean()
    fair = pd.DataFrame({"measured": chance.error.mean(), "standard_error": np.sqrt(spread / count), "predicted": 0.0,
                         "control_measured": near.error.mean(), "condition": "mean error"})  # fmt: skip
    square = pd.DataFrame({"measured": chance.error.apply(lambda e: (e**2).mean()) / spread, "standard_error": np.sqrt(2 / count),
                           "predicted": 1.0, "control_measured": near.error.apply(lambda e: (e**2).mean()) / spread,
                           "condition": "mean square error"})  # fmt: skip
    return [
        Claim(
            "bf16 sums stand still",
            "A bf16 sum of products of U[0, 1] stops at 2⁸ = 256, however many follow: half its spacing is 1, and no term is larger. "
            "Errors are then neither random nor √n·u.",
            "Connolly, Higham & Mary 2021",
            "s + x = s where x is at most half the spacing of s; the sum farthest from 256 counts. Exact.",
            "rounding at random",
            stand.reset_index().assign(condition="final sum", predicted=laws.limit(BF16)),
        ),
        Claim(
            "time to stand still",
            f"From 128 to 256 it takes {mean:.0f} terms on average instead of 512: a term above ½ adds 1, all others nothing.",
            "128 waits for a term above ½, P = (1 − ln 2)/2",
            "Geometric waits; the chance by summing over all pairs of bf16 numbers, ties to even included.",
            "a quarter for every term",
            time.reset_index().assign(condition="terms from 128 to 256", predicted=mean, control_predicted=128 * 4.0),
        ),
        Claim(
            "rounding at random",
            "Rounded up with the probability that keeps the mean, the same sums neither stand still nor drift: their error has mean 0 and "
            "the predicted mean square.",
            "Connolly, Higham & Mary 2021",
            "Σ f(1 − f)·spacing² over the terms, f the fraction of a spacing that a term covers.",
            "rounding to nearest",
            pd.concat([fair, square]).reset_index(names="backend"),
        ),
    ]
