"""Deep linear networks: y = w1 w2 … wn x learns in stages, after plateaus that theory predicts to the step.

The exact learning curves of Saxe, McClelland & Ganguli (2014), what gradient descent conserves, the saddle at the
origin, and how the start decides whether depth costs time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.lab.options import Drawn, Floats, Ints, option, require
from experiments.lab.words import held

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Options(Drawn):
    """Deep linear networks: stages, plateaus, a saddle and a conservation law, each against its exact prediction."""

    depths: Ints = option((1, 2, 3, 5), "weight layers N; 1 is the shallow network", (1, 100), quick=(1, 2, 3))
    modes: Floats = option(
        (4.0, 2.0, 1.0, 0.5),
        "strengths s (singular values) of the map to be learned",
        (1e-3, 1000),
        quick=(2.0, 1.0, 0.5),
    )
    start: float = option(0.01, "u₀: every mode's strength in the network before training", (1e-9, 100))
    rates: Floats = option((0.01, 0.005), "learning rates η; time is t = η × steps", (1e-6, 1), quick=(0.05,))
    seeds: int = option(4, "random bases of the balanced networks", (2, 10_000), quick=2)
    plateaus: Floats = option(
        (1e-2, 1e-3, 1e-4), "u₀ of the networks of width 1, whose wait is measured", (1e-9, 0.1), quick=(3e-2, 1e-2)
    )
    random_depths: Ints = option(
        (2, 4, 6, 8), "layers of the networks that start from random weights", (2, 100), quick=(2, 5)
    )
    random_seeds: int = option(16, "seeds of these", (2, 10_000), quick=12)
    random_time: float = option(100.0, "N·t for which these are trained", (1, 10**6), quick=25.0)
    device: str = option("cpu", "where PyTorch computes: cpu or cuda")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.modes) <= 5, "modes", "at most 5, which is what the network can hold", len(self.modes))
        require(self.start < min(self.modes) / 10, "start", "below a tenth of every mode", self.start)
        steepest = max(self.rates) * max(n * max(self.modes) ** (2 - 2 / n) for n in self.depths)
        require(
            steepest <= 1, "rates", "η N s^(2 − 2/N) ≤ 1 for every mode and depth (above 1 it overshoots)", steepest
        )


PAGES = ("stages", "plateaus", "random_weights", "landscape", "conserved", "decoupled", "together")
NEXT_STEPS = (
    "`--depths 2 --start 1e-6 --modes 4 2 1 0.5`: longer plateaus, sharper stages.",
    "`--depths 8 --start 0.1 --rates 0.002`: the deeper, the more the curve resembles a step.",
    "`--random-depths 2 4 8 16 --random-time 400`: how far the orthogonal start stays flat.",
    "`--rates 0.02 0.01 0.005`: what finite steps add to the flow's times, order by order.",
)


def finding(claims: pd.DataFrame, times: pd.DataFrame | None = None, plateau_times: pd.DataFrame | None = None) -> str:
    """Three sentences."""
    verdict = held(claims)
    if times is None or (deep := half_times(times)).empty:
        return f"Without a deep network among the depths there are no stages to see. {verdict}"
    two = deep[deep.depth == deep.depth.min()].sort_values("mode", ascending=False)
    listed = " and ".join(
        f"{r.measured:.2f} (strength {r.mode:g}; predicted {r.predicted:.2f})" for r in two.iloc[[0, -1]].itertuples()
    )
    said = (
        f"A deep linear network learns in stages, the strongest mode first: with {two.depth.iloc[0]} layers, half of a mode is learned "
        f"at time {listed}, after a plateau; a shallow network has neither."
    )
    if plateau_times is not None and "longer" in plateau_times:
        waits = plateau_times[plateau_times.backend == "scratch"].dropna(subset="longer")
        row = waits[waits.depth == waits.depth.max()].sort_values("start").iloc[0]
        said += (
            f" The more factors, the longer the plateau: from u₀ = {row.start:g}, y = w1…w{row.depth}x waits {row.measured:.1f}, "
            f"predicted {row.predicted:.1f}."
        )
    return f"{said} {verdict}"


def half_times(times: pd.DataFrame) -> pd.DataFrame:
    """Of deep networks, in scratch, at the smallest rate."""
    chosen = (times.backend == "scratch") & (times.level == 0.5) & (times.rate == times.rate.min())
    return times[chosen & (times.depth > 1)]
