"""A client of doctor's own: it keeps a session, counts, and acknowledges when it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_lstm.io.settings import MqttSettings

__all__ = ["Client"]

_WAIT_S = 5.0
_EXPIRY_S = 120


class Client:
    """A client whose network is served by whoever waits.

    Args:
        settings: The broker.
        password: Password of the user.
        name: Ending of the client id.
    """

    def __init__(self, settings: MqttSettings, password: str | None, name: str) -> None:
        self._settings = settings
        self._is_5 = settings.protocol == MQTTProtocolVersion.MQTTv5
        self._password, self._name = password, name
        self.answers_to_connect: list[ReasonCode] = []
        self.session_present = False
        self.properties: Any = None
        self.granted: ReasonCode | None = None
        self.heard: list[paho.MQTTMessage] = []
        self.answers: list[ReasonCode] = []

    def connect(self, *, clean: bool) -> None:
        """Connect, with a session that lasts for two minutes.

        Raises:
            OSError: The broker cannot be reached, or does not let us in.
        """
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self._settings.client_id}-{self._name}",
            protocol=MQTTProtocolVersion(self._settings.protocol),
            clean_session=None if self._is_5 else clean,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _WAIT_S
        client.max_inflight_messages_set(1000)
        client.username_pw_set(self._settings.username, self._password)
        if self._settings.tls is not None:
            client.tls_set_context(self._settings.tls)
        client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe
        client.on_message, client.on_publish = self._on_message, self._on_publish
        self.client, self.answers_to_connect, self.heard = client, [], []
        client.connect(self._settings.host, self._settings.port, 60, **self._session(clean=clean))
        if not self.turn(lambda: bool(self.answers_to_connect)):
            raise OSError("the broker does not answer")
        if self.answers_to_connect[0].is_failure:
            raise OSError(f"the broker does not let us in: {self.answers_to_connect[0]}")

    def _session(self, *, clean: bool) -> dict[str, Any]:
        if not self._is_5:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho has no types there
        properties.SessionExpiryInterval = _EXPIRY_S
        properties.ReceiveMaximum = 65_535
        return {"clean_start": clean, "properties": properties}

    def forget(self) -> None:
        """End the connection and the session."""
        self.client.disconnect()
        self.connect(clean=True)  # in MQTT 3.1.1 that alone is the end of the session
        if not self._is_5:
            self.client.disconnect()
            return
        properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call] # likewise
        properties.SessionExpiryInterval = 0
        self.client.disconnect(properties=properties)

    def turn(self, done: Callable[[], bool], *, quiet_s: float | None = None) -> bool:
        """Serve the network until done, the connection's end, the end of time, or silence."""
        until, last, seen = time.monotonic() + 4 * _WAIT_S, time.monotonic(), len(self.heard)
        if quiet_s is None:
            until = last + _WAIT_S
        while not done():
            if self.client.loop(timeout=0.05) != paho.MQTT_ERR_SUCCESS:
                return done()
            now = time.monotonic()
            if len(self.heard) != seen:
                seen, last = len(self.heard), now
            if now > until or (quiet_s is not None and now - last > quiet_s):
                return done()
        return True

    def subscribe(self, topic: str) -> ReasonCode | None:
        """The broker's answer."""
        self.granted = None
        self.client.subscribe(topic, qos=1)
        self.turn(lambda: self.granted is not None)
        return self.granted

    def publish(self, topic: str, payloads: list[bytes]) -> list[ReasonCode]:
        """Publish with quality of service 1; the broker's answers."""
        self.answers = []
        for payload in payloads:
            self.client.publish(topic, payload, qos=1)
            self.client.loop(timeout=0)
        before = -1
        while len(self.answers) < len(payloads) and len(self.answers) != before:
            before = len(self.answers)
            self.turn(lambda: len(self.answers) >= len(payloads))
        return self.answers

    def acknowledge(self) -> None:
        """All that was heard."""
        for message in self.heard:
            self.client.ack(message.mid, message.qos)

    def _on_connect(self, _c: object, _d: object, flags: Any, reason: ReasonCode, properties: object) -> None:  # noqa: ANN401
        self.answers_to_connect.append(reason)
        self.session_present, self.properties = flags.session_present, properties

    def _on_subscribe(
        self, _c: object, _d: object, _m: object, reasons: list[ReasonCode], _p: object
    ) -> None:
        self.granted = reasons[0]

    def _on_message(self, _c: object, _d: object, message: paho.MQTTMessage) -> None:
        self.heard.append(message)

    def _on_publish(self, _c: object, _d: object, _m: object, reason: ReasonCode, _p: object) -> None:
        self.answers.append(reason)
