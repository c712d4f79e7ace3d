"""What a broker takes, as its CONNACK says (MQTT 5, 3.2.2.3); more than that is never sent to it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_lstm.io.transport import Publication

__all__ = ["INFLIGHT", "Limits"]

INFLIGHT = 20
"""Most publications of QoS 1 under way; a broker may allow fewer."""

_NO_LIMIT = 268_435_460  # the longest packet that MQTT can write down, bytes
_MOST_TOPIC = 65_534  # one less than MQTT's: the codec mqtt5 takes no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one connection; the defaults are what holds where the broker says nothing.

    Attributes:
        window: Most publications of QoS 1 that may wait for their PUBACK.
        packet_bytes: Longest packet that the broker takes.
        qos: Highest quality of service that it takes.
        retain: Whether it keeps retained messages.
    """

    window: int = INFLIGHT
    packet_bytes: int = _NO_LIMIT
    qos: int = 2
    retain: bool = True

    def refusal(self, publication: Publication) -> str:
        """Why the broker would end the connection over this publication; empty when it would not."""
        topic_bytes = _topic_bytes(publication.topic)
        if not topic_bytes:
            return "not a topic to publish on"
        if publication.qos > self.qos:
            return f"the broker takes QoS {self.qos} at most"
        if publication.retain and not self.retain:
            return "the broker keeps no retained messages"
        size = packet_bytes(topic_bytes, len(publication.payload), publication.qos)
        if size > self.packet_bytes:
            return f"Packet too large: {size} bytes, the broker takes {self.packet_bytes}"
        return ""


def _topic_bytes(topic: str) -> int:
    """Length of a topic, bytes, or 0 where it cannot be one (MQTT 5, 4.7.3)."""
    if not topic or set(topic) & {"#", "+", "\0"}:
        return 0
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        return 0
    return size if size <= _MOST_TOPIC else 0


def packet_bytes(topic_bytes: int, payload_bytes: int, qos: int) -> int:
    """Length of a PUBLISH without properties, bytes (MQTT 5, 2.1.4 and 3.3)."""
    rest = 2 + topic_bytes + (2 if qos else 0) + 1 + payload_bytes
    length_bytes = 1 + (rest >= 2**7) + (rest >= 2**14) + (rest >= 2**21)
    return 1 + length_bytes + rest
