"""A stack of networks is its members, bit for bit, and nothing that was handed in or out is overwritten."""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pytest

from scratch import Dense, Identity, Network, ReLU, Sigmoid, Tanh
from scratch import training as ours
from torchref import training as theirs

BACKENDS = pytest.mark.parametrize("backend", [ours, theirs], ids=["scratch", "torchref"])
STEPS, LOOKS = 20, (0, 1, 7, 20)


def member(parameters, index):
    return tuple({name: a[index].copy() for name, a in named.items()} for named in parameters)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("leading", [(6,), (2, 3)], ids=str)
@pytest.mark.parametrize("activation", helpers.ACTIVATIONS)
def test_stack_equals_its_members(activation, leading, dtype):
    """A sum over a leading axis, a shared buffer or a shared velocity would mix the members up."""
    for kind, own in (("labels", False), ("squared", True)):
        job = helpers.job(
            kind, helpers.ACTIVATIONS[activation](), leading, own, dtype=dtype, steps=STEPS, snapshots=LOOKS
        )
        stacked = list(ours.train(job))
        for index in np.ndindex(leading):
            batches = job.batches[(slice(None), *index)] if own else job.batches
            alone = ours.train(replace(job, parameters=member(job.parameters, index), batches=batches))
            for whole, one in zip(stacked, alone, strict=True):
                for (name, a), (_, b) in zip(helpers.arrays(whole), helpers.arrays(one), strict=True):
                    assert a[index].dtype == b.dtype and np.array_equal(a[index], b), (
                        f"{name} of member {index}, step {whole.step}"
                    )


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
}


@BACKENDS
@pytest.mark.parametrize("layers", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_snapshots_are_never_overwritten(backend, layers):
    """A snapshot that shares memory with the training state shows the future: buffers are reused at every step."""
    base = helpers.job("squared", Tanh(), (3,), steps=STEPS, snapshots=range(STEPS + 1))
    job = replace(base, layers=layers, parameters=helpers.parameters(layers, (3,)))
    seen, copies = [], []
    for shot in backend.train(job):
        seen.append(shot)
        copies.append({name: a.copy() for name, a in helpers.arrays(shot)})
    for shot, copy in zip(seen, copies, strict=True):
        for name, a in helpers.arrays(shot):
            assert np.array_equal(a, copy[name]), f"{name} of step {shot.step} was changed by a later step"
    first, last = (dict(helpers.arrays(shot)) for shot in (seen[0], seen[-1]))
    assert any(not np.array_equal(first[name], last[name]) for name in first if name.startswith("parameters"))


@BACKENDS
def test_looking_does_not_change_the_training(backend):
    """A look that leaves its gradients or outputs in the state would change the steps after it."""
    often = helpers.job("labels", Tanh(), (3,), steps=STEPS, snapshots=range(STEPS + 1))
    seldom = replace(often, snapshots=(STEPS,), evaluate={})
    dense, sparse = list(backend.train(often))[-1], list(backend.train(seldom))[-1]
    helpers.assert_same(replace(dense, scores={}), sparse)


@BACKENDS
def test_what_a_job_was_given_stays_as_it_was(backend):
    """Training in place on the caller's arrays would spoil the other backend's start."""
    job = helpers.job("probabilities", Identity(), (3,), own_batches=True)
    held = [a for named in job.parameters for a in named.values()] + [job.data.x, job.data.y, job.batches]
    held += [array for data in job.evaluate.values() for array in (data.x, data.y)]
    before = [a.copy() for a in held]
    list(backend.train(job))
    backend.snapshot(replace(job, batches=None, snapshots=(0,)))
    assert all(np.array_equal(a, b) for a, b in zip(held, before, strict=True))


@BACKENDS
def test_read_only_arrays_are_enough(backend):
    """Memory-mapped or broadcast data cannot be written to, and need not be."""
    job = helpers.job("squared", Tanh(), (3,))
    for array in (a for named in job.parameters for a in named.values()):
        array.flags.writeable = False
    for array in (job.data.x, job.data.y, job.batches):
        array.flags.writeable = False
    assert len(list(backend.train(job))) == len(job.snapshots)


@BACKENDS
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_same_job_gives_the_same_bits(backend, dtype):
    """Anything taken from the clock, a global generator, or an earlier run."""
    job = helpers.job("labels", Tanh(), (2, 3), dtype=dtype, steps=STEPS)
    np.random.seed(1)  # noqa: NPY002  the global generators must not matter
    first = list(backend.train(job))
    np.random.seed(2)  # noqa: NPY002
    for one, other in zip(first, backend.train(job), strict=True):
        helpers.assert_same(one, other)


@BACKENDS
def test_two_trainings_at_once_do_not_disturb_each_other(backend):
    """State kept on a module, a layer or an optimizer description instead of the run."""
    job, other = (helpers.job("labels", Tanh(), (3,), seed=seed, steps=8, snapshots=range(9)) for seed in (0, 1))
    apart = list(backend.train(job))
    for shot, (mixed, _) in zip(apart, zip(backend.train(job), backend.train(other), strict=True), strict=True):
        helpers.assert_same(shot, mixed)


def test_steps_reuse_their_buffers():
    """Fresh arrays at every step: right, but the reason for the buffers would be gone."""
    job = helpers.job("labels", Tanh(), (3,))
    state = ours.start(job.network, job.optimizer, job.parameters)
    places = []
    for number in (0, 1, 2):
        batch = job.data.columns(job.batches[number])
        ours.step(job.network, job.loss, job.optimizer, state, batch.x, batch.y)
        places.append([a.__array_interface__["data"][0] for a in (*state.trace.outputs, *state.trace.douts[:-1])])
    assert places[0] == places[1] == places[2]


def test_batches_of_changing_size_train_right():
    """Buffers of an earlier batch of another size must not be written into."""
    job = helpers.job("labels", Tanh(), (3,))
    state, fresh = (ours.start(job.network, job.optimizer, job.parameters) for _ in range(2))
    for number, size in enumerate((6, 3, 6, 1, 11)):
        batch = job.data.columns(np.arange(size))
        value = ours.step(job.network, job.loss, job.optimizer, state, batch.x, batch.y)
        fresh.trace = None
        assert np.array_equal(value, ours.step(job.network, job.loss, job.optimizer, fresh, batch.x, batch.y)), (
            f"step {number}"
        )
    assert np.array_equal(state.theta, fresh.theta)


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
