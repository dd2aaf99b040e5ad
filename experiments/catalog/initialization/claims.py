"""What is claimed of the measurements: each with its prediction, where its uncertainty comes from, and a control that must fail."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.claims import Claim
from experiments.experiment import Tables

ROUNDING_GROWN = 1e-7  # symmetry is judged as long as rounding, grown as theory says, is below this
ULP = 2.0**-53
STUDENT = "Student's t over seeds."


def every(tables: Tables) -> list[Claim]:
    return [
        *symmetry(tables),
        only_the_bias(tables["silenced"]),
        glorot(tables["singular"]),
        *products(tables["products"]),
        *readings(tables),
        *unit_variance(tables),
        standardised(tables["raw_pairs"]),
        *dead(tables),
        *scales(tables),
    ]


def frame(rows: pd.DataFrame, condition: pd.Series | str, **columns: object) -> pd.DataFrame:
    """What a claim compares: the columns it knows, of ``rows`` and of ``columns``."""
    known = ["backend", "measured", "standard_error", "predicted", "dof", "allowance",
             "control_measured", "control_predicted", "control_error"]  # fmt: skip
    whole = rows.assign(**columns)
    return whole[[name for name in known if name in whole]].assign(condition=condition)


def text(column: pd.Series, form: str = "{:g}") -> pd.Series:
    return column.map(lambda value: value if isinstance(value, str) else form.format(value)).astype(str)


def named(table: pd.DataFrame, *columns: str) -> pd.Series:
    """The columns' words, with commas."""
    first, *others = (table[column].astype(str) for column in columns)
    return first.str.cat(others, sep=", ") if others else first


# --- symmetry --------------------------------------------------------------------------------------------------------------


def symmetry(tables: Tables) -> list[Claim]:
    growth, breaking = tables["growth"], tables["breaking"]
    equal = growth[(growth.start == "constant") & (growth.predicted < ROUNDING_GROWN)]
    key = ["units", "backend", "step"]
    random = growth[growth.start == "random"].set_index(key).reindex(pd.MultiIndex.from_frame(equal[key]))
    apart = frame(equal, text(equal.units) + " units apart, step " + text(equal.step), measured=equal.apart, standard_error=equal.predicted,
                  predicted=0.0, control_measured=random.apart.to_numpy())  # fmt: skip
    rank = frame(equal, text(equal.units) + " units, second singular value, step " + text(equal.step), measured=equal.second,
                 standard_error=equal.predicted / equal.predicted.min() * 1e-15 if len(equal) else 0.0, predicted=0.0,
                 control_measured=random.second.to_numpy())  # fmt: skip
    earliest = breaking.groupby("backend").predicted.transform("min")
    times = frame(breaking, "moved by 10^−" + text(breaking.power), standard_error=breaking.rounding.clip(lower=1e-9),
                  control_predicted=earliest)  # fmt: skip
    return [
        Claim(
            "equal units stay equal",
            "Weights that are all the same: the hidden units never differ by more than rounding has grown to, and W keeps rank 1.",
            "derived: equal units get equal gradients; notes: random weights",
            "Standard error: √k·u a step, grown as the linearised equations say. Steps for which that stays below 10⁻⁷.",
            "a random start",
            pd.concat([apart, rank]),
        ),
        Claim(
            "the time to break symmetry",
            "Weights moved by 10^−k of themselves: differences grow as linearised equations say; each power of ten costs as many steps.",
            "derived: linearised gradient descent around equal units",
            "One unit stands for all, differences obey its tangent equations. "
            "Allowance: their own relative size, as steps; standard error: rounding.",
            "the time of the largest displacement",
            times,
        ),
    ]


def only_the_bias(table: pd.DataFrame) -> Claim:
    key = ["backend", "step"]
    silent = table[table.silent.astype(bool)]
    alive = table[~table.silent.astype(bool)].copy()
    reached = alive.assign(off=abs(alive.loss - alive.predicted)).sort_values("off").groupby(key).tail(1).set_index(key)
    worst = silent.assign(off=abs(silent.loss - silent.predicted)).sort_values("off").groupby(["start", *key]).tail(1)
    moved = silent.groupby(["start", *key]).moved.max().reset_index()

    def other(rows: pd.DataFrame, column: str) -> np.ndarray:
        return reached.reindex(pd.MultiIndex.from_frame(rows[key]))[column].to_numpy()

    rounding = 10 * ULP * worst.predicted * np.sqrt(worst.step.astype(float))
    loss = frame(worst, worst.start + ", loss at step " + text(worst.step), measured=worst.loss, standard_error=rounding,
                 control_measured=other(worst, "loss"))  # fmt: skip
    still = frame(moved, moved.start + ", all else at step " + text(moved.step), measured=moved.moved, predicted=0.0,
                  standard_error=ULP, control_measured=other(moved, "moved"))  # fmt: skip
    return Claim(
        "only the output's bias learns",
        "All weights 0, or born dead for all of the data: no other parameter ever moves, and the loss is that of a bias alone.",
        "derived: no signal up, no gradient down; the bias learns the classes' shares",
        "Exactly 0; and the recursion c ← c − η(softmax(c) − f), to rounding. The worst of all such networks.",
        "narrow networks that are alive",
        pd.concat([loss, still]),
    )


