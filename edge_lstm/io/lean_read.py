"""From bytes to events: messages at once, every other packet through the connection's handler.

Section numbers are those of MQTT Version 5.0, OASIS Standard, 7 March 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import mqtt5

from edge_lstm.clock import ArrivalClock
from edge_lstm.io import lean_wire as wire
from edge_lstm.io.lean_pipe import Pipe
from edge_lstm.io.story import ConnectionLost
from edge_lstm.io.transport import Message, TransportEvent

__all__ = ["PROTOCOL", "Reader", "breach"]

MALFORMED, PROTOCOL, ALIAS, TOO_LARGE, NO_QOS = 0x81, 0x82, 0x94, 0x95, 0x9B
"""Reason codes of DISCONNECT (3.14.2.1)."""

_HEAD = tuple((byte >> 1 & 3, bool(byte & 1), bool(byte & 8)) for byte in range(256))
"""First byte of a PUBLISH to QoS, retain, duplicate (3.3.1)."""


def breach(what: str, code: int = PROTOCOL) -> ConnectionLost:
    """The broker broke the protocol: the connection ends, and the broker is told by the code."""
    return ConnectionLost(f"the broker broke the protocol: {what}", code=code)


class Reader:
    """Reads what a pipe holds.

    Args:
        pipe: Where the bytes are.
        longest: Longest packet that the broker may send, bytes.
        epoch: Number of the connection.
        clock: Gives messages their time of arrival; those that were read at once are 1 ns apart.

    Attributes:
        accepted: Whether the broker has let us in, so that messages may come.
        more: Whether whole packets may wait in the pipe.
    """

    def __init__(self, pipe: Pipe, *, longest: int, epoch: int, clock: ArrivalClock) -> None:
        self._pipe, self._longest, self._epoch, self._clock = pipe, longest, epoch, clock
        self.accepted = self.more = False
        self._careful = False  # after a first topic that was no text: the codec's panic is told on stderr

    def take(self, events: list[TransportEvent], most: int, handle: Callable[[mqtt5.Packet], None]) -> None:
        """Turn what was read into events; a packet that is not whole yet stays.

        Args:
            events: Gets the messages.
            most: Events after which the rest stays too.
            handle: Gets every packet that is no PUBLISH, in its turn.

        Raises:
            ConnectionLost: The broker broke the protocol, or ``handle`` says so.
        """
        stamp, before = self._clock.now_ns(), len(events)
        try:
            self._take(events, most, handle, stamp)
        finally:
            self._clock.passed(stamp + len(events) - before)

    def _take(
        self, events: list[TransportEvent], most: int, handle: Callable[[mqtt5.Packet], None], stamp: int
    ) -> None:
        pipe, read, publish, epoch = self._pipe, mqtt5.read, mqtt5.PublishPacket, self._epoch
        buffer, view, end, longest, add = pipe.buffer, pipe.view, pipe.end, self._longest, events.append
        self.more = False
        while pipe.at < end:
            if len(events) >= most:
                self.more = True
                break
            at = pipe.at
            if self._careful and self._take_topicless(events, stamp):
                stamp += 1
                continue
            try:
                packet, size = read(view[at:end])
            except BaseException as error:  # noqa: BLE001 - the codec panics beside Exception; see _mend
                if not self._mend(error, events, stamp):
                    break
                stamp += 1
                continue
            pipe.at = at + size
            if type(packet) is publish:
                qos, retain, duplicate = _HEAD[buffer[at]]
                mid = packet.packet_id
                if (
                    qos == 2
                    or mid == 0
                    or packet.topic_alias is not None
                    or not self.accepted
                    or size > longest
                ):
                    self._not_allowed(packet, size)
                add(Message(packet.topic, packet.payload, qos, retain, stamp, mid or 0, epoch, duplicate))
                stamp += 1
            else:
                handle(packet)

    def _not_allowed(self, packet: mqtt5.PublishPacket, size: int) -> NoReturn:
        if not self.accepted:
            raise breach("PUBLISH before CONNACK")
        if int(packet.qos) == 2:
            raise breach("PUBLISH of QoS 2, which nobody asked for", NO_QOS)
        if packet.topic_alias is not None:
            raise breach("topic alias, of which we allow none", ALIAS)
        if packet.packet_id == 0:
            raise breach("packet identifier 0")
        raise self._too_large(size)

    def _too_large(self, size: int) -> ConnectionLost:
        return breach(f"packet of {size} bytes, more than the {self._longest} we take", TOO_LARGE)

    def _mend(self, error: BaseException, events: list[TransportEvent], stamp: int) -> bool:
        """What the codec could not read: wait for the rest, or deliver a message without its topic, or end.

        A topic that is not UTF-8 makes the codec panic, with an exception that is no `Exception`.

        Returns:
            Whether to go on at once.
        """
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise error
        pipe = self._pipe
        try:
            size = wire.packet_size(bytes(pipe.view[pipe.at : min(pipe.at + 5, pipe.end)]))
        except ValueError as known:
            raise breach(f"malformed packet: {known}", MALFORMED) from error
        if size is not None and size > self._longest:
            raise self._too_large(size) from error
        if size is None or pipe.at + size > pipe.end:
            if not isinstance(error, IndexError):
                raise breach(f"malformed packet: {error}", MALFORMED) from error
            pipe.make_room(size or 0)
            return False
        if not self._take_topicless(events, stamp):
            raise breach(f"malformed packet: {error}", MALFORMED) from error
        self._careful = True
        return True

    def _take_topicless(self, events: list[TransportEvent], stamp: int) -> bool:
        """Deliver the next packet if it is a PUBLISH whose one fault is that its topic is no UTF-8.

        By the letter such a packet is malformed (1.5.4). But a session keeps it, and who hangs up on
        it meets it again at every connection.
        """
        pipe = self._pipe
        try:
            size = wire.packet_size(bytes(pipe.view[pipe.at : min(pipe.at + 5, pipe.end)]))
        except ValueError:
            return False
        if not self.accepted or size is None or pipe.at + size > pipe.end:
            return False
        packet = bytes(pipe.view[pipe.at : pipe.at + size])
        found = wire.publish_topicless(packet)
        qos, retain, duplicate = _HEAD[packet[0]]
        if found is None or (qos and not found[0]):
            return False
        pipe.at += size
        events.append(Message("", found[1], qos, retain, stamp, found[0], self._epoch, duplicate))
        return True
