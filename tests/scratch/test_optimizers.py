"""Every update rule and clip against PyTorch on the same gradients, against closed forms, and member by member."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import helpers
import numpy as np
import pytest
import torch

from scratch.clipping import Clip, ClipNorm, ClipValue
from scratch.errors import InvalidInput
from scratch.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Optimizer, RMSProp, _average_square
from scratch.randomness import generator
from torchref import optimizers as theirs

OPTIMIZERS = (
    SGD(0.05),
    SGD(0.05, weight_decay=0.3),
    SGD(0.02, momentum=0.9),
    SGD(0.02, momentum=0.8, dampening=0.4, weight_decay=0.1),
    SGD(0.02, momentum=0.9, dampening=1.0),
    SGD(0.02, momentum=0.7, nesterov=True),
    SGD(0.02, momentum=0.7, nesterov=True, weight_decay=0.2),
    Adagrad(),
    Adagrad(0.3, lr_decay=0.05),
    Adagrad(0.3, initial_accumulator_value=0.5, eps=0.1, weight_decay=0.2),
    RMSProp(),
    RMSProp(0.02, decay=0.9, eps=0.05),
    RMSProp(0.02, centered=True, weight_decay=0.1),
    RMSProp(0.005, decay=0.8, centered=True, momentum=0.6, eps=1e-3),
    RMSProp(0.005, momentum=0.9),
    Adadelta(),
    Adadelta(0.7, rho=0.6, eps=1e-2, weight_decay=0.3),
    Adam(),
    Adam(0.05, betas=(0.5, 0.9), eps=0.1),
    Adam(0.05, amsgrad=True, betas=(0.9, 0.8)),
    Adam(0.03, weight_decay=0.4, betas=(0.0, 0.99)),
    AdamW(),
    AdamW(0.05, weight_decay=0.5, betas=(0.7, 0.95), eps=1e-3),
    AdamW(0.05, amsgrad=True, betas=(0.9, 0.7)),
)
CLIPS = (ClipNorm(0.5), ClipNorm(3.0), ClipNorm(1e6), ClipValue(0.3), ClipValue(50.0))
STEPS, SIZE, CUT = 100, 37, 20  # θ is two tensors in PyTorch; 37 is no multiple of any SIMD width

each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


@cache
def draws(*shape):
    """The same random numbers for every test."""
    found = generator(0, "optimizers", *shape).standard_normal(shape)
    found.flags.writeable = False
    return found


def random_gradient(theta, t):
    """Zeros here and there, one entry that is zero always, changing signs, sizes from 1e-3 to 1e3."""
    found = draws(STEPS, *theta.shape)[t] * 10.0 ** np.linspace(-3, 3, SIZE)
    found[np.abs(draws(STEPS, *theta.shape)[t - 1]) < 0.3] = 0
    found[..., 5] = 0
    return found


def quadratic_gradient(theta, t):
    """∇ of ½ Σ kᵢ(θᵢ − cᵢ)², the centre c drawn anew for every batch."""
    return np.linspace(0.1, 4, SIZE) * (theta - draws(STEPS, SIZE)[t])


def bent_gradient(theta, t):
    """∇ of Σ ln cosh(Aθ − b), b drawn anew for every batch."""
    a = draws(SIZE + 4, SIZE) / 6
    return np.tanh(theta @ a.T - draws(STEPS, SIZE + 4)[t]) @ a


SOURCES = {  # and whether the rate changes from step to step
    "random": (random_gradient, False),
    "quadratic": (quadratic_gradient, True),
    "bent": (bent_gradient, False),
}


def beginning(leading=(), dtype="float64"):
    return draws(*leading, SIZE).astype(dtype)


def random_gradients(leading, dtype, count=12):
    return [random_gradient(beginning(leading), t).astype(dtype) for t in range(count)]


def in_torch(optimizer, theta):
    tensors = [torch.tensor(part) for part in (theta[:CUT], theta[CUT:])]
    return tensors, theirs.twin(optimizer, tensors)


def step_in_torch(tensors, twin, gradient, rate=None):
    for tensor, part in zip(tensors, (gradient[:CUT], gradient[CUT:]), strict=True):
        tensor.grad = torch.tensor(part)
    for group in twin.param_groups:
        group["lr"] = group["lr"] if rate is None else rate
    twin.step()


@pytest.mark.parametrize("source, varying", SOURCES.values(), ids=SOURCES)
@each_dtype
@each_optimizer
def test_hundred_steps_equal_pytorchs(optimizer, dtype, source, varying):
    """A wrong formula, default, order of operations that matters, or a rate that is not used."""
    theta = beginning(dtype=dtype)
    memory, (tensors, twin) = optimizer.start(theta), in_torch(optimizer, theta)
    largest, travel = np.abs(theta).max(), np.zeros(SIZE)
    for t in range(STEPS):
        gradient, before = source(theta.astype("float64"), t).astype(dtype), theta.copy()
        rate = float(optimizer.base) * (1.2 + np.sin(t)) if varying else None
        optimizer.update(theta, gradient, memory, rate)
        step_in_torch(tensors, twin, gradient, rate)
        largest, travel = max(largest, np.abs(theta).max()), travel + np.abs(theta - before)
    assert theta.dtype == dtype and np.all(np.isfinite(theta))
    # Each of the two rounds θ once a step, by u|θ| at most and in either direction: √STEPS u|θ| is what is left, 4 times that
    # is never seen. A step's own dozen operations, and what it takes from running sums, which are wrong by a random walk of
    # three roundings a step, are wrong by (12 + 3√STEPS)u of the steps' sizes; random too, but left as if they added up.
    u = np.finfo(dtype).eps / 2
    bound = 2 * u * (4 * STEPS**0.5 * largest + (12 + 3 * STEPS**0.5) * travel.max())
    assert np.abs(theta - torch.cat(tensors).numpy()).max() <= bound
    assert travel.max() > 1e-3  # something moved


def test_every_option_is_used():
    """A field that no entry of the table sets could be ignored unnoticed."""
    for kind in helpers.leaves(Optimizer):
        mine = [optimizer for optimizer in OPTIMIZERS if type(optimizer) is kind]
        for field in fields(kind):
            assert any(getattr(o, field.name) != field.default for o in mine), f"{kind.__name__}.{field.name}"
            assert any(getattr(o, field.name) == field.default for o in mine) or field.name == "learning_rate"


def test_defaults_are_pytorchs():
    """A user who sets nothing must get what PyTorch's documentation says."""
    names = {"learning_rate": "lr", "decay": "alpha"}
    for kind in helpers.leaves(Optimizer):
        twin = theirs.twin(kind(), [torch.zeros(2)])
        own = type(twin)([torch.zeros(2)]).defaults
        for field in fields(kind):
            name = names.get(field.name, field.name)
            assert getattr(kind(), field.name) == own[name] == twin.defaults[name], f"{kind.__name__}.{field.name}"


