"""Random products, linear, narrow and dead networks, the depth scale, exploding gradients, inputs that come to look alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments import probes, theory
from experiments.catalog.vanishing_gradient.common import (
    EXAMPLES,
    exact_job,
    first_examples,
    gaussian,
    growth,
    hidden,
    joined,
    laws,
)
from experiments.experiment import Tables
from experiments.randomness import generator, stack
from scratch import activations, initializers
from scratch.contract import Batch, Job, Snapshot
from scratch.layers import Array, Dense
from scratch.losses import InnerProduct
from scratch.network import Network

STARTS = (-0.9, 0.0, 0.9)  # correlations of the inputs that are followed through ReLU layers
LOOKALIKE = 20  # layers of those networks
SIGMA_B2 = 0.05  # variance of the biases in the study of depth scales, as in Schoenholz 2017


def product(*, depth: int, draws: int, device: str, dtype: str) -> Tables:
    """y = w1 w2 … wn x, w ~ N(0, 1), as a network of width 1: log|y/x| and log|∂y/∂x| at every depth."""
    network = Network(tuple(Dense(1, bias=False) for _ in range(depth)), 1)
    job = exact_job(network, draws, dtype, initializers.lecun)

    def logs(shot: Snapshot) -> dict[str, list[Array]]:
        return {
            "activation": growth(shot.outputs, job.data.x, 0.5),
            "gradient": growth(shot.output_gradients[-2::-1], job.data.y, 0.5),
        }

    return laws("product", "N(0, 1)", job, device, logs)


def linear(*, init: str, draws: int, device: str, dtype: str) -> Tables:
    """Fifty linear layers of width 10: log ‖h_L‖²/‖h₀‖² forward, and the same of the gradient backward."""
    network = Network(tuple(Dense(10, bias=False) for _ in range(50)), 10)
    job = exact_job(network, draws, dtype, initializers.by_name()[init])

    def logs(shot: Snapshot) -> dict[str, list[Array]]:
        return {
            "activation": growth(shot.outputs, job.data.x),
            "gradient": growth(shot.output_gradients[-2::-1], job.data.y),
        }

    return laws("linear", init, job, device, logs)


def narrow(*, draws: int, device: str, dtype: str) -> Tables:
    """Ten ReLU layers of width 10, He: log ‖h_L‖²/‖h₀‖² of the networks that are alive. Forward only: there the law is exact."""
    network = Network(hidden(activations.ReLU(), 10, 10), 10)
    job = exact_job(network, draws, dtype, initializers.he)
    return laws("narrow", "he", job, device, lambda shot: {"activation": growth(shot.outputs[1::2], job.data.x)})


def dead(*, width: int, depth: int, draws: int, device: str, dtype: str) -> Tables:
    """The share of ReLU networks, He, whose last hidden layer gives out nothing but zeros for one input."""
    job = exact_job(Network(hidden(activations.ReLU(), width, depth), width), draws, dtype, initializers.he)

    def share(shot: Snapshot) -> dict[str, list[Array]]:
        silent = [np.all(h == 0, axis=(-2, -1)) for h in shot.outputs[1::2]]
        silent[-1] &= np.all(shot.gradients[0]["W"] == 0, axis=(-2, -1))  # dead: no signal up and no gradient down
        return {"dead": [found.astype(float) for found in silent]}

    return laws("dead", f"width {width}", job, device, share)


def ratio(*, depths: Sequence[int], seeds: int, data: str, device: str, dtype: str) -> Tables:
    """‖∂J/∂W₁‖ under He over that under Xavier, from the same draws and a fixed gradient at the output."""
    batch = first_examples(data, dtype)
    upstream = generator(0, "upstream").standard_normal(batch.x.shape).astype(dtype)
    found: list[Tables] = []
    for depth in depths:
        network = Network((*hidden(activations.ReLU(), len(batch.x), depth - 1), Dense(len(batch.x))), len(batch.x))
        parameters = stack(network, [initializers.he, initializers.xavier], seeds, dtype)
        job = Job(network.layers, InnerProduct(), parameters, Batch(batch.x, upstream))

        def shares(shot: Snapshot, depth: int = depth) -> dict[str, list[Array]]:
            he, xavier = probes.rms(shot.gradients[0]["W"])
            alive = xavier > 0  # in narrow networks some are born dead under both
            return {"weight gradient": [he[alive] / xavier[alive] / 2 ** ((depth - 1) / 2)]}

        found.append(laws("ratio", f"width {len(batch.x)}", job, device, shares, depths=[depth]))
    return joined(found)


def depth_scale(*, sigma_w2: float, width: int, seeds: int, data: str, device: str, dtype: str) -> Tables:
    """Slope per layer of log ‖∂J/∂z‖² in a wide tanh network whose signal starts at its fixed point q*."""
    depth, sigma_b2 = 20, SIGMA_B2
    q, _ = theory.fixed_point(activations.Tanh(), sigma_w2, sigma_b2)
    batch = first_examples(data, dtype)
    batch = batch.columns(np.flatnonzero(batch.x.any(axis=0)))  # what lies at the mean has no length to be scaled
    to_fixed_point = np.sqrt((q - sigma_b2) / sigma_w2 / (batch.x**2).mean(0))  # scales each example
    x = (batch.x * to_fixed_point).astype(dtype)
    upstream = generator(0, "upstream").standard_normal((width, x.shape[1])).astype(dtype)
    network = Network(hidden(activations.Tanh(), width, depth), len(x))
    parameters = stack(
        network,
        [gaussian(sigma_w2)],
        seeds,
        dtype,
        biases=lambda g, shape: g.standard_normal(shape) * np.sqrt(sigma_b2),
    )
    job = Job(network.layers, InnerProduct(), parameters, Batch(x, upstream))

    def slopes(shot: Snapshot) -> dict[str, list[Array]]:
        logs = 2 * np.log([probes.rms(g)[0] for g in shot.output_gradients[::2]])  # (layers, seeds)
        return {"gradient": [-np.polyfit(np.arange(depth), logs, 1)[0]]}

    return laws("depth scale", f"σ_w²={sigma_w2}, width {width}", job, device, slopes, depths=[depth])


def exploding(
    *, factors: Sequence[float], depths: Sequence[int], width: int, seeds: int, device: str, dtype: str
) -> Tables:
    """ReLU networks with so many times He's variance: log ‖∂J/∂z_first‖²/‖∂J/∂z_last‖², and the same draws against He's own.

    "share" is the first layer's gradient over He's, as a share of factor^((L−1)/2).
    """
    draw, found = generator(0, "exploding"), []
    x, upstream = draw.standard_normal((2, width, EXAMPLES)).astype(dtype)
    for depth in depths:
        network = Network(hidden(activations.ReLU(), width, depth), width)
        parameters = stack(network, [gaussian(2 * factor) for factor in (1, *factors)], seeds, dtype)
        job = Job(network.layers, InnerProduct(), parameters, Batch(x, upstream))

        def sizes(shot: Snapshot, depth: int = depth) -> dict[str, list[Array]]:
            first, last = (probes.rms(shot.output_gradients[k]) for k in (0, -2))  # (1 + factors, seeds)
            powers = np.array(factors)[:, None] ** ((depth - 1) / 2)
            logs, shares = 2 * np.log(first / last), first[1:] / first[0] / powers
            grown = {f"{factor:g} × he": [log] for factor, log in zip((1, *factors), logs, strict=True)}
            return grown | {f"{f:g} × he, share": [share] for f, share in zip(factors, shares, strict=True)}

        found.append(laws("exploding", f"width {width}", job, device, sizes, depths=[depth]))
    return joined(found)


def lookalike(*, width: int, seeds: int, device: str, dtype: str) -> Tables:
    """Correlation of two inputs' outputs after each of twenty ReLU layers, He, for inputs that correlate by ``STARTS``."""
    network, start = Network(hidden(activations.ReLU(), width, LOOKALIKE), width), np.array(STARTS)
    x = np.zeros((width, 1 + len(start)))
    x[0, 0], x[0, 1:], x[1, 1:] = 1, start, np.sqrt(1 - start**2)  # the first, and the others at their angles to it
    x = (np.sqrt(width) * x).astype(dtype)
    upstream = generator(0, "upstream").standard_normal(x.shape).astype(dtype)
    parameters = stack(network, [initializers.he], seeds, dtype)
    job = Job(network.layers, InnerProduct(), parameters, Batch(x, upstream))

    def alike(shot: Snapshot) -> dict[str, list[Array]]:
        unit = [h[0] / np.linalg.norm(h[0], axis=-2, keepdims=True) for h in shot.outputs[1::2]]
        cosines = np.array([(u[..., 1:] * u[..., :1]).sum(-2) for u in unit])  # (layers, seeds, starts)
        return {f"c = {c:g}": list(cosines[..., k]) for k, c in enumerate(STARTS)}

    return laws("lookalike", f"width {width}", job, device, alike)
