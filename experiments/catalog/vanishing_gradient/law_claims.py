"""What is claimed of the laws."""

from __future__ import annotations

import pandas as pd

from experiments.catalog.vanishing_gradient.laws import FINITE_WIDTH
from experiments.claims import Claim

EXACT = "Exact law of independent draws; standard error of the sample."
MEAN_FIELD = f"Mean-field law (width → ∞), open by {FINITE_WIDTH}/n a layer; Student's t over seeds."


def law_claims(laws: pd.DataFrame) -> list[Claim]:
    """Products, linear, narrow and dead networks are exact; the rest holds for wide networks."""
    return [
        *product_claims(laws),
        *linear_claims(laws),
        *narrow_claims(laws),
        ratio_claim(laws),
        *depth_scale_claims(laws),
        *exploding_claims(laws),
        lookalike_claim(laws),
    ]


def of(laws: pd.DataFrame, part: str, statistic: str, condition: str | None = None) -> pd.DataFrame:
    """The comparisons of one part, where something is predicted."""
    rows = laws[(laws.part == part) & (laws.statistic == statistic) & laws.predicted.notna()]
    rows = rows if condition is None else rows[rows.condition == condition]
    frame = rows[["backend", "measured", "standard_error", "predicted"]].assign(control_predicted=rows.control)
    return frame.assign(condition=rows.condition + ", " + rows.signal + ", depth " + rows.depth.astype(str))


def over_seeds(laws: pd.DataFrame, part: str, prefix: str = "") -> pd.DataFrame:
    """The same with Student's t over seeds, and what finite width leaves open: a layer's share, times (depth − 1) for a sum."""
    rows = laws[(laws.part == part) & (laws.statistic == "mean") & laws.predicted.notna()]
    rows = rows[rows.condition.str.startswith(prefix)]
    width = rows.condition.str.split().str[-1].astype(int)
    chosen = of(laws, part, "mean").loc[rows.index]
    return chosen.assign(dof=rows["count"] - 1, allowance=FINITE_WIDTH / width)


def product_claims(laws: pd.DataFrame) -> list[Claim]:
    return [
        Claim(
            name="product, mean",
            statement="A product of n random weights shrinks: the mean of log|w1 w2 … wn| is −0.6352 n for w ~ N(0, 1).",
            source="notes: y = w1 w2 … wn x; derived: E log|N(0, 1)| = −(γ + ln 2)/2",
            basis=EXACT,
            control="weights of size 1 leave the size of the product at 1 (log 0)",
            comparisons=of(laws, "product", "mean"),
        ),
        Claim(
            name="product, spread",
            statement="The variance of log|w1 w2 … wn| grows with every factor, by π²/8.",
            source="derived: Var log|N(0, 1)| = π²/8",
            basis=EXACT,
            control="the spread of one factor",
            comparisons=of(laws, "product", "variance"),
        ),
    ]


def linear_claims(laws: pd.DataFrame) -> list[Claim]:
    return [
        Claim(
            name="deep linear, mean",
            statement="A linear network of width 10 shrinks signal and gradient with depth, even where E‖h‖² is kept (n·Var W = 1).",
            source="derived: each layer multiplies ‖h‖² by χ²_n/n; E log = ln(2/n) + ψ(n/2)",
            basis=EXACT,
            control="0: what keeps E‖h‖² also keeps E log ‖h‖²",
            comparisons=of(laws, "linear", "mean", "lecun"),
        ),
        Claim(
            name="deep linear, spread",
            statement="In a deep linear network the log size of signal and gradient spreads by ψ′(n/2) a layer.",
            source="derived: Var log χ²_n = ψ′(n/2)",
            basis=EXACT,
            control="the spread of one layer",
            comparisons=of(laws, "linear", "variance", "lecun"),
        ),
        Claim(
            name="orthogonal",
            statement="Orthogonal weights repair the linear case: every norm is kept at every depth, forward and backward.",
            source="Saxe 2014",
            basis="An identity; n·√depth roundings of size u are its error. The farthest of all networks is shown.",
            control="the law of Gaussian weights",
            comparisons=of(laws, "linear", "farthest", "orthogonal"),
        ),
    ]


