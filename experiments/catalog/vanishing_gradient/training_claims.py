"""What is claimed of training: He against Xavier in deep ReLU networks, and when each begins to learn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.catalog.vanishing_gradient import STALLS
from experiments.claims import Claim
from scratch.layers import Array

SHALLOW = 5  # layers; below, the two schemes hardly differ
PLATEAU = 0.9  # a network has begun to learn when its loss falls below this share of guessing's


def label_entropy(labels: Array) -> float:
    """The loss of the best guess that does not look at x: −Σ f ln f over the classes' shares f."""
    share = np.bincount(labels) / len(labels)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())


def reached(training: pd.DataFrame) -> pd.DataFrame:
    """Loss and accuracy on the test set at the last step, mean and standard error over seeds."""
    last = training[training.step == training.groupby(["part", "depth", "activation"]).step.transform("max")]
    grouped = last.groupby(["part", "activation", "depth", "init", "backend", "step", "quantity"], sort=False).value
    return pd.DataFrame(
        {"mean": grouped.mean(), "standard_error": grouped.sem(), "seeds": grouped.size()}
    ).reset_index()


def stalls(reached: pd.DataFrame, guessing: float) -> pd.DataFrame:
    """The number of layers from which each combination gains less than 1 % on guessing in these steps; NaN: none of them."""
    final = reached[(reached.part == "training") & (reached.quantity == "loss")]
    from_depth = final.depth.where(final["mean"] > 0.99 * guessing)
    key = ["activation", "init", "backend"]
    return final.assign(from_depth=from_depth).groupby(key, sort=False).from_depth.min().reset_index()


def start_times(race: pd.DataFrame, guessing: float) -> pd.DataFrame:
    """The step at which each network of the race begins to learn, interpolated between looks; NaN if it never does."""
    rows = []
    for (depth, init, backend, seed), run in race.query("quantity == 'loss'").groupby(
        ["depth", "init", "backend", "seed"], sort=False
    ):
        steps, loss = run.step.to_numpy(), run.value.to_numpy()
        below = np.flatnonzero(loss < PLATEAU * guessing)
        step = np.nan
        if len(below) and below[0] > 0:
            k = below[0]
            step = steps[k - 1] + (steps[k] - steps[k - 1]) * (loss[k - 1] - PLATEAU * guessing) / (
                loss[k - 1] - loss[k]
            )
        rows.append({"depth": depth, "init": init, "backend": backend, "seed": seed, "step": step})
    return pd.DataFrame(rows, columns=["depth", "init", "backend", "seed", "step"])


def race_claims(training: pd.DataFrame, starts: pd.DataFrame, guessing: float) -> list[Claim]:
    """He against Xavier: at 30 layers Xavier stalls; at 22 both learn, He sooner."""
    found, seen = [], training.query("part == 'race' and quantity == 'loss'")
    lowest = seen.groupby(["depth", "init", "backend", "seed"]).value.min().reset_index()  # late losses jump about
    steps = seen.groupby("depth").step.max()
    for depth, group in lowest.groupby("depth"):
        shared = {"condition": f"{depth} layers, {steps[depth]} steps"}
        if depth >= STALLS:
            stats = group.groupby(["init", "backend"]).value.agg(["mean", "sem"])
            found.append(stall_claim(int(depth), stats.loc["xavier"], stats.loc["he"], guessing, shared))
            found.append(repair_claim(int(depth), stats.loc["xavier"], stats.loc["he"], guessing, shared))
        elif depth >= SHALLOW:
            found.append(sooner_claim(int(depth), starts[starts.depth == depth], shared))
    return found


def stall_claim(depth: int, xavier: pd.DataFrame, he: pd.DataFrame, guessing: float, shared: dict[str, str]) -> Claim:
    frame = pd.DataFrame({"measured": xavier["mean"], "standard_error": xavier["sem"], "predicted": guessing})
    frame = frame.assign(
        **shared, allowance=0.01 * guessing, control_measured=he["mean"], control_error=np.maximum(he["sem"], 1e-300)
    )
    return Claim(
        name=f"Xavier stalls at {depth}",
        statement=f"ReLU, {depth} layers: with Xavier's scheme the test loss never falls below what guessing gives.",
        source="He 2015, Fig. 3",
        basis='Gibbs: no output that ignores x has a lower loss than the labels\' entropy; 1 % of it defines "stalls". '
        "Standard error over seeds.",
        control="He's scheme on the same draws and batches",
        comparisons=frame.reset_index(names="backend"),
        test="at least",
    )


def repair_claim(depth: int, xavier: pd.DataFrame, he: pd.DataFrame, guessing: float, shared: dict[str, str]) -> Claim:
    frame = pd.DataFrame({"measured": he["mean"], "standard_error": he["sem"], "predicted": PLATEAU * guessing})
    frame = frame.assign(**shared, control_measured=xavier["mean"], control_error=np.maximum(xavier["sem"], 1e-300))
    return Claim(
        name=f"He learns at {depth}",
        statement=f"ReLU, {depth} layers: the notes' sqrt(2/n), He's scheme, repairs it: the loss falls below {PLATEAU:.0%} of guessing's.",
        source="notes; He 2015, Fig. 3",
        basis="The same draws and batches as Xavier's networks. Standard error over seeds.",
        control="Xavier's scheme",
        comparisons=frame.reset_index(names="backend"),
        test="at most",
    )


def sooner_claim(depth: int, starts: pd.DataFrame, shared: dict[str, str]) -> Claim:
    logs = starts.assign(log=np.log(starts.step)).pivot(index=["backend", "seed"], columns="init", values="log")
    paired = (logs["xavier"] - logs["he"]).groupby("backend")
    all_started = paired.count() == paired.size()  # one that never did makes the claim fail
    if not all_started.all():
        shared = {"condition": shared["condition"] + ": not every network began to learn"}
    frame = pd.DataFrame({"measured": paired.mean().where(all_started), "standard_error": paired.sem()})
    frame = frame.assign(**shared, predicted=0.0, control_measured=-paired.mean())
    return Claim(
        name=f"He sooner at {depth}",
        statement=f"ReLU, {depth} layers: both schemes learn, He sooner. The log of Xavier's start over He's is above 0.",
        source="He 2015, Fig. 2",
        basis=f"A network starts when its test loss falls below {PLATEAU:.0%} of guessing's; seeds are paired.",
        control="the two schemes exchanged",
        comparisons=frame.reset_index(names="backend"),
        test="at least",
    )
