"""The transport against a broker of our own that says exactly what a test wants said, byte for byte."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from weakref import WeakKeyDictionary

import pytest

from edge_lstm.clock import ArrivalClock, SystemClock
from edge_lstm.io.mqtt import MqttTransport
from edge_lstm.io.settings import MqttSettings
from edge_lstm.io.transport import (
    Confirmed,
    Connected,
    Disconnected,
    Message,
    Publication,
    Subscribed,
    Subscription,
    TransportEvent,
    Woken,
)

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, DISCONNECT = 1, 2, 3, 4, 8, 9, 10, 14
WAIT_S = 15.0
WILL = Publication("base/availability", b"offline", qos=1, retain=True)
ONLINE = Publication("base/availability", b"online", qos=1, retain=True)


class Packet(NamedTuple):
    """One MQTT packet: type, flags, and what follows the length."""

    kind: int
    flags: int
    body: bytes

    @property
    def mid(self) -> int:
        """Packet identifier of a PUBLISH of QoS 1, a SUBSCRIBE or a PUBACK."""
        at = 2 + struct.unpack_from(">H", self.body)[0] if self.kind == PUBLISH else 0
        return int(struct.unpack_from(">H", self.body, at)[0])

    @property
    def payload(self) -> bytes:
        """Payload of a PUBLISH without properties."""
        at = 2 + int(struct.unpack_from(">H", self.body)[0]) + (2 if self.flags & 6 else 0)
        return self.body[at + 1 :]


class Peer:
    """One accepted connection, from the broker's side."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(WAIT_S)
        self.socket = sock

    def read(self, kind: int) -> Packet:
        """The next packet of a kind; others are passed over."""
        while True:
            packet = self.next()
            if packet.kind == kind:
                return packet

    def next(self) -> Packet:
        """The next packet."""
        head = self._exactly(1)[0]
        length, shift = 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return Packet(head >> 4, head & 15, self._exactly(length))

    def _exactly(self, count: int) -> bytes:
        raw = b""
        while len(raw) < count:
            more = self.socket.recv(count - len(raw))
            if not more:
                raise EOFError("the client has closed the connection")
            raw += more
        return raw

    def send(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Send one packet of less than 128 bytes."""
        self.socket.sendall(bytes([kind << 4 | flags, len(body)]) + body)

    def accept(self, *, session: bool = False, properties: bytes = b"", refused: int = 0) -> None:
        """Answer CONNECT and SUBSCRIBE."""
        self.read(CONNECT)
        self.send(CONNACK, bytes([session, 0, len(properties)]) + properties)
        subscribe = self.read(SUBSCRIBE)
        self.send(SUBACK, subscribe.body[:2] + b"\0" + bytes([refused or 1]))

    def puback(self, packet: Packet, reason: int = 0) -> None:
        """Confirm a PUBLISH."""
        self.send(PUBACK, struct.pack(">HBB", packet.mid, reason, 0))

    def publish(self, mid: int, payload: bytes = b"1", topic: bytes = b"plant/a") -> None:
        """Deliver a message at QoS 1."""
        self.send(
            PUBLISH, struct.pack(">H", len(topic)) + topic + struct.pack(">H", mid) + b"\0" + payload, 2
        )


class Server:
    """Where the transport connects to."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(WAIT_S)
        self._peers: list[Peer] = []
        self.port: int = self._socket.getsockname()[1]

    def meet(self) -> Peer:
        """The next connection."""
        self._peers.append(Peer(self._socket.accept()[0]))
        return self._peers[-1]

    def close(self) -> None:
        """End everything."""
        for found in (self._socket, *(peer.socket for peer in self._peers)):
            found.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A broker that does what the test does."""
    found = Server()
    yield found
    found.close()


Start = Callable[..., MqttTransport]


@pytest.fixture
def start(server: Server) -> Iterator[Start]:
    """Starts a transport that subscribes to ``plant/+``; keyword arguments are the transport's."""
    made: list[MqttTransport] = []

    def make(**changes: object) -> MqttTransport:
        settings = MqttSettings(host="127.0.0.1", port=server.port, client_id="me", online=ONLINE, will=WILL)
        facts: dict[str, object] = {"subscriptions": (Subscription("plant/+", 1),), **changes}
        transport = MqttTransport(settings, clock=ArrivalClock(SystemClock()), **facts)  # type: ignore[arg-type]
        made.append(transport)
        transport.start()
        return transport

    yield make
    server.close()
    for transport in made:
        transport.stop(WILL, timeout_s=0.1)


WAITING: WeakKeyDictionary[MqttTransport, list[TransportEvent]] = WeakKeyDictionary()
"""What a transport gave and nobody asked for yet."""


def receive(transport: MqttTransport, kind: type[TransportEvent]) -> TransportEvent:
    """The next event of a kind; others are passed over."""
    waiting = WAITING.setdefault(transport, [])
    while True:
        waiting.extend(() if waiting else transport.receive(WAIT_S))
        assert waiting, f"no {kind.__name__}"
        found = waiting.pop(0)
        if isinstance(found, kind):
            return found


def test_connect_asks_for_the_session_and_leaves_a_will(server: Server, start: Start) -> None:
    """CONNECT keeps the session over restarts, names its limits, and has the retained last will."""
    start()
    body = server.meet().read(CONNECT).body

    assert b"\0\x04MQTT\x05" == body[:7]
    assert 0b0010_1100 == body[7]  # will retained, QoS 1, will; no clean start
    assert struct.pack(">BI", 0x11, 604_800) in body  # session expiry
    assert struct.pack(">BI", 0x27, 2**20) in body  # maximum packet size
    assert struct.pack(">BH", 0x21, 1000) in body  # receive maximum
    assert b"base/availability\0\x07offline" in body


def test_connected_says_online_and_subscribes(server: Server, start: Start) -> None:
    """Old topics are given up, ours asked for with what was kept only if new, and we say online."""
    transport = start(obsolete=("old/#",))
    peer = server.meet()
    peer.read(CONNECT)
    peer.send(CONNACK, b"\1\0\0")
    assert Connected(1, session_present=True) == receive(transport, Connected)
    assert b"old/#" in peer.read(UNSUBSCRIBE).body
    subscribe = peer.read(SUBSCRIBE)
    assert b"\0\x07plant/+" + bytes([0b0001_0001]) == subscribe.body[3:]  # retain handling 1, QoS 1
    online = peer.read(PUBLISH)
    assert (b"online", 0b0011) == (online.payload, online.flags)


def test_refused_subscription_is_an_event(server: Server, start: Start) -> None:
    """A filter that the broker does not grant is named."""
    transport = start()
    server.meet().accept(refused=0x87)

    assert Subscribed(("plant/+",)) == receive(transport, Subscribed)


def test_message_is_acknowledged_when_told_and_not_before(server: Server, start: Start) -> None:
    """PUBACK carries the message's own number, after `ack`."""
    transport = start()
    peer = server.meet()
    peer.accept()
    peer.publish(7, b"one")
    peer.publish(8, b"two")
    first, second = receive(transport, Message), receive(transport, Message)
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert (b"one", b"two") == (first.payload, second.payload)
    assert first.arrived_ns < second.arrived_ns
    transport.ack(second.epoch, [second.mid])

    assert 8 == peer.read(PUBACK).mid


def test_ack_of_an_old_connection_is_dropped(server: Server, start: Start) -> None:
    """After a reconnect the same number may be another message: only its own connection's ack counts."""
    transport = start()
    peer = server.meet()
    peer.accept()
    peer.publish(7)
    old = receive(transport, Message)
    assert isinstance(old, Message)
    peer.socket.close()
    receive(transport, Disconnected)
    peer = server.meet()
    peer.accept(session=True)
    receive(transport, Connected)
    transport.ack(old.epoch, [old.mid])
    peer.publish(9)
    new = receive(transport, Message)
    assert isinstance(new, Message)
    transport.ack(new.epoch, [new.mid])

    assert 9 == peer.read(PUBACK).mid


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"\x30\x02\x00\x10", id="publish-cut-short"),
        pytest.param(b"\x40\x03\x00\x01\xee", id="puback-with-unknown-reason"),
        pytest.param(b"\x90\x01\x00", id="suback-cut-short"),
        pytest.param(b"\xf0\x00", id="auth-without-being-asked"),
        pytest.param(b"\x30\xff\xff\xff\xff\x7f", id="length-of-five-bytes"),
        pytest.param(b"\xe0\x02\x8e\x00", id="session-taken-over-slowly"),
    ],
)
def test_malformed_packet_ends_one_connection_only(server: Server, start: Start, packet: bytes) -> None:
    """Whatever the parser makes of it, the network thread lives, says so and connects anew."""
    transport = start()
    peer = server.meet()
    peer.accept()
    receive(transport, Subscribed)
    peer.socket.sendall(packet)
    if packet[0] == 0xE0:
        receive(transport, Disconnected)
        assert transport.alive  # the next attempt waits half a minute, so as not to drive the other one out
        return
    peer.socket.shutdown(socket.SHUT_WR)
    receive(transport, Disconnected)
    again = server.meet()
    again.accept()

    assert Connected(2, session_present=False) == receive(transport, Connected)
    assert transport.alive


