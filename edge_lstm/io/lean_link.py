"""One connection of the lean client: the protocol of MQTT 5 at QoS 0 and 1, strictly, and no waiting.

Section numbers are those of MQTT Version 5.0, OASIS Standard, 7 March 2019.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import mqtt5

from edge_lstm.clock import ArrivalClock
from edge_lstm.io import lean_wire as wire
from edge_lstm.io.lean_pipe import Pipe
from edge_lstm.io.lean_pulse import Pulse
from edge_lstm.io.lean_read import Reader, breach
from edge_lstm.io.limits import INFLIGHT, Limits
from edge_lstm.io.settings import MqttSettings
from edge_lstm.io.story import ConnectionLost
from edge_lstm.io.transport import (
    Confirmed,
    Connected,
    Publication,
    Subscribed,
    Subscription,
    TransportEvent,
)

__all__ = ["Link", "Wishes"]

_OUT_LIMIT = 2**18
_FLUSH_AT = 2**15
_ASK_AGAIN_S = 60.0
_NO_SUBSCRIBERS = 0x10

_Events = list[TransportEvent]
_SLOW = (mqtt5.ConnAckReasonCode.BANNED, mqtt5.ConnAckReasonCode.CONNECTION_RATE_EXCEEDED)


class Wishes(Protocol):
    """What the owner wants of every connection."""

    settings: MqttSettings
    subscriptions: tuple[Subscription, ...]
    obsolete: tuple[str, ...]


class Link:
    """Sends CONNECT at construction; `work` moves it on.

    Args:
        wishes: Settings and subscriptions; obsolete filters are taken out when the broker has dropped them.
        pipe: Its bytes.
        password: Password of the user.
        epoch: Number of this connection.
        clock: Gives messages their time of arrival.
        now: Monotonic time, seconds.
    """

    def __init__(
        self,
        wishes: Wishes,
        pipe: Pipe,
        password: str | None,
        *,
        epoch: int,
        clock: ArrivalClock,
        now: float,
    ) -> None:
        self._wishes, self._settings, self._pipe = wishes, wishes.settings, pipe
        self._epoch = epoch
        self._reader = Reader(pipe, longest=self._settings.max_packet_bytes, epoch=epoch, clock=clock)
        self.limits = Limits()
        self.expiry_s: int | None = None
        self.session_kept = False
        self._tokens: dict[int, int | None] = {}  # one entry for each QoS 1 publication under way
        self._held: deque[tuple[Publication, int | None]] = deque()
        self._asked: dict[int, tuple[Subscription, ...]] = {}
        self._dropping: set[int] = set()
        self._refused: tuple[Subscription, ...] = ()
        self._mid = 0
        self._pulse = Pulse(self._settings.keepalive_s, now)
        self._answer_due: float | None = now + self._settings.connect_timeout_s
        self._ask_again: float | None = None
        pipe.out += wire.connect(self._settings, password)

    @property
    def accepted(self) -> bool:
        """Whether the broker has let us in."""
        return self._reader.accepted

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be written or confirmed."""
        return not self._pipe.out and not self._tokens and not self._held

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
        elif len(self._pipe.out) > _OUT_LIMIT:
            raise BlockingIOError
        else:
            self._pipe.out += wire.publish(publication, None)
        return ""

    def _send_held(self) -> None:
        """Send what waits, never more at once than the broker allows (4.9)."""
        while self._held and len(self._tokens) < self.limits.window:
            publication, token = self._held.popleft()
            mid = self._next_mid()
            self._tokens[mid] = token
            self._pipe.out += wire.publish(publication, mid)

    def _next_mid(self) -> int:
        while True:
            self._mid = self._mid % 65_535 + 1
            if not (self._mid in self._tokens or self._mid in self._asked or self._mid in self._dropping):
                return self._mid

    def ack(self, mids: Sequence[int]) -> None:
        """Acknowledge messages of this connection, in this order, in one write."""
        self._pipe.out += wire.acknowledge(mids)

    def flush(self, now: float) -> None:
        """Write what waits.

        Raises:
            OSError: The connection has ended.
        """
        if self._pipe.out:
            before = len(self._pipe.out)
            self._pipe.flush()
            if len(self._pipe.out) < before:
                self._pulse.said(now)

    @property
    def flush_due(self) -> bool:
        """Whether so much waits to be written that it should not wait for the next turn."""
        return len(self._pipe.out) >= _FLUSH_AT

    def bid_farewell(self, code: int) -> None:
        """Say DISCONNECT; written with what waits."""
        self._pipe.out += wire.disconnect(code)

    def _subscribe(self, subscriptions: tuple[Subscription, ...], now: float) -> None:
        mid = self._next_mid()
        self._asked[mid] = subscriptions
        self._answer_due = now + self._settings.connect_timeout_s
        self._pipe.out += wire.subscribe(mid, subscriptions)

    # -------------------------------------------------------------------------------- in

    def work(self, events: _Events, most: int, now: float) -> bool:
        """Write what waits, read once what is there, and look at the clock.

        Args:
            events: Gets what happened, in order.
            most: Events after which the rest stays for the next call.
            now: Monotonic time, seconds.

        Returns:
            Whether there may be more at once.

        Raises:
            ConnectionLost: It is over.
            OSError: Likewise.
        """
        broken = self._try_flush(now)
        heard = not self._reader.more and self._pipe.read()
        if heard:
            self._pulse.heard(now)
        found = heard or self._reader.more
        if found:
            self._reader.take(events, most, partial(self._handle, events=events, now=now))
        if broken is not None:  # told after what the broker may have said about it
            raise broken
        self.flush(now)
        self._keep_time(now, silent=not found)
        return found

    def _try_flush(self, now: float) -> OSError | None:
        try:
            self.flush(now)
        except OSError as error:
            return error
        return None

    def _handle(self, packet: mqtt5.Packet, *, events: _Events, now: float) -> None:
        """Every packet but PUBLISH."""
        name = type(packet).__name__.removesuffix("Packet").upper()
        if not self.accepted and not isinstance(packet, mqtt5.ConnAckPacket | mqtt5.DisconnectPacket):
            raise breach(f"{name} before CONNACK")
        match packet:
            case mqtt5.PubAckPacket():
                self._on_puback(packet, events)
            case mqtt5.SubAckPacket():
                self._on_suback(packet, events, now)
            case mqtt5.UnsubAckPacket():
                self._on_unsuback(packet)
            case mqtt5.PingRespPacket():
                pass  # it was heard; that is all that it says
            case mqtt5.DisconnectPacket():
                self._on_disconnect(packet)
            case mqtt5.ConnAckPacket() if not self.accepted:
                self._on_connack(packet, events, now)
            case _:
                raise breach(f"{name} out of place")

    def _on_connack(self, packet: mqtt5.ConnAckPacket, events: _Events, now: float) -> None:
        if int(packet.reason_code):  # the stub says IntEnum; it is none, and always true
            said = wire.phrase(packet.reason_code, packet.reason_str)
            raise ConnectionLost(f"the broker refuses us: {said}", slow=packet.reason_code in _SLOW)
        self.limits = Limits(
            window=min(INFLIGHT, packet.receive_max),
            packet_bytes=packet.max_packet_size or Limits().packet_bytes,
            qos=int(packet.max_qos),
            retain=packet.retain_available,
        )
        self.expiry_s = packet.session_expiry_interval
        # 0 is a broker that does not look; we still do.
        self._pulse = Pulse(packet.server_keep_alive or self._settings.keepalive_s, now)
        self._reader.accepted, self._answer_due = True, None
        self.session_kept = packet.session_present
        events.append(Connected(self._epoch, packet.session_present))
        if self._wishes.obsolete:
            mid = self._next_mid()
            self._dropping.add(mid)
            self._pipe.out += wire.unsubscribe(mid, self._wishes.obsolete)
        if self._wishes.subscriptions:
            self._subscribe(self._wishes.subscriptions, now)
        self.publish(self._settings.online)

    def _on_puback(self, packet: mqtt5.PubAckPacket, events: _Events) -> None:
        if packet.packet_id not in self._tokens:
            raise breach(f"PUBACK for {packet.packet_id}, which is not under way")
        token, code = self._tokens.pop(packet.packet_id), int(packet.reason_code)
        self._send_held()
        if token is not None:
            failure = wire.phrase(packet.reason_code, packet.reason_str) if code >= 0x80 else ""
            heard = code != _NO_SUBSCRIBERS
            events.append(Confirmed(token, failure, heard=heard))

    def _on_suback(self, packet: mqtt5.SubAckPacket, events: _Events, now: float) -> None:
        asked, codes = self._asked.pop(packet.packet_id, None), packet.reason_codes
        if asked is None or len(asked) != len(codes):
            raise breach(f"SUBACK for {packet.packet_id} does not answer what was asked")
        self._refused = tuple(one for one, code in zip(asked, codes, strict=True) if int(code) >= 0x80)
        self._answer_due = None if not self._asked else now + self._settings.connect_timeout_s
        self._ask_again = now + _ASK_AGAIN_S if self._refused else None
        events.append(Subscribed(tuple(one.filter for one in self._refused)))

    def _on_unsuback(self, packet: mqtt5.UnsubAckPacket) -> None:
        if packet.packet_id not in self._dropping:
            raise breach(f"UNSUBACK for {packet.packet_id}, which nobody asked for")
        self._dropping.discard(packet.packet_id)
        if all(int(code) < 0x80 for code in packet.reason_codes):
            self._wishes.obsolete = ()

    def _on_disconnect(self, packet: mqtt5.DisconnectPacket) -> None:
        said = wire.phrase(packet.reason_code, packet.reason_str)
        taken_over = packet.reason_code == mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER
        raise ConnectionLost(f"the broker says {said}", taken_over=taken_over)

    # -------------------------------------------------------------------------------- time

    def _keep_time(self, now: float, *, silent: bool) -> None:
        """What falls due by the clock; the broker is dead only if there was nothing to read just now."""
        if self._answer_due is not None and now >= self._answer_due:
            raise ConnectionLost(f"no answer to {'SUBSCRIBE' if self.accepted else 'CONNECT'}")
        if not self.accepted:
            return
        if silent and (silent_s := self._pulse.silent_s(now)):
            raise ConnectionLost(f"no sign of life from the broker for {round(silent_s, 1)} s")
        if self._pulse.ask(now):
            self._pipe.out += wire.PING
            self.flush(now)
        if self._ask_again is not None and now >= self._ask_again:
            self._ask_again = None
            self._subscribe(self._refused, now)

    def next_s(self, now: float) -> float:
        """Until `work` has to look at the clock again, seconds."""
        times = (self._pulse.due(), self._answer_due, self._ask_again)
        return max(0.0, min(due for due in times if due is not None) - now)
