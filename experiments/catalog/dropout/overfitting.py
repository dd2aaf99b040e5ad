"""The networks that overfit: paired comparisons over seeds, and what is claimed of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from experiments.claims import Claim

MISUSES = ("left on", "factor lost")


def final(measurements: pd.DataFrame) -> pd.DataFrame:
    """The last step, one column for each quantity; "gap" is test loss less training loss."""
    ended = measurements[measurements.step == measurements.step.max()]
    wide = ended.pivot(index=["backend", "wrong", "keep", "seed"], columns="quantity", values="value")
    for name in ("train loss", "test loss"):
        wide[name] = wide.get(name, np.nan)
    wide.columns.name = None
    return wide.assign(gap=wide["test loss"] - wide["train loss"]).reset_index()


def summaries(measurements: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means over seeds: in the end, for every keep; and along the training."""
    ended = final(measurements).melt(["backend", "wrong", "keep", "seed"], var_name="quantity")
    tables = []
    for frame, key in ((ended, ["quantity"]), (measurements, ["quantity", "step"])):
        grouped = frame.groupby(["backend", "wrong", "keep", *key], sort=False).value
        table = pd.DataFrame({"measured": grouped.mean().astype(float), "standard_error": grouped.sem().astype(float)})
        tables.append(table.reset_index())
    return tables[0], tables[1]


def by_keep(finals: pd.DataFrame, backend: str, wrong: float, quantity: str) -> pd.DataFrame:
    """Seeds as rows, keeps as columns, in ascending order."""
    chosen = finals[(finals.backend == backend) & (finals.wrong == wrong)]
    return chosen.pivot(index="seed", columns="keep", values=quantity)


def chosen_by_others(losses: pd.DataFrame) -> pd.Series:
    """For each seed, the keep below 1 at which the other seeds' mean is lowest: the seed itself has no say."""
    dropped = losses[[keep for keep in losses if keep < 1]]
    return pd.Series({seed: dropped.drop(index=seed).mean().idxmin() for seed in losses.index})


def at(values: pd.DataFrame, keeps: pd.Series) -> pd.Series:
    return pd.Series({seed: values.loc[seed, keep] for seed, keep in keeps.items()})


def choices(finals: pd.DataFrame) -> pd.DataFrame:
    """Dropout at the keep that other seeds recommend, against none: means over seeds, paired. The gap: at the test loss's keep."""
    rows = []
    for backend, wrong in finals[["backend", "wrong"]].drop_duplicates().itertuples(index=False, name=None):
        for quantity in ("test loss", "test error", "gap"):
            values = by_keep(finals, backend, wrong, quantity)
            if 1.0 not in values or len(values.columns) < 2:
                continue
            keeps = chosen_by_others(by_keep(finals, backend, wrong, "test loss") if quantity == "gap" else values)
            gain = values[1.0] - at(values, keeps)
            named = {"backend": backend, "labels wrong": wrong, "quantity": quantity, "keep": keeps.median()}
            means = {"none": values[1.0].mean(), "dropout": at(values, keeps).mean(), "gain": gain.mean()}
            rows.append(named | means | {"standard_error": gain.sem(), "seeds": len(gain)})
    columns = ["backend", "labels wrong", "quantity", "keep", "none", "dropout", "gain", "standard_error", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def paired(backend: str, condition: str, differences: pd.Series) -> dict:
    """Mean difference over seeds against 0, Student's t; the control has the opposite sign: it fails where 0 lies far off."""
    return {
        "backend": backend,
        "condition": condition,
        "measured": differences.mean(),
        "standard_error": differences.sem(),
        "predicted": 0.0,
        "dof": len(differences) - 1,
        "control_measured": -differences.mean(),
    }


def overfitting_claims(finals: pd.DataFrame, wrong: float) -> list[Claim]:
    held = finals[finals.wrong == wrong]
    backends = [name for name in held.backend.unique() if len(by_keep(held, name, wrong, "gap").columns) > 1]
    names = ("gap", "train loss", "mean activation", "none", "fewest", *MISUSES)
    rows: dict[str, list[dict]] = {name: [] for name in names}
    for name in backends:
        for quantity, sign in (("gap", 1), ("train loss", -1), ("mean activation", 1)):
            values = sign * by_keep(held, name, wrong, quantity)
            keeps = list(values.columns)
            for low, high in pairwise(keeps):
                rows[quantity].append(paired(name, f"keep {low:g} and {high:g}", values[high] - values[low]))
        if 1.0 not in keeps:
            continue
        test = by_keep(held, name, wrong, "test loss")
        chosen = chosen_by_others(test)
        best = at(test, chosen)
        for other, keep in {"none": 1.0, "fewest": keeps[0]}.items():
            rows[other].append(paired(name, f"against keep {keep:g}", test[keep] - best))
        for misuse in MISUSES:
            cost = by_keep(held, name, wrong, f"test loss, {misuse}") - test
            rows[misuse] += [paired(name, f"keep {keep:g}", cost[keep]) for keep in keeps if keep < 1]
    frames = {name: pd.DataFrame(found) for name, found in rows.items()}
    return described(frames, f"{wrong:.0%} of the labels wrong")


def described(frames: dict[str, pd.DataFrame], setting: str) -> list[Claim]:
    basis = f"{setting}. Seeds paired: the same digits, weights, batches. Mean difference over seeds, Student's t, must not lie below 0."
    source = "the notes; Srivastava 2014"
    order = "keep probabilities in reverse order"
    choice = "Each seed's keep is chosen by the other seeds' test losses."
    return [
        Claim(
            "dropout reduces overfitting",
            "The fewer units are kept, the smaller the gap between test and training loss, at every step of the sweep.",
            source,
            basis,
            order,
            frames["gap"],
            "at least",
        ),
        Claim(
            "by fitting less",
            "The fewer units are kept, the higher the loss on the training digits themselves.",
            source,
            basis,
            order,
            frames["train loss"],
            "at least",
        ),
        Claim(
            "quieter hidden units",
            "The fewer units are kept in training, the smaller the mean activation of the hidden units after it.",
            "Srivastava 2014, section 7.2",
            basis,
            order,
            frames["mean activation"],
            "at least",
        ),
        Claim(
            "dropout beats none",
            "At its best keep, dropout lowers the test loss.",
            source,
            f"{basis} {choice}",
            "dropout and none exchanged",
            frames["none"],
            "at least",
        ),
        Claim(
            "too much of it harms",
            "The best keep has a lower test loss than the smallest one.",
            source,
            f"{basis} {choice}",
            "the two exchanged",
            frames["fewest"],
            "at least",
        ),
        Claim(
            "off after training",
            "Dropout left on after training costs test loss, whatever the keep.",
            source,
            basis,
            "right and wrong use exchanged",
            frames["left on"],
            "at least",
        ),
        Claim(
            "the factor 1/p",
            "Training without the factor 1/p, and using all units then, costs test loss, whatever the keep.",
            "Srivastava 2014, section 4",
            basis,
            "right and wrong use exchanged",
            frames["factor lost"],
            "at least",
        ),
    ]
