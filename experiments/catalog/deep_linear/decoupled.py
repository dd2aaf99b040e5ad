"""Why is each mode learned as if it were alone?

From a balanced start every gradient is diagonal in the modes of the map to be learned: a matrix network is as many scalar ones.
"""

from typing import Any

import numpy as np

from experiments.lab import Claim, Claims, Frame, claims, compare
from . import laws
from .shared import SAXE, TERMS, UNIT, layers


@claims
def alone(maps: Frame, options: Any) -> Claims:
    """Rounding in u is that in time, times the steepest rise of u."""
    key = ["depth", "rate", "steps", "backend"]
    worst = maps.groupby(key, sort=False)[["difference", "wrong_map"]].max().reset_index()
    strongest, weakest = max(options.modes), min(options.modes)
    errors, u = [], np.linspace(0, strongest, 500)
    for row in worst.itertuples():
        start = options.start ** (1 / row.depth)
        rise = (row.depth * u ** (2 - 2 / row.depth) * (strongest - u)).max()
        errors.append(np.sqrt(TERMS) * UNIT * row.steps * start / laws.speed(start, weakest, row.depth) * rise)
    yield Claim(
        "modes do not see each other",
        "From a balanced start UᵀW_N…W_1V stays diagonal, and each entry follows a ← a + η a^(N−1)(s − a^N), u = a^N, step by step.",
        f"derived in laws.py, after {SAXE}",
        "An identity: a rounding √k·u a step, as time lost where a mode is slowest, times the steepest rise. Worst entry, step and seed.",
        "the same recursion for one layer more",
        compare(worst, "{layers}, η = {rate:g}, {steps} steps", layers=worst.depth.map(layers), measured=worst.difference,
                standard_error=errors, predicted=0.0, control_measured=worst.wrong_map),
    )  # fmt: skip
