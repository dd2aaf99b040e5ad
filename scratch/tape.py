"""The way back, written down as the notes write it: one line for each node, and the notes' two worked examples of the chain rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratch.autodiff import Var, plain, shares, upstream
from scratch.command import run
from scratch.derivatives import RULES

INFIX = {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.power: "**", np.matmul: "@"}


def notes_example_one(x: Any) -> dict[str, Any]:
    """y = x², z = 2y + 1, so ∂z/∂x = 2·2x = 4x. (The notes go on "z = 2x²", which drops the +1: the derivative is right all the same.)"""
    y = x**2
    return {"x": x, "y": y, "z": 2 * y + 1}


def notes_example_two(x1: Any, x2: Any, x3: Any) -> dict[str, Any]:
    """y₁ = x₁ + x₂², y₂ = x₂ + x₃², z = y₁² + y₂², so ∇z = (2y₁, 4y₁x₂ + 2y₂, 4y₂x₃): x₂ has two ways to z."""
    y1, y2 = x1 + x2**2, x2 + x3**2
    return {"x1": x1, "x2": x2, "x3": x3, "y1": y1, "y2": y2, "z": y1**2 + y2**2}


def tape(z: Var, names: dict[str, Any]) -> str:
    """Each node that z came from: its name, how and from what it was made, its value, its derivatives, and its share ∂z/∂node.

    ``names`` names nodes; the rest are called v1, v2, …. z is one number. A share is the sum, over all nodes made of this
    one, of their share times their derivative: what the lines below it say.
    """
    order, share = upstream(z), shares(z)
    given = {id(node): name for name, node in names.items() if isinstance(node, Var)}
    unnamed = (node for node in order if id(node) not in given)
    name = given | {id(node): f"v{k}" for k, node in enumerate(unnamed, 1)}
    rows = [("node", "made of", "value", "its derivatives", f"∂{name[id(z)]}/∂node")]
    for node in order:
        cells = (_expression(node, name), _text(node.value), _derivatives(node, name), _text(share[id(node)]))
        rows.append((name[id(node)], *cells))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _expression(node: Var, name: dict[int, str]) -> str:
    if node.function is None:
        return "given"
    terms = [name.get(id(a)) or _text(a) for a in node.arguments]
    if node.function in INFIX:
        return f"{terms[0]} {INFIX[node.function]} {terms[1]}"
    function = getattr(node.function, "func", node.function)  # inside a functools.partial
    return f"{getattr(function, '__name__', 'function').strip('_<>')}({', '.join(terms)})"


def _derivatives(node: Var, name: dict[int, str]) -> str:
    """∂node/∂argument of every argument; for an argument that appears twice, both."""
    found: dict[str, list[str]] = {}
    for argument, rule in zip(node.arguments, node.rules, strict=False):
        if isinstance(argument, Var):
            slope = f"{node.size}×{argument.size} matrix"
            if node.size == 1 or node.function in RULES:
                slope = _text(plain(rule(np.ones_like(node.value), node.value, *map(plain, node.arguments))))
            found.setdefault(f"∂{name[id(node)]}/∂{name[id(argument)]}", []).append(slope)
    return ", ".join(f"{which} = {' + '.join(slopes)}" for which, slopes in found.items())


def _text(value: Any) -> str:
    if not isinstance(value, (np.ndarray, np.generic, int, float)):
        return str(value)
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{array.item():g}"
    return " ".join(np.array2string(array, separator=", ").split()) if array.size <= 6 else f"array {array.shape}"


def main() -> None:
    """Prints the notes' examples at numbers that can be checked by hand."""
    for example, point in ((notes_example_one, (3,)), (notes_example_two, (1, 2, 3))):
        nodes = example(*map(Var, point))
        print(example.__doc__, tape(nodes["z"], nodes), sep="\n\n", end="\n\n")


if __name__ == "__main__":
    run(main)