# --- singular values -------------------------------------------------------------------------------------------------------


def glorot(table: pd.DataFrame) -> Claim:
    rows = table.assign(
        dof=table["count"] - 1, allowance=table.limit * np.log(table.n.astype(float)) / table.n.astype(float) ** 2
    )
    return Claim(
        "Glorot's singular values",
        "A tanh layer's Jacobian at 0: its mean singular value is 8/3π = 0.849 with Glorot's scheme, 8/(3π√3) = 0.490 with the standard.",
        "Glorot & Bengio 2010 (about 0.8 and 0.5); derived from the quarter-circle law, with the next term in 1/n",
        f"Independent layers, {STUDENT[:-1]}. Allowance: log n/n², the order of what is left out.",
        "the other scheme's value",
        frame(rows, rows.scheme + ", n = " + text(rows.n), control_predicted=rows.control),
    )


def products(table: pd.DataFrame) -> list[Claim]:
    whole = table[table["index"] == 0]
    flat, steep = whole[whole.init == "orthogonal"], whole[whole.init != "orthogonal"]
    width, depth = flat.width.astype(float), flat.depth.astype(float)
    key = ["backend", "width", "depth"]
    wild = steep.set_index(key).farthest.reindex(pd.MultiIndex.from_frame(flat[key])).to_numpy()
    narrow = "width " + text(steep.width) + ", depth " + text(steep.depth)
    first = steep.groupby("width").predicted.transform("min")
    return [
        Claim(
            "orthogonal weights",
            "Every singular value of a product of orthogonal matrices is 1, at every depth.",
            "Saxe 2014",
            "An identity; n·√depth roundings of size u are its error. The farthest of all.",
            "Gaussian weights of the same variance",
            frame(flat, "width " + text(flat.width) + ", depth " + text(flat.depth), measured=flat.farthest, predicted=0.0,
                  allowance=0.0, standard_error=width * np.sqrt(depth) * ULP, control_measured=wild),
        ),
        Claim(
            "Gaussian weights",
            "The condition number of L Gaussian layers grows exponentially: L·g ≤ E ln(s₁/s_n) ≤ (L+2)·g, g = ½[ψ(n/2) − ψ(½)].",
            "derived from the Lyapunov exponents of Newman 1986",
            "Bounds for every L. Standard error of the sample.",
            "the bounds of one layer, whatever the depth",
            frame(steep, narrow, dof=steep["count"] - 1, control_predicted=first),
        ),
    ]  # fmt: skip


# --- the notes' rule ---------------------------------------------------------------------------------------------------------


def readings(tables: Tables) -> list[Claim]:
    ratios, sizes = tables["ratios"], tables["sizes"]
    ratios = ratios[ratios.reading != "he"]
    return [
        Claim(
            "three readings, the same draws",
            "2/n, 2/(n−1) and 2/(n_in+n_out), the same draws: at every layer signal and gradient differ by the product of the scales.",
            "notes: sqrt(2/(n−1)); derived: ReLU(ax) = a ReLU(x)",
            "An identity: ln of mean squares over 2/n's, the median of the networks. Standard error: 4√(nL) roundings.",
            "all three are the same",
            frame(ratios, named(ratios, "shape", "reading", "signal") + ", layer " + text(ratios.layer), control_predicted=0.0),
        ),
        Claim(
            "which of them keeps the signal",
            "ReLU: with 2/n the signal only loses what finite width takes; 2/(n−1) adds ln n/(n−1) a layer, Xavier's ln n_in/(n_in+n_out).",
            "notes; He 2015; derived: a layer multiplies by Var W·χ²_K, K ~ Bin(n, ½) active units",
            "Exact law of E ln h̄² for any widths, of networks that are alive; standard error from the law's variance.",
            "every reading keeps it",
            frame(sizes, named(sizes, "shape", "reading") + ", layer " + text(sizes.layer), control_predicted=0.0),
        ),
    ]  # fmt: skip


