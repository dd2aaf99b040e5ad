"""fit, epochs, split and predict: against loops written out here, with both backends, alone and stacked."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import helpers
import numpy as np
import pandas as pd
import pytest

from experiments import data
from experiments.compare import agreement
from scratch import SGD, Batch, CrossEntropy, Dense, InvalidInput, Job, Network, ReLU, SquaredError, training
from scratch.clipping import ClipNorm
from scratch.fitting import epochs, fit, predict, split
from scratch.initializers import he
from scratch.layers import Dropout, Residual
from scratch.metrics import accuracy
from scratch.network import merge
from scratch.normalization import BatchNorm
from scratch.optimizers import Adam
from scratch.penalties import L2, MaxNorm
from scratch.randomness import generator, noise
from scratch.schedules import ReduceOnPlateau, StepDecay
from torchref import training as theirs

FEATURES, CLASSES, EXAMPLES, HELD = 5, 3, 17, 11
LAYERS = (Dense(7), BatchNorm(), ReLU(), Dropout(0.3), Residual((Dense(7), BatchNorm(affine=False))), Dense(CLASSES))


def batch(name, examples, dtype="float64"):
    """Clouds around a point for each class, near enough for the classes to overlap."""
    random = generator(0, name)
    labels = random.integers(0, CLASSES, examples)
    centres = generator(0, "centres").standard_normal((FEATURES, CLASSES))
    return Batch((centres[:, labels] + random.standard_normal((FEATURES, examples))).astype(dtype), labels)


def job(leading=(), size=5, count=4, dtype="float64", layers=LAYERS, drop_last=False, **changes):
    network = Network(layers, FEATURES)
    batches = epochs(generator(0, "batches"), EXAMPLES, size, count, drop_last=drop_last)
    given = {"optimizer": Adam(0.02), "noise": noise(network, 0, batches), "batches": batches} | changes
    parameters = helpers.parameters(layers, leading, dtype, FEATURES)
    return Job(layers, CrossEntropy(), parameters, batch("train", EXAMPLES, dtype), **given)


VALIDATION = batch("validation", HELD)
METRICS = {"accuracy": accuracy}
RICH = {"penalty": L2(0.1), "schedule": StepDecay(3, 0.5), "clip": ClipNorm(0.5), "constraint": MaxNorm(0.8)}


def same(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name]), name


def written_out(planned, steps, validation=VALIDATION):
    """Epoch after epoch by the bare training step: the losses by their definition, and what was learned so far."""
    state, found = training.start(planned), []
    for number, columns in enumerate(planned.batches[:-1], 1):
        training.step(planned, state, planned.data.columns(columns))
        if number % steps == 0:
            held = merge(state.parameters, state.buffers)
            outputs = [planned.network.inference.predict(held, d.x) for d in (planned.data, validation)]
            losses = [planned.loss(z, d.y)[0] for z, d in zip(outputs, (planned.data, validation), strict=True)]
            hits = [accuracy(z, d.y) for z, d in zip(outputs, (planned.data, validation), strict=True)]
            kept = [tuple({n: a.copy() for n, a in p.items()} for p in ps) for ps in (state.parameters, state.buffers)]
            found.append((*losses, *hits, *kept))
    return found


@pytest.mark.parametrize("leading", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("changes", [{}, RICH], ids=["plain", "rich"])
def test_fit_is_the_loop_written_out(leading, changes):
    """17 examples in batches of 5: three whole ones and one of 2, so four updates an epoch; nothing may get lost on the way."""
    planned = job(leading, **changes)
    fitted, expected = fit(planned, VALIDATION, metrics=METRICS, restore=False), written_out(planned, 4)
    assert list(fitted.history) == ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
    np.testing.assert_array_equal(fitted.history["epoch"], [1, 2, 3, 4])
    for k, name in enumerate(("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")):
        assert fitted.history[name].shape == (4, *leading)
        np.testing.assert_array_equal(fitted.history[name], [row[k] for row in expected])
    same(fitted.parameters, expected[-1][4])
    same(fitted.buffers, expected[-1][5])
    assert fitted.parameters[0]["W"].shape == (*leading, 7, FEATURES)


OPTIONS = [*RICH.items(), ("schedule", ReduceOnPlateau(patience=0, threshold=0.5)), ("noise", None)]


@pytest.mark.parametrize("name, value", OPTIONS, ids=lambda value: str(value)[:20])
def test_every_option_changes_something(name, value):
    """The loop above would miss an option that is lost on the way if that option does nothing."""
    if name == "noise":
        value = noise(job().network, 1, job().batches)
    plain, changed = (fit(planned, restore=False) for planned in (job(), job(**{name: value})))
    assert not np.array_equal(plain.parameters[0]["W"], changed.parameters[0]["W"])


def test_last_batch_dropped():
    """Without the partial batch an epoch has three updates; fit finds that out from the batches alone."""
    planned = job(drop_last=True)
    assert [len(b) for b in planned.batches] == [5] * 13
    fitted, expected = fit(planned, VALIDATION, restore=False), written_out(planned, 3)
    assert len(expected) == len(fitted.history["epoch"]) == 4
    same(fitted.parameters, expected[-1][4])
    np.testing.assert_array_equal(fitted.history["validation_loss"], [row[1] for row in expected])


def test_batches_as_an_array_of_each_members_own():
    """A stack whose members see different batches, (steps, …, b); two steps beyond the last whole epoch are left out."""
    own = generator(0, "own").integers(0, EXAMPLES, (3 * 4 + 1 + 2, 2, 5))
    dense = (Dense(4), ReLU(), Dense(CLASSES))
    planned = job((2,), layers=dense, batches=own, noise=None)
    fitted = fit(planned, VALIDATION, restore=False)
    assert len(fitted.history["epoch"]) == 4
    expected = written_out(replace(planned, batches=own[:13]), 3)
    same(fitted.parameters, expected[-1][4])


def test_no_step_beyond_the_last_whole_epoch():
    """Batches that make no whole epoch are left out, of the arithmetic too."""
    planned, asked = job(), []

    def listening(step):
        asked.append(step)
        return planned.noise(step)

    longer = [*planned.batches, *planned.batches[1:3]]
    fitted = fit(replace(planned, batches=longer, noise=listening), VALIDATION, restore=False)
    assert max(asked) == 16 and len(fitted.history["epoch"]) == 4
    same(fitted.parameters, fit(planned, VALIDATION, restore=False).parameters)


def moved(planned, by):
    """The job with its parameters moved relatively by ``by``, up or down at random."""
    random = generator(0, "moved")
    nudged = [{n: a * (1 + by * random.choice([-1, 1], a.shape)) for n, a in p.items()} for p in planned.parameters]
    return replace(planned, parameters=tuple(nudged))


@pytest.mark.parametrize("leading", [(), (3,)], ids=str)
def test_both_backends_fit_alike(leading):
    """Each update rounds about as much as if the start were moved by √k·u; what moving it does is measured, on a larger move.

    k = 17 is the longest sum, there are 16 updates, and 4 standard deviations are allowed as everywhere. Not with Adam: a
    bias below BatchNorm has no gradient but rounding, which Adam blows up to steps of full size.
    """
    planned = job(leading, optimizer=SGD(0.1, 0.9), **RICH)
    ours = fit(planned, VALIDATION, metrics=METRICS)
    other = fit(planned, VALIDATION, metrics=METRICS, train=partial(theirs.train, device="cpu"))
    replica = fit(moved(planned, 1e-8), VALIDATION, metrics=METRICS)
    unit = np.sqrt(17) * 2**-53
    assert ours.history.keys() == other.history.keys()
    for name, a in ours.history.items():
        spread = np.abs(a - replica.history[name]).max() / 1e-8
        np.testing.assert_allclose(other.history[name], a, rtol=0, atol=4 * 16 * unit * (spread + np.abs(a).max()))
    np.testing.assert_array_equal(ours.best, other.best)
    kept = [merge(one.parameters, one.buffers) for one in (ours, other, replica)]
    for p, q, r in zip(*kept, strict=True):
        for name, a in p.items():
            spread = np.abs(a - r[name]).max() / 1e-8
            np.testing.assert_allclose(q[name], a, rtol=0, atol=4 * 16 * unit * (spread + np.abs(a).max()))


def test_both_backends_within_the_bound_of_agreement():
    """The same job, equal batches, judged by the bound that experiments work out instead of one chosen here."""
    dense = (Dense(7), BatchNorm(), ReLU(), Dense(CLASSES))
    planned = job((2,), layers=dense, noise=None, drop_last=True)
    steps = replace(planned, batches=np.stack(planned.batches), snapshots=(3, 6, 9, 12))
    shots = list(training.train(steps)), list(theirs.train(steps))
    found = agreement.trajectory(steps, *shots, generator(0, "replicas"))
    assert max(d.ratio for d in found) < 1
    fitted = fit(planned, VALIDATION, restore=False)
    same(fitted.parameters, shots[0][-1].parameters)


class Rising:
    """A metric that ignores the network: the given values epoch after epoch, one for each member, in the order of calls."""

    def __init__(self, *values):
        self.values = iter(np.repeat(np.asarray(values, float), 2, axis=0))  # asked for training and validation data

    def __call__(self, output, labels):
        return next(self.values)


def snapshots_of(planned, steps=4):
    return [None, *written_out(planned, steps)]


def test_stops_after_patience_and_restores_the_best_epoch():
    """0.5 at epoch 2 is the best; 3, 4, 5 are no better (0.5 again is not): stop after 5 of 9, with what epoch 2 had."""
    planned = job(count=9)
    metric = Rising(0.1, 0.5, 0.4, 0.5, 0.2, 0.9, 0.9, 0.9, 0.9)
    fitted = fit(planned, VALIDATION, metrics={"score": metric}, monitor="validation_score", mode="max", patience=3)
    assert fitted.best == 2 and fitted.best.shape == ()
    np.testing.assert_array_equal(fitted.history["epoch"], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(fitted.history["validation_score"], [0.1, 0.5, 0.4, 0.5, 0.2])
    at_best = snapshots_of(planned)[2]
    same(fitted.parameters, at_best[4])
    same(fitted.buffers, at_best[5])
    assert fitted.buffers[1]["num_batches_tracked"] == 8  # running statistics are those of epoch 2, not of epoch 5
    last = fit(
        planned,
        VALIDATION,
        metrics={"score": Rising(1, 0, 0)},
        monitor="validation_score",
        mode="max",
        patience=2,
        restore=False,
    )
    same(last.parameters, snapshots_of(planned)[3][4])
    assert last.buffers[1]["num_batches_tracked"] == 12 and last.best == 1


def test_early_stopping_stops_the_training():
    """Snapshots come lazily: after the stop the backend is not asked for more."""
    asked = []

    def counting(planned):
        for shot in training.train(planned):
            asked.append(shot.step)
            yield shot

    fit(
        job(count=9),
        VALIDATION,
        metrics={"score": Rising(1, 0, 0, 0)},
        monitor="train_score",
        mode="max",
        patience=1,
        train=counting,
    )
    assert asked == [4, 8]


@pytest.mark.parametrize("min_delta, best, length", [(0.0, 4, 4), (0.2, 3, 4), (0.5, 1, 3), (0.45, 3, 4)])
def test_min_delta(min_delta, best, length):
    """Losses 1, 0.75, 0.5, 0.375: only what undercuts the best so far by more than min_delta counts; patience 2."""
    values = Rising(1, 0.75, 0.5, 0.375)
    options = {"metrics": {"my_loss": values}, "monitor": "validation_my_loss", "min_delta": min_delta, "patience": 2}
    fitted = fit(job(), VALIDATION, **options)
    assert (fitted.best, len(fitted.history["epoch"])) == (best, length)


def test_the_validation_loss_is_watched_unless_told_otherwise():
    """A job that overfits: the validation loss turns, and its lowest epoch is taken; alone, the training loss is."""
    planned = job(count=30, layers=(Dense(20), ReLU(), Dense(CLASSES)), noise=None)
    fitted = fit(planned, VALIDATION)
    losses = fitted.history["validation_loss"]
    assert fitted.best == losses.argmin() + 1 < 30  # it does turn
    assert fit(planned).best == fit(planned).history["train_loss"].argmin() + 1
    assert fit(planned, VALIDATION, monitor="train_loss").best == 30
    hits = fit(planned, VALIDATION, metrics=METRICS, monitor="validation_accuracy")
    assert hits.best == hits.history["validation_accuracy"].argmax() + 1


def member(arrays, index):
    return tuple({name: a[index] for name, a in named.items()} for named in arrays)


@pytest.mark.parametrize("restore", [True, False])
def test_a_stack_stops_member_by_member(restore):
    """Each member gets what it would get alone, bit for bit, though the stack goes on for the others; 3 are not alike here."""
    start = job((3,), count=25, optimizer=Adam(0.05))
    options = {"metrics": METRICS, "patience": 3, "restore": restore, "min_delta": 0.01}
    stack = fit(start, VALIDATION, **options)
    ends = []
    for k in range(3):
        alone = fit(replace(start, parameters=member(start.parameters, k)), VALIDATION, **options)
        ends.append(len(alone.history["epoch"]))
        same(member(stack.parameters, k), alone.parameters)
        same(member(stack.buffers, k), alone.buffers)
        assert stack.best[k] == alone.best
        for name in alone.history:
            column = stack.history[name] if name == "epoch" else stack.history[name][:, k]
            np.testing.assert_array_equal(column[: ends[-1]], alone.history[name])
    assert len(stack.history["epoch"]) == max(ends) < 25
    assert len(set(ends)) > 1  # they do stop apart


def test_a_member_is_not_woken_again():
    """The first member's patience ends at epoch 3; that it would be better at 4, while the second trains on, is too late."""
    values = Rising([1, 1], [0, 2], [0, 3], [9, 4], [9, 4], [9, 4])
    fitted = fit(job((2,), count=6), VALIDATION, metrics={"s": values}, monitor="validation_s", mode="max", patience=2)
    np.testing.assert_array_equal(fitted.best, [1, 4])
    assert len(fitted.history["epoch"]) == 6


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_best(mode, value):
    """A network that diverges at once keeps its initial parameters, and patience counts from the start."""
    values = Rising(*[value] * 9)
    planned = job(count=9)
    fitted = fit(planned, VALIDATION, metrics={"s": values}, monitor="validation_s", mode=mode, patience=3)
    assert fitted.best == 0 and len(fitted.history["epoch"]) == 3
    same(fitted.parameters, planned.parameters)
    assert fitted.buffers[1]["num_batches_tracked"] == 0


