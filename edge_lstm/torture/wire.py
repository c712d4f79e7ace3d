"""The harness's own MQTT 5 client: a sensor or a consumer that loses nothing of its own.

It is no part of what is tried, so it shares no code with the daemon's transports: one
non-blocking socket, QoS 1, and every publication kept until the broker has said yes.
"""

from __future__ import annotations

import itertools
import select
import socket
import time
from collections import deque
from collections.abc import Sequence

import mqtt5

__all__ = ["Peer", "frames", "published", "wait_for_port"]

_WINDOW = 400
_PATIENCE_S = 5.0
_MOST_MID = 65_535
_WEEK_S = 604_800


class Peer:
    """One client with one session.

    Args:
        port: The broker's, on the loopback interface.
        client_id: Its name, the same at every connection.
        topics: What it hears, at QoS 1.

    Attributes:
        heard: Publications that have come in, in order; whoever reads them takes them out.
        connections: How often the broker has accepted it.
    """

    def __init__(self, port: int, client_id: str, topics: Sequence[str] = ()) -> None:
        self._port, self._id, self._topics = port, client_id, tuple(topics)
        self._socket: socket.socket | None = None
        self._in, self._out = bytearray(), bytearray()
        self._unsure: dict[int, mqtt5.PublishPacket] = {}
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._mids = itertools.cycle(range(1, _MOST_MID + 1))
        self._accepted = False
        self._next_try = 0.0
        self.heard: deque[tuple[str, bytes]] = deque()
        self.connections = 0

    @property
    def pending(self) -> int:
        """Publications that the broker has not confirmed."""
        return len(self._unsure) + len(self._waiting)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send at QoS 1, now or when there is a connection and room."""
        self._waiting.append((topic, payload))

    def poll(self, timeout_s: float) -> None:
        """Send and receive for a moment; returns early when there is news."""
        if self._socket is None and not self._connect():
            time.sleep(min(timeout_s, 0.02))
            return
        try:
            self._fill()
            self._move(timeout_s)
        except OSError:
            self.drop()

    def drop(self) -> None:
        """End the connection without a word; the session stays."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._accepted = None, False
        self._in.clear()
        self._out.clear()

    # ------------------------------------------------------------------------------ connection

    def _connect(self) -> bool:
        if time.monotonic() < self._next_try:
            return False
        self._next_try = time.monotonic() + 0.05
        try:
            self._socket = socket.create_connection(("127.0.0.1", self._port), _PATIENCE_S)
        except OSError:
            return False
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        packet = mqtt5.ConnectPacket(self._id, clean_start=False, session_expiry_interval=_WEEK_S)
        self._out += packet.write()
        return True

    def _on_connack(self, packet: mqtt5.ConnAckPacket) -> None:
        if packet.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            raise ConnectionError(f"the broker refuses {self._id}: {packet.reason_code!r}")
        self._accepted = True
        self.connections += 1
        if self._topics and not packet.session_present:
            filters = [mqtt5.TopicFilter(topic, max_qos=mqtt5.QoS.AT_LEAST_ONCE) for topic in self._topics]
            self._out += mqtt5.SubscribePacket(next(self._mids), filters).write()
        # MQTT 5 section 4.4: what is not confirmed is sent again, in the order of the first time.
        for mid, old in list(self._unsure.items()):
            again = mqtt5.PublishPacket(
                old.topic, old.payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=mid, duplicate=True
            )
            self._out += again.write()

    # ------------------------------------------------------------------------------ traffic

    def _fill(self) -> None:
        while self._accepted and self._waiting and len(self._unsure) < _WINDOW:
            topic, payload = self._waiting.popleft()
            mid = next(mid for mid in self._mids if mid not in self._unsure)
            packet = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=mid)
            self._unsure[mid] = packet
            self._out += packet.write()

    def _move(self, timeout_s: float) -> None:
        assert self._socket is not None  # noqa: S101 - poll connects first
        writers = [self._socket] if self._out else []
        readable, writable, _ = select.select([self._socket], writers, [], timeout_s)
        if writable:
            sent = self._socket.send(self._out)
            del self._out[:sent]
        if readable:
            chunk = self._socket.recv(65_536)
            if not chunk:
                raise ConnectionError("the broker has closed the connection")
            self._in += chunk
            self._parse()

    def _parse(self) -> None:
        done = 0
        for begin, end in frames(self._in):
            packet, _ = mqtt5.read(memoryview(bytes(self._in[begin:end])))
            self._take(packet)
            done = end
        del self._in[:done]

    def _take(self, packet: mqtt5.Packet) -> None:
        match packet:
            case mqtt5.ConnAckPacket():
                self._on_connack(packet)
            case mqtt5.PubAckPacket():
                self._unsure.pop(packet.packet_id, None)
            case mqtt5.PublishPacket():
                self.heard.append((packet.topic, bytes(packet.payload)))
                if packet.packet_id is not None:
                    self._out += mqtt5.PubAckPacket(packet.packet_id).write()
            case mqtt5.DisconnectPacket():
                raise ConnectionError(f"the broker sends {self._id} away: {packet.reason_code!r}")
            case _:
                pass


def frames(buffer: bytes | bytearray) -> list[tuple[int, int]]:
    """Begin and end of every whole packet in a buffer (MQTT 5 sections 1.5.5 and 2.1)."""
    found: list[tuple[int, int]] = []
    begin, size = 0, len(buffer)
    while begin < size:
        length = shift = 0
        at = begin + 1
        while at < size:
            byte = buffer[at]
            length |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if not byte & 0x80:
                break
        else:
            return found
        if at + length > size:
            return found
        found.append((begin, at + length))
        begin = at + length
    return found


def published(raw: bytes, version: int) -> tuple[str, bytes, int | None]:
    """Topic, payload and packet identifier of a PUBLISH (section 3.3); version 4 is MQTT 3.1.1."""
    at = _after_length(raw, 1)
    end = at + 2 + int.from_bytes(raw[at : at + 2])
    topic, at, mid = raw[at + 2 : end].decode(), end, None
    if raw[0] & 0b110:
        mid, at = int.from_bytes(raw[at : at + 2]), at + 2
    if version >= 5:
        begin = _after_length(raw, at)
        at = begin + _length(raw, at)
    return topic, raw[at:], mid


def _length(raw: bytes, at: int) -> int:
    """A variable byte integer (MQTT 5, 1.5.5)."""
    parts = raw[at : _after_length(raw, at)]
    return sum((part & 0x7F) << 7 * i for i, part in enumerate(parts))


def _after_length(raw: bytes, at: int) -> int:
    while raw[at] & 0x80:
        at += 1
    return at + 1


def wait_for_port(port: int, timeout_s: float = 10.0) -> bool:
    """Wait until something listens on a loopback port."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.005)
    return False
