"""What a measuring function works with: what is looked at or trained is compared, and compared are the networks that it says."""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pytest

import scratch as s
from experiments.compare import agreement
from experiments.lab import Lab
from experiments.lab.bench import first, part_of
from scratch import training
from scratch.contract import Batch
from scratch.randomness import generator, noise
from torchref import training as theirs

LAYERS = (s.Dense(6), s.BatchNorm(), s.Tanh(), s.Dropout(0.3), s.Dense(3))
LEADING = (2, 3)


def stack(own_data: bool):
    """A stack whose members differ in all that a member can have of its own: rates, and masks and either batches or data."""
    base = helpers.job("labels", s.Tanh(), LEADING, own_batches=not own_data, steps=3, snapshots=(0, 3))
    network, random = s.Network(LAYERS, helpers.FEATURES), generator(0, "lab")
    parameters = tuple(
        {name: random.normal(name == "gamma", 0.5, (*LEADING, *shape)) for name, shape in named.items()}
        for named in network.shapes
    )
    buffers = tuple({name: a + (0 if name == "num_batches_tracked" else random.uniform(0, 1, a.shape)) for name, a in named.items()}
                    for named in network.buffers(LEADING))  # fmt: skip
    rates = tuple(tuple(0.01 * (1 + 3 * i + j) for j in range(3)) for i in range(2))
    masks = noise(network, 0, base.batches, LEADING)
    job = replace(base, layers=LAYERS, parameters=parameters, buffers=buffers, noise=masks, optimizer=s.SGD(rates, 0.9))
    if own_data:
        x, y = base.data.x, base.data.y
        labels = random.permuted(np.broadcast_to(y, (*LEADING, len(y))), axis=-1)
        job = replace(job, data=Batch(x + random.normal(0, 0.1, (*LEADING, *x.shape)), labels))
    return job


@pytest.mark.parametrize("members", [1, 4, 6, 99])
@pytest.mark.parametrize("own_data", [False, True])
def test_the_first_networks_are_those_of_the_stack(own_data, members):
    """Another member's batches, data, masks, rates or buffers: two right implementations would be compared on other work."""
    job = stack(own_data)
    whole, few = (list(training.train(one)) for one in (job, first(job, members)))
    for mine, all_of_them in zip(few, whole, strict=True):
        expected = part_of(all_of_them, job, members)
        if members >= 6:
            assert mine.loss.shape == LEADING
            mine = part_of(mine, job, members)
        for (_, a), (_, b) in zip(agreement.quantities(mine), agreement.quantities(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    assert np.abs(whole[-1].parameters[0]["W"] - whole[0].parameters[0]["W"]).max() > 1e-3, "nothing was trained"


@pytest.mark.parametrize("act", ["look", "train", "follow"])
def test_whoever_looks_has_compared(monkeypatch, act):
    """A look that enters nothing, or a comparison that a wrong implementation would pass."""
    job = stack(own_data=False)
    if act == "look":  # at all of the data
        masks = noise(job.network, 0, [np.arange(job.data.x.shape[-1])], LEADING)
        job = replace(job, batches=None, snapshots=(0,), noise=masks)

    def told() -> Lab:
        lab = Lab("some_part", {"width": 6})
        getattr(lab, act)(job)
        return lab

    (right,) = told().agreement
    assert len(right) > 5 and (right.ratio <= 1).all()
    assert set(right.part) == {"some part" if act == "look" else "trajectory"}
    assert set(right.condition) == {"some part, width 6" if act == "train" else "width 6"}
    honest = theirs.Trainee.look

    def wrong(self, *arguments):
        shot = honest(self, *arguments)
        spoilt = tuple({name: a * (1 + 1e-9) for name, a in named.items()} for named in shot.parameters)
        return replace(shot, output_gradients=tuple(a * (1 + 1e-9) for a in shot.output_gradients), parameters=spoilt)

    monkeypatch.setattr(theirs.Trainee, "look", wrong)
    assert (told().agreement[0].ratio > 1).any()
