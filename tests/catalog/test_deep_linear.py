"""Deep linear networks: each prediction against an independent computation, and a small run in which everything holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp

from experiments.catalog.deep_linear import Options, conserved, landscape, laws, random_weights, shared, stages
from experiments.lab.experiment import load
from experiments.lab.judge import judge
from scratch.errors import InvalidInput
from scratch.training import snapshot

EXPERIMENT = load("deep_linear")
TINY = {
    "depths": (1, 2, 3), "modes": (2.0, 1.0), "start": 0.02, "rates": (0.04,), "seeds": 2, "plateaus": (0.05, 0.005),
    "random_depths": (2, 5), "random_seeds": 12, "random_time": 30.0,
}  # fmt: skip
NUMBERS = [(1, 2.0, 0.3), (2, 4.0, 0.01), (2, 0.5, 1e-6), (3, 2.0, 0.01), (5, 1.3, 0.02)]  # N, s, u₀


@pytest.fixture(scope="session")
def result(ran):
    return ran("deep_linear")[0]


@pytest.fixture(scope="session")
def claims(result):
    return {claim.name: claim for claim in EXPERIMENT.definition.analyse(result.tables, result.options).claims}


def verdicts(result, **spoilt: pd.DataFrame) -> pd.Series:
    """Judged anew from the measured tables, some of them spoilt."""
    return (
        judge(EXPERIMENT.definition.analyse(result.tables | spoilt, result.options).claims)[0]
        .set_index("claim")
        .verdict
    )


# --- predictions against other computations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth, s, start", NUMBERS)
def test_flow_time_is_when_the_integrated_equation_gets_there(depth, s, start):
    """A wrong closed form or substitution: here ȧ = a^(N−1)(s − a^N) is integrated in a, with an event."""

    def arrived(t, a):
        return a[0] ** depth - 0.7 * s

    arrived.terminal = True
    solved = solve_ivp(
        lambda t, a: a ** (depth - 1) * (s - a**depth), (0, 200), [start ** (1 / depth)], "DOP853", events=arrived,
        rtol=1e-11, atol=1e-13,
    )  # fmt: skip
    assert laws.flow_time(0.7 * s, start, s, depth) == pytest.approx(solved.t_events[0][0], rel=1e-8)


def published(t, s, start):
    """Saxe's Eq. 12 as it is printed: u(t) = s e^{2st/τ}/(e^{2st/τ} − 1 + s/u₀)."""
    growth = np.exp(2 * s * t)
    return s * growth / (growth - 1 + s / start)


def test_two_layers_follow_the_published_curve():
    """A closed form that is not the paper's."""
    times = [laws.flow_time(u, 0.03, 2.5, 2) for u in (0.04, 1.0, 2.4)]
    assert published(np.array(times), 2.5, 0.03) == pytest.approx([0.04, 1.0, 2.4], rel=1e-12)


def test_half_times_of_an_independent_simulation():
    """s = 2, u₀ = 0.01: 1.3235, 1.9777 and 2.6063 were found by an earlier simulation at a rate of its own."""
    found = [laws.flow_time(1.0, 0.01, 2.0, depth) for depth in (2, 3, 5)]
    assert found == pytest.approx([1.3235, 1.9777, 2.6063], abs=5e-4)


@pytest.mark.parametrize("depth, s, start", NUMBERS)
def test_what_steps_add_is_right_to_first_order_and_the_rest_is_allowed(depth, s, start):
    """A wrong (η/2) ln(f/f₀): the remainder would shrink by 2, not by 4, when η is halved; or a tolerance too small."""
    left = []
    for rate in (0.02, 0.01):
        predicted, second = laws.descent_time(s / 2, start, s, depth, rate)
        looks = shared.growing_looks(laws.steps_until(0.8, start, s, depth, rate), rate)
        u = stages.recursion(start, [s], depth, rate, looks)[:, 0]
        found = shared.crossing(rate * np.array(looks), u, s, 0.5)
        left.append(found["time"] - predicted)
        assert abs(left[-1]) < 2 * (second + found["doubt"])
        assert abs(left[-1]) < abs(predicted - laws.flow_time(s / 2, start, s, depth)) / 3 or depth == 1
    if depth > 1:
        assert 2.5 < left[0] / left[1] < 6 or abs(left[0]) < 2e-6  # interpolation's error is about 1e-6


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_longer_is_a_difference_of_flow_times(depth):
    """A wrong exponent or factor, or a tolerance that does not cover the plateau's end."""
    lower, upper, s = 1e-5, 1e-4, 0.7
    exact = laws.flow_time(s / 2, lower, s, depth) - laws.flow_time(s / 2, upper, s, depth)
    predicted, tolerance = laws.longer(lower, upper, s, depth, 1e-9)
    assert abs(exact - predicted) <= tolerance < 1e-3 * predicted


