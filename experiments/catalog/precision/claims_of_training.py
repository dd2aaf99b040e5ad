"""What is claimed of range and small steps: gradients that fp16 loses, updates that bf16 weights do not feel."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.claims import Claim


def underflow(found: pd.DataFrame) -> pd.DataFrame:
    """Means over the networks; the standard error is at least that of one number of them all."""
    frame = found.assign(apart=found.zero - found.flushed, excess=found.measured - found.modelled)
    grouped = frame.groupby(["format", "layer", "backend"], sort=False)
    table = grouped[["zero", "flushed", "near", "abrupt", "measured", "modelled", "size", "scale"]].mean()
    table["standard_error"] = np.hypot(grouped["apart"].sem(), 1 / grouped["numbers"].sum())
    table["excess_error"], table["seeds"] = grouped["excess"].sem(), grouped.size()
    return table.reset_index()


def range_claims(lost: pd.DataFrame) -> list[Claim]:
    rows = lost.assign(condition=lost.format + ", layer " + lost.layer.astype(str), dof=lost.seeds - 1)
    plain = rows[rows.format == "fp16"].set_index(["layer", "backend"])
    scaled = rows[rows.format == "fp16, scaled"]
    without = plain.measured.reindex(pd.MultiIndex.from_frame(scaled[["layer", "backend"]])).to_numpy()
    return [
        Claim(
            "underflow",
            "fp16 makes every gradient of at most 2⁻²⁵ zero: the share that is lost grows from layer to layer on the way down, as "
            "float64's gradients predict it; a scaled loss or bf16 loses hardly any.",
            "IEEE 754; Micikevicius 2018, Fig. 3",
            "The share of |∂J/∂z| of at most half the smallest subnormal number, 2⁻²⁴. What comes from above has been rounded to multiples "
            "of that already, which moves a number by 0.3·2⁻²⁴/√12: the share so near to the threshold is left open. Student's t over "
            "networks; one number of them all counts as an error as well.",
            "no subnormal numbers: everything below 2⁻¹⁴ lost",
            rows.assign(measured=rows.zero, predicted=rows.flushed, allowance=rows.near, control_predicted=rows.abrupt),
        ),
        Claim(
            "loss scaling",
            "A loss times a power of two brings the gradients back: their error is at most the random model's, at every layer.",
            "Micikevicius 2018",
            "Mean square error in units of the model's; \"at most\" because slopes near 1 often round to nothing, which the model does not "
            "count on. Student's t over networks.",
            "the loss as it is",
            scaled.assign(measured=scaled.measured / scaled.modelled, standard_error=scaled.excess_error / scaled.modelled,
                          predicted=1.0, control_measured=without / scaled.modelled),
            "at most",
        ),
    ]  # fmt: skip


def still(found: pd.DataFrame) -> pd.DataFrame:
    """The share of weights that an update leaves as they were."""
    frame = found.assign(apart=found.measured - found.predicted)
    grouped = frame.groupby(["layer", "step", "backend"], sort=False)
    table = grouped[["measured", "predicted", "coarser"]].mean()
    table["standard_error"] = np.hypot(grouped["apart"].sem(), 1 / grouped["numbers"].sum())
    table["seeds"] = grouped.size()
    return table.reset_index()


def learning(training: pd.DataFrame) -> pd.DataFrame:
    grouped = training.groupby(["way", "part", "backend", "step"], sort=False)
    table = grouped[["loss", "accuracy"]].mean()
    table["standard_error"] = grouped["loss"].sem()
    return table.reset_index()


def gaps(training: pd.DataFrame) -> pd.DataFrame:
    """How far the training loss lies above float32's, of the same seed at the same step."""
    own = training[training.part == "training"]
    key = ["backend", "seed", "step"]
    loss = own[own.way == "float32"].set_index(key).loss
    apart = own.loss - loss.reindex(pd.MultiIndex.from_frame(own[key])).to_numpy()
    grouped = own.assign(apart=apart).groupby(["way", "backend", "step"], sort=False)["apart"]
    return pd.DataFrame({"measured": grouped.mean(), "standard_error": grouped.sem()}).reset_index()


def weights(unmoved: pd.DataFrame, training: pd.DataFrame) -> list[Claim]:
    rows = still(unmoved)
    last = training[(training.part == "training") & (training.step == training.step.max())]
    final = last.pivot_table(index=["backend", "seed"], columns="way", values="loss").reindex(
        columns=["float32", "tf32", "fp16", "bf16", "bf16 weights", "bf16 weights, at random"]
    )
    final = np.log(final)  # of one that has diverged the loss says little, and scatters much
    behind = final["bf16 weights"] - final["bf16"]
    reference = final["bf16 weights"] - final["float32"]
    basis = (
        "Log of the loss on the training set after the last step, against float32 from the same start on the same batches; Student's t "
        "over seeds."
    )
    at_random = final["bf16 weights, at random"] - final["float32"]
    return [
        Claim(
            "updates that are not felt",
            "A bf16 weight stays what it was where |η∂J/∂w| is below half its spacing, some 2⁻⁹|w|: that share of the weights is predicted "
            "at every step.",
            "w + Δ = w",
            "float64's gradient at the same weights on the same batch. Student's t over networks; one weight of them all counts as an "
            "error as well.",
            "a whole spacing for half of one",
            rows.assign(condition="layer " + rows.layer.astype(str) + ", step " + rows.step.astype(str), dof=rows.seeds - 1,
                        control_predicted=rows.coarser),
        ),
        Claim(
            "bf16 weights fall behind",
            "So networks whose weights are kept in bf16 learn less than those that compute in bf16 and keep the weights in float32.",
            "Micikevicius 2018, § 3.1",
            basis,
            "the two exchanged",
            _paired({"log of the training loss": behind}, {"log of the training loss": -behind}),
            "at least",
        ),
        Claim(
            "a master copy repairs it",
            "With a float32 copy of the weights, TF32, fp16 and bf16 learn what float32 learns.",
            "Micikevicius 2018, § 3.1",
            basis,
            "bf16 weights without a copy",
            _paired({way: final[way] - final["float32"] for way in ("tf32", "fp16", "bf16")},
                    dict.fromkeys(("tf32", "fp16", "bf16"), reference)),
        ),
        Claim(
            "rounding at random repairs it too",
            "bf16 weights that are rounded up or down at random, with the right mean, learn what float32 learns.",
            "Gupta 2015",
            basis,
            "bf16 weights rounded to nearest",
            _paired({"log of the training loss": at_random}, {"log of the training loss": reference}),
        ),
    ]  # fmt: skip


def _paired(values: dict[str, pd.Series], controls: dict[str, pd.Series]) -> pd.DataFrame:
    """Mean and standard error over seeds of each difference, against 0; the control has its own error."""
    rows = []
    for condition, value in values.items():
        seeds, other = value.dropna().groupby("backend"), controls[condition].groupby("backend")
        rows.append(pd.DataFrame({"measured": seeds.mean(), "standard_error": seeds.sem(), "dof": seeds.size() - 1, "predicted": 0.0,
                                  "control_measured": other.mean(), "control_error": other.sem(), "condition": condition}))  # fmt: skip
    return pd.concat(rows).reset_index(names="backend")
