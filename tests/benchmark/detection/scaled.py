"""What every baseline shares: scaling, the split of the history, and the way to score and threshold.

Residuals are standardised a channel with their mean and standard deviation on normal data,
squared, averaged over channels and exponentially smoothed (EWMA, Roberts 1959); the alarm is
up while the score is above mean + 6 standard deviations of the scores of held-out rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.benchmark.detection.cases import Case, Stretch
from tests.benchmark.detection.results import Figures, judge

__all__ = ["Residuals", "Scaled", "ewma", "judge_residuals", "scaled"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

CLIP = 8.0
"""Standard deviations, as in edge-lstm."""
SHARE = 0.8
"""Of each stretch of the history that is fitted; the rest is held out."""
SIGMAS = 6.0
FLOOR = 0.05
"""Model units: least spread of a residual, as in edge-lstm."""
NORMAL_ROWS = 6000
"""Fitted rows whose residuals count as normal ones, the last of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """A case in standard deviations, clipped; all (rows, channels).

    Attributes:
        fitted: The first part of each stretch of the history.
        held_out: The rest of each.
        tests: The recordings.
    """

    fitted: tuple[Floats, ...]
    held_out: tuple[Floats, ...]
    tests: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """What a method could not explain, (rows, channels).

    Attributes:
        fitted: Of rows it was fitted on.
        held_out: Of the held-out rows, a stretch each.
        tests: Of the recordings.
    """

    fitted: Floats
    held_out: Sequence[Floats]
    tests: Sequence[Floats]


def scaled(case: Case) -> Scaled:
    """Scale a case by its fitted rows; each named asset by its own."""
    scales: dict[str, tuple[Floats, Floats]] = {}
    for asset in {one.asset for one in case.history}:
        rows = np.concatenate([_fitted(one) for one in case.history if one.asset == asset])
        mean = rows.mean(axis=0)
        scales[asset] = mean, np.maximum(rows.std(axis=0), 1e-3 * np.abs(mean) + 1e-6)

    def scale(asset: str, values: Floats) -> Floats:
        mean, std = scales[asset]
        return np.clip((values - mean) / std, -CLIP, CLIP)

    return Scaled(
        tuple(scale(one.asset, _fitted(one)) for one in case.history),
        tuple(scale(one.asset, one.values[_cut(one) :]) for one in case.history),
        tuple(scale(one.asset, one.values) for one in case.tests),
    )


def _cut(one: Stretch) -> int:
    return int(len(one.values) * SHARE)


def _fitted(one: Stretch) -> Floats:
    return one.values[: _cut(one)]


def ewma(x: Floats, alpha: float) -> Floats:
    """Exponentially weighted moving average along rows that begins at the first row.

    Args:
        x: (rows, ...), at least one row.
        alpha: Weight of the newest row.
    """
    out = np.empty_like(x)
    out[0] = x[0]
    for i in range(1, len(x)):
        out[i] = out[i - 1] + alpha * (x[i] - out[i - 1])
    return out


def judge_residuals(case: Case, residuals: Residuals, alpha: float) -> list[Figures]:
    """Score, threshold and judge the recordings of a case.

    Args:
        case: The case.
        residuals: Of one method.
        alpha: Weight of the newest row in the score.
    """
    normal = np.concatenate([*residuals.held_out, residuals.fitted[-NORMAL_ROWS:]])
    mean, std = normal.mean(axis=0), normal.std(axis=0) + FLOOR

    def score(rows: Floats) -> Floats:
        return ewma(np.square((rows - mean) / std).mean(axis=1), alpha)

    held_out = np.concatenate([score(rows) for rows in residuals.held_out])
    level = held_out.mean() + SIGMAS * held_out.std()
    figures = []
    for test, rows in zip(case.tests, residuals.tests, strict=True):
        scores = score(rows)
        figures.append(judge(test, scores, scores > level, period_s=case.period_s))
    return figures
