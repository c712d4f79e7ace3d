"""Faults of the input, told apart from faults of the machine before the model sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Channel

__all__ = ["QualityGate"]


class QualityGate:
    """Masks what cannot be true and says when a fault of the input begins and ends.

    Args:
        channels: The model's channels with their valid ranges.
        hold_frames: Frames without a value after which a channel is called missing.
    """

    def __init__(self, channels: Sequence[Channel], *, hold_frames: int) -> None:
        self._channels = tuple(channels)
        self._hold = hold_frames
        self._ranged = any(c.valid_min is not None or c.valid_max is not None for c in channels)

    def check(
        self, frame: Frame, *, missing: Sequence[int], faults: set[str]
    ) -> tuple[Frame, list[QualityEvent]]:
        """The frame with impossible values masked, and the faults that began or ended.

        Args:
            frame: A frame as aligned.
            missing: Frames in a row without a value, a number a channel.
            faults: Active faults, ``reason/channel``; updated in place.
        """
        bad = self._out_of_range(frame) if self._ranged else ()
        if not (bad or faults or any(missing)):
            return frame, []
        if bad:
            masked = tuple(m or i in bad for i, m in enumerate(frame.masked))
            frame = Frame(frame.asset, frame.tick, frame.time_ns, frame.values, masked)
        return frame, list(self._changes(frame, missing, set(bad), faults))

    def _out_of_range(self, frame: Frame) -> tuple[int, ...]:
        return tuple(
            i
            for i, (channel, value, masked) in enumerate(
                zip(self._channels, frame.values, frame.masked, strict=True)
            )
            if not masked
            and (
                (channel.valid_min is not None and value < channel.valid_min)
                or (channel.valid_max is not None and value > channel.valid_max)
            )
        )

    def _changes(
        self, frame: Frame, missing: Sequence[int], bad: set[int], faults: set[str]
    ) -> Iterator[QualityEvent]:
        for i, channel in enumerate(self._channels):
            low, high = channel.valid_min, channel.valid_max
            said = f"{channel.name} reads {frame.values[i]:g} {channel.unit}".rstrip()
            now = {
                QualityReason.MISSING: (missing[i] > self._hold, f"no value for {missing[i]} frames"),
                QualityReason.OUT_OF_RANGE: (i in bad, f"{said}, valid is {low} to {high}"),
            }
            for reason, (active, detail) in now.items():
                key = f"{reason}/{channel.name}"
                if active == (key in faults):
                    continue
                (faults.add if active else faults.discard)(key)
                yield QualityEvent(
                    frame.asset, frame.time_ns, reason, active, channel.name, detail if active else "over"
                )

