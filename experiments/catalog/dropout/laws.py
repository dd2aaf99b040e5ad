"""What theory says of dropout. p is the probability of keeping, δ = 1 − p; an example is a column of X (n, m).

The layer multiplies by ξ = r/p, r one with probability p: E ξ = 1, Var ξ = (1 − p)/p. The literature writes the same model
without the 1/p; its weights are then those of the layer over p.
"""

import numpy as np
from scipy.special import expit

from experiments.lab import Array

STEEPEST = 1 / 8  # the largest |A⁗|: a(1−a)(1−6a+6a²) at a = ½


def expected_loss(x: Array, y: Array, w: Array, keep: float) -> float:
    """E‖y − w(R∗X)‖²/m = (‖y − pwX‖² + p(1−p)‖wΓ‖²)/m with Γ² = diag XXᵀ (Srivastava 2014, section 9.1); w (1, n)."""
    fit = ((y - keep * w @ x) ** 2).mean()
    return float(fit + keep * (1 - keep) * (w**2 @ (x**2).mean(1, keepdims=True))[0, 0])


def ridge(x: Array, y: Array, keep: float) -> Array:
    """The weights (1, n) that make the expected loss smallest: (XXᵀ + (1−p)/p Γ²)⁻¹Xyᵀ, Γ² the diagonal of XXᵀ."""
    return np.linalg.solve(penalized(x, keep), x @ y.T).T


def penalized(x: Array, keep: float) -> Array:
    """XXᵀ + (1−p)/p diag XXᵀ: every entry of XXᵀ but that the diagonal is divided by p."""
    gram = x @ x.T
    return gram + (1 - keep) / keep * np.diag(np.diag(gram))


def descended(x: Array, y: Array, keep: float, rate: float, steps: int) -> Array:
    """Mean weights (1, n) after so many steps from 0 with masks drawn anew at each: w* − (I − ηH)ᵗw*, w* ridge's.

    Exact: a step is linear in the weights, and they know nothing of the mask that comes next. H is the curvature 2/m(…).
    """
    goal = ridge(x, y, keep)
    factor = np.eye(len(x)) - rate * 2 / x.shape[1] * penalized(x, keep)
    return goal - goal @ np.linalg.matrix_power(factor, steps)


def spread(x: Array, w: Array, keep: float) -> Array:
    """Variance of w(R∗X)/p over the masks, example by example (1, m): (1−p)/p Σ_j w_j²x_j²."""
    return (1 - keep) / keep * (w**2) @ (x**2)


def quadratic(x: Array, beta: Array, bias: float, rate: float, curved: bool = True) -> float:
    """½ δ/(1−δ) Σ_i A″(z_i) Σ_j x_ij²β_j² / m (Wager, Wang & Liang 2013); not ``curved``: A″ = ¼, an ordinary L2 penalty."""
    z = (beta @ x + bias)[0]
    slope = expit(z) * expit(-z) if curved else np.full(z.shape, 0.25)
    return float((slope * spread(x, beta, 1 - rate)[0]).mean() / 2)


def cubic(x: Array, beta: Array, bias: float, rate: float) -> float:
    """The next term: A‴(z)·E ε³/6, where ε = Σ_j (ξ_j − 1)x_jβ_j and E(ξ − 1)³ = δ(2δ − 1)/(1−δ)²."""
    a = expit((beta @ x + bias)[0])
    third = rate * (2 * rate - 1) / (1 - rate) ** 2 * (beta**3 @ x**3)[0]
    return float((a * (1 - a) * (1 - 2 * a) * third).mean() / 6)


def left_open(x: Array, beta: Array, rate: float) -> float:
    """What the remainder of Taylor's series after ``cubic`` can be at most: max|A⁗| E ε⁴/24.

    E ε⁴ = 3(Σ σ_j²)² + Σ κ_j, where κ_j = (x_jβ_j)⁴ δ(1 − 6pδ)/p³ is the fourth cumulant of one feature's noise.
    """
    keep = 1 - rate
    kappa = rate * (1 - 6 * keep * rate) / keep**3 * (beta**4 @ x**4)[0]
    return float(STEEPEST * (3 * spread(x, beta, keep)[0] ** 2 + kappa).mean() / 24)
