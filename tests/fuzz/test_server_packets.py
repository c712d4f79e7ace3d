"""Whatever a broker sends, both transports live; the long run is ``python -m tests.fuzz.server_packets``."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from edge_lstm.clock import ArrivalClock, SystemClock
from edge_lstm.io.lean import LeanTransport
from edge_lstm.io.mqtt import MqttTransport
from edge_lstm.io.settings import MqttSettings
from edge_lstm.io.transport import Message
from tests.fuzz.server_packets import SUBSCRIPTIONS, WILL, inputs, main, run_lean
from tests.integration.scripted import CONNECT, WAIT_S, Owner, Server


def test_mutated_packets_are_lived_with() -> None:
    """10,000 connections each, all in order; memory stays where it was."""
    found = main(10_000, seed=11)

    for name, outcome in found.items():
        assert [] == outcome.faults, name
        assert outcome.ends.total() == 10_000
        assert outcome.messages > 500, "the fuzzer reaches nothing"
        assert outcome.grown_kib < 32 * 1024, name


# The codec mqtt5 tells of text that is no UTF-8 by a panic of Rust's, which is caught.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "raw",
    [
        "200300000032100007eda08061622f610009007b31dba4799bd4a7f07d",
        "20030000003b10000770ff616e742f61000a007b317dcb988f98b89db982090003000003612f2b11400a000197",
    ],
    ids=["garbage after a topic that is no text", "length of five bytes after it"],
)
def test_inputs_that_once_escaped(raw: str) -> None:
    """Found by a million inputs: after a topic that is no text, a length of more than four bytes."""
    end, events = run_lean(bytes.fromhex(raw))

    assert "ConnectionLost" == end
    assert [""] == [found.topic for found in events if isinstance(found, Message)]


def endings() -> Iterator[bytes]:
    """Inputs after which a client has reason to come back soon: none that it is banned or taken over by."""
    usable = (
        raw for raw in inputs(400, seed=5) if b"\x8e" not in raw and b"\x8a" not in raw and b"\x9f" not in raw
    )
    return itertools.islice(usable, 60)


# The codec mqtt5 tells of text that is no UTF-8 by a panic of Rust's, which is caught.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("client", [MqttTransport, LeanTransport], ids=["paho", "mqtt5"])
def test_transport_comes_back_after_every_mutated_packet(
    client: type[MqttTransport | LeanTransport],
) -> None:
    """The whole transport, over TCP: 60 bad brokers in a row, and then a good one is heard."""
    server = Server()
    settings = MqttSettings(
        host="127.0.0.1",
        port=server.port,
        client_id="me",
        online=WILL,
        will=WILL,
        retry_s=0.001,
        retry_most_s=0.002,
    )
    owner = Owner(client(settings, subscriptions=SUBSCRIPTIONS, clock=ArrivalClock(SystemClock())))
    owner.start()

    def be_bad() -> None:
        for raw in endings():
            with server.meet() as peer:
                peer.read(CONNECT)
                peer.tell(raw)

    thread = threading.Thread(target=be_bad)
    thread.start()
    thread.join(4 * WAIT_S)
    assert not thread.is_alive()
    with server.meet() as peer:
        peer.accept()
        peer.publish(1, b"good")
        while b"good" != owner.receive(Message).payload:
            pass
    owner.stop(WILL, timeout_s=0.01)
    server.close()
