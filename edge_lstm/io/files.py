"""The files of a state folder together: lock, journal and database, and how they are made anew."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from edge_lstm.errors import SnapshotError, StateError
from edge_lstm.io.database import Database
from edge_lstm.io.folder import StateFolder
from edge_lstm.io.journal import SEGMENT_BYTES, Journal
from edge_lstm.io.journal_left import Left, read_journal
from edge_lstm.io.rows import Weakness
from edge_lstm.io.schema import Marks, is_damage
from edge_lstm.logs import event

__all__ = ["Files"]

log = logging.getLogger(__name__)

_OLD: Final = "state.snapshot"


class Files:
    """What the writer writes to.

    Args:
        path: The state folder; made when it is not there, and locked.
        weaken: Safeguards to leave out (negative controls).
        segment_bytes: Size of a segment of the journal.

    Attributes:
        path: The state folder.

    Raises:
        SnapshotError: It cannot be used, or another daemon uses it.
    """

    def __init__(
        self, path: Path, *, weaken: AbstractSet[Weakness] = frozenset(), segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.path, self._weaken, self._segment_bytes = path, weaken, segment_bytes
        self._journal: Journal | None = None
        self._database: Database | None = None
        self._next = (0, 1)
        self._bundle = ""
        self._marks = Marks()
        self._closed = False
        self._folder = StateFolder(path, weaken="no_dir_fsync" in weaken)
        try:
            self._set_old_aside()
            self._open_database()
            self._folder.flush()
        except (SnapshotError, OSError) as error:
            self._folder.close()
            if isinstance(error, SnapshotError):
                raise
            raise SnapshotError(f"cannot write to {path}: {error.strerror}", do="check the disk") from error

    def _set_old_aside(self) -> None:
        """A snapshot of version 0.1 is not read; it is kept for whoever goes back to that version."""
        old = self.path / _OLD
        if old.exists():
            old.replace(old.with_suffix(".old"))
            log.warning(event("store.old_snapshot", kept=old.with_suffix(".old")))

    def _open_database(self) -> Database:
        """The database, which knows at least the marks of the one before it."""
        if self._closed:
            raise SnapshotError("the state folder is closed")
        normal = "sqlite_normal" in self._weaken
        self._database = Database(self.path, normal=normal, least=self._marks)
        return self._database

    @property
    def database(self) -> Database:
        """The database; opened again after a fault.

        Raises:
            SnapshotError: It cannot be.
        """
        return self._database or self._open_database()

    @property
    def journal(self) -> Journal:
        """The journal; there after `recover`."""
        if self._journal is None:
            raise StateError("the journal is used before it was recovered")
        return self._journal

    def recover(self, bundle_sha256: str) -> Left:
        """Read what an earlier process left in the journal, and get ready to go on after it.

        Raises:
            SnapshotError: The disk does not let us.
        """
        meta = self.database.meta
        try:
            left = read_journal(self._folder, meta.position if meta is not None else 0)
        except OSError as error:
            raise SnapshotError(f"cannot read the journal in {self.path}: {error.strerror}") from error
        self._next, self._bundle = (left.last, left.next_segment), bundle_sha256
        self._new_journal()
        return left

    def _new_journal(self) -> None:
        last, next_segment = self._next
        self._journal = Journal(
            self._folder,
            last=last,
            next_segment=next_segment,
            bundle_sha256=self._bundle,
            weaken="no_fdatasync" in self._weaken,
            segment_bytes=self._segment_bytes,
        )

    def are_there(self) -> bool:
        """Whether the paths still lead to the files that are written to."""
        return self._folder.is_there() and self.journal.is_there() and self.database.is_there()

    def remake(self) -> None:
        """Begin anew in the same path: what was written before is gone, or will be needless soon.

        Raises:
            SnapshotError: It cannot be done now.
        """
        self._next, self._bundle = self.journal.next, self.journal.bundle_sha256
        self.close_database()
        self.journal.close()
        self._folder.close()
        self._folder = StateFolder(self.path, weaken="no_dir_fsync" in self._weaken)
        self._new_journal()
        self._open_database()

    def failed(self, error: sqlite3.Error) -> None:
        """The database met a fault: open it again for the next try, and set it aside if it is damaged."""
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL:
            log.warning(event("store.database_reopened", detail=error, damaged=is_damage(error)))
            self.close_database()

    def close_database(self) -> None:
        """Let the database go; it is opened again when it is needed."""
        if self._database is not None:
            self._marks = self._database.marks
            self._database.close()
            self._database = None

    def close(self) -> None:
        """Let everything go; another daemon may have the folder."""
        self.close_database()
        self._closed = True
        if self._journal is not None:
            with contextlib.suppress(OSError):
                self._journal.close()
        self._folder.close()
