"""The experiment on precision, small: what holds must hold for both implementations, and each prediction has a second witness."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.catalog.precision import arithmetic, laws, layers, shared, stagnation, training
from experiments.catalog.precision.formats import (
    BF16,
    FLOAT32,
    FLOAT64,
    FORMATS,
    FP16,
    SHORT,
    TF32,
    defined,
    jittered,
    rounded,
    spacing,
    stochastic,
    unheld,
)
from experiments.catalog.precision.orders import ORDERS
from experiments.lab.experiment import load
from experiments.lab.judge import judge
from scratch import CrossEntropy, Dense, Tanh
from scratch.contract import Batch, Job
from scratch.errors import InvalidInput
from scratch.training import snapshot, train
from torchref import training as torchref

EXPERIMENT = load("precision")
# in layers of 24 units some processors' kernels add several partial sums at once, which the model of one sum in turn is not about
TINY = {
    "draws": 2000, "lengths": (100, 1000), "trials": 60, "growth": 2500, "depth": 4, "width": 48, "seeds": 10, "replicas": 2,
    "fading": 8, "steps": 30,
}  # fmt: skip


@pytest.fixture(scope="module")
def result(ran):
    return ran("precision")[0]


@pytest.fixture(scope="module")
def claims(result):
    return {claim.name: claim for claim in EXPERIMENT.definition.analyse(result.tables, result.options).claims}


def verdicts(result, **spoilt) -> pd.Series:
    found = EXPERIMENT.definition.analyse(result.tables | spoilt, result.options)
    return judge(found.claims)[0].set_index("claim").verdict


ERRING = [
    ("casts", "measured", "format == 'fp16'", lambda v: v + 1, {"to the bit"}),
    ("dots", "worst", "order == 'library'", lambda v: v + 1, {"sums, worst case"}),
    ("dots", "beyond", "order == 'one by one' and format == 'float32'", lambda v: v + 0.1, {"sums, probabilistic"}),
    ("dots", "measured", "order == 'one by one' and format == 'float32'", lambda v: v * 3, {"sums, one by one"}),
    ("dots", "measured", "order == 'in pairs' and format == 'bf16'", lambda v: v * 3, {"sums in pairs"}),
    ("dots", "measured", "order == 'tensor core' and format == 'tf32'", lambda v: v * 3, {"tensor cores"}),
    ("ends", "total", "mode == 'nearest'", lambda v: v + 1, {"bf16 sums stand still"}),
    ("ends", "terms", "mode == 'nearest'", lambda v: v * 1.1, {"time to stand still"}),
    ("ends", "total", "mode == 'stochastic'", lambda v: v * 0.9, {"rounding at random"}),
    ("measurements", "of_bound", "format == 'bf16'", lambda v: v + 1, {"layer by layer, worst case"}),
    ("apart", "apart", "format == 'float32'", lambda v: v * 20, {"rounding or a mistake?"}),
    ("underflow", "zero", "format == 'bf16'", lambda v: v + 0.01, {"underflow"}),
    ("underflow", "measured", "format == 'fp16, scaled'", lambda v: v * 4, {"loss scaling"}),
    ("unmoved", "measured", "layer == 1", lambda v: v + 0.05, {"updates that are not felt"}),
    ("training", "loss", "way == 'tf32'", lambda v: v * 1.3, {"a master copy repairs it"}),
    ("training", "loss", "way == 'bf16 weights, at random'", lambda v: v * 1.3, {"rounding at random repairs it too"}),
]


@pytest.mark.parametrize("backend", ["scratch", "torchref"])
def test_one_implementation_that_errs_fails_the_claim(result, backend):
    """A claim that looks at one of the two only, or at one format only. Each fault is one claim's."""
    spoilt, expected = {}, set()
    for table, column, where, change, fails in ERRING:
        frame = spoilt.setdefault(table, result.tables[table].copy())
        chosen = frame.query(where if table == "apart" else f"backend == @backend and {where}").index
        assert len(chosen) > 0, where
        frame[column] = frame[column].astype(float)
        frame.loc[chosen, column] = change(frame.loc[chosen, column])
        expected |= fails
    found = verdicts(result, **spoilt)
    assert set(found[found == "fails"].index) == expected


