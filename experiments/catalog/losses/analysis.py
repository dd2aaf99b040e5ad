"""From measured numbers to claims: identities to rounding, laws of rounding, and what is learned from a wrong answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.catalog.losses import exact, laws
from experiments.catalog.losses.common import worst
from experiments.claims import Claim
from experiments.experiment import Analysis, Tables

if TYPE_CHECKING:
    from experiments.catalog.losses import Options

UNIT = 2.0**-53
COLUMNS = {  # of the tables that the parts make: what is left of one if all its cells fail
    "identities": ["identity", "backend", "condition", "measured", "predicted", "standard_error"],
    "guessing": ["data", "classes", "kind", "backend", "examples", "measured", "shares"],
    "accuracy": ["dtype", "backend", "form", "y", "side", "z", "value", "exact", "error", "kind"],
    "digits": ["dtype", "backend", "form", "y", "side", "count", "measured", "standard_error"],
    "thresholds": ["dtype", "backend", "step", "measured", "spacing"],
    "signal": ["loss", "backend", "z", "measured"],
    "starts": ["seed", "loss", "backend", "scale", "value"],
    "escape": ["loss", "backend", "wrong", "steps", "z"],
    "training": ["part", "step", "start", "seed", "on", "loss", "backend", "value"],
}
NEXT_STEPS = (
    "`--wrong 7 8`: squared error needs e⁸/2, some 1500 units of time, cross-entropy nine.",
    "`--saturation 1`: the two starts become one, and the claim that it is the saturation has nothing left to show.",
    "`--rate 0.5`: steps far too large for gradient flow; does the first correction still tell the time?",
    '`python -c "import torch; print(torch.nn.BCEWithLogitsLoss()(torch.tensor(-40.), torch.tensor(0.)))"`: 0, where e⁻⁴⁰ is meant.',
)


def analyse(tables: Tables, options: Options) -> Analysis:
    """Cells that failed leave their tables out, and their claims without data."""
    given = {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in COLUMNS.items()}
    signal = given["signal"].assign(standard_error=0.0)
    for loss in signal.loss.unique():
        chosen = signal.loss == loss
        signal.loc[chosen, "predicted"] = laws.slope(loss, signal.z[chosen])
        signal.loc[chosen, "standard_error"] = laws.slope_error(loss, signal.z[chosen])
    starts, times, curves = (
        random_starts(given["starts"]),
        escape_times(given["escape"], options.rate),
        learning(given["training"]),
    )
    claims = [
        *exact.claims(given),
        signals(signal),
        start_signals(starts),
        escapes(times),
        *training(given["training"]),
    ]
    derived = {"signal": signal, "random_starts": starts, "times": times, "curves": curves}
    return Analysis(derived, claims, partial(finding, times=times), NEXT_STEPS, printed="times")


def signals(signal: pd.DataFrame) -> Claim:
    rows = []
    other = {"cross-entropy": "squared error", "squared error": "cross-entropy"}
    for (loss, backend), one in signal.groupby(["loss", "backend"], sort=False):
        control = laws.slope(other[str(loss)], one.z.to_numpy())
        found = worst(one.measured.to_numpy(), one.predicted.to_numpy(), one.standard_error.to_numpy(), control)
        rows.append({"backend": backend, "condition": loss} | found)
    return Claim(
        "signal of a wrong answer",
        "Cross-entropy teaches a sigmoid unit by a − y, squared error by 2(a − y)·a(1 − a), which vanishes where the unit is surely wrong.",
        "chain rule",
        "Over z from −20 to 10; the rounding of a, which 1 − a does not forget, counts as the standard error.",
        "the other loss's signal",
        pd.DataFrame(rows),
    )


def random_starts(starts: pd.DataFrame) -> pd.DataFrame:
    """Mean over the starts, its error, and the expectation."""
    grouped = starts.groupby(["loss", "backend", "scale"], sort=False).value
    table = pd.DataFrame(
        {"measured": grouped.mean(), "standard_error": grouped.sem(), "dof": grouped.count() - 1}
    ).reset_index()
    known = {pair: laws.random_signal(*pair) for pair in set(zip(table.loss, table.scale, strict=True))}
    return table.assign(predicted=[known[pair] for pair in zip(table.loss, table.scale, strict=True)])


def start_signals(table: pd.DataFrame) -> Claim:
    crossed = table.loss.map({"cross-entropy": "squared error", "squared error": "cross-entropy"})
    known = dict(zip(zip(table.loss, table.scale, strict=True), table.predicted, strict=True))
    return Claim(
        "signal of random starts",
        "The larger the random weights of logistic regression, the less of squared error's signal is left: only examples near z = 0 "
        "send any. Cross-entropy's tends to ½: every wrong answer sends all of it.",
        "z is exactly normal over random weights",
        "E (n·∂J/∂z)² by quadrature on breast_cancer; Student's t over the starts.",
        "the other loss's expectation",
        table.assign(
            condition=table.loss + ", scale " + table.scale.astype(str),
            control_predicted=[known[pair] for pair in zip(crossed, table.scale, strict=True)],
        ),
    )


def escape_times(found: pd.DataFrame, rate: float) -> pd.DataFrame:
    """Time to z = 0, carried there by the law from where the last step ended."""
    rows = found.assign(
        measured=np.nan, predicted=np.nan, flow=np.nan, standard_error=np.nan, allowance=laws.late_again(rate)
    )
    for loss, one in found.groupby("loss"):
        z, far = one.z.to_numpy(float), one.wrong.to_numpy(float)
        late, whole = (laws.late(str(loss), at, far, rate) for at in (z, 0 * z))
        flow = np.array([laws.needed(str(loss), w) for w in far])
        rows.loc[one.index, "flow"] = flow
        rows.loc[one.index, "predicted"] = flow + whole
        rows.loc[one.index, "measured"] = (
            rate * one.steps - (laws.clock(str(loss), z) - laws.clock(str(loss), 0.0)) - late + whole
        )
        # every step rounds z by u·s, which at the start counts for most on the clock
        rows.loc[one.index, "standard_error"] = UNIT * far * np.sqrt(one.steps) / np.abs(laws.slope(str(loss), -far))
    return rows


def escapes(times: pd.DataFrame) -> Claim:
    other = {"cross-entropy": "squared error", "squared error": "cross-entropy"}
    return Claim(
        "time to unlearn",
        "A unit wrong by s needs 1 + s − e^−s under cross-entropy, but about e^s/2 under squared error (learning rate × steps).",
        "gradient flow, ∫ dz/−(∂J/∂z)",
        "Closed form, and the first correction for steps of finite size, (η/2) ln f; the second, 0.4·η²/12 at most, is allowed for.",
        "the other loss's time",
        times.assign(
            condition=times.loss + ", s = " + times.wrong.astype(str),
            control_predicted=[laws.needed(other[loss], w) for loss, w in zip(times.loss, times.wrong, strict=True)],
        ),
    )


def learning(training: pd.DataFrame) -> pd.DataFrame:
    grouped = training.groupby(["on", "part", "loss", "start", "backend", "step"], sort=False).value
    return pd.DataFrame({"measured": grouped.mean(), "standard_error": grouped.sem()}).reset_index()


def training(table: pd.DataFrame) -> list[Claim]:
    """Accuracy on the training set, averaged over all looks at a run: pairs of the same start and the same batches."""
    own = table[table.part == "training"]
    area = own.groupby(["on", "backend", "start", "seed", "loss"], sort=False).value.mean().unstack("loss")
    area = area.reindex(columns=["cross-entropy", "squared error"])
    gap = (
        (area["cross-entropy"] - area["squared error"])
        .astype(float)
        .unstack("start")
        .reindex(columns=["plain", "saturated"])
    )
    basis = "Accuracy on the training set, averaged over the run; differences of pairs, Student's t over seeds."
    slow = Claim(
        "slow start",
        "From saturated starts networks learn sooner by cross-entropy than by squared error, at rates that are equally fast at z = 0.",
        "time to unlearn",
        basis,
        "the losses exchanged",
        paired(gap["saturated"]),
        "at least",
    )
    more = Claim(
        "it is the saturation",
        "From plain starts of the same seeds the advantage is smaller.",
        "time to unlearn",
        basis,
        "the starts exchanged",
        paired(gap["saturated"] - gap["plain"]),
        "at least",
    )
    return [slow, more, literally(own)]


def paired(values: pd.Series) -> pd.DataFrame:
    """Mean and standard error over seeds, against 0; the control is the opposite difference."""
    grouped = values.rename("value").groupby(["on", "backend"], sort=False)
    table = pd.DataFrame(
        {"measured": grouped.mean(), "standard_error": grouped.sem(), "dof": grouped.count() - 1}
    ).reset_index()
    return table.assign(condition=table.on, predicted=0.0, control_measured=-table.measured)


def literally(own: pd.DataFrame) -> Claim:
    """Accuracy after the last step, against the share of yes, which whoever always says yes gets right."""
    last = own[(own.on == "breast_cancer") & (own.start == "plain") & (own.step == own.step.max())]
    grouped = last.groupby(["backend", "loss"], sort=False).value
    table = pd.DataFrame({"measured": grouped.mean(), "standard_error": grouped.sem()}).reset_index()
    control = table[table.loss == "cross-entropy"].set_index("backend")
    rows = table[table.loss == "read literally"].copy()
    return Claim(
        "read literally, it teaches to say yes",
        "Where the minus stands before the first term alone, every example pushes towards 1, without end: networks become no better "
        "than one that always says yes.",
        exact.NOTES,
        "∂J/∂z is a − 1 for yes and −a for no, both negative; the share of yes in the data, standard error over seeds.",
        "cross-entropy with the brackets",
        rows.assign(
            condition="breast_cancer",
            predicted=laws.share_of_yes(),
            control_measured=rows.backend.map(control.measured),
            control_error=rows.backend.map(control.standard_error),
        ),
        "at most",
    )


def finding(claims: pd.DataFrame, *, times: pd.DataFrame) -> str:
    """Two or three sentences."""
    verdict = f"{(claims.verdict == 'holds').sum()} of {len(claims)} claims hold in both implementations."
    ours = times[times.backend == "scratch"]
    if ours.empty:
        return verdict
    far = ours.wrong.max()
    most = ours[ours.wrong == far].set_index("loss").measured
    return (
        f"A sigmoid unit that starts surely wrong (z = −{far:g}) is put right by cross-entropy in {most['cross-entropy']:.3g} units of "
        f"time, by squared error in {most['squared error']:.3g}: p − y does not fade where the answer is wrong, and a(1 − a) does. "
        "The notes' formula, computed as written, gives ∞ or NaN from z = 36.7 on (float32: 16.6); from logits it is right "
        f'everywhere, though PyTorch\'s form rounds a right "no" more coarsely than the naive one. {verdict}'
    )
