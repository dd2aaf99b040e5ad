"""The command line: what it answers, in how many lines, with which status, and that bad input changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from toybox import TESTS, listing

from experiments.run import main

TOYBOX = str(TESTS / "support" / "toybox.py")
SLOW_TO_IMPORT = ("torch", "pandas", "sklearn", "matplotlib")


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs bad input in a folder that holds results: one line, status 2, and not a byte changed."""
    folder = tmp_path / "work"
    for path in ("results/vanishing_gradient/report.md", "results/toy/report.md", "mine/report.md"):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text("of an earlier run")
    (folder / "file").write_text("no folder")
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> str:
        before = sorted(folder.rglob("*")), listing(folder)
        status = main(list(arguments))
        out, err = capsys.readouterr()
        assert (status, out) == (2, "")
        assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1, err
        assert (sorted(folder.rglob("*")), listing(folder)) == before
        return err

    return run


@pytest.mark.parametrize("arguments", ["--help", "--list", "vanishing_gradient --help"])
def test_answers_at_once(python, arguments):
    """An import at the top of a file that --help passes through: seconds of waiting."""
    code = (
        f"import sys\nfrom experiments.run import main\ntry: status = main({arguments.split()})\n"
        f"except SystemExit as stop: status = stop.code\nprint(status, [n for n in {SLOW_TO_IMPORT} if n in sys.modules])"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr
    assert "vanishing_gradient" in done.stdout or "--list" in done.stdout
    assert done.stderr == ""


def test_help_names_every_option_with_its_default(python):
    """An option without help, or one that the help does not show."""
    shown = python("-m", "experiments.run", "vanishing_gradient", "--help").stdout
    for expected in ("--depths", "--race-seeds", "--dtype", "--quick", "--jobs", "--out", "--dry-run", "digits", "450"):
        assert expected in shown


def test_nothing_asked_shows_the_help(capsys):
    """Status 0 would tell a script that something was run."""
    assert main([]) == 2
    assert "usage" in capsys.readouterr().out


BAD = {
    "vanishing_gradiant": "vanishing_gradient",
    "--lsit": "--lsit",
    "vanishing_gradient --depth 3": "--depths",
    "vanishing_gradient --frobnicate": "frobnicate",
    "vanishing_gradient --depths 0": "--depths",
    "vanishing_gradient --depths 2 -3": "3",
    "vanishing_gradient --depths": "--depths",
    "vanishing_gradient --depths two": "two",
    "vanishing_gradient --depths 2.5": "2.5",
    "vanishing_gradient --depths 2 5 2": "--depths",
    "vanishing_gradient --width 0": "--width",
    "vanishing_gradient --width": "--width",
    "vanishing_gradient --train-width -1": "1",
    "vanishing_gradient --train-steps 0": "--train-steps",
    "vanishing_gradient --race-depths 0": "--race-depths",
    "vanishing_gradient --seeds 1": "--seeds",
    "vanishing_gradient --draws 1": "--draws",
    "vanishing_gradient --activations": "--activations",
    "vanishing_gradient --activations rellu": "'relu'",
    "vanishing_gradient --activations relu relu": "--activations",
    "vanishing_gradient --inits xaviar he": "'xavier'",
    "vanishing_gradient --data digit": "'digits'",
    "vanishing_gradient --data nowhere.npz": "nowhere.npz",
    "vanishing_gradient --data mine": "mine",
    "vanishing_gradient --dtype float16": "float16",
    "vanishing_gradient --dtype float": "float",
    "vanishing_gradient --quick --jobs -1": "--jobs",
    "vanishing_gradient --jobs -1 --dry-run": "--jobs",
    "vanishing_gradient --jobs many": "many",
    "deep_linear --random-time inf": "--random-time",
    "deep_linear --modes 2 nan": "--modes",
    "deep_linear --start 1e-320": "--start",
    "losses --scales nan": "--scales",
    "losses --device cpu:x": "cpu:x",
    f"losses --rate {'9' * 400}": "--rate",
    f"precision --draws {'9' * 400}": "--draws",
    f"precision --draws {'9' * 5000}": "--draws",
    "vanishing_gradient --width 4000": "--width 4000: this would take about",
    "batch_norm --train-steps 100000 --train-seeds 100 --dry-run": "--train-s",
    "initialization --draws 10000000": "--draws",
    "toy --jobs 10000": "--jobs",
    "toy --numbers": "--numbers",
    "toy --out file": "file",
    "toy --out file/below": "file",
    "toy --out /proc/results": "/proc",
}


@pytest.mark.parametrize("arguments", BAD, ids=lambda arguments: arguments[:60])
def test_bad_input_is_one_line(refused, arguments):
    """A traceback, a box, a silent default, or work begun before the input was checked."""
    assert BAD[arguments] in refused(*arguments.split())


@pytest.mark.parametrize("name", ["cuda", "gpu", "cuda:99"])
def test_a_device_that_is_not_there(refused, name):
    """A run that goes on without the device, or one that fails cell by cell."""
    if name == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    assert name in refused("vanishing_gradient", *TINY.split(), "--device", name, "--jobs", "1", "--out", "mine")


X, Y = np.arange(24.0).reshape(2, 12), np.arange(12.0) % 3
ARRAYS = {
    "NaN": (np.where(X == 5, np.nan, X), Y),
    "infinity": (np.where(X == 5, np.inf, X), Y),
    "negative label": (X, Y - 1),
    "fractional label": (X, Y + 0.5),
    "NaN label": (X, np.where(Y == 1, np.nan, Y)),
    "infinite label": (X, np.where(Y == 1, np.inf, Y)),
    "huge label": (X, np.where(Y == 1, 1e12, Y)),
    "a class without examples": (X, 2 * Y),
    "one class": (X, 0 * Y),
    "different lengths": (X, Y[:-1]),
    "examples in rows": (X.T, Y),
    "three axes": (X[None], Y),
    "no features": (X[:0], Y),
    "no examples": (X[:, :0], Y[:0]),
    "text": (X.astype(str), np.array(list("abcabcabcabc"))),
    "objects": (X.astype(object), Y),
}
FILES = {
    "text.npz": b"no archive",
    "truncated.npz": b"PK\x03\x04" + bytes(20),
    "empty.npz": b"",
    "words.csv": b"a,b,label\n1,2,0\n1,two,1\n",
    "header.csv": b"a,b,label\n",
    "empty.csv": b"",
    "ragged.csv": b"a,b,label\n1,2,0\n1,1\n",
    "binary.csv": bytes(range(128, 256)),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_are_no_data(refused, tmp_path, kind):
    """Numbers that a network would carry on with, until an error far away or a wrong result."""
    np.savez(tmp_path / "data.npz", x=ARRAYS[kind][0], y=ARRAYS[kind][1])
    assert "data.npz" in refused("vanishing_gradient", "--data", str(tmp_path / "data.npz"))


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_data(refused, tmp_path, name):
    """An exception of the reader's own that is not among those caught."""
    (tmp_path / name).write_bytes(FILES[name])
    assert name in refused("vanishing_gradient", "--data", str(tmp_path / name))


def test_archives_that_are_no_data(refused, tmp_path):
    """Other names in the archive; a single array under the archive's name; a folder."""
    np.savez(tmp_path / "names.npz", inputs=X, targets=Y)
    with open(tmp_path / "array.npz", "wb") as file:
        np.save(file, X)
    (tmp_path / "folder.csv").mkdir()
    for name in ("names.npz", "array.npz", "folder.csv"):
        assert name in refused("vanishing_gradient", "--data", str(tmp_path / name))


def test_good_data_of_ones_own(tmp_path, monkeypatch, capsys):
    """A check so strict that no file passes it."""
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=X, y=Y)
    Path("data.csv").write_text("a,b,label\n" + "".join(f"{a},{b},{c:.0f}\n" for (a, b), c in zip(X.T, Y, strict=True)))
    for name in ("data.npz", "data.csv"):
        assert main(["vanishing_gradient", "--data", name, "--dry-run"]) == 0
        assert "to run" in capsys.readouterr().out


def test_bad_input_in_a_process_of_its_own(python, tmp_path, monkeypatch):
    """A warning, or a message of an import, beside the one line."""
    monkeypatch.chdir(tmp_path)
    done = python("-m", "experiments.run", "vanishing_gradient", "--widht", "3")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ") and "--width" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_dry_run_computes_nothing(toy, capsys):
    """A dry run that measures, makes a folder, or does not see what is stored."""
    assert main(["toy", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("4 cells: 0 stored, 4 to run")
    assert toy.calls() == [] and not list(Path().iterdir())
    main(["toy", "--numbers", "2", "3"])
    toy.calls()
    before = listing(Path())
    capsys.readouterr()
    assert main(["toy", "--dry-run"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["to", "stored", "stored", "to"]
    assert last.startswith("4 cells: 2 stored, 2 to run")
    assert toy.calls() == [] and listing(Path()) == before
    main(["toy", "--dry-run", "--fresh"])
    assert "0 stored, 4 to run" in capsys.readouterr().out


@pytest.mark.experiments
def test_a_good_run_with_workers(toy, toy_results, python):
    """A progress bar in a pipe, a worker's warning, a last line without the report; other bytes than one process gives."""
    done = python(TOYBOX, "toy", "--jobs", "2")
    assert (done.returncode, done.stderr) == (0, "")
    last = done.stdout.splitlines()[-1]
    assert last.startswith("HOLDS") and "3 of 3 claims" in last
    assert Path(last.split()[-1]).samefile("results/toy/report.html")
    assert toy.calls() == [1, 2, 3, 4]
    assert listing(Path("results/toy")) == listing(toy_results)


@pytest.mark.experiments
def test_a_quick_run_leaves_the_full_results_alone(toy):
    """--quick that writes over results of an hour."""
    assert main(["toy", "--quick"]) == 0
    assert Path("results/quick/toy/report.html").exists() and not Path("results/toy").exists()
    assert toy.calls() == [1, 2]


def test_a_claim_that_fails_is_status_1(toy, capsys):
    """A run whose claims fail but which a script takes for a good one."""
    assert main(["toy", "--factor", "1.5"]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.startswith("FAILS") and "2 of 3 claims" in last
    assert any(line.startswith("fails: mean") for line in lines)


@pytest.mark.experiments
def test_a_control_that_passes_is_status_1(toy, capsys):
    """A claim whose control would be allowed too proves nothing, and must not hold."""
    assert main(["toy", "--factor", "2"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("FAILS")


@pytest.mark.experiments
def test_a_cell_that_fails_in_a_worker_is_status_1(toy, capsys):
    """A run that lacks a cell but holds."""
    toy.plan("fail", 2)
    assert main(["toy", "--numbers", "1", "2", "--jobs", "2"]) == 1
    out, err = capsys.readouterr()
    assert "1 cells failed" in out.splitlines()[-1] or "1 cell failed" in out.splitlines()[-1]
    assert "number=2" in err and "no | good" in err and "Traceback" not in err


def test_if_every_cell_fails_it_is_said(toy, capsys):
    """A traceback out of an analysis that was given nothing."""
    toy.plan("fail", 1)
    assert main(["toy", "--numbers", "1"]) != 0
    assert "no | good" in capsys.readouterr().err
