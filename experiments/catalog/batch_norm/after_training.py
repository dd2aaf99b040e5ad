"""Does a network give afterwards what it gave in training?

Its running statistics are without bias after some batches and never exact: the last ten batches or so are all that they remember. And
were they the population's own, a batch's stray from them, and in training the batch's are taken.
"""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from scipy.special import gammaln

from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, fan, figure, panels, series, table
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import SGD, Batch, BatchNorm, Job, SquaredError
from scratch.network import Parameters
from scratch.randomness import generator
from .shared import POPULATION, TINY, finished

FOLLOWED = (1, 2, 3, 5, 8, 12, 20, 35, 60)  # batches after which running statistics are looked at


@cells(each(batch="averaged"), cost=Cost(0.8, 430))
def averages(lab: Lab, batch: int, units: int) -> Frame:
    """Running statistics of Gaussian numbers: mean and variance over independent units, after some numbers of batches."""
    steps, (mean, variance) = max(FOLLOWED), POPULATION
    x = mean + np.sqrt(variance) * generator(0, "numbers", batch).standard_normal((units, (steps + 1) * batch))
    order = np.arange(x.shape[1]).reshape(steps + 1, batch)
    norm = BatchNorm(affine=False)
    job, rows = Job((norm,), SquaredError(), ({},), Batch(x, np.zeros_like(x)), order, SGD(), FOLLOWED), []
    for name, shots in lab.train(job).items():
        for shot in shots:
            for statistic, buffer in (("mean", "running_mean"), ("variance", "running_var")):
                held = shot.buffers[0][buffer][:, 0]
                named = {"backend": name, "batch": batch, "step": shot.step, "statistic": statistic, "units": units}
                rows.append({**named, "momentum": norm.momentum, "average": held.mean(), "spread": held.var(ddof=1)})
    return Frame(rows)


def weights(momentum: float, steps: int) -> Array:
    """What an exponential average gives to each of the batches so far, the newest first: μ(1 − μ)ᵏ."""
    return momentum * (1 - momentum) ** np.arange(steps)


def average(momentum: float, steps: int, start: float, truth: float) -> float:
    """Expected running average after so many batches: (1 − μ)ᵗ of its first value is left."""
    left = (1 - momentum) ** steps
    return left * start + (1 - left) * truth


def spread(momentum: float, steps: int, variance: float) -> float:
    """Its variance, if a batch's value has ``variance``: μ/(2 − μ)·(1 − (1 − μ)²ᵗ) of that."""
    return momentum / (2 - momentum) * (1 - (1 - momentum) ** (2 * steps)) * variance


def of_one_batch(sigma2: float, batch: int) -> dict[str, float]:
    """Variance of a Gaussian batch's mean, σ²/B, and of its unbiased variance, 2σ⁴/(B − 1)."""
    return {"mean": sigma2 / batch, "variance": 2 * sigma2**2 / (batch - 1)}


def excess(statistic: str, momentum: float, steps: int, batch: int) -> float:
    """Excess kurtosis of the running average: 0 for the mean; 12/(B−1)·Σw⁴/(Σw²)² for the variance, a sum of χ²."""
    w2 = weights(momentum, steps) ** 2
    return 0.0 if statistic == "mean" else float(12 / (batch - 1) * (w2**2).sum() / w2.sum() ** 2)


@table
def running(averages: Frame) -> Frame:
    """With the mean and variance that an exponential average is to have, their standard errors over the units, and the wrong ones."""
    return averages.join(Frame([expected(row) for row in averages.itertuples()], index=averages.index))


def expected(row: Any) -> dict[str, float]:
    mean, variance = POPULATION
    start, truth = {"mean": (0.0, mean), "variance": (1.0, variance)}[row.statistic]
    one = of_one_batch(variance, row.batch)[row.statistic]
    wide, heavy = spread(row.momentum, row.step, one), excess(row.statistic, row.momentum, row.step, row.batch)
    other = 1 - row.momentum  # what "momentum" means in other libraries: the weight of the old value
    return {
        "law": average(row.momentum, row.step, start, truth),
        "law_error": np.sqrt(wide / row.units),
        "wrong": average(other, row.step, start, truth),
        "spread_law": wide,
        "spread_error": wide * np.sqrt((2 + heavy) / row.units),
        "spread_wrong": spread(other, row.step, one),
    }


@claims
def of_averages(running: Frame) -> Claims:
    basis = "Independent Gaussian units. Standard error: the average's own variance, with its kurtosis, over the number of units."
    for (column, law, error, wrong), name, statement, source in (
        (
            ("average", "law", "law_error", "wrong"),
            "running statistics arrive",
            "After t batches the running mean and variance have forgotten their first values up to 0.9ᵗ, and are unbiased.",
            "E rₜ = 0.9ᵗ r₀ + (1 − 0.9ᵗ) of the population's",
        ),
        (
            ("spread", "spread_law", "spread_error", "spread_wrong"),
            "and go on wavering",
            "However long one trains, their variance stays μ/(2 − μ) = 1/19 of one batch's: σ²/B for means, 2σ⁴/(B − 1) for variances.",
            "a sum with weights μ(1 − μ)ᵏ",
        ),
    ):
        compared = compare(running, "{statistic}, {step} batches of {batch}", measured=running[column],
                           predicted=running[law], standard_error=running[error], control_predicted=running[wrong])  # fmt: skip
        yield Claim(name, statement, source, basis, "momentum as the weight of the old value", compared)


