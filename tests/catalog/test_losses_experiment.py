"""The experiment on losses, small: what holds must hold for both implementations, and each prediction has a second witness."""

from __future__ import annotations

import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import expit

from experiments.catalog.losses import breaking, digits, laws, random_starts, training
from experiments.catalog.losses.definitions import cross_exact
from experiments.catalog.losses.shared import Literal, binary_exact
from experiments.data import load as load_data
from experiments.lab.experiment import load
from experiments.lab.judge import judge
from scratch.errors import InvalidInput

EXPERIMENT = load("losses")
TINY = {
    "trials": 10, "draws": 400, "scales": (0.5, 8.0), "starts": 200, "wrong": (1.0, 2.5), "rate": 0.4, "seeds": 20, "steps": 10,
}  # fmt: skip
CLAIMS = {
    "binary cross-entropy", "cross-entropy", "one-hot", "two classes", "p − y, sigmoid", "p − y, softmax", "least loss", "shift",
    "guessing", "where it breaks", "digits lost", "what it gives then", "stable", "a right no costs nothing",
    "signal of a wrong answer", "signal of random starts", "time to unlearn", "slow start", "it is the saturation",
    "read literally, it teaches to say yes",
}  # fmt: skip


@pytest.fixture(scope="module")
def result(ran):
    return ran("losses")[0]


@pytest.fixture(scope="module")
def claims(result):
    return {claim.name: claim for claim in EXPERIMENT.definition.analyse(result.tables, result.options).claims}


def verdicts(result, **spoilt) -> pd.Series:
    analysis = EXPERIMENT.definition.analyse(result.tables | spoilt, result.options)
    return judge(analysis.claims)[0].set_index("claim").verdict


SPOILT = {
    "breaks": (breaking, lambda step, dtype: 36.0, {"where it breaks", "what it gives then"}),
    "lost": (digits, lambda y, side: 0.5, {"digits lost"}),
    "lost_by_pytorch": (digits, lambda dtype: 1.0, {"a right no costs nothing"}),
    "slope_error": (laws, lambda loss, z: 1e-30, {"signal of a wrong answer"}),
    "random_signal": (random_starts, lambda loss, scale: 0.2, {"signal of random starts"}),
    "needed": (laws, lambda loss, wrong: 1.0 + wrong, {"time to unlearn"}),
    "share_of_yes": (training, lambda: 0.3, {"read literally, it teaches to say yes"}),
}


@pytest.mark.parametrize("names", [tuple(SPOILT), ("late",)])
def test_a_wrong_theory_fails_its_claims_and_no_other(result, monkeypatch, names):
    """A claim that holds whatever is predicted. Each of the first has claims of its own."""
    expected = set()
    for name in names:
        where, wrong, fails = SPOILT.get(name, (laws, lambda loss, z, wrong, rate: 0 * z, {"time to unlearn"}))
        monkeypatch.setattr(where, name, wrong)
        expected |= fails
    found = verdicts(result)
    assert set(found[found != "holds"].index) == expected


ERRING = [
    (
        "definitions",
        "measured",
        "loss == 'binary cross-entropy' and quantity == 'J'",
        lambda v: v + 1e-13,
        "binary cross-entropy",
    ),
    ("one_hot", "measured", "quantity == 'its gradient'", lambda v: v + 1e-3, "one-hot"),
    ("guessing", "measured", "data == 'digits'", lambda v: v * (1 + 1e-12), "guessing"),
    ("thresholds", "measured", "dtype == 'float64'", lambda v: v * (1 + 1e-13), "where it breaks"),
    ("accuracy", "error", "form == 'stable' and z > 0", lambda v: v + 1e-6, "stable"),
    ("accuracy", "kind", "form == 'naive' and kind == 'NaN'", lambda v: "number", "what it gives then"),
    ("digits", "measured", "form == 'naive' and y == 1", lambda v: v * 2, "digits lost"),
    ("slopes", "value", "loss == 'squared error'", lambda v: v * (1 + 1e-13), "signal of a wrong answer"),
    ("start_signals", "value", "loss == 'squared error'", lambda v: v * 1.5, "signal of random starts"),
    ("escape", "z", "loss == 'squared error'", lambda v: v + 0.05, "time to unlearn"),
    ("training", "value", "loss == 'squared error' and start == 'saturated'", lambda v: v + 0.5, "slow start"),
]


