"""paho's client with fewer calls a message, and a limit to what it takes in.

paho reads the type, each byte of the length and the rest of every packet by a system call
of its own, acknowledges each message by another, makes an object with a list of names for
properties that are not there, makes room for whatever length a broker announces, and lets
small packets wait for the answer to the one before (Nagle's algorithm, RFC 896: an alert
after an acknowledgement would wait for up to 40 ms). This is put right here, by four methods
of paho's that are not public: ``_sock_recv``, ``_packet_queue``, ``_handle_publish`` and
``_create_socket_connection``. The conformance suite notices when they change.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

from edge_lstm.io.story import ConnectionLost

__all__ = ["BulkClient"]

_CHUNK = 2**16
_PUBACK = 0x40
_PUBACK_HEAD = 0x4002_0000  # type, length 2, packet identifier (MQTT 3.1.1 and 5, 3.4)


class BulkClient(paho.Client):
    """A client for the calls of foreign event loops.

    Args:
        args: paho's.
        longest: Longest packet that the broker may send, bytes.
        on_plain: Gets messages of QoS 0 and 1 without properties: topic, payload, first byte of the
            packet, packet identifier. All others go to ``on_message``.
        kwargs: paho's.

    Attributes:
        closed: Whether the broker has closed the connection, in order and without a word.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - passed on
        longest: int,
        on_plain: Callable[[bytes, bytes, int, int], None],
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self._longest, self._on_plain = longest, on_plain
        self._has_properties = kwargs.get("protocol") == MQTTProtocolVersion.MQTTv5
        self._ready = b""
        self._at = 0
        self.closed = False

    @property
    def buffered(self) -> bool:
        """Whether there are bytes that no descriptor tells of: read ahead, or decrypted by TLS."""
        if self._at < len(self._ready):
            return True
        sock: Any = self._sock
        pending = getattr(sock, "pending", None)
        return pending is not None and pending() > 0

    def ack_all(self, mids: Sequence[int]) -> MQTTErrorCode:
        """Acknowledge messages of QoS 1, in this order, by one write."""
        packets = struct.pack(f">{len(mids)}I", *map(_PUBACK_HEAD.__or__, mids))
        return self._packet_queue(_PUBACK, packets, mids[-1], 0)

    def _create_socket_connection(self) -> socket.socket:
        """A connected socket that sends at once."""
        sock = super()._create_socket_connection()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _sock_recv(self, bufsize: int) -> bytes:
        """As many bytes as there are, at most ``bufsize``; read from the network in large pieces."""
        if self._at == len(self._ready):
            if bufsize > self._longest:
                raise ConnectionLost(
                    f"the broker broke the protocol: packet of {bufsize} bytes, "
                    f"more than the {self._longest} we take"
                )
            self._ready, self._at = super()._sock_recv(max(bufsize, _CHUNK)), 0
            self.closed = not self._ready
        found = self._ready[self._at : self._at + bufsize]
        self._at += len(found)
        return found

    def _handle_publish(self) -> MQTTErrorCode:
        """A PUBLISH that is whole (MQTT 5 and 3.1.1, 3.3)."""
        head, body = self._in_packet["command"], bytes(self._in_packet["packet"])
        topic_end = 2 + int.from_bytes(body[:2], "big")
        at = topic_end + (2 if head & 6 else 0)
        has_properties = self._has_properties and body[at : at + 1] != b"\0"
        if has_properties or head & 4 or len(body) < at or topic_end == 2:
            return super()._handle_publish()
        mid = int.from_bytes(body[topic_end:at], "big")
        self._on_plain(body[2:topic_end], body[at + self._has_properties :], head, mid)
        return MQTTErrorCode.MQTT_ERR_SUCCESS
