"""What the notes say of shapes, rows and columns, held against both implementations."""

from __future__ import annotations

from functools import partial

import pandas as pd

from experiments.claims import Claim
from experiments.experiment import Analysis, Tables

NOTES = {
    ("3 × 1", "a1"): (2, 1),
    ("3 × 1", "a2"): (1, 1),
    ("3 × n", "a1"): (2, None),
    ("3 × n", "a2"): (1, None),
}  # None: n
EXACT = {"standard_error": 0.0}  # any difference at all is infinitely many standard errors
SHARE = (
    5  # a fifth of a bound counts as the standard error: the limit, 4.0 to 4.9 of them, is a little inside the bound
)
COLUMNS = {  # of the tables that a failed cell leaves out
    "shapes": ["backend", "x", "product", "n", "rows", "columns"],
    "products": ["backend", "comparison", "inputs", "measured", "control", "predicted", "trials"],
    "refused": ["backend", "square", "measured", "shapes", "inputs"],
    "squares": ["backend", "n", "quantity", "measured", "standard_error", "control_measured", "control_error", "draws"],
    "by_hand": ["backend", "widest", "signal", "measured", "predicted", "control"],
    "alone": ["backend", "widest", "elsewhere", "itself", "mixed"],
}
NEXT_STEPS = (
    "`--dtype float32`: the same bounds in units of float32's own, 5e8 times larger rounding.",
    "`--inputs 10 100 1000 10000 --largest 8`: the error of a sum grows far more slowly than its bound, n roundings.",
    "`--squares 2 4 8 16 32 64 128 256`: how a transposed matrix's numbers part from the right ones, 1/n, while their size stays.",
    "`python -m timeit -s 'import numpy as n; W, X = n.ones((2, 3)), n.ones((3, 1000))' 'W @ X'`, and then "
    "`'[W @ X[:, j] for j in range(1000)]'`: the multiplications are as many; what the one product saves is 999 calls.",
)


def analyse(tables: Tables) -> Analysis:
    tables = {name: tables.get(name, pd.DataFrame(columns=columns)) for name, columns in COLUMNS.items()}
    shapes, products = shaped(tables["shapes"]), tables["products"]
    silent = tables["squares"].assign(predicted=predicted(tables["squares"]))
    claims = [
        shapes_claim(shapes),
        *(products_claim(products, *said) for said in SAID),
        refused_claim(tables["refused"]),
        silent_claim(silent),
        hand_claim(tables["by_hand"]),
        alone_claim(tables["alone"]),
    ]
    derived = {"shapes": shapes, "squares": silent}
    return Analysis(derived, claims, partial(finding, products), NEXT_STEPS, printed="shapes")


def shaped(shapes: pd.DataFrame) -> pd.DataFrame:
    """Every product's rows and columns beside those of the notes, and beside what the slip there makes of them."""
    found = []
    for one in shapes.itertuples():
        for what, said in zip(("rows", "columns"), NOTES[one.x, one.product], strict=True):
            size = one.n if said is None else said
            slip = one.n if (one.x, one.product, what) == ("3 × 1", "a2", "columns") else size
            named = {"backend": one.backend, "condition": f"{one.product} of x {one.x}: {what}"}
            found.append(named | {"measured": getattr(one, what), "predicted": size, "slip": slip})
    return pd.DataFrame(found, columns=["backend", "condition", "measured", "predicted", "slip"])


def shapes_claim(shapes: pd.DataFrame) -> Claim:
    return Claim(
        "shapes",
        "W 2×3 and V 1×2 turn one input 3×1 into 2×1 and 1×1, and n inputs 3×n into 2×n and 1×n: each column is one example's output.",
        "notes, Forward Propagation",
        "Whole numbers, so any difference is infinitely many standard errors. The notes write [1×2][2×1] = 1×n for one input and "
        "⇒ 1×1 below it: the first is a slip, the second is right",
        "the slip: [1×2][2×1] = 1×n",
        shapes.assign(control_predicted=shapes.slip, **EXACT).sort_values("slip", ascending=False, kind="stable"),
    )


SAID = (
    (
        "exact sums",
        "a row a neuron, a column an example",
        "Entry (i, j) of WX is neuron i's row times example j's column, for any shapes: no transpose is needed.",
        "at most n + 2 roundings of Σ|w||x| from sums that math.fsum rounds once (Higham 2002, lemma 3.1)",
        "Wᵀ in W's place, where W is square",
    ),
    (
        "a loop",
        "one product is the whole loop",
        "WX gives all examples at once what a loop over the columns gives one at a time.",
        "both round sums of n products: at most 2n roundings of Σ|w||x| apart",
        "the loop's results one column late",
    ),
    (
        "rows",
        "XᵀWᵀ = (WX)ᵀ",
        "With an example a row, as in nn.Linear, the same W gives the same numbers transposed: the transpose is only moved elsewhere.",
        "both round sums of n products: at most 2n roundings of Σ|w||x| apart. torchref: nn.Linear's rows beside torch.matmul(W, X)",
        "Wᵀ in W's place, where W is square",
    ),
)


