"""Training as a user wants it: a held-out part, epochs of mini-batches, a history, early stopping; with either backend.

    fitting, held = split(generator, m, 0.2)
    train, validation = data.columns(fitting), data.columns(held)
    job = Job(layers, CrossEntropy(), parameters, train, epochs(generator, len(fitting), 32, 50), Adam(1e-3))
    fitted = fit(job, validation, metrics={"accuracy": accuracy}, patience=5)
    predict(job.network, fitted.parameters, fitted.buffers, x)

Randomness is the caller's: ``generator`` is NumPy's, or a seed for a fresh one; a job's ``noise`` (dropout's masks) is a function
of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

from scratch import arguments, training
from scratch.arguments import array, kind, kind_of, real, require, shown, truth, whole
from scratch.checks import turned
from scratch.contract import Batch, Job, Snapshot
from scratch.errors import InvalidInput, unknown
from scratch.layers import Array
from scratch.matching import leading_of
from scratch.network import Network, Parameters, merge

Metric = Callable[[Array, Array], Array]  # output (…, outputs, m) and targets -> (…,)
DIRECTIONS = {"loss": "min", "error": "min"} | dict.fromkeys(("accuracy", "precision", "recall", "f1"), "max")


def split(generator: Generator | int, examples: int, share: float, labels: Array | None = None) -> tuple[Array, Array]:
    """Columns to train on, and a random ``share`` of all to hold out, each in increasing order.

    ``generator`` may be a seed. With ``labels`` (m,) every class gives its share, rounded up or down (a systematic sample: Madow
    & Madow 1944). Raises InvalidInput where one of the two would be empty, and for arguments of the wrong kind.
    """
    random = arguments.generator("split", generator)
    examples, share = whole("split", "examples", examples, 1), real("split", "share", share)
    held = round(examples * share) if 0 < share < 1 else 0
    if not 0 < held < examples:
        raise InvalidInput(f"split(share={share}): of {examples} examples both parts need at least one")
    order = random.permutation(examples)
    if labels is not None:
        labels = array("split: labels", labels, f"labels ({examples},)", "iufbUS")
        if labels.shape != (examples,):
            raise InvalidInput(f"split: labels must be ({examples},), got {labels.shape}")
        order = order[np.argsort(labels[order], kind="stable")]
    steps = np.arange(examples + 1) * held + random.integers(examples)
    chosen = np.diff(steps // examples) > 0  # ``held`` of them, evenly spread from a random start
    return np.sort(order[~chosen]), np.sort(order[chosen])


def epochs(
    generator: Generator | int | None,
    examples: int,
    size: int,
    count: int,
    *,
    shuffle: bool = True,
    drop_last: bool = False,
) -> list[Array]:
    """``Job.batches`` for ``count`` epochs: batches (size,) of column numbers, every epoch in a fresh order.

    ``generator`` may be a seed. The last batch of an epoch is smaller where ``size`` does not divide ``examples``, or left out. The list
    ends with its first batch once more, which is looked at only. Without ``shuffle`` the order is that of the columns, and the
    generator may be None. Raises InvalidInput for arguments of the wrong kind, and a batch larger than all examples.
    """
    shuffle, drop_last = truth("epochs", "shuffle", shuffle), truth("epochs", "drop_last", drop_last)
    if shuffle and generator is None:
        raise InvalidInput("epochs: to shuffle, a generator is needed, or a seed")
    random = None if generator is None else arguments.generator("epochs", generator)
    examples, size = whole("epochs", "examples", examples, 1), whole("epochs", "size", size)
    count = whole("epochs", "count", count, 1)
    if not 0 < size <= examples:
        raise InvalidInput(f"epochs(size={size}): a batch must hold from 1 to {examples} examples, all that there are")
    stop = examples // size * size if drop_last else examples
    batches = []
    for _ in range(count):
        order = random.permutation(examples) if shuffle and random is not None else np.arange(examples)
        batches += [order[start : start + size] for start in range(0, stop, size)]
    return [*batches, batches[0]]


@dataclass(frozen=True)
class Fit:
    """What ``fit`` found. ``history``: arrays (epochs, …), first "epoch", then "train_loss", "validation_loss", "train_accuracy" and so on.

    ``best`` (…,): the epoch, counted from 1, with the best monitored value; 0, and the initial parameters, where none was finite.
    """

    parameters: Parameters
    buffers: Parameters
    history: dict[str, Array]
    best: Array


def fit(
    job: Job,
    validation: Batch | None = None,
    *,
    metrics: Mapping[str, Metric] | None = None,
    monitor: str | None = None,
    mode: Literal["min", "max"] | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    restore: bool = True,
    train: Callable[[Job], Iterator[Snapshot]] = training.train,
    progress: Callable[[Iterator[Snapshot]], Iterable[Snapshot]] = iter,
) -> Fit:
    """Trains ``job`` on the whole epochs that its batches make, and looks at each epoch's end.

    An epoch is as many batches as the data has examples for. At its end the loss (without the penalty) and the ``metrics`` are
    measured as after training, on the training data, on ``validation`` and on whatever the job evaluates.
    ``monitor`` is a column of the history, the validation loss unless given. ``mode``: "min" if it is to fall, "max" if to rise; unless
    given, the last word of its name says so (loss, error; accuracy, precision, recall, f1), and any other is refused.
    Training stops once the best value is ``patience`` epochs old; better is what is so by more than ``min_delta`` (Prechelt 1998).
    ``restore``: parameters and buffers are the best epoch's, else the last one's. A member of a stack gets what it would get
    alone: it is left as it was when its own patience ended, and the stack goes on until the last one's has.

    ``train`` is a backend, such as ``partial(torchref.training.train, device="cuda")``; ``progress`` wraps the snapshots,
    one an epoch, as tqdm does. A schedule counts updates, not epochs; ReduceOnPlateau sees each batch's own loss.
    """
    metrics = _check_fit(job, validation, metrics, train, progress)
    evaluate = {"train": job.data, **job.evaluate} | ({} if validation is None else {"validation": validation})
    measures: dict[str, Metric] = {"loss": lambda output, y: job.loss(output, y)[0], **metrics}
    columns = {f"{name}_{measure}": measure for name in evaluate for measure in measures}
    if monitor is None:
        monitor = "validation_loss" if "validation" in evaluate else "train_loss"
    if kind("fit", "monitor", monitor, str) not in columns:
        raise unknown("column to monitor", monitor, columns)
    sign = _sign(monitor, columns[monitor], mode)
    planned = _planned(job, evaluate)
    best = _Best(job, patience, min_delta, restore)
    rows = []
    for epoch, shot in enumerate(_snapshots(progress(train(planned))), 1):
        found = [
            _measured(measure, call(shot.scores[name], data.y), job)
            for name, data in evaluate.items()
            for measure, call in measures.items()
        ]
        rows.append(dict(zip(columns, found, strict=True)))
        if best.see(epoch, sign * _one_each(monitor, rows[-1][monitor], job), shot):
            break
    if not rows:
        raise InvalidInput("fit: train, or progress, gave no snapshot")
    history = {"epoch": np.arange(1, len(rows) + 1)} | {name: np.stack([row[name] for row in rows]) for name in columns}
    return Fit(best.parameters, best.buffers, history, best.epoch)


def _check_fit(job: Any, validation: Any, metrics: Any, train: Any, progress: Any) -> Mapping[str, Metric]:
    """The metrics, none if they are None."""
    kind("fit", "job", job, Job)
    if validation is not None:
        kind("fit", "validation", validation, Batch)
    require(
        callable(train) and not isinstance(train, type), "fit", "train", train, "a function from a job to snapshots"
    )
    require(callable(progress), "fit", "progress", progress, "a function from snapshots to snapshots")
    if metrics is None:
        return {}
    require(isinstance(metrics, Mapping), "fit", "metrics", metrics, "a dict of names and functions")
    for name, call in metrics.items():
        if not isinstance(name, str):
            raise InvalidInput(f"fit: metrics: expected names as keys, got {shown(name)}")
        if name == "loss":
            raise InvalidInput("fit: a metric cannot be called 'loss': that is the job's own")
        if not callable(call) or isinstance(call, type):
            raise InvalidInput(f"fit: metrics[{name!r}]: expected a function of outputs and targets, got {shown(call)}")
    return metrics


def _sign(monitor: str, measure: str, mode: Any) -> int:
    """1 where the column is to fall, −1 where it is to rise."""
    known = DIRECTIONS.get(measure.rpartition("_")[2]) if mode is None else mode
    if not isinstance(known, str) or known not in ("min", "max"):
        wanted = f"whether {monitor!r} is to fall or to rise" if mode is None else "to fall, or to rise"
        raise InvalidInput(f"fit(mode={shown(mode)}): must be 'min' or 'max': {wanted}")
    return 1 if known == "min" else -1


def _snapshots(shots: Any) -> Iterator[Snapshot]:
    if not isinstance(shots, Iterable):
        raise InvalidInput(f"fit: train and progress must give snapshots, got {kind_of(shots)}")
    for shot in shots:
        if not isinstance(shot, Snapshot):
            raise InvalidInput(f"fit: train and progress must give snapshots, got a {kind_of(shot)} among them")
        yield shot


def _measured(measure: str, value: Any, job: Job) -> Array:
    """What a metric gave, as an array (…, any)."""
    found = np.asarray(value)
    if found.dtype.kind not in "iufb" or found.shape[: len(job.leading)] != job.leading:
        came = kind_of(value) if found.dtype.kind not in "iufb" else f"{found.dtype} {found.shape}"
        raise InvalidInput(f"fit: metrics[{measure!r}]: expected numbers {job.leading}, one a network, got {came}")
    return found


def _one_each(monitor: str, value: Array, job: Job) -> Array:
    if value.shape != job.leading:
        raise InvalidInput(
            f"fit(monitor={monitor!r}): must be one number for each network {job.leading}, got {value.shape}"
        )
    return value.astype(float)


def _planned(job: Job, evaluate: Mapping[str, Batch]) -> Job:
    """The job with its whole epochs alone, and a snapshot where the next one begins."""
    if job.batches is None:
        raise InvalidInput("fit: job.batches is None: give it epochs(...)")
    seen = np.cumsum([chosen.shape[-1] for chosen in job.batches])
    steps = max(1, int(np.searchsorted(seen, job.data.x.shape[-1], side="right")))
    count = (len(job.batches) - 1) // steps
    if not count:
        raise InvalidInput(f"fit: an epoch is {steps} batches, and one more to look at; the job has {len(job.batches)}")
    for name, data in evaluate.items():
        try:
            replace(job, data=data, batches=None, snapshots=(), evaluate={})  # its targets must fit as well
        except InvalidInput as error:
            raise InvalidInput(f"fit: {name}: {error}") from None
    ends = tuple(range(steps, count * steps + 1, steps))
    return replace(job, batches=job.batches[: count * steps + 1], snapshots=ends, evaluate=evaluate)


class _Best:
    """The epoch with the lowest value, and its parameters and buffers, for each network of a stack."""

    def __init__(self, job: Job, patience: int | None, min_delta: float, restore: bool) -> None:
        self.patience = np.inf if patience is None else whole("fit", "patience", patience, 1)
        self.min_delta, self.restore = real("fit", "min_delta", min_delta), truth("fit", "restore", restore)
        require(0 <= self.min_delta < np.inf, "fit", "min_delta", min_delta, "finite and not negative")
        self.parameters, self.buffers = job.parameters, job.start_buffers()
        self.value = np.full(job.leading, np.inf)
        self.epoch = np.zeros(job.leading, int)

    def see(self, epoch: int, value: Array, shot: Snapshot) -> bool:
        """Takes note of the epoch; whether every network's patience has ended."""
        waiting = epoch - self.epoch <= self.patience  # those whose patience had not ended before
        better = waiting & np.isfinite(value) & (value < self.value - self.min_delta)
        self.value, self.epoch = np.where(better, value, self.value), np.where(better, epoch, self.epoch)
        taken = better if self.restore else waiting
        self.parameters = _where(taken, shot.parameters, self.parameters)
        self.buffers = _where(taken, shot.buffers, self.buffers)
        return bool((epoch - self.epoch >= self.patience).all())