LEADING = [(), (3,), (2, 3)]


def rates_for(leading):
    """A different rate for each member."""
    return 0.0037 * np.arange(1, np.prod(leading, dtype=int) + 1).reshape(leading)


def nested(array):
    return tuple(map(nested, array)) if array.ndim else float(array)


def trained(optimizer, theta, gradients, rates=None):
    memory = optimizer.start(theta)
    for gradient in gradients:
        optimizer.update(theta, gradient, memory, rates)
    return theta


@pytest.mark.parametrize("leading", LEADING, ids=str)
@each_dtype
@each_optimizer
def test_a_stack_is_its_members(optimizer, dtype, leading):
    """Bit for bit: with one rate for all, with one for each in the description, and with one for each at every step."""
    gradients = random_gradients(leading, dtype)
    rates = rates_for(leading)
    own = replace(optimizer, learning_rate=nested(rates))
    together = [
        trained(optimizer, beginning(leading, dtype), gradients),
        trained(own, beginning(leading, dtype), gradients),
        trained(optimizer, beginning(leading, dtype), gradients, rates),
    ]
    for at in np.ndindex(leading):
        mine, rate = [g[at] for g in gradients], float(rates[at])
        start = beginning(leading, dtype)[at]
        alone = [
            trained(optimizer, start.copy(), mine),
            trained(replace(optimizer, learning_rate=rate), start.copy(), mine),
            trained(optimizer, start.copy(), mine, rate),
        ]
        for one, other in zip(together, alone, strict=True):
            assert one.dtype == other.dtype == dtype and np.array_equal(one[at], other)
        assert not np.array_equal(alone[0], alone[1]) and np.array_equal(alone[1], alone[2])


