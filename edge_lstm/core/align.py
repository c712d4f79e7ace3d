"""Readings to frames: what may step, in which order, and what it completes.

Frames are made by events and not by a clock grid (ADR 0005). Which readings may step is judged
by `edge_lstm.core.intake`, and `edge_lstm.core.gather` makes frames of them. Nearly all are
plain (whole, in order, nothing else going on), so these take a short way to the same end.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter

from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Channel, Grid
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.state import AlignMemory, Held
from edge_lstm.contracts.streams import StreamsConfig
from edge_lstm.core.gather import Gatherer, Item
from edge_lstm.core.intake import SHORT_GAP_STEPS, Given, Intake, fingerprint, remember
from edge_lstm.core.sequence import follow
from edge_lstm.core.silence import Silence, learn

__all__ = ["Aligner"]

_MOST_HELD = 512
"""Readings of one asset that wait to be put in order; beyond it the oldest steps."""


class Aligner:
    """Lines up the readings of any number of assets; all memory is in `AlignMemory`.

    Args:
        channels: The model's channels, in order.
        grid: Period, gap and hold of the bundle.
        centre: Stands in for a channel that never had a value, channel units.
        config: What the site says about its streams.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        grid: Grid,
        *,
        centre: Sequence[float],
        config: StreamsConfig | None = None,
    ) -> None:
        config = config or StreamsConfig()
        self._index = {channel.name: i for i, channel in enumerate(channels)}
        self._centre = tuple(centre)
        self._pick = _picker([channel.name for channel in channels])
        self._gather = Gatherer(channels, grid)
        self._ranges, self._unmasked = self._gather.ranges, self._gather.unmasked
        self._period_ns, self._gap_ns = self._gather.period_ns, self._gather.gap_ns
        self._intake = Intake(grid, len(channels), config)
        self._silence = Silence(config)

    def fresh(self) -> AlignMemory:
        """Memory of an asset that was never seen."""
        return AlignMemory(self._centre, interval_ns=self._period_ns)

    def push(self, memory: AlignMemory, reading: Reading) -> Iterable[Item]:
        """Take one reading; give what it completes, in order.

        A frame with ``tick`` 0 starts a new state: the first one of an asset, or the
        first one after a gap.
        """
        if reading.reorder_ns:
            return self._push(memory, reading)
        if memory.plain:
            frame = self._plain(memory, reading)
            if frame is not None:
                return (frame,)
        if memory.calm:
            made = self._part(memory, reading)
            if made is not None:
                return made
        return self._push(memory, reading)

    def tick(self, memory: AlignMemory, asset: str, now_ns: int, since_ns: int = 0) -> list[Item]:
        """What is due when nothing comes: readings that waited long enough, and silence.

        Nothing was due, and the memory has not changed, when the list is empty.

        Args:
            memory: The asset's.
            asset: The machine.
            now_ns: The time, of the clock that gives times of arrival.
            since_ns: Since when readings could have come, of the same clock: what was sent while
                nobody was listening is no silence.
        """
        out: list[Item] = []
        if memory.held:
            self._release_due(memory, asset, now_ns, out)
        silent = self._silence.begins(memory, asset, now_ns, since_ns)
        if silent is not None:
            out.append(silent)
        return out

    def rests(self, memory: AlignMemory) -> bool:
        """Whether `tick` will have nothing to say, however late it is."""
        return not memory.held and not self._silence.watches(memory)

    def stale(self, memory: AlignMemory, asset: str, now_ns: int) -> QualityEvent | None:
        """The source says itself that nothing comes any more; ``None`` when it was silent already."""
        return self._silence.declared(memory, asset, now_ns)

    def flush(self, memory: AlignMemory, asset: str) -> list[Item]:
        """Close what still waits for older readings or for channels, if there is any."""
        out: list[Item] = []
        self._flush(memory, asset, out)
        return out

    def stranger(self, reading: Reading) -> Reject | None:
        """Why a reading can never be used, whatever came before it."""
        known = any(name in self._index for name in reading.values)
        return None if known else self._no_channel(reading)

    def _no_channel(self, reading: Reading) -> Reject:
        got = ", ".join(sorted(reading.values)[:5]) or "nothing"
        detail = f"expected some of {', '.join(list(self._index)[:5])}; got {got}"
        return Reject(RejectReason.NO_CHANNEL, reading.asset, detail, reading.time_ns)

    # ------------------------------------------------------------------------------- the short way

    def _plain(self, memory: AlignMemory, reading: Reading) -> Frame | None:
        """The frame of a reading that is whole, sound and next; else ``None``, and nothing was changed."""
        time_ns, usual_ns = reading.time_ns, memory.interval_ns
        step_ns = time_ns - (memory.last_time_ns or 0)
        if not 0 < step_ns <= self._gap_ns or step_ns > usual_ns * SHORT_GAP_STEPS:
            return None
        try:
            row = self._pick(reading.values)
            total = sum(row)
        except (KeyError, TypeError):  # a channel is not there, or has no value
            return None
        if total - total != 0:  # NaN or infinite
            return None
        for i, low, high in self._ranges:
            if not low <= row[i] <= high:
                return None
        if not _follows(memory, reading, 0):
            return None
        own = time_ns if time_ns != reading.arrived_ns else reading.seq
        if own is not None:
            remember(memory, hash((own, row)))
        memory.interval_ns = learn(usual_ns, step_ns, self._period_ns)
        memory.arrived_ns = reading.arrived_ns
        memory.last_time_ns = time_ns
        memory.values = row
        tick = memory.tick
        memory.tick = tick + 1
        return Frame(reading.asset, tick, time_ns, row, self._unmasked)

    def _part(self, memory: AlignMemory, reading: Reading) -> list[Item] | None:
        """What a sound reading of some channels completes, if it is not older than the newest one.

        One that has no place of its own is left to the long way: ``None``, and nothing was changed.
        """
        time_ns, last_ns, pending = reading.time_ns, memory.last_time_ns or 0, memory.pending
        newest_ns = last_ns if memory.newest_ns is None else max(memory.newest_ns, last_ns)
        step_ns = time_ns - newest_ns
        if not 0 <= step_ns <= self._gap_ns or time_ns == last_ns:
            return None
        if step_ns > memory.interval_ns * SHORT_GAP_STEPS:
            return None
        given: dict[int, float | None] = {}
        for name, value in reading.values.items():
            i = self._index.get(name)
            if i is None:
                continue
            if (value is not None and value - value != 0) or (i in pending and time_ns <= pending[i][0]):
                return None
            given[i] = value
        if not given:
            return None
        if not _follows(memory, reading, min(given)):
            return None
        if time_ns != reading.arrived_ns or reading.seq is not None:
            remember(memory, fingerprint(reading, given, whole=len(given) == len(self._index)))
        if step_ns:
            memory.interval_ns = learn(memory.interval_ns, step_ns, self._period_ns)
        memory.newest_ns, memory.arrived_ns = time_ns, reading.arrived_ns
        out: list[Item] = []
        self._gather.step(memory, reading.asset, time_ns, given, out)
        memory.plain = not (memory.pending or memory.missing or memory.impossible)
        return out

    # -------------------------------------------------------------------------------- the long way

    def _push(self, memory: AlignMemory, reading: Reading) -> list[Item]:
        index, asset = self._index, reading.asset
        given = {
            index[name]: value if value is not None and math.isfinite(value) else None
            for name, value in reading.values.items()
            if name in index
        }
        if not given:
            return [self._no_channel(reading)]
        reject, notes, leap = self._intake.judge(memory, reading, given)
        out: list[Item] = [*notes]
        if reject is not None:
            out.append(reject)
        else:
            if leap:
                self._flush(memory, asset, out)
                self._gather.leap(memory, asset, reading.time_ns, out)
            self._order(memory, reading, given, out)
        busy = memory.held or memory.run or memory.bursts or memory.silent
        memory.calm = memory.last_time_ns is not None and not busy
        memory.plain = memory.calm and not (memory.pending or memory.missing or memory.impossible)
        return out

    def _order(self, memory: AlignMemory, reading: Reading, given: Given, out: list[Item]) -> None:
        """Let a reading wait its time, and step those that nothing can come before any more."""
        window_ns = reading.reorder_ns
        if not (window_ns or memory.held):
            self._gather.step(memory, reading.asset, reading.time_ns, given, out)
            return
        due_ns = reading.arrived_ns and reading.arrived_ns + window_ns
        insort(memory.held, Held(reading.time_ns, due_ns, dict(given)), key=attrgetter("time_ns"))
        newest_ns = memory.newest_ns if memory.newest_ns is not None else reading.time_ns
        watermark_ns = newest_ns - window_ns + (not window_ns)
        while memory.held and (memory.held[0].time_ns < watermark_ns or len(memory.held) > _MOST_HELD):
            self._release(memory, reading.asset, out)

    def _release(self, memory: AlignMemory, asset: str, out: list[Item]) -> None:
        oldest = memory.held.pop(0)
        self._gather.step(memory, asset, oldest.time_ns, oldest.given, out)

    def _release_due(self, memory: AlignMemory, asset: str, now_ns: int, out: list[Item]) -> None:
        """Step what has waited long enough, and all that is older."""
        due = [n for n, held in enumerate(memory.held) if 0 < held.due_ns <= now_ns]
        for _ in range(due[-1] + 1 if due else 0):
            self._release(memory, asset, out)
        if due and not out:  # it gathered, and whoever writes ticks down must know that it did
            out.append(QualityEvent(asset, now_ns, QualityReason.WAITED, active=True))

    def _flush(self, memory: AlignMemory, asset: str, out: list[Item]) -> None:
        while memory.held:
            self._release(memory, asset, out)
        if memory.pending:
            self._gather.close(memory, asset, out)


def _follows(memory: AlignMemory, reading: Reading, lowest: int) -> bool:
    """Count a reading, unless its number is not the one in direct succession and has more to say."""
    if reading.seq is None:
        return True
    count = memory.counts.get(lowest)
    if count is None or reading.seq != count[0] + 1:
        return False
    memory.counts[lowest] = follow(count)
    return True


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, float | None]], tuple[float, ...]]:
    """Takes a whole reading's values in channel order; one that is null makes the sum of them raise."""
    if len(names) == 1:
        only = names[0]
        return lambda values: (values[only],)  # type: ignore[return-value]  # null is told by the sum
    return itemgetter(*names)
