"""History split by time: the early part is learned, the late part judges.

Every segment is split for itself, so that each operating point (a file, a season, an
engine) is in every part; within a segment the later rows are always the held-out ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_lstm.errors import HistoryError
from edge_lstm.rule import Rule
from trainer.data import Segment

__all__ = ["Part", "judging", "split"]

Floats = NDArray[np.float64]
MIN_SEGMENT = 20
"""A shorter segment is learned whole: a tenth of it would say nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """One segment and where it is cut.

    Attributes:
        asset: The machine, empty when the history has no asset column.
        time_ns: Times, (rows,).
        values: Readings with gaps filled by the value before, channel units, (rows, channels).
        seen: False where the value was missing, same shape.
        train: Rows before this are learned.
        validation: Rows from ``train`` to here stop the training; the rest is held out.
        odd: The segment lies at an operating point the scaling cannot hold: learned, but
            no standard for what is normal.
        paused: True where the rule ``score_when`` does not hold: learned, and no standard
            for what is normal, (rows,).
    """

    asset: str
    time_ns: NDArray[np.int64]
    values: Floats
    seen: NDArray[np.bool_]
    train: int
    validation: int
    odd: bool
    paused: NDArray[np.bool_]


def split(
    segments: Sequence[tuple[str, NDArray[np.int64], Floats, bool]],
    centre: Floats,
    *,
    validation: float,
    held_out: float,
    rule: Rule | None = None,
) -> list[Part]:
    """Cut segments into learned, validation and held-out rows.

    Args:
        segments: Asset, times (rows,), values (rows, channels) with NaN for missing, odd or not.
        centre: Stands in for a channel that has no value yet, as on the device.
        validation: Share of a segment that stops the training.
        held_out: Share of a segment, its end, that is held out.
        rule: Says which rows are scored; ``None`` is all.

    Raises:
        HistoryError: No segment is long enough to hold anything out.
    """
    parts = []
    for asset, time_ns, values, odd in segments:
        rows = len(values)
        cut = rows if rows < MIN_SEGMENT else rows - round(rows * held_out)
        first = cut if rows < MIN_SEGMENT else cut - round(rows * validation)
        seen = np.isfinite(values)
        paused = _paused(rule, values, seen)
        parts.append(Part(asset, time_ns, hold(values, centre), seen, first, cut, odd, paused))
    if not any(len(part.values) > part.validation for part in parts if not part.odd):
        raise HistoryError(
            "no unbroken stretch of the history is long enough to hold rows out",
            expected=f"at least {MIN_SEGMENT} rows without a gap",
            got=f"{max((len(part.values) for part in parts), default=0)}",
            do="give more history, or a larger --gap-factor if the gaps are normal",
        )
    return parts


def judging(segment: Segment, centre: Floats, *, lead: int, rule: Rule | None = None) -> Part:
    """A stretch of which nothing is learned: rows before ``lead`` bring a state up, the rest judges.

    Args:
        segment: What was read.
        centre: Stands in for a channel that has no value yet.
        lead: First row that judges.
        rule: Says which rows are scored; ``None`` is all.
    """
    values, seen = hold(segment.values, centre), np.isfinite(segment.values)
    paused = _paused(rule, segment.values, seen)
    return Part(segment.asset, segment.time_ns, values, seen, lead, lead, odd=False, paused=paused)


def _paused(rule: Rule | None, values: Floats, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.zeros(len(values), bool) if rule is None else ~_holds(rule, values, seen)


def _holds(rule: Rule, values: Floats, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a rule holds; not where one of its channels is missing, as on the device, (rows,)."""
    found: NDArray[np.bool_] = rule.columns(list(values.T)) & seen[:, list(rule.channels)].all(axis=1)
    return found


def hold(values: Floats, centre: Floats) -> Floats:
    """Missing values replaced by the last one seen, as the device's aligner does."""
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(np.isfinite(values), rows, -1), axis=0)
    held = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, held, centre)
