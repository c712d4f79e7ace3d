"""Times in and out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.times import format_time, parse_time

T = 1_772_366_400_000_000_000  # 2026-03-01T12:00:00Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_772_366_400, T),
        (1_772_366_400.25, T + 250_000_000),
        (1_772_366_400_000, T),
        (1_772_366_400_000_000, T),
        (T, T),
        ("1772366400", T),
        ("2026-03-01T12:00:00Z", T),
        ("2026-03-01 12:00:00", T),
        ("2026-03-01T13:30:00+01:30", T),
        ("2026-03-01T12:00:00.123456789Z", T + 123_456_789),
        ("2026-03-01T12:00Z", T),
    ],
)
def test_parse_time_finds_the_form(value: str | float, expected: int) -> None:
    """Unix seconds to nanoseconds and RFC 3339 are told apart by themselves."""
    assert expected == parse_time(value)


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("noon", "auto"),
        ("2026-13-01T00:00:00Z", "auto"),
        (float("nan"), "auto"),
        (float("inf"), "s"),
        (True, "auto"),
        (1, "rfc3339"),
        ("17", "rfc3339"),
        (10**12, "s"),
        ("2026-03-01T12:00:00+25:00", "auto"),
        ("0001-01-01T00:00:00Z", "auto"),
        ("0001-01-01T00:00:00+23:59", "rfc3339"),
        ("9999-12-31T23:59:59Z", "auto"),
        (1, "fortnight"),
    ],
)
def test_parse_time_refuses_what_is_no_time(value: str | float, unit: str) -> None:
    """Anything else is a ValueError, never a wrong time."""
    with pytest.raises(ValueError):  # noqa: PT011 - the text is for the caller's own message
        parse_time(value, unit)  # type: ignore[arg-type]


@given(st.integers(0, 4_000_000_000_000))
def test_format_time_round_trips_milliseconds(ms: int) -> None:
    """What is written in milliseconds is read back exactly."""
    assert ms * 1_000_000 == parse_time(format_time(ms * 1_000_000))
