"""The streams of a detector: what is remembered of each, written down, let go and taken back."""

from __future__ import annotations

from collections.abc import Callable

from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import Commission
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.contracts.state import (
    SNAPSHOT_VERSION,
    AdmissionMemory,
    DetectorSnapshot,
    ResetReason,
    StreamSnapshot,
)
from edge_lstm.core.align import Aligner
from edge_lstm.core.commission import Commissioner, scaling_of
from edge_lstm.core.stream import Stream
from edge_lstm.core.streams import StreamTable
from edge_lstm.core.threshold import is_busy
from edge_lstm.errors import SnapshotError

__all__ = ["StreamMemory"]


class StreamMemory:
    """Every stream that is in memory, and how many are not.

    Args:
        manifest: The bundle's facts.
        sha256: Digest of the bundle file, held against snapshots.
        aligner: Makes memories of its kind.
        commissioner: The same.

    Attributes:
        fetch: Brings the memory of an asset that was evicted, or ``None`` when it was not;
            asked when an asset that is not in memory has a reading while some are away.
        away: Assets that were evicted; they count against the most that there may be.
        newcomers: How many new assets came of late.
    """

    def __init__(
        self, manifest: Manifest, *, sha256: str, aligner: Aligner, commissioner: Commissioner
    ) -> None:
        self.fetch: Callable[[str], StreamSnapshot | None] | None = None
        self.away = 0
        self.newcomers = AdmissionMemory()
        self._sha256, self._named = sha256, manifest.assets
        self._aligner, self._commissioner = aligner, commissioner
        self._table = StreamTable(manifest)
        self._streams: dict[str, Stream] = {}
        self._batches = self._clean = 0

    @property
    def assets(self) -> list[str]:
        """The assets in memory, in order of appearance."""
        return list(self._streams)

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

    def snapshot(self) -> DetectorSnapshot:
        """Everything remembered, to be written down at once (it shares memory with the detector)."""
        streams = [self.dump(asset) for asset in self._streams]
        return DetectorSnapshot(SNAPSHOT_VERSION, self._sha256, streams, self.newcomers)

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
        self.newcomers = snapshot.admission
        for saved in snapshot.streams:
            self._load(saved)

    def take_dirty(self) -> list[str]:
        """The assets in memory that may have changed since this was asked last."""
        since, self._clean = self._clean, self._batches
        return [asset for asset, stream in self._streams.items() if stream.used > since]

    def changed(self, asset: str) -> bool:
        """Whether an asset in memory may have changed since `take_dirty`."""
        return self._streams[asset].used > self._clean

    def rests(self, of: Stream | StreamSnapshot) -> bool:
        """Whether an asset makes no difference before its next reading: no episode open, nothing to wait for.

        Only such a one may be away: else the passing of time would lead to other events with it than
        without it, and a journal that is taken again to others than the first time.
        """
        return of.alarm.alert is None and self._aligner.rests(of.align)

    def coldest(self, count: int) -> list[str]:
        """Assets at rest whose last reading is longest ago, oldest first."""
        idle = [stream for stream in self._streams.values() if self.rests(stream)]
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

    def _use_learned(self, stream: Stream) -> bool:
        """Scale an asset as it was learned, if it was."""
        memory = stream.commission
        if memory is None or memory.told is None or not self._commissioner.is_done(memory):
            return False
        self._table.rescale(stream.asset, scaling_of(memory.told))
        return True
