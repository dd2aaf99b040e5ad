"""The training step beside those of PyTorch, JAX and scikit-learn: ``python -m experiments.benchmark --peers``.

Every contestant trains from the same weights on the same batch, in this process, on one core; rounds are interleaved. A figure is the
fastest round in microseconds a step, a ratio that of two such figures.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from statistics import geometric_mean
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

import scratch as s
from scratch import initializers, randomness
from scratch.network import merge
from scratch.optimizers import Optimizer
from torchref import conventions
from torchref.layers import MaskedDropout
from torchref.network import Network

ROUNDS = 15
TORCH = {"eager": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
Timed = Callable[[int], None]  # runs that many steps
SGD, ADAM = s.SGD(0.01, momentum=0.9), s.Adam(0.001)
SIZES = {  # widths, batch, steps a round
    "64-32-10": ((64, 32, 10), 32, 300),
    "784-128-10": ((784, 128, 10), 64, 60),
    "64-(100×10)-10": ((64, *(100,) * 10, 10), 128, 15),
    "64-(100×30)-10": ((64, *(100,) * 30, 10), 128, 5),
    "784-1024-1024-10": ((784, 1024, 1024, 10), 256, 2),
}
STACKS = {  # widths, batch, networks, steps a round
    "60 × 64-32-10": ((64, 32, 10), 32, 60, 6),
    "20 × 64-(100×30)-10": ((64, *(100,) * 30, 10), 32, 20, 1),
    "1000 × 2-8-2": ((2, 8, 2), 16, 1000, 6),
}
PEERS = {"jax": "JAX, jit", "sklearn": "scikit-learn"}


@dataclass(frozen=True)
class Race:
    """One network, or a stack of ``members``, and what trains it."""

    widths: tuple[int, ...]
    batch: int
    activation: str = "ReLU"
    optimizer: Optimizer = SGD
    members: int = 0
    between: tuple[s.Layer, ...] = ()  # layers before each activation, and dropout after it

    @property
    def layers(self) -> tuple[s.Layer, ...]:
        kind = getattr(s, self.activation)()
        drop = (s.Dropout(0.5),) if self.between else ()
        hidden = [layer for units in self.widths[1:-1] for layer in (s.Dense(units), *self.between, kind, *drop)]
        return (*hidden, s.Dense(self.widths[-1]))

    def job(self) -> s.Job:
        """Everything that scratch is handed, in float32."""
        network, draw = s.Network(self.layers, self.widths[0]), randomness.generator(0, "data")
        drawn = network.initialize(initializers.he, lambda k: randomness.generator(0, "bench", k))
        theta = network.flatten(drawn).astype(np.float32)
        theta = np.repeat(theta[None], self.members, 0) if self.members else theta
        x = draw.standard_normal((self.widths[0], self.batch)).astype(np.float32)
        data = s.Batch(x, draw.integers(0, self.widths[-1], self.batch))
        noise = randomness.noise(network, 0, [np.arange(self.batch)] * 400) if any(network.noise) else None
        return s.Job(
            network.layers, s.CrossEntropy(), network.views(theta), data, optimizer=self.optimizer, noise=noise
        )


def in_scratch(race: Race) -> Timed:
    job = race.job()
    state = s.training.start(job)

    def run(steps: int) -> None:
        for _ in range(steps):
            state.number %= 300  # as many masks as were drawn
            s.training.step(job, state, job.data)

    return run


def in_torch(race: Race, flags: dict[str, bool]) -> Timed:
    job = race.job()
    one = s.Network(job.layers, race.widths[0])
    twins = network_twin(one, job.parameters)
    drawing = (
        nn.Dropout(m.rate) if isinstance(m, MaskedDropout) else m for m in twins.children()
    )  # the twin wants to be handed its masks
    model, criterion = nn.Sequential(*drawing), nn.CrossEntropyLoss()
    kind: Any = torch.optim.SGD if race.optimizer is SGD else torch.optim.Adam
    settings = {"lr": 0.01, "momentum": 0.9} if race.optimizer is SGD else {"lr": 0.001}
    optimizer = kind(model.parameters(), **settings, **flags)
    rows, labels = torch.from_numpy(np.ascontiguousarray(job.data.x.T)), torch.from_numpy(job.data.y)

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(rows), labels).backward()
            optimizer.step()

    return run


def in_jax(race: Race) -> Timed:
    """The step as JAX's tutorials write it: pure functions under ``jit``, a stack under ``vmap``."""
    import jax
    import jax.numpy as jnp

    job = race.job()
    params = [{name: jnp.asarray(a) for name, a in named.items()} for named in job.parameters if named]
    running = [{name: jnp.asarray(a) for name, a in named.items()} for named in job.start_buffers() if named]
    x, y = jnp.asarray(job.data.x), jnp.asarray(job.data.y)
    act: Callable[[Any], Any] = jnp.tanh if race.activation == "Tanh" else lambda z: jnp.maximum(z, 0)

    def loss(params: Any, running: Any, key: Any) -> Any:
        a, layers, left, seen = x, iter(params), list(running), list[Any]()
        for k in range(len(race.widths) - 1):
            dense = next(layers)
            a = dense["W"] @ a + dense["b"]
            if k == len(race.widths) - 2:
                return -jnp.take_along_axis(jax.nn.log_softmax(a, 0), y[None], 0).mean(), seen
            if race.between:
                a, held = _normed(jnp, a, next(layers), left[k])
                seen.append(held)
            a = act(a)
            a = a * jax.random.bernoulli(jax.random.fold_in(key, k), 0.5, a.shape) * 2 if race.between else a

    def step(params: Any, memory: Any, running: Any, t: Any) -> Any:
        (value, running), gradient = jax.value_and_grad(loss, has_aux=True)(params, running, jax.random.key(t))
        params, memory = _updated(jax, race.optimizer is SGD, params, gradient, memory, t)
        return params, memory, running, t + 1, value

    whole = jax.vmap(step, in_axes=(0, 0, 0, None), out_axes=(0, 0, 0, None, 0)) if race.members else step
    compiled = jax.jit(whole, donate_argnums=(0, 1, 2))
    memory = [jax.tree.map(jnp.zeros_like, params) for _ in range(1 if race.optimizer is SGD else 2)]
    held = [params, memory, running, jnp.asarray(1)]

    def run(steps: int) -> None:
        for _ in range(steps):
            *held[:], value = compiled(*held)
        jax.block_until_ready(value)

    return run


