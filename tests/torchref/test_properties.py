"""What holds for every network, on networks that nobody wrote down: Hypothesis draws them, see strategies.py.

The same examples every time, and few; ``-m slow`` draws forty times as many, new ones each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import helpers
import numpy as np
import pytest
import strategies as drawn
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import scratch as s
from experiments.compare import agreement
from experiments.compare.agreement import Rounding, unit_roundoff
from experiments.compare.witnesses import INPUT, WITNESSES, noise_level, observed
from scratch import training as ours
from scratch.contract import Batch
from scratch.network import merge
from scratch.randomness import generator
from torchref import training as theirs

FEW = settings(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
CLAIMS: dict[str, tuple[Callable, dict[str, st.SearchStrategy], int]] = {}


def holds(examples: int, **strategies: st.SearchStrategy) -> Callable[[Callable], Callable]:
    """A test on so many drawn examples, kept for the slow test as well."""

    def decorate(claim: Callable) -> Callable:
        CLAIMS[claim.__name__] = claim, strategies, examples
        return settings(FEW, max_examples=examples)(given(**strategies)(claim))

    return decorate


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_many(name):
    """What few examples do not meet."""
    claim, strategies, examples = CLAIMS[name]
    settings(FEW, max_examples=40 * examples, derandomize=False, print_blob=True)(given(**strategies)(claim))()


def assert_agree(found):
    worst = max(found, key=lambda d: d.ratio)
    assert worst.ratio <= 1, f"{worst.ratio:.3g} times the rounding bound: {worst}"


def compared(job, noise=None):
    """Every pair of witnesses on every quantity."""
    said = {name: witness(job) for name, witness in WITNESSES.items()}
    rounding = Rounding(job, generator(0, "replicas"))
    for key in said["by hand"]:
        for one, other in combinations(said.values(), 2):
            yield rounding.difference(key, one[key], other[key], 0.0 if noise is None else noise[key])


@holds(40, job=drawn.jobs())
def test_four_witnesses_agree(job):
    """A wrong derivative, a lost factor, a sum over the wrong axis, in any order and nesting of layers."""
    job = observed(job)
    assert_agree(compared(job, noise_level(job, generator(0, "noise"))))


@holds(50, job=drawn.kinked_jobs())
def test_at_kinks_every_witness_follows_pytorch(job):
    """Numbers that hit a kink exactly: the subgradient there is a convention, and it must be the same one."""
    assert_agree(compared(observed(job)))


@holds(10, job=drawn.alone())
def test_one_example_has_no_variance(job):
    """A witness that divides by √ε instead would vouch for a number that PyTorch refuses to give."""
    for name, witness in WITNESSES.items():
        expected = ValueError if name == "torch" else s.InvalidInput
        with pytest.raises(expected, match=r"two examples in a batch, got 1|more than 1 value per channel"):
            witness(observed(job))


@holds(20, seed=drawn.SEEDS, m=drawn.EXAMPLES, layer=st.builds(s.LayerNorm, drawn.EPSILONS), dtype=drawn.DTYPES)
def test_one_unit_that_is_normalized_says_nothing(seed, m, layer, dtype):
    """x − μ is exactly 0, so β comes out and no gradient goes on; PyTorch's fused x/σ − μ/σ leaves the rounding of x/√ε."""
    random = np.random.default_rng(seed)
    x, y, gamma, beta = (random.standard_normal(shape).astype(dtype) for shape in ((1, m), (1, m), (1, 1), (1, 1)))
    job = s.Job((layer,), s.InnerProduct(reduction="sum"), ({"gamma": gamma, "beta": beta},), Batch(x, y))
    left = 4 * unit_roundoff(x.dtype) / np.sqrt(layer.eps) * np.linalg.norm(y)
    for name, witness in WITNESSES.items():
        said, keys = witness(observed(job)), (INPUT, (2, "gradient of gamma"))
        largest = [np.linalg.norm(said[key]) for key in keys]
        assert name == "torch" or not any(largest), name
        assert largest[0] <= left * np.abs(gamma) and largest[1] <= left * np.linalg.norm(x), name


@holds(40, job=drawn.trainings())
def test_training_agrees(job):
    """Any optimizer with any schedule, penalty, clip and constraint: a step in the wrong order, a rate of the step before."""
    mine, other = list(ours.train(job)), list(theirs.train(job))
    found = agreement.trajectory(job, mine, other, generator(0, "replicas"))
    largest = {shot.step: np.abs(shot.outputs[-1]).max() for shot in mine}
    assert_agree([d for d in found if not coarse(job, d, largest[d.step])])


