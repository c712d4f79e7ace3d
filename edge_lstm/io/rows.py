"""What the store hands over and takes: rows of the outbox, kept alerts, and what was found at the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

__all__ = ["AlertRow", "OutboxRow", "Recovered", "StoreFacts", "Weakness"]

Weakness = Literal["no_fdatasync", "sqlite_normal", "no_dir_fsync"]
"""A safeguard that a negative control leaves out, to see that its test can fail."""


class OutboxRow(msgspec.Struct, frozen=True, gc=False):
    """A publication that must arrive.

    Attributes:
        seq: Its number, rising; replay makes the same numbers again.
        topic: Where to.
        payload: Content.
        retain: Whether the broker keeps it for later subscribers.
        essential: Whether it may take the last room; what is not is dropped first.
        alert_seq: The device's number of the alert, or ``None`` when it is none; it is kept for replay.
    """

    seq: int
    topic: str
    payload: bytes
    retain: bool = False
    essential: bool = True
    alert_seq: int | None = None


class AlertRow(msgspec.Struct, frozen=True, gc=False):
    """An alert that is kept after the broker has it.

    Attributes:
        alert_seq: The device's number of it.
        topic: Where it was published.
        payload: Content.
        stored_ns: When it was written down, nanoseconds since 1970-01-01 UTC.
    """

    alert_seq: int
    topic: str
    payload: bytes
    stored_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What the last process left.

    Attributes:
        meta: The engine's part of the last checkpoint, or ``None`` when there is none that can be used.
        bundle_sha256: The bundle of that checkpoint, or of the journal; empty when nothing says.
        other_bundle: Whether any of it belongs to another bundle than the one asked for.
        saved_ns: When the checkpoint was written, nanoseconds since 1970-01-01 UTC; 0 without one.
        assets: Number of streams in the checkpoint.
        streams: Gives the streams of the checkpoint, one after the other; to be read before the store is
            started. Damaged ones are left out.
        blocks: Journal blocks that were written after the checkpoint, in order.
        outbox: The first rows that wait, in order; the store gives those after them.
        outbox_waiting: How many wait.
        outbox_last: Greatest number that was ever posted.
        alert_last: Greatest number of an alert that was ever posted.
        problem: What was lost or set aside, in one line; empty when nothing was.
    """

    meta: bytes | None
    bundle_sha256: str
    other_bundle: bool
    saved_ns: int
    assets: int
    streams: Callable[[], Iterator[tuple[str, bytes]]]
    blocks: Iterator[bytes]
    outbox: list[OutboxRow]
    outbox_waiting: int
    outbox_last: int
    alert_last: int
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class StoreFacts:
    """How the store is, for status and health.

    Attributes:
        last_commit_ns: When something was made durable last, nanoseconds since 1970-01-01 UTC; 0 is never.
        last_checkpoint_ns: When a checkpoint was completed last, likewise.
        checkpoint_s: How long the last one took, seconds.
        journal_bytes: Written to the journal since the start.
        uncovered_bytes: Of these, since the last checkpoint; what a recovery would have to read.
        segments: Segment files of the journal.
        segment_bytes: Room they take on the disk.
        queued_bytes: What waits to be written.
        outbox_waiting: Rows of the outbox that were not delivered.
        dropped: Rows that were dropped because the outbox was full, since the folder was new.
        problem: Why nothing can be written, or empty.
        sqlite: Version of SQLite.
    """

    last_commit_ns: int = 0
    last_checkpoint_ns: int = 0
    checkpoint_s: float = 0.0
    journal_bytes: int = 0
    uncovered_bytes: int = 0
    segments: int = 0
    segment_bytes: int = 0
    queued_bytes: int = 0
    outbox_waiting: int = 0
    dropped: int = 0
    problem: str = ""
    sqlite: str = ""
