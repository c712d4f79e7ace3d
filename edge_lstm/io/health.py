"""The health message, schema ``edge-lstm.health/1``: what a node says of itself, retained."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = ["HEALTH_SCHEMA", "Health", "HealthModel"]

HEALTH_SCHEMA: Final = "edge-lstm.health/1"


class HealthModel(msgspec.Struct, frozen=True):
    """Which model runs.

    Attributes:
        id: Name of the bundle.
        version: Version of the bundle.
        sha256: Digest of the bundle file, hexadecimal.
    """

    id: str
    version: str
    sha256: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself.

    Counts go on over restarts, for as long as the state folder lives.

    Attributes:
        schema: Always ``edge-lstm.health/1``.
        node: The device.
        pid: The daemon's process.
        status: ``starting`` until the broker has granted the subscriptions, then ``ok``, or
            ``degraded`` while there are problems; ``stopped`` is the last word of a clean end.
        problems: What is wrong, one line each.
        time: When this was written, RFC 3339 UTC.
        uptime_s: Since the daemon was started, seconds.
        version: Version of edge-lstm.
        model: Which model runs.
        backend: What runs it.
        backend_reason: Why that one: as chosen, the fastest that runs on this board, or what kept
            a faster one from running.
        readings: Messages that became a reading.
        frames: Frames that were scored.
        rejects: What was turned away, by reason (docs/format-reading.md).
        bad_values: Values of the model's channels that were there but were not numbers.
        failures: Messages that met a fault of edge-lstm itself.
        assets: Machines with a state.
        commissioning: Machines of these whose own scaling is being learned, so that they have no score yet.
        commissioned: Machines of these whose scaling was learned here.
        alerts: Alerts of any type.
        alerts_open: Open episodes.
        queue: Messages that wait to be scored.
        outbox: Publications that the broker has not confirmed.
        dropped: Publications that were given up since the start, by kind: ``scores`` and other messages
            of QoS 0, and ``outbox``.
        connections: Connections to the broker since the start.
        last_reading: Time of arrival of the newest reading; null before the first.
        snapshot_age_s: Since the states were last written down; null before the first time.
        state_reset_reason: Why this start was a cold one although there was a snapshot:
            ``damaged`` or ``other_bundle``; null when it was not.
    """

    schema: Literal["edge-lstm.health/1"] = HEALTH_SCHEMA
    node: str
    pid: int
    status: Literal["starting", "ok", "degraded", "stopped"]
    problems: list[str]
    time: str
    uptime_s: float
    version: str
    model: HealthModel
    backend: str
    backend_reason: str = ""
    readings: int
    frames: int
    rejects: dict[str, int]
    bad_values: int
    failures: int
    assets: int
    alerts: int
    alerts_open: int
    commissioning: int = 0
    commissioned: int = 0
    queue: int
    outbox: int
    dropped: dict[str, int]
    connections: int
    last_reading: str | None
    snapshot_age_s: float | None
    state_reset_reason: Literal["damaged", "other_bundle"] | None
