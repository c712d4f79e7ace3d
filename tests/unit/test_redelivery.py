"""What the broker sends again is known, however much of it there is, and what is new is not taken for it."""

from __future__ import annotations

from edge_lstm.io.transport import Message
from edge_lstm.redelivery import Redelivery
from edge_lstm.times import NS

_START_NS = 1_800_000_000 * NS


def _message(mid: int, at_s: float, payload: bytes = b"1", *, again: bool = False) -> Message:
    arrived_ns = _START_NS + round(at_s * NS)
    return Message("t", payload, 1, retain=False, arrived_ns=arrived_ns, mid=mid, duplicate=again)


def test_whole_queue_in_flight_is_known_when_repeated() -> None:
    """A broker that sent thousands ahead, and repeats all of them twice, is not believed once."""
    memory = Redelivery(100)
    first = [memory.again(_message(mid, mid / 1000)) for mid in range(1, 5001)]
    later = [memory.again(_message(mid, 3600 + mid / 1000, again=True)) for mid in range(1, 5001)]
    after = [memory.again(_message(mid, 3610, b"2")) for mid in range(5001, 6001)]
    once_more = [memory.again(_message(mid, 3620, again=True)) for mid in range(1, 5001)]

    assert not any(first)
    assert all(later)
    assert not any(after)
    assert all(once_more)


def test_memory_is_bounded_by_a_minute_of_arrivals() -> None:
    """In a connection that lasts, only the last minute's messages are remembered beyond the least number."""
    memory = Redelivery(100)
    for mid in range(1, 20_001):
        memory.again(_message(mid, mid / 50))

    repeats = [mid for mid in range(1, 20_001) if memory.again(_message(mid, 400.0, again=True))]
    assert 20_000 == repeats[-1]
    assert 3000 < len(repeats) < 3010
    assert len(memory.dump()) < 33 * 20_000


def test_same_identifier_with_another_content_is_new() -> None:
    """An identifier that was used again for something else is no repeat, whatever the mark says."""
    memory = Redelivery(100)
    memory.again(_message(7, 0.0))

    assert not memory.again(_message(7, 1.0, b"2", again=True))


def test_memory_survives() -> None:
    """What was dumped and loaded knows the same messages."""
    memory, other = Redelivery(100), Redelivery(100)
    memory.again(_message(7, 0.0))
    other.load(memory.dump())

    assert other.again(_message(7, 5.0, again=True))
