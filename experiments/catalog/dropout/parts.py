"""What is measured: each function is one kind of cell and gives rows. Shapes: M masks, n features, m examples."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from experiments import agreement, data, probes, randomness
from experiments.catalog.dropout import STRETCHED
from experiments.experiment import Backend, Tables, backends
from experiments.randomness import generator
from scratch import initializers, metrics, training
from scratch.activations import ReLU, Tanh
from scratch.contract import Batch, Job, Noise, Snapshot
from scratch.layers import Array, Dense, Dropout, Layer
from scratch.losses import BinaryCrossEntropy, CrossEntropy, Loss, NegativeLogLikelihood, SquaredError
from scratch.network import Network, Parameters
from scratch.optimizers import SGD, Adam
from scratch.softmax import LogSoftmax

BATCH = 50
PAIR = (3, 8)  # the digits that logistic regression is to tell apart
DRAWN = 60  # steps with masks that are drawn
SHOWN = 20  # patients whose outputs are reported one by one

# --- all masks -------------------------------------------------------------------------------------------------------------


def all_masks(features: int) -> Array:
    """Every mask there is, (2ⁿ, n, 1)."""
    return np.array(list(product([False, True], repeat=features)))[..., None]


def chances(masks: Array, keep: float) -> Array:
    """The probability of each mask, (M,)."""
    kept = masks.sum((-2, -1))
    return keep**kept * (1 - keep) ** (masks.shape[-2] - kept)


def handed(layers: tuple[Layer, ...], features: int, masks: Array) -> Noise:
    """The masks (…, n, m) for every dropout layer, at every step."""
    noise = tuple(dict.fromkeys(named, masks) for named in Network(layers, features).noise)
    return lambda step: noise


def under_all(layers: tuple[Layer, ...], loss: Loss, parameters: Parameters, batch: Batch, masks: Array) -> Job:
    """A stack over the masks (M, n, 1): the same parameters under each of them, all examples alike."""
    spread = tuple({k: np.broadcast_to(a, (len(masks), *a.shape)).copy() for k, a in p.items()} for p in parameters)
    features, examples = batch.x.shape
    wide = np.broadcast_to(masks, (*masks.shape[:-1], examples))
    return Job(layers, loss, spread, batch, noise=handed(layers, features, wide))


def after_training(layers: tuple[Layer, ...], loss: Loss, parameters: Parameters, batch: Batch) -> Job:
    """The same network as it is used then: without dropout."""
    return Job(Network(layers, len(batch.x)).inference.layers, loss, parameters, batch)


def closeness(job: Job, part: str, condition: str, device: str) -> pd.DataFrame:
    """Both implementations on sixteen masks of a stack of them, held against each other number by number."""
    assert job.noise is not None
    chosen = np.linspace(0, job.leading[0] - 1, 16).astype(int)
    few = [tuple({name: a[chosen] for name, a in p.items()} for p in held) for held in (job.parameters, job.noise(0))]
    some = replace(job, parameters=few[0], noise=lambda step: few[1])
    ours, theirs = (backend.snapshot(some) for backend in backends(device).values())
    return agreement.table(agreement.pointwise(some, ours, theirs, generator(0, "shadows")), part, condition)


# --- linear regression -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def diabetes() -> tuple[Array, Array]:
    """Ten measurements (10, 442) of diabetes patients and the disease's progress (1, 442), as scikit-learn ships them."""
    found = find_spec("sklearn")
    assert found is not None and found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0], "datasets", "data")
    return np.loadtxt(folder / "diabetes_data_raw.csv.gz").T, np.loadtxt(folder / "diabetes_target.csv.gz")[None]


def standardised(patients: int) -> Batch:
    """The first patients, every row with mean 0 and variance 1: then no bias is needed."""
    x, y = (a[:, :patients] for a in diabetes())
    return Batch(*((a - a.mean(1, keepdims=True)) / a.std(1, keepdims=True) for a in (x, y)))


def linear(keep: float) -> tuple[Layer, ...]:
    return Dropout(1 - keep), Dense(1, bias=False)


def weights(keep: float) -> Array:
    """Some weights (1, 10), others for every p: the identities are to hold at any."""
    return generator(0, "weights", str(keep)).standard_normal((1, 10))


