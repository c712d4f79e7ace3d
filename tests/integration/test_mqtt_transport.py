"""Both transports against a broker of our own that says exactly what a test wants said, byte for byte.

One suite: what it demands, each transport does. The differences that there are stand at the
end of the file, each in a test of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import ssl
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from edge_lstm.clock import ArrivalClock, SystemClock
from edge_lstm.io.lean import LeanTransport
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
    Woken,
)
from tests.integration.conftest import wait_until
from tests.integration.scripted import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    WAIT_S,
    Owner,
    Server,
)

WILL = Publication("base/availability", b"offline", qos=1, retain=True)
ONLINE = Publication("base/availability", b"online", qos=1, retain=True)

AnyTransport = type[MqttTransport] | type[LeanTransport]


@pytest.fixture
def server() -> Iterator[Server]:
    """A broker that does what the test does."""
    found = Server()
    yield found
    found.close()


@pytest.fixture(params=[MqttTransport, LeanTransport], ids=["paho", "mqtt5"])
def client(request: pytest.FixtureRequest) -> AnyTransport:
    """The transport under test."""
    kind: AnyTransport = request.param
    return kind


Any_ = TypeVar("Any_", MqttTransport, LeanTransport)


def _build(kind: type[Any_], server: Server, **changes: object) -> Any_:
    settings = MqttSettings(
        host="127.0.0.1", port=server.port, client_id="me", online=ONLINE, will=WILL, retry_s=0.05
    )
    own = {key: value for key, value in changes.items() if key in ("queue_limit", "obsolete")}
    wanted = {key: value for key, value in changes.items() if key not in own}
    settings = dataclasses.replace(settings, **wanted)  # type: ignore[arg-type]
    facts: dict[str, object] = {"subscriptions": (Subscription("plant/+", 1),), **own}
    return kind(settings, clock=ArrivalClock(SystemClock()), **facts)  # type: ignore[arg-type]


Make = Callable[..., MqttTransport | LeanTransport]
Start = Callable[..., Owner]


@pytest.fixture
def make(server: Server, client: AnyTransport) -> Make:
    """Makes one that subscribes to ``plant/+``; keyword arguments are the transport's, or settings."""
    return partial(_build, client, server)  # type: ignore[type-var]  # one of the two, not both


@pytest.fixture
def lean(server: Server) -> LeanTransport:
    """The lean client alone."""
    return _build(LeanTransport, server)


@pytest.fixture
def paho(server: Server) -> MqttTransport:
    """The one over paho alone, with MQTT 3.1.1."""
    return _build(MqttTransport, server, protocol=MQTTProtocolVersion.MQTTv311)


@pytest.fixture
def start(server: Server, make: Make) -> Iterator[Start]:
    """Starts such a transport, with an owner."""
    owners: list[Owner] = []

    def begin(**changes: object) -> Owner:
        owners.append(Owner(make(**changes)))
        owners[-1].start()
        return owners[-1]

    yield begin
    server.close()
    for owner in owners:
        owner.stop(WILL, timeout_s=0.01)


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
    owner = start(obsolete=("old/#",))
    peer = server.meet()
    peer.read(CONNECT)
    peer.send(CONNACK, b"\1\0\0")
    assert Connected(1, session_present=True) == owner.receive(Connected)
    assert b"old/#" in peer.read(UNSUBSCRIBE).body
    subscribe = peer.read(SUBSCRIBE)
    assert b"\0\x07plant/+" + bytes([0b0001_0001]) == subscribe.body[3:]  # retain handling 1, QoS 1
    online = peer.read(PUBLISH)
    assert (b"online", 0b0011) == (online.payload, online.flags)


def test_small_packets_do_not_wait_for_one_another(server: Server, start: Start) -> None:
    """Nagle's algorithm is off: an alert does not wait for the broker's answer to an acknowledgement."""
    owner = start()
    peer = server.meet()
    peer.read(CONNECT)
    peer.send(CONNACK, b"\0\0\0")
    owner.receive(Connected)

    assert [1] == list(_no_delay(server.port))


