"""Which transport is taken, and what it says of itself."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from edge_lstm.clock import ArrivalClock, SystemClock
from edge_lstm.errors import ConfigError
from edge_lstm.io.choice import choose_client, make_transport
from edge_lstm.io.limits import Limits, packet_bytes
from edge_lstm.io.settings import MqttSettings
from edge_lstm.io.transport import Publication

WILL = Publication("base/availability", b"offline", qos=1, retain=True)
V311 = MQTTProtocolVersion.MQTTv311


def settings(**changes: Any) -> MqttSettings:  # noqa: ANN401 - any field
    """Settings of a broker that nobody reaches."""
    return MqttSettings(host="h", port=1, client_id="me", online=WILL, will=WILL, **changes)


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [
        ({}, "mqtt5", "MQTT 5"),
        ({"client": "mqtt5"}, "mqtt5", "asks for it"),
        ({"client": "paho"}, "paho", "asks for it"),
        ({"protocol": V311}, "paho", "MQTT 3.1.1"),
        ({"websocket_path": "/mqtt"}, "paho", "websockets"),
    ],
)
def test_choice_is_the_fast_one_where_it_can_be(
    changes: dict[str, Any], expected: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is made is what was chosen, and the log says why."""
    caplog.set_level("INFO")
    wanted = settings(**changes)
    made = make_transport(wanted, subscriptions=(), clock=ArrivalClock(SystemClock()))

    assert (expected, expected) == (choose_client(wanted).name, made.name)
    assert reason in choose_client(wanted).reason
    assert f"mqtt.client client={expected}" in caplog.text
    made.stop(WILL, timeout_s=0.0)


def test_choice_without_the_package_is_paho(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board without a wheel is served by paho; asked for by name, it is the operator's to know."""

    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(importlib, "import_module", absent)
    assert "No module named 'mqtt5'" in choose_client(settings()).reason
    assert "paho" == choose_client(settings()).name
    with pytest.raises(ConfigError, match=r"mqtt\.client: .*cannot be used: the package mqtt5 is not there"):
        choose_client(settings(client="mqtt5"))


@pytest.mark.parametrize("payload", [0, 100, 2**7 - 9, 2**14 - 9, 2**14, 2**21])
@pytest.mark.parametrize("qos", [0, 1])
def test_size_of_a_packet_is_what_the_codec_writes(payload: int, qos: int) -> None:
    """The limit of a broker is kept to the byte, over the edges of the length's length."""
    mqtt5 = pytest.importorskip("mqtt5")
    packet = mqtt5.PublishPacket("a/b", b"x" * payload, qos=mqtt5.QoS(qos), packet_id=1 if qos else None)
    size = packet_bytes(3, payload, qos)
    publication = Publication("a/b", b"x" * payload, qos=qos)

    assert len(packet.write()) == size
    assert "" == Limits(packet_bytes=size).refusal(publication)
    assert f"Packet too large: {size} bytes" in Limits(packet_bytes=size - 1).refusal(publication)
