"""Is dropout a penalty in classification, too?

Nearly: in logistic regression Wager's approximation is its first term. What Taylor's series leaves open is worked out.
"""

from functools import lru_cache

import numpy as np

from experiments.lab import Array, Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, compare, each, figure, table
from experiments.lab.figures import key, panels, series
from scratch import Batch, BinaryCrossEntropy, Dense, Dropout
from scratch.network import Parameters
from scratch.randomness import base
from . import laws
from .shared import ROUNDING, after_training, all_masks, chances, learned, pixels, under_all

PAIR = (3, 8)  # the digits that logistic regression is to tell apart
STRETCHED = (1.0, 0.5, 0.25)  # Wager's approximation is one for small weights: it is tried on smaller ones too


def logistic(features: int, images: int) -> tuple[Batch, Array, float]:
    """Threes and eights, and the weights β (1, n) and bias of a logistic regression trained with dropout of ½."""
    return _logistic(features, images, base())


@lru_cache(maxsize=4)
def _logistic(features: int, images: int, base_seed: int) -> tuple[Batch, Array, float]:
    batch = pixels(features, images, PAIR)
    batch = Batch(batch.x, batch.y[None].astype(float))
    _, p = learned((Dropout(0.5), Dense(1)), BinaryCrossEntropy(), batch)
    return batch, p["W"], float(p["b"][0, 0])


@cells(each(rate="rates"), cost=Cost(0.32, 60))
def added(lab: Lab, rate: float, features: int, images: int) -> Frame:
    """What dropout adds to the loss, averaged over all masks: with the trained weights, and with smaller ones."""
    batch, beta, bias = logistic(features, images)
    layers, chance, rows = (Dropout(rate), Dense(1)), chances(all_masks(features), 1 - rate), []
    for stretch in STRETCHED:
        parameters: Parameters = ({}, {"W": stretch * beta, "b": np.array([[bias]])})
        stretched, condition = (
            (layers, BinaryCrossEntropy(), parameters, batch),
            f"rate {rate}, weights times {stretch}",
        )
        shots = under_all(lab, *stretched, condition)
        plain = lab.look(after_training(*stretched), f"{condition}, after training")
        for name, shot in shots.items():
            without = float(plain[name].loss)
            value = float(chance @ shot.loss) - without
            rows.append({"backend": name, "rate": rate, "stretch": stretch, "value": value, "loss": without})
    return Frame(rows)


@table
def penalty(added: Frame, features: int, images: int) -> Frame:
    """Wager's approximation, the next term and what is left open, beside every penalty; ratios to the approximation."""
    batch, beta, bias = logistic(features, images)
    known = []
    for rate, stretch in zip(added.rate, added.stretch, strict=True):
        b = stretch * beta
        first = laws.quadratic(batch.x, b, bias, rate), laws.cubic(batch.x, b, bias, rate)
        known.append((*first, laws.left_open(batch.x, b, rate), laws.quadratic(batch.x, b, bias, rate, curved=False)))
    terms = Frame(known, added.index, ["quadratic", "cubic", "open", "flat"])
    return added.assign(**terms, ratio=added.value / terms.quadratic)


@claims
def taylor(penalty: Frame, features: int) -> Claims:
    yield Claim(
        name="Wager's penalty",
        statement="Logistic regression: dropout adds ½ δ/(1−δ) Σ A″x²β², and the third-order term, up to what Taylor's remainder "
        "leaves open.",
        source="Wager, Wang & Liang 2013",
        basis="All 2ⁿ masks. Tolerance: the remainder's bound max|A⁗| E ε⁴/24, worked out from the weights; nothing is fitted.",
        control="A″ = ¼ everywhere: an ordinary L2 penalty",
        comparisons=compare(
            penalty,
            "δ = {rate:g}, weights times {stretch:g}",
            measured=penalty.value,
            predicted=penalty.quadratic + penalty.cubic,
            tolerance=penalty.open,
            standard_error=ROUNDING * np.sqrt(2.0**features) * (2 * penalty.loss + penalty.value),
            control_predicted=penalty.flat + penalty.cubic,
        ),
    )


@figure("Wager's penalty")
def wager(penalty: Frame) -> Figure:
    """What dropout adds to the loss of logistic regression, averaged over all masks, in units of Wager's quadratic
    approximation: at 1 that is exact. The lines add the third-order term; the bands are what Taylor's remainder leaves
    open (for the trained weights more than the panel shows). The approximation gets better as the weights get smaller
    (right), not as dropout gets rarer (towards the left of each panel): a missing input is no small change.
    """
    stretches = sorted(penalty.stretch.unique(), reverse=True)
    figure, axes = panels([f"trained weights × {stretch:g}" for stretch in stretches], width=2.8)
    for index, (ax, stretch) in enumerate(zip(axes, stretches, strict=True)):
        one = penalty[penalty.stretch == stretch]
        line, half = 1 + one.cubic / one.quadratic, one.open / one.quadratic
        one = one.assign(measured=one.ratio, predicted=line, standard_error=0.0, low=line - half, high=line + half)
        ours = one[one.backend == "scratch"].sort_values("rate")
        label = "what Taylor leaves open" if index == 0 else None
        ax.fill_between(ours.rate, ours.low, ours.high, color="#7F7F7F", alpha=0.25, linewidth=0, label=label)
        series(ax, one, "", 0, x="rate")
        ax.axhline(1, color="black", linewidth=0.8, linestyle=":")
        ax.set_xlabel("dropout rate, δ = 1 − p")
    near = penalty.ratio
    axes[0].set(ylabel="penalty / Wager's approximation", ylim=(min(near.min(), 1) - 0.1, max(near.max(), 1) + 0.1))
    return key(figure, axes)
