"""Fixtures. One thread for every test: two processes with threads on two cores take turns, and sums change their order."""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before NumPy or torch is imported; subprocesses and workers inherit it

import subprocess  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import cache  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from toybox import TESTS, Toy  # noqa: E402

from experiments.lab.experiment import names  # noqa: E402
from experiments.lab.result import Result  # noqa: E402
from experiments.run import run  # noqa: E402

TINY = (
    "--depths 2 --activations tanh --inits xavier --width 8 --seeds 2 --draws 1000 "
    "--train-depths 2 --train-steps 3 --train-width 6 --race-depths 30 --race-steps 6"
)
SMALL = {
    "depths": (2, 10),
    "activations": ("tanh", "relu"),
    "inits": ("xavier", "he", "notes"),
    "width": 64,
    "seeds": 8,
    "draws": 2000,
    "train_depths": (3,),
    "train_steps": 4,
    "train_width": 32,
    "race_depths": (30,),
    "race_steps": 120,
    "race_seeds": 2,
    "repair_steps": 25,
    "repair_width": 24,
    "repair_seeds": 2,
}


SMALL_TOO = ("::test_rendering_again", "[vanishing_gradient]")  # tests of other files that want ``small``


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """With -n, the tests of a file run in one process: they share what takes long to make."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if any(name in nodeid for name in SMALL_TOO):
                return "test_vanishing_gradient"
            file, _, test = nodeid.partition("::")
            name = test.partition("[")[2].rstrip("]")
            if file.endswith("test_every_experiment.py"):  # it shares the small run
                return f"test_{name}_experiment" if name in ("gradients", "losses") else f"test_{name}"
            return Path(file).stem

    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of whole experiments get the marker of that name; they and slow tests run only when -m asks for them."""
    files = {f"test_{name}{ending}" for name in names() for ending in ("", "_experiment")}
    files = files - {"test_losses", "test_gradients"} | {"test_every_experiment"}  # those are the library's
    for item in items:
        wants_small = any(name in item.nodeid for name in SMALL_TOO)
        if (wants_small or item.path.stem in files) and not item.get_closest_marker("slow"):
            item.add_marker("experiments")
    if not config.option.markexpr:
        later = [item for item in items if item.get_closest_marker("slow") or item.get_closest_marker("experiments")]
        config.hook.pytest_deselected(items=later)
        items[:] = [item for item in items if item not in later]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy, with its faults and calls in a folder of its own; the test runs in an empty folder."""
    monkeypatch.setenv("TOY_FOLDER", str(tmp_path / "toy"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Toy(tmp_path / "toy")


@pytest.fixture(scope="session")
def toy_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of an undisturbed run of the toy; not to be written to."""
    folder = tmp_path_factory.mktemp("toy") / "results"
    run("toy", out=str(folder))
    return folder


def small_options(name: str) -> dict[str, Any]:
    """Options with which an experiment takes seconds, as the file of its tests has them."""
    if name == "vanishing_gradient":
        return SMALL
    module = import_module(f"test_{name}_experiment" if name in ("gradients", "losses") else f"test_{name}")
    return vars(module).get("TINY") or module.SMALL


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Result, Path]]:
    """A run of an experiment with those options, made once, and its folder."""

    @cache
    def made(name: str) -> tuple[Result, Path]:
        folder = tmp_path_factory.mktemp(name) / "results"
        return run(name, out=str(folder), **{"seed": 0, **small_options(name)}), folder

    return made


@pytest.fixture(scope="session")
def small(ran):
    """The real experiment's."""
    return ran("vanishing_gradient")


@pytest.fixture
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python with the project on its path, in the test's folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS / "support")))}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)

    return run
