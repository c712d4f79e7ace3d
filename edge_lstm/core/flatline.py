"""Stuck sensors: one and the same value for longer than the site allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_lstm.contracts.frame import Frame
from edge_lstm.contracts.manifest import Channel
from edge_lstm.contracts.state import AlignMemory

__all__ = ["Flatline"]


class Flatline:
    """Counts frames in a row with the same value, of the channels that the site watches.

    Nothing in a bundle says how long a channel may rest, so nothing is watched unasked.

    Args:
        channels: The model's channels.
        limits: Channel to frames in a row after which it is stuck; names the model lacks are ignored.

    Attributes:
        watched: Channel index to that number.
    """

    def __init__(self, channels: Sequence[Channel], limits: Mapping[str, int]) -> None:
        self.watched = {i: limits[c.name] for i, c in enumerate(channels) if c.name in limits}

    def take(self, memory: AlignMemory, frame: Frame) -> None:
        """Count one frame; a masked channel neither counts nor breaks a run."""
        for i in self.watched:
            if frame.masked[i]:
                continue
            value = frame.values[i]
            last, number = memory.repeats.get(i, (value, 0))
            memory.repeats[i] = (value, number + 1 if value == last else 1)

    def is_stuck(self, memory: AlignMemory, i: int) -> bool:
        """Whether a channel is stuck by now."""
        return i in self.watched and i in memory.repeats and memory.repeats[i][1] > self.watched[i]
