"""Readings out to a broker, as sensors send them: for the simulator, not for the daemon."""

from __future__ import annotations

import logging
from threading import Event, Semaphore
from types import TracebackType
from typing import Self

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge_lstm.errors import BrokerError

__all__ = ["Feed"]

log = logging.getLogger(__name__)

WINDOW = 200
"""Messages under way at most; beyond it `Feed.publish` waits for the broker."""
CONNECT_S = 10.0
STALL_S = 30.0


class Feed:
    """One connection that publishes, reconnects by itself and never runs ahead of the broker.

    It speaks MQTT 3.1.1, which every broker understands.

    Args:
        host: Name or address of the broker.
        port: TCP port.
        qos: 0 or 1.
        username: User name, ``None`` for an anonymous connection.
        password: Password of the user.
        stall_s: Time without any acknowledgement after which the broker counts as lost, seconds.
    """

    def __init__(
        self,
        host: str,
        *,
        port: int = 1883,
        qos: int = 1,
        username: str | None = None,
        password: str | None = None,
        stall_s: float = STALL_S,
    ) -> None:
        self._host, self._port, self._qos, self._stall_s = host, port, qos, stall_s
        self._window = Semaphore(WINDOW)
        self._answered = Event()
        self._refusal = ""
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self._client.username_pw_set(username, password)
        self._client.reconnect_delay_set(1, 10)
        self._client.max_queued_messages_set(WINDOW)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            BrokerError: Nobody answers at that address, or the broker refuses us.
        """
        try:
            self._client.connect(self._host, self._port, keepalive=30)
        except OSError as error:
            raise self._error("cannot reach the MQTT broker", got=str(error)) from error
        self._client.loop_start()
        if not self._answered.wait(CONNECT_S):
            self._stop()
            raise self._error("the MQTT broker does not answer", got=f"nothing within {CONNECT_S:g} s")
        if self._refusal:
            self._stop()
            raise self._error("the MQTT broker refused the connection", got=self._refusal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until the broker has everything, unless something went wrong, and disconnect."""
        try:
            if error is None:
                self._drain()
        finally:
            self._stop()

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand over one message; waits while too many are under way.

        Raises:
            BrokerError: The broker has not acknowledged anything for too long.
        """
        self._take()
        info = self._client.publish(topic, payload, qos=self._qos)
        if self._qos == 0 and info.rc != paho.MQTT_ERR_SUCCESS:
            self._window.release()  # paho forgets a QoS 0 message that it cannot send at once

    def _take(self) -> None:
        """Wait for room in the window."""
        if not self._window.acquire(timeout=self._stall_s):
            raise self._error(
                "the MQTT broker takes no more messages", got=f"silence for {self._stall_s:g} s"
            )

    def _drain(self) -> None:
        """Wait until nothing is under way any more."""
        for _ in range(WINDOW):
            self._take()

    def _stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _error(self, what: str, *, got: str) -> BrokerError:
        hint = "check --host, --port and the broker; --username and --password-file if it wants a login"
        return BrokerError(f"{what} at {self._host}:{self._port}", got=got, do=hint)

    def _on_connect(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, _more: object
    ) -> None:
        self._refusal = str(reason) if reason.is_failure else ""
        if self._answered.is_set() and not reason.is_failure:
            log.warning("feed.reconnected host=%s port=%d", self._host, self._port)
        self._answered.set()

    def _on_disconnect(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, _more: object
    ) -> None:
        if reason.is_failure and not self._refusal:  # after a refusal it is no news
            log.warning("feed.disconnected host=%s port=%d reason=%s", self._host, self._port, reason)

    def _on_publish(
        self, _client: object, _data: object, _mid: int, _reason: ReasonCode, _more: object
    ) -> None:
        self._window.release()
