"""The durable store of the daemon: a journal of what arrived, checkpoints of states, the outbox.

What is asked for is put into a line and done in order by one thread, the only one that
touches the files. Each request has a ticket, and `Store.completed` says how far it is.

A reading is safe when the ticket of its block is complete: after a crash the last
checkpoint and the blocks after it make the same states again. What comes of a reading is
posted to the outbox, and no row is on the disk before the blocks that were appended before it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Literal, TypeVar, cast

from edge_lstm.clock import Clock, SystemClock
from edge_lstm.errors import SnapshotError
from edge_lstm.io.files import Files
from edge_lstm.io.jobs import Append, Checkpoint, Line, Post, Question
from edge_lstm.io.journal import SEGMENT_BYTES
from edge_lstm.io.rows import AlertRow, OutboxRow, Recovered, StoreFacts, Weakness
from edge_lstm.io.writer import Writer
from edge_lstm.logs import event

__all__ = ["IN_MEMORY", "Store"]

log = logging.getLogger(__name__)

IN_MEMORY = 2000
"""Rows of the outbox that are handed over at the start."""

_T = TypeVar("_T")


class Store:
    """The state folder of one daemon.

    Args:
        path: The folder; made when it is not there, and locked.
        mode: ``strict``: a ticket is complete when its work is on the disk. ``batched``: blocks are when
            they survive the end of the process; a power cut loses at most ``loss_window_s`` of them.
        loss_window_s: See above, seconds; 0 is ``strict``.
        wake: Called from the writer's thread when `completed`, `problem` or `needs_full` has changed.
        clock: Time.
        weaken: Safeguards to leave out (negative controls).
        segment_bytes: Size of a segment of the journal.

    Raises:
        SnapshotError: It cannot be used, or another daemon uses it.
    """

    def __init__(
        self,
        path: Path,
        *,
        mode: Literal["strict", "batched"] = "strict",
        loss_window_s: float = 0.0,
        wake: Callable[[], None],
        clock: Clock | None = None,
        weaken: AbstractSet[Weakness] = frozenset(),
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._clock = clock = clock or SystemClock()
        self._files = Files(path, weaken=weaken, segment_bytes=segment_bytes)
        self._line = Line(clock)
        window_s = loss_window_s if mode == "batched" else 0.0
        self._writer = Writer(self._files, self._line, loss_window_s=window_s, clock=clock, wake=wake)

    def recover(self, bundle_sha256: str) -> Recovered:
        """What the last process left; to be called once, before `start`.

        Args:
            bundle_sha256: Digest of the bundle that runs, hexadecimal.

        Raises:
            SnapshotError: The disk does not let us; damage is no reason, it is told in ``problem``.
        """
        database = self._files.database
        left = self._files.recover(bundle_sha256)
        lost = database.lost
        meta = database.meta
        problems = [database.problem, left.problem]
        if lost:
            problems.append(f"the states of {lost} assets are damaged, they begin anew")
            log.error(event("store.streams_damaged", count=lost))
        # Without a base, blocks that are complete now would be worth nothing after another crash.
        self._writer.needs_full = bool(database.problem) or (meta is None and bool(left.problem))
        database.problem = ""
        bundles = left.bundles | ({meta.bundle_sha256} if meta is not None else set())
        self._writer.note_outbox()
        return Recovered(
            meta=None if meta is None else meta.engine,
            bundle_sha256=meta.bundle_sha256 if meta is not None else min(left.bundles, default=""),
            other_bundle=bool(bundles - {bundle_sha256}),
            saved_ns=0 if meta is None else meta.saved_ns,
            assets=0 if meta is None else meta.streams,
            streams=database.streams,
            blocks=left.blocks(),
            outbox=database.outbox(0, IN_MEMORY),
            outbox_waiting=database.waiting,
            outbox_last=database.marks.outbox_last,
            alert_last=database.marks.alert_last,
            problem="; ".join(problem for problem in problems if problem),
        )

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()

    # -------------------------------------------------------------------------------- requests

    def append(self, block: bytes) -> int:
        """Write a block to the journal; its ticket."""
        return self._line.add(Append([block], len(block)))

    def post(self, rows: Sequence[OutboxRow]) -> int:
        """Put rows into the outbox, in order; their ticket. What an earlier process posted is left out.

        Raises:
            ValueError: A topic is not text; here, and not in the thread that everybody waits for.
        """
        for row in rows:
            row.topic.encode()
        return self._line.add(Post(list(rows)))

    def delivered(self, seqs: Sequence[int]) -> None:
        """Rows that the broker has: they leave with the next commit, at the latest after a second."""
        self._writer.delivered.extend(seqs)
        self._line.nudge()

    def checkpoint(
        self,
        meta: bytes,
        streams: Iterable[tuple[str, bytes]],
        *,
        bundle_sha256: str,
        gone: Sequence[str] = (),
        full: bool = False,
        outbox: Sequence[OutboxRow] = (),
    ) -> int:
        """Write the states, and give up the journal up to here.

        Args:
            meta: The engine's part.
            streams: States of assets that have changed since the last one; read before this returns.
            bundle_sha256: Digest of the bundle that runs, hexadecimal; states of another one all go.
            gone: Assets to forget.
            full: Whether ``streams`` are all there are; asked for by `needs_full`.
            outbox: With ``full``: rows that are not delivered, as far as they are in memory.

        Returns:
            Its ticket; it covers every block appended before.

        Raises:
            ValueError: The name of an asset is not text.
        """
        states = [(asset, state) for asset, state in streams if asset.encode() is not None]
        job = Checkpoint(
            meta=meta,
            streams=states,
            gone=tuple(gone),
            bundle_sha256=bundle_sha256,
            full=full,
            rows=tuple(outbox),
        )
        return self._line.add(job)

    # -------------------------------------------------------------------------------- answers

    @property
    def asked(self) -> int:
        """The newest ticket."""
        return self._line.ticket

    @property
    def completed(self) -> int:
        """Greatest ticket that is complete; so are all before it."""
        return self._writer.completed

    @property
    def alive(self) -> bool:
        """Whether the writer is at work; a process whose writer is not had better begin anew."""
        return self._writer.is_alive()

    @property
    def problem(self) -> str:
        """Why nothing can be written, in one line; empty when it can. It is tried again until it can."""
        return self._writer.problem

    @property
    def needs_full(self) -> bool:
        """Whether a full checkpoint is needed; nothing completes before it, for want of a base."""
        return self._writer.needs_full

    @property
    def facts(self) -> StoreFacts:
        """How the store is."""
        facts = self._writer.facts
        facts.problem, facts.queued_bytes = self.problem, self._line.queued_bytes
        facts.sqlite = sqlite3.sqlite_version
        return facts

    def load_stream(self, asset: str) -> bytes | None:
        """The state of an asset as of the last complete checkpoint, or ``None``; waits for the writer.

        A state of another bundle is none.

        Raises:
            SnapshotError: It cannot be read now.
        """
        files = self._files
        return self._ask(lambda: files.database.stream(asset, files.journal.bundle_sha256))

    def alerts(self, from_seq: int, limit: int) -> list[AlertRow]:
        """Alerts that are kept, delivered or not, in order, from ``from_seq`` on; waits for the writer.

        Raises:
            SnapshotError: They cannot be read now.
        """
        return self._ask(lambda: self._files.database.alerts(from_seq, limit))

    def waiting(self, after_seq: int, limit: int) -> list[OutboxRow]:
        """Rows of the outbox after a number, in order; waits for the writer.

        Raises:
            SnapshotError: They cannot be read now.
        """
        return self._ask(lambda: self._files.database.outbox(after_seq, limit))

    def _ask(self, ask: Callable[[], _T]) -> _T:
        question = Question(ask)
        if not self._writer.is_alive() or not self._line.ask(question):
            question.answer()
        try:
            return cast("_T", question.wait())
        except sqlite3.Error as error:
            raise SnapshotError(f"cannot read the state: {error}") from error

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write everything that waits, then let the folder go.

        Args:
            timeout_s: Longest time this may take, seconds.

        Returns:
            Whether everything was written.
        """
        self._writer.deadline = self._clock.monotonic() + timeout_s
        self._line.close()
        if self._writer.is_alive():
            self._writer.join(timeout_s + 1.0)
        ended = not self._writer.is_alive()
        clean = ended and (self._writer.clean or self._line.ticket == 0)
        if not clean:
            log.error(event("store.unwritten", problem=self.problem or "the disk does not answer"))
        if ended:
            self._files.close()
        return clean