def _normed(jnp: Any, a: Any, learned: Any, running: Any) -> Any:
    """Batch norm, and its running statistics after this batch."""
    mean, m = a.mean(-1, keepdims=True), a.shape[-1]
    centred = a - mean
    variance = (centred**2).mean(-1, keepdims=True)
    new = {"running_mean": mean, "running_var": variance * (m / (m - 1))}
    held = {name: 0.9 * running[name] + 0.1 * value for name, value in new.items()}
    held["num_batches_tracked"] = running["num_batches_tracked"] + 1
    return learned["gamma"] * centred / jnp.sqrt(variance + 1e-5) + learned["beta"], held


def _updated(jax: Any, momentum: bool, params: Any, gradient: Any, memory: Any, t: Any) -> tuple[Any, Any]:
    if momentum:
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, memory[0], gradient)
        return jax.tree.map(lambda p, v: p - 0.01 * v, params, velocity), [velocity]
    first, second = memory
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    rate, root = 0.001 / (1 - 0.9**t), (1 - 0.999**t) ** 0.5
    moved = jax.tree.map(lambda p, m, v: p - rate * m / (v**0.5 / root + 1e-8), params, first, second)
    return moved, [first, second]


def in_sklearn(race: Race) -> Timed:
    """One call of ``partial_fit`` on a batch is one update. Its weights are its own draws."""
    from sklearn.neural_network import MLPClassifier

    job, name = race.job(), {"ReLU": "relu", "Tanh": "tanh"}[race.activation]
    solver: dict[str, Any] = {"solver": "sgd", "learning_rate_init": 0.01, "momentum": 0.9, "nesterovs_momentum": False}
    model = MLPClassifier(
        race.widths[1:-1], activation=name, alpha=0.0, batch_size=race.batch, random_state=0, **solver
    )
    x, y, classes = np.ascontiguousarray(job.data.x.T), job.data.y, np.arange(race.widths[-1])

    def run(steps: int) -> None:
        for _ in range(steps):
            model.partial_fit(x, y, classes=classes)

    return run


