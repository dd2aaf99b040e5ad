"""scratch against torchref: one assertion for every loss, activation, stack and optimizer. The bounds are those of agreement.py."""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch

from experiments import agreement
from experiments.randomness import generator
from scratch import SGD, Dense, Identity, Network, ReLU
from scratch import initializers as draws
from scratch import training as ours
from scratch.layers import Layer
from scratch.losses import Loss
from scratch.optimizers import Optimizer
from torchref import activations, initializers, layers, losses, optimizers  # noqa: F401  activations register themselves
from torchref import training as theirs

STACKS = {"alone": (), "stack": (3,), "grid": (2, 3)}
TRAININGS = {  # (own batches for every member, momentum); between them the two stacks see all four
    "alone": [(False, 0.0), (False, 0.9)],
    "stack": [(False, 0.0), (True, 0.9)],
    "grid": [(False, 0.9), (True, 0.0)],
}


def assert_agree(found):
    worst = max(found, key=lambda d: d.ratio)
    assert worst.ratio <= 1, f"{worst.ratio:.3g} times the rounding bound: {worst}"


def assert_trained_alike(job):
    """Checks pointwise agreement at every snapshot of scratch, that a snapshot tells what it looked at, then the trajectory."""
    mine, other = list(ours.train(job)), list(theirs.train(job))
    assert [s.step for s in mine] == [s.step for s in other] == sorted(job.snapshots)
    for a, b in zip(mine, other, strict=True):
        assert {name: x.shape for name, x in helpers.arrays(a)} == {name: x.shape for name, x in helpers.arrays(b)}
        look = helpers.at(job, a)
        assert_agree(agreement.pointwise(look, a, theirs.snapshot(look), generator(a.step, "shadows")))
    assert_agree(agreement.trajectory(job, mine, other, generator(0, "shadows")))
    for shot, backend in ((mine[-1], ours), (other[-1], theirs)):
        assert_tells_what_it_saw(job, shot, backend)
    unseen = replace(helpers.at(job, mine[-1]), data=job.evaluate["unseen"])
    assert_agree(agreement.pointwise(unseen, ours.snapshot(unseen), theirs.snapshot(unseen), generator(0, "shadows")))


def assert_tells_what_it_saw(job, shot, backend):
    """A snapshot from training is the single look at its parameters and batch; its score the output on the unseen data."""
    look = helpers.at(job, shot)
    expected = dict(helpers.arrays(backend.snapshot(look)))
    expected["scores unseen"] = backend.snapshot(replace(look, data=job.evaluate["unseen"])).outputs[-1]
    assert [name for name, _ in helpers.arrays(shot)] == list(expected)
    for name, seen in helpers.arrays(shot):
        again = expected[name]
        # the same arithmetic, though memory that lies otherwise may take the BLAS another way: a few roundings
        roundings = 64 * np.finfo(again.dtype).eps * abs(again).max()
        np.testing.assert_allclose(seen, again, rtol=0, atol=roundings, err_msg=f"{name} at step {shot.step}")


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("activation", helpers.ACTIVATIONS)
@pytest.mark.parametrize("kind", helpers.LOSSES)
def test_training_agrees(kind, activation, stack):
    """A wrong derivative, a lost 1/m, a transposed matrix, mixed-up members or another momentum rule would break it."""
    for own_batches, momentum in TRAININGS[stack]:
        assert_trained_alike(helpers.job(kind, helpers.ACTIVATIONS[activation](), STACKS[stack], own_batches, momentum))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("kind", helpers.LOSSES)
def test_float32_is_kept_and_agrees(kind, stack):
    """An array that creeps up to float64, or a constant of the wrong width, would break it."""
    job = helpers.job(kind, helpers.ACTIVATIONS["sigmoid"](), STACKS[stack], dtype="float32")
    assert_trained_alike(job)
    for backend in (ours, theirs):
        for shot in (*backend.train(job), backend.snapshot(replace(job, batches=None, snapshots=(0,)))):
            assert {name: a.dtype for name, a in helpers.arrays(shot)} == {
                name: np.float32 for name, _ in helpers.arrays(shot)
            }


@pytest.mark.parametrize("activation", helpers.ACTIVATIONS)
def test_every_activation_keeps_float32(activation):
    """A Python or float64 constant in one activation would widen everything after it."""
    job = helpers.job("labels", helpers.ACTIVATIONS[activation](), (3,), dtype="float32")
    for backend in (ours, theirs):
        for shot in backend.train(job):
            assert all(a.dtype == np.float32 for _, a in helpers.arrays(shot))
    assert_agree(agreement.trajectory(job, list(ours.train(job)), list(theirs.train(job)), generator(0, "shadows")))


@pytest.mark.parametrize("leading", STACKS.values(), ids=STACKS)
def test_upstream_gradient_is_taken_as_given(leading):
    """A backward pass that only works for gradients of one sign or size at the output would break it."""
    job = helpers.job("inner", helpers.ACTIVATIONS["tanh"](), leading)
    upstream = job.data.y * np.geomspace(1e-3, 1e3, helpers.EXAMPLES)
    look = replace(job, data=replace(job.data, y=upstream), batches=None, snapshots=(0,))
    for backend in (ours, theirs):
        sent = backend.snapshot(look).output_gradients[-1]
        np.testing.assert_allclose(
            sent, np.broadcast_to(upstream / helpers.EXAMPLES, sent.shape), rtol=1e-15
        )  # one division each
    assert_agree(agreement.pointwise(look, ours.snapshot(look), theirs.snapshot(look), generator(0, "shadows")))