def _where(taken: Array, new: Parameters, old: Sequence[Mapping[str, Array]]) -> Parameters:
    chosen = np.asarray(taken)[..., None, None]
    return tuple(
        {name: np.where(chosen, a, before[name]) for name, a in named.items()}
        for named, before in zip(new, old, strict=True)
    )


def predict(network: Network, parameters: Parameters, buffers: Parameters | None, x: Array) -> Array:
    """The network's output (…, outputs, m) for x (…, features, m) as after training: no dropout, running statistics.

    Without ``buffers`` they are fresh ones. Raises InvalidInput where parameters, buffers or x do not fit the network.
    """
    kind("predict", "network", network, Network).check(parameters)
    x = array("predict: x", x, f"numbers (…, {network.inputs}, m)")
    leading = leading_of(parameters, buffers)
    if x.ndim < 2 or x.shape[-2] != network.inputs:
        raise InvalidInput(f"predict: x must be (…, {network.inputs}, m), got {x.shape}{turned(x, network.inputs)}")
    try:
        np.broadcast_shapes(x.shape[:-2], leading)
    except ValueError:
        raise InvalidInput(f"predict: x is stacked as {x.shape[:-2]}, the networks as {leading}") from None
    if x.dtype.kind != "f":
        x = x.astype(next((a.dtype for named in parameters for a in named.values()), np.float64))
    if buffers is None:
        buffers = network.buffers(dtype=x.dtype)
    else:
        network.check_buffers(buffers, leading)
    return network.inference.predict(merge(parameters, buffers), x)
