"""Columns of times to nanoseconds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.times import parse_time
from trainer.timestamps import TimeFault, parse_times

S = 1_000_000_000
NOON = parse_time("2026-03-01T12:00:00Z")


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (["2026-03-01T12:00:00Z"], "auto"),
        (["2026-03-01T12:00:00Z"], "rfc3339"),
        (["2026-03-01t12:00:00z"], "auto"),
        (["2026-03-01 12:00:00"], "auto"),
        (["2026-03-01 12:00"], "auto"),
        (["2026/03/01 12:00:00"], "auto"),
        (["  2026-03-01T12:00:00.000Z "], "auto"),
        (["2026-03-01T12:00:00,000000000"], "auto"),
        (["2026-03-01T13:30:00+01:30"], "auto"),
        (["2026-03-01T13:30:00+0130"], "auto"),
        (["2026-03-01 07:00:00-05"], "auto"),
        (["2026-03-01 12:00:00 UTC"], "auto"),
        (["01.03.2026 12:00:00"], "%d.%m.%Y %H:%M:%S"),
        (["01.03.2026 12:00:00.000"], "%d.%m.%Y %H:%M:%S.%f"),
        (["01.03.2026 12:00:00,000"], "%d.%m.%Y %H:%M:%S,%f"),
        (["01.03.2026 13:00 +0100"], "%d.%m.%Y %H:%M %z"),
        (["03/01/26 12:00 PM"], "%m/%d/%y %I:%M %p"),
        ([f"{NOON // S}"], "auto"),
        ([f"{NOON // S}.0"], "auto"),
        ([f"{NOON // 1_000_000}"], "auto"),
        ([f"{NOON // 1_000}"], "auto"),
        ([f"{NOON}"], "auto"),
        ([NOON // S], "s"),
        ([float(NOON // S)], "auto"),
        ([NOON // 1_000_000], "ms"),
        ([NOON // 1_000], "us"),
        ([NOON], "ns"),
        ([datetime(2026, 3, 1, 12, tzinfo=UTC)], "auto"),
        ([datetime(2026, 3, 1, 12)], "auto"),  # noqa: DTZ001 - naive on purpose
    ],
)
def test_every_form_is_the_same_noon(cells: list[object], form: str) -> None:
    """Text, numbers and datetimes all come to the same nanosecond."""
    assert [NOON] == parse_times(pl.Series(cells), form=form).ns.tolist()


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_parquet_datetimes_of_any_unit_and_zone(unit: Literal["ms", "us", "ns"], zone: str | None) -> None:
    """The stored instant counts, whatever zone it is shown in; without one it is UTC."""
    column = pl.Series([NOON]).cast(pl.Datetime("ns", "UTC" if zone else None))
    column = column.cast(pl.Datetime(unit, "UTC" if zone else None))
    column = column.dt.convert_time_zone(zone) if zone else column

    parsed = parse_times(column)

    assert ([NOON], zone is None) == (parsed.ns.tolist(), parsed.naive)


def test_dates_alone_are_midnights() -> None:
    """Daily data has no time of day, as text, as a pattern or as a date."""
    midnight = NOON - 12 * 3600 * S

    assert [midnight] == parse_times(pl.Series(["2026-03-01"])).ns.tolist()
    assert [midnight] == parse_times(pl.Series(["01.03.2026"]), form="%d.%m.%Y").ns.tolist()
    assert [midnight] == parse_times(pl.Series([date(2026, 3, 1)])).ns.tolist()


@pytest.mark.parametrize(
    ("cells", "naive"),
    [
        (["2026-03-01T12:00:00"], True),
        (["2026-03-01T12:00:00Z"], False),
        (["01.03.2026 12:00"], True),
        (["1700000000"], False),
    ],
)
def test_times_without_a_zone_are_marked(cells: list[str], *, naive: bool) -> None:
    """The reader is told where UTC was assumed."""
    form = "%d.%m.%Y %H:%M" if "." in cells[0] else "auto"

    assert naive == parse_times(pl.Series(cells), form=form).naive


@given(
    st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["", "Z", "+05:30", "-0800"]),
    st.integers(0, 9),
)
def test_text_is_parsed_as_the_device_parses_it(moment: datetime, zone: str, digits: int) -> None:
    """A history and a message that say the same time mean the same nanosecond."""
    fraction = f".{moment.microsecond:06d}000"[: digits + 1] if digits else ""
    text = f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + fraction + zone

    assert [parse_time(text)] == parse_times(pl.Series([text])).ns.tolist()


@given(st.one_of(st.integers(10**8, 9 * 10**18), st.floats(1e8, 9e18)))
def test_numbers_are_parsed_as_the_device_parses_them(number: float) -> None:
    """Same unit by magnitude, same rounding of the fraction, as a number and as text; same refusal."""
    try:
        expected = [parse_time(number)]
    except ValueError:
        with pytest.raises(TimeFault, match="out of range"):
            parse_times(pl.Series([number]))
        return

    assert expected == parse_times(pl.Series([number])).ns.tolist()
    assert expected == parse_times(pl.Series([repr(number)])).ns.tolist()


def test_small_fractions_keep_their_nanoseconds() -> None:
    """Sixteen digits of a float are spent on the seconds; what is left is not lost."""
    assert [1_700_000_000 * S + 123_456_001] == parse_times(pl.Series(["1700000000.123456"])).ns.tolist()


def test_mixed_zones_become_utc_when_asked() -> None:
    """With ``convert`` every row is taken at its word, and rows without a zone as UTC."""
    cells = pl.Series(["2026-03-01T12:00:00Z", "2026-03-01T13:00:01+01:00", "2026-03-01T12:00:02"])

    assert [NOON, NOON + S, NOON + 2 * S] == parse_times(cells, mixed="convert").ns.tolist()


def test_zones_of_the_same_offset_are_not_mixed() -> None:
    """Z and +00:00 are two ways to write one thing."""
    cells = pl.Series(["2026-03-01T12:00:00Z", "2026-03-01T12:00:00+00:00", "2026-03-01T12:00:00 UTC"])

    assert [NOON] * 3 == parse_times(cells).ns.tolist()


@pytest.mark.parametrize(
    ("cells", "form", "row", "what"),
    [
        (["2026-03-01T12:00:00Z", "2026-03-01T12:00:00"], "auto", 1, "mixed time zones"),
        (["2026-03-01T12:00:00", "2026-03-01T12:00:00Z"], "auto", 1, "mixed time zones"),
        (["2026-03-01T12:00:00+01:00", "2026-03-01T12:00:00+02:00"], "auto", 1, "mixed time zones"),
        (["2026-03-01T12:00:00Z", "2026-02-30T12:00:00Z"], "auto", 1, "not a time"),
        (["2026-03-01T12:00:00Z", "2026-03-01T25:00:00Z"], "auto", 1, "not a time"),
        (["2026-03-01T12:00:00Z", "1700000000"], "auto", 1, "not a time"),
        (["1700000000", "2026-03-01T12:00:00Z"], "auto", 1, "not a time"),
        (["1700000000", "1700000001000"], "auto", 0, "the unit of the times changes here"),
        (["2026-03-01T12:00:00Z"], "s", 0, "not a time"),
        (["2026-03-01T12:00:00Z", None], "auto", 1, "no time"),
        (["2026-03-01T12:00:00Z", " "], "auto", 1, "no time"),
        (["9999-03-01T12:00:00Z"], "auto", 0, "time out of range"),
        (["01.03.2026", "2026-03-01"], "%d.%m.%Y", 1, "not a time"),
        ([1, None], "auto", 1, "no time"),
        ([1.5, float("nan")], "auto", 1, "not a time"),
        ([10**18, 10**18 + 1], "s", 0, "out of range for a time in s"),
        ([True, False], "auto", 0, "this column holds no times"),
        ([timedelta(seconds=1)], "auto", 0, "this column holds no times"),
        ([datetime(9000, 1, 1, tzinfo=UTC)], "auto", 0, "time out of range"),
    ],
)
def test_fault_names_the_row(cells: list[object], form: str, row: int, what: str) -> None:
    """The first bad cell is found, counted from 0."""
    with pytest.raises(TimeFault) as caught:
        parse_times(pl.Series(cells), form=form)

    assert (row, what) == (caught.value.row, caught.value.what)


def test_fixed_offsets_of_python_are_understood() -> None:
    """What Python's isoformat writes can be read."""
    moment = datetime(2026, 3, 1, 15, 30, 0, 250_000, tzinfo=timezone(timedelta(hours=3, minutes=30)))

    assert [NOON + S // 4] == parse_times(pl.Series([moment.isoformat()])).ns.tolist()
