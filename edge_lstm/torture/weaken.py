"""Safeguards left out on purpose: a harness that cannot fail proves nothing.

They are taken out of this process from outside, so that the daemon has no switch for them.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping

import msgspec

from edge_lstm import daemon
from edge_lstm.clock import ArrivalClock
from edge_lstm.io.lean import LeanTransport
from edge_lstm.io.mqtt import MqttTransport
from edge_lstm.io.rows import Weakness
from edge_lstm.io.transport import Message, Transport, TransportEvent
from edge_lstm.redelivery import Redelivery

__all__ = ["WEAKNESSES", "replace", "weaken"]

_TRANSPORTS = (LeanTransport, MqttTransport)


def replace(owner: object, name: str, value: object) -> None:
    """Put something else in the place of a part of this process."""
    getattr(owner, name)  # it must be there
    setattr(owner, name, value)


def _without(safeguard: Weakness) -> None:
    """The store knows how to leave out some of its own."""
    make = vars(daemon)["Store"]
    replace(daemon, "Store", functools.partial(make, weaken=frozenset({safeguard})))


def _auto_ack() -> None:
    """Messages are acknowledged when they come in, as a client without manual acknowledgement does."""

    def weak(kind: type) -> None:
        receive, ack = vars(kind)["receive"], vars(kind)["ack"]

        def receive_and_ack(self: Transport, timeout_s: float) -> list[TransportEvent]:
            events: list[TransportEvent] = receive(self, timeout_s)
            for one in events:
                if isinstance(one, Message) and one.qos:
                    ack(self, one.epoch, (one.mid,))
            return events

        replace(kind, "receive", receive_and_ack)
        replace(kind, "ack", lambda *_: None)

    for kind in _TRANSPORTS:
        weak(kind)


def _poison_stays() -> None:
    """Messages that cannot be read are left unacknowledged, for somebody to look at."""

    def weak(kind: type) -> None:
        receive = vars(kind)["receive"]

        def receive_good(self: Transport, timeout_s: float) -> list[TransportEvent]:
            events = receive(self, timeout_s)
            return [one for one in events if not isinstance(one, Message) or _readable(one)]

        replace(kind, "receive", receive_good)

    for kind in _TRANSPORTS:
        weak(kind)


def _readable(message: Message) -> bool:
    try:
        return isinstance(msgspec.json.decode(message.payload, type=dict[str, float]), dict)
    except (ValueError, RecursionError):
        return False


def _plain_clock() -> None:
    """Times of arrival are the machine's clock, whatever it does."""
    replace(ArrivalClock, "now_ns", lambda _self: time.time_ns())


def _no_dedupe() -> None:
    """Nothing is remembered of what the broker delivered."""
    replace(Redelivery, "again", lambda _self, _message: False)


WEAKNESSES: Mapping[str, Callable[[], None]] = {
    "auto_ack": _auto_ack,
    "no_dedupe": _no_dedupe,
    "no_dir_fsync": lambda: _without("no_dir_fsync"),
    "no_fdatasync": lambda: _without("no_fdatasync"),
    "plain_clock": _plain_clock,
    "poison_stays": _poison_stays,
    "sqlite_normal": lambda: _without("sqlite_normal"),
}


def weaken(name: str) -> None:
    """Leave one safeguard of this process out."""
    WEAKNESSES[name]()