@pytest.mark.parametrize("rate", [np.float64(0.03), np.float32(0.03), np.array(0.03)], ids=lambda r: type(r).__name__)
def test_numpys_numbers_are_rates(rate):
    """NumPy's scalars are not weak: float32 θ times a float64 scalar would be computed in float64."""
    gradients = random_gradients((), "float32", 5)
    for optimizer in OPTIMIZERS:
        one, other = (trained(optimizer, beginning((), "float32"), gradients, r) for r in (rate, float(rate)))
        assert one.dtype == np.float32 and np.array_equal(one, other)


@each_optimizer
def test_update_keeps_its_hands_to_itself(optimizer):
    """A gradient used as scratch space, θ replaced instead of changed, float64 in the memory of float32, shared memory."""
    theta = beginning((2,), "float32")
    kept, memory, other = theta.copy(), optimizer.start(theta), optimizer.start(theta)
    arrays = {name: a for name, a in memory.items() if isinstance(a, np.ndarray)}
    assert np.array_equal(theta, kept) and all(
        a.dtype == np.float32 and a.shape == theta.shape for a in arrays.values()
    )
    assert not any(np.shares_memory(a, b) for a in arrays.values() for b in (theta, *other.values()))
    for gradient in random_gradients((2,), "float32", 3):
        same, gradient.flags.writeable = gradient.copy(), False
        assert optimizer.update(theta, gradient, memory) is None
        assert np.array_equal(gradient, same) and not np.array_equal(theta, kept)
    assert all(memory[name] is a for name, a in arrays.items())


def steps_of(optimizer, gradient, count, theta=0.0):
    """θ after each of ``count`` steps with the same gradient."""
    theta = np.full(1, theta)
    memory, found = optimizer.start(theta), []
    for _ in range(count):
        optimizer.update(theta, np.full(1, gradient), memory)
        found.append(theta[0])
    return np.array(found)


T = np.arange(1, 31)
CONSTANT = {  # θ after t steps from 0 with the gradient −2, in closed form
    "SGD": (SGD(0.1), 0.2 * T),
    "momentum": (SGD(0.1, momentum=0.5), 0.2 * np.cumsum(2 * (1 - 0.5**T))),
    "dampened": (SGD(0.1, momentum=0.5, dampening=0.5), 0.2 * T),  # v = −2 from the first step on
    "nesterov": (SGD(0.1, momentum=0.5, nesterov=True), 0.2 * np.cumsum(1 + (1 - 0.5**T))),
    "Adagrad": (Adagrad(0.1, eps=0), 0.1 * np.cumsum(T**-0.5)),
    "Adagrad decaying": (Adagrad(0.1, eps=0, lr_decay=0.5), 0.1 * np.cumsum(T**-0.5 / (1 + 0.5 * (T - 1)))),
    "RMSProp": (RMSProp(0.1, decay=0.5, eps=0), 0.1 * np.cumsum((1 - 0.5**T) ** -0.5)),
    "centered": (RMSProp(0.1, 0.9, True, eps=0), 0.1 * np.cumsum((0.9**T * (1 - 0.9**T)) ** -0.5)),
    "Adam": (Adam(0.1, eps=0), 0.1 * T),  # m̂ = g, ŝ = g²
    "Adam, ε": (Adam(0.1, eps=2), 0.05 * T),
}


@pytest.mark.parametrize("optimizer, expected", CONSTANT.values(), ids=CONSTANT)
def test_constant_gradient_in_closed_form(optimizer, expected):
    """A formula that both implementations have wrong in the same way."""
    # 30 steps of a dozen roundings; centered, s − m² loses a factor of up to 1/(0.9³⁰·(1 − 0.9³⁰)) = 25 to cancellation
    np.testing.assert_allclose(steps_of(optimizer, -2.0, 30), expected, rtol=30 * 12 * 25 * 2**-53)


