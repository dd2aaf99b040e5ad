"""A stack of networks is its members, bit for bit, and nothing that was handed in or out is overwritten."""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch

from experiments.compare import agreement
from scratch import Dense, Identity, Network, ReLU, Sigmoid, Tanh
from scratch import training as ours
from scratch.randomness import generator, noise
from torchref import training as theirs

BACKENDS = pytest.mark.parametrize("backend", [ours, theirs], ids=["scratch", "torchref"])
STEPS, LOOKS = 20, (0, 1, 7, 20)
LAYERED = [name for name, (_, changes) in helpers.PARTS.items() if "layers" in changes]
SETTINGS = [("labels", False, "float64", (6,)), ("squared", True, "float32", (2, 3)), ("huber", True, "float64", (6,))]


def member(arrays, index):
    """One network's part; what has no leading axes is for all of them."""
    return tuple({name: a[index] if a.ndim > 2 else a for name, a in named.items()} for named in arrays)


def alone(job, index):
    """The job of one member of a stack."""
    rates = job.optimizer.base
    return replace(
        job,
        parameters=member(job.parameters, index),
        buffers=job.buffers and member(job.buffers, index),
        batches=job.batches[(slice(None), *index)] if job.batches.ndim > 2 else job.batches,
        noise=job.noise and (lambda step: member(job.noise(step), index)),
        optimizer=replace(job.optimizer, learning_rate=float(rates[index]) if rates.ndim else float(rates)),
    )


def assert_is_its_members(job):
    """Every array of every snapshot bit for bit."""
    stacked = list(ours.train(job))
    for index in np.ndindex(job.leading):
        for whole, one in zip(stacked, ours.train(alone(job, index)), strict=True):
            for (name, a), (_, b) in zip(helpers.arrays(whole), helpers.arrays(one), strict=True):
                place = f"{name} of member {index}, step {whole.step}"
                assert a.dtype == b.dtype and np.array_equal(a[index], b), place


@pytest.mark.parametrize("activation", helpers.ACTIVATIONS)
def test_stack_equals_its_members(activation):
    """A sum over a leading axis, a shared buffer or a shared velocity would mix the members up."""
    kind, own, dtype, leading = SETTINGS[list(helpers.ACTIVATIONS).index(activation) % 3]
    made = helpers.ACTIVATIONS[activation]()
    assert_is_its_members(helpers.job(kind, made, leading, own, dtype=dtype, steps=STEPS, snapshots=LOOKS))


@pytest.mark.parametrize("name", helpers.PARTS)
def test_stack_of_any_part_equals_its_members(name):
    """Statistics, masks, norms, rates or plateaus of one member that reach another; with masks and rates shared, or of its own."""
    turn = list(helpers.PARTS).index(name) % 2
    dtypes = ("float64", "float32")
    assert_is_its_members(helpers.part(name, (2, 3), dtype=dtypes[turn]))
    assert_is_its_members(helpers.with_own_rates(helpers.part(name, (2, 3), own=True, dtype=dtypes[1 - turn])))


@pytest.mark.parametrize("name", helpers.PARTS)
def test_stack_in_torch_equals_its_members(name):
    """The same of torchref, but for rounding: its products add in another order under vmap."""
    job = helpers.with_own_rates(helpers.part(name, (3,), own=True))
    stacked = list(theirs.train(job))
    for index in np.ndindex(job.leading):
        one = alone(job, index)
        parts = [
            replace(s, loss=s.loss[index], parameters=member(s.parameters, index), buffers=member(s.buffers, index))
            for s in stacked
        ]
        found = agreement.trajectory(one, parts, list(theirs.train(one)), generator(0, "replicas"))
        assert max(d.ratio for d in found) <= 1


