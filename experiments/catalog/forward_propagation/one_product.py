"""Is one product WX the whole loop over the examples?

Random shapes, three ways: against sums that are exact, against a loop over the columns, and against the other convention, an example a
row. All are the same numbers but for rounding.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.lines import Line2D

from experiments.compare.agreement import unit_roundoff
from experiments.compare.backends import backends
from experiments.lab import RING, Array, Claim, Cost, Figure, Frame, Lab, cells, claims, each, figure, panels, series
from . import shared
from .shared import FIFTH, bounded, factors, gamma, keep_worst


@cells(each(inputs="inputs"), cost=Cost(1.5, 30, {"largest": 2}))
def products(lab: Lab, inputs: int, largest: int, trials: int, seed: int, dtype: str) -> Frame:
    """The largest differences between Z = WX and the same by other ways, beside as many roundings as may lie between the two."""
    found = []
    for trial in range(trials):
        w, x = factors(inputs, trial, largest, seed, dtype)
        shots, sums = lab.look(shared.product(w, x), f"{inputs} inputs"), exact(w, x)
        for backend, shot in shots.items():
            found += [{"backend": backend} | row for row in compared(backend, w, x, shot.outputs[0], sums)]
    keep_worst(lab)
    most = Frame(found).groupby(["backend", "comparison"], sort=False).max().reset_index()
    unit = unit_roundoff(np.dtype(dtype))
    # i roundings in each product of i terms; of an exact sum, its products' and its own
    limits = {"exact sums": gamma(inputs + 2, unit), "a loop": gamma(2 * inputs, unit), "rows": gamma(2 * inputs, unit)}
    return most.assign(inputs=inputs, predicted=most.comparison.map(limits).astype(float) / unit, trials=trials)


def compared(backend: str, w: Array, x: Array, z: Array, sums: Array) -> Iterator[dict]:
    """The product against exact sums, against a loop over examples, against the convention with rows; and what must not agree."""
    unit = unit_roundoff(x.dtype) * (np.abs(w).astype(float) @ np.abs(x))  # what one rounding of everything may lose
    looped = np.concatenate([product(backend, w, x[:, j : j + 1]) for j in range(x.shape[1])], axis=1)
    turned = product(backend, w.T.copy(), x) if w.shape[0] == w.shape[1] else np.full(z.shape, np.nan)
    late = np.roll(looped, 1, axis=1)  # every example gets its neighbour's result
    ways = {"exact sums": (sums, turned), "a loop": (looped, late), "rows": (rows(backend, w, x), turned)}
    for name, numbers in ways.items():
        apart, control = (float((np.abs(a.astype(float) - z) / unit).max()) for a in numbers)
        yield {"comparison": name, "measured": apart, "control": control}


def product(backend: str, w: Array, x: Array) -> Array:
    return backends("cpu")[backend].snapshot(shared.product(w, x)).outputs[0]


def rows(backend: str, w: Array, x: Array) -> Array:
    """What the other convention gives, an example a row: (XᵀWᵀ)ᵀ in NumPy. nn.Linear has it inside: beside it, WX by torch.matmul."""
    if backend == "scratch":
        return (x.T @ w.T).T
    return torch.matmul(torch.from_numpy(w), torch.from_numpy(x)).numpy()


def exact(w: Array, x: Array) -> Array:
    """Σ_k w_ik x_kj, neuron by neuron and example by example, each sum rounded once (math.fsum)."""
    return np.array([[math.fsum(map(float.__mul__, row, column)) for column in x.T.tolist()] for row in w.tolist()])


@claims
def three_ways(products: Frame) -> Iterator[Claim]:
    both = "both round sums of n products: at most 2n roundings of Σ|w||x| apart"
    turned = "Wᵀ in W's place, where W is square"
    for comparison, name, statement, basis, control in (
        (
            "exact sums",
            "a row a neuron, a column an example",
            "Entry (i, j) of WX is neuron i's row times example j's column, for any shapes: no transpose is needed.",
            "at most n + 2 roundings of Σ|w||x| from sums that math.fsum rounds once (Higham 2002, lemma 3.1)",
            turned,
        ),
        (
            "a loop",
            "one product is the whole loop",
            "WX gives all examples at once what a loop over the columns gives one at a time.",
            both,
            "the loop's results one column late",
        ),
        (
            "rows",
            "XᵀWᵀ = (WX)ᵀ",
            "With an example a row, as in nn.Linear, the same W gives the same numbers transposed: the transpose is only moved elsewhere.",
            f"{both}. torchref: nn.Linear's rows beside torch.matmul(W, X)",
            turned,
        ),
    ):
        yield Claim(
            name=name,
            statement=statement,
            source="notes, Forward Propagation",
            basis=f"Largest difference on all random shapes, in units of u·Σ|w||x|: {basis}. {FIFTH}",
            control=control,
            comparisons=bounded(products[products.comparison == comparison], "{inputs} inputs"),
        )


@figure("Three ways to the same numbers")
def rounding(products: Frame) -> Figure:
    """The largest difference of any number on all random shapes, in units of what one rounding of Σ|w||x| is. The line is the bound,
    as many roundings as there are: the differences stay far below it, since roundings go both ways. Wᵀ in W's place, or a loop that is
    one column late, would stand at about 10¹⁶.
    """
    titles = {"exact sums": "WX and exact sums", "a loop": "WX and a loop over examples", "rows": "WX and (XᵀWᵀ)ᵀ"}
    figure, axes = panels(list(titles.values()), margins=(0.8, 2.5, 0.65, 0.4))
    for index, (ax, comparison) in enumerate(zip(axes, titles, strict=True)):
        chosen = products[products.comparison == comparison].assign(standard_error=0.0)
        series(ax, chosen, "_", index, x="inputs")
        ax.set(xscale="log", xlabel="inputs (terms of a sum)")
        ticks = [n for n in (1, 10, 100, 1000, 10_000) if n <= 2 * products.inputs.max()]
        ax.set_xticks(ticks, [str(n) for n in ticks])
        ax.set_yscale("symlog", linthresh=1)
        ax.set_yticks([0, 1, 10, 100, 1000], ["0", "1", "10", "100", "1000"])
        ax.set_ylim(-0.2, 4000)
    axes[0].set_ylabel("largest difference (roundings)")
    handles = [
        Line2D([], [], color="#555555", label="the bound"),
        Line2D([], [], color="#555555", marker="o", linestyle="none", markersize=5, label="scratch"),
        Line2D([], [], color="#555555", label="torchref", **RING),
    ]
    figure.legend(handles=handles, loc="center right", bbox_to_anchor=(1, 0.5), fontsize=10, frameon=False)
    return figure