def _no_delay(port: int) -> Iterator[int]:
    """TCP_NODELAY of every socket of this process that is connected to a port."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile, or not connected
            if stat.S_ISSOCK(link.stat().st_mode):
                with socket.socket(fileno=os.dup(int(link.name))) as sock:
                    if sock.family == socket.AF_INET and sock.getpeername()[1] == port:
                        yield sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_refused_subscription_is_an_event(server: Server, start: Start) -> None:
    """A filter that the broker does not grant is named."""
    owner = start()
    server.meet().accept(refused=0x87)

    assert Subscribed(("plant/+",)) == owner.receive(Subscribed)


def test_message_is_acknowledged_when_told_and_not_before(server: Server, start: Start) -> None:
    """PUBACK carries the message's own number, after `ack`."""
    owner = start()
    peer = server.meet()
    peer.accept()
    peer.publish(7, b"one")
    peer.publish(8, b"two")
    first, second = owner.receive(Message), owner.receive(Message)
    assert (b"one", b"two") == (first.payload, second.payload)
    assert first.arrived_ns < second.arrived_ns
    owner.ack(second.epoch, [second.mid])

    assert 8 == peer.read(PUBACK).mid


def test_ack_of_an_old_connection_is_dropped(server: Server, start: Start) -> None:
    """After a reconnect the same number may be another message: only its own connection's ack counts."""
    owner = start()
    peer = server.meet()
    peer.accept()
    peer.publish(7)
    old = owner.receive(Message)
    peer.socket.close()
    owner.receive(Disconnected)
    peer = server.meet()
    peer.accept(session=True)
    owner.receive(Connected)
    owner.ack(old.epoch, [old.mid])
    peer.publish(9)
    new = owner.receive(Message)
    owner.ack(new.epoch, [new.mid])

    assert 9 == peer.read(PUBACK).mid


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"\x30\x02\x00\x10", id="publish-cut-short"),
        pytest.param(b"\x40\x03\x00\x01\xee", id="puback-with-unknown-reason"),
        pytest.param(b"\x90\x01\x00", id="suback-cut-short"),
        pytest.param(b"\xf0\x00", id="auth-without-being-asked"),
        pytest.param(b"\x30\xff\xff\xff\xff\x7f", id="length-of-five-bytes"),
        pytest.param(b"\x32\x05\x00\x01a\x00", id="publish-without-its-end"),
        pytest.param(b"\x30\xff\xff\xff\x7f\x00", id="publish-of-256-MiB"),
    ],
)
def test_malformed_packet_ends_one_connection_only(server: Server, start: Start, packet: bytes) -> None:
    """Whatever the parser makes of it, the network thread lives, says so and connects anew."""
    owner = start()
    peer = server.meet()
    peer.accept()
    owner.receive(Subscribed)
    peer.socket.sendall(packet)
    with contextlib.suppress(OSError):  # it may have gone already
        peer.socket.shutdown(socket.SHUT_WR)
    owner.receive(Disconnected)
    again = server.meet()
    again.accept()

    assert Connected(2, session_present=False) == owner.receive(Connected)
    assert owner.transport.alive


def test_announced_length_is_judged_before_there_is_room_made(server: Server, start: Start) -> None:
    """Five bytes can promise 256 MiB; nobody waits for them."""
    owner = start()
    peer = server.meet()
    peer.accept()
    owner.receive(Subscribed)
    peer.socket.sendall(b"\x30\xff\xff\xff\x7f")

    assert "more than the 1048576 we take" in owner.receive(Disconnected).reason


