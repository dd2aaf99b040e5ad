"""The real experiment, small: what holds must hold for both implementations, and must fail where the theory is spoilt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from experiments import data, theory
from experiments.catalog.vanishing_gradient import (
    exploding,
    lookalike,
    race,
    repair_laws,
    repairs,
    shared,
    training,
    who_learns,
)
from experiments.lab import Lab
from experiments.lab.experiment import load
from experiments.lab.judge import judge
from experiments.run import run
from scratch import initializers
from scratch.activations import Identity, ReLU, Sigmoid, Tanh
from scratch.clipping import ClipNorm
from scratch.contract import Batch, Job
from scratch.layers import Dense
from scratch.losses import InnerProduct
from scratch.network import Network
from scratch.normalization import BatchNorm
from scratch.training import snapshot

EXPERIMENT = load("vanishing_gradient")
CLAIMS = {
    "product, mean",
    "product, spread",
    "deep linear, mean",
    "deep linear, spread",
    "orthogonal",
    "narrow ReLU, mean",
    "narrow ReLU, spread",
    "born dead",
    "He over Xavier",
    "depth scale, ordered",
    "depth scale, chaotic",
    "mean field, tanh",
    "mean field, relu",
    "the notes' rule is He's",
    "Xavier stalls at 30",
    "He learns at 30",
    "exploding",
    "exploding, exactly",
    "all inputs look alike",
    "repair: weights",
    "repair: batch norm",
    "repair: skip",
    "repair: scaled skip",
    "exploding ends training",
    "clipping bounds the step",
    "clipping keeps training alive",
    "clipping is no repair of the weights",
}
LOOKED = {
    "product",
    "linear",
    "dead",
    "narrow",
    "ratio",
    "tanh_slopes",
    "explosions",
    "alike",
    "measurements",
    "repaired_stacks",
}
TRAINED = {"training", "clipping_runs", "race_runs", "drift"}


@pytest.fixture
def result(small):
    return small[0]


def verdicts(result, **spoilt: pd.DataFrame) -> pd.Series:
    """Judged anew from the measured tables, some of them spoilt."""
    analysis = EXPERIMENT.definition.analyse(result.tables | spoilt, result.options)
    return judge(analysis.claims)[0].set_index("claim").verdict


def test_the_implementations_agree_in_every_part(result):
    """A part that is not compared, or a bound that nothing could exceed."""
    agreement = result.tables["agreement"]
    assert result.agrees and (agreement.ratio <= 1).all() and (agreement.bound >= 0).all()
    assert set(agreement.part) == {name.replace("_", " ") for name in LOOKED} | {"trajectory"}
    followed = agreement[agreement.part == "trajectory"].condition
    assert all(followed.str.startswith(name.replace("_", " ")).any() for name in TRAINED - {"drift"})
    assert followed.str.contains("xavier and he, depth 10").any()
    assert agreement.ratio.max() > 1e-3


def test_every_condition_asked_for_is_measured(result):
    """A combination of depth, activation and init that is dropped."""
    options = result.options
    measured = result.tables["measurements"][["depth", "activation", "init", "seed"]].drop_duplicates()
    assert len(measured) == len(options.depths) * len(options.activations) * len(options.inits) * options.seeds


def test_the_same_tables_give_the_same_claims(result):
    """An analysis that changes what it is given, which would make the next tests meaningless."""
    assert dict(verdicts(result)) == dict.fromkeys(CLAIMS, "holds")


def doubled(function):
    return lambda *args: tuple(2 * moment for moment in function(*args))


SPOILT_THEORY = {
    "LOG_NORMAL_MEAN": (-0.6, {"product, mean"}),
    "linear_moments": (doubled(theory.linear_moments), {"deep linear, mean", "deep linear, spread"}),
    "relu_moments": (doubled(theory.relu_moments), {"narrow ReLU, mean", "narrow ReLU, spread"}),
    "born_dead": (lambda width, depth: 1 - (1 - 0.5 ** (width + 1)) ** depth, {"born dead"}),
    "fixed_point": (lambda activation, w, b: (1.0, w), {"depth scale, ordered", "depth scale, chaotic"}),
    "VARIANCES": (
        {name: lambda o, i, f=f: 1.5 * f(o, i) for name, f in theory.VARIANCES.items()},
        {"mean field, tanh", "mean field, relu", "repair: weights", "repair: skip", "repair: scaled skip"},
    ),
}


@pytest.mark.parametrize("name", SPOILT_THEORY)
def test_a_wrong_theory_fails_its_claims_and_no_other(result, monkeypatch, name):
    """A claim that holds whatever is predicted."""
    wrong, expected = SPOILT_THEORY[name]
    monkeypatch.setattr(theory, name, wrong)
    found = verdicts(result)
    assert set(found[found != "holds"].index) == expected


SPOILT_REPAIRS = {
    "batch_norm": (repair_laws, lambda activation, batch: (1.3 * repair_laws_batch_norm(activation, batch)[0], 1.0),
                   {"repair: batch norm"}),
    "skip": (repair_laws, lambda *args: [1.5 * a for a in repair_laws_skip(*args)], {"repair: skip", "repair: scaled skip"}),
    "correlations": (lookalike, lambda c, depth: repair_laws.correlations(c, depth + 1)[1:], {"all inputs look alike"}),
}  # fmt: skip
repair_laws_batch_norm, repair_laws_skip = repair_laws.batch_norm, repair_laws.skip


@pytest.mark.parametrize("name", SPOILT_REPAIRS)
def test_a_wrong_theory_of_repairs_fails_its_claims_and_no_other(result, monkeypatch, name):
    """A third more explosion a layer, half as much again of a block, one layer more: a claim so open that it would hold all the same."""
    where, wrong, expected = SPOILT_REPAIRS[name]
    monkeypatch.setattr(where, name, wrong)
    found = verdicts(result)
    assert set(found[found != "holds"].index) == expected


@pytest.mark.parametrize("backend", ["scratch", "torchref"])
@pytest.mark.parametrize(
    "table, column, where, change, claim",
    [
        ("product", "measured", "depth == 20 and statistic == 'mean'", lambda v: v + 3, "product, mean"),
        ("ratio", "measured", "statistic == 'farthest'", lambda v: v * (1 + 1e-10), "He over Xavier"),
        ("linear", "measured", "weights == 'orthogonal'", lambda v: v + 1e-9, "orthogonal"),
        ("measurements", "value", "init == 'he' and layer == 1", lambda v: v * 3, "mean field, relu"),
        ("measurements", "value", "init == 'notes'", lambda v: v * (1 + 1e-12), "the notes' rule is He's"),
        ("race_runs", "value", "init == 'xavier' and quantity == 'loss'", lambda v: v / 2, "Xavier stalls at 30"),
        (
            "explosions",
            "measured",
            "signal == 'share' and statistic == 'farthest'",
            lambda v: v * (1 + 1e-10),
            "exploding, exactly",
        ),
        ("explosions", "measured", "signal == 'gradient' and statistic == 'mean'", lambda v: v + 2, "exploding"),
        ("alike", "measured", "statistic == 'mean'", lambda v: v - 0.1, "all inputs look alike"),
        ("repaired_stacks", "measured", "kind == 'plain' and init == 'he'", lambda v: v + 2, "repair: weights"),
        ("repaired_stacks", "measured", "kind == 'batch norm'", lambda v: 0 * v, "repair: batch norm"),
        ("repaired_stacks", "measured", "kind == 'skip'", lambda v: v * 1.3, "repair: skip"),
        ("repaired_stacks", "measured", "kind == 'skip/√L'", lambda v: v * 1.3, "repair: scaled skip"),
        ("first_steps", "measured", "init == '4 × he, clipped'", lambda v: v * (1 + 1e-9), "clipping bounds the step"),
        (
            "clipping_runs",
            "value",
            "init == '4 × he, clipped' and step > 0",
            lambda v: np.inf * v,
            "clipping keeps training alive",
        ),
        ("clipping_runs", "value", "init == '4 × he' and step > 0", lambda v: 1.0, "exploding ends training"),
        ("clipping_runs", "value", "init == 'he'", lambda v: v * 1e6, "clipping is no repair of the weights"),
    ],
)
def test_one_implementation_that_errs_fails_the_claim(result, backend, table, column, where, change, claim):
    """A claim that looks at one of the two only."""
    frame = result.tables[table].copy()
    rows = frame.query(f"backend == @backend and {where}").index
    assert len(rows) > 0
    frame.loc[rows, column] = change(frame.loc[rows, column])
    assert verdicts(result, **{table: frame})[claim] == "fails"


@pytest.mark.parametrize(
    "changed",
    [
        {"depths": (1,), "inits": ("zeros",), "train_depths": (1,)},
        {"activations": ("relu",), "inits": ("orthogonal",), "depths": (1, 3), "dtype": "float32"},
        {"race_depths": (3,)},
        {"data": "iris"},
    ],
)
def test_extreme_options_still_give_a_report(tmp_path, changed):
    """Statistics of nothing, a figure without lines: whatever the verdict, the report must be written."""
    options = {
        "depths": (2,), "activations": ("tanh",), "inits": ("xavier",), "width": 8, "seeds": 2, "draws": 1000, "train_depths": (2,),
        "train_steps": 3, "train_width": 6, "race_depths": (30,), "race_steps": 6, "train_seeds": 2, "race_seeds": 2, "repair_steps": 4,
        "repair_width": 6, "repair_seeds": 2,
    }  # fmt: skip
    result = run(EXPERIMENT, out=str(tmp_path), **options | changed)
    assert (tmp_path / "report.html").exists() and result.tables["failures"].empty
    assert result.agrees


# --- data ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=data.SHIPPED)
def held(request):
    return data.load(request.param)


def test_data_is_standardised_by_its_training_part(held):
    """A deviation over the wrong axis, or one that takes the test set along."""
    x = held.train.x
    assert np.abs(x.mean(axis=1)).max() < 1e-12
    variance = x.var(axis=1)
    assert (np.isclose(variance, 1, atol=1e-12) | (np.ptp(x, axis=1) == 0)).all()
    assert np.isfinite(held.test.x).all() and np.abs(held.test.x.mean(axis=1)).max() > 1e-6


def test_no_example_is_in_both_parts(held):
    """A split that overlaps, or that loses examples."""
    shipped = data._shipped(held.name)
    bunch = shipped.x, shipped.y
    train, test = held.train.x.shape[1], held.test.x.shape[1]
    assert train + test == bunch[0].shape[1] and abs(test / (train + test) - data.TEST_SHARE) < 0.01
    spread = np.concatenate([held.train.x, held.test.x], axis=1)
    labels = np.concatenate([held.train.y, held.test.y])
    ours = np.unique(np.vstack([spread, labels]).round(9), axis=1, return_counts=True)[1]
    theirs = np.unique(np.vstack(bunch), axis=1, return_counts=True)[1]
    assert sorted(ours) == sorted(theirs)


def test_labels_are_contiguous_and_in_both_parts(held):
    """A class without a column of the output, or a column without a class."""
    for part in (held.train, held.test):
        assert part.y.dtype == np.int64 and set(part.y.tolist()) == set(range(held.classes))


@pytest.mark.parametrize("name", data.SHIPPED)
def test_data_is_the_same_every_time(name):
    """A split that is drawn anew; float32 that is other data than float64."""
    first = data.load(name)
    data._load.cache_clear()
    second, single = data.load(name), data.load(name, "float32")
    assert first.train.x.tobytes() == second.train.x.tobytes() and first.test.y.tobytes() == second.test.y.tobytes()
    assert single.train.x.dtype == np.float32 and np.allclose(single.train.x, first.train.x, atol=1e-5)


# --- the committed results -------------------------------------------------------------------------------------------------


def test_stalls_names_the_first_depth_that_gains_nothing():
    """Any depth that learns, or the deepest instead of the first."""
    losses = {2: 0.4, 5: 2.29, 9: 2.31}
    rows = [
        {"quantity": "loss", "activation": "relu", "init": init, "backend": "scratch", "depth": n,
         "mean": loss if init == "xavier" else 1.0}
        for init in ("xavier", "he") for n, loss in losses.items()
    ]  # fmt: skip
    found = training.stalls(pd.DataFrame(rows), "digits", "float64").set_index("init").from_depth  # guessing: 2.295
    assert found["xavier"] == 5 and np.isnan(found["he"])


def test_a_network_that_never_starts_fails_the_race_and_is_named():
    """A mean over those that started would hide it; a bare NaN would look like a fault."""
    rows = [
        {"depth": 9, "init": init, "backend": backend, "seed": seed, "step": step}
        for backend in ("scratch", "torchref")
        for init, steps in {"xavier": (90.0, np.nan, 80.0), "he": (10.0, 11.0, 12.0)}.items()
        for seed, step in enumerate(steps)
    ]
    claim = race.sooner(9, pd.DataFrame(rows), "9 layers, 99 steps")
    verdict = judge([claim])[0].iloc[0]
    assert verdict.verdict == "fails" and "not every network began to learn" in verdict.condition


# --- what is predicted of repairs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [5, 8, 16, 60])
def test_batch_norms_explosion_is_the_closed_form_where_there_is_one(batch):
    """The sums over one and two examples, against Yang's formulas (2019, Theorem 8) for ReLU and for linear networks."""
    c = -1 / (batch - 1)
    angle = np.pi - np.arccos(c)
    j, slope = (np.sqrt(1 - c * c) + angle * c) / np.pi, angle / np.pi
    yang = (slope + batch - 1) / ((batch - 3) * (1 - j)) - 1 / (batch - 3)
    relu, linear = (repair_laws.batch_norm(kind, batch)[0] for kind in (ReLU(), Identity()))
    assert relu == pytest.approx(yang, rel=2e-3)  # 200 nodes a direction across the kink at 0
    assert linear == pytest.approx((batch - 2) / (batch - 3), rel=1e-10)


