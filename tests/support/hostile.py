"""Hostile and odd inputs: what is handed over, and what scratch, torchref and PyTorch alone make of it.

    python tests/support/hostile.py

writes docs/hostile_inputs.md from running every case; test_hostile.py holds all three to what the table declares.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import helpers
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import scratch as s
from experiments.lab.store import write
from scratch import training as ours
from scratch.layers import Array
from scratch.randomness import generator
from torchref import training as theirs

PAGE = Path(__file__).parents[2] / "docs" / "hostile_inputs.md"
Fields = dict[str, Any]  # a job's, with x and y for its data
Shot = dict[str, Array]

# ---- right input, which every case changes in one place

F, K, M = 4, 3, 5  # features, classes, examples: nothing fits by chance
RANDOM = generator(0, "hostile")
X, LABELS, NUMBERS = RANDOM.standard_normal((F, M)), np.array([0, 2, 1, 1, 0]), RANDOM.standard_normal((K, M))
SOFT = np.abs(NUMBERS) / np.abs(NUMBERS).sum(0)
LAYERS = (s.Dense(6), s.Tanh(), s.Dense(K))
STEPS = np.array([[0, 1, 2], [4, 3, 0], [2, 4, 1]])  # two updates, and a last look
ALL = (0, 1, 2)


def start(layers: tuple = LAYERS, leading: tuple[int, ...] = (), features: int = F, dtype: str = "f8") -> tuple:
    return helpers.parameters(layers, leading, dtype, features)


def with_w(w: Any, **changes: Any) -> Fields:
    """The right parameters, but for the first layer's W."""
    first, *rest = start()
    return {"parameters": (first | {"W": w}, *rest), **changes}


def layered(*layers: Any, **changes: Any) -> Fields:
    return {"layers": layers, "parameters": start(layers, features=len(changes.get("x", X))), **changes}


def trained(**changes: Any) -> Fields:
    return {"batches": STEPS, "snapshots": ALL, **changes}


def spoilt(array: Array, value: float) -> Array:
    array = array.copy()
    array[1, 2] = value
    return array


W = start()[0]["W"]
RIGHT: Fields = {
    "layers": LAYERS,
    "loss": s.CrossEntropy(),
    "parameters": start(),
    "x": X,
    "y": LABELS,
    "batches": None,
    "snapshots": (0,),
    "optimizer": s.SGD(0.1, 0.9),
    "runs": 1,  # how often the same job is run
}

# ---- what each of the three makes of it


@dataclass(frozen=True)
class Outcome:
    """Snapshots as named arrays, or what was raised instead."""

    shots: list[Shot] = field(default_factory=list)
    error: Exception | None = None

    @property
    def kind(self) -> str:
        if self.error:
            return (
                f"refused: {self.error}"
                if isinstance(self.error, s.InvalidInput)
                else f"raises {type(self.error).__name__}"
            )
        return "computes" if all(np.isfinite(a).all() for shot in self.shots for a in shot.values()) else "NaN or ∞"


def outcome(run: Callable[[], list[Shot]]) -> Outcome:
    """Whatever comes of ``run``; warnings of overflow are part of the game."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Outcome(run())
    except Exception as error:
        return Outcome(error=error)


def by_job(backend: ModuleType, fields: Fields) -> list[Shot]:
    """One of this library's backends: the snapshots of a training, or a single look where there are no batches."""
    given = {"data": s.Batch(fields["x"], fields["y"])} | fields
    job = s.Job(**{name: value for name, value in given.items() if name not in ("x", "y", "runs")})
    held = content(fields)
    looks = [backend.train(job) if job.batches is not None else (backend.snapshot(job),) for _ in range(fields["runs"])]
    shots = [dict(helpers.arrays(shot)) for look in looks for shot in look]
    assert content(fields) == held, "an array that was handed over has changed"
    return shots


def content(fields: Fields) -> list[bytes]:
    """Every byte of the arrays that were handed over."""
    named = [a for layer in (*fields["parameters"], *fields.get("buffers", ())) for a in layer.values()]
    return [a.tobytes() for a in (fields["x"], fields["y"], fields["batches"], *named) if isinstance(a, np.ndarray)]


MODULES: dict[type, Callable[[Any, int], nn.Module]] = {
    s.Dense: lambda layer, n: nn.Linear(n, layer.units, layer.bias),
    s.Tanh: lambda layer, n: nn.Tanh(),
    s.Identity: lambda layer, n: nn.Identity(),
    s.LogSoftmax: lambda layer, n: nn.LogSoftmax(-1),
    s.Sigmoid: lambda layer, n: nn.Sigmoid(),
    s.Dropout: lambda layer, n: nn.Dropout(layer.rate),
    s.BatchNorm: lambda layer, n: nn.BatchNorm1d(n, layer.eps, layer.momentum, layer.affine).train(not layer.running),
    s.LayerNorm: lambda layer, n: nn.LayerNorm(n, layer.eps, layer.affine),
}
CRITERIA: dict[type, Callable[[Any], nn.Module]] = {
    s.CrossEntropy: lambda loss: nn.CrossEntropyLoss(ignore_index=loss.ignore_index),
    s.NegativeLogLikelihood: lambda loss: nn.NLLLoss(ignore_index=loss.ignore_index),
    s.SquaredError: lambda loss: nn.MSELoss(),
    s.BinaryCrossEntropy: lambda loss: nn.BCEWithLogitsLoss(),
    s.BinaryCrossEntropyFromProbabilities: lambda loss: nn.BCELoss(),
}


def tensor(array: Any) -> Any:
    """torch.from_numpy, with its refusals; what is no NumPy array goes on as it is."""
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else array


def rows(array: Any) -> Any:
    """An example a row: columns of numbers turned round, labels as PyTorch wants them."""
    given = tensor(array)
    if not isinstance(given, Tensor):
        return given
    return given.mT if given.ndim > 1 else given if given.is_floating_point() else given.long()


def by_torch(fields: Fields) -> list[Shot]:
    """torch.nn and torch.optim alone, as one would write it down; a stack is a loop over its networks."""
    stacks = [np.shape(a)[:-2] for named in fields["parameters"] for a in named.values()] or [
        np.shape(fields["x"])[:-2]
    ]
    if not any(stacks):
        return [shot for _ in range(fields["runs"]) for shot in Plain(fields).train()]
    members = [Plain(fields | _member(fields, n)).train() for n in range(stacks[0][0])]
    return [
        {name: np.stack([shot[name] for shot in shots]) for name in shots[0]} for shots in zip(*members, strict=True)
    ]