def test_the_job_is_left_as_it_was():
    """Parameters and buffers of the job belong to the caller; a second fit gives the same again."""
    planned = job()
    planned = replace(planned, buffers=planned.network.buffers())
    first, second = fit(planned, VALIDATION), fit(planned, VALIDATION)
    same(planned.parameters, job().parameters)
    same(planned.buffers, planned.network.buffers())
    same(first.parameters, second.parameters)
    same(first.buffers, second.buffers)


def test_other_sets_are_measured_too_and_pandas_takes_the_history():
    """What the job evaluates becomes a column; float32 stays float32 in the parameters."""
    planned = job(dtype="float32", evaluate={"test": batch("test", 4, "float32")})
    fitted = fit(planned, batch("validation", HELD, "float32"))
    frame = pd.DataFrame(fitted.history)
    assert list(frame) == ["epoch", "train_loss", "test_loss", "validation_loss"] and len(frame) == 4
    kept = {a.dtype for part in (fitted.parameters, fitted.buffers) for p in part for a in p.values()}
    assert kept == {np.dtype("float32")}


def test_progress_wraps_the_epochs():
    seen = []

    def wrapper(shots):
        for shot in shots:
            seen.append(shot.step)
            yield shot

    fit(job(count=3), progress=wrapper)
    assert seen == [4, 8, 12]


