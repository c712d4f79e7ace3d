"""What any MQTT client sees of pump and daemon."""

from __future__ import annotations

import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

import msgspec
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_lstm.errors import BrokerError

__all__ = ["Message", "Watcher"]

CONNECT_S = 10.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        received: When it came, on the monotonic clock, seconds.
        topic: Its topic.
        payload: Its bytes.
    """

    received: float
    topic: str
    payload: bytes

    @property
    def kind(self) -> str:
        """Last level of the topic, ``alert`` or ``score`` for example."""
        return self.topic.rpartition("/")[2]

    def json(self) -> dict[str, Any]:
        """The payload as a JSON object; empty when it is none."""
        try:
            body = msgspec.json.decode(self.payload)
        except msgspec.DecodeError:
            return {}
        return body if isinstance(body, dict) else {}


class Watcher:
    """A subscriber to some topics; messages wait in order.

    Args:
        port: Port of the broker on 127.0.0.1.
        topics: Topic filters.
    """

    def __init__(self, port: int, *topics: str) -> None:
        self._port, self._topics = port, topics
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._ready: SimpleQueue[None] = SimpleQueue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.put(None)
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        """Connect and subscribe.

        Raises:
            BrokerError: The broker does not let us.
        """
        try:
            self._client.connect("127.0.0.1", self._port)
            self._client.loop_start()
            self._ready.get(timeout=CONNECT_S)
        except (OSError, Empty) as error:
            self._client.loop_stop()
            raise BrokerError(f"cannot subscribe at 127.0.0.1:{self._port}", got=repr(error)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def next(self, timeout_s: float) -> Message | None:
        """The next message, or ``None`` when none comes in time."""
        try:
            return self._messages.get(timeout=timeout_s)
        except Empty:
            return None

    def _on_connect(self, *_: object) -> None:
        self._client.subscribe([(topic, 1) for topic in self._topics])

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self._messages.put(Message(time.monotonic(), message.topic, bytes(message.payload)))
