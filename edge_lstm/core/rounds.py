"""A batch in rounds: in round k stands the k-th frame of each stream, so that a stream is in a round once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

import msgspec

from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import Commission
from edge_lstm.contracts.frame import Frame, QualityEvent
from edge_lstm.contracts.reading import Reject
from edge_lstm.contracts.score import Score
from edge_lstm.core.frames import FrameScorer, Wanted
from edge_lstm.core.page import Job, Page
from edge_lstm.core.stream import Stream

__all__ = ["Event", "Failed", "Rounds"]

_MOST = 256
"""Frames scored in one step: of more, the arrays leave the processor's cache and each takes twice as long."""

Event = Score | Alert | QualityEvent | Commission | Reject

Failed = Callable[[int, Exception], None]
"""Told the number of a reading and the fault of ours that it met."""


class Rounds:
    """Frames of one batch that wait to be scored, and what came of those that were.

    Args:
        scorer: Scores them.
        wanted: Says which scores to make; ``None`` is all.
        failed: Told of faults; the stream concerned then starts anew and the others go on as
            if nothing had been. ``None`` raises the fault.
    """

    def __init__(self, scorer: FrameScorer, wanted: Wanted | None, failed: Failed | None) -> None:
        self._scorer, self._wanted, self._failed = scorer, wanted, failed
        self._waiting: list[list[Job]] = []
        self._out: list[tuple[int, int, Event]] = []
        self._pages: list[Page] = []
        self._restarting: Stream | None = None

    def add(self, reading: int, item: int, stream: Stream, frame: Frame) -> None:
        """Have a frame scored, by and by."""
        place = stream.queued
        if place == len(self._waiting):
            self._waiting.append([])
        self._waiting[place].append((reading, item, stream, frame))
        stream.queued = place + 1

    def say(self, reading: int, item: int, event: Event) -> None:
        """Note an event that needs no scoring."""
        self._out.append((reading, item, event))

    def asks(self, stream: Stream, score: Score) -> bool:
        """Whether the score of a frame that is not scored by the model is wanted."""
        return self._wanted is None or bool(self._wanted((stream.asset,), (score.status,))[0])

    def events(self) -> list[tuple[int, Event]]:
        """Score what waits; every event with the number of its reading, in the order of one by one."""
        self.score()
        if self._pages:
            self._out += [(job[0], job[1], score) for job, score in self._scorer.scores(self._pages)]
            self._pages = []
        # Within one item of a reading events were noted in their order, and sorting keeps it.
        self._out.sort(key=itemgetter(0, 1))
        return [(reading, event) for reading, _, event in self._out]

    def score(self, *, restarting: Stream | None = None) -> None:
        """Score what waits.

        Args:
            restarting: The stream that starts anew after its frames that wait: its next tick
                is not that of the frame after them.
        """
        if not self._waiting:
            return
        self._restarting = restarting
        waiting, self._waiting = self._waiting, []
        for _, _, stream, _ in waiting[0]:
            stream.queued = 0
        for number, jobs in enumerate(waiting):
            later = waiting[number + 1 :]
            for start in range(0, len(jobs), _MOST):
                self._score(jobs[start : start + _MOST], later)

    def fail(self, reading: int, stream: Stream | None, error: Exception) -> None:
        """A fault outside of scoring: what waits is scored, then the stream starts anew."""
        self.score()
        self._report(reading, error)
        if stream is not None:
            stream.restart("command")

    def _score(self, jobs: Sequence[Job], later: Sequence[list[Job]]) -> None:
        try:
            done, paused = self._scorer.advance(jobs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the streams it does not concern go on
            if len(jobs) > 1:  # nothing has happened yet: one by one it shows whose fault it is
                for job in jobs:
                    self._score([job], later)
            else:
                self._give_up(jobs[0], error, later)
            return
        try:
            events, faults, page = self._scorer.tell(jobs, done, paused, self._wanted)
        except Exception as error:  # noqa: BLE001 - the states are advanced: none of these can be told again
            events, faults, page = [], [(job, error) for job in jobs], None
        self._out += [(job[0], job[1], event) for job, event in events]
        for job, fault in faults:
            self._give_up(job, fault, later)
        if page is not None:
            self._pages.append(page)

    def _give_up(self, job: Job, error: Exception, later: Sequence[list[Job]]) -> None:
        """Let a stream start anew after a frame: those of it that wait are its first ones."""
        reading, _, stream, frame = job
        self._report(reading, error)
        next_tick, before = stream.align.tick, frame.tick + 1
        for jobs in later:
            for place, (number, item, other, waiting) in enumerate(jobs):
                if other is stream:
                    frame = msgspec.structs.replace(waiting, tick=waiting.tick - before)
                    jobs[place] = (number, item, stream, frame)
        stream.restart("command")
        # After a gap the aligner counts anew, whatever was before it.
        stream.align.tick = next_tick if stream is self._restarting else max(0, next_tick - before)

    def _report(self, reading: int, error: Exception) -> None:
        if self._failed is None:
            raise error
        self._failed(reading, error)
