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
from edge_lstm.times import NS

__all__ = ["Redelivery"]


_LIFE_NS = 60 * NS
"""An acknowledgement that the broker has not taken for so long is not under way any more."""
_MOST = 65_535
"""There are no more packet identifiers (MQTT 5, 2.2.1)."""


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
        self._known: OrderedDict[int, tuple[int, int]] = OrderedDict()

    def again(self, message: Message) -> bool:
        """Whether we had this message before; if not it is remembered."""
        if not message.qos:
            return False
        known, mid, now_ns = self._known, message.mid, message.arrived_ns
        content = zlib.crc32(message.payload, zlib.crc32(message.topic.encode("utf-8", "replace")))
        had = known.get(mid)
        repeated = message.duplicate and had is not None and had[0] == content
        known[mid] = (content, now_ns)
        known.move_to_end(mid)
        if not message.duplicate:  # repeats come first (MQTT 5, 4.6): until they are through, none is old
            self._age(now_ns)
        return repeated

    def _age(self, now_ns: int) -> None:
        known = self._known
        while len(known) > self._least:
            oldest = next(iter(known.values()))
            if len(known) <= _MOST and now_ns - oldest[1] <= _LIFE_NS:
                return
            known.popitem(last=False)

    def forget(self) -> None:
        """The broker has lost our session: its identifiers begin anew."""
        self._known.clear()

    def dump(self) -> list[tuple[int, int, int]]:
        """Identifiers, digests and times of arrival, oldest first."""
        return [(mid, content, arrived_ns) for mid, (content, arrived_ns) in self._known.items()]

    def load(self, dumped: list[tuple[int, int, int]]) -> None:
        """Put back what `dump` gave."""
        self._known = OrderedDict((mid, (content, arrived_ns)) for mid, content, arrived_ns in dumped)
