"""Ends and new beginnings: nothing is lost, nothing is scored twice, no episode stays open for good."""

from __future__ import annotations

import signal
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge_lstm.bundle import MANIFEST, open_bundle, write_bundle
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.score import Score
from edge_lstm.io.database import DATABASE
from edge_lstm.io.health import Health
from edge_lstm.io.journal import segment_files
from edge_lstm.times import format_time

if TYPE_CHECKING:
    from tests.integration.conftest import Broker, Judge, Listener, MakeDevice, Row, Sensor

pytestmark = pytest.mark.broker

ROOT = "edge-lstm/node-1"
ALERT = f"{ROOT}/pump-1/alert"
ALARM = f"{ROOT}/pump-1/alarm/anomaly"
SCORE = f"{ROOT}/pump-1/score"


def _health(listener: Listener) -> Health:
    return msgspec.json.decode(listener.on(f"{ROOT}/health")[-1], type=Health)


def _scores(judge: Judge, rows: list[Row], **alarm: Any) -> list[float]:  # noqa: ANN401
    return [found.score for found in judge(rows, **alarm) if isinstance(found, Score)]


def _alerts(judge: Judge, rows: list[Row], alarm: dict[str, Any]) -> list[Any]:
    return [msgspec.to_builtins(found) for found in judge(rows, **alarm) if isinstance(found, Alert)]


def _scored(listener: Listener, row: Row) -> bool:
    return bool(listener.objects(SCORE)[-1]["time"] == row["time"])


def _numbered(listener: Listener) -> dict[int, Any]:
    """Alerts by their number; one that was sent twice must be the same twice."""
    found: dict[int, Any] = {}
    for said in listener.objects(ALERT):
        assert said == found.setdefault(said["seq"], said)
    return found


def test_restart_in_mid_stream_equals_no_restart(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], judge: Judge
) -> None:
    """States go on where they were, and readings from meanwhile are scored first."""
    device = make_device()
    device.start()
    sensor.send("plant/pump-1/readings", rows[:90])
    listener.wait(lambda: len(listener.on(SCORE)) == 90, "90 scores")
    assert 0 == device.end()
    sensor.send("plant/pump-1/readings", rows[90:130])
    device.start()
    sensor.send("plant/pump-1/readings", rows[130:])
    listener.wait(lambda: len(listener.on(SCORE)) >= len(rows), "all scores")

    assert _scores(judge, rows) == [said["score"] for said in listener.objects(SCORE)]


def test_restart_within_a_burst_scores_each_reading_once(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, many_rows: list[Row], judge: Judge
) -> None:
    """SIGTERM among queued readings: those not scored are delivered to the next process, in order."""
    device = make_device()
    device.config["mqtt"]["inflight"] = 1  # each is written down before the next: slow enough to be met
    device.start()
    device.end()
    sensor.send("plant/pump-1/readings", many_rows)
    device.launch()
    listener.wait(lambda: len(listener.on(SCORE)) > 5, "some scores")
    assert 0 == device.end()
    assert "daemon.stopped frames=900" not in device.log
    device.start()
    listener.wait(lambda: len(listener.on(SCORE)) >= len(many_rows), "all scores")

    assert _scores(judge, many_rows) == [said["score"] for said in listener.objects(SCORE)]


def test_restart_keeps_an_open_episode(
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    judge: Judge,
    alarm: dict[str, Any],
) -> None:
    """An episode that was open goes on under its id, and closes."""
    device = make_device(alarm=alarm)
    device.start()
    sensor.send("plant/pump-1/readings", rows[:108])
    listener.wait(lambda: listener.on(ALARM), "the alarm")
    assert 0 == device.end()
    device.start()
    listener.wait(lambda: len(listener.on(ALARM)) == 2, "the alarm once more")
    sensor.send("plant/pump-1/readings", rows[108:])
    listener.wait(lambda: b"" in listener.on(ALARM), "the end of the alarm")

    assert _alerts(judge, rows, alarm) == listener.alerts(ALERT)