@pytest.mark.parametrize("signal", ["activation", "gradient"])
def test_an_error_of_one_bit_in_any_format_fails(result, signal):
    """A comparison that takes all formats together, or one of the signals."""
    for name in FORMATS:
        spoilt = result.tables["measurements"].copy()
        chosen = (spoilt.format == name) & (spoilt.signal == signal) & (spoilt.backend == "torchref")
        spoilt.loc[chosen, "measured"] *= 4
        found, _ = judge(list(layers.layer_by_layer(layers.layers(spoilt))))
        assert list(found.verdict) == (["fails", "holds"] if signal == "activation" else ["holds", "fails"]), name


# --- formats ---------------------------------------------------------------------------------------------------------------


def nearest_fraction(x: float, to) -> float:
    """Round to nearest, ties to even, in exact rational arithmetic: a witness that shares nothing with either rounding."""
    exact = Fraction(x)
    if exact == 0:
        return x
    exponent = to.lowest
    while Fraction(2) ** (exponent + 1) <= abs(exact):
        exponent += 1
    gap = Fraction(2) ** (exponent - to.bits + 1)
    near = round(exact / gap) * gap  # Python rounds a fraction's half to even
    return float(np.copysign(float(abs(near)) if abs(near) <= to.largest else np.inf, x))


@pytest.mark.parametrize("to", SHORT, ids=lambda to: to.name)
def test_rounding_against_exact_fractions(to):
    """A tie that goes up, a subnormal spacing, an overflow one unit too late."""
    random = np.random.default_rng(0)
    sizes = np.exp2(random.uniform(to.lowest - to.bits - 2, min(to.highest + 1.5, 127), 200)) * random.choice(
        [-1, 1], 200
    )
    special = [
        0.0,
        -0.0,
        1.0,
        1 + to.unit,
        1 + 3 * to.unit,
        -1 - to.unit,
        to.smallest / 2,
        1.5 * to.smallest,
        0.51 * to.smallest,
    ]
    edges = [to.largest, to.largest * (1 + to.unit / 2.1), to.largest * (1 + to.unit / 1.9), 1.25 * to.smallest]
    with np.errstate(over="ignore"):
        x = np.array([*sizes, *special, *edges], np.float32)
    x = x[np.isfinite(x)]
    expected = np.array([nearest_fraction(float(v), to) for v in x])
    for found in (rounded(x, to), defined(x, to)):
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    np.testing.assert_array_equal(
        rounded(np.array([np.inf, -np.inf, np.nan], np.float32), to), [np.inf, -np.inf, np.nan]
    )


def test_pytorch_types_have_these_limits():
    """A p, an exponent or a largest number that belongs to another format."""
    for to, kind in ((FP16, torch.float16), (BF16, torch.bfloat16), (FLOAT32, torch.float32), (FLOAT64, torch.float64)):
        known = torch.finfo(kind)
        assert (to.largest, 2 * to.unit, 2.0**to.lowest) == (known.max, known.eps, known.tiny)
        assert to.smallest == (known.smallest_normal * known.eps)


@pytest.mark.parametrize("to", [TF32, BF16], ids=lambda to: to.name)
def test_stochastic_rounding_gives_neighbours_with_the_right_mean(to):
    """A carry that is lost, or a probability that is off by one unit of the dropped bits."""
    x = np.full(40_000, 1 + 2.7 * to.unit, np.float32)
    found = stochastic(x, to, np.random.default_rng(0)).astype(float)
    low, high = 1 + 2 * to.unit, 1 + 4 * to.unit
    assert set(found) == {low, high}
    error = 2 * to.unit * np.sqrt(0.35 * 0.65 / len(x))  # of a mean of so many choices
    assert abs(found.mean() - float(x[0])) < 4 * error
    held = rounded(np.float32([1.5, -3.25, 0.0]), to)
    np.testing.assert_array_equal(stochastic(held, to, np.random.default_rng(1)), held)


def test_jitter_is_uniform_in_half_a_spacing_and_spares_what_is_held():
    x = np.random.default_rng(0).standard_normal(20_000)
    error = (jittered(x, BF16, np.random.default_rng(1)) - x) / spacing(x, BF16)
    assert np.abs(error).max() <= 0.5
    assert np.mean(error**2) == pytest.approx(1 / 12, rel=0.03)  # s.e. of the square: 0.9/√20000 of it, 0.6 %
    held = rounded(x.astype(np.float32), BF16).astype(float)
    np.testing.assert_array_equal(unheld(held, BF16, np.random.default_rng(2)), held)
    np.testing.assert_array_equal(
        spacing(np.array([1.0, 1.99, 2.0, 0.0, 1e-9]), FP16), 2.0 ** np.array([-10, -10, -9, -24, -24])
    )