def coarse(job, d, largest):
    """A cross-entropy that is nearly 0 comes from numbers that are not: off by roundings of 1, in PyTorch's binary one of |z|."""
    if d.quantity != "loss" or not isinstance(
        job.loss, (s.BinaryCrossEntropy, s.CrossEntropy, s.NegativeLogLikelihood)
    ):
        return False
    most = max(chosen.shape[-1] for chosen in job.batches)
    terms = job.network.widths[-1] * most if job.loss.reduction == "sum" else 1
    weight = getattr(job.loss, "pos_weight", None) or getattr(job.loss, "weight", None) or 1
    return d.difference <= 4 * unit_roundoff(job.data.x.dtype) * (1 + np.max(weight)) * max(1, largest) * terms


@holds(40, job=drawn.trainings(drawn.NOISY))
def test_a_stack_is_its_members(job):
    """A sum over a leading axis, or state that members share."""
    stacked = list(ours.train(job))
    for index in np.ndindex(job.leading):
        for whole, one in zip(stacked, ours.train(member(job, index)), strict=True):
            for (name, a), (_, b) in zip(helpers.arrays(whole), helpers.arrays(one), strict=True):
                part = a[index] if a.shape[: len(index)] == job.leading else a  # before the first parameter all are one
                assert a.dtype == b.dtype and np.array_equal(part, b, equal_nan=True), (
                    f"{name} of {index}, step {whole.step}"
                )


def member(job, index):
    """The job of one network of the stack."""

    def pick(array, core):
        own = array.shape[: array.ndim - core]
        return array[index] if own == job.leading else array

    def one(named):
        return tuple({name: array[index].copy() for name, array in layer.items()} for layer in named)

    y_core = 1 if job.data.y.dtype.kind in "iu" else 2
    own = isinstance(job.batches, np.ndarray) and job.batches.ndim > 2
    return replace(
        job,
        parameters=one(job.parameters),
        buffers=job.buffers and one(job.buffers),
        data=Batch(pick(job.data.x, 2).copy(), pick(job.data.y, y_core).copy()),
        batches=job.batches[(slice(None), *index)] if own else job.batches,
    )


@holds(20, job=drawn.jobs(drawn.PLAIN), seed=drawn.SEEDS)
def test_the_order_of_the_examples_does_not_matter(job, seed):
    """A layer that mixes examples up, or treats the last one differently."""
    job = observed(job)
    order = np.random.default_rng(seed).permutation(job.data.x.shape[-1])
    other = replace(job, data=Batch(job.data.x[..., order], job.data.y[..., order]))
    rounding, noise = Rounding(job, generator(0, "replicas")), noise_level(job, generator(0, "noise"))
    a, b = (dict(agreement.quantities(ours.snapshot(j))) for j in (job, other))
    for key in (*noise, (len(job.layers), "output")):
        expected = a[key][..., order] if "output" in key[1] else a[key]
        assert_agree([rounding.difference(key, expected, b[key], noise.get(key, 0.0))])


@holds(60, loss=drawn.SUMMABLE, seed=drawn.SEEDS, m=drawn.EXAMPLES)
def test_the_mean_is_the_sum_over_the_count(loss, seed, m):
    """A value that is averaged and a gradient that is not, or the other way round."""
    random = np.random.default_rng(seed)
    z, y, count = drawn.outputs(loss, random, m)
    assume(count > 0)
    mean, total, each = (replace(loss, reduction=kind)(z.copy(), y) for kind in ("mean", "sum", "none"))
    near = {"rtol": 8 * m * z.shape[-2] * unit_roundoff(z.dtype)}  # a sum of so many numbers, and a division
    np.testing.assert_allclose(mean[0] * count, total[0], **near, atol=1e-300)
    np.testing.assert_allclose(mean[1] * count, total[1], **near, atol=1e-300)
    np.testing.assert_allclose(each[0].sum(), total[0], rtol=0, atol=near["rtol"] * np.abs(each[0]).sum() + 1e-300)
    assert np.array_equal(each[1], total[1])


@holds(
    40,
    seed=drawn.SEEDS,
    shape=st.tuples(drawn.WIDTHS, st.integers(2, 17)),
    layer=drawn.batch_norms(drawn.EPSILONS),
    dtype=drawn.DTYPES,
)
def test_batch_norm_gives_mean_beta_and_deviation_gamma(seed, shape, layer, dtype):
    """The unbiased variance in the biased one's place, ε outside the root, γ and β exchanged."""
    random, layer = np.random.default_rng(seed), replace(layer, running=False)
    x = (3 + 2 * random.standard_normal(shape)).astype(dtype)
    p = {name: random.standard_normal(a).astype(dtype) for name, a in layer.shapes(shape[0]).items()}
    a, _ = layer.forward(p | {name: b.astype(dtype) for name, b in layer.buffers(shape[0]).items()}, x)
    gamma, beta = (p["gamma"], p["beta"]) if layer.affine else (np.ones((shape[0], 1)), np.zeros((shape[0], 1)))
    variance = x.var(-1, dtype=float, keepdims=True)
    expected = np.abs(gamma) * np.sqrt(variance / (variance + layer.eps))
    # x − μ keeps some √m roundings of |x|, divided by σ; A's own deviation is as exact as A
    rounding = 16 * np.sqrt(shape[1]) * unit_roundoff(x.dtype)
    slack = rounding * (np.abs(gamma) * np.abs(x).max() / np.sqrt(variance + layer.eps) + np.abs(beta))
    assert (np.abs(a.mean(-1, dtype=float, keepdims=True) - beta) <= slack).all()
    assert (np.abs(a.std(-1, dtype=float, keepdims=True) - expected) <= slack).all()


