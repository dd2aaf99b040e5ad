"""How large may the learning rate be?

Batch norm below every ReLU allows larger ones; over every layer, where nothing but weights is learnt, rates far beyond any that are used
still train. Without it even a linear unit diverges above 2/λ, λ the loss's largest curvature.
"""

from dataclasses import replace

import numpy as np

from experiments import data
from experiments.compare import probes
from experiments.compare.backends import Backend, backends
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, figure, over_seeds, stacked, table
from experiments.lab.figures import joined, panels, series
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import SGD, Batch, BatchNorm, CrossEntropy, Dense, Job, Layer, Network, ReLU, SquaredError, initializers
from scratch.optimizers import Rates
from scratch.randomness import generator
from .shared import beside, finished, fixed, order, over_pairs, single, spread

WIDTH, DEPTH = 32, 3  # of the networks that learn the digits at many rates
WORKS = 0.8  # share of the test digits that a learning rate which works gets right, after few steps
LARGER = {"hidden": 1.0, "everywhere": 30.0}  # how many times larger at least; 30: Ioffe & Szegedy's boldest
PLACES = {"hidden": "below every ReLU", "everywhere": "over every layer"}


def learner(kind: str) -> tuple[Layer, ...]:
    """``none``; ``hidden``: batch norm below every ReLU, with γ and β, as usual; ``everywhere``: over every layer, weights alone."""
    if kind == "none":
        return (*(Dense(WIDTH), ReLU()) * DEPTH, Dense(10))
    if kind == "hidden":
        return (*(Dense(WIDTH, bias=False), BatchNorm(), ReLU()) * DEPTH, Dense(10))
    norm = BatchNorm(affine=False)
    return (*(Dense(WIDTH, bias=False), norm, ReLU()) * DEPTH, Dense(10, bias=False), norm)


@cells(
    lambda options: [{"kind": kind, "steps": options.tried_steps} for kind in ("none", *options.places)],
    cost=Cost(10, 400),
)
def rates_tried(lab: Lab, kind: str, steps: int, tried: tuple[float, ...], tried_seeds: int) -> Frame:
    """Share of the test digits right after some steps at each rate; the same weights and batches at all of them."""
    held, layers = data.load("digits"), learner(kind)
    weights = spread(single(Network(layers, held.features), initializers.he, tried_seeds), (len(tried),))
    batches = order(held.train.x.shape[1], steps, tried_seeds)[:, None]
    shared = np.broadcast_to(batches, (steps + 1, len(tried), *batches.shape[2:]))
    optimizer = SGD(tuple((rate,) * tried_seeds for rate in tried))
    job = Job(layers, CrossEntropy(), weights, held.train, shared, optimizer, (steps,), {"test": held.test})
    axes = {"rate": tried, "seed": range(tried_seeds)}
    return lab.rows(lab.train(job), lambda shots: probes.answered(next(shots).scores["test"], held.test.y), axes)


@table
def span(rates_tried: Frame) -> Frame:
    """Share of test digits right at each rate, mean over the networks."""
    return over_seeds(rates_tried, ["backend", "kind", "rate"]).drop(columns=["seeds", "dof"])


@table
def ends(rates_tried: Frame) -> Frame:
    """For each network the largest rate that works, and the first above it that was tried and does not (none: all work)."""
    rows, key = [], ["backend", "kind", "seed"]
    for named, run in rates_tried.sort_values("rate").groupby(key, sort=False):
        works = run[run.value >= WORKS].rate
        above = run[run.rate > works.max()].rate
        found = {"smallest": works.min(), "largest": works.max(), "fails": above.min()}
        rows.append(dict(zip(key, named, strict=True)) | found)
    return Frame(rows).sort_values(key, ignore_index=True)


