"""What does a network learn through which no signal passes?

The bias of its output, from the classes' shares: all weights 0, or born dead for all of the data.
"""

from collections.abc import Iterable
from functools import partial

import numpy as np

from experiments.lab import Array, Claim, Claims, Cost, Frame, Lab, cells, claims, compare, matched, stacked, table
from scratch import SGD, CrossEntropy, Dense, Job, Layer, Network, ReLU, Snapshot, Tanh, initializers
from scratch.randomness import generator
from .shared import UNIT, first_digits, hidden, measured

NARROW = (2, 10)  # width and hidden layers of the ReLU networks of which many are born dead
EXAMPLES, RATE = 80, 0.1


def silent_job(start: str, seeds: int, steps: int, data: str) -> Job:
    """Full-batch descent from all weights 0 (tanh), or from He's in networks so narrow that many are dead."""
    batch, classes = first_digits(data, EXAMPLES)
    layers: tuple[Layer, ...] = (*hidden(Tanh(), (8, 8), bias=True), Dense(classes))
    scheme = initializers.zeros
    if start == "narrow":
        layers, scheme = (*hidden(ReLU(), (NARROW[0],) * NARROW[1], bias=True), Dense(classes)), initializers.he
    network = Network(layers, len(batch.x))
    parameters = network.initialize(scheme, partial(generator, 0, start), leading=(seeds,))
    order = np.tile(np.arange(batch.x.shape[1]), (steps + 1, 1))
    looks = tuple(range(0, steps + 1, max(1, steps // 4)))
    return Job(layers, CrossEntropy(), parameters, batch, order, SGD(RATE), looks)


@cells(
    lambda options: [{"start": "zeros", "seeds": 2}, {"start": "narrow", "seeds": options.silent_seeds}],
    cost=Cost(3.1, 160),
)
def silent_runs(lab: Lab, start: str, seeds: int, silent_steps: int, data: str) -> Frame:
    """Of each network: whether it is dead for all of the data, how far anything but the output's bias has moved, its loss."""
    job = silent_job(start, seeds, silent_steps, data)
    lab.look(job, start)

    def seen(looks: Iterable[Snapshot]) -> dict[str, Array]:
        shots = list(looks)
        outputs = job.network.widths[-1]  # whose bias comes last in θ
        others = np.array([job.network.flatten(shot.parameters)[..., :-outputs] for shot in shots])
        return {
            "silent": np.all(shots[0].outputs[-2] == 0, axis=(-2, -1)),
            "moved": abs(others[1:] - others[0]).max(-1),
            "loss": np.array([shot.loss for shot in shots[1:]]),
        }

    return measured(lab, lab.train(job), seen, {"step": job.snapshots[1:], "seed": range(seeds)})


def bias_alone(labels: Array, classes: int, rate: float, steps: int) -> Array:
    """Cross-entropy at each step of a network that sees nothing of x: descent on its output bias, c ← c − η(softmax(c) − f).

    f: the classes' shares. The loss falls to their entropy, what guessing gives.
    """
    share = np.bincount(labels, minlength=classes) / len(labels)
    c, found = np.zeros(classes), []
    for _ in range(steps + 1):
        log_p = c - c.max() - np.log(np.exp(c - c.max()).sum())
        found.append(-float(share @ log_p))
        c = c - rate * (np.exp(log_p) - share)
    return np.array(found)


@table
def silenced(silent_runs: Frame, silent_steps: int, data: str) -> Frame:
    """With the loss that a lone output bias reaches."""
    batch, classes = first_digits(data, EXAMPLES)
    alone = bias_alone(batch.y, classes, RATE, silent_steps)
    return silent_runs.assign(predicted=alone[silent_runs.step])


@claims
def only_the_bias(silenced: Frame) -> Claims:
    """Of all silent networks the worst; as their control, the one of those alive that comes nearest."""
    by, rows = ["backend", "step"], silenced.assign(off=abs(silenced.loss - silenced.predicted))
    silent, alive = (rows[rows.silent == dead].sort_values("off") for dead in (True, False))
    worst = silent.groupby(["start", *by]).tail(1)
    moved = silent.groupby(["start", *by]).moved.max().reset_index()
    reached = alive.groupby(by).tail(1)
    loss = compare(
        worst,
        "{start}, loss at step {step}",
        measured=worst.loss,
        standard_error=10 * UNIT * worst.predicted * np.sqrt(worst.step),
        control_measured=matched(worst, reached, by).loss,
    )
    still = compare(
        moved,
        "{start}, all else at step {step}",
        measured=moved.moved,
        predicted=0.0,
        standard_error=UNIT,
        control_measured=matched(moved, reached, by).moved,
    )
    yield Claim(
        "only the output's bias learns",
        "All weights 0, or born dead for all of the data: no other parameter ever moves, and the loss is that of a bias alone.",
        "derived: no signal up, no gradient down; the bias learns the classes' shares",
        "Exactly 0; and the recursion c ← c − η(softmax(c) − f), to rounding. The worst of all such networks.",
        "narrow networks that are alive",
        stacked([loss, still]),
    )
