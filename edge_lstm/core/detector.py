"""Wires the stages: readings in, scores and alerts out, for any number of assets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import AlertModel
from edge_lstm.contracts.commission import CommissionConfig
from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.contracts.reading import Reading, Reject
from edge_lstm.contracts.score import StreamStatus
from edge_lstm.contracts.state import AlignMemory, CommissionMemory
from edge_lstm.contracts.streams import StreamsConfig
from edge_lstm.core.admission import Admission
from edge_lstm.core.alerts import AlertWriter
from edge_lstm.core.align import Aligner
from edge_lstm.core.backend import Backend
from edge_lstm.core.commission import Commissioner
from edge_lstm.core.frames import FrameScorer, Wanted
from edge_lstm.core.memory import StreamMemory
from edge_lstm.core.quality import QualityGate
from edge_lstm.core.rounds import Event, Failed, Rounds
from edge_lstm.core.stream import Stream
from edge_lstm.errors import SnapshotError

__all__ = ["Detector", "Event"]


class Detector(StreamMemory):
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

    Attributes:
        channels: The model's channels.
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
        streams: StreamsConfig | None = None,
        max_assets: int = 1000,
        replayed: bool = False,
    ) -> None:
        alarm, streams = alarm or AlarmOverrides(), streams or StreamsConfig()

        def model() -> AlertModel:
            return AlertModel(manifest.id, manifest.version, sha256, backend.name)

        config = commission or CommissionConfig()
        super().__init__(
            manifest,
            sha256=sha256,
            aligner=Aligner(manifest.channels, manifest.grid, centre=manifest.scaling.centre, config=streams),
            commissioner=Commissioner(manifest, config, node=node, model=model),
        )
        self.channels = manifest.channels
        self.first_seen: list[tuple[int, str]] = []
        self._admission = Admission(max_assets=max_assets, per_minute=streams.new_assets_per_minute)
        hold = manifest.grid.hold_frames
        self._gate = QualityGate(manifest.channels, hold_frames=hold, flatline=streams.flatline)
        self._scorer = FrameScorer(
            manifest,
            backend,
            weights or {},
            alarm,
            table=self._table,
            writer=AlertWriter(manifest.channels, node=node, model=model, replayed=replayed),
        )

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
                    if isinstance(found, list):
                        for said in found:
                            rounds.say(number, 0, said)
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
            except SnapshotError:
                raise  # an asset at rest cannot be read: no fault of the reading, which must come again
            except Exception as error:  # noqa: BLE001 - it concerns this stream alone
                rounds.fail(number, stream, error)
        return rounds.events()

    def flush(self, *, wanted: Wanted | None = None) -> list[Event]:
        """Close the frames that still wait for channels: the end of a recording."""
        return self._sweep(self._aligner.flush, wanted) or []

    def tick(
        self,
        now_ns: int,
        since_ns: int = 0,
        *,
        wanted: Wanted | None = None,
        failed: Failed | None = None,
    ) -> list[Event] | None:
        """What is due when nothing comes: readings that waited long enough, and sensors fallen silent.

        Args:
            now_ns: The time, of the clock that gives times of arrival.
            since_ns: Since when readings could have come, of the same clock.
            wanted: Says which scores to make; ``None`` is all.
            failed: As for `push_many`; the number is the asset's place in `assets`.

        Returns:
            The events, or ``None`` when nothing was due, and nothing has changed.
        """

        def due(memory: AlignMemory, asset: str) -> Iterable[Frame | QualityEvent | Reject]:
            return self._aligner.tick(memory, asset, now_ns, since_ns)

        return self._sweep(due, wanted, failed)

    def stale(self, asset: str, now_ns: int) -> list[Event]:
        """The source of an asset has said that it is dead: a silence that needs no waiting for.

        Args:
            asset: The machine; one that is not in memory is ignored.
            now_ns: The time, of the clock that gives times of arrival.
        """
        stream = self._streams.get(asset)
        said = None if stream is None else self._aligner.stale(stream.align, asset, now_ns)
        if stream is None or said is None:
            return []
        stream.used = self._batches = self._batches + 1
        return [said]

    def _sweep(
        self,
        make: Callable[[AlignMemory, str], Iterable[Frame | QualityEvent | Reject]],
        wanted: Wanted | None,
        failed: Failed | None = None,
    ) -> list[Event] | None:
        """Go on with what the aligner makes of every asset without a reading; by asset, in order."""
        rounds, changed = Rounds(self._scorer, wanted, failed), False
        self._batches += 1
        for number, (asset, stream) in enumerate(self._streams.items()):
            for item, made in enumerate(make(stream.align, asset)):
                stream.used, changed = self._batches, True
                self._follow(rounds, number, item, stream, made)
        return [event for _, event in rounds.events()] if changed else None

    def _stranger(self, number: int, reading: Reading) -> Stream | list[Reject | QualityEvent]:
        """An asset that is not in memory: brought back, or new, or turned away."""
        saved = self.fetch(reading.asset) if self.fetch is not None and self.away else None
        if saved is not None:
            self.adopt(saved)
            return self._streams[reading.asset]
        unusable = self._aligner.stranger(reading)
        if unusable is not None:  # made-up names must not use up the places of real machines
            return [unusable]
        known = len(self._streams) + self.away
        refused = self._admission.refuse(self.newcomers, reading, known=known)
        if refused:
            return refused
        self.first_seen.append((number, reading.asset))
        return self._add(reading.asset)

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
                rounds.score(restarting=stream)
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
