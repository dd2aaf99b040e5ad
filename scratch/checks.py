"""What a network, a batch and a job must be: every check raises InvalidInput with the place, what was expected and what came.

The classes that are checked stand in network.py and contract.py, which call this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from scratch.errors import InvalidInput
from scratch.layers import Array, Shape, Tensors
from scratch.options import is_plain, kind_of

Named = Sequence[Tensors]  # one dict for each layer
Network: TypeAlias = Any  # those of network.py and contract.py, which import this
Job: TypeAlias = Any


def fits(came: Shape, leading: Shape) -> bool:
    """Whether stack axes ``came`` can be spread over the ``leading`` ones."""
    return len(came) <= len(leading) and all(a in (1, b) for a, b in zip(came[::-1], leading[::-1], strict=False))


def check_inputs(x: Array, name: str = "X") -> None:
    """Raises InvalidInput unless x is float32 or float64, (…, features, examples)."""
    if not is_plain(x):
        raise InvalidInput(f"{name} must be a NumPy array, got {kind_of(x)}{remedy(x)}")
    if x.dtype.kind != "f":
        hint = remedy(x)
        raise InvalidInput(f"{name} must be floating point (…, features, examples), got {x.dtype} {x.shape}{hint}")
    if x.ndim < 2:
        hint = f": x[:, None] is one example, x[None] is {x.size} with one feature" if x.ndim else ""
        raise InvalidInput(f"{name} must be floating point (…, features, examples), got {x.dtype} {x.shape}{hint}")
    if x.dtype not in (np.float32, np.float64):
        raise InvalidInput(f"{name} must be float32 or float64 in this machine's byte order, got {x.dtype}{remedy(x)}")


def turned(x: Array, inputs: int) -> str:
    """The hint for an x that has the features in its last axis."""
    return ": transpose, an example is a column (x.T)" if x.ndim and x.shape[-1] == inputs else ""


def remedy(thing: Any, name: str = "x", dtype: Any = "np.float64") -> str:
    """``: `` and what makes floating-point numbers in a NumPy array of it; nothing where that is not known."""
    if is_plain(thing):
        kind = thing.dtype.kind
        if kind in "mM":
            return f": say in which unit, ({name} - {name}.min()) / np.timedelta64(1, 's')"
        if kind == "c":
            return f": {name}.real, or real and imaginary parts as features of their own"
        return f": {name}.astype({dtype})" if kind in "fiubO" else ": numbers, not text" if kind in "SUT" else ""
    if isinstance(thing, np.ma.MaskedArray):
        return ": fill in or leave out what is masked"
    if isinstance(thing, (list, tuple, np.matrix)):
        return f": np.{'as' if isinstance(thing, np.matrix) else ''}array({name})"
    for method, call in (("toarray", "toarray()"), ("iloc", "to_numpy()"), ("numpy", "numpy()")):
        if hasattr(thing, method):  # SciPy's sparse matrix, pandas, PyTorch
            return f": {name}.{call}"
    return ""


def labelled(y: Array) -> bool:
    """Whether y is integer labels."""
    return y.dtype.kind in "iu"


def batch(x: Array, y: Array) -> None:
    """X (…, features, m) and Y as a Batch wants them."""
    if not (is_plain(x) and is_plain(y)):
        kinds = f"{type(x).__name__} and {type(y).__name__}"
        raise InvalidInput(f"X and Y must be NumPy arrays, got {kinds}{remedy(y if is_plain(x) else x)}")
    check_inputs(x)
    if y.ndim < 1 or x.shape[-1] != y.shape[-1]:
        held = y.shape[-1] if y.ndim else "none"
        raise InvalidInput(f"X holds {x.shape[-1]} examples (its columns), Y {held}{_both_turned(x, y)}")
    if not labelled(y) and y.dtype != x.dtype:
        hint = ": y.astype(int)" if y.dtype.kind == "b" else remedy(y, "y", x.dtype)
        raise InvalidInput(f"Y must be integer labels or of X's type {x.dtype}, got {y.dtype}{hint}")
    if y.dtype.kind == "u" and y.size and y.max() > np.iinfo(np.int64).max:
        raise InvalidInput(f"Y holds {y.max()}: a label must fit into int64; labels count classes from 0")
    for name, array in (("X", x), ("Y", y)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise InvalidInput(f"{name} holds {array[where]} at {where}: every number must be finite")


def _both_turned(x: Array, y: Array) -> str:
    """What to transpose, where that makes X and Y fit."""
    features, examples = x.shape[-2:]
    rows, columns = (None, None, *y.shape)[-2:]
    if columns == features:
        return ": transpose, an example is a column (x.T)"
    if rows == examples and (columns == 1 or not labelled(y)):
        return ": labels are (m,), y.ravel()" if labelled(y) else ": transpose Y, an example is a column (y.T)"
    return ": transpose, an example is a column (x.T, y.T)" if rows == features and not labelled(y) else ""


def parameters(network: Network, came: Named) -> None:
    """Every layer has its parameters, in their shapes, under the same leading axes."""
    leading = _shapes(network, network.shapes, came, "parameters")
    if len(leading) > 1:
        raise InvalidInput(f"parameters are stacked in different ways: leading axes {sorted(leading)}")


def buffers(network: Network, came: Named, leading: Shape) -> None:
    """Every layer has its buffers, in their shapes, under ``leading`` axes."""
    shapes = tuple({name: a.shape for name, a in layer.buffers(n).items()} for layer, n in network.with_inputs())
    met = _shapes(network, shapes, came, "buffers")
    if met - {leading}:
        raise InvalidInput(f"buffers are stacked as {sorted(met)}, the parameters as {leading}")


def noise(network: Network, came: Named, examples: int, leading: Shape = ()) -> None:
    """Every layer that is handed something gets it, in its shape, for the stack ``leading``."""
    shapes: tuple[dict[str, Shape], ...] = tuple(
        {name: (rows, examples) for name, (rows, _) in named.items()} for named in network.noise
    )
    for stacked in _shapes(network, shapes, came, "noise"):
        if not fits(stacked, leading):
            raise InvalidInput(f"noise is stacked as {stacked}, the parameters as {leading}")
    for k, named in enumerate(came):
        for name, array in named.items():
            if array.dtype != bool:  # any other would change the type of what it multiplies
                raise InvalidInput(f"layer {k} ({network.layers[k]}): {name} must hold Booleans, got {array.dtype}")


def _shapes(network: Network, expected: Sequence[Mapping[str, Shape]], came: Named, what: str) -> set[Shape]:
    """Names and shapes are the expected ones; the leading axes that were met."""
    if not isinstance(came, Sequence):
        raise InvalidInput(f"{what} must be a tuple with a dict for each layer, got {type(came).__name__}")
    if len(came) != len(network.layers):
        raise InvalidInput(f"{what} for {len(came)} layers, but the network has {len(network.layers)}")
    leading: set[Shape] = set()
    for k, (named, shapes) in enumerate(zip(came, expected, strict=True)):
        place = f"layer {k} ({network.layers[k]})"
        if not isinstance(named, Mapping):
            raise InvalidInput(f"{place}: expected a dict of arrays, got {type(named).__name__}")
        if set(named) != set(shapes):
            raise InvalidInput(f"{place}: expected {list(shapes)}, got {list(named)}")
        leading |= {_shape(f"{place}: {name}", named[name], core) for name, core in shapes.items()}
    return leading


def _shape(place: str, array: Array, core: Shape) -> Shape:
    """The array ends in the axes ``core``; those before them."""
    if not is_plain(array):
        raise InvalidInput(f"{place} must be a NumPy array, got {type(array).__name__}")
    if array.shape[-2:] != core:
        raise InvalidInput(f"{place} must be (…, {core[0]}, {core[1]}), got {array.shape}")
    return array.shape[:-2]


def job(job: Job) -> None:
    """All that a job is made of fits together."""
    if not job.data.x.shape[-1]:
        raise InvalidInput("the data holds no examples")
    parameters(job.network, job.parameters)
    if 0 in job.leading:
        raise InvalidInput(f"parameters are stacked as {job.leading}: a stack needs at least one network")
    if job.buffers is not None:
        buffers(job.network, job.buffers, job.leading)
    _types(job)
    _evaluated(job)
    if any(job.network.noise) and job.noise is None:
        raise InvalidInput("a layer with dropout needs noise: give the job a function from the step to the masks")
    _targets(job, job.network.widths[-1])
    if job.batches is not None:
        _batches(job, job.batches)
    _stacks(job)


def _types(job: Job) -> None:
    for held in (job.parameters, () if job.buffers is None else job.buffers):
        for k, named in enumerate(held):
            for name, array in named.items():
                if array.dtype != job.data.x.dtype:
                    raise InvalidInput(f"layer {k}: {name} is {array.dtype}, but the data is {job.data.x.dtype}")


def _evaluated(job: Job) -> None:
    x, inputs = job.data.x, job.network.inputs
    for name, data in job.evaluate.items():
        place = f"evaluate[{name!r}]"
        if not isinstance(data, type(job.data)):
            raise InvalidInput(f"{place} must be a Batch, got {type(data).__name__}")
        if data.x.dtype != x.dtype:
            raise InvalidInput(f"{place} is {data.x.dtype}, but the data is {x.dtype}")
        if data.x.shape[-2] != inputs:
            raise InvalidInput(f"{place} has {data.x.shape[-2]} features, the data {inputs}{turned(data.x, inputs)}")


def _batches(job: Job, batches: Array | Sequence[Array]) -> None:
    data = job.data
    if not isinstance(batches, np.ndarray):
        if not all(is_plain(chosen) for chosen in batches):
            kinds = f"{kind_of(batches)} of {kind_of(batches[0])}"
            raise InvalidInput(f"batches must be an array (steps, …, b) or a list of arrays (b,), got {kinds}")
        if any(chosen.ndim != 1 for chosen in batches):
            raise InvalidInput("batches of different sizes must be arrays (b,), the same for every network of a stack")
    elif batches.ndim < 2:
        raise InvalidInput(f"batches must be whole numbers (steps, …, b), got {batches.dtype} {batches.shape}")
    elif batches.ndim > 2 and (data.x.ndim > 2 or data.y.ndim > (1 if data.labelled else 2)):
        raise InvalidInput("batches of its own for each network need data without leading axes")
    elif batches.shape[1:-1] not in ((), job.leading):
        raise InvalidInput(f"batches are stacked as {batches.shape[1:-1]}, the parameters as {job.leading}")
    if not len(batches):
        raise InvalidInput("batches must hold at least one step")
    _columns([batches] if isinstance(batches, np.ndarray) else batches, data.x.shape[-1])
    if not all(0 <= step < len(batches) for step in job.snapshots):
        raise InvalidInput(f"snapshots at {job.snapshots}, but there are steps 0 … {len(batches) - 1}")


def _columns(batches: Sequence[Array], examples: int) -> None:
    for chosen in batches:
        if chosen.dtype.kind not in "iu":
            raise InvalidInput(f"batches must be whole numbers (steps, …, b), got {chosen.dtype} {chosen.shape}")
        if not (chosen.size and chosen.min() >= 0 and chosen.max() < examples):
            raise InvalidInput(f"batches must name columns 0 … {examples - 1} of the data, and at least one")


def _targets(job: Job, outputs: int) -> None:
    y, loss = job.data.y, job.loss
    if job.data.labelled:
        if not loss.takes_labels:
            raise InvalidInput(f"{loss} needs Y as numbers (…, {outputs}, m) of X's type, got integers {y.shape}")
        if y.ndim > 1 and y.shape[:-1] != job.leading:
            raise InvalidInput(f"integer labels must be (m,) or {(*job.leading, 'm')}, got {y.shape}")
        loss.targets(y, outputs)  # raises where a label is out of range
    elif y.shape[-2:-1] != (outputs,):
        raise InvalidInput(f"Y must be (…, {outputs}, m), one row an output, got {y.shape}")
    loss.check(y, outputs)
    if loss.reduction == "none":
        raise InvalidInput(f"{loss}: a network is trained on one number, so reduce by 'mean' or 'sum'")


def _stacks(job: Job) -> None:
    """Data sets and learning rates are stacked as the networks, or shared by them."""
    for name, data in (("data", job.data), *((f"evaluate[{n!r}]", d) for n, d in job.evaluate.items())):
        for letter, shape in (("X", data.x.shape[:-2]), ("Y", data.y.shape[: -1 if data.labelled else -2])):
            if not fits(shape, job.leading):
                raise InvalidInput(f"{name}: {letter} is stacked as {shape}, the networks as {job.leading}")
    rates = job.optimizer.base.shape
    if rates and rates != job.leading:
        raise InvalidInput(
            f"learning rates {rates} for networks stacked as {job.leading}: one a network, or one for all"
        )