def identity(*, keep: float, patients: int, device: str) -> Tables:
    """The loss under every mask, averaged with the masks' probabilities; the output's mean and variance likewise."""
    batch, masks = standardised(patients), all_masks(10)
    job = under_all(linear(keep), SquaredError(), ({}, {"W": weights(keep)}), batch, masks)
    chance, losses, outputs = chances(masks, keep), [], []
    for name, backend in backends(device).items():
        shot = backend.snapshot(job)
        z = shot.outputs[-1][:, 0, :SHOWN]
        mean = chance @ z
        losses.append({"backend": name, "keep": keep, "value": float(chance @ shot.loss)})
        axes = {"quantity": ["mean", "variance"], "patient": range(z.shape[-1])}
        outputs.append(probes.rows(np.array([mean, chance @ (z - mean) ** 2]), axes, backend=name, keep=keep))
    held = closeness(job, "identity", f"keep {keep}", device)
    return {"expected": pd.DataFrame(losses), "outputs": pd.concat(outputs, ignore_index=True), "agreement": held}


def averaged(batch: Batch, keep: float) -> tuple[Batch, Array]:
    """Data (n, N) and mask (n, N) on which one ordinary loss is the expected one: a column for each mask and example.

    The squared error knows the data by the products of its rows alone: the triangle of their QR decomposition, 11 columns,
    stands for all patients. Columns are scaled by the root of their mask's probability, squares so by the probability.
    """
    triangle = np.linalg.qr(np.vstack([batch.x, batch.y]).T).R.T
    masks = all_masks(len(batch.x))
    chance = chances(masks, keep)
    masks, chance = masks[chance > 0], chance[chance > 0]
    columns = (np.sqrt(chance)[:, None, None] * triangle).swapaxes(0, 1).reshape(len(triangle), -1)
    return Batch(columns[:-1].copy(), columns[-1:].copy()), np.repeat(masks[..., 0].T, triangle.shape[1], axis=1)


def ridge(*, keep: float, patients: int, device: str) -> Tables:
    """Weights that descent on the expected loss, all masks at once, comes to."""
    batch = standardised(patients)
    wide, mask = averaged(batch, keep)
    low, high = np.sqrt(curvatures(wide.x * mask / keep)[[0, -1]])
    rate = (high - low) / (high + low)  # of the heavy ball with its best constants (Polyak 1964)
    steps = int(50 / -np.log(rate)) + 1  # e⁻⁵⁰ is less than rounding
    ball, noise = SGD(float(4 / (high + low) ** 2), momentum=float(rate**2)), handed(linear(keep), 10, mask)
    found = trained(linear(keep), np.zeros((1, 10)), wide, steps, ball, noise, device)
    rows = [probes.rows(w[0], {"feature": range(10)}, backend=name, keep=keep) for name, w in found.items()]
    return {"coefficients": pd.concat(rows, ignore_index=True).assign(steps=steps)}


def trained(
    layers: tuple[Layer, ...], start: Array, batch: Batch, steps: int, optimizer: SGD, noise: Noise, device: str
) -> dict[str, Array]:
    """The weights (…, 1, n) of a linear regression after so many steps on all examples, by both implementations."""
    columns = np.broadcast_to(np.arange(batch.x.shape[1]), (steps + 1, batch.x.shape[1]))
    job = Job(layers, SquaredError(), ({}, {"W": start}), batch, columns, optimizer, (steps,), noise=noise)
    return {name: last(backend, job).parameters[1]["W"] for name, backend in backends(device).items()}


def last(backend: Backend, job: Job) -> Snapshot:
    *_, shot = backend.train(job)
    return shot


def sampled(*, keep: float, runs: int, patients: int, device: str) -> Tables:
    """A stack of regressions, each with masks of its own drawn anew at every step: their weights' mean and its error."""
    batch, layers = standardised(patients), linear(keep)
    rate = descent_rate(batch, keep)
    columns = np.broadcast_to(np.arange(patients), (DRAWN + 1, patients))
    noise = randomness.noise(Network(layers, 10), 0, columns, (runs,))
    found = trained(layers, np.zeros((runs, 1, 10)), batch, DRAWN, SGD(rate), noise, device)
    rows = []
    for name, w in found.items():
        frame = probes.rows(w[:, 0].mean(0), {"feature": range(10)}, backend=name, keep=keep)
        rows.append(frame.assign(standard_error=w[:, 0].std(0, ddof=1) / runs**0.5, dof=runs - 1))
    return {"sampled": pd.concat(rows, ignore_index=True)}


def curvatures(x: Array) -> Array:
    """Of the mean squared error on x (n, m), in ascending order."""
    return np.linalg.eigvalsh(2 / x.shape[1] * (x @ x.T))


def descent_rate(batch: Batch, keep: float) -> float:
    """A learning rate that is safe with dropout, which raises the curvatures by at most a factor of 1/p."""
    return float(keep / curvatures(batch.x)[-1])


# --- classification under all masks ----------------------------------------------------------------------------------------


