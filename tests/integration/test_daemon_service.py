"""The life of the service: what it tells systemd, its machine and Prometheus, and how it takes a SIGHUP."""

from __future__ import annotations

import signal
import socket
import stat
import threading
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

from edge_lstm.bundle import MANIFEST, open_bundle, write_bundle
from edge_lstm.commands.status import status
from edge_lstm.contracts.score import Score
from edge_lstm.contracts.status import Status
from edge_lstm.io.control import CONTROL, ask
from edge_lstm.io.health import Health

if TYPE_CHECKING:
    from tests.integration.conftest import Broker, Device, Judge, Listener, MakeDevice, Row, Sensor

pytestmark = pytest.mark.broker

ROOT = "edge-lstm/node-1"
SCORE = f"{ROOT}/pump-1/score"
READINGS = "plant/pump-1/readings"


def free_port() -> int:
    """A TCP port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def hang_up(device: Device, **changes: Any) -> None:  # noqa: ANN401 - any key of the configuration
    """Change its configuration and send SIGHUP."""
    assert device.process is not None
    device.config |= changes
    (device.folder / "edge-lstm.yaml").write_text(yaml.safe_dump(device.config), "utf-8")
    device.process.send_signal(signal.SIGHUP)


def health(listener: Listener) -> Health:
    """The newest health message."""
    return msgspec.json.decode(listener.on(f"{ROOT}/health")[-1], type=Health)


def expected_scores(judge: Judge, rows: list[Row], **alarm: Any) -> list[float]:  # noqa: ANN401
    """What a detector that was never interrupted says."""
    return [found.score for found in judge(rows, **alarm) if isinstance(found, Score)]


def more_than(listener: Listener, count: int) -> bool:
    """Whether so many scores have come."""
    return len(listener.on(SCORE)) > count


def facts(device: Device) -> Status:
    """What the daemon says, up to a second old."""
    found = ask(device.folder / "state")
    assert found is not None
    return found


def asked(device: Device, *options: str) -> Result:
    """`edge-lstm status`."""
    return CliRunner().invoke(status, ["--config", str(device.folder / "edge-lstm.yaml"), *options])


# ------------------------------------------------------------------------------------------------ reload


def test_reload_loses_no_reading_and_keeps_the_states(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, many_rows: list[Row], judge: Judge
) -> None:
    """Readings that are sent while SIGHUPs come are all scored, once, as if there had been none."""
    device = make_device()
    device.start()
    assert device.process is not None
    pid = device.process.pid
    sending = threading.Thread(target=sensor.send, args=(READINGS, many_rows[:850]))
    sending.start()
    for number in (1, 2):
        listener.wait(partial(more_than, listener, 100 * number), "some scores")
        hang_up(device, alarm={"threshold": 1000.0 + number})
        device.wait_log(f"reload.done number={number}")
    sending.join()
    sensor.send(READINGS, many_rows[850:])
    listener.wait(lambda: len(listener.on(SCORE)) >= len(many_rows), "all scores")

    scores = listener.objects(SCORE)
    assert expected_scores(judge, many_rows) == [said["score"] for said in scores]
    assert 1002.0 == scores[-1]["threshold"]
    assert pid == device.process.pid
    assert {b"online"} == set(listener.on(f"{ROOT}/availability"))
    listener.wait(lambda: facts(device).readings.scored == len(many_rows), "the facts")
    assert (2, 3, 0) == (
        facts(device).reloads,
        facts(device).broker.connections,
        facts(device).broker.sessions_lost,
    )
    assert 0 == device.end()


def test_reloads_in_a_row_leave_nothing_behind(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, many_rows: list[Row], judge: Judge
) -> None:
    """SIGHUP upon SIGHUP: every reading once, no thread and no file more; the last word is true."""
    device = make_device()
    device.start()
    hang_up(device)
    listener.wait(lambda: facts(device).reloads == 1 and facts(device).state == "ok", "the first reload")
    before = facts(device).process
    for first in range(0, 600, 30):
        hang_up(device)
        sensor.send(READINGS, many_rows[first : first + 30])
    listener.wait(lambda: len(listener.on(SCORE)) >= 600, "all scores")
    listener.wait(lambda: facts(device).readings.scored == 600 and facts(device).state == "ok", "the facts")

    assert expected_scores(judge, many_rows[:600]) == [said["score"] for said in listener.objects(SCORE)]
    after = facts(device).process
    assert before.threads == after.threads
    assert after.open_files <= before.open_files + 1  # SQLite opens its log when it first writes
    hang_up(device)
    assert 0 == device.end()
    listener.wait(lambda: listener.on(f"{ROOT}/availability")[-1] == b"offline", "the farewell")


def test_reload_while_the_broker_is_away(broker: Broker, listener: Listener, make_device: MakeDevice) -> None:
    """It needs no broker; the new configuration is what is connected with later."""
    device = make_device()
    device.start()
    broker.stop()
    device.wait_log("mqtt.disconnected")
    hang_up(device, publish={"health_interval_s": 2})
    device.wait_log("reload.done")
    broker.start()

    listener.wait(lambda: health(listener).connections == 2, "the connection")


def test_reload_with_another_bundle_runs_it(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], tmp_path: Path
) -> None:
    """The model is replaced in place; its states begin anew, and health says why."""
    device = make_device()
    device.start()
    sensor.send(READINGS, rows[:30])
    listener.wait(lambda: len(listener.on(SCORE)) == 30, "the scores")
    old = open_bundle(device.config["bundle"])
    members = {name: raw for name, raw in old.members.items() if name != MANIFEST}
    write_bundle(tmp_path / "new.elb", msgspec.structs.replace(old.manifest, version="2"), members)
    hang_up(device, bundle=str(tmp_path / "new.elb"), log_level="debug")
    listener.wait(lambda: health(listener).model.version == "2", "the new model")
    sensor.send(READINGS, rows[30:32])
    listener.wait(lambda: len(listener.on(SCORE)) == 32, "the scores")

    assert "other_bundle" == health(listener).state_reset_reason
    assert ["warming", "warming"] == [said["status"] for said in listener.objects(SCORE)[-2:]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bundle": "nowhere.elb"}, "cannot read the bundle"),
        ({"inptus": []}, "unknown key"),
        ({"node": "other"}, "node: cannot change while the daemon runs"),
    ],
)
def test_reload_that_is_wrong_changes_nothing(
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    judge: Judge,
    changes: dict[str, Any],
    said: str,
) -> None:
    """One line in the log, one problem in health; the old configuration scores on until it is put right."""
    device = make_device()
    device.start()
    sensor.send(READINGS, rows[:20])
    good = dict(device.config)
    hang_up(device, **changes)
    listener.wait(lambda: health(listener).status == "degraded", "the problem")
    assert said in health(listener).problems[0]
    sensor.send(READINGS, rows[20:40])
    listener.wait(lambda: len(listener.on(SCORE)) == 40, "the scores")
    assert (
        "the new configuration is not used" in asked(device, "--state-dir", f"{device.folder}/state").stdout
    )
    assert 1 == device.log.count("reload.refused")
    device.config.clear()
    hang_up(device, **good)
    listener.wait(lambda: health(listener).status == "ok", "health")

    assert expected_scores(judge, rows[:40]) == [one["score"] for one in listener.objects(SCORE)]


def test_systemd_hears_of_every_turn(
    make_device: MakeDevice, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Ready, reloading and ready again, signs of life, stopping: from the real daemon, in order."""
    address = tmp_path_factory.mktemp("n") / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20)
        device = make_device()
        device.environ = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "600000"}
        device.start()
        hang_up(device)
        device.wait_log("reload.done")
        said: list[str] = []
        while said.count("READY=1") < 2 or "WATCHDOG=1" not in said[said.index("READY=1") :]:
            said.append(manager.recv(1000).decode())
        device.end()
        while "STOPPING=1" not in said:
            said.append(manager.recv(1000).decode())

    turns = [one.partition("\n")[0] for one in said if not one.startswith(("STATUS", "WATCHDOG", "EXTEND"))]
    assert ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"] == turns


