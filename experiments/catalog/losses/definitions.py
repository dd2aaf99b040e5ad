"""Are the two losses what the notes say, and is their gradient p − y?

Value and gradient of binary cross-entropy and of cross-entropy against the notes' formulas to fifty digits, against difference
quotients, and against each other.
"""

from decimal import Decimal, localcontext

import numpy as np

import scratch as s
from experiments.lab import Array, Claim, Claims, Cost, Frame, Lab, cells, claims, compare, each, stacked
from scratch.categorical import indicator
from scratch.losses import Loss
from scratch.randomness import generator
from .shared import EXAMPLES, MANY, NOTES, ROUNDING, UNIT, Literal, alone, binary_exact, farthest, probabilities, spread

STEP = 2.0**-16  # of difference quotients
LOSSES: dict[str, Loss] = {"binary cross-entropy": s.BinaryCrossEntropy(), "cross-entropy": s.CrossEntropy()}
TARGETS = {
    "answers 0 and 1": "binary cross-entropy",
    "soft answers": "binary cross-entropy",
    "labels": "cross-entropy",
    "class probabilities": "cross-entropy",
}


def drawn(trials: int) -> dict[str, tuple[Array, Array, Array]]:
    """Logits, targets, and targets as a matrix, (trials, …), for each kind of targets."""
    random = generator(0, "definitions")
    z = 3 * random.standard_normal((trials, 1, EXAMPLES))
    answers = random.integers(0, 2, z.shape).astype(float)
    soft = random.uniform(0, 1, z.shape)
    logits = 3 * random.standard_normal((trials, 5, EXAMPLES))
    labels = random.integers(0, 5, (trials, EXAMPLES))
    shares = np.moveaxis(random.dirichlet(np.ones(5), (trials, EXAMPLES)), -1, -2)
    matrices = (answers, soft, indicator(labels, 5).astype(float), shares)
    given = ((z, answers), (z, soft), (logits, labels), (logits, shares))
    return {kind: (*pair, matrix) for kind, pair, matrix in zip(TARGETS, given, matrices, strict=True)}


@cells(each(targets=TARGETS), cost=Cost(0.3, 16))
def definitions(lab: Lab, targets: str, trials: int) -> Frame:
    """Value and gradient against the notes' formulas. Rounding: an example's loss is off by some u times the numbers that it
    subtracts; p is off by u times the exponent, and numbers near 1 by u.
    """
    name = TARGETS[targets]
    z, y, matrix = drawn(trials)[targets]
    shots = alone(lab, LOSSES[name], z, y, f"{name}, {targets}")
    p, n, (exact, other) = probabilities(z), z.shape[-1], by_formula(z, matrix)
    values = {backend: (shot.loss, exact, other) for backend, shot in shots.items()}
    slopes = {backend: (shot.output_gradients[0], (p - matrix) / n, p - matrix) for backend, shot in shots.items()}
    found = [
        farthest(values, UNIT * (spread(z).mean(-1) + 1), quantity="J", tolerance=0.0),
        farthest(slopes, UNIT * (p * spread(z)[..., None, :] + 1) / n, quantity="∂J/∂z", tolerance=0.0),
        quotients(lab, targets, z[0], y[0], matrix[0]),
    ]
    return stacked(found).assign(loss=name, targets=targets)


def cross_exact(z: Array, y: Array) -> Decimal:
    """−Σ_k y_k ln ŷ_k, ŷ = softmax(z): the notes' loss of one example."""
    with localcontext(MANY):
        exact = [Decimal(one) for one in z.tolist()]
        log_sum = sum((one.exp() for one in exact), Decimal(0)).ln()
        apart = [Decimal(weight) * (log_sum - one) for weight, one in zip(y.tolist(), exact, strict=True)]
        return sum(apart, Decimal(0))


def by_formula(z: Array, y: Array) -> tuple[Array, Array]:
    """The loss to fifty digits; and the literal reading, or, of several classes, without 1/n."""
    classes, n = z.shape[1:]
    if classes > 1:
        exact = [float(sum(cross_exact(a[:, i], b[:, i]) for i in range(n)) / n) for a, b in zip(z, y, strict=True)]
        return np.array(exact), np.array(exact) * n
    exact = [float(sum(map(binary_exact, a[0], b[0])) / n) for a, b in zip(z, y, strict=True)]
    return np.array(exact), Literal()(z, y)[0]


