"""The part of the store that is a database: checkpoint, outbox, kept alerts.

SQLite with a write-ahead log and ``synchronous=FULL``: a commit is on the disk when it
returns. One connection, used by one thread at a time: versions before 3.51.3 can lose
commits when two connections write (the WAL-reset bug), and Debian 12 has 3.40. A file that
cannot be used is set aside as ``state.db.bad``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from edge_lstm.errors import SnapshotError
from edge_lstm.io import outbox_table, stream_table
from edge_lstm.io.crash import crash_point
from edge_lstm.io.rows import AlertRow, OutboxRow
from edge_lstm.io.schema import FORMAT, SCHEMA, Marks, Meta, decode_fact, encode_fact, is_damage
from edge_lstm.logs import event

__all__ = ["DATABASE", "Database"]

log = logging.getLogger(__name__)

DATABASE: Final = "state.db"
_LOG_PAGES: Final = 1000
"""Pages of the write-ahead log before they are copied into the file: several checkpoints share a copy."""

_F = TypeVar("_F", Meta, Marks)


class Database:
    """The file ``state.db`` of a state folder.

    Args:
        folder: The state folder.
        normal: Use ``synchronous=NORMAL`` (negative controls).
        page_size: Bytes of a page of a new file.
        least: What the marks are at the least: a lost file must not make numbers come again.

    Attributes:
        problem: Why an earlier file was set aside; empty when none was.
        marks: Greatest numbers, as committed.
        waiting: Rows of the outbox.
        lost: Streams of the checkpoint that were damaged or gone when it was opened.
        meta: Facts of the last checkpoint, as committed; ``None`` without one that can be used.

    Raises:
        SnapshotError: It cannot be used.
    """

    def __init__(
        self, folder: Path, *, normal: bool = False, page_size: int = 4096, least: Marks | None = None
    ) -> None:
        self._least = least or Marks()
        self._path, self._normal, self._page_size = folder / DATABASE, normal, page_size
        self._db: sqlite3.Connection | None = None
        self._damaged: list[int] = []
        self.problem = ""
        self.meta: Meta | None = None
        try:
            try:
                self._open()
            except (sqlite3.Error, ValueError) as error:
                if not is_damage(error):
                    raise
                self._set_aside(error)
                self._open()
        except (sqlite3.Error, OSError) as error:
            self.close()
            do = "check who owns it, and the disk"
            raise SnapshotError(f"cannot use {self._path}: {error}", do=do) from error

    def _open(self) -> None:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._db = database = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=1.0
        )
        # Exclusive: the index of the log is in memory, not in a mapped file that is written back too.
        for pragma in (
            "locking_mode=EXCLUSIVE",
            f"page_size={self._page_size}",
            "journal_mode=WAL",
            f"synchronous={'NORMAL' if self._normal else 'FULL'}",
            f"wal_autocheckpoint={_LOG_PAGES}",
        ):
            database.execute(f"PRAGMA {pragma}")
        # A damaged name is not text any more; its checksum does not fit, and that is told.
        database.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self._check(database)
        self._inode = self._path.stat().st_ino
        self.meta = self._fact("meta", Meta)
        self.marks = self._salvage()
        self.lost = self.audit()
        self.waiting, damaged = outbox_table.audit(database)
        if damaged:
            self._note_damage(f"{damaged} rows of the outbox")

    def _check(self, database: sqlite3.Connection) -> None:
        """See that the file is sound and ours.

        Raises:
            sqlite3.Error: It is damaged, or cannot be read.
            ValueError: It is damaged, or of another version.
        """
        (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise ValueError(said)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        found = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        if not found and version == 0:
            with self._transaction():
                for statement in SCHEMA.values():
                    database.execute(statement)
                database.execute(f"PRAGMA user_version={FORMAT}")
        elif version != FORMAT or found != SCHEMA:
            raise ValueError(f"it has format {version}, this version reads {FORMAT}")
        for (name,) in database.execute("SELECT name FROM facts WHERE name NOT IN ('meta', 'marks')"):
            self._note_damage(f"a fact is called '{name}'")

    def _set_aside(self, error: Exception) -> None:
        with contextlib.suppress(sqlite3.Error, ValueError):
            self._least = self._salvage()
        self.problem = f"{DATABASE} was damaged or of another version ({error}) and is set aside"
        self.close()
        for ending in ("-wal", ""):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{ending}").replace(f"{self._path}.bad{ending}")
        log.error(event("store.database_damaged", path=self._path, detail=error))

    def close(self) -> None:
        """Let the file go; what was committed stays."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()

    def is_there(self) -> bool:
        """Whether the path still leads to the file that was opened."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    # -------------------------------------------------------------------------------- reading

    @property
    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.ProgrammingError("the database is closed")
        return self._db

    def _fact(self, name: str, kind: type[_F]) -> _F | None:
        """A row of ``facts``; ``None`` when there is none, or a damaged one, which is told."""
        found = self._open_db.execute("SELECT crc, value FROM facts WHERE name = ?", (name,)).fetchone()
        try:
            return None if found is None else decode_fact(name, found, kind)
        except ValueError as error:
            self._note_damage(str(error))
            return None

    def _note_damage(self, detail: str) -> None:
        self.problem = f"{DATABASE} is damaged: {detail}"
        log.error(event("store.fact_damaged", detail=detail))

    def _salvage(self) -> Marks:
        """The marks, or what they are at the least when they are damaged."""
        marks = self._fact("marks", Marks) or Marks()
        last = "SELECT (SELECT max(seq) FROM outbox), (SELECT max(alert_seq) FROM alerts)"
        outbox_last, alert_last = self._open_db.execute(last).fetchone()
        return Marks(
            max(marks.outbox_last, self._least.outbox_last, outbox_last or 0),
            max(marks.alert_last, self._least.alert_last, alert_last or 0),
            max(marks.dropped, self._least.dropped),
        )

    def audit(self) -> int:
        """Examine every stream of the checkpoint; how many are damaged or gone.

        Damaged ones are taken out with the next checkpoint.
        """
        if self.meta is None:
            return 0
        count, total, self._damaged = stream_table.audit(self._open_db)
        lost = max(self.meta.streams - count, len(self._damaged), int(total != self.meta.streams_sum))
        self.meta = msgspec.structs.replace(self.meta, streams=count, streams_sum=total)
        return lost

    def streams(self) -> Iterator[tuple[str, bytes]]:
        """The streams of the checkpoint; damaged ones are left out."""
        return iter(()) if self.meta is None else stream_table.sound(self._open_db)

    def stream(self, asset: str, bundle_sha256: str) -> bytes | None:
        """One stream of the checkpoint, or ``None`` when it is not there, damaged, or of another bundle."""
        if self.meta is None or self.meta.bundle_sha256 != bundle_sha256:
            return None
        return stream_table.find(self._open_db, asset)

    def outbox(self, after: int, limit: int) -> list[OutboxRow]:
        """Rows that wait, in order, from the one after ``after`` on."""
        return outbox_table.waiting(self._open_db, after, limit)

    def alerts(self, from_seq: int, limit: int) -> list[AlertRow]:
        """Kept alerts, in order, from ``from_seq`` on."""
        return outbox_table.kept(self._open_db, from_seq, limit)

    # -------------------------------------------------------------------------------- writing

    def post(self, rows: Sequence[OutboxRow], delivered: Sequence[int], now_ns: int) -> None:
        """One transaction: rows that are new, rows that have been delivered.

        Args:
            rows: In order; what is not above the greatest number ever posted was posted before.
            delivered: Numbers of rows that leave.
            now_ns: Wall clock, nanoseconds since 1970-01-01 UTC.

        Raises:
            sqlite3.Error: Nothing of it is done.
        """
        with self._transaction():
            marks, waiting = self._post(rows, delivered, now_ns, again=False)
            crash_point("before_post_commit")
        self.marks, self.waiting = marks, waiting
        crash_point("after_post_commit")

    def checkpoint(
        self,
        meta: Meta,
        streams: Iterable[tuple[str, bytes]],
        gone: Iterable[str],
        *,
        rows: Sequence[OutboxRow] = (),
        delivered: Sequence[int] = (),
    ) -> None:
        """One transaction: states, the engine's part, and what waits for the outbox.

        Args:
            meta: Its counts of streams are filled in here.
            streams: Those that have changed. The states of another bundle all go.
            gone: Assets to forget.
            rows: Rows of the outbox to add where they are not there, whatever was posted before.
            delivered: Numbers of rows that leave.

        Raises:
            sqlite3.Error: Nothing of it is done.
        """
        with self._transaction():
            meta = self._put_streams(meta, streams, gone)
            marks, waiting = self._post(rows, delivered, meta.saved_ns, again=True)
            self._put_fact("meta", meta)
            crash_point("before_commit")
        self.meta, self.marks, self.waiting = meta, marks, waiting
        self._damaged.clear()
        crash_point("after_commit")

    def _put_streams(self, meta: Meta, streams: Iterable[tuple[str, bytes]], gone: Iterable[str]) -> Meta:
        database, before = self._open_db, self.meta
        if before is None or before.bundle_sha256 != meta.bundle_sha256:
            database.execute("DELETE FROM streams")
            before = msgspec.structs.replace(meta, streams=0, streams_sum=0)
        database.executemany("DELETE FROM streams WHERE id = ?", ((row,) for row in self._damaged))
        added, grown = stream_table.put(database, streams)
        removed, shrunk = stream_table.forget(database, gone)
        count, total = before.streams + added - removed, before.streams_sum + grown - shrunk
        return msgspec.structs.replace(meta, streams=count, streams_sum=total)

    def _post(
        self, rows: Sequence[OutboxRow], delivered: Sequence[int], now_ns: int, *, again: bool
    ) -> tuple[Marks, int]:
        database = self._open_db
        marks, added = outbox_table.insert(database, rows, self.marks, now_ns=now_ns, again=again)
        waiting = self.waiting + added - outbox_table.forget(database, delivered)
        if dropped := outbox_table.trim(database, waiting, marks, now_ns):
            marks = msgspec.structs.replace(marks, dropped=marks.dropped + dropped)
        if marks != self.marks:
            self._put_fact("marks", marks)
        return marks, waiting - dropped

    def _put_fact(self, name: str, fact: Meta | Marks) -> None:
        self._open_db.execute(
            "INSERT OR REPLACE INTO facts (name, crc, value) VALUES (?, ?, ?)", encode_fact(name, fact)
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        database = self._open_db
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
            database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have done so itself
                database.execute("ROLLBACK")
            raise
