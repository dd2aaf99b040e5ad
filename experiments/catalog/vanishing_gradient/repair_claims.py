"""What is claimed of repaired and of exploding networks: of their gradients before training, and of what training makes of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments import theory
from experiments.catalog.vanishing_gradient import LEARNS, STUCK, repair_laws
from experiments.catalog.vanishing_gradient.laws import FINITE_WIDTH
from experiments.catalog.vanishing_gradient.repairs import BATCH, EXPLODING, FACTOR, LIMIT
from experiments.catalog.vanishing_gradient.training_claims import PLATEAU
from experiments.claims import Claim
from scratch import activations
from scratch.layers import Array

BASIS = f"Wide-network law, open by {FINITE_WIDTH}/n for each layer's share that went through weights; Student's t over seeds."
SHARE = f"Gibbs: {PLATEAU:.0%} of the loss of guessing needs outputs that look at x. The same batches for all; Student's t over seeds."
HINDSIGHT = "The gradient is predicted; where learning ends was seen on such networks before the bands were drawn."


def of_init(kind: str, activation: str, init: str, depth: int, batch: int) -> tuple[Array, Array]:
    """``repair_laws.gradient`` for an init scheme by its name."""
    chosen = activations.by_name()[activation]()
    return repair_laws.gradient(kind, chosen, theory.VARIANCES[init](1, 1), depth, batch)


# --- before training -------------------------------------------------------------------------------------------------------


def predicted_repairs(repaired: pd.DataFrame, width: int) -> pd.DataFrame:
    """The table with the prediction at every layer, what finite width leaves open, and the predictions that are to fail."""
    found = []
    for (kind, activation, init, depth, examples), group in repaired.groupby(
        ["kind", "activation", "init", "depth", "examples"], sort=False
    ):
        at = group.layer.to_numpy() - 1
        logs, shares = of_init(kind, activation, init, depth, examples)
        wrong = control(kind, activation, init, depth, examples)
        found.append(
            group.assign(predicted=logs[at], allowance=FINITE_WIDTH / width * shares[at], control_predicted=wrong[at])
        )
    return pd.concat(found, ignore_index=True) if found else repaired.assign(predicted=0.0, allowance=0.0)


def control(kind: str, activation: str, init: str, depth: int, examples: int) -> Array:
    """Prediction without the repair: standard weights; a gradient that is kept; no skip; a skip that is not scaled."""
    match kind:
        case "plain":
            return of_init("plain", activation, "standard", depth, examples)[0]
        case "batch norm":
            return np.zeros(depth)
        case "skip":
            return of_init("plain", activation, init, depth, examples)[0]
        case _:
            return of_init("skip", activation, init, depth, examples)[0]


def repair_claims(repaired: pd.DataFrame) -> list[Claim]:
    """One for each kind of repair, over activations and weights: the first layer's squared gradient against the last's."""
    said = {
        "plain": (
            "repair: weights",
            "Xavier's and He's weights repair what their slope allows: the first layer's squared gradient is Π σ_w² E φ′² times the "
            "last's, near 1 for ReLU with He's and tanh with Xavier's weights, but not for sigmoid with either.",
            "Schoenholz 2017",
            "the standard weights' prediction",
        ),
        "batch norm": (
            "repair: batch norm",
            "Batch norm repairs every activation, whatever the weights, at a price: the squared gradient explodes by a factor a layer.",
            "Yang 2019, Theorem 8, derived here for any activation",
            "a gradient that is kept as it is (log 0)",
        ),
        "skip": (
            "repair: skip",
            "A skip connection h + Wφ(h) adds 1 to every factor: the squared gradient never vanishes, and grows by 1 + χ a block.",
            "Yang & Schoenholz 2017; He 2016",
            "the same blocks without their skip: χ a block",
        ),
        "skip/√L": (
            "repair: scaled skip",
            "Branches scaled by 1/√L keep the gradient at every depth: factors 1 + χ/L, at most e^χ together (ReLU, He: below e).",
            "Hanin & Rolnick 2018; derived: (1 + 1/L)^(L−1) < e",
            "branches that are not scaled: 1 + χ a block",
        ),
    }
    rows = repaired[(repaired.layer == 1) & (repaired.depth > 1) & (repaired.seeds > 1)]
    rows = rows[(rows.kind != "plain") | (rows.init != "standard")]
    frame = rows.assign(
        condition=rows.activation + ", " + rows.init + ", " + rows.kind + ", depth " + rows.depth.astype(str),
        dof=rows.seeds - 1,
    ).drop(columns=["kind", "activation", "init", "depth", "layer", "examples", "seeds"])
    return [
        Claim(name, statement, source, BASIS, wrong, frame[rows.kind == kind])
        for kind, (name, statement, source, wrong) in said.items()
    ]


# --- training --------------------------------------------------------------------------------------------------------------


def mended(training: pd.DataFrame, guessing: float) -> pd.DataFrame:
    """Lowest and last test loss of each repaired network's kind, with the gradient that is predicted before training.

    ``power``: log10 of the first layer's gradient over the last's. ``learns``: 1 where learning is predicted, 0 where not, NaN where
    nothing is.
    """
    losses = training[(training.part == "repairs") & (training.quantity == "loss")]
    key = ["activation", "init", "depth", "backend"]
    lowest = losses.groupby([*key, "seed"], sort=False).value.min().groupby(key, sort=False)
    found = pd.DataFrame({"lowest": lowest.mean(), "standard_error": lowest.sem(), "seeds": lowest.count()})
    found = found.reset_index().assign(guessing=guessing, steps=losses.step.max())
    found["power"] = [power(row.init, row.activation, row.depth) for row in found.itertuples()]
    stuck = (found.power < STUCK[0]) | (found.power > STUCK[1])
    learns = found.power.between(*LEARNS)
    found["learns"] = np.select([learns, stuck], [1.0, 0.0], np.nan)
    return found


def power(name: str, activation: str, depth: int) -> float:
    """log10 of ‖∂J/∂z_first‖/‖∂J/∂z_last‖ for a network of ``depth`` layers that is called "he" or "he, skip"."""
    init, _, kind = name.partition(", ")
    return float(of_init(kind or "plain", activation, init, depth - 1, BATCH)[0][0]) / (2 * np.log(10))


def mended_claims(found: pd.DataFrame) -> list[Claim]:
    """The prediction from the gradient alone; no claim unless there are networks of both fates to tell apart."""
    if not {0.0, 1.0} <= set(found.learns):
        return []
    low, high = (f"10^{p:g}" for p in LEARNS)
    under, over = (f"10^{p:g}" for p in STUCK)

    stuck, learning = against(found, 0.0, "he, skip/√L"), against(found, 1.0, "standard")
    return [
        Claim(
            "repaired, it learns",
            f"Networks whose first layer begins with {low} to {high} times the last's gradient, as predicted, learn in these steps.",
            "notes: repaired by weights; Ioffe & Szegedy 2015; He 2016",
            f"{SHARE} {HINDSIGHT}",
            "standard weights with the same activation, not repaired",
            learning.assign(predicted=PLATEAU * learning.guessing),
            "at most",
        ),
        Claim(
            "unrepaired, it does not",
            f"Networks whose first layer begins with less than {under} times the last's gradient, or more than {over} times, learn "
            "nothing in these steps.",
            "notes: in deep networks the gradients in the lower layers are very small",
            "Gibbs: no output that ignores x has a lower loss than the labels' entropy, open by 1 %. Student's t over seeds. "
            f"{HINDSIGHT}",
            "the same activation with He's weights in scaled skip connections",
            stuck.assign(predicted=stuck.guessing, allowance=0.01 * stuck.guessing),
            "at least",
        ),
    ]


def against(found: pd.DataFrame, fate: float, other: str) -> pd.DataFrame:
    """The networks of one fate; as their control, what is called ``other`` with the same activation, on the same batches."""
    rows = found[found.learns == fate]
    controls = found[found.init == other].set_index(["activation", "backend"])
    chosen = controls.reindex(pd.MultiIndex.from_frame(rows[["activation", "backend"]]))
    return pd.DataFrame(
        {
            "backend": rows.backend,
            "condition": rows.activation + ", " + rows.init,
            "measured": rows.lowest,
            "standard_error": rows.standard_error,
            "dof": rows.seeds - 1,
            "guessing": rows.guessing,
            "control_measured": chosen.lowest.to_numpy(),
            "control_error": chosen.standard_error.to_numpy(),
        }
    )


# --- exploding -------------------------------------------------------------------------------------------------------------


def clipping_claims(training: pd.DataFrame, steps: pd.DataFrame, guessing: float) -> list[Claim]:
    """Four times He's variance, with its gradient clipped and without."""
    losses = training[(training.part == "exploding") & (training.quantity == "loss")]
    if losses.empty or steps.empty:
        return []
    ends = losses[losses.step.isin((0, losses.step.max()))].replace({"step": {losses.step.max(): -1}})
    by = ends.pivot(index=["backend", "seed"], columns=["init", "step"], values="value")
    wild, tamed = f"{FACTOR:g} × he", f"{FACTOR:g} × he, clipped"
    fall = {name: np.log(by[name, -1] / by[name, 0]) for name in (wild, tamed)}
    whole = losses.groupby(["init", "backend", "seed"]).value.agg(lambda loss: np.log(loss).mean())
    behind = whole[tamed] - whole["he"]
    shared = {"condition": f"{EXPLODING + 1} layers, {losses.step.max()} steps"}
    return [
        Claim(
            "exploding ends training",
            f"ReLU with {FACTOR:g} times He's variance: no network has learned anything after the same steps; its loss is "
            "infinite, or its units have all died.",
            "Pascanu 2013; derived: the first update is 2^(L−1) times He's or more",
            "A count of losses 1 % or more below guessing's: one network that learned would be its share off.",
            "He's variance",
            learned(by, wild, "he", guessing).assign(**shared),
        ),
        Claim(
            "clipping bounds the step",
            f"With its norm clipped to {LIMIT:g}, the first update is η·{LIMIT:g}, however much the gradient explodes.",
            "Pascanu 2013, Alg. 1",
            "An identity, up to the 10⁻⁶ in the denominator; the error is the rounding of θ. Shown in units of η·limit.",
            "the update that is not clipped",
            first_steps(steps, tamed, wild),
        ),
        Claim(
            "clipping keeps training alive",
            "Clipped, the same networks train: their loss falls to a tenth, or further.",
            "Pascanu 2013",
            "Log of the last loss over the first; Student's t over seeds.",
            "the same networks, not clipped",
            over_seeds(fall[tamed], -np.log(10.0), fall[wild]).assign(**shared),
            "at most",
        ),
        Claim(
            "clipping is no repair of the weights",
            "Clipping repairs the update, not the network: it trains all the time at a higher loss than one with He's weights.",
            "derived: each step is bounded, and the way back is long",
            "Log of the clipped networks' loss over that of He's, mean over the run; seeds are paired, Student's t.",
            "the two exchanged",
            over_seeds(behind, 0.0, -behind).assign(**shared),
            "at least",
        ),
    ]


