"""How is a network to be used that was trained with dropout?

With all its units, whose sizes the factor 1/p has kept right in training. Left on, or with the factor forgotten, dropout costs what it
has gained; and the units have become quieter.
"""

from experiments.lab import Claim, Claims, Figure, Frame, claims, figure
from .shared import basis, beside_each_other, most_wrong, paired, rising, titles

USES = {"test loss": "right", "test loss, left on": "dropout left on", "test loss, factor lost": "factor 1/p forgotten"}
UNITS = {"mean activation": "mean activation", "active share": "share of active units"}


@claims
def of_use(measurements: Frame, wrong: tuple[float, ...]) -> Claims:
    if max(wrong) == 0:
        return
    held = most_wrong(measurements, wrong)
    for name, quantity, statement, source in (
        (
            "off after training",
            "test loss, left on",
            "Dropout left on after training costs test loss, whatever the keep.",
            "the notes; Srivastava 2014",
        ),
        (
            "the factor 1/p",
            "test loss, factor lost",
            "Training without the factor 1/p, and using all units then, costs test loss, whatever the keep.",
            "Srivastava 2014, section 4",
        ),
    ):
        cost = held[quantity] - held["test loss"]
        compared = paired({keep: cost[keep] for keep in cost if keep < 1}, "keep {keep:g}")
        yield Claim(name, statement, source, basis(wrong), "right and wrong use exchanged", compared, "at least")
    yield Claim(
        name="quieter hidden units",
        statement="The fewer units are kept in training, the smaller the mean activation of the hidden units after it.",
        source="Srivastava 2014, section 7.2",
        basis=basis(wrong),
        control="keep probabilities in reverse order",
        comparisons=rising(held["mean activation"]),
        test="at least",
    )


@figure("Dropout after training")
def misuse(regularized: Frame) -> Figure:
    """The test loss of the same trained networks, used as they should be (all units, no factor), with dropout left on,
    and as networks that were trained without the factor 1/p would be: all units at once give out 1/p times what the next
    layer is used to.
    """
    return beside_each_other(
        regularized, ("wrong", titles(regularized)), ("quantity", USES), ylabel="test loss (cross-entropy)"
    )


@figure("What becomes of the hidden units")
def activity(regularized: Frame) -> Figure:
    """Hidden units of the trained networks, all of them in use, on the test digits: their mean activation and the share
    that is above 0.
    """
    return beside_each_other(regularized, ("quantity", UNITS), ("wrong", titles(regularized)))
