"""Range and small steps: gradients that fp16 loses and loss scaling saves, updates that bf16 weights do not feel, training with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import scratch as s
from experiments import agreement, probes
from experiments.catalog.precision import arithmetic, native
from experiments.catalog.precision.arithmetic import Scaled
from experiments.catalog.precision.depth import model, nets, relative, seen, signals
from experiments.catalog.precision.formats import (
    BF16,
    FLOAT32,
    FLOAT64,
    FORMATS,
    Format,
    defined,
    rounded,
    spacing,
    stochastic,
)
from experiments.data import load
from experiments.experiment import Tables, backends
from experiments.randomness import batches, generator, stack
from scratch.contract import Batch, Job, Snapshot
from scratch.initializers import lecun
from scratch.layers import Array
from scratch.network import Network, Parameters
from scratch.optimizers import Memory, Rate
from torchref.optimizers import twin

HIDDEN, BATCH = 32, 60
SMALL = 0.3  # of LeCun's weights: every layer divides the gradient by about three, and tanh is all but linear
ROOM = 2.0**4  # how far below fp16's largest number a scale leaves the largest gradient
LOSSES = {"fp16": 1.0, "fp16, scaled": None, "bf16": 1.0}


# --- gradients out of range -------------------------------------------------------------------------------------------------


def underflow(*, depth: int, width: int, seeds: int, shadows: int, device: str) -> Tables:
    """Networks of small weights: the share of ∂J/∂z that is 0 at every layer, and its relative error, in fp16, with a scaled loss, bf16.

    "flushed" is that share as float64's gradients predict it: those of at most half the smallest subnormal number. What comes from
    above has been rounded already, to multiples of that number; "near": the share that this may push over the threshold.
    """
    made, rows = nets(depth, width, seeds, gain=SMALL), []
    truth = signals(*seen(made.job(FLOAT64)))
    for name, given in LOSSES.items():
        to = FORMATS[name.split(",")[0]]
        scale = scale_for(truth["gradient"], to) if given is None else given
        loss = Scaled(scale=scale)
        lifted = {key: [a if key == "activation" else a * scale for a in arrays] for key, arrays in truth.items()}
        job, expected = made.job(to, loss), model(made, to, lifted, shadows, scale).query("signal == 'gradient'")
        for backend, side in backends(device).items():
            found = signals(job, side.snapshot(job))["gradient"]
            rows.append(pd.concat(_lost(found, lifted["gradient"], to)).merge(expected, how="left")
                        .assign(backend=backend, format=name, scale=scale))  # fmt: skip
    return {"underflow": pd.concat(rows, ignore_index=True)}


def scale_for(gradients: list[Array], to: Format) -> float:
    """The power of two that lifts the largest gradient to 1/ROOM of the largest number."""
    most = max(float(np.abs(g).max()) for g in gradients)
    return float(2.0 ** np.floor(np.log2(to.largest / ROOM / most)))


def _lost(found: list[Array], exact: list[Array], to: Format) -> list[pd.DataFrame]:
    return [
        pd.DataFrame({
            "layer": layer,
            "seed": range(len(a)),
            "zero": (a == 0).mean((-1, -2)),
            "flushed": (np.abs(b) <= to.smallest / 2).mean((-1, -2)),
            "near": (np.abs(np.abs(b) / to.smallest - 0.5) <= SMALL / np.sqrt(12)).mean((-1, -2)),
            "abrupt": (np.abs(b) < 2.0**to.lowest).mean((-1, -2)),  # were there no subnormal numbers
            "numbers": a.shape[-1] * a.shape[-2],
            "measured": relative(a, b),
            "size": probes.rms(b),
        })
        for layer, (a, b) in enumerate(zip(found, exact, strict=True), 1)
    ]  # fmt: skip


# --- weights that are kept in a short format --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept(s.SGD):
    """θ ← bf16(θ − ηg): the weights themselves are bf16, rounded to nearest or, with the right probability, either way."""

    mode: str = "nearest"

    def start(self, theta: Array) -> Memory:
        return super().start(theta) | {"random": generator(0, "kept", "scratch")}

    def descend(self, theta: Array, gradient: Array, memory: Memory, rate: Rate) -> None:
        super().descend(theta, gradient, memory, rate)
        theta[...] = rounded(theta, BF16) if self.mode == "nearest" else stochastic(theta, BF16, memory["random"])


@twin.register
def _(optimizer: Kept, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    assert isinstance(optimizer.learning_rate, float)
    return (KeptNearest if optimizer.mode == "nearest" else KeptAtRandom)(list(tensors), optimizer.learning_rate)


class KeptNearest(torch.optim.SGD):
    """PyTorch's SGD on bfloat16 tensors; the float32 ones that the network reads are copies."""

    def __init__(self, tensors: list[Tensor], rate: float) -> None:
        super().__init__(tensors, rate)
        self.short = [t.detach().bfloat16() for t in tensors]
        self.inside = torch.optim.SGD(self.short, rate)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for short, tensor in zip(self.short, self.param_groups[0]["params"], strict=True):
            short.grad = None if tensor.grad is None else tensor.grad.bfloat16()
        self.inside.step()
        for short, tensor in zip(self.short, self.param_groups[0]["params"], strict=True):
            tensor.copy_(short)