def test_epochs_hold_every_example_once():
    """Each epoch is an order of its own of all columns; the last batch is smaller; the list ends as it began."""
    batches = epochs(generator(0, "e"), 17, 5, 3)
    assert [len(b) for b in batches] == [5, 5, 5, 2] * 3 + [5]
    orders = [np.concatenate(batches[k : k + 4]) for k in (0, 4, 8)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(17))
    assert not any(
        np.array_equal(a, b) for a, b in ((orders[0], orders[1]), (orders[1], orders[2]), (orders[0], np.arange(17)))
    )
    np.testing.assert_array_equal(batches[-1], batches[0])
    again = epochs(generator(0, "e"), 17, 5, 3)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    dropped = epochs(generator(0, "e"), 17, 5, 3, drop_last=True)
    assert [len(b) for b in dropped] == [5] * 10
    np.testing.assert_array_equal(np.concatenate(dropped[3:6]), orders[1][:15])
    plain = epochs(None, 6, 4, 2, shuffle=False)
    assert [b.tolist() for b in plain] == [[0, 1, 2, 3], [4, 5], [0, 1, 2, 3], [4, 5], [0, 1, 2, 3]]
    assert [len(b) for b in epochs(generator(0, "e"), 6, 3, 2)] == [3] * 5
    assert [len(b) for b in epochs(generator(0, "e"), 6, 6, 2, drop_last=True)] == [6] * 3


