"""Signs of life: when to send PINGREQ, and when the silence has been too long (MQTT 5, 3.1.2.10 and 3.12)."""

from __future__ import annotations

__all__ = ["Pulse"]


class Pulse:
    """After half the keep-alive in which either side was silent a PINGREQ; as long again for an answer.

    So a dead connection is found within one keep-alive of its last sign of life, and a
    broker, which allows one and a half, never takes us for dead.

    Args:
        keepalive_s: Longest silence, seconds.
        now: Monotonic time, seconds.
    """

    def __init__(self, keepalive_s: float, now: float) -> None:
        self._half_s = keepalive_s / 2
        self._heard = self._said = now
        self._asked: float | None = None

    def heard(self, now: float) -> None:
        """Something came."""
        self._heard, self._asked = now, None

    def said(self, now: float) -> None:
        """Something went out."""
        self._said = now

    def silent_s(self, now: float) -> float:
        """For how long nothing has come, where that is too long, else 0."""
        too_long = self._asked is not None and now - self._asked >= self._half_s
        return now - self._heard if too_long else 0.0

    def ask(self, now: float) -> bool:
        """Whether to send a PINGREQ now; the answer is waited for from here."""
        if self._asked is not None or now - min(self._heard, self._said) < self._half_s:
            return False
        self._asked = now
        return True

    def due(self) -> float:
        """When to look again, on the same clock."""
        since = self._asked if self._asked is not None else min(self._heard, self._said)
        return since + self._half_s
