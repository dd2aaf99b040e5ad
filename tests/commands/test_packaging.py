"""pyproject.toml, the two files of versions and what the code imports say the same."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
NAMES = {"sklearn": "scikit-learn", "xdist": "pytest-xdist"}  # distributions that are not called what is imported
GROUPS = {"core": PROJECT["dependencies"], "build": PYPROJECT["build-system"]["requires"], **EXTRAS}


def bounds(*groups: str) -> dict[str, str]:
    """Name -> lower bound of what these groups require; "" for a requirement that admits versions nobody ran."""
    lines = [line.partition(">=") for group in groups for line in GROUPS[group]]
    return {name: bound for name, _, bound in lines}


def pins(text: str) -> dict[str, str]:
    """Name -> version of a file of constraints."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return dict(line.split("==") for line in lines if line)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def imported(folder: str) -> set[str]:
    """The distributions that any file of a folder imports, wherever in the file."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    own = {"scratch", "torchref", "experiments", *(path.stem for path in (ROOT / "tests").rglob("*"))}
    return {NAMES.get(name, name) for name in found - own - sys.stdlib_module_names}


LOWEST = pins((ROOT / "constraints-lowest.txt").read_text())
NEWEST = pins((ROOT / "constraints.txt").read_text())


def test_every_lower_bound_was_run():
    """A bound that someone guessed: an installation that pip allows and in which nothing works."""
    assert bounds(*GROUPS) == LOWEST


def test_no_lower_bound_is_above_the_versions_of_the_results():
    """Then no environment satisfies both: pip refuses the README's own command."""
    required = bounds("core", *EXTRAS)
    assert set(required) == set(NEWEST)
    assert [name for name, pin in NEWEST.items() if numbers(pin) < numbers(required[name])] == []


@pytest.mark.parametrize(
    ("folder", "groups"),
    [
        ("scratch", ["core"]),
        ("torchref", ["core"]),
        ("experiments", ["core", "peers", "cluster"]),
        ("tests", ["core", "test"]),
    ],
)
def test_every_import_is_declared(folder, groups):
    """A package that comes along with another today, or that only this machine has."""
    assert imported(folder) - set(bounds(*groups)) == set()


def test_every_dependency_is_used():
    """A dependency that nothing imports any more is fetched by everyone for nothing."""
    used = set().union(*map(imported, ("scratch", "torchref", "experiments")))
    assert set(bounds("core", "peers", "cluster")) - used == set()


def test_the_oldest_python_is_the_one_the_checks_run_with():
    """requires-python is a lower bound, too."""
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert f"Python {oldest} " in (ROOT / "constraints-lowest.txt").read_text()
    assert f"Python {oldest} or newer" in (ROOT / "README.md").read_text()
    assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")