def test_split_parts_the_columns():
    """Both parts together are all columns, none twice; another generator gives other ones."""
    train, held = split(generator(0, "s"), 101, 0.2)
    assert len(held) == 20
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(101))
    assert (np.diff(train) > 0).all() and (np.diff(held) > 0).all()
    assert not np.array_equal(held, split(generator(1, "s"), 101, 0.2)[1])


def test_split_is_fair():
    """Every column is held out equally often: 2000 draws of 3 in 10, each count binomial with σ = √(2000·0.3·0.7) = 20.5."""
    random, labels = generator(0, "fair"), np.array([0, 1, 0, 1, 1, 2, 0, 1, 2, 1])
    for given in (None, labels):
        counts = np.zeros(10)
        for _ in range(2000):
            counts[split(random, 10, 0.3, given)[1]] += 1
        assert abs(counts - 600).max() < 4 * 20.5


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.77])
def test_stratified_split_gives_every_class_its_share(share):
    """Rounded up or down for every class, exactly for the whole."""
    labels = generator(0, "labels").choice(4, 203, p=[0.5, 0.3, 0.15, 0.05])
    train, held = split(generator(0, "s"), 203, share, labels)
    assert len(held) == round(203 * share) and len(train) + len(held) == len(np.union1d(train, held)) == 203
    total, part = np.bincount(labels, minlength=4), np.bincount(labels[held], minlength=4)
    exact = total * len(held) / 203
    assert ((part == np.floor(exact)) | (part == np.ceil(exact))).all()


