"""Every schedule against PyTorch's, step by step and with an optimizer in the loop, against closed forms, and member by member."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields

import helpers
import numpy as np
import pytest
import torch

from scratch.errors import InvalidInput
from scratch.optimizers import SGD, Adam
from scratch.randomness import generator
from scratch.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    MultiStep,
    OneCycle,
    Polynomial,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    WarmRestarts,
    Warmup,
)
from torchref import optimizers as their_optimizers
from torchref import schedules as theirs

STEPS, EPS = 100, 2.0**-52
PURE = (
    Constant(),
    StepDecay(30),
    StepDecay(7, 0.8),
    StepDecay(1, 1.01),
    MultiStep((30, 80)),
    MultiStep((1, 2, 50, 99), 0.5),
    MultiStep(()),
    Exponential(0.9),
    Exponential(1.02),
    InverseTime(0.1),
    InverseTime(0.0),
    Polynomial(60),
    Polynomial(100, 2.5),
    Polynomial(37, 0.5),
    Cosine(99),
    Cosine(40, 0.003),
    Cosine(7, 0.2),
    Cosine(1),
    WarmRestarts(10),
    WarmRestarts(7, 2, 0.004),
    WarmRestarts(1, 3),
    WarmRestarts(200),
    OneCycle(100),
    OneCycle(101, 0.45, "linear", 10.0, 50.0),
    OneCycle(120, 0.3, three_phase=True),
    OneCycle(100, 0.5, "linear", 4.0, 3.0, three_phase=True),
    OneCycle(100, 0.99),
    OneCycle(110, 0.013),
    Warmup(10),
    Warmup(5, beginning=1.0),
    Warmup(20, Cosine(80, 0.001), 0.01),
    Warmup(1, Exponential(0.9), 0.5),
    Warmup(13, MultiStep((10, 40))),
    Warmup(13, StepDecay(9, 0.7)),
    Warmup(30, Polynomial(40, 2.0)),
    Warmup(8, WarmRestarts(10, 2)),
    Warmup(8, InverseTime(0.3)),
)
PLATEAU = (
    ReduceOnPlateau(),
    ReduceOnPlateau(factor=0.5, patience=2),
    ReduceOnPlateau(factor=0.5, patience=0, threshold=0.05),
    ReduceOnPlateau("max", factor=0.7, patience=3),
    ReduceOnPlateau("max", factor=0.7, patience=1, threshold=0.05),
    ReduceOnPlateau("max", factor=0.7, patience=1, threshold=0.2, threshold_mode="abs"),
    ReduceOnPlateau(factor=0.7, patience=1, threshold=0.2, threshold_mode="abs"),
    ReduceOnPlateau(factor=0.5, patience=1, cooldown=4),
    ReduceOnPlateau(factor=0.5, patience=0, cooldown=1),
    ReduceOnPlateau(factor=0.6, patience=1, minimum=0.013),
    ReduceOnPlateau(factor=0.6, patience=1, eps=0.01),
    ReduceOnPlateau(factor=0.6, patience=1, minimum=0.5),
)
each_schedule = pytest.mark.parametrize("schedule", PURE, ids=str)
each_plateau = pytest.mark.parametrize("schedule", PLATEAU, ids=str)


def trace(schedule, base, losses=(), count=STEPS):
    """What training would be told, update by update."""
    memory = schedule.start(base)
    return [schedule.rate(memory, t, losses[t - 1] if t and len(losses) else None) for t in range(count)]


def in_torch(schedule, base, losses=(), count=STEPS):
    """The rate that PyTorch's optimizer has at each update."""
    tensor = torch.zeros(1)
    tensor.grad = torch.zeros(1)
    optimizer = torch.optim.SGD([tensor], lr=base)
    scheduler, found = theirs.twin(schedule, optimizer), []
    for t in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*([losses[t]] if len(losses) else []))
    return found


@pytest.mark.parametrize("base", [0.1, 3.0])
@each_schedule
def test_trace_equals_pytorchs(schedule, base):
    """A step too early or too late, a wrong curve, a wrong end."""
    mine, other = np.array(trace(schedule, base)), np.array(in_torch(schedule, base))
    # PyTorch multiplies from step to step: a handful of roundings each, so 8 EPS of the rate a step. Where the curve reaches
    # 0 its factor is a difference (1 + cos, 1 − t/steps), exact to EPS of 1: that much of the largest rate is lost as well.
    scale = np.abs(other) + (np.abs(other).max() if ends_at_zero(schedule) else 0)
    assert np.all(np.abs(mine - other) <= 8 * EPS * np.arange(1, STEPS + 1) * scale)
    assert np.all(mine >= 0)


