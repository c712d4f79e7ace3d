"""The source's own count of readings."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_lstm.core.sequence import Count, follow, judge, mark

ALL = 2**64 - 1


@pytest.mark.parametrize(
    ("count", "seq", "expected"),
    [
        (None, 7, Count.NEXT),
        ((7, 1), 8, Count.NEXT),
        ((7, 1), 10, Count.SKIPPED),
        ((7, 1), 7, Count.SAME),
        ((7, 0b11), 6, Count.SEEN),
        ((7, 0b101), 6, Count.OLDER),
        ((100, ALL), 37, Count.SEEN),
        ((100, ALL), 36, Count.FAR_BACK),
        ((100, 1), 0, Count.FAR_BACK),
        ((255, ALL), 0, Count.NEXT),
        ((65_535, ALL), 0, Count.NEXT),
        ((254, ALL), 0, Count.FAR_BACK),
    ],
)
def test_judge(count: tuple[int, int] | None, seq: int, expected: Count) -> None:
    """Beside the newest number and the 64 up to it."""
    assert expected is judge(count, seq)


@example([1, 0, 1])
@given(st.lists(st.integers(0, 200), max_size=100))
def test_bitmap_knows_what_was_seen(numbers: list[int]) -> None:
    """Held against a set, for every number within 64 of the newest."""
    count, seen = None, set[int]()
    for seq in numbers:
        said = judge(count, seq)
        if count is not None and -64 < seq - count[0] < 0:
            assert (said is Count.SEEN) == (seq in seen)
        if said in (Count.NEXT, Count.SKIPPED, Count.OLDER):
            count = mark(count, seq, said)
            seen.add(seq)
            assert (max(seen), 1) == (count[0], count[1] >> max(seen) - seq & 1)
        assert count is None or 0 <= count[1] <= ALL


@given(st.integers(0, 2**62), st.integers(0, ALL))
def test_follow_is_mark_of_the_next_number(newest: int, seen: int) -> None:
    """The short form of the usual case."""
    assert mark((newest, seen), newest + 1, Count.NEXT) == follow((newest, seen))
