"""Promises of docs/explain-delivery.md: numbered alerts, one daemon a name, cold streams, a full disk."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge_lstm.contracts.score import Score
from edge_lstm.contracts.status import Status
from edge_lstm.io.control import ask
from edge_lstm.io.health import Health
from tests.integration.scripted import DISCONNECT, Server

if TYPE_CHECKING:
    from tests.integration.conftest import Device, Judge, Listener, MakeDevice, Row, Sensor

pytestmark = pytest.mark.broker

ROOT = "edge-lstm/node-1"
ALERT = f"{ROOT}/pump-1/alert"
ALARM = f"{ROOT}/pump-1/alarm/anomaly"
SCORE = f"{ROOT}/pump-1/score"
REPLAY = f"{ROOT}/alerts/replay"
REPLAYED = f"{ROOT}/alerts/replayed"
READINGS = "plant/pump-1/readings"


def _health(listener: Listener) -> Health:
    return msgspec.json.decode(listener.on(f"{ROOT}/health")[-1], type=Health)


def _facts(device: Device) -> Status:
    found = ask(device.folder / "state")
    assert found is not None
    return found


def _scores(judge: Judge, rows: list[Row], asset: str = "pump-1") -> list[float]:
    return [found.score for found in judge(rows, asset) if isinstance(found, Score)]


def _scored(listener: Listener, asset: str, count: int) -> bool:
    return len(listener.on(f"{ROOT}/{asset}/score")) >= count


def _limit_writes(device: Device, limit: int) -> None:
    """Let no file of a daemon grow beyond some bytes: what a full disk does, without a disk of its own."""
    assert device.process is not None
    _, hard = resource.prlimit(device.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(device.process.pid, resource.RLIMIT_FSIZE, (limit, hard))


# ---------------------------------------------------------------------------------------- alerts once more


def test_replay_gives_the_alerts_of_a_gap(
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    alarm: dict[str, Any],
) -> None:
    """A subscriber that missed some asks from the first number on, and gets the very same bytes."""
    sensor.send(REPLAY, [{"from_seq": 1, "limit": 7}], retain=True)
    device = make_device(alarm=alarm)
    device.start()
    device.wait_log("replay.refused")
    again = [{**row, "time": row["time"].replace("2026-01-05", "2026-01-06")} for row in rows]
    sensor.send(READINGS, [*rows, *again])
    listener.wait(lambda: len([one for one in listener.on(ALARM) if not one]) == 2, "the end of two alarms")
    alerts = listener.on(ALERT)
    assert list(range(1, len(alerts) + 1)) == [said["seq"] for said in listener.objects(ALERT)]

    def asked(request: Row) -> list[bytes]:
        """Ask until there is an answer: a request that comes too soon after another is refused."""
        before, first = len(listener.on(REPLAYED)), request["from_seq"]

        def answered() -> bool:
            return any(end["from_seq"] == first for end in listener.objects(f"{REPLAYED}/end"))

        while not answered():
            sensor.send(REPLAY, [request])
            with suppress(AssertionError):
                listener.wait(answered, "an answer", timeout_s=0.6)
        return listener.on(REPLAYED)[before:]

    assert alerts[1:] == asked({"from_seq": 2})
    assert alerts[2:3] == asked({"from_seq": 3, "limit": 1})
    sensor.send(REPLAY, [b"{", {"from_seq": 0}, {"from_seq": 1, "limit": 10**6}, b"[" * 5000])
    assert [] == asked({"from_seq": 1000})

    ends = listener.objects(f"{REPLAYED}/end")
    assert {"from_seq": 2, "count": len(alerts) - 1, "last_seq": len(alerts)} == ends[0]
    assert {"from_seq": 3, "count": 1, "last_seq": 3} in ends
    assert {"from_seq": 1000, "count": 0, "last_seq": 999} == ends[-1]
    assert {2, 3, 1000} == {end["from_seq"] for end in ends}
    assert {} == _health(listener).rejects


# ---------------------------------------------------------------------------------------- one daemon a name


@pytest.fixture
def server() -> Iterator[Server]:
    """A broker that a test writes; Mosquitto 2.0.11 does not say whom another client has driven out."""
    found = Server()
    yield found
    found.close()


@pytest.mark.parametrize("client", ["mqtt5", "paho"])
def test_taken_over_daemon_goes_and_stays_away(server: Server, make_device: MakeDevice, client: str) -> None:
    """Two daemons of one name: the first ends with exit code 75, and the second is never disturbed."""
    first, second = make_device(), make_device()
    peers = []
    for device in (first, second):
        device.config["mqtt"] = {"port": server.port, "client": client}
        device.launch()
        peers.append(server.meet())
        peers[-1].accept(filters=2)
        device.wait_log("mqtt.subscribed")
    peers[0].send(DISCONNECT, b"\x8e")

    assert 75 == first.wait()
    assert "another client connected as 'edge-lstm-node-1'" in first.log.splitlines()[-1]
    assert "Traceback" not in first.log
    assert not server.called
    assert second.process is not None
    assert second.process.poll() is None
    assert 0 == second.end()
    assert "mqtt.disconnected" not in second.log


# ---------------------------------------------------------------------------------------- cold streams


def test_assets_on_the_disk_are_scored_as_those_in_memory(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], judge: Judge
) -> None:
    """One place for three machines: they leave, and come back with their readings; after SIGKILL too."""
    names = ("pump-1", "pump-2", "pump-3")
    device = make_device(resident_assets=1, streams={"silent_after_s": 0}, snapshot={"interval_s": 1})
    device.start()
    for first, last in ((0, 30), (30, 60), (60, 62)):
        for name in names:
            sensor.send(f"plant/{name}/readings", rows[first:last])
        for name in names:
            listener.wait(partial(_scored, listener, name, last), "the scores")
        if last == 60:
            device.end(signal.SIGKILL)
            device.start()
        elif last == 30:
            listener.wait(lambda: _facts(device).streams.resident == 1, "two to leave")
    listener.wait(lambda: _health(listener).frames == 3 * 62, "the count")

    assert (3, {}) == (_health(listener).assets, _health(listener).rejects)
    for name in names:
        heard = listener.objects(f"{ROOT}/{name}/score")
        right = _scores(judge, rows[:62], name)
        assert right == list({said["time"]: said["score"] for said in heard}.values())
        assert {(said["time"], said["score"]) for said in heard} == {
            (row["time"], score) for row, score in zip(rows, right, strict=False)
        }


# ---------------------------------------------------------------------------------------- a full disk


@pytest.mark.parametrize("client", ["mqtt5", "paho"])
def test_full_disk_is_said_and_gone_on_from_when_there_is_room(
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    judge: Judge,
    client: str,
) -> None:
    """Scores go out, health says what is wrong, each reading is scored once; no restart is needed."""
    device = make_device(durability={"commit_s": 0})
    device.config["mqtt"] |= {"client": client, "inflight": 10}
    device.start(pipe=True)
    sensor.send(READINGS, rows[:5])
    listener.wait(lambda: len(listener.on(SCORE)) == 5, "the scores")
    _limit_writes(device, 0)
    sensor.send(READINGS, rows[5:60])
    listener.wait(lambda: _health(listener).status == "degraded", "health to say so")
    assert "cannot be written" in _health(listener).problems[0]
    assert _facts(device).storage.paused
    _limit_writes(device, resource.RLIM_INFINITY)
    listener.wait(lambda: len(listener.on(SCORE)) == 60, "all scores")
    listener.wait(lambda: _health(listener).status == "ok", "health to be good again")

    assert _scores(judge, rows[:60]) == [said["score"] for said in listener.objects(SCORE)]
    assert 0 == device.end()


def test_full_disk_at_the_end_is_said_and_loses_nothing(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], judge: Judge
) -> None:
    """SIGTERM when nothing can be written: exit code 1, one line, and the broker delivers again."""
    device = make_device()
    device.start(pipe=True)
    sensor.send(READINGS, rows[:5])
    listener.wait(lambda: len(listener.on(SCORE)) == 5, "the scores")
    listener.wait(lambda: _facts(device).storage.lag_s == 0, "the disk")
    _limit_writes(device, 0)
    sensor.send(READINGS, rows[5:20])
    listener.wait(lambda: len(listener.on(SCORE)) == 20, "the scores")
    assert 1 == device.end()
    assert "what came in last could not be written down" in device.log.splitlines()[-1]
    assert "Traceback" not in device.log
    listener.wait(lambda: listener.on(f"{ROOT}/availability")[-1] == b"offline", "the last will")
    device.start()
    sensor.send(READINGS, rows[20:22])
    listener.wait(lambda: _health(listener).frames == 22, "all frames")

    right = dict(enumerate(_scores(judge, rows[:22])))
    heard = [said["score"] for said in listener.objects(SCORE)]
    assert list(right.values()) == [*heard[:5], *heard[-17:]]
    assert {} == _health(listener).rejects
