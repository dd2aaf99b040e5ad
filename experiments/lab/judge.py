"""A claim: what is stated, what it predicts, what both implementations measured, a control that must fail, the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 4.0  # standard errors; for n comparisons in one claim the limit rises so that a false alarm stays as rare
HOLDS, FAILS, CANNOT_TELL, NOT_TESTED = "holds", "fails", "cannot tell", "not tested"
NAMED = 5  # conditions without power that the table of claims names
Test = Literal["equals", "at least", "at most"]


@dataclass(frozen=True)
class Claim:
    """One statement to be held against measurements.

    ``comparisons`` has one row for each backend and condition: backend, condition, measured, standard_error, predicted, and
    optionally dof (Student's t instead of the normal law), tolerance (what theory itself leaves open, explained in
    ``basis``), and control_measured, control_predicted, control_error where the control differs from the claim in them.
    """

    name: str
    statement: str
    source: str
    basis: str  # where the prediction and its uncertainty come from
    control: str  # what must fail the same test
    comparisons: pd.DataFrame
    test: Test = "equals"
    otherwise: str = "nothing to compare"  # the condition of a claim without comparisons


def judge(claims: list[Claim]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of claims, one row each (its worst comparison), and the table of all comparisons with their z.

    A comparison counts where its control fails the test: elsewhere it could not have told right from wrong. A claim holds if no
    comparison lies beyond the limit and, in both implementations, some count; it "cannot tell" if none does. ``resolution`` is the
    deviation that the shown comparison would have noticed, in the unit of what is measured; ``blind`` names the conditions that do
    not count, ``more_seeds`` by how much their number would have to grow before the weakest of them did (∞: never).
    """
    import pandas as pd

    verdicts, details = [], []
    for claim in claims:
        said = {"claim": claim.name, "statement": claim.statement, "test": claim.test}
        known = {"control": claim.control, "source": claim.source, "basis": claim.basis}
        if claim.comparisons.empty:  # its cells failed, or the options leave it nothing to compare
            verdicts.append(said | {"condition": claim.otherwise, "comparisons": 0, "verdict": NOT_TESTED} | known)
            continue
        table = _scored(claim)
        limit = critical_value(table.groupby("backend").size().max())
        worst = {backend: rows.loc[rows.z.abs().idxmax()] for backend, rows in table.groupby("backend")}
        leading = max(worst.values(), key=lambda row: abs(row.z))
        shown = {
            backend: rows[rows.condition == leading.condition].iloc[0] for backend, rows in table.groupby("backend")
        }
        holds = bool((table.z.abs() <= limit).all())
        table["counts"] = table.control_z.abs() > limit
        told = bool(table.groupby("backend").counts.any().all())
        verdict = FAILS if not holds else HOLDS if told else CANNOT_TELL
        blind = table[~table.counts]
        verdicts.append(
            said
            | {
                "condition": leading.condition,
                "predicted": leading.predicted,
                **{backend: row.measured for backend, row in shown.items()},
                "standard_error": leading.standard_error,
                "tolerance": leading.tolerance,
                **{f"z_{backend}": row.z for backend, row in shown.items()},
                "comparisons": len(table),
                "critical_value": limit,
                "control": claim.control,
                "control_z": table.control_z.abs().max(),
                "resolution": _noticed(leading, limit),
                "counting": int(table.counts.sum()),
                "blind": _named(blind.condition),
                "more_seeds": float(((limit / blind.control_z.abs()) ** 2).max()) if len(blind) else 1.0,
                "verdict": verdict,
            }
            | known
        )
        details.append(table.assign(claim=claim.name))
    columns = None if verdicts else ["claim", "verdict"]
    compared = pd.concat(details, ignore_index=True) if details else pd.DataFrame(columns=["claim"])
    return pd.DataFrame(verdicts, columns=columns), compared


def _scored(claim: Claim) -> pd.DataFrame:
    table = claim.comparisons.reset_index(drop=True).copy()
    for column, default in {
        "dof": np.inf,
        "tolerance": 0.0,
        "control_measured": table.measured,
        "control_predicted": table.predicted,
        "control_error": table.standard_error,
    }.items():
        if column not in table:
            table[column] = default
    table["z"] = z_score(table.measured, table.predicted, table.standard_error, table.dof, table.tolerance, claim.test)
    table["control_z"] = z_score(
        table.control_measured, table.control_predicted, table.control_error, table.dof, table.tolerance, claim.test
    )
    table.loc[table.control_measured.isna(), "control_z"] = 0.0  # a control that gave no number failed nothing
    return table


def z_score(measured, predicted, error, dof, tolerance, test: Test) -> np.ndarray:
    """How many standard errors the measurement lies beyond what the claim allows; 0 where it lies within.

    With few degrees of freedom, the normal deviate that is as improbable as Student's t.
    """
    measured, predicted, error, dof, tolerance = (
        np.asarray(a, float) for a in (measured, predicted, error, dof, tolerance)
    )
    beyond = measured - predicted
    beyond = np.sign(beyond) * np.maximum(np.abs(beyond) - tolerance, 0)
    if test != "equals":
        beyond = np.minimum(beyond, 0) if test == "at least" else np.maximum(beyond, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(beyond == 0, 0.0, beyond / error)
    t = np.where(np.isfinite(measured) & np.isfinite(predicted) & ~np.isnan(error), t, np.inf)
    tail = stdtr(np.where(np.isfinite(dof), dof, 1), -np.abs(t))  # of Student's t; 1e-300 is as far as it can be told
    normal = np.where(np.isfinite(dof), -ndtri(np.maximum(tail, 1e-300)), np.abs(t))
    return np.sign(t) * np.where(np.isinf(t), np.inf, np.where(np.abs(t) < 1e-9, 0.0, normal))


def _noticed(row: pd.Series, limit: float) -> float:
    """The smallest deviation of this comparison that would have been beyond the limit."""
    deviation = float(stdtrit(row.dof, ndtr(limit))) if np.isfinite(row.dof) else limit
    return float(row.tolerance + deviation * row.standard_error)


def _named(conditions: pd.Series) -> str:
    names = list(dict.fromkeys(conditions))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return "; ".join(names[:NAMED]) + more


def critical_value(comparisons: int) -> float:
    """Standard errors beyond which one of so many comparisons fails the claim: a false alarm stays as rare as one at LIMIT."""
    return float(-ndtri(ndtr(-LIMIT) / comparisons))
