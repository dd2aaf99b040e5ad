"""How large a learning rate may be: without batch norm 2/λ, with it whatever one likes, as weights outgrow it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments import data, probes, randomness
from experiments.catalog.batch_norm.common import BATCH, TINY, layered, lively, norms, single, spread
from experiments.experiment import Backend, Tables, backends
from experiments.randomness import generator
from scratch import initializers
from scratch.activations import ReLU
from scratch.contract import Batch, Job
from scratch.layers import Array, Dense, Layer
from scratch.losses import CrossEntropy, SquaredError
from scratch.network import Network
from scratch.normalization import BatchNorm
from scratch.optimizers import SGD, Rates

INPUTS, EXAMPLES = 6, 32  # of the linear unit whose largest rate is looked for
MEANS = (0.0, 1.0, 3.0)  # of its inputs, whose variance is 1: the farther from 0, the steeper is one direction
BRACKET = (-3.0, 2.0)  # powers of ten between which it is
CLOSING = (4, 60)  # rates that are tried side by side, and the steps after which the loss grows or falls
GAINED = 1e-9  # relative; rounding of the loss is 1e-15, a rate 0.1 % above the largest gains 0.1 % and more
POWERS = 40  # rounds of power iteration: what is left of the second eigenvalue, 0.8 of the first at mean 0, is 1e-8
NOISY = (8, 32)  # inputs and examples a batch of the unit that is fed nothing but noise
WIDTH, DEPTH = 32, 3  # of the networks that learn the digits at many rates


def fixed(norm: str) -> tuple[Layer, ...]:
    """Batch norm without γ and β, which are not free of scale."""
    return (BatchNorm(TINY, affine=False),) if norm == "batch" else ()


# --- the largest rate of a linear unit -------------------------------------------------------------------------------------


def regression(seeds: int) -> Batch:
    """Inputs around each of the means, and targets of mean 0 and variance 1, the same for all of them: (M, S, 1, …, m)."""
    random = [generator(seed, "regression") for seed in range(seeds)]
    x = np.stack([r.standard_normal((1, INPUTS, EXAMPLES)) for r in random])
    y = np.stack([r.standard_normal((1, 1, INPUTS)) for r in random]) @ x
    y += np.stack([r.standard_normal((1, 1, EXAMPLES)) for r in random])
    y = (y - y.mean(-1, keepdims=True)) / y.std(-1, keepdims=True)
    return Batch(np.stack([mean + x for mean in MEANS]), np.stack([y] * len(MEANS)))


def sharpness(backend: Backend, batch: Batch) -> Array:
    """λ (M, S): the largest eigenvalue of the Hessian of mean (wx − y)², by power iteration on differences of gradients."""
    v = np.ones((*batch.x.shape[:3], 1, INPUTS))

    def gradient(w: Array) -> Array:
        return backend.snapshot(Job((Dense(1, bias=False),), SquaredError(), ({"W": w},), batch)).gradients[0]["W"]

    zero = gradient(0 * v)
    for _ in range(POWERS):
        v = gradient(v) - zero
        v = v / np.linalg.norm(v, axis=-1, keepdims=True)
    return ((gradient(v) - zero) * v).sum(-1)[..., 0, 0]


def threshold(*, seeds: int, rounds: int, device: str) -> Tables:
    """Between which two rates gradient descent begins to diverge, and λ: M×S linear units, several rates a round side by side.

    It diverges if the last step adds to the loss, and more than rounding does. Where no rate does, the largest is given.
    """
    batch, rows, (tried, steps) = regression(seeds), [], CLOSING
    start = np.stack([generator(seed, "start").standard_normal((1, 1, INPUTS)) for seed in range(seeds)])
    weights = np.broadcast_to(start, (len(MEANS), seeds, tried, 1, INPUTS)).copy()
    order = np.tile(np.arange(EXAMPLES), (steps + 1, 1))
    for name, backend in backends(device).items():
        steepest = sharpness(backend, batch)
        for norm in ("none", "batch"):
            layers = (Dense(1, bias=False), *fixed(norm))
            given = ({"W": weights}, *({},) * (len(layers) - 1))
            low, high = (np.full(steepest.shape, power) for power in BRACKET)
            for _ in range(rounds):
                grid = np.linspace(low, high, tried + 2, axis=-1)  # (M, S, tried + 2)
                optimizer = SGD(nested(10 ** grid[..., 1:-1]))
                job = Job(layers, SquaredError(), given, batch, order, optimizer, (steps - 1, steps))
                before, last = (shot.loss for shot in backend.train(job))
                diverged = ~(last <= before * (1 + GAINED))  # overflow counts
                where = np.where(diverged.any(-1), diverged.argmax(-1), tried)[..., None]
                low, high = (np.take_along_axis(grid, where + k, -1)[..., 0] for k in (0, 1))
            found = probes.rows(steepest, {"mean": MEANS, "seed": range(seeds)}, backend=name, norm=norm)
            ends = {"low": 10 ** low.reshape(-1), "high": 10 ** high.reshape(-1)}
            rows.append(found.rename(columns={"value": "sharpness"}).assign(**ends))
    return {"threshold": pd.concat(rows, ignore_index=True)}


def nested(rates: Array) -> Rates:
    """An array of rates as the tuples of tuples that an optimizer takes."""
    return float(rates) if rates.ndim == 0 else tuple(nested(each) for each in rates)


# --- weights outgrow the rate ----------------------------------------------------------------------------------------------


def limited(*, rates: list[float], seeds: int, device: str) -> Tables:
    """One step at many rates: what is left of the rate for each unit, η/‖w‖² after it in units of 1/(2‖w‖‖g‖) before.

    ``push`` η‖g‖/‖w‖; ``error`` in units of u: rounding of the weights, and of w·∂L/∂w, which is to be 0.
    """
    held, rows = data.load("digits").train, []
    batches = randomness.batches(0, held.x.shape[1], BATCH, 2)
    eta, sums = np.array(rates)[:, None, None], np.sqrt(held.x.shape[0] + BATCH)
    for norm, name in [(norm, name) for norm in ("batch", "none") for name in backends(device)]:
        layers = layered(BatchNorm(TINY) if norm == "batch" else None)
        weights = spread(lively(single(Network(layers, 64), initializers.lecun, seeds)), (len(rates),))
        optimizer = SGD(tuple((rate,) * seeds for rate in rates))
        job = Job(layers, CrossEntropy(), weights, held, batches, optimizer, (0, 1))
        before, after = (norms(held.x[:, batches[shot.step]], shot) for shot in backends(device)[name].train(job))
        push = eta * before["dw"] / before["w"]
        share = 2 * eta * before["dw"] * before["w"] / after["w"] ** 2
        error = share * (8 + 2 * eta * sums * before["size"] / after["w"] ** 2)
        found = {"push": push, "share": share, "error": error}
        axes = {"rate": rates, "seed": range(seeds), "unit": range(push.shape[-1])}
        index = pd.MultiIndex.from_product(axes.values(), names=axes)
        flat = {k: v.reshape(-1) for k, v in found.items()}
        rows.append(pd.DataFrame(flat, index).reset_index().assign(backend=name, norm=norm))
    return {"limited": pd.concat(rows, ignore_index=True)}


def tuned(*, rates: list[float], steps: int, chains: int, device: str) -> Tables:
    """‖w‖⁴ of a unit that is fed noise, inputs and targets fresh at every step: its gradient never ends, and is alike for ever.

    ``chains`` units with draws of their own, the same for every rate.
    """
    inputs, examples = NOISY
    looks = tuple(sorted({0, *np.unique(np.geomspace(1, steps, 13).round().astype(int)).tolist()}))
    count = (steps + 1) * chains * examples
    random = generator(0, "noise")
    fed = Batch(random.standard_normal((inputs, count)), random.standard_normal((1, count)))
    order = np.arange(count).reshape(steps + 1, chains, examples)
    start = generator(0, "start").standard_normal((chains, 1, inputs))
    start /= np.linalg.norm(start, axis=-1, keepdims=True)
    rows = []
    for norm in ("batch", "none"):
        layers = (Dense(1, bias=False), *fixed(norm))
        weights = ({"W": start}, *({},) * (len(layers) - 1))
        for rate, (name, backend) in [(rate, pair) for rate in rates for pair in backends(device).items()]:
            for shot in backend.train(Job(layers, SquaredError(), weights, fed, order, SGD(rate), looks)):
                fourth = (shot.parameters[0]["W"] ** 2).sum((-2, -1)) ** 2
                named = {"backend": name, "norm": norm, "rate": rate, "step": shot.step, "chains": chains}
                error = fourth.std(ddof=1) / np.sqrt(chains)
                rows.append({**named, "fourth": fourth.mean(), "fourth_error": error})
    return {"tuned": pd.DataFrame(rows)}


# --- digits at many rates --------------------------------------------------------------------------------------------------


def learner(kind: str) -> tuple[Layer, ...]:
    """``none``; ``hidden``: batch norm below every ReLU, with γ and β, as usual; ``everywhere``: over every layer, weights alone."""
    if kind == "none":
        return (*(Dense(WIDTH), ReLU()) * DEPTH, Dense(10))
    if kind == "hidden":
        return (*(Dense(WIDTH, bias=False), BatchNorm(), ReLU()) * DEPTH, Dense(10))
    norm = BatchNorm(affine=False)
    return (*(Dense(WIDTH, bias=False), norm, ReLU()) * DEPTH, Dense(10, bias=False), norm)


def span(*, kind: str, backend: str, rates: list[float], steps: int, seeds: int, device: str) -> Tables:
    """Share of the test digits right and loss after some steps at each rate; the same weights and batches at all of them."""
    held, layers = data.load("digits"), learner(kind)
    examples = held.train.x.shape[1]
    order = np.stack([randomness.batches(seed, examples, BATCH, steps + 1) for seed in range(seeds)], axis=1)
    weights = spread(single(Network(layers, held.features), initializers.he, seeds), (len(rates),))
    shared = np.broadcast_to(order[:, None], (steps + 1, len(rates), *order.shape[1:]))
    optimizer = SGD(tuple((rate,) * seeds for rate in rates))
    evaluate = {"test": held.test}
    job = Job(layers, CrossEntropy(), weights, held.train, shared, optimizer, (steps,), evaluate)
    (shot,) = backends(device)[backend].train(job)
    right = probes.answered(shot.scores["test"], held.test.y)
    axes = {"rate": rates, "seed": range(seeds)}
    return {"span": probes.rows(right, axes, backend=backend, kind=kind)}
