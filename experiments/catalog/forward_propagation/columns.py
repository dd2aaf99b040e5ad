"""Do examples know of each other?

Another example is put into one column, and every layer's output is compared bit by bit; then the same with batch norm in between.
"""

import numpy as np
from matplotlib.patches import Rectangle

from experiments.compare.backends import backends
from experiments.lab import Claim, Cost, Lab, Shots, cells, claims, compare, each, figure, panels, stacked
from experiments.lab.types import Array, Claims, Figure, Frame
from scratch import BatchNorm, Job, Layer
from scratch.randomness import generator
from .shared import case, keep_worst, moved, network

BETWEEN: dict[str, tuple[Layer, ...]] = {"the notes' network": (), "with batch norm": (BatchNorm(),)}
PALE = "#F7DCC8"  # orange
Changes = dict[str, list[Array]]


def changes(lab: Lab, units: tuple[int, int], between: tuple[Layer, ...], x: Array, after: Array, seed: int) -> Changes:
    """By backend: |change| of every layer's output when x becomes ``after``."""
    old, new = (seen(lab, network(units, a, seed, *between), record=not between) for a in (x, after))
    return {name: [np.abs(b - a) for a, b in zip(old[name].outputs, new[name].outputs, strict=True)] for name in old}


def seen(lab: Lab, job: Job, record: bool) -> Shots:
    """The gradient of a bias below a batch norm is 0 in theory: there is nothing to agree on but its rounding, so that is not entered."""
    if record:
        return lab.look(job, lab.condition or "the notes' shapes")
    return {name: backend.snapshot(job) for name, backend in backends(lab.device).items()}


@cells(cost=Cost(0.1, 11))
def touched(lab: Lab, examples: int, seed: int, dtype: str) -> Frame:
    """|change| of every number of the notes' network, when the second example is another."""
    random = generator(seed, "touched")
    x = random.standard_normal((3, examples)).astype(dtype)
    axes = {"signal": ["z1, neuron 1", "z1, neuron 2", "a2 = ŷ"], "column": range(examples)}
    found = []
    for name, between in BETWEEN.items():
        moves = changes(lab, (2, 1), between, x, moved(x, 1, random), seed)
        found.append(lab.rows(moves, lambda layers: np.stack([*layers[0], *layers[-1]]), axes, network=name))
    keep_worst(lab)
    return stacked(found)


@cells(each(widest="widths"), cost=Cost(0.4, 13, {"widest": 2}))
def alone(lab: Lab, widest: int, trials: int, seed: int, dtype: str) -> Frame:
    """Random shapes: the most that anything changes elsewhere, the least in the column itself, and elsewhere with batch norm."""
    found = []
    for trial in range(trials):
        units, x, column, after = case(widest, trial, seed, dtype)
        plain, mixed = (changes(lab, units, between, x, after, trial) for between in BETWEEN.values())
        elsewhere = np.arange(x.shape[1]) != column
        found += [
            {
                "backend": backend,
                "widest": widest,
                "elsewhere": max(float(a[:, elsewhere].max()) for a in plain[backend]),
                "itself": min(float(a[:, column].max()) for a in plain[backend]),
                "mixed": float(mixed[backend][-1][:, elsewhere].max()),
            }
            for backend in plain
        ]
    keep_worst(lab)
    extremes = {"elsewhere": "max", "itself": "min", "mixed": "max"}
    return Frame(found).groupby(["backend", "widest"]).agg(extremes).reset_index()


@claims
def of_columns(alone: Frame) -> Claims:
    rows = alone.sort_values("widest", ascending=False, kind="stable")
    numbers = {"measured": rows.elsewhere, "predicted": 0.0, "standard_error": 0.0, "control_measured": rows.mixed}
    yield Claim(
        name="columns know nothing of each other",
        statement="Another example in one column changes that column of every layer's output; elsewhere not a single bit changes.",
        source="notes: each column is the output of 1 example",
        basis="The largest change elsewhere, in any layer and shape: exactly 0, as no operation mixes columns",
        control="the same with batch norm, whose mean is taken over the batch",
        comparisons=compare(rows, "up to {widest} units a layer", **numbers),
    )


@figure("One example changes one column")
def columns(touched: Frame) -> Figure:
    """How far each number of the notes' network moves when the second example is another one; white is exactly 0, and both
    implementations give the same picture. Left: only that example's own column moves. Right: with batch norm between, the others move
    as well, for a mean is taken over them all.
    """
    names = list(touched.network.unique())
    figure, axes = panels(names, width=3.9, height=1.5, share_y=True, margins=(1.25, 0.3, 0.65, 0.4))
    for ax, name in zip(axes, names, strict=True):
        one = touched[(touched.network == name) & (touched.backend == "scratch")]
        moves = one.pivot(index="signal", columns="column", values="value").reindex(index=one.signal.unique())
        for (i, j), value in np.ndenumerate(moves.to_numpy()):
            face = PALE if value else "white"
            ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=face, edgecolor="#999999", linewidth=0.8))
            ax.text(j, i, f"{value:.1g}" if value else "0", ha="center", va="center", fontsize=10)
        ax.set(xlim=(-0.5, moves.shape[1] - 0.5), ylim=(len(moves) - 0.5, -0.5), xlabel="example (column)")
        ax.set_xticks(range(moves.shape[1]), [str(j + 1) for j in moves.columns])
        ax.set_yticks(range(len(moves)), list(moves.index))
        ax.grid(False)
        ax.tick_params(length=0)
    return figure
