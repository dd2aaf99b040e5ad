"""Forward propagation, small: everything holds in both implementations, every control fails, every bound is a bound."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pandas as pd
import pytest

from experiments.catalog.forward_propagation import by_hand, one_product, shared, transpose
from experiments.lab.experiment import load
from experiments.lab.judge import judge
from experiments.run import run
from scratch.errors import InvalidInput
from scratch.training import snapshot

EXPERIMENT = load("forward_propagation")
SMALL = {"inputs": (1, 6), "trials": 2, "largest": 5, "squares": (1, 4), "draws": 400, "widths": (1, 5), "examples": 4}
U = 2.0**-53


@pytest.fixture(scope="session")
def small(ran):
    return ran("forward_propagation")


@pytest.fixture
def result(small):
    return small[0]


def verdicts(result, **spoilt):
    """Judged anew from the measured tables, some of them spoilt."""
    analysis = EXPERIMENT.definition.analyse(result.tables | spoilt, result.options)
    return judge(analysis.claims)[0].set_index("claim").verdict


@pytest.mark.parametrize("backend", ("scratch", "torchref"))
@pytest.mark.parametrize(
    "table, where, column, claim",
    [
        ("sizes", "x == '3 × 1' and side == 'columns'", "measured", "shapes"),
        ("products", "comparison == 'exact sums'", "measured", "a row a neuron, a column an example"),
        ("products", "comparison == 'a loop'", "measured", "one product is the whole loop"),
        ("products", "comparison == 'rows'", "measured", "XᵀWᵀ = (WX)ᵀ"),
        ("refused", "not square", "measured", "Wᵀ is refused unless W is square"),
        ("overlaps", "quantity == 'size'", "measured", "a square Wᵀ is wrong in silence"),
        ("overlaps", "quantity == 'overlap'", "measured", "a square Wᵀ is wrong in silence"),
        ("by_hand", "signal == 'a2'", "measured", "the notes' network by hand"),
        ("alone", "widest == 5", "elsewhere", "columns know nothing of each other"),
    ],
)
def test_every_claim_fails_where_one_is_wrong(result, backend, table, where, column, claim):
    """A claim that looks at one of the two only, or at nothing."""
    frame = result.tables[table].copy()
    rows = frame.query(f"backend == @backend and {where}").index
    assert len(rows)
    frame[column] = frame[column].astype(float)
    frame.loc[rows, column] += 1e-18 if column == "elsewhere" else 1e3
    found = verdicts(result, **{table: frame})
    assert found[claim] == "fails" and (found.drop(claim) == "holds").all()


def test_the_notes_shapes(result):
    """Sizes that were taken from the network instead of the notes."""
    held = result.tables["shapes"].groupby(["product", "x", "side"]).measured.agg(set)
    assert held.to_dict() == {
        ("a1", "3 × 1", "rows"): {2}, ("a1", "3 × 1", "columns"): {1}, ("a2", "3 × 1", "rows"): {1}, ("a2", "3 × 1", "columns"): {1},
        ("a1", "3 × n", "rows"): {2}, ("a1", "3 × n", "columns"): {4}, ("a2", "3 × n", "rows"): {1}, ("a2", "3 × n", "columns"): {4},
    }  # fmt: skip


def test_the_drawn_matrices_multiply(result):
    """A figure whose numbers are of another product."""
    found = {}
    for name, rows in result.tables["matrices"].groupby("matrix"):
        found[name] = rows.pivot(index="row", columns="column", values="value").to_numpy()
    assert found["W"].shape == (2, 3) and found["V"].shape == (1, 2) and found["X"].shape == (3, 4)
    assert (found["W"] @ found["X"] == found["A1"]).all() and (found["V"] @ found["A1"] == found["A2"]).all()


# --- the witnesses, each against another ------------------------------------------------------------------------------------


def numbers(*shapes, seed=0):
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape) for shape in shapes]


def test_exact_sums_are_exact_to_two_roundings():
    """Against fractions: one rounding for each product, one for the sum."""
    w, x = numbers((4, 30), (30, 5))
    found = one_product.exact(w, x)
    for i, j in np.ndindex(4, 5):
        terms = [Fraction(a) * Fraction(b) for a, b in zip(w[i].tolist(), x[:, j].tolist(), strict=True)]
        assert abs(Fraction(found[i, j]) - sum(terms)) <= 2 * Fraction(U) * sum(map(abs, terms))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_laws_of_a_transposed_matrix(n):
    """Against all 2^(n²) matrices of ±1, which have the same second moments: exactly 1 and 1/n."""
    x = np.linspace(0.5, 1.5, n)
    signs = 1 - 2 * ((np.arange(2 ** (n * n))[:, None] >> np.arange(n * n)) & 1).reshape(-1, n, n)
    right, wrong = signs @ x, signs.mT @ x
    exact = {"size": (wrong**2).sum(-1).mean(), "overlap": (wrong * right).sum(-1).mean()}
    table = pd.DataFrame({"quantity": list(exact), "n": n})
    expected = [value / (n * (x @ x)) for value in exact.values()]
    np.testing.assert_allclose(transpose.transposed(table).predicted, expected, rtol=1e-14)  # 512 terms, of order 1


def test_by_hand_is_the_notes_network():
    """Against NumPy on whole matrices, which shares no line with it."""
    w1, b1, w2, b2, x = numbers((3, 2), (3, 1), (2, 3), (2, 1), (2, 4))
    parameters = ({"W": w1, "b": b1}, {}, {"W": w2, "b": b2}, {})
    z1 = w1 @ x + b1
    z2 = w2 @ np.tanh(z1) + b2
    found = by_hand.scalars(parameters, x)
    for mine, expected in zip(found, (z1, np.tanh(z1), z2, 1 / (1 + np.exp(-z2))), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=50 * U)  # numbers of order 1, some ten roundings
    np.testing.assert_allclose(by_hand.scalars(parameters, x, False)[2], w2 @ z1 + b2, rtol=0, atol=50 * U)


def test_the_scalar_network_digit_by_digit():
    """x = 1, w1 = 2, b1 = −1, w2 = 3, b2 = −2: z1 = 1, a1 = tanh 1, z2 = 3 tanh 1 − 2, ŷ = σ(z2), to thirty digits."""
    found = by_hand.four_lines(
        {"W": np.array([[2.0]]), "b": np.array([[-1.0]])},
        {"W": np.array([[3.0]]), "b": np.array([[-2.0]])},
        [1.0],
        math.tanh,
    )
    flat = [a[0] for a in found]
    with mpmath.workdps(30):
        z2 = 3 * mpmath.tanh(1) - 2
        exact = [1, mpmath.tanh(1), z2, 1 / (1 + mpmath.exp(-z2))]
    np.testing.assert_allclose(flat, [float(a) for a in exact], rtol=20 * U)  # z2 loses three bits to cancellation


def test_the_bounds_hold_in_float32():
    """Against float64, where float32's rounding is no rounding but seen whole: never beyond, and not absurdly above."""
    ratios = []
    for trial in range(20):
        w1, b1, w2, b2, x = (a.astype(np.float32) for a in numbers((6, 5), (6, 1), (3, 6), (3, 1), (5, 7), seed=trial))
        parameters = ({"W": w1, "b": b1}, {}, {"W": w2, "b": b2}, {})
        exact = by_hand.scalars(parameters, x)
        single = snapshot(replace(shared.network((6, 3), x, 0), parameters=parameters)).outputs
        for a, b, limit in zip(single, exact, by_hand.bounds(parameters, x, exact), strict=True):
            assert a.dtype == np.float32
            ratios.append((np.abs(a - b) / limit).max())
    assert 0.02 < max(ratios) <= 1


