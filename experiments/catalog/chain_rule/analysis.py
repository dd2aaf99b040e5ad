"""The notes' lines on the chain rule, and what follows from them, held against both implementations."""

from __future__ import annotations

from functools import partial

import pandas as pd

from experiments.claims import Claim
from experiments.experiment import Analysis, Tables

EXACT = {"standard_error": 0.0}  # any difference at all is infinitely many standard errors
SHARE = (
    5  # a fifth of a bound counts as the standard error: the limit, 4.0 to 4.9 of them, is a little inside the bound
)
SLOPE = 8  # roundings: no number of the examples' gradients comes from a longer row of operations
BOUNDED = "Largest difference from fifty digits, in roundings u·Σ|terms|; a fifth of the bound counts as standard error"
COLUMNS = {  # of the tables that a failed cell leaves out
    "slopes": ["backend", "example", "witness", "variable", "measured", "control", "points"],
    "dropped": ["backend", "program", "x", "value", "slope"],
    "paths": ["backend", "path", "x2", "share"],
    "nodes": ["backend", "example", "node", "value", "share"],
    "edges": ["backend", "example", "from", "to", "slope"],
    "seconds": ["backend", "example", "quantity", "predicted", "points", "measured", "control"],
    "chains": ["backend", "n", "quantity", "measured", "control", "predicted", "draws"],
    "cost": ["backend", "n", "mode", "multiplications"],
}
NEXT_STEPS = (
    "`python -m scratch.autodiff`: the tape of both examples, node by node.",
    "`--factors 10 100 400 --draws 3`: one pass stays one pass, while the complex steps pay for every factor again.",
    "Change a line of `notes_example_two` in `scratch/tape.py` and look at the graph: sympy differentiates what stands there.",
    "`python -m experiments.run vanishing_gradient`: what such products of many factors do to the gradient of a deep network.",
)


def analyse(tables: Tables) -> Analysis:
    tables = {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in COLUMNS.items()}
    summed, cost = sums(tables["nodes"], tables["edges"]), costs(tables["cost"])
    claims = [
        slope_claim(tables["slopes"]),
        dropped_claim(tables["dropped"]),
        paths_claim(tables["slopes"]),
        shares_claim(summed),
        *(chain_claim(tables["chains"], *said) for said in CHAINS),
        *(cost_claim(cost, *said) for said in COSTS),
        seconds_claim(tables["seconds"]),
    ]
    derived = {"shares": summed, "cost": cost, "paths": ways(tables["paths"]), "dropped": lines(tables["dropped"])}
    return Analysis(derived, claims, partial(finding, cost), NEXT_STEPS, printed="tape")


def bounded(rows: pd.DataFrame, condition: pd.Series, roundings: int | pd.Series) -> pd.DataFrame:
    """Differences that are to be 0 within so many roundings."""
    return rows.assign(
        condition=condition, predicted=0.0, standard_error=roundings / SHARE, control_measured=rows.control
    )


# --- the notes' examples ---------------------------------------------------------------------------------------------------


def slope_claim(slopes: pd.DataFrame) -> Claim:
    rows = slopes[slopes.example == "one"]
    return Claim(
        "∂z/∂x = 4x",
        "z = 2y + 1 with y = x²: ∂z/∂x = ∂z/∂y · ∂y/∂x = 2 · 2x = 4x at every point, by the chain rule and by complex steps.",
        "notes, Chain Rule",
        f"sympy's derivative at random points, at most {SLOPE} roundings away. {BOUNDED}",
        "∂z/∂y alone, without ∂y/∂x",
        bounded(rows, rows.witness, SLOPE),
    )