def _member(fields: Fields, n: int) -> Fields:
    """What network ``n`` of the stack is given."""
    x, y, batches = fields["x"], fields["y"], fields["batches"]
    return {
        "parameters": tuple({name: a[n] for name, a in named.items()} for named in fields["parameters"]),
        "buffers": tuple({name: a[n] for name, a in named.items()} for named in fields.get("buffers", ())),
        "x": x[n % len(x)] if x.ndim > 2 else x,
        "y": y[n] if y.ndim > (1 if y.dtype.kind in "iu" else 2) else y,
        "batches": batches[:, n] if batches is not None and batches.ndim > 2 else batches,
    }


class Plain:
    """One network of torch.nn modules with parameters of its own; an array that two layers share is one nn.Parameter."""

    def __init__(self, fields: Fields) -> None:
        self.fields, self.x, self.y = fields, rows(fields["x"]), rows(fields["y"])
        self.model, self.held, tied = nn.ModuleList(), {}, {}
        width = np.shape(fields["x"])[-2] if np.ndim(fields["x"]) == 2 else F
        for k, (layer, named) in enumerate(zip(fields["layers"], fields["parameters"], strict=True)):
            self.model.append(MODULES[type(layer)](layer, width).double())
            for name, array in named.items():
                value = tensor(array) if name == "W" else tensor(array)[..., 0]
                parameter = tied.setdefault(id(array), nn.Parameter(copy.deepcopy(value)))
                setattr(self.model[-1], "weight" if name in ("W", "gamma") else "bias", parameter)
                self.held[f"{k} {name}"] = parameter
            width = layer.width(width)
        for module, named in zip(self.model, fields.get("buffers") or (), strict=False):
            for name, array in named.items():
                getattr(module, name).copy_(tensor(array)[..., 0].squeeze())
        self.criterion = CRITERIA[type(fields["loss"])](fields["loss"])

    def train(self) -> list[Shot]:
        rule, shots = self.fields["optimizer"], []
        held = list(self.model.parameters())
        optimizer = torch.optim.SGD(held, rule.learning_rate, rule.momentum) if held else None
        for number, chosen in enumerate([None] if self.fields["batches"] is None else self.fields["batches"]):
            picked = ... if chosen is None else tensor(chosen)
            shot = self.step(self.x[picked], self.y[picked]) if chosen is not None else self.step(self.x, self.y)
            shots += [shot] if number in self.fields["snapshots"] else []
            if optimizer:
                optimizer.step()
        return shots

    def step(self, x: Tensor, y: Tensor) -> Shot:
        """Everything that a snapshot shows and PyTorch has as well, before the update."""
        settled, a = copy.deepcopy(self.model).eval(), x
        shot = {f"scores {name}": chain(settled, rows(d.x)).mT for name, d in self.fields.get("evaluate", {}).items()}
        norms = [(k, module) for k, module in enumerate(self.model) if isinstance(module, nn.BatchNorm1d)]
        shot |= {f"buffers {k} mean": module.running_mean.clone()[:, None] for k, module in norms}
        shot |= {f"buffers {k} variance": module.running_var.clone()[:, None] for k, module in norms}
        self.model.zero_grad()
        a = chain(self.model, x)
        value = self.criterion(a, y)
        if value.requires_grad:
            value.backward()
        shot |= {"loss": value, f"outputs {len(self.model) - 1}": a.mT}
        for name, tensor in self.held.items():
            column = ... if name.endswith("W") else (..., None)
            shot |= {f"parameters {name}": tensor[column].clone(), f"gradients {name}": tensor.grad[column].clone()}
        return {name: tensor.detach().numpy() for name, tensor in shot.items()}


def chain(model: nn.ModuleList, x: Tensor) -> Tensor:
    for module in model:
        x = module(x)
    return x


def same(one: list[Shot], other: list[Shot]) -> str:
    """The first thing in which the snapshots differ by more than rounding, or nothing; only what both have is compared.

    A hundred roundings of the largest number of its kind: the sums are short, and what cancels (the gradient of a bias below
    batch norm) carries the rounding of what it cancels from.
    """
    if len(one) != len(other):
        return f"{len(one)} snapshots against {len(other)}"
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        for name in sorted(a.keys() & b.keys()):
            alike = [array for key, array in b.items() if key.partition(" ")[0] == name.partition(" ")[0]]
            if not _near(a[name], b[name], max(np.abs(array[np.isfinite(array)]).max(initial=0) for array in alike)):
                return f"snapshot {number}: {name}"
    return ""


def _near(a: Array, b: Array, size: float) -> bool:
    """Finite at the same places, and near there; a sum that overflows is ∞ or NaN as its order will have it."""
    finite, kind = np.isfinite(b), np.finfo(b.dtype)
    if a.dtype != b.dtype or a.shape != b.shape or (np.isfinite(a) != finite).any():
        return False
    room = 100 * (kind.eps * size + kind.smallest_subnormal)
    return bool((np.abs(a[finite] - b[finite]) <= room).all() and (np.isnan(a) | np.isnan(b) | (a == b))[~finite].all())


# ---- the cases


@dataclass(frozen=True)
class Case:
    """What is handed over, and what is declared to come of it.

    ``make`` gives the fields that differ from RIGHT, anew for each use. ``here``: "computes", "NaN or ∞", or the first words of
    the refusal. ``torch``: "same" as scratch, "raises TypeError", "NaN or ∞", "computes: …" where scratch refuses and "otherwise: …"
    where it computes something else, in own words; ``like`` are fields of which scratch computes just that. ``plain`` stands for
    the modules where a job has no equal among them.
    """

    given: str
    make: Callable[[], Fields]
    here: str = "computes"
    torch: str = "same"
    like: Callable[[], Fields] | None = None
    plain: Callable[[], Any] | None = None
    torchref: str = ""  # where it does otherwise than scratch
    differ: bool = False  # whether it computes what PyTorch computes, and scratch does not

    def fields(self) -> Fields:
        return RIGHT | self.make()

    @property
    def expected(self) -> str:
        """The kind of scratch's outcome, or how it begins."""
        return self.here if self.here in ("computes", "NaN or ∞") else f"refused: {self.here}"


@cache
def results(case: Case) -> tuple[Outcome, Outcome, Outcome]:
    """What scratch, torchref and PyTorch alone make of it."""
    mine, twin = (outcome(lambda backend=backend: by_job(backend, case.fields())) for backend in (ours, theirs))
    return (
        mine,
        twin,
        outcome(lambda: [{"result": np.asarray(case.plain())}] if case.plain else by_torch(case.fields())),
    )


