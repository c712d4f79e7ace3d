"""Which column is what: the time, the machine, and a column a channel or a row a value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm.errors import HistoryError
from trainer.tables import Table
from trainer.timestamps import CLEAR, TimeFault, Times, parse_times
from trainer.wording import did_you_mean, listed

__all__ = ["LABELS", "ReadOptions", "Roles", "find_roles", "simple_name"]

TIME_NAMES = (
    "time", "timestamp", "datetime", "date_time", "time_stamp", "ts", "_time", "utc", "date",
    "zeitstempel", "zeit", "datum", "t",
)  # fmt: skip
CHANNEL_NAMES = (
    "channel", "channel_id", "channel_name", "tag", "tag_name", "tagname", "sensor", "sensor_id",
    "sensor_name", "signal", "variable", "parameter", "metric", "measurement", "point", "topic",
    "field", "_field", "name",
)  # fmt: skip
VALUE_NAMES = ("value", "_value", "val", "reading", "measured_value", "v")
ASSET_NAMES = (
    "asset",
    "asset_id",
    "machine",
    "machine_id",
    "device",
    "device_id",
    "unit",
    "equipment",
    "engine",
)
LABELS = (
    "label", "labels", "anomaly", "is_anomaly", "anomalous", "outlier", "changepoint", "attack",
    "fault", "failure", "class", "target",
)  # fmt: skip

_UNIT = re.compile(r"(?<=[_\s\[(.])(s|sec|seconds|ms|us|µs|ns)[\])]?$", re.IGNORECASE)
_SAMPLE = 200
# Unix times of 2000 to 2100: what a column without a telling name must hold to be taken for the time.
_SERIAL = (25_569.0, 73_051.0)  # days since 1899-12-30: 1970 to 2100
_LIKELY_NS = (946_684_800_000_000_000, 4_102_444_800_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the caller says of the files; see `trainer.data.read_history`."""

    time_column: str | None = None
    time_format: str = "auto"
    delimiter: str | None = None
    asset_column: str | None = None
    channel_column: str | None = None
    value_column: str | None = None
    ignore: frozenset[str] = frozenset()
    channels: tuple[str, ...] | None = None
    layout: Literal["auto", "wide", "long"] = "auto"
    constant: Literal["auto", "error", "drop", "keep"] = "auto"
    mixed_time_zones: Literal["error", "convert"] = "error"
    strict: bool = True
    gap_factor: float = 10.0
    period_s: float | None = None
    max_missing_share: float = 0.5
    max_missing_run: float = 0.1


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns of one table.

    Attributes:
        time: Column of the time.
        times: What it holds.
        rest: Columns that may be channels (wide), in order; empty in a long table.
        channel: Column that names the channel, in a long table.
        value: Column that holds the value, in a long table.
    """

    time: str
    times: Times
    rest: tuple[str, ...] = ()
    channel: str | None = None
    value: str | None = None


def simple_name(name: str) -> str:
    """A name as the lists above have it: lower case, no unit, no brackets."""
    bare = re.sub(r"\s*[\[(].*?[\])]\s*$", "", name.strip().lower())
    return re.sub(r"[\s.\-]+", "_", re.sub(r"_(s|sec|seconds|ms|us|ns|utc)$", "", bare))


def find_roles(table: Table, rows: NDArray[np.int64], options: ReadOptions) -> Roles:
    """Find time, channel and value columns.

    Args:
        table: The table without its empty lines.
        rows: Row of the file that each of its rows is from, (rows,).
        options: What the caller says of the file.

    Raises:
        HistoryError: A named column does not exist, or there is no time in this table.
    """
    columns = table.frame.columns
    for flag in ("time", "asset", "channel", "value"):
        _require(table.path, getattr(options, f"{flag}_column"), columns, f"--{flag}-column")
    usable = [name for name in columns if name not in options.ignore and name != options.asset_column]
    time = options.time_column or _find_time(table, usable, options)
    times = _parse(table, rows, time, options)
    rest = [name for name in usable if name != time]
    pair = _long_pair(table.frame, rest, times, options)
    if pair is not None:
        return Roles(time, times, channel=pair[0], value=pair[1])
    if options.layout == "long":
        raise HistoryError(
            "cannot tell which column names the channel and which holds the value",
            path=table.path,
            expected="columns 'channel' and 'value' beside the time",
            got=listed(rest),
            do="name them with --channel-column and --value-column",
        )
    return Roles(time, times, rest=tuple(rest))


def _require(path: Path, name: str | None, columns: Sequence[str], flag: str) -> None:
    if name is not None and name not in columns:
        do = f"{did_you_mean(name, columns)} ({flag})"
        raise HistoryError("there is no such column", path=path, column=name, do=do)


# ------------------------------------------------------------------------------------------------------ time


def _find_time(table: Table, usable: Sequence[str], options: ReadOptions) -> str:
    frame, form = table.frame.head(_SAMPLE), options.time_format
    named = [name for known in TIME_NAMES for name in usable if simple_name(name) == known]
    found = next((name for name in named if _is_time(frame[name], form)), None)
    found = found or next((name for name in usable if _is_likely_time(frame[name], form)), None)
    if found is not None:
        return found
    if named:  # it will not parse, and the message about that says more than "no time column"
        return named[0]
    raise HistoryError(
        "no time column",
        path=table.path,
        expected="a column with a name such as 'time', or one full of dates or Unix times",
        got=listed(usable),
        do="name it with --time-column; a counter (0, 1, 2, ...) needs its unit too, as in --time-format s",
    )


def _is_time(cells: pl.Series, form: str) -> bool:
    filled = cells.drop_nulls()
    try:
        return not filled.is_empty() and parse_times(filled, form=form, mixed="convert").ns.size > 0
    except TimeFault:
        return False


def _is_likely_time(cells: pl.Series, form: str) -> bool:
    """Whether the content alone says that this is the time."""
    filled = cells.drop_nulls()
    if filled.is_empty():
        return False
    try:
        times = parse_times(filled, form=form, mixed="convert")
    except TimeFault:
        return False
    likely = (times.ns >= _LIKELY_NS[0]) & (times.ns <= _LIKELY_NS[1])
    in_order = (times.ns[1:] >= times.ns[:-1]).all() and times.ns[0] < times.ns[-1]
    return not times.numeric or bool(likely.all() and in_order)


def _parse(table: Table, rows: NDArray[np.int64], name: str, options: ReadOptions) -> Times:
    """The whole column, or what is wrong with it, and where."""
    cells, form = table.frame[name], options.time_format
    try:
        times = parse_times(cells, form=form, mixed=options.mixed_time_zones)
        if times.numeric and form == "auto":
            unit = _UNIT.search(name)
            if unit is not None:
                return parse_times(cells, form=_short(unit.group(1)))
            _refuse_counter(table, name, cells)
            _refuse_serial(table, name, cells)
    except TimeFault as fault:
        do = fault.do or (
            f"if '{name}' is not the time, name the column that is with --time-column; "
            "if it is, correct the cell or say its form with --time-format"
        )
        row, got = int(rows[fault.row]), fault.got
        raise HistoryError(
            fault.what, path=table.path, row=row, column=name, expected=fault.expected, got=got, do=do
        ) from fault
    return times


def _short(unit: str) -> str:
    return {"sec": "s", "seconds": "s", "µs": "us"}.get(unit.lower(), unit.lower())


def _refuse_counter(table: Table, name: str, cells: pl.Series) -> None:
    """Small numbers are seconds in a column called time; in any other they could count anything."""
    if simple_name(name) in TIME_NAMES:
        return
    largest = cells.cast(pl.Float64, strict=False).abs().max()
    if isinstance(largest, float) and largest < CLEAR:
        raise HistoryError(
            "this column counts something and does not say what",
            path=table.path,
            column=name,
            expected="Unix time or dates",
            got=f"numbers up to {largest:g}",
            do="say the unit of a step with --time-format s (or ms, us, ns), or name another --time-column",
        )


def _refuse_serial(table: Table, name: str, cells: pl.Series) -> None:
    """Days since 1900, as spreadsheets keep dates, would be taken for seconds of the year 1970."""
    days = cells.cast(pl.Float64, strict=False).to_numpy()
    steps = np.diff(days)
    if len(steps) and days.min() >= _SERIAL[0] and days.max() <= _SERIAL[1] and 0 < np.median(steps) < 1:
        raise HistoryError(
            "these may be the days of a spreadsheet, and may be seconds",
            path=table.path,
            column=name,
            expected="Unix time or dates",
            got=f"numbers from {days.min():g} to {days.max():g}",
            do="export the times as text, such as 2026-03-01T12:00:00Z; if they are seconds, --time-format s",
        )


# ------------------------------------------------------------------------------------------------------ long


def _long_pair(
    frame: pl.DataFrame, rest: Sequence[str], times: Times, options: ReadOptions
) -> tuple[str, str] | None:
    """Channel and value column of a long table; ``None`` when the table is wide."""
    if options.layout == "wide":
        return None
    channel = options.channel_column or _by_name(rest, CHANNEL_NAMES)
    value = options.value_column or _by_name(rest, VALUE_NAMES)
    said = options.layout == "long" or options.channel_column is not None
    if (
        channel is not None
        and value is not None
        and channel != value
        and (said or _holds_names(frame[channel]))
    ):
        return channel, value
    return _by_content(frame, rest, times, said=said)


def _by_name(columns: Sequence[str], known: Sequence[str]) -> str | None:
    return next((name for one in known for name in columns if simple_name(name) == one), None)


def _by_content(
    frame: pl.DataFrame, rest: Sequence[str], times: Times, *, said: bool
) -> tuple[str, str] | None:
    """One column of names and one of numbers, with several rows at one time."""
    names = [name for name in rest if _holds_names(frame[name])]
    if len(rest) != 2 or len(names) != 1:
        return None
    channel, value = names[0], next(name for name in rest if name != names[0])
    if said:
        return channel, value
    # Machines one under the other look the same, so one of the two names must tell.
    telling = simple_name(channel) in CHANNEL_NAMES or simple_name(value) in VALUE_NAMES
    start = times.ns[: 10 * _SAMPLE]
    repeated = 2 * len(np.unique(start)) <= len(start)
    return (channel, value) if telling and repeated and simple_name(channel) not in ASSET_NAMES else None


def _holds_names(cells: pl.Series) -> bool:
    sample = cells.head(_SAMPLE).drop_nulls()
    return sample.dtype == pl.String and sample.cast(pl.Float64, strict=False).has_nulls()
