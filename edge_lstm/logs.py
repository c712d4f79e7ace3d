"""Logs for people and machines: one event a line, ``name key=value``; repeats are counted, not printed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Hashable

import msgspec

from edge_lstm.times import format_time

__all__ = ["Throttle", "event", "setup_logs"]

_MAX_VALUE = 300


def event(name: str, **fields: object) -> str:
    """One line's text: the event's name and its fields; ``None`` is left out.

    Values from the wire cannot break the line or add fields: anything but plain
    characters is quoted and escaped.

    >>> event("reading.rejected", reason="late", detail="a b")
    'reading.rejected reason=late detail="a b"'
    """
    facts = (f"{key}={_value(value)}" for key, value in fields.items() if value is not None)
    return " ".join((name, *facts))


def _value(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"
    if text and text.isprintable() and not set(text) & set(" \"'="):
        return text
    quoted = msgspec.json.encode(text.encode("utf-8", "replace").decode()).decode()
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in quoted)


class _Formatter(logging.Formatter):
    """``2026-03-01T12:00:00.250Z warning mqtt.disconnected reason=…``."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{format_time(int(record.created * 1e9))} {record.levelname.lower()}"
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{head} {record.getMessage()}{trace}"


def setup_logs(level: str) -> None:
    """Log to standard error from ``level`` (``debug`` to ``error``) on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class Throttle:
    """Lets one line of a kind through in a while and counts the others.

    Args:
        monotonic: Seconds that never jump.
        every_s: Shortest time between two lines of one kind, seconds.
    """

    def __init__(self, monotonic: Callable[[], float], *, every_s: float = 60.0) -> None:
        self._monotonic, self._every_s = monotonic, every_s
        self._kinds: dict[Hashable, tuple[float, int]] = {}

    def admit(self, kind: Hashable) -> int | None:
        """How many lines of this kind were held back since the last one, or ``None`` to hold this one."""
        now = self._monotonic()
        last, held = self._kinds.get(kind, (None, 0))
        if last is not None and now - last < self._every_s:
            self._kinds[kind] = (last, held + 1)
            return None
        self._kinds[kind] = (now, 0)
        return held
