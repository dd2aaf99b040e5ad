"""How fast scratch trains beside PyTorch on the CPU: ``python -m experiments.benchmark``.

Both take turns in one process with the thread count set; a figure is the median over rounds, a ratio the median of the
rounds' own ratios. Times depend on the machine and live apart from the results of experiments.
"""

from __future__ import annotations

from experiments.command import Parser, begin

if __name__ == "__main__":
    begin("experiments.benchmark")

import argparse
from statistics import median

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

import scratch
from experiments import peers
from experiments.lab.options import require
from experiments.peers import TORCH, Timed, network_twin, race
from scratch import initializers, randomness
from scratch.training import start, step

SIZES = {  # name: (widths, batch, steps a round)
    "64-32-10 batch 32": ((64, 32, 10), 32, 400),
    "784-128-10 batch 64": ((784, 128, 10), 64, 200),
    "64-(100×30)-10 batch 128": ((64, *(100,) * 30, 10), 128, 12),
    "784-1024-1024-10 batch 256": ((784, 1024, 1024, 10), 256, 3),
}
STACKS = {  # name: (networks, widths, batch, type, steps a round): tiny ones, and those that vanishing_gradient sweeps over
    "60 networks 64-32-10 batch 32, float32": (60, (64, 32, 10), 32, "float32", 20),
    "8 networks 64-(64×10)-10 batch 60, float64": (8, (64, *(64,) * 10, 10), 60, "float64", 10),
}
OPTIMIZER = scratch.SGD(0.01, momentum=0.9)


def main() -> None:
    parser = Parser(
        prog="experiments.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="thread counts to measure (default: 1 2)"
    )
    parser.add_argument("--rounds", type=int, default=9, help="rounds of which the median is taken (default: 9)")
    parser.add_argument(
        "--peers", action="store_true", help="beside JAX and scikit-learn too, on one core (some minutes)"
    )
    options = parser.parse_args()
    if options.peers:
        peers.main()
        return
    for name in ("threads", "rounds"):
        values = np.atleast_1d(getattr(options, name))
        require(
            all(1 <= value <= 1024 for value in values), name, "whole numbers from 1 to 1024", tuple(values.tolist())
        )
    for threads in options.threads:
        torch.set_num_threads(threads)
        with threadpool_limits(threads, user_api="blas"):
            print(
                f"\nthreads {threads}, float32, SGD with momentum, microseconds a step, median of {options.rounds} rounds"
            )
            print(f"{'':28}{'scratch':>10}" + "".join(f"{name:>10}" for name in TORCH) + "   scratch/best torch")
            for name, (widths, batch, steps) in SIZES.items():
                times = race(contenders(widths, batch), steps, options.rounds)
                best = [min(row) for row in zip(*(times[kind] for kind in TORCH), strict=True)]
                ratio = median(a / b for a, b in zip(times["scratch"], best, strict=True))
                print(
                    f"{name:28}"
                    + "".join(f"{median(times[kind]) * 1e6:10.0f}" for kind in ("scratch", *TORCH))
                    + f"{ratio:21.2f}"
                )
            for name, (members, widths, batch, dtype, steps) in STACKS.items():
                times = race(stacked(members, widths, batch, dtype), steps, options.rounds)
                ratio = median(b / a for a, b in zip(times["stack"], times["loop"], strict=True))
                print(f"{name}: scratch stack {median(times['stack']) * 1e6:.0f}, torch loop "
                      f"{median(times['loop']) * 1e6:.0f}: the stack is {ratio:.1f} times as fast")  # fmt: skip


def contenders(widths: tuple[int, ...], batch: int) -> dict[str, Timed]:
    network, parameters, x, y = problem(widths, batch)
    return {"scratch": in_scratch(network, parameters, x, y)} | {
        name: in_torch([network_twin(network, parameters)], x, y, flags) for name, flags in TORCH.items()
    }


def stacked(members: int, widths: tuple[int, ...], batch: int, dtype: str) -> dict[str, Timed]:
    network, parameters, x, y = problem(widths, batch, dtype)
    theta = np.repeat(network.flatten(parameters)[None], members, axis=0)
    twins = [network_twin(network, parameters) for _ in range(members)]
    return {"stack": in_scratch(network, network.views(theta), x, y), "loop": in_torch(twins, x, y, TORCH["fused"])}


def problem(
    widths: tuple[int, ...], batch: int, dtype: str = "float32"
) -> tuple[scratch.Network, tuple, np.ndarray, np.ndarray]:
    layers: list = []
    for units in widths[1:-1]:
        layers += [scratch.Dense(units), scratch.ReLU()]
    network = scratch.Network((*layers, scratch.Dense(widths[-1])), widths[0])
    drawn = network.views(
        network.flatten(network.initialize(initializers.he, lambda k: randomness.generator(0, "bench", k))).astype(
            dtype
        )
    )
    generator = randomness.generator(0, "data")
    x = generator.standard_normal((widths[0], batch)).astype(dtype)
    return network, drawn, x, generator.integers(0, widths[-1], batch)


def in_scratch(network: scratch.Network, parameters: tuple, x: np.ndarray, y: np.ndarray) -> Timed:
    job = scratch.Job(network.layers, scratch.CrossEntropy(), parameters, scratch.Batch(x, y), optimizer=OPTIMIZER)
    state = start(job)

    def run(steps: int) -> None:
        for _ in range(steps):
            step(job, state, job.data)

    return run


def in_torch(models: list[nn.Module], x: np.ndarray, y: np.ndarray, flags: dict[str, bool]) -> Timed:
    """The loop that PyTorch's tutorials write, over each model in turn."""
    criterion = nn.CrossEntropyLoss()
    optimizers = [
        torch.optim.SGD(m.parameters(), lr=float(OPTIMIZER.base), momentum=OPTIMIZER.momentum, **flags) for m in models
    ]
    rows, labels = torch.from_numpy(np.ascontiguousarray(x.T)), torch.from_numpy(y)

    def run(steps: int) -> None:
        for _ in range(steps):
            for model, optimizer in zip(models, optimizers, strict=True):
                optimizer.zero_grad()
                criterion(model(rows), labels).backward()
                optimizer.step()

    return run
