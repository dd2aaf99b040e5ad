"""How long files and functions are: what is short is read."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for room in ("scratch", "torchref", "experiments") for path in sorted((ROOT / room).rglob("*.py"))]
PAGES = [path for path in FILES if path.parent.parent.name == "catalog" and path.name != "__init__.py"]


def short(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=short)
def test_no_file_has_over_three_hundred_lines(path):
    """A second subject in one file, which should have a name of its own."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_pages_fit_on_some_screens():
    """A question that has become two."""
    assert len(PAGES) > 50 and median(len(path.read_text(encoding="utf-8").splitlines()) for path in PAGES) <= 200


def lengths(path):
    """Lines of every function's body, its docstring apart."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_functions_are_short():
    """Half of all functions have five lines or fewer, nine in ten twenty."""
    found = sorted(length for path in FILES for length in lengths(path))
    assert len(found) > 2000 and median(found) <= 5 and found[len(found) * 9 // 10] <= 20
