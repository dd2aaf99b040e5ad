"""The ledger: every statement of the notes, the claims that test it, the verdict.

``python -m experiments.statements`` writes docs/statements.md. Verdicts are read from the committed results; nothing is judged here.
"""

from __future__ import annotations

from experiments.command import begin

if __name__ == "__main__":
    begin("experiments.statements")

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from experiments.lab.store import ROOT, clean, write
from experiments.report import read
from scratch.command import answer
from scratch.errors import InvalidInput

PAGE = ROOT / "docs" / "statements.md"
INTRODUCTION = """<!-- made by `python -m experiments.statements` from experiments/statements.py and the committed results -->

# What the notes say, and what became of it

Each statement of the lecture notes in their own words, in their order; the claims that test it, each with a prediction, two
implementations' measurements, an uncertainty and a control that must fail; and the verdict of the committed run. An experiment's
name leads to its report. *Open*: no experiment yet.
"""


class Statement(NamedTuple):
    """``words`` of the notes; ``tests``: experiment -> names of its claims; ``remark``: where they slip, or what is really the case."""

    section: str
    words: str
    tests: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    remark: str = ""


FORWARD, BACKWARD, LOSSES = "forward_propagation", "chain_rule", "losses"
VANISHING, LINEAR, NORM, DROPOUT = "vanishing_gradient", "deep_linear", "batch_norm", "dropout"
START, PRECISION = "initialization", "precision"
FAMILIES = ("layers", "activations", "losses", "penalties", "networks")
GRADIENTS = tuple(f"{family}: within rounding" for family in FAMILIES)
ROWS = {FORWARD: ("a row a neuron, a column an example",)}
TWO_CLASSES = ("two classes", "p − y, sigmoid", "signal of a wrong answer", "time to unlearn", "slow start")
STATEMENTS = (
    Statement("Forward propagation", "each layer is a matrix W", ROWS),
    Statement(
        "Forward propagation",
        "x is the same as Wᵀx. no need for transpose now",
        {FORWARD: ("XᵀWᵀ = (WX)ᵀ", "Wᵀ is refused unless W is square", "a square Wᵀ is wrong in silence")},
        'With rows as neurons Wx needs no transpose; the notes\' "x is the same as Wᵀx" drops a W.',
    ),
    Statement(
        "Forward propagation", "each row in the matrix represents the weights for a neuron in the next layer", ROWS
    ),
    Statement("Forward propagation", "the length of a row is the dimensions of 1 input vector", {FORWARD: ("shapes",)}),
    Statement("Forward propagation", "each column is an example", ROWS),
    Statement("Forward propagation", "the length of a col is the dimensions of 1 input vector", {FORWARD: ("shapes",)}),
    Statement(
        "Forward propagation",
        "z1 = w1 x + b1, a1 = tanh(z1), z2 = w2 a1 + b2, a2 = σ(z2), ŷ = a2",
        {FORWARD: ("the notes' network by hand",)},
    ),
    Statement(
        "Losses",
        "J_BCE = −1/n Σ yᵢ ln(a2) + (1−yᵢ) ln(1−a2)",
        {LOSSES: ("binary cross-entropy", "where it breaks", "stable", "read literally, it teaches to say yes")},
        "Brackets are missing around the sum: taken literally the second term has the wrong sign, and the network learns to say yes.",
    ),
    Statement(
        "Losses",
        "Cross Entropy: J = −1/n Σᵢ Σₖ yₖᵢ ln(ŷₖᵢ)",
        {LOSSES: ("cross-entropy", "p − y, softmax", "least loss", "guessing", "shift")},
    ),
    Statement("Losses", "One hot / indicator matrix", {LOSSES: ("one-hot",)}),
    Statement(
        "Shapes",
        "[2×3][3×1] = [2×1], [2×3][3×n] = [2×n], [1×2][2×n] = [1×n]",
        {FORWARD: ("shapes", "one product is the whole loop")},
        "The notes' [1×2][2×1] = [1×n] is a slip: 1×1, as the line below it says.",
    ),
    Statement(
        "Shapes",
        "each column is the output of 1 example",
        {FORWARD: ("columns know nothing of each other",)},
        "Not with batch norm in training.",
    ),
    Statement("Bias and variance", "high bias, then deeper network, change activation"),
    Statement(
        "Bias and variance",
        "high variance, then prevent overfitting and improve generalization: regularization",
        {DROPOUT: ("dropout reduces overfitting",)},
    ),
    Statement("Bias and variance", "high variance, then more data"),
    Statement("Info", "Binary Classification | Sigmoid", {LOSSES: TWO_CLASSES}),
    Statement("Info", "Multi-class Classification | Softmax", {LOSSES: ("p − y, softmax", "shift", "two classes")}),
    Statement(
        "Info",
        "Regularization and dropout reduce overfitting",
        {
            DROPOUT: (
                "dropout reduces overfitting",
                "dropout beats none",
                "too much of it harms",
                "dropout is a ridge penalty",
                "Wager's penalty",
            )
        },
        "By fitting the training set less; too much of it harms.",
    ),
    Statement(
        "Issues",
        "long training time and lots of data used",
        {LINEAR: ("plateaus",)},
        "Time: plateaus before deep networks learn. Data: open.",
    ),
    Statement(
        "Issues",
        "sensitive to initialization",
        {
            START: (
                "the deeper, the more sensitive",
                "the first loss",
                "the wait of small weights",
                "equal units stay equal",
                "the time to break symmetry",
                "only the output's bias learns",
                "dead for all of the data",
            ),
            VANISHING: (
                "He sooner at 22",
                "Xavier stalls at 30",
                "He learns at 30",
                "exploding ends training",
                "clipping is no repair of the weights",
            ),
            LINEAR: ("orthogonal starts do not pay for depth", "small Gaussian starts do"),
        },
        "The deeper the network, the fewer of the scales it learns from.",
    ),
    Statement(
        "Issues",
        "objective is non-convex, many local optima",
        {LINEAR: ("non-convex: a saddle", "no bad minimum")},
        "Non-convex: yes. Many minima: yes, but in these deep linear networks all of them are equally good.",
    ),
    Statement("Issues", "hyperparameter tuning"),
    Statement("Issues", "mismatched train/dev/test. Ensure they have same distribution"),
    Statement(
        "Vanishing gradient",
        "In deep networks, the gradients in the lower layers are very small",
        {
            VANISHING: (
                "mean field, sigmoid",
                "mean field, tanh",
                "mean field, relu",
                "depth scale, ordered",
                "depth scale, chaotic",
                "exploding",
                "unrepaired, it does not",
                "repaired, it learns",
                "repair: skip",
                "repair: scaled skip",
            )
        },
        "It depends on activation and weights: they vanish, stay or explode, each as predicted. Skip connections and batch norm serve "
        "every activation.",
    ),
    Statement(
        "Vanishing gradient",
        "lots of multiplication: y = w1 w2 … wn x",
        {
            VANISHING: ("product, mean", "product, spread", "deep linear, mean"),
            BACKWARD: ("the product of the others",),
            LINEAR: ("learning curves", "plateaus"),
            START: ("Gaussian weights", "orthogonal weights"),
            PRECISION: ("underflow", "loss scaling"),
        },
        "Far enough down the product leaves the range of the numbers themselves: fp16 makes such gradients zero.",
    ),
    Statement(
        "Vanishing gradient",
        "random weights ∗ √(2/(n−1))",
        {
            START: (
                "which of them keeps the signal",
                "three readings, the same draws",
                "LSUV: the variance it finds",
                "Glorot's singular values",
                "equal units stay equal",
            ),
            VANISHING: (
                "the notes' rule is He's",
                "He over Xavier",
                "narrow ReLU, mean",
                "born dead",
                "repair: weights",
                "exploding, exactly",
            ),
        },
        "n is read as the width of the layer before: He's rule for ReLU, which serves tanh too, not sigmoid. To the letter, n − 1, it "
        "differs by ln n/(n − 1) a layer and has no value for a single input; read as Xavier's rule it starves ReLU.",
    ),
    Statement(
        "Batch normalization",
        "Input have zero mean and unit variance",
        {
            NORM: (
                "zero mean",
                "unit variance",
                "training and use differ",
                "far fewer steps",
                "less drift",
                "larger learning rates",
                "the rate tunes itself",
                "two examples: a sign",
                "explosion, ReLU",
            ),
            VANISHING: ("repair: batch norm",),
        },
        "In training, up to σ²/(σ²+ε); γ and β may undo it; deep networks' gradients explode at the start, and a batch of one is refused.",
    ),
    Statement("Mini-batch gradient descent", "make batches of training set"),
    Statement("Mini-batch gradient descent", "update weights at the end of each batch, rather than at the end"),
    Statement("Mini-batch gradient descent", "batches fit data in CPU/GPU"),
    Statement("Momentum and decay", "update on gradient and previous direction"),
    Statement("Momentum and decay", "learning rate decay: slowly reduce learning rate"),
    Statement(
        "Chain rule",
        "∂z/∂x = ∂z/∂y · ∂y/∂x",
        {"gradients": (*GRADIENTS, "Taylor's remainder"), BACKWARD: ("backwards: one pass", "differentiated twice")},
    ),
    Statement("Chain rule", "z = 2y+1, y = x²: 2 · 2x = 4x", {BACKWARD: ("∂z/∂x = 4x",)}),
    Statement(
        "Chain rule",
        "z = 2y+1 = 2x²",
        {BACKWARD: ("the dropped +1",)},
        "A slip: 2x² + 1. The derivative is right all the same.",
    ),
    Statement("Chain rule", "z = y1² + y2²: ∂z/∂x1 = 2y1", {BACKWARD: ("a sum over paths",)}),
    Statement("Chain rule", "∂z/∂x2 = 4y1x2 + 2y2", {BACKWARD: ("a sum over paths", "a node's share")}),
    Statement("Chain rule", "∂z/∂x3 = 4y2x3", {BACKWARD: ("a sum over paths",)}),
)


