"""What is added to scratch and forgotten somewhere is named here: its export, and the variance of an init scheme."""

from __future__ import annotations

import helpers
import pytest

import scratch
from experiments import theory
from scratch import initializers
from scratch.errors import InvalidInput


@pytest.mark.parametrize("kind", helpers.KINDS, ids=lambda kind: kind.__name__)
def test_every_part_is_exported(kind):
    """A layer, loss, update rule, schedule, penalty or clip that a user has to look for in its file."""
    assert kind.__name__ in scratch.__all__ and getattr(scratch, kind.__name__) is kind


def test_a_forgotten_export_would_be_named(monkeypatch):
    monkeypatch.delattr(scratch, "Tanh")
    with pytest.raises(AttributeError, match="Tanh"):
        test_every_part_is_exported(scratch.activations.Tanh)


@pytest.mark.parametrize("name", initializers.by_name())
def test_every_scheme_has_its_variance(name):
    """A scheme without one would draw no prediction, in silence."""
    found = theory.variance(name)
    assert (found is None) == (name in {"zeros"} | theory.NOT_CENTRED)
    assert found is None or found(3, 5) > 0


def test_a_forgotten_variance_is_named():
    with pytest.raises(InvalidInput, match="variance of the init scheme 'unheard_of'"):
        theory.variance("unheard_of")
