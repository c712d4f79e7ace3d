"""What doctor says of brokers: one that takes us, and every way of not getting through to one."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_lstm.contracts.config import DeviceConfig, InputConfig, MqttConfig, TlsConfig
from edge_lstm.doctor.broker import broker as ask
from edge_lstm.doctor.finding import Finding
from edge_lstm.doctor.needs import fragment, needs
from edge_lstm.doctor.probe import probe

if TYPE_CHECKING:
    from tests.integration.conftest import Broker, Listener

pytestmark = pytest.mark.broker


def site(port: int, **mqtt: object) -> DeviceConfig:
    """A configuration with two inputs."""
    return DeviceConfig(
        node="bench",
        bundle="model.elb",
        mqtt=MqttConfig(port=port, **mqtt),  # type: ignore[arg-type] # keys of the test's own
        inputs=(InputConfig(topic="plant/{asset}/readings"), InputConfig(topic="hall/{asset}/x", qos=0)),
    )


def only(findings: list[Finding]) -> Finding:
    """The one line."""
    (found,) = findings
    return found


def test_a_broker_that_takes_us(broker: Broker) -> None:
    """Login and subscriptions, in both versions of MQTT."""
    for protocol in ("5", "3.1.1"):
        login, subscriptions = ask(site(broker.port, protocol=protocol))
        assert ("ok", "ok") == (login.status, subscriptions.status)
        assert "anonymous" in login.fact


def test_nothing_is_published_and_no_session_is_left(broker: Broker, listener: Listener) -> None:
    """A running daemon keeps its place, and nobody hears of the visit."""
    ask(site(broker.port))
    time.sleep(0.5)

    assert [] == [topic for topic, _, _ in listener.heard]


def test_nobody_listens() -> None:
    """A port without a program."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    found = only(ask(site(port)))

    assert ("fail", True) == (found.status, "nobody listens" in found.fact)


def test_no_such_host() -> None:
    """RFC 2606 keeps this name free for ever."""
    found = only(ask(site(1883, host="broker.invalid")))

    assert "fail" == found.status
    assert "mqtt.host" in found.fix or "name server" in found.fix


def test_a_wrong_password(broker: Broker, tmp_path: Path) -> None:
    """The broker's own reason, and the keys to look at."""
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(tmp_path / "users"), "edge", "right"], check=True)
    broker.stop()
    broker.configure([f"password_file {tmp_path / 'users'}"])
    broker.start()
    (tmp_path / "secret").write_text("wrong\n", encoding="utf-8")
    login = {"username": "edge", "password_file": str(tmp_path / "secret")}
    found = only(ask(site(broker.port, **login)))

    assert ("fail", True) == (found.status, "refuses us" in found.fact)
    assert "mqtt.password_file" in found.fix

    (tmp_path / "secret").write_text("right\n", encoding="utf-8")
    taken = ask(site(broker.port, **login))[0]
    assert ("ok", True) == (taken.status, taken.fact.endswith("accepts us as 'edge'"))


def test_subscriptions_that_are_refused_are_named(broker: Broker, tmp_path: Path) -> None:
    """Mosquitto's own access control grants every subscription; its plugin for roles refuses some."""
    plugins = sorted(Path("/usr/lib").glob("**/mosquitto_dynamic_security.so"))
    assert plugins, "mosquitto came without its plugin for dynamic security"
    may = {"acltype": "subscribePattern", "topic": "plant/#", "allow": True}
    roles = {
        "defaultACLAccess": {"subscribe": False},
        "anonymousGroup": "all",
        "groups": [{"groupname": "all", "roles": [{"rolename": "some"}]}],
        "roles": [{"rolename": "some", "acls": [may]}],
    }
    (tmp_path / "roles.json").write_text(json.dumps(roles), encoding="utf-8")
    broker.stop()
    lines = [f"plugin {plugins[0]}", f"plugin_opt_config_file {tmp_path / 'roles.json'}"]
    broker.configure(["allow_anonymous true", *lines])
    broker.start()
    (found,) = [one for one in ask(site(broker.port)) if one.check == "broker-acl"]

    assert ("fail", "subscriptions refused: hall/+/x") == (found.status, found.fact)