@pytest.mark.parametrize("activation", [Sigmoid(), Tanh(), ReLU()])
def test_batch_norms_explosion_is_the_mean_over_a_sphere(activation):
    """The same from its definition, with matrices: E tr(M D P D) over directions drawn at random, E 1/σ² over lengths."""
    batch, draws = 7, 40_000
    z = np.random.default_rng(3).standard_normal((draws, batch))
    z -= z.mean(-1, keepdims=True)
    x = z * np.sqrt(batch) / np.linalg.norm(z, axis=-1, keepdims=True)
    value, cache = activation.forward({}, x.copy())
    d, _ = activation.backward({}, cache, np.ones_like(x))
    centre = np.eye(batch) - 1 / batch
    m = centre - x[:, :, None] * x[:, None, :] / batch
    trace = np.einsum("sij,sj,jk,sk,ski->s", m, d, centre, d, m, optimize=True)
    gap = (
        value[:, 0] ** 2 - value[:, 0] * value[:, 1]
    ).mean()  # one pair of the examples, so a wider error than need be
    inverse = (batch / (z**2).sum(-1)).mean()
    simulated = inverse / gap * trace.mean() / (batch - 1)
    factor, exact = repair_laws.batch_norm(activation, batch)
    # relative errors of the three means, as if independent: twice their root sum of squares is still below 4 standard errors
    parts = [trace, value[:, 0] ** 2 - value[:, 0] * value[:, 1], batch / (z**2).sum(-1)]
    error = 4 * np.sqrt(sum(a.var() / a.mean() ** 2 for a in parts) / draws)
    assert abs(simulated / factor - 1) < error < 0.1 and abs(gap / exact - 1) < error


