"""The judge: made-up measurements whose verdict is known."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.lab.judge import LIMIT, Claim, judge, z_score

BACKENDS = ("scratch", "torchref")


def claim(measured, predicted=0.0, error=1.0, control=100.0, test="equals", conditions=None, **columns):
    """A claim with one row for each measurement and backend; ``control``: what the control measured instead."""
    measured = np.atleast_1d(np.asarray(measured, float))
    rows = pd.DataFrame({"condition": [f"c{k}" for k in range(len(measured))], "measured": measured})
    rows = rows.assign(predicted=predicted, standard_error=error, control_measured=control, **columns)
    comparisons = pd.concat([rows.assign(backend=name) for name in BACKENDS], ignore_index=True)
    return Claim("a claim", "a statement", "a source", "a basis", "a control", comparisons, test)


def verdict(*args, **kwargs):
    (row,) = judge([claim(*args, **kwargs)])[0].to_dict("records")
    return row


@pytest.mark.parametrize(
    "measured, expected",
    [
        (0.0, "holds"),
        (3.99, "holds"),
        (-3.99, "holds"),
        (4.01, "fails"),
        (-4.01, "fails"),
        (1e9, "fails"),
        (np.inf, "fails"),
    ],
)
def test_equals(measured, expected):
    """A limit other than four standard errors, or one that looks to one side only."""
    assert verdict(measured)["verdict"] == expected


@pytest.mark.parametrize(
    "test, measured, expected",
    [
        ("at least", 1000.0, "holds"),
        ("at least", -3.99, "holds"),
        ("at least", -4.01, "fails"),
        ("at most", -1000.0, "holds"),
        ("at most", 3.99, "holds"),
        ("at most", 4.01, "fails"),
    ],
)
def test_one_sided(test, measured, expected):
    """A side taken for the other."""
    assert verdict(measured, test=test, control=-100.0 if test == "at least" else 100.0)["verdict"] == expected


@pytest.mark.parametrize(
    "test, control", [("equals", 3.0), ("equals", 0.0), ("at least", 1000.0), ("at most", -1000.0)]
)
def test_control_that_passes_spoils_the_claim(test, control):
    """A test that nothing could fail proves nothing."""
    assert verdict(0.0, test=test, control=control)["verdict"] == "cannot tell"


def test_failing_counts_before_the_control():
    """A claim that fails must not be told as a matter of its control."""
    assert verdict(10.0, control=0.0)["verdict"] == "fails"


def test_the_control_must_fail_in_both_implementations():
    """A control that only one implementation fails leaves the other's test unproven."""
    one = claim(0.0)
    one.comparisons.loc[one.comparisons.backend == "torchref", "control_measured"] = 0.0
    assert judge([one])[0].verdict.item() == "cannot tell"


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_implementation_must_hold(backend):
    """One implementation's good number must not cover the other's."""
    one = claim([0.0, 0.0, 0.0])
    one.comparisons.loc[(one.comparisons.backend == backend) & (one.comparisons.condition == "c1"), "measured"] = -9.0
    row = judge([one])[0].iloc[0]
    assert (row.verdict, row.condition, row[f"z_{backend}"], row[backend]) == ("fails", "c1", -9, -9)
    (other,) = set(BACKENDS) - {backend}
    assert row[f"z_{other}"] == 0 and row[other] == 0


def test_control_defaults_to_the_claims_own_numbers():
    """A control that differs only in its prediction, as most do."""
    one = claim(0.0)
    rows = one.comparisons.drop(columns="control_measured").assign(control_predicted=50.0)
    found = Claim("a", "s", "s", "b", "c", rows)
    details = judge([found])[1]
    assert (details.control_z == -50).all() and judge([found])[0].verdict.item() == "holds"
    assert (
        judge([Claim("a", "s", "s", "b", "c", rows.drop(columns="control_predicted"))])[0].verdict.item()
        == "cannot tell"
    )
    assert (judge([Claim("a", "s", "s", "b", "c", rows.assign(control_error=0.5))])[1].control_z == -100).all()


