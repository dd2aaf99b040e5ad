"""How small is the gradient of the lower layers, and what does it depend on?

In a wide network at initialization every layer multiplies the squared gradient by χ, which activation, weights and the size of the
signal decide: gradients vanish or explode by as many factors as there are layers.
"""

from typing import Any

import numpy as np

from experiments import theory
from experiments.compare import probes
from experiments.data import load
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, facets, figure, matched, over_seeds, table
from experiments.lab.types import Claims, Figure, Frame
from scratch import CrossEntropy, Dense, Job, Network, activations, initializers
from scratch.randomness import stack
from .shared import FINITE_WIDTH, first_examples, hidden

TO_LOG = 2 * np.log(10)  # from a power of ten to the natural logarithm of the square
KEY = ["depth", "activation", "init", "backend", "quantity"]


@cells(each(depth="depths", activation="activations", init="inits"), cost=Cost(0.46, 240))
def measurements(
    lab: Lab, depth: int, activation: str, init: str, width: int, seeds: int, data: str, dtype: str
) -> Frame:
    """Gradient and activation size at every layer of real networks on real data, at initialization."""
    batch = first_examples(data, dtype)
    layers = (*hidden(activations.by_name()[activation](), width, depth), Dense(load(data, dtype).classes))
    network = Network(layers, len(batch.x))
    job = Job(layers, CrossEntropy(), stack(network, [initializers.by_name()[init]], seeds, dtype), batch)
    shots = lab.look(job, f"{activation} {init}, depth {depth}")
    named = {backend: probes.signals(job, shot) for backend, shot in shots.items()}
    axes = {"quantity": list(named["scratch"]), "layer": range(1, depth + 2), "seed": range(seeds)}
    return lab.rows(named, lambda sizes: np.array([size[:, 0] for size in sizes.values()]), axes)


@table
def layers(measurements: Frame, options: Any) -> Frame:
    """log10 of each quantity's root mean square over seeds, gradients relative to the last hidden layer's, and the prediction."""
    frame = measurements[measurements.layer <= measurements.depth]
    normal = frame.value > np.finfo(options.dtype).tiny  # below it a number keeps few digits or none: it is left out
    frame = frame.assign(log=np.log10(frame.value.where(normal)))
    reference = matched(frame, frame[frame.layer == frame.depth], [*KEY, "seed"]).log
    frame["log"] -= np.where(frame.quantity == "activation", 0, reference)
    found = over_seeds(frame, [*KEY, "layer"], "log").rename(columns={"measured": "mean"}).drop(columns="dof")
    conditions = found[["depth", "activation", "init"]].drop_duplicates().itertuples(index=False, name=None)
    known = {(d, a, i): predict(d, a, i, options) for d, a, i in conditions}
    predicted = [
        known[row.depth, row.activation, row.init].get((row.quantity, row.layer), np.nan) for row in found.itertuples()
    ]
    return found.assign(predicted=predicted)


def predict(depth: int, activation: str, init: str, options: Any) -> dict[tuple[str, int], float]:
    """log10 sizes of gradient and activation at every hidden layer, by the mean-field recursion from the data's own norms."""
    variance = theory.variance(init)
    if variance is None:
        return {}
    batch, chosen = first_examples(options.source, options.dtype), activations.by_name()[activation]()
    features, width = len(batch.x), options.width
    q = variance(width, features) * (batch.x.astype(np.float64) ** 2).sum(0)  # of layer 1, example by example
    sizes, log_chi = theory.mean_field(chosen, q, width * variance(width, width), 0.0, depth)
    slope = log_chi[-1]  # the gradient at the last pre-activation carries its slope: examples weigh by it
    below = np.array([log_chi[k:-1].sum(0) for k in range(depth)]) + slope
    gradient = (np.logaddexp.reduce(below, axis=1) - np.logaddexp.reduce(below[-1])) / TO_LOG
    size = np.log10(sizes.mean(1)) / 2
    return {("gradient", k + 1): gradient[k] for k in range(depth)} | {
        ("activation", k + 1): size[k] for k in range(depth)
    }


