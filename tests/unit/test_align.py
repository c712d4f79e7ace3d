"""Readings to frames."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.state import AlignMemory
from edge_lstm.core.align import Aligner
from edge_lstm.testing import fake_manifest

S = 1_000_000_000
MANIFEST = fake_manifest(("a", "b"))


def aligner() -> tuple[Aligner, AlignMemory]:
    """A fresh aligner for channels a and b, period 1 s, gap after 10 s."""
    made = Aligner(MANIFEST.channels, MANIFEST.grid, centre=(5.0, 6.0))
    return made, made.fresh()


def push(made: Aligner, memory: AlignMemory, time_s: float, **values: float | None) -> list[object]:
    """Push one reading of asset p."""
    return list(made.push(memory, Reading("p", round(time_s * S), dict(values))))


def test_whole_reading_is_a_frame_at_once() -> None:
    """A reading with every channel does not wait for the next one."""
    made, memory = aligner()

    assert [Frame("p", 0, S, (1.0, 2.0), (False, False))] == push(made, memory, 1, a=1.0, b=2.0)


def test_single_values_gather_until_the_frame_is_whole() -> None:
    """One value per topic: the last missing channel completes the frame."""
    made, memory = aligner()

    assert [] == push(made, memory, 1.0, a=1.0)
    assert [Frame("p", 0, round(1.2 * S), (1.0, 2.0), (False, False))] == push(made, memory, 1.2, b=2.0)


def test_repeated_channel_closes_the_frame_and_masks_what_is_missing() -> None:
    """A channel that comes again belongs to the next frame; b never came and stands at its centre."""
    made, memory = aligner()
    push(made, memory, 1.0, a=1.0)

    assert [Frame("p", 0, S, (1.0, 6.0), (False, True))] == push(made, memory, 1.5, a=1.1)


def test_a_period_later_closes_the_frame() -> None:
    """A channel a period later belongs to the next frame even though it was not there yet."""
    made, memory = aligner()
    push(made, memory, 1.0, a=1.0)

    assert [Frame("p", 0, S, (1.0, 6.0), (False, True))] == push(made, memory, 2.0, b=2.0)


def test_missing_value_is_held_and_masked() -> None:
    """A null keeps the value last seen and is not scored."""
    made, memory = aligner()
    push(made, memory, 1, a=1.0, b=2.0)

    assert [Frame("p", 1, 2 * S, (3.0, 2.0), (False, True))] == push(made, memory, 2, a=3.0, b=None)


def test_same_time_is_a_duplicate_and_earlier_is_late() -> None:
    """A redelivered reading never steps twice."""
    made, memory = aligner()
    push(made, memory, 5, a=1.0, b=2.0)

    again, before = push(made, memory, 5, a=1.0, b=2.0), push(made, memory, 4, a=1.0, b=2.0)

    assert [RejectReason.DUPLICATE, RejectReason.LATE] == [r.reason for r in (*again, *before)]  # type: ignore[attr-defined]


def test_unknown_channels_are_rejected_with_what_was_expected() -> None:
    """A message without any of the model's channels says what it lacks."""
    made, memory = aligner()
    (reject,) = push(made, memory, 1, x=1.0)

    assert isinstance(reject, Reject)
    assert reject.reason is RejectReason.NO_CHANNEL
    assert "a, b" in reject.detail
    assert "x" in reject.detail


def test_silence_longer_than_the_gap_starts_a_new_state() -> None:
    """The first frame after a gap has tick 0, and the gap is an event of its own."""
    made, memory = aligner()
    push(made, memory, 1, a=1.0, b=2.0)
    gap, frame = push(made, memory, 12, a=1.0, b=2.0)

    assert isinstance(gap, QualityEvent)
    assert gap.reason is QualityReason.GAP
    assert isinstance(frame, Frame)
    assert frame.tick == 0


def test_flush_closes_what_waits() -> None:
    """The end of a recording does not lose its last, partial frame."""
    made, memory = aligner()
    push(made, memory, 1, a=1.0)

    assert [Frame("p", 0, S, (1.0, 6.0), (False, True))] == list(made.flush(memory, "p"))
    assert [] == list(made.flush(memory, "p"))


@given(st.lists(st.tuples(st.integers(0, 60), st.sets(st.sampled_from("ab"), min_size=1)), max_size=60))
def test_any_order_gives_strictly_rising_frames(readings: list[tuple[int, set[str]]]) -> None:
    """Whatever comes, in whatever order: frames rise in time, and ticks count from the last reset."""
    made, memory = aligner()
    frames = [
        item
        for time_s, names in readings
        for item in push(made, memory, time_s, **dict.fromkeys(names, 1.0))
        if isinstance(item, Frame)
    ]

    times = [frame.time_ns for frame in frames]
    assert times == sorted(set(times))
    for before, after in itertools.pairwise(frames):
        assert after.tick in (0, before.tick + 1)


def test_stranger_is_told_without_a_memory() -> None:
    """A reading that no asset could use is known before an asset is made for it."""
    made, _ = aligner()

    assert made.stranger(Reading("p", S, {"x": 1.0})) is not None
    assert made.stranger(Reading("p", S, {"x": 1.0, "a": None})) is None
