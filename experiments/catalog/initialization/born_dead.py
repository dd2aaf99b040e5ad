"""How often is a narrow ReLU network born dead for all of the data, and does a positive bias help?

Such a network gives out zeros whatever the input, and its gradient is exactly 0.
"""

import numpy as np
from scipy.special import ndtr

from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, figure, key, panels, series, stacked, table
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Batch, ReLU, Snapshot, initializers
from .shared import band, drawn, hidden, measured

DEPTH, BIASED_DEPTH = 10, 6


@cells(each(width="dead_widths"), cost=Cost(0.27, 170))
def dead_shares(lab: Lab, width: int, dead_draws: int) -> Frame:
    """The share of ReLU networks (He, no bias) of one input that are dead for all numbers of both signs, and for those above 0.

    A network without biases does to every positive number what it does to 1: two inputs, 1 and −1, stand for all.
    """
    data = Batch(np.array([[1.0, -1.0]]), np.ones((width, 2)))
    shots = lab.look(drawn(hidden(ReLU(), (width,) * DEPTH), data, initializers.he, dead_draws), f"width {width}")

    def seen(shot: Snapshot) -> dict[str, Array]:
        silent = np.all(np.array(shot.outputs[1::2]) == 0, axis=-2)  # (layers, draws, inputs)
        shares = np.stack([silent.all(-1), silent[..., 0]], axis=-1).mean(1)
        return {"count": np.array(dead_draws), "measured": shares}

    axes = {"depth": range(1, DEPTH + 1), "inputs": ["both signs", "one sign"]}
    return measured(lab, shots, seen, axes, width=width)


def both_dead(n: int, depth: int) -> tuple[Array, Array]:
    """Bounds on P(x and −x are both dead) after 1 … ``depth`` ReLU layers of width n, no bias; exact in the first two.

    A unit is off for a living input with probability ½, for both at an angle θ with q = (π − θ)/2π. In layer 1, θ = π:
    q = 0. What it hands on has no unit in common, θ = π/2: q = ¼. From then on 0 ≤ θ ≤ π/2, and the more two inputs
    look alike the likelier they die together, so q = ¼ and q = ½ are the bounds.
    """
    found = []
    for later in (0.25, 0.5):
        both, one, dead = 1.0, 0.0, [0.0]
        for layer in range(1, depth + 1):
            off, together = 0.5**n, {1: 0.0, 2: 0.25**n}.get(layer, later**n)
            dead.append(dead[-1] + both * together + one * off)
            one = one * (1 - off) + both * 2 * (off - together)
            both *= 1 - 2 * off + together
        found.append(np.array(dead[1:]))
    return found[0], found[1]


def bounds(width: int, depth: int, inputs: str) -> tuple[float, float, float]:
    """The lowest and highest share of dead networks, and that for a single input."""
    single = 1 - (1 - 0.5**width) ** depth
    low, high = (bound[-1] for bound in both_dead(width, depth)) if inputs == "both signs" else (single, single)
    return low, high, single


@table
def dead_sets(dead_shares: Frame) -> Frame:
    """Beside the bounds for both signs and the law for one; the standard error is binomial, at the middle of the bounds."""
    low, high, single = np.array([bounds(row.width, row.depth, row.inputs) for row in dead_shares.itertuples()]).T
    middle = (low + high) / 2
    return dead_shares.assign(
        low=low,
        high=high,
        predicted=middle,
        tolerance=(high - low) / 2,
        single=single,
        standard_error=np.sqrt(np.maximum(middle * (1 - middle), 0) / dead_shares["count"]),
    )