def test_weight_decay_in_closed_form():
    """Coupled where it should be decoupled: AdamW shrinks θ by 1 − ηλ, Adam moves it by η whatever λ is."""
    shrinking = steps_of(AdamW(0.1, weight_decay=0.2), 0.0, 30, theta=3.0)
    np.testing.assert_allclose(shrinking, 3 * 0.98**T, rtol=30 * 4 * 2**-53)
    np.testing.assert_allclose(steps_of(SGD(0.1, weight_decay=0.2), 0.0, 30, 3.0), 3 * 0.98**T, rtol=30 * 4 * 2**-53)
    first = steps_of(Adam(0.1, weight_decay=0.2, eps=0), 0.0, 1, theta=3.0)
    np.testing.assert_allclose(first, 2.9, rtol=8 * 2**-53)


def test_centered_rmsprop_stays_finite():
    """With a constant gradient s − m² vanishes, and rounding makes it negative: a square root of that is NaN."""
    theta, gradient = np.zeros(200), generator(0, "constant").standard_normal(200)
    optimizer = RMSProp(0.01, decay=0.5, centered=True)
    memory = optimizer.start(theta)
    for _ in range(100):
        optimizer.update(theta, gradient, memory)
    assert np.all(memory["square"] - memory["mean"] ** 2 <= 1e-15 * gradient**2)
    assert np.any(memory["square"] < memory["mean"] ** 2)  # the case that this is about
    assert np.all(np.isfinite(theta))


FAR = (
    *OPTIMIZERS,
    Adam(betas=(0.0, 0.0)),
    Adam(betas=(0.4, 0.5)),
    RMSProp(decay=0.0),
    Adagrad(eps=0.0),
    RMSProp(eps=0.0),
)
SIZES = {  # squares that underflow, that overflow but for (1 − β), and that overflow
    "float32": (1e-30, 1e-25, 1e-19, 1e-3, 1e8, 1.5e19, 2e19, 1e20, 1e21, 1e30),
    "float64": (1e-290, 1e-200, 1e-160, 1e-3, 1e17, 1.2e154, 1e155, 1e156, 1e250),
}


@each_dtype
@pytest.mark.parametrize("optimizer", FAR, ids=str)
def test_gradients_of_any_size_move_as_far_as_pytorchs(optimizer, dtype):
    """g² that overflows before 1 − β makes it small; ∞ − ∞ in a variance; a mean that a large gradient wipes out."""
    sizes = np.array(SIZES[dtype], dtype)
    theta = np.zeros(len(sizes), dtype)
    memory, tensor = optimizer.start(theta), torch.zeros(len(sizes), dtype=getattr(torch, dtype))
    twin, shrinking = (
        theirs.twin(optimizer, [tensor]),
        [sizes, -sizes, sizes / 2, np.ones_like(sizes), np.ones_like(sizes)],
    )
    travel = np.zeros_like(theta)
    for gradient in shrinking:
        before = theta.copy()
        with np.errstate(all="ignore"):
            optimizer.update(theta, gradient, memory)
            travel += abs(theta - before)
        tensor.grad = torch.tensor(gradient)
        twin.step()
        # a dozen roundings a step, and where s − m² cancels a thousand times as much; a size that is wrong is wrong by more
        bound = 2e4 * np.finfo(dtype).eps * travel
        torchs = tensor.numpy()
        with np.errstate(invalid="ignore"):
            near = (theta == torchs) | (abs(theta - torchs) <= bound)
        assert np.all(near | np.isnan(theta) & np.isnan(torchs)), f"{theta} and {torchs}"
    assert np.isfinite(travel).sum() >= 5 and np.nanmax(travel) > 0


