"""What does a linear model learn with dropout?

Ridge regression: trained on the average over all masks it ends at the closed form, and with masks that are drawn it is on its way
there on average.
"""

from collections.abc import Callable

import numpy as np

from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, figure, table
from experiments.lab.figures import COLOURS, MARKERS, RING, key, panels
from experiments.lab.types import Array, Axes, Claims, Figure, Frame
from scratch import SGD, Batch, Job, Network, SquaredError, randomness
from scratch.contract import Noise
from . import laws
from .shared import MASKS, ROUNDING, all_masks, chances, handed, linear, standardised

DRAWN = 60  # steps with masks that are drawn
MEASUREMENTS = ("age", "sex", "body mass", "blood pressure", "s1", "s2", "s3", "s4", "s5", "s6")


def averaged(batch: Batch, keep: float) -> tuple[Batch, Array]:
    """Data (n, N) and mask (n, N) on which one ordinary loss is the expected one: a column for each mask and example.

    The squared error knows the data by the products of its rows alone: the triangle of their QR decomposition, 11 columns,
    stands for all patients. Columns are scaled by the root of their mask's probability, squares so by the probability.
    """
    triangle = np.linalg.qr(np.vstack([batch.x, batch.y]).T).R.T
    masks = all_masks(len(batch.x))
    chance = chances(masks, keep)
    masks, chance = masks[chance > 0], chance[chance > 0]
    columns = (np.sqrt(chance)[:, None, None] * triangle).swapaxes(0, 1).reshape(len(triangle), -1)
    return Batch(columns[:-1].copy(), columns[-1:].copy()), np.repeat(masks[..., 0].T, triangle.shape[1], axis=1)


def curvatures(x: Array) -> Array:
    """Of the mean squared error on x (n, m), in ascending order."""
    return np.linalg.eigvalsh(2 / x.shape[1] * (x @ x.T))


def descent_rate(x: Array, keep: float) -> float:
    """A learning rate that is safe with dropout, which raises the curvatures by at most a factor of 1/p."""
    return float(keep / curvatures(x)[-1])


def trained(
    lab: Lab, keep: float, start: Array, batch: Batch, steps: int, optimizer: SGD, noise: Noise
) -> dict[str, Array]:
    """The weights (…, 1, n) of a linear regression after so many steps on all examples, by both implementations."""
    columns = np.broadcast_to(np.arange(batch.x.shape[1]), (steps + 1, batch.x.shape[1]))
    job = Job(linear(keep), SquaredError(), ({}, {"W": start}), batch, columns, optimizer, (steps,), noise=noise)
    return {name: next(shots).parameters[1]["W"] for name, shots in lab.train(job).items()}


@cells(each(keep="ridge_keeps"), cost=Cost(2, 40))
def descent(lab: Lab, keep: float, patients: int) -> Frame:
    """Weights that descent on the expected loss, all masks at once, comes to."""
    wide, mask = averaged(standardised(patients), keep)
    low, high = np.sqrt(curvatures(wide.x * mask / keep)[[0, -1]])
    rate = (high - low) / (high + low)  # of the heavy ball with its best constants (Polyak 1964)
    steps = int(50 / -np.log(rate)) + 1  # e⁻⁵⁰ is less than rounding
    ball = SGD(float(4 / (high + low) ** 2), momentum=float(rate**2))
    found = trained(lab, keep, np.zeros((1, 10)), wide, steps, ball, handed(linear(keep), 10, mask))
    return lab.rows(found, lambda w: w[0], {"feature": range(10)}).assign(steps=steps)


@cells(lambda options: [{"keep": keep} for keep in options.ridge_keeps if keep < 1], cost=Cost(2, 60))
def drawn(lab: Lab, keep: float, runs: int, patients: int) -> Frame:
    """A stack of regressions, each with masks of its own drawn anew at every step: their weights' mean and its error."""
    batch = standardised(patients)
    columns = np.broadcast_to(np.arange(patients), (DRAWN + 1, patients))
    noise = randomness.noise(Network(linear(keep), 10), 0, columns, (runs,))
    found = trained(lab, keep, np.zeros((runs, 1, 10)), batch, DRAWN, SGD(descent_rate(batch.x, keep)), noise)
    means = lab.rows(found, lambda w: w[:, 0].mean(0), {"feature": range(10)})
    errors = lab.rows(found, lambda w: w[:, 0].std(0, ddof=1) / runs**0.5, {"feature": range(10)})
    return means.assign(standard_error=errors.value, dof=runs - 1)


def on_the_way(x: Array, y: Array, keep: float) -> Array:
    """Mean weights (1, n) after those steps with masks that are drawn."""
    return laws.descended(x, y, keep, descent_rate(x, keep), DRAWN)


