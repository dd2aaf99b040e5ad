"""How many digits does the formula lose before it breaks?

As many as e^|z| has, written as it stands: a single rounding is to blame. From logits none; but PyTorch's form loses some of a right
"no".
"""

import numpy as np

from experiments.lab import Claim, Claims, Cost, Frame, Lab, cells, claims, compare, each
from scratch.randomness import generator
from .shared import CASES, PRECISIONS, binary_exact, both_forms, logits, off

LOST = {"float64": (20.0, 30.0), "float32": (10.0, 12.5)}  # logits at which many digits are lost, but not all


@cells(each(precision=PRECISIONS), cost=Cost(0.5, 7))
def digits(lab: Lab, precision: str, draws: int) -> Frame:
    """Mean square of the error of J in units of u, where digits are lost: of both forms.

    Where the answer is wrong, 1 − σ = e^−z, so an error δ of it is one of δ·e^z in J; that is taken out.
    """
    unit, rows = float(np.finfo(precision).eps) / 2, []
    for case, (y, side) in enumerate(CASES[:3]):
        sizes = generator(case, "digits", precision).uniform(*LOST[precision], draws)
        z = logits(sizes, y, side).astype(precision)
        exact = [binary_exact(one, y) for one in z.tolist()]
        carried = np.exp(-np.abs(z.astype(float))) if side == "wrong" else 1.0
        for name, form, values in both_forms(z, y, lab.device):
            squares = (off(values, exact) / unit * carried) ** 2
            rows.append({"dtype": precision, "backend": name, "form": form, "y": y, "side": side, "count": draws,
                         "measured": squares.mean(), "standard_error": squares.std(ddof=1) / np.sqrt(draws)})  # fmt: skip
    return Frame(rows)


def lost(y: int, side: str) -> float:
    """Mean square error of J of the naive formula, in units of u where digits are lost.

    For large z > 0 it is 1 + e^−z that is rounded, by a uniform part of ±u, and its inverse is exact but for e^−2z: σ is off by
    ±u, and the mean square of a uniform number is a third. For z < 0 and y = 0 it is 1 − σ, just below 1: ±u/2.
    """
    return 1 / 12 if (y, side) == (0, "right") else 1 / 3


def lost_by_pytorch(dtype: str) -> float:
    """The same of PyTorch's BCEWithLogitsLoss for y = 0, z ≪ 0: it subtracts z − ln(1 + e^z), rounded like |z|, from z.

    Where digits are measured, numbers like z lie 2^(5−p) apart (float64, 16 to 32), or 2^(4−p) (float32, 8 to 16).
    """
    spacing = 32 if dtype == "float64" else 16  # in units of u
    return spacing**2 / 12


@claims
def of_digits(digits: Frame) -> Claims:
    naive = digits[digits.form == "naive"]
    law = np.array(list(map(lost, naive.y, naive.side)))
    yield Claim(
        name="digits lost",
        statement="Before that, the naive formula loses digits as e^|z|: the rounding of 1 + e^−z (±u) or of 1 − σ (±u/2) is all that is "
        "wrong.",
        source="a uniform rounding error: mean square 1/3 or 1/12 in units of u²",
        basis="Mean square of J's error over random z, divided by u² (and by e^2z where the answer is wrong).",
        control="one rounding just below 1 for all (±u/2), or above 1 for all (±u)",
        comparisons=compare(naive, "{dtype}, y = {y}, {side}", predicted=law, control_predicted=5 / 12 - law),
    )


@claims
def of_right_noes(digits: Frame) -> Claims:
    """Right answers y = 0: scratch's error is some u of J itself, which is e^−20 at most, or e^−10 in float32."""
    right = digits[(digits.y == 0) & (digits.side == "right")]
    own, naive = (right[right.form == form].reset_index(drop=True) for form in ("stable", "naive"))
    theirs, largest = own.backend == "torchref", np.exp([-LOST[dtype][0] for dtype in own.dtype])
    law = np.where(theirs, own.dtype.map(lost_by_pytorch), 0.0)
    error = np.where(theirs, own.standard_error, (2 * largest) ** 2)
    yield Claim(
        name="a right no costs nothing",
        statement="For y = 0 and z ≪ 0 the loss is e^z. scratch keeps all its digits; PyTorch's stable form rounds it as coarsely as z "
        "itself, and loses more digits than the naive formula does.",
        source="PyTorch issue 195529; (1−y)z − ln σ(z)",
        basis="Mean square error in units of u²: a uniform rounding of numbers like z, spacing 32u (float32: 16u), against 2u of J itself.",
        control="the naive formula, ±u/2",
        comparisons=compare(own, "{dtype}, J", predicted=law, standard_error=error, control_measured=naive.measured),
    )