@figure("Running statistics")
def wavering(running: Frame) -> Figure:
    """Running mean and variance of Gaussian numbers, true mean 3 and variance 4, momentum 0.1, over many independent units. Left: how
    the average forgets its first values, 0 and 1. Right: its standard deviation over the units, which does not go to zero: the last ten
    batches or so are all that it remembers.
    """
    titles = ["running mean", "running variance", "deviation of the mean", "of the variance"]
    figure, axes = panels(titles, width=2.6, height=2.8, share_y=False, margins=(0.8, 2.3, 0.6, 0.4))
    center = running.assign(measured=running.average, predicted=running.law, standard_error=running.law_error)
    deviation = running.assign(
        measured=running.spread**0.5,
        predicted=running.spread_law**0.5,
        standard_error=running.spread_error / (2 * np.sqrt(running.spread_law)),
    )
    for ax, (shown, statistic) in zip(axes, product((center, deviation), ("mean", "variance")), strict=True):
        fan(ax, shown[shown.statistic == statistic], "batch", "batches of {}", x="step")
    axes[2].set_ylabel("standard deviation over units")
    spans = {"xlabel": "batches so far", "xscale": "log", "ylim": (0, None)}
    return finished(figure, axes, ylabel="mean over units", **spans)


@cells(each(batch="compared"), cost=Cost(0.25, 190))
def gaps(lab: Lab, batch: int, units: int) -> Frame:
    """Mean square difference of the output in training and after it, the running statistics being the population's."""
    mean, variance = POPULATION
    x = mean + np.sqrt(variance) * generator(1, "numbers", batch).standard_normal((units, batch))
    moments = {"running_mean": np.full((units, 1), mean), "running_var": np.full((units, 1), variance)}
    buffers: Parameters = (moments | {"num_batches_tracked": np.ones((1, 1))},)
    norm = BatchNorm(TINY, affine=False)
    job = Job((norm,), SquaredError(), ({},), Batch(x, np.zeros_like(x)), buffers=buffers)
    training = lab.look(job, f"batch {batch}, in training")
    after = lab.look(replace(job, layers=(norm.inference(),)), f"batch {batch}, afterwards")
    rows = []
    for name in training:
        square = ((training[name].outputs[0] - after[name].outputs[0]) ** 2).mean(-1)
        error = square.std(ddof=1) / np.sqrt(units)
        found = {"measured": square.mean(), "standard_error": error, "dof": units - 1}
        rows.append({"backend": name, "batch": batch} | found)
    return Frame(rows)


def between(batch: int) -> float:
    """E (x̂ in training − x̂ after it)² for Gaussian inputs whose mean and variance are known: 2(1 − E s), about 3/(2B).

    With g standard normal, x̂ is (g − ḡ)/s in training and g after. Σ(g − ḡ)g = Bs², so the mean square is 1 − 2s + mean g², and s is
    √(χ²/B) with B − 1 degrees of freedom: E s = √(2/B) Γ(B/2)/Γ((B−1)/2).
    """
    return float(2 * (1 - np.sqrt(2 / batch) * np.exp(gammaln(batch / 2) - gammaln((batch - 1) / 2))))


@table
def gap(gaps: Frame) -> Frame:
    return gaps.assign(predicted=[between(batch) for batch in gaps.batch])


@claims
def differ(gap: Frame) -> Claims:
    yield Claim(
        name="training and use differ",
        statement="Even with the true mean and variance, the output after training differs: "
        "mean square 2(1 − √(2/B) Γ(B/2)/Γ((B−1)/2)) ≈ 3/(2B).",
        source="the mean of a χ variable",
        basis="Independent Gaussian units, one batch each; Student's t over units.",
        control="1/B: as if only the batch's mean strayed, not its variance",
        comparisons=compare(gap, "batch of {batch}", control_predicted=1 / gap.batch),
    )


@figure("Training and use differ")
def training_and_use(gap: Frame) -> Figure:
    """How far the output in training is from the output after it, mean square, when the running statistics are exactly right. The line
    is 2(1 − E s), about 3/(2B); the dotted line 1/B is what straying of the batch's mean alone would give.
    """
    figure, (ax,) = panels([""], width=4.4, height=3.0, margins=(0.95, 2.3, 0.6, 0.15))
    series(ax, gap, "Gaussian units", 0, x="batch")
    ours = gap[gap.backend == "scratch"].sort_values("batch")
    ax.plot(ours.batch, 1 / ours.batch, color="black", linewidth=0.8, linestyle=":", label="1/B")
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(ours.batch), [str(batch) for batch in ours.batch])
    ax.set(yscale="log", xlabel="examples in the batch, B", ylabel="mean square difference")
    return finished(figure, [ax])
