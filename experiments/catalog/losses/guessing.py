"""What does guessing cost, and what is the least that can be paid?

Without any weights, ln K for K classes; who knows only how frequent the classes are pays their entropy; and of soft answers no
network pays less than theirs.
"""

import numpy as np

import scratch as s
from experiments.data import load
from experiments.lab import Array, Claim, Claims, Cost, Frame, Lab, cells, claims, compare, stacked
from scratch import Batch, Job
from scratch.randomness import generator
from .shared import EXAMPLES, ROUNDING, UNIT, alone, farthest, probabilities, spread


def class_shares(data: str) -> Array:
    counts = np.bincount(load(data).train.y)
    return counts / counts.sum()


@cells(cost=Cost(0.12, 17))
def guessing(lab: Lab) -> Frame:
    """The loss of real networks whose parameters are all zero, and of those whose biases are the logarithms of the class shares."""
    rows = []
    for data in ("digits", "wine", "iris", "breast_cancer"):
        held, p = load(data), class_shares(data)
        binary, examples = held.classes == 2, held.train.x.shape[1]
        batch = Batch(held.train.x, held.train.y[None].astype(float)) if binary else held.train
        log_odds = (np.log(p[1:] / p[0]) if binary else np.log(p))[:, None]
        loss = s.BinaryCrossEntropy() if binary else s.CrossEntropy()
        for kind, bias in {"zero weights": np.zeros_like(log_odds), "class shares": log_odds}.items():
            zero = {"W": np.zeros((len(bias), held.features)), "b": bias}
            job = Job((s.Dense(len(bias)),), loss, (zero,), batch)
            rows += [{"data": data, "classes": held.classes, "kind": kind, "backend": name, "examples": examples,
                      "measured": float(shot.loss)}
                     for name, shot in lab.look(job, f"{data}, {kind}").items()]  # fmt: skip
    return Frame(rows)


@cells(cost=Cost(0.06, 5))
def entropy(lab: Lab, trials: int) -> Frame:
    """Soft targets y: J is the entropy of y where softmax(z) = y, and elsewhere more by the divergence KL(y‖p)."""
    random = generator(0, "entropy")
    y = np.moveaxis(random.dirichlet(np.ones(5), (trials, EXAMPLES)), -1, -2)
    away = np.log(y) + random.standard_normal(y.shape)
    p = probabilities(away)
    least, divergence = -(y * np.log(y)).sum(-2).mean(-1), (y * np.log(y / p)).sum(-2).mean(-1)
    at = alone(lab, s.CrossEntropy(), np.log(y), y, "p = y")
    far = alone(lab, s.CrossEntropy(), away, y, "elsewhere")
    more, error = least + divergence, UNIT * (spread(away).mean(-1) + 1)
    slopes = {name: (shot.output_gradients[0], 0 * y, far[name].output_gradients[0]) for name, shot in at.items()}
    zero = UNIT * y * (spread(np.log(y))[..., None, :] + 1) / EXAMPLES
    found = [
        farthest({name: (shot.loss, least, more) for name, shot in at.items()}, error, what="J where p = y"),
        farthest({name: (shot.loss, more, least) for name, shot in far.items()}, error, what="J elsewhere"),
        farthest(slopes, zero, what="∂J/∂z where p = y"),
    ]
    return stacked(found)


@claims
def of_guessing(guessing: Frame) -> Claims:
    """Rounding: a sum of n numbers, √n·u of it."""
    shares = [class_shares(data) for data in guessing.data]
    entropy, even = np.array([-(p * np.log(p)).sum() for p in shares]), np.log(guessing.classes)
    own, other = np.where(guessing.kind == "class shares", (entropy, even), (even, entropy))
    rounding = UNIT * np.sqrt(guessing.examples) * own
    yield Claim(
        name="guessing",
        statement="With all weights zero the loss is ln K, perplexity K: ln 10 on digits; who knows only the class shares pays their "
        "entropy.",
        source="p = 1/K; Gibbs' inequality",
        basis="Closed forms; √n·u of the loss counts as the standard error.",
        control="the other of the two: on digits they differ by 0.0004",
        comparisons=compare(
            guessing, "{data}, {kind}", predicted=own, control_predicted=other, standard_error=rounding
        ),
    )


@claims
def of_entropy(entropy: Frame) -> Claims:
    yield Claim(
        name="least loss",
        statement="Of soft answers y the least cross-entropy is their entropy, at p = y, where the gradient is 0; elsewhere it is more by "
        "KL(y‖p).",
        source="Gibbs' inequality",
        basis="Entropy and divergence from their own formulas. " + ROUNDING,
        control="the loss at the other of the two places",
        comparisons=compare(entropy, "{what}"),
    )