@holds(40, job=drawn.jobs(), seed=drawn.SEEDS)
def test_after_training_an_example_stands_alone(job, seed):
    """Statistics of the batch, or a mask, in what is used after training."""
    given_ = merge(job.parameters, job.start_buffers())
    network, x = job.network.inference, job.data.x
    first = network.predict(given_, x)
    assert np.array_equal(first, network.predict(given_, x))
    other = np.random.default_rng(seed).standard_normal(x.shape).astype(x.dtype)
    other[..., 0] = x[..., 0]
    assert np.array_equal(first[..., 0], network.predict(given_, other)[..., 0])


@holds(40, job=drawn.jobs(), bias=st.booleans())
def test_a_residual_layer_whose_branch_is_zero_is_the_identity(job, bias):
    """A scaled sum, or a gradient that goes through the branch alone."""
    x, last = job.data.x, s.Dense(job.data.x.shape[-2], bias)
    layer = s.Residual((*job.layers, last))
    k = len(job.layers)
    zero = {
        f"{k}.{name}": np.zeros(job.leading + shape, x.dtype)
        for name, shape in last.shapes(job.network.widths[-1]).items()
    }
    inside = merge(job.parameters, job.start_buffers(), job.noise_at(0, x.shape[-1]))
    p = zero | {f"{i}.{name}": a for i, named in enumerate(inside) for name, a in named.items()}
    a, cache = layer.forward(p, x)
    assert np.array_equal(a, np.broadcast_to(x, a.shape))
    upstream = np.random.default_rng(0).standard_normal(a.shape).astype(x.dtype)
    assert np.array_equal(layer.backward(p, cache, upstream)[0], upstream)


@holds(40, job=drawn.jobs())
def test_parameters_survive_being_one_vector(job):
    """Two parameters in each other's place, or an order that the two directions do not share."""
    theta = job.network.flatten(job.parameters)
    assert theta.shape == (*(job.leading if any(job.parameters) else ()), job.network.size)
    for named, back in zip(job.parameters, job.network.views(theta), strict=True):
        assert list(named) == list(back) and all(np.array_equal(named[name], back[name]) for name in named)


@holds(40, job=drawn.jobs(), penalty=drawn.PENALTIES)
def test_the_gradient_of_a_sum_is_the_sum_of_the_gradients(job, penalty):
    """A penalty that replaces what the loss left, or that is divided by m."""
    assume(penalty)
    alone, both = ours.snapshot(replace(job, penalty=None)), ours.snapshot(replace(job, penalty=penalty))
    assert np.array_equal(both.loss, alone.loss + penalty(job.parameters))
    for named, sums, given_ in zip(alone.gradients, both.gradients, job.parameters, strict=True):
        for name, gradient in named.items():
            more = penalty.slope(given_[name]) if penalty.reaches(name) else 0
            assert np.array_equal(sums[name], gradient + more), name


@holds(8, job=drawn.jobs(), seed=drawn.SEEDS)
def test_backward_is_linear(job, seed):
    """A backward pass that looks at the gradient's sign or size; twice as much is so bit for bit."""
    shape, random = ours.snapshot(job).outputs[-1].shape, np.random.default_rng(seed)
    one, other = (random.standard_normal(shape).astype(job.data.x.dtype) for _ in range(2))
    first, second, total, twice = (sent_down(job, y) for y in (one, other, one + other, 2 * one))
    gradients = [dict(agreement.quantities(ours.snapshot(j))) for j in (first, second, total, twice)]
    bounds = [(Rounding(j, generator(0, "replicas")), noise_level(j, generator(0, "noise"))) for j in (first, second)]
    rounding, noise = Rounding(total, generator(0, "replicas")), noise_level(total, generator(0, "noise"))
    for key in (key for key in noise if key[1] != "loss"):
        a, b, both, double = (g[key] for g in gradients)
        assert np.array_equal(2 * a, double), key
        own = noise[key]
        for (allowed, level), part in zip(bounds, (a, b), strict=True):
            own = own + level[key] + allowed.spreads[key] + allowed.scale * np.linalg.norm(part, axis=(-2, -1))
        assert_agree([rounding.difference(key, a + b, both, own)])


def sent_down(job, upstream):
    """The job whose gradient at the output is ``upstream``."""
    return observed(replace(job, loss=s.InnerProduct(reduction="sum"), penalty=None, data=Batch(job.data.x, upstream)))