class KeptAtRandom(torch.optim.SGD):
    """PyTorch's SGD in float32, then rounding at random on the bits."""

    def __init__(self, tensors: list[Tensor], rate: float) -> None:
        super().__init__(tensors, rate)
        self.random = generator(0, "kept", "torchref")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for tensor in self.param_groups[0]["params"]:
            drawn = self.random.integers(0, 1 << BF16.dropped, tuple(tensor.shape), np.int32)
            bits = tensor.view(torch.int32) + torch.from_numpy(drawn).to(tensor.device)
            tensor.copy_((bits & -(1 << BF16.dropped)).view(torch.float32))


WAYS: dict[str, tuple[Format, str]] = {  # the arithmetic of the passes, and where the weights are kept
    "float32": (FLOAT32, "master"),
    "tf32": (FORMATS["tf32"], "master"),
    "fp16": (FORMATS["fp16"], "master"),
    "bf16": (BF16, "master"),
    "bf16 weights": (BF16, "nearest"),
    "bf16 weights, at random": (BF16, "stochastic"),
}


def learning(*, way: str, seeds: int, steps: int, rate: float, looks: int, device: str) -> Tables:
    """Digits, one hidden tanh layer, SGD: loss and accuracy on training and test set; and updates that change no bit.

    fp16's loss is scaled by 2¹⁰ and its rate divided by it.
    """
    job = run(way, seeds, steps, rate, looks)
    rows, lost = [], []
    shots: dict[str, list[Snapshot]] = {}
    for backend, side in backends(device).items():
        with native.tensor_cores(WAYS[way][0].name):
            shots[backend] = list(side.train(job))
        rows.append(scored(job, shots[backend], looked(steps, looks)).assign(way=way, backend=backend))
        if WAYS[way][1] == "nearest":
            lost.append(unmoved(job, shots[backend], rate).assign(backend=backend))
    tables = {"training": pd.concat(rows, ignore_index=True)}
    if lost:
        tables["unmoved"] = pd.concat(lost, ignore_index=True)
    if way == "float32":
        tables["agreement"] = _agreement(job, device)
    return tables


def looked(steps: int, looks: int) -> list[int]:
    return sorted({round(steps * k / looks) for k in range(looks + 1)})


