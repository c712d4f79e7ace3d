"""The facts of a status as Prometheus reads them: its text format, version 0.0.4.

The format is a dozen rules (``# HELP``, ``# TYPE``, ``name{label="value"} number``), so
it is written here; prometheus_client would bring a registry of its own, with locks that
the scoring loop would have to take, and a server without limits.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from edge_lstm.contracts.status import Status
from edge_lstm.times import NS, parse_time

__all__ = ["CONTENT_TYPE", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX = "edge_lstm"
_MOST_VALUES = 50
"""Values of a label; reasons are a fixed few, and what a broker says is not ours to trust."""
_MOST_LENGTH = 100
_STATES = ("starting", "ok", "degraded")

Kind = Literal["counter", "gauge"]


class _Metric(msgspec.Struct, frozen=True):
    """One metric with all its samples.

    Attributes:
        name: Without the prefix.
        kind: Whether it can go down.
        text: What it is, with its unit.
        samples: Labels and number; one without labels has an empty mapping.
    """

    name: str
    kind: Kind
    text: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def render(status: Status) -> bytes:
    """Every metric, in a fixed order."""
    return "".join(_lines(one) for one in _metrics(status)).encode()


def _lines(metric: _Metric) -> str:
    name = f"{_PREFIX}_{metric.name}"
    lines = [f"# HELP {name} {metric.text}\n# TYPE {name} {metric.kind}\n"]
    for labels, value in metric.samples:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{f'{{{inner}}}' if inner else ''} {_number(value)}\n")
    return "".join(lines)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


def _escaped(text: str) -> str:
    """The value of a label; surrogates and control characters of a wire's making are replaced."""
    clean = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text[:_MOST_LENGTH])
    return clean.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _by(label: str, counts: Mapping[str, int]) -> tuple[tuple[Mapping[str, str], float], ...]:
    """A sample a key; beyond the most that is allowed they are added up as ``other``."""
    keys = sorted(counts)
    found: list[tuple[Mapping[str, str], float]] = [({label: k}, counts[k]) for k in keys[:_MOST_VALUES]]
    if len(keys) > _MOST_VALUES:
        found.append(({label: "other"}, sum(counts[key] for key in keys[_MOST_VALUES:])))
    return tuple(found)


def _one(name: str, kind: Kind, text: str, value: float | None) -> Iterator[_Metric]:
    """A metric of one sample; none at all while there is no value."""
    if value is not None:
        yield _Metric(name, kind, text, (({}, value),))


def _metrics(status: Status) -> Iterator[_Metric]:
    yield from _build(status)
    yield from _incoming(status)
    yield from _streams(status)
    yield from _outgoing(status)
    yield from _storage(status)
    yield from _process(status)


def _build(status: Status) -> Iterator[_Metric]:
    build = {
        "version": status.version,
        "python": platform.python_version(),
        "node": status.node,
        "bundle": status.bundle.id,
        "bundle_version": status.bundle.version,
        "bundle_sha256": status.bundle.sha256,
        "backend": status.backend.name,
        "transport": status.broker.transport,
    }
    yield _Metric("build_info", "gauge", "What runs; always 1.", ((build, 1),))
    states = tuple(({"state": one}, int(one == status.state)) for one in _STATES)
    yield _Metric("state", "gauge", "1 for the state that the daemon is in.", states)
    yield from _one("problems", "gauge", "Problems that status lists.", len(status.problems))
    taken = parse_time(status.time) / NS
    yield from _one("facts_timestamp_seconds", "gauge", "When the scoring loop took these facts.", taken)
    yield from _one("uptime_seconds", "gauge", "Since the process was started.", status.uptime_s)
    yield from _one("reloads_total", "counter", "Configurations read anew with success.", status.reloads)


def _incoming(status: Status) -> Iterator[_Metric]:
    found = status.readings
    yield from _one("received_total", "counter", "Readings received, of any kind.", found.received)
    yield from _one("accepted_total", "counter", "Readings that went into a frame.", found.accepted)
    yield _Metric("rejected_total", "counter", "What was turned away.", _by("reason", found.rejected))
    yield from _one("bad_values_total", "counter", "Values that were not numbers.", found.bad_values)
    yield from _one("failures_total", "counter", "Messages that met a fault of edge-lstm.", found.failures)
    yield from _one("scored_total", "counter", "Frames scored.", found.scored)
    last = None if found.last is None else parse_time(found.last) / NS
    yield from _one("last_reading_timestamp_seconds", "gauge", "Arrival of the newest reading.", last)
    yield from _one("quarantined", "gauge", "Messages kept to be looked at.", len(status.quarantine))


def _streams(status: Status) -> Iterator[_Metric]:
    found = status.streams
    yield from _one("streams", "gauge", "Machines with a state.", found.total)
    yield from _one("streams_resident", "gauge", "Machines with their state in memory.", found.resident)
    yield from _one("streams_commissioning", "gauge", "Machines being learned.", found.commissioning)
    yield from _one("streams_commissioned", "gauge", "Machines learned here.", found.commissioned)
    yield from _one("alerts_open", "gauge", "Open episodes.", found.alerts_open)


def _outgoing(status: Status) -> Iterator[_Metric]:
    found, broker = status.outbox, status.broker
    yield from _one("alerts_total", "counter", "Alerts of any type.", status.readings.alerts)
    yield from _one("outbox_depth", "gauge", "Publications that the broker has not confirmed.", found.depth)
    refused = _by("reason", found.refused)
    yield _Metric("outbox_refused", "gauge", "Of these, refused and to be tried again.", refused)
    yield from _one("outbox_given_up_total", "counter", "Dropped for want of room.", found.given_up)
    yield from _one("publications_dropped_total", "counter", "QoS 0 that could not be sent.", broker.dropped)
    yield from _one("connected", "gauge", "Whether the broker is there.", int(broker.connected))
    yield from _one("subscribed", "gauge", "Whether it grants the subscriptions.", int(broker.subscribed))
    yield from _one("connections_total", "counter", "Connections to the broker.", broker.connections)
    lost = broker.sessions_lost
    yield from _one("sessions_lost_total", "counter", "Times that the broker had forgotten us.", lost)
    yield from _one("backlog", "gauge", "Events that wait for the scoring loop.", broker.backlog)


def _storage(status: Status) -> Iterator[_Metric]:
    found = status.storage
    yield from _one("durable_lag_seconds", "gauge", "Age of the oldest message not on disk.", found.lag_s)
    window = found.loss_window_s
    yield from _one("loss_window_seconds", "gauge", "Most that a power cut can lose.", window)
    yield from _one("commit_age_seconds", "gauge", "Since something was put on disk.", found.commit_age_s)
    yield from _one("snapshot_age_seconds", "gauge", "Since states were written down.", found.snapshot_age_s)
    yield from _one("journal_bytes", "gauge", "Size of the journal.", found.journal_bytes)
    left = found.uncovered_bytes
    yield from _one("journal_uncovered_bytes", "gauge", "Of it, what a recovery would have to read.", left)
    yield from _one("storage_paused", "gauge", "Whether nothing can be written.", int(bool(found.paused)))


def _process(status: Status) -> Iterator[_Metric]:
    found = status.process
    yield from _one("process_resident_memory_bytes", "gauge", "Memory.", found.rss_bytes)
    yield from _one("process_cpu_seconds_total", "counter", "Processor time, user and system.", found.cpu_s)
    yield from _one("process_threads", "gauge", "Threads.", found.threads)
    yield from _one("process_open_files", "gauge", "Open files and sockets.", found.open_files)
