"""Everything that must survive, as a function of what was written down and of nothing else.

The journal holds what came in, in order; this turns it into states, counts and numbered
publications. No clock is read here, so the same journal gives the same result bit for bit,
which is what makes recovery possible (the state machine approach: Schneider, ACM Computing
Surveys 22(4), 1990; redo from a checkpoint: Mohan et al., ARIES, ACM TODS 17(1), 1992).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.state import SNAPSHOT_VERSION, AdmissionMemory, StreamSnapshot
from edge_lstm.engine import Engine
from edge_lstm.io.counters import Counters
from edge_lstm.io.record import Control
from edge_lstm.io.rows import OutboxRow
from edge_lstm.io.store import Store
from edge_lstm.io.transport import Message, Publication
from edge_lstm.redelivery import Redelivery

__all__ = ["VERSIONS", "Decided", "Meta", "StateMachine"]

META_VERSION = 1
VERSIONS = (META_VERSION, SNAPSHOT_VERSION)
"""Of what a checkpoint holds: the engine's part, and a stream's."""

Record = Message | Control

_ENCODER = msgspec.msgpack.Encoder()


class Meta(msgspec.Struct, kw_only=True):
    """What a checkpoint holds besides the streams.

    Attributes:
        versions: Of this schema, and of the streams'.
        saved_ns: When it was made, nanoseconds since 1970-01-01 UTC.
        bundle_sha256: Digest of the bundle that the states belong to.
        counters: What has been counted and numbered.
        redelivery: Memory of `edge_lstm.redelivery.Redelivery`.
        filters: Topic filters that the broker remembers of us.
        forgetful: See `edge_lstm.engine.Engine`.
        alerts: The last alert of every open episode: closed in order if the states cannot be used.
        told: Assets of which the broker keeps a commissioning.
        config: The configuration, under which the records since are to be taken.
        codecs: What the formats remember of earlier messages, by the topic of their input.
        newcomers: Memory of how many new assets came of late.
    """

    versions: tuple[int, int]
    saved_ns: int
    bundle_sha256: str
    counters: Counters
    redelivery: bytes = b""
    filters: list[str] = []
    forgetful: bool = False
    alerts: list[Alert] = []
    told: list[str] = []
    config: bytes = b""
    codecs: dict[str, bytes] = {}
    newcomers: AdmissionMemory = msgspec.field(default_factory=AdmissionMemory)


@dataclass(frozen=True, slots=True)
class Decided:
    """What follows from some records.

    Attributes:
        now: Publications that may be lost: they can go out at once.
        rows: Publications that must arrive: numbered, to be kept before they go out.
    """

    now: list[Publication]
    rows: list[OutboxRow]


class StateMachine:
    """Takes records in the order of the journal.

    Args:
        engine: Decodes and scores; has seen nothing, or what `Meta` and streams say.
        window: Messages that the broker sends ahead of our acknowledgements.
        config: The configuration that the engine was made from, JSON.

    Attributes:
        engine: The engine.
        away: Assets that `resume` left on the disk.
    """

    def __init__(self, engine: Engine, *, window: int, config: bytes = b"") -> None:
        self.engine, self._config = engine, config
        self.away: set[str] = set()
        self._redelivery = Redelivery(max(1000, 2 * window))

    def take(self, messages: Sequence[Message]) -> Decided:
        """Score messages, each once."""
        again = self._redelivery.again
        fresh = [message for message in messages if not again(message)]
        self.engine.redelivered(len(messages) - len(fresh))
        return self._number(self.engine.take(fresh))

    def control(self, record: Control) -> Decided | None:
        """Take what is not a message: the passing of time, the loss of the broker's session.

        Returns:
            What follows, or ``None`` when nothing has changed, so that it need not be written down.
        """
        if record.kind == "session":
            self._redelivery.forget()
            return Decided([], [])
        publications = self.engine.tick(record.time_ns, record.since_ns)
        return None if publications is None else self._number(publications)

    def replay(self, records: Iterable[Record]) -> list[OutboxRow]:
        """Take records again after a crash; what may be lost is lost."""
        rows: list[OutboxRow] = []
        messages: list[Message] = []
        for record in records:
            if isinstance(record, Message):
                messages.append(record)
                continue
            rows += self.take(messages).rows
            messages = []
            decided = self.control(record)
            rows += decided.rows if decided is not None else []
        return rows + self.take(messages).rows

    def number(self, publications: Iterable[Publication]) -> list[OutboxRow]:
        """Give publications that must arrive their numbers."""
        return self._number(publications).rows

    def _number(self, publications: Iterable[Publication]) -> Decided:
        now: list[Publication] = []
        rows: list[OutboxRow] = []
        counters = self.engine.counters
        for one in publications:
            if not one.qos:
                now.append(one)
                continue
            counters.published += 1
            rows.append(
                OutboxRow(
                    counters.published,
                    one.topic,
                    one.payload,
                    one.retain,
                    one.essential,
                    one.alert_seq or None,
                )
            )
        return Decided(now, rows)

    # -------------------------------------------------------------------------------- checkpoints

    def checkpoint(
        self,
        store: Store,
        *,
        saved_ns: int,
        bundle_sha256: str,
        filters: Sequence[str],
        outbox: Sequence[OutboxRow] | None,
    ) -> int:
        """Hand everything to the store as it is now.

        Args:
            store: Has every record that was taken so far.
            saved_ns: Time, nanoseconds since 1970-01-01 UTC.
            bundle_sha256: Digest of the bundle that runs.
            filters: Topic filters that the broker remembers of us.
            outbox: Rows that wait for the broker, when everything is to be written anew; ``None`` writes
                what has changed.

        Returns:
            The store's ticket.
        """
        engine, detector = self.engine, self.engine.detector
        meta = Meta(
            versions=VERSIONS,
            saved_ns=saved_ns,
            bundle_sha256=bundle_sha256,
            counters=engine.counters,
            redelivery=self._redelivery.dump(),
            filters=list(filters),
            forgetful=engine.forgetful,
            alerts=detector.open_alerts(),
            told=[told.asset for told in detector.commissions()],
            config=self._config,
            newcomers=detector.newcomers,
            codecs=engine.codecs(),
        )
        changed = detector.take_dirty() if outbox is None else detector.assets
        streams = [(asset, _ENCODER.encode(detector.dump(asset))) for asset in changed]
        return store.checkpoint(
            _ENCODER.encode(meta),
            streams,
            bundle_sha256=bundle_sha256,
            full=outbox is not None,
            outbox=outbox or (),
        )

    def release(self, resident: int) -> None:
        """Let go of the assets that were silent for longest; only right after a checkpoint is complete.

        Args:
            resident: Assets that stay.
        """
        detector = self.engine.detector
        over = len(detector.assets) - resident
        for asset in detector.coldest(over) if over > 0 else ():
            if not detector.changed(asset):
                detector.evict(asset)

    def resume(self, meta: Meta, streams: Iterable[StreamSnapshot], *, resident: int) -> None:
        """Go on from a checkpoint.

        Args:
            meta: The engine's part.
            streams: What is remembered of each asset.
            resident: Assets to have in memory; of the others, those at rest are fetched when they have
                a reading.

        Raises:
            SnapshotError: The states do not fit the model.
        """
        detector = self.engine.detector
        for number, stream in enumerate(streams):
            if number < resident or not detector.rests(stream):
                detector.adopt(stream)
            else:
                self.away.add(stream.asset)
        detector.away = len(self.away)
        detector.take_dirty()
        detector.newcomers = meta.newcomers
        self.resume_counts(meta)
        self.engine.forgetful = meta.forgetful

    def take_over(self, other: StateMachine) -> None:
        """Go on from a machine of another configuration and the same bundle; that one is of no use then."""
        detector, before = self.engine.detector, other.engine.detector
        for asset in before.assets:
            detector.adopt(before.dump(asset))
        self.away, detector.away, detector.newcomers = other.away, before.away, before.newcomers
        self.engine.counters, self.engine.forgetful = other.engine.counters, other.engine.forgetful
        self.engine.resume_codecs(other.engine.codecs())
        self._redelivery = other._redelivery

    def resume_counts(self, meta: Meta) -> None:
        """Go on counting and remembering deliveries, with states that begin anew."""
        self.engine.counters = meta.counters
        self.engine.resume_codecs(meta.codecs)
        self._redelivery.load(meta.redelivery)

    def number_after(self, published: int, alert_seq: int) -> None:
        """Use no number again that was used for something else."""
        counters = self.engine.counters
        counters.published = max(counters.published, published)
        counters.alert_seq = max(counters.alert_seq, alert_seq)
