"""Networks on data, summarised over seeds beside their predictions."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.catalog.initialization import laws, learning
from scratch import activations

if TYPE_CHECKING:
    from experiments.catalog.initialization import Options

FINITE_WIDTH = (
    3.5  # ln of a layer's gain is off by about 2.5/n (see theory.relu_moments), and 1/n that Var takes off for its mean
)
LEARNED = 0.5  # the accuracy from which a network counts as trained


def gains(table: pd.DataFrame, options: Options) -> pd.DataFrame:
    """ln of the n·Var W that gives unit variance, averaged over layers 2 … for each seed, beside the mean-field value."""
    inner = table[(table.scheme == "lsuv") & table.layer.between(2, learning.DEPTH)]
    logs = (
        inner.assign(log=np.log(inner.gain.astype(float)))
        .groupby(["activation", "backend", "seed"], sort=False)
        .log.mean()
    )
    grouped = logs.groupby(["activation", "backend"], sort=False)
    found = pd.DataFrame(
        {"measured": grouped.mean(), "standard_error": grouped.sem(), "dof": grouped.count() - 1}
    ).reset_index()
    predicted = {name: gain(name, options) for name in found.activation.unique()}
    return found.assign(predicted=found.activation.map(predicted), allowance=FINITE_WIDTH / options.width)


def gain(activation: str, options: Options) -> float:
    law = laws.gains(activations.by_name()[activation](), learning.data_sizes(options.source), learning.DEPTH)
    return float(np.log(law).mean())


def variances(table: pd.DataFrame) -> pd.DataFrame:
    """Var z of every layer: mean over seeds, and the farthest from 1."""
    apart = table.assign(apart=abs(table.variance - 1))
    grouped = apart.groupby(["activation", "scheme", "layer", "backend"], sort=False)
    return pd.DataFrame(
        {"measured": grouped.variance.mean(), "standard_error": grouped.variance.sem(), "farthest": grouped.apart.max()}
    ).reset_index()


def raw_ends(table: pd.DataFrame) -> pd.DataFrame:
    """Test loss at the last step: mean over seeds, for each rate and scheme."""
    last = table[table.step == table.step.max()]
    grouped = last.groupby(["rate", "scheme", "backend"], sort=False).loss
    return pd.DataFrame({"measured": grouped.mean(), "standard_error": grouped.sem()}).reset_index()


def raw_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """He's test loss less LSUV's at the last step, paired by seed, each at the rate that the other seeds like best."""
    rows = []
    for backend, run in table[table.step == table.step.max()].groupby("backend", sort=False):
        best = {}
        for scheme, group in run.groupby("scheme"):
            losses = group.pivot(index="seed", columns="rate", values="loss").to_numpy(float)
            others = losses.sum(0) - losses
            best[scheme] = losses[np.arange(len(losses)), others.argmin(1)]
        apart = best["he"] - best["lsuv"]
        error = apart.std(ddof=1) / np.sqrt(len(apart))
        rows.append({"backend": backend, "measured": apart.mean(), "standard_error": error, "dof": len(apart) - 1})
    return pd.DataFrame(rows, columns=["backend", "measured", "standard_error", "dof"])


def paired(values: pd.Series, by: list[str]) -> pd.DataFrame:
    """Mean over seeds, standard error, degrees of freedom."""
    grouped = values.groupby(by, sort=False)
    return pd.DataFrame(
        {"measured": grouped.mean(), "standard_error": grouped.sem(), "dof": grouped.count() - 1}
    ).reset_index()


def waits(table: pd.DataFrame) -> pd.DataFrame:
    """Steps times s^(D−2), geometric mean over seeds: the same for all small scales."""
    logs = table.assign(log=np.log(table.steps.astype(float)))
    grouped = logs.groupby(["depth", "scale", "backend"], sort=False).log
    return pd.DataFrame({"measured": grouped.mean(), "standard_error": grouped.sem()}).reset_index()


def slopes(table: pd.DataFrame) -> pd.DataFrame:
    """d ln T/d ln s from one scale to the next, paired by seed, and what is open: outputs that are not small, steps, looks.

    Outputs of size z change the gradient's size by about z; a step more or less is 1/T; log-linear interpolation over h
    steps is off by about (h/T)²/8.
    """
    rows = []
    for (depth, backend), group in table.groupby(["depth", "backend"], sort=False):
        steps = group.pivot(index="seed", columns="scale", values="steps").astype(float)
        largest = group.groupby("scale").largest.max()
        for low, high in pairwise(steps.columns):
            apart = np.log(high / low)
            values = (np.log(steps[high]) - np.log(steps[low])) / apart
            least = steps[high].min()
            left = largest[high] + 1 / least + (learning.WAIT_EVERY / least) ** 2 / 8
            rows.append(
                {"depth": depth, "backend": backend, "scales": f"s = {low:.3g} and {high:.3g}", "measured": values.mean(skipna=False),
                 "standard_error": values.sem(), "dof": len(values) - 1, "predicted": 2.0 - depth, "allowance": left / apart}
            )  # fmt: skip
    columns = ["depth", "backend", "scales", "measured", "standard_error", "dof", "predicted", "allowance"]
    return pd.DataFrame(rows, columns=columns)


def accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds: how much the draw matters."""
    grouped = table.groupby(["depth", "scale", "backend"], sort=False).accuracy
    return pd.DataFrame(
        {"measured": grouped.mean(), "standard_error": grouped.std(), "seeds": grouped.count()}
    ).reset_index()


def windows(table: pd.DataFrame) -> pd.DataFrame:
    """How many of the scales each seed learns from; the difference to the next deeper network, paired."""
    counts = (table.accuracy >= LEARNED).groupby([table.depth, table.backend, table.seed]).sum().astype(float)
    depths, rows = sorted(table.depth.unique()), []
    for shallow, deep in pairwise(depths):
        rows.append(paired(counts.loc[shallow] - counts.loc[deep], ["backend"]).assign(shallow=shallow, deep=deep))
    return (
        pd.concat(rows)
        if rows
        else pd.DataFrame(columns=["backend", "measured", "standard_error", "dof", "shallow", "deep"])
    )
