"""What a broken or hostile broker may send: valid packets, mutated, to both transports' connections.

``python -m tests.fuzz.server_packets --count 1000000 --seed 7`` prints what came of it, as JSON.
One input is one connection: CONNECT is answered with a CONNACK (itself mutated, now and then),
then come one to four packets of which at least one is mutated, then the end of the stream.

What must hold: an input ends in `ConnectionLost` or `OSError` or is lived with; from paho any
`Exception`, because its transport catches them all. Nothing hangs, and memory does not grow.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edge_lstm.clock import ArrivalClock, SystemClock
from edge_lstm.io.connection import Connection
from edge_lstm.io.lean_link import Link
from edge_lstm.io.lean_pipe import Pipe
from edge_lstm.io.paho_client import BulkClient
from edge_lstm.io.settings import MqttSettings
from edge_lstm.io.story import ConnectionLost
from edge_lstm.io.transport import Message, Publication, Subscription, TransportEvent

__all__ = ["Outcome", "inputs", "main", "run_lean", "run_paho"]

WILL = Publication("base/availability", b"offline", qos=1, retain=True)
SETTINGS = MqttSettings(
    host="127.0.0.1", port=1, client_id="me", online=WILL, will=WILL, max_packet_bytes=4096
)
SUBSCRIPTIONS = (Subscription("plant/+", 1),)
_MOST_TURNS = 200
"""Far more than any input needs; one that takes more is a hang."""

_CONNACK = b"\x20\x03\0\0\0"
_PACKETS = [
    b"\x20\x1b\1\0\x18\x11\0\0\0\x3c\x21\0\x0a\x24\1\x25\1\x27\0\0\x10\0\x12\0\1x\x13\0\x1e",
    b"\x20\x09\0\x87\x06\x1f\0\3bad",
    b"\x30\x0e\0\x07plant/a\0{1}",
    b"\x32\x10\0\x07plant/a\0\x09\0{1}",
    b"\x3b\x10\0\x07plant/a\0\x0a\0{1}",
    b"\x32\x25\0\x07plant/a\0\x0b\x16\1\1\2\0\0\0\x3c\3\0\1t\x26\0\1k\0\1v\x0b\x05{1}",
    b"\x34\x0f\0\x07plant/a\0\x0c\0{}",
    b"\x30\x0f\0\x07plant/a\3\x23\0\1{}",
    b"\x40\x02\0\1",
    b"\x40\x04\0\1\x87\0",
    b"\x40\x0a\0\1\x97\x06\x1f\0\3who",
    b"\x50\x02\0\1",
    b"\x62\x02\0\1",
    b"\x70\x02\0\1",
    b"\x90\x04\0\2\0\1",
    b"\x90\x0a\0\2\x06\x1f\0\3yes\x87",
    b"\xb0\x04\0\3\0\0",
    b"\xd0\x00",
    b"\xe0\x00",
    b"\xe0\x02\x8b\0",
    b"\xe0\x0b\x9d\x09\x1c\0\6other:",
    b"\xf0\x09\x18\7\x15\0\1m\x16\0\0",
    b"\x10\x0d\0\4MQTT\5\2\0\x1e\0\0\0",
    b"\x82\x09\0\3\0\0\3a/+\x11",
    b"\xc0\x00",
]


@dataclass
class Outcome:
    """What came of the inputs of one transport.

    Attributes:
        ends: How connections ended, by kind.
        messages: Messages delivered.
        slowest_ms: Most processor time for one input, milliseconds.
        grown_kib: What the process's memory grew by after the first tenth of them, KiB.
        faults: Inputs that did what must not be, as hexadecimal text.
    """

    ends: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    slowest_ms: float = 0.0
    grown_kib: int = 0
    faults: list[str] = field(default_factory=list)


def inputs(count: int, seed: int) -> Iterator[bytes]:
    """What a broker sends on one connection after another; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    for _ in range(count):
        packets = [chance.choice(_PACKETS) for _ in range(chance.randint(1, 4))]
        which = chance.randrange(len(packets))
        packets[which] = _mutated(packets[which], chance)
        first = _mutated(_CONNACK, chance) if chance.random() < 0.05 else _CONNACK
        yield first + b"".join(packets)


def _mutated(packet: bytes, chance: random.Random) -> bytes:
    raw = bytearray(packet)
    for _ in range(chance.randint(1, 3)):
        _MUTATIONS[chance.randrange(len(_MUTATIONS))](raw, chance)
    return bytes(raw)


def _flip(raw: bytearray, chance: random.Random) -> None:
    if raw:
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)


def _byte(raw: bytearray, chance: random.Random) -> None:
    if raw:
        raw[chance.randrange(len(raw))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))


def _insert(raw: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(raw) + 1)
    raw[at:at] = chance.randbytes(chance.randint(1, 8))


def _remove(raw: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(raw) + 1)
    del raw[at : at + chance.randint(1, 8)]