def wrong(case: Case) -> list[str]:
    """Every point in which the declaration does not hold."""
    mine, twin, plain = results(case)
    found = [] if mine.kind.startswith(case.expected) else [f"scratch: {mine.kind}"]
    if not twin.kind.startswith(case.torchref or case.expected):
        found.append(f"torchref: {twin.kind}")
    if not (mine.error or twin.error) and bool(same(mine.shots, twin.shots)) != case.differ:
        found.append(f"torchref against scratch: {same(mine.shots, twin.shots) or 'no difference'}")
    return found + wrong_torch(case, mine, plain)


def wrong_torch(case: Case, mine: Outcome, plain: Outcome) -> list[str]:
    kind, _, words = case.torch.partition(":")
    if kind in ("same", "otherwise"):
        difference = plain.kind if plain.error else same(mine.shots, plain.shots)
        return (
            [f"PyTorch against scratch: {difference or 'no difference'}"]
            if bool(difference) != (kind != "same") or plain.error
            else []
        )
    like = outcome(lambda: by_job(ours, RIGHT | case.like())) if case.like else plain
    if plain.kind != kind or (case.like and like.error):
        return [f"PyTorch: {plain.kind}", f"like: {like.kind}"]
    return [f"PyTorch against{words}: {same(like.shots, plain.shots)}"] if same(like.shots, plain.shots) else []


