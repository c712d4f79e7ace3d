"""Which readings may step: repeats, sequence, order and clocks, one asset at a time.

The rules are the table of docs/explain-streams.md. What is decided depends on the readings
and their times of arrival only, so a replay decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edge_lstm.contracts.frame import QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Grid
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.state import AlignMemory
from edge_lstm.contracts.streams import StreamsConfig
from edge_lstm.core.bursts import hit, soothe
from edge_lstm.core.epochs import keeps_pace
from edge_lstm.core.sequence import Count, judge, mark
from edge_lstm.core.silence import Silence, learn
from edge_lstm.times import CLOCK_SET_NS, NS, format_time

__all__ = ["SHORT_GAP_STEPS", "Given", "Intake", "Judgement", "fingerprint", "remember"]

Given = Mapping[int, float | None]
"""Channel index to value of one reading; null is a channel that said it had none."""

SHORT_GAP_STEPS = 3
"""Usual steps without a reading that are counted as a short gap."""

_RECENT = 16
_COARSE_NS = 1000
"""Readings of one time are put a nanosecond apart when their numbers say that they are new."""
_MOST = 1 << 63
"""A sequence number beyond this cannot be written down, and is none."""

_DETAILS = {
    RejectReason.DUPLICATE: "it was taken already",
    RejectReason.SEQ_CONFLICT: "another reading had this number or this time",
    RejectReason.FUTURE: "it is far ahead of the one before it and of our clock",
}


class Judgement(NamedTuple):
    """What became of one reading.

    Attributes:
        reject: Why it may not step, or ``None``.
        notes: What was noticed, in order.
        leap: Whether the source's clock was set with it.
    """

    reject: Reject | None
    notes: list[QualityEvent]
    leap: bool = False


@dataclass(slots=True)
class _Look:
    """One reading and what it is beside the asset's memory.

    Attributes:
        reading: The reading.
        given: Its values.
        whole: Whether it has every channel.
        timed: Whether it has a time of its own.
        print: Its fingerprint.
        newest_ns: Time of the newest reading taken before.
        number: Its sequence number, if it can be one.
        count: The memory of numbers of such readings.
        said: What the number says.
        restart: Whether the source counts from anew.
    """

    reading: Reading
    given: Given
    whole: bool
    timed: bool
    print: int | None
    newest_ns: int | None
    number: int | None
    count: tuple[int, int] | None
    said: Count | None = None
    restart: bool = False


class Intake:
    """Judges readings before they are lined up; all memory is in `AlignMemory`.

    Args:
        grid: Period and gap of the bundle.
        channels: Number of the model's channels.
        config: What the site says.
    """

    def __init__(self, grid: Grid, channels: int, config: StreamsConfig) -> None:
        self._channels = channels
        self._period_ns, self._gap_ns = round(grid.period_s * NS), round(grid.gap_after_s * NS)
        said = config.clock_tolerance_s
        self._tolerance_ns = self._period_ns if said is None else round(said * NS)

    def judge(self, memory: AlignMemory, reading: Reading, given: Given) -> Judgement:
        """Judge a reading, and remember it."""
        look = self._look(memory, reading, given)
        reason = _by_number(memory, look) or _by_channel(memory, look) or self._by_time(memory, look)
        leap = reason in (RejectReason.LATE, RejectReason.FUTURE) and self._leaps(memory, look)
        if reason is not None and not leap:
            return self._turn_away(memory, look, reason)
        notes = list(self._notes(memory, look))
        self._take(memory, look, leap=leap)
        return Judgement(None, notes, leap)

    def _look(self, memory: AlignMemory, reading: Reading, given: Given) -> _Look:
        whole, timed = len(given) == self._channels, reading.time_ns != reading.arrived_ns
        number = reading.seq if reading.seq is not None and 0 <= reading.seq < _MOST else None
        last_ns, newest_ns = memory.last_time_ns, memory.newest_ns
        if last_ns is not None:
            newest_ns = last_ns if newest_ns is None else max(last_ns, newest_ns)
        mark_ = fingerprint(reading, given, whole=whole)
        count = memory.counts.get(min(given))
        look = _Look(reading, given, whole, timed, mark_, newest_ns, number, count)
        if number is None:
            return look
        look.said = judge(count, number)
        if not timed:  # a repeat reaches no further back than what may be under way at once
            look.restart = look.said is Count.FAR_BACK
        elif look.said in (Count.SEEN, Count.OLDER, Count.FAR_BACK) and newest_ns is not None:
            look.restart = reading.time_ns > newest_ns
        return look

    def _by_time(self, memory: AlignMemory, look: _Look) -> RejectReason | None:
        """What its time says beside the watermark and our clock."""
        time_ns, last_ns, window_ns = look.reading.time_ns, memory.last_time_ns, look.reading.reorder_ns
        if look.newest_ns is None:
            return None
        fresh = look.said in (Count.NEXT, Count.SKIPPED)
        if look.whole and fresh and last_ns is not None and 0 <= last_ns - time_ns < _COARSE_NS:
            return None  # a clock that is coarser than the readings come
        if look.whole and time_ns == last_ns:
            same = all(memory.values[i] == value for i, value in look.given.items())
            return RejectReason.DUPLICATE if same else RejectReason.SEQ_CONFLICT
        if last_ns is not None and time_ns <= last_ns:
            return RejectReason.LATE
        if window_ns and time_ns < look.newest_ns - window_ns:
            return RejectReason.LATE
        return RejectReason.FUTURE if self._is_ahead(memory, look.reading, look.newest_ns) else None

    def _is_ahead(self, memory: AlignMemory, reading: Reading, newest_ns: int) -> bool:
        """Whether it leaps ahead of our clock, by more than a gap and by more than time went by."""
        gap_ns, step_ns, now_ns = self._gap_ns, reading.time_ns - newest_ns, reading.arrived_ns
        if step_ns <= gap_ns or now_ns < CLOCK_SET_NS or not memory.arrived_ns:
            return False
        return reading.time_ns - now_ns > gap_ns and step_ns - (now_ns - memory.arrived_ns) > gap_ns

    def _leaps(self, memory: AlignMemory, look: _Look) -> bool:
        """Whether a reading that is late or ahead says that the source's clock was set."""
        reading = look.reading
        back_ns = 0 if look.newest_ns is None else look.newest_ns - reading.time_ns
        if not look.timed or 0 <= back_ns <= self._tolerance_ns + reading.reorder_ns:
            return False
        follows = look.said is Count.NEXT and look.count is not None
        if follows and back_ns > 0 and reading.arrived_ns >= memory.arrived_ns > 0:
            return True  # the source itself says that it is the next one
        return keeps_pace(memory, reading.time_ns, reading.arrived_ns, period_ns=self._period_ns)

    def _turn_away(self, memory: AlignMemory, look: _Look, reason: RejectReason) -> Judgement:
        """Count a reading that may not step, and remember it where it is no repeat."""
        reading, number = look.reading, look.number
        notes: list[QualityEvent] = []
        detail = _DETAILS.get(reason) or _late(memory)
        if reason in (RejectReason.LATE, RejectReason.FUTURE):
            if memory.run is not None:  # a repeat of it must not count for the run
                remember(memory, look.print)
            memory.arrived_ns = max(memory.arrived_ns, reading.arrived_ns)
            if look.said is Count.OLDER and number is not None:
                memory.counts[min(look.given)] = mark(look.count, number, look.said)
        if reason is not RejectReason.DUPLICATE:
            burst = QualityReason(reason.value)
            notes += hit(memory.bursts, burst, reading.asset, reading.time_ns, detail)
        return Judgement(Reject(reason, reading.asset, detail, reading.time_ns), notes)

    def _take(self, memory: AlignMemory, look: _Look, *, leap: bool) -> None:
        """Remember a reading that steps."""
        time_ns, newest_ns, said = look.reading.time_ns, look.newest_ns, look.said
        if look.number is not None and said is not None:
            anew = look.restart or (leap and said in (Count.OLDER, Count.FAR_BACK))
            if anew or said is not Count.FAR_BACK:
                count = mark(look.count, look.number, Count.FAR_BACK if anew else said)
                memory.counts[min(look.given)] = count
        memory.run = None
        memory.arrived_ns = look.reading.arrived_ns
        remember(memory, look.print)
        if newest_ns is None or leap:
            memory.newest_ns = time_ns
            return
        if 0 < time_ns - newest_ns <= self._gap_ns:
            memory.interval_ns = learn(memory.interval_ns, time_ns - newest_ns, self._period_ns)
        memory.newest_ns = max(newest_ns, time_ns)

    def _notes(self, memory: AlignMemory, look: _Look) -> Iterator[QualityEvent]:
        """What is to be said of a reading that steps."""
        asset, time_ns = look.reading.asset, look.reading.time_ns
        back = Silence.ends(memory, asset, time_ns)
        if back is not None:
            yield back
        if look.restart:
            detail = f"the source counts from {look.number}"
            yield from hit(memory.bursts, QualityReason.SOURCE_RESTART, asset, time_ns, detail)
        step_ns = 0 if look.newest_ns is None else time_ns - look.newest_ns
        skipped = look.said is Count.SKIPPED and look.whole
        if skipped or memory.interval_ns * SHORT_GAP_STEPS < step_ns <= self._gap_ns:
            yield QualityEvent(asset, time_ns, QualityReason.SHORT_GAP, active=True)
        if step_ns < 0 and look.reading.reorder_ns:
            yield QualityEvent(asset, time_ns, QualityReason.REORDERED, active=True)
        yield from soothe(memory.bursts, asset, time_ns)


