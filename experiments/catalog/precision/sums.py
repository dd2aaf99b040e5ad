"""How large is the rounding error of a dot product?

It depends on the order of the sum, and is predicted from the partial sums: errors are random as long as terms are well above the
spacing of their sum.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.lab import Array, Claim, Cost, Figure, Frame, cells, claims, compare, each, figure, matched, stacked
from experiments.lab.figures import key, panels, series
from . import laws
from .formats import BF16, FLOAT32, FORMATS, Format, rounded
from .orders import ORDERS
from .shared import GREY, operands, roots

LONGEST = 10_000  # terms of a sum in a short format: every step is a step of Python's
ASKED = (  # order of summation, format, kinds of numbers
    ("one by one", "float32", ("positive", "signs")),
    ("one by one", "fp16", ("positive", "signs")),
    ("one by one", "bf16", ("positive", "signs")),
    ("in pairs", "float32", ("positive", "signs")),
    ("in pairs", "bf16", ("positive",)),
    ("tensor core", "tf32", ("positive",)),  # fp16 would read the same numbers
    ("tensor core", "bf16", ("positive", "signs")),
    ("library", "float32", ("positive",)),
    ("chopped", "tf32", ("positive",)),
)
SHOWN = {  # order of summation and format, as the legend has them
    ("one by one", "float32"): "float32, one by one",
    ("library", "float32"): "float32, the library's own",
    ("in pairs", "float32"): "float32, in pairs",
    ("one by one", "fp16"): "fp16, one by one",
    ("one by one", "bf16"): "bf16, one by one",
    ("in pairs", "bf16"): "bf16, in pairs",
    ("tensor core", "bf16"): "bf16 × bf16, float32 sum",
}
KEY = ["format", "kind", "n", "backend"]
SAID = "{order}, {format}, {kind}, n = {n}"


@cells(each(n="lengths"), cost=Cost(3.5, 210))
def dots(n: int, trials: int, device: str) -> Frame:
    """Mean square rounding errors of dot products of n numbers; steps in short formats are slow, so they go up to ``LONGEST``."""
    rows = []
    for order, name, kinds in ASKED:
        to = FORMATS[name]
        if order in ("one by one", "chopped") and to != FLOAT32 and n > LONGEST:
            continue
        for kind in kinds:
            x, y = operands(kind, trials, n)
            if order != "tensor core":  # what the sum does is asked, not what its numbers lose
                x, y = rounded(x, to), rounded(y, to)
            named = {"order": order, "format": name, "kind": kind, "n": n}
            rows += [named | row for row in errors(order, x, y, to, device)]
    return Frame(rows)


def errors(order: str, x: Array, y: Array, to: Format, device: str) -> Iterator[dict[str, Any]]:
    """In units of u·√mean (Σ|ab|)². The standard error is that of squares of normal numbers, of which the errors are sums."""
    wide = x.astype(np.float64), y.astype(np.float64)
    products, n = wide[0] * wide[1], x.shape[-1]
    size = np.abs(products).sum(-1)
    scale = to.unit * np.sqrt((size**2).mean())
    expected = predicted(order, wide, products, to) / scale**2
    roundings = n + 2 if order == "tensor core" else n  # those that one product may go through: its factors' among them
    lost = n * to.smallest  # where products underflow
    for backend, ways in ORDERS.items():
        error = np.abs(ways[order](x, y, to, device) - products.sum(-1))
        root = np.sqrt(n) * to.unit * size + lost
        yield {
            "backend": backend,
            "trials": len(x),
            "measured": ((error / scale) ** 2).mean(),
            "predicted": expected.mean(),
            "standard_error": np.sqrt(2 * (expected**2).sum()) / len(x),
            "worst": (error / (roundings * to.unit * size + lost)).max(),
            "of_root": (error / root).max(),
            "beyond": (error > laws.LAMBDA * root).mean(),  # the probabilistic bound
        }


def predicted(order: str, wide: tuple[Array, Array], products: Array, to: Format) -> Array:
    """Mean square of the error of each trial; NaN where there is no law: a library's order, terms too small for the sum."""
    if order == "tensor core":
        return laws.tensor_core(*wide, to)
    law = {"one by one": laws.sequential, "in pairs": laws.pairwise}.get(order)
    if law is None or not laws.resolved(products, to, order == "in pairs"):
        return np.full(len(products), np.nan)
    return laws.multiplied(products, to) + law(rounded(products.astype(np.float32), to).astype(np.float64), to)


@claims
def worst_case(dots: Frame) -> Iterator[Claim]:
    rows = dots[dots.order != "chopped"]
    yield Claim(
        "sums, worst case",
        "The error of a dot product of n numbers is at most γₙ Σ|aᵢbᵢ| = nu/(1 − nu) Σ|aᵢbᵢ|, in every format, for every order of "
        "the sum, even where nu > 1: n·u is enough.",
        "Higham 2002, Eq. 3.5; Jeannerod & Rump 2013",
        "The largest error of all trials in units of n·u Σ|ab|, and of (n + 2)·u where the factors themselves are rounded; a bound, "
        "so there is no standard error.",
        "√n·u for n·u",
        compare(rows, SAID, measured=rows.worst, control_measured=rows.of_root, predicted=1.0, standard_error=0.0),
        "at most",
    )


