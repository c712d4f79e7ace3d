"""Readings to frames: order, duplicates, partial readings, gaps.

Frames are made by events and not by a clock grid (ADR 0005): a reading with
every channel is a frame at once, so each reading is scored once and without
delay. Readings with some of the channels (one value per topic) gather until the
frame is whole, or until a channel repeats or time has moved on by a period.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Channel, Grid
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.state import AlignMemory
from edge_lstm.times import NS, format_time

__all__ = ["Aligner"]


class Aligner:
    """Lines up the readings of any number of assets; all memory is in `AlignMemory`.

    Args:
        channels: The model's channels, in order.
        grid: Period, gap and hold of the bundle.
        centre: Stands in for a channel that never had a value, channel units.
    """

    def __init__(self, channels: Sequence[Channel], grid: Grid, *, centre: Sequence[float]) -> None:
        self._index = {channel.name: i for i, channel in enumerate(channels)}
        self._ranges = {
            i: (
                -math.inf if c.valid_min is None else c.valid_min,
                math.inf if c.valid_max is None else c.valid_max,
            )
            for i, c in enumerate(channels)
            if c.valid_min is not None or c.valid_max is not None
        }
        self._centre = tuple(centre)
        self._period_ns = round(grid.period_s * NS)
        self._gap_ns = round(grid.gap_after_s * NS)

    def fresh(self) -> AlignMemory:
        """Memory of an asset that was never seen."""
        return AlignMemory(missing=[0] * len(self._index))

    def push(self, memory: AlignMemory, reading: Reading) -> Iterator[Frame | QualityEvent | Reject]:
        """Take one reading; yield what it completes, in order.

        A frame with ``tick`` 0 starts a new state: the first one of an asset, or the
        first one after a gap.
        """
        index, time_ns = self._index, reading.time_ns
        values = {index[name]: value for name, value in reading.values.items() if name in index}
        if not values:
            yield self._no_channel(reading)
            return
        if memory.last_time_ns is not None and time_ns <= memory.last_time_ns:
            yield self._too_old(memory.last_time_ns, reading)
            return
        if memory.pending and self._closes(memory, values, time_ns):
            yield from self._close(memory, reading.asset)
            if memory.last_time_ns is not None and time_ns <= memory.last_time_ns:
                yield self._too_old(memory.last_time_ns, reading)
                return
        self._gather(memory, values, time_ns)
        if len(memory.pending) == len(index):
            yield from self._close(memory, reading.asset)

    def flush(self, memory: AlignMemory, asset: str) -> Iterator[Frame | QualityEvent]:
        """Close the frame that is still waiting for channels, if there is one."""
        if memory.pending:
            yield from self._close(memory, asset)

    def stranger(self, reading: Reading) -> Reject | None:
        """Why a reading can never be used, whatever came before it."""
        known = any(name in self._index for name in reading.values)
        return None if known else self._no_channel(reading)

    def _no_channel(self, reading: Reading) -> Reject:
        got = ", ".join(sorted(reading.values)[:5]) or "nothing"
        detail = f"expected some of {', '.join(list(self._index)[:5])}; got {got}"
        return Reject(RejectReason.NO_CHANNEL, reading.asset, detail, reading.time_ns)

    @staticmethod
    def _too_old(last_ns: int, reading: Reading) -> Reject:
        same = reading.time_ns == last_ns
        reason = RejectReason.DUPLICATE if same else RejectReason.LATE
        detail = f"the frame of {format_time(last_ns)} was scored already"
        return Reject(reason, reading.asset, detail, reading.time_ns)

    def _closes(self, memory: AlignMemory, values: dict[int, float | None], time_ns: int) -> bool:
        """Whether a reading belongs to the next frame and not to the pending one."""
        repeats = any(channel in memory.pending for channel in values)
        return repeats or time_ns - memory.pending_start_ns >= self._period_ns

    @staticmethod
    def _gather(memory: AlignMemory, values: dict[int, float | None], time_ns: int) -> None:
        if not memory.pending:
            memory.pending_start_ns = memory.pending_time_ns = time_ns
        memory.pending_start_ns = min(memory.pending_start_ns, time_ns)
        memory.pending_time_ns = max(memory.pending_time_ns, time_ns)
        memory.pending = {**memory.pending, **values}

    def _close(self, memory: AlignMemory, asset: str) -> Iterator[Frame | QualityEvent]:
        time_ns, last_ns = memory.pending_time_ns, memory.last_time_ns
        if last_ns is not None and time_ns - last_ns > self._gap_ns:
            memory.tick = 0
            detail = f"silent for {(time_ns - last_ns) / NS:g} s; the state starts anew"
            yield QualityEvent(asset, time_ns, QualityReason.GAP, active=True, detail=detail)
        frame = self._frame(memory, asset)
        memory.pending = {}
        memory.last_time_ns = time_ns
        memory.tick += 1
        yield frame

    def _frame(self, memory: AlignMemory, asset: str) -> Frame:
        """The pending frame; a channel without a possible value keeps its last one and is masked."""
        memory.impossible = self._impossible(memory.pending)
        values, masked = [], []
        for channel, centre in enumerate(self._centre):
            value = memory.pending.get(channel)
            memory.missing[channel] = memory.missing[channel] + 1 if value is None else 0
            usable = value is not None and channel not in memory.impossible
            if usable and value is not None:
                memory.values[channel] = value
            masked.append(not usable)
            values.append(memory.values.get(channel, centre))
        return Frame(asset, memory.tick, memory.pending_time_ns, tuple(values), tuple(masked))

    def _impossible(self, pending: dict[int, float | None]) -> dict[int, float]:
        found = {}
        for channel, (low, high) in self._ranges.items():
            value = pending.get(channel)
            if value is not None and not low <= value <= high:
                found[channel] = value
        return found
