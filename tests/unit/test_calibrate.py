"""The threshold follows from the alarm budget."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_lstm.contracts.manifest import Head, Scoring
from trainer.calibrate import calibrate_heads, calibrate_threshold, counted_rows, fit_tail, normal_scores
from trainer.settings import AlarmSettings
from trainer.split import Part
from trainer.trace import Trace

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


def _trace(*, paused: bool) -> Trace:
    """400 rows of noise, two heads, two channels; rows 200 to 300 are wild, and paused if so wished."""
    random = np.random.default_rng(0)
    z = random.normal(size=(400, 2))
    z[200:300] = 7.0
    resting = np.zeros(400, bool)
    resting[200:300] = paused
    part = Part("", np.arange(400), z, np.ones((400, 2), bool), 100, 150, odd=False, paused=resting)
    skip = np.repeat(resting[:, None, None], 2, axis=1).repeat(2, axis=2)
    return Trace(part, 0, z, np.zeros((400, 2, 2)), skip, np.ones(2, bool))


def _heads() -> Scoring:
    """Two heads without statistics."""
    zeros, ones = (0.0, 0.0), (1.0, 1.0)
    return Scoring(
        8.0,
        1000.0,
        (Head("forecast", "f", 1.0, 0.5, zeros, ones, 1.0), Head("level", "", 0.5, 0.5, zeros, ones, 1.0)),
    )


def test_paused_rows_set_neither_statistics_nor_threshold() -> None:
    """What the machine does while it is not scored is no standard for normal, and not in the scores."""
    usual, paused = (calibrate_heads(_heads(), [_trace(paused=p)], warm_up=10) for p in (False, True))

    assert all(abs(m) < 0.3 for head in paused.heads for m in head.mean)
    assert all(m > 1 for head in usual.heads for m in head.mean)
    assert [290] == [len(rows) for rows in normal_scores(paused, [_trace(paused=True)], warm_up=10)]
    assert [*range(10, 200), *range(300, 400)] == counted_rows(_trace(paused=True), 10).tolist()


def test_context_channel_has_no_part_in_the_statistics() -> None:
    """Wild residuals of a channel that is not scored leave score and scale as they were."""
    one = _trace(paused=True)
    loud = one.expected.copy()
    loud[:, :, 1] += 1000 * np.sin(np.arange(400))[:, None]
    scored = np.array([True, False])
    skip = one.skip | ~scored
    quiet, noisy = (
        replace(one, expected=expected, skip=skip, scored=scored) for expected in (one.expected, loud)
    )
    scoring = calibrate_heads(_heads(), [noisy], warm_up=10)

    assert calibrate_heads(_heads(), [quiet], warm_up=10) == scoring
    expected, got = (normal_scores(scoring, [one], warm_up=10)[0] for one in (quiet, noisy))
    assert np.array_equal(expected, got)


def test_expectation_is_never_below_what_the_history_itself_did() -> None:
    """Rare bursts far above a calm history are in no exponential tail: they are counted."""
    calm = scores(3600) * 0.01
    calm[[500, 1500, 2500]] = 50.0
    threshold, tail = calibrate_threshold([calm], AlarmSettings(budget_per_month=2), period_s=1)

    assert threshold.level < 50
    assert threshold.expected_per_month == pytest.approx(3 / 3600 * MONTH_S)
    assert tail.per_reading(threshold.level) * MONTH_S < threshold.expected_per_month
