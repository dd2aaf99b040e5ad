"""Which networks learn, and does the first gradient tell?

The gradient before training is predicted; whether the network then learns in a few steps is measured.
"""

from typing import Any

import numpy as np

from experiments.data import load
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, figure, matched, over_seeds, table
from experiments.lab.figures import COLOURS, MARKERS, RING, key, panels
from experiments.lab.types import Claims, Figure, Frame
from scratch import BatchNorm, Dense, activations, initializers
from . import repair_laws
from .repairs import LN_100, NAMES, body, damped, of_init
from .shared import BATCH, PLATEAU, classifying, followed, guessing

FEW = 5  # layers; so few need no repair: they learn, or not, whatever becomes of the gradient on its way
LEARNS = (-1.0, 3.0)  # powers of ten between which the first layer's gradient must lie, as a multiple of the last's
STUCK = (-4.0, 4.0)  # beyond these nothing is learned; between the two nothing is claimed: it is a matter of patience
TRAINED = {"plain": ("standard", "he"), "batch norm": ("standard",), "skip": ("standard", "he"), "skip/√L": ("he",)}
SHARE = f"Gibbs: {PLATEAU:.0%} of the loss of guessing needs outputs that look at x. The same batches for all; Student's t over seeds."
HINDSIGHT = "The gradient is predicted; where learning ends was seen on such networks before the bands were drawn."


@cells(
    lambda options: [
        {"kind": kind, "activation": activation, "depth": max(options.train_depths)}
        for activation in options.activations
        for kind in TRAINED
        if max(options.train_depths) > FEW
    ],
    cost=Cost(5.1, 130),
)
def mended_runs(
    lab: Lab,
    kind: str,
    activation: str,
    depth: int,
    repair_width: int,
    repair_steps: int,
    repair_seeds: int,
    data: str,
    dtype: str,
) -> Frame:
    """Test loss and accuracy of repaired networks of ``depth`` layers; each repair sees the same batches."""
    layers = body(kind, activations.by_name()[activation](), repair_width, depth - 1, BatchNorm())
    schemes, alpha = [initializers.by_name()[init] for init in TRAINED[kind]], repair_laws.scale(kind, depth - 1)
    job = classifying((*layers, Dense(load(data, dtype).classes)), schemes, repair_steps, repair_seeds, data, dtype,
                      change=lambda parameters: damped(parameters, alpha))  # fmt: skip
    return followed(lab, job, TRAINED[kind])


@table
def mended(mended_runs: Frame, data: str, dtype: str) -> Frame:
    """Lowest and last test loss of each repaired network's kind, with the gradient that is predicted before training.

    ``power``: log10 of the first layer's gradient over the last's. ``learns``: 1 where learning is predicted, 0 where not, NaN where
    nothing is.
    """
    losses = mended_runs[mended_runs.quantity == "loss"]
    named = losses.init + np.where(losses.kind == "plain", "", ", " + losses.kind)
    key = ["activation", "init", "depth", "backend"]
    lowest = losses.assign(name=named).groupby([*key, "kind", "name", "seed"], sort=False).value.min().reset_index()
    found = over_seeds(lowest, [*key, "kind", "name"]).rename(columns={"measured": "lowest"}).drop(columns="dof")
    powers = [
        float(of_init(row.kind, row.activation, row.init, row.depth - 1, BATCH)[0][0]) / LN_100
        for row in found.itertuples()
    ]
    found = found.assign(init=found.name).drop(columns=["kind", "name"])
    found = found.assign(guessing=guessing(data, dtype), steps=losses.step.max(), power=powers)
    stuck = (found.power < STUCK[0]) | (found.power > STUCK[1])
    return found.assign(learns=np.select([found.power.between(*LEARNS), stuck], [1.0, 0.0], np.nan))


