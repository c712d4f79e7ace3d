"""What a broker must be set to so that an outage loses nothing, computed from rate and outage.

The settings are Mosquitto's (mosquitto.conf(5)); other brokers have them under other names.
What is said of sizes was measured with Mosquitto 2.0.11 and payloads of 200 bytes: a queued
message takes 544 bytes of memory and 253 bytes in the database.
"""

from __future__ import annotations

import math

import msgspec

from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.topics import Template

__all__ = ["Needs", "fragment", "needs"]

_MARGIN = 1.1
_LEAST_INFLIGHT = 20
"""Mosquitto's default; there is no reason to go below it."""
_LEAST_QUEUED = 1000
"""Likewise; the setting is for all clients of the broker."""
_MOST_INFLIGHT = 65_535
"""Receive Maximum has two bytes (MQTT 5 section 3.1.2.11.3), as have packet identifiers."""
_MEMORY_OVERHEAD, _DISK_OVERHEAD = 350, 60
"""Of a queued message, bytes beside payload and topic."""
_WRITE_BUDGET = 1e6
"""Most that saving the database may write while the queue is longest, bytes a second."""
_PACKET_ROOM = 1024
"""For topic and properties beside the largest payload, bytes."""
_HOUR_S = 3600


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What the promise of a rate and an outage needs of the broker.

    Attributes:
        rate: Messages a second, of all machines together.
        outage_s: Longest time the daemon, or its link, may be away, seconds.
        commit_s: Longest time until a message is on the daemon's disk and acknowledged, seconds.
        message_bytes: Payload and topic of a usual message, bytes.
        queued_messages: Messages to keep for a client that is away.
        queued_bytes: The same in bytes.
        inflight: Messages to send ahead of acknowledgements.
        memory_bytes: Memory that the full queue takes at the broker.
        database_bytes: Size of the broker's database with the full queue.
        autosave_s: Seconds between two saves of the whole database; 0 is at every change.
        expiry_s: How long the broker must remember the session, seconds.
        payload_bytes: Largest payload.
        possible: False when no window of MQTT is wide enough for rate and ``commit_s``.
    """

    rate: float
    outage_s: float
    commit_s: float
    message_bytes: int
    queued_messages: int
    queued_bytes: int
    inflight: int
    memory_bytes: int
    database_bytes: int
    autosave_s: int
    expiry_s: int
    payload_bytes: int
    possible: bool


def needs(
    rate: float,
    outage_s: float,
    *,
    commit_s: float = 1.0,
    message_bytes: int = 256,
    session_expiry_s: int = 604_800,
    payload_bytes: int = 65_536,
) -> Needs:
    """Compute them.

    The queue must hold rate x outage, with a tenth more for bursts. Messages in flight are
    those of two commits: one batch is being written while the next comes in; with fewer, the
    broker waits for acknowledgements and the rate is bounded by window / ``commit_s``.

    Args:
        rate: Messages a second, of all machines together.
        outage_s: Longest outage, seconds.
        commit_s: Longest time until a message is acknowledged, seconds.
        message_bytes: Payload and topic of a usual message, bytes.
        session_expiry_s: ``mqtt.session_expiry_s`` of the configuration.
        payload_bytes: ``mqtt.max_payload_bytes`` of the configuration.
    """
    window = math.ceil(2 * rate * commit_s)
    queued = max(_LEAST_QUEUED, _round_up(rate * outage_s * _MARGIN + window))
    database = queued * (message_bytes + _DISK_OVERHEAD)
    at_every_change = rate / 2 * database <= _WRITE_BUDGET
    return Needs(
        rate=rate,
        outage_s=outage_s,
        commit_s=commit_s,
        message_bytes=message_bytes,
        queued_messages=queued,
        queued_bytes=_round_up(queued * message_bytes),
        inflight=min(_MOST_INFLIGHT, max(_LEAST_INFLIGHT, window)),
        memory_bytes=queued * (message_bytes + _MEMORY_OVERHEAD),
        database_bytes=database,
        autosave_s=0 if at_every_change else max(1, math.ceil(database / _WRITE_BUDGET)),
        expiry_s=max(session_expiry_s, math.ceil(2 * outage_s)),
        payload_bytes=payload_bytes,
        possible=window <= _MOST_INFLIGHT,
    )


def _round_up(value: float) -> int:
    """Two digits are enough of a number that rests on a guess of the rate."""
    if value <= 100:
        return max(1, math.ceil(value))
    step = int(10 ** (math.floor(math.log10(value)) - 1))
    return math.ceil(value / step) * step


def fragment(need: Needs, config: DeviceConfig | None, *, version: tuple[int, int] | None = None) -> str:
    """The settings as a part of ``mosquitto.conf``, each with its reason.

    Args:
        need: What is needed.
        config: The site, for the access control list.
        version: Major and minor version of Mosquitto, where it is known.
    """
    promise = (
        f"{need.rate:g} messages/s of {need.message_bytes} bytes and an outage of {_span(need.outage_s)}"
    )
    lines = [
        f"# For {promise}, by edge-lstm doctor.",
        "",
        f"# A client that is away: {need.rate:g}/s x {need.outage_s:g} s and a tenth more. When it is full,",
        f"# this queue takes about {_size(need.memory_bytes)} of the broker's memory.",
        f"max_queued_messages {need.queued_messages}",
        f"max_queued_bytes {need.queued_bytes}",
        "",
        f"# Two batches of {need.commit_s:g} s: one is being written while the next comes in. This line is",
        "# for MQTT 3.1.1; with MQTT 5 Mosquitto takes the client's window instead, which is",
        f"# mqtt.inflight of edge-lstm.yaml: {need.inflight} at least.",
        f"max_inflight_messages {need.inflight}",
        "",
        "# A session must outlive the outage, and mqtt.session_expiry_s.",
        f"persistent_client_expiration {_expiry(need.expiry_s)}",
        "",
        "# Larger ones are refused to whoever publishes them; else they are counted as too_large here.",
        f"message_size_limit {need.payload_bytes}",
        f"max_packet_size {need.payload_bytes + _PACKET_ROOM}",
        "",
        *_persistence(need, version),
        "",
        *_access(config),
    ]
    return "\n".join(lines) + "\n"


def _persistence(need: Needs, version: tuple[int, int] | None) -> list[str]:
    """What the broker itself must survive."""
    if version is not None and version >= (2, 1):
        return [
            "# A crash of the broker: changes are written as they are made (Mosquitto 2.1).",
            "# persistence_location /var/lib/mosquitto/   where mosquitto.conf does not have it",
            "global_plugin /usr/lib/mosquitto_persist_sqlite.so",
            "plugin_opt_sync full",
            "plugin_opt_flush_period 1",
        ]
    lines = [
        "# A crash of the broker. Each save writes the whole database, with the full queue about",
        f"# {_size(need.database_bytes)}; Mosquitto 2.1 has persist-sqlite, which writes changes alone.",
        "persistence true",
        "# Debian's mosquitto.conf says where, and twice is an error; in a file of its own it is needed:",
        "# persistence_location /var/lib/mosquitto/",
    ]
    if not need.autosave_s:
        return [
            *lines,
            "# Saved at every second change: a crash of the broker forgets the last message at most.",
            "autosave_on_changes true",
            "autosave_interval 1",
        ]
    return [
        *lines,
        f"# Saved every {need.autosave_s} s: a crash of the broker forgets what it took in that time. With",
        "# autosave_on_changes it would write all of it for every second message, and be held up by that.",
        "autosave_on_changes false",
        f"autosave_interval {need.autosave_s}",
    ]


def _access(config: DeviceConfig | None) -> list[str]:
    """Lines for the file of ``acl_file``; commented out, since that is a file of its own."""
    if config is None:
        return ["# Access control: give --config, and the lines for this device stand here."]
    user = config.mqtt.username
    filters = [Template.parse(source.topic).filter for source in config.inputs]
    return [
        "# Access control, for the file that acl_file names:",
        *(
            [f"#   user {user}"]
            if user is not None
            else ["#   # no user: these lines stand before the first"]
        ),
        *(f"#   topic read {name}" for name in filters),
        f"#   topic write {config.root}/#",
        f"#   topic read {config.root}/alerts/replay",
        f"#   topic read {config.root}/doctor/#",
        "#   user whoever-takes-the-alerts",
        f"#   topic read {config.root}/#",
        f"#   topic write {config.root}/alerts/replay",
    ]


def _span(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (_HOUR_S, "h"), (60, "min")):
        if seconds >= unit and not seconds % unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 1024:.0f} KiB"


def _expiry(seconds: int) -> str:
    """Whole hours or days: what Mosquitto reads."""
    hours = math.ceil(seconds / _HOUR_S)
    return f"{hours}h" if hours < 48 else f"{math.ceil(hours / 24)}d"
