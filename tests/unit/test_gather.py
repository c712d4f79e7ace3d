"""Single values to frames, held against the device."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.contracts.frame import Frame
from edge_lstm.contracts.reading import Reading
from edge_lstm.core.align import Aligner
from edge_lstm.testing import fake_manifest
from trainer.gather import gather, typical_step

S = 1_000_000_000


def on_the_device(
    readings: list[tuple[int, int, float]], channels: int, period_ns: int
) -> list[tuple[object, ...]]:
    """Frames that the device's aligner makes of single values: time, and a value or None a channel."""
    names = tuple("abcdef"[:channels])
    manifest = fake_manifest(names)
    grid = msgspec.structs.replace(manifest.grid, period_s=period_ns / S, gap_after_s=1e9)
    aligner = Aligner(manifest.channels, grid, centre=(0.0,) * channels)
    memory, frames = aligner.fresh(), []
    for time_ns, channel, value in readings:
        frames += list(aligner.push(memory, Reading("p", time_ns, {names[channel]: value})))
    frames += list(aligner.flush(memory, "p"))
    return [
        (f.time_ns, *(None if masked else v for v, masked in zip(f.values, f.masked, strict=True)))
        for f in frames
        if isinstance(f, Frame)
    ]


@given(
    st.integers(1, 4).flatmap(
        lambda channels: st.tuples(
            st.just(channels),
            st.lists(
                st.tuples(st.integers(0, 40), st.integers(0, channels - 1)),
                min_size=1,
                max_size=60,
                unique=True,
            ),
            st.integers(1, 6),
        )
    )
)
def test_frames_are_those_of_the_device(case: tuple[int, list[tuple[int, int]], int]) -> None:
    """Training sees the frames that the device will see, for any order, holes and period."""
    channels, pairs, period = case
    readings = [(t, c, float(i)) for i, (t, c) in enumerate(sorted(pairs, key=lambda pair: pair[0]))]
    time_ns, codes = (
        np.array(column, dtype=np.int64) for column in zip(*[r[:2] for r in readings], strict=True)
    )

    at, values, starts = gather(
        time_ns, codes, np.array([r[2] for r in readings]), channels=channels, period_ns=period
    )

    ours = [
        (int(t), *(None if np.isnan(v) else v for v in row))
        for t, row in zip(at, values.tolist(), strict=True)
    ]
    assert on_the_device(readings, channels, period) == ours
    assert bool((np.diff(at) > 0).all())
    assert [readings[i][0] <= int(t) for i, t in zip(starts, at, strict=True)] == [True] * len(at)


def test_scans_at_one_time_are_one_row_each() -> None:
    """Values of one time belong together, also where one of them is missing."""
    time_ns = np.array([1, 1, 2, 3, 3]) * S
    codes = np.array([0, 1, 1, 0, 1])

    at, values, _ = gather(time_ns, codes, np.arange(5.0), channels=2, period_ns=S)

    assert [S, 2 * S, 3 * S] == at.tolist()
    np.testing.assert_array_equal([[0, 1], [np.nan, 2], [3, 4]], values)


def test_typical_step_is_that_of_a_channel() -> None:
    """Two channels that take turns every half second have a period of one second."""
    time_ns = np.arange(20) * S // 2

    assert typical_step(time_ns, np.arange(20) % 2) == S


def test_typical_step_of_single_values_is_nothing() -> None:
    """One value a channel tells no step."""
    assert typical_step(np.array([0, S]), np.array([0, 1])) == 0
