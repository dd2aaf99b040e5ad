"""What becomes of a product of many factors, y = w1 w2 … wn x?

It shrinks, or spreads, exponentially: exactly so in random products, in deep linear networks, and in narrow ReLU networks.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from experiments import theory
from experiments.compare.agreement import unit_roundoff
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, figure, panels, series, stacked, table
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Dense, Job, Network, Snapshot, activations, initializers
from .shared import EXACT, exact_job, growth, hidden, moments

FACTORS, LAYERS, WIDTH = (
    20,
    50,
    10,
)  # of the products; of the linear networks, and their width and that of the ReLU ones
TITLES = {"product": "y = w1 w2 … wn x", "linear": "deep linear, width 10", "narrow": "ReLU, width 10, He"}


def both_ways(job: Job, factor: float = 1.0) -> Callable[[Snapshot], dict[str, list[Array]]]:
    """log ‖h_L‖²/‖h₀‖² forward, and the same of the gradient backward, times ``factor``."""
    return lambda shot: {
        "activation": growth(shot.outputs, job.data.x, factor),
        "gradient": growth(shot.output_gradients[-2::-1], job.data.y, factor),
    }


@cells(cost=Cost(0.24, 30))
def product(lab: Lab, draws: int, dtype: str) -> Frame:
    """y = w1 w2 … wn x, w ~ N(0, 1), as a network of width 1: log|y/x| and log|∂y/∂x| at every depth."""
    network = Network(tuple(Dense(1, bias=False) for _ in range(FACTORS)), 1)
    job = exact_job(network, draws, dtype, initializers.lecun)
    return moments(lab.look(job, "N(0, 1)"), both_ways(job, 0.5), weights="N(0, 1)")


@cells(lambda options: [{"init": "lecun"}, {"init": "orthogonal"}], cost=Cost(0.93, 350))
def linear(lab: Lab, init: str, draws: int, dtype: str) -> Frame:
    """Fifty linear layers of width 10."""
    network = Network(tuple(Dense(WIDTH, bias=False) for _ in range(LAYERS)), WIDTH)
    job = exact_job(network, draws // 10, dtype, initializers.by_name()[init])
    return moments(lab.look(job, init), both_ways(job), weights=init)


@cells(cost=Cost(0.42, 220))
def narrow(lab: Lab, draws: int, dtype: str) -> Frame:
    """Ten ReLU layers of width 10, He: log ‖h_L‖²/‖h₀‖² of the networks that are alive. Forward only: there the law is exact."""
    job = exact_job(Network(hidden(activations.ReLU(), WIDTH, 10), WIDTH), draws // 4, dtype, initializers.he)
    shots = lab.look(job, "he")
    return moments(shots, lambda shot: {"activation": growth(shot.outputs[1::2], job.data.x)}, weights="he")


@table
def products(product: Frame, linear: Frame, narrow: Frame, dtype: str) -> Frame:
    """Mean and variance of every law; the controls: nothing is lost, and the spread of one layer. Of orthogonal weights, the farthest."""
    kept, exact = linear[linear.weights == "orthogonal"], linear[linear.weights != "orthogonal"]
    kept = kept[kept.statistic == "farthest"]
    identity = {"predicted": 0.0 * kept.depth, "control": theory.linear_moments(WIDTH, kept.depth.to_numpy())[0]}
    rounding = WIDTH * np.sqrt(kept.depth) * unit_roundoff(np.dtype(dtype))
    return stacked(
        [
            expected("product", product, theory.product_moments),
            expected("linear", exact, partial(theory.linear_moments, WIDTH)),
            kept.assign(law="orthogonal", **identity, standard_error=rounding),
            expected("narrow", narrow, partial(theory.relu_moments, WIDTH)),
        ]
    )


def expected(law: str, rows: Frame, of: Callable[[Array], tuple[Array, Array]]) -> Frame:
    """Mean and variance both grow with depth."""
    rows = rows[rows.statistic != "farthest"]
    depth, is_mean = rows.depth.to_numpy(), rows.statistic == "mean"
    mean, variance = of(depth)
    return rows.assign(
        law=law, predicted=np.where(is_mean, mean, variance), control=np.where(is_mean, 0.0, variance / depth)
    )


def of(products: Frame, law: str, statistic: str) -> Frame:
    rows = products[(products.law == law) & (products.statistic == statistic)]
    return compare(rows, "{weights}, {signal}, depth {depth}", control_predicted=rows.control)


@claims
def of_products(products: Frame) -> Claims:
    yield Claim(
        name="product, mean",
        statement="A product of n random weights shrinks: the mean of log|w1 w2 … wn| is −0.6352 n for w ~ N(0, 1).",
        source="notes: y = w1 w2 … wn x; derived: E log|N(0, 1)| = −(γ + ln 2)/2",
        basis=EXACT,
        control="weights of size 1 leave the size of the product at 1 (log 0)",
        comparisons=of(products, "product", "mean"),
    )
    yield Claim(
        name="product, spread",
        statement="The variance of log|w1 w2 … wn| grows with every factor, by π²/8.",
        source="derived: Var log|N(0, 1)| = π²/8",
        basis=EXACT,
        control="the spread of one factor",
        comparisons=of(products, "product", "variance"),
    )
    yield Claim(
        name="deep linear, mean",
        statement="A linear network of width 10 shrinks signal and gradient with depth, even where E‖h‖² is kept (n·Var W = 1).",
        source="derived: each layer multiplies ‖h‖² by χ²_n/n; E log = ln(2/n) + ψ(n/2)",
        basis=EXACT,
        control="0: what keeps E‖h‖² also keeps E log ‖h‖²",
        comparisons=of(products, "linear", "mean"),
    )
    yield Claim(
        name="deep linear, spread",
        statement="In a deep linear network the log size of signal and gradient spreads by ψ′(n/2) a layer.",
        source="derived: Var log χ²_n = ψ′(n/2)",
        basis=EXACT,
        control="the spread of one layer",
        comparisons=of(products, "linear", "variance"),
    )
    yield Claim(
        name="orthogonal",
        statement="Orthogonal weights repair the linear case: every norm is kept at every depth, forward and backward.",
        source="Saxe 2014",
        basis="An identity; n·√depth roundings of size u are its error. The farthest of all networks is shown.",
        control="the law of Gaussian weights",
        comparisons=of(products, "orthogonal", "farthest"),
    )
    yield Claim(
        name="narrow ReLU, mean",
        statement="He's rule keeps E‖h‖², but in a narrow ReLU network (10 × 10) the typical signal still shrinks.",
        source="derived: K ~ Bin(n, ½) active units, a factor (2/n)χ²_K; about −5L/2n; compare Hanin 2018",
        basis=EXACT,
        control="the law of infinite width: nothing is lost",
        comparisons=of(products, "narrow", "mean"),
    )
    yield Claim(
        name="narrow ReLU, spread",
        statement="In a narrow ReLU network the log size of the signal spreads with every layer.",
        source="derived as above",
        basis=EXACT,
        control="the spread of one layer",
        comparisons=of(products, "narrow", "variance"),
    )


@figure("A product of many factors")
def random_products(product: Frame, linear: Frame, narrow: Frame, products: Frame) -> Figure:
    """Left: log|w1 w2 … wn x| and its gradient for standard normal weights; middle: log(‖h_L‖²/‖h₀‖²) of deep linear
    networks of width 10; right: the same for narrow ReLU networks with He's weights. Points are means over the draws,
    lines the exact laws. The schemes of the middle and the right keep the mean square, yet the typical signal shrinks.
    """
    figure, axes = panels(list(TITLES.values()), share_y=False, margins=(0.8, 0.2, 0.6, 0.4))
    for ax, law, rows in zip(axes, TITLES, (product, linear, narrow), strict=True):
        means = rows[rows.statistic == "mean"]
        known = products[(products.law == law) & (products.statistic == "mean")]
        means = means.merge(known, how="left")
        label = means.signal if law == "product" else means.weights + ", " + means.signal
        for index, name in enumerate(label.unique()):
            series(ax, means[label == name], name, index, x="depth")
        ax.set_xlabel("factors n" if law == "product" else "layers")
        ax.set_ylabel("mean of log |y/x|" if law == "product" else "mean of log (‖h_L‖²/‖h₀‖²)")
        ax.legend(fontsize=8, loc="lower left")
    return figure
