"""How well PyTorch on another device agrees with scratch, and how fast stacks train there: ``python -m experiments.parity --device cuda``.

Every piece of the library at the same parameters, and every optimizer over a hundred steps, in float64 and float32 (TF32 off), in
units of the rounding bound that holds on the CPU. Then the real sweep: a stack on the device beside a PyTorch loop over its networks.
Writes results/devices/NAME/: parity.csv, and speed.csv with the times of this one machine. Exit status 1 where a bound is passed.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.random import Generator
from torch import nn

import scratch as s
from experiments.benchmark import OPTIMIZER, network_twin, problem
from experiments.catalog.gradients.pieces import FAMILIES
from experiments.compare import agreement, witnesses
from experiments.lab.store import write
from scratch import randomness, training
from scratch.contract import Batch, Job
from scratch.errors import InvalidInput
from scratch.network import Network
from torchref import conventions
from torchref import training as torchref

TRIALS, LARGEST, STEPS, LOOKS = 6, 8, 100, (0, 1, 10, 100)
DTYPES = ("float64", "float32")
LAYERS = (s.Dense(7), s.BatchNorm(), s.Tanh(), s.Dropout(0.3),
          s.Residual((s.Dense(4), s.LayerNorm(), s.GELU(), s.Dropout(0.2), s.Dense(7))), s.Dense(3))  # fmt: skip
OPTIMIZERS = (
    s.SGD(0.05, momentum=0.9), s.SGD(0.05, 0.8, nesterov=True), s.Adagrad(0.05), s.RMSProp(0.002, centered=True, eps=1e-3),
    s.Adadelta(0.5, eps=1e-3), s.Adam(0.005, amsgrad=True, eps=1e-3), s.AdamW(0.005, eps=1e-3),
)  # fmt: skip
SWEEPS = {  # networks in the stack: widths, batch, steps a round
    "60 of 64-32-10, batch 32": (60, (64, 32, 10), 32, 20),
    "20 of 64-(100×30)-10, batch 128": (20, (64, *(100,) * 30, 10), 128, 5),
    "1000 of 2-8-2, batch 32": (1000, (2, 8, 2), 32, 2),
}
ROUNDS = 15
PLANTED = 1e-4  # the control: a gradient wrong by one part in ten thousand must pass the bound


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.parity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="where PyTorch computes (default: cuda)")
    parser.add_argument("--out", type=Path, default=Path("results", "devices"), help="folder for the device's own")
    options = parser.parse_args()
    try:
        device = conventions.device_of(options.device, np.dtype("float64"))
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    folder = options.out / re.sub(r"[^A-Za-z0-9]+", "_", name)
    found = pd.DataFrame([*pieces(options.device), *updates(options.device)])
    write(folder / "parity.csv", found.to_csv(index=False, lineterminator="\n"))
    print(found.groupby(["what", "dtype"], sort=False).ratio.agg(["max", "size"]))
    speed = pd.DataFrame(sweeps(device)).assign(device=name, torch=torch.__version__)
    write(folder / "speed.csv", speed.to_csv(index=False, lineterminator="\n"))
    print(speed.to_string(index=False))
    missed = found[found.ratio > 1]
    print(f"{name}: {len(found) - len(missed)} of {len(found)} agree within rounding; tables in {folder}")
    return 0 if missed.empty and (found.control_ratio.dropna() > 1).all() else 1


def pieces(device: str) -> Iterator[dict[str, Any]]:
    """Every layer, activation, loss and penalty, and random networks: the worst of some trials, and the same had it been wrong."""
    for family, members in FAMILIES.items():
        for piece, make in members.items():
            for dtype in DTYPES:
                seen: list[agreement.Difference] = []
                for trial in range(TRIALS):
                    random = randomness.generator(trial, "parity", family, piece)
                    job = witnesses.cast(witnesses.observed(make(random, LARGEST)), dtype)
                    seen += differences(job, device, randomness.generator(trial, "replicas"))
                worst, control = max(d.ratio for d in seen[::2]), max(d.ratio for d in seen[1::2])
                one = next(d for d in seen[::2] if d.ratio == worst)
                yield row(family, piece, dtype, one, control_ratio=control)


def differences(job: Job, device: str, replicas: Generator) -> Iterator[agreement.Difference]:
    """Of each quantity: scratch against PyTorch on the device, and against the same with a planted error."""
    ours, theirs = witnesses.by_hand(job), witnesses.by_torch(job, device)
    rounding, level = agreement.Rounding(job, replicas), witnesses.noise_level(job, replicas)
    for key in ours:
        for told in (theirs[key], theirs[key] * (1 + PLANTED)):
            yield rounding.difference(key, ours[key], told, level[key])


def updates(device: str) -> Iterator[dict[str, Any]]:
    """Every optimizer over a hundred steps of a network with batch norm, dropout and a residual block, alone and in a stack."""
    for optimizer in OPTIMIZERS:
        for dtype in DTYPES:
            for leading in ((), (3,)):
                job = trained(optimizer, leading, dtype)
                both = list(training.train(job)), list(torchref.train(job, device=device))
                found = agreement.trajectory(job, *both, randomness.generator(0, "replicas"))
                condition = f"{optimizer}, stack {leading}"
                yield row("hundred steps", condition, dtype, max(found, key=lambda d: d.ratio), control_ratio=np.nan)


def trained(optimizer: Any, leading: tuple[int, ...], dtype: str) -> Job:
    network, random = Network(LAYERS, 5), randomness.generator(0, "parity", "updates")
    parameters = tuple(
        {name: random.normal(name.endswith("gamma"), 0.5, (*leading, *shape)) for name, shape in named.items()}
        for named in network.shapes
    )
    batches = random.integers(0, 40, (STEPS + 1, 11))
    data = Batch(random.standard_normal((5, 40)), random.integers(0, 3, 40))
    job = Job(LAYERS, s.CrossEntropy(), parameters, data, batches, optimizer, LOOKS,
              noise=randomness.noise(network, 0, batches), penalty=s.L2(0.01))  # fmt: skip
    return witnesses.cast(job, dtype)


def row(what: str, piece: str, dtype: str, seen: Any, **more: Any) -> dict[str, Any]:
    said = {"layer": seen.layer, "quantity": seen.quantity, "step": seen.step, "relative": seen.relative}
    return {"what": what, "piece": piece, "dtype": dtype, **said, "ratio": seen.ratio, **more}


def sweeps(device: torch.device) -> Iterator[dict[str, Any]]:
    """Milliseconds a step in float32: one stack under vmap, and the loop over the same networks with the fused optimizer."""
    for name, (members, widths, batch, steps) in SWEEPS.items():
        network, parameters, x, y = problem(widths, batch)
        theta = np.repeat(network.flatten(parameters)[None], members, axis=0)
        columns = np.broadcast_to(np.arange(batch), (2, batch))
        job = Job(network.layers, s.CrossEntropy(), network.views(theta), Batch(x, y), columns, OPTIMIZER)
        trainee = torchref.Trainee(job, str(device))
        rows, labels = trainee.load(job.data)
        models = [network_twin(network, parameters).to(device) for _ in range(members)]
        rate, momentum = float(OPTIMIZER.base), OPTIMIZER.momentum
        optimizers = [torch.optim.SGD(m.parameters(), lr=rate, momentum=momentum, fused=True) for m in models]
        run = {
            "stack": partial(stepped, trainee, rows, labels, steps),
            "loop": partial(loop, models, optimizers, rows, labels, steps),
        }
        times = {kind: [timed(one, device) / steps for _ in range(ROUNDS + 1)][1:] for kind, one in run.items()}
        stack, each = times["stack"], times["loop"]
        yield {"sweep": name, "stack_ms": round(1e3 * median(stack), 3), "loop_ms": round(1e3 * median(each), 3),
               "stack_min_ms": round(1e3 * min(stack), 3), "loop_min_ms": round(1e3 * min(each), 3),
               "times_faster": round(min(each) / min(stack), 1), "rounds": ROUNDS}  # fmt: skip


def stepped(trainee: torchref.Trainee, rows: torch.Tensor, labels: torch.Tensor, steps: int) -> None:
    for _ in range(steps):
        trainee.step(0, rows, labels)


def loop(
    models: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    rows: torch.Tensor,
    labels: torch.Tensor,
    steps: int,
) -> None:
    """The loop that PyTorch's tutorials write, over each model in turn."""
    criterion = nn.CrossEntropyLoss()
    for _ in range(steps):
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            criterion(model(rows), labels).backward()
            optimizer.step()


def timed(run: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
