"""What a measured number depends on, as a hash: the code that a measuring function reaches, the numerics, and versions.

Docstrings, comments and layout are no part of it, nor is what a page does with its tables.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import platform
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NUMERICS = ("scratch/*.py", "torchref/*.py", "experiments/compare/*.py", "experiments/data.py", "experiments/reading/*.py",
            "experiments/theory.py", "experiments/lab/bench.py", "experiments/lab/frames.py")  # fmt: skip
COMPUTING = ("numpy", "scipy", "torch", "scikit-learn", "pandas", "sympy")
ACTING = "statement "  # what a statement at a module's top level is called that defines no name, or registers what it defines
HERE = ("cells", "table", "claims", "figure")  # decorators that say what a function is for, not what it does


@cache
def fingerprint(function: Callable[..., Any]) -> str:
    """The hash of all that the function's numbers depend on, but for its arguments."""
    digest = hashlib.sha256(numerics().encode())
    for place in sorted(_reached(function.__module__, function.__name__)):
        digest.update(f"{place}\n{_definitions(place[0])[place[1]][1]}\n".encode())
    return digest.hexdigest()


@cache
def numerics() -> str:
    """The hash of both implementations, of what looks at them, and of the versions of whatever computes."""
    paths = [path for pattern in NUMERICS for path in sorted(ROOT.glob(pattern))]
    digest = hashlib.sha256("\n".join(_text(ast.parse(path.read_text("utf-8"))) for path in paths).encode())
    digest.update("/".join([platform.python_version(), *map(version, COMPUTING)]).encode())
    return digest.hexdigest()


def _text(node: ast.AST) -> str:
    """The code without docstrings, comments and layout, and without a page's decorators."""
    for inside in ast.walk(node):
        if isinstance(inside, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(inside, clean=False) is not None:
                inside.body = inside.body[1:]
            if not isinstance(inside, ast.Module):
                inside.decorator_list = [d for d in inside.decorator_list if _called(d) not in HERE]
    return ast.dump(node)


def _called(decorator: ast.expr) -> str:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(target, "id", "")


Place = tuple[str, str]  # module and name


def _reached(module: str, name: str) -> set[Place]:
    """All definitions of the experiment's own files that this one needs, directly or not, and itself."""
    found: set[Place] = set()
    waiting = [(module, name)]
    while waiting:
        place = waiting.pop()
        if place in found or place[1] not in _definitions(place[0]):
            continue
        found.add(place)
        waiting += _used(place)
        waiting += [(place[0], acting) for acting in _definitions(place[0]) if acting.startswith(ACTING)]
    return found


def _used(place: Place) -> Iterator[Place]:
    """The places that a definition names: of its own module, and of others of the experiment through imports."""
    module, (node, _) = place[0], _definitions(place[0])[place[1]]
    if isinstance(node, ast.ImportFrom):
        source, target = _source(node, module), next(a.name for a in node.names if (a.asname or a.name) == place[1])
        if _own(f"{source}.{target}"):
            yield from ((f"{source}.{target}", name) for name in _definitions(f"{source}.{target}"))
        elif _own(source):
            yield source, target
        return
    known, whole = _definitions(module), {id(name) for name in ast.walk(node) if isinstance(name, ast.Name)}
    for inside in ast.walk(node):
        if isinstance(inside, ast.Attribute) and isinstance(inside.value, ast.Name):
            held = known.get(inside.value.id)
            if held is not None and isinstance(held[0], ast.ImportFrom):
                source = f"{_source(held[0], module)}.{inside.value.id}"
                if _own(source):  # one name of a module, not all of it
                    yield source, inside.attr
                    whole.discard(id(inside.value))
    for inside in ast.walk(node):
        if isinstance(inside, ast.Name) and id(inside) in whole and inside.id in known and inside.id != place[1]:
            yield module, inside.id


def _source(node: ast.ImportFrom, module: str) -> str:
    """The module that is imported from, in full: pages name their neighbours as ``.shared``."""
    package = module if hasattr(sys.modules.get(module), "__path__") else module.rpartition(".")[0]
    return resolve_name("." * node.level + (node.module or ""), package)


def _own(module: str) -> bool:
    """Whether it is a module that belongs to an experiment."""
    if not module.startswith("experiments.catalog."):
        return False
    try:
        return isinstance(importlib.import_module(module), ModuleType)
    except ImportError:
        return False


@cache
def _definitions(module: str) -> dict[str, tuple[ast.stmt, str]]:
    """Top-level names of a module: the statement that defines each, and its text."""
    path = getattr(sys.modules.get(module) or importlib.import_module(module), "__file__", None)
    found: dict[str, tuple[ast.stmt, str]] = {}
    for number, node in enumerate(ast.parse(Path(path).read_text("utf-8")).body if path else ()):
        text = _text(node)
        for name in _names(node) or [f"{ACTING}{number}"]:
            found[name] = node, text
    return found


def _registers(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(target, ast.Attribute) and target.attr == "register"


def _names(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef() if any(_registers(decorator) for decorator in node.decorator_list):
            return []
        case ast.Expr(value=ast.Constant()) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return ["a docstring, or types"]
        case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
            return [node.name]
        case ast.Assign():
            return [n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Import() | ast.ImportFrom():
            return [a.asname or a.name.partition(".")[0] for a in node.names]
    return []
