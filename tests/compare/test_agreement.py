"""The rounding bound catches what it must and is quiet otherwise: planted errors, wrong formulas, correct runs."""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pytest

from experiments.compare import agreement, replicas
from experiments.compare.agreement import Difference
from scratch import (
    SGD,
    Batch,
    BatchNorm,
    Dense,
    Dropout,
    InnerProduct,
    Job,
    LayerNorm,
    ReLU,
    Residual,
    RMSProp,
    Sigmoid,
    SquaredError,
    Tanh,
)
from scratch import training as ours
from scratch.randomness import generator
from torchref import training as theirs

# A bound is a few dozen unit roundoffs: 1e-12 and 1e-3 lie two orders above it in their dtype
PLANTED = {"float64": 1e-12, "float32": 1e-3}


def compared(job, seed=0, change=lambda shot: shot):
    """Pointwise differences, the torch snapshot changed first."""
    return agreement.pointwise(job, ours.snapshot(job), change(theirs.snapshot(job)), generator(seed, "replicas"))


def look(kind="labels", activation=None, leading=(), dtype="float64", seed=0):
    job = helpers.job(kind, activation or Tanh(), leading, dtype=dtype, seed=seed)
    return replace(job, batches=None, snapshots=(0,), evaluate={})


def raised(array, relative, index=()):
    array = array.copy()
    array[index] *= array.dtype.type(1 + relative)
    return array


def planted(shot, layer, quantity, relative, index=()):
    """The snapshot with one array (of one network of a stack) off by a relative error; layers counted from 1."""
    if quantity == "loss":
        return replace(shot, loss=raised(shot.loss, relative, index))
    if quantity in ("output", "gradient at output"):
        field = "outputs" if quantity == "output" else "output_gradients"
        held = list(getattr(shot, field))
        held[layer - 1] = raised(held[layer - 1], relative, index)
        return replace(shot, **{field: tuple(held)})
    name, held = quantity.removeprefix("gradient of "), list(shot.gradients)
    held[layer - 1] = {**held[layer - 1], name: raised(held[layer - 1][name], relative, index)}
    return replace(shot, gradients=tuple(held))


PLACES = [(k, q) for k in range(1, 6) for q in ("output", "gradient at output")]
PLACES += [
    (1, "gradient of W"),
    (1, "gradient of b"),
    (3, "gradient of W"),
    (5, "gradient of W"),
    (5, "gradient of b"),
    (5, "loss"),
]