def test_no_password_file(tmp_path: Path) -> None:
    """Told before anything is connected."""
    found = only(ask(site(1, username="edge", password_file=str(tmp_path / "none"))))

    assert ("fail", True) == (found.status, "cannot read" in found.fact)


def test_tls_to_a_port_without_it(broker: Broker) -> None:
    """The port is the wrong one."""
    found = only(ask(site(broker.port, tls=TlsConfig())))

    assert "fail" == found.status


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_server_that_is_no_broker(says: bytes) -> None:
    """It takes the connection and closes it, or says something else."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(says)
                peer.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        found = only(ask(site(server.getsockname()[1])))
        thread.join(20)

    assert ("fail", True) == (found.status, "does not answer MQTT" in found.fact)


def test_the_whole_visit_has_a_limit() -> None:
    """What hangs where no timeout reaches, as name servers do, is cut off; here a silent server is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = only(ask(site(server.getsockname()[1]), limit_s=0.3))

    assert "no answer within 0.3 s" in found.fact


@pytest.mark.parametrize(("protocol", "window"), [("5", 41), ("3.1.1", 7)])
def test_a_broker_is_measured(broker: Broker, listener: Listener, protocol: str, window: int) -> None:
    """Window, queue, session and the way of an alert, as they are; afterwards no session is left.

    With MQTT 5 Mosquitto takes the client's Receive Maximum in place of its own setting.
    """
    broker.stop()
    broker.configure(["allow_anonymous true", "max_inflight_messages 7", "max_queued_messages 300"])
    before = listener.subscribed
    broker.start()
    listener.wait(lambda: listener.subscribed > before, "our own return")
    found = probe(site(broker.port, protocol=protocol), inflight=40, queued=1000)

    assert ("", True, "arrived") == (found.problem, found.keeps_session, found.alert)
    assert (window, 41) == (found.inflight, found.inflight_tried)
    assert found.queued is not None
    assert 290 <= found.queued <= 310
    assert (2, 0) == found.mosquitto
    topics = {topic for topic, _, _ in listener.heard}
    assert {"edge-lstm/bench/doctor/probe", "edge-lstm/bench/doctor/alert"} == topics
    if protocol == "5":
        again = probe(site(broker.port), inflight=40, queued=100)
        assert (141, 141) == (again.queued, again.queued_tried)


def test_a_broker_that_lets_no_alert_through(broker: Broker) -> None:
    """Refused by access control: said with the broker's reason, and measured as far as it goes."""
    acl = broker.folder / "acl"
    acl.write_text("topic read edge-lstm/#\n")
    broker.stop()
    broker.configure(["allow_anonymous true", f"acl_file {acl}"])
    broker.start()
    found = probe(site(broker.port), inflight=40, queued=100)

    assert "refused: Not authorized" == found.alert
    assert "not allowed to write edge-lstm/bench/doctor/probe" in found.problem
    assert found.inflight is None


def test_settings_are_taken_by_the_broker_and_do_what_they_say(broker: Broker) -> None:
    """Mosquitto starts with what doctor writes, and the same measurement then finds nothing wanting."""
    need = needs(1, 60)
    place = broker.folder / "kept"
    place.mkdir()
    lines = fragment(need, site(1)).replace("/var/lib/mosquitto/", f"{place}/").splitlines()
    broker.stop()
    broker.configure(["allow_anonymous true", *lines])
    broker.start()
    found = probe(site(broker.port, protocol="3.1.1"), inflight=need.inflight, queued=need.queued_messages)

    assert (found.inflight, found.queued) == (need.inflight, need.queued_messages)
