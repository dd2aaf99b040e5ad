"""What does gradient descent conserve?

W_{l+1}ᵀW_{l+1} − W_lW_lᵀ between every two layers: exactly in a flow, and up to a drift in proportion to the rate in a descent.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from experiments.lab import Claim, Cost, Lab, cells, claims, compare, figure, over_seeds, table
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import Snapshot
from scratch.randomness import generator
from . import laws
from .shared import EXAMPLES, INPUTS, SAXE, TERMS, UNIT, job, one_panel, whitened

RATES = (0.02, 0.01, 0.005)  # at which the drift is measured, each half of the one before
SEEDS = 8
TIME, WIDTHS = 1.0, (6, 4, 7)  # after 5 inputs
QUANTITIES = ("drift", "unconserved", "step", "step residual", "size")
LAW = f"{SAXE}; Arora 2018; derived in laws.py"


@cells(lambda options: [{"rate": rate, "steps": round(TIME / rate)} for rate in RATES], cost=Cost(1.5, 40))
def conservation(lab: Lab, rate: float, steps: int) -> Frame:
    """How far C_l is carried by training, by one step beside its exact law, and how far W_lW_lᵀ alone is."""
    weights, target = unbalanced(SEEDS)
    x = whitened(INPUTS, EXAMPLES)
    trained = lab.train(job(weights, x, target @ x, rate, steps, (0, 1, steps)))
    return lab.rows(trained, partial(sizes, rate), {"quantity": QUANTITIES, "seed": range(SEEDS)})


def sizes(rate: float, looks: Iterable[Snapshot]) -> Array:
    """The quantities (quantities, seeds), from looks at the start, after one step and at the end."""
    first, _, last = shots = list(looks)
    scale = WIDTHS[-1] / 2  # from the library's gradient to J's
    exact = [rate**2 * change for change in laws.between([named["W"] * scale for named in first.gradients])]
    before, after, ended = (laws.between([named["W"] for named in shot.parameters]) for shot in shots)
    alone = [shot.parameters[0]["W"] @ shot.parameters[0]["W"].mT for shot in (first, last)]
    step = less(after, before)
    found = {
        "drift": norm(less(ended, before)),
        "unconserved": norm([alone[1] - alone[0]]),
        "step": norm(step),
        "step residual": norm(less(step, exact)),
        "size": norm([named["W"] for named in first.parameters]) ** 2,
    }
    return np.array([found[name] for name in QUANTITIES])


def unbalanced(seeds: int) -> tuple[list[Array], Array]:
    """Gaussian weights (seeds, rows, columns), not balanced at all, and a Gaussian target of each seed."""
    sizes = (INPUTS, *WIDTHS)
    weights = [
        np.stack([generator(seed, "weights", k).standard_normal((o, i)) / np.sqrt(i) for seed in range(seeds)])
        for k, (i, o) in enumerate(pairwise(sizes))
    ]
    target = [generator(seed, "target").standard_normal((sizes[-1], sizes[0])) for seed in range(seeds)]
    return weights, np.stack(target)


def less(these: Sequence[Array], those: Sequence[Array]) -> list[Array]:
    return [a - b for a, b in zip(these, those, strict=True)]


def norm(arrays: Sequence[Array]) -> Array:
    """The Frobenius norm over all of them, (…,)."""
    return np.sqrt(sum((a * a).sum((-2, -1)) for a in arrays))


@table
def drift(conservation: Frame) -> Frame:
    """Seed by seed: drift/η extrapolated to η = 0 over the flow's integral, and the order of the drift in η, likewise."""
    columns = [
        "backend",
        "seed",
        "amount",
        "amount_open",
        "order",
        "order_open",
        "unconserved_order",
        "predicted_drift",
    ]
    held = conservation.pivot_table(index=["backend", "seed", "quantity"], columns="rate", values="value")
    if len(held.columns) < len(RATES):
        return Frame(columns=columns)
    integral = norm(laws.drift(*unbalanced(SEEDS), TIME))
    rows = []
    for backend, seed in held.index.droplevel("quantity").unique():
        seen = {name: held.loc[backend, seed, name].to_numpy() for name in ("drift", "unconserved")}  # by rising rate
        amounts = extrapolated(seen["drift"] / held.columns.to_numpy())
        orders, others = (np.log2(values[1:] / values[:-1]) for values in seen.values())
        rows.append((backend, seed, amounts[0] / integral[seed], abs(amounts[0] - amounts[1]) / integral[seed],
                     *extrapolated(orders), abs(orders[0] - orders[1]), others[0], integral[seed]))  # fmt: skip
    return Frame(rows, columns=columns)