def ends_at_zero(schedule):
    return isinstance(getattr(schedule, "then", schedule), Cosine | WarmRestarts | Polynomial | OneCycle)


def wavy(seed, count=STEPS):
    """A metric that falls, rises, stays and is sometimes NaN."""
    t, random = np.arange(count), generator(seed, "metric")
    found = 1 + np.exp(-t / 20) * np.cos(t / (3 + seed)) + 0.01 * random.standard_normal(count)
    found[40:60] = found[40]
    found[[7, 8, 70 + seed]] = np.nan
    return found


METRICS = {
    "wavy": wavy(0),
    "falling": np.linspace(2, 1, STEPS),
    "rising": np.linspace(1, 2, STEPS),
    "negative": -wavy(1),
    "nan": np.full(STEPS, np.nan),
    "infinite": np.where(np.arange(STEPS) < 50, np.inf, 1.0),
}


@pytest.mark.parametrize("metric", METRICS)
@each_plateau
def test_plateau_equals_pytorchs(schedule, metric):
    """The two do the same few operations: equal to the last bit."""
    assert np.array_equal(trace(schedule, 0.1, METRICS[metric]), in_torch(schedule, 0.1, METRICS[metric]))


def test_plateaus_are_met():
    """Metrics on which nothing is ever reduced would compare constants."""
    reductions = [[len(set(in_torch(s, 0.1, m))) for m in METRICS.values()] for s in PLATEAU[:-1]]
    assert all(max(counts) > 1 for counts in reductions) and len(set(map(tuple, reductions))) > 6


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)], ids=str)
@each_plateau
def test_each_member_has_a_plateau_of_its_own(schedule, leading):
    """One counter for the whole stack; bit for bit, with one rate to begin with and with one for each."""
    members = list(np.ndindex(leading))
    losses = np.stack([wavy(seed) for seed in range(len(members))], axis=-1).reshape(STEPS, *leading)
    rates = 0.02 * np.arange(1, len(members) + 1).reshape(leading)
    shared, own = trace(schedule, np.array(0.1), losses), trace(schedule, rates, losses)
    for at in members:
        mine = losses[(slice(None), *at)]
        assert np.array_equal([np.broadcast_to(r, leading)[at] for r in shared], trace(schedule, 0.1, mine))
        assert np.array_equal([r[at] for r in own], trace(schedule, float(rates[at]), mine))


def test_rates_given_out_stay_as_they_are():
    """An array that is changed in place at the next step would change what the caller has kept."""
    losses = np.stack([wavy(0), wavy(1)], axis=-1)
    schedule, base = ReduceOnPlateau(factor=0.5, patience=1), np.array([0.1, 0.2])
    memory, kept, copies = schedule.start(base), [], []
    for t in range(STEPS):
        kept.append(schedule.rate(memory, t, losses[t - 1] if t else None))
        copies.append(kept[-1].copy())
    assert all(map(np.array_equal, kept, copies)) and not np.array_equal(copies[0], copies[-1])
    assert np.array_equal(base, [0.1, 0.2])


@each_schedule
def test_a_stack_of_rates_is_its_members(schedule):
    """Bit for bit; asked in any order, and whatever the loss is."""
    base = 0.01 * np.arange(1, 7).reshape(2, 3)
    memory = schedule.start(base)
    for t in (0, 99, 5, 20, 20, 1):
        together = schedule(base, t)
        assert together.shape == base.shape and together.dtype == np.float64
        assert np.array_equal(schedule.rate(memory, t, np.full((2, 3), np.nan)), together)
        assert all(together[at] == schedule(float(base[at]), t) for at in np.ndindex(2, 3))
        assert isinstance(schedule(0.1, t), float)


LOOPS = [*PURE[1::3], ReduceOnPlateau(factor=0.5, patience=2), ReduceOnPlateau(factor=0.9, patience=0, cooldown=2)]


@pytest.mark.parametrize("optimizer", [SGD(0.05, momentum=0.8), Adam(0.02)], ids=["SGD", "Adam"])
@pytest.mark.parametrize("schedule", LOOPS, ids=str)
def test_in_the_loop(schedule, optimizer):
    """The rate reaches the update that it is meant for: a hundred steps on a noisy quadratic, beside PyTorch's."""
    k, centres = np.linspace(0.2, 3, 11), generator(1, "centres").standard_normal((STEPS, 11))
    theta = np.ones(11)
    tensor = torch.tensor(theta)
    memory, plan, loss = optimizer.start(theta), schedule.start(optimizer.base), None
    twin = their_optimizers.twin(optimizer, [tensor])
    scheduler = theirs.twin(schedule, twin)
    for t, centre in enumerate(centres):
        rate = schedule.rate(plan, t, loss)
        loss = (k * (theta - centre) ** 2).sum() / 2
        optimizer.update(theta, k * (theta - centre), memory, rate)
        value = (torch.tensor(k) * (tensor - torch.tensor(centre)) ** 2).sum() / 2
        tensor.grad = torch.tensor(k) * (tensor - torch.tensor(centre))
        twin.step()
        scheduler.step(*([value] if isinstance(schedule, ReduceOnPlateau) else []))
    # the quadratic contracts, so what a step's roundings do is not amplified; a step of at most 3 makes some 20 of them
    assert np.abs(theta - tensor.numpy()).max() <= STEPS * 20 * 3 * EPS


