"""Repaired networks, measured: their gradients before training, and whether they train. And exploding ones, with clipping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from experiments import probes
from experiments.catalog.vanishing_gradient import repair_laws
from experiments.catalog.vanishing_gradient.common import EXAMPLES, compared, gaussian, hidden, joined, looks
from experiments.data import load
from experiments.experiment import Backend, Tables, backends
from experiments.randomness import batches, generator, stack
from scratch import activations, initializers
from scratch.contract import Batch, Job, Snapshot
from scratch.initializers import Scheme
from scratch.layers import Array, Dense, Layer, Residual
from scratch.losses import CrossEntropy, InnerProduct
from scratch.network import Network, Parameters
from scratch.normalization import BatchNorm
from scratch.optimizers import SGD, ClipNorm

BATCH = 60
OPTIMIZER = SGD(0.01, momentum=0.9)
TINY = 1e-30  # an ε of batch norm that is nothing beside any variance here
EXPLODING = 10  # hidden layers of the ReLU networks whose training explodes
FACTOR = 4.0  # times He's variance
LIMIT = 3.0  # to which their gradient's norm is clipped


def body(kind: str, activation: Layer, width: int, depth: int, norm: BatchNorm) -> tuple[Layer, ...]:
    """``depth`` hidden layers of one kind of repair; the first Dense layer is never skipped."""
    if kind == "batch norm":
        return (Dense(width, bias=False), norm, activation) * depth
    if kind == "plain":
        return hidden(activation, width, depth)
    return (Dense(width), *(Residual((activation, Dense(width))),) * (depth - 1), activation)


def damped(parameters: Parameters, factor: float) -> Parameters:
    """Branches h + Wφ(h) made h + αWφ(h): α goes into W, where it makes no other network, only other first weights."""
    return tuple({name: a * factor if name == "1.W" else a for name, a in named.items()} for named in parameters)


# --- before training -------------------------------------------------------------------------------------------------------


def repairs(
    *, kind: str, activation: str, inits: Sequence[str], depth: int, width: int, seeds: int, device: str, dtype: str
) -> Tables:
    """log ‖∂J/∂z_l‖²/‖∂J/∂z_L‖² at every hidden layer l; z is what a Dense layer gives, or the sum after a skip connection.

    Inputs are at right angles to each other and of length √width, or with batch norm of the length that lets layer 1 be like
    the others; the gradient at the top is drawn independently of the network.
    """
    chosen, examples = activations.by_name()[activation](), min(EXAMPLES, width)
    x = np.linalg.qr(generator(0, "examples").standard_normal((width, examples)))[0] * np.sqrt(width)
    if kind == "batch norm":
        x = x * np.sqrt(repair_laws.batch_norm(chosen, examples)[1])
    upstream = generator(0, "upstream").standard_normal((width, examples))
    layers = body(kind, chosen, width, depth, BatchNorm(TINY, affine=False))
    schemes = [initializers.by_name()[init] for init in inits]
    parameters = damped(stack(Network(layers, width), schemes, seeds, dtype), repair_laws.scale(kind, depth))
    job = Job(layers, InnerProduct(), parameters, Batch(x.astype(dtype), upstream.astype(dtype)))
    shots = {name: backend.snapshot(job) for name, backend in backends(device).items()}
    named = {"kind": kind, "activation": activation, "depth": depth, "examples": examples}
    rows = [sizes(job, shot, inits).assign(backend=name, **named) for name, shot in shots.items()]
    condition = f"{activation}, {kind}, depth {depth}"
    return joined([{"repaired": frame} for frame in rows] + [compared(job, shots, "repairs", condition)])


def sizes(job: Job, shot: Snapshot, inits: Sequence[str]) -> pd.DataFrame:
    """Mean and standard error over seeds for each init and layer; networks whose gradient underflows are left out."""
    at = [k for k, layer in enumerate(job.layers) if isinstance(layer, (Dense, Residual))]
    rms = np.array([probes.rms(shot.output_gradients[k]) for k in at])  # (layers, inits, seeds)
    normal = rms > np.finfo(job.data.x.dtype).tiny
    logs = 2 * np.log(np.where(normal, rms, np.nan) / rms[-1])
    frame = probes.rows(logs, {"layer": range(1, len(at) + 1), "init": inits, "seed": range(logs.shape[-1])})
    grouped = frame.groupby(["init", "layer"], sort=False).value
    return pd.DataFrame(
        {"measured": grouped.mean(), "standard_error": grouped.sem(), "seeds": grouped.count()}
    ).reset_index()


# --- training --------------------------------------------------------------------------------------------------------------


def mended(
    *,
    kind: str,
    activation: str,
    inits: Sequence[str],
    depth: int,
    width: int,
    steps: int,
    seeds: int,
    data: str,
    device: str,
    dtype: str,
) -> Tables:
    """Test loss and accuracy of repaired networks of ``depth`` layers; each repair sees the same batches."""
    held, chosen = load(data, dtype), activations.by_name()[activation]()
    layers = (*body(kind, chosen, width, depth - 1, BatchNorm()), Dense(held.classes))
    schemes = [initializers.by_name()[init] for init in inits]
    job = classifying(layers, schemes, steps, seeds, data, dtype, alpha=repair_laws.scale(kind, depth - 1))
    names = [init if kind == "plain" else f"{init}, {kind}" for init in inits]
    return {"training": followed(job, names, "repairs", activation, depth, device)}


def clipping(*, width: int, steps: int, seeds: int, data: str, device: str, dtype: str) -> Tables:
    """ReLU networks with He's variance and with FACTOR times it, each as it is and with its gradient clipped."""
    layers = (*hidden(activations.ReLU(), width, EXPLODING), Dense(load(data, dtype).classes))
    schemes = [gaussian(2.0), gaussian(2.0 * FACTOR)]
    job = classifying(layers, schemes, steps, seeds, data, dtype)
    found: list[Tables] = []
    for clip, said in ((None, ""), (ClipNorm(LIMIT), ", clipped")):
        names = [f"{name}{said}" for name in ("he", f"{FACTOR:g} × he")]
        clipped = replace(job, clip=clip)
        table = followed(clipped, names, "exploding", "relu", EXPLODING + 1, device)
        first = [first_step(clipped, backend, names).assign(backend=n) for n, backend in backends(device).items()]
        found += [{"training": table}, *({"first_steps": frame} for frame in first)]
    return joined(found)


