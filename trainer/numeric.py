"""A column of cells to numbers: what counts as missing, as a number, and as neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["MISSING", "Numbers", "to_numbers"]

MISSING = ("", "nan", "na", "n/a", "#n/a", "null", "none", "-")
"""Cells that mean "no value", in lower case and without blanks around them."""

_COMMA = r"^[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?$"
_CATEGORIES = 20
"""A column of text with more different cells than this is not a category but a mistake."""

Kind = Literal["number", "text", "empty", "mixed", "other"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column, and what it turned out to be.

    Attributes:
        kind: ``number``; ``text`` when it is a category, with few different cells and
            none or nearly none of them a number; ``empty`` when no cell has a value;
            ``mixed`` when text stands among the numbers; ``other`` for dates and lists.
        values: (rows,) with NaN where missing; all NaN unless ``kind`` is ``number``.
        infinite: Infinite cells, taken as missing.
        distinct: Different cells of a text column.
        bad_row: Index of the first cell that is not a number, from 0; -1 when there is none.
        bad: That cell.
    """

    kind: Kind
    values: NDArray[np.float64]
    infinite: int = 0
    distinct: int = 0
    bad_row: int = -1
    bad: str = ""


def to_numbers(column: pl.Series, *, decimal_comma: bool = False) -> Numbers:
    """Turn cells into numbers.

    Truth values become 0 and 1, infinities missing. Nothing is raised: the caller knows
    file and column, and whether the column matters.

    Args:
        column: Text, numbers or truth values.
        decimal_comma: Whether ``1,5`` is one and a half.
    """
    dtype = column.dtype
    if dtype == pl.Null:
        return Numbers("empty", np.full(len(column), np.nan))
    if dtype == pl.String:
        return _from_text(column, decimal_comma=decimal_comma)
    if not (dtype.is_numeric() or dtype == pl.Boolean):
        row = int((~column.is_null()).arg_max() or 0)
        return Numbers("other", np.full(len(column), np.nan), bad_row=row, bad=f"type {dtype}")
    return _finite(column.cast(pl.Float64))


def _finite(column: pl.Series) -> Numbers:
    values = column.fill_null(float("nan")).to_numpy()
    infinite = np.isinf(values)
    count = int(infinite.sum())
    if count:
        values = np.where(infinite, np.nan, values)
    return Numbers("number" if np.isfinite(values).any() else "empty", values, infinite=count)


def _from_text(column: pl.Series, *, decimal_comma: bool) -> Numbers:
    values = column.cast(pl.Float64, strict=False)
    failed = (column.is_not_null() & values.is_null()).arg_true()
    if failed.is_empty():
        return _finite(values)
    cells = column.gather(failed).str.strip_chars()
    present = ~cells.str.to_lowercase().is_in(MISSING)
    failed, cells = failed.filter(present), cells.filter(present)
    if decimal_comma and cells.str.contains(_COMMA).any():
        return _with_commas(column, values)
    mended = cells.cast(pl.Float64, strict=False)  # blanks around a number
    if not mended.has_nulls():
        return _finite(values.scatter(failed, mended))
    switches = _as_switches(column)
    if switches is not None:
        return _finite(switches)
    return _not_numbers(column, values.scatter(failed, mended))


def _with_commas(column: pl.Series, plain: pl.Series) -> Numbers:
    """A column with decimal commas; a point in it could be a thousand or a tenth, so it is refused."""
    cells = column.str.strip_chars()
    dotted = cells.str.contains(".", literal=True).fill_null(False)
    values = cells.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    missing = cells.str.to_lowercase().is_in(MISSING).fill_null(True)
    bad = (values.is_null() | dotted) & ~missing & ~plain.is_infinite().fill_null(False)
    if bad.any():
        row = int(bad.arg_max() or 0)
        return Numbers("mixed", np.full(len(column), np.nan), bad_row=row, bad=str(column[row]))
    return _finite(values)


def _as_switches(column: pl.Series) -> pl.Series | None:
    """0 and 1 for a column of nothing but ``true`` and ``false``."""
    cells = column.str.strip_chars().str.to_lowercase()
    missing = cells.is_null() | cells.is_in(MISSING)
    truth = cells.is_in(["true", "false"])
    if not (truth | missing).all():
        return None
    return pl.select(pl.when(~missing).then((cells == "true").cast(pl.Float64))).to_series()


def _not_numbers(column: pl.Series, values: pl.Series) -> Numbers:
    cells = column.str.strip_chars()
    missing = cells.is_null() | cells.str.to_lowercase().is_in(MISSING)
    text = ~missing & values.is_null()
    row = int(text.arg_max() or 0)
    distinct = cells.filter(~missing).n_unique()
    filled = len(cells) - int(missing.sum())
    category = 2 * int(text.sum()) > filled and distinct <= min(_CATEGORIES, max(2, filled // 3))
    kind: Kind = "text" if category else "mixed"
    nothing = np.full(len(column), np.nan)
    return Numbers(kind, nothing, distinct=distinct, bad_row=row, bad=str(column[row]))