def fingerprint(reading: Reading, given: Given, *, whole: bool) -> int | None:
    """64 bits that two different readings hardly share, or ``None`` for one that cannot be told again.

    Python's own hash of numbers, which is the same in every process (unlike that of text).
    A reading without a time of its own is told by its number.
    """
    key = reading.time_ns if reading.time_ns != reading.arrived_ns else reading.seq
    if key is None:
        return None
    if len(given) == 1 and not whole:  # one value a message: the usual case, written out
        ((only, value),) = given.items()
        return hash((key, (only, math.inf if value is None else value)))
    if whole and None not in given.values():
        return hash((key, tuple([given[i] for i in range(len(given))])))
    flat = [part for i in sorted(given) for part in (i, math.inf if given[i] is None else given[i])]
    return hash((key, tuple(flat)))


def remember(memory: AlignMemory, print_: int | None) -> None:
    """Keep a fingerprint among the newest."""
    if print_ is not None:
        memory.recent.append(print_)
        if len(memory.recent) > _RECENT:
            del memory.recent[0]


def _by_number(memory: AlignMemory, look: _Look) -> RejectReason | None:
    """What the fingerprint and the sequence number decide."""
    if look.print is not None and look.print in memory.recent:
        return RejectReason.DUPLICATE
    if look.said is Count.SAME:
        return RejectReason.SEQ_CONFLICT
    if look.restart:
        return None
    if look.said is Count.SEEN:
        return RejectReason.DUPLICATE
    return RejectReason.LATE if look.said is Count.OLDER and not look.timed else None


def _by_channel(memory: AlignMemory, look: _Look) -> RejectReason | None:
    """What values of the same time decide that still wait."""
    time_ns, given = look.reading.time_ns, look.given
    waiting = [memory.pending] if memory.pending else []
    if look.number is None:
        same = [held.given for held in memory.held if held.time_ns == time_ns]
        waiting += [{i: (time_ns, value) for i, value in one.items()} for one in same]
    for values in waiting:
        shared = [(values[i], given[i]) for i in given if i in values and time_ns <= values[i][0]]
        if any(time_ns < at for (at, _), _ in shared):
            return RejectReason.LATE
        if any(was != now for (_, was), now in shared):
            return RejectReason.SEQ_CONFLICT
        if len(shared) == len(given):
            return RejectReason.DUPLICATE
    return None


def _late(memory: AlignMemory) -> str:
    last_ns = memory.last_time_ns
    return (
        "newer readings came before it"
        if last_ns is None
        else f"the frame of {format_time(last_ns)} was scored already"
    )
