"""The last messages that could not be read, kept for people to look at; bounded, never in the way. Pure.

They have been counted and acknowledged like all others: this is a help for finding out who
sends them, and it is empty after a restart.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import msgspec

from edge_lstm.contracts.reading import RejectReason

__all__ = ["POISON", "Quarantine", "Quarantined"]

POISON = frozenset(
    (
        RejectReason.UNDECODABLE,
        RejectReason.TOO_LARGE,
        RejectReason.BAD_ASSET,
        RejectReason.SCHEMA_UNSUPPORTED,
    )
)
"""Reasons of which the message itself is the evidence."""

_HEAD_BYTES = 256
_HASHED_BYTES = 2**20  # 2 ms; what goes beyond is told apart by its length
_TEXT = 200
_NS = 1_000_000_000


class Quarantined(msgspec.Struct, frozen=True, gc=False):
    """One message, or several alike.

    Attributes:
        topic: Where it came, its first 200 characters.
        reason: Why it was turned away: a `RejectReason`, or ``failure`` for a fault of ours.
        detail: One line for people.
        size: Length, bytes.
        sha256: Of the payload (of its first MiB), hexadecimal, to find it in a recording.
        head: The payload's first 256 bytes.
        first_ns: Time of arrival of the first one, nanoseconds since 1970-01-01 UTC.
        last_ns: Time of arrival of the last one.
        count: How many came.
    """

    topic: str
    reason: str
    detail: str
    size: int
    sha256: str
    head: bytes
    first_ns: int
    last_ns: int
    count: int = 1


class Quarantine:
    """A ring of messages; a flood of them is counted, and a few of it are kept.

    Args:
        size: Messages that it holds.
        burst: Messages that are taken one right after the other.
        per_s: Messages that are taken a second after that; the others are only counted.

    Attributes:
        total: All messages that were put.
        passed: Those of them that were not looked at, because too many came.
    """

    def __init__(self, *, size: int = 64, burst: int = 16, per_s: float = 1.0) -> None:
        self.total = self.passed = 0
        self._size, self._burst, self._per_s = size, burst, per_s
        self._left, self._at_ns = float(burst), 0
        self._kept: OrderedDict[tuple[str, str], Quarantined] = OrderedDict()

    def put(self, topic: str, payload: bytes, *, reason: str, detail: str, arrived_ns: int) -> None:
        """Take a message, or only count it."""
        self.total += 1
        if not self._admits(arrived_ns):
            self.passed += 1
            return
        digest = hashlib.sha256(payload[:_HASHED_BYTES]).hexdigest()
        known = self._kept.pop((topic, digest), None)
        if known is None:
            if len(self._kept) >= self._size:
                self._kept.popitem(last=False)
            known = Quarantined(
                topic[:_TEXT],
                reason,
                detail[:_TEXT],
                len(payload),
                digest,
                bytes(payload[:_HEAD_BYTES]),
                arrived_ns,
                arrived_ns,
            )
        else:
            known = msgspec.structs.replace(known, last_ns=arrived_ns, count=known.count + 1)
        self._kept[topic, digest] = known

    def entries(self) -> list[Quarantined]:
        """What is kept, the latest last."""
        return list(self._kept.values())

    def _admits(self, now_ns: int) -> bool:
        passed_s = max(0, now_ns - self._at_ns) / _NS
        self._left = min(float(self._burst), self._left + passed_s * self._per_s)
        self._at_ns = now_ns
        if self._left < 1:
            return False
        self._left -= 1
        return True
