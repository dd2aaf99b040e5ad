"""What does dropout do on average?

For a linear model exactly: all masks, each with its probability. The mean output is the one without dropout, and the mean
loss has a penalty.
"""

import numpy as np

from experiments.lab import Array, Claim, Claims, Cost, Frame, Lab, cells, claims, compare
from scratch import Snapshot, SquaredError
from scratch.randomness import generator
from . import laws
from .shared import MASKS, ROUNDING, all_masks, chances, linear, standardised, under_all

SHOWN = 20  # patients whose outputs are reported one by one


def weights(keep: float) -> Array:
    """Some weights (1, 10), others for every p: the identities are to hold at any."""
    return generator(0, "weights", str(keep)).standard_normal((1, 10))


@cells(
    lambda options: [{"keep": keep} for keep in options.ridge_keeps if keep < 1],
    makes=("expected", "outputs"),
    cost=Cost(0.7, 280),
)
def identity(lab: Lab, keep: float, patients: int) -> dict[str, Frame]:
    """The loss under every mask, averaged with the masks' probabilities; the output's mean and variance likewise."""
    shots = under_all(lab, linear(keep), SquaredError(), ({}, {"W": weights(keep)}), standardised(patients))
    chance = chances(all_masks(10), keep)
    losses = [{"backend": name, "keep": keep, "value": chance @ shot.loss} for name, shot in shots.items()]

    def moments(shot: Snapshot) -> Array:
        z = shot.outputs[-1][:, 0, :SHOWN]
        mean = chance @ z
        return np.array([mean, chance @ (z - mean) ** 2])

    axes = {"quantity": ["mean", "variance"], "patient": range(SHOWN)}
    return {"expected": Frame(losses), "outputs": lab.rows(shots, moments, axes)}


def reach(x: Array, w: Array, keep: float) -> Array:
    """The largest output under any mask, example by example: what its rounding is in proportion to."""
    return (abs(w) @ abs(x))[0] / keep


@claims
def of_the_loss(expected: Frame, patients: int) -> Claims:
    batch, known = standardised(patients), []
    for keep in expected.keep:
        w = weights(keep) / keep  # the layer's factor 1/p in the weights, as the literature has it
        size = reach(batch.x, weights(keep), keep) + abs(batch.y[0])
        plain = ((batch.y - keep * w @ batch.x) ** 2).mean()
        known.append((laws.expected_loss(batch.x, batch.y, w, keep), 8 * (size**2).mean(), plain))
    predicted, squares, plain = np.array(known).reshape(-1, 3).T
    yield Claim(
        name="dropout is a ridge penalty",
        statement="The squared error, averaged over all 1024 masks, is that of the plain model plus p(1−p)‖Γw‖²: exactly.",
        source="Srivastava 2014, section 9.1",
        basis="All masks, each with its probability. Standard error: rounding, u times some 16 operations a residual (√16 = 4, "
        "twice for the square) and √(patients + masks) for the sums.",
        control="without the penalty",
        comparisons=compare(
            expected,
            "keep {keep:g}",
            measured=expected.value,
            predicted=predicted,
            standard_error=ROUNDING * (squares + np.sqrt(patients + MASKS) * predicted),
            control_predicted=plain,
        ),
    )


@claims
def of_the_output(outputs: Frame, patients: int) -> Claims:
    """Mean and variance over all masks; the patient who is farthest off, for each p."""
    for quantity, power, statement in (
        (
            "mean",
            1,
            "The output's mean over all masks is the output without dropout: nothing is to be scaled after training.",
        ),
        ("variance", 2, "Its variance over the masks is (1−p)/p Σ w²x²."),
    ):
        rows = farthest(outputs[outputs.quantity == quantity], standardised(patients).x[:, range(SHOWN)], power)
        yield Claim(
            name=f"{quantity} of the output",
            statement=statement,
            source="E r/p = 1, Var r/p = (1−p)/p",
            basis="All 1024 masks, 20 patients, the one farthest off. Standard error: rounding of the 10 products, then of the sum "
            "over masks.",
            control="without the factor 1/p",
            comparisons=compare(rows, "keep {keep:g}", control_measured=rows.keep**power * rows.measured),
        )


def farthest(rows: Frame, x: Array, power: int) -> Frame:
    """The law of the output's mean, or of its variance (``power`` 2), beside the patient who lies farthest from it."""
    known = {}
    for keep in rows.keep.unique():
        w = weights(keep)
        law, size = ((w @ x)[0], 1) if power == 1 else (laws.spread(x, w, keep)[0], 4)
        known[keep] = law, ROUNDING * (4 + np.sqrt(MASKS)) * (size * reach(x, w, keep) ** power)
    at = list(zip(rows.keep, rows.patient, strict=True))
    rows = rows.assign(
        measured=rows.value,
        predicted=[known[keep][0][patient] for keep, patient in at],
        standard_error=[known[keep][1][patient] for keep, patient in at],
    )
    off = abs(rows.measured - rows.predicted) / rows.standard_error
    return rows.loc[off.groupby([rows.backend, rows.keep], sort=False).idxmax()]