def test_refused_connection_is_tried_again(
    server: Server, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused CONNACK is not a connection; it is logged and tried again."""
    owner = start()
    for _ in range(2):
        peer = server.meet()
        peer.read(CONNECT)
        peer.send(CONNACK, b"\0\x86\0")
        peer.socket.close()
    server.meet().accept()

    assert Connected(3, session_present=False) == owner.receive(Connected)
    (line,) = [r.getMessage() for r in caplog.records if "refuses" in r.getMessage()]
    assert "Bad user name or password" in line


def test_publications_are_confirmed_by_token(server: Server, start: Start) -> None:
    """Accepted, refused and heard by nobody are told apart."""
    owner = start()
    peer = server.meet()
    peer.accept()
    owner.receive(Connected)
    peer.puback(peer.read(PUBLISH))
    for token in (11, 12, 13):
        owner.publish(Publication("base/a/alert", b"%d" % token, qos=1), token=token)
    for reason in (0, 0x87, 0x10):
        peer.puback(peer.read(PUBLISH), reason)

    assert Confirmed(11) == owner.receive(Confirmed)
    assert Confirmed(12, "Not authorized") == owner.receive(Confirmed)
    assert Confirmed(13, heard=False) == owner.receive(Confirmed)


def test_publications_under_way_stay_within_what_the_broker_allows(server: Server, start: Start) -> None:
    """With a receive maximum of 2, no third publication goes out before one is confirmed."""
    owner = start()
    peer = server.meet()
    peer.accept(properties=struct.pack(">BH", 0x21, 2))
    owner.receive(Connected)
    for number in range(5):
        owner.publish(Publication("base/a/alert", b"%d" % number, qos=1), token=number + 1)
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
    owner = start()
    owner.publish(Publication("base/a/score", b"1"))
    peer = server.meet()
    peer.accept()
    owner.receive(Connected)
    owner.publish(Publication("base/a/score", b"2"))
    peer.read(PUBLISH)

    assert b"2" == peer.read(PUBLISH).payload
    assert 1 == owner.transport.dropped


def test_network_is_not_read_while_too_much_waits(server: Server, make: Make) -> None:
    """A scorer that falls behind holds the broker back instead of filling the memory."""

    def broker() -> None:
        peer = server.meet()
        peer.accept()
        for number in range(1, 101):
            peer.publish(number)

    transport, seen, most = make(queue_limit=10), 0, 0
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(broker)
        transport.start()
        while seen < 100:
            found = transport.receive(WAIT_S)
            assert found, "nothing comes any more"
            seen += sum(isinstance(one, Message) for one in found)
            most = max(most, len(found), transport.backlog)
        done.result(WAIT_S)
    server.close()
    transport.stop(WILL, timeout_s=0.01)

    assert most <= 12  # and what an answer of the broker adds


def test_stop_sends_what_waits_and_says_farewell(server: Server, start: Start) -> None:
    """Acknowledgements and publications first, then offline, then DISCONNECT: no will is published."""
    owner = start()
    peer = server.meet()
    peer.accept()
    owner.receive(Connected)
    peer.puback(peer.read(PUBLISH))
    peer.publish(5)
    message = owner.receive(Message)
    owner.ack(message.epoch, [message.mid])
    owner.publish(Publication("base/a/score", b"last"))
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(owner.stop, WILL, timeout_s=WAIT_S)
        said = []
        while (packet := peer.next()).kind != DISCONNECT:
            said.append((packet.kind, packet.payload if packet.kind == PUBLISH else b""))
            if packet.flags & 2:
                peer.puback(packet)
        stopped.result(WAIT_S)

    assert [(PUBACK, b""), (PUBLISH, b"last"), (PUBLISH, b"offline")] == said
    assert not owner.transport.alive


def test_wake_is_an_event(server: Server, make: Make) -> None:
    """Whoever waits is woken, whether there is a broker or not."""
    server.close()
    transport = make()
    transport.start()
    transport.wake()

    assert [Woken()] == transport.receive(WAIT_S)
    transport.stop(WILL, timeout_s=0.01)


# The codec mqtt5 tells of the first such topic by a panic of Rust's, which we catch.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_topic_that_is_not_text_is_delivered_as_no_topic(server: Server, start: Start) -> None:
    """Invalid UTF-8 in a topic is data, and data is counted, not raised."""
    owner = start()
    peer = server.meet()
    peer.accept()
    peer.publish(3, topic=b"plant/\xff")
    peer.publish(4)
    peer.publish(5, b"again", topic=b"\x80")
    found = [owner.receive(Message) for _ in range(3)]

    assert [("", b"1", 3), ("plant/a", b"1", 4), ("", b"again", 5)] == [
        (one.topic, one.payload, one.mid) for one in found
    ]


def test_messages_of_qos_0_and_1_are_told_apart(server: Server, start: Start) -> None:
    """QoS, retain and the mark of a repetition come as the broker sent them."""
    owner = start()
    peer = server.meet()
    peer.accept()
    peer.send(PUBLISH, b"\0\x07plant/a\0kept", 1)
    peer.send(PUBLISH, b"\0\x07plant/a\0\x09\0again", 0b1010)
    kept, again = owner.receive(Message), owner.receive(Message)

    assert (b"kept", 0, True, False, 0) == (kept.payload, kept.qos, kept.retain, kept.duplicate, kept.mid)
    assert (b"again", 1, False, True, 9) == (
        again.payload,
        again.qos,
        again.retain,
        again.duplicate,
        again.mid,
    )


def test_message_with_properties_is_read_past_them(server: Server, start: Start) -> None:
    """Expiry, content type and a user's own are the publisher's affair."""
    owner = start()
    peer = server.meet()
    peer.accept()
    properties = b"\x02\0\0\0\x3c\x03\0\x01t\x26\0\x01k\0\x01v"
    peer.send(PUBLISH, b"\0\x07plant/a\0\x09" + bytes([len(properties)]) + properties + b"1", 2)
    found = owner.receive(Message)

    assert ("plant/a", b"1", 9) == (found.topic, found.payload, found.mid)


def test_acknowledgements_go_out_in_the_order_they_are_given(server: Server, start: Start) -> None:
    """One call, many messages: PUBACK in order of arrival (MQTT 5, 4.6)."""
    owner = start()
    peer = server.meet()
    peer.accept()
    for mid in (5, 3, 9, 4):
        peer.publish(mid)
    messages = [owner.receive(Message) for _ in range(4)]
    owner.ack(messages[0].epoch, [message.mid for message in messages])

    assert [5, 3, 9, 4] == [peer.read(PUBACK).mid for _ in range(4)]


def test_segments_of_one_byte_are_a_stream_all_the_same(server: Server, start: Start) -> None:
    """Where a packet is cut by the network is nobody's business."""
    owner = start()
    peer = server.meet()
    peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.slowly = True
    peer.accept(session=True)
    for mid in (1, 2):
        peer.publish(mid, b"x" * 100)

    assert Connected(1, session_present=True) == owner.receive(Connected)
    assert [1, 2] == [owner.receive(Message).mid for _ in range(2)]


def test_reset_in_the_middle_of_a_packet_is_a_new_connection(server: Server, start: Start) -> None:
    """The broken half is never delivered."""
    owner = start()
    peer = server.meet()
    peer.accept()
    peer.publish(1, b"whole")
    owner.receive(Message)
    peer.socket.sendall(b"\x32\x50\0\x07plant/a\0\x02\0half")
    peer.reset()
    owner.receive(Disconnected)
    peer = server.meet()
    peer.accept(session=True)
    peer.publish(2, b"again")

    assert b"again" == owner.receive(Message).payload


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(0x8B, "Server shutting down"), (0x98, "Administrative action"), (0x81, "Malformed")],
)
def test_disconnect_of_the_broker_names_its_reason(
    server: Server, start: Start, reason: int, expected: str
) -> None:
    """The broker says why, so do we, and come back."""
    owner = start()
    peer = server.meet()
    peer.accept()
    owner.receive(Subscribed)
    peer.send(DISCONNECT, bytes([reason, 0]))
    lost = owner.receive(Disconnected)
    server.meet()

    assert lost.reason.startswith(f"the broker says {expected}")
    assert not lost.taken_over


