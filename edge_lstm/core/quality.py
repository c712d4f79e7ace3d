"""Faults of the input, told apart from faults of the machine before the model sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Channel
from edge_lstm.contracts.state import AlignMemory

__all__ = ["QualityGate"]


class QualityGate:
    """Says when a fault of the input begins and ends; what is faulty was masked by the aligner.

    Args:
        channels: The model's channels with their valid ranges.
        hold_frames: Frames without a value after which a channel is called missing.
    """

    def __init__(self, channels: Sequence[Channel], *, hold_frames: int) -> None:
        self._channels = tuple(channels)
        self._hold = hold_frames

    def check(self, frame: Frame, memory: AlignMemory, faults: set[str]) -> Iterable[QualityEvent]:
        """The faults that began or ended with a frame.

        Args:
            frame: A frame as aligned.
            memory: The aligner's memory right after it.
            faults: Active faults, ``reason/channel``; updated in place.
        """
        # What is missing or impossible is masked, so that most frames are done here.
        return self._changes(frame, memory, faults) if faults or True in frame.masked else ()

    def _changes(self, frame: Frame, memory: AlignMemory, faults: set[str]) -> Iterator[QualityEvent]:
        for i, channel in enumerate(self._channels):
            now = {
                QualityReason.MISSING: memory.missing[i] > self._hold,
                QualityReason.OUT_OF_RANGE: i in memory.impossible,
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
        reads = f"{channel.name} reads {memory.impossible[i]:g} {channel.unit}".rstrip()
        return f"{reads}, valid is {channel.valid_min} to {channel.valid_max}"
