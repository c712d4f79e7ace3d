"""Rows of the outbox and kept alerts in the database; functions on its one connection."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Final

from edge_lstm.io.rows import AlertRow, OutboxRow
from edge_lstm.io.schema import Marks, checksum
from edge_lstm.logs import event

__all__ = [
    "ALERTS_KEPT",
    "ALERT_AGE_NS",
    "OUTBOX_ROWS",
    "audit",
    "forget",
    "insert",
    "kept",
    "trim",
    "waiting",
]

log = logging.getLogger(__name__)

OUTBOX_ROWS: Final = 100_000
"""Rows of the outbox; beyond it what is not essential goes first, then the oldest."""
ALERTS_KEPT: Final = 10_000
ALERT_AGE_NS: Final = 7 * 86_400 * 10**9
_CLOCK_SET_NS: Final = 1_735_689_600 * 10**9
"""2025-01-01: what was stamped earlier was stamped by a clock that had not been set, and has no age."""
_LOOK: Final = 64


_JOINED: Final = (
    "SELECT o.seq, coalesce(a.topic, o.topic), coalesce(a.payload, o.payload), o.retain, o.essential,"
    " o.alert_seq, o.crc FROM outbox o LEFT JOIN alerts a ON a.alert_seq = o.alert_seq"
)


def audit(database: sqlite3.Connection) -> tuple[int, int]:
    """Examine every row that waits and take out the damaged ones; how many are left, and were taken out."""
    left, damaged = 0, []
    for *facts, crc in database.execute(_JOINED):
        if crc == checksum(*facts):
            left += 1
        else:
            damaged.append(facts[0])
    database.executemany("DELETE FROM outbox WHERE seq = ?", ((seq,) for seq in damaged))
    return left, len(damaged)


def waiting(database: sqlite3.Connection, after: int, limit: int) -> list[OutboxRow]:
    """Rows that wait, in order, from the one after ``after`` on; damaged ones are left out."""
    rows = database.execute(
        f"{_JOINED} WHERE o.seq > ? ORDER BY o.seq LIMIT ?",
        (after, limit),
    )
    found = []
    for *facts, crc in rows:
        if crc == checksum(*facts):
            seq, topic, payload, retain, essential, alert_seq = facts
            found.append(OutboxRow(seq, topic, payload, bool(retain), bool(essential), alert_seq))
        else:
            log.error(event("store.outbox_row_damaged", seq=facts[0]))
    return found


def kept(database: sqlite3.Connection, from_seq: int, limit: int) -> list[AlertRow]:
    """Alerts that are kept, in order, from ``from_seq`` on; damaged ones are left out."""
    rows = database.execute(
        "SELECT alert_seq, topic, payload, stored_ns, crc FROM alerts WHERE alert_seq >= ?"
        " ORDER BY alert_seq LIMIT ?",
        (from_seq, limit),
    )
    return [AlertRow(*facts) for *facts, crc in rows if crc == checksum(*facts)]


def insert(
    database: sqlite3.Connection, rows: Sequence[OutboxRow], marks: Marks, *, now_ns: int, again: bool
) -> tuple[Marks, int]:
    """Add rows.

    Args:
        database: Inside a transaction.
        rows: In order.
        marks: Those before; rows that are not above them were posted before and are left out.
        now_ns: Stamp of alerts, nanoseconds since 1970-01-01 UTC.
        again: Take all rows that are not there, whatever the marks say.

    Returns:
        The marks after, and how many were added.
    """
    before, added = database.total_changes, 0
    outbox_last, alert_last = marks.outbox_last, marks.alert_last
    for row in rows:
        if row.seq <= outbox_last and not again:
            continue
        topic: str | None = row.topic
        payload: bytes | None = row.payload
        crc = checksum(row.seq, topic, payload, int(row.retain), int(row.essential), row.alert_seq)
        if row.alert_seq is not None:
            alert = (row.alert_seq, topic, payload, now_ns)
            database.execute(
                "INSERT OR REPLACE INTO alerts (alert_seq, topic, payload, stored_ns, crc)"
                " VALUES (?, ?, ?, ?, ?)",
                (*alert, checksum(*alert)),
            )
            alert_last, topic, payload = max(alert_last, row.alert_seq), None, None
        before = database.total_changes
        database.execute(
            "INSERT OR IGNORE INTO outbox (seq, crc, topic, payload, retain, essential, alert_seq)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row.seq, crc, topic, payload, int(row.retain), int(row.essential), row.alert_seq),
        )
        added += database.total_changes - before
        outbox_last = max(outbox_last, row.seq)
    return Marks(outbox_last, alert_last, marks.dropped), added


def forget(database: sqlite3.Connection, seqs: Sequence[int]) -> int:
    """Take out rows that have been delivered; how many there were."""
    before = database.total_changes
    database.executemany("DELETE FROM outbox WHERE seq = ?", ((seq,) for seq in seqs))
    return database.total_changes - before


def trim(database: sqlite3.Connection, count: int, marks: Marks, now_ns: int) -> int:
    """Keep the tables within their limits.

    Args:
        database: Inside a transaction.
        count: Rows of the outbox.
        marks: As after the last `insert`.
        now_ns: Wall clock, nanoseconds since 1970-01-01 UTC.

    Returns:
        How many rows of the outbox were dropped.
    """
    dropped = 0
    for kept_kind in (1, 2):  # essential is 0 or 1: first those that are not, then any
        if (excess := count - dropped - OUTBOX_ROWS) > 0:
            dropped += database.execute(
                "DELETE FROM outbox WHERE seq IN"
                " (SELECT seq FROM outbox WHERE essential < ? ORDER BY seq LIMIT ?)",
                (kept_kind, excess),
            ).rowcount
    _trim_alerts(database, marks, now_ns)
    return dropped


def _trim_alerts(database: sqlite3.Connection, marks: Marks, now_ns: int) -> None:
    """What is too old or too many goes, unless it still waits in the outbox."""
    through = marks.alert_last - ALERTS_KEPT
    for alert_seq, stored_ns in database.execute(
        "SELECT alert_seq, stored_ns FROM alerts ORDER BY alert_seq LIMIT ?", (_LOOK,)
    ).fetchall():
        if not _CLOCK_SET_NS < stored_ns < now_ns - ALERT_AGE_NS:
            break
        through = max(through, alert_seq)
    oldest = database.execute(
        "SELECT alert_seq FROM outbox WHERE alert_seq IS NOT NULL ORDER BY seq LIMIT 1"
    ).fetchone()
    if oldest is not None:
        through = min(through, oldest[0] - 1)
    database.execute("DELETE FROM alerts WHERE alert_seq <= ?", (through,))
