"""Tracks: what a chunk may know of the readings before it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from trainer.windows import Tracks, lay_tracks

LAGS = (1, 3, 7)


def laid(lengths: list[int], *, steps: int = 4, most: int = 3) -> Tracks:
    """Segments of one channel whose values count on through the history: no two are equal."""
    ends = np.cumsum([0, *lengths])
    segments = [np.arange(a, b, dtype=np.float32)[:, None] for a, b in pairwise(ends)]
    return lay_tracks([(s, np.ones_like(s)) for s in segments], steps=steps, most=most, lags=LAGS)


@pytest.mark.parametrize("lengths", [[50], [13, 9, 30], [5, 1, 2, 40], [3]])
def test_lags_reach_over_chunks_and_never_over_a_beginning(lengths: list[int]) -> None:
    """A lagged reading counts exactly where its row lies in this segment and in this track."""
    tracks = laid(lengths)
    begins = np.cumsum([0, *lengths])[:-1]
    first = tracks.x[:, 0, 0]  # where each track starts in the history
    known = 0
    for i, chunk in enumerate(tracks):
        for track in range(len(chunk.x)):
            for step in range(tracks.steps):
                now = int(chunk.x[track, step, 0])
                segment = int(begins[begins <= now].max())
                for k, lag in enumerate(LAGS):
                    inside = now - lag >= segment and i * tracks.steps + step >= lag
                    inside &= now - lag >= first[track]
                    assert inside == bool(chunk.seen_past[track, step, k])
                    if inside:
                        assert now - lag == chunk.past[track, step, k]
                        known += 1
    assert known > 0


def test_lag_of_a_missing_value_is_not_known() -> None:
    """The mark of a reading goes with it into the past."""
    x = np.arange(8, dtype=np.float32)[:, None]
    seen = np.ones_like(x)
    seen[2] = 0

    (chunk,) = lay_tracks([(x, seen)], steps=8, most=1, lags=(1,))
    assert [0, 1, 1, 0, 1, 1, 1, 1] == chunk.seen_past[0, :, 0].tolist()


def test_no_lags_is_no_past() -> None:
    """Without lags the chunk has a past of no width."""
    x = np.zeros((8, 2), np.float32)

    (chunk,) = lay_tracks([(x, x)], steps=8, most=1)
    assert (1, 8, 0) == chunk.past.shape == chunk.seen_past.shape
