"""Where it is measured: a real Mosquitto and real daemons, each on a core of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from firmware_tools.service import MEMORY_ENVIRONMENT
from tests.benchmark.daemon.model import Rows
from tests.benchmark.daemon.wire import Heard, Peer, publish

__all__ = ["DURABILITY", "IN_FLIGHT", "Counted", "Daemon", "Site", "cores", "cpu_s", "open_site", "streams"]

IN_FLIGHT = 16_000
"""Messages that the broker sends ahead of acknowledgements, and the daemon's ``mqtt.inflight``."""

DURABILITY: dict[str, dict[str, Any]] = {
    "strict": {"mode": "strict"},
    "batched": {"mode": "batched", "loss_window_s": 1.0},
}
PATIENCE_S = 120.0
_SETTINGS = f"""\
allow_anonymous true
max_inflight_messages {IN_FLIGHT}
max_queued_messages 0
queue_qos0_messages true
set_tcp_nodelay true
"""


def cores() -> tuple[int, int]:
    """The core of what is measured, and the core of everything else."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def streams(count: int) -> list[str]:
    """Names of machines."""
    return [f"m{i:04d}" for i in range(count)]


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, seconds."""
    said = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Counted:
    """What a daemon has counted, by its last health message.

    Attributes:
        frames: Readings that were scored.
        rejects: What was turned away, by reason.
        failures: Messages that met a fault of edge-lstm itself.
        alerts: Alerts of any type.
    """

    frames: int
    rejects: dict[str, int]
    failures: int
    alerts: int

    @property
    def whole(self) -> int:
        """Messages that it says it has received."""
        return self.frames + sum(self.rejects.values()) + self.failures


@dataclass(slots=True)
class Site:
    """A broker, an ear at it, and the readings.

    Attributes:
        folder: For everything that is written.
        port: Of the broker.
        bundle: What daemons run.
        rows: What they are fed.
        ear: Hears all that daemons publish.
    """

    folder: Path
    port: int
    bundle: Path
    rows: Rows
    ear: Peer
    _marks: int = 0
    _heard: list[Heard] = field(default_factory=list)

    def daemon(self, name: str, *, qos: int = 1, timed: bool = False, **changes: Any) -> Daemon:  # noqa: ANN401
        """A daemon that has its own topics; keyword arguments are sections of its configuration."""
        folder = self.folder / name
        folder.mkdir()
        source = {"topic": f"{name}/{{asset}}", "qos": qos, **({"time_field": "t"} if timed else {})}
        config: dict[str, Any] = {
            "node": name,
            "bundle": str(self.bundle),
            "state_dir": "state",
            "inputs": [source],
            "log_level": "warning",
            "max_assets": 2000,
            **changes,
        }
        config["mqtt"] = {"port": self.port, "inflight": IN_FLIGHT, **config.get("mqtt", {})}
        return Daemon(self, name, folder, config)

    def feed(self, prefix: str, names: list[str], count: int, *, qos: int, turn: int = 0) -> int:
        """Give readings to the broker as fast as it takes them; how many."""
        with Peer(self.port, f"feeder-{prefix}") as feeder:
            return feeder.pour(self.rows.packets(prefix, names, count, qos=qos, turn=turn), qos=qos)

    def mark(self, prefix: str, *, qos: int = 1) -> str:
        """Give one reading of a machine never seen before; its name. Its score says when its turn came."""
        self._marks += 1
        name = f"mark-{self._marks}"
        with Peer(self.port, f"marker-{prefix}") as feeder:
            feeder.pour([publish(f"{prefix}/{name}", self.rows.payload(0), mid=qos)], qos=qos)
        return name

    def wait(self, topic: str, *, timeout_s: float = PATIENCE_S) -> Heard:
        """The next message of a topic; what comes on others meanwhile is forgotten."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            self._heard = self._heard or self.ear.heard(end - time.monotonic())
            while self._heard:
                found = self._heard.pop(0)
                if found.topic == topic:
                    return found
        raise TimeoutError(f"nothing on {topic} within {timeout_s:g} s")


@dataclass(slots=True)
class Daemon:
    """One ``edge-lstm run``.

    Attributes:
        site: Where it runs.
        name: Its node, and the first level of its topics.
        folder: Configuration, states, log.
        config: What it is started with.
        process: The newest process.
    """

    site: Site
    name: str
    folder: Path
    config: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the newest process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> float:
        """Start it on the core of what is measured; when, by `time.monotonic`."""
        path = self.folder / "edge-lstm.yaml"
        path.write_text(yaml.safe_dump(self.config), "utf-8")
        command = [sys.executable, "-m", "edge_lstm", "run", "--config", str(path)]
        begun = time.monotonic()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                _on(cores()[0], command), stdout=log, stderr=log, env={**os.environ, **MEMORY_ENVIRONMENT}
            )
        return begun

    def wait_score(self, asset: str) -> Heard:
        """The next score of a machine."""
        return self._wait(f"{asset}/score")

    def _wait(self, what: str) -> Heard:
        try:
            return self.site.wait(f"edge-lstm/{self.name}/{what}")
        except TimeoutError as error:
            log = (self.folder / "log").read_text("utf-8")[-2000:]
            raise TimeoutError(f"{self.name}: {error}; its log: {log}") from error

    def settle(self) -> None:
        """Start it for the first time, so that the broker knows its session, and end it."""
        self.start()
        self.wait_granted()
        self.stop()

    def wait_connected(self) -> Heard:
        """Its first health message: it has a connection and has taken nothing from it yet."""
        while json.loads((found := self._wait_health()).payload)["pid"] != self.pid:
            pass
        return found

    def wait_granted(self) -> None:
        """Wait until the broker has granted the subscriptions."""
        self.wait_connected()
        while json.loads(self._wait_health().payload)["status"] != "ok":
            pass

    def _wait_health(self) -> Heard:
        return self._wait("health")

    def stop(self) -> Counted:
        """SIGTERM; what it had counted when it said farewell."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        while True:
            said = json.loads(self._wait_health().payload)
            if said["status"] == "stopped" and said["pid"] == self.pid:
                break
        if (code := self.process.wait(PATIENCE_S)) != 0:
            raise RuntimeError(f"{self.name}: exit code {code}; see {self.folder / 'log'}")
        return Counted(said["frames"], said["rejects"], said["failures"], said["alerts"])

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)


@contextmanager
def open_site(folder: Path, bundle: Path, rows: Rows) -> Iterator[Site]:
    """A site in a folder that is made anew; its broker ends with it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    user = "user root\n" if os.geteuid() == 0 else ""  # it would give root up, and could not read our folder
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\n{user}{_SETTINGS}", "utf-8")
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise FileNotFoundError("mosquitto is absent: apt install mosquitto")
    command = _on(cores()[1], [program, "-c", str(settings)])
    broker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_listening(port)
        with Peer(port, "ear", ["edge-lstm/#"]) as ear:
            yield Site(folder, port, bundle, rows, ear)
    finally:
        broker.terminate()
        broker.wait(10)


def _wait_listening(port: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError("mosquitto does not listen")


def _on(core: int, command: list[str]) -> list[str]:
    return ["taskset", "-c", str(core), *command]
