"""Times in and out: many forms in, one form out. Pure; nothing here asks a clock."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Literal, get_args

__all__ = ["CLOCK_SET_NS", "NS", "TimeFormat", "format_time", "parse_time"]

NS = 1_000_000_000
CLOCK_SET_NS = 1_767_225_600 * NS
"""2026-01-01: a clock of ours that reads a time before this program was written has not been set."""
TimeFormat = Literal["auto", "s", "ms", "us", "ns", "rfc3339"]

_UNITS = {"s": NS, "ms": 1_000_000, "us": 1_000, "ns": 1}
# Auto-detection by magnitude: 1e11 s is the year 5138, 1e11 ms is 1973. See docs/format-reading.md.
_LIMITS: tuple[tuple[float, TimeFormat], ...] = ((1e11, "s"), (1e14, "ms"), (1e17, "us"))
_INT64_MAX = 2**63 - 1
_FORMS = frozenset(get_args(TimeFormat))
_USUAL = (20, 24, 27)  # lengths with no, three and six decimals
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?\s?([Zz]|[+-]\d\d:?\d\d)?"
)


def parse_time(value: str | int | float, unit: TimeFormat = "auto") -> int:
    """A time as nanoseconds since 1970-01-01 UTC.

    Args:
        value: Unix time as a number or numeric text, or RFC 3339 text; text without
            an offset is UTC.
        unit: The form to insist on; ``auto`` takes text with a date as RFC 3339 and
            numbers by magnitude: below 1e11 s, below 1e14 ms, below 1e17 us, else ns.

    Raises:
        ValueError: ``value`` is not such a time.
    """
    if unit not in _FORMS:
        raise ValueError(f"unknown time format {unit!r}")
    if isinstance(value, bool):
        raise ValueError("a truth value is not a time")
    if isinstance(value, str):
        return _parse_text(value.strip(), unit)
    if unit == "rfc3339":
        raise ValueError(f"{value!r} is a number, not RFC 3339 text")
    return _from_number(value, unit)


def _parse_text(text: str, unit: TimeFormat) -> int:
    if unit in ("auto", "rfc3339"):
        if (time_ns := _usual(text)) is not None:
            return time_ns
        match = _RFC3339.fullmatch(text)
        if match:
            return _from_match(match)
    if unit == "rfc3339":
        raise ValueError(f"{text!r} is not RFC 3339, such as 2026-03-01T12:00:00Z")
    try:
        number: int | float = int(text)
    except ValueError:
        number = float(text)
    return _from_number(number, unit)


def _usual(text: str) -> int | None:
    """The most usual forms (``2026-03-01T12:00:00Z``, three or six decimals) at a fifth of the cost.

    Nothing is decided here: what is not of these forms, or wrong in them, is left to the pattern.
    """
    if len(text) not in _USUAL or text[4:17:3] != "--T::" or text[-1] != "Z" or text[11:13] == "24":
        return None  # Python 3.13 takes 24:00, earlier ones do not
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except ValueError:
        return None
    time_ns = (since.days * 86_400 + since.seconds) * NS + since.microseconds * 1_000
    return time_ns if abs(time_ns) <= _INT64_MAX else None


def _from_match(match: re.Match[str]) -> int:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    whole = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=UTC)
    offset_s = 0
    if zone and zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        if hours > 23 or minutes > 59:
            raise ValueError(f"offset {zone} is not a time zone offset")
        offset_s = (hours * 60 + minutes) * 60 * (-1 if zone[0] == "-" else 1)
    seconds = int(whole.timestamp()) - offset_s
    ns = seconds * NS + int((fraction or "").ljust(9, "0"))
    if abs(ns) > _INT64_MAX:  # the year 1 of .NET's DateTime.MinValue, for example
        raise ValueError(f"{match.group()} is out of range: times reach from 1678 to 2261")
    return ns


def _from_number(value: int | float, unit: TimeFormat) -> int:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a time")
    if unit == "auto":
        unit = _magnitude(abs(value))
    factor = _UNITS[unit]
    if isinstance(value, int):
        ns = value * factor
    else:  # whole and fraction apart: 1.7e9 s as one float product would be off by 200 ns
        whole = math.floor(value)
        ns = whole * factor + round((value - whole) * factor)
    if abs(ns) > _INT64_MAX:
        raise ValueError(f"{value} is out of range for a time in {unit}")
    return ns


def _magnitude(size: int | float) -> TimeFormat:
    for limit, name in _LIMITS:
        if size < limit:
            return name
    return "ns"


def format_time(time_ns: int) -> str:
    """RFC 3339 UTC with milliseconds (cut, not rounded): ``2026-03-01T12:00:00.250Z``."""
    seconds, rest = divmod(time_ns, NS)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
