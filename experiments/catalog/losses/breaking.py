"""Where does the notes' formula break, computed as it is written?

In exact arithmetic nowhere. In a computer's σ(z) is soon 1 and ln 0 is −∞; from logits the same formula, rearranged, is right
everywhere.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

import scratch as s
from experiments.lab import Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, compare, each, figure, stacked
from experiments.lab.figures import COLOURS, RING, key, panels
from .shared import CASES, PRECISIONS, UNIT, alone, binary_exact, both_forms, logits, off

GRID = np.geomspace(0.1, 1e4, 121)  # sizes of logits
BREAKS: dict[str, Callable[[Any, Any], Any]] = {
    "σ(z) becomes 1": lambda z, xp: 1 / (1 + xp.exp(-z)) == 1,
    "1 − σ(−z) becomes 1": lambda z, xp: 1 - 1 / (1 + xp.exp(z)) == 1,
    "e^z overflows": lambda z, xp: xp.isinf(xp.exp(z)),
    "e^−z becomes 0": lambda z, xp: xp.exp(-z) == 0,
}
BITS = {"float64": 53, "float32": 24}  # of a significand, p; the unit roundoff u is 2^−p
EXPONENTS = {"float64": (1024, 1074), "float32": (128, 149)}  # numbers lie below 2^first, are multiples of 2^−second
NOTHING = 3.0  # where ∞ and NaN are drawn: above every relative error
FLOOR = 1e-19  # errors of 0 are drawn here


@cells(each(precision=PRECISIONS), cost=Cost(0.3, 5))
def accuracy(lab: Lab, precision: str) -> Frame:
    """Value and error of both forms on the grid; an error is NaN where the value is no number."""
    z, found = np.linspace(-1e4, 1e4, 61)[None].astype(precision), []  # one batch: alone, tiny losses do not agree
    alone(lab, s.BinaryCrossEntropy(), z, (z > 5).astype(precision), f"logits from −10⁴ to 10⁴, {precision}")
    for y, side in CASES:
        at = logits(GRID, y, side).astype(precision)
        exact = [binary_exact(one, y) for one in at.tolist()]
        for name, form, values in both_forms(at, y, lab.device):
            columns = {"z": at.astype(float), "value": values.astype(float), "exact": [float(one) for one in exact]}
            frame = Frame(columns).assign(error=off(values, exact), kind=[kind(one) for one in values])
            found.append(frame.assign(dtype=precision, backend=name, form=form, y=y, side=side))
    return stacked(found)


def kind(value: float) -> str:
    return "NaN" if np.isnan(value) else "∞" if np.isinf(value) else "0" if value == 0 else "number"


@cells(each(precision=PRECISIONS), cost=Cost(0.1, 5))
def thresholds(lab: Lab, precision: str) -> Frame:
    """The smallest number z of the type at which each step of the formula breaks."""
    rows = []
    for name, xp in (("scratch", np), ("torchref", torch)):
        for step, broken in BREAKS.items():
            found = first(partial(holds, broken, xp, lab.device), precision)
            rows.append({"dtype": precision, "backend": name, "step": step, "measured": float(found),
                         "spacing": float(np.spacing(found))})  # fmt: skip
    return Frame(rows)


def holds(broken: Callable[[Any, Any], Any], xp: Any, device: str, z: Any) -> bool:
    at = np.full(8, z)
    with np.errstate(all="ignore"):
        return bool(broken(at if xp is np else torch.tensor(at, device=device), xp)[0])


def first(broken: Callable[[Any], bool], dtype: str) -> Any:
    """The smallest number of the type, between 1 and 1000, from which on it holds: by halving."""
    low, high = np.asarray(1, dtype)[()], np.asarray(1000, dtype)[()]
    while np.nextafter(low, high) < high:
        middle = (low + high) / 2
        low, high = (low, middle) if broken(middle) else (middle, high)
    return high


def breaks(step: str, dtype: str) -> float:
    """The z from which a step of the naive formula is rounded to something else than it is.

    1 + e^−z is 1 from e^−z = u on, half the spacing above 1 (a tie goes to even); 1 − σ(−z) is 1 from e^−z = u/2 on, half the
    spacing below 1. e^z overflows half a spacing above the largest number, e^−z is 0 from half the smallest on.
    """
    p, (above, below) = BITS[dtype], EXPONENTS[dtype]
    return {
        "σ(z) becomes 1": p * np.log(2),
        "1 − σ(−z) becomes 1": (p + 1) * np.log(2),
        "e^z overflows": above * np.log(2) + np.log1p(-(2.0 ** -(p + 1))),
        "e^−z becomes 0": (below + 1) * np.log(2),
    }[step]


def outcome(y: int, side: str, size: float, dtype: str) -> str:
    """What the naive formula gives for a logit of that size: a number, 0, ∞, or NaN, which is 0·ln 0."""
    one, none, over = (breaks(step, dtype) for step in ("σ(z) becomes 1", "1 − σ(−z) becomes 1", "e^z overflows"))
    if side == "wrong":
        return "∞" if size >= (one if y == 0 else over) else "number"
    if y == 1:
        return "NaN" if size >= one else "number"
    return "NaN" if size >= over else "0" if size >= none else "number"


@claims
def of_thresholds(thresholds: Frame) -> Claims:
    other = thresholds.dtype.map({"float64": "float32", "float32": "float64"})
    law, control = (list(map(breaks, thresholds.step, dtype)) for dtype in (thresholds.dtype, other))
    known = {"predicted": law, "control_predicted": control, "standard_error": thresholds.spacing}
    yield Claim(
        name="where it breaks",
        statement="σ(z) is 1 from z = 36.74 on (float32: 16.64); e^z overflows from 709.78 on (88.72), and e^−z is 0 from 745.13 on "
        "(103.97).",
        source="IEEE 754: p bits and the largest exponent",
        basis="Half a spacing of the numbers around 1, above the largest and below the smallest; the spacing of z counts as the standard "
        "error.",
        control="the other precision's",
        comparisons=compare(thresholds, "{dtype}, {step}", **known),
    )


@claims
def of_outcomes(accuracy: Frame) -> Claims:
    """The share of the grid on which each form gives what the naive one should; and the worst logit of each kind."""
    key, said = ["backend", "dtype", "y", "side"], "{dtype}, y = {y}, {side}"
    expected = list(map(outcome, accuracy.y, accuracy.side, accuracy.z.abs(), accuracy.dtype))
    met = (accuracy.kind == expected).groupby([accuracy[name] for name in (*key, "form")], sort=False).mean()
    shares = met.unstack("form").rename(columns={"naive": "measured", "stable": "control_measured"}).reset_index()
    yield Claim(
        name="what it gives then",
        statement="From −10⁴ to 10⁴ the naive formula gives a number, 0, ∞ or NaN exactly where predicted: NaN (0·ln 0) even for right "
        "answers.",
        source="IEEE 754: ln 0 = −∞, 0·∞ = NaN",
        basis="The share of 121 logits of each kind; none may be otherwise.",
        control="the stable formula, which never gives ∞ or NaN",
        comparisons=compare(shares, said, predicted=1.0, standard_error=0.0),
    )
    unit = np.where(accuracy.dtype == "float64", UNIT, 2.0**-24)
    rows = accuracy.assign(
        measured=accuracy.error.fillna(np.inf), standard_error=unit * (accuracy.z.abs() + accuracy.exact)
    )
    rows["ratio"] = rows.measured.abs() / rows.standard_error
    worst = rows.loc[rows.groupby([*key, "form"], sort=False).ratio.idxmax()]
    own, naive = (worst[worst.form == form].reset_index(drop=True) for form in ("stable", "naive"))
    control = {"control_measured": naive.measured, "control_error": naive.standard_error}
    yield Claim(
        name="stable",
        statement="From logits, max(z, 0) − zy + ln(1 + e^−|z|): right from −10⁴ to 10⁴ to some roundings of the largest number in it.",
        source="the same formula, rearranged",
        basis="Errors against fifty digits; u(|z| + J) counts as the standard error.",
        control="the naive formula",
        comparisons=compare(own, said, predicted=0.0, **control),
    )


@figure("The formula as written, and from logits")
def as_written(accuracy: Frame) -> Figure:
    """Relative error of the loss of one example in float64, over the size of its logit, for both answers, right and wrong. Grey
    line: u·e^|z|/√3 and its like, what the rounding of 1 + e^−z or of 1 − σ does. Above the break the naive formula gives 0 (an
    error of 1), ∞ or NaN (crosses at the top); the dotted lines are the predicted breaks. From logits the error stays at u,
    except in PyTorch for a right "no", where the tiny loss is the difference of two numbers as large as z. Errors of 0 lie on
    the bottom.
    """
    titles = [f"answer y = {y}, logit {side}" for y, side in CASES]
    figure, axes = panels(titles, width=2.6, margins=(0.95, 2.3, 0.6, 0.4))
    chosen = accuracy[accuracy.dtype == "float64"]
    for ax, (y, side) in zip(axes, CASES, strict=True):
        one = chosen[(chosen.y == y) & (chosen.side == side)]
        for index, (form, said) in enumerate({"naive": "as written", "stable": "from logits"}.items()):
            errors(ax, one[one.form == form], said, index)
        law(ax, y, side)
        ax.set(xlabel="size of the logit |z|", xscale="log", yscale="log", ylim=(FLOOR / 3, 40), xlim=(0.08, 1.4e4))
        ax.set_xticks([1e-1, 1e1, 1e3], ["0.1", "10", "1000"])
    axes[0].set_ylabel("relative error of the loss")
    axes[0].set_yticks([1e-18, 1e-12, 1e-6, 1, NOTHING * 4], ["10⁻¹⁸", "10⁻¹²", "10⁻⁶", "1", "∞, NaN"])
    return key(figure, axes)


def errors(ax: Any, rows: Frame, label: str, index: int) -> None:
    """scratch's points and torchref's rings; ∞ and NaN as crosses."""
    for backend, style in (("scratch", {"marker": "o", "linestyle": "none", "markersize": 3.5}), ("torchref", RING)):
        one = rows[rows.backend == backend].iloc[:: 1 if backend == "scratch" else 4]
        size, relative = one.z.abs().to_numpy(), (one.error.abs() / one.exact).mask(one.error == 0, 0.0).to_numpy()
        finite = np.isfinite(relative)
        shown: Any = {"color": COLOURS[index], "label": label if backend == "scratch" else None} | style
        ax.plot(size[finite], np.maximum(relative[finite], FLOOR), **shown)
        if backend == "scratch" and not finite.all():
            ax.plot(size[~finite], np.full((~finite).sum(), NOTHING * 4), "x", color=COLOURS[index], markersize=4)


def law(ax: Any, y: int, side: str) -> None:
    """What rounding does, up to where the formula breaks, and the break."""
    one, none, over = 53 * np.log(2), 54 * np.log(2), 709.78
    z = np.geomspace(3, one, 50)
    if (y, side) != (1, "wrong"):
        small = np.log1p(np.exp(-z))
        size = UNIT / np.sqrt(12 if (y, side) == (0, "right") else 3)
        ax.plot(z, size * np.exp(z) / (z + small) if side == "wrong" else size / small, color="#444444", zorder=4)
    for at in {(1, "right"): (one,), (0, "right"): (none, over), (0, "wrong"): (one,), (1, "wrong"): (over,)}[y, side]:
        ax.axvline(at, color="#444444", linestyle=":", linewidth=1.2)
