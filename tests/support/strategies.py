"""Hypothesis strategies: any layers in any order, with losses, penalties, optimizers and data that fit them.

Hypothesis draws the structure, and shrinks it to the smallest network that fails; the numbers come from a generator whose seed
it draws. Options are eighths: float32 holds them exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.random import Generator

import scratch as s
from experiments.catalog.gradients.pieces import started
from scratch import training
from scratch.contract import Batch, Job
from scratch.layers import Array, Layer
from scratch.network import Network
from scratch.randomness import noise

WIDTHS = st.integers(1, 9)
EXAMPLES = st.integers(1, 17)
SEEDS = st.integers(0, 2**32 - 1)
STACKS = st.lists(st.integers(1, 3), max_size=2).map(tuple)
DTYPES = st.sampled_from(("float64", "float32"))
MODERATE = 30.0  # the definitions hold for moderate numbers only: e^88 overflows in float32
LOGIT = 8.0  # and of a larger logit 1 − σ(z) keeps too few digits for a logarithm


def eighths(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(round(8 * low), round(8 * high)).map(lambda k: k / 8)


def one_or_each(amounts: st.SearchStrategy[float], width: int) -> st.SearchStrategy[float | tuple[float, ...]]:
    """One number for all outputs, or one for each."""
    return amounts | st.tuples(*[amounts] * width)


BOUNDS = st.tuples(eighths(-2, 0.5), eighths(0.125, 2)).map(lambda pair: (pair[0], pair[0] + pair[1]))
KINKED = st.one_of(
    st.just(s.Identity()),
    st.just(s.ReLU()),
    st.builds(s.LeakyReLU, eighths(-1, 1.5)),
    BOUNDS.map(lambda bounds: s.HardTanh(*bounds)),
)
SMOOTH = st.one_of(
    st.sampled_from((s.Sigmoid(), s.Tanh(), s.SELU(), s.SiLU(), s.Mish())),
    st.builds(s.ELU, eighths(-0.5, 2)),
    st.builds(s.GELU, st.sampled_from(("none", "tanh"))),
    st.builds(s.Softplus, eighths(0.125, 4), st.sampled_from((20.0, 3.3, 0.7))),
)
ELEMENTWISE = KINKED | SMOOTH
RUNNING = st.sampled_from((False, False, True))


def batch_norms(epsilons: st.SearchStrategy[float]) -> st.SearchStrategy[Layer]:
    return st.builds(s.BatchNorm, epsilons, st.none() | eighths(0, 1), affine=st.booleans(), running=RUNNING)


def mixed(*kinds: st.SearchStrategy[Layer]) -> st.SearchStrategy[Layer]:
    """Each of them as often as the others, which ``st.one_of`` would take apart into what they are made of."""
    return st.sampled_from(kinds).flatmap(lambda kind: kind)


def several(epsilons: st.SearchStrategy[float]) -> tuple[st.SearchStrategy[Layer], ...]:
    """Any layer but dropout."""
    return DENSE, DENSE, ELEMENTWISE, batch_norms(epsilons), st.builds(s.LayerNorm, epsilons, st.booleans()), ACROSS


ACROSS = st.sampled_from((s.Softmax(), s.LogSoftmax()))
DENSE = st.builds(s.Dense, WIDTHS, st.booleans())
DROPOUTS = st.builds(s.Dropout, eighths(0, 1), st.sampled_from((True, True, False)))
EPSILONS = st.sampled_from((1e-5, 1e-3, 0.125, 1e-6))  # a smaller one drowns in float32
PLAIN = mixed(*several(EPSILONS))
NOISY = mixed(*several(EPSILONS), DROPOUTS)
# two numbers that are normalized with a small ε become their signs, and the gradient that is left is rounding
TRAINED = mixed(*several(st.sampled_from((0.125, 0.5))), DROPOUTS)
EXACT = mixed(DENSE, KINKED, st.builds(s.Dropout, st.sampled_from((0.0, 0.5))))  # dyadic numbers stay dyadic


@st.composite
def chains(
    draw: st.DrawFn, n_in: int, kinds: st.SearchStrategy[Layer], most: int = 6, nesting: int = 2
) -> tuple[Layer, ...]:
    """Up to ``most`` layers that follow each other, residual ones nested up to so deep among them."""
    found: list[Layer] = []
    for _ in range(draw(st.integers(0, most))):
        width = Network(tuple(found), n_in).widths[-1] if found else n_in
        found.append(draw(residuals(width, kinds, nesting - 1) if nesting and draw(st.integers(0, 4)) == 4 else kinds))
    return tuple(found)


@st.composite
def residuals(draw: st.DrawFn, n_in: int, kinds: st.SearchStrategy[Layer], nesting: int) -> Layer:
    inside = draw(chains(n_in, kinds, 3, nesting))
    if not inside or Network(inside, n_in).widths[-1] != n_in:
        inside = (*inside, s.Dense(n_in, draw(st.booleans())))
    return s.Residual(inside)


def normal(random: Generator, shape: tuple[int, ...]) -> Array:
    return 1.5 * random.standard_normal(shape)


def alike(random: Generator, shape: tuple[int, ...]) -> Array:
    """Examples that are all the same: no variance over the batch."""
    return np.repeat(normal(random, (*shape[:-1], 1)), shape[-1], axis=-1)


def whole(random: Generator, shape: tuple[int, ...]) -> Array:
    return random.integers(-2, 3, shape).astype(float)


INPUTS = st.sampled_from((normal, normal, normal, alike))


def probabilities(random: Generator, shape: tuple[int, ...]) -> Array:
    return random.uniform(0.02, 0.98, shape)


def binary(random: Generator, shape: tuple[int, ...]) -> Array:
    return random.integers(0, 2, shape).astype(float)


def labels(random: Generator, shape: tuple[int, ...]) -> Array:
    return random.integers(0, shape[-2], (*shape[:-2], shape[-1]))


REDUCTIONS = st.sampled_from(("mean", "sum"))
MEASURED = st.one_of(  # losses of numbers against numbers
    st.builds(s.SquaredError, reduction=REDUCTIONS),
    st.builds(s.AbsoluteError, reduction=REDUCTIONS),
    st.builds(s.Huber, eighths(0.125, 3), reduction=REDUCTIONS),
    st.builds(s.InnerProduct, reduction=REDUCTIONS),
)


@st.composite
def goals(draw: st.DrawFn, width: int) -> tuple:
    """Layers that end a network of so many outputs, a loss, and how its targets are drawn."""
    weights = st.none() | st.tuples(*[eighths(0, 2)] * width)
    ignored = st.sampled_from((-100, 0))
    kind = draw(st.sampled_from(("measured", "logits", "probabilities", "classes", "log-probabilities")))
    if kind == "measured":
        return (), draw(MEASURED), normal
    if kind == "logits":
        loss = draw(st.builds(s.BinaryCrossEntropy, one_or_each(eighths(0, 3), width), reduction=REDUCTIONS))
        return (), loss, draw(st.sampled_from((probabilities, binary)))
    if kind == "probabilities":
        loss = draw(st.builds(s.BinaryCrossEntropyFromProbabilities, reduction=REDUCTIONS))
        return (s.Sigmoid(),), loss, draw(st.sampled_from((probabilities, binary)))
    if kind == "classes":
        target = draw(st.sampled_from((labels, probabilities)))
        none = st.just(-100)  # PyTorch refuses to ignore a label where there are none
        options = (weights, ignored if target is labels else none, eighths(0, 1))
        return (), draw(st.builds(s.CrossEntropy, *options, reduction=REDUCTIONS)), target
    return (s.LogSoftmax(),), draw(st.builds(s.NegativeLogLikelihood, weights, ignored, reduction=REDUCTIONS)), labels


REACH = st.sampled_from(("weights", "all"))
PENALTIES = st.one_of(
    st.none(),
    st.builds(s.L1, eighths(0, 1), reach=REACH),
    st.builds(s.L2, eighths(0, 1), reach=REACH),
    st.builds(s.ElasticNet, eighths(0, 1), eighths(0, 1), reach=REACH),
)


@st.composite
def jobs(draw: st.DrawFn, kinds: st.SearchStrategy[Layer] = NOISY, data: st.SearchStrategy = INPUTS) -> Job:
    """A job to be looked at, whose numbers are moderate."""
    features = draw(WIDTHS)
    layers = draw(chains(features, kinds))
    if not layers or draw(st.booleans()):
        layers = (*layers, draw(DENSE))
    end, loss, target = draw(goals(Network(layers, features).widths[-1]))
    network = Network((*layers, *end), features)
    job = draw(filled(network, loss, draw(data), target, started))
    job = cast(replace(job, penalty=draw(PENALTIES)), draw(DTYPES))
    assume(not sees_one_unit(job, s.LayerNorm) and tame(job))  # a test of its own looks at that one
    assume(not decided_by_rounding(job))
    return job


@st.composite
def kinked_jobs(draw: st.DrawFn) -> Job:
    """Halves and whole numbers, which add and multiply without rounding: numbers that hit a kink hit it exactly."""
    features = draw(WIDTHS)
    layers = (*draw(chains(features, EXACT)), draw(DENSE | KINKED))
    job = draw(filled(Network(layers, features), draw(MEASURED), whole, whole, _halves))
    job = replace(job, penalty=draw(PENALTIES))
    assume(tame(job))
    return job


def _halves(random: Generator, name: str, shape: tuple[int, ...]) -> Array:
    return whole(random, shape) / 2


@st.composite
def filled(draw: st.DrawFn, network: Network, loss, data, target, start) -> Job:
    """Parameters, buffers, masks and data for the network, stacked or not."""
    random, m = np.random.default_rng(draw(SEEDS)), draw(EXAMPLES)
    held = any(network.shapes) or any(network.buffers())
    leading = draw(STACKS) if any(network.shapes) else ()
    parameters = tuple({k: start(random, k, (*leading, *a)) for k, a in named.items()} for named in network.shapes)
    buffers = (
        tuple({k: _grown(random, k, a) for k, a in named.items()} for named in network.buffers(leading))
        if held
        else None
    )
    if trains_on_batches(network):
        m = max(m, 2)
    own_x, own_y, own_noise = (leading if draw(st.booleans()) else () for _ in range(3))
    x, y = data(random, (*own_x, network.inputs, m)), target(random, (*own_y, network.widths[-1], m))
    masks = noise(network, draw(SEEDS), np.zeros((1, m), int), own_noise)
    return Job(
        network.layers, loss, parameters, Batch(x, y), buffers=draw(st.sampled_from((buffers, None))), noise=masks
    )


def _grown(random: Generator, name: str, start: Array) -> Array:
    return start if name.endswith("num_batches_tracked") else start + random.uniform(0, 1, start.shape)


def everywhere(layers: tuple[Layer, ...], n_in: int) -> Iterator[tuple[Layer, int]]:
    """Every layer, those inside residual ones too, with the number of its inputs."""
    for layer in layers:
        yield layer, n_in
        if isinstance(layer, s.Residual):
            yield from everywhere(layer.layers, n_in)
        n_in = layer.width(n_in)


def trains_on_batches(network: Network) -> bool:
    """Whether a layer needs two examples or more."""
    return any(
        isinstance(layer, s.BatchNorm) and not layer.running for layer, _ in everywhere(network.layers, network.inputs)
    )


def sees_one_unit(job: Job, *kinds: type[Layer]) -> bool:
    """Whether such a layer is given one unit: a gradient is then zero, and in PyTorch what rounding leaves of it."""
    return any(isinstance(layer, kinds) and n == 1 for layer, n in everywhere(job.layers, job.network.inputs))


def decided_by_rounding(job: Job) -> bool:
    """Whether a kink may lie where batch norm puts examples that are all the same: at 0, give or take a rounding."""
    kinds = [layer for layer, _ in everywhere(job.layers, job.network.inputs)]
    bent = any(isinstance(layer, (s.ReLU, s.LeakyReLU, s.ELU, s.SELU, s.HardTanh)) for layer in kinds)
    alike = bool((job.data.x == job.data.x[..., :1]).all())
    return alike and bent and any(isinstance(layer, s.BatchNorm) for layer in kinds)


def cast(job: Job, dtype: str) -> Job:
    def change(arrays):
        return arrays and tuple({name: a.astype(dtype) for name, a in named.items()} for named in arrays)

    x, y = (a if a.dtype.kind in "iu" else a.astype(dtype) for a in (job.data.x, job.data.y))
    return replace(job, parameters=change(job.parameters), buffers=change(job.buffers), data=Batch(x, y))


def tame(job: Job) -> bool:
    """Whether every number is one for which the definitions hold."""
    with np.errstate(all="ignore"):  # a class that weighs nothing may be all that there is
        shot = training.snapshot(job)
    sizes = [np.abs(a).max() for a in shot.outputs]
    logits = shot.outputs[-1 if isinstance(job.loss, s.BinaryCrossEntropy) else -2] if _has_logits(job) else np.zeros(1)
    return bool(max(sizes) < MODERATE and np.abs(logits).max() < LOGIT and np.isfinite(shot.loss).all())


def _has_logits(job: Job) -> bool:
    return isinstance(job.loss, s.BinaryCrossEntropy | s.BinaryCrossEntropyFromProbabilities)


@st.composite
def alone(draw: st.DrawFn) -> Job:
    """Batch normalization somewhere in a network that is shown one example."""
    width = draw(WIDTHS)
    norm = replace(draw(batch_norms(EPSILONS)), running=False)
    layers = (s.Dense(width), s.Residual((norm, s.Tanh())) if draw(st.booleans()) else norm, draw(DENSE))
    random, leading = np.random.default_rng(draw(SEEDS)), draw(STACKS)
    network = Network(layers, 3)
    parameters = tuple({k: started(random, k, (*leading, *a)) for k, a in named.items()} for named in network.shapes)
    data = Batch(normal(random, (3, 1)), normal(random, (network.widths[-1], 1)))
    return Job(layers, s.SquaredError(), parameters, data)


@st.composite
def _categorical(draw: st.DrawFn) -> tuple:
    weights = draw(st.none() | st.tuples(*[eighths(0, 2)] * CLASSES))
    ignored = draw(st.sampled_from((-100, 0)))
    kind = draw(st.sampled_from((s.CrossEntropy, s.NegativeLogLikelihood)))
    more = {"label_smoothing": draw(eighths(0, 1))} if kind is s.CrossEntropy else {}
    return kind(weights, ignored, **more)


CLASSES = 4
SUMMABLE = st.one_of(
    MEASURED,
    st.builds(s.BinaryCrossEntropy, one_or_each(eighths(0, 3), CLASSES)),
    st.just(s.BinaryCrossEntropyFromProbabilities()),
    _categorical(),
)


def outputs(loss: s.losses.Loss, random: Generator, m: int) -> tuple[Array, Array, float]:
    """What a network of four outputs might give to the loss, targets, and what its mean divides by."""
    shape = (CLASSES, m)
    if isinstance(loss, s.CrossEntropy | s.NegativeLogLikelihood):
        y = labels(random, shape)
        weight = np.ones(CLASSES) if loss.weight is None else np.array(loss.weight)
        return normal(random, shape), y, float(weight[y[y != loss.ignore_index]].sum())
    y = probabilities(random, shape)
    z = y[:, ::-1] if isinstance(loss, s.BinaryCrossEntropyFromProbabilities) else normal(random, shape)
    return z, y, m if isinstance(loss, s.InnerProduct) else z.size


RATES = st.sampled_from((0.1, 0.01, 0.003))
DECAYS = st.sampled_from((0.0, 0.1))
EPS = {"eps": st.just(2.0**-10)}  # a gradient that is zero but for rounding must not become a step of the rate's size
SHARES = eighths(0, 0.875)
BETAS = st.sampled_from(((0.9, 0.999), (0.5, 0.75)))
ADAM = {"betas": BETAS, "amsgrad": st.booleans(), "weight_decay": DECAYS, **EPS}
OPTIMIZERS = st.one_of(
    st.builds(s.SGD, RATES, SHARES, eighths(0, 1), weight_decay=DECAYS),
    st.builds(s.SGD, RATES, eighths(0.125, 0.875), nesterov=st.just(True), weight_decay=DECAYS),
    st.builds(s.Adagrad, RATES, DECAYS, eighths(0, 1), weight_decay=DECAYS, **EPS),
    st.builds(s.RMSProp, RATES, SHARES, momentum=SHARES, weight_decay=DECAYS, **EPS),
    # of a gradient that hardly changes s − m² soon cancels, unless m is slow
    st.builds(s.RMSProp, RATES, st.just(0.875), st.just(True), SHARES, weight_decay=DECAYS, **EPS),
    st.builds(s.Adadelta, RATES, SHARES, weight_decay=DECAYS, **EPS),
    st.builds(s.Adam, RATES, **ADAM),
    st.builds(s.AdamW, RATES, **ADAM),
)
COUNTS = st.integers(1, 6)
FACTORS = eighths(0.125, 1.5)
PLAIN_SCHEDULES = st.one_of(
    st.just(s.Constant()),
    st.builds(s.StepDecay, COUNTS, FACTORS),
    st.builds(s.MultiStep, st.sets(COUNTS, min_size=1, max_size=3).map(lambda steps: tuple(sorted(steps))), FACTORS),
    st.builds(s.Exponential, FACTORS),
    st.builds(s.InverseTime, eighths(0, 2)),
    st.builds(s.Polynomial, COUNTS, eighths(0.5, 3)),
    st.builds(s.Cosine, COUNTS, st.sampled_from((0.0, 1e-3))),
    st.builds(s.WarmRestarts, COUNTS, st.integers(1, 3), st.sampled_from((0.0, 1e-3))),
)
SCHEDULES = st.one_of(
    st.none(),
    PLAIN_SCHEDULES,
    st.builds(s.Warmup, COUNTS, PLAIN_SCHEDULES, eighths(0.125, 1)),
    st.builds(
        s.OneCycle,
        st.integers(8, 12),
        eighths(0.25, 0.5),
        st.sampled_from(("cos", "linear")),
        three_phase=st.booleans(),
    ),
    st.builds(
        s.ReduceOnPlateau,
        st.sampled_from(("min", "max")),
        eighths(0.125, 0.875),
        st.integers(0, 2),
        cooldown=st.integers(0, 2),
    ),
)
CLIPS = st.one_of(st.none(), st.builds(s.ClipNorm, eighths(0.125, 2)), st.builds(s.ClipValue, eighths(0.125, 1)))
CONSTRAINTS = st.none() | st.builds(s.MaxNorm, eighths(0.5, 2))


@st.composite
def trainings(draw: st.DrawFn, kinds: st.SearchStrategy[Layer] = TRAINED) -> Job:
    """A job of a few steps, looked at before each: batches of one size, of each network's own, or of changing sizes."""
    job = draw(jobs(kinds, st.just(normal)))
    steps, m = draw(COUNTS), job.data.x.shape[-1]
    fewest = 3 if trains_on_batches(job.network) else 1
    assume(m >= fewest and any(job.network.shapes))
    assume(not sees_one_unit(job, s.Softmax, s.LogSoftmax))
    assume(not job.loss.takes_labels or job.network.widths[-1] > 1)
    random, size = np.random.default_rng(draw(SEEDS)), draw(st.integers(fewest, m))
    shared = job.data.x.ndim == 2 and job.data.y.ndim == (1 if job.data.y.dtype.kind in "iu" else 2)
    own = job.leading if shared and draw(st.booleans()) else ()
    batches = random.permuted(np.broadcast_to(np.arange(m), (steps + 1, *own, m)), axis=-1)[..., :size]
    if not own and draw(st.booleans()):
        batches = [chosen[: draw(st.integers(fewest, size))] for chosen in batches]
    masks = noise(job.network, draw(SEEDS), batches)
    rates = draw(OPTIMIZERS)
    job = replace(
        job,
        batches=batches,
        noise=masks,
        snapshots=tuple(range(steps + 1)),
        optimizer=rates,
        schedule=draw(SCHEDULES),
        clip=draw(CLIPS),
        constraint=draw(CONSTRAINTS),
    )
    with np.errstate(all="ignore"):
        assume(all(np.isfinite(shot.loss).all() for shot in training.train(job)))  # not where all labels are ignored
    return job
