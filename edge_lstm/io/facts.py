"""From what the daemon counts to the one `Status` that ``edge-lstm status`` and the metrics show."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.contracts.status import (
    Quarantined,
    Status,
    StatusBackend,
    StatusBroker,
    StatusBundle,
    StatusOutbox,
    StatusProcess,
    StatusReadings,
    StatusStorage,
    StatusStreams,
)
from edge_lstm.io.health import Health
from edge_lstm.times import format_time

__all__ = ["Kept", "More", "process_facts", "quarantined", "status_of"]

_SELF = Path("/proc/self")
_SHOWN, _HEAD_BYTES = 20, 64


class More(msgspec.Struct, frozen=True, kw_only=True):
    """What a status says beyond the health message.

    Attributes:
        transport: Which client library speaks to the broker.
        connected: Whether the broker is there.
        subscribed: Whether it has granted the subscriptions.
        sessions_lost: Times that it had forgotten us.
        received: Readings that came in; a message that is no reading counts as one.
        accepted: Readings of these that went into a frame, or wait to.
        resident: Machines with their state in memory.
        refused: Publications waiting for another try, by the broker's reason.
        storage: What survives a power cut.
        reloads: Configurations read anew with success.
        quarantine: Newest messages that could not be read, newest last.
    """

    transport: str
    connected: bool
    subscribed: bool
    sessions_lost: int
    received: int
    accepted: int
    resident: int
    refused: Mapping[str, int]
    storage: StatusStorage
    reloads: int
    quarantine: Sequence[Quarantined] = ()


def status_of(config: DeviceConfig, health: Health, more: More) -> Status:
    """Put together what is known; takes the process's own facts at this moment."""
    mqtt = config.mqtt
    return Status(
        node=health.node,
        pid=health.pid,
        version=health.version,
        state="degraded" if health.status == "stopped" else health.status,
        problems=health.problems,
        time=health.time,
        uptime_s=health.uptime_s,
        reloads=more.reloads,
        bundle=StatusBundle(
            id=health.model.id, version=health.model.version, sha256=health.model.sha256, path=config.bundle
        ),
        backend=StatusBackend(name=health.backend, reason=health.backend_reason),
        broker=StatusBroker(
            transport=more.transport,
            address=f"{mqtt.host}:{mqtt.port}",
            tls=mqtt.tls is not None,
            client_id=config.client_id,
            connected=more.connected,
            subscribed=more.subscribed,
            connections=health.connections,
            sessions_lost=more.sessions_lost,
            backlog=health.queue,
            dropped=health.dropped.get("scores", 0),
        ),
        readings=StatusReadings(
            received=more.received,
            accepted=more.accepted,
            rejected=dict(health.rejects),  # it goes on being counted while others read
            bad_values=health.bad_values,
            failures=health.failures,
            scored=health.frames,
            alerts=health.alerts,
            last=health.last_reading,
        ),
        streams=StatusStreams(
            total=health.assets,
            resident=more.resident,
            commissioning=health.commissioning,
            commissioned=health.commissioned,
            alerts_open=health.alerts_open,
        ),
        outbox=StatusOutbox(
            depth=health.outbox, refused=dict(more.refused), given_up=health.dropped.get("outbox", 0)
        ),
        storage=more.storage,
        process=process_facts(),
        quarantine=list(more.quarantine),
    )


class Kept(Protocol):
    """What is known of a message that could not be read."""

    @property
    def topic(self) -> str:
        """Where it came."""

    @property
    def reason(self) -> str:
        """Why it was turned away."""

    @property
    def detail(self) -> str:
        """One line for people."""

    @property
    def size(self) -> int:
        """Length, bytes."""

    @property
    def sha256(self) -> str:
        """Of the payload, hexadecimal."""

    @property
    def head(self) -> bytes:
        """The payload's first bytes."""

    @property
    def first_ns(self) -> int:
        """Time of arrival of the first one, nanoseconds since 1970-01-01 UTC."""

    @property
    def last_ns(self) -> int:
        """Time of arrival of the last one."""

    @property
    def count(self) -> int:
        """How many came."""


def quarantined(kept: Sequence[Kept]) -> list[Quarantined]:
    """The newest of them, newest last, as they stand in a status."""
    return [
        Quarantined(
            topic=one.topic,
            reason=one.reason,
            detail=one.detail,
            size=one.size,
            sha256=one.sha256,
            head=one.head[:_HEAD_BYTES].hex(),
            first=format_time(one.first_ns),
            last=format_time(one.last_ns),
            count=one.count,
        )
        for one in kept[-_SHOWN:]
    ]


def process_facts() -> StatusProcess:
    """Memory, processor time, threads and open files, now; zeros where there is no /proc (proc(5))."""
    spent = os.times()
    return StatusProcess(
        rss_bytes=_rss_bytes(),
        cpu_s=round(spent.user + spent.system, 3),
        threads=threading.active_count(),
        open_files=_open_files(),
    )


def _rss_bytes() -> int:
    """Second field of statm: resident pages."""
    try:
        return int((_SELF / "statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _open_files() -> int:
    try:
        return len(os.listdir(_SELF / "fd"))  # noqa: PTH208 - names only, and no object a name
    except OSError:
        return 0
