"""A daemon on a board without a TFLite interpreter."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_lstm.io.health import Health

if TYPE_CHECKING:
    from tests.integration.conftest import Device, Listener, MakeDevice, Row, Sensor

pytestmark = pytest.mark.broker

ROOT = "edge-lstm/node-1"


def block_interpreters(device: Device, folder: Path) -> None:
    """Let the daemon's process find packages that cannot be imported."""
    for name in ("ai_edge_litert", "tflite_runtime"):
        (folder / f"{name}.py").write_text('raise ImportError("no wheel for this board")\n', "utf-8")
    device.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *sys.path])


def test_daemon_without_an_interpreter_runs_the_reference_kernel_and_says_so(
    listener: Listener, sensor: Sensor, make_device: MakeDevice, rows: list[Row], tmp_path: Path
) -> None:
    """A warning with the time of a step at the start, the reason in every health message, and scores."""
    device = make_device()
    block_interpreters(device, tmp_path)
    device.start()
    sensor.send("plant/pump-1/readings", rows[:20])
    listener.wait(lambda: len(listener.on(f"{ROOT}/pump-1/score")) == 20, "all scores")

    health = msgspec.json.decode(listener.on(f"{ROOT}/health")[-1], type=Health)
    assert "reference" == health.backend
    assert "no wheel for this board" in health.backend_reason
    (warning,) = [line for line in device.log.splitlines() if "backend.fallback" in line]
    assert "WARNING" in warning.upper()
    assert "using=reference" in warning
    assert "us_a_step=" in warning
    assert "no wheel for this board" in warning


def test_daemon_with_a_named_backend_that_is_absent_ends(make_device: MakeDevice, tmp_path: Path) -> None:
    """With one line that says what to do."""
    device = make_device(backend="litert")
    block_interpreters(device, tmp_path)
    device.launch()

    assert 1 == device.wait()
    assert "no TFLite interpreter on this board" in device.log
    assert "choose the backend reference" in device.log


def test_daemon_runs_the_backend_of_its_configuration(listener: Listener, make_device: MakeDevice) -> None:
    """Whatever else is installed, without a warning."""
    device = make_device(backend="reference")
    device.start()
    listener.wait(lambda: listener.on(f"{ROOT}/health"), "a health message")

    health = msgspec.json.decode(listener.on(f"{ROOT}/health")[-1], type=Health)
    assert ("reference", "as chosen") == (health.backend, health.backend_reason)
    assert "backend.fallback" not in device.log
