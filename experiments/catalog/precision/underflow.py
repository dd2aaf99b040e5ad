"""Which gradients does fp16 lose?

All of at most 2⁻²⁵: in a deep network of small weights more at every layer on the way down. A loss times a power of two brings them
back, and bf16, whose range is float32's, never loses them.
"""

import numpy as np

from experiments.compare import probes
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, facets, figure, stacked, table
from experiments.lab.types import Array, Claims, Figure, Frame
from .arithmetic import Scaled
from .formats import FLOAT64, FORMATS, Format
from .shared import averages, both, model, nets, relative, seen, signals

SMALL = 0.3  # of LeCun's weights: every layer divides the gradient by about three, and tanh is all but linear
ROOM = 2.0**4  # how far below fp16's largest number a scale leaves the largest gradient
LOSSES = {"fp16": 1.0, "fp16, scaled": None, "bf16": 1.0}
SAID = "{format}, layer {layer}"


@cells(makes=("underflow",), cost=Cost(1.5, 60))
def small_gradients(lab: Lab, fading: int, width: int, seeds: int, replicas: int) -> Frame:
    """Networks of small weights: the share of ∂J/∂z that is 0 at every layer, and its relative error, in fp16, with a scaled loss, bf16.

    "flushed" is that share as float64's gradients predict it: those of at most half the smallest subnormal number. What comes from
    above has been rounded already, to multiples of that number; "near": the share that this may push over the threshold.
    """
    made, rows = nets(fading, width, seeds, gain=SMALL), []
    truth = signals(*seen(made.job(FLOAT64)))
    for name, given in LOSSES.items():
        to = FORMATS[name.split(",")[0]]
        scale = scale_for(truth["gradient"], to) if given is None else given
        lifted = {key: [a if key == "activation" else a * scale for a in arrays] for key, arrays in truth.items()}
        expected = model(made, to, lifted, replicas, scale).query("signal == 'gradient'")
        job = made.job(to, Scaled(scale=scale))
        for backend, shot in both(lab, job, to.name).items():
            found = lost(signals(job, shot)["gradient"], lifted["gradient"], to)
            rows.append(found.merge(expected, how="left").assign(backend=backend, format=name, scale=scale))
    return stacked(rows)


def scale_for(gradients: list[Array], to: Format) -> float:
    """The power of two that lifts the largest gradient to 1/ROOM of the largest number."""
    most = max(float(np.abs(g).max()) for g in gradients)
    return float(2.0 ** np.floor(np.log2(to.largest / ROOM / most)))


def lost(found: list[Array], exact: list[Array], to: Format) -> Frame:
    rows = []
    for layer, (a, b) in enumerate(zip(found, exact, strict=True), 1):
        size = np.abs(b)
        counted = {
            "zero": a == 0,
            "flushed": size <= to.smallest / 2,
            "near": np.abs(size / to.smallest - 0.5) <= SMALL / np.sqrt(12),
            "abrupt": size < 2.0**to.lowest,  # were there no subnormal numbers
        }
        shares = {name: which.mean((-1, -2)) for name, which in counted.items()}
        sizes = {"numbers": a[0].size, "measured": relative(a, b), "size": probes.rms(b)}
        rows.append(Frame({"layer": layer, "seed": range(len(a))} | shares | sizes))
    return stacked(rows)


@table
def flushed(underflow: Frame) -> Frame:
    by, zeros = ["format", "layer", "backend"], underflow.zero - underflow.flushed
    means = ["zero", "flushed", "near", "abrupt", "measured", "modelled", "size", "scale"]
    excess = (underflow.measured - underflow.modelled).groupby([underflow[name] for name in by], sort=False)
    return averages(underflow, by, means, zeros).assign(excess_error=excess.sem().to_numpy())


@claims
def of_range(flushed: Frame) -> Claims:
    yield Claim(
        "underflow",
        "fp16 makes every gradient of at most 2⁻²⁵ zero: the share that is lost grows from layer to layer on the way down, as "
        "float64's gradients predict it; a scaled loss or bf16 loses hardly any.",
        "IEEE 754; Micikevicius 2018, Fig. 3",
        "The share of |∂J/∂z| of at most half the smallest subnormal number, 2⁻²⁴. What comes from above has been rounded to multiples "
        "of that already, which moves a number by 0.3·2⁻²⁴/√12: the share so near to the threshold is left open. Student's t over "
        "networks; one number of them all counts as an error as well.",
        "no subnormal numbers: everything below 2⁻¹⁴ lost",
        compare(
            flushed,
            SAID,
            dof=flushed.seeds - 1,
            measured=flushed.zero,
            predicted=flushed.flushed,
            tolerance=flushed.near,
            control_predicted=flushed.abrupt,
        ),
    )
    at = ["layer", "backend"]
    plain = flushed[flushed.format == "fp16"][[*at, "measured"]].rename(columns={"measured": "without"})
    rows = flushed[flushed.format == "fp16, scaled"].merge(plain, how="left", on=at)
    units = {"measured": rows.measured, "standard_error": rows.excess_error, "control_measured": rows.without}
    units = {name: column / rows.modelled for name, column in units.items()}
    yield Claim(
        "loss scaling",
        "A loss times a power of two brings the gradients back: their error is at most the random model's, at every layer.",
        "Micikevicius 2018",
        'Mean square error in units of the model\'s; "at most" because slopes near 1 often round to nothing, which the model does not '
        "count on. Student's t over networks.",
        "the loss as it is",
        compare(rows, SAID, dof=rows.seeds - 1, predicted=1.0, **units),
        "at most",
    )


@figure("Gradients that fp16 makes zero")
def underflow(flushed: Frame) -> Figure:
    """Networks with small weights, whose gradients shrink to a third from layer to layer on the way down (from right to left). The share
    of ∂J/∂z that is exactly 0, measured; lines: the share of float64's gradients of at most 2⁻²⁵, half of fp16's smallest
    number. With the loss multiplied by a power of two, or in bf16, nothing is lost.
    """
    return facets(
        flushed.assign(measured=flushed.zero, predicted=flushed.flushed),
        x="layer",
        colour="format",
        xlabel="layer",
        ylabel="share of gradients that are 0",
        size={"width": 5.0, "height": 2.8},
        ylim=(-0.04, 1.04),
    )
