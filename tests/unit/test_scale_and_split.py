"""Scaling and splitting of history."""

from __future__ import annotations

import numpy as np
import pytest

from edge_lstm.errors import HistoryError
from edge_lstm.rule import Rule
from trainer.scale import learn_scaling
from trainer.split import hold, split

RANDOM = np.random.default_rng(0)


def test_scaling_of_one_segment_is_mean_and_deviation() -> None:
    """The plain case is the plain z-score."""
    x = RANDOM.normal((3, -7), (2, 0.5), size=(500, 2))
    scaling, odd = learn_scaling([x], clip=8)

    assert np.allclose(x.mean(0), scaling.centre)
    assert np.allclose(x.std(0), scaling.scale)
    assert [False] == odd


def test_one_long_recording_elsewhere_does_not_set_the_scale() -> None:
    """SKAB's case: one long file far away, fourteen short ones at the present operating point."""
    here = [RANDOM.normal(30, 0.5, size=(280, 1)) for _ in range(14)]
    scaling, odd = learn_scaling([RANDOM.normal(120, 1.5, size=(6500, 1)), *here], clip=8)

    assert 30 == pytest.approx(scaling.centre[0], abs=0.2)
    assert scaling.scale[0] < 1
    assert [True] + [False] * 14 == odd


def test_two_equal_operating_points_widen_the_scale() -> None:
    """When the machine simply has two modes, both belong to what is normal."""
    modes = [RANDOM.normal(30 + 90 * (i % 2), 0.5, size=(300, 1)) for i in range(6)]
    scaling, odd = learn_scaling(modes, clip=8)

    assert not any(odd)
    assert all(abs(m.mean() - scaling.centre[0]) < 8 * scaling.scale[0] for m in modes)


def test_silent_channel_keeps_a_scale_above_zero() -> None:
    """A channel without movement or without values divides by nothing."""
    x = np.column_stack([np.full(50, 4.0), np.full(50, np.nan)])
    scaling, _ = learn_scaling([x], clip=8)

    assert all(s > 0 for s in scaling.scale)
    assert np.isfinite(scaling.centre).all()


def test_split_is_by_time_in_every_segment() -> None:
    """70, 10 and 20 percent of each segment, in this order."""
    segments = [("", np.arange(n), np.ones((n, 1)), False) for n in (100, 200)]
    parts = split(segments, np.zeros(1), validation=0.1, held_out=0.2)

    assert [(70, 80), (140, 160)] == [(part.train, part.validation) for part in parts]


def test_rows_outside_the_rule_are_paused() -> None:
    """Also where a channel of the rule is missing; held values do not count, as on the device."""
    values = np.column_stack([np.r_[np.zeros(10), np.full(20, 9.0)], np.arange(30.0)])
    values[15, 0] = np.nan
    (part,) = split(
        [("", np.arange(30), values, False)],
        np.zeros(2),
        validation=0.1,
        held_out=0.2,
        rule=Rule.parse("not speed < 5", ["speed", "flow"]),
    )

    assert [*range(10), 15] == np.flatnonzero(part.paused).tolist()


def test_short_segment_is_learned_whole() -> None:
    """A handful of rows between two gaps judges nothing."""
    segments = [("", np.arange(n), np.ones((n, 1)), False) for n in (100, 10)]
    parts = split(segments, np.zeros(1), validation=0.1, held_out=0.2)

    assert (10, 10) == (parts[1].train, parts[1].validation)


def test_only_short_segments_are_an_error() -> None:
    """A history of crumbs says so, and what to do."""
    with pytest.raises(HistoryError, match="gap-factor"):
        split([("", np.arange(9), np.ones((9, 1)), False)], np.zeros(1), validation=0.1, held_out=0.2)


def test_missing_values_are_held_as_the_device_holds_them() -> None:
    """The value before, and the centre where there is none yet."""
    values = np.array([[np.nan], [1.0], [np.nan], [np.nan], [2.0]])

    assert [[7.0], [1.0], [1.0], [1.0], [2.0]] == hold(values, np.array([7.0])).tolist()