@pytest.mark.parametrize("depth", [1, 2, 30])
def test_skip_connections_of_relu_in_closed_form(depth):
    """He's ReLU has χ = 1: plain 2^(L−l), scaled (1 + 1/L)^(L−l), half and a small share of it through weights."""
    up = np.arange(depth)[::-1]  # layers above
    for kind, through in (("skip", 1.0), ("skip/√L", 1 / depth)):
        logs, shares = repair_laws.gradient(kind, ReLU(), 2.0, depth, 16)
        assert np.allclose(logs, up * np.log1p(through), atol=1e-9)
        assert np.allclose(shares, up * through / (1 + through), atol=1e-9)
    assert np.allclose(repair_laws.gradient("plain", ReLU(), 0.5, depth, 16)[0], up * np.log(0.25), atol=1e-9)


def test_a_block_of_tanh_by_simulation():
    """The growth of q, which ReLU's closed form does not need: one wide network, block by block."""
    random, width, sigma_w2, alpha, depth = np.random.default_rng(5), 1500, 1.7, 0.6, 4
    h, expected = np.sqrt(sigma_w2) * random.standard_normal(width), []
    for _ in range(depth - 1):
        expected.append(np.log1p(alpha**2 * sigma_w2 * ((1 - np.tanh(h) ** 2) ** 2).mean()))
        h = h + alpha * np.sqrt(sigma_w2 / width) * random.standard_normal((width, width)) @ np.tanh(h)
    found = repair_laws.skip(Tanh(), sigma_w2, alpha, depth)[0]
    # χ is a mean of 1500 numbers between 0 and 1 (deviation below ½), its logarithm's slope below α²σ_w²
    assert np.allclose(found, expected, atol=4 * 0.5 * alpha**2 * sigma_w2 / np.sqrt(width))
    assert found[0] > found[-1] + 0.02  # it falls as q grows: else the recursion of q would not be tested


