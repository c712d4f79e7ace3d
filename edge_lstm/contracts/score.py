"""What one step of the model says about one frame."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Score", "StreamStatus"]


class StreamStatus(StrEnum):
    """Where a stream stands after a frame."""

    WARMING = "warming"
    """The state is younger than the bundle's warm-up: scored, but no alert can open."""
    NORMAL = "normal"
    OPEN = "open"
    """An episode is open."""
    PAUSED = "paused"
    """The rule ``score_when`` does not hold: the state advances, nothing opens or closes."""
    COMMISSIONING = "commissioning"
    """The asset's own scaling is being learned: there is no score yet."""


class Score(msgspec.Struct, frozen=True, gc=False):
    """The score of one frame; higher is more anomalous.

    Attributes:
        asset: The machine.
        tick: The frame's count since the state was last reset.
        time_ns: The frame's time, nanoseconds since 1970-01-01 UTC.
        score: The fused, smoothed score, on the scale of ``threshold``.
        threshold: The level in force for this frame.
        status: Where the stream stands after this frame.
        shares: One share of the score a channel, sum 1 (all zero when the score is 0).
        expected: One value a channel, channel units: what the head expected that the frame
            surprised most.
        errors: One reconstruction error a channel, actual minus reconstructed, channel units.
        progress: Share of the commissioning baseline that is there; null for a frame that was scored.
    """

    asset: str
    tick: int
    time_ns: int
    score: float
    threshold: float
    status: StreamStatus
    shares: tuple[float, ...]
    expected: tuple[float, ...]
    errors: tuple[float, ...]
    progress: float | None = None
