"""Numerical witnesses of a gradient, which know only the function's values, and what they may differ by.

``function`` takes a stack of points (N, *x.shape) and gives values (N, …). x is (…, r, c): the leading axes … are networks that know
nothing of each other, so one coordinate is moved in all of them at once. ``axes``: how many last axes hold coordinates (2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb
from typing import Any

import numpy as np
from numpy.random import Generator

from scratch.errors import InvalidInput
from scratch.layers import Array

Function = Callable[[Array], Any]
ENTRIES = 1 << 18  # numbers handed to ``function`` at a time
U = np.finfo(float).eps / 2
H = float(np.cbrt(2 * U))  # balances the error of a difference, h²f‴/6, with its rounding, εf/h
ALONG = np.arange(-12, 13)  # steps along a line on which noise is measured
RUNS, LIMIT = 16, 4.0  # of a gradient at inputs that are moved by roundings; how many root mean squares it may be off


def complex_step(function: Function, x: Array, step: float = 1e-30, axes: int = 2, *, analytic: bool = False) -> Array:
    """∂f/∂x = Im f(x + ih)/h, to rounding: nothing is subtracted, and the error is h² (Squire & Trapp, SIAM Rev. 40 (1998) 110).

    Raises InvalidInput where f loses the imaginary part, as np.abs and .real do, or changes it, as np.conj does (so that differences
    at real points lie elsewhere), and where it computes in single precision. ``analytic``: f is known to be so but for kinks, at several of
    which at once a convention's slope may be no difference's; that is not looked at then.
    """
    x = _real("complex_step", x, step)
    values = _moved(function, x.astype(complex), np.full(x.shape, 1j * step), axes)
    if values.dtype.kind != "c" or values.dtype.itemsize < 16:
        raise InvalidInput(
            f"complex_step: the function must give complex numbers at complex points, in double precision, got {values.dtype}"
        )
    found = values.imag / step
    if not analytic:
        with np.errstate(all="ignore"):
            _check_analytic(_nan_outside(function, x, axes), x, found, axes, step)
    return found


def central_difference(function: Function, x: Array, step: float | None = None, axes: int = 2) -> Array:
    """∂f/∂x = (f(x+h) − f(x−h))/2h; h = ∛ε·max(1, |x|) balances its error h²f‴/6 with rounding εf/h.

    Raises InvalidInput where no ``step`` is given and f's values are coarser than float64's, so that this h would be too short.
    """
    x = _real("central_difference", x, step)
    h = H * np.maximum(1, np.abs(x)) if step is None else np.full(x.shape, step)
    up, down = (x + h) - x, x - (x - h)  # the steps that are really taken
    if not (up + down > 0).all():
        raise InvalidInput(f"central_difference: a step of {step} is lost beside the largest |x|, {np.abs(x).max():g}")
    found = (_moved(function, x, up, axes) - _moved(function, x, -down, axes)) / (up + down)
    if step is None:
        _check_resolution("central_difference", function, x, axes)
    return found


def kinks(function: Function, x: Array, step: float = 1e-6, axes: int = 2) -> list[tuple[int, ...]]:
    """The coordinates along which f has a kink at x, or nearer to x than about ``step``·max(1, |x|).

    d(h) = (f(x+h) − 2f(x) + f(x−h))/h is the jump of the slope + h·f″ + O(h³), so 2d(h/2) − d(h) is the jump alone. It counts where it
    exceeds 1e-4 of the slopes and what rounding can do. Found at two steps, lest a kink at h/3 hide. Raises InvalidInput where f's
    values are coarser than float64's.
    """
    x = _real("kinks", x, step)
    h = step * np.maximum(1, np.abs(x))
    here = _moved(function, x, np.zeros(x.shape), axes)
    _check_resolution("kinks", function, x, axes)
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
    An error below about 1e-6 of the gradient hides behind the curvature of f. Raises InvalidInput where f's values are coarser than
    float64's.
    """
    x = _real("taylor_slope", x, first)
    h = first * 0.5 ** np.arange(30)
    stack = (1,) * x.ndim
    values = _checked(function, x + h.reshape(-1, *stack) * direction, x, axes)  # (30, …)
    here = _checked(function, x[None], x, axes)
    _check_resolution("taylor_slope", function, x, axes)
    summed = tuple(range(-min(axes, x.ndim), 0))
    change = h.reshape(-1, *(1,) * (values.ndim - 1)) * np.sum(gradient * direction, axis=summed)
    remainder = np.abs(values - here - change)
    floor = 4000 * U * (np.abs(values) + np.abs(here) + np.abs(change))
    lines = zip(remainder.reshape(len(h), -1).T, floor.reshape(len(h), -1).T, strict=True)
    return np.reshape([_slope(h, *line) for line in lines], here.shape[1:])


