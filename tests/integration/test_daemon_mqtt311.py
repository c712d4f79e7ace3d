"""A broker that knows no MQTT 5."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Listener, MakeDevice, Row, Sensor

pytestmark = pytest.mark.broker

ROOT = "edge-lstm/node-1"


def test_restart_over_mqtt_311_loses_nothing(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], broker: object
) -> None:
    """Readings sent while the daemon was away come from the session, and each is scored once."""
    device = make_device(mqtt={"port": broker.port, "protocol": "3.1.1"})  # type: ignore[attr-defined]
    topic = f"{ROOT}/pump-1/score"
    device.start()
    listener.wait(lambda: listener.on(f"{ROOT}/model"), "the model")
    sensor.send("plant/pump-1/readings", rows[:50])
    listener.wait(lambda: len(listener.on(topic)) == 50, "the first scores")
    assert 0 == device.end()
    sensor.send("plant/pump-1/readings", rows[50:60])
    device.start()
    listener.wait(lambda: len(listener.on(topic)) == 60, "the scores of what was sent meanwhile")

    times = [score["time"] for score in listener.objects(topic)]
    assert sorted(set(times)) == times
    assert [b"online", b"offline", b"online"] == listener.on(f"{ROOT}/availability")