@pytest.mark.parametrize("backend", ["scratch", "torchref"])
def test_one_implementation_that_errs_fails_the_claim(result, backend):
    """A claim that looks at one of the two only. Each fault is one claim's, but that the last is two claims'."""
    spoilt = {}
    for table, column, where, change, _ in ERRING:
        frame = spoilt.setdefault(table, result.tables[table].copy())
        rows = frame.query(f"backend == @backend and {where}").index
        assert len(rows) > 0
        frame.loc[rows, column] = change(frame.loc[rows, column])
    found = verdicts(result, **spoilt)
    assert set(found[found == "fails"].index) == {claim for *_, claim in ERRING} | {"it is the saturation"}


# --- predictions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("z", [-1e4, -750.0, -40.0, -1.5, 0.0, 0.3, 36.0, 720.0, 1e4])
@pytest.mark.parametrize("y", [0, 0.25, 1])
def test_exact_losses_against_mpmath(z, y):
    """A series where it does not hold, or digits lost in the reference itself."""
    with mpmath.workdps(60):  # in mpmath's log1p, not in a sum that forgets e^−10000
        up, down = (mpmath.log1p(mpmath.exp(-abs(mpmath.mpf(z)))) + max(mpmath.mpf(s), 0) for s in (z, -z))
        expected = y * down + (1 - mpmath.mpf(y)) * up
        found = mpmath.mpf(str(binary_exact(z, y)))
        assert abs(found - expected) <= abs(expected) * mpmath.mpf(10) ** -40
        cross = mpmath.mpf(str(cross_exact(np.array([z, 0.0]), np.array([y, 1 - y])))) if abs(z) < 100 else expected
        assert abs(cross - expected) <= abs(expected) * mpmath.mpf(10) ** -30


def test_breaks_against_the_largest_and_smallest_numbers():
    """p off by one, or a tie that goes the other way: against the numbers themselves, in many digits."""
    with mpmath.workdps(60):
        for dtype in ("float64", "float32"):
            kind = np.finfo(dtype)
            largest, smallest, eps = (mpmath.mpf(float(v)) for v in (kind.max, kind.smallest_subnormal, kind.eps))
            half_above = mpmath.mpf(2) ** (kind.maxexp - 1) * eps / 2
            expected = {
                "σ(z) becomes 1": -mpmath.log(eps / 2),
                "1 − σ(−z) becomes 1": -mpmath.log(eps / 4),
                "e^z overflows": mpmath.log(largest + half_above),
                "e^−z becomes 0": -mpmath.log(smallest / 2),
            }
            for step, value in expected.items():
                assert abs(breaking.breaks(step, dtype) - float(value)) <= 4 * np.spacing(float(value)), step


@pytest.mark.parametrize("case", [(1, "right"), (0, "right")])
def test_digits_lost_against_a_simulated_rounding(case):
    """A uniform error of another width: 1 + t, or 1 − t, rounded in float32 and held against float64."""
    t = np.exp(-np.random.default_rng(0).uniform(10, 12.5, 200_000))
    kept = (
        np.float32(1) + t.astype(np.float32) if case == (1, "right") else np.float32(1) - t.astype(np.float32)
    ).astype(float)
    error = (kept - (1 + t if case == (1, "right") else 1 - t)) / 2.0**-24
    assert np.mean(error**2) == pytest.approx(
        digits.lost(*case), rel=0.02
    )  # 200 000 squares: s.e. 0.2 %, and few multiples


@pytest.mark.parametrize("loss", ["cross-entropy", "squared error"])
def test_slopes_and_clocks_against_quadrature(loss):
    """An antiderivative that is none: ∫ dz/f from −s to 0, and f from the loss's own differences."""
    value = {"cross-entropy": lambda z: np.logaddexp(0, -z), "squared error": lambda z: (1 - expit(z)) ** 2}[loss]
    z = np.linspace(-8, 4, 25)
    np.testing.assert_allclose(laws.slope(loss, z), (value(z + 1e-5) - value(z - 1e-5)) / 2e-5, atol=1e-10)
    for wrong in (0.5, 3.0, 6.0):
        time, _ = quad(lambda z: -1 / laws.slope(loss, np.asarray(z)), -wrong, 0, epsabs=1e-10)
        assert laws.needed(loss, wrong) == pytest.approx(time, rel=1e-9)
    assert laws.needed("cross-entropy", 4) == pytest.approx(1 + 4 - np.exp(-4))
    assert laws.needed("squared error", 12) / (np.exp(12) / 2) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("loss", ["cross-entropy", "squared error"])
