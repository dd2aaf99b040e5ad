"""Every option of every description: what is of another type than the declared one is refused in one line, and nothing else is."""

from __future__ import annotations

import pickle
import re
from dataclasses import MISSING, dataclass, fields, replace
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from typing import Any, Literal, Protocol

import helpers
import numpy as np
import pytest
import torch

import scratch as s
from scratch import saving
from scratch.layers import Layer
from scratch.losses import Elementwise
from scratch.optimizers import Optimizer
from scratch.options import Description
from torchref import losses as their_losses
from torchref.network import Network as Twin


class Number(IntEnum):
    ONE = 1


class Word(Enum):
    ONE = 1


def below(kind):
    for child in kind.__subclasses__():
        yield child
        yield from below(child)


KINDS = [k for k in below(Description) if k.__module__.startswith("scratch.") and "__dataclass_fields__" in vars(k)]
# what a field without a default is given; then everything that fields of one type take: type -> name of a value
NEEDED = {"int": 30, "float": 0.5, "tuple[Layer, ...]": (s.Tanh(),), "tuple[int, ...]": (1, 2)}
VALUES = {
    "None": None,
    "True": True,
    "np.True_": np.True_,
    "1": 1,
    "an enum that is a number": Number.ONE,
    "an enum": Word.ONE,
    "np.int8": np.int8(1),
    "an array () of int": np.array(1),
    "0.5": 0.5,
    "0.0": 0.0,
    "-0.0": -0.0,
    "np.float64": np.float64(0.5),
    "np.float32": np.float32(0.1),
    "np.longdouble": np.longdouble(0.5),
    "an array () of float": np.array(0.5),
    "NaN": float("nan"),
    "inf": float("inf"),
    "3.0": 3.0,
    "10**30": 10**30,
    "10**400": 10**400,
    "10**5000": 10**5000,
    "1+0j": 1 + 0j,
    "np.complex128": np.complex128(1),
    "Fraction": Fraction(1, 2),
    "Decimal": Decimal("0.5"),
    "np.timedelta64": np.timedelta64(1),
    "np.datetime64": np.datetime64("2020"),
    "'0.5'": "0.5",
    "'x\\ny'": "x\ny",
    "bytes": b"mean",
    **{f"np.str_({word})": np.str_(word) for word in ("none", "sum", "all", "cos", "max", "abs")},
    "()": (),
    "(0.5,)": (0.5,),
    "[0.5, 0.5]": [0.5, 0.5],
    "((0.5,),)": ((0.5,),),
    "(1, 2)": (1, 2),
    "[1, 2]": [1, 2],
    "range": range(1, 3),
    "(True,)": (True,),
    "('x',)": ("x",),
    "(None,)": (None,),
    "an array of float": np.array([0.5, 0.25]),
    "an array of int": np.array([1, 2]),
    "an array of bool": np.array([True]),
    "an array of objects": np.array([None, "x"]),
    "an array (1, 1)": np.array([[0.5]]),
    "a masked array": np.ma.MaskedArray([0.5], [True]),
    "np.ma.masked": np.ma.masked,
    "a matrix": np.ones((1, 1)).view(np.matrix),
    "a set": {0.5},
    "a dict": {"a": 1},
    "a generator": (x for x in (1,)),
    "an object": object(),
    "a function": len,
    "the class Tanh": s.Tanh,
    "the class SGD": s.SGD,
    "Tanh()": s.Tanh(),
    "[Tanh()]": [s.Tanh()],
    "(Tanh,)": (s.Tanh,),
    "SquaredError()": s.SquaredError(),
    "SGD()": s.SGD(),
    "Constant()": s.Constant(),
    "a tensor": torch.tensor(1.0),
}
WHOLE = {"1", "np.int8", "an array () of int", "an enum that is a number"}
NUMBERS = WHOLE | {
    "0.5",
    "0.0",
    "-0.0",
    "np.float64",
    "np.float32",
    "np.longdouble",
    "an array () of float",
    "3.0",
    "10**30",
}
NUMBERS |= {"NaN", "inf"}  # numbers by their type; most ranges refuse them
WHOLES = {"()", "(1, 2)", "[1, 2]", "range", "an array of int"}
TUPLES = WHOLES | {"(0.5,)", "[0.5, 0.5]", "an array of float"}
PAIRS = {"[0.5, 0.5]", "(1, 2)", "[1, 2]", "range", "an array of float", "an array of int"}
NESTED = TUPLES | {"((0.5,),)", "an array (1, 1)"}
TAKEN = {
    "int": WHOLE,
    "bool": {"True", "np.True_"},
    "float": NUMBERS,
    "float | None": NUMBERS | {"None"},
    "float | tuple[float, ...]": NUMBERS | TUPLES,
    "tuple[float, ...] | None": TUPLES | {"None"},
    "tuple[float, float]": PAIRS,
    "tuple[int, ...]": WHOLES,
    "Rates": NUMBERS | NESTED,
    "tuple[Layer, ...]": {"()", "[Tanh()]"},
    "Literal['none', 'tanh']": {"np.str_(none)"},
    "Reduction": {"np.str_(none)", "np.str_(sum)"},
    "Literal['weights', 'all']": {"np.str_(all)"},
    "Literal['cos', 'linear']": {"np.str_(cos)"},
    "Literal['min', 'max']": {"np.str_(max)"},
    "Literal['rel', 'abs']": {"np.str_(abs)"},
    "Schedule": {"Constant()"},
    "Loss": {"SquaredError()"},
    "Optimizer": {"SGD()"},
    "Batch": set(),
    "Parameters": {"()"},
    "Parameters | None": {"()", "None"},
    "Array | Sequence[Array] | None": {name for name in VALUES if name.startswith(("(", "[", "'", "an array", "rang", "byt", "np.st"))}
    | {"None"},
    "Mapping[str, Batch]": {"a dict"},
    "Noise | None": {"None", "a function", "the class Tanh", "the class SGD", "Tanh()", "[Tanh()]", "SquaredError()", "Constant()"},
    "Penalty | None": {"None"},
    "Schedule | None": {"None", "Constant()"},
    "Clip | None": {"None"},
    "MaxNorm | None": {"None"},
}  # fmt: skip
PYTHONS = (bool, int, float, str, type(None))