def test_closed_forms():
    """Points of each curve that everybody knows."""
    assert Constant()(0.3, 1000) == 0.3
    assert [StepDecay(3, 0.5)(8.0, t) for t in range(8)] == [8, 8, 8, 4, 4, 4, 2, 2]
    assert [MultiStep((2, 3, 6), 0.5)(8.0, t) for t in range(8)] == [8, 8, 4, 2, 2, 2, 1, 1]
    assert [Exponential(0.5)(8.0, t) for t in range(5)] == [8, 4, 2, 1, 0.5]
    assert InverseTime(0.25)(8.0, 4) == 4 and InverseTime(0.25)(8.0, 12) == 2
    assert [Polynomial(4)(8.0, t) for t in range(7)] == [8, 6, 4, 2, 0, 0, 0]
    assert Polynomial(4, 2.0)(8.0, 2) == 2 and Polynomial(4, 0.5)(8.0, 3) == 4
    assert [Warmup(4, Exponential(0.5), 0.5)(8.0, t) for t in range(7)] == [4, 5, 6, 7, 8, 4, 2]


def test_cosines_in_closed_form():
    """Half way a cosine is at the mean of its ends, at a third at three quarters."""
    near = {"rel": 4 * EPS}
    assert Cosine(60, 2.0)(8.0, 0) == 8 and Cosine(60, 2.0)(8.0, 60) == 2
    assert Cosine(60, 2.0)(8.0, 30) == pytest.approx(5, **near) and Cosine(60, 2.0)(8.0, 20) == pytest.approx(
        6.5, **near
    )
    assert Cosine(60, 2.0)(8.0, 90) == pytest.approx(5, **near)  # it rises again
    restarts = WarmRestarts(10, 2, 2.0)
    assert [t for t in range(151) if restarts(8.0, t) == 8] == [0, 10, 30, 70, 150]
    assert [restarts(8.0, t) for t in (5, 20, 50)] == pytest.approx([5, 5, 5], **near)


@pytest.mark.parametrize("anneal", ["cos", "linear"])
def test_one_cycle_in_closed_form(anneal):
    """The peak is the optimizer's own rate, and after the last step nothing changes."""
    cycle = OneCycle(101, 0.5, anneal, 10.0, 100.0)  # the peak lies at 0.5·101 − 1 = 49.5
    assert cycle(8.0, 0) == pytest.approx(0.8, rel=4 * EPS) and cycle(8.0, 100) == pytest.approx(0.008, rel=99 * EPS)
    assert cycle(8.0, 101) == cycle(8.0, 5000) == cycle(8.0, 100)
    three = OneCycle(100, 0.31, anneal, 10.0, 100.0, three_phase=True)
    assert three(8.0, 30) == pytest.approx(8, rel=4 * EPS) and three(8.0, 60) == pytest.approx(0.8, rel=40 * EPS)
    assert three(8.0, 15) == three(8.0, 45) == pytest.approx(4.4, rel=4 * EPS)  # 15 of 30 steps up, 15 of 30 down
    quarter = 0.8 + 7.2 * (0.25 if anneal == "linear" else (1 - math.sqrt(0.5)) / 2)
    assert OneCycle(100, 0.41, anneal, 10.0)(8.0, 10) == pytest.approx(quarter, rel=16 * EPS)


