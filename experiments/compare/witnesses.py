"""Four witnesses for the gradient of a job: by hand, by autodiff, by complex steps, and PyTorch's.

They share as little as can be: the hand-written backward passes; reverse-mode autodiff of each part's textbook ``formula``;
complex-step differences of the ``forward`` code; autograd of PyTorch's own modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from experiments.compare.agreement import Key, least, quantities, unit_roundoff
from scratch import autodiff, gradcheck, training
from scratch.activations import Identity
from scratch.contract import Batch, Job, Noise
from scratch.layers import Array, Shape
from scratch.network import Parameters, merge

NEARBY = 16  # jobs on which a witness's own rounding is measured: a loss is one number in each
Testimony = dict[Key, Array]  # J, ∂J/∂X and ∂J/∂parameter, each (…, rows, columns)
Witness = Callable[[Job], Testimony]
INPUT = (1, "gradient at output")  # of the Identity that ``observed`` puts first


def observed(job: Job) -> Job:
    """The job with an Identity before its first layer, so that ∂J/∂X shows, and the stack's axes on its data."""
    noise = job.noise
    data = Batch(np.broadcast_to(job.data.x, job.leading + job.data.x.shape[-2:]).copy(), job.data.y)
    return replace(
        job,
        layers=(Identity(), *job.layers),
        parameters=({}, *job.parameters),
        buffers=None if job.buffers is None else ({}, *job.buffers),
        noise=None if noise is None else partial(_shifted, noise),
        data=data,
    )


def _shifted(noise: Noise, step: int) -> Parameters:
    return ({}, *noise(step))


def by_hand(job: Job) -> Testimony:
    return _chosen(job, quantities(training.snapshot(job)))


def by_torch(job: Job, device: str = "cpu") -> Testimony:
    from torchref.training import snapshot

    return _chosen(job, quantities(snapshot(job, device)))


def by_autodiff(job: Job) -> Testimony:
    x = autodiff.Var(job.data.x)
    learned = tuple({name: autodiff.Var(a) for name, a in named.items()} for named in job.parameters)
    given = merge(learned, job.start_buffers(), job.noise_at(0, job.data.x.shape[-1]))  # type: ignore[arg-type]
    value = job.loss.formula(job.network.formula(given, x), job.data.y)
    if job.penalty is not None:
        value = value + job.penalty.formula(learned)
    names = [key for key, _ in _parameters(job.parameters)]
    leaves = [leaf for named in learned for leaf in named.values()]
    found = autodiff.gradient(np.sum(value), [x, *leaves])
    return _testimony(job, value.value, found[0], dict(zip(names, found[1:], strict=True)))


def noise_level(job: Job, generator: Generator) -> Testimony:
    """What rounding does to each quantity, (…), beyond what ``agreement`` knows that it must do to any algorithm.

    The most that any witness shows, in two ways: how far float32 is from float64, scaled to the job's type, on jobs near this
    one, whose numbers float32 holds exactly: terms that cancel, as in a textbook's 1 − σ. And how far it strays in the job's own
    type when its inputs move by about one rounding: gradients that are exactly zero, kinks where rounding decides the branch.
    A complex step is the chain rule in forward order, and rounds as autodiff does.
    """
    unit, single = unit_roundoff(job.data.x.dtype), unit_roundoff(np.dtype(np.float32))
    coarse = cast(_nearby(cast(job, np.float64), 1e-3, generator, (NEARBY,)), np.float32)
    fine = cast(coarse, np.float64)
    seen = []
    for witness in (WITNESSES[name] for name in ("by hand", "autodiff", "torch")):
        exact, close = witness(fine), _repeated(witness, job, 2 * unit, generator)
        seen.append({key: _typical(a - a.mean(0, dtype=np.float64), NEARBY - 1) for key, a in close.items()})
        seen.append({key: unit / single * _typical(a - exact[key], NEARBY) for key, a in witness(coarse).items()})
    return {key: np.max([sizes[key] for sizes in seen], axis=0) for key in seen[0]}


def _typical(apart: Array, freedom: int) -> Array:
    """Root mean square size (…,) of differences (NEARBY, …, rows, columns)."""
    squares = np.sum(np.nan_to_num(apart, posinf=0, neginf=0) ** 2, axis=(0, -2, -1), dtype=np.float64)
    return np.sqrt(squares / freedom) / least(freedom * apart.shape[-2] * apart.shape[-1])


