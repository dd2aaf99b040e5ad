"""From rows to claims: identities to rounding, and Taylor's bound. What is measured over seeds stands in overfitting.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.catalog.dropout import NETWORKS, laws
from experiments.catalog.dropout.overfitting import choices, final, overfitting_claims, summaries
from experiments.catalog.dropout.parts import DRAWN, descent_rate, logistic, standardised, weights
from experiments.claims import Claim
from experiments.experiment import Analysis, Tables

if TYPE_CHECKING:
    from experiments.catalog.dropout import Options

ROUNDING = 2.0**-53
MASKS = 2**10  # of the ten measurements of a patient
COLUMNS = {
    "expected": ["backend", "keep", "value"],
    "outputs": ["backend", "keep", "quantity", "patient", "value"],
    "coefficients": ["backend", "keep", "feature", "value", "steps"],
    "sampled": ["backend", "keep", "feature", "value", "standard_error", "dof"],
    "geometric": ["backend", "network", "keep", "geometric", "arithmetic", "largest"],
    "penalty": ["backend", "rate", "stretch", "value", "loss"],
    "measurements": ["backend", "wrong", "keep", "step", "quantity", "seed", "value"],
    "agreement": ["part", "condition", "step", "layer", "quantity", "difference", "relative", "bound", "ratio"],
}
NEXT_STEPS = (
    "`--examples 1000`: more digits overfit less, and dropout has less to mend.",
    "`--wrong 0 0.1 0.2 0.4`: the more labels are wrong, the more there is to forget, and the fewer units should be kept.",
    "`--steps 2000`: without dropout the test loss goes on rising; early stopping is the rival to compare with.",
    "`--features 14`: 16 384 masks. Dropout's noise is a sum over more features, and Wager's approximation improves.",
)


def analyse(tables: Tables, options: Options) -> Analysis:
    tables = {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in COLUMNS.items()}
    coefficients = ridge_path(tables["coefficients"], options.patients)
    sampled = drawn(tables["sampled"], options.patients)
    penalties = taylor(tables["penalty"], options)
    regularized, curves = summaries(tables["measurements"])
    claims = [
        expected_claim(tables["expected"], options.patients),
        *output_claims(tables["outputs"], options.patients),
        ridge_claim(coefficients, options.patients),
        sampled_claim(sampled),
        geometric_claim(tables["geometric"], options.features),
        penalty_claim(penalties, options.features),
    ]
    finals = final(tables["measurements"])
    if max(options.wrong) > 0:
        claims += overfitting_claims(finals, max(options.wrong))
    derived = {"coefficients": coefficients, "sampled": sampled, "penalty": penalties, "agreement": tables["agreement"]}
    derived["geometric"] = tables["geometric"]
    derived |= {"path": path(options.patients), "regularized": regularized, "curves": curves, "chosen": choices(finals)}
    return Analysis(derived, claims, partial(finding, coefficients, derived["chosen"], penalties), NEXT_STEPS, "chosen")


# --- linear regression -----------------------------------------------------------------------------------------------------


def reach(x: np.ndarray, w: np.ndarray, keep: float) -> np.ndarray:
    """The largest output under any mask, example by example: what its rounding is in proportion to."""
    return (abs(w) @ abs(x))[0] / keep


def expected_claim(expected: pd.DataFrame, patients: int) -> Claim:
    batch, rows = standardised(patients), []
    for row in expected.itertuples():
        w, keep = (
            weights(row.keep) / row.keep,
            row.keep,
        )  # the layer's factor 1/p in the weights, as the literature has it
        predicted = laws.expected_loss(batch.x, batch.y, w, keep)
        size = reach(batch.x, weights(keep), keep) + abs(batch.y[0])
        rows.append(
            {
                "backend": row.backend,
                "condition": f"keep {keep:g}",
                "measured": row.value,
                "predicted": predicted,
                "standard_error": ROUNDING * (8 * (size**2).mean() + np.sqrt(patients + MASKS) * predicted),
                "control_predicted": float(((batch.y - keep * w @ batch.x) ** 2).mean()),
            }
        )
    return Claim(
        "dropout is a ridge penalty",
        "The squared error, averaged over all 1024 masks, is that of the plain model plus p(1−p)‖Γw‖²: exactly.",
        "Srivastava 2014, section 9.1",
        "All masks, each with its probability. Standard error: rounding, u times some 16 operations a residual (√16 = 4, twice for the "
        "square) and √(patients + masks) for the sums.",
        "without the penalty",
        pd.DataFrame(rows),
    )


def output_claims(outputs: pd.DataFrame, patients: int) -> list[Claim]:
    """Mean and variance of the output over all masks; the patient who is farthest off, for each p."""
    batch, found = standardised(patients), []
    for (backend, keep, quantity), rows in outputs.groupby(["backend", "keep", "quantity"], sort=False):
        w, few = weights(keep), batch.x[:, rows.patient.to_numpy(int)]
        size = reach(few, w, keep)
        law = (w @ few)[0] if quantity == "mean" else laws.spread(few, w, keep)[0]
        lost = keep if quantity == "mean" else keep**2  # what forgetting the 1/p does to it
        error = ROUNDING * (4 + np.sqrt(MASKS)) * (size if quantity == "mean" else 4 * size**2)
        k = int(np.argmax(abs(rows.value - law) / error))
        found.append(
            {
                "backend": backend,
                "condition": f"keep {keep:g}",
                "quantity": quantity,
                "measured": rows.value.iloc[k],
                "predicted": law[k],
                "standard_error": error[k],
                "control_measured": lost * rows.value.iloc[k],
            }
        )
    frame = pd.DataFrame(found, columns=[*found[0]] if found else ["backend", "condition", "quantity"])
    said = {
        "mean": "The output's mean over all masks is the output without dropout: nothing is to be scaled after training.",
        "variance": "Its variance over the masks is (1−p)/p Σ w²x².",
    }
    basis = "All 1024 masks, 20 patients, the one farthest off. Standard error: rounding of the 10 products, then of the sum over masks."
    return [
        Claim(
            f"{quantity} of the output",
            sentence,
            "E r/p = 1, Var r/p = (1−p)/p",
            basis,
            "without the factor 1/p",
            frame[frame["quantity"] == quantity].drop(columns="quantity"),
        )
        for quantity, sentence in said.items()
    ]


def ridge_path(coefficients: pd.DataFrame, patients: int) -> pd.DataFrame:
    """Ridge's closed form, and least squares, beside every trained weight."""
    batch = standardised(patients)
    path = {keep: laws.ridge(batch.x, batch.y, keep)[0] for keep in {*coefficients.keep, 1.0}}
    known = [path[row.keep][row.feature] for row in coefficients.itertuples()]
    plain = [path[1.0][row.feature] for row in coefficients.itertuples()]
    return coefficients.assign(predicted=known, least_squares=plain)