@pytest.mark.parametrize("edge", [Identity(), ReLU()])
def test_activation_first_and_twice(edge):
    """Aliased arrays of an Identity, or an activation straight on the input, would break the reuse of buffers."""
    base = helpers.job("squared", edge)
    built = (edge, Dense(7), Identity(), edge, Dense(3, bias=False), edge)
    assert_trained_alike(replace(base, layers=built, parameters=helpers.parameters(built)))


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


@pytest.mark.parametrize("kind", helpers.leaves(Layer), ids=lambda k: k.__name__)
def test_layer_has_a_twin(kind):
    """A layer added to scratch alone."""
    fields = {"units": 3} if kind is Dense else {}
    assert isinstance(layers.twin(kind(**fields), 4), torch.nn.Module), f"{kind.__name__} has no torch twin"


@pytest.mark.parametrize("kind", helpers.leaves(Loss), ids=lambda k: k.__name__)
def test_loss_has_a_twin(kind):
    """A loss added to scratch alone, or one that the cross-validation above does not know."""
    assert isinstance(losses.twin(kind()), torch.nn.Module), f"{kind.__name__} has no torch twin"
    assert kind in {type(loss) for loss in helpers.LOSSES.values()}, (
        f"{kind.__name__} is not cross-validated: add it to helpers.LOSSES"
    )


@pytest.mark.parametrize("kind", helpers.leaves(Optimizer), ids=lambda k: k.__name__)
def test_optimizer_has_a_twin(kind):
    """An update rule added to scratch alone."""
    weights = [torch.zeros(2, requires_grad=True)]
    assert isinstance(optimizers.twin(kind(0.1), weights), torch.optim.Optimizer), f"{kind.__name__} has no torch twin"


def test_missing_twin_is_named():
    """A description without a twin must say which one is missing, not fail somewhere inside torch."""
    from scratch import InvalidInput

    for twin, kind, rest in ((layers.twin, Layer, (2,)), (losses.twin, Loss, ()), (optimizers.twin, Optimizer, ([],))):
        unheard_of = type("UnheardOf", (kind,), {"__module__": "tests"})
        with pytest.raises(InvalidInput, match="UnheardOf has no torch twin"):
            twin(unheard_of(), *rest)


SHAPE = (300, 200)  # (n_out, n_in): not square, so that fan-in and fan-out cannot be confused


def drawn_by_torch(name):
    assert hasattr(initializers, name), f"scratch.initializers.{name} has no twin in torchref/initializers.py"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(initializers, name)(torch.empty(SHAPE, dtype=torch.float64)).numpy()


@pytest.mark.parametrize("name", draws.by_name())
def test_initializer_twin_has_the_same_variance(name):
    """A scheme with the wrong fan, gain or distribution on either side."""
    mine, other = draws.by_name()[name](generator(0, "draws"), SHAPE), drawn_by_torch(name)
    assert mine.shape == other.shape == SHAPE
    if np.ptp(mine) == 0:
        assert np.array_equal(mine, other)
        return
    # the variance of a sample variance is s⁴(κ − 1)/n: κ = 3 for a Gaussian (2s⁴/n), 9/5 for a uniform; an orthogonal
    # matrix has Σw² fixed, and the mean square of both is the same number up to rounding
    squares = {"orthogonal": 0.0, "standard": 0.8}.get(name, 2.0)
    a, b = (mine**2).mean(), (other**2).mean()
    assert abs(a - b) <= 4 * np.sqrt(squares * (a**2 + b**2) / mine.size) + 1e-13 * a
    assert abs(other.mean()) <= 4 * np.sqrt(b / other.size)


@pytest.mark.parametrize("name", ["standard"])
def test_uniform_draws_respect_their_bounds(name):
    """A uniform law of the right variance with other bounds is not the same law; both must also come near them."""
    bound = 1 / np.sqrt(SHAPE[1])
    for w in (draws.by_name()[name](generator(0, "draws"), SHAPE), drawn_by_torch(name)):
        for extreme in (-w.min(), w.max()):
            # the largest of n uniform draws on (−1, 1) falls short by more than 2·ln(1/p)/n with probability p = 6e-5
            assert bound * (1 - 2 * 9.7 / w.size) <= extreme <= bound


@pytest.mark.parametrize("shape", [SHAPE, SHAPE[::-1]], ids=["tall", "wide"])
def test_orthogonal_twin_is_orthonormal(shape):
    """Orthonormal columns where rows are fewer, or a missing normalisation."""
    w = torch.empty(shape, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        initializers.orthogonal(w)
    for m in (w.numpy(), draws.orthogonal(generator(0, "draws"), shape)):
        gram = m.T @ m if shape[0] >= shape[1] else m @ m.T
        np.testing.assert_allclose(gram, np.eye(min(shape)), rtol=0, atol=1e-13)  # n·u = 300 × 1.1e-16, and some


def test_widths_are_really_awkward():
    """A later change of the shapes in helpers.py that lets a transposed matrix slip through."""
    job = helpers.job("labels", ReLU())
    sizes = {helpers.FEATURES, *helpers.WIDTHS, helpers.EXAMPLES, helpers.SIZE, helpers.EXAMPLES - 2}
    assert len(sizes) == len(helpers.WIDTHS) + 4
    assert all(abs(named["b"]).min() > 0 for named in job.parameters if "b" in named)
    assert [sorted(named) for named in job.parameters] == [["W", "b"], [], ["W"], [], ["W", "b"]]
    assert Network(job.layers, helpers.FEATURES).widths[-1] == helpers.WIDTHS[-1]
    assert isinstance(job.optimizer, SGD) and len(job.batches) - 1 >= 10
