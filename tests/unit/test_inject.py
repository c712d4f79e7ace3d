"""Injected faults are what they are called, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.contest_cases import linear_dynamics, static_correlation
from trainer.inject import (
    KINDS,
    MEASURED_IN_SPREADS,
    NOTHING,
    SPIKE_ROWS,
    SPREADS,
    Injected,
    channel_spread,
    inject,
)
from trainer.normal_runs import NormalRuns, cut_runs

Floats = NDArray[np.float64]
LEAD, HORIZON = 30, 40


def normal_runs(rows: int = 4000) -> NormalRuns:
    """Runs of nine correlated channels."""
    return cut_runs([static_correlation(rows)], lead=LEAD, horizon=HORIZON, most=200)


def of_kind(faults: Injected, name: str) -> NDArray[np.int64]:
    """Indices of the faults of one kind."""
    found: NDArray[np.int64] = np.flatnonzero(faults.kind == KINDS.index(name))
    assert len(found)
    return found


def faulty_rows(normal: NormalRuns, faults: Injected, name: str) -> tuple[Floats, Floats]:
    """The faulty channel and its twin from the fault on, (faults, horizon) each."""
    at = of_kind(faults, name)
    channel = faults.channel[at]
    return (
        faults.runs[at, :, channel][:, LEAD:],
        normal.values[faults.twin[at], :, channel][:, LEAD:],
    )


def test_fault_is_in_one_channel_from_its_start() -> None:
    """All that is not the faulty channel after the start is as in the twin, and that is not."""
    normal = normal_runs()
    faults = inject(normal, most_rows=60_000)

    changed = faults.runs != normal.values[faults.twin]
    row = np.arange(changed.shape[1])
    inside = (row >= faults.start[:, None]) & (row < faults.stop[:, None])
    own = np.arange(9) == faults.channel[:, None]

    assert not changed[~(inside[:, :, None] & own[:, None, :])].any()
    assert changed.any(axis=(1, 2)).all()


def test_every_channel_gets_every_kind_and_strength() -> None:
    """Channels take turns within a kind, and each channel meets each strength."""
    faults = inject(normal_runs(), most_rows=120_000)

    for name in KINDS:
        per_channel = np.bincount(faults.channel[of_kind(faults, name)], minlength=9)
        assert per_channel.max() - per_channel.min() <= 1
    for name in MEASURED_IN_SPREADS:
        at = of_kind(faults, name)
        pairs = set(zip(faults.channel[at].tolist(), faults.strength[at].tolist(), strict=True))
        assert 9 * len(SPREADS) == len(pairs)


@pytest.mark.parametrize("most_rows", [5_000, 20_000, 60_000])
def test_rows_are_bounded(most_rows: int) -> None:
    """No more rows than asked for, and not much fewer while they are scarce."""
    faults = inject(normal_runs(), most_rows=most_rows)

    assert 0.8 * most_rows <= faults.runs.shape[0] * faults.runs.shape[1] <= most_rows


def test_same_seed_same_faults() -> None:
    """The seed decides, and nothing else."""
    normal = normal_runs()
    one, again, other = (inject(normal, most_rows=20_000, seed=seed) for seed in (3, 3, 4))

    np.testing.assert_array_equal(one.runs, again.runs)
    assert not np.array_equal(one.runs, other.runs)


def test_spike_shift_and_drift_have_their_strength() -> None:
    """A spike lasts three rows, a shift stays, a drift gets to its strength at the last row."""
    normal = normal_runs()
    faults = inject(normal, most_rows=60_000)
    spread = channel_spread(normal.values)

    for name, shape in (
        ("spike", np.arange(HORIZON) < SPIKE_ROWS),
        ("level_shift", np.ones(HORIZON)),
        ("slow_drift", np.arange(1, HORIZON + 1) / HORIZON),
    ):
        at, (faulty, twin) = of_kind(faults, name), faulty_rows(normal, faults, name)
        size = faults.strength[at] * spread[faults.channel[at]]
        np.testing.assert_allclose(np.abs(faulty - twin), size[:, None] * shape, atol=1e-12)
        assert {-1.0, 1.0} == set(np.sign(faulty - twin)[:, 0])


def test_noise_burst_has_its_strength() -> None:
    """The added noise has the strength as its standard deviation, no mean and no memory."""
    normal = normal_runs()
    faults = inject(normal, most_rows=120_000)
    at, (faulty, twin) = of_kind(faults, "noise_burst"), faulty_rows(normal, faults, "noise_burst")
    noise = (faulty - twin) / (faults.strength[at] * channel_spread(normal.values)[faults.channel[at]])[
        :, None
    ]

    assert pytest.approx(1.0, abs=0.05) == noise.std()
    assert pytest.approx(0.0, abs=0.05) == noise.mean()
    assert pytest.approx(0.0, abs=0.05) == np.mean(noise[:, 1:] * noise[:, :-1])


def test_stuck_value_is_the_last_one_before() -> None:
    """From the start on the channel keeps the value of the row before."""
    normal = normal_runs()
    faults = inject(normal, most_rows=20_000)
    at, (faulty, _) = of_kind(faults, "stuck_value"), faulty_rows(normal, faults, "stuck_value")
    before = normal.values[faults.twin[at], LEAD - 1, faults.channel[at]]

    np.testing.assert_array_equal(faulty, np.repeat(before[:, None], HORIZON, axis=1))


def test_lost_correlation_keeps_the_channel_and_loses_the_others() -> None:
    """The channel's values are its own of another time; what the others say of it is gone."""
    x = static_correlation(4000)
    normal = cut_runs([x], lead=LEAD, horizon=HORIZON, most=200)
    faults = inject(normal, most_rows=120_000)
    at = of_kind(faults, "lost_correlation")
    twin_error, faulty_error = [], []

    for fault in at:
        channel = faults.channel[fault]
        series = x[:, channel]
        order = np.argsort(series)
        rows = order[np.searchsorted(series[order], faults.runs[fault, LEAD:, channel])]
        np.testing.assert_array_equal(series[rows], faults.runs[fault, LEAD:, channel])
        assert (np.diff(rows) == 1).all()
        assert abs(rows[0] - (normal.first[faults.twin[fault]] + LEAD)) >= HORIZON
        others = np.delete(np.arange(9), channel)
        weights = np.linalg.lstsq(x[:, others], series, rcond=None)[0]
        expected = faults.runs[fault, LEAD:][:, others] @ weights
        faulty_error.append(np.std(faults.runs[fault, LEAD:, channel] - expected) / series.std())
        twin_error.append(np.std(normal.values[faults.twin[fault], LEAD:, channel] - expected) / series.std())

    assert np.median(twin_error) < 0.3
    assert np.median(faulty_error) > 1.0


