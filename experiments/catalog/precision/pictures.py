"""The figures of the report, drawn from its tables alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.experiment import Plot, Tables
from experiments.figures import COLOURS, key, panels, series

GREY: Any = {"color": "#555555", "linewidth": 1.2, "zorder": 1}
KINDS = {"activation": "going up: pre-activations", "gradient": "coming down: ∂J/∂z"}
SUMS = {  # order of summation and format, as the legend has them
    ("one by one", "float32"): "float32, one by one",
    ("library", "float32"): "float32, the library's own",
    ("in pairs", "float32"): "float32, in pairs",
    ("one by one", "fp16"): "fp16, one by one",
    ("one by one", "bf16"): "bf16, one by one",
    ("in pairs", "bf16"): "bf16, in pairs",
    ("tensor core", "bf16"): "bf16 × bf16, float32 sum",
}
CURVES = ("bf16", "bf16 weights", "bf16 weights, at random")
SAID = {"bf16": "bf16, float32 copy of weights", "bf16 weights": "bf16 weights, to nearest"}


def figures(tables: Tables) -> list[Plot]:
    """Each figure's caption is the docstring of the function that draws it."""
    found = [
        plot("layers", "Error against layer", by_layer, tables["layers"]),
        plot("bounds", "What the worst case would allow", bounds, tables["layers"]),
        plot("sums", "Dot products", sums, tables.get("dots", pd.DataFrame())),
        plot("growth", "A sum that stands still", growth, tables.get("growth", pd.DataFrame())),
        plot("underflow", "Gradients that fp16 makes zero", underflow, tables["flushed"]),
        plot("training", "Updates that are not felt", training, tables["gaps"], tables["still"]),
    ]
    return [one for one in found if all(len(table) for table in one.draw.args)]  # type: ignore[attr-defined]


def plot(name: str, title: str, draw: Any, *tables: pd.DataFrame) -> Plot:
    return Plot(name, title, " ".join((draw.__doc__ or "").split()), partial(draw, *tables))


def roots(rows: pd.DataFrame, unit: Any = 1.0, predicted: str = "modelled") -> pd.DataFrame:
    """Root mean squares from mean squares, in units of ``unit``, and their standard error."""
    size = np.sqrt(rows.measured)
    error = np.where(size > 0, rows.standard_error / (2 * size.where(size > 0, 1)), 0)
    return rows.assign(measured=size / unit, predicted=np.sqrt(rows[predicted]) / unit, standard_error=error / unit)


def by_layer(layers: pd.DataFrame) -> Figure:
    """Relative error of a whole layer (root mean square) in units u of each format, tanh networks on digits. Lines: networks in float64
    with an independent random error wherever the format rounds; nothing is fitted. Left: from the first layer (left) to the output.
    Right: gradients, which come down from the right. float64 and float32 also round at every step of a sum; TF32, fp16 and bf16
    sum in float32, and TF32 rounds only what a product reads. On the CPU scratch emulates TF32, fp16 and bf16;
    PyTorch computes in its own fp16 and bf16, and emulates TF32. In the top layers PyTorch's rounding of the loss shows, by way
    of ln softmax, which the model has not. u: float64 1.1e-16, float32 6.0e-8, TF32 and fp16 4.9e-4, bf16 3.9e-3.
    """
    figure, axes = panels(list(KINDS.values()), width=4.0)
    for ax, signal in zip(axes, KINDS, strict=True):
        chosen = layers[layers.signal == signal]
        for index, name in enumerate(dict.fromkeys(chosen.format)):
            rows = chosen[chosen.format == name]
            series(ax, roots(rows, rows.unit), str(name), index, x="layer")
        ax.set_xlabel("layer")
    axes[0].set(ylabel="relative error in units of u", ylim=(0, None))
    key(figure, axes)
    return figure


def bounds(layers: pd.DataFrame) -> Figure:
    """Relative error of pre-activations and of gradients against the layer, and what Higham's bounds allow, carried from layer to layer
    with absolute values. They hold everywhere and say nothing after a few layers: most errors cancel. The probabilistic bound
    takes √n for n within each sum; from layer to layer it grows as the other does.
    """
    formats = [name for name in ("float32", "bf16") if name in set(layers.format)]
    titles = [f"{name}: {what}" for name in formats for what in ("activations", "gradients")]
    figure, axes = panels(titles, width=2.5, share_y=True)
    for ax, (name, signal) in zip(axes, [(f, s) for f in formats for s in KINDS], strict=True):
        rows = layers[(layers.format == name) & (layers.signal == signal)]
        ours = rows[rows.backend == "scratch"].sort_values("layer")
        series(ax, roots(rows), "measured", 0, x="layer")
        ax.plot(ours.layer, np.sqrt(ours.bound), color=COLOURS[1], label="worst case")
        ax.plot(ours.layer, np.sqrt(ours.probable), color=COLOURS[1], linestyle="--", label="probabilistic")
        ax.axhline(1, **GREY, linestyle=":")
        ax.set(xlabel="layer", yscale="log")
    axes[0].set_ylabel("relative error (dotted: 1)")
    key(figure, axes)
    return figure


