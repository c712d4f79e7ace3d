"""A real broker, real daemons as processes, and clients that wait for what they are told."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition
from typing import Any

import msgspec
import pytest
import yaml
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_lstm.backends import load_backend
from edge_lstm.bundle import open_bundle
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.manifest import AssetScaling
from edge_lstm.contracts.reading import Reading
from edge_lstm.core.detector import Detector, Event
from edge_lstm.times import parse_time

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
WAIT_S = 20.0

Row = dict[str, Any]
"""One reading as it is published: ``time`` and a number a channel."""


def wait_until(condition: Callable[[], object], what: str, *, timeout_s: float = WAIT_S) -> None:
    """Look again and again until it is so."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


class Broker:
    """A real Mosquitto on a free loopback port.

    Args:
        folder: For its files.
        lines: Lines of its configuration besides the listener.
    """

    def __init__(self, folder: Path, lines: Sequence[str] = ("allow_anonymous true",)) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.folder = folder
        self.configure(lines)
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, lines: Sequence[str]) -> None:
        """Write its configuration; takes effect at the next start."""
        # Started by root it would give root up, and could then not read what is in our folders.
        user = ["user root"] if os.geteuid() == 0 else []
        text = "\n".join([f"listener {self.port} 127.0.0.1", *user, *lines, ""])
        (self.folder / "mosquitto.conf").write_text(text, "utf-8")

    def start(self) -> None:
        """Start it and wait until it listens."""
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program is not None
        command = [program, "-c", str(self.folder / "mosquitto.conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._listens, "mosquitto to listen")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it; by SIGTERM it writes its sessions down first, if it keeps any."""
        if self._process is not None:
            # Asked between listening and its main loop, Mosquitto 2.0.11 forgets it: asked again.
            for _ in range(10):
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(1)
                    break
            assert self._process.returncode is not None, "mosquitto does not end"
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Listener:
    """A client that hears everything below a topic, and can wait for it."""

    def __init__(self, port: int, topic: str = "edge-lstm/#", **login: str) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._news = Condition()
        self.subscribed = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        if login:
            self._client.username_pw_set(**login)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1) and None
        self._client.on_subscribe = lambda *_: self._note(None)
        self._client.on_message = lambda _client, _data, message: self._note(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        with self._news:
            assert self._news.wait_for(lambda: self.subscribed, WAIT_S), "no answer to our subscription"

    def _note(self, message: paho.MQTTMessage | None) -> None:
        with self._news:
            if message is None:
                self.subscribed += 1
            else:
                self.heard.append((message.topic, bytes(message.payload), message.retain))
            self._news.notify_all()

    def on(self, topic: str) -> list[bytes]:
        """Payloads heard on a topic, in order."""
        return [payload for heard, payload, _ in list(self.heard) if heard == topic]

    def objects(self, topic: str) -> list[Row]:
        """JSON objects heard on a topic, in order."""
        return [json.loads(payload) for payload in self.on(topic)]

    def alerts(self, topic: str) -> list[Row]:
        """Alerts heard on a topic as a detector makes them: the device gives each a number, from 1 on."""
        said = self.objects(topic)
        assert list(range(1, len(said) + 1)) == [alert["seq"] for alert in said]
        return [{**alert, "seq": 0} for alert in said]

    def wait(self, condition: Callable[[], object], what: str, *, timeout_s: float = WAIT_S) -> None:
        """Wait until it is so; looked at whenever something is heard. The last of nothing is not so yet."""

        def holds() -> bool:
            try:
                return bool(condition())
            except IndexError:
                return False

        with self._news:
            done = self._news.wait_for(holds, timeout_s)
        assert done, f"waited in vain for {what}; heard {[(t, p[:80]) for t, p, _ in self.heard[-15:]]}"

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


class Sensor:
    """Publishes readings at QoS 1 and waits until the broker has them."""

    def __init__(self, port: int, **login: str) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        if login:
            self._client.username_pw_set(**login)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port, properties=properties)
        self._client.loop_start()

    def send(self, topic: str, payloads: Sequence[bytes | Row], *, retain: bool = False) -> None:
        """Publish, in order, once connected (again)."""
        wait_until(self._client.is_connected, "the sensor to connect")
        sent = [
            self._client.publish(topic, p if isinstance(p, bytes) else json.dumps(p), qos=1, retain=retain)
            for p in payloads
        ]
        for info in sent:
            info.wait_for_publish(WAIT_S)
            assert info.is_published()

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


@dataclass
class Device:
    """One daemon: its folder, its configuration, its process.

    Attributes:
        folder: Where configuration, states and log are.
        config: What is written to ``edge-lstm.yaml`` at every start.
        environ: Variables of the process besides our own.
        process: The daemon.
        writer: Writes its log down, if it goes through a pipe.
    """

    folder: Path
    config: dict[str, Any]
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    writer: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self.folder / "log").read_text("utf-8")

    def start(self, *, pipe: bool = False) -> None:
        """Start it and wait until it has subscribed."""
        before = self.log.count("mqtt.subscribed") if (self.folder / "log").exists() else 0
        self.launch(pipe=pipe)
        wait_until(lambda: self.log.count("mqtt.subscribed") > before, "the daemon to subscribe")

    def launch(self, *, pipe: bool = False) -> None:
        """Start it; returns at once.

        Args:
            pipe: Whether its log goes through a pipe, so that it writes to no file outside its state.
        """
        path = self.folder / "edge-lstm.yaml"
        path.write_text(yaml.safe_dump(self.config), "utf-8")
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "edge_lstm", "run", "--config", str(path)]
            environ = {**os.environ, **self.environ}
            if not pipe:
                self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
                return
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ
            )
            self.writer = subprocess.Popen(["cat"], stdin=self.process.stdout, stdout=log)
            assert self.process.stdout is not None
            self.process.stdout.close()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended; the exit code."""
        assert self.process is not None
        code = self.process.wait(WAIT_S)
        if self.writer is not None:
            self.writer.wait(WAIT_S)
            self.writer = None
        return code

    def wait_log(self, text: str) -> None:
        """Wait until it has logged something."""
        wait_until(lambda: text in self.log, f"{text!r} in the log")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running broker, open to all, that forgets when it is stopped."""
    if shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        (pytest.fail if IN_CI else pytest.skip)(
            "mosquitto is absent: apt install mosquitto mosquitto-clients"
        )
    folder = tmp_path / "broker"
    folder.mkdir()
    found = Broker(folder)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    """A client that hears everything that daemons say."""
    found = Listener(broker.port)
    yield found
    found.close()