def path(patients: int) -> pd.DataFrame:
    """Ridge's weights, and those after a while of drawn masks, for every p: the lines of the figure."""
    batch, rows = standardised(patients), []
    for keep in [*np.linspace(0.05, 0.9, 52), *(1 - np.geomspace(0.09, 1e-4, 24)), 1.0]:  # close where it bends
        ends = laws.ridge(batch.x, batch.y, keep)[0]
        way = laws.descended(batch.x, batch.y, keep, descent_rate(batch, keep), DRAWN)[0]
        rows += [{"keep": keep, "feature": k, "ridge": ends[k], "drawn": way[k]} for k in range(len(ends))]
    return pd.DataFrame(rows)


def ridge_claim(coefficients: pd.DataFrame, patients: int) -> Claim:
    batch, rows = standardised(patients), []
    for (backend, keep), w in coefficients.groupby(["backend", "keep"], sort=False):
        curved = laws.penalized(batch.x, keep)
        right = np.sqrt((batch.x**2).sum() * (batch.y**2).sum())
        moved = np.trace(curved) * np.linalg.norm(w.predicted) + right  # by how much, in units of √k·u, the equations
        rows.append(
            {
                "backend": backend,
                "condition": f"keep {keep:g}",
                "measured": np.linalg.norm(w.value - w.predicted),
                "predicted": 0.0,
                "standard_error": np.sqrt(11 * MASKS) * ROUNDING * moved / np.linalg.eigvalsh(curved)[0],
                "control_measured": np.linalg.norm(w.value - w.least_squares),
            }
        )
    return Claim(
        "trained with dropout: ridge",
        "Gradient descent on the squared error with dropout, averaged over all masks, ends at ridge's closed form.",
        "Srivastava 2014, section 9.1",
        "Distance of the ten weights. Standard error: all data moved by √k·u, k = 11·1024 columns, through the equations' inverse.",
        "the distance from least squares",
        pd.DataFrame(rows),
    )


def drawn(sampled: pd.DataFrame, patients: int) -> pd.DataFrame:
    """The exact mean of training with masks that are drawn, beside the mean over the runs."""
    batch = standardised(patients)
    known = {
        keep: laws.descended(batch.x, batch.y, keep, descent_rate(batch, keep), DRAWN)[0] for keep in {*sampled.keep}
    }
    plain = laws.ridge(batch.x, batch.y, 1.0)[0]
    return sampled.assign(
        predicted=[known[row.keep][row.feature] for row in sampled.itertuples()],
        least_squares=[plain[row.feature] for row in sampled.itertuples()],
    )


def sampled_claim(sampled: pd.DataFrame) -> Claim:
    frame = sampled.rename(columns={"value": "measured", "least_squares": "control_predicted"})
    frame["condition"] = [f"keep {row.keep:g}, weight {row.feature + 1}" for row in frame.itertuples()]
    return Claim(
        "drawn masks, on average",
        f"With masks drawn at every step, the mean weights after {DRAWN} steps are those of descent on ridge's objective.",
        "a step is linear in the weights, and the next mask independent of them",
        "Mean over independent runs, Student's t. The prediction is exact at every step, not only in the end.",
        "least squares",
        frame.drop(columns=["keep", "feature"]),
    )


# --- classification under all masks ----------------------------------------------------------------------------------------


