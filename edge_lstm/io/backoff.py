"""How long to wait before the next attempt: longer each time, and never in step with other devices."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Exponential delays with jitter, so that a fleet does not meet a restarted broker all at once.

    Args:
        random: Uniform numbers from 0 to 1.
        least_s: Upper bound of the first delay, seconds.
        most_s: Upper bound of all delays, seconds.
    """

    def __init__(self, random: Callable[[], float], *, least_s: float = 0.5, most_s: float = 30.0) -> None:
        self._random, self._least_s, self._most_s = random, least_s, most_s
        self._attempts = 0

    def next_s(self, *, slow: bool = False) -> float:
        """The next delay, seconds; ``slow`` takes the longest (another attempt soon would do harm)."""
        bound = self._most_s if slow else min(self._most_s, self._least_s * 2.0 ** min(self._attempts, 30))
        self._attempts += 1
        return bound * (0.5 + 0.5 * self._random())

    def reset(self) -> None:
        """The last attempt was a lasting success."""
        self._attempts = 0
