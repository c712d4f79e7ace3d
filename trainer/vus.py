"""How well a score ranks labelled readings: VUS-PR and AUC-PR, without any threshold.

VUS-PR is the volume under the surface of range-based precision and recall (Paparrizos et al.,
"Volume Under the Surface", PVLDB 15(11), 2022, section 4): labels get buffers that fall off on
both sides, once for every width from 0 to the window, and the areas are averaged. A score that
rises a little early or late is not punished as if it had missed. Nothing is point-adjusted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.runs import runs

__all__ = ["LEVELS", "WINDOW", "average_precision", "vus_pr"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOW = 100
"""Widest buffer, readings on both sides together."""
LEVELS = 250
"""Thresholds, evenly spaced in the ranks of the score, as in the authors' code."""


def vus_pr(
    labels: Bools, score: Floats, *, window: int = WINDOW, levels: int = LEVELS, step: int = 1
) -> float:
    """Volume under the range-PR surface, 0 to 1.

    Args:
        labels: (rows,) True where anomalous, at least one.
        score: (rows,) finite, higher is more anomalous.
        window: Widest buffer in readings; half of it lies on each side of an event.
        levels: Thresholds.
        step: From one buffer width to the next; 1 is the authors' definition.

    Raises:
        ValueError: Shapes differ, or no reading is labelled.
    """
    level = _first_level(labels, score, levels)
    flagged = _at_each_level(level, levels)
    starts, ends = runs(labels)
    inside = _at_each_level(level[labels], levels)
    near, nearest, second = _surroundings(labels, starts, ends, window // 2)
    areas = []
    for width in range(0, window + 1, step):
        half = width // 2
        # Two buffers on one reading add up to more than 1, as each is at least sqrt(1/2).
        falloff = np.sqrt(np.maximum(0.0, 1 - nearest / max(width, 1)))
        soft = np.where(nearest > half, 0.0, np.where(second <= half, 1.0, falloff))
        outside = _at_each_level(level[near], levels, soft)
        true = inside + outside
        positives = len(level[labels]) + outside / 2  # midway between sharp and flagged soft labels
        existence = _found(level, starts - half, ends + half, levels)
        recall = np.minimum(true / positives, 1.0) * existence
        areas.append(np.dot(np.diff(recall, prepend=0.0), true / flagged))
    return float(np.mean(areas))


def _first_level(labels: Bools, score: Floats, levels: int) -> Ints:
    """The first threshold, from the highest down, that each reading reaches, (rows,)."""
    if labels.shape != score.shape or not labels.any():
        raise ValueError(f"{labels.shape} labels, {int(labels.sum())} of them set, for {score.shape} scores")
    falling = -np.sort(-score)
    thresholds = falling[np.linspace(0, len(score) - 1, levels).astype(np.int64)]
    reached = np.searchsorted(-thresholds, -score, side="left")
    return np.minimum(reached, levels - 1).astype(np.int64)


def _at_each_level(level: Ints, levels: int, weights: Floats | None = None) -> Floats:
    """Readings (or their weights) at or above each threshold, (levels,)."""
    counted = np.bincount(level, weights=weights, minlength=levels)
    return np.cumsum(counted, dtype=np.float64)


def _surroundings(labels: Bools, starts: Ints, ends: Ints, reach: int) -> tuple[Ints, Ints, Ints]:
    """Normal readings within reach of an event, and how far the two nearest events are from each."""
    rows = np.flatnonzero(~labels)
    after = np.searchsorted(ends, rows)  # events before a reading
    far = np.iinfo(np.int64).max // 2
    padded_ends, padded_starts = np.r_[-far, -far, ends], np.r_[starts, far, far]
    distances = np.stack(
        [
            rows - padded_ends[after + 1],
            rows - padded_ends[after],
            padded_starts[after] - rows,
            padded_starts[after + 1] - rows,
        ]
    )
    distances.sort(axis=0)
    near = distances[0] <= reach
    return rows[near], distances[0, near], distances[1, near]


def _found(level: Ints, first: Ints, last: Ints, levels: int) -> Floats:
    """Share of events, buffers included, that hold a flagged reading at each threshold, (levels,)."""
    first, last = np.maximum(first, 0), np.minimum(last, len(level) - 1)
    apart = first[1:] > last[:-1]  # events whose buffers meet are one
    first, last = first[np.r_[True, apart]], last[np.r_[apart, True]]
    edges = np.column_stack([first, last + 1]).ravel()
    highest = np.minimum.reduceat(np.r_[level, levels], edges)[::2]
    return _at_each_level(highest, levels) / len(first)


def average_precision(labels: Bools, score: Floats) -> float:
    """Area under the precision-recall curve as a step function, sum of (R_n - R_(n-1)) P_n.

    The step form, and not the trapezoid, because linear interpolation in this plane is too
    kind (Davis & Goadrich, ICML 2006).

    Args:
        labels: (rows,) True where anomalous, at least one.
        score: (rows,) finite, higher is more anomalous.

    Raises:
        ValueError: Shapes differ, or no reading is labelled.
    """
    if labels.shape != score.shape or not labels.any():
        raise ValueError(f"{labels.shape} labels, {int(labels.sum())} of them set, for {score.shape} scores")
    order = np.argsort(-score, kind="stable")
    last_of_equals = np.r_[np.diff(score[order]) != 0, True]
    true = np.cumsum(labels[order])[last_of_equals]
    flagged = (np.flatnonzero(last_of_equals) + 1).astype(np.float64)
    return float(np.dot(np.diff(true, prepend=0), true / flagged) / true[-1])