def geometric_claim(geometric: pd.DataFrame, features: int) -> Claim:
    exact = geometric[geometric.network != NETWORKS[-1]]
    below = geometric[geometric.network == NETWORKS[-1]].set_index(["backend", "keep"]).geometric
    other = below.reindex(pd.MultiIndex.from_frame(exact[["backend", "keep"]])).to_numpy()
    frame = pd.DataFrame(
        {
            "backend": exact.backend,
            "condition": exact.network + ", keep " + exact.keep.astype(str),
            "measured": exact.geometric,
            "predicted": 0.0,
            "standard_error": ROUNDING * np.sqrt(2.0**features) * exact.largest,
            "control_measured": np.where(exact.network == NETWORKS[0], exact.arithmetic, other),
        }
    )
    return Claim(
        "scaling is a geometric mean",
        "Without dropout the network gives the normalized geometric mean of all thinned networks, if all above dropout is linear.",
        "Hinton 2012; Srivastava 2014",
        "Largest difference of any log-probability. Standard error: √(2ⁿ)·u, for the sum over 2ⁿ masks, times the largest of them.",
        "softmax regression: the arithmetic mean; the others: dropout below a hidden tanh layer",
        frame,
    )


def taylor(penalty: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Wager's approximation, the next term and what is left open, beside every penalty; ratios to the approximation."""
    batch, beta, bias = logistic(options.features, options.images)
    known = []
    for row in penalty.itertuples():
        b = row.stretch * beta
        known.append(
            {
                "quadratic": laws.quadratic(batch.x, b, bias, row.rate),
                "cubic": laws.cubic(batch.x, b, bias, row.rate),
                "open": laws.left_open(batch.x, b, row.rate),
                "flat": laws.quadratic(batch.x, b, bias, row.rate, curved=False),
            }
        )
    terms = pd.DataFrame(known, index=penalty.index, columns=["quadratic", "cubic", "open", "flat"])
    return penalty.assign(**terms, ratio=penalty.value / terms.quadratic)


def penalty_claim(penalties: pd.DataFrame, features: int) -> Claim:
    predicted = penalties.quadratic + penalties.cubic
    frame = pd.DataFrame(
        {
            "backend": penalties.backend,
            "condition": [f"δ = {row.rate:g}, weights times {row.stretch:g}" for row in penalties.itertuples()],
            "measured": penalties.value,
            "predicted": predicted,
            "allowance": penalties.open,
            "standard_error": ROUNDING * np.sqrt(2.0**features) * (2 * penalties.loss + penalties.value),
            "control_predicted": penalties.flat + penalties.cubic,
        }
    )
    return Claim(
        "Wager's penalty",
        "Logistic regression: dropout adds ½ δ/(1−δ) Σ A″x²β², and the third-order term, up to what Taylor's remainder leaves open.",
        "Wager, Wang & Liang 2013",
        "All 2ⁿ masks. Allowance: the remainder's bound max|A⁗| E ε⁴/24, worked out from the weights; nothing is fitted.",
        "A″ = ¼ everywhere: an ordinary L2 penalty",
        frame,
    )


def finding(coefficients: pd.DataFrame, chosen: pd.DataFrame, penalties: pd.DataFrame, claims: pd.DataFrame) -> str:
    """In plain words, from whatever was measured."""
    said: list[str] = []
    ours = chosen[chosen.backend == "scratch"]
    for share, rows in sorted(ours.groupby("labels wrong"), reverse=True):
        loss, error = (rows.set_index("quantity").loc[name] for name in ("test loss", "test error"))
        if not said:
            told = loss.gain > 4 * loss.standard_error
            said.append(
                f"Dropout {'helps' if told else 'does not measurably help'} a network that can learn its training set by heart."
            )
        said.append(
            f"With {share:.0%} of the training labels wrong, keeping {loss.keep:.0%} of the hidden units takes the test loss from "
            f"{loss.none:.2f} to {loss.dropout:.2f} (gain {loss.gain:.3f} ± {loss.standard_error:.3f}) and, at its own best keep, the test "
            f"error from {error.none:.1%} to {error.dropout:.1%}."
        )
    half = coefficients[(coefficients.backend == "scratch") & (coefficients.keep == 0.5)]
    if len(half):
        size = np.linalg.norm(half.predicted)
        far = np.linalg.norm(half.least_squares - half.predicted) / size
        near = np.linalg.norm(half.value - half.predicted) / size
        said.append(
            f"It is a penalty in disguise: a linear model trained with p = ½ ends at ridge regression's closed form (to {near:.0e}), "
            f"where least squares is {far:.0%} off."
        )
    rare = penalties[(penalties.rate == penalties.rate.min()) & (penalties.backend == "scratch")]
    if len(rare):
        strong, weak = rare.loc[rare.stretch.idxmax()], rare.loc[rare.stretch.idxmin()]
        said.append(
            f"Wager's penalty is an approximation for small weights, not for rare dropout: at δ = {strong.rate:g} the true one is "
            f"{strong.ratio:.2f} times as large, with weights a quarter as large {weak.ratio:.2f} times."
        )
    return " ".join(said) or f"{(claims.verdict == 'holds').sum()} claims hold; too little was measured to say more."