# ------------------------------------------------------------------------------------------------ status


def test_status_tells_people_and_machines(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row]
) -> None:
    """What it runs and what it has counted; exit code 0 while all is well, 3 once it is gone."""
    device = make_device()
    assert 3 == asked(device, "--state-dir", str(device.folder / "state")).exit_code
    device.start()
    sensor.send(READINGS, [*rows[:10], b"?"])
    listener.wait(lambda: health(listener).rejects, "the count")
    listener.wait(lambda: facts(device).readings.received == 11, "the facts")
    assert device.process is not None
    done = asked(device, "--json")
    found = msgspec.json.decode(done.stdout, type=Status)
    assert (0, "ok", device.process.pid) == (done.exit_code, found.state, found.pid)
    assert (11, 10, 10, {"undecodable": 1}) == (
        found.readings.received,
        found.readings.accepted,
        found.readings.scored,
        found.readings.rejected,
    )
    assert 10e6 < found.process.rss_bytes < 1e9
    text = asked(device).stdout
    assert f"ok, pid {device.process.pid}" in text
    assert "undecodable 1" in text
    device.end()
    assert not (device.folder / "state" / CONTROL).exists()
    gone = asked(device)
    assert (3, "") == (gone.exit_code, gone.stdout)


def test_status_of_a_killed_daemon_and_of_the_next(make_device: MakeDevice) -> None:
    """A socket that SIGKILL left is nobody's, and the next daemon takes its place."""
    device = make_device()
    device.start()
    path = device.folder / "state" / CONTROL
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    device.end(signal.SIGKILL)
    assert path.exists()
    assert 3 == asked(device).exit_code
    device.start()

    assert device.process is not None
    assert facts(device).pid == device.process.pid