def test_gradients_and_drift_by_other_means():
    """Gradients against differences of J; the drift against a descent with small steps."""
    weights, target = conserved.unbalanced(2)
    gradients, eps = laws.linear_gradients(weights, target), 1e-6

    def loss(moved):
        return (((moved[2] @ moved[1] @ moved[0] - target) ** 2).sum((-2, -1))) / 2

    for k, g in enumerate(gradients):
        direction = np.random.default_rng(k).standard_normal(g.shape)
        sides = [loss([w + sign * eps * direction if j == k else w for j, w in enumerate(weights)]) for sign in (1, -1)]
        assert (sides[0] - sides[1]) / (2 * eps) == pytest.approx((g * direction).sum((-2, -1)), rel=1e-7)
    held, rate, time = weights, 2e-4, 0.2
    for _ in range(round(time / rate)):
        held = [w - rate * g for w, g in zip(held, laws.linear_gradients(held, target), strict=True)]
    expected = laws.drift(weights, target, time)
    for k in range(2):
        moved = [w[k + 1].mT @ w[k + 1] - w[k] @ w[k].mT for w in (held, weights)]
        assert (moved[0] - moved[1]) / rate == pytest.approx(expected[k], abs=5e-3 * abs(expected[k]).max())


@pytest.mark.parametrize("c", [-3.0, 0.0, 0.4, 1e9])
@pytest.mark.parametrize("product", [1.0, -0.6])
def test_points_of_a_hyperbola(c, product):
    """Cancellation in √(c² + 4p²) − c, or the wrong branch."""
    w1, w2 = laws.on_hyperbola(product, c)
    assert w1 > 0 and w1 * w2 == pytest.approx(product, rel=1e-12)
    assert w2**2 - w1**2 == pytest.approx(c, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("start", [start for start in landscape.STARTS if start[0] != -start[1]])
def test_what_is_carried_is_right_to_first_order(start):
    """A wrong integral: the remainder must fall by 4, not 2, with half the rate, and stay within what is left open."""
    left = []
    for rate in (0.02, 0.01):
        w1, w2 = start
        for _ in range(round(30 / rate)):
            e = 1.5 - w1 * w2
            w1, w2 = w1 + rate * e * w2, w2 + rate * e * w1
        predicted, allowed = laws.carried(*start, 1.5, rate)
        left.append(abs(w2**2 - w1**2 - predicted))
        assert left[-1] <= allowed
    assert 3 < left[0] / left[1] < 5


def test_crossing_is_exact_for_two_layers_and_needs_both_sides():
    """Interpolation that adds an error of its own."""
    times = np.arange(0, 4, 0.05)
    u = published(times, 2.0, 0.01)
    assert shared.crossing(times, u, 2.0, 0.3) == pytest.approx(
        {"time": laws.flow_time(0.6, 0.01, 2.0, 2), "doubt": 0}, abs=1e-12
    )
    assert np.isnan(shared.crossing(times[:20], u[:20], 2.0, 0.9)["time"])


def test_crossing_doubts_as_much_as_it_errs():
    """A tolerance that does not cover the interpolation's own error, where looks are coarse and the curve bends."""
    times = np.arange(0, 3, 0.1)
    found = shared.crossing(times, 1 - 0.95 * np.exp(-times), 1.0, 0.25)
    assert 1e-7 < abs(found["time"] - np.log(0.95 / 0.75)) < 2 * found["doubt"]


def test_passed_interpolates_and_says_when_never():
    times, values = np.array([0.0, 1.0, 3.0]), np.array([[0.0, 0.0], [-1.0, -0.5], [-3.0, -0.7]])
    found = random_weights.passed(times, values, -2.0)
    assert found[0] == pytest.approx(2.0) and np.isnan(found[1])


def test_the_start_is_balanced_and_the_inputs_are_white():
    """A setting that is not the theory's."""
    bases, weights, target = shared.balanced((3.0, 1.0), 0.04, 3, 2)
    for w, v in zip(weights[1:], weights[:-1], strict=True):
        assert w.mT @ w == pytest.approx(v @ v.mT, abs=1e-14)
    whole = weights[2] @ weights[1] @ weights[0]
    assert bases[1][-1].T @ whole[1] @ bases[1][0] == pytest.approx(0.04 * np.eye(2), abs=1e-15)
    assert bases[1][-1].T @ target[1] @ bases[1][0] == pytest.approx(np.diag([3.0, 1.0]), abs=1e-14)
    x = shared.whitened(5, 8)
    assert x @ x.T / 8 == pytest.approx(np.eye(5), abs=1e-14)


def test_a_step_of_the_library_is_a_step_of_the_theory():
    """The mean over k·m numbers against J = ‖·‖²/2m: a factor between the two time scales."""
    weights, target = conserved.unbalanced(2)
    x = shared.whitened(shared.INPUTS, shared.EXAMPLES)
    seen = snapshot(work := shared.job(weights, x, target @ x, 0.3, 1, (0,)))
    for named, g in zip(seen.gradients, laws.linear_gradients(weights, target), strict=True):
        assert work.optimizer.base * named["W"] == pytest.approx(0.3 * g, rel=1e-10, abs=1e-12)


# --- the small run ------------------------------------------------------------------------------------------------------------


def test_the_implementations_agree_in_every_part(result):
    """A part that is not compared, or a bound that nothing could exceed."""
    agreement = result.tables["agreement"]
    assert set(agreement.part) == {"surface", "marks", "trajectory", "learned"}
    trained = {said.partition(",")[0] for said in agreement.condition[agreement.part == "trajectory"]}
    linear = {f"{depth} linear layers" for depth in TINY["depths"]}
    assert trained == {"balanced runs", "waits", "paths", "conservation", *linear}
    assert 1e-3 < agreement.ratio.max() <= 1


WRONG = [  # table, column, rows, what is done to them, the claim that must fail; one list at a time
    [
        ("crossings", "time", "depth == 3 and mode == 1 and level == 0.5", lambda v: v * 1.01, "learning curves"),
        ("maps", "difference", "depth == 2", lambda v: v + 1e-10, "modes do not see each other"),
        ("waits", "time", "depth == 3 and start == 0.005", lambda v: v * 1.1, "plateaus"),
        (
            "learned",
            "time",
            "depth == 5 and init == 'orthogonal'",
            lambda v: v * 3,
            "orthogonal starts do not pay for depth",
        ),
        ("learned", "time", "depth == 5 and init == 'orthogonal'", lambda v: v * 3, "small Gaussian starts do"),
        ("conservation", "value", "quantity == 'step residual' and rate == 0.02", lambda v: v + 1e-12, "one step"),
        ("conservation", "value", "quantity == 'drift' and rate == 0.005", lambda v: v * 1.2, "conserved by the flow"),
        ("marks", "slope1", "point == 'along'", lambda v: v + 1e-12, "non-convex: a saddle"),
        ("paths", "w2", "start == 2", lambda v: v * 1.02, "descent keeps to its hyperbola"),
        ("paths", "loss", "start == 1", lambda v: v + 1e-28, "no bad minimum"),
    ],
    [
        ("crossings", "time", "depth == 2 and mode == 1", lambda v: v * 0.5, "stages"),
        ("learned", "time", "depth == 5 and seed == 0", lambda v: v * np.nan, "orthogonal starts do not pay for depth"),
        ("conservation", "value", "quantity == 'drift'", lambda v: v * 1.1, "how far it drifts"),
        ("marks", "loss", "point == 'saddle'", lambda v: v + 1e-12, "non-convex: a saddle"),
    ],
]


@pytest.mark.parametrize("backend", ["scratch", "torchref"])
@pytest.mark.parametrize("wrong", WRONG, ids=["first", "second"])
def test_wrong_measurements_of_one_implementation_fail_their_claims(result, backend, wrong):
    """A claim that looks at one of the implementations only, or at none."""
    spoilt = {name: result.tables[name].copy() for name, *_ in wrong}
    for table, column, where, change, _ in wrong:
        chosen = spoilt[table].eval(where) & (spoilt[table].backend == backend)
        assert chosen.any()
        spoilt[table].loc[chosen, column] = change(spoilt[table].loc[chosen, column])
    found = verdicts(result, **spoilt)
    assert set(found[found == "fails"].index) == {claim for *_, claim in wrong} | ALSO[wrong is WRONG[1]]


ALSO = (set(), {"learning curves", "small Gaussian starts do"})  # they use the same numbers


SPOILT = {
    "flow_time": (lambda u, start, s, depth: 1.001 * np.log(s / start) / s, {"learning curves", "stages"}),
    "wait": (lambda start, s, depth: start ** (1 / depth - 1) / s, {"plateaus"}),
    "drift": (lambda w, a, t: [1.1 * d for d in DRIFT(w, a, t)], {"how far it drifts"}),
    "carried": (lambda w1, w2, s, rate: (w2**2 - w1**2, 0.0), {"descent keeps to its hyperbola"}),
}
DRIFT = laws.drift


@pytest.mark.parametrize("name", SPOILT)
def test_a_wrong_theory_fails_its_claims_and_no_other(result, monkeypatch, name):
    """A claim that holds whatever is predicted."""
    wrong, expected = SPOILT[name]
    monkeypatch.setattr(laws, name, wrong)
    found = verdicts(result)
    assert set(found[found != "holds"].index) == expected


def test_the_finding_tells_times_that_were_measured(result):
    assert result.finding.startswith("A deep linear network learns in stages")
    assert "12 of 12 claims hold" in result.finding


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"depths": ()}, "--depths: expected at least one value"),
        ({"depths": (2, 2)}, "--depths: expected different values"),
        ({"depths": (0, 2)}, "--depths: expected whole numbers from 1 to 100"),
        ({"random_depths": (1, 2)}, "--random-depths: expected whole numbers from 2 to 100"),
        ({"modes": (6.0, 5.0, 4.0, 3.0, 2.0, 1.0)}, "--modes: expected at most 5"),
        ({"modes": (2.0, -1.0)}, "--modes: expected numbers from 0.001 to 1000"),
        ({"start": 0.0}, "--start: expected"),
        ({"start": 0.2}, "--start: expected"),
        ({"plateaus": (0.2, 0.01)}, "--plateaus: expected numbers from 1e-09 to 0.1"),
        ({"plateaus": (0.01, -1.0)}, "--plateaus: expected numbers from 1e-09"),
        ({"rates": (0.0,)}, "--rates: expected numbers from 1e-06"),
        ({"rates": (0.2,)}, "overshoots"),
        ({"seeds": 1}, "--seeds: expected"),
        ({"random_seeds": 1}, "--random-seeds: expected"),
        ({"random_time": 0.0}, "--random-time: expected"),
    ],
)
def test_bad_options_are_refused(changed, said):
    with pytest.raises(InvalidInput, match=said.replace("(", r"\(")):
        replace(Options(), **changed)


def test_cells_are_as_many_as_were_asked_for():
    found = pd.Series([cell.part for cell in EXPERIMENT.definition.cells(EXPERIMENT.options(quick=True))]).value_counts()
    assert dict(found) == {"balanced_runs": 3, "waits": 2, "learned": 2, "conservation": 3, "trajectory": 3, "marks": 1,
                           "surface": 1, "paths": 1}  # fmt: skip
    assert conserved.SEEDS > 1