@pytest.mark.parametrize("name", ["plateau", "everything"])
def test_every_member_has_a_plateau_of_its_own(name):
    """One loss, or the mean of all, that decides for every member."""
    job = helpers.part(name, (2, 3), own=True)
    state = ours.start(job)
    for chosen in job.batches[:-1]:
        ours.step(job, state, job.data.columns(chosen))
    assert state.rate.shape == (2, 3) and len(np.unique(state.rate)) > 1


def test_members_are_different():
    """Bit-for-bit equality would prove nothing if all members were the same network."""
    job = helpers.job("labels", Tanh(), (2, 3))
    flat = Network(job.layers, helpers.FEATURES).flatten(job.parameters).reshape(6, -1)
    assert len(np.unique(flat, axis=0)) == 6


@BACKENDS
def test_stacked_data_equals_members_on_their_own_data(backend):
    """Data of each member's own, x and y, must meet that member's parameters."""
    job = helpers.job("squared", Tanh(), (3,))
    look = replace(job, data=job.data.columns(job.batches[:3]), batches=None, snapshots=(0,), evaluate={})
    assert look.data.x.shape == (3, helpers.FEATURES, helpers.SIZE)
    whole = backend.snapshot(look)
    for i in range(3):
        one = backend.snapshot(
            replace(look, parameters=member(job.parameters, i), data=job.data.columns(job.batches[i]))
        )
        for (name, a), (_, b) in zip(helpers.arrays(whole), helpers.arrays(one), strict=True):
            # scratch bit for bit; torch's batched product may add in another order: a few roundings
            atol = 0 if backend is ours else 64 * np.finfo(b.dtype).eps * abs(b).max()
            np.testing.assert_allclose(a[i], b, rtol=0, atol=atol, err_msg=name)


ARCHITECTURES = {
    "deep": helpers.deep(Tanh(), (7, 6, 4, 3)),
    "identity first": (Identity(), Dense(7), Sigmoid(), Dense(3)),
    "identity between": (Dense(7), Identity(), Tanh(), Identity(), Dense(3)),
    "activation last": (Dense(7), ReLU(), Dense(3), Sigmoid()),
    **{name: helpers.PARTS[name][1]["layers"] for name in LAYERED},
}