def example(kind):
    """The fields of a right description, for ``kind(**fields)``."""
    if kind is s.Job:
        job = helpers.job("labels", s.Tanh())
        return {field.name: getattr(job, field.name) for field in fields(job)}
    missing = (f for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)
    return {field.name: NEEDED[field.type] for field in missing}


def outcome(kind, name, value):
    """What came of it: the field as it is held, or InvalidInput; any other exception comes through."""
    try:
        return getattr(kind(**example(kind) | {name: value}), name)
    except s.InvalidInput as error:
        return error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_every_class(kind):
    """A traceback from the depths, or an option of the wrong type that is taken and fails there."""
    for field in fields(kind):
        for name, value in VALUES.items():
            found, place = outcome(kind, field.name, value), f"{kind.__name__}({field.name}"
            if name in TAKEN[field.type]:
                of_type = re.search(r"must be (a (whole )?number$|a tuple|of the kind|True|'|a number or)", str(found))
                assert not (isinstance(found, s.InvalidInput) and of_type), (place, name)  # some are out of range
                continue
            assert isinstance(found, s.InvalidInput), f"{place}={name})"
            words = str(found)
            assert words.startswith(place) and ": must be " in words, words
            assert "\n" not in words and " at 0x" not in words and len(words) < 160


def plain(value):
    """Whether it holds Python's own numbers, strings and tuples, down to the last one, or descriptions."""
    return all(map(plain, value)) if type(value) is tuple else type(value) in PYTHONS or isinstance(value, Description)


