"""Sensor history: files in, unbroken stretches of numbers out, or one line that says what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_lstm.errors import HistoryError
from edge_lstm.times import NS
from trainer.checks import (
    MIN_ROWS,
    DeadChannels,
    check_missing,
    check_order,
    check_rows,
    check_span,
    check_steps,
    dead_channels,
    drop_channels,
    typical_period_ns,
)
from trainer.columns import ReadOptions
from trainer.notices import notices
from trainer.parts import Part, Sheet
from trainer.sheets import read_sheet
from trainer.tables import find_files, read_table
from trainer.timestamps import is_time_format
from trainer.unite import unite

__all__ = ["MIN_ROWS", "FileFacts", "History", "Segment", "read_history", "read_options"]


_FOREVER = 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Rows of one machine without a break: one file, no long silence.

    Attributes:
        asset: The machine; empty when no column names it.
        source: The file's name.
        time_ns: Nanoseconds since 1970-01-01 UTC, (rows,), strictly increasing.
        values: Channel units, (rows, channels), NaN where missing.
    """

    asset: str
    source: str
    time_ns: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What became of the rows of one machine in one file.

    Attributes:
        source: The file's name.
        asset: The machine; empty when no column names it.
        rows: Rows in the file.
        duplicate: Rows left out because their time was there already.
        backward: Rows left out because a later one came before them.
        first_left_out: The first of these, as a row of the file; 0 when there is none.
    """

    source: str
    asset: str
    rows: int
    duplicate: int
    backward: int
    first_left_out: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Everything that was read.

    Attributes:
        channels: Names, the order of every ``values``.
        segments: Ordered by start time.
        period_s: Median time between rows, seconds; 0 when there is but one row.
        files: A row of counts for each file and machine.
        constant: Channels left out because they never change or never have a value.
        categorical: Columns of text left out.
        notices: What the reader should know, a sentence each.
    """

    channels: tuple[str, ...]
    segments: tuple[Segment, ...]
    period_s: float
    files: tuple[FileFacts, ...] = ()
    constant: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows in all segments."""
        return sum(len(segment.time_ns) for segment in self.segments)


def read_history(  # noqa: PLR0913 - an argument an option of the command line
    paths: Sequence[Path],
    *,
    time_column: str | None = None,
    time_format: str = "auto",
    delimiter: str | None = None,
    asset_column: str | None = None,
    channel_column: str | None = None,
    value_column: str | None = None,
    ignore: Sequence[str] = (),
    channels: Sequence[str] | None = None,
    layout: Literal["auto", "wide", "long"] = "auto",
    constant: Literal["auto", "error", "drop", "keep"] = "auto",
    mixed_time_zones: Literal["error", "convert"] = "error",
    strict: bool = True,
    gap_factor: float = 10.0,
    period_s: float | None = None,
    max_missing_share: float = 0.5,
    max_missing_run: float = 0.1,
) -> History:
    """Read history from CSV and Parquet files.

    What is not given is found out: delimiter, time column, form of the times, layout.
    Each file is a segment of its own, for each machine, and is cut at long silences. Rows
    that are not later than all before them are left out and counted, as on the device.

    Args:
        paths: Files and folders.
        time_column: Column of the time.
        time_format: ``auto``, ``s``, ``ms``, ``us``, ``ns``, ``rfc3339`` or a strptime pattern.
        delimiter: Between the columns of CSV.
        asset_column: Column that names the machine.
        channel_column: Column that names the channel, in a long table.
        value_column: Column that holds the value, in a long table.
        ignore: Columns (in a long table also channels) to leave out.
        channels: Use these and no others, in this order; then constant ones are kept.
        layout: ``wide``, ``long`` or ``auto``.
        constant: Channels that never change: an ``error``, or ``drop`` them; ``auto`` drops
            them when there are 12 channels or more, as wide exports always carry dead tags.
        mixed_time_zones: ``error``, or ``convert`` all to UTC.
        strict: Refuse what cannot be trained on: few rows, constant and mostly missing
            channels, times out of order. A replay takes these as the device would.
        gap_factor: Cut where no row comes for longer than this many periods.
        period_s: Period after which single values of a long table make a frame; found out
            unless it is given. A replay gives the bundle's.
        max_missing_share: Most of a channel that may be missing in a file.
        max_missing_run: Most of the rows that a channel may be missing at a stretch.

    Raises:
        HistoryError: The first thing that is wrong, with file, row and column.
    """
    options = read_options(
        time_column=time_column,
        time_format=time_format,
        delimiter=delimiter,
        asset_column=asset_column,
        channel_column=channel_column,
        value_column=value_column,
        ignore=ignore,
        channels=channels,
        layout=layout,
        constant=constant,
        mixed_time_zones=mixed_time_zones,
        strict=strict,
        gap_factor=gap_factor,
        period_s=period_s,
        max_missing_share=max_missing_share,
        max_missing_run=max_missing_run,
    )
    files = find_files(paths)
    sheets = [
        read_sheet(read_table(path, source=source, delimiter=options.delimiter), options)
        for path, source in files.items()
    ]
    return _history(sheets, options)


def read_options(**said: Any) -> ReadOptions:
    """What the caller of `read_history` says of the files, checked.

    Raises:
        HistoryError: An unknown time format, or a delimiter that is none.
    """
    channels = said.pop("channels", None)
    return ReadOptions(
        time_format=_time_format(said.pop("time_format", "auto")),
        delimiter=_delimiter(said.pop("delimiter", None)),
        ignore=frozenset(said.pop("ignore", ())),
        channels=None if channels is None else tuple(channels),
        **said,
    )


def _time_format(text: str) -> str:
    if not is_time_format(text):
        raise HistoryError(
            "unknown time format",
            expected="auto, s, ms, us, ns, rfc3339 or a pattern such as '%d.%m.%Y %H:%M:%S'",
            got=f"'{text}'",
        )
    return text


def _delimiter(text: str | None) -> str | None:
    mark = {"\\t": "\t", "tab": "\t"}.get(text or "", text)
    if mark is not None and (len(mark) != 1 or not mark.isascii()):
        raise HistoryError("a delimiter is one character", expected="one of , ; | or tab", got=f"'{text}'")
    return mark


def _history(sheets: Sequence[Sheet], options: ReadOptions) -> History:
    channels, categorical = unite(sheets, options)
    parts = [replace(part, values=values) for sheet in sheets for part, values in _aligned(sheet, channels)]
    dead = DeadChannels()
    check_span(parts)
    if options.strict:
        check_rows(parts)
    # A few odd rows are what a replay is for; two machines read as one would hide a fault.
    check_order([part for part in parts if options.strict or part.read >= MIN_ROWS], categorical)
    if options.strict:
        if options.channels is None:
            dead = dead_channels(parts, channels, options)
            channels, parts = drop_channels(parts, channels, dead.dropped)
        check_missing(parts, channels, options)
    period_ns = typical_period_ns(parts)
    if options.strict:
        check_steps(parts, period_ns, options.gap_factor)
    return History(
        channels=channels,
        segments=_segments(parts, round(period_ns * options.gap_factor) or _FOREVER),
        period_s=period_ns / NS,
        files=tuple(
            FileFacts(p.source, p.asset, p.read, p.duplicate, p.backward, p.first_left_out) for p in parts
        ),
        constant=dead.dropped,
        categorical=categorical,
        notices=notices(sheets, parts, channels, dead=dead, categorical=categorical, options=options),
    )


def _aligned(sheet: Sheet, channels: Sequence[str]) -> Iterable[tuple[Part, NDArray[np.float64]]]:
    """The parts of a file with their columns in the order of the whole history."""
    if tuple(channels) == sheet.channels:
        yield from ((part, part.values) for part in sheet.parts)
        return
    places = [sheet.channels.index(name) if name in sheet.channels else -1 for name in channels]
    for part in sheet.parts:
        nothing = np.full((len(part.values), 1), np.nan)
        yield part, np.hstack([part.values, nothing])[:, places]


def _segments(parts: Iterable[Part], gap_ns: int) -> tuple[Segment, ...]:
    segments = []
    for part in parts:
        cuts = np.flatnonzero(np.diff(part.time_ns) > gap_ns) + 1
        times, values = np.split(part.time_ns, cuts), np.split(part.values, cuts)
        segments += [Segment(part.asset, part.source, t, v) for t, v in zip(times, values, strict=True)]
    return tuple(sorted(segments, key=lambda s: int(s.time_ns[0])))