def test_lost_correlation_has_no_seam() -> None:
    """On smooth channels the step at the start is no greater than normal steps are."""
    x = linear_dynamics(6000)[:, :2]
    normal = cut_runs([x], lead=LEAD, horizon=HORIZON, most=200)
    faults = inject(normal, most_rows=60_000)
    at = of_kind(faults, "lost_correlation")

    steps = np.abs(np.diff(faults.runs[at, :, faults.channel[at]], axis=1))

    assert np.median(steps[:, LEAD - 1]) < 1.5 * np.median(np.abs(np.diff(x, axis=0)))


def test_lost_correlation_of_a_periodic_channel_is_out_of_phase() -> None:
    """Two sines that went together do so no longer, though one in phase would leave no seam."""
    x = np.stack([np.sin(np.arange(6000) / 7), np.sin(np.arange(6000) / 7 + 1)], axis=1)
    normal = cut_runs([x], lead=LEAD, horizon=HORIZON, most=200)
    faults = inject(normal, most_rows=60_000)
    faulty, twin = faulty_rows(normal, faults, "lost_correlation")

    assert np.sqrt(np.mean((faulty - twin) ** 2, axis=1)).min() > 0.25


@pytest.mark.parametrize("faster", [True, False])
def test_changed_period_runs_at_its_rate(*, faster: bool) -> None:
    """A sine of changed period turns as much faster or slower as the strength says, to the end."""
    x = np.stack([np.sin(2 * np.pi * np.arange(6000) / 8 + i) for i in range(2)], axis=1)
    normal = cut_runs([x], lead=LEAD, horizon=400, most=50)
    faults = inject(normal, most_rows=200_000)
    at = of_kind(faults, "changed_period")
    at = at[(faults.strength[at] > 1) == faster]

    for fault in at:
        channel, rate = faults.channel[fault], faults.strength[fault]
        crossings = np.count_nonzero(np.diff(np.sign(faults.runs[fault, LEAD:, channel])))
        assert pytest.approx(2 * rate * 400 / 8, abs=5) == crossings


