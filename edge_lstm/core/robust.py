"""Mean and variance that a few wild values (65535, 3.4e38, -999) cannot move.

A stuck bit or an error code in one reading of a thousand would make a channel's scale so
large that no fault shows. A median and MAD would not do: of a channel that rests most of the
time (a flag, a burst) the MAD is 0. So only values that stand apart are left out, in the
sense of Dixon (1950), who judges an outlier by the gap to the nearest other value: few, far
from the middle, and with nothing between them and the rest. All other values count as they
are, so that clean data keep their plain mean and variance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["floored", "moments", "tame"]

Floats = NDArray[np.float64]

MOST_WILD = 0.01
"""Share of a channel's values that may be wild (at least one value); more of them are a mode."""
APART = 5.0
"""A wild value is this many times as far from the median as the farthest value that is not wild."""
FAR = 20.0
"""And this many standard deviations of the rest from it."""
FAR_OFF_FLAGS = 1000.0
"""In place of `APART` where the rest does not move: a rare 1 among zeros is a flag, 65535 is not."""
LEAST = 20
"""With fewer values nothing can be called wild."""

_RELATIVE_FLOOR = 1e-3
_ABSOLUTE_FLOOR = 1e-6


def tame(values: Floats) -> Floats:
    """The values with NaN in place of wild ones.

    Args:
        values: (rows, channels), NaN where missing; not changed.
    """
    out = np.where(np.isfinite(values), values, np.nan)
    for column in out.T:
        known = np.flatnonzero(np.isfinite(column))
        column[known[_wild(column[known])]] = np.nan
    return out


def _wild(x: Floats) -> NDArray[np.intp]:
    """Indices of the wild values among finite ones, (rows,)."""
    few = max(1, int(MOST_WILD * len(x)))
    if len(x) < LEAST:
        return np.zeros(0, np.intp)
    middle = np.median(x)
    away = np.abs(x - middle)
    order = np.argsort(away, kind="stable")
    spread = float(np.std(x[order[:-few]]))
    nearest = away[order[-few - 1 : -1]]  # the farthest value that each of the few could still follow
    apart = APART if spread > 0 else FAR_OFF_FLAGS
    gaps = (nearest > 0) & (away[order[-few:]] > apart * nearest) & (away[order[-few:]] > FAR * spread)
    return order[len(x) - few + int(np.argmax(gaps)) :] if gaps.any() else np.zeros(0, np.intp)


def moments(values: Floats) -> tuple[Floats, Floats]:
    """Mean and variance a channel without wild values, each (channels,); NaN for one without values."""
    means = np.full(values.shape[1], np.nan)
    variances = means.copy()
    tamed = tame(values)
    known = np.isfinite(tamed).any(axis=0)
    means[known] = np.nanmean(tamed[:, known], axis=0)
    variances[known] = np.nanvar(tamed[:, known], axis=0)
    return means, variances


def floored(scale: Floats, centre: Floats) -> Floats:
    """A scale that can be divided by: at least a thousandth of the centre, and never 0."""
    return np.maximum(scale, _RELATIVE_FLOOR * np.abs(centre) + _ABSOLUTE_FLOOR)
