"""How does the rounding error grow from layer to layer?

As if each rounding were random: every format's error is predicted at every depth, and lies far below what the worst case allows.
"""

from collections.abc import Sequence

import numpy as np

from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, figure, stacked, table
from experiments.lab.figures import COLOURS, facets, key, panels, series
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Softmax
from .formats import FLOAT64, FORMATS
from .laws import Worst
from .shared import GREY, LONG, Nets, Signals, averages, both, model, relative, roots, seen, signals, study

KINDS = {"activation": "going up: pre-activations", "gradient": "coming down: ∂J/∂z"}


@cells(each(format=("bf16", "fp16", "tf32", "float32", *LONG)), makes=("measurements",), cost=Cost(4.5, 160))
def errors(lab: Lab, format: str, depth: int, width: int, seeds: int, replicas: int) -> Frame:
    """Relative mean square error (of the whole layer) against a more exact run, for every network, layer and signal.

    "modelled" is the same of float64 networks with random errors, the mean over ``replicas``; "bound" the worst case.
    """
    made, job, truth = study(format, depth, width, seeds)
    to = FORMATS[format]
    expected = model(made, to, truth, replicas)
    bounds = {name: worst_case(made, Worst(to, probable)) for name, probable in (("bound", False), ("probable", True))}
    rows = []
    for backend, shot in both(lab, job, format).items():
        found = beside(signals(job, shot), truth, bounds).merge(expected, how="left")
        rows.append(found.assign(backend=backend, format=format))
    return stacked(rows)


def beside(found: Signals, truth: Signals, bounds: dict[str, Signals]) -> Frame:
    """The error of each network, the bounds on it, and the largest error of its numbers in units of each bound."""
    rows = []
    for signal, arrays in found.items():
        for layer, array in enumerate(arrays, 1):
            exact = truth[signal][layer - 1]
            named = {"signal": signal, "layer": layer, "seed": range(len(array)), "measured": relative(array, exact)}
            for name, limits in bounds.items():
                if signal in limits:
                    limit, size = limits[signal][layer - 1], (exact**2).sum((-1, -2))
                    named[name] = ((limit**2).sum((-1, -2)) / size).astype(np.float64)
                    named[f"of_{name}"] = (np.abs(array - exact) / limit).max((-1, -2)).astype(np.float64)
            rows.append(Frame(named))
    return stacked(rows)


def worst_case(made: Nets, bound: Worst) -> Signals:
    """The bound on every entry of every layer, forward and backward."""
    job, shot = seen(made.job(FLOAT64))
    dense = [k for k, named in enumerate(job.parameters) if named]
    x, e = job.data.x, np.zeros_like(job.data.x)
    kept: list[tuple[Array, Array]] = []  # what each Dense layer reads
    found: Signals = {"activation": [], "gradient": []}
    for k in dense:
        p = job.parameters[k]
        kept.append((x, e))
        e = bound.dense(p["W"], p["b"], x, e)
        found["activation"].append(e)
        x, e = shot.outputs[k + 1], bound.tanh(shot.outputs[k + 1], e)
    logits = shot.outputs[dense[-1]]
    shares, _ = Softmax().forward({}, logits)
    g, eg = shot.output_gradients[dense[-1]], bound.loss(shares, logits, found["activation"][-1])
    for k, (a, ea) in zip(dense[::-1], kept[::-1], strict=True):
        found["gradient"].insert(0, eg)
        if k == 0:
            break
        w = job.parameters[k]["W"].mT
        down = w @ g
        eg = bound.keep(down, bound.product(w, bound.held(w, "W"), g, bound.read(g, eg)), 0)
        eg = bound.through(a, ea, down, eg)
        g = shot.output_gradients[k - 2]
    return found


@table
def layers(measurements: Frame) -> Frame:
    """Mean squares over the networks: measured and modelled, their difference's standard error, and the bounds."""
    frame = measurements.sort_values("format", key=lambda names: names.map([*FORMATS].index), kind="stable")
    by = ["format", "signal", "layer", "backend"]
    found = averages(frame, by, ["measured", "modelled", "bound", "probable"], frame.measured - frame.modelled)
    farthest = frame.groupby(by, sort=False)[["of_bound", "of_probable"]].max().reset_index(drop=True)
    return found.assign(**farthest, unit=[FORMATS[name].unit for name in found.format])


