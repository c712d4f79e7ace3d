"""What ``edge-lstm status`` shows: the daemon's answer, and lines for people made of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_lstm.contracts.status import Quarantined, Status
from edge_lstm.io.control import CONTROL, ask
from edge_lstm.times import NS, parse_time

__all__ = ["Answer", "look", "report"]

_STALE_S = 15.0
"""Facts are laid out every second; older ones come from a loop that does not turn."""
_SHOWN = 5
_MOST_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking.

    Attributes:
        status: What the daemon says, or ``None``.
        why: Why it says nothing, one line.
        not_running: Whether that is because there is none.
    """

    status: Status | None
    why: str = ""
    not_running: bool = False

    def json(self) -> str:
        """The status for machines."""
        return msgspec.json.format(msgspec.json.encode(self.status), indent=2).decode()


def look(state_dir: Path, *, timeout_s: float = 5.0) -> Answer:
    """Ask the daemon of a state folder.

    Args:
        state_dir: The folder.
        timeout_s: Longest wait for a part of the answer, seconds.
    """
    where = state_dir / CONTROL
    try:
        found = ask(state_dir, timeout_s=timeout_s)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return Answer(None, f"no daemon runs with the states in {state_dir}", not_running=True)
    except PermissionError:
        return Answer(None, f"{where} answers root and the daemon's own user only: try sudo")
    except OSError as error:
        return Answer(None, f"{where} cannot be asked: {error.strerror or error}")
    except (ValueError, RecursionError) as error:
        return Answer(None, f"{where} gives an answer of another version: {error}")
    if found is None:
        return Answer(None, "the daemon is starting, and has nothing to say yet")
    return Answer(_judged(found))


def _judged(found: Status) -> Status:
    """A daemon whose loop hangs says that all is well until the end of days."""
    age_s = time.time() - parse_time(found.time) / NS
    if age_s < _STALE_S:
        return found
    problem = f"the scoring loop has not turned for {age_s:.0f} s"
    return msgspec.structs.replace(found, state="degraded", problems=[problem, *found.problems])


def report(status: Status) -> str:
    """Lines for people. What came from the network cannot speak to the terminal."""
    lines = [("state", f"{status.state}, pid {status.pid}, up {_span(status.uptime_s)}")]
    lines += [("problem", problem) for problem in status.problems]
    lines += [
        ("runs", f"edge-lstm {status.version} as node {status.node}, reloads {status.reloads}"),
        ("bundle", f"{status.bundle.id} {status.bundle.version} (sha256 {status.bundle.sha256[:16]})"),
        ("backend", f"{status.backend.name}: {status.backend.reason}"),
        ("broker", _broker(status)),
        ("readings", _readings(status)),
        *_rejected(status),
        ("streams", _streams(status)),
        ("outbox", _outbox(status)),
        ("storage", _storage(status)),
        ("process", f"{status.process.rss_bytes / 2**20:.0f} MiB, {status.process.cpu_s:.1f} s of processor"),
    ]
    lines += [("quarantine", _quarantined(one)) for one in status.quarantine[-_SHOWN:]]
    return "".join(f"{name:<10} {_shown(text)}\n" for name, text in lines)


def _shown(text: str) -> str:
    cut = text if len(text) <= _MOST_LENGTH else f"{text[: _MOST_LENGTH - 1]}…"
    return "".join(c if c.isprintable() else "\ufffd" for c in cut)


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _broker(status: Status) -> str:
    found = status.broker
    there = "connected" if found.connected else "not connected"
    granted = "" if found.subscribed else ", not subscribed"
    lost = f", sessions lost {found.sessions_lost}" if found.sessions_lost else ""
    tls = " with TLS" if found.tls else ""
    return (
        f"{found.address}{tls} as {found.client_id} ({found.transport}): {there}{granted}, "
        f"connections {found.connections}{lost}, backlog {found.backlog}"
    )


def _readings(status: Status) -> str:
    found = status.readings
    last = "never" if found.last is None else found.last
    odd = f", {found.bad_values} bad values" if found.bad_values else ""
    faults = f", {found.failures} faults" if found.failures else ""
    return (
        f"{found.received} received, {found.accepted} accepted, {found.scored} frames scored, "
        f"{found.alerts} alerts{odd}{faults}, last {last}"
    )


def _rejected(status: Status) -> list[tuple[str, str]]:
    counts = sorted(status.readings.rejected.items(), key=lambda item: -item[1])
    return [("rejected", ", ".join(f"{reason} {count}" for reason, count in counts))] if counts else []


def _streams(status: Status) -> str:
    found = status.streams
    learning = f", {found.commissioning} being learned" if found.commissioning else ""
    return f"{found.total} ({found.resident} in memory){learning}, {found.alerts_open} alerts open"


def _outbox(status: Status) -> str:
    found = status.outbox
    refused = "".join(f", {count} refused ({why})" for why, count in found.refused.items())
    return f"{found.depth} not confirmed{refused}, {found.given_up} given up"


def _storage(status: Status) -> str:
    found = status.storage
    if found.paused:
        return f"paused: {found.paused}"
    return (
        f"{found.durability}, loss window {found.loss_window_s:g} s, lag {found.lag_s:.1f} s, "
        f"last commit {_ago(found.commit_age_s)}, snapshot {_ago(found.snapshot_age_s)}, "
        f"journal {found.journal_bytes / 1024:.0f} KiB"
    )


def _quarantined(one: Quarantined) -> str:
    return f"{one.count} x {one.topic}: {one.reason}, {one.detail} ({one.size} bytes, {one.head[:32]}…)"