def verdicts(experiment: str, results: Path = ROOT / "results") -> dict[str, str]:
    """The verdict of every claim of an experiment's committed run. Raises InvalidInput where there is none, whole and its own."""
    try:
        run, tables = read(results / experiment)
    except InvalidInput as error:
        raise InvalidInput(f"{error}: python -m experiments.run {experiment}") from None
    if run["experiment"] != experiment:
        raise InvalidInput(f"{results / experiment} holds results of {run['experiment']!r}, not of {experiment!r}")
    return dict(zip(tables["claims"].claim, tables["claims"].verdict, strict=True))


def verdict(statement: Statement, known: Mapping[str, Mapping[str, str]]) -> str:
    """ "holds" if every claim does, else which does not. Raises InvalidInput for a claim that the experiment does not make."""
    seen = []
    for experiment, claims in statement.tests.items():
        for claim in claims:
            if claim not in known[experiment]:
                raise InvalidInput(f"{statement.words!r} names the claim {claim!r}, which {experiment} does not make")
            seen.append((claim, known[experiment][claim]))
    if not seen:
        return "open"
    others = [f"{claim}: {said}" for claim, said in seen if said != "holds"]
    return "; ".join(others) if others else "holds"


def page() -> str:
    known = {name: verdicts(name) for name in sorted({name for s in STATEMENTS for name in s.tests})}
    lines = [INTRODUCTION]
    for section, statements in groupby(STATEMENTS, key=lambda one: one.section):
        lines += [f"## {section}\n", "| the notes say | tested by | verdict | remark |", "|---|---|---|---|"]
        for one in statements:
            links = (f"[{name}](../results/{name}/report.md): {', '.join(said)}" for name, said in one.tests.items())
            words = one.words.replace("|", "\\|")
            lines.append(f"| {words} | {'<br>'.join(links)} | {verdict(one, known)} | {one.remark} |")
        lines.append("")
    tested, claims = sum(bool(one.tests) for one in STATEMENTS), sum(map(len, known.values()))
    total = f"{tested} of {len(STATEMENTS)} statements are tested"
    lines.append(f"{total}, by {claims} claims in {len(known)} experiments.\n")
    return "\n".join(lines)


def main() -> int:
    def work() -> None:
        clean(PAGE.parent)
        write(PAGE, page())
        print(PAGE)

    return answer(work)
