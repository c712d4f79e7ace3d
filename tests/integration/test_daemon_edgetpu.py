"""A daemon whose Edge TPU is a stand-in, and one whose Edge TPU is not there."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_lstm.bundle import EDGETPU_MODEL, MANIFEST, MODEL, open_bundle, write_bundle
from edge_lstm.contracts.manifest import EdgeTpu
from edge_lstm.contracts.score import Score
from edge_lstm.io.health import Health

if TYPE_CHECKING:
    from tests.integration.conftest import Judge, Listener, MakeDevice, Row, Sensor

pytestmark = pytest.mark.broker

ROOT = "edge-lstm/node-1"
SCORE = f"{ROOT}/pump-1/score"
SITE = Path(__file__).parents[1] / "edgetpu" / "site"


def _health(listener: Listener) -> Health:
    return msgspec.json.decode(listener.on(f"{ROOT}/health")[-1], type=Health)


@pytest.fixture
def compiled(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle whose network for the stand-in is its network for the CPU."""
    plain = open_bundle(tiny_bundle)
    network = plain.read(MODEL)
    members = {name: raw for name, raw in plain.members.items() if name != MANIFEST}
    facts = EdgeTpu("16.0.384591198", plain.manifest.files[MODEL].sha256, 18, 0)
    manifest = msgspec.structs.replace(plain.manifest, edgetpu=facts)
    write_bundle(tmp_path / "tpu.elb", manifest, {**members, EDGETPU_MODEL: network})
    return tmp_path / "tpu.elb"


def test_the_tpu_is_lost_and_nothing_else(
    listener: Listener,
    sensor: Sensor,
    make_device: MakeDevice,
    rows: list[Row],
    judge: Judge,
    compiled: Path,
) -> None:
    """Its process is killed between two readings: every score is as if it had been the CPU throughout."""
    device = make_device(bundle=str(compiled), backend="edgetpu")
    device.environ = {"PYTHONPATH": f"{SITE}:{os.environ.get('PYTHONPATH', '')}", "STAND_IN_TPU": "none"}
    device.start()
    sensor.send("plant/pump-1/readings", rows[:60])
    listener.wait(lambda: len(listener.on(SCORE)) == 60, "60 scores")
    listener.wait(lambda: _health(listener).backend == "edgetpu", "health with the Edge TPU")
    assert _health(listener).problems == []
    assert device.process is not None
    pid = device.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()

    os.kill(int(child), signal.SIGKILL)
    sensor.send("plant/pump-1/readings", rows[60:])

    listener.wait(lambda: len(listener.on(SCORE)) == len(rows), "all scores")
    listener.wait(lambda: _health(listener).status == "degraded", "health to say so")
    health = _health(listener)
    assert health.backend == "litert"
    assert "the Edge TPU is lost: its process ended (SIGKILL)" in health.backend_reason
    assert health.problems == [health.backend_reason]
    assert device.log.count("edgetpu.lost") == 1
    assert {alert["model"]["backend"] for alert in listener.objects(f"{ROOT}/pump-1/alert")} == {"litert"}
    expected = [found.score for found in judge(rows) if isinstance(found, Score)]
    assert expected == [said["score"] for said in listener.objects(SCORE)]
    assert device.end() == 0


def test_a_tpu_that_is_not_there_is_told_and_the_daemon_runs(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], compiled: Path
) -> None:
    """One that was asked for is a problem; readings are scored all the same."""
    device = make_device(bundle=str(compiled), backend="edgetpu")
    device.start()
    sensor.send("plant/pump-1/readings", rows[:10])
    listener.wait(lambda: len(listener.on(SCORE)) == 10, "10 scores")
    listener.wait(lambda: _health(listener).status == "degraded", "health to say so")
    assert _health(listener).backend == "litert"
    (problem,) = _health(listener).problems
    assert "not the Edge TPU: the Edge TPU cannot be used: libedgetpu.so.1: cannot open" in problem
    assert "edgetpu.not_used" in device.log
