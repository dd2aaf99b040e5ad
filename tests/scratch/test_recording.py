"""A replayed step gives the bits of the plain one, whatever the job; what cannot be replayed is calculated as ever."""

from __future__ import annotations

from dataclasses import dataclass, replace

import helpers
import numpy as np
import pytest

import scratch as s
from scratch import activations, training
from scratch.layers import Layer
from scratch.randomness import generator, noise
from scratch.recording import Recorded, Recording
from scratch.replay import Replay

SIZES = (11, 11, 6, 11, 6, 11, 6, 11)  # examples in each batch: two shapes, each recorded twice and then replayed
ASKING = {"binary of probabilities"}  # the loss looks whether the network's outputs are probabilities


def batches(job):
    """Batches of those sizes, and the noise that fits."""
    columns = [generator(k, "columns").permutation(job.data.x.shape[-1])[:size] for k, size in enumerate(SIZES)]
    return replace(job, batches=columns, snapshots=(), noise=job.noise and noise(job.network, 0, columns))


def assert_same_bits(job, replayed=True):
    """The step against ``differentiate`` and ``advance``, which are never recorded."""
    stepped, plain = training.start(job), training.start(job)
    for k, columns in enumerate(job.batches):
        batch = job.data.columns(columns)
        value = training.step(job, stepped, batch)
        training.differentiate(job, plain, batch)
        assert np.array_equal(value, training.advance(job, plain), equal_nan=True), f"J of step {k}"
        assert np.array_equal(stepped.theta, plain.theta, equal_nan=True), f"θ after step {k}"
        kept = [[a for named in state.buffers for a in named.values()] for state in (stepped, plain)]
        kept = [[*arrays, *(a for a in state.memory.values() if isinstance(a, np.ndarray))]
                for arrays, state in zip(kept, (stepped, plain), strict=True)]  # fmt: skip
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*kept, strict=True)), f"memory after step {k}"
    known = [found for found in stepped.repeat.known.values() if not isinstance(found, Recording)]  # that saw two steps
    assert len(known) == 2 and all((found is not None) == replayed for found in known)
    return stepped


leading = pytest.mark.parametrize("leading", [(), (2, 3)], ids=["alone", "stack"])


@leading
@pytest.mark.parametrize("name", helpers.PARTS)
def test_every_part(name, leading):
    """Norms, dropout, residuals, update rules, schedules, penalties, clips and constraints."""
    assert_same_bits(batches(helpers.part(name, leading)))


@leading
@pytest.mark.parametrize("name", helpers.LOSSES)
def test_every_loss(name, leading):
    assert_same_bits(batches(helpers.job(name, leading=leading)), replayed=name not in ASKING)


@leading
@pytest.mark.parametrize("name", activations.by_name())
def test_every_activation(name, leading):
    assert_same_bits(batches(helpers.job("labels", activations.by_name()[name](), leading)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", [
    s.CrossEntropy(reduction="sum"), s.CrossEntropy((0.5, 2.0, 1.0), label_smoothing=0.1), s.CrossEntropy(ignore_index=1),
    s.NegativeLogLikelihood((0.5, 2.0, 1.0)),
], ids=str)  # fmt: skip
def test_labels_that_do_not_count_alike(loss, dtype):
    """What becomes of labels is decided before the step: they may be a matrix in one batch, and labels in the next."""
    job = batches(helpers.job("labels", leading=(3,), dtype=dtype))
    stepped = assert_same_bits(replace(job, loss=loss))
    assert all(isinstance(found, Replay) for found in stepped.repeat.known.values())


def test_rates_of_their_own_and_their_own_batches():
    """Rates (…) instead of a number, and a column of data for each member."""
    job = helpers.with_own_rates(helpers.part("adam", (3,), own=True))
    stepped, plain = training.start(job), training.start(job)
    for columns in job.batches:
        training.step(job, stepped, job.data.columns(columns))
        training.differentiate(job, plain, job.data.columns(columns))
        training.advance(job, plain)
    assert np.array_equal(stepped.theta, plain.theta)
    assert all(isinstance(found, Replay) for found in stepped.repeat.known.values())


