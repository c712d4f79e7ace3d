"""From what the last process wrote down to where this one begins; never a reason not to begin."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge_lstm.clock import Clock
from edge_lstm.engine import Engine
from edge_lstm.errors import SnapshotError
from edge_lstm.io.snapshot import DaemonSnapshot, StateDir
from edge_lstm.io.transport import Publication
from edge_lstm.logs import event

__all__ = ["Restored", "restore"]

log = logging.getLogger(__name__)

ResetReason = Literal["damaged", "other_bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Where this process begins.

    Attributes:
        engine: With the states of the last process, or cold.
        pending: Publications to send first: what was not confirmed, then what brings the
            retained alarms in line.
        filters: Topic filters that the broker remembers of us.
        reset_reason: Why it is cold although there was a snapshot.
    """

    engine: Engine
    pending: list[Publication]
    filters: tuple[str, ...] = ()
    reset_reason: ResetReason | None = None


def restore(state: StateDir, make_engine: Callable[[], Engine], *, sha256: str, clock: Clock) -> Restored:
    """Begin where the last process ended, if that can be done.

    Args:
        state: Where the snapshot is.
        make_engine: Makes an engine that has seen nothing.
        sha256: Digest of the bundle that runs.
        clock: Says when abandoned episodes are closed.

    Raises:
        SnapshotError: An unusable snapshot cannot even be set aside.
    """
    engine = make_engine()
    try:
        saved = state.load()
    except SnapshotError as error:
        _cold("damaged", error, state)
        engine.forgetful = True
        return Restored(engine=engine, pending=[], reset_reason="damaged")
    if saved is None:
        log.info(event("snapshot.none"))
        return Restored(engine=engine, pending=[])
    filters = tuple(saved.filters)
    if saved.detector.bundle_sha256 != sha256:
        _cold("other_bundle", f"of bundle {saved.detector.bundle_sha256[:16]}, not {sha256[:16]}", state)
        engine.counters, engine.forgetful = saved.counters, True
        pending = saved.unsent + _close_all(engine, saved, clock)
        return Restored(engine=engine, pending=pending, filters=filters, reset_reason="other_bundle")
    try:
        engine.detector.restore(saved.detector)
    except SnapshotError as error:
        _cold("damaged", error, state)
        engine = make_engine()
        engine.forgetful = True
        return Restored(engine=engine, pending=saved.unsent, filters=filters, reset_reason="damaged")
    engine.counters = saved.counters
    log.info(event("snapshot.restored", assets=len(engine.detector.assets), unsent=len(saved.unsent)))
    told = [one.asset for one in saved.detector.streams if one.commission and one.commission.told]
    pending = saved.unsent + engine.restored() + engine.unlearned(told)
    return Restored(engine=engine, pending=pending, filters=filters)


def _close_all(engine: Engine, saved: DaemonSnapshot, clock: Clock) -> list[Publication]:
    alerts = [stream.alarm.alert for stream in saved.detector.streams if stream.alarm.alert is not None]
    return engine.abandoned(alerts, now_ns=clock.time_ns())


def _cold(reason: ResetReason, detail: object, state: StateDir) -> None:
    kept = state.set_aside()
    log.warning(event("snapshot.unusable", reason=reason, detail=detail, kept=kept))
