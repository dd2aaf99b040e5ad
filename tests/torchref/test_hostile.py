"""Every hostile or odd input does what the table in hostile.py declares, in scratch, in torchref and in PyTorch alone."""

from __future__ import annotations

import hostile
import numpy as np
import pytest

from scratch import training

CASES = {f"{title}: {case.given}": case for title, (_, cases) in hostile.GROUPS.items() for case in cases}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_declared_outcome(case):
    """A wrong number without a word, an error from the depths, an input that was written to, a backend that is alone in refusing."""
    assert not hostile.wrong(case)


def test_refusals_are_one_line():
    """A message with an array in it, or an address that is another at every run."""
    messages = [str(hostile.results(case)[0].error) for case in CASES.values() if hostile.results(case)[0].error]
    assert len(messages) > 80
    assert not [words for words in messages if "\n" in words or " at 0x" in words or len(words) > 160]


def test_page_is_what_the_cases_give():
    """A page that was written before the last change."""
    assert hostile.PAGE.read_text(encoding="utf-8") == hostile.page(), "run python tests/support/hostile.py"


def test_no_case_is_there_twice():
    """A case that hides another of its name."""
    assert len(CASES) == sum(len(cases) for _, cases in hostile.GROUPS.values())


@pytest.mark.parametrize("name", ["loss", "gradients 0 W", "parameters 2 b", "outputs 2"])
@pytest.mark.parametrize(
    "change", [lambda a: a + 1e-9, lambda a: a * np.nan, lambda a: a.astype("f4"), lambda a: a[None]]
)
def test_comparison_sees_a_difference(name, change):
    """A comparison that calls everything the same."""
    shot = hostile.by_job(training, hostile.RIGHT)[0]
    assert not hostile.same([shot], [shot | {name: shot[name] * (1 + 1e-15)}])
    assert name in hostile.same([shot | {name: change(shot[name])}], [shot])


def test_a_written_input_is_noticed(monkeypatch):
    """A backend that changes what it was handed."""
    monkeypatch.setattr(training, "snapshot", lambda job: job.data.x.fill(0))
    fields = hostile.RIGHT | {"x": hostile.X.copy()}
    assert hostile.outcome(lambda: hostile.by_job(training, fields)).kind != "computes"