@pytest.mark.parametrize("measured, predicted, error", [(1.5, 1.0, 0.25), (-3.0, 1.0, 0.5), (0.0, 7.0, 2.0)])
def test_z_is_in_plain_standard_errors(measured, predicted, error):
    """Without degrees of freedom nothing but (measured − predicted)/error."""
    assert float(z_score(measured, predicted, error, np.inf, 0.0, "equals")) == (measured - predicted) / error


@pytest.mark.parametrize("dof", [1, 2, 4, 19, 200])
@pytest.mark.parametrize("t", [-30.0, -3.0, 0.5, 2.0, 8.0])
def test_z_is_as_improbable_as_students_t(t, dof):
    """Few seeds make large t common: without the translation, a false alarm at five seeds is certain sooner or later."""
    z = float(z_score(t, 0.0, 1.0, dof, 0.0, "equals"))
    # Student's tail by its own law, 1e-9 relative: ppf and cdf are good to about 1e-12, the tail's slope is |z|
    assert stats.norm.sf(abs(z)) == pytest.approx(stats.t.sf(abs(t), dof), rel=1e-9)
    assert np.sign(z) == np.sign(t) and abs(z) < abs(t)


@pytest.mark.parametrize("dof", [np.inf, 3])
def test_z_rises_with_the_distance(dof):
    """A tail that runs out of numbers must not turn around far out, where controls lie."""
    z = [float(z_score(t, 0.0, 1.0, dof, 0.0, "equals")) for t in (0.0, 1e-6, 0.1, 1.0, 5.0, 100.0, 1e6)]
    assert z[0] == 0 and all(a < b for a, b in itertools.pairwise(z)) and np.isfinite(z).all()
    assert z_score(1e100, 0.0, 1.0, 50, 0.0, "equals") > 30


@pytest.mark.parametrize("dof", [np.inf, 5])
def test_zero_standard_error(dof):
    """An exact identity: equal holds, anything else fails, and no warning of a division by zero."""
    z = z_score([2.0, 2.0 + 1e-15, 1.0], 2.0, 0.0, dof, 0.0, "equals")
    assert list(np.sign(z)) == [0, 1, -1] and (abs(z[1:]) > 30).all()
    assert verdict(0.0, error=0.0)["verdict"] == "holds" and verdict(1e-300, error=0.0)["verdict"] == "fails"


@pytest.mark.parametrize("test", ["equals", "at least", "at most"])
@pytest.mark.parametrize("dof", [np.inf, 5])
def test_nan_never_holds(test, dof):
    """NaN compares false with every limit: it must fail, whichever way the comparison is written."""
    control = -100.0 if test == "at least" else 100.0
    assert verdict(np.nan, test=test, dof=dof, control=control)["verdict"] == "fails"
    assert verdict([0.0, np.nan], test=test, dof=dof, control=control)["verdict"] == "fails"


@pytest.mark.parametrize("column", ["predicted", "error"])
@pytest.mark.parametrize("measured", [1.0, [1.0, 1.0]], ids=["one", "two"])
def test_nan_in_a_prediction_or_an_error_never_holds(column, measured):
    """A prediction outside its law's range, or the standard error of a single seed, is NaN: a verdict is due, not a crash."""
    assert verdict(measured, **{column: np.nan})["verdict"] == "fails"


@pytest.mark.parametrize("measured, z", [(1.3, 0.0), (0.7, 0.0), (1.7, 4.0), (0.3, -4.0)])
def test_tolerance_is_subtracted_first(measured, z):
    """What theory leaves open is no evidence; only what lies beyond counts, on either side."""
    assert float(z_score(measured, 1.0, 0.1, np.inf, 0.3, "equals")) == pytest.approx(z, abs=1e-12)
    assert verdict(2.0, predicted=1.0, error=0.01, tolerance=1.5)["verdict"] == "holds"


def test_the_limit_rises_with_the_number_of_comparisons():
    """With a thousand comparisons one of four deviations is no longer rare: the false alarm rate stays that of one."""
    limits = [verdict(np.zeros(n))["critical_value"] for n in (1, 2, 10, 1000)]
    assert limits[0] == pytest.approx(LIMIT) and limits == sorted(set(limits))
    for n, limit in zip((1, 2, 10, 1000), limits, strict=True):
        assert n * stats.norm.sf(limit) == pytest.approx(stats.norm.sf(LIMIT), rel=1e-9)
    assert verdict(4.2)["verdict"] == "fails" and verdict([4.2, *np.zeros(999)])["verdict"] == "holds"
    assert verdict([5.6, *np.zeros(999)])["verdict"] == "fails"


