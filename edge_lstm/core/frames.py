"""Frames to scores and alerts, a frame each of any number of streams at once.

A frame is told the same, bit for bit, in every batch as alone: everything here goes element by
element or adds up along the last axes of one stream, so that no stream's numbers depend on how
many others stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.frame import Frame
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.contracts.state import AlarmMemory
from edge_lstm.core.alerts import AlertWriter, severity_of
from edge_lstm.core.backend import Backend
from edge_lstm.core.page import Job, Page, Scored, join
from edge_lstm.core.scoring import Scorer
from edge_lstm.core.stepper import Stepper
from edge_lstm.core.streams import StreamTable
from edge_lstm.core.threshold import AlarmRule, Transition, is_busy
from edge_lstm.core.when import ScoreWhen, scored_channels
from edge_lstm.times import NS

__all__ = ["FrameScorer", "Wanted"]

Floats = NDArray[np.float64]

_SEVERITY_ORDER = ("warning", "minor", "major", "critical")


Wanted = Callable[[Sequence[str], Sequence[StreamStatus]], Sequence[bool]]
"""Told the asset and the status of scored frames; says which `Score` to make. Each frame comes once."""


class FrameScorer:
    """Scores frames of streams whose states are in a table.

    Args:
        manifest: The bundle's facts.
        backend: What runs the network.
        weights: Arrays of the linear members.
        alarm: What the site says over the bundle's numbers.
        table: The states.
        writer: Writes the alerts.

    Attributes:
        score_when: Which frames are scored.
        level: The score above which a frame is anomalous.

    Raises:
        ConfigError: The site's rule ``score_when`` does not fit the model.
    """

    def __init__(
        self,
        manifest: Manifest,
        backend: Backend,
        weights: Mapping[str, Floats],
        alarm: AlarmOverrides,
        *,
        table: StreamTable,
        writer: AlertWriter,
    ) -> None:
        self.score_when = ScoreWhen(manifest, alarm)
        self._rule = AlarmRule(manifest.threshold, alarm)
        self.level = self._rule.level
        self._table, self._writer = table, writer
        self._stepper = Stepper(manifest, backend, weights)
        self._scorer = Scorer(manifest.scoring, scored_channels(manifest.channels))
        self._low, self._high = np.asarray(-manifest.scoring.clip), np.asarray(manifest.scoring.clip)
        self._warm_up = manifest.grid.warm_up
        self._update_every_ns = round(alarm.update_every_s * NS)
        self._columns = np.arange(len(manifest.channels))
        self._clear = (False,) * len(manifest.channels)

    # ---------------------------------------------------------------------------------- the step

    def advance(self, jobs: Sequence[Job]) -> tuple[Scored, NDArray[np.bool_] | None]:
        """Advance the model by a frame each of some streams; the state advances for every frame.

        When the network cannot be run, the states of several streams are as they were; that
        of a single one may be half made.

        Args:
            jobs: Their frames; a stream is there once.

        Returns:
            What came of it, and whether the rule says not to score, (frames,), ``None`` for
            none of them.
        """
        table, scorer, frames = self._table, self._scorer, [job[3] for job in jobs]
        rows = np.array([job[2].row for job in jobs], np.intp)
        first = self._restart(jobs)
        flat = chain.from_iterable([frame.values for frame in frames])
        values = np.fromiter(flat, np.float64).reshape(len(jobs), -1)
        masks = [frame.masked for frame in frames]
        masked = None if masks.count(self._clear) == len(masks) else np.array(masks)
        paused = self.score_when.pauses(values, masked)
        taken = table.take(rows)
        z = self._forward(values, rows)
        if len(jobs) == 1:
            said = self._stepper.step(z[0], [state[0] for state in taken.states], taken.linear[0])[None]
        else:
            said = self._stepper.step_batch(z, taken.states, taken.linear)
        expected = scorer.expectation(said, z, taken.forecast)
        residual = z[:, None] - expected
        skip = self._skip(first, masked, paused)
        scorer.update(taken.bias, taken.smoothed, residual, skip=skip)
        levels = scorer.levels(taken.smoothed)
        smoothed = taken.smoothed.copy() if len(jobs) == 1 else taken.smoothed
        table.put(rows, taken)
        scores = scorer.fuse(levels)
        return Scored(rows, values, expected, residual, skip, smoothed, levels, scores), paused

    def _restart(self, jobs: Sequence[Job]) -> NDArray[np.intp] | None:
        """Reset the states of streams that start anew; 1 for each of these, (frames,), or ``None``."""
        ticks = [frame.tick for _, _, _, frame in jobs]
        if 0 not in ticks:
            return None
        for _, _, stream, frame in jobs:
            if frame.tick == 0:
                self._table.reset(stream.asset)
                stream.reset_ns = frame.time_ns
        return np.array([tick == 0 for tick in ticks], np.intp)

    def _forward(self, values: Floats, rows: NDArray[np.intp]) -> Floats:
        """Channel units to model units, (frames, channels), as `Normalizer.forward`."""
        with np.errstate(over="ignore"):  # what is too large for a double is cut off all the same
            z = values - self._table.centre.take(rows, axis=0)
            z /= self._table.scale.take(rows, axis=0)
        return z.clip(self._low, self._high, out=z)

    def _skip(
        self,
        first: NDArray[np.intp] | None,
        masked: NDArray[np.bool_] | None,
        paused: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_] | None:
        if first is None and masked is None and paused is None and self._scorer.whole:
            return None
        skip = self._scorer.silent(first=False) if first is None else self._scorer.silences(first)
        if masked is not None:
            skip = skip | masked[:, None]
        return skip if paused is None else skip | paused[:, None, None]

    # ---------------------------------------------------------------------------------- what is told

    def tell(
        self,
        jobs: Sequence[Job],
        done: Scored,
        paused: NDArray[np.bool_] | None,
        wanted: Wanted | None,
    ) -> tuple[list[tuple[Job, Score | Alert]], list[tuple[Job, Exception]], Page | None]:
        """Decide about the alarms, and write alerts with the scores that belong to them.

        Args:
            jobs: What `advance` was given.
            done: What it gave.
            paused: The same.
            wanted: Says which scores to make; ``None`` is all.

        Returns:
            Alerts and their scores; faults met in writing them; of which other frames a score
            is wanted, for `scores`.
        """
        statuses = self._calm(jobs, paused)
        alerting = self._decide(jobs, done, statuses)
        page = Page(jobs, done, statuses)
        if wanted is None:
            asked = list(range(len(jobs)))
        else:
            answers = wanted([job[2].asset for job in jobs], statuses)
            asked = [i for i, answer in enumerate(answers) if answer]
        out: list[tuple[Job, Score | Alert]] = []
        faults: list[tuple[Job, Exception]] = []
        if alerting:
            concerned = self.scores([page.pick(list(alerting))])
            for (i, transition), (job, score) in zip(alerting.items(), concerned, strict=True):
                if i in asked:
                    out.append((job, score))
                try:
                    out.append((job, self._alert(job, score, transition)))
                except Exception as error:  # noqa: BLE001 - the other streams' alerts are written all the same
                    faults.append((job, error))
            asked = [i for i in asked if i not in alerting]
        return out, faults, page.pick(asked) if asked else None

    def _calm(self, jobs: Sequence[Job], paused: NDArray[np.bool_] | None) -> list[StreamStatus]:
        """Where the streams stand that have no episode."""
        ticks, warm_up = [frame.tick for _, _, _, frame in jobs], self._warm_up
        statuses = [StreamStatus.NORMAL] * len(jobs)
        if min(ticks) < warm_up:
            statuses = [StreamStatus.WARMING if tick < warm_up else StreamStatus.NORMAL for tick in ticks]
        if paused is not None:
            for i in np.flatnonzero(paused).tolist():
                statuses[i] = StreamStatus.PAUSED
        return statuses

    def _decide(
        self, jobs: Sequence[Job], done: Scored, statuses: list[StreamStatus]
    ) -> dict[int, Transition]:
        """Step the alarm rule of the streams for which it is not at rest; who is to get an alert."""
        # At rest: nothing is counted, nothing is open, and the score is not above the level.
        stirred = ((done.scores > self.level) | self._table.busy.take(done.rows)).nonzero()[0].tolist()
        alerting: dict[int, Transition] = {}
        for i in stirred:
            _, _, stream, frame = jobs[i]
            memory, status = stream.alarm, statuses[i]
            transition: Transition = "none"
            if status is not StreamStatus.PAUSED:
                warming = status is StreamStatus.WARMING
                transition = self._rule.step(memory, done.scores.item(i), warming=warming)
                self._table.busy[stream.row] = transition == "open" or is_busy(memory)
                if transition == "open" or (memory.alert is not None and transition != "close"):
                    statuses[i] = StreamStatus.OPEN
            if transition in ("open", "close") or self._worth_an_update(memory, frame):
                alerting[i] = transition
        return alerting

    def scores(self, pages: Sequence[Page]) -> Iterator[tuple[Job, Score]]:
        """The scores of some frames; of several rounds at once, since a call costs more than a frame."""
        scorer, level = self._scorer, self.level
        silent = scorer.silent(first=False)
        page = join(pages, silent)
        done = page.done
        centre, scale = self._table.centre.take(done.rows, axis=0), self._table.scale.take(done.rows, axis=0)
        shares = scorer.parts(done.smoothed, done.levels)
        shares /= np.where(done.scores > 0, done.scores, 1.0)[:, None]
        loudest = scorer.most_surprised(done.residual, skip=silent if done.skip is None else done.skip)
        shown = done.expected[np.arange(len(page.jobs))[:, None], loudest, self._columns]
        shown = shown * scale + centre
        errors = done.values - (done.expected[:, scorer.primary] * scale + centre)
        told = (done.scores.tolist(), shares.tolist(), shown.tolist(), errors.tolist())
        for job, status, score, share, one, error in zip(page.jobs, page.statuses, *told, strict=True):
            frame = job[3]
            facts = (frame.asset, frame.tick, frame.time_ns, score, level, status)
            yield job, Score(*facts, tuple(share), tuple(one), tuple(error))

    def _alert(self, job: Job, score: Score, transition: Transition) -> Alert:
        _, _, stream, frame = job
        memory, reset = stream.alarm, (stream.reset_ns, stream.reset_reason)
        if transition == "close":
            memory.alert = None
            self._table.busy[stream.row] = is_busy(memory)
            return self._writer.write("close", frame, score, memory, reset=reset)
        if transition == "open":
            memory.started_ns = frame.time_ns
        alert = self._writer.write(
            "open" if transition == "open" else "update", frame, score, memory, reset=reset
        )
        memory.alert, memory.alert_ns = alert, frame.time_ns
        return alert

    def _worth_an_update(self, memory: AlarmMemory, frame: Frame) -> bool:
        """Worse at once; otherwise no more often than the site allows."""
        last = memory.alert
        if last is None:
            return False
        now = severity_of(memory.peak / self.level)
        worse = _SEVERITY_ORDER.index(now) > _SEVERITY_ORDER.index(last.severity)
        return worse or frame.time_ns - memory.alert_ns >= self._update_every_ns