@table
def ratios(layers: Frame, width: int) -> Frame:
    """Natural log of ‖∂J/∂z_first‖²/‖∂J/∂z_last‖², from the hidden layers."""
    first = layers[(layers.quantity == "gradient") & (layers.layer == 1) & (layers.depth > 1) & (layers.seeds > 1)]
    return first[["depth", "activation", "init", "backend"]].assign(
        measured=first["mean"] * TO_LOG,
        standard_error=first.standard_error * TO_LOG,
        dof=first.seeds - 1,
        predicted=first.predicted * TO_LOG,
        tolerance=FINITE_WIDTH * (first.depth - 1) / width,
    ).reset_index(drop=True)  # fmt: skip


@claims
def mean_field(ratios: Frame, options: Any) -> Claims:
    """One for each activation, over all its init schemes and depths."""
    for activation in options.activations:
        rows = ratios[np.isfinite(ratios.predicted) & (ratios.activation == activation)]
        doubled = rows.predicted + (rows.depth - 1) * np.log(2)
        yield Claim(
            f"mean field, {activation}",
            f"{activation}: the first layer's squared gradient is Π χ_l times the last's, for every init scheme and depth.",
            "Poole 2016, Schoenholz 2017; ReLU: (σ_w²/2)^(L−1)",
            f"Mean-field recursion from the data's own norms (width → ∞), open by {FINITE_WIDTH}·(L−1)/n; Student's t over seeds.",
            "weights of twice the variance",
            compare(rows, "{init}, depth {depth}", control_predicted=doubled),
        )


@claims
def notes(measurements: Frame) -> Claims:
    """The notes' sqrt(2/n), n the width of the layer before, is He's scheme: not about the same, the same."""
    at = ["depth", "activation", "backend", "quantity", "seed", "layer"]
    sizes = {init: group.set_index(at).value for init, group in measurements.groupby("init")}
    if not {"notes", "he"} <= set(sizes):
        return
    other = next((init for init in ("xavier", "lecun", "standard", "small_normal") if init in sizes), None)
    apart = abs(sizes["notes"] / sizes["he"] - 1).groupby("backend").max()
    wrong = abs(sizes[other] / sizes["he"] - 1).groupby("backend").max() if other else apart + 1
    frame = Frame({"backend": apart.index, "measured": apart.to_numpy(), "control_measured": wrong.to_numpy()})
    yield Claim(
        name="the notes' rule is He's",
        statement="The notes' random weights × sqrt(2/n), n the width of the layer before, give every signal that He's scheme gives.",
        source="notes; He 2015, Eq. 10",
        basis="An identity: the same draws on the same scale, so the largest relative difference is exactly 0.",
        control=f"{other or 'twice'} instead of the notes' rule",
        comparisons=compare(frame, "every size of every layer", standard_error=1e-16, predicted=0.0),
    )


@figure("The gradient, layer by layer")
def gradient_by_layer(layers: Frame) -> Figure:
    """Size of the gradient at every hidden layer's pre-activation, relative to the last hidden layer's, at initialization.
    Read it from right (the output) to left (the input): a line that falls to the left is a vanishing gradient, one that rises an
    exploding one, a flat one is repaired. The lines are not fitted: they are the mean-field recursion, from the data's norms and
    the init scheme's variance alone. Schemes of equal variance lie on one line.
    """
    return by_layer(layers[layers.quantity == "gradient"], "‖∂J/∂z‖ relative to the last layer's")


@figure("The activations, layer by layer")
def activation_by_layer(layers: Frame) -> Figure:
    """Size of the activations of the same networks. Where a signal dies on its way up (ReLU and tanh with small weights), the
    gradient dies on its way down; sigmoid's activations settle near ½ whatever the scheme: only the gradient shows the trouble.
    """
    return by_layer(layers[layers.quantity == "activation"], "root mean square activation")


def by_layer(layers: Frame, what: str) -> Figure:
    deepest = layers.depth.max()
    return facets(
        layers[layers.depth == deepest],
        x="layer",
        y="mean",
        panel="activation",
        title=f"{{}}, {deepest} hidden layers",
        colour="init",
        xlabel="layer (1 is next to the input)",
        ylabel=f"log₁₀ of {what}",
    )


@figure("The price of depth")
def gradient_by_depth(ratios: Frame) -> Figure:
    """The first hidden layer's gradient against the last's, for every depth: straight where each layer multiplies by the
    same factor, bent for tanh with n·Var W near 1, where the factor tends to 1 as the signal shrinks.
    """
    ylabel = "ln (‖∂J/∂z_first‖² / ‖∂J/∂z_last‖²)"
    return facets(ratios, x="depth", panel="activation", colour="init", xlabel="hidden layers", ylabel=ylabel)