@pytest.fixture
def sensor(broker: Broker) -> Iterator[Sensor]:
    """A client that publishes readings."""
    found = Sensor(broker.port)
    yield found
    found.close()


MakeDevice = Callable[..., Device]
"""Keyword arguments go over the standard configuration; ``name`` is the node."""


@pytest.fixture
def make_device(tmp_path: Path, tiny_bundle: Path, broker: Broker) -> Iterator[MakeDevice]:
    """Makes devices that watch ``plant/{asset}/readings`` and publish every score."""
    made: list[Device] = []

    def make(name: str = "node-1", **changes: Any) -> Device:  # noqa: ANN401 - any key of the configuration
        folder = tmp_path / f"{name}-{len(made)}"
        folder.mkdir()
        config: dict[str, Any] = {
            "node": name,
            "bundle": str(tiny_bundle),
            "state_dir": "state",
            "mqtt": {"port": broker.port},
            "inputs": [{"topic": "plant/{asset}/readings", "time_field": "time"}],
            "publish": {"score_interval_s": 0, "health_interval_s": 1},
        }
        device = Device(folder, {**config, **changes})
        made.append(device)
        return device

    yield make
    for device in made:
        if device.process is not None and device.process.poll() is None:
            device.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def many_rows(tiny_history: Path) -> list[Row]:
    """900 readings of a pump, fewer than Mosquitto keeps for a client that is away."""
    with tiny_history.open(encoding="utf-8") as file:
        found = [dict(row) for _, row in zip(range(900), csv.DictReader(file), strict=False)]
    return [{k: v if k == "time" else float(v) for k, v in row.items()} for row in found]


@pytest.fixture(scope="session")
def rows(many_rows: list[Row]) -> list[Row]:
    """200 readings of a pump; from the 101st on ten in which every value is three times too large."""
    return [
        {k: v if k == "time" else v * (3.0 if 100 <= n < 110 else 1.0) for k, v in row.items()}
        for n, row in enumerate(many_rows[:200])
    ]


Judge = Callable[..., list[Event]]
"""Readings through a detector of its own, without a broker: what a daemon must say too."""


@pytest.fixture(scope="session")
def judge(tiny_bundle: Path) -> Judge:
    """What a detector says to rows, by the same bundle."""
    bundle = open_bundle(tiny_bundle)
    backend = load_backend(bundle)

    def run(
        rows: Sequence[Row],
        asset: str = "pump-1",
        node: str = "node-1",
        assets: dict[str, AssetScaling] | None = None,
        **alarm: Any,  # noqa: ANN401 - any field of the overrides
    ) -> list[Event]:
        overrides = AlarmOverrides(**alarm)
        detector = Detector(
            msgspec.structs.replace(bundle.manifest, assets={**bundle.manifest.assets, **(assets or {})}),
            backend,
            sha256=bundle.sha256,
            node=node,
            weights=bundle.weights(),
            alarm=overrides,
        )
        readings = (
            Reading(asset, parse_time(row["time"]), {k: v for k, v in row.items() if k != "time"})
            for row in rows
        )
        return [found for reading in readings for found in detector.push(reading)]

    return run


@pytest.fixture(scope="session")
def alarm(judge: Judge, rows: list[Row]) -> dict[str, Any]:
    """A threshold between the scores of the normal and of the strange rows."""
    scores = [float(getattr(found, "score", 0.0)) for found in judge(rows, threshold=1e9)]
    level = (max(scores[40:100]) + max(scores[100:110])) / 2
    return {"threshold": level, "close_ratio": 0.9, "open_after": 2, "close_after": 3, "refractory": 0}
