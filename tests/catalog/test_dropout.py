from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from experiments.catalog.dropout import Options, averages, laws, overfitting, ridge, shared
from experiments.compare.backends import backends
from experiments.lab.experiment import load
from experiments.lab.judge import judge
from scratch.contract import Batch
from scratch.errors import InvalidInput
from scratch.randomness import generator

EXPERIMENT = load("dropout")
SMALL = {
    "keeps": (0.05, 0.5, 1.0),
    "wrong": (0.3,),
    "width": 64,
    "steps": 200,
    "seeds": 10,
    "ridge_keeps": (0.5, 1.0),
    "patients": 40,
    "runs": 16,
    "rates": (0.1, 0.5),
    "features": 6,
    "images": 30,
}
CLAIMS = {
    "dropout is a ridge penalty",
    "mean of the output",
    "variance of the output",
    "trained with dropout: ridge",
    "drawn masks, on average",
    "scaling is a geometric mean",
    "Wager's penalty",
    "dropout reduces overfitting",
    "by fitting less",
    "quieter hidden units",
    "dropout beats none",
    "too much of it harms",
    "off after training",
    "the factor 1/p",
}


@pytest.fixture(scope="session")
def dropped(ran):
    return ran("dropout")


@pytest.fixture
def result(dropped):
    return dropped[0]


def verdicts(result, **spoilt: pd.DataFrame) -> pd.Series:
    """Judged anew from the measured tables, some of them spoilt."""
    analysed = EXPERIMENT.definition.analyse(result.tables | spoilt, result.options)
    return judge(analysed.claims)[0].set_index("claim").verdict


# --- the small run ---------------------------------------------------------------------------------------------------------


def test_the_implementations_agree_in_every_part(result):
    """A part that is not compared, or a bound that nothing could exceed."""
    agreement = result.tables["agreement"]
    assert set(agreement.part) == {"identity", "geometric", "added", "trajectory"}
    assert (agreement.ratio <= 1).all() and agreement.ratio.max() > 1e-3


@pytest.mark.parametrize("name", ["scaling is a geometric mean", "mean of the output", "variance of the output"])
def test_no_single_control_passes(result, name):
    """Of several controls under one claim, one that would not be noticed beside the others."""
    compared = result.tables["comparisons"].query("claim == @name")
    limit = result.claims.set_index("claim").critical_value[name]
    assert (compared.control_z.abs() > limit).all()