def test_refused_connection_is_tried_again(
    server: Server, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused CONNACK is not a connection; it is logged and tried again."""
    transport = start()
    for _ in range(2):
        peer = server.meet()
        peer.read(CONNECT)
        peer.send(CONNACK, b"\0\x86\0")
        peer.socket.close()
    server.meet().accept()

    assert Connected(3, session_present=False) == receive(transport, Connected)
    (line,) = [r.getMessage() for r in caplog.records if "refuses" in r.getMessage()]
    assert "Bad user name or password" in line


def test_publications_are_confirmed_by_token(server: Server, start: Start) -> None:
    """Accepted, refused and heard by nobody are told apart."""
    transport = start()
    peer = server.meet()
    peer.accept()
    receive(transport, Connected)
    peer.puback(peer.read(PUBLISH))
    for token in (11, 12, 13):
        transport.publish(Publication("base/a/alert", b"%d" % token, qos=1), token=token)
    for reason in (0, 0x87, 0x10):
        peer.puback(peer.read(PUBLISH), reason)

    assert Confirmed(11) == receive(transport, Confirmed)
    assert Confirmed(12, "Not authorized") == receive(transport, Confirmed)
    assert Confirmed(13, heard=False) == receive(transport, Confirmed)


def test_publications_under_way_stay_within_what_the_broker_allows(server: Server, start: Start) -> None:
    """With a receive maximum of 2, no third publication goes out before one is confirmed."""
    transport = start()
    peer = server.meet()
    peer.accept(properties=struct.pack(">BH", 0x21, 2))
    receive(transport, Connected)
    for number in range(5):
        transport.publish(Publication("base/a/alert", b"%d" % number, qos=1), token=number + 1)
    under_way = [peer.read(PUBLISH), peer.read(PUBLISH)]
    peer.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        peer.next()
    peer.socket.settimeout(WAIT_S)
    seen = [packet.payload for packet in under_way]
    while len(seen) < 6:
        peer.puback(under_way.pop(0))
        under_way.append(peer.read(PUBLISH))
        seen.append(under_way[-1].payload)

    assert [b"online", b"0", b"1", b"2", b"3", b"4"] == seen


def test_publication_without_connection_is_dropped_and_counted(server: Server, start: Start) -> None:
    """Scores are of now: they are not kept for later."""
    transport = start()
    transport.publish(Publication("base/a/score", b"1"))
    peer = server.meet()
    peer.accept()
    receive(transport, Connected)
    transport.publish(Publication("base/a/score", b"2"))
    peer.read(PUBLISH)

    assert b"2" == peer.read(PUBLISH).payload
    assert 1 == transport.dropped


def test_network_is_not_read_while_too_much_waits(server: Server, start: Start) -> None:
    """A scorer that falls behind holds the broker back instead of filling the memory."""
    transport = start(queue_limit=10)
    peer = server.meet()
    peer.accept()
    receive(transport, Subscribed)
    for number in range(1, 101):
        peer.publish(number)
    seen, most = 0, 0
    while seen < 100:
        receive(transport, Message)
        seen, most = seen + 1, max(most, transport.backlog)

    assert most <= 10


def test_stop_sends_what_waits_and_says_farewell(server: Server, start: Start) -> None:
    """Acknowledgements and publications first, then offline, then DISCONNECT: no will is published."""
    transport = start()
    peer = server.meet()
    peer.accept()
    receive(transport, Connected)
    peer.puback(peer.read(PUBLISH))
    peer.publish(5)
    message = receive(transport, Message)
    assert isinstance(message, Message)
    transport.ack(message.epoch, [message.mid])
    transport.publish(Publication("base/a/score", b"last"))
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(transport.stop, WILL, timeout_s=WAIT_S)
        said = []
        while (packet := peer.next()).kind != DISCONNECT:
            said.append((packet.kind, packet.payload if packet.kind == PUBLISH else b""))
            if packet.flags & 2:
                peer.puback(packet)
        stopped.result(WAIT_S)

    assert [(PUBACK, b""), (PUBLISH, b"last"), (PUBLISH, b"offline")] == said
    assert not transport.alive


def test_wake_is_an_event(start: Start) -> None:
    """Whoever waits is woken."""
    transport = start()
    transport.wake()

    assert Woken() == receive(transport, Woken)


def test_topic_that_is_not_text_is_delivered_as_no_topic(server: Server, start: Start) -> None:
    """Invalid UTF-8 in a topic is data, and data is counted, not raised."""
    transport = start()
    peer = server.meet()
    peer.accept()
    peer.publish(3, topic=b"plant/\xff")
    message = receive(transport, Message)
    assert isinstance(message, Message)

    assert "" == message.topic