@pytest.mark.parametrize("c", [-0.9, 0.0, 0.3, 0.99])
def test_correlations_map_is_a_mean_over_normals(c):
    """2 E ReLU(x)ReLU(y), by simulation, at the first layer."""
    x, y = np.random.default_rng(1).standard_normal((2, 200_000))
    product = 2 * np.maximum(x, 0) * np.maximum(c * x + np.sqrt(1 - c * c) * y, 0)
    error = product.std() / np.sqrt(len(product))
    assert abs(repair_laws.correlations(c, 1)[0] - product.mean()) < 4 * error


def test_correlations_go_to_one_as_theory_says():
    """c = 1 stays; 1 − c falls as 9π²/2l², from 1 − J(c) ≈ (1 − c) − (2√2/3π)(1 − c)^1.5."""
    assert np.allclose(repair_laws.correlations(1.0, 5), 1, atol=1e-15)
    assert repair_laws.correlations(0.0, 1)[0] == pytest.approx(1 / np.pi)
    assert (1 - repair_laws.correlations(0.0, 4000)[-1]) * 4000**2 == pytest.approx(9 * np.pi**2 / 2, rel=0.02)


# --- repaired networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", repair_laws.KINDS)
def test_a_repaired_body_computes_what_its_name_says(kind):
    """α in the wrong place, a skip around the first layer, no norm: worked out by hand for two layers."""
    layers = repairs.body(kind, Tanh(), 3, 2, BatchNorm(repairs.TINY, affine=False))
    drawn = Network(layers, 3).initialize(initializers.lecun, lambda k: np.random.default_rng(k))
    parameters = repairs.damped(drawn, repair_laws.scale(kind, 2))
    weights = [p[name] for p in drawn for name in ("W", "1.W") if name in p]
    x = np.random.default_rng(9).standard_normal((3, 4))

    def normal(z):
        return (z - z.mean(-1, keepdims=True)) / z.std(-1, keepdims=True)

    z = weights[0] @ x
    by_hand = {
        "plain": np.tanh(weights[1] @ np.tanh(z)),
        "batch norm": np.tanh(normal(weights[1] @ np.tanh(normal(z)))),
        "skip": np.tanh(z + weights[1] @ np.tanh(z)),
        "skip/√L": np.tanh(z + weights[1] @ np.tanh(z) / np.sqrt(2)),
    }
    job = Job(layers, InnerProduct(), parameters, Batch(x, np.ones_like(x)))
    assert np.allclose(snapshot(job).outputs[-1], by_hand[kind], atol=1e-12)


