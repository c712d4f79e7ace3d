"""Both transports on a real broker, through a network that fails in every way that there is."""

from __future__ import annotations

import dataclasses
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from edge_lstm.clock import ArrivalClock, SystemClock
from edge_lstm.io.lean import LeanTransport
from edge_lstm.io.mqtt import MqttTransport
from edge_lstm.io.settings import MqttSettings
from edge_lstm.io.transport import (
    Confirmed,
    Connected,
    Disconnected,
    Message,
    Publication,
    Subscribed,
    Subscription,
)
from tests.integration.conftest import Broker, Sensor, wait_until
from tests.integration.proxy import Proxy
from tests.integration.scripted import Owner
from tests.integration.test_daemon_tls import certificate

pytestmark = pytest.mark.broker

WILL = Publication("base/availability", b"offline", qos=1, retain=True)
ONLINE = Publication("base/availability", b"online", qos=1, retain=True)
V311 = MQTTProtocolVersion.MQTTv311
TOPIC = "plant/a"


@pytest.fixture(params=[MqttTransport, LeanTransport], ids=["paho", "mqtt5"])
def client(request: pytest.FixtureRequest) -> type[MqttTransport | LeanTransport]:
    """The transport under test."""
    kind: type[MqttTransport | LeanTransport] = request.param
    return kind


Start = Callable[..., Owner]


@pytest.fixture
def start(broker: Broker, client: type[MqttTransport | LeanTransport]) -> Iterator[Start]:
    """Starts a transport of the test's client, subscribed to ``plant/+``; arguments are its settings."""
    owners: list[Owner] = []

    def begin(
        kind: type[MqttTransport | LeanTransport] = client,
        **changes: Any,  # noqa: ANN401 - any field
    ) -> Owner:
        settings = MqttSettings(
            host="127.0.0.1", port=broker.port, client_id="me", online=ONLINE, will=WILL, retry_s=0.05
        )
        settings = dataclasses.replace(settings, **changes)
        subscriptions = (Subscription("plant/+", 1),)
        owners.append(Owner(kind(settings, subscriptions=subscriptions, clock=ArrivalClock(SystemClock()))))
        owners[-1].start()
        return owners[-1]

    yield begin
    for owner in owners:
        owner.stop(WILL, timeout_s=0.2)


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    """A network that does what the test does."""
    with Proxy(("127.0.0.1", broker.port)) as found:
        yield found


def hear(owner: Owner, payload: bytes, *, ack: bool = True) -> Message:
    """The message with that content; acknowledged, as those before it."""
    while True:
        found = owner.receive(Message)
        if ack:
            owner.ack(found.epoch, [found.mid])
        if found.payload == payload:
            return found


def free_port() -> int:
    """For a second listener of the broker."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def restart(broker: Broker, lines: list[str]) -> None:
    """The broker with another configuration."""
    broker.stop()
    broker.configure(lines)
    broker.start()


def test_broker_that_is_killed_and_keeps_its_sessions(broker: Broker, start: Start, sensor: Sensor) -> None:
    """The session is there again, and what was not acknowledged comes again."""
    keeps = ["allow_anonymous true", "persistence true", f"persistence_location {broker.folder}/"]
    restart(broker, keeps)
    owner = start()
    owner.receive(Subscribed)
    sensor.send(TOPIC, [b"done", b"open"])
    hear(owner, b"done")
    hear(owner, b"open", ack=False)
    broker.stop()
    assert 1 == owner.receive(Disconnected).epoch
    broker.start()

    assert owner.receive(Connected).session_present
    assert hear(owner, b"open").duplicate


def test_broker_that_forgets_its_sessions(broker: Broker, start: Start, sensor: Sensor) -> None:
    """Killed without persistence: subscriptions are made anew, and readings go on."""
    owner = start()
    owner.receive(Subscribed)
    broker.stop(signal.SIGKILL)
    owner.receive(Disconnected)
    broker.start()

    assert not owner.receive(Connected).session_present
    owner.receive(Subscribed)
    sensor.send(TOPIC, [b"after"])
    assert TOPIC == hear(owner, b"after").topic


def test_two_of_one_name_are_told_and_slowed_down(
    start: Start, sensor: Sensor, caplog: pytest.LogCaptureFixture
) -> None:
    """Mosquitto 2.0.11 closes the first one without a word; where a broker says 0x8E, it ends.

    So they cannot know; but a session that is lost again and again within a minute is told as
    what it most likely is, and the next attempt waits long.
    """
    first, second = start(), start()
    wait_until(lambda: "mqtt.rival_suspected" in caplog.text, "a line in the log")
    (line,) = {r.getMessage() for r in caplog.records if "rival" in r.getMessage()}
    assert "another client may use our client_id" in line
    sensor.send(TOPIC, [b"one"])

    assert first.transport.alive
    assert second.transport.alive


@pytest.mark.parametrize(("protocol", "expected"), [("5", "Not authorized"), ("3.1.1", "Not authorized")])
def test_login_that_is_refused_is_named(
    broker: Broker,
    start: Start,
    client: type[MqttTransport | LeanTransport],
    caplog: pytest.LogCaptureFixture,
    protocol: str,
    expected: str,
) -> None:
    """CONNACK 0x87, and return code 5 of MQTT 3.1.1, which is paho's to understand."""
    passwords = broker.folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "edge", "right"], check=True)
    restart(broker, ["allow_anonymous false", f"password_file {passwords}"])
    old = protocol == "3.1.1"
    start(
        MqttTransport if old else client,
        username="edge",
        protocol=V311 if old else MQTTProtocolVersion.MQTTv5,
    )

    wait_until(lambda: f"the broker refuses us: {expected}" in caplog.text, "the reason in the log")


