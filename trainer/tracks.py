"""A replay cut into what is judged one by one: one machine in one file, with its labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Manifest
from edge_lstm.contracts.score import StreamStatus
from edge_lstm.errors import HistoryError
from edge_lstm.times import format_time, parse_time
from trainer.data import History, Segment
from trainer.events import seconds_of
from trainer.labels import Labels
from trainer.replay import Replayed, reconstruction

__all__ = ["Track", "learned_note", "refuse_backward", "tracks_of"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """One machine in one file, as the device's detector saw it.

    Attributes:
        asset: The machine.
        source: The file's name.
        time_ns: (rows,) increasing.
        seconds: (rows,) how long each reading stands for.
        score: (rows,) higher is more anomalous.
        alarm: (rows,) True while an episode is open.
        warming: (rows,) True while no alert can open.
        labels: (rows,) True where anomalous; None without labels.
        actual: (rows, channels) channel units; NaN where missing.
        expected: (rows, channels) what the model rebuilt; NaN where it had nothing to rebuild.
    """

    asset: str
    source: str
    time_ns: Ints
    seconds: Floats
    score: Floats
    alarm: Bools
    warming: Bools
    labels: Bools | None
    actual: Floats
    expected: Floats

    @property
    def normal(self) -> Bools:
        """Readings that are not labelled; all of them without labels, (rows,)."""
        return np.ones(len(self.score), np.bool_) if self.labels is None else ~self.labels


def refuse_backward(history: History) -> None:
    """Refuse times that go back: the rows the device drops may be the labelled ones.

    Raises:
        HistoryError: A row comes after a later one in its file.
    """
    for one in history.files:
        if one.backward:
            machine = f" (machine '{one.asset}')" if one.asset else ""
            raise HistoryError(
                f"time goes back in {one.backward} of {one.rows} rows{machine}; "
                "this is the first row that is not later than the row before",
                path=one.source,
                row=one.first_left_out,
                expected="times that run on, as every reading left out would be missing in the figures",
                do="sort the file by time, or name another --time-column",
            )


def learned_note(manifest: Manifest, replayed: Replayed) -> list[str]:
    """A warning, where the times of a recording lie among those the bundle was trained on."""
    try:
        start, end = (parse_time(manifest.training.get(key, "")) for key in ("start", "end"))
    except ValueError:  # a bundle that does not say
        return []
    inside = sum(start <= score.time_ns <= end for score in replayed.scores)
    if not inside:
        return []
    return [
        (
            f"{inside} of {len(replayed.scores)} readings are from the time the bundle was trained on "
            f"({format_time(start)} to {format_time(end)}): figures on learned data flatter"
        )
    ]


def tracks_of(
    replayed: Replayed, history: History, manifest: Manifest, *, asset: str, labels: Labels | None
) -> list[Track]:
    """Cut a replay into tracks, ordered by machine and start; frames of commissioning are in none.

    Args:
        replayed: What the detector said.
        history: What it was shown.
        manifest: The bundle's facts.
        asset: Name of the machine where the recording names none.
        labels: What is known to be anomalous.

    Raises:
        HistoryError: A reading without a label, or all readings went into baselines.
    """
    by_asset: dict[str, list[int]] = {}
    for i, score in enumerate(replayed.scores):
        if score.progress is not None:  # learned from and not scored: nothing to judge
            continue
        by_asset.setdefault(score.asset, []).append(i)
    if replayed.scores and not by_asset:
        raise HistoryError(
            "no reading was scored, because no machine's scaling was learned to the end",
            expected="a recording longer than the baseline that is asked for",
            got=f"{replayed.readings} readings",
            do="give a smaller --commission, or see what replay says of the baseline",
        )
    tracks = []
    for name in sorted(by_asset):
        rows = np.array(by_asset[name])
        time_ns = np.array([replayed.scores[i].time_ns for i in rows], np.int64)
        segments = [one for one in history.segments if (one.asset or asset) == name]
        for first, some in _by_source(time_ns, segments):
            marks = None
            if labels is not None:
                marks = labels.at(first.asset, time_ns[some], period_s=manifest.grid.period_s)
            tracks.append(_track(replayed, rows[some], manifest, source=first.source, labels=marks))
    return tracks


def _by_source(time_ns: Ints, segments: list[Segment]) -> Iterator[tuple[Segment, Ints]]:
    """A segment of each file with the rows from that file; of two rows with one time the first counts."""
    files = {one.source: one for one in reversed(segments)}
    index = {source: i for i, source in enumerate(sorted(files, key=lambda s: int(files[s].time_ns[0])))}
    owner = np.full(len(time_ns), -1)
    for segment in segments:
        place = np.minimum(np.searchsorted(time_ns, segment.time_ns), len(time_ns) - 1)
        own = place[(time_ns[place] == segment.time_ns) & (owner[place] < 0)]
        owner[own] = index[segment.source]
    for source, i in index.items():
        rows = np.flatnonzero(owner == i)
        if len(rows):
            yield files[source], rows


def _track(replayed: Replayed, rows: Ints, manifest: Manifest, *, source: str, labels: Bools | None) -> Track:
    scores = [replayed.scores[i] for i in rows]
    status = np.array([str(s.status) for s in scores])
    time_ns = np.array([s.time_ns for s in scores], np.int64)
    actual = np.array([replayed.values[i] for i in rows])
    errors = np.array([s.errors for s in scores])
    grid, paused = manifest.grid, status == StreamStatus.PAUSED
    # A pause neither opens nor closes an episode: it goes on where the last scored reading left it.
    last = np.maximum.accumulate(np.where(paused, -1, np.arange(len(status))))
    alarm = (status[np.maximum(last, 0)] == StreamStatus.OPEN) & (last >= 0)
    return Track(
        asset=scores[0].asset,
        source=source,
        time_ns=time_ns,
        seconds=seconds_of(time_ns, period_s=grid.period_s, gap_after_s=grid.gap_after_s),
        score=np.array([s.score for s in scores]),
        alarm=alarm,
        warming=(status == StreamStatus.WARMING) | paused,
        labels=labels,
        actual=actual,
        expected=reconstruction(actual, errors, manifest.channels),
    )
