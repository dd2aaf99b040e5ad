"""The command that compares a device with scratch: here with the CPU in the device's place, and on CUDA where there is one."""

from __future__ import annotations

import sys

import pandas as pd
import pytest
import torch

from experiments import parity


def few(monkeypatch, folder, device):
    """Two pieces, one optimizer, and sweeps too small to time."""
    families = {"layers": {"BatchNorm": parity.FAMILIES["layers"]["BatchNorm"]}}
    monkeypatch.setattr(parity, "FAMILIES", families)
    for name, value in {
        "OPTIMIZERS": parity.OPTIMIZERS[:1],
        "STEPS": 10,
        "LOOKS": (0, 1, 10),
        "TRIALS": 2,
        "ROUNDS": 1,
    }.items():
        monkeypatch.setattr(parity, name, value)
    monkeypatch.setattr(parity, "SWEEPS", {"2 of 3-2": (2, (3, 2), 4, 1)})
    monkeypatch.setattr(sys, "argv", ["parity", "--device", device, "--out", str(folder)])
    return parity.main()


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
        ),
    ],
)
def test_a_device_that_agrees(monkeypatch, tmp_path, device):
    """A command that compares nothing, or whose bound nothing could pass."""
    assert few(monkeypatch, tmp_path, device) == 0
    (folder,) = tmp_path.iterdir()
    found = pd.read_csv(folder / "parity.csv")
    assert set(found.dtype) == {"float64", "float32"} and set(found.what) == {"layers", "hundred steps"}
    assert (found.ratio <= 1).all() and (found.control_ratio.dropna() > 1).all()
    assert (pd.read_csv(folder / "speed.csv")[["stack_ms", "loop_ms"]] > 0).all(axis=None)


def test_a_device_that_is_wrong(monkeypatch, tmp_path):
    """A device whose gradients are off by one part in ten thousand, and a verdict that does not see it."""
    honest = parity.witnesses.by_torch
    wrong = lambda job, device="cpu": {key: a * (1 + 1e-4) for key, a in honest(job, device).items()}  # noqa: E731
    monkeypatch.setattr(parity.witnesses, "by_torch", wrong)
    assert few(monkeypatch, tmp_path, "cpu") == 1


def test_a_device_that_is_not_there(monkeypatch, tmp_path, capsys):
    """A traceback."""
    monkeypatch.setattr(sys, "argv", ["parity", "--device", "abacus", "--out", str(tmp_path)])
    assert parity.main() == 2
    assert "abacus" in capsys.readouterr().err and not list(tmp_path.iterdir())
