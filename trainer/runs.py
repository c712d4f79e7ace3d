"""Stretches of rows in which something holds without a break."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["flat_run", "longest_run"]


def longest_run(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Length and first index of the longest stretch of True; ``(0, 0)`` when there is none.

    Args:
        mask: (rows,).
    """
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False]))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0, 0
    at = int(np.argmax(ends - starts))
    return int(ends[at] - starts[at]), int(starts[at])


def flat_run(values: NDArray[np.float64]) -> tuple[int, int]:
    """Length and first index of the longest stretch of one repeated value, in rows.

    Args:
        values: (rows,) without NaN.
    """
    if not len(values):
        return 0, 0
    length, start = longest_run(values[1:] == values[:-1])
    return length + 1, start