def test_status_in_a_folder_with_a_long_name(make_device: MakeDevice) -> None:
    """The kernel takes 107 bytes of a socket's path; folders may be deeper."""
    device = make_device(state_dir="/".join(["a-folder-with-a-long-name"] * 6))
    device.start()

    assert 0 == asked(device).exit_code


def test_hanging_clients_hold_nothing_up(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row]
) -> None:
    """Clients that say nothing, half a question, or never read cost other clients and readings nothing."""
    port = free_port()
    device = make_device(metrics={"listen": f"127.0.0.1:{port}"})
    device.start()
    with ExitStack() as held:
        for number in range(40):
            control = held.enter_context(socket.socket(socket.AF_UNIX))
            control.connect(str(device.folder / "state" / CONTROL))
            scraper = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            if number % 2:
                control.sendall(b"stat")
                scraper.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
        sensor.send(READINGS, rows)
        listener.wait(lambda: len(listener.on(SCORE)) == len(rows), "the scores")

        assert facts(device).readings.received <= len(rows)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            assert 200 == response.status
        assert facts(device).process.open_files < 60


def test_metrics_are_scraped(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row]
) -> None:
    """Counters and gauges over HTTP, off when nobody asks for them, and a taken port is one line."""
    port = free_port()
    device = make_device(metrics={"listen": f"127.0.0.1:{port}"})
    device.start()
    sensor.send(READINGS, rows[:10])

    def scraped() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            assert "text/plain; version=0.0.4; charset=utf-8" == response.headers["Content-Type"]
            return str(response.read().decode())

    listener.wait(lambda: "\nedge_lstm_scored_total 10\n" in scraped(), "the count")
    assert "\nedge_lstm_connected 1\n" in scraped()
    second = make_device("node-2", metrics={"listen": f"127.0.0.1:{port}"})
    second.launch()
    assert 1 == second.wait()
    assert f"metrics.listen: cannot listen on 127.0.0.1:{port}" in second.log
