"""Do the two implementations do the same?

At the same parameters under the same masks, wherever a page looks; and after each has trained alone.
"""

from __future__ import annotations

from experiments.catalog.dropout.shared import digit_networks
from experiments.lab import Cost, Lab, cells
from experiments.lab.types import Frame


@cells(makes=(), cost=Cost(1.6, 60))
def trajectory(lab: Lab) -> dict[str, Frame]:
    """Both trained alone with the same masks, step by step side by side."""
    job, _ = digit_networks(0.2, 0.5, 100, 32, 30, 2)
    lab.follow(job, "64-32-10 ReLU, keep 0.5, Adam")
    return {}
