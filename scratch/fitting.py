"""Training as a user wants it: a held-out part, epochs of mini-batches, a history, early stopping; with either backend.

    fitting, held = split(generator, m, 0.2)
    train, validation = data.columns(fitting), data.columns(held)
    job = Job(layers, CrossEntropy(), parameters, train, epochs(generator, len(fitting), 32, 50), Adam(1e-3))
    fitted = fit(job, validation, metrics={"accuracy": accuracy}, patience=5)
    predict(job.network, fitted.parameters, fitted.buffers, x)

Randomness is the caller's: ``generator`` is NumPy's, and a job's ``noise`` (dropout's masks) is a function of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from scratch import training
from scratch.contract import Batch, Job, Snapshot, check_inputs, turned
from scratch.errors import InvalidInput, unknown
from scratch.layers import Array
from scratch.network import Network, Parameters, merge

Metric = Callable[[Array, Array], Array]  # output (…, outputs, m) and targets -> (…,)


def split(generator: Generator, examples: int, share: float, labels: Array | None = None) -> tuple[Array, Array]:
    """Columns to train on, and a random ``share`` of all to hold out, each in increasing order.

    With ``labels`` (m,) every class gives its share, rounded up or down (a systematic sample: Madow & Madow 1944).
    Raises InvalidInput where one of the two would be empty.
    """
    held = round(examples * share) if np.isfinite(share) else 0
    if not 0 < held < examples:
        raise InvalidInput(f"split(share={share}): of {examples} examples both parts need at least one")
    order = generator.permutation(examples)
    if labels is not None:
        if labels.shape != (examples,):
            raise InvalidInput(f"split: labels must be ({examples},), got {labels.shape}")
        order = order[np.argsort(labels[order], kind="stable")]
    steps = np.arange(examples + 1) * held + generator.integers(examples)
    chosen = np.diff(steps // examples) > 0  # ``held`` of them, evenly spread from a random start
    return np.sort(order[~chosen]), np.sort(order[chosen])


def epochs(
    generator: Generator | None, examples: int, size: int, count: int, *, shuffle: bool = True, drop_last: bool = False
) -> list[Array]:
    """``Job.batches`` for ``count`` epochs: batches (size,) of column numbers, every epoch in a fresh order.

    The last batch of an epoch is smaller where ``size`` does not divide ``examples``, or left out. The list ends with its first
    batch once more, which is looked at only. Without ``shuffle`` the order is that of the columns, and there is no generator.
    """
    if not 0 < size <= examples:
        raise InvalidInput(f"epochs(size={size}): a batch must hold from 1 to {examples} examples, all that there are")
    if count < 1:
        raise InvalidInput(f"epochs(count={count}): must be at least 1")
    if shuffle and generator is None:
        raise InvalidInput("epochs: to shuffle, a generator is needed")
    stop = examples // size * size if drop_last else examples
    batches = []
    for _ in range(count):
        order = generator.permutation(examples) if shuffle and generator else np.arange(examples)
        batches += [order[start : start + size] for start in range(0, stop, size)]
    return [*batches, batches[0]]


@dataclass(frozen=True)
class Fit:
    """What ``fit`` found. ``history``: arrays (epochs, …), first "epoch", then "train_loss", "validation_loss", "train_accuracy" and so on.

    ``best`` (…,): the epoch, counted from 1, with the best monitored value; 0, and the initial parameters, where none was a number.
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
    patience: int | None = None,
    min_delta: float = 0.0,
    restore: bool = True,
    train: Callable[[Job], Iterator[Snapshot]] = training.train,
    progress: Callable[[Iterator[Snapshot]], Iterable[Snapshot]] = iter,
) -> Fit:
    """Trains ``job`` on the whole epochs that its batches make, and looks at each epoch's end.

    An epoch is as many batches as the data has examples for. At its end the loss (without the penalty) and the ``metrics`` are
    measured as after training, on the training data, on ``validation`` and on whatever the job evaluates.
    ``monitor`` is a column of the history, the validation loss unless given: one that ends in "_loss" is to fall, any other to rise.
    Training stops once the best value is ``patience`` epochs old; better is what is so by more than ``min_delta`` (Prechelt 1998).
    ``restore``: parameters and buffers are the best epoch's, else the last one's. A member of a stack gets what it would get
    alone: it is left as it was when its own patience ended, and the stack goes on until the last one's has.

    ``train`` is a backend, such as ``partial(torchref.training.train, device="cuda")``; ``progress`` wraps the snapshots,
    one an epoch, as tqdm does. A schedule counts updates, not epochs; ReduceOnPlateau sees each batch's own loss.
    """
    evaluate = {"train": job.data, **job.evaluate} | ({} if validation is None else {"validation": validation})
    measures: dict[str, Metric] = {"loss": lambda output, y: job.loss(output, y)[0], **(metrics or {})}
    columns = [f"{name}_{measure}" for name in evaluate for measure in measures]
    monitor = monitor or ("validation_loss" if "validation" in evaluate else "train_loss")
    if monitor not in columns:
        raise unknown("column to monitor", monitor, columns)
    if "loss" in (metrics or {}):
        raise InvalidInput("fit: a metric cannot be called 'loss': that is the job's own")
    planned = _planned(job, evaluate)
    best = _Best(job, patience, min_delta, restore)
    rows = []
    for epoch, shot in enumerate(progress(train(planned)), 1):
        found = [measure(shot.scores[name], data.y) for name, data in evaluate.items() for measure in measures.values()]
        rows.append(dict(zip(columns, found, strict=True)))
        if best.see(epoch, rows[-1][monitor] * (1 if monitor.endswith("_loss") else -1), shot):
            break
    history = {"epoch": np.arange(1, len(rows) + 1)} | {name: np.stack([row[name] for row in rows]) for name in columns}
    return Fit(best.parameters, best.buffers, history, best.epoch)


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
        if patience is not None and patience < 1:
            raise InvalidInput(f"fit(patience={patience}): must be at least 1 epoch, or None")
        if not 0 <= min_delta < np.inf:
            raise InvalidInput(f"fit(min_delta={min_delta}): must be finite and not negative")
        self.patience, self.min_delta, self.restore = patience or np.inf, min_delta, restore
        self.parameters, self.buffers = job.parameters, job.start_buffers()
        self.value = np.full(job.leading, np.inf)
        self.epoch = np.zeros(job.leading, int)

    def see(self, epoch: int, value: Array, shot: Snapshot) -> bool:
        """Takes note of the epoch; whether every network's patience has ended."""
        waiting = epoch - self.epoch <= self.patience  # those whose patience had not ended before
        better = waiting & (value < self.value - self.min_delta)
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
    """The network's output (…, outputs, m) for x (…, features, m) as after training: no dropout, running statistics."""
    network.check(parameters)
    check_inputs(x, "predict: x")
    if x.shape[-2] != network.inputs:
        came = f"{x.shape}{turned(x, network.inputs)}"
        raise InvalidInput(f"predict: x must be (…, {network.inputs}, m), got {came}")
    return network.inference.predict(merge(parameters, buffers or network.buffers(dtype=x.dtype)), x)
