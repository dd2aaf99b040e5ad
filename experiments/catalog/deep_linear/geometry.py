"""What gradient descent conserves, and the surface of the smallest deep network."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.catalog.deep_linear import CONSERVED_SEEDS, HALVINGS, laws, parts
from experiments.catalog.deep_linear.curves import SAXE, TERMS, UNIT
from experiments.catalog.deep_linear.parts import STARTS
from experiments.claims import Claim

# --- what is conserved -------------------------------------------------------------------------------------------------------


def drifts(conservation: pd.DataFrame) -> pd.DataFrame:
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
    if len(held.columns) < HALVINGS:
        return pd.DataFrame(columns=columns)
    weights, target = parts.conservation_start(CONSERVED_SEEDS)
    integral = parts.norm(laws.drift(weights, target, parts.CONSERVED_TIME))
    rows = []
    for backend, seed in held.index.droplevel("quantity").unique():
        seen = {name: held.loc[backend, seed, name].to_numpy() for name in ("drift", "unconserved")}  # by rising rate
        amounts = extrapolated(seen["drift"] / held.columns.to_numpy())
        orders, others = (np.log2(values[1:] / values[:-1]) for values in seen.values())
        order = 2 * orders[0] - orders[1]
        rows.append((backend, seed, amounts[0] / integral[seed], abs(amounts[0] - amounts[1]) / integral[seed], order,
                     abs(orders[0] - orders[1]), others[0], integral[seed]))  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def extrapolated(values: np.ndarray) -> np.ndarray:
    """Richardson: 2 v(η/2) − v(η) is free of the error's first order; values by rising η."""
    return 2 * values[:-1] - values[1:]


def conservation_claims(conservation: pd.DataFrame, drift: pd.DataFrame) -> list[Claim]:
    if drift.empty:
        return []
    seeds = drift.groupby("backend")
    root = np.sqrt(seeds.size())

    def over_seeds(name: str, open_: str, condition: str) -> pd.DataFrame:
        frame = pd.DataFrame(
            {"measured": seeds[name].mean(), "standard_error": seeds[name].std(), "allowance": seeds[open_].max()}
        )
        return frame.assign(
            standard_error=frame.standard_error / root, dof=seeds.size() - 1, predicted=1.0, condition=condition
        )

    amount = over_seeds("amount", "amount_open", "drift / η, η → 0, over its prediction").assign(control_predicted=0.0)
    order = over_seeds("order", "order_open", "log₂ of the drift at η over that at η/2, η → 0")
    order = order.assign(
        control_measured=seeds.unconserved_order.mean(), control_error=seeds.unconserved_order.std() / root
    )
    wide = conservation.pivot_table(index=["backend", "rate", "seed"], columns="quantity", values="value").reset_index()
    worst = wide.groupby(["backend", "rate"], sort=False).max().reset_index()
    law = f"{SAXE}; Arora 2018; derived in laws.py"
    step = pd.DataFrame(
        {"backend": worst.backend, "measured": worst["step residual"], "predicted": 0.0, "control_measured": worst.step,
         "standard_error": np.sqrt(TERMS) * UNIT * worst["size"],
         "condition": [f"η = {rate:g}" for rate in worst.rate]}
    )  # fmt: skip
    return [
        Claim(
            "one step",
            "A step of gradient descent changes W_{l+1}ᵀW_{l+1} − W_lW_lᵀ by exactly η²(G_{l+1}ᵀG_{l+1} − G_lG_lᵀ): the terms in η cancel.",
            law,
            "An identity; sums of k products of size ‖W‖² round by √k·u. Largest over seeds.",
            "no change at all, as in a flow",
            step,
        ),
        Claim(
            "conserved by the flow",
            "W_{l+1}ᵀW_{l+1} − W_lW_lᵀ, which gradient flow conserves, drifts under gradient descent in proportion to η: order 1.",
            law,
            "Three rates, each half the one before; order by Richardson's extrapolation, whose last correction is left open.",
            "W_lW_lᵀ alone, which is not conserved: order 0",
            order.reset_index(),
        ),
        Claim(
            "how far it drifts",
            "The drift is η ∫(G_{l+1}ᵀG_{l+1} − G_lG_lᵀ) dt along the flow.",
            law,
            "The flow and the integral by scipy's solve_ivp; drift/η extrapolated, its last correction left open.",
            "no drift at all",
            amount.reset_index(),
        ),
    ]


# --- the surface of two weights ----------------------------------------------------------------------------------------------


