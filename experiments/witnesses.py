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

from experiments.agreement import Key, least, quantities, unit_roundoff
from scratch import autodiff, gradcheck, training
from scratch.contract import Batch, Job, Noise
from scratch.activations import Identity
from scratch.layers import Array
from scratch.network import Parameters, merge

NEARBY = 3  # jobs on which a witness's own rounding is measured
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
    if job.penalty:
        value = value + job.penalty.formula(learned)
    names = [key for key, _ in _parameters(job.parameters)]
    leaves = [leaf for named in learned for leaf in named.values()]
    found = autodiff.gradient(np.sum(value), [x, *leaves])
    return _testimony(job, value.value, found[0], dict(zip(names, found[1:], strict=True)))


def noise_level(job: Job, generator: Generator) -> Testimony:
    """What rounding does to each quantity, (…): what float32 is seen to do, scaled to the job's type.

    ``agreement`` knows what rounding must do to any algorithm. Where terms cancel, in a textbook's formula or exactly, as the
    gradient of a bias before a batch norm does, it may do more: the most that any witness shows, on jobs near this one,
    whose numbers float32 holds exactly. A complex step is the chain rule in forward order, and rounds as autodiff does.
    """
    scale = unit_roundoff(job.data.x.dtype) / unit_roundoff(np.dtype(np.float32))
    squares: dict[str, Testimony] = {name: {} for name in ("by hand", "autodiff", "torch")}
    for _ in range(NEARBY):
        near = _cast(_moved(_cast(job, np.float64), 1e-3, generator), np.float32)
        wide = _cast(near, np.float64)
        for name, total in squares.items():
            coarse, fine = WITNESSES[name](near), WITNESSES[name](wide)
            for key, exact in fine.items():
                apart = np.linalg.norm(np.nan_to_num(coarse[key] - exact, posinf=0, neginf=0), axis=(-2, -1))
                typical = scale * apart / least(NEARBY * exact.shape[-2] * exact.shape[-1])
                total[key] = total.get(key, 0.0) + typical**2 / NEARBY
    return {key: np.sqrt(np.max([total[key] for total in squares.values()], axis=0)) for key in squares["by hand"]}


def _moved(job: Job, size: float, generator: Generator) -> Job:
    """The job with its parameters and inputs moved relatively by about ``size``."""

    def move(array: Array) -> Array:
        return array * (1 + size * generator.standard_normal(array.shape))

    parameters = tuple({name: move(a) for name, a in named.items()} for named in job.parameters)
    return replace(job, parameters=parameters, data=Batch(move(job.data.x), job.data.y))


def _cast(job: Job, dtype: Any) -> Job:
    """The job in another floating-point type."""

    def cast(arrays: Parameters) -> Parameters:
        return tuple({name: a.astype(dtype) for name, a in named.items()} for named in arrays)

    y = job.data.y if job.data.y.dtype.kind in "iu" else job.data.y.astype(dtype)
    data = Batch(job.data.x.astype(dtype), y)
    return replace(job, parameters=cast(job.parameters), buffers=cast(job.start_buffers()), data=data)


def by_complex_step(job: Job) -> Testimony:
    theta, x = job.network.flatten(job.parameters)[..., None, :], job.data.x
    dx = gradcheck.complex_step(lambda moved: objective(job, theta, moved), x)
    dtheta = gradcheck.complex_step(lambda moved: objective(job, moved, x), theta)
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
    return np.broadcast_to(value + job.penalty(parameters) if job.penalty else value, moved)


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