def sums(dots: pd.DataFrame) -> Figure:
    """Error of dot products of positive numbers (root mean square), in units of u·Σ|ab|. Lines: independent errors, predicted from the
    partial sums, where terms are well above the spacing of their sum. Dotted: the worst case n and, below it, √n. Left:
    float32; both libraries sum in blocks, nearly as well as in pairs. Right: one by one, fp16 and bf16 leave the law where
    their sums stand still, and their error then stays near 100 % (1/u); in pairs they keep to it. Short factors summed in
    float32, as tensor cores do, lose the less the longer the sum.
    """
    figure, axes = panels(["float32", "short formats"], width=4.0, share_y=True)
    positive = dots[dots.kind == "positive"]
    lengths = np.sort(positive.n.unique())
    for index, ((order, name), label) in enumerate(SUMS.items()):
        rows = positive[(positive.order == order) & (positive.format == name)]
        if len(rows):
            series(axes[name != "float32"], roots(rows, predicted="predicted"), label, index, x="n")
    for ax in axes:
        for power in (1.0, 0.5):
            ax.plot(lengths, lengths**power, linestyle=":", **GREY)
            ax.annotate(
                {1.0: "n", 0.5: "√n"}[power],
                (lengths[0], lengths[0] ** power),
                (0, 5),
                textcoords="offset points",
                color="#555555",
            )
        ax.set(xlabel="terms n", xscale="log", yscale="log")
    axes[0].set_ylabel("error in units of u·Σ|ab|")
    key(figure, axes)
    return figure


def growth(found: pd.DataFrame) -> Figure:
    """Partial sums of products of two random numbers from 0 to 1, in bf16, mean over trials. Rounded to nearest the sum falls behind from
    about 64 on and stops at 256, where half its spacing is 1 and no term is larger; the line is what the chances of each term
    say. Rounded at random, up or down with the right mean, it goes on (line: the exact sum).
    """
    figure, axes = panels([""], width=5.0, height=3.0)
    for index, (mode, label) in enumerate({"nearest": "bf16, to nearest", "stochastic": "bf16, at random"}.items()):
        series(axes[0], found[found["mode"] == mode], label, index, x="n")
    axes[0].axhline(256, linestyle=":", **GREY)
    axes[0].set(xlabel="terms added", ylabel="partial sum (dotted: 256)", xlim=(0, None), ylim=(0, None))
    key(figure, axes)
    return figure


def underflow(flushed: pd.DataFrame) -> Figure:
    """Networks with small weights, whose gradients shrink to a third from layer to layer on the way down (from right to left). The share
    of ∂J/∂z that is exactly 0, measured; lines: the share of float64's gradients of at most 2⁻²⁵, half of fp16's smallest
    number. With the loss multiplied by a power of two, or in bf16, nothing is lost.
    """
    figure, axes = panels([""], width=5.0, height=2.8)
    for index, name in enumerate(dict.fromkeys(flushed.format)):
        rows = flushed[flushed.format == name]
        series(axes[0], rows.assign(measured=rows.zero, predicted=rows.flushed), str(name), index, x="layer")
    axes[0].set(xlabel="layer", ylabel="share of gradients that are 0", ylim=(-0.04, 1.04))
    key(figure, axes)
    return figure


def training(gaps: pd.DataFrame, still: pd.DataFrame) -> Figure:
    """Left: how far the training loss on digits lies above that of float32 networks of the same seeds, mean over seeds. Who computes in
    bf16 and keeps a float32 copy of the weights stays with float32, and so do bf16 weights rounded at random; bf16 weights rounded
    to nearest fall behind. Right: the share of those weights that an update leaves exactly as they were, because it is below
    half their spacing; lines: as float64's gradient at the same weights predicts it.
    """
    figure, axes = panels(
        ["behind float32", "weights that do not move"], width=3.7, share_y=False, margins=(0.95, 3.0, 0.6, 0.4)
    )
    for index, way in enumerate(CURVES):
        series(axes[0], gaps[gaps.way == way], SAID.get(way, way), index, x="step")
    for index, layer in enumerate(sorted(set(still.layer)), len(CURVES)):
        series(axes[1], still[still.layer == layer], f"weights of layer {layer}", index, x="step")
    axes[0].set(xlabel="step", ylabel="loss minus float32's")
    axes[1].set(xlabel="step", ylabel="share unchanged by an update", ylim=(0, 1))
    key(figure, axes)
    return figure