def classifying(
    layers: tuple[Layer, ...],
    schemes: Sequence[Scheme],
    steps: int,
    seeds: int,
    data: str,
    dtype: str,
    *,
    looked_at: int = 10,
    alpha: float = 1.0,
) -> Job:
    """A stack (schemes, seeds) to be trained; the members of one seed see the same batches."""
    held = load(data, dtype)
    parameters = damped(stack(Network(layers, held.features), schemes, seeds, dtype), alpha)
    examples = held.train.x.shape[1]
    order = np.stack([batches(seed, examples, min(BATCH, examples), steps + 1) for seed in range(seeds)], axis=1)
    order = np.repeat(order[:, None], len(schemes), axis=1)
    snapshots = looks(steps, looked_at)
    return Job(layers, CrossEntropy(), parameters, held.train, order, OPTIMIZER, snapshots, {"test": held.test})


def followed(job: Job, names: Sequence[str], part: str, activation: str, depth: int, device: str) -> pd.DataFrame:
    """Loss and accuracy on the test set at every look; a loss that is not a number is infinite, its network at chance."""
    labels = job.evaluate["test"].y
    rows: list[pd.DataFrame] = []
    axes = {"quantity": ["loss", "accuracy"], "step": job.snapshots, "init": names, "seed": range(job.leading[-1])}
    for name, backend in backends(device).items():
        seen = [scored(shot.scores["test"], labels) for shot in backend.train(job)]
        by_quantity = np.stack([np.stack(both) for both in seen], axis=1)  # (quantities, steps, inits, seeds)
        rows.append(probes.rows(by_quantity, axes, part=part, backend=name, activation=activation, depth=depth))
    return pd.concat(rows, ignore_index=True)


def scored(output: Array, labels: Array) -> tuple[Array, Array]:
    loss = CrossEntropy()(output, labels)[0]
    return np.where(np.isnan(loss), np.inf, loss), probes.answered(output, labels)


def first_step(job: Job, backend: Backend, names: Sequence[str]) -> pd.DataFrame:
    """How far the first update moves θ, what it should be, and what rounding may do to it, for each network.

    The step is η·‖g‖ without clipping, η·limit·‖g‖/(‖g‖ + 10⁻⁶) where the norm exceeds the limit.
    """
    assert job.batches is not None
    begin, after = backend.train(replace(job, batches=job.batches[:2], snapshots=(0, 1), evaluate={}))
    flat = [job.network.flatten(p) for p in (begin.parameters, after.parameters, begin.gradients)]
    theta, moved, gradient = (a.astype(np.float64) for a in flat)
    size, rate = np.linalg.norm(gradient, axis=-1), float(OPTIMIZER.base)
    unit = np.finfo(job.data.x.dtype).eps / 2
    rounding = unit * (np.linalg.norm(theta, axis=-1) / (rate * LIMIT) + np.sqrt(gradient.shape[-1]))
    columns = {"gradient": size, "measured": np.linalg.norm(moved - theta, axis=-1) / (rate * LIMIT),
               "predicted": size / (size + 1e-6), "standard_error": rounding}  # fmt: skip
    frame = pd.DataFrame({"init": np.repeat(names, size.shape[-1]), "seed": list(range(size.shape[-1])) * len(names)})
    return frame.assign(**{name: values.reshape(-1) for name, values in columns.items()})
