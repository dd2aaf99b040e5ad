"""The ledger of the notes' statements is the committed results', and names no claim that is not made."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import pytest

from experiments import statements
from experiments.lab.experiment import names
from scratch import InvalidInput


def test_the_committed_page_is_the_generated_one():
    """A verdict that was written by hand, or results that are newer than the page."""
    assert statements.PAGE.read_text(encoding="utf-8") == statements.page()


def test_every_statement_is_there_once():
    """A statement told twice, or an experiment that tests nothing the notes say."""
    words = [one.words for one in statements.STATEMENTS]
    assert len(words) == len(set(words)) >= 36
    assert {name for one in statements.STATEMENTS for name in one.tests} == set(names()) - {"toy"}


@dataclass
class Told:
    words: str
    tests: dict[str, tuple[str, ...]]


KNOWN = {"a": {"one": "holds", "two": "fails"}}


@pytest.mark.parametrize("claims, said", [(("one",), "holds"), (("one", "two"), "two: fails"), ((), "open")])
def test_a_verdict_is_that_of_all_claims(claims, said):
    """A claim that fails, hidden by others that hold; a statement without claims called tested."""
    assert statements.verdict(Told("x", {"a": claims} if claims else {}), KNOWN) == said


def test_an_unknown_claim_is_refused():
    """A renamed claim that silently drops out of the ledger."""
    with pytest.raises(InvalidInput, match="names the claim 'three', which a does not make"):
        statements.verdict(Told("x", {"a": ("three",)}), KNOWN)


def test_missing_results_name_the_command(tmp_path):
    """A traceback where a run is missing."""
    with pytest.raises(InvalidInput, match=r"python -m experiments\.run batch_norm"):
        statements.verdicts("batch_norm", tmp_path)


def test_verdicts_are_those_of_whole_results_of_their_own(toy_results, tmp_path):
    """A verdict that was written by hand, or over which a later run was killed; results under another experiment's name."""
    folder = tmp_path / "toy"
    shutil.copytree(toy_results, folder)
    assert statements.verdicts("toy", tmp_path) == {"mean": "holds", "positive": "holds", "small": "holds"}
    shutil.copytree(folder, tmp_path / "losses")
    with pytest.raises(InvalidInput, match="holds results of 'toy', not of 'losses'"):
        statements.verdicts("losses", tmp_path)
    path = folder / "tables/claims.csv"
    path.write_text(path.read_text().replace("holds", "fails"))
    with pytest.raises(InvalidInput, match=r"claims\.csv .*python -m experiments\.run toy"):
        statements.verdicts("toy", tmp_path)
