"""What one file becomes on its way to a history, whatever its layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm.errors import HistoryError
from trainer.columns import ReadOptions
from trainer.numeric import Numbers, to_numbers
from trainer.tables import Table, natural
from trainer.wording import ignore_advice

__all__ = ["Cells", "Floats", "Ints", "Part", "Sheet", "by_asset", "groups", "numbers", "text_among_numbers"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of one machine in one file, each later than the one before.

    Attributes:
        path: The file.
        source: Its short name.
        asset: The machine, or the empty string.
        rows: Row of the file that each row is from, counted from 1, (rows,).
        time_ns: (rows,), strictly increasing.
        values: (rows, channels), NaN where missing.
        read: Rows of this machine in the file.
        duplicate: Rows left out because their time was there already.
        backward: Rows left out because a later one came before them.
        first_left_out: The first of these, as a row of the file; 0 when there is none.
    """

    path: Path
    source: str
    asset: str
    rows: Ints
    time_ns: Ints
    values: Floats
    read: int
    duplicate: int = 0
    backward: int = 0
    first_left_out: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """One file, read.

    Attributes:
        path: The file.
        source: Its short name.
        columns: Names of all columns.
        channels: Columns (or, in a long table, names) with numbers, the order of ``values``.
        kinds: What each candidate for a channel turned out to be; ``bad_row`` is a row of the file.
        parts: One a machine.
        naive: Whether the times named no zone.
        unused: Columns of a long table that mean nothing to us, or columns without a name.
    """

    path: Path
    source: str
    columns: tuple[str, ...]
    channels: tuple[str, ...]
    kinds: Mapping[str, Numbers]
    parts: tuple[Part, ...]
    naive: bool
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A table without its empty lines.

    Attributes:
        table: What is left.
        rows: Row of the file that each row is from, counted from 1, (rows,).
        assets: The machine of each row; ``None`` when no column names it.
    """

    table: Table
    rows: Ints
    assets: pl.Series | None


def text_among_numbers(
    path: Path, one: Numbers, column: str, options: ReadOptions, *, channel: str | None = None
) -> HistoryError:
    """The error for a cell that should be a number; ``channel`` where the table is long."""
    advice = f", or leave the column out with {ignore_advice([channel or column])}"
    return HistoryError(
        f"text among the numbers of channel '{channel}'" if channel else "text in a column of numbers",
        path=path,
        row=one.bad_row,
        column=column,
        expected="a number or an empty cell",
        got=f"'{one.bad[:60]}'",
        do="correct the cell" + ("" if options.channels else advice),
    )


def numbers(cells: Cells, column: pl.Series, rows: Ints) -> Numbers:
    """What a column turned out to be; ``rows`` are the rows of the file its cells are from."""
    one = to_numbers(column, decimal_comma=cells.table.decimal_comma)
    return one if one.bad_row < 0 else replace(one, bad_row=int(rows[one.bad_row]))


def by_asset(assets: pl.Series | None, count: int) -> Iterator[tuple[str, Ints | slice]]:
    """Each machine and its rows, in order."""
    if assets is None:
        yield "", slice(0, count)
    else:
        yield from groups(assets)


def groups(names: pl.Series) -> Iterator[tuple[str, Ints]]:
    """Each name, in natural order, and the indices at which it stands."""
    known = sorted(names.unique().to_list(), key=natural)
    index = {name: i for i, name in enumerate(known)}
    codes = names.replace_strict(index, return_dtype=pl.Int64).to_numpy()
    order = np.argsort(codes, kind="stable")
    yield from zip(known, np.split(order, np.cumsum(np.bincount(codes))[:-1]), strict=True)
