"""Why does a learning rate that is far too large do no harm?

A step that is too long makes the weights so long that the next ones turn them little. What is left of any rate is the same.
"""

import numpy as np

from experiments import data
from experiments.lab import COLOURS, Claim, Cost, Lab, cells, claims, compare, fan, figure, panels, stacked, table
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import SGD, Batch, CrossEntropy, Dense, Job, SquaredError, randomness
from scratch.randomness import generator
from . import BATCH, NORMS
from .shared import ROUNDING, beside, by_unit, farthest, finished, fixed, lively, normed, norms, scattered, spread

NOISY = (8, 32)  # inputs and examples a batch of the unit that is fed nothing but noise
JENSEN = 2e-3  # of E‖w‖⁴, relative; simulated in the tests


@cells(cost=Cost(1.3, 140))
def limited(lab: Lab, pushes: tuple[float, ...], seeds: int) -> Frame:
    """One step at many rates: what is left of the rate for each unit, η/‖w‖² after it in units of 1/(2‖w‖‖g‖) before.

    ``push`` η‖g‖/‖w‖; ``error`` in units of u: rounding of the weights, and of w·∂L/∂w, which is to be 0.
    """
    held, rows = data.load("digits").train, []
    batches = randomness.batches(0, held.x.shape[1], BATCH, 2)
    eta, sums = np.array(pushes)[:, None, None], np.sqrt(held.x.shape[0] + BATCH)
    optimizer = SGD(tuple((rate,) * seeds for rate in pushes))
    for norm in NORMS:
        layers = normed(norm)
        weights = spread(lively(layers, seeds), (len(pushes),))
        job = Job(layers, CrossEntropy(), weights, held, batches, optimizer, (0, 1))
        for name, shots in lab.train(job, f"norm {norm}").items():
            before, after = (norms(held.x[:, batches[shot.step]], shot) for shot in shots)
            share = 2 * eta * before["dw"] * before["w"] / after["w"] ** 2
            error = share * (8 + 2 * eta * sums * before["size"] / after["w"] ** 2)
            found = {"push": eta * before["dw"] / before["w"], "share": share, "error": error}
            rows.append(by_unit(found, "rate", pushes, seeds, backend=name, norm=norm))
    return stacked(rows)


def left_after(push: Array) -> Array:
    """η/‖w′‖² after a step orthogonal to w, in units of 1/(2‖w‖‖g‖): 2x/(1 + x²) with x = η‖g‖/‖w‖, by Pythagoras; at most 1."""
    return 2 * push / (1 + push**2)


@claims
def one_step(limited: Frame) -> Claims:
    """The unit farthest off for each rate, over all networks."""
    ours, plain = beside(limited, "norm", "batch", "none", ["backend", "rate", "seed", "unit"])
    frame = ours.assign(
        measured=ours.share,
        predicted=left_after(ours["push"]),
        standard_error=ROUNDING * ours.error,
        control_measured=plain.share,
        control_predicted=left_after(plain["push"]),
    )
    yield Claim(
        name="a step limits its own rate",
        statement="After one step η/‖w‖² is 2x/(1 + x²) ≤ 1 in units of 1/(2‖w‖‖g‖), x = η‖g‖/‖w‖: a rate too large makes itself small.",
        source="Pythagoras: the step is orthogonal to the weights",
        basis="The unit farthest off, for each rate. Standard error: rounding of the weights, and of w·∂L/∂w.",
        control="without batch norm",
        comparisons=compare(farthest(frame, "rate"), "η = {rate:g}"),
    )


@cells(cost=Cost(3.5, 220))
def tuned(lab: Lab, noise_rates: tuple[float, ...], noise_steps: int, chains: int) -> Frame:
    """‖w‖⁴ of a unit that is fed noise, inputs and targets fresh at every step: its gradient never ends, and is alike for ever.

    ``chains`` units with draws of their own, the same for every rate.
    """
    inputs, examples = NOISY
    looks = tuple(sorted({0, *np.unique(np.geomspace(1, noise_steps, 13).round().astype(int)).tolist()}))
    count = (noise_steps + 1) * chains * examples
    random = generator(0, "noise")
    fed = Batch(random.standard_normal((inputs, count)), random.standard_normal((1, count)))
    order = np.arange(count).reshape(noise_steps + 1, chains, examples)
    start = generator(0, "start").standard_normal((chains, 1, inputs))
    start /= np.linalg.norm(start, axis=-1, keepdims=True)
    rows = []
    for norm, rate in [(norm, rate) for norm in NORMS for rate in noise_rates]:
        layers = (Dense(1, bias=False), *fixed(norm))
        weights = ({"W": start}, *({},) * (len(layers) - 1))
        job = Job(layers, SquaredError(), weights, fed, order, SGD(rate), looks)
        for name, shots in lab.train(job, f"norm {norm}, rate {rate:g}").items():
            for shot in shots:
                fourth = (shot.parameters[0]["W"] ** 2).sum((-2, -1)) ** 2
                named = {"backend": name, "norm": norm, "rate": rate, "step": shot.step, "chains": chains}
                error = fourth.std(ddof=1) / np.sqrt(chains)
                rows.append({**named, "fourth": fourth.mean(), "fourth_error": error})
    return Frame(rows)


