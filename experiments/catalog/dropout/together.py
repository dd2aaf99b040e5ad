"""Do the two implementations do the same?

At the same parameters under the same masks, wherever a page looks; and after each has trained alone.
"""

from experiments.lab import Cost, Frame, Lab, cells
from .shared import digit_networks


@cells(makes=(), cost=Cost(1.6, 60))
def trajectory(lab: Lab) -> dict[str, Frame]:
    """Both trained alone with the same masks, step by step side by side."""
    job, _ = digit_networks(0.2, 0.5, 100, 32, 30, 2)
    lab.follow(job, "64-32-10 ReLU, keep 0.5, Adam")
    return {}
