"""Does batch norm cure exploding gradients?

Not at the start: at every layer it makes squared gradients grow by a factor that the batch's size alone decides, in wide networks.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from experiments.lab import Claim, Cost, Lab, cells, claims, compare, fan, figure, over_seeds, stacked, table
from experiments.lab.figures import panels, series
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Batch, BatchNorm, Dense, Job, Layer, ReLU, Snapshot, SquaredError, initializers
from scratch.network import Parameters
from scratch.randomness import generator
from .shared import TINY, beside, finished, glance

FAR = 1e3  # targets so far off that the gradient at the output is what they are, drawn independently of the network
ROOM = 2**23  # weights that are in memory at once, as a stack
FORMULAS = {"relu": ("ReLU", "(J′ + B − 1)/((B − 3)(1 − J)) − 1/(B − 3)"), "linear": ("linear", "(B − 2)/(B − 3)")}
LIMIT = np.pi / (np.pi - 1)  # of ReLU's factor for B → ∞: J(0) = 1/π


def deep(kind: str, norm: str, width: int, depth: int) -> tuple[Layer, ...]:
    """Depth times: weights, batch norm, ReLU; the last two only where they are asked for."""
    block: list[Layer] = [Dense(width, bias=False)]
    block += [BatchNorm(TINY, affine=False)] * (norm == "batch") + [ReLU()] * (kind == "relu")
    return tuple(block * depth)


def weights(kind: str, width: int, depth: int, seeds: Sequence[int]) -> list[Array]:
    """Layer by layer (S, o, i), the same for all batch sizes, with and without batch norm: without it gradients stay as they are."""
    scheme = initializers.he if kind == "relu" else initializers.lecun
    random = [generator(seed, "weights", kind, width) for seed in seeds]
    return [np.stack([scheme(r, (width, width)) for r in random]) for _ in range(depth)]


def drawn(held: list[Array], kind: str, norm: str, batch: int, seeds: Sequence[int]) -> Job:
    """A stack of networks of these weights at their start, each with inputs and targets of its own."""
    width, left = held[0].shape[-1], iter(held)
    layers = deep(kind, norm, width, len(held))
    parameters: Parameters = tuple({"W": next(left)} if isinstance(layer, Dense) else {} for layer in layers)
    draws = [generator(seed, "examples", batch, width).standard_normal((2, width, batch)) for seed in seeds]
    x, y = np.stack(draws, axis=1)
    return Job(layers, SquaredError(), parameters, Batch(x, FAR * y))


@cells(
    lambda o: [{"kind": kind, "width": width} for width in (o.width, o.width // 2) for kind in FORMULAS],
    makes=("measurements",),
    cost=Cost(17, 780),
)
def exploding(lab: Lab, kind: str, width: int, batches: tuple[int, ...], depth: int, draws: int) -> dict[str, Frame]:
    """log ‖∂J/∂h‖² at the end of every layer; between the first and the last but one of them each step is like the next."""
    rows, several = [], max(1, ROOM // (depth * width**2))

    def logs(shot: Snapshot) -> Array:
        block = len(shot.outputs) // depth
        return np.array(
            [2 * np.log(np.linalg.norm(g, axis=(-2, -1))) for g in shot.output_gradients[block - 1 :: block]]
        )

    for seeds in [range(s, min(s + several, draws)) for s in range(0, draws, several)]:
        held = weights(kind, width, depth, seeds)  # drawing them takes as long as what follows
        for norm, batch in product(("batch", "none"), batches):
            job, named = drawn(held, kind, norm, batch, seeds), {"norm": norm, "batch": batch, "width": width}
            said = f"{kind}, {depth} layers of {width}, norm {norm}, batch of {batch}"
            shots = glance(lab, job) if seeds[0] else lab.look(job, said)  # those after the first are alike
            rows.append(lab.rows(shots, logs, {"layer": range(1, depth + 1), "seed": seeds}, **named))
    return {"measurements": stacked(rows)}


def correlation(c: float) -> float:
    """J(c) = (√(1−c²) + (π − arccos c)c)/π: 2 E ReLU(x)ReLU(y) for standard normals that correlate by c (Cho & Saul 2009)."""
    return float((np.sqrt(1 - c * c) + (np.pi - np.arccos(c)) * c) / np.pi)


def both_active(c: float) -> float:
    """J′(c) = (π − arccos c)/π: twice the probability that both are positive."""
    return float((np.pi - np.arccos(c)) / np.pi)


def factor(kind: str, batch: int) -> float:
    """By how much E‖∂J/∂h‖² grows from one layer to the one below (Yang et al. 2019, Theorem 8), B ≥ 4.

    Where wide networks have batch norm at every layer, the units' inputs at one layer are, unit by unit, independent Gaussian vectors over
    the batch, with equal variances and equal correlations. Taking the mean away leaves a vector in B − 1 dimensions, dividing by its
    length a direction: x̂ is uniform on a sphere of radius √B there, whatever the weights, and any two of its entries correlate by
    c = −1/(B − 1). So one layer is like the next, and the exact rate is a matter of averaging over that sphere.

    dz = (1/σ)(P − x̂x̂ᵀ/B) D dh, with P = I − 11ᵀ/B and D the ReLU's slopes, 0 or 1. One layer further down, dh has the covariance
    tP over the batch. Then E tr (P − x̂x̂ᵀ/B) D P D = (B−1)/2B · (B − 1 + J′ − (1 − J)), E 1/σ² = B/(a(B − 3)) from a χ² with
    B − 1 degrees of freedom, and a, a diagonal entry less one beside it of the covariance of z, is proportional to (1 − J)/2.
    The weights' variance cancels. Linear: D = I, the trace is B − 2, a is proportional to B/(B − 1).
    """
    if kind == "linear":
        return (batch - 2) / (batch - 3)
    c = -1 / (batch - 1)
    return (both_active(c) + batch - 1) / ((batch - 3) * (1 - correlation(c))) - 1 / (batch - 3)


def factors(found: Frame) -> Array:
    """The factor of every row: 1 without batch norm."""
    return np.array([factor(row.kind, row.batch) if row.norm == "batch" else 1.0 for row in found.itertuples()])


@table
def explosion_rates(measurements: Frame, depth: int, width: int) -> Frame:
    """Growth of log ‖∂J/∂h‖² per layer, from the last layer but one down to the first, in networks of both widths.

    What is left at width n goes like 1/n, so that 2·rate(n) − rate(n/2) is the rate of infinitely wide ones.
    """
    key = ["kind", "norm", "batch", "backend"]
    first, last = beside(measurements, "layer", 1, depth - 1, [*key, "width", "seed"])
    slopes = first.assign(value=(first.value - last.value) / (depth - 2)).reset_index(drop=True)
    wide, half = beside(over_seeds(slopes, [*key, "width"]), "width", width, width // 2, key)
    found = wide[key].assign(
        wide=wide.measured,
        half=half.measured,
        measured=2 * wide.measured - half.measured,
        standard_error=np.hypot(2 * wide.standard_error, half.standard_error),
        dof=np.minimum(wide.dof, half.dof),
        predicted=np.log(factors(wide)),
    )
    return found.reset_index(drop=True)


@table
def profile(measurements: Frame, depth: int, width: int) -> Frame:
    """log₁₀ of the squared gradient at every layer over that at the last but one; mean over the widest networks."""
    key = ["backend", "kind", "norm", "batch", "seed"]
    widest = measurements[(measurements.width == width) & (measurements.layer < depth)]
    top = widest[widest.layer == depth - 1].set_index(key).value
    ratio = (widest.set_index([*key, "layer"]).value - top) / np.log(10)
    found = over_seeds(ratio.reset_index(), [*key[:-1], "layer"]).drop(columns=["seeds", "dof"])
    return found.assign(predicted=(depth - 1 - found.layer) * np.log10(factors(found)))


@claims
def explodes(explosion_rates: Frame, draws: int, depth: int, width: int) -> Claims:
    for kind, (name, formula) in FORMULAS.items():
        chosen = explosion_rates[explosion_rates.kind == kind]
        ours, plain = beside(chosen, "norm", "batch", "none", ["backend", "batch"])
        yield Claim(
            name=f"explosion, {name}",
            statement=f"At the start, batch norm at every layer makes squared gradients grow by {formula} a layer "
            "(its logarithm is shown).",
            source="Yang et al. 2019, Theorem 8",
            basis=f"{draws} networks of {depth} layers, mean of the logarithm, widths {width // 2} and "
            f"{width} extrapolated to infinity (error ∝ 1/width); Student's t over networks.",
            control="the same weights without batch norm (He for ReLU, variance 1/n for linear): nothing grows",
            comparisons=compare(ours, "batch of {batch}", control_measured=plain.measured, control_error=plain.standard_error),
        )  # fmt: skip


@figure("Gradients at the start")
def explosion(profile: Frame, explosion_rates: Frame) -> Figure:
    """Networks that have not yet learned anything. Left: the squared gradient at each layer, in units of that at the last layer but one,
    on a logarithmic scale: with batch norm at every layer it grows towards the first layer, the faster the smaller the batch; the grey
    points are the same weights (He's) without batch norm. Right: the rate a layer, extrapolated to infinite width, over the prediction
    for that batch size. The dotted line is the limit for large batches, π/(π − 1).
    """
    figure, axes = panels(["ReLU: gradient by layer", "growth a layer"], width=3.8, height=3.1, share_y=False)
    relu = profile[profile.kind == "relu"]
    sizes = sorted(explosion_rates.batch.unique())
    fan(axes[0], relu[relu.norm == "batch"], "batch", "batch of {}", x="layer")
    plain = relu[(relu.norm == "none") & (relu.batch == sizes[-1])]
    series(axes[0], plain, "without batch norm", 7, x="layer")
    axes[0].set(xlabel="layer, 1 next to the input", ylabel="log₁₀ of squared gradient ratio")
    for index, (kind, (label, _)) in enumerate(FORMULAS.items(), 5):
        one = explosion_rates[(explosion_rates.kind == kind) & (explosion_rates.norm == "batch")]
        if len(one):
            series(axes[1], one, f"{label}, all batches", index, x="batch")
    axes[1].axhline(np.log(LIMIT), color="black", linewidth=0.8, linestyle=":")
    axes[1].set_xscale("log", base=2)
    axes[1].set_xticks(sizes, [str(batch) for batch in sizes])
    axes[1].set(xlabel="examples in the batch, B", ylabel="ln of squared gradient, per layer", ylim=(0, None))
    return finished(figure, axes)