SPOILT = {
    "expected_loss": (lambda f: lambda x, y, w, p: f(x, y, w, p) * (1 + 1e-12), {"dropout is a ridge penalty"}),
    "spread": (lambda f: lambda x, w, p: (1 - p) * (w**2) @ (x**2), {"variance of the output"}),
    "ridge": (
        lambda f: lambda x, y, p: f(x, y, min(1.0, p * (1 + 1e-9)) if p < 1 else p),
        {"trained with dropout: ridge"},
    ),
    "descended": (lambda f: lambda x, y, p, rate, steps: laws.ridge(x, y, 1.0), {"drawn masks, on average"}),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_wrong_law_fails_its_claim_and_no_other(result, monkeypatch, name):
    """A claim that holds whatever is predicted."""
    spoil, expected = SPOILT[name]
    monkeypatch.setattr(laws, name, spoil(getattr(laws, name)))
    found = verdicts(result)
    assert (
        expected
        <= set(found[found != "holds"].index)
        <= expected | ({"Wager's penalty"} if name == "spread" else set())
    )


@pytest.mark.parametrize("backend", ["scratch", "torchref"])
@pytest.mark.parametrize(
    "table, column, where, change, claim",
    [
        ("expected", "value", "keep == 0.5", lambda v: v * (1 + 1e-12), "dropout is a ridge penalty"),
        ("outputs", "value", "quantity == 'mean'", lambda v: v + 1e-11, "mean of the output"),
        ("outputs", "value", "quantity == 'variance'", lambda v: v * 1.001, "variance of the output"),
        ("descent", "value", "feature == 3", lambda v: v + 1e-6, "trained with dropout: ridge"),
        ("drawn", "value", "feature == 2", lambda v: v + 0.3, "drawn masks, on average"),
        ("geometric", "geometric", "network == 'last hidden layer'", lambda v: v + 1e-9, "scaling is a geometric mean"),
        ("added", "value", "stretch == 0.25", lambda v: v * 1.1, "Wager's penalty"),
        ("measurements", "value", "quantity == 'test loss' and keep == 1", lambda v: v / 3, "dropout beats none"),
        ("measurements", "value", "quantity == 'test loss' and keep == 0.5", lambda v: v * 9, "dropout beats none"),
        ("measurements", "value", "quantity == 'test loss' and keep == 1", lambda v: v / 3, "dropout reduces overfitting"),
        ("measurements", "value", "quantity == 'train loss' and keep == 1", lambda v: v + 5, "by fitting less"),
        ("measurements", "value", "quantity == 'test loss, left on'", lambda v: v / 9, "off after training"),
        ("measurements", "value", "quantity == 'test loss, factor lost'", lambda v: v / 9, "the factor 1/p"),
        ("measurements", "value", "quantity == 'mean activation' and keep == 1", lambda v: v / 9, "quieter hidden units"),
    ],
)  # fmt: skip
def test_one_implementation_that_errs_fails_the_claim(result, backend, table, column, where, change, claim):
    """A claim that looks at one of the two only."""
    frame = result.tables[table].copy()
    rows = frame.query(f"backend == @backend and {where}").index
    assert len(rows) > 0
    frame.loc[rows, column] = change(frame.loc[rows, column])
    assert verdicts(result, **{table: frame})[claim] == "fails"


def test_the_networks_that_drop_nothing_may_be_lost(result):
    """Comparisons with no dropout that are made without it."""
    frame = result.tables["measurements"].query("keep < 1")
    assert verdicts(result, measurements=frame)["dropout beats none"] == "not tested"


def test_clean_labels_alone_are_measured_but_nothing_is_claimed(result):
    """A claim about overfitting where there is nothing wrong to learn."""
    options = replace(result.options, wrong=(0.0,))
    frame = result.tables["measurements"].assign(wrong=0.0)
    analysed = EXPERIMENT.definition.analyse(result.tables | {"measurements": frame}, options)
    assert {claim.name for claim in analysed.claims} == CLAIMS - {
        "dropout reduces overfitting", "by fitting less", "quieter hidden units", "dropout beats none",
        "too much of it harms",
        "off after training", "the factor 1/p",
    }  # fmt: skip


# --- the laws, each by another way -----------------------------------------------------------------------------------------


def problem(features: int = 4, examples: int = 7):
    random = generator(3, "test")
    x, y, w = (random.standard_normal(shape) for shape in ((features, examples), (1, examples), (1, features)))
    masks = np.array(list(product([0.0, 1.0], repeat=features)))
    return x, y, w, masks


def test_the_masks_are_all_there_with_their_chances():
    """A mask twice or not at all; probabilities of dropping taken for those of keeping."""
    masks = shared.all_masks(5)
    assert masks.shape == (32, 5, 1) and len(np.unique(masks[..., 0], axis=0)) == 32
    chance = shared.chances(masks, 0.3)
    assert np.isclose(chance.sum(), 1, atol=1e-15) and np.allclose(chance @ masks[..., 0], 0.3, atol=1e-15)


def test_the_expected_loss_is_what_drawn_masks_give():
    """The identity, held against 200 000 masks of the usual kind: one for every entry."""
    x, y, w, _ = problem()
    drawn = generator(0, "drawn").random((200_000, *x.shape)) < 0.3
    losses = ((y - w @ (x * drawn)) ** 2).mean((-2, -1))
    z = (losses.mean() - laws.expected_loss(x, y, w, 0.3)) / (losses.std() / len(losses) ** 0.5)
    assert abs(z) < 4
    assert abs(losses.mean() - ((y - 0.3 * w @ x) ** 2).mean()) > 0.1


def test_ridge_makes_the_expected_loss_smallest():
    """A penalty p(1−p) where (1−p)/p belongs: no step in any direction may lower the loss."""
    x, y, _, _ = problem()
    best = laws.ridge(x, y, 0.3) / 0.3  # in the literature's form
    lowest = laws.expected_loss(x, y, best, 0.3)
    for step in 1e-3 * generator(1, "steps").standard_normal((50, *best.shape)):
        assert laws.expected_loss(x, y, best + step, 0.3) > lowest
    plain = np.linalg.lstsq(x.T, y.T)[0].T
    assert np.allclose(laws.ridge(x, y, 1.0), plain, atol=1e-12)


def test_the_mean_of_descent_is_a_mean_over_all_ways():
    """Two steps, every pair of masks: 256 ways, gone one by one. The masks of all examples are alike, which means cannot tell."""
    x, y, _, masks = problem()
    keep, rate, m = 0.4, 0.05, x.shape[1]
    chance = np.prod(np.where(masks == 1, keep, 1 - keep), axis=1)

    def step(w, mask):
        seen = x * mask[:, None] / keep
        return w - rate * 2 / m * (w @ seen - y) @ seen.T

    mean = sum(
        p * q * step(step(np.zeros((1, 4)), first), second)
        for (p, first), (q, second) in product(zip(chance, masks, strict=True), repeat=2)
    )
    assert np.allclose(laws.descended(x, y, keep, rate, 2), mean, atol=1e-14)


def test_the_averaged_data_has_the_expected_loss():
    """Eleven columns a mask that stand for all patients."""
    batch = shared.standardised(60)
    w = averages.weights(0.35)
    wide, mask = ridge.averaged(batch, 0.35)
    total = ((wide.y - w @ (wide.x * mask / 0.35)) ** 2).sum()
    assert np.isclose(total, 60 * laws.expected_loss(batch.x, batch.y, w / 0.35, 0.35), rtol=1e-12)


def test_the_output_spreads_as_predicted():
    """(1−p)/p upside down."""
    x, _, w, masks = problem()
    chance = np.prod(np.where(masks == 1, 0.3, 0.7), axis=1)
    outputs = np.array([(w @ (x * mask[:, None] / 0.3))[0] for mask in masks])
    variance = chance @ outputs**2 - (chance @ outputs) ** 2
    assert np.allclose(laws.spread(x, w, 0.3)[0], variance, atol=1e-12)


def enumerated(x, beta, bias, rate):
    """E A(z + ε) − A(z), and E ε³ and E ε⁴, over all masks, example by example."""
    masks = np.array(list(product([0.0, 1.0], repeat=len(x))))
    chance = np.prod(np.where(masks == 1, 1 - rate, rate), axis=1)
    z = (beta @ x)[0] + bias
    noise = np.array([(beta @ (x * (mask[:, None] / (1 - rate) - 1)))[0] for mask in masks])
    return chance @ np.logaddexp(0, z + noise) - np.logaddexp(0, z), chance @ noise**3, chance @ noise**4


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.8])
def test_the_terms_of_wagers_series_are_derivatives_times_moments(rate):
    """A cumulant mistaken, a derivative of A of the wrong sign."""
    x, _, beta, _ = problem()
    z = (beta @ x)[0] + 0.3
    _, third, fourth = enumerated(x, beta, 0.3, rate)
    h = 1e-4
    curvature = (expit(z + h) - expit(z - h)) / (2 * h)
    jerk = (expit(z + h) - 2 * expit(z) + expit(z - h)) / h**2
    quadratic = (curvature * laws.spread(x, beta, 1 - rate)[0]).mean() / 2
    assert np.isclose(laws.quadratic(x, beta, 0.3, rate), quadratic, rtol=1e-6)
    assert np.isclose(laws.cubic(x, beta, 0.3, rate), (jerk * third).mean() / 6, rtol=1e-5, atol=1e-8)
    assert np.isclose(laws.left_open(x, beta, rate), fourth.mean() / 8 / 24, rtol=1e-12)


