"""The chain rule, small: everything holds in both implementations, every control fails, every exact value has a witness."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from math import prod

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.catalog.chain_rule import cost, graph, laws, paths, products, shared, twice
from experiments.compare.backends import backends
from experiments.lab.experiment import load
from experiments.lab.judge import judge
from scratch.autodiff import Var
from scratch.errors import InvalidInput

EXPERIMENT = load("chain_rule")
SMALL = {"points": 20, "factors": (1, 2, 7), "draws": 3}
BACKENDS = pytest.mark.parametrize("backend", shared.BACKENDS)


@pytest.fixture(scope="session")
def small(ran):
    return ran("chain_rule")


@pytest.fixture
def result(small):
    return small[0]


def verdicts(result, **spoilt):
    """Judged anew from the measured tables, some of them spoilt."""
    return (
        judge(EXPERIMENT.definition.analyse(result.tables | spoilt, result.options).claims)[0]
        .set_index("claim")
        .verdict
    )


def test_only_x2_loses_a_path(result):
    """A control that cuts more than it says: x1 and x3 must keep their shares to the last digit."""
    rows = result.tables["slopes"].query("example == 'two'").groupby("variable").control.max()
    assert rows["x2"] > 1e12 and rows[["x1", "x3"]].max() < paths.ROUNDINGS


@BACKENDS
@pytest.mark.parametrize(
    "table, where, column, claim",
    [
        ("slopes", "example == 'one' and witness == 'autodiff'", "measured", "∂z/∂x = 4x"),
        ("slopes", "example == 'one' and witness == 'complex step'", "measured", "∂z/∂x = 4x"),
        ("slopes", "example == 'two' and variable == 'x3'", "measured", "a sum over paths"),
        ("programs", "program == '2x²' and x == 1", "value", "the dropped +1"),
        ("programs", "program == '2x²' and x == 1", "slope", "the dropped +1"),
        ("nodes", "node == 'x2'", "share", "a node's share"),
        ("chains", "quantity == 'autodiff'", "measured", "the product of the others"),
        ("chains", "quantity == 'layers'", "measured", "the product of the others"),
        ("chains", "quantity == 'product rule'", "measured", "the product rule"),
        ("chains", "quantity == 'H v'", "measured", "H v of a product"),
        ("multiplications", "mode == 'reverse' and n == 7", "multiplications", "backwards: one pass"),
        ("multiplications", "mode == 'complex step' and n == 7", "multiplications", "forwards: n passes"),
        ("seconds", "quantity == 'second derivatives'", "measured", "differentiated twice"),
        ("seconds", "quantity == 'H v'", "measured", "differentiated twice"),
    ],
)
def test_every_claim_fails_where_one_is_wrong(result, backend, table, where, column, claim):
    """A claim that looks at one of the two only, or at nothing."""
    frame = result.tables[table].copy()
    rows = frame.query(f"backend == @backend and {where}").index
    assert len(rows)
    frame[column] = frame[column].astype(float)
    frame.loc[rows, column] += (
        1e-9 if column in ("value", "slope", "share") else 1.0 if table == "multiplications" else 1e3
    )
    found = verdicts(result, **{table: frame})
    assert found[claim] == "fails" and (found.drop(claim) == "holds").all()


# --- exact values, each against another witness -----------------------------------------------------------------------------


def test_sympys_derivatives_are_the_notes():
    """The notes' own formulas at fractions: gradient of both, and the Hessian of the second written out."""
    x1, x2, x3 = point = (Fraction(3, 7), Fraction(-5, 3), Fraction(11, 4))
    y1, y2 = x1 + x2**2, x2 + x3**2
    assert [g(x1) for g in laws.symbolic("one")[0]] == [4 * x1]
    assert [g(*point) for g in laws.symbolic("two")[0]] == [2 * y1, 4 * y1 * x2 + 2 * y2, 4 * y2 * x3]
    expected = [[2, 4 * x2, 0], [4 * x2, 4 * y1 + 8 * x2**2 + 2, 4 * x3], [0, 4 * x3, 4 * y2 + 8 * x3**2]]
    assert [[h(*point) for h in row] for row in laws.symbolic("two")[1]] == expected
    assert [[h(x1) for h in row] for row in laws.symbolic("one")[1]] == [[4]]


