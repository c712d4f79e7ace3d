"""Time from outside: the port, the real clock, and times of arrival that never run backwards."""

from __future__ import annotations

import time
from typing import Protocol

from edge_lstm.times import NS

__all__ = ["ArrivalClock", "Clock", "SystemClock"]

_STEP_NS = NS // 2


class Clock(Protocol):
    """What the shell asks for the time; tests bring their own."""

    def time_ns(self) -> int:
        """Wall clock, nanoseconds since 1970-01-01 UTC; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never jumps."""
        ...


class SystemClock:
    """The clock of the machine."""

    def time_ns(self) -> int:
        """Wall clock, nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()


class ArrivalClock:
    """Times of arrival: strictly increasing, and as far apart as they really were.

    A wall clock that is set back would make every reading *late* for as long as it was
    set back, so a step back is ridden out on the monotonic clock. A step forward (a board
    without a battery clock that has just found its time server) is followed at once.

    Args:
        clock: Where the time comes from.
        after_ns: The last time that an earlier process gave. A board without a battery clock
            starts in the past; its readings are no older than those before.
    """

    def __init__(self, clock: Clock, *, after_ns: int = 0) -> None:
        self._clock = clock
        self._offset_ns = max(clock.time_ns(), after_ns) - round(clock.monotonic() * NS)
        self._last_ns = after_ns

    def now_ns(self) -> int:
        """The time of a message that arrives now, nanoseconds since 1970-01-01 UTC."""
        wall_ns = self._clock.time_ns()
        steady_ns = round(self._clock.monotonic() * NS) + self._offset_ns
        if wall_ns - steady_ns > _STEP_NS:
            self._offset_ns += wall_ns - steady_ns
            steady_ns = wall_ns
        self._last_ns = max(self._last_ns + 1, steady_ns)
        return self._last_ns

    def passed(self, last_ns: int) -> None:
        """Times up to this one have been given away: several messages that arrived at once, 1 ns apart."""
        self._last_ns = max(self._last_ns, last_ns)