def compare(a: Array, b: Array, axes: int = 2, rounding: Array | float = 0.0) -> float:
    """max over the networks … of ‖a − b‖/max(‖a‖, ‖b‖), Euclidean norms over the last ``axes``; two zeros differ by 0.

    ``rounding`` (…): how much of ‖a − b‖ is none of theirs. A gradient that is exactly zero, as a bias's before a batch norm, is
    noise in both, as unlike as two noises are: see ``rounding``, and hand over the sum of both's.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise InvalidInput(f"compare: expected arrays of one shape, got {a.shape} and {b.shape}")
    wide = np.result_type(a, b, np.float64)
    apart, *sizes = (_length(z, axes) for z in (a.astype(wide) - b, a, b))
    scale = np.maximum(*sizes)
    return float(np.max(np.maximum(apart - rounding, 0) / np.where(scale == 0, 1, scale), initial=0))


def rounding(
    witness: Callable[..., Sequence[Array]], arrays: Sequence[Array], generator: Generator, axes: int = 2
) -> list[Array]:
    """How far (…) rounding may carry each gradient of ``witness(*arrays)``, in Euclidean norm over its last ``axes``.

    The witness runs again at arrays moved relatively by √k roundings of their type with random signs, k the longest sum; the spread of
    what it says, with its own rounding in it, and √k roundings of the gradient are what it may be off. ``arrays``: all that
    counts, parameters, inputs and targets (…, r, c); integers stay as they are.
    """
    arrays = [np.asarray(a) for a in arrays]
    root = np.sqrt(max((n for a in arrays for n in a.shape[-2:]), default=1))
    found = [np.asarray(g) for g in witness(*arrays)]
    squares: list[Any] = [0.0] * len(found)
    for _ in range(RUNS):
        said = witness(*(_jittered(a, root, generator) for a in arrays))
        squares = [total + _length(there - g, axes) ** 2 for total, there, g in zip(squares, said, found, strict=True)]
    return [
        LIMIT * (np.sqrt(total / RUNS) + root * np.finfo(g.dtype).eps / 2 * _length(g, axes))
        for total, g in zip(squares, found, strict=True)
    ]


def _jittered(array: Array, root: float, generator: Generator) -> Array:
    if array.dtype.kind != "f":
        return array
    signs = 2.0 * generator.integers(0, 2, array.shape) - 1
    return (array * (1 + root * np.finfo(array.dtype).eps * signs)).astype(array.dtype)


def _length(z: Array, axes: int) -> Array:
    """Euclidean norm over the last ``axes``, in double precision, scaled against underflow and overflow."""
    summed = tuple(range(-min(axes, z.ndim), 0))
    size = np.abs(z).astype(float)
    top = np.max(size, axis=summed, keepdims=True, initial=0)
    scaled = size / np.where((top == 0) | (top == np.inf), 1, top)
    return np.squeeze(top, summed) * np.sqrt(np.sum(scaled**2, axis=summed)) if summed else size


def _real(place: str, x: Any, step: float | None) -> Array:
    x = np.asarray(x)
    if x.dtype.kind not in "fiub":
        raise InvalidInput(f"{place}: x must be real numbers, got {x.dtype}")
    if step is not None and not step > 0:
        raise InvalidInput(f"{place}: the step must be positive, got {step}")
    return x.astype(float)


def _nan_outside(function: Function, x: Array, axes: int) -> Function:
    """f, with NaN where it refuses a point next to x: there is nothing to compare with."""

    def values(points: Array) -> Any:
        try:
            return function(points)
        except InvalidInput:
            return np.full((len(points), *x.shape[: max(x.ndim - axes, 0)]), np.nan)

    return values


def _check_analytic(function: Function, x: Array, found: Array, axes: int, step: float) -> None:
    """Raises InvalidInput unless ``found`` has all its digits and, where there is no kink, is what differences say.

    Where it is not, shorter steps are tried: the fault may be the difference's. At a kink, where those to the right and to the left of
    x part, a convention decides, which several kinks at once may carry outside of the two.
    """
    (noise, size), (uncertain, slope) = (_quieter_noise(function, x, axes, h) for h in (0.0, step))
    share = uncertain / np.maximum(slope, size)
    # what is larger bends too fast for this look, and is no rounding; NaN: x is at the border of f's domain
    if ((share > 1e5 * U) & (share < 1e-5) & np.isfinite(noise)).any():
        raise InvalidInput(
            "complex_step: the function must have float64's digits, but something inside is coarser, as float32 is"
        )
    alike = noise.shape + (1,) * (x.ndim - noise.ndim)
    here = np.reshape(_checked(function, x[None], x, axes).real, alike)
    rounded = np.reshape(10 * (noise + U * size), alike)
    wrong, bent, first = np.ones(x.shape, bool), np.zeros(x.shape, bool), np.full(x.shape, np.inf)
    for shorter in (1, 1e-2, 1e-4, 1e-6):
        h = shorter * H * np.maximum(1, np.abs(x))
        sides = [(_moved(function, x, move, axes).real - here) / move for move in ((x + h) - x, (x - h) - x)]
        low, high = np.minimum(*sides), np.maximum(*sides)
        outside, slack = np.maximum(low - found, found - high), 1e-6 * np.abs(found) + rounded / h
        idle = slack > first / 2  # a step that allows half of what was wrong says nothing
        wrong &= (outside > slack) | idle
        bent = np.where(idle, bent, high - low > 1e-3 * np.maximum(np.abs(low), np.abs(high)) + rounded / h)
        first = np.minimum(first, outside)
        if not wrong.any():
            return
    wrong &= ~bent
    if not wrong.any():
        return
    index = tuple(map(int, np.argwhere(wrong)[0]))
    raise InvalidInput(
        f"complex_step: the function is not analytic at {index}: the step gives {found[index]:.6g}, differences {low[index]:.6g} and "
        f"{high[index]:.6g}; np.abs, np.conj and .real change or lose the imaginary part"
    )


def _check_resolution(place: str, function: Function, x: Array, axes: int) -> None:
    with np.errstate(all="ignore"):
        noise, size, slope = _noise(_nan_outside(function, x, axes), x, axes)
        coarse = (noise > 1e3 * U * size) & (noise > 1e-6 * H * slope)
    if coarse.any():
        worst = float(np.max(np.where(coarse, noise / size, 0)))
        raise InvalidInput(
            f"{place}: the function must have float64's digits, but its values are noise from {worst:.0e} of their size on, as where "
            f"something inside is float32"
        )


def _quieter_noise(function: Function, x: Array, axes: int, step: float) -> tuple[Array, Array]:
    """Noise and size; where x is large f may bend too fast for steps of its size, but shorter ones must be felt."""
    (long, size, _), (short, _, _) = (_noise(function, x, axes, step, relative) for relative in (True, False))
    return np.where(short > 0, np.fmin(long, short), long), size


def _noise(
    function: Function, x: Array, axes: int, step: float = 0.0, relative: bool = True
) -> tuple[Array, Array, Array]:
    """How far rounding moves f from a smooth line (…), and f's size and slope, along one direction through x; with ``step`` of Im f/step.

    High differences are blind to what is smooth (Moré & Wild 2011), their median to a kink or two. A function that does not feel
    the shorter steps at all, as one with float16 inside, is asked again with longer ones. The size is the largest up to a distance
    of 1e-3: at a minimum of 0, f itself is nothing to compare with.
    """
    direction = (np.maximum(1, np.abs(x)) if relative else 1) * np.cos(1.0 + np.arange(x.size)).reshape(x.shape)

    def at(moves: Array) -> Array:
        moves = moves.reshape(-1, *(1,) * x.ndim) * direction
        points = x + moves + 1j * step * direction if step > 0 else x + moves
        at_once = max(1, ENTRIES // max(1, x.size))
        parts = [_checked(function, points[k : k + at_once], x, axes) for k in range(0, len(points), at_once)]
        values = np.concatenate(parts)
        return values.imag / step if step > 0 else values.real.astype(float)

    for scale in (1e-6, 1e-4):
        values = at(scale * ALONG)
        if (values != values[0]).any():
            break
    found = [np.median(np.abs(np.diff(values, k, axis=0)), axis=0) / (0.6745 * np.sqrt(comb(2 * k, k))) for k in (4, 8)]
    noise = np.minimum(*found)  # alike if it is noise; what is smooth leaves less of itself in the higher
    size = np.fmax.reduce(np.abs(np.concatenate([values, at(np.array([1e-3, -1e-3]))])))
    return noise, size, np.abs(values[-1] - values[0]) / (scale * (len(ALONG) - 1))


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