def test_half_open_connection_is_found(proxy: Proxy, start: Start, sensor: Sensor) -> None:
    """The network swallows everything and TCP sees no fault: the keep-alive does."""
    owner = start(port=proxy.port, keepalive_s=1)
    owner.receive(Subscribed)
    proxy.up.swallow = proxy.down.swallow = True
    owner.receive(Disconnected)
    proxy.heal()

    assert owner.receive(Connected).session_present
    sensor.send(TOPIC, [b"after"])
    hear(owner, b"after")


def test_segments_of_one_byte_carry_everything(proxy: Proxy, start: Start, sensor: Sensor) -> None:
    """Both ways, with a delay that mixes them up."""
    proxy.up.slice_bytes = proxy.down.slice_bytes = 1
    owner = start(port=proxy.port)
    owner.receive(Subscribed)
    payloads = [b"%d" % number * 20 for number in range(20)]
    sensor.send(TOPIC, payloads)

    assert payloads == [owner.receive(Message).payload for _ in payloads]


def test_reset_in_the_middle_of_a_message_loses_nothing(proxy: Proxy, start: Start, sensor: Sensor) -> None:
    """The message that was cut comes whole on the next connection."""
    owner = start(port=proxy.port)
    owner.receive(Subscribed)
    proxy.down.cut_after = 50
    sensor.send(TOPIC, [b"x" * 200])

    assert b"x" * 200 == owner.receive(Message).payload
    assert 2 == proxy.accepted


def test_publication_that_the_broker_denies_is_told(broker: Broker, start: Start) -> None:
    """An access list that forbids it: the token comes back with the reason, and the connection stays."""
    acl = broker.folder / "acl"
    acl.write_text("topic readwrite base/#\ntopic read plant/#\n")
    restart(broker, ["allow_anonymous true", f"acl_file {acl}"])
    owner = start()
    owner.receive(Subscribed)
    owner.publish(Publication("elsewhere/alert", b"1", qos=1), token=1)
    owner.publish(Publication("base/alert", b"2", qos=1), token=2)

    assert Confirmed(1, "Not authorized") == owner.receive(Confirmed)
    assert Confirmed(2, heard=False) == owner.receive(Confirmed)


def test_publication_larger_than_the_broker_takes_is_told(broker: Broker, start: Start) -> None:
    """The broker names its limit at the connection; what is above it never goes out."""
    restart(broker, ["allow_anonymous true", "max_packet_size 300"])
    owner = start()
    owner.receive(Connected)
    owner.publish(Publication("base/alert", b"x" * 300, qos=1), token=1)
    owner.publish(Publication("base/alert", b"x", qos=1), token=2)

    assert owner.receive(Confirmed).failure.startswith("Packet too large")
    assert Confirmed(2, heard=False) == owner.receive(Confirmed)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is the test
@pytest.mark.parametrize("client", [MqttTransport], ids=["paho"], indirect=True)
def test_network_thread_that_dies_is_replaced(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by what no handler of ours catches, and that must not be silence; mqtt5 has no such thread."""
    owner = start()
    owner.receive(Subscribed)
    transport, thread = owner.transport, owner.transport._thread  # type: ignore[attr-defined]

    def die(*_args: object) -> None:
        raise SystemExit

    monkeypatch.setattr(transport, "_run_commands", die)
    owner.publish(WILL)  # reaches the thread at once
    thread.join()
    monkeypatch.undo()
    transport.wake()

    assert 1 == owner.receive(Disconnected).epoch
    assert 2 == owner.receive(Connected).epoch


def test_tls_carries_everything(broker: Broker, start: Start, sensor: Sensor) -> None:
    """More than its records and our buffer hold at once, in order, and it is one connection."""
    certificate(broker.folder, "ca", None, "authority")
    certificate(broker.folder, "broker", "ca", "broker")
    port, files = free_port(), {"cafile": "ca.pem", "certfile": "broker.pem", "keyfile": "broker.key"}
    lines = [f"{key} {broker.folder / name}" for key, name in files.items()]
    restart(broker, ["allow_anonymous true", f"listener {port} 127.0.0.1", *lines])
    tls = ssl.create_default_context(cafile=str(broker.folder / "ca.pem"))
    owner = start(port=port, tls=tls)
    owner.receive(Subscribed)
    payloads = [b"%04d" % number * 5000 for number in range(100)]
    sensor.send(TOPIC, payloads)
    heard = [hear(owner, payload) for payload in payloads]

    assert payloads == [message.payload for message in heard]
    assert {1} == {message.epoch for message in heard}


@pytest.mark.parametrize("client", [MqttTransport], ids=["paho"], indirect=True)
def test_websockets_carry_mqtt(broker: Broker, start: Start) -> None:
    """Out and in, over the path that the configuration names."""
    port = free_port()
    # Mosquitto 2.0.11 does not start with websockets alone.
    restart(broker, ["allow_anonymous true", f"listener {port} 127.0.0.1", "protocol websockets"])
    owner = start(port=port, websocket_path="/mqtt")
    owner.receive(Subscribed)
    for number in range(50):
        owner.publish(Publication(TOPIC, b"%d" % number * 300, qos=1), token=number + 1)

    assert [b"%d" % number * 300 for number in range(50)] == [
        owner.receive(Message).payload for _ in range(50)
    ]
