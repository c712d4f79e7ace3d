"""The source's own count of readings: what is new, what was seen, what started anew.

Which of the newest 64 numbers were seen is a bitmap, as receivers of IPsec keep it
(RFC 4303, 3.4.3), so that a number that was skipped can still come once. Counters that
wrap round at the end of an 8, 16 or 32 bit number go on at 0 (compare RFC 1982).

Channels that come one a message may each have a count of their own, so there is one
memory for each lowest channel of a message.
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["Count", "follow", "judge", "mark"]

_WIDTH = 64
_ALL = (1 << _WIDTH) - 1
_LARGEST = frozenset({2**8 - 1, 2**16 - 1, 2**31 - 1, 2**32 - 1})


class Count(Enum):
    """What a sequence number says of its reading."""

    NEXT = auto()
    """Newer than all that were seen; in direct succession, or the first."""
    SKIPPED = auto()
    """Newer than all that were seen, and some between are missing."""
    SAME = auto()
    """The number of the newest."""
    SEEN = auto()
    """A number that was seen."""
    OLDER = auto()
    """A number that was skipped: it comes after newer ones."""
    FAR_BACK = auto()
    """So far back that it may be an old reading or a new count."""


def judge(count: tuple[int, int] | None, seq: int) -> Count:
    """What a number is beside (newest, bitmap of the 64 up to it); null is that none was seen."""
    if count is None:
        return Count.NEXT
    newest, seen = count
    ahead = seq - newest
    if ahead == 1 or (seq == 0 and newest in _LARGEST):
        return Count.NEXT
    if ahead > 0:
        return Count.SKIPPED
    if ahead == 0:
        return Count.SAME
    if -ahead >= _WIDTH:
        return Count.FAR_BACK
    return Count.SEEN if seen >> -ahead & 1 else Count.OLDER


def mark(count: tuple[int, int] | None, seq: int, said: Count) -> tuple[int, int]:
    """The memory after a number was taken."""
    if count is None or said is Count.FAR_BACK or (said is Count.NEXT and seq == 0):
        return seq, 1
    newest, seen = count
    if seq < newest:
        return newest, seen | 1 << newest - seq
    ahead = seq - newest
    return seq, (seen << ahead | 1) & _ALL if ahead < _WIDTH else 1


def follow(count: tuple[int, int]) -> tuple[int, int]:
    """What `mark` gives for the number in direct succession."""
    return count[0] + 1, (count[1] << 1 | 1) & _ALL
