"""Layer-sequential unit variance: an init scheme that looks at data."""

from __future__ import annotations

import math

import numpy as np

from scratch.arguments import require
from scratch.errors import InvalidInput
from scratch.layers import Array, Dense, Layer, Residual, Tensors
from scratch.network import Network, Parameters
from scratch.normalization import centred


def lsuv(
    network: Network, parameters: Parameters, x: Array, *, tolerance: float = 0.1, iterations: int = 10
) -> Parameters:
    """W ← W/√Var(Wx + b), layer after layer, until |Var − 1| < tolerance (Mishkin & Matas 2016, Alg. 1).

    Var runs over units and examples of ``x`` (…, features, m), for each network of a stack alone. The paper starts from
    ``orthogonal`` weights. Meanwhile dropout is off, and batch normalization takes the batch's statistics. Returns new
    arrays. Raises InvalidInput for an output that does not vary, and where ``iterations`` are not enough (as where the
    biases alone vary by 1 and more).
    """
    require(tolerance > 0, "lsuv", "tolerance", tolerance, "positive")
    require(iterations >= 1, "lsuv", "iterations", iterations, "at least 1")
    network.check(parameters)
    leading = next((a.shape[:-2] for named in parameters for a in named.values()), ())
    if x.shape[:-2] not in ((), leading):
        raise InvalidInput(f"lsuv(x of shape {x.shape}): may be stacked as the parameters, {leading}")
    new = tuple({name: a.copy() for name, a in named.items()} for named in parameters)
    remembered = network.buffers(leading, x.dtype)  # thrown away: running statistics begin with training
    for k, (layer, named) in enumerate(zip(network.layers, new, strict=True)):
        x = _settle(f"lsuv: layer {k}", layer, named | remembered[k], x, tolerance, iterations)
    return new


def _settle(place: str, layer: Layer, p: Tensors, x: Array, tolerance: float, iterations: int) -> Array:
    """The layer's output, after W of every Dense layer in it has been rescaled in place."""
    if isinstance(layer, Residual):
        a = x
        for k, part in enumerate(layer.layers):
            inside = {name.partition(".")[2]: array for name, array in p.items() if name.startswith(f"{k}.")}
            a = _settle(f"{place}.{k}", part, inside, a, tolerance, iterations)
        return x + a
    if isinstance(layer, Dense):
        _rescale(place, layer, p, x, tolerance, iterations)
    return (layer.inference() if layer.noise(x.shape[-2]) else layer).forward(p, x)[0]


def _rescale(place: str, layer: Dense, p: Tensors, x: Array, tolerance: float, iterations: int) -> None:
    for _ in range(iterations + 1):  # the last time only to look
        z = layer.forward(p, x)[0]
        apart, _ = centred(z.reshape(*z.shape[:-2], -1), -1)
        variance = (apart * apart).mean(-1)
        off = ~(abs(variance - 1) < tolerance)
        if not off.any():
            return
        usable = bool(((variance > 0) & (variance < math.inf)).all())
        if not usable:
            raise InvalidInput(f"{place}: the output's variance must be positive and finite, got {variance}")
        p["W"] /= np.where(off, np.sqrt(variance), 1)[..., None, None]
    raise InvalidInput(f"{place}: variance 1 ± {tolerance} was not reached in {iterations} iterations, got {variance}")
