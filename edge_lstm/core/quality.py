"""Faults of the input, told apart from faults of the machine before the model sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Channel
from edge_lstm.contracts.state import AlignMemory
from edge_lstm.core.flatline import Flatline

__all__ = ["QualityGate"]


class QualityGate:
    """Says when a fault of the input begins and ends; what is faulty was masked by the aligner.

    A stuck channel is not masked: what it says may be true.

    Args:
        channels: The model's channels with their valid ranges.
        hold_frames: Frames without a value after which a channel is called missing.
        flatline: Channel to frames in a row with one value after which it is called stuck.
    """

    def __init__(
        self, channels: Sequence[Channel], *, hold_frames: int, flatline: Mapping[str, int] | None = None
    ) -> None:
        self._channels = tuple(channels)
        self._hold = hold_frames
        self._flatline = Flatline(channels, flatline or {})
        self._watches = bool(self._flatline.watched)

    def check(self, frame: Frame, memory: AlignMemory, faults: set[str]) -> Iterable[QualityEvent]:
        """The faults that began or ended with a frame.

        Args:
            frame: A frame as aligned.
            memory: The aligner's memory right after it.
            faults: Active faults, ``reason/channel``; updated in place.
        """
        if self._watches:
            self._flatline.take(memory, frame)
        elif not (faults or memory.impossible or memory.missing):
            return ()
        return list(self._check(frame, memory, faults))

    def _check(self, frame: Frame, memory: AlignMemory, faults: set[str]) -> Iterator[QualityEvent]:
        missing = memory.missing or (0,) * len(self._channels)
        for i, channel in enumerate(self._channels):
            now = {
                QualityReason.MISSING: missing[i] > self._hold,
                QualityReason.OUT_OF_RANGE: i in memory.impossible,
                QualityReason.STUCK: self._flatline.is_stuck(memory, i),
            }
            for reason, active in now.items():
                key = f"{reason}/{channel.name}"
                if active == (key in faults):
                    continue
                (faults.add if active else faults.discard)(key)
                detail = self._detail(reason, i, memory) if active else "over"
                yield QualityEvent(frame.asset, frame.time_ns, reason, active, channel.name, detail)

    def _detail(self, reason: QualityReason, i: int, memory: AlignMemory) -> str:
        channel = self._channels[i]
        if reason is QualityReason.MISSING:
            return f"no value for {memory.missing[i]} frames"
        if reason is QualityReason.STUCK:
            value, number = memory.repeats[i]
            return f"{channel.name} reads {value:g} {channel.unit}".rstrip() + f" for {number} frames"
        reads = f"{channel.name} reads {memory.impossible[i]:g} {channel.unit}".rstrip()
        return f"{reads}, valid is {channel.valid_min} to {channel.valid_max}"