def pixels(features: int, images: int, classes: tuple[int, ...] = tuple(range(10))) -> Batch:
    """Digits of these classes by the pixels in which the classes' means differ most; labels count from 0."""
    held = data.load("digits").train
    chosen = np.isin(held.y, classes)
    x, y = held.x[:, chosen], np.searchsorted(classes, held.y[chosen])
    means = np.array([x[:, y == k].mean(1) for k in range(len(classes))])
    best = np.sort(np.argsort(-means.var(0), kind="stable")[:features])
    return Batch(x[best, :images], y[:images])


def architectures(units: int, keep: float) -> dict[str, tuple[Layer, ...]]:
    """Where dropout stands, by name; the last layer's outputs are log-probabilities."""
    drop, read = Dropout(1 - keep), (Dense(10), LogSoftmax())
    return {
        "softmax regression": (drop, *read),
        "last hidden layer": (Dense(units), Tanh(), drop, *read),
        "two linear layers": (drop, Dense(units), *read),
        "below a hidden layer": (drop, Dense(units), Tanh(), *read),
    }


def learned(layers: tuple[Layer, ...], loss: Loss, batch: Batch) -> Parameters:
    """Parameters after a hundred steps of training with dropout."""
    network, examples = Network(layers, len(batch.x)), batch.x.shape[1]
    columns = np.broadcast_to(np.arange(examples), (101, examples))
    start = network.initialize(initializers.lecun, partial(generator, 0, "weights"))
    noise = randomness.noise(network, 0, columns)
    (trained,) = training.train(Job(layers, loss, start, batch, columns, Adam(0.03), (100,), noise=noise))
    return trained.parameters


def geometric(*, network: str, keep: float, features: int, images: int, device: str) -> Tables:
    """How far scaling lies from the mean over all thinned networks, geometric and arithmetic, in log-probability."""
    batch, layers = pixels(features, images), architectures(features, keep)[network]
    masks, loss = all_masks(features), NegativeLogLikelihood()
    parameters = learned(layers, loss, batch)
    job, plain = under_all(layers, loss, parameters, batch, masks), after_training(layers, loss, parameters, batch)
    chance, rows = chances(masks, keep), []
    for name, backend in backends(device).items():
        logs, scaled = backend.snapshot(job).outputs[-1], backend.snapshot(plain).outputs[-1]
        mean = np.tensordot(chance, logs, 1)
        found = {
            "geometric": mean - logsumexp(mean, axis=0),
            "arithmetic": logsumexp(logs, axis=0, b=chance[:, None, None]),
        }
        named = {"backend": name, "network": network, "keep": keep}
        apart = {f"{kind}": float(abs(a - scaled).max()) for kind, a in found.items()}
        probable = {f"{kind}_probability": float(abs(np.exp(a) - np.exp(scaled)).max()) for kind, a in found.items()}
        rows.append(named | apart | probable | {"largest": float(abs(logs).max())})
    return {
        "geometric": pd.DataFrame(rows),
        "agreement": closeness(job, "geometric", f"{network}, keep {keep}", device),
    }


@lru_cache(maxsize=4)
def logistic(features: int, images: int) -> tuple[Batch, Array, float]:
    """Threes and eights, and the weights β (1, n) and bias of a logistic regression trained with dropout of ½."""
    batch = pixels(features, images, PAIR)
    batch = Batch(batch.x, batch.y[None].astype(float))
    _, p = learned((Dropout(0.5), Dense(1)), BinaryCrossEntropy(), batch)
    return batch, p["W"], float(p["b"][0, 0])


def penalty(*, rate: float, features: int, images: int, device: str) -> Tables:
    """What dropout adds to the loss, averaged over all masks: with the trained weights, and with smaller ones."""
    batch, beta, bias = logistic(features, images)
    layers, loss, masks = (Dropout(rate), Dense(1)), BinaryCrossEntropy(), all_masks(features)
    chance, rows = chances(masks, 1 - rate), []
    for stretch in STRETCHED:
        parameters: Parameters = ({}, {"W": stretch * beta, "b": np.array([[bias]])})
        job, plain = under_all(layers, loss, parameters, batch, masks), after_training(layers, loss, parameters, batch)
        for name, backend in backends(device).items():
            without = float(backend.snapshot(plain).loss)
            value = float(chance @ backend.snapshot(job).loss) - without
            rows.append({"backend": name, "rate": rate, "stretch": stretch, "value": value, "loss": without})
    return {"penalty": pd.DataFrame(rows), "agreement": closeness(job, "penalty", f"rate {rate}", device)}


# --- networks that overfit -------------------------------------------------------------------------------------------------


