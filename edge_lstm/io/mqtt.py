"""The transport over paho-mqtt: one thread that owns the network and never gives up.

Every connection is a new `edge_lstm.io.connection.Connection`; whatever ends one, an
exception of paho's included, the next is made after a delay with jitter. The owner's
calls are commands in a queue, marked with the connection they were meant for, so an
acknowledgement can never reach a message of another connection.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from edge_lstm.clock import ArrivalClock
from edge_lstm.io.backoff import Backoff
from edge_lstm.io.connection import Connection, ConnectionLost
from edge_lstm.io.settings import MqttSettings, read_password
from edge_lstm.io.transport import (
    Connected,
    Disconnected,
    Publication,
    Subscription,
    TransportEvent,
    Woken,
)
from edge_lstm.logs import event

__all__ = ["MqttTransport"]

log = logging.getLogger(__name__)

_TURN_S = 1.0
_PAUSED_S = 0.02
_LASTING_S = 10.0
_ASK_AGAIN_S = 60.0
_SUMMARY_S = 300.0
_MOST_AT_ONCE = 1000


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
        # SimpleQueue: its put may interrupt its own get in a signal handler.
        self._events: queue.SimpleQueue[TransportEvent] = queue.SimpleQueue()
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
        self._story = _Story(settings)
        self._thread = threading.Thread(target=self._work, name="edge-lstm-mqtt", daemon=True)

    # ------------------------------------------------------------------------------------- owner's side

    @property
    def alive(self) -> bool:
        """Whether the network thread is at work."""
        return self._thread.is_alive()

    @property
    def backlog(self) -> int:
        """Events that wait to be received."""
        return self._events.qsize()

    @property
    def dropped(self) -> int:
        """Publications of QoS 0 that the network could not take."""
        return self._dropped + self._unsent

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def receive(self, timeout_s: float) -> list[TransportEvent]:
        """What has happened since the last call, in order."""
        found: list[TransportEvent] = []
        try:
            found.append(self._events.get(timeout=max(0.0, timeout_s)))
            while len(found) < _MOST_AT_ONCE:
                found.append(self._events.get_nowait())
        except queue.Empty:
            pass
        for one in found:
            if isinstance(one, Connected):
                self._current = one.epoch
            elif isinstance(one, Disconnected):
                self._current = 0
        return found

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
        self._events.put(Woken())

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

    # ----------------------------------------------------------------------------------- network's side

    def _work(self) -> None:
        backoff = Backoff(random.random)
        while not self._stopping.is_set():
            began = time.monotonic()
            lost = self._one_connection()
            if self._stopping.is_set():
                break
            if time.monotonic() - began > _LASTING_S:
                backoff.reset()
            delay_s = backoff.next_s(slow=lost.taken_over)
            self._story.lost(lost, delay_s)
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
        except ConnectionLost as error:
            lost = error
        except OSError as error:
            lost = ConnectionLost(error.strerror or str(error) or type(error).__name__)
        except Exception as error:  # paho's parser lets anything through: crash only
            lost = ConnectionLost(f"{type(error).__name__}: {error}")
            log.debug("mqtt.connection_crashed", exc_info=True)
        if connection is not None:
            connection.close(politely=False)
            if connection.accepted:
                self._commands.clear()
                self._events.put(Disconnected(self._epoch, lost.reason, lost.taken_over))
        return lost

    def _dial(self) -> Connection:
        return Connection(
            self._settings,
            epoch=self._epoch,
            clock=self._clock,
            deliver=self._events.put,
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
        if self._obsolete:
            connection.unsubscribe(self._obsolete)
        connection.subscribe(self._subscriptions)
        connection.publish(self._settings.online)

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
        paused = self._events.qsize() >= self._queue_limit
        timeout_s = min(timeout_s, _PAUSED_S) if paused else timeout_s
        if connection.turn(timeout_s, read=not paused, wake_fd=self._wake_out.fileno()):
            self._wake_out.recv(65536)

    def _run_commands(self, connection: Connection) -> None:
        while self._commands:
            command = self._commands.popleft()
            if command.epoch != self._epoch:
                continue
            if not isinstance(command.what, Publication):
                for mid in command.what:
                    connection.ack(mid)
            elif not connection.publish(command.what, command.token) and command.what.qos == 0:
                self._dropped += 1

    def _part(self, connection: Connection) -> None:
        """The end on purpose: what waits goes out, then the farewell, and the broker is told."""
        self._run_commands(connection)
        if self._farewell is not None:
            connection.publish(self._farewell)
        while not connection.settled and time.monotonic() < self._deadline:
            connection.turn(0.05, read=True, wake_fd=self._wake_out.fileno())
        connection.close(politely=True)


class _Story:
    """Tells of the connection: the first failure at once, then a summary from time to time."""

    def __init__(self, settings: MqttSettings) -> None:
        self._where = {"host": settings.host, "port": settings.port}
        self._reason = ""
        self._attempts = 0
        self._since = self._told = 0.0

    def connected(self) -> None:
        """We are in."""
        after_s = round(time.monotonic() - self._since, 1) if self._attempts else None
        log.info(event("mqtt.connected", **self._where, attempts=self._attempts or None, after_s=after_s))
        self._attempts, self._reason = 0, ""

    def lost(self, lost: ConnectionLost, delay_s: float) -> None:
        """We are out, or were not let in."""
        now = time.monotonic()
        self._since = self._since if self._attempts else now
        self._attempts += 1
        if lost.taken_over:
            log.error(
                event(
                    "mqtt.taken_over",
                    **self._where,
                    detail="another client uses our client_id: two daemons of one node?",
                )
            )
        if lost.reason == self._reason and now - self._told < _SUMMARY_S:
            return
        attempts = self._attempts if lost.reason == self._reason else None
        self._reason, self._told = lost.reason, now
        log.warning(
            event(
                "mqtt.disconnected",
                **self._where,
                reason=lost.reason,
                attempts=attempts,
                retry_in_s=round(delay_s, 1),
            )
        )
