"""An evaluation block by block: how far its figures depend on which part of the recording was seen.

Nothing is trained anew, and the state is carried from block to block: the blocks of a
recording that ran through once (`trainer.folds` says why they are blocks).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge_lstm.errors import HistoryError
from edge_lstm.times import format_time
from trainer.calibrate import MONTH_S
from trainer.evaluation import Block, Blocks, Errors, Figure
from trainer.events import (
    DAY_S,
    EventCounts,
    ReadingCounts,
    count_events,
    count_readings,
    false_runs,
    ratio,
)
from trainer.folds import spread
from trainer.metrics import pooled_errors
from trainer.tracks import Track
from trainer.vus import average_precision, vus_pr

__all__ = ["LEAST_ROWS", "cut_tracks", "evaluate_blocks"]

LEAST_ROWS = 60
"""Readings of a block, over all machines: with fewer a rate says nothing."""

_ERRORS = ("mse", "rmse", "mae", "r2")


def evaluate_blocks(
    tracks: Sequence[Track], channels: Sequence[str], *, folds: int, level: float, window: int, step: int
) -> Blocks:
    """Every figure of an evaluation as mean and spread over blocks in time.

    Args:
        tracks: What the detector said, one machine in one file each.
        channels: Names.
        folds: Blocks.
        level: The threshold in force.
        window: Widest buffer of VUS-PR, readings.
        step: From one buffer width to the next.

    Raises:
        HistoryError: The recording is too short for so many blocks.
    """
    blocks = cut_tracks(tracks, folds)
    each = [_block(block, level=level, window=window, step=step) for block in blocks]
    errors = [_errors(block, channels) for block in blocks]
    return Blocks(
        tuple(each),
        {name: _over([one.figures[name] for one in each]) for name in each[0].figures},
        {
            channel: {
                key: _over([one[channel][key] for one in errors]) for key in ("mse", "rmse", "mae", "r2")
            }
            for channel in channels
        },
    )


def cut_tracks(tracks: Sequence[Track], folds: int) -> list[list[Track]]:
    """Blocks of about equal numbers of readings, at the same times for all machines.

    An event or an episode across a boundary is cut, and counts in both blocks.

    Raises:
        HistoryError: A block would have fewer than `LEAST_ROWS` readings.
    """
    cut = _cut(tracks, folds)
    if _suffices(cut):
        return cut
    most = next((k for k in range(folds - 1, 1, -1) if _suffices(_cut(tracks, k))), 0)
    raise HistoryError(
        f"the recording is too short for {folds} blocks",
        expected=f"{LEAST_ROWS} readings a block or more",
        got=f"{sum(len(track.score) for track in tracks)} readings",
        do=f"--folds {most} is possible" if most else "leave --folds out, or give a longer recording",
    )


def _cut(tracks: Sequence[Track], folds: int) -> list[list[Track]]:
    times = np.sort(np.concatenate([track.time_ns for track in tracks]))
    inner = times[np.linspace(0, len(times), folds + 1).round().astype(int)[1:-1]]
    blocks: list[list[Track]] = [[] for _ in range(folds)]
    for track in tracks:
        edges = [0, *np.searchsorted(track.time_ns, inner).tolist(), len(track.time_ns)]
        for block, start, stop in zip(blocks, edges, edges[1:], strict=False):
            if stop > start:
                block.append(_rows(track, slice(start, stop)))
    return blocks


def _rows(track: Track, some: slice) -> Track:
    return replace(
        track,
        time_ns=track.time_ns[some],
        seconds=track.seconds[some],
        score=track.score[some],
        alarm=track.alarm[some],
        warming=track.warming[some],
        labels=None if track.labels is None else track.labels[some],
        actual=track.actual[some],
        expected=track.expected[some],
    )


def _suffices(blocks: Sequence[Sequence[Track]]) -> bool:
    return all(sum(len(track.score) for track in block) >= LEAST_ROWS for block in blocks)


def _block(tracks: Sequence[Track], *, level: float, window: int, step: int) -> Block:
    judged = tracks[0].labels is not None
    counts = sum((count_events(~t.normal, t.alarm, t.time_ns, t.seconds) for t in tracks), EventCounts())
    readings = sum(len(track.score) for track in tracks)
    watched = sum(float(track.seconds.sum()) for track in tracks)
    figures: dict[str, float | None] = {}
    if judged:
        figures |= _found(tracks, counts, window=window, step=step)
        figures |= _false(tracks, counts, level)
    else:
        episodes = counts.true + counts.false
        figures["episodes_per_1000_readings"] = ratio(1000 * episodes, readings)
        figures["episodes_per_day"] = ratio(episodes, watched / DAY_S)
    return Block(
        start=format_time(min(int(track.time_ns[0]) for track in tracks)),
        end=format_time(max(int(track.time_ns[-1]) for track in tracks)),
        readings=readings,
        labelled=counts.labelled if judged else None,
        figures=figures,
    )


def _found(
    tracks: Sequence[Track], counts: EventCounts, *, window: int, step: int
) -> dict[str, float | None]:
    """What needs an event to be found; all null in a block without one."""
    pairs = [(t.labels, t.score) for t in tracks if t.labels is not None and t.labels.any()]
    by_reading = sum((count_readings(~t.normal, t.alarm) for t in tracks), ReadingCounts())
    delay = counts.median_delay
    figures: dict[str, float | None] = {
        "vus_pr": _mean([vus_pr(labels, score, window=window, step=step) for labels, score in pairs]),
        "auc_pr": _mean([average_precision(labels, score) for labels, score in pairs]),
        "event_recall": counts.recall,
        "event_precision": counts.precision,
        "event_f1": counts.f1,
        "median_delay_readings": delay[0] if delay else None,
        "median_delay_s": delay[1] if delay else None,
        "reading_precision": by_reading.precision,
        "reading_recall": by_reading.recall,
        "reading_f1": by_reading.f1,
        "missed_alarm_rate": by_reading.missed_alarm_rate,
    }
    return figures if counts.labelled else dict.fromkeys(figures)


def _false(tracks: Sequence[Track], counts: EventCounts, level: float) -> dict[str, float | None]:
    by_reading = sum((count_readings(~t.normal, t.alarm) for t in tracks), ReadingCounts())
    clusters = sum(false_runs((t.score > level) & ~t.warming, ~t.normal) for t in tracks)
    settled_s = sum(float(t.seconds[t.normal & ~t.warming].sum()) for t in tracks)
    return {
        "false_episodes_per_1000_readings": ratio(1000 * counts.false, counts.normal),
        "false_episodes_per_day": ratio(counts.false, counts.normal_s / DAY_S),
        "false_alarm_rate": by_reading.false_alarm_rate,
        "false_alarms_counted_per_month": ratio(clusters, settled_s / MONTH_S),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _errors(tracks: Sequence[Track], channels: Sequence[str]) -> Errors:
    pairs = [(np.where(np.isnan(t.expected), np.nan, t.actual), t.expected) for t in tracks]
    return pooled_errors(pairs, channels)


def _over(values: Sequence[float | None]) -> Figure:
    over = spread(values)
    return Figure(over["mean"], over["spread"], over["blocks"])
