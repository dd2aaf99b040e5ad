"""A hundred steps from one start: parameters, buffers and losses of both stay within a bound that grows with the step."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import helpers
import numpy as np
import pytest
import torch

import scratch as s
from experiments.compare import agreement
from scratch import training as ours
from scratch.network import Network
from scratch.optimizers import Optimizer
from scratch.randomness import generator, noise
from scratch.schedules import Schedule
from torchref import training as theirs

STEPS, LOOKS = 100, (0, 1, 10, 100)
LAYERS = (
    s.Dense(7),
    s.BatchNorm(),
    s.Tanh(),
    s.Dropout(0.3),
    s.Residual((s.Dense(4), s.BatchNorm(momentum=None), s.GELU(), s.Dropout(0.2), s.Dense(7))),
    s.LayerNorm(),
    s.Dense(3),
)
# each optimizer away from its defaults, with a schedule, a penalty and whatever else acts on an update
UPDATES = {
    "momentum": (s.SGD(0.05, momentum=0.9), {"schedule": s.Polynomial(STEPS, 2.0)}),
    "nesterov": (
        s.SGD(0.05, 0.8, nesterov=True, weight_decay=0.01),
        {"schedule": s.Cosine(STEPS), "penalty": s.L2(0.01)},
    ),
    "dampened": (s.SGD(0.05, 0.9, dampening=0.3), {"schedule": s.StepDecay(30, 0.5), "clip": s.ClipNorm(0.4)}),
    "adagrad": (s.Adagrad(0.05, lr_decay=0.01), {"schedule": s.InverseTime(0.02), "penalty": s.L1(0.002)}),
    "rmsprop": (s.RMSProp(0.002, centered=True, momentum=0.5, eps=1e-3), {"schedule": s.MultiStep((20, 60), 0.3)}),
    "adadelta": (s.Adadelta(0.5, rho=0.8, eps=1e-3), {"schedule": s.Exponential(0.98), "clip": s.ClipValue(0.05)}),
    "adam": (
        s.Adam(0.005, amsgrad=True, eps=1e-3),
        {"schedule": s.OneCycle(STEPS), "penalty": s.ElasticNet(0.001, 0.01)},
    ),
    "adamw": (s.AdamW(0.005, weight_decay=0.1, eps=1e-3), {"schedule": s.Warmup(10, s.Cosine(90))}),
    "max-norm": (s.SGD(0.1, 0.5), {"schedule": s.WarmRestarts(20, 2), "constraint": s.MaxNorm(0.8)}),
    "plateau": (
        s.SGD(0.1, 0.9),
        {"schedule": s.ReduceOnPlateau(patience=4, factor=0.5), "penalty": s.L2(0.1, reach="all")},
    ),
    "constant": (s.SGD(0.1), {"schedule": s.Constant()}),
}
STACKS = ((), (3,), (2, 2))


def job(name, leading, dtype="float64"):
    """``name`` of UPDATES on a network with everything in it; batches and masks of each member's own where there is one axis."""
    optimizer, extra = UPDATES[name]
    own = len(leading) == 1
    base = helpers.job("labels", s.Tanh(), leading, own_batches=own, dtype=dtype, steps=STEPS, snapshots=LOOKS)
    network, random = Network(LAYERS, helpers.FEATURES), generator(0, "trajectory", name)
    parameters = tuple(
        {
            key: (random.normal(key.endswith("gamma"), 0.5, (*leading, *shape))).astype(dtype)
            for key, shape in named.items()
        }
        for named in network.shapes
    )
    masks = noise(network, 0, base.batches, leading if own else ())
    return replace(base, layers=LAYERS, parameters=parameters, noise=masks, optimizer=optimizer, **extra)


def assert_together(job, train=theirs.train):
    mine, other = list(ours.train(job)), list(train(job))
    found = agreement.trajectory(job, mine, other, generator(0, "replicas"))
    assert {d.step for d in found} == set(LOOKS), "one of them diverged"
    assert {"loss", "W", "0.W", "gamma", "running_mean", "1.running_var", "num_batches_tracked"} <= {
        d.quantity for d in found
    }
    worst = max(found, key=lambda d: d.ratio)
    assert worst.ratio <= 1, f"{worst.ratio:.3g} times the bound: {worst}"
    moved = np.abs(mine[-1].parameters[0]["W"] - mine[0].parameters[0]["W"]).max()
    assert moved > 1e-3, "nothing was trained"


@pytest.mark.parametrize("number, name", list(enumerate(UPDATES)), ids=UPDATES)
def test_every_update(number, name):
    """A wrong memory, rate, statistic or mask, or one that the members of a stack share by mistake."""
    assert_together(job(name, STACKS[number % len(STACKS)]))


@pytest.mark.parametrize("leading", STACKS, ids=str)
def test_dropout_batch_norm_and_momentum(leading):
    """The three that remember, together: alone and in stacks."""
    assert_together(job("momentum", leading))


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_in_float32(name):
    """A bound that only holds in float64, or an array that is silently wider."""
    work = job(name, (3,), "float32")
    assert_together(work)
    assert all(a.dtype == np.float32 for shot in ours.train(work) for _, a in helpers.arrays(shot))


def test_a_rate_for_each_member():
    """A rate that reaches the wrong network, or all of them."""
    base = job("nesterov", (3,))
    assert_together(replace(base, optimizer=replace(base.optimizer, learning_rate=(0.01, 0.05, 0.1))))


def test_every_optimizer_and_schedule_is_here():
    """A new update rule or schedule that nobody follows over a hundred steps."""
    used = {type(optimizer) for optimizer, _ in UPDATES.values()}
    assert used == set(helpers.leaves(Optimizer))
    schedules = {type(extra["schedule"]) for _, extra in UPDATES.values() if "schedule" in extra}
    assert schedules == set(helpers.leaves(Schedule))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("leading", STACKS[:2], ids=str)
def test_on_cuda(leading, dtype):
    """TF32 off: the bounds are the CPU's."""
    torch.backends.cuda.matmul.allow_tf32 = False
    assert_together(job("momentum", leading, dtype), partial(theirs.train, device="cuda"))
