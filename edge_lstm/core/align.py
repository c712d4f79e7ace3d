"""Readings to frames: order, duplicates, partial readings, gaps.

Frames are made by events and not by a clock grid (ADR 0005): a reading with
every channel is a frame at once, so each reading is scored once and without
delay. Readings with some of the channels (one value per topic) gather until the
frame is whole, or until a channel repeats or time has moved on by a period.

Which readings may step at all is judged by `edge_lstm.core.intake`. Nearly all of them are
plain (whole, in order, nothing else going on), so these take a short way to the same end.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import cast

from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Channel, Grid
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.state import AlignMemory, Held
from edge_lstm.contracts.streams import StreamsConfig
from edge_lstm.core.intake import SHORT_GAP_STEPS, Given, Intake, fingerprint, remember
from edge_lstm.core.sequence import follow
from edge_lstm.core.silence import Silence, learn
from edge_lstm.times import NS, format_time

__all__ = ["Aligner"]

Item = Frame | QualityEvent | Reject

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
        self._ranges = [
            (
                i,
                -math.inf if c.valid_min is None else c.valid_min,
                math.inf if c.valid_max is None else c.valid_max,
            )
            for i, c in enumerate(channels)
            if c.valid_min is not None or c.valid_max is not None
        ]
        self._centre = tuple(centre)
        self._pick = _picker([channel.name for channel in channels])
        self._unmasked = (False,) * len(channels)
        self._period_ns = round(grid.period_s * NS)
        self._gap_ns = round(grid.gap_after_s * NS)
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
        if memory.calm and reading.seq is None:
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
        if not self._count(memory, reading, row):
            return None
        memory.interval_ns = learn(usual_ns, step_ns, self._period_ns)
        memory.arrived_ns = reading.arrived_ns
        memory.last_time_ns = time_ns
        memory.values = row
        tick = memory.tick
        memory.tick = tick + 1
        return Frame(reading.asset, tick, time_ns, row, self._unmasked)

    @staticmethod
    def _count(memory: AlignMemory, reading: Reading, row: tuple[float, ...]) -> bool:
        """Remember a plain reading, unless its sequence number has more to say."""
        seq, time_ns = reading.seq, reading.time_ns
        if seq is None:
            if time_ns != reading.arrived_ns:
                remember(memory, hash((time_ns, row)))
            return True
        count = memory.counts.get(0)
        if count is None or seq != count[0] + 1:
            return False
        memory.counts[0] = follow(count)
        remember(memory, hash((seq if time_ns == reading.arrived_ns else time_ns, row)))
        return True

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
            if value is None or value - value != 0 or (i in pending and time_ns <= pending[i][0]):
                return None
            given[i] = value
        if not given:
            return None
        if time_ns != reading.arrived_ns:
            remember(memory, fingerprint(reading, given, whole=len(given) == len(self._index)))
        if step_ns:
            memory.interval_ns = learn(memory.interval_ns, step_ns, self._period_ns)
        memory.newest_ns, memory.arrived_ns = time_ns, reading.arrived_ns
        out: list[Item] = []
        self._step(memory, reading.asset, time_ns, given, out)
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
                self._leap(memory, asset, reading.time_ns, out)
            self._order(memory, reading, given, out)
        busy = memory.held or memory.run or memory.bursts or memory.silent
        memory.calm = memory.last_time_ns is not None and not busy
        memory.plain = memory.calm and not (memory.pending or memory.missing or memory.impossible)
        return out

    def _order(self, memory: AlignMemory, reading: Reading, given: Given, out: list[Item]) -> None:
        """Let a reading wait its time, and step those that nothing can come before any more."""
        window_ns = reading.reorder_ns
        if not (window_ns or memory.held):
            self._step(memory, reading.asset, reading.time_ns, given, out)
            return
        due_ns = reading.arrived_ns and reading.arrived_ns + window_ns
        insort(memory.held, Held(reading.time_ns, due_ns, dict(given)), key=attrgetter("time_ns"))
        newest_ns = memory.newest_ns if memory.newest_ns is not None else reading.time_ns
        watermark_ns = newest_ns - window_ns + (not window_ns)
        while memory.held and (memory.held[0].time_ns < watermark_ns or len(memory.held) > _MOST_HELD):
            self._release(memory, reading.asset, out)

    def _release(self, memory: AlignMemory, asset: str, out: list[Item]) -> None:
        oldest = memory.held.pop(0)
        self._step(memory, asset, oldest.time_ns, oldest.given, out)

    def _release_due(self, memory: AlignMemory, asset: str, now_ns: int, out: list[Item]) -> None:
        """Step what has waited long enough, and all that is older."""
        due = [n for n, held in enumerate(memory.held) if 0 < held.due_ns <= now_ns]
        for _ in range(due[-1] + 1 if due else 0):
            self._release(memory, asset, out)
        if due and not out:  # it gathered, and whoever writes ticks down must know that it did
            out.append(QualityEvent(asset, now_ns, QualityReason.WAITED, active=True))

    def _step(self, memory: AlignMemory, asset: str, time_ns: int, given: Given, out: list[Item]) -> None:
        """Gather one reading, and close what it closes."""
        if memory.pending and self._closes(memory, given, time_ns):
            self._close(memory, asset, out)
        last_ns = memory.last_time_ns
        if last_ns is not None and time_ns <= last_ns:
            if len(given) < len(self._index):
                detail = f"the frame of {format_time(last_ns)} was scored already"
                out.append(Reject(RejectReason.LATE, asset, detail, time_ns))
                return
            time_ns = last_ns + 1  # the next reading of a clock that is coarser than readings come
        if not memory.pending:
            memory.pending_start_ns = memory.pending_time_ns = time_ns
        memory.pending_start_ns = min(memory.pending_start_ns, time_ns)
        memory.pending_time_ns = max(memory.pending_time_ns, time_ns)
        for channel, value in given.items():
            memory.pending[channel] = (time_ns, value)
        if len(memory.pending) == len(self._index):
            self._close(memory, asset, out)

    def _closes(self, memory: AlignMemory, given: Given, time_ns: int) -> bool:
        """Whether a reading belongs to the next frame and not to the pending one."""
        if time_ns - memory.pending_start_ns >= self._period_ns:
            return True
        pending = memory.pending
        if pending.keys().isdisjoint(given):
            return False
        return any(channel in pending and time_ns > pending[channel][0] for channel in given)

    def _close(self, memory: AlignMemory, asset: str, out: list[Item]) -> None:
        time_ns, last_ns = memory.pending_time_ns, memory.last_time_ns
        if last_ns is not None and time_ns - last_ns > self._gap_ns:
            memory.tick = 0
            detail = f"silent for {(time_ns - last_ns) / NS:g} s; the state starts anew"
            out.append(QualityEvent(asset, time_ns, QualityReason.GAP, active=True, detail=detail))
        out.append(self._frame(memory, asset))
        memory.pending, memory.pending_start_ns, memory.pending_time_ns = {}, 0, 0
        memory.last_time_ns = time_ns
        memory.tick += 1

    def _flush(self, memory: AlignMemory, asset: str, out: list[Item]) -> None:
        while memory.held:
            self._release(memory, asset, out)
        if memory.pending:
            self._close(memory, asset, out)

    def _leap(self, memory: AlignMemory, asset: str, time_ns: int, out: list[Item]) -> None:
        """Begin a new epoch of the source's clock: what waits is closed, and time goes on from here.

        The state is kept when the clock was set by less than a gap.
        """
        self._flush(memory, asset, out)
        before_ns = memory.last_time_ns
        memory.epoch += 1
        memory.last_time_ns = time_ns - self._period_ns
        step_ns = 0 if before_ns is None else time_ns - before_ns
        detail = f"the source's clock was set by {step_ns / NS:+g} s"
        out.append(QualityEvent(asset, time_ns, QualityReason.CLOCK_JUMP, active=True, detail=detail))
        if abs(step_ns) > self._gap_ns:
            memory.tick = 0
            detail = "the source's clock was set by more than a gap; the state starts anew"
            out.append(QualityEvent(asset, time_ns, QualityReason.GAP, active=True, detail=detail))

    def _frame(self, memory: AlignMemory, asset: str) -> Frame:
        """The pending frame; a channel without a possible value keeps its last one and is masked."""
        pending, channels = memory.pending, range(len(self._centre))
        row = [pending[i][1] if i in pending else None for i in channels]
        impossible = {
            i: value
            for i, low, high in self._ranges
            if (value := row[i]) is not None and not low <= value <= high
        }
        if not impossible and not memory.missing and None not in row:
            memory.values, memory.impossible = cast("tuple[float, ...]", tuple(row)), {}
            return Frame(asset, memory.tick, memory.pending_time_ns, memory.values, self._unmasked)
        missing = memory.missing or [0] * len(row)
        missing = [0 if value is not None else n + 1 for value, n in zip(row, missing, strict=True)]
        masked = tuple([value is None or i in impossible for i, value in enumerate(row)])
        held = memory.values
        values = tuple([held[i] if value is None or masked[i] else value for i, value in enumerate(row)])
        memory.values, memory.impossible = values, impossible
        memory.missing = missing if any(missing) else []
        return Frame(asset, memory.tick, memory.pending_time_ns, values, masked)


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, float | None]], tuple[float, ...]]:
    """Takes a whole reading's values in channel order; one that is null makes the sum of them raise."""
    if len(names) == 1:
        only = names[0]
        return lambda values: (values[only],)  # type: ignore[return-value]  # null is told by the sum
    return itemgetter(*names)
