"""Numerical witnesses of a gradient, which know only the function's values.

``function`` takes a stack of points (N, *x.shape) and gives values (N, …). x is (…, r, c): the leading axes … are networks that know
nothing of each other, so one coordinate is moved in all of them at once. ``axes``: how many last axes hold coordinates (2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scratch.errors import InvalidInput
from scratch.layers import Array

Function = Callable[[Array], Any]
ENTRIES = 1 << 18  # numbers handed to ``function`` at a time
U = np.finfo(float).eps / 2


def complex_step(function: Function, x: Array, step: float = 1e-30, axes: int = 2) -> Array:
    """∂f/∂x = Im f(x + ih)/h, to rounding: nothing is subtracted, and the error is h² (Squire & Trapp, SIAM Rev. 40 (1998) 110).

    Raises InvalidInput where f gives real numbers: it lost the imaginary part on the way, as np.abs does.
    """
    values = _moved(function, x.astype(complex), np.full(x.shape, 1j * step), axes)
    if values.dtype.kind != "c":
        raise InvalidInput(
            f"complex_step: the function must give complex numbers at complex points, got {values.dtype}"
        )
    return values.imag / step


def central_difference(function: Function, x: Array, step: float | None = None, axes: int = 2) -> Array:
    """∂f/∂x = (f(x+h) − f(x−h))/2h; h = ∛ε·max(1, |x|) balances its error h²f‴/6 with rounding εf/h."""
    x = x.astype(float)
    h = np.cbrt(2 * U) * np.maximum(1, np.abs(x)) if step is None else np.full(x.shape, step)
    up, down = (x + h) - x, x - (x - h)  # the steps that are really taken
    return (_moved(function, x, up, axes) - _moved(function, x, -down, axes)) / (up + down)


def kinks(function: Function, x: Array, step: float = 1e-6, axes: int = 2) -> list[tuple[int, ...]]:
    """The coordinates along which f has a kink at x, or nearer to x than about ``step``·max(1, |x|).

    d(h) = (f(x+h) − 2f(x) + f(x−h))/h is the jump of the slope + h·f″ + O(h³), so 2d(h/2) − d(h) is the jump alone. It counts where it
    exceeds 1e-4 of the slopes and what rounding can do. Found at two steps, lest a kink at h/3 hide.
    """
    x = x.astype(float)
    h = step * np.maximum(1, np.abs(x))
    here = _moved(function, x, np.zeros(x.shape), axes)
    found = np.zeros(x.shape, bool)
    for scale in (1, 0.5):
        bends, slopes = [], np.zeros(x.shape)
        for size in (scale * h, scale * h / 2):
            right, left = ((_moved(function, x, s, axes) - here) / size for s in (size, -size))
            bends.append(right + left)
            slopes = np.maximum(slopes, np.maximum(np.abs(right), np.abs(left)))
        noise = 200 * U * (np.abs(here) + slopes * np.abs(x)) / (scale * h)
        found |= ~(np.abs(2 * bends[1] - bends[0]) <= 1e-4 * slopes + noise)  # NaN counts as a kink
    return [tuple(map(int, index)) for index in np.argwhere(found)]


def taylor_slope(
    function: Function, x: Array, gradient: Array, direction: Array, first: float = 0.1, axes: int = 2
) -> Array:
    """Slope (…) of ln|f(x+hd) − f(x) − h⟨g,d⟩| over ln h: 2 (or more) if g is the gradient, 1 if it is not.

    h = ``first``·2^−k, and the line is fitted to the six smallest h whose remainder is a thousand times above rounding. inf: there are
    fewer than three, or it falls from far above to below at once, so that f is straight near x and g right. NaN: f is not finite.
    An error below about 1e-6 of the gradient hides behind the curvature of f.
    """
    x = x.astype(float)
    h = first * 0.5 ** np.arange(30)
    stack = (1,) * x.ndim
    values = _checked(function, x + h.reshape(-1, *stack) * direction, x, axes)  # (30, …)
    here = _checked(function, x[None], x, axes)
    summed = tuple(range(-min(axes, x.ndim), 0))
    change = h.reshape(-1, *(1,) * (values.ndim - 1)) * np.sum(gradient * direction, axis=summed)
    remainder = np.abs(values - here - change)
    floor = 4000 * U * (np.abs(values) + np.abs(here) + np.abs(change))
    lines = zip(remainder.reshape(len(h), -1).T, floor.reshape(len(h), -1).T, strict=True)
    return np.reshape([_slope(h, *line) for line in lines], here.shape[1:])


def compare(a: Array, b: Array, axes: int = 2) -> float:
    """max over the networks … of ‖a − b‖/max(‖a‖, ‖b‖), Euclidean norms over the last ``axes``; two zeros differ by 0."""
    if a.shape != b.shape:
        raise InvalidInput(f"compare: expected arrays of one shape, got {a.shape} and {b.shape}")
    summed = tuple(range(-min(axes, a.ndim), 0))
    apart, *sizes = (np.sqrt(np.sum(np.abs(z) ** 2, axis=summed)) for z in (a - b, a, b))
    scale = np.maximum(*sizes)
    return float(np.max(apart / np.where(scale == 0, 1, scale), initial=0))


def _moved(function: Function, x: Array, shift: Array, axes: int) -> Array:
    """f(x + shift[k]·e_k) for every coordinate k, laid out like x."""
    leading = x.shape[: max(x.ndim - axes, 0)]
    flat, shifts = x.reshape(*leading, -1), shift.reshape(*leading, -1)
    found = []
    at_once = max(1, ENTRIES // max(1, x.size))
    for start in range(0, flat.shape[-1], at_once):
        chosen = np.arange(start, min(start + at_once, flat.shape[-1]))
        points = np.repeat(flat[None], len(chosen), axis=0)
        points[np.arange(len(chosen)), ..., chosen] += np.moveaxis(shifts[..., chosen], -1, 0)
        found.append(_checked(function, points.reshape(-1, *x.shape), x, axes))
    values = np.concatenate(found) if found else np.zeros((0, *leading), x.dtype)
    return np.moveaxis(values, 0, -1).reshape(x.shape)


def _checked(function: Function, points: Array, x: Array, axes: int) -> Array:
    values = np.asarray(function(points))
    expected = (len(points), *x.shape[: max(x.ndim - axes, 0)])
    if values.shape != expected:
        raise InvalidInput(
            f"the function must give values of shape {expected} at points {points.shape}, got {values.shape}"
        )
    return values


def _slope(h: Array, remainder: Array, floor: Array) -> float:
    if not np.isfinite(remainder).all():
        return np.nan
    last = np.flatnonzero(remainder > floor)[-6:]
    if len(last) < 3 or (last[-1] + 1 < len(h) and remainder[last[-1]] > 8 * floor[last[-1] + 1]):
        return np.inf
    return float(np.polyfit(np.log(h[last]), np.log(remainder[last]), 1)[0])
