"""Times in and out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.times import _RFC3339, _from_match, _usual, format_time, parse_time

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


DIGITS = st.sampled_from([*"0123456789"] * 3 + [*"-:T.,Z+ W"])


@given(
    st.one_of(
        st.text(DIGITS, min_size=20, max_size=27),
        st.from_regex(
            r"[012][0-9]{3}-[01][0-9]-[0-3][0-9]T[012][0-9]:[0-6][0-9]:[0-6][0-9]([.,][0-9]{3,6})?Z\Z"
        ),
    )
)
def test_usual_forms_are_read_as_the_pattern_reads_them(text: str) -> None:
    """The short way of the usual forms decides nothing that the pattern would decide otherwise."""
    match = _RFC3339.fullmatch(text)
    try:
        expected = _from_match(match) if match else None
    except ValueError:
        expected = None

    assert _usual(text) in (None, expected)


@given(st.integers(0, 4_000_000_000_000))
def test_format_time_round_trips_milliseconds(ms: int) -> None:
    """What is written in milliseconds is read back exactly."""
    assert ms * 1_000_000 == parse_time(format_time(ms * 1_000_000))