# --- networks in a short format --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tf32", "fp16", "bf16"])
@pytest.mark.parametrize("leading", [(), (3,)])
def test_scratch_and_pytorch_compute_alike_in_short_formats(name, leading):
    """A rounding that one of them makes and the other does not: all but few numbers have the same bits."""
    random, to = np.random.default_rng(5), FORMATS[name]
    drawn = [
        random.standard_normal((*leading, *shape)).astype(np.float32) / 3 for shape in ((7, 5), (7, 1), (4, 7), (4, 1))
    ]
    parameters = ({"W": drawn[0], "b": drawn[1]}, {}, {"W": drawn[2], "b": drawn[3]}, {})
    x, y = random.standard_normal((5, 9)).astype(np.float32), random.integers(0, 4, 9)
    if to.stored:  # inputs are handed over as numbers of the format
        x = rounded(x, to)
    layers = arithmetic.shortened((Dense(7), Tanh(), Dense(4)), to)
    job = Job(layers, arithmetic.Scaled(scale=64.0), parameters, Batch(x, y))
    ours, theirs = snapshot(job), torchref.snapshot(job)
    plain = snapshot(replace(job, layers=(Dense(7), Tanh(), Dense(4)), parameters=parameters[:3], loss=CrossEntropy()))
    for a, b in zip((*ours.outputs, *ours.output_gradients), (*theirs.outputs, *theirs.output_gradients), strict=True):
        assert a.dtype == b.dtype == np.float32 and a.shape == b.shape
        assert np.abs(a - b).max() <= 2 * spacing(np.abs(a).max(), to)
        assert (
            a is ours.output_gradients[-1] or not to.stored or np.mean(a != b) < 0.2
        )  # the loss's own gradient is float32's
    for mine, other, exact in zip(ours.gradients, theirs.gradients, plain.gradients, strict=False):
        for key in mine:
            size = np.abs(exact[key]).max()
            assert np.abs(mine[key] - other[key]).max() <= 2 * spacing(64 * size, to)
            assert 1e-7 < np.abs(mine[key] / 64 - exact[key]).max() / size < 8 * to.unit  # rounded, but no more
    if to.stored:
        for array in (*ours.outputs, *ours.output_gradients[:-1]):  # the loss's own gradient is float32's
            np.testing.assert_array_equal(array, rounded(array, to))


@pytest.mark.parametrize("way", ["tf32", "fp16", "bf16"])
def test_the_first_update_is_float32s_but_for_rounding(way):
    """A loss scale that is not taken out of the rate, or a rounding that a master copy must not see."""

    def first(way: str, train) -> np.ndarray:
        job = training.run(way, 2, 2, 0.02, (0, 1, 2))
        start, then, _ = train(job)
        return np.concatenate(
            [(b["W"] - a["W"]).ravel() for a, b in zip(start.parameters, then.parameters, strict=True) if a]
        )

    exact = first("float32", train)
    for ours in (train, torchref.train):
        found = first(way, ours)
        assert 0 < np.linalg.norm(found - exact) < 4 * FORMATS[way].unit * np.linalg.norm(exact)  # two layers: 2 to 3 u


def test_a_stack_gives_the_bits_of_each_network_alone():
    made = shared.nets(2, 6, 3, "float32")
    job = made.job(BF16)
    both = snapshot(job)
    for k in range(3):
        alone = Job(
            job.layers,
            job.loss,
            arithmetic.put(job.parameters, lambda n, a, k=k: a[k]),
            Batch(job.data.x[k], job.data.y[k]),
        )
        one = snapshot(alone)
        for a, b in zip(both.output_gradients, one.output_gradients, strict=True):
            np.testing.assert_array_equal(a[k], b)


