"""One description of each class, of sizes that can be told apart."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from scratch import (
    L1,
    L2,
    ClipNorm,
    ClipValue,
    Cosine,
    Dense,
    ElasticNet,
    Exponential,
    InverseTime,
    MaxNorm,
    MultiStep,
    OneCycle,
    Polynomial,
    Residual,
    StepDecay,
    Tanh,
    WarmRestarts,
    Warmup,
)
from scratch.errors import InvalidInput

N_IN, UNITS = 5, 7
SYMBOLS = {N_IN: "n_in", UNITS: "units"}
GIVEN: dict[type, Any] = {  # the others have defaults for all that they need
    type(thing): thing
    for thing in (
        *(Dense(UNITS), Residual((Dense(UNITS), Tanh(), Dense(N_IN)))),
        *(L1(0.1), L2(0.1), ElasticNet(0.1, 0.1), MaxNorm(3.0), ClipNorm(1.0), ClipValue(1.0)),
        *(StepDecay(25, 0.5), MultiStep((40, 80), 0.3), Exponential(0.97), InverseTime(0.1), Polynomial(100, 2.0)),
        *(Cosine(100), WarmRestarts(20, 2), OneCycle(100), Warmup(20, Cosine(80))),
    )
}
BAD: dict[type, tuple[Any, ...]] = {
    bool: (True, False),
    int: (0, -1),
    float: (-1.0, 2.0, 0.0, 1.0, float("nan")),
    str: ("other",),
    tuple: ((-1.0, -1.0), ()),
}


def example(kind: Any) -> Any:
    return GIVEN[kind] if kind in GIVEN else kind()


def children(kind: Any) -> list[Any]:
    """Its subclasses in scratch, and nobody else's."""
    return [child for child in kind.__subclasses__() if child.__module__.startswith("scratch.")]


def refusals(kind: Any) -> list[str]:
    """What making a description with a wrong value says, for every field that refuses one."""
    inherited = {f.name for base in kind.__mro__[1:] for f in getattr(base, "__dataclass_fields__", {}).values()}
    said = (_refusal(example(kind), f.name) for f in fields(kind) if f.name not in inherited)
    return [message for message in said if message]


def _refusal(thing: Any, name: str) -> str:
    value = getattr(thing, name)
    for bad in BAD.get(type(value), ()):
        try:
            replace(thing, **{name: bad})
        except InvalidInput as error:
            return str(error)
        except (TypeError, ValueError):  # not meant for this field
            continue
    return ""