def unit_variance(tables: Tables) -> list[Claim]:
    variances, gains = tables["variances"], tables["gains"]
    key = ["activation", "layer", "backend"]
    ours, he = (variances[variances.scheme == scheme] for scheme in ("lsuv", "he"))
    other = he.set_index(key).farthest.reindex(pd.MultiIndex.from_frame(ours[key])).to_numpy()
    xavier = np.where(gains.activation == "relu", 0.0, np.log(2))
    return [
        Claim(
            "LSUV: unit variance",
            "LSUV gives Wx + b unit variance over units and digits in every layer, whatever the activation, to its tolerance.",
            "Mishkin & Matas 2016, Algorithm 1",
            "The algorithm's own tolerance of 0.01 is the bound; the farthest seed; standard error: rounding of a mean.",
            "He's rule",
            frame(ours, ours.activation + ", layer " + text(ours.layer), measured=ours.farthest, predicted=0.01,
                  standard_error=1e-13, control_measured=other),
            "at most",
        ),
        Claim(
            "LSUV: the variance it finds",
            "Nobody tells it, and it finds n·Var W = 1/E φ(z)²: He's 2 for ReLU, other numbers for other activations.",
            "derived: mean field with unit variance; He 2015 for ReLU",
            f"ln n·Var W over layers 2 … 6; {STUDENT} Allowance: 3.5/n, what finite width takes.",
            "He's 2 for all, and Xavier's 1 for ReLU",
            frame(gains, gains.activation, control_predicted=xavier),
            ),
    ]  # fmt: skip


def standardised(table: pd.DataFrame) -> Claim:
    return Claim(
        "LSUV: data that nobody standardised",
        "On inputs 5 + 6x a tanh network learns more from LSUV's weights than from He's, each at the learning rate that suits it best.",
        "Mishkin & Matas 2016; He 2015 assumes inputs of mean square 1",
        f"He's last test loss less LSUV's, the same batches; each seed's rates are chosen by the others. {STUDENT}",
        "the two exchanged",
        frame(table, "last step, best rates", predicted=0.0, control_measured=-table.measured),
        "at least",
    )


# --- born dead, and the scale --------------------------------------------------------------------------------------------------


def dead(tables: Tables) -> list[Claim]:
    sets, biased = tables["dead_sets"], tables["biased"]
    both = sets[sets.inputs == "both signs"]
    return [
        Claim(
            "dead for all of the data",
            "Inputs of both signs: no network is dead after one ReLU layer, (3 − 2^(1−n))/4ⁿ of them after two, then bounds hold.",
            "derived: the angle between two inputs is π, then π/2, then less; compare Lu 2019",
            "Exact in two layers and for width 1. Binomial standard error; allowance: half the distance of the bounds.",
            "the law of a single input, 1 − (1 − 2⁻ⁿ)^L",
            frame(both, "width " + text(both.width) + ", depth " + text(both.depth), control_predicted=both.single),
        ),
        Claim(
            "a positive bias",
            "With biases b > 0 a layer is switched off with probability Φ(−b/(σ‖h‖))ⁿ instead of 2⁻ⁿ, and the next one wakes up again.",
            "derived: one-sided Gaussian tails, given what reaches the layer",
            "Expected share of the layers that a signal reaches, given its norms; standard error: of a sum of such events.",
            "2⁻ⁿ a layer, as without bias",
            frame(biased, "width " + text(biased.width) + ", b = " + text(biased.bias), control_predicted=biased.symmetric),
        ),
    ]  # fmt: skip


def scales(tables: Tables) -> list[Claim]:
    first, slopes, windows = tables["scales"], tables["slopes"], tables["windows"]
    condition = text(first.depth) + " layers, s = " + text(first.scale) + ", seed " + text(first.seed)
    rounding = 8 * ULP * np.sqrt(64.0 * first.depth.astype(float)) * (first["size"].astype(float) + 1)
    return [
        Claim(
            "the first loss",
            "s times He's weights, D layers: outputs are s^D times as large, so the first loss is ln K for small s and grows as s^D.",
            "derived: ReLU networks without biases are homogeneous",
            "An identity: cross-entropy of s^D times He's own outputs. Standard error: 8√(nD) roundings of the largest output.",
            "outputs s times as large",
            frame(first, condition, measured=first.loss, standard_error=rounding, control_predicted=first.unscaled),
        ),
        Claim(
            "the wait of small weights",
            "From small weights of scale s a ReLU network of D layers waits for a time that grows as s^−(D−2) before its outputs grow.",
            "derived: the gradient flow of a function homogeneous of degree D; compare deep_linear's plateaus",
            f"d ln T/d ln s, paired by seed, {STUDENT} Allowance: outputs that are not small, whole steps, looks.",
            "one layer more",
            frame(slopes, text(slopes.depth) + " layers, " + slopes.scales, control_predicted=slopes.predicted - 1),
        ),
        Claim(
            "the deeper, the more sensitive",
            "The deeper the network, the fewer of the scales it learns from.",
            "notes: sensitive to initialization",
            f"Scales from which half of the test set is got right (one learning rate, 0.05), shallow less deep, paired; {STUDENT}",
            "shallow and deep exchanged",
            frame(windows, text(windows.shallow) + " and " + text(windows.deep) + " layers", predicted=0.0,
                  control_measured=-windows.measured),
            "at least",
        ),
    ]  # fmt: skip
