"""What theory predicts of deep linear networks: times of gradient flow, what finite steps add to them, and the drift.

Setting (Saxe, McClelland & Ganguli 2014): inputs with XXᵀ/m = I, a map A = U diag(s) Vᵀ, J = ‖W_N…W_1 − A‖²/2. If every
layer is W_l = R_{l+1} diag(a) R_lᵀ with R_1 = V and R_{N+1} = U, so is every gradient: modes do not see each other, and
each is the one-dimensional descent of (a^N − s)²/(2N), a the strength in one layer and u = a^N in the whole network:

    ȧ = f(a) = a^{N−1}(s − a^N)        u̇ = N a^{N−1} ȧ = N u^{2−2/N}(s − u)
"""

from itertools import pairwise

import numpy as np
from scipy.integrate import quad, solve_ivp

from experiments.lab import Array


def speed(a: float, s: float, depth: int) -> float:
    """f(a) = a^{N−1}(s − a^N), what a layer's strength gains in unit time."""
    return a ** (depth - 1) * (s - a**depth)


def slope(a: float, s: float, depth: int) -> float:
    """f′(a) = (N−1) s a^{N−2} − (2N−1) a^{2N−2}; −1 for one layer."""
    rising = (depth - 1) * s * a ** (depth - 2) if depth > 1 else 0.0
    return rising - (2 * depth - 1) * a ** (2 * depth - 2)


def flow_time(u: float, start: float, s: float, depth: int) -> float:
    """The time in which gradient flow takes a mode from u₀ to u: ∫ du / (N u^{2−2/N}(s − u)).

    One layer: ln (s−u₀)/(s−u). Two: ln [u(s−u₀)/(u₀(s−u))]/2s, which solved for u is Saxe's Eq. 12,
    u(t) = s e^{2st}/(e^{2st} − 1 + s/u₀). More: by quadrature in ln u, in which the integrand has no peak.
    """
    if depth == 1:
        return float(np.log((s - start) / (s - u)))
    if depth == 2:
        return float(np.log(u * (s - start) / (start * (s - u))) / (2 * s))

    def integrand(x: float) -> float:
        return np.exp((2 / depth - 1) * x) / (depth * (s - np.exp(x)))

    return float(quad(integrand, np.log(start), np.log(u), epsabs=0, epsrel=1e-12, limit=200)[0])


def descent_time(u: float, start: float, s: float, depth: int, rate: float) -> tuple[float, float]:
    """η × the steps in which gradient descent takes a mode from u₀ to u, to first order in η; and the next term's size.

    The time t(a) solves t(a + ηf) = t(a) + η. With t = T + ηT₁ + η²T₂ + … and Taylor's series of the left side:
    fT′ = 1, the flow; T₁′ = −fT″/2 = f′/2f, so T₁ = ln(f/f₀)/2; and T₂′ = −(f″ + f′²/f)/12.
    """
    a0, a = start ** (1 / depth), u ** (1 / depth)
    first = np.log(speed(a, s, depth) / speed(a0, s, depth)) / 2

    def integrand(x: float) -> float:  # f′²/f da, over x = ln a
        return np.exp(x) * slope(np.exp(x), s, depth) ** 2 / speed(np.exp(x), s, depth)

    squares = quad(integrand, np.log(a0), np.log(a), epsrel=1e-8, limit=200)[0]
    second = (
        abs(slope(a, s, depth) - slope(a0, s, depth)) + squares
    ) / 12  # sizes: the two may cancel, what follows need not
    return flow_time(u, start, s, depth) + rate * float(first), rate**2 * float(second)


def steps_until(share: float, start: float, s: float, depth: int, rate: float) -> int:
    """Steps in which a mode reaches that share of its strength, and a few more."""
    return int(np.ceil(descent_time(share * s, start, s, depth, rate)[0] / rate)) + 10


def wait(start: float, s: float, depth: int) -> float:
    """What u₀ contributes to the time to leave the plateau, s/u₀ → ∞: u̇ ≈ N s u^{2−2/N} there, so
    −ln(u₀)/(2s) for two layers, and u₀^{2/N−1}/((N−2)s) for more: a power instead of a logarithm."""
    return -np.log(start) / (2 * s) if depth == 2 else start ** (2 / depth - 1) / ((depth - 2) * s)


