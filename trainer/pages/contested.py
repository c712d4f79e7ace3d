"""What the training page shows of the contest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Contested", "Curve"]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Share of faults found, 0 to 1, over their strength in spreads of the channel."""

    name: str
    strength: Sequence[float]
    found: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contested:
    """The contest on held-out history.

    Attributes:
        sentences: The verdict.
        lead: What was done.
        head: Headings of the table.
        rows: One entry a candidate, the name first.
        shares: Share found by each candidate, 0 to 1, in the order of ``rows``.
        curves: At most two, the LSTM first.
    """

    sentences: Sequence[str]
    lead: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    shares: Sequence[float]
    curves: Sequence[Curve] = ()