@pytest.mark.parametrize(
    "mqtt",
    [{"client": "mqtt5"}, {"client": "paho"}, {"protocol": "3.1.1"}],
    ids=["mqtt5", "paho", "3.1.1"],
)
def test_restart_after_kill_equals_no_restart(
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    many_rows: list[Row],
    rows: list[Row],
    judge: Judge,
    alarm: dict[str, Any],
    mqtt: Row,
) -> None:
    """SIGKILL among streaming readings: each is scored once, by the very states; no alert is lost."""
    stream = [*rows[:108], *many_rows[108:600]]
    device = make_device(alarm=alarm)
    device.config["mqtt"] |= mqtt
    device.start()
    sending = threading.Thread(target=sensor.send, args=("plant/pump-1/readings", stream))
    sending.start()
    listener.wait(lambda: listener.on(ALARM), "the alarm")
    assert -signal.SIGKILL == device.end(signal.SIGKILL)
    device.start()
    sending.join()
    listener.wait(lambda: _health(listener).frames == len(stream), "all frames")
    listener.wait(lambda: listener.on(ALARM)[-1] == b"", "the end of the alarm")
    listener.wait(lambda: len(_numbered(listener)) == len(_alerts(judge, stream, alarm)), "all alerts")

    right = {
        format_time(said.time_ns): said.score for said in judge(stream, **alarm) if isinstance(said, Score)
    }
    heard = {said["time"]: said["score"] for said in listener.objects(SCORE)}
    assert heard.items() <= right.items()
    last = max(right)
    assert last in heard
    assert _alerts(judge, stream, alarm) == [
        {**said, "seq": 0} for _, said in sorted(_numbered(listener).items())
    ]
    assert {"redelivered"} >= set(_health(listener).rejects)


@pytest.mark.parametrize("client", ["mqtt5", "paho"])
def test_restart_after_kill_keeps_an_open_episode(
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    judge: Judge,
    alarm: dict[str, Any],
    client: str,
) -> None:
    """After SIGKILL the broker says offline; no checkpoint knows the alarm, and yet it stays and closes."""
    device = make_device(alarm=alarm)
    device.config["mqtt"]["client"] = client
    device.start()
    sensor.send("plant/pump-1/readings", rows[:108])
    listener.wait(lambda: len(listener.on(SCORE)) == 108, "the scores")
    listener.wait(lambda: listener.on(ALARM), "the alarm")
    assert -signal.SIGKILL == device.end(signal.SIGKILL)
    listener.wait(lambda: listener.on(f"{ROOT}/availability")[-1] == b"offline", "the last will")
    heard = len(listener.on(ALARM))
    device.start()
    listener.wait(lambda: len(listener.on(ALARM)) > heard, "the alarm once more")
    assert b"" not in listener.on(ALARM)
    sensor.send("plant/pump-1/readings", rows[108:])
    listener.wait(lambda: len(listener.on(SCORE)) >= len(rows), "all scores")
    listener.wait(lambda: listener.on(ALARM)[-1] == b"", "the end of the alarm")

    scores = {said["time"]: said["score"] for said in listener.objects(SCORE)}
    assert _scores(judge, rows, **alarm) == list(scores.values())
    assert _alerts(judge, rows, alarm) == [
        {**said, "seq": 0} for _, said in sorted(_numbered(listener).items())
    ]
    assert b"online" == listener.on(f"{ROOT}/availability")[-1]


def test_restart_with_another_bundle_starts_cold_and_closes_episodes(
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    alarm: dict[str, Any],
    tmp_path: Path,
) -> None:
    """States of another model are kept aside and said so in health; nobody waits for an end for ever."""
    device = make_device(alarm=alarm)
    device.start()
    sensor.send("plant/pump-1/readings", rows[:108])
    listener.wait(lambda: listener.on(ALARM), "the alarm")
    device.end()
    old = open_bundle(device.config["bundle"])
    members = {name: raw for name, raw in old.members.items() if name != MANIFEST}
    write_bundle(tmp_path / "new.elb", msgspec.structs.replace(old.manifest, version="2"), members)
    device.config["bundle"] = str(tmp_path / "new.elb")
    device.start()
    listener.wait(lambda: listener.on(ALARM)[-1] == b"", "the alarm to be cleared")

    first, last = listener.objects(ALERT)[0], listener.objects(ALERT)[-1]
    assert (first["id"], "close", 2) == (last["id"], last["type"], last["seq"])
    listener.wait(
        lambda: _health(listener).state_reset_reason == "other_bundle", "the reason of the cold start"
    )


