"""Tables made of tables: means over seeds, and the comparisons of a claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

KNOWN = ("backend", "condition", "measured", "standard_error", "predicted", "dof", "tolerance",
         "control_measured", "control_predicted", "control_error")  # fmt: skip


def over_seeds(table: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """For each group: "measured", the mean; its "standard_error"; "seeds", how many; "dof", one less."""
    import pandas as pd

    grouped = table.groupby(list(by), sort=False)[value]
    count = grouped.count()
    columns = {"measured": grouped.mean(), "standard_error": grouped.sem(), "seeds": count, "dof": count - 1}
    return pd.DataFrame(columns).reset_index()


def compare(table: pd.DataFrame, condition: str, **columns: Any) -> pd.DataFrame:
    """The comparisons of a claim: those columns of the table that a claim knows, others by name, and the condition in words.

    ``condition`` is a format string over the table's columns, such as "{init}, depth {depth:g}". See ``Claim`` for the columns.
    """
    frame = table.assign(**columns)
    words = [condition.format_map(row) for row in frame.to_dict("records")]
    frame = frame.assign(condition=words)
    return frame[[name for name in frame.columns if name in KNOWN]]


def matched(rows: pd.DataFrame, table: pd.DataFrame, at: Sequence[str]) -> pd.DataFrame:
    """For each of the rows, what the table has under the same values of the columns ``at``: NaN where it has nothing."""
    import pandas as pd

    return table.set_index(list(at)).reindex(pd.MultiIndex.from_frame(rows[list(at)])).set_index(rows.index)


def stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables one under the other."""
    import pandas as pd

    return pd.concat(list(tables), ignore_index=True)