def beside(measured: Frame, law: Callable[[Array, Array, float], Array], patients: int) -> Frame:
    """The law, and least squares, beside every weight."""
    batch = standardised(patients)
    x, y = batch.x, batch.y
    known = {keep: law(x, y, keep)[0] for keep in measured.keep.unique()}
    predicted = [known[keep][feature] for keep, feature in zip(measured.keep, measured.feature, strict=True)]
    return measured.assign(predicted=predicted, least_squares=laws.ridge(x, y, 1.0)[0][measured.feature])


@table
def coefficients(descent: Frame, patients: int) -> Frame:
    return beside(descent, laws.ridge, patients)


@table
def sampled(drawn: Frame, patients: int) -> Frame:
    return beside(drawn, on_the_way, patients)


@table
def path(patients: int) -> Frame:
    """Ridge's weights, and those after a while of drawn masks, for every p: the lines of the figure."""
    batch, rows = standardised(patients), []
    for keep in [*np.linspace(0.05, 0.9, 52), *(1 - np.geomspace(0.09, 1e-4, 24)), 1.0]:  # close where it bends
        ends, ways = (law(batch.x, batch.y, keep)[0] for law in (laws.ridge, on_the_way))
        rows += [{"keep": keep, "feature": k, "ridge": ends[k], "drawn": ways[k]} for k in range(len(ends))]
    return Frame(rows)


@claims
def all_masks_at_once(coefficients: Frame, patients: int) -> Claims:
    batch, rows = standardised(patients), []
    right = np.sqrt((batch.x**2).sum() * (batch.y**2).sum())
    for (backend, keep), w in coefficients.groupby(["backend", "keep"], sort=False):
        curved = laws.penalized(batch.x, keep)
        moved = np.trace(curved) * np.linalg.norm(w.predicted) + right  # by how much, in units of √k·u, the equations
        rows.append(
            {
                "backend": backend,
                "keep": keep,
                "measured": np.linalg.norm(w.value - w.predicted),
                "standard_error": np.sqrt(11 * MASKS) * ROUNDING * moved / np.linalg.eigvalsh(curved)[0],
                "control_measured": np.linalg.norm(w.value - w.least_squares),
            }
        )
    yield Claim(
        name="trained with dropout: ridge",
        statement="Gradient descent on the squared error with dropout, averaged over all masks, ends at ridge's closed form.",
        source="Srivastava 2014, section 9.1",
        basis="Distance of the ten weights. Standard error: all data moved by √k·u, k = 11·1024 columns, through the equations' inverse.",
        control="the distance from least squares",
        comparisons=compare(Frame(rows), "keep {keep:g}", predicted=0.0),
    )


@claims
def masks_drawn(sampled: Frame) -> Claims:
    yield Claim(
        name="drawn masks, on average",
        statement=f"With masks drawn at every step, the mean weights after {DRAWN} steps are those of descent on ridge's objective.",
        source="a step is linear in the weights, and the next mask independent of them",
        basis="Mean over independent runs, Student's t. The prediction is exact at every step, not only in the end.",
        control="least squares",
        comparisons=compare(
            sampled,
            "keep {keep:g}, weight {weight}",
            weight=sampled.feature + 1,
            measured=sampled.value,
            control_predicted=sampled.least_squares,
        ),
    )


@figure("Linear regression with dropout is ridge regression")
def ridge(path: Frame, coefficients: Frame, sampled: Frame) -> Figure:
    """Ten weights of a linear regression (diabetes patients, standardized) trained with dropout on its inputs. Left: by
    descent on the average over all 1024 masks; the lines are ridge regression's closed form, with penalty (1−p)/p, and
    at p = 1 they are least squares. Right: trained with masks drawn at every step, for a while; the lines are the exact
    mean of that, and where little is dropped they have not come to ridge's weights yet.
    """
    figure, axes = panels(["all masks at once", "masks drawn, mean of the runs"], width=3.6, height=3.8)
    measured = coefficients.assign(standard_error=0.0), sampled
    for ax, line, points in zip(axes, ("ridge", "drawn"), measured, strict=True):
        for index, name in enumerate(MEASUREMENTS):
            one = path[path.feature == index]
            ax.plot(one.keep, one[line], color=COLOURS[index % 8], linestyle="-" if index < 8 else ":")
            weight(ax, points[points.feature == index], name, index)
        ax.axhline(0, color="black", linewidth=0.6)
    return key(
        figure, axes, xlabel="probability of keeping an input, p", xlim=(0, 1.04), ylabel="weight (standard deviations)"
    )


def weight(ax: Axes, points: Frame, name: str, index: int) -> None:
    """One weight's points, error bars and rings: there are more weights than colours, so the marker tells them apart."""
    colour, marker = COLOURS[index % 8], (*MARKERS, "<", ">")[index]
    ours, theirs = (points[points.backend == backend] for backend in ("scratch", "torchref"))
    ax.errorbar(ours.keep, ours.value, ours.standard_error, color=colour, linestyle="none", zorder=3)
    ax.plot(ours.keep, ours.value, color=colour, marker=marker, linestyle="none", markersize=5, label=name, zorder=3)
    ax.plot(theirs.keep, theirs.value, color=colour, zorder=4, **RING)