def test_session_that_is_taken_over_is_given_up(
    server: Server, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """Two daemons of one name would drive each other out for ever: the first one gives way and says so."""
    owner = start()
    peer = server.meet()
    peer.accept()
    owner.receive(Subscribed)
    peer.send(DISCONNECT, b"\x8e\0")
    lost = owner.receive(Disconnected)

    assert (1, True) == (lost.epoch, lost.taken_over)
    assert not owner.transport.alive
    wait_until(lambda: "mqtt.taken_over" in caplog.text, "a line in the log")
    assert not server.called


@pytest.mark.parametrize(
    ("code", "expected"), [(0x87, "Not authorized"), (0x8A, "Banned"), (0x88, "Server unavailable")]
)
def test_refusal_is_named(
    server: Server, start: Start, caplog: pytest.LogCaptureFixture, code: int, expected: str
) -> None:
    """A refused CONNACK is no connection: no event, one line in the log."""
    start()
    peer = server.meet()
    peer.read(CONNECT)
    peer.send(CONNACK, bytes([0, code, 0]))
    peer.read_to_the_end()
    wait_until(lambda: f"the broker refuses us: {expected}" in caplog.text, "the reason in the log")


def test_connection_without_messages_is_kept_up(server: Server, start: Start) -> None:
    """PINGREQ goes out in time, and its answer is a sign of life."""
    start(keepalive_s=1)
    peer = server.meet()
    peer.accept()
    for _ in range(2):
        peer.read(PINGREQ)
        peer.send(PINGRESP, b"")


def test_broker_that_does_not_answer_connect_is_left(server: Server, start: Start) -> None:
    """TCP alone is no broker."""
    start(connect_timeout_s=0.2)
    server.meet().read(CONNECT)
    server.meet().read(CONNECT)


def test_broker_that_does_not_answer_subscribe_is_left(server: Server, start: Start) -> None:
    """Connected and not subscribed would be silence for ever."""
    owner = start(connect_timeout_s=0.2)
    peer = server.meet()
    peer.read(CONNECT)
    peer.send(CONNACK, b"\0\0\0")

    assert "no answer to SUBSCRIBE" == owner.receive(Disconnected).reason


def test_publication_that_is_too_large_is_refused_at_home(server: Server, start: Start) -> None:
    """Sent, it would cost the connection (MQTT 5, 3.2.2.3.6); the others go on."""
    owner = start()
    peer = server.meet()
    peer.accept(properties=struct.pack(">BI", 0x27, 60))
    owner.receive(Connected)
    peer.puback(peer.read(PUBLISH))
    owner.publish(Publication("base/a/alert", b"x" * 60, qos=1), token=1)
    owner.publish(Publication("base/a/score", b"x" * 60))
    owner.publish(Publication("base/a/alert", b"x", qos=1), token=2)

    assert b"x" == peer.read(PUBLISH).payload
    assert Confirmed(1, "Packet too large: 79 bytes, the broker takes 60") == owner.receive(Confirmed)
    assert 1 == owner.transport.dropped


def test_publication_above_the_quality_of_the_broker_is_refused_at_home(server: Server, start: Start) -> None:
    """A broker that takes QoS 0 only says so (MQTT 5, 3.2.2.3.4)."""
    owner = start()
    peer = server.meet()
    peer.accept(properties=b"\x24\0")
    owner.receive(Connected)
    owner.publish(Publication("base/a/alert", b"1", qos=1), token=1)
    owner.publish(Publication("base/a/score", b"2"))

    assert b"2" == peer.read(PUBLISH).payload
    assert Confirmed(1, "the broker takes QoS 0 at most") == owner.receive(Confirmed)


@pytest.mark.parametrize("topic", ["", "a/#", "a/+/b", "a\0", "\ud800", "x" * 70_000], ids=range(6))
def test_publication_on_what_is_no_topic_is_refused_at_home(server: Server, start: Start, topic: str) -> None:
    """It must not end the connection again and again."""
    owner = start()
    server.meet().accept()
    owner.receive(Connected)
    owner.publish(Publication(topic, b"1", qos=1), token=1)

    assert Confirmed(1, "not a topic to publish on") == owner.receive(Confirmed)


def test_session_that_the_broker_shortens_is_told(
    server: Server, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """Readings of a longer absence would be lost, and somebody should know."""
    owner = start()
    server.meet().accept(properties=struct.pack(">BI", 0x11, 60))
    owner.receive(Subscribed)

    (line,) = [r.getMessage() for r in caplog.records if "session_shortened" in r.getMessage()]
    assert "wanted_s=604800 got_s=60" in line


def test_name_that_has_no_address_is_told_and_tried_again(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A name server that fails is not the end."""
    owner = Owner(make(host="no-such-host.invalid"))
    owner.start()
    wait_until(lambda: "mqtt.disconnected" in caplog.text, "a line in the log")

    assert owner.transport.alive
    owner.stop(WILL, timeout_s=0.01)


# paho leaves the socket of a failed handshake to the garbage collector, which warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_that_never_ends_its_greeting_is_left(server: Server, start: Start) -> None:
    """A handshake that stalls has an end, and stopping need not wait for it."""
    start(tls=ssl.create_default_context(), connect_timeout_s=0.3)

    server.meet()
    server.meet()


# ------------------------------------------------------------------------ where they differ, and why


@pytest.mark.parametrize(
    ("packet", "code", "expected"),
    [
        (b"\x34\x0c\0\x07plant/a\0\x01\0", 0x9B, "PUBLISH of QoS 2"),
        (b"\x30\x0d\0\x07plant/a\x03\x23\0\x01", 0x94, "topic alias"),
        (b"\x32\x0c\0\x07plant/a\0\0\0", 0x82, "packet identifier 0"),
        (b"\x20\x03\0\0\0", 0x82, "CONNACK out of place"),
        (b"\x40\x02\x12\x34", 0x82, "PUBACK for 4660"),
        (b"\x90\x04\x12\x34\0\0", 0x82, "SUBACK for 4660"),
        (b"\xb0\x04\x12\x34\0\0", 0x82, "UNSUBACK for 4660"),
        (b"\x82\x09\0\x03\0\0\x03a/+\x11", 0x82, "SUBSCRIBE out of place"),
        (b"\x30\xff\xff\xff\x7f\0", 0x95, "packet of 268435460 bytes"),
        (b"\x40\x03\0\x01\xee", 0x81, "Invalid PubAckReasonCode"),
    ],
)
def test_mqtt5_tells_the_broker_what_it_did_wrong(
    server: Server, lean: LeanTransport, packet: bytes, code: int, expected: str
) -> None:
    """The lean client is strict, and its DISCONNECT has the reason (4.13); paho passes over some of these."""
    owner = Owner(lean)
    owner.start()
    peer = server.meet()
    peer.accept()
    owner.receive(Subscribed)
    peer.socket.sendall(packet)

    assert bytes([code]) == peer.read(DISCONNECT).body[:1]
    assert "the broker broke the protocol: " in (lost := owner.receive(Disconnected)).reason
    assert expected in lost.reason
    owner.stop(WILL, timeout_s=0.01)


def test_mqtt5_takes_no_message_before_connack(
    server: Server, lean: LeanTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not even connected then: no event, a line in the log."""
    owner = Owner(lean)
    owner.start()
    peer = server.meet()
    peer.read(CONNECT)
    peer.publish(1)

    assert b"\x82" == peer.read(DISCONNECT).body
    wait_until(lambda: "PUBLISH before CONNACK" in caplog.text, "a line in the log")
    owner.stop(WILL, timeout_s=0.01)


def test_mqtt5_keeps_to_the_keep_alive_of_the_broker(server: Server, lean: LeanTransport) -> None:
    """A broker may ask for more signs of life than we would give (3.2.2.3.14); paho goes by its own."""
    owner = Owner(lean)
    owner.start()
    peer = server.meet()
    peer.accept(properties=struct.pack(">BH", 0x13, 1))
    peer.read(PINGREQ)
    owner.stop(WILL, timeout_s=0.01)


def test_mqtt5_does_not_wait_for_a_name_server(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A look-up that hangs keeps nobody from his timers, is given up, and three at most hang at once."""
    hang, calls = threading.Event(), []

    def look_up(*args: object, **facts: object) -> object:
        calls.append(args)
        hang.wait(WAIT_S)
        return resolve(*args, **facts)  # type: ignore[arg-type]

    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    transport = _build(LeanTransport, server, connect_timeout_s=0.02)
    transport.start()
    while len(calls) < 3:
        assert [] == transport.receive(0.01)
    for _ in range(20):
        assert [] == transport.receive(0.01)
    assert 3 == len(calls)
    assert "have not ended in time" in caplog.text
    transport.settings = dataclasses.replace(transport.settings, connect_timeout_s=WAIT_S)
    hang.set()
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(lambda: server.meet().accept())
        while not any(isinstance(found, Subscribed) for found in transport.receive(WAIT_S)):
            pass
        served.result(WAIT_S)
    transport.stop(WILL, timeout_s=0.01)


def test_paho_takes_no_from_a_broker_of_mqtt_311(
    server: Server, paho: MqttTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """Return code 5 is a refusal, and 1 never a reason to try an older version; MQTT 5 has other codes."""
    owner = Owner(paho)
    owner.start()
    for code, expected in ((5, "Not authorized"), (1, "Protocol error")):
        peer = server.meet()
        assert 4 == peer.read(CONNECT).body[6]
        peer.send(CONNACK, bytes([0, code]))
        peer.socket.close()
        wait_until(lambda expected=expected: expected in caplog.text, "the reason")  # type: ignore[misc]
    owner.stop(WILL, timeout_s=0.01)
