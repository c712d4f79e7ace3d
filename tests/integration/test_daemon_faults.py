"""What the field does to a daemon."""

from __future__ import annotations

import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_lstm.contracts.score import Score
from edge_lstm.io.health import Health

if TYPE_CHECKING:
    from tests.integration.conftest import Broker, Judge, Listener, MakeDevice, Row, Sensor

pytestmark = pytest.mark.broker

ROOT = "edge-lstm/node-1"
SCORE = f"{ROOT}/pump-1/score"


def _health(listener: Listener) -> Health:
    return msgspec.json.decode(listener.on(f"{ROOT}/health")[-1], type=Health)


@pytest.mark.parametrize("keeps", [True, False], ids=["session-kept", "session-lost"])
def test_broker_restart_is_survived(
    broker: Broker,
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    judge: Judge,
    *,
    keeps: bool,
) -> None:
    """The daemon reconnects by itself, subscribes anew when it must, and its states go on."""
    if keeps:
        broker.stop()
        lines = ["allow_anonymous true", "persistence true", f"persistence_location {broker.folder}/"]
        broker.configure(lines)
        broker.start()
    device = make_device()
    device.start()
    sensor.send("plant/pump-1/readings", rows[:60])
    listener.wait(lambda: len(listener.on(SCORE)) == 60, "60 scores")
    broker.stop()
    device.wait_log("mqtt.disconnected")
    broker.start()
    listener.wait(lambda: _health(listener).connections == 2, "the daemon to come back")
    listener.wait(lambda: listener.on(f"{ROOT}/availability")[-1] == b"online", "the daemon to say so")
    sensor.send("plant/pump-1/readings", rows[60:])
    listener.wait(lambda: len(listener.on(SCORE)) == len(rows), "all scores")

    expected = [found.score for found in judge(rows) if isinstance(found, Score)]
    assert expected == [said["score"] for said in listener.objects(SCORE)]
    assert keeps == ("mqtt.session_lost" not in device.log)


def test_broker_away_at_the_start_is_waited_for(
    broker: Broker, make_device: MakeDevice, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The daemon is ready, says once what is wrong, keeps trying, and ends cleanly when asked to."""
    broker.stop()
    path = tmp_path_factory.mktemp("n") / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        device = make_device()
        device.environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000"}
        device.launch()
        said: list[str] = []
        while said.count("WATCHDOG=1") < 3:
            said.append(manager.recv(500).decode())
        assert said.index("READY=1") < said.index("WATCHDOG=1")
        assert f"STATUS=waiting for the broker at 127.0.0.1:{broker.port}" in said
        assert 1 == device.log.count("mqtt.disconnected")
        assert 0 == device.end()
        while said[-1] != "STOPPING=1":
            said.append(manager.recv(500).decode())


def test_broker_that_refuses_the_login_is_asked_again(broker: Broker, make_device: MakeDevice) -> None:
    """A wrong password is named in the log; a new one in the file is taken without a restart."""
    passwords = broker.folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "edge", "right"], check=True)
    broker.stop()
    broker.configure(["allow_anonymous false", f"password_file {passwords}"])
    broker.start()
    device = make_device()
    secret = device.folder / "password"
    secret.write_text("wr0ng\n")
    device.config["mqtt"] |= {"username": "edge", "password_file": "password"}
    device.launch()
    device.wait_log("the broker refuses us: Not authorized")
    secret.write_text("right\n")
    device.wait_log("mqtt.subscribed")

    assert "wr0ng" not in device.log
    assert "right" not in device.log
    assert 0 == device.end(signal.SIGINT)


def test_daemons_of_one_state_folder_are_refused(make_device: MakeDevice) -> None:
    """The second one ends with one line that names the first."""
    first, second = make_device(), make_device("node-2")
    first.start()
    second.config["state_dir"] = str(first.folder / "state")
    second.launch()

    assert 1 == second.wait()
    (line,) = second.log.splitlines()
    assert first.process is not None
    assert f"used by another daemon: got pid {first.process.pid}" in line


def test_config_error_is_one_line(make_device: MakeDevice) -> None:
    """A key that is not known: file, line, key, nearest key; exit code 1 and no traceback."""
    device = make_device()
    device.config["mqtt"]["hots"] = "broker"
    device.launch()

    assert 1 == device.wait()
    (line,) = device.log.splitlines()
    assert "edge-lstm.yaml:6: mqtt.hots: unknown key: expected 'host', got 'hots'" in line


def test_bundle_that_is_damaged_never_runs(make_device: MakeDevice) -> None:
    """A flipped byte in the model: one line, exit code 1, and the broker never heard of us."""
    device = make_device()
    raw = bytearray(open_bytes(device.config["bundle"]))
    raw[raw.index(b"TFL3") + 1000] ^= 1
    (device.folder / "bad.elb").write_bytes(raw)
    device.config["bundle"] = "bad.elb"
    device.launch()

    assert 1 == device.wait()
    assert "bad.elb" in device.log
    assert "mqtt" not in device.log


def open_bytes(path: str) -> bytes:
    """Content of a file."""
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()