def test_many_parameters_are_updated_in_blocks(monkeypatch):
    """Blocks whose edges fall inside a matrix, and a last one that is shorter."""
    whole = training.start(job := helpers.part("adamw", (3,)))
    blocked = training.start(job)
    for columns in job.batches[:5]:
        monkeypatch.setattr("scratch.optimizers.MANY", 10**9)
        training.step(job, whole, job.data.columns(columns))
        monkeypatch.setattr("scratch.optimizers.MANY", 10)
        monkeypatch.setattr("scratch.optimizers.BLOCK", 3 * 7)
        training.step(job, blocked, job.data.columns(columns))
    assert np.array_equal(whole.theta, blocked.theta)


@dataclass(frozen=True)
class Asks(Layer):
    """A layer that looks at its numbers before it decides."""

    def forward(self, p, x):
        return (x if x.sum() > 0 else -x), x

    def backward(self, p, x, dout):
        return (dout if float(x.sum()) > 0 else -dout), {}


@dataclass(frozen=True)
class Draws(Layer):
    """A layer that draws noise itself: another each time."""

    random: np.random.Generator

    def forward(self, p, x):
        return x + self.random.standard_normal(x.shape).astype(x.dtype), None

    def backward(self, p, cache, dout):
        return dout, {}


@dataclass(frozen=True)
class Calls(Layer):
    """A layer made of what is not written down: an unknown function, a method in C, an argmax, a plain array."""

    way: str

    def forward(self, p, x):
        if self.way == "function":
            return np.linalg.norm(x, axis=-2, keepdims=True) + x, None
        if self.way == "method":
            return x + x.cumsum(-2), None
        if self.way == "reshape":
            return x + x.mT.reshape(x.shape), None
        if self.way == "argmax":
            return x + x.argmax(-2)[..., None, :], None
        return np.asarray(x) * 2 + x, None

    def backward(self, p, cache, dout):
        return dout, {}


@pytest.mark.parametrize("way", ["function", "method", "reshape", "argmax", "plain"])
def test_what_cannot_be_written_down_is_calculated(way):
    job = helpers.job("labels", leading=(2,))
    assert_same_bits(batches(replace(job, layers=(Calls(way), *job.layers), parameters=({}, *job.parameters))), False)


def test_a_branch_is_taken_anew():
    """A replay would go the first step's way for ever."""
    job = helpers.job("labels", leading=(2,))
    last = (*job.layers, Asks())
    assert_same_bits(batches(replace(job, layers=last, parameters=(*job.parameters, {}))), replayed=False)


def test_what_is_drawn_inside_is_drawn_anew():
    """The second recording differs from the first in a constant: noise frozen at the first step would train otherwise."""
    job = batches(helpers.job("labels"))
    jobs = [
        replace(job, layers=(Draws(np.random.default_rng(0)), *job.layers), parameters=({}, *job.parameters))
        for _ in "ab"
    ]
    states = [training.start(job) for job in jobs]
    for columns in job.batches:
        batch = job.data.columns(columns)
        training.step(jobs[0], states[0], batch)
        training.differentiate(jobs[1], states[1], batch)
        training.advance(jobs[1], states[1])
    assert np.array_equal(states[0].theta, states[1].theta)


@dataclass(frozen=True)
class Rebinds(s.SGD):
    """An update rule that puts another array into its memory instead of changing the one that is there."""

    def remembers(self):
        return ("mean",)

    def descend(self, theta, gradient, memory, *rates):
        memory["mean"] = memory["mean"] * 0.5 + gradient
        memory["seen"] = memory.get("seen", 0) + 1
        theta -= memory["mean"] * (rates[0] / memory["seen"])


def test_memory_that_is_replaced_is_kept():
    stepped = assert_same_bits(batches(replace(helpers.job("squared"), optimizer=Rebinds(0.1))), replayed=False)
    assert stepped.memory["seen"] == len(SIZES)
    assert not any(isinstance(a, Recorded) for a in stepped.memory.values())


def test_final_methods_are_refused():
    """Training does not call them: an override would be passed by in silence."""
    for kind, name in ((s.SGD, "update"), (s.CrossEntropy, "__call__")):
        with pytest.raises(TypeError, match=rf"Mine\.{name}: \w+'s own is final"):
            type("Mine", (kind,), {name: lambda self: None})


