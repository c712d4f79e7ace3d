"""Messages that the broker sends again although we have them.

After a lost connection the broker repeats what we have not acknowledged, with the mark DUP
and the same packet identifier (MQTT 5, 4.4). What was written down before the connection
went is known here by that pair of identifier and content, whether or not the reading says
its own time or number.
"""

from __future__ import annotations

import struct
import zlib
from array import array

import numpy as np

from edge_lstm.io.transport import Message
from edge_lstm.times import NS

__all__ = ["Redelivery"]

_LIFE_NS = 60 * NS
"""An acknowledgement that the broker has not taken for so long is not under way any more."""
_IDENTIFIERS = 65_536
"""Packet identifiers have two bytes (MQTT 5, 2.2.1)."""

_TOPICS = 10_000
_HEAD = struct.Struct("<qqq")
"""Messages so far, arrival of the newest that was no repeat, identifiers remembered."""


class Redelivery:
    """Remembers the newest messages of QoS 1 by their packet identifier.

    The memory must hold at least what the broker may repeat, and no count says how much that
    is: our Receive Maximum does not bind a broker that takes up a session (Mosquitto 2.0.11
    repeats all that is in flight and sends its whole queue on top), so that crashes in a row
    add up. So it holds what came or was repeated within a minute of arrival, and the newest
    in any case; not more, because a broker that uses its lowest free identifier again soon
    gives an old one to a new message.

    Args:
        least: Messages remembered however old they are.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self._count = least + 1  # of messages, so that what was never heard of is too long ago
        self._moment_ns = 0  # arrival of the newest message that was no repeat
        self._content = array("q", [-1]) * _IDENTIFIERS
        self._number = array("q", [0]) * _IDENTIFIERS
        self._arrived = array("q", [0]) * _IDENTIFIERS
        self._topics: dict[str, int] = {}  # their checksums

    def again(self, message: Message) -> bool:
        """Whether we had this message before; if not it is remembered."""
        if not message.qos:
            return False
        mid, now_ns = message.mid, message.arrived_ns
        topic = self._topics.get(message.topic)
        content = zlib.crc32(message.payload, self._checksum(message.topic) if topic is None else topic)
        repeated = message.duplicate and self._content[mid] == content and self._is_young(mid)
        self._content[mid], self._arrived[mid] = content, now_ns
        self._number[mid] = self._count = self._count + 1
        if not message.duplicate:  # repeats come first (MQTT 5, 4.6): until they are through, none is old
            self._moment_ns = now_ns
        return repeated

    def _checksum(self, topic: str) -> int:
        if len(self._topics) >= _TOPICS:  # somebody invents them
            self._topics.clear()
        found = self._topics[topic] = zlib.crc32(topic.encode("utf-8", "replace"))
        return found

    def _is_young(self, mid: int) -> bool:
        newest = self._count - self._number[mid] < self._least
        return newest or self._moment_ns - self._arrived[mid] <= _LIFE_NS

    def forget(self) -> None:
        """The broker has lost our session: its identifiers begin anew."""
        self._content = array("q", [-1]) * _IDENTIFIERS

    def dump(self) -> bytes:
        """Everything that is remembered."""
        columns = [np.frombuffer(one, np.int64) for one in (self._content, self._number, self._arrived)]
        content, number, arrived = columns
        newest = self._count - number < self._least
        known = np.flatnonzero((content >= 0) & (newest | (self._moment_ns - arrived <= _LIFE_NS)))
        parts = [known.astype("<i8"), *(column[known].astype("<i8") for column in columns)]
        return _HEAD.pack(self._count, self._moment_ns, len(known)) + b"".join(
            part.tobytes() for part in parts
        )

    def load(self, dumped: bytes) -> None:
        """Put back what `dump` gave; nothing of it when it is something else."""
        self.forget()
        if len(dumped) < _HEAD.size:
            return
        count, moment_ns, known = _HEAD.unpack_from(dumped)
        if len(dumped) != _HEAD.size + 32 * known:
            return
        self._count, self._moment_ns = count, moment_ns
        rows = np.frombuffer(dumped, "<i8", offset=_HEAD.size).reshape(4, known).T
        for mid, content, number, arrived_ns in rows.tolist():
            self._content[mid], self._number[mid], self._arrived[mid] = content, number, arrived_ns
