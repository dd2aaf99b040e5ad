"""The hash of what a cell depends on: every change that may change a number, and none that cannot."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from experiments.lab import code

ASK = """
import sys
from experiments.lab.experiment import load
from experiments.lab import code
definition = load(sys.argv[1]).definition
for name in sys.argv[2:]:
    part = next(part for part in definition.wiring.parts if part.name == name)
    print(code.fingerprint(part.function))
"""
MEASURING = (
    "scratch/layers.py",
    "torchref/training.py",
    "experiments/compare/agreement.py",
    "experiments/data.py",
    "experiments/compare/probes.py",
    "scratch/randomness.py",
    "experiments/reading/text.py",
    "experiments/theory.py",
    "experiments/lab/bench.py",
)
PAGE = "experiments/catalog/vanishing_gradient/born_dead.py"
SHARED = "experiments/catalog/vanishing_gradient/shared.py"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    for name in ("scratch", "torchref", "experiments"):
        shutil.copytree(code.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def changed(copy):
    """Changes a file of the copy, to be asked about, and puts it back."""
    kept = {}

    def change(name, old, new):
        path = copy / name
        text = kept.setdefault(path, path.read_text())
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1))

    yield change
    for path, text in kept.items():
        path.write_text(text)


def asked(copy, experiment, *parts):
    done = subprocess.run(
        [sys.executable, "-c", ASK, experiment, *parts],
        cwd=copy,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(copy)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.experiments
def test_words_change_nothing_and_numbers_everything_that_uses_them(copy, changed):
    """An hour's cells computed again for a comma; or yesterday's numbers under today's code."""
    dead, product = before = asked(copy, "vanishing_gradient", "dead", "product")
    changed(PAGE, '"""Born dead: how often', '"""Stillborn: how often')
    changed(PAGE, "Narrow deep ReLU networks are born dead", "Narrow and deep ReLU networks are dead")
    changed(PAGE, '"""The share of narrow', '"""What share of narrow')
    changed(
        PAGE,
        "share = theory.born_dead(means.width, means.depth)",
        "share = 1.0 * theory.born_dead(means.width, means.depth)",
    )
    changed("scratch/layers.py", '"""Layers: frozen', '"""Layers, frozen')
    changed("scratch/network.py", "\nclass Trace", "\n# a remark\n\n\nclass Trace")
    changed(SHARED, "FINITE_WIDTH = 2.5", "FINITE_WIDTH = 2.6")  # of claims alone
    assert asked(copy, "vanishing_gradient", "dead", "product") == before
    changed(PAGE, "silent = [np.all(h == 0", "silent = [np.all(h <= 0")
    assert asked(copy, "vanishing_gradient", "dead", "product") != before
    assert asked(copy, "vanishing_gradient", "product") == [product], "another page's cells"
    changed(SHARED, "np.linspace(0.5, 1.5", "np.linspace(0.5, 1.6")  # of exact_job, which both call
    assert dead not in (found := asked(copy, "vanishing_gradient", "dead", "product")) and product not in found


@pytest.mark.experiments
def test_what_registers_itself_counts(copy, changed):
    """A twin in PyTorch, which no function of the page calls by name."""
    before = asked(copy, "losses", "escape", "training")
    changed("experiments/catalog/losses/shared.py", "logsigmoid(output)).mean()", "logsigmoid(output)).mean() * 1.0")
    assert all(a != b for a, b in zip(before, asked(copy, "losses", "escape", "training"), strict=True))


def test_every_file_that_makes_numbers_counts(copy, monkeypatch):
    """A file that is left out of the hash: its change would not be seen in any stored cell."""
    monkeypatch.setattr(code, "ROOT", copy)
    seen = {code.numerics.__wrapped__()}
    for name in MEASURING:
        text = (copy / name).read_text()
        (copy / name).write_text(text + "\n# changed\n")
        assert code.numerics.__wrapped__() in seen, name
        (copy / name).write_text(text + "\nCHANGED = 1\n")
        found = code.numerics.__wrapped__()
        assert found not in seen, name
        seen.add(found)


@pytest.mark.parametrize("name", ["numpy", "torch", "scikit-learn", "scipy", "sympy", "pandas"])
def test_every_package_that_makes_numbers_counts(monkeypatch, name):
    """Cells of an old NumPy or SciPy in a run that says it had the new one."""
    before, installed = code.numerics.__wrapped__(), code.version
    monkeypatch.setattr(code, "version", lambda asked: "0.0" if asked == name else installed(asked))
    assert code.numerics.__wrapped__() != before


def test_python_counts(monkeypatch):
    """Python 3.12 adds floats with fewer roundings than 3.11."""
    before = code.numerics.__wrapped__()
    monkeypatch.setattr(code.platform, "python_version", lambda: "2.7")
    assert code.numerics.__wrapped__() != before


def test_every_package_that_measuring_code_imports_counts():
    """A package that a new cell uses, and of which the hash knows nothing."""
    files = [path for pattern in (*code.NUMERICS, "experiments/catalog/*/*.py") for path in code.ROOT.glob(pattern)]
    found = {
        word
        for path in files
        for word in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    apart = {"scratch", "torchref", "experiments", "matplotlib", "tyro"}  # hashed themselves; for drawing; for options
    assert found - set(sys.stdlib_module_names) - apart <= set(code.COMPUTING) - {"scikit-learn"}


def test_a_neighbour_is_followed_by_its_short_name():
    """A hash that ends where a page says ``from .shared import``."""
    module = "experiments.catalog.vanishing_gradient.born_dead"
    reached = code._reached(module, "dead")
    assert ("experiments.catalog.vanishing_gradient.shared", "exact_job") in reached