def network_twin(network: s.Network, parameters: tuple) -> nn.Module:
    module = Network(network)
    dtype = next(array.dtype for named in parameters for array in named.values())
    held, module = merge(parameters, network.buffers(dtype=dtype)), module.to(getattr(torch, dtype.name))
    module.load_state_dict(conventions.tensors(held, torch.device("cpu")))
    return nn.Sequential(*module.layers)


def race(timed: dict[str, Timed], steps: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a step of every contender in every round, after a warm-up."""
    for run in timed.values():
        run(max(2, steps // 4))
    times: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, run in timed.items():
            begin = time.perf_counter()
            run(steps)
            times[name].append((time.perf_counter() - begin) / steps)
    return times


def fastest(contestants: dict[str, Timed], steps: int) -> dict[str, float]:
    """Microseconds a step of each one's fastest round; PyTorch's best way counts as PyTorch."""
    times = {name: min(found) * 1e6 for name, found in race(contestants, steps, ROUNDS).items()}
    ways = [times.pop(name) for name in TORCH if name in times]
    return times | ({"torch": min(ways)} if ways else {})


def contestants(race: Race, there: list[str]) -> dict[str, Timed]:
    found = {"scratch": in_scratch(race)}
    if not race.members:
        found |= {name: in_torch(race, flags) for name, flags in TORCH.items()}
    if "jax" in there:
        found["jax"] = in_jax(race)
    if "sklearn" in there and race.optimizer is SGD and not race.members and not race.between:
        found["sklearn"] = in_sklearn(race)
    return found


def main() -> None:
    """Prints the table, the machine, and which peers are missing."""
    there = [name for name in PEERS if find_spec(name)]
    if hasattr(os, "sched_setaffinity"):  # JAX has no switch for its threads that holds
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    print(machine(there))
    with threadpool_limits(1):
        ratios = [
            shown(f"{name} {kind}", Race(widths, batch, kind), steps, there)
            for name, (widths, batch, steps) in SIZES.items()
            for kind in ("Tanh", "ReLU")
        ]
        for peer in ("torch", *there):
            print(f"geometric mean of scratch/{peer}: {geometric_mean([row[peer] for row in ratios]):.2f}")
        small = Race(*SIZES["64-32-10"][:2])
        shown("64-32-10 Adam", replace(small, optimizer=ADAM), 300, there)
        shown("64-32-10 batch norm, dropout", replace(small, between=(s.BatchNorm(),)), 200, there)
        for name, (widths, batch, members, steps) in STACKS.items():
            shown(name, Race(widths, batch, members=members), steps, there)


def shown(name: str, race: Race, steps: int, there: list[str]) -> dict[str, float]:
    """Prints one line: the times, and scratch's ratio to each."""
    times = fastest(contestants(race, there), steps)
    ratios = {peer: times["scratch"] / time for peer, time in times.items() if peer != "scratch"}
    said = "".join(f"{peer:>9} {time:9.1f}" for peer, time in times.items())
    print(f"{name:30}{said}   " + "  ".join(f"/{peer} {ratio:.2f}" for peer, ratio in ratios.items()), flush=True)
    return ratios


def machine(there: list[str]) -> str:
    """The processor, the versions, what was not raced and how to have it."""
    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    names = ("numpy", "torch", *({"sklearn": "scikit-learn"}.get(name, name) for name in there))
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    missing = [f"{PEERS[name]} is not installed: pip install '.[peers]'" for name in PEERS if name not in there]
    head = f"{cpu}, one core, float32, SGD with momentum where nothing else is said; {versions}"
    return "\n".join((head, "microseconds a step, the fastest of " + f"{ROUNDS} interleaved rounds", *missing))