def test_a_difference_in_one_entry_is_found():
    """A norm in which it would drown, or the largest difference instead of the one nearest its bound."""
    a, limit = np.ones((3, 4)), np.full((3, 4), 1e-9)
    b = a.copy()
    b[2, 1] += 1e-12
    limit[2, 1] = 1e-13
    b[0, 0] += 1e-10
    assert by_hand.nearest(a, b, limit, 1.0) == {
        "measured": pytest.approx(1e-12, rel=1e-3), "predicted": 1e-13,
    }  # fmt: skip


@pytest.mark.parametrize("backend", ("scratch", "torchref"))
def test_wrong_shapes_are_refused_and_square_ones_are_not(backend):
    w, x, square = numbers((2, 3), (3, 4), (3, 3))
    refused = transpose.is_refused
    assert refused(backend, w.T, x) and not refused(backend, square.T, x) and not refused(backend, w, x)
    assert one_product.rows(backend, w, x).shape == (2, 4)


# --- options, failures, committed results -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed, named",
    [
        ({"inputs": ()}, "--inputs"), ({"inputs": (0, 3)}, "--inputs"), ({"inputs": (3, 3)}, "--inputs"),
        ({"squares": (1,)}, "--squares"), ({"widths": (0,)}, "--widths"), ({"examples": 1}, "--examples"),
        ({"trials": 1}, "--trials"), ({"largest": 2}, "--largest"), ({"draws": 1}, "--draws"), ({"seed": -1}, "--seed"),
        ({"dtype": "float16"}, "--dtype"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(changed, named):
    with pytest.raises(InvalidInput, match=f"{named}: expected"):
        EXPERIMENT.options(**changed)


def test_float32_holds_too():
    """Bounds that are float64's whatever the type."""
    result = run(EXPERIMENT, **SMALL | {"dtype": "float32", "squares": (2,), "draws": 100})
    assert result.holds and result.tables["failures"].empty