def classifier(width: int, keep: float) -> tuple[Layer, ...]:
    return Dense(width), ReLU(), Dropout(1 - keep), Dense(10)


def overfitting(wrong: float, keep: float, examples: int, width: int, steps: int, seeds: int) -> tuple[Job, Batch]:
    """A stack of seeds, each with its own digits, weights and masks, whatever ``keep``; and what each was trained on.

    A share ``wrong`` of the training labels is another digit's. Snapshots at six steps, with the outputs on the digits of
    the training ("train") and on others ("test").
    """
    held, layers = data.load("digits"), classifier(width, keep)
    network, random, labels = Network(layers, held.features), generator(0, "wrong"), held.train.y.copy()
    flipped = random.random(len(labels)) < wrong
    labels[flipped] = (labels[flipped] + random.integers(1, 10, flipped.sum())) % 10
    own = [generator(seed, "digits").permutation(len(labels))[:examples] for seed in range(seeds)]
    order = [own[seed][randomness.batches(seed, examples, BATCH, steps + 1)] for seed in range(seeds)]
    batches = np.stack(order, axis=1)
    parameters = tuple(
        {k: a[0] for k, a in p.items()} for p in randomness.stack(network, [initializers.he], seeds, "float64")
    )
    seen = Batch(np.stack([held.train.x[:, one] for one in own]), np.stack([labels[one] for one in own]))
    job = Job(
        layers,
        CrossEntropy(),
        parameters,
        Batch(held.train.x, labels),
        batches,
        Adam(3e-3),
        tuple(sorted({steps * k // 6 for k in range(1, 7)})),
        {"train": seen, "test": held.test},
        noise=randomness.noise(network, 0, batches, (seeds,)),
    )
    return job, seen


def sweep(*, wrong: float, keep: float, examples: int, width: int, steps: int, seeds: int, device: str) -> Tables:
    """Loss and error on training and test digits, and what comes of using dropout wrongly after training."""
    job, seen = overfitting(wrong, keep, examples, width, steps, seeds)
    test = data.load("digits").test
    rows = []
    for name, backend in backends(device).items():
        named = {"backend": name, "wrong": wrong, "keep": keep}
        for shot in backend.train(job):
            scores = [*scored(shot.scores["train"], seen.y), *scored(shot.scores["test"], test.y)]
            axes = {"quantity": ["train loss", "train error", "test loss", "test error"], "seed": range(seeds)}
            rows.append(probes.rows(np.array(scores), axes, step=shot.step, **named))
        used = uses(backend, job, shot.parameters, test, keep)
        rows.append(
            probes.rows(
                np.array(list(used.values())), {"quantity": list(used), "seed": range(seeds)}, step=shot.step, **named
            )
        )
    return {"measurements": pd.concat(rows, ignore_index=True)}


def scored(output: Array, labels: Array) -> tuple[Array, Array]:
    """Cross-entropy and error (S,) of outputs (S, 10, m)."""
    right = np.take_along_axis(output, np.broadcast_to(labels, output[:, 0].shape)[:, None], -2)[:, 0]
    return (logsumexp(output, axis=-2) - right).mean(-1), 1 - metrics.accuracy(output, labels)


def uses(backend: Backend, job: Job, parameters: Parameters, test: Batch, keep: float) -> dict[str, Array]:
    """The test loss with dropout left on, and as if trained without 1/p; how active the hidden units are after training."""
    width, examples, seeds = job.network.widths[0], test.x.shape[1], job.leading[0]
    left_on = generator(0, "left on").random((seeds, width, examples)) < keep
    every = np.ones(
        (width, examples), bool
    )  # all units, times 1/p: what has learned without the factor gives out all that
    losses = {}
    for name, mask in {"left on": left_on, "factor lost": every}.items():
        looked = Job(job.layers, job.loss, parameters, test, noise=handed(job.layers, job.network.inputs, mask))
        losses[f"test loss, {name}"] = backend.snapshot(looked).loss
    hidden = backend.snapshot(after_training(job.layers, job.loss, parameters, test)).outputs[1]
    return losses | {"mean activation": hidden.mean((-2, -1)), "active share": (hidden > 0).mean((-2, -1))}


def trajectory(*, device: str) -> Tables:
    """Both implementations trained alone with the same masks, step by step side by side."""
    job, _ = overfitting(0.2, 0.5, 100, 32, 30, 2)
    ours, theirs = (list(backend.train(job)) for backend in backends(device).values())
    found = agreement.trajectory(job, ours, theirs, generator(0, "shadows"))
    return {"agreement": agreement.table(found, "trajectory", "64-32-10 ReLU, keep 0.5, Adam")}
