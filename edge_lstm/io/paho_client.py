"""paho's client with fewer system calls a message, and a limit to what it takes in.

paho reads the type, each byte of the length and the rest of every packet by a call of its
own, acknowledges each message by another, and makes room for whatever length a broker
announces. These three are put right here, by two methods of paho's that are not public:
``_sock_recv`` and ``_packet_queue``. The conformance suite notices when they change.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode

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
        kwargs: paho's.

    Attributes:
        closed: Whether the broker has closed the connection, in order and without a word.
    """

    def __init__(self, *args: Any, longest: int, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **kwargs)
        self._longest = longest
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
