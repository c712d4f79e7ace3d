"""One connection to the broker: one paho client, one epoch, one thread, then thrown away.

paho is driven by its calls for foreign event loops (``loop_read``, ``loop_write``,
``loop_misc``) from the transport's own thread, never by its own thread. That fences in
what goes wrong with paho 2.x otherwise (numbers: docs/adr/0004 and its list of pitfalls):

- An exception of a callback or of the packet parser ends *this* connection, visibly.
- Nobody publishes or acknowledges from another thread, so no PUBACK can slip in front
  of CONNECT and no two writers can interleave bytes.
- paho never reconnects and never resends: the next connection is a new client.
- Reading can be paused, which bounds the memory of whoever scores slower than sensors send.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_lstm.clock import ArrivalClock
from edge_lstm.io.limits import INFLIGHT, Limits
from edge_lstm.io.paho_client import BulkClient
from edge_lstm.io.settings import MQTT_5, MqttSettings
from edge_lstm.io.story import ConnectionLost
from edge_lstm.io.transport import (
    Confirmed,
    Connected,
    Message,
    Publication,
    Subscribed,
    Subscription,
    TransportEvent,
)

__all__ = ["Connection"]

_NO_SUBSCRIBERS = 0x10
_TAKEN_OVER = 0x8E
_SLOW = (0x8A, 0x9F)  # banned, connection rate exceeded
_RETAIN_IF_NEW = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB


class Connection:
    """Opens at construction; `turn` moves it on.

    Args:
        settings: The broker and who we are there.
        epoch: Number of this connection.
        clock: Gives messages their time of arrival.
        deliver: Takes what happens; must not block.
        password: Password of the user.

    Raises:
        OSError: Nobody answers there, or TLS fails.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        epoch: int,
        clock: ArrivalClock,
        deliver: Callable[[TransportEvent], None],
        password: str | None,
    ) -> None:
        self._settings, self._epoch, self._clock, self._deliver = settings, epoch, clock, deliver
        self._is_5 = settings.protocol == MQTT_5
        self._ended: ConnectionLost | None = None
        self._tokens: dict[int, int | None] = {}  # one entry for each QoS 1 publication under way
        self._held: deque[tuple[Publication, int | None]] = deque()
        self.limits = Limits()
        self.expiry_s: int | None = None
        self.session_kept = False
        self._asked: dict[int, list[str]] = {}
        self._answer_due = 0.0
        self.accepted = False
        self.refused: tuple[str, ...] = ()
        self._client = client = BulkClient(
            CallbackAPIVersion.VERSION2,
            longest=settings.max_packet_bytes,
            on_plain=self._on_plain,
            client_id=settings.client_id,
            protocol=MQTTProtocolVersion(settings.protocol),
            clean_session=None if self._is_5 else False,
            manual_ack=True,
            transport="tcp" if settings.websocket_path is None else "websockets",
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = False
        client.connect_timeout = settings.connect_timeout_s
        client.username_pw_set(settings.username, password)
        if settings.tls is not None:
            client.tls_set_context(settings.tls)
        if settings.websocket_path is not None:
            client.ws_set_options(path=settings.websocket_path)
        will = settings.will
        client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_publish = self._on_message, self._on_publish
        client.on_subscribe = self._on_subscribe
        where = (settings.host, settings.port, settings.keepalive_s)
        if self._is_5:  # The session must outlive connection and process; paho's defaults would wipe it.
            client.connect(*where, clean_start=False, properties=_connect_properties(settings))
        else:
            client.connect(*where)

    # -------------------------------------------------------------------------------- network

    def turn(self, timeout_s: float, *, room: int, wake_fd: int) -> bool:
        """Wait for the network or for ``wake_fd``, and do what there is to do.

        Args:
            timeout_s: Longest wait, seconds.
            room: Most packets to read; with 0 the network is not read, which holds the broker back.
            wake_fd: Ends the wait when it becomes readable.

        Returns:
            Whether ``wake_fd`` is readable.

        Raises:
            ConnectionLost: It is over.
        """
        sock: Any = self._client.socket()
        if sock is None:
            raise self._ended or ConnectionLost("connection closed")
        buffered = room > 0 and self._client.buffered
        readers = [wake_fd, sock] if room else [wake_fd]
        writers = [sock] if self._client.want_write() else []
        ready, writable, _ = select.select(readers, writers, [], 0 if buffered else timeout_s)
        if buffered or sock in ready:
            self._read(room)
        if writable:
            self._check(self._client.loop_write())
        self._check(self._client.loop_misc())
        if self._asked and time.monotonic() >= self._answer_due:
            raise ConnectionLost("no answer to SUBSCRIBE")
        return wake_fd in ready

    def _read(self, room: int) -> None:
        """Handle up to ``room`` packets that are there."""
        for _ in range(room):
            self._check(self._client.loop_read())
            if not self._client.buffered:
                break
        self._send_held()

    def _check(self, code: MQTTErrorCode) -> None:
        if self._ended is not None:
            raise self._ended
        if code != paho.MQTT_ERR_SUCCESS:
            raise ConnectionLost(paho.error_string(code).rstrip("."))

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be written or confirmed."""
        return not self._client.want_write() and not self._tokens and not self._held

    def close(self, *, politely: bool) -> None:
        """End it; politely the broker is told, and publishes no last will."""
        if politely:
            self._client.disconnect()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    # -------------------------------------------------------------------------------- out

    def publish(self, publication: Publication, token: int | None = None) -> str:
        """Take a publication; why it can never be sent, or empty.

        Raises:
            BlockingIOError: It is of QoS 0 and the network is full.
        """
        if why := self.limits.refusal(publication):
            return why
        if publication.qos:
            self._held.append((publication, token))
            self._send_held()
        elif self._client.want_write():
            raise BlockingIOError  # paho's queue has no limit for QoS 0
        else:
            self._client.publish(publication.topic, publication.payload, retain=publication.retain)
        return ""

    def _send_held(self) -> None:
        """Send what waits, never more at once than the broker allows: paho does not look at that."""
        while self._held and len(self._tokens) < self.limits.window:
            publication, token = self._held.popleft()
            info = self._client.publish(
                publication.topic, publication.payload, qos=1, retain=publication.retain
            )
            if info.rc != paho.MQTT_ERR_SUCCESS:
                raise ConnectionLost(paho.error_string(info.rc).rstrip("."))
            self._tokens[info.mid] = token

    def ack(self, mids: Sequence[int]) -> None:
        """Acknowledge messages of this connection, in this order."""
        self._client.ack_all(mids)

    def subscribe(self, subscriptions: tuple[Subscription, ...]) -> None:
        """Ask for topics; what the broker had kept comes only for those it does not know of us yet.

        MQTT 3.1.1 has no such wish: there it comes again, and is rejected as a duplicate or as stale.
        """
        wanted: list[Any] = [
            (s.filter, SubscribeOptions(qos=s.qos, retainHandling=_RETAIN_IF_NEW) if self._is_5 else s.qos)
            for s in subscriptions
        ]
        _, mid = self._client.subscribe(wanted)
        if mid is not None:
            self._asked[mid] = [s.filter for s in subscriptions]
            self._answer_due = time.monotonic() + self._settings.connect_timeout_s

    def unsubscribe(self, filters: tuple[str, ...]) -> None:
        """Give up topics of an earlier configuration."""
        self._client.unsubscribe(list(filters))

    # -------------------------------------------------------------------------------- in

    def _on_connect(
        self,
        _client: object,
        _data: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        more: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._ended = ConnectionLost(f"the broker refuses us: {reason}", slow=reason.value in _SLOW)
            return
        self.limits = Limits(
            window=min(INFLIGHT, getattr(more, "ReceiveMaximum", INFLIGHT)),
            packet_bytes=getattr(more, "MaximumPacketSize", Limits().packet_bytes),
            qos=getattr(more, "MaximumQoS", 2),
            retain=bool(getattr(more, "RetainAvailable", 1)),
        )
        self.expiry_s = getattr(more, "SessionExpiryInterval", None)
        self.accepted, self.session_kept = True, flags.session_present
        self._deliver(Connected(self._epoch, flags.session_present))

    def _on_disconnect(
        self, _client: object, _data: object, flags: paho.DisconnectFlags, reason: ReasonCode, _more: object
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            lost = ConnectionLost(f"the broker says {reason}", taken_over=reason.value == _TAKEN_OVER)
        elif self._client.closed:
            lost = ConnectionLost("the broker has closed the connection", closed=True)
        else:
            lost = ConnectionLost(f"connection lost: {reason}")
        self._ended = self._ended or lost

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        head = message.dup << 3 | message.qos << 1 | message.retain
        self._on_plain(message._topic, bytes(message.payload), head, message.mid)  # noqa: SLF001 - may be no text

    def _on_plain(self, topic: bytes, payload: bytes, head: int, mid: int) -> None:
        try:
            name = topic.decode()
        except UnicodeDecodeError:
            name = ""  # matches no input, so it is counted as a bad topic
        now_ns, duplicate = self._clock.now_ns(), bool(head & 8)
        self._deliver(
            Message(name, payload, head >> 1 & 3, bool(head & 1), now_ns, mid, self._epoch, duplicate)
        )

    def _on_publish(
        self, _client: object, _data: object, mid: int, reason: ReasonCode, _more: object
    ) -> None:
        # QoS 0 comes here too, with a number of its own that has no token.
        token = self._tokens.pop(mid, None)
        if token is not None:
            failure = str(reason) if reason.is_failure else ""
            self._deliver(Confirmed(token, failure, heard=reason.value != _NO_SUBSCRIBERS))

    def _on_subscribe(
        self, _client: object, _data: object, mid: int, reasons: list[ReasonCode], _more: object
    ) -> None:
        asked = self._asked.pop(mid, [])
        self.refused = tuple(f for f, reason in zip(asked, reasons, strict=False) if reason.is_failure)
        self._deliver(Subscribed(self.refused))


def _connect_properties(settings: MqttSettings) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = settings.session_expiry_s
    # The broker keeps back what is much too large; what is a little too large comes and is counted.
    properties.MaximumPacketSize = settings.max_packet_bytes
    properties.ReceiveMaximum = settings.receive_maximum
    return properties
