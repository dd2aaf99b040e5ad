"""The words that pages share: what stands beside what, and what their figures draw."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

from experiments.lab import each, fan, joined, key, matched, panels, ticks
from experiments.lab.figures import decades, logarithmic
from experiments.lab.words import held, raised

TABLE = pd.DataFrame(
    [(name, n, x, 10.0 * n + x) for name in ("scratch", "torchref") for n in (2, 1) for x in (1, 2)],
    columns=["backend", "n", "x", "measured"],
).assign(standard_error=0.1)


def test_matched_finds_the_row_of_the_same_key_in_the_rows_own_order():
    """A control taken from another condition, or in another order."""
    one, two = (TABLE[TABLE.n == n] for n in (1, 2))
    other = matched(two, one.iloc[::-1], ["backend", "x"])
    assert list(other.index) == list(two.index) and list(other.measured) == [11, 12, 11, 12]
    assert matched(two, one[one.x == 1], ["backend", "x"]).measured.isna().tolist() == [False, True, False, True]


def test_a_fan_has_a_series_for_each_value_in_order():
    """A colour or a label of another value; a thin line where no points are."""
    figure, (ax,) = panels(["both"])
    fan(ax, TABLE, "n", "n = {}", x="x", first=3, draw=joined)
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["n = 1", "n = 2"] and handles[0].get_color() != handles[1].get_color()
    assert len([line for line in ax.lines if line.get_linewidth() == 0.8]) == 2
    assert key(figure, [ax], xlabel="x", ylabel="y", xscale="log") is figure
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("x", "y", "log")


def test_ticks_are_plain_numbers_and_leave_the_limits_alone():
    """10⁻¹ for 0.1, minor ticks between, a view widened to a tick that nobody sees."""
    _, (ax,) = panels([""])
    ax.set(xscale="log", xlim=(0.5, 3))
    ticks(ax.xaxis, [0.1, 1, 2])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.1", "1", "2"] and ax.get_xlim() == (0.5, 3)
    assert not len(ax.xaxis.get_minorticklocs())
    assert decades(pd.Series([0.9, 4.0])) == [0.5, 1, 2, 5]
    ax.set(yscale="log")
    logarithmic(ax.yaxis, pd.Series([0.9, 4.0]))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0.5", "1", "2", "5"]


def test_words():
    """A verdict that counts what fails; a minus that is no superscript."""
    assert held(pd.DataFrame({"verdict": ["holds", "fails"]})).startswith("1 of 2 claims hold")
    assert raised(-12.0) == "⁻¹²"


def test_each_lists_the_combinations_of_options_and_values():
    """Cells in the order of the command line, or numbers sorted and names too."""
    asked = SimpleNamespace(depths=(30, 5), names=("tanh", "relu"))
    grid = each(depth="depths", name="names")(asked)
    assert grid[0] == {"depth": 5, "name": "tanh"} and [cell["name"] for cell in grid] == ["tanh", "relu"] * 2
    assert each(kind={"b": 1, "a": 2})(asked) == [{"kind": "b"}, {"kind": "a"}]
