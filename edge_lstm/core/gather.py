"""Readings in order to frames: which reading belongs to which frame, gaps, held and masked values.

A reading with every channel is a frame at once. Readings with some of the channels gather until
the frame is whole, or until a channel repeats or time has moved on by a period (ADR 0005).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Channel, Grid
from edge_lstm.contracts.reading import Reject, RejectReason
from edge_lstm.contracts.state import AlignMemory
from edge_lstm.core.intake import Given
from edge_lstm.times import NS, format_time

__all__ = ["Gatherer", "Item"]

Item = Frame | QualityEvent | Reject


class Gatherer:
    """Gathers readings that were judged and put in order; all memory is in `AlignMemory`.

    Args:
        channels: The model's channels, in order.
        grid: Period and gap of the bundle.

    Attributes:
        ranges: Index, least and largest possible value of the channels that have such.
        unmasked: The marks of a frame in which nothing is masked.
        period_ns: The bundle's period.
        gap_ns: Silence after which a state starts anew.
    """

    def __init__(self, channels: Sequence[Channel], grid: Grid) -> None:
        self.ranges = [
            (
                i,
                -math.inf if c.valid_min is None else c.valid_min,
                math.inf if c.valid_max is None else c.valid_max,
            )
            for i, c in enumerate(channels)
            if c.valid_min is not None or c.valid_max is not None
        ]
        self.unmasked = (False,) * len(channels)
        self.period_ns, self.gap_ns = round(grid.period_s * NS), round(grid.gap_after_s * NS)
        self._channels = range(len(channels))

    def step(self, memory: AlignMemory, asset: str, time_ns: int, given: Given, out: list[Item]) -> None:
        """Gather one reading, and close what it closes."""
        if memory.pending and self._closes(memory, given, time_ns):
            self.close(memory, asset, out)
        last_ns = memory.last_time_ns
        if last_ns is not None and time_ns <= last_ns:
            if len(given) < len(self._channels):
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
        if len(memory.pending) == len(self._channels):
            self.close(memory, asset, out)

    def _closes(self, memory: AlignMemory, given: Given, time_ns: int) -> bool:
        """Whether a reading belongs to the next frame and not to the pending one."""
        if time_ns - memory.pending_start_ns >= self.period_ns:
            return True
        pending = memory.pending
        if pending.keys().isdisjoint(given):
            return False
        return any(channel in pending and time_ns > pending[channel][0] for channel in given)

    def close(self, memory: AlignMemory, asset: str, out: list[Item]) -> None:
        """Make the pending frame, such as it is."""
        time_ns, last_ns = memory.pending_time_ns, memory.last_time_ns
        if last_ns is not None and time_ns - last_ns > self.gap_ns:
            memory.tick = 0
            detail = f"silent for {(time_ns - last_ns) / NS:g} s; the state starts anew"
            out.append(QualityEvent(asset, time_ns, QualityReason.GAP, active=True, detail=detail))
        out.append(self._frame(memory, asset))
        memory.pending, memory.pending_start_ns, memory.pending_time_ns = {}, 0, 0
        memory.last_time_ns = time_ns
        memory.tick += 1

    def leap(self, memory: AlignMemory, asset: str, time_ns: int, out: list[Item]) -> None:
        """Begin a new epoch of the source's clock: time goes on from here.

        The state is kept when the clock was set by less than a gap.
        """
        before_ns = memory.last_time_ns
        memory.epoch += 1
        memory.last_time_ns = time_ns - self.period_ns
        step_ns = 0 if before_ns is None else time_ns - before_ns
        detail = f"the source's clock was set by {step_ns / NS:+g} s"
        out.append(QualityEvent(asset, time_ns, QualityReason.CLOCK_JUMP, active=True, detail=detail))
        if abs(step_ns) > self.gap_ns:
            memory.tick = 0
            detail = "the source's clock was set by more than a gap; the state starts anew"
            out.append(QualityEvent(asset, time_ns, QualityReason.GAP, active=True, detail=detail))

    def _frame(self, memory: AlignMemory, asset: str) -> Frame:
        """The pending frame; a channel without a possible value keeps its last one and is masked."""
        pending = memory.pending
        row = [pending[i][1] if i in pending else None for i in self._channels]
        impossible = {
            i: value
            for i, low, high in self.ranges
            if (value := row[i]) is not None and not low <= value <= high
        }
        if not impossible and not memory.missing and None not in row:
            memory.values, memory.impossible = cast("tuple[float, ...]", tuple(row)), {}
            return Frame(asset, memory.tick, memory.pending_time_ns, memory.values, self.unmasked)
        missing = memory.missing or [0] * len(row)
        missing = [0 if value is not None else n + 1 for value, n in zip(row, missing, strict=True)]
        masked = tuple([value is None or i in impossible for i, value in enumerate(row)])
        held = memory.values
        values = tuple([held[i] if value is None or masked[i] else value for i, value in enumerate(row)])
        memory.values, memory.impossible = values, impossible
        memory.missing = missing if any(missing) else []
        return Frame(asset, memory.tick, memory.pending_time_ns, values, masked)