def test_predict_is_the_network_after_training():
    """Running statistics, no dropout; by its formula here. Without buffers: fresh ones."""
    layers = (Dense(4), BatchNorm(eps=0.5), Dropout(0.9))
    network, random = Network(layers, 2), generator(0, "predict")
    p = helpers.parameters(layers, (3,), features=2)
    buffers = network.buffers((3,))
    buffers[1]["running_mean"][...] = random.standard_normal((3, 4, 1))
    buffers[1]["running_var"][...] = random.uniform(1, 2, (3, 4, 1))
    x = random.standard_normal((2, 5))
    z = p[0]["W"] @ x + p[0]["b"]
    normal = (z - buffers[1]["running_mean"]) / np.sqrt(buffers[1]["running_var"] + 0.5)
    np.testing.assert_allclose(predict(network, p, buffers, x), p[1]["gamma"] * normal + p[1]["beta"], rtol=1e-13)
    np.testing.assert_allclose(
        predict(network, p, None, x), p[1]["gamma"] * z / np.sqrt(1.5) + p[1]["beta"], rtol=1e-13
    )


WRONG = {
    "patience": (lambda: fit(job(), VALIDATION, patience=0), r"fit\(patience=0\): must be a whole number from 1"),
    "min_delta": (lambda: fit(job(), VALIDATION, min_delta=-0.1), r"fit\(min_delta=-0.1\)"),
    "min_delta nan": (lambda: fit(job(), VALIDATION, min_delta=np.nan), r"fit\(min_delta=nan\)"),
    "monitor": (lambda: fit(job(), VALIDATION, monitor="validation_los"), "Did you mean 'validation_loss'"),
    "no validation": (lambda: fit(job(), monitor="validation_loss"), "there is no column to monitor"),
    "metric": (lambda: fit(job(), VALIDATION, metrics={"loss": accuracy}), "cannot be called 'loss'"),
    "no batches": (lambda: fit(job(batches=None, noise=lambda step: None), VALIDATION), "give it epochs"),
    "short": (lambda: fit(replace(job(), batches=job().batches[:4]), VALIDATION), "an epoch is 4 batches"),
    "features": (lambda: fit(job(), Batch(VALIDATION.x[:4], VALIDATION.y)), "validation"),
    "labels": (lambda: fit(job(), Batch(VALIDATION.x, VALIDATION.y + 1)), "validation: labels must lie in 0 … 2"),
    "dtype": (lambda: fit(job(), batch("v", 4, "float32")), "validation.*float32"),
    "targets": (
        lambda: fit(replace(job(), loss=SquaredError(), data=Batch(job().data.x, job().data.x[:3])), VALIDATION),
        "validation: .*needs Y as numbers",
    ),
    "one row": (
        lambda: fit(
            replace(job(), loss=SquaredError(), data=Batch(job().data.x, job().data.x[:3])),
            Batch(VALIDATION.x, VALIDATION.x[:1]),
        ),
        r"validation: Y must be \(…, 3, m\)",
    ),
    "size": (lambda: epochs(generator(0), 5, 6, 1), r"epochs\(size=6\): .* 1 to 5"),
    "no size": (lambda: epochs(generator(0), 5, 0, 1), r"epochs\(size=0\)"),
    "count": (lambda: epochs(generator(0), 5, 2, 0), r"epochs\(count=0\)"),
    "generator": (lambda: epochs(None, 5, 2, 1), "to shuffle, a generator"),
    "share": (lambda: split(generator(0), 10, 0.04), r"split\(share=0.04\)"),
    "all": (lambda: split(generator(0), 10, 1.0), r"split\(share=1.0\)"),
    "share nan": (lambda: split(generator(0), 10, np.nan), r"split\(share=nan\)"),
    "labels of split": (lambda: split(generator(0), 10, 0.5, np.zeros(9, int)), r"labels must be \(10,\), got \(9,\)"),
    "x": (lambda: predict(job().network, job().parameters, None, VALIDATION.x[:4]), r"x must be \(…, 5, m\)"),
    "x in rows": (
        lambda: predict(job().network, job().parameters, None, VALIDATION.x.T),
        "transpose, an example is a column",
    ),
    "x complex": (
        lambda: predict(job().network, job().parameters, None, VALIDATION.x + 0j),
        "expected numbers .*, got complex128",
    ),
    "validation a pair": (
        lambda: fit(job(), (VALIDATION.x, VALIDATION.y)),
        r"fit\(validation=tuple\): must be of the kind Batch",
    ),
    "parameters": (lambda: predict(job().network, job().parameters[:2], None, VALIDATION.x), "parameters for 2 layers"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_bad_input_is_refused(wrong):
    call, message = WRONG[wrong]
    with pytest.raises(InvalidInput, match=message):
        call()


def test_digits_are_learned():
    """1797 pictures of 8×8, one hidden layer: above nine in ten unseen ones within ten epochs and three seconds."""
    started, digits = time.perf_counter(), data.load("digits", "float64")
    fitting, held = split(generator(0, "split"), digits.train.x.shape[-1], 0.15, digits.train.y)
    layers = (Dense(32), BatchNorm(), ReLU(), Dense(10))
    network = Network(layers, 64)
    parameters = network.initialize(he, lambda k: generator(0, "weights", k))
    batches = epochs(generator(0, "batches"), len(fitting), 32, 10)
    planned = Job(layers, CrossEntropy(), parameters, digits.train.columns(fitting), batches, Adam(0.01))
    fitted = fit(planned, digits.train.columns(held), metrics=METRICS, patience=3)
    output = predict(network, fitted.parameters, fitted.buffers, digits.test.x)
    assert accuracy(output, digits.test.y) > 0.9
    assert fitted.history["validation_loss"].min() == fitted.history["validation_loss"][fitted.best - 1]
    assert time.perf_counter() - started < 3