def noise(inputs: int, batch: int) -> tuple[float, float]:
    """G = E‖w‖²‖g‖² and E‖w‖⁴‖g‖⁴ of one unit, mean (x̂ − y)², where inputs (n of them) and targets are standard normal noise.

    ∂L/∂z = −(2/B)(1/σ)(y without its parts along 1 and x̂), and ∂L/∂w is its products with the inputs: 0 along w, and in the n − 1
    directions across, where inputs know nothing of z, Gaussian. So ‖g‖² = (4/B²)χ²(n−1)·χ²(B−2)/σ², σ² = ‖w‖²χ²(B−1)/B, and
    E χ⁴(k) = k(k + 2), E 1/χ²(k) = 1/(k − 2), E 1/χ⁴(k) = 1/((k − 2)(k − 4)).
    """
    n, b = inputs, batch
    first = 4 * (n - 1) * (b - 2) / (b * (b - 3))
    return first, 16 * (n - 1) * (n + 1) * (b - 2) / (b * (b - 3) * (b - 5))


def expected_fourth(rate: float, steps: int, inputs: int, batch: int) -> Array:
    """E‖w‖⁴ after 0 … ``steps`` steps on that noise from ‖w‖ = 1: Arora, Li & Lyu's growth, u ← u + 2η²G + η⁴E‖g̃‖⁴/u.

    ‖w′‖² = ‖w‖² + η²‖g̃‖²/‖w‖², g̃ the gradient at length 1; its square, in the mean. 1/E u stands for E 1/u, which is larger: that is
    felt where u scatters most, after one large step, and by JENSEN at most for the numbers here. For many steps u is 2η²Gt, and so the
    effective rate η/√u is 1/√(2Gt), whatever η.
    """
    (first, second), u = noise(inputs, batch), [1.0]
    for _ in range(steps):
        u.append(u[-1] + 2 * rate**2 * first + rate**4 * second / u[-1])
    return np.array(u)


@table
def outgrown(tuned: Frame) -> Frame:
    """Effective rates η/√E‖w‖⁴, measured and predicted; ``limit``: 1/√(2Gt), what is left of any rate."""
    laws = {rate: expected_fourth(rate, int(of.step.max()), *NOISY) for rate, of in tuned.groupby("rate")}
    law = np.array([laws[row.rate][row.step] for row in tuned.itertuples()])
    effective, half = tuned.rate / np.sqrt(tuned.fourth), tuned.fourth_error / tuned.fourth / 2
    found = tuned[["backend", "norm", "rate", "step"]].assign(measured=effective, predicted=tuned.rate / np.sqrt(law))
    with np.errstate(divide="ignore"):
        limit = 1 / np.sqrt(2 * noise(*NOISY)[0] * tuned.step)
    return found.assign(standard_error=effective * half, dof=tuned.chains - 1, limit=limit)


@claims
def many_steps(outgrown: Frame) -> Claims:
    late = outgrown[outgrown.step > 0]
    ours, plain = beside(late, "norm", "batch", "none", ["backend", "rate", "step"])
    yield Claim(
        name="the rate tunes itself",
        statement="Fed noise, weights grow like ‖w‖⁴ = 1 + 2η²Gt, and so the effective rate η/‖w‖² becomes 1/√(2Gt), whatever η.",
        source="Arora, Li & Lyu 2019, with G worked out for one unit",
        basis="Mean of ‖w‖⁴ over independent units, Student's t; G from χ² variables. Tolerance: the mean of 1/‖w‖⁴ taken for 1 over "
        "the mean.",
        control="without batch norm",
        comparisons=compare(ours, "η = {rate:g}, step {step}", tolerance=ours.predicted * JENSEN / 2,
                            control_measured=plain.measured, control_error=plain.standard_error),
    )  # fmt: skip


@figure("Weights outgrow the rate")
def weights_outgrow(limited: Frame, outgrown: Frame) -> Figure:
    """Left: a single step, every point one unit at one learning rate. What is left of the rate after it, η/‖w‖² in units of its bound
    1/(2‖w‖‖g‖), over how long the step is beside the weights. With batch norm above them every unit lies on the curve 2x/(1 + x²).
    Right: a unit that is fed nothing but noise, so that its gradient never ends. Whatever the learning rate, the effective rate becomes
    1/√(2Gt), the dotted line.
    """
    titles, margins = ["one step", "many steps of noise"], (0.95, 2.5, 0.6, 0.4)
    figure, axes = panels(titles, width=3.7, height=3.1, share_y=False, margins=margins)
    one = limited[limited.seed == 0]
    push = np.geomspace(one["push"].min(), one["push"].max(), 200)
    axes[0].plot(push, left_after(push), color=COLOURS[0], zorder=2)
    ours = one[one.norm == "batch"]
    scattered(axes[0], ours.iloc[::3], "a unit after one step", 0, x="push", y="share")
    axes[0].set(yscale="log", ylim=(ours.share.min() / 2, 3), xlabel="length of the step, η‖g‖/‖w‖")
    fed = outgrown[(outgrown.norm == "batch") & (outgrown.step > 0)]
    fan(axes[1], fed, "rate", "learning rate {:g}", x="step", first=1)
    limit = fed[fed.backend == "scratch"].drop_duplicates("step").sort_values("step")
    axes[1].plot(limit.step, limit.limit, color="black", linewidth=1.2, linestyle=":")
    axes[1].set(yscale="log", xlabel="steps", ylabel="effective rate, η/‖w‖²")
    axes[1].set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
    return finished(figure, axes, xscale="log", ylabel="rate left, of its bound")