def test_the_sum_of_sizes_bounds_the_terms():
    """4x2³ + 4x1x2 + 2x2 + 2x3² at (1, −2, 3): the terms cancel in part, their sizes do not."""
    value, size = laws.exactly(laws.symbolic("two")[0][1], (1.0, -2.0, 3.0))
    assert (value, size) == (-32 - 8 - 4 + 18, 32 + 8 + 4 + 18)


def test_off_counts_roundings():
    """The next number above 1 is two roundings away; a 0 that must be 0 allows nothing."""
    one = (Decimal(1), Decimal(1))
    assert laws.off(1 + 2.0**-52, one) == 2 and laws.off(1.0, one) == 0
    assert laws.off(0.0, (Decimal(0), Decimal(0))) == 0 and laws.off(1e-300, (Decimal(0), Decimal(0))) == np.inf


def test_the_product_of_the_others():
    """Against every product written out; with a zero among them, where dividing the whole product would fail."""
    factors = [Decimal(a) for a in (3, -2, 0, 7, 5)]
    expected = [prod(factors[:i] + factors[i + 1 :]) for i in range(5)]
    assert products.without_each(factors) == expected == [0, 0, -210, 0, 0]
    assert products.without_each([Decimal(4)]) == [1]


@BACKENDS
def test_slopes_curvature_and_products_of_a_cubic(backend):
    """x1² x2 + x3 at (2, 5, 1): gradient (20, 4, 1), Hessian ((10, 4, 0), (4, 0, 0), (0, 0, 0)), H·(1, 2, 3) = (18, 4, 0)."""

    def program(a, b, c):
        return a**2 * b + c

    x = np.array([2.0, 5.0, 1.0])
    columns = np.stack([x, 2 * x], axis=1)
    assert shared.gradients(backend, program, columns).tolist() == [[20, 80], [4, 16], [1, 1]]
    np.testing.assert_allclose(paths.stepped(backend, program, columns), [[20, 80], [4, 16], [1, 1]], rtol=1e-15)
    assert twice.curvature(backend, program, x).tolist() == [[10, 4, 0], [4, 0, 0], [0, 0, 0]]
    assert shared.curved(backend, program, x, np.array([1.0, 2.0, 3.0])).tolist() == [18, 4, 0]


@BACKENDS
def test_a_cut_path_carries_nothing(backend):
    """d(x · fixed x)/dx is x, not 2x."""
    assert shared.gradients(backend, lambda x: x * paths.fixed(x), np.array([[3.0]])).tolist() == [[3.0]]


@BACKENDS
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_long_products_to_rounding(backend, n):
    """Every exact value of a product of n by summing over subsets, with fractions: a law of its own beside ``without_each``."""
    random = np.random.default_rng(n)
    w, v, x = random.standard_normal(n), random.standard_normal(n), 1.25
    shot = backends("cpu")[backend].snapshot(products.chain_job(w[None], np.array([x])))
    with laws.fifty_digits():
        (found,) = products.single(w, x, v, {backend: products.layered(shot)[0]})
    assert found.quantity.tolist() == list(products.most(n)) and set(found.backend) == {backend}
    for row in found.itertuples():
        assert row.measured <= products.most(n)[row.quantity], row.quantity
        assert row.control > 1e6 or n == 1, row.quantity
    f = [Fraction(a) for a in w.tolist()]
    terms = [
        sum((Fraction(v[j]) * prod(f[k] for k in range(n) if k not in (i, j)) for j in range(n) if j != i), Fraction())
        for i in range(n)
    ]
    mine = shared.curved(backend, lambda *factors: shared.multiplied(factors, x), w, v)
    np.testing.assert_allclose(mine, [float(t * Fraction(x)) for t in terms], rtol=0, atol=1e-14)  # numbers of order 1


@BACKENDS
def test_the_product_rule_over_subsets(backend):
    """y = Π(a_k + x) is Σ e_j x^(n−j) with the elementary symmetric e_j, so y′ is known without the product rule."""
    a, x = [0.5, 2.0, 1.25, 3.0], 0.75  # eighths: exact
    e = [sum(prod(c) for c in combinations(a, j)) for j in range(5)]
    expected = sum(e[j] * (4 - j) * x ** (3 - j) for j in range(4))
    found = shared.gradients(backend, lambda x: shared.multiplied([k + x for k in a], 1.0), np.array([[x]]))
    assert found.item() == expected