def _length(raw: bytearray, chance: random.Random) -> None:
    if len(raw) > 1:
        lengths = (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x7f", b"\x80\x80\x01", b"\0", b"\x01", b"\x80\0")
        raw[1:2] = chance.choice(lengths)


def _text(raw: bytearray, chance: random.Random) -> None:
    at = raw.find(b"plant")
    if at >= 0:
        bad = (b"\xff\xfe\xfd\xfc\xfb", b"\xed\xa0\x80ab", b"\0\0\0\0\0", b"a/#/+", b"\xf8\x88\x80\x80\x80")
        raw[at : at + 5] = chance.choice(bad)


def _twice(raw: bytearray, _chance: random.Random) -> None:
    raw.extend(raw[: 2**12])


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _flip,
    _byte,
    _byte,
    _insert,
    _remove,
    _length,
    _text,
    _twice,
)


# ------------------------------------------------------------------------------------- the transports


def run_lean(raw: bytes) -> tuple[str, list[TransportEvent]]:
    """One connection of the lean client: how it ended, and what was delivered."""
    ours, theirs = socket.socketpair()
    events: list[TransportEvent] = []
    with contextlib.closing(ours), contextlib.closing(theirs):
        ours.setblocking(False)
        link = Link(_Wishes(), Pipe(ours), None, epoch=1, clock=ArrivalClock(SystemClock()), now=0.0)
        theirs.sendall(raw)
        theirs.shutdown(socket.SHUT_WR)
        for _ in range(_MOST_TURNS):
            try:
                link.work(events, 100, 0.0)
            except (ConnectionLost, OSError) as error:
                return f"{type(error).__name__}", events
    raise AssertionError("a hang")


class _Wishes:
    """What an owner wants of every connection."""

    settings = SETTINGS
    subscriptions: tuple[Subscription, ...] = SUBSCRIPTIONS
    obsolete: tuple[str, ...] = ("old/#",)


def run_paho(raw: bytes) -> tuple[str, list[TransportEvent]]:
    """One connection over paho: how it ended, and what was delivered."""
    ours, theirs = socket.socketpair()
    events: list[TransportEvent] = []
    with contextlib.closing(ours), contextlib.closing(theirs), _on(ours):
        connection = Connection(
            SETTINGS, epoch=1, clock=ArrivalClock(SystemClock()), deliver=events.append, password=None
        )
        theirs.sendall(raw)
        theirs.shutdown(socket.SHUT_WR)
        asked = False
        for _ in range(_MOST_TURNS):
            try:
                connection.turn(1.0, room=100, wake_fd=_QUIET.fileno())
                if connection.accepted and not asked:
                    asked = True
                    connection.unsubscribe(("old/#",))
                    connection.subscribe(SUBSCRIPTIONS)
                    connection.publish(WILL)
            except Exception as error:  # noqa: BLE001 - its transport catches them all, and so do we
                connection.close(politely=False)
                return type(error).__name__, events
    raise AssertionError("a hang")


_QUIET, _QUIET_TOO = socket.socketpair()
"""Wakes nobody; both ends stay open."""


@contextlib.contextmanager
def _on(sock: socket.socket) -> Iterator[None]:
    """Paho connects by taking this socket."""
    kept: Any = BulkClient._create_socket
    BulkClient._create_socket = lambda _self: sock  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        BulkClient._create_socket = kept  # type: ignore[method-assign]


def measure(run: Callable[[bytes], tuple[str, list[TransportEvent]]], count: int, seed: int) -> Outcome:
    """Many inputs to one transport."""
    outcome, begin_kib = Outcome(), 0
    for number, raw in enumerate(inputs(count, seed)):
        if number == count // 10:
            begin_kib = _memory_kib()
        began = time.thread_time()
        try:
            end, events = run(raw)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            outcome.faults.append(f"{type(error).__name__}: {raw.hex()}")
            continue
        outcome.slowest_ms = max(outcome.slowest_ms, 1000 * (time.thread_time() - began))
        outcome.ends[end] += 1
        outcome.messages += sum(isinstance(found, Message) for found in events)
    outcome.grown_kib = _memory_kib() - begin_kib
    return outcome


def _memory_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextlib.contextmanager
def _quiet_codec() -> Iterator[None]:
    """The codec mqtt5 tells of text that is no UTF-8 by a panic, on standard error."""
    os.environ["RUST_BACKTRACE"] = "0"  # to find the names for one takes 50 ms
    hook, sys.unraisablehook = sys.unraisablehook, lambda _args: None
    sys.stderr.flush()
    kept, void = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(void, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(void)
        sys.unraisablehook = hook


def main(count: int, seed: int) -> dict[str, Outcome]:
    """``count`` inputs to each transport.

    Args:
        count: Inputs.
        seed: Of the mutations.

    Returns:
        What came of them, by the transport's name.
    """
    with _quiet_codec():
        return {"mqtt5": measure(run_lean, count, seed), "paho": measure(run_paho, count, seed)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    found = main(wanted.count, wanted.seed)
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    sys.exit(any(one.faults for one in found.values()))
