"""One table to parts: the rows of each machine in it, in order, as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from edge_lstm.errors import HistoryError
from trainer.columns import ReadOptions, Roles, find_roles
from trainer.long_sheets import read_long
from trainer.parts import Cells, Floats, Ints, Part, Sheet, by_asset, numbers, text_among_numbers
from trainer.tables import Table
from trainer.wording import did_you_mean, listed

__all__ = ["read_sheet"]


def read_sheet(table: Table, options: ReadOptions) -> Sheet:
    """Find the columns of a table and turn its cells into numbers.

    Raises:
        HistoryError: The first thing that is wrong with it.
    """
    cells = _without_empty_lines(table, options)
    roles = find_roles(cells.table, cells.rows, options)
    if roles.channel is not None:
        return read_long(cells, roles, options)
    return _read_wide(cells, roles, options)


def _without_empty_lines(table: Table, options: ReadOptions) -> Cells:
    frame = table.frame
    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    if not filled.any():
        raise HistoryError("no rows: there is a header and nothing else", path=table.path)
    rows = np.flatnonzero(filled.to_numpy()) + 1
    if len(rows) < len(frame):
        table = Table(table.path, table.source, frame.filter(filled), table.decimal_comma)
    return Cells(table, rows, _assets(table, rows, options.asset_column))


def _assets(table: Table, rows: Ints, column: str | None) -> pl.Series | None:
    if column is None or column not in table.frame.columns:
        return None
    names = table.frame[column].cast(pl.String).str.strip_chars().replace("", None)
    if names.has_nulls():
        row = int(rows[names.is_null().arg_max() or 0])
        do = "name the machine in every row, or remove the row"
        raise HistoryError("no machine is named here", path=table.path, row=row, column=column, do=do)
    return names


def _read_wide(cells: Cells, roles: Roles, options: ReadOptions) -> Sheet:
    table, names, unused = cells.table, roles.rest, []
    if options.channels is not None:
        names = _wanted(table, roles, options.channels)
    kinds = {}
    for name in names:
        if not name.strip():
            unused.append(name)  # an index column, or what a delimiter at the end of a line leaves
            continue
        kinds[name] = one = numbers(cells, table.frame[name], cells.rows)
        if one.kind == "mixed":
            raise text_among_numbers(table.path, one, name, options)
    channels = tuple(name for name, one in kinds.items() if one.kind == "number")
    values = np.column_stack([kinds[name].values for name in channels] or [np.empty((len(table.frame), 0))])
    parts = [
        _forward(table, asset, cells.rows[some], roles.times.ns[some], values[some])
        for asset, some in by_asset(cells.assets, len(values))
    ]
    unused = [name for name in unused if table.frame[name].is_not_null().any()]
    return Sheet(
        table.path,
        table.source,
        tuple(table.frame.columns),
        channels,
        kinds,
        tuple(parts),
        naive=roles.times.naive,
        unused=tuple(name.strip() for name in unused),
    )


def _wanted(table: Table, roles: Roles, channels: Sequence[str]) -> tuple[str, ...]:
    missing = [name for name in channels if name not in roles.rest]
    if missing:
        raise HistoryError(
            f"no column for {listed(missing)}",
            path=table.path,
            expected=listed(channels),
            got=listed(roles.rest),
            do=f"rename the column in the header; {did_you_mean(missing[0], roles.rest)}",
        )
    return tuple(channels)


def _forward(table: Table, asset: str, rows: Ints, time_ns: Ints, values: Floats) -> Part:
    """Leave out what is not later than all before it: the device does the same."""
    latest = np.maximum.accumulate(time_ns)
    before = np.r_[np.iinfo(np.int64).min, latest[:-1]]
    keep = time_ns > before
    backward = int((time_ns < before).sum())
    left_out = int((~keep).sum())
    first = int(rows[np.argmin(keep)]) if left_out else 0
    if left_out:
        rows, time_ns, values = rows[keep], time_ns[keep], values[keep]
    read = len(keep)
    return Part(
        table.path, table.source, asset, rows, time_ns, values, read, left_out - backward, backward, first
    )
