"""States of assets in the database; functions on its one connection.

A checkpoint knows how many there are and the sum of their checksums, so that a row that is
gone is found like one that is damaged.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator

from edge_lstm.io.crash import crash_point
from edge_lstm.io.schema import checksum
from edge_lstm.logs import event

__all__ = ["audit", "find", "forget", "put", "sound"]

log = logging.getLogger(__name__)

_AT_ONCE = 256


def _rows(database: sqlite3.Connection) -> Iterator[tuple[int, str, int, bytes]]:
    """All rows; nothing stays open between them."""
    last = -1
    while rows := database.execute(
        "SELECT id, asset, crc, state FROM streams WHERE id > ? ORDER BY id LIMIT ?", (last, _AT_ONCE)
    ).fetchall():
        yield from rows
        last = rows[-1][0]


def sound(database: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Asset and state, one after the other; damaged ones are left out."""
    return ((asset, state) for _, asset, crc, state in _rows(database) if crc == checksum(asset, state))


def audit(database: sqlite3.Connection) -> tuple[int, int, list[int]]:
    """How many are sound, the sum of their checksums, and the identities of the damaged ones."""
    count, total, damaged = 0, 0, []
    for identity, asset, crc, state in _rows(database):
        if crc == checksum(asset, state):
            count, total = count + 1, total + crc
        else:
            damaged.append(identity)
    return count, total, damaged


def find(database: sqlite3.Connection, asset: str) -> bytes | None:
    """The state of an asset, or ``None`` when it is not there, or damaged."""
    found = database.execute("SELECT crc, state FROM streams WHERE asset = ?", (asset,)).fetchone()
    if found is None:
        return None
    crc, state = found
    if crc != checksum(asset, state):
        log.error(event("store.stream_damaged", asset=asset))
        return None
    return bytes(state)


def put(database: sqlite3.Connection, streams: Iterable[tuple[str, bytes]]) -> tuple[int, int]:
    """Add or replace states; by how much their number and the sum of their checksums have grown."""
    count = total = 0
    for asset, state in streams:
        found = database.execute("SELECT crc FROM streams WHERE asset = ?", (asset,)).fetchone()
        crc = checksum(asset, state)
        database.execute(
            "INSERT INTO streams (asset, crc, state) VALUES (?, ?, ?) ON CONFLICT (asset)"
            " DO UPDATE SET crc = excluded.crc, state = excluded.state",
            (asset, crc, state),
        )
        count, total = count + (found is None), total + crc - (found[0] if found else 0)
        crash_point("mid_checkpoint")
    return count, total


def forget(database: sqlite3.Connection, gone: Iterable[str]) -> tuple[int, int]:
    """Take out assets; by how much their number and the sum of their checksums have shrunk."""
    count = total = 0
    for asset in gone:
        for (crc,) in database.execute("SELECT crc FROM streams WHERE asset = ?", (asset,)).fetchall():
            database.execute("DELETE FROM streams WHERE asset = ?", (asset,))
            count, total = count + 1, total + crc
    return count, total
