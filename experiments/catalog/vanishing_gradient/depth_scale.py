"""How far does a gradient travel in a wide tanh network?

Over a length that weights and biases alone decide: an ordered network forgets, a chaotic one amplifies, by χ₁ a layer.
"""

import numpy as np

from experiments import theory
from experiments.compare import probes
from experiments.lab import Array, Claim, Claims, Cost, Frame, Lab, cells, claims, compare, table
from scratch import Batch, InnerProduct, Job, Network, Snapshot, activations
from scratch.randomness import generator, stack
from .shared import FINITE_WIDTH, MEAN_FIELD, first_examples, gaussian, hidden, moments

DEPTH, SIGMA_B2 = 20, 0.05  # layers; variance of the biases, as in Schoenholz 2017


@cells(lambda options: [{"sigma_w2": 1.3}, {"sigma_w2": 2.5}], cost=Cost(1.2, 550))
def tanh_slopes(lab: Lab, sigma_w2: float, wide: int, seeds: int, data: str, dtype: str) -> Frame:
    """Slope per layer of log ‖∂J/∂z‖² in a wide tanh network whose signal starts at its fixed point q*."""
    q, _ = theory.fixed_point(activations.Tanh(), sigma_w2, SIGMA_B2)
    batch = first_examples(data, dtype)
    batch = batch.columns(np.flatnonzero(batch.x.any(axis=0)))  # what lies at the mean has no length to be scaled
    to_fixed_point = np.sqrt((q - SIGMA_B2) / sigma_w2 / (batch.x**2).mean(0))  # scales each example
    x = (batch.x * to_fixed_point).astype(dtype)
    upstream = generator(0, "upstream").standard_normal((wide, x.shape[1])).astype(dtype)
    network = Network(hidden(activations.Tanh(), wide, DEPTH), len(x))
    biases = gaussian(SIGMA_B2)  # of one input: its variance is σ_b²
    parameters = stack(network, [gaussian(sigma_w2)], min(8, seeds), dtype, biases)
    job = Job(network.layers, InnerProduct(), parameters, Batch(x, upstream))

    def slopes(shot: Snapshot) -> dict[str, list[Array]]:
        logs = 2 * np.log([probes.rms(g)[0] for g in shot.output_gradients[::2]])  # (layers, seeds)
        return {"gradient": [-np.polyfit(np.arange(DEPTH), logs, 1)[0]]}

    shots = lab.look(job, f"σ_w²={sigma_w2}, width {wide}, depth {DEPTH}")
    return moments(shots, slopes, [DEPTH], sigma_w2=sigma_w2, width=wide)


@table
def depth_scale(tanh_slopes: Frame) -> Frame:
    means = tanh_slopes[tanh_slopes.statistic == "mean"]
    chi = [theory.fixed_point(activations.Tanh(), sigma_w2, SIGMA_B2)[1] for sigma_w2 in means.sigma_w2]
    return means.assign(predicted=np.log(chi), control=np.log(means.sigma_w2), dof=means["count"] - 1)


@claims
def scales(depth_scale: Frame) -> Claims:
    for phase, sigma_w2, what in (
        ("ordered", 1.3, "changes by ln χ₁ < 0 a layer on its way down."),
        ("chaotic", 2.5, "grows by ln χ₁ > 0 a layer on its way down, it explodes."),
    ):
        rows = depth_scale[depth_scale.sigma_w2 == sigma_w2]
        said = "σ_w²={sigma_w2}, width {width}, {signal}, depth {depth}"
        yield Claim(
            name=f"depth scale, {phase}",
            statement=f"Tanh with σ_w² = {sigma_w2}, σ_b² = 0.05: log ‖gradient‖² {what}",
            source="Schoenholz 2017, χ₁ at the fixed point q* of Poole 2016",
            basis=MEAN_FIELD,
            control="ln σ_w²: the weights without the slope of tanh",
            comparisons=compare(rows, said, control_predicted=rows.control, tolerance=FINITE_WIDTH / rows.width),
        )