@pytest.mark.parametrize("kind", [k for k in KINDS if k is not s.Job], ids=lambda kind: kind.__name__)
def test_options_become_pythons_own(kind):
    """A NumPy scalar that makes float32 networks float64; a list that cannot be hashed."""
    taken = 0
    for field in fields(kind):
        for name in TAKEN[field.type]:
            found = outcome(kind, field.name, VALUES[name])
            assert isinstance(found, s.InvalidInput) or plain(found), (field.name, name, found)
            taken += not isinstance(found, s.InvalidInput)
    assert taken >= bool(fields(kind)) and hash(kind(**example(kind))) is not None


def test_there_is_much_to_try():
    """The tests above would prove nothing about an empty list."""
    assert len(KINDS) > 50 and {"Residual", "Job", "Network", "MaxNorm", "ClipNorm", "Warmup"} <= {
        k.__name__ for k in KINDS
    }
    offered = {v for v in vars(s).values() if isinstance(v, type) and "__dataclass_fields__" in vars(v)}
    assert offered - set(KINDS) == {s.Batch, s.Snapshot, s.Fit}  # data and results


@pytest.mark.parametrize(
    "make, words",
    [  # as the issue lists them, and the wording of each kind
        (lambda: s.Adam(0.1, 0.9), "Adam(betas=0.9): must be a tuple (a number, a number)"),
        (lambda: s.Dropout("0.5"), "Dropout(rate='0.5'): must be a number"),
        (lambda: s.Huber(1 + 0j), "Huber(delta=(1+0j)): must be a number"),
        (lambda: s.SGD(momentum=None), "SGD(momentum=None): must be a number"),
        (lambda: s.Dense(3.0), "Dense(units=3.0): must be a whole number"),
        (lambda: s.Dense(True), "Dense(units=True): must be a whole number"),
        (lambda: s.Dense(3, 1), "Dense(bias=1): must be True or False"),
        (lambda: s.CrossEntropy(ignore_index="x"), "CrossEntropy(ignore_index='x'): must be a whole number"),
        (lambda: s.CrossEntropy((1.0, "x")), "CrossEntropy(weight[1]='x'): must be a number"),
        (lambda: s.CrossEntropy(weight=0.5), "CrossEntropy(weight=0.5): must be a tuple (a number, …) or None"),
        (lambda: s.CrossEntropy(reduction="Mean"), "CrossEntropy(reduction='Mean'): must be 'mean', 'sum' or 'none'"),
        (lambda: s.Network((s.Dense(3),), 3.0), "Network(inputs=3.0): must be a whole number"),
        (lambda: s.Network(s.Dense(3), 3), "Network(layers): must be a tuple (of the kind Layer, …), got Dense"),
        (lambda: s.Residual((s.ReLU,)), "Residual(layers[0]): must be of the kind Layer, got the class ReLU"),
        (lambda: s.Warmup(3, s.Constant), "Warmup(then): must be of the kind Schedule, got the class Constant"),
        (lambda: s.SGD((0.1, (0.2, None))), "SGD(learning_rate[1][1]=None): must be a number or a tuple (a number or a tuple, …)"),
        (lambda: s.ELU(10**400), "ELU(alpha): must be a number that float64 holds, got int"),
        (lambda: s.Dense(2**63), "Dense(units=9223372036854775808): must be a whole number that int64 holds"),
        (lambda: s.Dense(-(10**5000)), "Dense(units): must be a whole number that int64 holds, got int"),
        (lambda: replace(s.Dense(3), units="3"), "Dense(units='3'): must be a whole number"),
    ],
)  # fmt: skip
def test_wording(make, words):
    """The place, what was expected, what came."""
    with pytest.raises(s.InvalidInput) as caught:
        make()
    assert str(caught.value) == words


