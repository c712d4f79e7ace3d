"""Wires the stages: readings in, scores and alerts out, for any number of assets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert, AlertModel
from edge_lstm.contracts.commission import Commission, CommissionConfig
from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.score import StreamStatus
from edge_lstm.contracts.state import (
    SNAPSHOT_VERSION,
    AlignMemory,
    CommissionMemory,
    DetectorSnapshot,
    ResetReason,
    StreamSnapshot,
)
from edge_lstm.core.alerts import AlertWriter
from edge_lstm.core.align import Aligner
from edge_lstm.core.backend import Backend
from edge_lstm.core.commission import Commissioner, scaling_of
from edge_lstm.core.frames import FrameScorer, Wanted
from edge_lstm.core.quality import QualityGate
from edge_lstm.core.rounds import Event, Failed, Rounds
from edge_lstm.core.stream import Stream
from edge_lstm.core.streams import StreamTable
from edge_lstm.core.threshold import is_busy
from edge_lstm.errors import SnapshotError

__all__ = ["Detector", "Event"]


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
        max_assets: Readings of more assets than this are rejected.
        replayed: Whether readings come from a recording; said in alerts.

    Attributes:
        fetch: Brings the memory of an asset that was evicted, or ``None`` when it was not;
            asked when an asset that is not in memory has a reading while some are away.
        away: Assets that were evicted; they count against ``max_assets``.
        first_seen: Assets that the newest batch brought, each with the number of its first reading.

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
        max_assets: int = 1000,
        replayed: bool = False,
    ) -> None:
        alarm = alarm or AlarmOverrides()
        self.channels = manifest.channels
        self.fetch: Callable[[str], StreamSnapshot | None] | None = None
        self.away = 0
        self.first_seen: list[tuple[int, str]] = []
        self._sha256, self._max_assets = sha256, max_assets
        self._named = manifest.assets
        self._aligner = Aligner(manifest.channels, manifest.grid, centre=manifest.scaling.centre)
        self._gate = QualityGate(manifest.channels, hold_frames=manifest.grid.hold_frames)

        def model() -> AlertModel:
            return AlertModel(manifest.id, manifest.version, sha256, backend.name)

        writer = AlertWriter(manifest.channels, node=node, model=model, replayed=replayed)
        self._commissioner = Commissioner(manifest, commission or CommissionConfig(), node=node, model=model)
        self._table = StreamTable(manifest)
        self._scorer = FrameScorer(manifest, backend, weights or {}, alarm, table=self._table, writer=writer)
        self._streams: dict[str, Stream] = {}
        self._batches = self._clean = 0

    @property
    def assets(self) -> list[str]:
        """The assets in memory, in order of appearance."""
        return list(self._streams)

    # ---------------------------------------------------------------------------------- readings

    def push(self, reading: Reading) -> list[Event]:
        """Take one reading; everything it leads to, in order.

        Bad readings come back as `Reject`; nothing is raised for data.
        """
        return [event for _, event in self.push_many((reading,))]

    def push_many(
        self, readings: Sequence[Reading], *, wanted: Wanted | None = None, failed: Failed | None = None
    ) -> list[tuple[int, Event]]:
        """Take readings of any assets; the outcome is that of one after the other, bit for bit.

        Args:
            readings: In the order in which they came.
            wanted: Says which scores to make; ``None`` is all. An alert needs no score of its own.
            failed: Told which reading met a fault of ours; its asset then starts anew (reason
                ``command``) and all else goes on. ``None`` raises the fault, and then no frame
                of the batch that came after it is scored.

        Returns:
            Each event with the number of its reading, in order.
        """
        rounds, gate, push = Rounds(self._scorer, wanted, failed), self._gate, self._aligner.push
        self._batches += 1
        self.first_seen = []
        streams, batch = self._streams, self._batches
        for number, reading in enumerate(readings):
            stream, item = streams.get(reading.asset), 0
            try:
                if stream is None:
                    found = self._stranger(number, reading)
                    if isinstance(found, Reject):
                        rounds.say(number, 0, found)
                        continue
                    stream = found
                stream.used = batch
                for made in push(stream.align, reading):
                    if type(made) is Frame and stream.commission is None:  # nearly all
                        for event in gate.check(made, stream.align, stream.faults):
                            rounds.say(number, item, event)
                        rounds.add(number, item, stream, made)
                    else:
                        self._follow(rounds, number, item, stream, made)
                    item += 1
            except Exception as error:  # noqa: BLE001 - it concerns this stream alone
                rounds.fail(number, stream, error)
        return rounds.events()

    def flush(self, *, wanted: Wanted | None = None) -> list[Event]:
        """Close the frames that still wait for channels: the end of a recording."""
        return self._sweep(self._aligner.flush, wanted)

    def reset(self, asset: str, *, reason: ResetReason = "command") -> None:
        """Forget an asset's hidden and cell state; it warms up again. Unknown assets are ignored."""
        stream = self._streams.get(asset)
        if stream is not None:
            stream.restart(reason)
            stream.used = self._batches = self._batches + 1

    def open_alerts(self) -> list[Alert]:
        """The last alert of every open episode."""
        return [stream.alarm.alert for stream in self._streams.values() if stream.alarm.alert]

    def commissions(self) -> list[Commission]:
        """What was told last of every asset that is or was commissioned."""
        memories = [stream.commission for stream in self._streams.values()]
        return [memory.told for memory in memories if memory is not None and memory.told is not None]

    # ---------------------------------------------------------------------------------- memory

    def snapshot(self) -> DetectorSnapshot:
        """Everything remembered, to be written down at once (it shares memory with the detector)."""
        return DetectorSnapshot(SNAPSHOT_VERSION, self._sha256, [self.dump(asset) for asset in self._streams])

    def dump(self, asset: str) -> StreamSnapshot:
        """What is remembered of one asset in memory, to be written down at once."""
        s = self._streams[asset]
        faults, arrays = sorted(s.faults), self._table.dump(asset)
        return StreamSnapshot(
            asset, arrays, s.align, s.alarm, faults, s.reset_ns, s.reset_reason, s.commission
        )

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
        for saved in snapshot.streams:
            self._load(saved)

    def take_dirty(self) -> list[str]:
        """The assets in memory that may have changed since this was asked last."""
        since, self._clean = self._clean, self._batches
        return [asset for asset, stream in self._streams.items() if stream.used > since]

    def changed(self, asset: str) -> bool:
        """Whether an asset in memory may have changed since `take_dirty`."""
        return self._streams[asset].used > self._clean

    def coldest(self, count: int) -> list[str]:
        """Assets whose last reading is longest ago, oldest first; none with an episode open."""
        idle = [stream for stream in self._streams.values() if stream.alarm.alert is None]
        return [stream.asset for stream in sorted(idle, key=lambda stream: stream.used)[:count]]

    def evict(self, asset: str) -> StreamSnapshot:
        """Let go of an asset; `adopt` brings it back as it was. Its row is given to another.

        Raises:
            KeyError: It is not in memory.
        """
        saved = self.dump(asset)
        self._forget(asset)
        self.away += 1
        return saved

    def adopt(self, saved: StreamSnapshot) -> None:
        """Take back an asset that `evict` gave, or another detector of the same bundle.

        Raises:
            ValueError: It is in memory already.
            SnapshotError: It does not fit the model.
        """
        if saved.asset in self._streams:
            raise ValueError(f"asset '{saved.asset}' is in memory already")
        self._load(saved)
        self.away = max(0, self.away - 1)

    # ---------------------------------------------------------------------------------- inside

    def _sweep(
        self,
        make: Callable[[AlignMemory, str], Iterable[Frame | QualityEvent | Reject]],
        wanted: Wanted | None,
    ) -> list[Event]:
        """Go on with what the aligner makes of every asset without a reading; by asset, in order."""
        rounds = Rounds(self._scorer, wanted, None)
        self._batches += 1
        for number, (asset, stream) in enumerate(self._streams.items()):
            for item, made in enumerate(make(stream.align, asset)):
                stream.used = self._batches
                self._follow(rounds, number, item, stream, made)
        return [event for _, event in rounds.events()]

    def _stranger(self, number: int, reading: Reading) -> Stream | Reject:
        """An asset that is not in memory: brought back, or new, or turned away."""
        saved = self.fetch(reading.asset) if self.fetch is not None and self.away else None
        if saved is not None:
            self.adopt(saved)
            return self._streams[reading.asset]
        unusable = self._aligner.stranger(reading)
        if unusable is not None:  # made-up names must not use up the places of real machines
            return unusable
        if len(self._streams) + self.away >= self._max_assets:
            detail = f"max_assets is {self._max_assets}"
            return Reject(RejectReason.TOO_MANY_ASSETS, reading.asset, detail, reading.time_ns)
        self.first_seen.append((number, reading.asset))
        return self._add(reading.asset)

    def _add(self, asset: str) -> Stream:
        row = self._table.add(asset)
        if asset in self._named:
            self._table.rescale(asset, self._named[asset])
        stream = Stream(asset, row, self._aligner.fresh(), self._commissioner.fresh(asset))
        self._streams[asset] = stream
        return stream

    def _forget(self, asset: str) -> None:
        self._table.remove(asset)
        del self._streams[asset]

    def _load(self, saved: StreamSnapshot) -> None:
        stream = self._add(saved.asset)
        try:
            self._table.load(saved.asset, saved.arrays)
            stream.commission = self._commissioner.resume(saved.asset, saved.commission)
        except SnapshotError:
            self._forget(saved.asset)
            raise
        stream.align, stream.alarm, stream.faults = saved.align, saved.alarm, set(saved.faults)
        stream.reset_ns, stream.reset_reason = saved.reset_ns, saved.reset_reason
        self._table.busy[stream.row] = is_busy(stream.alarm)
        self._use_learned(stream)

    def _follow(
        self, rounds: Rounds, number: int, item: int, stream: Stream, made: Frame | QualityEvent | Reject
    ) -> None:
        """Go on with what the aligner made of a reading."""
        if isinstance(made, Frame):
            for event in self._gate.check(made, stream.align, stream.faults):
                rounds.say(number, item, event)
            if stream.commission is None or self._commissioner.is_done(stream.commission):
                rounds.add(number, item, stream, made)
            else:
                self._commission(rounds, number, item, stream, stream.commission, made)
            return
        if isinstance(made, QualityEvent) and made.reason is QualityReason.GAP:
            if stream.queued:  # alerts of frames before this one tell of the reset before this one
                rounds.score()
            stream.reset_reason = "gap"
        rounds.say(number, item, made)

    def _commission(
        self,
        rounds: Rounds,
        number: int,
        item: int,
        stream: Stream,
        memory: CommissionMemory,
        frame: Frame,
    ) -> None:
        """Learn from a frame in place of scoring it; frames that would not be scored do not count."""
        counts = self._scorer.score_when.holds(frame)
        told = self._commissioner.take(memory, frame) if counts else None
        status = StreamStatus.COMMISSIONING if counts else StreamStatus.PAUSED
        score = self._commissioner.unscored(memory, frame, status, threshold=self._scorer.level)
        if rounds.asks(stream, score):
            rounds.say(number, item, score)
        if told is not None:
            rounds.say(number, item, told)
        if self._use_learned(stream):
            stream.restart("commission")

    def _use_learned(self, stream: Stream) -> bool:
        """Scale an asset as it was learned, if it was."""
        memory = stream.commission
        if memory is None or memory.told is None or not self._commissioner.is_done(memory):
            return False
        self._table.rescale(stream.asset, scaling_of(memory.told))
        return True
