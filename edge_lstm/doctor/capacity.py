"""Needs held against what was measured: one finding a setting."""

from __future__ import annotations

from collections.abc import Iterator

from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.doctor.finding import Finding, fail, info, ok, warn
from edge_lstm.doctor.needs import Needs
from edge_lstm.doctor.probe import Measured

__all__ = ["capacity"]


def capacity(need: Needs, found: Measured, config: DeviceConfig) -> Iterator[Finding]:
    """What the running broker shows of what is needed."""
    if not need.possible:
        fact = f"{need.rate:g} messages/s need more than 65535 in flight when each waits {need.commit_s:g} s"
        yield fail("broker-window", fact, "commit more often, or share the machines among several daemons")
    if found.problem:
        fix = (
            f"see that the broker runs at {config.mqtt.host}:{config.mqtt.port}, and lets this user read and "
            f"write {config.root}/doctor/#"
        )
        yield warn("broker-probe", f"not all could be measured: {found.problem}", fix)
    yield from _session(found)
    yield from _window(need, found)
    yield from _queue(need, found)
    yield from _alert(found, config)
    yield from _packet(need, found)
    fact = "cannot be measured from here: whether the broker keeps sessions over its own crash"
    yield info("broker-disk", fact, "see persistence in the settings below")


def _session(found: Measured) -> Iterator[Finding]:
    if found.keeps_session is False:
        fix = "check persistent_client_expiration, and whether the broker allows sessions that last"
        yield fail("broker-session", "the broker forgets a client that goes away: its readings are lost", fix)
    elif found.keeps_session:
        yield ok("broker-session", "the broker remembers a client that goes away")


def _window(need: Needs, found: Measured) -> Iterator[Finding]:
    if found.inflight is None:
        return
    fact = f"{_at_least(found.inflight, found.inflight_tried)} messages ahead of acknowledgements"
    if found.inflight < min(need.inflight, found.inflight_tried):
        most = found.inflight / (2 * need.commit_s)
        fix = (
            f"max_inflight_messages {need.inflight}; as it is, more than {most:g} messages/s may have to wait"
        )
        yield warn("broker-window", f"{fact}, {need.inflight} needed", fix)
    else:
        yield ok("broker-window", fact)


def _queue(need: Needs, found: Measured) -> Iterator[Finding]:
    if found.queued is None or not found.keeps_session:
        return
    fact = f"{_at_least(found.queued, found.queued_tried)} messages kept for a client that is away"
    if found.queued < found.queued_tried:
        lasts = found.queued / need.rate
        fix = (
            f"max_queued_messages {need.queued_messages}; as it is, an outage of {lasts:.0f} s loses readings"
        )
        yield fail("broker-queue", f"{fact}, {need.queued_messages} needed", fix)
    elif found.queued_tried < need.queued_messages:
        fix = f"more was not tried; {need.queued_messages} are needed: look at max_queued_messages"
        yield info("broker-queue", fact, fix)
    else:
        yield ok("broker-queue", fact)


def _alert(found: Measured, config: DeviceConfig) -> Iterator[Finding]:
    topic = f"{config.root}/doctor/alert"
    if found.alert == "arrived":
        yield ok("broker-alert", f"a test message on {topic} arrived")
    elif found.alert == "unreadable":
        fix = f"let this user read {config.root}/doctor/#, or watch it with mosquitto_sub while doctor runs"
        yield warn("broker-alert", f"{topic} was taken, but not allowed to be read here", fix)
    elif found.alert:
        fix = f"allow this user to write {config.root}/# in the broker's access control list"
        yield fail("broker-alert", f"alerts do not get through: {topic} {found.alert}", fix)


def _packet(need: Needs, found: Measured) -> Iterator[Finding]:
    if found.packet_bytes is not None and found.packet_bytes < need.payload_bytes:
        fact = (
            f"packets of at most {found.packet_bytes} bytes; mqtt.max_payload_bytes is {need.payload_bytes}"
        )
        yield info("broker-packet", fact, "larger readings are refused to whoever publishes them")


def _at_least(count: int, tried: int) -> str:
    return f"at least {count}" if count >= tried else str(count)
