"""What is the derivative of a long product, y = w1 w2 … wn x?

By each factor the product of the others, by a variable in all of them a sum of n products, and the second derivatives are products of
the rest. Each is compared with fifty digits.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from math import prod
from operator import mul
from typing import Any

import numpy as np
import pandas as pd

from experiments.lab import Array, Claim, Cost, Frame, Lab, cells, claims, each
from scratch import Batch, Dense, InnerProduct, Job, Snapshot
from scratch.randomness import generator
from .laws import BOUNDED, Exact, bounded, distances, fifty_digits, largest, summed
from .shared import curved, gradients, multiplied


@cells(each(n="factors"), cost=Cost(2.5, 19, {"n": 3}))
@fifty_digits()
def chains(lab: Lab, n: int, draws: int, seed: int) -> Frame:
    """Every ∂y/∂w_i, the product rule and H v of random products: the largest distances of all draws."""
    random = generator(seed, "factors", n)
    w, x, v = random.standard_normal((draws, n)), random.uniform(0.5, 1.5, draws), random.standard_normal((draws, n))
    layers = {backend: layered(shot) for backend, shot in lab.look(chain_job(w, x), f"{n} factors").items()}
    found = [
        table
        for k in range(draws)
        for table in single(w[k], x[k], v[k], {backend: found[k] for backend, found in layers.items()})
    ]
    return largest(found)


def chain_job(w: Array, x: Array) -> Job:
    """The products as a stack of networks of n layers with one unit each."""
    n = w.shape[1]
    parameters = tuple({"W": w[:, k, None, None].copy()} for k in range(n))
    one = np.ones((1, 1))
    return Job((Dense(1, bias=False),) * n, InnerProduct(), parameters, Batch(x[:, None, None].copy(), one))


def layered(shot: Snapshot) -> Array:
    """∂y/∂w_i (draws, n) by the layers' backward, by nn.Linear."""
    return np.stack([named["W"][:, 0, 0] for named in shot.gradients], axis=1)


def single(w: Array, x: float, v: Array, layers: Mapping[str, Array]) -> Iterator[Frame]:
    """For one product the distances of both implementations' numbers, of each kind the largest."""
    n, exact = len(w), exact_numbers(w, x, v)
    whole = [float(prod(map(Decimal, w.tolist())) * Decimal(float(x)))] * n
    wrong = {"autodiff": whole, "layers": whole, "product rule": [1.0], "H v": [0.0] * n}

    def y(*factors: Any) -> Any:
        return multiplied(factors, x)

    def shifted(x: Any) -> Any:
        return multiplied([a + x for a in np.abs(w).tolist()], 1.0)

    for backend, by_layers in layers.items():
        found = {
            "autodiff": gradients(backend, y, w[:, None])[:, 0],
            "layers": by_layers,
            "product rule": gradients(backend, shifted, np.array([[x]]))[:, 0],
            "H v": curved(backend, y, w, v),
        }
        yield distances(exact, found, wrong, backend=backend, n=n)


def exact_numbers(w: Array, x: float, v: Array) -> dict[str, list[Exact]]:
    """Of y = w1 w2 … wn x, ∂y/∂w_i and (H v)_i = Σ_(j≠i) v_j x Π_(k≠i,j) w_k, for H's diagonal is 0: y is straight in each factor.

    Of y = (|w1| + x) … (|wn| + x), y′: the sum, over the factors, of the products of the others, not the product of the slopes, 1.
    """
    factors, directions, start = [Decimal(a) for a in w.tolist()], [Decimal(a) for a in v.tolist()], Decimal(float(x))
    slopes = [summed([start * others]) for others in without_each(factors)]
    second = []
    for i in range(len(w)):
        rest, weights = (numbers[:i] + numbers[i + 1 :] for numbers in (factors, directions))
        second.append(summed([start * a * b for a, b in zip(without_each(rest), weights, strict=True)]))
    sums = without_each([abs(a) + start for a in factors])
    return {"autodiff": slopes, "layers": slopes, "product rule": [summed(sums)], "H v": second}


def without_each(factors: Sequence[Decimal]) -> list[Decimal]:
    """The product of all the others, for each; what is left of it times what is right of it, so a 0 does no harm."""
    left, right = (list(accumulate(numbers, mul, initial=Decimal(1))) for numbers in (factors, factors[::-1]))
    return [a * b for a, b in zip(left, right[-2::-1], strict=False)]


def most(n: int) -> dict[str, int]:
    """Roundings on the longest way: n factors of a product; each of a sum of n products of n factors or sums; and of n(n − 1) of them."""
    return {"autodiff": n + 1, "layers": n + 1, "product rule": 3 * n + 1, "H v": 4 * n + 1}


def of(chains: Frame, *quantities: str) -> Frame:
    rows = chains[chains.quantity.isin(quantities)]
    rows = rows.assign(factors=rows.n.map(lambda n: "factor" if n == 1 else "factors"))
    roundings = pd.Series([most(n)[quantity] for n, quantity in zip(rows.n, rows.quantity, strict=True)], rows.index)
    return bounded(rows, "{n} {factors}" + ", {quantity}" * (len(quantities) > 1), roundings)


@claims
def of_products(chains: Frame) -> Iterator[Claim]:
    yield Claim(
        name="the product of the others",
        statement="y = w1 w2 … wn x: ∂y/∂w_i is x times the product of all the other factors, by autodiff and by the layers' own backward.",
        source="notes: y = w1 w2 … wn x",
        basis=f"n + 1 roundings lie on any way. {BOUNDED}",
        control="the product of all factors, w_i among them",
        comparisons=of(chains, "autodiff", "layers"),
    )
    yield Claim(
        name="the product rule",
        statement="y = (|w1| + x) … (|wn| + x): y′ is the sum over the factors of the products of the others, n paths from x to y.",
        source="derived: each factor has slope 1 in x",
        basis=f"1 rounding in each of n factors, n in their product, n in the sum. {BOUNDED}",
        control="the product of the slopes, 1",
        comparisons=of(chains, "product rule"),
    )
    yield Claim(
        name="H v of a product",
        statement="(H v)_i = Σ_(j≠i) v_j x Π_(k≠i,j) w_k, two passes for any n; the diagonal of H is 0, as y is straight in every factor.",
        source="derived; Pearlmutter 1994",
        basis=f"n roundings each in the product, in its two ways back and in the sum, 1 in v. {BOUNDED}",
        control="the diagonal of H alone: 0",
        comparisons=of(chains, "H v"),
    )