def _repeated(witness: Witness, job: Job, size: float, generator: Generator) -> Testimony:
    """What it says of NEARBY jobs near this one, on a new first axis."""
    if job.leading:
        return witness(_nearby(job, size, generator, (NEARBY,)))
    # one by one: for a network alone PyTorch takes other ways than under vmap, and they round otherwise
    said = [witness(_nearby(job, size, generator)) for _ in range(NEARBY)]
    return {key: np.stack([one[key] for one in said]) for key in said[0]}


def _nearby(job: Job, size: float, generator: Generator, copies: Shape = ()) -> Job:
    """Under new first axes, jobs whose parameters and inputs are this one's, moved relatively by about ``size``."""

    def spread(array: Array) -> Array:
        return np.broadcast_to(array, copies + array.shape)

    def move(array: Array) -> Array:
        return (array * (1 + size * generator.standard_normal(copies + array.shape))).astype(array.dtype)

    parameters = tuple({name: move(a) for name, a in named.items()} for named in job.parameters)
    buffers = tuple({name: spread(a) for name, a in named.items()} for named in job.start_buffers())
    y = spread(job.data.y) if job.data.y.ndim > (1 if job.data.y.dtype.kind in "iu" else 2) else job.data.y
    return replace(job, parameters=parameters, buffers=buffers, data=Batch(move(job.data.x), y))


def cast(job: Job, dtype: Any) -> Job:
    """The job in another floating-point type."""

    def typed(arrays: Parameters) -> Parameters:
        return tuple({name: a.astype(dtype) for name, a in named.items()} for named in arrays)

    y = job.data.y if job.data.y.dtype.kind in "iu" else job.data.y.astype(dtype)
    data = Batch(job.data.x.astype(dtype), y)
    return replace(job, parameters=typed(job.parameters), buffers=typed(job.start_buffers()), data=data)


def by_complex_step(job: Job) -> Testimony:
    theta, x = job.network.flatten(job.parameters)[..., None, :], job.data.x
    dx = gradcheck.complex_step(lambda moved: objective(job, theta, moved), x, analytic=True)
    dtheta = gradcheck.complex_step(lambda moved: objective(job, moved, x), theta, analytic=True)
    value = objective(job, theta + 0j, x + 0j).real
    return _testimony(job, value, dx, dict(_parameters(job.network.views(dtheta[..., 0, :]))))


def objective(job: Job, theta: Array, x: Array) -> Array:
    """J (N, …) by the ``forward`` code at N moved parameters (N, …, 1, P) or inputs (N, …, features, m), real or complex."""
    moved = np.broadcast_shapes(theta.shape[:-2], x.shape[:-2])
    parameters = job.network.views(theta[..., 0, :])
    buffers = tuple(
        {name: np.broadcast_to(a, moved + a.shape[-2:]).astype(np.result_type(theta, x)) for name, a in named.items()}
        for named in job.start_buffers()
    )
    given = merge(parameters, buffers, job.noise_at(0, x.shape[-1]))
    value, _ = job.loss(job.network.predict(given, x), job.data.y)
    return np.broadcast_to(value if job.penalty is None else value + job.penalty(parameters), moved)


WITNESSES: dict[str, Witness] = {
    "by hand": by_hand,
    "autodiff": by_autodiff,
    "complex step": by_complex_step,
    "torch": by_torch,
}


def _parameters(parameters: Parameters) -> Iterator[tuple[Key, Array]]:
    """Every parameter under the key of its gradient."""
    for k, named in enumerate(parameters, 1):
        for name, array in named.items():
            yield (k, "gradient of " + name), array


def _chosen(job: Job, found: list[tuple[Key, Array]]) -> Testimony:
    wanted = {(len(job.layers), "loss"), INPUT} | {key for key, _ in _parameters(job.parameters)}
    return {key: array for key, array in found if key in wanted}


def _testimony(job: Job, value: Array, dx: Array, gradients: Testimony) -> Testimony:
    loss = np.broadcast_to(value, job.leading)[..., None, None]
    return {(len(job.layers), "loss"): loss, INPUT: dx, **gradients}
