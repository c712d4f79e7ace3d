"""Recorded data through the device's own detector, as fast as it goes, without a broker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from operator import itemgetter
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm.backends import load_backend
from edge_lstm.bundle import Bundle
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import Commission, CommissionConfig
from edge_lstm.contracts.manifest import Channel, Manifest
from edge_lstm.contracts.reading import Reading, Reject
from edge_lstm.contracts.score import Score
from edge_lstm.core.backend import Backend
from edge_lstm.core.detector import Detector, Event
from edge_lstm.errors import OperatorError
from edge_lstm.selftest import verify
from edge_lstm.times import format_time
from trainer.batches import batches
from trainer.data import History
from trainer.report import AssetRecording, Recording, episodes_of, render_replay

__all__ = [
    "Replayed",
    "asset_recordings",
    "reconstruction",
    "replay",
    "replay_lines",
    "replay_notes",
    "write_alerts",
    "write_html",
    "write_scores",
    "writing",
]


Floats = NDArray[np.float64]


@dataclass(slots=True)
class Replayed:
    """What a replay brought out.

    Attributes:
        scores: One a frame, in order of time within each segment.
        alerts: In order.
        values: The reading of each frame, channel units, in manifest order.
        commissions: What was told of assets that were commissioned, in order.
        rejects: Reason to count.
        readings: Readings pushed.
    """

    scores: list[Score] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)
    commissions: list[Commission] = field(default_factory=list)
    rejects: dict[str, int] = field(default_factory=dict)
    readings: int = 0


def replay(
    bundle: Bundle,
    history: History,
    *,
    node: str,
    alarm: AlarmOverrides,
    asset: str,
    commission: CommissionConfig | None = None,
    backend: Backend | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> Replayed:
    """Push every reading of a history through a fresh detector.

    Args:
        bundle: A verified bundle.
        history: The recording, with the bundle's channels.
        node: Name of the device in alerts.
        alarm: What the site says over the bundle's numbers.
        asset: Name of the machine where the recording names none.
        commission: How assets that the bundle does not name are learned; ``None`` is not at all.
        backend: What runs the network; ``None`` is the fastest that runs here.
        progress: Told the share that is done.
    """
    backend = load_backend(bundle) if backend is None else backend
    if all(tensor.dtype == "int8" for tensor in bundle.manifest.inputs):  # golden vectors are of int8
        verify(bundle, backend)
    names = sorted({segment.asset for segment in history.segments})
    detector = Detector(
        bundle.manifest,
        backend,
        sha256=bundle.sha256,
        weights=bundle.weights(),
        node=node,
        alarm=alarm,
        commission=commission,
        max_assets=len(names),
        replayed=True,
    )
    total = sum(len(segment.time_ns) for segment in history.segments)
    done, found = 0, list[tuple[int, Event, tuple[float, ...]]]()
    for batch in batches(history, asset):
        for number, event in detector.push_many([reading for _, reading in batch]):
            place, reading = batch[number]
            found.append((place, event, _values(reading, history.channels, of=event)))
        done += len(batch)
        progress(done / total)
    out = Replayed(readings=done)
    for _, event, values in sorted(found, key=itemgetter(0)):  # as if one by one
        _sort(out, event, values)
    return out


def _values(reading: Reading, channels: tuple[str, ...], *, of: Event) -> tuple[float, ...]:
    """What a score is shown beside; nothing for other events."""
    if not isinstance(of, Score):
        return ()
    values = (reading.values[channel] for channel in channels)
    return tuple([np.nan if value is None else value for value in values])


def _sort(out: Replayed, event: Event, values: tuple[float, ...]) -> None:
    if isinstance(event, Score):
        out.scores.append(event)
        out.values.append(values)
    elif isinstance(event, Alert):
        out.alerts.append(event)
    elif isinstance(event, Commission):
        out.commissions.append(event)
    elif isinstance(event, Reject):
        out.rejects[event.reason] = out.rejects.get(event.reason, 0) + 1


def replay_lines(replayed: Replayed) -> list[str]:
    """What a person wants to know of a replay: episodes, those still open, counts."""
    lines = [
        f"{alert.time} {alert.type:<5} {alert.severity:<8} {alert.text}"
        for alert in replayed.alerts
        if alert.type != "update"
    ]
    last = {alert.id: alert for alert in replayed.alerts}
    lines += [
        f"{alert.asset}: the episode of {alert.started} is still open at the end"
        for alert in last.values()
        if alert.type != "close"
    ]
    rejected = "".join(f", {count} {reason}" for reason, count in sorted(replayed.rejects.items()))
    return [
        *lines,
        f"{replayed.readings} readings, {len(replayed.scores)} scores, {len(last)} episodes{rejected}",
    ]


def replay_notes(bundle: Bundle, history: History, replayed: Replayed) -> list[str]:
    """What a person would not expect, a sentence each."""
    known = bundle.manifest.assets
    strangers = sorted({score.asset for score in replayed.scores} - set(known)) if known else []
    told = {one.asset: one for one in replayed.commissions}
    learning = {score.asset for score in replayed.scores if score.progress is not None}
    notes = [
        f"'{name}' is not in the bundle; it is scored with the common scaling"
        for name in strangers
        if name not in learning
    ]
    notes += [_commission_note(name, told.get(name)) for name in sorted(learning)]
    left_out = sum(one.duplicate + one.backward for one in history.files)
    return notes + ([f"{left_out} rows left out: not later than the row before"] if left_out else [])


def _commission_note(asset: str, told: Commission | None) -> str:
    if told is not None and told.status == "done":
        after = f"; {told.refused} unsteady before that" if told.refused else ""
        return f"'{asset}' was learned from {told.readings} readings, {told.began} to {told.time}{after}"
    why = f"; its last baseline was refused: {told.reason}" if told is not None and told.reason else ""
    return f"'{asset}' was not scored: its own scaling was still being learned at the end{why}"


def write_scores(path: Path, replayed: Replayed, channels: tuple[str, ...], *, with_channels: bool) -> None:
    """Scores as CSV, Parquet or JSON lines, by the file's ending.

    Columns: time (RFC 3339), asset, score, threshold, state (warming, normal, open, paused,
    commissioning, where the score is empty), and with
    ``with_channels`` a column ``error_<channel>`` each (actual minus reconstructed, channel units).

    Raises:
        OperatorError: The ending is none of these, or the file cannot be written.
    """
    writers = {
        ".csv": "write_csv",
        ".parquet": "write_parquet",
        ".jsonl": "write_ndjson",
        ".ndjson": "write_ndjson",
    }
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise OperatorError(
            f"cannot tell the format of {path.name}",
            expected=f"an ending among {', '.join(writers)}",
            got=path.suffix or "none",
        )
    scores = replayed.scores
    columns: dict[str, list[str] | list[float] | list[float | None]] = {
        "time": [format_time(s.time_ns) for s in scores],
        "asset": [s.asset for s in scores],
        "score": [None if s.progress is not None else s.score for s in scores],
        "threshold": [s.threshold for s in scores],
        "state": [str(s.status) for s in scores],
    }
    if with_channels:
        errors = np.array([s.errors for s in scores]).reshape(len(scores), len(channels))
        columns |= {f"error_{name}": errors[:, i].tolist() for i, name in enumerate(channels)}
    types = {"time": pl.String, "asset": pl.String, "score": pl.Float64, "state": pl.String}
    frame = pl.DataFrame(columns, schema_overrides=types)
    with writing(path):
        content = BytesIO()  # polars has errors of its own for a full disk
        getattr(frame, writer)(content)
        path.write_bytes(content.getvalue())


def write_alerts(path: Path, replayed: Replayed) -> None:
    """The very payloads a subscriber would have received, as JSON lines.

    Raises:
        OperatorError: The file cannot be written.
    """
    with writing(path):
        path.write_bytes(b"".join(msgspec.json.encode(alert) + b"\n" for alert in replayed.alerts))


def asset_recordings(replayed: Replayed, manifest: Manifest) -> tuple[AssetRecording, ...]:
    """A replay machine by machine, as the pages show it; by name."""
    episodes = episodes_of(replayed.alerts)
    rows: dict[str, list[int]] = {}
    for i, score in enumerate(replayed.scores):
        rows.setdefault(score.asset, []).append(i)
    assets = []
    for name in sorted(rows):
        scores = [replayed.scores[i] for i in rows[name]]
        actual = np.array([replayed.values[i] for i in rows[name]])
        assets.append(
            AssetRecording(
                asset=name,
                time_ns=np.array([s.time_ns for s in scores], np.int64),
                actual=actual,
                expected=reconstruction(actual, np.array([s.errors for s in scores]), manifest.channels),
                score=np.array([s.score for s in scores]),
                threshold=np.array([s.threshold for s in scores]),
                status=[str(s.status) for s in scores],
                episodes=episodes.get(name, ()),
            )
        )
    return tuple(assets)


def reconstruction(actual: Floats, errors: Floats, channels: Sequence[Channel]) -> Floats:
    """What the model rebuilt, channel units, (rows, channels).

    NaN where the reading is missing or outside of its valid range: the device held the value
    before, and the error is of that one.

    Args:
        actual: Readings, (rows, channels).
        errors: Reconstruction errors of the frames, same shape.
        channels: The bundle's.
    """
    low = np.array([-np.inf if one.valid_min is None else one.valid_min for one in channels])
    high = np.array([np.inf if one.valid_max is None else one.valid_max for one in channels])
    with np.errstate(over="ignore"):  # readings near the largest float
        return np.where((actual >= low) & (actual <= high), actual - errors, np.nan)


def write_html(path: Path, replayed: Replayed, bundle: Bundle, *, title: str) -> None:
    """A page that opens offline: readings, expectation, score, threshold, episodes.

    Raises:
        OperatorError: The file cannot be written.
    """
    manifest = bundle.manifest
    meta = {"model": f"{manifest.id} {manifest.version}", "sha256": bundle.sha256[:16]}
    page = render_replay(
        Recording(
            title=title,
            channels=manifest.channels,
            assets=asset_recordings(replayed, manifest),
            meta=meta,
            gap_after_s=manifest.grid.gap_after_s,
        )
    )
    with writing(path):
        path.write_text(page, encoding="utf-8")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says while a file is written into one line.

    Raises:
        OperatorError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise OperatorError(
            f"cannot write {path}: {error.strerror}", do="check the folder and free space"
        ) from error
