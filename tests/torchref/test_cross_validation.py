"""scratch against torchref: one assertion for every class that scratch defines. The bounds are those of agreement.py.

Not every combination: every activation with some loss and stack, every loss with every stack, every other part twice.
"""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch

import scratch
from experiments.compare import agreement
from scratch import SGD, BatchNorm, Dense, Identity, InvalidInput, Network, ReLU, Residual, Tanh
from scratch import training as ours
from scratch.clipping import Clip
from scratch.layers import Layer
from scratch.losses import Loss
from scratch.optimizers import Optimizer
from scratch.penalties import MaxNorm, Penalty
from scratch.randomness import generator
from scratch.schedules import Schedule
from torchref import layers, losses
from torchref import training as theirs

STACKS = {"alone": (), "stack": (3,), "grid": (2, 3)}
TRAININGS = {  # own batches for every member, momentum
    "alone": (False, 0.9),
    "stack": (True, 0.9),
    "grid": (False, 0.0),
}
TURNS = [(kind, stack) for kind in helpers.LOSSES for stack in STACKS]
ACTIVATIONS = {  # name: kind of loss, stack
    name: TURNS[(5 * k) % len(TURNS)] for k, name in enumerate(helpers.ACTIVATIONS)
}


def plain(kind, activation, stack, **options):
    own_batches, momentum = TRAININGS[stack]
    return helpers.job(kind, helpers.ACTIVATIONS[activation](), STACKS[stack], own_batches, momentum, **options)


def assert_agree(found):
    worst = max(found, key=lambda d: d.ratio)
    assert worst.ratio <= 1, f"{worst.ratio:.3g} times the rounding bound: {worst}"


def assert_trained_alike(job):
    """Checks pointwise agreement at every snapshot of scratch, that a snapshot tells what it looked at, then the trajectory."""
    mine, other = list(ours.train(job)), list(theirs.train(job))
    assert [s.step for s in mine] == [s.step for s in other] == sorted(job.snapshots)
    for a, b in zip(mine, other, strict=True):
        for shot in (a, b):
            assert all(x.dtype == job.data.x.dtype for _, x in helpers.arrays(shot))
        assert {name: x.shape for name, x in helpers.arrays(a)} == {name: x.shape for name, x in helpers.arrays(b)}
        look = helpers.at(job, a)
        assert_agree(agreement.pointwise(look, a, theirs.snapshot(look), generator(a.step, "replicas")))
    assert_agree(agreement.trajectory(job, mine, other, generator(0, "replicas")))
    for shot, backend in ((mine[-1], ours), (other[-1], theirs)):
        assert_tells_what_it_saw(job, shot, backend)
    unseen = helpers.settled(helpers.at(job, mine[-1]), job.evaluate["unseen"])
    assert_agree(agreement.pointwise(unseen, ours.snapshot(unseen), theirs.snapshot(unseen), generator(0, "replicas")))


def assert_tells_what_it_saw(job, shot, backend):
    """A snapshot from training is the single look at what it says; its score the output on the unseen data, as after training."""
    look = helpers.at(job, shot)
    expected = dict(helpers.arrays(backend.snapshot(look)))
    expected["scores unseen"] = backend.snapshot(helpers.settled(look, job.evaluate["unseen"])).outputs[-1]
    assert [name for name, _ in helpers.arrays(shot)] == list(expected)
    for name, seen in helpers.arrays(shot):
        again = expected[name]
        # the same arithmetic, though memory that lies otherwise may take the BLAS another way: a few roundings
        roundings = 64 * np.finfo(again.dtype).eps * abs(again).max()
        np.testing.assert_allclose(seen, again, rtol=0, atol=roundings, err_msg=f"{name} at step {shot.step}")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_trains_alike(activation):
    """A wrong derivative, in a network whose layers are not square; in float32 a constant that widens everything after it."""
    kind, stack = ACTIVATIONS[activation]
    assert_trained_alike(plain(kind, activation, stack))
    assert_trained_alike(plain(kind, activation, stack, dtype="float32"))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("kind", helpers.LOSSES)
def test_every_loss_trains_alike(kind, stack):
    """A lost 1/m, a transposed matrix, mixed-up members or another momentum rule would break it."""
    assert_trained_alike(plain(kind, "sigmoid", stack))
    if stack == "stack":
        assert_trained_alike(plain(kind, "sigmoid", stack, dtype="float32"))


@pytest.mark.parametrize("name", helpers.PARTS)
def test_every_part_trains_alike(name):
    """Statistics, masks, penalties, clips, rates of the wrong member, step or size; in one network, and in a stack, alike or apart."""
    turn = list(helpers.PARTS).index(name) % 3
    assert_trained_alike(helpers.part(name))
    assert_trained_alike(helpers.part(name, (3,), own=True, dtype="float32" if turn == 0 else "float64"))
    assert_trained_alike(helpers.part(name, (2, 3), dtype="float32" if turn == 1 else "float64"))


def test_a_bias_below_batch_norm():
    """Its gradient is nothing but rounding: no false alarm."""
    assert_trained_alike(helpers.job("squared", layers=(Dense(7), BatchNorm(), Tanh(), Dense(3)), leading=(3,)))


