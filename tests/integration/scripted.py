"""A broker that says exactly what a test wants said, byte for byte, and an owner for a transport."""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Self, TypeVar

from edge_lstm.io.transport import Publication, Transport, TransportEvent, Woken

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 10, 11, 12, 13, 14
WAIT_S = 15.0

Kind = TypeVar("Kind")


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
        self.slowly = False

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
        """Send one packet of less than 128 bytes; ``slowly`` in segments of one byte."""
        packet = bytes([kind << 4 | flags, len(body)]) + body
        for at in range(0, len(packet), step := 1 if self.slowly else len(packet)):
            self.socket.sendall(packet[at : at + step])

    def reset(self) -> None:
        """End the connection by RST, without a goodbye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def tell(self, raw: bytes) -> None:
        """Send anything, and then nothing more; the client may have gone already."""
        with contextlib.suppress(OSError):
            self.socket.sendall(raw)
            self.socket.shutdown(socket.SHUT_WR)
        self.read_to_the_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.socket.close()

    def read_to_the_end(self) -> None:
        """Pass over everything until the client closes."""
        with contextlib.suppress(OSError):
            while self.socket.recv(4096):
                pass

    def accept(
        self, *, session: bool = False, properties: bytes = b"", refused: int = 0, filters: int = 1
    ) -> None:
        """Answer CONNECT and SUBSCRIBE."""
        self.read(CONNECT)
        self.send(CONNACK, bytes([session, 0, len(properties)]) + properties)
        subscribe = self.read(SUBSCRIBE)
        self.send(SUBACK, subscribe.body[:2] + b"\0" + bytes([refused or 1] * filters))

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

    @property
    def called(self) -> bool:
        """Whether another connection waits to be met."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        """End everything."""
        for found in (self._socket, *(peer.socket for peer in self._peers)):
            found.close()


class Owner:
    """Has a transport to itself in a thread of its own, as the daemon's engine has.

    What the tests call is done on that thread, between two `receive`; what it receives waits here.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._events: queue.SimpleQueue[TransportEvent] = queue.SimpleQueue()
        self._over = False
        self._thread = threading.Thread(target=self._work, name="owner", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _work(self) -> None:
        self.transport.start()
        while not self._over:
            for found in self.transport.receive(WAIT_S):
                if not isinstance(found, Woken):
                    self._events.put(found)
            while self._calls:
                call, future = self._calls.popleft()
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - it belongs to whoever called
                    future.set_exception(error)

    def call(self, what: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever comes of it
        """Have something done on the owner's thread."""
        future: Future[Any] = Future()
        self._calls.append((what, future))
        self.transport.wake()
        return future.result(WAIT_S)

    def receive(self, kind: type[Kind], *, within_s: float = WAIT_S) -> Kind:
        """The next event of a kind; others are passed over."""
        while True:
            try:
                found = self._events.get(timeout=within_s)
            except queue.Empty:
                raise AssertionError(f"no {kind.__name__}") from None
            if isinstance(found, kind):
                return found

    def publish(self, publication: Publication, *, token: int | None = None) -> None:
        """As the transport's."""
        self.call(lambda: self.transport.publish(publication, token=token))

    def ack(self, epoch: int, mids: Sequence[int]) -> None:
        """As the transport's."""
        self.call(lambda: self.transport.ack(epoch, mids))

    def stop(self, farewell: Publication, *, timeout_s: float) -> None:
        """As the transport's; ends the thread."""
        if self._over:
            return

        def end() -> None:
            self._over = True
            self.transport.stop(farewell, timeout_s=timeout_s)

        self.call(end)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
