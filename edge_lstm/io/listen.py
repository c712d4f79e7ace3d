"""Overhear one topic for a while: for commands that wait for a node, not for the daemon."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge_lstm.io.settings import MqttSettings, read_password

__all__ = ["listen"]

_TURN_S = 0.2
_PAUSE_S = 0.5


@dataclass(slots=True)
class _Heard:
    """What the callbacks leave behind."""

    wanted: bool = False
    refusal: str = ""
    problem: str = ""
    client: paho.Client | None = field(default=None)


def listen(
    settings: MqttSettings,
    topic: str,
    *,
    client_id: str,
    end: float,
    take: Callable[[bytes, bool], bool],
    goes_on: Callable[[], bool],
) -> str | None:
    """Hand every message of a topic to ``take`` until it wants no more; connects anew when it must.

    Args:
        settings: The broker. The last will and the name in it are the daemon's and are left alone.
        topic: What to subscribe to.
        client_id: Our own name at the broker.
        end: When to give up, on the monotonic clock, seconds.
        take: Gets payload and whether the broker had kept it; true ends the listening.
        goes_on: Asked every now and then; false ends the listening.

    Returns:
        ``None`` when ``take`` was satisfied, else what stands in the way, or the empty string.
    """
    heard = _Heard()
    while time.monotonic() < end and goes_on():
        try:
            _one_connection(settings, topic, client_id, end, take, goes_on, heard)
        except (OSError, ValueError) as error:
            heard.problem = f"{settings.host}:{settings.port} cannot be reached: {error}"
        if heard.wanted:
            return None
        time.sleep(max(0.0, min(_PAUSE_S, end - time.monotonic())))
    return heard.problem


def _one_connection(
    settings: MqttSettings,
    topic: str,
    client_id: str,
    end: float,
    take: Callable[[bytes, bool], bool],
    goes_on: Callable[[], bool],
    heard: _Heard,
) -> None:
    """One connection, until it ends or there is nothing to wait for any more."""
    client = _client(settings, client_id, topic, take, heard)
    client.connect(settings.host, settings.port, settings.keepalive_s)
    try:
        while not heard.wanted and time.monotonic() < end and goes_on():
            code = client.loop(_TURN_S)
            if code != paho.MQTT_ERR_SUCCESS:
                heard.problem = heard.refusal or f"connection lost: {paho.error_string(code)}"
                return
    finally:
        client.disconnect()
        sock: Any = client.socket()
        if sock is not None:
            sock.close()


def _client(
    settings: MqttSettings,
    client_id: str,
    topic: str,
    take: Callable[[bytes, bool], bool],
    heard: _Heard,
) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=MQTTProtocolVersion(settings.protocol),
        reconnect_on_failure=False,
    )
    client.connect_timeout = settings.connect_timeout_s
    client.username_pw_set(settings.username, read_password(settings))
    if settings.tls is not None:
        client.tls_set_context(settings.tls)

    def on_connect(
        one: paho.Client, _data: object, _flags: object, reason: ReasonCode, _more: object
    ) -> None:
        heard.refusal = f"the broker refuses us: {reason}" if reason.is_failure else ""
        heard.problem = heard.refusal
        if not reason.is_failure:
            one.subscribe(topic, qos=1)

    def on_subscribe(
        _one: object, _data: object, _mid: int, reasons: list[ReasonCode], _more: object
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            heard.problem = f"the broker does not let us read {topic}: {reasons[0]}"

    def on_message(_one: object, _data: object, message: paho.MQTTMessage) -> None:
        heard.wanted = heard.wanted or take(bytes(message.payload), message.retain)

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    return client
