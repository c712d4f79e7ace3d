"""Measured at the running broker: how far it goes ahead, how much it keeps, whether alerts get through.

Everything is published below ``BASE/NODE/doctor``, with client ids of our own, and the
session that was made for it is ended.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import msgspec
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.doctor.isolate import Died, isolated
from edge_lstm.errors import ConfigError
from edge_lstm.io.settings import MqttSettings, mqtt_settings, read_password

__all__ = ["Measured", "probe"]

_WAIT_S = 5.0
_QUIET_S = 0.7
"""So long must nothing come before a count is taken for the whole."""
_WHOLE_S = 60.0
_EXPIRY_S = 120
_MOST_WINDOW, _MOST_QUEUE = 2_000, 5_000
"""Messages that are tried; a broker that keeps so many is said to keep at least so many."""


class Measured(msgspec.Struct, kw_only=True):
    """What came of it; ``None`` is not measured.

    Attributes:
        problem: Why nothing more could be measured; empty when all was.
        version: What the broker says it is.
        packet_bytes: Largest packet that it takes.
        keeps_session: Whether the session was there when we came back.
        inflight: Messages that it sent ahead of acknowledgements.
        inflight_tried: Messages that were there to be sent.
        queued: Messages that it kept while we were away, with those in flight when we left.
        queued_tried: Messages that there were.
        alert: ``arrived``, ``refused`` with the reason, ``lost``, or ``unreadable`` when we may not listen.
    """

    problem: str = ""
    version: str = ""
    packet_bytes: int | None = None
    keeps_session: bool | None = None
    inflight: int | None = None
    inflight_tried: int = 0
    queued: int | None = None
    queued_tried: int = 0
    alert: str = ""

    @property
    def mosquitto(self) -> tuple[int, int] | None:
        """Major and minor version, if it is a Mosquitto."""
        found = re.match(r"mosquitto version (\d+)\.(\d+)", self.version)
        return None if found is None else (int(found[1]), int(found[2]))


def probe(config: DeviceConfig, *, inflight: int, queued: int) -> Measured:
    """Measure.

    Args:
        config: The site.
        inflight: Window that is needed, messages.
        queued: Queue that is needed, messages.
    """
    try:
        settings = mqtt_settings(config)
        password = read_password(settings)
    except ConfigError as error:
        return Measured(problem=str(error))
    tries = min(inflight + 1, _MOST_WINDOW), min(queued, _MOST_QUEUE)
    try:
        said: Any = isolated(lambda: _measure(settings, password, config.root, *tries), _WHOLE_S)
    except Died as death:
        return Measured(problem=death.why)
    return msgspec.convert(said, Measured)


def _measure(settings: MqttSettings, password: str | None, root: str, window: int, queue: int) -> object:
    """As plain data, for it is done in a child."""
    found = Measured()
    try:
        _Probe(settings, password, root, found).run(window, queue)
    except (OSError, ValueError) as error:
        found.problem = str(error)
    return msgspec.to_builtins(found)


class _Client:
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
            protocol=self._settings.protocol,
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


class _Probe:
    """The order of what is measured.

    Args:
        settings: The broker.
        password: Password of the user.
        root: Topic of the node.
        found: Filled in.
    """

    def __init__(self, settings: MqttSettings, password: str | None, root: str, found: Measured) -> None:
        self._watch = _Client(settings, password, "doctor-watch")
        self._send = _Client(settings, password, "doctor-send")
        self._topic, self._alert = f"{root}/doctor/probe", f"{root}/doctor/alert"
        self._found = found

    def run(self, window: int, queue: int) -> None:
        """Measure all; what the broker does not allow is left out."""
        self._watch.connect(clean=True)
        self._watch.client.disconnect()
        self._watch.connect(clean=False)
        self._found.packet_bytes = getattr(self._watch.properties, "MaximumPacketSize", None)
        try:
            self._version()
            self._send.connect(clean=True)
            self._canary()
            granted = self._watch.subscribe(self._topic)
            if granted is None or granted.is_failure:
                self._found.problem = f"not allowed to read {self._topic}"
            else:
                self._window(window)
                self._queue(queue)
        finally:
            self._watch.forget()

    def _version(self) -> None:
        """Mosquitto says it, retained, to whom it lets read it."""
        granted = self._watch.subscribe("$SYS/broker/version")
        if granted is not None and not granted.is_failure:
            self._watch.turn(lambda: bool(self._watch.heard), quiet_s=_QUIET_S)
            self._found.version = "".join(
                one.payload.decode(errors="replace") for one in self._watch.heard[:1]
            )
        self._watch.acknowledge()
        self._watch.client.unsubscribe("$SYS/broker/version")
        self._watch.heard = []

    def _canary(self) -> None:
        granted = self._watch.subscribe(self._alert)
        said = {
            "canary": True,
            "text": "edge-lstm doctor tries whether alerts get through; no machine is ill",
        }
        answers = self._send.publish(self._alert, [msgspec.json.encode(said)])
        if answers and answers[0].is_failure:
            self._found.alert = f"refused: {answers[0]}"
        elif granted is None or granted.is_failure:
            self._found.alert = "unreadable"
        else:
            self._watch.turn(lambda: bool(self._watch.heard), quiet_s=_QUIET_S)
            self._found.alert = "arrived" if self._watch.heard else "lost"
        self._watch.acknowledge()
        self._watch.client.unsubscribe(self._alert)
        self._watch.heard = []

    def _window(self, count: int) -> None:
        """Messages that come although none is acknowledged."""
        self._found.inflight_tried = count
        answers = self._send.publish(self._topic, [b"window %d" % number for number in range(count)])
        failed = [one for one in answers if one.is_failure]
        if failed or len(answers) < count:
            self._found.problem = (
                f"not allowed to write {self._topic}: {failed[0] if failed else 'no answer'}"
            )
            return
        self._watch.turn(lambda: len(self._watch.heard) >= count, quiet_s=_QUIET_S)
        self._found.inflight = len(self._watch.heard)

    def _queue(self, count: int) -> None:
        """Messages that are there when a client comes back; those of the window are among them."""
        if self._found.inflight is None:
            return
        self._watch.client.disconnect()
        self._send.publish(self._topic, [b"queue %d" % number for number in range(count)])
        self._found.queued_tried = count + self._found.inflight
        self._watch.connect(clean=False)
        self._found.keeps_session = self._watch.session_present
        kept: set[bytes] = set()

        def taken() -> bool:
            """Acknowledge at once, or the window stays shut."""
            self._watch.acknowledge()
            kept.update(bytes(one.payload) for one in self._watch.heard)
            self._watch.heard = []
            return len(kept) >= self._found.queued_tried

        end = time.monotonic() + 4 * _WAIT_S
        while self._watch.turn(lambda: bool(self._watch.heard), quiet_s=_QUIET_S) and time.monotonic() < end:
            if taken():
                break
        self._found.queued = len(kept)
