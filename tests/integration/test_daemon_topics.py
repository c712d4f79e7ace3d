"""What a daemon says, as any MQTT client hears it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.frame import QualityEvent
from edge_lstm.contracts.score import Score
from edge_lstm.io.health import Health
from edge_lstm.times import format_time, parse_time

if TYPE_CHECKING:
    from tests.integration.conftest import Broker, Judge, Listener, MakeDevice, Row, Sensor

pytestmark = pytest.mark.broker

ROOT = "edge-lstm/node-1"


def _health(listener: Listener) -> list[Health]:
    return [msgspec.json.decode(payload, type=Health) for payload in listener.on(f"{ROOT}/health")]


def test_daemon_start_says_who_it_is(listener: Listener, make_device: MakeDevice) -> None:
    """Availability, model and health are there as soon as the subscriptions are granted."""
    device = make_device()
    device.start()
    listener.wait(lambda: any(h.status == "ok" for h in _health(listener)), "a good health message")

    health = _health(listener)[-1]
    (model,) = listener.objects(f"{ROOT}/model")
    assert device.process is not None
    assert [b"online"] == listener.on(f"{ROOT}/availability")
    assert (device.process.pid, "litert", []) == (health.pid, health.backend, health.problems)
    assert {**msgspec.to_builtins(health.model), "status": "running"} == model
    assert 0 == device.end()
    assert [b"online", b"offline"] == listener.on(f"{ROOT}/availability")


def test_daemon_scores_are_those_of_the_detector(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], judge: Judge
) -> None:
    """Every reading is scored once, and its score is the detector's bit for bit, through JSON and back."""
    make_device().start()
    sensor.send("plant/pump-1/readings", rows)
    topic = f"{ROOT}/pump-1/score"
    listener.wait(lambda: len(listener.on(topic)) == len(rows), "all scores")

    expected = [
        {"time": format_time(s.time_ns), "score": s.score, "threshold": s.threshold, "status": s.status.value}
        for s in judge(rows)
        if isinstance(s, Score)
    ]
    assert expected == listener.objects(topic)


def test_daemon_alerts_are_those_of_the_detector(
    broker: Broker,
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    judge: Judge,
    alarm: dict[str, Any],
) -> None:
    """An episode opens and closes; its alarm is retained for as long as it is open, and not longer."""
    make_device(alarm=alarm).start()
    sensor.send("plant/pump-1/readings", rows[:110])
    topic, retained = f"{ROOT}/pump-1/alert", f"{ROOT}/pump-1/alarm/anomaly"
    listener.wait(lambda: listener.on(retained), "the alarm")

    command = ["mosquitto_sub", "-p", str(broker.port), "-t", retained, "-C", "1", "-W", "10"]
    late = subprocess.run(command, capture_output=True, check=True, timeout=20).stdout
    assert listener.objects(retained)[0] == json.loads(late)

    sensor.send("plant/pump-1/readings", rows[110:])
    listener.wait(lambda: b"" in listener.on(retained), "the end of the alarm")
    expected = [msgspec.to_builtins(a) for a in judge(rows, **alarm) if isinstance(a, Alert)]
    assert expected == listener.alerts(topic)
    assert ["open", "close"] == [expected[0]["type"], expected[-1]["type"]]


def test_daemon_assets_interleaved_are_scored_as_each_alone(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], judge: Judge
) -> None:
    """Two machines in one process have states of their own."""
    make_device().start()
    other = [{k: v if k == "time" else v * 1.01 for k, v in row.items()} for row in rows[:60]]
    for one, two in zip(rows[:60], other, strict=True):
        sensor.send("plant/pump-1/readings", [one])
        sensor.send("plant/pump-2/readings", [two])
    listener.wait(lambda: len(listener.on(f"{ROOT}/pump-2/score")) == 60, "all scores")

    for asset, alone in (("pump-1", rows[:60]), ("pump-2", other)):
        expected = [s.score for s in judge(alone, asset) if isinstance(s, Score)]
        assert expected == [s["score"] for s in listener.objects(f"{ROOT}/{asset}/score")]


def test_daemon_one_value_a_topic_is_scored_as_whole_frames(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], judge: Judge
) -> None:
    """Readings that come channel by channel make the same frames, by other names too."""
    source = {
        "topic": "plant/{asset}/{channel}",
        "format": "value",
        "value_field": "v",
        "time_field": "t",
        "time_format": "ms",
        "channels": {"q": "flow"},
    }
    make_device(inputs=[source]).start()
    for row in rows[:40]:
        for name, value in row.items():
            if name != "time":
                body = {"t": parse_time(row["time"]) // 1_000_000, "v": value}
                sensor.send(f"plant/pump-1/{'q' if name == 'flow' else name}", [body])
    listener.wait(lambda: len(listener.on(f"{ROOT}/pump-1/score")) == 40, "all scores")

    expected = [s.score for s in judge(rows[:40]) if isinstance(s, Score)]
    assert expected == [s["score"] for s in listener.objects(f"{ROOT}/pump-1/score")]


def test_daemon_gap_is_told_as_a_fault_of_the_input(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], judge: Judge
) -> None:
    """Silence that is too long is published on the quality topic, not as an alert."""
    make_device().start()
    sent = [*rows[:10], *rows[60:70]]
    sensor.send("plant/pump-1/readings", sent)
    topic = f"{ROOT}/pump-1/quality"
    listener.wait(lambda: listener.on(topic), "a quality event")

    (gap,) = [found for found in judge(sent) if isinstance(found, QualityEvent)]
    assert {
        "time": format_time(gap.time_ns),
        "reason": "gap",
        "active": True,
        "channel": "",
        "detail": gap.detail,
    } == listener.objects(topic)[0]


def test_daemon_bad_messages_are_counted_by_reason(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row]
) -> None:
    """What cannot be read is counted in health and stops nothing; a kept message without a time is stale."""
    sensor.send("kept/pump-1", [b"1.5"], retain=True)
    plain = {"topic": "kept/{asset}", "format": "value", "channel": "flow"}
    device = make_device(
        inputs=[{"topic": "plant/{asset}/readings", "time_field": "time"}, plain],
    )
    device.config["mqtt"]["max_payload_bytes"] = 500
    device.start()
    good = rows[0]
    sensor.send(
        "plant/pump-1/readings",
        [
            b"not json",
            b'{"flow": NaN}',
            b"x" * 501,
            {k: v for k, v in good.items() if k != "time"},
            {**good, "time": "yesterday"},
            {**good, "time": "2999-01-01T00:00:00Z"},
            {"time": good["time"], "nobody": 1},
            {**good, "flow": "12.5", "pressure": None, "speed": True},
            good,
        ],
    )
    counts = {
        "undecodable": 2,
        "too_large": 1,
        "bad_time": 3,
        "no_channel": 1,
        "seq_conflict": 1,
        "stale_retained": 1,
    }
    listener.wait(lambda: _health(listener) and _health(listener)[-1].rejects == counts, "the counts")

    last = _health(listener)[-1]
    assert (3, 1, 1, "ok") == (last.readings, last.frames, last.bad_values, last.status)


def test_daemon_scores_can_be_thinned(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row]
) -> None:
    """With an interval only the first score and changes of the status are published; all are counted."""
    device = make_device(publish={"score_interval_s": 3600, "health_interval_s": 1})
    device.start()
    sensor.send("plant/pump-1/readings", rows[:60])
    listener.wait(lambda: any(h.frames == 60 for h in _health(listener)), "60 frames")

    said = [s["status"] for s in listener.objects(f"{ROOT}/pump-1/score")]
    assert ["warming", "normal"] == said
