"""Commissioning through a real broker: learned over a restart, frozen, retained, and scored with."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_lstm.contracts.commission import Commission
from edge_lstm.contracts.score import Score
from edge_lstm.core.commission import scaling_of
from edge_lstm.io.health import Health
from tests.integration.conftest import Listener

if TYPE_CHECKING:
    from tests.integration.conftest import Broker, Judge, MakeDevice, Row, Sensor

pytestmark = pytest.mark.broker

ROOT = "edge-lstm/node-1"
TOPIC = f"{ROOT}/pump-9/commission"
SCORE = f"{ROOT}/pump-9/score"
READINGS = "plant/pump-9/readings"


def _told(listener: Listener) -> list[Commission]:
    return [msgspec.json.decode(payload, type=Commission) for payload in listener.on(TOPIC) if payload]


def _health(listener: Listener) -> Health:
    return msgspec.json.decode(listener.on(f"{ROOT}/health")[-1], type=Health)


def test_restart_and_kill_in_mid_commissioning(
    broker: Broker,
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    many_rows: list[Row],
    judge: Judge,
) -> None:
    """One baseline over a restart; what was learned is retained, survives a kill and scales the scores."""
    rows, n = many_rows[:300], 200
    device = make_device(commission={"readings": n}, snapshot={"interval_s": 1})
    device.start()
    sensor.send(READINGS, rows[:80])
    listener.wait(lambda: len(listener.on(SCORE)) == 80, "80 readings")
    listener.wait(lambda: _health(listener).commissioning == 1, "health to say so")
    assert 0 == device.end()
    device.start()
    sensor.send(READINGS, rows[80:250])
    listener.wait(lambda: len(listener.on(SCORE)) == 250, "250 readings")
    listener.wait(lambda: _told(listener)[-1].status == "done", "the result")
    listener.wait(lambda: _health(listener).commissioned == 1, "health to say that it is done")
    # The next snapshot holds the result; only then may the process be killed.
    seen = len(listener.on(f"{ROOT}/health"))
    listener.wait(lambda: len(listener.on(f"{ROOT}/health")) > seen + 2, "a snapshot")
    device.end(signal.SIGKILL)
    device.start()
    sensor.send(READINGS, rows[250:])
    listener.wait(lambda: len(listener.on(SCORE)) == 300, "all scores")
    later = Listener(broker.port, TOPIC)
    later.wait(lambda: later.heard, "what is retained")
    later.close()

    scores = listener.objects(SCORE)
    assert {"commissioning"} == {said["status"] for said in scores[:n]}
    assert {None} == {said["score"] for said in scores[:n]}
    assert [(i + 1) / n for i in range(n)] == [said["progress"] for said in scores[:n]]
    done = _told(listener)[-1]
    assert [done] == [
        msgspec.json.decode(payload, type=Commission) for _, payload, kept in later.heard if kept
    ]
    assert (n, n, 0, "") == (done.readings, done.wanted, done.refused, done.reason)
    assert rows[0]["time"][:19] == done.began[:19]
    expected = judge(rows[n:], "pump-9", assets={"pump-9": scaling_of(done)})
    assert [e.score for e in expected if isinstance(e, Score)] == [said["score"] for said in scores[n:]]
