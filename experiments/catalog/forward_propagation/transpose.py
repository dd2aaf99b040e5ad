"""What does a transpose in the wrong place do?

Where W is not square its shape does not fit, and Wᵀ is refused. A square one passes in silence, with numbers of the right size.
"""

import numpy as np
import torch

from experiments.lab import Array, Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, compare, each, figure, table
from experiments.lab.figures import key, panels, series
from scratch import Dense
from scratch.randomness import generator
from .shared import factors, product


def is_refused(backend: str, w: Array, x: Array) -> bool:
    """Whether the product of these two is refused for its shapes."""
    try:
        if backend == "scratch":
            Dense(len(w), bias=False).forward({"W": w}, x)
        else:
            torch.nn.functional.linear(torch.from_numpy(x.T), torch.from_numpy(w))
    except (ValueError, RuntimeError):
        return True
    return False


@cells(each(inputs="inputs"), cost=Cost(0.05, 5))
def refused(inputs: int, largest: int, trials: int, seed: int, dtype: str) -> Frame:
    """The share of random shapes, square and others, at which Wᵀ in W's place is refused."""
    found = [
        {"backend": backend, "square": len(w) == inputs, "refused": is_refused(backend, w.T, x)}
        for w, x in (factors(inputs, trial, largest, seed, dtype) for trial in range(trials))
        for backend in ("scratch", "torchref")
    ]
    shares = Frame(found).groupby(["backend", "square"], sort=False).refused
    return shares.agg(measured="mean", shapes="size").reset_index().assign(inputs=inputs)


@cells(each(n="squares"), cost=Cost(0.5, 170, {"n": 2}))
def overlaps(lab: Lab, n: int, draws: int, seed: int, dtype: str) -> Frame:
    """Wᵀx beside Wx for random n×n matrices: size ‖Wᵀx‖²/n‖x‖² and overlap ⟨Wᵀx, Wx⟩/n‖x‖², mean over the draws."""
    w = generator(seed, "squares", n).standard_normal((draws, n, n)).astype(dtype)
    x = np.linspace(0.5, 1.5, n, dtype=dtype)[:, None]
    right, wrong = (
        {name: shot.outputs[0] for name, shot in lab.look(product(a, x), f"{n}×{n}{turned}").items()}
        for a, turned in ((w, ""), (w.mT.copy(), ", transposed"))
    )
    scale, found = n * float((x * x).sum()), []
    for backend, a in right.items():
        control = over_draws(a * a, scale)
        for quantity, values in (("size", wrong[backend] ** 2), ("overlap", wrong[backend] * a)):
            mean, error = over_draws(values, scale)
            found.append({"backend": backend, "n": n, "quantity": quantity, "measured": mean, "draws": draws}
                         | {"standard_error": error, "control_measured": control[0], "control_error": control[1]})  # fmt: skip
    return Frame(found)


def over_draws(values: Array, scale: float) -> tuple[float, float]:
    """Of each matrix's sum over ``scale``: mean, and its standard error."""
    sums = values.sum((-2, -1), dtype=float) / scale
    return float(sums.mean()), float(sums.std(ddof=1) / np.sqrt(len(sums)))


@table
def transposed(overlaps: Frame) -> Frame:
    """E‖Wᵀx‖² = E‖Wx‖² = n‖x‖², and E⟨Wᵀx, Wx⟩ = Σ_ijk x_j x_k E w_ji w_ik = ‖x‖²: only j = i = k gives w² (W of N(0, 1))."""
    return overlaps.assign(predicted=(1 / overlaps.n).where(overlaps.quantity == "overlap", 1.0))


@claims
def refusal(refused: Frame) -> Claims:
    shares = refused.pivot(index=["inputs", "backend"], columns="square", values="measured")[::-1].reset_index()
    numbers = {"measured": shares[False], "predicted": 1.0, "standard_error": 0.0, "control_measured": shares[True]}
    yield Claim(
        name="Wᵀ is refused unless W is square",
        statement="A transpose in the wrong place gives no number at all where W is not square: the shapes do not fit.",
        source="derived: Wᵀ is (inputs, neurons) and X (inputs, examples)",
        basis="Share of the random shapes that are refused",
        control="square W, of which none is refused",
        comparisons=compare(shares, "{inputs} inputs", **numbers),
    )


@claims
def silence(transposed: Frame) -> Claims:
    yield Claim(
        name="a square Wᵀ is wrong in silence",
        statement="Transposed by mistake, a random n×n matrix gives numbers of the right size, ‖Wᵀx‖²/n‖x‖² = 1, that overlap with the "
        "right ones only by ⟨Wᵀx, Wx⟩/n‖x‖² = 1/n.",
        source="derived: of E w_ji w_ik only j = i = k is not 0",
        basis="Mean over independent random matrices, Student's t",
        control="the right numbers, which overlap with themselves by 1",
        comparisons=compare(transposed, "{quantity}, n = {n}", dof=transposed.draws - 1),
    )


@figure("A transposed square matrix is wrong in silence")
def silent(transposed: Frame) -> Figure:
    """What a square matrix of N(0, 1) weights gives when it is transposed by mistake, mean over the random matrices. The size of the
    numbers is right at every n (nothing looks wrong), but the larger the matrix, the less they have to do with the right ones. Only at
    n = 1 are they the same, and there no claim is made but this one.
    """
    figure, (ax,) = panels([""], width=4.4, margins=(0.9, 2.9, 0.65, 0.2))
    labels = {"size": "size ‖Wᵀx‖²/n‖x‖²", "overlap": "overlap ⟨Wᵀx, Wx⟩/n‖x‖²"}
    for index, (quantity, label) in enumerate(labels.items()):
        series(ax, transposed[transposed.quantity == quantity], label, index, x="n")
    ax.set(xscale="log", yscale="log", xlabel="n, inputs and neurons", ylabel="of the wrong numbers Wᵀx")
    sizes = sorted(transposed.n.unique())
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.set_yticks([0.03, 0.1, 0.3, 1], ["0.03", "0.1", "0.3", "1"])
    ax.minorticks_off()
    return key(figure, [ax])
