"""The daemon's benchmark without a daemon: its bytes, its slope, and what it would not overlook."""

from __future__ import annotations

import mqtt5
import numpy as np
import pytest

from tests.benchmark.daemon.found import Found
from tests.benchmark.daemon.latency import Latency
from tests.benchmark.daemon.memory import Memory, Sample
from tests.benchmark.daemon.model import Rows
from tests.benchmark.daemon.replay import Replayed
from tests.benchmark.daemon.site import Counted
from tests.benchmark.daemon.throughput import WAYS, Turn
from tests.benchmark.daemon.wear import Recovery, Wear
from tests.benchmark.daemon.wire import publish

MB = 1_000_000


def memory(sizes: list[float]) -> Memory:
    """A run whose memory was that after each 100,000 readings."""
    samples = tuple(Sample(100_000 * (i + 1), round(size), 7, 2) for i, size in enumerate(sizes))
    frames = samples[-1].readings
    return Memory("litert", samples, max(one.rss for one in samples), Counted(frames, {}, 0, 0), frames)


def found(
    *, frames: int = 101, rejects: dict[str, int] | None = None, scored: int = 10, heard: int = 4
) -> Found:
    """A run in which a daemon was given 101 readings of QoS 1."""
    way = next(way for way in WAYS if way.mode and way.qos)
    return Found(
        turns={way: [Turn(100, 1.0, 0.9, Counted(frames, rejects or {}, 0, 0), 101)]},
        replayed=Replayed(1.0, 1.0, 1.0, 1.0, 64, 64),
        latencies=[Latency("mqtt5, strict", 4, heard, np.ones(4))],
        memories=[memory([50.0 * MB] * 10)],
        starts=[1.0],
        wears=[Wear("strict", 1.0, 0, 10, 10)],
        recovery=Recovery(10, 1.0, 10, scored),
        payload=65,
        storage="ext4",
        minutes=1.0,
        load=0.0,
        command="make bench-daemon",
    )


@pytest.mark.parametrize("size", [0, 100, 130, 20_000])
@pytest.mark.parametrize("mid", [0, 513])
def test_publish_is_what_another_codec_reads(size: int, mid: int) -> None:
    """MQTT 5 has one byte more, the empty properties: with it, mqtt5 reads what was written."""
    packet = publish("t/ü", bytes(size), mid=mid)
    start = 2 + sum(byte >= 0x80 for byte in packet[1:4])
    head = start + 2 + len("t/ü".encode()) + (2 if mid else 0)

    theirs = mqtt5.PublishPacket("t/ü", bytes(size), qos=mqtt5.QoS(bool(mid)), packet_id=mid or None).write()
    theirs_start = 2 + sum(byte >= 0x80 for byte in theirs[1:4])
    assert packet[start:head] + b"\0" + packet[head:] == theirs[theirs_start:]
    assert packet[0] == theirs[0]


def test_packets_carry_each_stream_its_rows_in_order() -> None:
    """Round and round, with a packet identifier for QoS 1."""
    rows = Rows(("a",), np.arange(4.0)[:, None])
    packets = list(rows.packets("p", ["x", "y"], 20, qos=0))

    assert len(packets) == 20
    own = [packet for packet in packets if b"p/x" in packet]
    assert [packet[-4:-1] for packet in own] == [f"{float(i % 4)}".encode() for i in range(10)]


def test_slope_finds_growth_and_says_how_sure_it_is() -> None:
    """A steady rise of 2 MB a million with noise; what was taken at the start does not count."""
    noise = np.random.default_rng(0).normal(0, 20_000, 20)
    rising = memory([40 * MB, *(50 * MB + 200_000 * i + noise[i] for i in range(1, 20))])
    level = memory([40 * MB, *(50 * MB + noise[1:])])

    rise, error = rising.slope
    assert abs(rise - 2 * MB) < 3 * error < MB
    rise, error = level.slope
    assert abs(rise) < 3 * error


def test_nothing_is_said_when_all_is_accounted_for() -> None:
    """The benchmark is content."""
    assert found().troubles() == []


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (found(frames=100), "1 of 101 readings not scored"),
        (found(frames=102), "-1 of 101 readings not scored"),
        (found(rejects={"duplicate": 1}), "duplicate"),
        (found(scored=9), "recovery: 9 of 10"),
        (found(heard=3), "alerts, mqtt5, strict: 3 of 4"),
    ],
)
def test_what_is_lost_or_double_is_said(broken: Found, said: str) -> None:
    """A reading lost, scored twice or turned away, and an alert that was not heard."""
    assert said in "; ".join(broken.troubles())
