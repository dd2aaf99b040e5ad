"""Can the rules themselves be differentiated?

The Hessians of both examples, and the Hessian times a vector without the Hessian, against sympy's second derivatives.
"""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import torch

from experiments.lab import Array, Claim, Claims, Cost, Frame, cells, claims, each
from scratch.autodiff import hessian
from scratch.randomness import generator
from .laws import BOUNDED, bounded, distances, exactly, fifty_digits, largest, symbolic
from .shared import AT, BACKENDS, Program, curved, z_of

POINTS = 20  # at most: a Hessian is made of one point at a time
H, HV = "second derivatives", "H v"
ROUNDINGS = {H: 16, HV: 24}  # no number comes from a longer row of operations


def curvature(backend: str, program: Program, x: Array) -> Array:
    """∂²z/∂x∂x at one point x (variables,)."""
    if backend == "scratch":
        return hessian(lambda v: program(*(v[k] for k in range(len(x)))), x)
    return torch.autograd.functional.hessian(lambda v: program(*v), torch.from_numpy(x)).numpy()


@cells(each(example=AT), cost=Cost(0.2, 11))
@fifty_digits()
def seconds(example: str, points: int, seed: int) -> Frame:
    """The largest distances of H and H v from sympy's at random points; the control's Hessian has its diagonal alone."""
    z, found = z_of(example), []
    for x, v in generator(seed, "seconds", example).standard_normal((min(points, POINTS), 2, len(AT[example]))):
        h = [[exactly(entry, x.tolist()) for entry in row] for row in symbolic(example)[1]]
        exact = {H: [entry for row in h for entry in row], HV: [weighed(row, v.tolist()) for row in h]}
        alone = np.array([float(h[k][k][0]) for k in range(len(v))]) * v
        for backend in BACKENDS:
            mine = curvature(backend, z, x)
            numbers = {H: mine.ravel(), HV: curved(backend, z, x, v)}
            wrong = {H: np.diag(np.diag(mine)).ravel(), HV: alone}
            found.append(distances(exact, numbers, wrong, backend=backend, example=example))
    return largest(found)


def weighed(row: Sequence[tuple[Decimal, Decimal]], v: Sequence[float]) -> tuple[Decimal, Decimal]:
    """Σ_j H_ij v_j exactly, and the sum of its terms' sizes."""
    value = sum((h * Decimal(a) for (h, _), a in zip(row, v, strict=True)), Decimal())
    return value, sum((size * abs(Decimal(a)) for (_, size), a in zip(row, v, strict=True)), Decimal())


@claims
def differentiated_twice(seconds: Frame) -> Claims:
    yield Claim(
        name="differentiated twice",
        statement="The rules are themselves differentiable: the Hessians of both examples, and H v without H, the gradient of ⟨∇z, v⟩.",
        source="Pearlmutter 1994",
        basis=f"sympy's second derivatives at random points, at most {ROUNDINGS[H]} roundings away, {ROUNDINGS[HV]} for H v: "
        f"no number comes from a longer row of operations. {BOUNDED}",
        control="the curvature along each variable alone, the Hessian's diagonal",
        comparisons=bounded(seconds, "example {example}, {quantity}", seconds.quantity.map(ROUNDINGS)),
    )
