"""Data sets: standardised by the training part alone."""

from __future__ import annotations

import numpy as np
import pytest

from experiments import data


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "iris", "mine.npz", "mine.csv"])
def test_data_is_standardised_by_the_training_part_alone(name, tmp_path, monkeypatch):
    """Mean and deviation of all examples: the test part would have a say in what the network is trained on."""
    monkeypatch.chdir(tmp_path)
    x, y = np.random.default_rng(0).lognormal(2, 1, (3, 50)), np.arange(50) % 3
    np.savez("mine.npz", x=x, y=y)
    np.savetxt("mine.csv", np.vstack([x, y]).T, delimiter=",", header="a,b,c,label")
    found = data.load(name)
    scattered = found.train.x.std(axis=1) > 0  # some pixels of the digits are always white
    np.testing.assert_allclose(found.train.x.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(found.train.x.std(axis=1)[scattered], 1, rtol=1e-12)
    whole = np.hstack([found.train.x, found.test.x])
    assert abs(whole.mean(axis=1)).max() > 1e-3 and abs(whole.std(axis=1)[scattered] - 1).max() > 1e-3
