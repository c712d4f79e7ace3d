"""Residual statistics and the threshold, both from the int8 model on rows it did not learn.

The threshold comes from the alarm budget. False alarms come in clusters, so peaks of
clusters are counted; above a high quantile their excess is close to exponential (Pickands
1975; Balkema & de Haan 1974, shape 0 on a logarithmic score), and the level is where the
fitted tail leaves the budgeted number of clusters a month.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Head, Scoring, Threshold
from edge_lstm.errors import HistoryError
from trainer.settings import AlarmSettings
from trainer.trace import Trace, biases, fused, levels

__all__ = ["Tail", "calibrate_heads", "calibrate_threshold", "counted_rows", "fit_tail", "normal_scores"]

Floats = NDArray[np.float64]

MONTH_S = 30 * 86400.0
STD_FLOOR = 0.05
"""Model units: a channel that was silent on held-out data must not turn noise into alarms."""
REACH = 20.0
"""How many times the length of the history a fitted tail is believed."""
_SCALE_QUANTILE = 0.99
_TAIL_QUANTILES = (0.999, 0.995, 0.99, 0.98, 0.95, 0.9)
_ENOUGH_CLUSTERS = 40
"""The highest quantile with this many clusters above it is where the tail begins: the exponential
form holds better the higher one begins, and a mean of fewer than 40 is off by more than 16 %."""
_CLUSTER_GAP = 20


@dataclass(frozen=True, slots=True)
class Tail:
    """The fitted tail of normal scores.

    Attributes:
        start: Score above which the tail begins.
        mean_excess: Mean excess of cluster peaks over ``start``.
        rate: Clusters above ``start``, per reading.
        highest: Highest normal score.
        readings: Readings it was fitted on.
    """

    start: float
    mean_excess: float
    rate: float
    highest: float
    readings: int

    def per_reading(self, level: float) -> float:
        """Expected clusters above a level, per reading."""
        return self.rate * math.exp(-(level - self.start) / self.mean_excess)

    def level(self, per_reading: float) -> float:
        """The level that leaves this many clusters, per reading."""
        return self.start + self.mean_excess * math.log(max(self.rate / per_reading, 1.0))


def calibrate_heads(scoring: Scoring, traces: Sequence[Trace], *, warm_up: int) -> Scoring:
    """Fill in mean, std and scale of every head.

    Args:
        scoring: Heads with their smoothing; statistics are replaced.
        traces: Segments through the int8 model.
        warm_up: Rows after a reset that do not count.

    Raises:
        HistoryError: No row is left to count.
    """
    traces = [one for one in traces if not one.part.odd]
    rows = [counted_rows(one, warm_up) for one in traces]
    if not any(len(one.z[part]) for one, part in zip(traces, rows, strict=True)):
        raise HistoryError(
            "nothing is left to calibrate on",
            expected=f"stretches of more than {warm_up} rows (alarm.warm_up)",
            got=f"the longest has {max((len(one.part.values) for one in traces), default=0)}",
            do="give longer unbroken stretches, or a smaller warm_up in train.yaml"
            + (", or a score_when that holds more often" if any(o.part.paused.any() for o in traces) else ""),
        )
    residual = np.concatenate([biases(scoring, one)[part] for one, part in zip(traces, rows, strict=True)])
    skip = np.concatenate([one.skip[part] for one, part in zip(traces, rows, strict=True)])
    counted = np.ma.masked_array(residual, skip)
    mean, std = counted.mean(axis=0).filled(0.0), counted.std(axis=0).filled(1.0)
    heads = [
        msgspec.structs.replace(
            head, mean=tuple(mean[i].tolist()), std=tuple((std[i] + STD_FLOOR).tolist()), scale=1.0
        )
        for i, head in enumerate(scoring.heads)
    ]
    scoring = Scoring(scoring.clip, tuple(heads))
    smoothed = np.concatenate([levels(scoring, one)[part] for one, part in zip(traces, rows, strict=True)])
    scales = np.maximum(np.quantile(smoothed, _SCALE_QUANTILE, axis=0), 1e-6)
    return Scoring(scoring.clip, tuple(_with_scale(h, float(s)) for h, s in zip(heads, scales, strict=True)))


def _with_scale(head: Head, scale: float) -> Head:
    return msgspec.structs.replace(head, scale=scale)


def counted_rows(one: Trace, warm_up: int) -> NDArray[np.intp]:
    """Rows of a trace that say what is normal: not learned, after the warm-up, not paused."""
    first = max(one.part.train - one.start, warm_up)
    rows = np.arange(len(one.z))
    return rows[(rows >= first) & ~one.part.paused[one.start :]]


def normal_scores(scoring: Scoring, traces: Sequence[Trace], *, warm_up: int) -> list[Floats]:
    """Scores of the counted rows of usual segments, a stretch a segment."""
    return [fused(scoring, one)[counted_rows(one, warm_up)] for one in traces if not one.part.odd]


def fit_tail(stretches: Sequence[Floats]) -> Tail:
    """Fit the tail of normal scores.

    Args:
        stretches: Scores of normal rows in order, each (rows,).
    """
    pooled = np.concatenate(stretches)
    start, peaks = float(pooled.max()), np.zeros(0)
    for quantile in _TAIL_QUANTILES:
        start = float(np.quantile(pooled, quantile))
        peaks = np.array([peak for scores in stretches for peak in _cluster_peaks(scores, start)])
        if len(peaks) >= _ENOUGH_CLUSTERS:
            break
    excess = float(np.mean(peaks - start)) if len(peaks) else 0.0
    # Few clusters give a poor mean: do not believe in a tail thinner than the bulk's own spread.
    least = max(1e-3, float(np.std(pooled)) / 2) if len(peaks) < _ENOUGH_CLUSTERS else 1e-3
    return Tail(start, max(excess, least), max(len(peaks), 1) / len(pooled), float(pooled.max()), len(pooled))


def _cluster_peaks(scores: Floats, start: float) -> list[float]:
    """Highest score of each run above ``start``; runs at most 20 rows apart are one."""
    above = np.flatnonzero(scores > start)
    if not len(above):
        return []
    groups = np.split(above, np.flatnonzero(np.diff(above) > _CLUSTER_GAP) + 1)
    return [float(scores[group].max()) for group in groups]


def calibrate_threshold(
    stretches: Sequence[Floats], settings: AlarmSettings, *, period_s: float
) -> tuple[Threshold, Tail]:
    """The level that keeps the alarm budget, with the tail it rests on.

    A short history cannot prove a small budget: an hour of normal data says little of
    what happens twice a month, and a level that is sure to keep the budget would see no
    fault at all. So the fitted tail is followed to `REACH` times the length of the
    history and no further, the level is never below the highest normal score seen, and
    ``expected_per_month`` says what that level means.
    """
    tail = fit_tail(stretches)
    readings_per_month = MONTH_S / period_s
    wanted = settings.budget_per_month / readings_per_month
    level = tail.level(max(wanted, 1 / (REACH * tail.readings)))
    extrapolated = tail.readings * wanted < 1
    if extrapolated:
        level = max(level, tail.highest)
    threshold = Threshold(
        level=level,
        close_ratio=settings.close_ratio,
        open_after=settings.open_after,
        close_after=settings.close_after,
        refractory=settings.refractory,
        budget_per_month=settings.budget_per_month,
        expected_per_month=tail.per_reading(level) * readings_per_month,
        extrapolated=extrapolated,
    )
    return threshold, tail
