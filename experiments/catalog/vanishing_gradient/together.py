"""Do the two implementations do the same?

At the same parameters, in every network that any page looks at; and after each has trained alone.
"""

from typing import Any

from experiments.lab import COLOURS, MARKERS, Cost, Figure, Frame, Lab, cells, each, figure, panels
from scratch import initializers
from .shared import classifiers

DRIFTING = " xavier and he, depth 10"
TRACKED = 60  # steps over which the two implementations' parameters are followed


@cells(each(activation="activations"), makes=(), cost=Cost(2.5, 160))
def drift(lab: Lab, activation: str, train_width: int, train_steps: int, data: str, dtype: str) -> dict[str, Frame]:
    """How far the parameters of the two implementations drift apart while each trains alone."""
    steps, depth = min(TRACKED, train_steps), 10
    schemes = [initializers.by_name()[init] for init in ("xavier", "he")]
    looked_at = max(1, min(10, steps // 2))
    job = classifiers(activation, schemes, depth, train_width, steps, 1, data, dtype, looked_at)
    lab.follow(job, activation + DRIFTING)
    return {}


@figure("How well the two implementations agree")
def agreement(agreement: Frame) -> Figure:
    """Largest difference between scratch and torchref in units of the rounding bound; below 0.001 it is drawn there. Left:
    at the same parameters, by part and quantity; right: after each has trained alone for that many steps, networks of ten layers
    all the way, those of every other page at the start. Above the dashed line they would not agree.
    """
    figure, axes = panels(
        ["at the same parameters", "each trained alone"], width=4.6, height=2.9, margins=(0.9, 0.3, 1.0, 1.1)
    )
    pointwise, along = agreement[agreement.part != "trajectory"], agreement[agreement.part == "trajectory"]
    drifting = along.condition.str.extract(f"(.*){DRIFTING}$")[0]
    along = along.assign(activation=drifting.fillna("all others, at the start"))
    parts = list(pointwise.part.unique())
    for index, quantity in enumerate(pointwise.quantity.unique()):
        worst = pointwise[pointwise.quantity == quantity].groupby("part", sort=False).ratio.max()
        shift = (index - 2.5) * 0.11
        at = [parts.index(part) + shift for part in worst.index]
        look: Any = {"color": COLOURS[index % 8], "marker": MARKERS[index % 8]}
        axes[0].plot(at, worst.clip(lower=1e-3), label=quantity, markersize=5, linestyle="none", **look)
    axes[0].set_xticks(range(len(parts)), parts, rotation=30, ha="right")
    for index, activation in enumerate(along.activation.unique()):
        worst = along[along.activation == activation].groupby("step").ratio.max()
        look = {"color": COLOURS[index % 8], "marker": MARKERS[index % 8]}
        axes[1].plot(worst.index, worst.clip(lower=1e-3), markersize=4, label=activation, **look)
    axes[1].set_xlabel("steps")
    axes[0].set(yscale="log", ylim=(8e-4, 3), ylabel="difference / rounding bound")
    axes[0].set_yticks([1e-3, 1e-2, 1e-1, 1], ["0.001", "0.01", "0.1", "1"])
    axes[0].minorticks_off()
    for ax in axes:
        ax.axhline(1, color="#555555", linestyle="--", linewidth=1)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=3 if ax is axes[0] else 1)
    return figure
