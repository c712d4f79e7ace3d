"""Centre and scale of each channel, robust against one odd stretch of history and a few wild values.

Real histories often hold a recording at another operating point (a commissioning run,
another product). Pooled, it would set the scale: SKAB's anomaly-free file lies 58 standard
deviations of flow away from the valve experiments, and a pooled scale would make their
faults invisible in int8. So each segment has its own mean and variance, and the centre and
scale are medians over segments, weighted by the square root of their length: rows of one
segment are correlated, and tell less and less of new operating points.

Within a segment a few wild values (an error code of a sensor) do not count; see
`edge_lstm.core.robust`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import AssetScaling
from edge_lstm.core.robust import floored, moments

__all__ = ["CLIP", "learn_scaling"]

Floats = NDArray[np.float64]

CLIP = 8.0
"""Model units; 8 standard deviations are an anomaly however much more it is."""

_MOST_ODD = 1 / 3
"""When odd segments weigh more than this, the machine simply has several operating points."""


def learn_scaling(segments: Sequence[Floats], *, clip: float) -> tuple[AssetScaling, list[bool]]:
    """Centre and scale, a number a channel, and which segments are odd.

    Args:
        segments: Learned rows, channel units, NaN where missing, each (rows, channels).
        clip: Model units at which values are cut off; a segment whose mean lies beyond is odd.
    """
    both = [moments(segment) for segment in segments]
    means, variances = (np.stack(one) for one in zip(*both, strict=True))  # (segments, channels)
    weights = np.sqrt([[len(segment)] for segment in segments]) * np.isfinite(means)
    centre = _weighted_median(means, weights)
    # Segments that differ among themselves (engines of a fleet) widen the scale; one odd one does not.
    between = 1.4826 * _weighted_median(np.abs(means - centre), weights)
    scale = floored(np.sqrt(_weighted_median(variances, weights) + between**2), centre)
    odd = np.asarray((np.nan_to_num(np.abs(means - centre)) > clip * scale).any(axis=1), np.bool_)
    total = np.sqrt([len(segment) for segment in segments])
    if total[odd].sum() > _MOST_ODD * total.sum():
        share = weights / np.maximum(weights.sum(axis=0), 1e-12)
        centre = np.nansum(share * means, axis=0)
        spread = np.nansum(share * (variances + (means - centre) ** 2), axis=0)
        scale, odd = floored(np.sqrt(spread), centre), np.zeros(len(segments), bool)
    return AssetScaling(tuple(centre.tolist()), tuple(scale.tolist())), odd.tolist()


def _weighted_median(values: Floats, weights: Floats) -> Floats:
    """Lower weighted median a column; values and weights (segments, channels)."""
    order = np.argsort(values, axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    mass = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    middle = np.argmax(mass >= mass[-1] / 2, axis=0)
    median: Floats = np.nan_to_num(np.take_along_axis(ordered, middle[None], axis=0)[0])
    return median
