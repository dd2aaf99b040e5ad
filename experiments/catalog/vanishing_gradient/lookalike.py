"""Do deep networks still tell two inputs apart?

Layer by layer a ReLU network turns all inputs into one direction.
"""

import numpy as np

from experiments.lab import Array, Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, compare, fan, figure, table
from experiments.lab.figures import COLOURS, key, panels
from scratch import Batch, InnerProduct, Job, Network, Snapshot, activations, initializers
from scratch.randomness import generator, stack
from .repair_laws import correlations
from .shared import FINITE_WIDTH, hidden, moments

STARTS = (-0.9, 0.0, 0.9)  # correlations of the inputs that are followed through ReLU layers
LAYERS = 20


@cells(cost=Cost(0.82, 450))
def alike(lab: Lab, width: int, seeds: int, dtype: str) -> Frame:
    """Correlation of two inputs' outputs after each of twenty ReLU layers, He, for inputs that correlate by ``STARTS``."""
    network, start = Network(hidden(activations.ReLU(), width, LAYERS), width), np.array(STARTS)
    x = np.zeros((width, 1 + len(start)))
    x[0, 0], x[0, 1:], x[1, 1:] = 1, start, np.sqrt(1 - start**2)  # the first, and the others at their angles to it
    x = (np.sqrt(width) * x).astype(dtype)
    upstream = generator(0, "upstream").standard_normal(x.shape).astype(dtype)
    parameters = stack(network, [initializers.he], 4 * seeds, dtype)
    shots = lab.look(Job(network.layers, InnerProduct(), parameters, Batch(x, upstream)), f"width {width}")

    def cosines(shot: Snapshot) -> dict[str, list[Array]]:
        unit = [h[0] / np.linalg.norm(h[0], axis=-2, keepdims=True) for h in shot.outputs[1::2]]
        both = np.array([(u[..., 1:] * u[..., :1]).sum(-2) for u in unit])  # (layers, seeds, starts)
        return {f"{c:g}": list(both[..., k]) for k, c in enumerate(STARTS)}

    found = moments(shots, cosines, width=width)
    return found.assign(start=found.pop("signal").astype(float))


@table
def lookalikes(alike: Frame) -> Frame:
    """1 − c is open by 2.5/n of itself, at any depth: its mean, unlike that of its logarithm, has no term in depth/width."""
    rows = alike[alike.statistic == "mean"]
    known = {start: correlations(start, LAYERS) for start in STARTS}
    predicted = np.array([known[start][depth - 1] for start, depth in zip(rows.start, rows.depth, strict=True)])
    return rows.assign(
        predicted=predicted, dof=rows["count"] - 1, tolerance=FINITE_WIDTH / rows.width * (1 - predicted)
    )


@claims
def one_direction(lookalikes: Frame) -> Claims:
    yield Claim(
        name="all inputs look alike",
        statement="Deep ReLU networks see all inputs in one direction: their correlation c goes to 1, layer by layer as "
        "c → (√(1−c²) + (π − arccos c)c)/π.",
        source="Cho & Saul 2009; Poole 2016; He's weights",
        basis=f"Mean-field map (width → ∞), 1 − c open by {FINITE_WIDTH}/n of itself; Student's t over networks.",
        control="a linear network's map: c stays as it is",
        comparisons=compare(
            lookalikes, "width {width}, c = {start:g}, depth {depth}", control_predicted=lookalikes.start
        ),
    )


@figure("All inputs look alike")
def lookalike(lookalikes: Frame) -> Figure:
    """Correlation of two inputs after every ReLU layer of a network with He's weights, for inputs that begin almost opposite, at
    right angles, or alike: after twenty layers the network sees hardly any difference. Lines are the map of infinite width,
    dashed ones that of a linear network, which keeps every angle.
    """
    figure, (ax,) = panels(["two inputs, ReLU"], width=4.4)
    fan(ax, lookalikes, "start", "c = {:g}", x="depth")
    for index, start in enumerate(sorted(lookalikes.start.unique())):
        ax.axhline(start, color=COLOURS[index], linestyle="--", linewidth=1)
    ax.set(xlabel="layer", ylabel="correlation of the outputs", ylim=(-1, 1.05), xticks=(1, 5, 10, 15, 20))
    return key(figure, [ax])