def test_a_loss_that_is_no_number_counts_as_infinite():
    """A mean over the seeds that survived; nothing to compare where all died."""
    output = np.array([[[0.0, 2.0]], [[np.nan, 1.0]]]).swapaxes(0, 1)  # one network, two classes
    loss, _ = shared.scored(np.stack([output[0], np.zeros((2, 2))]), np.array([0, 1]))
    assert np.isposinf(loss[0]) and loss[1] == pytest.approx(np.log(2))


@pytest.mark.parametrize("clip", [None, ClipNorm(exploding.LIMIT)])
def test_the_first_step_is_what_sgd_does(clip):
    """η‖g‖ without clipping, η·limit with it, each in units of η·limit; a momentum that counts twice."""
    layers = (Dense(4), ReLU(), Dense(data.load("iris").classes))
    job = replace(shared.classifying(layers, [shared.gaussian(50.0)], 3, 2, "iris", "float64"), clip=clip)
    found = exploding.first_steps_of(Lab("first steps", {}), job, ["wild"])
    expected = found.gradient / exploding.LIMIT if clip is None else found.predicted
    assert (found.gradient > exploding.LIMIT).all() and list(found.seed) == [0, 1, 0, 1]
    assert list(found.backend) == ["scratch"] * 2 + ["torchref"] * 2
    assert (abs(found.measured - expected) <= 4 * found.standard_error * np.maximum(1, expected)).all()
    assert (found.standard_error < 1e-12).all()


