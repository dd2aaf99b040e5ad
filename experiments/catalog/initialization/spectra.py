"""What do random matrices do to the directions of a signal, one layer and many?

The singular values of one square layer fill a quarter circle; those of a product run apart exponentially, unless layers are orthogonal.
"""

import numpy as np
from scipy.special import psi

from experiments.lab import Claim, Cost, Lab, cells, claims, compare, figure, key, matched, panels, series, table, ticks
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Batch, Dense, Identity, Snapshot, Tanh, initializers
from .shared import STUDENT, UNIT, band, drawn, measured, moments

ORTHOGONAL_DEPTH = 50
QUARTER_CIRCLE = 8 / (3 * np.pi)  # mean of the density √(4 − s²)/π on [0, 2]
SCALES = {"xavier_uniform": 1.0, "standard": 1 / np.sqrt(3), "xavier": 1.0}  # √(n Var W) of a square matrix
KURTOSIS = {"xavier_uniform": -1.2, "standard": -1.2, "xavier": 0.0}
OTHER = {"xavier_uniform": "standard", "standard": "xavier_uniform", "xavier": "standard"}
NAMES = {"xavier_uniform": "Glorot, uniform", "xavier": "Glorot, Gaussian", "standard": "standard"}


@cells(
    lambda options: [
        {"n": n, "scheme": scheme, "draws": options.seeds * max(1, min(40, max(options.sizes) // n))}
        for n in sorted(options.sizes)
        for scheme in SCALES
    ],
    cost=Cost(0.61, 330, {"n": 3}),
)
def singular_values(lab: Lab, n: int, scheme: str, draws: int) -> Frame:
    """The mean singular value of a tanh layer's Jacobian at 0, over ``draws`` layers of n units.

    n columns of 0, and the gradient of one unit each: what comes back is ∂a/∂x, transposed.
    """
    layers = (Identity(), Dense(n, bias=False), Tanh())
    data = Batch(np.zeros((n, n)), n * np.eye(n))  # the loss divides by its n columns
    shots = lab.look(drawn(layers, data, initializers.by_name()[scheme], draws))

    def seen(shot: Snapshot) -> dict[str, Array]:
        return moments(np.linalg.svd(shot.output_gradients[0], compute_uv=False).mean(-1))

    return measured(lab, shots, seen, {})


def mean_singular_value(n: int, scheme: str) -> float:
    """Of a square matrix of n² independent weights: σ√n (8/3π + (½ − 2/π − 4κ/15π)/n), up to log n/n².

    The quarter-circle law of the limit; at order 1/n a real Gaussian square matrix adds to Σ f(s²) the amount
    ¼f(4) + ¼f(0) − (1/2π)∫ f(x)/√(x(4−x)) dx, and a kurtosis κ adds κ/2π ∫ f(s²)(s⁴ − 4s² + 2)/√(4 − s²) ds; f = √.
    """
    first = 0.5 - 2 / np.pi - 4 * KURTOSIS[scheme] / (15 * np.pi)
    return float(SCALES[scheme] * (QUARTER_CIRCLE + first / n))


@table
def singular(singular_values: Frame) -> Frame:
    pairs = [(row.n, row.scheme) for row in singular_values.itertuples()]
    return singular_values.assign(
        predicted=[mean_singular_value(n, scheme) for n, scheme in pairs],
        control=[mean_singular_value(n, OTHER[scheme]) for n, scheme in pairs],
        limit=[SCALES[scheme] * QUARTER_CIRCLE for _, scheme in pairs],
    )


@claims
def glorot(singular: Frame) -> Claims:
    columns = {
        "dof": singular["count"] - 1,
        "tolerance": singular.limit * np.log(singular.n) / singular.n**2,
        "control_predicted": singular.control,
    }
    yield Claim(
        "Glorot's singular values",
        "A tanh layer's Jacobian at 0: its mean singular value is 8/3π = 0.849 with Glorot's scheme, 8/(3π√3) = 0.490 with the standard.",
        "Glorot & Bengio 2010 (about 0.8 and 0.5); derived from the quarter-circle law, with the next term in 1/n",
        f"Independent layers, {STUDENT[:-1]}. Tolerance: log n/n², the order of what is left out.",
        "the other scheme's value",
        compare(singular, "{scheme}, n = {n}", **columns),
    )


@cells(
    lambda options: [
        {"width": n} | each
        for n in options.product_widths
        for each in ({"init": "lecun"}, {"init": "orthogonal", "draws": 8})
    ],
    cost=Cost(0.33, 190),
)
def multiplied(lab: Lab, width: int, init: str, draws: int) -> Frame:
    """Means of the ln of singular values of W_L … W_1 at every depth (index 1 …), and of the first over the last (index 0).

    They are the outputs of a linear network for the columns of the identity.
    """
    depth = ORTHOGONAL_DEPTH if init == "orthogonal" else deepest(width)
    layers = tuple(Dense(width, bias=False) for _ in range(depth))
    job = drawn(layers, Batch(np.eye(width), np.eye(width)), initializers.by_name()[init], draws)

    def seen(shot: Snapshot) -> dict[str, Array]:
        logs = np.log(np.linalg.svd(np.array(shot.outputs), compute_uv=False)).transpose(0, 2, 1)  # (depth, n, draws)
        farthest = np.full((depth, width + 1), np.nan)
        farthest[:, width] = np.abs(np.expm1(logs)).max((1, 2))
        whole = np.concatenate([logs, logs[:, :1] - logs[:, -1:]], axis=1)
        return moments(whole) | {"farthest": farthest}

    axes = {"depth": range(1, depth + 1), "index": [*range(1, width + 1), 0]}
    return measured(lab, lab.look(job, f"{init}, width {width}"), seen, axes, width=width)


def lyapunov(n: int) -> Array:
    """λ_i = ½[ln(2/n) + ψ((n−i+1)/2)]: growth per layer of the logs of a product's singular values, W ~ N(0, 1/n) (Newman 1986)."""
    return (np.log(2 / n) + psi(np.arange(n, 0, -1) / 2)) / 2


def asymptotes(n: int, depth: int) -> Array:
    """E ln s_i of a product of ``depth`` Gaussian layers, for great depth: L λ_i + c_i − c_{i−1}.

    k directions span a volume that grows by L(λ₁ + … + λ_k), and it is the volume s₁…s_k times a k × k minor of a random
    orthogonal matrix: c_k = −E ln|minor| = ½Σ_{j≤k} [ψ((n−j+1)/2) − ψ((k−j+1)/2)].
    """
    volumes = [(psi((n - np.arange(k)) / 2) - psi((k - np.arange(k)) / 2)).sum() / 2 for k in range(n + 1)]
    return depth * lyapunov(n) + np.diff(volumes)


def log_condition(n: int, depth: Array) -> tuple[Array, Array]:
    """Middle and half-width of what E ln(s₁/s_n) must lie in after ``depth`` Gaussian layers: from L·g to (L+2)·g.

    g = ½[ψ(n/2) − ψ(½)] = λ₁ − λ_n. A fixed direction e is stretched by L λ₁ on average and by no more than s₁, which
    gives the lower end; and by at least s₁|u₁·e|, u₁ uniform on the sphere, E ln|u₁·e| = −g, which gives the upper
    one. The same holds for the inverse. As L grows the upper end is reached.
    """
    gap = (psi(n / 2) - psi(0.5)) / 2
    return (np.asarray(depth) + 1) * gap, np.full(np.shape(depth), gap)


def deepest(n: int) -> int:
    """The depth to which the smallest singular value of a Gaussian product stands clear of rounding in nearly every draw.

    ln(s₁/s_n) has about the mean (L + 2)g and a variance of 1.5 L at most; six deviations above it must stay below 10¹³.
    """
    depths = np.arange(1, 60)
    middle, half = log_condition(n, depths)
    return int(depths[middle + half + 6 * np.sqrt(1.5 * depths) < np.log(1e13)].max(initial=1))


@table
def products(multiplied: Frame) -> Frame:
    """The asymptotes of the singular values (index 1 …), the bounds' middle for ln(s₁/s_n) (index 0)."""
    predicted, tolerance = np.zeros(len(multiplied)), np.zeros(len(multiplied))
    found = multiplied[["init", "width", "depth", "index"]].itertuples(index=False, name=None)
    for k, (init, width, depth, index) in enumerate(found):
        if init != "orthogonal" and index == 0:
            predicted[k], tolerance[k] = log_condition(width, depth)
        elif init != "orthogonal":
            predicted[k] = asymptotes(width, depth)[index - 1]
    return multiplied.assign(predicted=predicted, tolerance=tolerance)


@claims
def of_products(products: Frame) -> Claims:
    whole, said = products[products["index"] == 0], "width {width}, depth {depth}"
    flat, steep = whole[whole.init == "orthogonal"], whole[whole.init != "orthogonal"]
    wild = matched(flat, steep, ["backend", "width", "depth"]).farthest
    rounding = flat.width * np.sqrt(flat.depth) * UNIT
    yield Claim(
        "orthogonal weights",
        "Every singular value of a product of orthogonal matrices is 1, at every depth.",
        "Saxe 2014",
        "An identity; n·√depth roundings of size u are its error. The farthest of all.",
        "Gaussian weights of the same variance",
        compare(flat, said, measured=flat.farthest, predicted=0.0, standard_error=rounding, control_measured=wild),
    )
    first = steep.groupby("width").predicted.transform("min")
    yield Claim(
        "Gaussian weights",
        "The condition number of L Gaussian layers grows exponentially: L·g ≤ E ln(s₁/s_n) ≤ (L+2)·g, g = ½[ψ(n/2) − ψ(½)].",
        "derived from the Lyapunov exponents of Newman 1986",
        "Bounds for every L. Standard error of the sample.",
        "the bounds of one layer, whatever the depth",
        compare(steep, said, dof=steep["count"] - 1, control_predicted=first),
    )


@figure("Singular values")
def spectra(products: Frame, singular: Frame) -> Figure:
    """Left: the mean singular value of one square layer; lines are the quarter-circle law's 8/3π and 8/(3π√3) with the next term
    in 1/n. Middle: each singular value of a product of Gaussian matrices runs away at a rate of its own (lines: what it tends to
    as the depth grows, from Lyapunov exponents), while those of orthogonal ones stay 1. Right: so the condition number
    grows; the bands are exact bounds.
    """
    gaussian = products[products.init != "orthogonal"]
    width = 4 if (gaussian.width == 4).any() else gaussian.width.min()
    titles = ["one layer", f"products, width {width}", "condition number"]
    figure, (left, middle, right) = panels(titles, width=2.75, height=3.0, share_y=False)
    for index, (scheme, label) in enumerate(NAMES.items()):
        series(left, singular[singular.scheme == scheme], label, index, x="n")
    left.set(xscale="log", xlabel="n, of n × n weights", ylabel="mean singular value", ylim=(0.4, 0.9))
    ticks(left.xaxis, sorted(singular.n.unique())[::2])
    shown = products[(products.width == width) & (products.depth <= gaussian[gaussian.width == width].depth.max())]
    for init, label, index in (("lecun", "Gaussian", 3), ("orthogonal", "orthogonal", 4)):
        for k in range(1, width + 1):
            series(middle, shown[(shown.init == init) & (shown["index"] == k)], label, index, x="depth")
    middle.set(xlabel="layers multiplied", ylabel="mean ln of singular values")
    tens = {c: gaussian[c] / np.log(10) for c in ("measured", "predicted", "tolerance", "standard_error")}
    whole = gaussian.assign(**tens)[gaussian["index"] == 0]
    whole = whole.assign(low=whole.predicted - whole.tolerance, high=whole.predicted + whole.tolerance)
    for index, n in enumerate(sorted(whole.width.unique()), 5):
        one = whole[whole.width == n]
        band(right, one, index)
        series(right, one.drop(columns="predicted"), f"Gaussian, n = {n}", index, x="depth")
    right.set(xlabel="layers multiplied", ylabel="mean log₁₀ of s₁/s_n")
    return key(figure, [left, middle, right])
