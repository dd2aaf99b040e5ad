"""Imports run one way, those inside of functions and those for types included: scratch, torchref, compare, lab, catalog, commands."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("scratch", "torchref", "experiments.compare", "experiments.lab", "experiments.catalog", "experiments")
BELOW = (
    "experiments.data",
    "experiments.reading",
    "experiments.theory",
    "experiments.command",
)  # of experiments, but no command


def modules() -> dict[str, Path]:
    paths = [path for room in ("scratch", "torchref", "experiments") for path in (ROOT / room).rglob("*.py")]
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def imported(path: Path, known: set[str]) -> set[str]:
    """The project's modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            folder = ".".join(path.relative_to(ROOT).parent.parts) if node.level else ""
            source = ".".join(filter(None, (folder, node.module)))
            inner = {f"{source}.{alias.name}" for alias in node.names}
            found |= (inner & known) or {source}
            found |= {source} if inner - known else set()
    return found & known


def room(name: str) -> int:
    if name.startswith(BELOW):
        return ROOMS.index("experiments.compare")
    return next(k for k, room in enumerate(ROOMS) if name == room or name.startswith(room + "."))


GRAPH = {name: imported(path, set(modules())) - {name} for name, path in modules().items()}


def test_no_circle():
    """Modules that cannot be read, tested or moved one without the other."""
    try:
        assert len(list(TopologicalSorter(GRAPH).static_order())) == len(GRAPH) > 100
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_no_import_upwards(name):
    """A layer that knows the experiments, a lab that knows one of its commands."""
    upwards = {
        other for other in GRAPH[name] - {"experiments.catalog"} if room(other) > room(name)
    }  # the shelf itself holds nothing
    assert not upwards


def test_a_circle_would_be_seen(tmp_path):
    """A search that is blind to imports in functions and for types."""
    (path := tmp_path / "a.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from experiments.lab.cell import Cell\n"
        "def f():\n    import scratch.layers\n    from experiments.lab import sweep, Claim\n"
    )
    assert imported(path, set(modules())) == {
        "experiments.lab.cell",
        "scratch.layers",
        "experiments.lab.sweep",
        "experiments.lab",
    }
