"""Packets of the lean client as bytes, by the codec ``mqtt5``; and its codes in words."""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence

import mqtt5

from edge_lstm.io.settings import MqttSettings
from edge_lstm.io.transport import Publication, Subscription

__all__ = [
    "PING",
    "acknowledge",
    "connect",
    "disconnect",
    "packet_size",
    "phrase",
    "publish",
    "publish_topicless",
    "subscribe",
    "unsubscribe",
]

PING = mqtt5.PingReqPacket().write()

_PUBACK = 0x4002_0000  # type, length 2, packet identifier: reason 0 may be left out (MQTT 5, 3.4.2.1)
_MOST_SAID = 200


def connect(settings: MqttSettings, password: str | None) -> bytes:
    """CONNECT that goes on with the session, and leaves the last will."""
    will = settings.will
    return mqtt5.ConnectPacket(
        settings.client_id,
        username=settings.username,
        password=None if password is None else password.encode(),
        clean_start=False,
        will=mqtt5.Will(will.topic, payload=will.payload, qos=mqtt5.QoS(will.qos), retain=will.retain),
        keep_alive=settings.keepalive_s,
        session_expiry_interval=settings.session_expiry_s,
        receive_max=settings.receive_maximum,
        # The broker keeps back what is much too large; what is a little too large comes and is counted.
        max_packet_size=settings.max_packet_bytes,
    ).write()


def subscribe(mid: int, subscriptions: Sequence[Subscription]) -> bytes:
    """SUBSCRIBE; what the broker had kept comes only for filters it does not know of us yet."""
    kept = mqtt5.RetainHandling.SEND_IF_SUBSCRIPTION_NOT_EXISTS
    wanted = [
        mqtt5.TopicFilter(s.filter, max_qos=mqtt5.QoS(s.qos), retain_as_published=False, retain_handling=kept)
        for s in subscriptions
    ]
    return mqtt5.SubscribePacket(mid, wanted).write()


def unsubscribe(mid: int, filters: Sequence[str]) -> bytes:
    """UNSUBSCRIBE."""
    return mqtt5.UnsubscribePacket(mid, list(filters)).write()


def publish(publication: Publication, mid: int | None) -> bytes:
    """PUBLISH; ``mid`` is its packet identifier at QoS 1.

    Raises:
        ValueError: The codec does not take the topic.
    """
    return mqtt5.PublishPacket(
        publication.topic,
        publication.payload,
        qos=mqtt5.QoS(publication.qos),
        retain=publication.retain,
        packet_id=mid,
    ).write()


def acknowledge(mids: Sequence[int]) -> bytes:
    """A PUBACK for each message, in this order."""
    return struct.pack(f">{len(mids)}I", *map(_PUBACK.__or__, mids))


def disconnect(code: int) -> bytes:
    """DISCONNECT with a reason code (MQTT 5, 3.14.2.1)."""
    return mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode(code)).write()


def phrase(code: enum.IntEnum, more: str | None = None) -> str:
    """A reason code in words, with what the broker adds.

    >>> phrase(mqtt5.ConnAckReasonCode.NOT_AUTHORIZED)
    'Not authorized'
    """
    words = code.name.replace("_", " ").capitalize().replace("Qos", "QoS").replace("qos", "QoS")
    return f"{words}: {more[:_MOST_SAID]}" if more else words


def packet_size(head: bytes) -> int | None:
    """The whole length of the packet that begins here, bytes, or ``None`` where that is not said yet.

    Args:
        head: Its first bytes, at most five.

    Raises:
        ValueError: The length has more than four bytes (MQTT 5, 1.5.5).
    """
    length = 0
    for number, byte in enumerate(head[1:5]):
        length |= (byte & 127) << (7 * number)
        if not byte & 128:
            return 2 + number + length
    if len(head) >= 5:
        raise ValueError("a length of more than four bytes")
    return None


def publish_topicless(packet: bytes) -> tuple[int, bytes] | None:
    """Packet identifier (0 at QoS 0) and payload of a PUBLISH that is whole but for its topic being no UTF-8.

    Args:
        packet: One whole packet, without properties.

    Returns:
        ``None`` where something else is wrong with it.
    """
    at = 2 + sum(byte & 128 != 0 for byte in packet[1:4])
    qos = packet[0] >> 1 & 3
    head = 3 if qos else 1
    if packet[0] >> 4 != 3 or qos > 1 or len(packet) < at + 2:
        return None
    begin, at = at + 2, at + 2 + int.from_bytes(packet[at : at + 2], "big")
    if len(packet) < at + head or packet[at + head - 1] or _is_text(packet[begin:at]):
        return None
    return int.from_bytes(packet[at : at + head - 1], "big"), packet[at + head :]


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
