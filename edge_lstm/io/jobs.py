"""What the writer is asked to do, and the line in which it waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_lstm.clock import Clock
from edge_lstm.io.rows import OutboxRow

__all__ = ["CLOSING_PAUSE_S", "Append", "Checkpoint", "Job", "Line", "Post", "Question"]

CLOSING_PAUSE_S = 0.05
_MOST_BYTES = 1 << 20


@dataclass(slots=True)
class Append:
    """Blocks for the journal."""

    blocks: list[bytes]
    size: int
    written: bool = False


@dataclass(slots=True)
class Post:
    """Rows for the outbox."""

    rows: list[OutboxRow]


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint; ``rows`` are those of the outbox that are in memory, for one that is full."""

    meta: bytes
    streams: Sequence[tuple[str, bytes]]
    gone: Sequence[str]
    bundle_sha256: str
    full: bool
    rows: Sequence[OutboxRow]


Job = Append | Post | Checkpoint


class Question:
    """Something to be read by the writer, because the connection is its own."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask, self._done = ask, threading.Event()
        self._answer: object = None
        self._error: Exception | None = None

    def answer(self) -> None:
        """In the writer's thread."""
        try:
            self._answer = self._ask()
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
            self._error = error
        self._done.set()

    def wait(self) -> object:
        """In the thread of whoever asked.

        Raises:
            Exception: What went wrong.
        """
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._answer


class Line:
    """Jobs in order, with tickets; neighbours of one kind are done together.

    Args:
        clock: Time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._jobs: deque[tuple[int, Job]] = deque()
        self._questions: deque[Question] = deque()
        self._nudged = False
        self.closing = False
        self.ended = False
        self.ticket = 0
        self.queued_bytes = 0

    def add(self, job: Job) -> int:
        """Put a job at the end; its ticket."""
        with self._condition:
            self.ticket += 1
            last = self._jobs[-1][1] if self._jobs else None
            if isinstance(job, Append):
                self.queued_bytes += job.size
            if isinstance(job, Append) and isinstance(last, Append) and last.size + job.size <= _MOST_BYTES:
                last.blocks.extend(job.blocks)
                last.size += job.size
                self._jobs[-1] = (self.ticket, last)
            elif isinstance(job, Post) and isinstance(last, Post):
                last.rows.extend(job.rows)
                self._jobs[-1] = (self.ticket, last)
            else:
                self._jobs.append((self.ticket, job))
            self._condition.notify()
            return self.ticket

    @property
    def waiting(self) -> bool:
        """Whether there are jobs."""
        return bool(self._jobs)

    def ask(self, question: Question) -> bool:
        """Put a question before all jobs; False when nobody is there to answer any more."""
        with self._condition:
            if not self.ended:
                self._questions.append(question)
                self._condition.notify()
            return not self.ended

    def nudge(self) -> None:
        """Let the writer look at the time."""
        with self._condition:
            self._nudged = True
            self._condition.notify()

    def close(self) -> None:
        """There will be no more jobs."""
        with self._condition:
            self.closing = True
            self._condition.notify()

    def end(self) -> None:
        """There will be no more answers."""
        with self._condition:
            self.ended = True
            waiting, self._questions = self._questions, deque()
        for question in waiting:
            question.answer()

    # -------------------------------------------------------------------------------- the writer's side

    def next(self, patience_s: float | None) -> tuple[int, Job] | None:
        """Wait for a job and take it; ``None`` when the time is up, or after `close` when there is none."""
        deadline = None if patience_s is None else self._clock.monotonic() + patience_s
        while True:
            with self._condition:
                while not self._questions:
                    left_s = self._left_s(deadline)
                    if self._nudged or (left_s is not None and left_s <= 0):
                        self._nudged = False
                        return self._take()
                    self._condition.wait(left_s)
                asked, self._questions = self._questions, deque()
            for question in asked:
                question.answer()

    def _left_s(self, deadline: float | None) -> float | None:
        """How long to wait, seconds; ``None`` is for ever."""
        if self._jobs or self.closing:
            return 0.0
        return None if deadline is None else deadline - self._clock.monotonic()

    def _take(self) -> tuple[int, Job] | None:
        """The first job, if there is one."""
        if not self._jobs:
            return None
        ticket, job = self._jobs.popleft()
        if isinstance(job, Append):
            self.queued_bytes -= job.size
        return ticket, job

    def pause(self, seconds: float) -> None:
        """Wait, and answer questions meanwhile; a job that cannot be done stays the next."""
        deadline = self._clock.monotonic() + seconds
        while True:
            with self._condition:
                left_s = deadline - self._clock.monotonic()
                if not self._questions and left_s > 0:
                    self._condition.wait(left_s)
                asked, self._questions = self._questions, deque()
            for question in asked:
                question.answer()
            if left_s <= 0 or (self.closing and seconds > CLOSING_PAUSE_S):
                return
