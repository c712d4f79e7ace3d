"""Messages that the broker sends again although we have them.

After a lost connection the broker repeats what we have not acknowledged, with the mark DUP
and the same packet identifier (MQTT 5, 4.4). What was written down before the connection
went is known here by that pair of identifier and content, whether or not the reading says
its own time or number.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict

from edge_lstm.io.transport import Message

__all__ = ["Redelivery"]


class Redelivery:
    """Remembers the newest messages of QoS 1 by their packet identifier.

    The memory must hold at least what the broker may repeat (its in-flight window) and not
    much more: a broker that uses its lowest free identifier again soon gives an old one to a
    new message.

    Args:
        limit: Messages remembered.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[int, int] = OrderedDict()

    def again(self, message: Message) -> bool:
        """Whether we had this message before; if not it is remembered."""
        if not message.qos:
            return False
        known, mid = self._known, message.mid
        content = zlib.crc32(message.payload, zlib.crc32(message.topic.encode("utf-8", "replace")))
        if message.duplicate and known.get(mid) == content:
            return True
        known[mid] = content
        known.move_to_end(mid)
        if len(known) > self._limit:
            known.popitem(last=False)
        return False

    def forget(self) -> None:
        """The broker has lost our session: its identifiers begin anew."""
        self._known.clear()

    def dump(self) -> list[tuple[int, int]]:
        """Identifiers and digests, oldest first."""
        return list(self._known.items())

    def load(self, dumped: list[tuple[int, int]]) -> None:
        """Put back what `dump` gave."""
        self._known = OrderedDict(dumped[-self._limit :])
