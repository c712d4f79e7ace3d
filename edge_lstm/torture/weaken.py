"""Safeguards left out on purpose: a harness that cannot fail proves nothing.

They are taken out of this process from outside, so that the daemon has no switch for them.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping

import msgspec

from edge_lstm.clock import ArrivalClock
from edge_lstm.io import mqtt
from edge_lstm.io.transport import Message, TransportEvent

__all__ = ["WEAKNESSES", "weaken"]


def _no_fdatasync() -> None:
    """What is written is called durable at once."""

    def lie(_file: object) -> None:
        pass

    os.fdatasync = lie  # type: ignore[assignment]  # the point of it


def _no_dir_fsync() -> None:
    """New names are called durable at once."""
    true = os.fsync

    def lie(file: int) -> None:
        if not stat.S_ISDIR(os.fstat(file).st_mode):
            true(file)

    os.fsync = lie  # type: ignore[assignment]  # the point of it


def _auto_ack() -> None:
    """Messages are acknowledged when they come in, as a client without manual acknowledgement does."""
    transport = mqtt.MqttTransport
    receive, ack = transport.receive, transport.ack

    def receive_and_ack(self: mqtt.MqttTransport, timeout_s: float) -> list[TransportEvent]:
        events = receive(self, timeout_s)
        for one in events:
            if isinstance(one, Message) and one.qos:
                ack(self, one.epoch, (one.mid,))
        return events

    transport.receive = receive_and_ack  # type: ignore[method-assign]  # the point of it
    transport.ack = lambda *_: None  # type: ignore[method-assign]  # done already


def _poison_stays() -> None:
    """Messages that cannot be read are left unacknowledged, for somebody to look at."""
    transport = mqtt.MqttTransport
    receive = transport.receive

    def receive_good(self: mqtt.MqttTransport, timeout_s: float) -> list[TransportEvent]:
        return [one for one in receive(self, timeout_s) if not isinstance(one, Message) or _readable(one)]

    transport.receive = receive_good  # type: ignore[method-assign]  # the point of it


def _readable(message: Message) -> bool:
    try:
        return isinstance(msgspec.json.decode(message.payload, type=dict[str, float]), dict)
    except (ValueError, RecursionError):
        return False


def _plain_clock() -> None:
    """Times of arrival are the machine's clock, whatever it does."""

    def plain(_self: ArrivalClock) -> int:
        return time.time_ns()

    ArrivalClock.now_ns = plain  # type: ignore[method-assign]  # the point of it


def _no_dedupe() -> None:
    """Nothing is remembered of what was seen."""


WEAKNESSES: Mapping[str, Callable[[], None]] = {
    "auto_ack": _auto_ack,
    "no_dedupe": _no_dedupe,
    "no_dir_fsync": _no_dir_fsync,
    "no_fdatasync": _no_fdatasync,
    "plain_clock": _plain_clock,
    "poison_stays": _poison_stays,
    "sqlite_normal": _no_fdatasync,
}


def weaken(name: str) -> None:
    """Leave one safeguard of this process out."""
    WEAKNESSES[name]()