@pytest.mark.parametrize("journal", ["kept", "gone"])
def test_restart_with_a_damaged_database_is_said(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], judge: Judge, journal: str
) -> None:
    """It is set aside, logged and said in health; what the journal still has makes the states again."""
    device = make_device()
    device.start()
    sensor.send("plant/pump-1/readings", rows[:40])
    listener.wait(lambda: len(listener.on(SCORE)) == 40, "the scores")
    device.end()
    database = device.folder / "state" / DATABASE
    raw = database.read_bytes()
    database.write_bytes(b"?" * 100 + raw[100:])
    if journal == "gone":
        for path in segment_files(device.folder / "state").values():
            path.unlink()
    device.start()
    listener.wait(lambda: _health(listener).state_reset_reason == "damaged", "the reason of the cold start")
    sensor.send("plant/pump-1/readings", rows[40:42])
    listener.wait(lambda: len(listener.on(SCORE)) == 42, "the scores")

    told = rows[:42] if journal == "kept" else rows[40:42]
    assert _scores(judge, told)[-2:] == [said["score"] for said in listener.objects(SCORE)[-2:]]
    assert "state.db was damaged" in _health(listener).problems[0]
    assert raw[100:] == database.with_suffix(".db.bad").read_bytes()[100:]
    assert "store.database_damaged" in device.log
    assert 0 == device.end()
    device.start()
    listener.wait(lambda: _health(listener).status == "ok", "a good life")
    assert _health(listener).state_reset_reason is None


def test_restart_with_a_damaged_journal_goes_on_from_what_is_sound(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], judge: Judge
) -> None:
    """After SIGKILL and a flipped bit: what the checkpoint has goes on, the rest is set aside and said."""
    device = make_device(durability={"commit_s": 0})
    device.start()
    sensor.send("plant/pump-1/readings", rows[:60])
    listener.wait(lambda: len(listener.on(SCORE)) == 60, "60 scores")
    device.end()
    device.start()
    for row in rows[60:70]:  # each a record of its own, and all but the last known to be on the disk
        sensor.send("plant/pump-1/readings", [row])
        listener.wait(partial(_scored, listener, row), "a score")
    device.end(signal.SIGKILL)
    newest = list(segment_files(device.folder / "state").values())[-1]
    with newest.open("r+b") as file:
        file.seek(4096 + 40)  # in the content of the first record
        found = file.read(1)
        file.seek(4096 + 40)
        file.write(bytes([found[0] ^ 1]))
    device.start()
    sensor.send("plant/pump-1/readings", rows[70:75])
    listener.wait(lambda: listener.objects(SCORE)[-1]["time"] == rows[74]["time"], "the scores")
    listener.wait(lambda: _health(listener).status == "degraded", "health to say so")

    assert "of the journal" in _health(listener).problems[0]
    assert newest.with_suffix(".bad").exists()
    again = len(listener.on(SCORE)) - 75  # the broker had no acknowledgement yet of the very last
    told = [*rows[:60], *rows[70 - again : 75]]
    assert _scores(judge, told)[60:] == [said["score"] for said in listener.objects(SCORE)[70:]]


def test_restart_with_other_topics_gives_up_the_old_ones(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row]
) -> None:
    """The broker forgets subscriptions that are no longer in the configuration."""
    device = make_device()
    device.start()
    device.end()
    device.config["inputs"] = [{"topic": "factory/{asset}", "time_field": "time"}]
    device.start()
    sensor.send("plant/pump-1/readings", rows[:5])
    sensor.send("factory/pump-1", rows[:5])
    listener.wait(lambda: len(listener.on(SCORE)) == 5, "the scores")
    listener.wait(lambda: _health(listener).readings == 5, "the count")

    assert {} == _health(listener).rejects


def test_stop_keeps_alerts_that_the_broker_did_not_take(
    broker: Broker,
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    judge: Judge,
    alarm: dict[str, Any],
) -> None:
    """Alerts refused by the broker are said in health, survive SIGTERM, and are sent by the next process."""
    acl = broker.folder / "acl"
    acl.write_text("topic read edge-lstm/#\ntopic readwrite plant/#\ntopic write edge-lstm/node-1/health\n")
    broker.stop()
    broker.configure(["allow_anonymous true", f"acl_file {acl}"])
    broker.start()
    device = make_device(alarm=alarm)
    device.start()
    sensor.send("plant/pump-1/readings", rows)
    listener.wait(lambda: _health(listener).frames == len(rows), "all frames")
    listener.wait(lambda: _health(listener).status == "degraded", "health to say so")
    assert "refuses" in _health(listener).problems[0]
    assert [] == listener.on(ALERT)
    assert 0 == device.end()

    before = listener.subscribed
    broker.stop()
    broker.configure(["allow_anonymous true"])
    broker.start()
    listener.wait(lambda: listener.subscribed > before, "our own return")
    device.start()
    listener.wait(lambda: b"" in listener.on(ALARM), "the end of the alarm")
    assert _alerts(judge, rows, alarm) == listener.alerts(ALERT)