def test_channel_that_stands_still_cannot_get_stuck() -> None:
    """On a constant channel stuck, uncorrelated and slower change nothing: left out and counted."""
    x = static_correlation(3000)[:, :3].copy()
    x[:, 1] = 0.7
    normal = cut_runs([x], lead=LEAD, horizon=HORIZON, most=200)
    faults = inject(normal, most_rows=60_000)

    for name in KINDS:
        channels = set(faults.channel[of_kind(faults, name)].tolist())
        assert ({0, 1, 2} if name in MEASURED_IN_SPREADS else {0, 2}) == channels
    assert {"stuck_value", "lost_correlation", "changed_period"} == set(faults.left_out)
    shift = of_kind(faults, "level_shift")
    shift = shift[faults.channel[shift] == 1]
    np.testing.assert_allclose(np.abs(faults.runs[shift, -1, 1] - 0.7), faults.strength[shift])


def test_bursty_channel_is_tried_where_it_moves() -> None:
    """A channel that seldom moves gets stuck in the stretches in which it does."""
    x = static_correlation(8000)[:, :2].copy()
    x[:, 1] = np.where(np.arange(8000) % 400 < 150, x[:, 1], 0.0)
    normal = cut_runs([x], lead=LEAD, horizon=HORIZON, most=200)
    faults = inject(normal, most_rows=60_000)
    at = of_kind(faults, "stuck_value")
    at = at[faults.channel[at] == 1]
    change = faults.runs[at, LEAD:, 1] - normal.values[faults.twin[at], LEAD:, 1]
    still = (normal.values[:, :, 1] == 0).all(axis=1)

    assert still.mean() > 0.3
    assert len(at) > 20
    assert (np.sqrt(np.mean(change**2, axis=1)) >= NOTHING).all()


def test_single_channel_has_no_correlation_to_lose() -> None:
    """With one channel that kind does not exist, and is not counted as left out."""
    normal = cut_runs([static_correlation(3000)[:, :1]], lead=LEAD, horizon=HORIZON, most=200)
    faults = inject(normal, most_rows=60_000)

    assert set(range(len(KINDS))) - {KINDS.index("lost_correlation")} == set(faults.kind.tolist())
    assert {} == faults.left_out


def test_nothing_is_injected_into_nothing() -> None:
    """A history too short for a run has no faults, and no error."""
    normal = cut_runs([static_correlation(9)], lead=LEAD, horizon=HORIZON, most=200)
    faults = inject(normal, most_rows=60_000)

    assert (0, 0) == (len(normal.values), len(faults.runs))


def test_runs_count_each_row_once() -> None:
    """In a long history the counted rows of the runs are different rows, spread over all of it."""
    normal = cut_runs([static_correlation(9000)], lead=LEAD, horizon=HORIZON, most=100)
    rows = (normal.first[:, None] + LEAD + np.arange(HORIZON)).ravel()

    assert normal.counted == len(rows) == len(np.unique(rows)) == 100 * HORIZON
    assert rows.min() == LEAD
    assert rows.max() >= 9000 - HORIZON - 1


def test_runs_never_span_two_stretches() -> None:
    """Every run is one unbroken piece of one stretch."""
    x = static_correlation(1000)
    stretches = [x[:300], x[300:360], x[360:]]
    normal = cut_runs(stretches, lead=LEAD, horizon=HORIZON, most=200)

    for run, first in zip(normal.values, normal.first, strict=True):
        np.testing.assert_array_equal(run, x[first : first + LEAD + HORIZON])
        assert first + LEAD + HORIZON <= 300 or first >= 360


def test_runs_shrink_to_short_stretches() -> None:
    """When no stretch is long enough, lead and horizon shrink alike."""
    normal = cut_runs([static_correlation(35)] * 12, lead=LEAD, horizon=HORIZON, most=200)

    assert (12, 35, 9) == normal.values.shape
    assert (15, 20) == (normal.lead, normal.horizon)


def test_faults_go_into_scored_channels_only() -> None:
    """A fault in an input that is never scored could not be found by anybody."""
    normal = replace(normal_runs(), scored=np.array([1, 4]))
    faults = inject(normal, most_rows=40_000)

    assert {1, 4} == set(faults.channel.tolist())
    for name in MEASURED_IN_SPREADS:
        at = of_kind(faults, name)
        assert 2 * len(SPREADS) == len(set(zip(faults.channel[at], faults.strength[at], strict=True)))
