"""Alarms against labels: events found, false episodes, and the same reading by reading.

An alarm episode is a run of open readings; runs at most `MERGE` readings apart are one. An
episode that touches a labelled event is true, every other one is false. An event is found
when an alarm is up within it. Nothing is point-adjusted: that gives a random score high marks
(Kim et al., AAAI 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_lstm.times import NS
from trainer.runs import runs

__all__ = [
    "DAY_S",
    "MERGE",
    "EventCounts",
    "ReadingCounts",
    "count_events",
    "count_readings",
    "false_runs",
    "harmonic",
    "merged_runs",
    "ratio",
    "seconds_of",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MERGE = 20
"""Readings: alarms that start at most this many after the last one ended are the same episode."""
DAY_S = 86400.0


def ratio(part: float, whole: float) -> float | None:
    """``part / whole``; None where there is nothing to divide by."""
    return part / whole if whole else None


def harmonic(a: float | None, b: float | None) -> float:
    """Harmonic mean (F1 of precision and recall); 0 where one of them is 0 or not defined."""
    return 2 * a * b / (a + b) if a and b else 0.0


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Counts that add up over recordings.

    Attributes:
        labelled: Labelled events.
        found: Of these, the ones with an alarm inside.
        true: Alarm episodes that touch an event.
        false: The other ones.
        normal: Readings that are not labelled.
        normal_s: Their time, seconds.
        delays: From the start of each found event to the first alarm in it: readings, seconds.
    """

    labelled: int = 0
    found: int = 0
    true: int = 0
    false: int = 0
    normal: int = 0
    normal_s: float = 0.0
    delays: tuple[tuple[int, float], ...] = ()

    def __add__(self, other: EventCounts) -> EventCounts:
        """Both together."""
        return EventCounts(
            self.labelled + other.labelled,
            self.found + other.found,
            self.true + other.true,
            self.false + other.false,
            self.normal + other.normal,
            self.normal_s + other.normal_s,
            self.delays + other.delays,
        )

    @property
    def precision(self) -> float | None:
        """True episodes of all; None without an episode."""
        return ratio(self.true, self.true + self.false)

    @property
    def recall(self) -> float | None:
        """Events found of all; None without an event."""
        return ratio(self.found, self.labelled)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return harmonic(self.precision, self.recall)

    @property
    def median_delay(self) -> tuple[float, float] | None:
        """Median over found events, readings and seconds; None when none was found."""
        if not self.delays:
            return None
        readings, seconds = np.median(np.array(self.delays), axis=0).tolist()
        return readings, seconds


@dataclass(frozen=True, slots=True)
class ReadingCounts:
    """Readings by alarm and label; counts add up over recordings."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    def __add__(self, other: ReadingCounts) -> ReadingCounts:
        """Both together."""
        return ReadingCounts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    @property
    def precision(self) -> float | None:
        """Labelled readings of those with an alarm."""
        return ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """Readings with an alarm of those labelled."""
        return ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return harmonic(self.precision, self.recall)

    @property
    def false_alarm_rate(self) -> float | None:
        """FAR as SKAB has it: FP / (FP + TN)."""
        return ratio(self.false_positive, self.false_positive + self.true_negative)

    @property
    def missed_alarm_rate(self) -> float | None:
        """MAR as SKAB has it: FN / (FN + TP)."""
        return ratio(self.false_negative, self.false_negative + self.true_positive)


def merged_runs(mask: Bools, *, merge: int = MERGE) -> tuple[Ints, Ints]:
    """First and last index of every run of True; runs at most ``merge`` rows apart are one.

    Args:
        mask: (rows,).
        merge: From the last row of one to the first row of the next.
    """
    starts, lasts = runs(mask)
    apart = starts[1:] - lasts[:-1] > merge
    first, end = np.r_[True, apart], np.r_[apart, True]
    return starts[first[: len(starts)]], lasts[end[: len(lasts)]]


def false_runs(mask: Bools, labels: Bools, *, merge: int = MERGE) -> int:
    """How many merged runs of ``mask`` touch no labelled row."""
    starts, lasts = merged_runs(mask, merge=merge)
    before = np.r_[0, np.cumsum(labels)]
    return int(np.count_nonzero(before[lasts + 1] == before[starts]))


def count_events(
    labels: Bools, alarm: Bools, time_ns: Ints, seconds: Floats, *, merge: int = MERGE
) -> EventCounts:
    """Count one recording.

    Args:
        labels: (rows,) True where anomalous.
        alarm: (rows,) True while an episode is open.
        time_ns: (rows,) increasing.
        seconds: (rows,) how long each reading stands for.
        merge: Alarms so many readings apart are one episode.
    """
    episodes = len(merged_runs(alarm, merge=merge)[0])
    false = false_runs(alarm, labels, merge=merge)
    starts, lasts = runs(labels)
    delays = []
    for start, last in zip(starts.tolist(), lasts.tolist(), strict=True):
        inside = alarm[start : last + 1]
        if inside.any():
            first = start + int(inside.argmax())
            delays.append((first - start, int(time_ns[first] - time_ns[start]) / NS))
    return EventCounts(
        labelled=len(starts),
        found=len(delays),
        true=episodes - false,
        false=false,
        normal=int(np.count_nonzero(~labels)),
        normal_s=float(seconds[~labels].sum()),
        delays=tuple(delays),
    )


def count_readings(labels: Bools, alarm: Bools) -> ReadingCounts:
    """Count the readings of one recording; both (rows,)."""
    return ReadingCounts(
        int(np.count_nonzero(labels & alarm)),
        int(np.count_nonzero(~labels & alarm)),
        int(np.count_nonzero(labels & ~alarm)),
        int(np.count_nonzero(~labels & ~alarm)),
    )


def seconds_of(time_ns: Ints, *, period_s: float, gap_after_s: float) -> Floats:
    """How long each reading stands for: since the one before, or a period after a gap, (rows,).

    Args:
        time_ns: (rows,) increasing.
        period_s: The bundle's period.
        gap_after_s: A longer silence is a gap, in which nothing was watched.
    """
    steps = np.diff(time_ns, prepend=time_ns[:1] - round(period_s * NS)) / NS
    return np.where(steps > gap_after_s, period_s, steps)