def test_plateau_by_hand():
    """Two bad losses are endured, the third one halves; a loss that is only just better counts as bad."""
    schedule = ReduceOnPlateau(factor=0.5, patience=2, threshold=0.1)
    losses = [1.0, 0.95, 1.5, np.nan, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert trace(schedule, 8.0, losses, 12) == [8, 8, 8, 8, 4, 4, 4, 4, 2, 2, 2, 1]


def test_every_option_is_used():
    """A field that no entry of the tables sets could be ignored unnoticed."""
    for kind in helpers.leaves(Schedule):
        mine = [schedule for schedule in (*PURE, *PLATEAU) if type(schedule) is kind]
        for field in fields(kind):
            values = {getattr(schedule, field.name) for schedule in mine}
            assert len(values) > 1 and (field.default is MISSING or field.default in values), (
                f"{kind.__name__}.{field.name}"
            )


def test_defaults_are_pytorchs():
    """A user who sets nothing must get what PyTorch's documentation says."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    own = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    twin = theirs.twin(ReduceOnPlateau(), optimizer)
    names = ("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "min_lrs", "eps")
    assert all(getattr(own, name) == getattr(twin, name) for name in names)
    for mine, kind in ((StepDecay(3), "StepLR"), (MultiStep((3,)), "MultiStepLR"), (Polynomial(5), "PolynomialLR")):
        argument = {"StepLR": 3, "MultiStepLR": [3], "PolynomialLR": 5}[kind]
        other = getattr(torch.optim.lr_scheduler, kind)(torch.optim.SGD([torch.zeros(1)], lr=0.1), argument)
        twin = theirs.twin(mine, torch.optim.SGD([torch.zeros(1)], lr=0.1))
        assert all(
            getattr(twin, n) == getattr(other, n) for n in ("gamma", "power", "total_iters") if hasattr(other, n)
        )


NAN, INF = math.nan, math.inf
COUNTS, POSITIVES, AMOUNTS = (0, -1, 2.5, NAN, True), (0.0, -0.1, NAN, INF), (-0.1, NAN, INF)
REFUSED = [
    (StepDecay, {"every": 3}, {"every": COUNTS, "factor": POSITIVES}),
    (MultiStep, {"milestones": (3,)}, {"milestones": ((0,), (3, 3), (5, 3), (2.5,), [3, 2]), "factor": POSITIVES}),
    (Exponential, {"factor": 0.9}, {"factor": POSITIVES}),
    (InverseTime, {"decay": 0.1}, {"decay": AMOUNTS}),
    (Polynomial, {"steps": 5}, {"steps": COUNTS, "power": POSITIVES}),
    (Cosine, {"steps": 5}, {"steps": COUNTS, "minimum": AMOUNTS}),
    (WarmRestarts, {"first": 5}, {"first": COUNTS, "growth": COUNTS, "minimum": AMOUNTS}),
    (OneCycle, {"steps": 50}, {"steps": COUNTS, "rise": (0.0, 0.02, 1.0, -0.3, NAN), "anneal": ("cosine", None)}),
    (OneCycle, {"steps": 50}, {"divisor": POSITIVES, "final_divisor": POSITIVES}),
    (OneCycle, {"steps": 50, "three_phase": True}, {"rise": (0.51, 0.0)}),
    (Warmup, {"steps": 5}, {"steps": COUNTS, "beginning": (0.0, -0.1, 1.1, NAN)}),
    (Warmup, {"steps": 5}, {"then": (Warmup(3), OneCycle(50), ReduceOnPlateau(), None, Constant)}),
    (ReduceOnPlateau, {}, {"mode": ("least",), "threshold_mode": ("relative",), "factor": (0.0, 1.0, NAN)}),
    (ReduceOnPlateau, {}, {"patience": (-1, 1.5, NAN), "cooldown": (-1, 1.5, NAN), "threshold": (-0.1, 1.0, NAN)}),
    (ReduceOnPlateau, {"threshold_mode": "abs"}, {"threshold": AMOUNTS}),
    (ReduceOnPlateau, {}, {"minimum": AMOUNTS, "eps": AMOUNTS}),
]


@pytest.mark.parametrize("kind, fitting, wrong", REFUSED, ids=lambda v: getattr(v, "__name__", None))
def test_bad_options_are_refused(kind, fitting, wrong):
    """A description that cannot work must not be made; NaN passes careless comparisons."""
    assert kind(**fitting)
    for name, values in wrong.items():
        for bad in values:
            with pytest.raises(InvalidInput, match=rf"^{kind.__name__}\({name}(\[\d\])?.*\): must .*"):
                kind(**fitting | {name: bad})


def test_every_field_is_checked():
    """A field added later, without a limit of its own."""
    for kind in helpers.leaves(Schedule):
        checked = {name for other, _, wrong in REFUSED if other is kind for name in wrong}
        assert {field.name for field in fields(kind)} - checked <= {"three_phase"}, kind.__name__


def test_every_schedule_has_a_twin_and_a_row():
    """A schedule added to scratch alone, or not compared above; a twin missing must be named."""
    assert {type(schedule) for schedule in (*PURE, *PLATEAU)} == set(helpers.leaves(Schedule))
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    with pytest.raises(InvalidInput, match="UnheardOf has no torch twin"):
        theirs.twin(type("UnheardOf", (Schedule,), {"__module__": "tests"})(), optimizer)


def test_plateau_is_no_function_of_the_step():
    """It has to be asked with the losses, not silently give the first rate."""
    with pytest.raises(NotImplementedError):
        ReduceOnPlateau()(0.1, 3)
