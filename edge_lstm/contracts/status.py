"""What a running daemon says of itself to its own machine, schema ``edge-lstm.status/1``.

It is the one set of facts behind ``edge-lstm status`` and behind the metrics.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = [
    "STATUS_SCHEMA",
    "Quarantined",
    "Status",
    "StatusBackend",
    "StatusBroker",
    "StatusBundle",
    "StatusOutbox",
    "StatusProcess",
    "StatusReadings",
    "StatusStorage",
    "StatusStreams",
]

STATUS_SCHEMA: Final = "edge-lstm.status/1"


class StatusBundle(msgspec.Struct, frozen=True, kw_only=True):
    """Which model runs.

    Attributes:
        id: Name of the bundle.
        version: Version of the bundle.
        sha256: Digest of the bundle file, hexadecimal.
        path: Where the file was when it was read.
    """

    id: str
    version: str
    sha256: str
    path: str


class StatusBackend(msgspec.Struct, frozen=True, kw_only=True):
    """What runs the model.

    Attributes:
        name: What runs it.
        reason: Why that one.
    """

    name: str
    reason: str


class StatusBroker(msgspec.Struct, frozen=True, kw_only=True):
    """The connection to the broker.

    Attributes:
        transport: Which client library speaks to it.
        address: ``host:port``.
        tls: Whether TLS is used.
        client_id: Our name there.
        connected: Whether the broker has accepted us and is there.
        subscribed: Whether it has granted the subscriptions.
        connections: Connections since the start.
        sessions_lost: Times that it had forgotten us, and so the readings of meanwhile.
        backlog: Messages and other events that wait for the scoring loop.
        dropped: Publications of QoS 0 that the network could not take.
    """

    transport: str
    address: str
    tls: bool
    client_id: str
    connected: bool
    subscribed: bool
    connections: int
    sessions_lost: int
    backlog: int
    dropped: int


class StatusReadings(msgspec.Struct, frozen=True, kw_only=True):
    """What has come in; counts go on over restarts.

    Attributes:
        received: Readings that came in; a message that is no reading counts as one.
        accepted: Readings of these that went into a frame, or wait to.
        rejected: What was turned away, by reason (docs/format-reading.md).
        bad_values: Values of the model's channels that were there but were not numbers.
        failures: Messages that met a fault of edge-lstm itself.
        scored: Frames that were scored.
        alerts: Alerts of any type.
        last: Time of arrival of the newest reading, RFC 3339 UTC; null before the first.
    """

    received: int
    accepted: int
    rejected: dict[str, int]
    bad_values: int
    failures: int
    scored: int
    alerts: int
    last: str | None


class StatusStreams(msgspec.Struct, frozen=True, kw_only=True):
    """Machines that are watched.

    Attributes:
        total: With a state, in memory or on the disk.
        resident: With their state in memory.
        commissioning: Whose own scaling is being learned.
        commissioned: Whose scaling was learned here.
        alerts_open: With an open episode.
    """

    total: int
    resident: int
    commissioning: int
    commissioned: int
    alerts_open: int


class StatusOutbox(msgspec.Struct, frozen=True, kw_only=True):
    """Publications that must arrive.

    Attributes:
        depth: Not confirmed by the broker.
        refused: Of these, waiting for another try, by the broker's reason.
        given_up: Dropped for want of room since the start.
    """

    depth: int
    refused: dict[str, int]
    given_up: int


class StatusStorage(msgspec.Struct, frozen=True, kw_only=True):
    """What survives a power cut.

    Attributes:
        state_dir: Where it is.
        durability: ``strict``: acknowledged once on the disk; ``batched``: flushed every loss window.
        loss_window_s: Most that a power cut can lose of what was acknowledged, seconds.
        lag_s: Age of the oldest message that is not on the disk, seconds; 0 when there is none.
        commit_age_s: Since something was last put on the disk, seconds; null before the first time.
        snapshot_age_s: Since the states were last written down, seconds; null before the first time.
        journal_bytes: Size of the journal.
        uncovered_bytes: Of it, what a recovery would have to read.
        sqlite: Version of SQLite; empty where it is not used.
        paused: Why nothing can be written and readings wait at the broker; empty when it can.
    """

    state_dir: str
    durability: str
    loss_window_s: float
    lag_s: float
    commit_age_s: float | None
    snapshot_age_s: float | None
    journal_bytes: int
    uncovered_bytes: int = 0
    sqlite: str = ""
    paused: str = ""


class StatusProcess(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon uses of its machine.

    Attributes:
        rss_bytes: Memory.
        cpu_s: Processor time since the start, user and system, seconds.
        threads: Threads.
        open_files: Open files and sockets.
    """

    rss_bytes: int
    cpu_s: float
    threads: int
    open_files: int


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be read, or several alike, kept to be looked at.

    Attributes:
        topic: Where it was published.
        reason: Why it was turned away.
        detail: What exactly was wrong with it.
        size: Length of the payload, bytes.
        sha256: Of the payload, hexadecimal, to find it in a recording.
        head: Its first bytes, hexadecimal.
        first: Time of arrival of the first one, RFC 3339 UTC.
        last: Time of arrival of the last one, RFC 3339 UTC.
        count: How many came.
    """

    topic: str
    reason: str
    detail: str
    size: int
    sha256: str
    head: str
    first: str
    last: str
    count: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon says of itself.

    Attributes:
        schema: Always ``edge-lstm.status/1``.
        node: The device.
        pid: The daemon's process.
        version: Version of edge-lstm.
        state: ``starting`` until the broker has granted the subscriptions, then ``ok``, or
            ``degraded`` while there are problems.
        problems: What is wrong, one line each.
        time: When these facts were taken, RFC 3339 UTC.
        uptime_s: Since the process was started, seconds.
        reloads: Times that the configuration was read anew with success.
        bundle: Which model runs.
        backend: What runs it.
        broker: The connection to the broker.
        readings: What has come in.
        streams: Machines that are watched.
        outbox: Publications that must arrive.
        storage: What survives a power cut.
        process: What the daemon uses of its machine.
        quarantine: Newest messages that could not be read, newest last.
    """

    schema: Literal["edge-lstm.status/1"] = STATUS_SCHEMA
    node: str
    pid: int
    version: str
    state: Literal["starting", "ok", "degraded"]
    problems: list[str]
    time: str
    uptime_s: float
    reloads: int
    bundle: StatusBundle
    backend: StatusBackend
    broker: StatusBroker
    readings: StatusReadings
    streams: StatusStreams
    outbox: StatusOutbox
    storage: StatusStorage
    process: StatusProcess
    quarantine: list[Quarantined]