def run(way: str, seeds: int, steps: int, rate: float, looks: int) -> Job:
    to, kept = WAYS[way]
    held = load("digits", "float32")
    layers = (s.Dense(HIDDEN), s.Tanh(), s.Dense(held.classes))
    network = Network((*layers, arithmetic.Cast("float32")), held.features)
    start = arithmetic.put(stack(network, [lecun], seeds, "float32"), lambda name, a: rounded(a[0], BF16))
    order = np.stack([batches(seed, held.train.x.shape[1], BATCH, steps + 1) for seed in range(seeds)], axis=1)
    seen_at = looked(steps, looks)
    pairs = {k + 1 for k in seen_at if k < steps and kept == "nearest"}  # an update shows between two looks
    scale = 2.0**10 if way == "fp16" else 1.0
    optimizer = s.SGD(rate / scale) if kept == "master" else Kept(rate, mode=kept)
    return Job(arithmetic.shortened(layers, to), Scaled(scale=scale), start, held.train, order, optimizer,
               tuple(sorted({*seen_at, *pairs})), {"training": plain(held.train), "test": plain(held.test)})  # fmt: skip


def plain(batch: Batch) -> Batch:
    """Row after row in memory: NumPy multiplies a stack by columns after columns ten times as slowly."""
    return Batch(np.ascontiguousarray(batch.x), batch.y)


def scored(job: Job, shots: list[Snapshot], steps: list[int]) -> pd.DataFrame:
    """Loss, by the plain formula in float64, and accuracy of every network at those steps; ∞ for one that has diverged."""
    rows = []
    for part, batch in job.evaluate.items():
        for shot in (shot for shot in shots if shot.step in steps):
            z = shot.scores[part].astype(np.float64)
            value, _ = s.CrossEntropy()(z, batch.y)
            value = np.where(np.isnan(value), np.inf, value)  # a mean would pass over what is no number
            right = (z.argmax(-2) == batch.y).mean(-1)
            rows.append(
                pd.DataFrame(
                    {"part": part, "step": shot.step, "seed": range(len(value)), "loss": value, "accuracy": right}
                )
            )
    return pd.concat(rows, ignore_index=True)


def unmoved(job: Job, shots: list[Snapshot], rate: float) -> pd.DataFrame:
    """The share of weights that an update leaves as they were; and of those that float64's gradient would leave, and coarser bf16."""
    rows, seen_at = [], {shot.step: shot for shot in shots}
    for step, before in seen_at.items():
        after = seen_at.get(step + 1)
        if after is None:
            continue
        gradients = _exact(job, before)
        for layer, old in enumerate(before.parameters):
            if "W" not in old:
                continue
            w = old["W"].astype(np.float64)
            moved = w - rate * gradients[layer]["W"]
            same = (after.parameters[layer]["W"] == old["W"]).mean((-1, -2))
            expected = (defined(moved, BF16) == w).mean((-1, -2))
            coarse = (np.abs(moved - w) < spacing(w, BF16)).mean((-1, -2))  # a whole spacing instead of half
            rows.append(pd.DataFrame({"layer": layer // 2 + 1, "step": step, "seed": range(len(w)), "numbers": w[0].size,
                                      "measured": same, "predicted": expected, "coarser": coarse}))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def _exact(job: Job, shot: Snapshot) -> Parameters:
    """∂J/∂W of float64 at the snapshot's parameters, on its batch."""
    assert job.batches is not None
    batch = job.data.columns(job.batches[shot.step])
    wide = arithmetic.put(shot.parameters[:-1], lambda name, a: a.astype(np.float64))  # without the cast at the end
    layers = tuple(layer.layer if isinstance(layer, arithmetic.Around) else layer for layer in job.layers[:-1])
    data = Batch(batch.x.astype(np.float64), batch.y)
    return seen(Job(layers, s.CrossEntropy(), wide, data))[1].gradients


def _agreement(job: Job, device: str) -> pd.DataFrame:
    """Two seeds while each implementation trains alone for a few steps."""
    assert isinstance(job.batches, np.ndarray)
    steps = min(10, len(job.batches) - 1)
    few = arithmetic.put(job.parameters, lambda name, a: a[:2])
    small = replace(
        job,
        loss=s.CrossEntropy(),
        parameters=few,
        batches=job.batches[: steps + 1, :2],
        snapshots=(0, steps),
        evaluate={},
    )
    ours, theirs = (list(side.train(small)) for side in backends(device).values())
    return agreement.table(
        agreement.trajectory(small, ours, theirs, generator(0, "shadows")), "trajectory", "digits, float32"
    )