def saddle_claim(marks: pd.DataFrame) -> Claim | None:
    """Curvatures from slopes at a distance ε: J along (1, 1)/√2 is (ε²/2 − s)²/2, along (1, −1)/√2 (ε²/2 + s)²/2."""
    rows, eps = [], parts.NEAR
    for backend, group in marks.groupby("backend", sort=False):
        along, across, saddle, one, other = group.itertuples()
        seen = {
            "curvature along w1 = w2": ((along.slope1 + along.slope2) / np.sqrt(2) / eps, eps**2 / 2 - 1, 1.0),
            "curvature along w1 = −w2": ((across.slope1 - across.slope2) / np.sqrt(2) / eps, eps**2 / 2 + 1, 1.0),
            "J halfway between two minima, above their mean": (saddle.loss - (one.loss + other.loss) / 2, 0.5, 0.0),
        }
        rows += [
            {"backend": backend, "condition": name, "measured": value, "standard_error": 8 * UNIT / eps, "predicted": law,
             "control_predicted": wrong}
            for name, (value, law, wrong) in seen.items()
        ]  # fmt: skip
    return (
        Claim(
            "non-convex: a saddle",
            "J = (w2w1 − s)²/2 is not convex: at 0 it bends down along w1 = w2 (−s), up across (+s), and between two minima is a hill.",
            "notes: objective is non-convex; derived",
            "Exact: slopes at ε from 0 give ε²/2 ∓ s; the hill is s²/2, here s = 1. A few roundings, divided by ε.",
            "a convex objective: no negative curvature, no hill",
            pd.DataFrame(rows),
        )
        if rows
        else None
    )


def reached(paths: pd.DataFrame) -> pd.DataFrame:
    """Where each descent ends, and where it should: at w1w2 = s, with c = w2² − w1² as far as steps have carried it."""
    rows = []
    for (start, backend), group in paths.groupby(["start", "backend"], sort=False):
        w1, w2 = STARTS[int(start)]
        last = group.sort_values("step").iloc[-1]
        stuck = w1 == -w2
        c, open_ = laws.carried(w1, w2, 1.0, parts.LANDSCAPE_RATE) if not stuck else (0.0, 0.0)
        rows.append({"start": start, "backend": backend, "w1": w1, "w2": w2, "steps": last.step, "end1": last.w1, "end2": last.w2,
                     "loss": last.loss, "stuck": stuck, "before": w2**2 - w1**2, "predicted": c, "open": open_})  # fmt: skip
    return pd.DataFrame(rows)


def flow_paths() -> pd.DataFrame:
    """The hyperbolas along which the flow goes from every start, and that of the minima (start −1)."""
    found = []
    for start, (w1, w2) in enumerate(STARTS):
        side = -1.0 if (w1 + w2 if w1 != -w2 else w1) < 0 else 1.0
        p = np.linspace(w1 * w2, 0.0 if w1 == -w2 else 1.0, 120)
        a, b = laws.on_hyperbola(p, w2**2 - w1**2)
        crossing = w1 * side < 0  # w1 changes its sign on the way, and w2 does not
        first, second = (a * np.sign(p), abs(b)) if crossing else (a, b)
        found.append(pd.DataFrame({"start": start, "w1": side * first, "w2": side * second}))
    ends = [laws.on_hyperbola(1.0, c) for c in np.linspace(-6, 6, 81)]
    minima = pd.DataFrame({"start": -1, "w1": [float(a) for a, _ in ends], "w2": [float(b) for _, b in ends]})
    return pd.concat([*found, minima], ignore_index=True)


def descent_claims(ends: pd.DataFrame) -> list[Claim]:
    if ends.empty:
        return []
    free, stuck = ends[~ends.stuck], ends[ends.stuck]
    where = [f"from ({r.w1:g}, {r.w2:g})" for r in free.itertuples()]
    kept = pd.DataFrame({"backend": free.backend, "condition": where, "measured": free.end2**2 - free.end1**2})
    kept = kept.assign(
        predicted=free.predicted, allowance=free.open, standard_error=UNIT * free.steps * 4,
        control_measured=free.end2**2 + free.end1**2, control_predicted=free.w2**2 + free.w1**2,
    )  # fmt: skip
    bottom = pd.DataFrame({"backend": free.backend, "condition": where, "measured": free.loss, "predicted": 0.0})
    saddle = stuck.set_index("backend").loss
    bottom = bottom.assign(
        standard_error=(8 * UNIT) ** 2, control_measured=[saddle.get(b, np.nan) for b in free.backend]
    )
    return [
        Claim(
            "descent keeps to its hyperbola",
            "Descent on (w2w1 − s)²/2 moves along w2² − w1² = const, so the start says at which of the minima w1w2 = s it ends.",
            "the conservation law for two numbers; derived in laws.py",
            "A step multiplies w2² − w1² by 1 − η²e² (e = s − w1w2): by exp(−η∫e²dt) in all, the integral by quadrature; open in η².",
            "w1² + w2², which is not conserved",
            kept,
        ),
        Claim(
            "no bad minimum",
            "Non-convex, yet no local optimum but the global ones: every start off the line w1 = −w2 reaches J = 0.",
            "notes: non-convex, many local optima; Baldi & Hornik 1989, Kawaguchi 2016 for linear networks",
            "At w1w2 = s to rounding, J is the square of a few roundings.",
            "the start (1.2, −1.2) on that line, which leads to the saddle: J = s²/2 for ever",
            bottom,
            "at most",
        ),
    ]
