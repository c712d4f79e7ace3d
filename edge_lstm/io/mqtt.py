"""The transport over paho-mqtt: one thread that owns the network and never gives up.

Every connection is a new `edge_lstm.io.connection.Connection`; whatever ends one, an
exception of paho's included, the next is made after a delay with jitter. The owner's
calls are commands in a queue, marked with the connection they were meant for, so an
acknowledgement can never reach a message of another connection.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from edge_lstm.clock import ArrivalClock
from edge_lstm.io.connection import Connection
from edge_lstm.io.handover import Handover
from edge_lstm.io.settings import MqttSettings, read_password
from edge_lstm.io.story import ConnectionLost, Pace, Story, why
from edge_lstm.io.transport import (
    Confirmed,
    Connected,
    Disconnected,
    Message,
    Publication,
    Subscription,
    TransportEvent,
)
from edge_lstm.logs import event

__all__ = ["MqttTransport"]

log = logging.getLogger(__name__)

_TURN_S = 1.0
_ASK_AGAIN_S = 60.0
_MOST_AT_ONCE = 4000
_MOST_A_TURN = 200


class _Command(NamedTuple):
    """A call of the owner: a publication, or the numbers of messages to acknowledge."""

    epoch: int
    what: Publication | Sequence[int]
    token: int | None = None


class MqttTransport:
    """Implements `edge_lstm.io.transport.Transport` with MQTT 5 or 3.1.1.

    Args:
        settings: The broker and who we are there.
        subscriptions: Topics to receive.
        obsolete: Topic filters of an earlier configuration that the broker may remember.
        clock: Gives messages their time of arrival.
        queue_limit: Events that may wait to be received; beyond it the network is not read.
    """

    name = "paho"
    rival = False

    def __init__(
        self,
        settings: MqttSettings,
        *,
        subscriptions: tuple[Subscription, ...],
        obsolete: tuple[str, ...] = (),
        clock: ArrivalClock,
        queue_limit: int = 2000,
    ) -> None:
        self._settings, self._subscriptions, self._obsolete = settings, subscriptions, obsolete
        self._clock, self._queue_limit = clock, queue_limit
        self._events = Handover()
        self._paused = False
        self._taken_over = self._accepted = self._kept = False
        self._commands: deque[_Command] = deque()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._stopping = threading.Event()
        self._farewell: Publication | None = None
        self._deadline = 0.0
        self._epoch = 0
        self._current = 0
        self._dropped = 0  # by the network's side
        self._unsent = 0  # by the owner's side, while there is no connection
        self._story = Story(settings, self.name)
        self._pace = Pace(settings)
        self._thread = self._new_thread()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._work, name="edge-lstm-mqtt", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the network thread is at work; it ends once its place was taken."""
        return self._thread.is_alive() and not self._taken_over

    @property
    def backlog(self) -> int:
        """Events that wait to be received."""
        return self._events.waiting

    @property
    def dropped(self) -> int:
        """Publications of QoS 0 that the network could not take."""
        return self._dropped + self._unsent

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def receive(self, timeout_s: float) -> list[TransportEvent]:
        """What has happened since the last call, in order."""
        self._revive()
        found = self._events.take(timeout_s, _MOST_AT_ONCE)
        for one in found:
            if type(one) is Message:
                continue
            if isinstance(one, Connected):
                self._current = one.epoch
            elif isinstance(one, Disconnected):
                self._current = 0
        if self._paused:
            self._poke()
        return found

    def _revive(self) -> None:
        """A network thread that has died, of whatever, is replaced: it must not be silence."""
        if self._thread.is_alive() or self._stopping.is_set() or self._taken_over or not self._epoch:
            return
        log.error(event("mqtt.thread_died", detail="a new one connects"))
        self._end_connection(ConnectionLost("the network thread has died"), accepted=self._current != 0)
        self._thread = self._new_thread()
        self._thread.start()

    def publish(self, publication: Publication, *, token: int | None = None) -> None:
        """Send on the connection of the newest `Connected` received."""
        if not self._current and publication.qos == 0:
            self._unsent += 1
        self._command(_Command(self._current, publication, token))

    def ack(self, epoch: int, mids: Sequence[int]) -> None:
        """Tell the broker that the work of messages is done."""
        if mids:
            self._command(_Command(epoch, tuple(mids)))

    def wake(self) -> None:
        """Make `receive` return a `Woken`."""
        self._events.wake()

    def stop(self, farewell: Publication, *, timeout_s: float) -> None:
        """Send what waits, say farewell, disconnect, end."""
        self._farewell, self._deadline = farewell, time.monotonic() + timeout_s
        self._stopping.set()
        self._poke()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 1.0)
        if self._thread.is_alive():  # inside a name look-up, say; it dies with the process
            log.warning(event("mqtt.stop_timed_out", timeout_s=timeout_s))
            return
        self._wake_in.close()
        self._wake_out.close()

    def _command(self, command: _Command) -> None:
        if command.epoch:
            self._commands.append(command)
            self._poke()

    def _poke(self) -> None:
        with contextlib.suppress(OSError):  # full of pokes: it wakes anyway; closed: nobody is there any more
            self._wake_in.send(b"\0")

    def _work(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            lost = self._one_connection()
            if self._stopping.is_set():
                return
            if lost.taken_over:  # to come back would drive the other one out, and so on for ever
                self._story.lost(lost, None)
                return
            lasted_s = time.monotonic() - began if self._accepted else 0.0
            rival = self._pace.rival(lost, kept=self._kept, lasted_s=lasted_s)
            delay_s = self._pace.next_s(lost, lasted_s=lasted_s, rival=rival)
            self._story.lost(lost, delay_s)
            self.rival = rival
            if rival:
                self._story.rival()
            self._stopping.wait(delay_s)

    def _one_connection(self) -> ConnectionLost:
        """Connect, and stay connected for as long as it lasts; what ended it comes back as the reason."""
        self._epoch += 1
        connection = None
        try:
            connection = self._dial()
            self._greet(connection)
            self._serve(connection)
            lost = ConnectionLost("stopped")
        except Exception as error:  # noqa: BLE001 - paho's parser lets anything through: crash only
            lost = why(error)
        self._taken_over = lost.taken_over
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close(politely=False)
        self._accepted = connection is not None and connection.accepted
        self._kept = connection is not None and connection.session_kept
        self._end_connection(lost, accepted=self._accepted)
        return lost

    def _end_connection(self, lost: ConnectionLost, *, accepted: bool) -> None:
        if accepted:
            self._commands.clear()
            self._events.gather(Disconnected(self._epoch, lost.reason, lost.taken_over))
        self._events.hand_over()

    def _dial(self) -> Connection:
        return Connection(
            self._settings,
            epoch=self._epoch,
            clock=self._clock,
            deliver=self._events.gather,
            password=read_password(self._settings),
        )

    def _greet(self, connection: Connection) -> None:
        """Wait until the broker lets us in, then say what we want and that we are there."""
        give_up = time.monotonic() + self._settings.connect_timeout_s
        while not connection.accepted:
            if self._stopping.is_set():
                raise ConnectionLost("stopped")
            if time.monotonic() > give_up:
                raise ConnectionLost("no answer to CONNECT")
            self._turn(connection, _TURN_S)
        self._story.connected()
        self._story.session(connection.expiry_s)
        if self._obsolete:
            connection.unsubscribe(self._obsolete)
        connection.subscribe(self._subscriptions)
        self._publish(connection, self._settings.online)

    def _serve(self, connection: Connection) -> None:
        ask_again = time.monotonic() + _ASK_AGAIN_S
        while not self._stopping.is_set():
            self._turn(connection, _TURN_S)
            self._run_commands(connection)
            if time.monotonic() > ask_again:
                ask_again = time.monotonic() + _ASK_AGAIN_S
                refused = [s for s in self._subscriptions if s.filter in connection.refused]
                if refused:
                    connection.subscribe(tuple(refused))
        self._part(connection)

    def _turn(self, connection: Connection, timeout_s: float) -> None:
        """One turn of the network. While too much waits to be scored, nothing more is read."""
        room = max(0, min(_MOST_A_TURN, self._queue_limit - self.backlog))
        self._paused = room == 0
        try:
            if connection.turn(timeout_s, room=room, wake_fd=self._wake_out.fileno()):
                self._wake_out.recv(65536)
        finally:
            self._events.hand_over()

    def _run_commands(self, connection: Connection) -> None:
        while self._commands:
            command = self._commands.popleft()
            if command.epoch != self._epoch:
                continue
            if isinstance(command.what, Publication):
                self._publish(connection, command.what, command.token)
            else:
                connection.ack(command.what)

    def _publish(self, connection: Connection, publication: Publication, token: int | None = None) -> None:
        try:
            failure = connection.publish(publication, token)
        except BlockingIOError:
            self._dropped += 1
            return
        if failure and token is not None:
            self._events.gather(Confirmed(token, failure))
            self._events.hand_over()
        elif failure:
            self._dropped += publication.qos == 0
            self._story.refused(publication.topic, failure)

    def _part(self, connection: Connection) -> None:
        """The end on purpose: what waits goes out, then the farewell, and the broker is told."""
        self._run_commands(connection)
        if self._farewell is not None:
            self._publish(connection, self._farewell)
        while not connection.settled and time.monotonic() < self._deadline:
            connection.turn(0.05, room=_MOST_A_TURN, wake_fd=self._wake_out.fileno())
        connection.close(politely=True)
