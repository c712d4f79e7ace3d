"""Arrays as compact text for the page: base64 of the smallest exact form."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.pages.records import Floats

__all__ = ["Packed", "pack_floats", "pack_runs", "pack_times"]

Packed = dict[str, object]

_F32_MAX = float(np.finfo(np.float32).max)


def pack_floats(values: Floats) -> Packed:
    """float32 after an offset; one number when all values are the same.

    Values far from zero with a small spread (a counter, say) would lose their last digits
    as float32, so they are stored as differences from their middle.

    Args:
        values: (rows,); what is not finite becomes NaN.
    """
    exact = np.asarray(values, dtype=np.float64)
    exact = np.where(np.isfinite(exact), exact, np.nan)
    known = exact[~np.isnan(exact)]
    if len(known) == 0:
        return {"value": None}
    low, high = float(known.min()), float(known.max())
    if low == high and len(known) == len(exact):
        return {"value": low}
    offset = low / 2 + high / 2
    if high / 2 - low / 2 > 0.5e-3 * abs(offset):  # halves: the whole may be beyond the largest float
        offset = 0.0
    small = np.clip(exact - offset, -_F32_MAX, _F32_MAX).astype("<f4")
    return {"offset": offset, "data": _text(small)}


def pack_times(time_ns: NDArray[np.int64]) -> Packed:
    """Start (ms) and steps as small integers of their greatest common divisor (ms).

    Args:
        time_ns: (rows,) strictly increasing.
    """
    if len(time_ns) == 0:
        return {"start": 0, "unit": 1, "value": 0}
    start = int(time_ns[0]) / 1e6
    steps = np.diff(time_ns)
    unit = int(np.gcd.reduce(steps)) if len(steps) else 1
    counts = steps // max(unit, 1)
    head: Packed = {"start": start, "unit": unit / 1e6}
    if len(counts) == 0 or int(counts.max()) == int(counts.min()):
        return head | {"value": int(counts[0]) if len(counts) else 1}
    kind = next((k for k in ("u1", "u2", "u4") if counts.max() <= np.iinfo(k).max), "f8")
    return head | {"kind": kind, "data": _text(counts.astype(f"<{kind}"))}


def pack_runs(names: Sequence[str]) -> list[tuple[int, str]]:
    """First row and name of each run of the same name."""
    words = np.asarray(names, dtype=str)
    if len(words) == 0:
        return []
    starts = np.flatnonzero(np.concatenate(([True], words[1:] != words[:-1])))
    return [(int(row), str(words[row])) for row in starts]


def _text(array: NDArray[np.generic]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")
