"""The broker: name, port, TLS, login and subscriptions, each with a reason when it fails."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.doctor.finding import Finding, fail, info, ok, warn
from edge_lstm.doctor.isolate import Died, isolated
from edge_lstm.errors import ConfigError
from edge_lstm.io.settings import MqttSettings, mqtt_settings, read_password
from edge_lstm.topics import Template

__all__ = ["broker", "no_broker"]

_WAIT_S = 5.0
_WHOLE_S = 25.0
"""Name server, TCP, TLS and the broker's answer, each with a limit of its own below this one."""


def no_broker(*, given: bool) -> Finding:
    """Without a configuration there is none to ask.

    Args:
        given: Whether one was named, which cannot be used.
    """
    if given:
        return info("broker", "not asked: the configuration cannot be used (see config above)")
    return info("broker", "not asked", "edge-lstm doctor --config edge-lstm.yaml")


def broker(config: DeviceConfig, *, limit_s: float = _WHOLE_S) -> list[Finding]:
    """Connect as the daemon would, under another client id and without a session, and subscribe.

    A daemon that runs meanwhile is not disturbed: its id stays its own, nothing is
    published, and no last will is left.

    Args:
        config: The site's configuration.
        limit_s: Longest time for all of it, seconds.
    """
    try:
        settings = mqtt_settings(config)
        password = read_password(settings)
    except ConfigError as error:
        return [fail("broker", str(error), "put that file right")]
    filters = [(Template.parse(source.topic).filter, source.qos) for source in config.inputs]
    where = f"{settings.host}:{settings.port}"
    try:
        said: Any = isolated(lambda: _Visit(settings, password, filters).findings(), limit_s)
    except Died as death:
        return [fail("broker", f"{where}: {death.why}", "check the name server and the route to the broker")]
    return [Finding(**one) for one in said]


class _Visit:
    """One short connection.

    Args:
        settings: The broker and who we are there.
        password: Password of the user.
        filters: Subscriptions of the configuration, with their quality of service.
    """

    def __init__(
        self, settings: MqttSettings, password: str | None, filters: Sequence[tuple[str, int]]
    ) -> None:
        self._settings, self._filters = settings, filters
        self._where = f"{settings.host}:{settings.port}"
        self._answer: ReasonCode | None = None
        self._granted: list[ReasonCode] | None = None
        is_5 = settings.protocol == MQTTProtocolVersion.MQTTv5
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{settings.client_id}-doctor",
            protocol=MQTTProtocolVersion(settings.protocol),
            clean_session=None if is_5 else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _WAIT_S
        client.username_pw_set(settings.username, password)
        if settings.tls is not None:
            client.tls_set_context(settings.tls)
        client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe

    def findings(self) -> list[dict[str, str]]:
        """What came of it, as plain data."""
        found = self._connect()
        return [{f: getattr(one, f) for f in Finding.__struct_fields__} for one in found]

    def _connect(self) -> list[Finding]:
        try:
            self._client.connect(self._settings.host, self._settings.port, self._settings.keepalive_s)
        except (OSError, ValueError) as error:
            return [self._unreachable(error)]
        self._turn(lambda: self._answer is not None)
        if self._answer is None:
            fix = "is this the port of an MQTT broker, with TLS or without as mqtt.tls says?"
            return [fail("broker", f"{self._where} takes the connection and does not answer MQTT", fix)]
        if self._answer.is_failure:
            return [self._refused(str(self._answer))]
        tls = ", TLS" if self._settings.tls is not None else ""
        user = self._settings.username
        who = "without a login (anonymous)" if user is None else f"as '{user}'"
        found = [ok("broker", f"{self._where} accepts us {who}{tls}")]
        found.append(self._subscriptions())
        self._client.disconnect()
        return found

    def _turn(self, done: Callable[[], bool]) -> None:
        """Serve the network until done, the connection ends or the time is over."""
        until = time.monotonic() + _WAIT_S
        while not done() and time.monotonic() < until:
            if self._client.loop(timeout=0.2) != paho.MQTT_ERR_SUCCESS:
                return

    def _subscriptions(self) -> Finding:
        self._client.subscribe([(name, qos) for name, qos in self._filters])
        self._turn(lambda: self._granted is not None)
        if self._granted is None:
            return warn("broker-acl", "no answer to the subscriptions", "read the broker's log")
        pairs = zip(self._filters, self._granted, strict=False)
        refused = [name for (name, _), reason in pairs if reason.is_failure]
        if refused:
            fix = "allow this user (and client id) to read them in the broker's access control list"
            return fail("broker-acl", f"subscriptions refused: {', '.join(refused)}", fix)
        return ok("broker-acl", f"{len(self._filters)} subscription(s) granted")

    def _unreachable(self, error: Exception) -> Finding:
        """Why there is no connection, and who can put it right."""
        if isinstance(error, socket.gaierror):
            fix = "check mqtt.host and the name server (getent hosts NAME)"
            return fail("broker", f"'{self._settings.host}' has no address: {error.strerror}", fix)
        if isinstance(error, ssl.SSLCertVerificationError):
            fix = "check mqtt.tls.ca_file, the broker's name in its certificate, and this board's clock"
            return fail("broker", f"{self._where}: certificate refused: {error.verify_message}", fix)
        if isinstance(error, ssl.SSLError):
            fix = "is this the TLS port (usually 8883)? does the broker ask for a client certificate?"
            return fail("broker", f"{self._where}: TLS fails: {error.reason or error}", fix)
        if isinstance(error, ConnectionRefusedError):
            fix = "start the broker, or check mqtt.host and mqtt.port; Mosquitto 2 listens on localhost alone"
            return fail("broker", f"{self._where}: nobody listens there", fix)
        if isinstance(error, TimeoutError):
            fix = "check the route and the firewalls between this board and the broker"
            return fail("broker", f"{self._where}: no answer within {_WAIT_S:g} s", fix)
        why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        return fail("broker", f"{self._where}: {why}", "check mqtt.host, mqtt.port and the network")

    def _refused(self, reason: str) -> Finding:
        fix = "check mqtt.username and mqtt.password_file, and the broker's log"
        if "protocol" in reason.lower():
            fix = 'the broker is an older one: set mqtt.protocol to "3.1.1"'
        return fail("broker", f"{self._where} refuses us: {reason}", fix)

    def _on_connect(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, _more: object
    ) -> None:
        self._answer = reason

    def _on_subscribe(
        self, _client: object, _data: object, _mid: object, reasons: list[ReasonCode], _more: object
    ) -> None:
        self._granted = reasons
