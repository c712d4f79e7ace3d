"""The lean transport: MQTT 5 at QoS 0 and 1 over the codec ``mqtt5``, on the owner's thread.

`LeanTransport.receive` reads, parses and writes; nothing else does, so nothing is handed
from thread to thread and the network is not read while the owner is busy. Only a new
connection is made elsewhere (`edge_lstm.io.lean_dial`), because names, TCP and TLS
block. Whatever goes wrong ends one connection, and the next is made after a delay with
jitter; nothing is raised.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Sequence

from edge_lstm.clock import ArrivalClock
from edge_lstm.io.lean_dial import Dial
from edge_lstm.io.lean_link import Link
from edge_lstm.io.lean_pipe import Pipe
from edge_lstm.io.settings import MqttSettings
from edge_lstm.io.story import ConnectionLost, Pace, Story, why
from edge_lstm.io.transport import (
    Confirmed,
    Disconnected,
    Publication,
    Subscription,
    TransportEvent,
    Woken,
)

__all__ = ["LeanTransport"]

_MOST_AT_ONCE = 4000
_MOST_DIALS = 3
"""Attempts that may hang in a name look-up at one time: their threads cannot be ended."""


class LeanTransport:
    """Implements `edge_lstm.io.transport.Transport` with MQTT 5, QoS 0 and 1.

    Args:
        settings: The broker and who we are there.
        subscriptions: Topics to receive.
        obsolete: Topic filters of an earlier configuration that the broker may remember.
        clock: Gives messages their time of arrival.
        queue_limit: Most events that one `receive` gives.
    """

    name = "mqtt5"
    rival = False

    def __init__(
        self,
        settings: MqttSettings,
        *,
        subscriptions: tuple[Subscription, ...],
        obsolete: tuple[str, ...] = (),
        clock: ArrivalClock,
        queue_limit: int = _MOST_AT_ONCE,
    ) -> None:
        self.settings, self.subscriptions, self.obsolete = settings, subscriptions, obsolete
        self._clock, self._most = clock, min(queue_limit, _MOST_AT_ONCE)
        self._events: list[TransportEvent] = []
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._woken = False
        self._working = False
        self._epoch = 0
        self._dropped = 0
        self._dial: Dial | None = None
        self._hanging: list[Dial] = []
        self._pipe: Pipe | None = None
        self._link: Link | None = None
        self._began = self._retry_at = 0.0
        self._told = False
        self._pace = Pace(settings)
        self._story = Story(settings, self.name)

    @property
    def alive(self) -> bool:
        """Whether it is connected or trying; not before `start`, and not once its place was taken."""
        return self._working

    @property
    def backlog(self) -> int:
        """Events that wait to be received; what the network holds is not known."""
        return len(self._events)

    @property
    def dropped(self) -> int:
        """Publications of QoS 0 that the network could not take."""
        return self._dropped

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._working = True
        self._retry_at = time.monotonic()
        self._move()

    # -------------------------------------------------------------------------------- in

    def receive(self, timeout_s: float) -> list[TransportEvent]:
        """What has happened since the last call, in order."""
        end = time.monotonic() + timeout_s
        while True:
            busy = self._move()
            if self._woken:
                self._woken = False
                self._events.append(Woken())
            if self._events:
                found, self._events = self._events, []
                return found
            now = time.monotonic()
            if now >= end:
                return []
            if not busy:
                self._wait(min(end - now, self._next_s(now)))

    def _move(self) -> bool:
        """Do all that can be done without waiting; whether there may be more at once."""
        if not self._working:
            return False
        try:
            if self._link is not None:
                return self._serve(self._link)
            return self._connect()
        except Exception as error:  # noqa: BLE001 - crash only: one connection ends, and the log says why
            self._lose(why(error))
            return True

    def _serve(self, link: Link) -> bool:
        busy = link.work(self._events, self._most, time.monotonic())
        if link.accepted and not self._told:
            self._told = True
            self._story.connected()
            self._story.session(link.expiry_s)
        return busy

    def _connect(self) -> bool:
        """Begin an attempt when it is time, and take over its connection when it is there."""
        now = time.monotonic()
        if self._dial is None:
            self._hanging = [dial for dial in self._hanging if dial.alive]
            if now < self._retry_at or len(self._hanging) >= _MOST_DIALS:
                return False
            self._began, self._told = now, False
            self._epoch += 1
            self._dial = Dial(self.settings, self._poke)
        line = self._dial.result()
        if line is None:
            return False
        self._dial = None
        self._pipe = Pipe(line.socket)
        self._link = Link(self, self._pipe, line.password, epoch=self._epoch, clock=self._clock, now=now)
        self._selector.register(self._pipe, selectors.EVENT_READ)
        return True

    def _lose(self, lost: ConnectionLost) -> None:
        """The connection, or the attempt at one, has ended."""
        accepted = self._link is not None and self._link.accepted
        kept = self._link is not None and self._link.session_kept
        self._drop(lost.code)
        if accepted:
            self._events.append(Disconnected(self._epoch, lost.reason, lost.taken_over))
        if lost.taken_over:  # to come back would drive the other one out, and so on for ever
            self._working = False
            self._story.lost(lost, None)
            return
        now = time.monotonic()
        lasted_s = now - self._began if accepted else 0.0
        rival = self._pace.rival(lost, kept=kept, lasted_s=lasted_s)
        delay_s = self._pace.next_s(lost, lasted_s=lasted_s, rival=rival)
        self._retry_at = now + delay_s
        self._story.lost(lost, delay_s)
        self.rival = rival
        if rival:
            self._story.rival()

    def _drop(self, code: int | None) -> None:
        """Close what there is; with a code the broker is told why."""
        if self._dial is not None:
            self._dial.abandon()
            self._hanging.append(self._dial)
        pipe, link = self._pipe, self._link
        self._dial = self._pipe = self._link = None
        if pipe is None:
            return
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(pipe)
        with contextlib.suppress(OSError):
            if code is not None and link is not None:
                link.bid_farewell(code)
                pipe.flush()
        pipe.close()

    def _wait(self, timeout_s: float) -> None:
        """Until the network has something, takes something, or somebody wakes us."""
        if self._pipe is not None:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._pipe.out else 0)
            if self._selector.get_key(self._pipe).events != wanted:
                self._selector.modify(self._pipe, wanted)
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._wake_out:
                self._wake_out.recv(65_536)

    def _next_s(self, now: float) -> float:
        """Until there is something to do whatever comes, seconds."""
        if not self._working:
            return 3600.0
        if self._link is not None:
            return self._link.next_s(now)
        if self._dial is not None:
            return max(0.0, self._dial.give_up - now)
        # One second: a thread that hung may have ended.
        return max(0.0, self._retry_at - now) or 1.0

    # -------------------------------------------------------------------------------- out

    def publish(self, publication: Publication, *, token: int | None = None) -> None:
        """Send on the connection of the newest `Connected` received."""
        link = self._link if self._link is not None and self._link.accepted else None
        if link is None:
            self._dropped += publication.qos == 0
            return
        try:
            failure = link.publish(publication, token)
        except BlockingIOError:
            self._dropped += 1
            return
        if failure and token is not None:
            self._events.append(Confirmed(token, failure))
        elif failure:
            self._dropped += publication.qos == 0
            self._story.refused(publication.topic, failure)
        if link.flush_due:
            self._flush(link)

    def ack(self, epoch: int, mids: Sequence[int]) -> None:
        """Tell the broker that the work of messages is done."""
        link = self._link
        if link is not None and epoch == self._epoch and mids:
            link.ack(mids)
            self._flush(link)

    def _flush(self, link: Link) -> None:
        with contextlib.suppress(OSError):  # comes again in `receive`, which ends the connection
            link.flush(time.monotonic())

    def wake(self) -> None:
        """Make `receive` return a `Woken`."""
        self._woken = True
        self._poke()

    def _poke(self) -> None:
        with contextlib.suppress(OSError):  # full of pokes: it wakes anyway; closed: nobody is there any more
            self._wake_in.send(b"\0")

    # -------------------------------------------------------------------------------- the end

    def stop(self, farewell: Publication, *, timeout_s: float) -> None:
        """Send what waits, say farewell, disconnect, end."""
        link, end = self._link, time.monotonic() + timeout_s
        if link is not None and link.accepted:
            self.publish(farewell)
            while self._link is link and not link.settled and (left_s := end - time.monotonic()) > 0:
                if not self._move():
                    self._wait(min(left_s, self._next_s(time.monotonic())))
                self._events.clear()
        self._working = False
        self._drop(0)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