def test_the_random_model_against_propagated_covariances():
    """The model's mean square, by simulation, against its exact value: C ← (D W) C (D W)ᵀ + diag(v), example by example."""
    made, replicas = shared.nets(3, 8, 1, "float32"), 300
    truth = shared.signals(*shared.seen(made.job(FLOAT64)))
    found = shared.model(made, BF16, truth, replicas).query("signal == 'activation'").modelled.to_numpy()
    job, shot = shared.seen(made.job(FLOAT64))
    covariance, expected = np.zeros((shared.EXAMPLES, 64, 64)), []

    def variance(a):
        return spacing(a, BF16) ** 2 / 12

    x = job.data.x[0]
    for k in range(0, len(job.layers) - 1, 2):
        w, b = job.parameters[k]["W"][0], job.parameters[k]["b"][0]
        product, z = w @ x, shot.outputs[k][0]
        own = variance(w) @ x**2 + variance(product) + variance(b) + variance(z)  # weights, product, bias, sum
        covariance = w @ covariance @ w.T + np.stack([np.diag(v) for v in own.T])
        expected.append(np.trace(covariance, axis1=1, axis2=2).sum() / (z**2).sum())
        if k + 1 < len(job.layers) - 1:
            x = shot.outputs[k + 1][0]
            slope = (1 - x**2).T
            covariance = slope[:, :, None] * covariance * slope[:, None, :] + np.stack(
                [np.diag(v) for v in variance(x).T]
            )
    np.testing.assert_allclose(
        found, expected, rtol=0.06
    )  # 300 draws of a sum of some hundred squares: 1 %; second order in u: 2 %


def test_the_worst_case_is_reached_by_an_adversary():
    """A bound that is never tight somewhere is too loose: every rounding of one product up by u, all numbers positive."""
    w, x = np.full((1, 8), 1.0), np.full((8, 1), 1.0)
    bound = laws.Worst(FLOAT32)
    e = bound.dense(w, np.zeros((1, 1)), x, np.zeros_like(x))[0, 0]
    n, u = 8, 2.0**-24
    assert n * u * 8 <= e <= (n + 1.1) / (1 - n * u) * u * 8 * 1.01  # n roundings of the sum, one of the bias
    short = laws.Worst(BF16)
    grown = short.dense(w, np.zeros((1, 1)), x, 0.01 * x)[0, 0]
    assert grown >= 8 * ((1 + 2.0**-8) * 1.01 * (1 + 2.0**-8) - 1)
    long, none = np.ones((1, 400)), np.zeros((1, 400))
    probable = laws.Worst(FLOAT32, probable=True).product(long, none, long.T, none.T)
    assert probable[0, 0] == pytest.approx(laws.LAMBDA * 20 * u * 400, rel=1e-3)


def test_the_worst_case_of_the_way_back_against_every_corner():
    """A slope taken for exact, or an error of the logits that does not reach the gradient."""
    bound, a = laws.Worst(FLOAT64), np.linspace(-0.9, 0.9, 19)[None]
    corners = [(1.7 + i) * (1 - (a + j) ** 2) - 1.7 * (1 - a * a) for i in (-0.02, 0.02) for j in (-0.05, 0.05)]
    worst, allowed = (
        np.abs(corners).max(0),
        bound.through(a, np.full_like(a, 0.05), np.full_like(a, 1.7), np.full_like(a, 0.02)),
    )
    assert (allowed >= worst).all() and (allowed <= 1.2 * worst + 1e-12).all()
    z = np.array([[0.3], [-1.2], [2.0]])
    shares = np.exp(z) / np.exp(z).sum()
    moved = [z + 0.01 * np.array(signs)[:, None] for signs in product((-1, 1), repeat=3)]
    worst = max(np.abs(np.exp(v) / np.exp(v).sum() - shares).max() for v in moved)
    assert worst <= bound.loss(shares, z, np.full_like(z, 0.01)).max() <= 2 * worst


# --- sums ------------------------------------------------------------------------------------------------------------------


KNOWN = {"chopped": (TF32,), "library": (FLOAT32,), "tensor core": SHORT}  # what an order is asked for, if not for all


def test_every_order_of_summation_sums():
    """An order that forgets a term: exact on small whole numbers, which every format holds."""
    random = np.random.default_rng(0)
    x, y = (random.integers(0, 3, (6, 21)).astype(np.float32) for _ in range(2))
    for ways in ORDERS.values():
        for order, way in ways.items():
            for to in KNOWN.get(order, (BF16, FP16, FLOAT32)):
                np.testing.assert_array_equal(way(x, y, to, "cpu"), (x * y).sum(-1), err_msg=f"{order} {to.name}")


