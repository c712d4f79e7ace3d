"""Residual statistics and the threshold, both from the members as the device will run them.

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

from edge_lstm.contracts.manifest import Scoring, Threshold
from edge_lstm.errors import HistoryError
from trainer.settings import AlarmSettings
from trainer.trace import Trace, biases, fused, levels

__all__ = [
    "Tail",
    "calibrate_heads",
    "calibrate_threshold",
    "counted_rows",
    "fit_tail",
    "level_of",
    "normal_scores",
]

Floats = NDArray[np.float64]

MONTH_S = 30 * 86400.0
STD_FLOOR = 0.05
"""Model units: a channel that was silent on held-out data must not turn noise into alarms."""
PROOF = 3.0
"""Alarms the budget must allow in the length of the history for the history to prove it: with none
seen where 3 are allowed, the rate is kept with 95 % confidence (Hanley & Lippman-Hand 1983)."""
SIGMAS = 7.0
"""Deviations above the mean normal score at which a history too short for its budget puts the level."""
_LEAST_STD = 1e-3
_SCALE_QUANTILE = 0.95
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
        mean: Mean of the normal scores.
        std: Their standard deviation.
    """

    start: float
    mean_excess: float
    rate: float
    highest: float
    readings: int
    mean: float
    std: float

    def per_reading(self, level: float) -> float:
        """Expected clusters above a level, per reading."""
        return self.rate * math.exp(-(level - self.start) / self.mean_excess)

    def level(self, per_reading: float) -> float:
        """The level that leaves this many clusters, per reading."""
        return self.start + self.mean_excess * math.log(max(self.rate / per_reading, 1.0))


def calibrate_heads(scoring: Scoring, traces: Sequence[Trace], *, warm_up: int) -> Scoring:
    """Fill in mean, std and scale of every head.

    All of the usual history counts, learned or not: a few hundred unlearned rows show less of
    what is normal than the thousands that were learned (docs/explain-detection.md has figures).

    Args:
        scoring: Heads with their smoothing; statistics are replaced.
        traces: Segments through all members.
        warm_up: Rows after a reset that do not count.

    Raises:
        HistoryError: No stretch is longer than the warm-up.
    """
    traces = [one for one in traces if not one.part.odd]
    longest = max((len(one.part.values) for one in traces), default=0)
    if longest <= warm_up:
        raise HistoryError(
            "nothing is left to calibrate on",
            expected=f"stretches of more than {warm_up} rows (alarm.warm_up)",
            got=f"the longest has {longest}",
            do="give longer unbroken stretches, or a smaller warm_up in train.yaml",
        )
    rows = [counted_rows(one, warm_up) for one in traces]
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
    scoring = msgspec.structs.replace(scoring, heads=tuple(heads))
    smoothed = np.concatenate([levels(scoring, one)[part] for one, part in zip(traces, rows, strict=True)])
    scales = np.maximum(np.quantile(smoothed, _SCALE_QUANTILE, axis=0), 1e-6)
    scaled = [msgspec.structs.replace(h, scale=float(s)) for h, s in zip(heads, scales, strict=True)]
    return msgspec.structs.replace(scoring, heads=tuple(scaled))


def counted_rows(one: Trace, warm_up: int) -> NDArray[np.intp]:
    """Rows of a trace that say what is normal: after the warm-up, and not paused.

    Of a segment too short for the warm-up, those of the second half.
    """
    rows = np.arange(len(one.z))
    return rows[(rows >= min(warm_up, len(rows) // 2)) & ~one.part.paused[one.start :]]


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
    return Tail(
        start,
        max(excess, least),
        max(len(peaks), 1) / len(pooled),
        float(pooled.max()),
        len(pooled),
        float(pooled.mean()),
        float(pooled.std()),
    )


def _cluster_peaks(scores: Floats, start: float) -> list[float]:
    """Highest score of each run above ``start``; runs at most 20 rows apart are one."""
    above = np.flatnonzero(scores > start)
    if not len(above):
        return []
    groups = np.split(above, np.flatnonzero(np.diff(above) > _CLUSTER_GAP) + 1)
    return [float(scores[group].max()) for group in groups]


def level_of(tail: Tail, wanted: float) -> float:
    """The level for a budget of ``wanted`` alarms a reading; see `calibrate_threshold`."""
    if tail.readings * wanted >= PROOF:
        return tail.level(wanted)
    return tail.mean + SIGMAS * max(tail.std, _LEAST_STD)


def calibrate_threshold(
    stretches: Sequence[Floats], settings: AlarmSettings, *, period_s: float
) -> tuple[Threshold, Tail]:
    """The level that keeps the alarm budget, with the tail it rests on.

    A history that is long enough to prove the budget (`PROOF`) puts the level where the
    fitted tail leaves the budgeted number of clusters. A shorter one cannot: an hour of
    normal data says little of what happens twice a month, and a level that is sure to keep
    the budget would see no fault at all. There the level is `SIGMAS` deviations above the
    mean, and ``expected_per_month`` says what to expect of it: by the fitted tail, or as often
    as the history itself rose above it, whichever is more.
    """
    tail = fit_tail(stretches)
    readings_per_month = MONTH_S / period_s
    wanted = settings.budget_per_month / readings_per_month
    level = level_of(tail, wanted)
    seen = sum(len(_cluster_peaks(scores, level)) for scores in stretches) / tail.readings
    threshold = Threshold(
        level=level,
        close_ratio=settings.close_ratio,
        open_after=settings.open_after,
        close_after=settings.close_after,
        refractory=settings.refractory,
        budget_per_month=settings.budget_per_month,
        expected_per_month=max(tail.per_reading(level), seen) * readings_per_month,
        extrapolated=tail.readings * wanted < PROOF,
    )
    return threshold, tail