def strided(array: Array) -> Array:
    """The same numbers with gaps between them."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


def read_only(array: Array) -> Array:
    array = array.copy()
    array.flags.writeable = False
    return array


def everywhere(change: Callable[[Array], Array], **more: Any) -> Fields:
    """X, Y and every parameter in another form."""
    changed = tuple({name: change(a) for name, a in named.items()} for named in start())
    return {"x": change(X), "y": change(NUMBERS), "parameters": changed, "loss": s.SquaredError(), **more}


def squared(**changes: Any) -> Fields:
    return {"loss": s.SquaredError(), "y": NUMBERS, **changes}


def stacked(leading: tuple[int, ...] = (2,), **changes: Any) -> Fields:
    return {"parameters": start(leading=leading), **changes}


def two_stacks() -> Fields:
    one, *rest = start(leading=(2,))
    return {"parameters": (one, *rest[:-1], start(leading=(3,))[-1])}


def dropped(mask: Any, rate: float = 0.5, **changes: Any) -> Fields:
    return layered(s.Dropout(rate), s.Dense(K), noise=lambda _: ({"mask": mask}, {}), **changes)


def shared(copied: Callable[[Array], Array] = lambda a: a) -> Fields:
    """A square layer twice, with the same arrays or with copies of them."""
    w, b = generator(0, "shared").standard_normal((F, F)), np.zeros((F, 1))
    parameters = ({"W": w, "b": b}, {}, {"W": copied(w), "b": copied(b)})
    return squared(layers=(s.Dense(F), s.Tanh(), s.Dense(F)), parameters=parameters, y=X + 1, **trained())


def linear(w: Array = W[:K], **changes: Any) -> Fields:
    return {"layers": (s.Dense(K),), "parameters": ({"W": w, "b": np.zeros((K, 1))},), **changes}


def normed(norm: Any, **changes: Any) -> Fields:
    return layered(s.Dense(6), norm, s.Dense(K), **changes)


def first_normed(norm: Any, x: Array, **changes: Any) -> Fields:
    return layered(norm, s.Dense(K), x=x, **changes)


def spoilt_label(label: int) -> Array:
    return np.array([0, 2, label, 1, 0])


def as_type(dtype: str) -> Callable[[Array], Array]:
    return lambda a: a.astype(dtype)


def nobody() -> Fields:
    return {"parameters": tuple({name: a[:0] for name, a in named.items()} for named in start(leading=(1,)))}


def counted(*counts: Any) -> Fields:
    """Two networks whose batch norm has seen so many batches."""
    statistics = {
        "running_mean": np.zeros((2, 6, 1)),
        "running_var": np.ones((2, 6, 1)),
        "num_batches_tracked": np.array(counts),
    }
    return {"layers": TWO, "parameters": start(TWO, (2,)), "buffers": ({}, statistics, {}), **trained()}


def vmapped(one: int, other: int) -> Any:
    """What torch.vmap makes of stacks of so many."""
    return torch.vmap(nn.functional.linear)(torch.zeros(one, M, F), torch.zeros(other, K, F))


LINEAR = nn.Linear(F, K).double()

NO_ARRAY = "X and Y must be NumPy arrays, got"
NO_FLOAT = "X must be floating point (…, features, examples), got"
NO_TYPE = "X must be float32 or float64 in this machine's byte order, got"
NO_TARGET = "Y must be integer labels or of X's type float64, got"
FIRST = "layer 0 (Dense(units=6, bias=True)):"
FLAT = np.broadcast_to(np.round(4 * X[:, :1]) / 4, (F, M))  # every example the same; sums of quarters are exact
EVEN = np.broadcast_to(np.round(4 * X[:1]) / 4, (F, M))  # every feature the same
ONE = s.Batch(X[:, :1], LABELS[:1])
TWO = (s.Dense(6), s.BatchNorm(momentum=None), s.Dense(K))
WIDE = 3000  # classes
MASKS = np.array([[True] * M, [False] * M, [True] * M, [True] * M])

# fmt: off
GROUPS: dict[str, tuple[str, list[Case]]] = {
    "What kind of numbers": (
        "X and the parameters are float32 or float64, all of one type, as are targets that are no labels. Nothing is converted unasked.",
        [
            Case("X of integers", lambda: {"x": X.astype(int)}, f"{NO_FLOAT} int64", "raises RuntimeError"),
            Case("X of Booleans", lambda: {"x": X > 0}, f"{NO_FLOAT} bool", "raises RuntimeError"),
            Case("X of Python objects", lambda: {"x": X.astype(object)}, f"{NO_FLOAT} object", "raises TypeError"),
            Case("X of complex numbers", lambda: {"x": X.astype(complex)}, f"{NO_FLOAT} complex128", "raises RuntimeError"),
            Case("X of strings", lambda: {"x": X.astype(str)}, f"{NO_FLOAT} <U", "raises TypeError"),
            Case("X in float16", lambda: {"x": X.astype("f2")}, f"{NO_TYPE} float16", "raises RuntimeError"),
            Case("X, Y and parameters in float16", lambda: everywhere(as_type("f2")), f"{NO_TYPE} float16", "computes: in float16"),
            Case("X in long double", lambda: {"x": X.astype(np.longdouble)}, NO_TYPE, "raises TypeError"),
            Case("X in the other byte order", lambda: {"x": X.astype(">f8")}, f"{NO_TYPE} >f8", "raises ValueError"),
            Case("X in float32, parameters in float64", lambda: {"x": X.astype("f4")}, "layer 0: W is float64, but the data is float32",
                 "raises RuntimeError"),
            Case("X and parameters in float32", lambda: {"x": X.astype("f4"), "parameters": start(dtype="f4")}),
            Case("W of integers", lambda: with_w(W.astype(int)), "layer 0: W is int64", "raises RuntimeError"),
            Case("W of Booleans", lambda: with_w(W > 0), "layer 0: W is bool", "raises RuntimeError"),
            Case("W of Python objects", lambda: with_w(W.astype(object)), "layer 0: W is object", "raises TypeError"),
            Case("W in float16", lambda: with_w(W.astype("f2")), "layer 0: W is float16", "raises RuntimeError"),
            Case("W of complex numbers", lambda: with_w(W.astype(complex)), "layer 0: W is complex128", "raises RuntimeError"),
            Case("W in long double", lambda: with_w(W.astype(np.longdouble)), "layer 0: W is", "raises TypeError"),
            Case("W in the other byte order", lambda: with_w(W.astype(">f8")), "layer 0: W is >f8", "raises ValueError"),
            Case("labels of type uint8", lambda: {"y": LABELS.astype("u1")}),
            Case("labels in the other byte order", lambda: {"y": LABELS.astype(">i4")}, torch="raises ValueError"),
            Case("labels as floating point", lambda: {"y": LABELS.astype(float)}, "Y must be (…, 3, m)", "raises RuntimeError"),
            Case("labels as Booleans", lambda: {"y": LABELS > 0}, f"{NO_TARGET} bool", "computes: as labels 0 and 1",
                 lambda: {"y": (LABELS > 0).astype(int)}),
            Case("Y of Python objects", lambda: squared(y=NUMBERS.astype(object)), f"{NO_TARGET} object", "raises TypeError"),
            Case("Y in float32, X in float64", lambda: squared(y=NUMBERS.astype("f4")), f"{NO_TARGET} float32",
                 "computes: with Y rounded to float32", lambda: squared(y=NUMBERS.astype("f4").astype("f8"))),
            Case("Y in float16", lambda: squared(y=NUMBERS.astype("f2")), f"{NO_TARGET} float16", "computes: with Y rounded to float16",
                 lambda: squared(y=NUMBERS.astype("f2").astype("f8"))),
            Case("Y of complex numbers", lambda: squared(y=NUMBERS.astype(complex)), f"{NO_TARGET} complex128",
                 "raises NotImplementedError"),
            Case("Y in long double", lambda: squared(y=NUMBERS.astype(np.longdouble)), NO_TARGET, "raises TypeError"),
        ],
    ),
    "How the numbers lie in memory": (
        "Order, gaps and protection do not matter, and nothing that was handed over is written to.",
        [
            Case("everything in Fortran's order", lambda: everywhere(np.asfortranarray)),
            Case("everything read-only", lambda: everywhere(read_only, **trained())),
            Case("everything with gaps (strided)", lambda: everywhere(strided, **trained())),
            Case("everything reversed (negative strides)", lambda: everywhere(lambda a: a[::-1]), torch="raises ValueError"),
            Case("X of one example, broadcast (stride 0)", lambda: {"x": FLAT}),
            Case("W of one row, broadcast (stride 0)", lambda: with_w(np.broadcast_to(W[:1], W.shape), **trained()),
                 torch="raises RuntimeError"),
            Case("Y of one row, broadcast (stride 0)", lambda: squared(y=np.broadcast_to(NUMBERS[:1], (K, M)))),
            Case("X and Y the same memory", lambda: layered(s.Dense(F), loss=s.SquaredError(), y=X, **trained())),
            Case("two layers share their arrays: each learns its own copy", shared,
                 torch="otherwise: a shared nn.Parameter learns from both"),
            Case("two layers hold equal arrays", lambda: shared(np.copy)),
        ],
    ),
    "Other containers": (
        "NumPy arrays are taken, and nothing else: what behaves like one may multiply otherwise (matrix) or hide numbers (masked array).",
        [
            Case("X as nested lists", lambda: {"x": X.tolist()}, f"{NO_ARRAY} list", "raises TypeError"),
            Case("X as a masked array", lambda: {"x": np.ma.MaskedArray(X, X > 1)}, f"{NO_ARRAY} MaskedArray",
                 "computes: does not see the mask", dict),
            Case("X as np.matrix", lambda: {"x": np.asmatrix(X)}, f"{NO_ARRAY} matrix", "computes: as of an array", dict),
            Case("X as a pandas DataFrame", lambda: {"x": pd.DataFrame(X)}, f"{NO_ARRAY} DataFrame", "raises TypeError"),
            Case("X as a torch tensor", lambda: {"x": torch.tensor(X)}, f"{NO_ARRAY} Tensor", "computes: its own kind", dict),
            Case("Y as a list", lambda: {"y": LABELS.tolist()}, f"{NO_ARRAY} ndarray and list", "raises TypeError"),
            Case("Y as a pandas Series", lambda: {"y": pd.Series(LABELS)}, f"{NO_ARRAY} ndarray and Series", "raises TypeError"),
            Case("Y as a masked array", lambda: squared(y=np.ma.MaskedArray(NUMBERS, NUMBERS > 0)), f"{NO_ARRAY} ndarray and MaskedArray",
                 "computes: does not see the mask", squared),
            Case("W as nested lists", lambda: with_w(W.tolist()), f"{FIRST} W must be a NumPy array, got list", "raises TypeError",
                 plain=lambda: nn.functional.linear(torch.ones(1, F), W.tolist())),
            Case("W as np.matrix", lambda: with_w(np.asmatrix(W)), f"{FIRST} W must be a NumPy array, got matrix",
                 "computes: as of an array", dict),
            Case("W as a masked array", lambda: with_w(np.ma.MaskedArray(W, W > 0)), f"{FIRST} W must be a NumPy array, got MaskedArray",
                 "computes: does not see the mask", dict),
            Case("W as a torch tensor", lambda: with_w(torch.tensor(W)), f"{FIRST} W must be a NumPy array, got Tensor",
                 "computes: its own kind", dict),
            Case("the data as a pair (X, Y)", lambda: {"data": (X, LABELS)}, "Job(data): must be of the kind Batch, got tuple",
                 "raises TypeError", plain=lambda: LINEAR((X, LABELS))),
            Case("the parameters as a single dict", lambda: layered(s.Dense(K), parameters=with_w(W)["parameters"][0]),
                 "Job(parameters): must be a tuple (a dict, …), got dict", "computes: a state_dict is one",
                 plain=lambda: LINEAR.load_state_dict(LINEAR.state_dict()) and 0.0),
            Case("a layer's parameters as a list", lambda: layered(s.Dense(K), parameters=([W, W],)),
                 "Job(parameters[0]): must be a dict, got list", "raises TypeError",
                 plain=lambda: LINEAR.load_state_dict([W, W])),
            Case("layers as a list", lambda: {"layers": list(LAYERS)}),
            Case("the class Tanh for a layer", lambda: {"layers": (s.Dense(6), s.Tanh, s.Dense(K))},
                 "Job(layers[1]): must be of the kind Layer, got the class Tanh", "raises TypeError",
                 plain=lambda: nn.Sequential(nn.Tanh)),
            Case("the class CrossEntropy for the loss", lambda: {"loss": s.CrossEntropy},
                 "Job(loss): must be of the kind Loss, got the class CrossEntropy", "raises RuntimeError",
                 plain=lambda: nn.CrossEntropyLoss(torch.zeros(2, 3), torch.zeros(2))),
            Case("the class SGD for the optimizer", lambda: {"optimizer": s.SGD},
                 "Job(optimizer): must be of the kind Optimizer, got the class SGD", "raises TypeError",
                 plain=lambda: torch.optim.SGD.zero_grad()),
        ],
    ),
    "Values": (
        "NaN and infinity are refused in the data. In parameters they are let through: a training that diverged can be looked at.",
        [
            Case("NaN in X", lambda: {"x": spoilt(X, np.nan)}, "X holds nan at (1, 2): every number must be finite", "NaN or ∞"),
            Case("∞ in X", lambda: {"x": spoilt(X, np.inf)}, "X holds inf at (1, 2)", "NaN or ∞"),
            Case("−∞ in X", lambda: {"x": spoilt(X, -np.inf)}, "X holds -inf at (1, 2)", "NaN or ∞"),
            Case("NaN in Y", lambda: squared(y=spoilt(NUMBERS, np.nan)), "Y holds nan at (1, 2)", "NaN or ∞"),
            Case("∞ in Y", lambda: squared(y=spoilt(NUMBERS, np.inf)), "Y holds inf at (1, 2)", "NaN or ∞"),
            Case("NaN in W", lambda: with_w(spoilt(W, np.nan)), "NaN or ∞"),
            Case("∞ in W, under tanh", lambda: with_w(spoilt(W, np.inf)), "NaN or ∞"),
            Case("−∞ in W of a linear network", lambda: linear(spoilt(W[:K], -np.inf)), "NaN or ∞"),
            Case("10³⁰⁰ in X, under tanh", lambda: {"x": spoilt(X, 1e300)}),
            Case("10³⁰⁰ in X, squared error of a linear network", lambda: linear(**squared(x=spoilt(X, 1e300))), "NaN or ∞"),
            Case("10³⁰⁸ in X, cross-entropy of a linear network", lambda: linear(x=spoilt(X, 1e308))),
            Case("10³⁰⁰ in X, layer norm", lambda: first_normed(s.LayerNorm(), spoilt(X, 1e300))),
            Case("10³⁰⁰ in X, batch norm", lambda: first_normed(s.BatchNorm(), spoilt(X, 1e300), **trained()), "NaN or ∞"),
            Case("10¹⁶⁰ in all of Y: the loss alone is ∞", lambda: squared(y=np.full((K, M), 1e160)), "NaN or ∞"),
            Case("10³⁰⁸ in all of Y", lambda: squared(y=np.full((K, M), 1e308)), "NaN or ∞",
                 "otherwise: the gradient stays finite, as it divides by the count before it doubles the error", differ=True),
            Case("10⁻³¹⁰ (subnormal) in X", lambda: {"x": X * 1e-310}),
            Case("10⁻³¹⁰ in X, layer norm", lambda: first_normed(s.LayerNorm(), X * 1e-310)),
            Case("10⁻³¹⁰ in X, batch norm", lambda: first_normed(s.BatchNorm(), X * 1e-310)),
            Case("10⁻³¹⁰ in W", lambda: with_w(W * 1e-310, **trained())),
            Case("a learning rate of 10¹⁵⁰", lambda: squared(**trained(optimizer=s.SGD(1e150))), "NaN or ∞"),
            Case("a learning rate of 10³⁰⁰", lambda: squared(**trained(optimizer=s.SGD(1e300))), "NaN or ∞"),
            Case("a learning rate of 10³⁰ in float32", lambda: everywhere(as_type("f4"), **trained(optimizer=s.SGD(1e30))), "NaN or ∞"),
        ],
    ),
    "Labels and targets": (
        "A label is a class from 0 to K − 1, or `ignore_index`. Class probabilities are multiplied with −ln p, whatever they sum to.",
        [
            Case("a label of −1", lambda: {"y": spoilt_label(-1)}, "labels must lie in 0 … 2; found -1 … 2", "raises IndexError"),
            Case("a label of K", lambda: {"y": spoilt_label(K)}, "labels must lie in 0 … 2; found 0 … 3", "raises IndexError"),
            Case("a label of −1, which is ignore_index",
                 lambda: {"y": spoilt_label(-1), "loss": s.CrossEntropy(ignore_index=-1), **trained()}),
            Case("ignore_index = 1, a class", lambda: {"loss": s.CrossEntropy(ignore_index=1), **trained()}),
            Case("ignore_index everywhere", lambda: {"y": np.full(M, -100)}, "NaN or ∞"),
            Case("ignore_index = 255 in labels of type uint8",
                 lambda: {"y": spoilt_label(255).astype("u1"), "loss": s.CrossEntropy(ignore_index=255)}),
            Case("ignore_index = 1, and class probabilities", lambda: {"y": SOFT, "loss": s.CrossEntropy(ignore_index=1)},
                 torch="raises RuntimeError",
                 torchref="refused: CrossEntropy(reduction='mean', weight=None, ignore_index=1, label_smoothing=0.0): PyTorch computes"),
            Case("a single class (K = 1)", lambda: layered(s.Dense(1), y=np.zeros(M, int), **trained())),
            Case(f"{WIDE} classes", lambda: layered(s.Dense(WIDE), y=LABELS + WIDE - K)),
            Case("class probabilities that sum to 1.7", lambda: {"y": 1.7 * SOFT, **trained()}),
            Case("negative class probabilities", lambda: {"y": SOFT - 0.5, **trained()}),
            Case("class probabilities that are all 0", lambda: {"y": 0 * SOFT, **trained()}),
            Case("a one-hot matrix of integers", lambda: {"y": np.eye(K, dtype=int)[:, LABELS]}, "integer labels must be (m,)",
                 "raises RuntimeError"),
            Case("class probabilities for the negative log-likelihood",
                 lambda: layered(s.Dense(K), s.LogSoftmax(), y=SOFT, loss=s.NegativeLogLikelihood()), torch="raises RuntimeError",
                 torchref="refused: NegativeLogLikelihood(reduction='mean', weight=None, ignore_index=-100): PyTorch computes"),
            Case("labels for the squared error", lambda: {"loss": s.SquaredError()},
                 "SquaredError(reduction='mean') needs Y as numbers (…, 3, m)", "raises RuntimeError"),
            Case("labels for the binary cross-entropy", lambda: {"loss": s.BinaryCrossEntropy()},
                 "BinaryCrossEntropy(reduction='mean', pos_weight=1.0) needs Y as numbers", "raises ValueError"),
            Case("a binary target of 1.5", lambda: {"loss": s.BinaryCrossEntropy(), "y": spoilt(SOFT, 1.5)},
                 "binary targets must lie in [0, 1]; found", "computes: without a word"),
            Case("outputs that are no probabilities, for the BCE of probabilities",
                 lambda: {"loss": s.BinaryCrossEntropyFromProbabilities(), "y": SOFT},
                 "BinaryCrossEntropyFromProbabilities: the network's outputs must lie in [0, 1]; found", "raises RuntimeError",
                 torchref="raises RuntimeError"),
        ],
    ),
    "Shapes": (
        "Only the axes of a stack are ever broadcast: never classes, units or examples.",
        [
            Case("no examples", lambda: {"x": X[:, :0], "y": LABELS[:0]}, "the data holds no examples", "NaN or ∞"),
            Case("no examples to evaluate", lambda: {"evaluate": {"none": s.Batch(X[:, :0], LABELS[:0])}}),
            Case("one example", lambda: {"x": X[:, :1], "y": LABELS[:1]}),
            Case("no features", lambda: {"x": X[:0]}, "Network(inputs=0): must be at least one input feature", "computes: b",
                 plain=lambda: nn.Linear(0, 3)(torch.zeros(5, 0)).detach()),
            Case("X of one axis", lambda: {"x": X[0]}, f"{NO_FLOAT} float64 (5,)", "raises RuntimeError"),
            Case("X transposed", lambda: {"x": X.T}, "X holds 4 examples (its columns), Y 5", "raises RuntimeError"),
            Case("Y a single number", lambda: {"y": np.array(1)}, "X holds 5 examples (its columns), Y none", "raises ValueError"),
            Case("Y one label short", lambda: {"y": LABELS[:-1]}, "X holds 5 examples (its columns), Y 4", "raises ValueError"),
            Case("Y of one row for K outputs", lambda: squared(y=NUMBERS[:1]), "Y must be (…, 3, m), one row an output, got (1, 5)",
                 "computes: spreads the row over all outputs", lambda: squared(y=np.broadcast_to(NUMBERS[:1], (K, M)))),
            Case("Y of one axis for K outputs", lambda: squared(y=NUMBERS[0]), "Y must be (…, 3, m), one row an output, got (5,)",
                 "raises RuntimeError"),
            Case("labels as a row (1, m)", lambda: {"y": LABELS[None]}, "integer labels must be (m,)", "raises RuntimeError"),
            Case("W transposed", lambda: with_w(W.T), f"{FIRST} W must be (…, 6, 4), got (4, 6)", "raises RuntimeError"),
            Case("W of three axes, b of two", lambda: with_w(np.stack([W, W])),
                 "parameters are stacked in different ways: leading axes [(), (2,)]", "raises RuntimeError"),
        ],
    ),
    "Stacks of networks": (
        "Leading axes are a stack. Data, batches and masks may lack them, or must fit. PyTorch: a loop over the networks, or vmap.",
        [
            Case("two networks on the same data", lambda: stacked(**trained())),
            Case("two networks, data of its own each", lambda: stacked(x=np.stack([X, X + 1]), **trained())),
            Case("two networks, labels of its own each", lambda: stacked(y=np.stack([LABELS, LABELS[::-1]]), **trained())),
            Case("two networks, batches of its own each", lambda: stacked(**trained(batches=np.stack([STEPS, STEPS[::-1]], 1)))),
            Case("X stacked as (1,), two networks", lambda: stacked(x=X[None], **trained())),
            Case("X stacked, no parameters at all",
                 lambda: layered(s.Identity(), s.Tanh(), **squared(x=np.stack([X, X + 1]), y=X), parameters=({}, {}))),
            Case("a stack of no networks", lambda: nobody(), "parameters are stacked as (0,): a stack needs at least one network",
                 "computes: empty arrays", plain=lambda: vmapped(0, 0)),
            Case("X stacked as (3,), two networks", lambda: stacked(x=np.stack([X] * 3)),
                 "data: X is stacked as (3,), the networks as (2,)", "raises ValueError", plain=lambda: vmapped(3, 2)),
            Case("X stacked as (3,), one network", lambda: {"x": np.stack([X] * 3)}, "data: X is stacked as (3,), the networks as ()",
                 "raises ValueError"),
            Case("Y stacked as (3,), two networks", lambda: stacked(**squared(y=np.stack([NUMBERS] * 3))),
                 "data: Y is stacked as (3,), the networks as (2,)", "raises ValueError", plain=lambda: vmapped(2, 3)),
            Case("Y stacked as (3,), one network", lambda: squared(y=np.stack([NUMBERS] * 3)),
                 "data: Y is stacked as (3,), the networks as ()", "computes: spreads the outputs over the three", squared),
            Case("labels stacked as (3,), two networks", lambda: stacked(y=np.stack([LABELS] * 3)),
                 "integer labels must be (m,) or (2, 'm'), got (3, 5)", "raises ValueError", plain=lambda: vmapped(2, 3)),
            Case("layers stacked as (2,) and (3,)", two_stacks, "parameters are stacked in different ways: leading axes [(2,), (3,)]",
                 "raises ValueError", plain=lambda: vmapped(2, 3)),
            Case("batches stacked as (3,), two networks", lambda: stacked(**trained(batches=np.stack([STEPS] * 3, 1))),
                 "batches are stacked as (3,), the parameters as (2,)", "raises ValueError", plain=lambda: vmapped(3, 2)),
            Case("batches stacked as (3,), one network", lambda: trained(batches=np.stack([STEPS] * 3, 1)),
                 "batches are stacked as (3,), the parameters as ()", "computes: takes the axis of the batch for the classes"),
            Case("batches and Y both stacked as (2,)",
                 lambda: stacked(**squared(y=np.stack([NUMBERS] * 2), **trained(batches=np.stack([STEPS] * 2, 1)))),
                 "batches of its own for each network need data without leading axes", "computes: a loop can"),
            Case("data to evaluate stacked as (3,), one network", lambda: {"evaluate": {"it": s.Batch(np.stack([X] * 3), LABELS)}},
                 "evaluate['it']: X is stacked as (3,), the networks as ()", "computes: three outputs"),
            Case("two learning rates, one network", lambda: {"optimizer": s.SGD((0.1, 0.2), 0.9)},
                 "learning rates (2,) for networks stacked as ()", "raises TypeError",
                 plain=lambda: torch.optim.SGD([nn.Parameter(torch.ones(1))], (0.1, 0.2)).step()),
            Case("two networks that have seen different numbers of batches, batch norm", lambda: counted([[1.0]], [[3.0]]),
                 torchref="refused: layer 1: num_batches_tracked differs among the networks of the stack"),
        ],
    ),
    "Normalization": (
        "A batch needs two examples to have a variance. ε is what keeps a unit without variance from 0/0.",
        [
            Case("one example, batch norm in training", lambda: normed(s.BatchNorm(), x=X[:, :1], y=LABELS[:1]),
                 f"{s.BatchNorm()}: training needs at least two examples in a batch, got 1", "raises ValueError"),
            Case("batches of one example, batch norm in training", lambda: normed(s.BatchNorm(), **trained(batches=STEPS[:, :1])),
                 f"{s.BatchNorm()}: training needs at least two examples in a batch, got 1", "raises ValueError"),
            Case("one example, batch norm after training", lambda: normed(s.BatchNorm(running=True), x=X[:, :1], y=LABELS[:1])),
            Case("one example to evaluate during training, batch norm",
                 lambda: normed(s.BatchNorm(), evaluate={"one": ONE}, **trained())),
            Case("every example the same, batch norm", lambda: first_normed(s.BatchNorm(), FLAT, **trained())),
            Case("every feature the same, layer norm", lambda: first_normed(s.LayerNorm(), EVEN, **trained())),
            Case("a single feature, layer norm", lambda: first_normed(s.LayerNorm(), X[:1], **trained())),
            Case("ε = 0, batch norm", lambda: normed(s.BatchNorm(0.0)), "BatchNorm(eps=0.0): must be positive", "raises ValueError",
                 plain=lambda: nn.BatchNorm1d(F, 0.0)(torch.ones(3, F))),
            Case("ε = 0, layer norm", lambda: normed(s.LayerNorm(0.0), **trained())),
            Case("ε = 0 and every feature the same, layer norm", lambda: first_normed(s.LayerNorm(0.0), EVEN), "NaN or ∞"),
            Case("ε < 0, batch norm", lambda: normed(s.BatchNorm(-1.0)), "BatchNorm(eps=-1.0): must be positive, as in PyTorch",
                 "raises ValueError", plain=lambda: nn.BatchNorm1d(F, -1.0)(torch.ones(3, F))),
            Case("ε < 0, layer norm", lambda: normed(s.LayerNorm(-1.0)), "LayerNorm(eps=-1.0): must be 0 or more", "NaN or ∞",
                 plain=lambda: nn.LayerNorm(F, -1.0)(torch.ones(3, F)).detach()),
            Case("momentum 0: the statistics stay", lambda: normed(s.BatchNorm(momentum=0.0), evaluate={"one": ONE}, **trained())),
            Case("momentum 1: the last batch's statistics",
                 lambda: normed(s.BatchNorm(momentum=1.0), evaluate={"one": ONE}, **trained())),
            Case("momentum None: the average of all batches",
                 lambda: normed(s.BatchNorm(momentum=None), evaluate={"one": ONE}, **trained())),
            Case("momentum 1.5", lambda: normed(s.BatchNorm(momentum=1.5)), "BatchNorm(momentum=1.5): must lie in [0, 1], or be None",
                 "computes: without a word", plain=lambda: nn.BatchNorm1d(F, momentum=1.5)(torch.ones(3, F)).detach()),
        ],
    ),
    "Dropout": (
        "Its masks are handed in, so that both implementations drop the same units. PyTorch's own layer draws them itself.",
        [
            Case("rate 0", lambda: dropped(np.ones((F, M), bool), 0.0)),
            Case("rate 1", lambda: dropped(np.zeros((F, M), bool), 1.0)),
            Case("rate 1.5", lambda: dropped(MASKS, 1.5), "Dropout(rate=1.5): must lie in [0, 1]", "raises ValueError",
                 plain=lambda: nn.Dropout(1.5)),
            Case("no masks", lambda: layered(s.Dropout(), s.Dense(K)), "a layer with dropout needs noise", "computes: draws its own"),
            Case("masks for every example alike (stride 0)", lambda: dropped(np.broadcast_to(MASKS[:, :1], MASKS.shape)),
                 torch="otherwise: draws its own"),
            Case("a mask of numbers", lambda: dropped(MASKS.astype(float)),
                 "layer 0 (Dropout(rate=0.5, active=True)): mask must hold Booleans, got float64", "computes: a product",
                 plain=lambda: torch.ones(2) * torch.ones(2)),
            Case("a mask as nested lists", lambda: dropped(MASKS.tolist()),
                 "layer 0 (Dropout(rate=0.5, active=True)): mask must be a NumPy array, got list", "raises TypeError",
                 plain=lambda: torch.ones(4, M) * MASKS.tolist()),
            Case("a mask for one example too few", lambda: dropped(MASKS[:, 1:]),
                 "layer 0 (Dropout(rate=0.5, active=True)): mask must be (…, 4, 5), got (4, 4)", "raises RuntimeError",
                 plain=lambda: torch.ones(4, 5) * tensor(MASKS[:, 1:])),
            Case("masks stacked as (3,), one network", lambda: dropped(np.stack([MASKS] * 3)),
                 "noise is stacked as (3,), the parameters as ()", "computes: a product",
                 plain=lambda: torch.ones(4, 5) * tensor(np.stack([MASKS] * 3))),
            Case("masks stacked as (3,), two networks",
                 lambda: dropped(np.stack([MASKS] * 3), parameters=start((s.Dropout(), s.Dense(K)), (2,))),
                 "noise is stacked as (3,), the parameters as (2,)", "raises RuntimeError",
                 plain=lambda: torch.ones(2, 4, 5) * tensor(np.stack([MASKS] * 3))),
            Case("masks for a network without dropout", lambda: {"noise": lambda _: ({"mask": MASKS}, {}, {})},
                 f"{FIRST} expected [], got ['mask']", "raises TypeError", plain=lambda: LINEAR(torch.ones(1, F).double(), MASKS)),
            Case("a mask itself instead of a function of the step", lambda: dropped(0) | {"noise": MASKS},
                 "Job(noise): must be a function or None, got ndarray", "raises TypeError", plain=lambda: nn.Dropout(0.5)(MASKS)),
        ],
    ),
    "Training": (
        "A job can be run as often as one likes: so its batches must not be used up by the first run.",
        [
            Case("the same job run twice", lambda: normed(s.BatchNorm(), **trained(runs=2))),
            Case("a column twice in a batch", lambda: trained(batches=np.array([[0, 0, 1], [2, 2, 2], [3, 4, 3]]))),
            Case("batches larger than the data", lambda: trained(batches=np.array([[0, 1, 2, 3, 4, 0, 1]] * 3))),
            Case("batches of different sizes", lambda: trained(batches=[STEPS[0], STEPS[1, :1], STEPS[2, :2]])),
            Case("batches of type uint8", lambda: trained(batches=STEPS.astype("u1")), torch="raises IndexError"),
            Case("batches of type int16", lambda: trained(batches=STEPS.astype("i2")), torch="raises IndexError"),
            Case("batches in the other byte order", lambda: trained(batches=STEPS.astype(">i8")), torch="raises ValueError"),
            Case("batches reversed (negative strides)", lambda: trained(batches=STEPS[::-1, ::-1]), torch="raises ValueError"),
            Case("batches from a generator", lambda: trained(batches=(b for b in STEPS)),
                 "Job(batches): must be a NumPy array, a list or None, got generator", "computes: once", trained),
            Case("batches as nested lists", lambda: trained(batches=STEPS.tolist()),
                 "batches must be an array (steps, …, b) or a list of arrays (b,), got list of list", "computes: a list is an index",
                 trained),
            Case("batches of floating point", lambda: trained(batches=STEPS.astype(float)),
                 "batches must be whole numbers (steps, …, b), got float64 (3, 3)", "raises IndexError"),
            Case("batches of Booleans", lambda: trained(batches=np.ones((3, M), bool)),
                 "batches must be whole numbers (steps, …, b), got bool (3, 5)", "computes: a mask of examples",
                 lambda: trained(batches=np.array([range(M)] * 3))),
            Case("a column of −1", lambda: trained(batches=STEPS - 1), "batches must name columns 0 … 4 of the data",
                 "computes: the last example", lambda: trained(batches=(STEPS - 1) % M)),
            Case("a column of m", lambda: trained(batches=STEPS + 1), "batches must name columns 0 … 4 of the data", "raises IndexError"),
            Case("an empty batch", lambda: trained(batches=STEPS[:, :0]), "batches must name columns 0 … 4 of the data, and at least one",
                 "NaN or ∞"),
            Case("no batches in the list", lambda: trained(batches=[], snapshots=()), "batches must hold at least one step",
                 "computes: nothing"),
            Case("snapshots out of order and twice: in order, once each", lambda: trained(snapshots=(2, 0, 0))),
            Case("a snapshot at step 0.5", lambda: trained(snapshots=(0.5,)), "Job(snapshots[0]=0.5): must be a whole number",
                 "computes: and shows nothing"),
            Case("snapshots from a generator", lambda: trained(snapshots=(n for n in ALL)),
                 "Job(snapshots): must be a tuple (a whole number, …), got generator", "computes: once", trained),
            Case("snapshots as a number", lambda: trained(snapshots=1), "Job(snapshots=1): must be a tuple (a whole number, …)",
                 "raises TypeError"),
            Case("a snapshot after the last step", lambda: trained(snapshots=(0, 3)), "snapshots at (0, 3), but there are steps 0 … 2",
                 "computes: without it", lambda: trained(snapshots=(0,))),
            Case("nothing to learn", lambda: layered(s.Tanh(), s.Identity(), **squared(y=X), **trained())),
            Case("nothing to learn but running statistics",
                 lambda: layered(s.BatchNorm(affine=False), **squared(y=X), evaluate={"one": ONE}, **trained())),
        ],
    ),
}

# fmt: on


# ---- the page

INTRODUCTION = """# Hostile and odd inputs

