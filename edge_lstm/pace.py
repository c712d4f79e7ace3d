"""How often scores are published."""

from __future__ import annotations

from collections.abc import Sequence

from edge_lstm.clock import Clock
from edge_lstm.contracts.score import StreamStatus

__all__ = ["ScorePace"]


class ScorePace:
    """Holds scores back that come too soon after the last one of their asset; a new status never waits.

    Args:
        clock: Its monotonic time counts.
        interval_s: Least time between two scores of an asset, seconds; 0 lets all through.
    """

    def __init__(self, clock: Clock, interval_s: float) -> None:
        self._clock, self._interval_s = clock, interval_s
        self._last: dict[str, tuple[float, StreamStatus]] = {}

    def admit(self, assets: Sequence[str], statuses: Sequence[StreamStatus]) -> list[bool]:
        """Whether the scores that assets have now are published."""
        if not self._interval_s:
            return [True] * len(assets)
        now = self._clock.monotonic()
        last, since = self._last, now - self._interval_s
        admitted = []
        for asset, status in zip(assets, statuses, strict=True):
            told = last.get(asset)
            due = told is None or told[1] is not status or told[0] <= since
            if due:
                last[asset] = (now, status)
            admitted.append(due)
        return admitted
