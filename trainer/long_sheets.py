"""A long table to parts: a row a value, gathered to frames as the device gathers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm.errors import HistoryError
from edge_lstm.times import NS
from trainer.columns import ReadOptions, Roles
from trainer.gather import gather, typical_step
from trainer.numeric import Numbers
from trainer.parts import Cells, Floats, Ints, Part, Sheet, by_asset, groups, numbers, text_among_numbers
from trainer.tables import Table
from trainer.wording import did_you_mean, listed

__all__ = ["read_long"]


def read_long(cells: Cells, roles: Roles, options: ReadOptions) -> Sheet:
    """Gather the values of each machine to frames.

    Args:
        cells: The table.
        roles: Which column is what; ``channel`` and ``value`` are there.
        options: What the caller says of the file.

    Raises:
        HistoryError: A channel is not named or not there, or a value is no number.
    """
    table, frame = cells.table, cells.table.frame
    channel, value = str(roles.channel), str(roles.value)
    names = _channel_names(cells, channel)
    kinds, values = _long_numbers(cells, names, value, options)
    channels = _long_channels(table, channel, kinds, options, known=names.unique().to_list())
    index = {name: i for i, name in enumerate(channels)}
    codes = names.replace_strict(index, default=-1, return_dtype=pl.Int64).to_numpy()
    used = np.isfinite(values) & (codes >= 0)
    readings, parts = _Readings(cells.rows, roles.times.ns, codes, values), []
    for asset, some in by_asset(cells.assets, len(frame)):
        chosen = np.arange(len(frame))[some][used[some]]
        if len(chosen):
            parts.append(_gathered(table, asset, readings.some(chosen), len(channels), options.period_s))
    if not parts:
        raise HistoryError("no values", path=table.path, column=value, got="empty cells and text")
    known = {roles.time, channel, value, options.asset_column, *options.ignore}
    return Sheet(
        table.path,
        table.source,
        (*frame.columns, *names.unique().to_list()),
        channels,
        kinds,
        tuple(parts),
        naive=roles.times.naive,
        unused=tuple(name for name in frame.columns if name not in known),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Readings:
    """Single values: row of the file, time, index of the channel, value; all (readings,)."""

    rows: Ints
    time_ns: Ints
    codes: Ints
    values: Floats

    def some(self, chosen: Ints | NDArray[np.bool_]) -> _Readings:
        return _Readings(self.rows[chosen], self.time_ns[chosen], self.codes[chosen], self.values[chosen])


def _channel_names(cells: Cells, column: str) -> pl.Series:
    names = cells.table.frame[column].cast(pl.String).str.strip_chars().replace("", None)
    if names.has_nulls():
        row = int(cells.rows[names.is_null().arg_max() or 0])
        do = "name the channel in every row, or remove the row"
        raise HistoryError("no channel is named here", path=cells.table.path, row=row, column=column, do=do)
    return names


def _long_numbers(
    cells: Cells, names: pl.Series, value: str, options: ReadOptions
) -> tuple[dict[str, Numbers], Floats]:
    """What each channel turned out to be, and all values, (rows,)."""
    column, kinds = cells.table.frame[value], {}
    out = np.full(len(column), np.nan)
    for name, some in groups(names):
        if name in options.ignore or not (options.channels is None or name in options.channels):
            continue
        kinds[name] = one = numbers(cells, column.gather(some), cells.rows[some])
        if one.kind == "mixed":
            raise text_among_numbers(cells.table.path, one, value, options, channel=name)
        out[some] = one.values
    return kinds, out


def _long_channels(
    table: Table, column: str, kinds: Mapping[str, Numbers], options: ReadOptions, *, known: Sequence[str]
) -> tuple[str, ...]:
    missing = [name for name in options.channels or () if name not in kinds]
    if missing:
        do = f"check the names of channels; {did_you_mean(missing[0], known)}"
        raise HistoryError(f"no row for {listed(missing)}", path=table.path, column=column, do=do)
    return options.channels or tuple(name for name, one in kinds.items() if one.kind == "number")


def _gathered(table: Table, asset: str, readings: _Readings, channels: int, period_s: float | None) -> Part:
    """Frames from single values; the order of rows in a long table says nothing but who came first."""
    readings = readings.some(np.argsort(readings.time_ns, kind="stable"))
    again = _repeats(readings)
    first = int(readings.rows[again].min()) if again.any() else 0
    one = readings.some(~again)
    period_ns = typical_step(one.time_ns, one.codes) if period_s is None else round(period_s * NS)
    time_ns, values, starts = gather(
        one.time_ns, one.codes, one.values, channels=channels, period_ns=period_ns
    )
    duplicate = int(again.sum())
    read = len(time_ns) + duplicate
    return Part(table.path, table.source, asset, one.rows[starts], time_ns, values, read, duplicate, 0, first)


def _repeats(readings: _Readings) -> NDArray[np.bool_]:
    """Readings whose channel has a value of that very time already; times in order."""
    order = np.lexsort((readings.codes, readings.time_ns))  # stable: the first one in the file stays
    same = (np.diff(readings.time_ns[order]) == 0) & (np.diff(readings.codes[order]) == 0)
    again = np.zeros(len(order), dtype=np.bool_)
    again[order[1:][same]] = True
    return again