@pytest.mark.parametrize(
    "optimizer, gradients, expected",
    [
        (Adam(1.0), [1e20], -1.0),  # m̂ = g, √ŝ = |g|
        (RMSProp(1.0), [2e19], -10.0),  # g/√(g²/100)
        (RMSProp(1.0, centered=True), [1e20], -1 / (0.01 * 0.99) ** 0.5),
        (Adadelta(), [2e19], -((1e-6 / 0.1) ** 0.5)),
        (Adam(1.0, betas=(0.0, 0.0)), [1e8, 1, 1], -3.0),
    ],
    ids=str,
)
def test_float32_in_closed_form(optimizer, gradients, expected):
    """Standing still where the gradient is large, though nothing of the result is."""
    theta = np.zeros(1, np.float32)
    memory = optimizer.start(theta)
    for gradient in gradients:
        optimizer.update(theta, np.full(1, gradient, np.float32), memory)
    np.testing.assert_allclose(theta, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype, size", [("float32", 1e30), ("float64", 1e200)])
def test_centered_rmsprop_stays_finite_where_squares_overflow(dtype, size):
    """∞ − ∞ is NaN: with gradients that large it stands still instead, as the other rules do, and as PyTorch's does."""
    theta, optimizer = np.zeros(2, dtype), RMSProp(0.1, centered=True)
    memory = optimizer.start(theta)
    for _ in range(3):
        with np.errstate(over="ignore"):
            optimizer.update(theta, np.full(2, size, dtype), memory)
    assert np.array_equal(theta, [0, 0])


def test_squares_keep_their_bits():
    """The power of two that goes ahead of (1 − β)g² must be seen nowhere in the ordinary range."""
    for decay in (0.0, 0.3, 0.5, 0.9, 0.99, 0.999, 1 - 2**-40):
        g = draws(1000) * 10.0 ** np.linspace(-100, 100, 1000)
        square = np.ones(1000)
        _average_square(square, g, decay)
        assert np.array_equal(square, np.full(1000, decay) + g * g * (1 - decay))


def test_whole_numbers_are_betas():
    """PyTorch refuses (0, 0.9), an int beside a float."""
    assert theirs.twin(Adam(betas=(0, 0.9)), [torch.zeros(1)]).defaults["betas"] == (0.0, 0.9)


def test_base_rates():
    """A rate with the wrong shape would be spread over the wrong axis."""
    assert SGD(0.25).base.shape == () and SGD(1).base.dtype == np.float64 and SGD(0.25).base == 0.25
    base = Adam(((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))).base
    assert base.shape == (2, 3) and base[1, 0] == 0.4
    assert hash(SGD((0.1, 0.2))) == hash(SGD((0.1, 0.2)))


@pytest.mark.parametrize("rates, leading", [((0.1, 0.2), ()), ((0.1, 0.2), (3,)), ((0.1, 0.2, 0.3), (2, 3))])
def test_rates_that_do_not_fit_are_refused(rates, leading):
    """Rates for other members than there are."""
    with pytest.raises(InvalidInput, match=r"Adam\(learning_rate\): \(\d,\) rates for a stack of shape \("):
        Adam(rates).start(beginning(leading))


NAN = float("nan")
REFUSED = {
    "learning_rate": (
        0,
        -0.1,
        NAN,
        np.inf,
        (),
        (0.1, 0.0),
        (0.1, NAN),
        ((0.1,), (0.1, 0.2)),
        "0.1",
        [0.1, "0.2"],
        None,
    ),
    "weight_decay": (-1, NAN, np.inf),
    "momentum": (1, -0.1, NAN),
    "dampening": (-0.1, 1.1, NAN),
    "lr_decay": (-1, NAN, np.inf),
    "initial_accumulator_value": (-1, NAN, np.inf),
    "eps": (-1e-9, NAN, np.inf),
    "decay": (-0.1, 1, NAN),
    "rho": (-0.1, 1, NAN),
    "betas": ((0.9,), (1, 0.9), (0.9, 1), (-0.1, 0.9), (0.9, NAN), (0.5, 0.5, 0.5)),
    "max_norm": (0, -1, NAN, np.inf),
    "clip_value": (0, -1, NAN, np.inf),
}


@pytest.mark.parametrize("kind", [*helpers.leaves(Optimizer), *helpers.leaves(Clip)], ids=lambda k: k.__name__)
def test_bad_options_are_refused(kind):
    """A description that cannot work must not be made, whatever field is wrong; NaN passes careless comparisons."""
    flags = {"nesterov", "centered", "amsgrad"}
    assert {field.name for field in fields(kind)} <= REFUSED.keys() | flags
    for field in fields(kind):
        for bad in REFUSED.get(field.name, ()):
            with pytest.raises(InvalidInput, match=rf"^{kind.__name__}\({field.name}(\[\d\])?=.*\): must .*"):
                kind(**{field.name: bad})


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "dampening": 0.1}], ids=str)
def test_nesterov_needs_plain_momentum(options):
    """PyTorch refuses these too."""
    with pytest.raises(InvalidInput, match=r"SGD\(nesterov=True\): must come with momentum and without dampening"):
        SGD(0.1, nesterov=True, **options)


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e3], ids=str)
@each_dtype
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_clip_equals_pytorchs(clip, dtype, scale):
    """The norm of one tensor instead of all, a missing 1e-6, gradients made larger."""
    gradient = (scale * generator(2, "clip").standard_normal(SIZE)).astype(dtype)
    tensors = [torch.zeros(CUT, dtype=getattr(torch, dtype)), torch.zeros(SIZE - CUT, dtype=getattr(torch, dtype))]
    for tensor, part in zip(tensors, (gradient[:CUT], gradient[CUT:]), strict=True):
        tensor.grad = torch.tensor(part)
    clipped = gradient.copy()
    assert clip(clipped) is None
    theirs.clip(clip, iter(tensors))
    expected = torch.cat([tensor.grad for tensor in tensors]).numpy()
    # a sum of SIZE squares is wrong by SIZE u of itself at most, its root by half of that; a few more operations: 8
    np.testing.assert_allclose(clipped, expected, rtol=(SIZE + 8) * np.finfo(dtype).eps / 2, atol=0)
    (limit,) = vars(clip).values()
    if np.linalg.norm(gradient) < limit / 1.1:
        assert np.array_equal(clipped, gradient)