def test_lists_and_arrays_are_tuples():
    """Equal descriptions that are not equal, or cannot be hashed."""
    weights = ((1.0, 2.0), [1, 2], np.array([1, 2], "f4"), np.array([1, 2]), range(1, 3), (np.float64(1), np.int8(2)))
    assert len({s.CrossEntropy(weight) for weight in weights}) == 1
    rates = (
        ((0.5, 0.25), (1.0, 2.0)),
        [[0.5, 0.25], [1, 2]],
        np.array([[0.5, 0.25], [1, 2]]),
        (np.array([0.5, 0.25]), [1, 2]),
    )
    assert len({s.SGD(rate) for rate in rates}) == 1
    assert s.Network([s.Dense(3)], 2) == s.Network((s.Dense(3),), np.int64(2))
    assert s.Residual([s.Tanh()]) == s.Residual((s.Tanh(),)) and s.Adam(betas=[0.9, 0.99]) == s.Adam(betas=(0.9, 0.99))
    assert replace(s.MultiStep((1,)), milestones=[2, 3]) == s.MultiStep((2, 3))


def test_numbers_keep_their_value():
    """A float32 number rounded anew, a whole number cut to a float's 53 bits, a zero without its sign."""
    assert s.LeakyReLU(np.float32(0.1)).slope == float(np.float32(0.1)) != 0.1
    assert s.LeakyReLU(2**53 + 1).slope == 2**53 + 1
    assert type(s.LeakyReLU(1).slope) is int and type(s.LeakyReLU(np.int16(1)).slope) is int
    assert s.HardTanh(-(10**30), 10**30).high == 1e30 and type(s.HardTanh(high=10**30).high) is float
    assert np.signbit(s.LeakyReLU(np.float64(-0.0)).slope)
    assert type(s.Dense(Number.ONE).units) is int and type(s.CrossEntropy(reduction=np.str_("sum")).reduction) is str


def odd(kind):
    """Right options as NumPy's scalars, arrays and lists."""
    right = kind(**example(kind))
    changed = {f.name: getattr(right, f.name) for f in fields(kind)}
    forms = {int: np.int32, float: np.float64, bool: np.bool_, str: np.str_, tuple: list}
    return right, kind(**{name: forms.get(type(value), lambda v: v)(value) for name, value in changed.items()})


@pytest.mark.parametrize("kind", [k for k in KINDS if k is not s.Job], ids=lambda kind: kind.__name__)
def test_odd_forms_make_the_same_description(kind):
    """Equal, of the same hash and words, through pickle and replace."""
    right, other = odd(kind)
    assert right == other and repr(right) == repr(other) and hash(right) == hash(other)
    assert pickle.loads(pickle.dumps(other)) == replace(other) == right


@pytest.mark.parametrize("kind", helpers.leaves(Layer), ids=lambda kind: kind.__name__)
def test_odd_forms_are_saved(kind):
    """NumPy's numbers, which JSON does not know."""
    right, other = odd(kind)
    text = saving.describe(s.Network([other], np.int64(3)))
    assert text == saving.describe(s.Network((right,), 3)) and saving._network(text) == s.Network((right,), 3)


F8 = np.float64
FLOAT32 = [s.HardTanh(F8(-1), F8(1)), s.LeakyReLU(F8(0.5)), s.ELU(F8(1)), s.Softplus(F8(1), F8(20)), s.Dropout(F8(0.5)),
           s.BatchNorm(F8(1e-5), F8(0.1)), s.LayerNorm(F8(1e-5))]  # fmt: skip


@pytest.mark.parametrize("layer", FLOAT32, ids=lambda layer: type(layer).__name__)
def test_float32_layers_stay_float32(layer):
    """One np.float64 among the options turned all that follows into float64; and PyTorch takes them, too."""
    x = np.array([[-1.5, 0.25, 3.0]] * 2, "f4")
    p = {"mask": np.array([[True, False, True]] * 2)} | {
        k: np.ones(shape, "f4") for k, shape in layer.shapes(2).items()
    }
    p |= {name: a.astype("f4") for name, a in layer.buffers(2).items()}
    a, cache = layer.forward(p, x)
    dx, gradients = layer.backward(p, cache, np.ones_like(a))
    assert all(array.dtype == np.float32 for array in (a, dx, *gradients.values()))
    assert all(array.dtype in (np.float32, bool) for array in p.values())
    assert Twin(s.Network((layer.inference(),), 2)).float()(torch.tensor(x.T))[0].dtype == torch.float32