@cells(each(width=(2, 3)), cost=Cost(0.25, 73))
def biased(lab: Lab, width: int, biases: tuple[float, ...], dead_draws: int) -> Frame:
    """Every bias at b: the share of the layers reached by a signal that are switched off as a whole; what Φ gives for it."""
    x, found = np.linspace(0.5, 1.5, width).reshape(-1, 1), []
    layers, draws = hidden(ReLU(), (width,) * BIASED_DEPTH, bias=True), dead_draws // 2
    for bias in biases:

        def everywhere(generator: np.random.Generator, shape: tuple[int, ...], bias: float = bias) -> Array:
            return np.full(shape, bias)

        job = drawn(layers, Batch(x, np.ones((width, 1))), initializers.he, draws, everywhere)

        def seen(shot: Snapshot, bias: float = bias) -> dict[str, float]:
            norms = np.linalg.norm([np.broadcast_to(x, shot.outputs[1].shape), *shot.outputs[1::2]], axis=(-2, -1))
            reached, chance = norms[:-1] > 0, off(bias, norms[:-1], width, width)
            switched, count = reached & (norms[1:] == 0), int(reached.sum())
            error = np.sqrt((chance * (1 - chance)).sum()) / count
            shares = {"measured": switched.sum() / count, "predicted": chance.sum() / count, "standard_error": error}
            return {"count": count, **shares, "symmetric": 0.5**width}

        shots = lab.look(job, f"width {width}, b = {bias:g}")
        found.append(measured(lab, shots, seen, {}, width=width, depth=BIASED_DEPTH, bias=bias))
    return stacked(found)


def off(bias: float, norm: Array, n: int, n_in: int) -> Array:
    """P(all n units of a ReLU layer are off) = Φ(−b/(σ‖h‖))ⁿ given its input's norm, He's σ² = 2/n_in; 0 where h = 0."""
    alive = norm > 0
    return np.where(alive, ndtr(-bias / (np.sqrt(2 / n_in) * np.where(alive, norm, 1))) ** n, 0.0)


@claims
def of_the_dead(dead_sets: Frame, biased: Frame) -> Claims:
    both = dead_sets[dead_sets.inputs == "both signs"]
    yield Claim(
        "dead for all of the data",
        "Inputs of both signs: no network is dead after one ReLU layer, (3 − 2^(1−n))/4ⁿ of them after two, then bounds hold.",
        "derived: the angle between two inputs is π, then π/2, then less; compare Lu 2019",
        "Exact in two layers and for width 1. Binomial standard error; tolerance: half the distance of the bounds.",
        "the law of a single input, 1 − (1 − 2⁻ⁿ)^L",
        compare(both, "width {width}, depth {depth}", control_predicted=both.single),
    )
    yield Claim(
        "a positive bias",
        "With biases b > 0 a layer is switched off with probability Φ(−b/(σ‖h‖))ⁿ instead of 2⁻ⁿ, and the next one wakes up again.",
        "derived: one-sided Gaussian tails, given what reaches the layer",
        "Expected share of the layers that a signal reaches, given its norms; standard error: of a sum of such events.",
        "2⁻ⁿ a layer, as without bias",
        compare(biased, "width {width}, b = {bias:g}", control_predicted=biased.symmetric),
    )


@figure("Born dead")
def dead(dead_sets: Frame, biased: Frame) -> Figure:
    """Narrow ReLU networks with He's weights. Left: the share that give nothing but zeros for every input, of either sign; their
    gradients are exactly 0, and they will never learn anything but a bias. The bands are bounds, exact for the first two
    layers. Right: the share of the layers reached by a signal that switch it off, when all biases start at b: 2⁻ⁿ without bias,
    fewer with one; and what comes after a dead layer wakes up again, though no gradient passes.
    """
    titles = ["dead for all of the data", "and a bias against it"]
    figure, (left, right) = panels(titles, width=3.6, height=3.0, share_y=False)
    both = dead_sets[dead_sets.inputs == "both signs"].drop(columns="predicted")
    colours = {width: index for index, width in enumerate(sorted(both.width.unique()))}
    for width, index in colours.items():
        one = both[both.width == width]
        band(left, one, index)
        series(left, one, f"width {width}", index, x="depth")
    for width, one in biased.groupby("width"):
        series(right, one, f"width {width}", colours.get(width, 6), x="bias")
    left.set(xlabel="ReLU layers", ylabel="share of networks", ylim=(-0.03, 1.03))
    right.set(xlabel="bias b of every unit at the start", ylabel="share of layers switched off", ylim=(0, None))
    return key(figure, [left, right])
