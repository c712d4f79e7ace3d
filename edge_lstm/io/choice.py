"""Which transport speaks to the broker, and why (docs/adr/0016-transports.md)."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from typing import Literal

from edge_lstm.clock import ArrivalClock
from edge_lstm.errors import ConfigError
from edge_lstm.io.settings import MQTT_5, MqttSettings
from edge_lstm.io.transport import Subscription, Transport
from edge_lstm.logs import event

__all__ = ["Client", "choose_client", "make_transport"]

log = logging.getLogger(__name__)

_PACKAGE = "mqtt5"


@dataclass(frozen=True, slots=True)
class Client:
    """A transport's name and why it was taken."""

    name: Literal["mqtt5", "paho"]
    reason: str


def choose_client(settings: MqttSettings) -> Client:
    """What ``mqtt.client`` comes to on this board.

    Raises:
        ConfigError: It asks for mqtt5, which cannot do what else is asked for, or is not installed.
    """
    if settings.client == "paho":
        return Client("paho", "mqtt.client asks for it")
    obstacle = _obstacle(settings)
    if settings.client == "mqtt5":
        if obstacle:
            raise ConfigError(
                f"the client mqtt5 cannot be used: {obstacle}", key="mqtt.client", expected="auto or paho"
            )
        return Client("mqtt5", "mqtt.client asks for it")
    return Client("paho", obstacle) if obstacle else Client("mqtt5", "MQTT 5, and the faster one")


def _obstacle(settings: MqttSettings) -> str:
    """Why the lean client cannot be used, or empty."""
    if settings.protocol != MQTT_5:
        return "MQTT 3.1.1 is spoken by paho only"
    if settings.websocket_path is not None:
        return "websockets are spoken by paho only"
    try:
        importlib.import_module(_PACKAGE)
    except ImportError as error:
        return f"the package mqtt5 is not there ({error})"
    return ""


def make_transport(
    settings: MqttSettings,
    *,
    subscriptions: tuple[Subscription, ...],
    obsolete: tuple[str, ...] = (),
    clock: ArrivalClock,
) -> Transport:
    """The transport of `choose_client`; the choice is logged.

    Args:
        settings: The broker and who we are there.
        subscriptions: Topics to receive.
        obsolete: Topic filters of an earlier configuration that the broker may remember.
        clock: Gives messages their time of arrival.

    Raises:
        ConfigError: As for `choose_client`.
    """
    client = choose_client(settings)
    log.info(event("mqtt.client", client=client.name, reason=client.reason))
    if client.name == "paho":
        from edge_lstm.io.mqtt import MqttTransport  # noqa: PLC0415 - 6 MB that the other one does not need

        return MqttTransport(settings, subscriptions=subscriptions, obsolete=obsolete, clock=clock)
    from edge_lstm.io.lean import LeanTransport  # noqa: PLC0415 - needs the package mqtt5, which may be absent

    return LeanTransport(settings, subscriptions=subscriptions, obsolete=obsolete, clock=clock)