def dropped_claim(dropped: pd.DataFrame) -> Claim:
    wide = dropped.pivot(index=["backend", "x"], columns="program", values=["value", "slope"])
    found = []
    for quantity, predicted in (("value", 1.0), ("slope", 0.0)):
        if dropped.empty:
            break
        differences = (wide[quantity, "2y + 1"] - wide[quantity, "2x²"]).groupby("backend")
        for side, numbers in (("smallest", differences.min()), ("largest", differences.max())):
            found += [
                {
                    "backend": backend,
                    "condition": f"{quantity}, {side} difference",
                    "measured": number,
                    "predicted": predicted,
                }
                for backend, number in numbers.items()
            ]
    frame = pd.DataFrame(found, columns=["backend", "condition", "measured", "predicted"])
    return Claim(
        "the dropped +1",
        "The notes go on z = 2y + 1 = 2x² and lose the 1: the value is off by exactly 1 at every x, the slope by exactly 0.",
        "notes, Chain Rule; a constant has no slope",
        "Exact: on multiples of ⅛ no operation of either program is rounded",
        "that the two are the same function: a difference of 0 in the value",
        frame.assign(control_predicted=0.0, **EXACT),
    )


def lines(dropped: pd.DataFrame) -> pd.DataFrame:
    """What each program's value and slope must be."""
    squares = 2 * dropped.x.astype(float) ** 2
    return dropped.assign(predicted_value=squares + (dropped.program == "2y + 1"), predicted_slope=4 * dropped.x)


def ways(paths: pd.DataFrame) -> pd.DataFrame:
    """The notes' terms of ∂z/∂x2 at x1 = 1, x3 = 3: 4y1x2 through y1, 2y2 through y2."""
    x2 = paths.x2.astype(float)
    first, second = 4 * (1 + x2**2) * x2, 2 * (x2 + 9)
    return paths.assign(
        predicted=first.where(paths.path != "through y2", 0) + second.where(paths.path != "through y1", 0)
    )


def paths_claim(slopes: pd.DataFrame) -> Claim:
    rows = slopes[slopes.example == "two"]
    return Claim(
        "a sum over paths",
        "z = y1² + y2², y1 = x1 + x2², y2 = x2 + x3²: ∇z = (2y1, 4y1x2 + 2y2, 4y2x3); x2 has two ways to z, and its shares add up.",
        "notes, Chain Rule",
        f"sympy's gradient at random points, at most {SLOPE} roundings away. {BOUNDED}",
        "the way of x2 through y2 cut (x1 and x3 keep their shares)",
        bounded(rows, rows.variable + ", " + rows.witness, SLOPE),
    )


def sums(nodes: pd.DataFrame, edges: pd.DataFrame) -> pd.DataFrame:
    """For every node but z: its share, and the shares of what was made of it times the local derivatives, summed."""
    key = ["backend", "example"]
    parts = edges.merge(nodes.rename(columns={"node": "to", "share": "above"}).drop(columns="value"), on=[*key, "to"])
    terms = parts.assign(term=parts.slope * parts.above).groupby([*key, "from"], sort=False).term
    joined = pd.DataFrame({"summed": terms.sum(), "largest": terms.max(), "ways": terms.count()}).reset_index()
    return joined.rename(columns={"from": "node"}).merge(nodes, on=[*key, "node"])


def shares_claim(summed: pd.DataFrame) -> Claim:
    frame = summed.assign(
        condition="example " + summed.example + ", " + summed.node,
        measured=summed.share,
        predicted=summed.summed,
        control_predicted=summed.largest,
        **EXACT,
    ).sort_values("ways", ascending=False, kind="stable")
    return Claim(
        "a node's share",
        "At every node of the graph ∂z/∂node is the sum, over the nodes made of it, of their share times the local derivative.",
        "notes: ∂z/∂x2 = ∂z/∂y1 · ∂y1/∂x2 + ∂z/∂y2 · ∂y2/∂x2",
        "Exact: at x = 3 and at (1, 2, 3) every number is whole",
        "the largest term instead of the sum",
        frame,
    )


def seconds_claim(seconds: pd.DataFrame) -> Claim:
    names = {"second": "second derivatives", "H v": "H v"}
    return Claim(
        "differentiated twice",
        "The rules are themselves differentiable: the Hessians of both examples, and H v without H, the gradient of ⟨∇z, v⟩.",
        "Pearlmutter 1994",
        "sympy's second derivatives at random points, at most 16 roundings away, 24 for H v: no number comes from a longer row of "
        f"operations. {BOUNDED}",
        "the curvature along each variable alone, the Hessian's diagonal",
        bounded(
            seconds, "example " + seconds.example + ", " + seconds.quantity.map(names), seconds.predicted.astype(float)
        ),
    )


