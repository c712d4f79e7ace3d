"""What a transport costs: empty loops on one Mosquitto, both transports and an empty subscriber of paho's.

``python -m tests.benchmark.transports`` prints the table of docs/adr/0016-transports.md. Messages
are JSON of eight values on 64 topics; the subscriber acknowledges them and does nothing else.
Wall time is that of three processes on whatever cores there are (publisher, Mosquitto, subscriber);
messages by processor time are what is left for the detector.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mqtt5
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_lstm.clock import ArrivalClock, SystemClock
from edge_lstm.io.lean import LeanTransport
from edge_lstm.io.mqtt import MqttTransport
from edge_lstm.io.settings import MqttSettings
from edge_lstm.io.transport import Message, Publication, Subscribed, Subscription
from tests.integration.conftest import Broker

FILTER, STREAMS = "plant/+/readings", 64
PAYLOAD = b'{"time":"2026-03-01T12:00:00Z","v":[1.1,2.2,3.3,4.4,5.5,6.6,7.7,8.8]}'
WILL = Publication("base/availability", b"offline", qos=1, retain=True)
_BLOCK = 500


class Pace:
    """Messages, wall time and processor time from the first message on."""

    def __init__(self) -> None:
        self.count = 0
        self._wall = self._cpu = 0.0

    def take(self, count: int) -> None:
        """So many more have come."""
        if not self.count:
            self._wall, self._cpu = time.perf_counter(), time.process_time()
        self.count += count

    def rates(self) -> tuple[float, float]:
        """Messages a second, and messages a second of processor time."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return self.count / wall, self.count / cpu


def _publisher(port: int, qos: int, count: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "tests.benchmark.transports",
        "--publish",
        str(port),
        str(qos),
        str(count),
    ]
    return subprocess.Popen(command)


def publish(port: int, qos: int, count: int) -> None:
    """Publish as fast as the broker takes it."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(mqtt5.ConnectPacket("publisher").write())
        sock.recv(1000)
        for begin in range(0, count, _BLOCK):
            block = b"".join(_packet(number, qos) for number in range(begin, min(count, begin + _BLOCK)))
            sock.sendall(block)
            left = 4 * min(_BLOCK, count - begin) if qos else 0
            while left > 0:
                left -= len(sock.recv(2**16))
        sock.sendall(mqtt5.DisconnectPacket().write())


def _packet(number: int, qos: int) -> bytes:
    mid = number % 60_000 + 1 if qos else None
    topic = f"plant/pump-{number % STREAMS}/readings"
    return mqtt5.PublishPacket(topic, PAYLOAD, qos=mqtt5.QoS(qos), packet_id=mid).write()


def run_transport(
    kind: type[MqttTransport | LeanTransport], port: int, qos: int, count: int
) -> tuple[float, float]:
    """An owner that acknowledges what it receives."""
    settings = MqttSettings(host="127.0.0.1", port=port, client_id="bench", online=WILL, will=WILL)
    clock = ArrivalClock(SystemClock())
    transport = kind(settings, subscriptions=(Subscription(FILTER, qos),), clock=clock)
    transport.start()
    while not any(isinstance(found, Subscribed) for found in transport.receive(5)):
        pass
    pace, publisher = Pace(), _publisher(port, qos, count)
    while pace.count < count:
        messages = [found for found in transport.receive(10) if isinstance(found, Message)]
        assert messages, "messages are missing"
        pace.take(len(messages))
        if qos:
            transport.ack(messages[0].epoch, [message.mid for message in messages])
    rates = pace.rates()
    publisher.wait()
    transport.stop(WILL, timeout_s=1.0)
    return rates


def run_paho(port: int, qos: int, count: int) -> tuple[float, float]:
    """Paho as its examples have it: a thread, an empty callback, acknowledgements by paho."""
    pace, ready, done = Pace(), threading.Event(), threading.Event()

    def on_message(*_args: Any) -> None:  # noqa: ANN401 - paho's
        pace.take(1)
        if pace.count >= count:
            done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bench", protocol=paho.MQTTv5)
    client.on_message, client.on_subscribe = on_message, lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.subscribe(FILTER, qos)
    client.loop_start()
    assert ready.wait(5)
    publisher = _publisher(port, qos, count)
    assert done.wait(300), "messages are missing"
    rates = pace.rates()
    publisher.wait()
    client.disconnect()
    client.loop_stop()
    return rates


RUNS: dict[str, Callable[[int, int, int], tuple[float, float]]] = {
    "paho, empty callback": run_paho,
    "transport paho": lambda *args: run_transport(MqttTransport, *args),
    "transport mqtt5": lambda *args: run_transport(LeanTransport, *args),
}


def table(count: int, rounds: int) -> str:
    """Medians over rounds, one run after the other in each, as a Markdown table."""
    lines = ["| | QoS | messages/s | messages/s of CPU | ratio of these |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(
            Path(folder),
            ("allow_anonymous true", "max_inflight_messages 1000", "max_queued_messages 0"),
        )
        broker.start()
        try:
            for qos in (0, 1):
                rows: dict[str, list[tuple[float, float]]] = {name: [] for name in RUNS}
                for _ in range(rounds):
                    for name, run in RUNS.items():
                        rows[name].append(run(broker.port, qos, count))
                base = 0.0
                for name, found in rows.items():
                    wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
                    base = base or cpu
                    lines.append(f"| {name} | {qos} | {wall:,.0f} | {cpu:,.0f} | {cpu / base:.1f} |")
        finally:
            broker.stop()
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--publish", type=int, nargs=3, metavar=("PORT", "QOS", "COUNT"))
    wanted = parser.parse_args()
    if wanted.publish:
        publish(*wanted.publish)
    else:
        sys.stdout.write(f"{table(wanted.count, wanted.rounds)}\n")
