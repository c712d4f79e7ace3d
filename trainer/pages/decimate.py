"""Fewer rows with the same extremes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.pages.records import Floats

__all__ = ["envelope", "keep_rows"]


def keep_rows(
    series: Sequence[Floats], *, limit: int, always: NDArray[np.bool_] | None = None
) -> NDArray[np.intp]:
    """Indices of about ``limit`` rows at most that hold every bucket's extremes.

    Whole rows are kept, so that values which stood side by side still do.

    Args:
        series: The lines, each (rows,); NaN is ignored.
        limit: Rows to aim at.
        always: (rows,) rows that are kept whatever the limit.
    """
    rows = len(series[0])
    if rows <= limit:
        return np.arange(rows)
    buckets = max(1, limit // (2 * len(series) + 1))
    width = -(-rows // buckets)
    kept = np.zeros(rows, dtype=bool) if always is None else always.copy()
    kept[::width] = True
    kept[-1] = True
    for values in series:
        for low in (True, False):
            kept[_extremes(values, width, low=low)] = True
    return np.flatnonzero(kept)


def _extremes(values: Floats, width: int, *, low: bool) -> NDArray[np.intp]:
    """Index of each bucket's lowest or highest value; the bucket's first where all are NaN."""
    buckets = -(-len(values) // width)
    filled = np.full(buckets * width, np.inf)
    filled[: len(values)] = np.where(np.isnan(values), np.inf, values if low else -values)
    return np.asarray(np.arange(buckets) * width + filled.reshape(buckets, width).argmin(axis=1))


def envelope(values: Floats, columns: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """A line through every column's extremes, in the order in which they occur.

    Args:
        values: (rows,) finite.
        columns: Columns the picture has.

    Returns:
        Rows and their values.
    """
    rows = keep_rows([values], limit=3 * columns)
    return rows, np.asarray(values[rows], dtype=np.float64)