def quotients(lab: Lab, targets: str, z: Array, y: Array, matrix: Array) -> Frame:
    """(J(z + h) − J(z − h))/2h of every number of one batch, from each backend's own values of J.

    What is left out is h²/6 of the third derivative, which is p(1−p)(1−2p)/n and at most 1/(6√3)/n.
    """
    n, moved = z.shape[-1], STEP * np.eye(z.size).reshape(z.size, *z.shape)
    same, name = np.broadcast_to(y, (2 * z.size, *y.shape)).copy(), TARGETS[targets]
    shots = alone(lab, LOSSES[name], np.concatenate([z + moved, z - moved]), same, f"{name}, {targets}, moved")
    expected = (probabilities(z) - matrix).reshape(-1)
    ends = {backend: shot.loss.reshape(2, -1) for backend, shot in shots.items()}
    found = {name: ((ahead - behind) / (2 * STEP), expected / n, expected) for name, (ahead, behind) in ends.items()}
    error = UNIT * (spread(z).mean() + 1) / STEP
    return farthest(found, error, quantity="difference quotient", tolerance=STEP**2 / (36 * np.sqrt(3) * n))


@cells(cost=Cost(0.1, 10))
def two_classes(lab: Lab, trials: int) -> Frame:
    """σ(z) is softmax (z, 0), so both losses are one. The control takes (z, −z), which is σ(2z)."""
    z, y, _ = drawn(trials)["soft answers"]
    both = np.concatenate([y, 1 - y], axis=-2)
    shots = [alone(lab, LOSSES["binary cross-entropy"], z, y, "logit z")]
    for second, said in ((0 * z, "logits (z, 0)"), (-z, "logits (z, −z)")):
        shots.append(alone(lab, LOSSES["cross-entropy"], np.concatenate([z, second], axis=-2), both, said))
    values = {name: tuple(one[name].loss for one in shots) for name in shots[0]}
    slopes = {name: tuple(one[name].output_gradients[0][..., :1, :] for one in shots) for name in shots[0]}
    found = [
        farthest(values, UNIT * (spread(z).mean(-1) + 1), quantity="J"),
        farthest(slopes, UNIT * (np.abs(z) + 2) / EXAMPLES, quantity="∂J/∂z"),
    ]
    return stacked(found)


@claims
def of_values(definitions: Frame) -> Claims:
    rows = definitions[definitions.quantity == "J"]
    yield Claim(
        name="binary cross-entropy",
        statement="J = −(1/n) Σ [y ln a + (1−y) ln(1−a)], the brackets being meant: both implementations give it.",
        source=NOTES,
        basis="The formula to fifty digits. " + ROUNDING,
        control="the notes' line read literally: the minus before the first term alone",
        comparisons=compare(rows[rows.loss == "binary cross-entropy"], "{targets}"),
    )
    yield Claim(
        name="cross-entropy",
        statement="J = −(1/n) Σ_i Σ_k y_ki ln ŷ_ki, of labels and of class probabilities.",
        source=NOTES,
        basis="The formula to fifty digits. " + ROUNDING,
        control="without 1/n",
        comparisons=compare(rows[rows.loss == "cross-entropy"], "{targets}"),
    )


@claims
def of_gradients(definitions: Frame) -> Claims:
    rows = definitions[definitions.quantity != "J"]
    for name, p, loss, source in (
        ("sigmoid", "σ(z)", "binary cross-entropy", "chain rule: (a−y)/(a(1−a)) · a(1−a)"),
        ("softmax", "softmax(z)", "cross-entropy", "chain rule, Σ_k y_k = 1"),
    ):
        yield Claim(
            name=f"p − y, {name}",
            statement=f"∂J/∂z = ({p} − y)/n: the gradients that the implementations give, and difference quotients of their losses.",
            source=source,
            basis=ROUNDING
            + " A quotient leaves out h²/6 times a third derivative of 1/(6√3) at most, which is allowed for.",
            control="p − y without 1/n",
            comparisons=compare(rows[rows.loss == loss], "{targets}, {quantity}"),
        )


@claims
def of_two_classes(two_classes: Frame) -> Claims:
    yield Claim(
        name="two classes",
        statement="Binary cross-entropy is cross-entropy of two classes with logits (z, 0), for σ(z) is softmax(z, 0).",
        source="e^z/(e^z + 1) = 1/(1 + e^−z)",
        basis="Each implementation's one loss against its other. " + ROUNDING,
        control="logits (z, −z), which is σ(2z)",
        comparisons=compare(two_classes, "{quantity}"),
    )