def test_the_penalty_lies_within_taylors_bound_and_the_bound_is_needed():
    """A bound that is too small, or so large that it says nothing."""
    x, _, beta, _ = problem()
    for rate, size in product([0.05, 0.3, 0.5], [2.0, 1.0, 0.3, 0.1]):
        penalty = enumerated(x, size * beta, 0.3, rate)[0].mean()
        off = penalty - laws.quadratic(x, size * beta, 0.3, rate) - laws.cubic(x, size * beta, 0.3, rate)
        assert abs(off) <= laws.left_open(x, size * beta, rate)
        if size == 0.1:
            assert abs(off) > 0.05 * laws.left_open(x, size * beta, rate)


def test_the_steepest_fourth_derivative():
    """max|A⁗|, on a grid."""
    a = expit(np.linspace(-10, 10, 100_001))
    assert np.isclose(np.abs(a * (1 - a) * (1 - 6 * a + 6 * a**2)).max(), laws.STEEPEST, rtol=1e-9)


# --- the parts -------------------------------------------------------------------------------------------------------------


def test_the_diabetes_data_is_scikit_learns():
    """Another file, columns for rows, an example lost."""
    from sklearn.datasets import load_diabetes

    held = load_diabetes(scaled=False)
    x, y = shared.diabetes()
    assert np.array_equal(x.T, held.data) and np.array_equal(y[0], held.target)
    batch = shared.standardised(442)
    assert np.abs(batch.x.mean(1)).max() < 1e-12 and np.allclose(batch.x.var(1), 1) and np.isclose(batch.y.var(), 1)


def test_every_keep_sees_the_same_digits_weights_and_batches():
    """Pairs that differ by more than dropout; digits of the test set among those of the training; labels left right."""
    jobs = [shared.digit_networks(0.2, keep, 60, 5, 3, 2) for keep in (0.3, 1.0)]
    (a, seen), (b, same) = jobs
    assert np.array_equal(a.batches, b.batches) and np.array_equal(seen.x, same.x)
    assert np.array_equal(a.network.flatten(a.parameters), b.network.flatten(b.parameters))
    assert not np.array_equal(a.batches[:, 0], a.batches[:, 1])
    for member in range(2):
        columns = np.unique(a.batches[:, member])
        known = {column.tobytes() for column in seen.x[member].T}
        assert {a.data.x[:, c].tobytes() for c in columns} <= known
        assert not np.array_equal(a.noise(0)[2]["mask"][0], a.noise(0)[2]["mask"][1])
    clean, _ = shared.digit_networks(0.0, 1.0, 60, 5, 3, 2)
    wrong = (clean.data.y != a.data.y).mean()
    assert abs(wrong - 0.2) < 4 * (0.16 / len(a.data.y)) ** 0.5