What happens to input that is wrong, strange or extreme. Every line was run: in `scratch`, in `torchref`, and in PyTorch alone, with
`torch.nn` and `torch.optim` as one would write it down without this library; `python tests/support/hostile.py` writes this page, and
`tests/torchref/test_hostile.py` holds all three to it.

The rule: what would fail in the depths with an error of shapes and types, or compute a wrong number without a word, is refused by
`InvalidInput`, in one line that names the place, what was expected there and what came. What is harmless works, and nothing that was
handed over is changed. Both implementations refuse alike; the few exceptions are in bold.

*Computes*: every number is finite. *NaN or ∞*: some are not, and nothing crashes. *The same*: loss, outputs, gradients, parameters
and running statistics agree with those of `scratch` within rounding, at every snapshot, and are NaN or ∞ at the same places. X is
(features, m), an example a column, with 4 features, 3 classes and m = 5 examples, and the network is Dense(6), tanh, Dense(3) under
cross-entropy, unless something else is said.
"""


def line(case: Case) -> str:
    """A row of the table."""
    mine, twin, _ = results(case)
    here = f"refused: {shown(mine)}" if mine.error else mine.kind
    alike = "refused alike" if mine.error else "the same"
    if case.differ:
        alike = "as PyTorch"
    elif case.torchref:
        alike = f"**refused: {shown(twin)}**" if case.torchref.startswith("refused") else f"**{case.torchref}**"
    there = {"same": "the same"}.get(case.torch, case.torch.replace("otherwise", "computes otherwise"))
    return f"| {case.given} | {here} | {alike} | {there} |"


def shown(refusal: Outcome) -> str:
    """The message, its numbers with three decimals: the last ones depend on the machine."""
    return "`" + re.sub(r"(\.\d{3})\d+", r"\1…", str(refusal.error)) + "`"


def page() -> str:
    """The text of docs/hostile_inputs.md."""
    parts = [INTRODUCTION]
    for title, (words, cases) in GROUPS.items():
        head = "| handed over | scratch | torchref | PyTorch alone |\n|---|---|---|---|"
        parts.append("\n".join((f"## {title}\n\n{words}\n", head, *map(line, cases))) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    write(PAGE, page())
