"""Born dead: how often does a narrow deep ReLU network pass no signal at all?

Its gradient is then exactly 0, and nothing will ever be learned from that input.
"""

import numpy as np

from experiments import theory
from experiments.lab import Array, Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, compare, figure, table
from experiments.lab.figures import facets
from scratch import Network, Snapshot, activations, initializers
from .shared import exact_job, hidden, moments


@cells(lambda options: [{"width": n, "depth": depth} for n, depth in ((2, 3), (3, 5), (5, 20))], cost=Cost(1.2, 560))
def dead(lab: Lab, width: int, depth: int, draws: int, dtype: str) -> Frame:
    """The share of ReLU networks, He, whose last hidden layer gives out nothing but zeros for one input."""
    job = exact_job(Network(hidden(activations.ReLU(), width, depth), width), draws, dtype, initializers.he)

    def share(shot: Snapshot) -> dict[str, list[Array]]:
        silent = [np.all(h == 0, axis=(-2, -1)) for h in shot.outputs[1::2]]
        silent[-1] &= np.all(shot.gradients[0]["W"] == 0, axis=(-2, -1))  # dead: no signal up and no gradient down
        return {"dead": [found.astype(float) for found in silent]}

    return moments(lab.look(job, f"width {width}"), share, width=width)


@table
def deaths(dead: Frame) -> Frame:
    """With the binomial error of the predicted share: a sample's own would be 0 where none died."""
    means = dead[dead.statistic == "mean"]
    share = theory.born_dead(means.width, means.depth)
    return means.assign(predicted=share, standard_error=np.sqrt(share * (1 - share) / means["count"]))


@claims
def law(deaths: Frame) -> Claims:
    yield Claim(
        name="born dead",
        statement="Narrow deep ReLU networks are born dead, for one input, with probability 1 − (1 − 2⁻ⁿ)^L: gradient exactly 0.",
        source="derived: a layer is dead if n signs are negative",
        basis="Exact law; binomial standard error.",
        control="one layer's 2⁻ⁿ, whatever the depth",
        comparisons=compare(deaths, "width {width}, dead, depth {depth}", control_predicted=0.5**deaths.width),
    )


@figure("Born dead")
def born_dead(deaths: Frame) -> Figure:
    """The share of narrow ReLU networks through which no signal of one input passes: their gradient is 0, it teaches them nothing."""
    return facets(
        deaths.assign(network="width " + deaths.width.astype(str)),
        x="depth",
        colour="network",
        title="Born dead",
        xlabel="hidden layers",
        ylabel="share of networks that are dead",
        ylim=(0, None),
        size={"width": 4.0},
    )
