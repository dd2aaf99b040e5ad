"""What a finding says, in words that can be read aloud. Imported with an experiment's options: nothing slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def held(claims: pd.DataFrame) -> str:
    """The verdict in a sentence."""
    return f"{(claims.verdict == 'holds').sum()} of {len(claims)} claims hold in both implementations."


def raised(power: float) -> str:
    """A whole number as an exponent."""
    return f"{power:.0f}".translate(RAISED)
