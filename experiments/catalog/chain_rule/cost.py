"""What do all n derivatives of y = w1 w2 … wn x cost?

Backwards one pass serves every factor; forwards every factor pays for a pass of its own. Multiplications are counted one by one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from experiments.lab import Array, Claim, Claims, Cost, Figure, Frame, cells, claims, compare, each, figure, table
from experiments.lab.figures import panels, series
from scratch.autodiff import Var, gradient, upstream
from .shared import BACKENDS, leaves, legend, multiplied


class Multiplications(TorchDispatchMode):
    """Counts the numbers that PyTorch multiplies, forwards and backwards."""

    count = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch loads its compiler, three seconds, only to keep it away from here

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = function(*arguments, **({} if options is None else options))
        if function.overloadpacket is torch.ops.aten.mul:
            self.count += result.numel()
        return result


def counted(function: Callable[..., Any], tally: list[int]) -> Callable[..., Any]:
    """The function, which notes down how many numbers it has given."""

    def noting(*arguments: Any) -> Any:
        result = function(*arguments)
        tally.append(int(np.size(result)))
        return result

    return noting


def reverse_mode(backend: str, w: Array, x: float) -> int:
    """All n derivatives in one pass forwards and one backwards."""
    if backend == "torchref":
        tensors = leaves(w)
        with Multiplications() as done:
            torch.autograd.grad(multiplied(tensors, x), tensors)
        return done.count
    tally: list[int] = []
    variables = [Var(a) for a in w]
    y = multiplied(variables, x, counted(np.multiply, tally))
    for node in upstream(y):  # of a product: the share times the other factor
        node.rules = tuple(counted(rule, tally) for rule in node.rules)
    gradient(y, variables)
    return sum(tally)


def forward_mode(backend: str, w: Array, x: float) -> int:
    """One derivative a pass: n complex steps. Not gradcheck's, which also looks whether it may."""
    points = w + 1e-30j * np.eye(len(w))
    if backend == "torchref":
        with Multiplications() as done:
            multiplied(list(torch.from_numpy(points).T), x)
        return done.count
    tally: list[int] = []
    multiplied(points.T, x, counted(np.multiply, tally))
    return sum(tally)


@cells(each(n="factors"), cost=Cost(0.3, 10, {"n": 2}))
def multiplications(n: int) -> Frame:
    """The multiplications that are done, whatever the numbers."""
    modes = {"reverse": reverse_mode, "complex step": forward_mode}
    w = np.linspace(0.5, 1.5, n)
    return Frame(
        [
            {"backend": backend, "n": n, "mode": mode, "multiplications": count(backend, w, 2.0)}
            for backend in BACKENDS
            for mode, count in modes.items()
        ]
    )


@table
def cost(multiplications: Frame) -> Frame:
    """The counts beside what they must be, and what the other way must cost."""
    n, back = multiplications.n, multiplications["mode"] == "reverse"
    once, each = 3 * n - 1, n * n
    return multiplications.assign(predicted=once.where(back, each), other=each.where(back, once))


def of(cost: Frame, mode: str) -> Frame:
    rows = cost[cost["mode"] == mode].sort_values("n", ascending=False, kind="stable")
    count = rows.multiplications
    return compare(rows, "{n} factors", measured=count, standard_error=0.0, control_predicted=rows.other)


@claims
def passes(cost: Frame) -> Claims:
    source, basis = "Griewank & Walther 2008, chapters 3 and 4", "Counted one by one as they are done"
    yield Claim(
        name="backwards: one pass",
        statement="One pass forwards and one back give all n derivatives of y = w1 w2 … wn x for 3n − 1 multiplications.",
        source=source,
        basis=f"{basis}: n forwards; back, a share for each of a product's two factors, but none for x, which is held fixed: 2n − 1",
        control="what a pass for each factor costs, n²",
        comparisons=of(cost, "reverse"),
    )
    yield Claim(
        name="forwards: n passes",
        statement="A complex step, as any derivative taken forwards, knows one direction: n derivatives are n passes of n multiplications.",
        source=source,
        basis=f"{basis}: n passes of n",
        control="what one pass back costs, 3n − 1",
        comparisons=of(cost, "complex step"),
    )


@figure("All derivatives in one pass")
def one_pass(cost: Frame) -> Figure:
    """Multiplications for all n derivatives of y = w₁ w₂ … wₙ x, counted while they are done. Backwards, one pass serves every factor:
    3n − 1. A complex step knows one direction, so every factor pays for a pass of its own: n². From three factors on, the way back
    is the cheaper one, and a network has a million.
    """
    figure, (ax,) = panels([""], width=4.4, height=3.0, margins=(0.9, 3.0, 0.65, 0.2))
    labels = {"complex step": "n complex steps: n²", "reverse": "one pass back: 3n − 1"}
    for index, (mode, label) in enumerate(labels.items()):
        chosen = cost[cost["mode"] == mode].assign(standard_error=0.0)
        series(ax, chosen, label, index, x="n", y="multiplications")
    ax.set(xscale="log", yscale="log", xlabel="n, factors", ylabel="multiplications")
    sizes = sorted(cost.n.unique())
    ax.set_xticks(sizes, [str(n) for n in sizes])
    top = int(np.ceil(np.log10(cost.multiplications.max())))
    ax.set_yticks([10**k for k in range(top + 1)], [f"{10**k:,}".replace(",", " ") for k in range(top + 1)])
    ax.minorticks_off()
    legend(figure, ax)
    return figure
