"""A replay against labels: every figure of `trainer.evaluation`, from the device's own scores."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_lstm.bundle import Bundle
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.errors import HistoryError
from edge_lstm.times import format_time
from trainer.calibrate import MONTH_S, Tail
from trainer.evaluation import (
    Calibration,
    Data,
    Evaluation,
    Events,
    Model,
    Ranking,
    Readings,
    Reconstruction,
    RecordingFigures,
)
from trainer.events import (
    DAY_S,
    MERGE,
    EventCounts,
    ReadingCounts,
    count_events,
    count_readings,
    false_runs,
    merged_runs,
    ratio,
)
from trainer.metrics import pooled_errors
from trainer.tracks import Track
from trainer.vus import WINDOW, average_precision, vus_pr

__all__ = ["evaluate"]

Bools = NDArray[np.bool_]

_CURVE_POINTS = 60
_RESTLESS = 0.2


def evaluate(
    bundle: Bundle,
    tracks: Sequence[Track],
    *,
    level: float,
    readings: int,
    labels: str | None = None,
    window: int = WINDOW,
    step: int = 1,
    notes: Sequence[str] = (),
) -> Evaluation:
    """All figures of a replay.

    Args:
        bundle: What was replayed.
        tracks: What it said, one machine in one file each.
        level: The threshold in force.
        readings: Readings that were pushed, the rejected ones too.
        labels: Where the labels were read; None without labels.
        window: Widest buffer of VUS-PR, readings.
        step: From one buffer width to the next.
        notes: What the reader should know.

    Raises:
        HistoryError: Nothing was scored, or no reading that was scored is labelled.
    """
    manifest = bundle.manifest
    if not tracks:
        raise HistoryError("no reading was scored", do="check the channels with edge-lstm replay")
    every = [_one(track, window=window, step=step) for track in tracks]
    if labels is not None and not any(one.anomalous for one in every):
        raise HistoryError(
            "no labelled reading was scored, so there is nothing to find",
            column=labels,
            do="check the order of the files: the device leaves out readings that come late",
        )
    counts = [_count(track) for track in tracks]
    by_reading = None if labels is None else _readings(tracks)
    return Evaluation(
        bundle=Model(manifest.id, manifest.version, bundle.sha256),
        data=_data(tracks, labels, readings),
        ranking=None if labels is None else _ranking(every, window=window, step=step),
        events=_events(tracks, counts, judged=labels is not None),
        readings=by_reading,
        calibration=None if labels is None else _calibration(tracks, manifest, level),
        reconstruction=_reconstruction(tracks, manifest, judged=labels is not None),
        recordings=tuple(every),
        notes=(*_restless(by_reading), *notes),
    )


def _restless(readings: Readings | None) -> list[str]:
    """One long episode touches every event, and counting events alone would call that perfect."""
    rate = None if readings is None else readings.false_alarm_rate
    if rate is None or rate < _RESTLESS:
        return []
    return [
        (
            f"an alarm is up in {100 * rate:.3g} % of the readings that are not labelled: one that hardly "
            "rests finds every event, so judge by VUS-PR and the false alarm rate and not by the events"
        )
    ]


def _count(track: Track) -> EventCounts:
    return count_events(~track.normal, track.alarm, track.time_ns, track.seconds)


def _one(track: Track, *, window: int, step: int) -> RecordingFigures:
    episodes = len(merged_runs(track.alarm)[0])
    figures = RecordingFigures(
        asset=track.asset, source=track.source, readings=len(track.score), episodes=episodes
    )
    if track.labels is None:
        return figures
    counts, some = _count(track), bool(track.labels.any())
    return msgspec.structs.replace(
        figures,
        anomalous=int(track.labels.sum()),
        vus_pr=vus_pr(track.labels, track.score, window=window, step=step) if some else None,
        auc_pr=average_precision(track.labels, track.score) if some else None,
        labelled=counts.labelled,
        found=counts.found,
        false_episodes=counts.false,
    )


def _data(tracks: Sequence[Track], labels: str | None, readings: int) -> Data:
    scored, normal = (sum(int(m.sum()) for m in masks) for masks in _masks(tracks))
    judged = labels is not None
    return Data(
        labels=labels,
        recordings=len(tracks),
        assets=len({track.asset for track in tracks}),
        readings=readings,
        scored=scored,
        warming=sum(int(track.warming.sum()) for track in tracks),
        normal=normal if judged else None,
        anomalous=scored - normal if judged else None,
        normal_s=sum(float(t.seconds[t.normal].sum()) for t in tracks) if judged else None,
        watched_s=sum(float(track.seconds.sum()) for track in tracks),
        start=format_time(min(int(track.time_ns[0]) for track in tracks)),
        end=format_time(max(int(track.time_ns[-1]) for track in tracks)),
    )


def _masks(tracks: Sequence[Track]) -> tuple[list[Bools], list[Bools]]:
    """All readings, and those not labelled."""
    return [np.ones(len(track.score), np.bool_) for track in tracks], [track.normal for track in tracks]


def _ranking(every: Sequence[RecordingFigures], *, window: int, step: int) -> Ranking:
    """Means over recordings; pooling scores of different machines would rank machines, too."""
    judged = [one for one in every if one.vus_pr is not None]
    return Ranking(
        vus_pr=float(np.mean([one.vus_pr for one in judged])),
        auc_pr=float(np.mean([one.auc_pr for one in judged])),
        base_rate=float(np.mean([(one.anomalous or 0) / one.readings for one in judged])),
        recordings=len(judged),
        window=window,
        step=step,
    )


def _events(tracks: Sequence[Track], counts: Sequence[EventCounts], *, judged: bool) -> Events:
    total = sum(counts, EventCounts())
    episodes = total.true + total.false
    watched = sum(float(track.seconds.sum()) for track in tracks)
    events = Events(
        merge_readings=MERGE,
        episodes=episodes,
        episodes_per_1000_readings=ratio(1000 * episodes, sum(len(track.score) for track in tracks)),
        episodes_per_day=ratio(episodes, watched / DAY_S),
    )
    if not judged:
        return events
    delay = total.median_delay
    return msgspec.structs.replace(
        events,
        labelled=total.labelled,
        found=total.found,
        true_episodes=total.true,
        false_episodes=total.false,
        precision=total.precision,
        recall=total.recall,
        f1=total.f1,
        false_episodes_per_1000_readings=ratio(1000 * total.false, total.normal),
        false_episodes_per_day=ratio(total.false, total.normal_s / DAY_S),
        median_delay_readings=delay[0] if delay else None,
        median_delay_s=delay[1] if delay else None,
    )


def _readings(tracks: Sequence[Track]) -> Readings:
    total = sum((count_readings(~track.normal, track.alarm) for track in tracks), ReadingCounts())
    return Readings(
        true_positive=total.true_positive,
        false_positive=total.false_positive,
        false_negative=total.false_negative,
        true_negative=total.true_negative,
        precision=total.precision,
        recall=total.recall,
        f1=total.f1,
        false_alarm_rate=total.false_alarm_rate,
        missed_alarm_rate=total.missed_alarm_rate,
    )


def _reconstruction(tracks: Sequence[Track], manifest: Manifest, *, judged: bool) -> Reconstruction:
    names = [channel.name for channel in manifest.channels]

    def over(masks: Sequence[Bools]) -> dict[str, dict[str, float | None]]:
        pairs = [(t.actual[mask], t.expected[mask]) for t, mask in zip(tracks, masks, strict=True)]
        return pooled_errors(
            [(np.where(np.isnan(expected), np.nan, actual), expected) for actual, expected in pairs], names
        )

    every, normal = _masks(tracks)
    if not judged:
        return Reconstruction(over(every))
    return Reconstruction(over(every), over(normal), over([~mask for mask in normal]))


# ----------------------------------------------------------------------------------------------- calibration


def _calibration(tracks: Sequence[Track], manifest: Manifest, level: float) -> Calibration:
    """Clusters above each level that touch no event, as `trainer.calibrate` counts them, a month."""
    tail, threshold = _tail(manifest), manifest.threshold
    seconds = sum(float(t.seconds[t.normal & ~t.warming].sum()) for t in tracks)
    months = seconds / MONTH_S
    levels = _levels(tracks, tail, level)
    counted = [_false_clusters(tracks, one) for one in levels]
    at_level = _false_clusters(tracks, level)

    def expected(one: float) -> float | None:
        if one == threshold.level:
            return threshold.expected_per_month
        if tail is None or one < tail.start:
            return None
        return tail.per_reading(one) * MONTH_S / manifest.grid.period_s

    return Calibration(
        level=level,
        budget_per_month=threshold.budget_per_month,
        expected_per_month=expected(level),
        counted=at_level,
        months=months,
        counted_per_month=ratio(at_level, months),
        levels=tuple(levels),
        counted_at_levels=tuple(count / months if months else 0.0 for count in counted),
        expected_at_levels=tuple(expected(one) for one in levels),
    )


def _tail(manifest: Manifest) -> Tail | None:
    """The tail of normal scores that the bundle's level rests on; bundles of old do not say."""
    try:
        return msgspec.convert(manifest.metrics.get("tail"), Tail)
    except msgspec.ValidationError:
        return None


def _levels(tracks: Sequence[Track], tail: Tail | None, level: float) -> list[float]:
    """Levels from where the tail begins to past the highest normal score."""
    normal = np.concatenate([track.score[track.normal & ~track.warming] for track in tracks])
    if not len(normal):
        return [level]
    low = tail.start if tail is not None else float(np.quantile(normal, 0.9))
    high = max(level, float(normal.max())) * 1.05
    return [float(one) for one in np.linspace(min(low, level), high, _CURVE_POINTS)]


def _false_clusters(tracks: Sequence[Track], level: float) -> int:
    return sum(false_runs((track.score > level) & ~track.warming, ~track.normal) for track in tracks)