def test_the_wrong_uses_are_what_they_are_called():
    """Dropout that is not left on, or keeps the wrong share; a factor that is lost twice, or not at all."""
    job, _ = shared.digit_networks(0.2, 0.3, 60, 5, 2, 2)
    test = Batch(job.data.x[:, :40], job.data.y[:40])
    found = overfitting.uses(backends("cpu")["scratch"], job, job.parameters, test, 0.3)
    first, *_, read = job.parameters
    hidden = np.maximum(first["W"] @ test.x + first["b"], 0)
    kept = generator(0, "left on").random(hidden.shape) < 0.3
    for name, mask in {"left on": kept, "factor lost": 1}.items():
        expected, _ = overfitting.scored(read["W"] @ (hidden * mask / 0.3) + read["b"], test.y)
        assert np.allclose(found[f"test loss, {name}"], expected, rtol=1e-12)
    assert np.allclose(found["mean activation"], hidden.mean((-2, -1)))
    assert np.allclose(found["active share"], (hidden > 0).mean((-2, -1)))


def test_scores_are_cross_entropy_and_error():
    """The mean over the wrong axis; labels of one member for another's."""
    random = generator(0, "scores")
    z, y = random.standard_normal((2, 10, 5)), random.integers(0, 10, (2, 5))
    loss, error = overfitting.scored(z, y)
    for s in range(2):
        p = np.exp(z[s]) / np.exp(z[s]).sum(0)
        assert np.isclose(loss[s], -np.log([p[k, i] for i, k in enumerate(y[s])]).mean())
        assert np.isclose(error[s], np.mean(z[s].argmax(0) != y[s]))


def test_a_seed_has_no_say_in_its_own_keep():
    """A best keep chosen on the very numbers that are then compared: pure noise would look like a gain."""
    losses = pd.DataFrame({0.5: [0.0, 3.0, 3.0], 0.8: [9.0, 2.0, 2.0], 1.0: [0.0, 0.0, 0.0]})
    assert overfitting.chosen_by_others(losses).tolist() == [0.8, 0.5, 0.5]
    random = generator(0, "noise").standard_normal((800, 3))
    noise = [pd.DataFrame(block, columns=[0.1, 0.5, 1.0]) for block in random.reshape(100, 8, 3)]
    gains = [(f[1.0] - overfitting.at(f, overfitting.chosen_by_others(f))).mean() for f in noise]
    assert np.mean(gains) < 4 * np.std(gains) / len(gains) ** 0.5


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"keeps": (0.5, 0.8)}, "--keeps: expected 1.0 among them"),
        ({"keeps": (0.0, 1.0)}, "--keeps: expected numbers from 1e-06 to 1"),
        ({"ridge_keeps": (1.0,)}, "--ridge-keeps: expected two or more"),
        ({"ridge_keeps": (0.5, 0.5, 1.0)}, "--ridge-keeps: expected different values"),
        ({"wrong": ()}, "--wrong: expected at least one value"),
        ({"wrong": (1.0,)}, "--wrong: expected numbers from 0 to 0.999"),
        ({"rates": (0.0,)}, "--rates: expected numbers from 1e-06 to 0.999"),
        ({"seeds": 1}, "--seeds: expected a whole number from 2"),
        ({"features": 30}, "--features: expected a whole number from 2 to 14"),
        ({"patients": 443}, "--patients: expected a whole number from 20 to 442"),
        ({"examples": 20}, "--examples: expected a whole number from 50"),
    ],
)
def test_bad_options_are_refused(changed, message):
    """An option that fails only after minutes, or somewhere else."""
    with pytest.raises(InvalidInput, match=message):
        Options(**changed)


# --- the committed results -------------------------------------------------------------------------------------------------


def test_the_lines_of_the_figure_are_the_laws():
    """Lines of other weights than the points'."""
    path, batch = ridge.path(50), shared.standardised(50)
    one = path[np.isclose(path.keep, 0.5)].sort_values("feature")
    assert np.allclose(one.ridge, laws.ridge(batch.x, batch.y, 0.5)[0])
    assert np.allclose(path[path.keep == 1].ridge, np.linalg.lstsq(batch.x.T, batch.y[0])[0])