def narrow_claims(laws: pd.DataFrame) -> list[Claim]:
    return [
        Claim(
            name="narrow ReLU, mean",
            statement="He's rule keeps E‖h‖², but in a narrow ReLU network (10 × 10) the typical signal still shrinks.",
            source="derived: K ~ Bin(n, ½) active units, a factor (2/n)χ²_K; about −5L/2n; compare Hanin 2018",
            basis=EXACT,
            control="the law of infinite width: nothing is lost",
            comparisons=of(laws, "narrow", "mean"),
        ),
        Claim(
            name="narrow ReLU, spread",
            statement="In a narrow ReLU network the log size of the signal spreads with every layer.",
            source="derived as above",
            basis=EXACT,
            control="the spread of one layer",
            comparisons=of(laws, "narrow", "variance"),
        ),
        Claim(
            name="born dead",
            statement="Narrow deep ReLU networks are born dead, for one input, with probability 1 − (1 − 2⁻ⁿ)^L: gradient exactly 0.",
            source="derived: a layer is dead if n signs are negative",
            basis="Exact law; binomial standard error.",
            control="one layer's 2⁻ⁿ, whatever the depth",
            comparisons=of(laws, "dead", "mean"),
        ),
    ]


def ratio_claim(laws: pd.DataFrame) -> Claim:
    return Claim(
        name="He over Xavier",
        statement="From the same draws, He's first-layer gradient is 2^((D−1)/2) times Xavier's in D layers of equal width.",
        source="derived: W_He = √2 W_Xavier and ReLU(ax) = a ReLU(x)",
        basis="An identity; √(n·D) roundings of size u are its error. Shown as a share of the predicted factor.",
        control="2^(D/2): one factor more",
        comparisons=of(laws, "ratio", "farthest"),
    )


def depth_scale_claims(laws: pd.DataFrame) -> list[Claim]:
    said = {
        "ordered": ("σ_w²=1.3", "changes by ln χ₁ < 0 a layer on its way down."),
        "chaotic": ("σ_w²=2.5", "grows by ln χ₁ > 0 a layer on its way down, it explodes."),
    }
    return [
        Claim(
            name=f"depth scale, {phase}",
            statement=f"Tanh with {sigma_w2.replace('=', ' = ')}, σ_b² = 0.05: log ‖gradient‖² {what}",
            source="Schoenholz 2017, χ₁ at the fixed point q* of Poole 2016",
            basis=MEAN_FIELD,
            control="ln σ_w²: the weights without the slope of tanh",
            comparisons=over_seeds(laws, "depth scale", sigma_w2),
        )
        for phase, (sigma_w2, what) in said.items()
    ]


def exploding_claims(laws: pd.DataFrame) -> list[Claim]:
    """Nothing to explode where there is one layer."""
    deep = laws[(laws.part != "exploding") | (laws.depth > 1)]
    grown = over_seeds(deep, "exploding")
    layers = deep.depth.loc[grown.index] - 1
    return [
        Claim(
            name="exploding",
            statement="ReLU with k times He's variance: the first layer's squared gradient is k^(L−1) times the last's.",
            source="Schoenholz 2017: χ = σ_w²/2 for ReLU; He 2015, Eq. 14",
            basis=f"Mean-field law (width → ∞), open by {FINITE_WIDTH}·(L−1)/n; Student's t over seeds.",
            control="He's variance: no explosion (log 0)",
            comparisons=grown.assign(allowance=grown.allowance * layers),
        ),
        Claim(
            name="exploding, exactly",
            statement="From the same draws, k times He's variance gives the first layer exactly k^((L−1)/2) times He's gradient.",
            source="derived: ReLU(ax) = a ReLU(x), as for He over Xavier",
            basis="An identity; √(n·L) roundings of size u are its error. Shown as a share of the predicted factor.",
            control="k^(L/2): one factor more",
            comparisons=of(deep, "exploding", "farthest"),
        ),
    ]


def lookalike_claim(laws: pd.DataFrame) -> Claim:
    """1 − c is open by 2.5/n of itself, at any depth: its mean, unlike that of its logarithm, has no term in depth/width."""
    frame = over_seeds(laws, "lookalike")
    return Claim(
        name="all inputs look alike",
        statement="Deep ReLU networks see all inputs in one direction: their correlation c goes to 1, layer by layer as "
        "c → (√(1−c²) + (π − arccos c)c)/π.",
        source="Cho & Saul 2009; Poole 2016; He's weights",
        basis=f"Mean-field map (width → ∞), 1 − c open by {FINITE_WIDTH}/n of itself; Student's t over networks.",
        control="a linear network's map: c stays as it is",
        comparisons=frame.assign(allowance=frame.allowance * (1 - frame.predicted)),
    )