@pytest.mark.parametrize("kind, inits", who_learns.TRAINED.items())
def test_repaired_networks_are_trained_by_both_implementations(kind, inits):
    """A kind that cannot train, a name that the claims do not know, a seed or a step that is lost."""
    settings = {"kind": kind, "activation": "tanh", "depth": 4}
    sizes = {"repair_width": 6, "repair_steps": 3, "repair_seeds": 2, "data": "iris", "dtype": "float64"}
    lab = Lab("mended_runs", settings)
    table = who_learns.mended_runs(lab, **settings, **sizes)
    ours, theirs = (table[table.backend == name].value.to_numpy() for name in ("scratch", "torchref"))
    assert len(ours) == 2 * 4 * len(inits) * 2  # quantities, looks, weights, seeds
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert len(lab.agreement) == 1 and (lab.agreement[0].ratio <= 1).all()
    found = who_learns.mended(table, "iris", "float64").query("backend == 'scratch'").set_index("init")
    for init in inits:
        logs, _ = repairs.of_init(kind, "tanh", init, 3, shared.BATCH)
        name = init if kind == "plain" else f"{init}, {kind}"
        assert found.power[name] == pytest.approx(logs[0] / np.log(100)) and found.seeds[name] == 2


def fates(learned: float = 0.5, stuck: float = 2.31, backend: str = "") -> pd.DataFrame:
    """Training losses at 30 layers: standard weights and every repair of sigmoid; ``backend`` alone differs from the ordinary."""
    rows = []
    for name in ("scratch", "torchref"):
        good, bad = (learned, stuck) if backend in ("", name) else (0.5, 2.31)
        ends = {("standard", "plain"): bad, ("he", "plain"): bad, ("standard", "batch norm"): good,
                ("standard", "skip"): good, ("he", "skip/√L"): good}  # fmt: skip
        for (init, kind), end in ends.items():
            for seed, step in [(s, t) for s in range(8) for t in (0, 50)]:
                value = end + 0.01 * seed if step else 2.6
                rows.append({"kind": kind, "quantity": "loss", "activation": "sigmoid", "init": init, "seed": seed,
                             "depth": 30, "backend": name, "step": step, "value": value})  # fmt: skip
    return pd.DataFrame(rows)


def fate_verdicts(training: pd.DataFrame) -> dict[str, str]:
    claims = list(who_learns.fates(who_learns.mended(training, "digits", "float64")))  # guessing: 2.295
    return dict(judge(claims)[0].set_index("claim").verdict)


def test_who_learns_is_predicted_from_the_gradient():
    """A power of ten with the wrong sign, or of the square; a fate given to networks about which nothing is claimed."""
    found = who_learns.mended(fates(), "digits", "float64").query("backend == 'scratch'").set_index("init")
    assert found.power["standard"] == pytest.approx(
        28 * np.log10(0.02) / 2, rel=0.02
    )  # χ = σ_w² E σ′² = 0.058/3 a layer
    assert found.power["he, skip/√L"] == pytest.approx(0.015, abs=0.001)
    assert dict(found.learns) == {
        "standard": 0,
        "he": 0,
        "standard, batch norm": 1,
        "standard, skip": 1,
        "he, skip/√L": 1,
    }
    one = fates().assign(init="he", kind="skip", activation="relu", depth=31)
    assert who_learns.mended(one, "digits", "float64").power[0] == pytest.approx(29 * np.log10(2) / 2)
    middle = fates().assign(activation="relu", depth=6)  # (1/6)^4: a little small
    assert np.isnan(who_learns.mended(middle, "digits", "float64").set_index("init").learns["standard"]).all()


@pytest.mark.parametrize("backend", ["scratch", "torchref"])
def test_claims_about_who_learns_can_fail(backend):
    """Repaired networks that do not learn, unrepaired ones that do, in one implementation."""
    assert set(fate_verdicts(fates()).values()) == {"holds"}
    assert fate_verdicts(fates(learned=2.2, backend=backend))["repaired, it learns"] == "fails"
    assert fate_verdicts(fates(stuck=2.1, backend=backend))["unrepaired, it does not"] == "fails"
    one_fate = who_learns.mended(fates().query("kind != 'plain'"), "digits", "float64")
    assert list(who_learns.fates(one_fate)) == []
