"""From what the last process kept to where this one begins; never a reason not to begin.

A checkpoint has the states of some moment, the journal every record since: taking those
records again gives the states, counts and alerts of the moment the last process ended, bit
for bit. States that cannot be used (another bundle, another version, damage) begin anew,
which health says; the records since are then scored by the new ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from edge_lstm.clock import Clock
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.state import StreamSnapshot
from edge_lstm.errors import OperatorError, SnapshotError
from edge_lstm.io.record import unpack
from edge_lstm.io.rows import OutboxRow, Recovered
from edge_lstm.io.store import Store
from edge_lstm.io.transport import Publication
from edge_lstm.logs import event
from edge_lstm.state_machine import VERSIONS, Meta, StateMachine

__all__ = ["Restored", "fetcher", "restore"]

log = logging.getLogger(__name__)

ResetReason = Literal["damaged", "other_bundle"]

_META = msgspec.msgpack.Decoder(Meta)
_STREAM = msgspec.msgpack.Decoder(StreamSnapshot)


class _Remains(msgspec.Struct):
    """What is wanted of a checkpoint that cannot be used: who is in alarm, who was learned."""

    alerts: list[Alert] = []
    filters: list[str] = []
    told: list[str] = []


_REMAINS = msgspec.msgpack.Decoder(_Remains)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Where this process begins.

    Attributes:
        machine: With the states of the last process, or cold.
        rows: Publications that must arrive and were not kept yet: what the journal gave once more.
        first: Publications that bring what the broker retains in line; made anew at every start.
        filters: Topic filters that the broker remembers of us.
        reset_reason: Why it is cold although there were states.
        records: Records of the journal that were taken again.
        settled: Whether the checkpoint is as good as one made now.
    """

    machine: StateMachine
    rows: list[OutboxRow]
    first: list[Publication]
    filters: tuple[str, ...] = ()
    reset_reason: ResetReason | None = None
    records: int = 0
    settled: bool = True


def restore(
    found: Recovered,
    make_machine: Callable[[], StateMachine],
    *,
    sha256: str,
    clock: Clock,
    resident: int,
    config: bytes = b"",
    make_before: Callable[[bytes], StateMachine] | None = None,
    alive: Callable[[], None] = lambda: None,
) -> Restored:
    """Begin where the last process ended, if that can be done.

    Args:
        found: What the store has.
        make_machine: Makes a state machine that has seen nothing.
        sha256: Digest of the bundle that runs.
        clock: Says when abandoned episodes are closed.
        resident: Most assets to have in memory.
        config: The configuration, JSON.
        make_before: Makes a state machine of the configuration that a checkpoint names: what came
            before a crash meant what it meant then, whatever was changed since.
        alive: Called from time to time, for the service manager's patience.
    """
    before = _before(found, config, make_before)
    machine, meta, reason = _begin(found, before or make_machine, sha256=sha256, resident=resident)
    rows = machine.number(machine.engine.abandoned(meta.alerts, now_ns=clock.time_ns())) if reason else []
    engine = machine.engine
    engine.again = True
    again, records = _again(machine, found.blocks, alive)
    engine.again = False
    if before is not None:
        log.info(event("states.other_config", records=records))
        old, machine = machine, make_machine()
        machine.take_over(old)
        engine = machine.engine
    first = engine.restored() + engine.unlearned(
        [] if reason else [told for told in meta.told if told not in machine.away]
    )
    if records or found.meta:
        assets = len(engine.detector.assets)
        log.info(event("states.restored", assets=assets, records=records, unsent=len(found.outbox)))
    return Restored(
        machine=machine,
        rows=rows + again,
        first=first,
        filters=tuple(meta.filters),
        reset_reason=reason,
        records=records,
        settled=found.meta is not None and before is None and reason is None and not records,
    )


def _before(
    found: Recovered, config: bytes, make_before: Callable[[bytes], StateMachine] | None
) -> Callable[[], StateMachine] | None:
    """Makes a machine of the configuration before, when that was another one and can still be read."""
    try:
        then = _META.decode(found.meta).config if found.meta is not None else b""
        if make_before is None or not then or then == config:
            return None
        first = make_before(then)
    except (OperatorError, ValueError) as error:
        log.warning(event("states.config_unreadable", detail=error))
        return None
    made = iter([first])
    return lambda: next(made, None) or make_before(then)


def _begin(
    found: Recovered, make_machine: Callable[[], StateMachine], *, sha256: str, resident: int
) -> tuple[StateMachine, Meta | _Remains, ResetReason | None]:
    """The state machine as of the checkpoint, what else the checkpoint said, and why it is cold."""
    machine = make_machine()
    if found.meta is None:
        if not found.problem:
            log.info(event("states.none"))
            return machine, _Remains(), None
        return _cold(machine, found, _Remains(), "damaged", found.problem)
    try:
        meta = _META.decode(found.meta)
        _check(meta)
        if meta.bundle_sha256 != sha256:
            detail = f"of bundle {meta.bundle_sha256[:16]}, not {sha256[:16]}"
            return _cold(machine, found, meta, "other_bundle", detail)
        machine.resume(meta, (_STREAM.decode(raw) for _, raw in found.streams()), resident=resident)
    except (SnapshotError, ValueError) as error:
        return _cold(make_machine(), found, _remains(found.meta), "damaged", error)
    return machine, meta, None


def _check(meta: Meta) -> None:
    """Raise `SnapshotError` for states that another version wrote."""
    if meta.versions != VERSIONS:
        raise SnapshotError(f"they are of version {meta.versions}, this one reads {VERSIONS}")


def _remains(raw: bytes) -> _Remains:
    try:
        return _REMAINS.decode(raw)
    except (ValueError, RecursionError):
        return _Remains()


def _cold(
    machine: StateMachine, found: Recovered, meta: Meta | _Remains, reason: ResetReason, detail: object
) -> tuple[StateMachine, Meta | _Remains, ResetReason]:
    """States begin anew; counts and numbers go on where they are known."""
    log.warning(event("states.unusable", reason=reason, detail=detail))
    if isinstance(meta, Meta):
        machine.resume_counts(meta)
    machine.number_after(found.outbox_last, found.alert_last)
    machine.engine.forgetful = True
    return machine, meta, reason


def _again(
    machine: StateMachine, blocks: Iterator[bytes], alive: Callable[[], None]
) -> tuple[list[OutboxRow], int]:
    """Take the records of the journal again."""
    rows: list[OutboxRow] = []
    count = 0
    for block in blocks:
        try:
            records = list(unpack(block))
        except ValueError as error:  # another version wrote it; its checksum is right
            log.error(event("journal.unreadable", detail=error))  # noqa: TRY400 - no fault of ours
            break
        rows += machine.replay(records)
        count += len(records)
        alive()
    return rows, count


def fetcher(store: Store) -> Callable[[str], StreamSnapshot | None]:
    """What brings an asset back that is not in memory: as of the last checkpoint, since when it rested."""

    def fetch(asset: str) -> StreamSnapshot | None:
        raw = store.load_stream(asset)
        return None if raw is None else _STREAM.decode(raw)

    return fetch