def learned(by: pd.DataFrame, name: str, other: str, guessing: float) -> pd.DataFrame:
    """The share of networks whose last loss lies below guessing's, none being expected."""
    share = {which: (by[which, -1] < 0.99 * guessing).groupby("backend").mean() for which in (name, other)}
    frame = pd.DataFrame({"measured": share[name], "control_measured": share[other]})
    return frame.assign(predicted=0.0, standard_error=1e-9).reset_index()


def over_seeds(values: pd.Series, predicted: float, wrong: pd.Series) -> pd.DataFrame:
    """Mean over seeds against a bound; the control's own mean."""
    groups = values.groupby("backend")
    frame = pd.DataFrame({"measured": groups.mean(), "standard_error": groups.sem(), "dof": groups.count() - 1})
    return frame.assign(predicted=predicted, control_measured=wrong.groupby("backend").mean()).reset_index()


def first_steps(steps: pd.DataFrame, name: str, other: str) -> pd.DataFrame:
    """One comparison a network: what its clipped step should be, and the one that is not clipped as its control."""
    clipped, raw = (steps[steps.init == which].reset_index(drop=True) for which in (name, other))
    frame = clipped[["backend", "measured", "predicted", "standard_error"]]
    return frame.assign(condition="seed " + clipped.seed.astype(str), control_measured=raw.measured)
