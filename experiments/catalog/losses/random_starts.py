"""How much is there to learn from when the random weights are large?

Every example is then surely right or surely wrong. By cross-entropy the wrong half teaches with full strength, by squared error
hardly an example does.
"""

from functools import lru_cache

import numpy as np

import scratch as s
from experiments.data import load
from experiments.lab import (
    Claim,
    Cost,
    Lab,
    cells,
    claims,
    compare,
    each,
    figure,
    logarithmic,
    over_seeds,
    stacked,
    table,
)
from experiments.lab.figures import facets, ticks
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Batch, Job, Snapshot
from scratch.network import Parameters
from scratch.randomness import generator
from . import laws
from .shared import BINARY, OTHER


@cells(each(scale="scales"), cost=Cost(0.1, 40))
def start_signals(lab: Lab, scale: float, starts: int) -> Frame:
    """Logistic regression on breast_cancer, W ~ N(0, scale²/n): the mean square over the examples of n·∂J/∂z, for every start."""
    held, found = load("breast_cancer"), []
    batch = Batch(held.train.x, held.train.y[None].astype(float))
    draws = generator(0, "starts", str(scale)).standard_normal((starts, 1, held.features))
    weights = draws * scale / np.sqrt(held.features)

    def squares(shot: Snapshot) -> Array:
        return ((batch.x.shape[1] * shot.output_gradients[0]) ** 2).mean((-2, -1))

    for loss, (own, last) in BINARY.items():
        start: Parameters = ({"W": weights}, *({} for _ in last))
        job = Job((s.Dense(1, bias=False), *last), own, start, batch)
        shots = lab.look(job, f"{loss}, scale {scale}")
        found.append(lab.rows(shots, squares, {"seed": range(starts)}, loss=loss))
    return stacked(found)


@lru_cache
def random_signal(loss: str, scale: float) -> float:
    """E (n·∂J/∂z)² of logistic regression on breast_cancer with W ~ N(0, scale²/n): each z_i is N(0, scale²‖x_i‖²/n) exactly.

    By symmetry it does not matter which answer is right.
    """
    x = load("breast_cancer").train.x
    t = np.linspace(-9, 9, 6001)
    density = np.exp(-t * t / 2)
    deviations = scale * np.sqrt((x * x).mean(0))
    with np.errstate(over="ignore"):
        return float(np.mean([laws.slope(loss, one * t) ** 2 @ density / density.sum() for one in deviations]))


@table
def random_starts(start_signals: Frame) -> Frame:
    """Mean over the starts, its error, and the expectation."""
    means = over_seeds(start_signals, ["loss", "backend", "scale"]).drop(columns="seeds")
    return means.assign(predicted=list(map(random_signal, means.loss, means.scale)))


@claims
def of_starts(random_starts: Frame) -> Claims:
    crossed = list(map(random_signal, random_starts.loss.map(OTHER), random_starts.scale))
    yield Claim(
        name="signal of random starts",
        statement="The larger the random weights of logistic regression, the less of squared error's signal is left: only examples "
        "near z = 0 send any. Cross-entropy's tends to ½: every wrong answer sends all of it.",
        source="z is exactly normal over random weights",
        basis="E (n·∂J/∂z)² by quadrature on breast_cancer; Student's t over the starts.",
        control="the other loss's expectation",
        comparisons=compare(random_starts, "{loss}, scale {scale}", control_predicted=crossed),
    )


@figure("Random starts")
def starts(random_starts: Frame) -> Figure:
    """Logistic regression on breast_cancer with normal random weights: the mean square of the examples' learning signals, over the
    scale of the weights. With large weights every example is surely right or surely wrong; by cross-entropy the wrong half
    teaches with full strength, by squared error only the few near z = 0 teach at all. The lines are the exact expectation.
    """
    figure = facets(
        random_starts,
        x="scale",
        colour="loss",
        title="before the first step",
        xlabel="scale of the random weights, √(n·Var W)",
        ylabel="mean square of n·∂J/∂z",
        xscale="log",
        yscale="log",
        size={"width": 4.2},
    )
    ax = figure.axes[0]
    ticks(ax.xaxis, sorted(set(random_starts.scale)))
    logarithmic(ax.yaxis, random_starts.measured)
    return figure
