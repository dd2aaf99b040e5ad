"""The notes' losses: cross-entropy unlearns a wrong answer in linear time, squared error in exponential time.

Binary cross-entropy and cross-entropy as the notes write them, one-hot targets, p − y, naive against stable formulas, the loss
of guessing, and what squared error does to a unit that begins surely wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.lab.options import Drawn, Floats, option
from experiments.lab.words import held

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Options(Drawn):
    """The notes' losses: identities, rounding, the loss of guessing, and what is learned from a wrong start."""

    trials: int = option(100, "random batches on which identities are tested", (2, 10**6), quick=20)
    draws: int = option(
        4000, "random logits from which the rounding of the naive formula is measured", (100, 10**8), quick=500
    )
    scales: Floats = option(
        (0.5, 2.0, 8.0, 32.0),
        "scales of random weights at which the learning signal is measured",
        (1e-6, 100),
        quick=(0.5, 8.0),
    )
    starts: int = option(400, "random starts at each of those scales", (10, 10**6), quick=200)
    wrong: Floats = option(
        (1, 2, 3, 4, 5, 6), "how far on the wrong side a single unit starts: −z", (1e-6, 8), quick=(1, 3)
    )
    rate: float = option(0.2, "learning rate of that unit: small, for gradient flow", (1e-6, 0.5))
    seeds: int = option(20, "trained networks of each kind", (2, 10_000), quick=20)
    steps: int = option(150, "steps of their training", (1, 10**6), quick=20)
    saturation: float = option(30.0, "by how much their output weights are larger in the saturated start", (1, 1000))
    device: str = option("cpu", "where PyTorch computes: cpu, cuda or mps")


PAGES = ("wrong_answers", "random_starts", "training", "breaking", "digits", "guessing", "definitions", "bits")
PRINTED = "times"
NEXT_STEPS = (
    "`--wrong 7 8`: squared error needs e⁸/2, some 1500 units of time, cross-entropy nine.",
    "`--saturation 1`: the two starts become one, and the claim that it is the saturation has nothing left to show.",
    "`--rate 0.5`: steps far too large for gradient flow; does the first correction still tell the time?",
    '`python -c "import torch; print(torch.nn.BCEWithLogitsLoss()(torch.tensor(-40.), torch.tensor(0.)))"`: 0, where e⁻⁴⁰ is meant.',
)


def finding(claims: pd.DataFrame, times: pd.DataFrame | None = None) -> str:
    """Two or three sentences."""
    verdict = held(claims)
    if times is None or times.loss.nunique() < 2:
        return verdict
    ours = times[times.backend == "scratch"]
    far = ours.wrong.max()
    most = ours[ours.wrong == far].set_index("loss").measured
    return (
        f"A sigmoid unit that starts surely wrong (z = −{far:g}) is put right by cross-entropy in {most['cross-entropy']:.3g} units of "
        f"time, by squared error in {most['squared error']:.3g}: p − y does not fade where the answer is wrong, and a(1 − a) does. "
        "The notes' formula, computed as written, gives ∞ or NaN from z = 36.7 on (float32: 16.6); from logits it is right "
        f'everywhere, though PyTorch\'s form rounds a right "no" more coarsely than the naive one. {verdict}'
    )
