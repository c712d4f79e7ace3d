"""A few packets of MQTT 3.1.1 as bytes, and a blocking client of them: what feeds and what listens.

It has to cost little beside what is measured, and it shares no code with what is measured. Figures
in the comments are sections of the MQTT 3.1.1 specification.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

__all__ = ["Heard", "Peer", "publish"]

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP = 2, 3, 4, 9, 13
_WINDOW = 800
_CHUNK = 200


class Heard(NamedTuple):
    """A message that a `Peer` was sent.

    Attributes:
        topic: Where it was published.
        payload: Content.
        moment: When it was read from the socket, seconds of `time.monotonic`.
    """

    topic: str
    payload: bytes
    moment: float


def publish(topic: str, payload: bytes, *, mid: int = 0) -> bytes:
    """A PUBLISH (3.3): of QoS 1 with a packet identifier, of QoS 0 without."""
    name = topic.encode()
    number = struct.pack(">H", mid) if mid else b""
    return _packet(0x32 if mid else 0x30, struct.pack(">H", len(name)) + name + number + payload)


def _packet(first: int, body: bytes) -> bytes:
    """Fixed header (2.2) and body."""
    left, size = len(body), bytearray()
    while True:
        left, digit = left >> 7, left & 0x7F
        size.append(digit | (0x80 if left else 0))
        if not left:
            return bytes([first]) + bytes(size) + body


class Peer:
    """A connected client with a session that ends with it.

    Args:
        port: Where the broker listens, on loopback.
        name: Its client identifier.
        filters: What it subscribes to, with QoS 0.
        keeps: Whether the broker keeps its session.
    """

    def __init__(self, port: int, name: str, filters: Sequence[str] = (), *, keeps: bool = False) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._acknowledged = 0
        self._heard: list[Heard] = []
        flags = 0 if keeps else 2  # clean session (3.1.2.4)
        who = struct.pack(">H", len(name)) + name.encode()
        self.send(_packet(0x10, b"\0\4MQTT\4" + bytes([flags]) + b"\0\0" + who))  # no keep alive
        self._until(_CONNACK)
        if filters:
            asked = b"".join(struct.pack(">H", len(one)) + one.encode() + b"\0" for one in filters)
            self.send(_packet(0x82, b"\0\1" + asked))
            self._until(_SUBACK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave in peace, or at once where something went wrong."""
        if kind is None:
            self._settle()
            self.send(b"\xe0\0")  # DISCONNECT (3.14)
        self._socket.close()

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def send(self, packets: bytes) -> None:
        """Send packets as they are; acknowledgements of the broker are read by `heard`."""
        self._socket.sendall(packets)

    def heard(self, timeout_s: float) -> list[Heard]:
        """What it was sent since the last call; waits for something at most so long."""
        if not self._heard and select.select([self._socket], [], [], max(0.0, timeout_s))[0]:
            for _ in self._read():
                pass
        found, self._heard = self._heard, []
        return found

    def pour(self, packets: Iterable[bytes], *, qos: int) -> int:
        """Send PUBLISH packets as fast as the broker takes them; returns when it has them all."""
        count, before, chunk = 0, self._acknowledged, []
        for packet in packets:
            chunk.append(packet)
            count += 1
            if len(chunk) == _CHUNK:
                self.send(b"".join(chunk))
                chunk = []
                while qos and count - (self._acknowledged - before) > _WINDOW:
                    self._until(_PUBACK)
        self.send(b"".join(chunk))
        while qos and self._acknowledged - before < count:
            self._until(_PUBACK)
        return count

    def _settle(self) -> None:
        """PINGREQ (3.12): the answer comes when the broker has all that was sent before.

        A socket that is closed with something unread in it is reset, and takes with it what the
        broker has not read yet.
        """
        self.send(b"\xc0\0")
        self._until(_PINGRESP)

    def _until(self, kind: int) -> None:
        while kind not in list(self._read()):
            pass

    def _read(self) -> Iterator[int]:
        """Kinds of the packets that came; messages are kept, acknowledgements counted."""
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the broker has closed the connection")
        moment = time.monotonic()
        data, at = self._rest + data, 0
        while (end := _end_of(data, at)) is not None:
            start, stop = end
            kind = data[at] >> 4
            if kind == _PUBLISH:  # subscribed with QoS 0: no packet identifier
                size = struct.unpack_from(">H", data, start)[0]
                topic = data[start + 2 : start + 2 + size].decode()
                self._heard.append(Heard(topic, data[start + 2 + size : stop], moment))
            self._acknowledged += kind == _PUBACK
            yield kind
            at = stop
        self._rest = data[at:]


def _end_of(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the body of the packet at a place begins and ends, or nothing while it is not whole."""
    size = shift = 0
    for place in range(at + 1, min(at + 5, len(data))):
        size |= (data[place] & 0x7F) << shift
        shift += 7
        if data[place] < 0x80:
            stop = place + 1 + size
            return (place + 1, stop) if stop <= len(data) else None
    return None
