"""Tables of ``state.db``, and the checksum that every row has, because SQLite has none."""

from __future__ import annotations

import sqlite3
import zlib
from typing import Final, TypeVar

import msgspec

__all__ = ["FORMAT", "SCHEMA", "Marks", "Meta", "checksum", "decode_fact", "encode_fact", "is_damage"]

FORMAT: Final = 1

SCHEMA: Final = {
    "facts": "CREATE TABLE facts (name TEXT PRIMARY KEY, crc INTEGER, value BLOB) WITHOUT ROWID",
    "streams": "CREATE TABLE streams (id INTEGER PRIMARY KEY, asset TEXT UNIQUE, crc INTEGER, state BLOB)",
    "outbox": "CREATE TABLE outbox (seq INTEGER PRIMARY KEY, crc INTEGER, topic TEXT, payload BLOB,"
    " retain INTEGER, essential INTEGER, alert_seq INTEGER)",
    "alerts": "CREATE TABLE alerts (alert_seq INTEGER PRIMARY KEY, crc INTEGER, stored_ns INTEGER,"
    " topic TEXT, payload BLOB)",
}
"""Name to statement. An alert's topic and payload are in ``alerts`` alone; its outbox row has nulls there."""


class Meta(msgspec.Struct, frozen=True):
    """Facts of a checkpoint.

    Attributes:
        engine: The engine's part.
        position: Number of the last journal record that it covers.
        bundle_sha256: Bundle that ran.
        saved_ns: When it was written, nanoseconds since 1970-01-01 UTC.
        streams: Number of streams.
        streams_sum: Sum of the checksums of their rows.
    """

    engine: bytes
    position: int
    bundle_sha256: str
    saved_ns: int
    streams: int
    streams_sum: int


class Marks(msgspec.Struct, frozen=True):
    """What outlives rows.

    Attributes:
        outbox_last: Greatest number ever posted.
        alert_last: Greatest number of an alert ever posted.
        dropped: Rows dropped because the outbox was full.
    """

    outbox_last: int = 0
    alert_last: int = 0
    dropped: int = 0


_SYSTEM_CODES: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)

_Fact = TypeVar("_Fact", Meta, Marks)


def checksum(*parts: object) -> int:
    """CRC-32 of the values of a row; types and bounds of the values are part of it."""
    return zlib.crc32(msgspec.msgpack.encode(parts))


def encode_fact(name: str, fact: Meta | Marks) -> tuple[str, int, bytes]:
    """A row of ``facts``."""
    value = msgspec.msgpack.encode(fact)
    return name, checksum(name, value), value


def decode_fact(name: str, row: tuple[int, bytes], kind: type[_Fact]) -> _Fact:
    """The content of a row of ``facts``.

    Raises:
        ValueError: It is damaged.
    """
    crc, value = row
    if crc != checksum(name, value):
        raise ValueError(f"the checksum of '{name}' does not fit")
    return msgspec.msgpack.decode(value, type=kind)


def is_damage(error: Exception) -> bool:
    """Whether an error comes from the content of the file, and not from the disk or the system."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF not in _SYSTEM_CODES
