"""Streams have names, and mini-batches are what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from scratch import Dense, Dropout, Network, Residual, randomness
from scratch.errors import InvalidInput
from scratch.randomness import batches, generator, noise

STREAMS = [
    (0, "weights", 1),
    (1, "weights", 1),
    (0, "weights", 2),
    (0, "biases", 1),
    (0, "weights"),
    (0, "weights", 1, 1),
]


def draws(*name) -> tuple[int, ...]:
    return tuple(generator(*name).integers(0, 2**62, 4).tolist())


def test_streams_differ_in_every_part_of_their_name():
    """A seed, purpose or layer that is left out of the key would give two streams the same numbers."""
    assert len({draws(*name) for name in STREAMS}) == len(STREAMS)


@pytest.mark.parametrize("first, second", [((12, 3), (1, 23)), (("ab", "c"), ("a", "bc")), (("1",), (1, ""))])
def test_parts_of_a_name_do_not_run_together(first, second):
    """Joining the parts without a mark between them that no part holds."""
    assert draws(0, *first) != draws(0, *second)


def test_streams_do_not_depend_on_the_order_in_which_they_are_made():
    """A shared parent generator, or a counter."""
    forward = [draws(*name) for name in STREAMS]
    backward = [draws(*name) for name in reversed(STREAMS)]
    assert forward == backward[::-1]


def test_streams_are_the_same_in_every_process(python):
    """Python's own hash of a string, which changes from process to process."""
    code = "from scratch.randomness import generator; print(generator(3, 'weights', 7).integers(0, 2**62))"
    assert int(python("-c", code).stdout) == draws(3, "weights", 7)[0]


@pytest.mark.parametrize("examples, size, count", [(10, 3, 9), (10, 10, 4), (10, 1, 25), (7, 2, 1), (1, 1, 3)])
def test_an_epoch_takes_no_example_twice(examples, size, count):
    """Drawing with replacement, or an epoch that runs into the next."""
    found, per_epoch = batches(5, examples, size, count), examples // size
    assert found.shape == (count, size)
    assert ((found >= 0) & (found < examples)).all()
    for begin in range(0, count, per_epoch):
        epoch = found[begin : begin + per_epoch].reshape(-1)
        assert len(set(epoch.tolist())) == len(epoch)


def test_an_epoch_without_remainder_is_a_permutation_and_the_next_another():
    """One order for all epochs, or examples that are never seen."""
    first, second = batches(0, 12, 3, 8).reshape(2, 12)
    assert sorted(first) == sorted(second) == list(range(12))
    assert not np.array_equal(first, second)


def test_batches_depend_on_the_seed_alone():
    """Global random state; a longer run that begins with other batches than a shorter one."""
    assert np.array_equal(batches(1, 50, 8, 6), batches(1, 50, 8, 30)[:6])
    assert not np.array_equal(batches(1, 50, 8, 6), batches(2, 50, 8, 6))


def test_a_batch_larger_than_the_data_is_refused():
    """A division by zero instead of an error that says what is wrong."""
    with pytest.raises(InvalidInput):
        batches(0, 5, 6, 1)


DROPPING = Network((Dropout(0.25), Dense(300), Dropout(0.6), Residual((Dropout(0.25), Dense(300)))), 300)
SEEN = [np.arange(40), np.arange(40), np.arange(7)]


def test_masks_are_what_the_network_asks_for():
    """A mask of another shape, probability, layer or batch size; the probability of dropping for that of keeping."""
    handed = noise(DROPPING, 0, SEEN)
    assert [set(named) for named in handed(0)] == [{"mask"}, set(), {"mask"}, {"0.mask"}]
    for step, size in enumerate((40, 40, 7)):
        for layer, name, keep in ((0, "mask", 0.75), (2, "mask", 0.4), (3, "0.mask", 0.75)):
            mask = handed(step)[layer][name]
            assert mask.dtype == bool and mask.shape == (300, size)
            assert abs(mask.mean() - keep) <= 4 * np.sqrt(keep * (1 - keep) / mask.size)


def test_masks_have_streams_of_their_own():
    """One mask for two layers, steps, seeds or members; one that depends on what was asked before."""
    handed, stacked = noise(DROPPING, 0, SEEN), noise(DROPPING, 0, SEEN, (2,))
    last = handed(1)
    masks = [
        last[0]["mask"],
        last[3]["0.mask"],
        handed(0)[0]["mask"],
        noise(DROPPING, 1, SEEN)(1)[0]["mask"],
        *stacked(1)[0]["mask"][1:],
    ]
    assert len({mask.tobytes() for mask in masks}) == 5
    assert stacked(1)[2]["mask"].shape == (2, 300, 40)
    assert all(
        np.array_equal(a[name], b[name]) for a, b in zip(last, noise(DROPPING, 0, SEEN)(1), strict=True) for name in a
    )


def test_a_base_seed_changes_every_stream():
    """Two base seeds that share networks, shifted or not; a base that outlives its block."""
    streams = [("weights", 0), ("batches", 3), ("noise", 1, "mask")]

    def drawn(base):
        with randomness.based(base):
            return {seed: [randomness.generator(seed, *name).random() for name in streams] for seed in range(4)}

    outside = [randomness.generator(0, *name).random() for name in streams]
    assert drawn(0)[0] == outside and drawn(7) == drawn(7)
    found = [number for base in (0, 1, 2, 3) for row in drawn(base).values() for number in row]
    assert len(set(found)) == len(found)
    with randomness.based(5), randomness.based(6):
        assert randomness.base() == 6
    assert randomness.base() == 0 and [randomness.generator(0, *name).random() for name in streams] == outside
