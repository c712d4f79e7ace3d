"""A column of times to nanoseconds, all rows at once.

The same forms, and the same numbers to the nanosecond, as `edge_lstm.times.parse_time`
takes from a message; on top of those, dates alone, slashes in dates and strptime patterns,
which exports of plant historians have and messages do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm.times import NS

__all__ = ["CLEAR", "UNITS", "TimeFault", "Times", "is_time_format", "parse_times", "unit_of"]

UNITS = {"s": NS, "ms": 1_000_000, "us": 1_000, "ns": 1}

_LIMITS = ((1e11, "s"), (1e14, "ms"), (1e17, "us"))  # as in edge_lstm.times
CLEAR = 1e8
"""A smaller number says nothing of its unit: 1e8 s is 1973."""
_ISO = (
    r"^(\d{4}[-/]\d\d[-/]\d\d)(?:[Tt ]+(\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,9})\d*)?)?"
    r"\s*([Zz]|UTC|[+-]\d\d(?::?\d\d)?)?$"
)
_NUMERIC = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_EXAMPLE = "2026-03-01T12:00:00Z"
_ANY = f"Unix time or {_EXAMPLE}"


@dataclass(frozen=True, slots=True)
class Times:
    """A parsed column.

    Attributes:
        ns: Nanoseconds since 1970-01-01 UTC, (rows,).
        naive: Whether the column named no time zone, and so was taken as UTC.
        numeric: Whether the column held numbers.
    """

    ns: NDArray[np.int64]
    naive: bool = False
    numeric: bool = False


class TimeFault(ValueError):  # noqa: N818 - a fault of the data; the caller knows file and column
    """A cell that is not a time.

    Args:
        what: What is wrong.
        row: Its index, from 0.
        expected: What would have been right.
        got: The cell.
        do: What the reader can do, where it is not the usual advice.
    """

    def __init__(
        self, what: str, *, row: int, expected: str = _ANY, got: str | None = None, do: str | None = None
    ) -> None:
        self.what, self.row, self.expected, self.got, self.do = what, row, expected, got, do
        super().__init__(what)


def is_time_format(text: str) -> bool:
    """Whether `parse_times` knows this format."""
    return text in ("auto", "rfc3339", *UNITS) or "%" in text


def unit_of(largest: float) -> str:
    """Unit of Unix times by their magnitude: below 1e11 s, below 1e14 ms, below 1e17 us, else ns."""
    return next((name for limit, name in _LIMITS if largest < limit), "ns")


def parse_times(column: pl.Series, *, form: str = "auto", mixed: str = "error") -> Times:
    """Parse a column.

    Args:
        column: Text, numbers, dates or datetimes.
        form: ``auto``, ``s``, ``ms``, ``us``, ``ns``, ``rfc3339`` or a strptime pattern.
        mixed: ``error``, or ``convert`` to take several time zones in one column.

    Raises:
        TimeFault: A cell is not such a time, or time zones are mixed.
    """
    if column.dtype == pl.String:
        return _from_text(column, form, mixed)
    _refuse_nulls(column)
    if isinstance(column.dtype, pl.Datetime):
        return Times(_from_datetime(column), naive=column.dtype.time_zone is None)
    if column.dtype == pl.Date:
        return Times(_from_datetime(column.cast(pl.Datetime("us"))), naive=True)
    if not column.dtype.is_numeric():
        raise TimeFault("this column holds no times", row=0, got=f"type {column.dtype}")
    if form == "rfc3339" or "%" in form:
        raise TimeFault("not a time", row=0, expected=_as_said(form), got=f"{column[0]}")
    return Times(_from_numbers(column, form), numeric=True)


def _as_said(form: str) -> str:
    if "%" in form:
        return f"the pattern '{form}'"
    return _EXAMPLE if form == "rfc3339" else f"Unix time in {form}" if form in UNITS else _ANY


def _refuse_nulls(column: pl.Series) -> None:
    if column.has_nulls():
        raise TimeFault("no time", row=_first(column.is_null()), got="an empty cell")


def _first(mask: pl.Series) -> int:
    index = mask.arg_max()
    return int(index or 0)


# ------------------------------------------------------------------------------------------------- datetimes


def _from_datetime(column: pl.Series) -> NDArray[np.int64]:
    micros = column.dt.timestamp("us").to_numpy()
    far = np.abs(micros) > np.iinfo(np.int64).max // 1000 - 1
    if far.any():
        row = int(far.argmax())
        raise TimeFault("time out of range", row=row, expected="years 1678 to 2261", got=str(column[row]))
    return column.dt.timestamp("ns").to_numpy().astype(np.int64)


# --------------------------------------------------------------------------------------------------- numbers


def _from_numbers(column: pl.Series, form: str) -> NDArray[np.int64]:
    if column.dtype.is_integer():
        values: NDArray[np.int64] | NDArray[np.float64] = _whole(column)
    else:
        values = column.cast(pl.Float64).to_numpy()
        _refuse_where(~np.isfinite(values), column, "not a time", _as_said(form))
    unit = form if form in UNITS else _one_unit(values, column)
    factor = UNITS[unit]
    most = (2**63 - 1) // factor
    _refuse_where(np.abs(values) > most, column, f"out of range for a time in {unit}", _as_said(form))
    if values.dtype == np.int64:
        return (values * factor).astype(np.int64)
    # Whole and fraction apart: 1.7e9 s as one float product would be off by 200 ns.
    whole = np.floor(values)
    return whole.astype(np.int64) * factor + np.rint((values - whole) * factor).astype(np.int64)


def _whole(column: pl.Series) -> NDArray[np.int64]:
    wide = column.cast(pl.Int64, strict=False)
    if wide.has_nulls():
        row = _first(wide.is_null())
        raise TimeFault("out of range for a time", row=row, got=str(column[row]))
    return wide.to_numpy()


def _refuse_where(bad: NDArray[np.bool_], column: pl.Series, what: str, expected: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise TimeFault(what, row=row, expected=expected, got=f"'{column[row]}'")


def _one_unit(values: NDArray[np.int64] | NDArray[np.float64], column: pl.Series) -> str:
    size = np.abs(values)
    unit = unit_of(float(size.max(initial=0)))
    lowest = {"s": 0.0, "ms": 1e11, "us": 1e14, "ns": 1e17}[unit]
    # A slip from ms to s in the middle of a file would read as a jump back by fifty years.
    slipped = (size >= CLEAR) & (size < lowest)
    _refuse_where(slipped, column, "the unit of the times changes here", f"Unix time in {unit} as elsewhere")
    return unit


# ------------------------------------------------------------------------------------------------------ text


def _from_text(column: pl.Series, form: str, mixed: str) -> Times:
    text = column.str.strip_chars().replace("", None)
    _refuse_nulls(text)
    if "%" in form:
        return _from_pattern(text, form)
    if form in UNITS or (form == "auto" and re.match(_NUMERIC, str(text[0]))):
        return Times(_from_numbers(_numbers(text, form), form), numeric=True)
    return _from_iso(text, form, mixed)


def _numbers(text: pl.Series, form: str) -> pl.Series:
    """Text as whole numbers where all are whole, so that no nanosecond is lost."""
    whole = text.cast(pl.Int64, strict=False)
    if not whole.has_nulls():
        return whole
    real = text.cast(pl.Float64, strict=False)
    if real.has_nulls():
        row = _first(real.is_null())
        raise TimeFault("not a time", row=row, expected=_as_said(form), got=f"'{text[row]}'")
    return real


def _from_pattern(text: pl.Series, form: str) -> Times:
    # chrono's %f counts nanoseconds; what follows a point is %.f there.
    pattern = form.replace(".%f", "%.f").replace(",%f", "%.f")
    dated = text.str.replace(r",(\d+)", ".$1") if ",%f" in form else text
    try:
        if any(mark in form for mark in ("%H", "%I", "%T", "%R", "%X", "%r", "%s", "%c")):
            parsed = dated.str.to_datetime(pattern, time_unit="us", strict=False)
        else:
            parsed = dated.str.to_date(pattern, strict=False).cast(pl.Datetime("us"))
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise TimeFault("this time format cannot be used", row=0, got=f"'{form}'") from error
    if parsed.has_nulls():
        row = _first(parsed.is_null())
        raise TimeFault("not a time", row=row, expected=_as_said(form), got=f"'{text[row]}'")
    return Times(_from_datetime(parsed), naive="%z" not in form and "%s" not in form)


def _from_iso(text: pl.Series, form: str, mixed: str) -> Times:
    date, clock, second, fraction, zone = text.str.extract_groups(_ISO).struct.unnest().get_columns()
    whole = _seconds(date, clock, second)
    if whole.has_nulls():
        row = _first(whole.is_null())
        raise TimeFault("not a time", row=row, expected=_as_said(form), got=f"'{text[row]}'")
    offset = _offsets(zone)
    if mixed == "error":
        _refuse_mixed(text, zone, offset)
    nanos = fraction.fill_null("").str.pad_end(9, "0").cast(pl.Int64)
    seconds = whole.dt.epoch("s") - offset.fill_null(0)
    _refuse_where(np.abs(seconds.to_numpy()) > 9_000_000_000, text, "time out of range", "years 1685 to 2255")
    return Times((seconds * NS + nanos).to_numpy().astype(np.int64), naive=zone.has_nulls())


def _seconds(date: pl.Series, clock: pl.Series, second: pl.Series) -> pl.Series:
    day = date.str.replace_all("/", "-", literal=True)
    joined = day + "T" + clock.fill_null("00:00") + second.fill_null(":00")
    return joined.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us")


def _offsets(zone: pl.Series) -> pl.Series:
    """Seconds ahead of UTC; null where there is no zone."""
    known = {name: _offset_s(name) for name in zone.drop_nulls().unique().to_list()}
    return zone.replace_strict(known, default=None, return_dtype=pl.Int64)


def _offset_s(zone: str) -> int:
    if zone in ("Z", "z", "UTC"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    seconds = (int(digits[:2]) * 60 + int(digits[2:])) * 60
    return -seconds if zone[0] == "-" else seconds


def _refuse_mixed(text: pl.Series, zone: pl.Series, offset: pl.Series) -> None:
    differs = offset.ne_missing(pl.Series([offset[0]], dtype=pl.Int64))
    if differs.any():
        row = _first(differs)
        raise TimeFault(
            "mixed time zones",
            row=row,
            expected=f"{_zone_name(zone[0])}, as in row 1",
            got=f"{_zone_name(zone[row])} in '{text[row]}'",
            do="write all times in one zone, or pass --mixed-time-zones convert to turn them into UTC "
            "(times without a zone are then UTC)",
        )


def _zone_name(zone: str | None) -> str:
    return "no time zone" if zone is None else f"time zone {zone}"
