"""Stretches of rows in which something holds without a break."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["flat_run", "longest_run", "runs"]


def longest_run(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Length and first index of the longest stretch of True; ``(0, 0)`` when there is none.

    Args:
        mask: (rows,).
    """
    starts, lasts = runs(mask)
    if not len(starts):
        return 0, 0
    at = int(np.argmax(lasts - starts))
    return int(lasts[at] - starts[at]) + 1, int(starts[at])


def runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last index of every stretch of True, in order.

    Args:
        mask: (rows,).
    """
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False])).astype(np.int64)
    return edges[::2], edges[1::2] - 1


def flat_run(values: NDArray[np.float64]) -> tuple[int, int]:
    """Length and first index of the longest stretch of one repeated value, in rows.

    Args:
        values: (rows,) without NaN.
    """
    if not len(values):
        return 0, 0
    length, start = longest_run(values[1:] == values[:-1])
    return length + 1, start
