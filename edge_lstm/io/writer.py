"""The writer thread: does the jobs of the line one after the other, again until they are done."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
from collections.abc import Callable

from edge_lstm.clock import Clock
from edge_lstm.errors import SnapshotError
from edge_lstm.io.files import Files
from edge_lstm.io.jobs import CLOSING_PAUSE_S, Append, Checkpoint, Job, Line, Post
from edge_lstm.io.rows import StoreFacts
from edge_lstm.io.schema import Meta
from edge_lstm.logs import event

__all__ = ["Writer"]

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_DELIVERED_S = 1.0
_COMPRESS_BELOW = 512 * 1024
"""Bytes a second of blocks up to which there is time to compress them: 1 % of a core of a Raspberry Pi 4."""


class Writer(threading.Thread):
    """The one thread that writes.

    Args:
        files: What it writes to.
        line: Its jobs.
        loss_window_s: Longest time between the write and the flush of a block, seconds; 0 flushes at once.
        clock: Time.
        wake: Called when `completed`, `problem` or `needs_full` has changed.

    Attributes:
        completed: Greatest ticket done.
        problem: Why nothing can be written; empty when it can.
        needs_full: Whether nothing completes before a full checkpoint: what was there is gone.
        delivered: Numbers of outbox rows that leave with the next commit.
        facts: How the store is.
    """

    def __init__(
        self, files: Files, line: Line, *, loss_window_s: float, clock: Clock, wake: Callable[[], None]
    ) -> None:
        super().__init__(name="store", daemon=True)
        self._files, self._line, self._loss_window_s = files, line, loss_window_s
        self._clock, self._wake = clock, wake
        self.completed = self._done = 0
        self.problem = ""
        self.needs_full = False
        self.delivered: list[int] = []
        self.facts = StoreFacts()
        self.deadline: float | None = None
        self.clean = False
        self._lost = ""
        self._suspect = False
        self._unsynced_since = self._wrote_at = self._delivered_since = 0.0
        self._covered_bytes = 0

    def run(self) -> None:
        """Work until the line is closed and empty, or the time to close is up."""
        try:
            while not (self._line.closing and not self._line.waiting):
                found = self._line.next(self._patience_s())
                if found is not None and not self._persist(*found):
                    return
                if not self._keep_time():
                    return
            self.clean = self._persist(0, Post([]))
        except Exception as error:
            log.exception(event("store.failed"))
            self._tell(f"the store has met a fault of edge-lstm itself: {error}")
        finally:
            self._line.end()

    # -------------------------------------------------------------------------------- time

    def _patience_s(self) -> float | None:
        """Until something is due besides the jobs, seconds."""
        now, due = self._clock.monotonic(), []
        if self._files.journal.unsynced:
            due.append(self._unsynced_since + self._loss_window_s)
        if self.delivered:
            self._delivered_since = self._delivered_since or now
            due.append(self._delivered_since + _DELIVERED_S)
        return max(0.0, min(due) - now) if due else None

    def _keep_time(self) -> bool:
        patience_s = self._patience_s()
        return patience_s is None or patience_s > 0 or self._persist(0, Post([]))

    # -------------------------------------------------------------------------------- one job

    def _persist(self, ticket: int, job: Job) -> bool:
        """Do a job, again and again until it is done; False when the time to close is up before."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                self._attempt(job)
            except (OSError, sqlite3.Error, SnapshotError) as error:
                self._suspect = True
                self._stuck(error)
            else:
                self._suspect = False
                self._complete(ticket, job)
                return True
            if self.deadline is not None and self._clock.monotonic() >= self.deadline:
                return False
            self._line.pause(CLOSING_PAUSE_S if self._line.closing else pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _attempt(self, job: Job) -> None:
        """Do a job once.

        Raises:
            OSError: The journal could not be written.
            sqlite3.Error: The database could not.
            SnapshotError: The folder could not be used.
        """
        if self._suspect and not self._files.are_there():
            self._remake(job)
        if found := self._files.database.problem:  # it was opened again, and something was lost
            self.needs_full, self._lost, self._files.database.problem = True, found, ""
            self._tell(found)
        try:
            if isinstance(job, Append):
                self._append(job)
            elif isinstance(job, Post):
                self._post(job)
            else:
                self._checkpoint(job)
        except sqlite3.Error as error:
            self._files.failed(error)
            raise
        # Looked at after the work: a file without a name takes writes and forgets them.
        if not self._files.are_there():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._files.path))
        self.facts.last_commit_ns = self._clock.time_ns()

    def _append(self, job: Append) -> None:
        journal = self._files.journal
        if not job.written:
            if not journal.unsynced:
                self._unsynced_since = self._clock.monotonic()
            journal.write(job.blocks, compress=self._has_time(job.size))
            job.written = True
        if not self._loss_window_s:
            journal.sync()

    def _has_time(self, size: int) -> bool:
        """Whether blocks come slowly enough to compress them."""
        now = self._clock.monotonic()
        passed_s, self._wrote_at = now - self._wrote_at, now
        return size < _COMPRESS_BELOW * passed_s

    def _post(self, job: Post) -> None:
        self._files.journal.sync()  # what caused a row is on the disk before the row is
        leaving = tuple(self.delivered)
        database = self._files.database
        if job.rows or leaving:
            database.post(job.rows, leaving, self._clock.time_ns())
        self._left(leaving)

    def _left(self, leaving: tuple[int, ...]) -> None:
        del self.delivered[: len(leaving)]
        self._delivered_since = 0.0
        self.note_outbox()

    def note_outbox(self) -> None:
        """Put how the outbox is into the facts."""
        database = self._files.database
        self.facts.outbox_waiting, self.facts.dropped = database.waiting, database.marks.dropped

    def _checkpoint(self, job: Checkpoint) -> None:
        if self.needs_full and not job.full:
            return
        began, now_ns = self._clock.monotonic(), self._clock.time_ns()
        journal, database = self._files.journal, self._files.database
        journal.sync()
        meta = Meta(job.meta, journal.last, job.bundle_sha256, now_ns, 0, 0)
        leaving = tuple(self.delivered)
        database.checkpoint(meta, job.streams, job.gone, rows=job.rows, delivered=leaving)
        self._left(leaving)
        if job.bundle_sha256 != journal.bundle_sha256:
            journal.bundle_sha256 = job.bundle_sha256
            journal.roll()
        self._drop_segments(journal.last)
        self._covered_bytes = journal.written_bytes
        self.facts.last_checkpoint_ns = now_ns
        self.facts.checkpoint_s = self._clock.monotonic() - began

    def _drop_segments(self, position: int) -> None:
        try:
            self._files.journal.drop_through(position)
        except OSError as error:  # the checkpoint stands; the next one tries again
            log.warning(event("store.segments_kept", detail=error))

    # -------------------------------------------------------------------------------- what is told

    def _complete(self, ticket: int, job: Job) -> None:
        self._done = max(self._done, ticket)
        if self.needs_full and isinstance(job, Checkpoint) and job.full:
            self.needs_full, self._lost = False, ""
        if self.problem and not self.needs_full:
            log.info(event("store.resumed"))
            self.problem = ""
        if not self.needs_full and self._done > self.completed:
            self.completed = self._done
            self._wake()
        journal = self._files.journal
        self.facts.journal_bytes, self.facts.segments = journal.written_bytes, journal.segments
        self.facts.segment_bytes = journal.segment_bytes
        self.facts.uncovered_bytes = journal.written_bytes - self._covered_bytes

    def _stuck(self, error: Exception) -> None:
        detail = getattr(error, "strerror", None) or str(error)
        self._tell(self._lost or f"the state cannot be written to {self._files.path}: {detail}")

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            log.error(event("store.stuck", detail=problem))
            self._wake()

    def _remake(self, job: Job) -> None:
        """The folder or a file in it is gone: begin anew, and complete nothing before a full checkpoint.

        Raises:
            SnapshotError: It cannot be done now.
            OSError: Likewise.
        """
        self.needs_full = True
        self._lost = f"the state in {self._files.path} was deleted or moved while running; it is made anew"
        self._tell(self._lost)
        self._files.remake()
        if isinstance(job, Append):
            job.written = False
