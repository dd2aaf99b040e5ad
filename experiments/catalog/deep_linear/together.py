"""Do the two implementations stay together while they train?

Each trains alone, from balanced and from Gaussian weights, and every parameter is compared along the way.
"""

import numpy as np

from experiments.lab import Cost, Frame, Lab, cells, each
from scratch.randomness import generator
from .shared import EXAMPLES, INPUTS, balanced, job, whitened

STEPS = 100


@cells(each(depth="depths"), makes=(), cost=Cost(1.5, 40))
def trajectory(lab: Lab, depth: int) -> dict[str, Frame]:
    """How far the implementations drift apart, each training alone: two balanced networks and two from Gaussian weights."""
    _, weights, target = balanced((2.0, 1.0), 0.1, depth, 2)
    shapes = [w.shape for w in weights]
    drawn = [generator(0, "drift", k).standard_normal(shape) / np.sqrt(shape[-1]) for k, shape in enumerate(shapes)]
    x = whitened(INPUTS, EXAMPLES)
    both = [np.concatenate(pair) for pair in zip(weights, drawn, strict=True)]
    looks = range(0, STEPS + 1, STEPS // 5)
    work = job(both, x, np.concatenate([target, target]) @ x, 0.02, STEPS, looks, identity=True)
    lab.follow(work, f"{depth} linear layers, balanced and Gaussian")
    return {}