def extrapolated(values: Array) -> Array:
    """Richardson: 2 v(η/2) − v(η) is free of the error's first order; values by rising η."""
    return 2 * values[:-1] - values[1:]


@table
def moved(conservation: Frame, drift: Frame) -> Frame:
    """Means over seeds of what is conserved and of what is not, at every rate; η times the integral for the one."""
    means = over_seeds(conservation, ["quantity", "backend", "rate"])
    found = means[means.quantity.isin(["drift", "unconserved"])]
    predicted = found.rate * drift[drift.backend == "scratch"].predicted_drift.mean()
    return found.assign(predicted=predicted.where(found.quantity == "drift"))


@claims
def one_step(conservation: Frame, drift: Frame) -> Claims:
    if drift.empty:
        return
    wide = conservation.pivot_table(index=["backend", "rate", "seed"], columns="quantity", values="value").reset_index()
    worst = wide.groupby(["backend", "rate"], sort=False).max().reset_index()
    yield Claim(
        "one step",
        "A step of gradient descent changes W_{l+1}ᵀW_{l+1} − W_lW_lᵀ by exactly η²(G_{l+1}ᵀG_{l+1} − G_lG_lᵀ): the terms in η cancel.",
        LAW,
        "An identity; sums of k products of size ‖W‖² round by √k·u. Largest over seeds.",
        "no change at all, as in a flow",
        compare(worst, "η = {rate:g}", measured=worst["step residual"], predicted=0.0, control_measured=worst.step,
                standard_error=np.sqrt(TERMS) * UNIT * worst["size"]),
    )  # fmt: skip


@claims
def in_a_flow(drift: Frame) -> Claims:
    if drift.empty:
        return
    seeds = drift.drop(columns="seed").groupby("backend")
    mean, error, most = (of.reset_index() for of in (seeds.mean(), seeds.std() / np.sqrt(SEEDS), seeds.max()))
    yield Claim(
        "conserved by the flow",
        "W_{l+1}ᵀW_{l+1} − W_lW_lᵀ, which gradient flow conserves, drifts under gradient descent in proportion to η: order 1.",
        LAW,
        "Three rates, each half the one before; order by Richardson's extrapolation, whose last correction is left open.",
        "W_lW_lᵀ alone, which is not conserved: order 0",
        compare(mean, "log₂ of the drift at η over that at η/2, η → 0", measured=mean.order, standard_error=error.order,
                dof=SEEDS - 1, predicted=1.0, tolerance=most.order_open, control_measured=mean.unconserved_order,
                control_error=error.unconserved_order),
    )  # fmt: skip
    yield Claim(
        "how far it drifts",
        "The drift is η ∫(G_{l+1}ᵀG_{l+1} − G_lG_lᵀ) dt along the flow.",
        LAW,
        "The flow and the integral by scipy's solve_ivp; drift/η extrapolated, its last correction left open.",
        "no drift at all",
        compare(mean, "drift / η, η → 0, over its prediction", measured=mean.amount, standard_error=error.amount,
                dof=SEEDS - 1, predicted=1.0, tolerance=most.amount_open, control_predicted=0.0),
    )  # fmt: skip


@figure("What descent nearly conserves")
def nearly_conserved(moved: Frame) -> Figure:
    """How far W_{l+1}ᵀW_{l+1} − W_lW_lᵀ of a three-layer network has moved after the same time at different learning rates:
    halving the rate halves it, for a flow conserves it; the line is η times an integral along the flow. W₁W₁ᵀ alone
    moves by the same whatever the rate. Means over the starts.
    """
    names = {"drift": "WᵀW of a layer\nless WWᵀ of the one before", "unconserved": "W₁W₁ᵀ alone"}
    return one_panel(
        moved.assign(what=moved.quantity.map(names)),
        "rate",
        right=2.9,
        colour="what",
        title="after the same time",
        xlabel="learning rate η",
        ylabel="change of the quantity (norm)",
        xscale="log",
    )