LOSSES = [s.Huber(F8(1)), s.BinaryCrossEntropy(F8(2)), s.BinaryCrossEntropy(np.array([1.0, 2])),
          s.CrossEntropy(np.array([1.0, 2]), np.int64(-1), F8(0.1)), s.NegativeLogLikelihood([F8(1), F8(2)])]  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_float32_losses_stay_float32(loss):
    """As above; the gradient is what the network goes on with."""
    z, y = np.array([[0.5, -2], [3, 0.1]], "f4"), np.array([[0.5, 0], [0.5, 1]], "f4")
    y = np.array([0, 1]) if isinstance(loss, s.NegativeLogLikelihood) else y
    value, gradient = loss(z, y)
    assert value.dtype == gradient.dtype == np.float32
    assert their_losses.twin(loss).float()(torch.tensor(z.T), torch.tensor(y.T)).item() == pytest.approx(
        float(value), rel=1e-6
    )


@pytest.mark.parametrize("penalty", [s.L1(F8(0.1)), s.L2(F8(0.1)), s.ElasticNet(F8(0.1), F8(0.2))], ids=str)
def test_float32_penalties_stay_float32(penalty):
    """Value and gradient of float32 weights."""
    w = np.array([[1, -2.0]], "f4")
    assert penalty.value(w).dtype == penalty.slope(w).dtype == np.float32


@pytest.mark.parametrize("kind", helpers.leaves(Optimizer), ids=lambda kind: kind.__name__)
def test_float32_updates_stay_float32(kind):
    """θ and whatever an update rule remembers, at a rate that is a NumPy number."""
    _, other = odd(kind)
    theta = np.ones(3, "f4")
    memory = other.start(theta)
    other.update(theta, theta.copy(), memory)
    assert all(a.dtype == np.float32 for a in (theta, *memory.values()) if isinstance(a, np.ndarray))


class Named(Protocol):
    name: str


@dataclass(frozen=True)
class Owned(Layer):
    """A user's own layer, whose own check does not call its parent's; some types cannot be known here."""

    rate: float
    parts: tuple[tuple[int, str], ...] = ()
    mode: Literal["a", 1] = "a"
    named: Named | None = None
    unknown: OnlyForTheTypeChecker | None = None  # noqa: F821
    anything: Any = None
    many: tuple = ()

    def __post_init__(self) -> None:
        assert type(self.rate) in (int, float)


@dataclass(frozen=True)
class Inherited(Owned):
    more: bool = False


@dataclass(frozen=True, slots=True)
class Slotted(Elementwise):
    scale: float = 1.0


@pytest.mark.parametrize("kind", [Owned, Inherited])
def test_a_users_own_description(kind):
    """Classes that are written elsewhere are held to their types without more ado, and what cannot be checked is let through."""
    mine = kind(np.float32(0.5), [[1, "x"], (np.int8(2), "y")], 1, object(), 3, [1], [1])
    assert (mine.rate, mine.parts, mine.mode, mine.many) == (0.5, ((1, "x"), (2, "y")), 1, (1,))
    assert kind(0.1, anything=np.float64(1)).anything == 1.0
    for changes, words in (
        ({"rate": "0.5"}, r"\(rate='0.5'\): must be a number"),
        ({"parts": [(1, "x"), (2,)]}, r"\(parts\[1\]=\(2,\)\): must be a tuple \(a whole number, a string\)"),
        ({"parts": [(1, 2)]}, r"\(parts\[0\]\[1\]=2\): must be a string"),
        ({"mode": True}, r"\(mode=True\): must be 'a' or 1"),
        ({"many": 3}, r"\(many=3\): must be a tuple$"),
    ):
        with pytest.raises(s.InvalidInput, match=f"^{kind.__name__}{words}"):
            kind(**{"rate": 0.5} | changes)
    with pytest.raises(s.InvalidInput, match=r"Inherited\(more=0\): must be True or False"):
        Inherited(0.5, more=0)
    with pytest.raises(s.InvalidInput, match=r"Slotted\(scale='1'\): must be a number"):
        Slotted("1")