@BACKENDS
@pytest.mark.parametrize("layers", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_snapshots_are_never_overwritten(backend, layers):
    """A snapshot that shares memory with the training state shows the future: arrays are reused at every step."""
    job = helpers.job("squared", leading=(3,), snapshots=range(helpers.STEPS + 1), layers=layers)
    seen, copies = [], []
    for shot in backend.train(job):
        seen.append(shot)
        copies.append({name: a.copy() for name, a in helpers.arrays(shot)})
    for shot, copy in zip(seen, copies, strict=True):
        for name, a in helpers.arrays(shot):
            assert np.array_equal(a, copy[name]), f"{name} of step {shot.step} was changed by a later step"
    first, last = (dict(helpers.arrays(shot)) for shot in (seen[0], seen[-1]))
    for kind in ("parameters", "buffers") if seen[0].buffers[1] else ("parameters",):
        assert any(not np.array_equal(first[name], last[name]) for name in first if name.startswith(kind))


JOBS = ["adam", "everything"]
each_job = pytest.mark.parametrize("name", JOBS)


@BACKENDS
@each_job
def test_looking_does_not_change_the_training(backend, name):
    """A look that leaves gradients, outputs or running statistics behind would change the steps after it."""
    often = helpers.part(name, (3,), snapshots=range(helpers.STEPS + 1))
    seldom = replace(often, snapshots=(helpers.STEPS,), evaluate={})
    dense, sparse = list(backend.train(often))[-1], list(backend.train(seldom))[-1]
    helpers.assert_same(replace(dense, scores={}), sparse)


def handed(name):
    """The job with buffers given, the same masks at every step, and every array that it was handed."""
    job = helpers.part(name, (3,), own=True)
    masks = job.noise_at(0, helpers.SIZE)
    job = replace(job, buffers=job.start_buffers(), noise=job.noise and (lambda step: masks))
    held = [a for arrays in (job.parameters, job.buffers, masks) for _, _, a in helpers.entries(arrays)]
    held += [array for data in (job.data, *job.evaluate.values()) for array in (data.x, data.y)]
    return job, [*held, job.batches]


@BACKENDS
@each_job
def test_what_a_job_was_given_stays_as_it_was(backend, name):
    """Training in place on the caller's arrays, parameters or buffers, would spoil the other backend's start."""
    job, held = handed(name)
    before = [a.copy() for a in held]
    shot = list(backend.train(job))[-1]
    backend.snapshot(helpers.at(job, shot))
    assert all(np.array_equal(a, b) for a, b in zip(held, before, strict=True))


@BACKENDS
@each_job
def test_read_only_arrays_are_enough(backend, name):
    """Memory-mapped or broadcast data cannot be written to, and need not be."""
    job, held = handed(name)
    for array in held:
        array.flags.writeable = False
    assert len(list(backend.train(job))) == len(job.snapshots)


@BACKENDS
@each_job
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_same_job_gives_the_same_bits(backend, dtype, name):
    """Anything taken from the clock, a global generator, or an earlier run."""
    job = helpers.part(name, (2, 3), dtype=dtype)
    np.random.seed(1)  # noqa: NPY002  the global generators must not matter
    torch.manual_seed(1)
    first = list(backend.train(job))
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    for one, other in zip(first, backend.train(job), strict=True):
        helpers.assert_same(one, other)


@BACKENDS
@each_job
def test_two_trainings_at_once_do_not_disturb_each_other(backend, name):
    """State kept on a module, a layer or an optimizer description instead of the run."""
    job, other = (helpers.part(name, (3,), seed=seed, snapshots=range(helpers.STEPS + 1)) for seed in (0, 1))
    apart = list(backend.train(job))
    for shot, (mixed, _) in zip(apart, zip(backend.train(job), backend.train(other), strict=True), strict=True):
        helpers.assert_same(shot, mixed)


@each_job
def test_batches_of_changing_size_train_right(name):
    """Room of an earlier batch of another size must not be written into; masks are as wide as the batch."""
    job = helpers.part(name, (3,))
    sizes = [np.arange(size) for size in (6, 3, 6, 2, 11)]
    job = replace(job, batches=sizes, snapshots=(), noise=job.noise and noise(job.network, 0, sizes))
    state, fresh = (ours.start(job) for _ in range(2))
    for chosen in sizes:
        batch = job.data.columns(chosen)
        value = ours.step(job, state, batch)
        ours.differentiate(job, fresh, batch)
        assert np.array_equal(value, ours.advance(job, fresh)), f"batch of {len(chosen)}"
    assert np.array_equal(state.theta, fresh.theta)
    assert all(
        np.array_equal(a, b)
        for (_, _, a), (_, _, b) in zip(*map(helpers.entries, (state.buffers, fresh.buffers)), strict=True)
    )


@pytest.mark.parametrize("leading", [(), (2, 3)], ids=str)
def test_parameters_are_views_of_one_vector(leading):
    """θ and the layers' matrices must be the same memory, or an update would not reach the layers."""
    job = helpers.job("labels", Tanh(), leading)
    network = job.network
    theta = network.flatten(job.parameters)
    assert theta.shape == (*leading, network.size) and network.size == 7 * 5 + 7 + 4 * 7 + 3 * 4 + 3
    views = network.views(theta)
    assert all(np.shares_memory(theta, a) for named in views for a in named.values())
    for named, given in zip(views, job.parameters, strict=True):
        assert all(np.array_equal(named[name], given[name]) for name in given)
    theta[...] = np.arange(theta.size, dtype=float).reshape(theta.shape)
    assert np.array_equal(
        np.concatenate([a.reshape(*leading, -1) for named in views for a in named.values()], axis=-1), theta
    )
