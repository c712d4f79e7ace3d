"""Mean and variance without wild values, on made and on real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edge_lstm.core.robust import moments, tame
from trainer.scale import learn_scaling

CLIP = 8.0


def skab(shared_data: Path) -> np.ndarray:
    """The first 400 rows of an experiment of a real pump, (rows, channels)."""
    frame = pl.read_csv(shared_data / "skab" / "valve1" / "1.csv", separator=";")
    return frame.drop("datetime", "anomaly", "changepoint").to_numpy().astype(float)[:400]


@pytest.mark.parametrize("wild", [[65535.0], [3.4e38], [-3.4e38, 65535.0], [-9999.0, -9999.0], [np.inf]])
def test_wild_values_do_not_move_the_scale_of_a_real_pump(shared_data: Path, wild: list[float]) -> None:
    """An error code in any channel, one or two readings long: centre and scale stay within 5 %."""
    clean = skab(shared_data)
    dirty = clean.copy()
    dirty[100 : 100 + len(wild)] = np.array(wild)[:, None]
    plain, _ = learn_scaling([clean], clip=CLIP)
    robust, _ = learn_scaling([dirty], clip=CLIP)

    assert np.allclose(robust.scale, plain.scale, rtol=0.05)
    assert (np.abs(np.subtract(robust.centre, plain.centre)) < 0.05 * np.array(plain.scale)).all()


@pytest.mark.parametrize("machine", ["1-3", "1-6", "2-1", "2-4", "3-10"])
def test_bursts_of_real_servers_keep_their_scale(shared_data: Path, machine: str) -> None:
    """Channels that rest most of the time have a MAD of 0; their bursts are no errors."""
    x = pl.read_parquet(shared_data / "smd" / f"{machine}_train.parquet").drop("time").to_numpy()
    x = x.astype(float)
    mean, variance = moments(x)

    assert ((np.median(np.abs(x - np.median(x, 0)), 0) == 0) & (x.std(0) > 0)).sum() >= 3
    assert np.allclose(x.std(0), np.sqrt(variance), rtol=0.05, atol=1e-12)
    assert np.allclose(x.mean(0), mean, rtol=0.05, atol=1e-12)


def test_one_single_burst_far_from_all_others_counts_as_wild() -> None:
    """What the rule costs: a machine that moved once in a thousand readings is not known to move."""
    x = np.random.default_rng(0).normal(0, 0.001, size=(1000, 1))
    x[500] = 1.0

    assert np.isnan(tame(x)).sum() == 1


@pytest.mark.parametrize(
    "x",
    [
        pytest.param(np.r_[np.zeros(995), np.ones(5)], id="rare-flag"),
        pytest.param(np.r_[np.zeros(999), 1.0], id="one-event"),
        pytest.param(np.r_[np.zeros(980), np.full(20, 100.0)], id="second-mode"),
        pytest.param(np.random.default_rng(1).standard_t(2, 1000), id="heavy-tails"),
        pytest.param(np.random.default_rng(2).normal(size=1000), id="normal"),
        pytest.param(np.r_[np.zeros(10), 1e9], id="too-few-to-tell"),
        pytest.param(np.full(100, 5.0), id="constant"),
    ],
)
def test_what_is_not_wild_is_left_alone(x: np.ndarray) -> None:
    """Flags, modes and heavy tails keep their plain mean and variance."""
    mean, variance = moments(x[:, None])

    assert (x.mean(), x.var()) == pytest.approx((mean[0], variance[0]))


def test_error_code_among_flags_is_wild() -> None:
    """65535 in a channel of mostly zeros and few ones."""
    x = np.r_[np.zeros(990), np.ones(5), 65535.0]

    assert [995] == np.flatnonzero(np.isnan(tame(x[:, None]))[:, 0]).tolist()


def test_channel_without_values_has_no_moments() -> None:
    """NaN, without a warning and without touching the input."""
    x = np.column_stack([np.arange(30.0), np.full(30, np.nan)])
    before = x.copy()
    mean, variance = moments(x)

    assert np.isnan([mean[1], variance[1]]).all()
    assert np.isfinite([mean[0], variance[0]]).all()
    assert np.array_equal(before, x, equal_nan=True)
