"""Measured at the running broker: how far it goes ahead, how much it keeps, whether alerts get through.

Everything is published below ``BASE/NODE/doctor``, with client ids of our own, and the
session that was made for it is ended.
"""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec

from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.doctor.client import Client
from edge_lstm.doctor.isolate import Died, isolated
from edge_lstm.errors import ConfigError
from edge_lstm.io.settings import MqttSettings, mqtt_settings, read_password

__all__ = ["Measured", "probe"]

_LONG_S = 20.0
_QUIET_S = 0.5
"""So long must nothing come before a count is taken for the whole."""
_WHOLE_S = 60.0
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


class _Probe:
    """The order of what is measured.

    Args:
        settings: The broker.
        password: Password of the user.
        root: Topic of the node.
        found: Filled in.
    """

    def __init__(self, settings: MqttSettings, password: str | None, root: str, found: Measured) -> None:
        self._watch = Client(settings, password, "doctor-watch")
        self._send = Client(settings, password, "doctor-send")
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

        end = time.monotonic() + _LONG_S
        while self._watch.turn(lambda: bool(self._watch.heard), quiet_s=_QUIET_S) and time.monotonic() < end:
            if taken():
                break
        self._found.queued = len(kept)