@claims
def larger(ends: Frame) -> Claims:
    """From the least that each ratio can be."""
    found, kinds = (
        [Frame()],
        set(ends.kind),
    )  # none if the cells of the others, or of those without batch norm, failed
    for kind in sorted(LARGER.keys() & kinds) if "none" in kinds else ():
        ours, plain = beside(ends, "kind", kind, "none", ["backend", "seed"])
        gain = over_pairs(np.log10(ours.largest / plain.fails), np.log10(plain.largest / ours.largest))
        said = PLACES[kind] + ", weights alone" * (kind == "everywhere")
        found.append(compare(gain, said, predicted=np.log10(LARGER[kind])))
    yield Claim(
        name="larger learning rates",
        statement="With batch norm below every ReLU larger rates still train; over every layer, with nothing learnt but weights, "
        "rates at least 30 times as large (log₁₀ of the ratio of the largest).",
        source="Ioffe & Szegedy 2015, sections 3.3 and 4.2.1",
        basis=f"Trained: {WORKS:.0%} of the test digits. The largest rate tried that trains, over the first beyond it that does not "
        "without batch norm: a lower bound. Seeds paired, Student's t.",
        control="the two exchanged",
        comparisons=stacked(found),
        test="at least",
    )


@figure("Larger learning rates")
def rates(span: Frame) -> Figure:
    """Share of test digits right after some steps of gradient descent, over the learning rate, with three hidden layers of 32 ReLUs. With
    batch norm below every ReLU (γ and β learnt, as usual) the last layer is the first to diverge. Where batch norm stands over that layer
    too, and nothing but weights is learnt, no rate diverges: a rate that is far too large only makes the weights so long that the next
    steps turn them little, as a small rate does. The dotted line is a guess, one in ten.
    """
    figure, (ax,) = panels([""], width=5.6, height=3.2, margins=(0.85, 2.9, 0.6, 0.15))
    for index, (kind, label) in enumerate(({"none": "without"} | PLACES).items()):
        one = span[span.kind == kind]
        if len(one):
            joined(ax, one, label, index, x="rate")
    ax.axhline(0.1, color="black", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", xlabel="learning rate", ylabel="share of test digits right", ylim=(0, 1))
    return finished(figure, [ax], predicted=False)


INPUTS, EXAMPLES = 6, 32  # of a linear unit
MEANS = (0.0, 1.0, 3.0)  # of its inputs, whose variance is 1: the farther from 0, the steeper is one direction
BRACKET = (-3.0, 2.0)  # powers of ten between which the largest rate is looked for
CLOSING = (4, 60)  # rates that are tried side by side, and the steps after which the loss grows or falls
GAINED = 1e-9  # relative; rounding of the loss is 1e-15, a rate 0.1 % above the largest gains 0.1 % and more
POWERS = 40  # rounds of power iteration: what is left of the second eigenvalue, 0.8 of the first at mean 0, is 1e-8


def regression(seeds: int) -> Batch:
    """Inputs around each of the means, and targets of mean 0 and variance 1, the same for all of them: (M, S, 1, …, m)."""
    random = [generator(seed, "regression") for seed in range(seeds)]
    x = np.stack([r.standard_normal((1, INPUTS, EXAMPLES)) for r in random])
    y = np.stack([r.standard_normal((1, 1, INPUTS)) for r in random]) @ x
    y += np.stack([r.standard_normal((1, 1, EXAMPLES)) for r in random])
    y = (y - y.mean(-1, keepdims=True)) / y.std(-1, keepdims=True)
    return Batch(np.stack([mean + x for mean in MEANS]), np.stack([y] * len(MEANS)))


def sharpness(backend: Backend, batch: Batch) -> Array:
    """λ (M, S): the largest eigenvalue of the Hessian of mean (wx − y)², by power iteration on differences of gradients."""
    v = np.ones((*batch.x.shape[:3], 1, INPUTS))

    def gradient(w: Array) -> Array:
        return backend.snapshot(Job((Dense(1, bias=False),), SquaredError(), ({"W": w},), batch)).gradients[0]["W"]

    zero = gradient(0 * v)
    for _ in range(POWERS):
        v = gradient(v) - zero
        v = v / np.linalg.norm(v, axis=-1, keepdims=True)
    return ((gradient(v) - zero) * v).sum(-1)[..., 0, 0]


@cells(cost=Cost(2.7, 120))
def brackets(lab: Lab, seeds: int, rounds: int) -> Frame:
    """Between which two rates gradient descent begins to diverge, and λ: M×S linear units, several rates a round side by side.

    Each implementation closes in by itself. Where no rate diverges, the largest is given.
    """
    batch, rows = regression(seeds), []
    start = np.stack([generator(seed, "start").standard_normal((1, 1, INPUTS)) for seed in range(seeds)])
    weights = np.broadcast_to(start, (len(MEANS), seeds, CLOSING[0], 1, INPUTS)).copy()
    for norm in ("none", "batch"):
        layers = (Dense(1, bias=False), *fixed(norm))
        job = Job(layers, SquaredError(), ({"W": weights}, *({},) * (len(layers) - 1)), batch)
        lab.look(job, f"linear unit, norm {norm}")
        for name, backend in backends(lab.device).items():
            found = probes.rows(
                sharpness(backend, batch), {"mean": MEANS, "seed": range(seeds)}, backend=name, norm=norm
            )
            low, high = closed_in(backend, job, rounds)
            rows.append(found.rename(columns={"value": "sharpness"}).assign(low=low.reshape(-1), high=high.reshape(-1)))
    return stacked(rows)


def closed_in(backend: Backend, job: Job, rounds: int) -> tuple[Array, Array]:
    """The two rates (M, S). Training diverges if the last step adds to the loss, and more than rounding does."""
    tried, steps = CLOSING
    batches = np.tile(np.arange(EXAMPLES), (steps + 1, 1))
    low, high = (np.full(job.leading[:2], power) for power in BRACKET)
    for _ in range(rounds):
        grid = np.linspace(low, high, tried + 2, axis=-1)  # (M, S, tried + 2)
        optimizer = SGD(nested(10 ** grid[..., 1:-1]))
        training = replace(job, batches=batches, optimizer=optimizer, snapshots=(steps - 1, steps))
        before, last = (shot.loss for shot in backend.train(training))
        diverged = ~(last <= before * (1 + GAINED))  # overflow counts
        where = np.where(diverged.any(-1), diverged.argmax(-1), tried)[..., None]
        low, high = (np.take_along_axis(grid, where + k, -1)[..., 0] for k in (0, 1))
    return 10**low, 10**high


def nested(rates: Array) -> Rates:
    """An array of rates as the tuples of tuples that an optimizer takes."""
    return float(rates) if rates.ndim == 0 else tuple(nested(each) for each in rates)


@table
def threshold(brackets: Frame) -> Frame:
    """The largest rates for each mean of the inputs, geometric means over the data, as measured and as 2/λ."""
    logs = brackets.assign(measured=np.log(brackets.low * brackets.high) / 2, predicted=np.log(2 / brackets.sharpness))
    found = np.exp(logs.groupby(["backend", "norm", "mean"], sort=False)[["measured", "predicted"]].mean())
    return found.reset_index().assign(standard_error=0.0)


@claims
def largest(brackets: Frame) -> Claims:
    """From the logarithms of both ends of the bracket; its width is the uncertainty."""
    ours, other = beside(brackets, "norm", "none", "batch", ["backend", "mean", "seed"])
    low, high = np.log(ours.low), np.log(ours.high)
    yield Claim(
        name="the largest rate",
        statement="Without batch norm gradient descent on a linear unit diverges above η = 2/λ, λ the loss's largest curvature "
        "(logarithm of η).",
        source="each step multiplies the error along an eigenvector by 1 − ηλ",
        basis="λ by power iteration on gradients. The rate by trying many, then many between those two where it begins to diverge: "
        "the last two are the interval, as if the rate were uniform between them.",
        control="batch norm after the unit, whose loss does not diverge at any rate tried: the largest",
        comparisons=compare(ours, "inputs of mean {mean:g}, data {seed}", measured=(low + high) / 2,
                            predicted=np.log(2 / ours.sharpness), standard_error=(high - low) / np.sqrt(12),
                            control_measured=np.log(other.high)),
    )  # fmt: skip


@figure("The largest rate of a linear unit")
def largest_rate(threshold: Frame) -> Figure:
    """A linear unit under gradient descent: the largest learning rate at which its loss does not grow, and 2/λ, λ the loss's largest
    curvature: inputs that lie away from zero make one direction steep. With batch norm above the unit no rate that was tried diverges;
    100 was the largest.
    """
    figure, (ax,) = panels([""], width=4.2, height=3.0, margins=(0.95, 2.5, 0.6, 0.15))
    ours, plain = (threshold[threshold.norm == norm] for norm in ("batch", "none"))
    series(ax, ours.assign(predicted=np.nan), "with batch norm", 0, x="mean")
    series(ax, plain, "without", 1, x="mean")
    ax.set(yscale="log", xlabel="mean of the inputs (their variance is 1)", ylabel="largest learning rate")
    return finished(figure, [ax])