@BACKENDS
@pytest.mark.parametrize("n", [1, 2, 9])
def test_multiplications_are_counted(backend, n):
    """A count that is computed instead of counted would not notice another program: a second product of each factor doubles it."""
    w = np.linspace(0.5, 1.5, n)
    assert cost.reverse_mode(backend, w, 2.0) == 3 * n - 1
    assert cost.forward_mode(backend, w, 2.0) == n * n


@BACKENDS
def test_another_program_costs_something_else(backend, monkeypatch):
    """Each factor used twice: 2n forwards; back, 4n − 1."""
    once = cost.multiplied

    def twice(factors, x, times=lambda a, b: a * b):
        return once([f for factor in factors for f in (factor, factor)], x, times)

    monkeypatch.setattr(cost, "multiplied", twice)
    w = np.array([0.5, 1.5, 2.5])
    assert cost.reverse_mode(backend, w, 2.0) == 6 + 11 and cost.forward_mode(backend, w, 2.0) == 18


# --- the tape ---------------------------------------------------------------------------------------------------------------


def test_the_graph_is_the_notes(result):
    """Shares at x = 3 and (1, 2, 3) by the notes' formulas: 4x; 2y1, 4y1x2 + 2y2, 4y2x3; and the six edges."""
    nodes, edges = result.tables["nodes"], result.tables["edges"]
    for backend in shared.BACKENDS:
        held = nodes[nodes.backend == backend].set_index(["example", "node"])
        assert held.share.to_dict() == {
            ("one", "x"): 12, ("one", "y"): 2, ("one", "z"): 1, ("two", "x1"): 10, ("two", "x2"): 62, ("two", "x3"): 132,
            ("two", "y1"): 10, ("two", "y2"): 22, ("two", "z"): 1,
        }  # fmt: skip
        mine = edges[(edges.backend == backend) & (edges.example == "two")]
        assert set(zip(mine["from"], mine["to"], mine.slope, strict=True)) == {
            ("x1", "y1", 1), ("x2", "y1", 4), ("x2", "y2", 1), ("x3", "y2", 6), ("y1", "z", 10), ("y2", "z", 22),
        }  # fmt: skip


def test_the_table_is_the_tape(result):
    """A line of the printed tape that loses a column."""
    table = result.tables["tape"]
    assert len(table) == 4 + 10 and table.notna().all(axis=None)
    held = table[table.example == "two"].set_index("node")
    assert held.loc["y1"].tolist() == ["two", "x1 + v1", "5", "∂y1/∂x1 = 1, ∂y1/∂v1 = 1", "10"]
    assert held.loc["x2"].tolist() == ["two", "given", "2", "", "62"]


def test_the_drawn_lines_go_through_the_points(result):
    """A figure whose lines belong to other points; on multiples of ⅛ nothing is rounded."""
    paths, dropped = result.tables["paths"], result.tables["dropped"]
    assert (paths.share == paths.predicted).all() and paths.path.nunique() == 3
    assert (dropped.value == dropped.predicted_value).all() and (dropped.slope == dropped.predicted_slope).all()


def test_shares_add_over_the_edges():
    """A join that takes the lower node's share."""
    nodes = pd.DataFrame(
        {"backend": "b", "example": "e", "node": ["a", "c", "d"], "value": 0.0, "share": [9.0, 2.0, 3.0]}
    )
    edges = pd.DataFrame({"backend": "b", "example": "e", "from": ["a", "a"], "to": ["c", "d"], "slope": [5.0, 7.0]})
    found = graph.shares(nodes, edges)
    assert found[["node", "summed", "largest", "ways", "share"]].to_numpy().tolist() == [["a", 31.0, 21.0, 2, 9.0]]


def test_no_way_is_no_share():
    for backend, leaf in (("scratch", Var), ("torchref", lambda a: torch.tensor(a, requires_grad=True))):
        a, b = leaf(2.0), leaf(3.0)
        assert float(graph.derivative(backend, a * a, b)) == 0 and float(graph.derivative(backend, a, b)) == 0


# --- options, failures, committed results -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed, named",
    [
        ({"factors": ()}, "--factors"), ({"factors": (0, 2)}, "--factors"), ({"factors": (2, 2)}, "--factors"),
        ({"factors": (1,)}, "--factors"), ({"points": 0}, "--points"), ({"draws": 0}, "--draws"), ({"seed": -1}, "--seed"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(changed, named):
    with pytest.raises(InvalidInput, match=f"{named}: expected"):
        EXPERIMENT.options(**changed)
