"""Two daemons at one broker, one here and one on a board, and what each of them said."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import yaml
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.boards.emulate import Emulated
from tests.boards.paths import CACHE, ROOT, clean_environ

__all__ = ["both_daemons"]

Said = tuple[dict[str, Any], list[Any]]
"""Scores by their time, and alerts in order."""

READINGS = 400
_FAULT = "blocked_valve@200s:for=120s"
_PATIENCE_S = 120.0


def both_daemons(board: Emulated, bundle: Path, doctor: Callable[[Path], None]) -> tuple[Said, Said]:
    """Scores and alerts of a daemon here and of one on the board, from the same readings.

    Args:
        board: Where the second daemon runs.
        bundle: What both run.
        doctor: Called with the board's configuration while both are connected.

    Returns:
        For each: asset's scores by time, and alerts in order.
    """
    folder = CACHE / "daemons" / board.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with _broker(folder) as port, _Listener(port) as heard, contextlib.ExitStack() as stack:
        for node in ("here", "board"):
            (folder / f"{node}.yaml").write_text(yaml.safe_dump(_config(node, bundle, port)))
        here = [sys.executable, "-m", "edge_lstm", "run", "--config", str(folder / "here.yaml")]
        with (folder / "here.log").open("wb") as log:
            environ = clean_environ({"PYTHONPATH": str(ROOT)})
            stack.enter_context(_ended(subprocess.Popen(here, env=environ, stderr=log)))
        there: list[str | Path] = ["-m", "edge_lstm", "run", "--config", folder / "board.yaml"]
        stack.enter_context(_ended(board.start(there, folder / "board.log")))
        for node in ("here", "board"):
            heard.wait(f"edge-lstm/{node}/availability", 1)
        doctor(folder / "board.yaml")
        _simulate(port)
        for node in ("here", "board"):
            heard.wait(f"edge-lstm/{node}/pump-1/score", READINGS)
        time.sleep(2)  # alerts come after the score that opens them
        return _said(heard, "here"), _said(heard, "board")


def _said(heard: _Listener, node: str) -> Said:
    scores = [json.loads(raw) for raw in heard.said[f"edge-lstm/{node}/pump-1/score"]]
    alerts = [json.loads(raw) for raw in heard.said[f"edge-lstm/{node}/pump-1/alert"]]
    return {score["time"]: score for score in scores}, alerts


def _config(node: str, bundle: Path, port: int) -> dict[str, Any]:
    return {
        "node": node,
        "bundle": str(bundle),
        "state_dir": f"state-{node}",
        "mqtt": {"port": port},
        "inputs": [{"topic": "plant/{asset}/readings", "time_field": "time"}],
        "publish": {"score_interval_s": 0},
    }


def _simulate(port: int) -> None:
    options = ["--port", str(port), "--count", str(READINGS), "--speedup", "20", "--fault", _FAULT]
    options += ["--start", "2026-02-01T00:00:00Z"]
    environ = clean_environ({"PYTHONPATH": str(ROOT)})
    subprocess.run(
        [sys.executable, "-m", "edge_lstm", "simulate", *options],
        env=environ,
        check=True,
        capture_output=True,
        timeout=300,
    )


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/sbin:/bin") or "mosquitto"
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", folder / "mosquitto.conf"], stdout=log, stderr=log)
        with _ended(process):
            yield port


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _Listener:
    """Remembers what is published below ``edge-lstm``."""

    def __init__(self, port: int) -> None:
        self.said: dict[str, list[bytes]] = defaultdict(list)
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, client_id="boards")
        client.on_message = lambda _c, _d, message: self.said[message.topic].append(bytes(message.payload))
        client.on_connect = lambda c, *_: c.subscribe("edge-lstm/#", 1)
        self._port = port

    def __enter__(self) -> Self:
        for _ in range(50):
            with contextlib.suppress(OSError):
                self._client.connect("127.0.0.1", self._port)
                break
            time.sleep(0.1)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait(self, topic: str, count: int) -> None:
        """Wait for that many messages on a topic.

        Raises:
            RuntimeError: They did not come within two minutes.
        """
        until = time.monotonic() + _PATIENCE_S
        while len(self.said[topic]) < count:
            if time.monotonic() > until:
                raise RuntimeError(f"{len(self.said[topic])} messages on {topic}, expected {count}")
            time.sleep(0.1)
