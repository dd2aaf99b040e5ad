"""How binary cross-entropy is rounded: the notes' formula as it stands, and what both implementations compute instead."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

import scratch as s
from experiments.catalog.losses.common import compared, looked
from experiments.catalog.losses.formulas import MANY, binary_exact, naive
from experiments.experiment import Tables
from experiments.randomness import generator
from scratch.layers import Array
from torchref.losses import twin

GRID = np.geomspace(0.1, 1e4, 121)  # sizes of logits
CASES = ((1, "right"), (0, "right"), (0, "wrong"), (1, "wrong"))  # the answer y, and what the logit says
LOST = {"float64": (20.0, 30.0), "float32": (10.0, 12.5)}  # logits at which many digits are lost, but not all


def stability(*, draws: int, precision: str, device: str) -> Tables:
    """Relative errors over the number line, their law where digits are lost, where formulas break, and what they give then."""
    tables = {"accuracy": accuracy(precision, device), "digits": digits(draws, precision, device)}
    z = np.linspace(-1e4, 1e4, 61)[None].astype(precision)  # one batch: alone, tiny losses do not agree
    job, shots = looked(s.BinaryCrossEntropy(), z, (z > 5).astype(precision), device)
    agreed = compared(job, shots, "stability", f"logits from −10⁴ to 10⁴, {precision}")
    return tables | {"thresholds": thresholds(precision, device), "agreement": agreed}


def logits(sizes: Array, y: int, side: str) -> Array:
    """Logits of those sizes that answer y rightly or wrongly."""
    return sizes if (y == 1) == (side == "right") else -sizes


def naively(backend: str, z: Array, y: int, device: str) -> Array:
    """The formula as it stands, in the backend's arithmetic."""
    if backend == "scratch":
        return naive(z, np.full_like(z, y), np)
    at = torch.tensor(z, device=device)
    return naive(at, torch.full_like(at, y), torch).cpu().numpy()


def stably(backend: str, z: Array, y: int, device: str) -> Array:
    """Each backend's own loss from logits, every example's apart; not under vmap, where PyTorch's is another formula."""
    loss = s.BinaryCrossEntropy(reduction="none")
    if backend == "scratch":
        return loss(z[None], np.full_like(z[None], y))[0][0]
    at = torch.tensor(z, device=device)
    return twin(loss)(at, torch.full_like(at, y)).cpu().numpy()


def accuracy(dtype: str, device: str) -> pd.DataFrame:
    """Value and error of both forms on the grid; an error is NaN where the value is no number."""
    rows = []
    for y, side in CASES:
        z = logits(GRID, y, side).astype(dtype)
        exact = [binary_exact(float(one), y) for one in z]
        for name in ("scratch", "torchref"):
            for form, values in (("naive", naively(name, z, y, device)), ("stable", stably(name, z, y, device))):
                for one, value, truth in zip(z.tolist(), values.tolist(), exact, strict=True):
                    error = float(MANY.subtract(Decimal(value), truth)) if np.isfinite(value) else np.nan
                    rows.append({"dtype": dtype, "backend": name, "form": form, "y": y, "side": side, "z": one, "value": value,
                                 "exact": float(truth), "error": error, "kind": kind(value)})  # fmt: skip
    return pd.DataFrame(rows)


def kind(value: float) -> str:
    return "NaN" if np.isnan(value) else "∞" if np.isinf(value) else "0" if value == 0 else "number"


def digits(draws: int, dtype: str, device: str) -> pd.DataFrame:
    """Mean square of the error of J in units of u, where digits are lost: of both forms.

    Where the answer is wrong, 1 − σ = e^−z, so an error δ of it is one of δ·e^z in J; that is taken out.
    """
    low, high = LOST[dtype]
    unit, rows = float(np.finfo(dtype).eps) / 2, []
    for case, (y, side) in enumerate(CASES[:3]):
        z = logits(generator(case, "digits", dtype).uniform(low, high, draws), y, side).astype(dtype)
        exact = [binary_exact(float(one), y) for one in z]
        for name in ("scratch", "torchref"):
            for form, values in (("naive", naively(name, z, y, device)), ("stable", stably(name, z, y, device))):
                apart = np.array(
                    [float(MANY.subtract(Decimal(a), b)) for a, b in zip(values.tolist(), exact, strict=True)]
                )
                squares = (apart / unit * (np.exp(-np.abs(z.astype(float))) if side == "wrong" else 1.0)) ** 2
                rows.append({"dtype": dtype, "backend": name, "form": form, "y": y, "side": side, "count": draws,
                             "measured": squares.mean(), "standard_error": squares.std(ddof=1) / np.sqrt(draws)})  # fmt: skip
    return pd.DataFrame(rows)


def thresholds(dtype: str, device: str) -> pd.DataFrame:
    """The smallest number z of the type at which each step of the formula breaks."""
    rows = []
    for name, xp in (("scratch", np), ("torchref", torch)):
        for step, broken in BREAKS.items():
            found = first(partial(_holds, broken, xp, device), dtype)
            rows.append({"dtype": dtype, "backend": name, "step": step, "measured": float(found),
                         "spacing": float(np.spacing(found))})  # fmt: skip
    return pd.DataFrame(rows)


BREAKS: dict[str, Callable[[Any, Any], Any]] = {
    "σ(z) becomes 1": lambda z, xp: 1 / (1 + xp.exp(-z)) == 1,
    "1 − σ(−z) becomes 1": lambda z, xp: 1 - 1 / (1 + xp.exp(z)) == 1,
    "e^z overflows": lambda z, xp: xp.isinf(xp.exp(z)),
    "e^−z becomes 0": lambda z, xp: xp.exp(-z) == 0,
}


def _holds(broken: Callable[[Any, Any], Any], xp: Any, device: str, z: Any) -> bool:
    with np.errstate(all="ignore"):
        at = (
            np.full(8, z) if xp is np else torch.full((8,), float(z), dtype=getattr(torch, z.dtype.name), device=device)
        )
        return bool(broken(at, xp)[0])


def first(broken: Callable[[Any], bool], dtype: str) -> Any:
    """The smallest number of the type, between 1 and 1000, from which on it holds: by halving."""
    low, high = np.asarray(1, dtype)[()], np.asarray(1000, dtype)[()]
    while np.nextafter(low, high) < high:
        middle = (low + high) / 2
        low, high = (low, middle) if broken(middle) else (middle, high)
    return high