@claims
def probabilistic(dots: Frame, ends: Frame | None = None) -> Iterator[Claim]:
    """The share of sums beyond the bound; what is rounded at random has twice the error at most."""
    rows = dots[(dots.order == "one by one") & dots.predicted.notna()]
    chopped = dots[dots.order == "chopped"].set_index(["n", "backend"]).beyond
    wrong = [chopped.get(at, np.nan) for at in zip(rows.n, rows.backend, strict=True)]

    def chance(frame: Frame, said: str, **columns: Any) -> Frame:
        error = np.sqrt(laws.CHANCE * (1 - laws.CHANCE) / frame.trials)
        return compare(frame, said, predicted=laws.CHANCE, standard_error=error, **columns)

    more = [] if ends is None else [chance(beyond_at_random(ends), "rounded at random, bf16, positive")]
    yield Claim(
        "sums, probabilistic",
        f"All but one in a hundred sums have an error below λ√n·u Σ|ab|, λ = {laws.LAMBDA:.2f}.",
        "Higham & Mary 2019; Connolly, Higham & Mary 2021 for rounding at random",
        "2·exp(−λ²/2) = 1 % if errors are independent with mean 0 (a martingale; Azuma's inequality). The bound is generous: none is "
        "beyond it.",
        "rounding towards 0, where every error has the same sign",
        stacked([chance(rows, SAID, measured=rows.beyond, control_measured=wrong), *more]),
        "at most",
    )


def beyond_at_random(ends: Frame) -> Frame:
    found = ends[ends["mode"] == "stochastic"]
    terms = 4 * float(ends.exact.mean())  # n, from sums of products of U[0, 1]: a quarter each
    far = (found.total - found.exact).abs() > 2 * laws.LAMBDA * BF16.unit * np.sqrt(terms) * found.exact
    return far.groupby(found.backend).agg(measured="mean", trials="size").reset_index()


@claims
def by_order(dots: Frame) -> Iterator[Claim]:
    """Each in units of its law; the control is the same sum in another order."""
    known = dots[dots.predicted.notna()]
    one, pairs, core = (known[known.order == order] for order in ("one by one", "in pairs", "tensor core"))
    alone = dots[dots.order == "one by one"]

    def ratios(rows: Frame, control: str, value: Any) -> Frame:
        law = rows.predicted
        units = {"measured": rows.measured / law, "standard_error": rows.standard_error / law, control: value / law}
        return compare(rows, SAID, predicted=1.0, **units)

    yield Claim(
        "sums, one by one",
        "Rounding errors are as good as random: the mean square error of a sum is that of independent errors, each uniform in half "
        "a spacing of the partial sum, so the error grows like √n·u while the terms are well above that spacing.",
        "independent errors; Higham & Mary 2019",
        "Σ spacing²/12 over the exact partial sums and products, more where only a few bits are dropped; the standard error is that "
        "of squares of normal numbers. "
        "Of terms ¼ it says 2.5, 7.0, 25.8 and 79 u for n = 10², 10³, 10⁴, 10⁵. Where terms come near the spacing "
        "of their sum there is no such law.",
        "errors that add up: n·u",
        ratios(one, "control_predicted", one.n**2),
    )
    yield Claim(
        "sums in pairs",
        "Neighbours first, then neighbouring sums: the error of positive terms hardly grows with n, in bf16 as in float32.",
        "Higham 2002, § 4.2",
        "The same law, along the tree of sums.",
        "the law of sums one by one",
        ratios(pairs, "control_predicted", matched(pairs, alone, KEY).predicted),
    )
    yield Claim(
        "tensor cores",
        "Short factors, exact products, sums in float32: what is lost is the rounding of the factors, which averages out: the "
        "relative error falls like 1/√n.",
        "Blanchard et al. 2020",
        "Σ (spacing(x)²y² + spacing(y)²x²)/12 and the law of float32's sums.",
        "everything in the short format",
        ratios(core, "control_measured", matched(core, alone, KEY).measured),
    )


@figure("Dot products")
def sums(dots: Frame) -> Figure:
    """Error of dot products of positive numbers (root mean square), in units of u·Σ|ab|. Lines: independent errors, predicted from the
    partial sums, where terms are well above the spacing of their sum. Dotted: the worst case n and, below it, √n. Left:
    float32; both libraries sum in blocks, nearly as well as in pairs. Right: one by one, fp16 and bf16 leave the law where
    their sums stand still, and their error then stays near 100 % (1/u); in pairs they keep to it. Short factors summed in
    float32, as tensor cores do, lose the less the longer the sum.
    """
    figure, axes = panels(["float32", "short formats"], width=4.0, share_y=True)
    positive = dots[dots.kind == "positive"]
    lengths = np.sort(positive.n.unique())
    for index, ((order, name), label) in enumerate(SHOWN.items()):
        rows = positive[(positive.order == order) & (positive.format == name)]
        if len(rows):
            series(axes[name != "float32"], roots(rows, predicted="predicted"), label, index, x="n")
    for ax in axes:
        for power, said in ((1.0, "n"), (0.5, "√n")):
            ax.plot(lengths, lengths**power, linestyle=":", **GREY)
            at = (lengths[0], lengths[0] ** power)
            ax.annotate(said, at, (0, 5), textcoords="offset points", color="#555555")
    return key(figure, axes, xlabel="terms n", xscale="log", yscale="log", ylabel="error in units of u·Σ|ab|")
