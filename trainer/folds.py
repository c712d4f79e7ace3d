"""Blocks in time: each in turn is held out whole, so that nothing is learned next to what judges.

Blocked cross-validation keeps rows that depend on each other together, and uses all of the
history for both; in time series it estimates the error well as long as the series is
stationary (Bergmeir & Benitez 2012, "On the use of cross-validation for time series predictor
evaluation", Inf. Sci. 191). The rows around a block are left out too: their states and lags
reach into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np

from edge_lstm.errors import HistoryError
from trainer.data import MIN_ROWS, History, Segment
from trainer.split import MIN_SEGMENT

__all__ = ["Fold", "Judged", "Spread", "cut_folds", "spread"]


class Spread(TypedDict):
    """A figure over blocks.

    Keys: ``mean``; ``spread``, the standard deviation of a sample (over n - 1); ``blocks``,
    those in which the figure is defined. Null where there are too few.
    """

    mean: float | None
    spread: float | None
    blocks: int


def spread(values: Sequence[float | None]) -> Spread:
    """Mean and standard deviation of a figure over blocks; None is not defined there."""
    known = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(known)) if known else None,
        "spread": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        "blocks": len(known),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A stretch that judges.

    Attributes:
        segment: Its rows, those that bring a state up before it.
        lead: How many of them only do that.
    """

    segment: Segment
    lead: int


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One block and the rest.

    Attributes:
        learned: The history without the block and the rows around it.
        judged: The block.
    """

    learned: History
    judged: tuple[Judged, ...]

    @property
    def rows(self) -> int:
        """Rows that judge."""
        return sum(len(one.segment.values) - one.lead for one in self.judged)

    @property
    def span(self) -> tuple[int, int]:
        """First and last time that judges, nanoseconds."""
        times = [one.segment.time_ns[one.lead :] for one in self.judged]
        return min(int(one[0]) for one in times), max(int(one[-1]) for one in times)


def cut_folds(history: History, folds: int, *, gap: int) -> list[Fold]:
    """Cut the rows of each machine into equal blocks in time; each fold holds one of them out.

    Args:
        history: What was read.
        folds: Blocks, at least 2.
        gap: Rows of the same unbroken stretch, before and after a block, that are not learned.

    Raises:
        HistoryError: Some block, or what is left without it, is too short.
    """
    cut = _cut(history, folds, gap)
    if all(_suffices(one) for one in cut):
        return cut
    most = next(
        (k for k in range(folds - 1, 1, -1) if all(_suffices(one) for one in _cut(history, k, gap))), 0
    )
    raise HistoryError(
        f"the history is too short for {folds} folds",
        expected=f"blocks of {MIN_ROWS} rows or more, and as much beside each and the {gap} rows around it",
        got=f"{history.rows} rows",
        do=f"--folds {most} is possible" if most else "leave --folds out, or give more history",
    )


def _cut(history: History, folds: int, gap: int) -> list[Fold]:
    bounds = {
        asset: np.linspace(0, sum(len(s.time_ns) for s in history.segments if s.asset == asset), folds + 1)
        .round()
        .astype(int)
        .tolist()
        for asset in {segment.asset for segment in history.segments}
    }
    return [
        _fold(history, {asset: (b[i], b[i + 1]) for asset, b in bounds.items()}, gap) for i in range(folds)
    ]


def _fold(history: History, held: dict[str, tuple[int, int]], gap: int) -> Fold:
    """Hold out rows ``first`` to ``stop`` of each machine, counted over its segments in time."""
    learned: list[Segment] = []
    judged: list[Judged] = []
    offset = dict.fromkeys(held, 0)
    for segment in history.segments:
        rows, before = len(segment.time_ns), offset[segment.asset]
        first, stop = (min(max(edge - before, 0), rows) for edge in held[segment.asset])
        offset[segment.asset] += rows
        if first == stop:
            learned.append(segment)
            continue
        lead = min(gap, first)
        judged.append(Judged(_rows(segment, first - lead, stop), lead))
        learned += _pieces(segment, (0, first - gap), (stop + gap, rows))
    return Fold(replace(history, segments=tuple(learned)), tuple(judged))


def _pieces(segment: Segment, *spans: tuple[int, int]) -> Iterator[Segment]:
    yield from (_rows(segment, start, stop) for start, stop in spans if stop > start)


def _rows(segment: Segment, start: int, stop: int) -> Segment:
    return replace(segment, time_ns=segment.time_ns[start:stop], values=segment.values[start:stop])


def _suffices(fold: Fold) -> bool:
    """Whether there is enough to learn from and to judge by."""
    learned = [len(one.time_ns) for one in fold.learned.segments]
    judged = [len(one.segment.time_ns) - one.lead for one in fold.judged]
    return all(sum(some) >= MIN_ROWS and max(some, default=0) >= MIN_SEGMENT for some in (learned, judged))