@pytest.mark.parametrize("wrong", [0.3, 2.0, 5.0])
def test_the_first_correction_leaves_less_than_the_second(loss, rate, wrong):
    """A correction of the wrong sign or size, or a tolerance that hides it: against the steps themselves."""
    z, steps = -wrong, round(laws.needed(loss, wrong) / rate)
    for _ in range(steps):
        z -= rate * laws.slope(loss, z)
    apart = rate * steps - (laws.clock(loss, z) - laws.clock(loss, -wrong)) - laws.late(loss, z, wrong, rate)
    assert abs(apart) <= laws.late_again(rate)
    assert steps < 3 or abs(apart + laws.late(loss, z, wrong, rate)) > 3 * abs(apart)


def test_the_signal_of_random_starts_against_a_simulation():
    """A variance of the wrong axis, a density that does not sum to one."""
    x, random = load_data("breast_cancer").train.x, np.random.default_rng(0)
    for loss, scale in (("cross-entropy", 2.0), ("squared error", 8.0)):
        z = random.standard_normal((800, len(x))) * scale / np.sqrt(len(x)) @ x
        means = (laws.slope(loss, z) ** 2).mean(-1)
        assert abs(means.mean() - random_starts.random_signal(loss, scale)) < 4 * means.std() / np.sqrt(len(means))


def test_the_literal_loss_has_its_gradient_and_pushes_one_way():
    """A sign that would make the control harmless."""
    z, y = np.linspace(-4, 4, 9)[None], np.array([[0.0, 1, 0, 1, 1, 0, 0, 1, 0]])
    gradient = Literal()(z, y)[1]
    moved = 1e-6 * np.eye(9)[:, None]
    quotient = (Literal()(z + moved, y)[0] - Literal()(z - moved, y)[0]) / 2e-6
    np.testing.assert_allclose(gradient[0], quotient, atol=1e-9)
    assert (gradient < 0).all()


def test_bisection_finds_the_first_number():
    """An end that is off by one."""
    for dtype in ("float64", "float32"):
        target = np.asarray(123.456, dtype)[()]
        assert breaking.first(lambda z, target=target: z >= target, dtype) == target


# --- options ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed, named",
    [({"trials": 1}, "--trials"), ({"wrong": ()}, "--wrong"), ({"wrong": (1.0, 1.0)}, "--wrong"), ({"wrong": (9.0,)}, "--wrong"),
     ({"rate": 0.0}, "--rate"), ({"saturation": 0.5}, "--saturation"), ({"scales": (-1.0,)}, "--scales"), ({"seeds": 1}, "--seeds")],
)  # fmt: skip
def test_bad_options_are_refused(changed, named):
    with pytest.raises(InvalidInput, match=named):
        EXPERIMENT.options(**changed)


@pytest.mark.parametrize(
    "table, lost, untested",
    [("escape", "loss == 'squared error'", set()), ("slopes", "loss == 'cross-entropy'", set()),
     ("accuracy", "dtype == 'float64'", set()), ("training", "on == 'digits'", set()),
     ("training", "loss == 'squared error'", {"slow start", "it is the saturation"}),
     ("training", "loss == 'cross-entropy'", {"slow start", "it is the saturation", "read literally, it teaches to say yes"}),
     ("training", "loss == 'read literally'", {"read literally, it teaches to say yes"})],
)  # fmt: skip
def test_a_cell_that_fails_loses_no_other(result, table, lost, untested):
    """A claim, a figure or the finding that needs every row of a table."""
    spoilt = {table: result.tables[table].query(f"not ({lost})").reset_index(drop=True)}
    analysis = EXPERIMENT.definition.analyse(result.tables | spoilt, result.options)
    claims, _ = judge(analysis.claims)
    expected = {name: "not tested" if name in untested else "holds" for name in CLAIMS}
    assert analysis.finding(claims) and dict(claims.set_index("claim").verdict) == expected
    for plot in EXPERIMENT.definition.figures({**result.tables, **spoilt, **analysis.tables}):
        plot.draw()


# --- the committed results -------------------------------------------------------------------------------------------------