@table
def costs(layers: Frame) -> Frame:
    """One row for each format: relative errors (root mean square) of scratch, and what the worst case would allow."""
    rows, top = [], layers.layer.max()
    ours = layers[layers.backend == "scratch"].set_index(["format", "signal", "layer"])
    for name in layers.format.unique():
        first, last, back = ours.loc[[(name, "activation", 1), (name, "activation", top), (name, "gradient", 1)]].iloc
        squares = {"first layer": first.measured, "last layer": last.measured, "gradient at the first": back.measured,
                   "worst case, last layer": last.bound}  # fmt: skip
        sizes = {"u": FORMATS[name].unit} | {said: np.sqrt(square) for said, square in squares.items()}
        said = {key: f"{value:.1e}" for key, value in sizes.items()}
        rows.append({"format": name} | said | {"range up to": f"2^{FORMATS[name].highest + 1}"})
    return Frame(rows)


@claims
def layer_by_layer(layers: Frame) -> Claims:
    top = layers.layer.max()
    middle = (1 + top) // 2
    errors, units = layers.standard_error / layers.modelled, layers.measured / layers.modelled
    rows = layers.assign(measured=units, standard_error=errors, dof=layers.seeds - 1)

    def chosen(signals: Sequence[str], *at: int) -> Frame:
        some = rows[rows.signal.isin(signals) & rows.layer.isin(at)]
        return compare(some, "{format}, {signal}, layer {layer}", predicted=1.0, control_predicted=4.0)

    source, control = "first-order error analysis with random errors", "a format with one bit less"
    basis = (
        "float64 networks with an independent uniform error wherever the format rounds (float32: at every step of a sum). The ratio of "
        "the mean square errors; Student's t over networks with weights and examples of their own."
    )
    yield Claim(
        "layer by layer, activations",
        "Through a deep network rounding errors grow as if each were random: every format's error at every depth is predicted, "
        "without anything fitted.",
        source,
        basis,
        control,
        chosen(["activation"], 1, middle, top),
    )
    yield Claim(
        "layer by layer, gradients",
        "The same for what comes back: ∂J/∂z and ∂J/∂W, where errors of both directions meet.",
        source,
        basis
        + " The loss is modelled as scratch computes it; PyTorch's, by way of ln softmax, rounds more, which shows in the top "
        "layers only.",
        control,
        chosen(["gradient", "weight gradient"], 1, middle),
    )


@claims
def worst_cases(layers: Frame, measurements: Frame) -> Claims:
    by = ["format", "signal", "backend"]
    limits = layers[layers.signal.isin(KINDS)].groupby(by, sort=False)[["of_bound", "of_probable"]].max().reset_index()
    beyond = measurements.assign(beyond=np.sqrt(measurements.measured / measurements.modelled))
    limits = limits.merge(beyond.groupby(by).beyond.max().reset_index())
    fixed = {"predicted": 1.0, "standard_error": 0.0, "control_measured": limits.beyond}
    yield Claim(
        "layer by layer, worst case",
        "Higham's bound, carried from layer to layer with absolute values, holds for every number; so does its probabilistic form.",
        "Higham 2002, ch. 3; Higham & Mary 2019",
        "The largest error in units of the bound, over all layers, numbers and networks.",
        "the random model taken for a bound",
        stacked(
            [
                compare(limits, "{format}, {signal}", measured=limits.of_bound, **fixed),
                compare(limits, "{format}, {signal}, λ√n", measured=limits.of_probable, **fixed),
            ]
        ),
        "at most",
    )


@figure("Error against layer")
def error_by_layer(layers: Frame) -> Figure:
    """Relative error of a whole layer (root mean square) in units u of each format, tanh networks on digits. Lines: networks in float64
    with an independent random error wherever the format rounds; nothing is fitted. Left: from the first layer (left) to the output.
    Right: gradients, which come down from the right. float64 and float32 also round at every step of a sum; TF32, fp16 and bf16
    sum in float32, and TF32 rounds only what a product reads. On the CPU scratch emulates TF32, fp16 and bf16;
    PyTorch computes in its own fp16 and bf16, and emulates TF32. In the top layers PyTorch's rounding of the loss shows, by way
    of ln softmax, which the model has not. u: float64 1.1e-16, float32 6.0e-8, TF32 and fp16 4.9e-4, bf16 3.9e-3.
    """
    rows = layers[layers.signal.isin(KINDS)]
    figure = facets(
        roots(rows, rows.unit).assign(signal=rows.signal.map(KINDS)),
        x="layer",
        panel="signal",
        colour="format",
        xlabel="layer",
        ylabel="relative error in units of u",
        size={"width": 4.0},
    )
    figure.axes[0].set_ylim(0, None)
    return figure


@figure("What the worst case would allow")
def bounds(layers: Frame) -> Figure:
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
    return key(figure, axes, xlabel="layer", yscale="log", ylabel="relative error (dotted: 1)")