def test_false_alarms_are_as_rare_as_promised():
    """Degrees of freedom and limit together, on data for which the claim is true: 20 000 t values of four degrees."""
    t = stats.t.rvs(4, size=20_000, random_state=np.random.default_rng(0))
    z = z_score(t, 0.0, 1.0, 4, 0.0, "equals")
    assert stats.kstest(z, "norm").pvalue > 2 * stats.norm.sf(4)
    assert (abs(t) > LIMIT).sum() > 100 > (abs(z) > LIMIT).sum()


def test_the_tables_show_the_worst_comparison():
    """A report that shows the best, or the first, of many conditions."""
    one = claim([0.5, -3.0, 1.0], predicted=[0.0, 0.25, 0.0], error=2.0, tolerance=0.25)
    verdicts, details = judge([one, claim([1.0, 9.0])])
    row = verdicts.iloc[0]
    assert (row.condition, row.predicted, row.scratch, row.torchref) == ("c1", 0.25, -3.0, -3.0)
    assert (row.z_scratch, row.z_torchref, row.comparisons) == (-1.5, -1.5, 6)
    assert (row.source, row.basis, row.control, row.control_z) == ("a source", "a basis", "a control", (100 - 0.25) / 2)
    assert list(verdicts.verdict) == ["holds", "fails"]
    assert len(details) == 10 and list(details[details.backend == "scratch"].z[:3]) == [0.125, -1.5, 0.375]


def test_nothing_to_judge():
    """An experiment without claims."""
    verdicts, details = judge([])
    assert len(verdicts) == len(details) == 0


def test_the_claim_is_not_changed():
    """Columns added to the caller's own table would be there twice the next time."""
    one = claim([1.0, 2.0])
    before = one.comparisons.copy()
    judge([one])
    pd.testing.assert_frame_equal(one.comparisons, before)


def test_a_claim_with_nothing_to_compare_is_listed_as_not_tested():
    """Left out silently, a run in which half of the claims had no data would look as good as one in which they hold."""
    empty = pd.DataFrame(columns=["backend", "condition", "measured", "standard_error", "predicted"])
    claims, comparisons = judge([Claim("none", "s", "t", "u", "v", empty)])
    assert list(claims.verdict) == ["not tested"] and list(claims.claim) == ["none"] and comparisons.empty


def test_comparisons_without_power_do_not_count_and_are_named():
    """A control that one of six conditions catches, which vouches for all."""
    row = verdict(np.zeros(6), control=[100.0, 3.0, 100.0, 2.0, 0.0, 100.0])
    assert (row["verdict"], row["counting"], row["blind"]) == ("holds", 6, "c1; c3; c4") and row["more_seeds"] == np.inf
    none = verdict(np.zeros(2), control=[3.0, 2.0])
    limit = none["critical_value"]
    assert (none["verdict"], none["counting"]) == ("cannot tell", 0) and none["more_seeds"] == pytest.approx(
        (limit / 2) ** 2
    )
    assert verdict(np.zeros(8), control=0.0)["blind"] == "c0; c1; c2; c3; c4 and 3 more"


@pytest.mark.parametrize("dof", [4.0, np.inf])
@pytest.mark.parametrize("tolerance", [0.0, 0.3])
@pytest.mark.parametrize("conditions", [1, 50])
def test_the_resolution_is_what_would_have_failed(dof, tolerance, conditions):
    """A promise to notice what would have passed, or not to notice what would have failed."""
    told = {"error": 0.2, "dof": dof, "tolerance": tolerance, "control": 1e9}
    resolution = verdict(np.zeros(conditions), **told)["resolution"]
    for times, expected in ((0.999, "holds"), (1.001, "fails")):
        assert verdict([times * resolution, *[0.0] * (conditions - 1)], **told)["verdict"] == expected