@claims
def fates(mended: Frame) -> Claims:
    """The prediction from the gradient alone; no claim unless there are networks of both fates to tell apart."""
    if not {0.0, 1.0} <= set(mended.learns):
        return
    low, high = (f"10^{p:g}" for p in LEARNS)
    under, over = (f"10^{p:g}" for p in STUCK)
    stuck, learning = against(mended, 0.0, "he, skip/√L"), against(mended, 1.0, "standard")
    yield Claim(
        "repaired, it learns",
        f"Networks whose first layer begins with {low} to {high} times the last's gradient, as predicted, learn in these steps.",
        "notes: repaired by weights; Ioffe & Szegedy 2015; He 2016",
        f"{SHARE} {HINDSIGHT}",
        "standard weights with the same activation, not repaired",
        learning.assign(predicted=PLATEAU * learning.guessing),
        "at most",
    )
    yield Claim(
        "unrepaired, it does not",
        f"Networks whose first layer begins with less than {under} times the last's gradient, or more than {over} times, learn "
        "nothing in these steps.",
        "notes: in deep networks the gradients in the lower layers are very small",
        f"Gibbs: no output that ignores x has a lower loss than the labels' entropy, open by 1 %. Student's t over seeds. {HINDSIGHT}",
        "the same activation with He's weights in scaled skip connections",
        stuck.assign(predicted=stuck.guessing, tolerance=0.01 * stuck.guessing),
        "at least",
    )


def against(found: Frame, fate: float, other: str) -> Frame:
    """The networks of one fate; as their control, what is called ``other`` with the same activation, on the same batches."""
    rows = found[found.learns == fate]
    controls = matched(rows, found[found.init == other], ["activation", "backend"])
    wrong = {"control_measured": controls.lowest, "control_error": controls.standard_error}
    compared = compare(rows, "{activation}, {init}", measured=rows.lowest, dof=rows.seeds - 1, **wrong)
    return compared.assign(guessing=rows.guessing)


@figure("Who learns")
def who_learns(mended: Frame) -> Figure:
    """Lowest test loss of each network in the same few steps, against what theory says of its gradient before training: the
    start decides. In the green band learning is predicted, in the grey ones that nothing is learned, between them nothing.
    Colours are repairs, shapes activations; the dashed line is the loss of guessing, what is at the upper edge lies far above.
    """
    labels = {init if kind == "plain" else f"{init}, {kind}": label for label, (kind, init) in NAMES.items()}
    figure, (ax,) = panels([f"{mended.depth.max()} layers, {int(mended.steps.max())} steps"], width=6.0, height=3.2)
    ax.set_xscale("symlog", linthresh=1)
    spans = {(-40, STUCK[0]): "#7F7F7F", LEARNS: "#009E73", (STUCK[1], 10): "#7F7F7F"}
    for span, colour in spans.items():
        ax.axvspan(*span, color=colour, alpha=0.15, linewidth=0)
    kinds, shapes = list(NAMES), list(mended.activation.unique())
    top = 1.1 * mended.guessing.max()
    for row in mended[mended.init.isin(labels)].itertuples():
        colour, marker = COLOURS[kinds.index(labels[row.init])], MARKERS[shapes.index(row.activation)]
        low, at, high = np.clip(row.lowest + row.standard_error * np.array([-1, 0, 1]), 0, top)
        look: Any = {"marker": marker, "markersize": 6, "linestyle": "none"} if row.backend == "scratch" else RING
        ax.vlines(row.power, low, high, color=colour)
        ax.plot(row.power, at, color=colour, **look)
    for name, colour in zip(kinds, COLOURS, strict=False):
        ax.plot([], [], color=colour, linewidth=5, label=name)
    for name, marker in zip(shapes, MARKERS, strict=False):
        ax.plot([], [], color="#555555", marker=marker, linestyle="none", label=name)
    ax.axhline(mended.guessing.max(), color="#555555", linestyle="--", linewidth=1)
    ax.set(xlim=(-40, 10), ylim=(0, 1.15 * mended.guessing.max()), ylabel="lowest test loss (cross-entropy)")
    ax.set_xticks([-30, -10, -4, -1, 0, 1, 3], ["−30", "−10", "−4", "−1", "0", "1", "3"])
    ax.minorticks_off()
    ax.set_xlabel("log₁₀ of the first layer's gradient over the last's, predicted")
    return key(figure, [ax], predicted=False)