# --- long products ---------------------------------------------------------------------------------------------------------

CHAINS = (
    (
        ("autodiff", "layers"),
        "the product of the others",
        "y = w1 w2 … wn x: ∂y/∂w_i is x times the product of all the other factors, by autodiff and by the layers' own backward.",
        "notes: y = w1 w2 … wn x",
        "n + 1 roundings lie on any way",
        "the product of all factors, w_i among them",
    ),
    (
        ("product rule",),
        "the product rule",
        "y = (|w1| + x) … (|wn| + x): y′ is the sum over the factors of the products of the others, n paths from x to y.",
        "derived: each factor has slope 1 in x",
        "1 rounding in each of n factors, n in their product, n in the sum",
        "the product of the slopes, 1",
    ),
    (
        ("H v",),
        "H v of a product",
        "(H v)_i = Σ_(j≠i) v_j x Π_(k≠i,j) w_k, two passes for any n; the diagonal of H is 0, as y is straight in every factor.",
        "derived; Pearlmutter 1994",
        "n roundings each in the product, in its two ways back and in the sum, 1 in v",
        "the diagonal of H alone: 0",
    ),
)


def chain_claim(
    chains: pd.DataFrame, quantities: tuple[str, ...], name: str, statement: str, source: str, basis: str, control: str
) -> Claim:
    rows = chains[chains.quantity.isin(quantities)]
    count = rows.n.astype(str) + rows.n.map(lambda n: " factor" if n == 1 else " factors")
    condition = count + ", " + rows.quantity if len(quantities) > 1 else count
    return Claim(
        name, statement, source, f"{basis}. {BOUNDED}", control, bounded(rows, condition, rows.predicted.astype(float))
    )


def costs(cost: pd.DataFrame) -> pd.DataFrame:
    """The counts beside what they must be, for y = w1 w2 … wn x."""
    n = cost.n.astype(int)
    predicted = (3 * n - 1).where(cost["mode"] == "reverse", n * n)
    return cost.assign(predicted=predicted, other=(n * n).where(cost["mode"] == "reverse", 3 * n - 1))


COSTS = (
    (
        "reverse",
        "backwards: one pass",
        "One pass forwards and one back give all n derivatives of y = w1 w2 … wn x for 3n − 1 multiplications.",
        "n forwards; back, a share for each of a product's two factors, but none for x, which is held fixed: 2n − 1",
        "what a pass for each factor costs, n²",
    ),
    (
        "complex step",
        "forwards: n passes",
        "A complex step, as any derivative taken forwards, knows one direction: n derivatives are n passes of n multiplications.",
        "n passes of n",
        "what one pass back costs, 3n − 1",
    ),
)


def cost_claim(cost: pd.DataFrame, mode: str, name: str, statement: str, basis: str, control: str) -> Claim:
    rows = cost[cost["mode"] == mode].sort_values("n", ascending=False, kind="stable")
    frame = rows.assign(
        condition=rows.n.astype(str) + " factors", measured=rows.multiplications, control_predicted=rows.other, **EXACT
    )
    shown = f"Counted one by one as they are done: {basis}"
    return Claim(name, statement, "Griewank & Walther 2008, chapters 3 and 4", shown, control, frame)


def finding(cost: pd.DataFrame, claims: pd.DataFrame) -> str:
    held = f"{(claims.verdict == 'holds').sum()} of {len(claims)} claims hold in both implementations."
    if cost.empty:
        return held
    most = cost[cost.backend == "scratch"].pivot(index="n", columns="mode", values="multiplications").iloc[-1]
    return (
        "A derivative is a sum over paths of products along each path: so say the notes, and so say autodiff, torch.autograd, complex "
        "steps and sympy at every point. Walking back from z finds all derivatives in one pass: for a product of "
        f"{most.name} factors {most['reverse']} multiplications, against {most['complex step']} for a pass each. The notes' "
        f"z = 2y + 1 = 2x² drops the 1: the value is wrong by 1, the slope is right all the same. {held}"
    )
