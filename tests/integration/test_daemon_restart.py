"""Ends and new beginnings: nothing is lost, nothing is scored twice, no episode stays open for good."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge_lstm.bundle import MANIFEST, open_bundle, write_bundle
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.score import Score
from edge_lstm.io.health import Health
from edge_lstm.io.snapshot import BAD, SNAPSHOT

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

    assert _alerts(judge, rows, alarm) == listener.objects(ALERT)


def test_restart_after_kill_goes_on_from_the_last_snapshot(
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    alarm: dict[str, Any],
) -> None:
    """After SIGKILL the broker says offline, and an alarm that the snapshot does not know is cleared."""
    device = make_device(alarm=alarm, snapshot={"interval_s": 86400})
    device.start()
    sensor.send("plant/pump-1/readings", rows[:90])
    listener.wait(lambda: len(listener.on(SCORE)) == 90, "90 scores")
    device.end()
    device.start()
    sensor.send("plant/pump-1/readings", rows[90:108])
    listener.wait(lambda: listener.on(ALARM)[-1:] not in ([], [b""]), "the alarm")
    assert -signal.SIGKILL == device.end(signal.SIGKILL)
    listener.wait(lambda: listener.on(f"{ROOT}/availability")[-1] == b"offline", "the last will")
    device.start()
    listener.wait(lambda: listener.on(ALARM)[-1] == b"", "the alarm to be cleared")

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
    assert (first["id"], "close") == (last["id"], last["type"])
    listener.wait(
        lambda: _health(listener).state_reset_reason == "other_bundle", "the reason of the cold start"
    )
    assert (device.folder / "state" / BAD).exists()


def test_restart_with_a_damaged_snapshot_starts_cold(listener: Listener, make_device: MakeDevice) -> None:
    """A torn file is kept aside, logged and said in health; the daemon runs."""
    device = make_device()
    device.start()
    device.end()
    snapshot = device.folder / "state" / SNAPSHOT
    raw = snapshot.read_bytes()
    snapshot.write_bytes(raw[:-1])
    device.start()

    listener.wait(lambda: _health(listener).state_reset_reason == "damaged", "the reason of the cold start")
    assert raw[:-1] == (device.folder / "state" / BAD).read_bytes()
    assert f"kept={device.folder / 'state' / BAD}" in device.log


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
    assert _alerts(judge, rows, alarm) == listener.objects(ALERT)
