"""What the simulator sends, as any MQTT client hears it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_lstm.errors import BrokerError
from edge_lstm.io.feed import WINDOW, Feed
from edge_lstm.simulate import CHANNELS
from edge_lstm.times import parse_time

if TYPE_CHECKING:
    from tests.integration.conftest import Broker

pytestmark = pytest.mark.broker

PROGRAM = [sys.executable, "-m", "edge_lstm", "simulate"]


class Subscriber:
    """What any client hears on ``plant/#``, in order, until nothing comes any more."""

    def __init__(self, port: int) -> None:
        self.messages: Queue[tuple[str, bytes]] = Queue()
        ready: Queue[bool] = Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _d, message: self.messages.put(
            (message.topic, bytes(message.payload))
        )
        self._client.on_subscribe = lambda *_: ready.put(True)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("plant/#", qos=1)
        self._client.loop_start()
        ready.get(timeout=10)

    def take(self, number: int) -> list[tuple[str, bytes]]:
        """That many messages, and no more."""
        taken = [self.messages.get(timeout=10) for _ in range(number)]
        with pytest.raises(Empty):
            self.messages.get(timeout=0.1)
        return taken

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def subscriber(broker: Broker) -> Iterator[Subscriber]:
    """A client that listens already."""
    listening = Subscriber(broker.port)
    yield listening
    listening.close()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command, to its end."""
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_simulate_publishes_frames_in_order(broker: Broker, subscriber: Subscriber) -> None:
    """One JSON object a reading on each pump's topic, time first, evenly spaced, a drop-out as null."""
    arguments = (
        "--assets",
        "2",
        "--rate",
        "0.5",
        "--speedup",
        "0",
        "--count",
        "300",
        "--fault",
        "drop_out@4s",
    )

    done = run("--port", str(broker.port), "--start", "2026-03-01T12:00:00Z", *arguments)

    assert (0, "") == (done.returncode, done.stderr)
    assert "drop_out in vibration begins at 2026-03-01T12:00:04.000Z" in done.stdout
    messages = subscriber.take(600)
    for asset in ("pump-1", "pump-2"):
        frames = [json.loads(body) for topic, body in messages if topic == f"plant/{asset}/readings"]
        times = [parse_time(frame["time"]) for frame in frames]
        assert [parse_time("2026-03-01T12:00:00Z") + k * 2_000_000_000 for k in range(300)] == times
        assert ["time", *CHANNELS] == list(frames[0])
        assert [False, False, True] == [frame["vibration"] is None for frame in frames[:3]]


def test_simulate_with_channel_topic_publishes_numbers(broker: Broker, subscriber: Subscriber) -> None:
    """With {channel} in the topic, one plain number a channel, and nothing for a drop-out."""
    where = ("--port", str(broker.port), "--topic", "plant/{asset}/{channel}")

    done = run(*where, "--count", "1", "--fault", "drop_out@0")

    assert (0, "") == (done.returncode, done.stderr)
    values = {topic: float(body) for topic, body in subscriber.take(5)}
    assert {f"plant/pump-1/{channel}" for channel in CHANNELS} - {"plant/pump-1/vibration"} == set(values)


def test_simulate_keeps_simulated_pace(broker: Broker, subscriber: Subscriber) -> None:
    """Ten readings at ten a second, twice as fast as real time, take about half a second."""
    done = run("--port", str(broker.port), "--rate", "10", "--speedup", "2", "--duration", "1s")

    took = re.search(r"published 10 messages in (\S+) s", done.stdout)
    assert took is not None
    assert 0.4 <= float(took[1]) < 5.0
    subscriber.take(10)


def test_simulate_stopped_by_signal_ends_cleanly(broker: Broker, subscriber: Subscriber) -> None:
    """SIGTERM is a normal end: what is under way arrives, exit code 0."""
    command = [*PROGRAM, "--port", str(broker.port), "--rate", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        subscriber.messages.get(timeout=30)
        process.terminate()
        out, errors = process.communicate(timeout=10)

    assert (0, "") == (process.returncode, errors)
    sent = re.search(r"published (\d+) messages", out)
    assert sent is not None
    subscriber.take(int(sent[1]) - 1)


def test_simulate_without_broker_says_so() -> None:
    """Nobody listens: one line with the address, exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    done = run("--port", str(port))

    assert 1 == done.returncode
    assert done.stderr.startswith(f"edge-lstm: cannot reach the MQTT broker at 127.0.0.1:{port}: got ")
    assert 1 == done.stderr.count("\n")


def test_simulate_with_login(broker: Broker, tmp_path: Path) -> None:
    """The right password is let in; the wrong one is one line, exit code 1."""
    users, right, wrong = (tmp_path / name for name in ("users", "right", "wrong"))
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "pump", "secret"], check=True)
    right.write_text("secret\n", encoding="utf-8")
    wrong.write_text("guess\n", encoding="utf-8")
    broker.stop()
    broker.configure(("allow_anonymous false", f"password_file {users}"))
    broker.start()

    common = ("--port", str(broker.port), "--count", "3", "--speedup", "0", "--username", "pump")
    accepted = run(*common, "--password-file", str(right))
    refused = run(*common, "--password-file", str(wrong))

    assert (0, "") == (accepted.returncode, accepted.stderr)
    assert 1 == refused.returncode
    assert "edge-lstm: the MQTT broker refused the connection at 127.0.0.1:" in refused.stderr
    assert "Not authorized" in refused.stderr
    assert 1 == refused.stderr.count("\n")


def test_feed_survives_broker_restart(broker: Broker) -> None:
    """Messages given while the broker is away arrive when it is back."""
    with Feed("127.0.0.1", port=broker.port) as feed:
        feed.publish("plant/a", b"before")
        broker.stop()
        feed.publish("plant/a", b"between")
        broker.start()
        subscriber = Subscriber(broker.port)

    try:
        assert [("plant/a", b"between")] == subscriber.take(1)
    finally:
        subscriber.close()


def test_feed_to_silent_broker_gives_up(broker: Broker) -> None:
    """A broker that stops acknowledging fills the window, then it is an error: memory never grows."""
    process = broker._process
    assert process is not None
    try:
        with pytest.raises(BrokerError, match=r"takes no more messages at .*silence for 0\.3 s"):
            _flood(broker.port, process)
    finally:
        process.send_signal(signal.SIGCONT)


def _flood(port: int, process: subprocess.Popen[bytes]) -> None:
    with Feed("127.0.0.1", port=port, stall_s=0.3) as feed:
        process.send_signal(signal.SIGSTOP)
        for _ in range(WINDOW + 1):
            feed.publish("plant/a", b"x")