def test_results_share_memory():
    """Each layer's results in memory of their own: right, but a deep network would leave the cache."""
    layers = tuple(layer for _ in range(10) for layer in (s.Dense(50), s.Tanh()))
    network = s.Network(layers, 50)
    job = replace(helpers.job("squared"), layers=layers, data=s.Batch(np.ones((50, 20)), np.ones((50, 20))),
                  parameters=network.initialize(s.initializers.he, lambda k: k), batches=None, evaluate={}, snapshots=())  # fmt: skip
    state = training.start(job)
    for _ in range(2):
        training.step(job, state, job.data)
    (replay,) = state.repeat.known.values()
    outputs = [a for call in replay.calls for a in call.args if isinstance(a, np.ndarray) and a.shape == (50, 20)]
    places = {a.__array_interface__["data"][0] for a in outputs}
    assert len(outputs) > 60 and len(places) <= 16  # ten activations live at once; the rest share five


def test_two_trainings_share_nothing():
    """A replay that kept the memory of the first job."""
    job, other = (batches(helpers.job("labels", seed=seed)) for seed in (0, 1))
    apart = assert_same_bits(other).theta
    first, second = training.start(job), training.start(other)
    for mine, its in zip(job.batches, other.batches, strict=True):
        training.step(job, first, job.data.columns(mine))
        training.step(other, second, other.data.columns(its))
    assert np.array_equal(second.theta, apart)


def test_the_loss_given_back_stays():
    """A view of the replay's own memory would change with the next step."""
    for leading in ((), (3,)):
        job = helpers.job("labels", leading=leading)
        state = training.start(job)
        values = [training.step(job, state, job.data) for _ in range(5)]
        again = training.start(job)
        assert all(np.array_equal(v, training.step(job, again, job.data)) for v in values)
        assert not any(isinstance(v, Recorded) for v in values)


def calls(function, *arrays):
    recording = Recording()
    result = function(*map(recording.input, arrays))
    assert recording.knows(result)
    return Replay(recording, result)


A, B = np.arange(12.0).reshape(3, 4) - 5, np.arange(12.0).reshape(3, 4)[::-1] / 7
FUNCTIONS = {
    "a number for an array": lambda a, b: np.where(a > 0, a, 0.5) * 3 + 1,
    "both choices arrays": lambda a, b: np.where(a > b, a, b),
    "a view of a result": lambda a, b: (a + b).reshape(2, 6).T[::2] * 2,
    "a result read twice after it was changed": lambda a, b: changed(a * b, a),
    "transposed onto itself": lambda a, b: (a @ b.T) * (a @ b.T).T,
    "fancy reads": lambda a, b: (a + 1)[np.array([2, 0]), 1:] + b[np.array([0, 1]), 1:],
    "fancy reads of a flat view": lambda a, b: (a + 1).reshape(-1)[np.array([[1, -1], [5, 5]])],
    "fancy writes": lambda a, b: written(a * 1, b),
    "masked calls": lambda a, b: np.divide(a, b, out=np.zeros_like(a), where=b > 0.5),
    "reductions": lambda a, b: a.sum(0) + b.max((0, 1)) - np.mean(a, axis=-1, keepdims=True),
    "another type": lambda a, b: a.astype(np.float32) * b.astype(np.float32),
    "an input given back": lambda a, b: a.copy() - np.clip(b, 0.2, None),
    "a result copied only": lambda a, b: copied(a @ b.T, a),
}


def changed(c, a):
    d = c + 1
    c *= 2
    return c + d + a


def written(c, b):
    c[c > 0] = 7
    c[np.array([0, 1]), np.array([1, 1])] += b[0, :2]
    return c


def copied(c, a):
    room = np.empty_like(c)
    np.copyto(room, c)
    return room + a[:, :3]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_calls_are_made_again(name):
    """From other inputs the bits of the plain calculation, several times, without a trace of those before."""
    replay = calls(FUNCTIONS[name], A, B)
    for k in range(4):
        a, b = A * (k - 1.5), B + k / 3
        np.testing.assert_array_equal(replay.run([a, b]), FUNCTIONS[name](a, b))