@pytest.mark.parametrize("dtype", PLANTED)
@pytest.mark.parametrize("leading", [(), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("layer, quantity", PLACES)
def test_planted_error_is_found_and_named(layer, quantity, leading, dtype):
    """A bound so wide that a wrong number hides in it, or a report that points at another layer."""
    index = tuple(n - 1 for n in leading)  # in one member of a stack only: the others must not dilute it
    found = compared(
        look(leading=leading, dtype=dtype), change=lambda shot: planted(shot, layer, quantity, PLANTED[dtype], index)
    )
    assert [(d.layer, d.quantity) for d in found if d.ratio > 1] == [(layer, quantity)]


def test_every_quantity_of_a_snapshot_is_compared():
    """A quantity that nobody looks at cannot disagree."""
    assert sorted((d.layer, d.quantity) for d in compared(look())) == sorted(PLACES)


@pytest.mark.parametrize("dtype", PLANTED)
@pytest.mark.parametrize("layer, name", [(1, "W"), (1, "b"), (3, "W"), (5, "W"), (5, "b")])
def test_planted_parameter_is_found_in_the_trajectory(layer, name, dtype):
    """A parameter that drifts by more than rounding explains, at one step, in one member."""
    job = helpers.job("labels", Tanh(), (3,), dtype=dtype)
    mine, other = list(ours.train(job)), list(theirs.train(job))
    held = list(other[1].parameters)
    held[layer - 1] = {**held[layer - 1], name: raised(held[layer - 1][name], PLANTED[dtype], 2)}
    other[1] = replace(other[1], parameters=tuple(held))
    found = agreement.trajectory(job, mine, other, generator(0, "replicas"))
    assert [(d.step, d.layer, d.quantity) for d in found if d.ratio > 1] == [(other[1].step, layer, name)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # ∞/∞ on the way to the verdict
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_disagree(bad):
    """NaN compares false with everything: a test written as difference > bound would let it pass."""
    job = look(leading=(3,))

    def spoil(shot):
        loss = shot.loss.copy()
        loss[1] = bad
        return replace(shot, loss=loss)

    found = compared(job, change=spoil)
    assert [d.quantity for d in found if not d.ratio <= 1] == ["loss"]
    assert worst(found) > 1, "max() and > must see it too"


def test_a_layer_of_nan_is_not_hidden_in_the_table():
    """idxmax passes over NaN: the report would show the next best layer, which agrees."""
    with np.errstate(invalid="ignore"):
        frame = agreement.table(
            [Difference(0, 1, "W", np.nan, np.nan, 1.0), Difference(0, 2, "W", 0.1, 0.1, 1.0)], "part", "condition"
        )
    assert list(frame.layer) == [1] and (frame.ratio > 1).all()


def worst(found):
    return max(d.ratio for d in found)


@pytest.mark.parametrize("dtype", PLANTED)
@pytest.mark.parametrize("activation", [Tanh(), ReLU(), Sigmoid()], ids=str)
def test_correct_runs_are_quiet_and_the_bound_is_not_vacuous(activation, dtype):
    """False alarms, or a bound a thousand times too wide, over 20 seeds."""
    for seed in range(20):
        ratio = worst(compared(look("labels" if seed % 2 else "squared", activation, (2,), dtype, seed), seed))
        assert 1e-3 < ratio <= 1


@pytest.mark.parametrize("dtype", PLANTED)
def test_correct_trajectories_are_quiet(dtype):
    """A bound that does not grow along with the differences would raise a false alarm late in training."""
    for seed in range(20):
        job = helpers.job("labels", Tanh(), (2,), dtype=dtype, seed=seed, rate=0.2, steps=20)
        found = agreement.trajectory(job, list(ours.train(job)), list(theirs.train(job)), generator(seed, "replicas"))
        assert 1e-3 < worst(found) <= 1


def test_the_bound_of_a_trajectory_grows():
    """At the start both are equal and only one rounding is allowed; every step may add one."""
    job = helpers.job("squared", Tanh(), (2,), rate=0.05, steps=60, snapshots=(0, 1, 20, 60))
    found = agreement.trajectory(job, list(ours.train(job)), list(theirs.train(job)), generator(0, "replicas"))
    assert all(d.difference == 0 for d in found if d.step == 0 and d.quantity != "loss")  # the start was handed in
    bounds = {step: [d.bound for d in found if d.step == step and d.quantity == "W"] for step in (0, 1, 20, 60)}
    norms = [np.linalg.norm(named["W"], axis=(-2, -1)) for named in job.parameters if named]
    for bound, norm in zip(bounds[0], norms, strict=True):  # 4·√k·u·‖W‖, of one member or the other
        k = max(helpers.FEATURES, *helpers.WIDTHS, helpers.SIZE)
        assert np.isclose(bound, 4 * np.sqrt(k) * 2**-53 * norm).any()
    assert np.median(bounds[60]) > np.median(bounds[20]) > np.median(bounds[1]) >= np.median(bounds[0])


@pytest.mark.parametrize("k", [4, 400])
def test_the_bound_knows_the_length_of_the_sums(k):
    """One constant for every width would be too wide for small networks or too narrow for large ones."""
    random = generator(0, "wide")
    job = Job(
        (Dense(5),),
        SquaredError(),
        helpers.parameters((Dense(5),), features=k),
        Batch(random.standard_normal((k, 3)), np.zeros((5, 3))),
    )
    assert agreement.longest_sum(job) == max(k, 5)
    (found,) = [d for d in compared(job) if d.quantity == "output"]
    size = np.linalg.norm(ours.snapshot(job).outputs[0])
    # 4·(spread + √k·u·size), the spread of inputs and weights moved by √k·u being of the same order
    assert 1 <= found.bound / (4 * np.sqrt(max(k, 5)) * 2**-53 * size) < 10


def test_float32_has_a_bound_of_its_own():
    """float64's bound on float32 would raise an alarm at every quantity; float32's on float64 would see nothing."""
    narrow, wide = compared(look(dtype="float32")), compared(look(dtype="float64"))
    for a, b in zip(narrow, wide, strict=True):
        # same network up to rounding, same signs of the replicas: bounds in the ratio of the unit roundoffs
        np.testing.assert_allclose(a.bound / b.bound, 2.0**29, rtol=0.05)


# Wrong formulas, put into scratch: the replicas use them too, so only the comparison with torch can tell


WRONG = {
    "tanh's derivative 1 − a": (Tanh, "backward", lambda self, p, a, da: (da * (1 - a), {})),
    "tanh's derivative left out": (Tanh, "backward", lambda self, p, a, da: (da, {})),
    "bias gradient averaged": (
        Dense,
        "backward",
        lambda self, p, x, dz: (
            p["W"].mT @ dz,
            {"W": dz @ x.mT, **({"b": dz.mean(-1, keepdims=True)} if self.bias else {})},
        ),
    ),
    "weight gradient averaged": (
        Dense,
        "backward",
        lambda self, p, x, dz: (
            p["W"].mT @ dz,
            {"W": dz @ x.mT / 6, **({"b": dz.sum(-1, keepdims=True)} if self.bias else {})},
        ),
    ),
    "bias forgotten": (Dense, "forward", lambda self, p, x: (p["W"] @ x, x)),
    "mean over examples alone": (
        SquaredError,
        "differentiate",
        lambda self, z, y: (((z - y) ** 2).sum((-2, -1)) / 11, 2 * (z - y) / 11),
    ),
}


@pytest.mark.parametrize("kind, name, wrong", WRONG.values(), ids=WRONG)
def test_wrong_formula_breaks_pointwise_agreement(kind, name, wrong, monkeypatch):
    """A comparison that takes one implementation's numbers from the other would not notice."""
    job = look("squared", leading=(2,))
    assert worst(compared(job)) <= 1
    monkeypatch.setattr(kind, name, wrong)
    assert worst(compared(job)) > 1e6


def without_variance(self, p, cache, dout):
    """Batch norm's backward pass with σ held fixed."""
    dx = dout * p["gamma"] if self.affine else dout
    return (dx - dx.mean(-1, keepdims=True)) * cache[1], BatchNorm.right(self, p, cache, dout)[1]


def without_mean(self, p, cache, dout):
    """Layer norm's backward pass with μ held fixed."""
    dx = dout * p["gamma"] if self.affine else dout
    dx = (dx - cache[0] * (dx * cache[0]).mean(-2, keepdims=True)) * cache[1]
    return dx, LayerNorm.right(self, p, cache, dout)[1]


def without_skip(self, p, caches, dout):
    """A residual layer's backward pass through the branch alone."""
    right, gradients = Residual.right(self, p, caches, dout)
    return right - dout, gradients


WRONG_LAYERS = {
    "batch norm's variance held fixed": ("batch norm", BatchNorm, "backward", without_variance),
    "layer norm's mean held fixed": ("layer norm", LayerNorm, "backward", without_mean),
    "dropout without 1/keep": ("dropout", Dropout, "scale", 1.0),
    "residual without the skip's gradient": ("residual", Residual, "backward", without_skip),
}


def first_look(name, leading=(2,)):
    """The look at the parameters, buffers and masks that a job of PARTS begins with."""
    job = helpers.part(name, leading)
    return replace(helpers.at(job, next(iter(ours.train(job)))), evaluate={})


@pytest.mark.parametrize("part, kind, name, wrong", WRONG_LAYERS.values(), ids=WRONG_LAYERS)
def test_wrong_layer_breaks_pointwise_agreement(part, kind, name, wrong, monkeypatch):
    """The same of layers that mix examples or units, and of those that pass the gradient by."""
    job = first_look(part)
    assert worst(compared(job)) <= 1
    monkeypatch.setattr(kind, "right", getattr(kind, name), raising=False)
    monkeypatch.setattr(kind, name, wrong)
    assert worst(compared(job)) > 1e6


def biased(self, p, x):
    """Running variance fed the batch's biased one."""
    before = p["running_var"].copy()
    centred, variance = BatchNorm.right(self, p, x)
    p["running_var"][...] = before + self.momentum * (variance - before)
    return centred, variance


def swapped(self, p, x):
    """``momentum`` as the weight of the old value."""
    return BatchNorm.right(replace(self, momentum=1 - self.momentum), p, x)


def early(self, theta, gradient, memory, rate):
    """Nesterov's direction from the velocity of the step before."""
    direction = gradient + self.momentum * memory["velocity"]
    SGD.right(self, theta.copy(), gradient, memory, rate)
    theta -= direction * rate


def undamped(self, theta, gradient, memory, rate, damping):
    """Dampening forgotten."""
    SGD.right(replace(self, dampening=0.0), theta, gradient, memory, rate)


WRONG_UPDATES = {
    "running variance biased": ("everything", BatchNorm, "_measure", biased),
    "momentum weighs the old value": ("everything", BatchNorm, "_measure", swapped),
    "Nesterov off by one": ("nesterov", SGD, "descend", early),
    "dampening forgotten": ("dampening", SGD, "descend", undamped),
}


@pytest.mark.parametrize("part, kind, name, wrong", WRONG_UPDATES.values(), ids=WRONG_UPDATES)
def test_wrong_memory_breaks_the_trajectory(part, kind, name, wrong, monkeypatch):
    """What only the next steps, or the network after training, would show: pointwise it cannot be seen."""
    job = helpers.part(part, (2,))
    assert worst(trained(job)) <= 1
    monkeypatch.setattr(kind, "right", getattr(kind, name), raising=False)
    monkeypatch.setattr(kind, name, wrong)
    assert worst(trained(job)) > 1e6
    look = first_look(part)
    assert worst(compared(look)) <= 1


def trained(job):
    return agreement.trajectory(job, list(ours.train(job)), list(theirs.train(job)), generator(0, "replicas"))


@pytest.mark.parametrize("name", ["everything", "residual"])
@pytest.mark.parametrize("dtype", PLANTED)
def test_correct_runs_of_every_layer_are_quiet(name, dtype):
    """False alarms where statistics cancel and masks leave little to add up, or bounds that nothing could exceed."""
    for seed in range(4):
        job = helpers.part(name, (2,), dtype=dtype, seed=seed)
        shots = list(ours.train(job))
        look = helpers.at(job, shots[-1])
        for found in (
            compared(look, seed),
            agreement.trajectory(job, shots, list(theirs.train(job)), generator(seed, "replicas")),
        ):
            assert 1e-3 < worst(found) <= 1


def weighed(self, theta, gradient, memory, rate):
    velocity = memory["velocity"]
    velocity *= self.momentum
    velocity += (1 - self.momentum) * gradient
    theta -= self.learning_rate * velocity


def nesterov(self, theta, gradient, memory, rate):
    velocity = memory["velocity"]
    velocity *= self.momentum
    velocity += gradient
    theta -= self.learning_rate * (gradient + self.momentum * velocity)


def forgetful(self, theta, gradient, memory, rate):
    theta -= self.learning_rate * gradient


@pytest.mark.parametrize("wrong", [weighed, nesterov, forgetful])
def test_wrong_momentum_breaks_the_trajectory(wrong, monkeypatch):
    """v = μv + (1−μ)g, Nesterov's step, or no memory: pointwise they cannot be seen."""
    job = helpers.job("squared", Tanh(), (2,))
    monkeypatch.setattr(SGD, "descend", wrong)
    mine, other = list(ours.train(job)), list(theirs.train(job))
    assert worst(agreement.trajectory(job, mine, other, generator(0, "replicas"))) > 1e6
    at = helpers.at(job, mine[-1])
    assert worst(agreement.pointwise(at, mine[-1], theirs.snapshot(at), generator(0, "replicas"))) <= 1


STACKED = {"x and y": (True, True), "x alone": (True, False), "y alone": (False, True), "neither": (False, False)}


@pytest.mark.parametrize("kind", ["labels", "squared"])
@pytest.mark.parametrize("own_x, own_y", STACKED.values(), ids=STACKED)
def test_data_may_be_stacked_or_shared(own_x, own_y, kind):
    """Both implementations take x and y with or without leading axes; so must their comparison."""
    job = look(kind, leading=(3,))
    data = Batch(
        np.stack([job.data.x] * 3) if own_x else job.data.x, np.stack([job.data.y] * 3) if own_y else job.data.y
    )
    assert worst(compared(replace(job, data=data))) <= 1


@pytest.mark.parametrize("z", [3, 6, 12])
@pytest.mark.parametrize("activation", [Tanh(), Sigmoid()], ids=str)
def test_saturated_units_are_no_disagreement(activation, z):
    """Near a = 1 the derivative 1 − a² or a(1 − a) keeps few digits of a: one ulp of a moves it by many, in a correct run."""
    random = generator(0, "saturated")
    layers, x = (Dense(7), activation, Dense(3)), random.uniform(1, 2, (5, 6))
    first = {
        "W": z * random.uniform(1, 2, (7, 5)) / 11.25,
        "b": np.zeros((7, 1)),
    }  # Σ over 5 inputs of 1.5 × 1.5: z on average
    last = helpers.parameters(layers)[2]
    job = Job(layers, InnerProduct(), (first, {}, last), Batch(x, random.standard_normal((3, 6))))
    assert worst(compared(job)) <= 1


def test_a_bound_of_nothing_allows_nothing():
    """0/0 must be agreement, anything/0 must not."""
    assert Difference(0, 1, "loss", 0.0, 0.0, 0.0).ratio == 0
    assert Difference(0, 1, "loss", 1e-300, 1.0, 0.0).ratio == np.inf
    assert Difference(0, 1, "loss", 3.0, 1.0, 2.0).ratio == 1.5


def test_exact_zeros_agree_and_small_numbers_count():
    """Dead networks have gradients of exactly 0: no false alarm, though any number against 0 is one."""
    base = look("squared", ReLU())
    dead = tuple({name: -abs(a) for name, a in named.items()} for named in base.parameters)
    job = replace(base, parameters=dead, data=replace(base.data, x=abs(base.data.x)))
    shot = ours.snapshot(job)
    assert not shot.gradients[0]["W"].any() and worst(compared(job)) <= 1

    def spoil(shot):
        first = {**shot.gradients[0], "W": shot.gradients[0]["W"] + 1e-200}
        return replace(shot, gradients=(first, *shot.gradients[1:]))

    assert [(d.layer, d.quantity) for d in compared(job, change=spoil) if d.ratio > 1] == [(1, "gradient of W")]


def test_the_table_shows_the_worst_layer():
    """The report must not show a layer that agrees where another does not."""
    found = [Difference(s, k, q, k * 1.0, 0.0, 10.0) for s in (0, 5) for q in ("W", "b") for k in (1, 3, 2)]
    frame = agreement.table(found, "a part", "a condition")
    assert len(frame) == 4 and set(frame.layer) == {3} and np.allclose(frame.ratio, 0.3)
    assert set(frame.part) == {"a part"} and set(frame.condition) == {"a condition"}


def diverging():
    """A linear network whose squared error a huge learning rate sends to infinity and NaN within a few steps."""
    job = helpers.job("squared", helpers.ACTIVATIONS["identity"](), steps=12, snapshots=tuple(range(13)), rate=50.0)
    with np.errstate(over="ignore", invalid="ignore"):
        return job, list(ours.train(job)), list(theirs.train(job))


def test_a_trajectory_ends_where_both_diverge():
    """NaN against NaN is no disagreement of implementations: both did what the learning rate asked for."""
    job, mine, other = diverging()
    finite = [s.step for s in mine if all(np.isfinite(a).all() for named in s.parameters for a in named.values())]
    assert 0 < len(finite) < len(mine), "the job must diverge, though not at once"
    with np.errstate(over="ignore", invalid="ignore"):
        found = agreement.trajectory(job, mine, other, generator(0, "replicas"))
    assert max(d.step for d in found) <= finite[-1] and not any(np.isnan(d.difference) for d in found)


def test_one_that_diverges_alone_disagrees():
    """Ending at the first NaN of either would hide the bug that caused it."""
    job = helpers.job("squared", helpers.ACTIVATIONS["tanh"](), steps=4, snapshots=(0, 2, 4))
    mine, other = list(ours.train(job)), list(theirs.train(job))
    broken = tuple({name: a * np.nan for name, a in named.items()} for named in other[1].parameters)
    other[1] = replace(other[1], parameters=broken)
    assert worst(agreement.trajectory(job, mine, other, generator(0, "replicas"))) == np.inf


def test_every_other_replica_moves_all_units_alike():
    """Units that are copies round alike: replicas that all move independently average that away."""
    moved = replicas.jitter(np.ones((5, 2, 6, 7)), 0.1, generator(0, "jitter"))
    assert (moved[0] == 1).all() and set(np.unique(moved[1:].round(12))) == {0.9, 1.1}
    assert (moved[2] == moved[2][:, :1]).all() and (moved[4] == moved[4][:, :1]).all()
    assert not (moved[1] == moved[1][:, :1]).all() and not (moved[3] == moved[3][:, :1]).all()


def test_a_step_that_leaves_almost_nothing_is_rounded_itself():
    """A bound relative to what is left of W: RMSProp's first step, 0.125, is rounded whatever W becomes."""
    w, data = np.array([[0.12573022]]), Batch(np.array([[-0.19815729]]), np.array([[0.96063398]]))
    rule, batches = RMSProp(0.1, 3 / 8, eps=2.0**-10), np.zeros((2, 1), int)
    work = Job((Dense(1, bias=False),), SquaredError(), ({"W": w},), data, batches, rule, (0, 1))
    shots = list(ours.train(work))
    differences = agreement.trajectory(work, shots, shots, generator(0, "replicas"))
    (found,) = [d for d in differences if (d.step, d.quantity) == (1, "W")]
    assert abs(shots[1].parameters[0]["W"].item()) < 0.01 and found.bound > 0.125 * 2.0**-53