def products_claim(
    products: pd.DataFrame, comparison: str, name: str, statement: str, basis: str, control: str
) -> Claim:
    rows = products[products.comparison == comparison]
    frame = bounded(rows, rows.inputs.astype(str) + " inputs")
    shown = f"Largest difference on all random shapes, in units of u·Σ|w||x|: {basis}. A fifth of the bound counts as standard error"
    return Claim(name, statement, "notes, Forward Propagation", shown, control, frame)


def bounded(rows: pd.DataFrame, condition: pd.Series) -> pd.DataFrame:
    """Differences that are to be 0, within the rounding bound that stands under ``predicted``."""
    errors = {"predicted": 0.0, "standard_error": rows.predicted / SHARE}
    return rows.assign(condition=condition, control_measured=rows.control, **errors)


def refused_claim(refused: pd.DataFrame) -> Claim:
    square = refused[refused.square.astype(bool)].set_index(["backend", "inputs"]).measured
    rows = refused[~refused.square.astype(bool)].sort_values("inputs", ascending=False, kind="stable")
    beside = square.reindex(pd.MultiIndex.from_frame(rows[["backend", "inputs"]])).to_numpy()
    frame = rows.assign(condition=rows.inputs.astype(str) + " inputs", predicted=1.0, control_measured=beside, **EXACT)
    return Claim(
        "Wᵀ is refused unless W is square",
        "A transpose in the wrong place gives no number at all where W is not square: the shapes do not fit.",
        "derived: Wᵀ is (inputs, neurons) and X (inputs, examples)",
        "Share of the random shapes that are refused",
        "square W, of which none is refused",
        frame,
    )


def predicted(squares: pd.DataFrame) -> pd.Series:
    """E‖Wᵀx‖² = E‖Wx‖² = n‖x‖², and E⟨Wᵀx, Wx⟩ = Σ_ijk x_j x_k E w_ji w_ik = ‖x‖²: only j = i = k gives w² (W of N(0, 1))."""
    return (1.0 / squares.n.astype(float)).where(squares.quantity == "overlap", 1.0)


def silent_claim(squares: pd.DataFrame) -> Claim:
    frame = squares.assign(condition=squares.quantity + ", n = " + squares.n.astype(str), dof=squares.draws - 1)
    return Claim(
        "a square Wᵀ is wrong in silence",
        "Transposed by mistake, a random n×n matrix gives numbers of the right size, ‖Wᵀx‖²/n‖x‖² = 1, that overlap with the right "
        "ones only by ⟨Wᵀx, Wx⟩/n‖x‖² = 1/n.",
        "derived: of E w_ji w_ik only j = i = k is not 0",
        "Mean over independent random matrices, Student's t",
        "the right numbers, which overlap with themselves by 1",
        frame,
    )


def hand_claim(by_hand: pd.DataFrame) -> Claim:
    condition = by_hand.signal + ", up to " + by_hand.widest.astype(str) + " units a layer"
    return Claim(
        "the notes' network by hand",
        "z1 = w1 x + b1, a1 = tanh z1, z2 = w2 a1 + b2, ŷ = a2 = σ(z2): number by number with Python's math, the same numbers.",
        "notes, Forward Propagation",
        "Difference in units of u where it comes nearest to its bound, which follows the roundings from layer to layer: i + 1 for every "
        "sum of i products and a bias, 8 for tanh and σ, whose slopes are at most 1 and ¼. A fifth of the bound counts as standard error",
        "by hand without tanh",
        bounded(by_hand, condition),
    )


def alone_claim(alone: pd.DataFrame) -> Claim:
    alone = alone.sort_values("widest", ascending=False, kind="stable")
    condition = "up to " + alone.widest.astype(str) + " units a layer"
    return Claim(
        "columns know nothing of each other",
        "Another example in one column changes that column of every layer's output; elsewhere not a single bit changes.",
        "notes: each column is the output of 1 example",
        "The largest change elsewhere, in any layer and shape: exactly 0, as no operation mixes columns",
        "the same with batch norm, whose mean is taken over the batch",
        alone.assign(
            condition=condition, measured=alone.elsewhere, predicted=0.0, control_measured=alone.mixed, **EXACT
        ),
    )


def finding(products: pd.DataFrame, claims: pd.DataFrame) -> str:
    held = f"{(claims.verdict == 'holds').sum()} of {len(claims)} claims hold in both implementations."
    loop = products[products.comparison == "a loop"]
    if loop.empty:
        return held
    return (
        f"One product WX does for all examples what a loop does for one at a time: the numbers differ by {loop.measured.max():.1f} "
        "roundings at most. With neurons as rows and examples as columns nothing is transposed; a transpose in the wrong place is "
        "refused unless W is square, and there it goes unnoticed, with numbers of the right size that overlap with the right ones "
        f"only by 1/n. For one input the notes' [1×2][2×1] = 1×n is a slip, their ⇒ 1×1 is right. {held}"
    )
