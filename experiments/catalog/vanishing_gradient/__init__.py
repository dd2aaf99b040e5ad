"""Vanishing gradients: in deep networks the gradients in the lower layers are very small, y = w1 w2 … wn x.

Random products, deep linear networks, gradients and activations layer by layer for every depth, activation and init scheme, the
theory of wide and of narrow networks, what it costs in training, and what repairs it: weights, activations, batch norm, skip
connections. And the opposite: gradients that explode, with clipping; and inputs that all come to look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tyro.conf import arg

from experiments.experiment import Analysis, Cell, DataOptions, Plot, Tables, require_device
from experiments.options import Range
from experiments.work import Cost
from scratch import activations, initializers
from scratch.errors import unknown

TRACKED = 60  # steps over which the two implementations' parameters are followed
STALLS = 30  # layers from which Xavier's scheme is expected to stall with ReLU; at fewer both learn, He sooner
FEW = 5  # layers; so few need no repair: they learn, or not, whatever becomes of the gradient on its way
LEARNS = (-1.0, 3.0)  # powers of ten between which the first layer's gradient must lie, as a multiple of the last's
STUCK = (-4.0, 4.0)  # beyond these nothing is learned; between the two nothing is claimed: it is a matter of patience
REPAIRS = {  # one thing changed at a time, beginning from "standard" weights; with batch norm weights do not matter
    "plain": ("standard", "xavier", "he"),
    "batch norm": ("standard", "he"),
    "skip": ("standard", "he"),
    "skip/√L": ("standard", "he"),
}
TRAINED = {
    "plain": ("standard", "he"),
    "batch norm": ("standard",),
    "skip": ("standard", "he"),
    "skip/√L": ("he",),
}

REPAIRED = {  # what the figures call them: kind and weights
    "standard weights": ("plain", "standard"),
    "He's weights": ("plain", "he"),
    "batch norm": ("batch norm", "standard"),
    "skip": ("skip", "standard"),
    "skip, He": ("skip", "he"),
    "skip/√L, He": ("skip/√L", "he"),
}


@dataclass(frozen=True)
class Options(DataOptions):
    """Vanishing gradients: from the product of weights to networks that do not train and what repairs them, with the theory."""

    depths: Annotated[
        tuple[int, ...], Range(1, 1000), arg(help="hidden layers of the networks whose signals are measured")
    ] = (
        2,
        5,
        10,
        20,
        30,
    )
    activations: Annotated[tuple[str, ...], arg(help="any of: " + ", ".join(activations.by_name()))] = (
        "sigmoid",
        "tanh",
        "relu",
    )
    inits: Annotated[tuple[str, ...], arg(help="any of: " + ", ".join(initializers.by_name()))] = (
        "small_normal",
        "standard",
        "lecun",
        "xavier",
        "he",
        "notes",
    )
    width: Annotated[int, Range(5, 4096), arg(help="units in each hidden layer of those networks")] = 128
    wide: Annotated[
        int, Range(1, 10_000), arg(help="units of the wide tanh networks whose depth scale is measured")
    ] = 300
    seeds: Annotated[int, Range(2, 10_000), arg(help="how many seeds, counted from 0")] = 10
    draws: Annotated[
        int,
        Range(1000, 10**8),
        arg(help="random products of which the exact laws are taken; small networks in proportion"),
    ] = 20_000
    train_depths: Annotated[tuple[int, ...], Range(1, 1000), arg(help="layers of the networks that are trained")] = (
        5,
        10,
        30,
    )
    train_steps: Annotated[int, Range(1, 10**6), arg(help="steps for which every combination is trained")] = 40
    race_depths: Annotated[
        tuple[int, ...], Range(1, 1000), arg(help="layers at which He is raced against Xavier, ReLU")
    ] = (22, 30)
    race_steps: Annotated[int, Range(1, 10**6), arg(help="steps of that race")] = 450
    train_width: Annotated[int, Range(1, 4096), arg(help="units in each hidden layer of the trained networks")] = 64
    train_seeds: Annotated[int, Range(2, 1000), arg(help="seeds of the trained networks")] = 2
    race_seeds: Annotated[int, Range(2, 1000), arg(help="seeds of the race")] = 3
    repair_steps: Annotated[
        int, Range(1, 10**6), arg(help="steps for which repaired networks of the largest --train-depths train")
    ] = 100
    repair_seeds: Annotated[int, Range(2, 1000), arg(help="seeds of the repaired networks that train")] = 5
    repair_width: Annotated[int, Range(1, 4096), arg(help="units in each of their hidden layers")] = 32
    device: Annotated[str, arg(help="where PyTorch computes: cpu, cuda or mps")] = "cpu"
    dtype: Annotated[
        Literal["float64", "float32"], arg(help="float64 to compare, float32 to see rounding and underflow")
    ] = "float64"

    def __post_init__(self) -> None:
        super().__post_init__()
        for known, chosen, kind in (
            (activations.by_name(), self.activations, "activation"),
            (initializers.by_name(), self.inits, "init scheme"),
        ):
            for name in chosen:
                if name not in known:
                    raise unknown(kind, name, known)


QUICK = Options(
    depths=(10,),
    activations=("sigmoid", "relu"),
    inits=("standard", "he", "notes"),
    width=48,
    wide=80,
    seeds=6,
    draws=1000,
    train_depths=(5,),
    train_steps=4,
    race_depths=(6,),
    race_steps=30,
    repair_steps=16,
    repair_seeds=2,
    repair_width=24,
)

COSTS = {  # of the largest cell of each part at the default options: seconds and megabytes
    "product": Cost(0.24, 30),
    "linear": Cost(0.93, 350),
    "dead": Cost(1.2, 560),
    "narrow": Cost(0.42, 220),
    "ratio": Cost(0.58, 150),
    "depth scale": Cost(1.2, 550),
    "signals": Cost(0.46, 240),
    "trajectory": Cost(2.5, 160),
    "training": Cost(3.6, 220),
    "exploding": Cost(2.6, 660),
    "lookalike": Cost(0.82, 450),
    "clipping": Cost(7.5, 140),
    "repairs": Cost(1.5, 660),
    "mended": Cost(5.1, 130),
    "race": Cost(19, 190),
}


def cells(options: Options) -> list[Cell]:
    """The short ones first: whoever runs them in parallel begins from the end."""
    options.dataset()  # both raise here, before any work
    require_device(options.device, options.dtype)
    where = {"device": options.device, "dtype": options.dtype}
    data = where | {"data": options.source}
    found = [Cell("product", where | {"depth": 20, "draws": options.draws})]
    found += [Cell("linear", where | {"init": init, "draws": options.draws // 10}) for init in ("lecun", "orthogonal")]
    found += [
        Cell("dead", where | {"width": n, "depth": depth, "draws": options.draws})
        for n, depth in ((2, 3), (3, 5), (5, 20))
    ]
    found += [Cell("narrow", where | {"draws": options.draws // 4})]
    found += [Cell("ratio", data | {"depths": [2, 10, 30], "seeds": options.seeds})]
    scale = data | {"width": options.wide, "seeds": min(8, options.seeds)}
    found += [Cell("depth scale", scale | {"sigma_w2": sigma_w2}) for sigma_w2 in (1.3, 2.5)]
    shared = data | {"width": options.width, "seeds": options.seeds}
    for depth in sorted(options.depths):
        for activation in options.activations:
            found += [
                Cell("signals", shared | {"depth": depth, "activation": activation, "init": init})
                for init in options.inits
            ]
    trained = data | {"width": options.train_width}
    for activation in options.activations:
        found += [
            Cell(
                "trajectory",
                trained | {"activation": activation, "depth": 10, "steps": min(TRACKED, options.train_steps)},
            )
        ]
    # once only what is the same, see the claim, or has the same variance where layers are equally wide
    same = {"notes": "he", "lecun": "xavier"}
    inits = [init for init in options.inits if same.get(init) not in options.inits]
    for depth in sorted(options.train_depths):
        run = trained | {"depth": depth, "steps": options.train_steps, "seeds": options.train_seeds}
        found += [
            Cell("training", run | {"activation": activation, "inits": inits}) for activation in options.activations
        ]
    found += repair_cells(options, where)
    race = trained | {"activation": "relu", "inits": ["xavier", "he"], "seeds": options.race_seeds}
    found += [Cell("race", race | {"depth": n, "steps": options.race_steps}) for n in sorted(options.race_depths)]
    return found


def repair_cells(options: Options, where: dict[str, Any]) -> list[Cell]:
    """Exploding gradients, inputs that come to look alike, and for each activation one repair at a time, measured and trained."""
    wide = where | {"width": options.width, "seeds": options.seeds}
    found = [
        Cell("exploding", wide | {"factors": [2.0, 4.0], "depths": sorted(options.depths)}),
        Cell("lookalike", wide | {"seeds": 4 * options.seeds}),
    ]
    trained = where | {"data": options.source, "width": options.repair_width}
    trained |= {"steps": options.repair_steps, "seeds": options.repair_seeds}
    found += [Cell("clipping", trained | {"seeds": options.seeds})]
    each = [(activation, kind) for activation in options.activations for kind in REPAIRS]
    for activation, kind in each:
        settings = {"kind": kind, "activation": activation, "inits": list(REPAIRS[kind])}
        found += [Cell("repairs", wide | settings | {"depth": max(options.depths)})]
    for activation, kind in each if max(options.train_depths) > FEW else []:
        settings = {"kind": kind, "activation": activation, "inits": list(TRAINED[kind])}
        found += [Cell("mended", trained | settings | {"depth": max(options.train_depths)})]
    return found


def measure(cell: Cell) -> Tables:
    from experiments.catalog.vanishing_gradient.parts import PARTS

    return PARTS[cell.part](**cell.settings)


def analyse(tables: Tables, options: Options) -> Analysis:
    from experiments.catalog.vanishing_gradient.analysis import analyse

    return analyse(tables, options)


def figures(tables: Tables) -> list[Plot]:
    from experiments.catalog.vanishing_gradient.pictures import figures

    return figures(tables)
