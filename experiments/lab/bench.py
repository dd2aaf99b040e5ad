"""What a measuring function works with: both implementations on the same job, and the book that their agreement is entered in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.compare import agreement, probes
from experiments.compare.backends import backends
from scratch.contract import Batch, Job, Snapshot
from scratch.layers import Array
from scratch.network import Parameters
from scratch.randomness import generator

if TYPE_CHECKING:
    import pandas as pd

COMPARED, MEMBERS = 600_000, 500  # parameters and networks: the part of a stack that is compared number by number
# networks of a stack, and training steps, over which parameters are compared: what is wrong shows at once, and in deep networks
# with batch norm training magnifies rounding ten thousand times a step
FOLLOWED, STEPS = 2, 3

Shots = dict[str, Snapshot]  # by the name of the implementation


class Lab:
    """Both implementations, for one cell; ``agreement`` grows with every look."""

    def __init__(self, part: str, settings: Mapping[str, Any], device: str = "cpu") -> None:
        self.part, self.device, self.agreement = part.replace("_", " "), device, list["pd.DataFrame"]()
        plain = {k: v for k, v in settings.items() if isinstance(v, str | int | float)}
        self.settings: dict[str, Any] = plain
        self.condition = ", ".join(f"{name} {value}" for name, value in plain.items())

    def look(self, job: Job, condition: str | None = None, *, members: int | None = None) -> Shots:
        """One look at the job by both. Their agreement, on the first ``members`` of a stack, is entered under ``condition``."""
        shots = {name: backend.snapshot(job) for name, backend in backends(self.device).items()}
        if members is None:
            members = min(MEMBERS, max(1, COMPARED // max(1, job.network.size)))
        few = first(job, members)
        ours, theirs = shots.values() if few is job else (part_of(shot, job, members) for shot in shots.values())
        self.enter(agreement.pointwise(few, ours, theirs, generator(0, "replicas")), self.part, condition)
        return shots

    def train(
        self, job: Job, condition: str | None = None, *, members: int = FOLLOWED, steps: int = STEPS
    ) -> dict[str, Iterator[Snapshot]]:
        """The snapshots of both, each training alone while it is asked for the next, so that only what is kept takes memory.

        The first ``members`` of a stack are followed over the first ``steps``, on the examples that these see.
        """
        assert job.batches is not None
        steps = min(steps, len(job.batches) - 1)
        if steps:
            few = first(job, members)
            few = replace(few, batches=few.batches[: steps + 1], snapshots=tuple(sorted({0, 1, steps})), evaluate={})  # type: ignore[index]
            self.follow(on_its_examples(few), self._named(condition))
        return {name: backend.train(job) for name, backend in backends(self.device).items()}

    def follow(self, job: Job, condition: str | None = None) -> dict[str, list[Snapshot]]:
        """The same, compared at every snapshot in all networks: dear, as rounding is followed through training."""
        trained = {name: list(backend.train(job)) for name, backend in backends(self.device).items()}
        ours, theirs = trained.values()
        found = agreement.trajectory(job, ours, theirs, generator(0, "replicas"))
        self.enter(found, "trajectory", condition)
        return trained

    def rows(
        self, shots: Mapping[str, Any], probe: Callable[[Any], Array], axes: Mapping[str, Sequence[Any]], **columns: Any
    ) -> pd.DataFrame:
        """A row for each entry of ``probe(shot)``, whose axes are named and labelled by ``axes``, for both; with the cell's settings."""
        import pandas as pd

        fixed = self.settings | columns
        found = [probes.rows(probe(shot), dict(axes), backend=name, **fixed) for name, shot in shots.items()]
        return pd.concat(found, ignore_index=True)

    def _named(self, condition: str | None) -> str:
        return ", ".join(filter(None, (self.part, self.condition if condition is None else condition)))

    def enter(self, found: Sequence[agreement.Difference], part: str, condition: str | None = None) -> None:
        """Differences that were found otherwise than by looking at a job."""
        said = self.condition if condition is None else condition
        self.agreement.append(agreement.table(found, part, said))


def looks(steps: int, count: int) -> tuple[int, ...]:
    """The steps at which training is looked at: evenly spread, the first and the last among them."""
    return tuple(sorted({round(steps * k / count) for k in range(count + 1)}))


def on_its_examples(job: Job) -> Job:
    """The job on the examples alone that its batches take: replicas of all data would take memory for nothing."""
    assert job.batches is not None
    used = np.unique(np.concatenate([np.ravel(chosen) for chosen in job.batches]))
    taken = [np.searchsorted(used, chosen) for chosen in job.batches]
    same = isinstance(job.batches, np.ndarray)
    return replace(job, data=job.data.columns(used), batches=np.array(taken) if same else taken)


def first(job: Job, members: int) -> Job:
    """The job of the first networks of its stack, whose axes become one; the job itself where it has no more."""
    count = int(np.prod(job.leading))
    if not job.leading or count <= members:
        return job

    def few(array: Array, core: int) -> Array:
        lead = array.shape[: array.ndim - core]
        if not lead:
            return array
        wide = np.broadcast_to(array, job.leading + array.shape[array.ndim - core :])
        return wide.reshape(count, *wide.shape[len(job.leading) :])[:members]

    def named(parameters: Parameters) -> Parameters:
        return tuple({name: few(a, 2) for name, a in layer.items()} for layer in parameters)

    changed: dict[str, Any] = {"parameters": named(job.parameters)}
    changed["data"] = Batch(few(job.data.x, 2), few(job.data.y, 1 if job.data.labelled else 2))
    if job.buffers is not None:
        changed["buffers"] = named(job.buffers)
    if (noise := job.noise) is not None:
        changed["noise"] = lambda step: named(noise(step))
    if isinstance(job.batches, np.ndarray) and job.batches.ndim > 2:
        flat = job.batches.reshape(len(job.batches), count, -1)
        changed["batches"] = flat[:, :members]
    if isinstance(job.optimizer.learning_rate, tuple):
        rates = tuple(job.optimizer.base.reshape(-1)[:members].tolist())
        changed["optimizer"] = replace(job.optimizer, learning_rate=rates)
    return replace(job, evaluate={}, **changed)


def part_of(shot: Snapshot, job: Job, members: int) -> Snapshot:
    """What the snapshot shows of those networks."""

    def few(array: Array) -> Array:
        return array.reshape(-1, *array.shape[len(job.leading) :])[:members]

    def named(parameters: Parameters) -> Parameters:
        return tuple({name: few(a) for name, a in layer.items()} for layer in parameters)

    changed: dict[str, Any] = {name: tuple(map(few, getattr(shot, name))) for name in ("outputs", "output_gradients")}
    changed |= {name: named(getattr(shot, name)) for name in ("parameters", "gradients", "buffers")}
    return replace(shot, loss=few(shot.loss), scores={}, **changed)