@pytest.mark.parametrize("leading", LEADING, ids=str)
@each_dtype
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_each_member_is_clipped_by_itself(clip, dtype, leading):
    """One norm for the whole stack; bit for bit."""
    stack = generator(3, "clip").standard_normal((*leading, 301)).astype(dtype)
    stack *= 10.0 ** np.arange(stack[..., :1].size).reshape(*leading, 1)  # the first member small, the others larger
    together = stack.copy()
    clip(together)
    for at in np.ndindex(leading):
        alone = stack[at].copy()
        clip(alone)
        assert together.dtype == dtype and np.array_equal(together[at], alone)


def test_clip_by_hand():
    """(3, 4) has norm 5; with limit 1 it becomes (3, 4)/(5 + 1e-6)."""
    gradient = np.array([[3.0, 4.0], [0.3, -0.4]])
    ClipNorm(1.0)(gradient)
    np.testing.assert_allclose(gradient, [[3 / 5.000001, 4 / 5.000001], [0.3, -0.4]], rtol=1e-15)
    ClipValue(0.35)(gradient)
    assert np.array_equal(gradient, [[0.35, 0.35], [0.3, -0.35]])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e30], ids=str)
@pytest.mark.parametrize("clip", [ClipNorm(1.0), ClipValue(1.0)], ids=str)
def test_clip_of_what_is_not_finite(clip, wrong):
    """A run that diverges must look the same in both; 1e30 squared is beyond float32."""
    gradient = np.array([[1, wrong, -2], [0.1, 0.2, 0.3]], np.float32)
    tensor = torch.zeros(3)
    tensor.grad = torch.tensor(gradient[0])
    theirs.clip(clip, [tensor])
    clip(gradient)
    np.testing.assert_array_equal(gradient[0], tensor.grad.numpy())
    assert np.array_equal(gradient[1], np.array([0.1, 0.2, 0.3], np.float32))


def test_every_class_has_a_twin_and_a_row():
    """A rule added to scratch alone, or not compared above."""
    assert {type(o) for o in OPTIMIZERS} == set(helpers.leaves(Optimizer))
    assert {type(c) for c in CLIPS} == set(helpers.leaves(Clip))
    for optimizer in OPTIMIZERS:
        assert type(theirs.twin(optimizer, [torch.zeros(2)])).__name__.lower() == type(optimizer).__name__.lower()


def test_missing_twins_are_named():
    """A description without a twin must say which one is missing; one rate for each member has none in PyTorch."""
    with pytest.raises(InvalidInput, match="UnheardOf has no torch twin"):
        theirs.twin(type("UnheardOf", (Optimizer,), {"__module__": "tests"})(), [])
    with pytest.raises(InvalidInput, match="UnheardOf has no torch twin"):
        theirs.clip(type("UnheardOf", (Clip,), {"__module__": "tests"})(), [])
    for kind in helpers.leaves(Optimizer):
        with pytest.raises(InvalidInput, match="make one optimizer for each member"):
            theirs.twin(kind((0.1, 0.2)), [torch.zeros(2)])