def longer(lower: float, upper: float, s: float, depth: int, rate: float) -> tuple[float, float]:
    """How much longer the wait from u₀ = ``lower`` is than from ``upper``, by the plateau's law; and what that leaves open.

    Steps add (η/2) ln(f/f) = (η/2)(1 − 1/N) ln(upper/lower). Open: 1/(s−u) instead of 1/s, which is a share
    upper/(s − upper) at most, and twice the next order of η.
    """
    plain = wait(lower, s, depth) - wait(upper, s, depth)
    stepped = rate / 2 * (1 - 1 / depth) * np.log(upper / lower)
    _, second = descent_time(upper, lower, s, depth, rate)
    return plain + stepped, (plain + stepped) * upper / (s - upper) + 2 * second


def drift(weights: list[Array], target: Array, time: float) -> list[Array]:
    """D_l = ∫₀ᵗ (G_{l+1}ᵀG_{l+1} − G_lG_lᵀ) dt along gradient flow, for a stack (…, rows, columns): the drift of
    C_l = W_{l+1}ᵀW_{l+1} − W_lW_lᵀ in units of η.

    W_{l+1}ᵀG_{l+1} = G_lW_lᵀ, both being W_{l+1}ᵀ…W_Nᵀ (W − A) W_1ᵀ…W_lᵀ. So in a step W ← W − ηG the terms in η cancel
    and C_l changes by η²(G_{l+1}ᵀG_{l+1} − G_lG_lᵀ) exactly: not at all in a flow, by O(η) in the t/η steps of a descent.
    """
    shapes = [w.shape for w in weights] + [w[..., :1].mT.shape[:-2] + (w.shape[-2],) * 2 for w in weights[:-1]]
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])

    def cut(flat: Array) -> list[Array]:
        return [flat[i:j].reshape(shape) for i, j, shape in zip(ends[:-1], ends[1:], shapes, strict=True)]

    def rise(t: float, flat: Array) -> Array:
        gradients = linear_gradients(cut(flat)[: len(weights)], target)
        changes = between(gradients)
        return np.concatenate([-g.ravel() for g in gradients] + [c.ravel() for c in changes])

    begun = np.concatenate([*(w.ravel() for w in weights), np.zeros(ends[-1] - ends[len(weights)])])
    solved = solve_ivp(rise, (0, time), begun, "DOP853", [time], rtol=1e-9, atol=1e-11)
    return cut(solved.y[:, -1])[len(weights) :]


def linear_gradients(weights: list[Array], target: Array) -> list[Array]:
    """∂J/∂W_l = (W_N…W_{l+1})ᵀ (W − A) (W_{l−1}…W_1)ᵀ."""
    below = [np.eye(weights[0].shape[-1])]
    for w in weights:
        below.append(w @ below[-1])
    above, found = below[-1] - target, []
    for k in range(len(weights) - 1, -1, -1):
        found.append(above @ below[k].mT)
        above = weights[k].mT @ above
    return found[::-1]


def between(arrays: list[Array]) -> list[Array]:
    """G_{l+1}ᵀG_{l+1} − G_lG_lᵀ between every two layers, of weights as of gradients."""
    return [g.mT @ g - h @ h.mT for h, g in pairwise(arrays)]


def on_hyperbola(product: Array | float, c: float) -> tuple[Array, Array]:
    """(w1, w2) with w1w2 = p, w2² − w1² = c and w1 > 0: w1² = (√(c² + 4p²) − c)/2, without its cancellation where c > 0."""
    p = np.asarray(product, float)
    root = np.hypot(c, 2 * p)
    w1 = np.sqrt((root - c) / 2 if c <= 0 else 2 * p**2 / (root + c))
    return w1, np.sqrt((root + c) / 2 if c >= 0 else 2 * p**2 / (root - c)) * np.sign(p)


def carried(w1: float, w2: float, strength: float, rate: float) -> tuple[float, float]:
    """c = w2² − w1² at the end of a descent from (w1, w2), to first order in η; and what is left open.

    With e = s − w1w2 a step multiplies c by 1 − η²e² exactly: by exp(−η∫e²dt) in all. On the flow's way p = w1w2 changes
    by dp = e(w1² + w2²) dt and w1² + w2² = √(c² + 4p²), so ∫e²dt = I = ∫ (s − p)/√(c² + 4p²) dp from p₀ to s. Open: the sum
    is not the integral (η²e₀²/2), and its path not the flow's (a share ηL of ηI; L the largest curvature on the way).
    """
    p, c = w1 * w2, w2**2 - w1**2
    whole = quad(lambda q: (strength - q) / np.hypot(c, 2 * q), p, strength)[0]
    curvature = np.hypot(c, 2 * max(abs(p), strength)) + abs(strength - p)
    left = rate**2 * ((strength - p) ** 2 / 2 + curvature * whole)
    return float(c * np.exp(-rate * whole)), float(abs(c) * left)