def test_batches_of_different_sizes():
    """A mean over the usual size of a batch, where the last one of an epoch is smaller."""
    job = helpers.part("batch norm", snapshots=(0, 1, 2, 3, 4))
    order = generator(0, "ragged").permutation(helpers.EXAMPLES)
    job = replace(job, batches=[order[:6], order[6:], order[3:9], order[:4], order], evaluate={})
    mine, other = list(ours.train(job)), list(theirs.train(job))
    for a, b in zip(mine, other, strict=True):
        look = helpers.at(job, a)
        assert a.outputs[0].shape[-1] == len(job.batches[a.step])
        assert_agree(agreement.pointwise(look, a, theirs.snapshot(look), generator(a.step, "replicas")))
        for name, x in helpers.arrays(a):  # four steps: some hundred roundings, and the division by a small deviation
            np.testing.assert_allclose(dict(helpers.arrays(b))[name], x, rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("leading", STACKS.values(), ids=STACKS)
def test_upstream_gradient_is_taken_as_given(leading):
    """A backward pass that only works for gradients of one sign or size at the output would break it."""
    job = helpers.job("inner", leading=leading)
    upstream = job.data.y * np.geomspace(1e-3, 1e3, helpers.EXAMPLES)
    look = replace(job, data=replace(job.data, y=upstream), batches=None, snapshots=(0,))
    for backend in (ours, theirs):
        sent = backend.snapshot(look).output_gradients[-1]
        np.testing.assert_allclose(
            sent, np.broadcast_to(upstream / helpers.EXAMPLES, sent.shape), rtol=1e-15
        )  # one division each
    assert_agree(agreement.pointwise(look, ours.snapshot(look), theirs.snapshot(look), generator(0, "replicas")))


@pytest.mark.parametrize("edge", [Identity(), ReLU(), BatchNorm(), Residual((Tanh(),))], ids=lambda e: type(e).__name__)
def test_a_layer_first_and_twice(edge):
    """Aliased arrays of an Identity, or a layer straight on the input, would break the reuse of buffers."""
    built = (edge, Dense(7), Identity(), edge, Dense(3, bias=False), edge)
    assert_trained_alike(helpers.job("squared", layers=built))


@pytest.mark.parametrize("units, examples", [(1, 1), (1, 6), (3, 1)])
def test_one_unit_or_one_example(units, examples):
    """A sum or squeeze over an axis of length one would break it."""
    base = helpers.job("squared", ReLU(), steps=10)
    built = (Dense(1), Identity(), Dense(units))
    data = replace(base.data, y=base.data.y[:units])
    job = replace(
        base,
        layers=built,
        parameters=helpers.parameters(built),
        data=data,
        batches=base.batches[:, :examples],
        evaluate={"unseen": data},
    )
    assert_trained_alike(job)


@pytest.mark.parametrize("kind", helpers.KINDS, ids=lambda k: k.__name__)
def test_everything_is_cross_validated(kind):
    """A layer, loss, update rule, schedule, penalty or clip that was added to scratch alone, or to no table of helpers.py."""
    jobs = [*(helpers.job(loss) for loss in helpers.LOSSES), *map(helpers.part, helpers.PARTS)]
    used = set().union(*map(helpers.described, jobs), helpers.ACTIVATIONS.values())
    assert kind in used, f"{kind.__name__} is not cross-validated: add it to helpers.PARTS or LOSSES"


def test_nothing_is_missing_from_the_kinds():
    """The test above would prove little if it were asked about few of the classes."""
    kinds = (Layer, Loss, Optimizer, Schedule, Penalty, Clip, MaxNorm)
    exported = [getattr(scratch, name) for name in scratch.__all__]
    chosen = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, kinds)} - {Layer}
    assert len(chosen) > 45 and chosen <= set(helpers.KINDS)


@pytest.mark.parametrize("kind", helpers.leaves(Layer), ids=lambda k: k.__name__)
def test_layer_has_a_twin(kind):
    """A layer added to scratch alone."""
    fields = {Dense: {"units": 3}, Residual: {"layers": (Tanh(),)}}.get(kind, {})
    for layer in (kind(**fields), kind(**fields).inference()):
        assert isinstance(layers.twin(layer, 4), torch.nn.Module), f"{layer} has no torch twin"


def test_missing_twin_is_named():
    """A description without a twin must say which one is missing, not fail somewhere inside torch."""
    for twin, kind, rest in ((layers.twin, Layer, (2,)), (losses.twin, Loss, ())):
        unheard_of = type("UnheardOf", (kind,), {"__module__": "tests"})
        with pytest.raises(InvalidInput, match="UnheardOf has no torch twin"):
            twin(unheard_of(), *rest)


def test_widths_are_really_awkward():
    """A later change of the shapes in helpers.py that lets a transposed matrix slip through."""
    job = helpers.job("labels", ReLU())
    sizes = {helpers.FEATURES, *helpers.WIDTHS, helpers.EXAMPLES, helpers.SIZE, helpers.EXAMPLES - 2}
    assert len(sizes) == len(helpers.WIDTHS) + 4
    assert all(abs(named["b"]).min() > 0 for named in job.parameters if "b" in named)
    assert [sorted(named) for named in job.parameters] == [["W", "b"], [], ["W"], [], ["W", "b"]]
    assert Network(job.layers, helpers.FEATURES).widths[-1] == helpers.WIDTHS[-1]
    assert isinstance(job.optimizer, SGD) and len(job.batches) - 1 >= 10


def test_the_design_covers():
    """Every loss and stack appears among the activations; scales, shifts, and masks of a stack differ."""
    kinds, stacks = zip(*ACTIVATIONS.values(), strict=True)
    assert set(kinds) == set(helpers.LOSSES) and set(stacks) == set(STACKS)
    job = helpers.part("everything", (3,), own=True)
    masks = job.noise(0)[3]["mask"]
    assert masks.shape == (3, 7, helpers.SIZE) and 0 < masks.mean() < 1 and (masks[0] != masks[1]).any()
    for name, start in (("gamma", 1), ("beta", 0)):
        assert (abs(job.parameters[1][name] - start) > 1e-3).all() and np.ptp(job.parameters[1][name], axis=0).min() > 0
