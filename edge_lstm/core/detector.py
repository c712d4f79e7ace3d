"""Wires the stages: readings in, scores and alerts out, for any number of assets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert, AlertModel
from edge_lstm.contracts.commission import Commission, CommissionConfig
from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.contracts.reading import Reading, Reject
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.contracts.state import (
    SNAPSHOT_VERSION,
    AdmissionMemory,
    AlarmMemory,
    AlignMemory,
    CommissionMemory,
    DetectorSnapshot,
    ResetReason,
    StreamSnapshot,
)
from edge_lstm.contracts.streams import StreamsConfig
from edge_lstm.core.admission import Admission
from edge_lstm.core.alerts import AlertWriter, severity_of
from edge_lstm.core.align import Aligner
from edge_lstm.core.backend import Backend
from edge_lstm.core.commission import Commissioner, scaling_of
from edge_lstm.core.normalize import Normalizer, normalizers
from edge_lstm.core.quality import QualityGate
from edge_lstm.core.scoring import Scorer
from edge_lstm.core.stepper import Stepper
from edge_lstm.core.streams import StreamTable
from edge_lstm.core.threshold import AlarmRule, Transition
from edge_lstm.core.when import ScoreWhen, scored_channels
from edge_lstm.errors import SnapshotError
from edge_lstm.times import NS

__all__ = ["Detector", "Event"]

Event = Score | Alert | QualityEvent | Commission | Reject

_SEVERITY_ORDER = ("warning", "minor", "major", "critical")


@dataclass(slots=True)
class _Stream:
    """What one asset carries besides its row in the table."""

    align: AlignMemory
    commission: CommissionMemory | None = None
    alarm: AlarmMemory = field(default_factory=AlarmMemory)
    faults: set[str] = field(default_factory=set)
    reset_ns: int = 0
    reset_reason: ResetReason = "start"


class Detector:
    """Scores each reading once, with the state of its asset. Pure: no clock, no sockets, no files.

    Args:
        manifest: The bundle's facts.
        backend: What runs the network.
        weights: Arrays of the linear members, where the bundle has such.
        sha256: Digest of the bundle file, said in alerts and held against snapshots.
        node: The device, said in alerts.
        alarm: What the site says over the bundle's calibrated numbers.
        commission: How assets that the bundle does not name are learned.
        streams: What is held to be a fault of a stream of readings.
        max_assets: Readings of more assets than this are rejected.
        replayed: Whether readings come from a recording; said in alerts.

    Raises:
        ConfigError: The site's rule ``score_when`` does not fit the model.
    """

    def __init__(  # noqa: PLR0913 - the parts and wishes of one detector
        self,
        manifest: Manifest,
        backend: Backend,
        *,
        sha256: str,
        node: str,
        weights: Mapping[str, NDArray[np.float64]] | None = None,
        alarm: AlarmOverrides | None = None,
        commission: CommissionConfig | None = None,
        streams: StreamsConfig | None = None,
        max_assets: int = 1000,
        replayed: bool = False,
    ) -> None:
        alarm, streams = alarm or AlarmOverrides(), streams or StreamsConfig()
        self.channels = manifest.channels
        self._sha256 = sha256
        self._warm_up, self._clip = manifest.grid.warm_up, manifest.scoring.clip
        self._update_every_ns = round(alarm.update_every_s * NS)
        self._scaling, self._scalings = normalizers(manifest.scaling, manifest.assets, clip=self._clip)
        self._admission = Admission(max_assets=max_assets, per_minute=streams.new_assets_per_minute)
        self._newcomers = AdmissionMemory()
        centre = manifest.scaling.centre
        self._aligner = Aligner(manifest.channels, manifest.grid, centre=centre, config=streams)
        hold = manifest.grid.hold_frames
        self._gate = QualityGate(manifest.channels, hold_frames=hold, flatline=streams.flatline)
        self._stepper = Stepper(manifest, backend, weights or {})
        self._scorer = Scorer(manifest.scoring, scored_channels(manifest.channels))
        self._columns = np.arange(len(manifest.channels))
        self._score_when = ScoreWhen(manifest, alarm)
        self._rule = AlarmRule(manifest.threshold, alarm)

        def model() -> AlertModel:
            return AlertModel(manifest.id, manifest.version, sha256, backend.name)

        self._writer = AlertWriter(manifest.channels, node=node, model=model, replayed=replayed)
        self._commissioner = Commissioner(manifest, commission or CommissionConfig(), node=node, model=model)
        self._table = StreamTable(manifest)
        self._streams: dict[str, _Stream] = {}

    @property
    def assets(self) -> list[str]:
        """The assets seen so far, in order of appearance."""
        return list(self._streams)

    def push(self, reading: Reading) -> list[Event]:
        """Take one reading; everything it leads to, in order.

        Bad readings come back as `Reject`; nothing is raised for data.
        """
        stream = self._streams.get(reading.asset)
        if stream is None:
            stranger = self._aligner.stranger(reading)
            if stranger is not None:  # made-up names must not use up the places of real machines
                return [stranger]
            refused = self._admission.refuse(self._newcomers, reading, known=len(self._streams))
            if refused:
                return [*refused]
            stream = self._add(reading.asset)
        events: list[Event] = []
        for item in self._aligner.push(stream.align, reading):
            events.extend(self._follow(stream, item))
        return events

    def tick(self, now_ns: int, since_ns: int = 0) -> list[Event]:
        """What is due when nothing comes: readings that waited long enough, and sensors fallen silent.

        Args:
            now_ns: The time, of the clock that gives times of arrival.
            since_ns: Since when readings could have come, of the same clock.
        """
        events: list[Event] = []
        for asset, stream in self._streams.items():
            for item in self._aligner.tick(stream.align, asset, now_ns, since_ns):
                events.extend(self._follow(stream, item))
        return events

    def flush(self) -> list[Event]:
        """Close the frames that still wait for channels: the end of a recording."""
        events: list[Event] = []
        for asset, stream in self._streams.items():
            for item in self._aligner.flush(stream.align, asset):
                events.extend(self._follow(stream, item))
        return events

    def reset(self, asset: str, *, reason: ResetReason = "command") -> None:
        """Forget an asset's hidden and cell state; it warms up again. Unknown assets are ignored."""
        if asset in self._streams:
            self._streams[asset].align.tick = 0
            self._streams[asset].reset_reason = reason

    def open_alerts(self) -> list[Alert]:
        """The last alert of every open episode."""
        return [stream.alarm.alert for stream in self._streams.values() if stream.alarm.alert]

    def commissions(self) -> list[Commission]:
        """What was told last of every asset that is or was commissioned."""
        memories = [stream.commission for stream in self._streams.values()]
        return [memory.told for memory in memories if memory is not None and memory.told is not None]

    def snapshot(self) -> DetectorSnapshot:
        """Everything remembered, to be written down at once (it shares memory with the detector)."""
        streams = [
            StreamSnapshot(
                asset,
                self._table.dump(asset),
                s.align,
                s.alarm,
                sorted(s.faults),
                s.reset_ns,
                s.reset_reason,
                s.commission,
            )
            for asset, s in self._streams.items()
        ]
        return DetectorSnapshot(SNAPSHOT_VERSION, self._sha256, streams, self._newcomers)

    def restore(self, snapshot: DetectorSnapshot) -> None:
        """Take back what `snapshot` gave; only on a detector that has seen nothing.

        Raises:
            SnapshotError: It is of another bundle or another version.
        """
        if snapshot.version != SNAPSHOT_VERSION:
            raise SnapshotError(
                "saved states are of another version",
                expected=str(SNAPSHOT_VERSION),
                got=str(snapshot.version),
            )
        if snapshot.bundle_sha256 != self._sha256:
            raise SnapshotError(
                "saved states belong to another bundle",
                expected=self._sha256[:16],
                got=snapshot.bundle_sha256[:16],
            )
        self._newcomers = snapshot.admission
        for saved in snapshot.streams:
            stream = self._add(saved.asset)
            self._table.load(saved.asset, saved.arrays)
            stream.align, stream.alarm, stream.faults = saved.align, saved.alarm, set(saved.faults)
            stream.reset_ns, stream.reset_reason = saved.reset_ns, saved.reset_reason
            stream.commission = self._commissioner.resume(saved.asset, saved.commission)
            self._use_learned(stream.commission)

    def _add(self, asset: str) -> _Stream:
        self._table.add(asset)
        stream = self._streams[asset] = _Stream(self._aligner.fresh(), self._commissioner.fresh(asset))
        return stream

    def _follow(self, stream: _Stream, item: Frame | QualityEvent | Reject) -> Iterator[Event]:
        if not isinstance(item, Frame):
            if isinstance(item, QualityEvent) and item.reason is QualityReason.GAP:
                stream.reset_reason = "gap"
            yield item
            return
        yield from self._gate.check(item, stream.align, stream.faults)
        if stream.commission is not None and not self._commissioner.is_done(stream.commission):
            yield from self._commission(stream.commission, item)
            return
        score, transition = self._score(stream, item)
        yield score
        alert = self._alert(stream, item, score, transition)
        if alert is not None:
            yield alert

    def _commission(self, memory: CommissionMemory, frame: Frame) -> Iterator[Event]:
        """Learn from a frame in place of scoring it; frames that would not be scored do not count."""
        counts = self._score_when.holds(frame)
        told = self._commissioner.take(memory, frame) if counts else None
        status = StreamStatus.COMMISSIONING if counts else StreamStatus.PAUSED
        yield self._commissioner.unscored(memory, frame, status, threshold=self._rule.level)
        if told is not None:
            yield told
        if self._use_learned(memory):
            self.reset(frame.asset, reason="commission")

    def _use_learned(self, memory: CommissionMemory | None) -> bool:
        """Scale an asset as it was learned, if it was."""
        if memory is None or memory.told is None or not self._commissioner.is_done(memory):
            return False
        self._scalings[memory.told.asset] = Normalizer(scaling_of(memory.told), clip=self._clip)
        return True

    def _score(self, stream: _Stream, frame: Frame) -> tuple[Score, Transition]:
        """Advance the model by one frame and score it; the state advances for every frame."""
        asset, first = frame.asset, frame.tick == 0
        if first:
            self._table.reset(asset)
            stream.reset_ns = frame.time_ns
        scaling = self._scalings.get(asset, self._scaling)
        smoothed = self._table.view("smoothed", asset)  # (heads, channels)
        z = scaling.forward(frame.values)  # (channels,)
        said = self._stepper.step(z, self._table.states(asset), self._table.view("linear", asset))
        expected = self._scorer.expectation(said, z, self._table.view("forecast", asset))
        paused = not self._score_when.holds(frame)
        skip = self._scorer.silent(first=first) | np.asarray(frame.masked) | paused
        residual = z - expected
        self._scorer.update(self._table.view("bias", asset), smoothed, residual, skip=skip)
        value, parts = self._scorer.fuse(smoothed)
        warming = frame.tick < self._warm_up
        transition = "none" if paused else self._rule.step(stream.alarm, value, warming=warming)
        is_open = transition == "open" or (stream.alarm.alert is not None and transition != "close")
        status = StreamStatus.OPEN if is_open else StreamStatus.WARMING if warming else StreamStatus.NORMAL
        status = StreamStatus.PAUSED if paused else status
        loudest = self._scorer.most_surprised(residual, skip=skip)
        shown = scaling.backward(expected[loudest, self._columns])
        rebuilt = scaling.backward(expected[self._scorer.primary])
        score = Score(
            asset,
            frame.tick,
            frame.time_ns,
            value,
            self._rule.level,
            status,
            tuple((parts.sum(axis=0) / value if value > 0 else parts.sum(axis=0)).tolist()),
            tuple(shown.tolist()),
            tuple((np.asarray(frame.values) - rebuilt).tolist()),
        )
        return score, transition

    def _alert(self, stream: _Stream, frame: Frame, score: Score, transition: Transition) -> Alert | None:
        memory, last = stream.alarm, stream.alarm.alert
        reset = (stream.reset_ns, stream.reset_reason)
        if transition == "open":
            memory.started_ns = frame.time_ns
            memory.alert = self._writer.write("open", frame, score, memory, reset=reset)
        elif transition == "close":
            memory.alert = None
            return self._writer.write("close", frame, score, memory, reset=reset)
        elif last is not None and self._worth_an_update(memory, last, frame, score):
            memory.alert = self._writer.write("update", frame, score, memory, reset=reset)
        else:
            return None
        memory.alert_ns = frame.time_ns
        return memory.alert

    def _worth_an_update(self, memory: AlarmMemory, last: Alert, frame: Frame, score: Score) -> bool:
        """Worse at once; otherwise no more often than the site allows."""
        now = severity_of(memory.peak / score.threshold)
        worse = _SEVERITY_ORDER.index(now) > _SEVERITY_ORDER.index(last.severity)
        return worse or frame.time_ns - memory.alert_ns >= self._update_every_ns
