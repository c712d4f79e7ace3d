"""The threshold follows from the alarm budget."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.calibrate import calibrate_threshold, fit_tail
from trainer.settings import AlarmSettings

MONTH_S = 30 * 86400


def scores(rows: int, *, seed: int = 0) -> np.ndarray:
    """Normal scores: smoothed exponential noise, as an EWMA of squares makes them."""
    noise = np.random.default_rng(seed).exponential(size=rows)
    return np.convolve(noise, np.ones(5) / 5, mode="same")


def test_long_history_keeps_its_budget_on_fresh_data() -> None:
    """Calibrated on ten months at one reading a minute, counted on ten other months."""
    rows = 10 * 43_200
    threshold, _ = calibrate_threshold([scores(rows)], AlarmSettings(budget_per_month=4), period_s=60)
    fresh = scores(rows, seed=1) > threshold.level
    starts = np.flatnonzero(np.diff(fresh.astype(int)) == 1)
    episodes = 1 + int((np.diff(starts) > 20).sum()) if len(starts) else 0

    assert not threshold.extrapolated
    assert 1 <= episodes / 10 <= 16


def test_smaller_budget_never_lowers_the_level() -> None:
    """Fewer allowed alarms, higher threshold."""
    levels = [
        calibrate_threshold([scores(50_000)], AlarmSettings(budget_per_month=b), period_s=60)[0].level
        for b in (100, 10, 1)
    ]

    assert sorted(levels) == levels


def test_short_history_says_that_it_extrapolates() -> None:
    """An hour of data cannot count two alarms a month: the manifest says so, with the honest figure."""
    threshold, tail = calibrate_threshold([scores(3600)], AlarmSettings(budget_per_month=2), period_s=1)

    assert threshold.extrapolated
    assert threshold.level >= tail.highest
    assert threshold.expected_per_month == pytest.approx(tail.per_reading(threshold.level) * MONTH_S)
    assert threshold.expected_per_month > 2


def test_flat_scores_do_not_break_the_fit() -> None:
    """Scores without any tail still give a finite level above them."""
    tail = fit_tail([np.full(500, 0.3)])

    assert np.isfinite(tail.level(1e-6))
    assert tail.level(1e-6) >= 0.3
