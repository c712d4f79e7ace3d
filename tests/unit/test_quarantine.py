"""The ring of messages that could not be read: bounded, without repeats, calm in a flood."""

from __future__ import annotations

import hashlib

from edge_lstm.quarantine import Quarantine

NS = 1_000_000_000


def put(ring: Quarantine, payload: bytes, *, at_s: float, topic: str = "a/b") -> None:
    """One message."""
    ring.put(topic, payload, reason="undecodable", detail="why", arrived_ns=round(at_s * NS))


def test_quarantine_keeps_what_helps() -> None:
    """Head, length and digest of the payload; where, when and why."""
    ring, payload = Quarantine(), bytes(range(256)) * 3
    put(ring, payload, at_s=5)

    (kept,) = ring.entries()
    assert (payload[:256], 768, hashlib.sha256(payload).hexdigest()) == (kept.head, kept.size, kept.sha256)
    assert ("a/b", "undecodable", "why", 5 * NS, 1) == (
        kept.topic,
        kept.reason,
        kept.detail,
        kept.first_ns,
        kept.count,
    )


def test_quarantine_repeats_are_one_entry() -> None:
    """The same payload on the same topic is counted; on another topic it is another."""
    ring = Quarantine()
    put(ring, b"x", at_s=1)
    put(ring, b"y", at_s=2)
    put(ring, b"x", at_s=3)
    put(ring, b"x", at_s=4, topic="c")

    assert [("a/b", b"y", 1), ("a/b", b"x", 2), ("c", b"x", 1)] == [
        (kept.topic, kept.head, kept.count) for kept in ring.entries()
    ]
    assert (1 * NS, 3 * NS) == (ring.entries()[1].first_ns, ring.entries()[1].last_ns)


def test_quarantine_is_bounded() -> None:
    """The oldest make room."""
    ring = Quarantine(size=4)
    for number in range(10):
        put(ring, b"%d" % number, at_s=10 * number)

    assert [b"6", b"7", b"8", b"9"] == [kept.head for kept in ring.entries()]
    assert (10, 0) == (ring.total, ring.passed)


def test_quarantine_flood_does_not_wash_the_rest_away() -> None:
    """Of 10,000 messages in a second some are kept, the others are counted; calm brings room again."""
    ring = Quarantine(size=64, burst=16, per_s=1.0)
    put(ring, b"first", at_s=0)
    for number in range(10_000):
        put(ring, b"%d" % number, at_s=1 + number / 10_000)

    heads = [kept.head for kept in ring.entries()]
    assert b"first" in heads
    assert len(heads) <= 1 + 16 + 1
    assert (10_001, 10_001 - len(heads)) == (ring.total, ring.passed)
    put(ring, b"later", at_s=10)
    assert b"later" == ring.entries()[-1].head


def test_quarantine_clock_that_runs_back() -> None:
    """Nothing is admitted for time that did not pass, and nothing is held for ever."""
    ring = Quarantine(burst=1)
    put(ring, b"a", at_s=1000)
    put(ring, b"b", at_s=1)
    put(ring, b"c", at_s=3)

    assert [b"a", b"c"] == [kept.head for kept in ring.entries()]