def test_addition_law_against_all_pairs():
    """The factor 1 + 2·4⁻ʲ: every sum of two numbers of a tiny format, one binade apart by d."""
    to = replace(BF16, bits=6)
    held = np.arange(32, 64) / 32.0
    for d in range(4):
        a, b = np.meshgrid(held, held / 2.0**d)
        exact = a + b
        carried = exact >= 2  # there the spacing doubles
        for chosen in (carried, ~carried):
            if chosen.any():
                square = np.mean((defined(exact[chosen], to) - exact[chosen]) ** 2)
                law = laws.addition(a[chosen], b[chosen], to).mean()
                assert square == pytest.approx(
                    law, rel=0.12, abs=1e-12
                )  # the last bits are not quite uniform on so few numbers


def test_pairwise_law_against_all_quadruples():
    """Ties that are as frequent at the second sum as at the first: a tie goes to the even number, which makes the next one rarer."""
    to, held = replace(BF16, bits=4), np.arange(8, 16) / 8.0
    four = np.stack(np.meshgrid(held, held, held, held), -1).reshape(-1, 4)
    halves = defined(four[:, ::2] + four[:, 1::2], to)
    square = np.mean((defined(halves.sum(-1), to) - four.sum(-1)) ** 2)
    assert square == pytest.approx(
        laws.pairwise(four, to).mean(), rel=0.05
    )  # without the rarer ties it would be 20 % more


def test_row_29_of_the_predictions():
    """A sum of n terms of ¼: 2.5, 7.0, 25.8 and 79 u, from spacings alone; 7.0 and 79, not 6.4 and 106."""
    for n, expected in ((100, 2.510), (1000, 7.009), (10_000, 25.816), (100_000, 79.212)):
        partial = np.arange(1, n + 1) / 4
        assert np.sqrt((spacing(partial, FLOAT32) ** 2).sum() / 12) / partial[-1] * 2**24 == pytest.approx(
            expected, abs=2e-3
        )
    x, y = shared.operands("positive", 300, 100)
    products = x.astype(float) * y
    found = (
        np.sqrt((laws.multiplied(products, FLOAT32) + laws.sequential(products, FLOAT32)).mean())
        / products.sum(-1).mean()
    )
    assert found * 2**24 == pytest.approx(2.51, rel=0.03)


def test_stagnation_law_against_quadrature_and_simulation():
    """A chance that forgets ties, a distribution of products that does not sum to one."""
    values, share = laws.terms()
    assert share.sum() == pytest.approx(1, abs=1e-12)
    assert share @ values == pytest.approx(0.25, abs=1e-4) and share @ values**2 == pytest.approx(1 / 9, abs=1e-4)
    even, odd = laws.gain(1.0)
    above = (1 - np.log(2)) / 2  # P(xy > ½)
    assert even < above < odd and odd - even == pytest.approx(
        np.log(2) * 3 * 2.0**-9 / 2, rel=0.3
    )  # a tie, of width 3·2⁻¹⁰
    x, y = (rounded(v, BF16) for v in shared.operands("positive", 400, 3000))
    path = stagnation.growing(rounded(x * y, BF16), "nearest", "cpu")
    between = np.argmax(path >= 256, 0) - np.argmax(path >= 128, 0)
    mean, variance = laws.passage()
    assert abs(between.mean() - mean) < 4 * np.sqrt(variance / 400)
    assert between.var() == pytest.approx(variance, rel=0.3)  # s.e. of a variance of 400: 7 %
    looks = np.array([30, 300, 1000, 2999])
    np.testing.assert_allclose(path[looks - 1].mean(1), laws.drift(looks), rtol=0.03)


def test_rounding_at_random_law_against_enumeration():
    products = np.array([[100.25, 0.3, 0.9]])  # spacing ½ from 64 to 128
    assert laws.by_chance(products, BF16)[0] == pytest.approx(0.25 * (0.6 * 0.4 + 0.8 * 0.2))


# --- options ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed, named",
    [({"lengths": ()}, "--lengths"), ({"lengths": (1,)}, "--lengths"), ({"lengths": (5, 5)}, "--lengths"), ({"trials": 3}, "--trials"),
     ({"growth": 100}, "--growth"), ({"seeds": 2}, "--seeds"), ({"rate": 0.0}, "--rate"), ({"depth": 1000}, "--depth"),
     ({"steps": 3}, "--steps"), ({"replicas": 0}, "--replicas")],
)  # fmt: skip
def test_bad_options_are_refused(changed, named):
    with pytest.raises(InvalidInput, match=named):
        EXPERIMENT.options(**changed)


# --- the committed results -------------------------------------------------------------------------------------------------
